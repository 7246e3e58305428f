// What bindgen makes of the header of a C library with callbacks in SPDK's style.
#[repr(C)]
pub struct vault {
    _unused: [u8; 0],
}
pub type vault_done = ::std::option::Option<
    unsafe extern "C" fn(ctx: *mut ::std::os::raw::c_void, rc: ::std::os::raw::c_int),
>;
pub type vault_opened = ::std::option::Option<
    unsafe extern "C" fn(
        ctx: *mut ::std::os::raw::c_void,
        vault: *mut vault,
        rc: ::std::os::raw::c_int,
    ),
>;
unsafe extern "C" {
    pub fn vault_open(
        path: *const ::std::os::raw::c_char,
        cb: vault_opened,
        ctx: *mut ::std::os::raw::c_void,
    );
    pub fn vault_close(v: *mut vault);
    pub fn vault_put(
        v: *mut vault,
        key: *const ::std::os::raw::c_char,
        value: *const ::std::os::raw::c_void,
        len: u32,
        cb: vault_done,
        ctx: *mut ::std::os::raw::c_void,
    ) -> ::std::os::raw::c_int;
}
