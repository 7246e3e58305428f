//! Subsystems, their namespaces, hosts and listeners.
#![allow(unsafe_code)] // Calls SPDK with subsystems, which their target owns.

use std::ffi::CStr;
use std::fmt;
use std::ptr;

use super::address::NvmfAddress;
use super::core::{self, State, Subsystem, TargetObject, change};
use super::options::{NvmfNamespaceOpts, check_nqn, check_nsid};
use crate::error::{At, Error, ErrorKind, Fault, Result};
use crate::generated::nvmf::AnaState;
use crate::handle::Handle;
use crate::text::cstring;
use crate::{Errno, chore, sys};

/// A subsystem of a target: namespaces, the hosts that may use them, and where these connect.
///
/// It keeps its target open. When the target closes, or the subsystem is [removed](Self::remove), its methods
/// return [`ErrorKind::Gone`].
///
/// # Cancellation
///
/// With every method: nothing happens before the first poll, and later it is done all the same.
///
/// # Thread
///
/// As for [`NvmfTarget`](super::NvmfTarget).
#[doc(alias = "spdk_nvmf_subsystem")]
pub struct NvmfSubsystem {
    target: Handle<TargetObject>,
    id: u64,
    nqn: String,
}

/// A namespace of a subsystem.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NvmfNamespace {
    /// Its number.
    pub nsid: u32,
    /// The name of its bdev.
    pub bdev: String,
    /// Its ANA group.
    pub ana_group: u32,
}

impl NvmfSubsystem {
    pub(super) fn new(target: Handle<TargetObject>, id: u64, nqn: String) -> Self {
        NvmfSubsystem { target, id, nqn }
    }

    /// Its NVMe qualified name.
    pub fn nqn(&self) -> &str {
        &self.nqn
    }

    /// Lets hosts connect. If it is started, nothing happens.
    ///
    /// Wraps `spdk_nvmf_subsystem_start`.
    ///
    /// # Errors
    ///
    /// An errno of SPDK: it has no memory, or a poll group cannot use a bdev.
    #[doc(alias = "spdk_nvmf_subsystem_start")]
    pub async fn start(&self) -> Result<()> {
        let call = "NvmfSubsystem::start";
        self.change(call, async |subsystem| subsystem.start().await)
            .await
    }

    /// Disconnects its hosts, and lets none connect. If it is not started, nothing happens. Commands in flight
    /// are waited for; those that a pause holds back fail.
    ///
    /// Wraps `spdk_nvmf_subsystem_stop`.
    ///
    /// # Errors
    ///
    /// An errno of SPDK.
    #[doc(alias = "spdk_nvmf_subsystem_stop")]
    pub async fn stop(&self) -> Result<()> {
        let call = "NvmfSubsystem::stop";
        self.change(call, async |subsystem| subsystem.stop().await)
            .await
    }

    /// Holds the admin commands of its hosts back, and the I/O of namespace `nsid` if there is one, until
    /// [`NvmfPaused::resume`] or the drop of what this returns. It returns when those in flight are done.
    ///
    /// It can be paused more than once: it goes on with the last of them. One that is not started is paused
    /// when it starts. SPDK holds one namespace at a time; while another pause begins to hold one, or ceases to,
    /// commands that were held can come through.
    ///
    /// Wraps `spdk_nvmf_subsystem_pause`.
    ///
    /// # Errors
    ///
    /// - `EBUSY`: another pause holds another namespace.
    /// - [`ErrorKind::Option`]: 0, or a number that no namespace can have.
    ///
    /// # Cancellation
    ///
    /// A pause that nobody waits for any more ends as soon as it has begun.
    #[doc(alias = "spdk_nvmf_subsystem_pause")]
    pub async fn pause(&self, nsid: Option<u32>) -> Result<NvmfPaused> {
        nsid.map_or(Ok(()), check_nsid)?;
        let nsid = nsid.unwrap_or(0);
        let (target, id) = (self.target.clone(), self.id);
        self.change("NvmfSubsystem::pause", async move |subsystem| {
            subsystem.pause(nsid).await?;
            Ok(NvmfPaused(Some(Pause { target, id, nsid })))
        })
        .await
    }

