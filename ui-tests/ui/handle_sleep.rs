//! A `spdk::time::Sleep` stays on its OS thread: it can be neither sent to another nor shared with it.

fn send(handle: spdk::time::Sleep) {
    std::thread::spawn(move || drop(handle));
}

fn share(handle: &'static spdk::time::Sleep) {
    std::thread::spawn(move || drop(handle));
}

fn main() {}
