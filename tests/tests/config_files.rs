//! Configurations that are checked, loaded, saved, and taken from the running application.
//!
//! Each of these faults was put into the crate, and the test named failed:
//!
//! - A column is one off, or that of a text is behind its quote: `mistakes_are_found_where_they_are`.
//! - A parameter that is there twice is not seen: the same.
//! - A bdev of an NVMe controller is called missing: `good_configurations_have_no_problems`.
//! - The order of the subsystems is not looked at: `subsystems_come_after_those_that_they_use`.
//! - A subsystem's calls are added at the begin: `what_is_saved_is_what_is_loaded`.
//! - The wait for the modules is not added: `the_application_waits_for_the_modules`.
//! - Only the first subsystem is asked for its configuration: `options_take_effect`.
#![allow(missing_docs)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::str::FromStr;

use serde_json::{Value, json};
use spdk::config::{
    AccelAssign, AccelOptions, ActionOnTimeout, Aio, BdevOptions, ClearMethod, Config, Delay,
    ErrorBdev, InjectError, InjectInto, InjectedError, IobufOptions, KeyFile, Lvol, LvolStore,
    Malloc, NvmeController, NvmeDiscovery, NvmeHotplug, NvmeOptions, NvmeTransport, Passthru,
    QosLimit, Raid, RaidLevel, RaidOptions, SockDefault, SockOptions, Split, WaitForExamine,
};
use spdk::{Bdev, ErrorKind, SpdkAppBuilder};
use spdk_tests::kind;
use spdk_tests::nvmf::nvmf_tgt;

fn app() -> SpdkAppBuilder {
    spdk::__testing::builder()
}

/// The problems of a configuration, each with its place.
fn problems(config: &Config) -> Vec<String> {
    match config.validate() {
        Ok(()) => Vec::new(),
        Err(error) => told(error),
    }
}

fn told(error: spdk::Error) -> Vec<String> {
    let text = error.to_string();
    match error.into_kind() {
        ErrorKind::Config { problems } => {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            assert_eq!(text, problems.join("\n"));
            problems
        }
        other => panic!("{other:?}"),
    }
}

/// A configuration of the bdev subsystem with these calls.
fn bdevs(calls: &str) -> String {
    format!("{{\"subsystems\": [\n{{\"subsystem\": \"bdev\", \"config\": [\n{calls}\n]}}]}}")
}

/// Fails if a text that is no configuration is taken for one, or if the place is another one.
#[spdk::test(no_app)]
fn texts_of_another_form_are_refused() {
    let cases = [
        ("{", "line 1, column 2: the JSON text ends too early"),
        (
            "{\n  \"subsystems\": [,]}",
            "line 2, column 18: the JSON text is not valid",
        ),
        (
            "[]",
            "line 1, column 1: it is not an object; write {\"subsystems\": [...]}",
        ),
        (
            "{\"subsystems\": {}}",
            "line 1, column 16: `subsystems` is not an array",
        ),
        (
            "{\"subsystems\": [1]}",
            "line 1, column 17: it is not an object;",
        ),
        (
            "{\"subsystems\": [\n {\"config\": []}]}",
            "line 2, column 2: a subsystem has a `subsystem` and a `config`;",
        ),
        (
            "{\"subsystems\": [{\"subsystem\": 1, \"config\": []}]}",
            "line 1, column 31: the subsystem's name is not a text;",
        ),
        (
            "{\"subsystems\": [{\"subsystem\": \"bdev\", \"config\": {}}]}",
            "line 1, column 49: `config` is not an array;",
        ),
        (
            "{\"subsystems\": [{\"subsystem\": \"bdev\", \"config\": [], \"more\": 1}]}",
            "line 1, column 53: `more` has no meaning here;",
        ),
        (
            "{\"subsystems\": [],\n \"subsystems\": []}",
            "line 2, column 16: `subsystems` is there twice",
        ),
        (
            "{\"subsystems\": []}\n// a comment\n}",
            "line 3, column 1: there is more text after the JSON object",
        ),
    ];
    for (text, expected) in cases {
        match Config::from_str(text) {
            Ok(config) => panic!("{text} is taken as {config}"),
            Err(error) => {
                let told = told(error);
                assert!(
                    told[0].starts_with(expected),
                    "{text}\n{told:?}\n{expected}"
                );
            }
        }
    }
    let cases = [
        ("{}", "line 3, column 1: an entry has a `method`;"),
        (
            "{\"method\": 5}",
            "line 3, column 12: the method is not a text;",
        ),
        (
            "{\"method\": \"a\", \"params\": [1]}",
            "line 3, column 27: `params` is not an object;",
        ),
        (
            "{\"method\": \"a\", \"method\": \"b\"}",
            "line 3, column 17: `method` is there twice",
        ),
        (
            "{\"method\": \"a\", \"params\": {\"n\": 1e999}}",
            "line 3, column 33: the number 1e999 is too large",
        ),
    ];
    for (call, expected) in cases {
        match Config::from_str(&bdevs(call)) {
            Ok(config) => panic!("{call} is taken as {config}"),
            Err(error) => {
                let told = told(error);
                assert!(
                    told[0].starts_with(expected),
                    "{call}\n{told:?}\n{expected}"
                );
            }
        }
    }
    assert_eq!(
        Config::from_str("{}").expect("SPDK takes it"),
        Config::new()
    );
    let missing = Config::load("/no/such/file.json");
    let text = missing.expect_err("there is no such file").to_string();
    assert!(text.contains("cannot read /no/such/file.json"), "{text}");
}

