//! Logical volumes and the flash translation layer.

use std::future::Future;

use serde_json::{Map, Value};

use super::method::{Answer, Entry, Field, Kind, Method, Param, Uuid, choices, methods};
use crate::error::Result;

choices! {
    /// How the clusters of a device are cleared before they are used.
    ClearMethod: Word {
        /// Not at all.
        None = "none",
        /// By unmap.
        Unmap = "unmap",
        /// By writing zeroes.
        WriteZeroes = "write_zeroes",
    }
}

methods! {
    TABLE, "bdev":

    /// A store of logical volumes on a bdev, **whose data it overwrites**. `create` returns its UUID.
    ///
    /// `new` takes the name of the bdev and that of the store.
    "bdev_lvol_create_lvstore" => LvolStore(bdev_name: String, lvs_name: String) {
        /// The size of a cluster in bytes; 4 MiB by default.
        cluster_sz: u32,
        /// How the device is cleared; by unmap by default.
        clear_method: ClearMethod,
        /// How many pages of metadata to reserve for a hundred clusters; 100 by default.
        num_md_pages_per_cluster_ratio: u32,
        /// The size of a page of metadata in bytes; by default 4 KiB, or the physical block if that is
        /// larger.
        md_page_size: u32,
    }
    call create -> String;

    /// Deletes a [`LvolStore`] with its volumes. One of the two parameters says which store.
    "bdev_lvol_delete_lvstore" => LvolStoreDelete() {
        /// The UUID of the store.
        uuid: Uuid,
        /// The name of the store.
        lvs_name: String,
    }
    call delete -> ();

    /// Has a [`LvolStore`] use all of a bdev that has grown. One of the two parameters says which store.
    "bdev_lvol_grow_lvstore" => LvolStoreGrow() {
        /// The UUID of the store.
        uuid: Uuid,
        /// The name of the store.
        lvs_name: String,
    }
    call grow -> ();

    /// Gives a [`LvolStore`] another name.
    ///
    /// `new` takes the old name and the new one.
    "bdev_lvol_rename_lvstore" => LvolStoreRename(old_name: String, new_name: String) {}
    call rename -> ();

    /// A logical volume. `create` returns its UUID, which is the name of its bdev; the name of the store,
    /// a slash and its own name are an alias. [`Lvol::lvs_name`] or [`Lvol::uuid`] says in which store.
    ///
    /// `new` takes its name and its size in MiB.
    "bdev_lvol_create" => Lvol(lvol_name: String, size_in_mib: u64) {
        /// The name of the store.
        lvs_name: String,
        /// The UUID of the store.
        uuid: Uuid,
        /// Takes clusters only when they are written; `false` by default.
        thin_provision: bool,
        /// How its clusters are cleared; as the store says by default.
        clear_method: ClearMethod,
    }
    call create -> String;
    delete delete = "bdev_lvol_delete"("name");

    /// A read-only volume with what is on another one now. `create` returns its UUID.
    ///
    /// `new` takes the UUID or the alias of the other one, and the name of the snapshot.
    "bdev_lvol_snapshot" => LvolSnapshot(lvol_name: String, snapshot_name: String) {}
    call create -> String;

    /// A volume that begins with what is on a snapshot. `create` returns its UUID.
    ///
    /// `new` takes the UUID or the alias of the snapshot, and the name of the volume.
    "bdev_lvol_clone" => LvolClone(
        snapshot_name: String, clone_name [optional]: String
    ) {}
    call create -> String;

    /// A volume that begins with what is on a bdev. `create` returns its UUID.
    ///
    /// `new` takes the name or the UUID of the bdev, the name of the store, and that of the volume.
    "bdev_lvol_clone_bdev" => LvolCloneBdev(bdev: String, lvs_name: String, clone_name: String) {}
    call create -> String;

    /// Gives a volume another name.
    ///
    /// `new` takes the UUID or the alias, and the new name.
    "bdev_lvol_rename" => LvolRename(old_name: String, new_name: String) {}
    call rename -> ();

    /// Gives a volume another size.
    ///
    /// `new` takes the UUID or the alias, and the new size in MiB.
    "bdev_lvol_resize" => LvolResize(name: String, size_in_mib: u64) {}
    call resize -> ();

    /// Lets nobody write to a volume any more.
    ///
    /// `new` takes the UUID or the alias.
    "bdev_lvol_set_read_only" => LvolReadOnly(name: String) {}
    call set -> ();

    /// Gives a volume clusters of its own for all that it has not, and no snapshot any more.
    ///
    /// `new` takes the UUID or the alias.
    "bdev_lvol_inflate" => LvolInflate(name: String) {}
    call inflate -> ();

    /// Gives a volume what only its snapshot has, and that snapshot's own one instead.
    ///
    /// `new` takes the UUID or the alias.
    "bdev_lvol_decouple_parent" => LvolDecouple(name: String) {}
    call decouple -> ();

    /// Makes another snapshot the parent of a volume.
    ///
    /// `new` takes the UUIDs or aliases of both.
    "bdev_lvol_set_parent" => LvolParent(lvol_name: String, parent_name: String) {}
    call set -> ();

    /// Makes a bdev the parent of a volume.
    ///
    /// `new` takes the UUID or the alias of the volume, and the name of the bdev.
    "bdev_lvol_set_parent_bdev" => LvolParentBdev(lvol_name: String, parent_name: String) {}
    call set -> ();

    /// A bdev that writes a large device in order, with a non-volatile cache before it: SPDK's flash
    /// translation layer. **It overwrites both.** `create` returns `None` if one of them is missing: then
    /// it is made when that appears.
    ///
    /// `new` takes its name, that of the base bdev (at least 20 GiB) and that of the cache (at least
    /// 5 GiB).
    ///
    /// An unmap that is not made of whole pages of its map, 1024 blocks each, does nothing. On another core than that of its
    /// thread SPDK 26.01 loses I/O by one, which then never ends. [`BdevDesc::unmap`](crate::BdevDesc::unmap) refuses these; but
    /// blobs, volumes, bdevs and hosts of a target upon it unmap as they like, and belong on the core of its thread.
    ///
    /// SPDK 26.01 aborts the process when what FTL writes for itself fails on either device, at its end too. A device below it
    /// that is deleted waits for it.
    "bdev_ftl_create" => Ftl(name: String, base_bdev: String, cache: String) {
        /// Its UUID, for one that exists; all zeroes, the default, for a new one.
        uuid: Uuid,
        /// The cores that its thread may run on, as a mask or a list; the app thread's by default.
        core_mask: String,
        /// How much of the base bdev is kept for relocation, in percent; 20 by default.
        overprovisioning: u64,
        /// How much memory the map of addresses may take, in MiB; 2048 by default.
        l2p_dram_limit: u64,
        /// Leaves its state in shared memory at the end, for a quick start; `false` by default.
        fast_shutdown: bool,
    }
    call create -> Option<FtlDevice>;

    /// Deletes an [`Ftl`] bdev. SPDK 26.01 leaves its data as they are, as [`FtlUnload`] does.
    ///
    /// `new` takes its name.
    "bdev_ftl_delete" => FtlDelete(name: String) {
        /// As for [`Ftl::fast_shutdown`].
        fast_shutdown: bool,
    }
    call delete -> ();

    /// An [`Ftl`] bdev that exists. A UUID of zeroes is refused: SPDK would make a new one, and overwrite both. `load` returns `None` as [`Ftl::create`] does.
    ///
    /// `new` takes its name, the names of its base bdev and its cache, and its UUID.
    "bdev_ftl_load" => FtlLoad(name: String, base_bdev: String, cache: String, uuid: Uuid) {
        /// As for [`Ftl::core_mask`].
        core_mask: String,
        /// As for [`Ftl::overprovisioning`].
        overprovisioning: u64,
        /// As for [`Ftl::l2p_dram_limit`].
        l2p_dram_limit: u64,
        /// As for [`Ftl::fast_shutdown`].
        fast_shutdown: bool,
    }
    call load -> Option<FtlDevice>;

    /// Lets an [`Ftl`] bdev go, with its data as it is.
    ///
    /// `new` takes its name.
    "bdev_ftl_unload" => FtlUnload(name: String) {
        /// Leaves its state in shared memory, for a quick start; `false` by default.
        fast_shutdown: bool,
    }
    call unload -> ();

    /// Changes a property of an [`Ftl`] bdev.
    ///
    /// `new` takes the name of the bdev, that of the property, and the value.
    "bdev_ftl_set_property" => FtlProperty(name: String, ftl_property: String, value: String) {}
    call set -> ();
}

