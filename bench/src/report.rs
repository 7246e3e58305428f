//! How the programs report: one line of JSON on standard output.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

/// What a run counted.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// How many.
    pub count: u64,
    /// In which time.
    pub time: Duration,
    /// The part of that time in which the spdk_thread had something to do.
    pub busy: Option<f64>,
}

impl Counted {
    fn rate(self) -> f64 {
        self.count as f64 / self.time.as_secs_f64()
    }

    /// The report of a program that does I/O.
    pub fn ios(self) -> Value {
        json!({
            "iops": self.rate(),
            "ios": self.count,
            "seconds": self.time.as_secs_f64(),
            "busy": self.busy,
        })
    }

    /// The report of a program that sends messages to and fro.
    pub fn round_trips(self) -> Value {
        json!({
            "round_trips_per_s": self.rate(),
            "round_trips": self.count,
            "seconds": self.time.as_secs_f64(),
        })
    }
}

/// Prints the report, or the error.
pub fn end(program: &str, result: spdk::Result<Value>) -> ExitCode {
    match result {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{program}: {error}");
            ExitCode::FAILURE
        }
    }
}
