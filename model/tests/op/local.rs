//! The current spdk_thread.
#![allow(unsafe_code)] // Declares a function as it is beside SPDK.

use std::marker::PhantomData;
use std::ptr;

use crate::error::Fault;
use crate::sys;
use crate::world;

pub(crate) fn current_thread() -> *mut sys::spdk_thread {
    ptr::without_provenance_mut(world::with(|world| world.thread))
}

pub(crate) unsafe fn thread_name(thread: *mut sys::spdk_thread) -> String {
    format!("{thread:?}")
}

pub(crate) fn count_retry() {}

#[derive(Clone, Copy)]
pub(crate) struct Caller<'a>(usize, PhantomData<&'a ()>);

impl Caller<'_> {
    pub(crate) fn thread(self) -> usize {
        self.0
    }
}

pub(crate) fn begin<T>(start: impl FnOnce(Caller<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
    start(Caller(world::with(|world| world.thread), PhantomData))
}
