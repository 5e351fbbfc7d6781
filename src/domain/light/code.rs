//! The colours of a light handshake and when each is shown.
//!
//! * *symbol*: one bit for each of R, G and B: that part of the light is bright or dim. Two in a row always differ.
//! * *quiet*: everything dim, before the code: what the skin does by itself.
//! * *probe*: everything bright, after it: how big a step this display makes in this room.
//!
//! Each colour stays for at least a third of a second, counted from when it was really shown, so that there are at most
//! three changes, which is one and a half flashes, in any second, however late the shell is. A dim channel is not dark:
//! no colour is a saturated red (WCAG 2.2, *red flash*: R / (R + G + B) of linear light below 0.8).

use crate::base::time::Tick;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::time::Duration;

/// Whether red, green and blue are bright.
pub type Symbol = [bool; 3];

/// How long a symbol is shown: a third of a second, and never less.
pub const SYMBOL: Duration = Duration::from_nanos(333_333_334);
/// Symbols of a code: 5 s, 45 bits before those are left out that repeat their neighbour.
pub const SYMBOLS: usize = 15;
/// How long everything is dim before the probe. The first quarter of a second belongs to the light that was there
/// before; a second is left.
pub const QUIET: Duration = Duration::from_millis(1250);
/// How long everything is bright before the code.
pub const PROBE: Duration = Duration::from_millis(700);
/// The last colour stays so much longer, for the frames that are still on their way: the longest lag that is looked for.
pub const TAIL: Duration = Duration::from_millis(300);
/// A handshake is shown at most so often to one person.
pub const TRIES: u8 = 3;

/// sRGB of a bright and of a dim channel.
const BRIGHT: u8 = 255;
const DIM: u8 = 128;
/// The challenge draws from stream 0 of the same seed; the handshakes draw from this one on.
const STREAM: u64 = u64::from_le_bytes(*b"light\0\0\0");

/// A row of symbols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code(Vec<Symbol>);

impl Code {
    /// Draws the code of the handshake number `attempt` (`0..TRIES`) from the seed of the visit. Each symbol is equally likely
    /// among those that differ from the one before; the first differs from the probe.
    #[must_use]
    pub fn draw(seed: [u8; 32], attempt: u8, symbols: usize) -> Code {
        let mut rng = ChaCha20Rng::from_seed(seed);
        rng.set_stream(STREAM.wrapping_add(u64::from(attempt)));
        let mut before = [true; 3];
        let mut row = Vec::with_capacity(symbols);
        let mut words = std::iter::repeat_with(|| rng.next_u32());
        while row.len() < symbols {
            // Rejection keeps the seven others equally likely.
            let Some(word) = words.next() else { break };
            let symbol = [word & 1 != 0, word & 2 != 0, word & 4 != 0];
            if symbol != before {
                row.push(symbol);
                before = symbol;
            }
        }
        Code(row)
    }

    /// The symbols, in the order in which they are shown.
    #[must_use]
    pub fn symbols(&self) -> &[Symbol] {
        &self.0
    }
}

/// The colour of a symbol: sRGB, a byte a channel.
#[must_use]
pub fn colour(symbol: Symbol) -> [u8; 3] {
    symbol.map(|bright| if bright { BRIGHT } else { DIM })
}

/// What a colour is shown for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Quiet,
    Probe,
    Code,
}

/// A colour that was shown, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    pub at: Tick,
    pub part: Part,
    pub symbol: Symbol,
}

/// One handshake as it is shown: quiet, probe, code. Times are those at which the colours were really handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Show {
    code: Code,
    shown: Vec<Shown>,
}

impl Show {
    /// Nothing was shown yet.
    #[must_use]
    pub fn new(code: Code) -> Show {
        Show { code, shown: Vec::new() }
    }

