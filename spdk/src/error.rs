//! What can go wrong, and where it did.

use std::ffi::NulError;
use std::fmt;

use crate::errno::Errno;
use crate::nvme_cmd::NvmeCmd;
use crate::nvme_status::NvmeStatus;

/// The result of a call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Where an error happened: the C function, the object and, for I/O, the range.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Context {
    /// The SPDK function that was called, or that would have been.
    pub operation: &'static str,
    /// The object it was called on, such as `bdev "Malloc0"`; empty where there is none.
    pub object: String,
    /// The part of the device that was addressed.
    pub range: Option<Range>,
}

/// The part of a device that an operation addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Range {
    /// A range in bytes.
    Bytes {
        /// The first byte.
        offset: u64,
        /// How many bytes.
        length: u64,
    },
    /// A range in logical blocks of the device.
    Blocks {
        /// The first block.
        offset: u64,
        /// How many blocks.
        count: u64,
    },
    /// A logical block where something begins, such as a zone or a search.
    Block {
        /// The block.
        offset: u64,
    },
    /// A range in logical blocks that is copied to another one.
    Copy {
        /// The first block that is read.
        from: u64,
        /// The first block that is written.
        to: u64,
        /// How many blocks.
        count: u64,
    },
    /// Whatever an NVMe command addresses.
    Command {
        /// The opcode of the command.
        opcode: u8,
        /// How many bytes of data there is room for.
        length: u64,
    },
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Range::Bytes { offset, length } => write!(f, "{length} bytes at byte {offset}"),
            Range::Blocks { offset, count } => write!(f, "{count} blocks at block {offset}"),
            Range::Block { offset } => write!(f, "at block {offset}"),
            Range::Copy { from, to, count } => {
                write!(f, "{count} blocks from block {from} to block {to}")
            }
            Range::Command { opcode, length } => {
                write!(f, "opcode {opcode:#04x}, {length} bytes")
            }
        }
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operation)?;
        if !self.object.is_empty() {
            write!(f, " on {}", self.object)?;
        }
        if let Some(range) = &self.range {
            write!(f, " ({range})")?;
        }
        Ok(())
    }
}

/// Why an object can no longer be used although its handle still exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gone {
    /// The device was removed, or is being removed.
    Removed,
    /// The spdk_thread that the object belongs to has ended.
    ThreadEnded,
    /// The object was closed or given away by an earlier call.
    Closed,
    /// The controller that it belongs to was reset.
    Reset,
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Gone::Removed => "the device has been removed",
            Gone::ThreadEnded => "its spdk_thread has ended",
            Gone::Closed => "it has been closed",
            Gone::Reset => "its controller has been reset",
        })
    }
}

/// An error of this crate. [`Error::kind`] tells which.
///
/// One pointer, so that a result without an error is passed on in registers, through any number of
/// futures.
#[derive(thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<ErrorKind>);