    /// Stops and destroys it.
    ///
    /// Wraps `spdk_nvmf_subsystem_destroy`.
    ///
    /// # Errors
    ///
    /// An errno of SPDK.
    #[doc(alias = "spdk_nvmf_subsystem_destroy")]
    pub async fn remove(self) -> Result<()> {
        const CALL: &str = "NvmfSubsystem::remove";
        let id = self.id;
        let remove = async move |state: &mut State| state.remove_subsystem(id, CALL).await;
        change(&self.target, CALL, remove).await
    }

    /// Adds a bdev as a namespace, with SPDK's defaults, and returns its number.
    ///
    /// # Errors
    ///
    /// As for [`NvmfSubsystem::add_namespace_with`].
    pub async fn add_namespace(&self, bdev: &str) -> Result<u32> {
        self.add_namespace_with(bdev, &NvmfNamespaceOpts::new())
            .await
    }

    /// Adds a bdev as a namespace, and returns its number. Hosts that are connected are told.
    ///
    /// A bdev that is removed takes its namespaces with it.
    ///
    /// Wraps `spdk_nvmf_subsystem_add_ns_ext`.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::NoSuchBdev`]: no bdev has this name.
    /// - [`ErrorKind::Option`]: an option cannot be used.
    /// - [`ErrorKind::InvalidArgument`]: SPDK refuses it, since the number is taken or is greater than
    ///   [`max_namespaces`](super::NvmfSubsystemOpts::max_namespaces), or another user of the bdev has it
    ///   for itself.
    #[doc(alias = "spdk_nvmf_subsystem_add_ns_ext")]
    pub async fn add_namespace_with(&self, bdev: &str, opts: &NvmfNamespaceOpts) -> Result<u32> {
        const CALL: &str = "spdk_nvmf_subsystem_add_ns_ext";
        let (opts, bdev) = (opts.to_c()?, bdev.to_owned());
        self.change(CALL, async move |subsystem| {
            let object = bdev.as_str();
            let at = |fault: Fault| fault.at(At::new(CALL, &object));
            let name = cstring(&bdev, "the name of the bdev").map_err(at)?;
            // SAFETY: the name is read during the call.
            if unsafe { sys::spdk_bdev_get_by_name(name.as_ptr()) }.is_null() {
                let name = bdev.clone();
                return Err(ErrorKind::NoSuchBdev { name }.into());
            }
            let add = async |raw: &super::raw::RawSubsystem| {
                // SAFETY: the subsystem exists, on this spdk_thread, and is paused or not started. The name
                // and the options are copied.
                let nsid = unsafe {
                    sys::spdk_nvmf_subsystem_add_ns_ext(
                        raw.as_ptr(),
                        name.as_ptr(),
                        &opts,
                        size_of_val(&opts),
                        ptr::null(),
                    )
                };
                match nsid {
                    0 => Err(at(Fault::invalid(
                        "SPDK refuses the namespace: its number is taken or too great, or another user of \
                         the bdev has it for itself; the log says which",
                    ))),
                    nsid => Ok(nsid),
                }
            };
            subsystem.change(add).await
        })
        .await
    }

    /// Removes a namespace. Its I/O is waited for, and hosts that are connected are told.
    ///
    /// Wraps `spdk_nvmf_subsystem_remove_ns`.
    ///
    /// # Errors
    ///
    /// - `ENOENT`: there is none of this number.
    /// - `EBUSY`: a pause holds another namespace.
    #[doc(alias = "spdk_nvmf_subsystem_remove_ns")]
    pub async fn remove_namespace(&self, nsid: u32) -> Result<()> {
        const CALL: &str = "spdk_nvmf_subsystem_remove_ns";
        check_nsid(nsid)?;
        self.change(CALL, async move |subsystem| {
            let remove = async |raw: &super::raw::RawSubsystem| {
                // SAFETY: the subsystem exists, on this spdk_thread, and is paused with this namespace, or not
                // started.
                match unsafe { sys::spdk_nvmf_subsystem_remove_ns(raw.as_ptr(), nsid) } {
                    0 => Ok(()),
                    _ => {
                        let object = format!("namespace {nsid}");
                        Err(Fault::errno(Errno::ENOENT).at(At::new(CALL, &object.as_str())))
                    }
                }
            };
            subsystem.change_namespace(nsid, remove).await
        })
        .await
    }

