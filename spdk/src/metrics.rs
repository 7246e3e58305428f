//! What all devices and spdk_threads have done, as plain numbers.
//!
//! [`snapshot`] reads what SPDK counts anyway, so an I/O costs no more for being counted. The numbers are
//! there as typed values, as [`Sample`]s for a crate such as `metrics`, and, with [`Snapshot`]'s `Display`, in
//! the text format that Prometheus reads:
//!
//! | name | kind | labels | |
//! |---|---|---|---|
//! | `spdk_bdev_ios_total` | counter | `bdev`, `op` | I/Os that have succeeded |
//! | `spdk_bdev_bytes_total` | counter | `bdev`, `op` | their bytes |
//! | `spdk_bdev_io_seconds_total` | counter | `bdev`, `op` | the time that they have taken, one by one |
//! | `spdk_bdev_errors_total` | counter | `bdev`, `status` | I/Os that have failed |
//! | `spdk_bdev_queue_depth` | gauge | `bdev` | I/Os in flight |
//! | `spdk_thread_busy_seconds_total` | counter | `thread`, `id` | the time in polls that did something |
//! | `spdk_thread_idle_seconds_total` | counter | `thread`, `id` | the time in polls that had nothing to do |
//! | `spdk_thread_retries_total` | counter | `thread`, `id` | I/Os that have waited for a free `spdk_bdev_io`, or a request of their queue |
//! | `spdk_thread_tasks` | gauge | `thread`, `id` | tasks that have not ended |
//!
//! `op` is `read`, `write`, `unmap` or `copy`. `status` is SPDK's name of a kind of error, such as
//! `nvme_error`. Counters begin at 0 when the device or the spdk_thread is made; those of a device go back when
//! somebody resets its statistics ([`ResetStat`](crate::bdev::ResetStat)).
//!
//! ```
//! # use spdk::SpdkApp;
//! # fn main() -> spdk::Result<()> {
//! # SpdkApp::builder().no_huge(true).no_pci(true).mem_size_mb(512).disable_cpumask_locks(true).block_on(async {
//! let snapshot = spdk::metrics::snapshot().await?;
//! for sample in snapshot.samples() {
//!     // metrics::gauge!(sample.name, &sample.labels).set(sample.value), for instance
//!     println!("{} {:?} {}", sample.name, sample.labels, sample.value);
//! }
//! print!("{snapshot}"); // what an endpoint `/metrics` answers
//! # Ok(())
//! # })
//! # }
//! ```

use std::fmt;

use crate::bdev::{Bdev, BdevIoStat};
use crate::bdev_metrics::ErrorCounts;
use crate::error::{ErrorKind, Result};
use crate::for_each_thread;
use crate::local::Local;
use crate::thread_stats::{self, ThreadStats};

/// What all devices and spdk_threads have done until now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// Every bdev, those that others are built upon included.
    pub devices: Vec<DeviceMetrics>,
    /// Every spdk_thread, those of SPDK's own modules included.
    pub threads: Vec<ThreadMetrics>,
}

/// What a bdev has done, through all channels.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeviceMetrics {
    /// Its name.
    pub name: String,
    /// The I/Os that have succeeded, their bytes and times.
    pub io: BdevIoStat,
    /// The I/Os that have failed.
    pub errors: Vec<ErrorCount>,
    /// How many I/Os were in flight. Other spdk_threads go on while it is counted.
    pub queue_depth: u64,
}

/// How many I/Os have failed for the same kind of reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorCount {
    /// SPDK's name of the kind, such as `nvme_error`: an error with an NVMe status.
    pub status: &'static str,
    /// How many.
    pub count: u64,
}

/// What an spdk_thread has done.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ThreadMetrics {
    /// Its name, which others may have too.
    pub name: String,
    /// Its number, which no other spdk_thread of this process gets.
    pub id: u64,
    /// The time that it has spent in polls, busy and idle.
    pub stats: ThreadStats,
    /// How often an I/O of this crate found no free `spdk_bdev_io`, or no request of its queue pair or channel, and has
    /// waited for one (`-ENOMEM`). The caller sees no more of it than the time.
    pub retries: u64,
    /// How many tasks of this crate it has, running or waiting.
    pub tasks: usize,
}

impl DeviceMetrics {
    /// How many I/Os have failed, for whatever reason.
    pub fn errors_total(&self) -> u64 {
        self.errors.iter().map(|error| error.count).sum()
    }
}

