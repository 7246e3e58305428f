//! What SPDK has of a controller on other spdk_threads than its own: who connects or frees a queue pair there looks at the
//! admin queue until its own commands have ended, and ends whatever else there is.
//!
//! Each of these faults was put into the crate, and these tests failed:
//!
//! - Admin commands are not sent home: `commands_beside_another_core`, `commands_beside_the_same_core`.
//! - Events stay where they are told: `commands_that_take_long`.
//! - Who gives up a queue pair has SPDK look at the events of the controller: `events_beside_another_core`.
#![allow(unsafe_code)] // Submits commands whose callbacks tell where they come, and registers such a callback for events.

use std::ffi::c_void;
use std::pin::pin;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use spdk::nvme::{NvmeController, NvmeEvent, NvmeRemote, NvmeTimeouts};
use spdk::task::yield_now;
use spdk::{DmaBuf, NvmeCmd, ThreadHandle};
use spdk_sys as sys;
use spdk_tests::machine::{Drive, slot};
use spdk_tests::wait::{PATIENCE, within};
use spdk_tests::{poll_once, until};

use super::remote::round;

const ARBITRATION: u8 = 1;
const TEMPERATURE_THRESHOLD: u8 = 4;
const WRITE_CACHE: u8 = 6;
const QUEUES: u8 = 7;
const IDENTIFY: u8 = 6;

/// Sees on which spdk_threads C calls back.
#[derive(Debug)]
struct Witness {
    home: *mut sys::spdk_thread,
    in_flight: AtomicUsize,
    at_home: AtomicUsize,
    elsewhere: AtomicUsize,
}

// SAFETY: the address is compared, and nothing else.
unsafe impl Sync for Witness {}

impl Witness {
    /// One that is at home on the current spdk_thread.
    fn new() -> Box<Witness> {
        Box::new(Witness {
            // SAFETY: reads a variable of SPDK's.
            home: unsafe { sys::spdk_get_thread() },
            in_flight: AtomicUsize::new(0),
            at_home: AtomicUsize::new(0),
            elsewhere: AtomicUsize::new(0),
        })
    }

    fn is_at_home(&self) -> bool {
        // SAFETY: reads a variable of SPDK's.
        self.home == unsafe { sys::spdk_get_thread() }
    }

    fn see(&self) {
        let seen = match self.is_at_home() {
            true => &self.at_home,
            false => &self.elsewhere,
        };
        seen.fetch_add(1, SeqCst);
    }

    fn seen(&self) -> usize {
        self.at_home.load(SeqCst) + self.elsewhere.load(SeqCst)
    }

    fn context(&self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// Submits a command that is no operation of the crate. It is to be [`Witness::rest`]ed for.
    fn submit(&self, controller: &NvmeController) {
        self.in_flight.fetch_add(1, SeqCst);
        // SAFETY: the controller is attached, on its spdk_thread. The command has no data, and the witness stays where it
        // is until its callback.
        let rc = unsafe {
            sys::spdk_nvme_ctrlr_cmd_get_feature(
                controller.as_ptr(),
                WRITE_CACHE,
                0,
                ptr::null_mut(),
                0,
                Some(on_done),
                self.context(),
            )
        };
        assert_eq!(rc, 0, "SPDK has requests to spare");
    }

    /// Waits for the commands.
    async fn rest(&self) {
        until("the commands", || self.in_flight.load(SeqCst) == 0).await;
    }
}

unsafe extern "C" fn on_done(arg: *mut c_void, _: *const sys::spdk_nvme_cpl) {
    // SAFETY: the context is the witness, which waits for this.
    let witness = unsafe { &*arg.cast::<Witness>().cast_const() };
    witness.see();
    witness.in_flight.fetch_sub(1, SeqCst);
}

unsafe extern "C" fn on_event(arg: *mut c_void, _: *const sys::spdk_nvme_cpl) {
    // SAFETY: the context is the witness, which stays until the controller is detached.
    unsafe { &*arg.cast::<Witness>().cast_const() }.see();
}

async fn thread(core: u32) -> ThreadHandle {
    let made = ThreadHandle::on_core("away", core).await;
    made.expect("an spdk_thread")
}

/// Does `there` some times on another spdk_thread after `before`, while this one stands still.
async fn alone(
    away: &ThreadHandle,
    remote: NvmeRemote,
    there: impl AsyncFn(&NvmeRemote) + Send + 'static,
    before: impl AsyncFnOnce(),
) {
    let marks: [Arc<AtomicBool>; 3] = Default::default();
    let [ready, begun, done] = marks.clone();
    let there = away.call_async(async move || {
        // It needs nothing of the home any more.
        let _seat = remote.namespace(1).await.expect("it is connected");
        ready.store(true, SeqCst);
        until("the home", || begun.load(SeqCst)).await;
        for _ in 0..20 {
            there(&remote).await;
        }
        done.store(true, SeqCst);
    });
    let here = async {
        let [ready, begun, done] = &marks;
        until("the other spdk_thread", || ready.load(SeqCst)).await;
        before().await;
        begun.store(true, SeqCst);
        let start = Instant::now();
        while !done.load(SeqCst) {
            assert!(start.elapsed() < PATIENCE);
            std::thread::yield_now();
        }
    };
    let (there, ()) = join(there, here).await;
    there.expect("no panic");
}

/// What the controller answers to different commands that are in flight at the same time, whose order it is.
async fn answers(controller: &NvmeController, witness: &Witness) -> Vec<Vec<u8>> {
    let features = [ARBITRATION, TEMPERATURE_THRESHOLD, WRITE_CACHE, QUEUES].map(async |feature| {
        let value = controller.get_feature(feature, 0, 0, None).await;
        assert!(witness.is_at_home());
        value.expect("it has one").to_le_bytes().to_vec()
    });
    // The controller, its namespace, and the list of those.
    let data = [1, 0, 2].map(async |cns| {
        let cmd = NvmeCmd {
            nsid: u32::from(cns == 0),
            cdw10: cns,
            ..NvmeCmd::new(IDENTIFY)
        };
        let mut data = DmaBuf::alloc(4096, 4096).expect("DMA memory");
        // SAFETY: it writes 4096 bytes.
        let end = unsafe { controller.admin_raw(&cmd, Some(&mut data)) }.await;
        assert!(witness.is_at_home());
        end.expect("it tells");
        data.to_vec()
    });
    let (mut all, data) = join(join_all(features), join_all(data)).await;
    all.extend(data);
    all
}

/// The home has admin commands in flight, while an spdk_thread of this core has queue pairs that come and go: until it
/// has ended `enough` that are no operations, and whatever was there beside them.
async fn beside(core: u32, enough: usize) {
    let drive = Drive::open(slot::PLAIN).await;
    let (controller, witness) = (&drive.controller, Witness::new());
    let expected = answers(controller, &witness).await;
    let away = thread(core).await;
    let (remote, done) = (controller.remote(), Arc::new(AtomicBool::new(false)));
    let is_done = done.clone();
    let there = away.call_async(async move || {
        for generation in 0.. {
            let qpair = remote.alloc_io_qpair(None).await.expect("it is connected");
            let ns = remote.namespace(1).await.expect("it is connected");
            let ns = ns.expect("it is active");
            let end = round(&ns, &qpair, 64, generation).await;
            end.expect("it has the blocks");
            qpair.close().await.expect("it is here");
            if is_done.load(SeqCst) {
                break;
            }
        }
    });
    let here = async {
        let start = Instant::now();
        while witness.elsewhere.load(SeqCst) < enough {
            assert!(start.elapsed() < PATIENCE, "{witness:?}");
            witness.submit(controller);
            let commands = join_all((0..8).map(|_| answers(controller, &witness)));
            let all = within("the commands", commands).await;
            assert!(all.iter().all(|answers| *answers == expected));
        }
        witness.rest().await;
        done.store(true, SeqCst);
    };
    let (there, ()) = join(there, here).await;
    there.expect("no panic");
    away.exit().await.expect("it is made by us");
    drive.close().await;
}

/// Fails if the operation of a command that SPDK ends on another core is touched there.
#[spdk::test(
    cores = "0x3",
    no_huge = false,
    no_pci = false,
    mem_size_mb = 128,
    deadline = 120
)]
async fn commands_beside_another_core() {
    beside(1, 20).await;
}

