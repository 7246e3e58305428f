//! What a target consists of, and the one chore at a time that changes it.
#![allow(unsafe_code)] // Calls SPDK with the objects of a target, which it owns.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::ffi::CString;
use std::ptr::NonNull;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::address::{NvmfAddress, NvmfListenerOpts};
use super::groups::Group;
use super::options::NvmfSubsystemOpts;
use super::raw::{self, RawSubsystem, RawTarget, is_there};
use super::referrals::NvmfReferral;
use super::sockets;
use super::state::Subsystem;
use crate::error::{At, ErrorKind, Fault, Gone, Result};
use crate::handle::{Handle, Object};
use crate::local::begin;
use crate::text::cstring;
use crate::{Errno, chore, sys};

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The targets of this OS thread that are not closed.
    static TARGETS: RefCell<BTreeMap<u64, Weak<Core>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Closes a target, from a message to its spdk_thread.
pub(super) fn close_by_id(id: u64) {
    let core = TARGETS.with_borrow(|targets| targets.get(&id).and_then(Weak::upgrade));
    if let Some(core) = core {
        core.begin_close();
    }
}

/// `spdk_nvmf_tgt`, closed by a chore.
pub(super) enum TargetObject {}

// SAFETY: the chore destroys it, and uses nothing of `Extra` but itself.
unsafe impl Object for TargetObject {
    type C = sys::spdk_nvmf_tgt;
    type Extra = Rc<Core>;
    const NAME: &'static str = "NvmfTarget";

    unsafe fn release(_: NonNull<Self::C>, core: &Rc<Core>) {
        core.begin_close();
    }

    fn label(core: &Rc<Core>) -> String {
        format!("NVMe-oF target {:?}", core.name)
    }
}

/// Whether this is the name of a target of this crate; without one, whether it has any. On the app thread.
#[cfg(feature = "config")]
pub(crate) fn is_ours(name: Option<&str>) -> bool {
    TARGETS.with_borrow(|targets| {
        let mut cores = targets.values().filter_map(Weak::upgrade);
        cores.any(|core| name.is_none_or(|name| core.name == name))
    })
}

pub(super) struct Core {
    pub(super) name: String,
    id: u64,
    /// `None` when it has closed, or does. The chore whose turn it is has taken it out.
    state: Cell<Option<State>>,
    turn: Turn,
    is_closing: Cell<bool>,
    is_closed: Cell<bool>,
    /// Who waits for the end.
    closers: RefCell<Vec<oneshot::Sender<()>>>,
}

/// Whose turn it is among the chores of a target, in the order in which they ask. None of them is dropped
/// before it has ended.
#[derive(Default)]
struct Turn {
    is_taken: Cell<bool>,
    waiting: RefCell<VecDeque<oneshot::Sender<()>>>,
}

impl Turn {
    async fn begin(&self) {
        if self.is_taken.replace(true) {
            let (tx, rx) = oneshot::async_channel();
            self.waiting.borrow_mut().push_back(tx);
            let _ = rx.await;
        }
    }

    fn end(&self) {
        let next = self.waiting.borrow_mut().pop_front();
        match next {
            Some(next) => {
                let _ = next.send(());
            }
            None => self.is_taken.set(false),
        }
    }
}

/// The number of the next target.
pub(super) fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Relaxed)
}

impl Core {
    pub(super) fn new(name: String, id: u64, state: State) -> Rc<Core> {
        let core = Rc::new(Core {
            name,
            id,
            state: Cell::new(Some(state)),
            turn: Turn::default(),
            is_closing: Cell::new(false),
            is_closed: Cell::new(false),
            closers: RefCell::default(),
        });
        TARGETS.with_borrow_mut(|targets| targets.insert(id, Rc::downgrade(&core)));
        core
    }

