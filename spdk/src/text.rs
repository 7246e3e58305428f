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

/// Texts for C, as an array of pointers.
pub struct CStrings {
    _texts: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl CStrings {
    /// Copies the texts.
    pub fn new(texts: &[&str], what: &'static str) -> Result<Self, Fault> {
        let texts = texts.iter().map(|text| cstring(text, what));
        let texts: Vec<CString> = texts.collect::<Result<_, _>>()?;
        let pointers = texts.iter().map(|text| text.as_ptr()).collect();
        Ok(CStrings {
            _texts: texts,
            pointers,
        })
    }

    /// The array, valid as long as `self`.
    pub fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }

    /// How many texts.
    pub fn count(&self) -> usize {
        self.pointers.len()
    }
}
