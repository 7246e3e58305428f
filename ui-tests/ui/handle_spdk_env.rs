//! A `spdk::SpdkEnv` stays on its OS thread: it can be neither sent to another nor shared with it.

fn send(handle: spdk::SpdkEnv) {
    std::thread::spawn(move || drop(handle));
}

fn share(handle: &'static spdk::SpdkEnv) {
    std::thread::spawn(move || drop(handle));
}

fn main() {}