    /// Closes it after the changes that are under way. On its spdk_thread.
    pub(super) fn begin_close(self: &Rc<Self>) {
        if self.is_closing.replace(true) {
            return;
        }
        let core = self.clone();
        let close = async move {
            core.turn.begin().await;
            if let Some(state) = core.state.take() {
                state.close().await;
            }
            core.turn.end();
            // The variable is gone when the OS thread ends.
            let _ = TARGETS.try_with(|targets| targets.borrow_mut().remove(&core.id));
            core.is_closed.set(true);
            for closer in core.closers.take() {
                let _ = closer.send(());
            }
        };
        if let Err(fault) = chore::finish(close) {
            let error = fault.at(At::new("NvmfTarget::close", &self.name.as_str()));
            tracing::error!(%error, "an NVMe-oF target is leaked");
        }
    }

    /// Carries out a change, after those before it, also when nobody waits for it any more. On its spdk_thread.
    pub(super) async fn visit<T: 'static>(
        self: &Rc<Self>,
        call: &'static str,
        change: impl AsyncFnOnce(&mut State) -> Result<T> + 'static,
    ) -> Result<T> {
        let core = self.clone();
        let (tx, rx) = oneshot::async_channel();
        let chore = async move {
            core.turn.begin().await;
            let mut state = core.state.take();
            if let Some(state) = &mut state {
                state.forget();
            }
            let result = match &mut state {
                Some(state) if state.is_there() => change(state).await,
                _ => Err(Fault::gone(Gone::Closed).at(At::new(call, &core.name.as_str()))),
            };
            core.state.set(state);
            core.turn.end();
            let _ = tx.send(result);
        };
        let begun = chore::finish(chore);
        begun.map_err(|fault| fault.at(At::new(call, &self.name.as_str())))?;
        rx.await
            .unwrap_or_else(|_| Err(ErrorKind::Cancelled.into()))
    }

    /// Ready when it has closed.
    pub(super) async fn closed(&self) {
        if !self.is_closed.get() {
            let (tx, rx) = oneshot::async_channel();
            self.closers.borrow_mut().push(tx);
            let _ = rx.await;
        }
    }
}

/// Carries out a change of a target, after those before it, also when nobody waits for it any more.
pub(super) async fn change<T: 'static>(
    target: &Handle<TargetObject>,
    call: &'static str,
    change: impl AsyncFnOnce(&mut State) -> Result<T> + 'static,
) -> Result<T> {
    let core = target.extra();
    let alive = begin(|caller| target.get(caller).map(drop));
    alive.map_err(|fault| fault.at(At::new(call, &core.name.as_str())))?;
    // The target is not released before.
    let target = target.clone();
    core.visit(call, async move |state: &mut State| {
        let result = change(state).await;
        drop(target);
        result
    })
    .await
}

pub(super) struct State {
    pub(super) tgt: RawTarget,
    pub(super) groups: Vec<Group>,
    pub(super) subsystems: Vec<Subsystem>,
    pub(super) referrals: Vec<NvmfReferral>,
    /// Where connections begin with TLS.
    secure: Vec<NvmfAddress>,
    next_subsystem: u64,
}

impl State {
    pub(super) fn new(tgt: RawTarget) -> Self {
        State {
            tgt,
            groups: Vec::new(),
            subsystems: Vec::new(),
            referrals: Vec::new(),
            secure: Vec::new(),
            next_subsystem: 0,
        }
    }

    fn ptr(&self) -> NonNull<sys::spdk_nvmf_tgt> {
        self.tgt.ptr()
    }

    /// Whether SPDK has the target still.
    fn is_there(&self) -> bool {
        is_there(self.ptr())
    }

    /// Forgets subsystems that are gone: a JSON-RPC method has deleted them.
    fn forget(&mut self) {
        self.subsystems.retain(|one| one.raw.exists());
    }

    /// Takes over the subsystems that JSON-RPC methods have made. The target exists.
    fn find(&mut self) {
        let tgt = self.ptr();
        // SAFETY: on its spdk_thread.
        for one in unsafe { raw::subsystems(tgt) } {
            if self
                .subsystems
                .iter()
                .all(|known| known.raw.as_ptr() != one.as_ptr())
            {
                // SAFETY: it exists, as just seen, and is of this target, whose chore destroys it.
                let found = unsafe { Subsystem::found(self.next_subsystem, one, tgt) };
                self.next_subsystem += 1;
                self.subsystems.push(found);
            }
        }
    }

