//! Dumps of metadata, as text.
#![allow(unsafe_code)] // Has C print into memory.

use std::ffi::{c_char, c_int, c_void};
use std::fmt::Write;
use std::ptr;

use super::blobstore::Blobstore;
use super::check::{For, check};
use super::device::{self, Device};
use super::external::destroy;
use super::handle::report;
use crate::call::call;
use crate::error::{At, Fault, Result};
use crate::generated::blob::BsOpComplete;
use crate::local::{Caller, Here};
use crate::op::{Submitted, op, status};
use crate::panic::guard;
use crate::{Errno, sys};

/// A `FILE` that is memory.
struct Memory {
    file: *mut libc::FILE,
    /// Where C keeps its place and its length, once it is flushed.
    place: Box<(*mut c_char, libc::size_t)>,
}

impl Memory {
    fn new() -> std::result::Result<Self, Fault> {
        let mut place = Box::new((ptr::null_mut(), 0));
        let (text, length) = &mut *place;
        // SAFETY: both stay where they are until the file is closed.
        let file = unsafe { libc::open_memstream(text, length) };
        match file.is_null() {
            true => Err(Fault::errno(Errno::ENOMEM)),
            false => Ok(Memory { file, place }),
        }
    }

    fn text(&self) -> String {
        // SAFETY: the file is open; flushed, it says where its text is, which stays until it is written again.
        let text = unsafe {
            libc::fflush(self.file);
            let (text, length) = *self.place;
            match text.is_null() {
                true => &[],
                false => std::slice::from_raw_parts(text.cast::<u8>(), length),
            }
        };
        String::from_utf8_lossy(text).into_owned()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: it is open; the memory is the caller's after it is closed.
        unsafe {
            libc::fclose(self.file);
            libc::free(self.place.0.cast());
        }
    }
}

/// Prints the value of an attribute, as text with escapes.
unsafe extern "C" fn print_xattr(
    file: *mut sys::FILE,
    _: *const c_char,
    _: *const c_char,
    value: *const c_void,
    length: usize,
) {
    guard("dump of a blobstore", || {
        let mut text = String::new();
        if length > 0 {
            // SAFETY: C gives the value, and its length.
            let value = unsafe { std::slice::from_raw_parts(value.cast::<u8>(), length) };
            let _ = write!(text, "{}", value.escape_ascii());
        }
        // SAFETY: the file is open.
        unsafe { libc::fwrite(text.as_ptr().cast(), 1, text.len(), file.cast()) };
    });
}

impl Blobstore {
    /// The metadata of the blobstore that a bdev has, as text for people. The store is not loaded. Of a bdev without one,
    /// the text says that its signature is another.
    ///
    /// Wraps `spdk_bs_dump`.
    ///
    /// # Errors
    ///
    /// `EILSEQ`: its super block or its lists of what is used are damaged. `ENOMEM`: also for a store of SPDK before 26.01, which
    /// SPDK 26.01 does not dump. And those of [`Blobstore::init`].
    ///
    /// # Cancellation
    ///
    /// It changes nothing, so that nothing is left of a future that is dropped.
    ///
    /// # Thread
    ///
    /// Any spdk_thread.
    #[doc(alias = "spdk_bs_dump")]
    pub async fn dump(bdev: &str) -> Result<String> {
        let mut closed = None;
        let start = |_: Caller<'_>| {
            let held = (Here::now()?, Device::open(bdev)?, Memory::new()?);
            closed = Some(held.1.closed());
            let submit = |(_, device, memory): &mut (Here, Device, Memory), done, arg| {
                let (dev, file) = (device.give(), memory.file.cast());
                // SAFETY: the device is ours, and goes to the call; the file is kept until the callback, which is one.
                unsafe {
                    check(dev, For::Dump, move |checked| match checked {
                        Ok(_) => sys::spdk_bs_dump(dev, file, Some(print_xattr), done, arg),
                        Err(errno) => {
                            destroy(dev);
                            report(done, arg, -errno.code());
                        }
                    });
                }
                Submitted::Pending
            };
            let finish = |(_, _, memory): &mut (Here, Device, Memory), rc: c_int| {
                status(rc).map(|()| memory.text())
            };
            // SAFETY: the call calls back once, on this spdk_thread, and has only the file of ours.
            Ok(unsafe { op::<BsOpComplete, _, _>(submit, finish, held) })
        };
        let result = call(start, || At::name("spdk_bs_dump", bdev)).await;
        if let Some(closed) = closed {
            // Then the bdev can be opened again. An error says that it is.
            let _ = closed.await;
        }
        result.map_err(|error| device::told(bdev, error))
    }
}
