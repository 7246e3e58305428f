//! What SPDK logs while it starts: the reason, when it does not.
#![allow(unsafe_code)] // Formats the arguments of a C log callback.

use std::ffi::{CStr, c_char, c_int};
use std::sync::Mutex;

use crate::sys;

/// The error messages since [`capture`], the oldest first.
static ERRORS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// How many messages are kept: the first ones tell the cause.
const KEPT: usize = 8;

/// The log callback that keeps errors and passes everything on to `tracing`.
///
/// SPDK gets its own log back with [`release`] once it runs.
pub(crate) fn capture() -> sys::spdk_log_cb {
    errors().clear();
    let callback: sys::spdk_log_cb = Some(on_log);
    // SAFETY: sets the callback, which is a function and lives for ever.
    unsafe { sys::spdk_log_open(callback) };
    callback
}

/// SPDK logs by itself again.
pub(crate) fn release() {
    // SAFETY: as above; none means SPDK's own log.
    unsafe { sys::spdk_log_open(None) };
}

/// What went wrong, in SPDK's words.
pub(crate) fn reason(otherwise: &str) -> String {
    let errors = std::mem::take(&mut *errors());
    if errors.is_empty() {
        otherwise.to_owned()
    } else {
        errors.join("; ")
    }
}

fn errors() -> std::sync::MutexGuard<'static, Vec<String>> {
    ERRORS.lock().unwrap_or_else(|e| e.into_inner())
}

unsafe extern "C" {
    fn vsnprintf(
        text: *mut c_char,
        size: usize,
        format: *const c_char,
        args: *mut sys::__va_list_tag,
    ) -> c_int;
}

unsafe extern "C" fn on_log(
    level: c_int,
    _file: *const c_char,
    _line: c_int,
    function: *const c_char,
    format: *const c_char,
    args: *mut sys::__va_list_tag,
) {
    crate::panic::guard("spdk_log_cb", || {
        let mut text = [0u8; 1024];
        // SAFETY: `format` and `args` belong together, as SPDK passes them; the length is given.
        // `function` is null or the name of a C function.
        let (text, function) = unsafe {
            vsnprintf(text.as_mut_ptr().cast(), text.len(), format, args);
            let function = (!function.is_null()).then(|| CStr::from_ptr(function));
            (CStr::from_bytes_until_nul(&text), function)
        };
        let text = text.unwrap_or_default().to_string_lossy();
        let text = text.trim_end();
        let function = function.unwrap_or_default().to_string_lossy();
        match level {
            0 => {
                tracing::error!(target: "spdk", %function, "{text}");
                let mut errors = errors();
                if errors.len() < KEPT {
                    errors.push(text.to_owned());
                }
            }
            1 => tracing::warn!(target: "spdk", %function, "{text}"),
            2 => tracing::info!(target: "spdk", %function, "{text}"),
            _ => tracing::debug!(target: "spdk", %function, "{text}"),
        }
    });
}
