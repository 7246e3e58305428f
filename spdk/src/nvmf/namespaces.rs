//! The namespaces of a subsystem.
#![allow(unsafe_code)] // Calls SPDK with subsystems, which their target owns.

use std::ffi::CStr;
use std::ptr;

use super::options::{NvmfNamespaceOpts, check_nsid};
use super::raw::RawSubsystem;
use super::subsystem::NvmfSubsystem;
use crate::error::{At, ErrorKind, Fault, Result};
use crate::text::cstring;
use crate::{Errno, sys};

/// A namespace of a subsystem.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NvmfNamespace {
    /// Its number.
    pub nsid: u32,
    /// The name of its bdev.
    pub bdev: String,
    /// Its ANA group.
    pub ana_group: u32,
}

/// Whether SPDK reads wrong data from a bdev whose metadata it hides: into the buffer that the accel sequence of the
/// module leaves out, and then copies that.
///
/// # Safety
///
/// The bdev exists.
unsafe fn reads_past_metadata(bdev: *mut sys::spdk_bdev) -> bool {
    // SAFETY: as the caller says; these do not change while it is registered.
    #[cfg(spdk_since_26_01)]
    unsafe {
        let takes_sequences = (*bdev).accel_sequence_supported;
        (*bdev).md_len != 0 && takes_sequences & (1 << sys::SPDK_BDEV_IO_TYPE_READ.0) != 0
    }
    #[cfg(not(spdk_since_26_01))]
    {
        let _ = bdev;
        false
    }
}

/// Whether hosts are told how large a block of the bdev is: as a power of two, which SPDK makes of what is not one, of the data
/// and the metadata together where it shows these.
///
/// # Safety
///
/// The bdev exists.
unsafe fn tells_blocks(bdev: *const sys::spdk_bdev, hides_metadata: bool) -> bool {
    // SAFETY: as the caller says; these do not change while it is registered.
    let (data, whole) = unsafe {
        let data = sys::spdk_bdev_get_data_block_size(bdev);
        (data, sys::spdk_bdev_get_block_size(bdev))
    };
    data.is_power_of_two() && (hides_metadata || whole.ilog2() == data.ilog2())
}

/// Returns the number of the namespace, or 0. The texts and the options are copied.
///
/// # Safety
///
/// The subsystem exists, on this spdk_thread, and is paused or not started.
unsafe fn add(
    subsystem: *mut sys::spdk_nvmf_subsystem,
    bdev: &CStr,
    opts: &sys::spdk_nvmf_ns_opts,
    file: Option<&CStr>,
) -> u32 {
    let file = file.map_or(ptr::null(), CStr::as_ptr);
    // SAFETY: as the caller says.
    unsafe {
        let size = size_of_val(opts);
        sys::spdk_nvmf_subsystem_add_ns_ext(subsystem, bdev.as_ptr(), opts, size, file)
    }
}

/// Whether SPDK reads a file of reservations: in a subsystem with ANA reporting it counts a namespace that it refuses
/// for its file among those of the group, and tells hosts so. So one of its own is tried before, unless the target has as
/// many as it can have.
///
/// # Safety
///
/// As for [`add`].
unsafe fn reads(
    subsystem: &RawSubsystem,
    bdev: &CStr,
    opts: &sys::spdk_nvmf_ns_opts,
    file: &CStr,
) -> bool {
    const NAME: &CStr = c"nqn.2016-06.io.spdk:reads-a-file-of-reservations";
    // SAFETY: as the caller says, and so does its target. The new one is not started, and destroyed by the call.
    unsafe {
        if !sys::spdk_nvmf_subsystem_get_ana_reporting(subsystem.as_ptr()) {
            return true;
        }
        let kind = sys::SPDK_NVMF_SUBTYPE_NVME;
        let tried = sys::spdk_nvmf_subsystem_create(subsystem.target(), NAME.as_ptr(), kind, 1);
        if tried.is_null() {
            return true;
        }
        let mut opts = *opts;
        (opts.nsid, opts.anagrpid) = (1, 1);
        let is_read = add(tried, bdev, &opts, Some(file)) != 0;
        let rc = sys::spdk_nvmf_subsystem_destroy(tried, None, ptr::null_mut());
        if rc != 0 {
            let errno = Errno::from_code(rc);
            tracing::warn!(%errno, "a subsystem that was tried stays");
        }
        is_read
    }
}

impl NvmfSubsystem {
    /// Adds a bdev as a namespace, with SPDK's defaults, and returns its number.
    ///
    /// # Errors
    ///
    /// As for [`NvmfSubsystem::add_namespace_with`].
    pub async fn add_namespace(&self, bdev: &str) -> Result<u32> {
        self.add_namespace_with(bdev, &NvmfNamespaceOpts::new())
            .await
    }

