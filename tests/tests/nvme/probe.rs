//! Probes, and what SPDK tells of PCI devices.
//!
//! Each of these faults was put into the crate, and these tests failed:
//!
//! - Controllers that nobody waits for are not dropped: `abandoned`.
//! - What the filter says is not asked: `the_filter_chooses`.
//! - A controller of somebody else is taken: `the_filter_chooses`.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use serde_json::json;
use spdk::nvme::{NvmeController, NvmeCtrlrOpts, TransportId};
use spdk::{Errno, Error, ErrorKind};
use spdk_tests::nvme::{Link, beside_target};
use spdk_tests::nvmf::disk::{Bystanders, submit};
use spdk_tests::nvmf::{Target, free_port};
use spdk_tests::{kind, until};

const NQN: &str = "nqn.2016-06.io.spdk:probe";
const SUBSYSTEMS: usize = 3;

/// Makes more subsystems: there are [`SUBSYSTEMS`] and that of the target.
fn more_subsystems(target: &Target) {
    for number in 0..SUBSYSTEMS {
        let nqn = format!("{NQN}{number}");
        target.rpc(
            "nvmf_create_subsystem",
            json!({"nqn": nqn, "allow_any_host": true}),
        );
        let listen = json!({"nqn": nqn, "listen_address": {"trtype": "TCP", "adrfam": "IPv4",
            "traddr": "127.0.0.1", "trsvcid": target.port().to_string()}});
        target.rpc("nvmf_subsystem_add_listener", listen);
    }
}

#[spdk::test(no_app, deadline = 30)]
fn the_filter_chooses() {
    beside_target(|target| async move {
        more_subsystems(&target);
        let place = target.trid_of(TransportId::DISCOVERY_NQN);
        let seen = Rc::new(RefCell::new(Vec::new()));
        let found = seen.clone();
        let all = NvmeController::probe(&place, move |trid| {
            found.borrow_mut().push(trid.subnqn().to_owned());
            let is_ours = trid.subnqn().starts_with(NQN);
            let name = match trid.subnqn().ends_with('1') {
                true => "", // is none
                false => "nqn.2016-06.io.spdk:host",
            };
            is_ours.then(|| NvmeCtrlrOpts::new().hostnqn(name))
        });
        let all = all.await.expect("the target listens");
        let seen = Rc::try_unwrap(seen)
            .expect("the filter is gone")
            .into_inner();
        assert_eq!(seen.len(), SUBSYSTEMS + 1, "{seen:?}");
        let (connected, refused): (Vec<_>, Vec<_>) = all.into_iter().partition(Result::is_ok);
        let connected: Vec<_> = connected.into_iter().flatten().collect();
        let ids = connected.iter().map(NvmeController::transport_id);
        let mut names: Vec<_> = ids.map(|trid| trid.subnqn().to_owned()).collect();
        names.sort_unstable();
        assert_eq!(names, [format!("{NQN}0"), format!("{NQN}2")]);
        let [refused] = &refused[..] else {
            panic!("{refused:?}")
        };
        let told = matches!(kind(refused), Some(ErrorKind::Option { .. }));
        assert!(told, "{refused:?}");
        for controller in &connected {
            assert!(controller.alloc_io_qpair(None).await.is_ok());
        }
        // Those that this process has already.
        let again = NvmeController::probe(&place, |trid| {
            let is_ours = trid.subnqn().starts_with(NQN) && !trid.subnqn().ends_with('1');
            is_ours.then(|| NvmeCtrlrOpts::new().hostnqn("nqn.2016-06.io.spdk:host"))
        });
        let again = again.await.expect("the target listens");
        assert_eq!(again.len(), 2);
        for one in again {
            assert_eq!(
                one.as_ref().err().and_then(Error::errno),
                Some(Errno::EALREADY)
            );
        }
        for controller in connected {
            controller
                .detach()
                .await
                .expect("it is of this spdk_thread");
        }
        Bystanders::new()
    });
}

#[spdk::test(no_app, deadline = 30)]
fn one_controller() {
    beside_target(|target| async move {
        let all = NvmeController::probe(&target.trid(), |_| Some(NvmeCtrlrOpts::new())).await;
        let mut all = all.expect("the target listens");
        let controller = all.remove(0).expect("the target listens");
        assert!(all.is_empty());
        let qpair = controller.alloc_io_qpair(None).await;
        let link = Link {
            qpair: qpair.expect("the target has queue pairs"),
            ns: controller.namespace(1).expect("the target has namespace 1"),
            controller,
        };
        link.prepare(0..4, 1).await;
        link.verify(0..4, 1).await;
        link.close().await;
        let none = NvmeController::probe(&target.trid(), |_| None).await;
        assert!(none.expect("the target listens").is_empty());
        Bystanders::new()
    });
}

