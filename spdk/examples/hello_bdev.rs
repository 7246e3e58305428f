//! Writes a pattern over a whole block device, reads it back and verifies every byte, then measures
//! random reads. Everything on the device is overwritten.

use std::cell::Cell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Parser;
use hdrhistogram::Histogram;
use spdk::{Bdev, BdevDesc, BdevIoType, DmaBuf, IoChannel, LogLevel, SpdkApp};

const MALLOC: &str = r#"{"subsystems": [{"subsystem": "bdev", "config": [
    {"method": "bdev_malloc_create",
     "params": {"name": "Malloc0", "num_blocks": 16384, "block_size": 4096}}]}]}"#;

/// Bytes of one operation of the write and verify passes, at most.
const CHUNK: u64 = 1 << 20;

/// Reads and writes a block device through SPDK. Overwrites the whole device.
#[derive(Parser, Clone)]
struct Args {
    /// SPDK's JSON configuration with the device [default: a malloc bdev of 64 MiB]
    #[arg(long, value_name = "FILE")]
    bdev_config: Option<PathBuf>,
    /// The bdev to use
    #[arg(long, default_value = "Malloc0")]
    name: String,
    /// How long to read at random
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// How many reads to keep in flight
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    queue_depth: u16,
    /// SPDK's memory in megabytes
    #[arg(long, default_value_t = 512)]
    mem: i32,
    /// The cores for SPDK, such as 0x1; the first one does the work
    #[arg(long, default_value = "0x1")]
    cores: String,
    /// Use hugepages and PCI devices, for hardware such as local NVMe
    #[arg(long)]
    hardware: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
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
    let slots: Vec<_> = (0..args.queue_depth)
        .map(|slot| {
            let (desc, channel, stop) = (desc.clone(), channel.clone(), stop.clone());
            let seconds = Duration::from_secs(args.seconds);
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
