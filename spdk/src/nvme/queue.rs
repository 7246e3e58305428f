//! The submission of commands, and what waits when a queue is full.

use std::ffi::c_int;
use std::ptr;
use std::sync::MutexGuard;

use super::seats::Gate;
use crate::Errno;
use crate::op::Submitted;
use crate::waiters::Waiters;

/// What commands are submitted to.
pub trait Queue {
    /// Those that wait for a request of it.
    fn waiters(&self) -> &Waiters;

    /// How many commands there are, those that wait among them.
    fn commands(&self) -> usize;

    /// Whether SPDK has it no more, while commands wait for it.
    fn is_gone(&self) -> bool {
        false
    }

    /// A command is about to wait.
    fn will_wait(&self) {}

    /// SPDK has got a command.
    #[inline]
    fn has_begun(&self) {}
}

/// What a command is about.
pub trait Subject {
    /// Whether what was seen of it, when its buffers were measured, is still so.
    fn is_as_it_was(&self) -> bool;

    /// What keeps it so during the submission, if another spdk_thread may change it.
    #[inline]
    fn gate(&self) -> Option<&Gate> {
        None
    }
}

/// Calls the C function that submits a command, unless others wait already. One that SPDK has no request
/// for waits too.
///
/// `-ENOMEM` on a queue that has nothing to do is no lack of requests, and is reported.
#[inline(always)]
pub fn submit(
    queue: &impl Queue,
    subject: &impl Subject,
    call: impl FnOnce() -> c_int,
) -> Submitted {
    let (again, _passed) = match is_open(queue, subject) {
        true => (false, None),
        false => match may_begin(queue, subject) {
            Ok(so) => so,
            Err(said) => return said,
        },
    };
    submitted(queue, again, call())
}

/// Calls the C function that submits what nothing else may be in flight with. It waits for what is, and what comes
/// later waits for it.
#[cfg(spdk_has_spdk_nvme_qpair_authenticate)]
pub(super) fn submit_alone(queue: &impl Queue, call: impl FnOnce() -> c_int) -> Submitted {
    let waiters = queue.waiters();
    let again = waiters.take_turn();
    if again && queue.is_gone() {
        return Submitted::Refused(Errno::ENXIO);
    }
    // This one is counted too.
    match queue.commands() > waiters.count() + 1 || (!again && waiters.count() != 0) {
        true => wait(queue, again),
        false => submitted(queue, again, call()),
    }
}

/// Whether a command may begin at once, and nothing of it has to be kept as it is.
#[inline(always)]
pub(super) fn is_open(queue: &impl Queue, subject: &impl Subject) -> bool {
    queue.waiters().is_quiet() && subject.gate().is_none()
}

/// What `rc` says of a command, which has waited or not.
#[inline(always)]
pub(super) fn submitted(queue: &impl Queue, again: bool, rc: c_int) -> Submitted {
    match rc {
        0 => {
            queue.has_begun();
            Submitted::Pending
        }
        rc => not_submitted(queue, again, rc),
    }
}

/// Looks closer whether a command may begin: whether it has waited, and what keeps its subject as it is until it is
/// submitted.
#[inline(never)]
fn may_begin<'a>(
    queue: &impl Queue,
    subject: &'a impl Subject,
) -> Result<(bool, Option<MutexGuard<'a, ()>>), Submitted> {
    let waiters = queue.waiters();
    let again = waiters.take_turn();
    if again && queue.is_gone() {
        return Err(Submitted::Refused(Errno::ENXIO));
    }
    let passed = match subject.gate() {
        None => None,
        Some(gate) => match gate.pass() {
            None => return Err(wait(queue, again)),
            passed => passed,
        },
    };
    if (again || passed.is_some()) && !subject.is_as_it_was() {
        return Err(Submitted::Refused(Errno::EINVAL));
    }
    if !again && waiters.count() != 0 {
        return Err(Submitted::Full(waiters));
    }
    Ok((again, passed))
}

#[cold]
fn not_submitted(queue: &impl Queue, again: bool, rc: c_int) -> Submitted {
    match rc == -libc::ENOMEM {
        true => full(queue, again),
        false => Submitted::rc(rc),
    }
}

fn full(queue: &impl Queue, again: bool) -> Submitted {
    let waiters = queue.waiters();
    // This command is one of them.
    if queue.commands() > waiters.count() + 1 {
        wait(queue, again)
    } else {
        Submitted::Refused(Errno::ENOMEM)
    }
}

/// The command waits, and is told when to go on.
#[cold]
fn wait(queue: &impl Queue, again: bool) -> Submitted {
    let waiters = queue.waiters();
    queue.will_wait();
    if again {
        waiters.give_turn_back();
    }
    Submitted::Full(ptr::from_ref(waiters))
}
