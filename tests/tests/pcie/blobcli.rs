//! Stores that SPDK's `blobcli` reads, and the reverse.
//!
//! It takes hugepages and has no switch against that, so it runs in this machine only. Each of the two has the
//! controller for itself while it uses the store.

use std::fs;
use std::io::Write;
use std::path::Path;

use futures_util::TryStreamExt;
use serde_json::{Value, json};
use spdk::blob::{Blob, BlobId, BlobOpts, Blobstore, BsOpts, Xattrs};
use spdk::task::yield_now;
use spdk::{DmaBuf, IoChannel};
use spdk_tests::nvmf::program::Program;
use spdk_tests::pattern;
use tempfile::{NamedTempFile, TempDir};

/// Where the machine has it.
const BLOBCLI: &str = "/blobcli";
/// What both call the namespace of the controller PLAIN.
const BDEV: &str = "Plainn1";
/// The size of its blocks, which are the stores' io units.
const UNIT: usize = 512;

fn controller() -> Value {
    json!({"name": "Plain", "trtype": "PCIe", "traddr": "0000:00:04.0"})
}

async fn attach() -> spdk::Result<()> {
    let bdevs = spdk::rpc::call::<Value>("bdev_nvme_attach_controller", &controller()).await?;
    assert_eq!(bdevs, json!([BDEV]));
    Ok(())
}

async fn detach() -> spdk::Result<()> {
    let name = json!({"name": "Plain"});
    spdk::rpc::call::<Value>("bdev_nvme_detach_controller", &name).await?;
    Ok(())
}

/// Has `blobcli` execute some of its commands, and returns what it says.
async fn blobcli(commands: &[String]) -> String {
    let config = json!({"subsystems": [{"subsystem": "bdev", "config": [
        {"method": "bdev_nvme_attach_controller", "params": controller()},
    ]}]});
    let file = |text: &str| {
        let mut file = NamedTempFile::new()?;
        file.write_all(text.as_bytes())?;
        Ok::<_, std::io::Error>(file.into_temp_path())
    };
    let config = file(&config.to_string()).expect("a file");
    let script = file(&(commands.join("\n") + "\n")).expect("a file");
    let (config, script) = (config.to_string_lossy(), script.to_string_lossy());
    let arguments = ["-j", &config, "-b", BDEV, "-T", &script];
    let mut program = Program::start_at(Path::new(BLOBCLI), &arguments);
    // The machine is slow: what ends this is the deadline of the test.
    while !program.has_ended() {
        yield_now().await;
    }
    let said = program.succeeds().await;
    // What fails is said, and the status is 0.
    assert!(!said.to_lowercase().contains("error"), "{said}");
    said
}

/// What follows `label` in each line that has it.
fn after<'a>(said: &'a str, label: &str) -> Vec<&'a str> {
    let lines = said.lines();
    lines
        .filter_map(|line| Some(line.split_once(label)?.1.trim()))
        .collect()
}

/// The xattrs in what it says of one blob, without their last byte: that ends a text, so it leaves it out.
fn xattrs(said: &str) -> Vec<(String, Vec<u8>)> {
    let mut xattrs: Vec<(String, Vec<u8>)> = Vec::new();
    for line in said.lines() {
        if let Some((_, name)) = line.split_once(") Name:") {
            xattrs.push((name.to_owned(), Vec::new()));
        } else if let (Some((_, value)), Some((offset, dump))) =
            (xattrs.last_mut(), line.split_once("  "))
            && u32::from_str_radix(offset.trim(), 16) == Ok(value.len() as u32)
        {
            let words = dump.split_whitespace();
            let bytes = words.map_while(|word| u8::from_str_radix(word, 16).ok());
            value.extend(bytes.take(16));
        }
    }
    xattrs.sort();
    xattrs
}

fn named<const N: usize>(xattrs: [(&str, &[u8]); N]) -> Xattrs {
    let owned = xattrs.map(|(name, value)| (name.to_owned(), value.to_vec()));
    Xattrs::from(owned)
}

