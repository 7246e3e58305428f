//! JSON-RPC methods called inside the process.
//!
//! Each of these faults was put into the crate, and the test named failed:
//!
//! - The app thread's end does not wait for methods: `the_end_waits_for_a_method`.
//! - It waits for them without end: `a_method_that_does_not_end_is_given_up`.
//! - The poller stays when nobody waits: `nothing_is_left_behind`.
//! - The server's directory stays: `nothing_is_left_behind`.
//! - A request is sent that SPDK's server refuses: `what_the_server_refuses_is_not_sent`.
//! - Answers are given in the order of the calls: `answers_find_their_calls`.
#![allow(missing_docs)]

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all, try_join_all};
use serde_json::{Value, json};
use spdk::config::{Lvol, LvolStore, LvolStoreDelete};
use spdk::{Bdev, Errno, ErrorKind, SpdkApp, SpdkAppBuilder, rpc, spawn_local};
use spdk_tests::wait::within;
use spdk_tests::{Device, kind, pattern, poll_once, second, until};

const BLOCK: usize = 512;

fn malloc(name: &str) -> Value {
    json!({"name": name, "num_blocks": 1024, "block_size": BLOCK})
}

fn null(name: &str) -> Value {
    json!({"name": name, "num_blocks": 64, "block_size": BLOCK})
}

/// A method that answers when a bdev has come that never comes, or after this time.
async fn wait_for_bdev(time: Duration) -> spdk::Result<Value> {
    let params = json!({"name": "never", "timeout": time.as_millis() as u64});
    rpc::call("bdev_get_bdevs", &params).await
}

/// An application for the tests of its end.
fn app() -> SpdkAppBuilder {
    spdk::__testing::builder()
}

/// Fails if a bdev that a method made cannot be used, or is still there when another has deleted it.
#[spdk::test]
async fn a_method_does_its_work() -> spdk::Result<()> {
    let name: String = rpc::call("bdev_malloc_create", &malloc("Malloc0")).await?;
    assert_eq!(name, "Malloc0");
    {
        let device = Device::open(&name)?;
        let mut buf = device.buffer(8)?;
        pattern::fill(&mut buf, BLOCK, 16, 1);
        device
            .desc
            .write(&device.ch, &buf, 16 * BLOCK as u64)
            .await?;
        buf.fill(0);
        device
            .desc
            .read(&device.ch, &mut buf, 16 * BLOCK as u64)
            .await?;
        pattern::assert_is(&buf, BLOCK, 16, 1);
    }
    let version: Value = rpc::call("spdk_get_version", &()).await?;
    assert!(version["version"].is_string(), "{version}");
    let deleted: bool = rpc::call("bdev_malloc_delete", &json!({"name": name})).await?;
    assert!(deleted);
    let found = Bdev::find(&name);
    assert!(matches!(kind(&found), Some(ErrorKind::NoSuchBdev { .. })));
    let methods = rpc::methods().await?;
    assert!(methods.iter().any(|method| method == "bdev_malloc_create"));
    assert!(
        !methods
            .iter()
            .any(|method| method == "framework_start_init")
    );
    Ok(())
}

