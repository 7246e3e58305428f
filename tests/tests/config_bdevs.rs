//! Every kind of bdev made by its struct, used, and deleted; and what each option does.
//!
//! Data goes through each bdev and comes back; where a bdev is upon another one, it is looked for there.
//! The options are read back from SPDK's own description of the bdev.
#![allow(missing_docs)]

use std::os::unix::fs::FileExt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use spdk::config::{
    Aio, AioRescan, ClearMethod, Config, Delay, DelayLatency, ErrorBdev, Ftl, FtlLoad, FtlUnload,
    InjectError, InjectInto, InjectedError, Latency, Lvol, LvolClone, LvolCloneBdev, LvolDecouple,
    LvolInflate, LvolParentBdev, LvolReadOnly, LvolRename, LvolResize, LvolSnapshot, LvolStore,
    LvolStoreRename, Malloc, Null, NullResize, NvmeController, NvmeDetach, NvmeReset, Passthru,
    QosLimit, Raid, RaidAddBase, RaidLevel, RaidRemoveBase, Split, Uring, UringRescan, ZoneBlock,
};
use spdk::{Bdev, DmaBuf, Errno, ErrorKind, rpc};
use spdk_tests::nvmf::{BDEV, Target};
use spdk_tests::wait::spent;
use spdk_tests::{Device, kind, pattern, until};

const BLOCK: usize = 512;
const UUID: &str = "c2b9f0d1-6a0e-4d4b-8a3a-7f5b3f2b9e10";

/// Writes blocks from `first` on and reads them back.
async fn works(name: &str, first: u64, blocks: usize) -> spdk::Result<()> {
    write(name, first, blocks, 1).await?;
    holds(name, first, first, blocks, 1).await
}

async fn write(name: &str, first: u64, blocks: usize, generation: u64) -> spdk::Result<()> {
    let Device { bdev, desc, ch } = Device::open(name)?;
    let block = bdev.block_size() as usize;
    let mut buf = DmaBuf::alloc(blocks * block, 4096)?;
    pattern::fill(&mut buf, block, first, generation);
    desc.write(&ch, &buf, first * block as u64).await
}

/// Whether the blocks from `at` on have what was written as those from `first` on.
async fn holds(
    name: &str,
    at: u64,
    first: u64,
    blocks: usize,
    generation: u64,
) -> spdk::Result<()> {
    // A bdev that others are built upon can be read only.
    let bdev = Bdev::find(name)?;
    let desc = bdev.open(false)?;
    let ch = desc.get_io_channel()?;
    let block = bdev.block_size() as usize;
    let mut buf = DmaBuf::alloc(blocks * block, 4096)?;
    desc.read(&ch, &mut buf, at * block as u64).await?;
    pattern::assert_is(&buf, block, first, generation);
    Ok(())
}

/// SPDK's description of a bdev.
async fn described(name: &str) -> Value {
    let params = json!({"name": name});
    let mut list: Vec<Value> = rpc::call("bdev_get_bdevs", &params)
        .await
        .expect("the bdev");
    list.remove(0)
}

fn exists(name: &str) -> bool {
    Bdev::get_by_name(name).is_some()
}

/// The errno of a method that must fail.
fn errno<T: std::fmt::Debug>(result: spdk::Result<T>) -> Option<Errno> {
    match result {
        Err(error) => error.errno(),
        Ok(value) => panic!("it succeeded: {value:?}"),
    }
}

