//! Each option of a controller, by what the target gets of it.
//!
//! A proxy stands before the target and sees the commands. An option that is not passed on makes the
//! test of it fail. Some have no target here: those of PCIe and RDMA (`use_cmb_sqs`, `transport_retry_count`,
//! `transport_tos`, `host_id`).

use std::future::Future;
use std::mem::size_of;
use std::net::Ipv4Addr;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::json;
use spdk::ErrorKind;
use spdk::nvme::{
    Arbitration, CommandSet, NvmeController, NvmeCtrlrOpts, NvmeEvent, NvmeQpair, TransportId,
};
use spdk_tests::nvme::{Link, beside_target};
use spdk_tests::nvmf::disk::{Bystanders, buffer};
use spdk_tests::nvmf::proxy::{CONNECT, Command, Fate, PROPERTY_GET, PROPERTY_SET, Proxy};
use spdk_tests::nvmf::{Target, free_port};
use spdk_tests::{kind, traces, until};
use tracing::level_filters::LevelFilter;

/// Controller Configuration.
const CC: u32 = 0x14;
const READ: u8 = 0x02;
const IDENTIFY: u8 = 0x06;
const SET_FEATURES: u8 = 0x09;
const GET_LOG_PAGE: u8 = 0x02;
const KEEP_ALIVE: u8 = 0x18;
const ARBITRATION: u32 = 0x01;
const NUMBER_OF_QUEUES: u32 = 0x07;
const CHANGED_NAMESPACES: u32 = 0x04;
const ANA: u32 = 0x0c;

/// Runs `body` beside a target with a proxy before it.
fn behind_proxy<F: Future<Output = ()> + 'static>(
    decide: impl Fn(&Command) -> Fate + Send + Sync + 'static,
    body: impl FnOnce(Rc<Target>, Proxy, TransportId) -> F + 'static,
) {
    beside_target(|target| {
        let proxy = Proxy::start(&target, decide);
        let trid = proxy.trid(&target);
        async move {
            body(target, proxy, trid).await;
            Bystanders::new()
        }
    });
}

async fn connect(trid: &TransportId, opts: NvmeCtrlrOpts) -> (NvmeController, NvmeQpair) {
    let controller = NvmeController::connect(trid, Some(&opts)).await;
    let controller = controller.expect("the target listens");
    let qpair = controller.alloc_io_qpair(None).await;
    (controller, qpair.expect("the target has queue pairs"))
}

async fn close((controller, qpair): (NvmeController, NvmeQpair)) {
    qpair.close().await.expect("it is of this spdk_thread");
    let detached = controller.detach().await;
    detached.expect("it is of this spdk_thread");
}

fn set_features(proxy: &Proxy, feature: u32) -> Option<u32> {
    let commands = proxy.commands();
    let mut commands = commands.iter();
    let set = commands.find(|one| one.opcode() == SET_FEATURES && one.dword(10) & 0xff == feature);
    set.map(|one| one.dword(11))
}

fn log_pages(proxy: &Proxy, page: u32) -> usize {
    let commands = proxy.commands();
    let commands = commands.iter();
    let reads = commands.filter(|one| one.opcode() == GET_LOG_PAGE && one.dword(10) & 0xff == page);
    reads.count()
}

/// What Controller Configuration was set to.
fn configurations(proxy: &Proxy) -> Vec<u32> {
    let commands = proxy.commands();
    let sets = commands
        .iter()
        .filter(|one| one.fabrics_type() == Some(PROPERTY_SET) && one.dword(11) == CC);
    sets.map(|one| one.dword(12)).collect()
}

