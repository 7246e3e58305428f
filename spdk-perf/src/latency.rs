//! How long the I/Os of a job took.

use std::cell::Cell;

use hdrhistogram::Histogram;

/// The bits of a latency that are kept: 11, which are three decimal digits.
const BITS: u32 = 11;
const HALF: u64 = 1 << (BITS - 1);

/// What is longer counts as this: hours, in ticks.
const LONGEST: u64 = (1 << 44) - 1;

/// Counts latencies in ticks, in the buckets of an HDR histogram.
///
/// A job counts millions per second, so this is the part of [`Histogram::record`] that has to be done
/// at once: it finds the bucket and adds one. [`Latencies::histogram`] does the rest.
pub(crate) struct Latencies(Box<[Cell<u64>]>);

impl Latencies {
    pub(crate) fn new() -> Self {
        Latencies(vec![Cell::new(0); index(LONGEST) + 1].into())
    }

    #[inline]
    pub(crate) fn record(&self, ticks: u64) {
        let count = &self.0[index(ticks.min(LONGEST))];
        count.set(count.get() + 1);
    }

    pub(crate) fn clear(&self) {
        self.0.iter().for_each(|count| count.set(0));
    }

    pub(crate) fn histogram(&self) -> Histogram<u64> {
        let mut histogram = empty();
        for (index, count) in self.0.iter().enumerate() {
            if count.get() != 0 {
                histogram.saturating_record_n(lowest(index), count.get());
            }
        }
        histogram
    }
}

/// A histogram for latencies in ticks.
pub(crate) fn empty() -> Histogram<u64> {
    match Histogram::new_with_max(LONGEST, 3) {
        Ok(histogram) => histogram,
        Err(error) => unreachable!("the bounds are constants: {error}"),
    }
}

/// The bucket of a latency: one for each tick at first, and half as many per tick from each power of
/// two on.
#[inline]
fn index(ticks: u64) -> usize {
    let shift = (u64::BITS - BITS).saturating_sub(ticks.leading_zeros());
    (u64::from(shift) * HALF + (ticks >> shift)) as usize
}

/// The shortest latency of a bucket.
fn lowest(index: usize) -> u64 {
    let index = index as u64;
    let shift = (index / HALF).saturating_sub(1);
    (index - shift * HALF) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_begins_where_the_one_before_it_ends() {
        for ticks in [0, 1, HALF, 2 * HALF - 1, 2 * HALF, 123_456_789, LONGEST] {
            let bucket = index(ticks);
            assert!(lowest(bucket) <= ticks && ticks < lowest(bucket + 1));
            assert!(ticks - lowest(bucket) <= ticks / HALF, "{ticks}: too wide");
        }
        for bucket in 0..=index(LONGEST) {
            assert_eq!(index(lowest(bucket)), bucket);
        }
    }

    #[test]
    fn every_latency_is_counted() {
        let latencies = Latencies::new();
        latencies.record(7);
        latencies.clear();
        for ticks in [0, 5, 5, 100_000, u64::MAX] {
            latencies.record(ticks);
        }
        let histogram = latencies.histogram();
        assert_eq!((histogram.len(), histogram.min()), (5, 0));
        assert_eq!(histogram.value_at_quantile(0.5), 5);
        assert_eq!(histogram.max(), histogram.highest_equivalent(LONGEST));
        assert_eq!(histogram.count_at(100_000), 1);
    }
}
