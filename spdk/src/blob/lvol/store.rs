//! [`LvolStore`].
#![allow(unsafe_code)] // Calls what is at home on the metadata thread, there.

use std::ffi::{CString, c_int, c_void};
use std::fmt;
use std::sync::Arc;

use super::super::BlobClearMethod;
use super::super::blobstore::Blobstore;
use super::super::calls::{Then, called, called_with, context, context_with};
use super::super::check::{For, check};
use super::super::copies::write_super;
use super::super::handle::report;
use super::super::options::MOST_CLUSTERS;
use super::super::pages::{all_pages, are_left};
use super::super::remote::{Returned, StoreHold, metadata};
use super::super::store::{Ending, Store};
use super::copies::xattrs;
use super::esnap::Esnap;
use super::handle::{Lvol, NewLvol};
use super::list::{self, LvolInfo};
use super::options::{LvolOpts, checked};
use super::volumes::{self, Opened, Volumes};
use crate::channel::IoChannel;
use crate::error::{At, Describe, Fault, Result};
use crate::generated::blob::{BlobOpComplete, BsOpComplete};
use crate::local::Caller;
use crate::op::status;
use crate::{Errno, ThreadHandle, sys};

/// A loaded lvol store.
///
/// It is a handle of which there can be any number: a clone is another one. They go to other spdk_threads, and
/// calls through them run on the store's metadata thread, the one that loaded it. Those that open, create, rename and
/// destroy volumes take turns.
///
/// # Drop
///
/// The store is unloaded in the background when its last handle and the last of its volumes and channels are gone, in
/// whatever order that happens. An error of it is only logged: [`LvolStore::unload`] reports it. A store whose device is
/// removed, or whose metadata thread ends, has its volumes and channels given back as soon as nothing is in flight on
/// them, wherever they are; they report [`ErrorKind::Gone`](crate::ErrorKind::Gone) then.
///
/// # Thread
///
/// `Send` and `Sync`. Its calls need an spdk_thread, any one.
#[doc(alias = "spdk_lvol_store")]
#[derive(Clone)]
pub struct LvolStore(Blobstore);

impl LvolStore {
    pub(super) fn store(&self) -> &Arc<Store> {
        self.0.store()
    }

    pub(super) fn of(store: Arc<Store>) -> Self {
        LvolStore(Blobstore::of(store))
    }

    pub(super) fn blobs(&self) -> &Blobstore {
        &self.0
    }

    pub(super) fn volumes(&self) -> &Volumes {
        volumes::of(self.store())
    }

    /// Unloads the store, for all of its handles.
    ///
    /// Wraps `spdk_lvs_unload`.
    ///
    /// # Errors
    ///
    /// - `EBUSY`: a volume or a channel of it is open, or a call is in flight. It stays loaded, and another try may go
    ///   better. Volumes and channels that were dropped do not count, even if something was in flight on them that has
    ///   ended.
    /// - `EIO`, or another errno: the device failed. The store is unloaded all the same, and recovered when it is loaded
    ///   again. What a close of a volume has not written, with an error, is lost.
    /// - [`ErrorKind::Gone`](crate::ErrorKind::Gone) when it was unloaded before, and
    ///   [`ErrorKind::NoThread`](crate::ErrorKind::NoThread) without a current spdk_thread.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the unload but does not stop it.
    ///
    /// # Thread
    ///
    /// Any spdk_thread.
    #[doc(alias = "spdk_lvs_unload")]
    pub async fn unload(&self) -> Result<()> {
        self.0.end("spdk_lvs_unload", Ending::Unload).await
    }

    /// Unloads the store, for all of its handles, and overwrites its super block, so that the bdev has none any more, nor
    /// volumes.
    ///
    /// Wraps `spdk_lvs_destroy`.
    ///
    /// # Errors
    ///
    /// `EIO`: the device failed. The store is unloaded, and it, or a part of it, may be there when it is loaded again.
    /// And those of [`LvolStore::unload`].
    ///
    /// # Cancellation, thread
    ///
    /// As for [`LvolStore::unload`].
    #[doc(alias = "spdk_lvs_destroy")]
    pub async fn destroy(&self) -> Result<()> {
        self.0.end("spdk_lvs_destroy", Ending::Destroy).await
    }