    /// Moves on to the next colour if it is due at `now`, by at most one, and says which colour is to be seen.
    /// `now` must not go backwards.
    pub fn advance(&mut self, now: Tick) -> [u8; 3] {
        let number = self.shown.len();
        let due = self.shown.last().is_none_or(|s| now >= s.at + length(s.part));
        let next = match number {
            0 => Some((Part::Quiet, [false; 3])),
            1 => Some((Part::Probe, [true; 3])),
            n => self.code.0.get(n - 2).map(|s| (Part::Code, *s)),
        };
        if let (true, Some((part, symbol))) = (due, next) {
            self.shown.push(Shown { at: now, part, symbol });
        }
        colour(self.shown.last().map_or([false; 3], |s| s.symbol))
    }

    /// When [`Show::advance`] has something new to say, or the show is over; `None` before it began.
    #[must_use]
    pub fn next_change(&self) -> Option<Tick> {
        let last = self.shown.last()?;
        let tail = if self.is_complete() { TAIL } else { Duration::ZERO };
        Some(last.at + length(last.part) + tail)
    }

    /// Whether everything was shown and the light had time to come back at `now`.
    #[must_use]
    pub fn is_over(&self, now: Tick) -> bool {
        self.is_complete() && self.next_change().is_some_and(|t| now >= t)
    }

    /// Whether the probe was shown and the light had time to come back at `now`.
    #[must_use]
    pub fn is_probed(&self, now: Tick) -> bool {
        self.shown.get(2).is_some_and(|code| now >= code.at + TAIL)
    }

    fn is_complete(&self) -> bool {
        self.shown.len() == self.code.0.len() + 2
    }

    /// What was shown so far, in order.
    #[must_use]
    pub fn shown(&self) -> &[Shown] {
        &self.shown
    }

    /// From when to when something was, or is still, shown; `None` if it never was.
    #[must_use]
    pub fn span(&self, part: Part) -> Option<(Tick, Tick)> {
        let first = self.shown.iter().find(|s| s.part == part)?;
        let last = self.shown.iter().rposition(|s| s.part == part)?;
        let end = self.shown.get(last + 1).map_or_else(|| self.shown[last].at + length(part), |s| s.at);
        Some((first.at, end))
    }
}

