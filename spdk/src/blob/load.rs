//! Makes and loads blobstores.
#![allow(unsafe_code)] // Hands devices to C, and takes over the stores that it makes of them.

use std::ffi::{c_int, c_void};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::ptr::{self, NonNull};
use std::task::Poll;
use std::time::Duration;

use super::blobstore::Blobstore;
use super::block_device::BlockDevice;
use super::callbacks::BsOpWithHandleComplete;
use super::check::{For, check};
use super::device::{self, Device};
use super::external::{self, destroy};
use super::options::BsOpts;
use super::store::Store;
use crate::call::call;
use crate::error::{At, Fault, Result};
use crate::local::{Caller, Here};
use crate::op::{Submitted, op, status};
use crate::time::sleep;
use crate::{Errno, sys};

/// How long a device may stay open whose store SPDK could not load or make.
const CLOSE: Duration = Duration::from_secs(1);

/// A C function that loads a store: consumes the device, and calls back once.
type Load = unsafe extern "C" fn(
    *mut sys::spdk_bs_dev,
    *mut sys::spdk_bs_opts,
    sys::spdk_bs_op_with_handle_complete,
    *mut c_void,
);

/// How a store is loaded.
#[derive(Clone, Copy)]
enum By {
    Init,
    Load,
    Grow,
}

