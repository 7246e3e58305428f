//! [`Blobstore`].
#![allow(unsafe_code)] // Calls what is at home on the metadata thread, there.

use std::cell::Cell;
use std::ffi::c_int;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::block_device::BlockDevice;
use super::callbacks::{BlobOpWithHandleComplete, BsOpWithHandleComplete};
use super::calls::{called, context};
use super::device::{self, Device};
use super::external;
use super::handle::{Blob, raw_id, report};
use super::id::BlobId;
use super::options::{BlobOpts, BsOpts, BsType};
use super::remote::{Part, StoreHold, metadata, visit};
use super::requests::Requests;
use super::store::{Ending, RawBlob, Store, Use};
use super::users;
use crate::call::call;
use crate::channel::{ChannelOwner, IoChannel, IoChannelObject};
use crate::error::{At, Describe, Fault, Result};
use crate::generated::blob::{BlobOpComplete, BlobOpWithIdComplete, BlobOpenOpts, BsOpComplete};
use crate::handle::{Handle, Hold, Subject};
use crate::local::{Caller, Here, Local};
use crate::op::{Submitted, op, status};
use crate::time::sleep;
use crate::{Errno, ThreadHandle, sys};

/// How long a device may stay open whose store SPDK could not load or make.
const CLOSE: Duration = Duration::from_secs(1);

/// A loaded blobstore.
///
/// It is a handle of which there can be any number: a clone is another one. They go to other spdk_threads, and
/// calls through them run on the store's metadata thread, the one that loaded it.
///
/// # Drop
///
/// The store is unloaded in the background when its last handle and the last of its blobs and channels are gone,
/// in whatever order that happens. An error of it is only logged: [`Blobstore::unload`] reports it. A store whose
/// device is removed, or whose metadata thread ends, has its blobs and channels given back as soon as nothing is
/// in flight on them, wherever they are; they report [`ErrorKind::Gone`](crate::ErrorKind::Gone) then.
///
/// # Thread
///
/// `Send` and `Sync`. Its calls need an spdk_thread, any one.
#[doc(alias = "spdk_blob_store")]
pub struct Blobstore(Arc<Store>);

/// A C function that loads a store: consumes the device, and calls back once.
type Load = unsafe extern "C" fn(
    *mut sys::spdk_bs_dev,
    *mut sys::spdk_bs_opts,
    sys::spdk_bs_op_with_handle_complete,
    *mut std::ffi::c_void,
);

impl Blobstore {
    /// Makes a blobstore on a bdev. What was on that is lost.
    ///
    /// The bdev is opened for writing and claimed, so that nobody else can write to it until the store is
    /// unloaded. Without `opts`, SPDK's defaults are taken.
    ///
    /// Wraps `spdk_bdev_create_bs_dev_ext`, `spdk_bs_bdev_claim` and `spdk_bs_init`.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::NoSuchBdev`](crate::ErrorKind::NoSuchBdev): no bdev has this name.
    /// - `EPERM`: somebody else has claimed the bdev, such as another blobstore.
    /// - `EINVAL`: an option is wrong. SPDK's log says which.
    /// - `ENOMEM`: the metadata does not fit, or there is no memory.
    /// - `EIO`: the device failed. SPDK 26.01 keeps it open then, until the process ends.
    /// - [`ErrorKind::NoThread`](crate::ErrorKind::NoThread) without a current spdk_thread.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the call but does not stop it:
    /// the store is made, and unloaded then.
    ///
    /// # Thread
    ///
    /// Any spdk_thread, which is the store's metadata thread then.
    #[doc(alias = "spdk_bs_init")]
    #[doc(alias = "spdk_bdev_create_bs_dev_ext")]
    #[doc(alias = "spdk_bs_bdev_claim")]
    pub async fn init(bdev: &str, opts: Option<&BsOpts>) -> Result<Self> {
        Self::on_bdev("spdk_bs_init", sys::spdk_bs_init, bdev, opts).await
    }

