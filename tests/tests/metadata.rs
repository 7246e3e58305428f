//! Metadata: in a buffer of their own, protected, and hidden.
#![allow(missing_docs)]

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::slice::from_ref;

use spdk::bdev::{BdevExtIoOpts, BdevOpenOpts, DifCheck, DifFlags, DifType};
use spdk::{BdevDesc, DmaBuf, Errno, ErrorKind, IoChannel, IoQueue};
use spdk_tests::{Device, assert_errno, assert_kind, dma, kind, pattern, poll_once, until};

const BLOCK: usize = 512;
const MD: usize = 8;
const LATENCY: u64 = 10_000;

/// A buffer with the pattern of some blocks' metadata: another one than their data has.
fn metadata(first: u64, blocks: usize, generation: u64) -> spdk::Result<DmaBuf> {
    let mut md = DmaBuf::alloc(blocks * MD, 64)?;
    pattern::fill(&mut md, MD, 1_000_000 + first, generation);
    Ok(md)
}

fn assert_metadata(md: &[u8], first: u64, generation: u64) {
    pattern::assert_is(md, MD, 1_000_000 + first, generation);
}

/// Each form of a write, and each form of a read of what it wrote.
///
/// Fails if data or metadata go to another place, are of another length, or are those of the other.
async fn all_forms(name: &str) -> spdk::Result<()> {
    let device = Device::open(name)?;
    let Device { bdev, desc, ch } = &device;
    assert!(bdev.is_md_separate()? && !bdev.is_md_interleaved()?);
    assert_eq!(
        (bdev.md_size()?, bdev.data_block_size()?),
        (MD as u32, BLOCK as u32)
    );
    let opts = BdevExtIoOpts::new();
    for form in 0..3 {
        let (first, generation) = (form * 16, 1 + form);
        let mut whole = device.buffer(8)?;
        pattern::fill(&mut whole, BLOCK, first, generation);
        let mut parts = [device.buffer(3)?, device.buffer(5)?];
        parts[0].copy_from_slice(&whole[..3 * BLOCK]);
        parts[1].copy_from_slice(&whole[3 * BLOCK..]);
        let mut md = metadata(first, 8, generation)?;
        match form {
            0 => desc.write_blocks_with_md(ch, &whole, &md, first, 8).await?,
            1 => {
                desc.writev_blocks_with_md(ch, &parts, &md, first, 8)
                    .await?
            }
            _ => {
                desc.writev_blocks_ext(ch, &parts, first, 8, &opts, Some(&md))
                    .await?
            }
        }
        whole.fill(0xee);
        md.fill(0xee);
        desc.read_blocks_with_md(ch, &mut whole, &mut md, first, 8)
            .await?;
        pattern::assert_is(&whole, BLOCK, first, generation);
        assert_metadata(&md, first, generation);

        for ext in [false, true] {
            parts.iter_mut().for_each(|part| part.fill(0xee));
            md.fill(0xee);
            match ext {
                false => {
                    desc.readv_blocks_with_md(ch, &mut parts, &mut md, first, 8)
                        .await?;
                }
                true => {
                    desc.readv_blocks_ext(ch, &mut parts, first, 8, &opts, Some(&mut md))
                        .await?;
                }
            }
            pattern::assert_is(&parts[0], BLOCK, first, generation);
            pattern::assert_is(&parts[1], BLOCK, first + 3, generation);
            assert_metadata(&md, first, generation);
        }

        desc.compare_blocks_with_md(ch, &whole, &md, first, 8)
            .await?;
        desc.comparev_blocks_with_md(ch, &parts, &md, first, 8)
            .await?;
        // Where SPDK compares, it looks at the metadata of the first block.
        md[MD - 1] ^= 1;
        for compared in [
            desc.compare_blocks_with_md(ch, &whole, &md, first, 8).await,
            desc.comparev_blocks_with_md(ch, &parts, &md, first, 8)
                .await,
        ] {
            let status = compared.err().and_then(|error| error.nvme_status());
            assert!(
                status.is_some_and(|status| status.is_compare_failure()),
                "{status:?}"
            );
        }
        // Without metadata, the device has those that it had.
        desc.readv_blocks_ext(ch, &mut parts, first, 8, &opts, None)
            .await?;
        pattern::assert_is(&parts[0], BLOCK, first, generation);
    }
    Ok(())
}

