//! What is written is read.

use super::*;

/// Fails if an I/O goes to another place than its own, or its buffer or its tag to another I/O.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn what_is_written_is_read() -> spdk::Result<()> {
    const SPANS: u64 = 4 * DEPTH;
    let device = Device::open("Malloc0")?;
    let mut queue = IoQueue::new(&device.ch)?;
    assert!(queue.is_empty() && queue.next().await.is_none() && queue.pop().is_none());
    for generation in 1..5 {
        for is_write in [true, false] {
            let submit = |queue: &mut IoQueue<u64>, mut buf: DmaBuf, span: u64| {
                if is_write {
                    pattern::fill(&mut buf, BLOCK, span * 3, generation);
                    queue.write_blocks(buf, span * 3, 3, span);
                } else {
                    buf.fill(0xee);
                    queue.read_blocks(buf, span * 3, 3, span);
                }
            };
            for span in 0..DEPTH {
                submit(&mut queue, device.buffer(3)?, span);
                assert_eq!(queue.len() as u64, span + 1);
            }
            let (mut next, mut seen) = (DEPTH, vec![0; SPANS as usize]);
            while let Some(done) = queue.next().await {
                done.result?;
                let span = done.tag;
                seen[span as usize] += 1;
                let buf = done.buf.expect("its buffer");
                pattern::assert_is(&buf, BLOCK, span * 3, generation);
                if next < SPANS {
                    submit(&mut queue, buf, next);
                    next += 1;
                }
            }
            assert!(seen.iter().all(|count| *count == 1), "{seen:?}");
            assert_eq!((queue.is_empty(), queue.len()), (true, 0));
        }
    }
    Ok(())
}

/// As above, where an I/O that has ended is the next one, with its buffer and tag. Its time is not another one's.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn what_is_submitted_again_in_place_keeps_its_buffer_and_tag() -> spdk::Result<()> {
    struct Step {
        span: u64,
        generation: u64,
        wrote: bool,
        before: u64,
    }
    let device = Device::open("Malloc0")?;
    let mut queue = IoQueue::new(&device.ch)?;
    for span in 0..DEPTH {
        let tag = Step {
            span,
            generation: 1,
            wrote: true,
            before: ticks(),
        };
        queue.write_blocks(patterned(&device, span * 2, 2, 1), span * 2, 2, tag);
    }
    let mut left = 0;
    while queue.ended().await {
        assert!(queue.len() as u64 + left == DEPTH);
        while let Some(mut io) = queue.pop() {
            io.take_result()?;
            assert!(io.error().is_none());
            assert!(io.tag().before <= io.submitted() && io.submitted() <= ticks());
            let Step {
                span,
                generation,
                wrote,
                ..
            } = *io.tag();
            let buf = io.buf().as_mut().expect("its buffer");
            pattern::assert_is(buf, BLOCK, span * 2, generation);
            if wrote {
                buf.fill(0xee);
                io.tag_mut().wrote = false;
                io.tag_mut().before = ticks();
                io.read_blocks(span * 2, 2);
            } else if generation == 20 {
                // Dropped, it leaves the queue.
                left += 1;
            } else {
                let next = Step {
                    // One that no other I/O has.
                    span: (span + DEPTH) % (4 * DEPTH),
                    generation: generation + 1,
                    wrote: true,
                    before: ticks(),
                };
                pattern::fill(buf, BLOCK, next.span * 2, next.generation);
                let first = next.span * 2;
                *io.tag_mut() = next;
                io.write_blocks(first, 2);
            }
        }
    }
    assert_eq!((left, queue.len()), (DEPTH, 0));
    Ok(())
}

/// Fails if an operation without a buffer is another one, or goes elsewhere.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn operations_without_a_buffer() -> spdk::Result<()> {
    let device = Device::open("Malloc0")?;
    let mut queue = IoQueue::new(&device.ch)?;
    for in_place in [false, true] {
        queue.write_blocks(patterned(&device, 0, 64, 7), 0, 64, 0);
        let written = queue.next().await.expect("the write");
        written.result?;
        if in_place {
            for tag in 1..4 {
                queue.flush_blocks(0, 64, tag);
            }
            let mut ended = 0;
            while queue.ended().await {
                while let Some(mut io) = queue.pop() {
                    io.take_result()?;
                    assert!(io.buf().is_none());
                    ended += 1;
                    match mem::take(io.tag_mut()) {
                        1 => io.write_zeroes_blocks(3, 4),
                        2 => io.unmap_blocks(20, 5),
                        3 => io.flush_blocks(0, 64),
                        _ => {}
                    }
                }
            }
            assert_eq!(ended, 6);
        } else {
            queue.write_zeroes_blocks(3, 4, 1);
            queue.unmap_blocks(20, 5, 2);
            queue.flush_blocks(0, 64, 3);
            let mut tags = Vec::new();
            while let Some(done) = queue.next().await {
                done.result?;
                assert!(done.buf.is_none());
                tags.push(done.tag);
            }
            tags.sort_unstable();
            assert_eq!(tags, [1, 2, 3]);
        }
        queue.read_blocks(device.buffer(64)?, 0, 64, 0);
        let all = queue.next().await.and_then(|done| done.buf);
        for (block, number) in all.expect("its buffer").chunks(BLOCK).zip(0..) {
            match number {
                3..7 | 20..25 => pattern::assert_zero(block),
                _ => pattern::assert_is(block, BLOCK, number, 7),
            }
        }
    }
    Ok(())
}

/// Fails if the queue as a stream gives less than all, or does not end.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn the_queue_is_a_stream() -> spdk::Result<()> {
    let device = Device::open("Malloc0")?;
    let mut queue = IoQueue::new(&device.ch)?;
    for round in 1..4 {
        for block in 0..DEPTH {
            queue.write_blocks(patterned(&device, block, 1, round), block, 1, block);
        }
        assert_eq!(queue.size_hint(), (DEPTH as usize, None));
        let all: Vec<Done<u64>> = queue.by_ref().collect().await;
        let mut tags: Vec<u64> = all.iter().map(|done| done.tag).collect();
        tags.sort_unstable();
        assert_eq!(tags, (0..DEPTH).collect::<Vec<_>>());
        assert!(all.iter().all(|done| done.result.is_ok()));
    }
    let mut buf = device.buffer(DEPTH as usize)?;
    device.desc.read(&device.ch, &mut buf, 0).await?;
    pattern::assert_is(&buf, BLOCK, 0, 3);
    Ok(())
}
