//! A `spdk::IoDeviceChannel<u8>` stays on its OS thread: it can be neither sent to another nor shared with it.

fn send(handle: spdk::IoDeviceChannel<u8>) {
    std::thread::spawn(move || drop(handle));
}

fn share(handle: &'static spdk::IoDeviceChannel<u8>) {
    std::thread::spawn(move || drop(handle));
}

fn main() {}
