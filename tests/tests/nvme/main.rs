//! Controllers, namespaces and queue pairs, on a target in another process.
#![allow(missing_docs)]

mod admin;
mod authenticate;
mod connect;
mod data;
mod fairness;
mod full;
mod in_flight;
mod io_queue;
mod lost;
mod manage;
mod options;
mod probe;
mod raw;
mod remote;
mod reset;
mod returns;
mod thread;
mod timeouts;
mod wire;
