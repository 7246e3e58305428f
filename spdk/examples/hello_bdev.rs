//! Writes a pattern over a whole block device, reads it back and verifies every byte, then measures
//! random reads. Everything on the device is overwritten.

use std::cell::Cell;
use std::num::{NonZeroU16, NonZeroU64};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use lexopt::prelude::*;
use spdk::{Bdev, BdevDesc, BdevIoType, DmaBuf, IoChannel, LogLevel, SpdkApp};

const MALLOC: &str = r#"{"subsystems": [{"subsystem": "bdev", "config": [
    {"method": "bdev_malloc_create",
     "params": {"name": "Malloc0", "num_blocks": 16384, "block_size": 4096}}]}]}"#;

/// Bytes of one operation of the write and verify passes, at most.
const CHUNK: u64 = 1 << 20;

const HELP: &str = "\
Reads and writes a block device through SPDK. Overwrites the whole device.

Usage: hello_bdev [OPTIONS]

Options:
      --bdev-config <FILE>  SPDK's JSON configuration with the device [default: a malloc bdev of 64 MiB]
      --name <BDEV>         The bdev to use [default: Malloc0]
      --seconds <NUMBER>    How long to read at random [default: 3]
      --queue-depth <NUMBER>
                            How many reads to keep in flight [default: 32]
      --mem <MEGABYTES>     SPDK's memory [default: 512]
      --cores <CORES>       The cores for SPDK, such as 0x1; the first one does the work [default: 0x1]
      --hardware            Use hugepages and PCI devices, for hardware such as local NVMe
  -h, --help                Print help";

/// What the command line asks for.
struct Args {
    bdev_config: Option<PathBuf>,
    name: String,
    seconds: NonZeroU64,
    queue_depth: NonZeroU16,
    mem: i32,
    cores: String,
    hardware: bool,
}

impl Args {
    /// Reads the command line. `None` if it asks for help.
    fn parse() -> Result<Option<Self>, lexopt::Error> {
        let mut args = Args {
            bdev_config: None,
            name: "Malloc0".to_owned(),
            seconds: const { NonZeroU64::new(3).unwrap() },
            queue_depth: const { NonZeroU16::new(32).unwrap() },
            mem: 512,
            cores: "0x1".to_owned(),
            hardware: false,
        };
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("bdev-config") => args.bdev_config = Some(parser.value()?.into()),
                Long("name") => args.name = parser.value()?.string()?,
                Long("seconds") => args.seconds = parser.value()?.parse()?,
                Long("queue-depth") => args.queue_depth = parser.value()?.parse()?,
                Long("mem") => args.mem = parser.value()?.parse()?,
                Long("cores") => args.cores = parser.value()?.string()?,
                Long("hardware") => args.hardware = true,
                Short('h') | Long("help") => return Ok(None),
                _ => return Err(argument.unexpected()),
            }
        }
        Ok(Some(args))
    }
}