    /// Its namespaces.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongThread`] and [`ErrorKind::Gone`].
    #[doc(alias = "spdk_nvmf_subsystem_get_first_ns")]
    pub async fn namespaces(&self) -> Result<Vec<NvmfNamespace>> {
        self.change("NvmfSubsystem::namespaces", async |subsystem| {
            let raw = subsystem.raw.as_ptr();
            let mut all = Vec::new();
            // SAFETY: the subsystem exists, on this spdk_thread, where its namespaces come and go, and each
            // has its bdev open.
            unsafe {
                let mut ns = sys::spdk_nvmf_subsystem_get_first_ns(raw);
                while !ns.is_null() {
                    let mut opts = std::mem::zeroed::<sys::spdk_nvmf_ns_opts>();
                    sys::spdk_nvmf_ns_get_opts(ns, &mut opts, size_of_val(&opts));
                    let bdev = sys::spdk_bdev_get_name(sys::spdk_nvmf_ns_get_bdev(ns));
                    all.push(NvmfNamespace {
                        nsid: sys::spdk_nvmf_ns_get_id(ns),
                        bdev: CStr::from_ptr(bdev).to_string_lossy().into_owned(),
                        ana_group: opts.anagrpid,
                    });
                    ns = sys::spdk_nvmf_subsystem_get_next_ns(raw, ns);
                }
            }
            Ok(all)
        })
        .await
    }

    /// Shows a namespace that is [hidden](NvmfNamespaceOpts::hidden) to a host.
    ///
    /// Wraps `spdk_nvmf_ns_add_host`.
    ///
    /// # Errors
    ///
    /// `ENOENT` or `EINVAL`: there is no such namespace, or it is not a hidden one; `EPERM` where SPDK says so.
    #[doc(alias = "spdk_nvmf_ns_add_host")]
    pub async fn show_namespace(&self, nsid: u32, host: &str) -> Result<()> {
        self.of_host("spdk_nvmf_ns_add_host", host, move |raw, host| {
            // SAFETY: as for `remove_namespace`; the name is copied.
            unsafe { sys::spdk_nvmf_ns_add_host(raw, nsid, host.as_ptr(), 0) }
        })
        .await
    }

