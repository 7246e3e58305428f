//! What a step calls, what that must return, and what is there afterwards.

use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use spdk::Errno;
use spdk::blob::Xattrs;
use spdk::lvol::{Lvol, LvolOpts};
use spdk_tests::model::CLUSTER;
use spdk_tests::model::case::pick;
use spdk_tests::model::check::{Failure, Returns};
use spdk_tests::model::store::{Failed, Model, Name};

use crate::desk::{Desk, New, Uuid};
use crate::devices::enlarge;
use crate::lvols::{BYTES, Lvols, NEIGHBOR, VOLUMES, Volume, named};
use crate::steps::{Called, External, Kind, Op, Size, Step};

type Running = LocalBoxFuture<'static, Result<Option<New>, Failure>>;

/// What a thread does with what it has.
pub(crate) type Call = Box<dyn FnOnce(Rc<Desk>) -> Running + Send>;

pub(crate) struct Plan {
    pub(crate) thread: u8,
    pub(crate) call: Call,
    pub(crate) returns: Returns,
    /// When it has returned that.
    pub(crate) after: Lvols,
    /// When its future was dropped after the first poll: one of these. `None` if it cannot be.
    pub(crate) dropped: Option<Vec<Lvols>>,
    /// The volume that it makes.
    pub(crate) new: Option<Name>,
    /// The volume that it is about.
    pub(crate) about: Option<Name>,
    /// As code.
    pub(crate) text: String,
}

impl Plan {
    /// If its future was dropped, there may be this too.
    pub(crate) fn or(mut self, other: Option<Lvols>) -> Self {
        self.dropped
            .iter_mut()
            .for_each(|all| all.extend(other.clone()));
        self
    }
}

/// What makes the plan of a step.
pub(crate) struct Planner<'a> {
    pub(crate) before: &'a Lvols,
    pub(crate) after: Lvols,
    pub(crate) thread: u8,
}

/// What a step does, if it does anything.
pub(crate) fn plan(model: &Lvols, step: &Step, device: Kind) -> Option<Plan> {
    let planner = |thread| Planner {
        before: model,
        after: model.clone(),
        thread,
    };
    let this = planner(step.thread);
    match step.op {
        Op::Create {
            name,
            is_thin,
            size,
        } => this.create(name, is_thin, size),
        Op::CreateExternal { name, bdev } => this.create_external(name, bdev),
        Op::Open { lvol, by_uuid } => this.open(lvol, by_uuid),
        Op::Destroy { lvol } => this.destroy(lvol),
        Op::RenameStore { name } => Some(this.rename_store(name)),
        Op::Grow => this.grow(device),
        Op::EndInUse { is_destroyed } => Some(this.end_in_use(is_destroyed)),
        Op::Reload { .. } => None,
        Op::On { open, call } => {
            let all = model.store.open.iter().map(|(open, of)| (*open, *of));
            let (open, (name, thread)) = pick(all, open)?;
            planner(thread).on_open(open, name, call)
        }
    }
}

