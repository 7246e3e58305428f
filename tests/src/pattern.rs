//! Bytes that tell where on a device they belong and by which write they came there.
//!
//! Each word of 8 bytes depends on its block, its place in the block and a generation, so a block at
//! the wrong place, a torn block and an old one are all seen.

use std::fmt;

fn word(block: u64, place: u64, generation: u64) -> u64 {
    let mut z = generation
        .wrapping_mul(0xd6e8_feb8_6659_fd93)
        .wrapping_add(block.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .wrapping_add(place);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Writes the pattern of the blocks from `first` on.
pub fn fill(bytes: &mut [u8], block_size: usize, first: u64, generation: u64) {
    for (block, number) in bytes.chunks_mut(block_size).zip(first..) {
        for (bytes, place) in block.chunks_mut(8).zip(0..) {
            bytes.copy_from_slice(&word(number, place, generation).to_le_bytes()[..bytes.len()]);
        }
    }
}

/// The first block that differs from the pattern.
#[derive(Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The number of the block.
    pub block: u64,
    /// The byte in it.
    pub byte: usize,
    /// What it should be.
    pub expected: u64,
    /// What it is.
    pub found: u64,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mismatch {
            block,
            byte,
            expected,
            found,
        } = self;
        write!(
            f,
            "block {block}, byte {byte}: {found:#018x} instead of {expected:#018x}"
        )
    }
}

/// Compares with the pattern of the blocks from `first` on.
///
/// # Errors
///
/// The first difference.
pub fn check(bytes: &[u8], block_size: usize, first: u64, generation: u64) -> Result<(), Mismatch> {
    for (block, number) in bytes.chunks(block_size).zip(first..) {
        for (bytes, place) in block.chunks(8).zip(0..) {
            let expected = word(number, place, generation);
            if *bytes != expected.to_le_bytes()[..bytes.len()] {
                let mut found = [0; 8];
                found[..bytes.len()].copy_from_slice(bytes);
                return Err(Mismatch {
                    block: number,
                    byte: place as usize * 8,
                    expected,
                    found: u64::from_le_bytes(found),
                });
            }
        }
    }
    Ok(())
}

/// Panics unless the bytes are the pattern of the blocks from `first` on.
#[track_caller]
pub fn assert_is(bytes: &[u8], block_size: usize, first: u64, generation: u64) {
    if let Err(mismatch) = check(bytes, block_size, first, generation) {
        panic!("not the data of generation {generation}: {mismatch}");
    }
}

/// Panics unless every byte is 0.
#[track_caller]
pub fn assert_zero(bytes: &[u8]) {
    if let Some(at) = bytes.iter().position(|byte| *byte != 0) {
        panic!("byte {at} is {:#04x} instead of 0", bytes[at]);
    }
}

#[cfg(test)]
mod tests {
    use super::{check, fill};

    #[test]
    fn another_place_or_generation_is_seen() {
        let mut bytes = [0; 1024];
        fill(&mut bytes, 512, 7, 1);
        assert_eq!(check(&bytes, 512, 7, 1), Ok(()));
        assert_eq!(check(&bytes, 512, 8, 1).map_err(|m| m.block), Err(8));
        assert!(check(&bytes, 512, 7, 2).is_err());
        bytes[1023] ^= 1;
        let torn = check(&bytes, 512, 7, 1).map_err(|m| (m.block, m.byte));
        assert_eq!(torn, Err((8, 504)));
    }
}
