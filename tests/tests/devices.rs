//! Finding, opening and describing devices, and what they report of their medium.
#![allow(missing_docs)]

use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};
use spdk::bdev::{
    self, BdevOpenOpts, DmaDevice, DomainInfo, DomainMemory, MemoryDomain, Pull, Push,
};
use spdk::{Bdev, BdevDesc, BdevEvent, BdevIoType, Errno, ErrorKind, Gone, SpdkApp};
use spdk_tests::wait::spent;
use spdk_tests::{Device, cloned, kind, poll_once, rpc, second, until};

const BLOCK: usize = 512;

/// Fails if it does not wait, or not as long as it is to.
#[spdk::test(
    bdevs(bdev_malloc_create(name = "D", num_blocks = 64, block_size = BLOCK)),
    rpc_addr = &rpc::address(),
)]
async fn open_async() -> spdk::Result<()> {
    let now = Duration::ZERO;
    let desc = BdevDesc::open_async("D", true, now).await?;
    assert_eq!(desc.name(), "D");
    let ch = desc.get_io_channel()?;
    desc.write_zeroes(&ch, 0, 512).await?;

    let missing = BdevDesc::open_async("Later", true, now).await;
    assert!(matches!(kind(&missing), Some(ErrorKind::NoSuchBdev { name }) if name == "Later"));
    let start = Instant::now();
    let patience = Duration::from_millis(300);
    let missing = BdevDesc::open_async("Later", true, patience).await;
    let error = missing.expect_err("it does not appear");
    assert_eq!(error.errno(), Some(Errno::ETIMEDOUT), "{error}");
    assert!(spent(start) >= patience);
    assert!(
        error
            .to_string()
            .starts_with("spdk_bdev_open_async on \"Later\": "),
        "{error}"
    );

    let mut later = Box::pin(BdevDesc::open_async("Later", true, Duration::from_secs(20)));
    let mut dropped = Box::pin(BdevDesc::open_async(
        "Later",
        false,
        Duration::from_secs(20),
    ));
    assert!(poll_once(later.as_mut()).is_pending());
    assert!(poll_once(dropped.as_mut()).is_pending());
    drop(dropped);
    let create = json!({"name": "Later", "num_blocks": 64, "block_size": BLOCK});
    rpc::call("bdev_malloc_create", create).await;
    let later = later.await?;
    let ch = later.get_io_channel()?;
    later.write_zeroes(&ch, 0, 512).await?;
    // It is as good as another one: a removal closes it, and the one that nobody waited for, too.
    let mut events = later.events();
    rpc::call("bdev_malloc_delete", json!({"name": "Later"})).await;
    assert_eq!(events.next().await, Some(BdevEvent::Remove));
    let gone = later.write_zeroes(&ch, 0, 512).await;
    assert!(
        matches!(
            kind(&gone),
            Some(ErrorKind::Gone {
                why: Gone::Removed,
                ..
            })
        ),
        "{gone:?}"
    );
    Ok(())
}

/// Fails if the application's end waits for a device that does not come.
#[spdk::test(no_app, deadline = 30)]
fn open_async_does_not_hold_up_the_end() -> spdk::Result<()> {
    SpdkApp::builder()
        .no_huge(true)
        .no_pci(true)
        .mem_size_mb(512)
        .disable_cpumask_locks(true)
        .block_on(async {
            let hour = Duration::from_secs(3600);
            let mut dropped = Box::pin(BdevDesc::open_async("Never", true, hour));
            let mut forgotten = Box::pin(BdevDesc::open_async("Never", true, hour));
            assert!(poll_once(dropped.as_mut()).is_pending());
            assert!(poll_once(forgotten.as_mut()).is_pending());
            std::mem::forget(forgotten);
            Ok(())
        })
}

/// Fails if a long patience is taken for a short one: the first is 0 ticks of SPDK's clock, in 64 bits.
#[spdk::test(rpc_addr = &rpc::address())]
async fn open_async_is_patient() -> spdk::Result<()> {
    let zero = 1 << (u64::BITS - spdk::ticks_hz()?.trailing_zeros());
    let mut first = Box::pin(BdevDesc::open_async(
        "Later",
        true,
        Duration::from_millis(zero),
    ));
    let mut second = Box::pin(BdevDesc::open_async("Later", true, Duration::MAX));
    assert!(poll_once(first.as_mut()).is_pending());
    assert!(poll_once(second.as_mut()).is_pending());
    let create = json!({"name": "Later", "num_blocks": 64, "block_size": BLOCK});
    rpc::call("bdev_malloc_create", create).await;
    assert_eq!(
        (first.await?.name(), second.await?.name()),
        ("Later", "Later")
    );
    Ok(())
}

