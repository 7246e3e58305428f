//! The spdk_threads that make calls, and what each of them works with.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use spdk::{SpdkApp, ThreadHandle};

use super::check::text;

/// They have numbers: 0 is the one that was the current one first.
pub struct Threads(Vec<Option<ThreadHandle>>);

impl Threads {
    /// So many, three at most: on the core of the current one, and on another core.
    ///
    /// # Errors
    ///
    /// An spdk_thread cannot be made.
    pub async fn new(threads: u8) -> spdk::Result<Self> {
        let cores = SpdkApp::cores()?;
        let mut all = vec![None];
        for (name, core) in [("near", cores[0]), ("far", cores[cores.len() - 1])] {
            if all.len() < usize::from(threads) {
                all.push(Some(ThreadHandle::on_core(name, core).await?));
            }
        }
        Ok(Threads(all))
    }

    /// Their numbers.
    pub fn numbers(&self) -> impl Iterator<Item = u8> + use<> {
        0..self.0.len() as u8
    }

    /// Runs something on one of them.
    ///
    /// # Errors
    ///
    /// Those of what runs, or that it does not.
    pub async fn on<T, F>(&self, thread: u8, f: F) -> Result<T, String>
    where
        F: AsyncFnOnce() -> Result<T, String> + Send + 'static,
        T: Send + 'static,
    {
        match &self.0[usize::from(thread)] {
            None => f().await,
            Some(thread) => thread.call_async(f).await.map_err(text)?,
        }
    }

    /// Ends them.
    ///
    /// # Errors
    ///
    /// One does not end.
    pub async fn end(self) -> spdk::Result<()> {
        for thread in self.0.into_iter().flatten() {
            thread.exit().await?;
        }
        Ok(())
    }
}

thread_local! {
    /// What the spdk_threads of this OS thread work with, by their number.
    static DESKS: RefCell<BTreeMap<u8, Rc<dyn Any>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Gives the current spdk_thread, which has this number, what it works with.
pub fn set_desk(thread: u8, desk: impl Any) {
    DESKS.with_borrow_mut(|desks| desks.insert(thread, Rc::new(desk)));
}

/// Drops what it works with.
pub fn clear_desk(thread: u8) {
    let desk = DESKS.with_borrow_mut(|desks| desks.remove(&thread));
    drop(desk);
}

/// What it works with.
///
/// # Errors
///
/// It has nothing.
pub fn desk<T: Any>(thread: u8) -> Result<Rc<T>, String> {
    let desk = DESKS.with_borrow(|desks| desks.get(&thread).cloned());
    let desk = desk.and_then(|desk| desk.downcast().ok());
    desk.ok_or_else(|| format!("thread {thread} has no store"))
}
