//! NVMe controllers and their bdevs.

use std::future::Future;

use serde_json::{Map, Value};

use super::method::{Entry, Field, Kind, Method, Names, Param, choices, methods};
use crate::error::Result;

choices! {
    /// How a host reaches an NVMe controller.
    NvmeTransport: Text {
        /// A device of this machine, by its PCI address.
        Pcie = "PCIe",
        /// NVMe-oF over TCP.
        Tcp = "TCP",
        /// NVMe-oF over RDMA, for an SPDK that was built with it.
        Rdma = "RDMA",
        /// A device of another process, by the folder of its socket.
        VfioUser = "VFIOUSER",
        /// NVMe-oF over Fibre Channel, for an SPDK that was built with it.
        Fc = "FC",
    }

    /// What kind of address an NVMe-oF controller has.
    AddressFamily: Word {
        /// An IPv4 address.
        Ipv4 = "IPv4",
        /// An IPv6 address.
        Ipv6 = "IPv6",
        /// An InfiniBand address.
        Ib = "IB",
        /// A Fibre Channel address.
        Fc = "FC",
    }

    /// What a second path to the same subsystem is for.
    Multipath: Choice {
        /// There is none: to attach one is an error.
        Disable = "disable",
        /// It is used when the first one fails.
        Failover = "failover",
        /// I/O goes over both, as [`NvmeMultipathPolicy`] says.
        Multipath = "multipath",
    }

    /// Which paths a bdev uses.
    MultipathPolicy: Choice {
        /// One, and another when it fails.
        ActivePassive = "active_passive",
        /// All.
        ActiveActive = "active_active",
    }

    /// How a bdev chooses among its active paths.
    MultipathSelector: Choice {
        /// In turn.
        RoundRobin = "round_robin",
        /// The one with the fewest commands in flight.
        QueueDepth = "queue_depth",
    }

    /// What happens when a command takes too long.
    ActionOnTimeout: Choice {
        /// Nothing but a message in the log.
        None = "none",
        /// The controller is reset.
        Reset = "reset",
        /// The command is aborted.
        Abort = "abort",
    }
}

