//! Where this machine gets Debian from: read from its own apt configuration, never named by us.

use std::process::Command;

use anyhow::{Context, Result};

use super::distro::Distro;

const FORMAT: &str = "$(REPO_URI)|$(RELEASE)|$(ORIGIN)|$(LABEL)";

/// The Debian archives that apt is set up with, as base URIs, in apt's order.
pub(super) fn mirrors(distro: &Distro) -> Result<Vec<String>> {
    // With the indexes there, apt tells who signed each repository as what. A fresh machine has
    // none yet: then the release names must do.
    let known = targets(&["indextargets", "--format", FORMAT])?;
    let archives = by_origin(&known);
    if !archives.is_empty() {
        return Ok(archives);
    }
    let configured = targets(&["indextargets", "--no-release-info", "--format", FORMAT])?;
    Ok(by_release(&configured, distro))
}

fn targets(args: &[&str]) -> Result<String> {
    let output = Command::new("apt-get")
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .context("cannot ask apt-get for its repositories")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn by_origin(targets: &str) -> Vec<String> {
    select(targets, |_, origin, label| {
        origin == "Debian" && label == "Debian"
    })
}

fn by_release(targets: &str, distro: &Distro) -> Vec<String> {
    if distro.id != "debian" {
        return Vec::new();
    }
    let names = ["stable", "testing", "unstable", "sid"];
    // `bookworm`, `bookworm-updates` and `bookworm-backports`, but not `bookworm-security`, which
    // is another archive.
    select(targets, |release, _, _| {
        let base = release
            .strip_suffix("-updates")
            .or(release.strip_suffix("-backports"))
            .unwrap_or(release);
        names.contains(&base) || (!base.is_empty() && base == distro.codename)
    })
}

fn select(targets: &str, wanted: impl Fn(&str, &str, &str) -> bool) -> Vec<String> {
    let mut uris: Vec<String> = Vec::new();
    for line in targets.lines() {
        let mut fields = line.split('|');
        let mut next = || fields.next().unwrap_or_default();
        let (uri, release, origin, label) = (next(), next(), next(), next());
        // A CD has no suite but its own.
        if uri.is_empty() || uri.starts_with("cdrom:") || !wanted(release, origin, label) {
            continue;
        }
        if !uris.iter().any(|known| known == uri) {
            uris.push(uri.to_owned());
        }
    }
    uris
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_told_from_its_neighbours() {
        let targets = "http://m.test/debian-security/|bookworm-security|Debian|Debian-Security\n\
                       http://m.test/debian/|bookworm|Debian|Debian\n\
                       http://m.test/debian/|bookworm-updates|Debian|Debian\n\
                       cdrom:[Debian]/|bookworm|Debian|Debian\n\
                       http://x.test/|nodistro|. nodistro|. nodistro\n";
        assert_eq!(by_origin(targets), ["http://m.test/debian/"]);
    }

    #[test]
    fn release_names_do_where_no_index_was_fetched_yet() {
        let debian = Distro {
            id: "debian".into(),
            codename: "trixie".into(),
            name: String::new(),
        };
        let targets = "http://s.test/debian-security/|trixie-security|$(ORIGIN)|$(LABEL)\n\
                       http://m.test/debian/|trixie-updates|$(ORIGIN)|$(LABEL)\n\
                       http://x.test/|nodistro|$(ORIGIN)|$(LABEL)\n";
        assert_eq!(by_origin(targets), [""; 0]);
        assert_eq!(by_release(targets, &debian), ["http://m.test/debian/"]);

        let ubuntu = Distro {
            id: "ubuntu".into(),
            ..debian
        };
        assert_eq!(by_release("http://u.test/|trixie||", &ubuntu), [""; 0]);
    }
}
