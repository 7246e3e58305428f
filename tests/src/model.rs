//! Random sequences of calls on a store, compared with a model of what the calls promise: what such tests share.
//!
//! A test makes [`case`]s of its own calls, and says what each call must return and what is there afterwards, which
//! [`store`] knows for blobs. [`runner`] runs the cases and makes one that fails smaller; [`check`] makes the calls, on any
//! of the [`threads`].

pub mod blob;
pub mod case;
pub mod check;
pub mod content;
pub mod journal;
pub mod runner;
pub mod store;
pub mod threads;

/// The io units of a cluster.
pub const CLUSTER: u64 = 32;
/// The most clusters that a blob is asked to have. A store has about four times as many.
pub const MOST: u64 = 12;
/// The size of an io unit in bytes, which is a block of the devices here.
pub const UNIT: usize = 512;