/// Fails if an option of a malloc bdev is not what SPDK makes it with, or if it is not deleted.
#[spdk::test]
async fn malloc() -> spdk::Result<()> {
    assert_eq!(Malloc::new("Plain", 512, 1024).create().await?, "Plain");
    works("Plain", 8, 8).await?;
    let name = Malloc::new("Malloc0", 512, 2048)
        .uuid(UUID)
        .physical_block_size(4096)
        .optimal_io_boundary(16)
        .md_size(16)
        .md_interleave(true)
        .dif_type(1)
        .dif_is_head_of_md(true)
        .dif_pi_format(0)
        .numa_id(-1)
        .create()
        .await?;
    let told = described(&name).await;
    let expected = [
        ("name", json!("Malloc0")),
        ("uuid", json!(UUID)),
        ("num_blocks", json!(2048)),
        ("block_size", json!(528)),
        ("md_size", json!(16)),
        ("md_interleave", json!(true)),
        ("dif_type", json!(1)),
        ("dif_is_head_of_md", json!(true)),
        ("dif_pi_format", json!(0)),
    ];
    for (key, value) in expected {
        assert_eq!(told[key], value, "{key} of {told:#}");
    }
    // What is not told of the bdev is in the configuration.
    let config = Config::running().await?;
    let mut calls = config.calls();
    let params =
        calls.find_map(|(_, _, params)| (params.get("name")? == "Malloc0").then_some(params));
    let params = params.expect("the bdev is in the configuration");
    assert_eq!(params["physical_block_size"], 4096, "{params:?}");
    assert_eq!(params["optimal_io_boundary"], 16, "{params:?}");
    let apart = Malloc::new("Apart", 512, 2048)
        .md_size(8)
        .md_interleave(false);
    let told = described(&apart.create().await?).await;
    assert_eq!(
        (&told["block_size"], &told["md_interleave"]),
        (&json!(512), &json!(false))
    );

    assert_eq!(
        errno(Malloc::new("Plain", 512, 64).create().await),
        Some(Errno::EEXIST)
    );
    for name in ["Plain", "Malloc0", "Apart"] {
        Malloc::delete(name).await?;
        assert!(!exists(name), "{name}");
        assert_eq!(errno(Malloc::delete(name).await), Some(Errno::ENODEV));
    }
    Ok(())
}

/// Fails if an option of a null bdev is not what SPDK makes it with.
#[spdk::test]
async fn null() -> spdk::Result<()> {
    let name = Null::new("Null0", 512, 4096)
        .uuid(UUID)
        .physical_block_size(4096)
        .md_size(8)
        .dif_type(2)
        .dif_is_head_of_md(true)
        .dif_pi_format(0)
        .preferred_write_alignment(4)
        .preferred_write_granularity(8)
        .optimal_write_size(16)
        .preferred_unmap_alignment(32)
        .preferred_unmap_granularity(64)
        .create()
        .await?;
    let told = described(&name).await;
    let expected = [
        ("uuid", json!(UUID)),
        ("num_blocks", json!(4096)),
        ("md_size", json!(8)),
        ("dif_type", json!(2)),
        ("dif_is_head_of_md", json!(true)),
        ("preferred_write_alignment", json!(4)),
        ("preferred_write_granularity", json!(8)),
        ("optimal_write_size", json!(16)),
        ("preferred_unmap_alignment", json!(32)),
        ("preferred_unmap_granularity", json!(64)),
    ];
    for (key, value) in expected {
        assert_eq!(told[key], value, "{key} of {told:#}");
    }
    Null::delete(&name).await?;
    assert!(!exists(&name));

    let name = Null::new("Null1", 512, 4096).create().await?;
    let bdev = Bdev::find(&name)?;
    NullResize::new(&name, 4).resize().await?;
    assert_eq!(bdev.num_blocks(), 8192);
    Ok(())
}