#[spdk::test(bdevs(bdev_malloc_create(
    name = "D", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = false,
)))]
async fn every_form_on_malloc() -> spdk::Result<()> {
    all_forms("D").await
}

#[spdk::test(bdevs(
    bdev_malloc_create(
        name = "Malloc0", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = false,
    ),
    bdev_passthru_create(base_bdev_name = "Malloc0", name = "D"),
))]
async fn every_form_on_passthru() -> spdk::Result<()> {
    all_forms("D").await
}

/// Fails if a buffer that is too short or too long for the metadata is given to SPDK.
#[spdk::test(bdevs(
    bdev_malloc_create(
        name = "D", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = false,
    ),
    bdev_malloc_create(
        name = "Interleaved", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = true,
    ),
    bdev_malloc_create(name = "None", num_blocks = 1024, block_size = BLOCK),
))]
async fn wrong_buffers_are_refused() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let Device { desc, ch, .. } = &device;
    let mut buf = device.buffer(8)?;
    let opts = BdevExtIoOpts::new();
    for bytes in [MD, 8 * MD - 1, 8 * MD + 1, 9 * MD, 8 * BLOCK] {
        let mut md = DmaBuf::alloc(bytes, 64)?;
        let results = [
            desc.read_blocks_with_md(ch, &mut buf, &mut md, 0, 8).await,
            desc.write_blocks_with_md(ch, &buf, &md, 0, 8).await,
            desc.readv_blocks_with_md(ch, std::slice::from_mut(&mut buf), &mut md, 0, 8)
                .await,
            desc.writev_blocks_with_md(ch, std::slice::from_ref(&buf), &md, 0, 8)
                .await,
            desc.readv_blocks_ext(
                ch,
                std::slice::from_mut(&mut buf),
                0,
                8,
                &opts,
                Some(&mut md),
            )
            .await,
            desc.writev_blocks_ext(ch, std::slice::from_ref(&buf), 0, 8, &opts, Some(&md))
                .await,
            desc.compare_blocks_with_md(ch, &buf, &md, 0, 8).await,
            desc.comparev_blocks_with_md(ch, std::slice::from_ref(&buf), &md, 0, 8)
                .await,
        ];
        for result in &results {
            let refused = matches!(kind(result), Some(ErrorKind::InvalidArgument { .. }));
            assert!(refused, "{bytes}: {result:?}");
        }
    }
    let mut md = DmaBuf::alloc(8 * MD, 64)?;
    for name in ["Interleaved", "None"] {
        let other = Device::open(name)?;
        let mut buf = other.buffer(8)?;
        let read = other
            .desc
            .read_blocks_with_md(&other.ch, &mut buf, &mut md, 0, 8);
        let text = read.await.map_err(|error| error.to_string());
        let expected = format!(
            "spdk_bdev_read_blocks_with_md on bdev {name:?} (8 blocks at block 0): the device keeps \
             no metadata apart from the data, so there is no buffer for them"
        );
        assert_eq!(text, Err(expected));
    }
    Ok(())
}