    /// Makes a blobstore on a device written in Rust. What was on that is lost.
    ///
    /// The store takes the device, and drops it when it is unloaded. A device that is to be there afterwards is an
    /// [`Arc`] of what the device is made of.
    ///
    /// Wraps `spdk_bs_init`.
    ///
    /// # Errors
    ///
    /// `EINVAL`: the size of a block is none that a device can have. And those of [`Blobstore::init`] about the store.
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Blobstore::init`].
    #[doc(alias = "spdk_bs_init")]
    pub async fn init_on(device: impl BlockDevice, opts: Option<&BsOpts>) -> Result<Self> {
        Self::on_device("spdk_bs_init", sys::spdk_bs_init, device, opts).await
    }

    /// Loads the blobstore that a bdev has.
    ///
    /// The bdev is opened for writing and claimed, as by [`Blobstore::init`]. A store that was not unloaded in
    /// order is recovered from the metadata of its blobs.
    ///
    /// Wraps `spdk_bs_load`.
    ///
    /// # Errors
    ///
    /// `EILSEQ`: the bdev has no blobstore, or a damaged one, or its super block could not be read, which SPDK does not
    /// tell apart. `ENXIO`: the store is not of the type in `opts`. And those of [`Blobstore::init`]. After `EIO` SPDK 26.01
    /// keeps the bdev open if what it could not read was the list of the blobs: the application waits for that at its end, and
    /// has to be ended from outside.
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Blobstore::init`].
    #[doc(alias = "spdk_bs_load")]
    pub async fn load(bdev: &str, opts: Option<&BsOpts>) -> Result<Self> {
        Self::on_bdev("spdk_bs_load", sys::spdk_bs_load, bdev, opts).await
    }

    /// Loads the blobstore that a device written in Rust has.
    ///
    /// Wraps `spdk_bs_load`.
    ///
    /// # Errors, cancellation, thread
    ///
    /// As for [`Blobstore::init_on`] and [`Blobstore::load`].
    #[doc(alias = "spdk_bs_load")]
    pub async fn load_on(device: impl BlockDevice, opts: Option<&BsOpts>) -> Result<Self> {
        Self::on_device("spdk_bs_load", sys::spdk_bs_load, device, opts).await
    }

    /// Loads the blobstore that a bdev has, and has it use all of the bdev, which is larger than when the store was
    /// made.
    ///
    /// Wraps `spdk_bs_grow`. [`Blobstore::grow`] does it for a store that is loaded.
    ///
    /// # Errors
    ///
    /// `ENOSPC`: the store has no room for the metadata of a larger one. And those of [`Blobstore::load`].
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Blobstore::init`].
    #[doc(alias = "spdk_bs_grow")]
    pub async fn load_grown(bdev: &str, opts: Option<&BsOpts>) -> Result<Self> {
        Self::on_bdev("spdk_bs_grow", sys::spdk_bs_grow, bdev, opts).await
    }

    /// Loads the blobstore that a device written in Rust has, and has it use all of the device, which is larger than
    /// when the store was made.
    ///
    /// Wraps `spdk_bs_grow`.
    ///
    /// # Errors, cancellation, thread
    ///
    /// As for [`Blobstore::init_on`] and [`Blobstore::load_grown`].
    #[doc(alias = "spdk_bs_grow")]
    pub async fn load_grown_on(device: impl BlockDevice, opts: Option<&BsOpts>) -> Result<Self> {
        Self::on_device("spdk_bs_grow", sys::spdk_bs_grow, device, opts).await
    }

    async fn on_bdev(
        operation: &'static str,
        load: Load,
        bdev: &str,
        opts: Option<&BsOpts>,
    ) -> Result<Self> {
        let result = Self::begin(operation, load, || Device::open(bdev), bdev, opts).await;
        result.map_err(|error| device::told(bdev, error))
    }

    async fn on_device<D: BlockDevice>(
        operation: &'static str,
        load: Load,
        device: D,
        opts: Option<&BsOpts>,
    ) -> Result<Self> {
        let name = std::any::type_name::<D>();
        Self::begin(operation, load, || Device::own(device), name, opts).await
    }

    async fn begin(
        operation: &'static str,
        load: Load,
        open: impl FnOnce() -> std::result::Result<Device, Errno>,
        name: &str,
        opts: Option<&BsOpts>,
    ) -> Result<Self> {
        let opts = opts.cloned().unwrap_or_default();
        let max_channel_ops = opts.ios() as usize;
        let mut closed = None;
        let start = |_: Caller<'_>| {
            let (here, device) = (Here::now()?, open()?);
            let mut raw = opts.to_c();
            // SPDK counts clusters with 32 bits, and does not look whether they fit.
            if device.clusters(raw.cluster_sz) > u32::MAX.into() {
                return Err(Fault::errno(Errno::EINVAL));
            }
            if let Some(find) = opts.find() {
                raw.esnap_bs_dev_create = Some(external::find);
                raw.esnap_ctx = device.keep(find);
            }
            let held = (here, device, raw);
            closed = Some(held.1.closed());
            let submit =
                move |(_, device, opts): &mut (Here, Device, sys::spdk_bs_opts), done, arg| {
                    // SAFETY: the device is ours, and goes to the call. The options are copied; the context among them
                    // is kept as long as the device.
                    unsafe { load(device.give(), opts, done, arg) };
                    Submitted::Pending
                };
            let finish = move |(_, device, _): &mut (Here, Device, _),
                               (bs, rc): (*mut _, c_int)| {
                let loaded = status(rc)
                    .and_then(|()| NonNull::new(bs).ok_or_else(|| Fault::errno(Errno::ENOMEM)));
                // SAFETY: it was loaded on this spdk_thread, from this device, for us.
                loaded
                    .and_then(|bs| unsafe { Blobstore::adopt(bs, device.share(), max_channel_ops) })
            };
            // SAFETY: the call calls back once, on this spdk_thread, and touches nothing of ours but the device,
            // which it has taken over.
            Ok(unsafe { op::<BsOpWithHandleComplete, _, _>(submit, finish, held) })
        };
        let result = call(start, || At::name(operation, name)).await;
        if let (Err(error), Some(closed)) = (&result, closed) {
            // When it is, the device can be opened again. But SPDK 26.01 forgets a store whose super block it did not
            // write, or of whose blobs it could not read the list, and never closes its device.
            let (mut closed, mut late) = (pin!(closed), pin!(sleep(CLOSE)));
            let may_stay = error.errno() == Some(Errno::EIO);
            let is_closed = poll_fn(|cx| match closed.as_mut().poll(cx) {
                Poll::Ready(_) => Poll::Ready(true),
                Poll::Pending if may_stay => late.as_mut().poll(cx).map(|_| false),
                Poll::Pending => Poll::Pending,
            });
            if !is_closed.await {
                tracing::error!(
                    name,
                    "SPDK keeps the device of a blobstore that it could not load or make"
                );
            }
        }
        result
    }

    /// # Safety
    /// As for [`Store::adopt`].
    unsafe fn adopt(
        bs: NonNull<sys::spdk_blob_store>,
        device: Device,
        max_channel_ops: usize,
    ) -> std::result::Result<Self, Fault> {
        // SAFETY: passed on.
        let store = unsafe { Store::adopt(bs, device, max_channel_ops, None) }?;
        let this = Blobstore::of(store);
        this.0.watch_device();
        Ok(this)
    }

    /// Another handle.
    pub(super) fn of(store: Arc<Store>) -> Self {
        store.add_handle();
        Blobstore(store)
    }

    pub(super) fn store(&self) -> &Arc<Store> {
        &self.0
    }

    /// Unloads the store, for all of its handles.
    ///
    /// What was not synced of its blobs has been written when they were closed. Wraps `spdk_bs_unload`.
    ///
    /// # Errors
    ///
    /// - `EBUSY`: a blob or a channel of it is open, or a call is in flight. It stays loaded, and another try may
    ///   go better. Blobs and channels that were dropped do not count, even if something was in flight on them
    ///   that has ended.
    /// - `EIO`: the device failed. The store is unloaded all the same, and recovered when it is loaded again.
    /// - Another errno: it stays loaded.
    /// - [`ErrorKind::Gone`](crate::ErrorKind::Gone) when it was unloaded before, and
    ///   [`ErrorKind::NoThread`](crate::ErrorKind::NoThread) without a current spdk_thread.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the unload but does not stop
    /// it.
    ///
    /// # Thread
    ///
    /// Any spdk_thread.
    #[doc(alias = "spdk_bs_unload")]
    pub async fn unload(&self) -> Result<()> {
        self.end("spdk_bs_unload", Ending::Unload).await
    }

    /// Unloads the store, for all of its handles, and overwrites its super block, so that the bdev has none any
    /// more.
    ///
    /// Wraps `spdk_bs_destroy`.
    ///
    /// # Errors
    ///
    /// `EIO`: the device failed; the store stays loaded. And those of [`Blobstore::unload`].
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Blobstore::unload`].
    #[doc(alias = "spdk_bs_destroy")]
    pub async fn destroy(&self) -> Result<()> {
        self.end("spdk_bs_destroy", Ending::Destroy).await
    }

    pub(super) fn end(
        &self,
        operation: &'static str,
        ending: Ending,
    ) -> impl Future<Output = Result<()>> {
        let at = move || At::new(operation, self);
        let hold = |_: Caller<'_>| Ok((StoreHold::new(self.0.enter_to_end()?)?, ()));
        let target = self.0.clone();
        let call = move |_, _: *mut (), done, arg| {
            target.try_end(ending, move |rc| report(done, arg, rc));
        };
        // SAFETY: `report` is called once, on the metadata thread.
        unsafe { metadata::<BsOpComplete, _, _, _>(at, hold, call, |_, rc| status(rc)) }
    }

    /// Has the store use all of its device, which has become larger.
    ///
    /// Blobs may be open. Wraps `spdk_bdev_update_bs_blockcnt` and `spdk_bs_grow_live`.
    ///
    /// # Errors
    ///
    /// `ENOSPC`: the store has no room for the metadata of a larger one. `EILSEQ`: the bdev is smaller than the store.
    /// `EIO`: the device failed. And those of [`Blobstore::open_blob`] about the store.
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Blobstore::unload`].
    #[doc(alias = "spdk_bs_grow_live")]
    #[doc(alias = "spdk_bdev_update_bs_blockcnt")]
    pub async fn grow(&self) -> Result<()> {
        let target = self.0.clone();
        let call = move |bs, _: *mut (), done, arg| {
            // SAFETY: the store is loaded, from this device, and this is its metadata thread.
            unsafe {
                target.device().update_size();
                sys::spdk_bs_grow_live(bs, done, arg);
            }
        };
        let at = || At::new("spdk_bs_grow_live", self);
        // SAFETY: as above; it calls back once.
        unsafe {
            metadata::<BsOpComplete, _, _, _>(
                at,
                |_: Caller<'_>| self.hold(),
                call,
                |_, rc| status(rc),
            )
        }
        .await
    }

    pub(super) fn shared(&self) -> &Arc<Store> {
        &self.0
    }

    /// What an operation on the store holds.
    pub(super) fn hold(&self) -> std::result::Result<(StoreHold, ()), Fault> {
        Ok((StoreHold::new(self.0.enter()?)?, ()))
    }

    /// Runs a closure with the store on its metadata thread, while it is loaded.
    pub(super) fn visit<'a, R: Send + 'static>(
        &'a self,
        operation: &'static str,
        f: impl FnOnce(*mut sys::spdk_blob_store) -> std::result::Result<R, Fault> + Send + 'static,
    ) -> impl Future<Output = Result<R>> + 'a {
        let at = move || At::new(operation, self);
        let hold = |_: Caller<'_>| StoreHold::new(self.0.enter()?);
        // SAFETY: it is loaded, and the closure runs on the metadata thread.
        unsafe { visit(at, hold, f) }
    }

    /// Gets the store's I/O channel of the current spdk_thread, for I/O on blobs that are opened there.
    ///
    /// It keeps the store loaded. Wraps `spdk_bs_alloc_io_channel`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`: there was none for [`BsOpts::max_channel_ops`] requests. [`ErrorKind::Gone`](crate::ErrorKind::Gone)
    /// when the store was unloaded or its device removed. [`ErrorKind::NoThread`](crate::ErrorKind::NoThread) without a
    /// current spdk_thread.
    #[doc(alias = "spdk_bs_alloc_io_channel")]
    #[doc(alias = "spdk_bs_free_io_channel")]
    pub fn alloc_io_channel(&self) -> Result<IoChannel> {
        let at = At::new("spdk_bs_alloc_io_channel", self);
        self.open_channel().map_err(|fault| fault.at(at))
    }

    fn open_channel(&self) -> std::result::Result<IoChannel, Fault> {
        let _here = Here::now()?;
        let part = self.0.enter()?;
        let bs = self.0.as_ptr();
        // SAFETY: the store is loaded, and any spdk_thread may have a channel of it.
        let ch = unsafe { sys::spdk_bs_alloc_io_channel(bs) };
        let ch = NonNull::new(ch).ok_or_else(|| Fault::errno(Errno::ENOMEM))?;
        let device = bs.cast_const().cast();
        let name = self.0.label().into();
        let owner = ChannelUse {
            store: self.0.clone(),
            part: Cell::new(Some(part)),
            is_owner: Cell::new(true),
            requests: Requests::of(ch, self.0.max_channel_ops(), self.0.holds_new_channels()),
        };
        // SAFETY: the reference was just taken, on this spdk_thread; the use of the store keeps it loaded.
        let channel = unsafe { IoChannel::adopt(ch, device, name, Box::new(owner)) }?;
        users::add_channel(&self.0, channel.handle());
        Ok(channel)
    }

    /// Makes a blob. It is durable when this returns.
    ///
    /// Wraps `spdk_bs_create_blob_ext`.
    ///
    /// # Errors
    ///
    /// - `ENOSPC`: there are not enough free clusters.
    /// - `ENOMEM`: there is no page for its metadata, or too many calls are in flight, see [`BsOpts::max_md_ops`].
    /// - `EIO`: the device failed.
    /// - [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the store was unloaded or its device removed.
    /// - [`ErrorKind::NoThread`](crate::ErrorKind::NoThread) without a current spdk_thread.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the call but does not stop it:
    /// the blob is made, and deleted again. Of one that is forgotten, by [`std::mem::forget`], the blob stays, and
    /// [`Blobstore::blobs`] finds it.
    ///
    /// # Thread
    ///
    /// Any spdk_thread.
    #[doc(alias = "spdk_bs_create_blob_ext")]
    #[doc(alias = "spdk_bs_create_blob")]
    pub async fn create_blob(&self, opts: Option<&BlobOpts>) -> Result<BlobId> {
        let default = BlobOpts::default();
        let opts = opts.unwrap_or(&default);
        let at = || At::new("spdk_bs_create_blob_ext", self);
        let hold = |_: Caller<'_>| Ok((self.hold()?.0, opts.to_c()?));
        // SAFETY: the store is loaded, and this is its metadata thread. It calls back once; the operation keeps
        // the options, and what they point to.
        let call = |bs, opts: *mut super::options::CBlobOpts, done, arg| unsafe {
            sys::spdk_bs_create_blob_ext(bs, &raw const (*opts).raw, done, arg);
        };
        // SAFETY: as above.
        let new = unsafe { metadata::<BlobOpWithIdComplete, _, _, _>(at, hold, call, NewBlob::of) }
            .await?;
        Ok(new.keep())
    }

    /// Opens a blob.
    ///
    /// It can be open any number of times. Without `opts`, SPDK's defaults are taken.
    ///
    /// Wraps `spdk_bs_open_blob_ext`.
    ///
    /// # Errors
    ///
    /// - `ENOENT`: there is no such blob.
    /// - `EINVAL`, `EILSEQ`: its metadata is damaged.
    /// - `ENOMEM`: too many calls are in flight, see [`BsOpts::max_md_ops`].
    /// - `EIO`: the device failed.
    /// - [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the store was unloaded or its device removed.
    /// - [`ErrorKind::NoThread`](crate::ErrorKind::NoThread) without a current spdk_thread.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the call but does not stop it:
    /// the blob is opened, and closed again.
    ///
    /// # Thread
    ///
    /// Any spdk_thread, which the blob belongs to then.
    #[doc(alias = "spdk_bs_open_blob_ext")]
    #[doc(alias = "spdk_bs_open_blob")]
    pub async fn open_blob(&self, id: BlobId, opts: Option<&BlobOpenOpts>) -> Result<Blob> {
        let opts = opts.cloned().unwrap_or_default();
        let at = || At::new("spdk_bs_open_blob_ext", self);
        let hold = |_: Caller<'_>| Ok((self.hold()?.0, opts.to_c()));
        // SAFETY: the store is loaded, and this is its metadata thread. It calls back once, and copies the options.
        let call = move |bs, opts: *mut sys::spdk_blob_open_opts, done, arg| unsafe {
            sys::spdk_bs_open_blob_ext(bs, id.get(), opts, done, arg);
        };
        // SAFETY: as above.
        unsafe { metadata::<BlobOpWithHandleComplete, _, _, _>(at, hold, call, opened) }.await
    }

    /// Deletes a blob.
    ///
    /// A snapshot with one clone gives that what it has. With SPDK 26.01 that goes wrong if the clone has got another size
    /// since: one with an extent table may have the size of the snapshot when the store is loaded the next time, and lose
    /// what it had beyond that, or not be opened any more; and what lies beyond the end of the snapshot may be read from
    /// the parent of that. [`Blobstore::inflate_blob`] first, for the clone, helps.
    ///
    /// Wraps `spdk_bs_delete_blob`.
    ///
    /// # Errors
    ///
    /// `EBUSY`: it is open, or has more than one clone. And those of [`Blobstore::open_blob`].
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Blobstore::unload`].
    #[doc(alias = "spdk_bs_delete_blob")]
    pub async fn delete_blob(&self, id: BlobId) -> Result<()> {
        // SAFETY: the store is loaded, and this is its metadata thread.
        let call = move |bs, _: *mut (), done, arg| unsafe {
            sys::spdk_bs_delete_blob(bs, id.get(), done, arg);
        };
        let at = || At::new("spdk_bs_delete_blob", self);
        let hold = |_: Caller<'_>| self.hold();
        // SAFETY: as above; it calls back once.
        unsafe { metadata::<BlobOpComplete, _, _, _>(at, hold, call, |_, rc| status(rc)) }.await
    }

    /// Says which blob users of the store find first: its super blob, or none.
    ///
    /// It is durable when this returns. Wraps `spdk_bs_set_super`.
    ///
    /// # Errors
    ///
    /// `EIO`: the device failed. And those of [`Blobstore::open_blob`] about the store.
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Blobstore::unload`].
    #[doc(alias = "spdk_bs_set_super")]
    pub async fn set_super_blob(&self, id: Option<BlobId>) -> Result<()> {
        // SAFETY: the store is loaded, and this is its metadata thread.
        let call = move |bs, _: *mut (), done, arg| unsafe {
            sys::spdk_bs_set_super(bs, raw_id(id), done, arg);
        };
        let at = || At::new("spdk_bs_set_super", self);
        let hold = |_: Caller<'_>| self.hold();
        // SAFETY: as above; it calls back once.
        unsafe { metadata::<BsOpComplete, _, _, _>(at, hold, call, |_, rc| status(rc)) }.await
    }

    /// The super blob, if there is one.
    ///
    /// Wraps `spdk_bs_get_super`.
    ///
    /// # Errors
    ///
    /// Those of [`Blobstore::open_blob`] about the store.
    ///
    /// # Cancellation
    ///
    /// It changes nothing, so that nothing is left of a future that is dropped.
    ///
    /// # Thread
    ///
    /// Any spdk_thread.
    #[doc(alias = "spdk_bs_get_super")]
    pub async fn super_blob(&self) -> Result<Option<BlobId>> {
        // SAFETY: the store is loaded, and this is its metadata thread.
        let call = |bs, _: *mut (), done, arg| unsafe { sys::spdk_bs_get_super(bs, done, arg) };
        let at = || At::new("spdk_bs_get_super", self);
        let hold = |_: Caller<'_>| self.hold();
        let finish = |_: &StoreHold, (id, rc): (u64, c_int)| match -rc {
            libc::ENOENT => Ok(None),
            _ => status(rc).map(|()| BlobId::from_c(id)),
        };
        // SAFETY: as above; it calls back once.
        unsafe { metadata::<BlobOpWithIdComplete, _, _, _>(at, hold, call, finish) }.await
    }

    /// What the store is for.
    ///
    /// # Errors, cancellation, thread
    ///
    /// As for [`Blobstore::super_blob`].
    #[doc(alias = "spdk_bs_get_bstype")]
    pub async fn bstype(&self) -> Result<BsType> {
        // SAFETY: the store is loaded, and this is its metadata thread.
        let read = |bs| Ok(BsType::from_c(unsafe { sys::spdk_bs_get_bstype(bs) }));
        self.visit("spdk_bs_get_bstype", read).await
    }

    /// Takes the type of the store away, with an empty one: what it is for is not said any more. It is durable when the
    /// store is unloaded.
    ///
    /// SPDK 26.01 compares the type with the one on the device whenever it writes there, so that a store that got another
    /// one could not be unloaded any more. [`BsOpts::bstype`] gives a store its type when it is made.
    ///
    /// # Errors
    ///
    /// `ENOTSUP`: the type is another one than that of the store, and not empty. And those of [`Blobstore::super_blob`].
    ///
    /// # Cancellation
    ///
    /// As for [`Blobstore::unload`].
    ///
    /// # Thread
    ///
    /// Any spdk_thread.
    #[doc(alias = "spdk_bs_set_bstype")]
    pub async fn set_bstype(&self, bstype: BsType) -> Result<()> {
        let set = move |bs| {
            // SAFETY: the store is loaded, and this is its metadata thread.
            let now = BsType::from_c(unsafe { sys::spdk_bs_get_bstype(bs) });
            if bstype != now && bstype != BsType::default() {
                return Err(Fault::errno(Errno::ENOTSUP));
            }
            // SAFETY: as above.
            unsafe { sys::spdk_bs_set_bstype(bs, bstype.to_c()) };
            Ok(())
        };
        self.visit("spdk_bs_set_bstype", set).await
    }

    /// How many clusters are free.
    ///
    /// After a crash in the middle of making or deleting a snapshot, SPDK counts clusters twice that a blob and its
    /// snapshot had both, until the store is loaded once more.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the store was unloaded or its device removed.
    #[doc(alias = "spdk_bs_free_cluster_count")]
    pub fn free_clusters(&self) -> Result<u64> {
        let _part = self.entered("spdk_bs_free_cluster_count")?;
        // SAFETY: the store is loaded. It reads a number.
        Ok(unsafe { sys::spdk_bs_free_cluster_count(self.0.as_ptr()) })
    }

    /// How many clusters blobs can have altogether.
    ///
    /// # Errors
    ///
    /// As for [`Blobstore::free_clusters`].
    #[doc(alias = "spdk_bs_total_data_cluster_count")]
    pub fn total_clusters(&self) -> Result<u64> {
        let _part = self.entered("spdk_bs_total_data_cluster_count")?;
        // SAFETY: the store is loaded. It reads a number.
        Ok(unsafe { sys::spdk_bs_total_data_cluster_count(self.0.as_ptr()) })
    }

    /// How large the device may become for [`Blobstore::grow`], in bytes.
    ///
    /// # Errors, cancellation, thread
    ///
    /// As for [`Blobstore::super_blob`].
    #[cfg(spdk_has_spdk_bs_get_max_growable_size)]
    #[doc(alias = "spdk_bs_get_max_growable_size")]
    pub async fn max_growable_size(&self) -> Result<u64> {
        // SAFETY: the store is loaded, and this is its metadata thread.
        let read = |bs| Ok(unsafe { sys::spdk_bs_get_max_growable_size(bs) });
        self.visit("spdk_bs_get_max_growable_size", read).await
    }

    fn entered(&self, operation: &'static str) -> Result<Use> {
        self.0
            .enter()
            .map_err(|fault| fault.at(At::new(operation, self)))
    }

    /// The size of a cluster, in bytes.
    #[doc(alias = "spdk_bs_get_cluster_size")]
    pub fn cluster_size(&self) -> u64 {
        self.0.cluster_size()
    }

    /// The size of a page of metadata, in bytes.
    #[doc(alias = "spdk_bs_get_page_size")]
    pub fn page_size(&self) -> u64 {
        self.0.page_size()
    }

    /// The unit of I/O, in bytes: a block of the device.
    #[doc(alias = "spdk_bs_get_io_unit_size")]
    pub fn io_unit_size(&self) -> u32 {
        self.0.io_unit_size()
    }

    /// The name of the bdev that it is on, or of the type of a device written in Rust.
    pub fn bdev_name(&self) -> &str {
        self.0.device().name()
    }

    /// The metadata thread: the spdk_thread that loaded it.
    pub fn metadata_thread(&self) -> ThreadHandle {
        ThreadHandle::of(self.0.home().clone())
    }
}

