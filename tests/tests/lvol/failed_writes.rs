//! Stores of which a write of the device fails, whichever it is.

mod calls;
mod ends;
mod state;

use spdk::lvol::LvolStore;
use spdk::{DmaBuf, Errno};
use spdk_tests::failing::FailingWrites;
use spdk_tests::wait::within;
use spdk_tests::{Device, assert_errno, pattern};

use crate::{BYTES, CLUSTER, UNIT, opts, thin, write};
use calls::Call;
use state::{Known, State, known, touch};

/// The bytes of a device with a store that has volumes of each kind, to begin with.
struct Image {
    bytes: DmaBuf,
    known: Known,
}

impl Image {
    /// Made on the bdev S; the bdev M is larger.
    async fn new() -> spdk::Result<Self> {
        fill_external().await?;
        let opts = opts().num_md_pages_per_cluster_ratio(1000);
        let store = LvolStore::init("S", "store", Some(&opts)).await?;
        make_volumes(&store).await?;
        let known = known(&store).await?;
        store.unload().await?;
        let device = Device::open("S")?;
        let mut bytes = device.buffer(device.bdev.num_blocks() as usize)?;
        device.desc.read(&device.ch, &mut bytes, 0).await?;
        Ok(Image { bytes, known })
    }

    async fn restore(&self) -> spdk::Result<()> {
        let device = Device::open("M")?;
        device.desc.write(&device.ch, &self.bytes, 0).await
    }
}

/// Writes the pattern of generation 9 to the bdev E.
async fn fill_external() -> spdk::Result<()> {
    let device = Device::open("E")?;
    let mut buf = device.buffer(2 * CLUSTER as usize)?;
    pattern::fill(&mut buf, UNIT, 0, 9);
    device.desc.write(&device.ch, &buf, 0).await
}

async fn make_volumes(store: &LvolStore) -> spdk::Result<()> {
    let ch = store.alloc_io_channel()?;
    let thick = store.create_lvol("thick", 3 * BYTES, None).await?;
    write(&thick, &ch, 0, 3 * CLUSTER, 1).await?;
    let some = store.create_lvol("some", 3 * BYTES, Some(&thin())).await?;
    write(&some, &ch, 0, CLUSTER, 2).await?;
    store.create_lvol("none", 2 * BYTES, Some(&thin())).await?;
    let origin = store.create_lvol("origin", 2 * BYTES, None).await?;
    write(&origin, &ch, 0, 2 * CLUSTER, 3).await?;
    origin.create_snapshot("snapshot").await?;
    write(&origin, &ch, 0, CLUSTER, 4).await?;
    let clone = store.create_esnap_clone("external", "E").await?;
    write(&clone, &ch, CLUSTER, CLUSTER, 5).await
}

/// A call, and what a store is before and after it.
struct Run {
    call: Call,
    image: Image,
    device: FailingWrites,
    before: State,
    after: State,
}

/// Which writes fail, and whether the volumes are open meanwhile.
#[derive(Clone, Copy)]
struct Failure {
    first: u64,
    count: u64,
    holds: bool,
}

/// What has become of a call, and of the unload after it.
struct Failed {
    called: spdk::Result<()>,
    unloaded: spdk::Result<()>,
    /// How many writes there were, and how many of them have failed.
    writes: u64,
    failed: u64,
}

impl Failed {
    /// With a device that has just had to fail.
    fn new(device: &FailingWrites, called: spdk::Result<()>, unloaded: spdk::Result<()>) -> Self {
        device.heal();
        Failed {
            called,
            unloaded,
            writes: device.writes(),
            failed: device.failed(),
        }
    }

    fn is_untold(&self) -> bool {
        self.failed > 0 && self.called.is_ok() && self.unloaded.is_ok()
    }
}

impl Run {
    /// Makes the call with a device that does not fail.
    async fn of(call: Call) -> spdk::Result<Self> {
        let image = Image::new().await?;
        image.restore().await?;
        let store = LvolStore::load("M").await?;
        call.prepare(&store).await?;
        let before = State::read(&store, &image.known, false).await?;
        call.make(&store).await?;
        if !call.ends_store() {
            store.unload().await?;
        }
        let (after, lost) = State::load(&image.known).await?;
        assert_eq!(lost, 0, "{after:?}");
        assert!(call == Call::Unload || before != after, "it does nothing");
        let device = FailingWrites::of("M");
        Ok(Run {
            call,
            image,
            device,
            before,
            after,
        })
    }

