//! `cargo xtask e2e-pcie`: the tests that take NVMe controllers of PCI Express, in a virtual machine that has them.

mod cpio;
mod disks;
mod guest;
mod machine;
mod monitor;
mod program;
mod watch;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::ui::{self, Step};
use crate::{interrupt, setup};
use machine::Machine;

/// What `cargo xtask e2e-pcie` is asked for.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Keeps the files of the machine: its first file system, and its disks.
    #[arg(long)]
    keep: bool,

    /// Handed to the test program: a part of a test's name, `-- --skip hot`, `-- --nocapture`, ...
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENTS"
    )]
    arguments: Vec<String>,
}

/// Runs the subcommand.
pub(crate) fn run(options: &Options) -> Result<()> {
    if !cfg!(target_arch = "x86_64") {
        bail!(
            "the machine is an x86-64, and runs programs that are built here: only an x86-64 has them"
        );
    }
    setup::ensure()?;
    interrupt::install("The machine is off.");
    let step = Step::begin(1, 3, "packages");
    let kernel = setup::machine(&step)?;
    step.done("QEMU and a kernel");

    let step = Step::begin(2, 3, "build");
    let built = program::build()?;
    let folder = built.target.join("e2e-pcie");
    let files = Files::create(&folder)?;
    disks::create(&files.disks)?;
    let programs = guest::Programs {
        tests: &built.program,
        blobcli: &program::blobcli()?,
    };
    guest::write(&files.initramfs, &kernel, &programs, &options.arguments)?;
    step.done(&format!("{}", folder.display()));

    let step = Step::begin(3, 3, "machine");
    step.done("starts");
    let started = Instant::now();
    let machine = Machine {
        kernel: &kernel.image,
        files: &files,
    };
    let end = watch::run(&machine);
    if options.keep {
        eprintln!("The files of the machine are in {}.", folder.display());
    } else {
        files.remove();
    }
    end?;
    eprintln!("The machine took {}.", ui::duration(started.elapsed()));
    Ok(())
}

/// The files of a machine, all in one folder.
struct Files {
    initramfs: PathBuf,
    disks: PathBuf,
    /// What its kernel says.
    console: PathBuf,
    /// What QEMU says.
    qemu: PathBuf,
}

impl Files {
    fn create(folder: &Path) -> Result<Self> {
        let files = Files {
            initramfs: folder.join("initramfs"),
            disks: folder.join("disks"),
            console: folder.join("console.log"),
            qemu: folder.join("qemu.log"),
        };
        std::fs::create_dir_all(&files.disks)
            .with_context(|| format!("cannot create {}", files.disks.display()))?;
        Ok(files)
    }

    /// The logs stay.
    fn remove(&self) {
        // What cannot be removed takes the place of the next run's.
        let _ = std::fs::remove_dir_all(&self.disks);
        let _ = std::fs::remove_file(&self.initramfs);
    }
}
