// @generated from api.ron by `cargo xtask codegen`, with the headers of SPDK 26.01. Do not edit.
//! Test. Wrappers of `spdk/blob.h`.
#![allow(unsafe_code)] // Every block rests on what the manifest says of its C function.

use core::ffi::{c_int, c_void};
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use crate::__private::{self as rt, sys};

/// A device for a blobstore.
///
/// It belongs to the spdk_thread that it was made on; elsewhere its methods return
/// `ErrorKind::WrongThread`. Dropping it frees nothing: its `destroy` member does.
///
/// The C struct is `spdk_bs_dev`.
#[doc(alias = "spdk_bs_dev")]
pub struct BsDev(rt::Handle<BsDevObject>);

/// The C object of a [`BsDev`].
#[doc(hidden)]
pub enum BsDevObject {}

// SAFETY: there is nothing to free: its `destroy` member does.
unsafe impl rt::Object for BsDevObject {
    type C = sys::spdk_bs_dev;
    type Extra = ();
    const NAME: &'static str = "BsDev";
    unsafe fn release(_ptr: NonNull<Self::C>, _extra: &Self::Extra) {}
}

impl rt::Subject for BsDev {
    type O = BsDevObject;
    fn handle(&self) -> &rt::Handle<BsDevObject> {
        &self.0
    }
}

impl rt::Describe for BsDev {
    fn describe(&self) -> String {
        "BsDev".to_owned()
    }
}

impl fmt::Debug for BsDev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&rt::Describe::describe(self))
    }
}

impl BsDev {
    /// Takes over what a C function returned; NULL is an error.
    ///
    /// # Safety
    ///
    /// `ptr` is NULL, or a live object that nobody else frees.
    #[allow(dead_code, reason = "not every handle has a call that produces it here")]
    pub(crate) unsafe fn from_c(
        ptr: *mut sys::spdk_bs_dev,
        extra: (),
    ) -> rt::Result<Self, rt::Fault> {
        let ptr = NonNull::new(ptr).ok_or(rt::Fault::errno(rt::Errno::ENOMEM))?;
        // SAFETY: the contract of this function is the core's.
        Ok(BsDev(unsafe { rt::Handle::adopt(ptr, extra)? }))
    }
}

rt::assert_not_send_sync!(BsDev);

impl BsDev {
    /// Gives the object to a C function that takes it over; fails while it is in use.
    pub(crate) fn into_c(self) -> rt::Result<NonNull<sys::spdk_bs_dev>, rt::Fault> {
        self.0.take()
    }
}

/// A blobstore.
///
/// It belongs to the spdk_thread that it was made on; elsewhere its methods return
/// `ErrorKind::WrongThread`. Dropping it frees nothing: `unload` does.
///
/// The C struct is `spdk_blob_store`.
#[doc(alias = "spdk_blob_store")]
pub struct Blobstore(rt::Handle<BlobstoreObject>);

/// The C object of a [`Blobstore`].
#[doc(hidden)]
pub enum BlobstoreObject {}

// SAFETY: there is nothing to free: `unload` does.
unsafe impl rt::Object for BlobstoreObject {
    type C = sys::spdk_blob_store;
    type Extra = ();
    const NAME: &'static str = "Blobstore";
    unsafe fn release(_ptr: NonNull<Self::C>, _extra: &Self::Extra) {}
}

impl rt::Subject for Blobstore {
    type O = BlobstoreObject;
    fn handle(&self) -> &rt::Handle<BlobstoreObject> {
        &self.0
    }
}

impl rt::Describe for Blobstore {
    fn describe(&self) -> String {
        "Blobstore".to_owned()
    }
}

impl fmt::Debug for Blobstore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&rt::Describe::describe(self))
    }
}

impl Blobstore {
    /// Takes over what a C function returned; NULL is an error.
    ///
    /// # Safety
    ///
    /// `ptr` is NULL, or a live object that nobody else frees.
    #[allow(dead_code, reason = "not every handle has a call that produces it here")]
    pub(crate) unsafe fn from_c(
        ptr: *mut sys::spdk_blob_store,
        extra: (),
    ) -> rt::Result<Self, rt::Fault> {
        let ptr = NonNull::new(ptr).ok_or(rt::Fault::errno(rt::Errno::ENOMEM))?;
        // SAFETY: the contract of this function is the core's.
        Ok(Blobstore(unsafe { rt::Handle::adopt(ptr, extra)? }))
    }
}

rt::assert_not_send_sync!(Blobstore);

/// How a blobstore is made.
///
/// The C struct is `spdk_bs_opts`.
#[doc(alias = "spdk_bs_opts")]
#[derive(Clone)]
pub struct BsOpts(sys::spdk_bs_opts);

const _: unsafe extern "C" fn(*mut sys::spdk_bs_opts, usize) = sys::spdk_bs_opts_init;

