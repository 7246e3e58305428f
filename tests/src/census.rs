//! Counts what is alive.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

/// The number of what is alive.
#[derive(Clone, Debug, Default)]
pub struct Census(Arc<AtomicUsize>);

/// One of those that are counted, until it is dropped.
#[derive(Debug)]
pub struct Alive(Arc<AtomicUsize>);

impl Census {
    /// One more.
    pub fn one(&self) -> Alive {
        self.0.fetch_add(1, SeqCst);
        Alive(self.0.clone())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}
