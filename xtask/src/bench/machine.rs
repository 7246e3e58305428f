//! What is measured in a virtual machine with NVMe controllers of PCI Express, that of `cargo xtask e2e-pcie`.

use anyhow::{Context, Result, bail};

use super::case::{Case, Io};
use super::program::{self, Program, Setting};
use super::sample::Sample;
use crate::pcie;
use crate::setup::{self, Kernel};
use crate::ui::Step;

/// Where the machine has a controller of which nothing is special.
const PLACE: &str = "trtype:PCIe traddr:0000:00:04.0";
/// The second core of the machine. The kernel does what it has to on the first.
const CORE: usize = 1;

/// The kernel for the machine, and the cases without those that lack one.
pub(super) fn kernel(cases: Vec<&Case>) -> (Vec<&Case>, Option<Kernel>) {
    let (inside, mut cases): (Vec<_>, Vec<_>) =
        cases.into_iter().partition(|case| case.is_in_machine());
    if inside.is_empty() {
        return (cases, None);
    }
    match obtain() {
        Ok(kernel) => {
            cases.extend(inside);
            (cases, Some(kernel))
        }
        Err(error) => {
            for case in inside {
                eprintln!("{}: left out: {error:#}", case.name);
            }
            (cases, None)
        }
    }
}

fn obtain() -> Result<Kernel> {
    if !cfg!(target_arch = "x86_64") {
        bail!("the machine is an x86-64, and runs programs that are built here");
    }
    let step = Step::begin(1, 1, "packages");
    let kernel = setup::machine(&step)?;
    step.done("QEMU and a kernel");
    Ok(kernel)
}

/// Runs the programs one after the other, in one machine.
pub(super) fn samples(
    setting: &Setting<'_>,
    io: Io,
    order: &[Program],
    tick: &mut dyn FnMut(),
) -> Result<Vec<Sample>> {
    let kernel = setting.kernel.context("there is no kernel")?;
    let both = [Program::SpdkPerf, Program::SpdkNvmePerf];
    let files = both.map(|program| Ok((program.name(), setting.built.executable(program)?)));
    let files = files.into_iter().collect::<Result<Vec<_>>>()?;
    let commands = order.iter().map(|program| {
        let mut words = vec![format!("/{program}")];
        words.extend(program::host(*program, &[CORE], PLACE, io, setting.times));
        if *program == Program::SpdkPerf {
            words.push("--hardware".to_owned());
        }
        words
    });
    let commands: Vec<_> = commands.collect();
    let folder = setting.built.folder()?.join("machine");
    let said = pcie::run_all(kernel, &folder, &files, &commands, tick)?;
    let samples = order.iter().zip(&said).map(|(program, said)| {
        let sample = program.sample(said);
        sample.with_context(|| format!("the report of {program} cannot be used:\n{said}"))
    });
    samples.collect()
}
