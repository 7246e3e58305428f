//! The test attribute itself, and one I/O.
#![allow(missing_docs)]

use spdk::{Bdev, DmaBuf};

#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = 512)))]
async fn what_is_written_is_read() -> spdk::Result<()> {
    let desc = Bdev::find("Malloc0")?.open(true)?;
    let channel = desc.get_io_channel()?;
    let mut buf = DmaBuf::alloc(4096, 4096)?;
    buf.fill(0xa5);
    desc.write(&channel, &buf, 4096).await?;
    buf.fill(0);
    desc.read(&channel, &mut buf, 4096).await?;
    assert!(buf.iter().all(|byte| *byte == 0xa5));
    Ok(())
}

#[spdk::test]
#[should_panic(expected = "on purpose")]
async fn a_panic_is_the_tests() {
    panic!("on purpose");
}

#[spdk::test]
#[should_panic(expected = "no bdev is named")]
fn an_error_is_a_failure() {
    Bdev::find("None")
        .map(drop)
        .unwrap_or_else(|error| panic!("{error}"));
}

#[spdk::test(no_app, deadline = 1)]
#[should_panic(expected = "deadline exceeded: a_test_that_hangs_is_killed hung for 1 s")]
fn a_test_that_hangs_is_killed() {
    loop {
        std::thread::park();
    }
}

#[spdk::test(no_app)]
#[should_panic(expected = "killed by signal 6 (SIGABRT)")]
fn a_signal_is_named() {
    std::process::abort();
}

#[spdk::test(no_app)]
#[should_panic(expected = "did not run to its end")]
fn an_exit_is_no_pass() {
    std::process::exit(0);
}
