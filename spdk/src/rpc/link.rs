//! The way to SPDK's methods: a JSON-RPC server of SPDK with this process as its only client.
//!
//! SPDK has no function that runs a method, but a server whose owner polls it. This one listens on a
//! socket in a directory that only this user can enter. Once the connection stands, both are removed:
//! nobody else can connect from then on. Both ends are served by one poller on the app thread, which
//! runs only while calls wait for answers.
#![allow(unsafe_code)] // Owns an SPDK server and a poller, and is called back by the latter.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::ffi::{CString, c_int, c_void};
use std::fs::{self, DirBuilder};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::rc::{Rc, Weak};

use super::bdevs;
use super::message::{self, Message};
use crate::error::Gone;
use crate::local::{Local, Revoke};
use crate::{panic, sys};

/// How often the poller runs while calls wait, in microseconds; as often as SPDK's own client.
const PERIOD_US: u64 = 100;
/// The longest path of a socket, less what is put at its end.
const MAX_PATH: usize = 64;

/// Gets the text of an answer, or why there is none.
pub(super) type Sender = oneshot::Sender<Result<Vec<u8>, String>>;

/// A connection to SPDK's methods. Lives on the app thread.
struct Link {
    server: NonNull<sys::spdk_rpc_server>,
    socket: UnixStream,
    /// Null while no call waits.
    poller: Cell<*mut sys::spdk_poller>,
    state: RefCell<State>,
    local: Rc<Local>,
    key: Cell<u64>,
    /// The methods that still run are not waited for any more.
    has_given_up: Cell<bool>,
}

#[derive(Default)]
struct State {
    /// What the socket has not taken yet.
    unsent: Vec<u8>,
    /// The begin of an answer.
    received: Vec<u8>,
    /// The calls without an answer, by their numbers.
    waiting: BTreeMap<u64, Waiting>,
    /// The calls that SPDK does not get before others are answered, in their order.
    held: Vec<(Message, Sender)>,
}

/// A call that SPDK has.
struct Waiting {
    method: String,
    subject: Option<String>,
    sender: Sender,
}

impl State {
    fn add(&mut self, message: Message, sender: Sender) {
        match message.subject() {
            Some(subject) if self.has_to_wait(&message.method, subject) => {
                self.held.push((message, sender));
            }
            _ => self.send(message, sender),
        }
    }

    fn has_to_wait(&self, method: &str, subject: &str) -> bool {
        let mut waiting = self.waiting.values();
        let mut held = self.held.iter();
        held.any(|(other, _)| other.subject() == Some(subject))
            || waiting.any(|other| {
                other.subject.as_deref() == Some(subject)
                    && bdevs::comes_after(method, &other.method)
            })
    }

    fn send(&mut self, message: Message, sender: Sender) {
        self.unsent.extend_from_slice(&message.text);
        let Message {
            id,
            method,
            subject,
            ..
        } = message;
        let waiting = Waiting {
            method,
            subject,
            sender,
        };
        self.waiting.insert(id, waiting);
    }

    /// A call has been answered, for which others may have been held.
    fn release(&mut self) {
        for (message, sender) in std::mem::take(&mut self.held) {
            self.add(message, sender);
        }
    }
}

thread_local! {
    static LINK: RefCell<Option<Rc<Link>>> = const { RefCell::new(None) };
}

/// Makes a call. Runs as a message of the app thread, which drops what comes while it ends.
pub(super) fn submit(message: Message, sender: Sender) {
    if let Some(answer) = message.refusal() {
        let _ = sender.send(Ok(answer)); // the caller may have dropped its future
        return;
    }
    let link = match current() {
        Ok(Some(link)) => link,
        Ok(None) => return,
        Err(error) => {
            let reason = format!("cannot reach SPDK's JSON-RPC: {error}");
            let _ = sender.send(Err(reason)); // the caller may have dropped its future
            return;
        }
    };
    link.state.borrow_mut().add(message, sender);
    link.start_poller();
}

