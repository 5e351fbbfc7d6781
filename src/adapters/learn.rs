//! Learning a linear layer, by linfa's FTRL: logistic regression that takes its examples in batches.

use crate::ports::{PortError, Recovery};
use linfa::ParamGuard;
use linfa::dataset::Dataset;
use linfa::traits::FitWith;
use linfa_ftrl::Ftrl;
use ndarray_linfa::{Array1, Array2};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Learning rate and smoothing of FTRL, and its second penalty; the first one would make the layer sparse, which is of
/// no use with features that are computed anyway.
const ALPHA: f64 = 0.02;
const BETA: f64 = 1.0;
const L1: f64 = 0.0;
const L2: f64 = 1.0;
/// A feature that hardly varies says nothing, and must not be blown up.
const LEAST_DEVIATION: f64 = 1e-3;

/// How to learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    pub epochs: usize,
    pub batch: usize,
    /// Of the order of the examples.
    pub seed: u64,
}

/// Features of one frame and whether it was alive.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    pub features: Vec<f32>,
    pub live: bool,
}

/// The layer of the epoch with the least loss on the validation part.
#[derive(Clone, Debug, PartialEq)]
pub struct Learnt {
    pub weights: Vec<f32>,
    pub bias: f32,
    /// From 1.
    pub epoch: usize,
    /// Mean loss of each class, averaged, epoch by epoch.
    pub validation_loss: Vec<f64>,
}

/// Learns a layer whose logistic function is the probability of life. Classes weigh the same, however many examples each
/// has. The same input gives the same layer.
///
/// # Errors
/// One of the classes is missing in one of the parts, features differ in number or are not finite.
pub fn logistic(train: &[Example], validation: &[Example], plan: Plan) -> Result<Learnt, PortError> {
    let fault = |cause: String| PortError::new("train the head", cause, "give other captures", Recovery::Fatal);
    let width = train.first().map_or(0, |e| e.features.len());
    for part in [train, validation] {
        if ![true, false].iter().all(|live| part.iter().any(|e| e.live == *live)) {
            return Err(fault("live captures or attacks are missing in a part".into()));
        }
        let sound = |e: &Example| e.features.len() == width && e.features.iter().all(|v| v.is_finite());
        if width == 0 || !part.iter().all(sound) {
            return Err(fault(format!("the features of a frame are not {width} finite numbers")));
        }
    }
    let scale = Scale::of(train, width);
    let params = Ftrl::<f64>::params().alpha(ALPHA).beta(BETA).l1_ratio(L1).l2_ratio(L2);
    let params = params.check().map_err(|e| fault(e.to_string()))?;
    let mut rng = ChaCha20Rng::seed_from_u64(plan.seed);
    let mut model = None;
    let mut best: Option<(f64, usize, Vec<f64>)> = None;
    let mut losses = Vec::with_capacity(plan.epochs);
    for epoch in 1..=plan.epochs {
        for batch in balanced(train, &mut rng).chunks(plan.batch.max(1)) {
            let rows: Vec<f64> = batch.iter().flat_map(|e| scale.row(e)).collect();
            let rows = Array2::from_shape_vec((batch.len(), width + 1), rows).map_err(|e| fault(e.to_string()))?;
            let live: Array1<bool> = batch.iter().map(|e| e.live).collect();
            model = Some(params.fit_with(model, &Dataset::new(rows, live)).map_err(|e| fault(e.to_string()))?);
        }
        let Some(weights) = model.as_ref().map(|m| m.get_weights().to_vec()) else { continue };
        let loss = loss(validation, &scale, &weights);
        losses.push(loss);
        if best.as_ref().is_none_or(|b| loss < b.0) {
            best = Some((loss, epoch, weights));
        }
    }
    let (_, epoch, weights) = best.ok_or_else(|| fault("no epoch gave a finite loss".into()))?;
    let (weights, bias) = scale.folded(&weights);
    Ok(Learnt { weights, bias, epoch, validation_loss: losses })
}

/// Mean and deviation of each feature over the training part.
struct Scale {
    mean: Vec<f64>,
    deviation: Vec<f64>,
}

impl Scale {
    fn of(train: &[Example], width: usize) -> Scale {
        let n = train.len() as f64;
        let over = |f: &dyn Fn(usize, f64) -> f64| -> Vec<f64> {
            (0..width).map(|i| train.iter().map(|e| f(i, f64::from(e.features[i]))).sum::<f64>() / n).collect()
        };
        let mean = over(&|_, v| v);
        let variance = over(&|i, v| (v - mean[i]).powi(2));
        let deviation = variance.iter().map(|v| v.sqrt().max(LEAST_DEVIATION)).collect();
        Scale { mean, deviation }
    }

    /// The scaled features and a one, which the bias stands on.
    fn row<'a>(&'a self, e: &'a Example) -> impl Iterator<Item = f64> + 'a {
        let scaled = e.features.iter().zip(&self.mean).zip(&self.deviation);
        scaled.map(|((v, m), d)| (f64::from(*v) - m) / d).chain([1.0])
    }

