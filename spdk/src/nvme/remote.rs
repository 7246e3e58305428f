//! [`NvmeRemote`]: a controller for other spdk_threads than its own.

use std::fmt;
use std::sync::Arc;

use super::controller::NvmeControllerObject;
use super::link::Link;
use super::namespace::NvmeNamespace;
use super::qpair::{NvmeQpair, NvmeQpairOpts};
use super::transport_id::TransportId;
use super::view;
use crate::error::{At, Describe, Fault, Result};
use crate::handle::Handle;
use crate::local::begin;

/// A controller, for other spdk_threads than its own: they get queue pairs of it, which are theirs alone, and its
/// namespaces. Cheap to clone.
///
/// [`NvmeController::remote`](super::NvmeController::remote) makes one. It does not keep the controller attached, which the
/// queue pairs and namespaces do that came of it, wherever they are: a controller that was dropped is detached when the
/// last of these has been dropped too. When the spdk_thread of the controller ends, they are called back: commands in
/// flight on them end, and they report [`Gone::ThreadEnded`](crate::Gone::ThreadEnded) from then on.
///
/// A reset ends the commands of all spdk_threads, and their queue pairs are gone, as on its own spdk_thread; each allocates
/// another one. It waits until they have let go of the controller: for as long as one of them is not polled.
///
/// A command on a namespace of another spdk_thread takes a lock that is free, and waits in the queue while SPDK looks for
/// other namespaces: else SPDK could take it for longer than its buffer.
///
/// ```no_run
/// # async fn example(controller: spdk::nvme::NvmeController, thread: spdk::ThreadHandle) -> spdk::Result<()> {
/// let remote = controller.remote();
/// let first_byte = thread.call_async(async move || -> spdk::Result<u8> {
///     let qpair = remote.alloc_io_qpair(None).await?;
///     let ns = remote.namespace(1).await?.expect("it is active");
///     let mut buf = spdk::DmaBuf::alloc(ns.sector_size() as usize, 4096)?;
///     ns.read(&qpair, &mut buf, 0, 1).await?;
///     Ok(buf[0])
/// });
/// let first_byte = first_byte.await??;
/// # Ok(())
/// # }
/// ```
///
/// # Thread
///
/// Any: it is `Send` and `Sync`. What it gives is neither.
#[derive(Clone)]
pub struct NvmeRemote(Arc<Link>);

impl NvmeRemote {
    pub(super) fn of(link: Arc<Link>) -> Self {
        NvmeRemote(link)
    }

    /// Allocates and connects a queue pair of the current spdk_thread; without `opts`, with the options of the
    /// controller.
    ///
    /// It is as [`NvmeController::alloc_io_qpair`](super::NvmeController::alloc_io_qpair), which this is on the
    /// spdk_thread of the controller.
    ///
    /// # Errors
    ///
    /// - `ENOMEM`: the controller has no more queue pairs, or SPDK no memory. Its log says which.
    /// - [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument): the controller has no queues of
    ///   [`NvmeQpairOpts::io_queue_size`].
    /// - `EBUSY`: the controller is being formatted.
    /// - [`ErrorKind::NotConnected`](crate::ErrorKind::NotConnected): the controller refused, has failed, or is being
    ///   reset.
    /// - [`ErrorKind::Gone`](crate::ErrorKind::Gone): it is detached, or one of the two spdk_threads has ended.
    /// - [`ErrorKind::NoThread`](crate::ErrorKind::NoThread) without a current spdk_thread.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later gives the queue pair up.
    ///
    /// # Thread
    ///
    /// Any spdk_thread, which the queue pair belongs to then.
    #[doc(alias = "spdk_nvme_ctrlr_alloc_io_qpair")]
    pub async fn alloc_io_qpair(&self, opts: Option<&NvmeQpairOpts>) -> Result<NvmeQpair> {
        let at = At::new("spdk_nvme_ctrlr_alloc_io_qpair", self);
        let controller = view::attach(&self.0).await.map_err(|fault| fault.at(at))?;
        NvmeQpair::alloc(&controller, opts, at).await
    }

    /// An active namespace, by its ID, for the current spdk_thread; IDs begin with 1. `None` if there is none of this ID,
    /// or it is inactive.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::NotConnected`](crate::ErrorKind::NotConnected): the controller is being reset.
    /// - [`ErrorKind::Gone`](crate::ErrorKind::Gone): it is detached, or one of the two spdk_threads has ended.
    /// - [`ErrorKind::NoThread`](crate::ErrorKind::NoThread) without a current spdk_thread.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped leaves nothing behind.
    ///
    /// # Thread
    ///
    /// Any spdk_thread, which the namespace belongs to then.
    #[doc(alias = "spdk_nvme_ctrlr_get_ns")]
    pub async fn namespace(&self, ns_id: u32) -> Result<Option<NvmeNamespace>> {
        let at = At::new("spdk_nvme_ctrlr_get_ns", self);
        let controller = view::attach(&self.0).await.map_err(|fault| fault.at(at))?;
        self.find(&controller, ns_id)
            .await
            .map_err(|fault| fault.at(at))
    }

    async fn find(
        &self,
        controller: &Handle<NvmeControllerObject>,
        id: u32,
    ) -> Result<Option<NvmeNamespace>, Fault> {
        let ctrlr = begin(|caller| controller.get(caller))?;
        let Some(is_there) = controller.extra().side().ask_for(id) else {
            return Ok(NvmeNamespace::of(controller, ctrlr, id));
        };
        let is_there = is_there.await;
        // The seat may have gone meanwhile.
        let ctrlr = begin(|caller| controller.get(caller))?;
        match is_there {
            Ok(true) => NvmeNamespace::at(controller, ctrlr, id).map(Some),
            Ok(false) => Ok(None),
            Err(_) => Err(Fault::not_connected()),
        }
    }

    /// Where the controller is, after the last [`NvmeController::failover`](super::NvmeController::failover).
    pub fn transport_id(&self) -> TransportId {
        self.0.trid().clone()
    }
}

impl Describe for NvmeRemote {
    fn describe(&self) -> String {
        self.transport_id().describe()
    }
}

impl fmt::Debug for NvmeRemote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trid = self.transport_id().to_string();
        f.debug_tuple("NvmeRemote").field(&trid).finish()
    }
}
