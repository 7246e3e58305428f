//! The attributes of an open blob.

use spdk::Errno;
use spdk_tests::model::check::Returns;

use super::open::On;
use super::{Call, Planned, xattr_name};
use crate::steps::{Kind, Size};

impl On<'_> {
    /// Another value than all before, of this size.
    fn value(&mut self, size: Size) -> Vec<u8> {
        vec![self.planner.after.generation() as u8; size.bytes()]
    }

    fn insert(&mut self, key: &str, value: &[u8]) {
        let xattrs = &mut self.planner.after.blob_mut(self.name).xattrs;
        xattrs.insert(key.to_owned(), value.to_owned());
    }

    pub(super) fn set_xattr(&mut self, number: u8, size: Size) -> Planned {
        let (key, value) = (xattr_name(number), self.value(size));
        let returns = match size {
            Size::MuchTooLarge => Returns::Invalid,
            Size::TooLarge => self.changes(Returns::Errno(Errno::ENOMEM)),
            _ => self.changes(Returns::Ok),
        };
        if returns == Returns::Ok {
            self.insert(&key, &value);
        }
        let text = self.of(&format!("set_xattr({key:?}, {size:?})"));
        (Call::SetXattr(self.open, key, value), returns, text)
    }

    pub(super) fn remove_xattr(&mut self, number: u8) -> Planned {
        let key = xattr_name(number);
        let mut returns = self.changes(Returns::Ok);
        if returns == Returns::Ok {
            let xattrs = &mut self.planner.after.blob_mut(self.name).xattrs;
            if xattrs.remove(&key).is_none() {
                returns = Returns::Errno(Errno::ENOENT);
            }
        }
        let text = self.of(&format!("remove_xattr({key:?})"));
        (Call::RemoveXattr(self.open, key), returns, text)
    }

    pub(super) fn xattr(&mut self, number: u8) -> Planned {
        let key = xattr_name(number);
        let value = self.blob.xattrs.get(&key).cloned();
        let text = self.of(&format!("xattr({key:?})"));
        (Call::Xattr(self.open, key, value), Returns::Ok, text)
    }

    pub(super) fn fail_sync(&mut self, number: u8, device: Kind) -> Option<Planned> {
        if self.is_soon() || device != Kind::Memory {
            return None;
        }
        let (key, value) = (xattr_name(number), self.value(Size::Small));
        let returns = self.changes(Returns::Errno(Errno::EIO));
        if returns == Returns::Errno(Errno::EIO) {
            self.insert(&key, &value);
        }
        let text = self.of(&format!(
            "set_xattr({key:?}, Small), .sync() on a device that fails"
        ));
        Some((Call::FailSync(self.open, key, value), returns, text))
    }
}
