//! Hosts that need keys: to authenticate, and to encrypt.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use futures_util::future::join;
use serde_json::json;
use spdk::nvme::{NvmeController, NvmeCtrlrOpts};
use spdk::nvmf::{
    DhchapDigest, DhchapGroup, NvmfAddress, NvmfHostKeys, NvmfListenerOpts, NvmfSubsystemOpts,
    NvmfTarget, NvmfTargetOpts, NvmfTransportOpts, Serve,
};
use spdk::{DmaBuf, Errno, ErrorKind, ThreadHandle};
use spdk_tests::nvmf::program::address;
use spdk_tests::wait::within;
use spdk_tests::{assert_errno, assert_kind, kind, pattern};
use tempfile::TempDir;

use crate::discovery::told;
use crate::{BLOCK, HOST, attach, listen, over_tcp, trid};

const KEYS: [(&str, &str); 2] = [
    (
        "right",
        "DHHC-1:00:YSBzZWNyZXQgb2YgdGhpcnR5LXR3byBieXRlcywgMDFcKX2z:",
    ),
    (
        "wrong",
        "DHHC-1:00:YSBzZWNyZXQgb2YgdGhpcnR5LXR3byBieXRlcywgMDLmeHQq:",
    ),
];

/// Fails if a host gets in without its key, or not with it.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn hosts_authenticate() -> spdk::Result<()> {
    let _folder = keyring(&KEYS).await?;
    let server = Serve::new("Malloc0").host("nqn.2014-08.org.nvmexpress:other");
    let server = server.start(address()).await?;
    let subsystem = server.subsystem();
    let missing = NvmfHostKeys::new("missing");
    let missing = subsystem.add_host_with_keys(HOST, &missing).await;
    assert_kind!(missing, Option);
    subsystem
        .add_host_with_keys(HOST, &NvmfHostKeys::new("right").controller("wrong"))
        .await?;
    let attached = async |name: &str, key: Option<&str>, controller: Option<&str>| {
        attach_as(server.address(), server.nqn(), name, key, controller).await
    };
    assert!(!attached("None", None, None).await?, "a host without a key");
    assert!(
        !attached("Wrong", Some("wrong"), None).await?,
        "a host with a wrong key"
    );
    assert!(attached("Right", Some("right"), None).await?);
    assert!(
        !attached("Fake", Some("right"), Some("right")).await?,
        "a wrong target"
    );
    assert!(attached("Both", Some("right"), Some("wrong")).await?);
    subsystem
        .set_host_keys(HOST, &NvmfHostKeys::new("wrong"))
        .await?;
    assert!(
        !attached("Old", Some("right"), None).await?,
        "the key has changed"
    );
    assert!(attached("New", Some("wrong"), None).await?);
    let mut hosts = subsystem.hosts().await?;
    hosts.sort();
    assert_eq!(hosts, ["nqn.2014-08.org.nvmexpress:other", HOST]);
    server.close().await?;

    // Hosts offer every way; the target takes one of its own, if it has any.
    for (n, digests, groups, works) in [
        (1, [].as_slice(), DhchapGroup::ALL, false),
        (2, DhchapDigest::ALL, [].as_slice(), false),
        (
            3,
            [DhchapDigest::Sha384].as_slice(),
            [DhchapGroup::Ffdhe2048].as_slice(),
            true,
        ),
    ] {
        let opts = NvmfTargetOpts::new("ways")
            .dhchap_digests(digests.iter().copied())
            .dhchap_groups(groups.iter().copied());
        let target = over_tcp(&opts).await?;
        let opts = NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:ways");
        let subsystem = target.create_subsystem(&opts).await?;
        subsystem
            .add_host_with_keys(HOST, &NvmfHostKeys::new("right"))
            .await?;
        let at = listen(&subsystem).await?;
        let name = format!("Ways{n}");
        let attached = attach_as(at, subsystem.nqn(), &name, Some("right"), None).await?;
        assert_eq!(attached, works, "{digests:?} {groups:?}");
        target.close().await?;
    }
    Ok(())
}

