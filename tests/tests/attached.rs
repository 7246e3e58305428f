//! NVMe controllers that the bdev layer attaches and detaches, and those that discoveries find.
//!
//! Each of these faults was put into the crate, and the test named failed:
//!
//! - Two calls that stop a discovery go to SPDK at the same time: `two_stop_a_discovery`.
//! - A detach goes to SPDK while an attach waits for its answer: `detached_before_it_is_answered`.
//! - A controller of this crate has the address that one of the bdev layer has: `beside_one_of_this_crate` and
//!   `while_the_bdev_layer_connects_again`.
#![allow(missing_docs)]

use std::pin::pin;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use futures_util::future::join;
use serde_json::{Value, json};
use spdk::config::{AddressFamily, NvmeController, NvmeDiscovery, NvmeTransport};
use spdk::nvme::NvmeEvent;
use spdk::{Bdev, DmaBuf, Errno, Error, ThreadHandle, rpc};
use spdk_tests::nvme::{Link, beside_target, beside_target_in};
use spdk_tests::nvmf::disk::Bystanders;
use spdk_tests::nvmf::proxy::Proxy;
use spdk_tests::nvmf::{Target, free_port};
use spdk_tests::wait::{after, timeout, within};
use spdk_tests::{poll_once, until};

/// How many connections this process has to a port of 127.0.0.1.
fn connections(port: u16) -> usize {
    let all = std::fs::read_to_string("/proc/self/net/tcp").expect("the kernel tells");
    let established = format!(" 0100007F:{port:04X} 01 ");
    all.lines()
        .filter(|line| line.contains(&established))
        .count()
}

fn controller(target: &Target, port: u16) -> NvmeController {
    let address = ([127, 0, 0, 1], port).into();
    NvmeController::tcp("C", address, target.trid().subnqn())
}

/// Fails if one of two calls that stop a discovery is not answered.
#[spdk::test(no_app, deadline = 60)]
fn two_stop_a_discovery() {
    beside_target(|target| async move {
        // It takes a while to look at so many.
        for number in 0..30 {
            let name = format!("N{number}");
            let disk = json!({"name": name, "num_blocks": 64, "block_size": 512});
            target.rpc("bdev_null_create", disk);
            let ns = json!({"nqn": target.trid().subnqn(), "namespace": {"bdev_name": name}});
            target.rpc("nvmf_subsystem_add_ns", ns);
        }
        let port = target.port();
        NvmeDiscovery::new("D", NvmeTransport::Tcp, "127.0.0.1")
            .adrfam(AddressFamily::Ipv4)
            .trsvcid(port.to_string())
            .start()
            .await
            .expect("it starts");
        // Those who stop it wait for what it attaches.
        let nqn = json!({"nqn": target.trid().subnqn()});
        let controllers = || target.rpc("nvmf_subsystem_get_controllers", nqn.clone());
        until("a controller to be found", || controllers() != json!([])).await;
        target.stop();
        assert!(Bdev::get_by_name("D0n1").is_none());
        let stops = join(NvmeDiscovery::stop("D"), NvmeDiscovery::stop("D"));
        let mut stops = pin!(stops);
        assert!(poll_once(stops.as_mut()).is_pending());
        after(Duration::from_millis(100)).await;
        target.cont();
        let (first, second) = within("one of the stops", stops).await;
        first.expect("it is there");
        let errno = second.as_ref().err().and_then(Error::errno);
        assert_eq!(errno, Some(Errno::ENOENT), "{second:?}");
        until("what it has found to go", || connections(port) == 0).await;
        Bystanders::new()
    });
}

