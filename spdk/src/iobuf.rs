//! The pools of I/O buffers that all of SPDK shares.
//!
//! The application's framework has a pool of small buffers and one of large ones, which bdev modules
//! take from and wait for. A [`Channel`] takes from them for a task: [`Channel::get`] allocates nothing
//! of SPDK's memory, and waits when there is no buffer.
//!
//! ```no_run
//! # use spdk::{BdevDesc, IoChannel};
//! # async fn example(desc: &BdevDesc, io: &IoChannel) -> spdk::Result<()> {
//! spdk::iobuf::register_module("copy")?; // on the app thread
//! let pool = spdk::iobuf::Channel::new("copy", 16, 4)?;
//! let mut buf = pool.get(4096).await?;
//! desc.read(io, &mut buf, 0).await?;
//! drop(buf); // to the pool, and to whoever waits for it
//! # Ok(())
//! # }
//! ```
#![allow(unsafe_code)] // Owns `spdk_iobuf_channel`s, and waits with entries that SPDK links.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ffi::{CStr, c_void};
use std::fmt;
use std::future::poll_fn;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};

use crate::each::on_app_thread;
use crate::env::{self, Phase};
use crate::error::{At, Describe, ErrorKind, Fault, Gone, Result};
use crate::handle::{Handle, Hold, Object};
use crate::local::{Here, Local, begin, run_caught};
use crate::mem::Mem;
use crate::shared::Shared;
use crate::{DmaBuf, Errno, options, panic, sys};

/// The modules of [`register_module`]. Those of SPDK's look for entries of their own kind among all that
/// wait in their names.
static MODULES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn modules() -> MutexGuard<'static, BTreeSet<String>> {
    MODULES.lock().unwrap_or_else(|e| e.into_inner())
}

/// How many channels an spdk_thread has at most, with those of the poll groups of targets. SPDK has room for 64,
/// those of its own modules included, and follows a null pointer where there is none.
pub(crate) const MOST: u32 = 32;

/// How SPDK aligns the buffers of its pools.
const ALIGN: usize = 4096;

/// Makes a module of this name known, under which channels are made and counted. It stays known.
///
/// # Errors
///
/// [`ErrorKind::WrongThread`] elsewhere than on the app thread, [`ErrorKind::Option`] for a name that is
/// empty or has a NUL byte, [`ErrorKind::Errno`] with `EEXIST` for one that is known already.
#[doc(alias = "spdk_iobuf_register_module")]
pub fn register_module(name: &str) -> Result<()> {
    let at = At::new("spdk_iobuf_register_module", &name);
    let c_name = options::text("name", name)?;
    on_app_thread().map_err(|fault| fault.at(at))?;
    // SAFETY: on the app thread, as SPDK's own modules call it: its list of modules has no lock, grows at
    // its end, and does not shrink before the framework ends. The name is copied.
    match unsafe { sys::spdk_iobuf_register_module(c_name.as_ptr()) } {
        0 => {
            modules().insert(name.to_owned());
            Ok(())
        }
        rc => Err(Fault::errno(Errno::from_code(rc)).at(at)),
    }
}

/// The sizes of the pools. They are set by the RPC `iobuf_set_options` in the application's
/// configuration.
#[doc(alias = "spdk_iobuf_opts")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pools {
    /// How many small buffers there are.
    pub small_count: u64,
    /// How many large buffers there are.
    pub large_count: u64,
    /// The size of a small buffer in bytes.
    pub small_size: u32,
    /// The size of a large buffer in bytes: the most that [`Channel::get`] gives.
    pub large_size: u32,
}

