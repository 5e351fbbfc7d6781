//! Who is it? Templates of everybody in one contiguous matrix, one product a search.
//!
//! A person's score is the similarity to the mean of the person's templates (normalised again for the cosine): on
//! labelled faces with three templates that missed fewer people at every false-accept rate than the best or the mean
//! of the single similarities (`docs/specification.md`, *Gallery*).

use super::observation::Embedding;
use crate::base::units::Similarity;
use crate::schema::ids::PersonId;
use std::collections::BTreeMap;

/// A stored embedding with the digest (SHA-256 in hex) of the network that made it.
#[derive(Clone, PartialEq)]
pub struct Template {
    pub model: String,
    pub embedding: Embedding,
}

/// A template never stands in a log or a failing test's text.
impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Template").field("model", &self.model).field("values", &self.embedding.len()).finish()
    }
}

/// How embeddings of a family are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Normalised vectors, similarity = cosine.
    Cosine,
    /// Raw vectors, similarity = 1 - Euclidean distance.
    Euclidean,
}

impl Metric {
    /// Similarity of two embeddings; `None` when their lengths differ or a number is not finite.
    #[must_use]
    pub fn similarity(self, a: &[f32], b: &[f32]) -> Option<Similarity> {
        if a.len() != b.len() || a.is_empty() {
            return None;
        }
        Similarity::new(match self {
            Metric::Cosine => dot(a, b),
            Metric::Euclidean => 1.0 - a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f32>().sqrt(),
        })
    }

    /// The mean of several embeddings, as the gallery keeps it; `None` for nothing or for unequal lengths.
    #[must_use]
    pub fn mean(self, embeddings: &[Embedding]) -> Option<Embedding> {
        let first = embeddings.first()?;
        let mut sum = vec![0.0_f32; first.len()];
        for e in embeddings {
            if e.len() != sum.len() {
                return None;
            }
            sum.iter_mut().zip(e.iter()).for_each(|(s, v)| *s += v);
        }
        let scale = match self {
            Metric::Cosine => 1.0 / dot(&sum, &sum).sqrt().max(f32::MIN_POSITIVE),
            #[expect(clippy::cast_precision_loss, reason = "a person has few templates")]
            Metric::Euclidean => 1.0 / embeddings.len() as f32,
        };
        sum.iter_mut().for_each(|s| *s *= scale);
        Some(sum.into())
    }
}

/// Scalar product in eight lanes, which the compiler turns into vector instructions.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let (ca, cb) = (a.chunks_exact(16), b.chunks_exact(16));
    let tail: f32 = ca.remainder().iter().zip(cb.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in ca.zip(cb) {
        for i in 0..16 {
            lanes[i] += x[i] * y[i];
        }
    }
    lanes.iter().sum::<f32>() + tail
}

/// Everybody's mean template. All are always scored: no early exit tells by its timing who is enrolled.
#[derive(Clone, Debug)]
pub struct Gallery {
    metric: Metric,
    dim: usize,
    people: Vec<PersonId>,
    rows: Vec<f32>,
    templates: usize,
}

/// The best and the second-best person.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    pub best: Option<(PersonId, Similarity)>,
    pub second: Option<Similarity>,
}

impl Gallery {
    /// Makes a gallery from everybody's templates; those of another length than `dim` are left out and counted.
    #[must_use]
    pub fn new(metric: Metric, dim: usize, people: &BTreeMap<PersonId, Vec<Embedding>>) -> (Self, usize) {
        let mut g = Gallery { metric, dim, people: Vec::new(), rows: Vec::new(), templates: 0 };
        let mut left_out = 0;
        for (id, all) in people {
            let fit: Vec<Embedding> =
                all.iter().filter(|e| e.len() == dim && e.iter().all(|v| v.is_finite())).cloned().collect();
            left_out += all.len() - fit.len();
            if let Some(mean) = metric.mean(&fit) {
                g.people.push(id.clone());
                g.rows.extend_from_slice(&mean);
                g.templates += fit.len();
            }
        }
        (g, left_out)
    }

    /// Number of people, the N of tau(N).
    #[must_use]
    pub fn len(&self) -> usize {
        self.people.len()
    }

