//! Wakes of tasks from other OS threads: a bit for each task.
//!
//! A task that is woken a thousand times before its spdk_thread looks is woken once. A wake takes no
//! memory and no lock; a look without one is a load.
//!
//! Nothing of SPDK is in this file, so that a model checker can run it.

use std::sync::OnceLock;

use crate::atomic::AtomicU64;
use crate::atomic::Ordering::{Acquire, Relaxed, Release};

/// The tasks of a word.
const BITS: u32 = u64::BITS;

/// The words of the first part, and the groups that all words are in.
const GROUPS: u32 = 32;

/// Beside the groups: the owner does not look.
const ASLEEP: u64 = 1 << GROUPS;

/// Beside the groups: there are wakes in a further part.
const BEYOND: u64 = 1 << (GROUPS + 1);

/// The bit of the first task whose bit is beside the groups.
const DIRECT: u32 = GROUPS + 2;

/// How many tasks there are of these: a wake of one takes no other word.
const DIRECTS: u32 = BITS - DIRECT;

/// The wakes of the tasks of one spdk_thread, by the places of the tasks.
//
// The first words are on the cache line of `groups`, so a wake of the first tasks moves one line
// between two cores.
#[repr(C, align(64))]
pub(crate) struct Wakeups {
    /// Which words to look at: bit `n` for the words `n`, `n + 32`, ... It is set after a bit in one of
    /// them, and cleared before they are. Beside them [`ASLEEP`], [`BEYOND`] and the first tasks.
    groups: AtomicU64,
    first: [AtomicU64; GROUPS as usize],
    more: [OnceLock<Box<[AtomicU64]>>; 21],
}

impl Default for Wakeups {
    fn default() -> Self {
        Wakeups {
            groups: AtomicU64::new(0),
            first: std::array::from_fn(|_| AtomicU64::new(0)),
            more: Default::default(),
        }
    }
}

impl Wakeups {
    /// Wakes the task in this place. From any OS thread; what it did before is seen by the task. Returns
    /// whether to wake the owner up: one of those that wake its tasks is told so.
    #[must_use]
    pub(crate) fn wake(&self, place: u32) -> bool {
        if place < DIRECTS {
            return self.tell(1 << (DIRECT + place));
        }
        let (word, bit) = (place / BITS, 1 << (place % BITS));
        let beyond = if word < GROUPS { 0 } else { BEYOND };
        let group = 1 << (word % GROUPS) | beyond;
        let before = self.word(word).fetch_or(bit, Release);
        // Always after a bit that was clear, and by an exchange: a load could be older than a look
        // that has missed the bit. Whoever had set it before does the same, if not yet.
        if before & bit == 0 || self.groups.load(Relaxed) & group != group {
            return self.tell(group);
        }
        false
    }

    /// Sets these bits for the owner. Returns whether to wake it up.
    fn tell(&self, bits: u64) -> bool {
        let before = self.groups.fetch_or(bits, Release);
        before & ASLEEP != 0 && self.groups.fetch_and(!ASLEEP, Relaxed) & ASLEEP != 0
    }

    /// The owner will not look until it is woken up; `false` if there are wakes. The owner's.
    pub(crate) fn sleep(&self) -> bool {
        self.groups
            .compare_exchange(0, ASLEEP, Relaxed, Relaxed)
            .is_ok()
    }

    /// The owner looks again by itself. The owner's.
    pub(crate) fn wake_up(&self) {
        self.groups.fetch_and(!ASLEEP, Relaxed);
    }

    /// Whether there is no wake to take.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.load(Relaxed) & !ASLEEP == 0
    }

    /// Takes the wakes that are there, and calls `wake` with the place of each.
    #[inline]
    pub(crate) fn take(&self, wake: impl FnMut(u32)) {
        if !self.is_empty() {
            self.take_some(wake);
        }
    }

    fn take_some(&self, mut wake: impl FnMut(u32)) {
        let all = self.groups.swap(0, Acquire);
        bits(all >> DIRECT).for_each(&mut wake);
        for group in bits(all & (ASLEEP - 1)) {
            let more = match all & BEYOND {
                0 => &[],
                _ => self.more.as_slice(),
            };
            let more = more.iter().map(|part| match part.get() {
                Some(part) => part,
                None => [].as_slice(),
            });
            let mut start = 0;
            for part in std::iter::once(self.first.as_slice()).chain(more) {
                let of_group = part.iter().enumerate().skip(group as usize);
                for (index, word) in of_group.step_by(GROUPS as usize) {
                    if word.load(Relaxed) == 0 {
                        continue;
                    }
                    for bit in bits(word.swap(0, Acquire)) {
                        wake((start + index as u32) * BITS + bit);
                    }
                }
                start = start * 2 + GROUPS;
            }
        }
    }

    /// Part `n` has 32 times 2 to the power of `n` words.
    fn word(&self, index: u32) -> &AtomicU64 {
        if let Some(word) = self.first.get(index as usize) {
            return word;
        }
        let part = (index / GROUPS + 1).ilog2();
        let start = GROUPS * ((1 << part) - 1);
        let words = self.more[part as usize - 1].get_or_init(|| {
            let words = 0..GROUPS << part;
            words.map(|_| AtomicU64::new(0)).collect()
        });
        &words[(index - start) as usize]
    }
}

/// The places of the bits that are set, the lowest first.
fn bits(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros())?;
        word &= word - 1;
        Some(bit)
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{DIRECTS, Wakeups};

    fn taken(wakeups: &Wakeups) -> Vec<u32> {
        let mut places = Vec::new();
        wakeups.take(|place| places.push(place));
        places.sort_unstable();
        places
    }

    #[test]
    fn every_place_is_woken_once() {
        let wakeups = Wakeups::default();
        assert!(taken(&wakeups).is_empty());
        // On both sides of each end of a word, of a group and of the first parts, and the last place.
        let edges = [0, DIRECTS, 64, 2048, 6144, 14_336, 30_720, 1 << 20];
        let mut places: Vec<u32> = edges
            .iter()
            .flat_map(|edge: &u32| edge.saturating_sub(2)..edge + 2)
            .collect();
        places.dedup();
        for place in places.iter().chain(&places) {
            let _ = wakeups.wake(*place);
        }
        assert_eq!(taken(&wakeups), places);
        assert!(taken(&wakeups).is_empty());
        // Those that were taken are gone from its word, too.
        assert!(!wakeups.wake(1) && !wakeups.wake(DIRECTS + 1));
        assert_eq!(taken(&wakeups), [1, DIRECTS + 1]);
    }

    #[test]
    fn wakes_of_many_os_threads_are_all_seen() {
        let wakeups = Wakeups::default();
        let seen = std::thread::scope(|scope| {
            for start in 0..4 {
                let wakeups = &wakeups;
                scope.spawn(move || (start..10_000).step_by(4).for_each(|p| _ = wakeups.wake(p)));
            }
            let mut seen = Vec::new();
            let start = std::time::Instant::now();
            while seen.len() < 10_000 && start.elapsed().as_secs() < 20 {
                wakeups.take(|place| seen.push(place));
            }
            seen.sort_unstable();
            seen
        });
        assert!(seen.into_iter().eq(0..10_000));
    }
}
