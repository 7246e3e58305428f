//! I/O devices of one's own: a value for each spdk_thread that uses them.
//!
//! A [`Device`] is counted by its [`IoDevice`], by its channels and by the iterations over them. Whoever
//! lets go of it last unregisters it, on its own spdk_thread: SPDK then has nothing of it to wait for,
//! and frees it in that spdk_thread's next poll. So no spdk_thread waits for another at its end.
#![allow(unsafe_code)] // The device's address is SPDK's key, and the context of its callbacks.

use std::cell::{Cell, OnceCell};
use std::ffi::{c_int, c_void};
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use crate::error::{At, Describe, Error, ErrorKind, Fault, Gone, Result};
use crate::handle::{Handle, Object};
use crate::local::{self, Here, Local, current_thread, run_caught};
use crate::shared::Shared;
use crate::thread::CurrentThread;
use crate::visits::{self, Visit};
use crate::{Errno, app, options, panic, sys, task};

/// A device of one's own: each spdk_thread that asks for its channel gets a `T`, which is made there.
///
/// It is how SPDK shares a thing between spdk_threads without a lock: a queue, a connection or a cache
/// for each of them, made when it is first asked for, kept while anybody there uses it, and visited
/// from anywhere by [`IoDevice::for_each_channel`].
///
/// ```no_run
/// use std::cell::Cell;
/// use std::sync::Arc;
/// use spdk::IoDevice;
///
/// # async fn example() -> spdk::Result<()> {
/// let requests = Arc::new(IoDevice::register("requests", || Cell::new(0))?);
/// let shared = requests.clone();
/// spdk::spawn_on(1, move || async move {
///     let counter = shared.get_channel()?;
///     counter.set(counter.get() + 1); // this spdk_thread's own
///     Ok::<_, spdk::Error>(())
/// })
/// .await??;
/// let total: u64 = requests.for_each_channel(Cell::get).await?.into_iter().sum();
/// # Ok(())
/// # }
/// ```
///
/// Dropping it unregisters the device when its channels are gone, in any order; SPDK logs a device that
/// is forgotten, and keeps it. That takes a message, as for [`IoChannel`](crate::IoChannel).
///
/// # Thread
///
/// `Send` and `Sync`, whatever `T` is: a `T` never leaves the OS thread that made it.
#[doc(alias = "spdk_io_device_register")]
pub struct IoDevice<T: 'static> {
    /// Counted.
    device: NonNull<Device<T>>,
}

// SAFETY: what is shared of a `Device` is `Sync`; a `T` is made, used and dropped on the OS thread of its
// spdk_thread, whichever has the `IoDevice`.
unsafe impl<T> Send for IoDevice<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for IoDevice<T> {}

/// What SPDK has the address of, from the registration to `unregistered`.
struct Device<T> {
    name: Box<str>,
    make: Box<dyn Fn() -> Result<T> + Send + Sync>,
    uses: AtomicUsize,
    /// Where it was registered.
    home: Arc<Shared>,
    /// Who waits for the end.
    unregistered: Mutex<Option<oneshot::Sender<()>>>,
}

/// The value of an spdk_thread. SPDK's channel has one reference, and each handle one.
struct Place<T> {
    value: OnceCell<T>,
    is_being_made: Cell<bool>,
}

impl<T> Place<T> {
    fn value(&self) -> &T {
        match self.value.get() {
            Some(value) => value,
            None => unreachable!("`get_channel` makes the value first"),
        }
    }
}

