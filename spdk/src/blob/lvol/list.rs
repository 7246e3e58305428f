//! [`LvolInfo`]: the volumes of a store as data.
#![allow(unsafe_code)] // Steps from one blob to the next, on the metadata thread.

use std::ffi::{CStr, c_int};
use std::ptr;
use std::sync::Arc;

use super::super::BlobId;
use super::super::calls::{called_with, context_with, later};
use super::super::store::{Store, iter_next};
use super::esnap;
use crate::error::Fault;
use crate::op::status;
use crate::sys;

/// What is known of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LvolInfo {
    /// Its name.
    pub name: String,
    /// Its UUID, in the order that it is written in; volumes of very old releases have none.
    pub uuid: Option<[u8; 16]>,
    /// The ID of its blob, which says what it is in [`LvolInfo::parent`] of others.
    pub blob_id: BlobId,
    /// Its size in bytes.
    pub size: u64,
    /// How many clusters of the device it has: fewer than its size, if it is thin.
    #[doc(alias = "spdk_blob_get_num_allocated_clusters")]
    pub num_allocated_clusters: u64,
    /// Whether nobody can write to it.
    #[doc(alias = "spdk_blob_is_read_only")]
    pub is_read_only: bool,
    /// Whether it is a snapshot that a volume depends on, or has depended on since the store was loaded.
    #[doc(alias = "spdk_blob_is_snapshot")]
    pub is_snapshot: bool,
    /// Whether it depends on a bdev outside of the store.
    #[doc(alias = "spdk_blob_is_esnap_clone")]
    pub is_esnap_clone: bool,
    /// Whether it gets clusters when they are written.
    #[doc(alias = "spdk_blob_is_thin_provisioned")]
    pub is_thin: bool,
    /// Whether the bdev that it depends on is not there, so that it takes no I/O.
    #[doc(alias = "spdk_blob_is_degraded")]
    pub is_degraded: bool,
    /// The blob of the snapshot that it depends on.
    #[doc(alias = "spdk_blob_get_parent_snapshot")]
    pub parent: Option<BlobId>,
}

/// The text of an attribute.
///
/// # Safety
/// The blob is open, and this is the metadata thread.
unsafe fn attribute(blob: *mut sys::spdk_blob, name: &CStr) -> Option<Vec<u8>> {
    let (mut value, mut length) = (ptr::null(), 0);
    // SAFETY: passed on. The value is the blob's, and copied before anything else happens to that.
    let value = unsafe {
        let rc = sys::spdk_blob_get_xattr_value(blob, name.as_ptr(), &mut value, &mut length);
        if rc != 0 || length == 0 {
            return None;
        }
        std::slice::from_raw_parts(value.cast::<u8>(), length)
    };
    let text = value.split(|byte| *byte == 0).next()?;
    Some(text.to_vec())
}

/// # Safety
/// The blob is open, and this is the metadata thread.
pub(super) unsafe fn uuid(blob: *mut sys::spdk_blob) -> Option<[u8; 16]> {
    // SAFETY: passed on.
    esnap::parse(&unsafe { attribute(blob, c"uuid") }?)
}

/// # Safety
/// The blob is open, and this is the metadata thread.
pub(super) unsafe fn name(blob: *mut sys::spdk_blob) -> Option<Vec<u8>> {
    // SAFETY: passed on.
    unsafe { attribute(blob, c"name") }
}

/// What is known of the volume of a blob.
///
/// # Safety
/// The blob is open, and its store loaded; this is the metadata thread.
pub(super) unsafe fn info(store: &Store, blob: *mut sys::spdk_blob) -> LvolInfo {
    // SAFETY: passed on. These calls read.
    unsafe {
        let id = sys::spdk_blob_get_id(blob);
        let name = name(blob).unwrap_or_default();
        LvolInfo {
            name: String::from_utf8_lossy(&name).into_owned(),
            uuid: uuid(blob),
            blob_id: BlobId::new(id),
            size: sys::spdk_blob_get_num_clusters(blob) * store.cluster_size(),
            num_allocated_clusters: sys::spdk_blob_get_num_allocated_clusters(blob),
            is_read_only: sys::spdk_blob_is_read_only(blob),
            is_snapshot: sys::spdk_blob_is_snapshot(blob),
            is_esnap_clone: sys::spdk_blob_is_esnap_clone(blob),
            is_thin: sys::spdk_blob_is_thin_provisioned(blob),
            is_degraded: sys::spdk_blob_is_degraded(blob),
            parent: BlobId::from_c(sys::spdk_blob_get_parent_snapshot(store.as_ptr(), id)),
        }
    }
}

type Listed = Box<dyn FnOnce(Result<Vec<LvolInfo>, Fault>)>;

/// Lists the volumes of a store, but for its super blob.
///
/// # Safety
/// The store is loaded, and has nothing else to do: this is its metadata thread.
pub(super) unsafe fn list(store: Arc<Store>, then: Listed) {
    let target = store.clone();
    let first = move |super_blob: sys::spdk_blob_id| {
        let arg = context_with(step(target.clone(), super_blob, Vec::new(), then));
        // SAFETY: passed on; it calls back once.
        unsafe { sys::spdk_bs_iter_first(target.as_ptr(), Some(called_with), arg) };
    };
    let arg: Box<First> = Box::new(First(Box::new(first)));
    // SAFETY: passed on; it calls back once.
    unsafe { sys::spdk_bs_get_super(store.as_ptr(), Some(on_super), Box::into_raw(arg).cast()) };
}

struct First(Box<dyn FnOnce(sys::spdk_blob_id)>);

unsafe extern "C" fn on_super(arg: *mut std::ffi::c_void, id: sys::spdk_blob_id, rc: c_int) {
    crate::panic::guard("super blob of an lvol store", || {
        // SAFETY: `list` made it for this one callback.
        let first = unsafe { Box::from_raw(arg.cast::<First>()) };
        // Without one, every blob is a volume's.
        (first.0)(if rc == 0 { id } else { u64::MAX });
    });
}

fn step(
    store: Arc<Store>,
    super_blob: sys::spdk_blob_id,
    mut found: Vec<LvolInfo>,
    then: Listed,
) -> impl FnOnce(*mut sys::spdk_blob, c_int) + 'static {
    move |blob, rc| {
        if rc == -libc::ENOENT {
            return then(Ok(found));
        }
        if let Err(fault) = status(rc) {
            return then(Err(fault));
        }
        // SAFETY: the call has opened it.
        if unsafe { sys::spdk_blob_get_id(blob) } != super_blob {
            // SAFETY: as above.
            found.push(unsafe { info(&store, blob) });
        }
        // The next callback may come inside of the call, and so may all of them.
        later(move || {
            let arg = context_with(step(store.clone(), super_blob, found, then));
            // SAFETY: the store is loaded, and this the metadata thread; it closes the blob, and calls back once.
            unsafe { iter_next(&store, blob, Some(called_with), arg) };
        });
    }
}
