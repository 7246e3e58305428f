//! Blobs that depend on a device outside of their blobstore.
#![allow(unsafe_code)] // Gives SPDK devices, and the function that finds them.

use std::any::Any;
use std::ffi::{c_int, c_void};
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use super::block_device::{BlockDevice, ReadInto};
use super::bs_dev;
use super::calls::{called, context};
use super::handle::{Blob, report};
use super::remote::metadata;
use super::store::Store;
use crate::error::{At, Fault, Result};
use crate::generated::blob::BlobOpComplete;
use crate::local::Caller;
use crate::op::status;
use crate::panic::guard;
use crate::{Bdev, BdevDesc, DmaBuf, Errno, IoChannel, sys};

/// How many bytes the ID of an external snapshot may have. More fit, but not into every blob.
const MAX_ID: usize = 1024;

/// An external snapshot: a device outside of a blobstore, which a blob reads as, until it is written.
///
/// The blob remembers an ID of it, [`BlobOpts::external_snapshot`](super::BlobOpts::external_snapshot), which
/// [`BsOpts::external_snapshots`](super::BsOpts::external_snapshots) finds the device by when the blob is opened.
///
/// The blocks of the blobstore consist of whole blocks of it. Beyond its end it reads as zeroes.
#[doc(alias = "spdk_bs_dev")]
pub struct ExternalSnapshot(Make);

/// Makes the device, on the metadata thread.
type Make = Box<dyn FnOnce() -> std::result::Result<NonNull<sys::spdk_bs_dev>, Errno> + Send>;

impl ExternalSnapshot {
    /// A device written in Rust. It is only read.
    pub fn new(device: impl BlockDevice) -> Self {
        ExternalSnapshot(Box::new(|| bs_dev::new(device)))
    }

    /// A bdev, which each spdk_thread opens that reads the blob. Nothing keeps others from writing to it.
    ///
    /// What the blob reads of it is copied by a buffer in between.
    ///
    /// A bdev that is not there at the time is an error, `ENODEV`, of what is done with the snapshot.
    pub fn bdev(name: &str) -> Self {
        let name: Box<str> = name.into();
        ExternalSnapshot(Box::new(move || read_bdev(&name, Box::new(()))))
    }

    /// A device that is not there: the blob is degraded, and what it would read of it fails with `EIO`, until
    /// [`Blob::set_external_snapshot`] gives it one.
    ///
    /// SPDK 26.01 loses a free cluster with each write that needs one and fails so, as with any device that fails to be read
    /// then, until the store is loaded with [`BsOpts::force_recover`](super::BsOpts::force_recover).
    pub fn missing() -> Self {
        Self::new(Missing)
    }

    pub(super) fn make(self) -> std::result::Result<NonNull<sys::spdk_bs_dev>, Errno> {
        (self.0)()
    }
}

impl fmt::Debug for ExternalSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalSnapshot").finish_non_exhaustive()
    }
}

struct Missing;

impl BlockDevice for Missing {
    type Channel = ();

    fn block_size(&self) -> u32 {
        512
    }

    fn num_blocks(&self) -> u64 {
        u64::MAX / 512
    }

    fn channel(&self) -> std::result::Result<(), Errno> {
        Ok(())
    }

    async fn read(&self, _: &(), _: u64, _: &mut ReadInto<'_>) -> std::result::Result<(), Errno> {
        Err(Errno::EIO)
    }

    fn is_degraded(&self) -> bool {
        true
    }
}

/// A device that reads a bdev. `kept` is dropped with it.
pub(super) fn read_bdev(
    name: &str,
    kept: Box<dyn Any>,
) -> std::result::Result<NonNull<sys::spdk_bs_dev>, Errno> {
    let bdev = Bdev::find(name).map_err(|_| Errno::ENODEV)?;
    let reader = BdevReader {
        name: name.into(),
        block_size: bdev.block_size(),
        num_blocks: bdev.num_blocks(),
    };
    bs_dev::new_keeping(reader, kept)
}

/// SPDK's own way to read a bdev gives channels back while it still reads, when a blob that is read gets a snapshot; and for
/// clones of that it takes the blocks of the bdev for some of the store.
struct BdevReader {
    name: Box<str>,
    block_size: u32,
    num_blocks: u64,
}

impl BlockDevice for BdevReader {
    type Channel = (BdevDesc, IoChannel);

    fn block_size(&self) -> u32 {
        self.block_size
    }

    fn num_blocks(&self) -> u64 {
        self.num_blocks
    }

    fn channel(&self) -> std::result::Result<Self::Channel, Errno> {
        let open = || {
            let desc = BdevDesc::open(&self.name, false)?;
            let channel = desc.get_io_channel()?;
            Ok((desc, channel))
        };
        open().map_err(|error: crate::Error| error.errno().unwrap_or(Errno::ENODEV))
    }

