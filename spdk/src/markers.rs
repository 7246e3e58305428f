//! Compile-time assertions of `Send` and `Sync`, for the thread rules of the manifest.
//!
//! The negative ones make a method call ambiguous, and so an error, if the type has the trait.

#[doc(hidden)]
#[macro_export]
macro_rules! __assert_send {
    ($t:ty) => {
        const _: fn() = || {
            fn is_send<T: ?Sized + Send>() {}
            is_send::<$t>();
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __assert_sync {
    ($t:ty) => {
        const _: fn() = || {
            fn is_sync<T: ?Sized + Sync>() {}
            is_sync::<$t>();
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __assert_not_send {
    ($t:ty) => {
        const _: fn() = || {
            trait AmbiguousIfSend<A> {
                fn check() {}
            }
            impl<T: ?Sized> AmbiguousIfSend<()> for T {}
            impl<T: ?Sized + Send> AmbiguousIfSend<u8> for T {}
            <$t as AmbiguousIfSend<_>>::check();
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __assert_not_sync {
    ($t:ty) => {
        const _: fn() = || {
            trait AmbiguousIfSync<A> {
                fn check() {}
            }
            impl<T: ?Sized> AmbiguousIfSync<()> for T {}
            impl<T: ?Sized + Sync> AmbiguousIfSync<u8> for T {}
            <$t as AmbiguousIfSync<_>>::check();
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __assert_not_send_sync {
    ($t:ty) => {
        $crate::__assert_not_send!($t);
        $crate::__assert_not_sync!($t);
    };
}
