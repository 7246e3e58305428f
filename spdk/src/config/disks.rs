//! Bdevs upon memory, files and nothing.

use std::future::Future;

use serde_json::{Map, Value};

use super::method::{Entry, Field, Kind, Method, Param, Uuid, methods};

methods! {
    TABLE, "bdev":

    /// A bdev in memory.
    ///
    /// `new` takes its name, the size of a block in bytes (a multiple of 512) and how many blocks it
    /// has.
    ///
    /// When more unmaps and writes of zeroes are in flight on an spdk_thread than SPDK's accel framework has tasks there, 2048 by
    /// default, the others fail. Reads, writes and copies wait.
    "bdev_malloc_create" => Malloc(name [optional]: String, block_size: u32, num_blocks: u64) {
        /// Its UUID; a random one by default.
        uuid: Uuid,
        /// The size of a physical block in bytes: a power of two, at least 512; `block_size` by default.
        physical_block_size: u32,
        /// I/O is split at multiples of this many blocks; 0, the default, for nowhere.
        optimal_io_boundary: u32,
        /// Bytes of metadata for each block: 0, 8, 16, 32, 64 or 128; 0 by default.
        md_size: u32,
        /// Whether the metadata follows each block instead of being apart; `false` by default.
        md_interleave: bool,
        /// The type of protection information in the metadata: 1, 2 or 3; 0, the default, for none.
        dif_type: i32,
        /// Whether the protection information is at the begin of the metadata instead of its end;
        /// `false` by default.
        dif_is_head_of_md: bool,
        /// The format of the protection information: 0, the default, for a 16-bit guard, 1 for 32 bits
        /// and 2 for 64 bits.
        dif_pi_format: u32,
        /// The NUMA node of its memory; -1, the default, for any.
        numa_id: i32,
    }
    call create -> String;
    delete delete = "bdev_malloc_delete"("name");

    /// A bdev that reads zeroes, or nothing, and forgets what is written.
    ///
    /// `new` takes its name, the size of a block in bytes (a multiple of 512, without its metadata) and
    /// how many blocks it has.
    "bdev_null_create" => Null(name: String, block_size: u32, num_blocks: u64) {
        /// Its UUID; a random one by default.
        uuid: Uuid,
        /// The size of a physical block in bytes, a multiple of 512; `block_size` by default.
        physical_block_size: u32,
        /// Bytes of metadata at the end of each block: 0, 8, 16, 32, 64 or 128; 0 by default.
        md_size: u32,
        /// The type of protection information in the metadata: 1, 2 or 3; 0, the default, for none.
        dif_type: i32,
        /// Whether the protection information is at the begin of the metadata instead of its end;
        /// `false` by default.
        dif_is_head_of_md: bool,
        /// The format of the protection information: 0, the default, for a 16-bit guard, 1 for 32 bits
        /// and 2 for 64 bits.
        dif_pi_format: u32,
        /// Tells its users to align writes to this many blocks.
        preferred_write_alignment: u32,
        /// Tells its users to write multiples of this many blocks.
        preferred_write_granularity: u32,
        /// Tells its users to write this many blocks at once.
        optimal_write_size: u32,
        /// Tells its users to align unmaps to this many blocks.
        preferred_unmap_alignment: u32,
        /// Tells its users to unmap multiples of this many blocks.
        preferred_unmap_granularity: u32,
    }
    call create -> String;
    delete delete = "bdev_null_delete"("name");

    /// Gives a [`Null`] bdev another size.
    ///
    /// `new` takes its name and the new size in MiB.
    "bdev_null_resize" => NullResize(name: String, new_size: u64) {}
    call resize -> ();

    /// A bdev upon a file or a block device of Linux, by libaio.
    ///
    /// `new` takes its name and the path.
    "bdev_aio_create" => Aio(name: String, filename: String) {
        /// The size of a block in bytes; that of the block device by default. A file needs it.
        block_size: u32,
        /// Refuses writes; `false` by default.
        readonly: bool,
        /// Lets unmap and write zeroes call `fallocate`, which blocks; `false` by default.
        fallocate: bool,
        /// Its UUID; a random one by default.
        uuid: Uuid,
        /// Sets `RWF_NOWAIT`, which needs a block device; `false` by default.
        nowait: bool,
    }
    call create -> String;
    delete delete = "bdev_aio_delete"("name");

    /// Has an [`Aio`] bdev look at the size of its file again.
    ///
    /// `new` takes its name.
    "bdev_aio_rescan" => AioRescan(name: String) {}
    call rescan -> ();

    /// A bdev upon a file or a block device of Linux, by io_uring.
    ///
    /// `new` takes its name and the path.
    "bdev_uring_create" => Uring(name: String, filename: String) {
        /// The size of a block in bytes; that of the block device by default. A file needs it.
        block_size: u32,
        /// Its UUID; a random one by default.
        uuid: Uuid,
    }
    call create -> String;
    delete delete = "bdev_uring_delete"("name");

    /// Has a [`Uring`] bdev look at the size of its file again.
    ///
    /// `new` takes its name.
    "bdev_uring_rescan" => UringRescan(name: String) {}
    call rescan -> ();
}