/// Fails if the options of an operation are not SPDK's to see.
#[spdk::test(bdevs(bdev_malloc_create(
    name = "D", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = false,
    dif_type = 1, dif_is_head_of_md = false,
)))]
async fn checks_of_protection_information_can_be_left_out() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let Device { bdev, desc, ch } = &device;
    assert_eq!(bdev.dif_type()?, DifType::Type1);
    assert!(!bdev.is_dif_head_of_md()?);
    for check in [DifCheck::RefTag, DifCheck::Guard] {
        assert!(bdev.is_dif_check_enabled(check)?, "{check:?}");
    }
    let mut buf = device.buffer(1)?;
    pattern::fill(&mut buf, BLOCK, 5, 1);
    let mut wrong = metadata(5, 1, 1)?;
    let checked = desc.write_blocks_with_md(ch, &buf, &wrong, 5, 1).await;
    assert!(
        matches!(kind(&checked), Some(ErrorKind::Device { .. })),
        "{checked:?}"
    );
    // It is as it was.
    let mut right = DmaBuf::alloc(MD, 64)?;
    desc.read_blocks_with_md(ch, &mut buf, &mut right, 5, 1)
        .await?;
    pattern::assert_zero(&buf);

    let every = DifFlags::REFTAG | DifFlags::APPTAG | DifFlags::GUARD;
    let unchecked = BdevExtIoOpts::new().dif_check_flags_exclude_mask(every.bits());
    let bufs = std::slice::from_mut(&mut buf);
    pattern::fill(&mut bufs[0], BLOCK, 5, 1);
    desc.writev_blocks_ext(ch, bufs, 5, 1, &unchecked, Some(&wrong))
        .await?;
    bufs[0].fill(0xee);
    wrong.fill(0xee);
    let every_check = BdevExtIoOpts::new();
    let checked = desc.readv_blocks_ext(ch, bufs, 5, 1, &every_check, Some(&mut wrong));
    let checked = checked.await;
    assert!(
        matches!(kind(&checked), Some(ErrorKind::Device { .. })),
        "{checked:?}"
    );
    desc.readv_blocks_ext(ch, bufs, 5, 1, &unchecked, Some(&mut wrong))
        .await?;
    pattern::assert_is(&bufs[0], BLOCK, 5, 1);
    assert_metadata(&wrong, 5, 1);

    // What SPDK looks at in dword 12: that the device is to make the metadata, which it cannot in a buffer.
    for (pract, expected) in [(0, None), (1 << 29, Some(Errno::ENOTSUP))] {
        let opts = BdevExtIoOpts::new().nvme_cdw12(pract).nvme_cdw13(7 << 16);
        let opts = opts.dif_check_flags_exclude_mask(every.bits());
        let write = desc.writev_blocks_ext(ch, bufs, 5, 1, &opts, Some(&wrong));
        let end = write.await;
        let errno = end.as_ref().err().and_then(spdk::Error::errno);
        assert_eq!(errno, expected, "{end:?}");
    }
    Ok(())
}

