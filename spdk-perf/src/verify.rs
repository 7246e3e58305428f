//! The workload `verify`: what was written is read back and compared.

use std::fmt;
use std::rc::Rc;

use spdk::DmaBuf;
use spdk::task::yield_now;

use crate::job::Job;
use crate::pattern;

/// Data that is not what was written.
pub(crate) struct Mismatch<'a> {
    bdev: &'a str,
    /// The byte of the device that differs first.
    offset: u64,
    expected: u8,
    found: u8,
    /// How many bytes of the I/O differ.
    differing: usize,
    io_offset: u64,
    io_size: usize,
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "bdev {:?} did not keep what was written: byte {} is {:#04x} instead of {:#04x}, the \
             first of {} bytes that differ in the {} bytes at byte {}",
            self.bdev,
            self.offset,
            self.found,
            self.expected,
            self.differing,
            self.io_size,
            self.io_offset,
        )
    }
}

/// Writes and verifies the places that belong to one slot alone, again and again.
pub(crate) async fn run(job: Rc<Job>, index: u32, (mut written, mut read): (DmaBuf, DmaBuf)) {
    let spec = &job.spec;
    let (share, shares) = spec.share;
    let first = u64::from(share * spec.queue_depth + index);
    let step = (shares * spec.queue_depth) as usize;
    let places = || (first..spec.places).step_by(step);
    // No earlier run has left data of the same generation.
    let generation = spdk::ticks();
    for (generation, place) in (generation..).flat_map(|g| places().map(move |place| (g, place))) {
        if !job.goes_on() {
            break;
        }
        let offset = place * spec.io_size;
        let block = offset / u64::from(spec.block_size);
        pattern::fill(&mut written, spec.block_size as usize, block, generation);
        match write_and_read(&job, &written, &mut read, offset).await {
            // The last place of `read` had other data, so a read that does nothing is seen, too.
            Ok(()) => {
                if let Some(mismatch) = compare(&spec.bdev, offset, &written, &read) {
                    job.mismatched(&mismatch);
                }
            }
            Err(error) => {
                job.failed(&error);
                yield_now().await;
            }
        }
    }
}

async fn write_and_read(
    job: &Job,
    written: &DmaBuf,
    read: &mut DmaBuf,
    offset: u64,
) -> spdk::Result<()> {
    let since = spdk::ticks();
    job.desc.write(&job.channel, written, offset).await?;
    let since = job.completed(since);
    job.desc.read(&job.channel, read, offset).await?;
    let end = job.completed(since);
    job.left(end);
    Ok(())
}

fn compare<'a>(bdev: &'a str, io_offset: u64, written: &[u8], read: &[u8]) -> Option<Mismatch<'a>> {
    if written == read {
        return None;
    }
    let pairs = || written.iter().zip(read);
    let first = pairs().position(|(written, read)| written != read)?;
    Some(Mismatch {
        bdev,
        offset: io_offset + first as u64,
        expected: written[first],
        found: read[first],
        differing: pairs().filter(|(written, read)| written != read).count(),
        io_offset,
        io_size: written.len(),
    })
}
