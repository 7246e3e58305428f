// @generated from api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! Test. Wrappers of `spdk/blob.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

use core::fmt;
use core::mem::MaybeUninit;
use crate::__private::sys;

/// Sized by its initialiser.
///
/// The C struct is `spdk_blob_opts`.
#[doc(alias = "spdk_blob_opts")]
#[derive(Clone)]
pub struct BlobOpts(sys::spdk_blob_opts);

const _: unsafe extern "C" fn(*mut sys::spdk_blob_opts, usize) = sys::spdk_blob_opts_init;

impl BlobOpts {
    /// The defaults of SPDK.
    pub fn new() -> Self {
        let mut raw = MaybeUninit::<sys::spdk_blob_opts>::zeroed();
        // SAFETY: `spdk_blob_opts_init` writes at most the size that it is given. Zeroes are a
        // valid value of every field.
        Self(unsafe {
            sys::spdk_blob_opts_init(
                raw.as_mut_ptr(),
                size_of::<sys::spdk_blob_opts>() as _,
            );
            raw.assume_init()
        })
    }

    /// The initial size, in clusters.
    ///
    /// The C field is `num_clusters`.
    #[must_use]
    pub fn num_clusters(mut self, value: u64) -> Self {
        self.0.num_clusters = value;
        self
    }

    /// Whether clusters are allocated at the first write.
    ///
    /// The C field is `thin_provision`.
    #[must_use]
    pub fn thin_provision(mut self, value: bool) -> Self {
        self.0.thin_provision = value;
        self
    }

    #[allow(dead_code, reason = "not every option struct is given to a call here")]
    pub(crate) fn to_c(&self) -> sys::spdk_blob_opts {
        self.0
    }
}

impl fmt::Debug for BlobOpts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobOpts").finish_non_exhaustive()
    }
}

impl Default for BlobOpts {
    fn default() -> Self {
        Self::new()
    }
}

/// Zeroes, and a size.
///
/// The C struct is `spdk_blob_ext_io_opts`.
#[doc(alias = "spdk_blob_ext_io_opts")]
#[derive(Clone)]
pub struct BlobExtIoOpts(sys::spdk_blob_ext_io_opts);

impl BlobExtIoOpts {
    /// The defaults of SPDK.
    pub fn new() -> Self {
        let mut raw = MaybeUninit::<sys::spdk_blob_ext_io_opts>::zeroed();
        // SAFETY: the field is inside the struct, whatever its alignment.
        unsafe {
            (&raw mut (*raw.as_mut_ptr()).size)
                .write_unaligned(size_of::<sys::spdk_blob_ext_io_opts>() as usize)
        };
        // SAFETY: Zeroes are a valid value of every field.
        Self(unsafe { raw.assume_init() })
    }

    #[allow(dead_code, reason = "not every option struct is given to a call here")]
    pub(crate) fn to_c(&self) -> sys::spdk_blob_ext_io_opts {
        self.0
    }
}

impl fmt::Debug for BlobExtIoOpts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobExtIoOpts").finish_non_exhaustive()
    }
}

impl Default for BlobExtIoOpts {
    fn default() -> Self {
        Self::new()
    }
}

// @generated from api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! Test. Wrappers of `spdk/env.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

use core::ffi::c_int;
use core::fmt;
use core::mem::MaybeUninit;
use crate::__private::sys;

/// Sized before its initialiser.
///
/// The C struct is `spdk_env_opts`.
#[doc(alias = "spdk_env_opts")]
#[derive(Clone)]
pub struct EnvOpts(sys::spdk_env_opts);

const _: unsafe extern "C" fn(*mut sys::spdk_env_opts) = sys::spdk_env_opts_init;

