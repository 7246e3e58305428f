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
//! subsystem.add_host("nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555").await?;
//! subsystem.listen("127.0.0.1:4420".parse().unwrap()).await?;
//! subsystem.start().await?;
//! # target.close().await
//! # }
//! ```
//!
//! # spdk_threads
//!
//! A target belongs to the app thread, which takes new connections. A connection is then given
//! to one of the target's poll groups, of which each spdk_thread of [`NvmfTargetOpts::threads`] has one: it does
//! the connection's I/O. SPDK polls them; nothing of it is done by hand.
//!
//! # Hosts of the same process
//!
//! The [controllers](crate::nvme) of this crate can be hosts of its own targets, on the same spdk_thread too. But in
//! two places SPDK's host waits without letting anything else of its OS thread run: when it connects to a discovery
//! subsystem, and when a target tells it that its namespaces have changed. A host that does this needs another core
//! than the target's; on the same one it waits until the command times out, after half a minute or longer.
//!
//! # Hosts that are not trusted
//!
//! SPDK believes more of what comes over the network than it should: in 26.01 a host can crash the process, or have it
//! write beyond its buffers, by a few messages of its own making. It need not say who it is before, so that neither the
//! names of hosts nor their DH-HMAC-CHAP keys stand in the way. Let only trusted machines reach a listener: by its address,
//! by a firewall, or by TLS ([`secure_channel`](NvmfListenerOpts::secure_channel)), which takes nothing from a host
//! without a key.
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
//!
//! SPDK's JSON-RPC methods reach the targets too. `rpc::call` refuses to delete one of them, or of their
//! subsystems, to remove a listener, and to set an ANA state. What another client deletes, where
//! [`rpc_addr`](crate::SpdkAppBuilder::rpc_addr) lets one in, is gone: its methods return
//! [`ErrorKind::Gone`](crate::ErrorKind::Gone). It should not do so during a change: SPDK itself uses a subsystem
//! that is deleted while another change of it waits. Nor should it remove a listener while an ANA state is set, or
//! set one while a listener is removed: SPDK uses the listener after it was freed.

mod address;
mod connections;
#[cfg(feature = "config")]
mod controllers;
pub(crate) mod core;
mod discovery;
#[cfg(spdk_since_24_09)]
mod events;
mod groups;
mod host_keys;
mod hosts;
mod json;
mod listeners;
mod namespaces;
mod options;
pub(crate) mod raw;
mod referrals;
mod serve;
mod sockets;
mod state;
mod subsystem;
mod target;
mod transport_opts;
mod watch;

pub use self::address::{NvmfAddress, NvmfListenerOpts};
pub use self::connections::{NvmfGroupStat, NvmfQueuePair};
#[cfg(feature = "config")]
pub use self::controllers::NvmfController;
pub use self::discovery::NvmfDiscoveryFilter;
#[cfg(spdk_has_spdk_nvmf_set_custom_discovery_filter)]
pub use self::discovery::set_discovery_filter;
#[cfg(spdk_since_24_09)]
pub use self::events::NvmfEvent;
pub use self::host_keys::NvmfHostKeys;
pub use self::namespaces::NvmfNamespace;
pub use self::options::{NvmfNamespaceOpts, NvmfSubsystemOpts, NvmfTargetOpts};
pub use self::referrals::NvmfReferral;
pub use self::serve::{NvmfServer, Serve, serve};
pub use self::subsystem::{NvmfPaused, NvmfSubsystem};
pub use self::target::NvmfTarget;
pub use self::transport_opts::{NvmfTransportInfo, NvmfTransportOpts};
pub use crate::dhchap::{DhchapDigest, DhchapGroup};
pub use crate::generated::nvmf::AnaState;
