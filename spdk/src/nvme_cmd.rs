//! NVMe commands that are passed through.
#![allow(unsafe_code)] // Makes a C struct of its dwords, and reads the result of a command.

use std::ffi::c_int;
use std::mem;

use crate::sys;

/// An NVMe command of 64 bytes: the fields that a caller gives it.
///
/// The driver fills in what else there is: the identifier of the command and the addresses of its data and
/// metadata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NvmeCmd {
    /// The opcode. Its two lowest bits say which way the data goes.
    pub opcode: u8,
    /// The bits behind the opcode: `FUSE` and `PSDT`.
    pub flags: u8,
    /// The namespace. A bdev fills it in for I/O commands.
    pub nsid: u32,
    /// Dword 2.
    pub cdw2: u32,
    /// Dword 3.
    pub cdw3: u32,
    /// Dword 10.
    pub cdw10: u32,
    /// Dword 11.
    pub cdw11: u32,
    /// Dword 12.
    pub cdw12: u32,
    /// Dword 13.
    pub cdw13: u32,
    /// Dword 14.
    pub cdw14: u32,
    /// Dword 15.
    pub cdw15: u32,
}

impl NvmeCmd {
    /// A command with this opcode, and zeroes.
    pub const fn new(opcode: u8) -> Self {
        NvmeCmd {
            opcode,
            flags: 0,
            nsid: 0,
            cdw2: 0,
            cdw3: 0,
            cdw10: 0,
            cdw11: 0,
            cdw12: 0,
            cdw13: 0,
            cdw14: 0,
            cdw15: 0,
        }
    }

    #[inline]
    pub(crate) fn to_c(self) -> sys::spdk_nvme_cmd {
        const _: () = assert!(size_of::<sys::spdk_nvme_cmd>() == 64);
        let mut dwords = [0_u32; 16];
        dwords[0] = u32::from(self.opcode) | u32::from(self.flags) << 8;
        dwords[1] = self.nsid;
        dwords[2] = self.cdw2;
        dwords[3] = self.cdw3;
        dwords[10] = self.cdw10;
        dwords[11] = self.cdw11;
        dwords[12] = self.cdw12;
        dwords[13] = self.cdw13;
        dwords[14] = self.cdw14;
        dwords[15] = self.cdw15;
        // SAFETY: of the same size, as asserted, and numbers only: every bit pattern is a value of it.
        unsafe { mem::transmute::<[u32; 16], sys::spdk_nvme_cmd>(dwords) }
    }
}

/// Dword 0 of a completion.
///
/// # Safety
///
/// `io` has completed, and is not freed yet.
pub(crate) unsafe fn cdw0(io: *const sys::spdk_bdev_io) -> u32 {
    let (mut cdw0, mut sct, mut sc): (u32, c_int, c_int) = (0, 0, 0);
    // SAFETY: passed on; the getter writes to the locals.
    unsafe { sys::spdk_bdev_io_get_nvme_status(io, &mut cdw0, &mut sct, &mut sc) };
    cdw0
}

#[cfg(test)]
mod tests {
    use super::NvmeCmd;

    #[test]
    fn fields_are_where_the_header_has_them() {
        let cmd = NvmeCmd {
            opcode: 0x82,
            flags: 0xc1,
            nsid: 3,
            cdw2: 12,
            cdw3: 13,
            cdw14: 24,
            cdw15: 25,
            ..NvmeCmd::default()
        };
        let raw = cmd.to_c();
        assert_eq!((raw.opc(), raw.fuse(), raw.psdt()), (0x82, 1, 3));
        assert_eq!((raw.nsid, raw.rsvd2, raw.rsvd3), (3, 12, 13));
        assert_eq!((raw.cdw14, raw.cdw15, raw.mptr), (24, 25, 0));
    }
}
