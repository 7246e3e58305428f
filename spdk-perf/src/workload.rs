//! What a job does to its bdev.

use clap::ValueEnum;
use spdk::BdevIoType;

/// The workloads, by their names on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Workload {
    /// Read, one place after the other
    Read,
    /// Write, one place after the other
    Write,
    /// Read at random places
    #[value(name = "randread")]
    RandRead,
    /// Write at random places
    #[value(name = "randwrite")]
    RandWrite,
    /// Read or write, one place after the other
    Rw,
    /// Read or write at random places
    #[value(name = "randrw")]
    RandRw,
    /// Write a pattern, read it back and compare, one place after the other
    Verify,
    /// Flush, one place after the other
    Flush,
    /// Unmap, one place after the other
    Unmap,
    /// Write zeroes, one place after the other
    WriteZeroes,
}

impl Workload {
    /// The name on the command line.
    pub(crate) fn name(self) -> String {
        // Every variant has one: none is skipped.
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether it goes to random places.
    pub(crate) fn is_random(self) -> bool {
        matches!(self, Self::RandRead | Self::RandWrite | Self::RandRw)
    }

    /// Whether it both reads and writes, in proportions that the user chooses.
    pub(crate) fn is_mixed(self) -> bool {
        matches!(self, Self::Rw | Self::RandRw)
    }

    /// What the bdev has to support.
    pub(crate) fn needs(self) -> &'static [BdevIoType] {
        match self {
            Self::Read | Self::RandRead => &[BdevIoType::Read],
            Self::Write | Self::RandWrite => &[BdevIoType::Write],
            Self::Rw | Self::RandRw | Self::Verify => &[BdevIoType::Read, BdevIoType::Write],
            Self::Flush => &[BdevIoType::Flush],
            Self::Unmap => &[BdevIoType::Unmap],
            Self::WriteZeroes => &[BdevIoType::WriteZeroes],
        }
    }

    /// How many buffers each I/O in flight has.
    pub(crate) fn buffers(self) -> u32 {
        match self {
            Self::Verify => 2,
            Self::Flush | Self::Unmap | Self::WriteZeroes => 0,
            _ => 1,
        }
    }

    /// Whether it needs a descriptor that may write.
    pub(crate) fn writes(self) -> bool {
        !matches!(self, Self::Read | Self::RandRead)
    }
}
