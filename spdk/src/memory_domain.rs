//! Memory that only its owner can reach.
#![allow(unsafe_code)] // Makes domains of SPDK's, and gives C the address of what an I/O keeps of one.

mod transfer;

use std::ffi::{CString, c_void};
use std::fmt;
use std::mem;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard};

use smallvec::SmallVec;

use crate::env::{self, Phase};
use crate::errno::Errno;
use crate::error::{At, Describe, Fault, Result};
use crate::handle::{AtHome, Handle, Hold, Object, Subject};
use crate::local::{Caller, Home, begin, current_thread};
use crate::sys;
use crate::text::cstring;

pub use transfer::{Pull, Push};

/// What a [`MemoryDomain`] is made of: it moves data between its memory and that of this process.
///
/// Both calls are on the spdk_thread of the domain. They may end the transfer at once, or keep it and end it
/// later, on the same spdk_thread: the I/O waits for it. SPDK can ask for any part of what the I/O was given,
/// in any pieces.
///
/// A panic of theirs aborts the process, since C calls them.
pub trait DomainMemory: 'static {
    /// Gives the data of the domain's memory, for a write.
    fn pull(&self, pull: Pull);
    /// Takes data into the domain's memory, for a read.
    fn push(&self, push: Push);
}

/// A part of the memory of a domain. What an address is, only the domain knows: nothing is read or written
/// there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainRange {
    /// Where it begins; not 0, which is no address for SPDK. The address of a part of it is so many bytes
    /// larger.
    pub address: usize,
    /// How many bytes it has.
    pub len: usize,
}

/// Memory that a device cannot reach directly, such as that of an accelerator or of another process: what
/// [`BdevDesc::readv_blocks_domain`](crate::BdevDesc::readv_blocks_domain) reads into, and
/// [`BdevDesc::writev_blocks_domain`](crate::BdevDesc::writev_blocks_domain) writes.
///
/// SPDK has the [`DomainMemory`] copy the data to or from buffers of its own, which the device uses.
///
/// # What it cannot do
///
/// It cannot *translate* an address to one that a device could use directly: what a translation says SPDK
/// hands to the device, which goes to any memory of the process by it, and nothing could tell SPDK when that
/// memory goes. So an I/O on a device that does nothing but translate, such as a namespace over NVMe/TCP,
/// fails. For the same reason there is no access to the domains of others (`spdk_memory_domain_get_first`),
/// whose addresses are real ones. Those that copy only do all else.
///
/// # Thread
///
/// `!Send` and `!Sync`: it belongs to the spdk_thread that made it, as do the I/Os that use it.
#[doc(alias = "spdk_memory_domain")]
pub struct MemoryDomain(Handle<MemoryDomainObject>);

#[doc(hidden)]
pub enum MemoryDomainObject {}

#[doc(hidden)]
pub struct MemoryDomainExtra {
    memory: Rc<dyn DomainMemory>,
    id: CString,
}

// SAFETY: C uses a domain during an I/O only, each of which holds it.
unsafe impl Object for MemoryDomainObject {
    type C = sys::spdk_memory_domain;
    type Extra = MemoryDomainExtra;
    const NAME: &'static str = "MemoryDomain";

    unsafe fn release(domain: NonNull<Self::C>, _: &MemoryDomainExtra) {
        // SPDK walks along the list of all domains on the app thread, with no lock on the one that it has in its hands.
        // SAFETY: reads a pointer that SPDK sets once.
        let app = unsafe { sys::spdk_thread_get_app_thread() };
        if env::phase() != Phase::App || current_thread() == app {
            // SAFETY: it was created by `MemoryDomain::new`, and is destroyed once. Without an application there are no bdevs.
            unsafe { sys::spdk_memory_domain_destroy(domain.as_ptr()) };
            return;
        }
        let mut doomed = doomed();
        doomed.push(Doomed(domain));
        if doomed.len() == 1 {
            // SAFETY: the app thread ends after all others of an application. The argument is not used.
            let rc = unsafe { sys::spdk_thread_send_msg(app, Some(destroy_all), ptr::null_mut()) };
            if rc != 0 {
                doomed.clear();
                tracing::warn!(rc, "no memory to destroy a memory domain: it stays");
            }
        }
    }

    fn label(extra: &MemoryDomainExtra) -> String {
        format!("memory domain {:?}", extra.id)
    }
}

/// A domain that is nobody's any more.
struct Doomed(NonNull<sys::spdk_memory_domain>);

// SAFETY: it is an address, which goes to the app thread to be destroyed there.
unsafe impl Send for Doomed {}

/// What the app thread is to destroy, by one message: its queue has an end, where SPDK aborts.
static DOOMED: Mutex<Vec<Doomed>> = Mutex::new(Vec::new());

fn doomed() -> MutexGuard<'static, Vec<Doomed>> {
    DOOMED
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

