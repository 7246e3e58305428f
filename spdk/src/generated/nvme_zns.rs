// @generated from spdk-api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! Zoned namespaces. Wrappers of `spdk/nvme_zns.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

use core::ffi::{c_int, c_void};
use crate::__private::{self as rt, sys};
use crate::nvme::NvmeQpair;
use crate::nvme::NvmeNamespace;

/// Which zones are reported.
///
/// The C enum is `spdk_nvme_zns_zra_report_opts`.
#[doc(alias = "spdk_nvme_zns_zra_report_opts")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReportZones {
    /// All.
    #[doc(alias = "SPDK_NVME_ZRA_LIST_ALL")]
    All,
    /// Those that are empty.
    #[doc(alias = "SPDK_NVME_ZRA_LIST_ZSE")]
    Empty,
    /// Those that a write has opened.
    #[doc(alias = "SPDK_NVME_ZRA_LIST_ZSIO")]
    ImplicitlyOpen,
    /// Those that were opened.
    #[doc(alias = "SPDK_NVME_ZRA_LIST_ZSEO")]
    ExplicitlyOpen,
    /// Those that are closed.
    #[doc(alias = "SPDK_NVME_ZRA_LIST_ZSC")]
    Closed,
    /// Those that are full.
    #[doc(alias = "SPDK_NVME_ZRA_LIST_ZSF")]
    Full,
    /// Those that can only be read.
    #[doc(alias = "SPDK_NVME_ZRA_LIST_ZSRO")]
    ReadOnly,
    /// Those that are offline.
    #[doc(alias = "SPDK_NVME_ZRA_LIST_ZSO")]
    Offline,
    /// A value that this crate has no name for.
    Unknown(u32),
}

const _: () = {
    assert!(sys::SPDK_NVME_ZRA_LIST_ALL.0 == 0);
    assert!(sys::SPDK_NVME_ZRA_LIST_ZSE.0 == 1);
    assert!(sys::SPDK_NVME_ZRA_LIST_ZSIO.0 == 2);
    assert!(sys::SPDK_NVME_ZRA_LIST_ZSEO.0 == 3);
    assert!(sys::SPDK_NVME_ZRA_LIST_ZSC.0 == 4);
    assert!(sys::SPDK_NVME_ZRA_LIST_ZSF.0 == 5);
    assert!(sys::SPDK_NVME_ZRA_LIST_ZSRO.0 == 6);
    assert!(sys::SPDK_NVME_ZRA_LIST_ZSO.0 == 7);
};

impl ReportZones {
    /// The value of this number.
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            0 => Self::All,
            1 => Self::Empty,
            2 => Self::ImplicitlyOpen,
            3 => Self::ExplicitlyOpen,
            4 => Self::Closed,
            5 => Self::Full,
            6 => Self::ReadOnly,
            7 => Self::Offline,
            raw => Self::Unknown(raw),
        }
    }

    /// The number of this value.
    pub const fn to_raw(self) -> u32 {
        match self {
            Self::All => 0,
            Self::Empty => 1,
            Self::ImplicitlyOpen => 2,
            Self::ExplicitlyOpen => 3,
            Self::Closed => 4,
            Self::Full => 5,
            Self::ReadOnly => 6,
            Self::Offline => 7,
            Self::Unknown(raw) => raw,
        }
    }

    #[allow(dead_code, reason = "not every enum comes from C here")]
    pub(crate) const fn from_c(raw: sys::spdk_nvme_zns_zra_report_opts) -> Self {
        Self::from_raw(raw.0)
    }

    #[allow(dead_code, reason = "not every enum goes to C here")]
    pub(crate) const fn to_c(self) -> sys::spdk_nvme_zns_zra_report_opts {
        sys::spdk_nvme_zns_zra_report_opts(self.to_raw())
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
) -> c_int = sys::spdk_nvme_zns_zone_append;

