//! The examples of the language's reference are manifests.

use std::fs;
use std::path::Path;

use spdk_codegen::manifest::parse;

/// The blocks of RON in a text, without the marks of a doc comment.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<String> = None;
    for line in text.lines() {
        let line = line.trim_start().trim_start_matches("///");
        match (line.trim(), &mut block) {
            ("```ron", _) => block = Some(String::new()),
            ("```", Some(done)) => {
                blocks.push(std::mem::take(done));
                block = None;
            }
            (_, Some(open)) => {
                open.push_str(line);
                open.push('\n');
            }
            _ => {}
        }
    }
    blocks
}

#[test]
fn the_examples_of_entries_can_be_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/manifest");
    let mut found = 0;
    for file in fs::read_dir(folder).expect("it is the source") {
        let path = file.expect("it can be listed").path();
        let text = fs::read_to_string(&path).expect("it is UTF-8");
        for block in blocks(&text) {
            found += 1;
            // Of a whole manifest, or of a section.
            let manifest = match block.trim_start().starts_with("types:") {
                true => format!("(spdk: \"26.01\", {block} sections: [])"),
                false => format!(
                    "(spdk: \"26.01\", sections: [Section(header: \"x.h\", doc: \"d\", entries: [\n{block}\n])])"
                ),
            };
            let read = parse("example.ron", &manifest);
            assert!(read.is_ok(), "{}\n{}", path.display(), read.unwrap_err());
        }
    }
    assert!(found >= 8, "only {found} examples");
}

#[test]
fn the_example_of_the_macro_can_be_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spdk/src/api.md");
    // A published package does not have its neighbour.
    let Ok(text) = fs::read_to_string(path) else {
        return;
    };
    for block in blocks(&text) {
        let read = parse("api.md", &block);
        assert!(read.is_ok(), "{}", read.unwrap_err());
    }
}
