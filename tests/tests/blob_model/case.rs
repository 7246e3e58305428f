//! A case, run on a store of its own and compared with the model.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use serde_json::json;
use spdk::blob::{BlobId, Blobstore, BsOpts};
use spdk::task::yield_now;
use spdk::{Bdev, Errno};
use spdk_tests::memory::Memory;
use spdk_tests::model::check::{Outcome, right_ones, same, text, within};
use spdk_tests::model::content::compare_bdev;
use spdk_tests::model::journal::Journal;
use spdk_tests::model::store::{self, Model, Name, ReadOnly};
use spdk_tests::model::threads::{self, Threads};
use spdk_tests::model::{CLUSTER, UNIT};
use spdk_tests::rpc;

use crate::desk::{self, Seen, TARGETS};
use crate::plan;
use crate::steps::{Case, Kind, Op, Step, Type};

/// How many clusters blobs have together, about: few, so that there are too few; or enough for sequences side by side.
const FEW: u64 = 48;
const MANY: u64 = 640;
/// How many pages of metadata there are for them.
const PAGES: [u32; 2] = [192, 512];
/// How many clusters the bdev has besides: for the metadata.
const REST: u64 = 160;
/// How large the bdev is.
pub(crate) const BLOCKS: u64 = (MANY + REST) * CLUSTER;
/// How long a case may take, and one part of it.
const CASE: Duration = Duration::from_secs(30);
const PART: Duration = Duration::from_secs(10);
/// After how much time a bdev is taken for lost.
const KEPT: Duration = Duration::from_secs(1);

/// Where cases run, one after the other.
pub(crate) struct Ground {
    /// The spdk_threads that make calls: first the current one, which is the metadata thread.
    threads: Threads,
    bdev: String,
}

/// What a store is on.
enum Device {
    Bdev(String),
    Memory(Memory),
}

/// A case that is running.
struct Run<'a> {
    threads: &'a Threads,
    device: Device,
    kind: Kind,
    opts: BsOpts,
    store: RefCell<Option<Blobstore>>,
    /// How many clusters it had at first.
    total: u64,
    journal: &'a RefCell<Journal>,
}

impl Ground {
    /// With so many spdk_threads.
    pub(crate) async fn new(threads: u8) -> spdk::Result<Self> {
        Ok(Ground {
            threads: Threads::new(threads).await?,
            bdev: "M".to_owned(),
        })
    }

    /// Ends the spdk_threads.
    pub(crate) async fn end(self) -> spdk::Result<()> {
        self.threads.end().await
    }

    /// Runs a case.
    ///
    /// # Errors
    ///
    /// What was wrong.
    pub(crate) async fn run(
        &mut self,
        case: &Case,
        journal: &RefCell<Journal>,
    ) -> Result<(), String> {
        for (bdev, clusters) in TARGETS.into_iter().zip(store::TARGETS) {
            write_zeroes(bdev, clusters).await.map_err(text)?;
        }
        let is_alone = case.lanes.len() == 1;
        let pages = PAGES[usize::from(!is_alone)];
        let opts = BsOpts::new()
            .cluster_size(CLUSTER as u32 * UNIT as u32)
            .num_md_pages(pages);
        let first = opts.clone().bstype(desk::bstype(Type::First));
        let (device, store) = self.init(case.device, is_alone, &first).await?;
        let total = store.total_clusters().map_err(text)?;
        let run = Run {
            threads: &self.threads,
            device,
            kind: case.device,
            opts,
            store: RefCell::new(Some(store)),
            total,
            journal,
        };
        let result = within(CASE, "the case", run.all(case)).await;
        // Whatever is left of one that went wrong.
        let cleared = within(PART, "giving everything back", run.clear()).await;
        result.and(cleared)
    }

