//! Stores that SPDK's `spdk_tgt` loads, and the reverse.

use std::ops::Range;
use std::path::Path;

use serde_json::{Value, json};
use spdk::lvol::LvolStore;
use spdk::{Bdev, DmaBuf, Errno};
use spdk_tests::nvmf::program::Program;
use spdk_tests::nvmf::{core, free_port};
use spdk_tests::{pattern, rpc, until};

use crate::{BYTES, CLUSTER, UNIT, assert_errno, check, file, names, new_file, opts, thin, write};

/// What the target shares.
const NQN: &str = "nqn.2026-11.io.spdk:lvol";

/// `spdk_tgt`, whose bdevs are those of its RPC.
struct Target {
    program: Program,
    socket: String,
}

impl Target {
    async fn start() -> Target {
        let socket = format!("{}.tgt", rpc::address());
        let program = Program::start(
            "spdk_tgt",
            &[
                ["-r", &socket, "-m", &core()].as_slice(),
                // The pools of its iSCSI target take more than half of that.
                &["-s", "1024", "--no-huge", "--no-pci"],
                &["--disable-cpumask-locks", "--num-trace-entries", "0"],
            ]
            .concat(),
        );
        until("the socket of spdk_tgt", || Path::new(&socket).exists()).await;
        let target = Target { program, socket };
        let mut tries = 0;
        while let Err(error) = target.call("framework_wait_init", Value::Null).await {
            tries += 1;
            assert!(tries < 200, "{error}\n{}", target.program.said());
        }
        target
    }

    async fn call(&self, method: &str, params: Value) -> Result<Value, String> {
        rpc::try_call_at(self.socket.clone(), method, params).await
    }

    async fn get(&self, method: &str, params: Value) -> Value {
        match self.call(method, params).await {
            Ok(answer) => answer,
            Err(error) => panic!("{method}: {error}\n{}", self.program.said()),
        }
    }

    async fn load(&self) {
        let aio = json!({"name": "A", "filename": file(), "block_size": UNIT});
        self.get("bdev_aio_create", aio).await;
        self.get("bdev_wait_for_examine", Value::Null).await;
    }

    /// With what it has in memory on its device.
    async fn stop(mut self) {
        let stop = json!({"sig_name": "SIGTERM"});
        self.get("spdk_kill_instance", stop).await;
        let status = self.program.ends().await;
        assert!(status.success(), "{status}\n{}", self.program.said());
    }
}

/// A UUID as SPDK writes it.
fn text(uuid: [u8; 16]) -> String {
    let hex: String = uuid.iter().map(|byte| format!("{byte:02x}")).collect();
    let [a, b, c, d, e] = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| &hex[range]);
    format!("{a}-{b}-{c}-{d}-{e}")
}

/// What the target reads from a volume that is read-only: it copies that to an aio bdev, whose file has the bytes then.
async fn copied(target: &Target, volume: &str, clusters: u64) -> Vec<u8> {
    let copy = format!("{}.copy", file());
    let made = std::fs::File::create(&copy).and_then(|file| file.set_len(clusters * BYTES));
    assert!(made.is_ok(), "{made:?}");
    let aio = json!({"name": "Copy", "filename": copy, "block_size": UNIT});
    target.get("bdev_aio_create", aio).await;
    let params = json!({"src_lvol_name": volume, "dst_bdev_name": "Copy"});
    let started = target.get("bdev_lvol_start_shallow_copy", params).await;
    loop {
        let params = json!({"operation_id": started["operation_id"]});
        let told = target.get("bdev_lvol_check_shallow_copy", params).await;
        match told["state"].as_str() {
            Some("complete") => break,
            Some("in progress") => {}
            _ => panic!("{told:#}"),
        }
    }
    target.get("bdev_aio_delete", json!({"name": "Copy"})).await;
    let bytes = std::fs::read(&copy).expect("the copy");
    let _ = std::fs::remove_file(&copy);
    bytes
}

