//! A `spdk::BdevDesc` stays on its OS thread: it can be neither sent to another nor shared with it.

fn send(handle: spdk::BdevDesc) {
    std::thread::spawn(move || drop(handle));
}

fn share(handle: &'static spdk::BdevDesc) {
    std::thread::spawn(move || drop(handle));
}

fn main() {}
