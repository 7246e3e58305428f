//! The store after a loss of power: the program is killed in the middle of its commands.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use spdk_tests::power_cuts::{Cut, Worker};
use spdk_tests::random::Random;
use spdk_tests::stress::settings;

const SHORT: u64 = if cfg!(spdk_asan) { 20 } else { 200 };
const LONG: u64 = 4000;
/// Commands of a round.
const COMMANDS: u64 = 150;

type Pairs = BTreeMap<String, String>;

fn rounds() -> u64 {
    settings::rounds(SHORT, LONG)
}

fn program(file: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spdk-kv"));
    command.arg("--file").arg(file);
    command
}

/// What is known of the store.
#[derive(Clone, Default)]
struct Model {
    pairs: Pairs,
    snapshots: BTreeMap<String, Pairs>,
}

impl Model {
    /// What a command does if it succeeds.
    fn apply(&mut self, command: &str) {
        let words: Vec<&str> = command.splitn(3, ' ').collect();
        match *words {
            ["put", key, value] => drop(self.pairs.insert(key.to_owned(), value.to_owned())),
            ["delete", key] => drop(self.pairs.remove(key)),
            ["snapshot", name] => {
                self.snapshots.insert(name.to_owned(), self.pairs.clone());
            }
            _ => {}
        }
    }

    fn command(&self, random: &mut Random, number: u64) -> String {
        let key = format!("key{}", random.below(40));
        match random.below(100) {
            0..60 => {
                let length = [20, 500, 8000, 100_000][random.below(20).saturating_sub(16) as usize];
                let filler = "x".repeat(random.below(length) as usize);
                format!("put {key} {number}:{filler}")
            }
            60..80 => format!("delete {key}"),
            80..95 => "sync".to_owned(),
            kind => {
                let name = format!("s{}", random.below(3));
                let verb = if kind < 98 {
                    "snapshot"
                } else {
                    "delete-snapshot"
                };
                format!("{verb} {name}")
            }
        }
    }
}

fn pairs(answer: &str) -> Option<Pairs> {
    let list = answer.strip_prefix("ok")?.split_whitespace();
    list.map(|pair| {
        pair.split_once('=')
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
    })
    .collect()
}

/// Compares with what the program says first, of which there may be only a part.
///
/// `possible` are what the store may be.
fn settle(possible: Vec<Model>, asked: &[String], said: &[String]) -> Result<Vec<Model>, String> {
    let (Some(scan), Some(names)) = (said.first(), said.get(1)) else {
        return Ok(possible);
    };
    let found = pairs(scan).ok_or_else(|| format!("no pairs: {scan}"))?;
    let names: Vec<&str> = names.split_whitespace().skip(1).collect();
    let fits = |model: &Model| {
        model.pairs == found
            && model
                .snapshots
                .keys()
                .map(String::as_str)
                .eq(names.iter().copied())
    };
    let expected: Vec<_> = possible
        .iter()
        .map(|model| {
            let names: Vec<_> = model.snapshots.keys().cloned().collect();
            (model.pairs.len(), model.pairs == found, names)
        })
        .collect();
    // Several may have the same pairs, and snapshots of the same names: whether one was refused since there was one of its
    // name is not known if nothing was answered.
    let mut fitting: Vec<Model> = possible.into_iter().filter(fits).collect();
    if fitting.is_empty() {
        return Err(format!(
            "{} pairs and {names:?} are none of {expected:?}",
            found.len()
        ));
    }
    for (asked, said) in asked.iter().zip(said).skip(2) {
        if let Some(name) = asked.strip_prefix("scan --snapshot=") {
            let read = pairs(said);
            fitting.retain(|model| match model.snapshots.get(name) {
                None => said.starts_with("error: there is no snapshot"),
                expected => expected == read.as_ref(),
            });
            if fitting.is_empty() {
                return Err(format!("snapshot {name} is not as it was: {said:.100}"));
            }
        }
    }
    Ok(fitting)
}

/// Fails if what was synced is lost, or what is there is not what the store was at one moment since, or a snapshot has
/// changed.
#[spdk::test(no_app, deadline = 120 + 3 * rounds())]
fn the_store_survives() {
    let (seed, rounds) = (settings::seed(), rounds());
    println!("{}", settings::replay(seed));
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("store");
    let start = Instant::now();
    let made = program(&file).args(["init", "--mib", "8"]).status();
    assert!(made.is_ok_and(|status| status.success()));
    let start = start.elapsed();

    let mut random = Random::new(seed);
    let mut possible = vec![Model::default()];
    let (mut answers, mut full) = (0, 0);
    for round in 1..=rounds {
        let wrong = |wrong: String| -> ! {
            panic!("{}, round {round}: {wrong}", settings::replay(seed));
        };
        let mut commands: Vec<String> = [
            "scan",
            "snapshots",
            "scan --snapshot=s0",
            "scan --snapshot=s1",
            "scan --snapshot=s2",
        ]
        .map(String::from)
        .into();
        let first = commands.len();
        for number in 0..COMMANDS {
            commands.push(possible[0].command(&mut random, round * COMMANDS + number));
        }
        let mut worker = Worker::start(program(&file).arg("shell").stdin(Stdio::piped()));
        let stdin = worker.child().stdin.take();
        let (Some(mut stdin), text) = (stdin, commands.join("\n") + "\n") else {
            unreachable!("it was asked for");
        };
        // It may be killed before it has read all, and must not see an end.
        let writer = std::thread::spawn(move || (stdin.write_all(text.as_bytes()), stdin));
        let (cut, mut said) = (Cut::random(&mut random, start, COMMANDS), Vec::new());
        let end = worker.cut(&cut, &mut said);
        drop(writer.join());
        if let Err(error) = end {
            wrong(format!("{error}; it had said {:?}", said.last()));
        }
        possible = match settle(possible, &commands, &said) {
            Ok(possible) => possible,
            Err(error) => wrong(error),
        };
        answers += said.len();
        if said.len() < first {
            continue; // it has only looked
        }
        let Some(mut model) = possible.pop() else {
            unreachable!("something is possible");
        };
        // What the store was since it was synced last, or began.
        let mut past = vec![model.clone()];
        for (number, command) in commands.iter().enumerate().skip(first) {
            let answer = said.get(number);
            // That is durable at once, and what was put before is not.
            if let Some(name) = command.strip_prefix("delete-snapshot ")
                && answer.is_none_or(|answer| answer == "ok")
            {
                let mut without = past.clone();
                for model in &mut without {
                    model.snapshots.remove(name);
                }
                model.snapshots.remove(name);
                if answer.is_none() {
                    past.extend(without);
                    break;
                }
                past = without;
                continue;
            }
            match answer.map(String::as_str) {
                Some("ok") | None => {
                    model.apply(command);
                    let is_durable = command == "sync" || command.starts_with("snapshot");
                    if answer.is_some() && is_durable {
                        past.clear();
                    }
                }
                Some(error) => {
                    let is_full = error.starts_with("error: the store is full");
                    full += usize::from(is_full);
                    if !is_full && !error.starts_with("error: there is") {
                        wrong(format!("{command:.40}: {error}"));
                    }
                }
            }
            past.push(model.clone());
            if answer.is_none() {
                break;
            }
        }
        possible = past;
    }
    println!("{rounds} cuts, {answers} answers, {full} of them of a full store");
    assert!(answers > rounds as usize, "hardly anything was done");
}
