//! Stores that have no room left: no clusters, no pages of metadata, or no requests for calls.

use futures_util::future::{join, join_all, join3};
use spdk::Errno;
use spdk::blob::{Blob, BlobOpts, Blobstore, BsOpts, Xattrs};
use spdk_tests::memory::Memory;
use spdk_tests::wait::within;

use crate::{CLUSTER, UNIT, assert_errno, check, file, new_blob, new_file, of, opts, write};

/// How many calls SPDK has requests for at the least, and has with this option.
const CALLS: usize = 259;

fn few_calls() -> BsOpts {
    opts().max_channel_ops(1).num_md_pages(1024)
}

/// Fails if something is given that is not there, or what is there cannot be used any more afterwards.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn out_of_space() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts().num_md_pages(4))).await?;
    let free = store.free_clusters()?;
    assert_errno(store.create_blob(Some(&of(free + 1))).await, Errno::ENOSPC);
    assert_eq!(store.free_clusters()?, free);
    let blob = new_blob(&store, &of(1)).await?;
    let ch = store.alloc_io_channel()?;
    write(&blob, &ch, 0, CLUSTER, 1).await?;
    assert_errno(blob.resize(free + 1).await, Errno::ENOSPC);
    assert_eq!(blob.num_clusters()?, 1);

    // A thin one promises more than there is.
    let thin = BlobOpts::new()
        .num_clusters(2 * free)
        .thin_provision(true)
        .use_extent_table(false);
    let thin = new_blob(&store, &thin).await?;
    let mut cluster = 0;
    let full = loop {
        match write(&thin, &ch, cluster * CLUSTER, 8, 2).await {
            Ok(()) => cluster += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(
        (full.errno(), cluster),
        (Some(Errno::ENOSPC), free - 1),
        "{full}"
    );
    check(&thin, &ch, 0, 8, 2).await?;
    check(&thin, &ch, (cluster - 1) * CLUSTER, 8, 2).await?;
    check(&blob, &ch, 0, CLUSTER, 1).await?;
    let id = thin.id();
    drop(thin);
    store.delete_blob(id).await?;
    assert_eq!(store.free_clusters()?, free - 1);

    // No page for the metadata of another one.
    let mut ids = Vec::new();
    let none = loop {
        match store.create_blob(None).await {
            Ok(id) => ids.push(id),
            Err(error) => break error,
        }
        assert!(ids.len() < 4, "{ids:?}");
    };
    assert_eq!(none.errno(), Some(Errno::ENOMEM), "{none}");
    store.delete_blob(ids[0]).await?;
    store.create_blob(None).await?;
    check(&blob, &ch, 0, CLUSTER, 1).await
}

/// Fails if a blob is made whose metadata have no page, or one has none whose metadata have one. SPDK 26.01 crashes where it
/// cannot make a clone.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn no_page_for_another_one() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts().num_md_pages(8))).await?;
    let id = store.create_blob(None).await?;
    let snapshot = store.create_snapshot(id, &Xattrs::new()).await?;
    let value = |name: &str| (name.to_owned(), vec![7; 3000]);
    let two_pages = Xattrs::from([value("a"), value("b")]);
    let create = |xattrs: &Xattrs| BlobOpts::new().xattrs(xattrs.clone());

    // Of the six that are left, four.
    let blob = store.create_blob(Some(&create(&two_pages))).await?;
    let clone = store.create_clone(snapshot, &two_pages).await?;
    let small = store.create_clone(snapshot, &Xattrs::new()).await?;
    let made = store.create_clone(snapshot, &two_pages).await;
    assert_errno(made, Errno::ENOMEM);
    let made = store.create_blob(Some(&create(&two_pages))).await;
    assert_errno(made, Errno::ENOMEM);
    let made = store.create_snapshot(id, &two_pages).await;
    assert_errno(made, Errno::ENOMEM);
    let last = store.create_clone(snapshot, &Xattrs::new()).await?;
    let made = store.create_clone(snapshot, &Xattrs::new()).await;
    assert_errno(made, Errno::ENOMEM);

    store.unload().await?;
    let store = Blobstore::load("M", None).await?;
    for id in [blob, clone] {
        let blob = store.open_blob(id, None).await?;
        assert_eq!(blob.xattrs().await?, two_pages);
        blob.close().await?;
    }
    let mut clones = store.clones(snapshot).await?;
    clones.sort_unstable();
    assert_eq!(clones, [id, clone, small, last]);
    store.delete_blob(small).await?;
    store.create_clone(snapshot, &Xattrs::new()).await?;
    Ok(())
}

