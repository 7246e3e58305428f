//! SPDK's own log as events.
#![allow(missing_docs)]
#![allow(unsafe_code)] // Logs as SPDK's C code does, with texts that live as long as the call.

use std::cell::Cell;

use serde_json::json;
use spdk::log::{self, LogLevel};
use spdk::{ErrorKind, SpdkApp, SpdkThread, sys};
use spdk_tests::traces::{self, Line};
use spdk_tests::{kind, own_thread, rpc};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::layer::{self, Layer, SubscriberExt};

/// All levels of SPDK, with those of `tracing`.
const LEVELS: [(sys::spdk_log_level, LogLevel, Level); 5] = [
    (sys::SPDK_LOG_ERROR, LogLevel::Error, Level::ERROR),
    (sys::SPDK_LOG_WARN, LogLevel::Warn, Level::WARN),
    (sys::SPDK_LOG_NOTICE, LogLevel::Notice, Level::INFO),
    (sys::SPDK_LOG_INFO, LogLevel::Info, Level::DEBUG),
    (sys::SPDK_LOG_DEBUG, LogLevel::Debug, Level::TRACE),
];

/// Logs an error, as SPDK's macros do.
fn log_once() {
    // SAFETY: the format has no arguments.
    unsafe {
        sys::spdk_log(
            sys::SPDK_LOG_ERROR,
            c"some.c".as_ptr(),
            7,
            c"some_function".as_ptr(),
            c"some text\n".as_ptr(),
        );
    }
}

/// Logs a message at each level, as SPDK's macros do; returns what came.
fn log_all() -> Vec<Line> {
    traces::clear();
    let text = "x".repeat(3000);
    let text = std::ffi::CString::new(text).unwrap_or_default();
    for (level, _, _) in LEVELS {
        // SAFETY: the format fits the arguments, a number and a C string that lives during the call.
        unsafe {
            sys::spdk_log(
                level,
                c"some.c".as_ptr(),
                7,
                c"some_function".as_ptr(),
                c"%d %s\n".as_ptr(),
                42,
                text.as_ptr(),
            );
        }
    }
    traces::lines("spdk::log")
}

/// Fails if a message gets another level, is cut, or loses what it says, and if one gets through that is
/// above the level.
#[spdk::test]
async fn levels() -> spdk::Result<()> {
    traces::keep(LevelFilter::TRACE);
    assert_eq!(log::level(), LogLevel::Info);
    log::set_level(LogLevel::Debug);
    let lines = log_all();
    let levels: Vec<Level> = lines.iter().map(|line| line.level).collect();
    assert_eq!(levels, LEVELS.map(|(_, _, level)| level));
    for line in &lines {
        assert_eq!(line.message(), format!("42 {}", "x".repeat(3000)));
        let place = ["file", "line", "function"].map(|field| line.field(field));
        assert_eq!(place, ["some.c", "7", "some_function"]);
        assert!(!line.on_spdk_thread);
    }
    assert!(spdk::SpdkThread::get_current().is_some());
    for (most, (_, level, _)) in (1..).zip(LEVELS) {
        log::set_level(level);
        assert_eq!(log::level(), level);
        assert_eq!(log_all().len(), most);
        assert_eq!(LogLevel::from(LevelFilter::from(level)), level);
        assert_eq!(LevelFilter::from(level), LEVELS[most - 1].2);
    }
    log::set_level(LogLevel::Disabled);
    assert_eq!(log_all().len(), 0);
    Ok(())
}

/// Fails if the subscriber's filter is not asked.
#[spdk::test(log_level = LogLevel::Debug)]
async fn filter() -> spdk::Result<()> {
    traces::keep(LevelFilter::WARN);
    assert_eq!(log::level(), LogLevel::Debug);
    assert_eq!(log_all().len(), 2);
    Ok(())
}

