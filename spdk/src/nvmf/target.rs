//! Targets.
#![allow(unsafe_code)] // Makes targets and transports.

use std::fmt;
use std::ptr::NonNull;

use super::core::{self, Core, State, TargetObject, change};
use super::groups::Group;
use super::json::Json;
use super::options::{NvmfSubsystemOpts, NvmfTargetOpts};
use super::raw::{RawTarget, RawTransport};
use super::subsystem::NvmfSubsystem;
use super::transport_opts::{NvmfTransportInfo, NvmfTransportOpts, TCP, check_memory};
use crate::each::on_app_thread;
use crate::error::{At, ErrorKind, Fault, Gone, Result};
use crate::generated::nvmf::NvmfTransportCreateDoneCb;
use crate::handle::Handle;
use crate::local::{Here, Local, begin};
use crate::op::{Begun, Submitted, op};
use crate::{Errno, ThreadHandle, chore, interrupt, sys};

/// The name of the discovery subsystem of every target.
pub(super) const DISCOVERY: &str = "nqn.2014-08.org.nvmexpress.discovery";

/// A target: what hosts connect to.
///
/// See the [module](super) for how it works and how it ends.
///
/// # Thread
///
/// `!Send` and `!Sync`: it belongs to the app thread, and so do its subsystems. On another spdk_thread its methods
/// return [`ErrorKind::WrongThread`], and a drop is done at home.
#[doc(alias = "spdk_nvmf_tgt")]
pub struct NvmfTarget(pub(super) Handle<TargetObject>);

impl NvmfTarget {
    /// Makes a target, with its poll groups and its discovery subsystem.
    ///
    /// Wraps `spdk_nvmf_tgt_create` and `spdk_nvmf_poll_group_create`.
    ///
    /// # Errors
    ///
    /// - `EEXIST`: the process has a target of this name.
    /// - `ENOMEM`: an spdk_thread for a poll group has 32 already, its [`iobuf::Channel`](crate::iobuf::Channel)s
    ///   included.
    /// - [`ErrorKind::Option`]: an option cannot be used.
    /// - [`ErrorKind::InvalidArgument`]: an spdk_thread is named twice.
    /// - [`ErrorKind::ThreadEnded`]: an spdk_thread for a poll group has ended.
    /// - [`ErrorKind::WrongThread`] and [`ErrorKind::NoThread`] elsewhere than on the app thread, where SPDK looks at
    ///   its subsystems when a host asks for them.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A target whose future is dropped later is made and closed.
    #[doc(alias = "spdk_nvmf_tgt_create", alias = "spdk_nvmf_poll_group_create")]
    pub async fn create(opts: &NvmfTargetOpts) -> Result<NvmfTarget> {
        const CALL: &str = "spdk_nvmf_tgt_create";
        let name = opts.name.as_str();
        let at = |fault: Fault| fault.at(At::new(CALL, &name));
        let local = Local::current().map_err(at)?;
        on_app_thread().map_err(at)?;
        if local.is_ending() {
            return Err(at(Fault::gone(Gone::ThreadEnded)));
        }
        let mut opts = opts.clone();
        let home = ThreadHandle::of(local.shared().clone());
        if opts.threads.is_empty() {
            opts.threads.push(home.clone());
        }
        for (n, thread) in opts.threads.iter().enumerate() {
            if opts.threads[..n].iter().any(|one| one.id() == thread.id()) {
                let reason = format!("spdk_thread {:?} is named twice", thread.name());
                return Err(at(Fault::invalid(reason)));
            }
        }
        let mut raw = opts.to_c()?;
        // SAFETY: the name ends with a NUL, and is read during the call.
        if !unsafe { sys::spdk_nvmf_get_tgt(raw.name.as_ptr()) }.is_null() {
            return Err(at(Fault::errno(Errno::EEXIST)));
        }
        interrupt::check_descriptors().map_err(at)?;
        // SAFETY: the options are copied.
        let tgt = unsafe { sys::spdk_nvmf_tgt_create(&mut raw) };
        let tgt = NonNull::new(tgt).ok_or_else(|| at(Fault::errno(Errno::ENOMEM)))?;
        // SAFETY: it exists until it is closed, by the chores of this spdk_thread.
        let state = State::new(unsafe { RawTarget::new(tgt) });
        let (tx, rx) = oneshot::async_channel();
        let make = async move {
            let _ = tx.send(furnish(&opts, tgt, state, &home).await);
        };
        // A failure leaves the target without an owner: SPDK has no memory for a poller then.
        chore::finish(make).map_err(at)?;
        rx.await
            .unwrap_or_else(|_| Err(ErrorKind::Cancelled.into()))
    }

