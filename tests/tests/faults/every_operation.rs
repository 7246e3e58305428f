//! Each operation, and each way in which it can fail: its error says which device, which operation, which
//! part of the device, and why.

use spdk_tests::nvmf::BDEV;
use spdk_tests::nvmf::disk::{Bystanders, attached};

use super::*;

/// Where the operations go, in blocks; a zone begins there.
const AT: u64 = 128;
const BLOCKS: u64 = 4;
const FAILED: &str = "INTERNAL DEVICE ERROR (SCT 0x0 GENERIC, SC 0x06)";
const DIFFERS: &str = "COMPARE FAILURE (SCT 0x2 MEDIA ERROR, SC 0x85)";

/// What each is asked for.
fn usual(operation: &Operation, device: &Device) -> Part {
    operation.part(device, AT, operation.at_most(device, BLOCKS))
}

/// The methods of the generated sources whose futures are operations.
fn generated() -> Vec<&'static str> {
    let sources = [
        include_str!("../../../spdk/src/generated/bdev.rs"),
        include_str!("../../../spdk/src/generated/bdev_zone.rs"),
    ];
    let mut methods = Vec::new();
    for source in sources {
        let mut last = "";
        for line in source.lines() {
            let line = line.trim_start();
            let unsafe_fn = line.strip_prefix("pub unsafe fn ");
            if let Some(rest) = unsafe_fn.or(line.strip_prefix("pub fn ")) {
                last = rest.split(['<', '(']).next().unwrap_or_default();
            }
            if line.contains("-> impl rt::BdevIo<") {
                methods.push(last);
            }
        }
    }
    methods
}

/// Fails if there is an operation that the other tests of this file do not try.
#[test]
fn the_tables_have_every_operation() {
    let known: Vec<&str> = ALL
        .iter()
        .chain(OF_ZONES)
        .map(|operation| operation.method)
        .collect();
    let generated = generated();
    assert!(generated.len() > 35, "{generated:?}");
    for method in generated {
        assert!(known.contains(&method), "no test tries {method}");
    }
}

