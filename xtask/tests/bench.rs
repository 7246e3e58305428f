//! `cargo xtask bench` from end to end, for so short a time that the numbers mean nothing.
#![allow(missing_docs)]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn bench(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("bench")
        .args(arguments)
        .output()
        .expect("our own program can be started")
}

fn is_positive(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number > 0.0)
}

/// Fails if a program cannot be built or run, if its output is not understood, or if the report does not have what is
/// documented.
#[test]
fn a_case_gives_three_ratios() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let output = bench(&[
        "--case=null-randread-4k",
        "--pairs=1",
        "--seconds=0.2",
        "--warmup=0",
        "--json",
        &format!("--output={}", folder.path().display()),
    ]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");

    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    let cases = report["cases"].as_array().expect("a list of cases");
    let names: Vec<_> = cases.iter().map(|case| case["name"].as_str()).collect();
    assert_eq!(
        names,
        [
            Some("null-randread-4k-qd1"),
            Some("null-randread-4k-qd32"),
            Some("null-randread-4k-qd128")
        ]
    );
    for case in cases {
        assert!(is_positive(&case["ratio_median"]), "{case}");
        for part in ["ours", "theirs", "ratio"] {
            for number in ["median", "min", "q1", "q3", "max"] {
                assert!(
                    is_positive(&case["rate"][part][number]),
                    "{part} {number}: {case}"
                );
            }
        }
        assert!(is_positive(&case["p99"]["ratio"]["median"]), "{case}");
        assert_eq!(case["theirs"], "bdevperf");
    }
    assert!(report["bars"].is_array() && report["figures"].is_array());
    assert!(is_svg(&folder.path().join("chart.svg")));
    let written = std::fs::read(folder.path().join("report.json")).expect("the report was written");
    assert_eq!(serde_json::from_slice::<Value>(&written).ok(), Some(report));
}

fn is_svg(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).expect("the chart was written");
    text.starts_with("<svg") && text.trim_end().ends_with("</svg>")
}

/// Fails if the C programs of the messages and the loop do not run, or a plain program does not.
#[test]
fn every_program_of_ours_runs() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let output = bench(&[
        "--case=delay-randread-4k-loop-qd32",
        "--case=null-randread-4k-loop-qd32",
        "--case=null-randread-4k-tasks-qd32",
        "--case=null-randread-4k-unordered-qd32",
        "--case=message-1core",
        "--case=allocations",
        "--pairs=1",
        "--seconds=0.1",
        "--warmup=0",
        "--json",
        &format!("--output={}", folder.path().display()),
    ]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    let cases = report["cases"].as_array().expect("a list of cases");
    assert_eq!(cases.len(), 5);
    let delay = cases
        .iter()
        .find(|case| case["name"] == "delay-randread-4k-loop-qd32");
    assert!(
        is_positive(&delay.expect("the case")["busy"]["ours"]["median"]),
        "{report}"
    );
    assert!(
        cases.iter().all(|case| is_positive(&case["ratio_median"])),
        "{report}"
    );

    // Counts are the same in every run, however short.
    let figures = report["figures"].as_array().expect("a list of figures");
    let is_of = |figure: &&Value, kind: &str| {
        let name = figure["name"].as_str();
        name.is_some_and(|name| name.starts_with(kind))
    };
    for (kind, least) in [("allocations-heap-", 18), ("allocations-dma-", 1)] {
        let of = figures.iter().filter(|figure| is_of(figure, kind));
        let values: Vec<_> = of.map(|figure| &figure["value"]).collect();
        assert!(values.len() >= least, "{kind}: {figures:?}");
        assert!(values.iter().all(|value| **value == 0.0), "{figures:?}");
    }
}

/// Fails if a target does not start or is not found by its host, or if what SPDK's host prints is not understood.
#[test]
fn both_sides_of_nvme_run() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let output = bench(&[
        "--case=tcp-randread-4k-qd32",
        "--case=tcp-target-randread-4k-qd32",
        "--pairs=1",
        "--seconds=0.1",
        "--warmup=0",
        "--json",
        &format!("--output={}", folder.path().display()),
    ]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    let cases = report["cases"].as_array().expect("a list of cases");
    // Each takes a core for the target, and one for the host.
    let has_two = std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
    assert_eq!(cases.len(), if has_two { 2 } else { 0 }, "{stderr}");
    let programs = [("spdk-perf", "spdk_nvme_perf"), ("serve_bdev", "nvmf_tgt")];
    for (case, (ours, theirs)) in cases.iter().zip(programs) {
        assert_eq!(
            (&case["ours"], &case["theirs"]),
            (&ours.into(), &theirs.into())
        );
        assert!(is_positive(&case["ratio_median"]), "{case}");
        assert!(is_positive(&case["p99"]["theirs"]["median"]), "{case}");
    }
}

#[test]
fn what_is_not_a_case_is_refused() {
    let output = bench(&["--case=nul"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && stderr.contains("`nul`"),
        "{stderr}"
    );
}
