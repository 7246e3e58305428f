//! Namespaces, media and firmware: what changes a controller for good.
//!
//! SPDK's own functions for these wait for the controller inside of them. The commands are the same here.
#![allow(unsafe_code)] // Passes admin commands through whose memory is theirs.

use std::ffi::c_int;
use std::future::Future;
use std::ptr;

use super::controller::{AdminHold, FormatClaim, NvmeController};
use super::queue::submit;
use super::rt::AdminDone;
use crate::buf::DmaBuf;
use crate::call::call;
use crate::error::{At, ErrorKind, Fault, Gone, Result};
use crate::handle::Subject;
use crate::local::{Caller, begin};
use crate::nvme_cmd::NvmeCmd;
use crate::op::op;
use crate::{Errno, sys};

const PAGE: usize = 4096;

const NAMESPACE_MANAGEMENT: u8 = sys::SPDK_NVME_OPC_NS_MANAGEMENT.0 as u8;
const FIRMWARE_COMMIT: u8 = sys::SPDK_NVME_OPC_FIRMWARE_COMMIT.0 as u8;
const FIRMWARE_DOWNLOAD: u8 = sys::SPDK_NVME_OPC_FIRMWARE_IMAGE_DOWNLOAD.0 as u8;
const NAMESPACE_ATTACHMENT: u8 = sys::SPDK_NVME_OPC_NS_ATTACHMENT.0 as u8;
const FORMAT: u8 = sys::SPDK_NVME_OPC_FORMAT_NVM.0 as u8;
const SANITIZE: u8 = sys::SPDK_NVME_OPC_SANITIZE.0 as u8;
const SANITIZE_LOG: u8 = sys::SPDK_NVME_LOG_SANITIZE_STATUS.0 as u8;

const COMMAND_SPECIFIC: u8 = sys::SPDK_NVME_SCT_COMMAND_SPECIFIC.0 as u8;
const NEEDS_CONVENTIONAL_RESET: u8 = sys::SPDK_NVME_SC_FIRMWARE_REQ_CONVENTIONAL_RESET.0 as u8;
const NEEDS_SUBSYSTEM_RESET: u8 = sys::SPDK_NVME_SC_FIRMWARE_REQ_NVM_RESET.0 as u8;
const NEEDS_RESET: u8 = sys::SPDK_NVME_SC_FIRMWARE_REQ_RESET.0 as u8;

/// A namespace that is to be made; see [`NvmeController::create_namespace`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewNamespace {
    /// How many blocks it has.
    pub size: u64,
    /// How many of them can be in use at once.
    pub capacity: u64,
    /// Which of the controller's formats it has, by its index.
    pub format: u8,
    /// Whether the metadata follow the data of each block in the same buffer.
    pub interleaves_md: bool,
    /// The type of its protection information, from 1 to 3; 0 for none.
    pub protection: u8,
    /// Whether several controllers can have it.
    pub is_shared: bool,
}

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

fn check_format(format: u8, protection: u8) -> Result<(), Fault> {
    match (format, protection) {
        (..64, ..4) => Ok(()),
        (64.., _) => Err(Fault::invalid(format!("there is no format {format}"))),
        _ => Err(Fault::invalid(format!(
            "there is no protection information of type {protection}"
        ))),
    }
}

/// What becomes of a firmware that was downloaded, or of a slot; see [`NvmeController::commit_firmware`].
#[doc(alias = "spdk_nvme_fw_commit_action")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FirmwareAction {
    /// It replaces that of the slot.
    Replace,
    /// It replaces that of the slot, which is active after the next reset.
    ReplaceAndActivate,
    /// That of the slot is active after the next reset.
    Activate,
    /// That of the slot is active now, without a reset.
    ActivateNow,
}

/// What has to happen before a firmware is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FirmwareReset {
    /// Nothing that the controller knows of.
    None,
    /// [`NvmeController::reset`].
    Controller,
    /// A reset of the NVM subsystem.
    Subsystem,
    /// A conventional reset of the PCI device.
    Conventional,
}

/// How a sanitize erases; see [`NvmeController::sanitize`].
#[doc(alias = "spdk_nvme_sanitize")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sanitize {
    /// Erases blocks.
    BlockErase,
    /// Erases the keys that the data were encrypted with.
    CryptoErase,
    /// Overwrites the data.
    Overwrite {
        /// With this.
        pattern: u32,
        /// So often, from 1 to 16.
        passes: u8,
        /// With the inverse of the pattern in every other pass.
        inverts: bool,
    },
    /// Ends the state after a sanitize that failed.
    ExitFailure,
}

