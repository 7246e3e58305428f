//! The snapshot of what all devices and spdk_threads have done.
#![allow(missing_docs)]

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use spdk::metrics::{DeviceMetrics, SampleKind, Snapshot, ThreadMetrics, snapshot};
use spdk::{Error, PollStatus, Poller, ThreadHandle, spawn_local};
use spdk_tests::{Device, poll_once, until};

const BLOCK: usize = 512;
/// The latency of the slow device in microseconds.
const LATENCY: u64 = 20_000;

#[track_caller]
fn device<'a>(snapshot: &'a Snapshot, name: &str) -> &'a DeviceMetrics {
    let found = snapshot.devices.iter().find(|device| device.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {:?}", snapshot.devices))
}

#[track_caller]
fn thread<'a>(snapshot: &'a Snapshot, name: &str) -> &'a ThreadMetrics {
    let found = snapshot.threads.iter().find(|thread| thread.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {:?}", snapshot.threads))
}

#[track_caller]
fn errors(device: &DeviceMetrics, status: &str) -> u64 {
    let found = device.errors.iter().find(|error| error.status == status);
    found.map_or_else(|| panic!("{:?}", device.errors), |error| error.count)
}

/// Fails if I/Os, bytes or errors are lost, are counted twice, or are another device's; those of another
/// spdk_thread included.
#[spdk::test(
    cores = "0x3",
    bdevs(
        bdev_malloc_create(name = "D", num_blocks = 1024, block_size = BLOCK),
        bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
        bdev_error_create(base_name = "Malloc0"),
        bdev_error_inject_error(
            name = "EE_Malloc0", io_type = "write", error_type = "failure", num = 3,
        ),
    ),
)]
async fn devices() -> spdk::Result<()> {
    let (good, bad) = (Device::open("D")?, Device::open("EE_Malloc0")?);
    let before = snapshot().await?;
    let mut buf = good.buffer(2)?;
    for _ in 0..5 {
        good.desc.write(&good.ch, &buf, 0).await?;
        bad.desc.write(&bad.ch, &buf, 0).await.ok();
    }
    good.desc.read(&good.ch, &mut buf, 0).await?;
    good.desc.unmap_blocks(&good.ch, 0, 4).await?;
    good.desc.copy_blocks(&good.ch, 8, 0, 3).await?;
    let cores = spdk::SpdkApp::cores()?;
    let other = ThreadHandle::on_core("other", *cores.last().unwrap_or(&cores[0])).await?;
    let io = other.spawn(|| async {
        let device = Device::open("D")?;
        let buf = device.buffer(1)?;
        for _ in 0..7 {
            device.desc.write(&device.ch, &buf, 0).await?;
        }
        // Of a channel that is open, and of one that was.
        Ok::<_, Error>(())
    });
    io.await??;
    let after = snapshot().await?;

    let (io, was) = (device(&after, "D").io, device(&before, "D").io);
    assert_eq!(io.num_write_ops - was.num_write_ops, 5 + 7);
    assert_eq!(io.bytes_written - was.bytes_written, 5 * 1024 + 7 * 512);
    assert_eq!(io.num_read_ops - was.num_read_ops, 1);
    assert_eq!(io.bytes_read - was.bytes_read, 1024);
    assert_eq!((io.num_unmap_ops, io.bytes_unmapped), (1, 4 * 512));
    assert_eq!((io.num_copy_ops, io.bytes_copied), (1, 3 * 512));
    assert!(io.write_latency_ticks > was.write_latency_ticks);
    assert_eq!(device(&after, "D").errors_total(), 0);
    assert_eq!(device(&before, "EE_Malloc0").errors_total(), 0);
    let failed = device(&after, "EE_Malloc0");
    assert_eq!(
        (
            failed.errors_total(),
            errors(failed, "nvme_error") + errors(failed, "failed")
        ),
        (3, 3)
    );
    assert_eq!(failed.io.num_write_ops, 2);
    assert_eq!(device(&after, "Malloc0").io.num_write_ops, 2);
    // Nothing is reset by a look.
    let again = snapshot().await?;
    assert_eq!(device(&again, "D").io.num_write_ops, io.num_write_ops);
    assert_eq!(device(&again, "EE_Malloc0").errors_total(), 3);
    other.exit().await
}

