// @generated from api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! Test. Wrappers of `spdk/nvme.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

use core::ffi::{c_int, c_void};
use crate::__private::{self as rt, sys};
use crate::nvme::NvmeController;
use crate::nvme::NvmeQpair;
use crate::nvme::NvmeNamespace;

rt::assert_not_send_sync!(NvmeController);

rt::assert_not_send_sync!(NvmeQpair);

rt::assert_not_send_sync!(NvmeNamespace);

const _: unsafe extern "C" fn(*mut sys::spdk_nvme_ns) -> u32 = sys::spdk_nvme_ns_get_md_size;

impl NvmeNamespace {
    /// Returns at once.
    ///
    /// Wraps `spdk_nvme_ns_get_md_size`.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_get_md_size")]
    pub fn md_size(&self) -> rt::Result<u32> {
        let at = move |fault: rt::Fault| {
            fault.at(rt::At::new("spdk_nvme_ns_get_md_size", self))
        };
        let result = rt::begin(|_| {
            let ns = self.raw()?;
            // SAFETY: `ns` may be used now and here; C keeps nothing after the call.
            Ok(unsafe { sys::spdk_nvme_ns_get_md_size(ns.as_ptr()) })
        });
        result.map_err(at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    *mut c_void,
    u64,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
    u32,
) -> c_int = sys::spdk_nvme_ns_cmd_read;

impl NvmeNamespace {
    /// Reads, and waits if the queue is full.
    ///
    /// Wraps `spdk_nvme_ns_cmd_read`.
    ///
    /// # Errors
    ///
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller, a buffer whose length is not
    ///   that of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_read")]
    pub fn read<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        payload: &'a mut rt::DmaBuf,
        lba: u64,
        lba_count: u32,
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_nvme_ns_cmd_read", self).blocks(lba, lba_count as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            rt::check_len(
                payload.len() as u64,
                u64::from(lba_count),
                self.block_size_of()?,
            )?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair` and `payload` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair, payload), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_read(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                payload.as_ptr(),
                                lba,
                                lba_count,
                                done,
                                arg,
                                0,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        payload.lend_mut()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    u64,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
    u32,
    sys::spdk_nvme_req_reset_sgl_cb,
    sys::spdk_nvme_req_next_sge_cb,
    *mut c_void,
    u16,
    u16,
) -> c_int = sys::spdk_nvme_ns_cmd_writev_with_md;

impl NvmeNamespace {
    /// Writes a scatter list, and tells when the queue is full.
    ///
    /// Wraps `spdk_nvme_ns_cmd_writev_with_md`.
    ///
    /// # Errors
    ///
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller, buffers that do not fit into
    ///   commands of whole blocks, a buffer whose length is not that of the range.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a
    /// copy at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_writev_with_md")]
    pub fn writev_with_md<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        bufs: &'a [rt::DmaBuf],
        lba: u64,
        lba_count: u32,
        io_flags: u32,
        metadata: &'a rt::DmaBuf,
        apptag_mask: u16,
        apptag: u16,
    ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvme_ns_cmd_writev_with_md", self);
        let start = move |caller: rt::Caller<'_>| {
            rt::check_len(
                rt::total_len(bufs),
                u64::from(lba_count),
                self.block_size_of()?,
            )?;
            rt::check_len(
                metadata.len() as u64,
                u64::from(lba_count),
                self.md_size_of()?,
            )?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair`, `bufs` and `metadata` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::SglDone, _, _>(
                    move |(ns, qpair, bufs, metadata), done, arg| {
                        rt::Submitted::rc(
                            sys::spdk_nvme_ns_cmd_writev_with_md(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                lba,
                                lba_count,
                                done,
                                bufs.start(arg),
                                io_flags,
                                Some(rt::nvme::reset_sgl),
                                Some(rt::nvme::next_sge),
                                metadata.as_ptr(),
                                apptag_mask,
                                apptag,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        self.gather(rt::nvme::Sgl::drain(bufs)?)?,
                        metadata.lend()?,
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ns,
    *mut sys::spdk_nvme_qpair,
    u32,
    *const sys::spdk_nvme_dsm_range,
    u16,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvme_ns_cmd_dataset_management;

impl NvmeNamespace {
    /// Takes structs.
    ///
    /// Wraps `spdk_nvme_ns_cmd_dataset_management`.
    ///
    /// # Errors
    ///
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ns_cmd_dataset_management")]
    pub fn dataset_management<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        type_: u32,
        ranges: &'a [crate::nvme::DsmRange],
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvme_ns_cmd_dataset_management", self);
        let start = move |caller: rt::Caller<'_>| {
            let num_ranges = u16::try_from(ranges.len())
                .map_err(|_| rt::Fault::invalid("`ranges` is too long for the call"))?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair` and `ranges` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair, ranges), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_ns_cmd_dataset_management(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                type_,
                                ranges.as_ptr(),
                                num_ranges,
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        ranges.iter().map(|one| one.to_c()).collect::<Vec<_>>(),
                    ),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_nvme_ctrlr,
    u8,
    u32,
    *mut c_void,
    u32,
    u64,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvme_ctrlr_cmd_get_log_page;

impl NvmeController {
    /// Is an admin command.
    ///
    /// Wraps `spdk_nvme_ctrlr_cmd_get_log_page`.
    ///
    /// # Errors
    ///
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a buffer of another length.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it: SPDK writes into memory that the operation keeps, and the buffer gets
    /// fresh, zeroed memory at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the handle.
    #[doc(alias = "spdk_nvme_ctrlr_cmd_get_log_page")]
    pub fn get_log_page<'a>(
        &'a self,
        log_page: u8,
        nsid: u32,
        payload: &'a mut rt::DmaBuf,
        offset: u64,
    ) -> impl rt::Future<Output = rt::Result<u32>> + use<'a> {
        let payload_size = (payload.len() as u64) as u32;
        let at = move || rt::At::new("spdk_nvme_ctrlr_cmd_get_log_page", self);
        let start = move |caller: rt::Caller<'_>| {
            rt::check_multiple(payload.len(), 4u32)?;
            rt::check_len(payload.len() as u64, payload_size as u64, 1)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ctrlr` and `payload` until then. The `spdk_bdev_io` is ours in the callback,
            // until `io` is dropped.
            Ok(unsafe {
                rt::op::<rt::nvme::AdminDone, _, _>(
                    move |(ctrlr, payload), done, arg| {
                        rt::nvme::submit(
                            ctrlr,
                            ctrlr,
                            || sys::spdk_nvme_ctrlr_cmd_get_log_page(
                                ctrlr.as_ptr(),
                                log_page,
                                nsid,
                                payload.as_ptr(),
                                payload_size,
                                offset,
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, done| done.map(rt::nvme::Dwords::first),
                    (self.hold_admin(caller)?, payload.lend_mut()?),
                )
            })
        };
        rt::call(start, at)
    }
}
