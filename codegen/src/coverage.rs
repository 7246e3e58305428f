//! How much of the installed SPDK is wrapped.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::headers::{CType, Headers};
use crate::manifest::{Entry, Manifest};

/// What one header declares and what the manifest has of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// The functions that take a callback and are generated.
    pub generated: Vec<String>,
    /// Those that are wrapped by hand.
    pub manual: Vec<String>,
    /// Those that are not wrapped.
    pub missing: Vec<String>,
}

impl Coverage {
    /// How many functions of the header take a callback.
    pub fn total(&self) -> usize {
        self.generated.len() + self.manual.len() + self.missing.len()
    }

    /// How many of them are wrapped.
    pub fn wrapped(&self) -> usize {
        self.generated.len() + self.manual.len()
    }
}

/// The coverage of each header that declares a function with a callback.
///
/// `declared` says which functions each header declares.
pub fn coverage(
    manifest: &Manifest,
    headers: &Headers,
    declared: &BTreeMap<String, Vec<String>>,
) -> BTreeMap<String, Coverage> {
    let (mut generated, mut manual) = (HashSet::new(), HashSet::new());
    for entry in manifest
        .sections
        .iter()
        .flat_map(|section| &section.entries)
    {
        match entry {
            Entry::Function(entry) => generated.insert(entry.c.as_str()),
            Entry::Manual(entry) => manual.insert(entry.c.as_str()),
            _ => false,
        };
    }
    let mut all = BTreeMap::new();
    for (header, functions) in declared {
        let mut coverage = Coverage::default();
        for function in functions
            .iter()
            .filter(|name| takes_callback(name, headers))
        {
            let list = match () {
                () if generated.contains(function.as_str()) => &mut coverage.generated,
                () if manual.contains(function.as_str()) => &mut coverage.manual,
                () => &mut coverage.missing,
            };
            list.push(function.clone());
        }
        if coverage.total() > 0 {
            all.insert(header.clone(), coverage);
        }
    }
    all
}

/// The sections that say that they are complete, and the functions that they lack all the same.
pub fn incomplete(
    manifest: &Manifest,
    coverage: &BTreeMap<String, Coverage>,
) -> BTreeMap<String, Vec<String>> {
    let complete = manifest.sections.iter().filter(|section| section.complete);
    complete
        .filter_map(|section| {
            let missing = &coverage.get(&section.header)?.missing;
            (!missing.is_empty()).then(|| (section.header.clone(), missing.clone()))
        })
        .collect()
}

/// The functions without a callback that are neither named by a `doc(alias)`, nor said to need no wrapper, of
/// the sections that say so of some; and those that are said so of, but are named or do not exist.
pub fn plain(
    manifest: &Manifest,
    headers: &Headers,
    declared: &BTreeMap<String, Vec<String>>,
    aliases: &BTreeSet<String>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for section in &manifest.sections {
        let Some(needless) = &section.plain else {
            continue;
        };
        let functions = declared.get(&section.header).map_or(&[][..], Vec::as_slice);
        let needless: BTreeSet<_> = needless.keys().map(|name| name.as_str()).collect();
        for name in functions.iter().filter(|f| !takes_callback(f, headers)) {
            match (aliases.contains(name), needless.contains(name.as_str())) {
                (false, false) => {
                    wrong.push(format!("{name} has no `doc(alias)`, and no reason why"))
                }
                (true, true) => {
                    wrong.push(format!("{name} has a `doc(alias)`, and a reason for none"))
                }
                _ => {}
            }
        }
        let here = |name: &&&str| functions.iter().any(|f| f == **name);
        let elsewhere = needless.iter().filter(|name| !here(name));
        wrong.extend(elsewhere.map(|name| format!("{name} is not in {}", section.header)));
    }
    wrong
}

/// The functions that the attributes `doc(alias = "..")` in a Rust source name.
pub fn aliases(source: &str) -> BTreeSet<String> {
    let named = source.split("alias = \"").skip(1);
    named
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .collect()
}

/// Whether a parameter is a function pointer, itself and not in a struct.
fn takes_callback(function: &str, headers: &Headers) -> bool {
    headers.functions.get(function).is_some_and(|function| {
        function
            .params
            .iter()
            .any(|param| matches!(headers.resolve(&param.ty), CType::Callback(_)))
    })
}

