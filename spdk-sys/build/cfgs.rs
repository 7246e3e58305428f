//! The `cfg`s that tell which SPDK is installed, read off its headers.
//!
//! - `spdk_version = "26.01"`: the release;
//! - `spdk_since_25_05`: this release or a later one;
//! - `spdk_has_<function>`: the headers declare it; only for functions that some supported release lacks;
//! - `spdk_args_<function> = "5"`: its number of parameters; only for functions where that number changed.

use std::collections::BTreeMap;

use crate::drift::{NOT_EVERYWHERE, PARAMETERS_CHANGED};
use crate::find::Version;

/// Every supported release. 25.01 was not released.
const RELEASES: [Version; 6] = [
    Version::new(24, 5),
    Version::new(24, 9),
    Version::new(25, 5),
    Version::new(25, 9),
    Version::new(26, 1),
    Version::new(26, 5),
];

/// What to tell rustc, here and in dependents.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Cfgs {
    /// Values of `rustc-cfg`.
    pub(crate) set: Vec<String>,
    /// Values of `rustc-check-cfg`.
    pub(crate) declared: Vec<String>,
}

/// The `cfg`s for this release and these bindings.
pub(crate) fn derive(version: Version, bindings: &str) -> Cfgs {
    let functions = functions(bindings);
    let mut cfgs = Cfgs::default();

    // Any string: a release that is newer than this table must not warn.
    cfgs.declare("spdk_version, values(any())");
    cfgs.set
        .push(format!("spdk_version=\"{}\"", version.release()));
    for release in RELEASES {
        let name = format!("spdk_since_{}_{:02}", release.major, release.minor);
        cfgs.flag(name, version.release() >= release);
    }
    for function in NOT_EVERYWHERE {
        cfgs.flag(
            format!("spdk_has_{function}"),
            functions.contains_key(function),
        );
    }
    for function in PARAMETERS_CHANGED {
        let name = format!("spdk_args_{function}");
        cfgs.declare(&format!("{name}, values(any())"));
        if let Some(count) = functions.get(function) {
            cfgs.set.push(format!("{name}=\"{count}\""));
        }
    }
    cfgs
}

impl Cfgs {
    fn declare(&mut self, cfg: &str) {
        self.declared.push(format!("cfg({cfg})"));
    }

    fn flag(&mut self, name: String, is_set: bool) {
        self.declare(&name);
        if is_set {
            self.set.push(name);
        }
    }
}

/// The functions that formatted bindings declare, each with its number of parameters.
fn functions(bindings: &str) -> BTreeMap<&str, usize> {
    let mut found = BTreeMap::new();
    let mut rest = bindings;
    while let Some((_, after)) = rest.split_once("pub fn ") {
        rest = after;
        let Some((name, parameters)) = after.split_once('(') else {
            break;
        };
        // Methods of bitfields are `pub fn` as well; no C function has their names.
        found
            .entry(name)
            .or_insert_with(|| count_parameters(parameters));
    }
    found
}

/// How many parameters the list has that starts here.
fn count_parameters(list: &str) -> usize {
    let mut depth = 0;
    let mut count = 0;
    let mut in_parameter = false;
    for c in list.chars() {
        match c {
            ')' if depth == 0 => break,
            '(' | '[' | '<' => depth += 1,
            ')' | ']' | '>' => depth -= 1,
            ',' if depth == 0 => in_parameter = false,
            _ => {}
        }
        if !in_parameter && c.is_alphabetic() {
            in_parameter = true;
            count += 1;
        }
    }
    count
}
