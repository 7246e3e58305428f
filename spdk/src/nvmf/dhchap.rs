//! In-band authentication: the ways to do it, and the keys of hosts.
#![allow(unsafe_code)] // Holds keys of SPDK's keyring.

use std::ptr::{self, NonNull};

use crate::error::Result;
use crate::{options, sys};

macro_rules! set {
    ($(#[$doc:meta])* $name:ident: $($(#[$variant_doc:meta])* $variant:ident = $c:ident,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            /// Its place in a set.
            pub(super) fn bit(self) -> u32 {
                match self {
                    $($name::$variant => 1 << sys::$c.0,)*
                }
            }
        }
    };
}

set! {
    /// A hash that a host and a target can authenticate with.
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

/// What a host authenticates with: DH-HMAC-CHAP keys, by their names in SPDK's keyring, which the JSON-RPC method
/// `keyring_file_add_key` puts them into.
///
/// ```
/// use spdk::nvmf::NvmfHostKeys;
///
/// let keys = NvmfHostKeys::new("host-1").controller("target-1");
/// ```
#[doc(alias = "spdk_nvmf_host_opts")]
#[derive(Clone, Debug)]
pub struct NvmfHostKeys {
    host: String,
    controller: Option<String>,
}

impl NvmfHostKeys {
    /// The key that the host proves to have.
    pub fn new(host: impl Into<String>) -> Self {
        NvmfHostKeys {
            host: host.into(),
            controller: None,
        }
    }

    /// The key that the controllers prove to have, to the host.
    pub fn controller(mut self, key: impl Into<String>) -> Self {
        self.controller = Some(key.into());
        self
    }

    /// Looks the keys up.
    pub(super) fn find(&self) -> Result<(Key, Option<Key>)> {
        let host = Key::find("host", &self.host)?;
        let find = |name: &String| Key::find("controller", name);
        Ok((host, self.controller.as_ref().map(find).transpose()?))
    }
}

/// A reference to a key of the keyring.
pub(super) struct Key(NonNull<sys::spdk_key>);

impl Key {
    fn find(option: &'static str, name: &str) -> Result<Key> {
        let text = options::text(option, name)?;
        // SAFETY: the name is read during the call.
        let key = unsafe { sys::spdk_keyring_get_key(text.as_ptr()) };
        let refuse = || options::refuse(option, format!("the keyring has no key {name:?}"));
        NonNull::new(key).map(Key).ok_or_else(refuse)
    }

    pub(super) fn as_ptr(&self) -> *mut sys::spdk_key {
        self.0.as_ptr()
    }

    pub(super) fn or_null(key: Option<&Key>) -> *mut sys::spdk_key {
        key.map_or(ptr::null_mut(), Key::as_ptr)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: gives the reference back that `find` took.
        unsafe { sys::spdk_keyring_put_key(self.as_ptr()) }
    }
}
