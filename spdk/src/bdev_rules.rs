//! What SPDK does not do right with the I/Os of a device, or does not survive: [`BdevDesc`] refuses it.
#![allow(unsafe_code)] // Reads what a device is.

use std::ffi::CStr;

use crate::bdev::{BdevDesc, BdevExtIoOpts};
use crate::buf::Drain;
use crate::errno::Errno;
use crate::error::Fault;
use crate::handle::Subject;
use crate::local::begin;
use crate::{iobuf, sys};

/// The modules of devices that are parts of another one to SPDK, or errors upon it.
const PARTS: [&CStr; 4] = [c"split", c"gpt", c"error", c"opal"];

/// The modules of devices that are upon no other one, and may have reference tags.
const LOWEST: [&CStr; 3] = [c"malloc", c"nvme", c"null"];

/// `ZERO_BUFFER_SIZE` of SPDK.
const ZEROES: u64 = 0x10_0000;

/// A page of the map of an FTL device, 4 KiB, has so many addresses, or half of them if the device is large.
const FTL_PAGE: u64 = 1024;

/// What a device is like. It stays so as long as the device is registered.
pub(crate) struct Rules {
    /// The size of a block in a buffer of its own; 0 if the descriptor hides metadata.
    block_size: u32,
    /// The size of a block in vectored buffers.
    vector_block_size: u32,
    /// What the metadata of a block have in a buffer of their own; 0 where they have none.
    md_size: u32,
    /// Whether SPDK survives a comparison of metadata. Where there is no command for it, SPDK reads without a buffer, and
    /// compares with whatever the module has put there. Some modules hand the read down to the device below: that one has
    /// the metadata then, and theirs have none.
    compares_md: bool,
    /// How many blocks SPDK compares at most. Where there is no command for it, SPDK reads into one of its large buffers. If it
    /// splits reads for the device as well, it ends one that is too large for that as if it had been submitted, and counts
    /// one I/O less than none in flight from then on.
    compares: u64,
    /// Whether SPDK crashes in data without their metadata: it changes the reference tags of parts, and does not look whether
    /// there is a buffer with them.
    needs_md: bool,
    /// Whether SPDK may change what is written: a part of another device, or a raid, makes the reference tags those of the
    /// device below in the memory that it is given, as can what is below any other device.
    changes: bool,
    /// What unmaps are multiples of, in blocks. FTL does nothing for one that is not made of whole pages of its map, and ends
    /// it at once: where its thread, which ends all others, is on another CPU, both write to one queue, which loses
    /// what ended.
    unmap_unit: u64,
    /// Whether a copy is one of the metadata, too. A malloc bdev has a command for copies that leaves them behind, or the
    /// reference tags as they are, so that nobody can read the blocks; all modules but this and NVMe ask a device below.
    /// Where there is no command, SPDK reads and writes both.
    copies: bool,
    /// Whether SPDK has a block of zeroes, as it finds out when a device is registered that has no command to write them: it
    /// then writes its one buffer of them. A device has as large blocks as the one below it, whose command this can be,
    /// so that no device with larger ones is asked for a command.
    has_zeroes: bool,
}

impl Rules {
    /// Those of a device that is not open yet: nothing is refused, and no buffer has the right size.
    pub(crate) const UNKNOWN: Rules = Rules {
        block_size: 0,
        vector_block_size: 0,
        md_size: 0,
        compares_md: true,
        compares: u64::MAX,
        needs_md: false,
        changes: false,
        unmap_unit: 1,
        copies: true,
        has_zeroes: true,
    };

