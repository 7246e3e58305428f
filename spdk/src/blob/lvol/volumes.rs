//! What an lvol store has besides its blobstore, for its metadata thread.
//!
//! SPDK's library does not look whether a volume is just being opened, closed or destroyed, or its name given to
//! another one, and frees what is in use. So these calls take turns here, and a destroy waits also for the calls that
//! lock blobs: SPDK forgets a volume whose blob it cannot delete.
#![allow(unsafe_code)] // Calls what is at home on the metadata thread, there.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::{CStr, CString, c_int};
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::calls::{Then, called, called_with, context, context_with, later};
use super::super::deletion;
use super::super::id::BlobId;
use super::super::store::{self, Alone, Change, Ending, RawBlob, Store, Use, end_close};
use super::{layout, list, mute};
use crate::error::Fault;
use crate::op::status;
use crate::{Errno, sys};

pub(in crate::blob) struct Volumes {
    /// `None` once SPDK has freed it.
    lvs: Cell<Option<NonNull<sys::spdk_lvol_store>>>,
    /// Of the volumes that are open.
    handles: RefCell<HashMap<NonNull<sys::spdk_lvol>, Handles>>,
    /// Those whose blob is closed, although SPDK takes them for open.
    broken: RefCell<HashSet<NonNull<sys::spdk_lvol>>>,
    /// The blobs of those that could not be written when they were closed. They are open until they can.
    unwritten: RefCell<Vec<RawBlob>>,
    /// Whether the device takes no more writes.
    is_muted: Cell<bool>,
    /// How many calls use blobs of volumes that they do not have open.
    locked: Cell<usize>,
    /// What waits for these: to destroy volumes.
    waiting: RefCell<VecDeque<Box<dyn FnOnce()>>>,
    /// For every thread.
    identity: Mutex<Identity>,
}

#[derive(Default)]
struct Handles {
    /// How many there are, until the volume is closed for them, and destroyed if they want that.
    all: usize,
    /// How many of them have not begun to close.
    open: usize,
}

#[derive(Clone, Default)]
pub(super) struct Identity {
    pub(super) name: CString,
    pub(super) uuid: [u8; 16],
}

/// A volume, for its metadata thread.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::blob) struct Volume {
    lvol: NonNull<sys::spdk_lvol>,
    /// Whether it is destroyed when it was closed.
    is_doomed: bool,
}

// SAFETY: the pointer goes to the metadata thread, which gives it to C.
unsafe impl Send for Volume {}

/// A volume that was opened, for whom has asked for it.
pub(super) struct Opened {
    pub(super) blob: RawBlob,
    pub(super) uuid: Option<[u8; 16]>,
}

pub(super) type Opens = Box<dyn FnOnce(Result<Opened, Fault>)>;

/// No volume is destroyed until this is dropped, on the metadata thread.
pub(super) struct Lock(
    Arc<Store>,
    #[expect(dead_code, reason = "ends with it")] Change,
);

impl Drop for Lock {
    fn drop(&mut self) {
        let volumes = of(&self.0);
        volumes.locked.set(volumes.locked.get() - 1);
        while volumes.locked.get() == 0 {
            let next = volumes.waiting.borrow_mut().pop_front();
            match next {
                Some(next) => next(),
                None => break,
            }
        }
    }
}

pub(super) fn lock(store: &Arc<Store>) -> Lock {
    let locked = &of(store).locked;
    locked.set(locked.get() + 1);
    Lock(store.clone(), store.change())
}

/// For a call that takes turns with others, and with what destroys volumes.
pub(super) fn turn(store: &Arc<Store>) -> (Lock, Alone) {
    (lock(store), store.alone())
}

/// What makes this store an lvol store.
pub(super) fn of(store: &Store) -> &Volumes {
    match store.volumes() {
        Some(volumes) => volumes,
        None => unreachable!("an lvol store has volumes"),
    }
}

