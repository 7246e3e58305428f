//! Descriptors of block devices: what [`BdevDesc`] does beyond the generated calls.
#![allow(unsafe_code)] // Adopts the channel of a descriptor, and closes it when its device goes.

use std::cell::{Cell, OnceCell, RefCell};
use std::ffi::CStr;
use std::fmt;
use std::ptr::{self, NonNull};

use crate::bdev::{Bdev, BdevDesc, BdevDescObject, BdevEvent, MediaEvent};
use crate::bdev_events::{self, IoTimeout};
use crate::bdev_io::BdevIoDone;
use crate::bdev_qos::{self, get_io_channel};
use crate::bdev_rules::Rules;
use crate::channel::{ChannelOwner, IoChannel, IoChannelObject};
use crate::errno::Errno;
use crate::error::{At, Describe, ErrorKind, Fault, Gone, Result};
use crate::events::EventHub;
use crate::handle::{Handle, Hold, Object, Subject, WeakHandle};
use crate::local::{Caller, begin};
use crate::op::{Operation, bdev_rc, op};
use crate::sys;
use crate::task;

/// What a descriptor keeps beside the C object.
#[doc(hidden)]
pub struct DescExtra {
    hub: EventHub<BdevEvent>,
    bdev: Cell<*mut sys::spdk_bdev>,
    rules: OnceCell<Rules>,
    timeouts: OnceCell<EventHub<IoTimeout>>,
    media: EventHub<MediaEvent>,
    name: OnceCell<Box<str>>,
    dependents: RefCell<Vec<Box<dyn Dependent>>>,
}

/// What has to go before a descriptor can be closed.
trait Dependent {
    fn shut(&self, why: Gone);
    fn revoke_if_idle(&self, why: Gone) -> bool;
    fn is_gone(&self) -> bool;
}

impl<O: Object> Dependent for WeakHandle<O> {
    fn shut(&self, why: Gone) {
        WeakHandle::shut(self, why);
    }
    fn revoke_if_idle(&self, why: Gone) -> bool {
        WeakHandle::revoke_if_idle(self, why)
    }
    fn is_gone(&self) -> bool {
        WeakHandle::is_gone(self)
    }
}

impl DescExtra {
    pub(crate) fn new(hub: EventHub<BdevEvent>) -> Self {
        DescExtra {
            hub,
            bdev: Cell::new(ptr::null_mut()),
            rules: OnceCell::new(),
            timeouts: OnceCell::new(),
            media: EventHub::new(),
            name: OnceCell::new(),
            dependents: RefCell::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.name.get().map_or("", |name| name)
    }

    pub(crate) fn label(&self) -> String {
        format!("bdev {:?}", self.name())
    }

    /// What the device is like. Nothing is refused until it is opened.
    #[inline]
    pub(crate) fn rules(&self) -> &Rules {
        self.rules.get().unwrap_or(&Rules::UNKNOWN)
    }

    pub(crate) fn hub(&self) -> &EventHub<BdevEvent> {
        &self.hub
    }

    /// Once asked for, it stays as long as the descriptor: SPDK has its address.
    pub(crate) fn timeouts(&self) -> &EventHub<IoTimeout> {
        self.timeouts.get_or_init(EventHub::new)
    }

    /// Null until it is opened.
    pub(crate) fn bdev(&self) -> *mut sys::spdk_bdev {
        self.bdev.get()
    }

    pub(crate) fn media(&self) -> &EventHub<MediaEvent> {
        &self.media
    }

    pub(crate) fn add_dependent<O: Object>(&self, dependent: WeakHandle<O>) {
        let mut dependents = self.dependents.borrow_mut();
        dependents.retain(|dependent| !dependent.is_gone());
        dependents.push(Box::new(dependent));
    }
}

impl ChannelOwner for Handle<BdevDescObject> {
    fn bdev_desc(&self) -> Option<&Handle<BdevDescObject>> {
        Some(self)
    }

