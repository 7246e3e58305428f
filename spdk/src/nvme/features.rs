//! Features of a controller.
#![allow(unsafe_code)] // Submits admin commands with buffers that it has measured.

use std::ffi::c_int;
use std::future::Future;

use super::controller::{AdminHold, NvmeController};
use super::queue::submit;
use super::rt::AdminDone;
use crate::buf::DmaBuf;
use crate::call::call;
use crate::error::{At, Fault, Result};
use crate::local::Caller;
use crate::mem::Loan;
use crate::op::op;
use crate::sys;

/// What the data of a feature have at most: a controller writes as many bytes as the feature has, whatever it
/// is told.
const DATA: usize = 4096;

/// The first of the vendor's features.
const VENDOR: u8 = 0xc0;

/// Refuses features that a controller may use memory for that nobody keeps.
fn check(feature: u8) -> Result<(), Fault> {
    let why = match feature {
        VENDOR.. => "is a feature of the vendor, who alone knows the size of its data",
        HOST_MEMORY => "gives the controller memory of this host",
        _ => return Ok(()),
    };
    Err(Fault::invalid(format!("{feature:#04x} {why}")))
}

const HOST_MEMORY: u8 = sys::SPDK_NVME_FEAT_HOST_MEM_BUFFER.0 as u8;

/// How many bytes a controller reads to set a feature, whatever it is told.
fn data_of(feature: u8, cdw11: u32) -> usize {
    match feature {
        0x03 => DATA,                          // LBA Range Type
        0x0c => 256,                           // Autonomous Power State Transition
        0x0e => 8,                             // Timestamp
        0x13 => 512,                           // Predictable Latency Mode Config
        0x16 => 512,                           // Host Behavior Support
        0x1e => (cdw11 >> 16) as usize & 0xff, // FDP Events, a byte for each
        0x1f => DATA,                          // Namespace Admin Label
        0x78 | 0x79 => DATA,                   // addresses of agents for management
        0x7d..=0x7f => DATA,                   // metadata of controllers and namespaces
        0x81 if cdw11 & 1 != 0 => 16,          // Host Identifier, extended
        0x81 => 8,
        _ => 0,
    }
}

impl NvmeController {
    /// Reads the value of a feature: dword 0 of the completion. `nsid` is for features of namespaces, and
    /// `cdw11` says what else the feature needs.
    ///
    /// `data` receives what the feature has beside its value, such as a list of ranges; it has at least 4,096
    /// bytes.
    ///
    /// Wraps `spdk_nvme_ctrlr_cmd_get_feature` and `spdk_nvme_ctrlr_cmd_get_feature_ns`.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Device`](crate::ErrorKind::Device): the controller failed it; it has no such feature.
    /// - `ENXIO`: the connection is gone.
    /// - Refused before C sees it: `data` of less than 4,096 bytes, the host memory buffer, and features of the
    ///   vendor, which [`NvmeController::admin_raw`] reads.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation but does
    /// not stop it: SPDK writes into memory that the operation keeps, and the buffer gets fresh, zeroed memory
    /// at its next mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the controller.
    #[doc(alias = "spdk_nvme_ctrlr_cmd_get_feature")]
    #[doc(alias = "spdk_nvme_ctrlr_cmd_get_feature_ns")]
    pub fn get_feature<'a>(
        &'a self,
        feature: u8,
        nsid: u32,
        cdw11: u32,
        data: Option<&'a mut DmaBuf>,
    ) -> impl Future<Output = Result<u32>> + use<'a> {
        let start = move |caller: Caller<'_>| {
            check(feature)?;
            // A controller writes the data also if nobody asks for them.
            let buf = match data {
                Some(data) if data.len() < DATA => {
                    return Err(Fault::invalid(format!(
                        "the buffer holds {} bytes; the data of a feature may have {DATA}",
                        data.len()
                    )));
                }
                Some(data) => data.lend_mut()?,
                None => {
                    let buf = DmaBuf::alloc(DATA, DATA);
                    buf.map_err(|_| Fault::no_dma_memory(DATA, DATA))?
                        .lend_mut()?
                }
            };
            let held = (self.hold_admin(caller)?, buf);
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held` keeps the
            // controller and the buffer, which is large enough, until then.
            Ok(unsafe {
                op::<AdminDone, _, _>(
                    move |(ctrlr, buf): &mut (AdminHold, Loan), done, arg| {
                        submit(ctrlr, ctrlr, || -> c_int {
                            sys::spdk_nvme_ctrlr_cmd_get_feature_ns(
                                ctrlr.as_ptr(),
                                feature,
                                cdw11,
                                buf.as_ptr(),
                                DATA as u32,
                                done,
                                arg,
                                nsid,
                            )
                        })
                    },
                    |_, done| done.map(|dwords| dwords.first()),
                    held,
                )
            })
        };
        call(start, move || {
            At::new("spdk_nvme_ctrlr_cmd_get_feature_ns", self)
        })
    }

    /// Sets a feature, and returns dword 0 of the completion. `nsid` is for features of namespaces; `cdw11` and
    /// `cdw12` are its value, and `data` what it has beside that.
    ///
    /// Wraps `spdk_nvme_ctrlr_cmd_set_feature` and `spdk_nvme_ctrlr_cmd_set_feature_ns`.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Device`](crate::ErrorKind::Device): the controller failed it.
    /// - `ENXIO`: the connection is gone.
    /// - Refused before C sees it: less `data` than the controller reads for the feature; the host memory buffer, which
    ///   gives the controller memory of this host, and features of the vendor. [`NvmeController::admin_raw`] sets them.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation but does
    /// not stop it: SPDK reads memory that the operation keeps, and the buffer moves to a copy at its next
    /// mutable use.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the controller.
    #[doc(alias = "spdk_nvme_ctrlr_cmd_set_feature")]
    #[doc(alias = "spdk_nvme_ctrlr_cmd_set_feature_ns")]
    pub fn set_feature<'a>(
        &'a self,
        feature: u8,
        nsid: u32,
        cdw11: u32,
        cdw12: u32,
        data: Option<&'a DmaBuf>,
    ) -> impl Future<Output = Result<u32>> + use<'a> {
        let start = move |caller: Caller<'_>| {
            check(feature)?;
            let len = data.map_or(0, DmaBuf::len);
            let least = data_of(feature, cdw11);
            if len < least {
                return Err(Fault::invalid(format!(
                    "the controller reads {least} bytes to set {feature:#04x}; the data have {len}"
                )));
            }
            let len = u32::try_from(len).map_err(|_| Fault::invalid("the data are too long"))?;
            let data = data.map(DmaBuf::lend).transpose()?;
            let held = (self.hold_admin(caller)?, data);
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held` keeps the
            // controller and the data until then.
            Ok(unsafe {
                op::<AdminDone, _, _>(
                    move |(ctrlr, data): &mut (AdminHold, Option<Loan>), done, arg| {
                        let data = data.as_ref().map_or(std::ptr::null_mut(), Loan::as_ptr);
                        submit(ctrlr, ctrlr, || -> c_int {
                            sys::spdk_nvme_ctrlr_cmd_set_feature_ns(
                                ctrlr.as_ptr(),
                                feature,
                                cdw11,
                                cdw12,
                                data,
                                len,
                                done,
                                arg,
                                nsid,
                            )
                        })
                    },
                    |_, done| done.map(|dwords| dwords.first()),
                    held,
                )
            })
        };
        call(start, move || {
            At::new("spdk_nvme_ctrlr_cmd_set_feature_ns", self)
        })
    }
}
