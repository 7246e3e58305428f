//! What SPDK's `bdevperf` prints.

use anyhow::{Context, Result, bail};

use super::sample::Sample;

/// Reads the table and, with the switch `-l`, the latencies that follow it.
///
/// The `Total` line ends with operations, MiB, failures and timeouts per second, and latencies in microseconds. The percentiles are given for each job, and no way leads from those of several jobs to
/// those of all, so they are taken for one job only.
pub(super) fn parse(text: &str) -> Result<Sample> {
    let total = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Total"))
        .context("no line begins with `Total`")?;
    let numbers: Vec<f64> = total
        .trim_start_matches([' ', ':'])
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .with_context(|| format!("not all of these are numbers: {total}"))?;
    let [iops, _, failed, timed_out, ..] = numbers[..] else {
        bail!("the line `Total` has fewer numbers than expected: {total}");
    };
    if failed > 0.0 || timed_out > 0.0 {
        bail!("{failed} operations per second failed and {timed_out} timed out");
    }
    let jobs = text
        .lines()
        .filter(|line| line.trim_start().starts_with("Job:") && line.contains("workload"))
        .count();
    let percentile = |which: f64| (jobs == 1).then(|| percentile(text, which)).flatten();
    Ok(Sample {
        rate: iops,
        seconds: None,
        busy: None,
        p50_ns: percentile(50.0),
        p99_ns: percentile(99.0),
    })
}

/// A line of the latency summary: ` 99.00000% :     3.228us`
pub(super) fn percentile(text: &str, which: f64) -> Option<f64> {
    text.lines().find_map(|line| {
        let (percent, time) = line.split_once("% :")?;
        let percent: f64 = percent.trim().parse().ok()?;
        let time: f64 = time.trim().strip_suffix("us")?.parse().ok()?;
        (percent == which).then_some(time * 1000.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "\
Running I/O for 1 seconds...
 12511616.00 IOPS, 48873.50 MiB/s\r
                                             Latency(us)
\r Device Information          : runtime(s)       IOPS      MiB/s     Fail/s     TO/s    Average        min        max
Job: Null0 (Core Mask 0x1, workload: randread, depth: 32, IO size: 4096)
\t Null0               :       1.00 12510016.17   48867.25       0.00     0.00       2.51       2.23    4131.62
\r ==================================================================
\r Total                       :            12510016.17   48867.25       0.00     0.00       2.51       2.23    4131.62

 Latency summary
\r =============================================
\r Job: Null0 (Core Mask 0x1)
 50.00000% :     2.310us
 99.00000% :     3.228us
 99.90000% :    12.633us
";

    #[test]
    fn the_total_and_the_percentiles_are_read() {
        let sample = parse(ONE).unwrap();
        assert_eq!(sample.rate, 12_510_016.17);
        assert_eq!(sample.p50_ns, Some(2310.0));
        assert_eq!(sample.p99_ns, Some(3228.0));
    }

    #[test]
    fn two_jobs_have_no_common_percentile() {
        let job = "Job: Null0 (Core Mask 0x2, workload: randread, depth: 32, IO size: 4096)\n";
        let sample = parse(&ONE.replacen("Job:", &format!("{job}Job:"), 1)).unwrap();
        assert_eq!((sample.rate, sample.p99_ns), (12_510_016.17, None));
    }

    #[test]
    fn failures_are_no_result() {
        let text = ONE.replace(" 48867.25       0.00 ", " 48867.25       3.00 ");
        assert!(parse(&text).unwrap_err().to_string().contains("failed"));
        assert!(parse("Running I/O for 1 seconds...").is_err());
    }
}
