//! What a subsystem is in now, and the steps that take it elsewhere.
#![allow(unsafe_code)] // Calls SPDK with subsystems, which their target owns.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::ptr::NonNull;
use std::rc::Rc;

use super::address::{NvmfAddress, NvmfListenerOpts};
use super::namespaces::NvmfNamespace;
use super::raw::RawSubsystem;
use super::watch::Watch;
use crate::error::{At, Error, Fault, Result};
use crate::{Errno, sys};

/// A subsystem of a target, for its chores.
pub(super) struct Subsystem {
    pub(super) id: u64,
    pub(super) nqn: String,
    pub(super) raw: RawSubsystem,
    pub(super) is_discovery: bool,
    is_started: Rc<Cell<bool>>,
    /// Whether SPDK has it paused, and with which namespace; 0 stands for none of them.
    paused: Option<u32>,
    /// The pauses that users have, each with its namespace.
    pauses: Vec<u32>,
    pub(super) listeners: Vec<NvmfAddress>,
    /// By the numbers of the namespaces.
    watches: BTreeMap<u32, Watch>,
    /// The bdevs of which the poll groups keep channels until the pause ends in which the namespaces were removed.
    left: Vec<Left>,
}

/// A bdev, which is told apart from others only.
#[derive(PartialEq)]
struct Left {
    bdev: *mut sys::spdk_bdev,
    uuid: [u8; 16],
}

impl Left {
    /// # Safety
    ///
    /// The bdev exists.
    unsafe fn of(bdev: *mut sys::spdk_bdev) -> Self {
        // SAFETY: as the caller says; a UUID is 16 bytes.
        let uuid = unsafe { sys::spdk_bdev_get_uuid(bdev).cast::<[u8; 16]>().read() };
        Left { bdev, uuid }
    }
}

impl Subsystem {
    pub(super) fn new(id: u64, nqn: String, raw: RawSubsystem, is_discovery: bool) -> Self {
        Subsystem {
            id,
            nqn,
            raw,
            is_discovery,
            is_started: Rc::default(),
            paused: None,
            pauses: Vec::new(),
            listeners: Vec::new(),
            watches: BTreeMap::new(),
            left: Vec::new(),
        }
    }

    /// One that somebody else has made and started.
    ///
    /// # Safety
    ///
    /// As for [`RawSubsystem::new`].
    pub(super) unsafe fn found(
        id: u64,
        ptr: NonNull<sys::spdk_nvmf_subsystem>,
        tgt: NonNull<sys::spdk_nvmf_tgt>,
    ) -> Self {
        // SAFETY: it exists, on its spdk_thread, and has a name.
        let nqn = unsafe { CStr::from_ptr(sys::spdk_nvmf_subsystem_get_nqn(ptr.as_ptr())) };
        let nqn = nqn.to_string_lossy().into_owned();
        // SAFETY: as the caller says.
        let raw = unsafe { RawSubsystem::new(ptr, tgt) };
        Subsystem {
            is_started: Rc::new(Cell::new(true)),
            ..Subsystem::new(id, nqn, raw, false)
        }
    }

    /// Refuses the discovery subsystem: its listeners come and go with those of the others, which the target listens for.
    pub(super) fn check_listens(&self) -> Result<(), Fault> {
        match self.is_discovery {
            true => Err(Fault::invalid(
                "the discovery subsystem listens where the others of its target do",
            )),
            false => Ok(()),
        }
    }

    pub(super) async fn start(&mut self) -> Result<()> {
        if !self.is_started.get() {
            self.raw.start().await?;
            self.is_started.set(true);
        }
        self.settle(None).await
    }

    pub(super) async fn stop(&mut self) -> Result<()> {
        // Without a resume, which would carry out what is held back. Also if it is not started, since SPDK may have started it.
        let was_started = self.is_started.replace(false);
        let stopped = self.raw.stop().await;
        match stopped {
            Ok(()) => {
                self.paused = None;
                self.left.clear();
            }
            Err(_) => self.is_started.set(was_started),
        }
        stopped
    }

    /// Destroys it when it is stopped.
    pub(super) async fn destroy(&mut self) -> Result<()> {
        loop {
            match self.raw.destroy().await {
                // SPDK has started it since.
                Err(error) if error.errno() == Some(Errno::EAGAIN) => self.stop().await?,
                result => return result,
            }
        }
    }

    pub(super) async fn pause(&mut self, nsid: u32) -> Result<()> {
        self.settle(Some(nsid)).await?;
        self.pauses.push(nsid);
        Ok(())
    }

