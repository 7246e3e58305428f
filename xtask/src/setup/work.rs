//! The folder in which a set-up works, and what it remembers of the steps that are done.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Files under `<cache>/work`. Each belongs to one key (recipe, source, prefix, options); another
/// key starts over, so that no step ever builds on what another recipe left.
pub(super) struct Work {
    root: PathBuf,
    resumed: bool,
}

impl Work {
    /// Opens the folder for `key`, wiping what another key left there.
    pub(super) fn open(cache: &Path, key: &str) -> Result<Self> {
        let root = cache.join("work");
        let mut work = Self {
            root,
            resumed: false,
        };
        let found = std::fs::read_to_string(work.root.join("key")).unwrap_or_default();
        if found == key {
            work.resumed = work.root.join("done").exists();
        } else {
            work.wipe()?;
            create(&work.root)?;
            write_whole(&work.root.join("key"), key)?;
        }
        create(&work.root.join("done"))?;
        Ok(work)
    }

    /// Whether an earlier set-up with the same key left something to continue.
    pub(super) fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// The source tree that is built.
    pub(super) fn tree(&self) -> PathBuf {
        self.root.join("tree")
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(super) fn is_done(&self, step: &str) -> bool {
        self.root.join("done").join(step).exists()
    }

    pub(super) fn mark_done(&self, step: &str) -> Result<()> {
        write_whole(&self.root.join("done").join(step), "")
    }

    /// Forgets every step and removes the tree: the next steps begin again.
    pub(super) fn restart(&mut self) -> Result<()> {
        remove(&self.root.join("done"))?;
        remove(&self.tree())?;
        create(&self.root.join("done"))?;
        self.resumed = false;
        Ok(())
    }

    /// Leaves the tree to the user; the next set-up does not continue it.
    pub(super) fn forget(&self) -> Result<()> {
        remove(&self.root.join("key"))
    }

    /// Removes the folder.
    pub(super) fn wipe(&self) -> Result<()> {
        // A wipe that is cut short must not leave a half tree with a valid key.
        self.forget()?;
        remove(&self.root)
    }
}

/// Removes a file or a folder with all in it, if it is there.
pub(super) fn remove(path: &Path) -> Result<()> {
    let result = match path.symlink_metadata() {
        Ok(data) if data.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    result.with_context(|| format!("cannot remove {}", path.display()))
}

/// Creates a folder and its parents.
pub(super) fn create(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))
}

/// Writes a file that is there whole or not at all.
pub(super) fn write_whole(path: &Path, text: &str) -> Result<()> {
    let aside = path.with_extension("new");
    std::fs::write(&aside, text)
        .and_then(|()| std::fs::rename(&aside, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_remembered_per_key() {
        let cache = tempfile::tempdir().unwrap();
        let work = Work::open(cache.path(), "a").unwrap();
        assert!(!work.is_resumed());
        create(&work.tree()).unwrap();
        work.mark_done("unpack").unwrap();

        let mut again = Work::open(cache.path(), "a").unwrap();
        assert!(again.is_resumed() && again.is_done("unpack") && !again.is_done("build"));
        again.restart().unwrap();
        assert!(!again.is_done("unpack") && !again.tree().exists());

        again.mark_done("unpack").unwrap();
        let other = Work::open(cache.path(), "b").unwrap();
        assert!(!other.is_resumed() && !other.is_done("unpack"));
        other.wipe().unwrap();
        assert!(!cache.path().join("work").exists());
    }
}
