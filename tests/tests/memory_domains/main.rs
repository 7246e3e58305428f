//! I/O with memory that only its owner can reach: addresses that are none, so that a device which uses them
//! ends the process.
//!
//! This fault was put into the crate, and these tests failed: a transfer that is dropped is not ended
//! (`another_thread`).
#![allow(missing_docs)]

mod blobs;

use std::cell::RefCell;
use std::mem;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use spdk::bdev::{BdevExtIoOpts, DomainRange, MemoryDomain};
use spdk::task::yield_now;
use spdk::{Bdev, Errno, ErrorKind, spawn_local, spawn_on};
use spdk_tests::domain::{BASE, DomainBytes, Shared, Way, gathered, ranges, scatter, serve};
use spdk_tests::wait::within;
use spdk_tests::{Counters, Device, forget, kind, pattern, poll_once, until};

const BLOCK: usize = 512;
/// How often two CPUs have a chance to meet.
const ROUNDS: usize = 50_000;

/// Writes from a domain and reads into it, and compares with ordinary memory.
async fn both_ways(name: &str, way: Way) -> spdk::Result<()> {
    const BLOCKS: usize = 64;
    let device = &Device::open(name)?;
    let memory = &DomainBytes::new(BLOCKS * BLOCK, way);
    let domain = &memory.domain()?;
    let opts = &BdevExtIoOpts::new();
    let (ranges, blocks) = (ranges(BLOCKS, BLOCK), BLOCKS as u64);
    let server = spawn_local({
        let memory = memory.clone();
        async move {
            loop {
                let ended = memory.end_one();
                assert!(ended.is_ok(), "{ended:?}");
                yield_now().await;
            }
        }
    })?;
    for generation in 1..=8 {
        let first = generation * 64;
        let mut buf = device.buffer(BLOCKS)?;
        pattern::fill(&mut buf, BLOCK, first, generation);
        scatter(memory, &ranges, &buf);
        let write = device
            .desc
            .writev_blocks_domain(&device.ch, domain, 7, &ranges, first, blocks, opts);
        within("the write", write).await?;
        buf.fill(0);
        device
            .desc
            .read_blocks(&device.ch, &mut buf, first, blocks)
            .await?;
        pattern::assert_is(&buf, BLOCK, first, generation);
        pattern::fill(&mut buf, BLOCK, first, generation + 100);
        device
            .desc
            .write_blocks(&device.ch, &buf, first, blocks)
            .await?;
        memory.bytes.borrow_mut().fill(0);
        let read = device
            .desc
            .readv_blocks_domain(&device.ch, domain, 8, &ranges, first, blocks, opts);
        within("the read", read).await?;
        pattern::assert_is(&gathered(memory, &ranges), BLOCK, first, generation + 100);
    }
    let contexts = mem::take(&mut *memory.contexts.borrow_mut());
    assert!(
        contexts.contains(&7) && contexts.contains(&8),
        "{contexts:?}"
    );
    assert!(
        contexts.iter().all(|context| [7, 8].contains(context)),
        "{contexts:?}"
    );
    server.abort();
    Ok(())
}

/// Fails if bytes do not arrive, or not in their order: on devices that hand the domain down to SPDK's accel
/// framework, and on some for which the bdev layer copies.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc", num_blocks = 1024, block_size = BLOCK),
    bdev_malloc_create(name = "Below", num_blocks = 1024, block_size = BLOCK),
    bdev_passthru_create(name = "Passthru", base_bdev_name = "Below"),
    bdev_malloc_create(name = "Bad", num_blocks = 1024, block_size = BLOCK),
    bdev_error_create(base_name = "Bad"),
    bdev_malloc_create(name = "Raid0", num_blocks = 1024, block_size = BLOCK),
    bdev_malloc_create(name = "Raid1", num_blocks = 1024, block_size = BLOCK),
    bdev_raid_create(
        name = "Raid", raid_level = "raid0", strip_size_kb = 4, base_bdevs = ["Raid0", "Raid1"],
    ),
))]
async fn bytes_arrive() -> spdk::Result<()> {
    for name in ["Malloc", "Passthru", "EE_Bad", "Raid"] {
        for way in [Way::Now, Way::Later] {
            both_ways(name, way).await?;
        }
    }
    Ok(())
}

