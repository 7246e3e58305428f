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
use crate::waiters::Waiters;
use crate::{Errno, sys};

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
    /// With fewer in flight another one begins, without a further look: `most`, or 0 as long as there is more to it,
    /// because any of what follows is so.
    limit: Cell<usize>,
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
                limit: Cell::new(if is_held { 0 } else { most }),
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
        self.limit.set(0);
        self.in_flight.get() == 0
    }

    /// The end of [`Requests::hold`].
    pub(super) fn release(self: &Rc<Self>) {
        self.is_held.set(false);
        self.set_limit();
        self.go_on_later();
    }

    /// Those that wait, while an owner of the channel keeps it.
    pub(super) fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    fn set_limit(&self) {
        let is_shut = self.is_held.get() || self.is_taken.get() || self.waiters.count() != 0;
        self.limit.set(if is_shut { 0 } else { self.most });
    }

    /// Whether one may begin, without a further look.
    #[inline(always)]
    fn has_room(&self) -> bool {
        self.in_flight.get() < self.limit.get()
    }

    /// Whether one that counts already might begin.
    #[inline(always)]
    pub(super) fn has_had_room(&self) -> bool {
        self.in_flight.get() <= self.limit.get()
    }

    /// Counts one.
    #[inline(always)]
    pub(super) fn one_more(&self) {
        self.in_flight.set(self.in_flight.get() + 1);
    }

    /// The end of [`Requests::one_more`].
    #[inline(always)]
    pub(super) fn one_less(&self) {
        self.in_flight.set(self.in_flight.get() - 1);
    }

    /// The same for one that is not in flight any more without having ended for SPDK just now: others may wait for that.
    pub(super) fn is_over(self: &Rc<Self>) {
        self.one_less();
        if self.limit.get() == 0 {
            self.go_on_later();
        }
    }

    /// The same for one that waits. When nothing is in flight, nothing that ends would let it go on.
    pub(super) fn one_waits(self: &Rc<Self>) {
        self.one_less();
        if self.in_flight.get() == 0 && !self.is_held.get() {
            self.go_on_later();
        }
    }

    /// Whether others wait, or one is alone: 0 if so.
    #[inline(always)]
    pub(super) fn limit(&self) -> usize {
        self.limit.get()
    }

    /// Whether there is more to the end of one than that: if not, it has been done, or has failed.
    #[inline(always)]
    pub(super) fn has_more_to_do(&self, rc: c_int) -> bool {
        rc == -libc::ENOMEM || self.limit.get() == 0
    }

    /// Lets others begin after one that has ended. If SPDK had no request for a part of it, and it was not alone, it does not
    /// end, but `wait`s until it is. Returns whether it does.
    #[cold]
    pub(super) fn go_on_after(
        self: &Rc<Self>,
        rc: c_int,
        was_alone: bool,
        wait: impl FnOnce(&Waiters),
    ) -> bool {
        if was_alone {
            self.is_taken.set(false);
        }
        let waits = rc == -libc::ENOMEM && !was_alone;
        if waits {
            wait(&self.waiters);
        }
        self.set_limit();
        self.go_on_later();
        waits
    }

    /// One begins if it may, and which may want to be the only one in flight. Returns whether it has waited, and is the first
    /// of those; or nothing if it does not begin, but is to wait now.
    #[cold]
    pub(super) fn begin_in_turn(&self, is_alone: bool) -> Option<bool> {
        let again = self.waiters.take_turn();
        let others = self.in_flight.get();
        let has_to_wait = (!again && self.waiters.count() != 0)
            || others >= self.most
            || self.is_held.get()
            || self.is_taken.get()
            || (is_alone && others > 0);
        if has_to_wait {
            self.will_wait(again);
            return None;
        }
        self.is_taken.set(is_alone);
        self.set_limit();
        self.one_more();
        Some(again)
    }

    /// SPDK has refused one in the call that begins it. Waiting helps if there is another one to wait for.
    #[cold]
    fn refused(&self, again: bool) -> Submitted {
        if self.in_flight.get() == 0 {
            return Submitted::Refused(Errno::ENOMEM);
        }
        self.will_wait(again);
        Submitted::Full(&raw const self.waiters)
    }

    /// One is told to wait next.
    fn will_wait(&self, again: bool) {
        self.limit.set(0);
        if again {
            self.waiters.give_turn_back();
        }
    }

    /// Lets the waiting ones go on in the next turn of their spdk_thread. Not here and now: SPDK may take back what an I/O
    /// had when its callback returns, and a queue may go on another spdk_thread of this OS thread.
    fn go_on_later(self: &Rc<Self>) {
        if self.waiters.count() == 0 || self.will_go_on.get() {
            return;
        }
        // SAFETY: those that wait keep the channel.
        let home = unsafe { sys::spdk_io_channel_get_thread(self.channel.as_ptr()) };
        if let Some(local) = Local::of(home) {
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
// Two words, so that the compiler passes it in registers: one that is copied before its stores are done stalls the CPU.
#[doc(hidden)]
pub struct Request {
    /// Of a channel that has [`Requests`].
    hold: Hold<IoChannelObject>,
    /// The context of the operation, and what follows.
    arg: Cell<*mut c_void>,
}

// What is told of an I/O in bits that no context has: it is the address of a slot, which has pointers in it.

/// It is to be the only one in flight.
const ALONE: usize = 1;
/// The call that begins it has not returned.
const IN_CALL: usize = 2;
/// That has refused it.
const REFUSED: usize = 4;

impl Request {
    /// # Safety
    /// The channel has [`Requests`].
    #[inline]
    pub(super) unsafe fn new(hold: Hold<IoChannelObject>) -> Self {
        let arg = Cell::new(ptr::null_mut());
        Request { hold, arg }
    }

    /// The channel. It stays valid while this exists.
    #[inline]
    pub fn as_ptr(&self) -> *mut sys::spdk_io_channel {
        self.hold.as_ptr()
    }

    #[inline]
    pub(super) fn requests(&self) -> &Rc<Requests> {
        // SAFETY: the promise of `new`; nothing takes them away.
        unsafe { self.hold.extra().requests.as_ref().unwrap_unchecked() }
    }

    /// It is to be the only one in flight on the channel. It was not submitted.
    pub(super) fn be_alone(&self) {
        self.set(ALONE);
    }

    /// The context, once it was submitted.
    #[inline]
    fn context(&self) -> *mut c_void {
        let arg = self.arg.get();
        arg.map_addr(|addr| addr & !(ALONE | IN_CALL | REFUSED))
    }

    #[inline]
    fn has(&self, bit: usize) -> bool {
        self.arg.get().addr() & bit != 0
    }

    fn set(&self, bit: usize) {
        self.arg.set(self.arg.get().map_addr(|addr| addr | bit));
    }

    /// The call begins that has this context.
    #[inline]
    fn begin(&self, arg: *mut c_void) {
        let bits = IN_CALL | (self.arg.get().addr() & ALONE);
        self.arg.set(arg.map_addr(|addr| addr | bits));
    }

    /// The call has returned. Whether it has refused it.
    #[inline]
    fn end_call(&self) -> bool {
        let arg = self.arg.get();
        self.arg
            .set(arg.map_addr(|addr| addr & !(IN_CALL | REFUSED)));
        arg.addr() & REFUSED != 0
    }

    /// Lets others begin after it, and has it wait itself if SPDK had no request for it. Returns whether it does.
    ///
    /// # Safety
    /// This is inside of the callback of its operation, which is of kind `K`.
    #[cold]
    unsafe fn waits<K: Complete<c_int>>(&self, rc: c_int) -> bool {
        let requests = self.requests();
        let was_alone = self.has(ALONE);
        if rc == -libc::ENOMEM && self.has(IN_CALL) {
            if was_alone {
                requests.is_taken.set(false);
            }
            self.set(REFUSED);
            return true;
        }
        requests.go_on_after(rc, was_alone, |waiters| {
            self.set(ALONE);
            // SAFETY: this is the operation's context, which C has done with; and the channel keeps the waiters.
            unsafe { K::wait(self.context(), waiters) };
        })
    }
}

/// Calls the C function that begins an I/O, unless others wait already. One that SPDK has no request for waits too.
///
/// `call` gives C the callback and the context that it gets. Their operation holds `request`.
#[doc(hidden)]
#[inline(always)]
pub fn submit(
    request: &Request,
    done: sys::spdk_blob_op_complete,
    arg: *mut c_void,
    call: impl FnOnce(sys::spdk_blob_op_complete, *mut c_void),
) -> Submitted {
    let requests = request.requests();
    if !requests.has_room() {
        return submit_in_turn(request, done, arg, call);
    }
    requests.one_more();
    submit_now(request, done, arg, call, false)
}

/// The same for one that may want to be alone.
#[inline]
pub(super) fn submit_in_turn(
    request: &Request,
    done: sys::spdk_blob_op_complete,
    arg: *mut c_void,
    call: impl FnOnce(sys::spdk_blob_op_complete, *mut c_void),
) -> Submitted {
    let requests = request.requests();
    match requests.begin_in_turn(request.has(ALONE)) {
        Some(again) => submit_now(request, done, arg, call, again),
        None => Submitted::Full(&raw const requests.waiters),
    }
}

/// Calls the C function. It counts already.
#[inline(always)]
fn submit_now(
    request: &Request,
    done: sys::spdk_blob_op_complete,
    arg: *mut c_void,
    call: impl FnOnce(sys::spdk_blob_op_complete, *mut c_void),
    again: bool,
) -> Submitted {
    request.begin(arg);
    call(done, ptr::from_ref(request).cast_mut().cast());
    match request.end_call() {
        false => Submitted::Pending,
        true => request.requests().refused(again),
    }
}

/// What the callback of an I/O on a blob reports.
#[doc(hidden)]
pub enum IoDone {}

// SAFETY: the function passes the context of the operation on, once, unless `submit` returns that SPDK has refused it, or
// it is submitted again. Nothing else that it does runs user code.
unsafe impl Callback for IoDone {
    type Fn = sys::spdk_blob_op_complete;
    type Raw = c_int;
    // SPDK does nothing with the blob after the callback of an I/O on it. What it does with the channel is allowed: one
    // that is given back in the callback stays there until a message.
    const RESUMES: bool = true;

    #[inline]
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
        let requests = request.requests();
        requests.one_less();
        // SAFETY: the operation ends here.
        if requests.has_more_to_do(rc) && unsafe { request.waits::<K>(rc) } {
            return;
        }
        // SAFETY: `submit` got this context for the operation, which ends here.
        unsafe { K::complete(request.context(), rc) }
    }

    unsafe fn wait(_: *mut c_void, _: &Waiters) {
        unreachable!("it is the operation that waits");
    }
}
