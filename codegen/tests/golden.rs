//! What is generated, construct by construct. `BLESS=1 cargo test` rewrites what is expected.

mod common;

use std::fs;

use spdk_codegen::generate;
use spdk_codegen::source::Source;

#[test]
fn the_output_is_as_expected() {
    let mut wrong = Vec::new();
    for case in common::entries("golden") {
        let text = fs::read_to_string(case.join("api.ron")).expect("each case has a manifest");
        let source = Source::new("api.ron", text);
        match generate(&source, common::headers()) {
            Ok(files) => {
                let sections = files.iter().filter(|file| file.name != "mod.rs");
                let all: Vec<_> = sections.map(|file| file.text.as_str()).collect();
                common::compare(&case.join("expected.rs"), &all.join("\n"), &mut wrong);
            }
            Err(report) => wrong.push(format!("{} is refused\n{report}", case.display())),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_wrapper_is_found_by_its_c_name() {
    let root = common::bindings();
    let root = root
        .ancestors()
        .nth(3)
        .expect("the bindings are in the repository");
    let text = fs::read_to_string(root.join("spdk-api.ron")).expect("the manifest is there");
    let source = Source::new("spdk-api.ron", text);
    let manifest =
        spdk_codegen::manifest::parse(source.name(), source.text()).expect("it is valid");
    let files = generate(&source, common::headers()).expect("it is valid");
    let all: String = files.iter().map(|file| file.text.as_str()).collect();
    for entry in manifest
        .sections
        .iter()
        .flat_map(|section| &section.entries)
    {
        if let spdk_codegen::manifest::Entry::Function(function) = entry {
            let alias = format!("#[doc(alias = \"{}\")]", function.c);
            assert!(all.contains(&alias), "{alias} is missing");
        }
    }
}

#[test]
fn what_is_unsafe_says_why() {
    for case in common::entries("golden") {
        let text = fs::read_to_string(case.join("expected.rs")).unwrap_or_default();
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        for (number, line) in lines.iter().enumerate() {
            if !line.contains("unsafe {") && !line.starts_with("unsafe impl") {
                continue;
            }
            let above = lines[..number].iter().rev().take(12);
            let told = above
                .take_while(|line| !line.is_empty())
                .any(|line| line.starts_with("// SAFETY:"));
            assert!(told, "{}, line {}: {line}", case.display(), number + 1);
        }
    }
}
