//! Bdevs that go under I/O and changes of their subsystem.

use std::pin::pin;
use std::time::Duration;

use serde_json::{Value, json};
use spdk::Bdev;
use spdk::bdev::ResetStat;
use spdk::nvmf::{NvmfServer, serve};
use spdk_tests::nvmf::program::address;
use spdk_tests::poll_once;
use spdk_tests::wait::{after, within};

use crate::BLOCK;
use crate::wire::Wire;

/// Until the bdev below a slow one has been read, whose answer is late.
async fn is_read(bdev: &str) -> spdk::Result<()> {
    let bdev = Bdev::find(bdev)?;
    let read = async {
        while bdev.device_stat(ResetStat::None).await?.num_read_ops == 0 {
            spdk::task::yield_now().await;
        }
        Ok(())
    };
    within("a read of the bdev", read).await
}

fn delete(slow: &str) -> impl Future<Output = spdk::Result<bool>> {
    let params = json!({"name": slow});
    async move { spdk::rpc::call("bdev_delay_delete", &params).await }
}

/// Fails if a bdev that goes during a pause, or during the removal of another one, takes its namespace with it before its
/// I/O has ended: that is never answered, and keeps its connection and the target for ever.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK),
    bdev_malloc_create(name = "Malloc1", num_blocks = 4096, block_size = BLOCK),
    bdev_delay_create(base_bdev_name = "Malloc0", name = "Slow0", avg_read_latency = 500_000, p99_read_latency = 500_000,
        avg_write_latency = 0, p99_write_latency = 0),
    bdev_delay_create(base_bdev_name = "Malloc1", name = "Slow1", avg_read_latency = 1_000_000,
        p99_read_latency = 1_000_000, avg_write_latency = 0, p99_write_latency = 0),
))]
async fn the_io_of_bdevs_that_go_is_answered() -> spdk::Result<()> {
    for is_paused in [false, true] {
        if is_paused {
            for (name, base) in [("Slow0", "Malloc0"), ("Slow1", "Malloc1")] {
                let params = json!({"name": name, "base_bdev_name": base, "avg_read_latency": 500_000,
                    "p99_read_latency": 500_000, "avg_write_latency": 0, "p99_write_latency": 0});
                let _: Value = spdk::rpc::call("bdev_delay_create", &params).await?;
                Bdev::find(base)?.device_stat(ResetStat::All).await?;
            }
        }
        let server = serve("Slow0", address()).await?;
        assert_eq!(server.subsystem().add_namespace("Slow1").await?, 2);
        let mut host = Wire::connect(&server).await;
        let pause = match is_paused {
            true => Some(server.subsystem().pause(None).await?),
            false => None,
        };
        host.reads(11, 1);
        host.reads(12, 2);
        is_read("Malloc0").await?;
        is_read("Malloc1").await?;
        let (mut first, mut second) = (pin!(delete("Slow0")), pin!(delete("Slow1")));
        assert!(poll_once(first.as_mut()).is_pending());
        assert!(poll_once(second.as_mut()).is_pending());
        let (one, host) = host.answered().await;
        let (other, host) = host.answered().await;
        assert_eq!((one, other), (Some(11), Some(12)), "paused: {is_paused}");
        assert!(within("a removal", first).await?);
        assert!(within("a removal", second).await?);
        assert!(server.subsystem().namespaces().await?.is_empty());
        drop((host, pause));
        within("the close", server.close()).await?;
    }
    Ok(())
}

/// A server whose namespace 1 SPDK begins to remove, and cannot remove before it has answered the host.
async fn removing() -> spdk::Result<(NvmfServer, Wire, impl Future<Output = spdk::Result<bool>>)> {
    let server = serve("Slow", address()).await?;
    server.subsystem().add_namespace("Malloc1").await?;
    let mut host = Wire::connect(&server).await;
    host.reads(11, 1);
    is_read("Malloc0").await?;
    let mut removal = Box::pin(delete("Slow"));
    assert!(poll_once(removal.as_mut()).is_pending());
    let goes = async {
        while Bdev::find("Slow").is_ok() {
            spdk::task::yield_now().await;
        }
        // The events of its descriptors are messages, which were sent before.
        spdk::task::yield_now().await;
        spdk::task::yield_now().await;
    };
    within("the begin of the removal", goes).await;
    Ok((server, host, removal))
}

/// Fails if a change is refused since SPDK itself goes on with the subsystem in the middle of it.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK),
    bdev_malloc_create(name = "Malloc1", num_blocks = 4096, block_size = BLOCK),
    bdev_malloc_create(name = "Malloc2", num_blocks = 4096, block_size = BLOCK),
    bdev_delay_create(base_bdev_name = "Malloc0", name = "Slow", avg_read_latency = 500_000, p99_read_latency = 500_000,
        avg_write_latency = 0, p99_write_latency = 0),
))]
async fn a_subsystem_is_changed_while_a_bdev_goes() -> spdk::Result<()> {
    let (server, host, removal) = removing().await?;
    let subsystem = server.subsystem();
    assert_eq!(subsystem.namespaces().await?.len(), 2);
    // It waits for the removal, after which number 1 is free.
    let added = within("the change", subsystem.add_namespace("Malloc2")).await?;
    assert_eq!(added, 1);
    let (id, host) = host.answered().await;
    assert_eq!(id, Some(11));
    assert!(within("the removal", removal).await?);
    drop(host);
    server.close().await
}

/// Fails if a pause ends with the change of SPDK's that it began in: its user takes it for one.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK),
    bdev_malloc_create(name = "Malloc1", num_blocks = 4096, block_size = BLOCK),
    bdev_delay_create(base_bdev_name = "Malloc0", name = "Slow", avg_read_latency = 500_000, p99_read_latency = 500_000,
        avg_write_latency = 0, p99_write_latency = 0),
))]
async fn a_subsystem_is_paused_while_a_bdev_goes() -> spdk::Result<()> {
    let (server, host, removal) = removing().await?;
    let pause = within("the pause", server.subsystem().pause(Some(2))).await?;
    let (id, mut host) = host.answered().await;
    assert_eq!(id, Some(11));
    assert!(within("the removal", removal).await?);
    host.reads(12, 2);
    after(Duration::from_millis(200)).await;
    assert!(host.is_silent(), "I/O went on during the pause");
    pause.resume().await?;
    let (id, host) = host.answered().await;
    assert_eq!(id, Some(12));
    drop(host);
    server.close().await
}