#[spdk::test(no_app, deadline = 30)]
fn those_of_the_connection() {
    behind_proxy(
        |_| Fate::Forward,
        |_, proxy, trid| async move {
            let port = free_port();
            let name = "nqn.2016-06.io.spdk:options";
            let opts = NvmeCtrlrOpts::new()
                .hostnqn(name)
                .extended_host_id(*b"sixteen bytes ID")
                .keep_alive_timeout_ms(3_000)
                .admin_queue_size(48)
                .io_queue_size(96)
                .num_io_queues(2)
                .src_addr("127.0.0.2")
                .src_svcid(&port.to_string())
                .header_digest(false)
                .data_digest(true);
            // Two connections cannot have one port at the same time, so there is no queue pair for I/O.
            let controller = NvmeController::connect(&trid, Some(&opts)).await;
            let controller = controller.expect("the target listens");
            let (address, request) = proxy.hosts().remove(0);
            assert_eq!(address, (Ipv4Addr::new(127, 0, 0, 2), port).into());
            assert_eq!(request[11], 0b10, "digests: {request:x?}");
            let commands = proxy.commands();
            let first = &commands[0];
            assert_eq!(first.fabrics_type(), Some(CONNECT));
            // The size of a queue is told less one.
            assert_eq!((first.word(42), first.word(44)), (0, 47));
            assert_eq!(first.dword(12), 3_000);
            assert_eq!(first.data[..16], *b"sixteen bytes ID");
            assert_eq!(first.data[512..512 + name.len()], *name.as_bytes());
            assert_eq!(set_features(&proxy, NUMBER_OF_QUEUES), Some(0x0001_0001));
            controller
                .detach()
                .await
                .expect("it is of this spdk_thread");

            let opts = NvmeCtrlrOpts::new().io_queue_size(96).header_digest(true);
            let link = connect(&trid, opts).await;
            let (_, request) = proxy.hosts().pop().expect("that of the queue pair");
            assert_eq!(request[11], 0b01, "digests: {request:x?}");
            let commands = proxy.commands();
            let mut commands = commands.iter().rev();
            let last = commands.find(|one| one.fabrics_type() == Some(CONNECT));
            let last = last.expect("that of the queue pair");
            assert_eq!((last.word(42), last.word(44)), (link.1.id(), 95));
            close(link).await;
        },
    );
}

#[spdk::test(no_app, deadline = 30)]
fn those_of_the_configuration() {
    behind_proxy(
        |_| Fate::Forward,
        |_, proxy, trid| async move {
            let before = || configurations(&proxy).len();
            for (quiet, wanted) in [(false, 1), (true, 0)] {
                let start = before();
                let opts = NvmeCtrlrOpts::new().no_shn_notification(quiet);
                close(connect(&trid, opts).await).await;
                let all = configurations(&proxy).split_off(start);
                let goodbyes = all.iter().filter(|cc| *cc >> 14 & 0x3 != 0);
                assert_eq!(goodbyes.count(), wanted, "{all:x?}");
            }
            let opts = NvmeCtrlrOpts::new().arbitration_burst(3);
            close(connect(&trid, opts).await).await;
            assert_eq!(set_features(&proxy, ARBITRATION), Some(3));
        },
    );
}

/// Capabilities of a controller that has every command set, and arbitrates by weights.
const CAPABILITIES: u64 = 127 | 1 << 16 | 1 << 17 | 30 << 24 | 0xc1 << 37;

#[spdk::test(no_app, deadline = 30)]
fn those_that_the_target_has_not() {
    behind_proxy(
        |command| match command.fabrics_type() {
            // Of the property at 0: what the controller can.
            Some(PROPERTY_GET) if command.dword(11) == 0 => Fate::Answer(CAPABILITIES, (0, 0)),
            _ => Fate::Forward,
        },
        |_, proxy, trid| async move {
            // Bits 4 to 6 are the command set, and 11 to 13 the arbitration. What becomes of them there is
            // another thing.
            let new = NvmeCtrlrOpts::new;
            for (opts, bits, wanted) in [
                (new().command_set(CommandSet::Nvm), 4, 0),
                (new().command_set(CommandSet::All), 4, 6),
                (new().command_set(CommandSet::AdminOnly), 4, 7),
                (new().arbitration(Arbitration::RoundRobin), 11, 0),
                (new().arbitration(Arbitration::WeightedRoundRobin), 11, 1),
            ] {
                let start = configurations(&proxy).len();
                let connected = NvmeController::connect(&trid, Some(&opts)).await;
                let all = configurations(&proxy).split_off(start);
                let mut enabled = all.iter().filter(|cc| *cc & 1 == 1);
                assert!(
                    enabled.any(|cc| cc >> bits & 0x7 == wanted),
                    "{opts:?}: {all:x?}"
                );
                if let Ok(controller) = connected {
                    controller
                        .detach()
                        .await
                        .expect("it is of this spdk_thread");
                }
            }
        },
    );
}

