//! What the machine's controllers have their namespaces on: files with holes, of which only what the tests
//! write takes room.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};

/// A disk, and its size in MiB.
pub(super) const DISKS: [(&str, u64); 12] = [
    ("plain", 64),
    ("separate", 32),
    ("interleaved", 32),
    ("zoned", 64),
    ("attached", 16),
    ("detached", 16),
    ("private", 16),
    ("format", 32),
    ("hot0", 32),
    ("hot1", 32),
    ("hot2", 32),
    ("slow", 32),
];

/// Makes them all anew.
pub(super) fn create(folder: &Path) -> Result<()> {
    for (name, size) in DISKS {
        let path = folder.join(name);
        File::create(&path)
            .and_then(|file| file.set_len(size << 20))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
