//! Several reactors: an application's cores, and spdk_threads on them.
//!
//! A reactor polls the spdk_threads of its core. Those that are made here belong to this crate: when
//! they end, by [`ThreadHandle::exit`] or with the application, they exit.
#![allow(unsafe_code)] // Creates spdk_threads on reactors, and sends them their first message.

use std::collections::BTreeMap;
use std::ffi::{CString, c_void};
use std::future::Future;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};

use crate::error::{At, Error, Fault, Result};
use crate::inbox::Messages;
use crate::local::{Local, current_thread};
use crate::shared::{Owner, Shared};
use crate::{CpuSet, Errno, SpdkApp, ThreadHandle, app, options, panic, sys};

/// The spdk_threads of [`spawn_on`], by their cores.
static KEPT: Mutex<BTreeMap<u32, ThreadHandle>> = Mutex::new(BTreeMap::new());

impl SpdkApp {
    /// The cores of the running application, in ascending order. Each has a reactor.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotInitialised`](crate::ErrorKind::NotInitialised) without a running
    /// application, [`ErrorKind::ThreadEnded`](crate::ErrorKind::ThreadEnded) while it is ending.
    #[doc(alias = "spdk_env_get_first_core", alias = "spdk_env_get_next_core")]
    pub fn cores() -> Result<Vec<u32>> {
        app::while_running("SpdkApp::cores", |_| Ok(cores()))
    }

    /// The core whose reactor runs the caller; `None` on other OS threads.
    #[doc(alias = "spdk_env_get_current_core")]
    pub fn current_core() -> Option<u32> {
        // SAFETY: no precondition.
        let core = unsafe { sys::spdk_env_get_current_core() };
        (core != u32::MAX).then_some(core)
    }
}

/// The cores of the environment. The application runs.
fn cores() -> Vec<u32> {
    // SAFETY: the environment is up, since the application runs, and its cores do not change.
    let first = unsafe { sys::spdk_env_get_first_core() };
    // SAFETY: as above. It takes any core, and returns `u32::MAX` after the last one.
    let next = |core: &u32| Some(unsafe { sys::spdk_env_get_next_core(*core) });
    std::iter::successors(Some(first), next)
        .take_while(|core| *core != u32::MAX)
        .collect()
}

/// Runs a task on a core of the application: `make` is sent there and builds the future, which need
/// not be `Send`. Returns the task's output.
///
/// The task runs on the one spdk_thread that the application keeps for that core, which is made when
/// it is first asked for; on the main core it is the app thread. For an spdk_thread of its own, see
/// [`ThreadHandle::on_core`].
///
/// ```no_run
/// use spdk::{Bdev, DmaBuf, SpdkApp};
///
/// async fn first_byte() -> spdk::Result<u8> {
///     let desc = Bdev::find("Malloc0")?.open(false)?;
///     let channel = desc.get_io_channel()?; // this core's own
///     let mut buf = DmaBuf::alloc(4096, 4096)?;
///     desc.read(&channel, &mut buf, 0).await?;
///     Ok(buf[0])
/// }
///
/// # async fn example() -> spdk::Result<()> {
/// for core in SpdkApp::cores()? {
///     let byte = spdk::spawn_on(core, first_byte).await??;
///     println!("core {core} has read {byte}");
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// As for [`ThreadHandle::on_core`] and [`ThreadHandle::spawn`].
///
/// # Cancellation
///
/// The task runs on when the future is dropped; its output is dropped then. A future that was never
/// polled has started nothing.
pub async fn spawn_on<M, F>(core: u32, make: M) -> Result<F::Output>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future + 'static,
    F::Output: Send + 'static,
{
    kept(core).await?.spawn(make).await
}

