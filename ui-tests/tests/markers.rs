//! Compiles `generated/markers.rs`, which `cargo xtask codegen` writes from the manifest, and compares the compiler's
//! errors with those that its lines expect.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const FILE: &str = "generated/markers.rs";

/// An error of the compiler: its code, the line that it points to, and the whole message.
struct Diagnostic {
    code: String,
    line: usize,
    text: String,
}

/// What a line expects: an error with this code, in whose message these words are.
fn expectation(line: &str) -> Option<(&str, Vec<&str>)> {
    let (_, expected) = line.split_once("; //~")?;
    let mut words = expected.split_whitespace();
    Some((words.next().unwrap_or_default(), words.collect()))
}

/// What is not as the lines of a program expect it.
fn differences(program: &str, found: &[Diagnostic]) -> Vec<String> {
    let mut by_line: BTreeMap<usize, Vec<&Diagnostic>> = BTreeMap::new();
    for diagnostic in found {
        by_line.entry(diagnostic.line).or_default().push(diagnostic);
    }
    let mut wrong = Vec::new();
    for (index, line) in program.lines().enumerate() {
        let errors = by_line.remove(&(index + 1)).unwrap_or_default();
        let place = format!("{FILE}:{}: {}", index + 1, line.trim());
        match expectation(line) {
            Some(_) if errors.is_empty() => wrong.push(format!("{place}\n  it compiles")),
            Some((code, words)) => wrong.extend(
                errors
                    .iter()
                    .filter(|it| {
                        it.code != code || words.iter().any(|word| !it.text.contains(word))
                    })
                    .map(|it| format!("{place}\n  it is refused for another reason: {}", it.text)),
            ),
            None => wrong.extend(
                errors
                    .iter()
                    .map(|it| format!("{place}\n  it does not compile: {}", it.text)),
            ),
        }
    }
    let elsewhere = by_line.into_values().flatten();
    wrong.extend(elsewhere.map(|it| format!("an error elsewhere: {}", it.text)));
    wrong
}

/// The errors of the compiler, of the messages that cargo passes on.
fn diagnostics(messages: &str) -> Vec<Diagnostic> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-message")
        .map(|mut message| message["message"].take())
        .filter(|message| message["level"] == "error")
        // "aborting due to 90 previous errors"
        .filter(|message| message["spans"] != Value::Array(Vec::new()))
        .map(|message| {
            let spans = message["spans"].as_array().into_iter().flatten();
            let mut spans = spans.filter(|span| span["is_primary"] == true);
            let here = spans.find(|span| {
                span["file_name"]
                    .as_str()
                    .is_some_and(|it| it.ends_with(FILE))
            });
            Diagnostic {
                code: message["code"]["code"]
                    .as_str()
                    .unwrap_or("no code")
                    .to_owned(),
                line: here
                    .and_then(|span| span["line_start"].as_u64())
                    .unwrap_or(0) as usize,
                text: message["rendered"].as_str().unwrap_or_default().to_owned(),
            }
        })
        .collect()
}

#[test]
fn types_promise_of_threads_what_the_manifest_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = fs::read_to_string(folder.join(FILE)).expect("it is checked in");
    // With the features that a test of the workspace has, so that nothing is built again.
    let output = Command::new(env!("CARGO"))
        .current_dir(folder)
        .args(["build", "--workspace", "--example", "markers"])
        .args(["--features", "spdk-ui-tests/cases", "--message-format=json"])
        .output()
        .expect("cargo runs the test, and can be run by it");
    let found = diagnostics(&String::from_utf8_lossy(&output.stdout));
    assert!(
        !found.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let wrong = differences(&program, &found);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let refused = program.lines().filter_map(expectation).count();
    let accepted = program.lines().map(str::trim_start).filter(|line| {
        let is_use = line.starts_with("send::<") || line.starts_with("sync::<");
        is_use && expectation(line).is_none()
    });
    let by_hand = fs::read_dir(folder.join("ui")).expect("it is checked in");
    let by_hand = by_hand.filter_map(|entry| Some(entry.ok()?.path().extension()? == "rs"));
    // Written past the test harness, which would keep it to itself.
    let _ = writeln!(
        io::stderr(),
        "{refused} compile-fail cases generated from the manifest, {} by hand; {} generated ones that compile",
        by_hand.filter(|is_program| *is_program).count(),
        accepted.count(),
    );
}

fn error(code: &str, line: usize, text: &str) -> Diagnostic {
    Diagnostic {
        code: code.to_owned(),
        line,
        text: text.to_owned(),
    }
}

#[test]
fn a_line_that_compiles_against_expectation_is_found() {
    let program = "\n    send::<A>(); //~ E0277 `Send` A\n    send::<B>();\n";
    let expected = || error("E0277", 2, "`Send` is not implemented for `A`");
    assert!(differences(program, &[expected()]).is_empty());
    let wrong = [
        vec![],
        vec![error("E0412", 2, "no type `A` in scope, nor `Send`")],
        vec![error("E0277", 2, "`Sync` is not implemented for `A`")],
        vec![error("E0277", 2, "`Send` is not implemented for `C`")],
        vec![
            expected(),
            error("E0277", 3, "`Send` is not implemented for `B`"),
        ],
        vec![expected(), error("E0433", 0, "in another file")],
        vec![
            expected(),
            error("E0282", 2, "`Send` of A: type annotations needed"),
        ],
    ];
    for found in wrong {
        assert_eq!(differences(program, &found).len(), 1);
    }
}
