//! How [`LvolStore`]s come to be loaded.
#![allow(unsafe_code)] // Gives devices to calls that take them over, and takes what those have loaded.

use std::ffi::{CString, c_int, c_void};
use std::ptr::{self, NonNull};

use super::super::calls::{called, context};
use super::super::check::{For, Pages, check};
use super::super::device::{self, Device};
use super::super::external::destroy;
use super::super::requests::IOS_OF_VOLUMES;
use super::super::store::Store;
use super::options::{LvsOpts, checked};
use super::store::LvolStore;
use super::volumes::Volumes;
use super::{layout, list};
use crate::call::call;
use crate::error::{At, Fault, Result};
use crate::local::{Caller, Here};
use crate::op::{Callback, Complete, Submitted, complete, op, status};
use crate::{Errno, sys};

enum Loaded {}

// SAFETY: the function passes its context on, once, and does nothing else.
unsafe impl Callback for Loaded {
    type Fn = sys::spdk_lvs_op_with_handle_complete;
    type Raw = (*mut sys::spdk_lvol_store, c_int);
    fn of<K: Complete<Self::Raw>>() -> Self::Fn {
        unsafe extern "C" fn call<K: Complete<(*mut sys::spdk_lvol_store, c_int)>>(
            arg: *mut c_void,
            lvs: *mut sys::spdk_lvol_store,
            rc: c_int,
        ) {
            // SAFETY: C gives back the context of the operation that it ends.
            unsafe { complete::<K, _>(arg, (lvs, rc)) }
        }
        Some(call::<K>)
    }
}

/// The size of a page of metadata that `spdk_lvs_grow` takes for granted.
const PAGE: u32 = 4096;

/// Refuses a store with more clusters, or pages of metadata, than SPDK computes with: it would have fewer of them.
fn has_room(clusters: u64, opts: &sys::spdk_lvs_opts) -> std::result::Result<(), Fault> {
    let ratio = opts.num_md_pages_per_cluster_ratio;
    let pages = clusters.saturating_mul(ratio.into());
    match clusters.max(pages) <= u32::MAX.into() {
        true => Ok(()),
        false => Err(Fault::invalid(format!(
            "SPDK cannot count {clusters} clusters with {ratio} pages of metadata for a hundred of them; larger clusters or \
             fewer pages help"
        ))),
    }
}

/// How a store comes to be loaded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Init,
    Load,
    Grow,
}

impl LvolStore {
    /// Makes an lvol store of this name on a bdev. What was on that is lost.
    ///
    /// The bdev is opened for writing and claimed, so that nobody else can write to it until the store is unloaded.
    /// Without `opts`, SPDK's defaults are taken. The name has from 1 to 63 bytes, and no other store that is loaded
    /// has it, whoever has loaded that.
    ///
    /// The store is unloaded and loaded once in between, since SPDK has volumes depend on bdevs only in a store that was
    /// loaded.
    ///
    /// Wraps `spdk_lvs_init`.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::NoSuchBdev`](crate::ErrorKind::NoSuchBdev): no bdev has this name.
    /// - `EPERM`: somebody else has claimed the bdev, such as another store.
    /// - `EEXIST`: a store of this name is loaded.
    /// - `EINVAL`: an option is wrong, and SPDK's log says which; or the size of the bdev's blocks is no power of two from 512
    ///   to 4096.
    /// - [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument): the name is empty or too long, or has a NUL, or no
    ///   page of metadata has the size that is asked for, or 32 bits do not count the clusters of the device, or a hundred times
    ///   the pages.
    /// - `ENOMEM`: the metadata does not fit, or there is no memory.
    /// - `EIO`: the device failed.
    /// - [`ErrorKind::NoThread`](crate::ErrorKind::NoThread) without a current spdk_thread.
    ///
    /// After `EIO` the bdev may stay open and claimed, since SPDK does not let go of one that fails in the middle of this. The
    /// spdk_thread waits for it for a minute when it ends.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the call but does not stop it:
    /// the store is made, and unloaded then.
    ///
    /// # Thread
    ///
    /// Any spdk_thread, which is the store's metadata thread then.
    #[doc(alias = "spdk_lvs_init")]
    pub async fn init(bdev: &str, name: &str, opts: Option<&LvsOpts>) -> Result<Self> {
        const CALL: &str = "spdk_lvs_init";
        let told = |fault: Fault| fault.at(At::name(CALL, bdev));
        let name = checked(name, "the name of an lvol store").map_err(told)?;
        let opts = opts.cloned().unwrap_or_default();
        let made = Self::begin(CALL, By::Init, bdev, &name, &opts).await?;
        made.unload().await?;
        Self::load(bdev).await
    }