/// Fails if an error of a method does not say which one and why.
#[spdk::test]
async fn errors_say_what_the_method_says() -> spdk::Result<()> {
    let result: spdk::Result<Value> = rpc::call("no_such_method", &()).await;
    let Err(error) = result else {
        panic!("{result:?}")
    };
    let text = "JSON-RPC method \"no_such_method\": Method not found (code -32601)";
    assert_eq!(error.to_string(), text);

    let result: spdk::Result<Value> = rpc::call("bdev_malloc_create", &json!({"name": 1})).await;
    match kind(&result) {
        Some(ErrorKind::Rpc {
            method,
            code,
            message,
        }) => {
            assert_eq!(method, "bdev_malloc_create");
            assert!(*code < -32_000, "{code}");
            // SPDK itself does not say which parameter it is.
            let reason = "`name` of bdev_malloc_create is 1; write a text";
            assert!(message.contains(reason), "{message}");
        }
        other => panic!("{other:?}"),
    }

    let _: String = rpc::call("bdev_malloc_create", &malloc("Malloc0")).await?;
    let again: spdk::Result<Value> = rpc::call("bdev_malloc_create", &malloc("Malloc0")).await;
    assert!(
        matches!(kind(&again), Some(ErrorKind::Rpc { .. })),
        "{again:?}"
    );
    let gone: spdk::Result<Value> = rpc::call("bdev_null_delete", &json!({"name": "N"})).await;
    let Err(error) = gone else { panic!("{gone:?}") };
    assert_eq!(error.errno(), Some(Errno::ENODEV), "{error:?}");

    let number: spdk::Result<u32> = rpc::call("spdk_get_version", &()).await;
    match kind(&number) {
        Some(ErrorKind::RpcAnswer { method, reason }) => {
            assert_eq!(method, "spdk_get_version");
            assert!(reason.contains("not a u32"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    Ok(())
}

/// Fails if a method is called that SPDK does not survive: these ended the process, hung at its end, or took other numbers.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "M", num_blocks = 1024, block_size = BLOCK),
    bdev_null_create(name = "N", num_blocks = 64, block_size = BLOCK),
    bdev_null_create(name = "Mp1", num_blocks = 64, block_size = BLOCK),
    bdev_malloc_create(name = "Odd", num_blocks = 1024, block_size = 3 * BLOCK),
    bdev_malloc_create(name = "Too", num_blocks = 1024, block_size = 3 * BLOCK),
    bdev_malloc_create(name = "Large", num_blocks = 1024, block_size = 8192),
    bdev_null_create(name = "Also", num_blocks = 1024, block_size = 8192),
))]
async fn what_ends_the_process_is_refused() -> spdk::Result<()> {
    let uuid = Bdev::find("N")?.uuid()?;
    let digits: String = uuid.iter().map(|byte| format!("{byte:02X}")).collect();
    let uuid = [
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..],
    ]
    .join("-");
    let zones = |name| json!({"name": name, "base_bdev": "M", "zone_capacity": 64, "optimal_open_zones": 1});
    let discovery = |param: &str, value: Value| {
        let mut params = json!({
            "name": "D", "trtype": "TCP", "adrfam": "IPv4", "traddr": "127.0.0.1", "trsvcid": "1",
            "reconnect_delay_sec": 1,
        });
        params[param] = value;
        params
    };
    let split = |count: u64, size: u64| json!({"base_bdev": "N", "split_count": count, "split_size_mb": size});
    let raid_of = |level: &str, strip: u32, bases: [&str; 2]| json!({"name": "R", "raid_level": level, "strip_size_kb": strip, "base_bdevs": bases});
    let raid = |strip| raid_of("raid0", strip, ["Odd", "Too"]);
    let bounded = |block: u32| json!({"name": "L", "num_blocks": 1024, "block_size": block, "optimal_io_boundary": 16});
    for (method, params, code) in [
        (
            "bdev_null_create",
            json!({"name": "0", "num_blocks": 8, "block_size": 0}),
            -22,
        ),
        (
            "bdev_malloc_create",
            json!({"name": "0", "num_blocks": 8, "block_size": 0}),
            -22,
        ),
        (
            "bdev_nvme_start_discovery",
            discovery("ctrlr_loss_timeout_sec", json!(2)),
            -22,
        ),
        (
            "bdev_nvme_start_discovery",
            discovery("wait_for_attach", json!(true)),
            -22,
        ),
        (
            "bdev_nvme_start_discovery",
            discovery("attach_timeout_ms", json!(1)),
            -22,
        ),
        (
            "bdev_nvme_start_discovery",
            discovery("attach_timeout_ms", json!(1e3)),
            -22,
        ),
        (
            "bdev_nvme_attach_controller",
            json!({
                "name": "C", "trtype": "TCP", "adrfam": "IPv4", "traddr": "127.0.0.1", "trsvcid": "00004420",
                "subnqn": "nqn.2016-06.io.spdk:a",
            }),
            -22,
        ),
        (
            "bdev_nvme_set_options",
            json!({"keep_alive_timeout_ms": 4_294_968}),
            -22,
        ),
        (
            "bdev_nvme_set_options",
            json!({"transport_retry_count": 256}),
            -22,
        ),
        (
            "bdev_nvme_set_options",
            json!({"arbitration_burst": 8}),
            -22,
        ),
        (
            "bdev_nvme_set_options",
            json!({"low_priority_weight": 256}),
            -22,
        ),
        (
            "bdev_nvme_set_options",
            json!({"medium_priority_weight": 256}),
            -22,
        ),
        (
            "bdev_nvme_set_options",
            json!({"high_priority_weight": 256}),
            -22,
        ),
        (
            "bdev_opal_create",
            json!({
                "nvme_ctrlr_name": "C", "nsid": 1, "locking_range_id": 256, "range_start": 0, "range_length": 1,
                "password": "p",
            }),
            -22,
        ),
        (
            "bdev_passthru_create",
            json!({"name": "N", "base_bdev_name": "M"}),
            -17,
        ),
        (
            "bdev_passthru_create",
            json!({"name": "P", "base_bdev_name": "M", "uuid": uuid}),
            -17,
        ),
        ("bdev_zone_block_create", zones("N"), -17),
        (
            "bdev_split_create",
            json!({"base_bdev": "M", "split_count": 2}),
            -17,
        ),
        ("bdev_split_create", split(65, 0), -22),
        ("bdev_split_create", split(1, 1), -22),
        ("bdev_split_create", split(1, 1 << 44), -22),
        ("bdev_split_create", split(1 << 17, 0), -22),
        // Those that are written to it are lost.
        ("bdev_raid_create", raid(8), -22),
        // These stay for ever.
        (
            "bdev_raid_create",
            raid_of("concat", 64, ["Large", "Also"]),
            -22,
        ),
        ("bdev_malloc_create", bounded(8192), -22),
        (
            "bdev_split_create",
            json!({"base_bdev": "N", "split_count": 65.0}),
            -22,
        ),
        (
            "bdev_split_create",
            json!({"base_bdev": uuid.to_lowercase(), "split_count": 2}),
            -22,
        ),
        (
            "bdev_malloc_create",
            json!({"name": "Wraps", "num_blocks": (1_u64 << 55) + 2048, "block_size": BLOCK}),
            -22,
        ),
        (
            "bdev_null_resize",
            json!({"name": "N", "new_size": 1_u64 << 44}),
            -22,
        ),
        (
            "bdev_lvol_resize",
            json!({"name": "store/v", "size_in_mib": 1_u64 << 44}),
            -22,
        ),
        (
            "bdev_lvol_rename",
            json!({"old_name": "store/v", "new_name": "x".repeat(64)}),
            -22,
        ),
        ("accel_set_options", json!({"sequence_count": 0}), -22),
        (
            "bdev_set_qos_limit",
            json!({"name": "M", "rw_mbytes_per_sec": 4096, "timeslice_in_usecs": 1_000_000}),
            -22,
        ),
        (
            "bdev_ftl_load",
            json!({
                "name": "F", "base_bdev": "M", "cache": "N", "uuid": "00000000-0000-0000-0000-000000000000",
            }),
            -22,
        ),
        (
            "bdev_enable_histogram",
            json!({"name": "M", "enable": true, "opc": "bogus"}),
            -22,
        ),
        ("bdev_nvme_get_path_iostat", json!({"name": "M"}), -19),
        ("bdev_nvme_get_io_paths", json!({}), -95),
        (
            "bdev_nvme_send_cmd",
            json!({"name": "Nvme0", "cmd_type": "io", "data_direction": "c2h", "cmdbuf": "AAAA"}),
            -95,
        ),
        (
            "nvmf_subsystem_add_ns",
            json!({"nqn": "nqn.2016-06.io.spdk:a", "namespace": {"bdev_name": "Odd"}}),
            -22,
        ),
        ("nvmf_enable_ctrl_io_stats", json!({"enable": true}), -22),
    ] {
        let refused = rpc::call::<Value>(method, &params).await;
        let error = refused.expect_err("it is refused");
        let ErrorKind::Rpc { code: told, .. } = error.kind() else {
            panic!("{error}");
        };
        assert_eq!(*told, code, "{method} {params}: {error}");
    }
    // Others are not.
    for (method, params) in [
        (
            "bdev_passthru_create",
            json!({"name": "P", "base_bdev_name": "M"}),
        ),
        ("bdev_split_create", split(64, 0)),
        ("bdev_raid_create", raid(4)),
        ("bdev_malloc_create", bounded(4096)),
        (
            "bdev_set_qos_limit",
            json!({"name": "M", "rw_ios_per_sec": 1_000_000, "rw_mbytes_per_sec": 4000}),
        ),
        (
            "bdev_enable_histogram",
            json!({"name": "M", "enable": true, "opc": "read"}),
        ),
    ] {
        rpc::call::<Value>(method, &params).await?;
    }
    assert_eq!(Bdev::find("Np63")?.num_blocks(), 1);
    Ok(())
}