methods! {
    TABLE, "bdev":

    /// A controller, whose namespaces become bdevs: `Nvme0n1`, `Nvme0n2` and so on for the name `Nvme0`.
    /// `attach` returns their names. Another one with the same name is another path to the same
    /// subsystem.
    ///
    /// `new` takes the name, the transport and the address; [`NvmeController::pcie`] and
    /// [`NvmeController::tcp`] are for the common ones.
    "bdev_nvme_attach_controller" => NvmeController(
        name: String, trtype: NvmeTransport, traddr: String
    ) {
        /// What kind of address it is.
        adrfam: AddressFamily,
        /// The port.
        trsvcid: String,
        /// The priority of the connection, which the `posix` sockets take for TCP.
        priority: String,
        /// The NQN of the subsystem.
        subnqn: String,
        /// The NQN of this host; one made of a random UUID by default.
        hostnqn: String,
        /// The address of this host to connect from.
        hostaddr: String,
        /// The port of this host to connect from.
        hostsvcid: String,
        /// Checks the reference tag of protection information; `false` by default.
        prchk_reftag: bool,
        /// Checks the guard of protection information; `false` by default.
        prchk_guard: bool,
        /// A digest of the headers of TCP's packets; `false` by default.
        hdgst: bool,
        /// A digest of the data of TCP's packets; `false` by default.
        ddgst: bool,
        /// How long a connect may take, in microseconds.
        fabrics_connect_timeout_us: u64,
        /// What a second path is for; [`Multipath::Multipath`] by default.
        multipath: Multipath,
        /// How many I/O queues to ask for, from 1 to 65536; 1024 by default.
        num_io_queues: u32,
        /// How long to try to reconnect before the controller is deleted, in seconds; -1 for ever, 0 not
        /// at all. As [`NvmeOptions`] says by default, as with the next two.
        ///
        /// A reset of a bdev of it that comes while it disconnects has SPDK 26.01 spin on the app thread for as long.
        ctrlr_loss_timeout_sec: i32,
        /// How long to wait between two tries, in seconds; 0 for no try.
        reconnect_delay_sec: u32,
        /// How long I/O waits for a reconnect before it fails, in seconds; 0 for as long as it takes.
        fast_io_fail_timeout_sec: u32,
        /// The name of the pre-shared key for TLS.
        psk: String,
        /// How many bdevs there may be in the answer; 128 by default.
        max_bdevs: u32,
        /// The name of the key for DH-HMAC-CHAP.
        dhchap_key: String,
        /// The name of the controller's key for DH-HMAC-CHAP.
        dhchap_ctrlr_key: String,
        /// Attaches namespaces with a command set that SPDK does not know, for passthrough; `false` by
        /// default.
        allow_unrecognized_csi: bool,
    }
    call attach -> Names;

    /// Detaches paths of a controller: those that match all that is set, or the whole controller. It begins when each
    /// [`NvmeController::attach`] of that name has been answered.
    ///
    /// `new` takes the name of the controller.
    "bdev_nvme_detach_controller" => NvmeDetach(name: String) {
        /// The transport of the path.
        trtype: NvmeTransport,
        /// Its address.
        traddr: String,
        /// What kind of address it is.
        adrfam: AddressFamily,
        /// Its port.
        trsvcid: String,
        /// The NQN of the subsystem.
        subnqn: String,
        /// The address of this host.
        hostaddr: String,
        /// The port of this host.
        hostsvcid: String,
    }
    call detach -> ();

    /// What holds for every controller. In a configuration it comes before the first one, and at run time
    /// most of it can only be set while there is none.
    "bdev_nvme_set_options" => NvmeOptions() {
        /// What happens when a command takes too long; nothing by default.
        action_on_timeout: ActionOnTimeout,
        /// How long a command may take, in microseconds; 0, the default, for as long as it wants. SPDK 26.01 makes another
        /// time of one that is too long to be counted in [`ticks`](crate::ticks), as are some hours; so of the next.
        timeout_us: u64,
        /// The same for admin commands; 0, the default, for as for the others.
        timeout_admin_us: u64,
        /// How often a controller must hear from its host, in milliseconds, up to 4,294,967; 10,000 by default.
        keep_alive_timeout_ms: u32,
        /// How many commands are fetched from a queue at once, as a power of two from 0 to 6; 7 for any number.
        arbitration_burst: u32,
        /// How many commands of a queue of low priority are fetched in a turn, up to 255.
        low_priority_weight: u32,
        /// The same for medium priority, up to 255.
        medium_priority_weight: u32,
        /// The same for high priority, up to 255.
        high_priority_weight: u32,
        /// How often the admin queue is polled, in microseconds; 10,000 by default.
        nvme_adminq_poll_period_us: u64,
        /// How often I/O queues are polled, in microseconds; 0, the default, for always.
        nvme_ioq_poll_period_us: u64,
        /// How many requests each I/O queue has; 512 by default.
        io_queue_requests: u32,
        /// Submits several commands at once; `true` by default.
        delay_cmd_submit: bool,
        /// How often the transport tries an I/O before it fails, up to 255; 4 by default.
        transport_retry_count: u32,
        /// How often the bdev tries an I/O before it fails; -1 for ever, 3 by default.
        bdev_retry_count: i32,
        /// How long to wait for an acknowledgement, as SPDK's documentation says: 0 to 31, and 0 for the
        /// default.
        transport_ack_timeout: u8,
        /// How long to try to reconnect before a controller is deleted, in seconds; -1 for ever, 0, the
        /// default, not at all.
        ctrlr_loss_timeout_sec: i32,
        /// How long to wait between two tries, in seconds; 0 for no try.
        reconnect_delay_sec: u32,
        /// How long I/O waits for a reconnect before it fails, in seconds; 0 for as long as it takes.
        fast_io_fail_timeout_sec: u32,
        /// Does not go back to a path that has come back; `false` by default.
        disable_auto_failback: bool,
        /// Makes UUIDs for namespaces that have none; `false` by default.
        generate_uuids: bool,
        /// The type of service of RDMA's packets; 0 by default.
        transport_tos: u8,
        /// Counts NVMe errors; `false` by default.
        nvme_error_stat: bool,
        /// The size of RDMA's shared receive queue; 0, the default, for none.
        rdma_srq_size: u32,
        /// Keeps statistics of each path; `false` by default.
        io_path_stat: bool,
        /// Lets bdevs take accel sequences, where the controller does; `false` by default.
        allow_accel_sequence: bool,
        /// The largest size of RDMA's completion queues; 0, the default, for any.
        rdma_max_cq_size: u32,
        /// How long to wait for RDMA's connection manager, in milliseconds; 0, the default, for what the
        /// driver says.
        rdma_cm_event_timeout_ms: u16,
        /// The digests of DH-HMAC-CHAP that are allowed: `sha256`, `sha384`, `sha512`.
        dhchap_digests: Names,
        /// The groups of DH-HMAC-CHAP that are allowed: `null`, `ffdhe2048` to `ffdhe8192`.
        dhchap_dhgroups: Names,
        /// Has RDMA register memory for each I/O, where it can; `false` by default.
        rdma_umr_per_io: bool,
        /// How long a TCP connect may take, in milliseconds; 0, the default, for as long as it takes.
        tcp_connect_timeout_ms: u32,
        /// Passes flushes on to devices with a volatile cache; `false` by default.
        enable_flush: bool,
    }
    call set -> ();

    /// Attaches NVMe devices that are plugged in, and looks for those that were pulled.
    ///
    /// `new` takes whether it does.
    "bdev_nvme_set_hotplug" => NvmeHotplug(enable: bool) {
        /// How often it looks, in microseconds; at most 10,000,000.
        period_us: u64,
    }
    call set -> ();

    /// Attaches what a discovery controller tells, now and later. The controllers are called by the name
    /// and a number: `Nvme0`, `Nvme1` and so on for `Nvme`.
    ///
    /// While SPDK 26.01 connects to the discovery controller, first and whenever that was lost, the app thread does nothing
    /// else, for as long as a target that takes the connection takes to answer.
    ///
    /// `new` takes the name, the transport and the address.
    "bdev_nvme_start_discovery" => NvmeDiscovery(
        name: String, trtype: NvmeTransport, traddr: String
    ) {
        /// What kind of address it is.
        adrfam: AddressFamily,
        /// The port.
        trsvcid: String,
        /// The NQN of this host; one made of a random UUID by default.
        hostnqn: String,
        /// Only `false`, the default, is taken: SPDK 26.01 crashes when a discovery that waits until all that is told now is
        /// attached is stopped meanwhile, or the application ends, and waits for ever where there is nothing to attach. Wait
        /// for the bdevs instead, as the method `bdev_get_bdevs` does with a `name` and a `timeout`.
        wait_for_attach: bool,
        /// How long that may take, in milliseconds. Only 0 is taken, for the same reason.
        attach_timeout_ms: u64,
        /// -1 for controllers that are never given up; 0 by default, as for [`NvmeController::ctrlr_loss_timeout_sec`]. SPDK
        /// 26.01 crashes with others when it gives one up; they are refused.
        ctrlr_loss_timeout_sec: i32,
        /// As for [`NvmeController::reconnect_delay_sec`].
        reconnect_delay_sec: u32,
        /// As for [`NvmeController::fast_io_fail_timeout_sec`].
        fast_io_fail_timeout_sec: u32,
    }
    call start -> ();
    delete stop = "bdev_nvme_stop_discovery"("name");

    /// Attaches what is announced in the local network, for an SPDK that was built with Avahi.
    ///
    /// `new` takes the name and the name of the service.
    "bdev_nvme_start_mdns_discovery" => NvmeMdnsDiscovery(name: String, svcname: String) {
        /// The NQN of this host; one made of a random UUID by default.
        hostnqn: String,
    }
    call start -> ();
    delete stop = "bdev_nvme_stop_mdns_discovery"("name");

    /// How a bdev uses several paths.
    ///
    /// `new` takes the name of the bdev and the policy.
    "bdev_nvme_set_multipath_policy" => NvmeMultipathPolicy(name: String, policy: MultipathPolicy) {
        /// How it chooses among active paths, for [`MultipathPolicy::ActiveActive`]; in turn by default.
        selector: MultipathSelector,
        /// How many I/Os go over a path before it is another one's turn; 1 by default.
        rr_min_io: u32,
    }
    call set -> ();

    /// Which path a bdev uses first.
    ///
    /// `new` takes the name of the bdev and the number of the controller.
    "bdev_nvme_set_preferred_path" => NvmePreferredPath(name: String, cntlid: u16) {}
    call set -> ();

    /// Resets a controller.
    ///
    /// `new` takes its name.
    "bdev_nvme_reset_controller" => NvmeReset(name: String) {
        /// The number of one of several controllers of this name; all by default.
        cntlid: u16,
    }
    call reset -> ();

    /// Enables a controller that was disabled.
    ///
    /// `new` takes its name.
    "bdev_nvme_enable_controller" => NvmeEnable(name: String) {
        /// The number of one of several controllers of this name; all by default.
        cntlid: u16,
    }
    call enable -> ();

    /// Disables a controller until it is enabled again.
    ///
    /// `new` takes its name.
    "bdev_nvme_disable_controller" => NvmeDisable(name: String) {
        /// The number of one of several controllers of this name; all by default.
        cntlid: u16,
    }
    call disable -> ();

    /// Gives a controller other keys, and authenticates it again.
    ///
    /// `new` takes its name.
    "bdev_nvme_set_keys" => NvmeKeys(name: String) {
        /// The name of the key for DH-HMAC-CHAP.
        dhchap_key: String,
        /// The name of the controller's key for DH-HMAC-CHAP.
        dhchap_ctrlr_key: String,
    }
    call set -> ();

    /// A bdev that is a locked range of an NVMe namespace with TCG Opal.
    ///
    /// `new` takes the name of the controller, the namespace, the number of the range, up to 255, its first block,
    /// how many blocks it has, and the password of the administrator.
    "bdev_opal_create" => OpalBdev(
        nvme_ctrlr_name: String, nsid: u32, locking_range_id: u16, range_start: u64,
        range_length: u64, password: String
    ) {}
    call create -> String;

    /// Deletes an [`OpalBdev`].
    ///
    /// `new` takes its name and the password of the administrator.
    "bdev_opal_delete" => OpalDelete(bdev_name: String, password: String) {}
    call delete -> ();
}

