//! Bytes that tell to which block of which generation they belong.
//!
//! Each word of 8 bytes depends on its block, its place in the block and a generation, so a block at
//! a wrong place, a torn block and an old one are all seen.

/// Writes the pattern of the blocks from `first` on.
pub(crate) fn fill(bytes: &mut [u8], block_size: usize, first: u64, generation: u64) {
    for (block, number) in bytes.chunks_mut(block_size).zip(first..) {
        let start = mix(generation.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        for (bytes, place) in block.chunks_mut(8).zip(0_u64..) {
            let word = mix(start.wrapping_add(place)).to_le_bytes();
            bytes.copy_from_slice(&word[..bytes.len()]);
        }
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::fill;

    fn pattern(first: u64, generation: u64) -> [u8; 1040] {
        let mut bytes = [0; 1040];
        fill(&mut bytes, 520, first, generation);
        bytes
    }

    #[test]
    fn blocks_and_generations_differ() {
        let (this, next) = (pattern(7, 1), pattern(8, 1));
        assert_eq!(this, pattern(7, 1));
        assert_eq!(this[520..], next[..520], "a block's bytes are its own");
        let other = pattern(7, 2);
        for bytes in [&next, &other] {
            let same = this.iter().zip(bytes).filter(|(a, b)| a == b).count();
            assert!(same < 30, "{same} of 1040 bytes are the same");
        }
    }
}
