//! A controller of this process, connected to a target in another one.

use std::future::Future;
use std::ops::Range;
use std::rc::Rc;

use spdk::nvme::{
    NvmeController, NvmeCtrlrOpts, NvmeNamespace, NvmeQpair, NvmeRemote, TransportId,
};
use spdk::{DmaBuf, Result, SpdkAppBuilder};

use crate::nvmf::disk::{Bystanders, SPAN_BLOCKS, assert_is, buffer, filled};
use crate::nvmf::{Target, log};

/// Runs `body` in an application beside a target.
///
/// The bystanders that `body` returns are checked when the application has ended, and with it every
/// command, and they must be all that is left of SPDK's memory.
///
/// # Panics
///
/// If one of these does not hold, or the application does not end in order.
pub fn beside_target<B, F>(body: B)
where
    B: FnOnce(Rc<Target>) -> F,
    F: Future<Output = Bystanders> + 'static,
{
    beside_target_in(spdk::__testing::builder(), body);
}

/// The same in an application that is made so.
///
/// # Panics
///
/// As for [`beside_target`].
pub fn beside_target_in<B, F>(app: SpdkAppBuilder, body: B)
where
    B: FnOnce(Rc<Target>) -> F,
    F: Future<Output = Bystanders> + 'static,
{
    log::keep();
    let target = Rc::new(Target::start());
    let body = body(target.clone());
    let bystanders = app.block_on(async { Ok(body.await) });
    let bystanders = bystanders.unwrap_or_else(|error| panic!("no orderly end: {error}"));
    bystanders.check();
    bystanders.assert_last();
}

/// A controller with a queue pair and its first namespace. Places on that are in spans.
#[derive(Debug)]
pub struct Link<C = NvmeController> {
    /// The controller.
    pub controller: C,
    /// The queue pair.
    pub qpair: NvmeQpair,
    /// The namespace.
    pub ns: NvmeNamespace,
}

/// The same on another spdk_thread than that of the controller.
pub type Far = Link<NvmeRemote>;

impl Link {
    /// Connects to a target.
    pub async fn to(target: &Target) -> Link {
        Self::with(target, &NvmeCtrlrOpts::new()).await
    }

    /// Connects to a target, with options.
    pub async fn with(target: &Target, opts: &NvmeCtrlrOpts) -> Link {
        Self::at(&target.trid(), opts).await
    }

    /// Connects to what is at an address.
    pub async fn at(trid: &TransportId, opts: &NvmeCtrlrOpts) -> Link {
        let controller = NvmeController::connect(trid, Some(opts)).await;
        let controller = controller.expect("the target listens");
        let qpair = controller.alloc_io_qpair(None).await;
        let qpair = qpair.expect("the target has queue pairs");
        let ns = controller.namespace(1).expect("the target has namespace 1");
        Link {
            controller,
            qpair,
            ns,
        }
    }

    /// Connects it again, after what was there has gone.
    pub async fn renew(&mut self) {
        self.controller.reset().await.expect("the target runs");
        self.replace().await;
    }

    /// Has another queue pair for the one whose connection is gone.
    pub async fn replace(&mut self) {
        let qpair = self.controller.alloc_io_qpair(None).await;
        self.qpair = qpair.expect("the target has queue pairs");
    }

    /// Gives it up, and waits for the end.
    pub async fn close(self) {
        drop(self.ns);
        self.qpair.close().await.expect("it is of this spdk_thread");
        let detached = self.controller.detach().await;
        detached.expect("it is of this spdk_thread");
    }
}

impl Far {
    /// Has a queue pair and the namespace on the current spdk_thread.
    pub async fn of(remote: &NvmeRemote) -> Far {
        let controller = remote.clone();
        let qpair = controller.alloc_io_qpair(None).await;
        let qpair = qpair.expect("the controller is connected");
        let ns = controller.namespace(1).await;
        let ns = ns.expect("the controller is connected");
        let ns = ns.expect("the target has namespace 1");
        Link {
            controller,
            qpair,
            ns,
        }
    }
}

impl<C> Link<C> {
    /// Reads one span.
    ///
    /// # Errors
    ///
    /// As for [`NvmeNamespace::read`].
    pub async fn read(&self, buf: &mut DmaBuf, span: u64) -> Result<()> {
        let (lba, count) = (span * SPAN_BLOCKS, SPAN_BLOCKS as u32);
        self.ns.read(&self.qpair, buf, lba, count).await
    }

    /// Writes one span.
    ///
    /// # Errors
    ///
    /// As for [`NvmeNamespace::write`].
    pub async fn write(&self, buf: &DmaBuf, span: u64) -> Result<()> {
        let (lba, count) = (span * SPAN_BLOCKS, SPAN_BLOCKS as u32);
        self.ns.write(&self.qpair, buf, lba, count).await
    }

    /// Writes the pattern of a generation to some spans.
    pub async fn prepare(&self, spans: Range<u64>, generation: u64) {
        for span in spans {
            let buf = filled(span, generation);
            self.write(&buf, span).await.expect("the target runs");
        }
    }

    /// Reads some spans and compares every byte with the pattern of a generation.
    pub async fn verify(&self, spans: Range<u64>, generation: u64) {
        for span in spans {
            let mut buf = buffer();
            self.read(&mut buf, span).await.expect("the target runs");
            assert_is(&buf, span, generation);
        }
    }
}
