//! An archive in cpio's `newc` format, which the kernel unpacks as its first file system.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_644;
const PROGRAM: u32 = 0o100_755;

/// What is written into an archive.
pub(super) struct Archive<W: Write> {
    to: W,
    /// The number of entries, which are told apart by it.
    count: u32,
    folders: BTreeSet<PathBuf>,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(to: W) -> Self {
        Archive {
            to,
            count: 0,
            folders: BTreeSet::new(),
        }
    }

    /// A folder, with its parents.
    pub(super) fn folder(&mut self, path: &Path) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            self.folder(parent)?;
        }
        let is_root = path.components().all(|part| part == Component::RootDir);
        match !is_root && self.folders.insert(path.to_owned()) {
            true => self.entry(path, FOLDER, &[]),
            false => Ok(()),
        }
    }

    pub(super) fn file(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.below_its_folder(path, FILE, bytes)
    }

    pub(super) fn program(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.below_its_folder(path, PROGRAM, bytes)
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.entry(Path::new("TRAILER!!!"), 0, &[])?;
        self.to.flush()
    }

    fn below_its_folder(&mut self, path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            self.folder(parent)?;
        }
        self.entry(path, mode, bytes)
    }

    fn entry(&mut self, path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
        self.count += 1;
        let name = path.to_string_lossy();
        let name = name.trim_start_matches('/');
        let size = u32::try_from(bytes.len()).map_err(|_| {
            let large = format!("{name} is larger than 4 GiB");
            io::Error::new(io::ErrorKind::FileTooLarge, large)
        })?;
        let name_size = name.len() as u32 + 1;
        let (links, zero) = (1, 0);
        let fields = [
            self.count, mode, zero, zero, links, zero, size, zero, zero, zero, zero, name_size,
            zero,
        ];
        let mut header = String::from("070701");
        for field in fields {
            header.push_str(&format!("{field:08x}"));
        }
        header.push_str(name);
        header.push('\0');
        self.padded(header.as_bytes())?;
        self.padded(bytes)
    }

    fn padded(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)?;
        self.to.write_all(&[0; 3][..bytes.len().wrapping_neg() % 4])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_every_folder_once_and_what_is_in_it() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.program(Path::new("/a/b/run"), b"12345").unwrap();
        archive.file(Path::new("/a/b/text"), b"").unwrap();
        archive.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8(bytes).unwrap();
        let mut rest = text.as_str();
        let mut seen = Vec::new();
        while !rest.is_empty() {
            let field = |index: usize| {
                let digits = &rest[6 + 8 * index..][..8];
                usize::from_str_radix(digits, 16).unwrap()
            };
            let (size, name_size) = (field(6), field(11));
            let data = (110 + name_size).next_multiple_of(4);
            let name = &rest[110..110 + name_size - 1];
            seen.push((name, field(1), &rest[data..data + size]));
            rest = &rest[(data + size).next_multiple_of(4)..];
        }
        let expected = [
            ("a", 0o040_755, ""),
            ("a/b", 0o040_755, ""),
            ("a/b/run", 0o100_755, "12345"),
            ("a/b/text", 0o100_644, ""),
            ("TRAILER!!!", 0, ""),
        ];
        assert_eq!(seen, expected);
    }
}