/// The proxy says that the controller arbitrates by weights, and does not tell the target that it should.
#[spdk::test(no_app, deadline = 30)]
fn weights() {
    let decide = |command: &Command| match command.fabrics_type() {
        Some(PROPERTY_GET) if command.dword(11) == 0 => Fate::Answer(CAPABILITIES, (0, 0)),
        Some(PROPERTY_SET) if command.dword(11) == CC => {
            Fate::Change(12, command.dword(12) & !(0x7 << 11 | 0x7 << 4))
        }
        _ if command.opcode() == SET_FEATURES && command.dword(10) & 0xff == ARBITRATION => {
            Fate::Answer(0, (0, 0))
        }
        _ => Fate::Forward,
    };
    behind_proxy(decide, |_, proxy, trid| async move {
        let opts = NvmeCtrlrOpts::new()
            .command_set(CommandSet::Nvm)
            .arbitration(Arbitration::WeightedRoundRobin)
            .arbitration_burst(2)
            .low_priority_weight(3)
            .medium_priority_weight(9)
            .high_priority_weight(27);
        close(connect(&trid, opts).await).await;
        assert_eq!(set_features(&proxy, ARBITRATION), Some(0x1b09_0302));
    });
}

/// What SPDK logs of a command that fails.
#[spdk::test(no_app, deadline = 30)]
fn disable_error_logging() {
    traces::keep(LevelFilter::INFO);
    let target = Target::start();
    // There is no such block.
    let proxy = Proxy::start(&target, |command| {
        match !command.is_admin && command.opcode() == READ {
            true => Fate::Answer(0, (0, 0x80)),
            false => Fate::Forward,
        }
    });
    let trid = proxy.trid(&target);
    let body = async move {
        for is_off in [false, true] {
            let opts = NvmeCtrlrOpts::new().disable_error_logging(is_off);
            let link = Link::at(&trid, &opts).await;
            traces::clear();
            let end = link.read(&mut buffer(), 0).await;
            assert!(
                matches!(kind(&end), Some(ErrorKind::Device { .. })),
                "{end:?}"
            );
            let lines = traces::lines("spdk::log");
            let told = lines.iter().any(|line| line.message().contains("READ"));
            assert_eq!(told, !is_off, "{lines:?}");
            link.close().await;
        }
        Ok(())
    };
    spdk::__testing::builder()
        .block_on(body)
        .expect("an orderly end");
}

#[spdk::test(no_app, deadline = 60)]
fn those_of_time() {
    let is_keep_alive = |one: &Command| one.opcode() == KEEP_ALIVE;
    behind_proxy(
        |_| Fate::Forward,
        move |_, proxy, trid| async move {
            let opts = NvmeCtrlrOpts::new().keep_alive_timeout_ms(200);
            let link = connect(&trid, opts).await;
            let count = || {
                proxy
                    .commands()
                    .iter()
                    .filter(|one| is_keep_alive(one))
                    .count()
            };
            until("two signs of life", || count() >= 2).await;
            close(link).await;
        },
    );
}

/// The connect fails when its time is over, and not long after.
fn gives_up(opts: NvmeCtrlrOpts, lost: fn(&Command) -> bool) {
    behind_proxy(
        move |command| match lost(command) {
            true => Fate::Lose,
            false => Fate::Forward,
        },
        |_, _, trid| async move {
            let start = Instant::now();
            let refused = NvmeController::connect(&trid, Some(&opts)).await;
            let told = matches!(kind(&refused), Some(ErrorKind::NotConnected { .. }));
            assert!(told, "{refused:?}");
            let took = start.elapsed();
            let window = Duration::from_millis(400)..Duration::from_secs(8);
            assert!(window.contains(&took), "{took:?}");
        },
    );
}

#[spdk::test(no_app, deadline = 30)]
fn admin_timeout_ms() {
    let opts = NvmeCtrlrOpts::new().admin_timeout_ms(500);
    gives_up(opts, |command| command.opcode() == IDENTIFY);
}

#[spdk::test(no_app, deadline = 30)]
fn fabrics_connect_timeout_us() {
    let opts = NvmeCtrlrOpts::new().fabrics_connect_timeout_us(500_000);
    gives_up(opts, |command| command.fabrics_type() == Some(CONNECT));
}

