//! What a call has to fail with.

use spdk::{Errno, Error, ErrorKind, Result};

/// The kind of a result's error, if it is one.
pub fn kind<T>(result: &Result<T>) -> Option<&ErrorKind> {
    result.as_ref().err().map(Error::kind)
}

/// Fails unless a result is an error of this kind, such as `InvalidArgument`.
#[macro_export]
macro_rules! assert_kind {
    ($result:expr, $kind:ident) => {{
        let result = &$result;
        let is_so = matches!($crate::kind(result), Some(spdk::ErrorKind::$kind { .. }));
        assert!(is_so, "{result:?}");
    }};
}

/// Fails unless a result is an error with this errno.
///
/// # Panics
///
/// So it fails.
#[track_caller]
pub fn assert_errno<T>(result: Result<T>, errno: Errno) {
    match result {
        Ok(_) => panic!("it went well instead of {errno}"),
        Err(error) => assert_eq!(error.errno(), Some(errno), "{error}"),
    }
}
