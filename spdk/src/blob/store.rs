//! What all handles of a blobstore share, and the calls of its metadata thread.
//!
//! A [`Store`] is counted by its handles ([`Blobstore`](super::Blobstore)), and by its [`Use`]s: open blobs,
//! channels, and operations. It is unloaded when both are gone, or when its device or its thread goes and its
//! uses are gone: they are called back then, wherever they are.
//!
//! Closing a blob may write, so what comes after a close waits for it: a blob that was dropped can be deleted.
#![allow(unsafe_code)] // Owns `spdk_blob_store`s, on their metadata thread.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::{CStr, c_int, c_void};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::copies::Copies;
use super::device::Device;
use super::id::BlobId;
use super::lvol::volumes::{Volume, Volumes};
use super::users;
use crate::error::{Fault, Gone};
use crate::local::{Here, Local, Revoke, current_thread};
use crate::panic::guard;
use crate::shared::Shared;
use crate::{Errno, sys};

pub(super) struct Store {
    /// The metadata thread.
    home: Arc<Shared>,
    /// The same, which exists while the store does.
    thread: *mut sys::spdk_thread,
    ptr: NonNull<sys::spdk_blob_store>,
    device: Device,
    io_unit_size: u32,
    cluster_size: u64,
    page_size: u64,
    max_channel_ops: usize,
    copies: Copies,
    /// If it is the blobstore of an lvol store.
    volumes: Option<Volumes>,
    state: Mutex<State>,
    metadata: Metadata,
}

// SAFETY: `volumes` but for the names in it, `metadata`, `copies` but for its flag, and `device` but for its name, are used on
// the metadata thread only; the other pointers are given to C functions there, and to those that any thread may call.
unsafe impl Send for Store {}
// SAFETY: as above; the rest is `Sync`.
unsafe impl Sync for Store {}

#[derive(Default)]
struct State {
    /// Why it takes no more calls.
    gone: Option<Gone>,
    handles: usize,
    /// Blobs, channels and operations.
    uses: usize,
    /// Calls that do not keep it loaded, but its metadata thread running.
    calls: usize,
    /// Whether it has to go although there are handles.
    is_recalled: bool,
    /// Whether it is about to be unloaded, or is.
    is_ending: bool,
    /// The spdk_threads that have blobs or channels of it, or had.
    users: Vec<Arc<Shared>>,
}

/// What only the metadata thread uses.
#[derive(Default)]
struct Metadata {
    /// How many blobs are being closed or resized, and whether something has it [alone](Store::alone).
    closing: Cell<usize>,
    /// How many writes of a blob's metadata are in flight.
    syncing: Cell<usize>,
    /// The resize that waits for them.
    unsynced: Cell<Option<Box<dyn FnOnce()>>>,
    /// Whether a blob is being resized.
    is_resizing: Cell<bool>,
    /// What waits for that, in its order.
    waiting: RefCell<VecDeque<Box<dyn FnOnce()>>>,
    /// Whether somebody takes from `waiting`.
    is_going_on: Cell<bool>,
    has_begun_to_end: Cell<bool>,
    /// Its place among the objects of the spdk_thread.
    anchor: RefCell<Option<(u64, Rc<Anchor>)>>,
}

/// What the end of the metadata thread waits for.
struct Anchor(Arc<Store>);

/// How a store ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    Unload,
    Destroy,
}

impl Ending {
    /// Whether a blobstore is gone after this status.
    pub(super) fn has_ended(self, rc: c_int) -> bool {
        // The device of a store may be gone, so SPDK takes this error for an end.
        rc == 0 || (self == Ending::Unload && rc == -libc::EIO)
    }
}

pub(super) type Then = Box<dyn FnOnce(c_int)>;

/// The context of [`called`].
pub(super) fn context(then: impl FnOnce(c_int) + 'static) -> *mut c_void {
    let then: Then = Box::new(then);
    Box::into_raw(Box::new(then)).cast()
}