/// Fails if the depth is not the number of I/Os in flight, on all spdk_threads together.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
    bdev_delay_create(
        base_bdev_name = "Malloc0", name = "D",
        avg_read_latency = LATENCY, p99_read_latency = LATENCY,
        avg_write_latency = LATENCY, p99_write_latency = LATENCY,
    ),
))]
async fn queue_depth() -> spdk::Result<()> {
    let slow = Device::open("D")?;
    let other = spdk_tests::second::spdk_thread("other").await;
    let depth = async || Ok::<_, Error>(device(&snapshot().await?, "D").queue_depth);
    assert_eq!(depth().await?, 0);
    // A look takes much less time than an I/O, unless the machine does something else meanwhile.
    let mut most = 0;
    for _ in 0..20 {
        let mut bufs: Vec<_> = (0..4)
            .map(|_| slow.buffer(1))
            .collect::<spdk::Result<_>>()?;
        let mut reads: Vec<_> = bufs
            .iter_mut()
            .map(|buf| Box::pin(slow.desc.read(&slow.ch, buf, 0)))
            .collect();
        for read in &mut reads {
            assert!(poll_once(read.as_mut()).is_pending());
        }
        let mut elsewhere = Box::pin(other.spawn(|| async {
            let device = Device::open("D")?;
            let mut buf = device.buffer(1)?;
            device.desc.read(&device.ch, &mut buf, 0).await
        }));
        assert!(poll_once(elsewhere.as_mut()).is_pending());
        loop {
            let depth = depth().await?;
            most = most.max(depth);
            if most == 5 || depth == 0 {
                break;
            }
        }
        join_all(reads)
            .await
            .into_iter()
            .collect::<spdk::Result<()>>()?;
        elsewhere.await??;
        assert_eq!(depth().await?, 0);
        if most == 5 {
            return Ok(());
        }
    }
    panic!("{most} in flight, of 5");
}

/// Fails if an I/O that waits for a free `spdk_bdev_io` is not counted, or is on another spdk_thread.
#[spdk::test(bdevs(
    bdev_set_options(bdev_io_pool_size = 8, bdev_io_cache_size = 1),
    bdev_malloc_create(name = "D", num_blocks = 1024, block_size = BLOCK),
))]
async fn retries() -> spdk::Result<()> {
    const MANY: u64 = 32;
    let here = spdk::SpdkThread::get_current().map_or_else(String::new, |t| t.name().to_owned());
    let other = spdk_tests::second::spdk_thread("other").await;
    let before = snapshot().await?;
    assert_eq!(thread(&before, &here).retries, 0);
    let device = Device::open("D")?;
    let bufs: Vec<_> = (0..MANY)
        .map(|_| device.buffer(1))
        .collect::<spdk::Result<_>>()?;
    let writes = bufs.iter().map(|buf| device.desc.write(&device.ch, buf, 0));
    for written in join_all(writes).await {
        written?;
    }
    let after = snapshot().await?;
    let retries = thread(&after, &here).retries;
    assert!(retries >= MANY - 8, "{retries}");
    assert_eq!(thread(&after, "other").retries, 0);
    // An `IoQueue` counts too.
    let queue = other.spawn(|| async {
        let device = Device::open("D")?;
        let mut queue = spdk::IoQueue::new(&device.ch)?;
        for block in 0..MANY {
            queue.write_blocks(device.buffer(1)?, block, 1, ());
        }
        while let Some(done) = queue.next().await {
            done.result?;
        }
        Ok::<_, Error>(())
    });
    queue.await??;
    let last = snapshot().await?;
    let waited = thread(&last, "other").retries;
    assert!(waited >= MANY - 8, "{waited}");
    assert_eq!(thread(&last, &here).retries, retries);
    Ok(())
}

/// Fails if an idle spdk_thread looks busy, or a busy one idle, and if a task is not counted.
#[spdk::test]
async fn busy_and_idle() -> spdk::Result<()> {
    let idle = spdk_tests::second::spdk_thread("idle").await;
    let busy = spdk_tests::second::spdk_thread("busy").await;
    busy.call(|| {
        let spin = Poller::register(|| {
            std::thread::sleep(Duration::from_micros(50));
            PollStatus::Busy
        });
        std::mem::forget(spin);
    })
    .await?;
    let task = idle.spawn(std::future::pending::<()>);
    let mut task = Box::pin(task);
    assert!(poll_once(task.as_mut()).is_pending());
    let before = snapshot().await?;
    spdk::time::sleep(Duration::from_millis(100)).await?;
    let after = snapshot().await?;
    let spent = |name| {
        let (was, is) = (thread(&before, name).stats, thread(&after, name).stats);
        (is.busy() - was.busy(), is.idle() - was.idle())
    };
    let (of_busy, of_idle) = (spent("busy"), spent("idle"));
    assert!(of_busy.0 > Duration::from_millis(20), "{of_busy:?}");
    assert!(of_busy.0 > 20 * of_busy.1, "{of_busy:?}");
    assert!(of_idle.1 > of_idle.0, "{of_idle:?}");
    assert!(of_busy.0 > 20 * of_idle.0, "{of_busy:?} {of_idle:?}");
    assert_eq!(thread(&after, "idle").tasks, 1);
    assert_eq!(thread(&after, "busy").tasks, 0);
    Ok(())
}

