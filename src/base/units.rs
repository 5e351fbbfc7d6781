//! Numbers that cannot be mistaken for one another.

/// Probability that a face is alive, as one PAD network says; within `0.0..=1.0`, never NaN.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct LiveScore(f32);

impl LiveScore {
    /// `None` for NaN and for anything outside of `0.0..=1.0`.
    #[must_use]
    pub fn new(p: f32) -> Option<Self> {
        (0.0..=1.0).contains(&p).then_some(LiveScore(p))
    }

    /// The probability.
    #[must_use]
    pub const fn get(self) -> f32 {
        self.0
    }
}

/// How alike two embeddings are: cosine, or `1 - distance` for networks compared by distance.
/// Greater is more alike; always finite.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Similarity(f32);

impl Similarity {
    /// `None` unless finite.
    #[must_use]
    pub fn new(s: f32) -> Option<Self> {
        s.is_finite().then_some(Similarity(s))
    }

    /// The number, as thresholds in a manifest are written.
    #[must_use]
    pub const fn get(self) -> f32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_that_is_no_probability_is_none() {
        for p in [f32::NAN, -0.01, 1.01, f32::INFINITY] {
            assert!(LiveScore::new(p).is_none(), "{p}");
        }
        assert_eq!(LiveScore::new(0.5).map(LiveScore::get), Some(0.5));
        assert!(Similarity::new(f32::NAN).is_none());
    }
}
