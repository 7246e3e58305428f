//! [`SpdkAppBuilder`]: the options of an application.
#![allow(unsafe_code)] // Fills the framework's options, which point to texts of ours.

use std::ffi::{CString, c_int, c_void};
use std::future::Future;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::ptr;
use std::time::Duration;

use crate::bdev::BdevOpts;
#[cfg(feature = "config")]
use crate::config::Config;
use crate::error::{ErrorKind, Result};
use crate::log::LogLevel;
use crate::options;
use crate::{app, config_text, log, sys};

/// The options of a [`SpdkApp`](crate::SpdkApp). What is not set has SPDK's default.
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until `run`, `run_async` or `block_on`"]
pub struct SpdkAppBuilder {
    name: Option<String>,
    config_file: Option<PathBuf>,
    json_data: Option<String>,
    #[cfg(feature = "config")]
    config: Option<Config>,
    reactor_mask: Option<String>,
    main_core: Option<i32>,
    mem_size_mb: Option<i32>,
    no_pci: bool,
    no_huge: bool,
    rpc_addr: Option<String>,
    shm_id: Option<i32>,
    log_level: Option<LogLevel>,
    log_flags: Vec<String>,
    disable_cpumask_locks: bool,
    disable_signal_handlers: bool,
    interrupt_mode: bool,
    shutdown_patience: Option<Duration>,
    bdev_opts: Option<BdevOpts>,
}

impl SpdkAppBuilder {
    /// The same as [`SpdkApp::builder`](crate::SpdkApp::builder).
    pub fn new() -> Self {
        Self::default()
    }

    /// The name of the application, in its log and the names of its hugepage files.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// A file with SPDK's JSON configuration: the bdevs to create, and more.
    ///
    /// SPDK skips what it has for a subsystem that does not exist in this program, such as `nvmf` without the Cargo
    /// feature `subsystem-nvmf`, and only logs so, as a notice.
    pub fn config_file(mut self, path: impl AsRef<Path>) -> Self {
        self.config_file = Some(path.as_ref().to_owned());
        self
    }

    /// What all bdevs share, such as the number of I/Os.
    ///
    /// `bdev_set_options` in the configuration, which `config::BdevOptions` is with the feature `config`, comes
    /// later: each option that it sets counts more than the same one here, and the others stay as they are
    /// here.
    #[doc(alias = "spdk_bdev_set_opts")]
    pub fn bdev_opts(mut self, opts: BdevOpts) -> Self {
        self.bdev_opts = Some(opts);
        self
    }

    /// SPDK's JSON configuration itself, instead of a file, of which SPDK skips as much as of a
    /// [file](SpdkAppBuilder::config_file).
    pub fn json_data(mut self, json: impl Into<String>) -> Self {
        self.json_data = Some(json.into());
        self
    }

