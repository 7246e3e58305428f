//! Every operation of a bdev, with every byte looked at.
#![allow(missing_docs)]

use std::cell::RefCell;
use std::rc::Rc;

use spdk::{BdevIoType, DmaBuf, Errno, Error, ErrorKind, IoQueue};
use spdk_tests::wait::within;
use spdk_tests::{Device, assert_errno, kind, pattern, rpc};

/// The blocks of each device.
const BLOCKS: u64 = 2048;

/// What the device should hold: the generation of each block, 0 for zeroes.
struct Model {
    device: Device,
    generations: RefCell<Vec<u64>>,
}

impl Model {
    fn open(name: &str) -> spdk::Result<Rc<Self>> {
        let device = Device::open(name)?;
        let generations = RefCell::new(vec![0; device.bdev.num_blocks() as usize]);
        Ok(Rc::new(Model {
            device,
            generations,
        }))
    }

    fn set(&self, first: u64, count: usize, generation: u64) {
        self.generations.borrow_mut()[first as usize..][..count].fill(generation);
    }

    /// A buffer with the pattern of these blocks.
    fn pattern(&self, first: u64, count: usize, generation: u64) -> spdk::Result<DmaBuf> {
        let mut buf = self.device.buffer(count)?;
        pattern::fill(&mut buf, self.device.block(), first, generation);
        self.set(first, count, generation);
        Ok(buf)
    }

    /// The same in pieces of these numbers of blocks.
    fn patterns(&self, first: u64, sizes: &[usize], generation: u64) -> spdk::Result<Vec<DmaBuf>> {
        let mut at = first;
        let pieces = sizes.iter().map(|count| {
            let piece = self.pattern(at, *count, generation);
            at += *count as u64;
            piece
        });
        pieces.collect()
    }

    fn check(&self, bytes: &[u8], first: u64) {
        let block_size = self.device.block();
        let generations = self.generations.borrow();
        for (block, number) in bytes.chunks(block_size).zip(first..) {
            match generations[number as usize] {
                0 => pattern::assert_zero(block),
                generation => pattern::assert_is(block, block_size, number, generation),
            }
        }
    }

    /// Reads the whole device and compares it.
    async fn check_all(&self) -> spdk::Result<()> {
        let Device { desc, ch, .. } = &self.device;
        let step = 256;
        let mut buf = self.device.buffer(step)?;
        for first in (0..self.device.bdev.num_blocks()).step_by(step) {
            desc.read_blocks(ch, &mut buf, first, step as u64).await?;
            self.check(&buf, first);
        }
        Ok(())
    }
}

/// Numbers of blocks whose sum is theirs: more iovecs than an operation has room for inline, too.
const SHAPES: [&[usize]; 7] = [
    &[1],
    &[1, 1],
    &[3, 1, 4],
    &[1, 2, 3, 4, 5, 6, 7, 8],
    &[1, 2, 3, 4, 5, 6, 7, 8, 9],
    &[1; 16],
    &[1; 31],
];

async fn write_and_read(model: &Model) -> spdk::Result<()> {
    let Device { desc, ch, .. } = &model.device;
    let block = model.device.block() as u64;
    let last = model.device.bdev.num_blocks();
    let mut generation = 1;
    for (first, count) in [(0, 1), (1, 8), (100, 33), (last - 1, 1), (last - 16, 16)] {
        let bytes = count as u64 * block;
        let mut buf = model.pattern(first, count, generation)?;
        desc.write(ch, &buf, first * block).await?;
        // An operation must fill what it says it fills.
        buf.fill(0xee);
        desc.read_blocks(ch, &mut buf, first, count as u64).await?;
        model.check(&buf, first);
        let mut buf = model.pattern(first, count, generation + 1)?;
        desc.write_blocks(ch, &buf, first, count as u64).await?;
        buf.fill(0xee);
        desc.read(ch, &mut buf, first * block).await?;
        assert_eq!(buf.len() as u64, bytes);
        model.check(&buf, first);
        generation += 2;
    }
    Ok(())
}