impl Volumes {
    pub(super) fn new(lvs: NonNull<sys::spdk_lvol_store>) -> Self {
        Volumes {
            lvs: Cell::new(Some(lvs)),
            handles: RefCell::default(),
            broken: RefCell::default(),
            unwritten: RefCell::default(),
            is_muted: Cell::new(false),
            locked: Cell::new(0),
            waiting: RefCell::default(),
            identity: Mutex::default(),
        }
    }

    pub(super) fn identity(&self) -> MutexGuard<'_, Identity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::blob) fn is_loaded(&self) -> bool {
        self.lvs.get().is_some()
    }

    /// The lvol store; null once SPDK has freed it, which no call of a store that is used sees.
    pub(super) fn as_ptr(&self) -> *mut sys::spdk_lvol_store {
        self.lvs.get().map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    /// Unloads or destroys the store; `then` gets the errno, negative, or 0, when it is seen whether it is loaded.
    ///
    /// # Safety
    /// It is loaded, and nobody uses it. This is its metadata thread.
    pub(in crate::blob) unsafe fn end(
        &self,
        store: &Arc<Store>,
        ending: Ending,
        then: impl FnOnce(c_int) + 'static,
    ) {
        if let Some(blob) = self.unwritten.borrow_mut().pop() {
            let target = store.clone();
            let then: Then = Box::new(then);
            // SAFETY: as before, when this is closed.
            let go_on = move |_| later(move || unsafe { of(&target).end(&target, ending, then) });
            // SAFETY: passed on.
            return unsafe { close_unwritten(store, blob, Box::new(go_on)) };
        }
        // SPDK frees it before the callback.
        let Some(lvs) = self.lvs.take() else {
            unreachable!("a store ends once");
        };
        let target = store.clone();
        // In a later turn, when it is known below whether SPDK has kept it.
        let arg = context(move |rc| {
            let rc = match rc {
                // What it wrote was lost.
                0 if of(&target).is_muted.get() => -libc::EIO,
                rc => rc,
            };
            later(move || {
                if of(&target).is_loaded() || ending.has_ended(rc) {
                    return then(rc);
                }
                // SAFETY: the lvol store is gone, and its blobstore is still there. Nobody uses it.
                unsafe {
                    let store = target.clone();
                    store.unload_for_good(move |unloaded| {
                        if !Ending::Unload.has_ended(unloaded) {
                            let (label, errno) = (target.label(), Errno::from_code(unloaded));
                            tracing::error!(%label, %errno, "its blobstore stays loaded");
                        }
                        then(rc);
                    });
                }
            });
        });
        // SAFETY: passed on.
        let rc = unsafe {
            match ending {
                Ending::Unload => sys::spdk_lvs_unload(lvs.as_ptr(), Some(called), arg),
                Ending::Destroy => sys::spdk_lvs_destroy(lvs.as_ptr(), Some(called), arg),
            }
        };
        match -rc {
            0 => {}
            // A volume is open. It has called back.
            libc::EBUSY => self.lvs.set(Some(lvs)),
            _ => {
                // Out of memory. A destroy has freed the volumes already, so nothing can be done with the store.
                if ending == Ending::Unload {
                    self.lvs.set(Some(lvs));
                }
                // SAFETY: it does not call back then, and this is the one call.
                unsafe { called(arg, rc) };
            }
        }
    }

    /// A handle begins to close.
    pub(in crate::blob) fn closes(&self, volume: Option<Volume>) {
        let mut handles = self.handles.borrow_mut();
        if let Some(volume) = volume
            && let Some(handles) = handles.get_mut(&volume.lvol)
        {
            handles.open -= 1;
        }
    }

    /// A handle has closed.
    fn has_closed(&self, lvol: NonNull<sys::spdk_lvol>) {
        let mut handles = self.handles.borrow_mut();
        if let Some(found) = handles.get_mut(&lvol) {
            found.all -= 1;
            if found.all == 0 {
                handles.remove(&lvol);
            }
        }
    }

    fn handles(&self, lvol: NonNull<sys::spdk_lvol>) -> usize {
        let handles = self.handles.borrow();
        handles.get(&lvol).map_or(0, |handles| handles.all)
    }

    /// Whether no handle of a volume is left that has not begun to close.
    fn is_last(&self, volume: Volume) -> bool {
        let handles = self.handles.borrow();
        handles
            .get(&volume.lvol)
            .is_none_or(|handles| handles.open == 0)
    }

    /// The volume of this name.
    ///
    /// # Safety
    /// This is the metadata thread.
    pub(super) unsafe fn find(&self, name: &CStr) -> Result<NonNull<sys::spdk_lvol>, Fault> {
        let store = self.identity().name.clone();
        // SAFETY: both are C strings. It looks at the volumes of the store of this name only, which change on its
        // metadata thread.
        let found = unsafe { sys::spdk_lvol_get_by_names(store.as_ptr(), name.as_ptr()) };
        // Another thread may be renaming its own store, so that it looks like this one.
        // SAFETY: it exists, and this is the metadata thread.
        let is_ours = |lvol: &NonNull<_>| unsafe { layout::volume(*lvol) }.store == self.as_ptr();
        let found = NonNull::new(found).filter(is_ours);
        found.ok_or_else(|| Fault::errno(Errno::ENOENT))
    }

    /// Runs it when no call has a [`Lock`]: now, or later.
    fn unlocked(&self, f: impl FnOnce() + 'static) {
        match self.locked.get() {
            0 => f(),
            _ => self.waiting.borrow_mut().push_back(Box::new(f)),
        }
    }
}

