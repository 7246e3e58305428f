//! DH-HMAC-CHAP and TLS, with keys of SPDK's keyring.
//!
//! These faults would make these tests fail:
//!
//! - A key is given back while SPDK has it: `right_keys`, under AddressSanitizer.
//! - The key of the controller is not passed on: `wrong_keys`.
//! - The pre-shared key is not passed on: `tls`.
//! - SPDK gets an authentication beside other commands: `full_queues`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use spdk::nvme::{
    DhchapDigest, DhchapGroup, NvmeController, NvmeCtrlrOpts, NvmeQpairOpts, TransportId,
};
use spdk::{DmaBuf, Errno, Error, ErrorKind};
use spdk_tests::kind;
use spdk_tests::nvme::Link;
use spdk_tests::nvmf::{Target, free_port};
use tempfile::TempDir;

const NQN: &str = "nqn.2016-06.io.spdk:auth";
const HOST: &str = "nqn.2016-06.io.spdk:host";
/// Secrets of 32 bytes with their CRC, as `nvme gen-dhchap-key` makes them.
const KEYS: [(&str, &str); 3] = [
    (
        "host",
        "DHHC-1:00:HyYtNDtCSVBXXmVsc3qBiI+WnaSrsrnAx87V3OPq8fiW2ACC:",
    ),
    (
        "target",
        "DHHC-1:00:PkVMU1phaG92fYSLkpmgp661vMPK0djf5u30+wIJEBeV+HgA:",
    ),
    (
        "other",
        "DHHC-1:00:XWRrcnmAh46VnKOqsbi/xs3U2+Lp8Pf+BQwTGiEoLzaKkl+y:",
    ),
];

/// Calls that put the keys of a folder into a keyring.
fn keyring(folder: &Path, keys: &[(&str, &str)]) -> Vec<Value> {
    let calls = keys.iter().map(|(name, text)| {
        let path = folder.join(name);
        fs::write(&path, text).expect("the key is written");
        // SPDK refuses keys that others can read.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("our own file");
        json!({"method": "keyring_file_add_key", "params": {"name": name, "path": path}})
    });
    calls.collect()
}

/// A subsystem that this host has to authenticate itself to.
fn guarded(target: &Target, folder: &Path) -> TransportId {
    for call in keyring(folder, &KEYS) {
        let method = call["method"].as_str().expect("a method");
        target.rpc(method, call["params"].clone());
    }
    target.rpc("nvmf_create_subsystem", json!({"nqn": NQN}));
    let listen = json!({"nqn": NQN, "listen_address": {"trtype": "TCP", "adrfam": "IPv4",
        "traddr": "127.0.0.1", "trsvcid": target.port().to_string()}});
    target.rpc("nvmf_subsystem_add_listener", listen);
    target.rpc(
        "nvmf_subsystem_add_host",
        json!({"nqn": NQN, "host": HOST, "dhchap_key": "host", "dhchap_ctrlr_key": "target"}),
    );
    add_disk(target, "Guarded");
    target.trid_of(NQN)
}

fn add_disk(target: &Target, name: &str) {
    let disk = json!({"name": name, "num_blocks": 64, "block_size": 4096});
    target.rpc("bdev_malloc_create", disk);
    let add = json!({"nqn": NQN, "namespace": {"bdev_name": name, "nsid": 1}});
    target.rpc("nvmf_subsystem_add_ns", add);
}

/// Keys as TLS takes them: 32 characters with their CRC.
const PSKS: [(&str, &str); 2] = [
    (
        "psk",
        "NVMeTLSkey-1:01:MDAxMTIyMzM0NDU1NjY3Nzg4OTlhYWJiY2NkZGVlZmZwJEiQ:",
    ),
    (
        "wrong",
        "NVMeTLSkey-1:01:ZmZlZWRkY2NiYmFhOTk4ODc3NjY1NTQ0MzMyMjExMDBfBm/Y:",
    ),
];

/// A subsystem that listens on a port of its own, with TLS and without anything else.
fn encrypted(target: &Target, folder: &Path) -> TransportId {
    let port = free_port().to_string();
    for call in keyring(folder, &PSKS) {
        let method = call["method"].as_str().expect("a method");
        target.rpc(method, call["params"].clone());
    }
    target.rpc("nvmf_create_subsystem", json!({"nqn": NQN}));
    let listen = json!({"nqn": NQN, "secure_channel": true, "listen_address": {"trtype": "TCP",
        "adrfam": "IPv4", "traddr": "127.0.0.1", "trsvcid": port}});
    target.rpc("nvmf_subsystem_add_listener", listen);
    let host = json!({"nqn": NQN, "host": HOST, "psk": "psk"});
    target.rpc("nvmf_subsystem_add_host", host);
    add_disk(target, "Encrypted");
    TransportId::tcp("127.0.0.1", &port, NQN).expect("an address of TCP")
}

#[spdk::test(no_app, deadline = 60)]
fn tls() {
    let keyring = |folder: &Path| keyring(folder, &PSKS);
    run_with(encrypted, keyring, |trid| async move {
        let opts = host().tls_psk("psk");
        let link = Link::at(&trid, &opts).await;
        link.prepare(0..4, 1).await;
        link.verify(0..4, 1).await;
        link.close().await;
        for opts in [host(), host().tls_psk("wrong")] {
            let start = Instant::now();
            let refused = NvmeController::connect(&trid, Some(&opts)).await;
            let told = matches!(kind(&refused), Some(ErrorKind::NotConnected { .. }));
            assert!(told, "{refused:?}");
            let took = start.elapsed();
            assert!(took < Duration::from_secs(20), "{took:?}");
        }
    });
}

