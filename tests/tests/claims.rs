//! Claims of a device, by descriptors of this process.
//!
//! Each of these faults was put into the crate, and these tests failed: another kind of claim is asked for, or
//! another key; a claim is of no effect.
#![allow(missing_docs)]

use std::num::NonZeroU64;

use spdk::bdev::Claim;
use spdk::{Bdev, BdevDesc, DmaBuf, Errno};

fn open(write: bool) -> spdk::Result<BdevDesc> {
    Bdev::find("M")?.open(write)
}

fn shared(key: u64) -> Claim {
    let key = NonZeroU64::new(key).expect("not 0");
    Claim::ReadManyWriteShared { key }
}

#[track_caller]
fn refused<T>(end: spdk::Result<T>) {
    let error = end.map(drop).expect_err("it is refused");
    assert_eq!(error.errno(), Some(Errno::EPERM), "{error}");
}

async fn write(desc: &BdevDesc) -> spdk::Result<()> {
    let buf = DmaBuf::alloc(512, 512)?;
    desc.write(&desc.get_io_channel()?, &buf, 0).await
}

#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 64, block_size = 512)))]
async fn one_writer() -> spdk::Result<()> {
    let (reader, writer) = (open(false)?, open(true)?);
    refused(reader.claim(Claim::ReadManyWriteOne)); // there is a writer
    writer.claim(Claim::ReadManyWriteOne)?;
    refused(writer.claim(Claim::ReadManyWriteOne)); // once is enough
    refused(open(true));
    refused(reader.claim(shared(1)));
    write(&writer).await?;
    drop(open(false)?);

    // The claim goes with the descriptor; a reader may write that claims.
    drop(writer);
    reader.claim(Claim::ReadManyWriteOne)?;
    refused(open(true));
    write(&reader).await?;
    drop(reader);
    drop(open(true)?);
    Ok(())
}

#[spdk::test(bdevs(bdev_malloc_create(name = "M", num_blocks = 64, block_size = 512)))]
async fn no_writer() -> spdk::Result<()> {
    let (one, other) = (open(false)?, open(false)?);
    let writer = open(true)?;
    let writes = writer.claim(Claim::ReadManyWriteNone);
    let writes = writes.expect_err("it is open for writing");
    assert_eq!(writes.errno(), Some(Errno::EINVAL), "{writes}");
    drop(writer);
    one.claim(Claim::ReadManyWriteNone)?;
    other.claim(Claim::ReadManyWriteNone)?;
    refused(open(true));
    drop(one);
    refused(open(true)); // one of two is left
    drop(other);
    drop(open(true)?);
    Ok(())
}

#[spdk::test(bdevs(
    bdev_set_options(bdev_auto_examine = false),
    bdev_malloc_create(name = "M", num_blocks = 64, block_size = 512)
))]
async fn writers_with_one_key() -> spdk::Result<()> {
    let (one, other, third) = (open(false)?, open(false)?, open(false)?);
    one.claim(shared(7))?;
    other.claim(shared(7))?;
    refused(third.claim(shared(8)));
    refused(open(true));
    write(&one).await?;
    write(&other).await?;
    let readonly = write(&third).await.expect_err("it has no claim");
    assert_eq!(readonly.errno(), Some(Errno::EBADF), "{readonly}");
    // SPDK shows a claimed device to the module of the claim.
    let params = serde_json::json!({ "name": "M" });
    spdk::rpc::call::<bool>("bdev_examine", &params).await?;
    Ok(())
}
