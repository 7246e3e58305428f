//! Bdevs upon other bdevs.

use std::future::Future;

use serde_json::{Map, Value};

use super::method::{
    self, Entry, Field, Kind, Method, Names, Param, Table, Uuid, choices, methods,
};
use crate::error::Result;

choices! {
    /// What an [`InjectError`] applies to.
    InjectInto: Choice {
        /// Reads.
        Read = "read",
        /// Writes.
        Write = "write",
        /// Flushes.
        Flush = "flush",
        /// Unmaps.
        Unmap = "unmap",
        /// Every operation.
        All = "all",
        /// No operation: takes back what was injected.
        Clear = "clear",
    }

    /// What an [`InjectError`] does.
    InjectedError: Choice {
        /// The operation fails.
        Failure = "failure",
        /// The operation does not end, until a reset or until the errors are cleared.
        Pending = "pending",
        /// One byte of the data is changed. Of reads only, since SPDK changes what is written in the memory of the program.
        CorruptData = "corrupt_data",
        /// The operation fails for a lack of memory, so that it is submitted again.
        NoMemory = "nomem",
    }

    /// Which latency of a [`Delay`] bdev.
    Latency: Choice {
        /// The average of reads.
        AvgRead = "avg_read",
        /// The 99th percentile of reads.
        P99Read = "p99_read",
        /// The average of writes.
        AvgWrite = "avg_write",
        /// The 99th percentile of writes.
        P99Write = "p99_write",
    }

    /// How a [`Raid`] bdev uses its base bdevs.
    RaidLevel: Word {
        /// Striped, without redundancy.
        Raid0 = "raid0" or "0",
        /// Mirrored.
        Raid1 = "raid1" or "1",
        /// Striped, with parity; writes are full stripes. For an SPDK that was built with it.
        Raid5f = "raid5f" or "5f",
        /// One after the other.
        Concat = "concat",
    }
}

