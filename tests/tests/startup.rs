//! Starting SPDK and ending it: options that cannot be used, and what is left afterwards.
#![allow(missing_docs)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use spdk::bdev::BdevOpts;
use spdk::config::{BdevOptions, Config};
use spdk::time::sleep;
use spdk::{
    Bdev, DmaBuf, Error, ErrorKind, SpdkApp, SpdkAppBuilder, SpdkEnv, SpdkThread, ThreadHandle,
    spawn_local,
};
use spdk_tests::{Device, kind, poll_once, rpc, signal, traces};
use tracing::level_filters::LevelFilter;

const MALLOC: &str = r#"{"subsystems": [{"subsystem": "bdev", "config": [
    {"method": "bdev_malloc_create",
     "params": {"name": "Malloc0", "num_blocks": 1024, "block_size": 512}}]}]}"#;

fn app() -> SpdkAppBuilder {
    spdk::__testing::builder()
}

/// Why it did not start.
fn refusal(app: SpdkAppBuilder) -> String {
    match app.run(|| panic!("it started")).map_err(Error::into_kind) {
        Err(error @ (ErrorKind::Option { .. } | ErrorKind::Start { .. })) => error.to_string(),
        Err(error) => panic!("{error:?}"),
        Ok(()) => panic!("it started"),
    }
}

/// Fails if an option that cannot be used reaches SPDK, which exits or ignores it. None of these
/// attempts counts as the one start of the process.
#[spdk::test(no_app)]
fn options_that_cannot_be_used() -> spdk::Result<()> {
    assert_eq!(
        refusal(app().config_file("/no/such/bdev.json")),
        "option `config_file`: cannot read /no/such/bdev.json: No such file or directory (os error 2)"
    );
    assert_eq!(
        refusal(app().config_file("x").json_data("{}")),
        "option `config_file`: a configuration file and `json_data` are both set; set one of them"
    );
    let cases = [
        ("{", "the JSON text ends too early, at line 1, column 2"),
        (
            "{\n  \"subsystems\": [,]\n}",
            "the JSON text is not valid, at line 2, column 18",
        ),
        (
            "[]",
            "it is not a JSON object; it should be {\"subsystems\": [...]}",
        ),
        ("", "the JSON text ends too early, at line 1, column 1"),
        (
            "{} // a comment\n /* another */ {}",
            "there is more text after the JSON object, which SPDK would ignore, at line 2, column 16",
        ),
        (
            r#"{"subsystems": [{"subsystem": "bdev", "config": [{"method": "framework_start_init"}]}]}"#,
            "`framework_start_init` cannot be in a configuration, for which SPDK starts its subsystems by itself, at line 1, column 61",
        ),
        (
            r#"{"subsystems": [{"subsystem": "bdev", "config": [
                {"params": {"a": [{"block_size": 1}], "block_size": 0.0, "num_blocks": 8}, "method": "bdev_null_create"}]}]}"#,
            "bdev_null_create: `block_size` is 0, by which SPDK divides, at line 2, column 102",
        ),
        (
            r#"{"subsystems": [{"subsystem": "bdev", "config": [
                {"method": "scheduler_set_options", "params": {"scheduling_core": 4294967295, "isolated_core_mask": "[1]"}}]}]}"#,
            "scheduler_set_options: `scheduling_core` is 4294967295; the highest core is 1023, at line 2, column 28",
        ),
        (
            r#"{"subsystems": [{"subsystem": "bdev", "config": [
                {"method": "scheduler_set_options", "params": {"isolated_core_mask": "[4294967297]"}}]}]}"#,
            "scheduler_set_options: `isolated_core_mask` is not a set of cores: \"4294967297\" is not a core number; write a \
             hexadecimal mask such as 0x3 or a list such as [0,2-3], at line 2, column 28",
        ),
        (
            r#"{"subsystems": [{"subsystem": "bdev", "config": [{"method": "framework_wait_init"}]}]}"#,
            "`framework_wait_init` cannot be in a configuration, for whose end it would wait, at line 1, column 61",
        ),
    ];
    for (json, reason) in cases {
        assert_eq!(
            refusal(app().json_data(json)),
            format!("option `json_data`: {reason}")
        );
    }
    let file = tempfile::NamedTempFile::new().map(|file| file.into_temp_path());
    let Ok(file) = file else { panic!("{file:?}") };
    assert!(std::fs::write(&file, "{\n\n  x").is_ok());
    assert_eq!(
        refusal(app().config_file(&file)),
        format!(
            "option `config_file`: {}: the JSON text is not valid, at line 3, column 3",
            file.display()
        )
    );
    let ways = "write a hexadecimal mask such as 0x3 or a list such as [0,2-3]";
    assert_eq!(
        refusal(app().reactor_mask("0xg")),
        format!(
            "option `reactor_mask`: \"0xg\" is not a core mask: 'g' is not a hexadecimal digit; {ways}"
        )
    );
    assert_eq!(
        refusal(app().reactor_mask("0x0")),
        format!("option `reactor_mask`: \"0x0\" is not a core mask: it names no core; {ways}")
    );
    let text = refusal(app().reactor_mask("[0,4000]"));
    assert!(
        text.contains("names core 4000, which this machine has not; it offers"),
        "{text}"
    );
    assert_eq!(
        refusal(app().mem_size_mb(0)),
        "option `mem_size_mb`: 0 MB; it must be at least 1"
    );
    assert_eq!(
        refusal(app().reactor_mask("[0]").main_core(1)),
        "option `main_core`: core 1 is not one of the cores of \"[0]\""
    );
    assert_eq!(refusal(app().name("")), "option `name`: it is empty");
    let text = refusal(app().name("a\0b"));
    assert_eq!(
        text,
        "option `name`: the text has a NUL byte at position 1; C strings cannot hold one"
    );
    // The one start is still to be had.
    app().run(|| ())
}