    /// Makes a subsystem; `opts` was checked.
    pub(super) fn create_subsystem(
        &mut self,
        opts: &NvmfSubsystemOpts,
        is_discovery: bool,
    ) -> Result<u64> {
        let object = opts.nqn.as_str();
        let at = |fault: Fault| fault.at(At::new("spdk_nvmf_subsystem_create", &object));
        let text = |text: &str| cstring(text, "the text").map_err(at);
        let nqn = text(&opts.nqn)?;
        let (kind, namespaces) = match is_discovery {
            true => (sys::SPDK_NVMF_SUBTYPE_DISCOVERY_CURRENT, 0),
            false => (sys::SPDK_NVMF_SUBTYPE_NVME, opts.max_namespaces),
        };
        if self.subsystems.iter().any(|one| one.nqn == opts.nqn) {
            return Err(at(Fault::errno(Errno::EEXIST)));
        }
        // SAFETY: the target exists, on this spdk_thread; the name is copied.
        let raw = unsafe {
            sys::spdk_nvmf_subsystem_create(self.tgt.as_ptr(), nqn.as_ptr(), kind, namespaces)
        };
        let Some(raw) = NonNull::new(raw) else {
            return Err(at(Fault::invalid(
                "SPDK refuses it: the name is not a qualified one such as \
                 `nqn.2016-06.io.spdk:disk`, or the target has as many subsystems as it can have",
            )));
        };
        let id = self.next_subsystem;
        self.next_subsystem += 1;
        // SAFETY: it was just made for the target, whose chore destroys it, on this spdk_thread.
        let raw_subsystem = unsafe { RawSubsystem::new(raw, self.ptr()) };
        let nqn = opts.nqn.clone();
        self.subsystems
            .push(Subsystem::new(id, nqn, raw_subsystem, is_discovery));
        let serial = opts.serial_number.as_deref().map(text).transpose()?;
        let model = opts.model_number.as_deref().map(text).transpose()?;
        let raw = raw.as_ptr();
        // SAFETY: the subsystem exists, and is not started; texts are copied.
        let set = unsafe {
            let text = |set: unsafe extern "C" fn(_, _) -> _, text: Option<CString>| match text {
                Some(text) => set(raw, text.as_ptr()) == 0,
                None => true,
            };
            text(sys::spdk_nvmf_subsystem_set_sn, serial)
                && text(sys::spdk_nvmf_subsystem_set_mn, model)
                && sys::spdk_nvmf_subsystem_set_allow_any_host(raw, opts.any_host) == 0
                && (!opts.ana || sys::spdk_nvmf_subsystem_set_ana_reporting(raw, true) == 0)
        };
        #[cfg(spdk_has_spdk_nvmf_subsystem_set_cntlid_range)]
        if let Some(ids) = &opts.controller_ids {
            // SAFETY: as above.
            let rc =
                unsafe { sys::spdk_nvmf_subsystem_set_cntlid_range(raw, *ids.start(), *ids.end()) };
            if rc != 0 {
                return Err(at(Fault::errno(Errno::from_code(rc))));
            }
        }
        match set {
            true => Ok(id),
            false => Err(at(Fault::invalid(
                "the serial number and the model number are printable ASCII characters",
            ))),
        }
    }

    pub(super) fn subsystem(&mut self, id: u64, call: &'static str) -> Result<&mut Subsystem> {
        let mut all = self.subsystems.iter_mut();
        let found = all.find(|one| one.id == id && one.raw.exists());
        found.ok_or_else(|| Fault::gone(Gone::Closed).at(At::free(call)))
    }

    fn discovery(&mut self) -> Option<&mut Subsystem> {
        let mut all = self.subsystems.iter_mut();
        all.find(|one| one.is_discovery && one.raw.exists())
    }

    /// Stops and destroys a subsystem.
    pub(super) async fn remove_subsystem(&mut self, id: u64, call: &'static str) -> Result<()> {
        let subsystem = self.subsystem(id, call)?;
        subsystem.stop().await?;
        // The discovery subsystem has none of its own: the others listen there still.
        let listeners = match subsystem.is_discovery {
            true => Vec::new(),
            false => subsystem.listeners.clone(),
        };
        for address in listeners {
            match self.stop_listening(id, address, call).await {
                // A JSON-RPC method has done it.
                Err(error) if error.errno() == Some(Errno::ENOENT) => {}
                result => result?,
            }
        }
        self.subsystem(id, call)?.destroy().await?;
        self.subsystems.retain(|one| one.id != id);
        Ok(())
    }

