//! What stands between a host and its target, and sees each command: it can lose it, or answer it itself. It can
//! also spoil what it forwards, and stand still.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use spdk::nvme::TransportId;

use super::Target;

/// Types of PDUs, by the specification of NVMe/TCP.
const IC_REQ: u8 = 0;
const COMMAND: u8 = 4;
const RESPONSE: u8 = 5;
const DATA_TO_TARGET: u8 = 6;
const DATA_TO_HOST: u8 = 7;
/// The flag of a PDU whose header has a digest behind it.
const HEADER_DIGEST: u8 = 1;
/// Where the fields of a command begin, behind the header that all PDUs have.
const FIELDS: usize = 8;

/// The opcode of Fabrics commands.
pub const FABRICS: u8 = 0x7f;
/// Types of Fabrics commands.
pub const PROPERTY_SET: u8 = 0;
/// Connect.
pub const CONNECT: u8 = 1;
/// Property Get.
pub const PROPERTY_GET: u8 = 4;

/// A command that a host has sent.
#[derive(Clone, Debug)]
pub struct Command {
    /// Which connection it is of, in the order of their begin.
    pub connection: usize,
    /// Whether it is of the admin queue.
    pub is_admin: bool,
    /// The 64 bytes of the submission queue entry.
    pub entry: [u8; 64],
    /// The data that came with it.
    pub data: Vec<u8>,
}

impl Command {
    /// Its opcode.
    pub fn opcode(&self) -> u8 {
        self.entry[0]
    }

    /// The type of a Fabrics command.
    pub fn fabrics_type(&self) -> Option<u8> {
        (self.opcode() == FABRICS).then_some(self.entry[4])
    }

    /// The namespace.
    pub fn nsid(&self) -> u32 {
        self.dword(1)
    }

    /// A dword of it.
    pub fn dword(&self, number: usize) -> u32 {
        let bytes = &self.entry[4 * number..4 * number + 4];
        u32::from_le_bytes(bytes.try_into().expect("four bytes"))
    }

    /// A number of two bytes.
    pub fn word(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.entry[at], self.entry[at + 1]])
    }
}

/// What becomes of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The target gets it.
    Forward,
    /// The target gets it with another value of a dword.
    Change(usize, u32),
    /// Nobody gets it, and nobody answers.
    Lose,
    /// The proxy answers, with dwords 0 and 1, and the status: its type and code.
    Answer(u64, (u8, u8)),
}

/// A byte to change on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoil {
    /// In the header of the data of a read: which command they are of.
    HeaderToHost,
    /// In the header of a command of I/O: where its first block is.
    HeaderToTarget,
    /// In the data of a read.
    DataToHost,
    /// In the data of a write that the target has asked for.
    DataToTarget,
}

impl Spoil {
    /// Where the byte is, if this is a PDU of that kind.
    fn at(self, pdu: &[u8]) -> Option<usize> {
        if pdu.is_empty() {
            return None; // the end of a connection
        }
        let (kind, at) = match self {
            Spoil::HeaderToHost => (DATA_TO_HOST, FIELDS),
            Spoil::HeaderToTarget => (COMMAND, FIELDS + 40),
            Spoil::DataToHost => (DATA_TO_HOST, usize::from(pdu[3])),
            Spoil::DataToTarget => (DATA_TO_TARGET, usize::from(pdu[3])),
        };
        (pdu[0] == kind).then_some(at)
    }
}

type Decide = dyn Fn(&Command) -> Fate + Send + Sync;

#[derive(Default)]
struct Seen {
    commands: Vec<Command>,
    /// The address of the host's end, and its request for a connection.
    hosts: Vec<(SocketAddr, Vec<u8>)>,
    sockets: Vec<(TcpStream, TcpStream)>,
    spoil: Option<Spoil>,
    stands_still: bool,
    /// A connection that stands still alone.
    still: Option<usize>,
}

