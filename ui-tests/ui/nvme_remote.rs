//! Another spdk_thread gets an `NvmeRemote` of a controller, and keeps the queue pairs and namespaces that this gives.

use spdk::nvme::{NvmeController, NvmeNamespace, NvmeQpair, NvmeRemote};
use spdk::{Result, ThreadHandle};

fn controller(thread: &ThreadHandle, controller: NvmeController) -> Result<()> {
    thread.send(move || drop(controller.remote()))
}

async fn qpair(thread: &ThreadHandle, remote: NvmeRemote) -> Result<NvmeQpair> {
    let qpair = thread.call_async(async move || remote.alloc_io_qpair(None).await);
    qpair.await?
}

async fn namespace(thread: &ThreadHandle, remote: NvmeRemote) -> Result<Option<NvmeNamespace>> {
    let ns = thread.call_async(async move || remote.namespace(1).await);
    ns.await?
}

fn main() {}
