//! A `spdk::SpdkThread` stays on its OS thread: it can be neither sent to another nor shared with it.

fn send(handle: spdk::SpdkThread) {
    std::thread::spawn(move || drop(handle));
}

fn share(handle: &'static spdk::SpdkThread) {
    std::thread::spawn(move || drop(handle));
}

fn main() {}
