//! Makes the skeleton of an SPDK installation.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A folder that holds nothing yet.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Writes a file, with the folders that lead to it.
pub(crate) fn put(root: &Path, file: &str, text: &str) -> PathBuf {
    let path = root.join(file);
    fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a new folder");
    fs::write(&path, text).expect("a new file");
    path
}

/// The text of `spdk/version.h`.
pub(crate) fn version_h(major: u32, minor: u32) -> String {
    format!(
        "#define SPDK_VERSION_MAJOR\t{major}\n#define SPDK_VERSION_MINOR\t{minor}\n#define SPDK_VERSION_PATCH\t0\n"
    )
}

/// What `make install` leaves behind, as far as the search looks at it.
pub(crate) fn prefix(root: &Path, major: u32, minor: u32) {
    put(root, "include/spdk/version.h", &version_h(major, minor));
    put(root, "lib/libspdk_event.a", "");
    put(
        root,
        "lib/pkgconfig/spdk_event.pc",
        "Libs: -L/gone -lspdk_event\n",
    );
}
