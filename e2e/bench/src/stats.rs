//! Medians, and how sure of them one may be.
//!
//! Owns the statistics: exact ones, of order statistics, that assume nothing of how the figures are distributed. Wall-clock figures of a shared
//! machine have long tails, and a mean with a standard deviation would say nothing of them.

/// A median with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Median {
    /// The median.
    pub value: f64,
    /// Between these the true median lies with a probability of 95 % or more; `None` for fewer than six figures, which cannot say so.
    pub interval: Option<(f64, f64)>,
    /// How many figures there were.
    pub count: usize,
}

/// The median of figures.
///
/// The interval is the one between the order statistics `d` and `n + 1 - d`: each figure falls below the true median with probability 1/2, so
/// the interval misses it with probability `2 P(Binomial(n, 1/2) < d)`, and `d` is the largest for which that is at most 5 %. W. J. Conover,
/// Practical Nonparametric Statistics, 3rd edition, 3.2 (confidence interval for a quantile).
pub fn median(figures: &[f64]) -> Median {
    let sorted = sorted(figures);
    let count = sorted.len();
    let value = match count {
        0 => f64::NAN,
        _ => f64::midpoint(sorted[(count - 1) / 2], sorted[count / 2]),
    };
    let interval = rank(count).map(|rank| (sorted[rank - 1], sorted[count - rank]));
    Median { value, interval, count }
}

/// The figure of which `share` of all are no larger (nearest rank): of 50 figures, p99 is the largest.
pub fn percentile(figures: &[f64], share: f64) -> f64 {
    let sorted = sorted(figures);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "there are few figures, and the rank lies between 1 and their number"
    )]
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).or(sorted.last()).copied().unwrap_or(f64::NAN)
}

/// The largest.
pub fn worst(figures: &[f64]) -> f64 {
    percentile(figures, 1.0)
}

fn sorted(figures: &[f64]) -> Vec<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The largest `d` with `2 P(Binomial(n, 1/2) < d) <= 5 %`.
fn rank(count: usize) -> Option<usize> {
    #[allow(clippy::cast_precision_loss, reason = "there are few figures")]
    let float = |count: usize| count as f64;
    // P(Binomial(n, 1/2) = 0), as a logarithm: of a thousand figures and more it is too small for a float. Below, each next one from the one before.
    let mut logarithm = float(count) * 0.5_f64.ln();
    let mut below = 0.0;
    let mut rank = None;
    for least in 1..=count / 2 {
        below += logarithm.exp();
        if 2.0 * below > 0.05 {
            break;
        }
        rank = Some(least);
        logarithm += (float(count - least + 1) / float(least)).ln();
    }
    rank
}

/// How much a figure is more than the one before, by least squares over all.
pub fn slope(figures: &[f64]) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "there are few figures")]
    let count = figures.len() as f64;
    let (mean_at, mean) = ((count - 1.0) / 2.0, figures.iter().sum::<f64>() / count);
    let (mut both, mut squares, mut at) = (0.0, 0.0, 0.0);
    for figure in figures {
        both += (at - mean_at) * (figure - mean);
        squares += (at - mean_at) * (at - mean_at);
        at += 1.0;
    }
    both / squares
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1, 2, … so that a figure is its own rank.
    fn ranks(count: u32) -> Vec<f64> {
        (1..=count).rev().map(f64::from).collect()
    }

    #[test]
    fn the_interval_is_the_one_of_the_tables() {
        // The well-known ones, e.g. in Conover's table A3: n = 6 is the least, and 20 figures give the 6th and the 15th.
        for (count, expected) in [
            (5, None),
            (6, Some((1.0, 6.0))),
            (8, Some((1.0, 8.0))),
            (9, Some((2.0, 8.0))),
            (20, Some((6.0, 15.0))),
            (50, Some((18.0, 33.0))),
            (100, Some((40.0, 61.0))),
            // Beyond the tables: 10,000 / 2 less 1.96 standard deviations of 50.
            (10_000, Some((4902.0, 5099.0))),
        ] {
            assert_eq!(median(&ranks(count)).interval, expected, "of {count}");
        }
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(median(&ranks(5)), Median { value: 3.0, interval: None, count: 5 });
        assert!((median(&ranks(6)).value - 3.5).abs() < f64::EPSILON);
        assert!(median(&[]).value.is_nan());
    }

    #[test]
    fn a_slope_is_what_each_adds() {
        assert!((slope(&[5.0, 7.0, 9.0, 11.0]) - 2.0).abs() < 1e-12);
        assert!(slope(&[3.0, 4.0, 4.0, 3.0]).abs() < 1e-12, "noise around a constant");
    }

    #[test]
    fn percentiles_are_figures_that_were_measured() {
        let figures = ranks(50);
        let at = |share| percentile(&figures, share);
        assert_eq!([at(0.5), at(0.98), at(0.99), worst(&figures)], [25.0, 49.0, 50.0, 50.0]);
        assert!(percentile(&[], 0.5).is_nan());
    }
}