/// Has the target write what bdevs are there, which it shares over TCP meanwhile: so many clusters from one on.
async fn written_by(target: &Target, clusters: Range<u64>, generation: u64) -> spdk::Result<()> {
    let to = json!({
        "trtype": "TCP", "adrfam": "IPv4", "traddr": "127.0.0.1", "trsvcid": free_port().to_string(),
    });
    let subsystem = json!({"nqn": NQN, "allow_any_host": true});
    target.get("nvmf_create_subsystem", subsystem).await;
    let namespace = json!({"nqn": NQN, "namespace": {"bdev_name": "theirs/lvol"}});
    target.get("nvmf_subsystem_add_ns", namespace).await;
    let listener = json!({"nqn": NQN, "listen_address": to});
    target.get("nvmf_subsystem_add_listener", listener).await;

    let mut host = to;
    host["name"] = "Theirs".into();
    host["subnqn"] = NQN.into();
    spdk::rpc::call::<Value>("bdev_nvme_attach_controller", &host).await?;
    let desc = Bdev::find("Theirsn1")?.open(true)?;
    let channel = desc.get_io_channel()?;
    let first = clusters.start * CLUSTER;
    let bytes = (clusters.end - clusters.start) * BYTES;
    let mut buf = DmaBuf::alloc(bytes as usize, 4096)?;
    pattern::fill(&mut buf, UNIT, first, generation);
    desc.write(&channel, &buf, first * UNIT as u64).await?;
    drop((channel, desc));
    spdk::rpc::call::<Value>("bdev_nvme_detach_controller", &json!({"name": "Theirs"})).await?;
    target
        .get("nvmf_delete_subsystem", json!({"nqn": NQN}))
        .await;
    Ok(())
}

/// Fails if `spdk_tgt` does not find in a store of ours what we wrote, or we not in it what it has changed.
#[spdk::test(deadline = 120, bdevs(
    bdev_set_options(bdev_auto_examine = false),
    bdev_aio_create(name = "A", filename = new_file(), block_size = UNIT),
))]
async fn spdk_tgt_loads_our_store() -> spdk::Result<()> {
    let store = LvolStore::init("A", "ours", Some(&opts())).await?;
    let lvol = store.create_lvol("lvol", 3 * BYTES, None).await?;
    let ch = store.alloc_io_channel()?;
    write(&lvol, &ch, 0, 3 * CLUSTER, 1).await?;
    let snapshot = lvol.create_snapshot("snapshot").await?;
    write(&lvol, &ch, CLUSTER, CLUSTER, 2).await?;
    lvol.rename("renamed").await?;
    let large = store.create_lvol("thin", 50 * BYTES, Some(&thin())).await?;
    let (free, uuid) = (store.free_clusters()?, store.uuid());
    let uuids = [&lvol, &snapshot, &large].map(|lvol| lvol.uuid().map(text));
    drop((ch, lvol, snapshot, large));
    store.unload().await?;
    spdk::rpc::call::<Value>("bdev_aio_delete", &json!({"name": "A"})).await?;

    let target = Target::start().await;
    target.load().await;
    let told = target.get("bdev_lvol_get_lvstores", Value::Null).await;
    assert_eq!(
        [
            &told[0]["name"],
            &told[0]["uuid"],
            &told[0]["free_clusters"],
            &told[0]["cluster_size"]
        ],
        [
            &json!("ours"),
            &json!(text(uuid)),
            &json!(free),
            &json!(BYTES)
        ],
        "{told:#}"
    );
    let told = target.get("bdev_lvol_get_lvols", Value::Null).await;
    let lvols = told.as_array().cloned().unwrap_or_default();
    for (name, uuid) in ["ours/renamed", "ours/snapshot", "ours/thin"]
        .iter()
        .zip(&uuids)
    {
        let found = lvols
            .iter()
            .find(|lvol| lvol["alias"].as_str() == Some(name));
        let found = found.unwrap_or_else(|| panic!("no {name}: {told:#}"));
        assert_eq!(found["uuid"].as_str(), uuid.as_deref(), "{name}");
    }
    let bytes = copied(&target, "ours/snapshot", 3).await;
    pattern::assert_is(&bytes, UNIT, 0, 1);

    // What it changes is ours again.
    let rename = json!({"old_name": "ours/renamed", "new_name": "theirs"});
    target.get("bdev_lvol_rename", rename).await;
    let rename = json!({"old_name": "ours", "new_name": "theirs too"});
    target.get("bdev_lvol_rename_lvstore", rename).await;
    target
        .get("bdev_lvol_delete", json!({"name": "theirs too/thin"}))
        .await;
    target.stop().await;

    let aio = json!({"name": "A", "filename": file(), "block_size": UNIT});
    spdk::rpc::call::<Value>("bdev_aio_create", &aio).await?;
    let store = LvolStore::load("A").await;
    let _ = std::fs::remove_file(file());
    let store = store?;
    assert_eq!((store.name().as_str(), store.uuid()), ("theirs too", uuid));
    assert_eq!(names(&store).await?, ["snapshot", "theirs"]);
    let lvol = store.open_lvol("theirs").await?;
    assert_eq!(lvol.uuid().map(text), uuids[0]);
    let ch = store.alloc_io_channel()?;
    check(&lvol, &ch, 0, CLUSTER, 1).await?;
    check(&lvol, &ch, CLUSTER, CLUSTER, 2).await?;
    check(&lvol, &ch, 2 * CLUSTER, CLUSTER, 1).await
}

