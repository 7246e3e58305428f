//! Which listeners the discovery subsystem tells hosts of.
#![allow(unsafe_code)] // Lets SPDK call a Rust function.

#[cfg(spdk_has_spdk_nvmf_set_custom_discovery_filter)]
pub use self::custom::set_discovery_filter;

use crate::sys;

/// Which listeners the discovery subsystem of a target tells a host of, by where the host asks. It starts with all
/// of them; each method leaves some out.
#[doc(alias = "spdk_nvmf_tgt_discovery_filter")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NvmfDiscoveryFilter(u32);

impl NvmfDiscoveryFilter {
    /// All of them.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only those of the IP address that the host has connected to.
    pub fn same_address(self) -> Self {
        self.and(sys::SPDK_NVMF_TGT_DISCOVERY_MATCH_TRANSPORT_ADDRESS)
    }

    /// Only those of the port that the host has connected to.
    pub fn same_port(self) -> Self {
        self.and(sys::SPDK_NVMF_TGT_DISCOVERY_MATCH_TRANSPORT_SVCID)
    }

    /// Only those that the function of [`set_discovery_filter`] takes. Without such a function no target can be
    /// made with it.
    #[cfg(spdk_has_spdk_nvmf_set_custom_discovery_filter)]
    pub fn custom(self) -> Self {
        self.and(sys::SPDK_NVMF_TGT_DISCOVERY_MATCH_CUSTOM)
    }

    fn and(self, one: sys::spdk_nvmf_tgt_discovery_filter) -> Self {
        NvmfDiscoveryFilter(self.0 | one.0)
    }

    /// Whether it asks for a function that nobody has set.
    pub(super) fn lacks_function(self) -> bool {
        #[cfg(spdk_has_spdk_nvmf_set_custom_discovery_filter)]
        let is_set = custom::is_set();
        #[cfg(not(spdk_has_spdk_nvmf_set_custom_discovery_filter))]
        let is_set = false;
        self.0 & sys::SPDK_NVMF_TGT_DISCOVERY_MATCH_CUSTOM.0 != 0 && !is_set
    }

    pub(super) fn to_c(self) -> u32 {
        self.0
    }
}

#[cfg(spdk_has_spdk_nvmf_set_custom_discovery_filter)]
mod custom {
    use std::sync::RwLock;

    use super::super::address::NvmfAddress;
    use crate::each::on_app_thread;
    use crate::error::{At, Result};
    use crate::panic::guard;
    use crate::sys;

    /// Whether a host that asks at an address is told of a listener.
    type Filter = fn(listener: NvmfAddress, asked: NvmfAddress) -> bool;

    static FILTER: RwLock<Option<Filter>> = RwLock::new(None);

    /// Sets the function that says whether a host is told of a listener, by the address of the listener and the one
    /// at which the host asks. It is one for all targets of the process, and is asked by those whose filter is
    /// [`custom`](super::NvmfDiscoveryFilter::custom), on the app thread. It replaces the function before it.
    ///
    /// A panic in it ends the process.
    ///
    /// Wraps `spdk_nvmf_set_custom_discovery_filter`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) and
    /// [`ErrorKind::NoThread`](crate::ErrorKind::NoThread) elsewhere than on the app thread.
    #[doc(alias = "spdk_nvmf_set_custom_discovery_filter")]
    pub fn set_discovery_filter(filter: Filter) -> Result<()> {
        let at = At::free("spdk_nvmf_set_custom_discovery_filter");
        on_app_thread().map_err(|fault| fault.at(at))?;
        let mut set = FILTER.write().unwrap_or_else(|poison| poison.into_inner());
        let is_first = set.replace(filter).is_none();
        if is_first {
            // SAFETY: sets a pointer to a function, on the app thread, which is where SPDK reads it.
            unsafe { sys::spdk_nvmf_set_custom_discovery_filter(Some(ask)) }
        }
        Ok(())
    }

    pub(super) fn is_set() -> bool {
        let set = FILTER.read().unwrap_or_else(|poison| poison.into_inner());
        set.is_some()
    }

    unsafe extern "C" fn ask(
        listener: *const sys::spdk_nvme_transport_id,
        asked: *const sys::spdk_nvme_transport_id,
    ) -> bool {
        guard("discovery filter", || {
            let filter = *FILTER.read().unwrap_or_else(|poison| poison.into_inner());
            // SAFETY: both are there during the callback.
            let addresses =
                unsafe { NvmfAddress::from_c(&*listener).zip(NvmfAddress::from_c(&*asked)) };
            match (filter, addresses) {
                // SPDK asks what is to be left out.
                (Some(filter), Some((listener, asked))) => !filter(listener, asked),
                // Not of an IP address, and so none of this crate.
                _ => false,
            }
        })
    }
}
