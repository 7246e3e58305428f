//! The program `spdk-kv` as it is called.
#![allow(missing_docs)]

use std::io::{BufRead, BufReader, Write, pipe};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

fn program(file: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spdk-kv"));
    command.arg("--file").arg(file).args(arguments);
    command.stdin(Stdio::null());
    command
}

/// What it says on standard output if all goes well, else on standard error.
fn call(file: &Path, arguments: &[&str]) -> Result<String, String> {
    said(program(file, arguments).output().expect("it starts"))
}

fn said(output: Output) -> Result<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.code() {
        Some(0) => Ok(text(&output.stdout)),
        Some(1) => Err(text(&output.stderr)),
        _ => panic!("{output:#?}"),
    }
}

fn shell(file: &Path, commands: &[u8], stdout: Stdio) -> Result<String, String> {
    let mut shell = program(file, &["shell"]);
    shell
        .stdin(Stdio::piped())
        .stdout(stdout)
        .stderr(Stdio::piped());
    let mut shell = shell.spawn().expect("it starts");
    let mut stdin = shell.stdin.take().expect("it is a pipe");
    // It may have ended before it has read them all.
    let _ = stdin.write_all(commands);
    drop(stdin);
    said(shell.wait_with_output().expect("it ends"))
}

/// Fails if a second process gets the file of the first, and what one puts is lost.
#[test]
fn a_file_belongs_to_one_process() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("store.img");
    call(&file, &["init", "--mib", "16"]).expect("a store");
    let mut shell = program(&file, &["shell"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = shell.stdin.take().expect("it is a pipe");
    let stdout = BufReader::new(shell.stdout.take().expect("it is a pipe"));
    writeln!(stdin, "put a 1").expect("it reads");
    let answer = stdout.lines().next();
    assert_eq!(answer.and_then(Result::ok).as_deref(), Some("ok"));
    for command in [&["put", "b", "2"][..], &["init"]] {
        let refused = call(&file, command).expect_err("it is open");
        assert!(
            refused.contains("another process has the store open"),
            "{refused}"
        );
    }
    drop(stdin);
    shell.wait().expect("it ends");
    assert_eq!(call(&file, &["scan"]).as_deref(), Ok("a=1\n"));
}

/// Fails if a command is passed over in silence.
#[test]
fn the_shell_answers_every_line() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("store.img");
    call(&file, &["init", "--mib", "16"]).expect("a store");
    let commands = b"put a -1\nput \xff x\nput --help  two words\nsnapshot s\nput a 2\nget a --snapshot s\nget a\n";
    let answers = shell(&file, commands, Stdio::piped());
    let answers = answers.expect("it ends well");
    let answers: Vec<_> = answers.lines().collect();
    assert!(answers[1].starts_with("error: "), "{answers:?}");
    assert_eq!(
        [&answers[..1], &answers[2..]].concat(),
        ["ok", "ok", "ok", "ok", "ok -1", "ok 2"]
    );
    assert_eq!(
        call(&file, &["scan"]).as_deref(),
        Ok("--help= two words\na=2\n")
    );
    let (_, unread) = pipe().expect("a pipe");
    let told = shell(&file, b"put c 1\nput d 1\n", unread.into()).expect_err("nobody reads it");
    assert!(
        told.contains("spdk-kv: cannot print the answer: Broken pipe"),
        "{told}"
    );
    let (_, unread) = pipe().expect("a pipe");
    let scan = program(&file, &["scan"])
        .stdout(unread)
        .stderr(Stdio::piped())
        .spawn();
    let scan = scan
        .and_then(|scan| scan.wait_with_output())
        .expect("it ends");
    let told = said(scan).expect_err("nobody reads it");
    assert!(
        told.contains("spdk-kv: cannot print the answer: Broken pipe"),
        "{told}"
    );
}

/// Fails if it is not said what is wrong, or with what.
#[test]
fn what_is_wrong_is_said() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("store.img");
    let told = call(&file, &["get", "a"]).expect_err("there is no file");
    assert!(told.contains("store.img: No such file"), "{told}");
    std::fs::write(&file, vec![7; 1 << 20]).expect("a file");
    let told = call(&file, &["get", "a"]).expect_err("it is no store");
    assert!(told.contains("it has no blobstore"), "{told}");
    call(&file, &["init"]).expect("a store");
}
