//! Which operation of a bdev a future is.

use std::ffi::c_void;
use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;

/// The future of an operation on a bdev.
///
/// It is what the operations of [`BdevDesc`](crate::BdevDesc) return, to be awaited as any future.
/// [`BdevDesc::abort`](crate::BdevDesc::abort) asks the device to end it early.
pub trait BdevIo: Future {
    /// Which operation it is, from its first poll until it has ended.
    fn id(&self) -> Option<IoId>;
}

/// The future of an I/O command of an NVMe controller.
///
/// It is awaited as any future. [`NvmeController::abort`](crate::nvme::NvmeController::abort) asks the controller
/// to end the command early.
pub trait NvmeIo: Future {
    /// Which command it is, from its first poll until it has ended.
    fn id(&self) -> Option<IoId>;
}

/// Names an operation that is in flight, as in [`IoTimeout::id`](crate::IoTimeout::id).
///
/// Two operations in flight at the same time never have the same one. A later operation may have one
/// that an earlier one had.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct IoId(NonZeroUsize);

impl IoId {
    /// The operation that C knows by this context.
    pub(crate) fn of(context: *mut c_void) -> Option<IoId> {
        NonZeroUsize::new(context.addr()).map(IoId)
    }

    /// The context, to be compared only.
    pub(crate) fn context(self) -> *mut c_void {
        std::ptr::without_provenance_mut(self.0.get())
    }
}

impl fmt::Debug for IoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IoId({:#x})", self.0)
    }
}
