//! How a store is given back, and loaded or made again.

use spdk::blob::{Blobstore, BsOpts};
use spdk::task::yield_now;
use spdk::{Errno, SpdkThread};
use spdk_tests::memory::Memory;
use spdk_tests::model::check::{same, text, within};
use spdk_tests::model::store::Model;
use spdk_tests::model::{CLUSTER, UNIT};

use crate::case::{PART, Run, first};
use crate::desk;
use crate::externals::find_again;
use crate::plan::next_growth;
use crate::steps::{End, Reload, Type};

/// After a call that was dropped.
pub(crate) const DROP: Reload = Reload {
    end: End::Drop,
    recover: false,
    has_grown: false,
};

/// What a store is on.
#[derive(Clone)]
pub(crate) enum Device {
    Bdev(String),
    Memory(Memory),
}

/// How a store comes to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Init,
    Load,
    LoadGrown,
}

impl Device {
    /// Makes or loads the store.
    pub(crate) async fn begin(&self, by: By, opts: &BsOpts) -> spdk::Result<Blobstore> {
        let opts = Some(opts);
        match (self.clone(), by) {
            (Device::Bdev(bdev), By::Init) => Blobstore::init(&bdev, opts).await,
            (Device::Bdev(bdev), By::Load) => Blobstore::load(&bdev, opts).await,
            (Device::Bdev(bdev), By::LoadGrown) => Blobstore::load_grown(&bdev, opts).await,
            (Device::Memory(memory), By::Init) => Blobstore::init_on(memory, opts).await,
            (Device::Memory(memory), By::Load) => Blobstore::load_on(memory, opts).await,
            (Device::Memory(memory), By::LoadGrown) => Blobstore::load_grown_on(memory, opts).await,
        }
    }

    /// Compares what a store tells of itself, which was just loaded here.
    fn check(&self, store: &Blobstore) -> Result<(), String> {
        let name = match self {
            Device::Bdev(bdev) => bdev,
            Device::Memory(_) => std::any::type_name::<Memory>(),
        };
        same("the name of the device", store.bdev_name(), name)?;
        let here = SpdkThread::get_current().map(|thread| thread.id());
        let metadata_thread = store.metadata_thread().id();
        same("the metadata thread", Some(metadata_thread), here)?;
        let bytes = CLUSTER * UNIT as u64;
        same("the size of a cluster", store.cluster_size(), bytes)?;
        same("the size of a page", store.page_size(), 4096)?;
        same("the size of an io unit", store.io_unit_size(), UNIT as u32)
    }

    /// Does something with the device as soon as the store before does not have it any more.
    async fn free<T>(&self, begin: impl AsyncFn() -> spdk::Result<T>) -> spdk::Result<T> {
        loop {
            match begin().await {
                Err(error) if error.errno() == Some(Errno::EPERM) => yield_now().await,
                begun => return begun,
            }
        }
    }
}

impl Run<'_> {
    /// Gives everything back, and loads the store again, or makes a new one, on this spdk_thread.
    pub(crate) async fn reload<'m>(
        &self,
        models: impl IntoIterator<Item = &'m mut Model>,
        how: Reload,
        thread: u8,
    ) -> Result<(), String> {
        let mut models: Vec<_> = models.into_iter().collect();
        let growth = models.first().filter(|_| how.has_grown);
        let growth = growth.map_or(0, |model| next_growth(model, self.kind));
        let is_alone = models.first().is_some_and(|model| model.total.is_some());
        let known = match &models[..] {
            [model] if is_alone => Some((*model).clone()),
            _ => None,
        };
        within(PART, "the end of the store", self.end(how.end)).await?;
        if let (Device::Bdev(bdev), Some(model)) = (&self.device, known) {
            self.compare_dump(bdev, &model, how.end).await?;
        }
        if let Device::Memory(memory) = &self.device {
            memory.grow(growth * CLUSTER);
        }
        within(PART, "the load of the store", self.load(how, thread)).await?;
        for model in &mut models {
            model.reload();
            model.grow(growth);
            if how.end == End::Destroy {
                model.blobs.clear();
                model.super_blob = None;
                model.bstype = desk::bstype(Type::First);
                model.total = Some(self.store()?.total_clusters().map_err(text)?);
            }
            find_again(model);
        }
        Ok(())
    }

    /// Gives everything back, and the store.
    async fn end(&self, end: End) -> Result<(), String> {
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
        if let Device::Memory(memory) = &self.device {
            while memory.handles() > 1 {
                yield_now().await;
            }
        }
        while self.externals.users() > self.users {
            yield_now().await;
        }
        Ok(())
    }

    async fn load(&self, how: Reload, thread: u8) -> Result<(), String> {
        let (device, opts) = (self.device.clone(), self.opts.clone());
        let load = async move || {
            let by = if how.has_grown {
                By::LoadGrown
            } else {
                By::Load
            };
            let (recover, first) = (opts.clone().force_recover(how.recover), first(&opts));
            let loaded = device.free(async || device.begin(by, &recover).await).await;
            let loaded = match how.end {
                End::Drop | End::Unload => loaded,
                End::Destroy => {
                    let errno = loaded.err().map(|error| error.errno());
                    same("the load of no store", errno, Some(Some(Errno::EILSEQ)))?;
                    device.begin(By::Init, &first).await
                }
            };
            let loaded = loaded.map_err(text)?;
            device.check(&loaded)?;
            Ok(loaded)
        };
        let loaded = self.threads.on(thread, load).await?;
        self.store.replace(Some(loaded));
        self.set_up().await
    }

    /// Compares the blobs of the store that a bdev has, which is not loaded.
    async fn compare_dump(&self, bdev: &str, model: &Model, end: End) -> Result<(), String> {
        let dump = self.device.free(async || Blobstore::dump(bdev).await);
        let dump = within(PART, "the dump", async { dump.await.map_err(text) }).await?;
        let is_gone = dump.contains("(Mismatch)");
        same("that there is no store", is_gone, end == End::Destroy)?;
        if is_gone {
            return Ok(());
        }
        let (mut id, mut ids) = ("", Vec::new());
        for line in dump.lines() {
            if let Some(found) = line.strip_prefix("Blob ID: ") {
                id = found;
            }
            // Another page of a blob is not that of its ID.
            if line.starts_with("In used bit array:") && line.contains(" blob") {
                ids.push(id.to_owned());
            }
        }
        ids.sort();
        let mut expected: Vec<_> = model
            .blobs
            .values()
            .map(|blob| blob.id.to_string())
            .collect();
        expected.sort();
        same("the list of blobs in the dump", ids, expected)
    }
}
