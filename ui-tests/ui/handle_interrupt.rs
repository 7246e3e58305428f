//! A `spdk::Interrupt` stays on its OS thread: it can be neither sent to another nor shared with it.

fn send(handle: spdk::Interrupt) {
    std::thread::spawn(move || drop(handle));
}

fn share(handle: &'static spdk::Interrupt) {
    std::thread::spawn(move || drop(handle));
}

fn main() {}
