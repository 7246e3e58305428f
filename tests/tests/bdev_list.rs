//! The bdevs that exist.
#![allow(missing_docs)]

use spdk::{Bdev, Error, ErrorKind};
use spdk_tests::own_thread;

fn names(bdevs: &[Bdev]) -> Vec<&str> {
    let mut names: Vec<_> = bdevs.iter().map(Bdev::name).collect();
    names.sort_unstable();
    names
}

/// Fails if one is missing, or if one that another is built upon counts as a leaf.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = 512),
    bdev_malloc_create(name = "Malloc1", num_blocks = 1024, block_size = 4096),
    bdev_passthru_create(base_bdev_name = "Malloc0", name = "Passthru0"),
))]
async fn all_are_found() -> spdk::Result<()> {
    let all = Bdev::all()?;
    assert_eq!(names(&all), ["Malloc0", "Malloc1", "Passthru0"]);
    let leaves = Bdev::leaves()?;
    assert_eq!(names(&leaves), ["Malloc1", "Passthru0"]);
    // They are bdevs like those of `Bdev::find`.
    for bdev in leaves {
        bdev.open(true)?.get_io_channel()?;
    }
    Ok(())
}

/// Fails if there is something where nothing was made.
#[spdk::test]
async fn there_may_be_none() -> spdk::Result<()> {
    assert!(Bdev::all()?.is_empty() && Bdev::leaves()?.is_empty());
    Ok(())
}

/// Fails if SPDK is asked where it does not run.
#[spdk::test(no_app)]
fn they_are_listed_on_an_spdk_thread() -> spdk::Result<()> {
    let refused = |list: spdk::Result<Vec<Bdev>>| match list.map_err(Error::into_kind) {
        Err(ErrorKind::NoThread { operation }) => operation,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(Bdev::all()), "spdk_for_each_bdev");
    let env = own_thread::env()?;
    assert_eq!(refused(Bdev::leaves()), "spdk_for_each_bdev_leaf");
    drop(env);
    Ok(())
}