/// Fails if a mistake is not found, or not at its place, or another one hides it.
#[spdk::test(no_app)]
fn mistakes_are_found_where_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bad.json");
    // The places are counted by hand. The texts have escapes and comments before what is wrong.
    let text = bdevs(
        r#"// A comment /* that means nothing.
{"method": "bdev_malloc_create", /* here */ "params": {"name": "\u0041\n", "block_sise": 512,
    "num_blocks": "8192"}},
{"method": "bdev_malloc_creat", "params": {"name": "B"}},
{"method": "bdev_null_create", "params": {"name": "N", "num_blocks": 8, "block_size": 512, "uuid": "x"}},
{"method": "bdev_null_create", "params": {"name": "N", "num_blocks": 8, "block_size": 512,
    "num_blocks": 9}},
{"method": "bdev_raid_create", "params": {"name": "R", "raid_level": "RAID9", "base_bdevs": ["N", "M"]}},
{"method": "bdev_delay_create", "params": {"name": "D", "base_bdev_name": "X",
    "avg_read_latency": -1, "p99_read_latency": 1, "avg_write_latency": 1}},
{"method": "bdev_set_options", "params": {"bdev_io_pool_size": 4294967296, "bdev_auto_examine": 1}},
{"method": "framework_wait_init"}"#,
    );
    std::fs::write(&file, text).expect("the file is written");
    let config = Config::load(&file).expect("its form is right");
    let place = file.display().to_string();
    let found: Vec<String> = problems(&config)
        .iter()
        .map(|problem| {
            problem
                .strip_prefix(&place)
                .expect("the file's name")
                .to_owned()
        })
        .collect();
    let expected = [
        ":4:76: bdev_malloc_create has no parameter `block_sise`; did you mean `block_size`?",
        ":5:5: `num_blocks` of bdev_malloc_create is the text \"8192\"; write an integer from 0 to \
         18446744073709551615",
        ":4:12: bdev_malloc_create needs `block_size`; write an integer from 0 to 4294967295",
        ":6:12: SPDK v26.01 has no method \"bdev_malloc_creat\"; did you mean `bdev_malloc_create`?",
        ":7:92: `uuid` of bdev_null_create is the text \"x\"; write a UUID as text",
        ":9:5: `num_blocks` of bdev_null_create is there twice",
        ":8:12: bdev_null_create makes a bdev called \"N\" already",
        ":10:56: `raid_level` of bdev_raid_create is the text \"RAID9\"; write one of \"raid0\", \
         \"0\", \"raid1\", \"1\", \"raid5f\", \"5f\", \"concat\"",
        ":12:5: `avg_read_latency` of bdev_delay_create is -1; write an integer from 0 to \
         18446744073709551615",
        ":11:12: bdev_delay_create needs `p99_write_latency`; write an integer from 0 to \
         18446744073709551615",
        ":13:76: `bdev_auto_examine` of bdev_set_options is 1; write `true` or `false`",
        ":13:43: `bdev_io_pool_size` of bdev_set_options is 4294967296; write an integer from 0 to \
         4294967295",
        ":14:12: `framework_wait_init` cannot be in a configuration, for whose end it would wait",
    ];
    assert_eq!(found, expected, "{found:#?}");

    let text = bdevs(
        r#"{"method": "bdev_null_create", "params": {"name": "N", "num_blocks": 8, "block_size": 512}},
{"method": "bdev_raid_create", "params": {"name": "R", "raid_level": "raid1", "base_bdevs": ["N", "M"]}},
{"method": "bdev_passthru_create", "params": {"name": "P",
    "base_bdev_name": "X"}}"#,
    );
    let config = Config::from_str(&text).expect("its form is right");
    let expected = [
        "line 4, column 79: bdev_raid_create uses the bdev \"M\", which nothing in the configuration \
         makes",
        "line 6, column 5: bdev_passthru_create uses the bdev \"X\", which nothing in the \
         configuration makes",
    ];
    assert_eq!(problems(&config), expected);
}

