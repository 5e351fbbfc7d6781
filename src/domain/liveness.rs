//! Passive PAD over the frames of a visit. Every network has a veto; networks are never averaged, since the mean of
//! two has passed a print that one of them refused.
//!
//! * *threshold*: the median over a phase's frames must exceed it.
//! * *floor*: one frame below it is enough to refuse; it lies where no live frame of the calibration set falls.
//! * *phase*: before and during the challenge. Each phase is judged for itself too, so that live frames at the
//!   beginning cannot carry a replay shown afterwards.

use super::gesture::median;
use crate::base::units::LiveScore;

/// The rule of one network, in the pack's order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PadRule {
    pub threshold: f32,
    pub floor: f32,
}

/// When frames were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PadPhase {
    Before,
    During,
}

/// What the frames so far say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PadVerdict {
    /// The pack has no PAD network.
    Absent,
    /// Too few frames.
    Wait,
    Live,
    Spoof,
}

/// Scores of one visit.
#[derive(Clone, Debug)]
pub struct PadEvidence {
    rules: Vec<PadRule>,
    least: usize,
    before: Vec<Vec<f32>>,
    during: Vec<Vec<f32>>,
    floored: bool,
}

impl PadEvidence {
    /// `least` frames are needed for a verdict.
    #[must_use]
    pub fn new(rules: Vec<PadRule>, least: usize) -> Self {
        let empty = vec![Vec::new(); rules.len()];
        PadEvidence { rules, least: least.max(1), before: empty.clone(), during: empty, floored: false }
    }

    /// Takes one frame's scores, one a network. A frame with another number of scores is no evidence of life: it
    /// counts as a score of zero for every network.
    pub fn take(&mut self, phase: PadPhase, scores: &[LiveScore]) {
        let complete = scores.len() == self.rules.len();
        let store = match phase {
            PadPhase::Before => &mut self.before,
            PadPhase::During => &mut self.during,
        };
        for (i, rule) in self.rules.iter().enumerate() {
            let p = if complete { scores[i].get() } else { 0.0 };
            self.floored |= p < rule.floor;
            store[i].push(p);
        }
    }

    /// Frames taken so far, in both phases.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.before.first().map_or(0, Vec::len) + self.during.first().map_or(0, Vec::len)
    }

    /// Whether every network's median lies so far above its threshold that nothing is doubtful.
    #[must_use]
    pub fn is_clear(&self, margin: f32) -> bool {
        let clear = |(i, rule): (usize, &PadRule)| {
            let all: Vec<f32> = self.before[i].iter().chain(&self.during[i]).copied().collect();
            median(&all).is_some_and(|m| m >= (rule.threshold + margin).min(0.95))
        };
        self.verdict() == PadVerdict::Live && self.rules.iter().enumerate().all(clear)
    }

    /// The verdict over everything so far.
    #[must_use]
    pub fn verdict(&self) -> PadVerdict {
        if self.rules.is_empty() {
            return PadVerdict::Absent;
        }
        if self.floored {
            return PadVerdict::Spoof;
        }
        if self.frames() < self.least {
            return PadVerdict::Wait;
        }
        let live = self.rules.iter().enumerate().all(|(i, rule)| {
            let all: Vec<f32> = self.before[i].iter().chain(&self.during[i]).copied().collect();
            let during = &self.during[i];
            let passes = |v: &[f32]| median(v).is_some_and(|m| m > rule.threshold);
            passes(&all) && (during.len() < self.least || passes(during))
        });
        if live { PadVerdict::Live } else { PadVerdict::Spoof }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(least: usize) -> PadEvidence {
        let rule = PadRule { threshold: 0.5, floor: 0.01 };
        PadEvidence::new(vec![rule, rule], least)
    }

    fn feed(e: &mut PadEvidence, phase: PadPhase, n: usize, a: f32, b: f32) {
        let s = |p| LiveScore::new(p).expect("a probability");
        for _ in 0..n {
            e.take(phase, &[s(a), s(b)]);
        }
    }

    #[test]
    fn too_few_frames_are_no_verdict() {
        let mut e = evidence(5);
        feed(&mut e, PadPhase::Before, 4, 0.9, 0.9);
        assert_eq!(e.verdict(), PadVerdict::Wait);
        feed(&mut e, PadPhase::Before, 1, 0.9, 0.9);
        assert_eq!(e.verdict(), PadVerdict::Live);
    }

    #[test]
    fn each_network_has_a_veto() {
        let mut e = evidence(5);
        feed(&mut e, PadPhase::Before, 9, 0.99, 0.3);
        assert_eq!(e.verdict(), PadVerdict::Spoof);
    }

    #[test]
    fn one_frame_below_the_floor_refuses() {
        let mut e = evidence(5);
        feed(&mut e, PadPhase::Before, 50, 0.99, 0.99);
        feed(&mut e, PadPhase::During, 1, 0.005, 0.99);
        assert_eq!(e.verdict(), PadVerdict::Spoof);
    }

    #[test]
    fn live_frames_before_do_not_carry_a_replay_during() {
        let mut e = evidence(5);
        feed(&mut e, PadPhase::Before, 50, 0.99, 0.99);
        feed(&mut e, PadPhase::During, 10, 0.2, 0.2);
        assert_eq!(e.verdict(), PadVerdict::Spoof);
    }

    #[test]
    fn a_missing_score_speaks_against_life() {
        let mut e = evidence(1);
        e.take(PadPhase::Before, &[]);
        assert_eq!(e.verdict(), PadVerdict::Spoof);
    }

    #[test]
    fn a_pack_without_networks_says_so() {
        assert_eq!(PadEvidence::new(Vec::new(), 5).verdict(), PadVerdict::Absent);
    }
}