#[spdk::test(no_app, deadline = 30)]
fn those_of_log_pages() {
    behind_proxy(
        |_| Fate::Forward,
        |target, proxy, trid| async move {
            let nqn = "nqn.2016-06.io.spdk:ana";
            let port = target.port().to_string();
            target.rpc(
                "bdev_malloc_create",
                json!({"name": "Ana", "num_blocks": 64, "block_size": 512}),
            );
            let all = json!({"nqn": nqn, "allow_any_host": true, "ana_reporting": true});
            target.rpc("nvmf_create_subsystem", all);
            let listen = json!({"nqn": nqn, "listen_address": {"trtype": "TCP", "adrfam": "IPv4",
                "traddr": "127.0.0.1", "trsvcid": port}});
            target.rpc("nvmf_subsystem_add_listener", listen);
            let trid = TransportId::tcp("127.0.0.1", trid.service_id(), nqn).expect("an address");
            let add = json!({"nqn": nqn, "namespace": {"bdev_name": "Ana", "nsid": 1}});
            for is_off in [true, false] {
                let opts = NvmeCtrlrOpts::new().disable_read_changed_ns_list_log_page(is_off);
                let link = connect(&trid, opts).await;
                let mut events = link.0.events().expect("it is here");
                target.rpc("nvmf_subsystem_add_ns", add.clone());
                assert_eq!(events.next().await, Some(NvmeEvent::NamespaceChanged));
                until("the namespace to come", || link.0.namespace(1).is_some()).await;
                let reads = [ANA, CHANGED_NAMESPACES].map(|page| log_pages(&proxy, page) == 0);
                assert_eq!(reads, [true, is_off], "off: {is_off}");
                close(link).await;
                target.rpc("nvmf_subsystem_remove_ns", json!({"nqn": nqn, "nsid": 1}));
            }
        },
    );
}

/// A number that the kernel has of each socket of this process that is connected to a port.
fn socket_options(port: u16, level: libc::c_int, option: libc::c_int) -> Vec<libc::c_int> {
    let fds = std::fs::read_dir("/proc/self/fd").expect("the descriptors of this process");
    let fds = fds.filter_map(|fd| fd.ok()?.file_name().to_str()?.parse::<RawFd>().ok());
    fds.filter_map(|fd| socket_option(fd, port, level, option))
        .collect()
}

#[allow(unsafe_code)] // Asks the kernel of sockets.
fn socket_option(
    fd: RawFd,
    port: u16,
    level: libc::c_int,
    option: libc::c_int,
) -> Option<libc::c_int> {
    // SAFETY: zeroes are an address; both calls write at most the sizes that they are given, and fail for a
    // descriptor that is no socket.
    unsafe {
        let mut peer: libc::sockaddr_in = std::mem::zeroed();
        let mut size = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        let named = libc::getpeername(fd, (&raw mut peer).cast(), &mut size);
        if named != 0 || u16::from_be(peer.sin_port) != port {
            return None;
        }
        let mut value: libc::c_int = 0;
        let mut size = size_of::<libc::c_int>() as libc::socklen_t;
        let got = libc::getsockopt(fd, level, option, (&raw mut value).cast(), &mut size);
        (got == 0).then_some(value)
    }
}

#[spdk::test(no_app, deadline = 30)]
fn those_of_the_socket() {
    behind_proxy(
        |_| Fate::Forward,
        |target, _, _| async move {
            let trid = target.trid().with_priority(4);
            let opts = NvmeCtrlrOpts::new().transport_ack_timeout(14);
            let link = connect(&trid, opts).await;
            let port = target.port();
            let timeouts = socket_options(port, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT);
            let priorities = socket_options(port, libc::SOL_SOCKET, libc::SO_PRIORITY);
            // One of the admin queue, one of the queue pair; others are the proxy's.
            let count = |all: &[libc::c_int], wanted| all.iter().filter(|v| **v == wanted).count();
            assert_eq!(count(&timeouts, 1 << 14), 2, "{timeouts:?}");
            assert_eq!(count(&priorities, 4), 2, "{priorities:?}");
            close(link).await;
        },
    );
}
