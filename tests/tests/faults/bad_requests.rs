//! Requests that no device can do, and such as get in each other's way.

use super::*;

/// The blocks of the devices.
const BLOCKS: u64 = 1024;

/// What an operation says of a request that SPDK refuses.
fn refused(error: &Error, hint: &str) {
    let text = error.to_string();
    assert_eq!(error.errno(), Some(Errno::EINVAL), "{text}");
    assert!(
        text.ends_with(&format!("Invalid argument (EINVAL); {hint}")),
        "{text}"
    );
}

/// Whether no device here can do it, so that it does not look at the range.
fn unsupported(method: &str) -> bool {
    method.starts_with("nvme_") || method == "write_uncorrectable_blocks"
}

async fn end_of(operation: &Operation, device: &Device, part: Part) -> spdk::Result<()> {
    within(operation.method, operation.run(device, part)).await
}

/// Fails if a request beyond the end of the device, or in the middle of a block, reaches it, or is not told
/// where the end is, or how large a block.
#[spdk::test(bdevs(
    bdev_malloc_create(
        name = "M", num_blocks = BLOCKS, block_size = BLOCK, md_size = MD, md_interleave = false,
    ),
    bdev_malloc_create(name = "P", num_blocks = BLOCKS, block_size = BLOCK),
))]
async fn beyond_the_end_and_inside_of_blocks() -> spdk::Result<()> {
    let all = || async {
        let (md, plain) = (Device::open("M")?, Device::open("P")?);
        let size = BLOCKS * BLOCK as u64;
        let end = format!("the device ends after {BLOCKS} blocks of {BLOCK} bytes, at byte {size}");
        let whole =
            format!("the offset and the length must be multiples of the block size, {BLOCK} bytes");
        let mut tried = 0;
        for operation in ALL
            .iter()
            .filter(|operation| !unsupported(operation.method))
        {
            let device = match malloc_for(operation) {
                "M" => &md,
                _ => &plain,
            };
            let beyond: &[(u64, u64)] = match operation.unit {
                Unit::Whole | Unit::Command => &[],
                Unit::Block => &[(BLOCKS, 1), (u64::MAX, 1)],
                Unit::Copy => &[(BLOCKS - 3, 2), (BLOCKS, 1), (u64::MAX - 1, 1)],
                Unit::Bytes => &[(BLOCKS - 1, 2), (BLOCKS, 1), (u64::MAX / BLOCK as u64, 2)],
                Unit::Blocks => &[
                    (BLOCKS - 1, 2),
                    (BLOCKS, 1),
                    (u64::MAX, 2),
                    (u64::MAX - 1, 2),
                ],
            };
            for (offset, count) in beyond {
                let part = operation.part(device, *offset, *count);
                let error = told(
                    operation,
                    device,
                    part,
                    end_of(operation, device, part).await,
                );
                refused(&error, &end);
                tried += 1;
            }
            if operation.unit == Unit::Bytes {
                for (offset, length) in [(1, 512), (511, 1), (0, 100), (512, 513), (size - 1, 1)] {
                    let part = Part { offset, length };
                    let error = told(
                        operation,
                        device,
                        part,
                        end_of(operation, device, part).await,
                    );
                    refused(&error, &whole);
                    tried += 1;
                }
            }
        }
        assert!(tried > 100, "{tried}");
        // None of them wrote anything.
        for device in [&md, &plain] {
            let mut buf = device.buffer(BLOCKS as usize)?;
            device.desc.read(&device.ch, &mut buf, 0).await?;
            pattern::assert_zero(&buf);
        }
        Ok(())
    };
    let counters = Counters::settled(all()).await?;
    all().await?;
    counters.assert_back().await;
    Ok(())
}