/// Goes on when nothing is to stand still any more, and spoils what is to be spoiled.
fn pass(pdu: &mut [u8], connection: usize, seen: &Mutex<Seen>) {
    loop {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.stands_still && seen.still != Some(connection) {
            if let Some(at) = seen.spoil.and_then(|spoil| spoil.at(pdu)) {
                seen.spoil = None;
                pdu[at] ^= 0x10;
            }
            return;
        }
        drop(seen);
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A proxy on a port of its own, until the process ends.
pub struct Proxy {
    port: u16,
    seen: Arc<Mutex<Seen>>,
}

impl Proxy {
    /// One that loses what reads the properties of the controller while the flag is set, so that no host connects.
    pub fn with_silence(target: &Target) -> (Proxy, Arc<AtomicBool>) {
        let is_silent = Arc::new(AtomicBool::new(false));
        let silent = is_silent.clone();
        let proxy = Proxy::start(target, move |command| {
            match silent.load(SeqCst) && command.fabrics_type() == Some(PROPERTY_GET) {
                true => Fate::Lose,
                false => Fate::Forward,
            }
        });
        (proxy, is_silent)
    }

    /// One before `target`. To be started before SPDK, which binds OS threads to its cores.
    pub fn start(
        target: &Target,
        decide: impl Fn(&Command) -> Fate + Send + Sync + 'static,
    ) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port");
        let port = listener.local_addr().expect("a bound address").port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let decide: Arc<Decide> = Arc::new(decide);
        let to = target.port();
        let all = seen.clone();
        std::thread::spawn(move || {
            for host in listener.incoming().flatten() {
                let Ok(target) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)) else {
                    continue; // the host sees its connection end
                };
                link(host, target, &all, &decide);
            }
        });
        Proxy { port, seen }
    }

    /// Where the target's subsystem is, through this.
    pub fn trid(&self, target: &Target) -> TransportId {
        let port = self.port.to_string();
        let trid = TransportId::tcp("127.0.0.1", &port, target.trid().subnqn());
        trid.expect("an address of TCP")
    }

    /// The commands up to now.
    pub fn commands(&self) -> Vec<Command> {
        self.lock().commands.clone()
    }

    /// The address of the host's end of each connection, and its request for it.
    pub fn hosts(&self) -> Vec<(SocketAddr, Vec<u8>)> {
        self.lock().hosts.clone()
    }

    /// Ends a connection, at both ends.
    pub fn cut(&self, connection: usize) {
        let seen = self.lock();
        let (host, target) = &seen.sockets[connection];
        let _ = host.shutdown(Shutdown::Both);
        let _ = target.shutdown(Shutdown::Both);
    }

    /// Changes a byte of the next PDU of a kind.
    pub fn spoil(&self, spoil: Spoil) {
        self.lock().spoil = Some(spoil);
    }

    /// Whether the last [`Proxy::spoil`] has been done.
    pub fn has_spoiled(&self) -> bool {
        self.lock().spoil.is_none()
    }

    /// Forwards nothing from now on, not even the end of a connection; or again.
    pub fn stand_still(&self, stands_still: bool) {
        self.lock().stands_still = stands_still;
    }

    /// Forwards nothing of one connection from now on.
    pub fn hold_up(&self, connection: usize) {
        self.lock().still = Some(connection);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts to copy between a host and its target.
fn link(host: TcpStream, target: TcpStream, seen: &Arc<Mutex<Seen>>, decide: &Arc<Decide>) {
    for stream in [&host, &target] {
        stream.set_nodelay(true).expect("a socket");
    }
    let copy = |stream: &TcpStream| stream.try_clone().expect("a second descriptor");
    let sockets = (copy(&host), copy(&target));
    let connection = {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.sockets.push(sockets);
        seen.sockets.len() - 1
    };
    // Both directions write to the host: whole PDUs.
    let back = Arc::new(Mutex::new(copy(&host)));
    let answers = back.clone();
    let mut from_target = copy(&target);
    let shared = seen.clone();
    std::thread::spawn(move || {
        while let Some(mut pdu) = read_pdu(&mut from_target) {
            pass(&mut pdu, connection, &shared);
            let mut back = back.lock().unwrap_or_else(PoisonError::into_inner);
            if back.write_all(&pdu).is_err() {
                break;
            }
        }
        pass(&mut [], connection, &shared);
        let back = back.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = back.shutdown(Shutdown::Both);
    });
    let (seen, decide) = (seen.clone(), decide.clone());
    let (mut host, mut target) = (host, target);
    std::thread::spawn(move || {
        let mut is_admin = false;
        while let Some(mut pdu) = read_pdu(&mut host) {
            pass(&mut pdu, connection, &seen);
            let lock = || seen.lock().unwrap_or_else(PoisonError::into_inner);
            let mut fate = Fate::Forward;
            if pdu[0] == IC_REQ {
                let address = host.peer_addr().expect("a connected socket");
                lock().hosts.push((address, pdu.clone()));
            }
            if pdu[0] == COMMAND {
                let data = usize::from(pdu[3]);
                let mut command = Command {
                    connection,
                    is_admin,
                    entry: pdu[8..72].try_into().expect("64 bytes"),
                    data: if data == 0 {
                        Vec::new()
                    } else {
                        pdu[data..].to_vec()
                    },
                };
                if command.fabrics_type() == Some(CONNECT) {
                    is_admin = command.word(42) == 0;
                    command.is_admin = is_admin;
                }
                fate = decide(&command);
                lock().commands.push(command);
            }
            let done = match fate {
                Fate::Forward => target.write_all(&pdu),
                Fate::Change(dword, value) => {
                    let at = FIELDS + 4 * dword;
                    pdu[at..at + 4].copy_from_slice(&value.to_le_bytes());
                    target.write_all(&pdu)
                }
                Fate::Lose => Ok(()),
                Fate::Answer(dwords, status) => {
                    let answer = response(&pdu, dwords, status);
                    let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
                    answers.write_all(&answer)
                }
            };
            if done.is_err() {
                break;
            }
        }
        pass(&mut [], connection, &seen);
        let _ = target.shutdown(Shutdown::Both);
    });
}

/// The PDU of a completion of the command in another one.
fn response(command: &[u8], dwords: u64, (sct, sc): (u8, u8)) -> Vec<u8> {
    let mut pdu = vec![0; 24];
    (pdu[0], pdu[2], pdu[4]) = (RESPONSE, 24, 24);
    pdu[8..16].copy_from_slice(&dwords.to_le_bytes());
    pdu[20..22].copy_from_slice(&command[10..12]); // the ID of the command
    let status = (u16::from(sct) << 8 | u16::from(sc)) << 1;
    pdu[22..24].copy_from_slice(&status.to_le_bytes());
    if command[1] & HEADER_DIGEST != 0 {
        (pdu[1], pdu[4]) = (HEADER_DIGEST, 28);
        pdu.extend(crc32c::crc32c(&pdu).to_le_bytes());
    }
    pdu
}

/// The next PDU; `None` when the connection has ended.
fn read_pdu(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut pdu = vec![0; 8];
    stream.read_exact(&mut pdu).ok()?;
    let length = u32::from_le_bytes(pdu[4..8].try_into().expect("four bytes"));
    pdu.resize(length as usize, 0);
    stream.read_exact(&mut pdu[8..]).ok()?;
    Some(pdu)
}
