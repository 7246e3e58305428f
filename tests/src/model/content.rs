//! What io units have, as bytes.

use spdk::{Bdev, DmaBuf};

use super::UNIT;
use super::store::{Unit, ZEROES};
use crate::pattern;

/// Memory for so many io units.
///
/// # Errors
///
/// There is none.
pub fn buffer(units: u64) -> spdk::Result<DmaBuf> {
    DmaBuf::alloc(units as usize * UNIT, 4096)
}

/// Fills memory with what io units have from this one on.
pub fn fill(bytes: &mut [u8], first: u64, value: Unit) {
    match value {
        ZEROES => bytes.fill(0),
        generation => pattern::fill(bytes, UNIT, first, generation.into()),
    }
}

/// Compares what is in a buffer, from a unit on, with what should be.
///
/// # Errors
///
/// What is there instead.
pub fn compare(bytes: &[u8], first: u64, expected: &[Unit]) -> Result<(), String> {
    let mut right = [0; UNIT];
    for ((bytes, unit), value) in bytes.chunks(UNIT).zip(first..).zip(expected) {
        fill(&mut right, unit, *value);
        if bytes != right {
            let found = match bytes.iter().all(|byte| *byte == 0) {
                true => "zeroes".to_owned(),
                false => match (1..1000).find(|g| pattern::check(bytes, UNIT, unit, *g).is_ok()) {
                    Some(generation) => format!("what write {generation} wrote"),
                    None => "something else".to_owned(),
                },
            };
            return Err(format!(
                "io unit {unit} has {found} instead of {value} (0 means zeroes)"
            ));
        }
    }
    Ok(())
}

/// Compares all that a bdev has.
///
/// # Errors
///
/// What is there instead, or why it cannot be read.
pub async fn compare_bdev(bdev: &str, content: &[Unit]) -> Result<(), String> {
    let read = async {
        let desc = Bdev::find(bdev)?.open(false)?;
        let channel = desc.get_io_channel()?;
        let mut buf = buffer(content.len() as u64)?;
        desc.read(&channel, &mut buf, 0).await?;
        Ok(buf)
    };
    let buf = read.await.map_err(|error: spdk::Error| error.to_string())?;
    compare(&buf, 0, content).map_err(|wrong| format!("the bdev {bdev}: {wrong}"))
}

/// Has so many io units of a bdev have this.
///
/// # Errors
///
/// That they cannot be written.
pub async fn fill_bdev(bdev: &str, units: u64, value: Unit) -> spdk::Result<()> {
    let desc = Bdev::find(bdev)?.open(true)?;
    let channel = desc.get_io_channel()?;
    let mut buf = buffer(units)?;
    fill(&mut buf, 0, value);
    desc.write(&channel, &buf, 0).await
}