/// The spdk_thread that the application keeps for a core.
async fn kept(core: u32) -> Result<ThreadHandle> {
    const CALL: &str = "spawn_on";
    let (thread, started) = app::while_running(CALL, |app| {
        check(CALL, core)?;
        // SAFETY: the environment is up, since the application runs.
        if core == unsafe { sys::spdk_env_get_main_core() } {
            return Ok((ThreadHandle::of(app.clone()), None));
        }
        let mut kept = KEPT.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(thread) = kept.get(&core)
            && !thread.has_ended()
        {
            return Ok((thread.clone(), None));
        }
        let name = options::text("name", &format!("core_{core}"))?;
        let (thread, started) = create(&name, &CpuSet::of([core])?)?;
        kept.insert(core, thread.clone());
        Ok((thread, Some(started)))
    })?;
    if let Some(started) = started {
        started.wait(CALL, &thread).await?;
    }
    Ok(thread)
}

impl ThreadHandle {
    /// Creates an spdk_thread on a core of the running application; the core's reactor polls it.
    ///
    /// It lives until [`ThreadHandle::exit`], or until the application ends. Dropping the handle
    /// changes nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotInitialised`](crate::ErrorKind::NotInitialised) without a running
    /// application, [`ErrorKind::ThreadEnded`](crate::ErrorKind::ThreadEnded) while it is ending,
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for a core that the
    /// application does not run on, [`ErrorKind::Option`](crate::ErrorKind::Option) for a name that
    /// is empty or has a NUL byte, [`ErrorKind::Errno`](crate::ErrorKind::Errno) if SPDK has no
    /// memory for it.
    ///
    /// # Cancellation
    ///
    /// The spdk_thread may exist when the future is dropped; it ends with the application then.
    #[doc(alias = "spdk_thread_create")]
    pub async fn on_core(name: &str, core: u32) -> Result<ThreadHandle> {
        const CALL: &str = "ThreadHandle::on_core";
        let name = options::text("name", name)?;
        let (thread, started) = app::while_running(CALL, |_| {
            check(CALL, core)?;
            create(&name, &CpuSet::of([core])?)
        })?;
        started.wait(CALL, &thread).await?;
        Ok(thread)
    }

    /// [`ThreadHandle::on_core`], where SPDK chooses among these cores: the next in turn each time.
    ///
    /// The spdk_thread stays on the core that it gets: what Rust keeps for an spdk_thread belongs to an OS
    /// thread. One that moves is a [`MovableThread`](crate::MovableThread).
    ///
    /// # Errors
    ///
    /// As for [`ThreadHandle::on_core`]; [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument)
    /// also for no core.
    ///
    /// # Cancellation
    ///
    /// As for [`ThreadHandle::on_core`].
    #[doc(alias = "spdk_thread_create")]
    pub async fn on_cores(name: &str, cores: &CpuSet) -> Result<ThreadHandle> {
        const CALL: &str = "ThreadHandle::on_cores";
        let name = options::text("name", name)?;
        let (thread, started) = app::while_running(CALL, |_| {
            check_all(CALL, cores)?;
            create(&name, cores)
        })?;
        started.wait(CALL, &thread).await?;
        Ok(thread)
    }

    /// Ends an spdk_thread that [`ThreadHandle::on_core`] has made, and returns when it has ended:
    /// its tasks were dropped there, the operations in flight waited for, and what was still open
    /// closed. Devices whose operations do not end are reset, as at the
    /// [end of the application](crate::SpdkAppBuilder::shutdown_patience).
    ///
    /// On one that has ended it does nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for an spdk_thread that
    /// was made in another way.
    ///
    /// # Cancellation
    ///
    /// The spdk_thread ends all the same when the future is dropped after its first poll. A task that
    /// ends its own spdk_thread is dropped while it waits.
    #[doc(alias = "spdk_thread_exit")]
    pub async fn exit(self) -> Result<()> {
        let shared = self.shared();
        if shared.owner() != Owner::Crate {
            let reason = format!(
                "{:?} was not made by `ThreadHandle::on_core`; the app thread ends with \
                 `SpdkApp::stop`, and an `SpdkThread` when it is dropped",
                shared.name()
            );
            return Err(Fault::invalid(reason).at(At::free("ThreadHandle::exit")));
        }
        let (ended, wait) = oneshot::async_channel::<()>();
        // If it has ended, this drops the message and `ended` with it.
        shared.send(move || {
            if let Ok(local) = Local::current() {
                local.end(Box::new(move || drop(ended)));
            }
        });
        // Nothing is sent: the channel closes.
        let _ = wait.await;
        Ok(())
    }
}

