//! What tests forget on purpose.

use std::sync::{Mutex, PoisonError};

/// As `mem::forget`, but LeakSanitizer finds the value: for one that owns what was not allocated in its test's own
/// calls, so that no stack names the test.
pub fn forget<T>(value: T) {
    static FORGOTTEN: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    let address = Box::into_raw(Box::new(value)).expose_provenance();
    let mut forgotten = FORGOTTEN.lock().unwrap_or_else(PoisonError::into_inner);
    forgotten.push(address);
}
