//! I/O commands that are passed through, and the ending of commands.
#![allow(unsafe_code)] // Submits commands with the buffers that their operations hold.

use std::ffi::{c_int, c_void};
use std::future::Future;
use std::ptr;

use super::completion::{Dwords, NvmeAdminDone, NvmeIoDone};
use super::controller::{AdminHold, NvmeController};
use super::namespace::{NamespaceHold, NvmeNamespace};
use super::qpair::{NvmeQpair, NvmeQpairObject};
use super::queue::{Queue, submit};
use super::sgl::{NvmeSglDone, Sgl, next_sge, reset_sgl};
use crate::buf::DmaBuf;
use crate::call::call;
use crate::error::{At, Fault, Result};
use crate::handle::{Hold, Subject};
use crate::io_id::NvmeIo;
use crate::local::Caller;
use crate::mem::Loan;
use crate::nvme_cmd::NvmeCmd;
use crate::op::{Callback, Complete, Submitted, op};
use crate::{Errno, sys};

type Qpair = Hold<NvmeQpairObject>;

fn length(buf: Option<&DmaBuf>) -> Result<u32, Fault> {
    let len = buf.map_or(0, DmaBuf::len);
    u32::try_from(len).map_err(|_| Fault::invalid(format!("{len} bytes are too many")))
}

fn lend(buf: Option<&mut DmaBuf>) -> Result<Option<Loan>, Fault> {
    buf.map(DmaBuf::lend_mut).transpose()
}

fn address(buf: &Option<Loan>) -> *mut c_void {
    buf.as_ref().map_or(ptr::null_mut(), Loan::as_ptr)
}

