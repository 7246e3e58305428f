//! Closes blobs, and opens some for a while, on the metadata thread.
#![allow(unsafe_code)] // Gives C the blobs that the callers have opened.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;
use std::sync::Arc;

use super::super::calls::{Then, called, called_with, context, context_with, later};
use super::super::id::BlobId;
use super::super::remote::Carry;
use super::metadata::{RawBlob, close_again, forget_closed, sync};
use super::{Metadata, Store, Use};
use crate::sys;

/// Writes the metadata of a blob and closes it, in turn; `then` gets the errno of the write or of the close,
/// negative, or 0. Wherever this is called, `then` runs on the metadata thread.
///
/// # Safety
/// The caller has opened the blob, and does not use it any more; `then` may go to the metadata thread.
pub(in crate::blob) unsafe fn close(part: Use, blob: RawBlob, then: impl FnOnce(c_int) + 'static) {
    if part.store().is_home() {
        return close_in_turn(part, blob, then);
    }
    // SAFETY: the caller promises it.
    let call = unsafe { Carry::new((part.clone(), then)) };
    part.store().send(move || {
        let (part, then) = call.take();
        close_in_turn(part, blob, then);
    });
}

fn close_in_turn(part: Use, blob: RawBlob, then: impl FnOnce(c_int) + 'static) {
    let Metadata { turns, writes, .. } = &part.store().metadata;
    if turns.are_awaited() || writes.are_of_resize() {
        let store = part.store().clone();
        store
            .metadata
            .turns
            .wait(move || close_at_once(part, blob, then));
    } else {
        close_at_once(part, blob, then);
    }
}

/// The same out of turn, on the metadata thread: for who has the store [alone](super::Store::alone), for whose end the
/// others wait.
pub(in crate::blob) fn close_at_once(part: Use, blob: RawBlob, then: impl FnOnce(c_int) + 'static) {
    part.store().metadata.turns.begin_close();
    if let Some(volumes) = part.store().volumes() {
        volumes.closes(blob.volume);
    }
    write_and_close(part, blob, Box::new(then));
}

/// Opens a blob, for who closes it by [`close_at_once`]; or `then` gets the errno, negative.
///
/// # Safety
/// The store is loaded until `then` runs, and this is its metadata thread.
pub(in crate::blob) unsafe fn open(
    store: &Arc<Store>,
    id: BlobId,
    then: impl FnOnce(Result<(Use, RawBlob), c_int>) + 'static,
) {
    let bs = store.as_ptr();
    let store = store.clone();
    let opening = store.opening();
    let opened = context_with(move |blob, rc| {
        let _opening = opening;
        let blob = match NonNull::new(blob) {
            Some(blob) if rc == 0 => blob,
            _ => return then(Err(rc)),
        };
        match store.enter() {
            Ok(part) => then(Ok((part, RawBlob::new(blob)))),
            Err(_) => {
                // SAFETY: it was opened by this call, and nobody uses it.
                unsafe { sys::spdk_blob_close(blob.as_ptr(), Some(called), context(|_| ())) };
                then(Err(-libc::ENODEV));
            }
        }
    });
    // SAFETY: passed on; it calls back once.
    unsafe { sys::spdk_bs_open_blob(bs, id.get(), Some(called_with), opened) };
}

/// Has SPDK close an open blob, and open the one after it, as `spdk_bs_iter_next` does.
///
/// That takes no notice of a close that fails: who else has it open would be told that it was written. So it is written
/// before, by the close of another reference to it, which also leaves a request free for that of this one.
///
/// # Safety
/// The blob is open, for this. The store is loaded until the callback, which comes once, and this is its metadata thread.
pub(in crate::blob) unsafe fn iter_next(
    store: &Arc<Store>,
    blob: *mut sys::spdk_blob,
    done: sys::spdk_blob_op_with_handle_complete,
    arg: *mut c_void,
) {
    // SAFETY: it is open.
    let id = BlobId::new(unsafe { sys::spdk_blob_get_id(blob) });
    let target = store.clone();
    let change = store.change();
    let next = move || {
        // SAFETY: passed on.
        unsafe { sys::spdk_bs_iter_next(target.as_ptr(), blob, done, arg) };
        drop(change);
    };
    let target = store.clone();
    let opened = move |twin: Result<(Use, RawBlob), c_int>| match twin {
        Ok((part, twin)) => {
            let alone = target.alone();
            let closed = move |rc| {
                if rc != 0 {
                    target.has_not_written(id);
                }
                next();
                drop((part, alone));
            };
            // A close, and not a sync: with that, one that was made read-only would be so from now on.
            // SAFETY: it was opened by this call, once more, and stays open for the caller.
            unsafe { close_again(twin.ptr.as_ptr(), Box::new(closed)) };
        }
        // SAFETY: passed on. Too many calls are in flight: try again in the next turn.
        Err(rc) if rc == -libc::ENOMEM => later(move || unsafe {
            iter_next(&target, blob, done, arg);
        }),
        // The store is about to go.
        Err(_) => next(),
    };
    // SAFETY: passed on.
    unsafe { open(store, id, opened) };
}

fn write_and_close(part: Use, blob: RawBlob, then: Then) {
    let store = part.store().clone();
    let synced = move |rc| match rc {
        // Too many calls are in flight: try again in the next turn.
        _ if rc == -libc::ENOMEM => later(move || write_and_close(part, blob, then)),
        0 => close_written(part, blob, 0, then),
        rc => match blob.volume {
            // SPDK does not take a volume for closed whose blob reports an error when it is closed, and is gone then.
            Some(volume) if volume.is_last(&part) => volume.stays_open(part, blob, rc, then),
            _ => close_written(part, blob, rc, then),
        },
    };
    // SAFETY: it is closed when this has ended.
    unsafe { sync(&store, blob, synced) };
}

fn close_written(part: Use, blob: RawBlob, written: c_int, then: Then) {
    // SAFETY: the blob is open, and this is its metadata thread.
    let id = BlobId::new(unsafe { sys::spdk_blob_get_id(blob.ptr.as_ptr()) });
    let arg = context(move |closed| {
        if closed == -libc::ENOMEM {
            // It is open as before.
            return later(move || close_written(part, blob, written, then));
        }
        let rc = if written != 0 { written } else { closed };
        match blob.volume {
            None if written == -libc::ENOSPC => {
                let store = part.store().clone();
                // SAFETY: `part` keeps the store loaded, and this is its metadata thread.
                unsafe { forget_closed(&store, id, move || end_close(part, rc, then)) };
            }
            None => end_close(part, rc, then),
            // SAFETY: its blob was closed, and this is the metadata thread.
            Some(volume) => unsafe { volume.close(part, rc, then) },
        }
    });
    // SAFETY: the blob is open, nobody uses it any more, and this is its metadata thread. It writes what is dirty, and
    // the blob is closed whatever becomes of that.
    unsafe { sys::spdk_blob_close(blob.ptr.as_ptr(), Some(called), arg) };
}

/// Nothing is left to be closed.
pub(in crate::blob) fn end_close(part: Use, rc: c_int, then: Then) {
    part.store().metadata.turns.end_close();
    then(rc);
    // What goes on may be the unload.
    let store = part.store().clone();
    drop(part);
    store.metadata.turns.go_on();
}
