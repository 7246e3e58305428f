//! The report for people.

use std::fmt::Write;

use super::bars::Bound;
use super::baseline::Change;
use super::report::{Measured, Report};
use super::stats::Comparison;

/// Every case in a line.
pub(super) fn cases(report: &Report) -> String {
    if report.cases.is_empty() {
        return String::new();
    }
    let width = report.cases.iter().map(|case| case.name.len()).max();
    let width = width.unwrap_or_default().max("case".len());
    let mut text = format!(
        "{:width$}  {:>15} {:>11}  {:>11} {:>11}  {:>6}  {:<12}  {:>5}  {:>5}  {:>5}\n",
        "case",
        "ours",
        "a second",
        "theirs",
        "a second",
        "ratio",
        "(min..max)",
        "p99",
        "busy",
        "cpu"
    );
    for case in &report.cases {
        let rate = &case.rate;
        let _ = writeln!(
            text,
            "{:width$}  {:>15} {:>11}  {:>11} {:>11}  {:>6.3}  {:<12}  {:>5}  {:>5}  {:>5}",
            case.name,
            case.ours,
            number(rate.ours.median),
            case.theirs,
            number(rate.theirs.median),
            rate.ratio.median,
            format!("({:.2}..{:.2})", rate.ratio.min, rate.ratio.max),
            ratio(case.p99.as_ref()),
            ratio(case.busy.as_ref()),
            ratio(case.cpu.as_ref()),
        );
    }
    text
}

/// Every figure in a line.
pub(super) fn figures(report: &Report) -> String {
    let width = report.figures.iter().map(|figure| figure.name.len()).max();
    let width = width.unwrap_or_default();
    let mut text = String::new();
    for figure in &report.figures {
        let value = (figure.value * 1000.0).round() / 1000.0;
        let _ = writeln!(text, "{:width$}  {value} {}", figure.name, figure.unit);
    }
    text
}

/// Every bar, and whether it was reached.
pub(super) fn bars(report: &Report) -> String {
    let mut text = String::new();
    for verdict in &report.bars {
        let met = match verdict.met {
            Some(true) => "met",
            Some(false) => "NOT MET",
            None => "incomplete",
        };
        let bound = match verdict.bound {
            Bound::AtLeast(bound) => format!("at least {bound}"),
            Bound::AtMost(bound) => format!("at most {bound}"),
        };
        let _ = writeln!(text, "{met:<10}  {}: {bound}", verdict.what);
        for value in verdict.groups.iter().flatten() {
            let number = value
                .value
                .map_or_else(|| "not measured".to_owned(), |value| format!("{value:.3}"));
            let _ = writeln!(text, "{:<10}    {}: {number}", "", value.name);
        }
    }
    text
}

/// What has changed since the baseline.
pub(super) fn changes(changes: &[Change]) -> String {
    let mut text = String::new();
    for change in changes {
        let word = if change.worse { "SLOWER" } else { "better" };
        let _ = writeln!(
            text,
            "{word:<10}  {}: {:.3}, was {:.3}",
            change.name, change.is, change.was
        );
    }
    if text.is_empty() {
        text.push_str("Nothing has changed since the baseline beyond the spread.\n");
    }
    text
}

/// What the columns mean.
pub(super) fn legend(report: &Report) -> String {
    if report.cases.is_empty() {
        return String::new();
    }
    format!(
        "Medians; the ratio is ours to theirs, of runs next to each other, with its least and greatest value. The \
         last columns are ratios, too: of the 99th percentile of the latency, of the part of the time in which SPDK's \
         thread had something to do, and of the processor time of the process, which polls with or without work.\n\
         SPDK {}; {} s of measurement after {} s of warm-up (SPDK's own programs: whole seconds, no warm-up).\n",
        report.spdk, report.seconds, report.warmup
    )
}

fn ratio(comparison: Option<&Comparison>) -> String {
    comparison.map_or_else(|| "-".to_owned(), |c| format!("{:.2}", c.ratio.median))
}

/// Three or four digits that matter, with a unit.
fn number(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.3} M", v / 1e6),
        v if v >= 1e3 => format!("{:.1} k", v / 1e3),
        v => format!("{v:.1}"),
    }
}

/// A case in a few words, for while it runs.
pub(super) fn line(case: &Measured) -> String {
    let ratio = &case.rate.ratio;
    format!(
        "{}: {:.3} ({:.2}..{:.2})",
        case.name, ratio.median, ratio.min, ratio.max
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(number(12_510_016.0), "12.510 M");
        assert_eq!(number(118_717.5), "118.7 k");
        assert_eq!(number(9.94), "9.9");
    }
}