/// Ends a call of the metadata thread that was made for itself.
pub(super) unsafe extern "C" fn called(arg: *mut c_void, rc: c_int) {
    guard("callback of a blobstore", || {
        // SAFETY: made by `context` for one call of a function that calls back once.
        let then = unsafe { Box::from_raw(arg.cast::<Then>()) };
        then(rc);
    });
}

impl Store {
    /// Takes ownership of a blobstore that was loaded on the current spdk_thread, from this device, and of the lvol
    /// store that it belongs to.
    ///
    /// # Safety
    /// Nobody else has it.
    pub(super) unsafe fn adopt(
        ptr: NonNull<sys::spdk_blob_store>,
        device: Device,
        max_channel_ops: usize,
        volumes: Option<Volumes>,
    ) -> Result<Arc<Store>, Fault> {
        let local = Local::current()?;
        let bs = ptr.as_ptr();
        // SAFETY: it is loaded, and this is its metadata thread. These calls read.
        let (io_unit_size, cluster_size, page_size) = unsafe {
            (
                sys::spdk_bs_get_io_unit_size(bs),
                sys::spdk_bs_get_cluster_size(bs),
                sys::spdk_bs_get_page_size(bs),
            )
        };
        let store = Arc::new(Store {
            home: local.shared().clone(),
            thread: local.thread(),
            ptr,
            device,
            // The size of a block of the device, which is a `u32`.
            io_unit_size: u32::try_from(io_unit_size).unwrap_or(u32::MAX),
            cluster_size,
            page_size,
            max_channel_ops,
            copies: Copies::default(),
            volumes,
            state: Mutex::default(),
            metadata: Metadata::default(),
        });
        let anchor = Rc::new(Anchor(store.clone()));
        let weak: std::rc::Weak<Anchor> = Rc::downgrade(&anchor);
        let key = local.add(weak);
        *store.metadata.anchor.borrow_mut() = Some((key, anchor));
        Ok(store)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls it back when its device goes. It has a handle.
    pub(super) fn watch_device(self: &Arc<Self>) {
        let weak = Arc::downgrade(self);
        self.device.on_removal(move || {
            if let Some(store) = weak.upgrade() {
                store.recall(Gone::Removed);
            }
        });
    }

    pub(super) fn as_ptr(&self) -> *mut sys::spdk_blob_store {
        self.ptr.as_ptr()
    }

    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    pub(super) fn io_unit_size(&self) -> u32 {
        self.io_unit_size
    }

    pub(super) fn cluster_size(&self) -> u64 {
        self.cluster_size
    }

    pub(super) fn page_size(&self) -> u64 {
        self.page_size
    }

    pub(super) fn copies(&self) -> &Copies {
        &self.copies
    }

    pub(super) fn max_channel_ops(&self) -> usize {
        self.max_channel_ops
    }

    pub(super) fn home(&self) -> &Arc<Shared> {
        &self.home
    }

    /// What an lvol store has besides.
    pub(super) fn volumes(&self) -> Option<&Volumes> {
        self.volumes.as_ref()
    }

    pub(super) fn label(&self) -> String {
        let kind = match self.volumes {
            Some(_) => "lvol store",
            None => "blobstore",
        };
        format!("{kind} on {}", self.device.label())
    }

    /// Whether the metadata thread is current.
    pub(super) fn is_home(&self) -> bool {
        current_thread() == self.thread
    }

    /// A message to the metadata thread, which runs as long as the sender has a [`Use`].
    pub(super) fn send(&self, f: impl FnOnce() + Send + 'static) {
        let sent = self.home.send(f);
        debug_assert!(sent, "a metadata thread ended before its blobstores");
    }

    /// Uses it, unless it is gone.
    pub(super) fn enter(self: &Arc<Self>) -> Result<Use, Fault> {
        let mut state = self.lock();
        match state.gone {
            Some(why) => Err(Fault::gone(why)),
            None => {
                state.uses += 1;
                Ok(Use::counted(self, Count::Use))
            }
        }
    }

    /// For a call that ends it.
    pub(super) fn enter_to_end(self: &Arc<Self>) -> Result<Use, Fault> {
        let mut state = self.lock();
        match state.gone {
            Some(why) => Err(Fault::gone(why)),
            None => {
                state.calls += 1;
                Ok(Use::counted(self, Count::Call))
            }
        }
    }

    pub(super) fn add_handle(self: &Arc<Self>) {
        self.lock().handles += 1;
    }

    pub(super) fn remove_handle(self: &Arc<Self>) {
        self.remove(|state| state.handles -= 1);
    }

    /// Counts one less, and unloads it if that was the last.
    fn remove(self: &Arc<Self>, one: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        one(&mut state);
        let begins = state.may_end();
        drop(state);
        if begins {
            self.end_in_background();
        }
    }

    /// Remembers that this spdk_thread has something of it; returns why it has to be given back at once.
    pub(super) fn add_user(&self, user: &Arc<Shared>) -> Option<Gone> {
        let mut state = self.lock();
        if !state.users.iter().any(|known| Arc::ptr_eq(known, user)) {
            state.users.retain(|known| !known.is_closed());
            state.users.push(user.clone());
        }
        state.gone
    }

    /// Takes no more calls, and has blobs and channels given back as soon as nothing is in flight on them;
    /// then it is unloaded.
    fn recall(self: &Arc<Self>, why: Gone) {
        let mut state = self.lock();
        if state.is_ending || state.is_recalled {
            return;
        }
        state.gone = Some(why);
        state.is_recalled = true;
        let users = std::mem::take(&mut state.users);
        let begins = state.may_end();
        drop(state);
        for user in users {
            let store = self.clone();
            // One that has ended has given everything back.
            user.send(move || users::recall(&store, why));
        }
        if begins {
            self.end_in_background();
        }
    }

    /// Its uses are gone.
    fn end_in_background(self: &Arc<Self>) {
        let store = self.clone();
        let end = move || {
            let label = store.label();
            store.clone().in_turn(move || {
                store.end_now(Ending::Unload, move |rc| {
                    if rc != 0 {
                        let errno = Errno::from_code(rc);
                        tracing::error!(%label, %errno, "the unload of a dropped blobstore failed");
                    }
                });
            });
        };
        match Local::here() {
            // Not here and now: this may be a callback of the store.
            Some(local) if self.is_home() => local.defer(Box::new(end)),
            // Refused if the thread has ended, which has unloaded it then.
            _ => drop(self.home.send(end)),
        }
    }

    /// Ends it if nobody uses it; `then` gets the errno, negative, or 0. On the metadata thread, in turn.
    pub(super) fn try_end(self: &Arc<Self>, ending: Ending, then: impl FnOnce(c_int) + 'static) {
        let mut state = self.lock();
        let refused = match () {
            () if state.is_ending => Some(-libc::ENODEV),
            () if state.uses > 0 => Some(-libc::EBUSY),
            () => None,
        };
        if refused.is_none() {
            state.is_ending = true;
            state.gone.get_or_insert(Gone::Closed);
        }
        drop(state);
        match refused {
            Some(rc) => then(rc),
            None => self.end_now(ending, then),
        }
    }

    /// On the metadata thread, with `is_ending` set and no uses.
    fn end_now(self: &Arc<Self>, ending: Ending, then: impl FnOnce(c_int) + 'static) {
        if self.metadata.has_begun_to_end.replace(true) {
            return; // by the end of the spdk_thread
        }
        // The thread waits for it.
        let here = Here::now();
        let store = self.clone();
        let then = move |rc| {
            store.ended(ending, rc);
            then(rc);
            drop(here);
        };
        match &self.volumes {
            // SAFETY: nobody uses it, and this is its metadata thread.
            Some(volumes) if volumes.is_loaded() => unsafe { volumes.end(self, ending, then) },
            // SAFETY: as above.
            _ => unsafe { self.end_blobstore(ending, then) },
        }
    }

    /// # Safety
    /// It is loaded, and nobody uses it. This is its metadata thread.
    pub(super) unsafe fn end_blobstore(&self, ending: Ending, then: impl FnOnce(c_int) + 'static) {
        let arg = context(then);
        let bs = self.ptr.as_ptr();
        // SAFETY: passed on. Both call back once.
        unsafe {
            match ending {
                Ending::Unload => sys::spdk_bs_unload(bs, Some(called), arg),
                Ending::Destroy => sys::spdk_bs_destroy(bs, Some(called), arg),
            }
        }
    }

    fn ended(&self, ending: Ending, rc: c_int) {
        let has_ended = match &self.volumes {
            Some(volumes) => !volumes.is_loaded(),
            None => ending.has_ended(rc),
        };
        let mut state = self.lock();
        // With nobody to try again, it stays as it is.
        if has_ended || (state.handles == 0 && state.calls == 0) || state.is_recalled {
            drop(state);
            self.forget();
        } else {
            state.is_ending = false;
            state.gone = None;
            drop(state);
            self.metadata.has_begun_to_end.set(false);
        }
    }

    /// Deletes a blob that nobody knows of.
    pub(super) fn delete_in_background(part: Use, id: BlobId) {
        let delete = move |part: Use| {
            let store = part.store.clone();
            store.clone().in_turn(move || {
                let arg = context(move |rc| {
                    if rc != 0 {
                        let (label, errno) = (part.store.label(), Errno::from_code(rc));
                        tracing::error!(%label, %id, %errno, "a blob that nobody knows of was not deleted");
                    }
                });
                // SAFETY: it is loaded, and this is its metadata thread. It calls back once.
                unsafe { sys::spdk_bs_delete_blob(store.as_ptr(), id.get(), Some(called), arg) };
            });
        };
        match Local::here() {
            // Not here and now: this may be a callback of the store.
            Some(local) if part.store.is_home() => local.defer(Box::new(move || delete(part))),
            _ => {
                let store = part.store.clone();
                store.send(move || delete(part));
            }
        }
    }

    /// The metadata thread has nothing to do with it any more.
    fn forget(&self) {
        let anchor = self.metadata.anchor.borrow_mut().take();
        if let (Some((key, _anchor)), Some(local)) = (anchor, Local::here()) {
            local.remove(key);
        }
    }

    /// Runs it when no blob is being closed: now, or later. On the metadata thread.
    pub(super) fn in_turn(&self, f: impl FnOnce() + 'static) {
        let metadata = &self.metadata;
        if metadata.closing.get() == 0 && metadata.waiting.borrow().is_empty() {
            f();
        } else {
            metadata.waiting.borrow_mut().push_back(Box::new(f));
        }
    }

    /// Has what comes from now on, but for closes, wait until the end of what begins now, in turn.
    pub(super) fn alone(self: &Arc<Self>) -> Alone {
        let closing = &self.metadata.closing;
        closing.set(closing.get() + 1);
        Alone(self.clone())
    }

    fn go_on(&self) {
        let metadata = &self.metadata;
        if metadata.is_going_on.replace(true) {
            return;
        }
        while metadata.closing.get() == 0 {
            let Some(next) = metadata.waiting.borrow_mut().pop_front() else {
                break;
            };
            next();
        }
        metadata.is_going_on.set(false);
    }
}

impl State {
    /// Whether it has to be unloaded now; says so once.
    fn may_end(&mut self) -> bool {
        let is_wanted = self.handles > 0 && !self.is_recalled;
        if is_wanted || self.uses > 0 || self.is_ending {
            return false;
        }
        self.is_ending = true;
        self.gone.get_or_insert(Gone::Closed);
        true
    }
}

impl Revoke for Anchor {
    /// Asked by the end of the metadata thread only.
    fn operations(&self, _: usize) -> usize {
        self.0.recall(Gone::ThreadEnded);
        let state = self.0.lock();
        state.uses + state.calls
    }