impl Planner<'_> {
    /// The call changes nothing but what was said, whether it is dropped or not.
    pub(crate) fn plan(
        self,
        about: Option<Name>,
        text: String,
        returns: Returns,
        call: impl AsyncFnOnce(Rc<Desk>) -> Result<(), Failure> + Send + 'static,
    ) -> Plan {
        let call = async move |desk| call(desk).await.map(|()| None);
        self.plan_new(about, text, returns, call)
    }

    fn plan_new(
        self,
        about: Option<Name>,
        text: String,
        returns: Returns,
        call: impl AsyncFnOnce(Rc<Desk>) -> Result<Option<New>, Failure> + Send + 'static,
    ) -> Plan {
        Plan {
            thread: self.thread,
            call: Box::new(move |desk| Box::pin(async move { call(desk).await })),
            returns,
            dropped: Some(vec![self.after.clone()]),
            after: self.after,
            new: None,
            about,
            text,
        }
    }

    /// A name for a volume, and why it cannot be one.
    pub(crate) fn name(&self, called: Called) -> (String, Option<Returns>) {
        let (name, is_valid) = named(&format!("{} ", self.before.lane), called);
        let refused = match is_valid {
            false => Some(Returns::Invalid),
            true if self.before.is_taken(&name) => Some(Returns::Errno(Errno::EEXIST)),
            true => None,
        };
        (name, refused)
    }

    /// A call that makes a volume and opens it, which is destroyed again if nobody hears of it.
    pub(crate) fn making(
        mut self,
        about: Option<Name>,
        text: String,
        name: String,
        refused: Option<Returns>,
        make: impl Fn(&mut Model) -> Result<Name, Failed>,
        call: impl AsyncFnOnce(Rc<Desk>) -> Result<Lvol, Failure> + Send + 'static,
    ) -> Option<Plan> {
        if self.before.store.blobs.len() >= VOLUMES {
            return None;
        }
        let made = match refused {
            Some(_) => Err(Failed::NoSpace),
            None => make(&mut self.after.store),
        };
        let returns = refused.unwrap_or(Returns::of(&made));
        let Ok(new) = made else {
            let call = async move |desk| call(desk).await.map(drop);
            return Some(self.plan(about, text, returns, call));
        };
        // A snapshot that is destroyed again leaves a thin volume.
        let mut dropped = self.before.clone();
        if let Ok(new) = make(&mut dropped.store) {
            dropped.store.delete(new);
        }
        let open = self.after.store.open(new, self.thread);
        let volume = Volume { name, uuid: None };
        self.after.volumes.insert(new, volume);
        let call = async move |desk: Rc<Desk>| {
            let lvol = call(desk.clone()).await?;
            Ok(desk.keep(open, lvol))
        };
        let text = format!("let (v{new}, o{open}) = {text}");
        Some(Plan {
            new: Some(new),
            dropped: Some(vec![dropped]),
            ..self.plan_new(about, text, returns, call)
        })
    }

    fn create(self, called: Called, is_thin: bool, size: Size) -> Option<Plan> {
        let (name, mut refused) = self.name(called);
        let bytes = size.bytes();
        if let Size::Largest = size {
            refused = Some(Returns::Errno(Errno::ENOSPC));
        }
        let text = format!("store.create_lvol({name:?}, {bytes}, thin: {is_thin})");
        let clusters = bytes.div_ceil(BYTES);
        let make = |model: &mut Model| model.create(is_thin, true, clusters, Xattrs::new());
        let (wanted, opts) = (name.clone(), LvolOpts::new().thin(is_thin));
        let call = async move |desk: Rc<Desk>| {
            let lvol = desk.store.create_lvol(&wanted, bytes, Some(&opts)).await?;
            Ok(lvol)
        };
        self.making(None, text, name, refused, make, call)
    }

    fn create_external(self, called: Called, bdev: External) -> Option<Plan> {
        let (name, refused) = self.name(called);
        let text = format!("store.create_esnap_clone({name:?}, {bdev:?})");
        let (external, refused) = match (bdev.known(), refused) {
            (Ok(Ok(external)), refused) => (Some(external), refused),
            (Ok(Err(last)), refused) => (None, refused.or(Some(last))),
            (Err(first), _) => (None, Some(first)),
        };
        let make = |model: &mut Model| {
            let clusters = external.map_or(0, |external| external.units / CLUSTER);
            let new = model.create(true, true, clusters, Xattrs::new())?;
            model.blob_mut(new).external = external;
            Ok(new)
        };
        let wanted = name.clone();
        let call = async move |desk: Rc<Desk>| {
            let made = desk.store.create_esnap_clone(&wanted, bdev.bdev());
            Ok(made.await?)
        };
        self.making(None, text, name, refused, make, call)
    }

    /// The volume that a number selects, with its name and its UUID: those of none, if there is none.
    fn pick(&self, number: u8) -> (Option<Name>, String, Uuid) {
        let found = pick(self.before.store.blobs.keys().copied(), number);
        match found.map(|name| self.before.volume(name).clone()) {
            Some(Volume { name, uuid }) => (found, name, uuid.unwrap_or_default()),
            None => (None, "missing".to_owned(), [1; 16]),
        }
    }

    fn open(mut self, number: u8, by_uuid: bool) -> Option<Plan> {
        let (found, name, uuid) = self.pick(number);
        let before = self.before.clone();
        let (returns, open) = match found {
            Some(found) => (Returns::Ok, self.after.store.open(found, self.thread)),
            None => (Returns::Errno(Errno::ENOENT), 0),
        };
        let how = if by_uuid { "_by_uuid" } else { "" };
        let text = format!("let o{open} = store.open_lvol{how}({name:?})");
        let call = async move |desk: Rc<Desk>| {
            let lvol = match by_uuid {
                true => desk.store.open_lvol_by_uuid(uuid).await?,
                false => desk.store.open_lvol(&name).await?,
            };
            desk.keep(open, lvol);
            Ok(())
        };
        let mut plan = self.plan(found, text, returns, call);
        plan.dropped = Some(vec![before]);
        Some(plan)
    }

    /// Destroys a volume of which so many handles may be open, unless that harms a clone.
    pub(crate) fn delete(&mut self, name: Name, handles: usize) -> Option<Returns> {
        let store = &self.before.store;
        let clones = store.clones(name);
        let open = store.open.values().filter(|(open, _)| *open == name);
        if clones.len() > 1 || open.count() > handles {
            return Some(Returns::Errno(Errno::EBUSY));
        }
        if clones
            .iter()
            .any(|clone| store.blob(*clone).size() != store.blob(name).size())
        {
            return Some(Returns::Errno(Errno::ENOTSUP));
        }
        self.after.store.delete(name);
        let is_harmed =
            |clone: &Name| store.all_content(*clone) != self.after.store.all_content(*clone);
        (!clones.iter().any(is_harmed)).then_some(Returns::Ok)
    }

    /// What else comes of a destruction that returns this, if nobody waits for it: it may come after the volume was closed.
    pub(crate) fn delete_later(&self, name: Name, returns: Returns) -> Option<Option<Lvols>> {
        if returns != Returns::Errno(Errno::EBUSY) {
            return Some(None);
        }
        let mut later = Planner {
            before: self.before,
            after: self.before.clone(),
            thread: self.thread,
        };
        let is_possible = later.delete(name, usize::MAX)? == Returns::Ok;
        Some(is_possible.then_some(later.after))
    }

    fn destroy(mut self, number: u8) -> Option<Plan> {
        let (found, name, _) = self.pick(number);
        let returns = match found {
            Some(found) => self.delete(found, 0)?,
            None => Returns::Errno(Errno::ENOENT),
        };
        let later = match found {
            Some(found) => self.delete_later(found, returns)?,
            None => None,
        };
        let text = format!("store.destroy_lvol({name:?})");
        let call = async move |desk: Rc<Desk>| Ok(desk.store.destroy_lvol(&name).await?);
        Some(self.plan(None, text, returns, call).or(later))
    }

    fn rename_store(mut self, called: Called) -> Plan {
        let (name, is_valid) = named("store ", called);
        let returns = match is_valid {
            false => Returns::Invalid,
            true if called == NEIGHBOR => Returns::Errno(Errno::EEXIST),
            true => {
                self.after.name = name.clone();
                Returns::Ok
            }
        };
        let text = format!("store.rename({name:?})");
        let call = async move |desk: Rc<Desk>| Ok(desk.store.rename(&name).await?);
        self.plan(None, text, returns, call)
    }

    fn grow(mut self, device: Kind) -> Option<Plan> {
        let growth = self.before.next_growth(device)?;
        self.after.store.grow(growth);
        let call = async move |desk: Rc<Desk>| {
            enlarge(desk.store.bdev_name(), growth).await?;
            Ok(desk.store.grow().await?)
        };
        // It has to be known how large the bdev is.
        let plan = self.plan(None, "store.grow()".to_owned(), Returns::Ok, call);
        Some(Plan {
            dropped: None,
            ..plan
        })
    }

    fn end_in_use(self, is_destroyed: bool) -> Plan {
        let text = if is_destroyed { "destroy" } else { "unload" };
        let call = async move |desk: Rc<Desk>| match is_destroyed {
            true => Ok(desk.store.destroy().await?),
            false => Ok(desk.store.unload().await?),
        };
        let returns = Returns::Errno(Errno::EBUSY);
        let plan = self.plan(None, format!("store.{text}()"), returns, call);
        // If nobody waits for it, it may come when the store is not in use any more.
        Plan {
            dropped: None,
            ..plan
        }
    }
}
