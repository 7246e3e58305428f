//! `spdk-kv`: a key-value store in a file, or on any other bdev.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use futures_channel::mpsc;
use futures_util::StreamExt;
use serde_json::json;
use spdk::blob::Blobstore;
use spdk::{LogLevel, SpdkApp};
use spdk_kv::KvStore;

/// Keeps values by keys on an SPDK bdev, checksummed, through crashes.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Args {
    /// The file that the store is in
    #[arg(long, required_unless_present = "config")]
    file: Option<PathBuf>,
    /// SPDK's JSON configuration with another bdev, instead of a file
    #[arg(long, conflicts_with = "file", requires = "bdev")]
    config: Option<PathBuf>,
    /// The bdev of that configuration
    #[arg(long, requires = "config")]
    bdev: Option<String>,
    /// SPDK's memory, in megabytes
    #[arg(long, default_value_t = 192)]
    mem: i32,
    /// Use hugepages and PCI devices, for hardware such as local NVMe
    #[arg(long)]
    hardware: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes an empty store; what is there is lost
    Init {
        /// The size of a file that does not exist yet, in MiB
        #[arg(long, default_value_t = 64)]
        mib: u64,
    },
    /// Reads the other commands from stdin, one a line, and answers each with a line
    Shell,
    #[command(flatten)]
    Call(Call),
}

/// A line of the shell.
#[derive(Parser)]
#[command(multicall = true)]
struct Line {
    #[command(subcommand)]
    call: Call,
}

#[derive(Subcommand)]
enum Call {
    /// Gives a key a value
    Put {
        key: String,
        /// To the end of the line, in the shell
        value: String,
    },
    /// Prints the value of a key
    Get {
        key: String,
        /// As it was in this snapshot
        #[arg(long)]
        snapshot: Option<String>,
    },
    /// Takes a key away
    Delete { key: String },
    /// Prints keys and values
    Scan {
        /// The first key
        #[arg(default_value = "")]
        from: String,
        /// The key to stop before
        to: Option<String>,
        /// All of this snapshot
        #[arg(long, conflicts_with_all = ["from", "to"])]
        snapshot: Option<String>,
    },
    /// Makes durable what the shell has put and deleted; the other commands do that at their end
    Sync,
    /// Keeps the store as it is under a name
    Snapshot { name: String },
    /// Prints the names of the snapshots
    Snapshots,
    /// Deletes a snapshot
    DeleteSnapshot { name: String },
    /// Prints how full it is
    Stats,
}

const FILE: &str = "File0";
const BLOCK: u32 = 512;
const CLUSTER: u32 = 64 << 10;

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("spdk-kv: {error}");
            ExitCode::FAILURE
        }
    }
}

type Failure = Box<dyn std::error::Error>;

fn run(args: Args) -> Result<ExitCode, Failure> {
    let app = SpdkApp::builder()
        .name("spdk-kv")
        .reactor_mask("[0]")
        .mem_size_mb(args.mem)
        .no_huge(!args.hardware)
        .no_pci(!args.hardware)
        .disable_cpumask_locks(!args.hardware)
        .log_level(LogLevel::Error);
    let (app, bdev) = match (&args.file, &args.config, &args.bdev) {
        (Some(file), ..) => {
            if let Command::Init { mib } = args.command
                && !file.exists()
            {
                File::create(file)?.set_len(mib << 20)?;
            }
            let config = json!({"subsystems": [
                {"subsystem": "iobuf", "config": [{"method": "iobuf_set_options",
                    "params": {"small_pool_count": 512, "large_pool_count": 64}}]},
                {"subsystem": "bdev", "config": [
                    {"method": "bdev_set_options", "params": {"bdev_io_pool_size": 1024, "bdev_io_cache_size": 64,
                        "iobuf_small_cache_size": 16, "iobuf_large_cache_size": 2, "bdev_auto_examine": false}},
                    {"method": "bdev_aio_create", "params": {"name": FILE, "block_size": BLOCK,
                        "filename": file.canonicalize()?, "fallocate": true}}]}]});
            (app.json_data(config.to_string()), FILE.to_owned())
        }
        (None, Some(config), Some(bdev)) => (app.config_file(config), bdev.clone()),
        _ => return Err("a file, or a configuration and a bdev".into()),
    };
    let command = args.command;
    let result = app.block_on(async move {
        let done = perform(&bdev, command).await;
        // The application ends in order whatever this was.
        Ok(done.map_err(|error| error.to_string()))
    })?;
    Ok(result?)
}

