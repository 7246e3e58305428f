//! Targets of NVMe over Fabrics: bdevs that other machines use as NVMe namespaces.
//!
//! [`serve`] is the short way: a bdev and an address make a running target.
//!
//! ```no_run
//! # async fn example() -> spdk::Result<()> {
//! let server = spdk::nvmf::serve("Malloc0", "127.0.0.1:4420".parse().unwrap()).await?;
//! // Hosts connect to `server.nqn()` at that address.
//! server.close().await
//! # }
//! ```
//!
//! The long way is a [`NvmfTarget`], which gets a transport, subsystems ([`NvmfSubsystem`]), and for these
//! namespaces, hosts and listeners.
//!
//! ```no_run
//! use spdk::nvmf::{NvmfSubsystemOpts, NvmfTarget, NvmfTargetOpts, NvmfTransportOpts};
//!
//! # async fn example() -> spdk::Result<()> {
//! let target = NvmfTarget::create(&NvmfTargetOpts::new("target")).await?;
//! target.add_transport(&NvmfTransportOpts::tcp().in_capsule_data_size(8192)).await?;
//! let opts = NvmfSubsystemOpts::new("nqn.2016-06.io.spdk:disks").serial_number("1");
//! let subsystem = target.create_subsystem(&opts).await?;
//! subsystem.add_namespace("Malloc0").await?;
//! subsystem.add_host("nqn.2014-08.org.nvmexpress:uuid:1").await?;
//! subsystem.listen("127.0.0.1:4420".parse().unwrap()).await?;
//! subsystem.start().await?;
//! # target.close().await
//! # }
//! ```
//!
//! # spdk_threads
//!
//! A target belongs to the spdk_thread that made it, which takes new connections. A connection is then given
//! to one of the target's poll groups, of which each spdk_thread of [`NvmfTargetOpts::threads`] has one: it does
//! the connection's I/O. SPDK polls them; nothing of it is done by hand.
//!
//! # How it ends
//!
//! [`NvmfTarget::close`], the drop of the last handle of a target, and the end of one of its spdk_threads do
//! the same, in this order: the subsystems stop, which disconnects the hosts when the bdevs have done what is
//! in flight; the listeners close; the poll groups are destroyed, each on its own spdk_thread; then the
//! subsystems, the transports and the target. The ends of the spdk_threads wait for it.
//!
//! The programs that the process starts do not inherit the listeners. They do inherit the connections that there
//! are, since SPDK opens them so: a child that lives on keeps these open, and its hosts wait until their keep-alive
//! ends. `close_range(2)` before `exec` takes them from it.
//!
//! # Changes
//!
//! A method that changes a target or its subsystems waits for the changes before it, and is carried out as a
//! whole also when its future is dropped. A subsystem that runs is paused for as long as the change takes: SPDK
//! holds the commands of the hosts back, and none fails.

mod address;
mod core;
mod groups;
mod options;
pub(crate) mod raw;
mod serve;
mod sockets;
mod subsystem;
mod target;

pub use self::address::NvmfAddress;
pub use self::options::{
    NvmfNamespaceOpts, NvmfSubsystemOpts, NvmfTargetOpts, NvmfTransportInfo, NvmfTransportOpts,
};
pub use self::serve::{NvmfServer, Serve, serve};
pub use self::subsystem::{NvmfNamespace, NvmfPaused, NvmfSubsystem};
pub use self::target::NvmfTarget;
pub use crate::generated::nvmf::AnaState;
