//! Targets of this crate, with SPDK's own programs as their hosts: over TCP on the loopback, each host in a
//! process of its own.
#![allow(missing_docs)]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::json;
use spdk::nvmf::{
    AnaState, NvmfAddress, NvmfNamespaceOpts, NvmfServer, NvmfSubsystemOpts, NvmfTarget,
    NvmfTargetOpts, NvmfTransportOpts, Serve, serve,
};
use spdk::{Errno, ErrorKind, SpdkThread, ThreadHandle};
use spdk_tests::wait::after;
use spdk_tests::{Device, kind, poll_once, until};
use tempfile::TempDir;

const BLOCK: usize = 4096;
const HOST: &str = "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555";

/// An address that nobody listens at right now.
fn address() -> NvmfAddress {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of 127.0.0.1");
    listener.local_addr().expect("a bound address").into()
}

fn program(name: &str) -> PathBuf {
    let nvmf_tgt = spdk_tests::nvmf::nvmf_tgt();
    let program = nvmf_tgt.with_file_name(name);
    assert!(program.is_file(), "{} is not there", program.display());
    program
}

/// A host: `bdevperf`, which writes, reads back and compares. Killed on drop.
struct Host {
    child: Child,
    folder: TempDir,
}

impl Host {
    fn start(nqn: &str, host: Option<&str>, address: NvmfAddress, seconds: u32) -> Host {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let SocketAddr::V4(at) = address.socket_addr() else {
            panic!("{address} is not of IPv4");
        };
        let mut params = json!({
            "name": "Nvme0", "trtype": "TCP", "adrfam": "IPv4", "subnqn": nqn,
            "traddr": at.ip().to_string(), "trsvcid": at.port().to_string(),
        });
        if let Some(host) = host {
            params["hostnqn"] = host.into();
        }
        let config = json!({"subsystems": [{"subsystem": "bdev", "config": [
            {"method": "bdev_nvme_attach_controller", "params": params},
        ]}]});
        let path = folder.path().join("config.json");
        fs::write(&path, config.to_string()).expect("the configuration is written");
        let log = fs::File::create(folder.path().join("log")).expect("the log");
        let child = Command::new(program("bdevperf"))
            .args([
                "--no-huge",
                "--no-pci",
                "-s",
                "512",
                "--disable-cpumask-locks",
            ])
            .args(["--num-trace-entries", "0", "-q", "16", "-o", "4096"])
            .args(["-w", "verify", "-t", &seconds.to_string()])
            .args(["-m", &spdk_tests::nvmf::core()])
            .arg("-r")
            .arg(folder.path().join("rpc.sock"))
            .arg("-c")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log's second descriptor"))
            .stderr(log)
            .spawn()
            .expect("bdevperf starts");
        Host { child, folder }
    }

    fn of(server: &NvmfServer, seconds: u32) -> Host {
        Host::start(server.nqn(), None, server.address(), seconds)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Until it is connected and its I/O runs.
    async fn runs(&mut self) {
        let log = self.folder.path().join("log");
        until("bdevperf to run", || {
            assert!(
                self.child.try_wait().expect("our child").is_none(),
                "{}",
                read(&log)
            );
            read(&log).contains("Running I/O")
        })
        .await;
        after(Duration::from_millis(300)).await;
    }

    async fn ends(&mut self) -> ExitStatus {
        let mut status = None;
        until("the end of bdevperf", || {
            status = self.child.try_wait().expect("our child");
            status.is_some()
        })
        .await;
        status.expect("it has ended")
    }

    async fn succeeds(mut self) {
        let status = self.ends().await;
        assert!(status.success(), "{status}\n{}", self.log());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Whether somebody listens there, as the kernel says. To connect would block the OS thread of a target
/// that has not accepted the connections before it: SPDK accepts 16 of them every 10 ms, and a listener has
/// room for 512.
fn listens(address: NvmfAddress) -> bool {
    const LISTEN: &str = "0A";
    let SocketAddr::V4(at) = address.socket_addr() else {
        panic!("{address} is not of IPv4");
    };
    let ip = u32::from_ne_bytes(at.ip().octets());
    let local = format!("{ip:08X}:{:04X}", at.port());
    let sockets = fs::read_to_string("/proc/net/tcp").expect("the sockets of the machine");
    sockets.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        fields.next() == Some(&local) && fields.nth(1) == Some(LISTEN)
    })
}

/// Until the target that served the bdev has closed, and another one can be made.
async fn closes(bdev: &str) -> NvmfServer {
    loop {
        match serve(bdev, address()).await {
            Ok(server) => return server,
            Err(error) => assert_eq!(error.errno(), Some(Errno::EEXIST), "{error}"),
        }
        spdk::task::yield_now().await;
    }
}

/// Fails if hosts cannot use what is served, if data is lost on the way, or if the target leaves something
/// behind.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn a_bdev_is_served() -> spdk::Result<()> {
    let server = serve("Malloc0", address()).await?;
    assert_eq!(server.nqn(), "nqn.2016-06.io.spdk:Malloc0");
    Host::of(&server, 1).succeeds().await;
    let at = server.address();
    assert!(listens(at));
    server.close().await?;
    assert!(!listens(at), "it listens although it is closed");
    // The name of the target and the address are free again.
    let again = serve("Malloc0", at).await?;
    Host::of(&again, 1).succeeds().await;
    drop(again);
    until("the port to close", || !listens(at)).await;
    Ok(())
}