fn main() -> ExitCode {
    let args = match Args::parse() {
        Ok(Some(args)) => args,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("hello_bdev: {error}; see --help");
            return ExitCode::from(2);
        }
    };
    let mut app = SpdkApp::builder()
        .name("hello_bdev")
        .reactor_mask(&args.cores)
        .mem_size_mb(args.mem)
        .no_huge(!args.hardware)
        .no_pci(!args.hardware)
        .log_level(LogLevel::Warn);
    app = match &args.bdev_config {
        Some(file) => app.config_file(file),
        None => app.json_data(MALLOC),
    };
    match app.block_on(hello(args)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("hello_bdev: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether the device kept what was written.
async fn hello(args: Args) -> spdk::Result<bool> {
    let bdev = Bdev::find(&args.name)?;
    println!(
        "{} | bdev {} ({}): {} blocks of {} bytes, {:.1} MiB",
        spdk::version(),
        bdev.name(),
        bdev.product_name()?,
        bdev.num_blocks(),
        bdev.block_size(),
        bdev.size_bytes() as f64 / (1 << 20) as f64,
    );
    let writable = bdev.io_type_supported(BdevIoType::Write)?;
    let desc = Rc::new(bdev.open(writable)?);
    let channel = Rc::new(desc.get_io_channel()?);
    let mut wrong = 0;
    if writable {
        pass("write", &bdev, async |buf, offset| {
            fill(buf, offset);
            desc.write(&channel, buf, offset).await.map(|()| 0)
        })
        .await?;
        wrong = pass("verify", &bdev, async |buf, offset| {
            buf.fill(0);
            desc.read(&channel, buf, offset).await?;
            Ok(mismatches(buf, offset))
        })
        .await?;
        match wrong {
            0 => println!("every byte is as it was written"),
            _ => println!("{wrong} words of 8 bytes are not as they were written"),
        }
    } else {
        println!("the device is read-only: nothing is written or verified");
    }
    random_reads(&args, &bdev, desc, channel).await?;
    Ok(wrong == 0)
}

/// Goes over the whole device in chunks and adds up what `each` returns.
async fn pass(
    name: &str,
    bdev: &Bdev,
    each: impl AsyncFn(&mut DmaBuf, u64) -> spdk::Result<u64>,
) -> spdk::Result<u64> {
    let start = Instant::now();
    let (size, align) = (
        bdev.size_bytes(),
        bdev.block_size().next_power_of_two().max(4096),
    );
    let step = CHUNK - CHUNK % u64::from(bdev.block_size());
    let mut sum = 0;
    let mut offset = 0;
    while offset < size {
        let length = step.min(size - offset);
        // The last chunk may be shorter than the others.
        let mut buf = DmaBuf::alloc(length as usize, align as usize)?;
        sum += each(&mut buf, offset).await?;
        offset += length;
    }
    let seconds = start.elapsed().as_secs_f64();
    let rate = size as f64 / (1 << 20) as f64 / seconds;
    println!("{name:>7}: {size} bytes in {seconds:.2} s, {rate:.0} MiB/s");
    Ok(sum)
}

/// Fills a buffer with words that tell where on the device they belong.
fn fill(buf: &mut DmaBuf, offset: u64) {
    for (word, at) in buf.chunks_mut(8).zip((offset..).step_by(8)) {
        word.copy_from_slice(&mix(at).to_le_bytes()[..word.len()]);
    }
}

fn mismatches(buf: &DmaBuf, offset: u64) -> u64 {
    let words = buf.chunks(8).zip((offset..).step_by(8));
    words
        .filter(|(word, at)| **word != mix(*at).to_le_bytes()[..word.len()])
        .count() as u64
}

/// SplitMix64, for patterns and for positions.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One task per slot of the queue, each reading at random places until the time is up.
async fn random_reads(
    args: &Args,
    bdev: &Bdev,
    desc: Rc<BdevDesc>,
    channel: Rc<IoChannel>,
) -> spdk::Result<()> {
    let block = u64::from(bdev.block_size());
    let length = 4096_u64.div_ceil(block) * block;
    let places = bdev.size_bytes() / length;
    if places == 0 {
        println!("The device is smaller than one read of {length} bytes.");
        return Ok(());
    }
    let stop = Rc::new(Cell::new(false));
    let start = Instant::now();
    let slots: Vec<_> = (0..args.queue_depth.get())
        .map(|slot| {
            let (desc, channel, stop) = (desc.clone(), channel.clone(), stop.clone());
            let seconds = Duration::from_secs(args.seconds.get());
            spdk::spawn_local(async move {
                let mut latency = histogram();
                let mut buf = DmaBuf::alloc(length as usize, 4096)?;
                let mut seed = u64::from(slot);
                while !stop.get() {
                    seed = mix(seed);
                    let submitted = Instant::now();
                    desc.read(&channel, &mut buf, seed % places * length)
                        .await?;
                    let done = Instant::now();
                    latency.saturating_record((done - submitted).as_nanos() as u64);
                    stop.set(done - start >= seconds);
                }
                Ok::<_, spdk::Error>(latency)
            })
        })
        .collect::<Result<_, _>>()?;
    let mut latency = histogram();
    for slot in slots {
        latency += slot.await??;
    }
    report(args, length, &latency, start.elapsed());
    Ok(())
}

/// Counts latencies in nanoseconds, up to a minute, with three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(60_000_000_000, 3).expect("the bounds are valid")
}

fn report(args: &Args, length: u64, latency: &Histogram<u64>, elapsed: Duration) {
    let rate = latency.len() as f64 / elapsed.as_secs_f64();
    let micros = |nanos: u64| nanos as f64 / 1000.0;
    println!(
        "random reads of {length} bytes, queue depth {}, {:.1} s: {rate:.0} IO/s",
        args.queue_depth,
        elapsed.as_secs_f64(),
    );
    println!(
        "latency in µs: average {:.2}, p50 {:.2}, p99 {:.2}, p99.9 {:.2}",
        latency.mean() / 1000.0,
        micros(latency.value_at_quantile(0.5)),
        micros(latency.value_at_quantile(0.99)),
        micros(latency.value_at_quantile(0.999)),
    );
    let buckets: Vec<(u64, u64)> = latency
        .iter_log(250, 2.0)
        .map(|bucket| {
            (
                bucket.value_iterated_to() + 1,
                bucket.count_since_last_iteration(),
            )
        })
        .skip_while(|(_, count)| *count == 0)
        .collect();
    let most = buckets.iter().map(|(_, count)| *count).max().unwrap_or(1);
    for (below, count) in buckets {
        let bar = "#".repeat((count * 50).div_ceil(most.max(1)) as usize);
        println!("  < {:>9.2} µs {count:>11} {bar}", micros(below));
    }
}
