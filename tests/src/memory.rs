//! A block device in memory, for blobstores: it fails when it is told to, and loses what it has cached.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use spdk::blob::{BlockDevice, ReadInto, WriteFrom};
use spdk::{Errno, SpdkThread};

use crate::pattern;
use crate::random::Random;

/// A handle of the device: a clone is another one, for a store or for the test.
#[derive(Clone)]
pub struct Memory(Arc<Inner>);

struct Inner {
    block_size: usize,
    state: Mutex<State>,
    /// How many writes there were: of data, of zeroes, and unmaps.
    writes: AtomicU64,
    reads: AtomicU64,
    in_flight: AtomicU64,
    channels: AtomicU64,
}

#[derive(Default)]
struct State {
    /// What survives a loss of power.
    bytes: Vec<u8>,
    /// What was written since the last flush, by block; `None` if writes are durable at once.
    cache: Option<BTreeMap<u64, Vec<u8>>>,
    /// Writes from this one on fail, so many of them.
    failing: Option<(u64, u64)>,
    /// Whether reads fail.
    fails_reads: bool,
    /// The read that fails even so.
    failing_read: Option<u64>,
    /// Whether the cache is flushed by the end of each write.
    writes_through: bool,
    /// Whether I/O is held back.
    is_held: bool,
    is_degraded: bool,
    /// The spdk_threads that have written.
    writers: BTreeSet<String>,
    /// In how many turns an I/O is done.
    turns: u32,
    /// If it is not always the same number.
    scatter: Option<Random>,
    has_no_channel: bool,
}

