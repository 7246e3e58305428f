//! [`SpdkApp`]: the life of SPDK's application framework, from its start to its end in order.
//!
//! The framework polls; this crate never does inside it. The main function runs as a message and the
//! main future as a task of the app thread, so other spdk_threads and pollers make progress while it
//! waits.
#![allow(unsafe_code)] // Starts and stops the framework, and is called back by it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use crate::affinity::Affinity;
use crate::app_builder::{Options, SpdkAppBuilder};
use crate::env::{self, Phase};
use crate::error::{At, Error, ErrorKind, Fault, Result};
use crate::local::Local;
use crate::shared::Shared;
use crate::shutdown::{self, Watch};
use crate::signals::{self, Handlers};
use crate::{log, mem, movable, options, panic, sys, task};

/// Whether the application has been asked to stop.
static STOP: AtomicBool = AtomicBool::new(false);

/// Whether one has begun to start.
static BEGUN: AtomicBool = AtomicBool::new(false);

/// The app thread, while an application runs.
static APP_THREAD: Mutex<Option<Arc<Shared>>> = Mutex::new(None);

/// Looks after the end of the application.
static WATCH: Mutex<Option<Watch>> = Mutex::new(None);

pub(crate) fn app_thread() -> Option<Arc<Shared>> {
    APP_THREAD.lock().unwrap_or_else(|e| e.into_inner()).clone()
}

/// Calls `f` with the app thread. The application runs, and does not begin to end meanwhile.
pub(crate) fn while_running<T>(
    call: &'static str,
    f: impl FnOnce(&Arc<Shared>) -> Result<T>,
) -> Result<T> {
    let app = APP_THREAD.lock().unwrap_or_else(|e| e.into_inner());
    match (&*app, env::phase()) {
        (Some(app), _) => f(app),
        (None, Phase::App) => Err(ErrorKind::ThreadEnded {
            name: "app_thread".to_owned(),
        }
        .into()),
        (None, Phase::Env) => {
            let reason = "it needs the reactors of `SpdkApp`; with `SpdkEnv` the spdk_threads are \
                          yours, see `SpdkThread`";
            Err(Fault::invalid(reason).at(At::free(call)))
        }
        (None, _) => Err(ErrorKind::NotInitialised { operation: call }.into()),
    }
}

/// An application on SPDK's application framework: subsystems, bdevs from a JSON configuration,
/// reactors, signal handling and, if asked for, a JSON-RPC server.
///
/// SPDK can run once in a process.
///
/// # How it ends
///
/// When its main function returns, or on SIGINT, SIGTERM or [`SpdkApp::stop`], whichever is first; what comes
/// after that changes nothing. Then, on each spdk_thread, the last of which is the app thread: tasks are dropped,
/// operations in flight are waited for, what is still open is closed. [`SpdkAppBuilder::shutdown_patience`] bounds
/// the time. What was alive is reported through `tracing` at the level `INFO`, with the target
/// `spdk::shutdown`: how many tasks, which operations in flight, and a line for each kind of handle with their
/// names.
///
/// What the caller gets when a signal or a `stop` has ended it: `Ok(())` of
/// [`run`](SpdkAppBuilder::run) and [`run_async`](SpdkAppBuilder::run_async);
/// [`ErrorKind::Cancelled`] of [`block_on`](SpdkAppBuilder::block_on), whose future has no output then. A program
/// with [`#[spdk::main]`](crate::main) exits with 0.
///
/// Until the application has ended, SPDK's handlers of these signals take the place of those that the program had before
/// the start, which are told of none then, `tokio::signal::ctrl_c` included. A handler that comes later and calls the one
/// before it, as Tokio's does, is told, and the application ends all the same: the tasks on spdk_threads are not asked to
/// finish first. With [`SpdkAppBuilder::disable_signal_handlers`] they are the program's own, which ends when its work is
/// done.
///
/// ```no_run
/// use spdk::{DmaBuf, SpdkApp};
///
/// # fn main() -> spdk::Result<()> {
/// let first = SpdkApp::builder()
///     .name("example")
///     .json_data(r#"{"subsystems": [{"subsystem": "bdev", "config": [
///         {"method": "bdev_malloc_create",
///          "params": {"name": "Malloc0", "num_blocks": 1024, "block_size": 512}}]}]}"#)
///     .block_on(async {
///         let desc = spdk::Bdev::find("Malloc0")?.open(true)?;
///         let channel = desc.get_io_channel()?;
///         let mut buf = DmaBuf::alloc(4096, 4096)?;
///         desc.read(&channel, &mut buf, 0).await?;
///         Ok(buf[0])
///     })?;
/// # let _ = first;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SpdkApp {
    _private: (),
}

