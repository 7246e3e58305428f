//! Subsystems, and their pauses.

use std::fmt;

use super::core::{self, State, TargetObject, change};
use super::options::check_nsid;
use super::state::Subsystem;
use crate::chore;
use crate::error::{At, Error, ErrorKind, Result};
use crate::handle::Handle;

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
    /// SPDK itself starts a subsystem that is not started when the bdev of one of its namespaces is removed or resized. The
    /// next change of it, or another stop, stops it again.
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
    /// commands that were held can come through. SPDK itself ends a pause when the bdev of one of the namespaces is removed
    /// or resized, and so does a JSON-RPC method that changes the subsystem; the next pause or change begins it again.
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

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn target(&self) -> &Handle<TargetObject> {
        &self.target
    }

    pub(super) async fn change<T: 'static>(
        &self,
        call: &'static str,
        f: impl AsyncFnOnce(&mut Subsystem) -> Result<T> + 'static,
    ) -> Result<T> {
        let id = self.id;
        let change = async move |state: &mut State| f(state.subsystem(id, call)?).await;
        core::change(&self.target, call, change).await
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
