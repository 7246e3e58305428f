//! Erases a subsystem, so that nobody can get its data back.
//!
//! SPDK's own function for it waits for the controller inside of it. The commands are the same here.
#![allow(unsafe_code)] // Passes an admin command through that has no memory.

use super::controller::NvmeController;
use super::data::PAGE;
use crate::buf::DmaBuf;
use crate::error::{At, Fault, Result};
use crate::nvme_cmd::NvmeCmd;
use crate::sys;

const SANITIZE: u8 = sys::SPDK_NVME_OPC_SANITIZE.0 as u8;
const SANITIZE_LOG: u8 = sys::SPDK_NVME_LOG_SANITIZE_STATUS.0 as u8;

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

impl NvmeController {
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
    /// - [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument): there are not so many passes.
    /// - [`ErrorKind::Device`](crate::ErrorKind::Device): the controller failed it; it may not sanitize in this way, as
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
    use super::Sanitize;

    #[test]
    fn bits_are_where_the_specification_has_them() {
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
