//! What plots are drawn from: the trade between the two errors, and how scores lie.

use serde_json::{Value, json};

/// Points of the curve at most.
const POINTS: usize = 200;
/// Classes of the histogram.
const BINS: usize = 50;

/// The DET curve: `{"threshold", "fmr", "fnmr"}` with the threshold rising, at most 200 points, close together where
/// errors are rare: the axes of such a plot are logarithmic. `score >= threshold` passes. Empty without scores of both kinds.
#[must_use]
pub fn det(genuine: &[f32], impostor: &[f32]) -> Vec<Value> {
    if genuine.is_empty() || impostor.is_empty() {
        return Vec::new();
    }
    let sorted = |scores: &[f32]| {
        let mut s = scores.to_vec();
        s.sort_by(f32::total_cmp);
        s
    };
    let (genuine, impostor) = (sorted(genuine), sorted(impostor));
    let places = |n: usize| {
        let half = POINTS / 2;
        let mut at: Vec<usize> = (0..half)
            .map(|i| (n as f64).powf(i as f64 / (half - 1) as f64).round() as usize - 1)
            .map(|i| i.min(n - 1))
            .collect();
        at.dedup();
        at
    };
    // Counted from the end at which each error is rare: the worst genuine scores, the best impostors.
    let missed = places(genuine.len()).into_iter().map(|i| genuine[i].next_up());
    let passed = places(impostor.len()).into_iter().map(|i| impostor[impostor.len() - 1 - i]);
    let mut thresholds: Vec<f32> = missed.chain(passed).collect();
    thresholds.sort_by(f32::total_cmp);
    thresholds.dedup();
    let below = |scores: &[f32], t: f32| scores.partition_point(|s| *s < t) as f64 / scores.len() as f64;
    let point = |t: f32| json!({"threshold": t, "fmr": 1.0 - below(&impostor, t), "fnmr": below(&genuine, t)});
    thresholds.into_iter().map(point).collect()
}

/// Counts in 50 classes of the same width between the least and the greatest score; null without scores.
#[must_use]
pub fn histogram(genuine: &[f32], impostor: &[f32]) -> Value {
    let all = || genuine.iter().chain(impostor).copied().filter(|s| s.is_finite());
    let (lo, hi) = all().fold((f32::INFINITY, f32::NEG_INFINITY), |(lo, hi), s| (lo.min(s), hi.max(s)));
    if lo > hi {
        return Value::Null;
    }
    let width = f64::from(hi - lo) / BINS as f64;
    let count = |scores: &[f32]| {
        let mut bins = vec![0_u64; BINS];
        for s in scores.iter().filter(|s| s.is_finite()) {
            let at = if width > 0.0 { (f64::from(s - lo) / width) as usize } else { 0 };
            bins[at.min(BINS - 1)] += 1;
        }
        bins
    };
    json!({"from": lo, "to": hi, "genuine": count(genuine), "impostor": count(impostor)})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(v: &Value, key: &str) -> f64 {
        v[key].as_f64().expect("a number")
    }

    #[test]
    fn the_curve_is_short_falls_and_says_what_counting_says() {
        let impostor: Vec<f32> = (0..100_000).map(|i| i as f32 / 200_000.0).collect();
        let genuine: Vec<f32> = (0..3_000).map(|i| 0.4 + i as f32 / 6_000.0).collect();
        let curve = det(&genuine, &impostor);
        assert!((50..=POINTS).contains(&curve.len()), "{}", curve.len());
        for pair in curve.windows(2) {
            assert!(number(&pair[0], "fmr") >= number(&pair[1], "fmr"));
            assert!(number(&pair[0], "fnmr") <= number(&pair[1], "fnmr"));
        }
        for p in &curve {
            let t = number(p, "threshold") as f32;
            let fmr = impostor.iter().filter(|s| **s >= t).count() as f64 / impostor.len() as f64;
            let fnmr = genuine.iter().filter(|s| **s < t).count() as f64 / genuine.len() as f64;
            assert!((number(p, "fmr") - fmr).abs() < 1e-9 && (number(p, "fnmr") - fnmr).abs() < 1e-9, "{p}");
        }
        let rare = curve.iter().filter(|p| (1e-9..1e-3).contains(&number(p, "fmr"))).count();
        assert!(rare > 10, "rare errors are what the plot is for: {rare}");
        assert!(det(&[], &[0.1]).is_empty() && det(&[0.1], &[]).is_empty());
    }

    #[test]
    fn every_score_is_in_one_class() {
        let h = histogram(&[0.9, 0.5], &[0.0, 0.1, f32::NAN]);
        let sum = |k: &str| h[k].as_array().expect("a list").iter().filter_map(Value::as_u64).sum::<u64>();
        assert_eq!((sum("genuine"), sum("impostor")), (2, 2));
        assert_eq!((h["impostor"][0].clone(), h["genuine"][BINS - 1].clone()), (json!(1), json!(1)));
        assert_eq!(histogram(&[0.5], &[0.5])["genuine"][0], 1, "all the same");
        assert_eq!(histogram(&[], &[]), Value::Null);
    }
}
