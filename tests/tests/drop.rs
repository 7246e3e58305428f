//! Futures, buffers, channels and descriptors that go while an operation is in flight.
//!
//! The delay bdev completes late, but moves the data when the operation is submitted. So these tests
//! watch who owns what and when it is freed; `in_flight.rs` watches the data.
#![allow(missing_docs)]

use std::cell::Cell;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use spdk::{Bdev, BdevDesc, DmaBuf, ErrorKind, IoChannel};
use spdk_tests::wait::timeout;
use spdk_tests::{Device, dma, kind, pattern, poll_once, rpc, until};

/// The latency of the delay bdev in microseconds: long enough to do things meanwhile.
const LATENCY: u64 = 10_000;
const BLOCK: usize = 512;

#[derive(Clone, Copy, Debug)]
enum Op {
    Read,
    Write,
    Readv,
    Writev,
    Zeroes,
    Flush,
}

const OPS: [Op; 6] = [
    Op::Read,
    Op::Write,
    Op::Readv,
    Op::Writev,
    Op::Zeroes,
    Op::Flush,
];

type Io<'a> = Pin<Box<dyn Future<Output = spdk::Result<()>> + 'a>>;

fn start<'a>(op: Op, desc: &'a BdevDesc, ch: &'a IoChannel, bufs: &'a mut [DmaBuf]) -> Io<'a> {
    let mut io: Io<'a> = match op {
        Op::Read => Box::pin(desc.read(ch, &mut bufs[0], 0)),
        Op::Write => Box::pin(desc.write(ch, &bufs[0], 0)),
        Op::Readv => Box::pin(desc.readv(ch, bufs, 0)),
        Op::Writev => Box::pin(desc.writev(ch, bufs, 0)),
        Op::Zeroes => Box::pin(desc.write_zeroes(ch, 0, 4096)),
        Op::Flush => Box::pin(desc.flush(ch, 0, 4096)),
    };
    assert!(
        poll_once(io.as_mut()).is_pending(),
        "{op:?} was not in flight"
    );
    io
}

/// Every order of four things.
fn orders() -> Vec<[usize; 4]> {
    let mut orders = Vec::new();
    for code in 0..256_usize {
        let order = [code & 3, code >> 2 & 3, code >> 4 & 3, code >> 6];
        if (0..4).all(|thing| order.contains(&thing)) {
            orders.push(order);
        }
    }
    assert_eq!(orders.len(), 24);
    orders
}

/// What becomes of a future in flight.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Dropped,
    Forgotten,
}

/// Fails if an operation does not hold what SPDK may still use (freed early: the count falls at
/// once), or holds it for ever (the count does not fall at all).
async fn everything_goes_in_every_order(name: &str, channel: &str) -> spdk::Result<()> {
    // What SPDK allocates once, when it is first used.
    drop(Device::open(name)?);
    for end in [End::Dropped, End::Forgotten] {
        for op in OPS {
            for order in orders() {
                let before = dma::pieces();
                let Device { bdev, desc, ch } = Device::open(name)?;
                let mut bufs = vec![DmaBuf::alloc(BLOCK, 4096)?, DmaBuf::alloc(2 * BLOCK, 4096)?];
                let io = start(op, &desc, &ch, &mut bufs);
                match end {
                    End::Dropped => drop(io),
                    End::Forgotten => mem::forget(io),
                }
                let lent = match op {
                    Op::Read | Op::Write => 1,
                    Op::Readv | Op::Writev => 2,
                    Op::Zeroes | Op::Flush => 0,
                };
                let (mut bdev, mut desc) = (Some(bdev), Some(desc));
                let (mut ch, mut bufs) = (Some(ch), Some(bufs));
                for thing in order {
                    match thing {
                        0 => drop(bdev.take()),
                        1 => drop(desc.take()),
                        2 => drop(ch.take()),
                        _ => drop(bufs.take()),
                    }
                }
                assert!(
                    dma::pieces() >= before + lent,
                    "{end:?} {op:?} {order:?}: memory was freed under an operation in flight"
                );
                until(
                    &format!("{end:?} {op:?} {order:?} to give its memory back"),
                    || dma::pieces() <= before,
                )
                .await;
            }
        }
    }
    assert_eq!(
        rpc::channels(channel).await,
        0,
        "a channel is still referenced"
    );
    Ok(())
}

