//! The keys of hosts.

use super::json::Json;
use crate::dhchap::Key;
use crate::error::Result;
use crate::options;

/// What a host authenticates with, by the names that keys have in SPDK's keyring, which the JSON-RPC method
/// `keyring_file_add_key` puts them into: DH-HMAC-CHAP keys, the pre-shared key of TLS, or both.
///
/// ```
/// use spdk::nvmf::NvmfHostKeys;
///
/// let keys = NvmfHostKeys::new("host-1").controller("target-1");
/// let encrypted = NvmfHostKeys::tls("psk-1");
/// ```
#[doc(alias = "spdk_nvmf_host_opts")]
#[derive(Clone, Debug)]
pub struct NvmfHostKeys {
    host: Option<String>,
    controller: Option<String>,
    psk: Option<String>,
}

impl NvmfHostKeys {
    /// The key that the host proves to have.
    pub fn new(host: impl Into<String>) -> Self {
        NvmfHostKeys {
            host: Some(host.into()),
            controller: None,
            psk: None,
        }
    }

    /// The key that TLS encrypts with, at listeners with a
    /// [`secure_channel`](super::NvmfListenerOpts::secure_channel); and no other one.
    pub fn tls(psk: impl Into<String>) -> Self {
        NvmfHostKeys {
            host: None,
            controller: None,
            psk: Some(psk.into()),
        }
    }

    /// The key that TLS encrypts with, beside the others.
    pub fn psk(mut self, psk: impl Into<String>) -> Self {
        self.psk = Some(psk.into());
        self
    }

    /// The key that the controllers prove to have, to the host, which has to have one itself.
    pub fn controller(mut self, key: impl Into<String>) -> Self {
        self.controller = Some(key.into());
        self
    }

    /// Looks the keys up.
    pub(super) fn find(&self) -> Result<Keys> {
        let find = |option, name: &Option<String>| {
            let name = name.as_deref();
            name.map(|name| Key::find(option, name)).transpose()
        };
        if self.host.is_none() && self.controller.is_some() {
            return Err(options::refuse(
                "controller",
                "the host has no key of its own",
            ));
        }
        // SPDK's transport looks it up once more, by its name.
        find("psk", &self.psk)?;
        Ok(Keys {
            host: find("host", &self.host)?,
            controller: find("controller", &self.controller)?,
            psk: self.psk.as_deref().map(psk).transpose()?,
        })
    }
}

/// What SPDK is given.
pub(super) struct Keys {
    pub(super) host: Option<Key>,
    pub(super) controller: Option<Key>,
    /// As the transport takes it.
    pub(super) psk: Option<Json>,
}

/// The parameters of the transport that name the key.
fn psk(name: &str) -> Result<Json> {
    // SPDK takes what is between the quotes as it is.
    let is_plain = !name.contains(|c: char| matches!(c, '"' | '\\') || c.is_control());
    let json = Json::object(format!("{{\"psk\":\"{name}\"}}"), 1).filter(|_| is_plain);
    json.ok_or_else(|| options::refuse("psk", "the name of the key is no plain text"))
}
