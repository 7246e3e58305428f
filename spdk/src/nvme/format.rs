//! Formats a namespace.
//!
//! SPDK's own function for it waits for the controller inside of it. The command is the same here.
#![allow(unsafe_code)] // Passes an admin command through that has no memory.

use std::ffi::c_int;
use std::future::Future;
use std::ptr;

use super::controller::{AdminHold, FormatClaim, NvmeController};
use super::queue::submit;
use super::rt::AdminDone;
use crate::call::call;
use crate::error::{At, Fault, Gone, Result};
use crate::handle::Subject;
use crate::local::{Caller, begin};
use crate::nvme_cmd::NvmeCmd;
use crate::op::op;
use crate::{Errno, sys};

const FORMAT: u8 = sys::SPDK_NVME_OPC_FORMAT_NVM.0 as u8;

/// What a format does to the data that were there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecureErase {
    /// Nothing in particular.
    #[default]
    None,
    /// They are erased.
    UserData,
    /// The key that they were encrypted with is erased.
    Crypto,
}

/// How a namespace is formatted; see [`NvmeController::format`].
#[doc(alias = "spdk_nvme_format")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NvmeFormat {
    /// The format that it gets, by its index in
    /// [`NamespaceData::formats`](super::NamespaceData::formats).
    pub format: u8,
    /// Whether the metadata follow the data of each block in the same buffer.
    pub interleaves_md: bool,
    /// The type of its protection information, from 1 to 3; 0 for none.
    pub protection: u8,
    /// Whether the protection information are the first bytes of the metadata, and not the last.
    pub protection_is_first: bool,
    /// What becomes of the data.
    pub secure_erase: SecureErase,
}

impl NvmeFormat {
    fn dword(self) -> Result<u32, Fault> {
        check_format(self.format, self.protection)?;
        let erase = match self.secure_erase {
            SecureErase::None => 0,
            SecureErase::UserData => 1,
            SecureErase::Crypto => 2,
        };
        Ok(u32::from(self.format & 0xf)
            | u32::from(self.interleaves_md) << 4
            | u32::from(self.protection) << 5
            | u32::from(self.protection_is_first) << 8
            | erase << 9
            | u32::from(self.format >> 4) << 12)
    }
}

/// Whether a namespace can have this format, and this type of protection information.
pub(super) fn check_format(format: u8, protection: u8) -> Result<(), Fault> {
    match (format, protection) {
        (..64, ..4) => Ok(()),
        (64.., _) => Err(Fault::invalid(format!("there is no format {format}"))),
        _ => Err(Fault::invalid(format!(
            "there is no protection information of type {protection}"
        ))),
    }
}

impl NvmeController {
    /// Formats a namespace; with [`NvmeController::ALL_NAMESPACES`], all. The data are lost.
    ///
    /// The controller has no queue pairs meanwhile, and none can be allocated: the size of blocks may change.
    /// Afterwards it is reset, by which SPDK sees the new format.
    ///
    /// It takes the place of `spdk_nvme_ctrlr_format`, which waits inside of it.
    ///
    /// # Errors
    ///
    /// - `EBUSY`: the controller has queue pairs, or is being formatted or reset.
    /// - [`ErrorKind::Device`](crate::ErrorKind::Device): the controller failed it; it may not format, as
    ///   [`ControllerData::has_format`](super::ControllerData::has_format) says.
    /// - [`ErrorKind::NotConnected`](crate::ErrorKind::NotConnected): it was formatted, and could not be connected again.
    /// - `ENXIO`: the connection is gone.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the format, and the
    /// reset, but does not stop them.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the controller.
    #[doc(alias = "spdk_nvme_ctrlr_format")]
    pub async fn format(&self, ns_id: u32, format: &NvmeFormat) -> Result<()> {
        let at = || At::new("spdk_nvme_ctrlr_format", self);
        begin(|caller| self.handle().get(caller)).map_err(|fault| fault.at(at()))?;
        let claim = self.claim_format().map_err(|fault| fault.at(at()))?;
        if claim.is_alone().await != Ok(true) {
            return Err(Fault::errno(Errno::EBUSY).at(at()));
        }
        let (done, reset) = self.send_format(ns_id, *format, claim).await?;
        let reset = reset.await;
        done.map_err(|fault| fault.at(at()))?;
        match reset {
            Ok(true) => Ok(()),
            Ok(false) => Err(Fault::not_connected().at(at())),
            // Without an answer its driver has ended.
            Err(_) => Err(Fault::gone(Gone::ThreadEnded).at(at())),
        }
    }

    fn send_format(
        &self,
        ns_id: u32,
        format: NvmeFormat,
        claim: FormatClaim,
    ) -> impl Future<Output = Result<(Result<(), Fault>, oneshot::AsyncReceiver<bool>)>> + use<'_>
    {
        let start = move |caller: Caller<'_>| {
            let cmd = NvmeCmd {
                nsid: ns_id,
                cdw10: format.dword()?,
                ..NvmeCmd::new(FORMAT)
            };
            let held = (self.hold_admin(caller)?, claim, cmd.to_c());
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held` keeps the
            // controller until then, and the command, which has no data, is copied. No queue pair has commands
            // meanwhile, and none until SPDK has seen the new format: the reset is asked for in the callback.
            Ok(unsafe {
                op::<AdminDone, _, _>(
                    move |(ctrlr, _, cmd): &mut (AdminHold, FormatClaim, _), done, arg| {
                        submit(ctrlr, ctrlr, || -> c_int {
                            let (ctrlr, data) = (ctrlr.as_ptr(), ptr::null_mut());
                            sys::spdk_nvme_ctrlr_cmd_admin_raw(ctrlr, cmd, data, 0, done, arg)
                        })
                    },
                    // One that failed may have begun.
                    |(_, claim, _), done| Ok((done.map(|_| ()), claim.reset())),
                    held,
                )
            })
        };
        call(start, move || At::new("spdk_nvme_ctrlr_format", self))
    }
}

#[cfg(test)]
mod tests {
    use super::{NvmeFormat, SecureErase};

    #[test]
    fn bits_are_where_the_specification_has_them() {
        let format = NvmeFormat {
            format: 0x25,
            interleaves_md: true,
            protection: 3,
            protection_is_first: true,
            secure_erase: SecureErase::Crypto,
        };
        assert_eq!(format.dword().ok(), Some(0x2575));
        assert!(
            NvmeFormat {
                format: 64,
                ..format
            }
            .dword()
            .is_err()
        );
        let wrong = NvmeFormat {
            protection: 4,
            ..format
        };
        assert!(wrong.dword().is_err());
    }
}