/// Has SPDK open a volume, and opens its blob.
///
/// # Safety
/// The volume is one of the store, which is loaded and has nothing else to do: this is its metadata thread.
pub(super) unsafe fn open(store: &Arc<Store>, lvol: NonNull<sys::spdk_lvol>, then: Opens) {
    if of(store).broken.borrow().contains(&lvol) {
        return then(Err(Fault::errno(Errno::EIO)));
    }
    let mut unwritten = of(store).unwritten.borrow_mut();
    let place = unwritten
        .iter()
        .position(|blob| blob.volume.is_some_and(|volume| volume.lvol == lvol));
    let found = place.map(|place| unwritten.swap_remove(place));
    drop(unwritten);
    if let Some(blob) = found {
        // SAFETY: it is open, and was opened for nobody else.
        return then(Ok(unsafe { opened(store, lvol, blob) }));
    }
    let target = store.clone();
    // With -EBUSY it reports the volume too.
    let arg = context_with(move |_: *mut sys::spdk_lvol, rc| match status(rc) {
        // SAFETY: it was opened just now.
        Ok(()) => unsafe { open_blob(&target, lvol, true, then) },
        Err(fault) => then(Err(fault)),
    });
    // SAFETY: passed on; it calls back once.
    unsafe { sys::spdk_lvol_open(lvol.as_ptr(), Some(called_with), arg) };
}

/// Takes over a volume that a call has made, and opened.
///
/// # Safety
/// As for [`open`]; `lvol` and `rc` are what the call has reported.
pub(super) unsafe fn made(store: &Arc<Store>, lvol: *mut sys::spdk_lvol, rc: c_int, then: Opens) {
    let lvol =
        status(rc).and_then(|()| NonNull::new(lvol).ok_or_else(|| Fault::errno(Errno::ENOMEM)));
    match lvol {
        // SAFETY: it is open, and nobody else has it.
        Ok(lvol) => unsafe { open_blob(store, lvol, false, then) },
        Err(fault) => then(Err(fault)),
    }
}

