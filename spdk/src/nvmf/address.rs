//! Where a target listens, and how.
#![allow(unsafe_code)] // Makes C structs of zeroes, and has SPDK fill one.

use std::ffi::c_char;
use std::fmt;
use std::mem::MaybeUninit;
use std::net::SocketAddr;

use crate::generated::nvmf::AnaState;
use crate::sys;

/// Where a target listens over TCP, made of a [`SocketAddr`].
///
/// ```
/// use spdk::nvmf::NvmfAddress;
///
/// let address: NvmfAddress = "127.0.0.1:4420".parse().unwrap();
/// assert_eq!(address.to_string(), "127.0.0.1:4420");
/// ```
#[doc(alias = "spdk_nvme_transport_id")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NvmfAddress(SocketAddr);

impl NvmfAddress {
    /// The IP address and the port.
    pub fn socket_addr(&self) -> SocketAddr {
        self.0
    }

    pub(crate) fn to_c(self) -> sys::spdk_nvme_transport_id {
        // SAFETY: numbers and characters only, for which zeroes are a value.
        let mut raw: sys::spdk_nvme_transport_id = unsafe { MaybeUninit::zeroed().assume_init() };
        raw.trtype = sys::SPDK_NVME_TRANSPORT_TCP;
        raw.adrfam = match self.0 {
            SocketAddr::V4(_) => sys::SPDK_NVMF_ADRFAM_IPV4,
            SocketAddr::V6(_) => sys::SPDK_NVMF_ADRFAM_IPV6,
        };
        copy(&mut raw.trstring, "TCP");
        copy(&mut raw.traddr, &self.0.ip().to_string());
        copy(&mut raw.trsvcid, &self.0.port().to_string());
        raw
    }
}

impl NvmfAddress {
    /// The address of a transport id, if it is of an IP address.
    pub(super) fn from_c(raw: &sys::spdk_nvme_transport_id) -> Option<Self> {
        let ip = text(&raw.traddr).parse().ok()?;
        let port = text(&raw.trsvcid).parse().ok()?;
        Some(NvmfAddress(SocketAddr::new(ip, port)))
    }
}

impl From<SocketAddr> for NvmfAddress {
    /// Without the scope and the flow of an IPv6 address, which SPDK knows nothing of.
    fn from(address: SocketAddr) -> Self {
        NvmfAddress(SocketAddr::new(address.ip(), address.port()))
    }
}

impl std::str::FromStr for NvmfAddress {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<SocketAddr>().map(NvmfAddress::from)
    }
}

impl fmt::Display for NvmfAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The text of a field, up to its NUL.
fn text(field: &[c_char]) -> String {
    let bytes = field.iter().map(|byte| *byte as u8);
    let bytes: Vec<u8> = bytes.take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How a subsystem listens at an address.
#[doc(alias = "spdk_nvmf_listener_opts")]
#[derive(Clone, Copy, Debug, Default)]
pub struct NvmfListenerOpts {
    ana_state: Option<AnaState>,
    secure_channel: bool,
}

impl NvmfListenerOpts {
    /// SPDK's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the way to the namespaces of all ANA groups is like, until
    /// [`NvmfSubsystem::set_ana_state`](super::NvmfSubsystem::set_ana_state) says something else: one of the first three
    /// states. The default is [`AnaState::Optimized`].
    pub fn ana_state(mut self, state: AnaState) -> Self {
        self.ana_state = Some(state);
        self
    }

    /// Whether connections begin with TLS, with the key of their host:
    /// [`NvmfHostKeys::tls`](super::NvmfHostKeys::tls). The default is that they do not.
    ///
    /// The discovery subsystem, which listens at the same address, tells hosts of it.
    pub fn secure_channel(mut self, secure: bool) -> Self {
        self.secure_channel = secure;
        self
    }

    /// Whether connections begin with TLS.
    pub(super) fn is_secure(self) -> bool {
        self.secure_channel
    }

    /// Whether it is a state that SPDK has namespaces in.
    pub(super) fn has_usable_state(self) -> bool {
        matches!(
            self.ana_state,
            None | Some(AnaState::Optimized | AnaState::NonOptimized | AnaState::Inaccessible)
        )
    }

    pub(crate) fn to_c(self) -> sys::spdk_nvmf_listener_opts {
        let mut raw: sys::spdk_nvmf_listener_opts =
            // SAFETY: numbers and a pointer, for which zeroes are a value.
            unsafe { MaybeUninit::zeroed().assume_init() };
        // SAFETY: SPDK fills as much of the struct as it is told that there is.
        unsafe { sys::spdk_nvmf_subsystem_listener_opts_init(&mut raw, size_of_val(&raw)) };
        if let Some(state) = self.ana_state {
            raw.ana_state = sys::spdk_nvme_ana_state(state.to_raw());
        }
        raw.secure_channel = self.secure_channel;
        raw
    }
}

/// Fills a field with a text that is shorter; the rest of it is zeroes.
pub(super) fn copy(field: &mut [c_char], text: &str) {
    debug_assert!(text.len() < field.len());
    for (to, from) in field.iter_mut().zip(text.bytes()) {
        *to = from as c_char;
    }
}