impl NvmeController {
    /// Detaches the controller of this name with all its paths: [`NvmeDetach::detach`]. Its bdevs go.
    ///
    /// # Errors
    ///
    /// As for [`rpc::call`](crate::rpc::call). `ENODEV` if there is none of this name.
    ///
    /// # Cancellation
    ///
    /// The method runs on when the future is dropped, as with [`rpc::call`](crate::rpc::call).
    pub async fn detach(name: &str) -> Result<()> {
        NvmeDetach::new(name).detach().await
    }

    /// A device of this machine, by its PCI address such as `0000:01:00.0`.
    pub fn pcie(name: impl Into<String>, traddr: impl Into<String>) -> Self {
        Self::new(name, NvmeTransport::Pcie, traddr)
    }

    /// A subsystem of an NVMe-oF target over TCP.
    pub fn tcp(
        name: impl Into<String>,
        address: std::net::SocketAddr,
        subnqn: impl Into<String>,
    ) -> Self {
        Self::new(name, NvmeTransport::Tcp, address.ip().to_string())
            .adrfam(match address {
                std::net::SocketAddr::V4(_) => AddressFamily::Ipv4,
                std::net::SocketAddr::V6(_) => AddressFamily::Ipv6,
            })
            .trsvcid(address.port().to_string())
            .subnqn(subnqn)
    }
}