impl Sanitize {
    /// Dwords 10 and 11, but for the bits of what is allowed.
    fn dwords(self) -> Result<(u32, u32), Fault> {
        Ok(match self {
            Sanitize::ExitFailure => (1, 0),
            Sanitize::BlockErase => (2, 0),
            Sanitize::CryptoErase => (4, 0),
            Sanitize::Overwrite {
                passes: passes @ 1..=16,
                pattern,
                inverts,
            } => {
                let dword = 3 | u32::from(passes & 0xf) << 4 | u32::from(inverts) << 8;
                (dword, pattern)
            }
            Sanitize::Overwrite { passes, .. } => {
                let wrong = format!("{passes} passes; there are 1 to 16");
                return Err(Fault::invalid(wrong));
            }
        })
    }
}

/// How far a sanitize is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SanitizeState {
    /// There was none.
    Never,
    /// It has ended well.
    Done,
    /// It goes on: so much of 65,536 is done.
    Running(u16),
    /// It has failed.
    Failed,
}

fn page() -> Result<DmaBuf> {
    DmaBuf::alloc(PAGE, PAGE)
}

impl NvmeController {
    /// Makes a namespace, and returns its ID. No controller has it until it is
    /// [attached](NvmeController::attach_namespace).
    ///
    /// It takes the place of `spdk_nvme_ctrlr_create_ns`, which waits inside of it.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Device`]: the controller failed it; it may manage no namespaces, as
    ///   [`ControllerData::has_namespace_management`](super::ControllerData::has_namespace_management) says.
    /// - `ENXIO`: the connection is gone.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation but does
    /// not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the controller.
    #[doc(alias = "spdk_nvme_ctrlr_create_ns")]
    pub async fn create_namespace(&self, new: &NewNamespace) -> Result<u32> {
        let at = At::new("spdk_nvme_ctrlr_create_ns", self);
        check_format(new.format, new.protection).map_err(|fault| fault.at(at))?;
        let mut data = page()?;
        data[0..8].copy_from_slice(&new.size.to_le_bytes());
        data[8..16].copy_from_slice(&new.capacity.to_le_bytes());
        data[26] = new.format & 0xf | u8::from(new.interleaves_md) << 4 | new.format >> 4 << 5;
        data[29] = new.protection;
        data[30] = new.is_shared.into();
        let cmd = NvmeCmd::new(NAMESPACE_MANAGEMENT);
        // SAFETY: it reads the page. SPDK knows nothing of the namespace until it is attached.
        unsafe { self.admin_raw(&cmd, Some(&mut data)) }.await
    }

    /// Deletes a namespace, attached or not; with [`NvmeController::ALL_NAMESPACES`], all.
    ///
    /// The controller tells [`NvmeEvent::NamespaceChanged`](super::NvmeEvent::NamespaceChanged), and the
    /// namespace is inactive when that was told; one that tells no such events needs a
    /// [`reset`](NvmeController::reset).
    ///
    /// It takes the place of `spdk_nvme_ctrlr_delete_ns`, which waits inside of it.
    ///
    /// # Errors
    ///
    /// As for [`NvmeController::create_namespace`]; so are the rest.
    #[doc(alias = "spdk_nvme_ctrlr_delete_ns")]
    pub async fn delete_namespace(&self, ns_id: u32) -> Result<()> {
        let cmd = NvmeCmd {
            nsid: ns_id,
            cdw10: 1,
            ..NvmeCmd::new(NAMESPACE_MANAGEMENT)
        };
        // SAFETY: it has no data, and what SPDK knows of the namespace until it hears of it is refused.
        unsafe { self.admin_raw(&cmd, None) }.await.map(drop)
    }

    /// Attaches a namespace to controllers, by their IDs; to this one, if there are none.
    ///
    /// When the controller has told [`NvmeEvent::NamespaceChanged`](super::NvmeEvent::NamespaceChanged),
    /// [`NvmeController::namespace`] has it; one that tells no such events needs a
    /// [`reset`](NvmeController::reset).
    ///
    /// It takes the place of `spdk_nvme_ctrlr_attach_ns`, which waits inside of it.
    ///
    /// # Errors
    ///
    /// As for [`NvmeController::create_namespace`]; so are the rest. Refused before C sees it: more than 2,047
    /// controllers, and a namespace that is active as far as SPDK knows. One that was deleted meanwhile is so
    /// until the controller has told of it.
    #[doc(alias = "spdk_nvme_ctrlr_attach_ns")]
    pub async fn attach_namespace(&self, ns_id: u32, controllers: &[u16]) -> Result<()> {
        let at = At::new("spdk_nvme_ctrlr_attach_ns", self);
        let ctrlr = begin(|caller| self.handle().get(caller)).map_err(|fault| fault.at(at))?;
        // Its blocks may have another size than those that SPDK knows, by which buffers are measured.
        // SAFETY: the controller is attached, and of this spdk_thread.
        if unsafe { sys::spdk_nvme_ctrlr_is_active_ns(ctrlr.as_ptr(), ns_id) } {
            let wrong = format!("namespace {ns_id} is attached, as far as SPDK knows");
            return Err(Fault::invalid(wrong).at(at));
        }
        self.change_attachment("spdk_nvme_ctrlr_attach_ns", 0, ns_id, controllers)
            .await
    }

