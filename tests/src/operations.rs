//! Every operation of an open device, to be called in the same way: for tests of what all of them have to
//! do.
#![allow(unsafe_code)] // Promises that each command transfers what its buffer has.

use std::future::Future;
use std::pin::Pin;

use spdk::bdev::{BdevExtIoOpts, ZoneAction};
use spdk::{DmaBuf, NvmeCmd, Range};

use crate::Device;

/// The bytes of metadata that each block of the device has, if it has any of their own.
pub const MD: usize = 8;
/// The opcode of the commands that are passed through: a read.
pub const OPCODE: u8 = 0x02;

/// A part of a device, in the units of the operation.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
}

/// How an operation says which part of the device it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// By an offset and a length in bytes.
    Bytes,
    /// The same in blocks.
    Blocks,
    /// By its first block.
    Block,
    /// By the first blocks of two ranges: the source is the one that is asked for, and the destination is
    /// behind it.
    Copy,
    /// In a command.
    Command,
    /// It means the whole device.
    Whole,
}

/// An operation that has begun.
pub type Running<'a> = Pin<Box<dyn Future<Output = spdk::Result<()>> + 'a>>;

/// An operation.
#[derive(Clone, Copy)]
pub struct Operation {
    /// The method of `BdevDesc`.
    pub method: &'static str,
    /// The C function.
    pub call: &'static str,
    /// How it says where.
    pub unit: Unit,
    /// Whether the descriptor has to be open for writing.
    pub writes: bool,
    run: for<'a> fn(&'a Device, Part) -> Running<'a>,
}

impl Operation {
    /// Carries it out with buffers of its own.
    pub fn run<'a>(&self, device: &'a Device, part: Part) -> Running<'a> {
        (self.run)(device, part)
    }

    /// How many of so many blocks it takes at once.
    pub fn at_most(&self, device: &Device, blocks: u64) -> u64 {
        match (self.method, device.bdev.acwu()) {
            ("compare_and_write_blocks", Ok(most)) => blocks.min(most.into()),
            _ => blocks,
        }
    }

    /// The same part of the device in the units of this operation, when it is given in blocks.
    pub fn part(&self, device: &Device, offset: u64, blocks: u64) -> Part {
        let unit = match self.unit {
            Unit::Bytes => device.block() as u64,
            _ => 1,
        };
        Part {
            offset: offset * unit,
            length: blocks * unit,
        }
    }

    /// What the error of this operation has to say about where.
    pub fn range(&self, device: &Device, part: Part) -> Option<Range> {
        let Part { offset, length } = part;
        match self.unit {
            Unit::Bytes => Some(Range::Bytes { offset, length }),
            Unit::Blocks => Some(Range::Blocks {
                offset,
                count: length,
            }),
            Unit::Block => Some(Range::Block { offset }),
            Unit::Copy => Some(Range::Copy {
                from: offset,
                to: offset + length,
                count: length,
            }),
            Unit::Command => Some(Range::Command {
                opcode: OPCODE,
                length: length * device.block() as u64,
            }),
            Unit::Whole => None,
        }
    }
}

/// A buffer for some bytes.
fn buf(bytes: u64) -> spdk::Result<DmaBuf> {
    DmaBuf::alloc((bytes as usize).max(1), 4096)
}

/// The same in two pieces, unless there is one block.
fn bufs(device: &Device, bytes: u64) -> spdk::Result<Vec<DmaBuf>> {
    let block = device.block() as u64;
    match bytes > block {
        true => Ok(vec![buf(block)?, buf(bytes - block)?]),
        false => Ok(vec![buf(bytes)?]),
    }
}

fn blocks(device: &Device, count: u64) -> u64 {
    count.saturating_mul(device.block() as u64).min(1 << 20)
}

fn md(count: u64) -> spdk::Result<DmaBuf> {
    buf(count.saturating_mul(MD as u64).min(1 << 20))
}

/// A read of the part.
fn command(part: Part) -> NvmeCmd {
    NvmeCmd {
        nsid: 1,
        cdw10: part.offset as u32,
        cdw11: (part.offset >> 32) as u32,
        cdw12: (part.length as u32).wrapping_sub(1),
        ..NvmeCmd::new(OPCODE)
    }
}

macro_rules! operations {
    ($($method:ident, $call:literal, $unit:ident, $writes:literal,
       |$device:pat_param, $part:pat_param| $body:expr;)*) => {
        &[$(Operation {
            method: stringify!($method),
            call: $call,
            unit: Unit::$unit,
            writes: $writes,
            run: |device, part| Box::pin(async move {
                let ($device, $part) = (device, part);
                $body.map(drop)
            }),
        }),*]
    };
}