impl NvmeNamespace {
    /// Appends `lba_count` blocks of `buffer` to the zone that begins at block `zslba`, and returns
    /// the block that they begin at. A namespace that keeps metadata apart from the data refuses
    /// it: [`NvmeNamespace::zone_append_with_md`] has a buffer for them.
    ///
    /// Wraps `spdk_nvme_zns_zone_append`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: there are more blocks than the controller appends at once, or it does not
    ///   append.
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller, a buffer whose length is not
    ///   that of the range.
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
    #[doc(alias = "spdk_nvme_zns_zone_append")]
    pub fn zone_append<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        buffer: &'a rt::DmaBuf,
        zslba: u64,
        lba_count: u32,
    ) -> impl rt::NvmeIo<Output = rt::Result<u64>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_nvme_zns_zone_append", self)
                .blocks(zslba, lba_count as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            rt::check_len(
                buffer.len() as u64,
                u64::from(lba_count),
                self.whole_block_size_of()?,
            )?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair` and `buffer` until then. The `spdk_bdev_io` is ours in the
            // callback, until `io` is dropped.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair, buffer), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_zns_zone_append(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                buffer.as_ptr(),
                                zslba,
                                lba_count,
                                done,
                                arg,
                                0,
                            ),
                        )
                    },
                    |_, done| done.map(rt::nvme::Dwords::both),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        buffer.lend()?,
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
    *mut c_void,
    *mut c_void,
    u64,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
    u32,
    u16,
    u16,
) -> c_int = sys::spdk_nvme_zns_zone_append_with_md;

impl NvmeNamespace {
    /// Appends `lba_count` blocks of `buffer` to the zone that begins at block `zslba`, and returns
    /// the block that they begin at.
    ///
    /// `metadata` has exactly the metadata of these blocks, [`NvmeNamespace::md_size`] bytes each.
    /// `io_flags` are bits of [`NvmeIoFlags`](crate::nvme::NvmeIoFlags). `apptag_mask` and `apptag`
    /// say which bits of the application tag are checked, and for what.
    ///
    /// Wraps `spdk_nvme_zns_zone_append_with_md`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: there are more blocks than the controller appends at once, or it does not
    ///   append.
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller, a buffer whose length is not
    ///   that of the range.
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
    #[doc(alias = "spdk_nvme_zns_zone_append_with_md")]
    pub fn zone_append_with_md<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        buffer: &'a rt::DmaBuf,
        metadata: &'a rt::DmaBuf,
        zslba: u64,
        lba_count: u32,
        io_flags: u32,
        apptag_mask: u16,
        apptag: u16,
    ) -> impl rt::NvmeIo<Output = rt::Result<u64>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_nvme_zns_zone_append_with_md", self)
                .blocks(zslba, lba_count as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.takes_flags(io_flags)?;
            rt::check_len(
                buffer.len() as u64,
                u64::from(lba_count),
                self.block_size_of()?,
            )?;
            rt::check_len(
                metadata.len() as u64,
                u64::from(lba_count),
                self.md_size_of()?,
            )?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair`, `buffer` and `metadata` until then. The `spdk_bdev_io` is ours
            // in the callback, until `io` is dropped.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair, buffer, metadata), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_zns_zone_append_with_md(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                buffer.as_ptr(),
                                metadata.as_ptr(),
                                zslba,
                                lba_count,
                                done,
                                arg,
                                io_flags,
                                apptag_mask,
                                apptag,
                            ),
                        )
                    },
                    |_, done| done.map(rt::nvme::Dwords::both),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        buffer.lend()?,
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
    u64,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
    u32,
    sys::spdk_nvme_req_reset_sgl_cb,
    sys::spdk_nvme_req_next_sge_cb,
) -> c_int = sys::spdk_nvme_zns_zone_appendv;

