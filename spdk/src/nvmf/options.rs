//! What a target, a subsystem and a namespace are made with.
#![allow(unsafe_code)] // Makes C structs of zeroes, and has SPDK fill them.

use std::ffi::CString;
use std::fs;
use std::mem::{self, MaybeUninit};
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::address::copy;
use super::discovery::NvmfDiscoveryFilter;
use crate::dhchap::{DhchapDigest, DhchapGroup};
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

/// The greatest number that a controller can have.
const MAX_CNTLID: u16 = 0xffef;

pub(super) fn check_nsid(nsid: u32) -> Result<()> {
    match nsid {
        1..=MAX_NSID => Ok(()),
        _ => {
            let reason = format!("{nsid}; it must be from 1 to {MAX_NSID}");
            Err(options::refuse("nsid", reason))
        }
    }
}

/// A poll group makes and writes memory for all of them in one go, which would be 15 GB for 2^28.
const MOST_SUBSYSTEMS: u32 = 1 << 16;

/// What a [`NvmfTarget`](super::NvmfTarget) is made with.
#[derive(Clone, Debug)]
#[doc(alias = "spdk_nvmf_target_opts")]
pub struct NvmfTargetOpts {
    pub(super) name: String,
    pub(super) threads: Vec<ThreadHandle>,
    pub(super) discovery: bool,
    max_subsystems: Option<u32>,
    retry_delays: [u16; 3],
    discovery_filter: NvmfDiscoveryFilter,
    digests: Vec<DhchapDigest>,
    groups: Vec<DhchapGroup>,
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
            retry_delays: [0; 3],
            discovery_filter: NvmfDiscoveryFilter::default(),
            digests: DhchapDigest::ALL.to_vec(),
            groups: DhchapGroup::ALL.to_vec(),
        }
    }

    /// The spdk_threads that have poll groups, one each. SPDK gives each new connection to the next of them.
    /// None, the default, stands for the one that makes the target.
    pub fn threads(mut self, threads: impl IntoIterator<Item = ThreadHandle>) -> Self {
        self.threads = threads.into_iter().collect();
        self
    }

    /// How many subsystems it can have, the discovery subsystem among them: 1 to 65,536. SPDK's default is 32 or 1024, by its
    /// version. Each poll group has memory for all of them.
    pub fn max_subsystems(mut self, most: u32) -> Self {
        self.max_subsystems = Some(most);
        self
    }

    /// Whether it tells every host at every listener which subsystems there are. The default is yes.
    pub fn discovery(mut self, discovery: bool) -> Self {
        self.discovery = discovery;
        self
    }

    /// Which listeners the discovery subsystem tells a host of. The default is all of them.
    pub fn discovery_filter(mut self, filter: NvmfDiscoveryFilter) -> Self {
        self.discovery_filter = filter;
        self
    }

    /// How long hosts wait before they try a command again that has failed: the three times that controllers
    /// report, in units of 100 ms. The default is 0 for each.
    pub fn retry_delays(mut self, delays: [u16; 3]) -> Self {
        self.retry_delays = delays;
        self
    }

    /// The hashes that hosts with keys may authenticate with. The default is all of them.
    pub fn dhchap_digests(mut self, digests: impl IntoIterator<Item = DhchapDigest>) -> Self {
        self.digests = digests.into_iter().collect();
        self
    }

    /// The Diffie-Hellman groups that hosts with keys may authenticate with. The default is all of them.
    pub fn dhchap_groups(mut self, groups: impl IntoIterator<Item = DhchapGroup>) -> Self {
        self.groups = groups.into_iter().collect();
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
            Some(most) if most > MOST_SUBSYSTEMS => {
                let reason = format!("{most}; it must be at most {MOST_SUBSYSTEMS}");
                return Err(options::refuse("max_subsystems", reason));
            }
            Some(most) => raw.max_subsystems = most,
            None => {}
        }
        if self.discovery_filter.lacks_function() {
            let reason = "it asks for a function, and `set_discovery_filter` has set none";
            return Err(options::refuse("discovery_filter", reason));
        }
        raw.crdt = self.retry_delays;
        raw.discovery_filter = self.discovery_filter.to_c();
        raw.dhchap_digests = self.digests.iter().fold(0, |all, one| all | one.bit());
        raw.dhchap_dhgroups = self.groups.iter().fold(0, |all, one| all | one.bit());
        Ok(raw)
    }
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
    pub(super) controller_ids: Option<RangeInclusive<u16>>,
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
            controller_ids: None,
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

    /// The numbers that its controllers can have, from 1 to 0xffef, which are the default. The subsystems of one
    /// name in several targets, which are paths to the same namespaces, have ranges that do not overlap.
    #[cfg(spdk_has_spdk_nvmf_subsystem_set_cntlid_range)]
    #[doc(alias = "spdk_nvmf_subsystem_set_cntlid_range")]
    pub fn controller_ids(mut self, ids: RangeInclusive<u16>) -> Self {
        self.controller_ids = Some(ids);
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
        if let Some(ids) = &self.controller_ids
            && (ids.is_empty() || *ids.start() == 0 || *ids.end() > MAX_CNTLID)
        {
            let reason = format!("{ids:?}; they are from 1 to {MAX_CNTLID}");
            return Err(options::refuse("controller_ids", reason));
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
    hide_metadata: bool,
    reservations: Option<PathBuf>,
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

    /// Whether hosts see blocks without metadata, which SPDK makes and checks, where the bdev has some. A bdev
    /// whose module takes accel sequences, as malloc's does, is refused: SPDK reads wrong data from it then.
    #[cfg(spdk_since_25_05)]
    pub fn hide_metadata(mut self, hide: bool) -> Self {
        self.hide_metadata = hide;
        self
    }

    /// Whether metadata is hidden.
    pub(super) fn hides_metadata(&self) -> bool {
        self.hide_metadata
    }

    /// A file that SPDK keeps the reservations in which hosts ask to survive a loss of power. It need not exist.
    pub fn reservations_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.reservations = Some(path.into());
        self
    }

    /// Makes something of a file that SPDK has left empty, as it does when no host wants to keep its reservations: it
    /// refuses to read such a file.
    pub(super) fn fill_file(&self) {
        const NONE: &str = r#"{"bdev_uuid":"","registrants":[]}"#;
        let Some(path) = &self.reservations else {
            return;
        };
        let is_empty = fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() == 0);
        if is_empty && let Err(error) = fs::write(path, NONE) {
            tracing::warn!(path = %path.display(), %error, "a file of reservations is empty");
        }
    }

    /// [`NvmfNamespaceOpts::reservations_file`].
    pub(super) fn file(&self) -> Result<Option<CString>> {
        let file = self.reservations.as_ref().map(|path| {
            CString::new(path.as_os_str().as_bytes())
                .map_err(|_| options::refuse("reservations_file", "it has a NUL byte"))
        });
        file.transpose()
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
        #[cfg(spdk_since_25_05)]
        {
            raw.hide_metadata = self.hide_metadata;
        }
        Ok(raw)
    }
}
