//! A host that is no more than its connections, of a thread of its own: SPDK's host waits for answers without letting
//! anything else run where namespaces come and go.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use spdk::nvmf::NvmfServer;
use spdk_tests::until;

use crate::HOST;

const FABRICS: u8 = 0x7f;
const READ: u8 = 2;
/// Types of data pointers: the data follow the command, or they come and go in PDUs of their own.
const IN_CAPSULE: u8 = 0x01;
const IN_PDUS: u8 = 0x5a;
/// Types of PDUs.
const IC_RESP: u8 = 1;
const COMMAND: u8 = 4;
const RESPONSE: u8 = 5;
const DATA_TO_HOST: u8 = 7;

/// A connection.
struct Connection(TcpStream);

impl Connection {
    fn open(at: SocketAddr) -> Self {
        let stream = TcpStream::connect(at).expect("it listens");
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).expect("a time");
        let mut connection = Connection(stream);
        let mut hello = [0; 128];
        (hello[2], hello[4]) = (128, 128);
        connection.0.write_all(&hello).expect("it takes it");
        let answer = connection.receive().expect("an answer");
        assert_eq!(answer[0], IC_RESP);
        connection
    }

    fn send(&mut self, entry: &[u8; 64], data: &[u8]) {
        let mut pdu = vec![COMMAND, 0, 72, if data.is_empty() { 0 } else { 72 }];
        pdu.extend((72 + data.len() as u32).to_le_bytes());
        pdu.extend(entry);
        pdu.extend(data);
        self.0.write_all(&pdu).expect("it takes it");
    }

    /// The next PDU; `None` when the connection has ended, or nothing comes.
    fn receive(&mut self) -> Option<Vec<u8>> {
        let mut pdu = vec![0; 8];
        self.0.read_exact(&mut pdu).ok()?;
        let length = u32::from_le_bytes(pdu[4..8].try_into().expect("four bytes"));
        pdu.resize(length as usize, 0);
        self.0.read_exact(&mut pdu[8..]).ok()?;
        Some(pdu)
    }

    /// Its first dword, after a command that succeeds.
    fn succeeds(&mut self, entry: &[u8; 64], data: &[u8]) -> [u8; 4] {
        self.send(entry, data);
        let answer = self.receive().expect("an answer");
        assert_eq!(answer[0], RESPONSE);
        assert_eq!(u16::from_le_bytes([answer[22], answer[23]]) >> 1, 0);
        answer[8..12].try_into().expect("four bytes")
    }

    fn connect(&mut self, queue: u16, controller: u16, nqn: &str) -> u16 {
        let mut entry = entry(FABRICS, 1, 1);
        entry[32..36].copy_from_slice(&1024_u32.to_le_bytes());
        entry[39] = IN_CAPSULE;
        entry[42..44].copy_from_slice(&queue.to_le_bytes());
        entry[44] = 31;
        let mut data = [0; 1024];
        data[..16].copy_from_slice(&[7; 16]);
        data[16..18].copy_from_slice(&controller.to_le_bytes());
        data[256..256 + nqn.len()].copy_from_slice(nqn.as_bytes());
        data[512..512 + HOST.len()].copy_from_slice(HOST.as_bytes());
        let answer = self.succeeds(&entry, &data);
        u16::from_le_bytes([answer[0], answer[1]])
    }
}

fn entry(opcode: u8, id: u16, namespace: u32) -> [u8; 64] {
    let mut entry = [0; 64];
    (entry[0], entry[1]) = (opcode, 0x40);
    entry[2..4].copy_from_slice(&id.to_le_bytes());
    entry[4..8].copy_from_slice(&namespace.to_le_bytes());
    entry
}

/// A host with one queue for I/O.
pub(crate) struct Wire {
    _admin: Connection,
    io: Connection,
}

impl Wire {
    pub(crate) async fn connect(server: &NvmfServer) -> Wire {
        let (at, nqn) = (server.address().socket_addr(), server.nqn().to_owned());
        let connect = std::thread::spawn(move || {
            let mut admin = Connection::open(at);
            let controller = admin.connect(0, 0xffff, &nqn);
            let mut enable = entry(FABRICS, 2, 0);
            enable[44] = 0x14;
            enable[48..52].copy_from_slice(&(1_u32 | 6 << 16 | 4 << 20).to_le_bytes());
            admin.succeeds(&enable, &[]);
            let mut io = Connection::open(at);
            io.connect(1, controller, &nqn);
            Wire { _admin: admin, io }
        });
        result(connect).await
    }

    /// Reads block 0 of a namespace, with a number of the command's own.
    pub(crate) fn reads(&mut self, id: u16, namespace: u32) {
        let mut entry = entry(READ, id, namespace);
        entry[32..36].copy_from_slice(&(crate::BLOCK as u32).to_le_bytes());
        entry[39] = IN_PDUS;
        self.io.send(&entry, &[]);
    }

    /// Which command is answered next; `None` if none is.
    pub(crate) async fn answered(mut self) -> (Option<u16>, Wire) {
        let receive = std::thread::spawn(move || {
            let id = self.io.receive().map(|pdu| {
                let at = match pdu[0] {
                    DATA_TO_HOST => 8,
                    _ => 20,
                };
                u16::from_le_bytes([pdu[at], pdu[at + 1]])
            });
            (id, self)
        });
        result(receive).await
    }

    /// Whether nothing is there.
    pub(crate) fn is_silent(&self) -> bool {
        let stream = &self.io.0;
        stream.set_nonblocking(true).expect("a flag");
        let peeked = stream.peek(&mut [0]);
        stream.set_nonblocking(false).expect("a flag");
        peeked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }
}

async fn result<T>(thread: JoinHandle<T>) -> T {
    until("the host", || thread.is_finished()).await;
    thread.join().expect("no panic")
}