    /// # Safety
    /// `desc` is an open descriptor of `bdev`.
    pub(crate) unsafe fn of(desc: *mut sys::spdk_bdev_desc, bdev: *mut sys::spdk_bdev) -> Self {
        // SAFETY: passed on; these read. A bdev has a module, and that a name.
        unsafe {
            let module = CStr::from_ptr(sys::spdk_bdev_get_module_name(bdev));
            let has_command = |io_type| sys::spdk_bdev_io_type_supported(bdev, io_type);
            let compares = has_command(sys::SPDK_BDEV_IO_TYPE_COMPARE);
            let has_tags =
                sys::spdk_bdev_is_dif_check_enabled(bdev, sys::SPDK_DIF_CHECK_TYPE_REFTAG);
            let whole = sys::spdk_bdev_get_block_size(bdev);
            #[cfg(spdk_has_spdk_bdev_desc_get_block_size)]
            let size = sys::spdk_bdev_desc_get_block_size(desc);
            #[cfg(not(spdk_has_spdk_bdev_desc_get_block_size))]
            let (size, _) = (whole, desc);
            let md_size = match sys::spdk_bdev_is_md_separate(bdev) {
                true => sys::spdk_bdev_get_md_size(bdev),
                false => 0,
            };
            let splits = sys::spdk_bdev_get_optimal_io_boundary(bdev) != 0
                || (*bdev).max_rw_size != 0
                || (*bdev).max_segment_size != 0
                || (*bdev).max_num_segments != 0;
            // What a buffer of SPDK's has to have for blocks.
            let block = u64::from(whole) + u64::from(md_size);
            let unit = u64::from(sys::spdk_bdev_get_write_unit_size(bdev));
            let lost = sys::spdk_bdev_get_buf_align(bdev) as u64 - 1;
            Rules {
                block_size: if size == whole { size } else { 0 },
                vector_block_size: size,
                md_size,
                compares_md: md_size == 0
                    || compares
                    || !(PARTS.contains(&module) || module == c"bdev_zoned_block"),
                compares: match iobuf::pools() {
                    Ok(pools) if splits && !compares => {
                        u64::from(pools.large_size).saturating_sub(lost) / block
                    }
                    _ => u64::MAX,
                },
                needs_md: md_size != 0 && has_tags && PARTS.contains(&module),
                changes: has_tags && !LOWEST.contains(&module),
                unmap_unit: if module == c"ftl" { FTL_PAGE } else { 1 },
                copies: module == c"nvme"
                    || !has_command(sys::SPDK_BDEV_IO_TYPE_COPY)
                    || (md_size == 0 && !has_tags),
                has_zeroes: block.saturating_mul(unit).saturating_add(lost) <= ZEROES,
            }
        }
    }

    #[inline]
    pub(crate) fn block_size(&self) -> u32 {
        self.block_size
    }

    #[inline]
    pub(crate) fn vector_block_size(&self) -> u32 {
        self.vector_block_size
    }

    #[inline]
    pub(crate) fn needs_no_metadata(&self) -> Result<(), Fault> {
        match self.needs_md {
            false => Ok(()),
            true => Err(Fault::invalid(
                "SPDK crashes in I/O on this device that is not given a buffer for the metadata",
            )),
        }
    }

    /// Refuses a write of no zeroes: SPDK never ends it on a device that has no command for it, at a boundary where it
    /// splits writes. An empty unmap ends at once. Refuses one on a device whose blocks are larger than the buffer of zeroes,
    /// too: what SPDK writes there is the memory behind that.
    #[inline]
    pub(crate) fn zeroes(&self, blocks: u64) -> Result<(), Errno> {
        match (blocks, self.has_zeroes) {
            (0, _) => Err(Errno::EINVAL),
            (_, false) => Err(Errno::ENOTSUP),
            _ => Ok(()),
        }
    }

    /// Refuses an unmap that SPDK loses other I/O by. Both are counted in what a block has `per_block` of.
    #[inline]
    pub(crate) fn unmaps(&self, offset: u64, length: u64, per_block: u32) -> Result<(), Errno> {
        match self.unmap_unit {
            1 => Ok(()),
            _ if length == 0 => Ok(()), // the bdev layer ends it
            unit if (offset | length).is_multiple_of(unit * u64::from(per_block)) => Ok(()),
            _ => Err(Errno::EINVAL),
        }
    }
}

