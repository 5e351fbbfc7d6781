//! How long to wait before the next try.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// One second, doubling to thirty, each a quarter shorter or longer by chance: after a power cut all terminals of a
/// house come back at once, and must not come to the broker at once for ever.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Backoff(FIRST)
    }
}

impl Backoff {
    /// The pause to make now.
    pub(super) fn next(&mut self, random: u8) -> Duration {
        let now = self.0;
        self.0 = (now * 2).min(LONGEST);
        now.mul_f64(0.75 + f64::from(random) / 510.0).min(LONGEST)
    }

    /// It worked: the next pause is the shortest again.
    pub(super) fn reset(&mut self) {
        *self = Backoff::default();
    }
}

/// Chance enough to spread terminals; the middle when the kernel has none.
pub(super) fn random_byte() -> u8 {
    let mut b = [128];
    match getrandom::fill(&mut b) {
        Ok(()) => b[0],
        Err(_) => 128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute_and_start_again() {
        let mut pause = Backoff::default();
        let seconds: Vec<f64> = (0..7).map(|_| pause.next(128).as_secs_f64().round()).collect();
        assert_eq!(seconds, [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
        pause.reset();
        assert!(pause.next(0) >= Duration::from_millis(750));
        pause.reset();
        assert!(pause.next(255) <= Duration::from_millis(1250));
    }
}
