//! Volumes as bdevs, by SPDK's module: the typed methods of `spdk::config`, and the bdev API.

use serde_json::{Value, json};
use spdk::config::{self, LvolResize, LvolSnapshot};
use spdk::lvol::LvolStore;
use spdk::{Bdev, BdevDesc, DmaBuf, Errno, ErrorKind, IoChannel, spawn_local};
use spdk_tests::wait::within;
use spdk_tests::{Device, kind, pattern};

use crate::{UNIT, assert_errno, names};

const MIB: u64 = 1 << 20;
/// Blocks of a mebibyte.
const BLOCKS: u64 = MIB / UNIT as u64;

async fn write(desc: &BdevDesc, ch: &IoChannel, first: u64, generation: u64) -> spdk::Result<()> {
    let mut buf = DmaBuf::alloc(8 * UNIT, 4096)?;
    pattern::fill(&mut buf, UNIT, first, generation);
    desc.write_blocks(ch, &buf, first, 8).await
}

/// The generation of the blocks, which are all of one.
async fn generation(desc: &BdevDesc, ch: &IoChannel, first: u64, known: u64) -> spdk::Result<u64> {
    let mut buf = DmaBuf::alloc(8 * UNIT, 4096)?;
    desc.read_blocks(ch, &mut buf, first, 8).await?;
    let mut expected = vec![0; 8 * UNIT];
    let of = |generation| {
        pattern::fill(&mut expected, UNIT, first, generation);
        expected == *buf
    };
    let found = (0..=known).rev().find({
        let mut of = of;
        move |generation| of(*generation)
    });
    Ok(found.expect("a generation that was written"))
}

/// Fails if a snapshot that is taken beside writes has one that was not made, or lacks one that had ended before; or if I/O
/// is lost where a volume is resized under it.
#[spdk::test(deadline = 60, bdevs(bdev_malloc_create(name = "M", num_blocks = 131_072, block_size = UNIT)))]
async fn snapshots_and_sizes_under_io() -> spdk::Result<()> {
    config::LvolStore::new("M", "store")
        .cluster_sz(MIB as u32)
        .create()
        .await?;
    let uuid = config::Lvol::new("lvol", 4)
        .lvs_name("store")
        .create()
        .await?;
    let bdev = Bdev::find("store/lvol")?;
    assert_eq!(
        (bdev.name(), bdev.num_blocks()),
        (uuid.as_str(), 4 * BLOCKS)
    );
    // It belongs to SPDK's module.
    assert_errno(LvolStore::load("M").await, Errno::EPERM);
    let result = LvolStore::init("M", "other", None).await;
    assert_errno(result, Errno::EPERM);

    let ended = std::rc::Rc::new(std::cell::Cell::new(0));
    let stop = std::rc::Rc::new(std::cell::Cell::new(false));
    let writer = spawn_local({
        let (ended, stop) = (ended.clone(), stop.clone());
        async move {
            let device = Device::open("store/lvol")?;
            while !stop.get() {
                let next = ended.get() + 1;
                for place in 0..4 {
                    write(&device.desc, &device.ch, place * BLOCKS, next).await?;
                }
                ended.set(next);
            }
            Ok::<_, spdk::Error>(())
        }
    })?;
    for round in 0..8 {
        let before = ended.get();
        let name = format!("snapshot {round}");
        LvolSnapshot::new("store/lvol", &name).create().await?;
        let after = ended.get() + 1;
        let desc = Bdev::find(&format!("store/{name}"))?.open(false)?;
        let ch = desc.get_io_channel()?;
        let mut last = u64::MAX;
        for place in 0..4 {
            let found = generation(&desc, &ch, place * BLOCKS, after).await?;
            assert!(
                before <= found && found <= after,
                "{before} {found} {after}"
            );
            // What was written later is not there without what was written before.
            assert!(found <= last, "{found} after {last}");
            last = found;
        }
        drop((ch, desc));
        LvolResize::new("store/lvol", 5 + round).resize().await?;
        assert_eq!(Bdev::find("store/lvol")?.num_blocks(), (5 + round) * BLOCKS);
        // Beyond what was the end.
        let device = Device::open("store/lvol")?;
        write(&device.desc, &device.ch, (5 + round) * BLOCKS - 8, 1).await?;
    }
    stop.set(true);
    within("the writer", writer).await??;
    let written = ended.get();
    assert!(written > 0);
    let device = Device::open("store/lvol")?;
    assert_eq!(
        generation(&device.desc, &device.ch, 0, written).await?,
        written
    );
    assert_errno(
        device
            .desc
            .read_blocks(&device.ch, &mut device.buffer(8)?, 12 * BLOCKS, 8)
            .await,
        Errno::EINVAL,
    );
    drop(device);
    let result = config::Lvol::delete("store/snapshot 0").await;
    assert!(result.is_ok(), "{result:?}");
    config::LvolStore::delete("store").await?;
    assert!(Bdev::find("store/lvol").is_err());
    Ok(())
}

