//! Links a program against the SPDK that this crate found, with nothing but what the build script said.

// A test of raw bindings calls raw bindings.
#![allow(unsafe_code)]

use std::collections::BTreeSet;
use std::ffi::CStr;

use spdk_sys as sys;

/// Fails when archives are not linked whole: transports register themselves in constructors.
#[test]
fn nvme_transports_are_registered() {
    for name in [c"TCP", c"PCIE"] {
        // SAFETY: the name is a string that outlives the call, which reads a list that constructors filled.
        let available = unsafe { sys::spdk_nvme_transport_available_by_name(name.as_ptr()) };
        assert!(available, "{name:?} is not registered");
    }
}

/// Fails when the bdev modules are not linked whole: nobody refers to them by name.
#[test]
fn bdev_modules_are_registered() {
    let names = [
        "malloc", "null", "error", "delay", "passthru", "split", "raid", "lvol",
    ];
    let linked: BTreeSet<&str> = names
        .into_iter()
        .filter(|name| has_bdev_module(name))
        .collect();
    let wanted: BTreeSet<&str> = names.into_iter().collect();
    assert_eq!(linked, wanted);
}

fn has_bdev_module(name: &str) -> bool {
    let name = std::ffi::CString::new(name).expect("a literal without NUL");
    // SAFETY: the name is a string that outlives the call, which reads a list that constructors filled.
    !unsafe { sys::spdk_bdev_module_list_find(name.as_ptr()) }.is_null()
}

/// Fails when the version is not the headers' own.
#[test]
fn the_cfg_names_the_release_of_the_headers() {
    let release = format!("{}.{:02}", sys::SPDK_VERSION_MAJOR, sys::SPDK_VERSION_MINOR);
    let known = ["24.05", "24.09", "25.05", "25.09", "26.01", "26.05"];
    let mut set = known.iter().filter(|&&known| match known {
        "24.05" => cfg!(spdk_version = "24.05"),
        "24.09" => cfg!(spdk_version = "24.09"),
        "25.05" => cfg!(spdk_version = "25.05"),
        "25.09" => cfg!(spdk_version = "25.09"),
        "26.01" => cfg!(spdk_version = "26.01"),
        _ => cfg!(spdk_version = "26.05"),
    });
    assert_eq!(set.next(), Some(&release.as_str()));
    assert_eq!(set.next(), None);
    const { assert!(cfg!(spdk_since_24_05)) };
}

/// Fails when a function is linked that the `cfg` says is absent, or the other way round.
#[test]
fn cfgs_of_functions_match_the_headers() {
    #[cfg(spdk_has_spdk_bdev_open_ext_v2)]
    let _ = sys::spdk_bdev_open_ext_v2;
    #[cfg(spdk_has_spdk_bdev_nvme_nssr)]
    let _ = sys::spdk_bdev_nvme_nssr;
    assert_eq!(cfg!(spdk_has_spdk_bdev_open_ext_v2), cfg!(spdk_since_25_05));
}

/// Fails when the inline functions were not compiled, or were compiled against other headers.
#[test]
fn inline_functions_can_be_called() {
    // SAFETY: it computes from its argument alone.
    let (fabrics, local) = unsafe {
        (
            sys::spdk_nvme_trtype_is_fabrics(sys::SPDK_NVME_TRANSPORT_TCP),
            sys::spdk_nvme_trtype_is_fabrics(sys::SPDK_NVME_TRANSPORT_PCIE),
        )
    };
    assert!(fabrics && !local);
}

/// Fails when bindgen's own reading of these macros is taken: a signed 32-bit -1.
#[test]
fn macros_with_casts_have_their_type_in_c() {
    let invalid: u64 = sys::SPDK_BLOBID_INVALID;
    assert_eq!(invalid, u64::MAX);
    assert_eq!(sys::SPDK_BLOBID_EXTERNAL_SNAPSHOT, u64::MAX - 1);
    assert_eq!(sys::SPDK_NVME_GLOBAL_NS_TAG, u32::MAX);
    assert_eq!(sys::SPDK_NVME_IO_FLAGS_FUSE_SECOND, 2);
}

/// Fails when the status bits of a completion are read at another place than C writes them.
#[test]
fn status_bits_are_where_c_has_them() {
    let mut cpl = sys::spdk_nvme_cpl::default();
    // SAFETY: the field is a union of a bitfield and the 16 bits that hold it; both are plain data.
    let status = unsafe {
        cpl.__bindgen_anon_1.status_raw = 0b1000_0101_0000_0010;
        cpl.__bindgen_anon_1.status
    };
    assert_eq!(
        (status.p(), status.sc(), status.sct(), status.dnr()),
        (0, 0x81, 2, 1)
    );
}

/// Fails when SPDK's text for an opcode cannot be read through the bindings.
#[test]
fn strings_come_back() {
    let cpl = sys::spdk_nvme_cpl::default();
    // SAFETY: the argument is a completion, and the result a literal of SPDK's.
    let text = unsafe {
        let status = cpl.__bindgen_anon_1.status;
        CStr::from_ptr(sys::spdk_nvme_cpl_get_status_string(&status))
    };
    assert_eq!(text, c"SUCCESS");
}
