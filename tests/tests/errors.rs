//! What goes wrong, and how it is told.
#![allow(missing_docs)]

use std::future::Future;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use spdk::{Bdev, BdevDesc, BdevIoType, DmaBuf, Errno, Error, ErrorKind, NvmeStatus, Range};
use spdk_tests::{Device, kind, pattern, poll_once};

const BLOCK: usize = 512;

async fn error_of<T>(result: impl Future<Output = spdk::Result<T>>) -> Error {
    match result.await {
        Err(error) => error,
        Ok(_) => panic!("it succeeded"),
    }
}

fn status_of(error: &Error) -> NvmeStatus {
    match error.nvme_status() {
        Some(status) => status,
        None => panic!("{error:?}"),
    }
}

/// Fails if the status or the context of a failed operation is another one's.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
    bdev_error_create(base_name = "Malloc0"),
    bdev_error_inject_error(
        name = "EE_Malloc0", io_type = "read", error_type = "failure", num = 4,
    ),
    bdev_error_inject_error(
        name = "EE_Malloc0", io_type = "write", error_type = "failure", num = 2,
    ),
    bdev_error_inject_error(
        name = "EE_Malloc0", io_type = "unmap", error_type = "failure", num = 1,
    ),
))]
async fn a_failed_operation_tells_what_and_where() -> spdk::Result<()> {
    let device = Device::open("EE_Malloc0")?;
    let Device { desc, ch, .. } = &device;
    let mut buf = device.buffer(8)?;
    let mut bufs = [device.buffer(1)?, device.buffer(2)?];
    let failed = "INTERNAL DEVICE ERROR (SCT 0x0 GENERIC, SC 0x06)";

    let error = error_of(desc.read(ch, &mut buf, 4096)).await;
    let expected =
        format!("spdk_bdev_read on bdev \"EE_Malloc0\" (4096 bytes at byte 4096): {failed}");
    assert_eq!(error.to_string(), expected);
    let status = status_of(&error);
    assert_eq!((status.sct, status.sc, status.dnr), (0, 6, None));
    assert_eq!(error.errno(), None);
    let at = error.context();
    assert_eq!(at.map(|at| at.operation), Some("spdk_bdev_read"));
    assert_eq!(at.map(|at| at.object.as_str()), Some("bdev \"EE_Malloc0\""));
    let range = Some(Some(Range::Bytes {
        offset: 4096,
        length: 4096,
    }));
    assert_eq!(at.map(|at| at.range), range);

    let texts = [
        error_of(desc.read_blocks(ch, &mut buf, 16, 8))
            .await
            .to_string(),
        error_of(desc.readv(ch, &mut bufs, 512)).await.to_string(),
        error_of(desc.readv_blocks(ch, &mut bufs, 2, 3))
            .await
            .to_string(),
        error_of(desc.write(ch, &buf, 0)).await.to_string(),
        error_of(desc.writev_blocks(ch, &bufs, 9, 3))
            .await
            .to_string(),
        error_of(desc.unmap_blocks(ch, 5, 6)).await.to_string(),
    ];
    let expected = [
        "spdk_bdev_read_blocks on bdev \"EE_Malloc0\" (8 blocks at block 16)",
        "spdk_bdev_readv on bdev \"EE_Malloc0\" (1536 bytes at byte 512)",
        "spdk_bdev_readv_blocks on bdev \"EE_Malloc0\" (3 blocks at block 2)",
        "spdk_bdev_write on bdev \"EE_Malloc0\" (4096 bytes at byte 0)",
        "spdk_bdev_writev_blocks on bdev \"EE_Malloc0\" (3 blocks at block 9)",
        "spdk_bdev_unmap_blocks on bdev \"EE_Malloc0\" (6 blocks at block 5)",
    ];
    assert_eq!(texts, expected.map(|place| format!("{place}: {failed}")));
    // The injected errors are used up: the device works, and the failed writes did not.
    desc.read(ch, &mut buf, 0).await?;
    pattern::assert_zero(&buf);
    pattern::fill(&mut buf, BLOCK, 0, 1);
    desc.write(ch, &buf, 0).await?;
    desc.unmap(ch, 0, 512).await
}