    /// Adds a bdev as a namespace, and returns its number. Hosts that are connected are told.
    ///
    /// A bdev that is removed takes its namespaces with it, when their I/O has ended.
    ///
    /// Wraps `spdk_nvmf_subsystem_add_ns_ext`.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::NoSuchBdev`]: no bdev has this name.
    /// - [`ErrorKind::Option`]: an option cannot be used.
    /// - `EBUSY`: a namespace of another bdev with the same UUID was removed during a pause that has not ended.
    /// - [`ErrorKind::InvalidArgument`]: SPDK refuses it, since the number is taken or is greater than
    ///   [`max_namespaces`](super::NvmfSubsystemOpts::max_namespaces), or another user of the bdev has it
    ///   for itself. Also blocks whose data are no power of two of bytes, metadata in buffers of their own, a
    ///   [`reservations_file`](NvmfNamespaceOpts::reservations_file) with something else in it, and
    ///   [`hide_metadata`](NvmfNamespaceOpts::hide_metadata) of a bdev from which SPDK reads wrong data then.
    #[doc(alias = "spdk_nvmf_subsystem_add_ns_ext")]
    pub async fn add_namespace_with(&self, bdev: &str, opts: &NvmfNamespaceOpts) -> Result<u32> {
        const CALL: &str = "spdk_nvmf_subsystem_add_ns_ext";
        let hides_metadata = opts.hides_metadata();
        opts.fill_file();
        let (opts, file, bdev) = (opts.to_c()?, opts.file()?, bdev.to_owned());
        self.change(CALL, async move |subsystem| {
            let object = bdev.as_str();
            let at = |fault: Fault| fault.at(At::new(CALL, &object));
            let name = cstring(&bdev, "the name of the bdev").map_err(at)?;
            // SAFETY: the name is read during the call.
            let found = unsafe { sys::spdk_bdev_get_by_name(name.as_ptr()) };
            if found.is_null() {
                let name = bdev.clone();
                return Err(ErrorKind::NoSuchBdev { name }.into());
            }
            // SAFETY: the bdev exists, on the app thread, where bdevs come and go.
            if hides_metadata && unsafe { reads_past_metadata(found) } {
                return Err(at(Fault::invalid(
                    "SPDK reads wrong data from such a bdev where it hides the metadata: its module takes \
                     accel sequences",
                )));
            }
            // SAFETY: as above.
            if !unsafe { tells_blocks(found, hides_metadata) } {
                return Err(at(Fault::invalid(
                    "SPDK would tell hosts another size of its blocks, which has to be a power of two",
                )));
            }
            // SAFETY: as above.
            if unsafe { subsystem.would_be_mixed_up(found) } {
                return Err(at(Fault::errno(Errno::EBUSY)));
            }
            let add = |raw: &RawSubsystem| {
                // SAFETY: the subsystem exists, on this spdk_thread, and is paused or not started.
                unsafe {
                    match &file {
                        Some(file) if !reads(raw, &name, &opts, file) => 0,
                        _ => add(raw.as_ptr(), &name, &opts, file.as_deref()),
                    }
                }
            };
            match subsystem.add_namespace(&name, add).await? {
                0 => Err(at(Fault::invalid(
                    "SPDK refuses the namespace: its number is taken or too great, or another user of the bdev \
                     has it for itself; the log says which",
                ))),
                nsid => Ok(nsid),
            }
        })
        .await
    }

    /// Removes a namespace. Its I/O is waited for, and hosts that are connected are told.
    ///
    /// Wraps `spdk_nvmf_subsystem_remove_ns`.
    ///
    /// # Errors
    ///
    /// - `ENOENT`: there is none of this number.
    /// - `EBUSY`: a pause holds another namespace.
    #[doc(alias = "spdk_nvmf_subsystem_remove_ns")]
    pub async fn remove_namespace(&self, nsid: u32) -> Result<()> {
        const CALL: &str = "spdk_nvmf_subsystem_remove_ns";
        check_nsid(nsid)?;
        self.change(CALL, async move |subsystem| {
            let remove = async |raw: &RawSubsystem| {
                // SAFETY: the subsystem exists, on this spdk_thread, and is paused with this namespace, or not
                // started.
                match unsafe { sys::spdk_nvmf_subsystem_remove_ns(raw.as_ptr(), nsid) } {
                    0 => Ok(()),
                    _ => {
                        let object = format!("namespace {nsid}");
                        Err(Fault::errno(Errno::ENOENT).at(At::new(CALL, &object.as_str())))
                    }
                }
            };
            subsystem.remove_namespace(nsid, remove).await
        })
        .await
    }

