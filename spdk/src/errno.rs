//! `errno` values with their names and texts.

use std::ffi::c_int;
use std::fmt;

/// An error number of the operating system, as SPDK reports them.
///
/// Always positive, as in `errno(3)`. It is a newtype and not an enum, because SPDK may return a
/// value that this crate has no name for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(i32);

macro_rules! errnos {
    ($($name:ident)*) => {
        impl Errno {
            $(
                #[doc = concat!("`", stringify!($name), "`")]
                pub const $name: Errno = Errno(libc::$name);
            )*

            /// The symbolic name, such as `ENOMEM`, for the values that SPDK uses.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $(libc::$name => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

errnos! {
    EPERM ENOENT EINTR EIO ENXIO E2BIG EBADF EAGAIN ENOMEM EACCES EFAULT EBUSY EEXIST ENODEV
    EINVAL ENOSPC EROFS ERANGE EDEADLK ENOSYS EILSEQ EMSGSIZE EPROTO EOVERFLOW ENOTSUP EADDRINUSE
    ENETDOWN ENETUNREACH ECONNABORTED ECONNRESET ENOBUFS ENOTCONN ESHUTDOWN ETIMEDOUT ECONNREFUSED
    EHOSTUNREACH EALREADY EINPROGRESS ESTALE ECANCELED ENOKEY ENODATA ENOTEMPTY ENAMETOOLONG
    EMFILE ENFILE
}

impl Errno {
    /// The error of a C return code, whatever its sign; `EIO` for 0, which names no error.
    pub fn from_code(code: c_int) -> Self {
        match code.checked_abs() {
            None | Some(0) => Errno::EIO,
            Some(code) => Errno(code),
        }
    }

    /// The positive number.
    pub fn code(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = std::io::Error::from_raw_os_error(self.0).to_string();
        let text = text.split(" (os error").next().unwrap_or(&text);
        match self.name() {
            Some(name) => write!(f, "{text} ({name})"),
            None => write!(f, "{text} (errno {})", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "Errno({})", self.0),
        }
    }
}

impl From<Errno> for std::io::Error {
    fn from(errno: Errno) -> Self {
        std::io::Error::from_raw_os_error(errno.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Errno;

    #[test]
    fn both_signs_mean_the_same_error() {
        assert_eq!(Errno::from_code(-12), Errno::ENOMEM);
        assert_eq!(Errno::from_code(12), Errno::ENOMEM);
    }

    #[test]
    fn codes_that_name_no_error_are_eio() {
        assert_eq!(Errno::from_code(0), Errno::EIO);
        assert_eq!(Errno::from_code(i32::MIN), Errno::EIO);
    }

    #[test]
    fn text_and_name_are_shown() {
        let text = Errno::ENOMEM.to_string();
        assert!(text.ends_with("(ENOMEM)"), "{text}");
        assert!(!text.contains("os error"), "{text}");
    }
}