    /// Nobody is enrolled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.people.is_empty()
    }

    /// Number of templates.
    #[must_use]
    pub fn templates(&self) -> usize {
        self.templates
    }

    /// How embeddings are compared.
    #[must_use]
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// The gallery of one person, for `verify`; empty when unknown.
    #[must_use]
    pub fn only(&self, id: &PersonId) -> Gallery {
        let mut g = Gallery { people: Vec::new(), rows: Vec::new(), templates: 0, ..*self };
        if let Some(i) = self.people.iter().position(|p| p == id) {
            g.people.push(id.clone());
            g.rows.extend_from_slice(&self.rows[i * self.dim..(i + 1) * self.dim]);
            g.templates = 1;
        }
        g
    }

    /// Similarity to every person, in the order of [`Gallery::people`]; empty when the probe does not fit.
    #[must_use]
    pub fn scores(&self, probe: &[f32]) -> Vec<f32> {
        if probe.len() != self.dim || self.dim == 0 || !probe.iter().all(|v| v.is_finite()) {
            return Vec::new();
        }
        let row = |r: &[f32]| match self.metric {
            Metric::Cosine => dot(r, probe),
            Metric::Euclidean => 1.0 - r.iter().zip(probe).map(|(x, y)| (x - y) * (x - y)).sum::<f32>().sqrt(),
        };
        self.rows.chunks_exact(self.dim).map(row).collect()
    }

    /// The people, in the order of the rows.
    #[must_use]
    pub fn people(&self) -> &[PersonId] {
        &self.people
    }

    /// Compares with everybody.
    #[must_use]
    pub fn search(&self, probe: &[f32]) -> Ranking {
        let mut best: Option<(usize, f32)> = None;
        let mut second: Option<f32> = None;
        for (i, s) in self.scores(probe).into_iter().enumerate() {
            match best {
                Some((_, b)) if s <= b => second = Some(second.map_or(s, |x| x.max(s))),
                _ => second = best.replace((i, s)).map_or(second, |(_, b)| Some(b)),
            }
        }
        Ranking {
            best: best.and_then(|(i, s)| Some((self.people[i].clone(), Similarity::new(s)?))),
            second: second.and_then(Similarity::new),
        }
    }
}

/// What one probe says about identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    Known(PersonId),
    /// Nobody reaches the threshold.
    NoMatch,
    /// Somebody does, but a second person is as near.
    Ambiguous,
}

/// When a ranking is a match.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatchRule {
    /// tau(N).
    pub threshold: f32,
    /// Least distance to the second person.
    pub margin: f32,
}

impl MatchRule {
    /// Applies threshold and margin.
    #[must_use]
    pub fn judge(&self, ranking: &Ranking) -> Identity {
        match &ranking.best {
            Some((id, s)) if s.get() >= self.threshold => {
                if ranking.second.is_some_and(|second| s.get() - second.get() < self.margin) {
                    Identity::Ambiguous
                } else {
                    Identity::Known(id.clone())
                }
            }
            _ => Identity::NoMatch,
        }
    }
}

/// A threshold from the manifest's curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    pub value: f32,
    /// Beyond the measured part of the curve.
    pub extrapolated: bool,
}

/// False-match rate against threshold, as measured: `(fmr, threshold)` from large to small rates.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve(Vec<(f64, f32)>);

impl Curve {
    /// `None` unless there are two points or more, rates fall strictly within `0..1`, thresholds do not fall.
    #[must_use]
    pub fn new(points: Vec<(f64, f32)>) -> Option<Self> {
        let falls = points.windows(2).all(|w| w[0].0 > w[1].0 && w[0].1 <= w[1].1);
        let inside = points.iter().all(|(f, t)| *f > 0.0 && *f < 1.0 && t.is_finite());
        (points.len() >= 2 && falls && inside).then_some(Curve(points))
    }

    /// The threshold at a false-match rate: linear in log10(rate), continued with the slope of the last two points.
    #[must_use]
    pub fn at(&self, fmr: f64) -> Threshold {
        let p = &self.0;
        let fmr = fmr.clamp(1e-12, p[0].0);
        let i = p.windows(2).position(|w| fmr >= w[1].0).unwrap_or(p.len() - 2);
        let ((f0, t0), (f1, t1)) = (p[i], p[i + 1]);
        let along = (fmr.log10() - f0.log10()) / (f1.log10() - f0.log10());
        #[expect(clippy::cast_possible_truncation, reason = "a threshold has few digits")]
        let value = (f64::from(t0) + along * (f64::from(t1) - f64::from(t0))) as f32;
        Threshold { value, extrapolated: fmr < p[p.len() - 1].0 * 0.999 }
    }

