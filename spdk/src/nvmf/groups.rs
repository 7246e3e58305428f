//! Poll groups: one on each spdk_thread of a target, which is made and destroyed there.
#![allow(unsafe_code)] // Sends C objects to the spdk_threads that they belong to.

use std::ptr::NonNull;
use std::rc::Rc;

use super::core;
use super::raw::RawPollGroup;
use crate::error::{At, Fault, Gone, Result};
use crate::handle::{Handle, Object};
use crate::local::{Here, Local};
use crate::{Errno, ThreadHandle, chore, iobuf, sys};

const CALL: &str = "spdk_nvmf_poll_group_create";

/// A poll group of a target.
pub(super) struct Group {
    thread: ThreadHandle,
    seat: Seat,
}

/// What the spdk_thread of a poll group keeps for it.
struct Inner {
    group: NonNull<sys::spdk_nvmf_poll_group>,
    _watch: Handle<Watch>,
    /// Which counts it.
    local: Rc<Local>,
    /// The end of the spdk_thread waits for the poll group.
    _here: Here,
}

/// A box of the poll group's spdk_thread. Without [`Seat::destroy`] it is leaked.
struct Seat(NonNull<Inner>);

// SAFETY: only the spdk_thread of the poll group looks into the box.
unsafe impl Send for Seat {}

/// The box of a [`Seat`], lent to its spdk_thread.
struct Lent(NonNull<Inner>);

// SAFETY: as for `Seat`.
unsafe impl Send for Lent {}

/// A target, for the spdk_threads that make poll groups of it. It exists until these are destroyed.
#[derive(Clone, Copy)]
struct Tgt(*mut sys::spdk_nvmf_tgt);

// SAFETY: SPDK's function that makes a poll group may be called on any spdk_thread.
unsafe impl Send for Tgt {}

/// Sees the spdk_thread of a poll group end: SPDK cannot take a single one out of a target that accepts
/// connections, so that the target closes.
enum Watch {}

struct WatchExtra {
    home: ThreadHandle,
    target: u64,
}

// SAFETY: there is no C object.
unsafe impl Object for Watch {
    type C = ();
    type Extra = WatchExtra;
    const NAME: &'static str = "NVMe-oF poll group";

    unsafe fn release(_: NonNull<()>, extra: &WatchExtra) {
        let target = extra.target;
        // If its spdk_thread has ended, so has the target.
        let _ = extra.home.send(move || core::close_by_id(target));
    }
}

impl Group {
    /// Makes a poll group on an spdk_thread, for the target with this number, which is at home here.
    pub(super) async fn create(
        tgt: NonNull<sys::spdk_nvmf_tgt>,
        home: &ThreadHandle,
        target: u64,
        thread: &ThreadHandle,
    ) -> Result<Self> {
        let tgt = Tgt(tgt.as_ptr());
        let watch = WatchExtra {
            home: home.clone(),
            target,
        };
        let made = thread.call(move || Seat::create(tgt, watch)).await?;
        let seat = made.map_err(|fault| fault.at(At::free(CALL)))?;
        Ok(Group {
            thread: thread.clone(),
            seat,
        })
    }

    /// The name of its spdk_thread.
    pub(super) fn name(&self) -> &str {
        self.thread.name()
    }

    /// Looks at it, on its spdk_thread. The caller has the target's turn until this has ended.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(NonNull<sys::spdk_nvmf_poll_group>) -> T + Send + 'static,
    ) -> Result<T> {
        let lent = Lent(self.seat.0);
        let look = move || {
            let lent = lent;
            // SAFETY: the box exists, since only a chore that has the turn destroys it, and it is of this
            // spdk_thread.
            look(unsafe { lent.0.as_ref() }.group)
        };
        self.thread.call(look).await
    }

    /// Disconnects what it has, and destroys it. The target accepts no connections any more.
    pub(super) async fn destroy(self) {
        let Group { thread, seat } = self;
        let (tx, rx) = oneshot::async_channel();
        // The spdk_thread has not ended: it waits for the poll group.
        if thread.send(move || seat.destroy(tx)).is_ok() {
            let _ = rx.await;
        }
    }
}

impl Seat {
    /// On the spdk_thread of the poll group, which is to be.
    fn create(tgt: Tgt, watch: WatchExtra) -> Result<Self, Fault> {
        let local = Local::current()?;
        if local.is_ending() {
            return Err(Fault::gone(Gone::ThreadEnded));
        }
        // The target's transport takes an iobuf channel for it.
        if local.iobuf_channels().get() == iobuf::MOST {
            return Err(Errno::ENOMEM.into());
        }
        // SAFETY: its C type has no size, so that every address is one.
        let watch = unsafe { Handle::<Watch>::adopt(NonNull::dangling(), watch)? };
        let here = Here::now()?;
        // SAFETY: the target exists, since its chore waits for this, and this spdk_thread has no poll group
        // of it yet.
        let group = unsafe { sys::spdk_nvmf_poll_group_create(tgt.0) };
        let inner = Inner {
            group: NonNull::new(group).ok_or(Errno::ENOMEM)?,
            _watch: watch,
            local,
            _here: here,
        };
        let channels = inner.local.iobuf_channels();
        channels.set(channels.get() + 1);
        Ok(Seat(NonNull::from(Box::leak(Box::new(inner)))))
    }

    /// On the spdk_thread of the poll group.
    fn destroy(self, done: oneshot::Sender<()>) {
        // SAFETY: leaked in `create`, and taken back once, on the same spdk_thread.
        let inner = unsafe { Box::from_raw(self.0.as_ptr()) };
        let local = inner.local.clone();
        let destroy = async move {
            // SAFETY: this ends its life, on its spdk_thread.
            let group = unsafe { RawPollGroup::new(inner.group) };
            if let Err(error) = group.destroy().await {
                tracing::error!(%error, "an NVMe-oF poll group was not destroyed");
            }
            drop(inner);
            let channels = local.iobuf_channels();
            channels.set(channels.get() - 1);
            let _ = done.send(());
        };
        if let Err(fault) = chore::finish(destroy) {
            let error = fault.at(At::free("spdk_nvmf_poll_group_destroy"));
            tracing::error!(%error, "an NVMe-oF poll group is leaked");
        }
    }
}