/// The link of the current spdk_thread, which is the app thread; none while that ends.
fn current() -> io::Result<Option<Rc<Link>>> {
    let Ok(local) = Local::current() else {
        return Ok(None);
    };
    if local.is_ending() {
        return Ok(None);
    }
    if let Some(link) = LINK.with_borrow(Option::clone) {
        return Ok(Some(link));
    }
    let link = Rc::new(Link::open(local)?);
    let weak: Weak<Link> = Rc::downgrade(&link);
    link.key.set(link.local.add(weak));
    LINK.set(Some(link.clone()));
    Ok(Some(link))
}

impl Link {
    fn open(local: Rc<Local>) -> io::Result<Link> {
        let directory = private_directory()?;
        let path = directory.join("rpc");
        let opened = connect(&path);
        // SPDK made the first two.
        for name in [&path, &path.with_extension("lock")] {
            let _ = fs::remove_file(name);
        }
        let _ = fs::remove_dir(&directory);
        let (server, socket) = opened?;
        Ok(Link {
            server,
            socket,
            poller: Cell::new(ptr::null_mut()),
            state: RefCell::default(),
            local,
            key: Cell::new(0),
            has_given_up: Cell::new(false),
        })
    }

    fn start_poller(self: &Rc<Self>) {
        if !self.poller.get().is_null() {
            return;
        }
        let arg = Rc::as_ptr(self).cast_mut().cast();
        // SAFETY: `LINK` holds the link until `close` has unregistered the poller; the name is copied.
        let poller = unsafe {
            sys::spdk_poller_register_named(Some(poll), arg, PERIOD_US, c"spdk-rs-rpc".as_ptr())
        };
        self.poller.set(poller);
        if poller.is_null() {
            self.break_off("SPDK has no memory for a poller");
        }
    }

    fn stop_poller(&self) {
        let mut poller = self.poller.replace(ptr::null_mut());
        // SAFETY: null, or registered on this spdk_thread, the app thread.
        unsafe { sys::spdk_poller_unregister(&mut poller) };
    }

    fn turn(&self) -> bool {
        let turn = self.send().and_then(|sent| {
            // The second time it sends what the first has answered.
            for _ in 0..2 {
                // SAFETY: the server exists until `close`, and this is the app thread. The methods that
                // run in it may poll tasks of ours, but nothing there closes a link, and `state` is
                // not borrowed.
                unsafe { sys::spdk_rpc_server_accept(self.server.as_ptr()) };
            }
            self.receive().map(|received| sent || received)
        });
        match turn {
            Ok(busy) => {
                if self.state.borrow().waiting.is_empty() {
                    self.stop_poller();
                }
                busy
            }
            Err(error) => {
                let reason = format!("the connection to SPDK's JSON-RPC broke off: {error}");
                self.break_off(&reason);
                true
            }
        }
    }

    fn send(&self) -> io::Result<bool> {
        let unsent = &mut self.state.borrow_mut().unsent;
        let mut sent = 0;
        while sent < unsent.len() {
            match (&self.socket).write(&unsent[sent..]) {
                Ok(length) => sent += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        unsent.drain(..sent);
        Ok(sent > 0)
    }

    /// Takes the answers that have come. Each is a line.
    fn receive(&self) -> io::Result<bool> {
        let mut chunk = [0; 16 * 1024];
        let mut busy = false;
        loop {
            let length = match (&self.socket).read(&mut chunk) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(busy),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            busy = true;
            let mut chunk = &chunk[..length];
            while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
                let mut line = std::mem::take(&mut self.state.borrow_mut().received);
                line.extend_from_slice(&chunk[..end]);
                chunk = &chunk[end + 1..];
                self.answer(line)?;
            }
            self.state.borrow_mut().received.extend_from_slice(chunk);
        }
    }

    fn answer(&self, line: Vec<u8>) -> io::Result<()> {
        let call = message::id(&line).and_then(|id| self.state.borrow_mut().waiting.remove(&id));
        let Some(call) = call else {
            let line = String::from_utf8_lossy(&line);
            return Err(io::Error::other(format!("an answer to no call: {line}")));
        };
        self.state.borrow_mut().release();
        let _ = call.sender.send(Ok(line)); // the caller may have dropped its future
        Ok(())
    }

    /// Answers every call with `reason`. The next one opens another link.
    fn break_off(&self, reason: &str) {
        tracing::error!(reason, "rpc::call");
        let State { waiting, held, .. } = self.state.take();
        self.local.remove(self.key.get());
        self.close();
        let waiting = waiting.into_values().map(|call| call.sender);
        for sender in waiting.chain(held.into_iter().map(|(_, sender)| sender)) {
            let _ = sender.send(Err(reason.to_owned())); // the caller may have dropped its future
        }
    }

    /// Called once, outside of the server's poll.
    fn close(&self) {
        self.stop_poller();
        // SAFETY: the server is this link's, and not used any more: its poller is gone, and `LINK` gives
        // the link to nobody from now on. A method that still runs finds its connection closed.
        unsafe { sys::spdk_rpc_server_close(self.server.as_ptr()) };
        // The caller has a reference of its own.
        drop(LINK.take());
    }
}

impl Revoke for Link {
    fn operations(&self, _references: usize) -> usize {
        match self.has_given_up.get() {
            true => 0,
            false => {
                let state = self.state.borrow();
                state.waiting.len() + state.held.len()
            }
        }
    }