/// How the error bdev can let an operation fail.
enum Way {
    /// With the `io_type` that the bdev layer makes of it, maybe since the device cannot do it itself.
    Injected(&'static str),
    /// Not at all: the bdev layer refuses it, since no device here can do it.
    Refused,
    /// Not at all: SPDK would crash, so it does not get there.
    Kept,
    /// Not at all: it never gets there.
    Never,
}

fn way(method: &str) -> Way {
    match method {
        // raid0 has neither, so SPDK reads and writes.
        "copy_blocks" | "compare_and_write_blocks" => Way::Injected("read"),
        "write_zeroes" | "write_zeroes_blocks" => Way::Injected("write"),
        "write_uncorrectable_blocks" | "zcopy_start" => Way::Refused,
        "compare_blocks_with_md" | "comparev_blocks_with_md" => Way::Kept,
        // A zone that is reset is unmapped.
        "unmap" | "unmap_blocks" | "zone_management" => Way::Injected("unmap"),
        "flush" | "flush_blocks" => Way::Injected("flush"),
        // SPDK answers for a device that cannot tell, and the device in whose way we are for itself.
        "seek_data" | "seek_hole" | "reset" | "zone_info" => Way::Never,
        nvme if nvme.starts_with("nvme_") => Way::Refused,
        read if read.starts_with("read") || read.starts_with("compare") => Way::Injected("read"),
        _ => Way::Injected("write"),
    }
}

/// Lets the next I/O of this type fail.
async fn inject(error_bdev: &str, io_type: &str, count: u64) -> spdk::Result<()> {
    let params = json!({
        "name": error_bdev, "io_type": io_type, "error_type": "failure", "num": count,
    });
    rpc("bdev_error_inject_error", params).await.map(drop)
}

async fn injected(name: &str, error_bdev: &str, operations: &[Operation]) -> spdk::Result<()> {
    let device = Device::open(name)?;
    for operation in operations {
        let part = usual(operation, &device);
        let run = || within(operation.method, operation.run(&device, part));
        match way(operation.method) {
            Way::Injected(io_type) => {
                inject(error_bdev, io_type, 1).await?;
                let error = told(operation, &device, part, run().await);
                let expected = match operation.method {
                    // SPDK does not tell a read that failed from one of other data.
                    "compare_and_write_blocks" => DIFFERS,
                    _ => FAILED,
                };
                assert_eq!(status(&error), expected, "{}", operation.method);
            }
            Way::Kept => {
                let error = told(operation, &device, part, run().await);
                assert!(
                    matches!(error.kind(), ErrorKind::InvalidArgument { .. }),
                    "{error}"
                );
                continue;
            }
            Way::Refused => {
                let error = told(operation, &device, part, run().await);
                assert_eq!(error.errno(), Some(Errno::ENOTSUP), "{error}");
                continue;
            }
            Way::Never => inject(error_bdev, "all", 1).await?,
        }
        if matches!(way(operation.method), Way::Never) {
            run().await?;
            inject(error_bdev, "clear", 0).await?;
        }
        // The error is used up, and nothing of it is left.
        if let Err(error) = run().await {
            panic!("{} after its error: {error}", operation.method);
        }
    }
    Ok(())
}

/// Fails if an error of the device is lost, is told of another operation, or does not say where.
#[spdk::test(bdevs(
    bdev_malloc_create(
        name = "M", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = false,
    ),
    bdev_raid_create(name = "R", raid_level = "raid0", strip_size_kb = 4, base_bdevs = ["M"]),
    bdev_error_create(base_name = "R"),
    bdev_malloc_create(
        name = "N", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = false,
    ),
    bdev_error_create(base_name = "N"),
    bdev_zone_block_create(
        name = "Z", base_bdev = "EE_N", zone_capacity = AT, optimal_open_zones = 1,
    ),
))]
async fn the_device_fails_it() -> spdk::Result<()> {
    let all = || async {
        injected("EE_R", "EE_R", ALL).await?;
        injected("Z", "EE_N", OF_ZONES).await
    };
    let counters = Counters::settled(all()).await?;
    all().await?;
    counters.assert_back().await;
    Ok(())
}

/// Keeps the other core busy, which has a channel of the device, so that a reset cannot pass it. It goes on
/// when the flag is set.
async fn stand_still(name: &'static str, go: Arc<AtomicBool>) -> spdk::Result<()> {
    let (here, stands) = spdk::completion();
    let task = spawn_local(spawn_on(1, move || async move {
        let device = Device::open(name);
        here.success(());
        let start = std::time::Instant::now();
        while !go.load(SeqCst) && start.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
        device.map(drop)
    }))?;
    within("the other core", stands).await?;
    drop(task);
    Ok(())
}

/// What an operation says during a reset; `None` if it does not reach the device.
fn during_reset(method: &str) -> Option<&'static str> {
    match method {
        "seek_data" | "seek_hole" => None,
        // Made of others, whose own end is told as a failure.
        compare if compare.starts_with("compare") => Some(FAILED),
        _ => Some("ABORTED - BY REQUEST (SCT 0x0 GENERIC, SC 0x07)"),
    }
}