/// Fails if the reason is lost on the way from SPDK's log.
#[spdk::test(no_app)]
fn an_rpc_that_does_not_exist() {
    let json = MALLOC.replace("bdev_malloc_create", "bdev_malloc_conjure");
    let text = refusal(app().json_data(json));
    assert!(text.starts_with("SPDK did not start: "), "{text}");
    assert!(
        text.contains("Method 'bdev_malloc_conjure' was not found"),
        "{text}"
    );
}

/// As above.
#[spdk::test(no_app)]
fn an_rpc_that_fails() {
    let text = refusal(app().json_data(MALLOC.replace("512", "511")));
    assert!(
        text.contains("511") || text.contains("block size"),
        "{text}"
    );
}

/// As above; what SPDK does with too little memory must not be the end of the process.
#[spdk::test(no_app)]
fn too_little_memory() {
    let text = refusal(app().mem_size_mb(16));
    assert!(text.starts_with("SPDK did not start: "), "{text}");
    assert!(text.contains("pool") || text.contains("allocate"), "{text}");
    let hint = "; it was given 16 MB of memory (`mem_size_mb`)";
    assert!(text.ends_with(hint), "{text}");
}

/// As above: with more, the framework starts and the bdev layer does not, in other words.
#[spdk::test(no_app)]
fn too_little_memory_for_bdevs() {
    let text = refusal(app().mem_size_mb(256));
    assert!(text.contains("spdk_bdev_io pool"), "{text}");
    let hint = "; it was given 256 MB of memory (`mem_size_mb`)";
    assert!(text.ends_with(hint), "{text}");
}

/// Fails if DPDK's words on stderr are all that says what is missing.
#[spdk::test(no_app)]
fn memory_that_dpdk_lacks() -> spdk::Result<()> {
    let plain = "option `no_huge`: it takes ordinary memory; say how much with `mem_size_mb`";
    assert_eq!(refusal(SpdkAppBuilder::new().no_huge(true)), plain);
    match SpdkEnv::builder().no_huge(true).build() {
        Err(error) => assert_eq!(error.to_string(), plain),
        Ok(_) => panic!("it started"),
    }
    // More than any machine has, of hugepages or not.
    let text = refusal(app().no_huge(false).mem_size_mb(i32::MAX));
    let hint = "It takes hugepages that are free, and root; `no_huge` with `mem_size_mb`, and `no_pci`, do without";
    assert!(text.ends_with(hint), "{text}");
    Ok(())
}

