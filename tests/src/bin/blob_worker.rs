//! Works on blobs at random, and says what it does, until it is killed: see `spdk_tests::power_cuts`.
//!
//! The arguments are a file, a seed, the number of the round, and `new` for a store to be made, and nothing else.
#![deny(unsafe_code)]

use std::cell::Cell;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use serde_json::json;
use spdk::blob::{Blob, BlobId, BlobOpts, Blobstore, BsOpts, Xattrs};
use spdk::{DmaBuf, Errno, IoChannel};
use spdk_tests::power_cuts::blobs::{
    CLUSTER, Event, Found, FoundBlob, Op, Range, TASKS, UNIT, fill, tell, tell_value, value,
};
use spdk_tests::random::Random;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The attribute with a blob's name.
const NAME: &str = "name";
/// The attribute of blobs that have an extent table.
const TABLE: &str = "table";
const MOST_BLOBS: usize = 6;
const MOST_CLUSTERS: u64 = 9;

fn main() -> Result<()> {
    // Nobody hears it then.
    let kill = Some(rustix::process::Signal::KILL);
    rustix::process::set_parent_process_death_signal(kill)?;
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [file, seed, round, rest @ ..] = &*args else {
        return Err("arguments: FILE SEED ROUND [new]".into());
    };
    let (round, is_new): (u64, bool) = (round.parse()?, !rest.is_empty());
    let random = Random::new(seed.parse()?).fork(round);
    // Less than usual of what SPDK fills its memory with when it starts.
    let config = json!({"subsystems": [
        {"subsystem": "iobuf", "config": [{"method": "iobuf_set_options",
            "params": {"small_pool_count": 512, "large_pool_count": 64}}]},
        {"subsystem": "bdev", "config": [
            {"method": "bdev_set_options", "params": {"bdev_io_pool_size": 1024, "bdev_io_cache_size": 64,
                "bdev_auto_examine": false, "iobuf_small_cache_size": 16, "iobuf_large_cache_size": 2}},
            {"method": "bdev_aio_create", "params":
                {"name": "A", "filename": file, "block_size": UNIT, "fallocate": true}}]}]});
    let app = spdk::__testing::builder()
        .mem_size_mb(192)
        .log_level(spdk::LogLevel::Error)
        .json_data(config.to_string());
    app.run_async(async move {
        // What was begun ends with the process.
        if let Err(error) = work(random, round, is_new).await {
            eprintln!("the worker of round {round}: {error}");
            std::process::exit(1);
        }
    })?;
    Ok(())
}

async fn work(random: Random, round: u64, is_new: bool) -> Result<()> {
    if is_new {
        let opts = BsOpts::new().cluster_size(CLUSTER as u32 * UNIT as u32);
        return Ok(Blobstore::init("A", Some(&opts)).await?.unload().await?);
    }
    let mut store = Blobstore::load("A", None).await?;
    let (mut found, mut blobs) = look_around(&store).await?;
    if found.free.checked_add(found.used()) != Some(found.total) {
        // SPDK counts clusters twice that a snapshot and its clone had when it was being made or deleted. A store
        // that was unloaded in order is counted anew.
        drop(blobs);
        store.unload().await?;
        store = Blobstore::load("A", None).await?;
        (found, blobs) = look_around(&store).await?;
        found.is_recounted = true;
    }
    say(&Event::Found(found));
    let ch = Rc::new(store.alloc_io_channel()?);
    // No name or generation of another round.
    let numbers = Rc::new(Cell::new(round << 24));
    let mut tasks: Vec<Task> = (0..TASKS)
        .map(|task| Task {
            store: store.clone(),
            ch: ch.clone(),
            random: random.fork(task),
            task,
            numbers: numbers.clone(),
            blobs: Vec::new(),
        })
        .collect();
    for blob in blobs {
        tasks[(blob.name % TASKS) as usize].blobs.push(blob);
    }
    try_join_all(tasks.iter_mut().map(Task::run)).await?;
    Ok(())
}