/// Fails if SPDK gets the authentication of a queue that is not connected, which it may never end.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn a_host_is_refused_later() -> spdk::Result<()> {
    let _folder = keyring(&KEYS).await?;
    let server = Serve::new("Malloc0").host("nqn.2014-08.org.nvmexpress:other");
    let server = server.start(address()).await?;
    let subsystem = server.subsystem();
    let (right, wrong) = (NvmfHostKeys::new("right"), NvmfHostKeys::new("wrong"));
    subsystem.add_host_with_keys(HOST, &right).await?;
    let opts = NvmeCtrlrOpts::new()
        .hostnqn(HOST)
        .dhchap_key("right")
        .dhchap_dhgroups(&[DhchapGroup::Null]);
    let trid = trid(server.address(), server.nqn())?;
    let controller = NvmeController::connect(&trid, Some(&opts)).await?;
    let qpair = controller.alloc_io_qpair(None).await?;
    subsystem.set_host_keys(HOST, &wrong).await?;
    assert_errno(qpair.authenticate().await, Errno::EACCES);
    assert_errno(qpair.authenticate().await, Errno::ENOTCONN);
    qpair.close().await?;
    assert_errno(controller.authenticate().await, Errno::EACCES);
    let again = within("a refusal", controller.authenticate()).await;
    assert_errno(again, Errno::ENOTCONN);
    let (reset, again) = join(controller.reset(), controller.authenticate()).await;
    assert_kind!(reset, NotConnected);
    assert_errno(again, Errno::ENOTCONN);
    let again = within("a refusal", controller.authenticate()).await;
    assert_errno(again, Errno::ENOTCONN);
    controller.detach().await?;
    subsystem.set_host_keys(HOST, &right).await?;
    let controller = NvmeController::connect(&trid, Some(&opts)).await?;
    controller.authenticate().await?;
    controller.detach().await?;
    server.close().await
}

/// Fails if a connection is not encrypted, a host gets in without its key, or not with it.
///
/// These faults were put into the crate, and it failed:
///
/// - The socket listens without TLS.
/// - The target does not get the key of the host.
/// - A subsystem listens without TLS where another one listens with it.
#[spdk::test(
    cores = "0x3",
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)),
    deadline = 120,
)]
async fn hosts_use_tls() -> spdk::Result<()> {
    const NQN: &str = "nqn.2016-06.io.spdk:tls";
    let _folder = keyring(&[
        (
            "right",
            "NVMeTLSkey-1:01:MDAxMTIyMzM0NDU1NjY3Nzg4OTlhYWJiY2NkZGVlZmZwJEiQ:",
        ),
        (
            "wrong",
            "NVMeTLSkey-1:01:ZmZlZWRkY2NiYmFhOTk4ODc3NjY1NTQ0MzMyMjExMDBfBm/Y:",
        ),
        (
            "dhchap",
            "DHHC-1:00:YSBzZWNyZXQgb2YgdGhpcnR5LXR3byBieXRlcywgMDFcKX2z:",
        ),
    ])
    .await?;
    let target = NvmfTarget::create(&NvmfTargetOpts::new("tls")).await?;
    let subsystem = target
        .create_subsystem(&NvmfSubsystemOpts::new(NQN))
        .await?;
    let keys = NvmfHostKeys::tls("right");
    assert_kind!(
        subsystem.add_host_with_keys(HOST, &keys).await,
        InvalidArgument
    );
    target.add_transport(&NvmfTransportOpts::tcp()).await?;
    for wrong in ["missing", "a \"key\""] {
        let keys = NvmfHostKeys::tls(wrong);
        assert_kind!(subsystem.add_host_with_keys(HOST, &keys).await, Option);
    }
    // Of another kind.
    let refused = subsystem
        .add_host_with_keys(HOST, &NvmfHostKeys::tls("dhchap"))
        .await;
    assert_errno(refused, Errno::EINVAL);
    let lone = NvmfHostKeys::tls("right").controller("dhchap");
    assert_kind!(subsystem.add_host_with_keys(HOST, &lone).await, Option);
    subsystem.add_host_with_keys(HOST, &keys).await?;
    assert_kind!(subsystem.set_host_keys(HOST, &keys).await, Option);
    subsystem.add_namespace("Malloc0").await?;

    let (secure, plain) = (address(), address());
    let tls = NvmfListenerOpts::new().secure_channel(true);
    subsystem.listen_with(secure, &tls).await?;
    subsystem.listen(plain).await?;
    subsystem.start().await?;
    let opts = NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:open").allow_any_host(true);
    let open = target.create_subsystem(&opts).await?;
    assert_kind!(open.listen(secure).await, InvalidArgument);
    assert_kind!(open.listen_with(address(), &tls).await, InvalidArgument);
    open.allow_any_host(false).await?;
    assert_kind!(open.listen_with(plain, &tls).await, InvalidArgument);
    // What was refused has left nothing behind.
    open.listen_with(secure, &tls).await?;
    open.stop_listening(secure).await?;

    let thread = ThreadHandle::on_core("host", 1).await?;
    let host = thread.call_async(async move || {
        let opts = || NvmeCtrlrOpts::new().hostnqn(HOST);
        let encrypted = with_data(secure, NQN, &opts().tls_psk("right")).await?;
        assert!(encrypted);
        for (at, opts) in [
            (secure, opts().tls_psk("wrong")),
            (secure, opts()),
            (plain, opts().tls_psk("right")),
        ] {
            let refused = within("a refusal", with_data(at, NQN, &opts)).await;
            let told = matches!(kind(&refused), Some(ErrorKind::NotConnected { .. }));
            assert!(told, "{opts:?}: {refused:?}");
        }
        with_data(secure, NQN, &opts().tls_psk("right")).await
    });
    host.await??;
    for (port, _, requires) in told(plain, HOST).await? {
        let is_secure = port == secure.socket_addr().port().to_string();
        assert_eq!(requires, is_secure, "port {port}");
    }

    // Both ways to authenticate, one in the other.
    subsystem.remove_host(HOST).await?;
    let keys = NvmfHostKeys::new("dhchap").psk("right");
    subsystem.add_host_with_keys(HOST, &keys).await?;
    let host = thread.call_async(async move || {
        let opts = || NvmeCtrlrOpts::new().hostnqn(HOST).tls_psk("right");
        assert!(with_data(secure, NQN, &opts().dhchap_key("dhchap")).await?);
        let refused = with_data(secure, NQN, &opts()).await;
        assert_kind!(refused, NotConnected);
        Ok::<_, spdk::Error>(())
    });
    host.await??;
    thread.exit().await?;
    target.close().await
}

