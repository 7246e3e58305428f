//! The device below a blobstore: a bdev, or one written in Rust.
#![allow(unsafe_code)] // Makes `spdk_bs_dev`s, which the blobstore that gets them destroys.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::ptr;
use std::rc::Rc;

use super::bdev_io;
use super::block_device::BlockDevice;
use super::bs_dev;
use super::external::Find;
use crate::bdev_claim;
use crate::error::ErrorKind;
use crate::panic::guard;
use crate::{Bdev, Errno, Error, sys, task};

type Destroy = unsafe extern "C" fn(*mut sys::spdk_bs_dev);

thread_local! {
    /// The devices that this OS thread has open, by the contexts of their events. SPDK destroys one when it does not
    /// need it any more, which may be later than the end of the call that it was given to.
    static DEVICES: RefCell<HashMap<usize, Watched>> = RefCell::default();
    static NEXT: Cell<usize> = const { Cell::new(1) };
}

struct Watched {
    dev: *mut sys::spdk_bs_dev,
    /// SPDK's own function.
    destroy: Option<Destroy>,
    is_removed: bool,
    on_removal: Option<Box<dyn FnOnce()>>,
    closed: Option<oneshot::Sender<()>>,
    /// What SPDK finds external snapshots by.
    find: Option<Rc<Find>>,
}

/// A device for a blobstore.
pub(super) struct Device {
    name: Box<str>,
    dev: *mut sys::spdk_bs_dev,
    key: usize,
    kind: Kind,
    /// Whether it is not ours any more.
    is_given: Cell<bool>,
}

#[derive(Clone, Copy)]
enum Kind {
    Bdev,
    /// One written in Rust, and how SPDK is told of its size.
    Own(unsafe fn(*mut sys::spdk_bs_dev)),
}

unsafe extern "C" fn on_event(
    kind: sys::spdk_bdev_event_type,
    _: *mut sys::spdk_bdev,
    key: *mut c_void,
) {
    guard("event of a blobstore's device", || {
        if kind != sys::SPDK_BDEV_EVENT_REMOVE {
            return;
        }
        let action = DEVICES.with_borrow_mut(|devices| {
            let watched = devices.get_mut(&key.addr())?;
            watched.is_removed = true;
            watched.on_removal.take()
        });
        if let Some(action) = action {
            action();
        }
    });
}

/// Stands in for SPDK's function in a device, to see when that is closed.
unsafe extern "C" fn destroy(dev: *mut sys::spdk_bs_dev) {
    guard("end of a blobstore's device", || {
        let watched = DEVICES.with_borrow_mut(|devices| {
            let key = devices.iter().find(|(_, watched)| watched.dev == dev);
            let key = key.map(|(key, _)| *key)?;
            devices.remove(&key)
        });
        let Some(watched) = watched else {
            unreachable!("a device is closed once, on the spdk_thread that opened it");
        };
        if let Some(destroy) = watched.destroy {
            // SAFETY: it is the function of this device, called once in its place.
            unsafe { destroy(dev) };
        }
        if let Some(closed) = watched.closed {
            // It may have dropped its future.
            let _ = closed.send(());
        }
    });
}

unsafe extern "C" fn fail_read(
    _: *mut sys::spdk_bs_dev,
    _: *mut sys::spdk_io_channel,
    _: *mut c_void,
    _: u64,
    _: u32,
    args: *mut sys::spdk_bs_dev_cb_args,
) {
    // SAFETY: a request is ended once, by the function that came with it, which may be called at once.
    unsafe {
        if let Some(done) = (*args).cb_fn {
            done((*args).channel, (*args).cb_arg, -libc::EIO);
        }
    }
}

/// The error of a call that names a bdev.
pub(super) fn told(name: &str, error: Error) -> Error {
    match error.errno() {
        Some(Errno::ENODEV) => {
            let name = name.to_owned();
            ErrorKind::NoSuchBdev { name }.into()
        }
        _ => error,
    }
}

impl Device {
    /// Opens a bdev, for writing, and claims it.
    pub(super) fn open(name: &str) -> Result<Self, Errno> {
        // A bdev has a C string for a name.
        let c_name = CString::new(name).map_err(|_| Errno::ENODEV)?;
        let key = next_key();
        let dev = create(&c_name, key)?;
        // SAFETY: it was just made.
        unsafe { bdev_io::take_over(dev) };
        // SAFETY: it was just made, for us. An event comes by a message, so none has come yet.
        let device = unsafe { Device::watch(name, dev, key, Kind::Bdev) };
        // SAFETY: as above.
        let block_size = unsafe { (*dev).blocklen };
        // SPDK does not look, and writes metadata that it does not find again.
        if !bs_dev::is_block_size(block_size) {
            return Err(Errno::EINVAL);
        }
        // SAFETY: it was just made on the current spdk_thread; the module is a static.
        let rc = unsafe { sys::spdk_bs_bdev_claim(dev, bdev_claim::module()) };
        match rc {
            0 => Ok(device),
            rc => Err(Errno::from_code(rc)),
        }
    }

    /// Takes a device written in Rust.
    pub(super) fn own<D: BlockDevice>(device: D) -> Result<Self, Errno> {
        let dev = bs_dev::new(device)?.as_ptr();
        let kind = Kind::Own(bs_dev::update_size::<D>);
        // SAFETY: it was just made, for us.
        Ok(unsafe { Device::watch(std::any::type_name::<D>(), dev, next_key(), kind) })
    }

