//! The application that measures what it is asked for.

use std::process::exit;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_channel::mpsc as requests;
use futures_util::StreamExt;
use rustix::thread::{CpuSet, sched_getaffinity};
use spdk::{LogLevel, Result, SpdkApp};

use crate::part::{Part, Parts};

const CONFIG: &str = r#"{"subsystems": [{"subsystem": "bdev", "config": [
    {"method": "bdev_null_create",
     "params": {"name": "Null0", "num_blocks": 262144, "block_size": 4096}},
    {"method": "bdev_wait_for_examine"}]}]}"#;

struct Request {
    part: Part,
    iterations: u64,
    reply: mpsc::Sender<Duration>,
}

/// A running application.
pub(crate) struct App {
    requests: requests::UnboundedSender<Request>,
    os_thread: JoinHandle<Result<()>>,
    cores: usize,
}

impl App {
    /// Starts it, on at most two of the cores that this process may use.
    pub(crate) fn start() -> Self {
        let cores = cores();
        let list: Vec<String> = cores.iter().map(usize::to_string).collect();
        let mask = format!("[{}]", list.join(","));
        let (requests, receiver) = requests::unbounded();
        let os_thread = std::thread::spawn(move || {
            SpdkApp::builder()
                .name("parts")
                .json_data(CONFIG)
                .reactor_mask(&mask)
                .mem_size_mb(512)
                .no_huge(true)
                .no_pci(true)
                .disable_cpumask_locks(true)
                .log_level(LogLevel::Warn)
                .block_on(serve(receiver))
        });
        App {
            requests,
            os_thread,
            cores: cores.len(),
        }
    }

    pub(crate) fn cores(&self) -> usize {
        self.cores
    }

    /// The time that so many iterations take.
    pub(crate) fn measure(&self, part: Part, iterations: u64) -> Duration {
        let (reply, answer) = mpsc::channel();
        let request = Request {
            part,
            iterations,
            reply,
        };
        // An application that has failed drops its end, and says why in `stop`.
        let sent = self.requests.unbounded_send(request);
        match sent.ok().and_then(|()| answer.recv().ok()) {
            Some(time) => time,
            None => {
                eprintln!("{}: SPDK has stopped; see above", part.name());
                exit(1);
            }
        }
    }

    /// Ends it.
    pub(crate) fn stop(self) {
        drop(self.requests);
        if let Ok(Err(error)) = self.os_thread.join() {
            eprintln!("{error}");
            exit(1);
        }
    }
}

fn cores() -> Vec<usize> {
    match sched_getaffinity(None) {
        Ok(set) => {
            let allowed = (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core));
            allowed.take(2).collect()
        }
        Err(_) => vec![0],
    }
}

async fn serve(mut requests: requests::UnboundedReceiver<Request>) -> Result<()> {
    let result = async {
        let mut parts = Parts::open().await?;
        while let Some(request) = requests.next().await {
            let time = parts.measure(request.part, request.iterations).await?;
            // The asker waits.
            let _ = request.reply.send(time);
        }
        parts.close().await
    };
    result
        .await
        .inspect_err(|error| eprintln!("parts: {error}"))
}
