//! What an spdk_thread has of a store, and how it makes calls.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use spdk::blob::{Blob, BlobId, BlobInfo, BlobOpts, Blobstore, BsType, Xattrs};
use spdk::{DmaBuf, Errno, IoChannel};
use spdk_tests::memory::Memory;
use spdk_tests::model::case::Range;
use spdk_tests::model::check::{self, Failure, Outcome, Returns, same, text};
use spdk_tests::model::content::{buffer, compare, fill};
use spdk_tests::model::store::{Open, Unit};
use spdk_tests::model::{CLUSTER, UNIT, threads};

use crate::plan::{Call, GROWTH};
use crate::queue::{self, Io};
use crate::steps::{Form, Type};

/// The bdevs that blobs are copied to.
pub(crate) const TARGETS: [&str; 2] = ["Large", "Small"];

/// What an spdk_thread works with.
pub(crate) struct Desk {
    store: Blobstore,
    channel: IoChannel,
    memory: Option<Memory>,
    open: RefCell<BTreeMap<Open, Rc<Blob>>>,
}

/// What is seen of an open blob.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) info: BlobInfo,
    pub(crate) size: u64,
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

/// Gives the current spdk_thread, which has this number, what it works with.
pub(crate) fn set_up(thread: u8, store: Blobstore, memory: Option<Memory>) -> Result<(), String> {
    let desk = Desk {
        channel: store.alloc_io_channel().map_err(text)?,
        store,
        memory,
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
    let can_be_dropped = !matches!(call, Call::Drop(_) | Call::FailSync(..) | Call::UnloadInUse);
    let polls = polls.filter(|_| can_be_dropped);
    Ok(check::perform(desk.make(call), returns, polls).await)
}

/// So many io units in so many buffers, at most.
fn buffers(units: u64, count: u8) -> spdk::Result<Vec<DmaBuf>> {
    let (mut left, mut bufs) = (units, Vec::new());
    while left > 0 {
        let is_last = bufs.len() + 1 == usize::from(count);
        let length = if is_last { left } else { left.div_ceil(3) };
        bufs.push(buffer(length)?);
        left -= length;
    }
    Ok(bufs)
}

/// The byte of an io unit; where there is none, SPDK is asked in io units.
fn byte(range: Range, form: Form) -> Option<u64> {
    let is_in_bytes = matches!(form, Form::Bytes | Form::VectorBytes(_));
    range.first.checked_mul(UNIT as u64).filter(|_| is_in_bytes)
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
                    .xattrs(xattrs);
                return Ok(Some(store.create_blob(Some(&opts)).await?));
            }
            Call::Snapshot(id, xattrs) => {
                return Ok(Some(store.create_snapshot(id, &xattrs).await?));
            }
            Call::Clone(id, xattrs) => return Ok(Some(store.create_clone(id, &xattrs).await?)),
            Call::Open(id, open) => {
                let blob = store.open_blob(id, None).await?;
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
                let (blob, Range { first, units }) = (self.blob(open)?, range);
                match byte(range, form) {
                    _ if form.is_queue() => {
                        self.queue(&blob, range, form, Io::WriteZeroes).await?;
                    }
                    None => {
                        blob.write_zeroes_io_units(&self.channel, first, units)
                            .await?
                    }
                    Some(at) => {
                        let length = units * UNIT as u64;
                        blob.write_zeroes(&self.channel, at, length).await?;
                    }
                }
            }
            Call::Unmap(open, range, form) => {
                let (blob, Range { first, units }) = (self.blob(open)?, range);
                match byte(range, form) {
                    _ if form.is_queue() => self.queue(&blob, range, form, Io::Unmap).await?,
                    None => blob.unmap_io_units(&self.channel, first, units).await?,
                    Some(at) => blob.unmap(&self.channel, at, units * UNIT as u64).await?,
                }
            }
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
            Call::Grow => {
                let units = GROWTH * CLUSTER;
                if let Some(memory) = &self.memory {
                    memory.grow(units);
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
            Call::UnloadInUse => store.unload().await?,
        }
        Ok(None)
    }

    async fn read(
        &self,
        blob: &Blob,
        range: Range,
        form: Form,
        expected: &[Unit],
    ) -> Result<(), Failure> {
        let (channel, Range { first, units }) = (&self.channel, range);
        let bytes = match form {
            Form::Units | Form::Bytes => {
                let mut buf = buffer(units)?;
                buf.fill(0xa5);
                match byte(range, form) {
                    None => blob.read_io_units(channel, &mut buf, first, units).await?,
                    Some(at) => blob.read(channel, &mut buf, at).await?,
                }
                buf.to_vec()
            }
            Form::VectorUnits(count) | Form::VectorBytes(count) => {
                let mut bufs = buffers(units, count)?;
                bufs.iter_mut().for_each(|buf| buf.fill(0xa5));
                match byte(range, form) {
                    None => {
                        blob.readv_io_units(channel, &mut bufs, first, units)
                            .await?
                    }
                    Some(at) => blob.readv(channel, &mut bufs, at).await?,
                }
                bufs.iter().flat_map(|buf| buf.to_vec()).collect()
            }
            Form::Queue(_) | Form::Closures(_) => {
                return self.queue(blob, range, form, Io::Read(expected)).await;
            }
        };
        compare(&bytes, first, expected).map_err(Failure::Wrong)
    }

    async fn write(
        &self,
        blob: &Blob,
        range: Range,
        form: Form,
        value: Unit,
    ) -> Result<(), Failure> {
        let (channel, Range { first, units }) = (&self.channel, range);
        match form {
            Form::Units | Form::Bytes => {
                let mut buf = buffer(units)?;
                fill(&mut buf, first, value);
                match byte(range, form) {
                    None => blob.write_io_units(channel, &buf, first, units).await?,
                    Some(at) => blob.write(channel, &buf, at).await?,
                }
            }
            Form::VectorUnits(count) | Form::VectorBytes(count) => {
                let (mut bufs, mut at) = (buffers(units, count)?, first);
                for buf in &mut bufs {
                    fill(buf, at, value);
                    at += (buf.len() / UNIT) as u64;
                }
                match byte(range, form) {
                    None => blob.writev_io_units(channel, &bufs, first, units).await?,
                    Some(at) => blob.writev(channel, &bufs, at).await?,
                }
            }
            Form::Queue(_) | Form::Closures(_) => {
                self.queue(blob, range, form, Io::Write(value)).await?;
            }
        }
        Ok(())
    }

    async fn queue(
        &self,
        blob: &Blob,
        range: Range,
        form: Form,
        io: Io<'_>,
    ) -> Result<(), Failure> {
        let parts = queue::parts(range, form, blob.num_io_units()?);
        queue::perform(blob, &self.channel, parts, form, io).await
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
            read.await.map_err(text)?;
            compare(&buf, 0, &content)?;
        }
        Ok(Seen {
            info: blob.info().await.map_err(text)?,
            size: blob.size().map_err(text)?,
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

/// Whether an unload was refused since the store is in use.
pub(crate) fn is_in_use(error: &spdk::Error) -> bool {
    error.errno() == Some(Errno::EBUSY)
}