/// What the lvol module says of each new bdev, if its flag is on.
async fn not_found(bdev: &str) -> Vec<Line> {
    traces::clear();
    let params = json!({"name": bdev, "num_blocks": 1024, "block_size": 512});
    rpc::call("bdev_malloc_create", params).await;
    spdk::bdev::wait_for_examine()
        .await
        .expect("it is examined");
    let mut lines = traces::lines("spdk::log");
    lines.retain(|line| line.message().contains("Lvol store not found on"));
    lines
}

/// Fails if a flag cannot be turned on or off while SPDK runs, or is not told.
#[spdk::test(rpc_addr = &rpc::address())]
async fn flags() -> spdk::Result<()> {
    traces::keep(LevelFilter::TRACE);
    let is_on = |name: &str| {
        let flags = log::flags();
        let mut named = flags.iter().filter(|flag| flag.name == name);
        named.next().map(|flag| flag.is_on)
    };
    log::set_level(LogLevel::Debug);
    assert_eq!(
        (is_on("vbdev_lvol"), is_on("bdev_no_such")),
        (Some(false), None)
    );
    assert!(not_found("Malloc0").await.is_empty());
    log::set_flag("vbdev_lvol", true)?;
    assert_eq!(is_on("vbdev_lvol"), Some(true));
    let lines = not_found("Malloc1").await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0].level, Level::DEBUG);
    assert_eq!(lines[0].message(), "Lvol store not found on Malloc1");
    assert!(lines[0].field("file").contains("vbdev_lvol.c"));
    // The flag alone does not do it.
    log::set_level(LogLevel::Notice);
    assert!(not_found("Malloc2").await.is_empty());
    log::set_level(LogLevel::Debug);
    log::set_flag("VBDEV_*", false)?;
    assert_eq!(is_on("vbdev_lvol"), Some(false));
    assert!(not_found("Malloc3").await.is_empty());
    log::set_flag("all", true)?;
    assert!(log::flags().iter().all(|flag| flag.is_on));
    log::set_flag("all", false)?;
    for (name, on, call) in [
        ("no_such", true, "spdk_log_set_flag"),
        ("a\0b", false, "spdk_log_clear_flag"),
    ] {
        let result = log::set_flag(name, on);
        let Some(ErrorKind::InvalidArgument { at, reason, .. }) = kind(&result) else {
            panic!("{result:?}");
        };
        assert_eq!(at.operation, call);
        assert!(
            reason.contains("vbdev_lvol") || reason.contains("NUL"),
            "{reason}"
        );
    }
    // An error of a module, as an event.
    traces::clear();
    let params = json!({"name": "Malloc3", "num_blocks": 1024, "block_size": 512});
    rpc::try_call("bdev_malloc_create", params)
        .await
        .expect_err("there is one of this name");
    let lines = traces::lines("spdk::log");
    let error = lines.iter().find(|line| line.level == Level::ERROR);
    assert!(
        error.is_some_and(|line| line.message().contains("Malloc3")),
        "{lines:?}"
    );
    Ok(())
}

/// Fails if the flags of the builder do nothing, or an unknown one is accepted.
#[spdk::test(no_app)]
fn flags_at_the_start() {
    let app = || {
        SpdkApp::builder()
            .no_huge(true)
            .no_pci(true)
            .mem_size_mb(512)
            .disable_cpumask_locks(true)
            .json_data(
                json!({"subsystems": [{"subsystem": "bdev", "config": [
                    {"method": "bdev_malloc_create",
                     "params": {"name": "Malloc0", "num_blocks": 1024, "block_size": 512}}
                ]}]})
                .to_string(),
            )
    };
    let refused = app().log_flags(["vbdev_lvol", "no_such"]).run(|| ());
    let Some(ErrorKind::Option { option, reason }) = kind(&refused) else {
        panic!("{refused:?}");
    };
    assert_eq!(*option, "log_flags");
    assert!(
        reason.contains("\"no_such\"") && reason.contains("vbdev_lvol"),
        "{reason}"
    );
    traces::keep(LevelFilter::TRACE);
    let ran = app().log_flags(["vbdev_lvol"]).block_on(async {
        assert_eq!(log::level(), LogLevel::Debug);
        spdk::bdev::wait_for_examine().await
    });
    ran.expect("it runs");
    let lines = traces::lines("spdk::log");
    let said = lines
        .iter()
        .any(|line| line.message() == "Lvol store not found on Malloc0");
    assert!(said, "{lines:?}");
}

