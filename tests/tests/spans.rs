//! The span of an operation.
//!
//! Each of these faults was put into the crate, and these tests failed:
//!
//! - The span ends with the future: `dropped_in_flight`.
//! - An operation in flight is not watched: `fields_and_nesting`. The same once it was submitted again:
//!   `waiting_for_memory`, and `of_a_queue_without_memory`.
//! - An operation that is dropped while it waits leaves its span: the same two.
//! - One that SPDK refuses when it has waited leaves its span: `refused_after_a_wait`.
//! - One that is refused before SPDK sees it has none: `errors`.
#![allow(missing_docs)]

use std::cell::RefCell;
use std::rc::Rc;

use futures_util::future::join_all;
use serde_json::json;
use spdk::{Errno, Error, IoQueue, spawn_local};
use spdk_tests::traces::{self, Span, operations};
use spdk_tests::{Device, poll_once, rpc, second, until};
use tracing::Instrument;
use tracing::level_filters::LevelFilter;

const BLOCK: usize = 512;
/// The latency of the slow device in microseconds.
const LATENCY: u64 = 30_000;

/// The one span of an operation, and no other, since the last look.
#[track_caller]
fn only(operation: &str) -> Span {
    let mut spans = operations();
    assert_eq!(spans.len(), 1, "{spans:?}");
    traces::clear();
    let span = spans.remove(0);
    assert_eq!(span.field("operation"), Some(operation), "{span:?}");
    assert_eq!(span.name, "operation");
    span
}

#[track_caller]
fn assert_ended(span: &Span, outcome: &str) {
    assert!(span.is_closed, "{span:?}");
    assert_eq!(span.field("outcome"), Some(outcome), "{span:?}");
    let latency: u64 = span
        .field("latency_ns")
        .and_then(|ns| ns.parse().ok())
        .unwrap_or(0);
    assert!(latency > 0, "{span:?}");
    assert_eq!(
        span.field("error").is_some(),
        outcome == "error",
        "{span:?}"
    );
}

/// Fails if an operation has no span, another one's fields, or one that is not inside the user's.
#[spdk::test(bdevs(bdev_malloc_create(name = "D", num_blocks = 1024, block_size = BLOCK)))]
async fn fields_and_nesting() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let Device { bdev, desc, ch } = &device;
    let mut buf = device.buffer(4)?;
    traces::keep(LevelFilter::TRACE);
    traces::clear();
    let request = tracing::info_span!("request");
    desc.write(ch, &buf, 1024)
        .instrument(request.clone())
        .await?;
    let span = only("spdk_bdev_write");
    assert_ended(&span, "ok");
    assert_eq!(span.parent, Some("request"));
    assert_eq!(span.field("object"), Some("bdev \"D\""));
    assert_eq!(span.field("offset"), Some("1024"));
    assert_eq!(span.field("length"), Some("2048"));
    for none in ["offset_blocks", "num_blocks", "retries", "abandoned"] {
        assert_eq!(span.field(none), None, "{span:?}");
    }
    // A task that carries its span, through the crate's executor.
    let task = async move {
        let device = Device::open("D")?;
        device.desc.read_blocks(&device.ch, &mut buf, 8, 4).await?;
        Ok::<_, Error>(buf)
    };
    let buf = spawn_local(task.instrument(request))?.await??;
    let span = only("spdk_bdev_read_blocks");
    assert_ended(&span, "ok");
    assert_eq!(span.parent, Some("request"));
    assert_eq!(span.field("offset_blocks"), Some("8"));
    assert_eq!(span.field("num_blocks"), Some("4"));
    assert_eq!(span.field("offset"), Some("4096"));
    assert_eq!(span.field("length"), Some("2048"));
    // Without a span around it.
    desc.writev_blocks(ch, &[buf], 0, 4).await?;
    let span = only("spdk_bdev_writev_blocks");
    assert_ended(&span, "ok");
    assert_eq!(span.parent, None);
    // Two ranges, and one without a length.
    desc.copy_blocks(ch, 16, 8, 2).await?;
    let span = only("spdk_bdev_copy_blocks");
    assert_ended(&span, "ok");
    let fields = [
        "offset_blocks",
        "num_blocks",
        "from_blocks",
        "offset",
        "length",
    ];
    let fields = fields.map(|field| span.field(field));
    assert_eq!(fields, ["16", "2", "8", "8192", "1024"].map(Some));
    // What has no range, or no object; and one that was written by hand.
    bdev.device_stat(spdk::bdev::ResetStat::None).await?;
    let span = only("spdk_bdev_get_device_stat");
    assert_ended(&span, "ok");
    assert_eq!((span.field("offset"), span.field("length")), (None, None));
    spdk::bdev::wait_for_examine().await?;
    let span = only("spdk_bdev_wait_for_examine");
    assert_ended(&span, "ok");
    assert_eq!(span.field("object"), Some(""));
    bdev.histogram().await.expect_err("it is not enabled");
    let span = only("spdk_bdev_histogram_get");
    assert_ended(&span, "error");
    // A future that is never polled is no operation.
    drop(desc.flush(ch, 0, 512));
    assert_eq!(operations().len(), 0);
    Ok(())
}

