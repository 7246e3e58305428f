//! The programs run, each in a process of its own, and verify their data.
#![allow(missing_docs)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

fn run(program: &str, expected: &str) {
    let output = Command::new("timeout").args(["120", program]).output();
    let output = output.expect("`timeout` runs the program");
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{}: {out}{err}", output.status);
    assert_eq!(out.trim(), expected, "{err}");
}

#[test]
fn tokio_local() {
    run(
        env!("CARGO_BIN_EXE_tokio_local"),
        "4096 blocks verified by tasks of a LocalSet",
    );
}

#[test]
fn tokio_server() {
    run(
        env!("CARGO_BIN_EXE_tokio_server"),
        "4008 answers of a Tokio server compared",
    );
}

#[test]
fn smol_local() {
    run(
        env!("CARGO_BIN_EXE_smol_local"),
        "4096 blocks verified by tasks of smol",
    );
}

#[test]
fn smol_beside() {
    run(
        env!("CARGO_BIN_EXE_smol_beside"),
        "4096 blocks verified by tasks of smol's threads",
    );
}

#[test]
fn async_executor() {
    run(
        env!("CARGO_BIN_EXE_async_executor"),
        "4096 blocks verified by tasks of other OS threads",
    );
}

#[test]
fn work_sharing() {
    run(
        env!("CARGO_BIN_EXE_work_sharing"),
        "4096 blocks written, 4096 verified",
    );
}

#[test]
fn nvmf_child() {
    run(
        env!("CARGO_BIN_EXE_nvmf_child"),
        "256 blocks verified on a target in another process",
    );
}

/// The one uses the other as its target.
#[test]
fn nvmf_serve() {
    let mut serve = Command::new(env!("CARGO_BIN_EXE_nvmf_serve"));
    let target = spdk::testing::NvmfTarget::run(&mut serve).expect("it serves");
    let trid = target.trid().to_string();
    let output = Command::new("timeout")
        .args(["120", env!("CARGO_BIN_EXE_nvmf_child"), &trid])
        .output()
        .expect("`timeout` runs the program");
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        out.trim(),
        "256 blocks verified on a target in another process",
        "{err}{}",
        target.log()
    );
}

/// Fails if SIGTERM ends the application before its work is done, or never.
#[test]
fn tokio_signal() {
    let mut program = Command::new("timeout");
    program.args(["120", env!("CARGO_BIN_EXE_tokio_signal")]);
    let mut child = program
        .stdout(Stdio::piped())
        .spawn()
        .expect("`timeout` runs the program");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut line = || lines.next().transpose().expect("text");
    assert_eq!(line().as_deref(), Some("writes until SIGTERM"));
    // `timeout` passes it on.
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
    assert_eq!(line().as_deref(), Some("all that was written is there"));
    let status = child.wait().expect("its end");
    assert!(status.success(), "{status}");
}
