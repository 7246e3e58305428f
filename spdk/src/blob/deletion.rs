//! Deletes blobs.
#![allow(unsafe_code)] // Opens blobs on the metadata thread, and calls what deletes them.

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use super::calls::{Then, called, context};
use super::copies::{told, when_closed, without_io};
use super::handle::report;
use super::id::BlobId;
use super::snapshots::clones;
use super::store::{RawBlob, Store, close_at_once, open};
use crate::sys;

/// Has SPDK delete a blob; what comes after it waits for the end of that: the clone of a snapshot keeps its size until then.
///
/// # Safety
/// The store is loaded until the callback, which comes once, and this is its metadata thread.
pub(super) unsafe fn delete(
    store: &Arc<Store>,
    id: BlobId,
    done: sys::spdk_blob_op_complete,
    arg: *mut c_void,
) {
    let (target, alone, change) = (store.clone(), store.alone(), store.change());
    let delete = move |ended: Then| {
        // SAFETY: passed on.
        unsafe {
            let ended = context(ended);
            sys::spdk_bs_delete_blob(target.as_ptr(), id.get(), Some(called), ended);
        }
    };
    let ended = move |rc| {
        report(done, arg, rc);
        drop((change, alone));
    };
    // SAFETY: passed on.
    unsafe { when_ready(store, id, delete, ended) };
}

/// Runs `delete`, which has SPDK delete this blob, and is given what it has to call with the errno of that, negative, or 0.
/// `then` gets it too.
///
/// SPDK gives the clone of a snapshot what the snapshot has, although a write that began before may be about to give the clone
/// the first cluster of a page: that page is written without the clusters of the snapshot, which are lost with the next load. And
/// a read that began before reads what the clone does not need. So no I/O is in flight then.
///
/// SPDK does not see that a blob is being opened that it begins to delete: who opens it then has it all the same, with clusters
/// and pages that are others' by then. So the opens that have begun end before.
///
/// # Safety
/// As for [`look`]. `delete` calls back once.
pub(super) unsafe fn when_ready(
    store: &Arc<Store>,
    id: BlobId,
    delete: impl FnOnce(Then) + 'static,
    then: impl FnOnce(c_int) + 'static,
) {
    let target = store.clone();
    let looked = move |rc| {
        if rc != 0 {
            return then(rc);
        }
        let store = target.clone();
        // At last: others may be closed while I/O is waited for.
        // SAFETY: passed on.
        let delete = move |ended: Then| unsafe {
            let target = store.clone();
            when_closed(store, move || target.when_opened(move || delete(ended)));
        };
        // SAFETY: passed on.
        unsafe {
            match clones(target.as_ptr(), id).is_ok_and(|clones| !clones.is_empty()) {
                true => without_io(target, delete, told(then)),
                false => delete(Box::new(then)),
            }
        }
    };
    // SAFETY: passed on.
    unsafe { look(store.clone(), id, looked) };
}

/// Looks whether SPDK can delete a blob: `then` gets `-ENOTSUP` for a snapshot whose one clone has another size, the errno of
/// one of both that cannot be opened, which SPDK would give too, else 0.
///
/// SPDK gives the clone what the snapshot has as if both were of one size. It takes a page of the extent table with as many
/// clusters as the snapshot has, so that the clone has another size when it is opened next, or cannot be; and a clone that
/// is larger has zeroes beyond the end of the snapshot, but not of the snapshot's parent.
///
/// # Safety
/// The store is loaded until `then` runs, and this is its metadata thread. Nothing else of it begins meanwhile.
unsafe fn look(store: Arc<Store>, snapshot: BlobId, then: impl FnOnce(c_int) + 'static) {
    // SAFETY: passed on.
    let clones = unsafe { clones(store.as_ptr(), snapshot) };
    let Ok(&[clone]) = clones.as_deref() else {
        return then(0);
    };
    let target = store.clone();
    let of_clone = move |of_clone| {
        let of_snapshot = move |of_snapshot| match (of_clone, of_snapshot) {
            (Err(rc), _) | (_, Err(rc)) => then(rc),
            (Ok(one), Ok(other)) if one != other => then(-libc::ENOTSUP),
            _ => then(0),
        };
        // SAFETY: passed on.
        unsafe { count_clusters(target, snapshot, of_snapshot) };
    };
    // SAFETY: passed on.
    unsafe { count_clusters(store, clone, of_clone) };
}

/// How many clusters a blob has, or why it cannot be opened, as a negative errno.
///
/// # Safety
/// As for [`look`].
unsafe fn count_clusters(
    store: Arc<Store>,
    id: BlobId,
    then: impl FnOnce(Result<u64, c_int>) + 'static,
) {
    let opened = move |opened| match opened {
        Ok((part, blob)) => {
            let blob: RawBlob = blob;
            // SAFETY: the blob is open, and this is its metadata thread.
            let count = unsafe { sys::spdk_blob_get_num_clusters(blob.ptr.as_ptr()) };
            close_at_once(part, blob, move |_| then(Ok(count)));
        }
        Err(rc) => then(Err(rc)),
    };
    // SAFETY: passed on.
    unsafe { open(&store, id, opened) };
}
