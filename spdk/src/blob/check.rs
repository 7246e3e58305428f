//! What SPDK takes on trust of a store that it loads.
//!
//! SPDK 26.01 does the I/O of blobs in blocks of the device, as many as there are io units, which have the size of the blocks that
//! the store was made on: where that is another one, it reads and writes other memory than it was given. And each list of what
//! is used, which has no checksum, says how many bits it has: SPDK believes that, and reads beyond its memory. It looks at
//! neither, or by `assert` alone.
//!
//! A store that was made before pages of metadata had a size of their own says 0 for that. SPDK 26.01 divides by it when the
//! store grows. So what it stands for is written down before.
#![allow(unsafe_code)] // Uses a device by its own functions, before SPDK does.

use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};

use crate::panic::guard;
use crate::{Errno, sys};

/// What is read at a time: the size of a super block, and of the smallest page of metadata.
const PAGE: usize = 4096;

/// What a store is read for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    Load,
    /// For a load that has it use all of its device.
    LoadGrown,
    /// For the same of a store that is loaded.
    Growth,
    /// For a load that finds out what is used from the metadata of the blobs.
    Recovery,
    Dump,
}

/// Looks at the store that a device has, if it has one, and then tells what is wrong with that, or which pages of metadata it
/// has.
///
/// # Safety
/// The device is the caller's, on the spdk_thread that opened it, and nobody uses it until `then` runs; or it is that of a
/// loaded store, on its metadata thread, and nobody writes the metadata of that or unloads it.
pub(super) unsafe fn check(
    dev: *mut sys::spdk_bs_dev,
    what_for: For,
    then: impl FnOnce(Result<Pages, Errno>) + 'static,
) {
    // SAFETY: the device is open, as the caller says, and this is its own function.
    let channel = unsafe { (*dev).create_channel.map(|create| create(dev)) };
    let channel = channel.and_then(NonNull::new);
    let (Some(channel), Some(page)) = (channel, Page::new()) else {
        if let Some(channel) = channel {
            // SAFETY: it was just made.
            unsafe { give_back(dev, channel) };
        }
        return then(Err(Errno::ENOMEM));
    };
    let check = Box::new(Check {
        dev,
        channel,
        page,
        args: sys::spdk_bs_dev_cb_args {
            cb_fn: None,
            channel: ptr::null_mut(),
            cb_arg: ptr::null_mut(),
        },
        what_for,
        io: Io::SuperBlock,
        left: Vec::new(),
        pages: Pages {
            count: 0,
            size: PAGE as u32,
        },
        then: Box::new(then),
    });
    check.begin(0);
}

/// # Safety
/// The device has made the channel, on the current spdk_thread, and it is given back once.
unsafe fn give_back(dev: *mut sys::spdk_bs_dev, channel: NonNull<sys::spdk_io_channel>) {
    // SAFETY: as the caller says; this is its own function, which may count its channels.
    unsafe {
        if let Some(destroy) = (*dev).destroy_channel {
            destroy(dev, channel.as_ptr());
        }
    }
}

/// Where a super block has what, in bytes.
mod at {
    pub(super) const CLEAN: usize = 16;
    pub(super) const CLUSTER_SIZE: usize = 28;
    pub(super) const USED_PAGES: usize = 32;
    pub(super) const USED_CLUSTERS: usize = 40;
    pub(super) const PAGES: usize = 52;
    pub(super) const USED_BLOBS: usize = 72;
    /// 0 in stores of old, in which SPDK looks for the blobs.
    pub(super) const USED_BLOBS_PAGES: usize = 76;
    /// Of 8 bytes; all others have 4.
    pub(super) const SIZE: usize = 80;
    /// 0 for 4096, as the next one.
    pub(super) const IO_UNIT_SIZE: usize = 88;
    pub(super) const PAGE_SIZE: usize = 92;
    pub(super) const CHECKSUM: usize = super::PAGE - 4;
}

/// A list of what is used.
struct List {
    /// Where it is, in bytes.
    at: u64,
    kind: u8,
    /// How many bits it has.
    least: u64,
    most: u64,
}

/// The pages that blobs have their metadata in.
#[derive(Clone, Copy)]
pub(super) struct Pages {
    pub(super) count: u32,
    /// In bytes.
    pub(super) size: u32,
}

/// What is in flight.
enum Io {
    SuperBlock,
    /// The super block is written.
    Mend,
    List(List),
}

struct Check {
    dev: *mut sys::spdk_bs_dev,
    channel: NonNull<sys::spdk_io_channel>,
    page: Page,
    /// C keeps them until the I/O has ended.
    args: sys::spdk_bs_dev_cb_args,
    what_for: For,
    io: Io,
    left: Vec<List>,
    pages: Pages,
    then: Box<dyn FnOnce(Result<Pages, Errno>)>,
}

impl Check {
    /// Reads, or writes, the page at this byte.
    fn begin(mut self: Box<Self>, at: u64) {
        let (dev, channel, page) = (self.dev, self.channel.as_ptr(), self.page.0.as_ptr());
        self.args.cb_fn = Some(done);
        self.args.channel = channel;
        let is_write = matches!(self.io, Io::Mend);
        let this = Box::into_raw(self);
        // SAFETY: the device is open until `then` runs, which `done` calls; its blocks are not larger than a page. What C keeps
        // until that is in the box, which is not used before.
        unsafe {
            (*this).args.cb_arg = this.cast();
            let block = (*dev).blocklen;
            let (first, count) = (at / u64::from(block), PAGE as u32 / block);
            let io = if is_write { (*dev).write } else { (*dev).read };
            match io {
                Some(io) => {
                    let args = &raw mut (*this).args;
                    io(dev, channel, page.cast(), first, count, args);
                }
                None => done(channel, this.cast(), -libc::EIO),
            }
        }
    }

