//! apt in directories of our own: the machine's settings hold (proxies, certificates), its
//! repositories, indexes and locks are not touched.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::work::{create, write_whole};
use crate::run::{Event, Log, logged};
use crate::ui::{Step, Unit};

/// Debian's archive keys, as its package `debian-archive-keyring` installs them.
const KEYRINGS: &[&str] = &[
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
];

const HELPER: &str = "/usr/lib/apt/apt-helper";

/// What is wanted of a repository.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Binary,
    Source,
}

/// apt with one repository: the packages of one suite, of one kind.
pub(super) struct PrivateApt {
    conf: PathBuf,
}

/// One file of a source package, as the signed index describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourceFile {
    pub(super) uri: String,
    pub(super) name: String,
    pub(super) size: u64,
    /// As apt writes it: `SHA256:3948...`.
    pub(super) hash: String,
}

impl PrivateApt {
    /// Sets up `root` for the packages of `suite` at `mirror`.
    pub(super) fn new(root: &Path, mirror: &str, suite: &str, kind: Kind) -> Result<Self> {
        let keyring = KEYRINGS
            .iter()
            .find(|path| Path::new(path).exists())
            .context(
                "Debian's archive keys are missing, so nothing could be verified: \
                 install the package debian-archive-keyring",
            )?;
        for folder in ["state/lists/partial", "cache/archives/partial"] {
            create(&root.join(folder))?;
        }
        let line = match kind {
            Kind::Binary => "deb",
            Kind::Source => "deb-src",
        };
        write_whole(
            &root.join("sources.list"),
            &format!("{line} [signed-by={keyring}] {mirror} {suite} main\n"),
        )?;
        let conf = root.join("apt.conf");
        write_whole(&conf, &conf_text(root))?;
        Ok(Self { conf })
    }

    /// Fetches the suite's index and verifies its signature.
    pub(super) fn update(&self, log: &mut Log, step: &Step) -> Result<()> {
        let mut command = self.command("apt-get");
        logged(command.args(["-q", "update"]), log, &mut |event| {
            if let Event::Line(line) = event {
                step.detail(line);
            }
        })
    }

    /// The upstream tarball of a source package.
    pub(super) fn orig_tarball(&self, package: &str, log: &mut Log) -> Result<SourceFile> {
        let mut files = Vec::new();
        let mut command = self.command("apt-get");
        command.args(["-q", "source", "--print-uris", "--only-source", package]);
        logged(&mut command, log, &mut |event| {
            if let Event::Line(line) = event {
                files.extend(parse_uri_line(line));
            }
        })?;
        let tarball = files
            .into_iter()
            .find(|file| file.name.contains(".orig.tar."))
            .with_context(|| format!("the source package {package} has no upstream tarball"))?;
        if !tarball.hash.starts_with("SHA256:") {
            bail!(
                "the index gives no SHA-256 for {}, only {}",
                tarball.name,
                tarball.hash
            );
        }
        Ok(tarball)
    }

    /// Fetches a file, continuing what is there of it; apt compares it with the index's hash.
    pub(super) fn download(
        &self,
        file: &SourceFile,
        to: &Path,
        log: &mut Log,
        step: &Step,
    ) -> Result<()> {
        let mut command = self.command(HELPER);
        command.args(["-q", "download-file", &file.uri]);
        command.arg(to).arg(&file.hash);
        step.detail(&file.name);
        logged(&mut command, log, &mut |_| {
            let here = to.metadata().map_or(0, |data| data.len());
            step.progress(Unit::Bytes, here, file.size);
        })
    }

    /// The package that `package` depends on and that is called so.
    pub(super) fn dependency(&self, package: &str, prefix: &str, log: &mut Log) -> Result<String> {
        let mut found = None;
        let mut command = self.command("apt-cache");
        logged(command.args(["depends", package]), log, &mut |event| {
            if let Event::Line(line) = event {
                let name = line.trim().strip_prefix("Depends: ");
                let name = name.filter(|name| name.starts_with(prefix));
                found = found.take().or(name.map(str::to_owned));
            }
        })?;
        found.with_context(|| format!("{package} depends on no {prefix}*"))
    }

    /// Fetches a package into `folder`; apt compares it with the index's hash.
    pub(super) fn package(&self, package: &str, folder: &Path, log: &mut Log) -> Result<PathBuf> {
        let mut command = self.command("apt-get");
        // The user that apt drops to may not write into our folders.
        command.args(["-o", "APT::Sandbox::User=root"]);
        command.args(["-q", "download", package]);
        logged(command.current_dir(folder), log, &mut |_| {})?;
        let entries = std::fs::read_dir(folder);
        let entries = entries.with_context(|| format!("cannot read {}", folder.display()))?;
        let mut files = entries.flatten().map(|entry| entry.path());
        files
            .find(|path| path.extension().is_some_and(|it| it == "deb"))
            .with_context(|| format!("apt has left no {package} in {}", folder.display()))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-c").arg(&self.conf);
        command
    }
}

fn conf_text(root: &Path) -> String {
    let root = root.display();
    // The hooks of the machine's apt.conf.d act on the machine's own indexes. An index past its date
    // will do, as on a mirror that lags behind: what we take from it is one known release, and that
    // Debian signed it is checked all the same.
    format!(
        r#"Dir::Etc::sourcelist "{root}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State "{root}/state";
Dir::State::lists "{root}/state/lists";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "{root}/cache";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Get::AllowUnauthenticated "false";
APT::Update::Error-Mode "any";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"#
    )
}

/// Reads `'URI' NAME SIZE HASH`; anything else that apt prints is no such line.
fn parse_uri_line(line: &str) -> Option<SourceFile> {
    let (uri, rest) = line.strip_prefix('\'')?.split_once('\'')?;
    let mut fields = rest.split_whitespace();
    Some(SourceFile {
        uri: uri.to_owned(),
        name: fields.next()?.to_owned(),
        size: fields.next()?.parse().ok()?,
        hash: fields.next()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn print_uris_lines_are_read() {
        let line = "'http://m.test/debian/pool/main/c/ceph/ceph_20%2bds.orig.tar.xz' \
                    ceph_20+ds.orig.tar.xz 245630284 SHA256:190b";
        let file = parse_uri_line(line).unwrap();
        assert_eq!(
            file.uri,
            "http://m.test/debian/pool/main/c/ceph/ceph_20%2bds.orig.tar.xz"
        );
        assert_eq!(file.name, "ceph_20+ds.orig.tar.xz");
        assert_eq!(
            (file.size, file.hash.as_str()),
            (245_630_284, "SHA256:190b")
        );

        for other in [
            "Reading package lists...",
            "'x",
            "'x' name",
            "'x' name big SHA256:1",
        ] {
            assert_eq!(parse_uri_line(other), None, "{other}");
        }
    }
}
