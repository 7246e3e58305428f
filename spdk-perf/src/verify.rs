//! The workload `verify`: what was written is read back and compared.

use std::fmt;
use std::rc::Rc;

use spdk::DmaBuf;
use spdk::task::yield_now;

use crate::job::Job;
use crate::pattern::{Difference, Pattern};

/// Data that is not what was written.
pub(crate) struct Mismatch<'a> {
    name: &'a str,
    offset: u64,
    length: usize,
    difference: Difference,
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference {
            at,
            expected,
            found,
            count,
        } = self.difference;
        write!(
            f,
            "{:?} did not keep what was written: byte {} is {found:#04x} instead of \
             {expected:#04x}, the first of {count} bytes that differ in the {} bytes at byte {}",
            self.name,
            self.offset + at as u64,
            self.length,
            self.offset,
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
        let first = place * spec.blocks;
        let pattern = Pattern {
            block_size: spec.block_size as usize,
            first,
            generation,
        };
        pattern.fill(&mut written);
        match write_and_read(&job, &written, &mut read, first).await {
            // Not with `written`, which the device had in its hands. The last place of `read` had
            // other data, so a read that does nothing is seen, too.
            Ok(()) => {
                if let Some(difference) = pattern.difference(&read) {
                    job.mismatched(&Mismatch {
                        name: &spec.name,
                        offset,
                        length: read.len(),
                        difference,
                    });
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
    first: u64,
) -> spdk::Result<()> {
    let (device, blocks) = (&job.device, job.spec.blocks);
    let since = spdk::ticks();
    device.write(written, first, blocks).await?;
    let written_at = spdk::ticks();
    job.goes_on_at(written_at);
    job.completed(since, written_at, 1);
    device.read(read, first, blocks).await?;
    let end = spdk::ticks();
    job.goes_on_at(end);
    job.completed(written_at, end, 1);
    job.counted(2);
    job.left(end);
    Ok(())
}
