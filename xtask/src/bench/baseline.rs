//! The comparison with an earlier report.

use std::path::Path;

use anyhow::{Context, Result};

use super::figure::Figure;
use super::report::{Measured, Report};

/// A case or a figure that is not what it was.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    pub(super) name: String,
    pub(super) was: f64,
    pub(super) is: f64,
    pub(super) worse: bool,
}

/// Reads a report that `--json` has printed.
pub(super) fn read(path: &Path) -> Result<Report> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the baseline {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| {
        format!(
            "{} is no report of `cargo xtask bench --json`",
            path.display()
        )
    })
}

/// What has changed beyond the spread.
///
/// Ratios are compared, not rates: the opponent ran beside, so another machine or a busy hour changes little. A ratio
/// has changed if the middle halves of its pairs, from the first quartile to the third, lie apart.
pub(super) fn compare(baseline: &Report, report: &Report) -> Vec<Change> {
    let cases = report.cases.iter().filter_map(|case| {
        let same = |other: &&Measured| {
            (&other.name, other.ours, other.theirs) == (&case.name, case.ours, case.theirs)
        };
        of_case(baseline.cases.iter().find(same)?, case)
    });
    let figures = report.figures.iter().filter_map(|figure| {
        let same = |other: &&Figure| other.name == figure.name;
        of_figure(baseline.figures.iter().find(same)?, figure)
    });
    cases.chain(figures).collect()
}

fn of_case(was: &Measured, is: &Measured) -> Option<Change> {
    let (before, now) = (was.rate.ratio, is.rate.ratio);
    let worse = now.q3 < before.q1;
    let better = now.q1 > before.q3;
    (worse || better).then(|| Change {
        name: is.name.clone(),
        was: before.median,
        is: now.median,
        worse,
    })
}

/// Of a figure less is better.
fn of_figure(was: &Figure, is: &Figure) -> Option<Change> {
    let (least, most) = (was.value * (1.0 - was.noise), was.value * (1.0 + was.noise));
    (is.value < least || is.value > most).then(|| Change {
        name: is.name.clone(),
        was: was.value,
        is: is.value,
        worse: is.value > most,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::program::Program;
    use crate::bench::stats::Comparison;

    fn case(ratios: &[f64]) -> Measured {
        let pairs: Vec<(f64, f64)> = ratios.iter().map(|ratio| (*ratio, 1.0)).collect();
        let rate = Comparison::of(&pairs).unwrap();
        Measured {
            name: "null".to_owned(),
            family: "null".to_owned(),
            ours: Program::SpdkPerf,
            theirs: Program::Bdevperf,
            cores: [1, 1],
            pairs: ratios.len(),
            ratio_median: rate.ratio.median,
            rate,
            p50: None,
            p99: None,
            busy: None,
            cpu: None,
        }
    }

    fn report(cases: Vec<Measured>, figures: Vec<Figure>) -> Report {
        Report {
            spdk: "26.01".to_owned(),
            cores: vec![0],
            seconds: 1.0,
            warmup: 0.0,
            cases,
            figures,
            bars: Vec::new(),
        }
    }

    fn figure(value: f64, noise: f64) -> Figure {
        Figure {
            name: "figure".to_owned(),
            value,
            unit: String::new(),
            noise,
        }
    }

    fn changes(was: &[f64], is: &[f64]) -> Vec<Change> {
        compare(
            &report(vec![case(was)], vec![]),
            &report(vec![case(is)], vec![]),
        )
    }

    #[test]
    fn what_is_within_the_spread_has_not_changed() {
        assert_eq!(changes(&[1.0, 1.1, 1.2], &[0.9, 1.06, 1.1]), []);
    }

    #[test]
    fn what_is_beyond_the_spread_has() {
        let slower = changes(&[1.0, 1.1, 1.2], &[0.9, 1.0, 1.02]);
        assert_eq!(
            (slower[0].worse, slower[0].was, slower[0].is),
            (true, 1.1, 1.0)
        );
        let faster = changes(&[0.9, 1.0, 1.02], &[1.0, 1.1, 1.2]);
        assert!(!faster[0].worse);
    }

    #[test]
    fn a_case_against_another_opponent_is_another_case() {
        let mut other = case(&[0.1]);
        other.theirs = Program::BdevLoop;
        let changes = compare(
            &report(vec![case(&[1.0])], vec![]),
            &report(vec![other], vec![]),
        );
        assert_eq!(changes, []);
    }

    #[test]
    fn counts_may_not_grow_and_times_a_little() {
        let compare = |was: Figure, is: Figure| {
            compare(&report(vec![], vec![was]), &report(vec![], vec![is]))
        };
        assert!(compare(figure(0.0, 0.0), figure(0.5, 0.0))[0].worse);
        assert!(!compare(figure(1.0, 0.0), figure(0.5, 0.0))[0].worse);
        assert_eq!(compare(figure(10.0, 0.2), figure(11.0, 0.2)), []);
        assert!(compare(figure(10.0, 0.2), figure(13.0, 0.2))[0].worse);
    }
}
