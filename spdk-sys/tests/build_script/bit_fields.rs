//! What is left of bindgen's methods.

use crate::accessors::lean;

const BINDINGS: &str = "\
#[inline]
pub fn new_bitfield_1() {}
impl flags {
    #[inline]
    #[allow(unnecessary_transmutes)]
    pub fn abort(&self) -> u8 {
        self.get()
    }
    #[inline]
    pub unsafe fn abort_raw(this: *const Self) -> u8 {
        get(this)
    }
    #[inline]
    #[allow(unnecessary_transmutes)]
    pub unsafe fn set_abort_raw(
        this: *mut Self,
        val: u8,
    ) {
        set(this, val)
    }
    #[inline]
    pub fn is_raw(&self) -> u8 {
        self.get()
    }
    #[inline]
    pub fn new_bitfield_1(abort: u8) -> unit {
        unit(abort)
    }
}
unsafe extern \"C\" {
    pub fn cmd_raw(this: *const flags);
}
";

const LEAN: &str = "\
#[inline]
pub fn new_bitfield_1() {}
impl flags {
    #[inline]
    #[allow(unnecessary_transmutes)]
    pub fn abort(&self) -> u8 {
        self.get()
    }
    #[inline]
    pub fn is_raw(&self) -> u8 {
        self.get()
    }
}
unsafe extern \"C\" {
    pub fn cmd_raw(this: *const flags);
}
";

#[test]
fn getters_and_setters_are_left() {
    assert_eq!(lean(BINDINGS), LEAN);
    assert_eq!(lean(LEAN), LEAN);
    assert_eq!(lean(""), "");
}
