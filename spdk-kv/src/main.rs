//! `spdk-kv`: a key-value store in a file, or on any other bdev.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::json;
use spdk::blob::Blobstore;
use spdk::{LogLevel, SpdkApp};
use spdk_kv::KvStore;
use tokio::sync::mpsc;

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

#[derive(Parser)]
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
        /// As they were in this snapshot
        #[arg(long)]
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

fn main() -> ExitCode {
    run(Args::parse()).unwrap_or_else(|error| {
        eprintln!("spdk-kv: {error}");
        ExitCode::FAILURE
    })
}

fn run(args: Args) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let app = SpdkApp::builder()
        .name("spdk-kv")
        .reactor_mask("[0]")
        .mem_size_mb(args.mem)
        .no_huge(!args.hardware)
        .no_pci(!args.hardware)
        .disable_cpumask_locks(!args.hardware)
        .log_level(LogLevel::Error);
    let file = args.file.unwrap_or_default();
    if let (Command::Init { mib }, None, false) = (&args.command, &args.config, file.exists()) {
        File::create(&file)?.set_len(mib << 20)?;
    }
    let bdev = args.bdev.unwrap_or("File0".to_owned());
    let app = match args.config {
        Some(config) => app.config_file(config),
        // As little memory as will do.
        None => app.json_data(json!({"subsystems": [
            {"subsystem": "iobuf", "config": [{"method": "iobuf_set_options",
                "params": {"small_pool_count": 512, "large_pool_count": 64}}]},
            {"subsystem": "bdev", "config": [
                {"method": "bdev_set_options", "params": {"bdev_io_pool_size": 1024, "bdev_io_cache_size": 64,
                    "iobuf_small_cache_size": 16, "iobuf_large_cache_size": 2, "bdev_auto_examine": false}},
                {"method": "bdev_aio_create", "params": {"name": bdev, "block_size": 512,
                    "filename": file.canonicalize()?, "fallocate": true}}]}]}).to_string()),
    };
    // The application ends in order whatever this was.
    let lines = app.block_on(async move { Ok(perform(&bdev, args.command).await) })??;
    lines.iter().flatten().for_each(|line| println!("{line}"));
    Ok(ExitCode::from(u8::from(lines.is_none())))
}

async fn perform(bdev: &str, command: Command) -> spdk_kv::Result<Option<Vec<String>>> {
    let opts = KvStore::options().cluster_size(64 << 10);
    let blobs = match command {
        Command::Init { .. } => Blobstore::init(bdev, Some(&opts)).await?,
        _ => Blobstore::load(bdev, Some(&opts)).await?,
    };
    let store = KvStore::open(blobs).await?;
    let mut lines = Some(Vec::new());
    match command {
        Command::Init { .. } => {}
        Command::Shell => shell(&store).await,
        Command::Call(call) => lines = answer(&store, call).await?,
    }
    store.close().await?;
    Ok(lines)
}

async fn shell(store: &KvStore) {
    let (sender, mut lines) = mpsc::unbounded_channel();
    // Reading blocks, and SPDK's threads must not.
    std::thread::spawn(move || {
        let mut lines = io::stdin().lines().map_while(Result::ok);
        lines.try_for_each(|line| sender.send(line))
    });
    while let Some(line) = lines.recv().await {
        let said = match Call::try_parse_from([""].into_iter().chain(line.splitn(3, ' '))) {
            Ok(call) => match answer(store, call).await {
                Ok(Some(lines)) => format!("ok {}", lines.join(" ")),
                Ok(None) => "none".to_owned(),
                Err(error) => format!("error: {error}"),
            },
            // The first line has it.
            Err(error) => error.to_string(),
        };
        let said = said.lines().next().unwrap_or_default();
        let said = said.trim_end().to_owned() + "\n";
        // As one write: who reads it may count on what it says.
        if io::stdout().write_all(said.as_bytes()).is_err() {
            return;
        }
    }
}

/// The lines that answer it; `None` if there is nothing of that key.
async fn answer(store: &KvStore, call: Call) -> spdk_kv::Result<Option<Vec<String>>> {
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    let mut lines = Vec::new();
    match call {
        Call::Put { key, value } => store.put(key.as_bytes(), value.as_bytes()).await?,
        Call::Delete { key } => store.delete(key.as_bytes()).await?,
        Call::Get { key, snapshot } => {
            let key = key.as_bytes();
            let value = match snapshot {
                Some(name) => store.open_snapshot(&name).await?.get(key).await?,
                None => store.get(key).await?,
            };
            return Ok(value.map(|value| vec![text(&value)]));
        }
        Call::Scan { from, to, snapshot } => {
            let (from, to) = (from.as_bytes(), to.as_deref().map(str::as_bytes));
            let found = match snapshot {
                Some(name) => store.open_snapshot(&name).await?.scan(from, to).await?,
                None => store.scan(from, to).await?,
            };
            let found = found.iter();
            lines.extend(found.map(|(key, value)| format!("{}={}", text(key), text(value))));
        }
        Call::Sync => store.sync().await?,
        Call::Snapshot { name } => store.snapshot(&name).await?,
        Call::Snapshots => lines = store.snapshots().await?,
        Call::DeleteSnapshot { name } => store.delete_snapshot(&name).await?,
        Call::Stats => lines.push(format!("{:?}", store.stats().await?)),
    }
    Ok(Some(lines))
}