    async fn init(
        &mut self,
        kind: Kind,
        is_alone: bool,
        opts: &BsOpts,
    ) -> Result<(Device, Blobstore), String> {
        let clusters = if is_alone { FEW } else { MANY };
        if kind == Kind::Memory {
            let memory = Memory::new(UNIT as u32, (clusters + REST / 2) * CLUSTER);
            let store = Blobstore::init_on(memory.clone(), Some(opts)).await;
            return Ok((Device::Memory(memory), store.map_err(text)?));
        }
        let start = Instant::now();
        loop {
            let bdev = self.bdev.clone();
            match Blobstore::init(&bdev, Some(opts)).await {
                Ok(store) => return Ok((Device::Bdev(bdev), store)),
                Err(error) if error.errno() != Some(Errno::EPERM) => return Err(text(error)),
                Err(_) if start.elapsed() < KEPT => yield_now().await,
                Err(_) => {
                    // What went wrong before has kept that one.
                    self.bdev.push('M');
                    let blocks = (clusters + REST) * CLUSTER;
                    let params =
                        json!({"name": self.bdev, "num_blocks": blocks, "block_size": UNIT});
                    rpc::try_call("bdev_malloc_create", params).await?;
                }
            }
        }
    }
}

/// Makes what a bdev has zeroes.
async fn write_zeroes(bdev: &str, clusters: u64) -> spdk::Result<()> {
    let desc = Bdev::find(bdev)?.open(true)?;
    let channel = desc.get_io_channel()?;
    let length = clusters * CLUSTER * UNIT as u64;
    desc.write_zeroes(&channel, 0, length).await
}

