//! Wakers that are names: half of them, so that both ways to note one are walked.
#![allow(unsafe_code)] // Copies such a name.

use std::ptr;
use std::task::Waker;

use crate::world;

pub(crate) fn copy(original: &Waker) -> Option<Waker> {
    let token = original.data().addr();
    token.is_multiple_of(2).then(|| {
        world::with(|world| world.wakers[token].clones += 1);
        // SAFETY: the waker is a number; its clones are counted, and this is one.
        unsafe { ptr::read(original) }
    })
}
