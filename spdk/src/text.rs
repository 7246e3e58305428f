//! Texts to and from C.
#![allow(unsafe_code)] // Reads C strings.

use std::ffi::{CStr, CString, c_char};

use crate::error::{Fault, interior_nul};

/// A C string that is copied; `None` for a null pointer. Text that is not UTF-8 is an error.
///
/// # Safety
///
/// `text` is null or points to a C string that nothing changes during the call.
pub unsafe fn string(text: *const c_char) -> Result<Option<String>, Fault> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: passed on.
    let text = unsafe { CStr::from_ptr(text) };
    match text.to_str() {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(_) => Err(Fault::invalid(format!(
            "SPDK returned text that is not UTF-8: {text:?}"
        ))),
    }
}

/// A text for C.
pub fn cstring(text: &str, what: &'static str) -> Result<CString, Fault> {
    CString::new(text).map_err(|error| Fault::invalid(interior_nul(what, &error)))
}
