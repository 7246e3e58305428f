//! Blobs after a loss of power, by processes that are killed: see `spdk_tests::power_cuts`.
//!
//! The seed is printed first and with every failure. `SPDK_STRESS_SEED=...` makes the same choices again, but a
//! process is not killed at the same moment: `SPDK_STRESS_ROUNDS=...` gives it more.
#![allow(missing_docs)]

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use spdk_tests::power_cuts::blobs::Event;
use spdk_tests::power_cuts::model::Model;
use spdk_tests::power_cuts::{Cut, Worker};
use spdk_tests::random::Random;
use spdk_tests::stress::settings;

/// How often: starts under AddressSanitizer take longer.
const SHORT: u64 = if cfg!(spdk_asan) { 30 } else { 200 };
const LONG: u64 = 4000;
const FILE_SIZE: u64 = 2 << 20;

fn rounds() -> u64 {
    settings::rounds(SHORT, LONG)
}

/// Fails if what was acknowledged is lost, or what is there was not written, or a cluster has no owner or two.
#[spdk::test(no_app, deadline = 120 + 3 * rounds())]
fn blobs_survive() {
    let (seed, rounds) = (settings::seed(), rounds());
    println!("{}", settings::replay(seed));
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("device");
    let file = File::create(&path).expect("a file");
    file.set_len(FILE_SIZE).expect("a file of its size");
    let worker = |round: u64| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_blob_worker"));
        command
            .arg(&path)
            .args([seed, round].map(|number| number.to_string()));
        command
    };

    let mut random = Random::new(seed);
    let mut model = Model::default();
    // What was said since the last blobs were found.
    let mut history: Vec<String> = Vec::new();
    let mut hear = |round: u64, said: &[String], end: Result<(), String>| {
        for line in said {
            let event: Event = serde_json::from_str(line).expect("an event");
            let is_found = matches!(event, Event::Found(_));
            let heard = model.hear(event);
            if heard.is_ok() && is_found {
                history.clear();
            }
            history.push(line.clone());
            if let Err(wrong) = heard {
                fail(seed, round, &path, &history, &wrong);
            }
        }
        if let Err(wrong) = end {
            fail(seed, round, &path, &history, &wrong);
        }
    };
    let start = Instant::now();
    let made = worker(0).arg("new").status().expect("a worker");
    assert!(made.success(), "{made}");
    let start = start.elapsed();
    let (mut events, mut loaded) = (0, 0);
    for round in 1..=rounds {
        let (cut, mut said) = (Cut::random(&mut random, start, 400), Vec::new());
        let end = Worker::start(&mut worker(round)).cut(&cut, &mut said);
        loaded += u64::from(!said.is_empty());
        events += said.len();
        hear(round, &said, end);
    }
    println!("{rounds} cuts, {loaded} of them after the store was loaded; {events} events");
    assert!(loaded * 2 > rounds, "the store was not loaded");
}

/// Keeps what can be looked at.
fn fail(seed: u64, round: u64, device: &Path, history: &[String], wrong: &str) -> ! {
    let kept = std::env::temp_dir().join(format!("power-cut-{seed}"));
    let made = std::fs::create_dir_all(&kept)
        .and_then(|()| std::fs::copy(device, kept.join("device")))
        .and_then(|_| std::fs::write(kept.join("events"), history.join("\n")));
    let kept = match made {
        Ok(()) => format!("the device and the events are in {}", kept.display()),
        Err(error) => format!("the device could not be kept: {error}"),
    };
    panic!("{}, round {round}: {wrong}; {kept}", settings::replay(seed));
}
