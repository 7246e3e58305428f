//! Referrals: where else hosts can look for subsystems.
#![allow(unsafe_code)] // Calls SPDK with targets, which their chores own.

use std::mem::MaybeUninit;

use super::address::{NvmfAddress, copy};
use super::core::{State, change};
use super::options::check_nqn;
use super::target::{DISCOVERY, NvmfTarget};
use crate::error::{At, Fault, Result};
use crate::{Errno, sys};

/// What the discovery subsystem of a target refers hosts to: another discovery service, or a subsystem of
/// another target.
#[doc(alias = "spdk_nvmf_referral_opts")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NvmfReferral {
    address: NvmfAddress,
    nqn: Option<String>,
    secure_channel: bool,
    any_host: bool,
    hosts: Vec<String>,
}

impl NvmfReferral {
    /// The discovery service at an address, for every host.
    pub fn new(address: NvmfAddress) -> Self {
        NvmfReferral {
            address,
            nqn: None,
            secure_channel: false,
            any_host: true,
            hosts: Vec::new(),
        }
    }

    /// A subsystem at the address, rather than its discovery service.
    pub fn subsystem(mut self, nqn: impl Into<String>) -> Self {
        self.nqn = Some(nqn.into()).filter(|nqn| nqn != DISCOVERY);
        self
    }

    /// Whether hosts are told that they need a secure channel there. The default is no.
    pub fn secure_channel(mut self, secure: bool) -> Self {
        self.secure_channel = secure;
        self
    }

    /// Only for this host, and for others that are named so.
    #[cfg(spdk_has_spdk_nvmf_referral_add_host)]
    #[doc(alias = "spdk_nvmf_referral_add_host")]
    pub fn host(mut self, nqn: impl Into<String>) -> Self {
        self.any_host = false;
        self.hosts.push(nqn.into());
        self
    }

    /// Where hosts are referred to.
    pub fn address(&self) -> NvmfAddress {
        self.address
    }

    fn check(&self) -> Result<()> {
        self.nqn
            .as_deref()
            .map_or(Ok(()), |nqn| check_nqn("subsystem", nqn))?;
        self.hosts
            .iter()
            .try_for_each(|host| check_nqn("host", host))
    }

    fn to_c(&self) -> sys::spdk_nvmf_referral_opts {
        let mut raw: sys::spdk_nvmf_referral_opts =
            // SAFETY: numbers and characters only, for which zeroes are a value.
            unsafe { MaybeUninit::zeroed().assume_init() };
        raw.size = size_of_val(&raw);
        raw.trid = self.address.to_c();
        if let Some(nqn) = &self.nqn {
            copy(&mut raw.trid.subnqn, nqn);
        }
        raw.secure_channel = self.secure_channel;
        #[cfg(spdk_since_26_01)]
        {
            raw.allow_any_host = self.any_host;
        }
        raw
    }

    /// Whether it is to the same place, which is what SPDK tells referrals apart by.
    fn is_like(&self, other: &Self) -> bool {
        (self.address, &self.nqn) == (other.address, &other.nqn)
    }
}

impl NvmfTarget {
    /// Refers hosts to another place. Hosts that are connected to the discovery subsystem are told.
    ///
    /// Wraps `spdk_nvmf_tgt_add_referral`, and `spdk_nvmf_referral_add_host` for its hosts.
    ///
    /// # Errors
    ///
    /// - `EEXIST`: it refers to that place already.
    /// - [`ErrorKind::Option`](crate::ErrorKind::Option), and `EINVAL`: a name is not a qualified one.
    ///
    /// # Cancellation
    ///
    /// Nothing happens before the first poll. Later it is done all the same.
    #[doc(alias = "spdk_nvmf_tgt_add_referral")]
    pub async fn add_referral(&self, referral: &NvmfReferral) -> Result<()> {
        const CALL: &str = "spdk_nvmf_tgt_add_referral";
        referral.check()?;
        let referral = referral.clone();
        let add = async move |state: &mut State| {
            if state.referrals.iter().any(|one| one.is_like(&referral)) {
                return failed(CALL, &referral, Errno::EEXIST);
            }
            // SAFETY: the target exists, on the app thread; the options are copied.
            match unsafe { sys::spdk_nvmf_tgt_add_referral(state.tgt.as_ptr(), &referral.to_c()) } {
                0 => {}
                rc => return failed(CALL, &referral, Errno::from_code(rc)),
            }
            #[cfg(spdk_has_spdk_nvmf_referral_add_host)]
            if let Err(error) = add_hosts(state, &referral) {
                // SAFETY: as above.
                unsafe {
                    sys::spdk_nvmf_tgt_remove_referral(state.tgt.as_ptr(), &referral.to_c());
                }
                return Err(error);
            }
            state.referrals.push(referral);
            Ok(())
        };
        change(&self.0, CALL, add).await
    }