#[spdk::test(
    bdevs(
        bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
        bdev_delay_create(
            base_bdev_name = "Malloc0", name = "Delay0",
            avg_read_latency = LATENCY, p99_read_latency = LATENCY,
            avg_write_latency = LATENCY, p99_write_latency = LATENCY,
        ),
    ),
    rpc_addr = &rpc::address(),
)]
async fn everything_goes_in_every_order_on_a_slow_device() -> spdk::Result<()> {
    everything_goes_in_every_order("Delay0", "bdev_Delay0").await
}

#[spdk::test(
    bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)),
    rpc_addr = &rpc::address(),
)]
async fn everything_goes_in_every_order_on_a_fast_device() -> spdk::Result<()> {
    everything_goes_in_every_order("Malloc0", "bdev_Malloc0").await
}

/// The address that a buffer has without being used: looking at the bytes may change it.
fn address(buf: &DmaBuf) -> *const u8 {
    buf.as_slice().as_ptr()
}

/// Fails if the memory of an abandoned read is given back to its owner while SPDK writes into it:
/// the address stays the same, or the old bytes are still there.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
    bdev_delay_create(
        base_bdev_name = "Malloc0", name = "Delay0",
        avg_read_latency = LATENCY, p99_read_latency = LATENCY,
        avg_write_latency = LATENCY, p99_write_latency = LATENCY,
    ),
))]
async fn after_an_abandoned_read_the_buffer_is_fresh_zeroes() -> spdk::Result<()> {
    let device = Device::open("Delay0")?;
    let mut buf = device.buffer(8)?;
    pattern::fill(&mut buf, BLOCK, 0, 1);
    device.desc.write(&device.ch, &buf, 0).await?;
    for end in [End::Dropped, End::Forgotten] {
        let pieces = dma::pieces();
        pattern::fill(&mut buf, BLOCK, 0, 2);
        let before = address(&buf);
        let io = start(
            Op::Read,
            &device.desc,
            &device.ch,
            std::slice::from_mut(&mut buf),
        );
        match end {
            End::Dropped => drop(io),
            End::Forgotten => mem::forget(io),
        }
        pattern::assert_zero(&buf);
        assert_ne!(address(&buf), before, "{end:?}");
        assert_eq!(dma::pieces(), pieces + 1, "{end:?}");
        // The buffer reads again while the first read is still on its way.
        device.desc.read(&device.ch, &mut buf, 0).await?;
        pattern::assert_is(&buf, BLOCK, 0, 1);
        until("the old memory to be freed", || dma::pieces() == pieces).await;
        pattern::assert_is(&buf, BLOCK, 0, 1);
    }
    Ok(())
}

/// Fails if what is written next goes into the memory that an abandoned write still reads: the
/// address stays the same.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
    bdev_delay_create(
        base_bdev_name = "Malloc0", name = "Delay0",
        avg_read_latency = LATENCY, p99_read_latency = LATENCY,
        avg_write_latency = LATENCY, p99_write_latency = LATENCY,
    ),
))]
async fn after_an_abandoned_write_the_buffer_is_a_copy() -> spdk::Result<()> {
    let device = Device::open("Delay0")?;
    // What SPDK allocates when it is first used.
    device.desc.write(&device.ch, &device.buffer(8)?, 0).await?;
    for end in [End::Dropped, End::Forgotten] {
        let pieces = dma::pieces();
        let mut buf = device.buffer(8)?;
        pattern::fill(&mut buf, BLOCK, 0, 1);
        let before = address(&buf);
        let io = start(
            Op::Write,
            &device.desc,
            &device.ch,
            std::slice::from_mut(&mut buf),
        );
        match end {
            End::Dropped => drop(io),
            End::Forgotten => mem::forget(io),
        }
        // Reading it needs no copy: SPDK only reads it too.
        pattern::assert_is(&buf, BLOCK, 0, 1);
        assert_eq!(address(&buf), before, "{end:?}");
        // Two writes of one buffer may be in flight at once.
        device.desc.write(&device.ch, &buf, 4096).await?;
        let io = start(
            Op::Write,
            &device.desc,
            &device.ch,
            std::slice::from_mut(&mut buf),
        );
        drop(io);
        assert_ne!(buf.as_mut_slice().as_ptr(), before, "{end:?}");
        pattern::assert_is(&buf, BLOCK, 0, 1);
        pattern::fill(&mut buf, BLOCK, 0, 2);
        drop(buf);
        until("the memory to be freed", || dma::pieces() == pieces).await;
        let mut on_device = device.buffer(16)?;
        device.desc.read(&device.ch, &mut on_device, 0).await?;
        pattern::assert_is(&on_device[..4096], BLOCK, 0, 1);
        pattern::assert_is(&on_device[4096..], BLOCK, 0, 1);
    }
    Ok(())
}

