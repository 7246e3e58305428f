//! Sets of CPU cores.
#![allow(unsafe_code)] // Calls SPDK's functions on a set that it owns.

use std::ffi::CStr;
use std::fmt;
use std::ops::{BitAndAssign, BitOrAssign, BitXorAssign, Not};
use std::str::FromStr;

use crate::error::{At, Error, Fault, Result};
use crate::{options, sys};

/// A set of CPU cores, from 0 to 1023.
///
/// It is read from a hexadecimal mask such as `0x3` or a list such as `[0,2-3]`, and written as a mask.
#[doc(alias = "spdk_cpuset")]
#[derive(Clone)]
pub struct CpuSet(Box<sys::spdk_cpuset>);

impl CpuSet {
    /// One more than the highest core.
    pub const SIZE: u32 = sys::SPDK_CPUSET_SIZE;

    /// No core.
    pub fn new() -> Self {
        CpuSet(Box::default()) // zeros
    }

    /// These cores.
    ///
    /// # Errors
    ///
    /// As for [`CpuSet::insert`].
    pub fn of(cores: impl IntoIterator<Item = u32>) -> Result<Self> {
        let mut set = CpuSet::new();
        for core in cores {
            set.insert(core)?;
        }
        Ok(set)
    }

    /// Adds a core.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for one that is not below
    /// [`CpuSet::SIZE`].
    #[doc(alias = "spdk_cpuset_set_cpu")]
    pub fn insert(&mut self, core: u32) -> Result<()> {
        if core >= Self::SIZE {
            let reason = format!("core {core}; the highest is {}", Self::SIZE - 1);
            return Err(Fault::invalid(reason).at(At::free("spdk_cpuset_set_cpu")));
        }
        // SAFETY: the set is ours, and has the core.
        unsafe { sys::spdk_cpuset_set_cpu(self.as_mut_ptr(), core, true) };
        Ok(())
    }

    /// Removes a core.
    #[doc(alias = "spdk_cpuset_set_cpu")]
    pub fn remove(&mut self, core: u32) {
        if core < Self::SIZE {
            // SAFETY: the set is ours, and has the core.
            unsafe { sys::spdk_cpuset_set_cpu(self.as_mut_ptr(), core, false) };
        }
    }

    /// Whether it has this core.
    #[doc(alias = "spdk_cpuset_get_cpu")]
    pub fn contains(&self, core: u32) -> bool {
        // SAFETY: the set is ours, and has the core.
        core < Self::SIZE && unsafe { sys::spdk_cpuset_get_cpu(self.as_ptr(), core) }
    }

    /// How many cores it has.
    #[doc(alias = "spdk_cpuset_count")]
    pub fn len(&self) -> usize {
        // SAFETY: the set is ours.
        unsafe { sys::spdk_cpuset_count(self.as_ptr()) as usize }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its cores, in ascending order.
    #[doc(alias = "spdk_cpuset_for_each_cpu")]
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        (0..Self::SIZE).filter(|core| self.contains(*core))
    }

    /// The set that a text is, or why it is none.
    pub(crate) fn read(mask: &str) -> std::result::Result<Self, String> {
        // Linux writes a mask with commas.
        let cores = match mask.contains('[') {
            true => options::parse_set(mask),
            false => options::parse_set(&mask.replace(',', "")),
        };
        let not_a_set = |reason: String| {
            format!(
                "not a set of cores: {reason}; write a hexadecimal mask such as 0x3 or a list such as [0,2-3]"
            )
        };
        let mut set = CpuSet::new();
        for core in cores.map_err(not_a_set)? {
            set.insert(core)
                .map_err(|_| not_a_set(format!("the highest core is {}", Self::SIZE - 1)))?;
        }
        Ok(set)
    }

    /// The C object, for calls that this crate does not wrap.
    pub fn as_ptr(&self) -> *const sys::spdk_cpuset {
        &raw const *self.0
    }

    /// # Safety
    /// `set` is valid, and nobody changes it meanwhile.
    pub(crate) unsafe fn copied(set: *const sys::spdk_cpuset) -> Self {
        // SAFETY: passed on.
        CpuSet(Box::new(unsafe { *set }))
    }

    fn as_mut_ptr(&mut self) -> *mut sys::spdk_cpuset {
        &raw mut *self.0
    }
}

impl Default for CpuSet {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for CpuSet {
    fn eq(&self, other: &Self) -> bool {
        // SAFETY: both sets are ours.
        unsafe { sys::spdk_cpuset_equal(self.as_ptr(), other.as_ptr()) }
    }
}

impl Eq for CpuSet {}

impl BitAndAssign<&CpuSet> for CpuSet {
    fn bitand_assign(&mut self, other: &CpuSet) {
        // SAFETY: both sets are ours.
        unsafe { sys::spdk_cpuset_and(self.as_mut_ptr(), other.as_ptr()) }
    }
}

impl BitOrAssign<&CpuSet> for CpuSet {
    fn bitor_assign(&mut self, other: &CpuSet) {
        // SAFETY: both sets are ours.
        unsafe { sys::spdk_cpuset_or(self.as_mut_ptr(), other.as_ptr()) }
    }
}

impl BitXorAssign<&CpuSet> for CpuSet {
    fn bitxor_assign(&mut self, other: &CpuSet) {
        // SAFETY: both sets are ours.
        unsafe { sys::spdk_cpuset_xor(self.as_mut_ptr(), other.as_ptr()) }
    }
}

impl Not for CpuSet {
    type Output = CpuSet;

    fn not(mut self) -> CpuSet {
        // SAFETY: the set is ours.
        unsafe { sys::spdk_cpuset_negate(self.as_mut_ptr()) };
        self
    }
}

impl FromStr for CpuSet {
    type Err = Error;

    fn from_str(mask: &str) -> Result<Self> {
        Self::read(mask)
            .map_err(|reason| Fault::invalid(reason).at(At::new("spdk_cpuset_parse", &mask)))
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut copy = self.clone();
        // SAFETY: the set is ours; the text is inside of it.
        let text = unsafe { CStr::from_ptr(sys::spdk_cpuset_fmt(copy.as_mut_ptr())) };
        write!(f, "0x{}", text.to_string_lossy())
    }
}

impl fmt::Debug for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