    /// SPDK's configuration, built from types or read from a file, instead of its text.
    ///
    /// It is checked before SPDK starts; what [`Config::validate`] finds is an error, but for bdevs
    /// that are used and that nothing makes, since they may appear later: those are warned of. The
    /// application begins when the modules that look at each new bdev have done so.
    ///
    /// For the feature `config`.
    #[cfg(feature = "config")]
    pub fn config(mut self, config: Config) -> Self {
        self.config = Some(config);
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

    /// SPDK's memory in megabytes. With the pools that SPDK makes by default, 512 are enough for one core.
    pub fn mem_size_mb(mut self, mb: i32) -> Self {
        self.mem_size_mb = Some(mb);
        self
    }

    /// Leaves the PCI devices alone.
    pub fn no_pci(mut self, no_pci: bool) -> Self {
        self.no_pci = no_pci;
        self
    }

    /// Uses ordinary memory instead of hugepages, and as much as `mem_size_mb` says. Enough for bdevs that need
    /// no DMA, and for tests.
    pub fn no_huge(mut self, no_huge: bool) -> Self {
        self.no_huge = no_huge;
        self
    }

    /// Starts the JSON-RPC server on this Unix socket, a path such as `/var/tmp/spdk.sock`. Without it there is none.
    ///
    /// It serves 64 clients at once. SPDK 26.01 keeps the place of one whose connection breaks while a method runs that answers
    /// later, as `bdev_wait_for_examine` does: after 64 of these it serves nobody. `rpc::call`, of the feature `config`, has a
    /// connection of its own.
    pub fn rpc_addr(mut self, addr: &str) -> Self {
        self.rpc_addr = Some(addr.to_owned());
        self
    }

    /// The shared memory id, for several processes that share devices; -1 for none.
    pub fn shm_id(mut self, id: i32) -> Self {
        self.shm_id = Some(id);
        self
    }

    /// How much SPDK logs; [`LogLevel::Info`] by default. See [`log`](crate::log) for where it goes.
    pub fn log_level(mut self, level: LogLevel) -> Self {
        self.log_level = Some(level);
        self
    }

    /// The parts of SPDK that log information, and in debug builds of SPDK debug messages: as in
    /// [`log::set_flag`](crate::log::set_flag). With any, the level is [`LogLevel::Debug`] unless
    /// [`SpdkAppBuilder::log_level`] says otherwise.
    #[doc(alias = "spdk_log_set_flag")]
    pub fn log_flags<S: Into<String>>(mut self, flags: impl IntoIterator<Item = S>) -> Self {
        self.log_flags.extend(flags.into_iter().map(Into::into));
        self
    }

    /// Lets other SPDK processes run on the same cores. From SPDK 24.09 on; refused before that.
    pub fn disable_cpumask_locks(mut self, disable: bool) -> Self {
        self.disable_cpumask_locks = disable;
        self
    }

    /// Leaves SIGINT and SIGTERM to the program, which can then finish its work before it ends: they do what it has them
    /// do, and the application ends only with its main function, or on [`SpdkApp::stop`](crate::SpdkApp::stop). If it
    /// has handlers for neither, they end the process in the middle of what it does. Tokio's `signal` is told in tasks
    /// of `spdk::tokio`; `examples/src/bin/tokio_signal.rs` is a program that waits for it.
    pub fn disable_signal_handlers(mut self, disable: bool) -> Self {
        self.disable_signal_handlers = disable;
        self
    }

    /// Lets the reactors sleep until a file descriptor has something for them, instead of polling: an idle
    /// application then uses almost no CPU time. One with two reactors uses about 1 ms in a second, of the
    /// 2 s that polling takes, also with the channel of an aio bdev open.
    ///
    /// An event costs system calls, so I/O has a higher latency. Tasks, wakes, messages and
    /// [timers](crate::time) work as ever, and I/O of every device completes. But a reactor rests only while
    /// the drivers of its open channels have a file descriptor to wait for: of SPDK 26.01's bdevs aio and
    /// NVMe do. Malloc and null bdevs have to be polled, and a [`Poller`](crate::Poller) without a period
    /// too: while there is one, its reactor is as busy as before.
    ///
    /// Each spdk_thread, poller and channel takes file descriptors. Calls that make one of these fail with `EMFILE` when few are
    /// left; SPDK 26.01 itself crashes when it registers a poller for a device and there is none.
    #[doc(alias = "spdk_interrupt_mode_enable")]
    pub fn interrupt_mode(mut self, interrupt_mode: bool) -> Self {
        self.interrupt_mode = interrupt_mode;
        self
    }

    /// How long the end of the application waits for operations in flight; 5 seconds by default.
    ///
    /// Memory that a device may still write into is never freed, so the end waits for the operations
    /// that your tasks have left in flight. A device that does not answer would hold it up for ever.
    /// When this time is over, those devices are reset: their drivers give up what is in flight. If
    /// SPDK has not stopped after ten times this time all the same, it is abandoned: its memory and
    /// its connections stay until the process ends, and [`ErrorKind::Stopped`] is returned.
    pub fn shutdown_patience(mut self, patience: Duration) -> Self {
        self.shutdown_patience = Some(patience);
        self
    }

    /// The text of the configuration.
    fn configuration(&self) -> Result<Option<Vec<u8>>> {
        #[cfg(feature = "config")]
        if let Some(config) = &self.config {
            if self.config_file.is_some() || self.json_data.is_some() {
                let reason = "a configuration file or `json_data` is set too; set one of them";
                return Err(options::refuse("config", reason));
            }
            return config.for_start().map(Some);
        }
        config_text::load(self.config_file.as_deref(), self.json_data.as_deref())
    }

    /// What is wrong with a configuration of which SPDK says that a method has failed, but not which, and why.
    pub(crate) fn mistakes(&self) -> String {
        #[cfg(feature = "config")]
        {
            use crate::config::Config;
            let config = match (&self.config, &self.config_file, &self.json_data) {
                (Some(config), ..) => Ok(config.clone()),
                (_, Some(file), _) => Config::load(file),
                (_, _, json) => json.as_deref().unwrap_or("{}").parse(),
            };
            let mistakes = config.and_then(|config| config.validate());
            mistakes.map_or_else(|error| format!("; {error}"), |()| String::new())
        }
        #[cfg(not(feature = "config"))]
        String::from(
            "; it is the answer of a method of the configuration, and `validate` of `spdk::config::Config` (feature `config`) may say \
             of which, and why",
        )
    }

    pub(crate) fn mem_size(&self) -> Option<i32> {
        self.mem_size_mb
    }

    pub(crate) fn without_hugepages(&self) -> bool {
        self.no_huge
    }

    /// Starts SPDK, runs `f` on the app thread and returns when SPDK has stopped.
    ///
    /// SPDK stops when `f` has returned and every task that was spawned on the app thread has ended,
    /// or before that on [`SpdkApp::stop`](crate::SpdkApp::stop), SIGINT or SIGTERM.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Option`] for an option that cannot be used, `ErrorKind::Config` for a `config`
    /// with mistakes, [`ErrorKind::AlreadyInitialised`] if this process has run SPDK before, [`ErrorKind::Start`] if SPDK or one of its subsystems
    /// does not start, a configuration that does not load included.
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
            app::other_tasks_end().await;
        };
        app::run(&self, main).map(|_| ())
    }

    /// Starts SPDK, runs `future` as a task of the app thread and returns when SPDK has stopped.
    ///
    /// SPDK stops when `future` has ended, or before that on [`SpdkApp::stop`](crate::SpdkApp::stop), SIGINT or SIGTERM;
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
        app::run(&self, future).map(|_| ())
    }

    /// [`SpdkAppBuilder::run_async`] with a result.
    ///
    /// # Errors
    ///
    /// The error of `future`, [`ErrorKind::Cancelled`] if the application was stopped before
    /// `future` had ended, and those of [`SpdkAppBuilder::run`].
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
        app::run(&self, future)?.unwrap_or(Err(ErrorKind::Cancelled.into()))
    }
}

