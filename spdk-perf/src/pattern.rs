//! Bytes that tell to which block of which generation they belong.
//!
//! Each word of 8 bytes depends on its block, its place in the block and a generation, so a block at
//! a wrong place, a torn block and an old one are all seen.

/// The pattern of a piece of a device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pattern {
    pub(crate) block_size: usize,
    /// The number of the first block.
    pub(crate) first: u64,
    pub(crate) generation: u64,
}

/// How bytes differ from a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Where the first byte is that differs.
    pub(crate) at: usize,
    pub(crate) expected: u8,
    pub(crate) found: u8,
    /// How many bytes differ.
    pub(crate) count: usize,
}

impl Pattern {
    /// Writes the pattern.
    pub(crate) fn fill(self, bytes: &mut [u8]) {
        for (block, number) in bytes.chunks_mut(self.block_size).zip(self.first..) {
            let words = self.words(number);
            for (bytes, word) in block.chunks_mut(8).zip(words) {
                bytes.copy_from_slice(&word[..bytes.len()]);
            }
        }
    }

    /// Compares with the pattern.
    pub(crate) fn difference(self, bytes: &[u8]) -> Option<Difference> {
        let blocks = bytes.chunks(self.block_size).zip(self.first..);
        let words = blocks.flat_map(|(block, number)| block.chunks(8).zip(self.words(number)));
        let mut difference: Option<Difference> = None;
        let mut at = 0;
        for (bytes, word) in words {
            if *bytes != word[..bytes.len()] {
                for (place, (found, expected)) in bytes.iter().zip(word).enumerate() {
                    if *found != expected {
                        let first = Difference {
                            at: at + place,
                            expected,
                            found: *found,
                            count: 0,
                        };
                        difference.get_or_insert(first).count += 1;
                    }
                }
            }
            at += bytes.len();
        }
        difference
    }

    /// The words of a block.
    fn words(self, block: u64) -> impl Iterator<Item = [u8; 8]> {
        let block = block.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let start = mix(self.generation.wrapping_add(block));
        (0_u64..).map(move |place| mix(start.wrapping_add(place)).to_le_bytes())
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::{Difference, Pattern};

    /// Two blocks, of a size that is not a whole number of words.
    fn pattern(first: u64, generation: u64) -> (Pattern, [u8; 1044]) {
        let pattern = Pattern {
            block_size: 522,
            first,
            generation,
        };
        let mut bytes = [0; 1044];
        pattern.fill(&mut bytes);
        (pattern, bytes)
    }

    #[test]
    fn blocks_and_generations_differ() {
        let (this, bytes) = pattern(7, 1);
        assert_eq!(this.difference(&bytes), None);
        let (next, bytes_of_next) = pattern(8, 1);
        assert_eq!(
            bytes[522..],
            bytes_of_next[..522],
            "a block has its own bytes"
        );
        let (other, _) = pattern(7, 2);
        for other in [next, other] {
            let differing = other.difference(&bytes).map(|difference| difference.count);
            assert!(differing > Some(1000), "{differing:?} of 1044 bytes differ");
        }
    }

    #[test]
    fn the_first_difference_is_found() {
        let (pattern, mut bytes) = pattern(7, 1);
        let expected = bytes[521];
        bytes[521] ^= 5;
        bytes[1043] ^= 1;
        let difference = Difference {
            at: 521,
            expected,
            found: expected ^ 5,
            count: 2,
        };
        assert_eq!(pattern.difference(&bytes), Some(difference));
    }
}
