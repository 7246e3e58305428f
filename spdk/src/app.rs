//! [`SpdkApp`]: SPDK's application framework.
//!
//! The framework polls; this crate never does inside it. The main function runs as a message and the
//! main future as a task of the app thread, so other spdk_threads and pollers make progress while it
//! waits.
#![allow(unsafe_code)] // Fills the framework's options and starts it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ffi::{CString, c_int, c_void};
use std::future::Future;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;

use crate::env::{self, Phase};
use crate::error::{Error, Result};
use crate::local::{Local, Shared};
use crate::options::{self, LogLevel};
use crate::shutdown::{self, Watch};
use crate::{mem, panic, spdk_log, sys, task};

/// Whether the application has been asked to stop.
static STOP: AtomicBool = AtomicBool::new(false);

/// The app thread, while an application runs.
static APP_THREAD: Mutex<Option<Arc<Shared>>> = Mutex::new(None);

/// Looks after the end of the application.
static WATCH: Mutex<Option<Watch>> = Mutex::new(None);

pub(crate) fn app_thread() -> Option<Arc<Shared>> {
    APP_THREAD.lock().unwrap_or_else(|e| e.into_inner()).clone()
}

/// An application on SPDK's application framework: subsystems, bdevs from a JSON configuration,
/// reactors, signal handling and, if asked for, a JSON-RPC server.
///
/// SPDK can run once in a process.
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
    /// It returns at once and may be called from any OS thread. Without a running application it does
    /// nothing.
    #[doc(alias = "spdk_app_stop")]
    pub fn stop() {
        if let Some(app) = app_thread() {
            // `false` means that the application has ended already.
            app.send(Box::new(begin_shutdown));
        }
    }

    /// Asks for the end of the application as SIGINT and SIGTERM do: the same as [`SpdkApp::stop`].
    #[doc(alias = "spdk_app_start_shutdown")]
    pub fn start_shutdown() {
        Self::stop();
    }
}

/// The options of a [`SpdkApp`]. What is not set has SPDK's default.
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until `run`, `run_async` or `block_on`"]
pub struct SpdkAppBuilder {
    name: Option<String>,
    config_file: Option<PathBuf>,
    json_data: Option<String>,
    reactor_mask: Option<String>,
    main_core: Option<i32>,
    mem_size_mb: Option<i32>,
    no_pci: bool,
    no_huge: bool,
    rpc_addr: Option<String>,
    shm_id: Option<i32>,
    log_level: Option<LogLevel>,
    disable_cpumask_locks: bool,
    shutdown_patience: Option<Duration>,
}

impl SpdkAppBuilder {
    /// The same as [`SpdkApp::builder`].
    pub fn new() -> Self {
        Self::default()
    }

    /// The name of the application, in its log and the names of its hugepage files.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// A file with SPDK's JSON configuration: the bdevs to create, and more.
    pub fn config_file(mut self, path: impl AsRef<Path>) -> Self {
        self.config_file = Some(path.as_ref().to_owned());
        self
    }

    /// SPDK's JSON configuration itself, instead of a file.
    pub fn json_data(mut self, json: impl Into<String>) -> Self {
        self.json_data = Some(json.into());
        self
    }

    /// The cores to run a reactor on, as a hexadecimal mask such as `0x3` or a list such as
    /// `[0,2-3]`.
    pub fn reactor_mask(mut self, mask: &str) -> Self {
        self.reactor_mask = Some(mask.to_owned());
        self
    }

    /// The core of the main reactor, which runs the app thread.
    pub fn main_core(mut self, core: i32) -> Self {
        self.main_core = Some(core);
        self
    }

    /// SPDK's memory in megabytes.
    pub fn mem_size_mb(mut self, mb: i32) -> Self {
        self.mem_size_mb = Some(mb);
        self
    }

    /// Leaves the PCI devices alone.
    pub fn no_pci(mut self, no_pci: bool) -> Self {
        self.no_pci = no_pci;
        self
    }

