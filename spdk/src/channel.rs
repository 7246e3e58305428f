//! I/O channels.
#![allow(unsafe_code)] // Owns `spdk_io_channel`s, which stay with their spdk_thread and their device.

use std::fmt;
use std::ptr::NonNull;

use crate::bdev::BdevDescObject;
use crate::error::{Describe, Fault};
use crate::handle::{Handle, Hold, Object, Subject};
use crate::local::Local;
use crate::sys;
use crate::thread::CurrentThread;

/// A device's I/O channel on one spdk_thread.
///
/// Made by the device it belongs to, such as
/// [`BdevDesc::get_io_channel`](crate::BdevDesc::get_io_channel), and used with it on the spdk_thread
/// that made it. It keeps the device open, whatever order you drop them in, and lives on underneath
/// until the operations in flight on it have ended.
///
/// SPDK gives a channel up in a message to its spdk_thread, which has room for 65,535 of them. When an spdk_thread has given
/// back thousands that have not gone yet, it gets no new ones (`EAGAIN`), and what it drops is given back in one of the next
/// turns. So a loop that makes and drops as many has to `.await` in between, such as [`yield_now`](crate::task::yield_now).
///
/// # Thread
///
/// `!Send` and `!Sync`. On another spdk_thread of the same OS thread, operations fail with
/// [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread), and a drop sends the release home.
#[doc(alias = "spdk_io_channel")]
pub struct IoChannel(Handle<IoChannelObject>);

/// `spdk_io_channel`, given back with `spdk_put_io_channel`.
#[doc(hidden)]
pub enum IoChannelObject {}

/// What a channel belongs to.
#[doc(hidden)]
pub struct ChannelExtra {
    /// The address of the C device; the same for every descriptor of it.
    pub(crate) device: *const (),
    name: Box<str>,
    owner: Box<dyn ChannelOwner>,
    /// The I/Os on it, if it is the channel of a blobstore.
    #[cfg(feature = "blob")]
    pub(crate) requests: Option<std::rc::Rc<crate::blob::Requests>>,
}

/// What keeps a channel's device open.
pub(crate) trait ChannelOwner {
    /// Submits a reset of the device, which makes it end its operations in flight.
    fn reset(&self, ch: Hold<IoChannelObject>);
    /// The descriptor, if the device is a bdev.
    fn bdev_desc(&self) -> Option<&Handle<BdevDescObject>>;
    /// The I/Os on it, if the device is a blobstore.
    #[cfg(feature = "blob")]
    fn requests(&self) -> Option<&std::rc::Rc<crate::blob::Requests>> {
        None
    }
    /// Called once the channel was given back.
    fn is_given_back(&self) {}
}

// SAFETY: `spdk_put_io_channel` takes the reference that `IoChannel::adopt` was given.
unsafe impl Object for IoChannelObject {
    type C = sys::spdk_io_channel;
    type Extra = ChannelExtra;
    const NAME: &'static str = "IoChannel";
    const SENDS_MESSAGE: bool = true;

    unsafe fn release(ptr: NonNull<Self::C>, extra: &Self::Extra) {
        // SAFETY: on the channel's spdk_thread, once, with no I/O in flight on it.
        unsafe { sys::spdk_put_io_channel(ptr.as_ptr()) }
        Local::has_given_back();
        extra.owner.is_given_back();
    }

    fn abort_operations(ch: Hold<Self>, reset: &mut Vec<*const ()>) {
        let device = ch.extra().device;
        if !reset.contains(&device) {
            reset.push(device);
            ch.extra().owner.reset(ch.clone());
        }
    }

    fn label(extra: &Self::Extra) -> String {
        format!("I/O channel of {}", extra.name)
    }
}

impl IoChannel {
    /// Takes ownership of a reference to a channel. `owner` keeps the device open.
    ///
    /// # Safety
    ///
    /// `ptr` is a reference to a channel of the current spdk_thread that the caller owns, of the
    /// device at `device`, which `owner` keeps open.
    pub(crate) unsafe fn adopt(
        ptr: NonNull<sys::spdk_io_channel>,
        device: *const (),
        name: Box<str>,
        owner: Box<dyn ChannelOwner>,
    ) -> Result<Self, Fault> {
        let extra = ChannelExtra {
            device,
            name,
            #[cfg(feature = "blob")]
            requests: owner.requests().cloned(),
            owner,
        };
        // SAFETY: passed on.
        Ok(IoChannel(unsafe { Handle::adopt(ptr, extra) }?))
    }

    /// The descriptor that keeps the channel's bdev open.
    pub(crate) fn bdev_desc(&self) -> Option<&Handle<BdevDescObject>> {
        self.0.extra().owner.bdev_desc()
    }

    /// The spdk_thread that the channel belongs to.
    #[doc(alias = "spdk_io_channel_get_thread")]
    pub fn thread(&self) -> CurrentThread {
        CurrentThread::of(self.0.local().shared().clone())
    }

    /// The C object, for calls that this crate does not wrap; null when the channel is gone.
    pub fn as_ptr(&self) -> *mut sys::spdk_io_channel {
        self.0.as_ptr()
    }
}

impl Subject for IoChannel {
    type O = IoChannelObject;
    fn handle(&self) -> &Handle<IoChannelObject> {
        &self.0
    }
}

impl Describe for IoChannel {
    fn describe(&self) -> String {
        IoChannelObject::label(self.0.extra())
    }
}

impl fmt::Debug for IoChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IoChannel")
            .field(&self.0.extra().name)
            .finish()
    }
}