/// Fails if a target that closes under I/O hangs, or if SPDK's objects are destroyed in the wrong order,
/// which crashes.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn a_target_goes_under_io() -> spdk::Result<()> {
    for close in [true, false] {
        let server = serve("Malloc0", address()).await?;
        let at = server.address();
        let mut host = Host::of(&server, 60);
        host.runs().await;
        match close {
            true => server.close().await?,
            false => drop(server),
        }
        until("the port to close", || !listens(at)).await;
        closes("Malloc0").await.close().await?;
    }
    Ok(())
}

/// Fails if a child process keeps the port of a closed target open.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn a_child_does_not_inherit_the_listener() -> spdk::Result<()> {
    let server = serve("Malloc0", address()).await?;
    let at = server.address();
    let mut child = Command::new("sleep").arg("60").spawn().expect("a child");
    assert!(listens(at));
    server.close().await?;
    // Its descriptors close when it runs its program, which may be a little later.
    until("the port to close", || !listens(at)).await;
    child.kill().expect("our child");
    child.wait().expect("our child");
    Ok(())
}

/// Fails if the end of an application with hosts and I/O hangs or crashes.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn an_application_ends_under_io() -> spdk::Result<()> {
    let server = serve("Malloc0", address()).await?;
    let mut host = Host::of(&server, 60);
    host.runs().await;
    // The target outlives the task, and is closed by the end of its spdk_thread.
    std::mem::forget(server);
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(5));
        drop(host);
    });
    Ok(())
}

/// Fails if a host that dies under I/O disturbs the target.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn a_host_is_killed_under_io() -> spdk::Result<()> {
    let server = serve("Malloc0", address()).await?;
    for _ in 0..3 {
        let mut host = Host::of(&server, 60);
        host.runs().await;
        drop(host); // SIGKILL
    }
    Host::of(&server, 1).succeeds().await;
    server.close().await
}

/// Fails if a pause lets I/O through or loses some, if pauses do not nest, or if a pause outlives what
/// holds it.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn pauses_nest() -> spdk::Result<()> {
    let server = serve("Malloc0", address()).await?;
    let bdev = spdk::Bdev::find("Malloc0")?;
    let mut host = Host::of(&server, 4);
    host.runs().await;
    let first = server.subsystem().pause(Some(1)).await?;
    let second = server.subsystem().pause(Some(1)).await?;
    let third = server.subsystem().pause(None).await?;
    let before = writes(&bdev).await?;
    second.resume().await?;
    third.resume().await?;
    // A change does not end the pause either.
    server.subsystem().allow_any_host(true).await?;
    let other = server.subsystem().pause(Some(2)).await;
    assert_eq!(
        other.err().and_then(|error| error.errno()),
        Some(Errno::EBUSY)
    );
    let none = server.subsystem().pause(Some(0)).await;
    assert!(matches!(kind(&none), Some(ErrorKind::Option { .. })));
    after(Duration::from_millis(200)).await;
    assert_eq!(writes(&bdev).await?, before, "I/O went on during the pause");
    drop(first);
    let mut now = before;
    while now == before {
        now = writes(&bdev).await?;
    }
    // A pause whose future is dropped ends.
    {
        let mut abandoned = pin!(server.subsystem().pause(Some(1)));
        assert!(poll_once(abandoned.as_mut()).is_pending());
    }
    host.succeeds().await;
    server.close().await
}

