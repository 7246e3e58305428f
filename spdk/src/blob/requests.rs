//! I/O that waits until its channel has room for it, in order.
//!
//! SPDK refuses an I/O that it has no request for with `-ENOMEM`, inside of the call, or later, when a part of it gets
//! none; and it tells nobody when there is one again. Worse, the metadata thread takes requests from the same place:
//! SPDK 26.01 does not survive that a write to a thin blob gets a cluster, and there is no request to write that down.
//! So the I/Os of a channel are counted here, and SPDK has more requests than these need.
//!
//! Reads through a long chain of snapshots need more still. One that is refused waits until another one has ended. One
//! that is refused in the middle of its work is tried once more with nothing else in flight: if that fails too, or nothing
//! was in flight in the first place, then waiting does not help, and the error is reported.
#![allow(unsafe_code)] // Passes on the contexts of operations.

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::rc::{Rc, Weak};

use crate::channel::IoChannelObject;
use crate::handle::Hold;
use crate::local::Local;
use crate::op::{Callback, Complete, Submitted, sealed};
use crate::sys;
use crate::waiters::Waiters;

/// How many requests SPDK gets for so many I/Os.
///
/// An I/O needs at most three: for itself, for a part of it, and to wait for a cluster. The rest is for what the
/// metadata thread does meanwhile: two for each channel that gets a cluster, and for its own calls.
pub(super) fn needed(ios: u32) -> u32 {
    match ios {
        0 => 0, // which SPDK refuses
        ios => ios.saturating_mul(3).saturating_add(256),
    }
}

/// How many I/Os the requests are enough for that SPDK's library of lvol stores asks for, 512 a channel.
pub(super) const IOS_OF_VOLUMES: usize = {
    const IOS: u32 = 85;
    assert!(3 * IOS + 256 <= 512);
    IOS as usize
};

thread_local! {
    /// Those of this OS thread.
    static ALL: RefCell<Vec<Weak<Requests>>> = const { RefCell::new(Vec::new()) };
}

/// The I/Os of an `spdk_io_channel`, which several [`IoChannel`](crate::IoChannel)s may have.
pub(crate) struct Requests {
    /// Of which `owners` have a reference.
    channel: NonNull<sys::spdk_io_channel>,
    owners: Cell<usize>,
    most: usize,
    in_flight: Cell<usize>,
    /// Whether the one in flight wants to be the only one.
    is_taken: Cell<bool>,
    waiters: Waiters,
    /// Whether the spdk_thread will let them go on.
    will_go_on: Cell<bool>,
    /// Whether all wait, while the clusters of a blob are copied.
    is_held: Cell<bool>,
}

impl Requests {
    /// For one more owner of this channel of the current spdk_thread, which does at most so many at a time. With
    /// `is_held`, those of a channel that has not been known wait until they are released.
    pub(super) fn of(
        channel: NonNull<sys::spdk_io_channel>,
        most: usize,
        is_held: bool,
    ) -> Rc<Self> {
        let this = Requests::known(channel).unwrap_or_else(|| {
            let new = Rc::new(Requests {
                channel,
                owners: Cell::new(0),
                most,
                in_flight: Cell::new(0),
                is_taken: Cell::new(false),
                waiters: Waiters::default(),
                will_go_on: Cell::new(false),
                is_held: Cell::new(is_held),
            });
            ALL.with_borrow_mut(|all| {
                all.retain(|known| known.strong_count() > 0);
                all.push(Rc::downgrade(&new));
            });
            new
        });
        this.owners.set(this.owners.get() + 1);
        this
    }

    /// Those of a channel of the current spdk_thread; `None` if only SPDK has it.
    pub(super) fn known(channel: NonNull<sys::spdk_io_channel>) -> Option<Rc<Self>> {
        ALL.with_borrow(|all| {
            let mut all = all.iter().filter_map(Weak::upgrade);
            all.find(|known| known.channel == channel && known.owners.get() > 0)
        })
    }

    /// One of the owners has given the channel back. After the last one, the address may be that of another channel.
    pub(super) fn is_given_back(&self) {
        self.owners.set(self.owners.get() - 1);
    }

    /// Has those that come wait. Returns whether none is in flight.
    pub(super) fn hold(&self) -> bool {
        self.is_held.set(true);
        self.in_flight.get() == 0
    }

    /// The end of [`Requests::hold`].
    pub(super) fn release(self: &Rc<Self>) {
        self.is_held.set(false);
        self.go_on_later();
    }

    /// One has ended, or was refused.
    fn end(&self) {
        self.in_flight.set(self.in_flight.get() - 1);
    }

