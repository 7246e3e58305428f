//! Memory for operations in flight: blocks that are used again, so that an I/O allocates nothing.
#![allow(unsafe_code)] // A free list of raw blocks; each block has one owner, who got it from `alloc`.

use std::alloc::{self, Layout};
use std::cell::Cell;
use std::ptr::{self, NonNull};

/// Blocks come in these sizes; what is larger comes from the allocator each time.
const SIZES: [usize; 4] = [256, 512, 1024, 2048];
const ALIGN: usize = 64;

type Pool = [Cell<*mut u8>; SIZES.len()];

thread_local! {
    /// The free blocks of each size, linked through their first words. It has no destructor, so that
    /// its use costs no look at whether that ran: [`Cleaner`] does its work.
    static POOL: Pool = const { [const { Cell::new(ptr::null_mut()) }; SIZES.len()] };
    static CLEANER: Cleaner = const { Cleaner };
}

/// Marks the end of a list on an OS thread that has given its blocks back: it takes no more.
fn closed() -> *mut u8 {
    ptr::without_provenance_mut(1)
}

fn is_block(block: *mut u8) -> bool {
    block > closed()
}

/// Gives the blocks back to the allocator when the OS thread ends.
struct Cleaner;

impl Drop for Cleaner {
    fn drop(&mut self) {
        POOL.with(|pool| {
            for (class, free) in pool.iter().enumerate() {
                let mut block = free.replace(closed());
                while is_block(block) {
                    // SAFETY: the first word of a free block is the next one; each is in the list
                    // once.
                    unsafe {
                        let next = *block.cast::<*mut u8>();
                        alloc::dealloc(block, block_layout(class));
                        block = next;
                    }
                }
            }
        });
    }
}

const fn class(layout: Layout) -> Option<usize> {
    if cfg!(spdk_asan) {
        return None; // AddressSanitizer watches what the allocator gives out
    }
    let mut class = 0;
    while class < SIZES.len() {
        if layout.size() <= SIZES[class] && layout.align() <= ALIGN {
            return Some(class);
        }
        class += 1;
    }
    None
}

fn block_layout(class: usize) -> Layout {
    match Layout::from_size_align(SIZES[class], ALIGN) {
        Ok(layout) => layout,
        Err(_) => unreachable!("the sizes are constants"),
    }
}

/// Uninitialised memory for a `T`.
#[inline]
pub(crate) fn alloc<T>() -> NonNull<T> {
    let class = const { class(Layout::new::<T>()) };
    let Some(class) = class else {
        return fresh(Layout::new::<T>()).cast();
    };
    POOL.with(|pool| {
        let block = pool[class].get();
        if !is_block(block) {
            return fresh(block_layout(class)).cast();
        }
        // SAFETY: the first word of a free block is the next one; a block is not null.
        unsafe {
            pool[class].set(*block.cast::<*mut u8>());
            NonNull::new_unchecked(block).cast()
        }
    })
}

#[cold]
fn fresh(layout: Layout) -> NonNull<u8> {
    // Has it dropped at the end; an error means that the end has come.
    let _ = CLEANER.try_with(|_| ());
    // SAFETY: no `T` here has size 0: a slot has a state.
    match NonNull::new(unsafe { alloc::alloc(layout) }) {
        Some(block) => block,
        None => alloc::handle_alloc_error(layout),
    }
}

/// Takes the memory of a `T` back.
///
/// # Safety
/// It came from `alloc::<T>`, is not used any more, and what was in it has been dropped.
#[inline]
pub(crate) unsafe fn free<T>(block: NonNull<T>) {
    let block = block.as_ptr().cast::<u8>();
    let class = const { class(Layout::new::<T>()) };
    let Some(class) = class else {
        // SAFETY: `alloc` took it from the allocator with this layout.
        return unsafe { alloc::dealloc(block, Layout::new::<T>()) };
    };
    POOL.with(|pool| {
        let next = pool[class].get();
        if next == closed() {
            // SAFETY: the OS thread has given its pool up; `alloc` used this layout.
            unsafe { alloc::dealloc(block, block_layout(class)) }
        } else {
            // SAFETY: the block is free and large enough for a pointer.
            unsafe { *block.cast::<*mut u8>() = next };
            pool[class].set(block);
        }
    });
}
