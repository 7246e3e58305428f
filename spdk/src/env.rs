//! The SPDK environment: memory, cores and PCI, without the application framework.
#![allow(unsafe_code)] // Initialises and ends SPDK's environment, once.

use std::ffi::CString;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

use crate::errno::Errno;
use crate::error::{ErrorKind, Result};
use crate::{log, mem, options, sys, thread};

/// Where this process is in SPDK's one life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Phase {
    Before,
    Starting,
    /// A [`SpdkEnv`] exists.
    Env,
    /// A `SpdkApp` runs.
    App,
    Ended,
}

static PHASE: AtomicU8 = AtomicU8::new(Phase::Before as u8);

pub(crate) fn phase() -> Phase {
    match PHASE.load(SeqCst) {
        0 => Phase::Before,
        1 => Phase::Starting,
        2 => Phase::Env,
        3 => Phase::App,
        _ => Phase::Ended,
    }
}

pub(crate) fn set_phase(phase: Phase) {
    PHASE.store(phase as u8, SeqCst);
}

/// Whether SPDK's memory can be used.
pub(crate) fn is_up() -> bool {
    matches!(phase(), Phase::Env | Phase::App)
}

/// Claims the one initialisation of the process.
pub(crate) fn begin() -> Result<()> {
    PHASE
        .compare_exchange(Phase::Before as u8, Phase::Starting as u8, SeqCst, SeqCst)
        .map(|_| ())
        .map_err(|_| ErrorKind::AlreadyInitialised.into())
}

/// The SPDK environment, initialised once in a process; dropping it ends it for good.
///
/// It has memory ([`DmaBuf`](crate::DmaBuf)) and spdk_threads that you poll yourself
/// ([`SpdkThread`](crate::SpdkThread)), but no bdevs: those come with [`SpdkApp`](crate::SpdkApp).
///
/// If buffers or spdk_threads still exist when it is dropped, SPDK's memory stays mapped until the
/// process ends, so that they stay valid.
#[derive(Debug)]
#[must_use = "SPDK ends when this is dropped"]
pub struct SpdkEnv {
    _not_send: PhantomData<*mut ()>,
}

impl SpdkEnv {
    /// Initialises SPDK with the default options.
    ///
    /// # Errors
    ///
    /// As for [`SpdkEnvBuilder::build`].
    pub fn init() -> Result<SpdkEnv> {
        Self::builder().build()
    }

    /// Sets options first.
    pub fn builder() -> SpdkEnvBuilder {
        SpdkEnvBuilder::default()
    }
}

impl Drop for SpdkEnv {
    fn drop(&mut self) {
        let (_frozen, threads) = thread::freeze();
        set_phase(Phase::Ended);
        let buffers = mem::live();
        if buffers != 0 || threads != 0 {
            tracing::warn!(buffers, threads, "SPDK's memory stays mapped: it is in use");
            return;
        }
        // SAFETY: initialised by `build`; nothing uses SPDK's memory, and nothing can start to.
        unsafe { sys::spdk_env_fini() }
    }
}

/// The options of a [`SpdkEnv`]. What is not set has SPDK's default.
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct SpdkEnvBuilder {
    name: Option<String>,
    core_mask: Option<String>,
    mem_size_mb: Option<i32>,
    shm_id: Option<i32>,
    no_pci: bool,
    no_huge: bool,
    hugepage_single_segments: bool,
    main_core: Option<i32>,
}

impl SpdkEnvBuilder {
    /// The name of the application, in the names of its hugepage files.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// The cores, as a hexadecimal mask such as `0x3` or a list such as `[0,2-3]`.
    pub fn core_mask(mut self, mask: &str) -> Self {
        self.core_mask = Some(mask.to_owned());
        self
    }

    /// SPDK's memory in megabytes.
    pub fn mem_size_mb(mut self, mb: i32) -> Self {
        self.mem_size_mb = Some(mb);
        self
    }

    /// The shared memory id, for several processes that share devices; -1 for none.
    pub fn shm_id(mut self, id: i32) -> Self {
        self.shm_id = Some(id);
        self
    }

    /// Leaves the PCI devices alone.
    pub fn no_pci(mut self, no_pci: bool) -> Self {
        self.no_pci = no_pci;
        self
    }

    /// Uses ordinary memory instead of hugepages, and as much as `mem_size_mb` says. Enough for bdevs that need
    /// no DMA, and for tests.
    pub fn no_huge(mut self, no_huge: bool) -> Self {
        self.no_huge = no_huge;
        self
    }

    /// Makes each memory segment one hugepage file.
    pub fn hugepage_single_segments(mut self, single: bool) -> Self {
        self.hugepage_single_segments = single;
        self
    }

    /// The core of the thread that calls [`SpdkEnvBuilder::build`].
    pub fn main_core(mut self, core: i32) -> Self {
        self.main_core = Some(core);
        self
    }

    /// Initialises SPDK.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Option`] for an option that cannot be used, [`ErrorKind::AlreadyInitialised`]
    /// if this process has initialised SPDK before, [`ErrorKind::Start`] with SPDK's words
    /// otherwise.
    #[doc(alias = "spdk_env_init")]
    pub fn build(self) -> Result<SpdkEnv> {
        let name = options::text("name", self.name.as_deref().unwrap_or("spdk"))?;
        let core_mask: Option<CString> = match &self.core_mask {
            Some(mask) => Some(options::cores("core_mask", mask)?),
            None => None,
        };
        options::main_core(self.main_core, self.core_mask.as_deref())?;
        options::no_huge(self.no_huge, self.mem_size_mb)?;
        let mem_size = self.mem_size_mb.map(options::memory).transpose()?;
        begin()?;
        log::capture();
        let mut opts = MaybeUninit::<sys::spdk_env_opts>::zeroed();
        // SAFETY: zeroes are valid for every field; the init function fills in the defaults, after
        // it was told the size where it asks for one. The texts live until `spdk_env_init` returns.
        let rc = unsafe {
            let opts = &mut *opts.as_mut_ptr();
            #[cfg(spdk_since_24_09)]
            {
                opts.opts_size = size_of::<sys::spdk_env_opts>() as _;
            }
            sys::spdk_env_opts_init(opts);
            opts.name = name.as_ptr();
            if let Some(mask) = &core_mask {
                opts.core_mask = mask.as_ptr();
            }
            if let Some(mb) = mem_size {
                opts.mem_size = mb;
            }
            if let Some(id) = self.shm_id {
                opts.shm_id = id;
            }
            if let Some(core) = self.main_core {
                opts.main_core = core;
            }
            opts.no_pci = self.no_pci;
            opts.no_huge = self.no_huge;
            opts.hugepage_single_segments = self.hugepage_single_segments;
            sys::spdk_env_init(ptr::from_mut(opts))
        };
        log::started();
        if rc != 0 {
            set_phase(Phase::Before);
            let otherwise = format!("spdk_env_init: {}", Errno::from_code(rc));
            let mut reason = log::reason(&otherwise);
            reason += options::dpdk("initialize DPDK", self.no_huge);
            return Err(ErrorKind::Start { reason }.into());
        }
        set_phase(Phase::Env);
        Ok(SpdkEnv {
            _not_send: PhantomData,
        })
    }
}