/// Fails if a mistake in a configuration that was built is not found, or has no place.
#[spdk::test(no_app)]
fn mistakes_of_built_configurations_are_found() -> spdk::Result<()> {
    let config = Config::new()
        .with(Malloc::new("A", 512, 64).uuid("nonsense"))
        .with(Malloc::new("A", 512, 64))
        .with(Passthru::new("P", "B"))
        .with_call("bdev", "bdev_nul_create", &json!({"name": "N"}))?;
    assert_eq!(
        problems(&config),
        [
            "subsystems[0].config[0].params.uuid: `uuid` of bdev_malloc_create is the text \
             \"nonsense\"; write a UUID as text",
            "subsystems[0].config[1]: bdev_malloc_create makes a bdev called \"A\" already",
            "subsystems[0].config[3]: SPDK v26.01 has no method \"bdev_nul_create\"; did you mean \
             `bdev_null_create`?",
        ]
    );
    // Without the method that is not known, what is missing is.
    let config = Config::new().with(Passthru::new("P", "B"));
    let expected = "subsystems[0].config[0].params.base_bdev_name: bdev_passthru_create uses the \
                    bdev \"B\", which nothing in the configuration makes";
    assert_eq!(problems(&config), [expected]);
    // What SPDK takes, and does not survive.
    let discovery = NvmeDiscovery::new("D", NvmeTransport::Tcp, "127.0.0.1");
    let config = Config::new()
        .with(Malloc::new("A", 0, 64))
        .with(discovery.ctrlr_loss_timeout_sec(2).reconnect_delay_sec(1));
    assert_eq!(
        problems(&config),
        [
            "subsystems[0].config[0].params.block_size: `block_size` is 0, by which SPDK divides",
            "subsystems[0].config[1].params.ctrlr_loss_timeout_sec: `ctrlr_loss_timeout_sec` is neither 0 nor -1; \
             SPDK would crash when it gives up a controller",
        ]
    );
    let bases = ["A", "B"];
    let config = |block_size| {
        Config::new()
            .with(Raid::new("R", RaidLevel::Raid0, bases).strip_size_kb(8))
            .with(Malloc::new("A", block_size, 64))
            .with(Malloc::new("B", block_size, 64))
    };
    assert_eq!(
        problems(&config(1536)),
        [
            "subsystems[0].config[0].params.strip_size_kb: a strip would have 5 blocks of 1536 bytes, which is no power of two: \
             SPDK would lose data"
        ]
    );
    assert!(problems(&config(1024)).is_empty());
    let config = |auto| {
        Config::new()
            .with(BdevOptions::new().bdev_auto_examine(auto))
            .with(Malloc::new("A", 8192, 64).optimal_io_boundary(16))
    };
    assert_eq!(
        problems(&config(true)),
        [
            "subsystems[0].config[1].params.optimal_io_boundary: SPDK would never end its look at a device with an I/O boundary \
             and blocks of 8192 bytes, more than 4096; `bdev_auto_examine` of `bdev_set_options` prevents it"
        ]
    );
    assert!(problems(&config(false)).is_empty());
    let refused = Config::new().with_call("bdev", "m", &json!([1]));
    assert!(
        matches!(kind(&refused), Some(ErrorKind::Option { .. })),
        "{refused:?}"
    );
    Ok(())
}

