//! A call that loads the store, and one that writes elsewhere.

use futures_util::TryStreamExt;
use spdk::Errno;
use spdk::lvol::LvolStore;
use spdk_tests::failing::FailingWrites;
use spdk_tests::wait::within;

use super::calls::Call;
use super::{Failed, Run};
use crate::{BYTES, CLUSTER, UNIT, assert_errno, check, init, write};

/// Fails if a write that the device fails while a store is loaded that is to grow, whichever it is, is not told, hangs that,
/// or harms a volume.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT),
    bdev_malloc_create(name = "S", num_blocks = 8192, block_size = UNIT),
    bdev_malloc_create(
        name = "E", num_blocks = 256, block_size = UNIT,
        uuid = "6f5e8a52-7a2f-4b55-a5a1-000000000002",
    ),
))]
async fn a_store_is_loaded_grown() -> spdk::Result<()> {
    let run = Run::of(Call::Grow).await?;
    for count in [1, u64::MAX] {
        for first in 0.. {
            run.image.restore().await?;
            run.device.fail(first, count);
            let loaded = within("the load", LvolStore::load_grown("M")).await;
            let (called, unloaded) = match loaded {
                Ok(store) => (Ok(()), within("the unload", store.unload()).await),
                Err(error) => (Err(error), Ok(())),
            };
            let failed = Failed::new(&run.device, called, unloaded);
            assert!(!failed.is_untold(), "write {first}");
            if run.check(first, failed).await? {
                break;
            }
        }
    }
    Ok(())
}

/// Fails if a copy is taken for one that has ended well, although the bdev that it goes to has failed, or if it harms the
/// volume, or keeps the bdev.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT),
    bdev_malloc_create(name = "T", num_blocks = 1024, block_size = UNIT),
))]
async fn a_shallow_copy_is_not_written() -> spdk::Result<()> {
    let store = init("M").await?;
    let lvol = store.create_lvol("lvol", 3 * BYTES, None).await?;
    let ch = store.alloc_io_channel()?;
    write(&lvol, &ch, 0, 3 * CLUSTER, 1).await?;
    lvol.set_read_only().await?;
    let target = FailingWrites::of("T");
    for count in [1, u64::MAX] {
        for first in 0.. {
            target.fail(first, count);
            let copy = lvol.shallow_copy("T").try_for_each(async |_| Ok(()));
            let copied = within("the copy", copy).await;
            target.heal();
            if target.failed() == 0 {
                copied?;
                assert_eq!((first, target.writes()), (3, 3));
                break;
            }
            assert_errno(copied, Errno::EIO);
            check(&lvol, &ch, 0, 3 * CLUSTER, 1).await?;
        }
    }
    Ok(())
}
