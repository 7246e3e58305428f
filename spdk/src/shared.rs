//! The part of an spdk_thread that any OS thread may use: its name, and the inbox for what others send.

use std::sync::{Arc, OnceLock, RwLock};

use crate::inbox::{Inbox, Message, Messages};
use crate::local;
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
}

/// The [`Shared`] of each `Local`, by its index. An index is used again when its `Local` has ended.
static SHARED: RwLock<Vec<Option<Arc<Shared>>>> = RwLock::new(Vec::new());

/// Wakes from other OS threads, by the index of their `Local`. They are never freed, so a wake needs no
/// count: an out-of-date one is for the spdk_thread that has the index by then, or for none.
static WAKEUPS: [OnceLock<Box<[Wakeups]>>; 33] = [const { OnceLock::new() }; 33];

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
        self.inbox.push(Message::new(f)).is_ok()
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
        for message in taken.chain(self.inbox.close()) {
            local::run_caught("drop of a message", || drop(message));
        }
    }

    /// Every spdk_thread that Rust has run on and that has not ended.
    pub(crate) fn all() -> Vec<Arc<Shared>> {
        let all = SHARED.read().unwrap_or_else(|e| e.into_inner());
        all.iter().flatten().cloned().collect()
    }

    pub(crate) fn register(self: &Arc<Self>) -> u32 {
        let mut all = SHARED.write().unwrap_or_else(|e| e.into_inner());
        let index = all.iter().position(Option::is_none).unwrap_or(all.len());
        if index == all.len() {
            all.push(None);
        }
        all[index] = Some(self.clone());
        index as u32
    }

    pub(crate) fn unregister(index: u32) {
        let mut all = SHARED.write().unwrap_or_else(|e| e.into_inner());
        all[index as usize] = None;
    }
}
