//! What SPDK's `spdk_nvme_perf` prints.

use anyhow::{Context, Result};

use super::bdevperf::percentile;
use super::sample::Sample;

/// Reads the table and, with the switch `-L`, the latencies that follow it.
///
/// The `Total` line has operations and MiB per second, and latencies in microseconds. The percentiles are given for each
/// namespace on each core; here is one of both.
pub(super) fn parse(text: &str) -> Result<Sample> {
    let mut lines = text.lines().map(str::trim);
    let total = lines.find_map(|line| line.strip_prefix("Total"));
    let total = total.context("no line begins with `Total`")?;
    let rate = total
        .trim_start_matches([' ', ':'])
        .split_whitespace()
        .next();
    let rate = rate.and_then(|rate| rate.parse().ok());
    Ok(Sample {
        rate: rate.with_context(|| format!("this has no number: {total}"))?,
        seconds: None,
        busy: None,
        p50_ns: percentile(text, 50.0),
        p99_ns: percentile(text, 99.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "\
Initialization complete. Launching workers.
========================================================
                                                                                           Latency(us)
Device Information                                     :       IOPS      MiB/s    Average        min        max
TCP (addr:127.0.0.1 subnqn:nqn.a) NSID 1 from core  1:  217744.50     850.56     588.93      82.04   27955.75
========================================================
Total                                                  :  217744.50     850.56     588.93      82.04   27955.75

Summary latency data for TCP (addr:127.0.0.1 subnqn:nqn.a) NSID 1     from core 1:
=================================================================================
  1.00000% :   112.640us
 50.00000% :   135.500us
 99.00000% :  8318.250us
 99.90000% : 16031.114us
";

    #[test]
    fn the_total_and_the_percentiles_are_read() {
        let sample = parse(ONE).unwrap();
        assert_eq!(sample.rate, 217_744.5);
        assert_eq!(sample.p50_ns, Some(135_500.0));
        assert_eq!(sample.p99_ns, Some(8_318_250.0));
    }

    #[test]
    fn what_has_no_total_is_no_result() {
        assert!(parse("Initializing NVMe Controllers").is_err());
        assert!(parse("Total : ?").is_err());
    }
}
