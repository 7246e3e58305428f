//! `spdk::api!`: calls that `spdk` does not wrap, from a manifest of this crate.
#![allow(unsafe_code)] // The conversion of a callback's argument reads what C points to.

use std::ops::ControlFlow;

use spdk::{BdevDesc, DmaBuf, ErrorKind, sys};
use spdk_tests::kind;

spdk::api!("tests/api.ron");

/// What `for_each_bdev` shows of a bdev.
///
/// # Safety
///
/// `bdev` is a bdev that exists during the call.
pub unsafe fn name(bdev: *mut sys::spdk_bdev) -> String {
    // SAFETY: a bdev has a name, which is a C string, as long as it exists.
    let name = unsafe { std::ffi::CStr::from_ptr(sys::spdk_bdev_get_name(bdev)) };
    name.to_string_lossy().into_owned()
}

#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 64, block_size = 512),
    bdev_malloc_create(name = "Malloc1", num_blocks = 64, block_size = 512),
))]
async fn a_closure_sees_each_element_until_it_stops() -> spdk::Result<()> {
    let mut all = Vec::new();
    for_each_bdev(|name| {
        all.push(name);
        ControlFlow::Continue(())
    })?;
    assert_eq!(all, ["Malloc0", "Malloc1"]);
    let mut first = Vec::new();
    for_each_bdev(|name| {
        first.push(name);
        ControlFlow::Break(())
    })?;
    assert_eq!(first, ["Malloc0"]);
    Ok(())
}

#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 64, block_size = 512),
    bdev_malloc_create(name = "Malloc1", num_blocks = 64, block_size = 512),
))]
async fn wrappers_of_ones_own_are_as_safe_as_those_of_spdk() -> spdk::Result<()> {
    let desc = BdevDesc::open("Malloc0", true)?;
    let ch = desc.get_io_channel()?;
    let mut buf = DmaBuf::alloc(8 * 512, 512)?;
    let pattern = |(index, byte): (usize, &mut u8)| *byte = (index / 512 * 16 + index % 13) as u8;
    buf.as_mut_slice().iter_mut().enumerate().for_each(pattern);
    desc.write_blocks(&ch, &buf, 0, 8).await?;

    copy_blocks(&desc, &ch, 32, 0, 8).await?;
    compare_blocks(&desc, &ch, &buf, 32, 8).await?;

    buf.as_mut_slice()[777] ^= 1;
    let differs = compare_blocks(&desc, &ch, &buf, 32, 8).await;
    assert!(
        matches!(kind(&differs), Some(ErrorKind::Device { .. })),
        "{differs:?}"
    );

    let short = compare_blocks(&desc, &ch, &buf, 32, 9).await;
    assert!(
        matches!(kind(&short), Some(ErrorKind::InvalidArgument { .. })),
        "{short:?}"
    );

    let other = BdevDesc::open("Malloc1", true)?.get_io_channel()?;
    let mixed = copy_blocks(&desc, &other, 32, 0, 8).await;
    assert!(
        matches!(kind(&mixed), Some(ErrorKind::WrongChannel { .. })),
        "{mixed:?}"
    );

    let beyond = copy_blocks(&desc, &ch, 60, 0, 8).await;
    let text = beyond
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    assert!(
        text.contains("spdk_bdev_copy_blocks on bdev \"Malloc0\" (8 blocks at block 60)"),
        "{text}"
    );
    Ok(())
}
