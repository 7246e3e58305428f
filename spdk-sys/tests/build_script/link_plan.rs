use std::path::{Path, PathBuf};

use crate::find::{Found, How, Version};
use crate::installation::{folder, put};
use crate::link::{Kind, Plan, plan};

fn installation(root: &Path) -> Found {
    let pc = |name: &str, text: &str| {
        put(root, &format!("lib/pkgconfig/{name}.pc"), text);
    };
    pc(
        "spdk_event",
        "Requires: spdk_log\nLibs: -L/gone/lib -lspdk_event\n",
    );
    pc("spdk_log", "Libs: -L/gone/lib -lspdk_log\n");
    pc(
        "spdk_event_nvmf",
        "Requires: spdk_event\nLibs: -lspdk_event_nvmf\n",
    );
    pc("spdk_ut_mock", "Libs: -lspdk_ut_mock\n");
    pc(
        "spdk_env_dpdk",
        "Requires: spdk_dpdklibs\nLibs: -lspdk_env_dpdk\n",
    );
    pc("spdk_dpdklibs", "Libs: -lrte_eal\n");
    pc(
        "spdk_syslibs",
        "Libs: -luring /gone/isa-l/libisal.a /gone/libisal_crypto.a\n",
    );
    for lib in [
        "spdk_event",
        "spdk_log",
        "spdk_event_nvmf",
        "spdk_ut_mock",
        "rte_eal",
        "isal",
    ] {
        put(root, &format!("lib/lib{lib}.a"), "");
    }
    put(root, "lib/librte_eal.so", "");
    put(root, "lib/libspdk_env_dpdk.so", "");
    Found {
        prefix: root.to_owned(),
        include: root.join("include"),
        lib: root.join("lib"),
        pkgconfig: vec![root.join("lib/pkgconfig")],
        version: Version::new(26, 1),
        how: How::SpdkDir,
        passed_over: Vec::new(),
    }
}

fn kind(plan: &Plan, name: &str) -> Option<Kind> {
    plan.libs
        .iter()
        .find(|lib| lib.name == name)
        .map(|lib| lib.kind)
}

#[test]
fn libraries_are_linked_by_what_they_are() {
    let dir = folder();
    let plan = plan(&installation(dir.path()), |_| false).expect("a plan");

    // Registers itself: whole. Is installed both ways: the archive. Exists only as a shared library: that one.
    assert_eq!(kind(&plan, "spdk_event"), Some(Kind::Whole));
    assert_eq!(kind(&plan, "spdk_log"), Some(Kind::Whole));
    assert_eq!(kind(&plan, "rte_eal"), Some(Kind::Whole));
    assert_eq!(kind(&plan, "spdk_env_dpdk"), Some(Kind::Loaded));
    // A subsystem that every application would start, and a library that replaces functions in tests.
    assert_eq!(kind(&plan, "spdk_event_nvmf"), Some(Kind::Archive));
    assert_eq!(kind(&plan, "spdk_ut_mock"), None);
    assert_eq!(kind(&plan, "uring"), Some(Kind::System));
}

#[test]
fn a_build_tree_that_is_gone_does_not_matter() {
    let dir = folder();
    let found = installation(dir.path());
    let plan = plan(&found, |_| false).expect("a plan");
    assert_eq!(kind(&plan, "isal"), Some(Kind::Archive));
    assert_eq!(plan.folders, [found.lib]);
    // Nowhere to be found, but whoever needs it gets told by the linker.
    assert!(plan.missing.contains("/gone/libisal_crypto.a"));
}

#[test]
fn a_build_tree_that_is_there_is_used() {
    let dir = folder();
    let found = installation(dir.path());
    let built = put(dir.path(), "tree/libisal_crypto.a", "");
    let text = format!("Libs: {}\n", built.display());
    put(dir.path(), "lib/pkgconfig/spdk_syslibs.pc", &text);
    let plan = plan(&found, |_| false).expect("a plan");
    assert_eq!(kind(&plan, "isal_crypto"), Some(Kind::Archive));
    let folders: Vec<PathBuf> = vec![found.lib, dir.path().join("tree")];
    assert_eq!(plan.folders, folders);
}

#[test]
fn a_feature_adds_its_subsystem_or_says_that_it_cannot() {
    let dir = folder();
    let found = installation(dir.path());
    let with = |wanted: &'static str| plan(&found, move |feature| feature == wanted);
    let plan = with("subsystem-nvmf").expect("a plan");
    assert_eq!(kind(&plan, "spdk_event_nvmf"), Some(Kind::Whole));
    let failure = with("subsystem-iscsi").expect_err("no such subsystem");
    assert!(
        failure.to_string().contains("spdk_event_iscsi"),
        "{failure}"
    );
}

/// Fails if the subsystem comes without the module that makes its devices.
#[test]
fn a_feature_adds_the_modules_of_its_subsystem() {
    let dir = folder();
    let found = installation(dir.path());
    let with_fsdev = || plan(&found, |feature| feature == "subsystem-fsdev").expect("a plan");
    for name in ["spdk_event_fsdev", "spdk_fsdev_aio"] {
        put(dir.path(), &format!("lib/lib{name}.a"), "");
        let text = format!("Libs: -l{name}\n");
        put(dir.path(), &format!("lib/pkgconfig/{name}.pc"), &text);
        assert_eq!(kind(&with_fsdev(), name), Some(Kind::Whole), "{name}");
    }
    let without = plan(&found, |_| false).expect("a plan");
    assert_eq!(kind(&without, "spdk_fsdev_aio"), Some(Kind::Archive));
}

#[test]
fn dependents_come_first() {
    let dir = folder();
    let plan = plan(&installation(dir.path()), |_| false).expect("a plan");
    let place = |name: &str| plan.libs.iter().position(|lib| lib.name == name);
    assert!(place("spdk_event_nvmf") < place("spdk_event"));
    assert!(place("spdk_event") < place("spdk_log"));
    assert!(place("spdk_log") < place("isal"));
}
