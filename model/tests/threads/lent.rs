//! Loans: memory is freed once, by nobody while an operation holds it, and its owner sees what the operations
//! did when it finds none.
#![allow(unsafe_code)] // Reads and writes cells that loom checks for races.

use loom::cell::UnsafeCell;
use loom::sync::{Arc, Mutex};
use loom::thread;

use crate::loans::{Heir, Loans};
use crate::{check, others_first};

/// A piece of memory, and what happens to it. Freeing it is a write, so loom fails if anything overlaps it.
struct Memory {
    loans: Loans,
    bytes: UnsafeCell<u32>,
    frees: std::sync::atomic::AtomicU32,
}

// SAFETY: as for `DmaBuf`, whose rules the models keep: an owner, and loans that end where they were made.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    fn new() -> Arc<Self> {
        Arc::new(Memory {
            loans: Loans::none(),
            bytes: UnsafeCell::new(0),
            frees: std::sync::atomic::AtomicU32::new(0),
        })
    }

    fn write(&self, byte: u32) {
        // SAFETY: the models write where the core does; loom fails if it is too early or too late.
        self.bytes.with_mut(|bytes| unsafe { *bytes = byte });
    }

    fn read(&self) -> u32 {
        // SAFETY: as for `write`.
        self.bytes.with(|bytes| unsafe { *bytes })
    }

    fn free(&self) {
        self.write(9);
        self.frees
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    /// The end of a loan.
    fn end(&self) {
        if self.loans.end() {
            self.free();
        }
    }

    fn frees(&self) -> u32 {
        self.frees.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// The orphans' list and what looks through it.
type Orphans = Mutex<Vec<Arc<Memory>>>;

fn leave(memory: &Arc<Memory>, orphans: &Orphans) {
    match memory.loans.leave() {
        Heir::Owner => memory.free(),
        Heir::LastLoan => {}
        Heir::Sweep => orphans.lock().unwrap().push(memory.clone()),
    }
}

fn sweep(orphans: &Orphans) {
    orphans.lock().unwrap().retain(|orphan| {
        let lent = orphan.loans.any();
        if !lent {
            orphan.free();
        }
        lent
    });
}

/// A read is in flight on one OS thread, and the buffer goes to another one, which uses it if it can.
#[test]
fn the_owner_writes_only_when_the_device_has_ended() {
    check(|| {
        let memory = Memory::new();
        memory.loans.fill();
        let owner = {
            let memory = memory.clone();
            thread::spawn(move || {
                others_first();
                if memory.loans.any() {
                    return;
                }
                assert_eq!(memory.read(), 1, "what the device wrote");
                memory.write(2);
                // The next loan is of this OS thread.
                memory.loans.share();
                memory.read();
                memory.end();
            })
        };
        memory.write(1); // the device
        memory.end();
        owner.join().unwrap();
        assert_eq!(memory.frees(), 0);
    });
}

/// The same, and the owner only looks.
#[test]
fn the_owner_reads_only_when_nothing_fills() {
    check(|| {
        let memory = Memory::new();
        memory.loans.fill();
        let owner = {
            let memory = memory.clone();
            thread::spawn(move || {
                others_first();
                if !memory.loans.is_filling() {
                    assert_eq!(memory.read(), 1, "what the device wrote");
                }
            })
        };
        memory.write(1); // the device
        memory.end();
        owner.join().unwrap();
    });
}

/// Two writes are in flight on one OS thread, and the buffer is dropped on another one; a third looks for orphans.
#[test]
fn an_orphan_of_another_os_thread_is_swept_once() {
    check(|| {
        let memory = Memory::new();
        let orphans = Arc::new(Orphans::default());
        assert!(memory.loans.can_share());
        memory.loans.share();
        assert!(memory.loans.can_share());
        memory.loans.share();
        let owner = {
            let (memory, orphans) = (memory.clone(), orphans.clone());
            thread::spawn(move || {
                others_first();
                leave(&memory, &orphans);
            })
        };
        let sweeper = {
            let orphans = orphans.clone();
            thread::spawn(move || {
                others_first();
                sweep(&orphans);
            })
        };
        for _ in 0..2 {
            memory.read(); // the device
            memory.end();
        }
        owner.join().unwrap();
        sweeper.join().unwrap();
        sweep(&orphans);
        assert_eq!(memory.frees(), 1);
    });
}

/// The owner leaves on the lender's own OS thread, in every order with the ends of the loans.
#[test]
fn an_orphan_of_the_same_os_thread_is_freed_by_the_last_loan() {
    for leaves in 0..3 {
        check(move || {
            let (memory, orphans) = (Memory::new(), Orphans::default());
            memory.loans.share();
            memory.loans.share();
            for ended in 0..=2 {
                if ended == leaves {
                    leave(&memory, &orphans);
                }
                assert_eq!(memory.frees(), u32::from(leaves <= ended && ended == 2));
                if ended < 2 {
                    memory.end();
                }
            }
            assert!(orphans.lock().unwrap().is_empty());
            assert_eq!(memory.frees(), 1);
        });
    }
}

/// Another OS thread does not add to loans that it does not count, and nobody adds to a loan that fills.
#[test]
fn only_the_lender_shares_and_only_what_is_not_filled() {
    for fills in [false, true] {
        check(move || {
            let memory = Memory::new();
            if fills {
                memory.loans.fill();
            } else {
                memory.loans.share();
            }
            assert_ne!(memory.loans.can_share(), fills);
            let owner = {
                let memory = memory.clone();
                thread::spawn(move || {
                    others_first();
                    if memory.loans.can_share() {
                        memory.loans.share();
                        assert_eq!(memory.read(), u32::from(fills));
                        memory.end();
                    }
                })
            };
            if fills {
                memory.write(1); // the device
            }
            memory.end();
            owner.join().unwrap();
            assert!(!memory.loans.any());
        });
    }
}
