//! The target's bdev in this process, and operations that are abandoned on it.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::Value;
use spdk::{BdevDesc, DmaBuf, IoChannel, Result, SpdkAppBuilder};

use super::{BDEV, BLOCK_SIZE, Target, log};
use crate::{pattern, poll_once, rpc};

/// Blocks of one operation.
pub const SPAN_BLOCKS: u64 = 4;
/// Bytes of one operation: 16 KiB, more than fits into a command's capsule, so that the target asks
/// for the data of a write after it has the command.
pub const SPAN: usize = SPAN_BLOCKS as usize * BLOCK_SIZE;

/// An application that is attached to the target.
pub fn app(target: &Target, options: Value) -> SpdkAppBuilder {
    spdk::__testing::builder()
        .json_data(target.attach(options))
        .rpc_addr(&rpc::address())
}

/// Runs `body` in an application that is attached to a target.
///
/// The bystanders that `body` returns are checked when the application has ended, and with it every
/// operation, and they must be all that is left of SPDK's memory.
///
/// # Panics
///
/// If one of these does not hold, or the application does not end in order.
pub fn attached<B, F>(options: Value, body: B)
where
    B: FnOnce(Rc<Target>) -> F,
    F: Future<Output = Bystanders> + 'static,
{
    log::keep();
    let target = Rc::new(Target::start());
    let body = body(target.clone());
    let bystanders = app(&target, options).block_on(async { Ok(body.await) });
    let bystanders = bystanders.unwrap_or_else(|error| panic!("no orderly end: {error}"));
    bystanders.check();
    bystanders.assert_last();
}

/// A descriptor of the device and a channel. Places on it are in spans.
#[derive(Debug)]
pub struct Disk {
    /// The descriptor.
    pub desc: BdevDesc,
    /// The channel.
    pub channel: IoChannel,
}

impl Disk {
    /// Opens [`BDEV`] on the current spdk_thread.
    pub fn open() -> Rc<Disk> {
        Self::named(BDEV)
    }

    /// Opens a bdev on the current spdk_thread.
    pub fn named(name: &str) -> Rc<Disk> {
        let desc = BdevDesc::open(name, true).expect("the target's bdev");
        let channel = desc
            .get_io_channel()
            .expect("a channel of the target's bdev");
        Rc::new(Disk { desc, channel })
    }

    /// Reads one span.
    ///
    /// # Errors
    ///
    /// As for [`BdevDesc::read`].
    pub async fn read(&self, buf: &mut DmaBuf, span: u64) -> Result<()> {
        self.desc.read(&self.channel, buf, offset(span)).await
    }

    /// Writes one span.
    ///
    /// # Errors
    ///
    /// As for [`BdevDesc::write`].
    pub async fn write(&self, buf: &DmaBuf, span: u64) -> Result<()> {
        self.desc.write(&self.channel, buf, offset(span)).await
    }

    /// Writes the pattern of a generation to some spans.
    pub async fn prepare(&self, spans: Range<u64>, generation: u64) {
        for span in spans {
            let buf = filled(span, generation);
            self.write(&buf, span).await.expect("the target runs");
        }
    }

    /// Reads some spans and compares every byte with the pattern of a generation.
    pub async fn verify(&self, spans: Range<u64>, generation: u64) {
        for span in spans {
            let mut buf = buffer();
            self.read(&mut buf, span).await.expect("the target runs");
            assert_is(&buf, span, generation);
        }
    }

    /// Reads some spans until they have the pattern of a generation.
    pub async fn become_generation(&self, spans: Range<u64>, generation: u64) {
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut buf = buffer();
        for span in spans {
            loop {
                self.read(&mut buf, span).await.expect("the target runs");
                match pattern::check(&buf, BLOCK_SIZE, span * SPAN_BLOCKS, generation) {
                    Ok(()) => break,
                    Err(wrong) if Instant::now() > deadline => {
                        panic!("the target never got generation {generation}: {wrong}")
                    }
                    Err(_) => {}
                }
            }
        }
    }
}

/// Where a span begins, in bytes.
pub fn offset(span: u64) -> u64 {
    span * SPAN as u64
}

/// A zeroed buffer of one span.
pub fn buffer() -> DmaBuf {
    DmaBuf::alloc(SPAN, BLOCK_SIZE).expect("DMA memory")
}

/// A buffer with the pattern of a span and a generation.
pub fn filled(span: u64, generation: u64) -> DmaBuf {
    let mut buf = buffer();
    fill(&mut buf, span, generation);
    buf
}

/// Writes the pattern of a span and a generation into a buffer.
pub fn fill(buf: &mut [u8], span: u64, generation: u64) {
    pattern::fill(buf, BLOCK_SIZE, span * SPAN_BLOCKS, generation);
}

/// Panics unless a buffer has the pattern of a span and a generation.
#[track_caller]
pub fn assert_is(buf: &[u8], span: u64, generation: u64) {
    pattern::assert_is(buf, BLOCK_SIZE, span * SPAN_BLOCKS, generation);
}

/// Unrelated buffers, allocated while abandoned operations are in flight. Memory that was freed too
/// early is theirs, and a late write into it shows.
#[derive(Debug)]
#[must_use = "check them after the operations have ended"]
pub struct Bystanders(Vec<DmaBuf>);

impl Bystanders {
    const GENERATION: u64 = 0xb757;
    /// Enough of them to take all that 32 operations of one span can have freed.
    const COUNT: u64 = 96;

    /// Allocates and fills them.
    #[expect(
        clippy::new_without_default,
        reason = "it is what happens at this moment that counts"
    )]
    pub fn new() -> Self {
        Bystanders(
            (0..Self::COUNT)
                .map(|span| filled(span, Self::GENERATION))
                .collect(),
        )
    }

    /// Compares every byte.
    #[track_caller]
    pub fn check(&self) {
        let all = self.0.iter().zip(0..);
        let changed = all
            .filter(|(buf, span)| {
                let first = span * SPAN_BLOCKS;
                pattern::check(buf, BLOCK_SIZE, first, Self::GENERATION).is_err()
            })
            .count();
        assert_eq!(
            changed,
            0,
            "of {} unrelated buffers were overwritten",
            Self::COUNT
        );
    }

    /// Panics if there was other memory of SPDK's in use when the application ended.
    #[track_caller]
    pub fn assert_last(self) {
        let only = format!(" buffers={} ", self.0.len());
        assert!(
            log::has(&["stays mapped", &only]),
            "memory of abandoned operations was not freed"
        );
    }
}

/// Submits an operation on a stopped target: after one poll it is in flight.
#[track_caller]
pub fn submit<F: Future>(operation: &mut Pin<Box<F>>) {
    let poll = poll_once(operation.as_mut());
    assert!(
        poll.is_pending(),
        "the operation has ended; it should be in flight"
    );
}
