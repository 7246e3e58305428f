//! `spdk-kv`: a key-value store in a file, or on any other bdev.
#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
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
    /// SPDK's memory, in megabytes [default: 192 for a file, else 512]
    #[arg(long)]
    mem: Option<i32>,
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
        #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..1 << 43))]
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
}

fn main() -> ExitCode {
    run(Args::parse()).unwrap_or_else(|error| {
        eprintln!("spdk-kv: {error}");
        ExitCode::FAILURE
    })
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn run(args: Args) -> Outcome<ExitCode> {
    let least = if args.config.is_some() { 512 } else { 192 };
    let app = SpdkApp::builder()
        .name("spdk-kv")
        .reactor_mask("[0]")
        .mem_size_mb(args.mem.unwrap_or(least))
        .no_huge(!args.hardware)
        .no_pci(!args.hardware)
        .disable_cpumask_locks(!args.hardware)
        .log_level(LogLevel::Error);
    let file = args.file.unwrap_or_default();
    let of_file = |error: io::Error| format!("{}: {error}", file.display());
    let _lock = match args.config {
        Some(_) => None,
        None => Some(lock(&file, &args.command).map_err(of_file)?),
    };
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
                {"method": "bdev_aio_create", "params": {"name": bdev, "block_size": 512, "fallocate": true,
                    "filename": file.canonicalize().map_err(of_file)?}}]}]}).to_string()),
    };
    // The application ends in order whatever this was.
    let lines = app.block_on(async move { Ok(perform(&bdev, args.command).await) })??;
    let text: String = lines
        .iter()
        .flatten()
        .map(|line| line.to_owned() + "\n")
        .collect();
    io::stdout().write_all(text.as_bytes()).map_err(unprinted)?;
    Ok(ExitCode::from(u8::from(lines.is_none())))
}

/// Keeps other processes from the file until it is dropped: each would write over what the other one has written.
fn lock(path: &Path, command: &Command) -> io::Result<File> {
    let file = match command {
        Command::Init { mib } if !path.exists() => {
            let new = File::create_new(path)?;
            new.set_len(mib << 20)
                .inspect_err(|_| drop(fs::remove_file(path)))?;
            new
        }
        _ => File::open(path)?,
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Err(io::Error::other("another process has the store open")),
        locked => Ok(locked.map(|()| file)?),
    }
}

fn unprinted(error: io::Error) -> String {
    format!("cannot print the answer: {error}")
}

async fn perform(bdev: &str, command: Command) -> Outcome<Option<Vec<String>>> {
    let opts = KvStore::options().cluster_size(64 << 10);
    let blobs = match command {
        Command::Init { .. } => Blobstore::init(bdev, Some(&opts)).await?,
        _ => Blobstore::load(bdev, Some(&opts)).await?,
    };
    let store = KvStore::open(blobs).await?;
    let (mut lines, mut ended) = (Some(Vec::new()), Ok(()));
    match command {
        Command::Init { .. } => {}
        Command::Shell => ended = shell(&store).await,
        Command::Call(call) => lines = answer(&store, call).await?,
    }
    store.close().await?;
    ended?;
    Ok(lines)
}

async fn shell(store: &KvStore) -> Outcome<()> {
    let (sender, mut lines) = mpsc::unbounded_channel();
    // Reading blocks, and SPDK's threads must not.
    std::thread::spawn(move || {
        let mut lines = io::stdin().lines();
        lines.try_for_each(|line| sender.send(line))
    });
    while let Some(line) = lines.recv().await {
        let said = match line {
            Ok(line) => say(store, &line).await,
            Err(error) if error.kind() == ErrorKind::InvalidData => format!("error: {error}"),
            Err(error) => return Err(format!("cannot read the next command: {error}").into()),
        };
        // The first line of an error has it. As one write: who reads it may count on what it says.
        let said = said.lines().next().unwrap_or_default().trim_end();
        let said = said.to_owned() + "\n";
        io::stdout().write_all(said.as_bytes()).map_err(unprinted)?;
    }
    Ok(())
}

async fn say(store: &KvStore, line: &str) -> String {
    // A value is the rest of the line, and no option.
    let (line, words) = match line.strip_prefix("put ") {
        Some(rest) => (format!(" put -- {rest}"), 5),
        None => (format!(" {line}"), usize::MAX),
    };
    match Call::try_parse_from(line.splitn(words, ' ')) {
        Ok(call) => match answer(store, call).await {
            Ok(Some(lines)) => format!("ok {}", lines.join(" ")),
            Ok(None) => "none".to_owned(),
            Err(error) => format!("error: {error}"),
        },
        Err(error) => error.to_string(),
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
    }
    Ok(Some(lines))
}
