//! Fixed orders of steps, and fair draws for those that are not.

use crate::domain::challenge::{Onset, Plan, Step};
use crate::ports::PortError;
use crate::schema::event::Action;
use std::time::Duration;

/// These actions, each asked for as soon as the one before it is done, with so much time.
pub(super) fn plan(order: &[(Action, u8)], window: impl Fn(Action) -> Duration) -> Plan {
    let step = |(action, times): &(Action, u8)| Step {
        action: *action,
        times: (*times).max(1),
        onset: Onset::AtOnce,
        window: window(*action),
    };
    Plan(order.iter().map(step).collect())
}

/// Numbers below small bounds, from bytes of the kernel's generator.
pub(super) struct Draw {
    bytes: [u8; 32],
    at: usize,
}

impl Draw {
    /// Fresh ones.
    ///
    /// # Errors
    /// The kernel has none.
    pub(super) fn new(random: crate::adapters::web::Random) -> Result<Self, PortError> {
        Ok(Draw { bytes: random()?, at: 0 })
    }

    /// One of `0..n`; two bytes for bounds below 10 make the odds differ by less than 0.02 %.
    pub(super) fn below(&mut self, n: u16) -> usize {
        let pair = [self.bytes[self.at % 32], self.bytes[(self.at + 1) % 32]];
        self.at += 2;
        usize::from(u16::from_le_bytes(pair) % n.max(1))
    }

    /// One of them.
    pub(super) fn one_of<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        let n = u16::try_from(of.len()).unwrap_or(u16::MAX);
        of.get(self.below(n)).copied()
    }
}
