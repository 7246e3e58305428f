//! What the poll groups of a target have: queue pairs, and counts of what they did.
#![allow(unsafe_code)] // Walks over the queue pairs of a poll group, on its spdk_thread.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use super::address::NvmfAddress;
use super::core::{State, change};
use super::target::NvmfTarget;
use crate::error::Result;
use crate::sys;

/// A queue pair of a host that has connected it.
#[doc(alias = "spdk_nvmf_qpair")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NvmfQueuePair {
    /// The name of its subsystem.
    pub subsystem: String,
    /// The number of its controller, of which the subsystem has no other one.
    pub controller: u16,
    /// Its number in the controller: 0 is the admin queue.
    pub id: u16,
    /// Whether the host has authenticated, where it has to. Until then it takes no other commands.
    pub is_ready: bool,
    /// The name of the spdk_thread that does its I/O.
    pub thread: String,
    /// Where the host has connected to.
    pub listener: Option<NvmfAddress>,
    /// Where the host has connected from.
    pub host: Option<NvmfAddress>,
}

/// What a poll group has done.
#[doc(alias = "spdk_nvmf_poll_group_stat")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NvmfGroupStat {
    /// The name of its spdk_thread.
    pub thread: String,
    /// How many admin queues it has had.
    pub admin_qpairs: u32,
    /// How many I/O queue pairs it has had.
    pub io_qpairs: u32,
    /// How many admin queues it has.
    pub current_admin_qpairs: u32,
    /// How many I/O queue pairs it has.
    pub current_io_qpairs: u32,
    /// How often a command had to wait since the bdev layer had no memory for it.
    pub pending_bdev_io: u64,
    /// How many I/O commands it has completed.
    pub completed_nvme_io: u64,
}

impl NvmfTarget {
    /// What its poll groups have done, in the order of [`NvmfTargetOpts::threads`](super::NvmfTargetOpts::threads).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) and [`ErrorKind::Gone`](crate::ErrorKind::Gone).
    #[doc(alias = "spdk_nvmf_poll_group_dump_stat", alias = "nvmf_get_stats")]
    pub async fn stat(&self) -> Result<Vec<NvmfGroupStat>> {
        let look = async |state: &mut State| {
            let mut all = Vec::new();
            for group in &state.groups {
                let name = group.name().to_owned();
                all.push(group.look(move |group| stat(group, name)).await?);
            }
            Ok(all)
        };
        change(&self.0, "NvmfTarget::stat", look).await
    }

    /// The queue pairs that hosts have connected, of all subsystems.
    ///
    /// # Errors
    ///
    /// As for [`NvmfTarget::stat`].
    #[cfg(spdk_since_24_09)]
    #[doc(alias = "nvmf_subsystem_get_qpairs")]
    pub async fn queue_pairs(&self) -> Result<Vec<NvmfQueuePair>> {
        let look = async |state: &mut State| queue_pairs(state).await;
        change(&self.0, "NvmfTarget::queue_pairs", look).await
    }
}

#[cfg(spdk_since_24_09)]
pub(super) async fn queue_pairs(state: &State) -> Result<Vec<NvmfQueuePair>> {
    let mut all = Vec::new();
    for group in &state.groups {
        let name = group.name().to_owned();
        all.extend(group.look(move |group| of_group(group, &name)).await?);
    }
    Ok(all)
}

/// On the spdk_thread of the poll group.
fn stat(group: NonNull<sys::spdk_nvmf_poll_group>, thread: String) -> NvmfGroupStat {
    // SAFETY: the poll group exists, and changes on this spdk_thread only.
    let stat = unsafe { (*group.as_ptr()).stat };
    NvmfGroupStat {
        thread,
        admin_qpairs: stat.admin_qpairs,
        io_qpairs: stat.io_qpairs,
        current_admin_qpairs: stat.current_admin_qpairs,
        current_io_qpairs: stat.current_io_qpairs,
        pending_bdev_io: stat.pending_bdev_io,
        completed_nvme_io: stat.completed_nvme_io,
    }
}

/// On the spdk_thread of the poll group.
#[cfg(spdk_since_24_09)]
fn of_group(group: NonNull<sys::spdk_nvmf_poll_group>, thread: &str) -> Vec<NvmfQueuePair> {
    let mut all = Vec::new();
    // SAFETY: the poll group and its queue pairs exist, and change on this spdk_thread only.
    unsafe {
        let mut next = (*group.as_ptr()).qpairs.tqh_first;
        while let Some(qpair) = NonNull::new(next) {
            next = qpair.as_ref().link.tqe_next;
            all.extend(of_qpair(qpair, thread));
        }
    }
    all
}

/// A queue pair, if it has a controller for certain: before it is connected it may be about to lose it, and so
/// when it goes.
///
/// # Safety
///
/// The queue pair exists, and this is the spdk_thread of its poll group.
#[cfg(spdk_since_24_09)]
unsafe fn of_qpair(qpair: NonNull<sys::spdk_nvmf_qpair>, thread: &str) -> Option<NvmfQueuePair> {
    type Ask = unsafe extern "C" fn(
        *mut sys::spdk_nvmf_qpair,
        *mut sys::spdk_nvme_transport_id,
    ) -> std::ffi::c_int;
    // SAFETY: the queue pair is at home here. One in these states has a controller, which stays until the last
    // of its queue pairs has left it, and the controller a subsystem, which waits for its controllers.
    unsafe {
        let (state, controller, id) = {
            let qpair = qpair.as_ref();
            (u32::from(qpair.state), qpair.ctrlr, qpair.qid)
        };
        let is_ready = state == sys::SPDK_NVMF_QPAIR_ENABLED.0;
        if (!is_ready && state != sys::SPDK_NVMF_QPAIR_AUTHENTICATING.0) || controller.is_null() {
            return None;
        }
        let nqn = sys::spdk_nvmf_subsystem_get_nqn(sys::spdk_nvmf_ctrlr_get_subsystem(controller));
        let address = |ask: Ask| {
            let mut trid = MaybeUninit::zeroed();
            let rc = ask(qpair.as_ptr(), trid.as_mut_ptr());
            (rc == 0)
                .then(|| NvmfAddress::from_c(trid.assume_init_ref()))
                .flatten()
        };
        Some(NvmfQueuePair {
            subsystem: CStr::from_ptr(nqn).to_string_lossy().into_owned(),
            controller: sys::spdk_nvmf_ctrlr_get_id(controller),
            id,
            is_ready,
            thread: thread.to_owned(),
            listener: address(sys::spdk_nvmf_qpair_get_listen_trid),
            host: address(sys::spdk_nvmf_qpair_get_peer_trid),
        })
    }
}