/// Fails if the data of a bdev upon a file is not in the file, or if an option has no effect.
#[spdk::test]
async fn files() -> spdk::Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("disk");
    let file = std::fs::File::options()
        .create_new(true)
        .read(true)
        .write(true)
        .open(&path);
    let file = file.expect("the file");
    file.set_len(1 << 20).expect("the file grows");
    let path = path.to_str().expect("a path in UTF-8");

    let name = Aio::new("Aio0", path)
        .block_size(512)
        .uuid(UUID)
        .fallocate(true)
        .create()
        .await?;
    works(&name, 8, 8).await?;
    let mut bytes = vec![0; 8 * BLOCK];
    file.read_exact_at(&mut bytes, 8 * BLOCK as u64)
        .expect("the file is read");
    pattern::assert_is(&bytes, BLOCK, 8, 1);
    let told = described(&name).await;
    assert_eq!(told["uuid"], UUID);
    assert_eq!(told["supported_io_types"]["unmap"], true, "{told:#}");
    let bdev = Bdev::find(&name)?;
    file.set_len(2 << 20).expect("the file grows");
    AioRescan::new(&name).rescan().await?;
    assert_eq!(bdev.num_blocks(), 4096);
    drop(bdev);
    Aio::delete(&name).await?;
    assert!(!exists(&name));

    let name = Aio::new("Aio1", path)
        .block_size(4096)
        .readonly(true)
        .create()
        .await?;
    holds_first(&name).await?;
    assert!(
        write(&name, 0, 1, 9).await.is_err(),
        "a read-only bdev was written"
    );
    Aio::delete(&name).await?;
    // A file takes no RWF_NOWAIT.
    assert!(
        Aio::new("Aio2", path)
            .block_size(512)
            .nowait(true)
            .create()
            .await
            .is_err()
    );
    assert!(
        Aio::new("Aio2", "/no/such/file")
            .block_size(512)
            .create()
            .await
            .is_err()
    );

    let name = Uring::new("Uring0", path)
        .block_size(512)
        .uuid(UUID)
        .create()
        .await?;
    assert_eq!(described(&name).await["uuid"], UUID);
    works(&name, 16, 8).await?;
    file.read_exact_at(&mut bytes, 16 * BLOCK as u64)
        .expect("the file is read");
    pattern::assert_is(&bytes, BLOCK, 16, 1);
    let bdev = Bdev::find(&name)?;
    file.set_len(3 << 20).expect("the file grows");
    UringRescan::new(&name).rescan().await?;
    assert_eq!(bdev.num_blocks(), 6144);
    drop(bdev);
    Uring::delete(&name).await?;
    assert!(!exists(&name));
    Ok(())
}

/// The pattern is in blocks of 512 bytes, from the second block of 4096 bytes on.
async fn holds_first(name: &str) -> spdk::Result<()> {
    let Device { desc, ch, .. } = Device::open(name)?;
    let mut buf = DmaBuf::alloc(4096, 4096)?;
    desc.read(&ch, &mut buf, 4096).await?;
    pattern::assert_is(&buf, BLOCK, 8, 1);
    Ok(())
}

/// Fails if an injected error does not show, or another operation fails than the one named.
#[spdk::test]
async fn errors() -> spdk::Result<()> {
    Malloc::new("Malloc0", 512, 1024).create().await?;
    let name = ErrorBdev::new("Malloc0").uuid(UUID).create().await?;
    assert_eq!(name, "EE_Malloc0");
    // The documentation of `uuid` says so; when SPDK is mended, it is to be changed.
    assert_ne!(described(&name).await["uuid"], UUID);
    works(&name, 0, 8).await?;
    InjectError::new(&name, InjectInto::Read, InjectedError::Failure)
        .num(2)
        .inject()
        .await?;
    {
        let Device { desc, ch, .. } = Device::open(&name)?;
        let mut buf = DmaBuf::alloc(BLOCK, 4096)?;
        desc.write(&ch, &buf, 0).await?;
        for _ in 0..2 {
            let failed = desc.read(&ch, &mut buf, 0).await;
            assert!(
                matches!(kind(&failed), Some(ErrorKind::Device { .. })),
                "{failed:?}"
            );
        }
        desc.read(&ch, &mut buf, 0).await?;
        buf.fill(0);
        desc.write(&ch, &buf, 0).await?;
        let corrupt = InjectError::new(&name, InjectInto::Read, InjectedError::CorruptData);
        corrupt
            .num(1)
            .corrupt_offset(7)
            .corrupt_value(0x5a)
            .inject()
            .await?;
        desc.read(&ch, &mut buf, 0).await?;
        let changed: Vec<_> = buf
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte != 0)
            .collect();
        assert_eq!(changed, [(7, &0x5a)]);
        // Only beyond a queue depth that is not reached here.
        let deep = InjectError::new(&name, InjectInto::All, InjectedError::Failure);
        deep.num(9).queue_depth(100).inject().await?;
        desc.read(&ch, &mut buf, 0).await?;
        InjectError::new(&name, InjectInto::Clear, InjectedError::Failure)
            .inject()
            .await?;
    }
    ErrorBdev::delete(&name).await?;
    assert!(!exists(&name) && exists("Malloc0"));
    Ok(())
}