    pub(super) async fn resume(&mut self, nsid: u32) -> Result<()> {
        if let Some(index) = self.pauses.iter().position(|one| *one == nsid) {
            self.pauses.swap_remove(index);
        }
        self.settle(None).await
    }

    /// Has SPDK pause or resume it, for the users' pauses and one more.
    ///
    /// SPDK pauses a subsystem with one namespace: it has a value for all of them, but cuts it off at 16 bits.
    async fn settle(&mut self, more: Option<u32>) -> Result<()> {
        let mut wanted = None;
        for nsid in self.pauses.iter().copied().chain(more) {
            match wanted {
                Some(other) if nsid == 0 || nsid == other => {}
                None | Some(0) => wanted = Some(nsid),
                Some(other) => {
                    let object = format!("namespace {nsid} beside {other}");
                    let object = object.as_str();
                    let at = At::new("spdk_nvmf_subsystem_pause", &object);
                    return Err(Fault::errno(Errno::EBUSY).at(at));
                }
            }
        }
        if !self.is_started.get() {
            // SPDK starts it when the bdev of a namespace is removed or resized.
            loop {
                self.raw.stop().await?;
                if self.is_still()? {
                    return Ok(());
                }
            }
        }
        if wanted == self.paused {
            return match (wanted, more) {
                // SPDK goes on by itself after a bdev was removed or resized; else this does nothing.
                (Some(nsid), Some(_)) => self.hold(nsid).await,
                _ => Ok(()),
            };
        }
        if self.paused.is_some() {
            self.raw.resume().await?;
            self.paused = None;
            self.left.clear();
        }
        if let Some(nsid) = wanted {
            self.hold(nsid).await?;
            self.paused = wanted;
        }
        Ok(())
    }

    /// Has SPDK pause it. Where SPDK has paused it for a change of its own, it says so too early, and goes on.
    async fn hold(&self, nsid: u32) -> Result<()> {
        loop {
            self.raw.pause(nsid).await?;
            if self.is_still()? {
                return Ok(());
            }
        }
    }

    /// Whether SPDK has it paused or stopped, until the next `await`.
    fn is_still(&self) -> Result<bool> {
        self.check()?;
        // SAFETY: numbers and characters only, for which zeroes are a value.
        let mut nobody = unsafe { std::mem::zeroed::<sys::spdk_nvme_transport_id>() };
        nobody.trtype = sys::SPDK_NVME_TRANSPORT_PCIE;
        // SAFETY: the subsystem exists, on this spdk_thread. No listener has this address, so that none is removed.
        let rc = unsafe { sys::spdk_nvmf_subsystem_remove_listener(self.raw.as_ptr(), &nobody) };
        Ok(Errno::from_code(rc) != Errno::EAGAIN)
    }

    /// Refuses one that is gone.
    fn check(&self) -> Result<()> {
        let gone = |fault: Fault| fault.at(At::new("NvmfSubsystem", &self.nqn.as_str()));
        self.raw.check().map_err(gone)
    }

    /// Adds a namespace of this bdev by a C function that returns its number, or 0.
    pub(super) async fn add_namespace(
        &mut self,
        bdev: &CStr,
        add: impl FnOnce(&RawSubsystem) -> u32,
    ) -> Result<u32> {
        let is_started = self.is_started.clone();
        let mut watched = None;
        let change = async |raw: &RawSubsystem| {
            let watch = Watch::open(bdev, raw.again(), is_started);
            let watch = watch.map_err(|fault| {
                let name = bdev.to_string_lossy();
                fault.at(At::new("spdk_bdev_open_ext", &&*name))
            })?;
            let nsid = add(raw);
            watched = (nsid != 0).then_some((nsid, watch));
            Ok(nsid)
        };
        let added = self.change(change).await;
        self.watches.extend(watched);
        added
    }

    /// Whether the poll groups would do the I/O of a namespace of this bdev with channels of another one that is gone: they
    /// tell bdevs apart by their UUIDs.
    ///
    /// # Safety
    ///
    /// The bdev exists.
    pub(super) unsafe fn would_be_mixed_up(&self, bdev: *mut sys::spdk_bdev) -> bool {
        // SAFETY: as the caller says.
        let bdev = unsafe { Left::of(bdev) };
        let mut left = self.left.iter();
        left.any(|one| one.uuid == bdev.uuid && one.bdev != bdev.bdev)
    }

