//! Where a target listens.
#![allow(unsafe_code)] // Makes a C struct of zeroes.

use std::ffi::c_char;
use std::fmt;
use std::mem::MaybeUninit;
use std::net::SocketAddr;

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

impl From<SocketAddr> for NvmfAddress {
    fn from(address: SocketAddr) -> Self {
        NvmfAddress(address)
    }
}

impl std::str::FromStr for NvmfAddress {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(NvmfAddress)
    }
}

impl fmt::Display for NvmfAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Fills a field with a text that is shorter; the rest of it is zeroes.
pub(super) fn copy(field: &mut [c_char], text: &str) {
    debug_assert!(text.len() < field.len());
    for (to, from) in field.iter_mut().zip(text.bytes()) {
        *to = from as c_char;
    }
}
