//! Asking the device to end an operation early.
#![allow(unsafe_code)] // Calls `spdk_bdev_abort` with the address of an operation, which C only compares.

use std::ffi::{CStr, c_void};

use crate::bdev::{BdevDesc, BdevDescObject};
use crate::call::call;
use crate::channel::{IoChannel, IoChannelObject};
use crate::chore;
use crate::errno::Errno;
use crate::error::{At, Describe, ErrorKind, Fault, Result};
use crate::handle::{Hold, Subject};
use crate::io_id::{BdevIo, IoId};
use crate::local::{Caller, begin};
use crate::op::{Callback, Complete, bdev_rc, complete, op};
use crate::sys;

/// `spdk_bdev_io_completion_cb` of an abort: whether it did what it was to do is no status of a device.
enum AbortDone {}

// SAFETY: `on_done` passes its context to `complete` once and runs no other code than SPDK's.
unsafe impl Callback for AbortDone {
    type Fn = sys::spdk_bdev_io_completion_cb;
    type Raw = bool;

    fn of<K: Complete<bool>>() -> Self::Fn {
        unsafe extern "C" fn on_done<K: Complete<bool>>(
            bdev_io: *mut sys::spdk_bdev_io,
            success: bool,
            arg: *mut c_void,
        ) {
            // SAFETY: the callback owns `bdev_io` and frees it, once, before the descriptor and the channel
            // can go; `arg` is the operation's.
            unsafe {
                sys::spdk_bdev_free_io(bdev_io);
                complete::<K, _>(arg, success);
            }
        }
        Some(on_done::<K>)
    }
}

impl BdevDesc {
    /// Asks the device to end an operation that was begun on this channel, and returns whether it did.
    ///
    /// `io` is the operation's future. It is borrowed so long, since it names the operation, and is to be
    /// awaited afterwards: what became of the operation is what it says. One that was ended early reports an
    /// error of the device, with the status of an aborted command.
    ///
    /// `true` is the word of the device that it ended what it had of the operation, or that nothing of it was
    /// left. `false` says that there was nothing to end any more, or that the device could not; `io` then ends
    /// by itself.
    ///
    /// ```
    /// # use spdk::{BdevDesc, DmaBuf, IoChannel};
    /// # use std::pin::pin;
    /// # use std::task::Poll;
    /// # async fn example(desc: &BdevDesc, ch: &IoChannel, buf: &mut DmaBuf) -> spdk::Result<()> {
    /// let mut read = pin!(desc.read(ch, buf, 0));
    /// // It is in flight from its first poll on.
    /// let first = std::future::poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx))).await;
    /// if first.is_pending() {
    ///     let ended = desc.abort(ch, &*read).await?;
    ///     let result = read.await;
    ///     println!("{ended}: {result:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Wraps `spdk_bdev_abort`.
    ///
    /// # Errors
    ///
    /// - `ENOTSUP`: the device can end no operation early, or is an error bdev: SPDK 26.01 never ends an abort there. This
    ///   is not seen of one below another bdev.
    /// - `ErrorKind::InvalidArgument`: `io` was not polled yet, or has ended.
    /// - Refused before C sees it: a channel of another device.
    ///
    /// # Cancellation
    ///
    /// The device is asked in the turn after the first poll, unless the future was dropped until then. One that is dropped later
    /// abandons the abort but does not stop it. One that is forgotten, by [`std::mem::forget`], before the device is asked ends
    /// `io`'s borrow too: if `io` has ended by then, an operation of this channel that has got its [`IoId`](crate::IoId) may be
    /// ended early instead, which that reports.
    ///
    /// # Thread
    ///
    /// The spdk_thread of the channel, which is that of the device too.
    #[doc(alias = "spdk_bdev_abort")]
    pub async fn abort<F: BdevIo>(&self, ch: &IoChannel, io: &F) -> Result<bool> {
        let (tx, rx) = oneshot::async_channel();
        let begun = begin(|caller| {
            let held = (self.handle().hold(caller)?, self.channel(ch, caller)?);
            // SAFETY: the descriptor is held, which keeps the bdev; that has a module with a name.
            let module = unsafe {
                CStr::from_ptr(sys::spdk_bdev_get_module_name(self.handle().extra().bdev()))
            };
            // The module marks its I/Os as split, so SPDK looks for their parts on a channel that has none.
            if module == c"error" {
                return Err(Fault::errno(Errno::ENOTSUP));
            }
            let id = io.id().ok_or_else(|| {
                Fault::invalid(
                    "the operation is not in flight: it was not polled yet, or has ended",
                )
            })?;
            let label = Label(self.describe());
            // Not here and now: this may be the callback of another operation, and a delay bdev that goes through a
            // list then follows what an abort frees.
            chore::finish(async move {
                // Otherwise `io` may be another operation by now.
                if !tx.is_closed() {
                    let _ = tx.send(abort(held, id, label).await);
                }
            })
        });
        begun.map_err(|fault| fault.at(At::new(CALL, self)))?;
        rx.await
            .unwrap_or_else(|_| Err(ErrorKind::Cancelled.into()))
    }
}

const CALL: &str = "spdk_bdev_abort";

type Held = (Hold<BdevDescObject>, Hold<IoChannelObject>);

/// What an error says of the device.
struct Label(String);

impl Describe for Label {
    fn describe(&self) -> String {
        self.0.clone()
    }
}

async fn abort(held: Held, id: IoId, label: Label) -> Result<bool> {
    let start = move |_: Caller<'_>| {
        // SAFETY: 0 means that the callback runs once, another code that it never runs; `held` keeps
        // the descriptor and the channel until then. C compares the context of the other operation
        // and does nothing else with it. While its future is borrowed no other operation has it.
        Ok(unsafe {
            op::<AbortDone, _, _>(
                move |(desc, ch): &mut Held, done, arg| {
                    let (desc, ch) = (desc.as_ptr(), ch.as_ptr());
                    bdev_rc(
                        sys::spdk_bdev_abort(desc, ch, id.context(), done, arg),
                        desc,
                        ch,
                    )
                },
                |_, aborted| Ok(aborted),
                held,
            )
        })
    };
    call(start, || At::new(CALL, &label)).await
}
