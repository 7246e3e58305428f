//! The virtual machine of `cargo xtask e2e-pcie`, from the inside: where its controllers are, and QEMU's monitor.
#![allow(unsafe_code)] // Asks SPDK for the physical address of memory.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde_json::{Value, json};
use spdk::nvme::{NvmeController, NvmeCtrlrOpts, NvmeNamespace, NvmeQpair, TransportId};
use spdk::{DmaBuf, Result};

use crate::{pattern, until};

/// Where the machine hears commands for the monitor, and answers.
const CONTROL: &str = "/dev/ttyS2";
const DEVICES: &str = "/sys/bus/pci/devices";

/// The controllers, by the slots that they are in.
pub mod slot {
    /// One namespace with blocks of 512 bytes.
    pub const PLAIN: u8 = 4;
    /// Two namespaces with metadata and protection information: apart from the data, and after each block.
    pub const METADATA: u8 = 5;
    /// A zoned namespace.
    pub const ZONED: u8 = 6;
    /// Two controllers of one subsystem. 1 is a namespace of both, 2 is detached, 3 is the first's own.
    pub const MANY: [u8; 2] = [7, 8];
    /// A namespace to be formatted.
    pub const FORMAT: u8 = 9;
    /// A namespace that is as slow as [`slow_down`](super::slow_down) has it.
    pub const SLOW: u8 = 10;
}

/// The controller in a slot.
pub fn trid(slot: u8) -> TransportId {
    TransportId::pcie(&format!("0000:00:{slot:02x}.0")).expect("an address")
}

/// Has QEMU execute a command, and returns what it answers.
///
/// # Panics
///
/// If this is not the machine.
pub fn ask(command: &Value) -> Value {
    let control = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY)
        .open(CONTROL);
    let mut control = control.expect("the machine of `cargo xtask e2e-pcie`");
    writeln!(control, "{command}").expect("QEMU listens");
    let mut answer = Vec::new();
    let mut byte = [0];
    while byte != *b"\n" {
        control.read_exact(&mut byte).expect("QEMU answers");
        answer.extend(byte);
    }
    serde_json::from_slice(&answer).expect("QEMU answers in JSON")
}

/// Lets a disk do so many I/Os in a second; 0 for as many as it can.
///
/// # Panics
///
/// If the disk is not one of `hot0` to `hot2` and `slow`.
pub fn slow_down(disk: &str, per_second: u32) {
    let answer = ask(&json!({"execute": "qom-set", "arguments": {
        "path": format!("/objects/{disk}"),
        "property": "limits",
        "value": {"iops-total": per_second},
    }}));
    assert!(answer.get("return").is_some(), "{answer}");
}

/// Waits until QEMU has taken every command that was handed to a controller: its main loop, which takes them, goes round
/// for this.
///
/// It frees the queue under those that it has not taken when the controller is disabled, and crashes (7.2). So a test
/// that resets a controller has commands in flight, and lets none be handed over while it resets.
///
/// # Panics
///
/// If this is not the machine.
pub fn settle() {
    let answer = ask(&json!({"execute": "query-status"}));
    assert!(answer.get("return").is_some(), "{answer}");
}

/// A controller that can be plugged in and pulled out. It is pulled out when this is dropped.
#[derive(Debug)]
pub struct Plug {
    port: u8,
}

impl Plug {
    /// That of a port, from 0 to 2; not plugged in. One that is pulled out with I/O on its disk, when that is slowed
    /// down, cannot be plugged in again.
    pub async fn new(port: u8) -> Plug {
        let plug = Plug { port };
        plug.pull();
        until("the port to be empty", || plug.address().is_none()).await;
        plug
    }

    fn name(&self) -> String {
        format!("hot{}", self.port)
    }

    /// The only device behind the port.
    fn address(&self) -> Option<String> {
        let port = PathBuf::from(DEVICES).join(format!("0000:00:{:02x}.0", 16 + self.port));
        let entries = fs::read_dir(port).ok()?.flatten();
        let mut names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        // Its services are in the same folder: `0000:00:10.0:pcie004`.
        names.find(|name| name.starts_with("0000:") && name.ends_with(".0"))
    }