/// Every error of this crate.
///
/// Errno values are positive, as in `errno(3)`, whatever sign the C function uses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The device completed the operation with an error.
    #[error("{at}: {status}")]
    Device {
        /// Where.
        at: Box<Context>,
        /// The status that the device, or the bdev module in its place, reported.
        status: NvmeStatus,
    },
    /// SPDK refused the call, or completed it with an errno.
    #[error("{at}: {errno}{}", .hint.as_deref().unwrap_or_default())]
    Errno {
        /// Where.
        at: Box<Context>,
        /// The reason.
        errno: Errno,
        /// What is wrong with the range, where that explains the errno.
        hint: Option<Box<str>>,
    },
    /// The object belongs to another spdk_thread than the current one.
    #[error(
        "{at}: it belongs to spdk_thread {home:?}, but the current one is {current:?}; use it there, by a message"
    )]
    WrongThread {
        /// Where.
        at: Box<Context>,
        /// The spdk_thread that the object belongs to.
        home: String,
        /// The spdk_thread that the call was made on; empty if none was current.
        current: String,
    },
    /// The channel, or the queue pair, was made for another device than the one it is used with.
    #[error("{at}: it was given the {channel}; use one of this device")]
    WrongChannel {
        /// Where.
        at: Box<Context>,
        /// The channel, such as `I/O channel of bdev "Malloc1"`, or the queue pair.
        channel: String,
    },
    /// An NVMe controller, or a queue pair of it, could not be connected.
    #[error("{at}: it could not be connected; SPDK's log says why")]
    NotConnected {
        /// Where.
        at: Box<Context>,
    },
    /// The object behind the handle is gone.
    #[error("{at}: {why}")]
    Gone {
        /// Where.
        at: Box<Context>,
        /// Why.
        why: Gone,
    },
    /// An argument was refused before SPDK saw it.
    #[error("{at}: {reason}")]
    InvalidArgument {
        /// Where.
        at: Box<Context>,
        /// What was wrong with it, and what would be right.
        reason: String,
    },
    /// No DMA memory is left, or none of this size and alignment.
    #[error(
        "no DMA memory for {size} bytes aligned to {align}; give the application more memory with `mem_size_mb`"
    )]
    NoDmaMemory {
        /// The bytes asked for.
        size: usize,
        /// The alignment asked for, in bytes.
        align: usize,
    },
    /// No bdev has this name.
    #[error("no bdev is named {name:?}")]
    NoSuchBdev {
        /// The name.
        name: String,
    },
    /// SPDK is not running in this process: not started yet, or ended.
    #[error(
        "{operation}: SPDK is not initialised in this process; build a `SpdkEnv` or run a `SpdkApp` first"
    )]
    NotInitialised {
        /// What was tried.
        operation: &'static str,
    },
    /// SPDK can be initialised once in a process, and it was.
    #[error(
        "SPDK was already initialised in this process; it can be initialised once only, even after it ended"
    )]
    AlreadyInitialised,
    /// The current OS thread has no spdk_thread.
    #[error(
        "{operation}: no spdk_thread is current on this OS thread; call it inside `SpdkApp`, or attach one with `SpdkThread::current`"
    )]
    NoThread {
        /// What was tried.
        operation: &'static str,
    },
    /// The spdk_thread that should do the work has ended.
    #[error("spdk_thread {name:?} has ended")]
    ThreadEnded {
        /// Its name.
        name: String,
    },
    /// SPDK would have been polled from inside a poll, which can only wait for itself.
    #[error(
        "{operation} was called from inside a task, message or poller of an spdk_thread; use `.await` there"
    )]
    NestedPoll {
        /// What was tried.
        operation: &'static str,
    },
    /// The task or closure panicked.
    #[error("the task panicked: {message}")]
    Panicked {
        /// The panic message.
        message: String,
    },
    /// The task was aborted, or its spdk_thread ended before it finished.
    #[error("the task was cancelled")]
    Cancelled,
    /// The time of a [`timeout`](crate::time::timeout) was over before its future was ready.
    #[error("it did not end within {limit:?}")]
    TimedOut {
        /// The time that it had.
        limit: std::time::Duration,
    },
    /// SPDK could not start.
    #[error("SPDK did not start: {reason}")]
    Start {
        /// What SPDK said.
        reason: String,
    },
    /// The application ended with an error.
    #[error("SPDK stopped with an error (code {code}): {reason}")]
    Stopped {
        /// The code that `spdk_app_stop` was given.
        code: i32,
        /// What SPDK said last.
        reason: String,
    },
    /// A configuration has mistakes. For the feature `config`, as the next two.
    #[cfg(feature = "config")]
    #[error("{}", crate::config::describe(problems))]
    Config {
        /// All that were found.
        problems: Vec<crate::config::Problem>,
    },
    /// A JSON-RPC method refused its parameters, or failed.
    #[cfg(feature = "config")]
    #[error("JSON-RPC method {method:?}: {message} (code {code})")]
    Rpc {
        /// The method.
        method: String,
        /// The code of JSON-RPC, such as -32601 for a method that does not exist; or an errno, negative.
        code: i32,
        /// What the method said.
        message: String,
    },
    /// A JSON-RPC method could not be called, or its answer is not of the type that was asked for.
    #[cfg(feature = "config")]
    #[error("JSON-RPC method {method:?}: {reason}")]
    RpcAnswer {
        /// The method.
        method: String,
        /// What was wrong with its answer.
        reason: String,
    },
    /// An option of a builder cannot be used.
    #[error("option `{option}`: {reason}")]
    Option {
        /// The builder's method.
        option: &'static str,
        /// What was wrong, where, and what would be right.
        reason: String,
    },
}