/// As above.
#[spdk::test(no_app)]
fn an_rpc_address_that_cannot_be_used() {
    let text = refusal(app().rpc_addr("/no/such/directory/rpc.sock"));
    assert!(text.starts_with("SPDK did not start: "), "{text}");
}

/// Fails if an environment that cannot be had ends the process.
#[spdk::test(no_app)]
fn an_environment_with_wrong_options() -> spdk::Result<()> {
    let builder = || {
        SpdkEnv::builder()
            .no_huge(true)
            .no_pci(true)
            .mem_size_mb(64)
    };
    let text = |builder: spdk::SpdkEnvBuilder| match builder.build() {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it started"),
    };
    let mask = text(builder().core_mask("x"));
    assert!(
        mask.starts_with("option `core_mask`: \"x\" is not a core mask"),
        "{mask}"
    );
    assert_eq!(text(builder().name("")), "option `name`: it is empty");
    assert_eq!(
        text(builder().mem_size_mb(-5)),
        "option `mem_size_mb`: -5 MB; it must be at least 1"
    );
    let env = builder().build()?;
    assert!(matches!(
        kind(&builder().build()),
        Some(ErrorKind::AlreadyInitialised)
    ));
    assert!(matches!(
        kind(&app().run(|| ())),
        Some(ErrorKind::AlreadyInitialised)
    ));
    drop(env);
    assert!(matches!(
        kind(&builder().build()),
        Some(ErrorKind::AlreadyInitialised)
    ));
    Ok(())
}

/// Fails if SPDK is started a second time: it would find its own remains.
#[spdk::test(no_app)]
fn a_second_start_is_refused() -> spdk::Result<()> {
    app().run(|| {
        assert!(matches!(
            kind(&app().run(|| ())),
            Some(ErrorKind::AlreadyInitialised)
        ));
        assert!(matches!(
            kind(&SpdkEnv::init()),
            Some(ErrorKind::AlreadyInitialised)
        ));
    })?;
    let again = app().block_on(async { Ok(1) });
    let text = again.err().map(|error| error.to_string());
    assert_eq!(
        text.as_deref(),
        Some(
            "SPDK was already initialised in this process; it can be initialised once only, even \
             after it ended"
        )
    );
    Ok(())
}

/// Fails if a configuration with comments is refused, or the file is not the one given.
#[spdk::test(no_app)]
fn a_configuration_file_is_read() -> spdk::Result<()> {
    let dir = tempfile::tempdir();
    let Ok(dir) = dir else { panic!("{dir:?}") };
    let file = dir.path().join("bdev.json");
    assert!(std::fs::write(&file, format!("// The device.\n{MALLOC}\n")).is_ok());
    let blocks = app()
        .config_file(&file)
        .block_on(async { Ok(Bdev::find("Malloc0")?.num_blocks()) })?;
    assert_eq!(blocks, 1024);
    Ok(())
}

/// Fails if the result, an error or a panic of the main future is lost, or if the application does
/// not end after it.
#[spdk::test(no_app)]
fn the_main_function_has_a_result() -> spdk::Result<()> {
    let text = app().json_data(MALLOC).block_on(async {
        let device = Device::open("Malloc0")?;
        let mut buf = device.buffer(1)?;
        device.desc.read(&device.ch, &mut buf, 0).await?;
        Ok(String::from("a result"))
    })?;
    assert_eq!(text, "a result");
    Ok(())
}

/// As above.
#[spdk::test(no_app)]
fn the_main_function_has_an_error() {
    let end = app().block_on(async { Bdev::find("None").map(|bdev| bdev.num_blocks()) });
    assert!(matches!(kind(&end), Some(ErrorKind::NoSuchBdev { name }) if name == "None"));
}

/// As above: the application ends in order, and then the panic goes on.
#[spdk::test(no_app)]
#[should_panic(expected = "in the main future")]
fn the_main_function_panics() {
    let end = app().json_data(MALLOC).run_async(async {
        let _device = Device::open("Malloc0");
        panic!("in the main future");
    });
    panic!("it returned {end:?}");
}