/// Fails if an operation that the device never answers is lost, or not told what ended it.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
    bdev_error_create(base_name = "Malloc0"),
    bdev_error_inject_error(
        name = "EE_Malloc0", io_type = "read", error_type = "pending", num = 3,
    ),
))]
async fn a_reset_ends_operations_without_an_answer() -> spdk::Result<()> {
    let device = Device::open("EE_Malloc0")?;
    let mut bufs = [device.buffer(1)?, device.buffer(1)?, device.buffer(1)?];
    let [first, second, third] = &mut bufs;
    let mut stuck = Box::pin(device.desc.read(&device.ch, first, 0));
    let mut dropped = Box::pin(device.desc.read(&device.ch, second, 0));
    let mut forgotten = Box::pin(device.desc.read(&device.ch, third, 0));
    assert!(poll_once(stuck.as_mut()).is_pending());
    assert!(poll_once(dropped.as_mut()).is_pending());
    assert!(poll_once(forgotten.as_mut()).is_pending());
    drop(dropped);
    std::mem::forget(forgotten);
    for _ in 0..1000 {
        spdk::task::yield_now().await;
        assert!(poll_once(stuck.as_mut()).is_pending());
    }
    device.desc.reset(&device.ch).await?;
    let error = error_of(stuck).await;
    assert_eq!(
        error.to_string(),
        "spdk_bdev_read on bdev \"EE_Malloc0\" (512 bytes at byte 0): ABORTED - BY REQUEST (SCT 0x0 \
         GENERIC, SC 0x07)"
    );
    let mut buf = device.buffer(1)?;
    device.desc.read(&device.ch, &mut buf, 0).await
}

/// Fails if "no memory" of a device reaches the caller: the bdev layer submits again.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
    bdev_error_create(base_name = "Malloc0"),
    bdev_error_inject_error(
        name = "EE_Malloc0", io_type = "all", error_type = "nomem", num = 5,
    ),
))]
async fn a_device_without_memory_is_asked_again() -> spdk::Result<()> {
    let device = Device::open("EE_Malloc0")?;
    let mut buf = device.buffer(8)?;
    pattern::fill(&mut buf, BLOCK, 0, 1);
    device.desc.write(&device.ch, &buf, 0).await?;
    buf.fill(0);
    device.desc.read(&device.ch, &mut buf, 0).await?;
    pattern::assert_is(&buf, BLOCK, 0, 1);
    Ok(())
}

/// Fails if the pattern does not see a wrong byte: then no other test would.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
    bdev_error_create(base_name = "Malloc0"),
    bdev_error_inject_error(
        name = "EE_Malloc0", io_type = "read", error_type = "corrupt_data", num = 1,
        corrupt_offset = 1000, corrupt_value = 0x5a,
    ),
))]
async fn corrupt_data_is_seen() -> spdk::Result<()> {
    let device = Device::open("EE_Malloc0")?;
    let mut buf = device.buffer(8)?;
    pattern::fill(&mut buf, BLOCK, 0, 1);
    device.desc.write(&device.ch, &buf, 0).await?;
    device.desc.read(&device.ch, &mut buf, 0).await?;
    let seen = pattern::check(&buf, BLOCK, 0, 1);
    assert_eq!(
        seen.map_err(|mismatch| (mismatch.block, mismatch.byte)),
        Err((1, 488))
    );
    Ok(())
}

/// Fails if a descriptor for reading writes, or one for writing is given for a device that another
/// module has for itself.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
    bdev_malloc_create(name = "Malloc1", num_blocks = 1024, block_size = BLOCK),
    bdev_passthru_create(base_bdev_name = "Malloc1", name = "Pass1"),
))]
async fn without_permission() -> spdk::Result<()> {
    let desc = Bdev::find("Malloc0")?.open(false)?;
    let ch = desc.get_io_channel()?;
    let mut buf = DmaBuf::alloc(4096, 4096)?;
    let bufs = [DmaBuf::alloc(4096, 4096)?];
    let errors = [
        error_of(desc.write(&ch, &buf, 0)).await,
        error_of(desc.write_blocks(&ch, &buf, 0, 8)).await,
        error_of(desc.writev(&ch, &bufs, 0)).await,
        error_of(desc.write_zeroes(&ch, 0, 4096)).await,
        error_of(desc.unmap(&ch, 0, 4096)).await,
    ];
    assert_eq!(
        errors[0].to_string(),
        "spdk_bdev_write on bdev \"Malloc0\" (4096 bytes at byte 0): Bad file descriptor (EBADF); it was opened to be \
         read only: open it with `write`"
    );
    assert!(
        errors
            .iter()
            .all(|error| error.errno() == Some(Errno::EBADF)),
        "{errors:?}"
    );
    desc.read(&ch, &mut buf, 0).await?;
    let claimed = error_of(async { Bdev::find("Malloc1")?.open(true) }).await;
    let text = claimed.to_string();
    assert!(
        text.ends_with(
            "(EPERM); it has been claimed, as by a bdev upon it: open it without `write`"
        ),
        "{text}"
    );
    Bdev::find("Malloc1")?.open(false).map(drop)
}

