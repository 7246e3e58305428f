//! What the tests share.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use spdk_codegen::headers::Headers;

/// The bindings that spdk-sys ships for its documentation: no SPDK is needed.
pub(crate) fn bindings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../spdk-sys/docs/bindings.rs")
}

/// [`bindings`], read once.
pub(crate) fn headers() -> &'static Headers {
    static HEADERS: OnceLock<Headers> = OnceLock::new();
    HEADERS.get_or_init(|| {
        let text = fs::read_to_string(bindings()).expect("spdk-sys has bindings for its docs");
        Headers::parse(&text).expect("bindgen writes Rust")
    })
}

/// The entries of a folder of the tests, in order.
pub(crate) fn entries(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder);
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .expect("the folder is checked in")
        .map(|entry| entry.expect("it can be listed").path())
        .collect();
    paths.sort();
    paths
}

/// Compares with what is checked in, or writes it if `BLESS` is set.
pub(crate) fn compare(path: &Path, actual: &str, wrong: &mut Vec<String>) {
    if std::env::var_os("BLESS").is_some() {
        fs::write(path, actual).expect("the checkout can be written");
        return;
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    if expected == actual {
        return;
    }
    let same = expected.lines().zip(actual.lines());
    let line = same
        .take_while(|(expected, actual)| expected == actual)
        .count();
    wrong.push(format!(
        "{} differs in line {}\n  expected: {}\n  actual:   {}",
        path.display(),
        line + 1,
        expected.lines().nth(line).unwrap_or("(the end)"),
        actual.lines().nth(line).unwrap_or("(the end)"),
    ));
}