/// Refuses to flush nothing at the end of the device: a raid of level concat looks for the base bdev that has the first
/// block, finds none, and uses the memory before its list of them. Both are counted in what a block has `per_block` of.
///
/// # Safety
/// `bdev` exists.
#[inline]
pub(crate) unsafe fn flushes(
    bdev: *const sys::spdk_bdev,
    offset: u64,
    length: u64,
    per_block: u32,
) -> Result<(), Errno> {
    if length > 0 {
        return Ok(());
    }
    // SAFETY: passed on.
    let blocks = unsafe { sys::spdk_bdev_get_num_blocks(bdev) };
    match offset < blocks.saturating_mul(per_block.into()) {
        true => Ok(()),
        false => Err(Errno::EINVAL),
    }
}

#[cold]
pub(crate) fn hides_metadata() -> Fault {
    Fault::invalid("the descriptor hides the metadata, so only vectored reads and writes work")
}

/// Refuses what SPDK does not split right, if it splits it: a device below another one can have it do so.
#[inline]
pub(crate) fn splits(bytes: u64) -> Result<(), Fault> {
    match u32::try_from(bytes) {
        Ok(_) => Ok(()),
        Err(_) => Err(Fault::invalid(format!(
            "{bytes} bytes; a read or a write has less than 4 GiB"
        ))),
    }
}

impl BdevDesc {
    #[inline]
    fn rules(&self) -> &Rules {
        self.handle().extra().rules()
    }

    /// The size of a logical block, for the check of a buffer's length.
    #[doc(hidden)]
    #[inline]
    pub fn block_size_of(&self) -> Result<u32, Fault> {
        Ok(self.rules().block_size)
    }

    /// The same, for vectored reads and writes, which SPDK converts where the descriptor hides metadata.
    #[doc(hidden)]
    #[inline]
    pub fn vector_block_size_of(&self) -> Result<u32, Fault> {
        Ok(self.rules().vector_block_size)
    }

    /// What becomes of memory that is written.
    #[doc(hidden)]
    #[inline]
    pub fn drains(&self) -> Drain {
        match self.rules().changes {
            false => Drain::Reads,
            true => Drain::Changes,
        }
    }

    /// Refuses what SPDK does not convert where the descriptor hides metadata.
    #[doc(hidden)]
    #[inline]
    pub fn shows_metadata(&self) -> Result<(), Fault> {
        match self.rules().block_size {
            0 => Err(hides_metadata()),
            _ => Ok(()),
        }
    }

    /// Refuses a read or a write that SPDK does not split right: it finds the memory of a part by 32 bits.
    #[doc(hidden)]
    #[inline]
    pub fn splits_bytes(&self, _offset: u64, length: u64) -> Result<(), Fault> {
        splits(length)
    }

    /// The same, of blocks.
    #[doc(hidden)]
    #[inline]
    pub fn splits_blocks(&self, _offset: u64, num_blocks: u64) -> Result<(), Fault> {
        let size = self.rules().vector_block_size;
        splits(num_blocks.saturating_mul(size.into()))
    }

    /// Refuses zeroes that SPDK does not write.
    #[doc(hidden)]
    #[inline]
    pub fn has_zeroes(&self, _offset: u64, length: u64) -> Result<(), Fault> {
        self.rules().zeroes(length).map_err(Fault::errno)
    }

    /// Refuses an unmap that SPDK loses other I/O by.
    #[doc(hidden)]
    #[inline]
    pub fn unmaps_blocks(&self, offset: u64, length: u64) -> Result<(), Fault> {
        let rules = self.rules();
        rules.unmaps(offset, length, 1).map_err(Fault::errno)
    }

    /// The same, of bytes.
    #[doc(hidden)]
    #[inline]
    pub fn unmaps_bytes(&self, offset: u64, length: u64) -> Result<(), Fault> {
        let rules = self.rules();
        let per_block = rules.vector_block_size;
        rules
            .unmaps(offset, length, per_block)
            .map_err(Fault::errno)
    }

    /// Refuses what the NVMe driver has no more than 32 bits for: the device would get a part of it.
    #[doc(hidden)]
    #[inline]
    pub fn has_a_u32_of_blocks(&self, _offset: u64, length: u64) -> Result<(), Fault> {
        match u32::try_from(length) {
            Ok(_) => Ok(()),
            Err(_) => Err(Fault::errno(Errno::EINVAL)),
        }
    }

