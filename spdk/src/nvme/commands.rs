//! What commands are given beside buffers.

use crate::sys;

/// What [`NvmeNamespace::dataset_management`](super::NvmeNamespace::dataset_management) tells of its ranges, as a
/// set: bits that are added up.
#[derive(Clone, Copy, Debug)]
pub struct DsmAttributes;

impl DsmAttributes {
    /// They will be read as one.
    pub const INTEGRAL_READ: u32 = sys::SPDK_NVME_DSM_ATTR_INTEGRAL_READ.0;
    /// They will be written as one.
    pub const INTEGRAL_WRITE: u32 = sys::SPDK_NVME_DSM_ATTR_INTEGRAL_WRITE.0;
    /// Their data are not needed any more.
    pub const DEALLOCATE: u32 = sys::SPDK_NVME_DSM_ATTR_DEALLOCATE.0;
}

/// A range of blocks, for
/// [`NvmeNamespace::dataset_management`](super::NvmeNamespace::dataset_management).
#[doc(alias = "spdk_nvme_dsm_range")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DsmRange {
    /// The context attributes of the specification; 0 for none.
    pub attributes: u32,
    /// How many blocks.
    pub length: u32,
    /// The first block.
    pub starting_lba: u64,
}

impl DsmRange {
    pub(crate) fn to_c(self) -> sys::spdk_nvme_dsm_range {
        sys::spdk_nvme_dsm_range {
            attributes: sys::spdk_nvme_dsm_range__bindgen_ty_1 {
                raw: self.attributes,
            },
            length: self.length,
            starting_lba: self.starting_lba,
        }
    }
}

/// A range of blocks, for [`NvmeNamespace::copy`](super::NvmeNamespace::copy).
#[doc(alias = "spdk_nvme_scc_source_range")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CopyRange {
    /// The first block.
    pub lba: u64,
    /// How many blocks, less one.
    pub last: u16,
}

impl CopyRange {
    pub(crate) fn to_c(self) -> sys::spdk_nvme_scc_source_range {
        sys::spdk_nvme_scc_source_range {
            slba: self.lba,
            nlb: self.last,
            ..Default::default()
        }
    }
}

/// Keys, for [`NvmeNamespace::reservation_register`](super::NvmeNamespace::reservation_register).
#[doc(alias = "spdk_nvme_reservation_register_data")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegisterKeys {
    /// The key that the host has now; 0 for none.
    pub current: u64,
    /// The key that it gets.
    pub new: u64,
}

impl RegisterKeys {
    pub(crate) fn to_c(self) -> sys::spdk_nvme_reservation_register_data {
        sys::spdk_nvme_reservation_register_data {
            crkey: self.current,
            nrkey: self.new,
        }
    }
}

/// Keys, for [`NvmeNamespace::reservation_acquire`](super::NvmeNamespace::reservation_acquire).
#[doc(alias = "spdk_nvme_reservation_acquire_data")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcquireKeys {
    /// The key of this host.
    pub current: u64,
    /// The key of the host whose reservation is taken; 0 for none.
    pub preempted: u64,
}

impl AcquireKeys {
    pub(crate) fn to_c(self) -> sys::spdk_nvme_reservation_acquire_data {
        sys::spdk_nvme_reservation_acquire_data {
            crkey: self.current,
            prkey: self.preempted,
        }
    }
}

/// The key, for [`NvmeNamespace::reservation_release`](super::NvmeNamespace::reservation_release).
#[doc(alias = "spdk_nvme_reservation_key_data")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReleaseKey {
    /// The key of this host.
    pub current: u64,
}

impl ReleaseKey {
    pub(crate) fn to_c(self) -> sys::spdk_nvme_reservation_key_data {
        sys::spdk_nvme_reservation_key_data {
            crkey: self.current,
        }
    }
}
