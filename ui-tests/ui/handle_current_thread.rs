//! A `spdk::CurrentThread` stays on its OS thread: it can be neither sent to another nor shared with it.

fn send(handle: spdk::CurrentThread) {
    std::thread::spawn(move || drop(handle));
}

fn share(handle: &'static spdk::CurrentThread) {
    std::thread::spawn(move || drop(handle));
}

fn main() {}
