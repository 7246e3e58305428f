//! Memory for what C fills.

use crate::errno::Errno;
use crate::error::Fault;

/// An array of `len` elements for C to fill, each of them `zero` before.
pub fn zeroes<T: Copy>(zero: T, len: usize) -> Result<Vec<T>, Fault> {
    let mut array = Vec::new();
    array
        .try_reserve_exact(len)
        .map_err(|_| Fault::errno(Errno::ENOMEM))?;
    array.resize(len, zero);
    Ok(array)
}
