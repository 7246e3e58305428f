//! A virtual machine that has NVMe controllers of PCI Express. `cargo xtask e2e-pcie` runs the tests that take them,
//! and `cargo xtask bench` measures one.

mod cpio;
mod disks;
mod guest;
mod machine;
mod monitor;
mod program;
mod watch;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::interrupt;
use crate::setup::{self, Kernel};
use crate::ui::{self, Step};
use guest::quoted;
use machine::{Machine, Purpose};

/// Where the test program is.
const TESTS: &str = "/pcie";
/// Where the tests look for SPDK's program.
const BLOBCLI: &str = "/blobcli";

/// How long the tests may take.
const WHOLE: Duration = Duration::from_secs(900);
/// How long one of several programs may take, from its start to its end.
const ONE: Duration = Duration::from_secs(120);
/// The line that begins what one of several programs prints.
const BEGINS: &str = "=== begins";

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
    // One at a time: they share the controllers.
    let mut work = format!("{TESTS} --test-threads=1");
    for argument in &options.arguments {
        work.push_str(&format!(" {}", quoted(argument)));
    }
    let blobcli = program::blobcli()?;
    let programs = [
        (TESTS, built.program.as_path()),
        (BLOBCLI, blobcli.as_path()),
    ];
    guest::write(&files.initramfs, &kernel, &programs, &work)?;
    step.done(&format!("{}", folder.display()));

    let step = Step::begin(3, 3, "machine");
    step.done("starts");
    let started = Instant::now();
    let machine = Machine {
        kernel: &kernel.image,
        files: &files,
        purpose: Purpose::Tests,
    };
    let once = || {
        disks::create(&files.disks)?;
        watch::run(&machine, WHOLE, |bytes| {
            let mut out = std::io::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush())
        })
    };
    let end = once().or_else(|error| match error.is::<watch::Crashed>() {
        // QEMU 7.2 does so when it takes a command while a controller is disabled.
        true => {
            eprintln!("{error:#}\nThis says nothing of the tests: once more, from the start.");
            once()
        }
        false => Err(error),
    });
    if options.keep {
        eprintln!("The files of the machine are in {}.", folder.display());
    } else {
        files.remove();
    }
    end?;
    eprintln!("The machine took {}.", ui::duration(started.elapsed()));
    Ok(())
}

/// Runs commands of these programs in the machine, one after the other, and returns what each printed on standard
/// output; `tick` is called as each begins. The first that fails ends it.
pub(crate) fn run_all(
    kernel: &Kernel,
    folder: &Path,
    programs: &[(&str, &Path)],
    commands: &[Vec<String>],
    tick: &mut dyn FnMut(),
) -> Result<Vec<String>> {
    let files = Files::create(folder)?;
    // What a program says of its failure stands where its output would.
    let mut work = format!(
        "run() {{ echo '{BEGINS}'; \"$@\" 2> /tmp/errors || {{ cat /tmp/errors; exit 1; }}; }}"
    );
    for command in commands {
        let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
        work.push_str(&format!("\nrun {}", words.join(" ")));
    }
    guest::write(&files.initramfs, kernel, programs, &work)?;
    let machine = Machine {
        kernel: &kernel.image,
        files: &files,
        purpose: Purpose::Measurement,
    };
    let (mut said, mut begun) = (Vec::new(), 0);
    let whole = watch::BOOT + ONE * u32::try_from(commands.len()).unwrap_or(u32::MAX);
    let end = watch::run(&machine, whole, |bytes| {
        said.extend_from_slice(bytes);
        let now = String::from_utf8_lossy(&said).matches(BEGINS).count();
        (begun..now).for_each(|_| tick());
        begun = now;
        Ok(())
    });
    files.remove();
    let said = String::from_utf8_lossy(&said);
    let mut parts = said.split(BEGINS).map(str::to_owned);
    let before = parts.next().unwrap_or_default();
    let parts: Vec<String> = parts.collect();
    end.with_context(|| parts.last().unwrap_or(&before).trim().to_owned())?;
    if parts.len() != commands.len() {
        bail!("{} of {} programs ran", parts.len(), commands.len());
    }
    Ok(parts)
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