    /// Refuses to flush nothing at the end of the device, as SPDK crashes in it.
    #[doc(hidden)]
    pub fn flushes_blocks(&self, offset: u64, length: u64) -> Result<(), Fault> {
        self.flushes(offset, length, 1)
    }

    /// The same, of bytes.
    #[doc(hidden)]
    pub fn flushes_bytes(&self, offset: u64, length: u64) -> Result<(), Fault> {
        self.flushes(offset, length, self.rules().vector_block_size)
    }

    fn flushes(&self, offset: u64, length: u64, per_block: u32) -> Result<(), Fault> {
        let desc = self.handle();
        if begin(|caller| desc.get(caller)).is_err() {
            return Ok(()); // the call tells
        }
        // SAFETY: the descriptor is open, as just seen, which keeps the bdev.
        unsafe { flushes(desc.extra().bdev(), offset, length, per_block) }.map_err(Fault::errno)
    }

    /// Refuses what SPDK crashes in.
    #[doc(hidden)]
    #[inline]
    pub fn compares_metadata(&self) -> Result<(), Fault> {
        match self.rules().compares_md {
            true => Ok(()),
            false => Err(Fault::invalid(
                "SPDK cannot compare the metadata of this kind of device, which has no command for it",
            )),
        }
    }

    /// Refuses to compare more than SPDK can read for it.
    #[doc(hidden)]
    #[inline]
    pub fn compares(&self, _offset: u64, num_blocks: u64) -> Result<(), Fault> {
        let most = self.rules().compares;
        match num_blocks <= most {
            true => Ok(()),
            false => Err(Fault::invalid(format!(
                "SPDK compares {most} blocks of this device at most, which has no command for it"
            ))),
        }
    }

    /// Refuses what SPDK crashes in.
    #[doc(hidden)]
    #[inline]
    pub fn needs_no_metadata(&self) -> Result<(), Fault> {
        self.rules().needs_no_metadata()
    }

    /// Refuses `PRACT` where the metadata are apart: SPDK takes them for a part of the data then, and leaves the buffers.
    #[doc(hidden)]
    #[inline]
    pub fn makes_no_metadata(&self, opts: &BdevExtIoOpts) -> Result<(), Fault> {
        let makes = opts.makes_metadata() && self.rules().md_size != 0;
        match makes {
            false => Ok(()),
            true => Err(Fault::invalid(
                "SPDK cannot make metadata that the device keeps apart from the data",
            )),
        }
    }

    /// Refuses a copy that leaves metadata behind, or hides them.
    #[doc(hidden)]
    #[inline]
    pub fn copies(&self) -> Result<(), Fault> {
        self.shows_metadata()?;
        match self.rules().copies {
            true => Ok(()),
            false => Err(Fault::errno(Errno::ENOTSUP)),
        }
    }

    /// As [`BdevDesc::shows_metadata`] and [`BdevDesc::needs_no_metadata`].
    #[doc(hidden)]
    #[inline]
    pub fn shows_and_needs_no_metadata(&self) -> Result<(), Fault> {
        self.shows_metadata()?;
        self.needs_no_metadata()
    }

    /// The size of the metadata of a block in a buffer of their own, for the check of its length.
    #[doc(hidden)]
    #[inline]
    pub fn md_size_of(&self) -> Result<u32, Fault> {
        match self.rules().md_size {
            0 => Err(Fault::invalid(
                "the device keeps no metadata apart from the data, so there is no buffer for them",
            )),
            size => Ok(size),
        }
    }
}

impl BdevExtIoOpts {
    /// Whether they have `PRACT`.
    fn makes_metadata(&self) -> bool {
        // SAFETY: both members of the union are the same 32 bits.
        let cdw12 = unsafe { self.to_c().nvme_cdw12.raw };
        cdw12 & sys::SPDK_DIF_FLAGS_NVME_PRACT != 0
    }
}
