//! The part of an spdk_thread that any OS thread may use: its name, and the inbox for what others send.

#![allow(unsafe_code)] // Sends SPDK's own message to an spdk_thread, which exists while a lock is held.

use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use crate::inbox::{Inbox, Message, Messages, Sent};
use crate::local;
use crate::sys;
use crate::wakeups::Wakeups;

/// Who ends the spdk_thread itself when Rust has ended on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// This crate, which made it on a reactor: it tells SPDK to exit it.
    Crate,
    /// A `SpdkThread`, SPDK, or C code.
    Foreign,
}

/// What other OS threads reach, also after the spdk_thread has ended.
pub(crate) struct Shared {
    name: Box<str>,
    id: u64,
    owner: Owner,
    inbox: Inbox,
    /// The spdk_thread, while its `Local` exists: it does as long as the lock is held.
    thread: Mutex<Thread>,
}

#[derive(Clone, Copy)]
struct Thread(*mut sys::spdk_thread);

// SAFETY: it is used for `spdk_thread_send_msg` and its like only, which any OS thread may call.
unsafe impl Send for Thread {}

/// The [`Shared`] of each `Local`, by its index. An index is used again when its `Local` has ended.
static SHARED: RwLock<Vec<Option<Arc<Shared>>>> = RwLock::new(Vec::new());

/// Wakes from other OS threads, by the index of their `Local`. They are never freed, so a wake needs no
/// count: an out-of-date one is for the spdk_thread that has the index by then, or for none.
static WAKEUPS: [OnceLock<Box<[Wakeups]>>; 33] = [const { OnceLock::new() }; 33];

unsafe extern "C" fn wake_up(_: *mut c_void) {
    local::wake_up_current();
}

/// Wakes a task of another OS thread.
#[cold]
pub(crate) fn wake(index: u32, number: u32) {
    if wakeups(index).wake(number) {
        let all = SHARED.read().unwrap_or_else(PoisonError::into_inner);
        let shared = all.get(index as usize).cloned().flatten();
        drop(all);
        if let Some(shared) = shared {
            shared.wake_up();
        }
    }
}

/// Those of the spdk_thread with this index.
pub(crate) fn wakeups(index: u32) -> &'static Wakeups {
    // Part `n` has 2 to the power of `n`.
    let part = (u64::from(index) + 1).ilog2();
    let first = (1 << part) - 1;
    let wakeups = WAKEUPS[part as usize].get_or_init(|| {
        let wakeups = std::iter::repeat_with(Wakeups::default);
        wakeups.take(1 << part).collect()
    });
    &wakeups[index as usize - first]
}

impl Shared {
    pub(crate) fn new(name: &str, id: u64, owner: Owner) -> Self {
        Shared {
            name: name.into(),
            id,
            owner,
            inbox: Inbox::new(),
            thread: Mutex::new(Thread(ptr::null_mut())),
        }
    }

    /// Says which spdk_thread to wake up; null when there is none any more.
    pub(crate) fn set_thread(&self, thread: *mut sys::spdk_thread) {
        *self.lock_thread() = Thread(thread);
    }

    fn lock_thread(&self) -> std::sync::MutexGuard<'_, Thread> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the `Local` look again. From any OS thread.
    #[cold]
    fn wake_up(&self) {
        if local::wake_up_here(self) {
            return;
        }
        let thread = self.lock_thread();
        if !thread.0.is_null() {
            // Takes one of SPDK's messages until the next poll of the spdk_thread. There are two of these
            // at most: one sender of a message is told to wake it up, and one who wakes a task.
            // SAFETY: an spdk_thread exists while it is named here, and may be sent messages from
            // anywhere. The function needs no context.
            unsafe { sys::spdk_thread_send_msg(thread.0, Some(wake_up), ptr::null_mut()) };
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn owner(&self) -> Owner {
        self.owner
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.inbox.is_closed()
    }

    /// Runs `f` on the spdk_thread; `false`, and `f` dropped, if that has ended. `f` is also dropped if
    /// the spdk_thread ends before its turn.
    pub(crate) fn send(&self, f: impl FnOnce() + Send + 'static) -> bool {
        self.send_message(Message::new(f))
    }

    /// The same for a message.
    #[inline]
    pub(crate) fn send_message(&self, message: Message) -> bool {
        match self.inbox.push(message) {
            Ok(Sent::Awake) => true,
            Ok(Sent::Asleep) => {
                self.wake_up();
                true
            }
            Err(_refused) => false,
        }
    }

    /// The `Local` will not look for messages until [`wake_up`]; `false` if there are any.
    pub(crate) fn sleep(&self) -> bool {
        self.inbox.sleep()
    }

    /// The `Local` looks again.
    pub(crate) fn is_up(&self) {
        self.inbox.wake_up();
    }

    /// Whether no message has come.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.inbox.is_empty()
    }

    /// The messages that have come, for the spdk_thread itself.
    pub(crate) fn take(&self) -> Messages {
        self.inbox.take()
    }

    /// Refuses messages from now on, and drops `taken` and what has come since. For the spdk_thread
    /// itself, or if it does not start.
    pub(crate) fn close(&self, taken: Messages) {
        self.set_thread(ptr::null_mut());
        let mut messages = 0;
        for message in taken.chain(self.inbox.close()) {
            messages += 1;
            local::run_caught("drop of a message", || drop(message));
        }
        if messages > 0 {
            let thread = self.name();
            tracing::info!(
                thread,
                messages,
                "messages have come too late: they are dropped"
            );
        }
    }

    /// Every spdk_thread that Rust has run on and that has not ended.
    pub(crate) fn all() -> Vec<Arc<Shared>> {
        let all = SHARED.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().flatten().cloned().collect()
    }

    /// That of an spdk_thread.
    #[cfg(feature = "nvme")]
    #[cold]
    pub(crate) fn of(thread: *mut sys::spdk_thread) -> Option<Arc<Shared>> {
        let all = Self::all();
        all.into_iter()
            .find(|shared| shared.lock_thread().0 == thread)
    }

    pub(crate) fn register(self: &Arc<Self>) -> u32 {
        let mut all = SHARED.write().unwrap_or_else(PoisonError::into_inner);
        let index = all.iter().position(Option::is_none).unwrap_or(all.len());
        if index == all.len() {
            all.push(None);
        }
        all[index] = Some(self.clone());
        index as u32
    }

    pub(crate) fn unregister(index: u32) {
        let mut all = SHARED.write().unwrap_or_else(PoisonError::into_inner);
        all[index as usize] = None;
    }
}