/// Fails if there are spans that nobody asked for.
#[spdk::test(bdevs(bdev_malloc_create(name = "D", num_blocks = 1024, block_size = BLOCK)))]
async fn none_below_their_level() -> spdk::Result<()> {
    let device = Device::open("D")?;
    traces::keep(LevelFilter::DEBUG);
    let buf = device.buffer(1)?;
    device.desc.write(&device.ch, &buf, 0).await?;
    assert_eq!(operations().len(), 0);
    Ok(())
}

/// Fails if an error is none, or is another one: of the device, of SPDK at the submission, of this crate,
/// of another spdk_thread, and of a device that is removed.
#[spdk::test(
    bdevs(
        bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
        bdev_error_create(base_name = "Malloc0"),
        bdev_error_inject_error(
            name = "EE_Malloc0", io_type = "read", error_type = "failure", num = 1,
        ),
    ),
    rpc_addr = &rpc::address(),
)]
async fn errors() -> spdk::Result<()> {
    let device = Rc::new(Device::open("EE_Malloc0")?);
    let Device { desc, ch, .. } = &*device;
    let mut buf = device.buffer(1)?;
    traces::keep(LevelFilter::TRACE);
    #[track_caller]
    fn assert_error(operation: &str, cause: &str) {
        let span = only(operation);
        assert_ended(&span, "error");
        let error = span.field("error").unwrap_or_default();
        assert!(error.contains(cause), "{span:?}");
    }
    traces::clear();
    desc.read(ch, &mut buf, 0)
        .await
        .expect_err("it was injected");
    assert_error("spdk_bdev_read", "INTERNAL DEVICE ERROR");
    desc.read(ch, &mut buf, 7)
        .await
        .expect_err("no block begins there");
    assert_error("spdk_bdev_read", "EINVAL");
    desc.read_blocks(ch, &mut buf, 0, 2)
        .await
        .expect_err("it is too short");
    assert_error("spdk_bdev_read_blocks", "512");
    // On the same OS thread, where the handles are not at home.
    let other = second::spdk_thread("other").await;
    let elsewhere = Rc::new(RefCell::new(Some(device.clone())));
    let (done, is_done) = spdk::completion();
    let message = Message(elsewhere);
    other.send(move || {
        let message = message;
        let Some(device) = message.0.take() else {
            return;
        };
        drop(spawn_local(async move {
            let flushed = device.desc.flush(&device.ch, 0, 512).await;
            done.success(flushed.is_err());
            drop(device);
        }));
    })?;
    assert!(is_done.await?);
    assert_error("spdk_bdev_flush", "belongs to spdk_thread");
    rpc::call("bdev_error_delete", json!({"name": "EE_Malloc0"})).await;
    until("the removal", || desc.as_ptr().is_null()).await;
    traces::clear();
    desc.reset(ch).await.expect_err("it is gone");
    assert_error("spdk_bdev_reset", "has been removed");
    Ok(())
}

/// Something that is used on one OS thread only, of which both spdk_threads are.
struct Message(Rc<RefCell<Option<Rc<Device>>>>);

