//! I/Os that are refused, or that the device fails.

use super::*;

/// Fails if an I/O that cannot be submitted is lost, does not tell what and where, loses its buffer
/// or its tag, or ends the queue.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn what_is_refused_ends_with_its_error() -> spdk::Result<()> {
    let device = Device::open("Malloc0")?;
    let mut queue = IoQueue::new(&device.ch)?;
    queue.write_blocks(device.buffer(1)?, 4, 2, 1);
    queue.read_blocks(device.buffer(3)?, 4, 2, 2);
    queue.read_blocks(device.buffer(1)?, 0, u64::MAX, 3);
    assert_eq!(queue.len(), 3);
    let expected = [
        "spdk_bdev_write_blocks on bdev \"Malloc0\" (2 blocks at block 4): the buffers hold 512 \
         bytes, but 2 blocks of 512 bytes are 1024",
        "spdk_bdev_read_blocks on bdev \"Malloc0\" (2 blocks at block 4): the buffers hold 1536 \
         bytes, but 2 blocks of 512 bytes are 1024",
        "spdk_bdev_read_blocks on bdev \"Malloc0\" (18446744073709551615 blocks at block 0): \
         18446744073709551615 blocks of 512 bytes are more than 2^64 bytes",
    ];
    for (expected, tag) in expected.iter().zip(1..) {
        let done = queue.next().await.expect("a refused I/O");
        let error = done.result.expect_err("it is refused");
        assert_eq!((error.to_string().as_str(), done.tag), (*expected, tag));
        assert!(matches!(error.kind(), ErrorKind::InvalidArgument { .. }));
        assert!(done.buf.is_some());
    }
    // These are SPDK's to refuse.
    queue.read_blocks(device.buffer(2)?, 1023, 2, 4);
    queue.unmap_blocks(1024, 1, 5);
    queue.write_zeroes_blocks(u64::MAX, 2, 6);
    queue.flush_blocks(1000, 25, 7);
    let expected = [
        (4, "spdk_bdev_read_blocks", "2 blocks at block 1023"),
        (5, "spdk_bdev_unmap_blocks", "1 blocks at block 1024"),
        (
            6,
            "spdk_bdev_write_zeroes_blocks",
            "2 blocks at block 18446744073709551615",
        ),
        (7, "spdk_bdev_flush_blocks", "25 blocks at block 1000"),
    ];
    for (tag, call, place) in expected {
        let (found, error) = error_of(&mut queue).await;
        let text = format!(
            "{call} on bdev \"Malloc0\" ({place}): Invalid argument (EINVAL); the device ends after \
             1024 blocks of 512 bytes, at byte 524288"
        );
        assert_eq!((found, error.to_string()), (tag, text));
    }
    assert!(queue.is_empty());
    // Without a buffer there is nothing to read into; and what has a buffer need not use it.
    queue.flush_blocks(0, 1, 8);
    assert!(queue.ended().await);
    let mut io = queue.pop().expect("the flush");
    io.take_result()?;
    io.read_blocks(3, 4);
    assert!(queue.ended().await);
    let mut io = queue.pop().expect("it is refused");
    assert_eq!(
        io.error().map(ToString::to_string).as_deref(),
        Some("spdk_bdev_read_blocks on bdev \"Malloc0\" (4 blocks at block 3): it has no buffer")
    );
    assert_eq!(
        (io.submitted(), kind(&io.take_result()).is_some()),
        (0, true)
    );
    *io.buf() = Some(patterned(&device, 3, 1, 1));
    io.write_blocks(3, 1);
    assert!(queue.ended().await);
    let mut io = queue.pop().expect("the write");
    io.take_result()?;
    io.buf().as_mut().expect("its buffer").fill(0);
    io.read_blocks(3, 1);
    assert!(queue.ended().await);
    let done = queue.pop().expect("the read").into_done();
    done.result?;
    pattern::assert_is(&done.buf.expect("its buffer"), BLOCK, 3, 1);
    Ok(())
}

/// Fails if a descriptor for reading writes.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn without_permission() -> spdk::Result<()> {
    let desc = Bdev::find("Malloc0")?.open(false)?;
    let ch = desc.get_io_channel()?;
    let mut queue = IoQueue::new(&ch)?;
    queue.write_blocks(DmaBuf::alloc(BLOCK, 4096)?, 2, 1, "write");
    queue.write_zeroes_blocks(2, 1, "zeroes");
    queue.unmap_blocks(2, 1, "unmap");
    queue.read_blocks(DmaBuf::alloc(BLOCK, 4096)?, 2, 1, "read");
    for expected in ["write", "zeroes", "unmap"] {
        let (tag, error) = error_of(&mut queue).await;
        assert_eq!((tag, error.errno()), (expected, Some(Errno::EBADF)));
        let text = error.to_string();
        assert!(
            text.contains("on bdev \"Malloc0\" (1 blocks at block 2)"),
            "{text}"
        );
    }
    let read = queue.next().await.expect("the read");
    assert_eq!(read.tag, "read");
    read.result
}

/// Fails if a failure of the device is lost, is another I/O's, or stays with the I/O when it is
/// submitted again and succeeds.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
    bdev_error_create(base_name = "Malloc0"),
    bdev_error_inject_error(
        name = "EE_Malloc0", io_type = "write", error_type = "failure", num = 10,
    ),
))]
async fn what_the_device_fails_can_be_tried_again() -> spdk::Result<()> {
    let device = Device::open("EE_Malloc0")?;
    let mut queue = IoQueue::new(&device.ch)?;
    for block in 0..DEPTH {
        queue.write_blocks(patterned(&device, block, 1, 1), block, 1, block);
    }
    let mut failed = 0;
    while queue.ended().await {
        while let Some(io) = queue.pop() {
            let block = *io.tag();
            if let Some(error) = io.error() {
                failed += 1;
                assert!(failed <= 10, "an error that is over: {error}");
                assert_eq!(
                    error.to_string(),
                    format!(
                        "spdk_bdev_write_blocks on bdev \"EE_Malloc0\" (1 blocks at block {block}): \
                         INTERNAL DEVICE ERROR (SCT 0x0 GENERIC, SC 0x06)"
                    )
                );
                assert!(io.submitted() > 0);
                io.write_blocks(block, 1);
            }
        }
    }
    assert_eq!(failed, 10);
    let mut buf = device.buffer(DEPTH as usize)?;
    device.desc.read(&device.ch, &mut buf, 0).await?;
    pattern::assert_is(&buf, BLOCK, 0, 1);
    Ok(())
}

/// Fails if a loop that takes what has ended, and submits it again, never ends for I/Os that are refused.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn what_is_refused_again_and_again_ends_its_loop() -> spdk::Result<()> {
    let device = Device::open("Malloc0")?;
    let mut queue = IoQueue::new(&device.ch)?;
    for tag in 0..3 {
        queue.read_blocks(device.buffer(1)?, 0, 2, tag); // the buffer has one block
    }
    for _ in 0..5 {
        assert!(queue.ended().await);
        let mut seen = Vec::new();
        while let Some(io) = queue.pop() {
            assert!(seen.len() < 3, "one was refused, and taken again");
            assert!(matches!(
                io.error().map(Error::kind),
                Some(ErrorKind::InvalidArgument { .. })
            ));
            seen.push(*io.tag());
            io.read_blocks(0, 2);
        }
        assert_eq!(seen, [0, 1, 2]);
        assert_eq!(queue.len(), 3);
    }
    Ok(())
}