    /// Lets the waiting ones go on in the next turn of the spdk_thread. Not here and now: SPDK may take back what an I/O
    /// had when its callback returns.
    fn go_on_later(self: &Rc<Self>) {
        if self.waiters.count() == 0 || self.will_go_on.get() {
            return;
        }
        if let Some(local) = Local::here() {
            self.will_go_on.set(true);
            let this = self.clone();
            local.defer(Box::new(move || {
                this.will_go_on.set(false);
                this.waiters.go_on();
            }));
        }
    }
}

/// The channel of an I/O, and what that has of it. An operation holds it, so it stays where it is.
#[doc(hidden)]
pub struct Request {
    hold: Hold<IoChannelObject>,
    requests: Rc<Requests>,
    /// The context of the operation.
    arg: Cell<*mut c_void>,
    in_call: Cell<bool>,
    is_refused: Cell<bool>,
    /// Whether it is to be the only one in flight.
    is_alone: Cell<bool>,
}

impl Request {
    pub(super) fn new(hold: Hold<IoChannelObject>, requests: Rc<Requests>) -> Self {
        Request {
            hold,
            requests,
            arg: Cell::new(ptr::null_mut()),
            in_call: Cell::new(false),
            is_refused: Cell::new(false),
            is_alone: Cell::new(false),
        }
    }

    /// The channel. It stays valid while this exists.
    #[inline]
    pub fn as_ptr(&self) -> *mut sys::spdk_io_channel {
        self.hold.as_ptr()
    }
}

/// Calls the C function that begins an I/O, unless others wait already. One that SPDK has no request for waits too.
///
/// `call` gives C the callback and the context that it gets. Their operation holds `request`.
#[doc(hidden)]
#[inline]
pub fn submit(
    request: &Request,
    done: sys::spdk_blob_op_complete,
    arg: *mut c_void,
    call: impl FnOnce(sys::spdk_blob_op_complete, *mut c_void),
) -> Submitted {
    let requests = &request.requests;
    let (waiters, others) = (&requests.waiters, requests.in_flight.get());
    let again = waiters.take_turn();
    let has_to_wait = (!again && waiters.count() != 0)
        || others >= requests.most
        || requests.is_held.get()
        || requests.is_taken.get()
        || (request.is_alone.get() && others > 0);
    if has_to_wait {
        return wait(waiters, again);
    }
    requests.in_flight.set(others + 1);
    requests.is_taken.set(request.is_alone.get());
    request.arg.set(arg);
    request.in_call.set(true);
    call(done, ptr::from_ref(request).cast_mut().cast());
    request.in_call.set(false);
    match request.is_refused.replace(false) {
        false => Submitted::Pending,
        true if requests.in_flight.get() == 0 => Submitted::Refused(crate::Errno::ENOMEM),
        true => wait(waiters, again),
    }
}

#[cold]
fn wait(waiters: &Waiters, again: bool) -> Submitted {
    if again {
        waiters.give_turn_back();
    }
    Submitted::Full(ptr::from_ref(waiters))
}

/// What the callback of an I/O on a blob reports.
#[doc(hidden)]
pub enum IoDone {}

// SAFETY: the function passes the context of the operation on, once, unless `submit` returns that SPDK has refused it, or
// it is submitted again. Nothing else that it does runs user code.
unsafe impl Callback for IoDone {
    type Fn = sys::spdk_blob_op_complete;
    type Raw = c_int;

    fn of<K: Complete<c_int>>() -> Self::Fn {
        unsafe extern "C" fn call<K: Complete<c_int>>(arg: *mut c_void, rc: c_int) {
            // SAFETY: C gives back the context of the I/O that it ends.
            unsafe { crate::op::complete::<Io<K>, _>(arg, rc) }
        }
        Some(call::<K>)
    }
}

/// Ends an operation of kind `K` whose context is in a [`Request`], or has it wait.
struct Io<K>(PhantomData<K>);

impl<K> sealed::Sealed for Io<K> {}

impl<K: Complete<c_int>> Complete<c_int> for Io<K> {
    #[inline]
    unsafe fn complete(arg: *mut c_void, rc: c_int) {
        // SAFETY: `submit` gave C the address of a request, which the operation keeps until it has ended.
        let request = unsafe { &*arg.cast::<Request>().cast_const() };
        let requests = &request.requests;
        requests.end();
        let was_alone = request.is_alone.get();
        if was_alone {
            requests.is_taken.set(false);
        }
        let arg = request.arg.get();
        if rc == -libc::ENOMEM {
            if request.in_call.get() {
                return request.is_refused.set(true);
            }
            if !was_alone {
                request.is_alone.set(true);
                // SAFETY: this is the operation's context, which C has done with; and the request keeps the waiters.
                unsafe { K::wait(arg, &requests.waiters) };
                return requests.go_on_later();
            }
        }
        requests.go_on_later();
        // SAFETY: `submit` got this context for the operation, which ends here.
        unsafe { K::complete(arg, rc) }
    }

    unsafe fn wait(_: *mut c_void, _: &Waiters) {
        unreachable!("it is the operation that waits");
    }
}
