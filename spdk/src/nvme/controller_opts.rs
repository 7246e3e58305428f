//! How a controller is connected.
#![allow(unsafe_code)] // Has SPDK fill a struct with its defaults.

use std::mem::MaybeUninit;

use super::transport_id::{copy_text, wrong_text};
use crate::dhchap::{DhchapDigest, DhchapGroup, Key};
use crate::error::Result;
use crate::{options, sys, ticks};

/// How a controller shares its attention between its queues.
#[doc(alias = "spdk_nvme_cc_ams")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Arbitration {
    /// In turn.
    RoundRobin,
    /// In turn among queues of one priority, and by the weights of these; urgent ones come first.
    WeightedRoundRobin,
    /// As its maker likes.
    VendorSpecific,
}

/// Which commands a controller is asked for.
#[doc(alias = "spdk_nvme_cc_css")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandSet {
    /// Those of the NVM command set.
    Nvm,
    /// Those of all that it has, such as zones.
    All,
    /// Admin commands, and no others.
    AdminOnly,
}

/// The longest time that SPDK counts in microseconds with 32 bits.
const MAX_MS: u32 = u32::MAX / 1000;

/// Options that are ready for C, and the keys that they point to.
pub(super) struct Ready {
    pub(super) raw: sys::spdk_nvme_ctrlr_opts,
    /// SPDK keeps the pointers until the controller is gone, and takes no references of its own.
    pub(super) keys: Vec<Key>,
}