    /// Loads the lvol store that a bdev has.
    ///
    /// The bdev is opened for writing and claimed, as by [`LvolStore::init`]. A store that was not unloaded in order is
    /// recovered from the metadata of its volumes. SPDK's own module may have the store of the bdev already; see
    /// [the module](crate::lvol).
    ///
    /// SPDK 26.01 reads the name of the store and those of its volumes up to a NUL, and so beyond their memory where metadata
    /// that were not written by it, or attributes that were changed through
    /// [`Blobstore::load`](crate::blob::Blobstore::load), have none: a store is to be trusted as far.
    ///
    /// Wraps `spdk_lvs_load_ext`.
    ///
    /// # Errors
    ///
    /// - `EILSEQ`: the bdev has no blobstore, or a damaged one.
    /// - `ENXIO`: it has a blobstore that is no lvol store.
    /// - `EEXIST`: another store of its name is loaded.
    /// - `EINVAL`: the metadata of a volume, or of the store, is damaged; or the store was made on blocks of another size, as for
    ///   [`Blobstore::load`](crate::blob::Blobstore::load).
    /// - `ENODEV`: the store has no super blob, or that cannot be read.
    /// - `ENOTSUP`: SPDK's structs are not as expected; see [the module](crate::lvol).
    /// - [`ErrorKind::NoSuchBdev`](crate::ErrorKind::NoSuchBdev), `EPERM`, `ENOMEM`, `EIO` and
    ///   [`ErrorKind::NoThread`](crate::ErrorKind::NoThread) as for [`LvolStore::init`].
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the call but does not stop it: the
    /// store is loaded, and unloaded then.
    ///
    /// # Thread
    ///
    /// As for [`LvolStore::init`].
    #[doc(alias = "spdk_lvs_load")]
    #[doc(alias = "spdk_lvs_load_ext")]
    pub async fn load(bdev: &str) -> Result<Self> {
        let none = (CString::default(), LvsOpts::default());
        let store = Self::begin("spdk_lvs_load_ext", By::Load, bdev, &none.0, &none.1).await?;
        store.identify().await?;
        Ok(store)
    }

    /// Loads the lvol store that a bdev has, and has it use all of the bdev, which is larger than when the store was
    /// made.
    ///
    /// A store without room for the metadata of a larger one is loaded as it is. The store is unloaded and loaded once in
    /// between, as by [`LvolStore::init`].
    ///
    /// Wraps `spdk_lvs_grow`. [`LvolStore::grow`] does it for a store that is loaded.
    ///
    /// # Errors
    ///
    /// `ENOTSUP`: its pages of metadata have another size than 4 KiB, for which SPDK 26.01 overwrites its lists;
    /// [`LvolStore::grow`] does it for these too. `EIO`: the device failed; or the store was not unloaded in order, and is
    /// recovered by [`LvolStore::load`]. And those of that.
    ///
    /// # Cancellation, thread
    ///
    /// As for [`LvolStore::load`].
    #[doc(alias = "spdk_lvs_grow")]
    pub async fn load_grown(bdev: &str) -> Result<Self> {
        let none = (CString::default(), LvsOpts::default());
        let grown = Self::begin("spdk_lvs_grow", By::Grow, bdev, &none.0, &none.1).await?;
        grown.unload().await?;
        Self::load(bdev).await
    }

