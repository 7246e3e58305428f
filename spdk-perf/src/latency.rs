//! How long the I/Os of a job took.

use std::cell::Cell;

use hdrhistogram::Histogram;

/// The bits of a latency that are kept below the first: three decimal digits.
const BITS: u32 = 10;

/// The bits of a `f64` below them.
const REST: u32 = f64::MANTISSA_DIGITS - 1 - BITS;

/// A bucket for each exponent of a 64-bit number and each value of [`BITS`].
const BUCKETS: usize = 64 << BITS;

/// What is longer counts as this in the [`Histogram`]: hours, in ticks.
const LONGEST: u64 = (1 << 44) - 1;

/// Counts latencies in ticks, in buckets as fine as those of an HDR histogram.
///
/// A job counts millions per second, so this is the part of [`Histogram::record`] that has to be done
/// at once: it finds the bucket and adds to it. [`Latencies::histogram`] does the rest.
pub(crate) struct Latencies(Box<[Cell<u64>; BUCKETS]>);

impl Latencies {
    pub(crate) fn new() -> Self {
        let zeros = vec![Cell::new(0); BUCKETS];
        match zeros.into_boxed_slice().try_into() {
            Ok(buckets) => Latencies(buckets),
            Err(_) => unreachable!("it was made with this length"),
        }
    }

    #[inline]
    pub(crate) fn record(&self, ticks: u64, count: u64) {
        let all = &self.0[bucket(ticks)];
        all.set(all.get() + count);
    }

    pub(crate) fn clear(&self) {
        self.0.iter().for_each(|count| count.set(0));
    }

    pub(crate) fn histogram(&self) -> Histogram<u64> {
        let mut histogram = empty();
        for (bucket, count) in self.0.iter().enumerate() {
            if count.get() != 0 {
                histogram.saturating_record_n(latency(bucket).min(LONGEST), count.get());
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

/// The bucket of a latency, below 2^63 ticks.
///
/// It is the head of the number as a `f64`: the exponent, of which 6 bits tell 64 numbers apart, and the
/// first bits of the mantissa. One is added since a 0 has no such exponent.
#[inline]
fn bucket(ticks: u64) -> usize {
    let number = (ticks + 1) as i64 as f64;
    usize::from((number.to_bits() >> REST) as u16)
}

/// A latency of a bucket: the only one, or the second, which no bucket of a [`Histogram`] splits off.
fn latency(bucket: usize) -> u64 {
    let above = (bucket + BUCKETS - self::bucket(0)) % BUCKETS;
    let one = 1f64.to_bits() >> REST;
    let first = f64::from_bits((one + above as u64) << REST) as u64 - 1;
    match first < 2 << BITS {
        true => first,
        false => first + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_as_wide_as_three_digits_allow() {
        for ticks in [
            0,
            1,
            2,
            1023,
            1024,
            2046,
            2047,
            2048,
            4095,
            123_456_789,
            LONGEST,
        ] {
            let latency = latency(bucket(ticks));
            assert!(latency.abs_diff(ticks) <= ticks >> BITS, "{ticks}");
            assert_eq!(bucket(latency), bucket(ticks));
        }
    }

    #[test]
    fn every_latency_is_counted() {
        let latencies = Latencies::new();
        latencies.record(7, 1);
        latencies.clear();
        latencies.record(5, 2);
        for ticks in [0, 100_000, i64::MAX as u64 - 1] {
            latencies.record(ticks, 1);
        }
        latencies.record(7, 0);
        let histogram = latencies.histogram();
        assert_eq!((histogram.len(), histogram.min()), (5, 0));
        assert_eq!(histogram.value_at_quantile(0.5), 5);
        assert_eq!(histogram.max(), histogram.highest_equivalent(LONGEST));
        assert_eq!(histogram.count_at(100_000), 1);
    }
}