/// Fails if SPDK gets calls on an lvol store that are answered after it: it deletes one volume twice, without end.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 1 << 17, block_size = BLOCK)))]
async fn calls_on_lvol_stores_are_in_turn() -> spdk::Result<()> {
    for _ in 0..5 {
        LvolStore::new("M", "store").create().await?;
        Lvol::new("v", 4).lvs_name("store").create().await?;
        let delete = LvolStoreDelete::new().lvs_name("store");
        let both = async { join(Lvol::delete("store/v"), delete.delete()).await };
        let (volume, store) = within("both", both).await;
        volume?;
        store?;
        assert!(Bdev::get_by_name("store/v").is_none());
    }
    Ok(())
}

/// Fails if a bad request closes the connection, which is also that of the call in flight.
#[spdk::test]
async fn what_the_server_refuses_is_not_sent() -> spdk::Result<()> {
    let other = spawn_local(wait_for_bdev(Duration::from_millis(300)))?;
    let mut deep = json!([]);
    for _ in 0..80 {
        deep = json!([deep]);
    }
    let long = "x".repeat(40_000);
    let bad: [(Value, &str); 5] = [
        (json!({"name": long}), "32768"),
        (json!({"names": vec![1; 2000]}), "1024"),
        (json!({"deep": deep}), "too deeply"),
        (json!("text"), "an object"),
        (json!(1), "an object"),
    ];
    for (params, word) in bad {
        let result: spdk::Result<Value> = rpc::call("bdev_get_bdevs", &params).await;
        let Err(error) = result else {
            panic!("{word} was accepted")
        };
        assert!(
            matches!(error.kind(), ErrorKind::InvalidArgument { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains(word), "{error}");
    }
    // The largest that fits.
    let name = "x".repeat(32 * 1024 - 100);
    let result: spdk::Result<Value> = rpc::call("bdev_get_bdevs", &json!({"name": name})).await;
    assert!(
        matches!(kind(&result), Some(ErrorKind::Rpc { .. })),
        "{result:?}"
    );
    let end = other.await?;
    assert!(matches!(kind(&end), Some(ErrorKind::Rpc { .. })), "{end:?}");
    Ok(())
}

/// Fails if an answer goes to another call than its own, is lost, or is cut where the socket was full.
#[spdk::test(deadline = 60)]
async fn answers_find_their_calls() -> spdk::Result<()> {
    const CALLS: usize = 1000;
    // It answers after all the others.
    let slow = spawn_local(wait_for_bdev(Duration::from_secs(2)))?;
    let names = (0..CALLS).map(|number| format!("Null{number}"));
    let create = names.clone().map(|name| async move {
        let made: String = rpc::call("bdev_null_create", &null(&name)).await?;
        assert_eq!(made, name);
        Ok::<_, spdk::Error>(made)
    });
    let made: BTreeSet<String> = try_join_all(create).await?.into_iter().collect();
    assert_eq!(made.len(), CALLS);
    assert!(!slow.is_finished());
    // A few hundred kilobytes.
    let all: Vec<Value> = rpc::call("bdev_get_bdevs", &()).await?;
    let all: BTreeSet<&str> = all
        .iter()
        .filter_map(|bdev| bdev["name"].as_str())
        .collect();
    assert_eq!(all, made.iter().map(String::as_str).collect());
    let delete = names.map(|name| async move {
        let params = json!({"name": name});
        rpc::call::<bool>("bdev_null_delete", &params).await
    });
    assert!(
        join_all(delete)
            .await
            .into_iter()
            .all(|deleted| matches!(deleted, Ok(true)))
    );
    assert!(Bdev::all()?.is_empty());
    let end = slow.await?;
    assert!(matches!(kind(&end), Some(ErrorKind::Rpc { .. })), "{end:?}");
    Ok(())
}

/// Fails if a method stops with its future, or if its answer confuses a later call.
#[spdk::test]
async fn a_dropped_call_is_made() -> spdk::Result<()> {
    for number in 0..100 {
        let name = format!("Null{number}");
        let params = null(&name);
        {
            let call = pin!(rpc::call::<String>("bdev_null_create", &params));
            assert!(poll_once(call).is_pending());
        }
        if number % 3 == 0 {
            let call = Box::pin(async move {
                rpc::call::<Value>("bdev_get_bdevs", &json!({"name": "none"})).await
            });
            let mut call = std::mem::ManuallyDrop::new(call);
            assert!(poll_once(call.as_mut()).is_pending());
        }
        until("the bdev of a dropped call", || {
            Bdev::get_by_name(&name).is_some()
        })
        .await;
        let deleted: bool = rpc::call("bdev_null_delete", &json!({"name": name})).await?;
        assert!(deleted);
    }
    Ok(())
}

/// Fails if a call needs the app thread, or an spdk_thread at all.
#[spdk::test(cores = "0x3")]
async fn calls_come_from_anywhere() -> spdk::Result<()> {
    let other = second::spdk_thread("other").await;
    let name = other
        .spawn(|| async { rpc::call::<String>("bdev_null_create", &null("A")).await })
        .await??;
    assert_eq!(name, "A");
    let core = SpdkApp::cores()?[1];
    let name = spdk::spawn_on(core, || async {
        rpc::call::<String>("bdev_null_create", &null("B")).await
    })
    .await??;
    assert_eq!(name, "B");
    let (sender, answer) = spdk::completion();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.expect("a runtime");
        let name =
            runtime.block_on(async { rpc::call::<String>("bdev_null_create", &null("C")).await });
        sender.success(name);
    });
    assert_eq!(answer.await??, "C");
    assert_eq!(Bdev::all()?.len(), 3);
    other.exit().await
}