async fn writes(bdev: &spdk::Bdev) -> spdk::Result<u64> {
    let stat = bdev.device_stat(spdk::bdev::ResetStat::None).await?;
    Ok(stat.num_write_ops)
}

/// Fails if namespaces cannot come and go under I/O, or if options of theirs are ignored.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK),
    bdev_malloc_create(name = "Malloc1", num_blocks = 4096, block_size = BLOCK),
))]
async fn namespaces_come_and_go_under_io() -> spdk::Result<()> {
    let server = serve("Malloc0", address()).await?;
    let subsystem = server.subsystem();
    let host = Host::of(&server, 3);
    for n in 0..20 {
        let opts = NvmfNamespaceOpts::new().nsid(7).ana_group(3);
        assert_eq!(subsystem.add_namespace_with("Malloc1", &opts).await?, 7);
        let all = subsystem.namespaces().await?;
        assert_eq!(all.len(), 2, "{n}: {all:?}");
        assert_eq!(
            (all[1].nsid, all[1].bdev.as_str(), all[1].ana_group),
            (7, "Malloc1", 3)
        );
        subsystem.remove_namespace(7).await?;
        after(Duration::from_millis(20)).await;
    }
    host.succeeds().await;

    let unknown = subsystem.add_namespace("Malloc7").await;
    assert!(
        matches!(kind(&unknown), Some(ErrorKind::NoSuchBdev { .. })),
        "{unknown:?}"
    );
    let taken = subsystem
        .add_namespace_with("Malloc1", &NvmfNamespaceOpts::new().nsid(1))
        .await;
    assert!(
        matches!(kind(&taken), Some(ErrorKind::InvalidArgument { .. })),
        "{taken:?}"
    );
    let none = subsystem.remove_namespace(9).await;
    assert_eq!(none.err().and_then(|e| e.errno()), Some(Errno::ENOENT));

    // The one that the host uses.
    let mut host = Host::of(&server, 60);
    host.runs().await;
    subsystem.remove_namespace(1).await?;
    assert!(!host.ends().await.success(), "its disk was removed");
    server.close().await
}

/// Fails if the second spdk_thread gets no connection, or if the target is not closed on both.
#[spdk::test(
    cores = "0x3",
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)),
)]
async fn two_poll_groups_share_the_work() -> spdk::Result<()> {
    let other = ThreadHandle::on_core("other", 1).await?;
    let Some(app) = SpdkThread::app_thread() else {
        panic!("an application runs");
    };
    let server = Serve::new("Malloc0")
        .threads([app.clone(), other.clone()])
        .start(address())
        .await?;
    Host::of(&server, 1).succeeds().await;
    let twice = NvmfTargetOpts::new("twice").threads([app.clone(), app.clone()]);
    let twice = NvmfTarget::create(&twice).await;
    assert!(
        matches!(kind(&twice), Some(ErrorKind::InvalidArgument { .. })),
        "{twice:?}"
    );

    // The end of one of them closes the target, under I/O.
    let at = server.address();
    let mut host = Host::of(&server, 60);
    host.runs().await;
    other.exit().await?;
    until("the port to close", || !listens(at)).await;
    let late = server.subsystem().start().await;
    assert!(
        matches!(kind(&late), Some(ErrorKind::Gone { .. })),
        "{late:?}"
    );
    drop(server);

    let ended = ThreadHandle::on_core("ended", 1).await?;
    ended.clone().exit().await?;
    let refused = NvmfTarget::create(&NvmfTargetOpts::new("late").threads([app, ended])).await;
    assert!(
        matches!(kind(&refused), Some(ErrorKind::ThreadEnded { .. })),
        "{refused:?}"
    );
    Ok(())
}

