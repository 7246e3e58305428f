//! Another OS thread that buffers are given to, with or without an operation in flight on them.

use std::sync::mpsc::{self, Receiver, Sender};

use spdk::DmaBuf;

use super::canaries::Canaries;

/// How many buffers it keeps.
const KEPT: usize = 64;

enum Errand {
    Use(DmaBuf),
    Finish(Sender<Result<(), String>>),
}

/// Writes to buffers on an OS thread of its own, looks at them later, and drops them there.
#[derive(Clone, Debug)]
pub struct Shredder(Sender<Errand>);

impl Shredder {
    /// Starts the OS thread. It ends with the last `Shredder`.
    pub fn start() -> Self {
        let (sender, errands) = mpsc::channel();
        std::thread::spawn(move || work(&errands));
        Shredder(sender)
    }

    /// Takes a buffer.
    pub fn take(&self, buf: DmaBuf) {
        // Without the OS thread `finish` fails.
        let _ = self.0.send(Errand::Use(buf));
    }

    /// Has every buffer looked at and dropped; the answer comes through the receiver.
    pub fn finish(&self) -> Receiver<Result<(), String>> {
        let (answer, receiver) = mpsc::channel();
        // Without the OS thread the receiver says so.
        let _ = self.0.send(Errand::Finish(answer));
        receiver
    }
}

fn work(errands: &Receiver<Errand>) {
    let mut canaries = Canaries::default();
    let mut wrong = Ok(());
    while let Ok(errand) = errands.recv() {
        match errand {
            Errand::Use(buf) => {
                canaries.keep(buf);
                wrong = wrong.and_then(|()| canaries.shrink(KEPT));
            }
            Errand::Finish(answer) => {
                let now = canaries.check();
                canaries = Canaries::default();
                // The test may have failed meanwhile.
                let _ = answer.send(std::mem::replace(&mut wrong, Ok(())).and(now));
            }
        }
    }
}