/// Fails if that of a command is that SPDK ends on another spdk_thread of this core.
#[spdk::test(no_huge = false, no_pci = false, mem_size_mb = 128, deadline = 120)]
async fn commands_beside_the_same_core() {
    beside(0, 5).await;
}

/// Fails if a command that takes long is not told of by its controller when another core sees it.
#[spdk::test(
    cores = "0x3",
    no_huge = false,
    no_pci = false,
    mem_size_mb = 128,
    deadline = 120
)]
async fn commands_that_take_long() {
    let drive = Drive::open(slot::PLAIN).await;
    let controller = &drive.controller;
    let mut events = controller.events().expect("it is here");
    let timeouts = NvmeTimeouts {
        io: Duration::from_secs(60),
        admin: Duration::from_micros(1),
    };
    controller.set_timeouts(Some(timeouts)).expect("it is here");
    let away = thread(1).await;
    let there = async |remote: &NvmeRemote| {
        let qpair = remote.alloc_io_qpair(None).await.expect("it is connected");
        qpair.close().await.expect("it is here");
    };
    alone(&away, controller.remote(), there, async || ()).await;
    let event = within("an event", events.next()).await;
    let told = matches!(event, Some(NvmeEvent::TimedOut { qpair: 0, .. }));
    assert!(told, "{event:?}");
    controller.set_timeouts(None).expect("it is here");
    away.exit().await.expect("it is made by us");
    drive.close().await;
}

/// Fails if SPDK looks at the events of a controller on another core: after some it looks for namespaces, which are to stay
/// as they are while the home has not shut the gates.
#[spdk::test(
    cores = "0x3",
    no_huge = false,
    no_pci = false,
    mem_size_mb = 128,
    deadline = 120
)]
async fn events_beside_another_core() {
    let drive = Drive::open(slot::PLAIN).await;
    let (controller, witness) = (&drive.controller, Witness::new());
    // SAFETY: the controller is attached, and the witness stays until it is detached.
    unsafe {
        let context = witness.context();
        sys::spdk_nvme_ctrlr_register_aer_callback(controller.as_ptr(), Some(on_event), context);
    }
    let away = thread(1).await;
    let there = async |remote: &NvmeRemote| {
        // Given up at different points of their connect.
        for polls in 1..8 {
            let mut qpair = pin!(remote.alloc_io_qpair(None));
            for _ in 0..polls {
                if poll_once(qpair.as_mut()).is_ready() {
                    break;
                }
                yield_now().await;
            }
        }
    };
    // The composite temperature is above that.
    let mut set = Box::pin(controller.set_feature(TEMPERATURE_THRESHOLD, 0, 300, 0, None));
    let submit = async || assert!(poll_once(set.as_mut()).is_pending());
    alone(&away, controller.remote(), there, submit).await;
    set.await.expect("it has one");
    until("the event", || witness.seen() > 0).await;
    assert_eq!(witness.elsewhere.load(SeqCst), 0);
    let set = controller.set_feature(TEMPERATURE_THRESHOLD, 0, 343, 0, None);
    set.await.expect("it has one");
    away.exit().await.expect("it is made by us");
    drive.close().await;
}
