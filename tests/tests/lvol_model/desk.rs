//! What an spdk_thread has of a store.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use spdk::IoChannel;
use spdk::blob::BlobId;
use spdk::lvol::{Lvol, LvolInfo, LvolStore};
use spdk_tests::model::check::{Failure, same, text};
use spdk_tests::model::content::{buffer, compare};
use spdk_tests::model::store::{Open, Unit};
use spdk_tests::model::threads;

pub(crate) type Uuid = [u8; 16];

pub(crate) struct Desk {
    pub(crate) store: LvolStore,
    pub(crate) channel: IoChannel,
    open: RefCell<BTreeMap<Open, Rc<Lvol>>>,
}

/// What a call tells of the volume that it has made.
#[derive(Debug)]
pub(crate) struct New {
    pub(crate) id: BlobId,
    pub(crate) uuid: Option<Uuid>,
}

/// What is seen of an open volume.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) info: LvolInfo,
    pub(crate) size: u64,
    pub(crate) uuid: Option<Uuid>,
    pub(crate) is_degraded: bool,
    pub(crate) is_deletable: bool,
    /// Their names.
    pub(crate) clones: Vec<String>,
}

/// Gives the current spdk_thread, which has this number, what it works with.
pub(crate) fn set_up(thread: u8, store: LvolStore) -> Result<(), String> {
    let channel = store.alloc_io_channel().map_err(text)?;
    let open = RefCell::default();
    threads::set_desk(
        thread,
        Desk {
            store,
            channel,
            open,
        },
    );
    Ok(())
}

pub(crate) fn of(thread: u8) -> Result<Rc<Desk>, String> {
    threads::desk(thread)
}

impl Desk {
    pub(crate) fn lvol(&self, open: Open) -> Result<Rc<Lvol>, Failure> {
        let lvol = self.open.borrow().get(&open).cloned();
        lvol.ok_or_else(|| Failure::Wrong(format!("o{open} is not open")))
    }

    pub(crate) fn take(&self, open: Open) -> Result<Lvol, Failure> {
        let lvol = self.open.borrow_mut().remove(&open);
        let lvol = lvol.and_then(|lvol| Rc::try_unwrap(lvol).ok());
        lvol.ok_or_else(|| Failure::Wrong(format!("o{open} is not open, or in use")))
    }

    pub(crate) fn keep(&self, open: Open, lvol: Lvol) -> Option<New> {
        let (id, uuid) = (lvol.blob().id(), lvol.uuid());
        self.open.borrow_mut().insert(open, Rc::new(lvol));
        Some(New { id, uuid })
    }

    /// What a volume tells; and what is wrong, if it does not read like this.
    pub(crate) async fn look(
        &self,
        lvol: &Lvol,
        content: Option<Vec<Unit>>,
    ) -> Result<Seen, String> {
        if let Some(content) = content.filter(|content| !content.is_empty()) {
            let units = content.len() as u64;
            let mut buf = buffer(units).map_err(text)?;
            let read = lvol.blob().read_io_units(&self.channel, &mut buf, 0, units);
            read.await.map_err(text)?;
            compare(&buf, 0, &content)?;
        }
        let clones = lvol.clones().await.map_err(text)?;
        Ok(Seen {
            info: lvol.info().await.map_err(text)?,
            size: lvol.size().map_err(text)?,
            uuid: lvol.uuid(),
            is_degraded: lvol.is_degraded().await.map_err(text)?,
            is_deletable: lvol.is_deletable().await.map_err(text)?,
            clones: clones.into_iter().map(|clone| clone.name).collect(),
        })
    }

    /// The same of a volume that is opened for it, by its name and its UUID.
    pub(crate) async fn open_and_look(
        &self,
        name: String,
        uuid: Option<Uuid>,
        content: Vec<Unit>,
    ) -> Result<Seen, String> {
        let lvol = self.store.open_lvol(&name).await.map_err(text)?;
        let seen = self.look(&lvol, Some(content)).await?;
        if let Some(uuid) = uuid {
            let again = self.store.open_lvol_by_uuid(uuid).await.map_err(text)?;
            same("the name", again.info().await.map_err(text)?.name, name)?;
            again.close().await.map_err(text)?;
        }
        lvol.close().await.map_err(text)?;
        Ok(seen)
    }
}
