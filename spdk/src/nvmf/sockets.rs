//! The listening sockets, which SPDK opens so that child processes inherit them.
#![allow(unsafe_code)] // Looks at the descriptors of the process, which others own.

use std::fs;
use std::mem::ManuallyDrop;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};

/// Keeps what listens at an address from the programs that this process starts from now on. One that had it
/// would keep the port open beyond the target's end, and hosts would connect to it and wait.
pub(super) fn keep_from_children(address: SocketAddr) {
    let open = match fs::read_dir("/proc/self/fd") {
        Ok(open) => open,
        Err(error) => {
            tracing::warn!(%address, %error, "child processes inherit a listener");
            return;
        }
    };
    open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| listens_at(*fd, address))
        .for_each(|fd| {
            // SAFETY: sets a flag of a descriptor, and touches no memory.
            if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } != 0 {
                let error = std::io::Error::last_os_error();
                tracing::warn!(%address, %error, "child processes inherit a listener");
            }
        });
}

fn listens_at(fd: RawFd, address: SocketAddr) -> bool {
    // SAFETY: it is asked for its address only, by a call that refuses what is no open socket, and it is not
    // closed, since it is not dropped.
    let socket = ManuallyDrop::new(unsafe { TcpListener::from_raw_fd(fd) });
    socket.local_addr().is_ok_and(|local| local == address) && accepts(socket.as_raw_fd())
}

fn accepts(fd: RawFd) -> bool {
    let mut accepts: libc::c_int = 0;
    let mut len = size_of_val(&accepts) as libc::socklen_t;
    // SAFETY: the kernel writes a number of the size that it is told.
    let rc = unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_ACCEPTCONN,
            (&raw mut accepts).cast(),
            &mut len,
        )
    };
    rc == 0 && accepts != 0
}
