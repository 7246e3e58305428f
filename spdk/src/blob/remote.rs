//! Calls that run on the metadata thread of a blobstore, whichever spdk_thread asks for them.
//!
//! The operation is one of the spdk_thread that asks: what C touches is in its slot, and its callback runs
//! there. Only the call itself, and what it reports, go by messages; and not even these where the metadata
//! thread itself asks.
#![allow(unsafe_code)] // Lends what an operation holds to another thread, until its callback.

use std::ffi::c_void;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use super::store::{Store, Use};
use crate::call::call;
use crate::error::{Error, Fault, Place};
use crate::handle::AtHome;
use crate::local::{Caller, Here, Home, Local};
use crate::op::{Callback, Complete, Submitted, complete, op, sealed};
use crate::shared::Shared;
use crate::sys;
use crate::waiters::Waiters;

/// What is sent to another OS thread although its type does not allow it.
pub(super) struct Carry<T>(T);

// SAFETY: `Carry::new` promises that it is used by one thread at a time.
unsafe impl<T> Send for Carry<T> {}

impl<T> Carry<T> {
    /// # Safety
    /// The sender does not use it any more, and it may be used and dropped where it goes.
    pub(super) unsafe fn new(value: T) -> Self {
        Carry(value)
    }

    pub(super) fn take(self) -> T {
        self.0
    }
}

/// A callback type of the metadata thread, for operations of any spdk_thread.
pub(super) struct Metadata<C>(PhantomData<C>);

/// The two functions that end such an operation: the one on the thread of the operation, and the one that
/// sends it there.
pub(super) struct Done<C: Callback> {
    here: C::Fn,
    relayed: C::Fn,
}

impl<C: Callback> Clone for Done<C> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<C: Callback> Copy for Done<C> {}

// SAFETY: of the functions, C gets one: `here`, which is as `C` promises, or `relayed`, which has it called
// later with what it got itself.
unsafe impl<C: Callback> Callback for Metadata<C> {
    type Fn = Done<C>;
    type Raw = C::Raw;

    fn of<K: Complete<C::Raw>>() -> Done<C> {
        Done {
            here: C::of::<K>(),
            relayed: C::of::<Relay<K>>(),
        }
    }
}

/// Ends an operation of kind `K` on the thread that it belongs to.
struct Relay<K>(PhantomData<K>);

/// The context of a relayed operation.
struct Trip {
    /// Where it belongs.
    home: Arc<Shared>,
    arg: *mut c_void,
}

impl<K> sealed::Sealed for Relay<K> {}

impl<K: Complete<Raw>, Raw: 'static> Complete<Raw> for Relay<K> {
    unsafe fn complete(arg: *mut c_void, raw: Raw) {
        // SAFETY: `Done::call` made the box for this one callback.
        let trip = unsafe { Box::from_raw(arg.cast::<Trip>()) };
        // SAFETY: what C reports is made of numbers and pointers to what is its own, and `arg` is the slot of
        // the operation, of which C has the share; this thread uses neither any more.
        let back = unsafe { Carry::new((trip.arg, raw)) };
        let sent = trip.home.send(move || {
            let (arg, raw) = back.take();
            // SAFETY: the operation was submitted with this context, and this is its spdk_thread.
            unsafe { complete::<K, Raw>(arg, raw) }
        });
        // An spdk_thread waits at its end for the operations of its objects.
        debug_assert!(sent, "an spdk_thread ended before its operations");
    }

    unsafe fn wait(_: *mut c_void, _: &Waiters) {
        unreachable!("a call of the metadata thread is made once");
    }
}

impl<C: Callback> Done<C> {
    /// Has the metadata thread make a call: now, if this is it and nothing has to end before; else later.
    ///
    /// # Safety
    ///
    /// - `arg` is the context of an operation of the current spdk_thread, which was given this callback.
    /// - `f` gives C the callback and the context that it gets, once, and C calls back once. It may run on the
    ///   metadata thread, and what it has captured may go there.
    pub(super) unsafe fn call(
        self,
        store: &Arc<Store>,
        arg: *mut c_void,
        f: impl FnOnce(C::Fn, *mut c_void) + 'static,
    ) -> Submitted {
        if store.is_home() {
            store.in_order(move || f(self.here, arg));
            return Submitted::Pending;
        }
        let home = match Local::current() {
            Ok(local) => local.shared().clone(),
            Err(_) => return Submitted::Refused(crate::Errno::ENODEV),
        };
        let trip = Box::into_raw(Box::new(Trip { home, arg }));
        // SAFETY: the caller promises it of `f`; the box goes to the callback, and `relayed` is a function.
        let call = unsafe { Carry::new((f, self.relayed, trip.cast::<c_void>())) };
        let target = store.clone();
        store.send(move || {
            let (f, relayed, trip) = call.take();
            target.in_turn(move || f(relayed, trip));
        });
        Submitted::Pending
    }
}

