//! Devices that take longer than their user waits.

use super::*;

/// The latency of the slow device in microseconds: more than a test takes.
const LATENCY: u64 = 60_000_000;
/// How long the user waits.
const LIMIT: Duration = Duration::from_millis(30);
/// The blocks of each operation, and those from one to the next.
const BLOCKS: u64 = 4;

/// Those that the delay bdev holds back.
fn is_slow(operation: &&Operation) -> bool {
    let is = |begin: &&str| operation.method.starts_with(begin);
    ["read", "write", "compare", "zcopy"].iter().any(is)
        && !["write_zeroes", "write_uncorrectable"].iter().any(is)
}

async fn all_at_once(device: &Device, limit: Duration) -> spdk::Result<()> {
    // Each on blocks of its own: a compare-and-write keeps others off.
    let each = ALL
        .iter()
        .filter(is_slow)
        .zip(0_u64..)
        .map(|(operation, number)| async move {
            let part = operation.part(device, 16 * number, operation.at_most(device, BLOCKS));
            let end = spdk::time::timeout(limit, operation.run(device, part)).await;
            let late = end.expect_err(operation.method);
            assert!(
                matches!(late.kind(), ErrorKind::TimedOut { .. }),
                "{}: {late}",
                operation.method
            );
            Ok(())
        });
    try_join_all(each).await.map(drop)
}

/// Operations of every kind that are given up when they take too long: they go on, SPDK tells that they are
/// late, and a reset ends them.
///
/// Fails if one is not given up, if a late one is not reported, or if what it held stays.
#[spdk::test(deadline = 60, bdevs(
    // Modules that look at a new device would read from the slow one.
    bdev_set_options(bdev_auto_examine = false),
    bdev_malloc_create(
        name = "M", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = false,
    ),
    bdev_delay_create(
        base_bdev_name = "M", name = "D",
        avg_read_latency = 0, p99_read_latency = 0, avg_write_latency = 0, p99_write_latency = 0,
    ),
))]
async fn operations_are_given_up() -> spdk::Result<()> {
    let warm_up = async {
        let device = Device::open("D")?;
        let mut buf = device.buffer(1)?;
        device.desc.read_blocks(&device.ch, &mut buf, 0, 1).await
    };
    let counters = Counters::settled(warm_up).await?;
    let device = Device::open("D")?;
    let mut late = device.desc.timeouts();
    device.desc.set_timeout(Some(Duration::from_secs(1)))?;
    for kind in ["avg_read", "p99_read", "avg_write", "p99_write"] {
        let params = json!({"delay_bdev_name": "D", "latency_type": kind, "latency_us": LATENCY});
        rpc("bdev_delay_update_latency", params).await?;
    }
    within("timeouts", all_at_once(&device, LIMIT)).await?;
    // Not one has ended: SPDK holds them, and tells so.
    let mut reported = std::collections::BTreeSet::new();
    let expected = ALL.iter().filter(is_slow).count();
    let reports = async {
        while reported.len() < expected {
            let report = late.next().await.expect("the descriptor is open");
            let Some(Range::Blocks { offset, .. }) = report.range else {
                panic!("no range: {report:?}");
            };
            assert!(report.id.is_some(), "{report:?}");
            // A copy tells the destination.
            reported.insert(offset / 16);
        }
    };
    within("the reports of late operations", reports).await;
    // Their handles go first.
    device.desc.set_timeout(None)?;
    drop(device);
    let device = Device::open("D")?;
    within("a reset", device.desc.reset(&device.ch)).await?;
    drop(device);
    counters.assert_back().await;
    Ok(())
}

/// Fails if `timeout` is late for a device that is late, or an operation that is in time is given up.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "M", num_blocks = 1024, block_size = BLOCK),
    bdev_delay_create(
        base_bdev_name = "M", name = "D",
        avg_read_latency = 5_000, p99_read_latency = 5_000,
        avg_write_latency = 0, p99_write_latency = 0,
    ),
))]
async fn some_are_in_time() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let mut buf = device.buffer(8)?;
    pattern::fill(&mut buf, BLOCK, 0, 1);
    device.desc.write_blocks(&device.ch, &buf, 0, 8).await?;
    let counters = Counters::settled(async { Ok(()) }).await?;
    let (mut in_time, mut late) = (0, 0);
    for round in 0..60_u64 {
        let limit = Duration::from_micros(if round % 2 == 0 { 500 } else { 2_000_000 });
        let mut buf = device.buffer(8)?;
        let read = device.desc.read_blocks(&device.ch, &mut buf, 0, 8);
        match spdk::time::timeout(limit, read).await {
            Ok(end) => {
                end?;
                pattern::assert_is(&buf, BLOCK, 0, 1);
                in_time += 1;
            }
            Err(_) => {
                // Fresh zeroes, or the data if it has ended meanwhile.
                assert!(
                    buf.iter().all(|byte| *byte == 0) || pattern::check(&buf, BLOCK, 0, 1).is_ok()
                );
                late += 1;
            }
        }
    }
    assert!(
        in_time >= 30 && late >= 25,
        "{in_time} in time, {late} late"
    );
    counters.assert_back().await;
    Ok(())
}