/// As above.
#[spdk::test(no_app)]
#[should_panic(expected = "in the main function")]
fn the_plain_main_function_panics() {
    let end = app().run(|| panic!("in the main function"));
    panic!("it returned {end:?}");
}

/// Fails if `run` ends before the tasks that its function spawned.
#[spdk::test(no_app)]
fn run_waits_for_the_tasks() -> spdk::Result<()> {
    let done = Rc::new(Cell::new(0));
    let counter = done.clone();
    app().json_data(MALLOC).run(move || {
        for _ in 0..10 {
            let counter = counter.clone();
            let task = spawn_local(async move {
                let device = Device::open("Malloc0")?;
                let mut buf = device.buffer(1)?;
                for _ in 0..10 {
                    device.desc.read(&device.ch, &mut buf, 0).await?;
                }
                counter.set(counter.get() + 1);
                Ok::<_, Error>(())
            });
            assert!(task.is_ok());
        }
    })?;
    assert_eq!(done.get(), 10);
    Ok(())
}

/// Fails if `stop` does not end the application, from inside or from another OS thread, or is an
/// error when there is none.
#[spdk::test(no_app)]
fn stop_ends_it() {
    SpdkApp::stop();
    let dropped = Rc::new(Cell::new(false));
    struct Drops(Rc<Cell<bool>>);
    impl Drop for Drops {
        fn drop(&mut self) {
            assert!(
                SpdkThread::get_current().is_some(),
                "dropped outside of its spdk_thread"
            );
            self.0.set(true);
        }
    }
    let drops = Drops(dropped.clone());
    let end: spdk::Result<()> = app().json_data(MALLOC).block_on(async move {
        let _drops = drops;
        let device = Device::open("Malloc0")?;
        let mut buf = device.buffer(1)?;
        drop(std::thread::spawn(SpdkApp::stop));
        loop {
            device.desc.read(&device.ch, &mut buf, 0).await?;
        }
    });
    assert!(matches!(kind(&end), Some(ErrorKind::Cancelled)), "{end:?}");
    assert!(dropped.get(), "the main future was not dropped");
    SpdkApp::stop();
    SpdkApp::start_shutdown();
}

/// Fails if a `stop` that comes while the application starts, as from a handler of a signal, is lost.
#[spdk::test(no_app)]
fn stop_ends_one_that_is_starting() {
    traces::keep(LevelFilter::INFO);
    let stop = std::thread::spawn(|| {
        let deadline = Instant::now() + Duration::from_secs(20);
        let has_begun = || {
            let lines = traces::lines("spdk::log");
            let mut lines = lines.iter().map(traces::Line::message);
            lines.any(|line| line.contains("Starting SPDK"))
        };
        while !has_begun() {
            assert!(Instant::now() < deadline, "SPDK does not start");
            std::thread::yield_now();
        }
        SpdkApp::stop();
    });
    let end: spdk::Result<()> = app().block_on(async { sleep(Duration::from_secs(20)).await });
    assert!(matches!(kind(&end), Some(ErrorKind::Cancelled)), "{end:?}");
    stop.join().expect("it has stopped it");
}

/// Fails if the OS thread keeps the one core of the reactor, which those that it starts later would inherit.
#[spdk::test(no_app)]
fn the_cores_are_those_from_before() -> spdk::Result<()> {
    let cores = || std::thread::available_parallelism().map_or(0, |cores| cores.get());
    let before = cores();
    app().run(move || assert_eq!(cores(), 1))?;
    assert!(before > 1, "this machine has {before} core");
    assert_eq!(cores(), before);
    Ok(())
}

static TERMINATED: AtomicU32 = AtomicU32::new(0);

fn count_terminated() {
    TERMINATED.fetch_add(1, SeqCst);
}

/// Fails if SPDK's handler of a signal is left behind: it needs the app thread.
#[spdk::test(no_app)]
fn a_signal_after_the_end_is_the_programs() -> spdk::Result<()> {
    signal::on_terminate(count_terminated);
    app().run(|| ())?;
    assert_eq!(TERMINATED.load(SeqCst), 0);
    signal::terminate();
    signal::terminate();
    assert_eq!(TERMINATED.load(SeqCst), 2);
    Ok(())
}

