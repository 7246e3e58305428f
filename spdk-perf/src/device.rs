//! What a job does its I/O on.

use spdk::nvme::{NvmeController, NvmeCtrlrOpts, NvmeNamespace, NvmeQpair, NvmeQpairOpts};
use spdk::{BdevDesc, DmaBuf, IoChannel};

use crate::plan::{Spec, Target};
use crate::refusal::Refusal;

/// A bdev, or a namespace.
pub(crate) enum Device {
    Bdev(BdevDesc, IoChannel),
    /// A namespace, and the queue pair for it.
    Nvme(NvmeNamespace, NvmeQpair),
}

impl Device {
    /// Opens that of a job; on the connection, if it is a namespace.
    pub(crate) async fn open(
        spec: &Spec,
        controller: Option<&NvmeController>,
    ) -> Result<Self, Refusal> {
        match (&spec.target, controller) {
            (Target::Namespace { id, .. }, Some(controller)) => {
                // One write to a doorbell for all that a poll is followed by, as in SPDK's own programs.
                let opts = NvmeQpairOpts::new().delay_cmd_submit(true);
                let qpair = controller.alloc_io_qpair(Some(&opts)).await?;
                let ns = controller.namespace(*id).ok_or_else(|| {
                    let others = controller.active_namespaces();
                    let name = controller.transport_id().to_string();
                    Refusal::UnknownNamespace {
                        name,
                        id: *id,
                        others,
                    }
                })?;
                Ok(Device::Nvme(ns, qpair))
            }
            _ => {
                let desc = BdevDesc::open(&spec.name, spec.workload.writes())?;
                let channel = desc.get_io_channel()?;
                Ok(Device::Bdev(desc, channel))
            }
        }
    }

    pub(crate) async fn read(&self, buf: &mut DmaBuf, at: u64, blocks: u64) -> spdk::Result<()> {
        match self {
            Device::Bdev(desc, channel) => desc.read_blocks(channel, buf, at, blocks).await,
            Device::Nvme(ns, qpair) => ns.read(qpair, buf, at, blocks as u32).await,
        }
    }

    pub(crate) async fn write(&self, buf: &DmaBuf, at: u64, blocks: u64) -> spdk::Result<()> {
        match self {
            Device::Bdev(desc, channel) => desc.write_blocks(channel, buf, at, blocks).await,
            Device::Nvme(ns, qpair) => ns.write(qpair, buf, at, blocks as u32).await,
        }
    }
}

/// Connects to the controller of a job on this core.
///
/// A controller belongs to one core, so each has a connection of its own; those beyond the first have a host
/// name of their own, by which the target tells them apart.
pub(crate) async fn connect(spec: &Spec) -> spdk::Result<Option<NvmeController>> {
    let Target::Namespace { trid, .. } = &spec.target else {
        return Ok(None);
    };
    let opts = match spec.share.0 {
        0 => NvmeCtrlrOpts::new(),
        share => NvmeCtrlrOpts::new().hostnqn(&format!("nqn.2024-01.io.spdk:spdk-perf-{share}")),
    };
    NvmeController::connect(trid, Some(&opts)).await.map(Some)
}
