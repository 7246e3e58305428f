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

#[derive(Subcommand, Clone)]
enum Command {
    /// Makes an empty store; what is there is lost
    Init {
        /// The size of a file that does not exist yet, in MiB
        #[arg(long, default_value_t = 64)]
        mib: u64,
    },
    /// Gives a key a value
    Put { key: String, value: String },
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
    },
    /// Keeps the store as it is under a name
    Snapshot { name: String },
    /// Prints the names of the snapshots
    Snapshots,
    /// Deletes a snapshot
    DeleteSnapshot { name: String },
    /// Prints how full it is
    Stats,
    /// Reads commands from stdin: `put KEY VALUE`, `get KEY`, `delete KEY`, `scan`, `sync`, `snapshot NAME`, `read NAME`,
    /// `delete-snapshot NAME`, `stats`; and answers each with a line
    Shell,
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
    if let Command::Init { .. } = command {
        KvStore::create(bdev, CLUSTER).await?.close().await?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut store = KvStore::open(bdev).await?;
    let mut code = ExitCode::SUCCESS;
    match command {
        Command::Init { .. } => {}
        Command::Put { key, value } => store.put(key.as_bytes(), value.as_bytes()).await?,
        Command::Delete { key } => store.delete(key.as_bytes()).await?,
        Command::Get { key, snapshot } => {
            let value = match snapshot {
                Some(name) => {
                    store
                        .open_snapshot(&name)
                        .await?
                        .get(key.as_bytes())
                        .await?
                }
                None => store.get(key.as_bytes()).await?,
            };
            match value {
                Some(value) => println!("{}", text(&value)),
                None => code = ExitCode::FAILURE,
            }
        }
        Command::Scan { from, to } => {
            let to = to.as_deref().map(str::as_bytes);
            for (key, value) in store.scan(from.as_bytes(), to).await? {
                println!("{}\t{}", text(&key), text(&value));
            }
        }
        Command::Snapshot { name } => store.snapshot(&name).await?,
        Command::Snapshots => store.snapshots().for_each(|name| println!("{name}")),
        Command::DeleteSnapshot { name } => store.delete_snapshot(&name).await?,
        Command::Stats => println!("{:#?}", store.stats()?),
        Command::Shell => shell(&mut store).await,
    }
    store.close().await?;
    Ok(code)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn shell(store: &mut KvStore) {
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
        let answer = match answer(store, &line).await {
            Ok(answer) => answer,
            Err(error) => format!("error: {error}"),
        };
        // As one write: who reads it may count on what it says.
        if io::stdout()
            .write_all(format!("{answer}\n").as_bytes())
            .is_err()
        {
            return;
        }
    }
}

async fn answer(store: &mut KvStore, line: &str) -> spdk_kv::Result<String> {
    let mut words = line.splitn(3, ' ');
    let mut word = || words.next().unwrap_or_default();
    let ok = || "ok".to_owned();
    let list = |pairs: Vec<(Vec<u8>, Vec<u8>)>| {
        let pairs = pairs
            .iter()
            .map(|(key, value)| format!("{}={}", text(key), text(value)));
        format!("ok {}", pairs.collect::<Vec<_>>().join(" "))
    };
    Ok(match (word(), word(), word()) {
        ("put", key, value) => store
            .put(key.as_bytes(), value.as_bytes())
            .await
            .map(|()| ok())?,
        ("delete", key, _) => store.delete(key.as_bytes()).await.map(|()| ok())?,
        ("get", key, _) => match store.get(key.as_bytes()).await? {
            Some(value) => format!("ok {}", text(&value)),
            None => "none".to_owned(),
        },
        ("scan", from, _) => list(store.scan(from.as_bytes(), None).await?),
        ("sync", ..) => store.sync().await.map(|()| ok())?,
        ("snapshot", name, _) => store.snapshot(name).await.map(|()| ok())?,
        ("delete-snapshot", name, _) => store.delete_snapshot(name).await.map(|()| ok())?,
        ("snapshots", ..) => format!("ok {}", store.snapshots().collect::<Vec<_>>().join(" ")),
        ("read", name, _) => {
            let snapshot = store.open_snapshot(name).await?;
            let mut pairs = Vec::new();
            for key in snapshot.keys() {
                let value = snapshot.get(key).await?;
                pairs.extend(value.map(|value| (key.clone(), value)));
            }
            list(pairs)
        }
        ("stats", ..) => format!("ok {:?}", store.stats()?),
        (other, ..) => format!("error: {other:?} is no command"),
    })
}