#[allow(unsafe_code)]
// SAFETY: the application has one core, so both spdk_threads run on its one OS thread.
unsafe impl Send for Message {}

/// Fails if the span of an operation whose future was dropped ends before the device is done, or does not
/// say that it was dropped.
#[spdk::test(
    bdevs(
        bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
        bdev_delay_create(
            base_bdev_name = "Malloc0", name = "D",
            avg_read_latency = LATENCY, p99_read_latency = LATENCY,
            avg_write_latency = LATENCY, p99_write_latency = LATENCY,
        ),
    ),
)]
async fn dropped_in_flight() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let Device { desc, ch, .. } = &device;
    let mut buf = device.buffer(1)?;
    traces::keep(LevelFilter::TRACE);
    traces::clear();
    let mut read = Box::pin(desc.read(ch, &mut buf, 0));
    assert!(poll_once(read.as_mut()).is_pending());
    let is_closed = || operations().first().is_some_and(|span| span.is_closed);
    assert!(!is_closed());
    drop(read);
    let span = &operations()[0];
    assert_eq!(span.field("abandoned"), Some("true"));
    assert!(
        !span.is_closed && span.field("outcome").is_none(),
        "{span:?}"
    );
    until("the device", is_closed).await;
    let span = only("spdk_bdev_read");
    assert_ended(&span, "ok");
    let latency = span.field("latency_ns").and_then(|ns| ns.parse().ok());
    assert!(latency >= Some(LATENCY * 1000 * 9 / 10), "{span:?}");
    // One that is awaited after other polls, and one whose task is aborted.
    traces::clear();
    let mut write = Box::pin(desc.write(ch, &buf, 0));
    assert!(poll_once(write.as_mut()).is_pending());
    assert!(poll_once(write.as_mut()).is_pending());
    write.await?;
    let span = only("spdk_bdev_write");
    assert_ended(&span, "ok");
    assert_eq!(span.field("abandoned"), None);
    let task = spawn_local(async {
        let device = Device::open("D")?;
        let mut buf = device.buffer(1)?;
        device.desc.read(&device.ch, &mut buf, 0).await
    })?;
    until("the task to begin", || operations().len() == 1).await;
    task.abort();
    until("the device", is_closed).await;
    let span = only("spdk_bdev_read");
    assert_ended(&span, "ok");
    assert_eq!(span.field("abandoned"), Some("true"));
    Ok(())
}

/// Fails if the span of an operation that waits for a free `spdk_bdev_io` ends too early, or does not tell
/// that it has waited; and if one that is dropped while it waits does not end.
#[spdk::test(bdevs(
    bdev_set_options(bdev_io_pool_size = 8, bdev_io_cache_size = 1),
    bdev_malloc_create(name = "D", num_blocks = 1024, block_size = BLOCK),
))]
async fn waiting_for_memory() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let bufs: Vec<_> = (0..32)
        .map(|_| device.buffer(1))
        .collect::<spdk::Result<_>>()?;
    traces::keep(LevelFilter::TRACE);
    traces::clear();
    let start = || {
        let writes = bufs.iter().zip(0..);
        let mut writes: Vec<_> = writes
            .map(|(buf, block)| Box::pin(device.desc.write_blocks(&device.ch, buf, block, 1)))
            .collect();
        for write in &mut writes {
            assert!(poll_once(write.as_mut()).is_pending());
        }
        writes
    };
    for written in join_all(start()).await {
        written?;
    }
    let spans = operations();
    traces::clear();
    assert_eq!(spans.len(), 32);
    spans.iter().for_each(|span| assert_ended(span, "ok"));
    let retried = spans.iter().filter(|span| span.field("retries").is_some());
    assert!(retried.count() >= 24, "{spans:?}");
    assert!(spans[31].field("retries").is_some(), "{:?}", spans[31]);

    let mut writes = start();
    drop(writes.pop());
    for written in join_all(writes).await {
        written?;
    }
    until("the last span", || {
        operations().iter().all(|span| span.is_closed)
    })
    .await;
    let spans = operations();
    assert_eq!(spans.len(), 32);
    let (last, others) = spans.split_last().unwrap_or_else(|| panic!("there are 32"));
    others.iter().for_each(|span| assert_ended(span, "ok"));
    assert_ended(last, "not submitted");
    assert_eq!(last.field("abandoned"), Some("true"));
    Ok(())
}

