use std::path::Path;

use crate::find::{Found, How, NotFound, PkgConfigPath, Search, Unusable, Version, examine};
use crate::installation::{folder, prefix, put, version_h};

fn search(dir: &Path) -> Search {
    Search {
        spdk_dir: None,
        pkg_config: PkgConfigPath {
            dirs: vec![dir.join("pc/lib/pkgconfig")],
            problem: None,
        },
        well_known: vec![dir.join("known")],
        cache: vec![dir.join("cache")],
    }
}

fn found(search: &Search) -> Found {
    search.run().expect("an SPDK")
}

fn page(search: &Search) -> String {
    let not_found: NotFound = search.run().expect_err("no SPDK");
    not_found.to_string()
}

#[test]
fn each_step_comes_before_the_next() {
    let dir = folder();
    let mut search = search(dir.path());

    prefix(&dir.path().join("cache"), 26, 1);
    assert_eq!(found(&search).how, How::Cache);
    prefix(&dir.path().join("known"), 26, 1);
    assert_eq!(found(&search).how, How::WellKnown);
    prefix(&dir.path().join("pc"), 26, 1);
    assert_eq!(found(&search).how, How::PkgConfig);
    prefix(&dir.path().join("own"), 24, 5);
    search.spdk_dir = Some(dir.path().join("own"));
    let own = found(&search);
    assert_eq!((own.how, own.version), (How::SpdkDir, Version::new(24, 5)));
    assert_eq!(own.lib, dir.path().join("own/lib"));
}

#[test]
fn an_spdk_dir_that_cannot_be_used_ends_the_search() {
    let dir = folder();
    prefix(&dir.path().join("cache"), 26, 1);
    let mut search = search(dir.path());
    search.spdk_dir = Some(dir.path().join("nothing"));

    let page = page(&search);
    assert!(
        page.starts_with("SPDK_DIR is set, but cannot be used."),
        "{page}"
    );
    assert!(page.contains("no such folder"), "{page}");
}

#[test]
fn a_relative_spdk_dir_is_refused() {
    assert_eq!(examine(Path::new("spdk")).err(), Some(Unusable::Relative));
}

#[test]
fn a_release_out_of_range_is_passed_over_and_named() {
    let dir = folder();
    let search = search(dir.path());
    prefix(&dir.path().join("known"), 23, 9);
    let text = page(&search);
    assert!(
        text.contains("has SPDK 23.09; supported are 24.05 to 26.05"),
        "{text}"
    );

    prefix(&dir.path().join("cache"), 26, 5);
    let found = found(&search);
    assert_eq!(found.how, How::Cache);
    let passed_over: Vec<_> = found.passed_over.into_iter().map(|t| t.why).collect();
    assert_eq!(passed_over, [Unusable::OutOfRange(Version::new(23, 9))]);
}

#[test]
fn the_page_says_where_it_looked_and_what_to_do() {
    let dir = folder();
    let mut search = search(dir.path());
    search.pkg_config.problem = Some("`pkg-config` cannot be run".into());
    let page = page(&search);
    for part in [
        "not set",
        "pkg-config` cannot be run",
        "/known: no such folder",
        "/cache: no such folder",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    for part in ["cargo xtask setup", "export SPDK_DIR=", "24.05 to 26.05"] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
}

#[test]
fn a_source_tree_counts_once_it_is_built() {
    let dir = folder();
    let tree = dir.path();
    put(tree, "include/spdk/version.h", &version_h(25, 9));
    put(tree, "configure", "");
    put(tree, "lib/bdev/bdev.c", "");
    assert_eq!(
        examine(tree).err(),
        Some(Unusable::NotBuilt(Version::new(25, 9)))
    );

    put(tree, "build/lib/libspdk_event.a", "");
    put(tree, "build/lib/pkgconfig/spdk_event.pc", "");
    put(tree, "dpdk/build/lib/pkgconfig/libdpdk.pc", "");
    for root in [tree.to_owned(), tree.join("build")] {
        let layout = examine(&root).expect("a built tree");
        assert_eq!(layout.prefix, tree);
        assert_eq!(layout.include, tree.join("include"));
        assert_eq!(layout.pkgconfig.len(), 2);
    }
}

#[test]
fn half_an_installation_says_which_half() {
    let dir = folder();
    let root = dir.path();
    assert_eq!(examine(root).err(), Some(Unusable::Absent));
    put(
        root,
        "include/spdk/version.h",
        "#define SPDK_VERSION_MAJOR x\n",
    );
    assert!(matches!(examine(root), Err(Unusable::BadVersionHeader(_))));
    put(root, "include/spdk/version.h", &version_h(26, 1));
    assert!(matches!(examine(root), Err(Unusable::NoLibraries(_))));
    put(root, "lib64/libspdk_event.so", "");
    assert!(matches!(examine(root), Err(Unusable::NoPkgConfig(..))));
}

#[test]
fn versions_read_like_releases() {
    let text = version_h(24, 5).replace("PATCH\t0", "PATCH\t2 /* fixes */");
    let version = Version::parse_header(&text).expect("a version");
    assert_eq!(version.to_string(), "24.05.2");
    assert_eq!(version.release().to_string(), "24.05");
    assert!(version.is_supported());
    assert!(!Version::new(26, 9).is_supported());
}
