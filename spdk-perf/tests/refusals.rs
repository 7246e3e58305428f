//! What cannot be done is refused in words, before any I/O.

mod common;

use std::io::Write;

use common::{Run, malloc, null};
use serde_json::{Value, json};

#[track_caller]
fn refused(calls: &[Value], arguments: &[&str], words: &[&str]) {
    Run::new(calls, arguments).output().refused(2, words);
}

#[test]
fn the_command_line_is_checked() {
    let bdev = [malloc("Malloc0")];
    refused(&bdev, &["-q", "0"], &["--queue-depth"]);
    refused(&bdev, &["-o", "0"], &["--io-size", "at least one block"]);
    refused(&bdev, &["-o", "4q"], &["--io-size", "`q` is not a suffix"]);
    refused(&bdev, &["-t", "0"], &["--time", "nothing to measure"]);
    refused(&bdev, &["--warmup=-1"], &["--warmup", "negative"]);
    refused(&bdev, &["-w", "scan"], &["--workload", "randread"]);
    refused(
        &bdev,
        &["-w", "rw", "-M", "101"],
        &["--rwmixread", "0..=100"],
    );
    refused(
        &bdev,
        &["-w", "randread", "-M", "70"],
        &["--rwmixread", "not for randread"],
    );
    refused(
        &bdev,
        &["-T", "Malloc0", "-T", "Malloc0"],
        &["\"Malloc0\" twice"],
    );
    refused(&bdev, &["-m", "0xzz"], &["0xzz", "reactor_mask"]);
    refused(&bdev, &["-s", "0"], &["--mem-size"]);
}

#[test]
fn the_configuration_is_checked() {
    refused(&[], &[], &["creates no bdev"]);
    let missing = ["--config", "/nonexistent/bdevs.json"];
    Run::bare(&missing)
        .output()
        .refused(2, &["/nonexistent/bdevs.json", "No such file"]);
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    write!(file, "{{\"subsystems\": [").expect("written");
    let path = file.path().to_string_lossy().into_owned();
    Run::bare(&["--config", &path])
        .output()
        .refused(2, &[&path, "ends too early"]);
}

#[test]
fn the_bdevs_are_checked() {
    let bdevs = [malloc("Malloc0"), null("Null0")];
    refused(
        &bdevs,
        &["--bdev", "Nvme0n1"],
        &["\"Nvme0n1\"", "\"Malloc0\", \"Null0\""],
    );
    refused(
        &bdevs,
        &["-o", "1000"],
        &["1000 bytes", "Malloc0", "512 bytes"],
    );
    refused(
        &bdevs,
        &["-o", "1g"],
        &["16777216 bytes", "fewer than one I/O"],
    );
    refused(
        &bdevs,
        &["-w", "unmap"],
        &["\"Null0\"", "Null disk", "unmap", "Unmap"],
    );
    refused(
        &bdevs,
        &["-w", "verify", "-o", "4m"],
        &["\"Malloc0\" has 4 places", "32 I/Os"],
    );
}

#[test]
fn a_claimed_bdev_can_only_be_read() {
    let params = json!({"base_bdev_name": "Malloc0", "name": "Passthru0"});
    let passthru = json!({"method": "bdev_passthru_create", "params": params});
    let bdevs = [malloc("Malloc0"), passthru];
    let below = ["--bdev", "Malloc0", "-w"];
    let said = ["\"Malloc0\" cannot be opened for randwrite", "claimed"];
    refused(&bdevs, &[&below[..], &["randwrite"]].concat(), &said);
    Run::new(&bdevs, &[&below[..], &["randread"]].concat())
        .output()
        .success();
    // The one above it is what is used by default.
    let report = Run::new(&bdevs, &["-w", "randwrite"]).output().success();
    assert_eq!(report["jobs"].as_array().map(Vec::len), Some(1));
    assert_eq!(report["jobs"][0]["bdev"], "Passthru0");
}

#[test]
fn memory_that_does_not_suffice_is_told() {
    let options = ["-q", "512", "-o", "4m"];
    let finished = Run::new(&[malloc("Malloc0")], &options).output();
    finished.refused(1, &["no DMA memory for 4194304 bytes", "more memory"]);
}
