//! Namespaces that are made, deleted, attached and detached.
//!
//! SPDK's own functions for these wait for the controller inside of them. The commands are the same here.
#![allow(unsafe_code)] // Passes admin commands through whose memory is theirs.

use super::controller::NvmeController;
use super::data::PAGE;
use super::format::check_format;
use crate::buf::DmaBuf;
use crate::error::{At, Fault, Result};
use crate::handle::Subject;
use crate::local::begin;
use crate::nvme_cmd::NvmeCmd;
use crate::sys;

const NAMESPACE_MANAGEMENT: u8 = sys::SPDK_NVME_OPC_NS_MANAGEMENT.0 as u8;
const NAMESPACE_ATTACHMENT: u8 = sys::SPDK_NVME_OPC_NS_ATTACHMENT.0 as u8;

/// A namespace that is to be made; see [`NvmeController::create_namespace`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewNamespace {
    /// How many blocks it has.
    pub size: u64,
    /// How many of them can be in use at once.
    pub capacity: u64,
    /// Which of the controller's formats it has, by its index.
    pub format: u8,
    /// Whether the metadata follow the data of each block in the same buffer.
    pub interleaves_md: bool,
    /// The type of its protection information, from 1 to 3; 0 for none.
    pub protection: u8,
    /// Whether several controllers can have it.
    pub is_shared: bool,
}

fn page() -> Result<DmaBuf> {
    DmaBuf::alloc(PAGE, PAGE)
}

impl NvmeController {
    /// Makes a namespace, and returns its ID. No controller has it until it is
    /// [attached](NvmeController::attach_namespace).
    ///
    /// It takes the place of `spdk_nvme_ctrlr_create_ns`, which waits inside of it.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Device`](crate::ErrorKind::Device): the controller failed it; it may manage no namespaces, as
    ///   [`ControllerData::has_namespace_management`](super::ControllerData::has_namespace_management) says.
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
    #[doc(alias = "spdk_nvme_ctrlr_create_ns")]
    pub async fn create_namespace(&self, new: &NewNamespace) -> Result<u32> {
        let at = At::new("spdk_nvme_ctrlr_create_ns", self);
        check_format(new.format, new.protection).map_err(|fault| fault.at(at))?;
        let mut data = page()?;
        data[0..8].copy_from_slice(&new.size.to_le_bytes());
        data[8..16].copy_from_slice(&new.capacity.to_le_bytes());
        data[26] = new.format & 0xf | u8::from(new.interleaves_md) << 4 | new.format >> 4 << 5;
        data[29] = new.protection;
        data[30] = new.is_shared.into();
        let cmd = NvmeCmd::new(NAMESPACE_MANAGEMENT);
        // SAFETY: it reads the page. SPDK knows nothing of the namespace until it is attached.
        unsafe { self.admin_raw(&cmd, Some(&mut data)) }.await
    }

    /// Deletes a namespace, attached or not; with [`NvmeController::ALL_NAMESPACES`], all.
    ///
    /// The controller tells [`NvmeEvent::NamespaceChanged`](super::NvmeEvent::NamespaceChanged), and the
    /// namespace is inactive when that was told; one that tells no such events needs a
    /// [`reset`](NvmeController::reset).
    ///
    /// It takes the place of `spdk_nvme_ctrlr_delete_ns`, which waits inside of it.
    ///
    /// # Errors
    ///
    /// As for [`NvmeController::create_namespace`]; so are the rest.
    #[doc(alias = "spdk_nvme_ctrlr_delete_ns")]
    pub async fn delete_namespace(&self, ns_id: u32) -> Result<()> {
        let cmd = NvmeCmd {
            nsid: ns_id,
            cdw10: 1,
            ..NvmeCmd::new(NAMESPACE_MANAGEMENT)
        };
        // SAFETY: it has no data, and what SPDK knows of the namespace until it hears of it is refused.
        unsafe { self.admin_raw(&cmd, None) }.await.map(drop)
    }

    /// Attaches a namespace to controllers, by their IDs; to this one, if there are none.
    ///
    /// When the controller has told [`NvmeEvent::NamespaceChanged`](super::NvmeEvent::NamespaceChanged),
    /// [`NvmeController::namespace`] has it; one that tells no such events needs a
    /// [`reset`](NvmeController::reset).
    ///
    /// It takes the place of `spdk_nvme_ctrlr_attach_ns`, which waits inside of it.
    ///
    /// # Errors
    ///
    /// As for [`NvmeController::create_namespace`]; so are the rest. Refused before C sees it: more than 2,047
    /// controllers, and a namespace that is active as far as SPDK knows. One that was deleted meanwhile is so
    /// until the controller has told of it.
    #[doc(alias = "spdk_nvme_ctrlr_attach_ns")]
    pub async fn attach_namespace(&self, ns_id: u32, controllers: &[u16]) -> Result<()> {
        let at = At::new("spdk_nvme_ctrlr_attach_ns", self);
        let ctrlr = begin(|caller| self.handle().get(caller)).map_err(|fault| fault.at(at))?;
        // Its blocks may have another size than those that SPDK knows, by which buffers are measured.
        // SAFETY: the controller is attached, and of this spdk_thread.
        if unsafe { sys::spdk_nvme_ctrlr_is_active_ns(ctrlr.as_ptr(), ns_id) } {
            let wrong = format!("namespace {ns_id} is attached, as far as SPDK knows");
            return Err(Fault::invalid(wrong).at(at));
        }
        self.change_attachment("spdk_nvme_ctrlr_attach_ns", 0, ns_id, controllers)
            .await
    }

    /// Detaches a namespace from controllers, by their IDs; from this one, if there are none.
    ///
    /// The controller tells [`NvmeEvent::NamespaceChanged`](super::NvmeEvent::NamespaceChanged), and the
    /// namespace is inactive when that was told; one that tells no such events needs a
    /// [`reset`](NvmeController::reset).
    ///
    /// It takes the place of `spdk_nvme_ctrlr_detach_ns`, which waits inside of it.
    ///
    /// # Errors
    ///
    /// As for [`NvmeController::create_namespace`]; so are the rest. Refused before C sees it: more than 2,047
    /// controllers.
    #[doc(alias = "spdk_nvme_ctrlr_detach_ns")]
    pub async fn detach_namespace(&self, ns_id: u32, controllers: &[u16]) -> Result<()> {
        self.change_attachment("spdk_nvme_ctrlr_detach_ns", 1, ns_id, controllers)
            .await
    }

    async fn change_attachment(
        &self,
        call: &'static str,
        select: u32,
        ns_id: u32,
        ids: &[u16],
    ) -> Result<()> {
        let own;
        let ids = match ids {
            [] => {
                own = [self.data()?.controller_id()];
                &own[..]
            }
            ids => ids,
        };
        let mut data = page()?;
        let mut words = data.chunks_exact_mut(2);
        if ids.len() >= words.len() {
            let wrong = format!("{} controllers are too many", ids.len());
            return Err(Fault::invalid(wrong).at(At::new(call, self)));
        }
        let numbers = [ids.len() as u16].into_iter().chain(ids.iter().copied());
        for (number, word) in numbers.zip(&mut words) {
            word.copy_from_slice(&number.to_le_bytes());
        }
        let cmd = NvmeCmd {
            nsid: ns_id,
            cdw10: select,
            ..NvmeCmd::new(NAMESPACE_ATTACHMENT)
        };
        // SAFETY: it reads the page. SPDK knows of no namespace of this ID, or of one that I/O then fails on.
        unsafe { self.admin_raw(&cmd, Some(&mut data)) }
            .await
            .map(drop)
    }
}