/// Fails if a host gets in that may not, or if one does not that may.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn only_hosts_that_may_connect() -> spdk::Result<()> {
    let server = Serve::new("Malloc0").host(HOST).start(address()).await?;
    let (nqn, at) = (server.nqn(), server.address());
    let mut stranger = Host::start(nqn, Some("nqn.2014-08.org.nvmexpress:uuid:2"), at, 1);
    assert!(!stranger.ends().await.success(), "{}", stranger.log());
    let mut lost = Host::start("nqn.2016-06.io.spdk:unknown", Some(HOST), at, 1);
    assert!(!lost.ends().await.success(), "{}", lost.log());
    Host::start(nqn, Some(HOST), at, 1).succeeds().await;
    server.subsystem().remove_host(HOST).await?;
    let mut removed = Host::start(nqn, Some(HOST), at, 1);
    assert!(!removed.ends().await.success(), "{}", removed.log());
    let unknown = server.subsystem().remove_host(HOST).await;
    assert_eq!(unknown.err().and_then(|e| e.errno()), Some(Errno::ENOENT));
    server.subsystem().allow_any_host(true).await?;
    Host::of(&server, 1).succeeds().await;
    server.close().await
}

/// Fails if what cannot work is accepted, or ends without saying why, or leaves something behind.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn what_cannot_work_is_refused() -> spdk::Result<()> {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of 127.0.0.1");
    let at = taken.local_addr().expect("a bound address").into();
    let refused = serve("Malloc0", at).await;
    assert_eq!(
        refused.as_ref().err().and_then(|e| e.errno()),
        Some(Errno::EADDRINUSE),
        "{refused:?}"
    );
    drop(taken);
    let server = serve("Malloc0", at).await?;
    let again = server.subsystem().listen(at).await;
    assert_eq!(again.err().and_then(|e| e.errno()), Some(Errno::EEXIST));
    let zero = server
        .subsystem()
        .listen((SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).into())
        .await;
    assert!(
        matches!(kind(&zero), Some(ErrorKind::InvalidArgument { .. })),
        "{zero:?}"
    );
    let same = NvmfTarget::create(&NvmfTargetOpts::new(server.nqn())).await;
    assert_eq!(same.err().and_then(|e| e.errno()), Some(Errno::EEXIST));
    let missing = serve("Malloc7", address()).await;
    assert!(
        matches!(kind(&missing), Some(ErrorKind::NoSuchBdev { .. })),
        "{missing:?}"
    );

    let target = server.target();
    for opts in [
        NvmfSubsystemOpts::new(""),
        NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:a\0b"),
        NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:a").serial_number("a".repeat(21)),
        NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:a").model_number("a".repeat(41)),
        NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:a").max_namespaces(0),
    ] {
        let made = target.create_subsystem(&opts).await;
        assert!(
            matches!(kind(&made), Some(ErrorKind::Option { .. })),
            "{made:?}"
        );
    }
    for opts in [
        NvmfSubsystemOpts::new("disk"),
        NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:a").serial_number("\u{e9}"),
    ] {
        let made = target.create_subsystem(&opts).await;
        assert!(
            matches!(kind(&made), Some(ErrorKind::InvalidArgument { .. })),
            "{made:?}"
        );
    }
    assert!(target.subsystem("nqn.2016-06.io.spdk:a").await?.is_none());
    let twice = target
        .create_subsystem(&NvmfSubsystemOpts::new(server.nqn()))
        .await;
    assert_eq!(twice.err().and_then(|e| e.errno()), Some(Errno::EEXIST));
    let twice = target.add_transport(&NvmfTransportOpts::tcp()).await;
    assert_eq!(twice.err().and_then(|e| e.errno()), Some(Errno::EEXIST));
    server.close().await
}

