//! The calls of stores and volumes that write.

use spdk::lvol::{Lvol, LvolStore};

use crate::{BYTES, CLUSTER, thin, write};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    RenameStore,
    CreateThick,
    CreateThin,
    CreateEsnapClone,
    /// Clusters that are there.
    WriteThick,
    /// A cluster more, in the page that lists it.
    WriteSome,
    /// The first cluster.
    WriteNone,
    /// A cluster that is copied from the snapshot.
    WriteClone,
    EnlargeThick,
    EnlargeThin,
    Shrink,
    Snapshot,
    SnapshotOfClone,
    SnapshotOfExternal,
    Rename,
    Inflate,
    InflateExternal,
    Decouple,
    SetParent,
    SetExternalParent,
    SetReadOnly,
    DestroyThick,
    DestroyClone,
    DestroySnapshot,
    Grow,
    Unload,
    Destroy,
}

impl Call {
    /// Whether the store is not loaded after it.
    pub(super) fn ends_store(self) -> bool {
        matches!(self, Call::Unload | Call::Destroy)
    }

    /// The volume that it destroys.
    pub(super) fn destroys(self) -> Option<&'static str> {
        match self {
            Call::DestroyThick => Some("thick"),
            Call::DestroyClone => Some("origin"),
            Call::DestroySnapshot => Some("snapshot"),
            _ => None,
        }
    }

    /// Whether SPDK 26.01 crashes if it fails to write this: what a new snapshot has got of a volume that depends on
    /// another one. Of a snapshot of a clone, whose metadata is written then, it crashes when the store is loaded.
    pub(super) fn crashes(self, write: u64) -> bool {
        match self {
            Call::SnapshotOfClone => [2, 3].contains(&write),
            Call::SnapshotOfExternal => write == 2,
            _ => false,
        }
    }

    /// Whether SPDK 26.01 goes on with what it has not written, when it fails, if the volume, or the clone of a snapshot,
    /// stays open: it gives away clusters that the volume has, or holds back its I/O for ever.
    pub(super) fn breaks_what_is_open(self) -> bool {
        matches!(
            self,
            Call::WriteNone
                | Call::Snapshot
                | Call::SnapshotOfClone
                | Call::SnapshotOfExternal
                | Call::DestroySnapshot
        )
    }

    /// How many failures SPDK 26.01 does not tell.
    pub(super) fn untold(self) -> u64 {
        match self {
            // That of the page with clusters, and of what comes before that.
            Call::WriteNone => 2,
            Call::DestroySnapshot => 1,
            // Those of the deletion of the blob that volumes are found by, after which all is overwritten.
            Call::Destroy => 2,
            _ => 0,
        }
    }

    /// The volume that has lost what it had after a failure that was not told.
    pub(super) fn loses(self) -> Option<&'static str> {
        match self {
            Call::WriteNone => Some("none"),
            Call::DestroySnapshot => Some("origin"),
            _ => None,
        }
    }

    /// Whether SPDK 26.01 leaves clusters to two volumes if it fails: to the snapshot and its clone.
    pub(super) fn shares(self) -> bool {
        self == Call::DestroySnapshot
    }

    /// What comes before it, of which every write succeeds.
    pub(super) async fn prepare(self, store: &LvolStore) -> spdk::Result<()> {
        match self {
            Call::Unload => store.rename("other").await,
            _ => Ok(()),
        }
    }

    pub(super) async fn make(self, store: &LvolStore) -> spdk::Result<()> {
        match self {
            Call::RenameStore => store.rename("renamed").await,
            Call::CreateThick => closed(store.create_lvol("new", 2 * BYTES, None).await).await,
            Call::CreateThin => {
                closed(store.create_lvol("new", 2 * BYTES, Some(&thin())).await).await
            }
            Call::CreateEsnapClone => closed(store.create_esnap_clone("new", "E").await).await,
            Call::WriteThick => written(store, "thick", 1, 2).await,
            Call::WriteSome => written(store, "some", 1, 1).await,
            Call::WriteNone => written(store, "none", 1, 1).await,
            Call::WriteClone => written(store, "origin", 1, 1).await,
            Call::Grow => store.grow().await,
            Call::Unload => store.unload().await,
            Call::Destroy => store.destroy().await,
            Call::DestroyThick => store.destroy_lvol("thick").await,
            Call::DestroyClone => store.destroy_lvol("origin").await,
            Call::DestroySnapshot => store.destroy_lvol("snapshot").await,
            Call::EnlargeThick | Call::Shrink | Call::Rename | Call::SetReadOnly => {
                self.change(store, "thick").await
            }
            Call::EnlargeThin => self.change(store, "some").await,
            Call::Snapshot => self.change(store, "thick").await,
            Call::SnapshotOfClone | Call::Inflate | Call::Decouple => {
                self.change(store, "origin").await
            }
            Call::SnapshotOfExternal | Call::InflateExternal => {
                self.change(store, "external").await
            }
            Call::SetParent | Call::SetExternalParent => self.change(store, "none").await,
        }
    }

    /// Of an open volume, which is closed then.
    async fn change(self, store: &LvolStore, name: &str) -> spdk::Result<()> {
        let lvol = store.open_lvol(name).await?;
        let changed = match self {
            Call::EnlargeThick | Call::EnlargeThin => lvol.resize(5 * BYTES).await,
            Call::Shrink => lvol.resize(BYTES).await,
            Call::Rename => lvol.rename("renamed").await,
            Call::SetReadOnly => lvol.set_read_only().await,
            Call::Snapshot | Call::SnapshotOfClone | Call::SnapshotOfExternal => {
                closed(lvol.create_snapshot("new").await).await
            }
            Call::Inflate | Call::InflateExternal => lvol.inflate().await,
            Call::Decouple => lvol.decouple_parent().await,
            Call::SetParent => {
                let snapshot = store.open_lvol("snapshot").await?;
                let set = lvol.set_parent(&snapshot).await;
                set.and(snapshot.close().await)
            }
            Call::SetExternalParent => lvol.set_external_parent("E").await,
            _ => unreachable!("{self:?} opens no volume"),
        };
        changed.and(lvol.close().await)
    }
}

async fn closed(made: spdk::Result<Lvol>) -> spdk::Result<()> {
    made?.close().await
}

/// Writes generation 6.
async fn written(store: &LvolStore, name: &str, first: u64, clusters: u64) -> spdk::Result<()> {
    let lvol = store.open_lvol(name).await?;
    let ch = store.alloc_io_channel()?;
    let written = write(&lvol, &ch, first * CLUSTER, clusters * CLUSTER, 6).await;
    drop(ch);
    written.and(lvol.close().await)
}