async fn perform(bdev: &str, command: Command) -> spdk_kv::Result<ExitCode> {
    let opts = KvStore::options().cluster_size(CLUSTER);
    let store = match command {
        Command::Init { .. } => KvStore::create(Blobstore::init(bdev, Some(&opts)).await?)?,
        _ => KvStore::open(Blobstore::load(bdev, Some(&opts)).await?).await?,
    };
    let mut code = ExitCode::SUCCESS;
    match command {
        Command::Init { .. } => {}
        Command::Shell => shell(&store).await,
        Command::Call(call) => match answer(&store, call).await? {
            Some(lines) => lines.iter().for_each(|line| println!("{line}")),
            None => code = ExitCode::FAILURE,
        },
    }
    store.close().await?;
    Ok(code)
}

async fn shell(store: &KvStore) {
    let (sender, mut lines) = mpsc::unbounded();
    // Reading blocks, and SPDK's threads must not.
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.unbounded_send(line).is_err() {
                return;
            }
        }
    });
    while let Some(line) = lines.next().await {
        let said = match Line::try_parse_from(line.splitn(3, ' ')) {
            Ok(line) => match answer(store, line.call).await {
                Ok(Some(lines)) => format!("ok {}", lines.join(" ")),
                Ok(None) => "none".to_owned(),
                Err(error) => format!("error: {error}"),
            },
            // The first line has it.
            Err(error) => error.to_string(),
        };
        let said = said.lines().next().unwrap_or_default().trim_end();
        // As one write: who reads it may count on what it says.
        let said = format!("{said}\n");
        if io::stdout().write_all(said.as_bytes()).is_err() {
            return;
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The lines that answer it; `None` if there is nothing of that key.
async fn answer(store: &KvStore, call: Call) -> spdk_kv::Result<Option<Vec<String>>> {
    let pair = |(key, value): (Vec<u8>, Vec<u8>)| format!("{}={}", text(&key), text(&value));
    let mut lines = Vec::new();
    match call {
        Call::Put { key, value } => store.put(key.as_bytes(), value.as_bytes()).await?,
        Call::Delete { key } => store.delete(key.as_bytes()).await?,
        Call::Get { key, snapshot } => {
            let value = match snapshot {
                Some(name) => {
                    let snapshot = store.open_snapshot(&name).await?;
                    snapshot.get(key.as_bytes()).await?
                }
                None => store.get(key.as_bytes()).await?,
            };
            return Ok(value.map(|value| vec![text(&value)]));
        }
        Call::Scan {
            snapshot: Some(name),
            ..
        } => {
            let snapshot = store.open_snapshot(&name).await?;
            for key in snapshot.keys() {
                let value = snapshot.get(key).await?;
                lines.extend(value.map(|value| pair((key.clone(), value))));
            }
        }
        Call::Scan { from, to, .. } => {
            let to = to.as_deref().map(str::as_bytes);
            let found = store.scan(from.as_bytes(), to).await?;
            lines.extend(found.into_iter().map(pair));
        }
        Call::Sync => store.sync().await?,
        Call::Snapshot { name } => store.snapshot(&name).await?,
        Call::Snapshots => lines = store.snapshots().await?,
        Call::DeleteSnapshot { name } => store.delete_snapshot(&name).await?,
        Call::Stats => lines.push(format!("{:?}", store.stats().await?)),
    }
    Ok(Some(lines))
}
