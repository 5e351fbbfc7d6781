//! How long each network of the door takes, over the last five minutes: a clock between the pipeline and the networks.

use crate::adapters::web::shown::NetworkTimes;
use crate::base::time::{Clock, Tick};
use crate::ports::{Infer, NetId, PortError};
use ndarray::{ArrayD, ArrayView4};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

/// Seconds of a step.
const STEP_S: u32 = 10;
/// Steps that are remembered.
const STEPS: u64 = 30;
/// Runs of a step that are remembered; of more, the newest.
const RUNS: usize = 256;

/// The times so far; shared between the thread that runs networks and whoever shows them.
#[derive(Clone, Default)]
pub struct Timings(Arc<Mutex<BTreeMap<NetId, VecDeque<Step>>>>);

/// Runs of ten seconds.
struct Step {
    number: u64,
    seen: usize,
    ms: Vec<f32>,
}

fn number(now: Tick) -> u64 {
    now.as_nanos() / 1_000_000_000 / u64::from(STEP_S)
}

impl Timings {
    /// A run of one network that ended at `now`.
    pub fn took(&self, net: NetId, now: Tick, ms: f32) {
        let mut all = self.0.lock().expect("timings mutex: no holder panics");
        let steps = all.entry(net).or_default();
        let number = number(now);
        steps.retain(|s| s.number + STEPS > number);
        match steps.back_mut().filter(|s| s.number == number) {
            Some(step) => {
                step.seen += 1;
                if step.ms.len() < RUNS {
                    step.ms.push(ms);
                } else {
                    step.ms[step.seen % RUNS] = ms;
                }
            }
            None => steps.push_back(Step { number, seen: 1, ms: vec![ms] }),
        }
    }

    /// The times of the networks with these roles and names, in the order of the pack.
    #[must_use]
    pub fn shown(&self, now: Tick, nets: &[(String, String)]) -> Vec<NetworkTimes> {
        let all = self.0.lock().expect("timings mutex: no holder panics");
        let number = number(now);
        let first = (number + 1).saturating_sub(STEPS);
        let row = |(i, (role, name)): (usize, &(String, String))| {
            let steps: Vec<&Step> =
                all.get(&NetId(i)).into_iter().flatten().filter(|s| (first..=number).contains(&s.number)).collect();
            let of = |n: u64| steps.iter().find(|s| s.number == n).map(|s| s.ms.clone()).unwrap_or_default();
            let each: Vec<(Option<f32>, Option<f32>)> = (first..=number).map(|n| ranks(of(n))).collect();
            let (p50_ms, p95_ms) = ranks(steps.iter().flat_map(|s| s.ms.iter().copied()).collect());
            let (p50, p95) = each.into_iter().unzip();
            let runs = steps.iter().map(|s| s.seen as u64).sum();
            NetworkTimes { role: role.clone(), name: name.clone(), runs, p50_ms, p95_ms, step_s: STEP_S, p50, p95 }
        };
        nets.iter().enumerate().map(row).collect()
    }
}

/// Median and 95th percentile, both values that were measured; rounded to a hundredth.
fn ranks(mut ms: Vec<f32>) -> (Option<f32>, Option<f32>) {
    ms.sort_by(f32::total_cmp);
    let rank = |of: usize| {
        let at = (ms.len() * of).div_ceil(100).saturating_sub(1);
        ms.get(at).map(|v| (v * 100.0).round() / 100.0)
    };
    (rank(50), rank(95))
}

/// Networks with a clock before them.
pub struct Timed {
    pub inner: Box<dyn Infer>,
    pub clock: Arc<dyn Clock>,
    pub timings: Timings,
}

impl Infer for Timed {
    fn run(&mut self, net: NetId, input: ArrayView4<'_, f32>) -> Result<Vec<ArrayD<f32>>, PortError> {
        let begun = self.clock.now();
        let out = self.inner.run(net, input);
        let now = self.clock.now();
        self.timings.took(net, now, now.since(begun).as_secs_f32() * 1e3);
        out
    }

    fn frame(&mut self, seq: u64) {
        self.inner.frame(seq);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Tick {
        Tick::from_nanos(s * 1_000_000_000)
    }

    #[test]
    fn times_are_told_by_step_and_forgotten_after_five_minutes() {
        let t = Timings::default();
        let nets = [("detection".to_owned(), "yunet".to_owned()), ("pad".to_owned(), "v2".to_owned())];
        for i in 1..=100_u8 {
            t.took(NetId(0), at(1000), f32::from(i));
        }
        t.took(NetId(0), at(1010), 7.0);
        let shown = t.shown(at(1015), &nets);
        let (p50, p95) = (&shown[0].p50, &shown[0].p95);
        assert_eq!((p50.len(), p50[28], p95[28], p50[29]), (30, Some(50.0), Some(95.0), Some(7.0)));
        assert_eq!((shown[0].runs, shown[0].p50[27]), (101, None));
        assert_eq!((shown[1].runs, shown[1].p50_ms), (0, None), "a network that did not run");
        assert_eq!(t.shown(at(1299), &nets)[0].runs, 101, "five minutes with the running step");
        assert_eq!(t.shown(at(1305), &nets)[0].runs, 1);
        assert_eq!(t.shown(at(2000), &nets)[0].runs, 0);
    }

    #[test]
    fn a_busy_step_stays_small_and_keeps_the_newest() {
        let t = Timings::default();
        for i in 0..10_000_u16 {
            t.took(NetId(0), at(5), f32::from(i));
        }
        let shown = t.shown(at(5), &[("a".into(), "b".into())]);
        assert_eq!(shown[0].runs, 10_000);
        assert!(shown[0].p50_ms.is_some_and(|p| p > 9_000.0), "{:?}", shown[0].p50_ms);
        assert_eq!(shown[0].p50.len(), 1, "the machine has run for five seconds");
    }
}
