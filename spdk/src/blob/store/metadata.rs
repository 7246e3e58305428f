//! Writes the metadata of blobs, on the metadata thread.
#![allow(unsafe_code)] // Gives C the blobs that the callers keep open.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ffi::{CStr, c_int};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

use super::super::calls::{Then, called, called_with, context, context_with, later};
use super::super::copies::{told, without_io};
use super::super::id::BlobId;
use super::super::lvol::volumes::Volume;
use super::super::options::MOST_CLUSTERS;
use super::super::pages::{are_left, extent_pages, pages, xattrs_of};
use super::{Alone, Store};
use crate::sys;

#[derive(Default)]
pub(super) struct Writes {
    /// How many are in flight.
    in_flight: Cell<usize>,
    /// What waits for them.
    unsynced: Cell<Option<Box<dyn FnOnce()>>>,
    /// Whether closes wait, for that or for its end.
    is_resizing: Cell<bool>,
    /// The blobs whose last write has failed.
    failed: RefCell<BTreeSet<BlobId>>,
    /// Those that may need more pages with their next write.
    grown: RefCell<BTreeSet<BlobId>>,
}

impl Writes {
    pub(super) fn are_of_resize(&self) -> bool {
        self.is_resizing.get()
    }

    /// What a blob is, as far as it has not been written, is to be written by its next sync.
    fn have_failed(&self, id: BlobId) {
        self.failed.borrow_mut().insert(id);
    }
}

/// An open blob, for its metadata thread.
#[derive(Clone, Copy)]
pub(in crate::blob) struct RawBlob {
    pub(in crate::blob) ptr: NonNull<sys::spdk_blob>,
    /// If it is that of a volume, which is closed after it.
    pub(in crate::blob) volume: Option<Volume>,
}

impl RawBlob {
    pub(in crate::blob) fn new(ptr: NonNull<sys::spdk_blob>) -> Self {
        RawBlob { ptr, volume: None }
    }
}

// SAFETY: the pointer goes to the metadata thread, which gives it to C.
unsafe impl Send for RawBlob {}

impl Store {
    /// SPDK has failed to write what a blob is. On the metadata thread.
    pub(in crate::blob) fn has_not_written(&self, id: BlobId) {
        self.metadata.writes.have_failed(id);
    }

    /// There is more to write of what a blob is. On the metadata thread.
    pub(in crate::blob) fn has_more_to_write(&self, id: BlobId) {
        self.metadata.writes.grown.borrow_mut().insert(id);
    }
}

/// Writes the metadata of a blob, on its metadata thread.
///
/// SPDK takes a blob for clean once it has begun to write it, so that a later sync of one that could not be written
/// would do nothing, and report success, as would that of somebody else who has it open. So after an error it is made dirty
/// before the next one.
///
/// It reports success, too, when there is no page for them but the first: so those are looked for, after changes by calls.
///
/// One that is read-only has nothing to write, but for the calls that give it another parent or what it has of that: they
/// write it themselves, and have SPDK take its metadata for writable meanwhile. A sync would end that too early: they
/// would fail, and leave the blob without a device, which SPDK does not look for before it reads.
///
/// # Safety
/// The blob is open until `then` runs.
pub(in crate::blob) unsafe fn sync(
    store: &Arc<Store>,
    blob: RawBlob,
    then: impl FnOnce(c_int) + 'static,
) {
    // SAFETY: the blob is open, and this is its metadata thread.
    let id = BlobId::new(unsafe { sys::spdk_blob_get_id(blob.ptr.as_ptr()) });
    let writes = &store.metadata.writes;
    let has_failed = writes.failed.borrow_mut().remove(&id);
    // SAFETY: as above.
    if unsafe { sys::spdk_blob_is_read_only(blob.ptr.as_ptr()) } {
        return match has_failed {
            // SAFETY: passed on.
            true => unsafe { write_read_only(store, id, Box::new(then)) },
            false => then(0),
        };
    }
    if has_failed {
        // SAFETY: as above.
        unsafe { make_dirty(blob) };
    }
    let has_grown = writes.grown.borrow_mut().remove(&id);
    // SAFETY: as above; the store is loaded while it is open.
    if (has_failed || has_grown) && !unsafe { has_pages(store, blob) } {
        store.has_more_to_write(id);
        return then(-libc::ENOSPC);
    }
    writes.in_flight.set(writes.in_flight.get() + 1);
    let store = store.clone();
    let arg = context(move |rc| {
        if rc != 0 {
            store.metadata.writes.have_failed(id);
        }
        let syncing = &store.metadata.writes.in_flight;
        syncing.set(syncing.get() - 1);
        then(rc);
        if store.metadata.writes.in_flight.get() == 0
            && let Some(resize) = store.metadata.writes.unsynced.take()
        {
            resize();
        }
    });
    // SAFETY: as above; it calls back once.
    unsafe { sys::spdk_blob_sync_md(blob.ptr.as_ptr(), Some(called), arg) };
}