impl<T: 'static> IoDevice<T> {
    /// Registers a device whose channels are made by `make`, on their own spdk_threads. The name is for
    /// SPDK's logs and its JSON-RPC.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoThread`] without a current spdk_thread, [`ErrorKind::Gone`] while it is ending,
    /// [`ErrorKind::Option`] for a name that is empty or has a NUL byte, [`ErrorKind::Errno`] with `EAGAIN` if this
    /// spdk_thread has given back thousands of devices and channels just now.
    #[doc(alias = "spdk_io_device_register")]
    pub fn register<F>(name: &str, make: F) -> Result<Self>
    where
        F: Fn() -> T + Send + Sync + 'static,
    {
        Self::try_register(name, move || Ok(make()))
    }

    /// [`IoDevice::register`] with a function that may fail; [`IoDevice::get_channel`] then does.
    ///
    /// # Errors
    ///
    /// As for [`IoDevice::register`].
    #[doc(alias = "spdk_io_device_register")]
    pub fn try_register<F>(name: &str, make: F) -> Result<Self>
    where
        F: Fn() -> Result<T> + Send + Sync + 'static,
    {
        let c_name = options::text("name", name)?;
        let at = At::new("spdk_io_device_register", &name);
        let local = running().map_err(|fault| fault.at(at))?;
        Local::check_room().map_err(|fault| fault.at(at))?;
        let device = NonNull::from(Box::leak(Box::new(Device {
            name: name.into(),
            make: Box::new(make),
            uses: AtomicUsize::new(1),
            home: local.shared().clone(),
            unregistered: Mutex::new(None),
        })));
        // SAFETY: on the current spdk_thread. No other device has this address, which is the box's until
        // `unregistered`, after the last channel. The name is copied.
        unsafe {
            sys::spdk_io_device_register(
                device.as_ptr().cast(),
                Some(create::<T>),
                Some(destroy::<T>),
                size_of::<*const Place<T>>() as u32,
                c_name.as_ptr(),
            );
        }
        Ok(IoDevice { device })
    }

    fn device(&self) -> &Device<T> {
        // SAFETY: counted, so it is not unregistered; only `&Device` is ever made.
        unsafe { self.device.as_ref() }
    }

    /// The name that it was registered with.
    pub fn name(&self) -> &str {
        &self.device().name
    }

    /// The channel of the current spdk_thread, which is made if there is none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoThread`] without a current spdk_thread, [`ErrorKind::Gone`] while it is ending,
    /// the error of the function that makes it, [`ErrorKind::InvalidArgument`] inside of that
    /// function, [`ErrorKind::Errno`] with `ENOMEM` if SPDK has no memory for it, and with `EAGAIN` if this spdk_thread has
    /// given back thousands of channels just now.
    #[doc(alias = "spdk_get_io_channel")]
    pub fn get_channel(&self) -> Result<IoDeviceChannel<T>> {
        let at = At::new("spdk_get_io_channel", self);
        let handle = self.open().map_err(|fault| fault.at(at))?;
        let place = &handle.extra().place;
        if place.value.get().is_none() {
            struct Made<'a>(&'a Cell<bool>);
            impl Drop for Made<'_> {
                fn drop(&mut self) {
                    self.0.set(false);
                }
            }
            if place.is_being_made.replace(true) {
                let reason = "the function that makes the channel asks for it";
                return Err(Fault::invalid(reason).at(at));
            }
            let _made = Made(&place.is_being_made);
            let value = (self.device().make)()?;
            // It was empty, and nobody else makes one meanwhile.
            let _ = place.value.set(value);
        }
        Ok(IoDeviceChannel(handle))
    }

    /// The same as C takes it: a reference to put back on this spdk_thread.
    #[cfg(feature = "blob")]
    pub(crate) fn raw_channel(&self) -> Result<NonNull<sys::spdk_io_channel>> {
        let at = At::new("spdk_get_io_channel", self);
        self.get_channel()?.0.take().map_err(|fault| fault.at(at))
    }

    /// The value of this channel; that of the channel which the current spdk_thread has of this device, if it is another one's.
    ///
    /// # Safety
    /// The channel exists, and is one of the current spdk_thread.
    #[cfg(feature = "blob")]
    pub(crate) unsafe fn value_of(
        &self,
        channel: NonNull<sys::spdk_io_channel>,
    ) -> Result<ChannelValue<T>> {
        // SAFETY: passed on. A device stays where it is as long as it has a channel.
        let device = unsafe { sys::spdk_io_channel_get_io_device(channel.as_ptr()) };
        if device == self.device.as_ptr().cast() {
            // SAFETY: it is one of this device, and was made by it.
            return Ok(ChannelValue(unsafe { place(channel) }));
        }
        let own = self.get_channel()?;
        Ok(ChannelValue(own.0.extra().place.clone()))
    }

    fn open(&self) -> Result<Handle<ChannelObject<T>>, Fault> {
        running()?;
        Local::check_room()?;
        // SAFETY: on the current spdk_thread, and the device is registered.
        let channel = unsafe { sys::spdk_get_io_channel(self.device.as_ptr().cast()) };
        let channel = NonNull::new(channel).ok_or_else(|| Fault::errno(Errno::ENOMEM))?;
        // SAFETY: the channel is one of this device, and exists.
        let place = unsafe { place::<T>(channel) };
        let extra = ChannelExtra {
            place,
            name: self.device().name.clone(),
        };
        // SAFETY: this call has got the reference, on the current spdk_thread.
        unsafe { Handle::adopt(channel, extra) }
    }

    /// Runs `f` with the `T` of each spdk_thread that has one, there, one after the other; returns what
    /// it returned.
    ///
    /// Channels that come or go meanwhile may be left out. The current spdk_thread does not end before
    /// the iteration does.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoThread`] without a current spdk_thread, [`ErrorKind::Panicked`] if `f` panicked;
    /// the channels after that are left out.
    ///
    /// # Cancellation
    ///
    /// It goes on when the future is dropped; what `f` returns is dropped then, on the current
    /// spdk_thread. A future that was never polled has started nothing, and neither has one that waits for others to end,
    /// because there are more than 16,384 of them.
    #[doc(alias = "spdk_for_each_channel")]
    pub async fn for_each_channel<F, R>(&self, f: F) -> Result<Vec<R>>
    where
        F: FnMut(&T) -> R + Send + 'static,
        R: Send + 'static,
    {
        const CALL: &str = "spdk_for_each_channel";
        let at = |fault: Fault| fault.at(At::new(CALL, self));
        drop(Here::now().map_err(at)?);
        let on_its_way = visits::begin().await;
        let here = Here::now().map_err(at)?;
        let (done, wait) = oneshot::async_channel();
        self.device().uses.fetch_add(1, Relaxed);
        let iteration = Box::into_raw(Box::new(Iteration {
            f,
            device: self.device,
            outcome: Ok(Vec::new()),
            here,
            on_its_way,
            done,
        }));
        // SAFETY: on the current spdk_thread, which waits for `Here`; the device is counted, so it is
        // registered. The functions get the box, one at a time: `visit` for each channel, then `end` here,
        // once, which takes it back. What they share between OS threads is `Send`, but for `here`, which
        // only `end` uses.
        unsafe {
            sys::spdk_for_each_channel(
                self.device.as_ptr().cast(),
                Some(visit::<T, F, R>),
                iteration.cast(),
                Some(end::<T, F, R>),
            );
        }
        // `end` always sends.
        wait.await
            .unwrap_or_else(|_| Err(ErrorKind::Cancelled.into()))
    }

    /// Unregisters the device, and returns when that is done: when its last channel is gone.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoThread`] without a current spdk_thread.
    ///
    /// # Cancellation
    ///
    /// The device is unregistered all the same when the future is dropped after its first poll; before
    /// that, its drop does it.
    #[doc(alias = "spdk_io_device_unregister")]
    pub async fn unregister(self) -> Result<()> {
        running().map_err(|fault| fault.at(At::new("spdk_io_device_unregister", &self)))?;
        let (done, wait) = oneshot::async_channel();
        *lock(&self.device().unregistered) = Some(done);
        drop(self);
        wait.await.map_err(|_| ErrorKind::Cancelled.into())
    }
}

