//! Block devices: what [`Bdev`] does beyond the generated calls.
#![allow(unsafe_code)] // Reads the properties of an open bdev.

use std::cell::Cell;
use std::fmt;
use std::ptr::NonNull;

pub use crate::bdev_channels::BdevChannel;
pub use crate::bdev_claim::Claim;
use crate::bdev_desc::open;
pub(crate) use crate::bdev_desc::{DescExtra, opened};
#[cfg(spdk_since_25_05)]
pub use crate::bdev_histogram::HistogramOptions;
pub use crate::bdev_histogram::{Bucket, Histogram};
pub use crate::bdev_props::{DmaDevice, DomainInfo};
pub use crate::bdev_qos::QosLimits;
pub use crate::bdev_quiesce::QuiescedRange;
pub(crate) use crate::bdev_rules::{flushes, hides_metadata, splits};
pub use crate::bdev_zcopy::Zcopy;
use crate::channel::{IoChannel, IoChannelObject};
use crate::error::{At, Describe, ErrorKind, Fault, Gone, Result};
pub use crate::generated::bdev::*;
pub use crate::generated::bdev_zone::*;
use crate::handle::{AtHome, Handle, Hold, Object, Subject};
use crate::local::{Caller, Home, begin};
pub use crate::memory_domain::{DomainMemory, DomainRange, MemoryDomain, Pull, Push};
use crate::sys;

/// A block device that exists, found by its name.
///
/// It does not own the device. It is safe to keep when the device goes away: [`Bdev::name`],
/// [`Bdev::block_size`] and [`Bdev::num_blocks`] then tell what was last known, and other calls
/// return [`ErrorKind::Gone`]. It does not delay the removal.
///
/// # How far what is on a device is trusted
///
/// SPDK examines each device that appears for partitions of GPT, logical volumes and raids, and believes what it finds. SPDK
/// 26.01 uses memory that it has freed when the second or a later partition of a disk has a GUID that another partition has, on
/// this disk or elsewhere, and reads beyond its memory for a table that was made to have it do so. Where a device may hold such
/// data, have `bdev_auto_examine` of the method `bdev_set_options` be `false` before it appears.
///
/// # Thread
///
/// `!Send` and `!Sync`: it belongs to the spdk_thread that looked it up.
#[doc(alias = "spdk_bdev")]
pub struct Bdev(Handle<BdevObject>);

/// `spdk_bdev`, kept in place by a descriptor of ours until the device is removed.
#[doc(hidden)]
pub enum BdevObject {}

#[doc(hidden)]
pub struct BdevExtra {
    desc: BdevDesc,
    block_size: u32,
    num_blocks: Cell<u64>,
}

// SAFETY: a bdev is not owned: it stays while the descriptor in `BdevExtra` is open, which is
// dropped after the release.
unsafe impl Object for BdevObject {
    type C = sys::spdk_bdev;
    type Extra = BdevExtra;
    const NAME: &'static str = "Bdev";
    unsafe fn release(_: NonNull<Self::C>, _: &Self::Extra) {}

    fn label(extra: &BdevExtra) -> String {
        format!("bdev {:?}", extra.desc.name())
    }
}

impl Bdev {
    /// Looks up a bdev by its name or one of its aliases.
    ///
    /// `None` if there is no such bdev. Also without a current spdk_thread, where nothing can be
    /// looked up; [`Bdev::find`] tells these apart.
    #[doc(alias = "spdk_bdev_get_by_name")]
    pub fn get_by_name(name: &str) -> Option<Self> {
        match Self::find(name) {
            Ok(bdev) => Some(bdev),
            Err(error) => {
                if !matches!(error.kind(), ErrorKind::NoSuchBdev { .. }) {
                    tracing::warn!(%error, "Bdev::get_by_name");
                }
                None
            }
        }
    }

    /// Looks up a bdev by its name or one of its aliases.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoSuchBdev`], [`ErrorKind::NoThread`] without a current spdk_thread, and
    /// [`ErrorKind::InvalidArgument`] for a name with a NUL byte.
    #[doc(alias = "spdk_bdev_open_ext")]
    pub fn find(name: &str) -> Result<Self> {
        let desc = open(name, false)?;
        let at = At::new("spdk_bdev_desc_get_bdev", &desc);
        let bdev = desc.handle().extra().bdev();
        let Some(bdev) = NonNull::new(bdev) else {
            return Err(Fault::gone(Gone::Removed).at(at));
        };
        // SAFETY: the bdev stays while `desc` is open, which it is.
        let (block_size, num_blocks) = unsafe {
            (
                sys::spdk_bdev_get_block_size(bdev.as_ptr()),
                sys::spdk_bdev_get_num_blocks(bdev.as_ptr()),
            )
        };
        let parent = desc.handle().clone();
        let extra = BdevExtra {
            desc,
            block_size,
            num_blocks: Cell::new(num_blocks),
        };
        // SAFETY: there is nothing to own; see `BdevObject`.
        let handle = unsafe { Handle::adopt(bdev, extra) }
            .map_err(|fault| fault.at(At::free("spdk_bdev_desc_get_bdev")))?;
        parent.extra().add_dependent(handle.downgrade());
        Ok(Bdev(handle))
    }