/// Fails if the poller runs on when nobody waits, if somebody else could connect to the server, or if
/// the application's own server is in the way.
#[spdk::test(rpc_addr = &spdk_tests::rpc::address())]
async fn nothing_is_left_behind() -> spdk::Result<()> {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let server = spdk_tests::rpc::get("rpc_get_methods").await;
    assert!(server.is_array(), "{server}");
    let before = std::env::var_os("TMPDIR");
    // SAFETY: the other OS threads of this process do not read the environment, here and below.
    unsafe { std::env::set_var("TMPDIR", temporary.path()) };
    let running: spdk::Result<Value> = wait_for_bdev(Duration::from_millis(50)).await;
    match before {
        // SAFETY: as above.
        Some(before) => unsafe { std::env::set_var("TMPDIR", before) },
        // SAFETY: as above.
        None => unsafe { std::env::remove_var("TMPDIR") },
    }
    assert!(
        matches!(kind(&running), Some(ErrorKind::Rpc { .. })),
        "{running:?}"
    );
    let mut left = std::fs::read_dir(temporary.path()).expect("the directory is read");
    assert!(
        left.next().is_none(),
        "the server's directory is still there"
    );
    let pollers = spdk_tests::rpc::get("thread_get_pollers").await.to_string();
    assert!(pollers.contains("spdk-rs"), "{pollers}");
    assert!(!pollers.contains("spdk-rs-rpc"), "{pollers}");

    let call = spawn_local(wait_for_bdev(Duration::from_millis(500)))?;
    let pollers = spdk_tests::rpc::get("thread_get_pollers").await.to_string();
    assert!(pollers.contains("spdk-rs-rpc"), "{pollers}");
    let _ = call.await?;
    Ok(())
}