    async fn read(
        &self,
        (desc, channel): &Self::Channel,
        block: u64,
        into: &mut ReadInto<'_>,
    ) -> std::result::Result<(), Errno> {
        let read = async {
            let mut buf = DmaBuf::alloc(into.len(), 4096)?;
            let offset = block * u64::from(self.block_size);
            desc.read(channel, &mut buf, offset).await?;
            into.copy_from(0, &buf)
        };
        read.await.map_err(|error| {
            tracing::warn!(bdev = &*self.name, %error, "an external snapshot was not read");
            Errno::EIO
        })
    }
}

/// Finds the external snapshot of an ID.
#[derive(Clone)]
pub(super) struct Find(pub(super) Arc<FindFn>);

type FindFn = dyn Fn(&[u8]) -> ExternalSnapshot + Send + Sync;

impl fmt::Debug for Find {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Find")
    }
}

/// What SPDK calls on the metadata thread when a blob is opened that depends on a device. Its context is a [`Find`].
pub(super) unsafe extern "C" fn find(
    find: *mut c_void,
    _: *mut c_void,
    _: *mut sys::spdk_blob,
    id: *const c_void,
    len: u32,
    dev: *mut *mut sys::spdk_bs_dev,
) -> c_int {
    guard("external snapshot of a blob", || {
        // SAFETY: the store was loaded with this context, which is kept as long as its device.
        let find = unsafe { &*find.cast::<Find>().cast_const() }.clone();
        // SAFETY: the ID has so many bytes; it is copied, since it is a part of the blob.
        let id = unsafe { std::slice::from_raw_parts(id.cast::<u8>(), len as usize) }.to_vec();
        match (find.0)(&id).make() {
            Ok(made) => {
                // SAFETY: it is a place for the device.
                unsafe { *dev = made.as_ptr() };
                0
            }
            Err(errno) => -errno.code(),
        }
    })
}

/// Refuses what is no ID.
pub(super) fn check_id(id: &[u8]) -> std::result::Result<(), Fault> {
    match id.len() {
        1..=MAX_ID => Ok(()),
        len => Err(Fault::invalid(format!(
            "the ID of an external snapshot has 1 to {MAX_ID} bytes, not {len}"
        ))),
    }
}

impl Blob {
    /// The ID of the external snapshot that it depends on, if there is one.
    ///
    /// Wraps `spdk_blob_get_esnap_id`.
    ///
    /// # Errors, cancellation, thread
    ///
    /// As for [`Blob::info`].
    #[doc(alias = "spdk_blob_get_esnap_id")]
    pub async fn external_snapshot_id(&self) -> Result<Option<Vec<u8>>> {
        let read = |blob: *mut sys::spdk_blob| {
            let (mut id, mut len) = (std::ptr::null(), 0);
            // SAFETY: the blob is open, and this is its metadata thread. What it gives is a part of the blob.
            unsafe {
                if !sys::spdk_blob_is_esnap_clone(blob) {
                    return Ok(None);
                }
                status(sys::spdk_blob_get_esnap_id(blob, &mut id, &mut len))?;
                Ok(Some(
                    std::slice::from_raw_parts(id.cast::<u8>(), len).to_vec(),
                ))
            }
        };
        self.visit("spdk_blob_get_esnap_id", read).await
    }

    /// Gives it another device for the external snapshot that it depends on, such as one that was missing. Its ID stays.
    ///
    /// I/O is held back meanwhile. What was in flight ends with the old device. It waits until no snapshot, copy, deletion
    /// or the like of the store is in flight, also none that has begun meanwhile, and then what changes the store waits for it:
    /// with SPDK 26.01 alone, two of them beside each other destroy a device that is in use.
    ///
    /// Wraps `spdk_blob_set_esnap_bs_dev`.
    ///
    /// # Errors
    ///
    /// `EINVAL`: it depends on no external snapshot, or the blocks of the device do not fit those of the store, or are none
    /// that a device can have. `ENODEV`: the bdev is not there. And those of [`Blob::info`].
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the call but does not stop it.
    ///
    /// # Thread
    ///
    /// The one that opened it.
    #[doc(alias = "spdk_blob_set_esnap_bs_dev")]
    #[doc(alias = "spdk_blob_get_esnap_bs_dev")]
    pub async fn set_external_snapshot(&self, snapshot: ExternalSnapshot) -> Result<()> {
        let set = |blob: *mut sys::spdk_blob, dev, _: &[u8], done, arg| {
            // SAFETY: the blob is open, and this is its metadata thread.
            unsafe {
                match sys::spdk_blob_is_esnap_clone(blob) {
                    true => sys::spdk_blob_set_esnap_bs_dev(blob, dev, done, arg),
                    false => report(done, arg, -libc::EINVAL),
                }
            }
        };
        self.depend_on("spdk_blob_set_esnap_bs_dev", snapshot, Vec::new(), set)
            .await
    }