/// Makes a handle of a reference to a blob, on the spdk_thread that opens it.
pub(super) fn opened(
    hold: &StoreHold,
    (blob, rc): (*mut sys::spdk_blob, c_int),
) -> std::result::Result<Blob, Fault> {
    status(rc)?;
    let blob = NonNull::new(blob).ok_or_else(|| Fault::errno(Errno::ENOMEM))?;
    // SAFETY: the call has opened it for us.
    unsafe { Blob::adopt(RawBlob::new(blob), hold.part()) }
}

/// A blob that was just made, and is deleted again if nobody hears of it.
pub(super) struct NewBlob {
    id: BlobId,
    /// A handle, which keeps the store loaded but from its end.
    store: Option<Blobstore>,
}

impl NewBlob {
    pub(super) fn of(
        hold: &StoreHold,
        (id, rc): (sys::spdk_blob_id, c_int),
    ) -> std::result::Result<Self, Fault> {
        status(rc)?;
        let id = BlobId::from_c(id).ok_or_else(|| Fault::errno(Errno::EIO))?;
        let store = Some(Blobstore::of(hold.store().clone()));
        Ok(NewBlob { id, store })
    }

    pub(super) fn keep(mut self) -> BlobId {
        self.store = None;
        self.id
    }
}

impl Drop for NewBlob {
    fn drop(&mut self) {
        let Some(store) = self.store.take() else {
            return;
        };
        match store.0.enter() {
            Ok(part) => delete_in_background(part, self.id),
            Err(why) => {
                let (label, id) = (store.0.label(), self.id);
                tracing::error!(%label, %id, %why, "a blob that nobody knows of was not deleted");
            }
        }
    }
}

