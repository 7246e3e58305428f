//! A `spdk::Events<spdk::BdevEvent>` stays on its OS thread: it can be neither sent to another nor shared with it.

fn send(handle: spdk::Events<spdk::BdevEvent>) {
    std::thread::spawn(move || drop(handle));
}

fn share(handle: &'static spdk::Events<spdk::BdevEvent>) {
    std::thread::spawn(move || drop(handle));
}

fn main() {}