/// Opens the blob of an open volume once more, or closes the volume.
///
/// # Safety
/// As for [`open`]; the volume is open for `then`.
unsafe fn open_blob(store: &Arc<Store>, lvol: NonNull<sys::spdk_lvol>, is_old: bool, then: Opens) {
    // SAFETY: the volume exists.
    let head = unsafe { layout::volume(lvol) };
    let target = store.clone();
    let has_opened = move |blob: *mut sys::spdk_blob, rc| {
        // The same one, which is open already: this is the blob of the volume.
        let found = NonNull::new(blob).filter(|_| rc == 0 && blob == head.blob);
        let volume = Volume {
            lvol,
            is_doomed: !is_old && found.is_none(),
        };
        let Some(ptr) = found.filter(|_| head.store == of(&target).as_ptr()) else {
            if rc == 0 {
                // SAFETY: it was opened by the call, and is clean.
                unsafe { sys::spdk_blob_close(blob, Some(ignored), ptr::null_mut()) };
            }
            let refused = move |_| then(Err(Fault::errno(Errno::ENOTSUP)));
            // SAFETY: it is open for this, and nobody has a handle.
            return unsafe { volume.close_raw(&target, Box::new(refused)) };
        };
        let blob = RawBlob {
            ptr,
            volume: Some(volume),
        };
        // SAFETY: it is open, for this.
        then(Ok(unsafe { opened(&target, lvol, blob) }));
    };
    let arg = context_with(has_opened);
    // SAFETY: the store is loaded. An ID that is none is refused; it calls back once.
    unsafe { sys::spdk_bs_open_blob(store.as_ptr(), head.blob_id, Some(called_with), arg) };
}

/// # Safety
/// The blob is open for the new handle, and this is the metadata thread.
unsafe fn opened(store: &Arc<Store>, lvol: NonNull<sys::spdk_lvol>, blob: RawBlob) -> Opened {
    let mut handles = of(store).handles.borrow_mut();
    let counts = handles.entry(lvol).or_default();
    counts.all += 1;
    counts.open += 1;
    // SAFETY: passed on.
    let uuid = unsafe { list::uuid(blob.ptr.as_ptr()) };
    Opened { blob, uuid }
}

/// Closes a volume that could not be written, whether it can be now or not.
///
/// # Safety
/// Nobody uses the store, and this is its metadata thread.
unsafe fn close_unwritten(store: &Arc<Store>, blob: RawBlob, then: Then) {
    let target = store.clone();
    let synced = move |rc| {
        if rc != 0 && !of(&target).is_muted.replace(true) {
            let label = target.label();
            tracing::error!(%label, "what its device has not written of volumes that were closed is lost");
            // SAFETY: nobody uses the store, so that nobody is told that something was written which was not. This is the
            // one thread that uses the device.
            return unsafe {
                mute::mute(target.device().as_ptr());
                close_unwritten(&target, blob, then);
            };
        }
        let closed = context(move |rc| match blob.volume {
            // SAFETY: it is open for this, as its blob was.
            Some(volume) => unsafe { volume.close_raw(&target, then) },
            None => then(rc),
        });
        // SAFETY: it is open for this; it calls back once.
        unsafe { sys::spdk_blob_close(blob.ptr.as_ptr(), Some(called), closed) };
    };
    // SAFETY: the blob is closed after this.
    unsafe { store::sync(store, blob, synced) };
}

unsafe extern "C" fn ignored(_: *mut std::ffi::c_void, _: c_int) {}

/// Deletes the volume of this name, when no call has a [`Lock`].
///
/// # Safety
/// The store is loaded, and this is its metadata thread.
pub(super) unsafe fn destroy_named(
    store: &Arc<Store>,
    name: CString,
    then: impl FnOnce(c_int) + 'static,
) {
    let target = store.clone();
    of(store).unlocked(move || {
        // SAFETY: passed on. Who waits for this keeps the store loaded.
        match unsafe { of(&target).find(&name) } {
            // SAFETY: it is there.
            Ok(lvol) => unsafe { destroy_now(&target, lvol, 0, then) },
            Err(_) => then(-libc::ENOENT),
        }
    });
}