    /// The same layer over features as they come.
    #[expect(clippy::cast_possible_truncation, reason = "weights are kept as f32")]
    fn folded(&self, weights: &[f64]) -> (Vec<f32>, f32) {
        let parts = || weights.iter().zip(&self.mean).zip(&self.deviation);
        let bias = weights.last().copied().unwrap_or_default() - parts().map(|((w, m), d)| w * m / d).sum::<f64>();
        (parts().map(|((w, _), d)| (w / d) as f32).collect(), bias as f32)
    }
}

/// The examples in a random order, those of the smaller class repeated until the classes are equal.
fn balanced<'a>(train: &'a [Example], rng: &mut ChaCha20Rng) -> Vec<&'a Example> {
    let of = |live: bool| -> Vec<&Example> { train.iter().filter(|e| e.live == live).collect() };
    let (live, attacks) = (of(true), of(false));
    let n = live.len().max(attacks.len());
    let mut all: Vec<&Example> = live.iter().cycle().take(n).chain(attacks.iter().cycle().take(n)).copied().collect();
    for i in (1..all.len()).rev() {
        // The remainder's bias is beyond notice for some thousand examples.
        all.swap(i, (rng.next_u64() % (i as u64 + 1)) as usize);
    }
    all
}

/// Cross-entropy, the mean of the classes' means.
fn loss(examples: &[Example], scale: &Scale, weights: &[f64]) -> f64 {
    let of = |live: bool| {
        let some = examples.iter().filter(|e| e.live == live);
        let (sum, n) = some.fold((0.0, 0.0), |(sum, n), e| {
            let logit: f64 = scale.row(e).zip(weights).map(|(x, w)| x * w).sum();
            let signed = if live { -logit } else { logit };
            // ln(1 + e^x), which does not overflow.
            (sum + signed.max(0.0) + (-signed.abs()).exp().ln_1p(), n + 1.0)
        });
        sum / n
    };
    f64::midpoint(of(true), of(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan { epochs: 30, batch: 8, seed: 1 };

    /// The second feature tells live from attack, the first is noise and far from zero.
    fn examples(n: usize, seed: u64) -> Vec<Example> {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut noise = || (rng.next_u64() % 1000) as f32 / 1000.0;
        (0..n)
            .map(|i| {
                let live = i % 4 == 0;
                let side = if live { 0.6 } else { -0.6 };
                Example { features: vec![500.0 + 9.0 * noise(), side + 0.5 * noise() - 0.25, 7.0], live }
            })
            .collect()
    }

    fn probability(l: &Learnt, e: &Example) -> f64 {
        let logit: f64 = l.weights.iter().zip(&e.features).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
        1.0 / (1.0 + (-(logit + f64::from(l.bias))).exp())
    }

    #[test]
    fn what_can_be_told_apart_is_learnt_and_the_same_input_gives_the_same_layer() {
        let (train, validation, test) = (examples(120, 1), examples(40, 2), examples(40, 3));
        let learnt = logistic(&train, &validation, PLAN).expect("learns");
        for e in &test {
            assert_eq!(probability(&learnt, e) > 0.5, e.live, "{e:?} {learnt:?}");
        }
        assert_eq!(learnt.validation_loss.len(), PLAN.epochs);
        let best = learnt.validation_loss.iter().copied().fold(f64::INFINITY, f64::min);
        assert_eq!(learnt.validation_loss[learnt.epoch - 1], best);
        // Guessing costs ln 2.
        assert!(best < std::f64::consts::LN_2 / 2.0, "{best}");
        assert_eq!(logistic(&train, &validation, PLAN).expect("learns"), learnt);
        let other = logistic(&train, &validation, Plan { seed: 2, ..PLAN }).expect("learns");
        assert_ne!(other.weights, learnt.weights, "the seed is not used");
    }

    #[test]
    fn the_smaller_class_is_not_drowned() {
        let all = examples(40, 1);
        let order = balanced(&all, &mut ChaCha20Rng::seed_from_u64(1));
        let of = |live: bool| order.iter().filter(|e| e.live == live).count();
        assert_eq!((of(true), of(false)), (30, 30), "10 live examples weigh as much as 30 attacks");
        assert!(all.iter().all(|e| order.contains(&e)), "an example was lost");
    }

    #[test]
    fn parts_without_a_class_and_broken_features_are_refused() {
        let all = examples(40, 1);
        let attacks: Vec<Example> = all.iter().filter(|e| !e.live).cloned().collect();
        assert!(logistic(&attacks, &all, PLAN).is_err() && logistic(&all, &attacks, PLAN).is_err());
        assert!(logistic(&[], &all, PLAN).is_err());
        for bad in [vec![1.0], vec![f32::NAN, 0.0, 0.0]] {
            let mut broken = all.clone();
            broken[3].features = bad;
            assert!(logistic(&broken, &all, PLAN).is_err() && logistic(&all, &broken, PLAN).is_err());
        }
        assert!(logistic(&all, &all, Plan { epochs: 0, ..PLAN }).is_err());
    }
}
