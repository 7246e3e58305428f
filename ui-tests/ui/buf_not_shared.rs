//! A `DmaBuf` may be sent to another OS thread, but not shared with it: an operation of this thread
//! may be using it.

fn send(buf: spdk::DmaBuf) {
    std::thread::spawn(move || drop(buf));
}

fn share(buf: &'static spdk::DmaBuf) {
    std::thread::spawn(move || buf.len());
}

fn main() {}
