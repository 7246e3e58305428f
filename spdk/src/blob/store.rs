//! What all handles of a blobstore share.
//!
//! A [`Store`] is counted by its handles ([`Blobstore`](super::Blobstore)), and by its [`Use`]s: open blobs,
//! channels, and operations. It is unloaded when both are gone, or when its device or its thread goes and its
//! uses are gone: they are called back then, wherever they are.
#![allow(unsafe_code)] // Owns `spdk_blob_store`s, on their metadata thread.

mod close;
mod ending;
mod metadata;
mod turns;

use std::ptr::NonNull;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::copies::Copies;
use super::device::Device;
use super::lvol::volumes::Volumes;
use super::users;
use crate::error::{Fault, Gone};
use crate::local::{Local, current_thread};
use crate::shared::Shared;
use crate::sys;

pub(super) use close::{close, close_at_once, end_close, iter_next, open};
pub(super) use ending::Ending;
pub(super) use metadata::{RawBlob, resize, sync, when_written};
pub(super) use turns::{Alone, Change, Opening};

use ending::End;
use metadata::Writes;
use turns::Turns;

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
    /// Of which each may be the first of a blob. 0 for an lvol store, whose blobs are volumes.
    num_md_pages: u32,
    copies: Copies,
    /// If it is the blobstore of an lvol store.
    volumes: Option<Volumes>,
    state: Mutex<State>,
    /// How many messages of it the metadata thread has not run yet.
    on_their_way: AtomicUsize,
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
    turns: Turns,
    writes: Writes,
    end: End,
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
        num_md_pages: u32,
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
            num_md_pages,
            copies: Copies::default(),
            volumes,
            state: Mutex::default(),
            on_their_way: AtomicUsize::new(0),
            metadata: Metadata::default(),
        });
        store.anchor(&local);
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

    pub(super) fn num_md_pages(&self) -> u32 {
        self.num_md_pages
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
    pub(super) fn send(self: &Arc<Self>, f: impl FnOnce() + Send + 'static) {
        let store = self.clone();
        self.on_their_way.fetch_add(1, Relaxed);
        let sent = self.home.send(move || {
            store.on_their_way.fetch_sub(1, Relaxed);
            f();
        });
        debug_assert!(sent, "a metadata thread ended before its blobstores");
    }

    /// Whether there are messages. Those are seen that were sent before something that the caller knows of.
    fn has_messages(&self) -> bool {
        self.on_their_way.load(Relaxed) != 0
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

    /// Whether it has to go, since its device or its metadata thread does.
    pub(super) fn is_recalled(&self) -> bool {
        self.lock().is_recalled
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
}

impl State {
    /// Whether nobody is there to end it.
    fn is_left(&self) -> bool {
        self.is_recalled || (self.handles == 0 && self.calls == 0)
    }

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
