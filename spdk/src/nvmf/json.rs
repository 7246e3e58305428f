//! Options that SPDK takes as parsed JSON.
#![allow(unsafe_code)] // Has SPDK parse a text, and keeps what the result points to.

use std::ffi::c_void;
use std::ptr;

use crate::sys;

/// A parsed object, with the text that its values point to.
pub(super) struct Json {
    _text: Vec<u8>,
    values: Vec<sys::spdk_json_val>,
}

impl Json {
    /// Parses the text of an object of `names` names, none of which has a value with parts.
    pub(super) fn object(text: String, names: usize) -> Option<Self> {
        let mut text = text.into_bytes();
        // The object begins and ends, and has two values for each name.
        let room = 2 + 2 * names;
        let mut values = Vec::with_capacity(room);
        let mut end = ptr::null_mut();
        // SAFETY: the text and the room for the values have the sizes that are given; the text is not changed
        // without a flag that allows it.
        let parsed = unsafe {
            sys::spdk_json_parse(
                text.as_mut_ptr().cast::<c_void>(),
                text.len(),
                values.as_mut_ptr(),
                room,
                &mut end,
                0,
            )
        };
        let parsed = usize::try_from(parsed).ok().filter(|n| *n <= room)?;
        // SAFETY: SPDK has filled so many of them.
        unsafe { values.set_len(parsed) };
        Some(Json {
            _text: text,
            values,
        })
    }

    /// The first value: good as long as this is, wherever it moves.
    pub(super) fn as_ptr(&self) -> *const sys::spdk_json_val {
        self.values.as_ptr()
    }
}