/// Fails if something that is right is called wrong.
#[spdk::test(no_app)]
fn good_configurations_have_no_problems() -> spdk::Result<()> {
    let address = ([127, 0, 0, 1], 4420).into();
    let config = Config::new()
        .with(Passthru::new("P", "Nvme0n1"))
        .with(Passthru::new("Q", "Nvme0n12p3"))
        .with(Passthru::new("R", "HotInNvme3n1"))
        .with(Passthru::new("S", "Disc7n1"))
        .with(Passthru::new("T", "store/volume"))
        .with(Passthru::new("U", "Ap1"))
        .with(Malloc::new("A", 512, 64).uuid("C2B9F0D1-6a0e-4d4b-8a3a-7f5b3f2b9e10"))
        .with(Split::new("A", 2))
        .with(ErrorBdev::new("P"))
        .with(InjectError::new(
            "EE_P",
            InjectInto::All,
            InjectedError::Pending,
        ))
        .with(LvolStore::new("A", "store"))
        .with(NvmeController::tcp(
            "Nvme0",
            address,
            "nqn.2016-06.io.spdk:cnode1",
        ))
        .with(NvmeDiscovery::new("Disc", NvmeTransport::Tcp, "127.0.0.1"))
        .with(NvmeHotplug::new(true))
        .with(KeyFile::new("key", "/etc/key"))
        .with(WaitForExamine::new());
    assert_eq!(problems(&config), [""; 0]);
    let text = bdevs(
        r#"{"method": "bdev_malloc_create", "params": {"block_size": 512.0, "num_blocks": 1e3}},
        {"method": "bdev_raid_create", "params":
            {"name": "R", "raid_level": "RAID1", "base_bdevs": ["R"]}}"#,
    );
    assert_eq!(problems(&Config::from_str(&text)?), [""; 0]);
    Ok(())
}

/// Fails if the order of subsystems is not looked at, or where it does not matter.
#[spdk::test(no_app)]
fn subsystems_come_after_those_that_they_use() -> spdk::Result<()> {
    let bdev = r#"{"subsystem": "bdev", "config": [{"method": "bdev_null_create",
        "params": {"name": "N", "num_blocks": 8, "block_size": 512}}]}"#;
    let key = r#"{"subsystem": "keyring", "config": [{"method": "keyring_file_add_key",
        "params": {"name": "k", "path": "/k"}}]}"#;
    let pool =
        r#"{"subsystem": "iobuf", "config": [{"method": "iobuf_set_options", "params": {}}]}"#;
    let order = |first: &str, second: &str| {
        Config::from_str(&format!("{{\"subsystems\": [{first}, {second}]}}"))
    };
    let found = problems(&order(bdev, key)?);
    let expected =
        "line 1, column 61: `bdev` comes before `keyring`, which it uses; put `keyring` first";
    assert_eq!(found, [expected]);
    for (first, second) in [(key, bdev), (bdev, pool), (pool, bdev)] {
        assert_eq!(problems(&order(first, second)?), [""; 0]);
    }
    // The builder puts them in order by itself.
    let config = Config::new()
        .with(Malloc::new("A", 512, 64))
        .with(KeyFile::new("k", "/k"))
        .with_call("other", "m", &())?
        .with(IobufOptions::new())
        .with(SockDefault::new("posix"));
    let mut names: Vec<&str> = config.calls().map(|(subsystem, ..)| subsystem).collect();
    names.dedup();
    assert_eq!(names, ["keyring", "iobuf", "sock", "bdev", "other"]);
    let found = problems(&Config::new().with_call("nbd", "nbd_start_disk", &())?);
    assert!(
        found[0].contains("build with the feature `subsystem-nbd`"),
        "{found:?}"
    );
    Ok(())
}

/// Fails if a configuration is another one after it was saved and loaded, or if a file is lost.
#[spdk::test(no_app)]
fn what_is_saved_is_what_is_loaded() -> spdk::Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("saved.json");
    let config = Config::new()
        .with(IobufOptions::new().small_pool_count(1000))
        .with(Malloc::new("A\"\\\n\u{1f980}", 512, u64::MAX))
        .with(Malloc::new("B", 4096, 1).md_interleave(true))
        .with(Raid::new("R", RaidLevel::Concat, ["A", "B"]))
        .with(WaitForExamine::new());
    config.save(&file)?;
    let loaded = Config::load(&file)?;
    assert_eq!(loaded, config);
    assert_eq!(Config::from_str(&config.to_string())?, config);
    let calls: Vec<&str> = loaded.calls().map(|(_, method, _)| method).collect();
    let expected = [
        "iobuf_set_options",
        "bdev_malloc_create",
        "bdev_malloc_create",
        "bdev_raid_create",
        "bdev_wait_for_examine",
    ];
    assert_eq!(calls, expected);

    let other = Config::new().with(Malloc::new("C", 512, 8));
    assert_ne!(other, config);
    other.save(&file)?;
    assert_eq!(Config::load(&file)?, other);
    let refused = config.save(folder.path().join("none").join("saved.json"));
    assert!(
        matches!(kind(&refused), Some(ErrorKind::Option { .. })),
        "{refused:?}"
    );
    let left = std::fs::read_dir(folder.path())
        .expect("the folder is read")
        .count();
    assert_eq!(left, 1, "a file of the save is left");
    Ok(())
}