/// An attach waits until all bdevs have been examined. One of another path answers with bdevs that are there already.
#[spdk::test(no_app, deadline = 60)]
fn detached_before_it_is_answered() {
    beside_target(|target| async move {
        let port = free_port();
        let listen = json!({"nqn": target.trid().subnqn(), "listen_address": {"trtype": "TCP", "adrfam": "IPv4",
            "traddr": "127.0.0.1", "trsvcid": port.to_string()}});
        target.rpc("nvmf_subsystem_add_listener", listen);
        let names = controller(&target, target.port()).attach().await;
        assert_eq!(names.expect("the target listens"), ["Cn1", "Cn2"]);
        let disk = json!({"name": "M", "num_blocks": 8192, "block_size": 512});
        let _: String = rpc::call("bdev_malloc_create", &disk)
            .await
            .expect("memory");
        let slow = json!({
            "name": "Slow", "base_bdev_name": "M", "avg_read_latency": 1_000_000, "p99_read_latency": 1_000_000,
            "avg_write_latency": 0, "p99_write_latency": 0,
        });
        let _: String = rpc::call("bdev_delay_create", &slow).await.expect("memory");
        let mut attached = pin!(controller(&target, port).attach());
        assert!(poll_once(attached.as_mut()).is_pending());
        while paths().await < 2 {}
        let detached = NvmeController::detach("C");
        let (attached, detached) = within("the calls", join(attached, detached)).await;
        assert_eq!(attached.expect("the target listens"), ["Cn1", "Cn2"]);
        detached.expect("it is there");
        assert!(Bdev::get_by_name("Cn1").is_none());
        Bystanders::new()
    });
}

/// How many paths the controller has.
async fn paths() -> usize {
    let all = rpc::call("bdev_nvme_get_controllers", &json!({"name": "C"})).await;
    let all: Vec<Value> = all.expect("it is there");
    all[0]["ctrlrs"].as_array().map_or(0, Vec::len)
}

/// Fails if a controller of this crate and one of the bdev layer are the same to SPDK, which has one callback for what it tells.
#[spdk::test(no_app, deadline = 60)]
fn beside_one_of_this_crate() {
    beside_target(|target| async move {
        for ours_is_first in [true, false] {
            let theirs = async || {
                let names = controller(&target, target.port()).attach().await;
                assert_eq!(names.expect("the target listens"), ["Cn1", "Cn2"]);
            };
            if !ours_is_first {
                theirs().await;
            }
            let link = Link::to(&target).await;
            if ours_is_first {
                theirs().await;
            }
            let mut events = link.controller.events().expect("it is here");
            let size = if ours_is_first { 512 } else { 4096 };
            target.replace_namespace(size);
            let event = within("what the controller tells", events.next()).await;
            assert_eq!(event, Some(NvmeEvent::NamespaceChanged));
            NvmeController::detach("C").await.expect("it is there");
            let mut buf = DmaBuf::alloc(4096, 4096).expect("memory");
            let ns = link.controller.namespace(1).expect("it is there");
            assert_eq!(ns.sector_size() as usize, size);
            let read = ns.read(&link.qpair, &mut buf, 0, 4096 / size as u32);
            read.await.expect("it is connected");
            drop(ns);
            link.close().await;
        }
        Bystanders::new()
    });
}

/// Fails if a connect of this crate waits for a lock that the bdev layer has while it connects a controller again.
#[spdk::test(no_app, deadline = 60)]
fn while_the_bdev_layer_connects_again() {
    let app = spdk::__testing::builder().reactor_mask("0x3");
    beside_target_in(app, |target| {
        let (proxy, is_silent) = Proxy::with_silence(&target);
        let trid = proxy.trid(&target);
        async move {
            let port = trid.service_id().parse().expect("a port");
            let attached = controller(&target, port).attach().await;
            attached.expect("the target listens");
            is_silent.store(true, SeqCst);
            let before = proxy.hosts().len();
            let name = json!({"name": "C"});
            let reset = rpc::call::<Value>("bdev_nvme_reset_controller", &name);
            let mut reset = pin!(reset);
            assert!(poll_once(reset.as_mut()).is_pending());
            until("the reset to connect", || proxy.hosts().len() > before).await;
            let away = ThreadHandle::on_core("away", 1).await.expect("a core");
            let connected = away.call_async(async move || {
                let connected = spdk::nvme::NvmeController::connect(&trid, None).await;
                connected.map(drop)
            });
            let mut connected = Box::pin(connected);
            assert!(poll_once(connected.as_mut()).is_pending());
            // The target itself ends the connection of the reset after ten seconds.
            let begun = until("the connect", || proxy.hosts().len() > before + 1);
            let begun = timeout(Duration::from_secs(4), begun).await;
            begun.expect("it waits for nobody");
            is_silent.store(false, SeqCst);
            proxy.cut(before);
            proxy.cut(before + 1);
            let _ = within("the connect", connected.as_mut()).await;
            drop(connected);
            away.exit().await.expect("it is here");
            let _ = within("the reset", reset).await;
            Bystanders::new()
        }
    });
}