/// What reports the value of a Rust closure.
pub(super) struct Returned<R>(PhantomData<R>);

// SAFETY: the function passes its context on, once, and does nothing else.
unsafe impl<R: 'static> Callback for Returned<R> {
    type Fn = unsafe fn(*mut c_void, R);
    type Raw = R;

    fn of<K: Complete<R>>() -> Self::Fn {
        unsafe fn done<K: Complete<R>, R>(arg: *mut c_void, value: R) {
            // SAFETY: passed on.
            unsafe { complete::<K, R>(arg, value) }
        }
        done::<K, R>
    }
}

/// A part of a blobstore, or all of it, that an operation holds.
pub(super) trait Part: AtHome {
    type C: 'static;
    fn store(&self) -> &Arc<Store>;
    fn as_ptr(&self) -> *mut Self::C;
}

/// An operation's reference to a blobstore.
pub(super) struct StoreHold {
    here: Here,
    part: Use,
}

impl StoreHold {
    pub(super) fn new(part: Use) -> Result<Self, Fault> {
        let here = Here::now()?;
        Ok(StoreHold { here, part })
    }

    /// For what the operation has made, and stays longer.
    pub(super) fn part(&self) -> Use {
        self.part.clone()
    }
}

impl AtHome for StoreHold {
    fn home(&self) -> Home {
        self.here.home()
    }
}

impl Part for StoreHold {
    type C = sys::spdk_blob_store;

    fn store(&self) -> &Arc<Store> {
        self.part.store()
    }

    fn as_ptr(&self) -> *mut Self::C {
        self.part.store().as_ptr()
    }
}

/// Calls C on the metadata thread.
///
/// # Safety
///
/// `f` passes the callback and the context to one C function, which calls back once; and that function may be
/// called with the object on the metadata thread, and touches nothing after the call that neither `held` nor
/// `kept` keeps.
pub(super) unsafe fn metadata<'a, C, P, X, T>(
    at: impl Place<'a>,
    hold: impl FnOnce(Caller<'_>) -> Result<(P, X), Fault>,
    f: impl FnOnce(*mut P::C, *mut X, C::Fn, *mut c_void) + Send + 'static,
    finish: impl FnOnce(&P, C::Raw) -> Result<T, Fault> + 'static,
) -> impl Future<Output = Result<T, Error>>
where
    C: Callback,
    P: Part,
    X: 'static,
    T: 'static,
{
    let start = move |caller: Caller<'_>| {
        let held = hold(caller)?;
        let mut f = Some(f);
        let submit = move |(part, kept): &mut (P, X), done: Done<C>, arg| {
            let (object, kept) = (part.as_ptr(), std::ptr::from_mut(kept));
            let Some(f) = f.take() else {
                unreachable!("a call of the metadata thread is made once");
            };
            let run = move |done, arg| f(object, kept, done, arg);
            // SAFETY: the operation is one of this spdk_thread. The caller promises the rest of `f`; the two
            // pointers are to what the slot holds until the callback.
            unsafe { done.call(part.store(), arg, run) }
        };
        let finish = move |(part, _): &mut (P, X), raw| finish(part, raw);
        // SAFETY: the callback comes once, as the caller promises, on this spdk_thread, where `Done::call`
        // sends it; until then `held` keeps everything in place.
        Ok(unsafe { op::<Metadata<C>, _, _>(submit, finish, held) })
    };
    call(start, at)
}

/// Runs a closure on the metadata thread, and returns what it returns.
///
/// # Safety
///
/// The closure may use the object, on the metadata thread, while it runs.
pub(super) unsafe fn visit<'a, P, R>(
    at: impl Place<'a>,
    hold: impl FnOnce(Caller<'_>) -> Result<P, Fault>,
    f: impl FnOnce(*mut P::C) -> Result<R, Fault> + Send + 'static,
) -> impl Future<Output = Result<R, Error>>
where
    P: Part,
    R: Send + 'static,
{
    let hold = move |caller: Caller<'_>| Ok((hold(caller)?, ()));
    let run = move |object, _: *mut (), done: unsafe fn(*mut c_void, Result<R, Fault>), arg| {
        let value = f(object);
        // SAFETY: the context is the one that came with the callback, and this is the one call.
        unsafe { done(arg, value) }
    };
    // SAFETY: `run` calls back once, and the caller promises the rest.
    unsafe { metadata::<Returned<Result<R, Fault>>, P, (), R>(at, hold, run, |_, value| value) }
}