/// Fails if a wrong configuration starts, or if two can be given.
#[spdk::test(no_app)]
fn a_wrong_configuration_does_not_start() {
    let wrong = Config::new().with(Malloc::new("A", 512, 8).uuid("x"));
    let start = |app: SpdkAppBuilder| app.run(|| panic!("it started"));
    let refused = start(app().config(wrong));
    assert!(
        matches!(kind(&refused), Some(ErrorKind::Config { .. })),
        "{refused:?}"
    );
    let two = start(app().config(Config::new()).json_data("{}"));
    let text = two.expect_err("two configurations").to_string();
    assert_eq!(
        text,
        "option `config`: a configuration file or `json_data` is set too; set one of them"
    );
    // SPDK was not started by that.
    let right = Config::new().with(Malloc::new("A", 512, 8));
    let end = app()
        .config(right)
        .block_on(async { Bdev::find("A").map(|bdev| bdev.num_blocks()) });
    assert_eq!(end.expect("it runs"), 8);
}

/// Fails if a logical volume is not found yet when the main function begins.
#[spdk::test(no_app, deadline = 60)]
fn the_application_waits_for_the_modules() -> spdk::Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = folder.path().join("disk");
    let file = std::fs::File::create(&disk).expect("the file");
    file.set_len(64 << 20).expect("the file grows");
    let aio = Aio::new("Aio0", disk.to_str().expect("a path in UTF-8")).block_size(4096);
    let before = Config::new()
        .with(aio.clone())
        .with(Split::new("Aio0", 2))
        .with(LvolStore::new("Aio0p1", "store").clear_method(ClearMethod::None))
        .with(Lvol::new("volume", 8).lvs_name("store"));
    let path = folder.path().join("before.json");
    before.save(&path)?;
    assert_eq!(bdevs_of_target(folder.path(), &path, 4).len(), 4);
    // Here the store can only be found by slow reads.
    let config = Config::new()
        .with(aio)
        .with(Delay::new("Slow", "Aio0").avg_read_latency(50_000))
        .with(Split::new("Slow", 2));
    app()
        .config(config)
        .block_on(async { Bdev::find("store/volume").map(drop) })
}

