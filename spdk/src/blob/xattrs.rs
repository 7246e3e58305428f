//! Attributes of blobs.
#![allow(unsafe_code)] // Lends names and values to C, and copies those that C lends.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr;

use super::handle::Blob;
use super::pages::CONTENT;
use crate::error::{At, Fault, Result};
use crate::op::status;
use crate::panic::guard;
use crate::text::{cstring, string};
use crate::{Errno, sys};

/// Attributes of a blob: values of up to 65,535 bytes, by name. A blob can have those only whose name and value
/// fit into a page of metadata together, which has 4 KiB. One that a blob is made with is not empty.
pub type Xattrs = BTreeMap<String, Vec<u8>>;

/// The value, if C can be told its length.
fn length(value: &[u8]) -> std::result::Result<u16, Fault> {
    u16::try_from(value.len()).map_err(|_| {
        Fault::invalid(format!(
            "the value has {} bytes, and an attribute {} at most",
            value.len(),
            u16::MAX
        ))
    })
}

/// What an attribute takes of a page of metadata besides its name and value.
pub(super) const XATTR: usize = 9;

struct Values(BTreeMap<CString, Vec<u8>>);

/// Attributes for C, which asks for their values by their names.
pub(super) struct CXattrs {
    /// Its address is the context of `value_of`.
    values: Box<Values>,
    /// To the keys, which stay where they are.
    names: Box<[*mut c_char]>,
}

impl CXattrs {
    pub(super) fn new(xattrs: &Xattrs) -> std::result::Result<Self, Fault> {
        let mut values = BTreeMap::new();
        for (name, value) in xattrs {
            if length(value)? == 0 {
                return Err(Fault::invalid(format!(
                    "SPDK takes no empty value, that of {name:?}, where it makes a blob; set it afterwards"
                )));
            }
            if XATTR + name.len() + value.len() > CONTENT {
                // SPDK would say so too, but does not survive it where it makes a clone.
                return Err(Fault::errno(Errno::ENOMEM));
            }
            values.insert(cstring(name, "the name of an attribute")?, value.clone());
        }
        let values = Box::new(Values(values));
        let names = values.0.keys().map(|name| name.as_ptr().cast_mut());
        let names = names.collect();
        Ok(CXattrs { values, names })
    }

    /// How much of a page each of them takes.
    pub(super) fn sizes(&self) -> Vec<usize> {
        let values = self.values.0.iter();
        let size = |(name, value): (&CString, &Vec<u8>)| XATTR + name.count_bytes() + value.len();
        values.map(size).collect()
    }

    /// The C struct, valid as long as `self`.
    pub(super) fn raw(&self) -> sys::spdk_blob_xattr_opts {
        sys::spdk_blob_xattr_opts {
            count: self.names.len(),
            names: self.names.as_ptr().cast_mut(),
            ctx: ptr::from_ref(&*self.values).cast_mut().cast(),
            get_value: Some(value_of),
        }
    }
}

unsafe extern "C" fn value_of(
    ctx: *mut c_void,
    name: *const c_char,
    value: *mut *const c_void,
    length: *mut usize,
) {
    guard("value of an attribute", || {
        // SAFETY: the context is that of `CXattrs::raw`, which the operation keeps; nobody changes it. C gives a
        // name, and two places for the answer.
        unsafe {
            let values = &*ctx.cast::<Values>();
            let found = values.0.get(CStr::from_ptr(name));
            *value = found.map_or(ptr::null(), |found| found.as_ptr().cast());
            *length = found.map_or(0, Vec::len);
        }
    });
}

/// The value of an attribute; `None` if there is none of this name.
///
/// # Safety
/// The blob is open, and this is the metadata thread.
unsafe fn value(
    blob: *mut sys::spdk_blob,
    name: &CStr,
) -> std::result::Result<Option<Vec<u8>>, Fault> {
    let (mut value, mut length) = (ptr::null(), 0);
    // SAFETY: passed on. The value is the blob's, and copied before anything else happens to that.
    unsafe {
        match sys::spdk_blob_get_xattr_value(blob, name.as_ptr(), &mut value, &mut length) {
            0 if length == 0 => Ok(Some(Vec::new())),
            0 => Ok(Some(
                std::slice::from_raw_parts(value.cast::<u8>(), length).to_vec(),
            )),
            rc if rc == -libc::ENOENT => Ok(None),
            rc => Err(Fault::errno(Errno::from_code(rc))),
        }
    }
}

/// Names that C has listed.
struct Names(*mut sys::spdk_xattr_names);

impl Drop for Names {
    fn drop(&mut self) {
        // SAFETY: C gave it away, and it is freed once.
        unsafe { sys::spdk_xattr_names_free(self.0) }
    }
}

/// # Safety
/// The blob is open, and this is the metadata thread.
unsafe fn names(blob: *mut sys::spdk_blob) -> std::result::Result<Names, Fault> {
    let mut raw = ptr::null_mut();
    // SAFETY: passed on; it gives a list away.
    status(unsafe { sys::spdk_blob_get_xattr_names(blob, &mut raw) })?;
    Ok(Names(raw))
}

impl Names {
    fn iter(&self) -> impl Iterator<Item = *const c_char> {
        // SAFETY: the list is there, and has so many names.
        let count = unsafe { sys::spdk_xattr_names_get_count(self.0) };
        // SAFETY: as above.
        (0..count).map(|i| unsafe { sys::spdk_xattr_names_get_name(self.0, i) })
    }
}

