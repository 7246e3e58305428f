//! What one run of a program gave.

use anyhow::{Context, Result};
use serde_json::Value;

/// One run, in a program's own words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    /// Operations, or round trips, per second.
    pub(super) rate: f64,
    /// The time that was measured, where the program tells.
    pub(super) seconds: Option<f64>,
    /// The part of the time in which the spdk_thread had something to do.
    pub(super) busy: Option<f64>,
    /// Latencies, in whole nanoseconds.
    pub(super) p50_ns: Option<f64>,
    pub(super) p99_ns: Option<f64>,
}

impl Sample {
    /// Reads the report of one of our programs: the last line of its standard output that is a JSON object.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let value = json(text)?;
        let rate = ["iops", "round_trips_per_s"]
            .iter()
            .find_map(|name| value.get(*name)?.as_f64())
            .context("the report has neither `iops` nor `round_trips_per_s`")?;
        // As SPDK's programs tell them: the same latency must not look like a longer one.
        let latency = |name: &str| Some(value.get("latency_ns")?.get(name)?.as_f64()?.round());
        Ok(Sample {
            rate,
            seconds: value.get("seconds").and_then(Value::as_f64),
            busy: value.get("busy").and_then(Value::as_f64),
            p50_ns: latency("p50"),
            p99_ns: latency("p99"),
        })
    }
}

/// The JSON object that a program's output ends with.
pub(super) fn json(text: &str) -> Result<Value> {
    let start = text
        .rfind("\n{")
        .map_or_else(|| text.find('{'), |at| Some(at + 1))
        .context("the program printed no JSON object")?;
    serde_json::from_str(text[start..].trim()).context("the program's report is not JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read_after_other_lines() {
        let text = "EAL: something {odd}\n{\"iops\": 12.5, \"latency_ns\": {\"p99\": 7.09}}\n";
        let sample = Sample::parse(text).unwrap();
        assert_eq!(
            (sample.rate, sample.p99_ns, sample.p50_ns),
            (12.5, Some(7.0), None)
        );
    }

    #[test]
    fn reports_may_have_lines() {
        let text = "{\n  \"round_trips_per_s\": 3,\n  \"latency_ns\": {\n    \"p50\": 2\n  }\n}";
        let sample = Sample::parse(text).unwrap();
        assert_eq!((sample.rate, sample.p50_ns), (3.0, Some(2.0)));
    }

    #[test]
    fn a_program_without_a_report_is_an_error() {
        assert!(Sample::parse("").is_err());
        assert!(Sample::parse("{\"ios\": 1}").is_err());
    }
}