async fn resetting(name: &'static str, operations: &[&Operation]) -> spdk::Result<()> {
    let device = Device::open(name)?;
    let go = Arc::new(AtomicBool::new(false));
    stand_still(name, go.clone()).await?;
    let mut reset = Box::pin(device.desc.reset(&device.ch));
    assert!(poll_once(reset.as_mut()).is_pending());
    // It has begun when it has ended something.
    let mut probe = device.buffer(1)?;
    let begun = async {
        let (desc, ch) = (&device.desc, &device.ch);
        while desc.read_blocks(ch, &mut probe, 0, 1).await.is_ok() {}
    };
    within("the begin of the reset", begun).await;
    for operation in operations {
        let part = usual(operation, &device);
        // A second one waits for the first, and the lock that this needs for the other core.
        if ["reset", "compare_and_write_blocks"].contains(&operation.method) {
            continue;
        }
        let end = within(operation.method, operation.run(&device, part)).await;
        if matches!(way(operation.method), Way::Refused) && operation.method != "zcopy_start" {
            let error = told(operation, &device, part, end);
            assert_eq!(error.errno(), Some(Errno::ENOTSUP), "{error}");
            continue;
        }
        match during_reset(operation.method) {
            None => end?,
            Some(expected) => {
                let error = told(operation, &device, part, end);
                assert_eq!(status(&error), expected, "{}", operation.method);
            }
        }
    }
    assert!(poll_once(reset.as_mut()).is_pending());
    go.store(true, SeqCst);
    within("the reset", reset).await?;
    device.desc.read_blocks(&device.ch, &mut probe, 0, 1).await
}

/// Fails if an operation that a reset ends, or keeps from its begin, is told as a success or waits for ever.
/// This is how those fail that the error bdev cannot let fail.
#[spdk::test(cores = "0x3", bdevs(
    bdev_malloc_create(
        name = "M", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = false,
    ),
    bdev_malloc_create(
        name = "N", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = false,
    ),
    bdev_zone_block_create(
        name = "Z", base_bdev = "N", zone_capacity = AT, optimal_open_zones = 1,
    ),
    bdev_malloc_create(name = "P", num_blocks = 1024, block_size = BLOCK),
))]
async fn the_device_is_being_reset() -> spdk::Result<()> {
    let both = || async {
        resetting("M", &of_malloc("M")).await?;
        resetting("P", &of_malloc("P")).await
    };
    let counters = Counters::settled(both()).await?;
    both().await?;
    counters.assert_back().await;
    Ok(())
}

/// Fails if an operation reaches a device that is gone, or does not say which one it was.
#[spdk::test(bdevs(
    bdev_malloc_create(
        name = "M", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = false,
    ),
    bdev_malloc_create(
        name = "N", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = false,
    ),
    bdev_zone_block_create(
        name = "Z", base_bdev = "N", zone_capacity = AT, optimal_open_zones = 1,
    ),
    bdev_malloc_create(name = "P", num_blocks = 1024, block_size = BLOCK),
))]
async fn the_device_is_gone() -> spdk::Result<()> {
    for (name, method, operations) in [
        ("M", "bdev_malloc_delete", of_malloc("M")),
        ("P", "bdev_malloc_delete", of_malloc("P")),
        ("Z", "bdev_zone_block_delete", OF_ZONES.iter().collect()),
    ] {
        let device = Device::open(name)?;
        rpc(method, json!({"name": name})).await?;
        for operation in operations {
            let part = usual(operation, &device);
            let end = within(operation.method, operation.run(&device, part)).await;
            let error = told(operation, &device, part, end);
            let gone = matches!(
                error.kind(),
                ErrorKind::Gone {
                    why: Gone::Removed,
                    ..
                }
            );
            assert!(gone, "{error:?}");
        }
    }
    Ok(())
}

thread_local! {
    static ELSEWHERE: RefCell<Vec<Device>> = const { RefCell::new(Vec::new()) };
}