/// Fails if a blob is made or becomes larger without the pages for its clusters, of which SPDK 26.01 does not see it: it cannot be
/// opened any more then, and SPDK crashes by I/O on it; or if room is lost with that.
#[spdk::test]
async fn no_pages_for_its_clusters() -> spdk::Result<()> {
    const PER_PAGE: u64 = 512;
    // One of them for the blob, and others for its clusters.
    for (pages, most) in [(2, 1), (3, 2), (5, 4)] {
        let memory = Memory::new(UNIT as u32, 8 * 5000);
        let opts = BsOpts::new().cluster_size(4096).num_md_pages(pages);
        let store = Blobstore::init_on(memory.clone(), Some(&opts)).await?;
        let free = store.free_clusters()?;
        let made = store.create_blob(Some(&of(5 * PER_PAGE))).await;
        assert_errno(made, Errno::ENOMEM);
        assert_errno(store.create_blob(Some(&of(free + 1))).await, Errno::ENOSPC);
        assert_eq!(store.free_clusters()?, free);
        let blob = new_blob(&store, &of(10)).await?;
        let ch = store.alloc_io_channel()?;
        write(&blob, &ch, 0, 80, 1).await?;
        for _ in 0..2 {
            assert_errno(blob.resize(5 * PER_PAGE).await, Errno::ENOSPC);
            assert_eq!(blob.num_clusters()?, 10);
            assert_eq!(store.free_clusters()?, free - 10);
            assert_errno(check(&blob, &ch, 80, 8, 1).await, Errno::EINVAL);
        }
        blob.resize(most * PER_PAGE).await?;
        write(&blob, &ch, 80, most * PER_PAGE * 8 - 80, 1).await?;
        let id = blob.id();
        drop((blob, ch));
        store.unload().await?;
        let store = Blobstore::load_on(memory, Some(&opts)).await?;
        let blob = store.open_blob(id, None).await?;
        let ch = store.alloc_io_channel()?;
        check(&blob, &ch, 0, most * PER_PAGE * 8, 1).await?;
        assert_eq!(store.free_clusters()?, free - most * PER_PAGE);
    }
    Ok(())
}

/// Fails if a blob becomes larger whose only page left is the first of all, which SPDK 26.01 does not take for clusters.
#[spdk::test]
async fn the_first_page_is_for_no_clusters() -> spdk::Result<()> {
    let memory = Memory::new(UNIT as u32, 8 * 1000);
    let opts = BsOpts::new().cluster_size(4096).num_md_pages(3);
    let store = Blobstore::init_on(memory.clone(), Some(&opts)).await?;
    let first = store.create_blob(None).await?;
    let blob = new_blob(&store, &of(0)).await?;
    let last = store.create_blob(None).await?;
    store.delete_blob(first).await?;
    let free = store.free_clusters()?;
    assert_errno(blob.resize(10).await, Errno::ENOSPC);
    assert_eq!((blob.size()?, store.free_clusters()?), (0, free));
    store.delete_blob(last).await?;
    blob.resize(10).await?;
    let ch = store.alloc_io_channel()?;
    write(&blob, &ch, 0, 80, 1).await?;
    let id = blob.id();
    drop((blob, ch));
    store.unload().await?;
    let store = Blobstore::load_on(memory, Some(&opts)).await?;
    let blob = store.open_blob(id, None).await?;
    check(&blob, &store.alloc_io_channel()?, 0, 80, 1).await
}

