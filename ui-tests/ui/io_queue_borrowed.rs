//! A queue cannot be used, dropped or left while one of its I/Os that has ended is looked at.

use spdk::{DmaBuf, EndedIo, IoQueue};

fn submit(queue: &mut IoQueue<u64>, buf: DmaBuf) {
    if let Some(io) = queue.pop() {
        queue.read_blocks(buf, 0, 1, 0);
        io.read_blocks(1, 1);
    }
}

fn twice(queue: &mut IoQueue<u64>) {
    let first = queue.pop();
    let second = queue.pop();
    drop((first, second));
}

fn outlive(mut queue: IoQueue<u64>) {
    let io = queue.pop();
    drop(queue);
    drop(io);
}

fn escape(mut queue: IoQueue<u64>) -> Option<EndedIo<'static, u64>> {
    queue.pop()
}

fn again(io: EndedIo<'_, u64>) -> u64 {
    io.flush_blocks(0, 1);
    *io.tag()
}

fn main() {}
