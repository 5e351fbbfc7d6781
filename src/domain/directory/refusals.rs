//! How often refusals are recorded: whoever may write at the broker must not be able to fill the journal.

use super::judge::Refusal;
use crate::base::time::Tick;
use std::collections::BTreeMap;
use std::time::Duration;

/// Of each kind so many are told one by one.
const FIRST: u32 = 5;
/// Then the rest is told as a number, this often.
const SUM: Duration = Duration::from_secs(60);

/// What was refused lately, by kind.
#[derive(Clone, Debug, Default)]
pub struct Refusals {
    kinds: BTreeMap<Refusal, (u32, u64, Tick)>,
}

impl Refusals {
    /// One more; true when it is to be recorded by itself.
    pub fn note(&mut self, now: Tick, kind: Refusal) -> bool {
        let (told, untold, since) = self.kinds.entry(kind).or_insert((0, 0, now));
        if *told < FIRST {
            *told += 1;
            *since = now;
            return true;
        }
        *untold += 1;
        false
    }

    /// Numbers that are due; a kind that has been quiet begins anew.
    pub fn due(&mut self, now: Tick) -> Vec<(Refusal, u64)> {
        let mut out = Vec::new();
        self.kinds.retain(|kind, (_, untold, since)| {
            if now.since(*since) < SUM {
                return true;
            }
            *since = now;
            if *untold > 0 {
                out.push((*kind, std::mem::take(untold)));
                return true;
            }
            false
        });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_five_times_and_then_as_a_number() {
        let mut r = Refusals::default();
        let told = (0..1000).filter(|_| r.note(Tick::ZERO, Refusal::Forged)).count();
        assert_eq!((told, r.due(Tick::from_millis(59_000))), (5, vec![]));
        assert!(r.note(Tick::ZERO, Refusal::Foreign), "another kind is told by itself");
        assert_eq!(r.due(Tick::from_millis(61_000)), [(Refusal::Forged, 995)]);
        assert!(!r.note(Tick::from_millis(62_000), Refusal::Forged), "still the same flood");
        assert_eq!(r.due(Tick::from_millis(122_000)), [(Refusal::Forged, 1)]);
        assert_eq!(r.due(Tick::from_millis(183_000)), []);
        assert!(r.note(Tick::from_millis(184_000), Refusal::Forged));
    }
}