    async fn fail(&self, failure: Failure) -> spdk::Result<Failed> {
        self.image.restore().await?;
        let call = self.call;
        let store = LvolStore::load("M").await?;
        call.prepare(&store).await?;
        let mut held = Vec::new();
        if failure.holds {
            for info in store.lvols().await? {
                if call.destroys() != Some(&info.name) {
                    held.push(store.open_lvol(&info.name).await?);
                }
            }
        }
        self.device.fail(failure.first, failure.count);
        let called = within("the call", call.make(&store)).await;
        if self.device.failed() == failure.count && called.is_err() && !call.ends_store() {
            // It goes on with what it knows.
            let used = State::read(&store, &self.image.known, true);
            let used = within("the use", used).await?;
            used.assert_is_between(&self.before, &self.after, true);
            touch(&store).await?;
        }
        let mut closed = Ok(());
        for lvol in held {
            closed = closed.and(within("the close", lvol.close()).await);
        }
        let unloaded = match call.ends_store() {
            true => Ok(()),
            false => within("the unload", store.unload()).await,
        };
        Ok(Failed::new(&self.device, called, closed.and(unloaded)))
    }

    /// Checks what is left; returns whether no write was left that could fail.
    async fn check(&self, first: u64, failed: Failed) -> spdk::Result<bool> {
        let (is_untold, is_done) = (failed.is_untold(), failed.called.is_ok());
        let is_over = failed.failed == 0;
        if is_over {
            failed.called.and(failed.unloaded)?;
            // One has failed for each of them.
            assert_eq!(first, failed.writes);
            assert!(first > 0);
        } else {
            for result in [failed.called, failed.unloaded] {
                if result.is_err() {
                    assert_errno(result, Errno::EIO);
                }
            }
        }
        let (mut found, lost) = State::load(&self.image.known).await?;
        if is_untold && let Some(key) = self.call.loses() {
            found.replace(key, &self.after);
            assert_eq!(found, self.after, "write {first}");
            return Ok(is_over);
        }
        let mut plausible = 0..=0;
        if is_done {
            assert_eq!(found, self.after, "write {first}");
        } else {
            found.assert_is_between(&self.before, &self.after, false);
            // Until a store is recovered, SPDK takes the clusters for used that a call has taken that failed.
            let moved = self.after.moved_since(&self.before);
            let shared = if self.call.shares() { moved } else { 0 };
            plausible = -shared..=moved;
        }
        assert!(plausible.contains(&lost), "{lost} clusters: {found:?}");
        Ok(is_over)
    }
}

/// Makes a call once for each write of it and of the unload after it, and fails that write, or all from that on.
async fn each_write_of(call: Call) -> spdk::Result<()> {
    let run = Run::of(call).await?;
    for (count, holds) in [(1, false), (u64::MAX, false), (1, true), (u64::MAX, true)] {
        if holds && (call.ends_store() || call.breaks_what_is_open()) {
            continue;
        }
        let mut untold = 0;
        for first in (0..).filter(|first| !call.crashes(*first)) {
            let failure = Failure {
                first,
                count,
                holds,
            };
            let failed = run.fail(failure).await?;
            untold += u64::from(failed.is_untold());
            if run.check(first, failed).await? {
                break;
            }
        }
        assert!(untold <= call.untold(), "{untold} failures are not told");
    }
    Ok(())
}

macro_rules! each_write {
    ($($name:ident: $call:ident,)*) => {$(
        /// Fails if a write that the device fails, whichever it is, is not told by an error, hangs the call or the unload, or
        /// changes a volume otherwise than the call would.
        #[spdk::test(bdevs(
            bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT),
            bdev_malloc_create(name = "S", num_blocks = 8192, block_size = UNIT),
            bdev_malloc_create(
                name = "E", num_blocks = 256, block_size = UNIT,
                uuid = "6f5e8a52-7a2f-4b55-a5a1-000000000002",
            ),
        ))]
        async fn $name() -> spdk::Result<()> {
            each_write_of(Call::$call).await
        }
    )*};
}

each_write! {
    a_store_is_renamed: RenameStore,
    a_store_grows: Grow,
    a_store_is_unloaded: Unload,
    a_store_is_destroyed: Destroy,
    a_thick_volume_is_made: CreateThick,
    a_thin_volume_is_made: CreateThin,
    a_clone_of_a_bdev_is_made: CreateEsnapClone,
    a_thick_volume_is_written: WriteThick,
    a_thin_volume_is_written: WriteSome,
    a_thin_volume_is_written_first: WriteNone,
    a_clone_is_written: WriteClone,
    a_thick_volume_is_enlarged: EnlargeThick,
    a_thin_volume_is_enlarged: EnlargeThin,
    a_volume_is_made_smaller: Shrink,
    a_volume_is_renamed: Rename,
    a_volume_becomes_read_only: SetReadOnly,
    a_snapshot_is_made: Snapshot,
    a_snapshot_of_a_clone_is_made: SnapshotOfClone,
    a_snapshot_of_a_clone_of_a_bdev_is_made: SnapshotOfExternal,
    a_clone_is_inflated: Inflate,
    a_clone_of_a_bdev_is_inflated: InflateExternal,
    a_clone_is_decoupled: Decouple,
    a_volume_gets_a_parent: SetParent,
    a_volume_gets_a_bdev_as_its_parent: SetExternalParent,
    a_volume_is_destroyed: DestroyThick,
    a_clone_is_destroyed: DestroyClone,
    a_snapshot_is_destroyed: DestroySnapshot,
}