/// Fails if we do not find in a store of `spdk_tgt` what it has, or it not in it what we changed.
#[spdk::test(deadline = 120, bdevs(
    bdev_set_options(bdev_auto_examine = false),
    bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT),
))]
async fn we_load_a_store_of_spdk_tgt() -> spdk::Result<()> {
    new_file();
    let target = Target::start().await;
    target.load().await;
    let params = json!({"bdev_name": "A", "lvs_name": "theirs", "cluster_sz": BYTES});
    target.get("bdev_lvol_create_lvstore", params).await;
    let params = json!({"lvs_name": "theirs", "lvol_name": "lvol", "size_in_mib": 1});
    let uuid = target.get("bdev_lvol_create", params).await;
    let tcp = json!({"trtype": "TCP"});
    target.get("nvmf_create_transport", tcp).await;
    written_by(&target, 0..16, 3).await?;
    let params = json!({"lvol_name": "theirs/lvol", "snapshot_name": "snapshot"});
    target.get("bdev_lvol_snapshot", params).await;
    written_by(&target, 5..7, 4).await?;
    target.stop().await;

    let aio = json!({"name": "A", "filename": file(), "block_size": UNIT});
    spdk::rpc::call::<Value>("bdev_aio_create", &aio).await?;
    let store = LvolStore::load("A").await?;
    assert_eq!(store.name(), "theirs");
    assert_eq!(names(&store).await?, ["lvol", "snapshot"]);
    let lvol = store.open_lvol("lvol").await?;
    assert_eq!(lvol.uuid().map(text).as_deref(), uuid.as_str());
    let ch = store.alloc_io_channel()?;
    check(&lvol, &ch, 0, 5 * CLUSTER, 3).await?;
    check(&lvol, &ch, 5 * CLUSTER, 2 * CLUSTER, 4).await?;
    check(&lvol, &ch, 7 * CLUSTER, 9 * CLUSTER, 3).await?;
    let snapshot = store.open_lvol("snapshot").await?;
    check(&snapshot, &ch, 0, 16 * CLUSTER, 3).await?;
    snapshot.close().await?;
    write(&lvol, &ch, 0, 16 * CLUSTER, 1).await?;
    assert_errno(store.destroy_lvol("lvol").await, Errno::EBUSY);
    let ours = lvol.create_snapshot("ours").await?;
    drop((ch, lvol, ours));
    store.unload().await?;
    spdk::rpc::call::<Value>("bdev_aio_delete", &json!({"name": "A"})).await?;

    let target = Target::start().await;
    target.load().await;
    let bytes = copied(&target, "theirs/ours", 16).await;
    pattern::assert_is(&bytes, UNIT, 0, 1);
    target.stop().await;
    let _ = std::fs::remove_file(file());
    Ok(())
}
