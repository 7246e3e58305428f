//! What `spdk::api!` makes of a C library that is not SPDK.

mod common;

use std::path::Path;

use quote::quote;
use spdk_codegen::expand_file;

#[test]
fn a_library_of_ones_own_is_wrapped() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/downstream");
    let rt = quote!(::spdk::__private);
    let expansion = expand_file(&folder.join("vault.ron"), &common::bindings(), &rt)
        .unwrap_or_else(|report| panic!("{report}"));
    let files = [folder.join("vault.ron"), folder.join("bindings.rs")];
    assert_eq!(expansion.files, files, "a change of either expands it anew");
    let file = syn::parse2(expansion.tokens).expect("wrappers are Rust");
    let mut wrong = Vec::new();
    let text = prettyplease::unparse(&file);
    common::compare(&folder.join("expected.rs"), &text, &mut wrong);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_function_that_the_installed_spdk_lacks_is_left_out() {
    let text = r#"(spdk: "26.01", sections: [Section(header: "bdev.h", doc: "d", entries: [
        Function(c: "spdk_of_the_future", rust: "future", since: "26.05", doc: "d"),
        Function(c: "spdk_thread_get_count", rust: "count", thread: Any, doc: "d"),
    ])])"#;
    let source = spdk_codegen::source::Source::new("api.ron", text);
    let tokens = spdk_codegen::expand(&source, common::headers(), &quote!(::spdk::__private))
        .unwrap_or_else(|report| panic!("{report}"));
    let text = tokens.to_string();
    assert!(
        text.contains("fn count") && !text.contains("fn future"),
        "{text}"
    );
}

#[test]
fn the_module_of_a_section_exists_when_its_cfg_says_so() {
    let text = r#"(spdk: "26.01", sections: [
        Section(header: "nvme.h", cfg: "feature = \"fast\"", doc: "d", entries: []),
    ])"#;
    let source = spdk_codegen::source::Source::new("api.ron", text);
    let files = spdk_codegen::generate(&source, common::headers());
    let files = files.unwrap_or_else(|report| panic!("{report}"));
    let index = files.iter().find(|file| file.name == "mod.rs");
    let index = &index.expect("it is always made").text;
    let cfg = "#[cfg(feature = \"fast\")]\n#[rustfmt::skip]\npub mod nvme;";
    assert!(index.contains(cfg), "{index}");

    let tokens = spdk_codegen::expand(&source, common::headers(), &quote!(::spdk::__private))
        .unwrap_or_else(|report| panic!("{report}"));
    let file: syn::File = syn::parse2(tokens).expect("wrappers are Rust");
    let text = prettyplease::unparse(&file);
    assert_eq!(
        text.matches("#[cfg(feature = \"fast\")]").count(),
        2,
        "{text}"
    );
}

#[test]
fn what_shares_a_length_is_compared_or_refused() {
    let headers = spdk_codegen::headers::Headers::parse(
        "unsafe extern \"C\" {
            pub fn shelf_compare(a: *const ::std::os::raw::c_void, b: *const ::std::os::raw::c_void, n: u16) -> ::std::os::raw::c_int;
        }",
    );
    let headers = headers.expect("they are bindings");
    let expand = |a: &str, b: &str| {
        let text = format!(
            r#"(spdk: "26.01", sections: [Section(header: "shelf.h", doc: "d", entries: [
                Function(c: "shelf_compare", rust: "compare", returns: Errno, thread: Any, doc: "d",
                    params: {{ "a": {a}(len: "n"), "b": {b}(len: "n") }}),
            ])])"#
        );
        let source = spdk_codegen::source::Source::new("api.ron", text);
        let rt = quote!(::spdk::__private);
        spdk_codegen::expand(&source, &headers, &rt).map(|tokens| tokens.to_string())
    };
    let text = expand("Drain", "Drain").unwrap_or_else(|report| panic!("{report}"));
    for buffer in ["a", "b"] {
        let check = format!("rt :: check_len ({buffer} . len () as u64 , n as u64 , 1)");
        assert!(text.contains(&check), "{buffer}: {text}");
    }
    for roles in [("Bytes", "Bytes"), ("Drain", "Bytes"), ("Bytes", "Drain")] {
        let report = expand(roles.0, roles.1).expect_err("C would read beyond the shorter one");
        let text = report.to_string();
        assert!(
            text.contains("error[buffer-length]: `n` of"),
            "{roles:?}: {text}"
        );
    }
}

/// Fails if a handle keeps another one only where C names its type, and not an alias of it.
#[test]
fn a_handle_by_another_name_keeps_its_parent() {
    let headers = spdk_codegen::headers::Headers::parse(
        "pub struct shelf { _unused: [u8; 0] }
        pub struct book { _unused: [u8; 0] }
        pub type book_t = book;
        unsafe extern \"C\" {
            pub fn shelf_free(shelf: *mut shelf);
            pub fn shelf_book(shelf: *mut shelf) -> *mut book_t;
            pub fn book_free(book: *mut book);
        }",
    );
    let headers = headers.expect("they are bindings");
    let text = r#"(spdk: "26.01", sections: [Section(header: "shelf.h", doc: "d", entries: [
        Handle(c: "shelf", rust: "Shelf", release: Call("shelf_free"), doc: "d"),
        Handle(c: "book", rust: "Book", release: Call("book_free"), keeps: "shelf", doc: "d"),
        Function(c: "shelf_book", rust: "Shelf::book", returns: Handle, doc: "d"),
    ])])"#;
    let source = spdk_codegen::source::Source::new("api.ron", text.to_owned());
    let rt = quote!(::spdk::__private);
    let tokens = spdk_codegen::expand(&source, &headers, &rt);
    let text = tokens.map(|tokens| tokens.to_string());
    let text = text.unwrap_or_else(|report| panic!("{report}"));
    assert!(text.contains("self . handle () . hold (caller)"), "{text}");
}
