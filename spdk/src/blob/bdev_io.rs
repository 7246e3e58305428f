//! The I/O of a blobstore on a bdev.
//!
//! SPDK gives the `spdk_bdev_io` of one back after its callback. Here that is done before: what the callback submits gets it
//! again, while its memory is in the first cache.
#![allow(unsafe_code)] // Stands in for functions of C.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

use super::lent;
use crate::sys;

type Channel = *mut sys::spdk_io_channel;
type Args = *mut sys::spdk_bs_dev_cb_args;

/// The first fields of SPDK's struct for a device that is a bdev, which `blob_bdev.h` does not show.
#[repr(C)]
struct Head {
    dev: sys::spdk_bs_dev,
    bdev: *mut sys::spdk_bdev,
    desc: *mut sys::spdk_bdev_desc,
}

/// Stands in for SPDK's functions in a device, if it is what is known here. It has been in all releases, but nobody has
/// promised it: so what can be compared with what SPDK says is compared.
///
/// # Safety
/// `spdk_bdev_create_bs_dev_ext` has made it, and nobody uses it yet.
pub(super) unsafe fn take_over(dev: *mut sys::spdk_bs_dev) {
    // SAFETY: as the caller says. SPDK has the bdev and its descriptor somewhere behind what is public, and more, so that the
    // struct is as large as `Head`.
    unsafe {
        let Head { bdev, desc, .. } = *dev.cast::<Head>();
        let get_bdev = (*dev).get_base_bdev;
        let is_known = get_bdev.is_some_and(|get_bdev| get_bdev(dev) == bdev)
            && !desc.is_null()
            && sys::spdk_bdev_desc_get_bdev(desc) == bdev;
        if is_known && Theirs::are_those_of(&*dev) {
            let lends = lent::can_lend(bdev);
            (*dev).read = Some(if lends { read_lent } else { read });
            (*dev).write = Some(if lends { write_lent } else { write });
            (*dev).readv = Some(readv);
            (*dev).writev = Some(writev);
        }
    }
}

macro_rules! theirs {
    ($($function:ident($($type:ty),*);)*) => {
        /// SPDK's, of which each bdev has the same.
        #[derive(Clone, Copy)]
        struct Theirs {
            $($function: unsafe extern "C" fn(
                *mut sys::spdk_bs_dev, Channel, $($type,)* u64, u32, Args
            ),)*
        }

        static THEIRS: OnceLock<Theirs> = OnceLock::new();

        impl Theirs {
            /// Remembers the first ones.
            fn are_those_of(dev: &sys::spdk_bs_dev) -> bool {
                match dev {
                    sys::spdk_bs_dev { $($function: Some($function),)* .. } => {
                        let these = Theirs { $($function: *$function,)* };
                        let first = THEIRS.get_or_init(|| these);
                        true $(&& ptr::fn_addr_eq(first.$function, these.$function))*
                    }
                    _ => false,
                }
            }
        }
    };
}

macro_rules! ours {
    ($($function:ident = $begin:path, or $theirs:ident($($arg:ident: $type:ty),*);)*) => {
        $(
            unsafe extern "C" fn $function(
                dev: *mut sys::spdk_bs_dev,
                ch: Channel,
                $($arg: $type,)*
                lba: u64,
                count: u32,
                args: Args,
            ) {
                // SAFETY: `take_over` has looked at the device; it has the bdev open while there is a channel. C keeps what
                // it gives until the end of the I/O.
                unsafe {
                    let desc = (*dev.cast::<Head>()).desc;
                    let blocks = count.into();
                    let rc = $begin(desc, ch, $($arg,)* lba, blocks, Some(done), args.cast());
                    // SPDK's waits until it can begin, or says why it cannot.
                    if rc != 0 && let Some(theirs) = THEIRS.get() {
                        (theirs.$theirs)(dev, ch, $($arg,)* lba, count, args);
                    }
                }
            }
        )*
    };
}

theirs! {
    read(*mut c_void);
    write(*mut c_void);
    readv(*mut sys::iovec, c_int);
    writev(*mut sys::iovec, c_int);
}

ours! {
    read = sys::spdk_bdev_read_blocks, or read(payload: *mut c_void);
    write = sys::spdk_bdev_write_blocks, or write(payload: *mut c_void);
    read_lent = lent::read, or read(payload: *mut c_void);
    write_lent = lent::write, or write(payload: *mut c_void);
    readv = sys::spdk_bdev_readv_blocks, or readv(iov: *mut sys::iovec, iovcnt: c_int);
    writev = sys::spdk_bdev_writev_blocks, or writev(iov: *mut sys::iovec, iovcnt: c_int);
}

unsafe extern "C" fn done(io: *mut sys::spdk_bdev_io, success: bool, args: *mut c_void) {
    // SAFETY: it was begun with these, which C keeps until they are called back, once.
    unsafe {
        sys::spdk_bdev_free_io(io);
        let args = &*args.cast::<sys::spdk_bs_dev_cb_args>();
        // The error that SPDK's function has for this, too.
        let rc = if success { 0 } else { -libc::EIO };
        if let Some(done) = args.cb_fn {
            done(args.channel, args.cb_arg, rc);
        }
    }
}
