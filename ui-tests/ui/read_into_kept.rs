//! What a device reads into cannot be swapped for that of another I/O, which may end before: it is not `'static`, as
//! everything is by which one read could reach the other.

use std::cell::Cell;

use spdk::blob::{BlockDevice, ReadInto};
use spdk::Errno;

struct Device;

fn offer(_: &Cell<impl Sized + 'static>) {}

impl BlockDevice for Device {
    type Channel = ();

    fn block_size(&self) -> u32 {
        512
    }

    fn num_blocks(&self) -> u64 {
        1024
    }

    fn channel(&self) -> Result<(), Errno> {
        Ok(())
    }

    async fn read(&self, _: &(), _: u64, into: &mut ReadInto<'_>) -> Result<(), Errno> {
        offer(Cell::from_mut(into));
        Ok(())
    }
}

fn main() {}