    fn revoke(&self, _why: Gone) {
        let state = self.state.take();
        self.close();
        drop(state); // tells those who wait
    }

    fn abort_operations(self: Rc<Self>, _reset: &mut Vec<*const ()>) {
        self.has_given_up.set(true);
    }

    fn kind(&self) -> &'static str {
        "JSON-RPC"
    }

    fn label(&self) -> String {
        let state = self.state.borrow();
        let waiting = state.waiting.values().map(|call| &*call.method);
        let held = state.held.iter().map(|(message, _)| &*message.method);
        let methods: Vec<&str> = waiting.chain(held).collect();
        format!("JSON-RPC {}", methods.join(", "))
    }
}

unsafe extern "C" fn poll(arg: *mut c_void) -> c_int {
    panic::guard("JSON-RPC poller", || {
        let link = arg.cast::<Link>().cast_const();
        // SAFETY: `LINK` holds a reference until the poller is unregistered; this call takes one more,
        // for the case that it does that itself.
        let link = unsafe {
            Rc::increment_strong_count(link);
            Rc::from_raw(link)
        };
        c_int::from(link.turn())
    })
}

/// A server that listens on `path`, and a connection to it.
fn connect(path: &Path) -> io::Result<(NonNull<sys::spdk_rpc_server>, UnixStream)> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: this is the app thread; the name is copied.
    let server = unsafe { sys::spdk_rpc_server_listen(name.as_ptr()) };
    let server = NonNull::new(server)
        .ok_or_else(|| io::Error::other("spdk_rpc_server_listen failed; SPDK's log says why"))?;
    // It does not wait for the server to accept: that has a queue, which is empty.
    let socket = UnixStream::connect(path).and_then(|socket| {
        socket.set_nonblocking(true)?;
        Ok(socket)
    });
    match socket {
        Ok(socket) => Ok((server, socket)),
        Err(error) => {
            // SAFETY: as above; nobody else has the server.
            unsafe { sys::spdk_rpc_server_close(server.as_ptr()) };
            Err(error)
        }
    }
}

/// Makes a directory that only this user can enter.
fn private_directory() -> io::Result<PathBuf> {
    let mut parent = std::env::temp_dir();
    if parent.as_os_str().len() > MAX_PATH {
        parent = PathBuf::from("/tmp"); // the path of a socket is short
    }
    loop {
        let number = RandomState::new().build_hasher().finish();
        let directory = parent.join(format!("spdk-{number:016x}"));
        match DirBuilder::new().mode(0o700).create(&directory) {
            Ok(()) => return Ok(directory),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => {
                let place = parent.display();
                let text = format!("no directory can be made in {place} (see `TMPDIR`): {error}");
                return Err(io::Error::new(error.kind(), text));
            }
        }
    }
}
