use crate::macros::Macros;

fn hard(text: &str) -> Vec<String> {
    let mut macros = Macros::default();
    macros.read(text);
    macros.hard().map(str::to_owned).collect()
}

#[test]
fn only_what_bindgen_cannot_evaluate_is_asked() {
    let text = r#"
        #define PLAIN 4 /* a number */
        #define SHIFTED (PLAIN << 2)
        #define TEXT "text"
        #define CAST (uint64_t)-1
        enum color { RED = F(1, 2), GREEN, };
        #define FROM_ENUM (GREEN << \
            1)
        #define TWICE(x) ((x) * PLAIN)
        #define CALLED TWICE(3)
        #define STATEMENT do { } while (0)
        #define VARIABLE some_variable
        #define LOOP LOOP
        #define EMPTY
        // #define COMMENTED (int)1
    "#;
    assert_eq!(hard(text), ["CALLED", "CAST", "FROM_ENUM"]);
}

#[test]
fn answers_become_constants_with_the_macros_names() {
    let bindings = "\
pub const KNOWN: u32 = 1;
pub type spdk_sys_type_BLOBID = u64;
pub const spdk_sys_value_BLOBID: i64 = -1;
pub type spdk_sys_type_FLAG = ::std::os::raw::c_int;
pub const spdk_sys_value_FLAG: i64 = 2;
pub type spdk_sys_type_ERROR = ::std::os::raw::c_int;
pub const spdk_sys_value_ERROR: i64 = -2;
pub type spdk_sys_type_KNOWN = ::std::os::raw::c_int;
pub const spdk_sys_value_KNOWN: i64 = 1;
";
    assert_eq!(
        Macros::settle(bindings),
        "\
pub const KNOWN: u32 = 1;
pub const BLOBID: u64 = 18446744073709551615;
pub const ERROR: i32 = -2;
pub const FLAG: u32 = 2;
"
    );
}
