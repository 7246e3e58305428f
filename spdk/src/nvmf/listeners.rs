//! Where a subsystem listens, and what its listeners say of the ways to its namespaces.
#![allow(unsafe_code)] // Calls SPDK with subsystems, which their target owns.

use super::address::{NvmfAddress, NvmfListenerOpts};
use super::core::{State, change};
use super::raw::RawSubsystem;
use super::subsystem::NvmfSubsystem;
use crate::error::{At, Fault, Result};
use crate::generated::nvmf::AnaState;
use crate::{Errno, sys};

impl NvmfSubsystem {
    /// Lets hosts connect at an address. The discovery subsystem listens there too.
    ///
    /// Wraps `spdk_nvmf_tgt_listen_ext` and `spdk_nvmf_subsystem_add_listener`.
    ///
    /// # Errors
    ///
    /// - `EADDRINUSE`, or another errno of the socket: the address cannot be used.
    /// - `EEXIST`: it listens there already.
    /// - `EINVAL`: it listens at 16 addresses already, or the discovery subsystem does, for all subsystems together.
    /// - [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument): port 0, a target without a transport, or
    ///   the discovery subsystem, which listens where the others do.
    #[doc(
        alias = "spdk_nvmf_subsystem_add_listener",
        alias = "spdk_nvmf_tgt_listen_ext"
    )]
    pub async fn listen(&self, address: NvmfAddress) -> Result<()> {
        self.listen_with(address, &NvmfListenerOpts::new()).await
    }

    /// [`NvmfSubsystem::listen`] with options.
    ///
    /// Wraps `spdk_nvmf_subsystem_add_listener_ext`.
    ///
    /// # Errors
    ///
    /// As for [`NvmfSubsystem::listen`]; and `ENOTSUP`: another ANA state than the first three.
    #[doc(alias = "spdk_nvmf_subsystem_add_listener_ext")]
    pub async fn listen_with(&self, address: NvmfAddress, opts: &NvmfListenerOpts) -> Result<()> {
        let (id, opts) = (self.id(), *opts);
        let listen = async move |state: &mut State| state.listen(id, address, &opts).await;
        change(self.target(), "NvmfSubsystem::listen", listen).await
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) and [`ErrorKind::Gone`](crate::ErrorKind::Gone).
    pub async fn listeners(&self) -> Result<Vec<NvmfAddress>> {
        let call = "NvmfSubsystem::listeners";
        self.change(call, async |subsystem| Ok(subsystem.listeners.clone()))
            .await
    }

    /// Ends to listen at an address, and the connections that came by it.
    ///
    /// Wraps `spdk_nvmf_subsystem_remove_listener` and `spdk_nvmf_transport_stop_listen_async`.
    ///
    /// # Errors
    ///
    /// - `ENOENT`: it does not listen there.
    /// - [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument): the discovery subsystem, which listens where
    ///   the others do.
    #[doc(alias = "spdk_nvmf_transport_stop_listen_async")]
    pub async fn stop_listening(&self, address: NvmfAddress) -> Result<()> {
        const CALL: &str = "NvmfSubsystem::stop_listening";
        let id = self.id();
        let stop = async move |state: &mut State| state.stop_listening(id, address, CALL).await;
        change(self.target(), CALL, stop).await
    }

    /// Says what the way by a listener to the namespaces of an ANA group is like; without a group, to all of
    /// them. Hosts that are connected there are told.
    ///
    /// Wraps `spdk_nvmf_subsystem_set_ana_state`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: it does not listen there, there is no such group, or it was made without
    ///   [`ana_reporting`](super::NvmfSubsystemOpts::ana_reporting).
    /// - `ENOTSUP`: another state than the first three.
    #[doc(alias = "spdk_nvmf_subsystem_set_ana_state")]
    pub async fn set_ana_state(
        &self,
        address: NvmfAddress,
        state: AnaState,
        group: Option<u32>,
    ) -> Result<()> {
        const CALL: &str = "spdk_nvmf_subsystem_set_ana_state";
        self.change(CALL, async move |subsystem| {
            // SAFETY: the subsystem exists, on this spdk_thread.
            let reports =
                unsafe { sys::spdk_nvmf_subsystem_get_ana_reporting(subsystem.raw.as_ptr()) };
            if !reports {
                let object = subsystem.nqn.as_str();
                return Err(Fault::errno(Errno::EINVAL).at(At::new(CALL, &object)));
            }
            let set = async |raw: &RawSubsystem| {
                raw.set_ana_state(&address, state, group.unwrap_or(0)).await
            };
            subsystem.change(set).await
        })
        .await
    }

    /// What the way by a listener to the namespaces of an ANA group is said to be like.
    ///
    /// Wraps `spdk_nvmf_subsystem_get_ana_state`.
    ///
    /// # Errors
    ///
    /// `EINVAL`: it does not listen there, there is no such group, or it was made without
    /// [`ana_reporting`](super::NvmfSubsystemOpts::ana_reporting).
    #[doc(alias = "spdk_nvmf_subsystem_get_ana_state")]
    pub async fn ana_state(&self, address: NvmfAddress, group: u32) -> Result<AnaState> {
        const CALL: &str = "spdk_nvmf_subsystem_get_ana_state";
        self.change(CALL, async move |subsystem| {
            let mut state = sys::SPDK_NVME_ANA_OPTIMIZED_STATE;
            // SAFETY: the subsystem exists, on this spdk_thread; the address is read, and the state written.
            let rc = unsafe {
                let (raw, trid) = (subsystem.raw.as_ptr(), address.to_c());
                sys::spdk_nvmf_subsystem_get_ana_state(raw, &trid, group, &mut state)
            };
            match rc {
                0 => Ok(AnaState::from_raw(state.0)),
                rc => {
                    let object = address.to_string();
                    Err(Fault::errno(Errno::from_code(rc)).at(At::new(CALL, &object.as_str())))
                }
            }
        })
        .await
    }
}
