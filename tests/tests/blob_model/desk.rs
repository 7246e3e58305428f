//! What an spdk_thread has of a store, and how it makes calls.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use spdk::blob::{
    Blob, BlobClearMethod, BlobId, BlobInfo, BlobOpenOpts, BlobOpts, Blobstore, BsType, Xattrs,
};
use spdk::{Errno, IoChannel};
use spdk_tests::memory::Memory;
use spdk_tests::model::check::{self, Failure, Outcome, Returns, same, text};
use spdk_tests::model::content::{buffer, compare};
use spdk_tests::model::store::{LOST, Open, Unit};
use spdk_tests::model::{CLUSTER, UNIT, threads};

use crate::externals::Externals;
use crate::plan::Call;
use crate::steps::{Clear, Type};

/// The bdevs that blobs are copied to.
pub(crate) const TARGETS: [&str; 2] = ["Large", "Small"];

/// What an spdk_thread works with.
pub(crate) struct Desk {
    store: Blobstore,
    pub(crate) channel: IoChannel,
    memory: Option<Memory>,
    externals: Externals,
    open: RefCell<BTreeMap<Open, Rc<Blob>>>,
}

/// What is seen of an open blob.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) info: BlobInfo,
    pub(crate) size: u64,
    pub(crate) external: Option<Vec<u8>>,
    pub(crate) xattrs: Xattrs,
}

pub(crate) fn bstype(of: Type) -> BsType {
    let name = match of {
        Type::First => "a model",
        Type::Other => "another",
        Type::Empty => "",
    };
    BsType::new(name).unwrap_or_default()
}

fn clear_method(of: Clear) -> BlobClearMethod {
    match of {
        Clear::Default => BlobClearMethod::Default,
        Clear::Unmap => BlobClearMethod::Unmap,
        Clear::WriteZeroes => BlobClearMethod::WriteZeroes,
    }
}

/// Gives the current spdk_thread, which has this number, what it works with.
pub(crate) fn set_up(
    thread: u8,
    store: Blobstore,
    memory: Option<Memory>,
    externals: Externals,
) -> Result<(), String> {
    let desk = Desk {
        channel: store.alloc_io_channel().map_err(text)?,
        store,
        memory,
        externals,
        open: RefCell::default(),
    };
    threads::set_desk(thread, desk);
    Ok(())
}

pub(crate) fn of(thread: u8) -> Result<Rc<Desk>, String> {
    threads::desk(thread)
}

/// Makes a call; with `polls`, its future is dropped after so many if it is not ready by then.
pub(crate) async fn perform(
    thread: u8,
    call: Call,
    returns: Returns,
    polls: Option<u8>,
) -> Result<Outcome<BlobId>, String> {
    let desk = of(thread)?;
    let can_be_dropped = !matches!(
        call,
        Call::Drop(_) | Call::FailSync(..) | Call::EndInUse { .. }
    );
    let polls = polls.filter(|_| can_be_dropped);
    Ok(check::perform(desk.make(call), returns, polls).await)
}

impl Desk {
    fn blob(&self, open: Open) -> Result<Rc<Blob>, Failure> {
        let blob = self.open.borrow().get(&open).cloned();
        blob.ok_or_else(|| Failure::Wrong(format!("o{open} is not open")))
    }

    fn take(&self, open: Open) -> Result<Blob, Failure> {
        let blob = self.open.borrow_mut().remove(&open);
        let blob = blob.and_then(|blob| Rc::try_unwrap(blob).ok());
        blob.ok_or_else(|| Failure::Wrong(format!("o{open} is not open, or in use")))
    }

