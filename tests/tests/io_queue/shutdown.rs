//! The end of the application.

use super::*;

/// How the main future leaves a queue with I/O in flight behind.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Leaves {
    InATask,
    InAnAbortedTask,
    Forgotten,
}

fn full(device: &Device, drops: &Drops) -> spdk::Result<IoQueue<Tag>> {
    let mut queue = IoQueue::new(&device.ch)?;
    for block in 0..DEPTH {
        queue.write_blocks(device.buffer(1)?, block, 1, drops.tag());
        queue.read_blocks(device.buffer(1)?, block, 1, drops.tag());
    }
    Ok(queue)
}

/// LeakSanitizer knows it by this name.
#[inline(never)]
fn to_be_forgotten(device: &Device, drops: &Drops) -> spdk::Result<IoQueue<Tag>> {
    full(device, drops)
}

fn ends_with_io_in_flight(leaves: Leaves) {
    log::keep();
    let config = json!({"subsystems": [{"subsystem": "bdev", "config": [
        {"method": "bdev_malloc_create", "params":
            {"name": "Malloc0", "num_blocks": 1024, "block_size": BLOCK}},
        {"method": "bdev_delay_create", "params":
            {"base_bdev_name": "Malloc0", "name": "Delay0", "avg_read_latency": 300_000,
             "p99_read_latency": 300_000, "avg_write_latency": 300_000,
             "p99_write_latency": 300_000}},
        {"method": "bdev_wait_for_examine"},
    ]}]});
    let drops = Drops::default();
    let counted = drops.clone();
    let began = Rc::new(Cell::new(None));
    let begins = began.clone();
    let app = spdk::__testing::builder().json_data(config.to_string());
    let result = app.block_on(async move {
        begins.set(Some(Instant::now()));
        let device = Device::open("Delay0")?;
        if leaves == Leaves::Forgotten {
            mem::forget(to_be_forgotten(&device, &counted)?);
        } else {
            let mut queue = full(&device, &counted)?;
            let task = spawn_local(async move {
                let _device = device;
                while queue.next().await.is_some() {}
            })?;
            pass(2).await;
            if leaves == Leaves::InAnAbortedTask {
                task.abort();
            }
        }
        Ok(7)
    });
    assert_eq!(result.expect("an orderly end"), 7);
    let took = began.get().expect("it has run").elapsed();
    assert!(
        took >= Duration::from_millis(290),
        "not waited for: {took:?}"
    );
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(!log::has(&["hold up"]) && !log::has(&["abandoned"]));
    if leaves == Leaves::Forgotten {
        assert_eq!(drops.count(), 0);
    } else {
        assert_eq!(drops.count(), 2 * DEPTH);
        assert!(!log::has(&["stays mapped"]), "memory was not freed");
    }
}

/// Fails if the end does not wait for the I/Os of a task's queue, or waits for the task.
#[spdk::test(no_app, deadline = 30)]
fn the_application_ends_with_a_queue_in_a_task() {
    ends_with_io_in_flight(Leaves::InATask);
}

/// As above, where nobody has the queue any more.
#[spdk::test(no_app, deadline = 30)]
fn the_application_ends_with_the_queue_of_an_aborted_task() {
    ends_with_io_in_flight(Leaves::InAnAbortedTask);
}

/// As above, where nobody ever polls the queue again.
#[spdk::test(no_app, deadline = 30)]
fn the_application_ends_with_a_forgotten_queue() {
    ends_with_io_in_flight(Leaves::Forgotten);
}