impl NvmeQpair {
    /// Passes an I/O command through, and returns dwords 0 and 1 of its completion.
    ///
    /// `buf` is what it reads or writes, as its opcode says.
    ///
    /// Wraps `spdk_nvme_ctrlr_cmd_io_raw`.
    ///
    /// # Safety
    ///
    /// The command reads and writes no memory of this host beyond `buf`.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Device`](crate::ErrorKind::Device): the controller failed it.
    /// - `ENXIO`: the connection is gone.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation but does
    /// not stop it: SPDK writes into memory that the operation keeps, and the buffer gets fresh, zeroed memory
    /// at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the queue pair.
    #[doc(alias = "spdk_nvme_ctrlr_cmd_io_raw")]
    #[doc(alias = "spdk_nvme_ctrlr_io_cmd_raw_no_payload_build")]
    pub unsafe fn io_raw<'a>(
        &'a self,
        cmd: &'a NvmeCmd,
        buf: Option<&'a mut DmaBuf>,
    ) -> impl NvmeIo<Output = Result<u64>> + use<'a> {
        let bytes = buf.as_ref().map_or(0, |buf| buf.len() as u64);
        let start = move |caller: Caller<'_>| {
            let len = length(buf.as_deref())?;
            let held = (self.handle().hold(caller)?, lend(buf)?, cmd.to_c());
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held` keeps the
            // queue pair and the buffer until then, and the command is copied. The rest is the caller's promise.
            Ok(unsafe {
                op::<NvmeIoDone, _, _>(
                    move |(qpair, buf, cmd): &mut (Qpair, Option<Loan>, _), done, arg| {
                        submit(qpair, qpair, || -> c_int {
                            let (ctrlr, qpair) = (qpair.ctrlr(), qpair.as_ptr());
                            let buf = address(buf);
                            sys::spdk_nvme_ctrlr_cmd_io_raw(ctrlr, qpair, cmd, buf, len, done, arg)
                        })
                    },
                    |_, done| done.map(Dwords::both),
                    held,
                )
            })
        };
        call(start, move || {
            At::new("spdk_nvme_ctrlr_cmd_io_raw", self).command(cmd, bytes)
        })
    }

    /// Passes an I/O command with metadata in a buffer of their own through, and returns dwords 0 and 1 of its
    /// completion.
    ///
    /// Wraps `spdk_nvme_ctrlr_cmd_io_raw_with_md`. All else is as for [`NvmeQpair::io_raw`].
    ///
    /// # Safety
    ///
    /// The command reads and writes no memory of this host beyond `buf` and `md`. SPDK takes it that `md` has
    /// the metadata of as many blocks as `buf` has.
    ///
    /// # Errors
    ///
    /// As for [`NvmeQpair::io_raw`]. A namespace that is not active is refused before C sees it.
    #[doc(alias = "spdk_nvme_ctrlr_cmd_io_raw_with_md")]
    pub unsafe fn io_raw_with_md<'a>(
        &'a self,
        cmd: &'a NvmeCmd,
        buf: &'a mut DmaBuf,
        md: &'a mut DmaBuf,
    ) -> impl NvmeIo<Output = Result<u64>> + use<'a> {
        let bytes = buf.len() as u64;
        let start = move |caller: Caller<'_>| {
            let len = length(Some(buf))?;
            let qpair = self.handle().hold(caller)?;
            is_active(&qpair, cmd.nsid)?;
            let held = (qpair, buf.lend_mut()?, md.lend_mut()?, cmd.to_c());
            // SAFETY: as for `io_raw`; the namespace is active, which C relies on.
            Ok(unsafe {
                op::<NvmeIoDone, _, _>(
                    move |(qpair, buf, md, cmd): &mut (Qpair, Loan, Loan, _), done, arg| {
                        submit(qpair, qpair, || -> c_int {
                            sys::spdk_nvme_ctrlr_cmd_io_raw_with_md(
                                qpair.ctrlr(),
                                qpair.as_ptr(),
                                cmd,
                                buf.as_ptr(),
                                len,
                                md.as_ptr(),
                                done,
                                arg,
                            )
                        })
                    },
                    |_, done| done.map(Dwords::both),
                    held,
                )
            })
        };
        call(start, move || {
            At::new("spdk_nvme_ctrlr_cmd_io_raw_with_md", self).command(cmd, bytes)
        })
    }

    /// Passes an I/O command with several buffers through, and with metadata in a buffer of their own, and
    /// returns dwords 0 and 1 of its completion.
    ///
    /// Wraps `spdk_nvme_ctrlr_cmd_iov_raw_with_md`. All else is as for [`NvmeQpair::io_raw`].
    ///
    /// # Safety
    ///
    /// The command reads and writes no memory of this host beyond `bufs` and `md`. SPDK takes it that `md` has
    /// the metadata of as many blocks as `bufs` have together.
    ///
    /// # Errors
    ///
    /// As for [`NvmeQpair::io_raw`]. With `md`, a namespace that is not active is refused before C sees it.
    #[doc(alias = "spdk_nvme_ctrlr_cmd_iov_raw_with_md")]
    pub unsafe fn iov_raw_with_md<'a>(
        &'a self,
        cmd: &'a NvmeCmd,
        bufs: &'a mut [DmaBuf],
        md: Option<&'a mut DmaBuf>,
    ) -> impl Future<Output = Result<u64>> + use<'a> {
        let bytes = crate::iovecs::total_len(bufs);
        let start = move |caller: Caller<'_>| {
            let qpair = self.handle().hold(caller)?;
            if md.is_some() {
                is_active(&qpair, cmd.nsid)?;
            }
            let held = (qpair, Sgl::fill(bufs)?, lend(md)?, cmd.to_c());
            // SAFETY: as for `io_raw_with_md`; the context is that of the scatter list.
            Ok(unsafe {
                op::<NvmeSglDone, _, _>(
                    move |(qpair, bufs, md, cmd): &mut (Qpair, Sgl, Option<Loan>, _), done, arg| {
                        submit(qpair, qpair, || -> c_int {
                            sys::spdk_nvme_ctrlr_cmd_iov_raw_with_md(
                                qpair.ctrlr(),
                                qpair.as_ptr(),
                                cmd,
                                bufs.len(),
                                address(md),
                                done,
                                bufs.start(arg),
                                Some(reset_sgl),
                                Some(next_sge),
                            )
                        })
                    },
                    |_, done| done.map(Dwords::both),
                    held,
                )
            })
        };
        call(start, move || {
            At::new("spdk_nvme_ctrlr_cmd_iov_raw_with_md", self).command(cmd, bytes)
        })
    }
}

/// C divides by the size of its blocks.
fn is_active(qpair: &Qpair, nsid: u32) -> Result<(), Fault> {
    // SAFETY: the queue pair is held, and with it its controller, on this spdk_thread.
    match unsafe { sys::spdk_nvme_ctrlr_is_active_ns(qpair.ctrlr(), nsid) } {
        true => Ok(()),
        false => Err(Fault::invalid(format!("namespace {nsid} is not active"))),
    }
}

impl NvmeNamespace {
    /// Does the I/O management operation `mo`, with `mos`, which takes the data in `payload`.
    ///
    /// It takes the place of `spdk_nvme_ns_cmd_io_mgmt_send`, which sends zeroes instead of the data.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Device`](crate::ErrorKind::Device): the controller failed it.
    /// - `ENXIO`: the connection is gone.
    /// - [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument): the update of reclaim unit handles, which is
    ///   operation 1, with less than two bytes for each of the `mos` + 1 placement identifiers. A controller of PCI Express
    ///   reads what an operation has, whatever the length of `payload`; of others this crate does not know it.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation but does
    /// not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a copy at its next
    /// mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the namespace.
    #[doc(alias = "spdk_nvme_ns_cmd_io_mgmt_send")]
    pub fn io_mgmt_send<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        payload: &'a DmaBuf,
        mo: u8,
        mos: u16,
    ) -> impl NvmeIo<Output = Result<()>> + use<'a> {
        const OPCODE: u8 = 0x1d;
        const UPDATE_HANDLES: u8 = 1;
        let start = move |caller: Caller<'_>| {
            let len = length(Some(payload))?;
            let least = match mo {
                UPDATE_HANDLES => 2 * (u32::from(mos) + 1),
                _ => 0,
            };
            if len < least {
                return Err(Fault::invalid(format!(
                    "the controller reads {least} bytes, and the buffer has {len}"
                )));
            }
            let cmd = NvmeCmd {
                nsid: self.id(),
                cdw10: u32::from(mo) | u32::from(mos) << 16,
                ..NvmeCmd::new(OPCODE)
            };
            let ns = self.hold_attached(caller)?;
            let held = (ns, self.queue(qpair, caller)?, payload.lend()?, cmd.to_c());
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held` keeps the
            // namespace, the queue pair and the buffer until then, and the command is copied. Its opcode says
            // that the controller reads the data.
            Ok(unsafe {
                op::<NvmeIoDone, _, _>(
                    move |(ns, qpair, payload, cmd): &mut (NamespaceHold, Qpair, Loan, _),
                          done,
                          arg| {
                        submit(qpair, ns, || -> c_int {
                            sys::spdk_nvme_ctrlr_cmd_io_raw(
                                qpair.ctrlr(),
                                qpair.as_ptr(),
                                cmd,
                                payload.as_ptr(),
                                len,
                                done,
                                arg,
                            )
                        })
                    },
                    |_, done| done.map(|_| ()),
                    held,
                )
            })
        };
        call(start, move || {
            At::new("spdk_nvme_ns_cmd_io_mgmt_send", self)
        })
    }
}

/// `spdk_nvme_cmd_cb` of an abort.
enum AbortDone {}

// SAFETY: that of `NvmeAdminDone`.
unsafe impl Callback for AbortDone {
    type Fn = sys::spdk_nvme_cmd_cb;
    type Raw = Result<Dwords, Fault>;
    const IS_SENT_HOME: bool = NvmeAdminDone::IS_SENT_HOME;

    fn of<K: Complete<Self::Raw>>() -> Self::Fn {
        NvmeAdminDone::of::<K>()
    }

    /// There was nothing to end.
    fn done() -> Option<Self::Raw> {
        Some(Ok(Dwords::NOT_ABORTED))
    }
}

impl NvmeController {
    /// Asks the controller to end a command of a queue pair, and returns whether it did.
    ///
    /// `io` is the command's future. It is borrowed so long, since it names the command, and is to be awaited
    /// afterwards: what became of the command is what it says. One that was ended reports the status of an
    /// aborted command.
    ///
    /// `false` says that there was nothing to end, or that the controller could not; `io` then ends by itself.
    /// A command that waits for a full queue is not ended either.
    ///
    /// Wraps `spdk_nvme_ctrlr_cmd_abort_ext`.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Device`](crate::ErrorKind::Device): the controller failed the abort.
    /// - `ENXIO`: the connection is gone.
    /// - Refused before C sees it: an `io` that was not polled yet, or has ended, and a queue pair of another
    ///   controller.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the abort but does not
    /// stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the controller.
    #[doc(alias = "spdk_nvme_ctrlr_cmd_abort_ext")]
    pub fn abort<'a, F: NvmeIo>(
        &'a self,
        qpair: &'a NvmeQpair,
        io: &'a F,
    ) -> impl Future<Output = Result<bool>> + use<'a, F> {
        let start = move |caller: Caller<'_>| {
            let held = (self.hold_admin(caller)?, self.queue(qpair, caller)?);
            let id = io.id().ok_or_else(|| {
                Fault::invalid("the command is not in flight: it was not polled yet, or has ended")
            })?;
            // SAFETY: 0 means that the callback runs once, maybe inside the call, another code that it never
            // runs; `held` keeps the controller and the queue pair until then. C compares the context of the
            // command and does nothing else with it. While its future is borrowed no other command has it.
            Ok(unsafe {
                op::<AbortDone, _, _>(
                    move |(ctrlr, qpair): &mut (AdminHold, Qpair), done, arg| {
                        if qpair.is_gone() {
                            return Submitted::Refused(Errno::ENXIO); // it has waited
                        }
                        let mut nothing = false;
                        let submitted = submit(ctrlr, ctrlr, || -> c_int {
                            if ctrlr.is_cut() {
                                return -libc::ENXIO;
                            }
                            let (ctrlr, qpair) = (ctrlr.as_ptr(), qpair.as_ptr());
                            let io = id.context();
                            let rc =
                                sys::spdk_nvme_ctrlr_cmd_abort_ext(ctrlr, qpair, io, done, arg);
                            nothing = rc == -libc::ENOENT;
                            rc
                        });
                        match nothing {
                            true => Submitted::Done,
                            false => submitted,
                        }
                    },
                    |_, done| done.map(|dwords| !dwords.is_not_aborted()),
                    held,
                )
            })
        };
        call(start, move || {
            At::new("spdk_nvme_ctrlr_cmd_abort_ext", self)
        })
    }

    /// Asks the controller to end a command by its ID, as [`NvmeEvent::TimedOut`](super::NvmeEvent::TimedOut)
    /// tells it, and returns whether it did. `qpair` is that of the command, or `None` for an admin command.
    ///
    /// Another command may have the ID by now. All else is as for [`NvmeController::abort`].
    ///
    /// Wraps `spdk_nvme_ctrlr_cmd_abort`.
    ///
    /// # Errors
    ///
    /// As for [`NvmeController::abort`].
    #[doc(alias = "spdk_nvme_ctrlr_cmd_abort")]
    pub fn abort_by_id<'a>(
        &'a self,
        qpair: Option<&'a NvmeQpair>,
        command: u16,
    ) -> impl Future<Output = Result<bool>> + use<'a> {
        let start = move |caller: Caller<'_>| {
            let qpair = qpair.map(|qpair| self.queue(qpair, caller)).transpose()?;
            let held = (self.hold_admin(caller)?, qpair);
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held` keeps the
            // controller and the queue pair until then. C passes the ID on.
            Ok(unsafe {
                op::<NvmeAdminDone, _, _>(
                    move |(ctrlr, qpair): &mut (AdminHold, Option<Qpair>), done, arg| {
                        if qpair.as_ref().is_some_and(Queue::is_gone) {
                            return Submitted::Refused(Errno::ENXIO); // it has waited
                        }
                        let qpair = qpair.as_ref().map_or(ptr::null_mut(), Hold::as_ptr);
                        submit(ctrlr, ctrlr, || -> c_int {
                            if ctrlr.is_cut() {
                                return -libc::ENXIO;
                            }
                            let ctrlr = ctrlr.as_ptr();
                            sys::spdk_nvme_ctrlr_cmd_abort(ctrlr, qpair, command, done, arg)
                        })
                    },
                    |_, done| done.map(|dwords| !dwords.is_not_aborted()),
                    held,
                )
            })
        };
        call(start, move || At::new("spdk_nvme_ctrlr_cmd_abort", self))
    }
}
