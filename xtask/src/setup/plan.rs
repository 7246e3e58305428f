//! What a set-up is going to do: from which source, into which folder, by which steps.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::checkout::Checkout;
use super::distro::{self, Distro};
use super::{build, help, install, mirror};
use crate::find::{RECIPE_REVISION, SETUP_VERSION, cache_prefix, cache_source_prefix};

/// One set-up, decided.
pub(super) struct Plan {
    /// The user's own checkout; without one, SPDK is obtained.
    pub(super) checkout: Option<Checkout>,
    pub(super) prefix: PathBuf,
    /// All that the result depends on, in words: an equal key means an equal installation.
    pub(super) key: String,
}

impl Plan {
    pub(super) fn new(source: Option<&Path>, prefix: Option<&Path>) -> Result<Self> {
        let checkout = source.map(Checkout::open).transpose()?;
        let named = match prefix {
            Some(_) => "--prefix",
            None => "the cache (remove this folder of it, or name another cache by SPDK_RS_CACHE)",
        };
        let prefix = match prefix {
            Some(prefix) => resolve(prefix)?,
            None => checkout
                .as_ref()
                .map_or_else(cache_prefix, |_| cache_source_prefix())
                .context("no folder for the cache; set SPDK_RS_CACHE")?,
        };
        install::check_prefix(&prefix).context(named)?;
        let key = key(checkout.as_ref(), &prefix);
        Ok(Self {
            checkout,
            prefix,
            key,
        })
    }

    /// Why nothing can be obtained on this machine, as a page to print. Asked before packages are
    /// installed in vain.
    pub(super) fn impossible(&self) -> Result<Option<String>> {
        if self.checkout.is_some() {
            return Ok(None);
        }
        let distro = Distro::here();
        let possible = distro::has_apt() && !mirror::mirrors(&distro)?.is_empty();
        Ok((!possible).then(|| help::no_debian_archive(&distro)))
    }

    /// Whether the prefix holds the result already, and whole: files may have been lost since.
    pub(super) fn is_done(&self) -> bool {
        install::provenance(&self.prefix).is_some_and(|key| key == self.key)
            && install::check(&self.prefix).is_ok()
    }

    pub(super) fn title(&self) -> String {
        match &self.checkout {
            Some(checkout) => {
                let root = checkout.root().display();
                format!("SPDK {} from {root}", checkout.version())
            }
            None => format!("SPDK {SETUP_VERSION} from Debian's sources"),
        }
    }

    /// The titles of the steps, in order.
    pub(super) fn steps(&self) -> &'static [&'static str] {
        match (&self.checkout, distro::has_apt()) {
            (Some(_), true) => &["packages", "copy", "configure", "build", "install"],
            (Some(_), false) => &["copy", "configure", "build", "install"],
            (None, _) => &[
                "packages",
                "download",
                "unpack",
                "configure",
                "build",
                "install",
            ],
        }
    }
}

fn key(checkout: Option<&Checkout>, prefix: &Path) -> String {
    let source = match checkout {
        Some(checkout) => format!(
            "{} ({:016x})",
            checkout.root().display(),
            checkout.fingerprint()
        ),
        None => "Debian's source package ceph".to_owned(),
    };
    let version = checkout.map_or(SETUP_VERSION, Checkout::version);
    let arguments = build::arguments(prefix).join(&OsString::from(" "));
    format!(
        "SPDK {version}\nrecipe {RECIPE_REVISION}\nsource {source}\nconfigure {}\n",
        arguments.display()
    )
}

/// The prefix as an absolute path with no links in its folder, so that a rename within that folder
/// is one within a file system.
fn resolve(prefix: &Path) -> Result<PathBuf> {
    let context = || format!("--prefix: {}", prefix.display());
    let absolute = std::path::absolute(prefix).with_context(context)?;
    if absolute.exists() {
        return absolute.canonicalize().with_context(context);
    }
    let parent = absolute.parent().with_context(context)?;
    let name = absolute.file_name().with_context(context)?;
    std::fs::create_dir_all(parent).with_context(context)?;
    Ok(parent.canonicalize().with_context(context)?.join(name))
}

/// A path as a word of a shell.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_names_all_that_the_result_depends_on() {
        let key = key(None, Path::new("/cache/spdk"));
        for part in ["SPDK 26.01", "recipe ", "ceph", "--prefix=/cache/spdk"] {
            assert!(key.contains(part), "{key}");
        }
    }

    #[test]
    fn an_installation_that_lost_files_is_not_done() {
        let root = tempfile::tempdir().unwrap();
        let plan = Plan {
            checkout: None,
            prefix: root.path().to_owned(),
            key: "key".to_owned(),
        };
        let folder = root.path().join("share/spdk-rs");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("provenance"), "key").unwrap();
        assert_eq!(install::provenance(&plan.prefix).unwrap(), plan.key);
        assert!(!plan.is_done());
    }

    #[test]
    fn a_prefix_is_made_absolute() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().canonicalize().unwrap();
        std::os::unix::fs::symlink(&folder, folder.join("link")).unwrap();
        assert_eq!(
            resolve(&folder.join("link/new/spdk")).unwrap(),
            folder.join("new/spdk")
        );
    }

    #[test]
    fn paths_survive_the_shell() {
        assert_eq!(quoted(Path::new("/a/b-1.2")), "/a/b-1.2");
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