/// Fails if a name, a label or a number is not what the documentation says, in any of the forms.
#[spdk::test(bdevs(bdev_malloc_create(name = "A \"b\\c", num_blocks = 1024, block_size = BLOCK)))]
async fn forms() -> spdk::Result<()> {
    let open = Device::open("A \"b\\c")?;
    let buf = open.buffer(2)?;
    open.desc.write(&open.ch, &buf, 0).await?;
    let snapshot = snapshot().await?;
    let samples = snapshot.samples();
    let find = |name: &str, label: (&'static str, &str)| {
        let has = |labels: &[(&'static str, String)]| {
            labels
                .iter()
                .any(|(key, value)| (*key, value.as_str()) == label)
        };
        let mut found = samples
            .iter()
            .filter(|sample| sample.name == name && has(&sample.labels));
        let sample = found.next();
        sample.unwrap_or_else(|| panic!("no {name} with {label:?} in {samples:?}"))
    };
    let write = ("op", "write");
    assert_eq!(find("spdk_bdev_ios_total", write).value, 1.0);
    assert_eq!(find("spdk_bdev_ios_total", write).kind, SampleKind::Counter);
    assert_eq!(find("spdk_bdev_bytes_total", write).value, 1024.0);
    let seconds = find("spdk_bdev_io_seconds_total", write).value;
    assert!(seconds > 0.0 && seconds < 10.0, "{seconds}");
    assert_eq!(
        find("spdk_bdev_errors_total", ("status", "aborted")).value,
        0.0
    );
    let depth = find("spdk_bdev_queue_depth", ("bdev", "A \"b\\c"));
    assert_eq!((depth.value, depth.kind), (0.0, SampleKind::Gauge));
    let app = &snapshot.threads[0];
    let id = app.id.to_string();
    for (name, value) in [
        (
            "spdk_thread_busy_seconds_total",
            app.stats.busy().as_secs_f64(),
        ),
        (
            "spdk_thread_idle_seconds_total",
            app.stats.idle().as_secs_f64(),
        ),
        ("spdk_thread_retries_total", 0.0),
        ("spdk_thread_tasks", 1.0),
    ] {
        let sample = find(name, ("id", &id));
        assert_eq!(sample.value, value, "{name}");
        assert!(sample.labels.contains(&("thread", app.name.clone())));
    }

    let text = snapshot.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines.contains(&"# TYPE spdk_bdev_ios_total counter"),
        "{text}"
    );
    assert!(lines.contains(&"# TYPE spdk_thread_tasks gauge"), "{text}");
    let line = r#"spdk_bdev_ios_total{bdev="A \"b\\c",op="write"} 1"#;
    assert!(lines.contains(&line), "{text}");
    assert_eq!(
        lines.iter().filter(|line| !line.starts_with('#')).count(),
        samples.len()
    );
    let families = lines.iter().filter(|line| line.starts_with("# TYPE"));
    assert_eq!(families.count(), 9);

    let json = serde_json::to_value(&snapshot).expect("it has a form in JSON");
    let expected = json!({
        "name": "spdk_bdev_bytes_total",
        "labels": {"bdev": "A \"b\\c", "op": "write"},
        "value": 1024.0,
    });
    assert!(
        json.as_array().is_some_and(|all| all.contains(&expected)),
        "{json}"
    );
    Ok(())
}

/// Fails if a device that is removed while it is looked at makes the look fail, or keeps it there.
#[spdk::test(
    bdevs(bdev_null_create(name = "Null0", num_blocks = 1024, block_size = BLOCK)),
    rpc_addr = &spdk_tests::rpc::address(),
)]
async fn removal_meanwhile() -> spdk::Result<()> {
    for _ in 0..10 {
        let looks = spawn_local(async {
            let mut least = usize::MAX;
            while least > 0 {
                least = least.min(snapshot().await?.devices.len());
            }
            Ok::<_, Error>(())
        })?;
        spdk_tests::rpc::call("bdev_null_delete", json!({"name": "Null0"})).await;
        looks.await??;
        let params = json!({"name": "Null0", "num_blocks": 1024, "block_size": BLOCK});
        spdk_tests::rpc::call("bdev_null_create", params).await;
    }
    // Abandoned at any point.
    for polls in 0..8 {
        let mut look = Box::pin(snapshot());
        for _ in 0..polls {
            if poll_once(look.as_mut()).is_ready() {
                break;
            }
            spdk::task::yield_now().await;
        }
    }
    until("the device to be there", || {
        spdk::Bdev::find("Null0").is_ok()
    })
    .await;
    Ok(())
}