/// Fails if a buffer is measured by the blocks of the device, and not by those of the descriptor, or if
/// SPDK is asked for what it cannot do on such a descriptor.
///
/// Not directly on a malloc bdev: SPDK 26.01 reads from it with an accel sequence that leaves the bounce
/// buffer out, and then copies that.
#[spdk::test(bdevs(
    bdev_malloc_create(
        name = "Malloc0", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = true,
        dif_type = 1, dif_is_head_of_md = false,
    ),
    bdev_split_create(base_bdev = "Malloc0", split_count = 1),
))]
async fn a_descriptor_can_hide_them() -> spdk::Result<()> {
    let whole = Device::open("Malloc0p0")?;
    assert_eq!(whole.desc.block_size()? as usize, BLOCK + MD);
    let opts = BdevOpenOpts::new().hide_metadata(true);
    let desc = BdevDesc::open_ext_v2("Malloc0p0", true, &opts)?;
    let ch = desc.get_io_channel()?;
    assert_eq!((desc.block_size()? as usize, desc.md_size()?), (BLOCK, 0));
    assert!(!desc.is_md_interleaved()? && !desc.is_md_separate()?);
    assert_eq!(desc.dif_type()?, DifType::Disabled);
    assert!(!desc.is_dif_check_enabled(DifCheck::Guard)?);
    let mut buf = DmaBuf::alloc(8 * BLOCK, 4096)?;
    pattern::fill(&mut buf, BLOCK, 0, 1);
    let bufs = std::slice::from_mut(&mut buf);
    desc.writev_blocks(&ch, bufs, 0, 8).await?;
    bufs[0].fill(0xee);
    desc.readv_blocks(&ch, bufs, 0, 8).await?;
    pattern::assert_is(&bufs[0], BLOCK, 0, 1);
    desc.writev(&ch, bufs, 0).await?;
    bufs[0].fill(0xee);
    desc.readv(&ch, bufs, 0).await?;
    pattern::assert_is(&bufs[0], BLOCK, 0, 1);
    // The device has what SPDK made of it, with metadata that it accepts.
    let mut all = whole.buffer(8)?;
    whole.desc.read_blocks(&whole.ch, &mut all, 0, 8).await?;
    for (block, number) in all.chunks(BLOCK + MD).zip(0..) {
        pattern::assert_is(&block[..BLOCK], BLOCK, number, 1);
    }
    let error = desc
        .readv_blocks(&ch, std::slice::from_mut(&mut all), 0, 8)
        .await;
    assert!(
        matches!(kind(&error), Some(ErrorKind::InvalidArgument { .. })),
        "{error:?}"
    );
    let results = [
        desc.compare_blocks(&ch, &buf, 0, 8).await,
        desc.compare_and_write_blocks(&ch, from_ref(&buf), from_ref(&buf), 0, 8)
            .await,
        desc.read_blocks(&ch, &mut buf, 0, 8).await,
        desc.read(&ch, &mut buf, 0).await,
        desc.write_blocks(&ch, &buf, 0, 8).await,
        desc.write(&ch, &buf, 0).await,
        desc.write_zeroes(&ch, 0, 4096).await,
        desc.write_zeroes_blocks(&ch, 0, 8).await,
        desc.copy_blocks(&ch, 0, 8, 1).await,
        desc.zcopy_start(&ch, 0, 1, true).await.map(drop),
        desc.zone_append(&ch, &buf, 0, 8).await.map(drop),
    ];
    for result in &results {
        let text = result.as_ref().map_err(ToString::to_string);
        let hidden = text.is_err_and(|text| text.contains("hides the metadata"));
        assert!(hidden, "{result:?}");
    }
    Ok(())
}

type Io<'a> = Pin<Box<dyn Future<Output = spdk::Result<()>> + 'a>>;

/// Every operation with a buffer of metadata.
fn start<'a>(
    form: usize,
    desc: &'a BdevDesc,
    ch: &'a IoChannel,
    bufs: &'a mut [DmaBuf],
    md: &'a mut DmaBuf,
) -> Io<'a> {
    let opts = BdevExtIoOpts::new();
    let mut io: Io<'a> = match form {
        0 => Box::pin(desc.read_blocks_with_md(ch, &mut bufs[0], md, 0, 2)),
        1 => Box::pin(desc.readv_blocks_with_md(ch, bufs, md, 0, 2)),
        2 => Box::pin(async move { desc.readv_blocks_ext(ch, bufs, 0, 2, &opts, Some(md)).await }),
        3 => Box::pin(desc.write_blocks_with_md(ch, &bufs[0], md, 0, 2)),
        4 => Box::pin(desc.writev_blocks_with_md(ch, bufs, md, 0, 2)),
        5 => Box::pin(async move {
            desc.writev_blocks_ext(ch, bufs, 0, 2, &opts, Some(md))
                .await
        }),
        6 => Box::pin(desc.compare_blocks_with_md(ch, &bufs[0], md, 0, 2)),
        _ => Box::pin(desc.comparev_blocks_with_md(ch, bufs, md, 0, 2)),
    };
    assert!(
        poll_once(io.as_mut()).is_pending(),
        "{form} was not in flight"
    );
    io
}