/// The functions that the text of a C header declares, in its order.
///
/// Every public function of SPDK begins with `spdk_`; `known` tells functions from macros.
pub fn declarations(text: &str, known: &Headers) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let code = without_comments(text);
    for (index, _) in code.match_indices("spdk_") {
        let starts = code[..index]
            .chars()
            .next_back()
            .is_none_or(|c| c != '_' && !c.is_alphanumeric());
        let rest = &code[index..];
        let end = rest
            .find(|c: char| c != '_' && !c.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        let name = &rest[..end];
        let declares = rest[end..].trim_start().starts_with('(')
            && known.functions.contains_key(name)
            && !found.iter().any(|other| other == name);
        if starts && declares {
            found.push(name.to_owned());
        }
    }
    found
}

fn without_comments(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("/*") {
        code.push_str(&rest[..start]);
        let after = &rest[start + 2..];
        rest = after.find("*/").map_or("", |end| &after[end + 2..]);
    }
    code.push_str(rest);
    let lines = code
        .lines()
        .map(|line| line.split("//").next().unwrap_or(line));
    lines.fold(String::new(), |mut out, line| {
        out.push_str(line);
        out.push('\n');
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complete_header_lacks_nothing() {
        let bindings = "unsafe extern \"C\" { pub fn spdk_a(cb: Option<unsafe extern \"C\" fn()>); pub fn spdk_b(cb: Option<unsafe extern \"C\" fn()>); }";
        let headers = Headers::parse(bindings).expect("bindings are Rust");
        let functions = ["spdk_a", "spdk_b"].map(str::to_owned);
        let declared = BTreeMap::from([("x.h".to_owned(), functions.to_vec())]);
        let text = |complete: bool, more: &str| {
            format!(
                "(spdk: \"26.01\", sections: [Section(header: \"x.h\", doc: \"d\", complete: {complete}, entries: [
                    Manual(c: \"spdk_a\", rust: \"crate::a\", reason: \"r\"), {more}
                ])])"
            )
        };
        let lacks = |text: &str| {
            let manifest = crate::manifest::parse("api.ron", text).expect("it is valid");
            incomplete(&manifest, &coverage(&manifest, &headers, &declared))
        };
        let b = BTreeMap::from([("x.h".to_owned(), vec!["spdk_b".to_owned()])]);
        assert_eq!(lacks(&text(true, "")), b);
        assert_eq!(lacks(&text(false, "")), BTreeMap::new());
        let more = "Manual(c: \"spdk_b\", rust: \"crate::b\", reason: \"r\"),";
        assert_eq!(lacks(&text(true, more)), BTreeMap::new());
    }

    #[test]
    fn plain_functions_have_an_alias_or_a_reason() {
        let bindings = "unsafe extern \"C\" { pub fn spdk_a(); pub fn spdk_b(); pub fn spdk_c(cb: Option<unsafe extern \"C\" fn()>); }";
        let headers = Headers::parse(bindings).expect("bindings are Rust");
        let functions = ["spdk_a", "spdk_b", "spdk_c"].map(str::to_owned);
        let declared = BTreeMap::from([("x.h".to_owned(), functions.to_vec())]);
        let wrong = |reasons: &str| {
            let text = format!(
                "(spdk: \"26.01\", sections: [Section(header: \"x.h\", doc: \"d\", {reasons} entries: [])])"
            );
            let manifest = crate::manifest::parse("api.ron", &text).expect("it is valid");
            let aliases = aliases("#[doc(alias = \"spdk_a\", alias = \"a\")]");
            plain(&manifest, &headers, &declared, &aliases)
        };
        assert_eq!(wrong(""), [""; 0]);
        assert_eq!(wrong("plain: {\"spdk_b\": \"r\"},"), [""; 0]);
        assert_eq!(
            wrong("plain: {},"),
            ["spdk_b has no `doc(alias)`, and no reason why"]
        );
        assert_eq!(
            wrong("plain: {\"spdk_a\": \"r\", \"spdk_b\": \"r\", \"spdk_d\": \"r\"},"),
            [
                "spdk_a has a `doc(alias)`, and a reason for none",
                "spdk_d is not in x.h",
            ]
        );
    }

    #[test]
    fn functions_of_a_header_are_found_once() {
        let bindings = "unsafe extern \"C\" { pub fn spdk_a(cb: Option<unsafe extern \"C\" fn()>); pub fn spdk_b(); }";
        let headers = Headers::parse(bindings).expect("bindings are Rust");
        let text =
            "/* spdk_b() */\nvoid spdk_a(void (*cb)(void));\n#define X spdk_a()\nint spdk_c(int);";
        assert_eq!(declarations(text, &headers), ["spdk_a"]);
        assert!(takes_callback("spdk_a", &headers) && !takes_callback("spdk_b", &headers));
    }
}
