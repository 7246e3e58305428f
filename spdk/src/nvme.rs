//! NVMe controllers, driven by SPDK from this process: over PCIe, or over a network.
//!
//! A controller is connected by its [`TransportId`], which takes a while and is awaited. From then on a
//! poller of this crate looks after it: it keeps it alive, and completes its commands. I/O goes through
//! queue pairs, which are polled on their own spdk_thread, to the controller's namespaces.
//!
//! ```no_run
//! use spdk::DmaBuf;
//! use spdk::nvme::{NvmeController, TransportId};
//!
//! # async fn example() -> spdk::Result<()> {
//! let trid = TransportId::tcp("192.168.1.100", "4420", "nqn.2024-01.io.spdk:cnode1")?;
//! let controller = NvmeController::connect(&trid, None).await?;
//! let qpair = controller.alloc_io_qpair(None).await?;
//! let ns = controller.namespace(1).expect("it is active");
//!
//! let mut buf = DmaBuf::alloc(ns.sector_size() as usize, 4096)?;
//! buf.fill(0xa5);
//! ns.write(&qpair, &buf, 0, 1).await?;
//! ns.read(&qpair, &mut buf, 0, 1).await?;
//!
//! qpair.close().await?;
//! controller.detach().await
//! # }
//! ```
//!
//! A controller belongs to the spdk_thread that connected it. Others have queue pairs and namespaces of it with an
//! [`NvmeRemote`], each its own.
//!
//! # When a connection breaks
//!
//! Every command in flight then ends with an error: [`ErrorKind::Device`](crate::ErrorKind::Device) with
//! the status `ABORTED - SQ DELETION` for what the controller had, and `ENXIO` for what is submitted
//! afterwards. What it did is not known, so a write may have been done, or may not.
//! [`NvmeController::reset`] connects the controller again, and other queue pairs take the place of those
//! that are gone.
//!
//! A connection that stands still is broken too, once the controller has not answered for twice the time of
//! [`NvmeCtrlrOpts::keep_alive_timeout_ms`]: 20 seconds, unless it is told otherwise.
//! [`NvmeController::set_timeouts`] tells of commands that take long before. A queue pair over a network is looked after in
//! the same way, as [`NvmeQpair`] says. Without a keep-alive timeout neither is: SPDK waits for the commands of a TCP
//! connection that one of the two gave up, such as for a header with a wrong digest, until the next reset.
//!
//! A PCI device that was pulled out is noticed within a tenth of a second, while the spdk_thread of a controller
//! of this crate is polled; with SPDK 24.05, which has no function for it, by the next
//! [`NvmeController::probe`]. Its commands end in the same way, and
//! [`NvmeEvent::Removed`] is told. A reset does not bring it back.
//!
//! # How far a controller is trusted
//!
//! As far as this process. A PCI device has its memory anyway. But so has a target that SPDK 26.01 is connected to over TCP: it does
//! not check all that it receives. A target that breaks the protocol on purpose gets whatever is in SPDK's memory, when it
//! asks for more data than a write has, or for those of a read; it writes to the buffer of a write; and it overwrites what SPDK
//! keeps of a connection. Digests do not help against that. Connect to targets that you trust, over a network that you trust,
//! or by [`NvmeCtrlrOpts::tls_psk`].

#[cfg(spdk_has_spdk_nvme_qpair_authenticate)]
mod authenticate;
mod commands;
mod completion;
mod controller;
mod controller_opts;
mod data;
mod discovery;
mod driver;
mod events;
mod features;
mod firmware;
mod format;
mod hotplug;
mod io_queue;
mod line;
mod link;
mod lone;
mod manage;
mod namespace;
mod poller;
mod probe;
mod qpair;
mod qpair_group;
mod queue;
mod raw;
mod reconnects;
mod remote;
mod sanitize;
mod seats;
mod sgl;
mod silence;
mod transport_id;
mod view;

pub use crate::dhchap::{DhchapDigest, DhchapGroup};
pub use crate::generated::nvme::*;
pub use crate::generated::nvme_zns::*;
pub use crate::io_id::NvmeIo;
pub use commands::{AcquireKeys, CopyRange, DsmAttributes, DsmRange, RegisterKeys, ReleaseKey};
pub use controller::NvmeController;
pub use controller_opts::{Arbitration, CommandSet, NvmeCtrlrOpts};
pub use data::{BlockFormat, ControllerData, NamespaceData};
pub use discovery::DiscoveryEntry;
pub use events::{NvmeEvent, NvmeTimeouts};
pub use firmware::{FirmwareAction, FirmwareReset};
pub use format::{NvmeFormat, SecureErase};
pub use hotplug::{clear_hotplug_filter, set_hotplug_filter};
pub use manage::NewNamespace;
pub use namespace::NvmeNamespace;
pub use qpair::{NvmeQpair, NvmeQpairOpts, QueuePriority};
pub use remote::NvmeRemote;
pub use sanitize::{Sanitize, SanitizeState};
pub use transport_id::{AddressFamily, TransportId, TransportType};

/// What generated code uses.
#[doc(hidden)]
pub mod rt {
    pub use super::completion::{Dwords, NvmeAdminDone as AdminDone, NvmeIoDone as IoDone};
    pub use super::queue::submit;
    pub use super::sgl::{NvmeSglDone as SglDone, Sgl, next_sge, reset_sgl};
}