methods! {
    TABLE, "bdev":

    /// A bdev that fails on request, called `EE_` and the name of its base bdev.
    ///
    /// `new` takes the name of the base bdev, which may [appear later](crate::config). See [`InjectError`].
    ///
    /// An operation fails in SPDK 26.01 when there is no `spdk_bdev_io` for the base bdev, instead of waiting for one.
    ///
    /// SPDK 26.01 crashes as it examines one whose base bdev has metadata apart and a `dif_type` of 1 or 2, which
    /// [`BdevOptions::bdev_auto_examine`](super::BdevOptions::bdev_auto_examine) prevents.
    "bdev_error_create" => ErrorBdev(base_name: String) {
        /// Its UUID; made of that of the base bdev by default. SPDK 26.01 saves it, but overwrites it with
        /// the default when it makes the bdev.
        uuid: Uuid,
    }
    delete delete = "bdev_error_delete"("name");

    /// Has operations of an [`ErrorBdev`] fail.
    ///
    /// `new` takes the name of the bdev, which operations and what happens to them.
    "bdev_error_inject_error" => InjectError(
        name: String, io_type: InjectInto, error_type: InjectedError
    ) {
        /// How many operations; 1 by default.
        num: u32,
        /// Only while this many operations are in flight on a channel, or more.
        queue_depth: u64,
        /// Which byte of the data to corrupt.
        corrupt_offset: u64,
        /// What to combine that byte with by exclusive or: 1 to 255.
        corrupt_value: u8,
    }
    call inject -> ();

    /// A bdev that takes time.
    ///
    /// `new` takes its name and that of its base bdev, which may [appear later](crate::config). The latencies
    /// are in microseconds. The averages are 0 by default, and the 99th percentiles are the averages; they
    /// cannot be less.
    ///
    /// SPDK 26.01 has it fail the copies that its base bdev can do, such as a [`Malloc`](super::Malloc): so do the first writes to
    /// clusters that a blob, or a volume, shares with a snapshot.
    "bdev_delay_create" => Delay(name: String, base_bdev_name: String) {
        /// Its UUID; made of that of the base bdev by default.
        uuid: Uuid,
        /// What most reads take at least.
        avg_read_latency: u64 = |_| 0.into(),
        /// What one read of a hundred takes at least.
        p99_read_latency: u64 = |set| set["avg_read_latency"].clone(),
        /// What most writes take at least.
        avg_write_latency: u64 = |_| 0.into(),
        /// What one write of a hundred takes at least.
        p99_write_latency: u64 = |set| set["avg_write_latency"].clone(),
    }
    call create -> String;
    delete delete = "bdev_delay_delete"("name");

    /// Changes a latency of a [`Delay`] bdev.
    ///
    /// `new` takes the name of the bdev, which latency, and how many microseconds.
    "bdev_delay_update_latency" => DelayLatency(
        delay_bdev_name: String, latency_type: Latency, latency_us: u64
    ) {}
    call update -> ();

    /// A bdev that passes everything on.
    ///
    /// `new` takes its name and that of its base bdev, which may [appear later](crate::config).
    "bdev_passthru_create" => Passthru(name: String, base_bdev_name: String) {
        /// Its UUID; made of that of the base bdev by default.
        uuid: Uuid,
    }
    call create -> String;
    delete delete = "bdev_passthru_delete"("name");

    /// Bdevs that are the parts of another one, called by its name with `p0`, `p1` and so on.
    ///
    /// `new` takes the name of the base bdev, which may [appear later](crate::config), and how many parts.
    ///
    /// SPDK 26.01 crashes as it examines one whose base bdev has metadata apart and a `dif_type` of 1 or 2, which
    /// [`BdevOptions::bdev_auto_examine`](super::BdevOptions::bdev_auto_examine) prevents.
    "bdev_split_create" => Split(base_bdev: String, split_count: u32) {
        /// The size of each part in MiB; as large as they can be by default.
        split_size_mb: u64,
    }
    call create -> Names;
    delete delete = "bdev_split_delete"("base_bdev");

    /// A bdev upon several others.
    ///
    /// `new` takes its name, how it uses the base bdevs, and their names.
    ///
    /// SPDK 26.01 uses memory that it has freed when one is deleted before the method that creates it has ended, which a
    /// dropped future of [`Raid::create`] does not wait for. A base bdev that is deleted before that goes with the raid only:
    /// its deletion waits until then. SPDK crashes when a base bdev of a `Raid0` changes its size while another is missing.
    ///
    /// With base bdevs that are there, one whose strips have a number of blocks that is no power of two is refused, and so is one of
    /// blocks of more than 4096 bytes, except a `Raid1`, while
    /// [`BdevOptions::bdev_auto_examine`](super::BdevOptions::bdev_auto_examine) is set: SPDK 26.01 loses data of the first, and never
    /// ends its look at the second.
    ///
    /// `Raid1` and `Raid5f` give up a base bdev on which I/O fails, also by a [reset](crate::BdevDesc::reset); an end of the
    /// application that has to reset devices, since I/O does not end, is one.
    "bdev_raid_create" => Raid(name: String, raid_level: RaidLevel, base_bdevs: Names) {
        /// The size of a strip in KiB, a power of two, for `Raid0`, `Raid5f` and `Concat`, which need
        /// it.
        strip_size_kb: u32,
        /// Its UUID; a random one by default.
        uuid: Uuid,
        /// Writes to each base bdev what it is a part of, so that it is found again; `false` by default.
        superblock: bool,
    }
    delete delete = "bdev_raid_delete"("name");

    /// Adds a base bdev to a [`Raid`] bdev, and rebuilds what it misses.
    ///
    /// `new` takes the names of the raid bdev and of the base bdev.
    "bdev_raid_add_base_bdev" => RaidAddBase(raid_bdev: String, base_bdev: String) {}
    call add -> ();

    /// Removes a base bdev from its [`Raid`] bdev.
    ///
    /// `new` takes the name of the base bdev.
    "bdev_raid_remove_base_bdev" => RaidRemoveBase(name: String) {}
    call remove -> ();

    /// How [`Raid`] bdevs rebuild.
    "bdev_raid_set_options" => RaidOptions() {
        /// How much is rebuilt at once, in KiB.
        process_window_size_kb: u32,
        /// How much is rebuilt in a second at most, in MiB; 0, the default, for no limit.
        process_max_bandwidth_mb_sec: u32,
    }
    call set -> ();

    /// A bdev with zones.
    ///
    /// `new` takes its name, that of its base bdev, which may [appear later](crate::config), the blocks of a
    /// zone, and how many open zones give the best speed.
    ///
    /// A write that has no `spdk_bdev_io` for the base bdev ([`BdevOptions::bdev_io_pool_size`](super::BdevOptions)), or fails
    /// there, has moved the write pointer in SPDK 26.01: an append leaves a hole, and another write then fails.
    "bdev_zone_block_create" => ZoneBlock(
        name: String, base_bdev: String, zone_capacity: u64, optimal_open_zones: u64
    ) {}
    call create -> String;
    delete delete = "bdev_zone_block_delete"("name");
}

impl ErrorBdev {
    /// Calls the method in the running application, and returns the name of the new bdev.
    ///
    /// # Errors
    ///
    /// As for [`rpc::call`](crate::rpc::call).
    ///
    /// # Cancellation
    ///
    /// The method runs on when the future is dropped, as with [`rpc::call`](crate::rpc::call).
    pub async fn create(&self) -> Result<String> {
        method::run::<()>(Self::TABLE, self.params()).await?;
        let base = self.params["base_name"].as_str().unwrap_or_default();
        Ok(format!("EE_{base}"))
    }
}

impl Raid {
    /// Calls the method in the running application, and returns the name of the new bdev. It appears
    /// when all its base bdevs are there.
    ///
    /// # Errors
    ///
    /// As for [`rpc::call`](crate::rpc::call).
    ///
    /// # Cancellation
    ///
    /// The method runs on when the future is dropped, as with [`rpc::call`](crate::rpc::call).
    pub async fn create(&self) -> Result<String> {
        method::run::<()>(Self::TABLE, self.params()).await?;
        let name = self.params["name"].as_str().unwrap_or_default();
        Ok(name.to_owned())
    }
}