/// Fails if a latency is another one's, or is not changed.
#[spdk::test]
async fn delays() -> spdk::Result<()> {
    Malloc::new("Malloc0", 512, 1024).create().await?;
    let name = Delay::new("Delay0", "Malloc0")
        .uuid(UUID)
        .avg_read_latency(30_000)
        .p99_read_latency(30_000)
        .avg_write_latency(0)
        .p99_write_latency(0)
        .create()
        .await?;
    assert_eq!(described(&name).await["uuid"], UUID);
    {
        let Device { desc, ch, .. } = Device::open(&name)?;
        let mut buf = DmaBuf::alloc(BLOCK, 4096)?;
        let start = Instant::now();
        desc.read(&ch, &mut buf, 0).await?;
        assert!(spent(start) >= Duration::from_millis(30));
        for latency in [Latency::AvgRead, Latency::P99Read] {
            DelayLatency::new(&name, latency, 0).update().await?;
        }
        for latency in [Latency::AvgWrite, Latency::P99Write] {
            DelayLatency::new(&name, latency, 40_000).update().await?;
        }
        let start = Instant::now();
        desc.write(&ch, &buf, 0).await?;
        assert!(spent(start) >= Duration::from_millis(40));
    }
    let driver = described(&name).await["driver_specific"]["delay"].clone();
    assert_eq!(driver["avg_read_latency"], 0, "{driver:#}");
    // SPDK keeps it in ticks, and divides by whole ticks of a microsecond.
    let latency = driver["p99_write_latency"].as_u64();
    assert!(
        latency.is_some_and(|us| us.abs_diff(40_000) < 100),
        "{driver:#}"
    );
    Delay::delete(&name).await?;
    assert!(!exists(&name));
    Ok(())
}

/// Fails if data does not go where the layer puts it.
#[spdk::test]
async fn layers() -> spdk::Result<()> {
    Malloc::new("Base", 512, 8192).create().await?;
    let name = Passthru::new("Pass0", "Base").uuid(UUID).create().await?;
    assert_eq!(described(&name).await["uuid"], UUID);
    works(&name, 24, 8).await?;
    holds("Base", 24, 24, 8, 1).await?;
    Passthru::delete(&name).await?;
    assert!(!exists(&name));

    let parts = Split::new("Base", 3).split_size_mb(1).create().await?;
    assert_eq!(parts, ["Basep0", "Basep1", "Basep2"]);
    assert_eq!(Bdev::find("Basep2")?.num_blocks(), 2048);
    works("Basep1", 8, 8).await?;
    holds("Base", 2048 + 8, 8, 8, 1).await?;
    Split::delete("Base").await?;
    assert!(!exists("Basep0"));
    assert_eq!(Split::new("Base", 2).create().await?.len(), 2);
    assert_eq!(Bdev::find("Basep1")?.num_blocks(), 4096);
    Split::delete("Base").await?;

    let name = ZoneBlock::new("Zone0", "Base", 1024, 2).create().await?;
    let told = described(&name).await;
    assert_eq!(
        (&told["zoned"], &told["optimal_open_zones"]),
        (&json!(true), &json!(2)),
        "{told:#}"
    );
    // Its zones are full at first: they can be read, and are written again after a reset.
    holds(&name, 2048 + 8, 8, 8, 1).await?;
    assert!(
        write(&name, 0, 8, 9).await.is_err(),
        "a full zone was written"
    );
    ZoneBlock::delete(&name).await?;
    assert!(!exists(&name));
    Ok(())
}

