//! Lvol stores: what [`spdk::lvol`](crate::lvol) shows.
//!
//! An lvol store is a blobstore with a blob for each volume, so it is a [`Store`](super::store::Store) here, with
//! [`Volumes`](volumes::Volumes), and a volume is a [`Blob`](super::handle::Blob) that closes it.

mod copies;
mod esnap;
mod handle;
mod layout;
mod list;
mod load;
mod mute;
mod options;
mod store;
pub(in crate::blob) mod volumes;

pub use handle::Lvol;
pub use list::LvolInfo;
pub use options::{LvolOpts, LvsOpts};
pub use store::LvolStore;