    fn reset(&self, ch: Hold<IoChannelObject>) {
        let Some(desc) = self.hold_shut() else {
            return;
        };
        let submit = |(desc, ch): &mut (Hold<BdevDescObject>, Hold<IoChannelObject>), done, arg| {
            let (desc, ch) = (desc.as_ptr(), ch.as_ptr());
            // SAFETY: both are held until the callback, and this is their spdk_thread.
            bdev_rc(
                unsafe { sys::spdk_bdev_reset(desc, ch, done, arg) },
                desc,
                ch,
            )
        };
        // SAFETY: `spdk_bdev_reset` calls back once if it returns 0, else never, and uses nothing
        // but the two objects, which the operation holds.
        let reset = unsafe { op::<BdevIoDone, _, _>(submit, |_, done| done, (desc, ch)) };
        // That the operations end is its result: a future is not needed.
        // SAFETY: nobody has polled it.
        unsafe { reset.op.detach() };
    }
}

/// Opens a descriptor; a name that no bdev has is its own error.
pub(crate) fn open(name: &str, write: bool) -> Result<BdevDesc> {
    BdevDesc::open_ext(name, write).map_err(|error| match error.errno() {
        Some(Errno::ENODEV) => ErrorKind::NoSuchBdev {
            name: name.to_owned(),
        }
        .into(),
        _ => error,
    })
}

/// Completes a descriptor that was just opened: its name, and what happens when its device goes.
pub(crate) fn opened(desc: &BdevDesc) {
    let handle = desc.handle();
    let extra = handle.extra();
    // SAFETY: the descriptor is open, which keeps the bdev, and a bdev has a name.
    let name = unsafe {
        let bdev = sys::spdk_bdev_desc_get_bdev(handle.as_ptr());
        extra.bdev.set(bdev);
        let _ = extra.rules.set(Rules::of(handle.as_ptr(), bdev)); // it was empty
        CStr::from_ptr(sys::spdk_bdev_get_name(bdev))
    };
    let _ = extra.name.set(name.to_string_lossy().into());
    let weak = handle.downgrade();
    let local = handle.local().clone();
    extra.hub.set_hook(move |event| {
        if *event == BdevEvent::MediaManagement
            && let Some(desc) = weak.upgrade()
        {
            bdev_events::take_media_events(&desc);
        }
        if *event == BdevEvent::Remove {
            weak.shut(Gone::Removed);
            let weak = weak.clone();
            // The removal goes on when the descriptor is closed, and it can be closed when the
            // operations in flight have ended.
            drop(task::spawn_on(&local, async move {
                while !let_go(&weak) {
                    task::yield_now().await;
                }
            }));
        }
    });
    if let Ok(desc) = begin(|caller| handle.hold(caller)) {
        bdev_qos::opened(&desc);
    }
}

/// Closes what depends on a descriptor, then the descriptor. Returns whether all of it is closed.
fn let_go(desc: &WeakHandle<BdevDescObject>) -> bool {
    let why = Gone::Removed;
    let Some(handle) = desc.upgrade() else {
        return true;
    };
    let mut dependents = handle.extra().dependents.borrow_mut();
    dependents.iter().for_each(|dependent| dependent.shut(why));
    dependents.retain(|dependent| !dependent.revoke_if_idle(why));
    let all_gone = dependents.is_empty() && desc.revoke_if_idle(why);
    if all_gone {
        handle.extra().hub.close();
        handle.extra().media.close();
        if let Some(timeouts) = handle.extra().timeouts.get() {
            timeouts.close();
        }
    }
    all_gone
}

impl BdevDesc {
    /// Opens a bdev by its name, for reading and, if `write`, for writing.
    ///
    /// # Errors
    ///
    /// As for [`Bdev::open`].
    #[doc(alias = "spdk_bdev_open_ext")]
    pub fn open(name: &str, write: bool) -> Result<Self> {
        open(name, write)
    }

    /// Gets the device's I/O channel of the current spdk_thread.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Errno`] with `ENOMEM` if the device could not make one, and with `EAGAIN` while a call of
    /// [`Bdev::set_qos_limits`], or of the method `bdev_set_qos_limit`, ends the device's limits; in
    /// [interrupt mode](crate::SpdkAppBuilder::interrupt_mode) with `EMFILE` or `ENFILE` if few file descriptors are left,
    /// and with `EAGAIN` if this spdk_thread has given back thousands of channels just now;
    /// [`ErrorKind::WrongThread`] on another spdk_thread than the one that opened the descriptor,
    /// [`ErrorKind::Gone`] when the device was removed.
    #[doc(alias = "spdk_bdev_get_io_channel")]
    pub fn get_io_channel(&self) -> Result<IoChannel> {
        let at = At::new("spdk_bdev_get_io_channel", self);
        let desc = begin(|caller| self.handle().get(caller)).map_err(|fault| fault.at(at))?;
        let extra = self.handle().extra();
        // SAFETY: the descriptor is open, on its spdk_thread, and keeps the bdev.
        let ch = unsafe { get_io_channel(desc.as_ptr(), extra.bdev.get()) };
        let ch = ch.map_err(|fault| fault.at(at))?;
        let ch = NonNull::new(ch).ok_or_else(|| Fault::errno(Errno::ENOMEM).at(at))?;
        let owner = Box::new(self.handle().clone());
        let name = self.describe().into();
        // SAFETY: the reference was just taken, on this spdk_thread; `owner` keeps the device open.
        let ch = unsafe { IoChannel::adopt(ch, extra.bdev.get().cast_const().cast(), name, owner) }
            .map_err(|fault| fault.at(at))?;
        extra.add_dependent(ch.handle().downgrade());
        Ok(ch)
    }

    /// The device.
    ///
    /// # Errors
    ///
    /// As for [`Bdev::find`].
    #[doc(alias = "spdk_bdev_desc_get_bdev")]
    pub fn bdev(&self) -> Result<Bdev> {
        Bdev::find(self.name())
    }

    /// The name of the device.
    pub fn name(&self) -> &str {
        self.handle().extra().name()
    }

    /// The C object, for calls that this crate does not wrap; null when the device is gone.
    pub fn as_ptr(&self) -> *mut sys::spdk_bdev_desc {
        self.handle().as_ptr()
    }

    /// The channel, for an operation on this device.
    #[doc(hidden)]
    #[inline]
    pub fn channel(
        &self,
        ch: &IoChannel,
        caller: Caller<'_>,
    ) -> Result<Hold<IoChannelObject>, Fault> {
        // First, since the address of a device that is gone may be another device's by now.
        let hold = ch.handle().hold(caller)?;
        if hold.extra().device == self.handle().extra().bdev.get().cast_const().cast() {
            Ok(hold)
        } else {
            Err(Fault::wrong_channel(ch))
        }
    }
}

impl Describe for BdevDesc {
    fn describe(&self) -> String {
        self.handle().describe()
    }

    fn extent(&self) -> Option<(u64, u32)> {
        self.handle().extent()
    }
}

impl Describe for Handle<BdevDescObject> {
    fn describe(&self) -> String {
        self.extra().label()
    }

    fn extent(&self) -> Option<(u64, u32)> {
        begin(|caller| self.get(caller)).ok()?;
        let bdev = self.extra().bdev.get();
        // SAFETY: the descriptor is open, as just seen, which keeps the bdev.
        Some(unsafe {
            (
                sys::spdk_bdev_get_num_blocks(bdev),
                self.extra().rules().vector_block_size(),
            )
        })
    }
}

impl fmt::Debug for BdevDesc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BdevDesc").field(&self.name()).finish()
    }
}
