//! What is printed when the build cannot go on: sentences, no trace.

use std::fmt;

/// Debian's packages for what a build of this crate and of SPDK needs: the part, and the package.
const PACKAGES: [(&str, &str); 14] = [
    ("libaio", "libaio-dev"),
    ("libcrypto", "libssl-dev"),
    ("libdaos", "libdaos-dev"),
    ("libfuse3", "libfuse3-dev"),
    ("libibverbs", "libibverbs-dev"),
    ("libisal", "libisal-dev"),
    ("libkeyutils", "libkeyutils-dev"),
    ("libnuma", "libnuma-dev"),
    ("librados", "librados-dev"),
    ("librbd", "librbd-dev"),
    ("librdmacm", "librdmacm-dev"),
    ("libssl", "libssl-dev"),
    ("liburing", "liburing-dev"),
    ("libuuid", "uuid-dev"),
];

/// A page of text for the person who runs the build.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Failure(text.into())
    }

    /// Libraries of the system that SPDK was built with and that are not installed for development.
    pub(crate) fn absent_libs(absent: &[String]) -> Self {
        let mut text = String::from(
            "The installed SPDK needs libraries of the system that the linker cannot find:\n",
        );
        let mut packages = Vec::new();
        for lib in absent {
            text += &format!("  {lib}\n");
            let package = PACKAGES.iter().find(|(name, _)| name == lib);
            packages.extend(package.map(|(_, package)| *package));
        }
        packages.dedup();
        if !packages.is_empty() {
            text += &format!("On Debian: apt-get install {}\n", packages.join(" "));
        }
        Failure(text)
    }

    pub(crate) fn no_libclang(why: &str) -> Self {
        Failure(format!(
            "libclang, which reads SPDK's headers, cannot be loaded: {why}\n\
             On Debian: apt-get install libclang-dev\n\
             The variable LIBCLANG_PATH names its folder if it is installed elsewhere.\n"
        ))
    }

    pub(crate) fn headers(why: &str) -> Self {
        let mut text = format!("SPDK's headers could not be read:\n{why}\n");
        if why.contains("'stddef.h'") || why.contains("'stdarg.h'") || why.contains("'stdbool.h'") {
            text += "libclang is installed without its own headers. On Debian: apt-get install libclang-dev\n";
        }
        Failure(text)
    }

    pub(crate) fn no_compiler(why: &str) -> Self {
        Failure(format!(
            "The C compiler cannot be run: {why}\n\
             On Debian: apt-get install gcc libc6-dev\n\
             The variable CC names another compiler.\n"
        ))
    }

    pub(crate) fn not_compiled(what: &str, why: &str) -> Self {
        Failure(format!("{what} could not be compiled:\n{why}\n"))
    }

    pub(crate) fn io(what: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Failure(format!("Cannot {what} {}: {error}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.trim_end())
    }
}
