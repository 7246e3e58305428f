//! What a transport is made with.
#![allow(unsafe_code)] // Makes a C struct of zeroes, and has SPDK fill it.

use std::mem::{self, MaybeUninit};

use super::json::Json;
use crate::error::Result;
use crate::{options, sys};

/// The name of the transport.
pub(super) const TCP: &std::ffi::CStr = c"TCP";

macro_rules! transport_opts {
    (
        options { $($(#[doc = $doc:literal])* $(#[cfg($since:ident)])? $field:ident: $ty:ty;)* }
        commands { $($(#[doc = $command_doc:literal])* $command:ident: $of:ident $bit:literal;)* }
        tcp { $($(#[doc = $tcp_doc:literal])* $tcp:ident: $tcp_ty:ty;)* }
    ) => {
        /// What a transport is made with: TCP. What is not set has SPDK's default.
        ///
        /// What the transport has in the end is told by
        /// [`NvmfTarget::transport`](super::NvmfTarget::transport).
        #[derive(Clone, Debug, Default)]
        #[doc(alias = "spdk_nvmf_transport_opts")]
        pub struct NvmfTransportOpts {
            $($(#[cfg($since)])? $field: Option<$ty>,)*
            $(#[cfg(spdk_since_26_01)] $command: Option<bool>,)*
            $($tcp: Option<$tcp_ty>,)*
        }

        impl NvmfTransportOpts {
            /// TCP.
            pub fn tcp() -> Self {
                Self::default()
            }

            $($(#[doc = $doc])* $(#[cfg($since)])?
            pub fn $field(mut self, $field: $ty) -> Self {
                self.$field = Some($field);
                self
            })*

            $($(#[doc = $command_doc])* #[cfg(spdk_since_26_01)]
            pub fn $command(mut self, $command: bool) -> Self {
                self.$command = Some($command);
                self
            })*

            $($(#[doc = $tcp_doc])*
            pub fn $tcp(mut self, $tcp: $tcp_ty) -> Self {
                self.$tcp = Some($tcp);
                self
            })*

            /// The options, and what they point to.
            pub(super) fn to_c(&self) -> Option<(sys::spdk_nvmf_transport_opts, Json)> {
                let mut raw: sys::spdk_nvmf_transport_opts =
                    // SAFETY: numbers and a pointer, for which zeroes are a value.
                    unsafe { MaybeUninit::zeroed().assume_init() };
                // SAFETY: SPDK fills as much of the struct as it is told that there is.
                let known = unsafe {
                    let size = mem::size_of_val(&raw);
                    sys::spdk_nvmf_transport_opts_init(TCP.as_ptr(), &mut raw, size)
                };
                $($(#[cfg($since)])?
                if let Some(value) = self.$field {
                    raw.$field = value;
                })*
                $(#[cfg(spdk_since_26_01)]
                if let Some(value) = self.$command {
                    // SAFETY: all fields of the union are 16 bits.
                    let bits = unsafe { raw.$of.__bindgen_anon_1.raw };
                    raw.$of.__bindgen_anon_1.raw = bits & !(1 << $bit) | u16::from(value) << $bit;
                })*
                let tcp = [$(self.$tcp.map(|value| format!("\"{}\":{value}", stringify!($tcp))),)*];
                let tcp: Vec<_> = tcp.into_iter().flatten().collect();
                let json = Json::object(format!("{{{}}}", tcp.join(",")), tcp.len())?;
                raw.transport_specific = json.as_ptr();
                known.then_some((raw, json))
            }
        }

        /// What a transport has.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct NvmfTransportInfo {
            $($(#[doc = $doc])* $(#[cfg($since)])? pub $field: $ty,)*
            $($(#[doc = $command_doc])* #[cfg(spdk_since_26_01)] pub $command: bool,)*
        }

        impl NvmfTransportInfo {
            pub(super) fn of(raw: &sys::spdk_nvmf_transport_opts) -> Self {
                NvmfTransportInfo {
                    $($(#[cfg($since)])? $field: raw.$field,)*
                    $(
                        #[cfg(spdk_since_26_01)]
                        // SAFETY: all fields of the union are 16 bits.
                        $command: unsafe { raw.$of.__bindgen_anon_1.raw } & 1 << $bit != 0,
                    )*
                }
            }
        }
    };
}

/// The longest time for which SPDK has the microseconds in 32 bits.
const MAX_ASSOCIATION_TIMEOUT: u32 = u32::MAX / 1000;

/// What the longest unit of keep-alive timeouts, of 65,535 times 100 ms, leaves of 32 bits.
#[cfg(spdk_since_25_05)]
const MAX_KATO: u32 = u32::MAX - u16::MAX as u32 * 100;

impl NvmfTransportOpts {
    pub(super) fn check(&self) -> Result<()> {
        // SPDK lets it pass, and divides by it.
        if self.max_io_size == Some(0) {
            return Err(options::refuse(
                "max_io_size",
                "0; it must be at least 8192",
            ));
        }
        if self.max_qpairs_per_ctrlr.is_some_and(|most| most < 2) {
            let why = "it must be at least 2; SPDK would tell hosts of 65,536 queue pairs for I/O";
            return Err(options::refuse("max_qpairs_per_ctrlr", why));
        }
        let timeout = self.association_timeout;
        if timeout.is_some_and(|time| time > MAX_ASSOCIATION_TIMEOUT) {
            let why = format!("more than {MAX_ASSOCIATION_TIMEOUT} milliseconds");
            return Err(options::refuse("association_timeout", why));
        }
        // Rounded up it has 32 bits for SPDK, whatever `kas` is.
        #[cfg(spdk_since_25_05)]
        if self.min_kato.is_some_and(|min| min > MAX_KATO) {
            let why = format!("more than {MAX_KATO} milliseconds");
            return Err(options::refuse("min_kato", &why));
        }
        Ok(())
    }
}

/// Refuses memory that SPDK does without, or gets too little of.
pub(super) fn check_memory(raw: &sys::spdk_nvmf_transport_opts) -> Result<()> {
    if raw.num_shared_buffers == 0 && raw.buf_cache_size == 0 {
        let why = "0, as `num_shared_buffers` is; hosts could move no data";
        return Err(options::refuse("buf_cache_size", why));
    }
    // SPDK multiplies them in 32 bits, with room for metadata where it makes these.
    let mut in_capsule = u64::from(raw.in_capsule_data_size.min(raw.max_io_size));
    if raw.dif_insert_or_strip {
        in_capsule += in_capsule / 512 * 64;
    }
    if in_capsule * u64::from(raw.max_queue_depth) > u64::from(u32::MAX) {
        let why = "with that of each command of a queue pair it is more than 4,294,967,295 bytes";
        return Err(options::refuse("in_capsule_data_size", why));
    }
    Ok(())
}

transport_opts! {
    options {
        /// How many commands a queue pair can have in flight.
        max_queue_depth: u16;
        /// How many queue pairs a controller has, its admin queue among them: 2 or more.
        max_qpairs_per_ctrlr: u16;
        /// How many bytes of data a command can bring with it. A queue pair has so many for each command, which are
        /// 4,294,967,295 at most.
        in_capsule_data_size: u32;
        /// How many bytes a command moves at most, a power of 2 from 8192; the hosts split what is larger.
        max_io_size: u32;
        /// The size in bytes of the buffers that data is moved through.
        io_unit_size: u32;
        /// How many commands an admin queue can have in flight.
        max_aq_depth: u32;
        /// How many buffers all poll groups share.
        num_shared_buffers: u32;
        /// How many of them each poll group keeps for itself. `u32::MAX`: an equal part of three quarters of them. Not 0
        /// where `num_shared_buffers` is.
        buf_cache_size: u32;
        /// Whether the target makes and takes away the protection information, of which the hosts then see nothing.
        dif_insert_or_strip: bool;
        /// How long a command that is to be aborted is waited for, in seconds.
        abort_timeout_sec: u32;
        /// How long the connection of a host is kept that has shut its controller down, or disabled it, in milliseconds,
        /// 4,294,967 at most.
        association_timeout: u32;
        /// How often new connections are looked for: the period in microseconds.
        acceptor_poll_rate: u32;
        /// Whether data is moved without a copy where the bdev lends its memory.
        zcopy: bool;
        /// The shortest keep-alive timeout, in milliseconds, from 1 to 4,288,413,795: hosts that ask for less have this.
        #[cfg(spdk_since_25_05)]
        min_kato: u32;
        /// What keep-alive timeouts are rounded up to, in units of 100 ms, and not 0.
        #[cfg(spdk_since_25_05)]
        kas: u16;
    }

    commands {
        /// Whether hosts are offered Compare.
        compare: oncs 0;
        /// Whether hosts are offered Dataset Management, which deallocates blocks.
        dataset_management: oncs 2;
        /// Whether hosts are offered Write Zeroes.
        write_zeroes: oncs 3;
        /// Whether hosts are offered reservations.
        reservations: oncs 5;
        /// Whether hosts are offered Copy.
        copy: oncs 8;
        /// Whether hosts are offered Compare and Write as one.
        compare_and_write: fuses 0;
    }

    tcp {
        /// Whether the last piece of the data of a read says that the read succeeded, so that no other message has
        /// to.
        c2h_success: bool;
        /// How many buffers there are for the commands of admin queues and for connecting, where
        /// [`in_capsule_data_size`](Self::in_capsule_data_size) is smaller than these need.
        control_msg_num: u16;
        /// The priority of the connections, as in `socket(7)`.
        sock_priority: u32;
    }
}
