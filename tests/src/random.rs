//! Numbers that a seed decides, for tests that can be run again as they were.

/// A small generator: splitmix64.
#[derive(Clone, Debug)]
pub struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    /// One that always gives the same numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        Random { seed, state: seed }
    }

    /// Another one, which depends on the seed of this one and on `number` only, and not on how many
    /// numbers were taken: what one task does changes nothing for another.
    pub fn fork(&self, number: u64) -> Self {
        let mixed = self.seed ^ number.wrapping_add(1).wrapping_mul(0xd6e8_feb8_6659_fd93);
        Random::new(Random::new(mixed).next())
    }

    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "it has no end")]
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number less than `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// `true` once in `count` times.
    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// Changes the order of a list.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            list.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn a_seed_decides_everything() {
        let numbers = |seed| {
            let mut random = Random::new(seed);
            [random.next(), random.next(), random.below(100)]
        };
        assert_eq!(numbers(1), numbers(1));
        assert_ne!(numbers(1), numbers(2));
        let mut parent = Random::new(1);
        let before = parent.fork(7).next();
        parent.next();
        assert_eq!(parent.fork(7).next(), before);
        assert_ne!(parent.fork(8).next(), before);
    }
}
