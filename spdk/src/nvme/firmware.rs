//! The firmware of a controller.
//!
//! SPDK's own function for it waits for the controller inside of it. The commands are the same here.
#![allow(unsafe_code)] // Passes admin commands through whose memory is theirs.

use super::controller::NvmeController;
use super::data::PAGE;
use crate::buf::DmaBuf;
use crate::error::{At, ErrorKind, Fault, Result};
use crate::nvme_cmd::NvmeCmd;
use crate::sys;

const FIRMWARE_COMMIT: u8 = sys::SPDK_NVME_OPC_FIRMWARE_COMMIT.0 as u8;
const FIRMWARE_DOWNLOAD: u8 = sys::SPDK_NVME_OPC_FIRMWARE_IMAGE_DOWNLOAD.0 as u8;

const REPLACE_BOOT_PARTITION: u32 = sys::SPDK_NVME_FW_COMMIT_REPLACE_BOOT_PARTITION.0;
const ACTIVATE_BOOT_PARTITION: u32 = sys::SPDK_NVME_FW_COMMIT_ACTIVATE_BOOT_PARTITION.0;

const COMMAND_SPECIFIC: u8 = sys::SPDK_NVME_SCT_COMMAND_SPECIFIC.0 as u8;
const NEEDS_CONVENTIONAL_RESET: u8 = sys::SPDK_NVME_SC_FIRMWARE_REQ_CONVENTIONAL_RESET.0 as u8;
const NEEDS_SUBSYSTEM_RESET: u8 = sys::SPDK_NVME_SC_FIRMWARE_REQ_NVM_RESET.0 as u8;
const NEEDS_RESET: u8 = sys::SPDK_NVME_SC_FIRMWARE_REQ_RESET.0 as u8;

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

impl NvmeController {
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
        self.download(image).await
    }

    /// Hands over an image whose size is a multiple of 4 bytes.
    async fn download(&self, image: &[u8]) -> Result<()> {
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

    /// Writes the whole of the boot partition `bpid`, 0 or 1, part by part, and makes it the active one. The size of
    /// `image` is that of the partition, and a multiple of 4 bytes.
    ///
    /// It takes the place of `spdk_nvme_ctrlr_write_boot_partition`, which sends a part of no bytes when the last one was a
    /// whole page.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidArgument`]: there is no such partition, or the size is no multiple of 4 bytes, or is beyond what
    ///   the command can count.
    /// - `EALREADY`: one of them is being written.
    /// - [`ErrorKind::Device`]: the controller failed a part of it, or has no boot partitions.
    /// - `ENXIO`: the connection is gone.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped abandons the command that is on its way, and the others are not sent.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the controller.
    #[doc(alias = "spdk_nvme_ctrlr_write_boot_partition")]
    pub async fn write_boot_partition(&self, image: &[u8], bpid: u32) -> Result<()> {
        let at = || At::new("spdk_nvme_ctrlr_write_boot_partition", self);
        if bpid > 1 {
            return Err(Fault::invalid(format!("there is no boot partition {bpid}")).at(at()));
        }
        if image.is_empty() || !image.len().is_multiple_of(4) || u32::try_from(image.len()).is_err()
        {
            let wrong = format!("{} bytes are no whole boot partition", image.len());
            return Err(Fault::invalid(wrong).at(at()));
        }
        let _claim = self.claim_boot().map_err(|fault| fault.at(at()))?;
        self.download(image).await?;
        for action in [REPLACE_BOOT_PARTITION, ACTIVATE_BOOT_PARTITION] {
            let cmd = NvmeCmd {
                cdw10: action << 3 | bpid << 31,
                ..NvmeCmd::new(FIRMWARE_COMMIT)
            };
            // SAFETY: it has no data.
            unsafe { self.admin_raw(&cmd, None) }.await?;
        }
        Ok(())
    }
}
