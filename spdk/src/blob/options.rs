//! How blobstores and blobs are made.
#![allow(unsafe_code)] // Has SPDK fill option structs with its defaults.

use std::mem::MaybeUninit;
use std::sync::Arc;

use super::external::{ExternalSnapshot, Find, check_id};
use super::pages::{EXTERNAL, all_pages, pages};
use super::requests;
use super::xattrs::{CXattrs, Xattrs};
use crate::blob::{BlobClearMethod, BsClearMethod};
use crate::error::Fault;
use crate::{Errno, sys};

/// How many I/Os a channel does at a time, if nobody says.
const IOS: u32 = 512;

/// How a blobstore is made or loaded. What is not set is as SPDK does it.
#[doc(alias = "spdk_bs_opts")]
#[derive(Clone, Debug, Default)]
pub struct BsOpts {
    cluster_size: Option<u32>,
    num_md_pages: Option<u32>,
    max_channel_ops: Option<u32>,
    clear_method: Option<BsClearMethod>,
    bstype: Option<BsType>,
    force_recover: Option<bool>,
    find: Option<Find>,
    #[cfg(spdk_since_26_01)]
    md_page_size: Option<u32>,
}

impl BsOpts {
    /// The defaults of SPDK.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The size of a cluster in bytes, which blobs grow by: a multiple of the page size, 4 KiB. Default: 1 MiB.
    /// A store that is loaded has the one that it was made with.
    #[doc(alias = "cluster_sz")]
    #[must_use]
    pub fn cluster_size(mut self, bytes: u32) -> Self {
        self.cluster_size = Some(bytes);
        self
    }

    /// How many pages are kept for metadata; every blob needs one at least. Default: one for each cluster. Of no
    /// effect on a store that is loaded.
    #[must_use]
    pub fn num_md_pages(mut self, pages: u32) -> Self {
        self.num_md_pages = Some(pages);
        self
    }

    /// The size of a page of metadata in bytes: a power of two from 4 KiB on, and no more than a cluster. SPDK writes each
    /// page at once, but does not put more into a larger one. Default: 4 KiB, or the physical block of the device if that is
    /// larger. A store that is loaded has the one that it was made with.
    #[cfg(spdk_since_26_01)]
    #[must_use]
    pub fn md_page_size(mut self, bytes: u32) -> Self {
        self.md_page_size = Some(bytes);
        self
    }

    /// How many I/Os each channel does at a time; more wait for these, in order. Default: 512.
    ///
    /// SPDK counts requests instead, of which an I/O needs up to three, and is given 256 more: calls of the metadata thread
    /// take theirs from its channel. Of `max_md_ops`, which was for these once, SPDK 26.01 makes nothing.
    #[must_use]
    pub fn max_channel_ops(mut self, ios: u32) -> Self {
        self.max_channel_ops = Some(ios);
        self
    }

    pub(super) fn ios(&self) -> u32 {
        self.max_channel_ops.unwrap_or(IOS)
    }

    /// What becomes of the device. Default: [`BsClearMethod::Unmap`]. Of no effect on a store that is loaded.
    #[must_use]
    pub fn clear_method(mut self, method: BsClearMethod) -> Self {
        self.clear_method = Some(method);
        self
    }

    /// What the store is for. One that is loaded has to be of this type, unless it is empty. Default: empty.
    #[must_use]
    pub fn bstype(mut self, bstype: BsType) -> Self {
        self.bstype = Some(bstype);
        self
    }

    /// Whether a store that was unloaded in order is loaded as if it had not been: from the metadata of its blobs, which have
    /// checksums, and not from lists of what is used, which have none.
    #[must_use]
    pub fn force_recover(mut self, value: bool) -> Self {
        self.force_recover = Some(value);
        self
    }

    /// Finds the devices that blobs depend on by their IDs, see [`BlobOpts::external_snapshot`]. Default: none, and such
    /// blobs are not opened, with `ENOTSUP`.
    ///
    /// It is called on the metadata thread, whenever such a blob is opened, and when the store is loaded. A panic aborts
    /// the process.
    #[doc(alias = "esnap_bs_dev_create")]
    #[must_use]
    pub fn external_snapshots(
        mut self,
        find: impl Fn(&[u8]) -> ExternalSnapshot + Send + Sync + 'static,
    ) -> Self {
        self.find = Some(Find(Arc::new(find)));
        self
    }