    /// Uses ordinary memory instead of hugepages. Enough for bdevs that need no DMA, and for tests.
    pub fn no_huge(mut self, no_huge: bool) -> Self {
        self.no_huge = no_huge;
        self
    }

    /// Starts the JSON-RPC server on this Unix socket (or `IP:port`). Without it there is none.
    pub fn rpc_addr(mut self, addr: &str) -> Self {
        self.rpc_addr = Some(addr.to_owned());
        self
    }

    /// The shared memory id, for several processes that share devices; -1 for none.
    pub fn shm_id(mut self, id: i32) -> Self {
        self.shm_id = Some(id);
        self
    }

    /// How much SPDK logs to stderr.
    pub fn log_level(mut self, level: LogLevel) -> Self {
        self.log_level = Some(level);
        self
    }

    /// Lets other SPDK processes run on the same cores. From SPDK 24.09 on; refused before that.
    pub fn disable_cpumask_locks(mut self, disable: bool) -> Self {
        self.disable_cpumask_locks = disable;
        self
    }

    /// How long the end of the application waits for operations in flight; 5 seconds by default.
    ///
    /// Memory that a device may still write into is never freed, so the end waits for the operations
    /// that your tasks have left in flight. A device that does not answer would hold it up for ever.
    /// When this time is over, those devices are reset: their drivers give up what is in flight. If
    /// SPDK has not stopped after ten times this time all the same, it is abandoned: its memory and
    /// its connections stay until the process ends, and [`Error::Stopped`] is returned.
    pub fn shutdown_patience(mut self, patience: Duration) -> Self {
        self.shutdown_patience = Some(patience);
        self
    }

    /// Starts SPDK, runs `f` on the app thread and returns when SPDK has stopped.
    ///
    /// SPDK stops when `f` has returned and every task that was spawned on the app thread has ended,
    /// or before that on [`SpdkApp::stop`], SIGINT or SIGTERM.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for an option that cannot be used, [`Error::AlreadyInitialised`] if this
    /// process has run SPDK before, [`Error::Start`] if SPDK or one of its subsystems does not start,
    /// a configuration that does not load included.
    ///
    /// # Panics
    ///
    /// With the panic of `f`, after SPDK has stopped in order.
    #[doc(alias = "spdk_app_start")]
    pub fn run<F>(self, f: F) -> Result<()>
    where
        F: FnOnce() + 'static,
    {
        let main = async move {
            f();
            if let Ok(local) = Local::current() {
                others_end(&local).await;
            }
        };
        self.start(main).map(|_| ())
    }

    /// Starts SPDK, runs `future` as a task of the app thread and returns when SPDK has stopped.
    ///
    /// SPDK stops when `future` has ended, or before that on [`SpdkApp::stop`], SIGINT or SIGTERM;
    /// then `future` is dropped where it waits.
    ///
    /// # Errors
    ///
    /// As for [`SpdkAppBuilder::run`].
    ///
    /// # Panics
    ///
    /// With the panic of `future`, after SPDK has stopped in order.
    #[doc(alias = "spdk_app_start")]
    pub fn run_async<F>(self, future: F) -> Result<()>
    where
        F: Future<Output = ()> + 'static,
    {
        self.start(future).map(|_| ())
    }

    /// [`SpdkAppBuilder::run_async`] with a result.
    ///
    /// # Errors
    ///
    /// The error of `future`, [`Error::Cancelled`] if the application was stopped before `future` had
    /// ended, and those of [`SpdkAppBuilder::run`].
    ///
    /// # Panics
    ///
    /// With the panic of `future`, after SPDK has stopped in order.
    #[doc(alias = "spdk_app_start")]
    pub fn block_on<F, T>(self, future: F) -> Result<T>
    where
        F: Future<Output = Result<T>> + 'static,
        T: 'static,
    {
        self.start(future)?.unwrap_or(Err(Error::Cancelled))
    }

