//! A bdev whose nth write fails: SPDK's error bdev can only begin to fail at once.
#![allow(unsafe_code)] // Stands in for the functions of a bdev.

use std::ops::Range;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use spdk::{Bdev, sys};

/// A bdev that fails writes when it is told to. It is as it was when this is dropped, with nothing in flight on it.
pub struct FailingWrites {
    /// Has it open, so that it stays.
    bdev: Bdev,
    table: Box<Table>,
}

/// What the bdev has as its functions.
#[repr(C)]
struct Table {
    /// Its address is that of the whole.
    functions: sys::spdk_bdev_fn_table,
    own: *const sys::spdk_bdev_fn_table,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many writes there were since they were to fail: of data, of zeroes, copies and unmaps.
    writes: u64,
    failed: u64,
    /// Those that fail.
    failing: Range<u64>,
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a write; returns whether it has to fail.
    fn fails(&self) -> bool {
        let mut state = self.lock();
        let fails = state.failing.contains(&state.writes);
        state.writes += 1;
        state.failed += u64::from(fails);
        fails
    }
}

impl FailingWrites {
    /// Counts the writes of a bdev from now on.
    ///
    /// # Panics
    ///
    /// When there is no such bdev.
    pub fn of(name: &str) -> Self {
        let bdev = match Bdev::find(name) {
            Ok(bdev) => bdev,
            Err(error) => panic!("{name}: {error}"),
        };
        let raw = bdev.as_ptr();
        // SAFETY: the bdev is open, and its functions are there for as long as it is. This is the only thread that submits
        // to it now, and the functions are ours until they are given back.
        unsafe {
            let own = (*raw).fn_table;
            let table = Box::new(Table {
                functions: sys::spdk_bdev_fn_table {
                    submit_request: Some(submit),
                    ..ptr::read(own)
                },
                own,
                state: Mutex::default(),
            });
            (*raw).fn_table = ptr::from_ref(&*table).cast();
            FailingWrites { bdev, table }
        }
    }

    /// Has the writes from the `first` on fail, `count` of them. The next one is 0.
    pub fn fail(&self, first: u64, count: u64) {
        *self.table.lock() = State {
            failing: first..first.saturating_add(count),
            ..State::default()
        };
    }

    /// Has writes succeed again.
    pub fn heal(&self) {
        self.table.lock().failing = 0..0;
    }

    /// How many writes there were since they were to fail.
    pub fn writes(&self) -> u64 {
        self.table.lock().writes
    }

    /// How many of these have failed.
    pub fn failed(&self) -> u64 {
        self.table.lock().failed
    }
}

impl Drop for FailingWrites {
    fn drop(&mut self) {
        // SAFETY: the bdev is open, unless it is null, and nothing is submitted to it now.
        unsafe {
            if let Some(raw) = self.bdev.as_ptr().as_mut() {
                raw.fn_table = self.table.own;
            }
        }
    }
}

unsafe extern "C" fn submit(channel: *mut sys::spdk_io_channel, io: *mut sys::spdk_bdev_io) {
    // SAFETY: only a bdev of a `FailingWrites` calls this, with an I/O of its own. It is ended here, or by its own function.
    unsafe {
        let table = (*(*io).bdev).fn_table.cast::<Table>();
        let writes = match sys::spdk_bdev_io_type(u32::from((*io).type_)) {
            sys::SPDK_BDEV_IO_TYPE_WRITE
            | sys::SPDK_BDEV_IO_TYPE_WRITE_ZEROES
            | sys::SPDK_BDEV_IO_TYPE_UNMAP
            | sys::SPDK_BDEV_IO_TYPE_COPY => true,
            // For memory that is going to be written to.
            sys::SPDK_BDEV_IO_TYPE_ZCOPY => {
                let zcopy = &(*io).u.bdev.zcopy;
                zcopy.start() != 0 && zcopy.populate() == 0
            }
            _ => false,
        };
        if writes && (*table).fails() {
            sys::spdk_bdev_io_complete(io, sys::SPDK_BDEV_IO_STATUS_FAILED);
        } else if let Some(submit) = (*(*table).own).submit_request {
            submit(channel, io);
        }
    }
}