    /// Hides a namespace from a host again.
    ///
    /// Wraps `spdk_nvmf_ns_remove_host`.
    ///
    /// # Errors
    ///
    /// As for [`NvmfSubsystem::show_namespace`].
    #[doc(alias = "spdk_nvmf_ns_remove_host")]
    pub async fn hide_namespace(&self, nsid: u32, host: &str) -> Result<()> {
        self.of_host("spdk_nvmf_ns_remove_host", host, move |raw, host| {
            // SAFETY: as for `remove_namespace`; the name is read during the call.
            unsafe { sys::spdk_nvmf_ns_remove_host(raw, nsid, host.as_ptr(), 0) }
        })
        .await
    }

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
    /// [`ErrorKind::Option`]: the name cannot be one; or an errno of SPDK.
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
        let nqn = self.nqn.clone();
        self.change(CALL, async move |subsystem| {
            let set = |raw| {
                // SAFETY: as for `remove_namespace`.
                unsafe { sys::spdk_nvmf_subsystem_set_allow_any_host(raw, any) }
            };
            subsystem.set(CALL, &nqn, set).await
        })
        .await
    }

    /// Lets hosts connect at an address. The discovery subsystem listens there too.
    ///
    /// Wraps `spdk_nvmf_tgt_listen_ext` and `spdk_nvmf_subsystem_add_listener`.
    ///
    /// # Errors
    ///
    /// - `EADDRINUSE`, or another errno of the socket: the address cannot be used.
    /// - `EEXIST`: it listens there already.
    /// - [`ErrorKind::InvalidArgument`]: port 0, or a target without a transport.
    #[doc(
        alias = "spdk_nvmf_subsystem_add_listener",
        alias = "spdk_nvmf_tgt_listen_ext"
    )]
    pub async fn listen(&self, address: NvmfAddress) -> Result<()> {
        let id = self.id;
        let listen = async move |state: &mut State| state.listen(id, address).await;
        change(&self.target, "NvmfSubsystem::listen", listen).await
    }

    /// Ends to listen at an address, and the connections that came by it.
    ///
    /// Wraps `spdk_nvmf_subsystem_remove_listener` and `spdk_nvmf_transport_stop_listen_async`.
    ///
    /// # Errors
    ///
    /// `ENOENT`: it does not listen there.
    #[doc(alias = "spdk_nvmf_transport_stop_listen_async")]
    pub async fn stop_listening(&self, address: NvmfAddress) -> Result<()> {
        const CALL: &str = "NvmfSubsystem::stop_listening";
        let id = self.id;
        let stop = async move |state: &mut State| state.stop_listening(id, address, CALL).await;
        change(&self.target, CALL, stop).await
    }

    /// Says what the way by a listener to the namespaces of an ANA group is like; without a group, to all of
    /// them. Hosts that are connected there are told.
    ///
    /// Wraps `spdk_nvmf_subsystem_set_ana_state`.
    ///
    /// # Errors
    ///
    /// `EINVAL`: it does not listen there, there is no such group, or it was made without
    /// [`ana_reporting`](super::NvmfSubsystemOpts::ana_reporting). Also another state than the first three.
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
            let set = async |raw: &super::raw::RawSubsystem| {
                raw.set_ana_state(&address, state, group.unwrap_or(0)).await
            };
            subsystem.change(set).await
        })
        .await
    }

    async fn change<T: 'static>(
        &self,
        call: &'static str,
        f: impl AsyncFnOnce(&mut Subsystem) -> Result<T> + 'static,
    ) -> Result<T> {
        let id = self.id;
        let change = async move |state: &mut State| f(state.subsystem(id, call)?).await;
        core::change(&self.target, call, change).await
    }

    async fn of_host(
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

impl fmt::Debug for NvmfSubsystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NvmfSubsystem")
            .field("nqn", &self.nqn)
            .finish()
    }
}

/// A subsystem is paused as long as this exists. It is not `Send`.
#[must_use = "the subsystem goes on when this is dropped"]
pub struct NvmfPaused(Option<Pause>);

struct Pause {
    target: Handle<TargetObject>,
    id: u64,
    nsid: u32,
}

impl NvmfPaused {
    /// Ends the pause, and returns when SPDK has gone on, unless another pause is left.
    ///
    /// Wraps `spdk_nvmf_subsystem_resume`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Gone`] if the target or the subsystem is gone; or an errno of SPDK.
    ///
    /// # Cancellation
    ///
    /// The pause ends all the same.
    #[doc(alias = "spdk_nvmf_subsystem_resume")]
    pub async fn resume(mut self) -> Result<()> {
        match self.0.take() {
            Some(pause) => pause.end().await,
            None => Ok(()),
        }
    }
}

impl Pause {
    async fn end(self) -> Result<()> {
        const CALL: &str = "NvmfPaused::resume";
        let (id, nsid) = (self.id, self.nsid);
        let resume = async move |state: &mut State| state.subsystem(id, CALL)?.resume(nsid).await;
        change(&self.target, CALL, resume).await
    }
}

impl Drop for NvmfPaused {
    fn drop(&mut self) {
        let Some(pause) = self.0.take() else {
            return;
        };
        let local = pause.target.local().clone();
        let go_on = move || {
            let resume = async move {
                match pause.end().await {
                    Err(error) if !is_gone(&error) => {
                        tracing::warn!(%error, "an NVMe-oF subsystem stays paused");
                    }
                    _ => {}
                }
            };
            if let Err(fault) = chore::finish(resume) {
                let error = fault.at(At::free("NvmfPaused::resume"));
                tracing::warn!(%error, "an NVMe-oF subsystem stays paused");
            }
        };
        if local.is_current() {
            go_on();
        } else {
            // Another spdk_thread of the same OS thread, since it is not `Send`.
            local.defer(Box::new(go_on));
        }
    }
}

fn is_gone(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Gone { .. })
}

impl fmt::Debug for NvmfPaused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NvmfPaused")
    }
}
