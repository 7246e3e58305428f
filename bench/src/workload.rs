//! What the next operation does, and where: the same as in `c/loop.h`.

use std::cell::Cell;

use spdk::{Bdev, ErrorKind, Result};

use crate::options::{Kind, Options};

/// The operations of all slots of the queue.
#[derive(Debug)]
pub struct Workload {
    /// Bytes of an operation.
    pub size: usize,
    /// Blocks of an operation.
    pub blocks: u64,
    places: u64,
    /// The next place, if they are in sequence.
    next: Option<Cell<u64>>,
    read_percent: u8,
    random: Cell<u64>,
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
    /// What the options say of a bdev.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoSuchBdev`], if there is none of that name or it is smaller than one
    /// operation.
    pub fn new(options: &Options) -> Result<Self> {
        let bdev = Bdev::find(&options.bdev)?;
        Workload::of(options, bdev.block_size().into(), bdev.size_bytes())
    }

    /// What the options say of something with blocks of this size, which has so many bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoSuchBdev`], if it is smaller than one operation.
    pub fn of(options: &Options, block_size: u64, size_bytes: u64) -> Result<Self> {
        let size = u64::from(options.io_size);
        let blocks = size / block_size;
        let places = size_bytes / size;
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
            next: sequential.then(Cell::default),
            read_percent: match options.workload {
                Kind::Read | Kind::Randread => 100,
                Kind::Write | Kind::Randwrite => 0,
                Kind::Rw | Kind::Randrw => options.mix,
            },
            random: Cell::new(0x9e37_79b9_7f4a_7c15),
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
    pub fn pick(&self) -> Operation {
        let place = match &self.next {
            None => ((u128::from(self.random()) * u128::from(self.places)) >> 64) as u64,
            Some(next) => {
                let place = next.get();
                next.set(if place + 1 == self.places {
                    0
                } else {
                    place + 1
                });
                place
            }
        };
        let is_read = match self.read_percent {
            100 => true,
            0 => false,
            percent => self.random() % 100 < u64::from(percent),
        };
        let offset = place * self.blocks;
        if is_read {
            Operation::Read(offset)
        } else {
            Operation::Write(offset)
        }
    }

    #[inline]
    fn random(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.set(x);
        x
    }
}
