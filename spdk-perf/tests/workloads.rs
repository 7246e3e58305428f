//! Each workload does its I/O, and the report says what was done.

mod common;

use common::{Run, error, inject, malloc, null, number, two_cores};
use serde_json::{Value, json};

#[test]
fn every_workload_runs() {
    for workload in [
        "read",
        "write",
        "randread",
        "randwrite",
        "rw",
        "randrw",
        "verify",
        "flush",
        "unmap",
        "write_zeroes",
    ] {
        let mut run = Run::new(&[malloc("Malloc0")], &["-w", workload, "-q", "4"]);
        let report = run.output().success();
        assert_eq!(report["workload"], workload);
    }
}

#[test]
fn the_report_adds_up() {
    let options = ["-q", "8", "-o", "128k", "-w", "read", "--warmup", "0.05"];
    let report = Run::new(&[null("Null0"), null("Null1")], &options)
        .output()
        .success();

    assert!(
        report["spdk"]
            .as_str()
            .is_some_and(|spdk| spdk.starts_with("SPDK v"))
    );
    assert_eq!(
        (&report["io_size"], &report["queue_depth"]),
        (&json!(131_072), &json!(8))
    );
    assert_eq!(report["cores"].as_array().map(Vec::len), Some(1));
    assert_eq!(report["interrupted"], false);

    let close = |a: f64, b: f64| assert!((a - b).abs() <= b.abs() * 1e-6, "{a} is not {b}");
    let (ios, iops) = (number(&report["ios"]), number(&report["iops"]));
    close(iops * number(&report["seconds"]), ios);
    close(number(&report["bytes_per_second"]), iops * 131_072.0);
    let jobs = report["jobs"].as_array().expect("a list of jobs");
    let names: Vec<_> = jobs.iter().map(|job| &job["bdev"]).collect();
    assert_eq!(names, ["Null0", "Null1"]);
    close(jobs.iter().map(|job| number(&job["ios"])).sum(), ios);
    for job in jobs {
        assert_eq!(job["core"], report["cores"][0]);
        close(
            number(&job["iops"]) * number(&job["seconds"]),
            number(&job["ios"]),
        );
    }

    let latency = &report["latency_ns"];
    let ascending: Vec<f64> = ["min", "p50", "p90", "p99", "p99_9", "p99_99", "max"]
        .iter()
        .map(|key| number(&latency[key]))
        .collect();
    assert!(ascending.is_sorted() && ascending[0] > 0.0, "{latency}");
    assert!(number(&latency["mean"]) > ascending[0], "{latency}");
}

#[test]
fn latencies_are_nanoseconds() {
    let delay = json!({"method": "bdev_delay_create", "params": {
        "base_bdev_name": "Null0", "name": "Delay0",
        "avg_read_latency": 2000, "p99_read_latency": 2000,
        "avg_write_latency": 2000, "p99_write_latency": 2000}});
    // One I/O that is alone is measured by another look at the clock.
    for depth in [4.0, 1.0] {
        let options = ["-q", &depth.to_string(), "-w", "randrw"];
        let report = Run::new(&[null("Null0"), delay.clone()], &options)
            .output()
            .success();
        // The device completes nothing before 2,000 µs; a histogram's value is off by 0.1 % at most.
        let min = number(&report["latency_ns"]["min"]);
        assert!(min >= 1_990_000.0, "{report:#}");
        // By default it is the bdevs that no other bdev is built upon.
        assert_eq!(report["jobs"].as_array().map(Vec::len), Some(1));
        assert_eq!(report["jobs"][0]["bdev"], "Delay0");
        let in_flight = in_flight(&report);
        assert!(
            (depth / 2.0..depth * 1.5).contains(&in_flight),
            "{in_flight} of {depth} in flight: {report:#}"
        );
    }
}

/// By Little's law: what is in flight is the rate times the time that each takes.
fn in_flight(report: &Value) -> f64 {
    number(&report["iops"]) * number(&report["latency_ns"]["mean"]) / 1e9
}

/// Fails if what the program itself takes between two I/Os counts as a part of them where that is as much as the device takes.
#[test]
fn a_latency_is_the_devices() {
    let report = Run::new(&[null("Null0")], &["-q", "1"]).output().success();
    let in_flight = in_flight(&report);
    assert!(in_flight < 0.95, "{in_flight} in flight: {report:#}");
}

#[test]
fn only_the_named_bdevs_are_used() {
    let bdevs = [malloc("Malloc0"), malloc("Malloc1"), malloc("Malloc2")];
    let options = ["--bdev", "Malloc2", "-T", "Malloc0"];
    let report = Run::new(&bdevs, &options).output().success();
    let jobs = report["jobs"].as_array().expect("a list of jobs");
    let names: Vec<_> = jobs.iter().map(|job| &job["bdev"]).collect();
    assert_eq!(names, ["Malloc0", "Malloc2"]);
}

#[test]
fn every_core_has_a_job() {
    let Some(cores) = two_cores() else { return };
    let list = format!("[{},{}]", cores[0], cores[1]);
    // In 16 MiB the slots have one place each: two on the same would see each other's data.
    for workload in ["randread", "verify"] {
        let options = [
            "-m", &list, "-t", "1", "-q", "8", "-o", "1m", "-w", workload,
        ];
        let mut run = Run::new(&[malloc("Malloc0")], &options);
        let report = run.output().success();
        assert_eq!(report["cores"], json!([cores[0], cores[1]]));
        for (job, core) in [(0, cores[0]), (1, cores[1])] {
            let job = &report["jobs"][job];
            assert_eq!(job["core"], core);
            assert!(
                number(&job["ios"]) > 0.0,
                "core {core} did nothing: {report:#}"
            );
        }
    }
}