impl EnvOpts {
    /// The defaults of SPDK.
    pub fn new() -> Self {
        let mut raw = MaybeUninit::<sys::spdk_env_opts>::zeroed();
        // SAFETY: the field is inside the struct, whatever its alignment.
        unsafe {
            (&raw mut (*raw.as_mut_ptr()).opts_size)
                .write_unaligned(size_of::<sys::spdk_env_opts>() as usize)
        };
        // SAFETY: `spdk_env_opts_init` writes at most what `opts_size` says. Zeroes are a valid
        // value of every field.
        Self(unsafe {
            sys::spdk_env_opts_init(raw.as_mut_ptr());
            raw.assume_init()
        })
    }

    /// The id of the shared memory.
    ///
    /// The C field is `shm_id`.
    #[must_use]
    pub fn shm_id(mut self, value: c_int) -> Self {
        self.0.shm_id = value;
        self
    }

    /// Whether to use ordinary memory.
    ///
    /// The C field is `no_huge`.
    #[cfg(spdk_since_24_09)]
    #[must_use]
    pub fn no_huge(mut self, value: bool) -> Self {
        self.0.no_huge = value;
        self
    }

    #[allow(dead_code, reason = "not every option struct is given to a call here")]
    pub(crate) fn to_c(&self) -> sys::spdk_env_opts {
        self.0
    }
}

impl fmt::Debug for EnvOpts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvOpts").finish_non_exhaustive()
    }
}

impl Default for EnvOpts {
    fn default() -> Self {
        Self::new()
    }
}

// @generated from api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! Test. Wrappers of `spdk/lvol.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

use core::fmt;
use core::mem::MaybeUninit;
use crate::__private::sys;

/// Without a size.
///
/// The C struct is `spdk_lvs_opts`.
#[doc(alias = "spdk_lvs_opts")]
#[derive(Clone)]
pub struct LvsOpts(sys::spdk_lvs_opts);

const _: unsafe extern "C" fn(*mut sys::spdk_lvs_opts) = sys::spdk_lvs_opts_init;

impl LvsOpts {
    /// The defaults of SPDK.
    pub fn new() -> Self {
        let mut raw = MaybeUninit::<sys::spdk_lvs_opts>::zeroed();
        // SAFETY: `spdk_lvs_opts_init` writes one struct of the version that it was compiled with,
        // which is this one. Zeroes are a valid value of every field.
        Self(unsafe {
            sys::spdk_lvs_opts_init(raw.as_mut_ptr());
            raw.assume_init()
        })
    }

    /// The size of a cluster in bytes.
    ///
    /// The C field is `cluster_sz`.
    #[must_use]
    pub fn cluster_size(mut self, value: u32) -> Self {
        self.0.cluster_sz = value;
        self
    }

    #[allow(dead_code, reason = "not every option struct is given to a call here")]
    pub(crate) fn to_c(&self) -> sys::spdk_lvs_opts {
        self.0
    }
}

impl fmt::Debug for LvsOpts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LvsOpts").finish_non_exhaustive()
    }
}

impl Default for LvsOpts {
    fn default() -> Self {
        Self::new()
    }
}

/// Without a size or an initialiser.
///
/// The C struct is `spdk_blob_xattr_opts`.
#[doc(alias = "spdk_blob_xattr_opts")]
#[derive(Clone)]
pub struct XattrOpts(sys::spdk_blob_xattr_opts);

impl XattrOpts {
    /// The defaults of SPDK.
    pub fn new() -> Self {
        let raw = MaybeUninit::<sys::spdk_blob_xattr_opts>::zeroed();
        // SAFETY: Zeroes are a valid value of every field.
        Self(unsafe { raw.assume_init() })
    }

    /// How many.
    ///
    /// The C field is `count`.
    #[must_use]
    pub fn count(mut self, value: usize) -> Self {
        self.0.count = value;
        self
    }

    #[allow(dead_code, reason = "not every option struct is given to a call here")]
    pub(crate) fn to_c(&self) -> sys::spdk_blob_xattr_opts {
        self.0
    }
}

impl fmt::Debug for XattrOpts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XattrOpts").finish_non_exhaustive()
    }
}

impl Default for XattrOpts {
    fn default() -> Self {
        Self::new()
    }
}