    /// Removes a namespace.
    pub(super) async fn remove_namespace(
        &mut self,
        nsid: u32,
        remove: impl AsyncFnOnce(&RawSubsystem) -> Result<()>,
    ) -> Result<()> {
        let mut left = None;
        let change = async |raw: &RawSubsystem| {
            // SAFETY: the subsystem exists, on this spdk_thread, and each of its namespaces has its bdev open.
            let bdev = unsafe {
                let ns = sys::spdk_nvmf_subsystem_get_ns(raw.as_ptr(), nsid);
                let bdev = NonNull::new(ns).map(|ns| sys::spdk_nvmf_ns_get_bdev(ns.as_ptr()));
                bdev.map(|bdev| Left::of(bdev))
            };
            remove(raw).await?;
            left = bdev;
            Ok(())
        };
        let removed = self.change_namespace(nsid, change).await;
        if left.is_some() {
            self.watches.remove(&nsid);
        }
        if self.paused.is_some() {
            self.left.extend(left);
        }
        removed
    }

    /// Whether SPDK has it paused; `None` if it is not started.
    #[cfg(feature = "config")]
    pub(super) fn is_paused(&self) -> Option<bool> {
        self.is_started.get().then_some(self.paused.is_some())
    }

    pub(super) fn namespaces(&self) -> Vec<NvmfNamespace> {
        let raw = self.raw.as_ptr();
        let mut all = Vec::new();
        if !self.raw.exists() {
            return all;
        }
        // SAFETY: the subsystem exists, on this spdk_thread, where its namespaces come and go, and each has its
        // bdev open.
        unsafe {
            let mut ns = sys::spdk_nvmf_subsystem_get_first_ns(raw);
            while !ns.is_null() {
                let mut opts = std::mem::zeroed::<sys::spdk_nvmf_ns_opts>();
                sys::spdk_nvmf_ns_get_opts(ns, &mut opts, size_of_val(&opts));
                let bdev = sys::spdk_bdev_get_name(sys::spdk_nvmf_ns_get_bdev(ns));
                all.push(NvmfNamespace {
                    nsid: sys::spdk_nvmf_ns_get_id(ns),
                    bdev: CStr::from_ptr(bdev).to_string_lossy().into_owned(),
                    ana_group: opts.anagrpid,
                });
                ns = sys::spdk_nvmf_subsystem_get_next_ns(raw, ns);
            }
        }
        all
    }

    /// Changes it while it is paused, or not started.
    pub(super) async fn change<T>(
        &mut self,
        change: impl AsyncFnOnce(&RawSubsystem) -> Result<T>,
    ) -> Result<T> {
        self.change_namespace(0, change).await
    }

    /// Changes a namespace of it, which is paused too.
    pub(super) async fn change_namespace<T>(
        &mut self,
        nsid: u32,
        change: impl AsyncFnOnce(&RawSubsystem) -> Result<T>,
    ) -> Result<T> {
        self.settle(Some(nsid)).await?;
        self.check()?;
        let result = change(&self.raw).await;
        let resumed = self.settle(None).await;
        let value = result?;
        resumed.map(|()| value)
    }

    /// [`Subsystem::change`] by a C function that returns 0 or an errno.
    pub(super) async fn set(
        &mut self,
        call: &'static str,
        object: &str,
        set: impl FnOnce(*mut sys::spdk_nvmf_subsystem) -> i32,
    ) -> Result<()> {
        self.change(async |raw| match set(raw.as_ptr()) {
            0 => Ok(()),
            rc => Err(Fault::errno(Errno::from_code(rc)).at(At::new(call, &object))),
        })
        .await
    }

    pub(super) async fn add_listener(&mut self, address: NvmfAddress) -> Result<()> {
        let add = async |raw: &RawSubsystem| raw.add_listener(&address).await;
        self.change(add).await?;
        self.listeners.push(address);
        Ok(())
    }

    pub(super) async fn add_listener_with(
        &mut self,
        address: NvmfAddress,
        opts: &NvmfListenerOpts,
    ) -> Result<()> {
        let add = async |raw: &RawSubsystem| raw.add_listener_ext(&address, opts).await;
        self.change(add).await?;
        self.listeners.push(address);
        Ok(())
    }

    pub(super) async fn remove_listener(&mut self, address: NvmfAddress) -> Result<()> {
        const CALL: &str = "spdk_nvmf_subsystem_remove_listener";
        let trid = address.to_c();
        let removed = self
            .set(CALL, &address.to_string(), |raw| {
                // SAFETY: the subsystem exists, and is paused or not started; the address is copied.
                unsafe { sys::spdk_nvmf_subsystem_remove_listener(raw, &trid) }
            })
            .await;
        // Without it a JSON-RPC method has removed it.
        let is_gone = |error: &Error| error.errno() == Some(Errno::ENOENT);
        if removed.as_ref().err().is_none_or(is_gone) {
            self.listeners.retain(|one| *one != address);
        }
        removed
    }
}
