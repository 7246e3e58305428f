//! What `#[spdk::test]` expands to. Not part of the public API.
//!
//! The test function runs twice. In the process that the user started it is the parent, which runs
//! the test binary again for this one test, watches it and tells how it ended. In that second
//! process, marked by `CHILD`, it is the child and runs the body.

use std::cell::Cell;
use std::fmt::Debug;
use std::future::Future;
use std::rc::Rc;

use crate::{SpdkApp, SpdkAppBuilder};

mod child;
mod config;
mod cores;
mod leftovers;
mod parent;
mod process;

pub use config::{Call, Value, config};
#[cfg(feature = "nvme")]
pub(crate) use cores::another as another_core;
pub use leftovers::remove as remove_leftovers;
#[cfg(feature = "nvme")]
pub(crate) use process::dies_with_us;

/// Set in the child: the path of its test.
const CHILD: &str = "SPDK_RS_TEST";
/// The cores of the child, as a core mask.
const CORES: &str = "SPDK_RS_TEST_CORES";
/// The default of `mem_size_mb`.
const MEMORY_MB: i32 = 512;

/// Why the body of a test failed; `None` if it passed.
pub type Verdict = Option<String>;

/// What a test function can return.
#[diagnostic::on_unimplemented(
    message = "the function of `#[spdk::test]` cannot return `{Self}`",
    label = "return `()`, or a `Result` whose error is `Debug`"
)]
pub trait Outcome: 'static {
    /// Why it is a failure.
    fn verdict(self) -> Verdict;
}

impl Outcome for () {
    fn verdict(self) -> Verdict {
        None
    }
}

impl<T: Outcome, E: Debug + 'static> Outcome for Result<T, E> {
    fn verdict(self) -> Verdict {
        match self {
            Ok(output) => output.verdict(),
            Err(error) => Some(format!("the test returned an error: {error:?}")),
        }
    }
}

/// Runs a test. `path` starts with the name of its crate, `deadline` is in seconds.
pub fn run(path: &'static str, deadline: u64, body: impl FnOnce() -> Verdict) {
    let name = path.split_once("::").map_or(path, |(_, name)| name);
    if std::env::var(CHILD).is_ok_and(|child| child == name) {
        child::run(body);
    } else {
        parent::run(name, deadline);
    }
}

/// The application of a test, for its arguments to be set on: no hardware, and nothing that two
/// processes would share.
pub fn builder() -> SpdkAppBuilder {
    let app = SpdkApp::builder()
        .name("test")
        .no_huge(true)
        .no_pci(true)
        .disable_cpumask_locks(cfg!(spdk_since_24_09))
        .mem_size_mb(MEMORY_MB);
    match std::env::var(CORES) {
        Ok(cores) => app.reactor_mask(&cores),
        Err(_) => app,
    }
}

/// The body of an `async fn`.
pub fn run_async<F>(app: SpdkAppBuilder, test: fn() -> F) -> Verdict
where
    F: Future<Output: Outcome> + 'static,
{
    let output = Rc::new(Cell::new(None));
    let sink = output.clone();
    let end = app.run_async(async move { sink.set(Some(test().await)) });
    conclude(end, &output)
}

/// The body of a plain `fn`.
pub fn run_sync<R: Outcome>(app: SpdkAppBuilder, test: fn() -> R) -> Verdict {
    let output = Rc::new(Cell::new(None));
    let sink = output.clone();
    let end = app.run(move || sink.set(Some(test())));
    conclude(end, &output)
}

/// The body of a `no_app` test.
pub fn alone<R: Outcome>(test: fn() -> R) -> Verdict {
    test().verdict()
}

fn conclude<R: Outcome>(end: crate::Result<()>, output: &Cell<Option<R>>) -> Verdict {
    match (end, output.take()) {
        (Err(error), _) => Some(error.to_string()),
        (Ok(()), Some(output)) => output.verdict(),
        (Ok(()), None) => Some("the application was stopped before the test ended".into()),
    }
}
