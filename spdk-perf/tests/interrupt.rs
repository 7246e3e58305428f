//! SIGINT ends a run early, with the results so far.

mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

use common::{Run, malloc, number};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Starts a run, sends it a signal when it has told of its first second, and waits for its end.
fn interrupt(signal: Signal, options: &[&str]) -> (Option<i32>, Value) {
    let mut run = Run::new(
        &[malloc("Malloc0")],
        &[&["--time", "600"], options].concat(),
    );
    let piped = run.command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("the program starts");
    let stderr = child.stderr.take().expect("a pipe");
    let mut lines = BufReader::new(stderr).lines();
    let told = lines.any(|line| line.is_ok_and(|line| line.contains("IO/s")));
    assert!(told, "no line of the first second");
    kill_process(pid(&child), signal).expect("the program runs");
    // It may say more, and must not wait for a reader.
    lines.for_each(drop);
    let mut text = String::new();
    let stdout = child
        .stdout
        .take()
        .expect("a pipe")
        .read_to_string(&mut text);
    stdout.expect("the report is text");
    let status = child.wait().expect("the end of the program");
    (
        status.code(),
        serde_json::from_str(&text).expect("one JSON object"),
    )
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id() as i32).expect("a process id")
}

#[test]
fn there_are_results() {
    for signal in [Signal::INT, Signal::TERM] {
        let (code, report) = interrupt(signal, &["-q", "8"]);
        assert_eq!(
            (code, &report["interrupted"]),
            (Some(0), &Value::Bool(true)),
            "{report:#}"
        );
        assert!(number(&report["ios"]) > 0.0 && number(&report["seconds"]) < 600.0);
        assert_eq!(report["jobs"].as_array().map(Vec::len), Some(1));
    }
}

#[test]
fn the_warm_up_does_not_count() {
    let (code, report) = interrupt(Signal::INT, &["--warmup", "600"]);
    assert_eq!(
        (code, &report["interrupted"]),
        (Some(0), &Value::Bool(true)),
        "{report:#}"
    );
    assert_eq!(
        (number(&report["ios"]), number(&report["iops"])),
        (0.0, 0.0)
    );
}
