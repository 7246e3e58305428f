//! The ratios of all cases as a chart.

use std::path::Path;

use anyhow::{Context, Result};
use plotters::prelude::*;

use super::report::{Measured, Report};

const WIDTH: u32 = 960;
const ROW: u32 = 22;
const LABELS: u32 = 270;
/// For the title and the axis.
const FRAME: u32 = 110;

/// Writes the chart: for each case the range of its ratios, the half in the middle, and the median.
pub(super) fn write(report: &Report, path: &Path) -> Result<()> {
    draw(report, path).with_context(|| format!("cannot write the chart {}", path.display()))
}

fn draw(report: &Report, path: &Path) -> Result<()> {
    let cases = &report.cases;
    let rows = u32::try_from(cases.len()).context("too many cases")?;
    let (low, high) = bounds(cases);
    let area = SVGBackend::new(path, (WIDTH, ROW * rows + FRAME)).into_drawing_area();
    area.fill(&WHITE)?;
    let title = format!(
        "Ratio of operations per second, ours to theirs, SPDK {}",
        report.spdk
    );
    let mut chart = ChartBuilder::on(&area)
        .margin(10)
        .caption(title, ("sans-serif", 18))
        .x_label_area_size(40)
        .y_label_area_size(LABELS)
        .build_cartesian_2d(low..high, (0..cases.len()).into_segmented())?;
    // The axis goes upwards, and the first case is on top.
    let row = |index: usize| cases.len() - 1 - index;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .max_light_lines(1)
        .y_labels(cases.len())
        .y_label_formatter(&|value| match value {
            SegmentValue::CenterOf(index) if *index < cases.len() => {
                cases[row(*index)].name.clone()
            }
            _ => String::new(),
        })
        .x_desc("less than 1: theirs is faster; more than 1: ours is")
        .draw()?;
    let (bottom, top) = (SegmentValue::Exact(0), SegmentValue::Last);
    let even = vec![(1.0, bottom), (1.0, top)];
    chart.draw_series([PathElement::new(even, BLACK.stroke_width(1))])?;
    for (index, case) in cases.iter().enumerate() {
        let ratio = case.rate.ratio;
        let y = SegmentValue::CenterOf(row(index));
        let color = if ratio.median < 1.0 { RED } else { BLUE };
        let line = |from, to, width| {
            let ends = vec![(from, y.clone()), (to, y.clone())];
            PathElement::new(ends, color.mix(0.6).stroke_width(width))
        };
        chart.draw_series([line(ratio.min, ratio.max, 1), line(ratio.q1, ratio.q3, 6)])?;
        chart.draw_series([Circle::new((ratio.median, y.clone()), 4, color.filled())])?;
    }
    area.present()?;
    Ok(())
}

/// The range of the axis: with 1 in it, and with room at both ends.
fn bounds(cases: &[Measured]) -> (f64, f64) {
    let ratios = cases.iter().map(|case| case.rate.ratio);
    let (low, high) = ratios.fold((1.0_f64, 1.0_f64), |(low, high), ratio| {
        (low.min(ratio.min), high.max(ratio.max))
    });
    let room = 0.05 * (high - low).max(0.2);
    (low - room, high + room)
}