/// Fails if options are lost.
#[spdk::test(bdevs(bdev_malloc_create(
    name = "D", num_blocks = 64, block_size = BLOCK, md_size = 8, md_interleave = false,
)))]
async fn open_with_options() -> spdk::Result<()> {
    let desc = BdevDesc::open_ext_v2("D", false, &BdevOpenOpts::new())?;
    assert!(desc.is_md_separate()?);
    let _ = desc.events();
    // Metadata apart from the data cannot be hidden.
    let hidden = BdevDesc::open_ext_v2("D", false, &BdevOpenOpts::new().hide_metadata(true));
    assert_eq!(
        hidden.err().and_then(|error| error.errno()),
        Some(Errno::EINVAL)
    );
    Ok(())
}

/// Fails if a bdev is left out, or shown although one before it is missing.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "A", num_blocks = 64, block_size = BLOCK),
    bdev_malloc_create(name = "B", num_blocks = 64, block_size = BLOCK),
    bdev_malloc_create(name = "C", num_blocks = 64, block_size = BLOCK),
))]
async fn by_name() -> spdk::Result<()> {
    let show = |names: &[&str], stop: &str| {
        let mut seen = Vec::new();
        let result = bdev::for_each_by_name(names, |name| {
            let flow = if name == stop {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            };
            seen.push(name);
            flow
        });
        (result.map_err(|error| error.errno()), seen.join(" "))
    };
    assert_eq!(show(&["C", "A"], ""), (Ok(()), "C A".to_owned()));
    assert_eq!(show(&[], ""), (Ok(()), String::new()));
    assert_eq!(show(&["A", "B", "C"], "B"), (Ok(()), "A B".to_owned()));
    assert_eq!(
        show(&["A", "X", "C"], ""),
        (Err(Some(Errno::ENODEV)), "A".to_owned())
    );
    let nul = bdev::for_each_by_name(&["A", "B\0"], |_| ControlFlow::Continue(()));
    assert!(
        matches!(kind(&nul), Some(ErrorKind::InvalidArgument { .. })),
        "{nul:?}"
    );
    Ok(())
}

/// Fails if a property is another one's.
#[spdk::test(bdevs(
    bdev_malloc_create(
        name = "D", num_blocks = 64, block_size = 4096, physical_block_size = 8192,
        uuid = "11223344-5566-7788-99aa-bbccddeeff00", optimal_io_boundary = 16,
    ),
    bdev_null_create(name = "N", num_blocks = 64, block_size = BLOCK),
))]
async fn properties() -> spdk::Result<()> {
    let bdev = Bdev::find("D")?;
    assert_eq!(bdev.module_name()?, "malloc");
    assert_eq!(Bdev::find("N")?.module_name()?, "null");
    let uuid = [
        0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0,
    ];
    assert_eq!(bdev.uuid()?, uuid);
    // A bdev can be found by its UUID.
    assert_eq!(bdev.aliases()?, ["11223344-5566-7788-99aa-bbccddeeff00"]);
    assert_eq!(
        Bdev::find("11223344-5566-7788-99aa-bbccddeeff00")?.name(),
        "D"
    );
    assert_eq!(
        (bdev.physical_block_size()?, bdev.optimal_io_boundary()?),
        (8192, 16)
    );
    assert_eq!(bdev.numa_id()?, -1);
    assert_eq!(
        (bdev.max_copy()?, bdev.preferred_write_alignment()?),
        (0, 0)
    );
    assert_eq!(
        (
            bdev.preferred_write_granularity()?,
            bdev.optimal_write_size()?
        ),
        (0, 0)
    );
    assert_eq!(
        (
            bdev.preferred_unmap_alignment()?,
            bdev.preferred_unmap_granularity()?
        ),
        (0, 0)
    );

    assert_eq!(BdevIoType::Read.name(), Some("read"));
    assert_eq!(BdevIoType::WriteZeroes.name(), Some("write_zeroes"));
    assert_eq!(BdevIoType::Unknown(1 << 20).name(), None);
    assert_eq!(BdevIoType::by_name("unmap"), Some(BdevIoType::Unmap));
    assert_eq!(BdevIoType::by_name("nothing"), None);

    let other = second::spdk_thread("other").await;
    let elsewhere = other.call(|| Bdev::find("D")?.aliases()).await?;
    assert!(
        matches!(kind(&elsewhere), Some(ErrorKind::WrongThread { .. })),
        "{elsewhere:?}"
    );
    Ok(())
}