    /// Detaches a namespace from controllers, by their IDs; from this one, if there are none.
    ///
    /// The controller tells [`NvmeEvent::NamespaceChanged`](super::NvmeEvent::NamespaceChanged), and the
    /// namespace is inactive when that was told; one that tells no such events needs a
    /// [`reset`](NvmeController::reset).
    ///
    /// It takes the place of `spdk_nvme_ctrlr_detach_ns`, which waits inside of it.
    ///
    /// # Errors
    ///
    /// As for [`NvmeController::create_namespace`]; so are the rest. Refused before C sees it: more than 2,047
    /// controllers.
    #[doc(alias = "spdk_nvme_ctrlr_detach_ns")]
    pub async fn detach_namespace(&self, ns_id: u32, controllers: &[u16]) -> Result<()> {
        self.change_attachment("spdk_nvme_ctrlr_detach_ns", 1, ns_id, controllers)
            .await
    }

    async fn change_attachment(
        &self,
        call: &'static str,
        select: u32,
        ns_id: u32,
        ids: &[u16],
    ) -> Result<()> {
        let own;
        let ids = match ids {
            [] => {
                own = [self.data()?.controller_id()];
                &own[..]
            }
            ids => ids,
        };
        let mut data = page()?;
        let mut words = data.chunks_exact_mut(2);
        if ids.len() >= words.len() {
            let wrong = format!("{} controllers are too many", ids.len());
            return Err(Fault::invalid(wrong).at(At::new(call, self)));
        }
        let numbers = [ids.len() as u16].into_iter().chain(ids.iter().copied());
        for (number, word) in numbers.zip(&mut words) {
            word.copy_from_slice(&number.to_le_bytes());
        }
        let cmd = NvmeCmd {
            nsid: ns_id,
            cdw10: select,
            ..NvmeCmd::new(NAMESPACE_ATTACHMENT)
        };
        // SAFETY: it reads the page. SPDK knows of no namespace of this ID, or of one that I/O then fails on.
        unsafe { self.admin_raw(&cmd, Some(&mut data)) }
            .await
            .map(drop)
    }

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
    /// - [`ErrorKind::Device`]: the controller failed it; it may not format, as
    ///   [`ControllerData::has_format`](super::ControllerData::has_format) says.
    /// - [`ErrorKind::NotConnected`]: it was formatted, and could not be connected again.
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

    /// Hands the controller a firmware, part by part. Its size is a multiple of 4 bytes.
    ///
    /// Nothing comes of it until [`NvmeController::commit_firmware`]. It takes the place of
    /// `spdk_nvme_ctrlr_update_firmware`, which waits inside of it, with that.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidArgument`]: it is empty, or its size is no multiple of 4 bytes, or is beyond what
    ///   the command can count.
    /// - [`ErrorKind::Device`]: the controller failed a part of it; it may take no firmware, as
    ///   [`ControllerData::has_firmware`](super::ControllerData::has_firmware) says.
    /// - `ENXIO`: the connection is gone.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped abandons the part that is on its way, and the others are not sent.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the controller.
    #[doc(alias = "spdk_nvme_ctrlr_update_firmware")]
    pub async fn download_firmware(&self, image: &[u8]) -> Result<()> {
        if image.is_empty() || !image.len().is_multiple_of(4) || u32::try_from(image.len()).is_err()
        {
            let wrong = format!("{} bytes are no whole firmware", image.len());
            let at = At::new("spdk_nvme_ctrlr_update_firmware", self);
            return Err(Fault::invalid(wrong).at(at));
        }
        // What the controller wants parts to be a multiple of, in pages.
        let unit = match self.data()?.as_bytes()[319] {
            0 | 0xff => PAGE,
            pages => PAGE * usize::from(pages),
        };
        for (part, number) in image.chunks(unit).zip(0..) {
            let mut data = DmaBuf::alloc(part.len(), PAGE)?;
            data.copy_from_slice(part);
            let cmd = NvmeCmd {
                cdw10: (part.len() / 4 - 1) as u32,
                cdw11: (number * unit / 4) as u32,
                ..NvmeCmd::new(FIRMWARE_DOWNLOAD)
            };
            // SAFETY: it reads the part.
            unsafe { self.admin_raw(&cmd, Some(&mut data)) }.await?;
        }
        Ok(())
    }

