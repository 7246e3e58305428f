//! Wrong manifests, one or more per rule, and what is said about them.

mod common;

use std::fs;
use std::path::Path;

use quote::quote;
use spdk_codegen::source::Source;
use spdk_codegen::{expand_file, generate, rules};

/// The report of a manifest, with paths that do not depend on the machine.
fn report(path: &Path) -> Result<Vec<&'static str>, String> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    // These two are about files, which only the macro reads.
    let is_file = name.starts_with("file") || name.starts_with("bindings");
    let report = match is_file {
        true => expand_file(path, &common::bindings(), &quote!(::spdk::__private)).map(drop),
        false => {
            let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
            generate(&Source::new(name, text), common::headers()).map(drop)
        }
    };
    let Err(report) = report else {
        return Err(format!("{name} is accepted"));
    };
    let folder = path.parent().map(|folder| format!("{}/", folder.display()));
    let text = report.to_string().replace(&folder.unwrap_or_default(), "");
    let mut wrong = Vec::new();
    common::compare(&path.with_extension("stderr"), &text, &mut wrong);
    match wrong.is_empty() {
        true => Ok(report
            .diagnostics()
            .iter()
            .map(|found| found.rule.id)
            .collect()),
        false => Err(format!("{}\n{text}", wrong.join("\n"))),
    }
}

#[test]
fn wrong_manifests_are_refused() {
    let mut wrong = Vec::new();
    for path in common::entries("reject") {
        if path.extension().is_none_or(|extension| extension != "ron") {
            continue;
        }
        let stem = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        let rule = stem.split("--").next().unwrap_or(stem).to_owned();
        match report(&path) {
            Ok(rules) if rules.iter().all(|found| *found == rule) => {}
            Ok(rules) => wrong.push(format!("{stem} breaks {rules:?}")),
            Err(message) => wrong.push(message),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_has_a_test() {
    let names: Vec<_> = common::entries("reject")
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "ron"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    for rule in rules::ALL {
        let has = |name: &String| name.split("--").next() == Some(rule.id);
        assert!(
            names.iter().any(has),
            "tests/reject/{}.ron is missing",
            rule.id
        );
    }
}

#[test]
fn all_mistakes_of_a_stage_are_told_at_once() {
    let text = r#"(spdk: "26.01", sections: [Section(header: "bdev.h", doc: "d", entries: [
        Function(c: "spdk_bdev_raed", rust: "read", doc: "d"),
        Function(c: "spdk_bdev_wirte", rust: "write", doc: "d"),
    ])])"#;
    let error =
        generate(&Source::new("api.ron", text), common::headers()).expect_err("both are wrong");
    assert_eq!(error.diagnostics().len(), 2);
    assert!(
        error.to_string().contains("did you mean `spdk_bdev_read`?"),
        "{error}"
    );
}

/// No input makes it panic: what a manifest is cut off at, or has one byte changed at, is refused.
#[test]
fn mutilated_manifests_do_not_panic() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/one_shot/api.ron");
    let text = fs::read_to_string(path).expect("it is checked in");
    for at in (0..text.len()).step_by(7) {
        let cut = text.get(..at).unwrap_or_default().to_owned();
        let mut changed = text.clone().into_bytes();
        changed[at] = b'(';
        for text in [Ok(cut), String::from_utf8(changed)].into_iter().flatten() {
            let _ = generate(&Source::new("api.ron", text), common::headers());
        }
    }
}
