//! The hosts of a subsystem.
#![allow(unsafe_code)] // Calls SPDK with subsystems, which their target owns.

use std::ffi::CStr;
use std::ptr;

use super::core::{State, change, no_transport};
use super::host_keys::NvmfHostKeys;
use super::json::Json;
use super::options::check_nqn;
use super::subsystem::NvmfSubsystem;
use crate::dhchap::Key;
use crate::error::{At, Result};
use crate::text::cstring;
use crate::{options, sys};

impl NvmfSubsystem {
    /// Lets a host connect.
    ///
    /// Wraps `spdk_nvmf_subsystem_add_host`.
    ///
    /// # Errors
    ///
    /// `EINVAL`: the name is not a qualified one. An errno also if the host may connect already.
    #[doc(alias = "spdk_nvmf_subsystem_add_host")]
    pub async fn add_host(&self, host: &str) -> Result<()> {
        self.of_host("spdk_nvmf_subsystem_add_host", host, |raw, host| {
            // SAFETY: as for `remove_namespace`; the name is copied.
            unsafe { sys::spdk_nvmf_subsystem_add_host(raw, host.as_ptr(), ptr::null()) }
        })
        .await
    }

    /// Lets a host connect that authenticates with these keys.
    ///
    /// Wraps `spdk_nvmf_subsystem_add_host_ext`.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Option`](crate::ErrorKind::Option): the keyring has no such key.
    /// - [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument): a key of TLS, and the target has no transport
    ///   yet, which looks after these.
    /// - `EINVAL`: SPDK cannot use the key of TLS, as its log says. Else as for [`NvmfSubsystem::add_host`].
    #[doc(alias = "spdk_nvmf_subsystem_add_host_ext")]
    pub async fn add_host_with_keys(&self, host: &str, keys: &NvmfHostKeys) -> Result<()> {
        const CALL: &str = "spdk_nvmf_subsystem_add_host_ext";
        let keys = keys.find()?;
        if keys.psk.is_some() {
            let name = host.to_owned();
            let check = async move |state: &mut State| match state.transport() {
                Some(_) => Ok(()),
                None => Err(no_transport().at(At::new(CALL, &name.as_str()))),
            };
            change(self.target(), CALL, check).await?;
        }
        self.of_host(CALL, host, move |raw, host| {
            // SAFETY: numbers and pointers, for which zeroes are a value.
            let mut opts: sys::spdk_nvmf_host_opts = unsafe { std::mem::zeroed() };
            opts.size = size_of_val(&opts);
            opts.dhchap_key = keys.host.as_ref().map_or(ptr::null_mut(), Key::as_ptr);
            opts.dhchap_ctrlr_key = keys
                .controller
                .as_ref()
                .map_or(ptr::null_mut(), Key::as_ptr);
            opts.params = keys.psk.as_ref().map_or(ptr::null(), Json::as_ptr);
            // SAFETY: as for `remove_namespace`; the name and the parameters are copied, and SPDK takes references of
            // its own to the keys.
            unsafe { sys::spdk_nvmf_subsystem_add_host_ext(raw, host.as_ptr(), &mut opts) }
        })
        .await
    }

    /// Changes the keys of a host that was added, for the connections from now on.
    ///
    /// Wraps `spdk_nvmf_subsystem_set_keys`.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Option`](crate::ErrorKind::Option): the keyring has no such key; or a key of TLS, which SPDK changes
    ///   by removing the host and adding it again.
    /// - `EINVAL`: the host was not added.
    #[cfg(spdk_has_spdk_nvmf_subsystem_set_keys)]
    #[doc(alias = "spdk_nvmf_subsystem_set_keys")]
    pub async fn set_host_keys(&self, host: &str, keys: &NvmfHostKeys) -> Result<()> {
        let keys = keys.find()?;
        if keys.psk.is_some() {
            return Err(options::refuse(
                "psk",
                "SPDK changes the key of TLS of no host: remove it, and add it again",
            ));
        }
        self.of_host("spdk_nvmf_subsystem_set_keys", host, move |raw, host| {
            // SAFETY: numbers and pointers, for which zeroes are a value.
            let mut opts: sys::spdk_nvmf_subsystem_key_opts = unsafe { std::mem::zeroed() };
            opts.size = size_of_val(&opts);
            opts.dhchap_key = keys.host.as_ref().map_or(ptr::null_mut(), Key::as_ptr);
            opts.dhchap_ctrlr_key = keys
                .controller
                .as_ref()
                .map_or(ptr::null_mut(), Key::as_ptr);
            // SAFETY: as for `remove_namespace`; the name is read during the call, and SPDK takes references of its
            // own to the keys.
            unsafe { sys::spdk_nvmf_subsystem_set_keys(raw, host.as_ptr(), &mut opts) }
        })
        .await
    }