fn run<F: Future<Output = ()> + 'static>(body: impl FnOnce(TransportId) -> F) {
    run_with(guarded, |folder| keyring(folder, &KEYS), body);
}

fn run_with<F: Future<Output = ()> + 'static>(
    subsystem: fn(&Target, &Path) -> TransportId,
    keyring: fn(&Path) -> Vec<Value>,
    body: impl FnOnce(TransportId) -> F,
) {
    let target = Target::start();
    let folder: TempDir = tempfile::tempdir().expect("a temporary folder");
    let trid = subsystem(&target, folder.path());
    let config =
        json!({"subsystems": [{"subsystem": "keyring", "config": keyring(folder.path())}]});
    let body = body(trid);
    let app = spdk::__testing::builder().json_data(config.to_string());
    app.block_on(async {
        body.await;
        Ok(())
    })
    .expect("an orderly end");
}

fn host() -> NvmeCtrlrOpts {
    NvmeCtrlrOpts::new().hostnqn(HOST)
}

#[spdk::test(no_app, deadline = 60)]
fn right_keys() {
    run(|trid| async move {
        for opts in [
            host().dhchap_key("host"),
            host().dhchap_key("host").dhchap_ctrlr_key("target"),
            host()
                .dhchap_key("host")
                .dhchap_digests(&[DhchapDigest::Sha512])
                .dhchap_dhgroups(&[DhchapGroup::Ffdhe2048]),
        ] {
            let controller = NvmeController::connect(&trid, Some(&opts)).await;
            let controller = controller.expect("the keys are right");
            let qpair = controller.alloc_io_qpair(None).await;
            let qpair = qpair.expect("the keys are right");
            controller.authenticate().await.expect("the keys are right");
            qpair.authenticate().await.expect("the keys are right");
            assert!(qpair.is_connected());
            qpair.close().await.expect("it is of this spdk_thread");
            controller.reset().await.expect("the keys are right");
            controller
                .detach()
                .await
                .expect("it is of this spdk_thread");
        }
    });
}

/// With more commands than a queue has places, SPDK keeps the rest until some have ended.
#[spdk::test(no_app, deadline = 60)]
fn full_queues() {
    run(|trid| async move {
        let opts = host()
            .dhchap_key("host")
            .dhchap_dhgroups(&[DhchapGroup::Null])
            .admin_timeout_ms(20_000);
        let controller = NvmeController::connect(&trid, Some(&opts)).await;
        let controller = controller.expect("the keys are right");
        let small = NvmeQpairOpts::new().io_queue_size(8).io_queue_requests(32);
        let qpair = controller.alloc_io_qpair(Some(&small)).await;
        let qpair = qpair.expect("the keys are right");
        let ns = controller.namespace(1).expect("the target has one");
        for depth in [1, 7, 8, 32, 100] {
            let mut bufs: Vec<_> = (0..depth)
                .map(|_| DmaBuf::alloc(4096, 4096).expect("memory"))
                .collect();
            let reads = bufs.iter_mut().map(|buf| ns.read(&qpair, buf, 0, 1));
            let mut before: Vec<_> = reads.collect();
            let after = join_all(before.split_off(depth / 2 + 1));
            let work = join(join_all(before), join(qpair.authenticate(), after));
            let (before, (end, after)) = work.await;
            end.expect("the keys are right");
            for read in before.into_iter().chain(after) {
                read.expect("the keys are right");
            }
            assert!(qpair.is_connected());
        }
        for depth in [1, 27, 28, 100] {
            let ask = || controller.get_feature(0x07, 0, 1, None);
            let asks = join_all((0..depth).map(|_| ask()));
            let twice = join(controller.authenticate(), controller.authenticate());
            let (asks, (ends, late)) = join(asks, join(twice, ask())).await;
            ends.0.expect("the keys are right");
            ends.1.expect("the keys are right");
            for ask in asks.into_iter().chain([late]) {
                ask.expect("the keys are right");
            }
            assert!(!controller.has_failed());
        }
        drop(ns);
        qpair.close().await.expect("it is of this spdk_thread");
        let detached = controller.detach().await;
        detached.expect("it is of this spdk_thread");
    });
}

#[spdk::test(no_app, deadline = 60)]
fn wrong_keys() {
    run(|trid| async move {
        for opts in [
            host(),
            host().dhchap_key("other"),
            // The target shows the wrong one.
            host().dhchap_key("host").dhchap_ctrlr_key("other"),
        ] {
            let refused = NvmeController::connect(&trid, Some(&opts)).await;
            let told = matches!(kind(&refused), Some(ErrorKind::NotConnected { .. }));
            assert!(told, "{refused:?}");
        }
        for opts in [
            host().dhchap_key("missing"),
            host().dhchap_ctrlr_key("target"),
            host().dhchap_key("host").dhchap_digests(&[]),
            host().tls_psk("missing"),
        ] {
            let refused = NvmeController::connect(&trid, Some(&opts)).await;
            let told = matches!(kind(&refused), Some(ErrorKind::Option { .. }));
            assert!(told, "{refused:?}");
        }
    });
}

#[spdk::test(no_app, deadline = 60)]
fn without_keys() {
    let target = Target::start();
    let trid = target.trid();
    let app = spdk::__testing::builder();
    app.block_on(async move {
        let controller = NvmeController::connect(&trid, None).await?;
        let qpair = controller.alloc_io_qpair(None).await?;
        let errno = |end: spdk::Result<()>| end.as_ref().err().and_then(Error::errno);
        assert_eq!(errno(controller.authenticate().await), Some(Errno::ENOKEY));
        assert_eq!(errno(qpair.authenticate().await), Some(Errno::ENOKEY));
        drop(qpair);
        controller.detach().await
    })
    .expect("an orderly end");
}