/// As above, where the bdev layer copies into buffers of its own, for a file.
#[spdk::test]
async fn bytes_of_a_file_arrive() -> spdk::Result<()> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    file.as_file()
        .set_len(1024 * BLOCK as u64)
        .expect("its size");
    let params = serde_json::json!({
        "name": "Aio", "filename": file.path(), "block_size": BLOCK,
    });
    spdk::rpc::call::<String>("bdev_aio_create", &params).await?;
    both_ways("Aio", Way::Now).await?;
    both_ways("Aio", Way::Later).await
}

/// Fails if an I/O succeeds whose domain failed, or hangs if that loses it.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc", num_blocks = 1024, block_size = BLOCK),
    bdev_malloc_create(name = "Bad", num_blocks = 1024, block_size = BLOCK),
    bdev_error_create(base_name = "Bad"),
))]
async fn transfers_fail() -> spdk::Result<()> {
    let opts = &BdevExtIoOpts::new();
    for name in ["Malloc", "EE_Bad"] {
        let Device { desc, ch, .. } = &Device::open(name)?;
        for way in [Way::Fail, Way::Drop] {
            let memory = &DomainBytes::new(8 * BLOCK, way);
            let domain = &memory.domain()?;
            let whole = &[DomainRange {
                address: BASE,
                len: 8 * BLOCK,
            }];
            let write = desc.writev_blocks_domain(ch, domain, 0, whole, 0, 8, opts);
            let error = within("the write", write).await.expect_err("it failed");
            assert!(matches!(error.kind(), ErrorKind::Device { .. }), "{error}");
            let read = desc.readv_blocks_domain(ch, domain, 0, whole, 0, 8, opts);
            let error = within("the read", read).await.expect_err("it failed");
            assert!(
                error.to_string().contains("(8 blocks at block 0)"),
                "{error}"
            );
            assert!(memory.bytes.borrow().iter().all(|byte| *byte == 0));
        }
    }
    Ok(())
}

/// Fails if what an I/O was given is not checked.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 1024, block_size = BLOCK)))]
async fn wrong_ranges_are_refused() -> spdk::Result<()> {
    let Device { desc, ch, bdev } = &Device::open("M")?;
    let memory = DomainBytes::new(8 * BLOCK, Way::Now);
    let domain = &memory.domain()?;
    let opts = &BdevExtIoOpts::new();
    let large = spdk::iobuf::pools()?.large_size as usize / BLOCK + 1;
    let range = |address, len| DomainRange { address, len };
    for (ranges, blocks) in [
        (vec![], 0),
        (vec![], 1),
        (vec![range(BASE, BLOCK)], 2),
        (vec![range(BASE, BLOCK), range(BASE, 1)], 1),
        (vec![range(BASE, BLOCK), range(BASE, 0)], 1),
        (vec![range(0, BLOCK)], 1),
        (vec![range(usize::MAX - 10, BLOCK)], 1),
        (
            vec![
                range(BASE, usize::MAX - BASE),
                range(BASE, usize::MAX - BASE),
            ],
            1,
        ),
        (vec![range(BASE, large * BLOCK)], large as u64),
    ] {
        let write = desc
            .writev_blocks_domain(ch, domain, 0, &ranges, 0, blocks, opts)
            .await;
        let read = desc
            .readv_blocks_domain(ch, domain, 0, &ranges, 0, blocks, opts)
            .await;
        for result in [write, read] {
            assert!(
                matches!(kind(&result), Some(ErrorKind::InvalidArgument { .. })),
                "{ranges:?}: {result:?}"
            );
        }
    }
    let reader = bdev.open(false)?;
    let block = &[range(BASE, BLOCK)];
    let denied = reader
        .writev_blocks_domain(ch, domain, 0, block, 0, 1, opts)
        .await;
    assert_eq!(
        denied.expect_err("it is for reading").errno(),
        Some(Errno::EBADF)
    );
    let beyond = desc
        .readv_blocks_domain(ch, domain, 0, block, 1024, 1, opts)
        .await;
    assert_eq!(
        beyond.expect_err("it ends there").errno(),
        Some(Errno::EINVAL)
    );
    assert!(memory.contexts.borrow().is_empty());
    let nul = MemoryDomain::new("a\0b", Shared(memory));
    assert!(
        matches!(kind(&nul), Some(ErrorKind::InvalidArgument { .. })),
        "{nul:?}"
    );
    Ok(())
}

