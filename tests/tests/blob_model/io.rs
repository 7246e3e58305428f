//! How a blob is read and written, in each form.

use std::rc::Rc;

use spdk::DmaBuf;
use spdk::bdev::DomainRange;
use spdk::blob::Blob;
use spdk_tests::domain::{DomainBytes, Way, gathered, ranges, scatter, serve};
use spdk_tests::model::UNIT;
use spdk_tests::model::case::Range;
use spdk_tests::model::check::Failure;
use spdk_tests::model::content::{buffer, compare, fill};
use spdk_tests::model::store::Unit;

use crate::desk::Desk;
use crate::queue::{self, Io};
use crate::steps::Form;

/// So many io units in so many buffers, at most.
fn buffers(units: u64, count: u8) -> spdk::Result<Vec<DmaBuf>> {
    let (mut left, mut bufs) = (units, Vec::new());
    while left > 0 {
        let is_last = bufs.len() + 1 == usize::from(count);
        let length = if is_last { left } else { left.div_ceil(3) };
        bufs.push(buffer(length)?);
        left -= length;
    }
    Ok(bufs)
}

/// The byte of an io unit; where there is none, SPDK is asked in io units.
fn byte(range: Range, form: Form) -> Option<u64> {
    let is_in_bytes = matches!(form, Form::Bytes | Form::VectorBytes(_));
    range.first.checked_mul(UNIT as u64).filter(|_| is_in_bytes)
}

/// Memory of a domain for so many io units, which gives and takes them later.
fn remote(units: u64) -> spdk::Result<(Rc<DomainBytes>, Vec<DomainRange>)> {
    let memory = DomainBytes::new(units as usize * UNIT, Way::Later);
    serve(&memory)?;
    let mut ranges = ranges(units as usize, UNIT).to_vec();
    ranges.retain(|range| range.len > 0);
    Ok((memory, ranges))
}

impl Desk {
    pub(crate) async fn read(
        &self,
        blob: &Blob,
        range: Range,
        form: Form,
        expected: &[Unit],
    ) -> Result<(), Failure> {
        let (channel, Range { first, units }) = (&self.channel, range);
        let bytes = match form {
            Form::Units | Form::Bytes => {
                let mut buf = buffer(units)?;
                buf.fill(0xa5);
                match byte(range, form) {
                    None => blob.read_io_units(channel, &mut buf, first, units).await?,
                    Some(at) => blob.read(channel, &mut buf, at).await?,
                }
                buf.to_vec()
            }
            Form::VectorUnits(count) | Form::VectorBytes(count) => {
                let mut bufs = buffers(units, count)?;
                bufs.iter_mut().for_each(|buf| buf.fill(0xa5));
                match byte(range, form) {
                    None => {
                        blob.readv_io_units(channel, &mut bufs, first, units)
                            .await?
                    }
                    Some(at) => blob.readv(channel, &mut bufs, at).await?,
                }
                bufs.iter().flat_map(|buf| buf.to_vec()).collect()
            }
            Form::Queue(_) | Form::Closures(_) => {
                return self.queue(blob, range, form, Io::Read(expected)).await;
            }
            Form::Domain => {
                let (memory, ranges) = remote(units)?;
                let domain = memory.domain()?;
                let read = blob.readv_io_units_domain(channel, &domain, 1, &ranges, first, units);
                read.await?;
                gathered(&memory, &ranges)
            }
        };
        compare(&bytes, first, expected).map_err(Failure::Wrong)
    }

    pub(crate) async fn write(
        &self,
        blob: &Blob,
        range: Range,
        form: Form,
        value: Unit,
    ) -> Result<(), Failure> {
        let (channel, Range { first, units }) = (&self.channel, range);
        match form {
            Form::Units | Form::Bytes => {
                let mut buf = buffer(units)?;
                fill(&mut buf, first, value);
                match byte(range, form) {
                    None => blob.write_io_units(channel, &buf, first, units).await?,
                    Some(at) => blob.write(channel, &buf, at).await?,
                }
            }
            Form::VectorUnits(count) | Form::VectorBytes(count) => {
                let (mut bufs, mut at) = (buffers(units, count)?, first);
                for buf in &mut bufs {
                    fill(buf, at, value);
                    at += (buf.len() / UNIT) as u64;
                }
                match byte(range, form) {
                    None => blob.writev_io_units(channel, &bufs, first, units).await?,
                    Some(at) => blob.writev(channel, &bufs, at).await?,
                }
            }
            Form::Queue(_) | Form::Closures(_) => {
                self.queue(blob, range, form, Io::Write(value)).await?;
            }
            Form::Domain => {
                let (memory, ranges) = remote(units)?;
                let mut bytes = vec![0; units as usize * UNIT];
                fill(&mut bytes, first, value);
                scatter(&memory, &ranges, &bytes);
                let domain = memory.domain()?;
                let write = blob.writev_io_units_domain(channel, &domain, 1, &ranges, first, units);
                write.await?;
            }
        }
        Ok(())
    }

    pub(crate) async fn write_zeroes(
        &self,
        blob: &Blob,
        range: Range,
        form: Form,
    ) -> Result<(), Failure> {
        let (channel, Range { first, units }) = (&self.channel, range);
        match byte(range, form) {
            _ if form.is_queue() => self.queue(blob, range, form, Io::WriteZeroes).await?,
            None => blob.write_zeroes_io_units(channel, first, units).await?,
            Some(at) => blob.write_zeroes(channel, at, units * UNIT as u64).await?,
        }
        Ok(())
    }

    pub(crate) async fn unmap(&self, blob: &Blob, range: Range, form: Form) -> Result<(), Failure> {
        let (channel, Range { first, units }) = (&self.channel, range);
        match byte(range, form) {
            _ if form.is_queue() => self.queue(blob, range, form, Io::Unmap).await?,
            None => blob.unmap_io_units(channel, first, units).await?,
            Some(at) => blob.unmap(channel, at, units * UNIT as u64).await?,
        }
        Ok(())
    }

    async fn queue(
        &self,
        blob: &Blob,
        range: Range,
        form: Form,
        io: Io<'_>,
    ) -> Result<(), Failure> {
        let parts = queue::parts(range, form, blob.num_io_units()?);
        queue::perform(blob, &self.channel, parts, form, io).await
    }
}
