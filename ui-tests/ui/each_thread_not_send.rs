//! What runs on every spdk_thread, or with every channel, goes to other OS threads: its captures and its
//! results are `Send`.

use std::rc::Rc;

async fn captures(local: Rc<u8>) {
    let _ = spdk::for_each_thread(move |_| drop(local.clone())).await;
}

async fn results(device: spdk::IoDevice<Rc<u8>>) {
    let _ = device.for_each_channel(Rc::clone).await;
}

fn makes(local: Rc<u8>) {
    let _ = spdk::IoDevice::register("device", move || local.clone());
}

fn main() {}
