//! The I/O channels of a blobstore.
#![allow(unsafe_code)] // Takes over the references that C gives.

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

use super::blobstore::Blobstore;
use super::requests::Requests;
use super::store::{Store, Use};
use super::users;
use crate::bdev::BdevDescObject;
use crate::channel::{ChannelOwner, IoChannel, IoChannelObject};
use crate::error::{At, Fault, Result};
use crate::handle::{Handle, Hold, Subject};
use crate::local::{Here, Local};
use crate::{Errno, interrupt, sys};

thread_local! {
    /// The stores that a channel is being made of on this OS thread, one inside of the other.
    static MAKING: RefCell<Vec<*mut sys::spdk_blob_store>> = const { RefCell::new(Vec::new()) };
}

/// A channel of a store is being made until this is dropped.
///
/// That calls [`BlockDevice::channel`](super::BlockDevice::channel), to which SPDK would give the channel as far as it is.
struct Making;

impl Making {
    fn begin(bs: *mut sys::spdk_blob_store) -> std::result::Result<Self, Fault> {
        MAKING.with_borrow_mut(|making| match making.contains(&bs) {
            true => Err(Fault::invalid(
                "the device that the channel is made of asks for it",
            )),
            false => {
                making.push(bs);
                Ok(Making)
            }
        })
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        MAKING.with_borrow_mut(|making| making.pop());
    }
}

impl Blobstore {
    /// Gets the store's I/O channel of the current spdk_thread, for I/O on blobs that are opened there.
    ///
    /// It keeps the store loaded. Wraps `spdk_bs_alloc_io_channel`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`: there was none for [`BsOpts::max_channel_ops`](super::BsOpts::max_channel_ops) requests.
    /// `EAGAIN`: this spdk_thread has given back thousands of channels just now.
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the store was unloaded or its device removed.
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) inside of the
    /// [`BlockDevice::channel`](super::BlockDevice::channel) that makes it.
    /// [`ErrorKind::NoThread`](crate::ErrorKind::NoThread) without a current spdk_thread.
    #[doc(alias = "spdk_bs_alloc_io_channel")]
    #[doc(alias = "spdk_bs_free_io_channel")]
    pub fn alloc_io_channel(&self) -> Result<IoChannel> {
        let at = At::new("spdk_bs_alloc_io_channel", self);
        self.open_channel().map_err(|fault| fault.at(at))
    }

    fn open_channel(&self) -> std::result::Result<IoChannel, Fault> {
        let _here = Here::now()?;
        interrupt::check_descriptors()?;
        Local::check_room()?;
        let part = self.store().enter()?;
        let bs = self.store().as_ptr();
        let making = Making::begin(bs)?;
        // SAFETY: the store is loaded, and any spdk_thread may have a channel of it. It is made, or was.
        let ch = unsafe { sys::spdk_bs_alloc_io_channel(bs) };
        drop(making);
        let ch = NonNull::new(ch).ok_or_else(|| Fault::errno(Errno::ENOMEM))?;
        let device = bs.cast_const().cast();
        let name = self.store().label().into();
        let owner = ChannelUse {
            store: self.store().clone(),
            part: Cell::new(Some(part)),
            is_owner: Cell::new(true),
            requests: Requests::of(
                ch,
                self.store().max_channel_ops(),
                self.store().holds_new_channels(),
            ),
        };
        // SAFETY: the reference was just taken, on this spdk_thread; the use of the store keeps it loaded.
        let channel = unsafe { IoChannel::adopt(ch, device, name, Box::new(owner)) }?;
        users::add_channel(self.store(), channel.handle());
        Ok(channel)
    }
}

/// What keeps the store of a channel loaded, until that is given back: one that is leaked must not.
struct ChannelUse {
    store: Arc<Store>,
    part: Cell<Option<Use>>,
    requests: Rc<Requests>,
    /// Whether it is an owner of the requests.
    is_owner: Cell<bool>,
}

impl ChannelOwner for ChannelUse {
    fn reset(&self, _: Hold<IoChannelObject>) {
        let store = self.store.clone();
        // Refused by a thread that has ended, and then nothing is in flight.
        self.store.home().send(move || store.device().reset());
    }

    fn bdev_desc(&self) -> Option<&Handle<BdevDescObject>> {
        None
    }

    fn requests(&self) -> Option<&Rc<Requests>> {
        Some(&self.requests)
    }

    fn is_given_back(&self) {
        if self.is_owner.replace(false) {
            self.requests.is_given_back();
        }
        self.part.take();
    }
}

impl Drop for ChannelUse {
    /// Without a channel, if there was no spdk_thread for it.
    fn drop(&mut self) {
        self.is_given_back();
    }
}
