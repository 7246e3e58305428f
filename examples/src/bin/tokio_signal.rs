//! A program that finishes its work at SIGTERM: it writes until then, reads all of it back, and ends.
#![forbid(unsafe_code)]

use futures_util::FutureExt;
use spdk_examples::{BLOCKS, Store, app};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> spdk::Result<()> {
    app("tokio_signal")
        .disable_signal_handlers(true)
        .block_on(async {
            let store = Store::open()?;
            let work = async {
                let mut term = signal(SignalKind::terminate()).expect("a handler of SIGTERM");
                println!("writes until SIGTERM");
                let mut written = 0;
                loop {
                    store
                        .fill(written % BLOCKS, (written % BLOCKS) as u8)
                        .await?;
                    written += 1;
                    // Between two writes, not in the middle of one.
                    if term.recv().now_or_never().is_some() {
                        break;
                    }
                }
                for block in 0..written.min(BLOCKS) {
                    assert_eq!(store.byte(block).await?, Some(block as u8), "block {block}");
                }
                Ok::<_, spdk::Error>(())
            };
            spdk::tokio::run_local(Builder::new_multi_thread().enable_all(), work).await?
        })?;
    println!("all that was written is there");
    Ok(())
}