    /// Makes a transport, and gives it to the target. A target has one of a kind.
    ///
    /// Wraps `spdk_nvmf_transport_create_async` and `spdk_nvmf_tgt_add_transport`.
    ///
    /// # Errors
    ///
    /// - `EEXIST`: it has one.
    /// - [`ErrorKind::Option`]: SPDK would take an option, and crash with it or make something else of it.
    /// - [`ErrorKind::InvalidArgument`]: SPDK refuses the options. It says why in its log only.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. Later it is done all the same.
    #[doc(alias = "spdk_nvmf_tgt_add_transport")]
    pub async fn add_transport(&self, opts: &NvmfTransportOpts) -> Result<()> {
        let opts = opts.clone();
        let change_it = async move |state: &mut State| {
            if !transport(state).is_null() {
                let at = At::free("spdk_nvmf_tgt_add_transport");
                return Err(Fault::errno(Errno::EEXIST).at(at));
            }
            let made = make_transport(&opts).await?;
            let added = state.tgt.add_transport(&made).await;
            keep_module(&made);
            // Where a poll group has failed, the target has it all the same.
            if added.is_err() && transport(state) != made.as_ptr() {
                made.destroy().await?;
            }
            added
        };
        change(&self.0, "NvmfTarget::add_transport", change_it).await
    }

    /// What its transport has, if it has one.
    ///
    /// Wraps `spdk_nvmf_get_transport_opts`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongThread`] and [`ErrorKind::Gone`].
    #[doc(alias = "spdk_nvmf_get_transport_opts")]
    pub async fn transport(&self) -> Result<Option<NvmfTransportInfo>> {
        let look = async |state: &mut State| {
            let transport = NonNull::new(transport(state));
            Ok(transport.map(|transport| {
                // SAFETY: it exists as long as its target, and its options do not change.
                let opts = unsafe { &*sys::spdk_nvmf_get_transport_opts(transport.as_ptr()) };
                NvmfTransportInfo::of(opts)
            }))
        };
        change(&self.0, "NvmfTarget::transport", look).await
    }

    /// Makes a subsystem, which is not started.
    ///
    /// Wraps `spdk_nvmf_subsystem_create`.
    ///
    /// # Errors
    ///
    /// - `EEXIST`: it has a subsystem of this name.
    /// - [`ErrorKind::Option`] and [`ErrorKind::InvalidArgument`]: an option cannot be used, or it has as many
    ///   subsystems as it can have.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. Later it is made all the same, and is
    /// [found](Self::subsystem) by its name.
    #[doc(alias = "spdk_nvmf_subsystem_create")]
    pub async fn create_subsystem(&self, opts: &NvmfSubsystemOpts) -> Result<NvmfSubsystem> {
        opts.check()?;
        let (nqn, opts) = (opts.nqn.clone(), opts.clone());
        let make = async move |state: &mut State| {
            let known = state.subsystems.len();
            let made = state.create_subsystem(&opts, false);
            if made.is_err() && state.subsystems.len() > known {
                let id = state.subsystems[known].id;
                state
                    .remove_subsystem(id, "spdk_nvmf_subsystem_create")
                    .await?;
            }
            made
        };
        let id = change(&self.0, "NvmfTarget::create_subsystem", make).await?;
        Ok(NvmfSubsystem::new(self.0.clone(), id, nqn))
    }

    /// The subsystem of this name, if there is one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongThread`] and [`ErrorKind::Gone`].
    #[doc(alias = "spdk_nvmf_tgt_find_subsystem")]
    pub async fn subsystem(&self, nqn: &str) -> Result<Option<NvmfSubsystem>> {
        let name = nqn.to_owned();
        let find = async move |state: &mut State| {
            let found = state.subsystems.iter().find(|one| one.nqn == name);
            Ok(found.map(|one| one.id))
        };
        let id = change(&self.0, "NvmfTarget::subsystem", find).await?;
        Ok(id.map(|id| NvmfSubsystem::new(self.0.clone(), id, nqn.to_owned())))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.extra().name
    }