/// Fails if a request for nothing hangs, does something, or is refused by some operations only for lack of a
/// rule: those with a buffer need one that is as long as the range, which nothing is; the others do nothing, but for a write of
/// zeroes, which is refused.
#[spdk::test(bdevs(
    bdev_malloc_create(
        name = "M", num_blocks = BLOCKS, block_size = BLOCK, md_size = MD, md_interleave = false,
    ),
    bdev_malloc_create(name = "P", num_blocks = BLOCKS, block_size = BLOCK),
))]
async fn of_nothing() -> spdk::Result<()> {
    let devices = [Device::open("M")?, Device::open("P")?];
    let mut buf = devices[0].buffer(16)?;
    pattern::fill(&mut buf, BLOCK, 0, 1);
    for device in &devices {
        device.desc.write(&device.ch, &buf, 0).await?;
    }
    for operation in ALL
        .iter()
        .filter(|operation| !unsupported(operation.method))
    {
        let [md, plain] = &devices;
        let device = match malloc_for(operation) {
            "M" => md,
            _ => plain,
        };
        let part = Part {
            offset: 0,
            length: 0,
        };
        let end = match operation.unit {
            // These have no length, or one of their own.
            Unit::Block | Unit::Whole | Unit::Command => continue,
            _ => end_of(operation, device, part).await,
        };
        match operation.method {
            // There is no buffer of nothing, and theirs tells the length.
            "read" | "write" | "readv" | "writev" => {}
            "unmap" | "unmap_blocks" | "flush" | "flush_blocks" | "copy_blocks" | "zcopy_start" => {
                end?;
            }
            // Which does not end on some devices.
            "write_zeroes" | "write_zeroes_blocks" => {
                let error = told(operation, device, part, end);
                assert_eq!(error.errno(), Some(Errno::EINVAL), "{error}");
            }
            method => {
                let error = told(operation, device, part, end);
                assert!(
                    matches!(error.kind(), ErrorKind::InvalidArgument { .. }),
                    "{method}: {error:?}"
                );
            }
        }
    }
    for device in &devices {
        buf.fill(0);
        device.desc.read(&device.ch, &mut buf, 0).await?;
        pattern::assert_is(&buf, BLOCK, 0, 1);
    }
    Ok(())
}

/// Many writes at once to ranges that overlap, and reads of them meanwhile.
///
/// Fails if a block has neither of the contents that were written to it, or a part of one.
async fn overlapping(name: &str, rounds: u64) -> spdk::Result<()> {
    const SPAN: u64 = 24;
    const WRITERS: u64 = 16;
    let device = &Device::open(name)?;
    let mut random = spdk_tests::random::Random::new(7);
    for round in 0..rounds {
        let ranges: Vec<_> = (0..WRITERS)
            .map(|_| {
                let count = 1 + random.below(SPAN / 2);
                (random.below(SPAN - count + 1), count)
            })
            .collect();
        let generation = |writer: u64| (round << 8) + writer + 1;
        let writes = ranges
            .iter()
            .zip(0..)
            .map(|((first, count), writer)| async move {
                let mut buf = device.buffer(*count as usize)?;
                pattern::fill(&mut buf, BLOCK, *first, generation(writer));
                let (desc, ch) = (&device.desc, &device.ch);
                match writer % 3 {
                    0 => desc.write_blocks(ch, &buf, *first, *count).await,
                    1 => {
                        let mut parts = Vec::new();
                        for block in buf.chunks(BLOCK) {
                            let mut part = device.buffer(1)?;
                            part.copy_from_slice(block);
                            parts.push(part);
                        }
                        desc.writev_blocks(ch, &parts, *first, *count).await
                    }
                    _ => {
                        let mut queue = IoQueue::new(ch)?;
                        queue.write_blocks(buf, *first, *count, ());
                        queue.next().await.map_or(Ok(()), |done| done.result)
                    }
                }
            });
        let is = |bytes: &[u8], block: u64, generation: u64| {
            pattern::check(bytes, BLOCK, block, generation).is_ok()
        };
        let of_round = |bytes: &[u8], block: u64| {
            let mut writers = ranges.iter().zip(0..);
            writers.any(|((first, count), writer)| {
                (*first..first + count).contains(&block) && is(bytes, block, generation(writer))
            })
        };
        let mut during = device.buffer(SPAN as usize)?;
        let read = device.desc.read_blocks(&device.ch, &mut during, 0, SPAN);
        let all = async { futures_util::join!(join_all(writes), read) };
        let (ends, read) = within("overlapping writes", all).await;
        ends.into_iter().collect::<spdk::Result<Vec<_>>>()?;
        read?;
        let mut buf = device.buffer(SPAN as usize)?;
        device
            .desc
            .read_blocks(&device.ch, &mut buf, 0, SPAN)
            .await?;
        for (bytes, block) in buf.chunks(BLOCK).zip(0..) {
            let written = ranges
                .iter()
                .any(|(first, count)| (*first..first + count).contains(&block));
            if written {
                assert!(
                    of_round(bytes, block),
                    "block {block} of {name} has neither content"
                );
            }
        }
        // What was read meanwhile is old or new; blocks of two writes may be mixed, a block never is.
        for (bytes, block) in during.chunks(BLOCK).zip(0..) {
            let old = (0..=round).any(|round| {
                (0..WRITERS).any(|writer| is(bytes, block, (round << 8) + writer + 1))
            });
            let empty = bytes.iter().all(|byte| *byte == 0);
            assert!(old || empty, "block {block} of {name} was torn");
        }
    }
    Ok(())
}

