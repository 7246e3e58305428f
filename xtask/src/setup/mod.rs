//! `cargo xtask setup`: an SPDK to work with.

mod apt;
mod build;
mod checkout;
mod distro;
mod help;
mod install;
mod kernel;
mod lock;
mod mirror;
mod obtain;
mod packages;
mod plan;
mod steps;
mod work;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::find::{self, Found};
use crate::{interrupt, ui};
pub(crate) use kernel::{Kernel, machine};
use plan::Plan;
use steps::Setup;

/// Room that a set-up takes in the cache while it works: the tarball, the index that names it, the
/// tree with its build, and the installation twice.
const ROOM: u64 = 2 << 30;

/// What `cargo xtask setup` is asked for.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Build the SPDK checkout in DIR (24.05 to 26.05) instead of obtaining one.
    ///
    /// The checkout is only read: it is built as a copy in the cache, with your local changes and
    /// without what earlier builds have left in it. Its submodules must be there.
    #[arg(long, value_name = "DIR")]
    source: Option<PathBuf>,

    /// Install into DIR instead of the cache.
    ///
    /// DIR must be new, empty, or made by an earlier set-up, which it then replaces. Cargo does not
    /// find it by itself: the command ends with the line that sets SPDK_DIR.
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,

    /// Build even if a usable SPDK is there already.
    #[arg(long)]
    force: bool,

    /// Keep the source tree and the build after success (in `work` in the cache).
    #[arg(long)]
    keep_build: bool,

    /// How many commands to run at once (default: the number of processors).
    #[arg(long, short, value_name = "N")]
    jobs: Option<std::num::NonZeroUsize>,
}

/// Finds an SPDK, or sets one up.
pub(crate) fn ensure() -> Result<()> {
    refuse_relative_cache()?;
    match usable()? {
        Some(_) => Ok(()),
        None => run(&Options::default()),
    }
}

/// Runs the subcommand.
pub(crate) fn run(options: &Options) -> Result<()> {
    refuse_relative_cache()?;
    let explicit = options.force || options.source.is_some() || options.prefix.is_some();
    if !explicit && let Some(found) = usable()? {
        eprintln!("{}", describe(&found));
        return Ok(());
    }
    let cache = find::cache_root().context(
        "no folder for the cache: neither SPDK_RS_CACHE nor HOME is set; set SPDK_RS_CACHE",
    )?;
    let plan = Plan::new(options.source.as_deref(), options.prefix.as_deref())?;
    if let Some(page) = plan.impossible()? {
        bail!("{page}");
    }
    for folder in [&cache, &plan.prefix] {
        refuse_blanks(folder)?;
    }
    interrupt::install("The same command continues where this one stopped.");
    work::create(&cache)?;
    let lock = lock::acquire(&cache)?;
    // Another set-up may have done the work while this one waited.
    if !explicit && let Some(found) = usable()? {
        eprintln!("{}", describe(&found));
        return Ok(());
    }
    if !options.force && plan.is_done() {
        eprintln!(
            "{} is there already; --force builds it again.",
            plan.title()
        );
        say_where(&plan);
        return Ok(());
    }
    check_room(&cache)?;
    ui::headline(&format!("{} for {}", plan.title(), plan.prefix.display()));
    let jobs = options.jobs.map_or_else(processors, usize::from);
    Setup {
        logs: cache.join("logs"),
        cache: &cache,
        plan: &plan,
        lock: &lock,
        jobs,
    }
    .run(options.keep_build)?;
    say_where(&plan);
    Ok(())
}

fn usable() -> Result<Option<Found>> {
    match find::find() {
        Ok(found) => Ok(Some(found)),
        // Building another SPDK would not help: SPDK_DIR would still come first.
        Err(reason) if reason.is_bad_spdk_dir() => bail!("{}", reason.to_string().trim_end()),
        Err(_) => Ok(None),
    }
}

fn describe(found: &Found) -> String {
    let mut text = format!(
        "SPDK {} is at {} (found by: {}). Nothing to do; --force builds one in the cache.",
        found.version,
        found.prefix.display(),
        found.how
    );
    for tried in &found.passed_over {
        let place = tried.place.display();
        text.push_str(&format!("\nPassed over: {place} {}.", tried.why));
    }
    text
}

fn say_where(plan: &Plan) {
    match find::find() {
        Ok(found) if found.prefix == plan.prefix => {
            eprintln!("SPDK {} is ready; cargo finds it by itself.", found.version);
        }
        _ => {
            // Something else comes first in the search, or the prefix is no place of the search.
            eprintln!("To use it:");
            println!("export SPDK_DIR={}", plan::quoted(&plan.prefix));
        }
    }
}

/// Cargo runs each build script in its package's own folder, where a relative path is another one.
fn refuse_relative_cache() -> Result<()> {
    let named = std::env::var_os("SPDK_RS_CACHE").map(PathBuf::from);
    if let Some(root) = named.filter(|root| !root.as_os_str().is_empty() && root.is_relative()) {
        bail!(
            "SPDK_RS_CACHE={} is a relative path, which cargo would resolve in each package's own \
             folder: give the absolute one",
            root.display()
        );
    }
    Ok(())
}

/// SPDK's makefiles take a blank in a path for the end of it.
fn refuse_blanks(folder: &Path) -> Result<()> {
    if folder.to_string_lossy().contains(char::is_whitespace) {
        bail!(
            "SPDK cannot be built or installed in a folder with blanks in its path: {} \
             (SPDK_RS_CACHE names another cache, --prefix another installation)",
            folder.display()
        );
    }
    Ok(())
}

fn check_room(cache: &Path) -> Result<()> {
    let Ok(stat) = rustix::fs::statvfs(cache) else {
        return Ok(());
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let room = room_for_the_rest(cache);
    if free < room {
        bail!(
            "{} has {} MiB of free room, and a set-up takes up to {} MiB; SPDK_RS_CACHE names \
             another folder",
            cache.display(),
            free >> 20,
            room >> 20
        );
    }
    Ok(())
}

/// What a set-up takes beside what an earlier one has left: that is continued, or goes first.
fn room_for_the_rest(cache: &Path) -> u64 {
    let left = ["work", "downloads"].map(|folder| size(&cache.join(folder)));
    ROOM.saturating_sub(left.iter().sum())
}

/// How much room a file, or a folder with all in it, takes; what cannot be read takes none.
fn size(path: &Path) -> u64 {
    let Ok(data) = path.symlink_metadata() else {
        return 0;
    };
    let entries = data
        .is_dir()
        .then(|| std::fs::read_dir(path).ok())
        .flatten();
    let inside = entries.into_iter().flatten().flatten();
    inside.fold(data.blocks() * 512, |sum, entry| sum + size(&entry.path()))
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::{ROOM, room_for_the_rest};

    #[test]
    fn what_is_left_takes_no_room_again() {
        let cache = tempfile::tempdir().unwrap();
        assert_eq!(room_for_the_rest(cache.path()), ROOM);
        let tree = cache.path().join("work/tree");
        std::fs::create_dir_all(&tree).unwrap();
        std::fs::write(tree.join("file"), vec![1; 4 << 20]).unwrap();
        let rest = room_for_the_rest(cache.path());
        assert!(
            rest <= ROOM - (4 << 20) && rest > ROOM - (5 << 20),
            "{rest}"
        );
    }
}
