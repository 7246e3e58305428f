//! SPDK's own log, which goes to `tracing`.
//!
//! While SPDK runs, each line of its log is an event with the target `spdk::log` and the fields `function`,
//! `file` and `line`, which say where in SPDK it comes from:
//!
//! | SPDK     | `tracing`      |
//! |----------|----------------|
//! | `ERROR`  | `Level::ERROR` |
//! | `WARN`   | `Level::WARN`  |
//! | `NOTICE` | `Level::INFO`  |
//! | `INFO`   | `Level::DEBUG` |
//! | `DEBUG`  | `Level::TRACE` |
//!
//! Where no subscriber of `tracing` is set, SPDK's lines go to stderr instead, in SPDK's own format.
//!
//! Three things decide what is logged. SPDK's modules write lines of the lower two levels only for the *flags*
//! that are on, such as `bdev` or `nvme` ([`flags`], [`set_flag`]); debug lines exist only in an SPDK that
//! was built for debugging. What is above [`level`] is dropped. The rest is the filter's of the subscriber,
//! which is asked before a line is made. All of these can be set at the start
//! ([`SpdkAppBuilder::log_level`](crate::SpdkAppBuilder::log_level) and
//! [`log_flags`](crate::SpdkAppBuilder::log_flags)) and at any time after.
//!
//! The event of a line has no field for its flag: SPDK looks at the flag where the line is written, and does
//! not pass it on (`spdk_log_cb` of `spdk/log.h` has no parameter for it). Its `file` tells the module.
//!
//! A subscriber is called in the middle of SPDK, which may hold a lock. No spdk_thread is current there, so
//! that nothing of SPDK can be used by accident. A [`SpdkThread`](crate::SpdkThread) is neither made nor polled there,
//! and one that is dropped there is leaked.
#![allow(unsafe_code)] // Formats the arguments of a C log callback, and reads SPDK's list of flags.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tracing::dispatcher;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::NoSubscriber;

use crate::error::{At, Fault, Result, interior_nul};
use crate::local::current_thread;
use crate::thread::Polling;
use crate::{panic, sys};

/// How much SPDK logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LogLevel {
    /// Nothing.
    Disabled,
    /// Errors.
    Error,
    /// Errors and warnings.
    Warn,
    /// Errors, warnings and notices.
    Notice,
    /// The above and, for the log flags that are on, information; the default of an application.
    Info,
    /// Everything; debug messages exist in debug builds of SPDK only.
    Debug,
}

impl LogLevel {
    /// SPDK's `enum spdk_log_level`.
    pub(crate) fn to_c(self) -> sys::spdk_log_level {
        match self {
            LogLevel::Disabled => sys::SPDK_LOG_DISABLED,
            LogLevel::Error => sys::SPDK_LOG_ERROR,
            LogLevel::Warn => sys::SPDK_LOG_WARN,
            LogLevel::Notice => sys::SPDK_LOG_NOTICE,
            LogLevel::Info => sys::SPDK_LOG_INFO,
            LogLevel::Debug => sys::SPDK_LOG_DEBUG,
        }
    }

    fn from_c(level: sys::spdk_log_level) -> Self {
        match level {
            sys::SPDK_LOG_DISABLED => LogLevel::Disabled,
            sys::SPDK_LOG_ERROR => LogLevel::Error,
            sys::SPDK_LOG_WARN => LogLevel::Warn,
            sys::SPDK_LOG_NOTICE => LogLevel::Notice,
            sys::SPDK_LOG_INFO => LogLevel::Info,
            _ => LogLevel::Debug,
        }
    }
}

/// The level of SPDK that lets pass what this filter does.
impl From<LevelFilter> for LogLevel {
    fn from(filter: LevelFilter) -> Self {
        match filter {
            LevelFilter::OFF => LogLevel::Disabled,
            LevelFilter::ERROR => LogLevel::Error,
            LevelFilter::WARN => LogLevel::Warn,
            LevelFilter::INFO => LogLevel::Notice,
            LevelFilter::DEBUG => LogLevel::Info,
            LevelFilter::TRACE => LogLevel::Debug,
        }
    }
}