/// Fails if an operation is submitted with a channel of another device, or on another spdk_thread.
#[spdk::test(bdevs(
    bdev_malloc_create(
        name = "M", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = false,
    ),
    bdev_malloc_create(
        name = "N", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = false,
    ),
    bdev_malloc_create(name = "P", num_blocks = 1024, block_size = BLOCK),
))]
async fn the_channel_or_the_thread_is_another_one() -> spdk::Result<()> {
    for operation in ALL.iter().chain(OF_ZONES) {
        let (one, other) = (Device::open(malloc_for(operation))?, Device::open("N")?);
        let mixed = Device {
            ch: other.ch,
            ..one
        };
        let part = usual(operation, &mixed);
        let end = within(operation.method, operation.run(&mixed, part)).await;
        let error = told(operation, &mixed, part, end);
        assert!(
            matches!(error.kind(), ErrorKind::WrongChannel { .. }),
            "{error:?}"
        );
    }
    ELSEWHERE.set(vec![Device::open("M")?, Device::open("P")?]);
    let second = second::spdk_thread("second").await;
    // On this OS thread, so that the devices are there.
    let all = second.spawn(|| async {
        let devices = ELSEWHERE.take();
        for operation in ALL.iter().chain(OF_ZONES) {
            let is_its = |device: &&Device| device.desc.name() == malloc_for(operation);
            let device = devices.iter().find(is_its).expect("the device");
            let part = usual(operation, device);
            let end = within(operation.method, operation.run(device, part)).await;
            let error = told(operation, device, part, end);
            assert!(
                matches!(error.kind(), ErrorKind::WrongThread { .. }),
                "{error:?}"
            );
        }
    });
    within("the second spdk_thread", all).await
}

/// Fails if a descriptor for reading changes the device.
#[spdk::test(bdevs(
    bdev_malloc_create(
        name = "M", num_blocks = 1024, block_size = BLOCK, md_size = MD, md_interleave = false,
    ),
    bdev_malloc_create(name = "P", num_blocks = 1024, block_size = BLOCK),
))]
async fn the_descriptor_is_for_reading() -> spdk::Result<()> {
    for operation in ALL.iter().filter(|operation| operation.writes) {
        let bdev = Bdev::find(malloc_for(operation))?;
        let desc = bdev.open(false)?;
        let ch = desc.get_io_channel()?;
        let device = Device { bdev, desc, ch };
        let part = usual(operation, &device);
        let end = within(operation.method, operation.run(&device, part)).await;
        let error = told(operation, &device, part, end);
        assert_eq!(error.errno(), Some(Errno::EBADF), "{error}");
    }
    Ok(())
}

/// Whether an operation gets to an NVMe device over TCP without metadata, and is one that it has.
fn gets_to_the_target(operation: &&Operation) -> bool {
    let method = operation.method;
    let no = [
        "zcopy_start",
        "write_uncorrectable_blocks",
        "seek_data",
        "seek_hole",
        "nvme_nssr",
    ];
    !no.contains(&method) && !method.contains("_md") && !method.ends_with("_ext")
}

/// Fails if an operation on a device whose other side has died hangs, or is told as a success. Of all that is
/// tried here, this is what a reset and the NVMe commands fail with.
#[spdk::test(no_app, deadline = 60)]
fn the_target_has_died() {
    // With a time to connect again in, SPDK 26.01 spins for as long in a reset that comes while it disconnects.
    let options = json!({"ctrlr_loss_timeout_sec": 0});
    attached(options, |target| async move {
        let device = Device::open(BDEV).expect("the target's bdev");
        let run = async |operation: &Operation| {
            let part = usual(operation, &device);
            let end = within(operation.method, operation.run(&device, part)).await;
            (part, end)
        };
        for operation in ALL.iter().filter(gets_to_the_target) {
            // The same opcode asks a controller for a log, and not for such a one.
            match run(operation).await.1 {
                Err(error) if operation.method == "nvme_admin_passthru" => {
                    assert!(status(&error).starts_with("INVALID FIELD"), "{error}");
                }
                end => end.unwrap_or_else(|error| panic!("{error}")),
            }
        }
        target.kill();
        let mut buf = device.buffer(1).expect("DMA memory");
        let failed = async {
            let (desc, ch) = (&device.desc, &device.ch);
            while desc.read_blocks(ch, &mut buf, 0, 1).await.is_ok() {}
        };
        within("the end of the connection", failed).await;
        for operation in ALL.iter().filter(gets_to_the_target) {
            let (part, end) = run(operation).await;
            let error = told(operation, &device, part, end);
            assert_eq!(status(&error), FAILED, "{}", operation.method);
        }
        Bystanders::new()
    });
}
