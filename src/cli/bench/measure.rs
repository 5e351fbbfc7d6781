//! Clocks, figures, and a clock between the pipeline and its networks.

use crate::ports::{Infer, NetId, PortError};
use ndarray::{ArrayD, ArrayView4};
use rustix::time::{ClockId, Timespec, clock_gettime};
use serde::Serialize;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// One measured run, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cost {
    pub cpu: f64,
    pub wall: f64,
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(all: I) -> Cost {
        all.fold(Cost::default(), |a, b| Cost { cpu: a.cpu + b.cpu, wall: a.wall + b.wall })
    }
}

/// What `CLOCK_THREAD_CPUTIME_ID` counts is the work of this thread, however busy the machine is. Networks with more
/// than one thread are counted by the whole process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopwatch(ClockId);

impl Stopwatch {
    pub fn new(threads: usize) -> Self {
        Stopwatch(if threads > 1 { ClockId::ProcessCPUTime } else { ClockId::ThreadCPUTime })
    }

    /// Runs `f` and says what it cost.
    pub fn time<T>(self, f: impl FnOnce() -> T) -> (T, Cost) {
        let (wall, cpu) = (Instant::now(), millis(clock_gettime(self.0)));
        let made = f();
        let cost = Cost { cpu: millis(clock_gettime(self.0)) - cpu, wall: wall.elapsed().as_secs_f64() * 1e3 };
        (made, cost)
    }
}

fn millis(t: Timespec) -> f64 {
    t.tv_sec as f64 * 1e3 + t.tv_nsec as f64 / 1e6
}

/// Median, 95th percentile and mean, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Spread {
    pub median: f64,
    pub p95: f64,
    pub mean: f64,
}

impl Spread {
    /// Of what `values` holds; all zero for none.
    fn of(mut values: Vec<f64>) -> Self {
        if values.is_empty() {
            return Spread { median: 0.0, p95: 0.0, mean: 0.0 };
        }
        values.sort_by(f64::total_cmp);
        // The smallest value that at least this part of all reach or stay below.
        let rank = |part: f64| values[((values.len() as f64 * part).ceil() as usize).clamp(1, values.len()) - 1];
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        Spread { median: round(rank(0.5)), p95: round(rank(0.95)), mean: round(mean) }
    }
}

/// Microseconds are the last digit that means anything.
pub(super) fn round(ms: f64) -> f64 {
    (ms * 1e3).round() / 1e3
}

/// One line of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Figure {
    pub cpu_ms: Spread,
    pub wall_ms: Spread,
    pub runs: usize,
}

impl Figure {
    pub fn of(costs: &[Cost]) -> Self {
        Figure {
            cpu_ms: Spread::of(costs.iter().map(|c| c.cpu).collect()),
            wall_ms: Spread::of(costs.iter().map(|c| c.wall).collect()),
            runs: costs.len(),
        }
    }
}

/// The networks with a clock around each run. Clones share networks and notes: one sits in the pipeline, one reads.
#[derive(Clone)]
pub(super) struct Meter(Arc<Mutex<Metered>>);

struct Metered {
    infer: Box<dyn Infer>,
    watch: Stopwatch,
    notes: Vec<(NetId, Cost)>,
}

impl Meter {
    pub fn new(infer: Box<dyn Infer>, watch: Stopwatch) -> Self {
        Meter(Arc::new(Mutex::new(Metered { infer, watch, notes: Vec::new() })))
    }

    /// What ran since the last call.
    pub fn take(&self) -> Vec<(NetId, Cost)> {
        std::mem::take(&mut self.lock().notes)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Metered> {
        self.0.lock().expect("meter mutex: no holder panics")
    }
}

impl Infer for Meter {
    fn run(&mut self, net: NetId, input: ArrayView4<'_, f32>) -> Result<Vec<ArrayD<f32>>, PortError> {
        let mut held = self.lock();
        let Metered { infer, watch, notes } = &mut *held;
        let (outputs, cost) = watch.time(|| infer.run(net, input));
        notes.push((net, cost));
        outputs
    }

    fn frame(&mut self, seq: u64) {
        self.lock().infer.frame(seq);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_p95_are_values_that_were_measured() {
        let s = Spread::of((1..=100).rev().map(f64::from).collect());
        assert_eq!((s.median, s.p95, s.mean), (50.0, 95.0, 50.5));
        assert_eq!(Spread::of(vec![7.0]).p95, 7.0);
        assert_eq!(Spread::of(Vec::new()).median, 0.0);
    }

    #[test]
    fn waiting_costs_wall_time_and_no_cpu_time() {
        let ((), cost) = Stopwatch::new(1).time(|| std::thread::sleep(std::time::Duration::from_millis(20)));
        assert!(cost.wall >= 20.0 && cost.cpu < cost.wall / 2.0, "{cost:?}");
    }

    #[test]
    fn the_meter_notes_each_run_by_its_network_and_hands_the_outputs_on() {
        struct Echo;
        impl Infer for Echo {
            fn run(&mut self, net: NetId, input: ArrayView4<'_, f32>) -> Result<Vec<ArrayD<f32>>, PortError> {
                Ok(vec![input.mapv(|v| v + net.0 as f32).into_dyn()])
            }
        }
        let mut meter = Meter::new(Box::new(Echo), Stopwatch::new(1));
        let reader = meter.clone();
        let x = ndarray::Array4::zeros((1, 1, 1, 1));
        for net in [2, 0] {
            assert_eq!(meter.run(NetId(net), x.view()).unwrap()[0].sum(), net as f32);
        }
        let ids: Vec<_> = reader.take().iter().map(|(id, _)| id.0).collect();
        assert_eq!(ids, [2, 0]);
        assert!(reader.take().is_empty());
    }
}