impl LvolStore {
    /// Deletes the store of this name, with its volumes: [`LvolStoreDelete::delete`].
    ///
    /// # Errors
    ///
    /// As for [`rpc::call`](crate::rpc::call). `ENODEV` if there is none of this name.
    ///
    /// # Cancellation
    ///
    /// The method runs on when the future is dropped, as with [`rpc::call`](crate::rpc::call).
    pub async fn delete(name: &str) -> Result<()> {
        LvolStoreDelete::new().lvs_name(name).delete().await
    }
}

impl Ftl {
    /// Deletes the bdev of this name, with its data: [`FtlDelete::delete`].
    ///
    /// # Errors
    ///
    /// As for [`rpc::call`](crate::rpc::call). `ENODEV` if there is none of this name.
    ///
    /// # Cancellation
    ///
    /// The method runs on when the future is dropped, as with [`rpc::call`](crate::rpc::call).
    pub async fn delete(name: &str) -> Result<()> {
        FtlDelete::new(name).delete().await
    }
}

/// An [`Ftl`] bdev that was created or loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FtlDevice {
    /// The name of the bdev.
    pub name: String,
    /// Its UUID, which [`FtlLoad`] takes.
    pub uuid: String,
}

impl Answer for Option<FtlDevice> {
    type Json = Value;
    fn of(json: Value) -> Self {
        // Where a device is missing SPDK answers with a sentence.
        let mut members = match json {
            Value::Object(members) => members,
            _ => return None,
        };
        let mut take = |key| match members.remove(key) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        Some(FtlDevice {
            name: take("name"),
            uuid: take("uuid"),
        })
    }
}