/// Fails if an abandoned I/O loses its domain, its data or its memory: in any order of the drops, while the
/// domain still has the transfer.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc", num_blocks = 1024, block_size = BLOCK),
    bdev_malloc_create(name = "Bad", num_blocks = 1024, block_size = BLOCK),
    bdev_error_create(base_name = "Bad"),
))]
async fn dropped() -> spdk::Result<()> {
    async fn abandon(name: &str, order: u64, generation: u64) -> spdk::Result<()> {
        let device = Device::open(name)?;
        let memory = DomainBytes::new(16 * BLOCK, Way::Later);
        pattern::fill(
            &mut memory.bytes.borrow_mut()[..8 * BLOCK],
            BLOCK,
            0,
            generation,
        );
        let domain = memory.domain()?;
        let opts = BdevExtIoOpts::new();
        let whole = [DomainRange {
            address: BASE,
            len: 8 * BLOCK,
        }];
        let behind = [DomainRange {
            address: BASE + 8 * BLOCK,
            len: 8 * BLOCK,
        }];
        let Device { desc, ch, bdev } = device;
        let mut write = Box::pin(desc.writev_blocks_domain(&ch, &domain, 0, &whole, 0, 8, &opts));
        assert!(poll_once(write.as_mut()).is_pending());
        until("the pull", || !memory.kept.borrow().is_empty()).await;
        match order {
            0 => {
                drop(write);
                drop(domain);
            }
            1 => {
                drop(write);
                drop((desc, ch, bdev));
                drop(domain);
            }
            _ => {
                drop(write);
                let mut read =
                    Box::pin(desc.readv_blocks_domain(&ch, &domain, 0, &behind, 0, 8, &opts));
                assert!(poll_once(read.as_mut()).is_pending());
                until("the push", || memory.kept.borrow().len() == 2).await;
                drop(read);
                drop(domain);
                // The write first: the read has read before.
                while memory.end_one()? {}
                return Ok(());
            }
        }
        assert!(memory.end_one()?);
        let reader = Device::open(name)?;
        let mut buf = reader.buffer(8)?;
        let is_there = async {
            loop {
                reader.desc.read_blocks(&reader.ch, &mut buf, 0, 8).await?;
                if pattern::check(&buf, BLOCK, 0, generation).is_ok() {
                    return Ok::<_, spdk::Error>(());
                }
            }
        };
        within("the abandoned write", is_there).await?;
        until("the domain to go", || Rc::strong_count(&memory) == 1).await;
        Ok(())
    }
    for name in ["Malloc", "EE_Bad"] {
        let counters = Counters::settled(abandon(name, 2, 1)).await?;
        for round in 0..24 {
            abandon(name, round % 3, round + 2).await?;
        }
        counters.assert_back().await;
    }
    Ok(())
}

/// Fails if the end of the application hangs, or reaches what is gone: with transfers that were kept,
/// forgotten, and are begun at the end.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc", num_blocks = 1024, block_size = BLOCK),
    bdev_malloc_create(name = "Bad", num_blocks = 1024, block_size = BLOCK),
    bdev_error_create(base_name = "Bad"),
))]
async fn the_application_ends() -> spdk::Result<()> {
    let opts = BdevExtIoOpts::new();
    let whole = [DomainRange {
        address: BASE,
        len: 8 * BLOCK,
    }];
    for name in ["Malloc", "EE_Bad"] {
        for way in [Way::Later, Way::Forget] {
            let Device { desc, ch, .. } = Device::open(name)?;
            let memory = DomainBytes::new(8 * BLOCK, way);
            let domain = memory.domain()?;
            let mut write = pin!(desc.writev_blocks_domain(&ch, &domain, 0, &whole, 0, 8, &opts));
            assert!(poll_once(write.as_mut()).is_pending());
            until("the pull", || !memory.contexts.borrow().is_empty()).await;
            // The memory has the transfer, and nobody the memory.
            forget(memory);
        }
    }
    Ok(())
}

