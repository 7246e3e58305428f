//! An NVMe-oF target in a child process, as tests use it, and a host that writes to it and reads back. With a
//! transport ID as its argument, the target is the one there.
#![forbid(unsafe_code)]

use std::error::Error;

use spdk::nvme::{NvmeController, TransportId};
use spdk::testing::NvmfTarget;
use spdk::{DmaBuf, SpdkApp};

const BLOCKS: u64 = 256;

fn main() -> Result<(), Box<dyn Error>> {
    // It is there until it is dropped; before the application, as this thread is blocked until it is ready.
    let (_target, trid) = match std::env::args().nth(1) {
        Some(trid) => (None, TransportId::parse(&trid)?),
        None => {
            let target = NvmfTarget::start()?;
            let trid = target.trid().clone();
            (Some(target), trid)
        }
    };
    SpdkApp::builder()
        .name("nvmf_child")
        .no_huge(true)
        .no_pci(true)
        .mem_size_mb(512)
        .disable_cpumask_locks(true)
        .block_on(async move { verify(&trid).await })?;
    println!("{BLOCKS} blocks verified on a target in another process");
    Ok(())
}

async fn verify(trid: &TransportId) -> spdk::Result<()> {
    let controller = NvmeController::connect(trid, None).await?;
    let qpair = controller.alloc_io_qpair(None).await?;
    let ns = controller.namespace(1).expect("the target has one");
    let mut buf = DmaBuf::alloc(ns.sector_size() as usize, 4096)?;
    for block in 0..BLOCKS {
        buf.fill(block as u8);
        ns.write(&qpair, &buf, block, 1).await?;
    }
    for block in 0..BLOCKS {
        ns.read(&qpair, &mut buf, block, 1).await?;
        assert!(buf.iter().all(|byte| *byte == block as u8), "block {block}");
    }
    drop(ns);
    qpair.close().await?;
    controller.detach().await
}