async fn write(
    blob: &Blob,
    ch: &IoChannel,
    first: u64,
    units: u64,
    generation: u64,
) -> spdk::Result<()> {
    let mut buf = DmaBuf::alloc(units as usize * UNIT, 4096)?;
    pattern::fill(&mut buf, UNIT, first, generation);
    blob.write_io_units(ch, &buf, first, units).await
}

async fn content(blob: &Blob, ch: &IoChannel) -> spdk::Result<DmaBuf> {
    let mut buf = DmaBuf::alloc(blob.size()? as usize, 4096)?;
    blob.read(ch, &mut buf, 0).await?;
    Ok(buf)
}

/// Fails if `blobcli` does not find in a store of ours what we wrote, or we not in it what it has changed.
#[spdk::test(
    no_huge = false,
    no_pci = false,
    mem_size_mb = 128,
    deadline = 180,
    cores = "[1]"
)]
async fn blobcli_reads_our_store() -> spdk::Result<()> {
    /// The size of a cluster in io units.
    const CLUSTER: u64 = 128;
    attach().await?;
    let opts = BsOpts::new().cluster_size(CLUSTER as u32 * UNIT as u32);
    let store = Blobstore::init(BDEV, Some(&opts)).await?;
    let ch = store.alloc_io_channel()?;
    let long: Vec<u8> = (0..=200).collect();
    let both = named([("name", b"thick\0"), ("long", &long)]);
    let opts = BlobOpts::new().num_clusters(3).xattrs(both);
    let thick = store.create_blob(Some(&opts)).await?;
    let blob = store.open_blob(thick, None).await?;
    write(&blob, &ch, 0, 3 * CLUSTER, 1).await?;
    let snapshot = store.create_snapshot(thick, &Xattrs::new()).await?;
    write(&blob, &ch, CLUSTER + 1, 2, 2).await?;
    let opts = BlobOpts::new().num_clusters(4).thin_provision(true);
    let thin = store.create_blob(Some(&opts)).await?;
    let sparse = store.open_blob(thin, None).await?;
    write(&sparse, &ch, 2 * CLUSTER, CLUSTER, 3).await?;
    store.set_super_blob(Some(thin)).await?;
    let free = store.free_clusters()?;
    drop((blob, sparse, ch));
    store.unload().await?;
    detach().await?;

    let folder = TempDir::new().expect("a folder");
    let file = |id: BlobId| folder.path().join(id.to_string());
    let dump = |id: BlobId| format!("-d {id} {}", file(id).display());
    let said = blobcli(&[
        "-s bs".into(),
        "-l blobs".into(),
        format!("-s {thick}"),
        dump(thick),
        dump(snapshot),
        dump(thin),
        format!("-x {thin} by blobcli"),
        format!("-r {thick} long"),
        format!("-f {thin} 90"),
        format!("-p {thick}"),
    ])
    .await;
    assert_eq!(after(&said, "super blob ID:"), [thin.to_string()], "{said}");
    let size = (CLUSTER * UNIT as u64).to_string();
    assert_eq!(after(&said, "cluster size:"), [size], "{said}");
    assert_eq!(
        after(&said, "# free clusters:"),
        [free.to_string()],
        "{said}"
    );
    let mut listed: Vec<BlobId> = after(&said, "Found blob with ID#")
        .iter()
        .map(|id| id.parse().expect("an ID"))
        .collect();
    listed.sort();
    let mut all = [thick, snapshot, thin];
    all.sort();
    assert_eq!(listed, all);
    let expected = [
        ("long".to_owned(), long[..200].to_vec()),
        ("name".to_owned(), b"thick".to_vec()),
    ];
    assert_eq!(xattrs(&said), expected, "{said}");
    let read = |id| fs::read(file(id)).expect("a dump");
    let (cluster, bytes) = (CLUSTER as usize * UNIT, read(snapshot));
    assert_eq!(bytes.len(), 3 * cluster);
    pattern::assert_is(&bytes, UNIT, 0, 1);
    let (bytes, changed) = (read(thick), cluster + UNIT..cluster + 3 * UNIT);
    assert_eq!(bytes.len(), 3 * cluster);
    pattern::assert_is(&bytes[..changed.start], UNIT, 0, 1);
    pattern::assert_is(&bytes[changed.clone()], UNIT, CLUSTER + 1, 2);
    pattern::assert_is(&bytes[changed.end..], UNIT, CLUSTER + 3, 1);
    let bytes = read(thin);
    assert_eq!(bytes.len(), 4 * cluster);
    pattern::assert_zero(&bytes[..2 * cluster]);
    pattern::assert_is(&bytes[2 * cluster..3 * cluster], UNIT, 2 * CLUSTER, 3);
    pattern::assert_zero(&bytes[3 * cluster..]);

    // What it has changed is ours again.
    attach().await?;
    let store = Blobstore::load(BDEV, None).await?;
    let ch = store.alloc_io_channel()?;
    assert_eq!(store.super_blob().await?, Some(thick));
    assert_eq!(
        store.free_clusters()?,
        free - 3,
        "the thin blob has all of its clusters"
    );
    let blob = store.open_blob(thick, None).await?;
    let left = named([("name", b"thick\0")]);
    assert_eq!(blob.xattrs().await?, left);
    let blob = store.open_blob(thin, None).await?;
    assert_eq!(blob.xattrs().await?, named([("by", b"blobcli\0")]));
    let bytes = content(&blob, &ch).await?;
    assert!(bytes.iter().all(|byte| *byte == 90));
    Ok(())
}

