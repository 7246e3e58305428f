//! Runs the program on bdevs of a configuration.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rustix::thread::{CpuSet, sched_getaffinity};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

/// 16 MiB in blocks of 512 bytes.
pub(crate) fn malloc(name: &str) -> Value {
    json!({"method": "bdev_malloc_create",
           "params": {"name": name, "num_blocks": 32_768, "block_size": 512}})
}

/// 16 MiB in blocks of 512 bytes, without memory behind them.
pub(crate) fn null(name: &str) -> Value {
    json!({"method": "bdev_null_create",
           "params": {"name": name, "num_blocks": 32_768, "block_size": 512}})
}

/// `EE_<base>`, which does what [`inject`] says.
pub(crate) fn error(base: &str) -> Value {
    json!({"method": "bdev_error_create", "params": {"base_name": base}})
}

/// Makes `num` I/Os of a kind fail, or change what they transfer.
pub(crate) fn inject(name: &str, io_type: &str, error_type: &str, num: u32) -> Value {
    let mut params =
        json!({"name": name, "io_type": io_type, "error_type": error_type, "num": num});
    if error_type == "corrupt_data" {
        params["corrupt_offset"] = 700.into();
        params["corrupt_value"] = 5.into();
    }
    json!({"method": "bdev_error_inject_error", "params": params})
}

/// The cores that this process may use.
pub(crate) fn cores() -> Vec<usize> {
    let allowed = sched_getaffinity(None).expect("the cores of this process");
    (0..CpuSet::MAX_CPU)
        .filter(|core| allowed.is_set(*core))
        .collect()
}

/// Two of them; tells that a test is skipped if there is one.
pub(crate) fn two_cores() -> Option<[usize; 2]> {
    match cores()[..] {
        [one, other, ..] => Some([one, other]),
        _ => {
            eprintln!("skipped: it needs two cores");
            None
        }
    }
}

/// One run of the program.
pub(crate) struct Run {
    pub(crate) command: Command,
    /// Exists as long as the run.
    config: Option<NamedTempFile>,
}

impl Run {
    /// Short, with JSON output, on the bdevs that these calls create.
    pub(crate) fn new(calls: &[Value], arguments: &[&str]) -> Run {
        Run::as_text(calls, &[&["--json"], arguments].concat())
    }

    /// The same without JSON. An option among `arguments` replaces what is said here.
    pub(crate) fn as_text(calls: &[Value], arguments: &[&str]) -> Run {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let cores = cores();
        let core = cores[COUNT.fetch_add(1, Relaxed) % cores.len()];
        let core = format!("[{core}]");
        let config = config(calls);
        let path = config.path().to_string_lossy().into_owned();
        let mut run = Run::bare(&["--config", &path, "--disable-cpumask-locks"]);
        for (short, long, value) in [("-m", "--core-mask", &*core), ("-t", "--time", "0.2")] {
            if !arguments.contains(&short) && !arguments.contains(&long) {
                run.command.args([long, value]);
            }
        }
        run.command.args(arguments);
        run.config = Some(config);
        run
    }

    /// With these arguments and no others.
    pub(crate) fn bare(arguments: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spdk-perf"));
        command.args(arguments).stdin(Stdio::null());
        Run {
            command,
            config: None,
        }
    }

    pub(crate) fn output(&mut self) -> Finished {
        let output = self.command.output().expect("the program starts");
        Finished(output)
    }
}

fn config(calls: &[Value]) -> NamedTempFile {
    let config = json!({"subsystems": [{"subsystem": "bdev", "config": calls}]});
    let mut file = NamedTempFile::new().expect("a file for the configuration");
    write!(file, "{config}").expect("the configuration is written");
    file
}

/// A run that has ended.
pub(crate) struct Finished(pub(crate) Output);

impl Finished {
    /// What it printed on standard output: one JSON object and nothing else.
    #[track_caller]
    pub(crate) fn report(&self) -> Value {
        match serde_json::from_slice(&self.0.stdout) {
            Ok(report) => report,
            Err(error) => panic!("{error}\n{:#?}", self.0),
        }
    }

    /// The report of a run without failures.
    #[track_caller]
    pub(crate) fn success(&self) -> Value {
        assert_eq!(self.0.status.code(), Some(0), "{:#?}", self.0);
        let report = self.report();
        assert_eq!(
            (&report["errors"], &report["mismatches"]),
            (&json!(0), &json!(0))
        );
        assert!(number(&report["ios"]) > 0.0, "it did nothing: {report:#}");
        report
    }

    /// What it said on standard error.
    pub(crate) fn words(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    /// Asserts that it refused to run, with this exit code and these words, without a result.
    #[track_caller]
    pub(crate) fn refused(&self, code: i32, words: &[&str]) {
        let said = self.words();
        assert_eq!(self.0.status.code(), Some(code), "{said}");
        assert!(self.0.stdout.is_empty(), "{:?}", self.0.stdout);
        for word in words {
            assert!(said.contains(word), "no {word:?} in: {said}");
        }
    }
}

#[track_caller]
pub(crate) fn number(value: &Value) -> f64 {
    match value.as_f64() {
        Some(number) => number,
        None => panic!("{value} is not a number"),
    }
}
