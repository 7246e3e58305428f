//! Reads `.pc` files: as much of pkg-config as linking SPDK takes.
//!
//! The pkg-config program is not asked, since it answers for a whole set of packages at once: what can be left out, what
//! was moved and what must be linked whole is decided file by file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What one `.pc` file says about linking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) requires: Vec<String>,
    pub(crate) libs: Vec<Flag>,
}

/// One word of a `Libs` line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Flag {
    /// `-lNAME` or `-l:libNAME.a`
    Lib(String),
    /// `-LDIR`
    Folder(PathBuf),
    /// The path of an archive.
    Archive(PathBuf),
}

/// Reads the text of the `.pc` file in folder `dir`.
pub(crate) fn parse(text: &str, dir: &Path) -> Package {
    let mut variables = BTreeMap::from([("pcfiledir".to_owned(), dir.display().to_string())]);
    let mut package = Package::default();
    for line in joined_lines(text) {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some(end) = line.find([':', '=']) else {
            continue;
        };
        let (key, value) = (line[..end].trim(), expand(&line[end + 1..], &variables));
        match (line.as_bytes()[end], key) {
            (b'=', _) => {
                variables.insert(key.to_owned(), value.trim().to_owned());
            }
            // An archive carries no list of what it needs, so static linking takes the private ones too.
            (_, "Requires" | "Requires.private") => package.requires.extend(names(&value)),
            (_, "Libs" | "Libs.private") => {
                package
                    .libs
                    .extend(value.split_whitespace().filter_map(flag));
            }
            _ => {}
        }
    }
    package
}

fn joined_lines(text: &str) -> Vec<String> {
    text.replace("\\\n", " ")
        .lines()
        .map(str::to_owned)
        .collect()
}

fn expand(value: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let Some((name, tail)) = after.split_once('}') else {
            out.push_str("${");
            rest = after;
            continue;
        };
        out.push_str(variables.get(name).map_or("", String::as_str));
        rest = tail;
    }
    out + rest
}

/// The package names of a `Requires` line, without version conditions such as `>= 1.2`.
fn names(value: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut words = value
        .split(|c: char| c == ',' || c.is_whitespace())
        .filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        if word.starts_with(['<', '>', '=', '!']) {
            words.next();
        } else {
            names.push(word.to_owned());
        }
    }
    names
}

fn flag(word: &str) -> Option<Flag> {
    if let Some(file) = word.strip_prefix("-l:") {
        let name = file.strip_prefix("lib").unwrap_or(file);
        return Some(Flag::Lib(name.trim_end_matches(".a").to_owned()));
    }
    if let Some(name) = word.strip_prefix("-l") {
        return Some(Flag::Lib(name.to_owned()));
    }
    if let Some(dir) = word.strip_prefix("-L") {
        return Some(Flag::Folder(dir.into()));
    }
    if word == "-pthread" {
        return Some(Flag::Lib("pthread".to_owned()));
    }
    (!word.starts_with('-') && word.ends_with(".a")).then(|| Flag::Archive(word.into()))
}

/// The packages that a set of roots needs, dependents before what they depend on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Closure {
    pub(crate) packages: Vec<(String, Package)>,
    /// Packages that another one requires and that no folder holds.
    pub(crate) missing: BTreeSet<String>,
    seen: BTreeSet<String>,
}

impl Closure {
    /// Adds what `roots` need, searching `dirs` in order. A root that is not installed is passed over.
    pub(crate) fn add<'a>(&mut self, roots: impl IntoIterator<Item = &'a str>, dirs: &[PathBuf]) {
        let mut found = Vec::new();
        for root in roots {
            if locate(root, dirs).is_some() {
                self.visit(root, dirs, &mut found);
            }
        }
        found.reverse();
        self.packages.append(&mut found);
    }

    /// Whether the package is among those that are needed.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.seen.contains(name)
    }

    fn visit(&mut self, name: &str, dirs: &[PathBuf], found: &mut Vec<(String, Package)>) {
        if !self.seen.insert(name.to_owned()) {
            return;
        }
        let Some((dir, text)) = locate(name, dirs) else {
            self.missing.insert(name.to_owned());
            return;
        };
        let package = parse(&text, dir);
        for required in package.requires.iter().rev() {
            self.visit(required, dirs, found);
        }
        found.push((name.to_owned(), package));
    }
}

fn locate<'a>(name: &str, dirs: &'a [PathBuf]) -> Option<(&'a Path, String)> {
    dirs.iter().find_map(|dir| {
        let text = fs::read_to_string(dir.join(format!("{name}.pc"))).ok()?;
        Some((dir.as_path(), text))
    })
}