/// Fails if a call before the start, or after the end, waits for ever.
#[spdk::test(no_app)]
fn without_an_application_there_are_no_methods() {
    let call = || futures_util::FutureExt::now_or_never(rpc::methods());
    let before = call().expect("it does not wait");
    assert!(
        matches!(kind(&before), Some(ErrorKind::NotInitialised { .. })),
        "{before:?}"
    );
    let inside = app().block_on(rpc::methods());
    assert!(inside.is_ok(), "{inside:?}");
    let after = call().expect("it does not wait");
    assert!(
        matches!(kind(&after), Some(ErrorKind::NotInitialised { .. })),
        "{after:?}"
    );
}

/// Fails if the end of the application comes before the answer of a method that was called.
#[spdk::test(no_app, deadline = 30)]
fn the_end_waits_for_a_method() -> spdk::Result<()> {
    let start = Instant::now();
    app().block_on(async {
        let params = json!({"name": "never", "timeout": 700});
        let call = pin!(rpc::call::<Value>("bdev_get_bdevs", &params));
        assert!(poll_once(call).is_pending());
        // It has been sent when another one has been answered.
        rpc::methods().await.map(drop)
    })?;
    let took = start.elapsed();
    assert!(took > Duration::from_millis(700), "{took:?}");
    Ok(())
}

