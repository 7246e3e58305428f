//! What a discovery controller knows.
#![allow(unsafe_code)] // Copies and frees the log page that SPDK allocates.

use std::ffi::{c_int, c_void};
use std::future::Future;

use super::completion::result;
use super::controller::{AdminHold, NvmeController};
use super::queue::submit;
use super::transport_id::{AddressFamily, TransportId, TransportType};
use crate::call::call;
use crate::error::{At, Fault, Result};
use crate::local::Caller;
use crate::op::{Callback, Complete, complete, op};
use crate::{Errno, sys};

/// A subsystem that a discovery controller knows, and how it is reached.
#[doc(alias = "spdk_nvmf_discovery_log_page_entry")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiscoveryEntry {
    /// Where it is; `None` for a transport that this crate does not know.
    pub trid: Option<TransportId>,
    /// Whether it is a discovery subsystem itself.
    pub is_discovery: bool,
    /// Its NVMe qualified name.
    pub subnqn: String,
    /// Whether hosts need a secure channel, such as TLS, to get there.
    pub requires_secure_channel: bool,
    /// The port of the subsystem.
    pub port_id: u16,
    /// The ID of its controller; 0xffff if it makes one for each connect.
    pub controller_id: u16,
}

const ENTRY: usize = 1024;
const _: () = assert!(size_of::<sys::spdk_nvmf_discovery_log_page_entry>() == ENTRY);

impl DiscoveryEntry {
    /// Reads an entry, whose fields are at the places of the specification.
    fn of(entry: &[u8; ENTRY]) -> Self {
        let text = |at: usize, len: usize| {
            let text = String::from_utf8_lossy(&entry[at..at + len]);
            let end = text.find('\0').unwrap_or(text.len());
            text[..end].trim().to_owned()
        };
        let number = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
        let transport = match entry[0] {
            1 => Some(TransportType::Rdma),
            2 => Some(TransportType::Fc),
            3 => Some(TransportType::Tcp),
            _ => None,
        };
        let family = match entry[1] {
            1 => Some(AddressFamily::Ipv4),
            2 => Some(AddressFamily::Ipv6),
            3 => Some(AddressFamily::Ib),
            4 => Some(AddressFamily::Fc),
            _ => None,
        };
        let subnqn = text(256, 256);
        let trid = transport.and_then(|transport| {
            let (address, service) = (text(512, 256), text(32, 32));
            TransportId::new(transport, family, &address, &service, &subnqn).ok()
        });
        DiscoveryEntry {
            trid,
            is_discovery: matches!(entry[2], 1 | 3),
            requires_secure_channel: u32::from(entry[3] & 3)
                == sys::SPDK_NVMF_TREQ_SECURE_CHANNEL_REQUIRED.0,
            subnqn,
            port_id: number(4),
            controller_id: number(6),
        }
    }
}

/// `spdk_nvme_discovery_cb`.
enum DiscoveryDone {}

// SAFETY: `on_done` passes its context to `complete` once and runs no other code.
unsafe impl Callback for DiscoveryDone {
    type Fn = sys::spdk_nvme_discovery_cb;
    type Raw = Result<Vec<DiscoveryEntry>, Fault>;

    fn of<K: Complete<Self::Raw>>() -> Self::Fn {
        unsafe extern "C" fn on_done<K: Complete<Result<Vec<DiscoveryEntry>, Fault>>>(
            arg: *mut c_void,
            rc: c_int,
            cpl: *const sys::spdk_nvme_cpl,
            page: *mut sys::spdk_nvmf_discovery_log_page,
        ) {
            // SAFETY: the completion is there during the callback, if there is one; the log page is ours. `arg`
            // is the operation's.
            unsafe {
                let entries = match cpl.is_null() {
                    true => Err(Fault::errno(Errno::from_code(rc))),
                    false => result(cpl).map(|_| ()),
                };
                let entries = entries.and_then(|()| {
                    if page.is_null() {
                        return Err(Fault::errno(Errno::from_code(rc)));
                    }
                    Ok(read(page))
                });
                libc::free(page.cast());
                complete::<K, _>(arg, entries);
            }
        }
        Some(on_done::<K>)
    }
}

/// # Safety
/// `page` is a log page that was allocated.
unsafe fn read(page: *mut sys::spdk_nvmf_discovery_log_page) -> Vec<DiscoveryEntry> {
    // SAFETY: passed on. The entries follow the head, and are bytes. There are no more than the memory has
    // room for: SPDK allocates for the number that the controller tells first, and reads it once more.
    unsafe {
        let room = libc::malloc_usable_size(page.cast()) - size_of_val(&*page);
        let count = u64::from_le((&raw const (*page).numrec).read_unaligned());
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let first = page.add(1).cast::<[u8; ENTRY]>();
        let all = 0..count.min(room / ENTRY);
        all.map(|index| DiscoveryEntry::of(&*first.add(index)))
            .collect()
    }
}

impl NvmeController {
    /// What a discovery controller knows: the subsystems, and how they are reached.
    ///
    /// A discovery controller is one whose subsystem has the name `nqn.2014-08.org.nvmexpress.discovery`.
    ///
    /// Wraps `spdk_nvme_ctrlr_get_discovery_log_page`.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Device`](crate::ErrorKind::Device): the controller failed it; it may be no discovery
    ///   controller.
    /// - `ENXIO`: the connection is gone.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the operation but does
    /// not stop it.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the controller.
    #[doc(alias = "spdk_nvme_ctrlr_get_discovery_log_page")]
    pub fn discovery_log(&self) -> impl Future<Output = Result<Vec<DiscoveryEntry>>> + use<'_> {
        let start = move |caller: Caller<'_>| {
            let held = (self.hold_admin(caller)?,);
            // SAFETY: 0 means that the callback runs once, another code that it never runs; `held` keeps the
            // controller until then.
            Ok(unsafe {
                op::<DiscoveryDone, _, _>(
                    move |(ctrlr,): &mut (AdminHold,), done, arg| {
                        submit(ctrlr, ctrlr, || -> c_int {
                            sys::spdk_nvme_ctrlr_get_discovery_log_page(ctrlr.as_ptr(), done, arg)
                        })
                    },
                    |_, entries| entries,
                    held,
                )
            })
        };
        call(start, move || {
            At::new("spdk_nvme_ctrlr_get_discovery_log_page", self)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{DiscoveryEntry, ENTRY};

    #[test]
    fn fields_are_where_the_specification_has_them() {
        let mut raw = [0; ENTRY];
        raw[..8].copy_from_slice(&[3, 1, 2, 0, 5, 0, 0xff, 0xff]);
        raw[32..36].copy_from_slice(b"4420");
        raw[256..261].copy_from_slice(b"nqn.x");
        raw[512..521].copy_from_slice(b"127.0.0.1");
        let entry = DiscoveryEntry::of(&raw);
        let trid = entry.trid.as_ref().map(ToString::to_string);
        let wanted = "trtype:TCP adrfam:IPv4 traddr:127.0.0.1 trsvcid:4420 subnqn:nqn.x";
        assert_eq!(trid.as_deref(), Some(wanted));
        assert_eq!((entry.port_id, entry.controller_id), (5, 0xffff));
        assert!(!entry.is_discovery);
        raw[0] = 200;
        assert_eq!(DiscoveryEntry::of(&raw).trid, None);
    }
}