    /// Runs `main` in SPDK; `None` if it was stopped first.
    fn start<F>(self, main: F) -> Result<Option<F::Output>>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let options = Options::check(&self)?;
        env::begin()?;
        if let Some(patience) = self.shutdown_patience {
            shutdown::set_patience(patience);
        }
        let output = Rc::new(RefCell::new(None));
        let sink = output.clone();
        let main = async move {
            let end = AssertUnwindSafe(main).catch_unwind().await;
            *sink.borrow_mut() = Some(end);
            begin_shutdown();
        };
        let start = Box::new(Start {
            main: Cell::new(Some(Box::pin(main))),
            started: Cell::new(false),
            error: Cell::new(None),
        });
        let code = options.start(&start);
        let abandoned = WATCH.lock().unwrap_or_else(|e| e.into_inner()).take();
        let abandoned = abandoned.is_some_and(Watch::end);
        finish(&start, abandoned);
        if let Some(error) = start.error.take() {
            return Err(error);
        }
        if !start.started.get() {
            let reason = spdk_log::reason(&format!(
                "spdk_app_start returned {code}; the messages on stderr say more"
            ));
            return Err(Error::Start { reason });
        }
        match output.take() {
            Some(Err(payload)) => resume_unwind(payload),
            _ if abandoned => Err(shutdown::error()),
            Some(Ok(_)) | None if code != 0 => {
                let reason = spdk_log::reason("see SPDK's log");
                Err(Error::Stopped { code, reason })
            }
            Some(Ok(output)) => Ok(Some(output)),
            None => Ok(None),
        }
    }
}

/// What the start function gets.
struct Start {
    main: Cell<Option<std::pin::Pin<Box<dyn Future<Output = ()>>>>>,
    started: Cell<bool>,
    error: Cell<Option<Error>>,
}

/// The options, checked and in C's form.
struct Options<'a> {
    builder: &'a SpdkAppBuilder,
    name: CString,
    reactor_mask: Option<CString>,
    rpc_addr: Option<CString>,
    mem_size: Option<i32>,
    json: Option<Vec<u8>>,
}

impl<'a> Options<'a> {
    fn check(builder: &'a SpdkAppBuilder) -> Result<Self> {
        if builder.disable_cpumask_locks && !cfg!(spdk_since_24_09) {
            let reason =
                "SPDK has this option from 24.09 on, and this program was built with an older one";
            return Err(options::refuse("disable_cpumask_locks", reason));
        }
        let reactor_mask = match &builder.reactor_mask {
            Some(mask) => Some(options::cores("reactor_mask", mask)?),
            None => None,
        };
        Ok(Options {
            builder,
            name: options::text("name", builder.name.as_deref().unwrap_or("spdk"))?,
            reactor_mask,
            rpc_addr: options::optional_text("rpc_addr", builder.rpc_addr.as_deref())?,
            mem_size: builder.mem_size_mb.map(options::memory).transpose()?,
            json: crate::config::load(
                builder.config_file.as_deref(),
                builder.json_data.as_deref(),
            )?,
        })
    }

    /// Fills the framework's options and runs it; returns when it has stopped.
    fn start(mut self, start: &Start) -> c_int {
        let log = spdk_log::capture();
        let builder = self.builder;
        let mut opts = MaybeUninit::<sys::spdk_app_opts>::zeroed();
        let size = size_of::<sys::spdk_app_opts>();
        // SAFETY: zeroes are valid for every field and the init function fills in the defaults. What
        // the options point to lives until `spdk_app_start` has returned, and so does `start`, which
        // the start function gets.
        unsafe {
            sys::spdk_app_opts_init(opts.as_mut_ptr(), size as _);
            let opts = &mut *opts.as_mut_ptr();
            opts.name = self.name.as_ptr();
            opts.rpc_addr = self
                .rpc_addr
                .as_ref()
                .map_or(ptr::null(), |addr| addr.as_ptr());
            if let Some(mask) = &self.reactor_mask {
                opts.reactor_mask = mask.as_ptr();
            }
            if let Some(core) = builder.main_core {
                opts.main_core = core;
            }
            if let Some(mb) = self.mem_size {
                opts.mem_size = mb;
            }
            if let Some(id) = builder.shm_id {
                opts.shm_id = id;
            }
            if let Some(level) = builder.log_level {
                opts.print_level = sys::spdk_log_level(level.code() as _);
            }
            if let Some(json) = &mut self.json {
                opts.json_data = json.as_mut_ptr().cast();
                opts.json_data_size = json.len() as _;
            }
            opts.no_pci = builder.no_pci;
            opts.no_huge = builder.no_huge;
            #[cfg(spdk_since_24_09)]
            {
                opts.disable_cpumask_locks = builder.disable_cpumask_locks;
            }
            opts.shutdown_cb = Some(on_shutdown_signal);
            opts.log = log;
            sys::spdk_app_start(opts, Some(on_start), ptr::from_ref(start).cast_mut().cast())
        }
    }
}