impl Error {
    /// Which error it is.
    pub fn kind(&self) -> &ErrorKind {
        &self.0
    }

    /// Which error it is, with what it says.
    pub fn into_kind(self) -> ErrorKind {
        *self.0
    }

    /// The errno of the error, where it has one.
    pub fn errno(&self) -> Option<Errno> {
        match self.kind() {
            ErrorKind::Errno { errno, .. } => Some(*errno),
            ErrorKind::NoDmaMemory { .. } => Some(Errno::ENOMEM),
            ErrorKind::NoSuchBdev { .. } => Some(Errno::ENODEV),
            #[cfg(feature = "config")]
            // -1 is SPDK's code for a method that is not allowed in the current state.
            ErrorKind::Rpc { code, .. } if (-4095..-1).contains(code) => {
                Some(Errno::from_code(*code))
            }
            _ => None,
        }
    }

    /// The NVMe status of the error, where the device reported one.
    pub fn nvme_status(&self) -> Option<NvmeStatus> {
        match self.kind() {
            ErrorKind::Device { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Where the error happened, for errors of a call on an object.
    pub fn context(&self) -> Option<&Context> {
        match self.kind() {
            ErrorKind::Device { at, .. }
            | ErrorKind::Errno { at, .. }
            | ErrorKind::WrongThread { at, .. }
            | ErrorKind::WrongChannel { at, .. }
            | ErrorKind::NotConnected { at }
            | ErrorKind::Gone { at, .. }
            | ErrorKind::InvalidArgument { at, .. } => Some(at),
            _ => None,
        }
    }

    pub(crate) fn errno_of(operation: &'static str, errno: Errno) -> Self {
        Fault::errno(errno).at(At::free(operation))
    }
}

impl From<ErrorKind> for Error {
    #[cold]
    fn from(kind: ErrorKind) -> Self {
        Error(Box::new(kind))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Says which object an error is about.
pub trait Describe {
    /// The object in a few words, such as `bdev "Malloc0"`.
    fn describe(&self) -> String;

    /// For a device: how many blocks it has, and their size in bytes.
    fn extent(&self) -> Option<(u64, u32)> {
        None
    }
}

impl Describe for &str {
    fn describe(&self) -> String {
        format!("{self:?}")
    }
}

/// Where a call is made, borrowed: it costs nothing until there is something to tell.
#[derive(Clone, Copy)]
pub struct At<'a> {
    call: &'static str,
    object: Object<'a>,
    range: Option<Range>,
}

/// What a call is made on.
#[derive(Clone, Copy)]
enum Object<'a> {
    None,
    Some(&'a dyn Describe),
    Name(&'a str),
}

impl<'a> At<'a> {
    /// A call on an object.
    pub fn new(call: &'static str, object: &'a dyn Describe) -> Self {
        At {
            call,
            object: Object::Some(object),
            range: None,
        }
    }

    /// A call on something that has a name only.
    pub fn name(call: &'static str, name: &'a str) -> Self {
        At {
            call,
            object: Object::Name(name),
            range: None,
        }
    }

    /// A call on no object.
    pub fn free(call: &'static str) -> Self {
        At {
            call,
            object: Object::None,
            range: None,
        }
    }

    /// Adds a range in bytes.
    pub fn bytes(mut self, offset: u64, length: u64) -> Self {
        self.range = Some(Range::Bytes { offset, length });
        self
    }

    /// Adds a range in blocks.
    pub fn blocks(mut self, offset: u64, count: u64) -> Self {
        self.range = Some(Range::Blocks { offset, count });
        self
    }

    /// Adds the block where something begins.
    pub fn block(mut self, offset: u64) -> Self {
        self.range = Some(Range::Block { offset });
        self
    }

    /// Adds a range in blocks, and where it is copied to.
    pub fn copy(mut self, from: u64, to: u64, count: u64) -> Self {
        self.range = Some(Range::Copy { from, to, count });
        self
    }

    /// Adds an NVMe command, and the length of its data in bytes.
    pub fn command(mut self, cmd: &NvmeCmd, length: u64) -> Self {
        let opcode = cmd.opcode;
        self.range = Some(Range::Command { opcode, length });
        self
    }

    /// What SPDK means by `EINVAL`, if the range is why, and by what it says of a device that is not to be written, or has no
    /// blobstore.
    fn hint(&self, errno: Errno) -> Option<Box<str>> {
        const LOADS: [&str; 4] = [
            "spdk_bs_load",
            "spdk_bs_grow",
            "spdk_lvs_load",
            "spdk_lvs_grow",
        ];
        if errno == Errno::EILSEQ && LOADS.iter().any(|loads| self.call.starts_with(loads)) {
            return Some("; it has no blobstore, or a damaged one, or not all of one".into());
        }
        if self.call.starts_with("spdk_bdev_") {
            let opens = self.call.starts_with("spdk_bdev_open_ext");
            let reason = match errno {
                Errno::EBADF => "; it was opened to be read only: open it with `write`",
                Errno::EPERM if opens => {
                    "; it has been claimed, as by a bdev upon it: open it without `write`"
                }
                _ => "",
            };
            if !reason.is_empty() {
                return Some(reason.into());
            }
        }
        let (blocks, size) = self.extent()?;
        let (offset, length, unit) = match self.range? {
            Range::Bytes { offset, length } => (offset, length, size),
            Range::Blocks { offset, count } => (offset, count, 1),
            Range::Block { offset } => (offset, 1, 1),
            // The one that ends later.
            Range::Copy { from, to, count } => (from.max(to), count, 1),
            Range::Command { .. } => return None,
        };
        if errno != Errno::EINVAL || unit == 0 {
            return None;
        }
        let end = blocks.saturating_mul(size);
        if offset % unit != 0 || length % unit != 0 {
            Some(format!(
                "; the offset and the length must be multiples of the block size, {size} bytes"
            ))
        } else if offset
            .checked_add(length)
            .is_none_or(|last| last / unit > blocks)
        {
            Some(format!(
                "; the device ends after {blocks} blocks of {size} bytes, at byte {end}"
            ))
        } else {
            None
        }
        .map(String::into_boxed_str)
    }

    fn context(&self) -> Box<Context> {
        Box::new(Context {
            operation: self.call,
            object: self.object(),
            range: self.range,
        })
    }

    /// The C function.
    pub(crate) fn operation(&self) -> &'static str {
        self.call
    }

    /// The object in a few words; empty where there is none.
    pub(crate) fn object(&self) -> String {
        match self.object {
            Object::None => String::new(),
            Object::Some(object) => object.describe(),
            Object::Name(name) => format!("{name:?}"),
        }
    }

    /// How many blocks the device has, and their size in bytes.
    fn extent(&self) -> Option<(u64, u64)> {
        let Object::Some(object) = self.object else {
            return None;
        };
        let (blocks, size) = object.extent()?;
        Some((blocks, u64::from(size)))
    }

    /// The part of the device that is addressed.
    pub(crate) fn range(&self) -> Option<Range> {
        self.range
    }

    /// The bytes of so many blocks, if the size of a block is known.
    pub(crate) fn bytes_of(&self, blocks: u64) -> Option<u64> {
        let (_, size) = self.extent()?;
        blocks.checked_mul(size)
    }
}

/// Says where a call is made, when there is something to tell.
pub trait Place<'a> {
    /// Where it is.
    fn at(&self) -> At<'a>;

    /// The error of a call there.
    fn told(&self, fault: Fault) -> Error {
        fault.at(self.at())
    }
}

impl<'a, F: Fn() -> At<'a>> Place<'a> for F {
    fn at(&self) -> At<'a> {
        self()
    }
}

/// Why a call failed, before it is told where.
///
/// One pointer, so that the result of an operation without an error is one word to move.
#[derive(Debug)]
pub struct Fault(Box<Kind>);

#[derive(Debug)]
enum Kind {
    Errno(Errno),
    Device(NvmeStatus),
    WrongThread { home: String, current: String },
    WrongChannel(String),
    NotConnected,
    Gone(Gone),
    Invalid(String),
    NoDmaMemory { size: usize, align: usize },
    NoThread,
    NotInitialised,
}

#[cold]
fn fault(kind: Kind) -> Fault {
    Fault(Box::new(kind))
}

impl Fault {
    /// SPDK refused the call, or completed it with an errno.
    pub fn errno(errno: Errno) -> Self {
        fault(Kind::Errno(errno))
    }

