//! What a target, a transport, a subsystem and a namespace are made with.
#![allow(unsafe_code)] // Makes C structs of zeroes, and has SPDK fill them.

use std::mem::{self, MaybeUninit};

use super::address::copy;
use crate::error::{Error, Result};
use crate::{ThreadHandle, options, sys};

/// The longest NVMe qualified name, in bytes.
const NQN_LEN: usize = 223;

pub(super) fn check_len(option: &'static str, text: &str, most: usize) -> Result<()> {
    options::text(option, text)?;
    if text.len() > most {
        let reason = format!("it has {} bytes; SPDK takes {most}", text.len());
        return Err(options::refuse(option, reason));
    }
    Ok(())
}

pub(super) fn check_nqn(option: &'static str, nqn: &str) -> Result<()> {
    check_len(option, nqn, NQN_LEN)
}

/// The greatest number that a namespace can have: SPDK cannot pause one with a greater one, so that it could not
/// be removed.
const MAX_NSID: u32 = u16::MAX as u32;

pub(super) fn check_nsid(nsid: u32) -> Result<()> {
    match nsid {
        1..=MAX_NSID => Ok(()),
        _ => {
            let reason = format!("{nsid}; it must be from 1 to {MAX_NSID}");
            Err(options::refuse("nsid", reason))
        }
    }
}

/// What a [`NvmfTarget`](super::NvmfTarget) is made with.
#[derive(Clone, Debug)]
#[doc(alias = "spdk_nvmf_target_opts")]
pub struct NvmfTargetOpts {
    pub(super) name: String,
    pub(super) threads: Vec<ThreadHandle>,
    pub(super) discovery: bool,
    max_subsystems: Option<u32>,
}

impl NvmfTargetOpts {
    /// A target of this name, which no other one of the process has. Its one poll group is on the spdk_thread
    /// that makes it, and it has a discovery subsystem.
    pub fn new(name: impl Into<String>) -> Self {
        NvmfTargetOpts {
            name: name.into(),
            threads: Vec::new(),
            discovery: true,
            max_subsystems: None,
        }
    }

    /// The spdk_threads that have poll groups, one each. SPDK gives each new connection to the next of them.
    /// None, the default, stands for the one that makes the target.
    pub fn threads(mut self, threads: impl IntoIterator<Item = ThreadHandle>) -> Self {
        self.threads = threads.into_iter().collect();
        self
    }

    /// How many subsystems it can have, the discovery subsystem among them. SPDK's default is 32.
    pub fn max_subsystems(mut self, most: u32) -> Self {
        self.max_subsystems = Some(most);
        self
    }

    /// Whether it tells every host at every listener which subsystems there are. The default is yes.
    pub fn discovery(mut self, discovery: bool) -> Self {
        self.discovery = discovery;
        self
    }

    pub(super) fn to_c(&self) -> Result<sys::spdk_nvmf_target_opts> {
        // SAFETY: numbers and characters only, for which zeroes are a value, and SPDK's defaults.
        let mut raw: sys::spdk_nvmf_target_opts = unsafe { MaybeUninit::zeroed().assume_init() };
        raw.size = mem::size_of_val(&raw);
        check_len("name", &self.name, raw.name.len() - 1)?;
        copy(&mut raw.name, &self.name);
        match self.max_subsystems {
            Some(0) => {
                return Err(options::refuse(
                    "max_subsystems",
                    "0; it must be at least 1",
                ));
            }
            Some(most) => raw.max_subsystems = most,
            None => {}
        }
        Ok(raw)
    }
}