/// Fails if the span of an operation that SPDK refuses at its second submission stays open, or does not tell
/// both. No device shrinks while it is open, so this one's size changes behind SPDK's back.
#[spdk::test(bdevs(
    bdev_set_options(bdev_io_pool_size = 8, bdev_io_cache_size = 1),
    bdev_malloc_create(name = "D", num_blocks = 1024, block_size = BLOCK),
))]
async fn refused_after_a_wait() -> spdk::Result<()> {
    const LEFT: u64 = 16;
    fn resize(device: &Device, blocks: u64) {
        #[allow(unsafe_code)]
        // SAFETY: the bdev is open, and this is the one OS thread of the application; the memory of the
        // device stays as large as it is.
        unsafe {
            (*device.bdev.as_ptr()).blockcnt = blocks;
        }
    }
    /// What became of the 32 writes.
    fn check(results: &[spdk::Result<()>]) {
        assert_eq!(results.len(), 32);
        for (result, block) in results.iter().zip(0..) {
            let errno = result.as_ref().err().and_then(Error::errno);
            let expected = (block >= LEFT).then_some(Errno::EINVAL);
            assert_eq!(errno, expected, "block {block}: {result:?}");
        }
        let spans = operations();
        traces::clear();
        assert_eq!(spans.len(), 32);
        let (ok, refused) = spans.split_at(LEFT as usize);
        ok.iter().for_each(|span| assert_ended(span, "ok"));
        for span in refused {
            assert_ended(span, "error");
            let error = span.field("error").unwrap_or_default();
            assert!(error.contains("EINVAL"), "{span:?}");
            assert_eq!(span.field("retries"), Some("1"), "{span:?}");
            assert_eq!(span.field("abandoned"), None, "{span:?}");
        }
    }
    let device = Device::open("D")?;
    let blocks = device.bdev.num_blocks();
    let bufs: Vec<_> = (0..32)
        .map(|_| device.buffer(1))
        .collect::<spdk::Result<_>>()?;
    traces::keep(LevelFilter::TRACE);
    traces::clear();
    let mut writes: Vec<_> = (0..)
        .zip(&bufs)
        .map(|(block, buf)| Box::pin(device.desc.write_blocks(&device.ch, buf, block, 1)))
        .collect();
    for write in &mut writes {
        assert!(poll_once(write.as_mut()).is_pending());
    }
    resize(&device, LEFT);
    check(&join_all(writes).await);

    resize(&device, blocks);
    let mut queue = IoQueue::new(&device.ch)?;
    for block in 0..32 {
        queue.write_blocks(device.buffer(1)?, block, 1, block);
    }
    resize(&device, LEFT);
    let mut results: Vec<_> = (0..32).map(|_| Ok(())).collect();
    while let Some(done) = queue.next().await {
        results[done.tag as usize] = done.result;
    }
    check(&results);
    resize(&device, blocks);
    Ok(())
}

