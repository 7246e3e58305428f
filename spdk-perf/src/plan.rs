//! What is to be done, checked against the bdevs and the controllers that exist.

use std::ops::Range;

use spdk::nvme::TransportId;
use spdk::{Bdev, Errno};

use crate::args::Args;
use crate::controllers;
use crate::refusal::Refusal;
use crate::workload::Workload;

/// What a job does its I/O on.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Bdev,
    Namespace { trid: TransportId, id: u32 },
}

/// A job to be: one bdev, or one namespace, on one core.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// Of the bdev, or what the namespace is called.
    pub(crate) name: String,
    pub(crate) target: Target,
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

impl Spec {
    /// The places of this job.
    pub(crate) fn part(&self) -> Range<u64> {
        part(self.places, self.share)
    }
}

/// The places of a job, of which each on the same bdev has as many. Where there are fewer places than jobs, some have the same.
fn part(places: u64, (share, shares): (u32, u32)) -> Range<u64> {
    let at = |share: u32| places * u64::from(share) / u64::from(shares);
    let (start, end) = (at(share), at(share + 1));
    start..end.max(start + 1)
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

/// A job for each bdev and each namespace on each core, in groups that share a connection.
pub(crate) async fn jobs(args: &Args, cores: &[u32]) -> Result<Vec<Vec<Spec>>, Refusal> {
    let mut groups: Vec<Vec<Spec>> = Vec::new();
    for bdev in bdevs(args)? {
        groups.push(vec![of_bdev(args, &bdev, cores.len() as u32)?]);
    }
    for controller in controllers::find(&args.controllers).await? {
        let specs = controller.namespaces.iter();
        let specs = specs.map(|ns| controllers::spec(args, &controller, ns, cores.len() as u32));
        groups.push(specs.collect::<Result<_, _>>()?);
    }
    let mut number = 0;
    let on_core = |group: &Vec<Spec>, share: u32, core: u32| -> Vec<Spec> {
        let specs = group.iter().cloned().map(|mut spec| {
            spec.core = core;
            spec.share.0 = share;
            spec.seed = mix(args.seed, number);
            number += 1;
            spec
        });
        specs.collect()
    };
    let cores = (0..).zip(cores);
    let all = cores.flat_map(|(share, core)| groups.iter().map(move |group| (group, share, *core)));
    let mut on_core = on_core;
    Ok(all
        .map(|(group, share, core)| on_core(group, share, core))
        .collect())
}

fn bdevs(args: &Args) -> Result<Vec<Bdev>, Refusal> {
    if args.bdevs.is_empty() && !args.controllers.is_empty() {
        return Ok(Vec::new());
    }
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

fn of_bdev(args: &Args, bdev: &Bdev, cores: u32) -> Result<Spec, Refusal> {
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
    let align = bdev.buf_align()?;
    let device = (name(), bdev.block_size(), bdev.size_bytes(), align);
    spec(args, device, Target::Bdev, cores)
}

/// A job on a device of this name, block size, size, and alignment of buffers; on no core yet.
pub(crate) fn spec(
    args: &Args,
    (name, block, size, align): (String, u32, u64, usize),
    target: Target,
    cores: u32,
) -> Result<Spec, Refusal> {
    let (workload, io_size) = (args.workload, args.io_size);
    if io_size % u64::from(block) != 0 {
        return Err(Refusal::NotBlocks {
            name,
            io_size,
            block,
        });
    }
    let places = size / io_size;
    if places == 0 {
        return Err(Refusal::TooSmall {
            name,
            size,
            io_size,
        });
    }
    let slots = u64::from(args.queue_depth) * u64::from(cores);
    if workload == Workload::Verify && places < slots {
        return Err(Refusal::TooFewPlaces {
            name,
            places,
            slots,
        });
    }
    Ok(Spec {
        name,
        target,
        core: 0,
        workload,
        read_percent: args.rwmixread.unwrap_or(50),
        queue_depth: args.queue_depth,
        io_size,
        block_size: block,
        blocks: io_size / u64::from(block),
        align: align.max(4096),
        places,
        share: (0, cores),
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

#[cfg(test)]
mod tests {
    use super::part;

    #[test]
    fn the_parts_are_the_whole() {
        for (places, shares) in [(16, 1), (16, 2), (17, 3), (2, 2)] {
            let parts = (0..shares).flat_map(|share| part(places, (share, shares)));
            assert!(parts.eq(0..places), "{places} places, {shares} jobs");
        }
        let parts: Vec<_> = (0..3).map(|share| part(2, (share, 3))).collect();
        assert_eq!(parts, [0..1, 0..1, 1..2]);
    }
}