    /// tau(N): the false-positive identification rate wanted of a gallery of `n` people, shared among them.
    #[must_use]
    pub fn for_gallery(&self, fpir: f64, n: usize) -> Threshold {
        #[expect(clippy::cast_precision_loss, reason = "a gallery is far below 2^52 people")]
        self.at(fpir / n.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: &str) -> PersonId {
        PersonId::new(n).expect("valid")
    }

    fn gallery(metric: Metric, rows: &[(&str, &[f32])]) -> Gallery {
        let mut people = BTreeMap::<_, Vec<Embedding>>::new();
        for (n, e) in rows {
            people.entry(id(n)).or_default().push((*e).into());
        }
        Gallery::new(metric, 2, &people).0
    }

    #[test]
    fn the_nearest_person_is_found_with_the_second_beside() {
        let g = gallery(Metric::Cosine, &[("ada", &[1.0, 0.0]), ("eve", &[0.0, 1.0])]);
        let r = g.search(&[0.8, 0.6]);
        assert_eq!(r.best.as_ref().map(|b| b.0.as_str()), Some("ada"));
        assert!((r.second.expect("two people").get() - 0.6).abs() < 1e-6);
    }

    #[test]
    fn a_margin_too_small_is_ambiguous() {
        let g = gallery(Metric::Cosine, &[("ada", &[1.0, 0.0]), ("eve", &[0.0, 1.0])]);
        let rule = MatchRule { threshold: 0.5, margin: 0.3 };
        assert_eq!(rule.judge(&g.search(&[0.8, 0.6])), Identity::Ambiguous);
        assert_eq!(rule.judge(&g.search(&[1.0, 0.0])), Identity::Known(id("ada")));
        assert_eq!(rule.judge(&g.search(&[-1.0, 0.0])), Identity::NoMatch);
    }

    #[test]
    fn a_template_does_not_print_its_values() {
        let t = Template { model: "m".into(), embedding: [0.125, 0.25].to_vec().into() };
        assert_eq!(format!("{t:?}"), r#"Template { model: "m", values: 2 }"#);
    }

    #[test]
    fn an_empty_gallery_knows_nobody() {
        let g = gallery(Metric::Cosine, &[]);
        assert_eq!(MatchRule { threshold: -9.0, margin: 0.0 }.judge(&g.search(&[1.0, 0.0])), Identity::NoMatch);
    }

    #[test]
    fn a_probe_that_does_not_fit_matches_nobody() {
        let g = gallery(Metric::Cosine, &[("ada", &[1.0, 0.0])]);
        for probe in [&[1.0][..], &[f32::NAN, 0.0], &[]] {
            assert_eq!(g.search(probe).best, None);
        }
    }

    #[test]
    fn distance_counts_from_the_mean_of_the_templates() {
        let g = gallery(Metric::Euclidean, &[("ada", &[0.0, 0.0]), ("ada", &[0.0, 2.0])]);
        let best = g.search(&[0.0, 1.0]).best.expect("one person");
        assert!((best.1.get() - 1.0).abs() < 1e-6);
        assert_eq!(g.templates(), 2);
    }

    #[test]
    fn a_bigger_gallery_needs_a_higher_threshold_and_says_when_it_guesses() {
        let c = Curve::new(vec![(1e-2, 0.3), (1e-3, 0.4), (1e-4, 0.5)]).expect("a curve");
        let near = |t: Threshold, v: f32| (t.value - v).abs() < 1e-4;
        assert!(near(c.at(1e-3), 0.4) && !c.at(1e-3).extrapolated);
        assert!(near(c.for_gallery(1e-3, 10), 0.5) && !c.for_gallery(1e-3, 10).extrapolated);
        assert!(near(c.for_gallery(1e-3, 1000), 0.7) && c.for_gallery(1e-3, 1000).extrapolated);
        assert!(near(c.at(0.5), 0.3));
        assert!(Curve::new(vec![(1e-2, 0.3)]).is_none());
        assert!(Curve::new(vec![(1e-3, 0.3), (1e-2, 0.4)]).is_none());
    }

    #[test]
    fn one_person_can_be_taken_out() {
        let g = gallery(Metric::Cosine, &[("ada", &[1.0, 0.0]), ("eve", &[0.0, 1.0])]);
        assert_eq!(g.only(&id("eve")).people(), [id("eve")]);
        assert!(g.only(&id("bob")).is_empty());
    }
}