/// As above.
#[spdk::test(no_app)]
fn a_signal_after_a_start_that_failed_is_the_programs() {
    signal::on_terminate(count_terminated);
    let _ = refusal(app().json_data(MALLOC.replace("512", "511")));
    signal::terminate();
    assert_eq!(TERMINATED.load(SeqCst), 1);
}

/// Fails if SPDK's handler needs the app thread when it is gone: a handler that came later still calls it.
#[spdk::test(no_app)]
fn a_signal_after_the_end_may_reach_the_handler_of_spdk() -> spdk::Result<()> {
    app().run(|| signal::on_terminate(count_terminated))?;
    signal::terminate();
    assert_eq!(TERMINATED.load(SeqCst), 1);
    Ok(())
}

/// Fails if a signal does not end the application any more.
#[spdk::test(no_app)]
fn a_signal_ends_the_application() {
    let end: spdk::Result<()> = app().block_on(async {
        signal::terminate();
        std::future::pending().await
    });
    assert!(matches!(kind(&end), Some(ErrorKind::Cancelled)), "{end:?}");
}

/// Fails if SPDK's memory is used before it is there, or after.
#[spdk::test(no_app)]
fn memory_before_and_after() -> spdk::Result<()> {
    let text = |result: spdk::Result<DmaBuf>| match result {
        Err(error) => error.to_string(),
        Ok(buf) => panic!("{} bytes", buf.len()),
    };
    let expected = "DmaBuf::alloc: SPDK is not initialised in this process; build a `SpdkEnv` or run \
                    a `SpdkApp` first";
    assert_eq!(text(DmaBuf::alloc(4096, 4096)), expected);
    assert!(matches!(
        kind(&SpdkThread::current("x")),
        Some(ErrorKind::NotInitialised { .. })
    ));
    let kept = Rc::new(RefCell::new(None));
    let keep = kept.clone();
    app().run(move || {
        let buf = DmaBuf::alloc(4096, 4096).map(|mut buf| {
            buf.fill(7);
            buf
        });
        *keep.borrow_mut() = buf.ok();
    })?;
    assert_eq!(text(DmaBuf::alloc(4096, 4096)), expected);
    // A buffer from before is still there, and can be used up.
    let Some(mut buf) = kept.borrow_mut().take() else {
        panic!("no buffer")
    };
    assert!(buf.iter().all(|byte| *byte == 7));
    buf.fill(8);
    assert!(buf.iter().all(|byte| *byte == 8));
    let elsewhere = std::thread::spawn(move || drop(buf));
    assert!(elsewhere.join().is_ok());
    assert_eq!(text(DmaBuf::alloc(4096, 4096)), expected);
    Ok(())
}

thread_local! {
    static KEPT: RefCell<Vec<Device>> = const { RefCell::new(Vec::new()) };
    static THREAD: RefCell<Option<ThreadHandle>> = const { RefCell::new(None) };
}