/// Fails if an operation does not hold the metadata that SPDK may still use (freed early: the count
/// falls at once), or holds them for ever (the count does not fall at all).
#[spdk::test(bdevs(
    bdev_malloc_create(
        name = "Malloc0", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = false,
    ),
    bdev_delay_create(
        base_bdev_name = "Malloc0", name = "D",
        avg_read_latency = LATENCY, p99_read_latency = LATENCY,
        avg_write_latency = LATENCY, p99_write_latency = LATENCY,
    ),
))]
async fn they_stay_with_an_operation_that_was_abandoned() -> spdk::Result<()> {
    let device = Device::open("D")?;
    for form in 0..8 {
        for forgotten in [false, true] {
            // What SPDK allocates when it first compares is not counted.
            let before = dma::pieces();
            let mut bufs = [device.buffer(2)?];
            let mut md = DmaBuf::alloc(2 * MD, 64)?;
            let io = start(form, &device.desc, &device.ch, &mut bufs, &mut md);
            match forgotten {
                false => drop(io),
                true => mem::forget(io),
            }
            // Nobody sees what SPDK writes: a buffer that is being filled is another one at its next use.
            let own = md.as_mut_slice().as_ptr();
            assert_eq!(
                dma::pieces(),
                before + 3,
                "{form}: the metadata are SPDK's and ours"
            );
            drop(bufs);
            drop(md);
            let lent = dma::pieces();
            assert!(
                lent >= before + 2,
                "{form} {own:?}: memory was freed under an operation"
            );
            until(&format!("operation {form} to end"), || {
                dma::pieces() <= before
            })
            .await;
        }
    }
    Ok(())
}

/// Fails, by a signal, if a part of a device gets data without the metadata that SPDK changes on the way.
#[spdk::test(bdevs(
    bdev_set_options(bdev_auto_examine = false), // else SPDK itself reads without, and crashes
    bdev_malloc_create(
        name = "M", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = false,
        dif_type = 1, dif_is_head_of_md = false,
    ),
    bdev_split_create(base_bdev = "M", split_count = 2),
    bdev_malloc_create(
        name = "N", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = false,
        dif_type = 3, dif_is_head_of_md = false,
    ),
    bdev_error_create(base_name = "N"),
    bdev_malloc_create(
        name = "O", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = false,
        dif_type = 1, dif_is_head_of_md = false,
    ),
))]
async fn parts_with_reference_tags_need_them() -> spdk::Result<()> {
    let device = Device::open("Mp1")?;
    let Device { desc, ch, .. } = &device;
    let (mut one, mut bufs) = (device.buffer(8)?, [device.buffer(8)?]);
    let opts = BdevExtIoOpts::new();
    let results = [
        desc.read(ch, &mut one, 0).await,
        desc.read_blocks(ch, &mut one, 0, 8).await,
        desc.readv(ch, &mut bufs, 0).await,
        desc.readv_blocks(ch, &mut bufs, 0, 8).await,
        desc.readv_blocks_ext(ch, &mut bufs, 0, 8, &opts, None)
            .await,
        desc.write(ch, &one, 0).await,
        desc.write_blocks(ch, &one, 0, 8).await,
        desc.writev(ch, &bufs, 0).await,
        desc.writev_blocks(ch, &bufs, 0, 8).await,
        desc.writev_blocks_ext(ch, &bufs, 0, 8, &opts, None).await,
        desc.compare_blocks(ch, &one, 0, 8).await,
        desc.comparev_blocks(ch, &bufs, 0, 8).await,
        desc.compare_and_write_blocks(ch, &bufs, &bufs, 0, 1).await,
    ];
    for result in &results {
        assert_kind!(result, InvalidArgument);
    }
    let mut queue = IoQueue::new(ch)?;
    queue.read_blocks(device.buffer(8)?, 0, 8, ());
    queue.write_blocks(device.buffer(8)?, 0, 8, ());
    while let Some(done) = queue.next().await {
        assert_kind!(done.result, InvalidArgument);
    }

    // What needs none, and what has them.
    desc.write_zeroes_blocks(ch, 0, 16).await?;
    let mut md = DmaBuf::alloc(8 * MD, 64)?;
    desc.read_blocks_with_md(ch, &mut one, &mut md, 8, 8)
        .await?;
    desc.write_blocks_with_md(ch, &one, &md, 8, 8).await?;
    for name in ["O", "EE_N"] {
        let other = Device::open(name)?;
        let mut buf = other.buffer(8)?;
        other.desc.read_blocks(&other.ch, &mut buf, 0, 8).await?;
    }
    Ok(())
}

