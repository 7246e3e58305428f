use crate::cfgs::derive;
use crate::find::Version;

const BINDINGS: &str = "
unsafe extern \"C\" {
    pub fn spdk_bdev_open_ext_v2(
        name: *const ::std::os::raw::c_char,
    ) -> ::std::os::raw::c_int;
}
unsafe extern \"C\" {
    pub fn spdk_bdev_set_qos_rate_limits(
        bdev: *mut spdk_bdev,
        limits: *mut u64,
        cb_fn: ::std::option::Option<
            unsafe extern \"C\" fn(cb_arg: *mut ::std::os::raw::c_void, status: ::std::os::raw::c_int),
        >,
        cb_arg: *mut ::std::os::raw::c_void,
    );
}
";

#[test]
fn the_release_and_all_earlier_ones_are_set() {
    let cfgs = derive(Version::new(25, 5), "");
    assert_eq!(
        cfgs.set,
        [
            "spdk_version=\"25.05\"",
            "spdk_since_24_05",
            "spdk_since_24_09",
            "spdk_since_25_05"
        ]
    );
    assert!(cfgs.declared.contains(&"cfg(spdk_since_26_05)".to_owned()));
}

#[test]
fn functions_are_read_off_the_bindings() {
    let cfgs = derive(Version::new(25, 5), BINDINGS);
    let set = |cfg: &str| cfgs.set.iter().any(|set| set == cfg);
    assert!(set("spdk_has_spdk_bdev_open_ext_v2"));
    assert!(!set("spdk_has_spdk_bdev_nvme_nssr"));
    assert!(set("spdk_args_spdk_bdev_set_qos_rate_limits=\"4\""));
    // Unknown names are declared all the same, so that code which asks for them does not warn.
    assert!(
        cfgs.declared
            .contains(&"cfg(spdk_has_spdk_bdev_nvme_nssr)".to_owned())
    );
}
