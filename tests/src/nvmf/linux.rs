//! The NVMe/TCP host of Linux, which `nvme connect` asks in the same way.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Error, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use spdk::nvmf::{NvmfAddress, serve};
use spdk::{Bdev, DmaBuf};

use super::program::address;
use crate::{Device, pattern, until};

const FABRICS: &str = "/dev/nvme-fabrics";
const BLOCK: usize = 512;
const BLOCKS: u64 = 64;
/// Far from what the kernel reads to look for partitions.
const OURS: u64 = 4096;
const THEIRS: u64 = 8192;

/// Runs what the kernel answers when the target has, so not on an spdk_thread.
async fn aside<T: Send + 'static>(f: impl FnOnce() -> io::Result<T> + Send + 'static) -> T {
    let (answer, answered) = spdk::completion();
    std::thread::spawn(move || answer.success(f()));
    match answered.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => panic!("Linux: {error}"),
        Err(error) => panic!("no answer: {error}"),
    }
}

/// A connection of the kernel. It stays until [`Host::disconnect`].
#[derive(Debug)]
pub struct Host {
    /// Where the kernel shows the controller.
    folder: PathBuf,
    nqn: String,
}

impl Host {
    /// Does what `nvme connect --transport tcp` does.
    pub async fn connect(address: NvmfAddress, nqn: &str) -> Host {
        let (ip, port) = (address.socket_addr().ip(), address.socket_addr().port());
        let options = format!("transport=tcp,traddr={ip},trsvcid={port},nqn={nqn}");
        let answer = aside(move || {
            let mut fabrics = OpenOptions::new().read(true).write(true).open(FABRICS)?;
            fabrics.write_all(options.as_bytes())?;
            let mut answer = [0; 256];
            let size = fabrics.read(&mut answer)?;
            Ok(String::from_utf8_lossy(&answer[..size]).into_owned())
        });
        let answer = answer.await;
        let mut parts = answer.trim().split(',');
        let number = parts.find_map(|part| part.strip_prefix("instance="));
        let number = number.unwrap_or_else(|| panic!("{FABRICS} answers {answer:?}"));
        Host {
            folder: format!("/sys/class/nvme/nvme{number}").into(),
            nqn: nqn.to_owned(),
        }
    }

    /// What the kernel says of the controller, such as its `model`.
    pub fn attribute(&self, name: &str) -> String {
        let path = self.folder.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => text.trim().to_owned(),
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }

    /// The namespace as a disk, when there is one.
    pub async fn disk(&self) -> PathBuf {
        let find = || {
            let disks = fs::read_dir("/sys/block").ok()?.flatten();
            let mut ours = disks.filter(|disk| {
                let nqn = fs::read_to_string(disk.path().join("device/subsysnqn"));
                nqn.is_ok_and(|nqn| nqn.trim() == self.nqn)
            });
            ours.find_map(|disk| {
                let device = Path::new("/dev").join(disk.file_name());
                device.exists().then_some(device)
            })
        };
        let mut found = None;
        until("the disk", || {
            found = find();
            found.is_some()
        })
        .await;
        found.unwrap_or_default()
    }

    /// Does what `nvme disconnect` does.
    pub async fn disconnect(self) {
        let path = self.folder.join("delete_controller");
        aside(move || fs::write(path, "1")).await;
    }
}

fn filled(first: u64, generation: u64) -> Vec<u8> {
    let mut bytes = vec![0; BLOCKS as usize * BLOCK];
    pattern::fill(&mut bytes, BLOCK, first, generation);
    bytes
}

/// Serves a bdev of 512-byte blocks, 8 MiB or more, to this machine's own kernel: each reads what the other has written.
///
/// # Errors
///
/// Those of the bdev and of the target.
pub async fn shares_a_disk(bdev: &str) -> spdk::Result<()> {
    {
        let device = Device::open(bdev)?;
        let mut buf = DmaBuf::alloc(BLOCKS as usize * BLOCK, 4096)?;
        buf.copy_from_slice(&filled(OURS, 1));
        device
            .desc
            .write_blocks(&device.ch, &buf, OURS, BLOCKS)
            .await?;
    }
    let server = serve(bdev, address()).await?;
    let host = Host::connect(server.address(), server.nqn()).await;
    assert_eq!(host.attribute("state"), "live");
    let disk = host.disk().await;
    let read = aside(move || {
        let disk = OpenOptions::new().read(true).write(true).open(disk)?;
        let mut bytes = vec![0; BLOCKS as usize * BLOCK];
        disk.read_exact_at(&mut bytes, OURS * BLOCK as u64)?;
        write(&disk)?;
        Ok(bytes)
    });
    pattern::assert_is(&read.await, BLOCK, OURS, 1);
    host.disconnect().await;
    server.close().await?;
    let desc = Bdev::find(bdev)?.open(false)?;
    let ch = desc.get_io_channel()?;
    let mut buf = DmaBuf::alloc(BLOCKS as usize * BLOCK, 4096)?;
    desc.read_blocks(&ch, &mut buf, THEIRS, BLOCKS).await?;
    pattern::assert_is(&buf, BLOCK, THEIRS, 2);
    Ok(())
}

fn write(disk: &File) -> io::Result<()> {
    disk.write_all_at(&filled(THEIRS, 2), THEIRS * BLOCK as u64)?;
    disk.sync_all()
        .map_err(|error| Error::other(format!("flush: {error}")))
}
