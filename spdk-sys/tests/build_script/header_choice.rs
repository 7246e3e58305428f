use crate::headers::{Headers, choose};
use crate::installation::{folder, put};

fn left_out(headers: &Headers) -> Vec<String> {
    headers.left_out.iter().map(ToString::to_string).collect()
}

#[test]
fn a_header_is_left_out_when_what_it_includes_is_not_there() {
    let dir = folder();
    put(
        dir.path(),
        "spdk/stdinc.h",
        "#ifndef G\n#define G\n#include <stdio.h>\n#ifdef __FreeBSD__\n#include <sys/none.h>\n#endif\n#endif\n",
    );
    put(dir.path(), "spdk/bdev.h", "#include \"spdk/stdinc.h\"\n");
    put(
        dir.path(),
        "spdk/scsi.h",
        "#include \"spdk/bdev.h\"\n#include \"spdk_internal/trace_defs.h\"\n",
    );
    put(
        dir.path(),
        "spdk/user.h",
        "#ifndef G\n#define G\n#  include \"spdk/scsi.h\"\n#endif\n",
    );
    put(
        dir.path(),
        "spdk/module/bdev/nvme.h",
        "#include <openssl/evp.h>\n",
    );
    put(dir.path(), "system/openssl/evp.h", "");
    put(dir.path(), "system/stdio.h", "");

    let headers = choose(dir.path(), &[dir.path().join("system")]).expect("headers");
    assert_eq!(
        headers.bound,
        ["spdk/bdev.h", "spdk/module/bdev/nvme.h", "spdk/stdinc.h"]
    );
    assert_eq!(
        left_out(&headers),
        [
            "spdk/scsi.h: includes spdk_internal/trace_defs.h, which is not installed",
            "spdk/user.h: includes spdk_internal/trace_defs.h, which is not installed",
        ]
    );
}

#[test]
fn of_two_headers_that_conflict_one_is_bound() {
    let dir = folder();
    put(dir.path(), "spdk/vfio_user_spec.h", "");
    put(dir.path(), "spdk/vfu_target.h", "");
    let headers = choose(dir.path(), &[]).expect("headers");
    assert_eq!(headers.bound, ["spdk/vfio_user_spec.h"]);
    let expected = ["spdk/vfu_target.h: declares the same names as spdk/vfio_user_spec.h"];
    assert_eq!(left_out(&headers), expected);
}

#[test]
fn what_libclang_refuses_costs_only_those_who_include_it() {
    let dir = folder();
    put(dir.path(), "spdk/bdev.h", "");
    put(
        dir.path(),
        "spdk/new.h",
        "#if 1\n#include <other.h>\n#endif\n",
    );
    put(dir.path(), "spdk/newer.h", "#include \"spdk/new.h\"\n");
    let mut headers = choose(dir.path(), &[]).expect("headers");

    let root = dir.path().display();
    let errors = format!(
        "clang diagnosed error: {root}/spdk/new.h:1:10: fatal error: 'other.h' file not found\n"
    );
    assert!(headers.leave_out_refused(dir.path(), &errors));
    assert_eq!(headers.bound, ["spdk/bdev.h"]);
    assert_eq!(headers.left_out.len(), 2);

    let errors = format!("{root}/spdk/bdev.h:1:1: error: unknown type name 'x'\n");
    assert!(!headers.leave_out_refused(dir.path(), &errors));
    assert!(!headers.leave_out_refused(dir.path(), "error: something else\n"));
}