/// Fails if a buffer loses its memory although the abandoned operation has ended.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn when_the_abandoned_operation_has_ended_the_memory_is_used_again() -> spdk::Result<()> {
    let device = Device::open("Malloc0")?;
    let mut buf = device.buffer(8)?;
    for op in [Op::Read, Op::Write] {
        pattern::fill(&mut buf, BLOCK, 0, 1);
        let before = address(&buf);
        drop(start(
            op,
            &device.desc,
            &device.ch,
            std::slice::from_mut(&mut buf),
        ));
        // A later operation of the same channel completes after it.
        let mut other = device.buffer(8)?;
        device.desc.read(&device.ch, &mut other, 0).await?;
        assert_eq!(buf.as_mut_slice().as_ptr(), before, "{op:?}");
    }
    Ok(())
}

/// Fails if the creation of a future already submits: the device would have the data.
#[spdk::test(bdevs(bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK)))]
async fn a_future_that_is_never_polled_does_nothing() -> spdk::Result<()> {
    let device = Device::open("Malloc0")?;
    let mut buf = device.buffer(8)?;
    pattern::fill(&mut buf, BLOCK, 0, 1);
    let before = address(&buf);
    drop(device.desc.write(&device.ch, &buf, 0));
    drop(device.desc.read(&device.ch, &mut buf, 0));
    mem::forget(device.desc.write(&device.ch, &buf, 0));
    assert_eq!(buf.as_mut_slice().as_ptr(), before);
    pattern::assert_is(&buf, BLOCK, 0, 1);
    device.desc.read(&device.ch, &mut buf, 0).await?;
    pattern::assert_zero(&buf);
    Ok(())
}

/// Fails if a timeout leaves the buffer or the device in a state that the next operation trips over.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
    bdev_delay_create(
        base_bdev_name = "Malloc0", name = "Delay0",
        avg_read_latency = LATENCY, p99_read_latency = LATENCY,
        avg_write_latency = LATENCY, p99_write_latency = LATENCY,
    ),
))]
async fn after_a_timeout_the_buffer_is_used_again() -> spdk::Result<()> {
    let device = Device::open("Delay0")?;
    let mut buf = device.buffer(8)?;
    pattern::fill(&mut buf, BLOCK, 0, 1);
    device.desc.write(&device.ch, &buf, 0).await?;
    let pieces = dma::pieces();
    let mut timeouts = 0;
    for generation in 2..20 {
        let read = device.desc.read(&device.ch, &mut buf, 0);
        let read = timeout(Duration::from_micros(LATENCY / 10), read).await;
        if read.is_none() {
            timeouts += 1;
            pattern::assert_zero(&buf);
        }
        pattern::fill(&mut buf, BLOCK, 0, generation);
        device.desc.write(&device.ch, &buf, 0).await?;
        buf.fill(0);
        device.desc.read(&device.ch, &mut buf, 0).await?;
        pattern::assert_is(&buf, BLOCK, 0, generation);
    }
    assert!(timeouts > 0, "the delay bdev was always fast");
    until("the abandoned memory to be freed", || {
        dma::pieces() == pieces
    })
    .await;
    Ok(())
}