/// The environment is up, the subsystems are, and the configuration is loaded.
unsafe extern "C" fn on_start(arg: *mut c_void) {
    panic::guard("spdk_app_start", || {
        // SAFETY: `Options::start` passed it, and it lives until `spdk_app_start` has returned.
        let start = unsafe { &*arg.cast::<Start>().cast_const() };
        spdk_log::release();
        env::set_phase(Phase::App);
        start.started.set(true);
        match (Local::current(), start.main.take()) {
            (Ok(local), Some(main)) => {
                *APP_THREAD.lock().unwrap_or_else(|e| e.into_inner()) =
                    Some(local.shared().clone());
                drop(task::spawn_on(&local, main));
                if STOP.load(SeqCst) {
                    begin_shutdown();
                }
            }
            (Err(fault), _) => {
                start
                    .error
                    .set(Some(fault.at(crate::error::At::free("spdk_app_start"))));
                stop_framework(1);
            }
            (Ok(_), None) => {}
        }
    });
}

unsafe extern "C" fn on_shutdown_signal() {
    panic::guard("spdk_app_shutdown_cb", begin_shutdown);
}

fn stop_framework(code: c_int) {
    // SAFETY: the framework runs: this is called on the app thread.
    unsafe { sys::spdk_app_stop(code) }
}

/// Ends every spdk_thread that Rust has run on, the app thread last, and then the framework. Runs on
/// the app thread; a second call does nothing.
fn begin_shutdown() {
    STOP.store(true, SeqCst);
    let Some(app) = APP_THREAD.lock().unwrap_or_else(|e| e.into_inner()).take() else {
        return; // not started yet: `on_start` will see `STOP`; or stopping already
    };
    *WATCH.lock().unwrap_or_else(|e| e.into_inner()) = Watch::start();
    let others: Vec<_> = Shared::all();
    let others: Vec<_> = others
        .into_iter()
        .filter(|s| !Arc::ptr_eq(s, &app))
        .collect();
    let left = Arc::new(AtomicUsize::new(others.len() + 1));
    let one_less = {
        let app = app.clone();
        move || {
            if left.fetch_sub(1, SeqCst) == 1 {
                // The app thread ends last, so it is still there.
                app.send(Box::new(end_app_thread));
            }
        }
    };
    for other in others {
        let done = one_less.clone();
        let end = Box::new(move || match Local::current() {
            Ok(local) => local.end(Box::new(done)),
            Err(_) => done(),
        });
        if !other.send(end) {
            one_less();
        }
    }
    one_less();
}

fn end_app_thread() {
    match Local::current() {
        Ok(local) => local.end(Box::new(|| stop_framework(0))),
        Err(_) => stop_framework(0),
    }
}

/// Waits until the calling task is the only one of its spdk_thread.
async fn others_end(local: &Rc<Local>) {
    std::future::poll_fn(|cx| {
        if local.executor().len() <= 1 {
            return Poll::Ready(());
        }
        local.executor().wake_when_one_is_left(cx.waker());
        Poll::Pending
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