/// The sizes of the application's pools.
///
/// # Errors
///
/// [`ErrorKind::NotInitialised`] without a running application.
#[doc(alias = "spdk_iobuf_get_opts")]
pub fn pools() -> Result<Pools> {
    app_runs("spdk_iobuf_get_opts")?;
    let mut opts = MaybeUninit::<sys::spdk_iobuf_opts>::zeroed();
    // SAFETY: zeroes are valid for every field; SPDK fills in what is as large as we say.
    let opts = unsafe {
        sys::spdk_iobuf_get_opts(opts.as_mut_ptr(), size_of::<sys::spdk_iobuf_opts>() as _);
        opts.assume_init()
    };
    Ok(Pools {
        small_count: opts.small_pool_count,
        large_count: opts.large_pool_count,
        small_size: opts.small_bufsize,
        large_size: opts.large_bufsize,
    })
}

fn app_runs(operation: &'static str) -> Result<()> {
    match env::phase() {
        Phase::App => Ok(()),
        _ => Err(ErrorKind::NotInitialised { operation }.into()),
    }
}

/// Where the buffers of a module came from.
#[doc(alias = "spdk_iobuf_module_stats")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModuleStats {
    /// The module.
    pub module: String,
    /// The small buffers that it got.
    pub small: PoolStats,
    /// The large ones.
    pub large: PoolStats,
}

/// Where the buffers of one size came from.
#[doc(alias = "spdk_iobuf_pool_stats")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// From the cache of a channel.
    pub from_cache: u64,
    /// From the pool that all channels share.
    pub from_pool: u64,
    /// How often there was none.
    pub waited: u64,
}

/// The statistics of each module, summed over the spdk_threads.
///
/// # Errors
///
/// [`ErrorKind::NoThread`] without a current spdk_thread, [`ErrorKind::NotInitialised`] without a running
/// application, [`ErrorKind::Errno`] with `ENOMEM` if SPDK has no memory for them.
#[doc(alias = "spdk_iobuf_get_stats")]
pub async fn stats() -> Result<Vec<ModuleStats>> {
    const CALL: &str = "spdk_iobuf_get_stats";
    let here = Here::now().map_err(|fault| fault.at(At::free(CALL)))?;
    app_runs(CALL)?;
    let (done, wait) = oneshot::async_channel();
    let asked = Box::into_raw(Box::new(Asked { done, here }));
    // SAFETY: on the current spdk_thread, which waits for `Here`. The callback comes there, once, and takes
    // the box back.
    let rc = unsafe { sys::spdk_iobuf_get_stats(Some(on_stats), asked.cast()) };
    if rc != 0 {
        // SAFETY: the callback does not come.
        drop(unsafe { Box::from_raw(asked) });
        return Err(Fault::errno(Errno::from_code(rc)).at(At::free(CALL)));
    }
    wait.await.map_err(|_| ErrorKind::Cancelled.into())
}

/// Who waits for the statistics.
struct Asked {
    done: oneshot::Sender<Vec<ModuleStats>>,
    here: Here,
}

unsafe extern "C" fn on_stats(
    modules: *mut sys::spdk_iobuf_module_stats,
    count: u32,
    asked: *mut c_void,
) {
    panic::guard("spdk_iobuf_get_stats", || {
        // SAFETY: from `into_raw` in `stats`, taken back once, on the same spdk_thread. The list has `count`
        // modules, whose names are C strings, during this call.
        let (asked, modules) = unsafe {
            let asked = Box::from_raw(asked.cast::<Asked>());
            let modules = (0..count as usize).map(|index| {
                let stats = modules.add(index).read();
                let name = CStr::from_ptr(stats.module).to_string_lossy().into_owned();
                (name, stats)
            });
            (asked, modules)
        };
        let pool = |stats: sys::spdk_iobuf_pool_stats| PoolStats {
            from_cache: stats.cache,
            from_pool: stats.main,
            waited: stats.retry,
        };
        let stats = modules.map(|(module, stats)| ModuleStats {
            module,
            small: pool(stats.small_pool),
            large: pool(stats.large_pool),
        });
        // It may have dropped its future.
        let _ = asked.done.send(stats.collect());
        drop(asked.here);
    });
}

