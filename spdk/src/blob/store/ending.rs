//! How a store ends, and what the end of its metadata thread waits for.
#![allow(unsafe_code)] // Unloads what nobody uses any more.

use std::cell::{Cell, RefCell};
use std::ffi::c_int;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use super::super::calls::{called, context, later};
use super::Store;
use crate::error::Gone;
use crate::local::{Here, Local, Revoke};
use crate::{Errno, sys};

/// How a store ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::blob) enum Ending {
    Unload,
    Destroy,
}

impl Ending {
    /// Whether a blobstore is gone after this status.
    pub(in crate::blob) fn has_ended(self, rc: c_int) -> bool {
        // The device of a store may be gone, so SPDK takes this error for an end.
        rc == 0 || (self == Ending::Unload && rc == -libc::EIO)
    }
}

#[derive(Default)]
pub(super) struct End {
    has_begun: Cell<bool>,
    /// Its place among the objects of the spdk_thread.
    anchor: RefCell<Option<(u64, Rc<Anchor>)>>,
}

/// What the end of the metadata thread waits for.
struct Anchor(Arc<Store>);

impl Store {
    /// Has the end of the metadata thread, which is `local`, wait for it.
    pub(super) fn anchor(self: &Arc<Self>, local: &Local) {
        let anchor = Rc::new(Anchor(self.clone()));
        let weak: Weak<Anchor> = Rc::downgrade(&anchor);
        let key = local.add(weak);
        *self.metadata.end.anchor.borrow_mut() = Some((key, anchor));
    }

    /// Its uses are gone.
    pub(super) fn end_in_background(self: &Arc<Self>) {
        let store = self.clone();
        let end = move || store.unload("the unload of a dropped blobstore failed");
        match Local::here() {
            // Not here and now: this may be a callback of the store.
            Some(local) if self.is_home() => local.defer(Box::new(end)),
            // Refused if the thread has ended, which has unloaded it then.
            _ => drop(self.home.send(end)),
        }
    }

    /// Unloads it, in turn; an error is only logged. On the metadata thread, with `is_ending` set and no uses.
    fn unload(self: Arc<Self>, failure: &'static str) {
        let label = self.label();
        self.clone().in_turn(move || {
            self.end_now(Ending::Unload, move |rc| {
                if rc != 0 {
                    let errno = Errno::from_code(rc);
                    tracing::error!(%label, %errno, "{failure}");
                }
            });
        });
    }

    /// Ends it if nobody uses it; `then` gets the errno, negative, or 0. On the metadata thread, in turn.
    pub(in crate::blob) fn try_end(
        self: &Arc<Self>,
        ending: Ending,
        then: impl FnOnce(c_int) + 'static,
    ) {
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
        if self.metadata.end.has_begun.replace(true) {
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
            _ if ending == Ending::Unload && self.lock().is_left() => unsafe {
                self.unload_for_good(then);
            },
            // SAFETY: as above.
            _ => unsafe { self.end_blobstore(ending, then) },
        }
    }

    /// # Safety
    /// It is loaded, and nobody uses it. This is its metadata thread.
    pub(in crate::blob) unsafe fn end_blobstore(
        &self,
        ending: Ending,
        then: impl FnOnce(c_int) + 'static,
    ) {
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

    /// Unloads a blobstore that nobody tries to unload again.
    ///
    /// SPDK keeps one, and has its device open, if its super block is not what it was. But it lets go of one whose device is
    /// gone, for which it takes one that fails.
    ///
    /// # Safety
    /// As for [`Store::end_blobstore`].
    pub(in crate::blob) unsafe fn unload_for_good(
        self: &Arc<Self>,
        then: impl FnOnce(c_int) + 'static,
    ) {
        let store = self.clone();
        let ended = move |rc| {
            if ![-libc::EILSEQ, -libc::ENXIO].contains(&rc) {
                return then(rc);
            }
            let (label, errno) = (store.label(), Errno::from_code(rc));
            tracing::error!(%label, %errno, "a super block is not what it was");
            // SAFETY: passed on; it is still loaded, from this device.
            later(move || unsafe {
                store.device.fail_reads();
                store.end_blobstore(Ending::Unload, then);
            });
        };
        // SAFETY: passed on.
        unsafe { self.end_blobstore(Ending::Unload, ended) };
    }

    fn ended(&self, ending: Ending, rc: c_int) {
        let has_ended = match &self.volumes {
            Some(volumes) => !volumes.is_loaded(),
            None => ending.has_ended(rc),
        };
        let mut state = self.lock();
        // With nobody to try again, it stays as it is.
        if has_ended || state.is_left() {
            drop(state);
            self.forget();
        } else {
            state.is_ending = false;
            state.gone = None;
            drop(state);
            self.metadata.end.has_begun.set(false);
        }
    }

    /// The metadata thread has nothing to do with it any more.
    fn forget(&self) {
        let anchor = self.metadata.end.anchor.borrow_mut().take();
        if let (Some((key, _anchor)), Some(local)) = (anchor, Local::here()) {
            local.remove(key);
        }
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
        let store = self.0.clone();
        store.unload("a blobstore was not unloaded at the end");
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
