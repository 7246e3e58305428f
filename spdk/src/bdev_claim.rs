//! Claims: what others may do with a device while a descriptor is open.
#![allow(unsafe_code)] // Claims for a module that SPDK only asks for its name.

use std::cell::UnsafeCell;
use std::mem::{self, MaybeUninit};
use std::num::NonZeroU64;
use std::ptr;

use crate::bdev::BdevDesc;
use crate::errno::Errno;
use crate::error::{At, Fault, Result};
use crate::handle::Subject;
use crate::local::begin;
use crate::sys;

/// Who else may write to a device.
#[doc(alias = "spdk_bdev_claim_type")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Claim {
    /// This descriptor is the only one that may write; any may read.
    ReadManyWriteOne,
    /// Nobody may write.
    ReadManyWriteNone,
    /// Those may write that have claimed the device with the same key.
    ReadManyWriteShared {
        /// The key.
        key: NonZeroU64,
    },
}

/// The owner of the claims, of which SPDK prints the name.
#[repr(transparent)]
struct Module(UnsafeCell<sys::spdk_bdev_module>);

// SAFETY: SPDK reads the name and the functions, which nobody writes. It is in no list of modules, so what SPDK keeps in
// one is not used.
unsafe impl Sync for Module {}

static MODULE: Module = Module(UnsafeCell::new(sys::spdk_bdev_module {
    name: c"spdk (Rust)".as_ptr(),
    // SAFETY: a C struct of pointers and numbers; null is no function.
    ..unsafe { mem::zeroed() }
}));

/// For the claims of this crate.
pub(crate) fn module() -> *mut sys::spdk_bdev_module {
    ptr::from_ref(&MODULE).cast_mut().cast()
}

impl BdevDesc {
    /// Claims the device for this descriptor, until it is closed.
    ///
    /// A descriptor that was opened for reading may write after this, but for
    /// [`Claim::ReadManyWriteNone`]. What a claim forbids to others is refused where they open the device
    /// for writing, or claim it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Errno`](crate::ErrorKind::Errno) with `EPERM` if somebody else has a claim that forbids this one, or has
    /// the device open for writing where this one forbids that, and if this descriptor has one already; with `EINVAL`
    /// for [`Claim::ReadManyWriteNone`] of a descriptor that may write.
    /// [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) on another spdk_thread than the one that opened the
    /// descriptor, [`ErrorKind::Gone`](crate::ErrorKind::Gone) when the device was removed.
    #[doc(alias = "spdk_bdev_module_claim_bdev_desc")]
    pub fn claim(&self, claim: Claim) -> Result<()> {
        let at = At::new("spdk_bdev_module_claim_bdev_desc", self);
        let desc = begin(|caller| self.handle().get(caller)).map_err(|fault| fault.at(at))?;
        let (kind, key) = match claim {
            Claim::ReadManyWriteOne => (sys::SPDK_BDEV_CLAIM_READ_MANY_WRITE_ONE, 0),
            Claim::ReadManyWriteNone => (sys::SPDK_BDEV_CLAIM_READ_MANY_WRITE_NONE, 0),
            Claim::ReadManyWriteShared { key } => {
                (sys::SPDK_BDEV_CLAIM_READ_MANY_WRITE_SHARED, key.get())
            }
        };
        let mut opts = MaybeUninit::<sys::spdk_bdev_claim_opts>::zeroed();
        let size = mem::size_of::<sys::spdk_bdev_claim_opts>();
        // SAFETY: zero is a value of each field, and the size is theirs. The descriptor is open, on its spdk_thread; SPDK
        // copies the options, and keeps the module, which is a static.
        let rc = unsafe {
            sys::spdk_bdev_claim_opts_init(opts.as_mut_ptr(), size);
            (*opts.as_mut_ptr()).shared_claim_key = key;
            sys::spdk_bdev_module_claim_bdev_desc(desc.as_ptr(), kind, opts.as_mut_ptr(), module())
        };
        match rc {
            0 => Ok(()),
            rc => Err(Fault::errno(Errno::from_code(rc)).at(at)),
        }
    }
}
