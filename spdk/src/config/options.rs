//! The options of SPDK's subsystems.

use std::future::Future;

use serde_json::{Map, Value};

use super::method::{Entry, Field, Kind, Method, Param};

mod bdev {
    use super::*;
    use crate::config::method::methods;

    methods! {
        TABLE, "bdev":

        /// The pools and caches of the bdev layer. For the start only.
        ///
        /// What is set here counts more than in
        /// [`SpdkAppBuilder::bdev_opts`](crate::SpdkAppBuilder::bdev_opts); what is not is as it is there.
        "bdev_set_options" => BdevOptions() {
            /// How many `spdk_bdev_io` there are for all spdk_threads; 65,535 by default.
            bdev_io_pool_size: u32,
            /// How many of them each spdk_thread keeps, 1 at least; 256 by default.
            bdev_io_cache_size: u32,
            /// Whether modules look at each new bdev for what is theirs, such as logical volumes; `true`
            /// by default.
            bdev_auto_examine: bool,
            /// How many small buffers each spdk_thread keeps; 128 by default.
            iobuf_small_cache_size: u32,
            /// How many large buffers each spdk_thread keeps; 16 by default.
            iobuf_large_cache_size: u32,
        }

        /// Has the modules look at a bdev, where they do not by themselves.
        ///
        /// `new` takes the name of the bdev.
        "bdev_examine" => Examine(name: String) {}
        call call -> ();

        /// Waits until the modules have looked at every bdev.
        "bdev_wait_for_examine" => WaitForExamine() {}
        call call -> ();

        /// Limits what a bdev may do in a second; 0 for no limit.
        ///
        /// `new` takes the name of the bdev.
        "bdev_set_qos_limit" => QosLimit(name: String) {
            /// How many reads and writes, a multiple of 1000.
            rw_ios_per_sec: u64,
            /// How many MiB of reads and writes.
            rw_mbytes_per_sec: u64,
            /// How many MiB of reads.
            r_mbytes_per_sec: u64,
            /// How many MiB of writes.
            w_mbytes_per_sec: u64,
            /// How often the limits are looked at, in microseconds; 1000 by default. In each of these slices there is at least
            /// one I/O, or 512 bytes. Not every SPDK has it.
            timeslice_in_usecs: u64,
        }
        call set -> ();
    }
}

mod iobuf {
    use super::*;
    use crate::config::method::methods;

    methods! {
        TABLE, "iobuf":

        /// The buffers that all subsystems share. For the start only.
        "iobuf_set_options" => IobufOptions() {
            /// How many small buffers there are; 8192 by default.
            small_pool_count: u64,
            /// How many large buffers there are; 1024 by default.
            large_pool_count: u64,
            /// The size of a small buffer in bytes; 8 KiB by default.
            small_bufsize: u32,
            /// The size of a large buffer in bytes; 132 KiB by default.
            large_bufsize: u32,
            /// A pool for each NUMA node, with all these buffers each; `false` by default.
            enable_numa: bool,
        }
    }
}

mod sock {
    use super::*;
    use crate::config::method::methods;

    methods! {
        TABLE, "sock":

        /// The options of a kind of sockets. For the start only.
        ///
        /// `new` takes the kind: `posix`, `uring` or `ssl`.
        "sock_impl_set_options" => SockOptions(impl_name: String) {
            /// The size of the receive buffer in bytes.
            recv_buf_size: u32,
            /// The size of the send buffer in bytes.
            send_buf_size: u32,
            /// Reads more than was asked for, and keeps it.
            enable_recv_pipe: bool,
            /// Acknowledges at once.
            enable_quickack: bool,
            /// Keeps the sockets of one queue of the network card together: 0 for no, 1 by NAPI, 2 by
            /// core.
            enable_placement_id: u32,
            /// Sends without a copy, on sockets that were accepted.
            enable_zerocopy_send_server: bool,
            /// Sends without a copy, on sockets that were connected.
            enable_zerocopy_send_client: bool,
            /// What is smaller than this many bytes is copied all the same.
            zerocopy_threshold: u32,
            /// The version of TLS, such as 13 for 1.3; for `ssl`.
            tls_version: u32,
            /// Lets the kernel do TLS; for `ssl`.
            enable_ktls: bool,
            /// How many tickets a session gets to be resumed with; for `ssl`.
            num_ssl_tickets: u32,
        }

        /// The kind of sockets that is used where nothing else is said. For the start only.
        ///
        /// `new` takes the kind: `posix`, `uring` or `ssl`.
        "sock_set_default_impl" => SockDefault(impl_name: String) {}
    }
}

mod accel {
    use super::*;
    use crate::config::method::methods;

    methods! {
        TABLE, "accel":

        /// The pools of the acceleration framework. For the start only.
        "accel_set_options" => AccelOptions() {
            /// How many small buffers each channel keeps; 128 by default.
            small_cache_size: u32,
            /// How many large buffers each channel keeps; 16 by default.
            large_cache_size: u32,
            /// How many operations a channel may have in flight; 2048 by default.
            task_count: u32,
            /// How many sequences a channel may have in flight; 2048 by default.
            sequence_count: u32,
            /// How many buffers of sequences a channel may have; 2048 by default.
            buf_count: u32,
        }

        /// Which module does an operation. For the start only.
        ///
        /// `new` takes the operation, such as `crc32c`, and the module, such as `software`.
        "accel_assign_opc" => AccelAssign(opname: String, module: String) {}
    }
}

mod keyring {
    use super::*;
    use crate::config::method::methods;

    methods! {
        TABLE, "keyring":

        /// A key in a file, which only its owner may read or write.
        ///
        /// `new` takes the name of the key and the absolute path.
        "keyring_file_add_key" => KeyFile(name: String, path: String) {}
        call add -> ();
        delete remove = "keyring_file_remove_key"("name");
    }
}

pub use accel::{AccelAssign, AccelOptions};
pub use bdev::{BdevOptions, Examine, QosLimit, WaitForExamine};
pub use iobuf::IobufOptions;
pub use keyring::KeyFile;
pub use sock::{SockDefault, SockOptions};

/// Those of each subsystem.
pub(super) const TABLES: [&[Entry]; 5] = [
    bdev::TABLE,
    iobuf::TABLE,
    sock::TABLE,
    accel::TABLE,
    keyring::TABLE,
];