fn say(event: &Event) {
    let mut line = serde_json::to_string(event).expect("an event is plain data");
    line.push('\n');
    // As one write, before what comes next. Without a reader there is nothing to do.
    if std::io::stdout().write_all(line.as_bytes()).is_err() {
        std::process::exit(1);
    }
}

/// Tells what is in a store.
async fn look_around(store: &Blobstore) -> Result<(Found, Vec<Mine>)> {
    let ch = store.alloc_io_channel()?;
    let (mut found, mut blobs) = (Vec::new(), Vec::new());
    let mut ids = store.blobs();
    while let Some(id) = ids.next().await {
        let blob = store.open_blob(id?, None).await?;
        let (look, mine) = look(blob, &ch).await?;
        found.push(look);
        blobs.push(mine);
    }
    let found = Found {
        total: store.total_clusters()?,
        free: store.free_clusters()?,
        is_recounted: false,
        blobs: found,
    };
    Ok((found, blobs))
}

/// An open blob.
struct Mine {
    name: u64,
    blob: Blob,
    clusters: u64,
    is_read_only: bool,
    has_table: bool,
}

/// Tells what is in a blob.
async fn look(blob: Blob, ch: &IoChannel) -> Result<(FoundBlob, Mine)> {
    let info = blob.info().await?;
    let mut xattrs = blob.xattrs().await?;
    let name = xattrs.remove(NAME).ok_or("a blob without a name")?;
    let name = String::from_utf8(name)?.parse()?;
    let has_table = xattrs.remove(TABLE).is_some();
    let mut values = std::collections::BTreeMap::new();
    for (key, bytes) in xattrs {
        let number = tell_value(&bytes).ok_or("an attribute is damaged")?;
        values.insert(key, number);
    }
    let mut units = Vec::new();
    if info.num_clusters > 0 {
        let mut buf = DmaBuf::alloc((info.num_clusters * CLUSTER) as usize * UNIT, 4096)?;
        blob.read(ch, &mut buf, 0).await?;
        units.extend((0..).zip(buf.chunks(UNIT)).map(|(n, unit)| tell(unit, n)));
    }
    let found = FoundBlob {
        name,
        clusters: info.num_clusters,
        allocated: info.num_allocated_clusters,
        is_snapshot: info.is_snapshot,
        is_clone: info.is_clone,
        xattrs: values,
        units,
    };
    let mine = Mine {
        name,
        blob,
        clusters: info.num_clusters,
        is_read_only: info.is_read_only,
        has_table,
    };
    Ok((found, mine))
}

struct Task {
    store: Blobstore,
    ch: Rc<IoChannel>,
    random: Random,
    task: u64,
    numbers: Rc<Cell<u64>>,
    blobs: Vec<Mine>,
}

impl Task {
    async fn run(&mut self) -> Result<()> {
        loop {
            self.step().await?;
            if self.random.one_in(4) {
                spdk::time::sleep(Duration::from_micros(self.random.below(300))).await?;
            }
        }
    }

    fn number(&self) -> u64 {
        self.numbers.set(self.numbers.get() + 1);
        self.numbers.get()
    }

    /// A name that is this task's.
    fn name(&self) -> u64 {
        self.number() * TASKS + self.task
    }

    fn range(&mut self, clusters: u64, is_whole: bool) -> Range {
        let all = clusters * CLUSTER;
        let generation = self.number();
        if is_whole {
            let first = self.random.below(clusters) * CLUSTER;
            let units = CLUSTER;
            return Range {
                first,
                units,
                generation,
            };
        }
        let first = self.random.below(all);
        let most = (all - first).min(2 * CLUSTER);
        Range {
            first,
            units: 1 + self.random.below(most),
            generation,
        }
    }

