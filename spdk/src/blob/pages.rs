//! Pages of metadata: how many a blob has, and whether so many are left.
//!
//! When the store has a page for the first of them and not for all, SPDK 26.01 writes nothing, and reports success. So this
//! looks before it is asked to.
#![allow(unsafe_code)] // Has C take pages, and give them back.

use std::cell::Cell;
use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use super::id::BlobId;
use super::options::blob_defaults;
use super::xattrs::{XATTR, sizes};
use crate::error::Fault;
use crate::panic::guard;
use crate::{log, sys};

/// What a page has for its content, and what comes before the attributes.
pub(super) const CONTENT: usize = 4072;
const FLAGS: usize = 29;
/// The attributes of SPDK's own: the parent of a blob, and what a snapshot is marked with until it is made.
pub(super) const PARENT: usize = XATTR + "SNAP".len() + size_of::<sys::spdk_blob_id>();
pub(super) const UNFINISHED: usize = XATTR + "SNAPTMP".len() + size_of::<sys::spdk_blob_id>();
pub(super) const EXTERNAL: usize = XATTR + "EXTSNAP".len();
/// For how many clusters a blob has an extent page, unless it has no extent table, and what is said of each.
const CLUSTERS: u64 = 512;
const EXTENT_PAGE: usize = 8;
/// What its table has before that, in each page.
const TABLE: usize = 13;
/// For how many pages are looked at most: the look for each is inside of the one before, on the stack.
const MOST: u32 = 256;

/// How many pages a blob has whose attributes have these sizes. One without an extent table may have more.
pub(super) fn pages(xattrs: impl IntoIterator<Item = usize>, clusters: u64) -> u32 {
    let (mut pages, mut left) = (1, CONTENT - FLAGS);
    for size in xattrs {
        if size > left {
            (pages, left) = (pages + 1, CONTENT);
        }
        left = left.saturating_sub(size);
    }
    let extent_pages = usize::try_from(extent_pages(clusters)).unwrap_or(usize::MAX);
    let table = extent_pages.max(1).saturating_mul(EXTENT_PAGE);
    let more = table
        .saturating_sub(left.saturating_sub(TABLE))
        .div_ceil(CONTENT - TABLE);
    pages + u32::try_from(more).unwrap_or(u32::MAX - pages)
}

/// How many pages a new blob has that has all of its clusters, with those for them, or 1 if SPDK looks for each of them: for
/// the first of either it does.
pub(super) fn all_pages(xattrs: impl IntoIterator<Item = usize>, clusters: u64) -> u32 {
    let (own, extents) = (pages(xattrs, clusters), extent_pages(clusters));
    match own > 1 || extents > 1 {
        true => own.saturating_add(extents.try_into().unwrap_or(u32::MAX)),
        false => own,
    }
}

/// How many extent pages so many clusters have.
pub(super) fn extent_pages(clusters: u64) -> u64 {
    clusters.div_ceil(CLUSTERS)
}

/// The sizes of all attributes that an open blob has.
///
/// # Safety
/// The blob is open, and this is the metadata thread of its store, which is loaded.
pub(super) unsafe fn xattrs_of(
    bs: *mut sys::spdk_blob_store,
    blob: *mut sys::spdk_blob,
) -> Result<Vec<usize>, Fault> {
    // SAFETY: passed on; what is asked for is only looked at.
    unsafe {
        let mut all = sizes(blob)?;
        let parent = sys::spdk_blob_get_parent_snapshot(bs, sys::spdk_blob_get_id(blob));
        let (mut id, mut length) = (ptr::null(), 0);
        if sys::spdk_blob_get_esnap_id(blob, &mut id, &mut length) == 0 {
            all.push(EXTERNAL + length);
        } else if BlobId::from_c(parent).is_some() {
            all.push(PARENT);
        }
        Ok(all)
    }
}

/// Looks how many pages no blob has.
struct Look {
    bs: *mut sys::spdk_blob_store,
    /// How many more there have to be.
    missing: Cell<u32>,
}

/// Whether there are so many pages that no blob has, or [`MOST`].
///
/// SPDK takes one for a blob before it asks for the blob's attributes, and gives it back if there is none of that name. Nothing
/// is written.
///
/// # Safety
/// The store is loaded, and this is its metadata thread.
pub(super) unsafe fn are_left(bs: *mut sys::spdk_blob_store, count: u32) -> bool {
    let missing = Cell::new(count.min(MOST));
    let look = Look { bs, missing };
    // That these blobs are not made is no news.
    log::without(c"bs_create_blob", || {
        // SAFETY: passed on.
        unsafe { take(&look) }
    });
    look.missing.get() == 0
}

/// # Safety
/// As for [`are_left`].
unsafe fn take(look: &Look) {
    if look.missing.get() == 0 {
        return;
    }
    let mut name = c"page".as_ptr().cast_mut();
    let mut opts = blob_defaults();
    opts.xattrs = sys::spdk_blob_xattr_opts {
        count: 1,
        names: &raw mut name,
        ctx: ptr::from_ref(look).cast_mut().cast(),
        get_value: Some(has_taken),
    };
    // SAFETY: passed on. It calls back before it returns, since the blob is not made, so what it uses is kept long enough.
    unsafe { sys::spdk_bs_create_blob_ext(look.bs, &opts, Some(ignored), ptr::null_mut()) };
}

/// SPDK has taken one.
unsafe extern "C" fn has_taken(
    ctx: *mut c_void,
    _: *const c_char,
    value: *mut *const c_void,
    length: *mut usize,
) {
    guard("value of an attribute", || {
        // SAFETY: the context is that of `take`, in whose call this is. C gives two places for the answer.
        unsafe {
            let look = &*ctx.cast::<Look>();
            look.missing.set(look.missing.get() - 1);
            take(look);
            (*value, *length) = (ptr::null(), 0);
        }
    });
}

unsafe extern "C" fn ignored(_: *mut c_void, _: sys::spdk_blob_id, _: c_int) {}

#[cfg(test)]
mod tests {
    use super::{CLUSTERS, CONTENT, FLAGS, pages};

    #[test]
    fn what_fits_into_a_page_has_one() {
        let rest = CONTENT - FLAGS - 21;
        assert_eq!(pages([], 0), 1);
        assert_eq!(pages([rest], CLUSTERS), 1);
        assert_eq!(pages([rest + 1], CLUSTERS), 2);
        assert_eq!(pages([rest], CLUSTERS + 1), 2);
        // None is divided.
        assert_eq!(pages([3000, 3000, 1000, 3000], 0), 3);
        assert_eq!(pages([3000, 3000, 3000, 1000], 0), 3);
        // The table of clusters is.
        assert_eq!(pages([], CLUSTERS * 500), 1);
        assert_eq!(pages([], CLUSTERS * 600), 2);
    }
}
