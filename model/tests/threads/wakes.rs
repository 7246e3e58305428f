//! Wakes: what was done before a wake is seen by a look that comes after it, however the two overlap.
#![allow(unsafe_code)] // Reads and writes cells that loom checks for races.

use std::collections::BTreeSet;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::wakeups::Wakeups;
use crate::{check, others_first};

/// With the words of these places, whose making loom does not know.
fn wakeups(places: &[u32]) -> Arc<Wakeups> {
    let wakeups = Wakeups::default();
    for place in places {
        assert!(!wakeups.wake(*place));
    }
    wakeups.take(|_| ());
    Arc::new(wakeups)
}

/// Two OS threads that do something for the tasks in these places, once each, and wake them; the owner looks
/// twice meanwhile, and once after.
fn model(places: [u32; 2]) {
    for late in [false, true] {
        overlap(places, late);
    }
}

fn overlap(places: [u32; 2], late: bool) {
    check(move || {
        let wakeups = wakeups(&places);
        let done: Arc<[UnsafeCell<bool>; 2]> =
            Arc::new(std::array::from_fn(|_| UnsafeCell::new(false)));
        let wakers: Vec<_> = (0..2)
            .map(|waker| {
                let (wakeups, done) = (wakeups.clone(), done.clone());
                thread::spawn(move || {
                    // SAFETY: the owner looks after the wake only; loom fails if it can be earlier.
                    done[waker].with_mut(|place| unsafe { *place = true });
                    assert!(!wakeups.wake(places[waker]), "the owner does not sleep");
                })
            })
            .collect();
        let mut woken = BTreeSet::new();
        for _ in 0..2 {
            if late {
                others_first();
            }
            wakeups.take(|place| {
                woken.insert(place);
                if places[0] != places[1] {
                    let waker = places.iter().position(|it| *it == place).unwrap();
                    // SAFETY: its waker wrote before the wake, and does nothing after.
                    assert!(done[waker].with(|place| unsafe { *place }));
                }
            });
        }
        // Wakes that come after the last look, or whose look they overlapped, are still there.
        let early = woken.clone();
        for waker in wakers {
            waker.join().unwrap();
        }
        wakeups.take(|place| {
            woken.insert(place);
        });
        assert_eq!(woken, BTreeSet::from(places), "{early:?} before the end");
        wakeups.take(|place| panic!("{place} is woken again"));
    });
}

// The bits of the first tasks are beside those of the groups.

#[test]
fn of_one_task() {
    model([3, 3]);
    model([40, 40]);
}

#[test]
fn of_tasks_in_one_word() {
    model([0, 7]);
    model([0, 63]);
    model([40, 63]);
}

#[test]
fn of_tasks_in_two_words() {
    model([40, 40 + 64]);
}

/// Of one group, the second in a further part.
#[test]
fn of_tasks_in_two_parts() {
    model([40, 32 * 64]);
    model([32 * 64, 32 * 64 + 1]);
}

/// The wake of a task that two OS threads wake is not lost between the bit and the group.
#[test]
fn of_one_task_again_and_again() {
    [7, 40, 32 * 64].into_iter().for_each(again_and_again);
}

fn again_and_again(place: u32) {
    check(move || {
        let wakeups = wakeups(&[place]);
        let wakers = [(); 2].map(|()| {
            let wakeups = wakeups.clone();
            thread::spawn(move || assert!(!wakeups.wake(place)))
        });
        let mut wakes = 0;
        others_first();
        wakeups.take(|_| wakes += 1);
        for waker in wakers {
            waker.join().unwrap();
        }
        wakeups.take(|_| wakes += 1);
        assert!((1..=2).contains(&wakes), "{wakes} wakes");
    });
}

/// Two OS threads wake tasks of an owner that falls asleep, which it does over no wake: it is woken up for the first
/// that comes, once.
fn sleep(places: [u32; 2]) {
    check(move || {
        let wakeups = wakeups(&places);
        let wakers = places.map(|place| {
            let wakeups = wakeups.clone();
            thread::spawn(move || wakeups.wake(place))
        });
        let mut woken = BTreeSet::new();
        let mut take = |wakeups: &Wakeups| {
            wakeups.take(|place| {
                woken.insert(place);
            });
            woken.len()
        };
        let mut early = 0;
        while !wakeups.sleep() {
            early = take(&wakeups);
        }
        let calls = wakers.map(|waker| waker.join().unwrap());
        let calls = calls.into_iter().filter(|call| *call).count();
        wakeups.wake_up();
        assert_eq!(take(&wakeups), BTreeSet::from(places).len());
        if early < BTreeSet::from(places).len() {
            assert_eq!(calls, 1, "{early} before the sleep");
        } else {
            assert!(calls <= 1);
        }
        assert!(wakeups.sleep(), "it can sleep again");
    });
}

#[test]
fn a_sleeping_owner_is_woken_up_once() {
    sleep([0, 63]);
    sleep([3, 3]);
    sleep([40, 40 + 64]);
    sleep([40, 32 * 64]);
}