    async fn make(&self, call: Call) -> Result<Option<BlobId>, Failure> {
        let store = &self.store;
        match call {
            Call::Create(shape, xattrs) => {
                let opts = BlobOpts::new()
                    .num_clusters(shape.clusters)
                    .thin_provision(shape.is_thin)
                    .use_extent_table(shape.has_table)
                    .clear_method(clear_method(shape.clear))
                    .xattrs(xattrs);
                let opts = match shape.external {
                    Some(external) => opts.external_snapshot(external.id().as_bytes()),
                    None => opts,
                };
                return Ok(Some(store.create_blob(Some(&opts)).await?));
            }
            Call::Snapshot(id, xattrs) => {
                return Ok(Some(store.create_snapshot(id, &xattrs).await?));
            }
            Call::Clone(id, xattrs) => return Ok(Some(store.create_clone(id, &xattrs).await?)),
            Call::Open(id, open, clear) => {
                let opts = BlobOpenOpts::new().clear_method(clear_method(clear));
                let blob = store.open_blob(id, Some(&opts)).await?;
                self.open.borrow_mut().insert(open, Rc::new(blob));
            }
            Call::Close(open) => self.take(open)?.close().await?,
            Call::Drop(open) => drop(self.take(open)?),
            Call::Delete(id) => store.delete_blob(id).await?,
            Call::Resize(open, clusters) => self.blob(open)?.resize(clusters).await?,
            Call::Sync(open) => self.blob(open)?.sync().await?,
            Call::SetReadOnly(open) => self.blob(open)?.set_read_only().await?,
            Call::Read(open, range, form, expected) => {
                self.read(&*self.blob(open)?, range, form, &expected)
                    .await?;
            }
            Call::Write(open, range, form, value) => {
                self.write(&*self.blob(open)?, range, form, value).await?;
            }
            Call::WriteZeroes(open, range, form) => {
                self.write_zeroes(&*self.blob(open)?, range, form).await?;
            }
            Call::Unmap(open, range, form) => self.unmap(&*self.blob(open)?, range, form).await?,
            Call::Misaligned(open, range) => {
                let at = range.first.saturating_mul(UNIT as u64).saturating_sub(1) | 1;
                let buf = buffer(range.units)?;
                self.blob(open)?.write(&self.channel, &buf, at).await?;
            }
            Call::Allocated(open, unit, [has, has_not]) => {
                let blob = self.blob(open)?;
                let next = blob.next_allocated_io_unit(unit).await?;
                same("the next unit that is allocated", next, has)?;
                let next = blob.next_unallocated_io_unit(unit).await?;
                same("the next unit that is not allocated", next, has_not)?;
            }
            Call::SetXattr(open, name, value) => {
                self.blob(open)?.set_xattr(&name, &value).await?;
            }
            Call::RemoveXattr(open, name) => self.blob(open)?.remove_xattr(&name).await?,
            Call::Xattr(open, name, expected) => {
                let value = self.blob(open)?.xattr(&name).await?;
                same("the attribute", value, expected)?;
            }
            Call::SetExternal(open, to) => {
                let external = self.externals.get(to);
                self.blob(open)?.set_external_snapshot(external).await?;
            }
            Call::SetExternalParent(open, to) => {
                let (id, external) = (to.id().as_bytes(), self.externals.get(to));
                self.blob(open)?.set_external_parent(id, external).await?;
            }
            Call::Inflate(id) => store.inflate_blob(id).await?,
            Call::Decouple(id) => store.decouple_parent(id).await?,
            Call::SetParent(id, snapshot) => store.set_parent(id, snapshot).await?,
            Call::ShallowCopy(id, target, clusters) => {
                let mut copy = store.shallow_copy(id, TARGETS[target]);
                let mut copied = 0;
                while let Some(told) = copy.next().await {
                    copied = told?;
                }
                same("the number of copied clusters", copied, clusters)?;
            }
            Call::SetSuper(id) => store.set_super_blob(id).await?,
            Call::SetType(to) => store.set_bstype(bstype(to)).await?,
            Call::Grow(clusters) => {
                if let Some(memory) = &self.memory {
                    memory.grow(clusters * CLUSTER);
                }
                store.grow().await?;
            }
            Call::FailSync(open, name, value) => {
                let blob = self.blob(open)?;
                blob.set_xattr(&name, &value).await?;
                let Some(memory) = &self.memory else {
                    return Err(Failure::Wrong("this device does not fail".to_owned()));
                };
                memory.fail_writes(0, u64::MAX);
                let synced = blob.sync().await;
                memory.heal();
                synced?;
            }
            Call::EndInUse { is_destroyed: true } => store.destroy().await?,
            Call::EndInUse { .. } => store.unload().await?,
        }
        Ok(None)
    }

    /// What an open blob tells; and what is wrong, if it does not read like this.
    pub(crate) async fn look(
        &self,
        open: Open,
        content: Option<Vec<Unit>>,
    ) -> Result<Seen, String> {
        let blob = match self.blob(open) {
            Ok(blob) => blob,
            Err(_) => return Err(format!("o{open} is not open")),
        };
        self.look_at(&blob, content).await
    }

    async fn look_at(&self, blob: &Blob, content: Option<Vec<Unit>>) -> Result<Seen, String> {
        if let Some(content) = content.filter(|content| !content.is_empty()) {
            let units = content.len() as u64;
            let mut buf = buffer(units).map_err(text)?;
            let read = blob.read_io_units(&self.channel, &mut buf, 0, units);
            match read.await {
                Err(error) if content.contains(&LOST) => {
                    same("the error of the read", error.errno(), Some(Errno::EIO))?;
                }
                read => {
                    read.map_err(text)?;
                    compare(&buf, 0, &content)?;
                }
            }
        }
        let (clusters, units) = (blob.num_clusters(), blob.num_io_units());
        let clusters = clusters.map_err(text)?;
        same(
            "the number of io units",
            units.map_err(text)?,
            clusters * CLUSTER,
        )?;
        same("the size of an io unit", blob.io_unit_size(), UNIT as u32)?;
        Ok(Seen {
            info: blob.info().await.map_err(text)?,
            size: blob.size().map_err(text)?,
            external: blob.external_snapshot_id().await.map_err(text)?,
            xattrs: blob.xattrs().await.map_err(text)?,
        })
    }

    /// The same of a blob that is opened for it.
    pub(crate) async fn open_and_look(
        &self,
        id: BlobId,
        content: Vec<Unit>,
    ) -> Result<Seen, String> {
        let blob = self.store.open_blob(id, None).await.map_err(text)?;
        let seen = self.look_at(&blob, Some(content)).await;
        blob.close().await.map_err(text)?;
        seen
    }
}