    /// Listens for a subsystem, and for the discovery subsystem too.
    pub(super) async fn listen(
        &mut self,
        id: u64,
        address: NvmfAddress,
        opts: &NvmfListenerOpts,
    ) -> Result<()> {
        const CALL: &str = "spdk_nvmf_tgt_listen_ext";
        let object = address.to_string();
        let object = object.as_str();
        let at = |fault: Fault| fault.at(At::new(CALL, &object));
        if address.socket_addr().port() == 0 {
            return Err(at(Fault::invalid(
                "port 0; SPDK needs the number of the port, to compare it with that of a connection",
            )));
        }
        // As `spdk_nvmf_subsystem_set_ana_state` does, while SPDK tells hosts 4 bits of what a listener is made with.
        if !opts.has_usable_state() {
            return Err(at(Fault::errno(Errno::ENOTSUP)));
        }
        let subsystem = self.subsystem(id, CALL)?;
        subsystem.check_listens().map_err(at)?;
        if subsystem.listeners.contains(&address) {
            return Err(at(Fault::errno(Errno::EEXIST)));
        }
        if self.transport().is_none() {
            return Err(at(no_transport()));
        }
        let is_secure = opts.is_secure();
        let known = self.subsystems.iter();
        let is_known = known
            .flat_map(|one| &one.listeners)
            .any(|one| *one == address);
        // SPDK has one socket for an address, which is of one kind.
        if is_known && self.secure.contains(&address) != is_secure {
            return Err(at(Fault::invalid(
                "another subsystem listens there, and one of the two with TLS",
            )));
        }
        let raw = self.subsystem(id, CALL)?.raw.as_ptr();
        // SAFETY: the subsystem exists, on this spdk_thread.
        if is_secure && unsafe { sys::spdk_nvmf_subsystem_get_allow_any_host(raw) } {
            return Err(at(Fault::invalid(
                "TLS needs the key of each host, and the subsystem allows any host",
            )));
        }
        let trid = address.to_c();
        // SAFETY: as above. SPDK fills the options, and copies both.
        let rc = unsafe {
            let mut opts = std::mem::zeroed::<sys::spdk_nvmf_listen_opts>();
            sys::spdk_nvmf_listen_opts_init(&mut opts, size_of_val(&opts));
            opts.secure_channel = is_secure;
            sys::spdk_nvmf_tgt_listen_ext(self.tgt.as_ptr(), &trid, &mut opts)
        };
        if rc != 0 {
            return Err(at(Fault::errno(Errno::from_code(rc))));
        }
        sockets::keep_from_children(address.socket_addr());
        if !is_known {
            self.secure.retain(|one| *one != address);
            self.secure.extend(is_secure.then_some(address));
        }
        if let Some(discovery) = self.discovery().filter(|_| !is_known)
            && let Err(error) = match is_secure {
                true => {
                    discovery
                        .add_listener_with(address, &NvmfListenerOpts::new().secure_channel(true))
                        .await
                }
                false => discovery.add_listener(address).await,
            }
        {
            self.stop_listen(address);
            return Err(error);
        }
        let added = self.subsystem(id, CALL)?.add_listener_with(address, opts);
        if let Err(error) = added.await {
            if let Some(discovery) = self.discovery().filter(|_| !is_known) {
                discovery.remove_listener(address).await?;
            }
            self.stop_listen(address);
            return Err(error);
        }
        Ok(())
    }