/// Options that are numbers, booleans or bytes: those that are not set keep SPDK's defaults.
macro_rules! options {
    ($($(#[$doc:meta])* $field:ident: $ty:ty,)*) => {
        /// How a controller is connected, and what its queue pairs have unless they are told otherwise. What is
        /// not set has SPDK's default.
        ///
        /// ```no_run
        /// # use spdk::nvme::{NvmeController, NvmeCtrlrOpts, TransportId};
        /// # async fn example(trid: &TransportId) -> spdk::Result<()> {
        /// let opts = NvmeCtrlrOpts::new()
        ///     .hostnqn("nqn.2024-01.io.spdk:host1")
        ///     .io_queue_size(256)
        ///     .data_digest(true);
        /// let controller = NvmeController::connect(trid, Some(&opts)).await?;
        /// # Ok(())
        /// # }
        /// ```
        ///
        /// An option that cannot be used is refused by the connect.
        ///
        /// `enable_interrupts` of the C struct is not offered: pollers of this crate look for completions,
        /// and interrupts tell those who sleep of them. And `disable_read_ana_log_page` is always set: SPDK 26.01 reads
        /// beyond what it has of that page.
        #[doc(alias = "spdk_nvme_ctrlr_opts")]
        #[derive(Clone, Debug, Default)]
        pub struct NvmeCtrlrOpts {
            $($field: Option<$ty>,)*
            arbitration: Option<Arbitration>,
            command_set: Option<CommandSet>,
            dhchap_key: Option<String>,
            dhchap_ctrlr_key: Option<String>,
            dhchap_digests: Option<u32>,
            dhchap_dhgroups: Option<u32>,
            tls_psk: Option<String>,
            hostnqn: Option<String>,
            src_addr: Option<String>,
            src_svcid: Option<String>,
        }

        impl NvmeCtrlrOpts {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $field(mut self, value: $ty) -> Self {
                    self.$field = Some(value);
                    self
                }
            )*

            fn set_plain(&self, raw: &mut sys::spdk_nvme_ctrlr_opts) {
                $(if let Some(value) = self.$field {
                    raw.$field = value.into();
                })*
            }
        }
    };
}

options! {
    /// How many I/O queue pairs to ask the controller for: there can be no more at once.
    num_io_queues: u32,
    /// Keeps submission queues in the memory of the controller, where it has some. PCIe only.
    use_cmb_sqs: bool,
    /// Does not tell the controller to shut down when it is detached.
    no_shn_notification: bool,
    /// How many commands the controller takes from a queue at a time, as a power of two from 1 to 6; 7 for any
    /// number.
    arbitration_burst: u8,
    /// How many commands of low priority it takes in a round, less one. Needs
    /// [`Arbitration::WeightedRoundRobin`] and [`NvmeCtrlrOpts::arbitration_burst`], as SPDK sends it with that.
    low_priority_weight: u8,
    /// How many commands of medium priority it takes in a round, less one. Needs what
    /// [`NvmeCtrlrOpts::low_priority_weight`] does.
    medium_priority_weight: u8,
    /// How many commands of high priority it takes in a round, less one. Needs what
    /// [`NvmeCtrlrOpts::low_priority_weight`] does.
    high_priority_weight: u8,
    /// After how many milliseconds without a sign of life the controller gives this host up, up to 4,294,967; 0 for never. The
    /// controller may choose a longer time. SPDK sends the signs, and the controller answers each: one that answers
    /// nothing for twice that time has failed, as if its connection had broken. The connection of a queue pair is given as
    /// much; see [`NvmeQpair`](super::NvmeQpair).
    keep_alive_timeout_ms: u32,
    /// How often the transport retries what it could not send. RDMA only.
    transport_retry_count: u8,
    /// How many commands of a queue pair the controller can have at once.
    io_queue_size: u32,
    /// How many commands of a queue pair SPDK can have at once; what it splits counts by its parts. Others wait
    /// until there are fewer.
    io_queue_requests: u32,
    /// The host identifier, for controllers that take one of 64 bits.
    host_id: [u8; 8],
    /// The host identifier, for controllers that take one of 128 bits.
    extended_host_id: [u8; 16],
    /// After how many milliseconds an admin command of the connect has failed, up to 4,294,967; 0 for never, but
    /// an authentication by [`NvmeCtrlrOpts::dhchap_key`] has no time at all then.
    ///
    /// Also when the controller tells that namespaces have changed: SPDK itself waits for the answers to what it then
    /// asks, so that the OS thread does nothing else for up to this time for each. A controller that answers later has SPDK
    /// write to memory that it has freed. So this has to be longer than any answer takes.
    admin_timeout_ms: u32,
    /// Has the headers of packets checked by a CRC32C. TCP only.
    header_digest: bool,
    /// Has the data of packets checked by a CRC32C. TCP only.
    data_digest: bool,
    /// Does not log commands that failed.
    disable_error_logging: bool,
    /// For how long the transport waits for an acknowledgement, from 0 to 31: RDMA for 4.096 microseconds times
    /// 2 to this power, TCP for 1 millisecond times 2 to this power, after which it closes the connection. 0
    /// for the transport's default.
    transport_ack_timeout: u8,
    /// How many admin commands the controller can have at once.
    admin_queue_size: u16,
    /// After how many microseconds the connect of a queue pair has failed; 0 for never. One that is too long to be counted
    /// in [`ticks`](crate::ticks), as are some hours, is refused. Not for PCIe.
    fabrics_connect_timeout_us: u64,
    /// Does not read the list of namespaces that have changed when the controller tells that some have.
    disable_read_changed_ns_list_log_page: bool,
    /// The type of service of the packets. RDMA only.
    transport_tos: u8,
}

impl NvmeCtrlrOpts {
    /// SPDK's defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How the controller shares its attention between its queues.
    #[doc(alias = "arb_mechanism")]
    #[must_use]
    pub fn arbitration(mut self, value: Arbitration) -> Self {
        self.arbitration = Some(value);
        self
    }

    /// Which commands the controller is asked for; all that it has, if this is not said. One that has no such
    /// set is asked for [`CommandSet::Nvm`].
    #[must_use]
    pub fn command_set(mut self, value: CommandSet) -> Self {
        self.command_set = Some(value);
        self
    }

    /// The key of this host for DH-HMAC-CHAP, by its name in SPDK's keyring. Not for PCIe.
    ///
    /// Keys come into the keyring by the configuration or an RPC, such as `keyring_file_add_key`.
    #[must_use]
    pub fn dhchap_key(mut self, name: &str) -> Self {
        self.dhchap_key = Some(name.to_owned());
        self
    }

    /// The key by which the controller authenticates itself to this host, by its name in SPDK's keyring.
    /// Needs [`NvmeCtrlrOpts::dhchap_key`].
    #[must_use]
    pub fn dhchap_ctrlr_key(mut self, name: &str) -> Self {
        self.dhchap_ctrlr_key = Some(name.to_owned());
        self
    }

    /// The hashes that this host accepts; all, if this is not said.
    #[must_use]
    pub fn dhchap_digests(mut self, value: &[DhchapDigest]) -> Self {
        let bits = value.iter().map(|digest| digest.bit());
        self.dhchap_digests = Some(bits.fold(0, |all, bit| all | bit));
        self
    }

    /// The Diffie-Hellman groups that this host accepts; all, if this is not said.
    #[must_use]
    pub fn dhchap_dhgroups(mut self, value: &[DhchapGroup]) -> Self {
        let bits = value.iter().map(|group| group.bit());
        self.dhchap_dhgroups = Some(bits.fold(0, |all, bit| all | bit));
        self
    }

    /// The pre-shared key of a TLS connection, by its name in SPDK's keyring: without one, the connection is
    /// not encrypted. TCP only.
    #[must_use]
    pub fn tls_psk(mut self, name: &str) -> Self {
        self.tls_psk = Some(name.to_owned());
        self
    }

    /// The NVMe qualified name of this host, of at most 223 bytes. A controller of one process is connected
    /// once for each of them.
    #[must_use]
    pub fn hostnqn(mut self, value: &str) -> Self {
        self.hostnqn = Some(value.to_owned());
        self
    }

    /// The address of this host's end of the connections.
    #[must_use]
    pub fn src_addr(mut self, value: &str) -> Self {
        self.src_addr = Some(value.to_owned());
        self
    }

    /// The port of this host's end of the connections.
    #[must_use]
    pub fn src_svcid(mut self, value: &str) -> Self {
        self.src_svcid = Some(value.to_owned());
        self
    }

    /// Refuses what SPDK would take and do nothing with.
    fn refuse_ignored(&self) -> Result<()> {
        // They are multiplied by 1000 in 32 bits: a longer one would be a very short one.
        for (option, time) in [
            ("admin_timeout_ms", self.admin_timeout_ms),
            ("keep_alive_timeout_ms", self.keep_alive_timeout_ms),
        ] {
            if time.is_some_and(|time| time > MAX_MS) {
                let why = format!("more than {MAX_MS} milliseconds");
                return Err(options::refuse(option, why));
            }
        }
        if self.arbitration_burst == Some(0) {
            return Err(options::refuse("arbitration_burst", "at least 1"));
        }
        let weighted = self.arbitration == Some(Arbitration::WeightedRoundRobin);
        let weights = [
            ("low_priority_weight", self.low_priority_weight),
            ("medium_priority_weight", self.medium_priority_weight),
            ("high_priority_weight", self.high_priority_weight),
        ];
        for (option, weight) in weights {
            if weight.is_some() && !(weighted && self.arbitration_burst.is_some()) {
                let reason = "it needs `arbitration_burst` and weighted arbitration";
                return Err(options::refuse(option, reason));
            }
        }
        Ok(())
    }

    /// The C struct. SPDK is up, as its defaults and the keys need.
    pub(super) fn ready(&self) -> Result<Ready> {
        let limits = [
            ("arbitration_burst", self.arbitration_burst, 7),
            ("transport_ack_timeout", self.transport_ack_timeout, 31),
        ];
        for (option, value, limit) in limits {
            if value.is_some_and(|value| value > limit) {
                return Err(options::refuse(option, format!("at most {limit}")));
            }
        }
        self.refuse_ignored()?;
        if let Some(time) = self.fabrics_connect_timeout_us {
            // In ticks it has 64 bits: a longer one would be any other.
            let most = u64::MAX / ticks::ticks_hz()?;
            if time > most {
                let why = format!("more than {most} microseconds");
                return Err(options::refuse("fabrics_connect_timeout_us", why));
            }
        }
        let mut raw = MaybeUninit::<sys::spdk_nvme_ctrlr_opts>::zeroed();
        // SAFETY: it writes at most the size that it is given; zeroes are a value of every field.
        let mut raw = unsafe {
            sys::spdk_nvme_ctrlr_get_default_ctrlr_opts(raw.as_mut_ptr(), size_of_val(&raw) as _);
            raw.assume_init()
        };
        self.set_plain(&mut raw);
        // Where namespaces are hidden from this host, SPDK copies the ANA log page beyond its buffer; and its OS thread waits
        // for the page. What it takes from there, the namespaces say themselves.
        raw.disable_read_ana_log_page = true;
        if let Some(arbitration) = self.arbitration {
            raw.arb_mechanism = match arbitration {
                Arbitration::RoundRobin => sys::SPDK_NVME_CC_AMS_RR,
                Arbitration::WeightedRoundRobin => sys::SPDK_NVME_CC_AMS_WRR,
                Arbitration::VendorSpecific => sys::SPDK_NVME_CC_AMS_VS,
            };
        }
        if let Some(set) = self.command_set {
            raw.command_set = match set {
                CommandSet::Nvm => sys::SPDK_NVME_CC_CSS_NVM,
                CommandSet::All => sys::SPDK_NVME_CC_CSS_IOCS,
                CommandSet::AdminOnly => sys::SPDK_NVME_CC_CSS_NOIO,
            };
        }
        if self.dhchap_ctrlr_key.is_some() && self.dhchap_key.is_none() {
            let reason = "it needs `dhchap_key`, the key of this host";
            return Err(options::refuse("dhchap_ctrlr_key", reason));
        }
        for (option, bits, field) in [
            (
                "dhchap_digests",
                self.dhchap_digests,
                &mut raw.dhchap_digests,
            ),
            (
                "dhchap_dhgroups",
                self.dhchap_dhgroups,
                &mut raw.dhchap_dhgroups,
            ),
        ] {
            match bits {
                Some(0) => return Err(options::refuse(option, "there is none in it")),
                Some(bits) => *field = bits,
                None => {}
            }
        }
        let mut keys = Vec::new();
        for (option, name, field) in [
            ("dhchap_key", &self.dhchap_key, &mut raw.dhchap_key),
            (
                "dhchap_ctrlr_key",
                &self.dhchap_ctrlr_key,
                &mut raw.dhchap_ctrlr_key,
            ),
            ("tls_psk", &self.tls_psk, &mut raw.tls_psk),
        ] {
            if let Some(name) = name {
                let key = Key::find(option, name)?;
                *field = key.as_ptr();
                keys.push(key);
            }
        }
        let texts = [
            ("hostnqn", &self.hostnqn, &mut raw.hostnqn[..]),
            ("src_addr", &self.src_addr, &mut raw.src_addr[..]),
            ("src_svcid", &self.src_svcid, &mut raw.src_svcid[..]),
        ];
        for (option, text, field) in texts {
            let Some(text) = text else { continue };
            wrong_text(text, field.len() as u32 - 1)
                .map_err(|wrong| options::refuse(option, format!("it {wrong}")))?;
            copy_text(field, text);
        }
        Ok(Ready { raw, keys })
    }
}