/// The filter that lets pass what this level of SPDK does.
impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Disabled => LevelFilter::OFF,
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Notice => LevelFilter::INFO,
            LogLevel::Info => LevelFilter::DEBUG,
            LogLevel::Debug => LevelFilter::TRACE,
        }
    }
}

/// What SPDK logs at most.
#[doc(alias = "spdk_log_get_print_level")]
pub fn level() -> LogLevel {
    // SAFETY: reads a number.
    LogLevel::from_c(unsafe { sys::spdk_log_get_print_level() })
}

/// Sets what SPDK logs at most. From any thread, at any time; the start of an application sets it to
/// [`SpdkAppBuilder::log_level`](crate::SpdkAppBuilder::log_level).
#[doc(alias = "spdk_log_set_print_level")]
pub fn set_level(level: LogLevel) {
    // SAFETY: the level is one of SPDK's.
    unsafe { sys::spdk_log_set_print_level(level.to_c()) }
}

/// A part of SPDK whose information and debug messages can be on or off.
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(alias = "spdk_log_flag")]
#[non_exhaustive]
pub struct LogFlag {
    /// Its name, such as `bdev`.
    pub name: String,
    /// Whether it is on. All are off at first.
    pub is_on: bool,
}

/// The flags of the parts of SPDK that are linked into this program, by name.
#[doc(alias = "spdk_log_get_first_flag")]
#[doc(alias = "spdk_log_get_next_flag")]
pub fn flags() -> Vec<LogFlag> {
    let mut flags = Vec::new();
    // SAFETY: the list is made before `main`, of statics, and does not change after; a name is a C
    // string. Whether a flag is on may be changed at the same time by another thread, so that is read
    // like an atomic.
    unsafe {
        let mut flag = sys::spdk_log_get_first_flag();
        while !flag.is_null() {
            flags.push(LogFlag {
                name: CStr::from_ptr((*flag).name).to_string_lossy().into_owned(),
                is_on: AtomicBool::from_ptr(&raw mut (*flag).enabled).load(Relaxed),
            });
            flag = sys::spdk_log_get_next_flag(flag);
        }
    }
    flags
}

/// Turns the flag of this name on or off. From any thread, at any time, also before SPDK starts.
///
/// Upper and lower case are the same, `*` and `?` stand for any text and any letter, and `all` is every
/// flag. Its messages are logged where [`level`] lets them pass: at the levels [`LogLevel::Info`] and
/// [`LogLevel::Debug`].
///
/// # Errors
///
/// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) if there is no such flag.
#[doc(alias = "spdk_log_set_flag")]
#[doc(alias = "spdk_log_clear_flag")]
pub fn set_flag(name: &str, on: bool) -> Result<()> {
    let call = match on {
        true => "spdk_log_set_flag",
        false => "spdk_log_clear_flag",
    };
    switch(name, on).map_err(|reason| Fault::invalid(reason).at(At::name(call, name)))
}

/// [`set_flag`], with the reason for a refusal.
pub(crate) fn switch(name: &str, on: bool) -> std::result::Result<(), String> {
    let c = CString::new(name).map_err(|error| interior_nul("the name", &error))?;
    // SAFETY: the text is compared during the call; the list of flags does not change.
    let rc = unsafe {
        match on {
            true => sys::spdk_log_set_flag(c.as_ptr()),
            false => sys::spdk_log_clear_flag(c.as_ptr()),
        }
    };
    if rc == 0 {
        return Ok(());
    }
    let names: Vec<String> = flags().into_iter().map(|flag| flag.name).collect();
    let names = names.join(", ");
    Err(format!("SPDK has no log flag {name:?}; it has: {names}"))
}

/// Error messages, the oldest first.
static ERRORS: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

/// Whether SPDK starts.
static STARTS: AtomicBool = AtomicBool::new(false);

/// How many messages are kept: of the start the first ones, which tell the cause; then the last ones.
const KEPT: usize = 8;

/// Has SPDK log here, and returns the callback for that.
pub(crate) fn capture() -> sys::spdk_log_cb {
    errors().clear();
    STARTS.store(true, Relaxed);
    let callback: sys::spdk_log_cb = Some(on_log);
    // SAFETY: sets the callback, which is a function and lives for ever.
    unsafe { sys::spdk_log_open(callback) };
    callback
}