    /// Opens the device, for reading and, if `write`, for writing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoSuchBdev`] if it was removed meanwhile, [`ErrorKind::Errno`] with `EPERM` if
    /// another module has claimed it for itself and `write` was asked for.
    #[doc(alias = "spdk_bdev_open_ext")]
    pub fn open(&self, write: bool) -> Result<BdevDesc> {
        open(self.name(), write)
    }

    /// The name of the device.
    #[doc(alias = "spdk_bdev_get_name")]
    pub fn name(&self) -> &str {
        self.0.extra().desc.name()
    }

    /// The size of a logical block in bytes, with interleaved metadata if there is any.
    #[doc(alias = "spdk_bdev_get_block_size")]
    pub fn block_size(&self) -> u32 {
        self.0.extra().block_size
    }

    /// How many logical blocks the device has.
    #[doc(alias = "spdk_bdev_get_num_blocks")]
    pub fn num_blocks(&self) -> u64 {
        let extra = self.0.extra();
        if let Ok(bdev) = begin(|caller| self.0.get(caller)) {
            // SAFETY: `get` says that the descriptor in `extra` is open, which keeps the bdev.
            extra
                .num_blocks
                .set(unsafe { sys::spdk_bdev_get_num_blocks(bdev.as_ptr()) });
        }
        extra.num_blocks.get()
    }

    /// The size of the device in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.num_blocks().saturating_mul(self.block_size().into())
    }

    /// The C object, for calls that this crate does not wrap; null when the device is gone.
    pub fn as_ptr(&self) -> *mut sys::spdk_bdev {
        self.0.as_ptr()
    }
}

/// A bdev in the hands of an operation, with the descriptor that keeps it in place.
#[doc(hidden)]
pub struct BdevHold {
    bdev: Hold<BdevObject>,
    _desc: Hold<BdevDescObject>,
}

impl BdevHold {
    /// The object. It stays valid while the hold exists.
    pub fn as_ptr(&self) -> *mut sys::spdk_bdev {
        self.bdev.as_ptr()
    }
}

impl AtHome for BdevHold {
    fn home(&self) -> Home {
        self.bdev.home()
    }
}

impl Bdev {
    /// The device, for an operation on it.
    #[doc(hidden)]
    pub fn hold_open(&self, caller: Caller<'_>) -> Result<BdevHold, Fault> {
        Ok(BdevHold {
            bdev: self.0.hold(caller)?,
            _desc: self.0.extra().desc.handle().hold(caller)?,
        })
    }

    /// Refuses what keeps a device that is being removed: SPDK has ended it for the removal.
    #[doc(hidden)]
    pub fn stays(&self) -> Result<(), Fault> {
        let Ok(bdev) = begin(|caller| self.0.get(caller)) else {
            return Ok(()); // the call tells
        };
        // SAFETY: `get` says that the descriptor in `extra` is open, which keeps the bdev.
        let status = unsafe { (&raw const (*bdev.as_ptr()).internal.status).read_volatile() };
        match status {
            sys::SPDK_BDEV_STATUS_READY => Ok(()),
            _ => Err(Fault::gone(Gone::Removed)),
        }
    }

    /// The channel, for a call on this device.
    #[doc(hidden)]
    pub fn channel(
        &self,
        ch: &IoChannel,
        caller: Caller<'_>,
    ) -> Result<Hold<IoChannelObject>, Fault> {
        let device = self.0.get(caller)?;
        let hold = ch.handle().hold(caller)?;
        match hold.extra().device == device.as_ptr().cast_const().cast() {
            true => Ok(hold),
            false => Err(Fault::wrong_channel(ch)),
        }
    }
}

impl Subject for Bdev {
    type O = BdevObject;
    fn handle(&self) -> &Handle<BdevObject> {
        &self.0
    }
}

impl Describe for Bdev {
    fn describe(&self) -> String {
        format!("bdev {:?}", self.name())
    }
}

impl fmt::Debug for Bdev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bdev")
            .field("name", &self.name())
            .field("block_size", &self.block_size())
            .field("num_blocks", &self.num_blocks())
            .finish()
    }
}