/// Takes buffers from the pools, on one spdk_thread, for one module.
///
/// Its buffers are [`DmaBuf`]s like others: of 4096 bytes alignment, zeroed, `Send`, and safe to drop with
/// an operation in flight. They go back to the pools through their channel, on its spdk_thread, from
/// wherever they are dropped.
///
/// A buffer keeps its channel, and its channel its spdk_thread: the end of the spdk_thread, and of the
/// application, waits for the buffers that are out. A buffer that is leaked holds it up until SPDK is
/// [abandoned](crate::SpdkAppBuilder::shutdown_patience).
///
/// # Thread
///
/// `!Send` and `!Sync`. On another spdk_thread of the same OS thread its methods fail with
/// [`ErrorKind::WrongThread`], and a drop sends the release home.
#[doc(alias = "spdk_iobuf_channel")]
pub struct Channel(Handle<ChannelObject>);

/// `spdk_iobuf_channel`, given back with `spdk_iobuf_channel_fini`.
pub(crate) enum ChannelObject {}

pub(crate) struct ChannelExtra {
    module: Box<str>,
    local: Rc<Local>,
    largest: usize,
    /// By the addresses of their entries.
    waiting: RefCell<Vec<Rc<Waiter>>>,
}

// SAFETY: `spdk_iobuf_channel_fini` takes back what `Channel::new` has initialised. The entries that wait
// are taken out of SPDK's queue first; the buffers that are out have a `Hold`.
unsafe impl Object for ChannelObject {
    type C = sys::spdk_iobuf_channel;
    type Extra = ChannelExtra;
    const NAME: &'static str = "iobuf::Channel";
    const SENDS_MESSAGE: bool = true;

    unsafe fn release(channel: NonNull<Self::C>, extra: &Self::Extra) {
        let waiting = extra.waiting.take();
        for waiter in &waiting {
            // SAFETY: on the channel's spdk_thread, which it still has.
            unsafe { waiter.cancel(channel) };
        }
        // SAFETY: as above, once. Nothing waits, and no buffer is out. It is the box of `Channel::new`.
        unsafe {
            sys::spdk_iobuf_channel_fini(channel.as_ptr());
            Local::has_given_back();
            drop(Box::from_raw(channel.as_ptr()));
        }
        let count = extra.local.iobuf_channels();
        count.set(count.get() - 1);
        for waker in waiting.iter().filter_map(|waiter| waiter.waker.take()) {
            run_caught("wake", || waker.wake());
        }
    }

    fn label(extra: &Self::Extra) -> String {
        format!("iobuf channel of module {:?}", extra.module)
    }
}

/// A future that waits for a buffer. SPDK links its entry.
#[repr(C)]
struct Waiter {
    entry: std::cell::UnsafeCell<MaybeUninit<sys::spdk_iobuf_entry>>,
    len: usize,
    state: Cell<State>,
    waker: Cell<Option<Waker>>,
}

#[derive(Clone, Copy)]
enum State {
    /// The entry is in SPDK's queue.
    Waiting,
    /// It has a buffer, which the future has not taken.
    Ready(NonNull<c_void>),
    /// The future has taken it, or there is none.
    Ended,
}

impl Waiter {
    fn entry(&self) -> *mut sys::spdk_iobuf_entry {
        self.entry.get().cast()
    }

    /// Waits no more, and gives back what it has.
    ///
    /// # Safety
    /// `channel` is the one that it waits on, on its spdk_thread.
    unsafe fn cancel(&self, channel: NonNull<sys::spdk_iobuf_channel>) {
        let (channel, len) = (channel.as_ptr(), self.len as _);
        match self.state.replace(State::Ended) {
            // SAFETY: the entry is in the queue, for this length.
            State::Waiting => unsafe { sys::spdk_iobuf_entry_abort(channel, self.entry(), len) },
            // SAFETY: the buffer is from this channel, of this length, and nobody has it.
            State::Ready(buffer) => unsafe { sys::spdk_iobuf_put(channel, buffer.as_ptr(), len) },
            State::Ended => {}
        }
    }
}