impl SpdkApp {
    /// Sets the options of an application.
    pub fn builder() -> SpdkAppBuilder {
        SpdkAppBuilder::default()
    }

    /// Ends the application in order: its tasks are dropped on their own spdk_threads, operations in
    /// flight are waited for, what is still open is closed, and then SPDK stops. What happens when
    /// operations do not end is described at [`SpdkAppBuilder::shutdown_patience`].
    ///
    /// It returns at once and may be called from any OS thread. An application that is starting ends as soon as it has
    /// started. Without one it does nothing.
    #[doc(alias = "spdk_app_stop")]
    pub fn stop() {
        let mut app = app_thread();
        if app.is_none() && BEGUN.load(SeqCst) {
            // `on_start` sees it, unless the app thread is known by now.
            STOP.store(true, SeqCst);
            app = app_thread();
        }
        if let Some(app) = app {
            // `false` means that the application has ended already.
            app.send(|| begin_shutdown("SpdkApp::stop"));
        }
    }

    /// Asks for the end of the application as SIGINT and SIGTERM do: the same as [`SpdkApp::stop`].
    #[doc(alias = "spdk_app_start_shutdown")]
    pub fn start_shutdown() {
        Self::stop();
    }
}

/// Runs `main` in SPDK; `None` if it was stopped first.
pub(crate) fn run<F>(builder: &SpdkAppBuilder, main: F) -> Result<Option<F::Output>>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let options = Options::check(builder)?;
    env::begin()?;
    BEGUN.store(true, SeqCst);
    if let Some(patience) = options.shutdown_patience() {
        shutdown::set_patience(patience);
    }
    let output = Rc::new(RefCell::new(None));
    let sink = output.clone();
    let main = async move {
        let end = panic::caught(main).await;
        *sink.borrow_mut() = Some(end);
        begin_shutdown("the main function has ended");
    };
    let start = Box::new(Start {
        main: Cell::new(Some(Box::pin(main))),
        started: Cell::new(false),
        error: Cell::new(None),
        handlers: Handlers::now(),
    });
    let affinity = Affinity::now();
    // SAFETY: `start` lives until `spdk_app_start` has returned.
    let code = unsafe {
        options.start(
            on_start,
            on_shutdown_signal,
            ptr::from_ref(&*start).cast_mut().cast(),
        )
    };
    start.handlers.restore();
    if let Some(affinity) = affinity {
        affinity.restore();
    }
    let abandoned = WATCH.lock().unwrap_or_else(|e| e.into_inner()).take();
    let abandoned = abandoned.is_some_and(Watch::end);
    finish(&start, abandoned);
    if let Some(error) = start.error.take() {
        return Err(error);
    }
    if !start.started.get() {
        let mut reason = log::reason(&format!(
            "spdk_app_start returned {code}; the messages on stderr say more"
        ));
        // SPDK's exit code does not tell a lack of memory from other reasons, but its words do.
        let words = ["-12", "pool", "memory"];
        if let Some(mb) = builder.mem_size()
            && words.iter().any(|word| reason.contains(word))
        {
            reason += &format!("; it was given {mb} MB of memory (`mem_size_mb`)");
        }
        reason += options::dpdk(&reason, builder.without_hugepages());
        if reason.contains("error response") {
            reason += &builder.mistakes();
        }
        return Err(ErrorKind::Start { reason }.into());
    }
    match output.take() {
        Some(Err(payload)) => resume_unwind(payload),
        _ if abandoned => Err(shutdown::error()),
        Some(Ok(_)) | None if code != 0 => {
            let reason = log::reason("see SPDK's log");
            Err(ErrorKind::Stopped { code, reason }.into())
        }
        Some(Ok(output)) => Ok(Some(output)),
        None => Ok(None),
    }
}

/// What the start function gets.
struct Start {
    main: Cell<Option<std::pin::Pin<Box<dyn Future<Output = ()>>>>>,
    started: Cell<bool>,
    error: Cell<Option<Error>>,
    /// Those from before.
    handlers: Handlers,
}

