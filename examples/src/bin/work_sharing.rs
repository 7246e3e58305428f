//! Two cores share the work on one device: each takes the next part as soon as it has done one. What was
//! written is verified by whichever core takes it then.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::available_parallelism;

use futures_util::future::try_join_all;
use spdk::{SpdkApp, spawn_on};
use spdk_examples::{BLOCKS, Store, app};

/// Blocks that a core takes at once.
const PART: u64 = 64;

fn main() -> spdk::Result<()> {
    let two = available_parallelism().is_ok_and(|cores| cores.get() > 1);
    let app = app("work_sharing").reactor_mask(if two { "0x3" } else { "0x1" });
    let (written, verified) = app.block_on(async {
        Ok::<_, spdk::Error>((share(Work::Write).await?, share(Work::Verify).await?))
    })?;
    println!("{written} blocks written, {verified} verified");
    Ok(())
}

#[derive(Clone, Copy)]
enum Work {
    Write,
    Verify,
}

/// Has every core take parts until there are no more. Returns how many blocks that were.
async fn share(work: Work) -> spdk::Result<u64> {
    let next = Arc::new(AtomicU64::new(0));
    let cores = SpdkApp::cores()?;
    let cores = cores.into_iter().map(|core| {
        let next = next.clone();
        spawn_on(core, move || take_parts(work, next))
    });
    try_join_all(cores).await?.into_iter().sum()
}

/// On each core: it opens the device, and has a channel, for itself.
async fn take_parts(work: Work, next: Arc<AtomicU64>) -> spdk::Result<u64> {
    let store = Store::open()?;
    let mut blocks = 0;
    loop {
        let first = next.fetch_add(PART, Relaxed);
        if first >= BLOCKS {
            return Ok(blocks);
        }
        for block in first..(first + PART).min(BLOCKS) {
            let byte = (block % 251) as u8;
            match work {
                Work::Write => store.fill(block, byte).await?,
                Work::Verify => assert_eq!(store.byte(block).await?, Some(byte), "block {block}"),
            }
            blocks += 1;
        }
    }
}