/// Fails if the cores do their I/O in the same part of a bdev.
#[test]
fn every_core_has_a_part() {
    let Some(cores) = two_cores() else { return };
    let list = format!("[{},{}]", cores[0], cores[1]);
    for seed in ["1", "2", "3", "4", "5"] {
        let options = ["-m", &list, "-q", "1", "-w", "randread", "--seed", seed];
        let broken = inject("EE_Malloc0", "read", "failure", 1 << 30);
        let calls = [malloc("Malloc0"), error("Malloc0"), broken];
        let options = [&options[..], &["--continue-on-failure", "-t", "1"]].concat();
        let mut first = failures(&Run::new(&calls, &options).output().words());
        first.sort_unstable();
        let half = (16 << 20) / 512 / 2; // of `malloc`, in blocks
        let is_apart = matches!(first[..], [one, other] if one < half && other >= half);
        assert!(is_apart, "seed {seed}: {first:?}");
    }
}

#[test]
fn without_json_it_is_a_table() {
    let bdevs = [malloc("Malloc0"), malloc("Malloc1")];
    let finished = Run::as_text(&bdevs, &[]).output();
    let table = String::from_utf8_lossy(&finished.0.stdout);
    let first: Vec<_> = table
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(
        first,
        ["SPDK", "bdev", "Malloc0", "Malloc1", "total"],
        "{table}"
    );
}

/// Where the first failed I/O was to go, in blocks.
fn first_failure(io_type: &str, options: &[&str]) -> Option<u64> {
    let broken = inject("EE_Malloc0", io_type, "failure", 1);
    let calls = [malloc("Malloc0"), error("Malloc0"), broken];
    let finished = Run::new(&calls, &[&["-q", "1"], options].concat()).output();
    failures(&finished.words()).first().copied()
}

/// Where the I/Os were to go whose failure is told, in blocks.
fn failures(words: &str) -> Vec<u64> {
    let told = words.split("blocks at block ").skip(1);
    let digits = told.filter_map(|at| at.split(|c: char| !c.is_ascii_digit()).next());
    digits.filter_map(|digits| digits.parse().ok()).collect()
}

#[test]
fn places_follow_the_workload_and_the_seed() {
    assert_eq!(first_failure("read", &["-w", "read"]), Some(0));
    assert_eq!(first_failure("write", &["-w", "write"]), Some(0));
    let first = first_failure("read", &["-w", "randread", "--seed", "7"]);
    assert!(first.is_some_and(|at| at > 0 && at % 8 == 0), "{first:?}");
    assert_eq!(
        first,
        first_failure("read", &["-w", "randread", "--seed", "7"])
    );
    assert_ne!(
        first,
        first_failure("read", &["-w", "randread", "--seed", "8"])
    );
}

#[test]
fn the_mix_is_as_asked_for() {
    assert_eq!(first_failure("read", &["-w", "randrw", "-M", "0"]), None);
    assert_eq!(first_failure("write", &["-w", "rw", "-M", "100"]), None);
    for io_type in ["read", "write"] {
        assert!(first_failure(io_type, &["-w", "randrw", "-M", "70"]).is_some());
    }
    // All that are of one kind fail, so that they are counted.
    for (io_type, mix, expected) in [
        ("read", "30", 0.3),
        ("write", "30", 0.7),
        ("read", "75", 0.75),
    ] {
        let calls = [
            malloc("Malloc0"),
            error("Malloc0"),
            inject("EE_Malloc0", io_type, "failure", 1_000_000_000),
        ];
        let options = [
            "-T",
            "EE_Malloc0",
            "-w",
            "randrw",
            "-M",
            mix,
            "-q",
            "8",
            "-f",
        ];
        let report = Run::new(&calls, &options).output().report();
        let (failed, done) = (number(&report["errors"]), number(&report["ios"]));
        assert!(done > 1000.0, "{report}");
        let share = failed / (failed + done);
        assert!(
            (share - expected).abs() < 0.05,
            "{share} of {io_type}s: {report}"
        );
    }
}

/// Fails if a job says that it had nothing to do when it had, or the reverse.
#[test]
fn it_tells_how_busy_it_was() {
    let busy = |calls: &[Value], bdev| {
        let options = ["-T", bdev, "-w", "randread", "-q", "1"];
        let report = Run::new(calls, &options).output().success();
        assert_eq!(report["busy"], report["jobs"][0]["busy"]);
        number(&report["busy"])
    };
    let delay = json!({"method": "bdev_delay_create", "params": {
        "base_bdev_name": "Null0", "name": "Slow", "avg_read_latency": 1000, "p99_read_latency": 1000,
        "avg_write_latency": 0, "p99_write_latency": 0}});
    let (null, slow) = (
        busy(&[null("Null0")], "Null0"),
        busy(&[null("Null0"), delay], "Slow"),
    );
    // It is nearly all of the time, and next to nothing, but what another process takes may count as either.
    assert!(null > 0.5 && slow < null, "{null} and {slow}");
}

/// Fails if the time that many buffers take is a part of the measurement.
#[test]
fn many_buffers_are_there_before_it_begins() {
    let options = ["-q", "16000", "-o", "512", "-t", "0.2"];
    let report = Run::new(&[malloc("Malloc0")], &options).output().success();
    assert!(number(&report["seconds"]) < 1.0, "{report:#}");
}