/// As for `overlapping`.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "M", num_blocks = BLOCKS, block_size = BLOCK),
    bdev_malloc_create(name = "N", num_blocks = BLOCKS, block_size = BLOCK),
    bdev_delay_create(
        base_bdev_name = "N", name = "D",
        avg_read_latency = 10, p99_read_latency = 300, avg_write_latency = 10, p99_write_latency = 300,
    ),
    bdev_aio_create(name = "A", filename = file(1 << 20), block_size = BLOCK),
))]
async fn of_the_same_blocks() -> spdk::Result<()> {
    let all = |rounds| async move {
        overlapping("M", rounds).await?;
        overlapping("D", rounds).await?;
        overlapping("A", rounds).await
    };
    let counters = Counters::settled(all(2)).await?;
    all(20).await?;
    counters.assert_back().await;
    Ok(())
}

/// Fails if more than one of several compare-and-writes that expect the same finds it, or none does.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = BLOCKS, block_size = BLOCK)))]
async fn only_one_compare_and_write_wins() -> spdk::Result<()> {
    let device = &Device::open("M")?;
    for round in 0..20_u64 {
        let tries = (0..12_u64).map(|number| async move {
            let (mut old, mut new) = (device.buffer(1)?, device.buffer(1)?);
            if round > 0 {
                pattern::fill(&mut old, BLOCK, 3, 1);
            }
            pattern::fill(&mut new, BLOCK, 3, 100 * round + number + 2);
            let (desc, ch) = (&device.desc, &device.ch);
            desc.compare_and_write_blocks(ch, &[old], &[new], 3, 1)
                .await
        });
        let ends = within("compare-and-writes", join_all(tries)).await;
        let mut winners = Vec::new();
        for (end, number) in ends.into_iter().zip(0_u64..) {
            match end {
                Ok(()) => winners.push(number),
                Err(error) => {
                    let status = error.nvme_status();
                    assert!(
                        status.is_some_and(|status| status.is_compare_failure()),
                        "{error}"
                    );
                }
            }
        }
        assert_eq!(winners.len(), 1, "{winners:?}");
        let mut buf = device.buffer(1)?;
        device.desc.read_blocks(&device.ch, &mut buf, 3, 1).await?;
        pattern::assert_is(&buf, BLOCK, 3, 100 * round + winners[0] + 2);
        pattern::fill(&mut buf, BLOCK, 3, 1);
        device.desc.write_blocks(&device.ch, &buf, 3, 1).await?;
    }
    Ok(())
}
