//! What the device may hold, as far as its user can know.
//!
//! A write that was abandoned has landed, has not, or will: which one is known when it has ended, and
//! who abandoned it does not hear of that. So a block has two sets: what it can hold now if nothing
//! else happens to it (`settled`), and what operations that may not have ended can still put there
//! (`pending`). A read may return a member of either, and what it returned is what the block has
//! then; the pending ones may still come after it. When every operation has ended, which the device
//! tells by giving its channels up, nothing is pending any more: each has landed or not.
//!
//! A failed write counts as abandoned: some of it may be there, and a target that was reset may have
//! it in its socket yet.
//!
//! A range has one owner, so no other task's writes have to be thought of.

use std::fmt;
use std::ops::Range;

use crate::pattern;

/// What a block holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// It was never written, or unmapped, or zeroed.
    Zero,
    /// The pattern of a write.
    Generation(u64),
}

impl Content {
    /// Whether `bytes` are this content of block `number`.
    pub fn is(self, bytes: &[u8], number: u64) -> bool {
        match self {
            Content::Zero => bytes.iter().all(|byte| *byte == 0),
            Content::Generation(generation) => {
                pattern::check(bytes, bytes.len(), number, generation).is_ok()
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Block {
    settled: Vec<Content>,
    pending: Vec<Content>,
}

/// A range of blocks that one task owns.
#[derive(Clone, Debug)]
pub struct Region {
    first: u64,
    block_size: usize,
    blocks: Vec<Block>,
}

/// A block that holds what it cannot hold.
#[derive(Debug)]
pub struct Wrong {
    number: u64,
    block: Block,
    begin: Vec<u8>,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Block { settled, pending } = &self.block;
        write!(
            f,
            "block {} holds none of {settled:x?} nor of what is in flight, {pending:x?}; it begins \
             with {:02x?}",
            self.number, self.begin
        )
    }
}

impl Region {
    /// Blocks of a device that has never been written to.
    pub fn zeroed(first: u64, count: u64, block_size: usize) -> Self {
        let block = Block {
            settled: vec![Content::Zero],
            pending: Vec::new(),
        };
        Region {
            first,
            block_size,
            blocks: vec![block; count as usize],
        }
    }

    /// The numbers of its blocks.
    pub fn range(&self) -> Range<u64> {
        self.first..self.first + self.blocks.len() as u64
    }

    /// The size of a block.
    pub fn block_size(&self) -> usize {
        self.block_size
    }

    /// A write of these blocks has succeeded.
    pub fn written(&mut self, range: Range<u64>, content: Content) {
        for block in self.part(range) {
            block.settled = vec![content];
        }
    }

    /// A write of these blocks was abandoned in flight, or failed.
    pub fn in_doubt(&mut self, range: Range<u64>, content: Content) {
        for block in self.part(range) {
            if !block.pending.contains(&content) {
                block.pending.push(content);
            }
        }
    }

    /// Every operation has ended.
    pub fn quiet(&mut self) {
        for block in &mut self.blocks {
            let Block { settled, pending } = block;
            settled.append(pending);
        }
    }

    /// A read of the blocks from `first` on has returned these bytes.
    ///
    /// # Errors
    ///
    /// The first block that cannot hold what it holds.
    pub fn read(&mut self, first: u64, bytes: &[u8]) -> Result<(), Wrong> {
        for (bytes, number) in bytes.chunks(self.block_size).zip(first..) {
            let found = self.find(number, bytes)?;
            self.part(number..number + 1)[0].settled = vec![found];
        }
        Ok(())
    }

    /// What a block that holds `bytes` holds.
    ///
    /// # Errors
    ///
    /// If it cannot hold that.
    pub fn find(&self, number: u64, bytes: &[u8]) -> Result<Content, Wrong> {
        let block = &self.blocks[(number - self.first) as usize];
        let mut allowed = block.settled.iter().chain(&block.pending);
        let found = allowed.find(|content| content.is(bytes, number));
        found.copied().ok_or_else(|| Wrong {
            number,
            block: block.clone(),
            begin: bytes[..8].to_vec(),
        })
    }

    fn part(&mut self, range: Range<u64>) -> &mut [Block] {
        let first = self.first;
        &mut self.blocks[(range.start - first) as usize..(range.end - first) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::{Content, Region};
    use crate::pattern;

    fn block(number: u64, generation: u64) -> Vec<u8> {
        let mut bytes = vec![0; 512];
        pattern::fill(&mut bytes, 512, number, generation);
        bytes
    }

    #[test]
    fn an_abandoned_write_may_land_at_any_time_until_it_has_ended() {
        let mut region = Region::zeroed(8, 4, 512);
        region.written(8..12, Content::Generation(1));
        region.in_doubt(9..10, Content::Generation(2));
        assert!(region.read(8, &block(8, 2)).is_err());
        // Not landed, landed, and not gone again.
        assert!(region.read(9, &block(9, 1)).is_ok());
        assert!(region.read(9, &block(9, 2)).is_ok());
        assert!(region.read(9, &block(9, 1)).is_err());
        // It can come after a later write until it has ended.
        region.written(9..10, Content::Generation(3));
        assert!(region.read(9, &block(9, 2)).is_ok());
        region.written(9..10, Content::Generation(4));
        region.quiet();
        assert!(region.clone().read(9, &block(9, 2)).is_ok());
        assert!(region.read(9, &block(9, 4)).is_ok());
        assert!(region.read(9, &block(9, 2)).is_err());
        assert!(region.read(10, &block(11, 1)).is_err());
        assert!(region.read(11, &[0; 512]).is_err());
    }
}