    /// Goes on when a page was read or written.
    fn went(mut self: Box<Self>, rc: c_int) {
        let found = match (rc, &self.io) {
            (0, Io::SuperBlock) => match self.super_block() {
                Ok(true) => {
                    self.page.set(at::PAGE_SIZE, PAGE as u32);
                    let checksum = checksum(&self.page.bytes()[..at::CHECKSUM]);
                    self.page.set(at::CHECKSUM, checksum);
                    self.io = Io::Mend;
                    return self.begin(0);
                }
                found => found.map(|_| ()),
            },
            (0, Io::Mend) => Ok(()),
            (0, Io::List(list)) => list.check(self.page.bytes()),
            _ => Err(Errno::EIO),
        };
        match (found, self.left.pop()) {
            (Ok(()), Some(list)) => {
                let at = list.at;
                self.io = Io::List(list);
                self.begin(at);
            }
            (found, _) => {
                // First: who is told may close the device.
                // SAFETY: nothing is in flight on it.
                unsafe { give_back(self.dev, self.channel) };
                let pages = self.pages;
                (self.then)(found.map(|()| pages));
            }
        }
    }

    /// Looks at the super block, and finds the lists that SPDK will read. Returns whether it is to be mended.
    fn super_block(&mut self) -> Result<bool, Errno> {
        let bytes = self.page.bytes();
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[at + i]));
        let or_page = |size| if size == 0 { PAGE as u32 } else { size };
        if &bytes[..8] != b"SPDKBLOB" {
            // SPDK says so.
            return Ok(false);
        }
        if word(at::CHECKSUM) != checksum(&bytes[..at::CHECKSUM]) {
            return Err(Errno::EILSEQ);
        }
        let (io_unit, page) = (
            or_page(word(at::IO_UNIT_SIZE)),
            u64::from(or_page(word(at::PAGE_SIZE))),
        );
        self.pages = Pages {
            count: word(at::PAGES),
            size: page as u32,
        };
        // SAFETY: the device is open.
        let block = unsafe { (*self.dev).blocklen };
        if io_unit != block && self.what_for != For::Dump {
            tracing::error!(
                io_unit,
                block,
                "a blobstore was made on blocks of another size"
            );
            return Err(Errno::EINVAL);
        }
        let grows = matches!(self.what_for, For::LoadGrown | For::Growth);
        let to_mend = grows && word(at::PAGE_SIZE) == 0;
        let is_clean = word(at::CLEAN) != 0 && word(at::USED_BLOBS_PAGES) != 0;
        let reads_lists = match self.what_for {
            For::Load | For::LoadGrown => is_clean,
            For::Growth | For::Recovery => false,
            For::Dump => true,
        };
        if !reads_lists {
            return Ok(to_mend);
        }
        let (size, pages) = (
            u64::from(word(at::SIZE)) | u64::from(word(at::SIZE + 4)) << 32,
            word(at::PAGES).into(),
        );
        let clusters = size.checked_div(word(at::CLUSTER_SIZE).into()).unwrap_or(0);
        let list = |kind, at, least, most| List {
            at: u64::from(word(at)) * page,
            kind,
            least,
            most,
        };
        self.left = vec![
            list(0, at::USED_PAGES, pages, pages),
            // More, if the store could not be grown: SPDK leaves those out.
            list(1, at::USED_CLUSTERS, clusters, u64::MAX),
            list(2, at::USED_BLOBS, pages, pages),
        ];
        Ok(to_mend)
    }
}

impl List {
    fn check(&self, bytes: &[u8]) -> Result<(), Errno> {
        let bits = u32::from_le_bytes([1, 2, 3, 4].map(|i| bytes[i])).into();
        match bytes[0] == self.kind && (self.least..=self.most).contains(&bits) {
            true => Ok(()),
            false => {
                let (kind, bits) = (bytes[0], bits);
                tracing::error!(kind, bits, "a blobstore has a damaged list of what is used");
                Err(Errno::EILSEQ)
            }
        }
    }
}

/// As SPDK has it of its pages.
fn checksum(bytes: &[u8]) -> u32 {
    // SAFETY: it reads so many bytes.
    !unsafe { sys::spdk_crc32c_update(bytes.as_ptr().cast(), bytes.len(), u32::MAX) }
}

unsafe extern "C" fn done(_: *mut sys::spdk_io_channel, check: *mut c_void, rc: c_int) {
    guard("check of a blobstore", || {
        // SAFETY: the box that `Check::begin` has given, which is called back once.
        let check = unsafe { Box::from_raw(check.cast::<Check>()) };
        check.went(rc);
    });
}

/// A page of memory that devices can write to.
struct Page(NonNull<u8>);

impl Page {
    fn new() -> Option<Self> {
        // SAFETY: it allocates; the address is not asked for.
        let page = unsafe { sys::spdk_dma_zmalloc(PAGE, PAGE, ptr::null_mut()) };
        NonNull::new(page.cast()).map(Page)
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: it has so many bytes, all of them set, and no I/O is in flight while it is looked at.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr(), PAGE) }
    }

    fn set(&mut self, at: usize, word: u32) {
        // SAFETY: as above.
        let bytes = unsafe { std::slice::from_raw_parts_mut(self.0.as_ptr(), PAGE) };
        bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: it was allocated by the function that belongs to this one.
        unsafe { sys::spdk_dma_free(self.0.as_ptr().cast()) }
    }
}