    /// Puts the firmware that was downloaded into a slot, from 1 to 7, or makes that of a slot the active one;
    /// 0 leaves the choice of the slot to the controller. Returns what has to happen before it is active.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidArgument`]: there is no such slot.
    /// - [`ErrorKind::Device`]: the controller failed it.
    /// - `ENXIO`: the connection is gone.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation but does
    /// not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the controller.
    #[doc(alias = "spdk_nvme_ctrlr_update_firmware")]
    pub async fn commit_firmware(&self, slot: u8, action: FirmwareAction) -> Result<FirmwareReset> {
        if slot > 7 {
            let at = At::new("spdk_nvme_ctrlr_update_firmware", self);
            return Err(Fault::invalid(format!("there is no slot {slot}")).at(at));
        }
        let action = match action {
            FirmwareAction::Replace => 0,
            FirmwareAction::ReplaceAndActivate => 1,
            FirmwareAction::Activate => 2,
            FirmwareAction::ActivateNow => 3,
        };
        let cmd = NvmeCmd {
            cdw10: u32::from(slot) | action << 3,
            ..NvmeCmd::new(FIRMWARE_COMMIT)
        };
        // SAFETY: it has no data.
        let done = unsafe { self.admin_raw(&cmd, None) }.await;
        let Err(error) = done else {
            return Ok(FirmwareReset::None);
        };
        match error.kind() {
            ErrorKind::Device { status, .. } => match (status.sct, status.sc) {
                (COMMAND_SPECIFIC, NEEDS_CONVENTIONAL_RESET) => Ok(FirmwareReset::Conventional),
                (COMMAND_SPECIFIC, NEEDS_SUBSYSTEM_RESET) => Ok(FirmwareReset::Subsystem),
                (COMMAND_SPECIFIC, NEEDS_RESET) => Ok(FirmwareReset::Controller),
                _ => Err(error),
            },
            _ => Err(error),
        }
    }

    /// Begins to erase all data of the subsystem, so that nobody can get them back.
    ///
    /// It returns when that has begun; [`NvmeController::sanitize_state`] says how far it is. After one that
    /// failed the controller does little else until another one succeeds; with `allows_exit` also until
    /// [`Sanitize::ExitFailure`].
    ///
    /// It takes the place of `spdk_nvme_ctrlr_sanitize`, which waits inside of it.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidArgument`]: there are not so many passes.
    /// - [`ErrorKind::Device`]: the controller failed it; it may not sanitize in this way, as
    ///   [`ControllerData`](super::ControllerData) says.
    /// - `ENXIO`: the connection is gone.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation but does
    /// not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the controller.
    #[doc(alias = "spdk_nvme_ctrlr_sanitize")]
    pub async fn sanitize(&self, how: Sanitize, allows_exit: bool) -> Result<()> {
        let at = At::new("spdk_nvme_ctrlr_sanitize", self);
        let (dword, pattern) = how.dwords().map_err(|fault| fault.at(at))?;
        let cmd = NvmeCmd {
            cdw10: dword | u32::from(allows_exit) << 3,
            cdw11: pattern,
            ..NvmeCmd::new(SANITIZE)
        };
        // SAFETY: it has no data.
        unsafe { self.admin_raw(&cmd, None) }.await.map(drop)
    }

    /// How far the last sanitize is.
    ///
    /// # Errors
    ///
    /// As for [`NvmeController::get_log_page`], and so are the rest.
    pub async fn sanitize_state(&self) -> Result<SanitizeState> {
        let mut log = DmaBuf::alloc(512, PAGE)?;
        let all = Self::ALL_NAMESPACES;
        self.get_log_page(SANITIZE_LOG, all, &mut log, 0).await?;
        let progress = u16::from_le_bytes([log[0], log[1]]);
        Ok(match log[2] & 0x7 {
            1 | 4 => SanitizeState::Done,
            2 => SanitizeState::Running(progress),
            3 => SanitizeState::Failed,
            _ => SanitizeState::Never,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{NvmeFormat, Sanitize, SecureErase};

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
        let overwrite = |passes| Sanitize::Overwrite {
            pattern: 0xdead_beef,
            passes,
            inverts: true,
        };
        assert_eq!(overwrite(3).dwords().ok(), Some((0x133, 0xdead_beef)));
        assert_eq!(overwrite(16).dwords().ok(), Some((0x103, 0xdead_beef)));
        assert!(overwrite(0).dwords().is_err() && overwrite(17).dwords().is_err());
    }
}