/// Asks SPDK what all devices and spdk_threads have done until now.
///
/// The devices are asked one after the other, and each of them on every spdk_thread that has a channel to
/// it; then the spdk_threads. So the numbers are not of one moment. It ends when all spdk_threads were polled,
/// as for [`for_each_thread`]. A device that is removed meanwhile is left out.
///
/// # Errors
///
/// [`ErrorKind::NoThread`] without a current spdk_thread, and [`ErrorKind::Errno`] with `ENOMEM` if SPDK
/// has no memory to ask with.
///
/// # Cancellation
///
/// Nothing happens before the first poll, and nothing is changed. What SPDK was asked goes on when the future
/// is dropped.
///
/// # Thread
///
/// Any spdk_thread.
#[doc(alias = "spdk_bdev_get_device_stat")]
#[doc(alias = "spdk_bdev_get_current_qd")]
#[doc(alias = "spdk_thread_get_stats")]
pub async fn snapshot() -> Result<Snapshot> {
    let mut devices = Vec::new();
    for bdev in Bdev::all()? {
        match device(&bdev).await {
            Ok(metrics) => devices.push(metrics),
            Err(error) if matches!(error.kind(), ErrorKind::Gone { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let threads = for_each_thread(|info| {
        let local = Local::here();
        ThreadMetrics {
            name: info.name.clone(),
            id: info.id,
            stats: thread_stats::current(),
            retries: local.as_ref().map_or(0, |local| local.retries().get()),
            tasks: local.map_or(0, |local| local.executor().len()),
        }
    });
    Ok(Snapshot {
        devices,
        threads: threads.await?,
    })
}

async fn device(bdev: &Bdev) -> Result<DeviceMetrics> {
    let (io, errors): (_, ErrorCounts) = bdev.device_stat_with_errors().await?;
    let errors = errors.into_iter();
    Ok(DeviceMetrics {
        name: bdev.name().to_owned(),
        io,
        errors: errors
            .map(|(status, count)| ErrorCount { status, count })
            .collect(),
        queue_depth: bdev.current_queue_depth().await?,
    })
}

/// A number of a [`Snapshot`], with its name and labels; see the [module](self).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// Its name, as for Prometheus.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: SampleKind,
    /// What it is of.
    pub labels: Vec<(&'static str, String)>,
    /// The number.
    pub value: f64,
}

/// What kind of number a [`Sample`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SampleKind {
    /// It only grows, until it begins at 0 again.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// Samples of one name.
struct Family {
    name: &'static str,
    kind: SampleKind,
    help: &'static str,
}

impl Family {
    const fn counter(name: &'static str, help: &'static str) -> Self {
        let kind = SampleKind::Counter;
        Family { name, kind, help }
    }

    const fn gauge(name: &'static str, help: &'static str) -> Self {
        let kind = SampleKind::Gauge;
        Family { name, kind, help }
    }

    fn sample(&self, labels: &[(&'static str, &str)], value: f64) -> Sample {
        Sample {
            name: self.name,
            kind: self.kind,
            labels: labels
                .iter()
                .map(|(key, value)| (*key, (*value).to_owned()))
                .collect(),
            value,
        }
    }
}

type OfIo = fn(&Io) -> f64;
type OfThread = fn(&ThreadMetrics) -> f64;

static IO: [(Family, OfIo); 3] = [
    (
        Family::counter("spdk_bdev_ios_total", "I/Os that have succeeded."),
        |io| io.count as f64,
    ),
    (
        Family::counter(
            "spdk_bdev_bytes_total",
            "Bytes of I/Os that have succeeded.",
        ),
        |io| io.bytes as f64,
    ),
    (
        Family::counter(
            "spdk_bdev_io_seconds_total",
            "Time of I/Os that have succeeded.",
        ),
        |io| io.seconds,
    ),
];
static ERRORS: Family = Family::counter("spdk_bdev_errors_total", "I/Os that have failed.");
static QUEUE_DEPTH: Family = Family::gauge("spdk_bdev_queue_depth", "I/Os in flight.");
static THREAD: [(Family, OfThread); 4] = [
    (
        Family::counter(
            "spdk_thread_busy_seconds_total",
            "Time in polls that did something.",
        ),
        |thread| thread.stats.busy().as_secs_f64(),
    ),
    (
        Family::counter(
            "spdk_thread_idle_seconds_total",
            "Time in polls with nothing to do.",
        ),
        |thread| thread.stats.idle().as_secs_f64(),
    ),
    (
        Family::counter(
            "spdk_thread_retries_total",
            "I/Os that waited for a free spdk_bdev_io.",
        ),
        |thread| thread.retries as f64,
    ),
    (
        Family::gauge("spdk_thread_tasks", "Tasks that have not ended."),
        |thread| thread.tasks as f64,
    ),
];

/// The I/Os of a device that do the same.
struct Io {
    op: &'static str,
    count: u64,
    bytes: u64,
    seconds: f64,
}

impl Io {
    fn all(stat: &BdevIoStat) -> [Io; 4] {
        let io = |op, count, bytes, ticks: u64| Io {
            op,
            count,
            bytes,
            seconds: ticks as f64 / stat.ticks_rate.max(1) as f64,
        };
        let BdevIoStat {
            num_read_ops,
            bytes_read,
            read_latency_ticks,
            num_write_ops,
            bytes_written,
            write_latency_ticks,
            num_unmap_ops,
            bytes_unmapped,
            unmap_latency_ticks,
            num_copy_ops,
            bytes_copied,
            copy_latency_ticks,
            ..
        } = *stat;
        [
            io("read", num_read_ops, bytes_read, read_latency_ticks),
            io("write", num_write_ops, bytes_written, write_latency_ticks),
            io("unmap", num_unmap_ops, bytes_unmapped, unmap_latency_ticks),
            io("copy", num_copy_ops, bytes_copied, copy_latency_ticks),
        ]
    }
}

impl Snapshot {
    /// All its numbers, with their names and labels. Those of one name come one after the other.
    pub fn samples(&self) -> Vec<Sample> {
        let families = self.families().into_iter();
        families.flat_map(|(_, samples)| samples).collect()
    }

    fn families(&self) -> Vec<(&'static Family, Vec<Sample>)> {
        let mut families = Vec::new();
        for (family, value) in &IO {
            let of_device = |device: &DeviceMetrics| {
                Io::all(&device.io).map(|io| {
                    let labels = [("bdev", device.name.as_str()), ("op", io.op)];
                    family.sample(&labels, value(&io))
                })
            };
            families.push((family, self.devices.iter().flat_map(of_device).collect()));
        }
        let errors = self.devices.iter().flat_map(|device| {
            device.errors.iter().map(|error| {
                let labels = [("bdev", device.name.as_str()), ("status", error.status)];
                ERRORS.sample(&labels, error.count as f64)
            })
        });
        families.push((&ERRORS, errors.collect()));
        let depths = self
            .devices
            .iter()
            .map(|device| QUEUE_DEPTH.sample(&[("bdev", &device.name)], device.queue_depth as f64));
        families.push((&QUEUE_DEPTH, depths.collect()));
        for (family, value) in &THREAD {
            let of_thread = |thread: &ThreadMetrics| {
                let id = thread.id.to_string();
                family.sample(&[("thread", &thread.name), ("id", &id)], value(thread))
            };
            families.push((family, self.threads.iter().map(of_thread).collect()));
        }
        families
    }
}

/// In the text format of Prometheus.
impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (family, samples) in self.families() {
            let Family { name, help, kind } = family;
            let kind = match kind {
                SampleKind::Counter => "counter",
                SampleKind::Gauge => "gauge",
            };
            writeln!(f, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
            for sample in samples {
                f.write_str(name)?;
                for (n, (key, value)) in sample.labels.iter().enumerate() {
                    let value = value
                        .replace('\\', r"\\")
                        .replace('"', r#"\""#)
                        .replace('\n', r"\n");
                    let before = if n == 0 { '{' } else { ',' };
                    write!(f, "{before}{key}=\"{value}\"")?;
                }
                writeln!(f, "}} {}", sample.value)?;
            }
        }
        Ok(())
    }
}

/// As the list of its [`samples`](Snapshot::samples): each with its `name`, its `labels` and its `value`.
#[cfg(feature = "config")]
impl serde_core::Serialize for Snapshot {
    fn serialize<S: serde_core::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.samples())
    }
}

#[cfg(feature = "config")]
impl serde_core::Serialize for Sample {
    fn serialize<S: serde_core::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde_core::ser::SerializeStruct;
        struct Labels<'a>(&'a [(&'static str, String)]);
        impl serde_core::Serialize for Labels<'_> {
            fn serialize<S: serde_core::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_map(self.0.iter().map(|(key, value)| (key, value)))
            }
        }
        let mut sample = serializer.serialize_struct("Sample", 3)?;
        sample.serialize_field("name", self.name)?;
        sample.serialize_field("labels", &Labels(&self.labels))?;
        sample.serialize_field("value", &self.value)?;
        sample.end()
    }
}
