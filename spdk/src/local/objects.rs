//! What SPDK must get back before an spdk_thread ends.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use super::Local;
use crate::error::Gone;

/// An object that SPDK must get back before the spdk_thread ends.
pub(crate) trait Revoke {
    /// How many operations still use it. `references` counts those to its allocation.
    fn operations(&self, references: usize) -> usize;
    /// Gives it back to SPDK; its handles report `why` from now on.
    fn revoke(&self, why: Gone);
    /// Asks its device to end the operations in flight; see `Object::abort_operations`.
    fn abort_operations(self: Rc<Self>, reset: &mut Vec<*const ()>);
    /// Whether operations of other spdk_threads wait until it is given back.
    fn holds_back_others(&self) -> bool {
        false
    }
    /// Whether SPDK sends its spdk_thread a message when it is given back.
    fn sends_message(&self) -> bool {
        false
    }
    /// The Rust type, for the log.
    fn kind(&self) -> &'static str;
    /// For the log.
    fn label(&self) -> String;
}

/// Its type, what it is, and how many operations use it.
pub(crate) type OpenObject = (&'static str, String, usize);

/// The open objects of an spdk_thread, the oldest first.
#[derive(Default)]
pub(super) struct Objects {
    list: RefCell<BTreeMap<u64, Weak<dyn Revoke>>>,
    next: Cell<u64>,
}

impl Local {
    /// Lists an object that has to be given back before the thread ends.
    pub(crate) fn add(&self, object: Weak<dyn Revoke>) -> u64 {
        let key = self.objects.next.get();
        self.objects.next.set(key + 1);
        self.objects.list.borrow_mut().insert(key, object);
        key
    }

    pub(crate) fn remove(&self, key: u64) {
        self.objects.list.borrow_mut().remove(&key);
    }

    /// Has the devices that hold the end up reset: their drivers then end what is in flight, and the
    /// callbacks come.
    #[cold]
    pub(super) fn abort_operations(&self) {
        tracing::warn!(
            thread = self.shared.name(),
            waiting_for = ?self.busy_objects(),
            "operations in flight hold up the end of an spdk_thread: resetting their devices"
        );
        let objects: Vec<_> = self.objects.list.borrow().values().cloned().collect();
        let mut reset = Vec::new();
        for object in objects.iter().filter_map(Weak::upgrade) {
            object.abort_operations(&mut reset);
        }
    }

    /// Gives back what no operation uses, the youngest first; how many objects are left.
    pub(super) fn revoke_idle(&self) -> usize {
        // Without room in one of the next turns: to look at all of them takes time.
        if self.has_room() {
            self.revoke_idle_of(|object| !object.sends_message() || self.has_room());
        }
        self.objects.list.borrow().len()
    }

    /// Gives back what keeps other spdk_threads from their end, which comes before that of this one.
    pub(crate) fn let_others_end(&self) {
        self.revoke_idle_of(|object| object.holds_back_others());
    }

    fn revoke_idle_of(&self, kind: impl Fn(&dyn Revoke) -> bool) {
        let objects: Vec<_> = {
            let objects = self.objects.list.borrow();
            objects.iter().rev().map(|(k, o)| (*k, o.clone())).collect()
        };
        for (key, object) in objects {
            match object.upgrade() {
                Some(object) if !kind(&*object) => {}
                Some(object) if object.operations(Rc::strong_count(&object) - 1) > 0 => {}
                Some(object) => {
                    object.revoke(Gone::ThreadEnded);
                    self.remove(key);
                }
                None => self.remove(key),
            }
        }
    }

    /// What is open, the oldest first.
    pub(super) fn open_objects(&self) -> Vec<OpenObject> {
        let objects: Vec<_> = self.objects.list.borrow().values().cloned().collect();
        let open = objects.iter().filter_map(Weak::upgrade).map(|object| {
            let operations = object.operations(Rc::strong_count(&object) - 1);
            (object.kind(), object.label(), operations)
        });
        let here = self.operations.get();
        let without = (here > 0).then(|| ("operation", "no object".to_owned(), here));
        open.chain(without).collect()
    }

    /// The objects that operations in flight still use, in words.
    pub(crate) fn busy_objects(&self) -> Vec<String> {
        let objects = self.objects.list.borrow();
        let objects = objects.values().filter_map(Weak::upgrade);
        objects.map(|object| object.label()).collect()
    }
}
