//! Keys of SPDK's keyring.
#![allow(unsafe_code)] // Owns a reference to a key.

use std::ptr::NonNull;

use crate::error::Result;
use crate::{options, sys};

/// A reference to a key. The keyring has it, and what it is known by.
pub(super) struct Key(NonNull<sys::spdk_key>);

impl Key {
    /// The key of a name, which an option has. SPDK is up.
    pub(super) fn find(option: &'static str, name: &str) -> Result<Self> {
        let text = options::text(option, name)?;
        // SAFETY: the name is only read during the call.
        let key = unsafe { sys::spdk_keyring_get_key(text.as_ptr()) };
        let key = NonNull::new(key).map(Key);
        key.ok_or_else(|| options::refuse(option, format!("SPDK's keyring has no key {name:?}")))
    }

    pub(super) fn as_ptr(&self) -> *mut sys::spdk_key {
        self.0.as_ptr()
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: it is a reference of ours, given back once. Nobody has the key any more who got it from here.
        unsafe { sys::spdk_keyring_put_key(self.0.as_ptr()) };
    }
}
