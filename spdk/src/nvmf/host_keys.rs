//! The keys of hosts.

use crate::dhchap::Key;
use crate::error::Result;

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
