//! Handles: counted references to C objects that have a home spdk_thread.
//!
//! An object has handles (the user's, and those that other objects keep it alive with) and [`Hold`]s
//! (one per operation in flight). It is released when the last of both is gone, on its home
//! spdk_thread. It can also be revoked, when nothing is in flight on it: when its device is removed
//! or its spdk_thread ends. Its handles then report [`Gone`].
#![allow(unsafe_code)] // Owns C objects; the pointer is given out for as long as the counts above say.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::rc::{Rc, Weak};

use crate::errno::Errno;
use crate::error::{Describe, Fault, Gone};
use crate::local::{Caller, Home, Local, Revoke, begin, current_thread};
use crate::sys;

/// A type of C object that Rust can own.
///
/// # Safety
///
/// [`Object::release`] gives the object back to C, which then no longer uses `Extra`.
pub unsafe trait Object: Sized + 'static {
    /// The C type.
    type C;
    /// Rust data that lives as long as the C object does: what it keeps alive, its events.
    type Extra: 'static;
    /// The name of the Rust type, for messages.
    const NAME: &'static str;
    /// Whether operations of other spdk_threads wait until it is given back.
    const HOLDS_BACK_OTHERS: bool = false;
    /// Whether SPDK sends its spdk_thread a message when it is given back.
    const SENDS_MESSAGE: bool = false;

    /// Gives the object back.
    ///
    /// # Safety
    ///
    /// Called once, on the home spdk_thread, with no operation in flight on the object.
    unsafe fn release(ptr: NonNull<Self::C>, extra: &Self::Extra);

    /// Asks the device to end the operations in flight on the object, which its spdk_thread has
    /// waited for in vain. `reset` lists the devices that were asked already. It does not wait.
    fn abort_operations(_object: Hold<Self>, _reset: &mut Vec<*const ()>) {}

    /// What the object is, for the log.
    fn label(_extra: &Self::Extra) -> String {
        Self::NAME.to_owned()
    }
}

/// A typed handle: a newtype around a [`Handle`].
pub trait Subject: Describe {
    /// The type of C object.
    type O: Object;
    /// The handle.
    fn handle(&self) -> &Handle<Self::O>;
}

/// The object that another one was made of, which keeps it until it is released: a handle that is leaked must not.
pub struct Kept<O: Object>(Cell<Option<Hold<O>>>);

impl<O: Object> Kept<O> {
    /// Keeps it.
    pub fn new(hold: Hold<O>) -> Self {
        Kept(Cell::new(Some(hold)))
    }

    /// Keeps it no more.
    pub fn let_go(&self) {
        drop(self.0.take());
    }

    fn is(&self, of: &Handle<O>) -> bool {
        let kept = self.0.take();
        // Who has let go is gone, which its own use tells.
        let is = kept.as_ref().is_none_or(|kept| Rc::ptr_eq(&kept.0, &of.0));
        self.0.set(kept);
        is
    }
}

/// Refuses what was made of another object than `of`, and keeps that one.
pub fn check_made_of<M: Subject, P: Subject>(made: &M, of: &P) -> Result<(), Fault>
where
    M::O: Object<Extra = Kept<P::O>>,
{
    if made.handle().extra().is(of.handle()) {
        return Ok(());
    }
    let (made, kind) = (made.describe(), P::O::NAME);
    Err(Fault::invalid(format!("the {made} is of another {kind}")))
}

struct Inner<O: Object> {
    /// Null once the object was released, revoked or taken.
    ptr: Cell<*mut O::C>,
    /// The home spdk_thread; [`gone`] from then on. One comparison checks both.
    home: Cell<*mut sys::spdk_thread>,
    why_gone: Cell<Gone>,
    /// How many of the references are handles, less the operations that a handle keeps it for; the others are holds.
    handles: Cell<isize>,
    key: Cell<u64>,
    local: Rc<Local>,
    extra: ManuallyDrop<O::Extra>,
}

/// An address that no spdk_thread has.
fn gone() -> *mut sys::spdk_thread {
    ptr::without_provenance_mut(1)
}

/// A handle of a C object. Neither `Send` nor `Sync`.
pub struct Handle<O: Object>(Rc<Inner<O>>);

impl<O: Object> Handle<O> {
    /// Takes ownership of an object, which is at home on the current spdk_thread.
    ///
    /// # Safety
    ///
    /// `ptr` is a live object that the caller owns, to be released on the current spdk_thread.
    pub unsafe fn adopt(ptr: NonNull<O::C>, extra: O::Extra) -> Result<Self, Fault> {
        let local = match Local::current() {
            Ok(local) if !local.is_ending() => local,
            other => {
                // SAFETY: the caller owns it, on this spdk_thread, and nothing has used it yet.
                unsafe { O::release(ptr, &extra) };
                return Err(match other {
                    Ok(_) => Fault::gone(Gone::ThreadEnded),
                    Err(fault) => fault,
                });
            }
        };
        let inner = Rc::new(Inner {
            ptr: Cell::new(ptr.as_ptr()),
            home: Cell::new(local.thread()),
            why_gone: Cell::new(Gone::Closed),
            handles: Cell::new(1),
            key: Cell::new(0),
            local,
            extra: ManuallyDrop::new(extra),
        });
        let weak: Weak<Inner<O>> = Rc::downgrade(&inner);
        inner.key.set(inner.local.add(weak));
        Ok(Handle(inner))
    }

