//! Linux as a host of our targets: the machine's kernel has NVMe/TCP, whatever that outside has.
//!
//! It is over TCP, and takes no controller.

use spdk_tests::nvmf::linux;

/// Fails if Linux does not connect, or reads or writes something else.
#[spdk::test(
    no_huge = false,
    mem_size_mb = 192,
    deadline = 120,
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 16384, block_size = 512))
)]
async fn shares_a_disk() -> spdk::Result<()> {
    linux::shares_a_disk("Malloc0").await
}
