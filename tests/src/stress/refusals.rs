//! Calls that have to be refused, and change nothing.

use std::cell::RefCell;

use serde_json::json;
use spdk::{Errno, ErrorKind, SpdkThread};

use super::worker::JUNK;
use crate::Device;
use crate::random::Random;
use crate::rpc;

/// A device that no operation is meant for.
const OTHER: &str = "Elsewhere";
/// How many devices wait for somebody on an OS thread, at most.
const LEFT: usize = 4;

thread_local! {
    /// What was left here, for whichever spdk_thread of this OS thread comes next: `!Send` does not keep it from that.
    static LEFT_HERE: RefCell<Vec<(u64, Device)>> = const { RefCell::new(Vec::new()) };
}

/// Makes what the calls need.
///
/// # Errors
///
/// What SPDK says.
pub async fn prepare() -> Result<(), String> {
    let other = json!({"name": OTHER, "num_blocks": 1024, "block_size": 512});
    rpc::try_call("bdev_null_create", other).await.map(drop)
}

/// What was left is dropped here, whatever spdk_thread it is of.
pub fn clear() {
    let left = LEFT_HERE.take();
    drop(left);
}

/// Makes one call that must be refused: with a block of this range if it changed something.
///
/// # Errors
///
/// It was let through, or ended with another error.
pub async fn one(dice: &mut Random, device: &Device, block: u64) -> Result<(), String> {
    let text = |error: spdk::Error| error.to_string();
    let mut buf = device.buffer(1).map_err(text)?;
    buf.fill(JUNK);
    match dice.below(5) {
        0 => {
            let blocks = 2 + dice.below(3);
            let written = device.desc.write_blocks(&device.ch, &buf, block, blocks);
            is("a buffer that is too short", written.await, |kind| {
                matches!(kind, ErrorKind::InvalidArgument { .. })
            })
        }
        1 => {
            let end = device.bdev.num_blocks();
            let written = device.desc.write_blocks(&device.ch, &buf, end, 1);
            is("a place beyond the end", written.await, |kind| {
                matches!(
                    kind,
                    ErrorKind::Errno {
                        errno: Errno::EINVAL,
                        ..
                    }
                )
            })
        }
        2 => {
            let other = Device::open(OTHER).map_err(text)?;
            let written = device.desc.write_blocks(&other.ch, &buf, block, 1);
            is("a channel of another device", written.await, |kind| {
                matches!(kind, ErrorKind::WrongChannel { .. })
            })
        }
        3 => {
            let left = Device::open(device.bdev.name()).map_err(text)?;
            LEFT_HERE.with_borrow_mut(|all| {
                if all.len() < LEFT {
                    all.push((here(), left));
                }
            });
            Ok(())
        }
        _ => {
            let found = LEFT_HERE.with_borrow_mut(|all| {
                let place = all.iter().position(|(home, _)| *home != here())?;
                Some(all.swap_remove(place))
            });
            let Some((home, found)) = found else {
                return Ok(());
            };
            let written = found.desc.write_blocks(&found.ch, &buf, block, 1);
            let refused = is("another spdk_thread", written.await, |kind| {
                matches!(kind, ErrorKind::WrongThread { .. })
            });
            if dice.one_in(2) {
                LEFT_HERE.with_borrow_mut(|all| all.push((home, found)));
            }
            refused
        }
    }
}

/// The current spdk_thread.
fn here() -> u64 {
    SpdkThread::get_current().map_or(0, |thread| thread.id())
}

fn is(
    what: &str,
    result: spdk::Result<()>,
    expected: fn(&ErrorKind) -> bool,
) -> Result<(), String> {
    match result {
        Err(error) if expected(error.kind()) => Ok(()),
        Err(error) => Err(format!("{what} ends with: {error}")),
        Ok(()) => Err(format!("{what} was let through")),
    }
}
