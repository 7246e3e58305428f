//! One set-up at a time for each cache.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, FdFlags, fcntl_setfd};

/// How often a waiting set-up says that it still waits.
const REMINDER: Duration = Duration::from_secs(60);

/// Held while a set-up works in the cache. The kernel releases it with the last process that holds
/// it, so a crash leaves nothing to clean up.
pub(super) struct Lock {
    file: File,
}

/// Waits until no other set-up works in `cache`, and says so if that is not at once.
pub(super) fn acquire(cache: &Path) -> Result<Lock> {
    let path = cache.join("setup.lock");
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    let mut reminded: Option<Instant> = None;
    let started = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(Errno::WOULDBLOCK) => {}
            Err(Errno::INTR) => continue,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        if reminded.is_none_or(|at| at.elapsed() >= REMINDER) {
            eprintln!("{}", holder(&mut file, started.elapsed()));
            reminded = Some(Instant::now());
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    name_owner(&mut file).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Lock { file })
}

fn name_owner(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{}", std::process::id())
}

fn holder(file: &mut File, waited: Duration) -> String {
    let mut owner = String::new();
    let known = file.rewind().and_then(|()| file.read_to_string(&mut owner));
    let owner = owner.trim();
    let alive = known.is_ok() && !owner.is_empty() && Path::new("/proc").join(owner).exists();
    let who = if alive {
        format!("Another set-up (process {owner}) is at work in this cache")
    } else {
        "The last commands of an interrupted set-up are still ending".to_owned()
    };
    match waited.as_secs() {
        0 => format!("{who}; waiting for it."),
        seconds => format!("{who}; waiting for it since {seconds} s."),
    }
}

impl Lock {
    /// Lets the commands that start from now on hold the lock too: when this process is killed,
    /// the next set-up waits until its orphans no longer write into the same tree.
    pub(super) fn share_with_children(&self) -> Result<()> {
        fcntl_setfd(&self.file, FdFlags::empty()).context("cannot share the lock with commands")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_waits_for_the_first() {
        let cache = tempfile::tempdir().unwrap();
        let first = acquire(cache.path()).unwrap();
        let path = cache.path().to_owned();
        let second = std::thread::spawn(move || {
            acquire(&path).unwrap();
            Instant::now()
        });
        std::thread::sleep(Duration::from_millis(500));
        let released = Instant::now();
        drop(first);
        assert!(second.join().unwrap() >= released);
    }
}
