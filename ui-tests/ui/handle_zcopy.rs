//! A `spdk::Zcopy` stays on its OS thread: it can be neither sent to another nor shared with it.

fn send(handle: spdk::Zcopy) {
    std::thread::spawn(move || drop(handle));
}

fn share(handle: &'static spdk::Zcopy) {
    std::thread::spawn(move || drop(handle));
}

fn main() {}
