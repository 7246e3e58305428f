// What bindgen would make of the header of `ffi`.
pub type far_done = ::std::option::Option<unsafe extern "C" fn(ctx: *mut ::std::os::raw::c_void)>;
unsafe extern "C" {
    pub fn far_call(
        cb: far_done,
        ctx: *mut ::std::os::raw::c_void,
    ) -> ::std::os::raw::c_int;
}