impl Run<'_> {
    fn store(&self) -> Result<Blobstore, String> {
        let store = self.store.borrow().clone();
        store.ok_or_else(|| "the store is not loaded".to_owned())
    }

    async fn set_up(&self) -> Result<(), String> {
        for thread in self.threads.numbers() {
            let store = self.store()?;
            let memory = match &self.device {
                Device::Memory(memory) => Some(memory.clone()),
                Device::Bdev(_) => None,
            };
            self.threads
                .on(thread, async move || desk::set_up(thread, store, memory))
                .await?;
        }
        Ok(())
    }

    /// Has the spdk_threads give back what they have, and drops the store.
    async fn clear(&self) -> Result<(), String> {
        for thread in self.threads.numbers() {
            self.threads
                .on(thread, async move || {
                    threads::clear_desk(thread);
                    Ok(())
                })
                .await?;
        }
        self.store.borrow_mut().take();
        Ok(())
    }

    async fn all(&self, case: &Case) -> Result<(), String> {
        self.set_up().await?;
        let is_alone = case.lanes.len() == 1;
        let lanes = case.lanes.iter().zip(0..).map(|(steps, lane)| {
            let mut model = Model::new(is_alone.then_some(self.total), lane);
            model.bstype = desk::bstype(Type::First);
            self.lane(lane, steps, model, is_alone)
        });
        let mut ends = try_join_all(lanes).await?;
        self.say("the end: everything is compared, as it is and when it was loaded again");
        self.reload(false, !is_alone).await?;
        ends.iter_mut().flatten().for_each(Model::reload);
        self.compare(&ends).await?;
        self.reload(true, is_alone).await?;
        self.compare(&ends).await?;
        self.clear().await
    }

    fn say(&self, line: &str) {
        self.journal.borrow_mut().line(line);
    }

    /// Runs a sequence; returns the models of which one is right at its end.
    async fn lane(
        &self,
        lane: u32,
        steps: &[Step],
        mut model: Model,
        is_alone: bool,
    ) -> Result<Vec<Model>, String> {
        for step in steps {
            if let Op::Reload {
                recover,
                is_dropped,
            } = step.op
            {
                let how = if is_dropped { "drop" } else { "unload" };
                self.say(&format!("{how}, load(recover: {recover})"));
                self.compare(&[vec![model.clone()]]).await?;
                self.reload(recover, is_dropped).await?;
                model.reload();
                self.compare(&[vec![model.clone()]]).await?;
                continue;
            }
            let Some(mut plan) = plan::plan(&model, step, self.kind) else {
                continue;
            };
            let dropped = step.dropped.map_or_else(String::new, |polls| {
                format!("  // dropped after {polls} polls")
            });
            let returns = plan.returns;
            let (thread, call) = (plan.thread, plan.call.clone());
            self.say(&format!(
                "lane {lane}, thread {thread}: {}  // {returns}{dropped}",
                plan.text
            ));
            let is_io = call.is_io();
            let polls = step.dropped;
            let perform = async move || desk::perform(thread, call, returns, polls).await;
            let outcome = within(PART, &plan.text, self.threads.on(thread, perform)).await?;
            match outcome {
                Outcome::Wrong(wrong) => return Err(format!("{}: {wrong}", plan.text)),
                Outcome::Expected(id) => {
                    if let (Some(new), Some(id)) = (plan.new, id) {
                        plan.after.blob_mut(new).id = id;
                    }
                    model = plan.after;
                }
                // Nothing happens before the first poll.
                Outcome::Dropped if polls == Some(0) => self.say("    it was dropped"),
                Outcome::Dropped => {
                    self.say("    it was dropped in flight");
                    if !is_alone {
                        if is_io {
                            // While another sequence copies clusters it waits, and is not done if it is dropped then.
                            plan.dropped.push(model);
                        }
                        return Ok(plan.dropped);
                    }
                    self.reload(false, true).await?;
                    plan.dropped.iter_mut().for_each(Model::reload);
                    let found = self.compare(&[plan.dropped]).await;
                    let found = found.map_err(|wrong| format!("{}: {wrong}", plan.text))?;
                    model = found.into_iter().next().unwrap_or(model);
                    continue;
                }
            }
            let looked = self.look(&model, plan.about).await;
            looked.map_err(|wrong| format!("after {}: {wrong}", plan.text))?;
        }
        Ok(vec![model])
    }

    /// Gives everything back, and loads the store again.
    async fn reload(&self, recover: bool, is_dropped: bool) -> Result<(), String> {
        within(PART, "the unload of the store", async {
            let store = self.store()?;
            self.clear().await?;
            if !is_dropped {
                loop {
                    match store.unload().await {
                        Err(error) if desk::is_in_use(&error) => yield_now().await,
                        result => break result.map_err(text)?,
                    }
                }
            }
            drop(store);
            if let Device::Memory(memory) = &self.device {
                while memory.handles() > 1 {
                    yield_now().await;
                }
            }
            let opts = self.opts.clone().force_recover(recover);
            let loaded = loop {
                let loaded = match &self.device {
                    Device::Bdev(bdev) => Blobstore::load(bdev, Some(&opts)).await,
                    Device::Memory(memory) => Blobstore::load_on(memory.clone(), Some(&opts)).await,
                };
                match loaded {
                    // The one before has the bdev still.
                    Err(error) if error.errno() == Some(Errno::EPERM) => yield_now().await,
                    loaded => break loaded.map_err(text)?,
                }
            };
            self.store.replace(Some(loaded));
            self.set_up().await
        })
        .await
    }

    /// Compares what can be seen without opening anything, and the content of the blob that the last step was about.
    async fn look(&self, model: &Model, about: Option<Name>) -> Result<(), String> {
        for (open, (name, thread)) in &model.open {
            let (open, thread) = (*open, *thread);
            let content = (about == Some(*name)).then(|| model.all_content(*name));
            let look = async move || desk::of(thread)?.look(open, content).await;
            let seen = self.threads.on(thread, look).await;
            let seen = seen.map_err(|wrong| format!("b{name}, o{open}: {wrong}"))?;
            is_as_seen(model, *name, &seen)?;
        }
        let store = self.store()?;
        for (name, blob) in &model.blobs {
            let parent = store.parent(blob.id).await.map_err(text)?;
            let expected = blob.parent.map(|parent| model.blob(parent).id);
            same(&format!("the parent of b{name}"), parent, expected)?;
            let clones = store.clones(blob.id).await.map_err(text)?;
            let expected = model.clones(*name).into_iter();
            let expected: BTreeSet<_> = expected.map(|clone| model.blob(clone).id).collect();
            let is_same = clones.len() == expected.len();
            let clones = clones.into_iter().collect();
            same(&format!("the set of clones of b{name}"), clones, expected)?;
            same("that each clone is told once", is_same, true)?;
        }
        match model.free() {
            Some(free) => {
                let found = store.free_clusters().map_err(text)?;
                same("the number of free clusters", found, free)
            }
            None => Ok(()),
        }
    }

    /// Compares all that there is with one model of each sequence; returns these.
    async fn compare(&self, lanes: &[Vec<Model>]) -> Result<Vec<Model>, String> {
        let right = right_ones(lanes, async |model| self.compare_one(model).await).await?;
        let store = self.store()?;
        let (mut blobs, mut ids) = (store.blobs(), Vec::new());
        while let Some(id) = blobs.next().await {
            ids.push(id.map_err(text)?);
        }
        let known = right.iter().flat_map(|model| model.blobs.values());
        let expected: BTreeSet<BlobId> = known.clone().map(|blob| blob.id).collect();
        same("the list of blobs", ids.len(), expected.len())?;
        same("the list of blobs", ids.into_iter().collect(), expected)?;
        let used: u64 = known.map(|blob| blob.allocated()).sum();
        let total = right.first().and_then(|model| model.total);
        let free = store.free_clusters().map_err(text)?;
        let expected = total.unwrap_or(self.total) - used;
        same("the number of free clusters", free, expected)?;
        Ok(right)
    }

    async fn compare_one(&self, model: &Model) -> Result<(), String> {
        self.look(model, None).await?;
        for (name, blob) in &model.blobs {
            let (id, content) = (blob.id, model.all_content(*name));
            let look = async move || desk::of(0)?.open_and_look(id, content).await;
            let seen = self.threads.on(0, look).await;
            let seen = seen.map_err(|wrong| format!("b{name}: {wrong}"))?;
            let mut model = model.clone();
            // It was closed.
            if !model.is_open(*name) {
                model.sync(*name);
            }
            is_as_seen(&model, *name, &seen)?;
        }
        if model.total.is_none() {
            return Ok(());
        }
        let store = self.store()?;
        let super_blob = store.super_blob().await.map_err(text)?;
        same("the super blob", super_blob, model.super_blob)?;
        let bstype = store.bstype().await.map_err(text)?;
        same("the type of the store", bstype, model.bstype)?;
        for (bdev, content) in TARGETS.iter().zip(&model.targets) {
            compare_bdev(bdev, content).await?;
        }
        Ok(())
    }
}

fn is_as_seen(model: &Model, name: Name, seen: &Seen) -> Result<(), String> {
    let (blob, info) = (model.blob(name), &seen.info);
    let what = |what: &str| format!("{what} of b{name}");
    same(&what("the ID"), info.id, blob.id)?;
    same(
        &what("the size in clusters"),
        info.num_clusters,
        blob.size(),
    )?;
    same(&what("the size"), seen.size, blob.units() * UNIT as u64)?;
    let allocated = info.num_allocated_clusters;
    same(
        &what("the number of allocated clusters"),
        allocated,
        blob.allocated(),
    )?;
    let is_read_only = blob.read_only == ReadOnly::Yes;
    same(&what("is_read_only"), info.is_read_only, is_read_only)?;
    same(&what("is_snapshot"), info.is_snapshot, blob.is_snapshot)?;
    same(&what("is_clone"), info.is_clone, blob.parent.is_some())?;
    let is_thin = info.is_thin_provisioned;
    same(&what("is_thin_provisioned"), is_thin, blob.is_thin)?;
    let parent = blob.parent.map(|parent| model.blob(parent).id);
    same(&what("the parent"), info.parent, parent)?;
    same(&what("the attributes"), &seen.xattrs, &blob.xattrs)
}