/// Deletes a blob that nobody knows of.
fn delete_in_background(part: Use, id: BlobId) {
    let delete = move |part: Use| {
        let store = part.store().clone();
        store.clone().in_turn(move || {
            let arg = context(move |rc| {
                if rc != 0 {
                    let (label, errno) = (part.store().label(), Errno::from_code(rc));
                    tracing::error!(%label, %id, %errno, "a blob that nobody knows of was not deleted");
                }
            });
            // SAFETY: it is loaded, and this is its metadata thread. It calls back once.
            unsafe { sys::spdk_bs_delete_blob(store.as_ptr(), id.get(), Some(called), arg) };
        });
    };
    match Local::here() {
        // Not here and now: this may be a callback of the store.
        Some(local) if part.store().is_home() => local.defer(Box::new(move || delete(part))),
        _ => {
            let store = part.store().clone();
            store.send(move || delete(part));
        }
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

    fn bdev_desc(&self) -> Option<&Handle<crate::bdev::BdevDescObject>> {
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

impl Clone for Blobstore {
    fn clone(&self) -> Self {
        Blobstore::of(self.0.clone())
    }
}

impl Drop for Blobstore {
    fn drop(&mut self) {
        self.0.remove_handle();
    }
}

impl Describe for Blobstore {
    fn describe(&self) -> String {
        self.0.label()
    }
}

impl fmt::Debug for Blobstore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Blobstore").field(&self.bdev_name()).finish()
    }
}
