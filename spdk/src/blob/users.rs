//! The blobs and channels that an OS thread has, to call them back.

use std::cell::RefCell;
use std::sync::Arc;

use super::handle::BlobObject;
use super::store::Store;
use crate::channel::IoChannelObject;
use crate::error::Gone;
use crate::handle::{Handle, WeakHandle};
use crate::local::Local;
use crate::task;

enum Part {
    Blob(WeakHandle<BlobObject>),
    Channel(WeakHandle<IoChannelObject>),
}

impl Part {
    fn is_gone(&self) -> bool {
        match self {
            Part::Blob(blob) => blob.is_gone(),
            Part::Channel(channel) => channel.is_gone(),
        }
    }

    fn is_of(&self, local: &Local) -> bool {
        let home = match self {
            Part::Blob(blob) => blob.upgrade().map(|blob| blob.local().thread()),
            Part::Channel(channel) => channel.upgrade().map(|channel| channel.local().thread()),
        };
        home == Some(local.thread())
    }

    fn shut(&self, why: Gone) {
        match self {
            Part::Blob(blob) => blob.shut(why),
            Part::Channel(channel) => channel.shut(why),
        }
    }

    fn revoke_if_idle(&self, why: Gone) -> bool {
        match self {
            Part::Blob(blob) => blob.revoke_if_idle(why),
            Part::Channel(channel) => channel.revoke_if_idle(why),
        }
    }
}

thread_local! {
    static PARTS: RefCell<Vec<(*const Store, Part)>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn add_blob(store: &Arc<Store>, blob: &Handle<BlobObject>) {
    add(store, blob.local(), Part::Blob(blob.downgrade()));
}

pub(super) fn add_channel(store: &Arc<Store>, channel: &Handle<IoChannelObject>) {
    add(store, channel.local(), Part::Channel(channel.downgrade()));
}

fn add(store: &Arc<Store>, local: &Local, part: Part) {
    PARTS.with_borrow_mut(|parts| {
        parts.retain(|(_, part)| !part.is_gone());
        parts.push((Arc::as_ptr(store), part));
    });
    if let Some(why) = store.add_user(local.shared()) {
        recall(store, why);
    }
}

/// Has all that the current spdk_thread has of a store given back, as soon as nothing is in flight on it.
pub(super) fn recall(store: &Arc<Store>, why: Gone) {
    let Ok(local) = Local::current() else { return };
    let store = Arc::as_ptr(store);
    let mut recalled: Vec<Part> = PARTS.with_borrow_mut(|parts| {
        let is_ours = |(of, part): &mut (*const Store, Part)| *of == store && part.is_of(&local);
        parts
            .extract_if(.., is_ours)
            .map(|(_, part)| part)
            .collect()
    });
    recalled.iter().for_each(|part| part.shut(why));
    let let_go = async move {
        loop {
            recalled.retain(|part| !part.revoke_if_idle(why));
            if recalled.is_empty() {
                return;
            }
            task::yield_now().await;
        }
    };
    drop(task::spawn_on(&local, let_go));
}
