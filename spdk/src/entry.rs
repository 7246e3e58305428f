//! What `#[spdk::main]` expands to. Not part of the public API.

use std::cell::Cell;
use std::future::Future;
use std::process::ExitCode;
use std::rc::Rc;

use crate::error::{Error, Result};
use crate::{SpdkApp, SpdkAppBuilder};

/// What a main function can return.
#[diagnostic::on_unimplemented(
    message = "the function of `#[spdk::main]` cannot return `{Self}`",
    label = "return `()`, `ExitCode`, or a `Result` whose error is `From<spdk::Error>`"
)]
pub trait Main: 'static {
    /// SPDK did not start, or stopped with an error.
    fn failed(error: Error) -> Self;
    /// The application was stopped before the function had returned.
    fn stopped() -> Self;
}

impl Main for () {
    fn failed(error: Error) {
        report(&error);
        std::process::exit(1);
    }
    fn stopped() {}
}

impl Main for ExitCode {
    fn failed(error: Error) -> Self {
        report(&error);
        ExitCode::FAILURE
    }
    fn stopped() -> Self {
        ExitCode::SUCCESS
    }
}

impl<T: Main, E: From<Error> + 'static> Main for Result<T, E> {
    fn failed(error: Error) -> Self {
        Err(error.into())
    }
    fn stopped() -> Self {
        Ok(T::stopped())
    }
}

fn report(error: &Error) {
    eprintln!("Error: {error}");
}

/// The builder that the arguments are set on.
pub fn builder(crate_name: &str) -> SpdkAppBuilder {
    SpdkApp::builder().name(crate_name)
}

/// Runs an `async fn`.
pub fn run_async<F>(app: SpdkAppBuilder, main: fn() -> F) -> F::Output
where
    F: Future<Output: Main> + 'static,
{
    let output = Rc::new(Cell::new(None));
    let sink = output.clone();
    let end = app.run_async(async move { sink.set(Some(main().await)) });
    conclude(end, &output)
}

/// Runs a plain `fn`.
pub fn run<R: Main>(app: SpdkAppBuilder, main: fn() -> R) -> R {
    let output = Rc::new(Cell::new(None));
    let sink = output.clone();
    let end = app.run(move || sink.set(Some(main())));
    conclude(end, &output)
}

fn conclude<R: Main>(end: Result<()>, output: &Cell<Option<R>>) -> R {
    match (end, output.take()) {
        (Ok(()), Some(output)) => output,
        (Ok(()), None) => R::stopped(),
        (Err(error), _) => R::failed(error),
    }
}
