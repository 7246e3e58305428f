//! I/Os that fail and data that is wrong are told, and the exit code says so.

mod common;

use std::io::{PipeWriter, pipe};
use std::process::{Child, Stdio};

use common::{Finished, Run, error, inject, malloc, null, number};

#[test]
fn wrong_data_ends_the_run() {
    let wrong = inject("EE_Malloc0", "read", "corrupt_data", 1);
    let calls = [malloc("Malloc0"), error("Malloc0"), wrong];
    let options = ["-w", "verify", "-q", "4", "--time", "60"];
    let finished = Run::new(&calls, &options).output();
    let report = finished.report();
    assert_eq!(finished.0.status.code(), Some(1), "{report:#}");
    assert_eq!(
        (number(&report["mismatches"]), number(&report["errors"])),
        (1.0, 0.0)
    );

    let words = finished.words();
    assert!(words.contains("\"EE_Malloc0\" did not keep"), "{words}");
    assert!(
        words.contains("the first of 1 bytes that differ"),
        "{words}"
    );
    let byte = words.split("written: byte ").nth(1);
    let byte = byte.and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    assert_eq!(byte.map(|byte| byte % 4096), Some(700), "{words}");
}

#[test]
fn wrong_data_can_be_counted() {
    let wrong = inject("EE_Malloc0", "read", "corrupt_data", 3);
    let calls = [malloc("Malloc0"), error("Malloc0"), wrong];
    let finished = Run::new(&calls, &["-w", "verify", "-q", "4", "-f"]).output();
    let report = finished.report();
    assert_eq!(finished.0.status.code(), Some(1), "{report:#}");
    assert_eq!(number(&report["mismatches"]), 3.0);
    assert!(number(&report["ios"]) > 6.0, "it went on: {report:#}");
}

#[test]
fn a_device_that_keeps_nothing_is_found_out() {
    let finished = Run::new(&[null("Null0")], &["-w", "verify", "-q", "1"]).output();
    let words = finished.words();
    assert_eq!(finished.0.status.code(), Some(1), "{words}");
    assert!(
        words.contains("\"Null0\" did not keep what was written"),
        "{words}"
    );
}

#[test]
fn a_failed_io_ends_the_run() {
    let broken = inject("EE_Malloc0", "write", "failure", 1);
    let calls = [malloc("Malloc0"), error("Malloc0"), broken];
    let options = ["-w", "randwrite", "-q", "1", "--time", "60"];
    let finished = Run::new(&calls, &options).output();
    let report = finished.report();
    assert_eq!(finished.0.status.code(), Some(1), "{report:#}");
    assert_eq!(
        (number(&report["errors"]), number(&report["ios"])),
        (1.0, 0.0)
    );
    let words = finished.words();
    assert!(
        words.contains("spdk_bdev_write_blocks on bdev \"EE_Malloc0\" (8 blocks at block "),
        "{words}"
    );
}

#[test]
fn failed_ios_can_be_counted() {
    for depth in ["2", "1"] {
        let broken = inject("EE_Malloc0", "read", "failure", 5);
        let calls = [malloc("Malloc0"), error("Malloc0"), broken];
        let finished = Run::new(&calls, &["-q", depth, "-f"]).output();
        let report = finished.report();
        assert_eq!(finished.0.status.code(), Some(1), "{report:#}");
        assert_eq!(number(&report["errors"]), 5.0);
        assert_eq!(number(&report["jobs"][0]["errors"]), 5.0);
        assert!(number(&report["ios"]) > 0.0, "it went on: {report:#}");
    }
}

/// The end of a pipe to write to that nobody reads.
fn unread() -> PipeWriter {
    pipe().expect("a pipe").1
}

#[test]
fn nobody_needs_to_read_what_it_says() {
    let broken = inject("EE_Malloc0", "read", "failure", 1);
    let calls = [malloc("Malloc0"), error("Malloc0"), broken];
    // So long that there is a line of its progress, too.
    let mut run = Run::new(&calls, &["-q", "2", "-f", "-t", "1.5"]);
    let output = run.command.stdout(Stdio::piped()).stderr(unread()).spawn();
    let output = output.and_then(Child::wait_with_output);
    let finished = Finished(output.expect("the program starts"));
    let report = finished.report();
    assert_eq!(finished.0.status.code(), Some(1), "{report:#}");
    assert_eq!(number(&report["errors"]), 1.0);
    assert!(number(&report["seconds"]) > 1.0, "it went on: {report:#}");
}

#[test]
fn a_report_that_cannot_be_printed_is_a_failure() {
    for as_what in [Run::new, Run::as_text] {
        let mut run = as_what(&[malloc("Malloc0")], &[]);
        let output = run.command.stdout(unread()).stderr(Stdio::piped()).spawn();
        let output = output.and_then(Child::wait_with_output);
        let finished = Finished(output.expect("the program starts"));
        finished.refused(1, &["spdk-perf: cannot print the report: Broken pipe"]);
    }
}

/// Fails if the run waits for ever, if it says that all is well, or if the wait counts as measured time.
#[test]
fn a_device_that_does_not_answer_is_given_up() {
    for (num, workload) in [(3, "randread"), (1 << 20, "verify")] {
        let pending = inject("EE_Malloc0", "read", "pending", num);
        let calls = [malloc("Malloc0"), error("Malloc0"), pending];
        let finished = Run::new(&calls, &["-w", workload, "-q", "4", "-t", "0.5"]).output();
        let report = finished.report();
        assert_eq!(finished.0.status.code(), Some(1), "{report:#}");
        assert_eq!(report["unanswered"], true, "{report:#}");
        assert!(number(&report["seconds"]) < 5.0, "{report:#}");
        let words = finished.words();
        assert!(words.contains("those in flight are given up"), "{words}");
    }
}
