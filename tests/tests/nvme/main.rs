//! Controllers, namespaces and queue pairs, on a target in another process.
#![allow(missing_docs)]

mod admin;
mod connect;
mod data;
mod full;
mod in_flight;
mod lost;
mod raw;
mod reset;
mod thread;
