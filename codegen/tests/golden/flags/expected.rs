// @generated from api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! Test. Wrappers of `spdk/nvme.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

use crate::__private::sys;

/// How a command is executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct IoFlags(u32);

const _: () = {
    assert!(sys::SPDK_NVME_IO_FLAGS_PRCHK_REFTAG as i128 == 67108864);
    assert!(sys::SPDK_NVME_IO_FLAGS_FORCE_UNIT_ACCESS as i128 == 1073741824);
};

impl IoFlags {
    /// Check the reference tag.
    #[doc(alias = "SPDK_NVME_IO_FLAGS_PRCHK_REFTAG")]
    pub const CHECK_REFERENCE_TAG: Self = Self(67108864);
    /// Write through.
    #[doc(alias = "SPDK_NVME_IO_FLAGS_FORCE_UNIT_ACCESS")]
    pub const FORCE_UNIT_ACCESS: Self = Self(1073741824);
    /// No bit.
    pub const fn empty() -> Self {
        Self(0)
    }

    /// These bits, also those without a name.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl core::ops::BitOr for IoFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