/// Whether there are pages for what a blob is, which SPDK writes to others than before, but for the first one.
///
/// # Safety
/// The blob is open, and this is its metadata thread.
unsafe fn has_pages(store: &Store, blob: RawBlob) -> bool {
    let (bs, blob) = (store.as_ptr(), blob.ptr.as_ptr());
    // SAFETY: passed on; the store is loaded while the blob is open.
    unsafe {
        let clusters = sys::spdk_blob_get_num_clusters(blob);
        xattrs_of(bs, blob).is_ok_and(|xattrs| are_left(bs, pages(xattrs, clusters) - 1))
    }
}

/// Resizes a blob and writes its metadata; `then` gets the errno of either, negative, or 0.
///
/// SPDK swaps the cluster maps of a blob and its new snapshot as if they were of one size, which they are not while a
/// smaller size of the blob has not been written: so nothing else begins before it has. And it takes a size for written
/// that a blob has got while its metadata were being written: so no write of them is in flight when it begins.
///
/// An I/O that began before one that cuts clusters off goes on with them: it writes to what is another blob's by then, and
/// puts down what it gets for a cluster beyond the end of SPDK's memory. And the I/O of a thin blob writes metadata too. So
/// none is in flight then.
///
/// SPDK does not see that it has not all of the pages for what a blob gets at once, gives it no clusters there, and crashes by an
/// I/O on them: so the blob gets its old size then, before there is an I/O.
///
/// # Safety
/// The blob is open until `then` runs, and this is its metadata thread.
pub(in crate::blob) unsafe fn resize(
    store: &Arc<Store>,
    blob: RawBlob,
    num_clusters: u64,
    then: impl FnOnce(c_int) + 'static,
) {
    // SAFETY: the blob is open.
    let (is_read_only, before, is_thin) = unsafe {
        let blob = blob.ptr.as_ptr();
        (
            sys::spdk_blob_is_read_only(blob),
            sys::spdk_blob_get_num_clusters(blob),
            sys::spdk_blob_is_thin_provisioned(blob),
        )
    };
    if num_clusters > MOST_CLUSTERS {
        return then(if is_read_only {
            -libc::EPERM
        } else {
            -libc::ENOSPC
        });
    }
    let (target, alone) = (store.clone(), store.alone());
    let resize = move |then: Then| {
        when_written(alone, move |quiet| {
            let ended = move |rc| {
                then(rc);
                drop(quiet);
            };
            resize_now(target, blob, num_clusters, Box::new(ended));
        });
    };
    let may_go_back = match extent_pages(num_clusters).saturating_sub(extent_pages(before)) {
        0 => false,
        // The last one may be the first of all, which SPDK finds, but does not take for this.
        // SAFETY: the store is loaded while the blob is open, and this is its metadata thread.
        1 => !unsafe { are_left(store.as_ptr(), 2) },
        _ => true,
    };
    match num_clusters < before || is_thin || may_go_back {
        // SAFETY: the blob is open until `then` runs, and keeps the store loaded.
        true => unsafe { without_io(store.clone(), resize, told(then)) },
        false => resize(Box::new(then)),
    }
}

/// Runs it when no metadata of blobs are being written. What it gets has closes wait, and the store alone.
pub(in crate::blob) fn when_written(alone: Alone, f: impl FnOnce(Quiet) + 'static) {
    let store = alone.store().clone();
    store.metadata.writes.is_resizing.set(true);
    let f = move || f(Quiet(alone));
    match store.metadata.writes.in_flight.get() {
        0 => f(),
        _ => store.metadata.writes.unsynced.set(Some(Box::new(f))),
    }
}

/// Has its store alone, and has closes wait.
pub(in crate::blob) struct Quiet(Alone);

impl Drop for Quiet {
    fn drop(&mut self) {
        self.0.store().metadata.writes.is_resizing.set(false);
    }
}

/// For `resize`, when its turn has come.
fn resize_now(store: Arc<Store>, blob: RawBlob, num_clusters: u64, then: Then) {
    // SAFETY: the blob is open until `then` runs, and this is its metadata thread.
    let before = unsafe {
        store.has_more_to_write(BlobId::new(sys::spdk_blob_get_id(blob.ptr.as_ptr())));
        sys::spdk_blob_get_num_clusters(blob.ptr.as_ptr())
    };
    let arg = context(move |rc| match rc {
        // SAFETY: the blob is open until `then` runs, and this is its metadata thread.
        0 if before < num_clusters && unsafe { lacks_clusters(blob) } => {
            let gone_back = context(move |_| {
                write_size(store, blob, None, Box::new(move |_| then(-libc::ENOSPC)));
            });
            // SAFETY: as above; it calls back once.
            unsafe { sys::spdk_blob_resize(blob.ptr.as_ptr(), before, Some(called), gone_back) };
        }
        0 => write_size(store, blob, (before > num_clusters).then_some(before), then),
        rc => then(rc),
    });
    // SAFETY: as above; it calls back once.
    unsafe { sys::spdk_blob_resize(blob.ptr.as_ptr(), num_clusters, Some(called), arg) };
}