async fn vectors(model: &Model) -> spdk::Result<()> {
    let Device { desc, ch, .. } = &model.device;
    let block = model.device.block() as u64;
    let mut generation = 100;
    for shape in SHAPES {
        let blocks: usize = shape.iter().sum();
        for first in [0, 500, model.device.bdev.num_blocks() - blocks as u64] {
            for in_blocks in [true, false] {
                generation += 1;
                let mut bufs = model.patterns(first, shape, generation)?;
                match in_blocks {
                    true => desc.writev_blocks(ch, &bufs, first, blocks as u64).await?,
                    false => desc.writev(ch, &bufs, first * block).await?,
                }
                bufs.iter_mut().for_each(|buf| buf.fill(0xee));
                match in_blocks {
                    false => {
                        desc.readv_blocks(ch, &mut bufs, first, blocks as u64)
                            .await?
                    }
                    true => desc.readv(ch, &mut bufs, first * block).await?,
                }
                let bytes: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
                model.check(&bytes, first);
            }
        }
    }
    Ok(())
}

/// `zero_after_unmap`: whether the device promises zeroes.
async fn zeroes(model: &Model, zero_after_unmap: bool) -> spdk::Result<()> {
    let Device { desc, ch, bdev } = &model.device;
    let block = model.device.block() as u64;
    let buf = model.pattern(0, 256, 1000)?;
    desc.write(ch, &buf, 0).await?;
    desc.write_zeroes(ch, 8 * block, 16 * block).await?;
    model.set(8, 16, 0);
    desc.write_zeroes_blocks(ch, 64, 1).await?;
    model.set(64, 1, 0);
    if bdev.io_type_supported(BdevIoType::Unmap)? {
        desc.unmap(ch, 128 * block, 8 * block).await?;
        desc.unmap_blocks(ch, 200, 56).await?;
        if !zero_after_unmap {
            desc.write_zeroes_blocks(ch, 128, 8).await?;
            desc.write_zeroes_blocks(ch, 200, 56).await?;
        }
        model.set(128, 8, 0);
        model.set(200, 56, 0);
    }
    if bdev.io_type_supported(BdevIoType::Flush)? {
        desc.flush(ch, 0, bdev.size_bytes()).await?;
        desc.flush_blocks(ch, 0, 1).await?;
    }
    if bdev.io_type_supported(BdevIoType::Reset)? {
        desc.reset(ch).await?;
    }
    Ok(())
}

async fn all(name: &str) -> spdk::Result<()> {
    let model = Model::open(name)?;
    write_and_read(&model).await?;
    vectors(&model).await?;
    zeroes(&model, true).await?;
    model.check_all().await
}

/// Fails if an operation is given another place, length or buffer than the caller's.
#[spdk::test(bdevs(bdev_malloc_create(name = "D", num_blocks = BLOCKS, block_size = 512)))]
async fn malloc_with_blocks_of_512() -> spdk::Result<()> {
    all("D").await
}

/// As above.
#[spdk::test(bdevs(bdev_malloc_create(name = "D", num_blocks = BLOCKS, block_size = 4096)))]
async fn malloc_with_blocks_of_4096() -> spdk::Result<()> {
    all("D").await
}

/// As above, for bdevs that pass everything on to the one below.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = BLOCKS, block_size = 512),
    bdev_passthru_create(base_bdev_name = "Malloc0", name = "D"),
))]
async fn passthru() -> spdk::Result<()> {
    all("D").await
}

/// As above.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = BLOCKS, block_size = 512),
    bdev_delay_create(
        base_bdev_name = "Malloc0", name = "D",
        avg_read_latency = 10, p99_read_latency = 10,
        avg_write_latency = 10, p99_write_latency = 10,
    ),
))]
async fn delay() -> spdk::Result<()> {
    all("D").await
}

/// As above.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = BLOCKS, block_size = 512),
    bdev_error_create(base_name = "Malloc0"),
))]
async fn error() -> spdk::Result<()> {
    all("EE_Malloc0").await
}

/// As above; the parts of one device must not touch each other.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = 2 * BLOCKS, block_size = 512),
    bdev_split_create(base_bdev = "Malloc0", split_count = 2),
))]
async fn split() -> spdk::Result<()> {
    let untouched = Model::open("Malloc0p1")?;
    let buf = untouched.pattern(0, 512, 7)?;
    untouched
        .device
        .desc
        .write(&untouched.device.ch, &buf, 0)
        .await?;
    all("Malloc0p0").await?;
    untouched.check_all().await
}