    /// The counterpart of [`State::listen`]. The connections that came by the address end.
    pub(super) async fn stop_listening(
        &mut self,
        id: u64,
        address: NvmfAddress,
        call: &'static str,
    ) -> Result<()> {
        let object = address.to_string();
        let object = object.as_str();
        let at = |fault: Fault| fault.at(At::new(call, &object));
        let transport = self.transport();
        let subsystem = self.subsystem(id, call)?;
        subsystem.check_listens().map_err(at)?;
        if !subsystem.listeners.contains(&address) {
            return Err(at(Fault::errno(Errno::ENOENT)));
        }
        subsystem.remove_listener(address).await?;
        // Before the target's listener goes, which that of a subsystem points to.
        let mut others = self.subsystems.iter().filter(|one| !one.is_discovery);
        let is_known = others.any(|one| one.listeners.contains(&address));
        if let Some(discovery) = self.discovery().filter(|_| !is_known) {
            discovery.remove_listener(address).await?;
        }
        let subsystem = self.subsystem(id, call)?;
        match transport {
            Some(transport) => {
                // SAFETY: the transport exists as long as its target.
                let transport = unsafe { super::raw::RawTransport::new(transport) };
                transport.stop_listen(&address, &subsystem.raw).await
            }
            None => Ok(()),
        }
    }

    /// The target's transport.
    pub(super) fn transport(&self) -> Option<NonNull<sys::spdk_nvmf_transport>> {
        let name = super::transport_opts::TCP;
        // SAFETY: the target exists, on this spdk_thread; the name is read during the call.
        NonNull::new(unsafe { sys::spdk_nvmf_tgt_get_transport(self.tgt.as_ptr(), name.as_ptr()) })
    }

    /// Of the target: one listener less.
    fn stop_listen(&self, address: NvmfAddress) {
        // SAFETY: the target exists, on this spdk_thread; the address is copied.
        let rc = unsafe { sys::spdk_nvmf_tgt_stop_listen(self.tgt.as_ptr(), &address.to_c()) };
        if rc != 0 {
            tracing::warn!(%address, errno = %Errno::from_code(rc), "spdk_nvmf_tgt_stop_listen");
        }
    }

    /// Closes the target step by step. Nothing else uses it any more.
    pub(super) async fn close(mut self) {
        let mut can_destroy = true;
        self.forget();
        if !self.is_there() {
            // SPDK destroys it when it has no poll groups any more.
            for group in self.groups.drain(..) {
                group.destroy().await;
            }
            return;
        }
        self.find();
        for subsystem in &mut self.subsystems {
            if let Err(error) = subsystem.stop().await {
                tracing::error!(%error, nqn = subsystem.nqn, "an NVMe-oF subsystem does not stop");
                can_destroy = false;
            }
        }
        // Those of the subsystems point to those of the target, which go after them.
        let mut listeners = Vec::new();
        for subsystem in &mut self.subsystems {
            for address in subsystem.listeners.clone() {
                match subsystem.remove_listener(address).await {
                    Ok(()) => {}
                    // A JSON-RPC method has done it.
                    Err(error) if error.errno() == Some(Errno::ENOENT) => continue,
                    Err(error) => {
                        tracing::error!(%error, "a listener of an NVMe-oF subsystem stays");
                        can_destroy = false;
                    }
                }
                if !subsystem.is_discovery {
                    listeners.push(address);
                }
            }
        }
        listeners
            .into_iter()
            .for_each(|address| self.stop_listen(address));
        // A connection that was accepted just now is on its way to its poll group, by a message. These come
        // after it.
        let passed = match self.tgt.pause_polling().await {
            Ok(()) => self.tgt.resume_polling().await,
            error => error,
        };
        if let Err(error) = passed {
            tracing::error!(%error, "the poll groups of an NVMe-oF target are leaked");
            return;
        }
        for group in self.groups.drain(..) {
            group.destroy().await;
        }
        if !can_destroy || !self.is_there() {
            return;
        }
        self.forget();
        for subsystem in &mut self.subsystems {
            if let Err(error) = subsystem.destroy().await {
                tracing::error!(%error, nqn = subsystem.nqn, "an NVMe-oF subsystem is leaked");
                return;
            }
        }
        if !self.is_there() {
            return;
        }
        self.remove_referrals();
        if let Err(error) = self.tgt.destroy().await {
            tracing::error!(%error, "an NVMe-oF target was not destroyed");
        }
    }
}

/// What a target without a transport refuses with.
pub(super) fn no_transport() -> Fault {
    Fault::invalid("the target has no TCP transport; add one with `add_transport`")
}