impl Memory {
    /// A device of zeroes.
    pub fn new(block_size: u32, num_blocks: u64) -> Self {
        let bytes = vec![0; num_blocks as usize * block_size as usize];
        Memory(Arc::new(Inner {
            block_size: block_size as usize,
            state: Mutex::new(State {
                bytes,
                ..State::default()
            }),
            writes: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            channels: AtomicU64::new(0),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives it the pattern of a generation.
    pub fn fill(&self, generation: u64) {
        pattern::fill(&mut self.lock().bytes, self.0.block_size, 0, generation);
    }

    /// Another device with the same content.
    pub fn copy(&self) -> Self {
        self.in_blocks_of(self.0.block_size as u32)
    }

    /// Another device with the same content, in blocks of this size.
    pub fn in_blocks_of(&self, block_size: u32) -> Self {
        let copy = Memory::new(block_size, 0);
        copy.lock().bytes = self.lock().bytes.clone();
        copy
    }

    /// Has it be so many blocks larger.
    pub fn grow(&self, num_blocks: u64) {
        let mut state = self.lock();
        let len = state.bytes.len() + num_blocks as usize * self.0.block_size;
        state.bytes.resize(len, 0);
    }

    /// Has every I/O take so many turns of its spdk_thread.
    pub fn delay(&self, turns: u32) {
        self.lock().turns = turns;
    }

    /// Has I/Os that are in flight together be done in any order, or in theirs again.
    pub fn scatter(&self, random: Option<Random>) {
        self.lock().scatter = random;
    }

    /// Has the writes from the `first` on fail, `count` of them. The next one is 0.
    pub fn fail_writes(&self, first: u64, count: u64) {
        let first = self.writes() + first;
        self.lock().failing = Some((first, first.saturating_add(count)));
    }

    /// Has writes succeed again.
    pub fn heal(&self) {
        self.lock().failing = None;
    }

    /// Has reads fail, or not any more.
    pub fn fail_reads(&self, value: bool) {
        self.lock().fails_reads = value;
    }

    /// Has one read fail, of those from now on. The next one is 0.
    pub fn fail_read(&self, number: u64) {
        let number = self.reads() + number;
        self.lock().failing_read = Some(number);
    }

    /// Keeps all I/O in flight, or lets it go on.
    pub fn hold(&self, value: bool) {
        self.lock().is_held = value;
    }

    /// Has it say that it takes no I/O.
    pub fn degrade(&self, value: bool) {
        self.lock().is_degraded = value;
    }

    /// Has spdk_threads get no channel from now on.
    pub fn refuse_channels(&self) {
        self.lock().has_no_channel = true;
    }

    /// From now on writes are in a volatile cache until a flush.
    pub fn cache_writes(&self) {
        self.lock().cache = Some(BTreeMap::new());
    }

    /// From now on a write is durable when it has ended, and while it is in flight it is in a volatile cache.
    pub fn write_through(&self) {
        self.cache_writes();
        self.lock().writes_through = true;
    }

    /// Makes what was written durable.
    pub fn flush(&self) {
        let mut state = self.lock();
        if let Some(cache) = &mut state.cache {
            let cache = std::mem::take(cache);
            for (block, bytes) in cache {
                let at = block as usize * self.0.block_size;
                state.bytes[at..at + bytes.len()].copy_from_slice(&bytes);
            }
        }
    }

    /// What a device has after a loss of power: of the blocks in the cache, some are written and some are not.
    pub fn after_power_loss(&self, random: &mut Random) -> Self {
        let after = self.copy();
        {
            let (state, mut after) = (self.lock(), after.lock());
            for (block, bytes) in state.cache.iter().flatten() {
                if random.below(2) == 0 {
                    let at = *block as usize * self.0.block_size;
                    after.bytes[at..at + bytes.len()].copy_from_slice(bytes);
                }
            }
        }
        after
    }

    /// Where these bytes are first.
    pub fn find(&self, bytes: &[u8]) -> Option<usize> {
        let state = self.lock();
        let mut windows = state.bytes.windows(bytes.len());
        windows.position(|window| window == bytes)
    }

    /// Changes a byte.
    pub fn damage(&self, at: usize) {
        self.lock().bytes[at] ^= 0x55;
    }

    /// Edits what is on it.
    pub fn edit(&self, edit: impl FnOnce(&mut [u8])) {
        edit(&mut self.lock().bytes);
    }

    /// The names of the spdk_threads that have written since this was asked last.
    pub fn writers(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.lock().writers)
    }

    /// How many writes there were.
    pub fn writes(&self) -> u64 {
        self.0.writes.load(Relaxed)
    }

    /// How many reads there were.
    pub fn reads(&self) -> u64 {
        self.0.reads.load(Relaxed)
    }

    /// How many I/Os are in flight.
    pub fn in_flight(&self) -> u64 {
        self.0.in_flight.load(Relaxed)
    }

    /// How many channels there are.
    pub fn channels(&self) -> u64 {
        self.0.channels.load(Relaxed)
    }

    /// How many stores and tests have it.
    pub fn handles(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    async fn turn(&self) {
        let _in_flight = Count::new(&self.0.in_flight);
        let mut turns = {
            let mut state = self.lock();
            let turns = state.turns;
            let random = state.scatter.as_mut();
            random.map_or(turns, |random| random.below(16) as u32)
        };
        poll_fn(|cx| {
            if self.lock().is_held {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if turns == 0 {
                return Poll::Ready(());
            }
            turns -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Counts a write, which may have to fail.
    fn write_turn(&self) -> Result<(), Errno> {
        let number = self.0.writes.fetch_add(1, Relaxed);
        let mut state = self.lock();
        let here = SpdkThread::get_current().map(|thread| thread.name().to_owned());
        state.writers.extend(here);
        match state.failing {
            Some((first, end)) if (first..end).contains(&number) => Err(Errno::EIO),
            _ => Ok(()),
        }
    }

    /// Writes bytes, which are not read before it is time to.
    async fn write_bytes(
        &self,
        block: u64,
        bytes: impl FnOnce() -> Result<Vec<u8>, Errno>,
    ) -> Result<(), Errno> {
        let writes_through = self.lock().writes_through;
        if !writes_through {
            self.turn().await;
        }
        self.write_turn()?;
        self.store(block, &bytes()?);
        if writes_through {
            self.turn().await;
            self.flush();
        }
        Ok(())
    }

    fn store(&self, block: u64, bytes: &[u8]) {
        let mut state = self.lock();
        match &mut state.cache {
            Some(cache) => {
                for (bytes, block) in bytes.chunks(self.0.block_size).zip(block..) {
                    cache.insert(block, bytes.to_vec());
                }
            }
            None => {
                let at = block as usize * self.0.block_size;
                state.bytes[at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
    }
}

struct Count<'a>(&'a AtomicU64);

impl<'a> Count<'a> {
    fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Relaxed);
        Count(count)
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// What an spdk_thread has of it.
pub struct Channel(Arc<Inner>);

impl Drop for Channel {
    fn drop(&mut self) {
        self.0.channels.fetch_sub(1, Relaxed);
    }
}

impl BlockDevice for Memory {
    type Channel = Channel;

    fn block_size(&self) -> u32 {
        self.0.block_size as u32
    }

    fn num_blocks(&self) -> u64 {
        (self.lock().bytes.len() / self.0.block_size) as u64
    }

    fn channel(&self) -> Result<Channel, Errno> {
        if self.lock().has_no_channel {
            return Err(Errno::EBUSY);
        }
        self.0.channels.fetch_add(1, Relaxed);
        Ok(Channel(self.0.clone()))
    }

    async fn read(&self, _: &Channel, block: u64, into: &mut ReadInto<'_>) -> Result<(), Errno> {
        self.turn().await;
        let number = self.0.reads.fetch_add(1, Relaxed);
        let state = self.lock();
        if state.fails_reads || state.failing_read == Some(number) {
            return Err(Errno::EIO);
        }
        let size = self.0.block_size;
        let mut offset = 0;
        for block in block..block + (into.len() / size) as u64 {
            let cached = state.cache.as_ref().and_then(|cache| cache.get(&block));
            let at = block as usize * size;
            let bytes = cached.map_or(&state.bytes[at..at + size], |bytes| &bytes[..]);
            into.copy_from(offset, bytes).map_err(|_| Errno::EIO)?;
            offset += size;
        }
        Ok(())
    }

    async fn write(&self, _: &Channel, block: u64, from: &WriteFrom) -> Result<(), Errno> {
        let bytes = || {
            let mut bytes = vec![0; from.len()];
            from.copy_to(0, &mut bytes).map_err(|_| Errno::EIO)?;
            Ok(bytes)
        };
        self.write_bytes(block, bytes).await
    }

    async fn write_zeroes(&self, _: &Channel, block: u64, num_blocks: u64) -> Result<(), Errno> {
        let bytes = || Ok(vec![0; num_blocks as usize * self.0.block_size]);
        self.write_bytes(block, bytes).await
    }

    async fn unmap(&self, channel: &Channel, block: u64, num_blocks: u64) -> Result<(), Errno> {
        self.write_zeroes(channel, block, num_blocks).await
    }

    fn is_degraded(&self) -> bool {
        self.lock().is_degraded
    }
}