/// Fails, by a signal, if SPDK is to make metadata that the device keeps apart: it looks for them in the data.
#[spdk::test(bdevs(bdev_malloc_create(
    name = "D", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = false,
    dif_type = 1, dif_is_head_of_md = false,
)))]
async fn pract_is_refused_where_they_are_apart() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let Device { desc, ch, .. } = &device;
    let blocks = 126; // whole ones, also of the size that SPDK takes them to have
    let mut bufs = [device.buffer(126)?];
    let opts = BdevExtIoOpts::new().nvme_cdw12(1 << 29);
    for write in [false, true] {
        let end = match write {
            false => {
                desc.readv_blocks_ext(ch, &mut bufs, 0, blocks, &opts, None)
                    .await
            }
            true => {
                desc.writev_blocks_ext(ch, &bufs, 0, blocks, &opts, None)
                    .await
            }
        };
        assert!(
            matches!(kind(&end), Some(ErrorKind::InvalidArgument { .. })),
            "{end:?}"
        );
    }
    Ok(())
}

/// The CRC of a block in its protection information.
fn guard(data: &[u8]) -> u16 {
    data.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            (crc << 1) ^ (if crc & 0x8000 == 0 { 0 } else { 0x8bb7 })
        })
    })
}

/// The protection information of a block.
fn protection(data: &[u8], number: u32) -> [u8; MD] {
    let mut md = [0; MD];
    md[..2].copy_from_slice(&guard(data).to_be_bytes());
    md[4..].copy_from_slice(&number.to_be_bytes());
    md
}

/// Fails if SPDK changes the reference tags in memory that the program may be reading: it makes those of the device below
/// of them.
#[spdk::test(bdevs(
    bdev_set_options(bdev_auto_examine = false), // as above
    bdev_malloc_create(
        name = "M", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = false,
        dif_type = 1, dif_is_head_of_md = false,
    ),
    bdev_split_create(base_bdev = "M", split_count = 2),
    bdev_passthru_create(base_bdev_name = "Mp1", name = "P"),
    bdev_malloc_create(
        name = "R0", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = false,
        dif_type = 1, dif_is_head_of_md = false,
    ),
    bdev_malloc_create(
        name = "R1", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = false,
        dif_type = 1, dif_is_head_of_md = false,
    ),
    bdev_raid_create(name = "R", strip_size_kb = 4, raid_level = "raid0", base_bdevs = ["R0", "R1"]),
))]
async fn what_is_written_stays_as_it_is() -> spdk::Result<()> {
    for name in ["P", "R"] {
        let device = Device::open(name)?;
        let Device { desc, ch, .. } = &device;
        let first = 16; // in a strip of its own, which is another one below
        let mut bufs = [device.buffer(8)?];
        pattern::fill(&mut bufs[0], BLOCK, first, 1);
        let mut md = DmaBuf::alloc(8 * MD, 64)?;
        for ((block, md), number) in bufs[0].chunks(BLOCK).zip(md.chunks_mut(MD)).zip(16..) {
            md.copy_from_slice(&protection(block, number));
        }
        let before = md.to_vec();
        let opts = BdevExtIoOpts::new();
        for form in 0..3 {
            match form {
                0 => desc.write_blocks_with_md(ch, &bufs[0], &md, first, 8).await,
                1 => desc.writev_blocks_with_md(ch, &bufs, &md, first, 8).await,
                _ => {
                    desc.writev_blocks_ext(ch, &bufs, first, 8, &opts, Some(&md))
                        .await
                }
            }?;
            assert_eq!(md[..], before[..], "{name}: form {form}");
            let (mut data, mut read) = (device.buffer(8)?, DmaBuf::alloc(8 * MD, 64)?);
            desc.read_blocks_with_md(ch, &mut data, &mut read, first, 8)
                .await?;
            pattern::assert_is(&data, BLOCK, first, 1);
            assert_eq!(read[..], before[..], "{name}: form {form}");
        }
    }
    Ok(())
}

