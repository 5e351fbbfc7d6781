//! When the journal hears of the broker: a connection that came or went and stayed so for a while. A broker that comes and
//! goes every second is told once, not every second.

use crate::base::time::Tick;
use std::time::Duration;

/// A change that lasts as long is told.
const SETTLED: Duration = Duration::from_secs(5);

/// What was told last, and what has changed since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BrokerNews {
    told: Option<bool>,
    changed: Option<(bool, Tick)>,
}

impl BrokerNews {
    /// Takes how it stands now; returns what is to be recorded.
    pub fn step(&mut self, now: Tick, connected: bool) -> Option<bool> {
        if self.told == Some(connected) {
            self.changed = None;
            return None;
        }
        let since = match self.changed {
            Some((to, since)) if to == connected => since,
            _ => now,
        };
        self.changed = Some((connected, since));
        if now.since(since) < SETTLED {
            return None;
        }
        (self.told, self.changed) = (Some(connected), None);
        Some(connected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of a connection that stands as given, second by second.
    fn told(states: &[bool]) -> Vec<(usize, bool)> {
        let mut news = BrokerNews::default();
        let at = |s: usize| Tick::from_millis(s as u64 * 1_000);
        states.iter().enumerate().filter_map(|(s, on)| news.step(at(s), *on).map(|on| (s, on))).collect()
    }

    #[test]
    fn a_connection_that_stays_and_a_loss_that_stays_are_told_once_each() {
        let states = [[true; 10], [false; 10], [true; 10]].concat();
        assert_eq!(told(&states), [(5, true), (15, false), (25, true)]);
    }

    #[test]
    fn a_broker_that_comes_and_goes_is_told_once() {
        let mut states = vec![true; 6];
        states.extend((0..100).map(|s| s % 3 == 0));
        assert_eq!(told(&states), [(5, true)]);
    }

    #[test]
    fn a_broker_that_never_came_is_told_as_lost() {
        assert_eq!(told(&[false; 8]), [(5, false)]);
    }
}