/// Fails if an option of a transport has no effect.
#[spdk::test]
async fn a_transport_has_what_it_is_made_with() -> spdk::Result<()> {
    let target = NvmfTarget::create(&NvmfTargetOpts::new("options")).await?;
    assert_eq!(target.transport().await?, None);
    let opts = NvmfTransportOpts::tcp()
        .max_queue_depth(64)
        .max_qpairs_per_ctrlr(5)
        .in_capsule_data_size(8192)
        .max_io_size(65536)
        .io_unit_size(16384)
        .max_aq_depth(48)
        .num_shared_buffers(1000)
        .buf_cache_size(11)
        .dif_insert_or_strip(true)
        .abort_timeout_sec(3)
        .association_timeout(5000)
        .acceptor_poll_rate(500)
        .zcopy(true);
    target.add_transport(&opts).await?;
    let Some(has) = target.transport().await? else {
        panic!("it was added");
    };
    assert_eq!((has.max_queue_depth, has.max_qpairs_per_ctrlr), (64, 5));
    assert_eq!(
        (has.in_capsule_data_size, has.max_io_size, has.io_unit_size),
        (8192, 65536, 16384)
    );
    assert_eq!(
        (has.max_aq_depth, has.num_shared_buffers, has.buf_cache_size),
        (48, 1000, 11)
    );
    assert_eq!((has.dif_insert_or_strip, has.zcopy), (true, true));
    assert_eq!((has.abort_timeout_sec, has.association_timeout), (3, 5000));
    assert_eq!(has.acceptor_poll_rate, 500);
    target.close().await
}

/// Fails if what a host is told of a subsystem is not what it was made with.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn a_host_sees_what_it_was_made_with() -> spdk::Result<()> {
    let target = NvmfTarget::create(&NvmfTargetOpts::new("seen")).await?;
    target.add_transport(&NvmfTransportOpts::tcp()).await?;
    let opts = NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:seen")
        .serial_number("SERIAL0815")
        .model_number("A model of ours")
        .max_namespaces(9)
        .allow_any_host(true)
        .ana_reporting(true);
    let subsystem = target.create_subsystem(&opts).await?;
    let uuid = *b"\x11\x11\x11\x11\x22\x22\x33\x33\x44\x44\x55\x55\x55\x55\x55\x55";
    let nguid = *b"\xab\xcd\xef\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d";
    let opts = NvmfNamespaceOpts::new()
        .nsid(4)
        .uuid(uuid)
        .nguid(nguid)
        .eui64([0x5a; 8])
        .ana_group(2);
    subsystem.add_namespace_with("Malloc0", &opts).await?;
    let at = address();
    subsystem.listen(at).await?;
    subsystem.start().await?;
    subsystem
        .set_ana_state(at, AnaState::NonOptimized, Some(2))
        .await?;

    let said = identify(at, subsystem.nqn()).await;
    for part in [
        "SERIAL0815",
        "A model of ours",
        "Namespace ID:4",
        "11111111-2222-3333-4444-555555555555",
        "ABCDEF0102030405060708090A0B0C0D",
        "5A5A5A5A5A5A5A5A",
    ] {
        assert!(said.contains(part), "{part:?} is missing:\n{said}");
    }
    let discovery = identify(at, "nqn.2014-08.org.nvmexpress.discovery").await;
    assert!(
        discovery.contains("nqn.2016-06.io.spdk:seen"),
        "{discovery}"
    );

    // Without a listener nobody connects, and with another one again.
    subsystem.stop_listening(at).await?;
    assert!(!listens(at));
    let second = address();
    subsystem.listen(second).await?;
    assert!(
        identify(second, subsystem.nqn())
            .await
            .contains("SERIAL0815")
    );
    subsystem.remove().await?;
    assert!(
        target
            .subsystem("nqn.2016-06.io.spdk:seen")
            .await?
            .is_none()
    );
    assert!(!listens(second));
    target.close().await
}

