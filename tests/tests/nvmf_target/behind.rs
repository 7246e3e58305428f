//! What JSON-RPC methods do to a target behind its back.

use std::pin::pin;

use serde_json::{Value, json};
use spdk::nvmf::{NvmfAddress, NvmfSubsystem, NvmfSubsystemOpts, NvmfTarget, NvmfTargetOpts};
use spdk::task::yield_now;
use spdk::{Errno, Error};
use spdk_tests::poll_once;
use spdk_tests::rpc;
use spdk_tests::wait::within;
use spdk_tests::{assert_errno, assert_kind};

use crate::{BLOCK, listen, listens, over_tcp};

const TARGET: &str = "behind";
const NQN: &str = "nqn.2016-06.io.spdk:behind";

async fn make() -> spdk::Result<(NvmfTarget, NvmfSubsystem, NvmfAddress)> {
    let target = over_tcp(&NvmfTargetOpts::new(TARGET)).await?;
    let subsystem = target
        .create_subsystem(&NvmfSubsystemOpts::new(NQN))
        .await?;
    subsystem.add_namespace("Malloc0").await?;
    let at = listen(&subsystem).await?;
    Ok((target, subsystem, at))
}

/// Calls a method as another program does.
async fn call(method: &str, params: Value) -> Value {
    within("the method", rpc::call(method, params)).await
}

/// Fails if this process deletes what its targets use, or has SPDK use a listener that is gone.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)), rpc_addr = &rpc::address())]
async fn this_process_deletes_nothing() -> spdk::Result<()> {
    let (target, subsystem, at) = make().await?;
    let port = at.socket_addr().port().to_string();
    let address =
        json!({"trtype": "TCP", "adrfam": "IPv4", "traddr": "127.0.0.1", "trsvcid": port});
    for (method, params) in [
        (
            "nvmf_subsystem_remove_listener",
            json!({"nqn": NQN, "tgt_name": TARGET, "listen_address": address}),
        ),
        (
            "nvmf_subsystem_listener_set_ana_state",
            json!({"nqn": NQN, "tgt_name": TARGET, "listen_address": address,
                "ana_state": "inaccessible"}),
        ),
        (
            "nvmf_delete_subsystem",
            json!({"nqn": NQN, "tgt_name": TARGET}),
        ),
        ("nvmf_delete_subsystem", json!({"nqn": NQN})),
        ("nvmf_delete_target", json!({"name": TARGET})),
    ] {
        let refused = within("the method", spdk::rpc::call::<Value>(method, &params)).await;
        assert_errno(refused, Errno::EBUSY);
    }
    assert_eq!(subsystem.namespaces().await?.len(), 1);
    assert_eq!(subsystem.listeners().await?, [at]);
    // What belongs to others is left to SPDK.
    let unknown = json!({"nqn": NQN, "tgt_name": "unknown"});
    let unknown = spdk::rpc::call::<Value>("nvmf_delete_subsystem", &unknown).await;
    assert_kind!(&unknown, Rpc);
    assert_ne!(
        unknown.err().and_then(|error| error.errno()),
        Some(Errno::EBUSY)
    );
    within("the close", target.close()).await
}

/// Fails if a subsystem is used that a method has deleted, or its target is not closed then.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)), rpc_addr = &rpc::address())]
async fn a_subsystem_is_deleted() -> spdk::Result<()> {
    let (target, subsystem, at) = make().await?;
    call(
        "nvmf_delete_subsystem",
        json!({"nqn": NQN, "tgt_name": TARGET}),
    )
    .await;
    assert_kind!(subsystem.namespaces().await, Gone);
    assert_kind!(subsystem.hosts().await, Gone);
    assert_kind!(subsystem.stop().await, Gone);
    assert_kind!(subsystem.stop_listening(at).await, Gone);
    assert!(target.subsystem(NQN).await?.is_none());
    // Another one takes its name.
    let again = target
        .create_subsystem(&NvmfSubsystemOpts::new(NQN))
        .await?;
    again.add_namespace("Malloc0").await?;
    listen(&again).await?;
    within("the close", target.close()).await
}

