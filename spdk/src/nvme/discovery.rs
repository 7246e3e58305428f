//! What a discovery controller knows.

use super::controller::NvmeController;
use super::data::PAGE;
use super::transport_id::{AddressFamily, TransportId, TransportType};
use crate::buf::DmaBuf;
use crate::error::{At, Fault, Result};
use crate::{Errno, sys};

const CALL: &str = "spdk_nvme_ctrlr_get_discovery_log_page";
const LOG: u8 = sys::SPDK_NVME_LOG_DISCOVERY.0 as u8;

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
/// How many of them come with the head of the log, whose size is that of one.
const FIRST: u64 = (PAGE / ENTRY - 1) as u64;
const _: () = assert!(size_of::<sys::spdk_nvmf_discovery_log_page>() == ENTRY);
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

/// The first bytes of the log page.
struct Head {
    /// Is another one after each change.
    generation: u64,
    entries: u64,
    format: u16,
}

impl Head {
    fn of(page: &[u8]) -> Self {
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| page[at + index]));
        Head {
            generation: number(0),
            entries: number(8),
            format: u16::from_le_bytes([page[16], page[17]]),
        }
    }
}

impl NvmeController {
    /// What a discovery controller knows: the subsystems, and how they are reached.
    ///
    /// A discovery controller is one whose subsystem has the name `nqn.2014-08.org.nvmexpress.discovery`. It is asked for a
    /// few entries at a time, and again from the start when they have changed meanwhile.
    ///
    /// It takes the place of `spdk_nvme_ctrlr_get_discovery_log_page`, which asks for all of them with one command: that
    /// of a target with many is longer than commands of it may be.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Device`](crate::ErrorKind::Device): the controller failed it; it may be no discovery
    ///   controller.
    /// - `EINVAL`: the entries have a format that this crate does not know.
    /// - `ENOMEM`: it says that it knows more of them than there is memory for.
    /// - `ENXIO`: the connection is gone.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. A future that is dropped later abandons the command that is on its way, and
    /// the others are not sent.
    ///
    /// # Thread
    ///
    /// The home spdk_thread of the controller.
    #[doc(alias = "spdk_nvme_ctrlr_get_discovery_log_page")]
    pub async fn discovery_log(&self) -> Result<Vec<DiscoveryEntry>> {
        let mut page = DmaBuf::alloc(PAGE, PAGE)?;
        let mut head = self.discovery_head(&mut page).await?;
        loop {
            let entries = self.discovery_entries(&head, &mut page).await;
            if head.entries <= FIRST {
                return entries; // they came with the head
            }
            let before = head.generation;
            head = self.discovery_head(&mut page).await?;
            if head.generation == before {
                return entries;
            }
        }
    }

    /// Reads the first page of the log.
    async fn discovery_head(&self, page: &mut DmaBuf) -> Result<Head> {
        self.get_log_page(LOG, 0, page, 0).await?;
        let head = Head::of(page);
        match head.format {
            0 => Ok(head),
            _ => Err(Fault::errno(Errno::EINVAL).at(At::new(CALL, self))),
        }
    }

    /// The entries of a log, of which the first page was read.
    async fn discovery_entries(
        &self,
        head: &Head,
        page: &mut DmaBuf,
    ) -> Result<Vec<DiscoveryEntry>> {
        let mut entries = Vec::new();
        // What the controller says is not believed: it need not have so many.
        let reserved = match usize::try_from(head.entries) {
            Ok(count) => entries.try_reserve_exact(count).is_ok(),
            Err(_) => false,
        };
        if !reserved {
            return Err(Fault::errno(Errno::ENOMEM).at(At::new(CALL, self)));
        }
        let mut skipped = 1; // the head has the place of one
        loop {
            let left = head.entries - entries.len() as u64;
            let (places, _) = page.as_chunks::<ENTRY>();
            let places = places.iter().skip(skipped);
            entries.extend(
                places
                    .zip(0..left)
                    .map(|(entry, _)| DiscoveryEntry::of(entry)),
            );
            let read = entries.len() as u64;
            if read == head.entries {
                return Ok(entries);
            }
            self.get_log_page(LOG, 0, page, (1 + read) * ENTRY as u64)
                .await?;
            skipped = 0;
        }
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