/// Fails if we do not find in a store of `blobcli` what it wrote.
#[spdk::test(
    no_huge = false,
    no_pci = false,
    mem_size_mb = 128,
    deadline = 180,
    cores = "[1]"
)]
async fn we_read_a_store_of_blobcli() -> spdk::Result<()> {
    /// The size of a cluster, which is SPDK's default.
    const CLUSTER: usize = 1 << 20;
    let mut import = NamedTempFile::new().expect("a file");
    // Neither a whole cluster nor whole io units.
    let mut bytes = vec![0; CLUSTER / 2 + 37 * UNIT + 100];
    pattern::fill(&mut bytes, UNIT, 0, 1);
    import.write_all(&bytes).expect("it has room");
    let said = blobcli(&[
        "-i".into(),
        "-n 1".into(),
        "-n 1".into(),
        "-n 1".into(),
        "-x $B0 first one".into(),
        "-x $B0 second another".into(),
        format!("-m $B0 {}", import.path().display()),
        "-f $B1 66".into(),
        "-w $B2".into(),
        "-p $B1".into(),
        "-s bs".into(),
    ])
    .await;
    let ids: Vec<BlobId> = after(&said, "New blob id")
        .iter()
        .map(|id| id.parse().expect("an ID"))
        .collect();
    let [imported, filled, _] = ids[..] else {
        panic!("not three: {said}");
    };

    attach().await?;
    let store = Blobstore::load(BDEV, None).await?;
    let ch = store.alloc_io_channel()?;
    let mut all: Vec<BlobId> = store.blobs().try_collect().await?;
    all.sort();
    assert_eq!(all, [imported, filled]);
    assert_eq!(store.super_blob().await?, Some(filled));
    assert_eq!(store.cluster_size(), CLUSTER as u64);
    let free = store.free_clusters()?.to_string();
    assert_eq!(after(&said, "# free clusters:"), [free], "{said}");
    let blob = store.open_blob(imported, None).await?;
    let expected = named([("first", b"one\0"), ("second", b"another\0")]);
    assert_eq!(blob.xattrs().await?, expected);
    let read = content(&blob, &ch).await?;
    assert_eq!(read.len(), CLUSTER);
    assert!(read[..bytes.len()] == bytes, "not what the file has");
    pattern::assert_zero(&read[bytes.len()..]);
    let blob = store.open_blob(filled, None).await?;
    let read = content(&blob, &ch).await?;
    assert_eq!(read.len(), CLUSTER);
    assert!(read.iter().all(|byte| *byte == 66));
    Ok(())
}
