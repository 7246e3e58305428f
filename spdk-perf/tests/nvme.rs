//! NVMe controllers without the bdev layer, of a target in another process.

mod common;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use common::{Run, cores, number, two_cores};
use serde_json::{Value, json};
use spdk_tests::nvmf::Target;

/// A run on the controllers of a place, short, with JSON output.
fn run(place: &str, arguments: &[&str]) -> Run {
    let core = format!("[{}]", cores()[0]);
    let mut all = vec!["-r", place, "--json", "--disable-cpumask-locks"];
    for (option, value) in [("-m", &*core), ("-t", "0.3")] {
        if !arguments.contains(&option) {
            all.extend([option, value]);
        }
    }
    Run::bare(&[&all[..], arguments].concat())
}

/// Without a subsystem, in the words of SPDK's tools.
fn discovery(target: &Target) -> String {
    let port = target.port();
    format!("trtype:TCP adrfam:IPv4 traddr:127.0.0.1 trsvcid:{port}")
}

fn names(report: &Value) -> Vec<&str> {
    let jobs = report["jobs"].as_array().into_iter().flatten();
    jobs.filter_map(|job| job["bdev"].as_str()).collect()
}

const NQN: &str = "nqn.2016-06.io.spdk:perf";

/// Makes a subsystem with one namespace, 5, that has all commands.
fn add_subsystem(target: &Target) {
    target.rpc(
        "nvmf_create_subsystem",
        json!({"nqn": NQN, "allow_any_host": true}),
    );
    let listen = json!({"nqn": NQN, "listen_address": {"trtype": "TCP", "adrfam": "IPv4",
        "traddr": "127.0.0.1", "trsvcid": target.port().to_string()}});
    target.rpc("nvmf_subsystem_add_listener", listen);
    let bdev = json!({"name": "Small", "num_blocks": 2048, "block_size": 512});
    target.rpc("bdev_malloc_create", bdev);
    let add = json!({"nqn": NQN, "namespace": {"bdev_name": "Small", "nsid": 5}});
    target.rpc("nvmf_subsystem_add_ns", add);
}

#[test]
fn every_workload_runs() {
    let target = Target::start();
    add_subsystem(&target);
    let place = format!("{} subnqn:{NQN} ns:5", discovery(&target));
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
        let report = run(&place, &["-w", workload, "-q", "4"]).output().success();
        assert_eq!(report["workload"], workload);
        assert_eq!(names(&report), [format!("{NQN} namespace 5")]);
    }
}

#[test]
fn all_that_a_place_has() {
    let target = Target::start();
    add_subsystem(&target);
    let report = run(&discovery(&target), &["-q", "8", "--warmup", "0.1"])
        .output()
        .success();
    let first = target.trid().subnqn().to_owned();
    let mut found = names(&report);
    found.sort_unstable();
    let mut wanted = [
        format!("{first} namespace 1"),
        format!("{first} namespace 2"),
        format!("{NQN} namespace 5"),
    ];
    wanted.sort_unstable();
    assert_eq!(found, wanted);
    let close = |a: f64, b: f64| assert!((a - b).abs() <= b.abs() * 1e-6, "{a} is not {b}");
    let jobs = report["jobs"].as_array().expect("a list of jobs");
    close(
        jobs.iter().map(|job| number(&job["ios"])).sum(),
        number(&report["ios"]),
    );
    let latency = &report["latency_ns"];
    assert!(number(&latency["min"]) > 1_000.0, "{latency}");
    // Little's law, for three jobs.
    let in_flight = number(&report["iops"]) * number(&latency["mean"]) / 1e9;
    assert!(
        (12.0..48.0).contains(&in_flight),
        "{in_flight} of 24: {report:#}"
    );

    let one = format!("{} subnqn:{NQN}", discovery(&target));
    let report = run(&one, &["-o", "512"]).output().success();
    assert_eq!(names(&report), [format!("{NQN} namespace 5")]);
}

#[test]
fn every_core_has_a_job() {
    let Some(cores) = two_cores() else { return };
    let target = Target::start();
    let list = format!("[{},{}]", cores[0], cores[1]);
    let place = format!("{} ns:1", discovery(&target));
    for workload in ["randread", "verify"] {
        let options = ["-m", &list, "-t", "1", "-q", "8", "-w", workload];
        let report = run(&place, &options).output().success();
        assert_eq!(report["cores"], json!([cores[0], cores[1]]));
        for job in report["jobs"].as_array().into_iter().flatten() {
            assert!(number(&job["ios"]) > 0.0, "{report:#}");
        }
    }
}

#[test]
fn a_target_that_goes_is_told() {
    let target = Target::start();
    let mut perf = run(&discovery(&target), &["-t", "20"]);
    let child = perf.command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = child.spawn().expect("the program starts");
    let said = child.stderr.take().expect("it is piped");
    let mut lines = BufReader::new(said).lines().map_while(Result::ok);
    // It tells each second what it has done.
    assert!(lines.any(|line| line.contains("IO/s")), "it did nothing");
    target.kill();
    let rest: Vec<String> = lines.collect();
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), Some(1), "{rest:#?}");
}

#[test]
fn what_cannot_be_done_is_refused() {
    let target = Target::start();
    let place = discovery(&target);
    let refused = |place: &str, arguments: &[&str], code, words: &[&str]| {
        run(place, arguments).output().refused(code, words);
    };
    refused(
        &format!("{place} ns:7"),
        &[],
        2,
        &["no namespace 7", "[1, 2]"],
    );
    refused(
        &format!("{place} ns:x"),
        &[],
        2,
        &["--transport-id", "ID of a namespace"],
    );
    refused("traddr:127.0.0.1", &[], 2, &["--transport-id", "trtype"]);
    refused(&place, &["-o", "1000"], 2, &["1000 bytes", "4096 bytes"]);
    refused(&place, &["-o", "1g"], 2, &["fewer than one I/O"]);
    refused(&place, &["-r", &place], 2, &["twice"]);
    // One of its namespaces is a file.
    refused(
        &place,
        &["-w", "unmap"],
        2,
        &["Dataset Management", "unmap"],
    );
    let nobody = format!("{place} subnqn:nqn.2016-06.io.spdk:nobody");
    refused(&nobody, &[], 1, &["nqn.2016-06.io.spdk:nobody"]);
    Run::bare(&["--json"]).output().refused(2, &["--config"]);
}