/// SPDK has started.
pub(crate) fn started() {
    STARTS.store(false, Relaxed);
    errors().clear();
}

/// What went wrong, in SPDK's words.
pub(crate) fn reason(otherwise: &str) -> String {
    let errors = Vec::from(std::mem::take(&mut *errors()));
    if errors.is_empty() {
        otherwise.to_owned()
    } else {
        errors.join("; ")
    }
}

thread_local! {
    /// A function of SPDK whose messages are no news.
    static MUTED: Cell<Option<&'static CStr>> = const { Cell::new(None) };
}

/// Drops what a function of SPDK logs in a call.
#[cfg(any(feature = "nvme", feature = "blob"))]
pub(crate) fn without<R>(function: &'static CStr, call: impl FnOnce() -> R) -> R {
    let before = MUTED.replace(Some(function));
    let result = call();
    MUTED.set(before);
    result
}

/// # Safety
/// `function` is null or a C string.
unsafe fn is_muted(function: *const c_char) -> bool {
    // SAFETY: as the caller says.
    let is = |muted| !function.is_null() && unsafe { CStr::from_ptr(function) } == muted;
    MUTED.get().is_some_and(is)
}

fn errors() -> std::sync::MutexGuard<'static, VecDeque<String>> {
    ERRORS.lock().unwrap_or_else(|e| e.into_inner())
}

fn keep(text: &str) {
    let mut errors = errors();
    if errors.len() == KEPT {
        if STARTS.load(Relaxed) {
            return;
        }
        errors.pop_front();
    }
    errors.push_back(text.to_owned());
}

/// How many bytes `spdk_flog` prints of a text.
const MOST_PRINTED: usize = 1023;

unsafe extern "C" {
    static stderr: *mut c_void;
    fn flockfile(stream: *mut c_void);
    fn funlockfile(stream: *mut c_void);
    fn fputs(text: *const c_char, stream: *mut c_void) -> c_int;
    fn fflush(stream: *mut c_void) -> c_int;
    fn vasprintf(
        text: *mut *mut c_char,
        format: *const c_char,
        args: *mut sys::__va_list_tag,
    ) -> c_int;
}

/// A message of SPDK.
struct Line<'a> {
    level: LogLevel,
    /// Null, as `function`, if it comes from nowhere in particular.
    file: *const c_char,
    line: c_int,
    function: *const c_char,
    text: &'a str,
}

/// Text of C's allocator.
struct Text(*mut c_char);

impl Text {
    /// # Safety
    /// `format` and `args` belong together, and `args` were not used yet.
    unsafe fn format(format: *const c_char, args: *mut sys::__va_list_tag) -> Option<Text> {
        let mut text = ptr::null_mut();
        // SAFETY: passed on; without an error `text` is a C string that is ours.
        (unsafe { vasprintf(&raw mut text, format, args) } >= 0).then_some(Text(text))
    }

    fn get(&self) -> std::borrow::Cow<'_, str> {
        // SAFETY: a C string as long as `self` exists.
        unsafe { CStr::from_ptr(self.0) }.to_string_lossy()
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        // SAFETY: it is ours, and goes once.
        unsafe { libc::free(self.0.cast()) }
    }
}

unsafe extern "C" fn on_log(
    level: c_int,
    file: *const c_char,
    line: c_int,
    function: *const c_char,
    format: *const c_char,
    args: *mut sys::__va_list_tag,
) {
    panic::guard("spdk_log_cb", || {
        let level = LogLevel::from_c(sys::spdk_log_level(level));
        let is_wanted = level <= self::level() && is_wanted(level);
        // SAFETY: SPDK passes the name of its function.
        if (!is_wanted && level != LogLevel::Error) || unsafe { is_muted(function) } {
            return;
        }
        // SAFETY: SPDK passes what belongs together.
        let Some(text) = (unsafe { Text::format(format, args) }) else {
            return; // no memory for it
        };
        let text = text.get();
        let text = text.trim_end();
        if level == LogLevel::Error {
            keep(text);
        }
        if is_wanted {
            Line {
                level,
                file,
                line,
                function,
                text,
            }
            .emit();
        }
    });
}