impl NvmeNamespace {
    /// Appends `lba_count` blocks of several buffers to the zone that begins at block `zslba`, and
    /// returns the block that they begin at. A namespace that keeps metadata apart from the data
    /// refuses it: [`NvmeNamespace::zone_appendv_with_md`] has a buffer for them.
    ///
    /// Wraps `spdk_nvme_zns_zone_appendv`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: there are more blocks than the controller appends at once, or it does not
    ///   append.
    /// - `ENXIO`: the connection is gone.
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
    #[doc(alias = "spdk_nvme_zns_zone_appendv")]
    pub fn zone_appendv<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        bufs: &'a [rt::DmaBuf],
        zslba: u64,
        lba_count: u32,
    ) -> impl rt::Future<Output = rt::Result<u64>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_nvme_zns_zone_appendv", self)
                .blocks(zslba, lba_count as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            rt::check_len(
                rt::total_len(bufs),
                u64::from(lba_count),
                self.whole_block_size_of()?,
            )?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair` and `bufs` until then. The `spdk_bdev_io` is ours in the
            // callback, until `io` is dropped.
            Ok(unsafe {
                rt::op::<rt::nvme::SglDone, _, _>(
                    move |(ns, qpair, bufs), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_zns_zone_appendv(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                zslba,
                                lba_count,
                                done,
                                bufs.start(arg),
                                0,
                                Some(rt::nvme::reset_sgl),
                                Some(rt::nvme::next_sge),
                            ),
                        )
                    },
                    |_, done| done.map(rt::nvme::Dwords::both),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        self.gather(rt::nvme::Sgl::drain(bufs)?)?,
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
) -> c_int = sys::spdk_nvme_zns_zone_appendv_with_md;

impl NvmeNamespace {
    /// Appends `lba_count` blocks of several buffers to the zone that begins at block `zslba`, and
    /// returns the block that they begin at.
    ///
    /// `metadata` has exactly the metadata of these blocks, [`NvmeNamespace::md_size`] bytes each.
    /// `io_flags` are bits of [`NvmeIoFlags`](crate::nvme::NvmeIoFlags). `apptag_mask` and `apptag`
    /// say which bits of the application tag are checked, and for what.
    ///
    /// Wraps `spdk_nvme_zns_zone_appendv_with_md`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: there are more blocks than the controller appends at once, or it does not
    ///   append.
    /// - `ENXIO`: the connection is gone.
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
    #[doc(alias = "spdk_nvme_zns_zone_appendv_with_md")]
    pub fn zone_appendv_with_md<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        bufs: &'a [rt::DmaBuf],
        zslba: u64,
        lba_count: u32,
        io_flags: u32,
        metadata: &'a rt::DmaBuf,
        apptag_mask: u16,
        apptag: u16,
    ) -> impl rt::Future<Output = rt::Result<u64>> + use<'a> {
        let at = move || {
            rt::At::new("spdk_nvme_zns_zone_appendv_with_md", self)
                .blocks(zslba, lba_count as u64)
        };
        let start = move |caller: rt::Caller<'_>| {
            self.takes_flags(io_flags)?;
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
            // keeps `ns`, `qpair`, `bufs` and `metadata` until then. The `spdk_bdev_io` is ours in
            // the callback, until `io` is dropped.
            Ok(unsafe {
                rt::op::<rt::nvme::SglDone, _, _>(
                    move |(ns, qpair, bufs, metadata), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_zns_zone_appendv_with_md(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                zslba,
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
                    |_, done| done.map(rt::nvme::Dwords::both),
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
    u64,
    bool,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvme_zns_close_zone;

impl NvmeNamespace {
    /// Closes the zone that begins at block `slba`; or all zones for which that makes sense, if
    /// `select_all`.
    ///
    /// Wraps `spdk_nvme_zns_close_zone`.
    ///
    /// # Errors
    ///
    /// - `ENXIO`: the connection is gone.
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
    #[doc(alias = "spdk_nvme_zns_close_zone")]
    pub fn close_zone<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        slba: u64,
        select_all: bool,
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvme_zns_close_zone", self).block(slba);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns` and `qpair` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_zns_close_zone(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                slba,
                                select_all,
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (self.hold_attached(caller)?, self.queue(qpair, caller)?),
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
    bool,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvme_zns_finish_zone;

impl NvmeNamespace {
    /// Finishes the zone that begins at block `slba`; or all zones for which that makes sense, if
    /// `select_all`.
    ///
    /// Wraps `spdk_nvme_zns_finish_zone`.
    ///
    /// # Errors
    ///
    /// - `ENXIO`: the connection is gone.
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
    #[doc(alias = "spdk_nvme_zns_finish_zone")]
    pub fn finish_zone<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        slba: u64,
        select_all: bool,
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvme_zns_finish_zone", self).block(slba);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns` and `qpair` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_zns_finish_zone(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                slba,
                                select_all,
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (self.hold_attached(caller)?, self.queue(qpair, caller)?),
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
    bool,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvme_zns_open_zone;

impl NvmeNamespace {
    /// Opens the zone that begins at block `slba`; or all zones for which that makes sense, if
    /// `select_all`.
    ///
    /// Wraps `spdk_nvme_zns_open_zone`.
    ///
    /// # Errors
    ///
    /// - `ENXIO`: the connection is gone.
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
    #[doc(alias = "spdk_nvme_zns_open_zone")]
    pub fn open_zone<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        slba: u64,
        select_all: bool,
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvme_zns_open_zone", self).block(slba);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns` and `qpair` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_zns_open_zone(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                slba,
                                select_all,
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (self.hold_attached(caller)?, self.queue(qpair, caller)?),
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
    bool,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvme_zns_reset_zone;

impl NvmeNamespace {
    /// Resets the zone that begins at block `slba`; or all zones for which that makes sense, if
    /// `select_all`.
    ///
    /// Wraps `spdk_nvme_zns_reset_zone`.
    ///
    /// # Errors
    ///
    /// - `ENXIO`: the connection is gone.
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
    #[doc(alias = "spdk_nvme_zns_reset_zone")]
    pub fn reset_zone<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        slba: u64,
        select_all: bool,
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvme_zns_reset_zone", self).block(slba);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns` and `qpair` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_zns_reset_zone(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                slba,
                                select_all,
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (self.hold_attached(caller)?, self.queue(qpair, caller)?),
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
    bool,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvme_zns_offline_zone;

impl NvmeNamespace {
    /// Takes offline the zone that begins at block `slba`; or all zones for which that makes sense,
    /// if `select_all`.
    ///
    /// Wraps `spdk_nvme_zns_offline_zone`.
    ///
    /// # Errors
    ///
    /// - `ENXIO`: the connection is gone.
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
    #[doc(alias = "spdk_nvme_zns_offline_zone")]
    pub fn offline_zone<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        slba: u64,
        select_all: bool,
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let at = move || rt::At::new("spdk_nvme_zns_offline_zone", self).block(slba);
        let start = move |caller: rt::Caller<'_>| {
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns` and `qpair` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_zns_offline_zone(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                slba,
                                select_all,
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (self.hold_attached(caller)?, self.queue(qpair, caller)?),
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
    *mut c_void,
    u32,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvme_zns_set_zone_desc_ext;

impl NvmeNamespace {
    /// Sets the descriptor extension of the zone that begins at block `slba`, and opens the zone.
    /// `buffer` has the size of an extension.
    ///
    /// Wraps `spdk_nvme_zns_set_zone_desc_ext`.
    ///
    /// # Errors
    ///
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller, a buffer of another length.
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
    #[doc(alias = "spdk_nvme_zns_set_zone_desc_ext")]
    pub fn set_zone_desc_ext<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        slba: u64,
        buffer: &'a rt::DmaBuf,
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let payload_size = (buffer.len() as u64) as u32;
        let at = move || {
            rt::At::new("spdk_nvme_zns_set_zone_desc_ext", self).block(slba)
        };
        let start = move |caller: rt::Caller<'_>| {
            rt::check_multiple(buffer.len(), 1u32)?;
            rt::check_len(buffer.len() as u64, payload_size as u64, 1)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair` and `buffer` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair, buffer), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_zns_set_zone_desc_ext(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                slba,
                                buffer.as_ptr(),
                                payload_size,
                                done,
                                arg,
                            ),
                        )
                    },
                    |_, done| done.map(|_| ()),
                    (
                        self.hold_attached(caller)?,
                        self.queue(qpair, caller)?,
                        buffer.lend()?,
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
    *mut c_void,
    u32,
    u64,
    sys::spdk_nvme_zns_zra_report_opts,
    bool,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvme_zns_report_zones;

impl NvmeNamespace {
    /// Reads the descriptors of zones, from the one with block `slba` on, into `payload`, as the
    /// specification lays them out. Its size is a multiple of 4 bytes.
    ///
    /// With `partial_report` the number of zones in the report is that of the descriptors in it.
    ///
    /// Wraps `spdk_nvme_zns_report_zones`.
    ///
    /// # Errors
    ///
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller, a buffer of another length.
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
    #[doc(alias = "spdk_nvme_zns_report_zones")]
    pub fn report_zones<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        payload: &'a mut rt::DmaBuf,
        slba: u64,
        report_opts: ReportZones,
        partial_report: bool,
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let payload_size = (payload.len() as u64) as u32;
        let at = move || rt::At::new("spdk_nvme_zns_report_zones", self).block(slba);
        let start = move |caller: rt::Caller<'_>| {
            rt::check_multiple(payload.len(), 4u32)?;
            rt::check_len(payload.len() as u64, payload_size as u64, 1)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair` and `payload` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair, payload), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_zns_report_zones(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                payload.as_ptr(),
                                payload_size,
                                slba,
                                report_opts.to_c(),
                                partial_report,
                                done,
                                arg,
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
    *mut c_void,
    u32,
    u64,
    sys::spdk_nvme_zns_zra_report_opts,
    bool,
    sys::spdk_nvme_cmd_cb,
    *mut c_void,
) -> c_int = sys::spdk_nvme_zns_ext_report_zones;

impl NvmeNamespace {
    /// Reads the descriptors of zones with their extensions, as [`NvmeNamespace::report_zones`].
    ///
    /// Wraps `spdk_nvme_zns_ext_report_zones`.
    ///
    /// # Errors
    ///
    /// - `ENXIO`: the connection is gone.
    /// - `ErrorKind::Device`: the device failed it, with the status that it reports.
    /// - Refused before C sees it: a queue pair of another controller, a buffer of another length.
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
    #[doc(alias = "spdk_nvme_zns_ext_report_zones")]
    pub fn ext_report_zones<'a>(
        &'a self,
        qpair: &'a NvmeQpair,
        payload: &'a mut rt::DmaBuf,
        slba: u64,
        report_opts: ReportZones,
        partial_report: bool,
    ) -> impl rt::NvmeIo<Output = rt::Result<()>> + use<'a> {
        let payload_size = (payload.len() as u64) as u32;
        let at = move || rt::At::new("spdk_nvme_zns_ext_report_zones", self).block(slba);
        let start = move |caller: rt::Caller<'_>| {
            rt::check_multiple(payload.len(), 4u32)?;
            rt::check_len(payload.len() as u64, payload_size as u64, 1)?;
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held`
            // keeps `ns`, `qpair` and `payload` until then.
            Ok(unsafe {
                rt::op::<rt::nvme::IoDone, _, _>(
                    move |(ns, qpair, payload), done, arg| {
                        rt::nvme::submit(
                            qpair,
                            ns,
                            || sys::spdk_nvme_zns_ext_report_zones(
                                ns.as_ptr(),
                                qpair.as_ptr(),
                                payload.as_ptr(),
                                payload_size,
                                slba,
                                report_opts.to_c(),
                                partial_report,
                                done,
                                arg,
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
