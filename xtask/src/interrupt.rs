//! Ctrl-C, SIGTERM and SIGHUP: the running command's whole process group ends with us.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

static GROUP: Mutex<Option<Pid>> = Mutex::new(None);
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Time that a group gets to tidy up (make removes half-written targets) before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// Installs the handler. Call once, before the first command of a set-up.
pub(crate) fn install() {
    // A second call finds the handler installed already, which is what it wants.
    let _ = ctrlc::set_handler(|| {
        INTERRUPTED.store(true, Ordering::SeqCst);
        let group = *GROUP
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(group) = group {
            end(group);
        }
        eprintln!("\nInterrupted. The same command continues where this one stopped.");
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
    *GROUP
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner()) = group;
}

/// Never returns once an interruption was seen: the handler is about to end this process, and
/// nothing that the main thread could say about the command's failure would be true.
pub(crate) fn yield_to_handler() {
    while INTERRUPTED.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_secs(1));
    }
}