    /// Plugs it in, and waits until programs can have it.
    pub async fn insert(&self) -> TransportId {
        let name = self.name();
        let add = json!({"execute": "device_add", "arguments": {
            "driver": "nvme",
            "id": name,
            "serial": name.to_uppercase(),
            "drive": name,
            "bus": format!("port{}", self.port),
        }});
        // The one before may still be on its way out.
        until("QEMU to plug it in", || ask(&add).get("return").is_some()).await;
        let mut address = None;
        until("the kernel to see the device", || {
            address = self.address().filter(|address| {
                fs::exists(format!("{DEVICES}/{address}/uio")).is_ok_and(|there| there)
            });
            address.is_some()
        })
        .await;
        TransportId::pcie(&address.expect("it was seen")).expect("an address")
    }

    /// Pulls it out, which takes a while; or does nothing if it is not in.
    pub fn pull(&self) {
        let delete = json!({"execute": "device_del", "arguments": {"id": self.name()}});
        ask(&delete);
    }

    /// Waits until the kernel has let go of it.
    pub async fn gone(&self) {
        until("the device to go", || self.address().is_none()).await;
    }
}

impl Drop for Plug {
    fn drop(&mut self) {
        self.pull();
    }
}

/// The physical address of memory of SPDK's, and how many bytes from there on are contiguous, up to `size`.
pub fn physical(address: *const u8, size: u64) -> (u64, u64) {
    let mut contiguous = size;
    // SAFETY: it looks the address up, and does not touch what is there.
    let physical = unsafe { spdk_sys::spdk_vtophys(address.cast(), &mut contiguous) };
    (physical, contiguous)
}

/// A controller with a queue pair and a namespace.
#[derive(Debug)]
pub struct Drive {
    /// The controller.
    pub controller: NvmeController,
    /// The queue pair.
    pub qpair: NvmeQpair,
    /// The namespace.
    pub ns: NvmeNamespace,
}

impl Drive {
    /// Connects to the controller in a slot, and its first namespace.
    pub async fn open(slot: u8) -> Drive {
        Self::at(&trid(slot), 1).await
    }

    /// Connects to a controller and one of its namespaces.
    pub async fn at(trid: &TransportId, ns_id: u32) -> Drive {
        let opts = NvmeCtrlrOpts::new();
        let controller = NvmeController::connect(trid, Some(&opts)).await;
        Self::of(controller.expect("the controller is there"), ns_id).await
    }

    /// Takes a controller.
    pub async fn of(controller: NvmeController, ns_id: u32) -> Drive {
        let qpair = controller.alloc_io_qpair(None).await;
        let qpair = qpair.expect("the controller has queue pairs");
        let ns = controller.namespace(ns_id).expect("it is active");
        Drive {
            controller,
            qpair,
            ns,
        }
    }

    /// The size of a block in bytes.
    pub fn block(&self) -> usize {
        self.ns.sector_size() as usize
    }

    /// A zeroed buffer of some blocks.
    pub fn buffer(&self, blocks: u32) -> DmaBuf {
        DmaBuf::alloc(blocks as usize * self.block(), 4096).expect("DMA memory")
    }

    /// A buffer with the pattern of some blocks.
    pub fn filled(&self, lba: u64, blocks: u32, generation: u64) -> DmaBuf {
        let mut buf = self.buffer(blocks);
        pattern::fill(&mut buf, self.block(), lba, generation);
        buf
    }

    /// Writes the pattern of a generation to some blocks.
    ///
    /// # Errors
    ///
    /// As for [`NvmeNamespace::write`].
    pub async fn write(&self, lba: u64, blocks: u32, generation: u64) -> Result<()> {
        let buf = self.filled(lba, blocks, generation);
        self.ns.write(&self.qpair, &buf, lba, blocks).await
    }

    /// Reads some blocks.
    ///
    /// # Errors
    ///
    /// As for [`NvmeNamespace::read`].
    pub async fn read(&self, lba: u64, blocks: u32) -> Result<DmaBuf> {
        let mut buf = self.buffer(blocks);
        self.ns.read(&self.qpair, &mut buf, lba, blocks).await?;
        Ok(buf)
    }

    /// Reads some blocks and compares every byte with the pattern of a generation.
    pub async fn verify(&self, lba: u64, blocks: u32, generation: u64) {
        let buf = self.read(lba, blocks).await.expect("it reads");
        pattern::assert_is(&buf, self.block(), lba, generation);
    }

    /// Gives it up, and waits for the end.
    pub async fn close(self) {
        drop(self.ns);
        self.qpair.close().await.expect("it is of this spdk_thread");
        let detached = self.controller.detach().await;
        detached.expect("it is of this spdk_thread");
    }
}