/// Deletes a volume, unless others than the caller have it open.
///
/// # Safety
/// It exists, no call has a [`Lock`], and this is the metadata thread.
unsafe fn destroy_now(
    store: &Arc<Store>,
    lvol: NonNull<sys::spdk_lvol>,
    of_caller: usize,
    then: impl FnOnce(c_int) + 'static,
) {
    // Others may be about to destroy it as well.
    if of(store).handles(lvol) > of_caller {
        return then(-libc::EBUSY);
    }
    let (lock, alone) = (lock(store), store.alone());
    // The clone of a snapshot keeps its size until then.
    let ended = move |rc| {
        then(rc);
        drop((lock, alone));
    };
    let destroy = move |ended: Then| {
        // SAFETY: passed on; nobody else opens or destroys it, or uses its blob. It calls back once; if it is open, or
        // has clones, it does nothing else, and otherwise it frees the volume whether its blob was deleted or not.
        unsafe { sys::spdk_lvol_destroy(lvol.as_ptr(), Some(called), context(ended)) };
    };
    // SAFETY: passed on. Of an ID that is none there is no snapshot.
    unsafe {
        let id = BlobId::new(layout::volume(lvol).blob_id);
        deletion::when_ready(store, id, destroy, ended);
    }
}

impl Volume {
    pub(in crate::blob) fn as_ptr(self) -> *mut sys::spdk_lvol {
        self.lvol.as_ptr()
    }

    pub(in crate::blob) fn doomed(self) -> Self {
        Volume {
            is_doomed: true,
            ..self
        }
    }

    /// Whether no handle of it is left that has not begun to close.
    pub(in crate::blob) fn is_last(self, part: &Use) -> bool {
        of(part.store()).is_last(self)
    }

    /// Leaves it open, with its blob, which was not written.
    pub(in crate::blob) fn stays_open(self, part: Use, blob: RawBlob, rc: c_int, then: Then) {
        let volume = Some(Volume {
            is_doomed: false,
            ..self
        });
        let blob = RawBlob { volume, ..blob };
        of(part.store()).unwritten.borrow_mut().push(blob);
        of(part.store()).has_closed(self.lvol);
        end_close(part, rc, then);
    }

    /// Closes it after its blob, of which `rc` is the status.
    ///
    /// # Safety
    /// It is open for this, and this is the metadata thread.
    pub(in crate::blob) unsafe fn close(self, part: Use, rc: c_int, then: Then) {
        let store = part.store().clone();
        let closed = move |closed| {
            of(part.store()).has_closed(self.lvol);
            end_close(part, if rc != 0 { rc } else { closed }, then);
        };
        // SAFETY: passed on.
        unsafe { self.close_raw(&store, Box::new(closed)) };
    }

    /// # Safety
    /// As for [`Volume::close`].
    unsafe fn close_raw(self, store: &Arc<Store>, then: Then) {
        let target = store.clone();
        let arg = context(move |rc| match rc {
            // SAFETY: as before. Too many calls are in flight: try again in the next turn.
            _ if rc == -libc::ENOMEM => later(move || unsafe { self.close_raw(&target, then) }),
            0 if self.is_doomed => {
                let store = target.clone();
                of(&target).unlocked(move || {
                    // SAFETY: it exists: what destroys it by its name leaves it while it has handles, and so does this
                    // for another handle. One without has just been made.
                    unsafe { destroy_now(&store, self.lvol, 1, then) };
                });
            }
            0 => then(0),
            _ => {
                // Its blob is gone, but not its reference to that.
                of(&target).broken.borrow_mut().insert(self.lvol);
                let (label, errno) = (target.label(), Errno::from_code(rc));
                tracing::error!(%label, %errno, "a volume cannot be opened until its store is loaded again");
                then(rc);
            }
        });
        // SAFETY: passed on; it calls back once. Its blob is clean if this closes it, so that nothing is written.
        unsafe { sys::spdk_lvol_close(self.as_ptr(), Some(called), arg) };
    }
}