/// Fails if an I/O of an `IoQueue` has no span, or one that ends at another time or in another way.
#[spdk::test(
    bdevs(
        bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
        bdev_error_create(base_name = "Malloc0"),
        bdev_error_inject_error(
            name = "EE_Malloc0", io_type = "unmap", error_type = "failure", num = 1,
        ),
        bdev_delay_create(
            base_bdev_name = "EE_Malloc0", name = "D",
            avg_read_latency = LATENCY, p99_read_latency = LATENCY,
            avg_write_latency = LATENCY, p99_write_latency = LATENCY,
        ),
    ),
)]
async fn of_a_queue() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let mut queue = IoQueue::new(&device.ch)?;
    traces::keep(LevelFilter::TRACE);
    traces::clear();
    let request = tracing::info_span!("request");
    request.in_scope(|| -> spdk::Result<()> {
        queue.write_blocks(device.buffer(2)?, 8, 2, ());
        Ok(())
    })?;
    assert!(!operations()[0].is_closed);
    assert!(queue.ended().await);
    let span = only("spdk_bdev_write_blocks");
    assert_ended(&span, "ok");
    assert_eq!(span.parent, Some("request"));
    assert_eq!(span.field("object"), Some("bdev \"D\""));
    assert_eq!(
        (span.field("offset"), span.field("length")),
        (Some("4096"), Some("1024"))
    );
    assert_eq!(
        (span.field("offset_blocks"), span.field("num_blocks")),
        (Some("8"), Some("2"))
    );
    // The same again, in its place.
    let ended = queue.pop();
    ended.map_or_else(|| panic!("it has ended"), |io| io.write_blocks(10, 2));
    assert!(queue.next().await.is_some_and(|done| done.result.is_ok()));
    let span = only("spdk_bdev_write_blocks");
    assert_ended(&span, "ok");
    assert_eq!(span.field("offset_blocks"), Some("10"));
    // The device fails it, SPDK refuses it, this crate does.
    queue.unmap_blocks(0, 8, ());
    assert!(queue.next().await.is_some_and(|done| done.result.is_err()));
    let span = only("spdk_bdev_unmap_blocks");
    assert_ended(&span, "error");
    assert!(
        span.field("error")
            .is_some_and(|error| error.contains("SCT 0x0")),
        "{span:?}"
    );
    queue.unmap_blocks(1024, 8, ());
    assert!(queue.next().await.is_some_and(|done| done.result.is_err()));
    let span = only("spdk_bdev_unmap_blocks");
    assert_ended(&span, "error");
    assert!(
        span.field("error")
            .is_some_and(|error| error.contains("EINVAL")),
        "{span:?}"
    );
    queue.read_blocks(device.buffer(1)?, 0, 2, ());
    assert!(queue.next().await.is_some_and(|done| done.result.is_err()));
    assert_ended(&only("spdk_bdev_read_blocks"), "error");
    // The queue goes, and the I/O goes on.
    queue.read_blocks(device.buffer(1)?, 0, 1, ());
    drop(queue);
    assert!(!operations()[0].is_closed);
    until("the device", || operations()[0].is_closed).await;
    let span = only("spdk_bdev_read_blocks");
    assert_ended(&span, "ok");
    assert_eq!(span.field("abandoned"), Some("true"));
    Ok(())
}

/// Fails as `waiting_for_memory` does, for an `IoQueue`.
#[spdk::test(bdevs(
    bdev_set_options(bdev_io_pool_size = 8, bdev_io_cache_size = 1),
    bdev_malloc_create(name = "D", num_blocks = 1024, block_size = BLOCK),
))]
async fn of_a_queue_without_memory() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let fill = |queue: &mut IoQueue<u64>| -> spdk::Result<()> {
        for block in 0..32 {
            queue.write_blocks(device.buffer(1)?, block, 1, block);
        }
        Ok(())
    };
    let mut queue = IoQueue::new(&device.ch)?;
    traces::keep(LevelFilter::TRACE);
    traces::clear();
    fill(&mut queue)?;
    while let Some(done) = queue.next().await {
        done.result?;
    }
    let spans = operations();
    traces::clear();
    assert_eq!(spans.len(), 32);
    spans.iter().for_each(|span| assert_ended(span, "ok"));
    assert!(spans[31].field("retries").is_some(), "{:?}", spans[31]);
    fill(&mut queue)?;
    drop(queue);
    until("the last span", || {
        operations().iter().all(|span| span.is_closed)
    })
    .await;
    let spans = operations();
    assert_eq!(spans.len(), 32);
    let outcomes = |outcome: &str| {
        let such = spans
            .iter()
            .filter(|span| span.field("outcome") == Some(outcome));
        such.count()
    };
    assert_eq!(outcomes("ok") + outcomes("not submitted"), 32);
    assert!(
        outcomes("ok") >= 1 && outcomes("not submitted") >= 24,
        "{spans:?}"
    );
    assert!(
        spans
            .iter()
            .all(|span| span.field("abandoned") == Some("true")),
        "{spans:?}"
    );
    Ok(())
}
