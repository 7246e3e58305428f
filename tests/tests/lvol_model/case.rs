//! A case, run on a store of its own and compared with the model.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::try_join_all;
use spdk::Errno;
use spdk::lvol::{LvolInfo, LvolStore, LvsOpts};
use spdk::task::yield_now;
use spdk_tests::model::CLUSTER;
use spdk_tests::model::check::{Outcome, perform, right_ones, same, text, within};
use spdk_tests::model::content::{compare_bdev, fill_bdev};
use spdk_tests::model::journal::Journal;
use spdk_tests::model::store::{Name, ReadOnly, TARGETS, ZEROES};
use spdk_tests::model::threads::{self, Threads};

use crate::desk::{self, Seen, Uuid};
use crate::devices;
use crate::lvols::{BYTES, COPIES, Lvols, NEIGHBOR, named};
use crate::plan;
use crate::steps::{Called, Case, End, Kind, Op, Step};

/// How many clusters the bdev has, and how many pages there are for metadata for a hundred of them: so that about fifty
/// are left for volumes, which is few; or enough for sequences side by side.
const FEW: (u64, u32) = (112, 200);
const MANY: (u64, u32) = (1100, 100);
/// How long a case may take, and one part of it.
const CASE: Duration = Duration::from_secs(30);
const PART: Duration = Duration::from_secs(10);
/// After how much time a bdev is taken for lost.
const KEPT: Duration = Duration::from_secs(1);
/// The name of a store that was just made.
const FIRST: Called = Called::Number(1);

/// Where cases run, one after the other.
pub(crate) struct Ground {
    /// The spdk_threads that make calls: first the current one.
    threads: Threads,
    cases: u64,
    /// It has a name that others cannot have.
    _neighbor: LvolStore,
}

/// A case that is running.
struct Run<'a> {
    threads: &'a Threads,
    bdev: String,
    kind: Kind,
    opts: LvsOpts,
    store: RefCell<Option<LvolStore>>,
    uuid: Cell<Uuid>,
    /// How many clusters it had at first.
    total: u64,
    journal: &'a RefCell<Journal>,
}

