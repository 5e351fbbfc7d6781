//! Where a threshold goes between live captures and attacks.

/// Digits behind the point that a threshold is written with.
const STEP: f64 = 1e4;
/// Live frames below which no floor is proposed: one frame below it denies a visit of many frames, so it must lie where
/// almost no live frame falls; with none of 300 there, at most 1 % fall there (95 %).
pub(super) const FLOOR_FRAMES: usize = 300;
/// Share of the lowest live score that becomes the floor.
const FLOOR_SHARE: f64 = 0.25;

/// The threshold, at least `least`: halfway between the lowest live capture that is to pass and the highest attack below
/// it. A capture passes above the threshold. Of the live captures that pass `least`, the share `loss` may be refused.
pub(super) fn threshold(live: &[f64], attacks: &[f64], least: f64, highest: f64, loss: f64) -> f64 {
    let mut passing: Vec<f64> = live.iter().copied().filter(|s| *s > least).collect();
    passing.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
    let lost = (loss.clamp(0.0, 1.0) * passing.len() as f64).floor() as usize;
    let Some(lowest) = passing.get(lost.min(passing.len().saturating_sub(1))).copied() else { return least };
    let attack = attacks.iter().copied().filter(|s| *s < lowest).fold(f64::NEG_INFINITY, f64::max);
    let middle = if attack.is_finite() { f64::midpoint(attack, lowest) } else { least };
    // Rounding must take it neither to the live capture nor below the attack.
    let rounded = (middle * STEP).round() / STEP;
    let chosen = if rounded < lowest && rounded >= attack { rounded } else { middle };
    chosen.min(highest).max(least)
}

/// The floor, at least `least` and never above the threshold.
pub(super) fn floor(live_frames: &[f64], least: f64, threshold: f64) -> f64 {
    if live_frames.len() < FLOOR_FRAMES {
        return least;
    }
    let lowest = live_frames.iter().copied().fold(f64::INFINITY, f64::min);
    ((lowest * FLOOR_SHARE * STEP).floor() / STEP).min(threshold).max(least)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_lies_halfway_between_the_worst_attack_and_the_worst_live_capture() {
        assert_eq!(threshold(&[0.9, 0.99], &[0.1, 0.7], 0.45, 0.99, 0.0), 0.8);
        assert_eq!(threshold(&[0.9, 0.99], &[0.1], 0.45, 0.99, 0.0), 0.5);
    }

    #[test]
    fn what_the_pack_refuses_anyway_does_not_pull_it_down_and_nothing_makes_it_looser() {
        assert_eq!(threshold(&[0.2, 0.9], &[0.8], 0.45, 0.99, 0.0), 0.85);
        assert_eq!(threshold(&[0.47], &[0.01], 0.45, 0.99, 0.0), 0.45);
        assert_eq!(threshold(&[], &[0.9], 0.45, 0.99, 0.0), 0.45);
        assert_eq!(threshold(&[0.9], &[], 0.45, 0.99, 0.0), 0.45);
    }

    #[test]
    fn an_attack_above_every_live_capture_stays_unless_live_ones_may_be_lost() {
        let live = [0.6, 0.9, 0.92, 0.94, 0.96, 0.97, 0.975, 0.98, 0.985, 0.99];
        assert_eq!(threshold(&live, &[0.5, 0.8], 0.45, 0.99, 0.0), 0.55);
        assert_eq!(threshold(&live, &[0.5, 0.8], 0.45, 0.99, 0.1), 0.85);
        assert_eq!(threshold(&[0.5, 0.6], &[0.55], 0.45, 0.99, 9.0), 0.575, "some live capture must pass");
    }

    #[test]
    fn a_floor_needs_many_frames() {
        let frames = vec![0.8; FLOOR_FRAMES];
        assert_eq!(floor(&frames, 0.01, 0.5), 0.2);
        assert_eq!(floor(&frames[1..], 0.01, 0.5), 0.01);
        assert_eq!(floor(&frames, 0.3, 0.5), 0.3);
        assert_eq!(floor(&frames, 0.01, 0.1), 0.1);
    }

    proptest! {
        #[test]
        fn property_never_looser_and_no_live_capture_lost(
            live in prop::collection::vec(0.0f64..1.0, 0..20), attacks in prop::collection::vec(0.0f64..1.0, 0..20),
            least in 0.0f64..0.9,
        ) {
            let t = threshold(&live, &attacks, least, 0.99, 0.0);
            prop_assert!(t >= least && t <= 0.99, "{t}");
            prop_assert!(live.iter().filter(|s| **s > least).all(|s| *s > t), "{t}");
        }
    }
}