    /// The object, for a call that returns at once.
    #[inline]
    pub fn get(&self, caller: Caller<'_>) -> Result<NonNull<O::C>, Fault> {
        if caller.thread() == self.0.home.get() {
            // SAFETY: the home is an spdk_thread, so the object is not gone and not null.
            Ok(unsafe { NonNull::new_unchecked(self.0.ptr.get()) })
        } else {
            Err(self.refusal())
        }
    }

    /// The object, for an operation, which keeps it until C is done.
    #[inline]
    pub fn hold(&self, caller: Caller<'_>) -> Result<Hold<O>, Fault> {
        if caller.thread() == self.0.home.get() {
            Ok(Hold(self.0.clone()))
        } else {
            Err(self.refusal())
        }
    }

    /// The object while C has it, also when it takes no new operations of the user.
    pub(crate) fn hold_shut(&self) -> Option<Hold<O>> {
        (!self.0.ptr.get().is_null()).then(|| Hold(self.0.clone()))
    }

    /// From now on this handle keeps the object for one more operation in flight, until [`Handle::end_use`].
    #[inline]
    pub(crate) fn begin_use(&self) {
        self.0.handles.set(self.0.handles.get() - 1);
    }

    /// Ends what [`Handle::begin_use`] began.
    #[inline]
    pub(crate) fn end_use(&self) {
        self.0.handles.set(self.0.handles.get() + 1);
    }

    #[cold]
    fn refusal(&self) -> Fault {
        if self.0.home.get() == gone() {
            return Fault::gone(self.0.why_gone.get());
        }
        if current_thread().is_null() {
            return Fault::no_thread();
        }
        let current = match Local::current() {
            Ok(current) => current,
            Err(fault) => return fault,
        };
        Fault::wrong_thread(self.0.local.shared().name(), current.shared().name())
    }

    /// The Rust data of the object.
    #[inline]
    pub fn extra(&self) -> &O::Extra {
        &self.0.extra
    }

    /// Whether calls still reach the object.
    pub fn is_alive(&self) -> bool {
        self.0.home.get() != gone()
    }

    /// The C object, or null when it is gone.
    pub(crate) fn as_ptr(&self) -> *mut O::C {
        self.0.ptr.get()
    }

    pub(crate) fn local(&self) -> &Rc<Local> {
        &self.0.local
    }

    /// How many operations use the object.
    #[cfg(feature = "nvme")]
    pub(crate) fn operations(&self) -> usize {
        self.0.operations(Rc::strong_count(&self.0))
    }

    pub(crate) fn downgrade(&self) -> WeakHandle<O> {
        WeakHandle(Rc::downgrade(&self.0))
    }

    /// Gives the object to a C function that consumes it. Fails, and leaves it as it was, while an
    /// operation uses it or another object keeps it alive.
    pub fn take(&self) -> Result<NonNull<O::C>, Fault> {
        let ptr = begin(|caller| self.get(caller))?;
        if Rc::strong_count(&self.0) > 1 {
            return Err(Fault::errno(Errno::EBUSY));
        }
        self.0.forget_object(Gone::Closed);
        self.0.local.remove(self.0.key.get());
        Ok(ptr)
    }
}

impl<O: Object> Clone for Handle<O> {
    fn clone(&self) -> Self {
        self.0.handles.set(self.0.handles.get() + 1);
        Handle(self.0.clone())
    }
}

impl<O: Object> Drop for Handle<O> {
    fn drop(&mut self) {
        self.0.handles.set(self.0.handles.get() - 1);
    }
}

/// A handle that does not keep its object alive.
pub(crate) struct WeakHandle<O: Object>(Weak<Inner<O>>);

impl<O: Object> WeakHandle<O> {
    /// Lets no new call and no new operation reach the object.
    pub(crate) fn shut(&self, why: Gone) {
        if let Some(inner) = self.0.upgrade() {
            inner.why_gone.set(why);
            inner.home.set(gone());
        }
    }

    pub(crate) fn upgrade(&self) -> Option<Handle<O>> {
        let inner = self.0.upgrade()?;
        inner.handles.set(inner.handles.get() + 1);
        Some(Handle(inner))
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.0
            .upgrade()
            .is_none_or(|inner| inner.ptr.get().is_null())
    }

    /// Gives the object back to C if no operation uses it. Returns whether it is gone.
    pub(crate) fn revoke_if_idle(&self, why: Gone) -> bool {
        let Some(inner) = self.0.upgrade() else {
            return true;
        };
        if !inner.ptr.get().is_null() {
            if inner.operations(Rc::strong_count(&inner) - 1) > 0 {
                return false;
            }
            inner.revoke(why);
            // The drop of its last handle does not, since there is nothing to release.
            inner.local.remove(inner.key.get());
        }
        true
    }
}

