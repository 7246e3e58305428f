//! FTL, the flash translation layer, on devices as large as it needs: sparse files.
//!
//! SPDK 26.01's FTL keeps its state in files of `/dev/hugepages`, a directory of whatever file system; without one
//! it answers `EPERM`. And it takes 15 s to write zeroes to its cache, 4 GiB of which the file then occupies. So
//! this is not for every run: `cargo test -p spdk-tests --test ftl -- --ignored`.
#![allow(missing_docs)]

use std::fs;
use std::future::Future;
use std::io;
use std::pin::Pin;

use futures_util::future::join_all;
use spdk::config::{Aio, Ftl, FtlLoad, FtlUnload};
use spdk::{Bdev, DmaBuf, Errno, IoQueue, SpdkApp, spawn_on};
use spdk_tests::wait::within;
use spdk_tests::{Device, pattern};

/// The only size of a block that FTL takes.
const BLOCK: usize = 4096;
/// The least that it takes.
const BASE: u64 = 20 << 30;
const CACHE: u64 = 5 << 30;

/// The first blocks of the ranges that are written: at both ends, and between them.
fn places(device: &Device) -> Vec<u64> {
    let blocks = device.bdev.num_blocks();
    (0..32).map(|place| place * (blocks - 16) / 31).collect()
}

async fn write(device: &Device, generation: u64) -> spdk::Result<()> {
    for first in places(device) {
        let mut buf = DmaBuf::alloc(16 * BLOCK, BLOCK)?;
        pattern::fill(&mut buf, BLOCK, first, generation);
        let write = device.desc.write_blocks(&device.ch, &buf, first, 16);
        within("a write", write).await?;
    }
    Ok(())
}

async fn check(device: &Device, generation: u64) -> spdk::Result<()> {
    for first in places(device) {
        let mut buf = DmaBuf::alloc(16 * BLOCK, BLOCK)?;
        let read = device.desc.read_blocks(&device.ch, &mut buf, first, 16);
        within("a read", read).await?;
        pattern::assert_is(&buf, BLOCK, first, generation);
    }
    Ok(())
}

/// Fails if an FTL bdev is not made, does not keep its data, or is not found again when it is loaded.
#[spdk::test(no_app, deadline = 300)]
#[ignore = "needs a directory /dev/hugepages, 15 s and 4 GiB of disk"]
fn a_device_is_made_and_loaded() -> Result<(), Box<dyn std::error::Error>> {
    let place = tempfile::tempdir()?;
    let file = |name: &str, size: u64| {
        let path = place.path().join(name);
        fs::File::create(&path)?.set_len(size)?;
        Ok::<_, io::Error>(path.to_string_lossy().into_owned())
    };
    let (base, cache) = (file("base", BASE)?, file("cache", CACHE)?);
    let app = SpdkApp::builder()
        .no_huge(true)
        .no_pci(true)
        .mem_size_mb(1024)
        .disable_cpumask_locks(true);
    app.block_on(async move {
        for (name, path) in [("base", &base), ("cache", &cache)] {
            // Holes stay holes: FTL writes zeroes to all of its cache first.
            let aio = Aio::new(name, path)
                .block_size(BLOCK as u32)
                .fallocate(true);
            aio.create().await?;
        }
        let ftl = Ftl::new("Ftl0", "base", "cache").l2p_dram_limit(8);
        let made = ftl.create().await?.expect("both devices are there");
        assert_eq!(made.name, "Ftl0");
        {
            let device = Device::open("Ftl0")?;
            assert_eq!(device.block(), BLOCK);
            assert!(device.bdev.num_blocks() * BLOCK as u64 > BASE / 2);
            write(&device, 1).await?;
            check(&device, 1).await?;
            write(&device, 2).await?;
            check(&device, 2).await?;
        }
        within("the shutdown", FtlUnload::new("Ftl0").unload()).await?;
        assert!(Bdev::get_by_name("Ftl0").is_none());
        let load = FtlLoad::new("Ftl1", "base", "cache", &made.uuid);
        let loaded = load.load().await?.expect("both devices are there");
        assert_eq!((loaded.name.as_str(), &loaded.uuid), ("Ftl1", &made.uuid));
        check(&Device::open("Ftl1")?, 2).await?;
        within("the shutdown", Ftl::delete("Ftl1")).await
    })?;
    Ok(())
}

/// Fails if I/O is lost by unmaps that do nothing, on another core than FTL's.
#[spdk::test(no_app, deadline = 300)]
#[ignore = "needs a directory /dev/hugepages, 15 s and 4 GiB of disk"]
fn unmaps_of_another_core() -> Result<(), Box<dyn std::error::Error>> {
    type Io<'a> = Pin<Box<dyn Future<Output = spdk::Result<()>> + 'a>>;
    let place = tempfile::tempdir()?;
    let file = |name: &str, size: u64| {
        let path = place.path().join(name);
        fs::File::create(&path)?.set_len(size)?;
        Ok::<_, io::Error>(path.to_string_lossy().into_owned())
    };
    let (base, cache) = (file("base", BASE)?, file("cache", CACHE)?);
    let app = SpdkApp::builder()
        .no_huge(true)
        .no_pci(true)
        .mem_size_mb(1024)
        .reactor_mask("0x3")
        .disable_cpumask_locks(true);
    app.block_on(async move {
        for (name, path) in [("base", &base), ("cache", &cache)] {
            let aio = Aio::new(name, path)
                .block_size(BLOCK as u32)
                .fallocate(true);
            aio.create().await?;
        }
        let ftl = Ftl::new("Ftl0", "base", "cache").l2p_dram_limit(8);
        ftl.create().await?.expect("both devices are there");
        let other = spawn_on(1, || async move {
            let device = Device::open("Ftl0")?;
            let mut bufs: Vec<_> = (0..32)
                .map(|_| device.buffer(1))
                .collect::<Result<_, _>>()?;
            for _ in 0..500 {
                let reads = bufs.iter_mut().zip(0..).map(|(buf, block)| -> Io<'_> {
                    Box::pin(device.desc.read_blocks(&device.ch, buf, block, 1))
                });
                let unmaps = (0..32).map(|block| -> Io<'_> {
                    let unmap = device.desc.unmap_blocks(&device.ch, block, 3);
                    Box::pin(async move {
                        let errno = unmap.await.err().and_then(|error| error.errno());
                        assert_eq!(errno, Some(Errno::EINVAL));
                        Ok(())
                    })
                });
                let all = join_all(reads.chain(unmaps).collect::<Vec<_>>());
                for end in within("reads and unmaps", all).await {
                    end?;
                }
            }
            let bytes = device.desc.unmap(&device.ch, 4096, 4096).await;
            assert_eq!(
                bytes.err().and_then(|error| error.errno()),
                Some(Errno::EINVAL)
            );
            let mut queue = IoQueue::new(&device.ch)?;
            queue.unmap_blocks(1, 1024, ());
            queue.unmap_blocks(1024, 1024, ());
            let mut good = 0;
            while let Some(done) = queue.next().await {
                good += usize::from(done.result.is_ok());
            }
            assert_eq!(good, 1);
            device.desc.unmap_blocks(&device.ch, 0, 2048).await?;
            let bytes = 1024 * BLOCK as u64;
            device.desc.unmap(&device.ch, bytes, bytes).await
        });
        within("the other core", other).await??;
        within("the shutdown", Ftl::delete("Ftl0")).await
    })?;
    Ok(())
}