/// The environment is up, the subsystems are, and the configuration is loaded.
unsafe extern "C" fn on_start(arg: *mut c_void) {
    panic::guard("spdk_app_start", || {
        // SAFETY: `run` passed it, and it lives until `spdk_app_start` has returned.
        let start = unsafe { &*arg.cast::<Start>().cast_const() };
        log::started();
        start.handlers.started();
        env::set_phase(Phase::App);
        start.started.set(true);
        match (Local::current(), start.main.take()) {
            (Ok(local), Some(main)) => {
                *APP_THREAD.lock().unwrap_or_else(|e| e.into_inner()) =
                    Some(local.shared().clone());
                drop(task::spawn_on(&local, main));
                if STOP.load(SeqCst) {
                    begin_shutdown("a signal or a stop before it had started");
                }
            }
            (Err(fault), _) => {
                start.error.set(Some(fault.at(At::free("spdk_app_start"))));
                stop_framework(1);
            }
            (Ok(_), None) => {}
        }
    });
}

unsafe extern "C" fn on_shutdown_signal() {
    panic::guard("spdk_app_shutdown_cb", || begin_shutdown("a signal"));
}

fn stop_framework(code: c_int) {
    // SAFETY: the framework runs: this is called on the app thread.
    unsafe { sys::spdk_app_stop(code) }
}

/// Ends every spdk_thread that Rust has run on, the app thread last, and then the framework. Runs on
/// the app thread; a second call does nothing.
fn begin_shutdown(why: &'static str) {
    STOP.store(true, SeqCst);
    let Some(app) = APP_THREAD.lock().unwrap_or_else(|e| e.into_inner()).take() else {
        return; // not started yet: `on_start` will see `STOP`; or stopping already
    };
    tracing::info!(why, "the application ends");
    signals::spend();
    *WATCH.lock().unwrap_or_else(|e| e.into_inner()) = Watch::start();
    if let Ok(local) = Local::current() {
        local.let_others_end();
    }
    let running = Arc::new(OthersRunning(app.clone()));
    for other in Shared::all() {
        if Arc::ptr_eq(&other, &app) {
            continue;
        }
        let running = running.clone();
        // Whether it runs or is dropped, because the spdk_thread ends by itself: `running` goes then.
        other.send(move || {
            if let Ok(local) = Local::current() {
                local.end(Box::new(move || drop(running)));
            }
        });
    }
    movable::end_all(&running);
}

/// Whether the application ends, or will as soon as it has started.
pub(crate) fn is_ending() -> bool {
    STOP.load(SeqCst)
}

/// Exists while an spdk_thread other than the app thread has not ended; ends the app thread then.
struct OthersRunning(Arc<Shared>);

impl Drop for OthersRunning {
    fn drop(&mut self) {
        // The app thread ends last, so it is still there.
        self.0.send(end_app_thread);
    }
}

fn end_app_thread() {
    match Local::current() {
        Ok(local) => local.end(Box::new(|| stop_framework(0))),
        Err(_) => stop_framework(0),
    }
}

/// Waits until the calling task is the only one of the app thread.
pub(crate) async fn other_tasks_end() {
    std::future::poll_fn(|cx| match Local::current() {
        Ok(local) if local.executor().len() > 1 => {
            local.executor().wake_when_one_is_left(cx.waker());
            Poll::Pending
        }
        _ => Poll::Ready(()),
    })
    .await;
}

/// Frees what the framework holds, unless memory of SPDK is still in use.
fn finish(start: &Start, abandoned: bool) {
    env::set_phase(Phase::Ended);
    *APP_THREAD.lock().unwrap_or_else(|e| e.into_inner()) = None;
    // The future of a failed start is dropped here; a panic in its drop is not this function's.
    let dropped: std::result::Result<(), Box<dyn Any + Send>> =
        catch_unwind(AssertUnwindSafe(|| drop(start.main.take())));
    let buffers = mem::live();
    if abandoned {
        // The bdev layer was not finished: what it has in flight stays as it is.
    } else if buffers == 0 {
        // SAFETY: `spdk_app_start` has returned, and nothing uses SPDK's memory any more.
        unsafe { sys::spdk_app_fini() };
    } else {
        tracing::warn!(
            buffers,
            "SPDK's memory stays mapped: buffers of it are in use"
        );
    }
    if let Err(payload) = dropped {
        resume_unwind(payload);
    }
}