unsafe extern "C" fn on_buffer(entry: *mut sys::spdk_iobuf_entry, buffer: *mut c_void) {
    panic::guard("spdk_iobuf_get_cb", || {
        // SAFETY: the entry is the first field of a `Waiter`, which its channel keeps while it waits.
        let waiter = unsafe { &*entry.cast::<Waiter>().cast_const() };
        if let Some(buffer) = NonNull::new(buffer) {
            waiter.state.set(State::Ready(buffer));
        }
        if let Some(waker) = waiter.waker.take() {
            run_caught("wake", || waker.wake());
        }
    });
}

impl Channel {
    /// A channel of the current spdk_thread, with buffers of its own: it keeps so many small and large
    /// ones at hand, and takes them from the pools now. An spdk_thread has 32 of them at most, the poll groups of
    /// NVMe-oF targets included.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoThread`] without a current spdk_thread, [`ErrorKind::Gone`] while it is ending,
    /// [`ErrorKind::NotInitialised`] without a running application, [`ErrorKind::Option`] for a name that
    /// is empty or has a NUL byte, [`ErrorKind::Errno`] with `ENODEV` for a module that
    /// [`register_module`] has not made known, with `ENOMEM` if the pools have too few buffers for the cache or
    /// there are too many channels, with `EAGAIN` if this spdk_thread has given back thousands of channels just now.
    #[doc(alias = "spdk_iobuf_channel_init")]
    pub fn new(module: &str, small_cache: u32, large_cache: u32) -> Result<Self> {
        let at = At::new("spdk_iobuf_channel_init", &module);
        let c_module = options::text("module", module)?;
        let local = Local::current().map_err(|fault| fault.at(at))?;
        let largest = pools()?.large_size as usize;
        if !modules().contains(module) {
            return Err(Fault::errno(Errno::ENODEV).at(at));
        }
        Local::check_room().map_err(|fault| fault.at(at))?;
        let count = local.iobuf_channels().get();
        if count == MOST {
            return Err(Fault::errno(Errno::ENOMEM).at(at));
        }
        let channel = Box::into_raw(Box::<sys::spdk_iobuf_channel>::default());
        // SAFETY: on the current spdk_thread, in a running application. It stays in its box, whose address
        // SPDK keeps, until `release`.
        let rc = unsafe {
            sys::spdk_iobuf_channel_init(channel, c_module.as_ptr(), small_cache, large_cache)
        };
        if rc != 0 {
            // SAFETY: SPDK has nothing of it.
            drop(unsafe { Box::from_raw(channel) });
            return Err(Fault::errno(Errno::from_code(rc)).at(at));
        }
        local.iobuf_channels().set(count + 1);
        let extra = ChannelExtra {
            local,
            module: module.into(),
            largest,
            waiting: RefCell::default(),
        };
        // SAFETY: initialised above, on the current spdk_thread; a box is not null.
        let handle = unsafe { Handle::adopt(NonNull::new_unchecked(channel), extra) };
        handle.map(Channel).map_err(|fault| fault.at(at))
    }

    /// A buffer of `len` bytes, or `None` if there is none now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongThread`] on another spdk_thread, [`ErrorKind::Gone`] when that has ended,
    /// [`ErrorKind::InvalidArgument`] for 0 bytes or more than a [large buffer](Pools::large_size) has.
    #[doc(alias = "spdk_iobuf_get")]
    pub fn try_get(&self, len: usize) -> Result<Option<DmaBuf>> {
        let at = At::new("spdk_iobuf_get", self);
        let hold = self.hold(len).map_err(|fault| fault.at(at))?;
        // SAFETY: on the channel's spdk_thread; without an entry it does not wait.
        let buffer = unsafe { sys::spdk_iobuf_get(hold.as_ptr(), len as _, ptr::null_mut(), None) };
        // SAFETY: it is from this channel, and nobody else's.
        Ok(NonNull::new(buffer).map(|buffer| unsafe { lend(self.0.local(), hold, buffer, len) }))
    }

