//! The memory of queues, slots and closures, counted. What is freed is filled with nonsense and kept until the execution ends, so
//! that a use of it is noticed.
#![allow(unsafe_code)] // The allocator of this program: it passes its contract on.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr;

/// Of queues and slots, and of nothing else here.
const ALIGN: usize = 64;
const MOST: usize = 48;
const FREED: u8 = 0xdd;

#[derive(Clone, Copy)]
struct Block {
    start: *mut u8,
    layout: Layout,
    live: bool,
}

const NONE: Block = Block {
    start: ptr::null_mut(),
    layout: Layout::new::<()>(),
    live: false,
};

thread_local! {
    // Without destructors, since an allocator must not allocate.
    static BLOCKS: [Cell<Block>; MOST] = const { [const { Cell::new(NONE) }; MOST] };
    static COUNT: Cell<usize> = const { Cell::new(0) };
    static IS_ON: Cell<bool> = const { Cell::new(false) };
    static ALL: Cell<bool> = const { Cell::new(false) };
    static IS_WRONG: Cell<bool> = const { Cell::new(false) };
}

struct Memory;

#[global_allocator]
static MEMORY: Memory = Memory;

// SAFETY: the system's, except that some of what is freed is kept for a while.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on.
        let start = unsafe { System.alloc(layout) };
        if IS_ON.get() && (layout.align() == ALIGN || ALL.get()) {
            let count = COUNT.get();
            BLOCKS.with(|blocks| match blocks.get(count) {
                Some(block) => block.set(Block {
                    start,
                    layout,
                    live: true,
                }),
                None => std::process::abort(), // `MOST` is too few
            });
            COUNT.set(count + 1);
        }
        start
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        let known = BLOCKS.with(|blocks| {
            {
                let mut blocks = blocks[..COUNT.get()].iter();
                blocks.find(|block| block.get().start == start)
            }
            .map(|block| {
                let was_live = block.get().live;
                block.set(Block {
                    live: false,
                    ..block.get()
                });
                was_live
            })
        });
        match known {
            // SAFETY: passed on.
            None => unsafe { System.dealloc(start, layout) },
            // SAFETY: it is kept.
            Some(true) => unsafe { start.write_bytes(FREED, layout.size()) },
            Some(false) => IS_WRONG.set(true),
        }
    }
}

/// Counts from now on.
pub(crate) fn begin() {
    IS_ON.set(true);
}

/// Counts all that `f` allocates and does not free.
pub(crate) fn counted<R>(f: impl FnOnce() -> R) -> R {
    ALL.set(true);
    let result = f();
    ALL.set(false);
    result
}

/// How many blocks are in use; `None` if one was freed twice.
pub(crate) fn live() -> Option<usize> {
    let live = BLOCKS.with(|blocks| {
        let blocks = blocks[..COUNT.get()].iter();
        blocks.filter(|block| block.get().live).count()
    });
    (!IS_WRONG.get()).then_some(live)
}

/// Frees it all after an execution. Returns whether nobody has written to what was freed.
pub(crate) fn reclaim() -> bool {
    IS_ON.set(false);
    let mut sound = true;
    BLOCKS.with(|blocks| {
        for block in &blocks[..COUNT.replace(0)] {
            let Block {
                start,
                layout,
                live,
            } = block.replace(NONE);
            // SAFETY: it was kept, so it is there, and nobody has a pointer to it any more.
            unsafe {
                let bytes = std::slice::from_raw_parts(
                    start.cast_const(),
                    if live { 0 } else { layout.size() },
                );
                sound &= bytes.iter().all(|byte| *byte == FREED);
                System.dealloc(start, layout);
            }
        }
    });
    sound
}