macro_rules! transport_opts {
    ($($(#[$doc:meta])* $field:ident: $ty:ty;)*) => {
        /// What a transport is made with: TCP. What is not set has SPDK's default.
        ///
        /// What the transport has in the end is told by
        /// [`NvmfTarget::transport`](super::NvmfTarget::transport).
        #[derive(Clone, Debug, Default)]
        #[doc(alias = "spdk_nvmf_transport_opts")]
        pub struct NvmfTransportOpts {
            $($field: Option<$ty>,)*
        }

        impl NvmfTransportOpts {
            /// TCP.
            pub fn tcp() -> Self {
                Self::default()
            }

            $($(#[$doc])*
            pub fn $field(mut self, $field: $ty) -> Self {
                self.$field = Some($field);
                self
            })*

            pub(super) fn to_c(&self) -> Option<sys::spdk_nvmf_transport_opts> {
                let mut raw: sys::spdk_nvmf_transport_opts =
                    // SAFETY: numbers and a pointer, for which zeroes are a value.
                    unsafe { MaybeUninit::zeroed().assume_init() };
                // SAFETY: SPDK fills as much of the struct as it is told that there is.
                let known = unsafe {
                    let size = mem::size_of_val(&raw);
                    sys::spdk_nvmf_transport_opts_init(TCP.as_ptr(), &mut raw, size)
                };
                $(if let Some(value) = self.$field {
                    raw.$field = value;
                })*
                known.then_some(raw)
            }
        }

        /// What a transport has.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct NvmfTransportInfo {
            $($(#[$doc])* pub $field: $ty,)*
        }

        impl NvmfTransportInfo {
            pub(super) fn of(raw: &sys::spdk_nvmf_transport_opts) -> Self {
                NvmfTransportInfo {
                    $($field: raw.$field,)*
                }
            }
        }
    };
}

/// The name of the transport.
pub(super) const TCP: &std::ffi::CStr = c"TCP";

transport_opts! {
    /// How many commands a queue pair can have in flight.
    max_queue_depth: u16;
    /// How many queue pairs a controller has, its admin queue among them.
    max_qpairs_per_ctrlr: u16;
    /// How many bytes of data a command can bring with it.
    in_capsule_data_size: u32;
    /// How many bytes a command moves at most; the hosts split what is larger.
    max_io_size: u32;
    /// The size in bytes of the buffers that data is moved through.
    io_unit_size: u32;
    /// How many commands an admin queue can have in flight.
    max_aq_depth: u32;
    /// How many buffers all poll groups share.
    num_shared_buffers: u32;
    /// How many of them each poll group keeps for itself.
    buf_cache_size: u32;
    /// Whether the target makes and takes away the protection information, of which the hosts then see nothing.
    dif_insert_or_strip: bool;
    /// How long a command that is to be aborted is waited for, in seconds.
    abort_timeout_sec: u32;
    /// How long a host whose connection is gone is waited for, in milliseconds.
    association_timeout: u32;
    /// How often new connections are looked for: the period in microseconds.
    acceptor_poll_rate: u32;
    /// Whether data is moved without a copy where the bdev lends its memory.
    zcopy: bool;
}

/// What a [`NvmfSubsystem`](super::NvmfSubsystem) is made with.
#[derive(Clone, Debug)]
pub struct NvmfSubsystemOpts {
    pub(super) nqn: String,
    pub(super) serial_number: Option<String>,
    pub(super) model_number: Option<String>,
    pub(super) max_namespaces: u32,
    pub(super) any_host: bool,
    pub(super) ana: bool,
}

impl NvmfSubsystemOpts {
    /// A subsystem of this NVMe qualified name. No host may connect until one is added, or all are let in.
    pub fn new(nqn: impl Into<String>) -> Self {
        NvmfSubsystemOpts {
            nqn: nqn.into(),
            serial_number: None,
            model_number: None,
            max_namespaces: 32,
            any_host: false,
            ana: false,
        }
    }

    /// The serial number, 20 printable ASCII characters at most.
    pub fn serial_number(mut self, serial: impl Into<String>) -> Self {
        self.serial_number = Some(serial.into());
        self
    }

    /// The model number, 40 printable ASCII characters at most.
    pub fn model_number(mut self, model: impl Into<String>) -> Self {
        self.model_number = Some(model.into());
        self
    }

    /// The highest number that a namespace can have, 65535 at most; 32 by default.
    pub fn max_namespaces(mut self, most: u32) -> Self {
        self.max_namespaces = most;
        self
    }

    /// Whether every host may connect. The default is no.
    pub fn allow_any_host(mut self, any: bool) -> Self {
        self.any_host = any;
        self
    }

    /// Whether the hosts are told of the ways to the namespaces, as
    /// [`NvmfSubsystem::set_ana_state`](super::NvmfSubsystem::set_ana_state) sets them. The default is no.
    pub fn ana_reporting(mut self, ana: bool) -> Self {
        self.ana = ana;
        self
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        check_nqn("nqn", &self.nqn)?;
        if let Some(serial) = &self.serial_number {
            check_len(
                "serial_number",
                serial,
                sys::SPDK_NVME_CTRLR_SN_LEN as usize,
            )?;
        }
        if let Some(model) = &self.model_number {
            check_len("model_number", model, sys::SPDK_NVME_CTRLR_MN_LEN as usize)?;
        }
        if !(1..=MAX_NSID).contains(&self.max_namespaces) {
            let reason = format!("{}; it must be from 1 to {MAX_NSID}", self.max_namespaces);
            return Err(options::refuse("max_namespaces", reason));
        }
        Ok(())
    }
}

/// What a namespace is made with.
#[derive(Clone, Debug, Default)]
#[doc(alias = "spdk_nvmf_ns_opts")]
pub struct NvmfNamespaceOpts {
    nsid: Option<u32>,
    nguid: Option<[u8; 16]>,
    eui64: Option<[u8; 8]>,
    uuid: Option<[u8; 16]>,
    anagrpid: Option<u32>,
    no_auto_visible: bool,
}

impl NvmfNamespaceOpts {
    /// SPDK's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Its number, from 1 to 65535. Without it, the first that is free.
    pub fn nsid(mut self, nsid: u32) -> Self {
        self.nsid = Some(nsid);
        self
    }

    /// Its globally unique identifier.
    pub fn nguid(mut self, nguid: [u8; 16]) -> Self {
        self.nguid = Some(nguid);
        self
    }

    /// Its IEEE extended unique identifier.
    pub fn eui64(mut self, eui64: [u8; 8]) -> Self {
        self.eui64 = Some(eui64);
        self
    }

    /// Its UUID. Without it, that of the bdev.
    pub fn uuid(mut self, uuid: [u8; 16]) -> Self {
        self.uuid = Some(uuid);
        self
    }

    /// Its ANA group. Without it, the one whose number is that of the namespace.
    pub fn ana_group(mut self, group: u32) -> Self {
        self.anagrpid = Some(group);
        self
    }

    /// Whether only the hosts of [`NvmfSubsystem::show_namespace`](super::NvmfSubsystem::show_namespace) see it.
    pub fn hidden(mut self, hidden: bool) -> Self {
        self.no_auto_visible = hidden;
        self
    }

    pub(super) fn to_c(&self) -> Result<sys::spdk_nvmf_ns_opts> {
        self.nsid.map_or(Ok(()), check_nsid)?;
        // SAFETY: numbers and a pointer, for which zeroes are a value.
        let mut raw: sys::spdk_nvmf_ns_opts = unsafe { MaybeUninit::zeroed().assume_init() };
        // SAFETY: SPDK fills as much of the struct as it is told that there is.
        unsafe { sys::spdk_nvmf_ns_opts_get_defaults(&mut raw, mem::size_of_val(&raw)) };
        if let Some(nsid) = self.nsid {
            raw.nsid = nsid;
        }
        if let Some(nguid) = self.nguid {
            raw.nguid = nguid;
        }
        if let Some(eui64) = self.eui64 {
            raw.eui64 = eui64;
        }
        if let Some(uuid) = self.uuid {
            // SAFETY: it is 16 bytes, in the order in which they are written.
            raw.uuid = unsafe { mem::transmute::<[u8; 16], sys::spdk_uuid>(uuid) };
        }
        if let Some(group) = self.anagrpid {
            raw.anagrpid = group;
        }
        raw.no_auto_visible = self.no_auto_visible;
        Ok(raw)
    }
}
