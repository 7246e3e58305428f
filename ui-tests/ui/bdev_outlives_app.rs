//! What the application hands out cannot be carried out of it through a borrow.

use spdk::{Bdev, SpdkApp};

fn main() -> spdk::Result<()> {
    let mut kept = None;
    SpdkApp::builder().run(|| kept = Bdev::get_by_name("Malloc0"))?;
    drop(kept);
    Ok(())
}
