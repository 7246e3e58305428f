//! Memory that only its owner can reach: addresses that are none, so that a device which uses them ends the process.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use spdk::bdev::{DomainMemory, DomainRange, MemoryDomain, Pull, Push};
use spdk::task::yield_now;
use spdk::{Errno, ErrorKind, spawn_local};

use crate::{forget, kind};

/// The address of the first byte, which no process has.
pub const BASE: usize = 0xdead_0000_0000_0000;

/// What a domain does with a transfer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Ends it inside the call.
    Now,
    /// Keeps it, for somebody to end.
    Later,
    /// Fails it.
    Fail,
    /// Drops it.
    Drop,
    /// Forgets it.
    Forget,
}

/// What the domain is asked for.
#[derive(Debug)]
pub enum Transfer {
    /// Its bytes.
    Pull(Pull),
    /// To take bytes.
    Push(Push),
}

/// Memory at [`BASE`].
#[derive(Debug)]
pub struct DomainBytes {
    /// What it has.
    pub bytes: RefCell<Vec<u8>>,
    /// What is done with the next transfers.
    pub way: Cell<Way>,
    /// The transfers that somebody has to end.
    pub kept: RefCell<VecDeque<Transfer>>,
    /// Those of the transfers that have come.
    pub contexts: RefCell<Vec<usize>>,
}

/// The domain has it, and the test looks into it.
#[derive(Clone, Debug)]
pub struct Shared(pub Rc<DomainBytes>);

impl DomainBytes {
    /// So many zeroes.
    pub fn new(len: usize, way: Way) -> Rc<Self> {
        Rc::new(DomainBytes {
            bytes: RefCell::new(vec![0; len]),
            way: Cell::new(way),
            kept: RefCell::default(),
            contexts: RefCell::default(),
        })
    }

    /// A domain of it, on the current spdk_thread.
    ///
    /// # Errors
    ///
    /// SPDK makes none.
    pub fn domain(self: &Rc<Self>) -> spdk::Result<MemoryDomain> {
        MemoryDomain::new("test", Shared(self.clone()))
    }

    fn take(&self, transfer: Transfer) -> spdk::Result<()> {
        match transfer {
            Transfer::Pull(mut pull) => {
                let mut done = 0;
                for DomainRange { address, len } in pull.ranges().to_vec() {
                    let bytes = self.bytes.borrow()[address - BASE..][..len].to_vec();
                    pull.write(done, &bytes)?;
                    done += len;
                }
                let beyond = pull.write(done, &[0]);
                assert!(
                    matches!(kind(&beyond), Some(ErrorKind::InvalidArgument { .. })),
                    "{beyond:?}"
                );
                pull.finish(Ok(()))
            }
            Transfer::Push(push) => {
                let mut done = 0;
                for DomainRange { address, len } in push.ranges().to_vec() {
                    push.read(done, &mut self.bytes.borrow_mut()[address - BASE..][..len])?;
                    done += len;
                }
                assert!(push.read(1, &mut vec![0; done]).is_err());
                push.finish(Ok(()))
            }
        }
    }

    fn got(&self, context: usize, transfer: Transfer) -> spdk::Result<()> {
        self.contexts.borrow_mut().push(context);
        match self.way.get() {
            Way::Now => self.take(transfer),
            Way::Later => {
                self.kept.borrow_mut().push_back(transfer);
                Ok(())
            }
            Way::Fail => match transfer {
                Transfer::Pull(pull) => pull.finish(Err(Errno::EIO)),
                Transfer::Push(push) => push.finish(Err(Errno::EIO)),
            },
            Way::Drop => Ok(()),
            Way::Forget => {
                forget(transfer);
                Ok(())
            }
        }
    }

    /// Ends the first that is kept, if there is one.
    ///
    /// # Errors
    ///
    /// It has another size.
    pub fn end_one(&self) -> spdk::Result<bool> {
        let transfer = self.kept.borrow_mut().pop_front();
        match transfer {
            Some(transfer) => self.take(transfer).map(|()| true),
            None => Ok(false),
        }
    }
}

impl DomainMemory for Shared {
    fn pull(&self, pull: Pull) {
        let got = self.0.got(pull.context(), Transfer::Pull(pull));
        assert!(got.is_ok(), "{got:?}");
    }
    fn push(&self, push: Push) {
        let got = self.0.got(push.context(), Transfer::Push(push));
        assert!(got.is_ok(), "{got:?}");
    }
}

/// The bytes of some blocks in three parts, the second of which comes last in memory.
pub fn ranges(blocks: usize, block: usize) -> [DomainRange; 3] {
    let (first, second) = (blocks / 4 * block, blocks / 2 * block);
    let rest = blocks * block - first - second;
    [
        DomainRange {
            address: BASE,
            len: first,
        },
        DomainRange {
            address: BASE + first + rest,
            len: second,
        },
        DomainRange {
            address: BASE + first,
            len: rest,
        },
    ]
}

/// The bytes of these ranges.
pub fn gathered(memory: &DomainBytes, ranges: &[DomainRange]) -> Vec<u8> {
    let bytes = memory.bytes.borrow();
    let parts = ranges
        .iter()
        .map(|range| &bytes[range.address - BASE..][..range.len]);
    parts.flatten().copied().collect()
}

/// Gives the ranges these bytes.
pub fn scatter(memory: &DomainBytes, ranges: &[DomainRange], from: &[u8]) {
    let mut at = 0;
    for range in ranges {
        memory.bytes.borrow_mut()[range.address - BASE..][..range.len]
            .copy_from_slice(&from[at..at + range.len]);
        at += range.len;
    }
}

/// Ends what is kept, as long as somebody else has the memory.
///
/// # Errors
///
/// There is no spdk_thread.
///
/// # Panics
///
/// When one cannot be ended.
pub fn serve(memory: &Rc<DomainBytes>) -> spdk::Result<()> {
    let memory = memory.clone();
    let server = spawn_local(async move {
        while Rc::strong_count(&memory) > 1 {
            let ended = memory.end_one();
            assert!(ended.is_ok(), "{ended:?}");
            yield_now().await;
        }
    });
    server.map(drop)
}
