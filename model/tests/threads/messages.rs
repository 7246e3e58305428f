//! The inbox: every message is run once, or dropped once, and what its sender did before is seen.
#![allow(unsafe_code)] // Reads and writes cells that loom checks for races.

use std::sync::{Arc, Mutex};

use loom::cell::UnsafeCell;
use loom::thread;

use crate::inbox::{Inbox, Message, Sent};
use crate::{check, others_first};

/// What became of the messages, by sender and number. Not loom's: it is no part of the model.
type Fates = Arc<Mutex<Vec<(Name, Fate)>>>;
type Name = (usize, usize);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Ran,
    Dropped,
}

/// What a message carries: something that its sender wrote.
struct Load {
    name: Name,
    written: UnsafeCell<Name>,
    fates: Fates,
    ran: bool,
}

impl Load {
    fn new(name: Name, fates: &Fates) -> Self {
        let written = UnsafeCell::new((9, 9));
        // SAFETY: nobody else has it yet.
        written.with_mut(|place| unsafe { *place = name });
        Load {
            name,
            written,
            fates: fates.clone(),
            ran: false,
        }
    }

    fn run(mut self) {
        self.ran = true;
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // SAFETY: it is owned; loom fails if the write does not come before.
        assert_eq!(self.written.with(|place| unsafe { *place }), self.name);
        let fate = if self.ran { Fate::Ran } else { Fate::Dropped };
        self.fates.lock().unwrap().push((self.name, fate));
    }
}

fn message(name: Name, fates: &Fates) -> Message {
    let load = Load::new(name, fates);
    Message::new(move || load.run())
}

/// Has two OS threads send while `owner` runs, one of them twice; then looks at what became of all.
fn model(owner: impl Fn(&Inbox, &Fates) + Send + Sync + 'static) {
    let owner = Arc::new(owner);
    check(move || {
        let inbox = loom::sync::Arc::new(Inbox::new());
        let fates = Fates::default();
        let senders = [2, 1].into_iter().enumerate().map(|(sender, count)| {
            let (inbox, fates) = (inbox.clone(), fates.clone());
            thread::spawn(move || {
                let send = |number| inbox.push(message((sender, number), &fates)).is_ok();
                (0..count).map(send).collect::<Vec<bool>>()
            })
        });
        let senders: Vec<_> = senders.collect();
        others_first();
        owner(&inbox, &fates);
        let accepted: Vec<_> = senders.into_iter().map(|it| it.join().unwrap()).collect();
        // Those that the owner left.
        inbox.take().for_each(Message::run);
        drop(inbox);

        let fates = fates.lock().unwrap();
        for (sender, accepted) in accepted.into_iter().enumerate() {
            let of_sender = fates.iter().filter(|((name, _), _)| *name == sender);
            let of_sender: Vec<_> = of_sender
                .map(|((_, number), fate)| (*number, *fate))
                .collect();
            // Once each, in their order.
            let numbers: Vec<_> = of_sender.iter().map(|(number, _)| *number).collect();
            let all: Vec<_> = (0..accepted.len()).collect();
            assert_eq!(numbers, all, "of sender {sender}: {of_sender:?}");
            for (number, fate) in of_sender {
                assert!(
                    accepted[number] || fate == Fate::Dropped,
                    "a refused message ran"
                );
            }
            assert!(
                accepted.is_sorted_by(|a, b| a >= b),
                "closed, and open again"
            );
        }
    });
}

#[test]
fn an_open_inbox_runs_every_message_in_order() {
    model(|inbox, fates| {
        inbox.take().for_each(Message::run);
        let fates = fates.lock().unwrap();
        assert!(fates.iter().all(|(_, fate)| *fate == Fate::Ran));
    });
}

#[test]
fn after_close_nothing_runs() {
    model(|inbox, _| {
        inbox.close().for_each(drop);
        assert!(inbox.is_closed());
        assert_eq!(inbox.take().count(), 0);
    });
}

/// Two OS threads send to an owner that falls asleep, which it does over no message: it is woken up for the first
/// that comes, once.
#[test]
fn a_sleeping_owner_is_woken_up_once() {
    check(|| {
        let inbox = loom::sync::Arc::new(Inbox::new());
        let senders = [(); 2].map(|()| {
            let inbox = inbox.clone();
            thread::spawn(move || inbox.push(Message::new(|| {})))
        });
        let mut taken = 0;
        while !inbox.sleep() {
            taken += inbox.take().map(Message::run).count();
        }
        let sent = senders.map(|sender| match sender.join().unwrap() {
            Ok(sent) => sent,
            Err(_refused) => panic!("it is not closed"),
        });
        let calls = sent.iter().filter(|sent| **sent == Sent::Asleep).count();
        assert_eq!(calls, usize::from(taken < 2), "{taken} before the sleep");
        inbox.wake_up();
        taken += inbox.take().map(Message::run).count();
        assert_eq!(taken, 2);
        assert!(inbox.sleep(), "it can sleep again");
    });
}

/// An owner that wakes up by itself, while a message comes.
#[test]
fn an_owner_that_wakes_up_sees_what_came() {
    check(|| {
        let inbox = loom::sync::Arc::new(Inbox::new());
        assert!(inbox.sleep());
        let sender = {
            let inbox = inbox.clone();
            thread::spawn(move || inbox.push(Message::new(|| {})).is_ok())
        };
        others_first();
        inbox.wake_up();
        let early = inbox.take().map(Message::run).count();
        assert!(sender.join().unwrap());
        assert_eq!(early + inbox.take().map(Message::run).count(), 1);
    });
}