/// Whether a blob should have clusters that it has not.
///
/// # Safety
/// The blob is open, and this is its metadata thread.
unsafe fn lacks_clusters(blob: RawBlob) -> bool {
    let blob = blob.ptr.as_ptr();
    // SAFETY: passed on; these read.
    unsafe {
        !sys::spdk_blob_is_thin_provisioned(blob)
            && sys::spdk_blob_get_num_allocated_clusters(blob)
                < sys::spdk_blob_get_num_clusters(blob)
    }
}

/// Writes the metadata of a blob that `resize` has open; if that fails, a size to go back to is the old one again.
fn write_size(store: Arc<Store>, blob: RawBlob, before: Option<u64>, then: Then) {
    let again = store.clone();
    let synced = move |rc| match (rc, before) {
        // Too many calls are in flight: try again in the next turn.
        _ if rc == -libc::ENOMEM => {
            later(move || write_size(again, blob, before, then));
        }
        (0, _) | (_, None) => then(rc),
        (rc, Some(before)) => {
            let arg = context(move |_| then(rc));
            // SAFETY: the blob is open until `then` runs. It still has the clusters, so that this needs none.
            unsafe { sys::spdk_blob_resize(blob.ptr.as_ptr(), before, Some(called), arg) };
        }
    };
    // SAFETY: the blob is open until `then` runs, and this is its metadata thread.
    unsafe { sync(&store, blob, synced) };
}

/// Writes the metadata of a blob that is read-only, although they could not be written before: SPDK takes a blob for
/// read-only when it has tried to write that. A sync of such a blob does nothing, but its close does.
///
/// # Safety
/// The blob is open until `then` runs, and this is its metadata thread.
unsafe fn write_read_only(store: &Arc<Store>, id: BlobId, then: Then) {
    let target = store.clone();
    let then = move |rc| {
        if rc != 0 {
            target.metadata.writes.have_failed(id);
        }
        then(rc);
    };
    let opened = context_with(move |blob: *mut sys::spdk_blob, rc| match rc {
        // SAFETY: it was opened by this call, once more; so it becomes dirty only.
        0 => unsafe {
            sys::spdk_blob_set_read_only(blob);
            close_again(blob, Box::new(then));
        },
        rc => then(rc),
    });
    // SAFETY: the store is loaded, since the blob is open; it calls back once.
    unsafe { sys::spdk_bs_open_blob(store.as_ptr(), id.get(), Some(called_with), opened) };
}

/// Closes a blob; one that stays open is written.
///
/// # Safety
/// It is open for this, and for somebody else until `then` runs if it is dirty. This is its metadata thread.
pub(super) unsafe fn close_again(blob: *mut sys::spdk_blob, then: Then) {
    let closed = context(move |rc| match rc {
        // SAFETY: as before. Too many calls are in flight: try again in the next turn.
        _ if rc == -libc::ENOMEM => later(move || unsafe { close_again(blob, then) }),
        rc => then(rc),
    });
    // SAFETY: passed on; it calls back once.
    unsafe { sys::spdk_blob_close(blob, Some(called), closed) };
}

/// Forgets that a blob has no page for what was to be written of it, unless somebody has it open: that is lost, and who opens it
/// next has nothing to write.
///
/// SPDK does not tell whether it is open. But it calls back before it returns if it is asked to open one that is.
///
/// # Safety
/// The store is loaded until `then` runs, and this is its metadata thread.
pub(super) unsafe fn forget_closed(store: &Arc<Store>, id: BlobId, then: impl FnOnce() + 'static) {
    let is_open = Rc::new(Cell::new(false));
    let told = is_open.clone();
    let opened = context_with(move |blob: *mut sys::spdk_blob, rc| {
        told.set(true);
        match rc {
            // SAFETY: it was opened by this call, and nobody else knows of that.
            0 => unsafe { close_again(blob, Box::new(move |_| then())) },
            _ => then(),
        }
    });
    // SAFETY: passed on; it calls back once.
    unsafe { sys::spdk_bs_open_blob(store.as_ptr(), id.get(), Some(called_with), opened) };
    if !is_open.get() {
        store.metadata.writes.grown.borrow_mut().remove(&id);
    }
}

/// Has the next sync write the blob.
///
/// # Safety
/// The blob is open, and this is its metadata thread.
unsafe fn make_dirty(blob: RawBlob) {
    // What is set and removed again is written by no sync.
    const NAME: &CStr = c"spdk (Rust): not written";
    // SAFETY: passed on; the name and the value are copied. A blob whose metadata are read-only refuses both, and is
    // never dirty.
    unsafe {
        let blob = blob.ptr.as_ptr();
        if sys::spdk_blob_set_xattr(blob, NAME.as_ptr(), NAME.as_ptr().cast(), 1) == 0 {
            sys::spdk_blob_remove_xattr(blob, NAME.as_ptr());
        }
    }
}