impl<O: Object> Clone for WeakHandle<O> {
    fn clone(&self) -> Self {
        WeakHandle(self.0.clone())
    }
}

/// An operation's reference to an object.
#[doc(hidden)]
pub struct Hold<O: Object>(Rc<Inner<O>>);

impl<O: Object> Clone for Hold<O> {
    fn clone(&self) -> Self {
        Hold(self.0.clone())
    }
}

impl<O: Object> Hold<O> {
    /// The object. It stays valid while the hold exists.
    #[inline]
    pub fn as_ptr(&self) -> *mut O::C {
        self.0.ptr.get()
    }

    /// The Rust data of the object.
    #[inline]
    pub fn extra(&self) -> &O::Extra {
        &self.0.extra
    }

    /// How many operations hold the object, this one among them.
    #[cfg(feature = "nvme")]
    pub(crate) fn operations(&self) -> usize {
        self.0.operations(Rc::strong_count(&self.0))
    }
}

/// What an operation holds: an object of its spdk_thread first.
pub trait Held: 'static {
    /// The spdk_thread of the operation.
    fn home(&self) -> Home;
    /// Drops it, part by part: code that the compiler inlines.
    ///
    /// # Safety
    ///
    /// As for [`ManuallyDrop::drop`].
    unsafe fn drop(held: &mut ManuallyDrop<Self>);
}

/// The first part of a [`Held`].
pub trait AtHome: 'static {
    /// The spdk_thread that it belongs to.
    fn home(&self) -> Home;
}

impl<O: Object> AtHome for Hold<O> {
    #[inline]
    fn home(&self) -> Home {
        Home::of(&self.0.local)
    }
}

macro_rules! held {
    ($($part:ident $index:tt)*) => {
        impl<First: AtHome, $($part: 'static),*> Held for (First, $($part),*) {
            #[inline]
            fn home(&self) -> Home {
                self.0.home()
            }

            #[inline(always)]
            unsafe fn drop(held: &mut ManuallyDrop<Self>) {
                // SAFETY: the caller does not use the parts again.
                unsafe {
                    ptr::drop_in_place(&raw mut held.0);
                    $(ptr::drop_in_place(&raw mut held.$index);)*
                }
            }
        }
    };
}
held!();
held!(A 1);
held!(A 1 B 2);
held!(A 1 B 2 C 3);
held!(A 1 B 2 C 3 D 4);
held!(A 1 B 2 C 3 D 4 E 5);
held!(A 1 B 2 C 3 D 4 E 5 F 6);
held!(A 1 B 2 C 3 D 4 E 5 F 6 G 7);

impl<O: Object> Inner<O> {
    fn forget_object(&self, why: Gone) -> *mut O::C {
        self.why_gone.set(why);
        self.home.set(gone());
        self.ptr.replace(ptr::null_mut())
    }
}

impl<O: Object> Revoke for Inner<O> {
    fn operations(&self, references: usize) -> usize {
        usize::try_from(references as isize - self.handles.get()).unwrap_or(0)
    }

    fn revoke(&self, why: Gone) {
        if let Some(ptr) = NonNull::new(self.forget_object(why)) {
            // SAFETY: the caller is on the home spdk_thread and has seen that no operation uses the
            // object; the pointer was taken, so this is the one release.
            unsafe { O::release(ptr, &self.extra) };
        }
    }

    fn abort_operations(self: Rc<Self>, reset: &mut Vec<*const ()>) {
        O::abort_operations(Hold(self), reset);
    }

    fn holds_back_others(&self) -> bool {
        O::HOLDS_BACK_OTHERS
    }

    fn sends_message(&self) -> bool {
        O::SENDS_MESSAGE
    }

    fn kind(&self) -> &'static str {
        O::NAME
    }

    fn label(&self) -> String {
        O::label(&self.extra)
    }
}

impl<O: Object> Drop for Inner<O> {
    fn drop(&mut self) {
        // SAFETY: taken once; nothing uses the field after.
        let extra = unsafe { ManuallyDrop::take(&mut self.extra) };
        let Some(ptr) = NonNull::new(self.forget_object(Gone::Closed)) else {
            return;
        };
        self.local.remove(self.key.get());
        let release = move || {
            // SAFETY: run on the home spdk_thread; no handle and no operation is left, and the
            // pointer was taken, so this is the one release.
            unsafe { O::release(ptr, &extra) }
        };
        // Another spdk_thread is of the same OS thread, since a handle is not `Send`.
        let is_current = self.local.is_current();
        match O::SENDS_MESSAGE {
            true if is_current && self.local.has_room() => release(),
            true => self.local.give_back(Box::new(release)),
            false if is_current => release(),
            false => self.local.defer(Box::new(release)),
        }
    }
}
