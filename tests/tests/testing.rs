//! What the crate has for tests of its users: targets in processes of their own.
#![allow(missing_docs)]

use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use spdk::DmaBuf;
use spdk::nvme::{NvmeController, TransportId};
use spdk::testing::{NvmfTarget, free_port};

const PATIENCE: Duration = Duration::from_secs(20);

/// Whether a process runs, and is not one that only waits to be collected.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    state.is_some_and(|state| state != 'Z')
}

fn wait(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn is_free(trid: &TransportId) -> bool {
    let port: u16 = trid.service_id().parse().expect("a port");
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

fn folder(target: &NvmfTarget) -> std::path::PathBuf {
    target
        .rpc_socket()
        .parent()
        .map(Path::to_owned)
        .expect("it is in one")
}

async fn uses(trid: &TransportId) -> spdk::Result<()> {
    let controller = NvmeController::connect(trid, None).await?;
    let qpair = controller.alloc_io_qpair(None).await?;
    let ns = controller.namespace(1).expect("it has one");
    let mut buf = DmaBuf::alloc(ns.sector_size() as usize, 4096)?;
    buf.fill(0xa5);
    ns.write(&qpair, &buf, 7, 1).await?;
    buf.fill(0);
    ns.read(&qpair, &mut buf, 7, 1).await?;
    assert!(buf.iter().all(|byte| *byte == 0xa5));
    drop(ns);
    qpair.close().await?;
    controller.detach().await
}

/// Fails if a target is not ready when it is said to be, or leaves something behind.
#[spdk::test(no_app, deadline = 60)]
fn a_target_is_ready_and_gone() {
    let target = NvmfTarget::start().expect("it starts");
    let another = NvmfTarget::start().expect("it starts");
    assert_ne!(target.trid(), another.trid());
    let (trids, pid) = (
        [target.trid(), another.trid()].map(Clone::clone),
        target.id(),
    );
    let place = folder(&target);
    assert!(runs(pid) && place.is_dir());
    let app = spdk::__testing::builder();
    app.block_on(async move {
        uses(&trids[0]).await?;
        uses(&trids[1]).await
    })
    .expect("an orderly end");
    let trid = target.trid().clone();
    assert!(target.log().contains("Listening"), "{}", target.log());
    drop(target);
    assert!(!runs(pid) && !place.exists() && is_free(&trid));
}

/// Fails if a port that a test is given can be another one's, or a connection's, which Linux gives those from 32,768 on.
#[test]
fn a_port_is_nobody_elses() {
    let given = [(); 3].map(|()| free_port().expect("there are free ones"));
    assert!(given.iter().all(|port| *port < 32_768), "{given:?}");
    let [first, second, third] = given;
    assert!(
        first != second && second != third && first != third,
        "{given:?}"
    );
    let taken = third + 1;
    let listener = TcpListener::bind(("127.0.0.1", taken)).expect("the next one is free, too");
    assert_ne!(free_port().expect("there are free ones"), taken);
    drop(listener);
}

/// Fails if a target that was killed cannot come back where it was.
#[spdk::test(no_app, deadline = 60)]
fn a_target_comes_back() {
    let mut target = NvmfTarget::start().expect("it starts");
    let trid = target.trid().clone();
    let port = trid.service_id().parse().expect("a port");
    let taken = NvmfTarget::start_on(port).expect_err("the port is in use");
    assert!(taken.to_string().contains("the target ended"), "{taken}");
    target.kill().expect("it runs");
    target.kill().expect("nothing is wrong with that");
    let again = NvmfTarget::start_on(port).expect("the port is free");
    assert_eq!(again.trid(), &trid);
}

/// Fails if a program of the user's own is not waited for, or its words are not told when it ends.
#[spdk::test(no_app, deadline = 60)]
fn a_program_of_ones_own() {
    let line =
        "trtype:TCP adrfam:IPv4 traddr:127.0.0.1 trsvcid:4420 subnqn:nqn.2016-06.io.spdk:own";
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    };
    // The first line is no transport ID, and the second one is not whole at first.
    let script = format!(
        "echo trtype:nonsense; printf 'trtype:TCP '; sleep 0.2; echo {:?}; exec sleep 60",
        line.trim_start_matches("trtype:TCP ")
    );
    let target = NvmfTarget::run(&mut shell(&script)).expect("it says so");
    assert_eq!(target.trid().to_string(), line);
    let pid = target.id();
    drop(target);
    assert!(!runs(pid));

    let error = NvmfTarget::run(&mut shell("echo no memory >&2; exit 3")).expect_err("it ended");
    let text = error.to_string();
    assert!(
        text.contains("exit status: 3") && text.contains("no memory"),
        "{text}"
    );
    let missing = NvmfTarget::run(&mut Command::new("/there/is/no/such/program"));
    assert_eq!(
        missing.expect_err("it is not there").kind(),
        ErrorKind::NotFound
    );
}

const PARENT: &str = "SPDK_TESTS_PARENT";

/// Fails if a target outlives the process that started it, which is killed.
#[test]
fn a_target_dies_with_its_parent() {
    if std::env::var_os(PARENT).is_some() {
        let target = NvmfTarget::start().expect("it starts");
        println!("pid {}.", target.id());
        std::thread::sleep(PATIENCE);
        return;
    }
    let out = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut parent = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "a_target_dies_with_its_parent", "--nocapture"])
        .env(PARENT, "1")
        .stdout(out.reopen().expect("another descriptor"))
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let said = || std::fs::read_to_string(out.path()).unwrap_or_default();
    let pid = || {
        let said = said();
        let rest = said.split_once("pid ")?.1;
        rest.split_once('.')?.0.parse::<u32>().ok()
    };
    wait("the target", || pid().is_some());
    let pid = pid().expect("it was said");
    assert!(runs(pid));
    parent.kill().expect("our child");
    parent.wait().expect("our child");
    wait("the end of the target", || !runs(pid));
}