/// Fails if a handle that is kept beyond the end reaches what SPDK has freed, when it is used or when
/// it is dropped, at last with the variables of its OS thread.
#[spdk::test(no_app)]
fn handles_beyond_the_end() -> spdk::Result<()> {
    app().json_data(MALLOC).block_on(async {
        for _ in 0..3 {
            let device = Device::open("Malloc0")?;
            let mut buf = device.buffer(1)?;
            device.desc.read(&device.ch, &mut buf, 0).await?;
            KEPT.with_borrow_mut(|kept| kept.push(device));
        }
        THREAD.set(SpdkThread::get_current().map(|current| current.handle()));
        Ok(())
    })?;
    let Some(Device { bdev, desc, ch }) = KEPT.with_borrow_mut(Vec::pop) else {
        panic!("nothing was kept");
    };
    assert_eq!((bdev.name(), bdev.num_blocks()), ("Malloc0", 1024));
    assert!(bdev.as_ptr().is_null() && desc.as_ptr().is_null() && ch.as_ptr().is_null());
    let text = bdev.product_name().err().map(|error| error.to_string());
    assert_eq!(
        text.as_deref(),
        Some("spdk_bdev_get_product_name on bdev \"Malloc0\": its spdk_thread has ended")
    );
    assert!(matches!(
        kind(&desc.get_io_channel()),
        Some(ErrorKind::Gone { .. })
    ));
    let mut flush = Box::pin(desc.flush(&ch, 0, 512));
    assert!(matches!(
        poll_once(flush.as_mut()).map_err(Error::into_kind),
        std::task::Poll::Ready(Err(ErrorKind::Gone { .. }))
    ));
    drop(flush);
    assert!(matches!(
        kind(&Bdev::find("Malloc0")),
        Some(ErrorKind::NoThread { .. })
    ));
    assert!(matches!(
        kind(&spawn_local(async {})),
        Some(ErrorKind::NoThread { .. })
    ));
    drop((ch, bdev, desc));
    std::mem::forget(KEPT.with_borrow_mut(Vec::pop));
    let handle = THREAD.take();
    assert!(handle.as_ref().is_some_and(ThreadHandle::has_ended));
    let sent = handle.map(|handle| handle.send(|| panic!("it ran")));
    assert!(
        matches!(sent.as_ref().and_then(kind), Some(ErrorKind::ThreadEnded { name }) if name == "app_thread")
    );
    assert!(SpdkThread::app_thread().is_none());
    // One is left in `KEPT`, for the end of this OS thread.
    Ok(())
}

/// Fails if a future that is in flight at the end, and kept, is completed or dropped into freed
/// memory.
#[spdk::test(no_app)]
fn futures_beyond_the_end() -> spdk::Result<()> {
    type Io = std::pin::Pin<Box<dyn Future<Output = spdk::Result<()>>>>;
    let kept: Rc<RefCell<Vec<Io>>> = Rc::default();
    let keep = kept.clone();
    app().json_data(MALLOC).block_on(async move {
        for _ in 0..3 {
            let device = Device::open("Malloc0")?;
            let mut io: Io = Box::pin(async move {
                let mut buf = device.buffer(8)?;
                device.desc.read(&device.ch, &mut buf, 0).await
            });
            assert!(poll_once(io.as_mut()).is_pending());
            keep.borrow_mut().push(io);
        }
        Ok(())
    })?;
    let mut ios = kept.take();
    // The operation ended before SPDK did.
    let first = ios.pop().map(|mut io| poll_once(io.as_mut()));
    assert!(
        matches!(first, Some(std::task::Poll::Ready(Ok(())))),
        "{first:?}"
    );
    drop(ios.pop());
    std::mem::forget(ios.pop());
    Ok(())
}

/// Fails if what a task leaves behind is dropped after SPDK, or not at all.
#[spdk::test(no_app)]
fn tasks_are_dropped_at_the_end() -> spdk::Result<()> {
    static DROPPED: AtomicU32 = AtomicU32::new(0);
    struct Drops;
    impl Drop for Drops {
        fn drop(&mut self) {
            // A drop may use SPDK, too.
            let device = Device::open("Malloc0").map(drop);
            let task = spawn_local(async {}).map(drop);
            assert!(SpdkThread::get_current().is_some(), "{device:?} {task:?}");
            DROPPED.fetch_add(1, SeqCst);
        }
    }
    app().json_data(MALLOC).block_on(async {
        for _ in 0..100 {
            drop(spawn_local(async {
                let _drops = Drops;
                std::future::pending::<()>().await;
            })?);
            let endless = spawn_local(async {
                let _drops = Drops;
                loop {
                    spdk::task::yield_now().await;
                }
            })?;
            drop(endless);
        }
        spdk::task::yield_now().await;
        Ok(())
    })?;
    assert_eq!(DROPPED.load(SeqCst), 200);
    Ok(())
}

/// Fails if an option does not reach SPDK, or one that it would refuse does.
#[spdk::test(no_app)]
fn what_bdevs_share() {
    let opts = BdevOpts::new()
        .bdev_io_pool_size(777)
        .bdev_io_cache_size(33)
        .bdev_auto_examine(false);
    let app = app().bdev_opts(opts).rpc_addr(&rpc::address());
    let config = app.block_on(async {
        Ok(rpc::call("framework_get_config", serde_json::json!({"name": "bdev"})).await)
    });
    let config = config.unwrap_or_else(|error| panic!("{error}"));
    let options = &config[0];
    assert_eq!(options["method"], "bdev_set_options");
    let params = &options["params"];
    assert_eq!(params["bdev_io_pool_size"], 777);
    assert_eq!(params["bdev_io_cache_size"], 33);
    assert_eq!(params["bdev_auto_examine"], false);
}