    async fn begin(
        operation: &'static str,
        by: By,
        bdev: &str,
        name: &CString,
        opts: &LvsOpts,
    ) -> Result<Self> {
        let mut closed = None;
        let start = |_: Caller<'_>| {
            let opts = opts.to_c(name)?;
            let (here, device) = (Here::now()?, Device::open(bdev)?);
            if by == By::Init {
                has_room(device.clusters(opts.cluster_sz), &opts)?;
            }
            let held = (here, device, opts);
            closed = Some(held.1.closed());
            let submit = move |(_, device, opts): &mut (Here, Device, sys::spdk_lvs_opts),
                               done: sys::spdk_lvs_op_with_handle_complete,
                               arg| {
                let dev = device.give();
                let opts = ptr::from_mut(opts);
                // SAFETY: the device is ours, and goes to the call. The operation keeps the options until it has called
                // back, once.
                let rc = unsafe {
                    let refuse = move |errno: Errno| {
                        destroy(dev);
                        if let Some(done) = done {
                            done(arg, ptr::null_mut(), -errno.code());
                        }
                    };
                    let load = move |checked| match (checked, by) {
                        (Ok(Pages { size: PAGE, .. }), By::Grow) => {
                            sys::spdk_lvs_grow(dev, done, arg)
                        }
                        // It would look for lists where pages of that size put them, and overwrite others.
                        (Ok(_), By::Grow) => refuse(Errno::ENOTSUP),
                        (Ok(_), _) => sys::spdk_lvs_load_ext(dev, opts, done, arg),
                        (Err(errno), _) => refuse(errno),
                    };
                    match by {
                        By::Init => sys::spdk_lvs_init(dev, opts, done, arg),
                        By::Load | By::Grow => {
                            let is_grown = by == By::Grow;
                            let what_for = if is_grown { For::LoadGrown } else { For::Load };
                            check(dev, what_for, load);
                            0
                        }
                    }
                };
                if rc == 0 {
                    return Submitted::Pending;
                }
                // It has not called back, nor taken the device.
                device.take_back();
                Submitted::Refused(Errno::from_code(rc))
            };
            let finish = |(_, device, _): &mut (Here, Device, _), (lvs, rc): (*mut _, c_int)| {
                let loaded = status(rc)
                    .and_then(|()| NonNull::new(lvs).ok_or_else(|| Fault::errno(Errno::ENOMEM)));
                // SAFETY: it was loaded on this spdk_thread, from this device, for us.
                loaded.and_then(|lvs| unsafe { LvolStore::adopt(lvs, device.share()) })
            };
            // SAFETY: the call calls back once, on this spdk_thread, if it returns 0, and touches nothing of ours but the
            // device, which it has taken over then.
            Ok(unsafe { op::<Loaded, _, _>(submit, finish, held) })
        };
        let result = call(start, || At::name(operation, bdev)).await;
        if let (Err(error), Some(closed)) = (&result, closed)
            // SPDK keeps the bdev if the device fails in the middle of an init.
            && (by != By::Init || error.errno() != Some(Errno::EIO))
        {
            // Then the bdev can be opened again. An error says that it is.
            let _ = closed.await;
        }
        result.map_err(|error| device::told(bdev, error))
    }

    /// # Safety
    /// The store was loaded on the current spdk_thread, from this device, and nobody else has it.
    unsafe fn adopt(
        lvs: NonNull<sys::spdk_lvol_store>,
        device: Device,
    ) -> std::result::Result<Self, Fault> {
        // SAFETY: passed on.
        let bs = match unsafe { layout::blobstore(lvs, &device) } {
            Ok(bs) => bs,
            Err(fault) => {
                let ended = context(|rc| {
                    if rc != 0 {
                        let errno = Errno::from_code(rc);
                        tracing::error!(%errno, "an lvol store that is not known was not unloaded");
                    }
                });
                // SAFETY: it is ours, and has no open volumes, so it calls back later if it returns 0.
                unsafe { sys::spdk_lvs_unload(lvs.as_ptr(), Some(called), ended) };
                return Err(fault);
            }
        };
        let volumes = Some(Volumes::new(lvs));
        // SAFETY: passed on; the blobstore is that of the lvol store.
        let store = unsafe { Store::adopt(bs, device, IOS_OF_VOLUMES, 0, volumes) }?;
        let this = LvolStore::of(store);
        this.store().watch_device();
        Ok(this)
    }

    /// Reads the name and the UUID of a store that was just loaded.
    async fn identify(&self) -> Result<()> {
        let damaged = || Fault::errno(Errno::EINVAL).at(At::new("spdk_lvs_load_ext", self));
        let id = self.blobs().super_blob().await?.ok_or_else(damaged)?;
        let blob = self.blobs().open_blob(id, None).await?;
        let read = |blob| {
            // SAFETY: it is open, and this is the metadata thread.
            Ok(unsafe { (list::name(blob), list::uuid(blob)) })
        };
        let (name, uuid) = blob.visit("spdk_blob_get_xattr_value", read).await?;
        blob.close().await?;
        let name = name.and_then(|name| CString::new(name).ok());
        let mut identity = self.volumes().identity();
        identity.name = name.ok_or_else(damaged)?;
        identity.uuid = uuid.ok_or_else(damaged)?;
        Ok(())
    }
}
