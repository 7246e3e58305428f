//! A `spdk::Bdev` stays on its OS thread: it can be neither sent to another nor shared with it.

fn send(handle: spdk::Bdev) {
    std::thread::spawn(move || drop(handle));
}

fn share(handle: &'static spdk::Bdev) {
    std::thread::spawn(move || drop(handle));
}

fn main() {}
