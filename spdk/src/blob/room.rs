//! Room for snapshots and clones: what SPDK 26.01 has none of, it does not survive, or loses, so it is looked for before.
//!
//! It opens a clone without a look at whether it was made. And when a page is missing for the metadata of a snapshot, or of the
//! blob whose clusters that takes over, it goes on as if they were written.
#![allow(unsafe_code)] // Looks at blobs on their metadata thread.

use std::ffi::c_int;
use std::sync::Arc;

use super::id::BlobId;
use super::pages::{PARENT, UNFINISHED, are_left, pages, xattrs_of};
use super::store::{RawBlob, Store, Use, close_at_once, open};
use crate::sys;

/// What is made of a blob.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum New {
    Clone,
    Snapshot,
}

/// The blob, opened for who has SPDK make something of it; or an errno, negative.
type Original = Result<(Use, RawBlob), c_int>;

/// Opens a blob, for who has SPDK make a snapshot or clone of it in `then`, with attributes of these sizes, and closes it
/// afterwards by [`close_at_once`]. SPDK has the pages for that then, and a request for a clone.
///
/// # Safety
/// The store is loaded until `then` runs, and this is its metadata thread.
pub(super) unsafe fn find_room(
    store: &Arc<Store>,
    id: BlobId,
    new: New,
    xattrs: Vec<usize>,
    then: impl FnOnce(Original) + 'static,
) {
    let target = store.clone();
    let opened = move |original: Original| {
        let look = move |original: Original| {
            let (part, blob) = match original {
                Ok(original) => original,
                Err(rc) => return then(Err(rc)),
            };
            // SAFETY: the store is loaded, as long as `part` exists, and this is its metadata thread. The blob is open.
            match unsafe { has_pages(part.store(), blob, new, xattrs) } {
                true => then(Ok((part, blob))),
                false => close_at_once(part, blob, move |_| then(Err(-libc::ENOMEM))),
            }
        };
        let Ok((_, blob)) = &original else {
            return look(original);
        };
        // SAFETY: it is open.
        let is_read_only = unsafe { sys::spdk_blob_is_read_only(blob.ptr.as_ptr()) };
        match new {
            New::Clone if is_read_only => {
                // SAFETY: passed on.
                unsafe { when_a_request_is_free(target, id, original, look) };
            }
            // SPDK refuses a clone.
            _ => look(original),
        }
    };
    // SAFETY: passed on.
    unsafe { open(store, id, opened) };
}

/// Opens an open blob once more and closes that: a close takes a request, for which it waits, and has given it back when it
/// ends.
///
/// # Safety
/// The store is loaded until `then` runs, and this is its metadata thread.
unsafe fn when_a_request_is_free(
    store: Arc<Store>,
    id: BlobId,
    original: Original,
    then: impl FnOnce(Original) + 'static,
) {
    let opened = move |twin: Original| match (twin, original) {
        (Ok((part, blob)), original) => close_at_once(part, blob, move |_| then(original)),
        // The store is about to go.
        (Err(rc), Ok((part, blob))) => close_at_once(part, blob, move |_| then(Err(rc))),
        (Err(rc), Err(_)) => then(Err(rc)),
    };
    // SAFETY: passed on.
    unsafe { open(&store, id, opened) };
}

/// Whether there are pages for the metadata of what is made of a blob, and of that itself, which SPDK writes anew before it
/// gives the old ones back.
///
/// # Safety
/// The store is loaded, and this is its metadata thread. The blob is open.
unsafe fn has_pages(store: &Store, blob: RawBlob, new: New, mut xattrs: Vec<usize>) -> bool {
    let (bs, blob) = (store.as_ptr(), blob.ptr.as_ptr());
    // SAFETY: passed on.
    unsafe {
        let clusters = sys::spdk_blob_get_num_clusters(blob);
        let Ok(mut old) = xattrs_of(bs, blob) else {
            return false;
        };
        old.push(PARENT);
        xattrs.push(PARENT);
        match new {
            New::Clone => are_left(bs, pages(xattrs, clusters)),
            New::Snapshot => {
                xattrs.push(UNFINISHED);
                let (new, old) = (pages(xattrs, clusters), pages(old, clusters));
                are_left(bs, new.saturating_add(new - 1).saturating_add(old - 1))
            }
        }
    }
}