    /// # Safety
    /// The device is the caller's, and nobody uses it yet.
    unsafe fn watch(name: &str, dev: *mut sys::spdk_bs_dev, key: usize, kind: Kind) -> Self {
        // SAFETY: as the caller says.
        let destroy = unsafe { (*dev).destroy.replace(destroy) };
        let watched = Watched {
            dev,
            destroy,
            is_removed: false,
            on_removal: None,
            closed: None,
            find: None,
        };
        DEVICES.with_borrow_mut(|devices| devices.insert(key, watched));
        Device {
            name: name.into(),
            dev,
            key,
            kind,
            is_given: Cell::new(false),
        }
    }

    /// Keeps what SPDK finds external snapshots by, as long as the device exists: it is there as long as its store.
    pub(super) fn keep(&self, find: Find) -> *mut c_void {
        let find = Rc::new(find);
        let context = Rc::as_ptr(&find).cast_mut().cast();
        DEVICES.with_borrow_mut(|devices| {
            if let Some(watched) = devices.get_mut(&self.key) {
                watched.find = Some(find);
            }
        });
        context
    }

    /// What it is, for messages.
    pub(super) fn label(&self) -> String {
        match self.kind {
            Kind::Bdev => format!("bdev {:?}", self.name),
            Kind::Own(_) => self.name.to_string(),
        }
    }

    /// How many clusters of this size it has.
    pub(super) fn clusters(&self, cluster_size: u32) -> u64 {
        // SAFETY: it exists.
        let (blocks, block_size) = unsafe { ((*self.dev).blockcnt, (*self.dev).blocklen) };
        let bytes = blocks.saturating_mul(block_size.into());
        bytes.checked_div(cluster_size.into()).unwrap_or(0)
    }

    /// Tells SPDK of its size, which may have become larger.
    ///
    /// # Safety
    /// It has not been closed, and this is the spdk_thread that opened it.
    pub(super) unsafe fn update_size(&self) {
        // SAFETY: as the caller says.
        unsafe {
            match self.kind {
                Kind::Bdev => sys::spdk_bdev_update_bs_blockcnt(self.dev),
                Kind::Own(update) => update(self.dev),
            }
        }
    }

    /// The name of the bdev, or of the type of a device written in Rust.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// For a call that takes it over.
    pub(super) fn give(&self) -> *mut sys::spdk_bs_dev {
        self.is_given.set(true);
        self.dev
    }

    /// After a call that has not taken it over.
    pub(super) fn take_back(&self) {
        self.is_given.set(false);
    }

    /// For who has taken it over, when the operation that gave it has ended.
    pub(super) fn share(&self) -> Device {
        Device {
            name: self.name.clone(),
            is_given: Cell::new(true),
            ..*self
        }
    }

    /// The device, for a call that does not take it over.
    pub(super) fn as_ptr(&self) -> *mut sys::spdk_bs_dev {
        self.dev
    }

    /// Ready when SPDK has closed the bdev. On the spdk_thread that opened it.
    pub(super) fn closed(&self) -> oneshot::AsyncReceiver<()> {
        let (tx, rx) = oneshot::async_channel();
        DEVICES.with_borrow_mut(|devices| {
            if let Some(watched) = devices.get_mut(&self.key) {
                watched.closed = Some(tx);
            }
        });
        rx
    }

    /// Runs it once the bdev is being removed, or now. On the spdk_thread that opened it.
    pub(super) fn on_removal(&self, f: impl FnOnce() + 'static) {
        let f = DEVICES.with_borrow_mut(|devices| match devices.get_mut(&self.key) {
            Some(watched) if !watched.is_removed => {
                watched.on_removal = Some(Box::new(f));
                None
            }
            _ => Some(f),
        });
        if let Some(f) = f {
            f();
        }
    }

    /// Has the reads fail that come from now on.
    ///
    /// # Safety
    /// It has not been closed, and only the current spdk_thread uses it.
    pub(super) unsafe fn fail_reads(&self) {
        // SAFETY: as the caller says.
        unsafe { (*self.dev).read = Some(fail_read) };
    }

    /// Asks a bdev to end what is in flight on it. It does not wait.
    pub(super) fn reset(&self) {
        if matches!(self.kind, Kind::Own(_)) {
            return;
        }
        let reset = |name: &str| -> crate::Result<()> {
            let desc = Bdev::find(name)?.open(false)?;
            let channel = desc.get_io_channel()?;
            drop(task::spawn_local(async move { desc.reset(&channel).await }));
            Ok(())
        };
        if let Err(error) = reset(&self.name) {
            tracing::warn!(%error, "the device of a blobstore was not reset");
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if !self.is_given.get() {
            // SAFETY: it is ours, on the spdk_thread that opened it: only there is one dropped that was not given
            // away.
            unsafe { destroy(self.dev) };
        }
    }
}

fn next_key() -> usize {
    NEXT.replace(NEXT.get() + 1)
}

fn create(name: &CString, key: usize) -> Result<*mut sys::spdk_bs_dev, Errno> {
    let mut dev = ptr::null_mut();
    // SAFETY: the name is a C string, which is copied. The context is a number.
    let rc = unsafe {
        let context = ptr::without_provenance_mut(key);
        sys::spdk_bdev_create_bs_dev_ext(name.as_ptr(), Some(on_event), context, &mut dev)
    };
    match rc {
        0 => Ok(dev),
        rc => Err(Errno::from_code(rc)),
    }
}