/// Calls `$then!` with the tracing level of a level of SPDK.
macro_rules! with_level {
    ($level:expr, $then:ident $(, $($rest:tt)*)?) => {
        match $level {
            LogLevel::Disabled | LogLevel::Error => $then!(ERROR $(, $($rest)*)?),
            LogLevel::Warn => $then!(WARN $(, $($rest)*)?),
            LogLevel::Notice => $then!(INFO $(, $($rest)*)?),
            LogLevel::Info => $then!(DEBUG $(, $($rest)*)?),
            LogLevel::Debug => $then!(TRACE $(, $($rest)*)?),
        }
    };
}

macro_rules! target {
    () => {
        "spdk::log"
    };
}

fn has_subscriber() -> bool {
    !dispatcher::get_default(|dispatch| dispatch.is::<NoSubscriber>())
}

/// Whether a message of this level goes anywhere.
fn is_wanted(level: LogLevel) -> bool {
    macro_rules! enabled {
        ($level:ident) => {
            tracing::event_enabled!(target: target!(), tracing::Level::$level, function, file, line)
        };
    }
    aside(|| with_level!(level, enabled)) || !has_subscriber()
}

/// Runs code of the user's subscriber, without a current spdk_thread. Outside of a poll as well none is ended
/// there, or made the current one.
fn aside<R>(f: impl FnOnce() -> R) -> R {
    let _polling = Polling::begin();
    let thread = current_thread();
    // SAFETY: SPDK's code goes on with its own spdk_thread again, which still exists; a panic ends the process.
    unsafe { sys::spdk_set_thread(ptr::null_mut()) };
    let result = f();
    // SAFETY: as above.
    unsafe { sys::spdk_set_thread(thread) };
    result
}

impl Line<'_> {
    fn emit(&self) {
        if !has_subscriber() {
            return self.print();
        }
        let text_of = |text: *const c_char| {
            // SAFETY: it is null or a C string of SPDK's code.
            (!text.is_null()).then(|| unsafe { CStr::from_ptr(text).to_string_lossy() })
        };
        let (function, file) = (text_of(self.function), text_of(self.file));
        let (function, file, text) = (function.as_deref(), file.as_deref(), self.text);
        let line = file.is_some().then_some(self.line);
        macro_rules! event {
            ($level:ident) => {
                tracing::event!(
                    target: target!(), tracing::Level::$level, function, file, line, "{text}"
                )
            };
        }
        aside(|| with_level!(self.level, event));
    }

    /// Writes it as SPDK does.
    fn print(&self) {
        let text = match self.file.is_null() {
            true => format!("{}\n", self.text),
            false => format!("*{}*: {}\n", self.level_name(), self.text),
        };
        // A C string has no NUL inside.
        let text = CString::new(text).unwrap_or_default();
        let (file, line, function) = (self.file, self.line, self.function);
        // SPDK prints so much of it.
        let is_cut = text.as_bytes().len() > MOST_PRINTED;
        let rest = is_cut.then(|| &text.as_bytes_with_nul()[MOST_PRINTED..]);
        // SAFETY: the format takes one C string, of which the rest is the end; the others are SPDK's own, or null without a
        // file. The stream is C's, and unlocked by this OS thread, which locked it so that nobody prints in between.
        unsafe {
            flockfile(stderr);
            sys::spdk_flog(
                stderr.cast(),
                file,
                line,
                function,
                c"%s".as_ptr(),
                text.as_ptr(),
            );
            if let Some(rest) = rest {
                fputs(rest.as_ptr().cast(), stderr);
                fflush(stderr);
            }
            funlockfile(stderr);
        }
    }

    /// As SPDK writes it.
    fn level_name(&self) -> &'static str {
        match self.level {
            LogLevel::Disabled | LogLevel::Error => "ERROR",
            LogLevel::Warn => "WARNING",
            LogLevel::Notice => "NOTICE",
            LogLevel::Info => "INFO",
            LogLevel::Debug => "DEBUG",
        }
    }
}