/// The same where they are in the data.
#[spdk::test(bdevs(
    bdev_malloc_create(
        name = "M", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = true,
        dif_type = 1, dif_is_head_of_md = false,
    ),
    bdev_split_create(base_bdev = "M", split_count = 2),
))]
async fn what_is_written_with_them_stays_as_it_is() -> spdk::Result<()> {
    let device = Device::open("Mp1")?;
    let Device { desc, ch, .. } = &device;
    let whole = BLOCK + MD;
    let offset = (8 * whole) as u64;
    let mut bufs = [device.buffer(8)?];
    for (block, number) in bufs[0].chunks_mut(whole).zip(8..) {
        let (data, md) = block.split_at_mut(BLOCK);
        pattern::fill(data, BLOCK, number.into(), 1);
        md.copy_from_slice(&protection(data, number));
    }
    let before = bufs[0].to_vec();
    for form in 0..4 {
        match form {
            0 => desc.write(ch, &bufs[0], offset).await,
            1 => desc.write_blocks(ch, &bufs[0], 8, 8).await,
            2 => desc.writev(ch, &bufs, offset).await,
            _ => desc.writev_blocks(ch, &bufs, 8, 8).await,
        }?;
        assert!(bufs[0][..] == before[..], "form {form}");
        let mut read = device.buffer(8)?;
        desc.read_blocks(ch, &mut read, 8, 8).await?;
        assert!(read[..] == before[..], "form {form}");
    }
    Ok(())
}

/// Fails if a copy leaves the metadata behind, or reference tags as they are, and is a success; or if one that SPDK can do is
/// refused.
#[spdk::test(bdevs(
    bdev_malloc_create(
        name = "D", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = false,
    ),
    bdev_passthru_create(base_bdev_name = "D", name = "P"),
    bdev_malloc_create(
        name = "Tags", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = true,
        dif_type = 1, dif_is_head_of_md = false,
    ),
    bdev_malloc_create(
        name = "Interleaved", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = true,
    ),
    bdev_malloc_create(
        name = "R0", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = false,
    ),
    bdev_raid_create(name = "R", strip_size_kb = 4, raid_level = "concat", base_bdevs = ["R0"]),
))]
async fn a_copy_takes_them_along() -> spdk::Result<()> {
    for name in ["P", "Tags"] {
        let Device { desc, ch, .. } = &Device::open(name)?;
        assert_errno(desc.copy_blocks(ch, 16, 0, 8).await, Errno::ENOTSUP);
    }
    let Device { desc, ch, .. } = &Device::open("Interleaved")?;
    let mut whole = DmaBuf::alloc(8 * (BLOCK + MD), 4096)?;
    pattern::fill(&mut whole, BLOCK + MD, 0, 1);
    desc.write_blocks(ch, &whole, 0, 8).await?;
    desc.copy_blocks(ch, 16, 0, 8).await?;
    whole.fill(0);
    desc.read_blocks(ch, &mut whole, 16, 8).await?;
    pattern::assert_is(&whole, BLOCK + MD, 0, 1);
    // By a read and a write.
    let device = Device::open("R")?;
    let Device { desc, ch, .. } = &device;
    let mut buf = device.buffer(8)?;
    pattern::fill(&mut buf, BLOCK, 0, 1);
    let mut md = metadata(0, 8, 1)?;
    desc.write_blocks_with_md(ch, &buf, &md, 0, 8).await?;
    desc.copy_blocks(ch, 16, 0, 8).await?;
    buf.fill(0);
    md.fill(0);
    desc.read_blocks_with_md(ch, &mut buf, &mut md, 16, 8)
        .await?;
    pattern::assert_is(&buf, BLOCK, 0, 1);
    assert_metadata(&md, 0, 1);
    Ok(())
}