impl BsOpts {
    /// The defaults of SPDK.
    pub fn new() -> Self {
        let mut raw = MaybeUninit::<sys::spdk_bs_opts>::zeroed();
        // SAFETY: `spdk_bs_opts_init` writes at most the size that it is given. Zeroes are a valid
        // value of every field.
        Self(unsafe {
            sys::spdk_bs_opts_init(
                raw.as_mut_ptr(),
                size_of::<sys::spdk_bs_opts>() as _,
            );
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

    /// Whether to read all metadata after a clean unload too.
    ///
    /// The C field is `force_recover`.
    #[must_use]
    pub fn force_recover(mut self, value: u64) -> Self {
        self.0.force_recover = value;
        self
    }

    #[allow(dead_code, reason = "not every option struct is given to a call here")]
    pub(crate) fn to_c(&self) -> sys::spdk_bs_opts {
        self.0
    }
}

impl fmt::Debug for BsOpts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BsOpts").finish_non_exhaustive()
    }
}

impl Default for BsOpts {
    fn default() -> Self {
        Self::new()
    }
}

/// What `spdk_bs_op_with_handle_complete` reports.
#[doc(hidden)]
pub enum BsOpWithHandleComplete {}

// SAFETY: the function passes its context on, once, and does nothing else.
unsafe impl rt::Callback for BsOpWithHandleComplete {
    type Fn = sys::spdk_bs_op_with_handle_complete;
    type Raw = (*mut sys::spdk_blob_store, c_int);
    fn of<K: rt::Complete<Self::Raw>>() -> Self::Fn {
        unsafe extern "C" fn call<K: rt::Complete<(*mut sys::spdk_blob_store, c_int)>>(
            cb_arg: *mut c_void,
            bs: *mut sys::spdk_blob_store,
            bserrno: c_int,
        ) {
            // SAFETY: C gives back the context of the operation that it ends.
            unsafe { rt::complete::<K, _>(cb_arg, (bs, bserrno)) }
        }
        Some(call::<K>)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bs_dev,
    *mut sys::spdk_bs_opts,
    sys::spdk_bs_op_with_handle_complete,
    *mut c_void,
) = sys::spdk_bs_init;

impl Blobstore {
    /// Makes a blobstore on a device.
    ///
    /// Wraps `spdk_bs_init`.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it. What it produces is released then.
    ///
    /// # Thread
    ///
    /// Any spdk_thread.
    #[doc(alias = "spdk_bs_init")]
    pub fn init<'a>(
        dev: BsDev,
        opts: Option<&'a BsOpts>,
    ) -> impl rt::Future<Output = rt::Result<Blobstore>> + use<'a> {
        let at = move || rt::At::free("spdk_bs_init");
        let start = move |_: rt::Caller<'_>| {
            // SAFETY: the callback runs exactly once, maybe inside the call; `held` keeps `dev` and
            // `opts` until then. A handle that it reports with status 0 is ours.
            Ok(unsafe {
                rt::op::<BsOpWithHandleComplete, _, _>(
                    move |(_, opts, dev), done, arg| {
                        sys::spdk_bs_init(
                            dev.as_ptr(),
                            opts.as_mut().map_or(ptr::null_mut(), ptr::from_mut),
                            done,
                            arg,
                        );
                        rt::Submitted::Pending
                    },
                    |_, (bs, bserrno)| {
                        rt::status(bserrno)?;
                        Blobstore::from_c(bs, ())
                    },
                    (rt::Here::now()?, opts.map(BsOpts::to_c), dev.into_c()?),
                )
            })
        };
        rt::call(start, at)
    }
}

const _: unsafe extern "C" fn(
    *mut sys::spdk_bs_dev,
    *mut sys::spdk_bs_opts,
    sys::spdk_bs_op_with_handle_complete,
    *mut c_void,
) = sys::spdk_bs_load;

impl Blobstore {
    /// Loads the blobstore of a device.
    ///
    /// Wraps `spdk_bs_load`.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation
    /// but does not stop it. What it produces is released then.
    ///
    /// # Thread
    ///
    /// The spdk_thread that the application started on.
    #[doc(alias = "spdk_bs_load")]
    pub fn load<'a>(
        dev: BsDev,
        opts: &'a BsOpts,
    ) -> impl rt::Future<Output = rt::Result<Blobstore>> + use<'a> {
        let at = move || rt::At::free("spdk_bs_load");
        let start = move |_: rt::Caller<'_>| {
            rt::on_app_thread()?;
            // SAFETY: the callback runs exactly once, maybe inside the call; `held` keeps `dev` and
            // `opts` until then. A handle that it reports with status 0 is ours.
            Ok(unsafe {
                rt::op::<BsOpWithHandleComplete, _, _>(
                    move |(_, opts, dev), done, arg| {
                        sys::spdk_bs_load(dev.as_ptr(), ptr::from_mut(opts), done, arg);
                        rt::Submitted::Pending
                    },
                    |_, (bs, bserrno)| {
                        rt::status(bserrno)?;
                        Blobstore::from_c(bs, ())
                    },
                    (rt::Here::now()?, opts.to_c(), dev.into_c()?),
                )
            })
        };
        rt::call(start, at)
    }
}
