//! Allocations for each I/O, and bytes for each operation in flight.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::Figure;
use crate::bench::program::{Program, Setting};
use crate::bench::{process, sample};

/// What the program `counts` prints.
#[derive(Deserialize)]
struct Counts {
    allocations: Vec<Steady>,
    in_flight: InFlight,
}

#[derive(Deserialize)]
struct Steady {
    bdev: String,
    queue_depth: u32,
    operation: String,
    ios: u64,
    heap: u64,
    dma: u64,
}

#[derive(Deserialize)]
struct InFlight {
    heap_bytes_each: f64,
    future_bytes: f64,
}

pub(super) fn count(setting: &Setting<'_>) -> Result<Vec<Figure>> {
    let mut command = setting.start(Program::Counts, 1)?;
    let finished = process::finish(&mut command, Duration::from_secs(30), setting.scratch)?;
    let counts: Counts = serde_json::from_value(sample::json(&finished.stdout)?)
        .context("the report of counts cannot be used")?;
    Ok(figures(&counts))
}

fn figures(counts: &Counts) -> Vec<Figure> {
    let mut figures = Vec::new();
    for steady in &counts.allocations {
        let of = format!(
            "{}-{}-qd{}",
            steady.bdev, steady.operation, steady.queue_depth
        );
        for (kind, count) in [("heap", steady.heap), ("dma", steady.dma)] {
            let each = count as f64 / steady.ios as f64;
            let name = format!("allocations-{kind}-{}", of.to_lowercase());
            figures.push(Figure::new(name, each, "per I/O", 0.0));
        }
    }
    let in_flight = &counts.in_flight;
    let (task, future) = (in_flight.heap_bytes_each, in_flight.future_bytes);
    figures.extend([
        // A task for each operation; the pools grow in steps, so it is no whole number.
        Figure::new("in-flight-task", task, "bytes per operation", 0.0),
        Figure::new("in-flight-future", future, "bytes per operation", 0.0),
    ]);
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_per_io() {
        let text = r#"{
            "allocations": [{"bdev": "Null0", "queue_depth": 32, "operation": "read", "ios": 1000, "heap": 500, "dma": 0}],
            "in_flight": {"heap_bytes_each": 740.5, "future_bytes": 120, "operations": 4096}}"#;
        let counts: Counts = serde_json::from_str(text).unwrap();
        let figures = figures(&counts);
        let find = |name: &str| figures.iter().find(|f| f.name == name).unwrap().value;
        assert_eq!(find("allocations-heap-null0-read-qd32"), 0.5);
        assert_eq!(find("allocations-dma-null0-read-qd32"), 0.0);
        assert_eq!(find("in-flight-task"), 740.5);
    }
}