    /// Has it depend on an external snapshot with this ID instead of what it depends on: it reads as that where it has
    /// no clusters of its own.
    ///
    /// It is thin, or a clone already. The size of the device is a multiple of that of a cluster. This is durable when it
    /// has ended.
    ///
    /// Wraps `spdk_bs_blob_set_external_parent`.
    ///
    /// # Errors
    ///
    /// `EINVAL`: it is not thin, or the size of the device or its blocks do not fit. `EEXIST`: it depends on that already.
    /// `EBUSY`: another call has it locked. `EIO`: the device of the store failed; it depends on the external snapshot
    /// until it is closed. [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument): the ID has no byte, or more
    /// than 1024. And those of [`Blob::set_external_snapshot`].
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Blob::set_external_snapshot`].
    #[doc(alias = "spdk_bs_blob_set_external_parent")]
    pub async fn set_external_parent(&self, id: &[u8], snapshot: ExternalSnapshot) -> Result<()> {
        const CALL: &str = "spdk_bs_blob_set_external_parent";
        check_id(id).map_err(|fault| fault.at(At::new(CALL, self)))?;
        let bs = self.store().clone();
        let this = self.id();
        let set = move |_: *mut sys::spdk_blob, dev, id: &[u8], done, arg| {
            // SAFETY: a blob of the store is open, so it is loaded; this is its metadata thread. The ID is copied.
            unsafe {
                sys::spdk_bs_blob_set_external_parent(
                    bs.as_ptr(),
                    this.get(),
                    dev,
                    id.as_ptr().cast(),
                    id.len() as u32,
                    done,
                    arg,
                );
            }
        };
        self.depend_on(CALL, snapshot, id.to_vec(), set).await
    }

    /// Makes the device and calls `set`, which gives it to the blob if it calls back that it did.
    async fn depend_on(
        &self,
        operation: &'static str,
        snapshot: ExternalSnapshot,
        id: Vec<u8>,
        set: impl FnOnce(
            *mut sys::spdk_blob,
            *mut sys::spdk_bs_dev,
            &[u8],
            sys::spdk_blob_op_complete,
            *mut c_void,
        ) + Send
        + 'static,
    ) -> Result<()> {
        let at = || At::new(operation, self);
        let hold = |caller: Caller<'_>| Ok((self.handle_of().hold(caller)?, ()));
        let (store, unit) = (self.store().clone(), self.io_unit_size());
        let call = move |blob: *mut sys::spdk_blob, _: *mut (), done, arg| {
            let dev = match snapshot.make() {
                Ok(dev) => dev.as_ptr(),
                Err(errno) => return report(done, arg, -errno.code()),
            };
            let set = move |done, arg| set(blob, dev, &id, done, arg);
            // SAFETY: the operation holds the blob, so it is open until `report` is called; the device was just made.
            unsafe {
                // SPDK does not look.
                match unit % (*dev).blocklen {
                    0 => give(&store, blob, dev, set, move |rc| report(done, arg, rc)),
                    _ => {
                        destroy(dev);
                        report(done, arg, -libc::EINVAL);
                    }
                }
            }
        };
        // SAFETY: `report` is called once. The device belongs to the blob or to `end`; nothing else is kept.
        unsafe { metadata::<BlobOpComplete, _, _, _>(at, hold, call, |_, rc| status(rc)) }.await
    }
}

/// Gives a blob a device by `set`, which is given what it has to call with the errno of that, negative, or 0; `then` gets it
/// too. The device is destroyed if the blob does not have it then.
///
/// SPDK 26.01 does not look whether the blob is getting another one, or is being copied or given a parent, and goes on with
/// devices that are gone. So nothing else that changes blobs is in flight meanwhile.
///
/// # Safety
/// The blob is open until `then` runs, and this is the metadata thread of its store. The device is the caller's. `set` calls
/// back once.
pub(super) unsafe fn give(
    store: &Arc<Store>,
    blob: *mut sys::spdk_blob,
    dev: *mut sys::spdk_bs_dev,
    set: impl FnOnce(sys::spdk_blob_op_complete, *mut c_void) + 'static,
    then: impl FnOnce(c_int) + 'static,
) {
    let end = move |rc| {
        // SAFETY: as the caller says. Whatever the error, the device is the blob's if that has it, and else still ours.
        unsafe {
            let is_taken =
                sys::spdk_blob_is_esnap_clone(blob) && sys::spdk_blob_get_esnap_bs_dev(blob) == dev;
            if !is_taken {
                destroy(dev);
            }
        }
        then(rc);
    };
    store.when_still(move |alone| {
        let end = context(move |rc| {
            end(rc);
            drop(alone);
        });
        set(Some(called), end);
    });
}

/// # Safety
/// The device is the caller's, on the spdk_thread where it was made.
pub(super) unsafe fn destroy(dev: *mut sys::spdk_bs_dev) {
    // SAFETY: as the caller says; this is its own function.
    unsafe {
        if let Some(destroy) = (*dev).destroy {
            destroy(dev);
        }
    }
}