/// The current spdk_thread, if it is not ending.
fn running() -> Result<Rc<Local>, Fault> {
    let local = Local::current()?;
    match local.is_ending() {
        true => Err(Fault::gone(Gone::ThreadEnded)),
        false => Ok(local),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

impl<T> Drop for IoDevice<T> {
    fn drop(&mut self) {
        // SAFETY: it has counted itself, and goes.
        unsafe { release(self.device) };
    }
}

impl<T> Describe for IoDevice<T> {
    fn describe(&self) -> String {
        format!("io_device {:?}", self.name())
    }
}

impl<T> fmt::Debug for IoDevice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IoDevice").field(&self.name()).finish()
    }
}

/// Ends a use of a device; the last one unregisters it.
///
/// # Safety
/// The caller has counted a use, and does not use the device after.
unsafe fn release<T: 'static>(device: NonNull<Device<T>>) {
    // SAFETY: it is counted until here. `AcqRel`: the last one sees what the others did.
    if unsafe { device.as_ref() }.uses.fetch_sub(1, AcqRel) == 1 {
        drop(Last(device));
    }
}

/// A device that nobody uses any more. Its drop unregisters it.
struct Last<T: 'static>(NonNull<Device<T>>);

// SAFETY: it is the one that has the device, of which a `T` is no part.
unsafe impl<T> Send for Last<T> {}