/// How much of a page of metadata each attribute takes that is not SPDK's own.
///
/// # Safety
/// The blob is open, and this is the metadata thread.
pub(super) unsafe fn sizes(blob: *mut sys::spdk_blob) -> std::result::Result<Vec<usize>, Fault> {
    // SAFETY: passed on.
    let names = unsafe { names(blob) }?;
    let size = |name: *const c_char| {
        let (mut value, mut length) = (ptr::null(), 0);
        // SAFETY: passed on. The name is one of the list, which is there.
        let (rc, name) = unsafe {
            let rc = sys::spdk_blob_get_xattr_value(blob, name, &mut value, &mut length);
            (rc, CStr::from_ptr(name))
        };
        status(rc)?;
        Ok(XATTR + name.count_bytes() + length)
    };
    names.iter().map(size).collect()
}

impl Blob {
    /// Refuses what a volume is known by. SPDK loads no store without the name of a volume, and reads beyond the memory of one
    /// that does not end with a NUL.
    fn may_change(&self, name: &str) -> std::result::Result<(), Fault> {
        match self.volume().is_some() && matches!(name, "name" | "uuid") {
            true => Err(Fault::invalid(format!(
                "{name:?} is SPDK's own attribute of a volume"
            ))),
            false => Ok(()),
        }
    }

    /// Sets an attribute, or replaces its value.
    ///
    /// It is durable after [`Blob::sync`]. The name has no NUL byte.
    ///
    /// Wraps `spdk_blob_set_xattr`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`: name and value do not fit into a page of metadata. `EPERM`: the blob is read-only.
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument): the blob is that of a volume, which has its `name`
    /// and `uuid` there. And those of [`Blob::info`].
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Blob::resize`].
    #[doc(alias = "spdk_blob_set_xattr")]
    pub async fn set_xattr(&self, name: &str, value: &[u8]) -> Result<()> {
        const CALL: &str = "spdk_blob_set_xattr";
        let told = |fault: Fault| fault.at(At::new(CALL, self));
        let length = length(value).map_err(told)?;
        self.may_change(name).map_err(told)?;
        let name = cstring(name, "the name of an attribute").map_err(told)?;
        let (value, store, id) = (value.to_vec(), self.store().clone(), self.id());
        let set = move |blob| {
            // SAFETY: the blob is open, and this is the metadata thread. Name and value are copied.
            status(unsafe {
                sys::spdk_blob_set_xattr(blob, name.as_ptr(), value.as_ptr().cast(), length)
            })?;
            store.has_more_to_write(id);
            Ok(())
        };
        self.visit(CALL, set).await
    }

    /// Removes an attribute.
    ///
    /// It is durable after [`Blob::sync`].
    ///
    /// Wraps `spdk_blob_remove_xattr`.
    ///
    /// # Errors
    ///
    /// `ENOENT`: there is none of this name. `EPERM` and [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) as for
    /// [`Blob::set_xattr`]. And those of [`Blob::info`].
    ///
    /// # Cancellation, thread
    ///
    /// As for [`Blob::resize`].
    #[doc(alias = "spdk_blob_remove_xattr")]
    pub async fn remove_xattr(&self, name: &str) -> Result<()> {
        const CALL: &str = "spdk_blob_remove_xattr";
        let told = |fault: Fault| fault.at(At::new(CALL, self));
        self.may_change(name).map_err(told)?;
        let name = cstring(name, "the name of an attribute").map_err(told)?;
        // SAFETY: the blob is open, and this is the metadata thread.
        let remove =
            move |blob| status(unsafe { sys::spdk_blob_remove_xattr(blob, name.as_ptr()) });
        self.visit(CALL, remove).await
    }

    /// The value of an attribute; `None` if there is none of this name.
    ///
    /// Wraps `spdk_blob_get_xattr_value`.
    ///
    /// # Errors, cancellation, thread
    ///
    /// As for [`Blob::info`].
    #[doc(alias = "spdk_blob_get_xattr_value")]
    pub async fn xattr(&self, name: &str) -> Result<Option<Vec<u8>>> {
        const CALL: &str = "spdk_blob_get_xattr_value";
        let name = cstring(name, "the name of an attribute")
            .map_err(|fault| fault.at(At::new(CALL, self)))?;
        // SAFETY: the blob is open, and this is the metadata thread.
        self.visit(CALL, move |blob| unsafe { value(blob, &name) })
            .await
    }

    /// All attributes, as they are at one moment.
    ///
    /// Wraps `spdk_blob_get_xattr_names` and `spdk_blob_get_xattr_value`.
    ///
    /// # Errors, cancellation, thread
    ///
    /// As for [`Blob::info`]; a name that is not UTF-8 is an error.
    #[doc(alias = "spdk_blob_get_xattr_names")]
    pub async fn xattrs(&self) -> Result<Xattrs> {
        let read = |blob| {
            let mut xattrs = Xattrs::new();
            // SAFETY: the blob is open, and this is the metadata thread.
            let names = unsafe { names(blob) }?;
            for c_name in names.iter() {
                // SAFETY: it is in the list, which is there.
                let (c_name, name) = unsafe { (CStr::from_ptr(c_name), string(c_name)?) };
                // SAFETY: as above.
                let value = unsafe { value(blob, c_name) }?;
                if let (Some(name), Some(value)) = (name, value) {
                    xattrs.insert(name, value);
                }
            }
            Ok(xattrs)
        };
        self.visit("spdk_blob_get_xattr_names", read).await
    }
}