/// A folder of keys that SPDK knows by their names.
async fn keyring(keys: &[(&str, &str)]) -> spdk::Result<TempDir> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in keys {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("the key is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
        let params = json!({"name": name, "path": path});
        let _: bool = spdk::rpc::call("keyring_file_add_key", &params).await?;
    }
    Ok(folder)
}

/// Connects, writes and reads; whether what comes back is what was written.
async fn with_data(at: NvmfAddress, nqn: &str, opts: &NvmeCtrlrOpts) -> spdk::Result<bool> {
    let controller = NvmeController::connect(&trid(at, nqn)?, Some(opts)).await?;
    let qpair = controller.alloc_io_qpair(None).await?;
    let ns = controller.namespace(1).expect("it has one");
    let mut buf = DmaBuf::alloc(16 * BLOCK, BLOCK)?;
    pattern::fill(&mut buf, BLOCK, 3, 1);
    ns.write(&qpair, &buf, 3, 16).await?;
    buf.fill(0);
    ns.read(&qpair, &mut buf, 3, 16).await?;
    drop(ns);
    qpair.close().await?;
    controller.detach().await?;
    Ok(pattern::check(&buf, BLOCK, 3, 1).is_ok())
}

/// Whether a controller is attached with these keys; it is detached again.
async fn attach_as(
    at: NvmfAddress,
    nqn: &str,
    name: &str,
    key: Option<&str>,
    controller: Option<&str>,
) -> spdk::Result<bool> {
    let mut params = attach(name, at, nqn);
    params["hostnqn"] = HOST.into();
    for (name, key) in [("dhchap_key", key), ("dhchap_ctrlr_key", controller)] {
        if let Some(key) = key {
            params[name] = key.into();
        }
    }
    let attached: spdk::Result<serde_json::Value> =
        spdk::rpc::call("bdev_nvme_attach_controller", &params).await;
    if attached.is_ok() {
        let params = json!({"name": name});
        let _: serde_json::Value = spdk::rpc::call("bdev_nvme_detach_controller", &params).await?;
    }
    Ok(attached.is_ok())
}