    /// A buffer of `len` bytes; waits while there is none. Those who wait on an spdk_thread are served in
    /// turn, SPDK's own modules among them, from what is given back on it.
    ///
    /// # Errors
    ///
    /// As for [`Channel::try_get`].
    ///
    /// # Cancellation
    ///
    /// It waits no more when the future is dropped, and a buffer that has come goes to the next. A future
    /// that is forgotten keeps what comes for it until the channel is dropped.
    #[doc(alias = "spdk_iobuf_get")]
    pub async fn get(&self, len: usize) -> Result<DmaBuf> {
        let at = At::new("spdk_iobuf_get", self);
        let begun = self.begin_get(len).map_err(|fault| fault.at(at))?;
        let wait = match begun {
            Begun::Got(buf) => return Ok(buf),
            Begun::Waits(wait) => wait,
        };
        poll_fn(|cx| {
            let waiter = &wait.waiter;
            match waiter.state.get() {
                State::Waiting => {
                    let old = waiter.waker.replace(Some(cx.waker().clone()));
                    drop(old);
                    // It may have come in the clone, which is the user's code.
                    if !matches!(waiter.state.get(), State::Waiting) {
                        cx.waker().wake_by_ref();
                    }
                    Poll::Pending
                }
                State::Ready(buffer) => {
                    let hold = begin(|caller| self.0.hold(caller)).map_err(|f| f.at(at))?;
                    waiter.state.set(State::Ended);
                    // SAFETY: SPDK gave it for this channel and length, and it was nobody else's.
                    Poll::Ready(Ok(unsafe { lend(self.0.local(), hold, buffer, len) }))
                }
                State::Ended => Poll::Ready(Err(Fault::gone(Gone::ThreadEnded).at(at))),
            }
        })
        .await
    }

    fn begin_get(&self, len: usize) -> Result<Begun<'_>, Fault> {
        let hold = self.hold(len)?;
        let waiter = Rc::new(Waiter {
            entry: std::cell::UnsafeCell::new(MaybeUninit::zeroed()),
            len,
            state: Cell::new(State::Waiting),
            waker: Cell::new(None),
        });
        let entry = Rc::as_ptr(&waiter).cast_mut().cast();
        // SAFETY: on the channel's spdk_thread. The entry stays where it is until the callback or the
        // abort: `waiting` has a reference to it until then.
        let buffer =
            unsafe { sys::spdk_iobuf_get(hold.as_ptr(), len as _, entry, Some(on_buffer)) };
        if let Some(buffer) = NonNull::new(buffer) {
            // SAFETY: it is from this channel, and nobody else's.
            let buf = unsafe { lend(self.0.local(), hold, buffer, len) };
            return Ok(Begun::Got(buf));
        }
        self.0.extra().waiting.borrow_mut().push(waiter.clone());
        Ok(Begun::Waits(Wait {
            channel: self,
            waiter,
        }))
    }

    fn hold(&self, len: usize) -> Result<Hold<ChannelObject>, Fault> {
        let largest = self.0.extra().largest;
        if len == 0 || len > largest {
            return Err(Fault::invalid(format!(
                "a buffer of {len} bytes; the pools have buffers of 1 to {largest}"
            )));
        }
        begin(|caller| self.0.hold(caller))
    }

    /// How many calls of [`Channel::get`] wait for a buffer.
    #[doc(alias = "spdk_iobuf_for_each_entry")]
    pub fn waiting(&self) -> usize {
        let waiting = self.0.extra().waiting.borrow();
        let waits = |waiter: &&Rc<Waiter>| matches!(waiter.state.get(), State::Waiting);
        waiting.iter().filter(waits).count()
    }

    /// The C object, for calls that this crate does not wrap; null when its spdk_thread has ended.
    pub fn as_ptr(&self) -> *mut sys::spdk_iobuf_channel {
        self.0.as_ptr()
    }
}

enum Begun<'a> {
    Got(DmaBuf),
    Waits(Wait<'a>),
}