    /// Refers hosts to a place no more.
    ///
    /// Wraps `spdk_nvmf_tgt_remove_referral`.
    ///
    /// # Errors
    ///
    /// `ENOENT`: it does not refer to that place.
    ///
    /// # Cancellation
    ///
    /// As for [`NvmfTarget::add_referral`].
    #[doc(alias = "spdk_nvmf_tgt_remove_referral")]
    pub async fn remove_referral(&self, referral: &NvmfReferral) -> Result<()> {
        const CALL: &str = "spdk_nvmf_tgt_remove_referral";
        let referral = referral.clone();
        let remove = async move |state: &mut State| {
            let known = state
                .referrals
                .iter()
                .position(|one| one.is_like(&referral));
            let Some(known) = known else {
                return failed(CALL, &referral, Errno::ENOENT);
            };
            let raw = referral.to_c();
            // SAFETY: the target exists, on the app thread; the options are read.
            match unsafe { sys::spdk_nvmf_tgt_remove_referral(state.tgt.as_ptr(), &raw) } {
                0 => {}
                rc => return failed(CALL, &referral, Errno::from_code(rc)),
            }
            state.referrals.remove(known);
            Ok(())
        };
        change(&self.0, CALL, remove).await
    }

    /// Where it refers hosts to, in the order in which that was added.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread) and [`ErrorKind::Gone`](crate::ErrorKind::Gone).
    pub async fn referrals(&self) -> Result<Vec<NvmfReferral>> {
        let look = async |state: &mut State| Ok(state.referrals.clone());
        change(&self.0, "NvmfTarget::referrals", look).await
    }
}

impl State {
    /// SPDK leaks the hosts of those that a target has at its end.
    pub(super) fn remove_referrals(&mut self) {
        for referral in self.referrals.drain(..) {
            // SAFETY: the target exists, on the app thread; the options are read.
            let rc =
                unsafe { sys::spdk_nvmf_tgt_remove_referral(self.tgt.as_ptr(), &referral.to_c()) };
            if rc != 0 {
                let errno = Errno::from_code(rc);
                tracing::error!(address = %referral.address, %errno, "a referral of an NVMe-oF target stays");
            }
        }
    }
}

fn failed(call: &'static str, referral: &NvmfReferral, errno: Errno) -> Result<()> {
    let object = referral.address.to_string();
    Err(Fault::errno(errno).at(At::new(call, &object.as_str())))
}

/// Gives a referral that was added just now its hosts.
#[cfg(spdk_has_spdk_nvmf_referral_add_host)]
fn add_hosts(state: &State, referral: &NvmfReferral) -> Result<()> {
    const CALL: &str = "spdk_nvmf_referral_add_host";
    // SAFETY: the target exists, on the app thread. A new referral is its first.
    let added = unsafe { sys::spdk_nvmf_tgt_get_first_referral(state.tgt.as_ptr()) };
    for host in &referral.hosts {
        let name = crate::options::text("host", host)?;
        // SAFETY: the referral exists; the name is copied.
        match unsafe { sys::spdk_nvmf_referral_add_host(added, name.as_ptr()) } {
            0 => {}
            rc => return failed(CALL, referral, Errno::from_code(rc)),
        }
    }
    Ok(())
}