    pub(super) fn recovers(&self) -> bool {
        self.force_recover == Some(true)
    }

    pub(super) fn find(&self) -> Option<Find> {
        self.find.clone()
    }

    pub(super) fn to_c(&self) -> Result<sys::spdk_bs_opts, Fault> {
        let mut raw = MaybeUninit::<sys::spdk_bs_opts>::zeroed();
        // SAFETY: it writes at most the size that it is given. Zeroes are a value of every field.
        let mut raw = unsafe {
            sys::spdk_bs_opts_init(raw.as_mut_ptr(), size_of::<sys::spdk_bs_opts>());
            raw.assume_init()
        };
        if let Some(value) = self.cluster_size {
            raw.cluster_sz = value;
        }
        if let Some(value) = self.num_md_pages {
            raw.num_md_pages = value;
        }
        raw.max_channel_ops = requests::needed(self.ios());
        if let Some(value) = self.clear_method {
            raw.clear_method = value.to_c();
        }
        if let Some(value) = self.bstype {
            raw.bstype = value.to_c();
        }
        if let Some(value) = self.force_recover {
            raw.force_recover = value.into();
        }
        #[cfg(spdk_since_26_01)]
        if let Some(value) = self.md_page_size {
            raw.md_page_size = checked_page_size(value)?;
        }
        Ok(raw)
    }
}

/// SPDK does not look whether pages have whole blocks.
#[cfg(spdk_since_26_01)]
pub(super) fn checked_page_size(bytes: u32) -> Result<u32, Fault> {
    match bytes.is_power_of_two() && bytes >= 4096 {
        true => Ok(bytes),
        false => Err(Fault::invalid(format!(
            "the size of a page of metadata is a power of two from 4096 bytes on, and not {bytes}"
        ))),
    }
}

/// What a blobstore is for: up to 16 bytes, such as `LVOLSTORE`. Without a character it is of no type.
#[doc(alias = "spdk_bs_type")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BsType([u8; sys::SPDK_BLOBSTORE_TYPE_LENGTH as usize]);

impl BsType {
    /// A type, from its name.
    ///
    /// `None` if that is longer than 16 bytes.
    pub fn new(name: &str) -> Option<Self> {
        let mut bytes = [0; sys::SPDK_BLOBSTORE_TYPE_LENGTH as usize];
        bytes
            .get_mut(..name.len())?
            .copy_from_slice(name.as_bytes());
        Some(BsType(bytes))
    }

    /// Its bytes; those that it does not need are 0.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    pub(super) fn from_c(raw: sys::spdk_bs_type) -> Self {
        BsType(raw.bstype.map(|byte| byte as u8))
    }

    pub(super) fn to_c(self) -> sys::spdk_bs_type {
        sys::spdk_bs_type {
            bstype: self.0.map(|byte| byte as std::ffi::c_char),
        }
    }
}

/// How a blob is made. What is not set is as SPDK does it: without clusters.
#[doc(alias = "spdk_blob_opts")]
#[derive(Clone, Debug, Default)]
pub struct BlobOpts {
    num_clusters: Option<u64>,
    thin_provision: Option<bool>,
    clear_method: Option<BlobClearMethod>,
    use_extent_table: Option<bool>,
    external_snapshot: Option<Vec<u8>>,
    xattrs: Xattrs,
}

impl BlobOpts {
    /// The defaults of SPDK.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Its size, in clusters, up to [`u32::MAX`]. Default: 0.
    #[must_use]
    pub fn num_clusters(mut self, clusters: u64) -> Self {
        self.num_clusters = Some(clusters);
        self
    }