/// A file for an aio bdev, which is deleted once it is open: the name is the process's.
fn file() -> String {
    format!("{}.aio", rpc::address())
}

fn new_file() -> String {
    let made = std::fs::File::create(file()).and_then(|file| file.set_len(BLOCKS * 512));
    match made {
        Ok(()) => file(),
        Err(error) => panic!("{}: {error}", file()),
    }
}

/// As above, on a device that calls back from the kernel's completions.
#[spdk::test(bdevs(bdev_aio_create(name = "D", filename = new_file(), block_size = 512)))]
async fn aio() -> spdk::Result<()> {
    let model = Model::open("D");
    assert!(std::fs::remove_file(file()).is_ok());
    let model = model?;
    write_and_read(&model).await?;
    vectors(&model).await?;
    zeroes(&model, true).await?;
    model.check_all().await
}

/// Fails if a null bdev is given a buffer that it writes to, or does not answer.
#[spdk::test(bdevs(bdev_null_create(name = "D", num_blocks = BLOCKS, block_size = 512)))]
async fn null() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let mut buf = device.buffer(8)?;
    buf.fill(0xa5);
    device.desc.write(&device.ch, &buf, 0).await?;
    device.desc.write_zeroes(&device.ch, 0, 4096).await?;
    device.desc.reset(&device.ch).await?;
    device.desc.read(&device.ch, &mut buf, 0).await?;
    let mut bufs = [device.buffer(1)?, device.buffer(3)?];
    device.desc.readv(&device.ch, &mut bufs, 0).await
}

/// Fails if many operations at once get each other's buffers.
#[spdk::test(bdevs(bdev_malloc_create(name = "D", num_blocks = BLOCKS, block_size = 512)))]
async fn many_at_once() -> spdk::Result<()> {
    let model = Model::open("D")?;
    let mut tasks = Vec::new();
    for place in 0..BLOCKS / 8 {
        let model = model.clone();
        tasks.push(spdk::spawn_local(async move {
            let Device { desc, ch, .. } = &model.device;
            for generation in 1..20 {
                let first = place * 8;
                let mut buf = model.pattern(first, 8, generation)?;
                desc.write_blocks(ch, &buf, first, 8).await?;
                buf.fill(0);
                desc.read_blocks(ch, &mut buf, first, 8).await?;
                model.check(&buf, first);
            }
            Ok::<_, Error>(())
        })?);
    }
    for task in tasks {
        task.await??;
    }
    model.check_all().await
}

/// The error of an operation that must not reach the device.
#[track_caller]
fn refused(result: spdk::Result<()>) -> String {
    let error = result.expect_err("accepted");
    let refused = matches!(error.kind(), ErrorKind::InvalidArgument { .. });
    assert!(refused || error.errno() == Some(Errno::EINVAL), "{error}");
    error.to_string()
}