impl<T> Drop for Last<T> {
    fn drop(&mut self) {
        let device = self.0;
        if !current_thread().is_null() {
            if let Some(local) = Local::here().filter(|local| !local.has_room()) {
                let last = Last(device);
                return local.give_back(Box::new(move || drop(last)));
            }
            // SAFETY: on the current spdk_thread. It is registered, and nobody uses it.
            unsafe {
                sys::spdk_io_device_unregister(device.as_ptr().cast(), Some(unregistered::<T>));
            }
            return Local::has_given_back();
        }
        // SAFETY: it is not unregistered yet.
        let home = unsafe { device.as_ref() }.home.clone();
        let running = [Some(home), app::app_thread()];
        match running.into_iter().flatten().find(|home| !home.is_closed()) {
            Some(home) => {
                let last = Last(device);
                // If it ends first, it drops the message, on itself.
                home.send(move || drop(last));
            }
            None => tracing::warn!("an io_device outlives the spdk_threads: it stays registered"),
        }
    }
}

unsafe extern "C" fn unregistered<T: 'static>(device: *mut c_void) {
    panic::guard("spdk_io_device_unregister", || {
        // SAFETY: leaked in `try_register`, and SPDK has let go of it.
        let device = unsafe { Box::from_raw(device.cast::<Device<T>>()) };
        let waiting = lock(&device.unregistered).take();
        run_caught("drop of an io_device", || drop(device));
        if let Some(waiting) = waiting {
            // It may have dropped its future.
            let _ = waiting.send(());
        }
    });
}

/// A place for the value, which `IoDevice::get_channel` makes: no code of the user's runs in here.
unsafe extern "C" fn create<T: 'static>(device: *mut c_void, context: *mut c_void) -> c_int {
    panic::guard("creation of a channel", || {
        let place = Rc::new(Place::<T> {
            value: OnceCell::new(),
            is_being_made: Cell::new(false),
        });
        // SAFETY: the device is registered; the context has the size of a pointer, and its alignment.
        unsafe {
            (*device.cast::<Device<T>>()).uses.fetch_add(1, Relaxed);
            context.cast::<*const Place<T>>().write(Rc::into_raw(place));
        }
        0
    })
}

unsafe extern "C" fn destroy<T: 'static>(device: *mut c_void, context: *mut c_void) {
    panic::guard("end of a channel", || {
        // SAFETY: written in `create`, on the same spdk_thread, and taken back once.
        let place = unsafe { Rc::from_raw(context.cast::<*const Place<T>>().read()) };
        local::beside(|| run_caught("drop of a channel", || drop(place)));
        if let Some(device) = NonNull::new(device.cast::<Device<T>>()) {
            // SAFETY: counted in `create`. SPDK keeps its own part until this returns.
            unsafe { release(device) };
        }
    });
}

/// What the context of a channel names.
///
/// # Safety
/// The channel is one of a device of this `T`, and exists.
unsafe fn place<T: 'static>(channel: NonNull<sys::spdk_io_channel>) -> Rc<Place<T>> {
    // SAFETY: `create` wrote it, and the context has a reference until `destroy`; this takes one more.
    unsafe {
        let context = sys::spdk_io_channel_get_ctx(channel.as_ptr());
        let place = context.cast::<*const Place<T>>().read();
        Rc::increment_strong_count(place);
        Rc::from_raw(place)
    }
}

/// The value of a channel, which this keeps from being dropped. It is dropped on the OS thread of the channel.
#[cfg(feature = "blob")]
pub(crate) struct ChannelValue<T: 'static>(Rc<Place<T>>);

#[cfg(feature = "blob")]
impl<T> Deref for ChannelValue<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.value()
    }
}

/// What an iteration takes along.
struct Iteration<T: 'static, F, R> {
    f: F,
    /// Counted.
    device: NonNull<Device<T>>,
    outcome: Result<Vec<R>>,
    here: Here,
    on_its_way: Visit,
    done: oneshot::Sender<Result<Vec<R>>>,
}

