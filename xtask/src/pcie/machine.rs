//! The machine as QEMU is told of it.
//!
//! | where | serial | namespaces |
//! |-------|--------|------------|
//! | 00:04.0 | PLAIN | 1: blocks of 512 bytes |
//! | 00:05.0 | META | 1: 8 bytes of metadata apart, 2: 8 bytes after each block; both with protection of type 1 |
//! | 00:06.0 | ZONED | 1: 16 zones of 4 MiB, of which 3 MiB can be written; 4 open, 6 active, 64 bytes of descriptor |
//! | 00:07.0 | MANY | 1: shared and attached, 2: shared and detached, 3: its own |
//! | 00:08.0 | MANY | the same subsystem without 3 |
//! | 00:09.0 | FORMAT | 1: blocks of 512 bytes |
//! | 00:0a.0 | SLOW | 1: as fast as the throttle group `slow` lets it be |
//! | behind the root ports `port0` to `port2` | | empty, for `hot0` to `hot2` |
//!
//! The tests plug in what they pull out, with the block devices `hot0` to `hot2`, each with a throttle group of
//! its name. QEMU does not let go of one whose device was pulled out while it had throttled I/O.

use std::path::Path;
use std::process::Command;

use super::Files;
use super::disks::DISKS;

/// The memory in MiB.
const MEMORY: u32 = 1536;
/// Those that can be slowed down.
const THROTTLED: [&str; 4] = ["hot0", "hot1", "hot2", "slow"];

/// What the kernel is told. Its own driver would take the controllers; and an emulated timer may be too late for its check
/// of that.
const KERNEL: &str = "console=ttyS0 panic=-1 oops=panic initcall_blacklist=nvme_init random.trust_cpu=on \
                      no_timer_check";

const DEVICES: [&str; 19] = [
    "nvme,id=plain,serial=PLAIN,addr=04.0",
    "nvme-ns,bus=plain,nsid=1,drive=plain",
    "nvme,id=meta,serial=META,addr=05.0",
    "nvme-ns,bus=meta,nsid=1,drive=separate,ms=8,mset=0,pi=1",
    "nvme-ns,bus=meta,nsid=2,drive=interleaved,ms=8,mset=1,pi=1",
    "nvme,id=zoned,serial=ZONED,addr=06.0,zoned.zasl=5",
    "nvme-ns,bus=zoned,nsid=1,drive=zoned,zoned=on,zoned.zone_size=4M,zoned.zone_capacity=3M,\
     zoned.max_open=4,zoned.max_active=6,zoned.descr_ext_size=64,logical_block_size=4096,physical_block_size=4096",
    "nvme-subsys,id=many,nqn=many",
    "nvme,id=many-a,serial=MANY,addr=07.0,subsys=many",
    "nvme,id=many-b,serial=MANY,addr=08.0,subsys=many",
    "nvme-ns,bus=many-a,nsid=1,drive=attached,shared=on",
    "nvme-ns,bus=many-a,nsid=2,drive=detached,shared=on,detached=on",
    "nvme-ns,bus=many-a,nsid=3,drive=private,shared=off",
    "nvme,id=format,serial=FORMAT,addr=09.0,drive=format",
    "nvme,id=slow,serial=SLOW,addr=0a.0",
    "nvme-ns,bus=slow,nsid=1,drive=slow",
    "pcie-root-port,id=port0,chassis=1,slot=1,addr=10.0",
    "pcie-root-port,id=port1,chassis=2,slot=2,addr=11.0",
    "pcie-root-port,id=port2,chassis=3,slot=3,addr=12.0",
];

/// How many of them a machine has in which something is measured: the controller `plain`, with a disk that does nothing. So what
/// is seen is what a program does, and not how the host of the machine reads a file.
const MEASURED: usize = 2;
const NO_DISK: &str = "null-co,node-name=plain,size=67108864,read-zeroes=off";

/// A machine that is off.
pub(super) struct Machine<'a> {
    pub(super) kernel: &'a Path,
    pub(super) files: &'a Files,
    pub(super) purpose: Purpose,
}

/// What a machine is for, which says what it has.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Tests,
    Measurement,
}

/// Where QEMU connects to, with somebody listening.
pub(super) struct Sockets {
    /// Of what the tests say.
    pub(super) output: std::path::PathBuf,
    /// Of what the machine asks for.
    pub(super) control: std::path::PathBuf,
    /// Of QEMU's monitor.
    pub(super) monitor: std::path::PathBuf,
}

impl Machine<'_> {
    /// The QEMU that is this machine.
    pub(super) fn command(&self, sockets: &Sockets) -> Command {
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-nodefaults", "-no-user-config", "-no-reboot"]);
        qemu.args(["-display", "none", "-machine", "q35"]);
        // Emulated, so that it is the same everywhere: not everyone may use the processor's own way.
        qemu.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"]);
        qemu.args(["-m", &MEMORY.to_string()]);
        qemu.arg("-kernel").arg(self.kernel);
        qemu.arg("-initrd").arg(&self.files.initramfs);
        qemu.args(["-append", KERNEL]);
        let console = format!("file,id=console,path={}", option(&self.files.console));
        let serial = [
            ("console", console),
            ("output", client("output", &sockets.output)),
            ("control", client("control", &sockets.control)),
        ];
        for (id, chardev) in &serial {
            qemu.args(["-chardev", chardev, "-serial", &format!("chardev:{id}")]);
        }
        qemu.args(["-chardev", &client("monitor", &sockets.monitor)]);
        qemu.args(["-mon", "chardev=monitor,mode=control"]);
        let devices: &[_] = match self.purpose {
            Purpose::Tests => {
                for name in THROTTLED {
                    qemu.args(["-object", &format!("throttle-group,id={name}")]);
                }
                for (name, _) in DISKS {
                    self.disk(&mut qemu, name);
                }
                &DEVICES
            }
            Purpose::Measurement => {
                qemu.args(["-blockdev", NO_DISK]);
                &DEVICES[..MEASURED]
            }
        };
        for device in devices {
            qemu.args(["-device", device]);
        }
        qemu
    }

    fn disk(&self, qemu: &mut Command, name: &str) {
        let path = option(&self.files.disks.join(name));
        // Nobody looks at it when the machine is off.
        let file = format!("filename={path},cache.no-flush=on,discard=unmap");
        match THROTTLED.contains(&name) {
            true => {
                qemu.args(["-blockdev", &format!("file,node-name={name}-file,{file}")]);
                let throttle =
                    format!("throttle,node-name={name},throttle-group={name},file={name}-file");
                qemu.args(["-blockdev", &throttle]);
            }
            false => {
                qemu.args(["-blockdev", &format!("file,node-name={name},{file}")]);
            }
        }
    }
}

fn client(id: &str, socket: &Path) -> String {
    format!("socket,id={id},path={}", option(socket))
}

/// A path as the value of an option, where a comma ends it unless there are two.
fn option(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}