/// Fails if an operation outside of the device, or of parts of blocks, is submitted, or if its error
/// does not tell the range.
#[spdk::test(bdevs(bdev_malloc_create(name = "D", num_blocks = BLOCKS, block_size = 512)))]
async fn wrong_ranges_are_refused() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let Device { desc, ch, .. } = &device;
    let size = BLOCKS * 512;
    let mut block = device.buffer(1)?;
    let mut part = DmaBuf::alloc(100, 64)?;
    let mut two = device.buffer(2)?;
    let texts = [
        refused(desc.read(ch, &mut block, 1).await),
        refused(desc.write(ch, &block, 511).await),
        refused(desc.read(ch, &mut part, 0).await),
        refused(desc.write(ch, &part, 0).await),
        refused(desc.read(ch, &mut block, size).await),
        refused(desc.write(ch, &two, size - 512).await),
        refused(desc.read(ch, &mut two, u64::MAX - 511).await),
        refused(desc.read_blocks(ch, &mut block, BLOCKS, 1).await),
        refused(desc.write_blocks(ch, &block, u64::MAX, 1).await),
        refused(desc.unmap(ch, 1, 512).await),
        refused(desc.unmap(ch, 0, 511).await),
        refused(desc.unmap_blocks(ch, BLOCKS - 1, 2).await),
        refused(desc.unmap(ch, 0, size + 512).await),
        refused(desc.write_zeroes(ch, 0, 1).await),
        refused(desc.write_zeroes_blocks(ch, 1, u64::MAX).await),
        refused(desc.flush(ch, 3, 512).await),
        refused(desc.flush_blocks(ch, BLOCKS, 1).await),
        refused(desc.readv(ch, std::slice::from_mut(&mut part), 0).await),
        refused(desc.writev(ch, std::slice::from_ref(&block), size).await),
    ];
    assert_eq!(
        texts[0],
        "spdk_bdev_read on bdev \"D\" (512 bytes at byte 1): Invalid argument (EINVAL); the offset and the length must be multiples of the block size, 512 bytes"
    );
    assert!(
        texts.iter().all(|text| text.contains("on bdev \"D\" (")),
        "{texts:#?}"
    );
    // Nothing was written.
    let mut all = device.buffer(BLOCKS as usize)?;
    desc.read(ch, &mut all, 0).await?;
    pattern::assert_zero(&all);
    Ok(())
}

/// Fails if a vector whose length is not that of the blocks reaches SPDK, which does not check it and
/// goes over the end of the buffers.
#[spdk::test(bdevs(bdev_malloc_create(name = "D", num_blocks = BLOCKS, block_size = 512)))]
async fn buffers_of_another_length_are_refused() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let Device { desc, ch, .. } = &device;
    let mut bufs = vec![device.buffer(1)?, device.buffer(2)?];
    let mut two = device.buffer(2)?;
    let texts = [
        refused(desc.readv_blocks(ch, &mut bufs, 0, 4).await),
        refused(desc.readv_blocks(ch, &mut bufs, 0, 2).await),
        refused(desc.writev_blocks(ch, &bufs, 0, 0).await),
        refused(desc.writev_blocks(ch, &bufs, 0, u64::MAX).await),
        refused(desc.read_blocks(ch, &mut two, 0, 3).await),
        refused(desc.write_blocks(ch, &two, 0, 1).await),
        refused(desc.write_blocks(ch, &two, 0, u64::MAX / 256).await),
        refused(desc.readv(ch, &mut [], 0).await),
        refused(desc.writev(ch, &[], 0).await),
        refused(desc.readv_blocks(ch, &mut [], 0, 0).await),
    ];
    assert_eq!(
        texts[0],
        "spdk_bdev_readv_blocks on bdev \"D\" (4 blocks at block 0): the buffers hold 1536 bytes, but \
         4 blocks of 512 bytes are 2048"
    );
    assert!(
        texts[7].ends_with("a vectored operation needs a buffer"),
        "{}",
        texts[7]
    );
    desc.readv_blocks(ch, &mut bufs, 0, 3).await
}

/// Fails if an operation on no blocks waits for ever. What it answers is the device's: SPDK completes
/// some of them, and refuses others.
#[spdk::test(bdevs(bdev_malloc_create(name = "D", num_blocks = BLOCKS, block_size = 512)), deadline = 10)]
async fn operations_on_nothing_end() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let Device { desc, ch, .. } = &device;
    let ends = [
        desc.unmap(ch, 0, 0).await,
        desc.unmap_blocks(ch, 0, 0).await,
        desc.write_zeroes(ch, 0, 0).await,
        desc.write_zeroes_blocks(ch, 5, 0).await,
        desc.flush(ch, 0, 0).await,
        desc.flush_blocks(ch, BLOCKS - 1, 0).await,
    ];
    for end in ends {
        if let Err(error) = end {
            assert_eq!(error.errno(), Some(Errno::EINVAL), "{error}");
        }
    }
    // A buffer of nothing does not exist.
    assert!(matches!(
        kind(&DmaBuf::alloc(0, 4096)),
        Some(ErrorKind::InvalidArgument { .. })
    ));
    Ok(())
}

