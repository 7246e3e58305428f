//! What a descriptor reports beside the events of its device: late I/Os, and events of the medium.
#![allow(unsafe_code)] // Gives SPDK the address of a hub that stays as long as the descriptor.

use std::ffi::c_void;
use std::time::Duration;

use crate::bdev::{BdevDesc, BdevDescObject, BdevIoType, MediaEvent};
use crate::error::{At, Fault, Range, Result};
use crate::events::{Events, emit};
use crate::handle::{Handle, Subject};
use crate::io_id::IoId;
use crate::local::begin;
use crate::op::status;
use crate::sys;

/// How many events of the medium are taken at a time.
const MEDIA_EVENTS: usize = 16;

/// An I/O that takes longer than the time limit of its descriptor: an item of
/// [`BdevDesc::timeouts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IoTimeout {
    /// Which I/O: that of the future whose [`BdevIo::id`](crate::BdevIo::id) is the same.
    pub id: Option<IoId>,
    /// What it does.
    pub io_type: BdevIoType,
    /// The blocks that it addresses, if it addresses some.
    pub range: Option<Range>,
    /// When it was submitted, in [`ticks`](crate::ticks).
    pub submitted: u64,
}

impl IoTimeout {
    /// # Safety
    /// `io` is an I/O in flight, on the current spdk_thread.
    unsafe fn of(io: *mut sys::spdk_bdev_io) -> Self {
        // SAFETY: passed on; the union has blocks in I/Os of these kinds.
        unsafe {
            let io_type = BdevIoType::from_raw((*io).type_.into());
            let has_blocks = matches!(
                io_type,
                BdevIoType::Read
                    | BdevIoType::Write
                    | BdevIoType::Unmap
                    | BdevIoType::Flush
                    | BdevIoType::WriteZeroes
                    | BdevIoType::WriteUncorrectable
                    | BdevIoType::Zcopy
                    | BdevIoType::ZoneAppend
                    | BdevIoType::Compare
                    | BdevIoType::CompareAndWrite
                    | BdevIoType::Copy
            );
            IoTimeout {
                id: IoId::of(sys::spdk_bdev_io_get_cb_arg(io)),
                io_type,
                range: has_blocks.then(|| Range::Blocks {
                    offset: (*io).u.bdev.offset_blocks,
                    count: (*io).u.bdev.num_blocks,
                }),
                submitted: sys::spdk_bdev_io_get_submit_tsc(io),
            }
        }
    }
}

unsafe extern "C" fn on_timeout(hub: *mut c_void, io: *mut sys::spdk_bdev_io) {
    // SAFETY: SPDK reports late I/Os of a descriptor until it is closed, on their own spdk_thread: the
    // descriptor's, since a channel is used with descriptors of its spdk_thread only. The hub is in the
    // descriptor's data, which outlives it.
    unsafe { emit(hub, IoTimeout::of(io)) }
}

impl BdevDesc {
    /// Has SPDK report the I/Os of this descriptor that take longer than `limit`, or none any more.
    ///
    /// [`BdevDesc::timeouts`] gives the reports. SPDK looks once a second, and reports an I/O each time
    /// that it finds it late. It does nothing else: [`BdevDesc::abort`] and [`BdevDesc::reset`] end I/Os
    /// early. `limit` counts in whole seconds, and a part of one as a whole.
    ///
    /// Wraps `spdk_bdev_set_timeout`.
    ///
    /// # Errors
    ///
    /// - `ErrorKind::InvalidArgument`: a limit of 0.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_bdev_set_timeout")]
    pub fn set_timeout(&self, limit: Option<Duration>) -> Result<()> {
        let result = begin(|caller| {
            let desc = self.handle().get(caller)?;
            let seconds = match limit {
                Some(Duration::ZERO) => {
                    return Err(Fault::invalid("a time limit of 0; `None` ends the reports"));
                }
                // A clock that overflows is never late.
                Some(limit) => limit
                    .as_secs()
                    .saturating_add(u64::from(limit.subsec_nanos() > 0))
                    .min(u64::from(u32::MAX)),
                None => 0,
            };
            let hub = self.handle().extra().timeouts().arg();
            // SAFETY: the descriptor is open, on its spdk_thread. The hub stays where it is until the
            // descriptor is closed, also when there is no limit any more.
            status(unsafe {
                sys::spdk_bdev_set_timeout(desc.as_ptr(), seconds, Some(on_timeout), hub)
            })
        });
        result.map_err(|fault| fault.at(At::new("spdk_bdev_set_timeout", self)))
    }

    /// The I/Os that take too long, from now on, until the descriptor is closed.
    ///
    /// [`BdevDesc::set_timeout`] says how long that is; without it there are none.
    pub fn timeouts(&self) -> Events<IoTimeout> {
        self.handle().extra().timeouts().subscribe()
    }

    /// The parts of the medium that the device asks to move data away from, from now on, until the
    /// descriptor is closed.
    ///
    /// They come with [`BdevEvent::MediaManagement`](crate::BdevEvent::MediaManagement), to one
    /// descriptor of the device that is open for writing.
    #[doc(alias = "spdk_bdev_get_media_events")]
    pub fn media_events(&self) -> Events<MediaEvent> {
        self.handle().extra().media().subscribe()
    }
}

/// Hands on what the device says of its medium. Called inside the event's callback.
pub(crate) fn take_media_events(desc: &Handle<BdevDescObject>) {
    let ptr = desc.as_ptr();
    if ptr.is_null() {
        return;
    }
    let mut events = [MediaEvent::zero(); MEDIA_EVENTS];
    loop {
        // SAFETY: the descriptor is open, and SPDK is in its event callback; the array has so many
        // elements.
        let count = unsafe {
            sys::spdk_bdev_get_media_events(ptr, events.as_mut_ptr(), MEDIA_EVENTS as _) as usize
        };
        for event in events.iter().take(count) {
            // SAFETY: the hub is in the descriptor's data, on its spdk_thread.
            unsafe { emit(desc.extra().media().arg(), MediaEvent::from_c(event)) };
        }
        if count < MEDIA_EVENTS {
            return;
        }
    }
}
