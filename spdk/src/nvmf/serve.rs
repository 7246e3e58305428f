//! The short way: a bdev and an address make a target.

use super::address::NvmfAddress;
use super::options::{NvmfSubsystemOpts, NvmfTargetOpts};
use super::subsystem::NvmfSubsystem;
use super::target::NvmfTarget;
use super::transport_opts::NvmfTransportOpts;
use crate::ThreadHandle;
use crate::error::Result;

/// Serves a bdev over TCP at an address, to every host, as namespace 1 of `nqn.2016-06.io.spdk:` and the
/// name of the bdev. [`Serve`] has more ways to do it.
///
/// # Errors
///
/// As for [`NvmfTarget::create`], [`NvmfSubsystem::add_namespace`] and [`NvmfSubsystem::listen`].
///
/// # Cancellation
///
/// A target whose future is dropped is closed.
///
/// # Thread
///
/// The app thread, as for [`NvmfTarget::create`]. The I/O of the hosts is there too, or on [`Serve::threads`].
#[doc(alias = "spdk_nvmf_tgt_create")]
#[doc(alias = "spdk_nvmf_tgt_listen_ext")]
pub async fn serve(bdev: &str, address: NvmfAddress) -> Result<NvmfServer> {
    Serve::new(bdev).start(address).await
}

/// How a bdev is served.
///
/// ```no_run
/// # async fn example(threads: Vec<spdk::ThreadHandle>) -> spdk::Result<()> {
/// use spdk::nvmf::Serve;
///
/// let server = Serve::new("Malloc0")
///     .nqn("nqn.2016-06.io.spdk:disk")
///     .host("nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555")
///     .threads(threads)
///     .start("0.0.0.0:4420".parse().unwrap())
///     .await?;
/// # server.close().await
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Serve {
    bdev: String,
    nqn: String,
    hosts: Vec<String>,
    threads: Vec<ThreadHandle>,
    transport: NvmfTransportOpts,
}

impl Serve {
    /// The bdev of this name.
    pub fn new(bdev: &str) -> Self {
        Serve {
            bdev: bdev.to_owned(),
            nqn: format!("nqn.2016-06.io.spdk:{bdev}"),
            hosts: Vec::new(),
            threads: Vec::new(),
            transport: NvmfTransportOpts::tcp(),
        }
    }

    /// The name of the subsystem, and of the target.
    pub fn nqn(mut self, nqn: impl Into<String>) -> Self {
        self.nqn = nqn.into();
        self
    }

    /// A host that may connect. Without any, every host may.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// As [`NvmfTargetOpts::threads`].
    pub fn threads(mut self, threads: impl IntoIterator<Item = ThreadHandle>) -> Self {
        self.threads = threads.into_iter().collect();
        self
    }

    /// What the transport is made with.
    pub fn transport(mut self, opts: NvmfTransportOpts) -> Self {
        self.transport = opts;
        self
    }

    /// Serves it at an address. Hosts can connect when it returns.
    ///
    /// # Errors
    ///
    /// As for [`serve`].
    ///
    /// # Cancellation, thread
    ///
    /// As for [`serve`].
    pub async fn start(self, address: NvmfAddress) -> Result<NvmfServer> {
        let opts = NvmfTargetOpts::new(&self.nqn).threads(self.threads);
        let target = NvmfTarget::create(&opts).await?;
        let made = async {
            target.add_transport(&self.transport).await?;
            let opts = NvmfSubsystemOpts::new(&self.nqn).allow_any_host(self.hosts.is_empty());
            let subsystem = target.create_subsystem(&opts).await?;
            subsystem.add_namespace(&self.bdev).await?;
            for host in &self.hosts {
                subsystem.add_host(host).await?;
            }
            // Nobody can connect before it listens.
            subsystem.start().await?;
            subsystem.listen(address).await?;
            Ok(subsystem)
        };
        match made.await {
            Ok(subsystem) => Ok(NvmfServer {
                target,
                subsystem,
                address,
            }),
            Err(error) => {
                // What failed first tells more than what then fails to close.
                let _ = target.close().await;
                Err(error)
            }
        }
    }
}

/// A bdev that is served. Dropping it closes its target in order.
#[derive(Debug)]
pub struct NvmfServer {
    target: NvmfTarget,
    subsystem: NvmfSubsystem,
    address: NvmfAddress,
}

impl NvmfServer {
    /// What hosts connect to.
    pub fn nqn(&self) -> &str {
        self.subsystem.nqn()
    }

    /// Where they do.
    pub fn address(&self) -> NvmfAddress {
        self.address
    }

    /// Its target.
    pub fn target(&self) -> &NvmfTarget {
        &self.target
    }

    /// Its subsystem.
    pub fn subsystem(&self) -> &NvmfSubsystem {
        &self.subsystem
    }

    /// Closes it; see [`NvmfTarget::close`].
    ///
    /// # Errors
    ///
    /// As for [`NvmfTarget::close`].
    ///
    /// # Cancellation
    ///
    /// It closes all the same.
    pub async fn close(self) -> Result<()> {
        self.target.close().await
    }
}