/// Fails if a call that begins while the application ends is made, or waits.
#[spdk::test(no_app, deadline = 30)]
fn the_end_refuses_calls() -> spdk::Result<()> {
    struct Caller(std::rc::Rc<std::cell::RefCell<Vec<spdk::Result<Vec<String>>>>>);
    impl Drop for Caller {
        fn drop(&mut self) {
            let end = futures_util::FutureExt::now_or_never(rpc::methods());
            self.0.borrow_mut().extend(end);
        }
    }
    let ends = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let caller = Caller(ends.clone());
    app().block_on(async move {
        rpc::methods().await?;
        let task = spawn_local(async move {
            let _caller = caller;
            std::future::pending::<()>().await;
        });
        drop(task);
        Ok(())
    })?;
    let ends = ends.take();
    assert!(
        matches!(kind(&ends[0]), Some(ErrorKind::ThreadEnded { .. })),
        "{ends:?}"
    );
    Ok(())
}

/// Fails if a method that does not end holds up the end of the application, or if who waits for it on
/// another OS thread is not told.
#[spdk::test(no_app, deadline = 30)]
fn a_method_that_does_not_end_is_given_up() -> spdk::Result<()> {
    let waiter = app()
        .shutdown_patience(Duration::from_millis(200))
        .block_on(async {
            let waiter = std::thread::spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build();
                let runtime = runtime.expect("a runtime");
                runtime.block_on(wait_for_bdev(Duration::from_secs(3600)))
            });
            let waits = || async {
                let pollers: Value = rpc::call("thread_get_pollers", &()).await?;
                Ok::<_, spdk::Error>(pollers.to_string().contains("bdev_open_async"))
            };
            while !waits().await? {
                spdk::task::yield_now().await;
            }
            Ok(waiter)
        })?;
    let end = waiter.join().expect("the waiter does not panic");
    assert!(
        matches!(kind(&end), Some(ErrorKind::ThreadEnded { .. })),
        "{end:?}"
    );
    Ok(())
}