/// Refuses a core without a reactor. The application runs.
fn check(call: &'static str, core: u32) -> Result<()> {
    let cores = cores();
    if cores.contains(&core) {
        return Ok(());
    }
    let reason = format!(
        "the application does not run on core {core}, but on {cores:?}; name its cores with \
         `reactor_mask`"
    );
    Err(Fault::invalid(reason).at(At::free(call)))
}

/// Refuses a set without a core, and one with a core without a reactor. The application runs.
pub(crate) fn check_all(call: &'static str, cores: &CpuSet) -> Result<()> {
    if cores.is_empty() {
        return Err(Fault::invalid("a set without a core").at(At::free(call)));
    }
    cores.iter().try_for_each(|core| check(call, core))
}

/// The answer of an spdk_thread to its first message.
struct Started(oneshot::AsyncReceiver<Result<(), Fault>>);

impl Started {
    async fn wait(self, call: &'static str, thread: &ThreadHandle) -> Result<()> {
        match self.0.await {
            Ok(outcome) => outcome.map_err(|fault| fault.at(At::free(call))),
            Err(_) => Err(thread.ended()),
        }
    }
}

/// The first message of an spdk_thread.
struct Start {
    shared: Arc<Shared>,
    index: u32,
    cores: CpuSet,
    outcome: oneshot::Sender<Result<(), Fault>>,
}

/// Creates an spdk_thread on one of these cores of the application, which runs and does not begin to end
/// meanwhile. What is sent to it is kept until it has started.
fn create(name: &CString, cores: &CpuSet) -> Result<(ThreadHandle, Started)> {
    const CALL: &str = "spdk_thread_create";
    // SAFETY: the framework runs, so its thread library is up; the name and the cpuset are copied.
    let thread = unsafe { sys::spdk_thread_create(name.as_ptr(), cores.as_ptr()) };
    let Some(thread) = NonNull::new(thread) else {
        return Err(Error::errno_of(CALL, Errno::ENOMEM));
    };
    // SAFETY: it was just created, and only this crate ends it, after its first message.
    let id = unsafe { sys::spdk_thread_get_id(thread.as_ptr()) };
    let shared = Arc::new(Shared::new(&name.to_string_lossy(), id, Owner::Crate));
    let (outcome, started) = oneshot::async_channel();
    let first = Box::into_raw(Box::new(Start {
        shared: shared.clone(),
        // From here on the end of the application ends it too.
        index: shared.register(),
        cores: cores.clone(),
        outcome,
    }));
    // SAFETY: the spdk_thread exists, as above; `start` takes the box back.
    let rc = unsafe { sys::spdk_thread_send_msg(thread.as_ptr(), Some(start), first.cast()) };
    if rc != 0 {
        // SAFETY: SPDK did not take it.
        let first = unsafe { Box::from_raw(first) };
        Shared::unregister(first.index);
        shared.close(Messages::default());
        return Err(Error::errno_of(
            "spdk_thread_send_msg",
            Errno::from_code(rc),
        ));
    }
    Ok((ThreadHandle::of(shared), Started(started)))
}

unsafe extern "C" fn start(first: *mut c_void) {
    panic::guard("start of an spdk_thread", || {
        // SAFETY: from `into_raw` in `create`, taken back once.
        let first = unsafe { Box::from_raw(first.cast::<Start>()) };
        let thread = current_thread();
        // SAFETY: no precondition.
        let core = unsafe { sys::spdk_env_get_current_core() };
        let outcome = if first.cores.contains(core) {
            Local::adopt(thread, first.shared, first.index).map(drop)
        } else {
            Shared::unregister(first.index);
            first.shared.close(Messages::default());
            Err(Fault::invalid(format!(
                "SPDK put the spdk_thread on core {core} instead of one of {:?}, whose reactors are in \
                 interrupt mode",
                first.cores
            )))
        };
        if outcome.is_err() {
            // SAFETY: it is the current spdk_thread, which has nothing open.
            unsafe { sys::spdk_thread_exit(thread) };
        }
        // The caller may have dropped its future.
        let _ = first.outcome.send(outcome);
    });
}
