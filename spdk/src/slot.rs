//! Memory for operations in flight: blocks that are used again, so that an I/O allocates nothing.
#![allow(unsafe_code)] // A free list of raw blocks; each block has one owner, who got it from `alloc`.

use std::alloc::{self, Layout};
use std::cell::Cell;
use std::ptr::{self, NonNull};

/// Blocks come in these sizes; what is larger comes from the allocator each time.
const SIZES: [usize; 4] = [256, 512, 1024, 2048];
const ALIGN: usize = 64;

struct Pool([Cell<*mut u8>; SIZES.len()]);

thread_local! {
    static POOL: Pool = const { Pool([const { Cell::new(ptr::null_mut()) }; SIZES.len()]) };
}

impl Drop for Pool {
    fn drop(&mut self) {
        for (class, free) in self.0.iter().enumerate() {
            let mut block = free.replace(ptr::null_mut());
            while !block.is_null() {
                // SAFETY: the first word of a free block is the next one; each is in the list once.
                unsafe {
                    let next = *block.cast::<*mut u8>();
                    alloc::dealloc(block, block_layout(class));
                    block = next;
                }
            }
        }
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
    let pooled = POOL.try_with(|pool| {
        let block = pool.0[class].get();
        if !block.is_null() {
            // SAFETY: the first word of a free block is the next one.
            pool.0[class].set(unsafe { *block.cast::<*mut u8>() });
        }
        block
    });
    match pooled.ok().and_then(NonNull::new) {
        Some(block) => block.cast(),
        None => fresh(block_layout(class)).cast(),
    }
}

#[cold]
fn fresh(layout: Layout) -> NonNull<u8> {
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
    let pooled = POOL.try_with(|pool| {
        // SAFETY: the block is free and large enough for a pointer.
        unsafe { *block.cast::<*mut u8>() = pool.0[class].get() };
        pool.0[class].set(block);
    });
    if pooled.is_err() {
        // SAFETY: the OS thread is ending and its pool with it; `alloc` used this layout.
        unsafe { alloc::dealloc(block, block_layout(class)) }
    }
}