/// Fails if the removal of the bdev below a store waits for those who have its volumes open, or a handle reaches what is
/// gone.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "M", num_blocks = 131_072, block_size = UNIT),
    bdev_passthru_create(base_bdev_name = "M", name = "P"),
))]
async fn the_base_is_removed() -> spdk::Result<()> {
    config::LvolStore::new("P", "store")
        .cluster_sz(MIB as u32)
        .create()
        .await?;
    config::Lvol::new("lvol", 4)
        .lvs_name("store")
        .create()
        .await?;
    let device = Device::open("store/lvol")?;
    write(&device.desc, &device.ch, 0, 1).await?;
    let params = json!({"name": "P"});
    let removal =
        spawn_local(
            async move { spdk::rpc::call::<Value>("bdev_passthru_delete", &params).await },
        )?;
    within("the removal", async {
        while write(&device.desc, &device.ch, 0, 1).await.is_ok() {
            spdk::task::yield_now().await;
        }
    })
    .await;
    let gone = write(&device.desc, &device.ch, 0, 2).await;
    assert!(
        matches!(kind(&gone), Some(ErrorKind::Gone { .. })),
        "{gone:?}"
    );
    within("the end of the removal", removal).await??;
    drop(device);
    let gone = Bdev::find("store/lvol");
    assert!(
        matches!(kind(&gone), Some(ErrorKind::NoSuchBdev { .. })),
        "{gone:?}"
    );

    // What it had is found by `lvol.h`, once nobody has claimed it: SPDK's module looks at bdevs that appear.
    let store = LvolStore::load("M").await?;
    assert_eq!(names(&store).await?, ["lvol"]);
    let lvol = store.open_lvol("lvol").await?;
    let ch = store.alloc_io_channel()?;
    let mut buf = DmaBuf::alloc(8 * UNIT, 4096)?;
    lvol.blob().read_io_units(&ch, &mut buf, 0, 8).await?;
    pattern::assert_is(&buf, UNIT, 0, 1);
    Ok(())
}

/// Fails if a store that was made here is not found by SPDK's module when its bdev appears, or the reverse.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 131_072, block_size = UNIT)))]
async fn the_module_loads_our_store() -> spdk::Result<()> {
    let store = LvolStore::init("M", "store", None).await?;
    let lvol = store.create_lvol("lvol", 4 * MIB, None).await?;
    let ch = store.alloc_io_channel()?;
    let mut buf = DmaBuf::alloc(8 * UNIT, 4096)?;
    pattern::fill(&mut buf, UNIT, 16, 5);
    lvol.blob().write_io_units(&ch, &buf, 16, 8).await?;
    let uuid = lvol.uuid();
    drop((lvol, ch));
    store.unload().await?;
    let params = json!({"base_bdev_name": "M", "name": "P"});
    spdk::rpc::call::<Value>("bdev_passthru_create", &params).await?;
    spdk::rpc::call::<Value>("bdev_wait_for_examine", &()).await?;
    assert_errno(LvolStore::load("P").await, Errno::EPERM);
    let device = Device::open("store/lvol")?;
    assert_eq!(Some(device.bdev.uuid()?), uuid);
    buf.fill(0);
    device.desc.read_blocks(&device.ch, &mut buf, 16, 8).await?;
    pattern::assert_is(&buf, UNIT, 16, 5);
    Ok(())
}