unsafe extern "C" fn destroy_all(_: *mut c_void) {
    let all = mem::take(&mut *doomed());
    for Doomed(domain) in all {
        // SAFETY: it was created by `MemoryDomain::new`, and is in the list no more.
        unsafe { sys::spdk_memory_domain_destroy(domain.as_ptr()) }
    }
}

impl MemoryDomain {
    /// Makes a domain of some memory. `id` is for SPDK's messages.
    ///
    /// Wraps `spdk_memory_domain_create`, with a type of device that SPDK knows nothing of.
    ///
    /// # Errors
    ///
    /// - `ENOMEM`: no memory for it.
    /// - [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument): a NUL byte in `id`.
    /// - [`ErrorKind::NoThread`](crate::ErrorKind::NoThread): no spdk_thread is current.
    #[doc(alias = "spdk_memory_domain_create")]
    pub fn new(id: &str, memory: impl DomainMemory) -> Result<Self> {
        let domain = begin(|caller| {
            if caller.thread().is_null() {
                return Err(Fault::no_thread());
            }
            let id = cstring(id, "id")?;
            let mut domain = ptr::null_mut();
            // SAFETY: the name is kept as long as the domain, and both functions are there as long as the program.
            let domain = unsafe {
                let rc = sys::spdk_memory_domain_create(
                    &mut domain,
                    sys::SPDK_DMA_DEVICE_VENDOR_SPECIFIC_TYPE_START,
                    ptr::null_mut(),
                    id.as_ptr(),
                );
                match NonNull::new(domain) {
                    Some(domain) if rc == 0 => {
                        sys::spdk_memory_domain_set_pull(domain.as_ptr(), Some(transfer::on_pull));
                        sys::spdk_memory_domain_set_push(domain.as_ptr(), Some(transfer::on_push));
                        domain
                    }
                    _ => return Err(Fault::errno(Errno::from_code(rc))),
                }
            };
            let memory: Rc<dyn DomainMemory> = Rc::new(memory);
            // SAFETY: just made, and ours.
            unsafe { Handle::adopt(domain, MemoryDomainExtra { memory, id }) }
        });
        let domain = domain.map_err(|fault| fault.at(At::name("spdk_memory_domain_create", id)))?;
        Ok(MemoryDomain(domain))
    }
}

impl Describe for MemoryDomain {
    fn describe(&self) -> String {
        MemoryDomainObject::label(self.0.extra())
    }
}

impl Subject for MemoryDomain {
    type O = MemoryDomainObject;
    fn handle(&self) -> &Handle<MemoryDomainObject> {
        &self.0
    }
}

impl fmt::Debug for MemoryDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryDomain")
            .field(&self.0.extra().id)
            .finish()
    }
}

/// What an I/O keeps of its domain.
pub(crate) struct Used {
    domain: Hold<MemoryDomainObject>,
    /// What the context points to that C gives back.
    of_io: Box<Use>,
}

struct Use {
    memory: Rc<dyn DomainMemory>,
    context: usize,
}

impl MemoryDomain {
    /// For an I/O with this context.
    pub(crate) fn used(&self, context: usize, caller: Caller<'_>) -> Result<Used, Fault> {
        let domain = self.0.hold(caller)?;
        let of_io = Box::new(Use {
            memory: domain.extra().memory.clone(),
            context,
        });
        Ok(Used { domain, of_io })
    }
}

impl AtHome for Used {
    fn home(&self) -> Home {
        self.domain.home()
    }
}

impl Used {
    pub(crate) fn domain(&self) -> *mut sys::spdk_memory_domain {
        self.domain.as_ptr()
    }

    /// It is there as long as `self` is.
    pub(crate) fn context(&mut self) -> *mut c_void {
        ptr::from_mut::<Use>(&mut self.of_io).cast()
    }
}

pub(crate) type IoVecs = SmallVec<[sys::iovec; 4]>;

/// Some ranges as SPDK takes them.
pub(crate) fn iovs(ranges: &[DomainRange]) -> Result<IoVecs, Fault> {
    if ranges.is_empty() {
        return Err(Fault::invalid("a vectored operation needs a range"));
    }
    let iovs = ranges.iter().map(|range| {
        let DomainRange { address, len } = *range;
        if address == 0 || len == 0 || address.checked_add(len).is_none() {
            return Err(Fault::invalid(format!(
                "{len} bytes at address {address:#x} are no part of the memory of a domain"
            )));
        }
        Ok(sys::iovec {
            iov_base: ptr::without_provenance_mut(address),
            iov_len: len as _,
        })
    });
    iovs.collect()
}

/// How many bytes they are.
pub(crate) fn size_of(iovs: &[sys::iovec]) -> u64 {
    let sizes = iovs.iter().map(|iov| iov.iov_len as u64);
    sizes.fold(0, u64::saturating_add)
}