    /// Whether it gets a cluster only when that is written, and reads as zeroes before. Default: `false`.
    ///
    /// Where neither it nor a parent has data, SPDK does not clear the cluster that it gets: what is not written of that reads as
    /// what is on the device there, and may be from a blob that was deleted, unless the device reads what was unmapped as
    /// zeroes. So it is with the clusters that [`Blobstore::inflate_blob`](super::Blobstore::inflate_blob) gives it.
    ///
    /// Let one spdk_thread alone write to such a blob, or to one that has a snapshot, where it has no clusters, or make it with
    /// [`BlobOpts::use_extent_table`] off: when two of them give it clusters at once, SPDK 26.01 may write a page of its extent
    /// table without one, which is lost when the store is loaded again.
    #[must_use]
    pub fn thin_provision(mut self, value: bool) -> Self {
        self.thin_provision = Some(value);
        self
    }

    /// What becomes of the clusters that it gives up. Default: [`BlobClearMethod::Default`].
    #[must_use]
    pub fn clear_method(mut self, method: BlobClearMethod) -> Self {
        self.clear_method = Some(method);
        self
    }

    /// Whether its clusters are listed in pages of their own, so that a thin blob writes less when it gets one.
    /// Default: `true`. What SPDK 26.01 does when it cannot write one says
    /// [`lvol`](crate::lvol#when-the-device-fails).
    #[must_use]
    pub fn use_extent_table(mut self, value: bool) -> Self {
        self.use_extent_table = Some(value);
        self
    }

    /// The ID of an external snapshot that it depends on, 1 to 1024 bytes: it reads as that until it is written, and is
    /// thin. Its size is not that of the snapshot, but what [`BlobOpts::num_clusters`] says. Default: none.
    ///
    /// The device is found by [`BsOpts::external_snapshots`] when the blob is opened.
    #[doc(alias = "esnap_id")]
    #[must_use]
    pub fn external_snapshot(mut self, id: &[u8]) -> Self {
        self.external_snapshot = Some(id.to_vec());
        self
    }

    /// Its first attributes. Default: none.
    #[must_use]
    pub fn xattrs(mut self, xattrs: Xattrs) -> Self {
        self.xattrs = xattrs;
        self
    }

    pub(super) fn to_c(&self) -> Result<CBlobOpts, Fault> {
        let mut raw = blob_defaults();
        if let Some(value) = self.num_clusters {
            if value > MOST_CLUSTERS {
                return Err(Fault::errno(Errno::ENOSPC));
            }
            raw.num_clusters = value;
        }
        if let Some(value) = self.thin_provision {
            raw.thin_provision = value;
        }
        if let Some(value) = self.clear_method {
            raw.clear_method = value.to_c();
        }
        if let Some(value) = self.use_extent_table {
            raw.use_extent_table = value;
        }
        let id = self.external_snapshot.clone();
        if let Some(id) = &id {
            check_id(id)?;
            raw.esnap_id = id.as_ptr().cast();
            raw.esnap_id_len = id.len() as _;
        }
        let xattrs = CXattrs::new(&self.xattrs)?;
        raw.xattrs = xattrs.raw();
        Ok(CBlobOpts { raw, xattrs, id })
    }
}

/// How many clusters a blob has at most: SPDK counts those of a device with 32 bits. Of a thin blob it does not look, and more
/// overflow the size of its memory.
pub(super) const MOST_CLUSTERS: u64 = u32::MAX as u64;

/// What SPDK makes a blob with if nothing is said.
pub(super) fn blob_defaults() -> sys::spdk_blob_opts {
    let mut raw = MaybeUninit::<sys::spdk_blob_opts>::zeroed();
    // SAFETY: it writes at most the size that it is given. Zeroes are a value of every field.
    unsafe {
        sys::spdk_blob_opts_init(raw.as_mut_ptr(), size_of::<sys::spdk_blob_opts>());
        raw.assume_init()
    }
}

/// The C struct, and what it points to.
pub(super) struct CBlobOpts {
    pub(super) raw: sys::spdk_blob_opts,
    xattrs: CXattrs,
    id: Option<Vec<u8>>,
}

impl CBlobOpts {
    /// How many pages of metadata SPDK takes for the blob.
    pub(super) fn pages(&self) -> u32 {
        let clusters = self.raw.num_clusters;
        let id = self.id.iter().map(|id| EXTERNAL + id.len());
        let xattrs = self.xattrs.sizes().into_iter().chain(id);
        match self.raw.use_extent_table && !self.raw.thin_provision {
            true => all_pages(xattrs, clusters),
            false => pages(xattrs, clusters),
        }
    }
}
