//! The current spdk_thread.

use std::ptr;

use crate::sys;
use crate::world;

pub(crate) fn current_thread() -> *mut sys::spdk_thread {
    ptr::without_provenance_mut(world::with(|world| world.thread))
}
