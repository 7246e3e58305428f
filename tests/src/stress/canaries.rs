//! Unrelated buffers with known bytes: a write of a device into memory that is not its own any more
//! shows in them.
//!
//! Some were never given to a device. Others were, in operations that were abandoned: their owner has
//! gone on to use them at once, and whatever the device still does must not show.

use spdk::DmaBuf;

use crate::pattern;
use crate::random::Random;

/// Marks bytes that no device may ever hold.
const MARK: u64 = 1 << 63;
const BLOCK: usize = 512;
/// How many of them there are at least. With a target that is stopped, as many pieces of memory as
/// are abandoned meanwhile are held, and all of them have to be watched for.
const COUNT: usize = 24;

/// Buffers whose bytes are known.
#[derive(Debug, Default)]
pub struct Canaries {
    birds: Vec<(DmaBuf, u64)>,
    born: u64,
}

impl Canaries {
    /// Fills a buffer with bytes of its own and keeps it.
    pub fn keep(&mut self, mut buf: DmaBuf) {
        self.born += 1;
        let generation = self.born | MARK;
        pattern::fill(&mut buf, BLOCK, 0, generation);
        self.birds.push((buf, generation));
    }

    /// Drops the oldest ones, after a look at them.
    ///
    /// # Errors
    ///
    /// If the bytes of one have changed.
    pub fn shrink(&mut self, count: usize) -> Result<(), String> {
        let more = self.birds.len().saturating_sub(count);
        let mut oldest = self.birds.drain(..more);
        oldest.try_for_each(|(buf, generation)| check(&buf, generation))
    }

    /// Takes a buffer of this size out, if there is one, after a look at it.
    ///
    /// # Errors
    ///
    /// If its bytes have changed.
    pub fn take(&mut self, size: usize) -> Result<Option<DmaBuf>, String> {
        let Some(place) = self.birds.iter().position(|(buf, _)| buf.len() == size) else {
            return Ok(None);
        };
        let (buf, generation) = self.birds.swap_remove(place);
        check(&buf, generation)?;
        Ok(Some(buf))
    }

    /// Looks at some, and replaces one by fresh memory: what was freed too early is in use again.
    ///
    /// # Errors
    ///
    /// If the bytes of one have changed, or there is no memory.
    pub fn step(&mut self, dice: &mut Random, sizes: &[usize]) -> Result<(), String> {
        for _ in 0..3 {
            if !self.birds.is_empty() {
                let place = dice.below(self.birds.len() as u64) as usize;
                let (buf, generation) = &self.birds[place];
                check(buf, *generation)?;
            }
        }
        self.shrink(COUNT - 1)?;
        while self.birds.len() < COUNT {
            let size = sizes[dice.below(sizes.len() as u64) as usize];
            let buf = DmaBuf::alloc(size, 4096).map_err(|error| error.to_string())?;
            self.keep(buf);
        }
        Ok(())
    }

    /// Looks at all.
    ///
    /// # Errors
    ///
    /// If the bytes of one have changed.
    pub fn check(&self) -> Result<(), String> {
        let mut birds = self.birds.iter();
        birds.try_for_each(|(buf, generation)| check(buf, *generation))
    }
}

fn check(buf: &DmaBuf, generation: u64) -> Result<(), String> {
    pattern::check(buf, BLOCK, 0, generation)
        .map_err(|wrong| format!("a buffer that no device has any more has changed: {wrong}"))
}