/// Fails if a device tells something else than its module, or SPDK's JSON-RPC, does.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "D", num_blocks = 64, block_size = BLOCK),
    bdev_null_create(name = "N", num_blocks = 64, block_size = BLOCK),
    bdev_raid_create(name = "R", raid_level = "raid0", strip_size_kb = 4, base_bdevs = ["N"]),
))]
async fn what_modules_tell() -> spdk::Result<()> {
    for name in ["D", "N", "R"] {
        let told = Bdev::find(name)?.driver_info()?;
        let told: Value = serde_json::from_str(&told).expect("JSON");
        let bdevs: Value = spdk::rpc::call("bdev_get_bdevs", &json!({"name": name})).await?;
        assert_eq!(told, bdevs[0]["driver_specific"], "{name}");
    }
    let raid = Bdev::find("R")?.driver_info()?;
    assert!(raid.contains(r#""base_bdevs_list":[{"name":"N""#), "{raid}");

    // The malloc module works with every domain that there is, the null module with none.
    let domains = Bdev::find("D")?.memory_domains()?;
    let system = |info: &&DomainInfo| info.device == DmaDevice::Dma;
    assert_eq!(domains.iter().filter(system).count(), 1, "{domains:?}");
    assert_eq!(Bdev::find("N")?.memory_domains()?, []);
    struct Nothing;
    impl DomainMemory for Nothing {
        fn pull(&self, _: Pull) {}
        fn push(&self, _: Push) {}
    }
    let mine: Vec<_> = (0..3)
        .map(|n| MemoryDomain::new(&format!("mine{n}"), Nothing))
        .collect::<spdk::Result<_>>()?;
    let more = Bdev::find("D")?.memory_domains()?;
    assert_eq!(more.len(), domains.len() + 3);
    assert!(more.iter().any(|info| info.id.as_deref() == Some("mine1")));
    drop(mine);
    assert_eq!(Bdev::find("D")?.memory_domains()?, domains);

    let other = second::spdk_thread("other").await;
    let elsewhere = other.call(|| {
        let bdev = Bdev::find("D")?;
        let told = bdev.driver_info();
        assert!(matches!(kind(&told), Some(ErrorKind::WrongThread { .. })));
        bdev.memory_domains().map(drop)
    });
    let elsewhere = elsewhere.await?;
    assert!(
        matches!(kind(&elsewhere), Some(ErrorKind::WrongThread { .. })),
        "{elsewhere:?}"
    );
    Ok(())
}

/// Fails if a module is asked elsewhere than on the application's spdk_thread, or its answer is lost.
#[spdk::test(bdevs(bdev_malloc_create(name = "D", num_blocks = 64, block_size = BLOCK)))]
async fn examine() -> spdk::Result<()> {
    // SPDK does it by itself here.
    assert_eq!(
        bdev::examine("D").err().and_then(|error| error.errno()),
        Some(Errno::EINVAL)
    );
    let other = second::spdk_thread("other").await;
    let elsewhere = other.call(|| bdev::examine("D")).await?;
    assert!(
        matches!(kind(&elsewhere), Some(ErrorKind::WrongThread { .. })),
        "{elsewhere:?}"
    );
    Ok(())
}

/// As above, where SPDK does not.
#[spdk::test(bdevs(
    bdev_set_options(bdev_auto_examine = false),
    bdev_malloc_create(name = "D", num_blocks = 64, block_size = BLOCK),
))]
async fn examine_by_hand() -> spdk::Result<()> {
    bdev::examine("D")?;
    bdev::wait_for_examine().await?;
    assert_eq!(
        bdev::examine("D").err().and_then(|error| error.errno()),
        Some(Errno::EEXIST)
    );
    // One that is not there is examined when it appears.
    bdev::examine("later")?;
    let missing = bdev::examine("X\0");
    assert!(
        matches!(kind(&missing), Some(ErrorKind::InvalidArgument { .. })),
        "{missing:?}"
    );
    Ok(())
}

