//! How lvol stores and volumes are made.
#![allow(unsafe_code)] // Has SPDK fill an option struct with its defaults.

use std::ffi::{CString, c_char};
use std::mem::MaybeUninit;

#[cfg(spdk_since_26_01)]
use super::super::options::checked_page_size;
use super::super::{BlobClearMethod, BsClearMethod};
use super::esnap;
use crate::error::Fault;
use crate::sys;
use crate::text::cstring;

/// How an lvol store is made. What is not set is as SPDK does it.
#[doc(alias = "spdk_lvs_opts")]
#[derive(Clone, Debug, Default)]
pub struct LvsOpts {
    cluster_size: Option<u32>,
    clear_method: Option<BsClearMethod>,
    num_md_pages_per_cluster_ratio: Option<u32>,
    #[cfg(spdk_since_26_01)]
    md_page_size: Option<u32>,
}

impl LvsOpts {
    /// The defaults of SPDK.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The size of a cluster in bytes, which volumes grow by: a multiple of the page of metadata, 4 KiB. Default:
    /// 4 MiB.
    #[doc(alias = "cluster_sz")]
    #[must_use]
    pub fn cluster_size(mut self, bytes: u32) -> Self {
        self.cluster_size = Some(bytes);
        self
    }

    /// What becomes of the device. Default: [`BsClearMethod::Unmap`].
    #[must_use]
    pub fn clear_method(mut self, method: BsClearMethod) -> Self {
        self.clear_method = Some(method);
        self
    }

    /// How many pages are kept for metadata, for a hundred clusters; every volume needs one at least, and a store that
    /// is grown needs more. Default: 100.
    #[must_use]
    pub fn num_md_pages_per_cluster_ratio(mut self, pages: u32) -> Self {
        self.num_md_pages_per_cluster_ratio = Some(pages);
        self
    }

    /// The size of a page of metadata in bytes; see [`BsOpts::md_page_size`](crate::blob::BsOpts::md_page_size). Default: 4 KiB,
    /// or the physical block of the device if that is larger.
    #[cfg(spdk_since_26_01)]
    #[must_use]
    pub fn md_page_size(mut self, bytes: u32) -> Self {
        self.md_page_size = Some(bytes);
        self
    }

    /// The C struct, also for a store that is loaded, whose name is not known: then it is empty.
    pub(super) fn to_c(&self, name: &CString) -> Result<sys::spdk_lvs_opts, Fault> {
        let mut raw = MaybeUninit::<sys::spdk_lvs_opts>::zeroed();
        // SAFETY: it writes to the struct, all of whose fields may be zeroes.
        let mut raw = unsafe {
            sys::spdk_lvs_opts_init(raw.as_mut_ptr());
            raw.assume_init()
        };
        if let Some(value) = self.cluster_size {
            raw.cluster_sz = value;
        }
        if let Some(value) = self.clear_method {
            // The values of `lvs_clear_method` are defined as these.
            raw.clear_method = sys::lvs_clear_method(value.to_c().0);
        }
        if let Some(value) = self.num_md_pages_per_cluster_ratio {
            raw.num_md_pages_per_cluster_ratio = value;
        }
        #[cfg(spdk_since_26_01)]
        if let Some(value) = self.md_page_size {
            raw.md_page_size = checked_page_size(value)?;
        }
        raw.esnap_bs_dev_create = Some(esnap::create);
        let mut chars = [0 as c_char; sys::SPDK_LVS_NAME_MAX as usize];
        for (place, byte) in chars.iter_mut().zip(name.as_bytes_with_nul()) {
            *place = *byte as c_char;
        }
        raw.name = chars;
        Ok(raw)
    }
}

/// How a volume is made. What is not set is as SPDK does it.
#[derive(Clone, Copy, Debug, Default)]
pub struct LvolOpts {
    pub(super) is_thin: bool,
    pub(super) clear_method: Option<BlobClearMethod>,
}

impl LvolOpts {
    /// The defaults of SPDK.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it gets a cluster only when that is written, and reads as zeroes before. Default: `false`.
    ///
    /// Let one spdk_thread alone write to such a volume, or to one that has a snapshot, where it has no clusters: see
    /// [`BlobOpts::thin_provision`](crate::blob::BlobOpts::thin_provision), also for what is read beside the first write.
    #[doc(alias = "thin_provisioned")]
    #[must_use]
    pub fn thin(mut self, value: bool) -> Self {
        self.is_thin = value;
        self
    }

    /// What becomes of the clusters that it gives up. Default: [`BlobClearMethod::Default`].
    #[must_use]
    pub fn clear_method(mut self, method: BlobClearMethod) -> Self {
        self.clear_method = Some(method);
        self
    }
}

/// A name for C. SPDK checks it here and there only, and a store with one that is too long cannot be loaded again.
pub(super) fn checked(name: &str, of: &'static str) -> Result<CString, Fault> {
    const LONGEST: usize = sys::SPDK_LVOL_NAME_MAX as usize - 1;
    const { assert!(sys::SPDK_LVS_NAME_MAX == sys::SPDK_LVOL_NAME_MAX) };
    match name.len() {
        1..=LONGEST => cstring(name, of),
        length => Err(Fault::invalid(format!(
            "{of} has from 1 to {LONGEST} bytes, and this one {length}"
        ))),
    }
}
