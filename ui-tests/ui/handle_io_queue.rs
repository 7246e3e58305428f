//! A `spdk::IoQueue` stays on its OS thread: it can be neither sent to another nor shared with it.

fn send(handle: spdk::IoQueue<u64>) {
    std::thread::spawn(move || drop(handle));
}

fn share(handle: &'static spdk::IoQueue<u64>) {
    std::thread::spawn(move || drop(handle));
}

fn main() {}
