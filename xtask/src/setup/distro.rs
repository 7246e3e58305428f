//! What kind of machine this is, as far as packages are concerned.

use std::path::Path;

/// The lines of `/etc/os-release` that matter here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Distro {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) codename: String,
}

impl Distro {
    /// The distribution that runs here; empty fields where it does not say.
    pub(super) fn here() -> Self {
        let text = ["/etc/os-release", "/usr/lib/os-release"]
            .iter()
            .find_map(|path| std::fs::read_to_string(path).ok());
        Self::parse(text.as_deref().unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let field = |key: &str| {
            text.lines()
                .find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))
                .map(|value| value.trim_matches(['"', '\'']).to_owned())
                .unwrap_or_default()
        };
        Self {
            id: field("ID"),
            name: field("PRETTY_NAME"),
            codename: field("VERSION_CODENAME"),
        }
    }

    /// What to call it in a sentence.
    pub(super) fn title(&self) -> &str {
        if self.name.is_empty() {
            "This system"
        } else {
            &self.name
        }
    }
}

/// Whether packages are managed by apt here (Debian, Ubuntu and what derives from them).
pub(super) fn has_apt() -> bool {
    Path::new("/usr/bin/apt-get").exists() && Path::new("/usr/bin/dpkg-query").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_is_read() {
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\n\
                      VERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nID=debian\n";
        let distro = Distro::parse(debian);
        assert_eq!(distro.id, "debian");
        assert_eq!(distro.codename, "bookworm");
        assert_eq!(distro.title(), "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(Distro::parse("VERSION_ID='9'").title(), "This system");
    }
}