    /// Gives the store another name, of 1 to 63 bytes.
    ///
    /// It is durable when this returns. Wraps `spdk_lvs_rename`.
    ///
    /// # Errors
    ///
    /// - `EEXIST`: another store that is loaded has this name.
    /// - `EIO`: the device failed; the store has its old name, and on the device the one or the other.
    /// - [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the store was unloaded or its device removed.
    /// - [`ErrorKind::NoThread`](crate::ErrorKind::NoThread) without a current spdk_thread.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the call but does not stop it.
    ///
    /// # Thread
    ///
    /// Any spdk_thread.
    #[doc(alias = "spdk_lvs_rename")]
    pub async fn rename(&self, name: &str) -> Result<()> {
        let target = self.store().clone();
        let hold = |_: Caller<'_>| {
            let hold = self.0.hold()?.0;
            Ok((hold, checked(name, "the name of an lvol store")?))
        };
        let call = move |_, name: *mut CString, done, arg| {
            let turn = volumes::turn(&target);
            // SAFETY: the operation keeps the name until its callback.
            let name = unsafe { &*name };
            let (new, store) = (name.clone(), target.clone());
            let ended = context(move |rc| {
                if rc == 0 {
                    volumes::of(&store).identity().name = new;
                }
                report(done, arg, rc);
                drop(turn);
            });
            let lvs = volumes::of(&target).as_ptr();
            // SAFETY: the store is loaded, this is its metadata thread, and no other rename of it is in flight. It copies
            // the name, which is not too long, and calls back once.
            unsafe { sys::spdk_lvs_rename(lvs, name.as_ptr(), Some(called), ended) };
        };
        let at = || At::new("spdk_lvs_rename", self);
        // SAFETY: `report` is called once, and the operation keeps the name.
        unsafe { metadata::<BsOpComplete, _, _, _>(at, hold, call, |_, rc| status(rc)) }.await
    }

    /// Has the store use all of the bdev, which has become larger.
    ///
    /// It waits for others, and I/O for it, as for [`Blobstore::grow`](crate::blob::Blobstore::grow).
    ///
    /// Volumes may be open. Wraps `spdk_bdev_update_bs_blockcnt` and `spdk_lvs_grow_live`.
    ///
    /// # Errors
    ///
    /// `ENOSPC`: the store has no room for the metadata of a larger one; see
    /// [`LvsOpts::num_md_pages_per_cluster_ratio`](crate::lvol::LvsOpts::num_md_pages_per_cluster_ratio). `EILSEQ`: the bdev is smaller than the store,
    /// or the super block is damaged. `ENOMEM`: there is no memory to look at that. `EIO`: the device failed. And those of
    /// [`LvolStore::rename`] about the store.
    ///
    /// # Cancellation, thread
    ///
    /// As for [`LvolStore::rename`].
    #[doc(alias = "spdk_lvs_grow_live")]
    pub async fn grow(&self) -> Result<()> {
        let target = self.store().clone();
        let call = move |_, done, arg| {
            let store = target.clone();
            // SAFETY: the operation keeps the store loaded, from this device, and this is its metadata thread. It calls back once.
            let grow = move |ended: Then| unsafe {
                let dev = store.device().as_ptr();
                check(dev, For::Growth, move |checked| {
                    if let Err(errno) = checked {
                        return ended(-errno.code());
                    }
                    sys::spdk_bdev_update_bs_blockcnt(dev);
                    let lvs = volumes::of(&store).as_ptr();
                    sys::spdk_lvs_grow_live(lvs, Some(called), context(ended));
                });
            };
            // SAFETY: as above.
            unsafe { write_super(&target, grow, move |rc| report(done, arg, rc)) };
        };
        // SAFETY: as above.
        unsafe { self.0.change("spdk_lvs_grow_live", call) }.await
    }

    /// Makes a volume, of `size` bytes rounded up to whole clusters, and opens it.
    ///
    /// The name has from 1 to 63 bytes. Without `opts`, the volume is not thin.
    ///
    /// Wraps `spdk_lvol_create`.
    ///
    /// # Errors
    ///
    /// - `EEXIST`: the store has a volume of this name.
    /// - [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument): the name is empty or too long, or has a NUL.
    /// - `ENOSPC`: there are not enough free clusters, and it is not thin; or none can be so large.
    /// - `ENOMEM`: there is no page for its metadata, or too many calls are in flight.
    /// - `EIO`: the device failed. What it has written of the volume may be there when the store is loaded the next time.
    /// - [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the store was unloaded or its device removed.
    /// - [`ErrorKind::NoThread`](crate::ErrorKind::NoThread) without a current spdk_thread.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the call but does not stop it: the
    /// volume is made, and destroyed again. Of one that is forgotten, by [`std::mem::forget`], the volume stays, and
    /// [`LvolStore::lvols`] finds it.
    ///
    /// # Thread
    ///
    /// Any spdk_thread, which the volume belongs to then.
    #[doc(alias = "spdk_lvol_create")]
    pub async fn create_lvol(
        &self,
        name: &str,
        size: u64,
        opts: Option<&LvolOpts>,
    ) -> Result<Lvol> {
        const CALL: &str = "spdk_lvol_create";
        let is_too_large = size.div_ceil(self.cluster_size()) > MOST_CLUSTERS
            || size.checked_next_multiple_of(self.cluster_size()).is_none();
        if is_too_large {
            // SPDK would take it for a small one, or have no bounds.
            return Err(Fault::errno(Errno::ENOSPC).at(At::new(CALL, self)));
        }
        let opts = opts.copied().unwrap_or_default();
        // The values of `lvol_clear_method` are defined as these.
        let clear = opts.clear_method.unwrap_or(BlobClearMethod::Default);
        let clear = sys::lvol_clear_method(clear.to_c().0);
        let clusters = size.div_ceil(self.cluster_size());
        let pages = if opts.is_thin {
            1
        } else {
            all_pages(xattrs(), clusters)
        };
        let bs = self.store().clone();
        let make = move |lvs, name: &CString, arg| {
            let bs = bs.as_ptr();
            // SAFETY: the store is loaded, and this is its metadata thread.
            let has_clusters = clusters <= unsafe { sys::spdk_bs_free_cluster_count(bs) };
            // SAFETY: as above. SPDK looks for clusters itself.
            if pages > 1 && has_clusters && !unsafe { are_left(bs, pages) } {
                return -libc::ENOMEM;
            }
            let (name, done) = (name.as_ptr(), Some(called_with as _));
            // SAFETY: `make` says it.
            unsafe { sys::spdk_lvol_create(lvs, name, size, opts.is_thin, clear, done, arg) }
        };
        // SAFETY: it copies the name, calls back once if it returns 0, and opens what it makes.
        unsafe { self.make(CALL, name, make) }.await
    }

    /// Makes a volume that reads as a bdev where it was not written, and opens it. It is thin, and has the size of the
    /// bdev, which is a multiple of the size of a cluster.
    ///
    /// The volume depends on the bdev from then on, and finds it by its UUID. Each time that it is opened, it opens the
    /// bdev for reading and claims it, so that nobody can write to that. Without the bdev, or when that cannot be claimed,
    /// the volume is degraded, and takes no I/O: it is closed and opened again when the bdev is there.
    /// A bdev that is removed meanwhile waits until the volume is closed.
    ///
    /// Wraps `spdk_lvol_create_esnap_clone`.
    ///
    /// # Errors
    ///
    /// `EINVAL`: the size of the bdev is no multiple of that of a cluster.
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument): its blocks are no part of those of the store.
    /// [`ErrorKind::NoSuchBdev`](crate::ErrorKind::NoSuchBdev): no bdev has this name. And those of
    /// [`LvolStore::create_lvol`].
    ///
    /// # Cancellation, thread
    ///
    /// As for [`LvolStore::create_lvol`].
    #[doc(alias = "spdk_lvol_create_esnap_clone")]
    pub async fn create_esnap_clone(&self, name: &str, bdev: &str) -> Result<Lvol> {
        let Esnap { id, size } = Esnap::of(bdev, self.io_unit_size())?;
        let make = move |lvs, name: &CString, arg| {
            let id = id.as_bytes_with_nul();
            let (length, done) = (id.len() as u32, Some(called_with as _));
            let (id, name) = (id.as_ptr().cast(), name.as_ptr());
            // SAFETY: `make` says it; the ID has so many bytes.
            unsafe { sys::spdk_lvol_create_esnap_clone(id, length, size, lvs, name, done, arg) }
        };
        // SAFETY: it copies the name and the ID, calls back once if it returns 0, and opens what it makes.
        unsafe { self.make("spdk_lvol_create_esnap_clone", name, make) }.await
    }

    /// # Safety
    ///
    /// `make` may use the store, on its metadata thread, and gives the context that it gets to one C function, whose
    /// status it returns: one that calls `called_with` back with it, once, if that is 0, and reports a volume that it has
    /// made and opened.
    async unsafe fn make(
        &self,
        operation: &'static str,
        name: &str,
        make: impl FnOnce(*mut sys::spdk_lvol_store, &CString, *mut c_void) -> c_int + Send + 'static,
    ) -> Result<Lvol> {
        let target = self.store().clone();
        let hold = |_: Caller<'_>| {
            let hold = self.0.hold()?.0;
            Ok((hold, checked(name, "the name of a volume")?))
        };
        let call = move |_, name: *mut CString, done: OpenedFn, arg| {
            let turn = volumes::turn(&target);
            let then = move |result| {
                // SAFETY: the context came with the function, and this is the one call.
                unsafe { done(arg, result) };
                drop(turn);
            };
            let store = target.clone();
            let context = context_with(move |lvol, rc| {
                // SAFETY: the store is loaded, and this is its metadata thread, in turn.
                unsafe { volumes::made(&store, lvol, rc, Box::new(then)) }
            });
            let lvs = volumes::of(&target).as_ptr();
            // SAFETY: the operation keeps the name.
            let rc = make(lvs, unsafe { &*name }, context);
            if rc != 0 {
                // SAFETY: it does not call back then, and this is the one call.
                unsafe { called_with(context, std::ptr::null_mut::<sys::spdk_lvol>(), rc) };
            }
        };
        let at = || At::new(operation, self);
        // SAFETY: `then` is called once, and the operation keeps the name.
        let new = unsafe { metadata::<OpenedBack, _, _, _>(at, hold, call, NewLvol::of) };
        Ok(new.await?.keep())
    }

    /// Opens the volume of this name.
    ///
    /// It can be open any number of times.
    ///
    /// Wraps `spdk_lvol_get_by_names` and `spdk_lvol_open`.
    ///
    /// # Errors
    ///
    /// - `ENOENT`: the store has no volume of this name.
    /// - `EINVAL`, `EILSEQ`: its metadata is damaged.
    /// - `ENOMEM`: too many calls are in flight.
    /// - `EIO`: the device failed.
    /// - [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the store was unloaded or its device removed.
    /// - [`ErrorKind::NoThread`](crate::ErrorKind::NoThread) without a current spdk_thread.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the call but does not stop it: the
    /// volume is opened, and closed again.
    ///
    /// # Thread
    ///
    /// Any spdk_thread, which the volume belongs to then.
    #[doc(alias = "spdk_lvol_open")]
    #[doc(alias = "spdk_lvol_get_by_names")]
    pub async fn open_lvol(&self, name: &str) -> Result<Lvol> {
        let target = self.store().clone();
        let hold = |_: Caller<'_>| Ok((self.0.hold()?.0, checked(name, "the name of a volume")?));
        let call = move |_, name: *mut CString, done: OpenedFn, arg| {
            let turn = volumes::turn(&target);
            let then = move |result| {
                // SAFETY: the context came with the function, and this is the one call.
                unsafe { done(arg, result) };
                drop(turn);
            };
            // SAFETY: the operation keeps the name. The store is loaded, and this is its metadata thread, in turn.
            unsafe {
                match volumes::of(&target).find(&*name) {
                    Ok(lvol) => volumes::open(&target, lvol, Box::new(then)),
                    Err(fault) => then(Err(fault)),
                }
            }
        };
        let at = || At::new("spdk_lvol_open", self);
        let finish = |hold: &StoreHold, opened: std::result::Result<Opened, Fault>| {
            // SAFETY: it was opened for us.
            opened.and_then(|opened| unsafe { Lvol::adopt(opened, hold.part()) })
        };
        // SAFETY: `then` is called once, and the operation keeps the name.
        unsafe { metadata::<OpenedBack, _, _, _>(at, hold, call, finish) }.await
    }

    /// Opens the volume of this UUID.
    ///
    /// It looks for the volume among those of this store. `spdk_lvol_get_by_uuid` would look at those of all stores, and
    /// so at some that other threads change.
    ///
    /// # Errors, cancellation, thread
    ///
    /// As for [`LvolStore::open_lvol`].
    #[doc(alias = "spdk_lvol_get_by_uuid")]
    pub async fn open_lvol_by_uuid(&self, uuid: [u8; 16]) -> Result<Lvol> {
        let lvols = self.lvols().await?;
        let found = lvols.iter().find(|lvol| lvol.uuid == Some(uuid));
        match found {
            Some(lvol) => self.open_lvol(&lvol.name).await,
            None => Err(Fault::errno(Errno::ENOENT).at(At::new("spdk_lvol_get_by_uuid", self))),
        }
    }

    /// Destroys the volume of this name, which is not open.
    ///
    /// It waits for calls that copy or resize volumes of the store, and until every spdk_thread with a channel of that was
    /// polled. [`Lvol::destroy`] does it for a volume that is open.
    ///
    /// A snapshot with one clone gives that what it has. One whose clone has got another size since is refused, since SPDK 26.01
    /// would harm the clone; see [`Blobstore::delete_blob`](crate::blob::Blobstore::delete_blob), also for the I/O that waits.
    /// [`Lvol::inflate`] first, for the clone, helps.
    ///
    /// Wraps `spdk_lvol_destroy`.
    ///
    /// # Errors
    ///
    /// - `ENOENT`: the store has no volume of this name.
    /// - `EBUSY`: it is open, or has more than one clone, or the device failed when it was closed.
    /// - `ENOTSUP`: its one clone has another size.
    /// - `EIO`, or another errno: the device failed. Then SPDK does not know the volume any more, but it is there again,
    ///   with its clusters, when the store is loaded the next time.
    /// - Those of [`LvolStore::open_lvol`] about the store.
    ///
    /// # Cancellation, thread
    ///
    /// As for [`LvolStore::rename`].
    #[doc(alias = "spdk_lvol_destroy")]
    pub async fn destroy_lvol(&self, name: &str) -> Result<()> {
        let target = self.store().clone();
        let hold = |_: Caller<'_>| Ok((self.0.hold()?.0, checked(name, "the name of a volume")?));
        let call = move |_, name: *mut CString, done, arg| {
            let alone = target.alone();
            let ended = move |rc| {
                report(done, arg, rc);
                drop(alone);
            };
            // SAFETY: the operation keeps the name. The store is loaded, and this is its metadata thread.
            unsafe { volumes::destroy_named(&target, (*name).clone(), ended) };
        };
        let at = || At::new("spdk_lvol_destroy", self);
        // SAFETY: `report` is called once, and the operation keeps the name.
        unsafe { metadata::<BlobOpComplete, _, _, _>(at, hold, call, |_, rc| status(rc)) }.await
    }

    /// What is known of all volumes of the store, from its blobs: by `spdk_bs_iter_first` and `spdk_bs_iter_next`, since `lvol.h`
    /// lists none.
    ///
    /// It reads the metadata of those that are not open from the device. A volume that cannot be opened is left out.
    ///
    /// # Errors
    ///
    /// Those of [`LvolStore::open_lvol`] about the store.
    ///
    /// # Cancellation
    ///
    /// It changes nothing, so that nothing is left of a future that is dropped.
    ///
    /// # Thread
    ///
    /// Any spdk_thread.
    pub async fn lvols(&self) -> Result<Vec<LvolInfo>> {
        let target = self.store().clone();
        type Listed = std::result::Result<Vec<LvolInfo>, Fault>;
        let call = move |_, _: *mut (), done: unsafe fn(*mut c_void, Listed), arg| {
            let turn = volumes::turn(&target);
            let then = move |result| {
                // SAFETY: the context came with the function, and this is the one call.
                unsafe { done(arg, result) };
                drop(turn);
            };
            // SAFETY: the store is loaded, and this is its metadata thread, in turn.
            unsafe { list::list(target, Box::new(then)) };
        };
        let at = || At::new("spdk_bs_iter_first", self);
        let hold = |_: Caller<'_>| self.0.hold();
        // SAFETY: `then` is called once.
        unsafe { metadata::<Returned<Listed>, _, _, _>(at, hold, call, |_, listed| listed) }.await
    }

    /// Gets the store's I/O channel of the current spdk_thread, for I/O on volumes that are opened there.
    ///
    /// It keeps the store loaded. Wraps `spdk_lvol_get_io_channel`, for a store that has no volumes too.
    ///
    /// # Errors
    ///
    /// `ENOMEM`: there was none for 512 requests. [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the store was unloaded or
    /// its device removed. [`ErrorKind::NoThread`](crate::ErrorKind::NoThread) without a current spdk_thread.
    #[doc(alias = "spdk_lvol_get_io_channel")]
    pub fn alloc_io_channel(&self) -> Result<IoChannel> {
        self.0.alloc_io_channel()
    }

    /// Its name, at the moment. What is not UTF-8 of it is replaced.
    pub fn name(&self) -> String {
        let name = self.volumes().identity().name.clone();
        name.to_string_lossy().into_owned()
    }

    /// Its UUID, in the order that it is written in.
    pub fn uuid(&self) -> [u8; 16] {
        self.volumes().identity().uuid
    }

    /// How many clusters are free; see [`Blobstore::free_clusters`](crate::blob::Blobstore::free_clusters).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the store was unloaded or its device removed.
    #[doc(alias = "spdk_bs_free_cluster_count")]
    pub fn free_clusters(&self) -> Result<u64> {
        self.0.free_clusters()
    }

    /// How many clusters volumes can have altogether.
    ///
    /// # Errors
    ///
    /// As for [`LvolStore::free_clusters`].
    #[doc(alias = "spdk_bs_total_data_cluster_count")]
    pub fn total_clusters(&self) -> Result<u64> {
        self.0.total_clusters()
    }

    /// The size of a cluster, in bytes.
    #[doc(alias = "spdk_bs_get_cluster_size")]
    pub fn cluster_size(&self) -> u64 {
        self.0.cluster_size()
    }

    /// The unit of I/O, in bytes: a block of the device.
    #[doc(alias = "spdk_bs_get_io_unit_size")]
    pub fn io_unit_size(&self) -> u32 {
        self.0.io_unit_size()
    }

    /// The name of the bdev that it is on.
    pub fn bdev_name(&self) -> &str {
        self.0.bdev_name()
    }

    /// The metadata thread: the spdk_thread that loaded it.
    pub fn metadata_thread(&self) -> ThreadHandle {
        self.0.metadata_thread()
    }
}

/// What ends an operation that opens a volume.
pub(super) type OpenedBack = Returned<std::result::Result<Opened, Fault>>;
pub(super) type OpenedFn = unsafe fn(*mut c_void, std::result::Result<Opened, Fault>);

impl Describe for LvolStore {
    fn describe(&self) -> String {
        self.store().label()
    }
}

impl fmt::Debug for LvolStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LvolStore")
            .field("name", &self.name())
            .field("bdev", &self.bdev_name())
            .finish()
    }
}
