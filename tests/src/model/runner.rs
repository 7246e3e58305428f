//! Runs random cases, and makes one that fails smaller.
//!
//! SPDK starts once in a process, and a case needs its executor: so this does by hand what proptest's runner does.

use std::cell::RefCell;
use std::fmt::Debug;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use spdk::log::{self, LogLevel};

use super::case::Case;
use super::journal::Journal;
use crate::random::Random;
use crate::stress::settings;

/// How many smaller cases are tried.
const ATTEMPTS: u32 = 2000;

/// A generator of which a seed decides everything.
fn runner(seed: u64) -> TestRunner {
    let mut random = Random::new(seed);
    let mut bytes = [0; 32];
    for word in bytes.chunks_mut(8) {
        word.copy_from_slice(&random.next().to_le_bytes());
    }
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    TestRunner::new_with_rng(Config::default(), rng)
}

/// Runs cases of a strategy with `run`: what the environment asks for, else so many, or in a nightly run that many.
///
/// # Panics
///
/// With the smallest case that was found to fail.
pub async fn run<K: Clone + Debug, O: Clone + Debug>(
    test: &str,
    strategy: impl Strategy<Value = Case<K, O>>,
    [short, long]: [u64; 2],
    mut run: impl AsyncFnMut(&Case<K, O>, &RefCell<Journal>) -> Result<(), String>,
) {
    let (seed, cases) = (settings::seed(), settings::rounds(short, long));
    eprintln!("{test}: {cases} cases, {}", settings::replay(seed));
    let journal = RefCell::new(Journal::new(test));
    // Most of what it logs is about errors that are to come.
    log::set_level(LogLevel::Disabled);
    for number in 0..cases {
        let seed = seed.wrapping_add(number);
        let replay = format!("{} SPDK_STRESS_ROUNDS=1", settings::replay(seed));
        let tree = match strategy.new_tree(&mut runner(seed)) {
            Ok(tree) => tree,
            Err(reason) => panic!("no case: {reason}"),
        };
        let failed = attempt(&mut run, &tree.current(), &replay, &journal).await;
        if let Err(failure) = failed {
            eprintln!("case {number} has failed ({replay}), {failure}");
            let smallest = shrink(tree, failure, &mut run, &replay, &journal).await;
            journal.borrow_mut().end();
            panic!("{smallest}\nreplay the case before it was made smaller with {replay}");
        }
    }
    journal.borrow_mut().end();
}

/// Runs a case; an error says what was wrong after which calls.
async fn attempt<K: Debug, O: Debug>(
    run: &mut impl AsyncFnMut(&Case<K, O>, &RefCell<Journal>) -> Result<(), String>,
    case: &Case<K, O>,
    replay: &str,
    journal: &RefCell<Journal>,
) -> Result<(), String> {
    let heading = format!("{replay}\n{case:?}\non {:?}:", case.device);
    journal.borrow_mut().begin(&heading);
    let result = run(case, journal).await;
    result.map_err(|wrong| format!("{wrong}:\n{}", journal.borrow().text()))
}

/// The failure of the smallest case that fails too.
async fn shrink<K: Clone + Debug, O: Clone + Debug>(
    mut tree: impl ValueTree<Value = Case<K, O>>,
    mut failure: String,
    run: &mut impl AsyncFnMut(&Case<K, O>, &RefCell<Journal>) -> Result<(), String>,
    replay: &str,
    journal: &RefCell<Journal>,
) -> String {
    let (mut smallest, mut can_go_on) = (tree.current(), tree.simplify());
    for _ in 0..ATTEMPTS {
        if !can_go_on {
            break;
        }
        let case = tree.current();
        can_go_on = match attempt(run, &case, replay, journal).await {
            Err(smaller) => {
                (smallest, failure) = (case, smaller);
                tree.simplify()
            }
            Ok(()) => tree.complicate(),
        };
    }
    // It does not leave out steps any more once it has made one simpler.
    let places = smallest.lanes.iter().enumerate();
    let places = places.flat_map(|(lane, steps)| (0..steps.len()).map(move |step| (lane, step)));
    let places: Vec<_> = places.collect();
    for (lane, step) in places.into_iter().rev() {
        let mut case = smallest.clone();
        case.lanes[lane].remove(step);
        if let Err(smaller) = attempt(run, &case, replay, journal).await {
            (smallest, failure) = (case, smaller);
        }
    }
    failure
}
