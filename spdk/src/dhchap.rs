//! DH-HMAC-CHAP, by which hosts and targets authenticate in-band: the ways to do it, and SPDK's keys.
#![allow(unsafe_code)] // Owns a reference to a key.

use std::ptr::NonNull;

use crate::error::Result;
use crate::{options, sys};

macro_rules! set {
    ($(#[$doc:meta])* $name:ident: $($(#[$variant_doc:meta])* $variant:ident = $c:ident,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            /// Its place in a set.
            pub(crate) fn bit(self) -> u32 {
                match self {
                    $($name::$variant => 1 << sys::$c.0,)*
                }
            }
        }
    };
}

set! {
    /// A hash that a host and a target can authenticate with.
    #[doc(alias = "spdk_nvmf_dhchap_hash")]
    DhchapDigest:
    /// SHA-256.
    Sha256 = SPDK_NVMF_DHCHAP_HASH_SHA256,
    /// SHA-384.
    Sha384 = SPDK_NVMF_DHCHAP_HASH_SHA384,
    /// SHA-512.
    Sha512 = SPDK_NVMF_DHCHAP_HASH_SHA512,
}

set! {
    /// A Diffie-Hellman group that a host and a target can authenticate with.
    #[doc(alias = "spdk_nvmf_dhchap_dhgroup")]
    DhchapGroup:
    /// None: the keys are all that there is.
    Null = SPDK_NVMF_DHCHAP_DHGROUP_NULL,
    /// ffdhe2048.
    Ffdhe2048 = SPDK_NVMF_DHCHAP_DHGROUP_2048,
    /// ffdhe3072.
    Ffdhe3072 = SPDK_NVMF_DHCHAP_DHGROUP_3072,
    /// ffdhe4096.
    Ffdhe4096 = SPDK_NVMF_DHCHAP_DHGROUP_4096,
    /// ffdhe6144.
    Ffdhe6144 = SPDK_NVMF_DHCHAP_DHGROUP_6144,
    /// ffdhe8192.
    Ffdhe8192 = SPDK_NVMF_DHCHAP_DHGROUP_8192,
}

/// A reference to a key. The keyring has it, and what it is known by.
pub(crate) struct Key(NonNull<sys::spdk_key>);

impl Key {
    /// The key of a name, which an option has. SPDK is up.
    pub(crate) fn find(option: &'static str, name: &str) -> Result<Self> {
        let text = options::text(option, name)?;
        // SAFETY: the name is only read during the call.
        let key = unsafe { sys::spdk_keyring_get_key(text.as_ptr()) };
        let key = NonNull::new(key).map(Key);
        key.ok_or_else(|| options::refuse(option, format!("SPDK's keyring has no key {name:?}")))
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::spdk_key {
        self.0.as_ptr()
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: it is a reference of ours, given back once. Nobody has the key any more who got it from here.
        unsafe { sys::spdk_keyring_put_key(self.0.as_ptr()) };
    }
}