/// Fails if the parts of a raid are used otherwise than its level says.
#[spdk::test(deadline = 60)]
async fn raids() -> spdk::Result<()> {
    let names = ["A", "B", "C"];
    for name in names {
        Malloc::new(name, 512, 8192).create().await?;
    }
    let raid = Raid::new("Raid0", RaidLevel::Raid0, ["A", "B"])
        .strip_size_kb(4)
        .uuid(UUID);
    let name = raid.create().await?;
    assert_eq!(described(&name).await["uuid"], UUID);
    works(&name, 0, 16).await?;
    holds("A", 0, 0, 8, 1).await?;
    holds("B", 0, 8, 8, 1).await?;
    Raid::delete(&name).await?;
    assert!(!exists(&name));

    let name = Raid::new("Raid2", RaidLevel::Concat, names)
        .strip_size_kb(4)
        .create()
        .await?;
    assert_eq!(Bdev::find(&name)?.num_blocks(), 3 * 8192);
    works(&name, 8192, 8).await?;
    holds("B", 0, 8192, 8, 1).await?;
    Raid::delete(&name).await?;

    let name = Raid::new("Raid1", RaidLevel::Raid1, ["A", "B"])
        .superblock(true)
        .create()
        .await?;
    works(&name, 0, 8).await?;
    let told = described(&name).await;
    assert_eq!(
        told["driver_specific"]["raid"]["superblock"], true,
        "{told:#}"
    );
    RaidRemoveBase::new("B").remove().await?;
    write(&name, 0, 8, 2).await?;
    RaidAddBase::new(&name, "C").add().await?;
    let mut operational = 1;
    let deadline = Instant::now() + Duration::from_secs(20);
    while operational < 2 {
        assert!(Instant::now() < deadline, "the raid is not rebuilt");
        let told = described(&name).await;
        let count = &told["driver_specific"]["raid"]["num_base_bdevs_operational"];
        let process = &told["driver_specific"]["raid"]["process"];
        if process.is_null() {
            operational = count.as_u64().unwrap_or(0);
        }
    }
    RaidRemoveBase::new("A").remove().await?;
    holds(&name, 0, 0, 8, 2).await?;
    Raid::delete(&name).await?;
    assert!(!exists(&name));
    assert!(
        Raid::new("R", RaidLevel::Raid5f, names)
            .create()
            .await
            .is_err()
    );
    Ok(())
}