    /// Says that it begins, does it, and says how it has ended.
    async fn act(&self, op: Op, act: impl AsyncFnOnce() -> spdk::Result<()>) -> Result<bool> {
        let number = self.number();
        let text = format!("{op:?}");
        say(&Event::Begin { number, op });
        let result = act().await;
        let errno = match &result {
            Ok(()) => 0,
            Err(error) => match error.errno() {
                // There is no room, or it has several clones.
                Some(errno @ (Errno::ENOSPC | Errno::ENOMEM | Errno::EBUSY)) => errno.code(),
                _ => return Err(format!("{text}: {error}").into()),
            },
        };
        say(&Event::End { number, errno });
        Ok(errno == 0)
    }

    async fn open(&mut self, id: BlobId, name: u64, has_table: bool) -> Result<()> {
        let blob = self.store.open_blob(id, None).await?;
        let info = blob.info().await?;
        self.blobs.push(Mine {
            name,
            blob,
            clusters: info.num_clusters,
            is_read_only: info.is_read_only,
            has_table,
        });
        Ok(())
    }

    /// Makes a blob in one of three ways.
    async fn make(
        &mut self,
        op: Op,
        name: u64,
        of: Option<BlobId>,
        opts: BlobOpts,
        has_table: bool,
    ) -> Result<()> {
        let mut named = Xattrs::from([(NAME.to_owned(), name.to_string().into_bytes())]);
        if has_table {
            named.insert(TABLE.to_owned(), b"t".to_vec());
        }
        let mut id = None;
        let make = async || {
            id = Some(match (&op, of) {
                (Op::Snapshot { .. }, Some(of)) => self.store.create_snapshot(of, &named).await?,
                (Op::Clone { .. }, Some(of)) => self.store.create_clone(of, &named).await?,
                _ => {
                    let opts = opts.xattrs(named.clone());
                    self.store.create_blob(Some(&opts)).await?
                }
            });
            Ok(())
        };
        self.act(op.clone(), make).await?;
        match id {
            Some(id) => self.open(id, name, has_table).await,
            None => Ok(()),
        }
    }