/// Reports parts of the medium as a module does.
#[allow(unsafe_code)]
fn report(bdev: &Bdev, parts: &[(u64, u64)]) {
    let events: Vec<_> = parts
        .iter()
        .map(|(offset, num_blocks)| spdk::sys::spdk_bdev_media_event {
            offset: *offset,
            num_blocks: *num_blocks,
        })
        .collect();
    // SAFETY: the bdev is there, and takes events of its medium.
    unsafe {
        let taken = spdk::sys::spdk_bdev_push_media_events(
            bdev.as_ptr(),
            events.as_ptr(),
            events.len() as _,
        );
        assert_eq!(taken as usize, events.len());
        spdk::sys::spdk_bdev_notify_media_management(bdev.as_ptr());
    }
}

/// Fails if a report is lost, or read when it cannot be.
#[allow(unsafe_code)]
#[spdk::test(bdevs(bdev_malloc_create(name = "D", num_blocks = 4096, block_size = BLOCK)))]
async fn events_of_the_medium() -> spdk::Result<()> {
    let bdev = Bdev::find("D")?;
    // SAFETY: the bdev is there. It says of itself that it reports, which descriptors look at when they are
    // opened; no other spdk_thread is there.
    unsafe { (*bdev.as_ptr()).__bindgen_anon_1.set_media_events(1) };
    let device = Device::open("D")?;
    let mut events = device.desc.events();
    let mut parts = device.desc.media_events();
    let many: Vec<(u64, u64)> = (0..40).map(|number| (number * 10, number + 1)).collect();
    report(&bdev, &many);
    assert_eq!(events.next().await, Some(BdevEvent::MediaManagement));
    for expected in &many {
        let part = parts.next().await.expect("the descriptor is open");
        assert_eq!((part.offset, part.num_blocks), *expected);
    }
    assert!(parts.next().now_or_never().is_none());
    // There is room for as many again.
    report(&bdev, &many);
    until("the second event", || {
        events.next().now_or_never().is_some()
    })
    .await;
    assert_eq!(parts.next().await.map(|part| part.offset), Some(0));
    drop(device);
    let rest: Vec<_> = parts.collect().await;
    assert_eq!(rest.len(), 39);
    Ok(())
}

thread_local! {
    static DEVICE: Cell<Option<Device>> = const { Cell::new(None) };
}

/// Lets the device go in its wake.
struct LetsGo;

impl Wake for LetsGo {
    fn wake(self: Arc<Self>) {
        DEVICE.take();
    }
}

/// Fails if what reports events is used after the descriptor that it belongs to was closed by one of their readers.
#[allow(unsafe_code)]
#[spdk::test(bdevs(bdev_malloc_create(name = "D", num_blocks = 4096, block_size = BLOCK)))]
async fn a_reader_of_the_medium_closes_the_descriptor() -> spdk::Result<()> {
    let bdev = Bdev::find("D")?;
    // SAFETY: as above.
    unsafe { (*bdev.as_ptr()).__bindgen_anon_1.set_media_events(1) };
    let device = Device::open("D")?;
    let mut parts = device.desc.media_events();
    DEVICE.set(Some(device));
    let waker = Waker::from(Arc::new(LetsGo));
    let poll = parts.poll_next_unpin(&mut Context::from_waker(&waker));
    assert!(poll.is_pending());
    report(&bdev, &[(7, 8)]);
    until("the end of the descriptor", || {
        let device = DEVICE.take();
        let is_gone = device.is_none();
        DEVICE.set(device);
        is_gone
    })
    .await;
    assert_eq!(parts.next().await.map(|part| part.offset), Some(7));
    assert!(parts.next().await.is_none());
    Ok(())
}

/// Fails if an event is missed that comes in the clone of a waker.
#[spdk::test(bdevs(bdev_malloc_create(name = "D", num_blocks = 4096, block_size = BLOCK)))]
async fn an_event_comes_in_the_clone_of_a_waker() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let mut events = device.desc.events();
    // The end of the stream is what it has to say.
    let waker = cloned::waker(move || drop(device));
    let poll = events.poll_next_unpin(&mut Context::from_waker(&waker));
    assert_eq!(poll, Poll::Ready(None));
    Ok(())
}
