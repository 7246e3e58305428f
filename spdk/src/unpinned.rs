//! Calls that start OS threads: these are not to inherit the one core of a reactor.
#![allow(unsafe_code)] // Has a C function call a closure, which it does before it returns.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;

use crate::sys;

/// Calls `f` with this OS thread allowed on every core, as SPDK does where it starts threads of its own.
pub(crate) fn unpinned<T>(f: impl FnOnce() -> T) -> T {
    let (mut f, mut end) = (Some(f), None);
    // A panic does not go through C.
    let mut run = || end = f.take().map(|f| catch_unwind(AssertUnwindSafe(f)));
    let mut call: &mut dyn FnMut() = &mut run;
    // SAFETY: it calls `call_closure` once with this argument, before it returns.
    unsafe { sys::spdk_call_unaffinitized(Some(call_closure), ptr::from_mut(&mut call).cast()) };
    match end {
        Some(Ok(output)) => output,
        Some(Err(payload)) => resume_unwind(payload),
        None => unreachable!("`spdk_call_unaffinitized` calls what it is given"),
    }
}

unsafe extern "C" fn call_closure(arg: *mut c_void) -> *mut c_void {
    // SAFETY: `unpinned` passes it, and waits for the end of this function.
    let call = unsafe { &mut *arg.cast::<&mut dyn FnMut()>() };
    call();
    ptr::null_mut()
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::unpinned;

    #[test]
    fn a_result_or_a_panic_comes_back() {
        let text = String::from("moved");
        assert_eq!(unpinned(move || text.len()), 5);
        let end = catch_unwind(AssertUnwindSafe(|| unpinned(|| panic!("as it was"))));
        assert_eq!(end.unwrap_err().downcast_ref(), Some(&"as it was"));
    }
}