/// A future's share of a [`Waiter`].
struct Wait<'a> {
    channel: &'a Channel,
    waiter: Rc<Waiter>,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let handle = &self.channel.0;
        let mut waiting = handle.extra().waiting.borrow_mut();
        waiting.retain(|waiter| !Rc::ptr_eq(waiter, &self.waiter));
        drop(waiting);
        let Some(hold) = handle.hold_shut() else {
            return; // the channel is gone, and nothing waits
        };
        let waiter = self.waiter.clone();
        let cancel = move || {
            if let Some(channel) = NonNull::new(hold.as_ptr()) {
                // SAFETY: run on the channel's spdk_thread; the hold keeps the channel.
                unsafe { waiter.cancel(channel) };
            }
        };
        if handle.local().is_current() {
            cancel();
        } else {
            // Another spdk_thread of the same OS thread, since the channel is not `Send`. The entry is in
            // what is sent home.
            handle.local().defer(Box::new(cancel));
        }
    }
}

/// Makes a buffer of what the pool gave.
///
/// # Safety
/// `buffer` was got through the channel, whose spdk_thread `local` is, for `len` bytes, and is the caller's.
unsafe fn lend(
    local: &Rc<Local>,
    hold: Hold<ChannelObject>,
    buffer: NonNull<c_void>,
    len: usize,
) -> DmaBuf {
    // SAFETY: it has `len` bytes, which are nobody else's. They are what the last user left.
    unsafe { buffer.cast::<u8>().write_bytes(0, len) };
    let lent = Lent {
        hold: ManuallyDrop::new(hold),
        home: local.shared().clone(),
    };
    // SAFETY: zeroed above; `lent` takes it back.
    DmaBuf::of(unsafe { Mem::lent(buffer.cast(), len, ALIGN, lent) })
}

/// How a buffer goes back to its pool. What is left of it without that, SPDK keeps.
pub(crate) struct Lent {
    /// Used and dropped on its own spdk_thread only.
    hold: ManuallyDrop<Hold<ChannelObject>>,
    home: Arc<Shared>,
}

// SAFETY: what is not `Send` of it is used on its own OS thread only, and nowhere dropped.
unsafe impl Send for Lent {}
// SAFETY: there is nothing to do with a `&Lent`.
unsafe impl Sync for Lent {}

impl Lent {
    /// Gives the buffer back, on its spdk_thread.
    ///
    /// # Safety
    /// It is the buffer of this `Lent`, of `len` bytes, and nobody uses it any more.
    pub(crate) unsafe fn give_back(self, buffer: NonNull<u8>, len: usize) {
        struct Return(Lent, NonNull<u8>, usize);
        // SAFETY: the buffer is its own; for the rest see `Lent`.
        unsafe impl Send for Return {}
        impl Return {
            /// # Safety
            /// On the spdk_thread of the channel.
            unsafe fn end(self) {
                let Return(lent, buffer, len) = self;
                let hold = ManuallyDrop::into_inner(lent.hold);
                // SAFETY: the hold keeps the channel; the buffer is from it, of this length.
                unsafe {
                    sys::spdk_iobuf_put(hold.as_ptr(), buffer.as_ptr().cast(), len as _);
                }
            }
        }
        let home = self.home.clone();
        let buffer = Return(self, buffer, len);
        match Local::here() {
            // SAFETY: the current spdk_thread is the channel's.
            Some(local) if Arc::ptr_eq(local.shared(), &home) => unsafe { buffer.end() },
            _ => {
                // SAFETY: it runs on the channel's spdk_thread, which the hold keeps.
                if !home.send(move || unsafe { buffer.end() }) {
                    tracing::warn!("a buffer of a pool outlives its spdk_thread: it is leaked");
                }
            }
        }
    }
}

impl Describe for Channel {
    fn describe(&self) -> String {
        ChannelObject::label(self.0.extra())
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("iobuf::Channel")
            .field(&self.0.extra().module)
            .finish()
    }
}
