//! Queues that go with I/Os in flight, on a target that was stopped.

use super::*;

/// I/Os in flight on a stopped target: more than an NVMe queue takes are kept back by SPDK.
const FAR: u64 = 256;

/// What becomes of a queue with I/O on a stopped target.
fn abandoned_on_a_stopped_target(write: bool, spans: u64, in_task: bool) {
    attached(json!({}), async move |target| {
        let disk = Disk::open();
        disk.prepare(0..spans, 1).await;
        let drops = Drops::default();
        target.stop();
        let mut queue = IoQueue::new(&disk.channel).expect("a queue");
        for span in 0..spans {
            let block = span * SPAN_BLOCKS;
            match write {
                true => queue.write_blocks(filled(span, 2), block, SPAN_BLOCKS, drops.tag()),
                false => queue.read_blocks(buffer(), block, SPAN_BLOCKS, drops.tag()),
            }
        }
        if in_task {
            let ended = async move {
                let done = queue.next().await.map(|done| done.result);
                panic!("a stopped target answered: {done:?}");
            };
            let task = spawn_local(ended).expect("the app runs");
            after(Duration::from_millis(20)).await;
            assert!(!task.is_finished());
            task.abort();
            let end = task.await.map_err(Error::into_kind);
            assert!(matches!(end, Err(ErrorKind::Cancelled)), "{end:?}");
        } else {
            drop(queue);
        }
        assert_eq!(drops.count(), 0, "dropped in flight");
        let bystanders = Bystanders::new();
        target.cont();
        match write {
            true => disk.become_generation(0..spans, 2).await,
            false => disk.verify(0..spans, 1).await,
        }
        until("the I/Os to end", || drops.count() == spans).await;
        bystanders.check();
        bystanders
    });
}

/// Fails if a late answer goes to memory that is somebody else's by now.
#[spdk::test(no_app, deadline = 30)]
fn reads_arrive_after_their_queue_was_dropped() {
    abandoned_on_a_stopped_target(false, 32, false);
}

/// Fails if the target gets other bytes than those that were submitted.
#[spdk::test(no_app, deadline = 30)]
fn writes_arrive_after_their_queue_was_dropped() {
    abandoned_on_a_stopped_target(true, 32, false);
}

/// As above, with I/Os that SPDK has kept back.
#[spdk::test(no_app, deadline = 30)]
fn writes_beyond_the_queue_depth_arrive_after_their_queue_was_dropped() {
    abandoned_on_a_stopped_target(true, FAR, false);
}

/// As above, where the queue goes with its task.
#[spdk::test(no_app, deadline = 30)]
fn reads_arrive_after_the_task_of_their_queue_was_aborted() {
    abandoned_on_a_stopped_target(false, FAR, true);
}