    /// The device reported a status.
    pub fn device(status: NvmeStatus) -> Self {
        fault(Kind::Device(status))
    }

    /// The object belongs to another spdk_thread.
    pub fn wrong_thread(home: &str, current: &str) -> Self {
        let (home, current) = (home.to_owned(), current.to_owned());
        fault(Kind::WrongThread { home, current })
    }

    /// The channel belongs to another device.
    pub fn wrong_channel(channel: &dyn Describe) -> Self {
        fault(Kind::WrongChannel(channel.describe()))
    }

    /// There is no connection.
    pub fn not_connected() -> Self {
        fault(Kind::NotConnected)
    }

    /// The object is gone.
    pub fn gone(why: Gone) -> Self {
        fault(Kind::Gone(why))
    }

    /// An argument that SPDK must not see.
    pub fn invalid(reason: impl Into<String>) -> Self {
        fault(Kind::Invalid(reason.into()))
    }

    /// No DMA memory.
    pub fn no_dma_memory(size: usize, align: usize) -> Self {
        fault(Kind::NoDmaMemory { size, align })
    }

    /// There is no current spdk_thread.
    pub fn no_thread() -> Self {
        fault(Kind::NoThread)
    }

    /// SPDK is not running.
    pub fn not_initialised() -> Self {
        fault(Kind::NotInitialised)
    }