/// Fails if an operation larger than the device takes at once is cut short: SPDK splits it.
#[spdk::test(
    bdevs(
        bdev_malloc_create(
            name = "D", num_blocks = 32 * 1024, block_size = 512, optimal_io_boundary = 8,
        ),
    ),
    deadline = 60,
)]
async fn large_operations_are_split() -> spdk::Result<()> {
    let model = Model::open("D")?;
    let Device { desc, ch, .. } = &model.device;
    let mut whole = model.pattern(0, 32 * 1024, 1)?;
    desc.write(ch, &whole, 0).await?;
    whole.fill(0);
    desc.read(ch, &mut whole, 0).await?;
    model.check(&whole, 0);
    let bufs = model.patterns(3, &[1000; 32], 2)?;
    desc.writev_blocks(ch, &bufs, 3, 32_000).await?;
    model.check_all().await
}

/// Fails if what a bdev tells of itself is another bdev's.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "Malloc0", num_blocks = BLOCKS, block_size = 512),
    bdev_null_create(name = "Null0", num_blocks = 77, block_size = 4096),
))]
async fn properties() -> spdk::Result<()> {
    let malloc = Device::open("Malloc0")?;
    let null = Device::open("Null0")?;
    assert_eq!(malloc.bdev.name(), "Malloc0");
    assert_eq!(
        (malloc.bdev.block_size(), malloc.bdev.num_blocks()),
        (512, BLOCKS)
    );
    assert_eq!((null.bdev.block_size(), null.bdev.num_blocks()), (4096, 77));
    assert_eq!(null.bdev.size_bytes(), 77 * 4096);
    assert_eq!(malloc.bdev.product_name()?, "Malloc disk");
    assert_eq!(null.bdev.product_name()?, "Null disk");
    assert!(malloc.bdev.io_type_supported(BdevIoType::Unmap)?);
    assert!(!null.bdev.io_type_supported(BdevIoType::Unmap)?);
    assert!(malloc.bdev.buf_align()?.is_power_of_two());
    assert_eq!(malloc.desc.bdev()?.name(), "Malloc0");
    assert_eq!(malloc.ch.thread().name(), "app_thread");
    assert_eq!(format!("{:?}", malloc.desc), "BdevDesc(\"Malloc0\")");
    Ok(())
}

/// Fails if a write of no zeroes is submitted: where the device has no command for it, SPDK splits it at a boundary into
/// nothing, and never ends it.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "A", num_blocks = 1024, block_size = 512),
    bdev_malloc_create(name = "B", num_blocks = 1024, block_size = 512),
    bdev_raid_create(name = "D", raid_level = "raid0", base_bdevs = ["A", "B"], strip_size_kb = 4),
))]
async fn a_write_of_no_zeroes_ends() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let Device { desc, ch, .. } = &device;
    for block in [0, 5, 8] {
        let at = block * 512;
        let ends = [
            within("bytes", desc.write_zeroes(ch, at, 0)).await,
            within("blocks", desc.write_zeroes_blocks(ch, block, 0)).await,
        ];
        for end in ends {
            assert_errno(end, Errno::EINVAL);
        }
        let mut queue = IoQueue::new(ch)?;
        queue.write_zeroes_blocks(block, 0, ());
        let done = within("a queue", queue.next()).await;
        assert_errno(done.expect("the I/O").result, Errno::EINVAL);
    }
    desc.write_zeroes_blocks(ch, 8, 1).await
}