    fn revoke(&self, why: Gone) {
        let mut state = self.0.lock();
        state.is_ending = true;
        state.gone.get_or_insert(why);
        drop(state);
        let label = self.0.label();
        let store = self.0.clone();
        self.0.in_turn(move || {
            store.end_now(Ending::Unload, move |rc| {
                if rc != 0 {
                    let errno = Errno::from_code(rc);
                    tracing::error!(%label, %errno, "a blobstore was not unloaded at the end");
                }
            });
        });
    }

    fn abort_operations(self: Rc<Self>, _: &mut Vec<*const ()>) {
        self.0.device.reset();
    }

    fn kind(&self) -> &'static str {
        "Blobstore"
    }

    fn label(&self) -> String {
        self.0.label()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Count {
    Use,
    Call,
}

/// Keeps a store loaded; or, for a call that ends it, its metadata thread running.
pub(super) struct Use {
    store: Arc<Store>,
    count: Count,
}

impl Use {
    fn counted(store: &Arc<Store>, count: Count) -> Self {
        let store = store.clone();
        Use { store, count }
    }

    pub(super) fn store(&self) -> &Arc<Store> {
        &self.store
    }
}

impl Clone for Use {
    fn clone(&self) -> Self {
        let mut state = self.store.lock();
        match self.count {
            Count::Use => state.uses += 1,
            Count::Call => state.calls += 1,
        }
        drop(state);
        Use::counted(&self.store, self.count)
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let count = self.count;
        self.store.remove(|state| match count {
            Count::Use => state.uses -= 1,
            Count::Call => state.calls -= 1,
        });
    }
}

/// Has its store alone: what is not a close waits until this is dropped, on the metadata thread.
pub(super) struct Alone(Arc<Store>);

impl Drop for Alone {
    fn drop(&mut self) {
        let closing = &self.0.metadata.closing;
        closing.set(closing.get() - 1);
        self.0.go_on();
    }
}

/// An open blob, for its metadata thread.
#[derive(Clone, Copy)]
pub(super) struct RawBlob {
    pub(super) ptr: NonNull<sys::spdk_blob>,
    /// If it is that of a volume, which is closed after it.
    pub(super) volume: Option<Volume>,
}

impl RawBlob {
    pub(super) fn new(ptr: NonNull<sys::spdk_blob>) -> Self {
        RawBlob { ptr, volume: None }
    }
}

// SAFETY: the pointer goes to the metadata thread, which gives it to C.
unsafe impl Send for RawBlob {}

/// Writes the metadata of a blob, on its metadata thread.
///
/// SPDK takes a blob for clean once it has begun to write it, so that a later sync of one that could not be written
/// would do nothing, and report success. After an error the blob is made dirty again.
///
/// # Safety
/// The blob is open until `then` runs.
pub(super) unsafe fn sync(store: &Arc<Store>, blob: RawBlob, then: impl FnOnce(c_int) + 'static) {
    let syncing = &store.metadata.syncing;
    syncing.set(syncing.get() + 1);
    let store = store.clone();
    let arg = context(move |rc| {
        if rc != 0 {
            // SAFETY: the blob is open, as the caller promises, and this is its metadata thread.
            unsafe { make_dirty(blob) };
        }
        let syncing = &store.metadata.syncing;
        syncing.set(syncing.get() - 1);
        then(rc);
        if store.metadata.syncing.get() == 0
            && let Some(resize) = store.metadata.unsynced.take()
        {
            resize();
        }
    });
    // SAFETY: as above; it calls back once.
    unsafe { sys::spdk_blob_sync_md(blob.ptr.as_ptr(), Some(called), arg) };
}

/// Resizes a blob and writes its metadata; `then` gets the errno of either, negative, or 0.
///
/// SPDK swaps the cluster maps of a blob and its new snapshot as if they were of one size, which they are not while a
/// smaller size of the blob has not been written: so nothing else begins before it has. And it takes a size for written
/// that a blob has got while its metadata were being written: so no write of them is in flight when it begins.
///
/// # Safety
/// The blob is open until `then` runs, and this is its metadata thread.
pub(super) unsafe fn resize(
    store: &Arc<Store>,
    blob: RawBlob,
    num_clusters: u64,
    then: impl FnOnce(c_int) + 'static,
) {
    let alone = store.alone();
    store.metadata.is_resizing.set(true);
    let ended: Then = Box::new({
        let store = store.clone();
        move |rc| {
            then(rc);
            store.metadata.is_resizing.set(false);
            drop(alone);
        }
    });
    let resize = {
        let store = store.clone();
        move || resize_now(store, blob, num_clusters, ended)
    };
    match store.metadata.syncing.get() {
        0 => resize(),
        _ => store.metadata.unsynced.set(Some(Box::new(resize))),
    }
}

/// For `resize`, when its turn has come.
fn resize_now(store: Arc<Store>, blob: RawBlob, num_clusters: u64, then: Then) {
    // SAFETY: the blob is open until `then` runs, and this is its metadata thread.
    let before = unsafe { sys::spdk_blob_get_num_clusters(blob.ptr.as_ptr()) };
    let arg = context(move |rc| match rc {
        0 => write_size(store, blob, (before > num_clusters).then_some(before), then),
        rc => then(rc),
    });
    // SAFETY: as above; it calls back once.
    unsafe { sys::spdk_blob_resize(blob.ptr.as_ptr(), num_clusters, Some(called), arg) };
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

/// Writes the metadata of a blob and closes it, in turn; `then` gets the errno of the write or of the close,
/// negative, or 0. Wherever this is called, `then` runs on the metadata thread.
///
/// # Safety
/// The caller has opened the blob, and does not use it any more; `then` may go to the metadata thread.
pub(super) unsafe fn close(part: Use, blob: RawBlob, then: impl FnOnce(c_int) + 'static) {
    if part.store.is_home() {
        return close_in_turn(part, blob, then);
    }
    // SAFETY: the caller promises it.
    let call = unsafe { super::remote::Carry::new((part.clone(), then)) };
    part.store.send(move || {
        let (part, then) = call.take();
        close_in_turn(part, blob, then);
    });
}

fn close_in_turn(part: Use, blob: RawBlob, then: impl FnOnce(c_int) + 'static) {
    let metadata = &part.store.metadata;
    if metadata.waiting.borrow().is_empty() && !metadata.is_resizing.get() {
        close_now(part, blob, then);
    } else {
        let store = part.store.clone();
        let close = Box::new(move || close_now(part, blob, then));
        store.metadata.waiting.borrow_mut().push_back(close);
    }
}

fn close_now(part: Use, blob: RawBlob, then: impl FnOnce(c_int) + 'static) {
    let closing = &part.store.metadata.closing;
    closing.set(closing.get() + 1);
    if let Some(volumes) = part.store.volumes() {
        volumes.closes(blob.volume);
    }
    write_and_close(part, blob, Box::new(then));
}

fn write_and_close(part: Use, blob: RawBlob, then: Then) {
    let store = part.store.clone();
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
    let arg = context(move |closed| {
        if closed == -libc::ENOMEM {
            // It is open as before.
            return later(move || close_written(part, blob, written, then));
        }
        let rc = if written != 0 { written } else { closed };
        match blob.volume {
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
pub(super) fn end_close(part: Use, rc: c_int, then: Then) {
    let closing = &part.store.metadata.closing;
    closing.set(closing.get() - 1);
    then(rc);
    // What goes on may be the unload.
    let store = part.store.clone();
    drop(part);
    store.go_on();
}

/// In the next turn of the metadata thread, which is current.
pub(super) fn later(f: impl FnOnce() + 'static) {
    if let Some(local) = Local::here() {
        local.defer(Box::new(f));
    }
}