/// Fails if a clone is made while SPDK has no request for it, which it does not survive; or waits for ever for one.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn a_clone_without_a_request() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&few_calls())).await?;
    let (id, none) = (store.create_blob(None).await?, Xattrs::new());
    let snapshot = store.create_snapshot(id, &none).await?;
    // What is open needs none to be opened.
    let open = store.open_blob(snapshot, None).await?;
    let others = join_all((0..CALLS + 20).map(|_| store.create_blob(None)));
    let clone = store.create_clone(snapshot, &none);
    let (others, clone) = within("all", join(others, clone)).await;
    assert_eq!(store.parent(clone?).await?, Some(snapshot));
    let refused = others.iter().filter_map(|other| other.as_ref().err());
    assert!(
        refused
            .clone()
            .all(|error| error.errno() == Some(Errno::ENOMEM))
    );
    assert_eq!(refused.count(), 20, "they had requests");
    open.close().await?;
    within("the unload", store.unload()).await
}

/// Fails if a blob whose metadata have no page is said to be written, as SPDK 26.01 says, is never closed, or loses more than
/// what had none; or if one has none that has the pages it had.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn a_sync_without_a_page() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts().num_md_pages(6))).await?;
    let blob = new_blob(&store, &of(1)).await?;
    let id = blob.id();
    blob.set_xattr("kept", b"value").await?;
    blob.sync().await?;
    let mut others = Vec::new();
    while let Ok(other) = store.create_blob(None).await {
        others.push(other);
    }
    // A page has no room for two of them.
    blob.set_xattr("a", &[7; 3000]).await?;
    blob.sync().await?;
    blob.set_xattr("b", &[7; 3000]).await?;
    for _ in 0..2 {
        assert_errno(blob.sync().await, Errno::ENOSPC);
    }
    blob.remove_xattr("b").await?;
    blob.sync().await?;
    blob.set_xattr("b", &[7; 3000]).await?;
    let result = within("the close", blob.close()).await;
    assert_errno(result, Errno::ENOSPC);
    within("the unload", store.unload()).await?;

    let store = Blobstore::load("M", None).await?;
    let blob = store.open_blob(id, None).await?;
    assert_eq!(blob.xattr("kept").await?, Some(b"value".to_vec()));
    assert_eq!(blob.xattr("a").await?, Some(vec![7; 3000]));
    assert_eq!(blob.xattr("b").await?, None);
    store.delete_blob(others[0]).await?;
    blob.set_xattr("b", &[7; 3000]).await?;
    blob.close().await?;
    // Written, it is closed without another page.
    while let Ok(other) = store.create_blob(None).await {
        others.push(other);
    }
    let blob = store.open_blob(id, None).await?;
    assert_eq!(blob.xattr("b").await?, Some(vec![7; 3000]));
    blob.sync().await?;
    blob.close().await
}

/// Fails if what had no page when a blob was closed is asked for by a later sync or close, which has nothing to write; or if it is
/// forgotten while the blob is still open.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn closed_without_a_page() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts().num_md_pages(8))).await?;
    let blob = new_blob(&store, &of(1)).await?;
    let id = blob.id();
    // A page has no room for two of them.
    for name in ["a", "b"] {
        blob.set_xattr(name, &[7; 3000]).await?;
    }
    blob.sync().await?;
    while store.create_blob(None).await.is_ok() {}
    blob.set_xattr("c", &[7; 3000]).await?;
    let other = store.open_blob(id, None).await?;
    assert_errno(within("the close", blob.close()).await, Errno::ENOSPC);
    assert_errno(other.sync().await, Errno::ENOSPC);
    assert_errno(within("the close", other.close()).await, Errno::ENOSPC);
    let blob = store.open_blob(id, None).await?;
    assert_eq!(blob.xattr("c").await?, None);
    blob.sync().await?;
    within("the close", blob.close()).await?;
    store.unload().await
}