    /// Closes it, and returns when nothing of it is left. Its other handles, and those of its subsystems, report
    /// [`ErrorKind::Gone`] from then on. Subsystems that JSON-RPC methods have made of it go with it.
    ///
    /// Wraps `spdk_nvmf_tgt_destroy`, after what comes before it: see the [module](super).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongThread`].
    ///
    /// # Cancellation
    ///
    /// It closes all the same, as it does when it is dropped.
    #[doc(alias = "spdk_nvmf_tgt_destroy")]
    pub async fn close(self) -> Result<()> {
        let core = self.0.extra().clone();
        let alive = begin(|caller| self.0.get(caller).map(drop));
        alive.map_err(|fault| fault.at(At::new("NvmfTarget::close", &core.name.as_str())))?;
        core.begin_close();
        drop(self);
        core.closed().await;
        Ok(())
    }
}

impl fmt::Debug for NvmfTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NvmfTarget")
            .field("name", &self.name())
            .finish()
    }
}

/// Makes the poll groups and the discovery subsystem of a new target.
async fn furnish(
    opts: &NvmfTargetOpts,
    tgt: NonNull<sys::spdk_nvmf_tgt>,
    mut state: State,
    home: &ThreadHandle,
) -> Result<NvmfTarget> {
    let id = core::next_id();
    let furnished = async {
        for thread in &opts.threads {
            let group = Group::create(tgt, home, id, thread).await?;
            state.groups.push(group);
        }
        if opts.discovery {
            let opts = NvmfSubsystemOpts::new(DISCOVERY).allow_any_host(true);
            let id = state.create_subsystem(&opts, true)?;
            state.subsystem(id, DISCOVERY)?.start().await?;
        }
        Ok(())
    };
    if let Err(error) = furnished.await {
        state.close().await;
        return Err(error);
    }
    let core = Core::new(opts.name.clone(), id, state);
    // SAFETY: the target exists, on this spdk_thread; its release begins the chore that closes it.
    let handle = unsafe { Handle::adopt(tgt, core) };
    let handle =
        handle.map_err(|fault| fault.at(At::new("spdk_nvmf_tgt_create", &opts.name.as_str())))?;
    Ok(NvmfTarget(handle))
}

/// The TCP transport; null if there is none.
fn transport(state: &State) -> *mut sys::spdk_nvmf_transport {
    // SAFETY: the target exists, on this spdk_thread.
    unsafe { sys::spdk_nvmf_tgt_get_transport(state.tgt.as_ptr(), TCP.as_ptr()) }
}

/// Has SPDK keep the iobuf module of a transport, which the poll groups have taken their channels from. It would remove
/// the module of this name with the transport, while the channels of another target's transport point to it.
fn keep_module(transport: &RawTransport) {
    // SAFETY: it exists, on this spdk_thread, and SPDK reads the name when it makes a poll group and at its end only.
    unsafe { (*transport.as_ptr()).iobuf_name[0] = 0 };
}

async fn make_transport(opts: &NvmfTransportOpts) -> Result<RawTransport> {
    const CALL: &str = "spdk_nvmf_transport_create_async";
    let at = |fault: Fault| fault.at(At::free(CALL));
    let refused = || {
        at(Fault::invalid(
            "SPDK refuses these options; its log says why",
        ))
    };
    opts.check()?;
    let (mut raw, json) = opts.to_c().ok_or_else(refused)?;
    check_memory(&raw)?;
    let start = move |_: crate::local::Caller<'_>| {
        let submit = move |_: &mut (Here, Json), done, arg| {
            // SAFETY: SPDK copies the options during the call, and the transport's own stay until it has been made.
            Submitted::rc(unsafe {
                sys::spdk_nvmf_transport_create_async(TCP.as_ptr(), &mut raw, done, arg)
            })
        };
        // SAFETY: the callback runs once if the call returns 0, else never; C uses nothing after the call.
        let begun: Begun<_> = unsafe {
            op::<NvmfTransportCreateDoneCb, _, _>(
                submit,
                |_, transport| Ok(transport),
                (Here::now()?, json),
            )
        };
        Ok(begun)
    };
    let made = match crate::call::call(start, || At::free(CALL)).await {
        // All that it says of options.
        Err(error) if error.errno() == Some(Errno::EPERM) => None,
        made => made?,
    };
    // SAFETY: it exists until its target is destroyed, on this spdk_thread.
    made.map(|transport| unsafe { RawTransport::new(transport) })
        .ok_or_else(refused)
}
