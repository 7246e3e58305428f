/// A store of keys and values.
pub mod vault {
    use core::ffi::{c_char, c_int, c_void};
    use core::fmt;
    use core::ptr::NonNull;
    use ::spdk::__private::{self as rt, Subject as _};
    use crate::ffi as sys;
    /// An open vault.
    ///
    /// It belongs to the spdk_thread that it was made on; elsewhere its methods return
    /// `ErrorKind::WrongThread`. Dropping it calls `vault_close` on its home thread, once no
    /// operation uses it any more.
    ///
    /// The C struct is `vault`.
    #[doc(alias = "vault")]
    pub struct Vault(rt::Handle<VaultObject>);
    /// The C object of a [`Vault`].
    #[doc(hidden)]
    pub enum VaultObject {}
    const _: unsafe extern "C" fn(*mut sys::vault) = sys::vault_close;
    unsafe impl rt::Object for VaultObject {
        type C = sys::vault;
        type Extra = ();
        const NAME: &'static str = "Vault";
        unsafe fn release(ptr: NonNull<Self::C>, _extra: &Self::Extra) {
            unsafe { sys::vault_close(ptr.as_ptr()) }
        }
    }
    impl rt::Subject for Vault {
        type O = VaultObject;
        fn handle(&self) -> &rt::Handle<VaultObject> {
            &self.0
        }
    }
    impl rt::Describe for Vault {
        fn describe(&self) -> String {
            "Vault".to_owned()
        }
    }
    impl fmt::Debug for Vault {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&rt::Describe::describe(self))
        }
    }
    impl Vault {
        /// Takes over what a C function returned; NULL is an error.
        ///
        /// # Safety
        ///
        /// `ptr` is NULL, or a live object that nobody else frees.
        #[allow(dead_code, reason = "not every handle has a call that produces it here")]
        pub(crate) unsafe fn from_c(
            ptr: *mut sys::vault,
            extra: (),
        ) -> rt::Result<Self, rt::Fault> {
            let ptr = NonNull::new(ptr).ok_or(rt::Fault::errno(rt::Errno::ENOMEM))?;
            Ok(Vault(unsafe { rt::Handle::adopt(ptr, extra)? }))
        }
    }
    rt::assert_not_send_sync!(Vault);
    /// What `vault_done` reports.
    #[doc(hidden)]
    pub enum VaultDone {}
    unsafe impl rt::Callback for VaultDone {
        type Fn = sys::vault_done;
        type Raw = c_int;
        fn of<K: rt::Complete<Self::Raw>>() -> Self::Fn {
            unsafe extern "C" fn call<K: rt::Complete<c_int>>(
                ctx: *mut c_void,
                rc: c_int,
            ) {
                unsafe { rt::complete::<K, _>(ctx, rc) }
            }
            Some(call::<K>)
        }
        fn done() -> Option<Self::Raw> {
            Some(0)
        }
    }
    /// What `vault_opened` reports.
    #[doc(hidden)]
    pub enum VaultOpened {}
    unsafe impl rt::Callback for VaultOpened {
        type Fn = sys::vault_opened;
        type Raw = (*mut sys::vault, c_int);
        fn of<K: rt::Complete<Self::Raw>>() -> Self::Fn {
            unsafe extern "C" fn call<K: rt::Complete<(*mut sys::vault, c_int)>>(
                ctx: *mut c_void,
                vault: *mut sys::vault,
                rc: c_int,
            ) {
                unsafe { rt::complete::<K, _>(ctx, (vault, rc)) }
            }
            Some(call::<K>)
        }
    }
    const _: unsafe extern "C" fn(*const c_char, sys::vault_opened, *mut c_void) = sys::vault_open;
    impl Vault {
        /// Opens the vault at `path`.
        ///
        /// Wraps `vault_open`.
        ///
        /// # Errors
        ///
        /// - `ENOENT`: there is no vault at `path`.
        /// - Refused before C sees it: text with a NUL inside.
        ///
        /// # Cancellation
        ///
        /// Nothing happens before the first poll. A future that is dropped later abandons the operation
        /// but does not stop it. What it produces is released then.
        ///
        /// # Thread
        ///
        /// Any spdk_thread.
        #[doc(alias = "vault_open")]
        pub fn open<'a>(
            path: &'a str,
        ) -> impl rt::Future<Output = rt::Result<Vault>> + use<'a> {
            let at = move || rt::At::name("vault_open", path);
            let start = move |_: rt::Caller<'_>| {
                Ok(unsafe {
                    rt::op::<
                        VaultOpened,
                        _,
                        _,
                    >(
                        move |(_, path), done, arg| {
                            sys::vault_open(path.as_ptr(), done, arg);
                            rt::Submitted::Pending
                        },
                        |_, (vault, rc)| {
                            rt::status(rc)?;
                            Vault::from_c(vault, ())
                        },
                        (rt::Here::now()?, rt::cstring(path, "path")?),
                    )
                })
            };
            rt::call(start, at)
        }
    }
    const _: unsafe extern "C" fn(
        *mut sys::vault,
        *const c_char,
        *const c_void,
        u32,
        sys::vault_done,
        *mut c_void,
    ) -> c_int = sys::vault_put;
    impl Vault {
        /// Stores a value under a key.
        ///
        /// Wraps `vault_put`.
        ///
        /// # Errors
        ///
        /// - Refused before C sees it: text with a NUL inside.
        ///
        /// # Cancellation
        ///
        /// Nothing happens before the first poll. A future that is dropped later abandons the operation
        /// but does not stop it.
        ///
        /// # Thread
        ///
        /// The home spdk_thread of the handle.
        #[doc(alias = "vault_put")]
        pub fn put<'a>(
            &'a self,
            key: &'a str,
            value: &'a [u8],
        ) -> impl rt::Future<Output = rt::Result<()>> + use<'a> {
            let at = move || rt::At::new("vault_put", self);
            let start = move |caller: rt::Caller<'_>| {
                let len = u32::try_from(value.len())
                    .map_err(|_| rt::Fault::invalid(
                        "`value` is too long for the call",
                    ))?;
                Ok(unsafe {
                    rt::op::<
                        VaultDone,
                        _,
                        _,
                    >(
                        move |(v, key, value), done, arg| {
                            rt::Submitted::rc(
                                sys::vault_put(
                                    v.as_ptr(),
                                    key.as_ptr(),
                                    value.as_ptr().cast(),
                                    len,
                                    done,
                                    arg,
                                ),
                            )
                        },
                        |_, rc| rt::status(rc),
                        (
                            self.handle().hold(caller)?,
                            rt::cstring(key, "key")?,
                            Box::<[u8]>::from(value),
                        ),
                    )
                })
            };
            rt::call(start, at)
        }
    }
}
#[allow(unused_imports, reason = "methods need no name")]
pub use vault::*;
