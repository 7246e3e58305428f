//! What a call on another spdk_thread returns must be `Send`: a handle stays there.

use spdk::{Bdev, ThreadHandle};

async fn look_up(thread: &ThreadHandle) -> Option<Bdev> {
    thread.call(|| Bdev::get_by_name("Malloc0")).await.ok()?
}

fn main() {}