#[spdk::test(no_app, deadline = 30)]
fn nobody_is_there() {
    beside_target(|_| async move {
        let port = free_port().to_string();
        let place = TransportId::tcp("127.0.0.1", &port, TransportId::DISCOVERY_NQN);
        let place = place.expect("an address");
        let none = NvmeController::probe(&place, |_| Some(NvmeCtrlrOpts::new())).await;
        let told = matches!(kind(&none), Some(ErrorKind::NotConnected { .. }));
        assert!(told, "{none:?}");
        let one = TransportId::tcp("127.0.0.1", &port, NQN).expect("an address");
        let one = NvmeController::probe(&one, |_| Some(NvmeCtrlrOpts::new())).await;
        let one = one.expect("it is one that fails").remove(0);
        let error = one.expect_err("nobody listens");
        assert!(error.to_string().contains(&port), "{error}");
        let all = NvmeController::connect(&TransportId::all_pcie(), None).await;
        let told = matches!(kind(&all), Some(ErrorKind::InvalidArgument { .. }));
        assert!(told, "{all:?}");
        Bystanders::new()
    });
}

#[spdk::test(no_app, deadline = 30)]
fn abandoned() {
    beside_target(|target| async move {
        more_subsystems(&target);
        let place = target.trid_of(TransportId::DISCOVERY_NQN);
        let probe = NvmeController::probe(&place, |_| Some(NvmeCtrlrOpts::new()));
        let mut probe = Box::pin(probe);
        submit(&mut probe);
        drop(probe);
        // What it connects goes, as the target sees.
        let connected = || {
            let all = (0..SUBSYSTEMS).map(|number| {
                let nqn = json!({"nqn": format!("{NQN}{number}")});
                let all = target.rpc("nvmf_subsystem_get_controllers", nqn);
                all.as_array().map_or(0, Vec::len)
            });
            all.sum::<usize>()
        };
        until("controllers to be connected", || connected() > 0).await;
        until("all controllers to go", || connected() == 0).await;
        Bystanders::new()
    });
}

/// A message that looks like those of the kernel, to whoever listens to them.
#[allow(unsafe_code)] // Talks to the kernel by a socket of its own.
fn pretend(device: &str, action: &str) -> bool {
    let text = format!(
        "{action}@/devices/{device}\0ACTION={action}\0DEVPATH=/devices/pci0000:00/{device}/uio/uio0\0\
         SUBSYSTEM=uio\0DRIVER=uio_pci_generic\0PCI_SLOT_NAME={device}\0"
    );
    // SAFETY: the address and the text are there during the calls, which read so many bytes of them.
    unsafe {
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
        let socket = libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_KOBJECT_UEVENT);
        let mut to: libc::sockaddr_nl = std::mem::zeroed();
        to.nl_family = libc::AF_NETLINK as _;
        to.nl_groups = 1;
        let size = std::mem::size_of_val(&to) as libc::socklen_t;
        let to = (&raw const to).cast();
        let sent = libc::sendto(socket, text.as_ptr().cast(), text.len(), 0, to, size);
        libc::close(socket);
        sent == text.len() as isize
    }
}

#[spdk::test(no_app, deadline = 30)]
fn plugged_devices_are_filtered() {
    beside_target(|_| async move {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let devices = seen.clone();
        spdk::nvme::set_hotplug_filter(move |trid| {
            let devices = devices.clone();
            // One that takes its own place, as long as SPDK asks.
            spdk::nvme::set_hotplug_filter(move |trid| {
                devices.lock().expect("no panic").push(trid.to_string());
                false
            });
            trid.address().is_empty()
        });
        let place = TransportId::all_pcie();
        let probe = async || {
            let found = NvmeController::probe(&place, |_| Some(NvmeCtrlrOpts::new())).await;
            found.expect("SPDK has looked")
        };
        assert!(probe().await.is_empty()); // SPDK listens from now on
        if !pretend("0000:7f:1e.3", "add") {
            eprintln!("skipped: this process may not send messages of the kernel");
            return Bystanders::new();
        }
        assert!(probe().await.is_empty());
        assert!(
            seen.lock().expect("no panic").is_empty(),
            "the first one has seen it"
        );
        assert!(pretend("0000:7f:1e.3", "add"));
        assert!(probe().await.is_empty());
        let wanted = ["trtype:PCIE traddr:0000:7f:1e.3"];
        assert_eq!(*seen.lock().expect("no panic"), wanted);
        spdk::nvme::clear_hotplug_filter();
        assert!(Arc::strong_count(&seen) == 1, "the filter is gone");
        assert!(pretend("0000:7f:1e.4", "add"));
        assert!(probe().await.is_empty());
        assert_eq!(*seen.lock().expect("no panic"), wanted);
        Bystanders::new()
    });
}
