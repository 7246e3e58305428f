//! A case, run on a store of its own and compared with the model.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use serde_json::json;
use spdk::blob::{Blobstore, BsClearMethod, BsOpts};
use spdk::task::yield_now;
use spdk::{Bdev, Errno};
use spdk_tests::memory::Memory;
use spdk_tests::model::check::{Outcome, text, within};
use spdk_tests::model::journal::Journal;
use spdk_tests::model::store::{self, Model};
use spdk_tests::model::threads::{self, Threads};
use spdk_tests::model::{CLUSTER, UNIT};
use spdk_tests::rpc;

use crate::desk::{self, TARGETS};
use crate::externals::Externals;
use crate::plan;
use crate::reload::{By, DROP, Device};
use crate::steps::{Case, End, Kind, Op, Reload, Step, Type};

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
pub(crate) const PART: Duration = Duration::from_secs(10);
/// After how much time a bdev is taken for lost.
const KEPT: Duration = Duration::from_secs(1);

/// Where cases run, one after the other.
pub(crate) struct Ground {
    /// The spdk_threads that make calls: first the current one, which is the metadata thread.
    threads: Threads,
    bdev: String,
    externals: Externals,
}

/// A case that is running.
pub(crate) struct Run<'a> {
    pub(crate) threads: &'a Threads,
    pub(crate) externals: Externals,
    /// How many users these have when no blob is open.
    pub(crate) users: u64,
    pub(crate) device: Device,
    pub(crate) kind: Kind,
    /// For a load.
    pub(crate) opts: BsOpts,
    pub(crate) store: RefCell<Option<Blobstore>>,
    /// How many clusters it had at first.
    pub(crate) total: u64,
    journal: &'a RefCell<Journal>,
}

impl Ground {
    /// With so many spdk_threads.
    pub(crate) async fn new(threads: u8) -> spdk::Result<Self> {
        Ok(Ground {
            threads: Threads::new(threads).await?,
            bdev: "M".to_owned(),
            externals: Externals::new().await?,
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
        let externals = self.externals.clone();
        let opts = BsOpts::new()
            .cluster_size(CLUSTER as u32 * UNIT as u32)
            .num_md_pages(pages)
            .external_snapshots(move |id| externals.find(id));
        let opts = match case.device {
            Kind::Malloc => opts,
            // So few that others wait.
            Kind::Memory => opts
                .max_channel_ops(4)
                .clear_method(BsClearMethod::WriteZeroes),
        };
        let (device, store) = self.init(case.device, is_alone, &first(&opts)).await?;
        let total = store.total_clusters().map_err(text)?;
        let mut run = Run {
            threads: &self.threads,
            externals: self.externals.clone(),
            users: 0,
            device,
            kind: case.device,
            opts,
            store: RefCell::new(Some(store)),
            total,
            journal,
        };
        run.users = run.externals.users();
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
            let device = Device::Memory(memory);
            let store = device.begin(By::Init, opts).await.map_err(text)?;
            return Ok((device, store));
        }
        let start = Instant::now();
        loop {
            let device = Device::Bdev(self.bdev.clone());
            match device.begin(By::Init, opts).await {
                Ok(store) => return Ok((device, store)),
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

/// The options of a new store.
pub(crate) fn first(opts: &BsOpts) -> BsOpts {
    opts.clone().bstype(desk::bstype(Type::First))
}

impl Run<'_> {
    pub(crate) fn store(&self) -> Result<Blobstore, String> {
        let store = self.store.borrow().clone();
        store.ok_or_else(|| "the store is not loaded".to_owned())
    }

    pub(crate) async fn set_up(&self) -> Result<(), String> {
        for thread in self.threads.numbers() {
            let store = self.store()?;
            let memory = match &self.device {
                Device::Memory(memory) => Some(memory.clone()),
                Device::Bdev(_) => None,
            };
            let externals = self.externals.clone();
            let set_up = async move || desk::set_up(thread, store, memory, externals);
            self.threads.on(thread, set_up).await?;
        }
        Ok(())
    }

    /// Has the spdk_threads give back what they have, and drops the store.
    pub(crate) async fn clear(&self) -> Result<(), String> {
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
        let end = if is_alone { End::Unload } else { End::Drop };
        for (end, recover) in [(end, false), (End::Drop, true)] {
            let how = Reload {
                end,
                recover,
                has_grown: false,
            };
            self.reload(ends.iter_mut().flatten(), how, 0).await?;
            let right = self.compare(&ends).await?;
            ends = right.into_iter().map(|model| vec![model]).collect();
        }
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
            if let Op::Reload(how) = step.op {
                let thread = step.thread;
                self.say(&format!("thread {thread}: {how:?}"));
                self.compare(&[vec![model.clone()]]).await?;
                self.reload([&mut model], how, thread).await?;
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
                    self.reload(&mut plan.dropped, DROP, 0).await?;
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
}
