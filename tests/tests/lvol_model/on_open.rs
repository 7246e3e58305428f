//! The calls on an open volume.

use std::rc::Rc;

use spdk::Errno;
use spdk::blob::Xattrs;
use spdk_tests::model::case::{Range, pick};
use spdk_tests::model::check::{Returns, same};
use spdk_tests::model::content::{buffer, compare, fill};
use spdk_tests::model::store::{Model, Name, Open, ReadOnly, TARGETS, ZEROES};

use crate::desk::Desk;
use crate::lvols::{BYTES, COPIES};
use crate::plan::{Plan, Planner};
use crate::steps::{Io, OnOpen, Size, Target};

impl Planner<'_> {
    /// A call on an open volume.
    pub(crate) fn on_open(mut self, open: Open, name: Name, call: OnOpen) -> Option<Plan> {
        let blob = self.before.store.blob(name).clone();
        let is_read_only = blob.read_only == ReadOnly::Yes;
        let about = Some(name);
        let of = |call: &str| format!("o{open}.{call}");
        let is_inside = |range: Range| {
            let end = range.first.checked_add(range.units);
            end.is_some_and(|end| end <= blob.units())
        };
        // What changes a volume.
        let changes = |then: Returns| match is_read_only {
            true => Returns::Errno(Errno::EPERM),
            false => then,
        };
        let invalid = Returns::Errno(Errno::EINVAL);
        let plan = match call {
            OnOpen::Close | OnOpen::Drop => {
                self.after.store.close(open);
                let is_dropped = matches!(call, OnOpen::Drop);
                let text = match is_dropped {
                    true => format!("drop(o{open})"),
                    false => of("close()"),
                };
                self.plan(about, text, Returns::Ok, async move |desk: Rc<Desk>| {
                    let lvol = desk.take(open)?;
                    if !is_dropped {
                        lvol.close().await?;
                    }
                    Ok(())
                })
            }
            OnOpen::Destroy => {
                let returns = self.delete(name, 1)?;
                let later = self.delete_later(name, returns)?;
                self.after.store.close(open);
                let about = about.filter(|name| self.after.store.blobs.contains_key(name));
                let text = of("destroy()");
                let plan = self.plan(about, text, returns, async move |desk: Rc<Desk>| {
                    Ok(desk.take(open)?.destroy().await?)
                });
                plan.or(later)
            }
            OnOpen::Rename(called) => {
                let (new, refused) = self.name(called);
                let returns = match refused {
                    Some(_) if new == self.before.volume(name).name => Returns::Ok,
                    Some(refused) => refused,
                    None => changes(Returns::Ok),
                };
                if returns == Returns::Ok
                    && let Some(volume) = self.after.volumes.get_mut(&name)
                {
                    volume.name = new.clone();
                }
                let text = of(&format!("rename({new:?})"));
                self.plan(about, text, returns, async move |desk: Rc<Desk>| {
                    Ok(desk.lvol(open)?.rename(&new).await?)
                })
            }
            OnOpen::Resize(size) => {
                let bytes = size.bytes();
                let mut returns = changes(Returns::Ok);
                if returns == Returns::Ok {
                    returns = match size {
                        Size::Largest => Returns::Errno(Errno::ENOSPC),
                        _ => Returns::of(&self.after.store.resize(name, bytes.div_ceil(BYTES))),
                    };
                }
                let text = of(&format!("resize({bytes})"));
                self.plan(about, text, returns, async move |desk: Rc<Desk>| {
                    Ok(desk.lvol(open)?.resize(bytes).await?)
                })
            }
            OnOpen::SetReadOnly => {
                self.after.store.blob_mut(name).read_only = ReadOnly::Yes;
                let text = of("set_read_only()");
                self.plan(about, text, Returns::Ok, async move |desk: Rc<Desk>| {
                    Ok(desk.lvol(open)?.set_read_only().await?)
                })
            }
            OnOpen::Snapshot(called) => {
                let (new, refused) = self.name(called);
                let refused = refused.or(is_read_only.then_some(invalid));
                let text = of(&format!("create_snapshot({new:?})"));
                let make = |model: &mut Model| Ok(model.snapshot(name, Xattrs::new()));
                let wanted = new.clone();
                let call = async move |desk: Rc<Desk>| {
                    let lvol = desk.lvol(open)?;
                    Ok(lvol.create_snapshot(&wanted).await?)
                };
                self.making(about, text, new, refused, make, call)?
            }
            OnOpen::Clone(called) => {
                let (new, refused) = self.name(called);
                let refused = refused.or((!is_read_only).then_some(invalid));
                let text = of(&format!("create_clone({new:?})"));
                let make = |model: &mut Model| Ok(model.clone_of(name, Xattrs::new()));
                let wanted = new.clone();
                let call = async move |desk: Rc<Desk>| {
                    let lvol = desk.lvol(open)?;
                    Ok(lvol.create_clone(&wanted).await?)
                };
                self.making(about, text, new, refused, make, call)?
            }
            OnOpen::Inflate => {
                let returns = Returns::of(&self.after.store.inflate(name));
                self.plan(
                    about,
                    of("inflate()"),
                    returns,
                    async move |desk: Rc<Desk>| Ok(desk.lvol(open)?.inflate().await?),
                )
            }
            OnOpen::Decouple => {
                let before = self.before.clone();
                let returns = self.after.store.decouple(name);
                let text = of("decouple_parent()");
                let call = async move |desk: Rc<Desk>| {
                    let lvol = desk.lvol(open)?;
                    Ok(lvol.decouple_parent().await?)
                };
                // It opens the parent first: when it is dropped then, nothing more happens.
                self.plan(about, text, returns, call).or(Some(before))
            }
            OnOpen::SetParent(number) => {
                let same_thread = |(_, (_, thread)): &(_, (_, u8))| *thread == self.thread;
                let all = self.before.store.open.iter().map(|(open, of)| (*open, *of));
                let (parent_open, (parent, _)) = pick(all.filter(same_thread), number)?;
                let store = &self.before.store;
                let snapshot = store.blob(parent);
                let returns = if parent == name || store.depends_on(parent, name) {
                    invalid
                } else if blob.parent == Some(parent) {
                    Returns::Errno(Errno::EEXIST)
                } else if !blob.is_thin || !snapshot.is_snapshot || snapshot.size() != blob.size() {
                    invalid
                } else {
                    let blob = self.after.store.blob_mut(name);
                    (blob.parent, blob.external) = (Some(parent), None);
                    Returns::Ok
                };
                let text = of(&format!("set_parent(&o{parent_open})"));
                self.plan(about, text, returns, async move |desk: Rc<Desk>| {
                    let parent = desk.lvol(parent_open)?;
                    Ok(desk.lvol(open)?.set_parent(&parent).await?)
                })
            }
            OnOpen::SetExternalParent(bdev) => {
                let returns = match bdev.known() {
                    Err(refused) | Ok(Err(refused)) => refused,
                    Ok(Ok(external)) if blob.external == Some(external) => {
                        Returns::Errno(Errno::EEXIST)
                    }
                    Ok(Ok(_)) if !blob.is_thin => invalid,
                    Ok(Ok(external)) => {
                        let blob = self.after.store.blob_mut(name);
                        (blob.parent, blob.external) = (None, Some(external));
                        Returns::Ok
                    }
                };
                let text = of(&format!("set_external_parent({bdev:?})"));
                self.plan(about, text, returns, async move |desk: Rc<Desk>| {
                    let lvol = desk.lvol(open)?;
                    Ok(lvol.set_external_parent(bdev.bdev()).await?)
                })
            }
            OnOpen::ShallowCopy(to) => {
                if !self.before.is_alone() {
                    // It claims the bdev.
                    return None;
                }
                let target = usize::from(to == Target::Small);
                let returns = match to {
                    Target::Missing => Returns::Errno(Errno::ENODEV),
                    Target::Claimed => Returns::Errno(Errno::EPERM),
                    _ if !is_read_only => Returns::Errno(Errno::EPERM),
                    _ if blob.size() > TARGETS[target] => invalid,
                    _ => {
                        self.after.store.shallow_copy(name, target);
                        Returns::Ok
                    }
                };
                let text = of(&format!("shallow_copy({to:?})"));
                self.plan(about, text, returns, async move |desk: Rc<Desk>| {
                    let lvol = desk.lvol(open)?;
                    let mut copy = lvol.shallow_copy(match to {
                        Target::Missing => "Missing",
                        Target::Claimed => desk.store.bdev_name(),
                        _ => COPIES[target],
                    });
                    let mut copied = 0;
                    while let Some(told) = copy.next().await {
                        copied = told?;
                    }
                    same("the number of copied clusters", copied, blob.allocated())?;
                    Ok(())
                })
            }
            OnOpen::Read(range) => {
                let (returns, content) = match is_inside(range) {
                    true => (Returns::Ok, self.before.store.content(name, range)),
                    false => (invalid, Vec::new()),
                };
                let Range { first, units } = range;
                let text = of(&format!("blob().read(io units {first}+{units})"));
                self.plan(about, text, returns, async move |desk: Rc<Desk>| {
                    let lvol = desk.lvol(open)?;
                    let mut buf = buffer(units)?;
                    buf.fill(0xa5);
                    let read = lvol
                        .blob()
                        .read_io_units(&desk.channel, &mut buf, first, units);
                    read.await?;
                    Ok(compare(&buf, first, &content)?)
                })
            }
            OnOpen::Io(io, range) => {
                let store = &mut self.after.store;
                let value = match io {
                    Io::Write => store.generation(),
                    Io::WriteZeroes | Io::Unmap => ZEROES,
                };
                let returns = match (is_read_only, is_inside(range)) {
                    (true, _) => Returns::Errno(Errno::EPERM),
                    (false, false) => invalid,
                    (false, true) if io == Io::Unmap => {
                        store.unmap(name, range);
                        Returns::Ok
                    }
                    (false, true) => Returns::of(&store.write(name, range, value)),
                };
                let Range { first, units } = range;
                let text = of(&format!("blob().{io:?}(io units {first}+{units}, {value})"));
                let call = async move |desk: Rc<Desk>| {
                    let lvol = desk.lvol(open)?;
                    let (blob, channel) = (lvol.blob(), &desk.channel);
                    match io {
                        Io::Write => {
                            let mut buf = buffer(units)?;
                            fill(&mut buf, first, value);
                            blob.write_io_units(channel, &buf, first, units).await?;
                        }
                        Io::WriteZeroes => {
                            blob.write_zeroes_io_units(channel, first, units).await?;
                        }
                        Io::Unmap => blob.unmap_io_units(channel, first, units).await?,
                    }
                    Ok(())
                };
                // While another sequence copies clusters it waits, and is not done if it is dropped then.
                let before = (!self.before.is_alone()).then(|| self.before.clone());
                self.plan(about, text, returns, call).or(before)
            }
        };
        Some(plan)
    }
}