/// Fails if an option that is for the start is not what the running application has.
#[spdk::test(no_app, deadline = 30)]
fn options_take_effect() -> spdk::Result<()> {
    let nvme = NvmeOptions::new()
        .action_on_timeout(ActionOnTimeout::Abort)
        .timeout_us(7_000_000)
        .timeout_admin_us(8_000_000)
        .keep_alive_timeout_ms(9000)
        .arbitration_burst(3)
        .low_priority_weight(4)
        .medium_priority_weight(5)
        .high_priority_weight(6)
        .nvme_adminq_poll_period_us(20_000)
        .nvme_ioq_poll_period_us(30)
        .io_queue_requests(600)
        .delay_cmd_submit(false)
        .transport_retry_count(7)
        .bdev_retry_count(-1)
        .transport_ack_timeout(8)
        .ctrlr_loss_timeout_sec(60)
        .reconnect_delay_sec(5)
        .fast_io_fail_timeout_sec(10)
        .disable_auto_failback(true)
        .generate_uuids(true)
        .transport_tos(9)
        .nvme_error_stat(true)
        .rdma_srq_size(10)
        .io_path_stat(true)
        .allow_accel_sequence(true)
        .rdma_max_cq_size(11)
        .rdma_cm_event_timeout_ms(12)
        .dhchap_digests(["sha384", "sha512"])
        .dhchap_dhgroups(["ffdhe4096"])
        .rdma_umr_per_io(false) // as the RDMA driver can, and this SPDK has none
        .tcp_connect_timeout_ms(13)
        .enable_flush(true);
    let config = Config::new()
        .with(
            BdevOptions::new()
                .bdev_io_pool_size(4095)
                .bdev_io_cache_size(64)
                .bdev_auto_examine(false)
                .iobuf_small_cache_size(32)
                .iobuf_large_cache_size(4),
        )
        .with(nvme)
        .with(
            RaidOptions::new()
                .process_window_size_kb(2048)
                .process_max_bandwidth_mb_sec(100),
        )
        .with(
            IobufOptions::new()
                .small_pool_count(2048)
                .large_pool_count(128)
                .small_bufsize(4096)
                .large_bufsize(65_536)
                .enable_numa(false),
        )
        .with(
            SockOptions::new("posix")
                .recv_buf_size(1 << 20)
                .send_buf_size(1 << 19)
                .enable_recv_pipe(false)
                .enable_quickack(true)
                .enable_placement_id(1)
                .enable_zerocopy_send_server(false)
                .enable_zerocopy_send_client(true)
                .zerocopy_threshold(1024),
        )
        .with(
            SockOptions::new("ssl")
                .tls_version(13)
                .enable_ktls(false)
                .num_ssl_tickets(3),
        )
        .with(SockDefault::new("posix"))
        .with(
            AccelOptions::new()
                .small_cache_size(16)
                .large_cache_size(2)
                .task_count(1024)
                .sequence_count(512)
                .buf_count(256),
        )
        .with(AccelAssign::new("crc32c", "software"))
        .with(Malloc::new("A", 512, 8192))
        .with(QosLimit::new("A").rw_ios_per_sec(5000).r_mbytes_per_sec(7));
    let wanted = config.clone();
    let running = app().config(config).block_on(Config::running())?;
    let mut wrong = Vec::new();
    for (subsystem, method, params) in wanted.calls() {
        // Of several calls of this method, the one about the same thing.
        let told = running.calls().find(|one| {
            let about = ["name", "impl_name"];
            let same = about.iter().all(|key| one.2.get(*key) == params.get(*key));
            (one.0, one.1) == (subsystem, method) && same
        });
        for (name, value) in params {
            let is = told.is_some_and(|(_, _, told)| told.get(name) == Some(value));
            if !is {
                wrong.push(format!("{method}: {name} is not {value}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n{running}", wrong.join("\n"));
    Ok(())
}

/// Fails if what the running application has does not make another one like it, in SPDK's own target too.
#[spdk::test(no_app, deadline = 60)]
fn the_running_configuration_makes_the_same_bdevs() -> spdk::Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("running.json");
    let config = Config::new()
        .with(BdevOptions::new().bdev_io_cache_size(64))
        .with(Malloc::new("A", 512, 8192).uuid("c2b9f0d1-6a0e-4d4b-8a3a-7f5b3f2b9e10"))
        .with(Malloc::new("B", 512, 8192))
        .with(Raid::new("R", RaidLevel::Raid1, ["A", "B"]))
        .with(Delay::new("D", "R").avg_read_latency(5));
    let saved = file.clone();
    let names = app().config(config).block_on(async move {
        Passthru::new("P", "D").create().await?;
        let running = Config::running().await?;
        running.validate()?;
        running.save(&saved)?;
        let mut names: Vec<String> = Bdev::all()?
            .iter()
            .map(|one| one.name().to_owned())
            .collect();
        names.sort();
        Ok(names)
    })?;
    assert_eq!(names, ["A", "B", "D", "P", "R"]);
    let loaded = Config::load(&file)?;
    assert_eq!(problems(&loaded), [""; 0]);
    assert_eq!(bdevs_of_target(folder.path(), &file, names.len()), names);
    Ok(())
}

/// The bdevs that SPDK's target makes of a configuration, when there are as many. It is killed then.
fn bdevs_of_target(folder: &Path, config: &Path, count: usize) -> Vec<String> {
    let socket = folder.join("target.sock");
    let log = std::fs::File::create(folder.join("target.log")).expect("the log");
    let mut target = Command::new(nvmf_tgt())
        .args([
            "--no-huge",
            "--no-pci",
            "-s",
            "512",
            "--disable-cpumask-locks",
        ])
        .args(["--num-trace-entries", "0", "-m", "0x1", "-r"])
        .arg(&socket)
        .arg("-c")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("the log's second descriptor"))
        .stderr(log)
        .spawn()
        .expect("the target starts");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let names = loop {
        let answer = spdk_tests::nvmf::rpc(&socket, "bdev_get_bdevs", Value::Null);
        if let Ok(Value::Array(list)) = &answer
            && list.len() >= count
        {
            let names = list
                .iter()
                .filter_map(|one| one["name"].as_str().map(str::to_owned));
            break names.collect::<Vec<String>>();
        }
        let log = || std::fs::read_to_string(folder.join("target.log")).unwrap_or_default();
        assert!(
            std::time::Instant::now() < deadline,
            "{answer:?}\n{}",
            log()
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    target.kill().expect("the target is killed");
    target.wait().expect("the target is our child");
    let mut names = names;
    names.sort();
    names
}