impl By {
    fn call(self) -> (&'static str, Load) {
        match self {
            By::Init => ("spdk_bs_init", sys::spdk_bs_init),
            By::Load => ("spdk_bs_load", sys::spdk_bs_load),
            By::Grow => ("spdk_bs_grow", sys::spdk_bs_grow),
        }
    }
}

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
    /// - `EPERM`: somebody else has claimed the bdev, such as another blobstore, or has it open for writing, as SPDK's module of
    ///   lvol stores for a moment when a bdev has been made; `bdev_wait_for_examine` waits for that.
    /// - `EINVAL`: an option is wrong, and SPDK's log says which; or the size of the bdev's blocks is no power of two from 512
    ///   to 4096.
    /// - `ENOSPC`: the bdev is smaller than a cluster.
    /// - [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument): no page of metadata has the size that is asked for.
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
        Self::on_bdev(By::Init, bdev, opts).await
    }

    /// Makes a blobstore on a device written in Rust. What was on that is lost.
    ///
    /// The store takes the device, and drops it when it is unloaded. A device that is to be there afterwards is an
    /// [`Arc`](std::sync::Arc) of what the device is made of.
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
        Self::on_device(By::Init, device, opts).await
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
    /// `EILSEQ`: the bdev has no blobstore, or a damaged one. If the lists of what is used are damaged,
    /// [`BsOpts::force_recover`] loads it; they have no checksum, so that other damage of them is not found: blobs may be
    /// missing then, or lose pages and clusters to those that are made. `EINVAL`: the store was made on blocks of another size,
    /// which with SPDK alone has I/O read and write more memory than it was given, or less. `ENXIO`: the store is not of the type
    /// in `opts`. `ENOSPC`: the bdev is smaller than the size of a cluster that is in `opts`, or by default. And those of
    /// [`Blobstore::init`]. After `EIO` SPDK 26.01 keeps the bdev open if what it could not read was the list of the blobs: the
    /// application waits for that at its end, and has to be ended from outside.
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Blobstore::init`].
    #[doc(alias = "spdk_bs_load")]
    pub async fn load(bdev: &str, opts: Option<&BsOpts>) -> Result<Self> {
        Self::on_bdev(By::Load, bdev, opts).await
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
        Self::on_device(By::Load, device, opts).await
    }

    /// Loads the blobstore that a bdev has, and has it use all of the bdev, which is larger than when the store was
    /// made.
    ///
    /// A store without room for the metadata of a larger one is loaded as it is, see [`Blobstore::max_growable_size`].
    ///
    /// Wraps `spdk_bs_grow`. [`Blobstore::grow`] does it for a store that is loaded.
    ///
    /// # Errors
    ///
    /// `EIO`: the device failed; or the store was not unloaded in order, and is recovered by [`Blobstore::load`]. And those of
    /// that.
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Blobstore::init`].
    #[doc(alias = "spdk_bs_grow")]
    pub async fn load_grown(bdev: &str, opts: Option<&BsOpts>) -> Result<Self> {
        Self::on_bdev(By::Grow, bdev, opts).await
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
        Self::on_device(By::Grow, device, opts).await
    }

    async fn on_bdev(by: By, bdev: &str, opts: Option<&BsOpts>) -> Result<Self> {
        let result = Self::begin(by, || Device::open(bdev), bdev, opts).await;
        result.map_err(|error| device::told(bdev, error))
    }

    async fn on_device<D: BlockDevice>(by: By, device: D, opts: Option<&BsOpts>) -> Result<Self> {
        let name = std::any::type_name::<D>();
        Self::begin(by, || Device::own(device), name, opts).await
    }

    async fn begin(
        by: By,
        open: impl FnOnce() -> std::result::Result<Device, Errno>,
        name: &str,
        opts: Option<&BsOpts>,
    ) -> Result<Self> {
        let opts = opts.cloned().unwrap_or_default();
        let max_channel_ops = opts.ios() as usize;
        let (operation, load) = by.call();
        let what_for = match by {
            By::Init => None,
            By::Load if opts.recovers() => Some(For::Recovery),
            By::Load => Some(For::Load),
            By::Grow => Some(For::LoadGrown),
        };
        let mut closed = None;
        let start = |_: Caller<'_>| {
            let (here, device) = (Here::now()?, open()?);
            let mut raw = opts.to_c()?;
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
                    let (dev, opts) = (device.give(), ptr::from_mut(opts));
                    // SAFETY: the device is ours, and goes to the call. The operation keeps the options until it has called
                    // back; the context among them is kept as long as the device.
                    let load = move || unsafe { load(dev, opts, done, arg) };
                    match what_for {
                        None => load(),
                        // SAFETY: as above; it ends the operation once. The device was just opened.
                        Some(what_for) => unsafe {
                            check(dev, what_for, move |checked| match checked {
                                Ok(pages) => {
                                    // SPDK makes nothing of it in a load.
                                    (*opts).num_md_pages = pages.count;
                                    // When a store grows, SPDK looks for its lists before it knows.
                                    #[cfg(spdk_since_26_01)]
                                    {
                                        (*opts).md_page_size = pages.size;
                                    }
                                    load();
                                }
                                Err(errno) => {
                                    destroy(dev);
                                    if let Some(done) = done {
                                        done(arg, ptr::null_mut(), -errno.code());
                                    }
                                }
                            });
                        },
                    }
                    Submitted::Pending
                };
            let finish = move |(_, device, opts): &mut (Here, Device, sys::spdk_bs_opts),
                               (bs, rc): (*mut _, c_int)| {
                let loaded = status(rc)
                    .and_then(|()| NonNull::new(bs).ok_or_else(|| Fault::errno(Errno::ENOMEM)));
                loaded.and_then(|bs| {
                    let clusters = device.clusters(opts.cluster_sz);
                    let pages = match opts.num_md_pages {
                        u32::MAX => u32::try_from(clusters).unwrap_or(u32::MAX),
                        pages => pages,
                    };
                    // SAFETY: it was loaded on this spdk_thread, from this device, for us.
                    unsafe { Blobstore::adopt(bs, device.share(), max_channel_ops, pages) }
                })
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
        num_md_pages: u32,
    ) -> std::result::Result<Self, Fault> {
        // SAFETY: passed on.
        let store = unsafe { Store::adopt(bs, device, max_channel_ops, num_md_pages, None) }?;
        let this = Blobstore::of(store);
        this.store().watch_device();
        Ok(this)
    }
}
