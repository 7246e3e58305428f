//! SPDK's NVMe bdevs over PCI Express.
//!
//! These faults would make these tests fail:
//!
//! - A device that goes is not told of: `pulled_out_under_io`.

use futures_util::future::join_all;
use serde_json::json;
use spdk::{BdevEvent, DmaBuf, ErrorKind};
use spdk_tests::machine::{Plug, slow_down};
use spdk_tests::wait::within;
use spdk_tests::{Device, kind, pattern, poll_once, rpc};

#[spdk::test(
    no_huge = false,
    no_pci = false,
    mem_size_mb = 192,
    deadline = 120,
    bdevs(
        bdev_nvme_attach_controller(name = "Plain", trtype = "PCIe", traddr = "0000:00:04.0"),
        bdev_nvme_attach_controller(name = "Zoned", trtype = "PCIe", traddr = "0000:00:06.0"),
    )
)]
async fn data() -> spdk::Result<()> {
    let device = Device::open("Plainn1")?;
    let block = device.block();
    assert_eq!((block, device.bdev.num_blocks()), (512, 64 << 11));
    for generation in 1..3 {
        let bufs = (0..64).map(|span| {
            let mut buf = device.buffer(64).expect("DMA memory");
            pattern::fill(&mut buf, block, 64 * span, generation);
            buf
        });
        let bufs: Vec<_> = bufs.collect();
        let place = |span: usize| (span * 64 * block) as u64;
        let writes = bufs.iter().enumerate();
        let writes = writes.map(|(span, buf)| device.desc.write(&device.ch, buf, place(span)));
        for end in join_all(writes).await {
            end?;
        }
        let mut all = device.buffer(64 * 64)?; // 2 MiB
        device.desc.read(&device.ch, &mut all, 0).await?;
        pattern::assert_is(&all, block, 0, generation);
    }
    device.desc.reset(&device.ch).await?;
    device.desc.unmap(&device.ch, 0, 64 * block as u64).await?;
    let mut buf = device.buffer(64)?;
    device
        .desc
        .read(&device.ch, &mut buf, 64 * block as u64)
        .await?;
    pattern::assert_is(&buf, block, 64, 2);

    let zoned = Device::open("Zonedn1")?;
    let zones = zoned.desc.zone_info(&zoned.ch, 0, 16).await?;
    assert_eq!(zones.len(), 16);
    Ok(())
}

#[spdk::test(no_app, deadline = 120)]
fn pulled_out_under_io() {
    let app = spdk::__testing::builder()
        .no_huge(false)
        .no_pci(false)
        .mem_size_mb(128)
        .rpc_addr(&rpc::address());
    let end = app.block_on(async {
        let plug = Plug::new(2).await;
        slow_down("hot2", 0);
        let trid = plug.insert().await;
        let attach = json!({"name": "Hot", "trtype": "PCIe", "traddr": trid.address()});
        let names = rpc::call("bdev_nvme_attach_controller", attach).await;
        assert_eq!(names, json!(["Hotn1"]));
        run(&plug, "Hotn1").await;
        Ok(())
    });
    end.expect("an orderly end");
}

async fn run(plug: &Plug, name: &str) {
    let device = Device::open(name).expect("it is there");
    let mut events = device.desc.events();
    let mut bufs: Vec<DmaBuf> = (0..32)
        .map(|_| device.buffer(8).expect("DMA memory"))
        .collect();
    // SPDK's bdevs do not survive the loss of a device whose queue pairs are being connected.
    let first = device.desc.read(&device.ch, &mut bufs[0], 0).await;
    first.expect("it is there");
    slow_down("hot2", 1);
    let mut reads = Vec::new();
    for (buf, at) in bufs.iter_mut().zip(0..) {
        let mut read = Box::pin(device.desc.read(&device.ch, buf, at * 4096));
        if poll_once(read.as_mut()).is_pending() {
            reads.push(read);
        }
    }
    plug.pull();
    plug.gone().await;
    assert_eq!(
        within("the event", events.next()).await,
        Some(BdevEvent::Remove)
    );
    let mut failed = 0;
    for end in within("the reads", join_all(reads)).await {
        failed += u32::from(end.is_err());
    }
    assert!(failed > 10, "only {failed} of them were in flight");
    let gone = device.desc.read(&device.ch, &mut bufs[0], 0).await;
    assert!(
        matches!(kind(&gone), Some(ErrorKind::Gone { .. })),
        "{gone:?}"
    );
}