/// Fails if a listener that a method has removed keeps its subsystem, or its target.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)), rpc_addr = &rpc::address())]
async fn a_listener_is_removed() -> spdk::Result<()> {
    let target = over_tcp(&NvmfTargetOpts::new(TARGET).discovery(false)).await?;
    for removes in [true, false] {
        let subsystem = target
            .create_subsystem(&NvmfSubsystemOpts::new(NQN))
            .await?;
        let at = listen(&subsystem).await?;
        let port = at.socket_addr().port().to_string();
        let address =
            json!({"trtype": "TCP", "adrfam": "IPv4", "traddr": "127.0.0.1", "trsvcid": port});
        let params = json!({"nqn": NQN, "tgt_name": TARGET, "listen_address": address});
        call("nvmf_subsystem_remove_listener", params).await;
        assert!(!listens(at));
        if removes {
            assert_errno(subsystem.stop_listening(at).await, Errno::ENOENT);
            assert!(subsystem.listeners().await?.is_empty());
            subsystem.remove().await?;
        }
    }
    within("the close", target.close()).await
}

/// Fails if a subsystem that a method has made, or a listener, keeps the target: a bdev of it stays in use then, and an
/// address.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)), rpc_addr = &rpc::address())]
async fn a_subsystem_is_made() -> spdk::Result<()> {
    const OTHER: &str = "nqn.2016-06.io.spdk:other";
    for discovery in [true, false] {
        let target = over_tcp(&NvmfTargetOpts::new(TARGET).discovery(discovery)).await?;
        let subsystem = target
            .create_subsystem(&NvmfSubsystemOpts::new(NQN))
            .await?;
        let at = listen(&subsystem).await?;
        let port = at.socket_addr().port().to_string();
        let address =
            json!({"trtype": "TCP", "adrfam": "IPv4", "traddr": "127.0.0.1", "trsvcid": port});
        for (method, params) in [
            (
                "nvmf_create_subsystem",
                json!({"nqn": OTHER, "tgt_name": TARGET, "allow_any_host": true}),
            ),
            (
                "nvmf_subsystem_add_ns",
                json!({"nqn": OTHER, "tgt_name": TARGET, "namespace": {"bdev_name": "Malloc0"}}),
            ),
            (
                "nvmf_subsystem_add_listener",
                json!({"nqn": OTHER, "tgt_name": TARGET, "listen_address": address}),
            ),
        ] {
            call(method, params).await;
        }
        within("the close", target.close()).await?;
        assert!(!listens(at));
        let targets = rpc::get("nvmf_get_targets").await;
        assert!(!targets.to_string().contains(TARGET), "{targets}");
        let bdevs = rpc::get("bdev_get_bdevs").await;
        assert_eq!(bdevs[0]["claimed"], false, "{bdevs}");
    }
    Ok(())
}

/// Fails if a target is used that a method has deleted, or if that waits for ever for the poll groups.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)), rpc_addr = &rpc::address())]
async fn a_target_is_deleted() -> spdk::Result<()> {
    // SPDK leaks a subsystem that runs, as that of discovery would.
    let target = over_tcp(&NvmfTargetOpts::new(TARGET).discovery(false)).await?;
    let subsystem = target
        .create_subsystem(&NvmfSubsystemOpts::new(NQN))
        .await?;
    let mut delete = pin!(call("nvmf_delete_target", json!({"name": TARGET})));
    assert!(poll_once(delete.as_mut()).is_pending());
    let gone = within("the begin", async {
        loop {
            match subsystem.namespaces().await {
                Err(error) => return error,
                Ok(_) => yield_now().await,
            }
        }
    });
    assert_kind!(Err::<(), Error>(gone.await), Gone);
    assert_kind!(target.subsystem(NQN).await, Gone);
    within("the close", target.close()).await?;
    assert_eq!(within("the method", delete).await, true);
    Ok(())
}
