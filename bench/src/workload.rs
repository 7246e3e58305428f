//! What the next operation does, and where.

use fastrand::Rng;
use spdk::{Bdev, ErrorKind, Result};

use crate::options::{Kind, Options};

/// The operations of one slot of the queue.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Bytes of an operation.
    pub size: usize,
    /// Blocks of an operation.
    pub blocks: u64,
    places: u64,
    next: Option<u64>,
    step: u64,
    read_percent: u8,
    rng: Rng,
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Read at this block.
    Read(u64),
    /// Write at this block.
    Write(u64),
}

impl Workload {
    /// The part that slot number `slot` does. What is sequential is dealt out to the slots in turn.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoSuchBdev`], if there is none of that name or it is smaller than one
    /// operation.
    pub fn new(options: &Options, slot: u32) -> Result<Self> {
        let size = u64::from(options.io_size);
        let bdev = Bdev::find(&options.bdev)?;
        let blocks = size / u64::from(bdev.block_size());
        let places = bdev.size_bytes() / size;
        if places == 0 || blocks == 0 {
            return Err(ErrorKind::NoSuchBdev {
                name: format!("{} of {size} bytes or more", options.bdev),
            }
            .into());
        }
        let sequential = matches!(options.workload, Kind::Read | Kind::Write | Kind::Rw);
        Ok(Workload {
            size: options.io_size as usize,
            blocks,
            places,
            next: sequential.then_some(u64::from(slot) % places),
            step: u64::from(options.queue_depth) % places,
            read_percent: match options.workload {
                Kind::Read | Kind::Randread => 100,
                Kind::Write | Kind::Randwrite => 0,
                Kind::Rw | Kind::Randrw => options.mix,
            },
            rng: Rng::with_seed(u64::from(slot)),
        })
    }

    /// Whether there are writes among the operations.
    pub fn writes(options: &Options) -> bool {
        match options.workload {
            Kind::Read | Kind::Randread => false,
            Kind::Write | Kind::Randwrite => true,
            Kind::Rw | Kind::Randrw => options.mix < 100,
        }
    }

    /// The next operation.
    #[inline]
    pub fn pick(&mut self) -> Operation {
        let place = match &mut self.next {
            None => self.rng.u64(..self.places),
            Some(next) => {
                let place = *next;
                *next = (place + self.step) % self.places;
                place
            }
        };
        let is_read = match self.read_percent {
            100 => true,
            0 => false,
            percent => self.rng.u8(..100) < percent,
        };
        let offset = place * self.blocks;
        if is_read {
            Operation::Read(offset)
        } else {
            Operation::Write(offset)
        }
    }
}
