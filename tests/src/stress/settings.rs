//! What the environment says about a run.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Decides every random choice of a run. Printed; given, it replays the same choices.
const SEED: &str = "SPDK_STRESS_SEED";
/// How long each device is stressed, in seconds.
const SECONDS: &str = "SPDK_STRESS_SECONDS";
/// How often a store loses its power, or how many cases there are.
const ROUNDS: &str = "SPDK_STRESS_ROUNDS";
/// Set by `cargo xtask test --nightly`.
const NIGHTLY: &str = "SPDK_TESTS_NIGHTLY";

/// Every other test of the workspace should end too.
const SHORT: u64 = 3;
const LONG: u64 = 150;
/// What a run needs before and after: its start, its last round and its end.
const REST: u64 = 60;

/// How long a run is.
pub fn time() -> Duration {
    Duration::from_secs(seconds())
}

/// How long a test of one run may take, in seconds.
pub fn deadline() -> u64 {
    seconds() + REST
}

/// How often something is done that takes some time each: what was asked for, else so often, or in a nightly run that.
pub fn rounds(short: u64, long: u64) -> u64 {
    number(ROUNDS).unwrap_or(if is_nightly() { long } else { short })
}

fn is_nightly() -> bool {
    std::env::var_os(NIGHTLY).is_some_and(|value| value != "0")
}

fn seconds() -> u64 {
    number(SECONDS).unwrap_or(if is_nightly() { LONG } else { SHORT })
}

/// The seed of a run: the one that was given, else another one each time.
pub fn seed() -> u64 {
    number(SEED).unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_nanos() as u64);
        // Short, since people type it.
        (now ^ u64::from(std::process::id()) << 20) % 1_000_000_000
    })
}

/// How to replay a run.
pub fn replay(seed: u64) -> String {
    format!("{SEED}={seed}")
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    match text.parse() {
        Ok(number) => Some(number),
        Err(_) => panic!("{variable} is {text:?}; it has to be a whole number"),
    }
}
