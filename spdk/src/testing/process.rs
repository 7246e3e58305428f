//! The system calls that a parent and its child need and that `std` does not have.
#![allow(unsafe_code)] // System calls on numbers: no memory of Rust's is involved.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
#[cfg(feature = "nvme")]
use std::os::unix::process::CommandExt;
#[cfg(feature = "nvme")]
use std::process::Command;

/// Kills this process when the thread that started it ends.
pub(super) fn die_with_parent() -> io::Result<()> {
    // SAFETY: takes a number.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })
}

/// Has the child be killed when the thread that starts it ends.
#[cfg(feature = "nvme")]
pub(crate) fn dies_with_us(command: &mut Command) -> &mut Command {
    let parent = std::process::id().cast_signed();
    // SAFETY: it makes system calls on numbers only, which may be done between fork and exec, and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            die_with_parent()?;
            if libc::getppid() != parent {
                libc::_exit(1); // the parent ended before the line above
            }
            Ok(())
        })
    }
}

/// Makes `to` another name of `from`.
pub(super) fn redirect(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both are open. What `to` named is one of the standard streams, which nobody owns.
    check(unsafe { libc::dup2(from.as_raw_fd(), to.as_raw_fd()) })
}

/// Waits until a child of this process has ended, and leaves it for `std` to collect.
pub(super) fn wait_for_end(child: u32) -> io::Result<()> {
    // SAFETY: zeroes are valid for the structure, which the call fills in.
    check(unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_PID, child, &mut info, libc::WEXITED | libc::WNOWAIT)
    })
}

/// Kills every process of a group. One without processes is no error.
pub(super) fn kill_group(group: u32) {
    // SAFETY: takes numbers.
    unsafe { libc::kill(-group.cast_signed(), libc::SIGKILL) };
}

fn check(rc: libc::c_int) -> io::Result<()> {
    match rc {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