/// Fails if a domain, or data on its way, is used on another spdk_thread than its own.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 1024, block_size = BLOCK)))]
async fn another_thread() -> spdk::Result<()> {
    // Both spdk_threads are of one OS thread, which has the domain and the transfer in a variable of its own.
    thread_local! {
        static MEMORY: RefCell<Option<(Rc<DomainBytes>, MemoryDomain)>> = const { RefCell::new(None) };
    }
    let other = spdk::ThreadHandle::on_core("other", spdk::SpdkApp::cores()?[0]).await?;
    let Device { desc, ch, .. } = &Device::open("M")?;
    let opts = &BdevExtIoOpts::new();
    let whole = &[DomainRange {
        address: BASE,
        len: 8 * BLOCK,
    }];
    let memory = DomainBytes::new(8 * BLOCK, Way::Later);
    let domain = memory.domain()?;
    let mut write = pin!(desc.writev_blocks_domain(ch, &domain, 0, whole, 0, 8, opts));
    assert!(poll_once(write.as_mut()).is_pending());
    until("the pull", || !memory.kept.borrow().is_empty()).await;
    let of_other = memory.domain()?;
    MEMORY.with(|place| *place.borrow_mut() = Some((memory.clone(), of_other)));
    let refused = other.spawn(move || async move {
        let (memory, domain) = MEMORY
            .with(|place| place.borrow_mut().take())
            .expect("it is there");
        let Device { desc, ch, .. } = &Device::open("M")?;
        let (opts, whole) = (
            BdevExtIoOpts::new(),
            [DomainRange {
                address: BASE,
                len: BLOCK,
            }],
        );
        let read = desc
            .readv_blocks_domain(ch, &domain, 0, &whole, 0, 1, &opts)
            .await;
        // It ends the transfer, which goes home and fails.
        let ended = memory.end_one();
        Ok::<_, spdk::Error>((read, ended.map(drop)))
    });
    let (read, ended) = within("the other spdk_thread", refused).await??;
    for result in [read, ended] {
        assert!(
            matches!(kind(&result), Some(ErrorKind::WrongThread { .. })),
            "{result:?}"
        );
    }
    let failed = within("the write", write).await;
    assert!(
        matches!(kind(&failed), Some(ErrorKind::Device { .. })),
        "{failed:?}"
    );
    other.exit().await
}

/// Fails, by a signal, if a domain of another CPU goes while SPDK has it in its hands: a malloc bdev walks along the list of all.
#[spdk::test(
    cores = "0x3",
    bdevs(bdev_malloc_create(name = "M", num_blocks = 1024, block_size = BLOCK)),
)]
async fn domains_go_while_they_are_told() -> spdk::Result<()> {
    let round = Arc::new(AtomicUsize::new(0));
    let at = round.clone();
    let other = spawn_local(spawn_on(1, move || async move {
        let memory = &DomainBytes::new(BLOCK, Way::Now);
        let mut last = 0;
        // Some for each round, so that there are never many more than these.
        while last < ROUNDS {
            let now = at.load(SeqCst);
            if now != last {
                last = now;
                let domains: Vec<_> = (0..64).map(|_| memory.domain()).collect::<Result<_, _>>()?;
                drop(domains);
            }
            yield_now().await;
        }
        Ok::<_, spdk::Error>(())
    }))?;
    let bdev = Bdev::find("M")?;
    for number in 1..=ROUNDS {
        round.store(number, SeqCst);
        let domains = bdev.memory_domains()?;
        assert!(!domains.is_empty());
        yield_now().await;
    }
    within("the other core", other).await??
}