/// What `spdk_nvme_identify` says.
async fn identify(at: NvmfAddress, nqn: &str) -> String {
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let (ip, port) = (at.socket_addr().ip(), at.socket_addr().port());
    let trid = format!("trtype:TCP adrfam:IPv4 traddr:{ip} trsvcid:{port} subnqn:{nqn}");
    let mut child = Command::new(program("spdk_nvme_identify"))
        .args(["--no-huge", "-s", "512", "-r", &trid])
        .stdin(Stdio::null())
        .stdout(log.reopen().expect("the log's second descriptor"))
        .stderr(log.reopen().expect("the log's third descriptor"))
        .spawn()
        .expect("spdk_nvme_identify starts");
    let mut status = None;
    until("the end of spdk_nvme_identify", || {
        status = child.try_wait().expect("our child");
        status.is_some()
    })
    .await;
    let said = read(log.path());
    assert!(
        status.is_some_and(|status| status.success()),
        "{status:?}\n{said}"
    );
    said
}

/// Fails if changes whose futures are dropped are lost halfway, or harm the target.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 4096, block_size = BLOCK)))]
async fn abandoned_changes_are_carried_out() -> spdk::Result<()> {
    let opts = NvmfTargetOpts::new("abandoned");
    {
        let mut create = pin!(NvmfTarget::create(&opts));
        assert!(poll_once(create.as_mut()).is_pending());
    }
    // The abandoned target closes itself, and its name is free again.
    let mut made = None;
    while made.is_none() {
        made = NvmfTarget::create(&opts).await.ok();
        spdk::task::yield_now().await;
    }
    drop(made);
    for _ in 0..50 {
        let server = closes("Malloc0").await;
        let subsystem = server.subsystem();
        {
            let mut stop = pin!(subsystem.stop());
            let mut start = pin!(subsystem.start());
            let mut add = pin!(subsystem.add_namespace("Malloc0"));
            assert!(poll_once(stop.as_mut()).is_pending());
            assert!(poll_once(start.as_mut()).is_pending());
            assert!(poll_once(add.as_mut()).is_pending());
        }
        // It is closed in the middle of them.
        drop(server);
    }
    closes("Malloc0").await.close().await
}

/// Fails if a target and its host on one spdk_thread wait for each other.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn a_host_of_the_same_spdk_thread() -> spdk::Result<()> {
    let times: u32 =
        std::env::var("SPDK_RS_LOOPBACK").map_or(10, |times| times.parse().expect("a number"));
    for n in 0..times {
        // The one before closes while this waits for its name.
        let target = loop {
            match NvmfTarget::create(&NvmfTargetOpts::new("loop")).await {
                Err(error) if error.errno() == Some(Errno::EEXIST) => {
                    spdk::task::yield_now().await;
                }
                target => break target?,
            }
        };
        target.add_transport(&NvmfTransportOpts::tcp()).await?;
        let nqn = format!("nqn.2016-06.io.spdk:loop{n}");
        let opts = NvmfSubsystemOpts::new(&nqn).allow_any_host(true);
        let subsystem = target.create_subsystem(&opts).await?;
        // With the identifiers of the bdev, the process would have two bdevs of one name.
        let id = [n as u8 + 1; 16];
        let opts = NvmfNamespaceOpts::new().uuid(id).nguid(id);
        subsystem.add_namespace_with("Malloc0", &opts).await?;
        let at = address();
        subsystem.listen(at).await?;
        subsystem.start().await?;
        let at = at.socket_addr();
        let params = json!({
            "name": "Nvme0", "trtype": "TCP", "adrfam": "IPv4", "subnqn": nqn,
            "traddr": at.ip().to_string(), "trsvcid": at.port().to_string(),
        });
        let _: serde_json::Value = spdk::rpc::call("bdev_nvme_attach_controller", &params).await?;
        let device = Device::open("Nvme0n1")?;
        let mut buf = device.buffer(1)?;
        buf.fill(n as u8 + 1);
        device.desc.write(&device.ch, &buf, 0).await?;
        buf.fill(0);
        device.desc.read(&device.ch, &mut buf, 0).await?;
        assert!(buf.iter().all(|byte| *byte == n as u8 + 1), "{n}");
        drop(device);
        let params = json!({"name": "Nvme0"});
        let _: serde_json::Value = spdk::rpc::call("bdev_nvme_detach_controller", &params).await?;
        // Closed in every way.
        match n % 2 {
            0 => target.close().await?,
            _ => drop(target),
        }
    }
    Ok(())
}
