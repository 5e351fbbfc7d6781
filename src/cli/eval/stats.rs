//! Error rates with their bounds.

use serde::Serialize;

/// `errors` of `n` with a two-sided 95 % Clopper-Pearson interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rate {
    pub n: u64,
    pub errors: u64,
    pub rate: f64,
    pub lo: f64,
    pub hi: f64,
}

impl Rate {
    /// The rate and its interval; 0..=1 where nothing was tried.
    #[must_use]
    pub fn new(errors: u64, n: u64) -> Self {
        let rate = if n == 0 { 0.0 } else { errors as f64 / n as f64 };
        let (lo, hi) = clopper_pearson(errors, n);
        Rate { n, errors, rate, lo, hi }
    }
}

/// Exact binomial bounds at 95 %: the rates at which so few, or so many, errors come with a chance of 2.5 %.
#[must_use]
pub fn clopper_pearson(errors: u64, n: u64) -> (f64, f64) {
    if n == 0 {
        return (0.0, 1.0);
    }
    let half = 0.025;
    let lo = if errors == 0 { 0.0 } else { solve(|p| 1.0 - at_most(errors - 1, n, p) - half) };
    let hi = if errors >= n { 1.0 } else { solve(|p| half - at_most(errors, n, p)) };
    (lo, hi)
}

/// Upper end of the exact one-sided 95 % bound: `passes` or fewer of `n` come with a chance of 5 % at this rate. For 0
/// of n it is about 3 / n.
#[must_use]
pub fn upper(passes: u64, n: u64) -> f64 {
    if passes >= n { 1.0 } else { solve(|p| 0.05 - at_most(passes, n, p)) }
}

/// Root of a function that rises in `0..1`.
fn solve(f: impl Fn(f64) -> f64) -> f64 {
    let (mut lo, mut hi) = (0.0_f64, 1.0_f64);
    for _ in 0..80 {
        let mid = f64::midpoint(lo, hi);
        if f(mid) < 0.0 { lo = mid } else { hi = mid }
    }
    f64::midpoint(lo, hi)
}

/// P(X <= k) for X ~ B(n, p), summed from the greatest term downwards in logarithms, so that nothing underflows.
fn at_most(k: u64, n: u64, p: f64) -> f64 {
    if p <= 0.0 {
        return 1.0;
    }
    if p >= 1.0 {
        return if k >= n { 1.0 } else { 0.0 };
    }
    let (lp, lq) = (p.ln(), (1.0 - p).ln());
    let mut log_term = n as f64 * lq;
    let mut logs = vec![log_term];
    for i in 0..k.min(n) {
        log_term += ((n - i) as f64 / (i + 1) as f64).ln() + lp - lq;
        logs.push(log_term);
    }
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (top.exp() * logs.iter().map(|l| (l - top).exp()).sum::<f64>()).min(1.0)
}

/// Threshold at which at most `fmr` of the impostor scores pass (`score >= threshold`), with the share of genuine scores
/// that fail there. Scores are similarities. `None` without scores of either kind.
#[must_use]
pub fn fnmr_at(genuine: &[f32], impostor_falling: &[f32], fmr: f64) -> Option<(f32, Rate)> {
    let allowed = (fmr * impostor_falling.len() as f64).floor() as usize;
    // The threshold lies just above the first impostor score that must not pass.
    let threshold = match impostor_falling.get(allowed) {
        Some(s) => s.next_up(),
        None => *impostor_falling.last()?,
    };
    let missed = genuine.iter().filter(|s| **s < threshold).count() as u64;
    (!genuine.is_empty()).then(|| (threshold, Rate::new(missed, genuine.len() as u64)))
}

/// Equal error rate and its threshold.
#[must_use]
pub fn eer(genuine: &[f32], impostor: &[f32]) -> Option<(f64, f32)> {
    let mut all: Vec<(f32, bool)> =
        genuine.iter().map(|s| (*s, true)).chain(impostor.iter().map(|s| (*s, false))).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (g, i) = (genuine.len() as f64, impostor.len() as f64);
    if g == 0.0 || i == 0.0 {
        return None;
    }
    let (mut missed, mut passed) = (0.0, i);
    let mut best = (f64::INFINITY, 1.0, 0.0);
    for (score, is_genuine) in all {
        let (fnmr, fmr): (f64, f64) = (missed / g, passed / i);
        let gap = (fnmr - fmr).abs();
        if gap < best.0 {
            best = (gap, f64::midpoint(fnmr, fmr), score);
        }
        if is_genuine { missed += 1.0 } else { passed -= 1.0 }
    }
    Some((best.1, best.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reference values from the definition: 0 of n has the upper bound 1 - 0.025^(1/n).
    #[test]
    fn the_bounds_are_those_of_clopper_and_pearson() {
        let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
        for n in [1, 20, 168, 115_678] {
            let (lo, hi) = clopper_pearson(0, n);
            assert!(lo == 0.0 && near(hi, 1.0 - 0.025_f64.powf(1.0 / n as f64)), "{n}: {hi}");
            let (lo, hi) = clopper_pearson(n, n);
            assert!(hi == 1.0 && near(lo, 0.025_f64.powf(1.0 / n as f64)), "{n}: {lo}");
        }
        // 5 of 100: tables give 0.016432 .. 0.112835.
        let (lo, hi) = clopper_pearson(5, 100);
        assert!((lo - 0.016_432).abs() < 1e-5 && (hi - 0.112_835).abs() < 1e-5, "{lo} {hi}");
        assert_eq!(clopper_pearson(0, 0), (0.0, 1.0));
    }

    #[test]
    fn the_one_sided_bound_of_none_is_about_three_over_n() {
        assert!((upper(0, 10_000) - (1.0 - 0.05_f64.powf(1e-4))).abs() < 1e-9);
        assert!(upper(0, 10_000) < 0.000_300 && upper(1, 10_000) > upper(0, 10_000));
        assert_eq!((upper(0, 0), upper(3, 3)), (1.0, 1.0));
    }

    #[test]
    fn a_threshold_lets_no_more_impostors_pass_than_allowed() {
        let impostor: Vec<f32> = (0..1000).rev().map(|i| i as f32 / 1000.0).collect();
        let genuine = [0.5, 0.98, 0.995, 1.0];
        let (t, rate) = fnmr_at(&genuine, &impostor, 1e-2).expect("scores");
        assert_eq!(impostor.iter().filter(|s| **s >= t).count(), 10);
        assert_eq!(rate.errors, 2);
    }

    #[test]
    fn separated_scores_have_no_equal_error() {
        assert_eq!(eer(&[0.8, 0.9], &[0.1, 0.2]).map(|e| e.0), Some(0.0));
        assert_eq!(eer(&[0.1, 0.9], &[0.2, 0.8]).map(|e| e.0), Some(0.5));
        assert_eq!(eer(&[], &[0.1]), None);
    }
}