/// Fails if SPDK writes the memory behind its buffer of zeroes: it has 1 MiB of them for devices that have no command.
#[spdk::test(bdevs(
    bdev_set_options(bdev_auto_examine = false),
    bdev_malloc_create(name = "A", num_blocks = 8, block_size = 1 << 20),
    bdev_raid_create(name = "Small", raid_level = "raid0", base_bdevs = ["A"], strip_size_kb = 1024),
    bdev_malloc_create(name = "B", num_blocks = 8, block_size = 2 << 20),
    bdev_raid_create(name = "Large", raid_level = "raid0", base_bdevs = ["B"], strip_size_kb = 2048),
    bdev_passthru_create(name = "Above", base_bdev_name = "Large"),
))]
async fn zeroes_in_blocks_larger_than_those_of_spdk() -> spdk::Result<()> {
    let small = Device::open("Small")?;
    let mut buf = small.buffer(4)?;
    buf.fill(0xa5);
    small.desc.write(&small.ch, &buf, 0).await?;
    small.desc.write_zeroes_blocks(&small.ch, 0, 4).await?;
    small.desc.read(&small.ch, &mut buf, 0).await?;
    pattern::assert_zero(&buf);

    let large = Device::open("Above")?;
    let Device { desc, ch, .. } = &large;
    assert_errno(desc.write_zeroes(ch, 0, 4 << 20).await, Errno::ENOTSUP);
    assert_errno(desc.write_zeroes_blocks(ch, 0, 2).await, Errno::ENOTSUP);
    let mut queue = IoQueue::new(ch)?;
    queue.write_zeroes_blocks(0, 2, ());
    let done = queue.next().await.expect("the I/O");
    assert_errno(done.result, Errno::ENOTSUP);
    let mut buf = large.buffer(2)?;
    desc.read(ch, &mut buf, 0).await?;
    pattern::assert_zero(&buf);
    Ok(())
}

/// Fails if a flush of nothing at the end of a device reaches a module that looks there for what has these blocks.
#[spdk::test(bdevs(
    bdev_malloc_create(name = "A", num_blocks = 1024, block_size = 512),
    bdev_malloc_create(name = "B", num_blocks = 1024, block_size = 512),
    bdev_raid_create(name = "D", raid_level = "concat", base_bdevs = ["A", "B"], strip_size_kb = 4),
    bdev_passthru_create(name = "P", base_bdev_name = "D"),
))]
async fn a_flush_of_nothing_at_the_end() -> spdk::Result<()> {
    let device = Device::open("P")?;
    let Device { bdev, desc, ch } = &device;
    let blocks = bdev.num_blocks();
    assert_errno(desc.flush(ch, blocks * 512, 0).await, Errno::EINVAL);
    assert_errno(desc.flush_blocks(ch, blocks, 0).await, Errno::EINVAL);
    let mut queue = IoQueue::new(ch)?;
    queue.flush_blocks(blocks, 0, ());
    let done = queue.next().await.expect("the I/O");
    assert_errno(done.result, Errno::EINVAL);
    desc.flush(ch, (blocks - 1) * 512, 0).await?;
    desc.flush_blocks(ch, 0, 0).await?;
    desc.flush_blocks(ch, 0, blocks).await?;
    Ok(())
}

/// Fails if an I/O is submitted whose parts SPDK does not find in the memory: it counts the bytes before them by 32 bits, so
/// that what is read behind the first 4 GiB is at the begin of the buffers, and not at their end.
#[spdk::test(
    mem_size_mb = 4608,
    bdevs(
        bdev_null_create(name = "A", num_blocks = 1 << 23, block_size = 512),
        bdev_null_create(name = "B", num_blocks = 1 << 12, block_size = 512),
        bdev_raid_create(name = "D", raid_level = "concat", base_bdevs = ["A", "B"], strip_size_kb = 1024),
    ),
)]
async fn four_gib_at_once() -> spdk::Result<()> {
    let device = Device::open("D")?;
    let Device { desc, ch, .. } = &device;
    let blocks = 1 << 23;
    let mut bufs = [DmaBuf::alloc(blocks as usize * 512, 4096)?];
    let ends = [
        desc.read(ch, &mut bufs[0], 0).await,
        desc.read_blocks(ch, &mut bufs[0], 0, blocks).await,
        desc.readv(ch, &mut bufs, 0).await,
        desc.readv_blocks(ch, &mut bufs, 0, blocks).await,
        desc.write(ch, &bufs[0], 0).await,
        desc.write_blocks(ch, &bufs[0], 0, blocks).await,
        desc.writev(ch, &bufs, 0).await,
        desc.writev_blocks(ch, &bufs, 0, blocks).await,
    ];
    let mut queue = IoQueue::new(ch)?;
    let [buf] = bufs;
    queue.read_blocks(buf, 0, blocks, ());
    let queued = queue.next().await.expect("the I/O").result;
    for end in ends.into_iter().chain([queued]) {
        let text = end.expect_err("it is refused").to_string();
        assert!(text.contains("less than 4 GiB"), "{text}");
    }
    Ok(())
}
