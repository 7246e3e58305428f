use std::path::Path;

use crate::installation::{folder, put};
use crate::pc::{Closure, Flag, parse};

#[test]
fn a_file_of_spdk_is_read() {
    let package = parse(
        "Name: spdk_syslibs\nRequires: spdk_log, spdk_util >= 1.0 spdk_json\n\
         Libs: -L/p/lib -luring /b/libisal.a -pthread -Wl,--as-needed \\\n -l:librte_pci.a\nLibs.private: \n",
        Path::new("/pc"),
    );
    assert_eq!(package.requires, ["spdk_log", "spdk_util", "spdk_json"]);
    assert_eq!(
        package.libs,
        [
            Flag::Folder("/p/lib".into()),
            Flag::Lib("uring".into()),
            Flag::Archive("/b/libisal.a".into()),
            Flag::Lib("pthread".into()),
            Flag::Lib("rte_pci".into()),
        ]
    );
}

#[test]
fn variables_are_replaced() {
    let package = parse(
        "prefix=${pcfiledir}/../..\nlibdir = ${prefix}/lib # where\nLibs: -L${libdir} -l${unknown}x\n",
        Path::new("/p/lib/pkgconfig"),
    );
    let expected = [
        Flag::Folder("/p/lib/pkgconfig/../../lib".into()),
        Flag::Lib("x".into()),
    ];
    assert_eq!(package.libs, expected);
}

#[test]
fn dependents_come_before_what_they_need() {
    let dir = folder();
    put(dir.path(), "app.pc", "Requires: bdev log\n");
    put(dir.path(), "bdev.pc", "Requires: log gone\n");
    put(dir.path(), "log.pc", "Requires: app\n");

    let mut closure = Closure::default();
    closure.add(["app", "never_installed"], &[dir.path().to_owned()]);
    let names: Vec<_> = closure
        .packages
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["app", "bdev", "log"]);
    assert_eq!(closure.missing.into_iter().collect::<Vec<_>>(), ["gone"]);
}