    /// The error, told where it happened.
    #[cold]
    pub fn at(self, at: At<'_>) -> Error {
        let kind = match *self.0 {
            Kind::Errno(errno) => ErrorKind::Errno {
                at: at.context(),
                errno,
                hint: at.hint(errno),
            },
            Kind::Device(status) => ErrorKind::Device {
                at: at.context(),
                status,
            },
            Kind::WrongThread { home, current } => ErrorKind::WrongThread {
                at: at.context(),
                home,
                current,
            },
            Kind::WrongChannel(channel) => ErrorKind::WrongChannel {
                at: at.context(),
                channel,
            },
            Kind::NotConnected => ErrorKind::NotConnected { at: at.context() },
            Kind::Gone(why) => ErrorKind::Gone {
                at: at.context(),
                why,
            },
            Kind::Invalid(reason) => ErrorKind::InvalidArgument {
                at: at.context(),
                reason,
            },
            Kind::NoDmaMemory { size, align } => ErrorKind::NoDmaMemory { size, align },
            Kind::NoThread => ErrorKind::NoThread { operation: at.call },
            Kind::NotInitialised => ErrorKind::NotInitialised { operation: at.call },
        };
        kind.into()
    }
}

/// The cause, without the place.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Kind::Errno(errno) => errno.fmt(f),
            Kind::Device(status) => status.fmt(f),
            Kind::WrongThread { home, current } => {
                write!(
                    f,
                    "it belongs to spdk_thread {home:?}, but the current one is {current:?}"
                )
            }
            Kind::WrongChannel(channel) => write!(f, "it was given the {channel}"),
            Kind::NotConnected => f.write_str("it could not be connected"),
            Kind::Gone(why) => why.fmt(f),
            Kind::Invalid(reason) => f.write_str(reason),
            Kind::NoDmaMemory { size, align } => {
                write!(f, "no DMA memory for {size} bytes aligned to {align}")
            }
            Kind::NoThread => f.write_str("no spdk_thread is current on this OS thread"),
            Kind::NotInitialised => f.write_str("SPDK is not initialised in this process"),
        }
    }
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        Fault::errno(errno)
    }
}

/// What a text argument with a NUL byte inside is refused with.
pub(crate) fn interior_nul(what: &str, error: &NulError) -> String {
    format!(
        "{what} has a NUL byte at position {}; C strings cannot hold one",
        error.nul_position()
    )
}