/// Fails if a snapshot takes over the clusters of a blob that has no page to say so: SPDK 26.01 calls that a success, and both have
/// them when the store is loaded again.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 16384, block_size = UNIT)))]
async fn a_snapshot_without_a_page() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts().num_md_pages(6))).await?;
    let blob = new_blob(&store, &of(2)).await?;
    let (id, ch) = (blob.id(), store.alloc_io_channel()?);
    write(&blob, &ch, 0, 2 * CLUSTER, 1).await?;
    for name in ["a", "b"] {
        blob.set_xattr(name, &[7; 3000]).await?;
    }
    blob.sync().await?;
    // One is left.
    let mut others = vec![
        store.create_blob(None).await?,
        store.create_blob(None).await?,
    ];
    let none = Xattrs::new();
    assert_errno(store.create_snapshot(id, &none).await, Errno::ENOMEM);
    drop((blob, ch));
    store.unload().await?;

    let store = Blobstore::load("M", None).await?;
    let blob = store.open_blob(id, None).await?;
    let ch = store.alloc_io_channel()?;
    check(&blob, &ch, 0, 2 * CLUSTER, 1).await?;
    assert_eq!(blob.xattrs().await?.len(), 2);
    store.delete_blob(others.remove(0)).await?;
    let snapshot = store.create_snapshot(id, &none).await?;
    drop((blob, ch));
    store.unload().await?;

    let store = Blobstore::load("M", None).await?;
    let ch = store.alloc_io_channel()?;
    for id in [id, snapshot] {
        let blob = store.open_blob(id, None).await?;
        check(&blob, &ch, 0, 2 * CLUSTER, 1).await?;
    }
    Ok(())
}

/// Fails if a blob stays open, or is closed without being written, since SPDK has no room for that at once.
#[spdk::test(bdevs(bdev_aio_create(name = "A", filename = new_file(), block_size = UNIT)))]
async fn a_close_without_a_request() -> spdk::Result<()> {
    let store = Blobstore::init("A", Some(&few_calls())).await;
    assert!(std::fs::remove_file(file()).is_ok());
    let store = store?;
    let mut blobs = Vec::new();
    for number in 0..40_u8 {
        let blob = new_blob(&store, &of(0)).await?;
        blob.set_xattr("number", &[number]).await?;
        blobs.push(blob);
    }
    let ids: Vec<_> = blobs.iter().map(|blob| blob.id()).collect();
    let others = join_all((0..CALLS + 20).map(|_| store.create_blob(None)));
    let last = blobs.pop();
    let closes = join_all(last.into_iter().map(Blob::close));
    let dropped = async { drop(blobs) };
    let (others, closed, ()) = within("all", join3(others, closes, dropped)).await;
    assert_eq!(others.iter().flatten().count(), CALLS);
    closed.into_iter().collect::<spdk::Result<()>>()?;
    within("the unload", store.unload()).await?;
    let store = Blobstore::load("A", Some(&opts())).await?;
    for (id, number) in ids.into_iter().zip(0_u8..) {
        let blob = store.open_blob(id, None).await?;
        assert_eq!(blob.xattr("number").await?, Some(vec![number]));
    }
    Ok(())
}

/// Fails if the look for the pages of a blob with many of them needs more stack than there is.
#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 131072, block_size = UNIT)))]
async fn a_blob_of_many_pages() -> spdk::Result<()> {
    let store = Blobstore::init("M", Some(&opts().num_md_pages(8192))).await?;
    // One in each page.
    let many: Xattrs = (0..6000)
        .map(|number| (number.to_string(), vec![7; 3000]))
        .collect();
    let id = store.create_blob(Some(&of(1).xattrs(many.clone()))).await?;
    let blob = store.open_blob(id, None).await?;
    assert_eq!(blob.xattrs().await?, many);
    blob.close().await?;
    store.unload().await
}