/// Fails if an aborted task frees what its operation still uses, or if the abort waits for it.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
    bdev_delay_create(
        base_bdev_name = "Malloc0", name = "Delay0",
        avg_read_latency = LATENCY, p99_read_latency = LATENCY,
        avg_write_latency = LATENCY, p99_write_latency = LATENCY,
    ),
))]
async fn a_task_is_aborted_in_the_middle_of_its_io() -> spdk::Result<()> {
    struct Gone(Rc<Cell<u32>>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    drop(Device::open("Delay0")?);
    let before = dma::pieces();
    let (begun, gone) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let mut tasks = Vec::new();
    for _ in 0..32 {
        let (begun, gone) = (begun.clone(), Gone(gone.clone()));
        tasks.push(spdk::spawn_local(async move {
            let _gone = gone;
            let device = Device::open("Delay0")?;
            let mut buf = device.buffer(8)?;
            begun.set(begun.get() + 1);
            device.desc.read(&device.ch, &mut buf, 0).await
        })?);
    }
    until("the tasks to begin", || begun.get() == 32).await;
    tasks.iter().for_each(spdk::task::JoinHandle::abort);
    until("the tasks to be dropped", || gone.get() == 32).await;
    assert!(
        dma::pieces() >= before + 32,
        "the memory was freed under the operations"
    );
    for task in tasks {
        assert!(matches!(kind(&task.await), Some(ErrorKind::Cancelled)));
    }
    until("the memory to be freed", || dma::pieces() <= before).await;
    Ok(())
}

/// Fails if the memory's owner on another OS thread frees it, or changes the count of its loans.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
    bdev_delay_create(
        base_bdev_name = "Malloc0", name = "Delay0",
        avg_read_latency = LATENCY, p99_read_latency = LATENCY,
        avg_write_latency = LATENCY, p99_write_latency = LATENCY,
    ),
))]
async fn a_buffer_in_flight_goes_to_another_os_thread() -> spdk::Result<()> {
    let device = Device::open("Delay0")?;
    let mut buf = device.buffer(8)?;
    pattern::fill(&mut buf, BLOCK, 0, 1);
    device.desc.write(&device.ch, &buf, 0).await?;
    drop(buf);
    let pieces = dma::pieces();
    for op in [Op::Read, Op::Write] {
        let (mut used, mut dropped) = (device.buffer(8)?, device.buffer(8)?);
        pattern::fill(&mut used, BLOCK, 0, 1);
        pattern::fill(&mut dropped, BLOCK, 0, 1);
        let before = address(&used) as usize;
        drop(start(
            op,
            &device.desc,
            &device.ch,
            std::slice::from_mut(&mut used),
        ));
        drop(start(
            op,
            &device.desc,
            &device.ch,
            std::slice::from_mut(&mut dropped),
        ));
        let elsewhere = std::thread::spawn(move || {
            drop(dropped);
            let bytes = used.as_mut_slice();
            assert_ne!(bytes.as_ptr() as usize, before);
            match op {
                Op::Read => pattern::assert_zero(bytes),
                _ => pattern::assert_is(bytes, BLOCK, 0, 1),
            }
            drop(used);
        });
        until("the other OS thread", || elsewhere.is_finished()).await;
        assert!(elsewhere.join().is_ok(), "the other OS thread failed");
        // Orphans of another OS thread are freed by a later allocation.
        until("the memory to be freed", || {
            device.buffer(1).is_ok() && dma::pieces() == pieces
        })
        .await;
    }
    Ok(())
}

/// Fails if the end of the application frees what is in flight, or waits for a future that nobody
/// polls.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 1024, block_size = BLOCK),
    bdev_delay_create(
        base_bdev_name = "Malloc0", name = "Delay0",
        avg_read_latency = LATENCY, p99_read_latency = LATENCY,
        avg_write_latency = LATENCY, p99_write_latency = LATENCY,
    ),
))]
async fn the_application_ends_with_everything_in_flight() -> spdk::Result<()> {
    let device = Device::open("Delay0")?;
    let mut bufs = vec![device.buffer(1)?, device.buffer(2)?];
    for op in OPS {
        mem::forget(start(op, &device.desc, &device.ch, &mut bufs));
    }
    for op in OPS {
        drop(start(op, &device.desc, &device.ch, &mut bufs));
    }
    mem::forget(Device::open("Delay0")?);
    mem::forget(Bdev::find("Malloc0")?);
    mem::forget(bufs);
    Ok(())
}
