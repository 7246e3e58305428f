//! A `spdk::IoChannel` stays on its OS thread: it can be neither sent to another nor shared with it.

fn send(handle: spdk::IoChannel) {
    std::thread::spawn(move || drop(handle));
}

fn share(handle: &'static spdk::IoChannel) {
    std::thread::spawn(move || drop(handle));
}

fn main() {}