    async fn step(&mut self) -> Result<()> {
        let kind = self.random.below(100);
        let count = self.blobs.len();
        if count == 0 || (kind < 8 && count < MOST_BLOBS) {
            let (name, clusters) = (self.name(), self.random.below(MOST_CLUSTERS));
            let has_table = self.random.one_in(2);
            let opts = BlobOpts::new()
                .num_clusters(clusters)
                .thin_provision(self.random.one_in(2))
                .use_extent_table(has_table);
            let op = Op::Create { name, clusters };
            return self.make(op, name, None, opts, has_table).await;
        }
        let at = self.random.below(count as u64) as usize;
        let Mine {
            name,
            ref blob,
            clusters,
            is_read_only,
            has_table,
        } = self.blobs[at];
        let (id, new) = (blob.id(), self.name());
        match kind {
            8..14 if is_read_only && count < MOST_BLOBS => {
                let op = Op::Clone {
                    of: name,
                    name: new,
                };
                return self
                    .make(op, new, Some(id), BlobOpts::new(), has_table)
                    .await;
            }
            8..14 if count < MOST_BLOBS && !is_read_only => {
                // SPDK crashes when it loads a store that was cut while a clone got a snapshot.
                if self.store.parent(id).await?.is_some() {
                    return Ok(());
                }
                let op = Op::Snapshot {
                    of: name,
                    name: new,
                };
                return self
                    .make(op, new, Some(id), BlobOpts::new(), has_table)
                    .await;
            }
            14..20 => {
                // What has clones, or is one, is spared: SPDK was seen to lose data of the others, and to crash.
                let info = blob.info().await?;
                if info.is_snapshot || info.is_clone {
                    return Ok(());
                }
                // It cannot be deleted while it is open.
                let mine = self.blobs.swap_remove(at);
                let delete = async || {
                    mine.blob.close().await?;
                    self.store.delete_blob(id).await
                };
                if !self.act(Op::Delete { name }, delete).await? {
                    self.open(id, name, has_table).await?;
                }
                return Ok(());
            }
            20..24 => {
                let mine = self.blobs.swap_remove(at);
                self.act(Op::Reopen { name }, async || mine.blob.close().await)
                    .await?;
                return self.open(id, name, has_table).await;
            }
            _ if is_read_only => return Ok(()),
            24..32 => {
                // SPDK writes the extent pages of a blob that becomes smaller before what refers to them, and loads no
                // store that was cut there.
                let least = if has_table { clusters } else { 0 };
                let clusters = least
                    + self
                        .random
                        .below(MOST_CLUSTERS - least.min(MOST_CLUSTERS - 1));
                let op = Op::Resize { name, clusters };
                let blob = &self.blobs[at].blob;
                if self.act(op, async || blob.resize(clusters).await).await? {
                    self.blobs[at].clusters = clusters;
                }
                return Ok(());
            }
            _ => {}
        }
        let key = format!("key {}", self.random.below(4));
        match kind {
            32..42 => {
                let value_of = self.number();
                let bytes = value(value_of);
                let op = Op::SetXattr {
                    name,
                    key: key.clone(),
                    value: value_of,
                };
                let blob = &self.blobs[at].blob;
                self.act(op, async || blob.set_xattr(&key, &bytes).await)
                    .await?;
            }
            42..45 => {
                let blob = &self.blobs[at].blob;
                if blob.xattr(&key).await?.is_some() {
                    let op = Op::RemoveXattr {
                        name,
                        key: key.clone(),
                    };
                    self.act(op, async || blob.remove_xattr(&key).await).await?;
                }
            }
            45..57 => {
                let blob = &self.blobs[at].blob;
                self.act(Op::Sync { name }, async || blob.sync().await)
                    .await?;
            }
            57..60 => {
                let inflate = async || self.store.inflate_blob(id).await;
                self.act(Op::Inflate { name }, inflate).await?;
            }
            60..63 => {
                let Some(parent) = self.store.parent(id).await? else {
                    return Ok(());
                };
                // One that is larger than its parent is refused.
                let parent = self.store.open_blob(parent, None).await?;
                if clusters <= parent.info().await?.num_clusters {
                    let decouple = async || self.store.decouple_parent(id).await;
                    self.act(Op::Decouple { name }, decouple).await?;
                }
            }
            _ if clusters == 0 => {}
            63..66 => {
                let range = self.range(clusters, false);
                let (first, units) = (range.first, range.units);
                let (blob, ch) = (&self.blobs[at].blob, &self.ch);
                let zero = async || blob.write_zeroes_io_units(ch, first, units).await;
                self.act(Op::WriteZeroes { name, range }, zero).await?;
            }
            66..70 => {
                let range = self.range(clusters, true);
                let (first, units) = (range.first, range.units);
                let (blob, ch) = (&self.blobs[at].blob, &self.ch);
                let unmap = async || blob.unmap_io_units(ch, first, units).await;
                self.act(Op::Unmap { name, range }, unmap).await?;
            }
            _ => {
                let mut ranges: Vec<Range> = Vec::new();
                for _ in 0..=self.random.below(4) {
                    let range = self.range(clusters, false);
                    let overlaps = |other: &Range| {
                        range.first < other.first + other.units
                            && other.first < range.first + range.units
                    };
                    if !ranges.iter().any(overlaps) {
                        ranges.push(range);
                    }
                }
                let op = Op::Write {
                    name,
                    ranges: ranges.clone(),
                };
                let (blob, ch) = (&self.blobs[at].blob, &self.ch);
                let write = async || {
                    // All of them: one that is abandoned would go on beside what comes next.
                    let writes = join_all(ranges.iter().map(async |range| {
                        let mut buf = DmaBuf::alloc(range.units as usize * UNIT, 4096)?;
                        fill(&mut buf, range.first, range.generation);
                        blob.write_io_units(ch, &buf, range.first, range.units)
                            .await
                    }));
                    writes.await.into_iter().collect()
                };
                self.act(op, write).await?;
            }
        }
        Ok(())
    }
}