/// Fails if an option of the configuration loses to the builder's, or the builder's others are lost for it.
fn said_twice(both: impl FnOnce(SpdkAppBuilder, BdevOpts, Config) -> SpdkAppBuilder) {
    let opts = BdevOpts::new()
        .bdev_io_pool_size(777)
        .bdev_io_cache_size(33)
        .bdev_auto_examine(false)
        .iobuf_small_cache_size(44);
    let config = BdevOptions::new()
        .bdev_io_pool_size(888)
        .iobuf_large_cache_size(11);
    let app = both(app(), opts, Config::new().with(config));
    let running = app.rpc_addr(&rpc::address()).block_on(async {
        Ok(rpc::call("framework_get_config", serde_json::json!({"name": "bdev"})).await)
    });
    let running = running.unwrap_or_else(|error| panic!("{error}"));
    let expected = serde_json::json!({
        "bdev_io_pool_size": 888,
        "bdev_io_cache_size": 33,
        "bdev_auto_examine": false,
        "iobuf_small_cache_size": 44,
        "iobuf_large_cache_size": 11,
    });
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&running[0]["params"][name], value, "{name}");
    }
}

#[spdk::test(no_app)]
fn what_bdevs_share_said_twice() {
    said_twice(|app, opts, config| app.bdev_opts(opts).config(config));
}

/// In the other order, which makes no difference.
#[spdk::test(no_app)]
fn what_bdevs_share_said_twice_in_the_other_order() {
    said_twice(|app, opts, config| app.config(config).bdev_opts(opts));
}

/// Fails if options that are right by themselves, and wrong together, are not refused.
#[spdk::test(no_app)]
fn too_few_ios_said_twice() {
    let opts = BdevOpts::new().bdev_io_pool_size(64).bdev_io_cache_size(8);
    let fewer = Config::new().with(BdevOptions::new().bdev_io_pool_size(7));
    let text = refusal(app().bdev_opts(opts).config(fewer));
    let expected =
        "SPDK did not start: bdev_io_pool_size 7 is not compatible with bdev_io_cache_size 8";
    assert!(text.starts_with(expected), "{text}");
}

/// Fails if an application starts in which an spdk_thread may wait for ever for the I/Os of another one.
#[spdk::test(no_app)]
fn no_ios_kept() {
    let text = refusal(app().bdev_opts(BdevOpts::new().bdev_io_cache_size(0)));
    let why = "an spdk_thread that keeps no I/O may wait for ever for those that others have";
    assert_eq!(text, format!("option `bdev_opts`: {why}; keep 1 at least"));
    let config = Config::new().with(BdevOptions::new().bdev_io_cache_size(0));
    let text = match app().config(config).run(|| panic!("it started")) {
        Err(error) => error.to_string(),
        Ok(()) => panic!("it started"),
    };
    let expected = format!("`bdev_io_cache_size` is 0; write 1 at least, since {why}");
    assert!(text.ends_with(&expected), "{text}");
}

#[spdk::test(no_app)]
fn too_few_ios_for_bdevs() {
    let opts = BdevOpts::new().bdev_io_pool_size(8).bdev_io_cache_size(9);
    let text = refusal(app().bdev_opts(opts));
    let expected = "option `bdev_opts`: a pool of 8 I/Os, of which each spdk_thread keeps 9; it must have as many at least";
    assert_eq!(text, expected);
}

/// Fails if it is not said which parameter of which method SPDK does not understand: SPDK itself says no more than that one
/// was so.
#[spdk::test(no_app)]
fn a_wrong_parameter_of_a_configuration_is_named() {
    let reason = refusal(app().json_data(MALLOC.replace("block_size", "block_sise")));
    for word in ["bdev_malloc_create", "block_sise"] {
        assert!(reason.contains(word), "{reason}");
    }
}
