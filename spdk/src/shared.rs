//! The part of an spdk_thread that any OS thread may use: its name, and the inbox for what others send.

use std::sync::atomic::{AtomicBool, Ordering::*};
use std::sync::{Arc, RwLock};

use crossbeam_queue::SegQueue;

use crate::executor::TaskId;

/// Work that came from another OS thread.
pub(crate) enum Message {
    Run(Box<dyn FnOnce() + Send>),
    Wake(TaskId),
}

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
    inbox: SegQueue<Message>,
    closed: AtomicBool,
}

/// The [`Shared`] of each `Local`, by its index. An index is used again when its `Local` has ended.
static SHARED: RwLock<Vec<Option<Arc<Shared>>>> = RwLock::new(Vec::new());

impl Shared {
    pub(crate) fn new(name: &str, id: u64, owner: Owner) -> Self {
        Shared {
            name: name.into(),
            id,
            owner,
            inbox: SegQueue::new(),
            closed: AtomicBool::new(false),
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
        self.closed.load(SeqCst)
    }

    /// Runs `f` on the spdk_thread; `false`, and `f` dropped, if that has ended. `f` is also dropped if
    /// the spdk_thread ends before its turn.
    pub(crate) fn send(&self, f: Box<dyn FnOnce() + Send>) -> bool {
        self.push(Message::Run(f))
    }

    /// Wakes a task of the spdk_thread with this index, if it has not ended.
    pub(crate) fn wake(index: u32, task: TaskId) {
        let all = SHARED.read().unwrap_or_else(|e| e.into_inner());
        let shared = all.get(index as usize).cloned().flatten();
        // The lock ends first: emptying a closed inbox runs the drops of the user's closures.
        drop(all);
        if let Some(shared) = shared {
            shared.push(Message::Wake(task));
        }
    }

    /// The next message, for the spdk_thread itself.
    pub(crate) fn pop(&self) -> Option<Message> {
        self.inbox.pop()
    }

    /// Whether the message was taken. One that the end of the thread overtakes is dropped.
    fn push(&self, message: Message) -> bool {
        if self.is_closed() {
            return false;
        }
        self.inbox.push(message);
        if self.is_closed() {
            // The end of the thread and this call overlapped: whoever comes second empties it.
            self.empty();
        }
        true
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, SeqCst);
        self.empty();
    }

    fn empty(&self) {
        while let Some(message) = self.inbox.pop() {
            drop(message);
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
