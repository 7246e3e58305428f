//! A `spdk::iobuf::Channel` stays on its OS thread: it can be neither sent to another nor shared with it.

fn send(handle: spdk::iobuf::Channel) {
    std::thread::spawn(move || drop(handle));
}

fn share(handle: &'static spdk::iobuf::Channel) {
    std::thread::spawn(move || drop(handle));
}

fn main() {}