/// Fails if a logical volume is not what was asked for, or if a snapshot changes.
#[spdk::test(deadline = 60)]
async fn logical_volumes() -> spdk::Result<()> {
    Malloc::new("Malloc0", 512, 64 * 2048).create().await?;
    Malloc::new("Esnap", 512, 8 * 2048).create().await?;
    write("Esnap", 0, 8, 7).await?;
    let store = LvolStore::new("Malloc0", "store")
        .cluster_sz(1 << 20)
        .clear_method(ClearMethod::WriteZeroes)
        .num_md_pages_per_cluster_ratio(200)
        .create()
        .await?;
    let told: Vec<Value> = rpc::call("bdev_lvol_get_lvstores", &json!({"uuid": store})).await?;
    assert_eq!(
        (&told[0]["name"], &told[0]["cluster_size"]),
        (&json!("store"), &json!(1 << 20))
    );

    let uuid = Lvol::new("thick", 8).lvs_name("store").create().await?;
    assert_eq!(Bdev::find("store/thick")?.name(), uuid);
    works("store/thick", 0, 8).await?;
    let thin = Lvol::new("thin", 64).uuid(&store).thin_provision(true);
    let thin = thin.clear_method(ClearMethod::Unmap).create().await?;
    let told = described(&thin).await;
    assert_eq!(
        told["driver_specific"]["lvol"]["thin_provision"], true,
        "{told:#}"
    );

    let snapshot = LvolSnapshot::new("store/thick", "snap").create().await?;
    write("store/thick", 0, 8, 2).await?;
    holds(&snapshot, 0, 0, 8, 1).await?;
    let clone = LvolClone::new("store/snap", "clone").create().await?;
    holds(&clone, 0, 0, 8, 1).await?;
    write(&clone, 0, 8, 3).await?;
    holds("store/thick", 0, 0, 8, 2).await?;
    LvolInflate::new(&clone).inflate().await?;
    LvolDecouple::new("store/thick").decouple().await?;

    LvolResize::new("store/thick", 16).resize().await?;
    assert_eq!(Bdev::find("store/thick")?.num_blocks(), 16 * 2048);
    LvolRename::new("store/thick", "other").rename().await?;
    LvolReadOnly::new("store/other").set().await?;
    let refused = write("store/other", 0, 8, 4).await;
    assert!(refused.is_err(), "a read-only volume was written");
    LvolStoreRename::new("store", "shop").rename().await?;
    holds("shop/other", 0, 0, 8, 2).await?;

    let esnap = LvolCloneBdev::new("Esnap", "shop", "esnap")
        .create()
        .await?;
    holds(&esnap, 0, 0, 8, 7).await?;
    LvolParentBdev::new(&thin, "Esnap")
        .set()
        .await
        .map_err(|_| ())
        .unwrap_or_default();

    for name in ["shop/esnap", "shop/clone", "shop/thin", "shop/other"] {
        Lvol::delete(name).await?;
        assert!(!exists(name), "{name}");
    }
    Lvol::delete("shop/snap").await?;
    LvolStore::delete("shop").await?;
    assert_eq!(errno(LvolStore::delete("shop").await), Some(Errno::ENODEV));
    works("Malloc0", 0, 8).await
}

/// Fails if an FTL method is not understood. Devices as large as it needs are in `ftl.rs`.
#[spdk::test]
async fn ftl() -> spdk::Result<()> {
    let ftl = Ftl::new("Ftl0", "base", "cache")
        .overprovisioning(20)
        .l2p_dram_limit(64);
    assert_eq!(
        ftl.core_mask("0x1").fast_shutdown(true).create().await?,
        None
    );
    let load = FtlLoad::new("Ftl1", "base", "cache", UUID).load().await;
    assert_eq!(load?, None);
    assert!(FtlUnload::new("Ftl2").unload().await.is_err());
    assert!(Ftl::delete("Ftl2").await.is_err());
    Ok(())
}

/// The target's address, from the configuration that attaches to it.
fn controller(target: &Target) -> NvmeController {
    let config = Config::from_str(&target.attach(json!({}))).expect("a configuration");
    let (_, _, params) = config.calls().next().expect("one call");
    let text = |name: &str| params[name].as_str().expect("a text").to_owned();
    let port = text("trsvcid").parse().expect("a port");
    let address = (
        text("traddr")
            .parse::<std::net::IpAddr>()
            .expect("an address"),
        port,
    );
    NvmeController::tcp("Nvme0", address.into(), text("subnqn"))
}