/// Fails if a name that cannot be looked up reaches C, or if its error does not show the name.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn names_that_no_device_has() -> spdk::Result<()> {
    let text = |name: &str| Bdev::find(name).err().map(|error| error.to_string());
    assert_eq!(
        text("Malloc9").as_deref(),
        Some("no bdev is named \"Malloc9\"")
    );
    assert_eq!(text("").as_deref(), Some("no bdev is named \"\""));
    assert_eq!(
        text("a\"b\n").as_deref(),
        Some("no bdev is named \"a\\\"b\\n\"")
    );
    let nul = text("Malloc0\0x").unwrap_or_default();
    assert!(
        nul.contains("has a NUL byte at position 7; C strings cannot hold one"),
        "{nul}"
    );
    assert!(Bdev::get_by_name("Malloc0\0").is_none());
    assert!(matches!(
        kind(&BdevDesc::open("x", true)),
        Some(ErrorKind::NoSuchBdev { .. })
    ));
    let error = BdevDesc::open("x", true).err();
    assert_eq!(error.and_then(|error| error.errno()), Some(Errno::ENODEV));
    Ok(())
}

/// Fails if a channel is used with a descriptor of another device: SPDK does not check it.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
    bdev_malloc_create(name = "Malloc1", num_blocks = 1024, block_size = BLOCK),
))]
async fn a_channel_of_another_device_is_refused() -> spdk::Result<()> {
    let (zero, one) = (Device::open("Malloc0")?, Device::open("Malloc1")?);
    let mut buf = zero.buffer(8)?;
    let mut bufs = [zero.buffer(8)?];
    let errors = [
        error_of(zero.desc.read(&one.ch, &mut buf, 0)).await,
        error_of(zero.desc.write_blocks(&one.ch, &buf, 0, 8)).await,
        error_of(zero.desc.readv(&one.ch, &mut bufs, 0)).await,
        error_of(zero.desc.unmap(&one.ch, 0, 512)).await,
        error_of(zero.desc.flush(&one.ch, 0, 512)).await,
        error_of(zero.desc.reset(&one.ch)).await,
    ];
    assert_eq!(
        errors[0].to_string(),
        "spdk_bdev_read on bdev \"Malloc0\" (4096 bytes at byte 0): it was given the I/O channel of \
         bdev \"Malloc1\"; use one of this device"
    );
    for error in errors {
        assert!(
            matches!(error.kind(), ErrorKind::WrongChannel { .. }),
            "{error:?}"
        );
    }
    // A channel of another descriptor of the same device is as good.
    let again = BdevDesc::open("Malloc0", false)?;
    again.read(&zero.ch, &mut buf, 0).await?;
    drop(again);
    zero.desc.read(&zero.ch, &mut buf, 0).await
}

/// Fails if an operation that the device does not have is lost.
#[spdk::test(bdevs(bdev_null_create(name = "Null0", num_blocks = 1024, block_size = BLOCK)))]
async fn an_operation_that_the_device_does_not_have() -> spdk::Result<()> {
    let device = Device::open("Null0")?;
    assert!(!device.bdev.io_type_supported(BdevIoType::Unmap)?);
    let error = error_of(device.desc.unmap(&device.ch, 0, 512)).await;
    assert_eq!(
        error.to_string(),
        "spdk_bdev_unmap on bdev \"Null0\" (512 bytes at byte 0): INTERNAL DEVICE ERROR (SCT 0x0 \
         GENERIC, SC 0x06)"
    );
    Ok(())
}

thread_local! {
    /// A file in memory that can be sealed: the kernel then refuses to write to it.
    static FILE: OwnedFd = match memfd_create("aio", MemfdFlags::ALLOW_SEALING) {
        Ok(file) if ftruncate(&file, 1 << 20).is_ok() => file,
        other => panic!("{other:?}"),
    };
}