/// Fails if the argument of the attribute is not the builder's method.
#[spdk::test(log_flags = ["vbdev_lvol", "aio"])]
async fn flags_of_the_attribute() {
    let on = log::flags().into_iter().filter(|flag| flag.is_on);
    let on: Vec<String> = on.map(|flag| flag.name).collect();
    assert_eq!(on, ["aio", "vbdev_lvol"]);
    assert_eq!(log::level(), LogLevel::Debug);
}

/// Fails if SPDK's words are lost without a subscriber, are not as SPDK writes them, or ignore the level.
#[test]
fn without_a_subscriber() {
    let daemon = std::process::Command::new(env!("CARGO_BIN_EXE_daemon"))
        .arg("bad-config")
        .output();
    let Ok(output) = daemon else {
        panic!("{daemon:?}");
    };
    let err = String::from_utf8_lossy(&output.stderr);
    let line = err.lines().find(|line| line.contains("*ERROR*: "));
    assert!(line.is_some_and(|line| line.contains(".c:")), "{err}");
    assert!(!err.contains("*NOTICE*"), "{err}");
}

/// Fails if a long line of SPDK's is cut, goes on in another one, or is read beyond its end.
#[test]
fn long_lines_without_a_subscriber() {
    // SPDK itself prints 1023 bytes.
    let about = 1023 - "*ERROR*: Bdev name END already exists\n".len();
    for length in [about - 2, about - 1, about, about + 1, 3000] {
        let daemon = std::process::Command::new(env!("CARGO_BIN_EXE_daemon"))
            .arg(format!("long-name={length}"))
            .output();
        let Ok(output) = daemon else {
            panic!("{daemon:?}");
        };
        let err = String::from_utf8_lossy(&output.stderr);
        let name = format!("{}END already exists", "x".repeat(length));
        let line = err
            .lines()
            .find(|line| line.contains("bdev_name_add: *ERROR*: "));
        assert!(line.is_some_and(|line| line.ends_with(&name)), "{err}");
    }
}

thread_local! {
    static THREAD: Cell<Option<SpdkThread>> = const { Cell::new(None) };
    static FILTERS: Cell<Option<SpdkThread>> = const { Cell::new(None) };
}

/// Drops the spdk_threads of the OS thread.
struct Dropper;

impl<S: Subscriber> Layer<S> for Dropper {
    fn enabled(&self, metadata: &Metadata<'_>, _: layer::Context<'_, S>) -> bool {
        if metadata.target() == "spdk::log" {
            assert!(SpdkThread::get_current().is_none());
            drop(FILTERS.take());
        }
        true
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: layer::Context<'_, S>) {
        if event.metadata().target() == "spdk::log" {
            assert!(SpdkThread::current("another").is_err());
            drop(THREAD.take());
        }
    }
}

/// Fails if a subscriber, or its filter, ends the spdk_thread on which SPDK goes on, outside of a poll.
#[spdk::test(no_app)]
fn the_subscriber_drops_the_spdk_thread() -> spdk::Result<()> {
    let _env = own_thread::env()?;
    let subscriber = tracing_subscriber::registry().with(Dropper);
    tracing::subscriber::set_global_default(subscriber).expect("the only one of this process");
    THREAD.set(Some(own_thread::thread("other")?));
    FILTERS.set(Some(own_thread::thread("main")?));
    log_once();
    assert!(THREAD.take().is_none() && FILTERS.take().is_none());
    let current = SpdkThread::get_current().expect("it is still there");
    assert_eq!((current.name(), SpdkThread::count()), ("main", 2));
    Ok(())
}