/// Those of a device without zones.
pub const ALL: &[Operation] = operations! {
    read, "spdk_bdev_read", Bytes, false,
        |d, p| d.desc.read(&d.ch, &mut buf(p.length)?, p.offset).await;
    read_blocks, "spdk_bdev_read_blocks", Blocks, false,
        |d, p| d.desc.read_blocks(&d.ch, &mut buf(blocks(d, p.length))?, p.offset, p.length).await;
    read_blocks_with_md, "spdk_bdev_read_blocks_with_md", Blocks, false,
        |d, p| d.desc.read_blocks_with_md(
            &d.ch, &mut buf(blocks(d, p.length))?, &mut md(p.length)?, p.offset, p.length,
        ).await;
    readv, "spdk_bdev_readv", Bytes, false,
        |d, p| d.desc.readv(&d.ch, &mut bufs(d, p.length)?, p.offset).await;
    readv_blocks, "spdk_bdev_readv_blocks", Blocks, false,
        |d, p| d.desc.readv_blocks(&d.ch, &mut bufs(d, blocks(d, p.length))?, p.offset, p.length).await;
    readv_blocks_with_md, "spdk_bdev_readv_blocks_with_md", Blocks, false,
        |d, p| d.desc.readv_blocks_with_md(
            &d.ch, &mut bufs(d, blocks(d, p.length))?, &mut md(p.length)?, p.offset, p.length,
        ).await;
    readv_blocks_ext, "spdk_bdev_readv_blocks_ext", Blocks, false,
        |d, p| d.desc.readv_blocks_ext(
            &d.ch, &mut bufs(d, blocks(d, p.length))?, p.offset, p.length, &BdevExtIoOpts::new(),
            Some(&mut md(p.length)?),
        ).await;
    write, "spdk_bdev_write", Bytes, true,
        |d, p| d.desc.write(&d.ch, &buf(p.length)?, p.offset).await;
    write_blocks, "spdk_bdev_write_blocks", Blocks, true,
        |d, p| d.desc.write_blocks(&d.ch, &buf(blocks(d, p.length))?, p.offset, p.length).await;
    write_blocks_with_md, "spdk_bdev_write_blocks_with_md", Blocks, true,
        |d, p| d.desc.write_blocks_with_md(
            &d.ch, &buf(blocks(d, p.length))?, &md(p.length)?, p.offset, p.length,
        ).await;
    writev, "spdk_bdev_writev", Bytes, true,
        |d, p| d.desc.writev(&d.ch, &bufs(d, p.length)?, p.offset).await;
    writev_blocks, "spdk_bdev_writev_blocks", Blocks, true,
        |d, p| d.desc.writev_blocks(&d.ch, &bufs(d, blocks(d, p.length))?, p.offset, p.length).await;
    writev_blocks_with_md, "spdk_bdev_writev_blocks_with_md", Blocks, true,
        |d, p| d.desc.writev_blocks_with_md(
            &d.ch, &bufs(d, blocks(d, p.length))?, &md(p.length)?, p.offset, p.length,
        ).await;
    writev_blocks_ext, "spdk_bdev_writev_blocks_ext", Blocks, true,
        |d, p| d.desc.writev_blocks_ext(
            &d.ch, &bufs(d, blocks(d, p.length))?, p.offset, p.length, &BdevExtIoOpts::new(),
            Some(&md(p.length)?),
        ).await;
    compare_blocks, "spdk_bdev_compare_blocks", Blocks, false,
        |d, p| d.desc.compare_blocks(&d.ch, &buf(blocks(d, p.length))?, p.offset, p.length).await;
    compare_blocks_with_md, "spdk_bdev_compare_blocks_with_md", Blocks, false,
        |d, p| d.desc.compare_blocks_with_md(
            &d.ch, &buf(blocks(d, p.length))?, &md(p.length)?, p.offset, p.length,
        ).await;
    comparev_blocks, "spdk_bdev_comparev_blocks", Blocks, false,
        |d, p| d.desc.comparev_blocks(&d.ch, &bufs(d, blocks(d, p.length))?, p.offset, p.length).await;
    comparev_blocks_with_md, "spdk_bdev_comparev_blocks_with_md", Blocks, false,
        |d, p| d.desc.comparev_blocks_with_md(
            &d.ch, &bufs(d, blocks(d, p.length))?, &md(p.length)?, p.offset, p.length,
        ).await;
    compare_and_write_blocks, "spdk_bdev_comparev_and_writev_blocks", Blocks, true,
        |d, p| d.desc.compare_and_write_blocks(
            &d.ch, &bufs(d, blocks(d, p.length))?, &bufs(d, blocks(d, p.length))?, p.offset, p.length,
        ).await;
    write_zeroes, "spdk_bdev_write_zeroes", Bytes, true,
        |d, p| d.desc.write_zeroes(&d.ch, p.offset, p.length).await;
    write_zeroes_blocks, "spdk_bdev_write_zeroes_blocks", Blocks, true,
        |d, p| d.desc.write_zeroes_blocks(&d.ch, p.offset, p.length).await;
    write_uncorrectable_blocks, "spdk_bdev_write_uncorrectable_blocks", Blocks, true,
        |d, p| d.desc.write_uncorrectable_blocks(&d.ch, p.offset, p.length).await;
    unmap, "spdk_bdev_unmap", Bytes, true,
        |d, p| d.desc.unmap(&d.ch, p.offset, p.length).await;
    unmap_blocks, "spdk_bdev_unmap_blocks", Blocks, true,
        |d, p| d.desc.unmap_blocks(&d.ch, p.offset, p.length).await;
    flush, "spdk_bdev_flush", Bytes, true,
        |d, p| d.desc.flush(&d.ch, p.offset, p.length).await;
    flush_blocks, "spdk_bdev_flush_blocks", Blocks, true,
        |d, p| d.desc.flush_blocks(&d.ch, p.offset, p.length).await;
    copy_blocks, "spdk_bdev_copy_blocks", Copy, true,
        |d, p| d.desc.copy_blocks(&d.ch, p.offset.wrapping_add(p.length), p.offset, p.length).await;
    zcopy_start, "spdk_bdev_zcopy_start", Blocks, true,
        |d, p| d.desc.zcopy_start(&d.ch, p.offset, p.length, true).await;
    seek_data, "spdk_bdev_seek_data", Block, false,
        |d, p| d.desc.seek_data(&d.ch, p.offset).await;
    seek_hole, "spdk_bdev_seek_hole", Block, false,
        |d, p| d.desc.seek_hole(&d.ch, p.offset).await;
    reset, "spdk_bdev_reset", Whole, false,
        |d, _| d.desc.reset(&d.ch).await;
    nvme_nssr, "spdk_bdev_nvme_nssr", Whole, false,
        |d, _| d.desc.nvme_nssr(&d.ch).await;
    nvme_admin_passthru, "spdk_bdev_nvme_admin_passthru", Command, true,
        |d, p| {
            // SAFETY: the command transfers what the buffers have.
            unsafe {
                d.desc.nvme_admin_passthru(&d.ch, &command(p), Some(&mut buf(blocks(d, p.length))?))
                .await
            }
        };
    nvme_io_passthru, "spdk_bdev_nvme_io_passthru", Command, true,
        |d, p| {
            // SAFETY: the command transfers what the buffers have.
            unsafe {
                d.desc.nvme_io_passthru(&d.ch, &command(p), Some(&mut buf(blocks(d, p.length))?))
                .await
            }
        };
    nvme_io_passthru_md, "spdk_bdev_nvme_io_passthru_md", Command, true,
        |d, p| {
            // SAFETY: the command transfers what the buffers have.
            unsafe {
                d.desc.nvme_io_passthru_md(
                    &d.ch, &command(p), Some(&mut buf(blocks(d, p.length))?), Some(&mut md(p.length)?),
                )
                .await
            }
        };
    nvme_iov_passthru_md, "spdk_bdev_nvme_iov_passthru_md", Command, true,
        |d, p| {
            // SAFETY: the command transfers what the buffers have.
            unsafe {
                d.desc.nvme_iov_passthru_md(
                    &d.ch, &command(p), &mut bufs(d, blocks(d, p.length))?, Some(&mut md(p.length)?),
                )
                .await
            }
        };
};

