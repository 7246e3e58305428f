//! [`SnapshotTree`]: which blob depends on which.
#![allow(unsafe_code)] // Asks a store on its metadata thread.

use std::collections::BTreeMap;
use std::fmt;
use std::iter;

use super::blobstore::Blobstore;
use super::id::BlobId;
use crate::error::Result;
use crate::sys;

/// Which blobs of a store depend on which snapshots, as [`Blobstore::snapshot_tree`] has found them.
///
/// Printed, it has a line for each blob, below its snapshot and further in:
///
/// ```text
/// 0x100000001
///   0x100000000
///   0x100000002
/// 0x100000003
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotTree(BTreeMap<BlobId, Links>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Links {
    parent: Option<BlobId>,
    clones: Vec<BlobId>,
}

impl Blobstore {
    /// All blobs, and which snapshot each depends on, as it is in one moment.
    ///
    /// A blob that is made while it looks for them is among them or not; what depends on an external snapshot has no parent
    /// here. It has one blob after the other open, as [`Blobstore::blobs`] has: one that is deleted then is refused.
    ///
    /// Wraps `spdk_bs_iter_first`, `spdk_bs_iter_next` and `spdk_blob_get_parent_snapshot`.
    ///
    /// # Errors
    ///
    /// Those of [`Blobstore::blobs`] about the store. A blob that cannot be opened is there.
    ///
    /// # Cancellation
    ///
    /// It changes nothing, so that nothing is left of a future that is dropped.
    ///
    /// # Thread
    ///
    /// Any spdk_thread.
    pub async fn snapshot_tree(&self) -> Result<SnapshotTree> {
        let (mut blobs, mut ids) = (self.blobs(), Vec::new());
        while let Some(id) = blobs.next_id().await {
            ids.push(id?);
        }
        let read = move |bs| {
            let parent = |id: BlobId| {
                // SAFETY: the store is loaded, and this is its metadata thread.
                BlobId::from_c(unsafe { sys::spdk_blob_get_parent_snapshot(bs, id.get()) })
            };
            Ok(SnapshotTree::new(
                ids.into_iter().map(|id| (id, parent(id))),
            ))
        };
        self.visit("spdk_blob_get_parent_snapshot", read).await
    }
}

impl SnapshotTree {
    fn new(parents: impl Iterator<Item = (BlobId, Option<BlobId>)>) -> Self {
        let mut tree: BTreeMap<BlobId, Links> = BTreeMap::new();
        for (id, parent) in parents {
            tree.entry(id).or_default().parent = parent;
            if let Some(parent) = parent {
                tree.entry(parent).or_default().clones.push(id);
            }
        }
        for links in tree.values_mut() {
            links.clones.sort_unstable();
        }
        SnapshotTree(tree)
    }

    /// All blobs.
    pub fn blobs(&self) -> impl Iterator<Item = BlobId> {
        self.0.keys().copied()
    }

    /// Those that depend on no snapshot.
    pub fn roots(&self) -> impl Iterator<Item = BlobId> {
        let roots = self.0.iter().filter(|(_, links)| links.parent.is_none());
        roots.map(|(id, _)| *id)
    }

    /// The snapshot that a blob depends on; `None` if it depends on none, or is not there.
    pub fn parent(&self, id: BlobId) -> Option<BlobId> {
        self.0.get(&id)?.parent
    }

    /// The blobs that depend on a snapshot.
    pub fn clones(&self, id: BlobId) -> &[BlobId] {
        self.0.get(&id).map_or(&[], |links| &links.clones)
    }

    /// What a blob reads through, beginning with its parent.
    pub fn ancestors(&self, id: BlobId) -> impl Iterator<Item = BlobId> {
        iter::successors(self.parent(id), |id| self.parent(*id))
    }
}

impl fmt::Display for SnapshotTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A chain may be longer than the stack is deep.
        let mut left: Vec<_> = self.roots().map(|root| (root, 0)).collect();
        left.reverse();
        while let Some((id, depth)) = left.pop() {
            writeln!(f, "{:1$}{id}", "", 2 * depth)?;
            left.extend(self.clones(id).iter().rev().map(|id| (*id, depth + 1)));
        }
        Ok(())
    }
}
