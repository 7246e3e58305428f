//! Opening a device that may not be there yet.

use std::time::{Duration, Instant};

use crate::bdev::BdevDesc;
use crate::bdev_desc::open;
use crate::errno::Errno;
use crate::error::{At, ErrorKind, Fault, Result};
use crate::time;

/// How long it waits between two looks.
const PERIOD: Duration = Duration::from_millis(100);

impl BdevDesc {
    /// Opens a bdev by its name, for reading and, if `write`, for writing, and waits up to `patience` for
    /// it to appear.
    ///
    /// Without `patience`, the device has to be there. It looks ten times a second, as `spdk_bdev_open_async`
    /// does, which it does not call: nothing can call that off, so it would hold up the end of its spdk_thread.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::NoSuchBdev`] if it is not there, without `patience`.
    /// - `ETIMEDOUT`: it did not appear in time.
    /// - `EPERM`: `write`, and a module has claimed it for itself.
    /// - [`ErrorKind::Gone`]: the spdk_thread ends.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped looks no more.
    ///
    /// # Thread
    ///
    /// Any spdk_thread, which is the descriptor's home then.
    #[doc(alias = "spdk_bdev_open_async")]
    pub async fn open_async(name: &str, write: bool, patience: Duration) -> Result<BdevDesc> {
        let start = Instant::now();
        loop {
            match open(name, write) {
                Err(error)
                    if !patience.is_zero()
                        && matches!(error.kind(), ErrorKind::NoSuchBdev { .. }) => {}
                ended => return ended,
            }
            let left = patience.saturating_sub(start.elapsed());
            if left.is_zero() {
                let at = At::name("BdevDesc::open_async", name);
                return Err(Fault::errno(Errno::ETIMEDOUT).at(at));
            }
            time::sleep(left.min(PERIOD)).await?;
        }
    }
}