const fn length(part: Part) -> Duration {
    match part {
        Part::Quiet => QUIET,
        Part::Probe => PROBE,
        Part::Code => SYMBOL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::challenge::Deck;
    use crate::schema::event::Action;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn seed(n: u32) -> [u8; 32] {
        let mut s = [0; 32];
        s[..4].copy_from_slice(&n.to_le_bytes());
        s
    }

    #[test]
    fn every_bit_is_as_often_bright_as_dim_and_tells_nothing_of_the_others() {
        let all: Vec<Symbol> =
            (0..4_000).flat_map(|n| Code::draw(seed(n), 0, SYMBOLS).symbols()[1..].to_vec()).collect();
        let share = |of: &dyn Fn(&Symbol) -> bool| all.iter().filter(|s| of(s)).count() as f64 / all.len() as f64;
        for c in 0..3 {
            assert!((share(&|s| s[c]) - 0.5).abs() < 0.01, "channel {c}: {}", share(&|s| s[c]));
            let other = (c + 1) % 3;
            assert!((share(&|s| s[c] == s[other]) - 0.5).abs() < 0.01, "channels {c} and {other}");
        }
    }

    #[test]
    fn seeds_and_tries_give_codes_of_their_own() {
        let codes: BTreeSet<Vec<Symbol>> = (0..1_000)
            .flat_map(|n| (0..TRIES).map(move |t| Code::draw(seed(n), t, SYMBOLS).symbols().to_vec()))
            .collect();
        assert_eq!(codes.len(), 3_000);
        assert_eq!(Code::draw(seed(1), 0, SYMBOLS), Code::draw(seed(1), 0, SYMBOLS));
    }

    /// Whoever sees the prompts must not be able to reckon the colours from them.
    #[test]
    fn the_code_is_drawn_from_another_stream_than_the_challenge() {
        let mut rng = ChaCha20Rng::from_seed(seed(5));
        let mut row = Vec::new();
        while row.len() < SYMBOLS {
            let word = rng.next_u32();
            let symbol = [word & 1 != 0, word & 2 != 0, word & 4 != 0];
            if symbol != *row.last().unwrap_or(&[true; 3]) {
                row.push(symbol);
            }
        }
        assert_ne!(Code::draw(seed(5), 0, SYMBOLS).symbols(), row, "stream 0 is the challenge's");
        let ms = Duration::from_millis;
        let actions = vec![Action::Nod, Action::TurnLeft];
        let deck = Deck {
            actions,
            count: 2,
            onset_min: ms(400),
            onset_max: ms(1500),
            window: ms(2500),
            blinks: 1,
            shape: Vec::new(),
        };
        assert_eq!(deck.draw(seed(5), 30.0), deck.draw(seed(5), 30.0), "drawing colours leaves the challenge alone");
    }

    /// WCAG 2.2: a saturated red has R / (R + G + B) >= 0.8 in linear light.
    #[test]
    fn no_colour_is_a_saturated_red() {
        let linear = |v: u8| ((f64::from(v) / 255.0 + 0.055) / 1.055).powf(2.4);
        for n in 0..8_u8 {
            let c = colour([n & 1 != 0, n & 2 != 0, n & 4 != 0]).map(linear);
            assert!(c[0] / c.iter().sum::<f64>() < 0.8, "{c:?}");
        }
    }

    #[test]
    fn quiet_probe_and_code_come_in_their_time() {
        let mut show = Show::new(Code::draw(seed(1), 0, SYMBOLS));
        assert_eq!((show.next_change(), show.span(Part::Quiet)), (None, None));
        let mut t = Tick::from_millis(1_000);
        let _quiet = show.advance(t);
        while !show.is_over(t) {
            t = show.next_change().expect("it began");
            let _colour = show.advance(t);
        }
        assert_eq!(show.shown().len(), 17);
        let (a, b) = show.span(Part::Code).expect("shown");
        assert!(b.since(a) >= Duration::from_secs(5) && b.since(a) < Duration::from_millis(5_001));
        assert_eq!(show.span(Part::Quiet), Some((Tick::from_millis(1_000), Tick::from_millis(2_250))));
        assert_eq!(show.span(Part::Probe), Some((Tick::from_millis(2_250), Tick::from_millis(2_950))));
        assert!(t.since(Tick::from_millis(1_000)) < Duration::from_millis(7_300), "{t:?}");
    }

    proptest! {
        /// Fewer than three flashes in any second (a flash is a pair of changes), whatever the shell's timer does.
        #[test]
        fn it_never_flashes_above_three_hertz_nor_repeats_a_symbol(
            seed in any::<[u8; 32]>(),
            attempt in 0..TRIES,
            steps in proptest::collection::vec(1_u64..900, 1..400),
        ) {
            let mut show = Show::new(Code::draw(seed, attempt, SYMBOLS));
            let mut t = Tick::from_millis(5);
            let mut changes = Vec::new();
            let mut before = None;
            for step in steps {
                let colour = show.advance(t);
                if before.is_some_and(|b| b != colour) {
                    changes.push(t);
                }
                before = Some(colour);
                t = t + Duration::from_millis(step);
            }
            for (i, from) in changes.iter().enumerate() {
                let within = changes[i..].iter().filter(|c| c.since(*from) < Duration::from_secs(1)).count();
                prop_assert!(within <= 3, "{within} changes within a second");
            }
            prop_assert!(show.shown().windows(2).all(|w| w[0].symbol != w[1].symbol));
            prop_assert!(show.shown().windows(2).all(|w| w[1].at.since(w[0].at) >= SYMBOL));
        }
    }
}