    /// The hosts that were added, in no order.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) and [`ErrorKind::Gone`](crate::ErrorKind::Gone).
    #[doc(alias = "spdk_nvmf_subsystem_get_first_host")]
    pub async fn hosts(&self) -> Result<Vec<String>> {
        self.change("NvmfSubsystem::hosts", async |subsystem| {
            let raw = subsystem.raw.as_ptr();
            let mut all = Vec::new();
            // SAFETY: the subsystem exists, on this spdk_thread, where its hosts come and go.
            unsafe {
                let mut host = sys::spdk_nvmf_subsystem_get_first_host(raw);
                while !host.is_null() {
                    let name = CStr::from_ptr(sys::spdk_nvmf_host_get_nqn(host));
                    all.push(name.to_string_lossy().into_owned());
                    host = sys::spdk_nvmf_subsystem_get_next_host(raw, host);
                }
            }
            Ok(all)
        })
        .await
    }

    /// Lets a host connect no more. It keeps the connections that it has, until
    /// [`disconnect_host`](Self::disconnect_host).
    ///
    /// Wraps `spdk_nvmf_subsystem_remove_host`.
    ///
    /// # Errors
    ///
    /// `ENOENT`: it was not added.
    #[doc(alias = "spdk_nvmf_subsystem_remove_host")]
    pub async fn remove_host(&self, host: &str) -> Result<()> {
        self.of_host("spdk_nvmf_subsystem_remove_host", host, |raw, host| {
            // SAFETY: as for `remove_namespace`; the name is read during the call.
            unsafe { sys::spdk_nvmf_subsystem_remove_host(raw, host.as_ptr()) }
        })
        .await
    }

    /// Ends the connections of a host. It may connect again, unless it was [removed](Self::remove_host).
    ///
    /// Wraps `spdk_nvmf_subsystem_disconnect_host`. SPDK 26.05 has another one, and no method here.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Option`](crate::ErrorKind::Option): the name cannot be one; or an errno of SPDK.
    #[cfg(spdk_args_spdk_nvmf_subsystem_disconnect_host = "4")]
    #[doc(alias = "spdk_nvmf_subsystem_disconnect_host")]
    pub async fn disconnect_host(&self, host: &str) -> Result<()> {
        check_nqn("host", host)?;
        let host = host.to_owned();
        let call = "NvmfSubsystem::disconnect_host";
        self.change(call, async move |subsystem| {
            subsystem.raw.disconnect_host(&host).await
        })
        .await
    }

    /// Says whether every host may connect.
    ///
    /// Wraps `spdk_nvmf_subsystem_set_allow_any_host`.
    ///
    /// # Errors
    ///
    /// An errno of SPDK.
    #[doc(alias = "spdk_nvmf_subsystem_set_allow_any_host")]
    pub async fn allow_any_host(&self, any: bool) -> Result<()> {
        const CALL: &str = "spdk_nvmf_subsystem_set_allow_any_host";
        let nqn = self.nqn().to_owned();
        self.change(CALL, async move |subsystem| {
            let set = |raw| {
                // SAFETY: as for `remove_namespace`.
                unsafe { sys::spdk_nvmf_subsystem_set_allow_any_host(raw, any) }
            };
            subsystem.set(CALL, &nqn, set).await
        })
        .await
    }

    pub(super) async fn of_host(
        &self,
        call: &'static str,
        host: &str,
        set: impl FnOnce(*mut sys::spdk_nvmf_subsystem, &CStr) -> i32 + 'static,
    ) -> Result<()> {
        check_nqn("host", host)?;
        let host = host.to_owned();
        self.change(call, async move |subsystem| {
            let name = cstring(&host, "the name of the host");
            let name = name.map_err(|fault| fault.at(At::free(call)))?;
            subsystem.set(call, &host, |raw| set(raw, &name)).await
        })
        .await
    }
}
