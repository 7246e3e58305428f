//! Bdevs that go under I/O and changes of their subsystem.

use std::pin::pin;

use serde_json::{Value, json};
use spdk::Bdev;
use spdk::bdev::ResetStat;
use spdk::nvmf::serve;
use spdk_tests::nvmf::program::address;
use spdk_tests::poll_once;
use spdk_tests::wait::within;

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
