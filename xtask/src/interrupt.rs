//! Ctrl-C, SIGTERM and SIGHUP: the running command's whole process group ends with us.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

static GROUP: Mutex<Option<Pid>> = Mutex::new(None);
static BESIDE: Mutex<Option<Pid>> = Mutex::new(None);
static ADVICE: Mutex<&str> = Mutex::new("");
static TEMPORARY: Mutex<Option<PathBuf>> = Mutex::new(None);
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Time that a group gets to tidy up (make removes half-written targets) before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// Installs the handler. Call it before the first command of a task; `advice` says what becomes of the task.
pub(crate) fn install(advice: &'static str) {
    *lock(&ADVICE) = advice;
    // A second call finds the handler installed already, which is what it wants.
    let _ = ctrlc::set_handler(|| {
        INTERRUPTED.store(true, Ordering::SeqCst);
        for group in [&GROUP, &BESIDE] {
            let group = *lock(group);
            if let Some(group) = group {
                end(group);
            }
        }
        if let Some(folder) = &*lock(&TEMPORARY) {
            // What cannot be removed is in the folder for temporary files.
            let _ = std::fs::remove_dir_all(folder);
        }
        eprintln!("\nInterrupted. {}", *lock(&ADVICE));
        std::process::exit(130);
    });
}

/// Ends a process group: politely, then not.
pub(crate) fn end(group: Pid) {
    let deadline = Instant::now() + GRACE;
    let _ = kill_process_group(group, Signal::TERM);
    while test_kill_process_group(group).is_ok() {
        if Instant::now() > deadline {
            let _ = kill_process_group(group, Signal::KILL);
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Names the process group that an interruption must end; `None` when no command runs.
pub(crate) fn watch(group: Option<Pid>) {
    *lock(&GROUP) = group;
}

/// The same for one that runs beside commands.
pub(crate) fn watch_beside(group: Option<Pid>) {
    *lock(&BESIDE) = group;
}

/// Names a folder that an interruption removes.
pub(crate) fn remove_at_end(folder: &Path) {
    *lock(&TEMPORARY) = Some(folder.to_owned());
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Never returns once an interruption was seen: the handler is about to end this process, and
/// nothing that the main thread could say about the command's failure would be true.
pub(crate) fn yield_to_handler() {
    while INTERRUPTED.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_secs(1));
    }
}