    /// Its namespaces.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongThread`] and [`ErrorKind::Gone`].
    #[doc(alias = "spdk_nvmf_subsystem_get_first_ns")]
    pub async fn namespaces(&self) -> Result<Vec<NvmfNamespace>> {
        let call = "NvmfSubsystem::namespaces";
        self.change(call, async |subsystem| Ok(subsystem.namespaces()))
            .await
    }

    /// Moves a namespace to another ANA group. Hosts that are connected are told.
    ///
    /// Wraps `spdk_nvmf_subsystem_set_ns_ana_group`.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidArgument`]: there is no such namespace, or the group is 0 or greater than
    ///   [`max_namespaces`](super::NvmfSubsystemOpts::max_namespaces).
    /// - `EBUSY`: a pause holds another namespace.
    #[cfg(spdk_has_spdk_nvmf_subsystem_set_ns_ana_group)]
    #[doc(alias = "spdk_nvmf_subsystem_set_ns_ana_group")]
    pub async fn set_ana_group(&self, nsid: u32, group: u32) -> Result<()> {
        const CALL: &str = "spdk_nvmf_subsystem_set_ns_ana_group";
        let reason = "there is no such namespace, or no such group";
        self.of_namespace(CALL, nsid, reason, move |raw| {
            // SAFETY: the subsystem exists, on this spdk_thread, and is paused with this namespace, or not started.
            unsafe { sys::spdk_nvmf_subsystem_set_ns_ana_group(raw, nsid, group) }
        })
        .await
    }

    /// Says whether every host sees a namespace, or only those of [`show_namespace`](Self::show_namespace). Hosts
    /// that are connected are told.
    ///
    /// Wraps `spdk_nvmf_subsystem_set_ns_visibility`, which some builds of SPDK have.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidArgument`]: there is no such namespace.
    /// - `EBUSY`: a pause holds another namespace.
    #[cfg(spdk_has_spdk_nvmf_subsystem_set_ns_visibility)]
    #[doc(alias = "spdk_nvmf_subsystem_set_ns_visibility")]
    pub async fn set_hidden(&self, nsid: u32, hidden: bool) -> Result<()> {
        const CALL: &str = "spdk_nvmf_subsystem_set_ns_visibility";
        let reason = "there is no such namespace";
        self.of_namespace(CALL, nsid, reason, move |raw| {
            // SAFETY: as for `set_ana_group`.
            unsafe { sys::spdk_nvmf_subsystem_set_ns_visibility(raw, nsid, !hidden) }
        })
        .await
    }

    /// Shows a namespace that is [hidden](NvmfNamespaceOpts::hidden) to a host.
    ///
    /// Wraps `spdk_nvmf_ns_add_host`.
    ///
    /// # Errors
    ///
    /// `ENOENT` or `EINVAL`: there is no such namespace, or it is not a hidden one; `EPERM` where SPDK says so.
    #[doc(alias = "spdk_nvmf_ns_add_host")]
    pub async fn show_namespace(&self, nsid: u32, host: &str) -> Result<()> {
        self.of_host("spdk_nvmf_ns_add_host", host, move |raw, host| {
            // SAFETY: as for `remove_namespace`; the name is copied.
            unsafe { sys::spdk_nvmf_ns_add_host(raw, nsid, host.as_ptr(), 0) }
        })
        .await
    }

    /// Hides a namespace from a host again.
    ///
    /// Wraps `spdk_nvmf_ns_remove_host`.
    ///
    /// # Errors
    ///
    /// As for [`NvmfSubsystem::show_namespace`].
    #[doc(alias = "spdk_nvmf_ns_remove_host")]
    pub async fn hide_namespace(&self, nsid: u32, host: &str) -> Result<()> {
        self.of_host("spdk_nvmf_ns_remove_host", host, move |raw, host| {
            // SAFETY: as for `remove_namespace`; the name is read during the call.
            unsafe { sys::spdk_nvmf_ns_remove_host(raw, nsid, host.as_ptr(), 0) }
        })
        .await
    }

    /// A change of a namespace by a C function that says that it failed, and not why.
    async fn of_namespace(
        &self,
        call: &'static str,
        nsid: u32,
        reason: &'static str,
        set: impl FnOnce(*mut sys::spdk_nvmf_subsystem) -> i32 + 'static,
    ) -> Result<()> {
        check_nsid(nsid)?;
        self.change(call, async move |subsystem| {
            let set = async |raw: &RawSubsystem| match set(raw.as_ptr()) {
                0 => Ok(()),
                _ => {
                    let object = format!("namespace {nsid}");
                    Err(Fault::invalid(reason).at(At::new(call, &object.as_str())))
                }
            };
            subsystem.change_namespace(nsid, set).await
        })
        .await
    }
}