fn file() -> String {
    FILE.with(|file| format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Fails if what the kernel says is lost on the way.
#[spdk::test(bdevs(
    bdev_aio_create(name = "Aio0", filename = file(), block_size = BLOCK),
    bdev_aio_create(name = "Aio1", filename = file(), block_size = BLOCK, readonly = true),
))]
async fn errors_of_the_kernel() -> spdk::Result<()> {
    let device = Device::open("Aio0")?;
    let mut buf = device.buffer(8)?;
    pattern::fill(&mut buf, BLOCK, 0, 1);
    device.desc.write(&device.ch, &buf, 0).await?;
    let sealed = FILE.with(|file| fcntl_add_seals(file, SealFlags::WRITE));
    assert!(sealed.is_ok(), "{sealed:?}");
    let error = error_of(device.desc.write(&device.ch, &buf, 0)).await;
    assert_eq!(
        error.to_string(),
        "spdk_bdev_write on bdev \"Aio0\" (4096 bytes at byte 0): Operation not permitted (EPERM)"
    );
    assert_eq!(
        (error.errno(), error.nvme_status()),
        (Some(Errno::EPERM), None)
    );
    buf.fill(0);
    device.desc.read(&device.ch, &mut buf, 0).await?;
    pattern::assert_is(&buf, BLOCK, 0, 1);
    // What SPDK itself refuses has no errno.
    let readonly = Device::open("Aio1")?;
    let error = error_of(readonly.desc.write(&readonly.ch, &buf, 0)).await;
    assert_eq!((status_of(&error).sct, status_of(&error).sc), (0, 6));
    readonly.desc.read(&readonly.ch, &mut buf, 0).await
}

/// Fails if a buffer that cannot be had is not an error, or ends the process.
#[spdk::test]
async fn memory_that_is_not_there() -> spdk::Result<()> {
    let text = |size, align| match DmaBuf::alloc(size, align) {
        Err(error) => error.to_string(),
        Ok(buf) => panic!("{} bytes", buf.len()),
    };
    assert_eq!(
        text(1 << 40, 4096),
        "no DMA memory for 1099511627776 bytes aligned to 4096; give the application more memory \
         with `mem_size_mb`"
    );
    assert_eq!(
        text(0, 0),
        "DmaBuf::alloc: a buffer of 0 bytes cannot be used for I/O"
    );
    assert_eq!(
        text(4096, 3),
        "DmaBuf::alloc: an alignment of 3 bytes; it must be a power of two, at most 2147483648"
    );
    assert!(text(4096, 1 << 40).starts_with("DmaBuf::alloc: an alignment of 1099511627776 bytes"));
    assert!(text(usize::MAX, 4096).starts_with("no DMA memory for 18446744073709551615 bytes"));
    let error = DmaBuf::alloc(1 << 40, 64).err();
    assert_eq!(error.and_then(|error| error.errno()), Some(Errno::ENOMEM));
    // What is left can still be had, to the last, and comes back.
    for _ in 0..2 {
        let mut bufs = Vec::new();
        while let Ok(buf) = DmaBuf::alloc(16 << 20, 4096) {
            assert_eq!(buf.as_slice().as_ptr().align_offset(4096), 0);
            bufs.push(buf);
        }
        assert!(bufs.len() > 4, "{} buffers", bufs.len());
    }
    let mut buf = DmaBuf::alloc_zeroed(100, 0)?;
    pattern::assert_zero(&buf);
    buf.fill(1);
    assert_eq!(
        (
            buf.len(),
            buf.iter().map(|byte| u64::from(*byte)).sum::<u64>()
        ),
        (100, 100)
    );
    Ok(())
}

/// Fails if SPDK changes what is written in memory that the program may be reading.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
    bdev_error_create(base_name = "Malloc0"),
))]
async fn what_is_written_is_not_corrupted() -> spdk::Result<()> {
    let device = Device::open("EE_Malloc0")?;
    for io_type in ["write", "all", "read"] {
        let params = serde_json::json!({
            "name": "EE_Malloc0", "io_type": io_type, "error_type": "corrupt_data", "num": 1,
            "corrupt_offset": 1000, "corrupt_value": 0x5a,
        });
        let injected = spdk::rpc::call::<bool>("bdev_error_inject_error", &params).await;
        assert_eq!(injected.is_ok(), io_type == "read", "{injected:?}");
        let mut buf = device.buffer(8)?;
        pattern::fill(&mut buf, BLOCK, 0, 1);
        device.desc.write(&device.ch, &buf, 0).await?;
        pattern::assert_is(&buf, BLOCK, 0, 1);
    }
    Ok(())
}
