//! What is measured.

use std::time::{Duration, Instant};

use spdk::task::yield_now;
use spdk::{BdevDesc, DmaBuf, IoChannel, Result, SpdkApp, ThreadHandle, spawn_local};

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Submitting a read and waiting for its completion, which a null bdev has ready in the next poll.
    Read,
    /// The same for a write.
    Write,
    /// A task that wakes itself and is polled again.
    Yield,
    /// Spawning a task that has nothing to do, and waiting for its end.
    Spawn,
    /// A message to another spdk_thread of the same core, and back.
    MessageSameCore,
    /// A message to an spdk_thread of another core, and back.
    MessageOtherCore,
}

impl Part {
    pub(crate) const ALL: [Part; 6] = [
        Part::Read,
        Part::Write,
        Part::Yield,
        Part::Spawn,
        Part::MessageSameCore,
        Part::MessageOtherCore,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Part::Read => "null bdev, read of 4 KiB",
            Part::Write => "null bdev, write of 4 KiB",
            Part::Yield => "wake and poll",
            Part::Spawn => "spawn and join",
            Part::MessageSameCore => "message round trip on one core",
            Part::MessageOtherCore => "message round trip between cores",
        }
    }
}

/// What the measurements need.
pub(crate) struct Parts {
    channel: IoChannel,
    desc: BdevDesc,
    buf: DmaBuf,
    same_core: ThreadHandle,
    other_core: ThreadHandle,
}

impl Parts {
    pub(crate) async fn open() -> Result<Self> {
        let cores = SpdkApp::cores()?;
        // The application's own task is on the first one.
        let first = cores.first().copied().unwrap_or_default();
        let last = cores.last().copied().unwrap_or_default();
        let desc = BdevDesc::open("Null0", true)?;
        Ok(Parts {
            channel: desc.get_io_channel()?,
            desc,
            buf: DmaBuf::alloc(4096, 4096)?,
            same_core: ThreadHandle::on_core("same_core", first).await?,
            other_core: ThreadHandle::on_core("other_core", last).await?,
        })
    }

    pub(crate) async fn close(self) -> Result<()> {
        self.same_core.exit().await?;
        self.other_core.exit().await
    }

    pub(crate) async fn measure(&mut self, part: Part, iterations: u64) -> Result<Duration> {
        let Parts {
            channel, desc, buf, ..
        } = self;
        match part {
            Part::Read => time(iterations, async || desc.read(channel, buf, 0).await).await,
            Part::Write => time(iterations, async || desc.write(channel, buf, 0).await).await,
            Part::Yield => {
                let turn = async || {
                    yield_now().await;
                    Ok(())
                };
                time(iterations, turn).await
            }
            Part::Spawn => time(iterations, async || spawn_local(async {})?.await).await,
            Part::MessageSameCore => {
                time(iterations, async || self.same_core.call(|| ()).await).await
            }
            Part::MessageOtherCore => {
                time(iterations, async || self.other_core.call(|| ()).await).await
            }
        }
    }
}

async fn time(iterations: u64, mut once: impl AsyncFnMut() -> Result<()>) -> Result<Duration> {
    let start = Instant::now();
    for _ in 0..iterations {
        once().await?;
    }
    Ok(start.elapsed())
}
