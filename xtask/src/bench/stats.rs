//! The arithmetic of repeated measurements.

use serde::{Deserialize, Serialize};

/// What a set of numbers is like.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) q1: f64,
    pub(super) q3: f64,
    pub(super) max: f64,
}

impl Spread {
    /// `None` if there is no number, or one that is none.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        if values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Spread {
            median: quantile(&sorted, 0.5)?,
            min: *sorted.first()?,
            q1: quantile(&sorted, 0.25)?,
            q3: quantile(&sorted, 0.75)?,
            max: *sorted.last()?,
        })
    }
}

/// The quantile of sorted numbers; between two of them it goes in a straight line.
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let position = q * last as f64;
    let below = position.floor();
    let low = sorted[below as usize];
    let high = sorted[(below as usize + 1).min(last)];
    Some(low + (high - low) * (position - below))
}

/// Two sides of a comparison, measured in pairs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Comparison {
    pub(super) ours: Spread,
    pub(super) theirs: Spread,
    /// Of the ratios of each pair: what disturbs the machine for longer than a pair cancels out.
    pub(super) ratio: Spread,
}

impl Comparison {
    /// `None` without pairs, and if something is not measurable, such as a ratio to zero.
    pub(super) fn of(pairs: &[(f64, f64)]) -> Option<Self> {
        let (ours, theirs): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
        let ratios: Vec<f64> = pairs.iter().map(|(ours, theirs)| ours / theirs).collect();
        Some(Comparison {
            ours: Spread::of(&ours)?,
            theirs: Spread::of(&theirs)?,
            ratio: Spread::of(&ratios)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_needs_no_order() {
        let spread = Spread::of(&[5.0, 1.0, 4.0, 2.0, 3.0]).unwrap();
        let expected = Spread {
            median: 3.0,
            min: 1.0,
            q1: 2.0,
            q3: 4.0,
            max: 5.0,
        };
        assert_eq!(spread, expected);
    }

    #[test]
    fn an_even_count_has_its_median_between_two() {
        let spread = Spread::of(&[4.0, 1.0, 2.0, 10.0]).unwrap();
        assert_eq!((spread.median, spread.q1, spread.q3), (3.0, 1.75, 5.5));
    }

    #[test]
    fn one_number_is_its_own_spread() {
        let spread = Spread::of(&[7.0]).unwrap();
        assert_eq!((spread.min, spread.median, spread.max), (7.0, 7.0, 7.0));
        assert_eq!((spread.q1, spread.q3), (7.0, 7.0));
    }

    #[test]
    fn what_is_no_number_has_no_spread() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[1.0, f64::NAN]), None);
        assert_eq!(Comparison::of(&[(1.0, 0.0)]), None);
    }

    /// The median of the ratios, which is not the ratio of the medians: 2 here, not 3/4.
    #[test]
    fn ratios_are_taken_within_pairs() {
        let comparison = Comparison::of(&[(2.0, 1.0), (8.0, 4.0), (3.0, 6.0)]).unwrap();
        assert_eq!(comparison.ratio.median, 2.0);
        assert_eq!(
            (comparison.ours.median, comparison.theirs.median),
            (3.0, 4.0)
        );
        assert_eq!((comparison.ratio.min, comparison.ratio.max), (0.5, 2.0));
    }
}
