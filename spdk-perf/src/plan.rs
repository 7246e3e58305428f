//! What is to be done, checked against the bdevs that exist.

use spdk::{Bdev, Errno};

use crate::args::Args;
use crate::refusal::Refusal;
use crate::workload::Workload;

/// A job to be: one bdev on one core.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) bdev: String,
    pub(crate) core: u32,
    pub(crate) workload: Workload,
    pub(crate) read_percent: u8,
    pub(crate) queue_depth: u32,
    pub(crate) io_size: u64,
    pub(crate) block_size: u32,
    /// Of an I/O.
    pub(crate) blocks: u64,
    /// How a buffer has to be aligned.
    pub(crate) align: usize,
    /// How many I/Os the bdev has room for.
    pub(crate) places: u64,
    /// Which of the jobs on the same bdev this is, and how many there are.
    pub(crate) share: (u32, u32),
    pub(crate) seed: u64,
    pub(crate) continue_on_failure: bool,
}

/// What the command line alone tells.
pub(crate) fn check(args: &Args) -> Result<(), Refusal> {
    if args.rwmixread.is_some() && !args.workload.is_mixed() {
        let workload = args.workload.name();
        return Err(Refusal::MixOfOne { workload });
    }
    let mut names = args.bdevs.iter();
    while let Some(name) = names.next() {
        if names.as_slice().contains(name) {
            let name = name.clone();
            return Err(Refusal::Twice { name });
        }
    }
    Ok(())
}

/// A job for each bdev on each core.
pub(crate) fn jobs(args: &Args, cores: &[u32]) -> Result<Vec<Spec>, Refusal> {
    let bdevs = bdevs(args)?;
    let mut jobs = Vec::new();
    for (share, core) in (0..).zip(cores) {
        for bdev in &bdevs {
            let share = (share, cores.len() as u32);
            let mut spec = spec(args, bdev, *core, share)?;
            spec.seed = mix(args.seed, jobs.len() as u64);
            jobs.push(spec);
        }
    }
    Ok(jobs)
}

fn bdevs(args: &Args) -> Result<Vec<Bdev>, Refusal> {
    if args.bdevs.is_empty() {
        let leaves = Bdev::leaves()?;
        return if leaves.is_empty() {
            Err(Refusal::NoBdev)
        } else {
            Ok(leaves)
        };
    }
    let named = args.bdevs.iter().map(|name| Bdev::find(name));
    named.map(|found| found.or_else(refuse)).collect()
}

fn refuse(error: spdk::Error) -> Result<Bdev, Refusal> {
    match error.into_kind() {
        spdk::ErrorKind::NoSuchBdev { name } => {
            let all = Bdev::all()?;
            let others = all.iter().map(|bdev| bdev.name().to_owned()).collect();
            Err(Refusal::Unknown { name, others })
        }
        other => Err(spdk::Error::from(other).into()),
    }
}

fn spec(args: &Args, bdev: &Bdev, core: u32, share: (u32, u32)) -> Result<Spec, Refusal> {
    let name = || bdev.name().to_owned();
    let workload = args.workload;
    for io_type in workload.needs() {
        if !bdev.io_type_supported(*io_type)? {
            return Err(Refusal::Unsupported {
                name: name(),
                product: bdev.product_name()?,
                workload: workload.name(),
                io_type: *io_type,
            });
        }
    }
    match bdev.open(workload.writes()) {
        Err(error) if error.errno() == Some(Errno::EPERM) => {
            return Err(Refusal::Claimed {
                name: name(),
                workload: workload.name(),
            });
        }
        opened => drop(opened?),
    }
    let (io_size, block) = (args.io_size, bdev.block_size());
    if io_size % u64::from(block) != 0 {
        let name = name();
        return Err(Refusal::NotBlocks {
            name,
            io_size,
            block,
        });
    }
    let places = bdev.size_bytes() / io_size;
    if places == 0 {
        return Err(Refusal::TooSmall {
            name: name(),
            size: bdev.size_bytes(),
            io_size,
        });
    }
    let slots = u64::from(args.queue_depth) * u64::from(share.1);
    if workload == Workload::Verify && places < slots {
        return Err(Refusal::TooFewPlaces {
            name: name(),
            places,
            slots,
        });
    }
    Ok(Spec {
        bdev: name(),
        core,
        workload,
        read_percent: args.rwmixread.unwrap_or(50),
        queue_depth: args.queue_depth,
        io_size,
        block_size: block,
        blocks: io_size / u64::from(block),
        align: bdev.buf_align()?.max(4096),
        places,
        share,
        seed: args.seed,
        continue_on_failure: args.continue_on_failure,
    })
}

/// One of many seeds from one, far from the others (SplitMix64).
pub(crate) fn mix(seed: u64, number: u64) -> u64 {
    let mut z = seed.wrapping_add((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