impl Ground {
    /// With so many spdk_threads.
    pub(crate) async fn new(threads: u8) -> spdk::Result<Self> {
        devices::make_others().await?;
        let (name, _) = named("store ", NEIGHBOR);
        Ok(Ground {
            threads: Threads::new(threads).await?,
            cases: 0,
            _neighbor: LvolStore::init("Neighbor", &name, None).await?,
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
        for (bdev, clusters) in COPIES.into_iter().zip(TARGETS) {
            fill_bdev(bdev, clusters * CLUSTER, ZEROES)
                .await
                .map_err(text)?;
        }
        self.cases += 1;
        let (bdev, kind) = (format!("B{}", self.cases), case.device);
        let (clusters, pages) = if case.lanes.len() == 1 { FEW } else { MANY };
        devices::make(&bdev, kind, clusters).await?;
        let opts = LvsOpts::new().cluster_size(BYTES as u32);
        let opts = opts.num_md_pages_per_cluster_ratio(pages);
        let (name, _) = named("store ", FIRST);
        let store = LvolStore::init(&bdev, &name, Some(&opts)).await;
        let store = store.map_err(text)?;
        let run = Run {
            threads: &self.threads,
            bdev: bdev.clone(),
            kind,
            opts,
            uuid: Cell::new(store.uuid()),
            total: store.total_clusters().map_err(text)?,
            store: RefCell::new(Some(store)),
            journal,
        };
        let result = within(CASE, "the case", run.all(case)).await;
        // Whatever is left of one that went wrong.
        let cleared = within(PART, "giving everything back", run.clear()).await;
        // One that is in use after that is kept.
        let deleted = within(KEPT, "the end of the store", devices::delete(&bdev, kind)).await;
        result.and(cleared).and(deleted)
    }
}

impl Run<'_> {
    fn store(&self) -> Result<LvolStore, String> {
        let store = self.store.borrow().clone();
        store.ok_or_else(|| "the store is not loaded".to_owned())
    }

    fn say(&self, line: &str) {
        self.journal.borrow_mut().line(line);
    }

    async fn set_up(&self) -> Result<(), String> {
        for thread in self.threads.numbers() {
            let store = self.store()?;
            let set_up = async move || desk::set_up(thread, store);
            self.threads.on(thread, set_up).await?;
        }
        Ok(())
    }

    /// Has the spdk_threads give back what they have, and drops the store.
    async fn clear(&self) -> Result<(), String> {
        for thread in self.threads.numbers() {
            let clear = async move || {
                threads::clear_desk(thread);
                Ok(())
            };
            self.threads.on(thread, clear).await?;
        }
        self.store.borrow_mut().take();
        Ok(())
    }

    async fn all(&self, case: &Case) -> Result<(), String> {
        self.set_up().await?;
        let is_alone = case.lanes.len() == 1;
        let name = self.store()?.name();
        let lanes = case.lanes.iter().zip(0..).map(|(steps, lane)| {
            let model = Lvols::new(&name, is_alone.then_some(self.total), lane);
            self.lane(lane, steps, model)
        });
        let mut ends = try_join_all(lanes).await?;
        self.say("the end: everything is compared, as it is and when it was loaded again");
        let end = if is_alone { End::Unload } else { End::Drop };
        for end in [end, End::Drop] {
            self.reload(ends.iter_mut().flatten(), end, false, 0)
                .await?;
            ends = self
                .compare(&ends)
                .await?
                .into_iter()
                .map(|model| vec![model])
                .collect();
        }
        self.clear().await
    }

    /// Runs a sequence; returns the models of which one is right at its end.
    async fn lane(
        &self,
        lane: u32,
        steps: &[Step],
        mut model: Lvols,
    ) -> Result<Vec<Lvols>, String> {
        for step in steps {
            if let Op::Reload { end, has_grown } = step.op {
                let (by, thread) = (if has_grown { "load_grown" } else { "load" }, step.thread);
                self.say(&format!("thread {thread}: {end:?}, {by}()"));
                self.compare(&[vec![model.clone()]]).await?;
                self.reload([&mut model], end, has_grown, thread).await?;
                self.compare(&[vec![model.clone()]]).await?;
                continue;
            }
            let Some(mut plan) = plan::plan(&model, step, self.kind) else {
                continue;
            };
            let polls = step.dropped.filter(|_| plan.dropped.is_some());
            let dropped = polls.map_or_else(String::new, |polls| {
                format!("  // dropped after {polls} polls")
            });
            let (thread, call, returns) = (plan.thread, plan.call, plan.returns);
            self.say(&format!(
                "lane {lane}, thread {thread}: {}  // {returns}{dropped}",
                plan.text
            ));
            let call = async move || {
                let desk = desk::of(thread)?;
                Ok(perform(call(desk), returns, polls).await)
            };
            let outcome = within(PART, &plan.text, self.threads.on(thread, call)).await?;
            match outcome {
                Outcome::Wrong(wrong) => return Err(format!("{}: {wrong}", plan.text)),
                Outcome::Expected(new) => {
                    model = plan.after;
                    if let (Some(name), Some(new)) = (plan.new, new) {
                        model.made(name, new);
                    }
                }
                // Nothing happens before the first poll.
                Outcome::Dropped if polls == Some(0) => self.say("    it was dropped"),
                Outcome::Dropped => {
                    self.say("    it was dropped in flight");
                    let mut dropped = plan.dropped.take().unwrap_or_default();
                    if !model.is_alone() {
                        return Ok(dropped);
                    }
                    self.reload(&mut dropped, End::Drop, false, 0).await?;
                    let found = self.compare(&[dropped]).await;
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

    /// Gives everything back, and loads the store again, on this spdk_thread.
    async fn reload<'m>(
        &self,
        models: impl IntoIterator<Item = &'m mut Lvols>,
        end: End,
        has_grown: bool,
        thread: u8,
    ) -> Result<(), String> {
        let mut models: Vec<_> = models.into_iter().collect();
        let growth = models.first().filter(|_| has_grown);
        let growth = growth
            .and_then(|model| model.next_growth(self.kind))
            .unwrap_or(0);
        within(PART, "the unload of the store", async {
            let store = self.store()?;
            self.clear().await?;
            loop {
                let ended = match end {
                    End::Drop => Ok(()),
                    End::Unload => store.unload().await,
                    End::Destroy => store.destroy().await,
                };
                match ended {
                    // What was dropped has not ended.
                    Err(error) if error.errno() == Some(Errno::EBUSY) => yield_now().await,
                    ended => break ended.map_err(text)?,
                }
            }
            drop(store);
            if growth > 0 {
                devices::enlarge(&self.bdev, growth).await?;
            }
            let (bdev, opts) = (self.bdev.clone(), self.opts.clone());
            let load = async move || match end {
                End::Destroy => init(&bdev, &opts).await,
                _ => load(&bdev, has_grown).await,
            };
            self.store
                .replace(Some(self.threads.on(thread, load).await?));
            self.set_up().await
        })
        .await?;
        let store = self.store()?;
        for model in &mut models {
            model.reload(end, growth);
        }
        if let ([model], End::Destroy) = (&mut models[..], end) {
            model.name = store.name();
            model.store.total = Some(store.total_clusters().map_err(text)?);
            let old = self.uuid.replace(store.uuid());
            same(
                "that the new store has the old UUID",
                store.uuid() == old,
                false,
            )?;
        }
        Ok(())
    }

    /// Compares what can be seen without opening anything, and the content of the volume that the last step was about.
    async fn look(&self, model: &Lvols, about: Option<Name>) -> Result<(), String> {
        for (open, (name, thread)) in &model.store.open {
            let (open, thread) = (*open, *thread);
            let content = (about == Some(*name)).then(|| model.store.all_content(*name));
            let look = async move || {
                let desk = desk::of(thread)?;
                let lvol = desk.lvol(open).map_err(|_| "it is not open")?;
                desk.look(&lvol, content).await
            };
            let seen = self.threads.on(thread, look).await;
            let seen = seen.map_err(|wrong| format!("v{name}, o{open}: {wrong}"))?;
            is_as_seen(model, *name, &seen)?;
        }
        let store = self.store()?;
        same("the UUID of the store", store.uuid(), self.uuid.get())?;
        same("the name of the store", store.name(), model.name.clone())?;
        let (Some(total), Some(free)) = (model.store.total, model.store.free()) else {
            return Ok(());
        };
        let found = store.total_clusters().map_err(text)?;
        same("the number of clusters", found, total)?;
        let found = store.free_clusters().map_err(text)?;
        same("the number of free clusters", found, free)?;
        let mut lvols = list(&store).await?;
        for name in model.store.blobs.keys() {
            let listed = lvols.remove(&model.volume(*name).name);
            let info = listed.ok_or_else(|| format!("v{name} is not listed"))?;
            is_told(model, *name, &info)?;
        }
        same("the list of other volumes", lvols, BTreeMap::new())
    }

    /// Compares all that there is with one model of each sequence; returns these.
    async fn compare(&self, lanes: &[Vec<Lvols>]) -> Result<Vec<Lvols>, String> {
        let right = right_ones(lanes, async |model| self.compare_one(model).await).await?;
        let store = self.store()?;
        let of_all = |model: &Lvols| -> Vec<_> {
            let names = model.store.blobs.keys();
            names.map(|name| model.volume(*name).name.clone()).collect()
        };
        let expected: BTreeSet<_> = right.iter().flat_map(of_all).collect();
        let found: BTreeSet<_> = list(&store).await?.into_keys().collect();
        same("the list of volumes", found, expected)?;
        let blobs = right.iter().flat_map(|model| model.store.blobs.values());
        let used: u64 = blobs.map(|blob| blob.allocated()).sum();
        let total = right.first().and_then(|model| model.store.total);
        let free = store.free_clusters().map_err(text)?;
        same(
            "the number of free clusters",
            free,
            total.unwrap_or(self.total) - used,
        )?;
        Ok(right)
    }

    async fn compare_one(&self, model: &Lvols) -> Result<(), String> {
        self.look(model, None).await?;
        for name in model.store.blobs.keys() {
            let (volume, content) = (model.volume(*name).clone(), model.store.all_content(*name));
            let look = async move || {
                let desk = desk::of(0)?;
                desk.open_and_look(volume.name, volume.uuid, content).await
            };
            let seen = self.threads.on(0, look).await;
            let seen = seen.map_err(|wrong| format!("v{name}: {wrong}"))?;
            is_as_seen(model, *name, &seen)?;
        }
        if model.is_alone() {
            for (bdev, content) in COPIES.iter().zip(&model.store.targets) {
                compare_bdev(bdev, content).await?;
            }
        }
        Ok(())
    }
}

/// Makes a store anew where one was destroyed.
async fn init(bdev: &str, opts: &LvsOpts) -> Result<LvolStore, String> {
    let [first, neighbor] = [FIRST, NEIGHBOR].map(|called| named("store ", called).0);
    let loaded = LvolStore::load(bdev).await.map_err(|error| error.errno());
    same(
        "the load of no store",
        loaded.err(),
        Some(Some(Errno::EILSEQ)),
    )?;
    let init = LvolStore::init(bdev, &neighbor, Some(opts)).await;
    let init = init.map_err(|error| error.errno());
    same(
        "the init by a name that is taken",
        init.err(),
        Some(Some(Errno::EEXIST)),
    )?;
    LvolStore::init(bdev, &first, Some(opts))
        .await
        .map_err(text)
}

async fn load(bdev: &str, has_grown: bool) -> Result<LvolStore, String> {
    loop {
        let loaded = match has_grown {
            true => LvolStore::load_grown(bdev).await,
            false => LvolStore::load(bdev).await,
        };
        match loaded {
            // The one before has the bdev still.
            Err(error) if error.errno() == Some(Errno::EPERM) => yield_now().await,
            loaded => return loaded.map_err(text),
        }
    }
}

/// The volumes of a store, by their names.
async fn list(store: &LvolStore) -> Result<BTreeMap<String, LvolInfo>, String> {
    let lvols = store.lvols().await.map_err(text)?;
    let count = lvols.len();
    let lvols: BTreeMap<_, _> = lvols
        .into_iter()
        .map(|lvol| (lvol.name.clone(), lvol))
        .collect();
    same("how many names so many volumes have", lvols.len(), count)?;
    Ok(lvols)
}

fn is_as_seen(model: &Lvols, name: Name, seen: &Seen) -> Result<(), String> {
    is_told(model, name, &seen.info)?;
    let what = |what: &str| format!("{what} of v{name}");
    same(&what("the size"), seen.size, seen.info.size)?;
    same(&what("the UUID"), seen.uuid, seen.info.uuid)?;
    same(&what("is_degraded"), seen.is_degraded, false)?;
    let clones = model.store.clones(name);
    same(&what("is_deletable"), seen.is_deletable, clones.is_empty())?;
    let clones = clones.iter().map(|clone| model.volume(*clone).name.clone());
    let (clones, mut found): (BTreeSet<_>, _) = (clones.collect(), seen.clones.clone());
    found.sort();
    same(&what("the clones"), found, clones.into_iter().collect())
}

fn is_told(model: &Lvols, name: Name, info: &LvolInfo) -> Result<(), String> {
    let (blob, volume) = (model.store.blob(name), model.volume(name));
    let what = |what: &str| format!("{what} of v{name}");
    same(&what("the name"), &info.name, &volume.name)?;
    same(&what("the UUID"), info.uuid, volume.uuid)?;
    same(&what("the ID"), info.blob_id, blob.id)?;
    same(&what("the size"), info.size, blob.size() * BYTES)?;
    let allocated = info.num_allocated_clusters;
    same(
        &what("the number of allocated clusters"),
        allocated,
        blob.allocated(),
    )?;
    let is_read_only = blob.read_only == ReadOnly::Yes;
    same(&what("is_read_only"), info.is_read_only, is_read_only)?;
    same(&what("is_snapshot"), info.is_snapshot, blob.is_snapshot)?;
    let is_esnap_clone = blob.external.is_some();
    same(&what("is_esnap_clone"), info.is_esnap_clone, is_esnap_clone)?;
    same(&what("is_thin"), info.is_thin, blob.is_thin)?;
    same(&what("is_degraded"), info.is_degraded, false)?;
    let parent = blob.parent.map(|parent| model.store.blob(parent).id);
    same(&what("the parent"), info.parent, parent)
}