/// Refuses what SPDK would, and with what it would hang.
fn bdev_opts(opts: sys::spdk_bdev_opts) -> Result<()> {
    let (pool, cache) = (opts.bdev_io_pool_size, opts.bdev_io_cache_size);
    if cache == 0 {
        let reason = "an spdk_thread that keeps no I/O may wait for ever for those that others have; keep 1 at least";
        return Err(options::refuse("bdev_opts", reason));
    }
    if pool < cache {
        let reason = format!(
            "a pool of {pool} I/Os, of which each spdk_thread keeps {cache}; it must have as many at least"
        );
        return Err(options::refuse("bdev_opts", reason));
    }
    Ok(())
}

/// The options, checked and in C's form.
pub(crate) struct Options<'a> {
    builder: &'a SpdkAppBuilder,
    name: CString,
    reactor_mask: Option<CString>,
    rpc_addr: Option<CString>,
    mem_size: Option<i32>,
    json: Option<Vec<u8>>,
}

impl<'a> Options<'a> {
    pub(crate) fn check(builder: &'a SpdkAppBuilder) -> Result<Self> {
        if builder.disable_cpumask_locks && !cfg!(spdk_since_24_09) {
            let reason =
                "SPDK has this option from 24.09 on, and this program was built with an older one";
            return Err(options::refuse("disable_cpumask_locks", reason));
        }
        let reactor_mask = match &builder.reactor_mask {
            Some(mask) => Some(options::cores("reactor_mask", mask)?),
            None => None,
        };
        options::main_core(builder.main_core, builder.reactor_mask.as_deref())?;
        options::no_huge(builder.no_huge, builder.mem_size_mb)?;
        if let Some(opts) = &builder.bdev_opts {
            bdev_opts(opts.to_c())?;
        }
        let options = Options {
            builder,
            name: options::text("name", builder.name.as_deref().unwrap_or("spdk"))?,
            reactor_mask,
            rpc_addr: options::optional_text("rpc_addr", builder.rpc_addr.as_deref())?,
            mem_size: builder.mem_size_mb.map(options::memory).transpose()?,
            json: builder.configuration()?,
        };
        for flag in &builder.log_flags {
            log::switch(flag, true).map_err(|reason| options::refuse("log_flags", reason))?;
        }
        Ok(options)
    }

    pub(crate) fn shutdown_patience(&self) -> Option<Duration> {
        self.builder.shutdown_patience
    }

    /// Fills the framework's options and runs it; returns when it has stopped.
    ///
    /// # Safety
    ///
    /// `on_start` may be called with `arg` until this returns.
    pub(crate) unsafe fn start(
        mut self,
        on_start: unsafe extern "C" fn(*mut c_void),
        on_shutdown: unsafe extern "C" fn(),
        arg: *mut c_void,
    ) -> c_int {
        let on_log = log::capture();
        let builder = self.builder;
        let mut opts = MaybeUninit::<sys::spdk_app_opts>::zeroed();
        let size = size_of::<sys::spdk_app_opts>();
        // SAFETY: zeroes are valid for every field and the init function fills in the defaults. What
        // the options point to lives until `spdk_app_start` has returned, and so does `arg`, as the
        // caller promises.
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
            let all = (!builder.log_flags.is_empty()).then_some(LogLevel::Debug);
            if let Some(level) = builder.log_level.or(all) {
                opts.print_level = level.to_c();
            }
            if let Some(json) = &mut self.json {
                opts.json_data = json.as_mut_ptr().cast();
                opts.json_data_size = json.len() as _;
            }
            opts.no_pci = builder.no_pci;
            opts.no_huge = builder.no_huge;
            opts.interrupt_mode = builder.interrupt_mode;
            opts.disable_signal_handlers = builder.disable_signal_handlers;
            #[cfg(spdk_since_24_09)]
            {
                opts.disable_cpumask_locks = builder.disable_cpumask_locks;
            }
            opts.shutdown_cb = Some(on_shutdown);
            opts.log = on_log;
            if let Some(opts) = &builder.bdev_opts {
                // What it refuses, `check` has refused.
                sys::spdk_bdev_set_opts(&mut opts.to_c());
            }
            sys::spdk_app_start(opts, Some(on_start), arg)
        }
    }
}