/// Those that a device with zones has beside reads and writes.
pub const OF_ZONES: &[Operation] = operations! {
    zone_info, "spdk_bdev_get_zone_info", Block, false,
        |d, p| d.desc.zone_info(&d.ch, p.offset, 1).await;
    zone_management, "spdk_bdev_zone_management", Block, false,
        |d, p| d.desc.zone_management(&d.ch, p.offset, ZoneAction::Reset).await;
    zone_append, "spdk_bdev_zone_append", Blocks, false,
        |d, p| d.desc.zone_append(&d.ch, &buf(blocks(d, p.length))?, p.offset, p.length).await;
    zone_appendv, "spdk_bdev_zone_appendv", Blocks, false,
        |d, p| d.desc.zone_appendv(&d.ch, &bufs(d, blocks(d, p.length))?, p.offset, p.length).await;
    zone_append_with_md, "spdk_bdev_zone_append_with_md", Blocks, false,
        |d, p| d.desc.zone_append_with_md(
            &d.ch, &buf(blocks(d, p.length))?, &md(p.length)?, p.offset, p.length,
        ).await;
    zone_appendv_with_md, "spdk_bdev_zone_appendv_with_md", Blocks, false,
        |d, p| d.desc.zone_appendv_with_md(
            &d.ch, &bufs(d, blocks(d, p.length))?, &md(p.length)?, p.offset, p.length,
        ).await;
};