unsafe extern "C" fn visit<T: 'static, F, R>(iterator: *mut sys::spdk_io_channel_iter)
where
    F: FnMut(&T) -> R,
{
    panic::guard("spdk_for_each_channel", || {
        // SAFETY: SPDK passes its iterator, with the box of `for_each_channel` and a channel of its
        // device; nobody else has the box at the moment.
        let (f, outcome, place) = unsafe {
            let iteration =
                sys::spdk_io_channel_iter_get_ctx(iterator).cast::<Iteration<T, F, R>>();
            let channel = NonNull::new(sys::spdk_io_channel_iter_get_channel(iterator));
            let place = channel.map(|channel| place::<T>(channel));
            (&mut (*iteration).f, &mut (*iteration).outcome, place)
        };
        let mut status = 0;
        // One that is being made has no value.
        if let (Some(value), Ok(values)) =
            (place.as_ref().and_then(|p| p.value.get()), &mut *outcome)
        {
            match local::beside(|| catch_unwind(AssertUnwindSafe(|| f(value)))) {
                Ok(value) => values.push(value),
                Err(payload) => {
                    let values = mem::replace(outcome, Err(task::panicked(payload)));
                    local::beside(|| run_caught("drop of an iteration", || drop(values)));
                    status = -libc::ECANCELED;
                }
            }
        }
        // Its channel may have gone in `f`.
        local::beside(|| run_caught("drop of a channel", || drop(place)));
        // SAFETY: once for this visit, on the channel's spdk_thread.
        unsafe { sys::spdk_for_each_channel_continue(iterator, status) };
    });
}

unsafe extern "C" fn end<T: 'static, F, R>(
    iterator: *mut sys::spdk_io_channel_iter,
    status: c_int,
) {
    panic::guard("spdk_for_each_channel", || {
        // SAFETY: from `into_raw` in `for_each_channel`, taken back once, on the spdk_thread of `here`.
        let iteration = unsafe {
            let iteration = sys::spdk_io_channel_iter_get_ctx(iterator);
            Box::from_raw(iteration.cast::<Iteration<T, F, R>>())
        };
        let Iteration {
            f,
            device,
            outcome,
            here,
            on_its_way,
            done,
        } = *iteration;
        drop(on_its_way);
        let outcome = outcome.and_then(|values| match status {
            0 => Ok(values),
            status => Err(Error::errno_of(
                "spdk_for_each_channel",
                Errno::from_code(status),
            )),
        });
        run_caught("drop of an iteration", || drop(f));
        if let Err(unwanted) = done.send(outcome) {
            run_caught("drop of an iteration", || drop(unwanted));
        }
        // SAFETY: counted in `for_each_channel`.
        unsafe { release(device) };
        drop(here);
    });
}

/// The channel of an [`IoDevice`] on one spdk_thread: a handle of its `T`.
///
/// All handles of an spdk_thread share the `T`, which is dropped there when the last of them is gone. It
/// stays usable when the [`IoDevice`] is dropped, and, through handles that are kept, after the end of
/// its spdk_thread.
///
/// # Thread
///
/// `!Send` and `!Sync`. Dropped on another spdk_thread of the same OS thread, it is released at home.
#[doc(alias = "spdk_io_channel")]
pub struct IoDeviceChannel<T: 'static>(Handle<ChannelObject<T>>);

struct ChannelObject<T>(PhantomData<T>);

struct ChannelExtra<T> {
    place: Rc<Place<T>>,
    name: Box<str>,
}

// SAFETY: `spdk_put_io_channel` takes the reference that `IoDevice::open` was given.
unsafe impl<T: 'static> Object for ChannelObject<T> {
    type C = sys::spdk_io_channel;
    type Extra = ChannelExtra<T>;
    const NAME: &'static str = "IoDeviceChannel";
    const SENDS_MESSAGE: bool = true;

    unsafe fn release(channel: NonNull<Self::C>, _: &Self::Extra) {
        // SAFETY: on the channel's spdk_thread, once.
        unsafe { sys::spdk_put_io_channel(channel.as_ptr()) }
        Local::has_given_back();
    }

    fn label(extra: &Self::Extra) -> String {
        format!("channel of io_device {:?}", extra.name)
    }
}

impl<T> IoDeviceChannel<T> {
    /// The spdk_thread that it belongs to.
    #[doc(alias = "spdk_io_channel_get_thread")]
    pub fn thread(&self) -> CurrentThread {
        CurrentThread::of(self.0.local().shared().clone())
    }

    /// The C object, for calls that this crate does not wrap; null when its spdk_thread has ended.
    pub fn as_ptr(&self) -> *mut sys::spdk_io_channel {
        self.0.as_ptr()
    }
}

impl<T> Deref for IoDeviceChannel<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.extra().place.value()
    }
}

impl<T: fmt::Debug> fmt::Debug for IoDeviceChannel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IoDeviceChannel").field(&**self).finish()
    }
}