/// Fails if a controller is attached otherwise than asked, if its bdevs do not do I/O, or if they stay
/// after the detach.
#[spdk::test(deadline = 60)]
async fn nvme_over_tcp() -> spdk::Result<()> {
    let target = Target::start();
    let controller = controller(&target)
        .hostnqn("nqn.2014-08.org.nvmexpress:uuid:c2b9f0d1-6a0e-4d4b-8a3a-7f5b3f2b9e10")
        .hdgst(true)
        .ddgst(true)
        .num_io_queues(2)
        .ctrlr_loss_timeout_sec(30)
        .reconnect_delay_sec(2)
        .fast_io_fail_timeout_sec(10)
        .fabrics_connect_timeout_us(5_000_000)
        .max_bdevs(8);
    let names = controller.attach().await?;
    assert_eq!(names, ["Nvme0n1", "Nvme0n2"]);
    works(BDEV, 8, 8).await?;
    let told = described(BDEV).await;
    let nvme = &told["driver_specific"]["nvme"][0];
    assert_eq!(nvme["trid"]["trtype"], "TCP", "{told:#}");
    let config = Config::running().await?;
    let (_, _, params) = config
        .calls()
        .find(|(_, method, _)| *method == "bdev_nvme_attach_controller")
        .expect("the controller is in the configuration");
    let expected = [
        ("hdgst", json!(true)),
        ("ddgst", json!(true)),
        ("ctrlr_loss_timeout_sec", json!(30)),
        ("reconnect_delay_sec", json!(2)),
        ("fast_io_fail_timeout_sec", json!(10)),
        (
            "hostnqn",
            json!("nqn.2014-08.org.nvmexpress:uuid:c2b9f0d1-6a0e-4d4b-8a3a-7f5b3f2b9e10"),
        ),
    ];
    for (key, value) in expected {
        assert_eq!(params[key], value, "{key} of {params:?}");
    }
    NvmeReset::new("Nvme0").reset().await?;
    holds(BDEV, 8, 8, 8, 1).await?;

    assert!(controller.attach().await.is_err(), "the same path twice");
    let other = NvmeDetach::new("Nvme0").traddr("127.0.0.2");
    assert!(other.detach().await.is_err(), "a path that is not there");
    NvmeController::detach("Nvme0").await?;
    until("the bdevs of the controller are gone", || !exists(BDEV)).await;
    assert_eq!(
        errno(NvmeController::detach("Nvme0").await),
        Some(Errno::ENODEV)
    );
    Ok(())
}

/// Fails if a limit of a bdev does not hold.
#[spdk::test]
async fn limits() -> spdk::Result<()> {
    Malloc::new("Malloc0", 512, 8192).create().await?;
    let device = Device::open("Malloc0")?;
    QosLimit::new("Malloc0")
        .rw_ios_per_sec(2000)
        .w_mbytes_per_sec(100)
        .set()
        .await?;
    let limits = described("Malloc0").await["assigned_rate_limits"].clone();
    assert_eq!(
        (&limits["rw_ios_per_sec"], &limits["w_mbytes_per_sec"]),
        (&json!(2000), &json!(100))
    );
    let start = Instant::now();
    let mut buf = device.buffer(1)?;
    for _ in 0..300 {
        device.desc.read(&device.ch, &mut buf, 0).await?;
    }
    assert!(
        spent(start) >= Duration::from_millis(100),
        "{:?}",
        start.elapsed()
    );
    QosLimit::new("Malloc0")
        .rw_ios_per_sec(0)
        .w_mbytes_per_sec(0)
        .set()
        .await
}

/// Fails if the future of a creation must stay for the bdev to come, or belongs to a thread.
#[spdk::test(cores = "0x3")]
async fn creation_needs_no_future() -> spdk::Result<()> {
    let core = spdk::SpdkApp::cores()?[1];
    let create = Malloc::new("A", 512, 64).create();
    assert_eq!(spdk::spawn_on(core, move || create).await??, "A");
    let create = Malloc::new("B", 512, 64).create();
    assert!(spdk_tests::poll_once(std::pin::pin!(create)).is_pending());
    until("the bdev whose future was dropped", || exists("B")).await;
    Ok(())
}
