//! What a ring of LEDs, plain LEDs and a buzzer do for each screen, as pure functions of the screen and the time since it
//! came. No pattern differs from another by its colour alone, and none changes faster than [`SLOWEST_HALF`] allows.
//!
//! A light handshake is the exception in colour: there the ring is the light itself and says nothing.
//!
//! The ring is seen as a clock: LED 0 at twelve, then clockwise. Three o'clock is at the person's right.

use super::panel::draw::Redraw;
use super::texts::Side;
use crate::domain::screen::{Phase, Screen};
use crate::schema::event::{Action, Verdict};
use std::time::Duration;

/// Half of the shortest period of anything that repeats: 3 Hz are 333 ms, and light that flashes faster can cause fits.
pub const SLOWEST_HALF: Duration = Duration::from_millis(170);
/// How long a shape of the ring stands before the next.
const BEAT_MS: u64 = 400;

/// What is to be shown, for whatever has no room for words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    Idle,
    Looking,
    Wait,
    Ask(Action),
    Verdict(Verdict),
    /// A light handshake: look at the display and hold still.
    Light,
    Unavailable,
}

impl Sign {
    /// The sign of a screen.
    #[must_use]
    pub const fn of(screen: &Screen) -> Sign {
        match (screen.verdict, screen.action, screen.phase) {
            (Some(v), _, _) => Sign::Verdict(v),
            (None, Some(a), _) => Sign::Ask(a),
            (None, None, Phase::Idle | Phase::Done) => Sign::Idle,
            (None, None, Phase::Looking) => Sign::Looking,
            (None, None, Phase::Challenge) => Sign::Wait,
            (None, None, Phase::Light) => Sign::Light,
            (None, None, Phase::Unavailable) => Sign::Unavailable,
        }
    }

    /// Red, green and blue.
    const fn colour(self) -> [u8; 3] {
        match self {
            Sign::Idle | Sign::Unavailable => [24, 24, 24],
            Sign::Looking | Sign::Wait | Sign::Light => [96, 96, 96],
            Sign::Ask(_) | Sign::Verdict(Verdict::TryAgain) => [128, 88, 0],
            Sign::Verdict(Verdict::Granted) => [0, 128, 32],
            Sign::Verdict(Verdict::Denied) => [144, 0, 0],
        }
    }

    /// Whether what stands at `twelfth` of the clock (0 to 11) is lit in the `beat`th step of the pattern.
    fn lit(self, twelfth: u64, beat: u64) -> bool {
        let among = |set: &[u64]| set.contains(&twelfth);
        // Going round: 12 steps of BEAT_MS make a period of nearly five seconds.
        let turned = (twelfth + 12 - beat % 12) % 12;
        match self {
            Sign::Idle => among(&[6]),
            Sign::Looking => turned >= 2,
            Sign::Wait => twelfth.is_multiple_of(2),
            Sign::Unavailable => among(&[3, 9]),
            Sign::Light => true,
            // Fills up, and stays.
            Sign::Verdict(Verdict::Granted) => beat > 0 || among(&[3, 4, 5, 6, 7, 8, 9]),
            Sign::Verdict(Verdict::Denied) => among(&[1, 2, 4, 5, 7, 8, 10, 11]),
            Sign::Verdict(Verdict::TryAgain) => turned < 4,
            Sign::Ask(a) => match a {
                Action::TurnLeft => among(&[7, 8, 9, 10, 11]),
                Action::TurnRight => among(&[1, 2, 3, 4, 5]),
                Action::WinkLeft => among(&[10, 11]),
                Action::WinkRight => among(&[1, 2]),
                Action::Blink => among(&[1, 2, 10, 11]),
                Action::Centre => among(&[0, 3, 6, 9]),
                Action::Smile => among(&[3, 4, 5, 6, 7, 8, 9]),
                Action::MouthOpen => among(if beat.is_multiple_of(2) { &[6] } else { &[4, 5, 6, 7, 8] }),
                Action::BrowRaise => among(&[10, 11, 0, 1, 2]),
                Action::Tongue => among(&[5, 6, 7]),
                Action::Nod => among(if beat.is_multiple_of(2) { &[11, 0, 1] } else { &[5, 6, 7] }),
            },
        }
    }
}

/// The colours of a ring of `leds`, `elapsed` after the screen came.
#[must_use]
pub fn ring(screen: &Screen, elapsed: Duration, leds: u16) -> Vec<[u8; 3]> {
    if let Some(light) = screen.light {
        return vec![light.map(linear); usize::from(leds)];
    }
    let sign = Sign::of(screen);
    let beat = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX) / BEAT_MS;
    let leds = u64::from(leds);
    (0..leds)
        .map(|led| {
            // The nearest hour of the clock.
            let twelfth = ((led * 24 + leds) / (2 * leds)) % 12;
            if sign.lit(twelfth, beat) { sign.colour() } else { [0; 3] }
        })
        .collect()
}

/// The share of time in which an LED is lit that looks like a byte of sRGB: a display's brightness rises with its power,
/// an LED's does not.
fn linear(srgb: u8) -> u8 {
    let v = f64::from(srgb) / 255.0;
    let light = if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) };
    // A cast from a number between 0 and 255.
    (light * 255.0).round() as u8
}

/// The colours of a clock in the order of the wire, when its LED `top` is at twelve.
#[must_use]
pub fn wired(clock: &[[u8; 3]], top: u16, clockwise: bool) -> Vec<[u8; 3]> {
    let leds = clock.len();
    let top = usize::from(top) % leds.max(1);
    let at = |led: usize| if clockwise { led + leds - top } else { top + leds - led } % leds;
    (0..leds).map(|led| clock[at(led)]).collect()
}

/// When `of` next says something else than at `elapsed`. All patterns repeat within so many beats.
#[must_use]
pub fn next<T: PartialEq>(elapsed: Duration, of: impl Fn(Duration) -> T) -> Redraw {
    const BEATS: u64 = 24;
    let beat = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX) / BEAT_MS;
    let now = of(elapsed);
    let mut beats = (1..=BEATS).map(|n| Duration::from_millis(beat.saturating_add(n).saturating_mul(BEAT_MS)));
    beats.find(|at| of(*at) != now).map_or(Redraw::Never, |at| Redraw::After(at.saturating_sub(elapsed)))
}

/// Bits a second on the data line of an SPI bus at which [`ws2812`] holds.
pub const WS2812_SPI_HZ: u32 = 2_400_000;

/// What an SPI bus must send at [`WS2812_SPI_HZ`] so that a chain of WS2812 shows `colours`: three bits for each of theirs
/// (long high 110, short high 100), green first, and low for more than 300 µs before and after.
#[must_use]
pub fn ws2812(colours: &[[u8; 3]]) -> Vec<u8> {
    const LATCH: usize = 100;
    let mut out = vec![0; LATCH];
    for [red, green, blue] in colours {
        for byte in [green, red, blue] {
            let bits = (0..8).rev().fold(0_u32, |all, bit| all << 3 | if byte >> bit & 1 == 1 { 0b110 } else { 0b100 });
            out.extend_from_slice(&bits.to_be_bytes()[1..]);
        }
    }
    out.extend_from_slice(&[0; LATCH]);
    out
}

/// Four plain LEDs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Lamps {
    /// At the person's left.
    pub left: bool,
    /// At the person's right.
    pub right: bool,
    /// Under a tick.
    pub yes: bool,
    /// Under a cross.
    pub no: bool,
}

/// Which of four plain LEDs are on, `elapsed` after the screen came. Which one and in which rhythm tells all; which colours
/// they have is the builder's choice.
#[must_use]
pub fn lamps(screen: &Screen, elapsed: Duration) -> Lamps {
    let off = Lamps::default();
    // On for so many beats, off for so many; (1, 0) is always.
    let beat = elapsed.as_millis() / u128::from(BEAT_MS);
    let on = |lit: u128, dark: u128| beat % (lit + dark).max(1) < lit;
    let both = |on: bool| Lamps { left: on, right: on, ..off };
    match Sign::of(screen) {
        Sign::Idle => off,
        Sign::Looking => both(true),
        Sign::Wait => both(on(1, 3)),
        Sign::Light => both(on(5, 1)),
        Sign::Unavailable => Lamps { no: on(1, 7), ..off },
        Sign::Verdict(Verdict::Granted) => Lamps { yes: true, ..off },
        Sign::Verdict(Verdict::Denied) => Lamps { no: true, ..off },
        Sign::Verdict(Verdict::TryAgain) => Lamps { no: on(1, 1), ..off },
        Sign::Ask(action) => match super::texts::side(action) {
            Some(Side::Left) => Lamps { left: matches!(action, Action::TurnLeft) || on(1, 1), ..off },
            Some(Side::Right) => Lamps { right: matches!(action, Action::TurnRight) || on(1, 1), ..off },
            None => match action {
                Action::Nod => both(on(1, 1)),
                Action::Blink => both(on(2, 1)),
                Action::MouthOpen => both(on(2, 2)),
                Action::Smile => both(on(3, 1)),
                Action::BrowRaise => both(on(1, 2)),
                Action::Tongue => both(on(3, 3)),
                Action::Centre | Action::TurnLeft | Action::TurnRight | Action::WinkLeft | Action::WinkRight => {
                    Lamps { left: on(1, 1), right: !on(1, 1), ..off }
                }
            },
        },
    }
}

/// Milliseconds of sound, silence, sound, ... once, as the screen comes; nothing for a screen that asks nothing.
#[must_use]
pub const fn beeps(screen: &Screen) -> &'static [u64] {
    match Sign::of(screen) {
        Sign::Idle | Sign::Looking | Sign::Wait | Sign::Light | Sign::Unavailable => &[],
        Sign::Verdict(Verdict::Granted) => &[600],
        Sign::Verdict(Verdict::Denied) => &[170, 170, 170, 170, 170],
        Sign::Verdict(Verdict::TryAgain) => &[170, 170, 400],
        // The sides sound differently: who does not see the arrow well hears it.
        Sign::Ask(Action::TurnLeft | Action::WinkLeft) => &[200],
        Sign::Ask(Action::TurnRight | Action::WinkRight) => &[200, 200, 200],
        Sign::Ask(_) => &[350],
    }
}

/// Whether `beeps` sound `elapsed` after they began, and how long it stays so; for ever at the end.
#[must_use]
pub fn sound(beeps: &[u64], elapsed: Duration) -> (bool, Option<Duration>) {
    let mut end = Duration::ZERO;
    for (i, ms) in beeps.iter().enumerate() {
        end += Duration::from_millis(*ms);
        if elapsed < end {
            return (i % 2 == 0, Some(end - elapsed));
        }
    }
    (false, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::fmt::Debug;
    use std::hash::Hash;

    fn signs() -> Vec<Screen> {
        let phases = [Phase::Idle, Phase::Looking, Phase::Challenge, Phase::Light, Phase::Unavailable];
        let verdicts = [Verdict::Granted, Verdict::Denied, Verdict::TryAgain];
        phases
            .map(|phase| Screen { phase, ..Screen::IDLE })
            .into_iter()
            .chain(Action::ALL.map(|a| Screen { phase: Phase::Challenge, action: Some(a), ..Screen::IDLE }))
            .chain(verdicts.map(|v| Screen { phase: Phase::Done, verdict: Some(v), ..Screen::IDLE }))
            .collect()
    }

    /// Each light, on or off, every 10 ms for 20 seconds.
    fn course<T>(of: impl Fn(Duration) -> T) -> Vec<T> {
        (0..2000).map(|i| of(Duration::from_millis(i * 10))).collect()
    }

    fn calm(lights: &[Vec<bool>], what: &dyn Debug) {
        for led in 0..lights[0].len() {
            let ups: Vec<usize> = (1..lights.len()).filter(|i| lights[*i][led] && !lights[i - 1][led]).collect();
            for pair in ups.windows(2) {
                assert!((pair[1] - pair[0]) * 10 >= 334, "{what:?}: LED {led} flashes above 3 Hz");
            }
            let changes: Vec<usize> = (1..lights.len()).filter(|i| lights[*i][led] != lights[i - 1][led]).collect();
            assert!(changes.windows(2).all(|p| (p[1] - p[0]) * 10 >= SLOWEST_HALF.as_millis() as usize), "{what:?}");
        }
    }

    fn unlike<T: Hash + Eq>(seen: &mut HashMap<T, Sign>, pattern: T, screen: &Screen) {
        let sign = Sign::of(screen);
        if let Some(other) = seen.insert(pattern, sign) {
            panic!("{sign:?} and {other:?} look alike without colour");
        }
    }

    #[test]
    fn no_ring_flashes_and_no_two_patterns_differ_by_colour_alone() {
        for leds in [8, 12, 16, 24, 60] {
            let mut seen = HashMap::new();
            for screen in signs() {
                let lights = course(|t| ring(&screen, t, leds).iter().map(|c| *c != [0; 3]).collect::<Vec<_>>());
                calm(&lights, &screen);
                assert!(lights.iter().any(|l| l.contains(&true)), "{screen:?}");
                if leds >= 12 {
                    unlike(&mut seen, lights, &screen);
                }
            }
        }
        assert!(ring(&Screen::IDLE, Duration::MAX, 0).is_empty());
    }

    #[test]
    fn no_lamp_flashes_and_no_two_rhythms_are_alike() {
        let mut seen = HashMap::new();
        for screen in signs() {
            let all = course(|t| lamps(&screen, t));
            let lights: Vec<Vec<bool>> = all.iter().map(|l| vec![l.left, l.right, l.yes, l.no]).collect();
            calm(&lights, &screen);
            unlike(&mut seen, all, &screen);
        }
    }

    #[test]
    fn left_is_left_on_the_ring_and_on_the_lamps() {
        let ask = |a| Screen { phase: Phase::Challenge, action: Some(a), ..Screen::IDLE };
        for (left, right) in [(Action::TurnLeft, Action::TurnRight), (Action::WinkLeft, Action::WinkRight)] {
            let lit = |a| ring(&ask(a), Duration::ZERO, 12).iter().map(|c| *c != [0; 3]).collect::<Vec<_>>();
            assert!(lit(left)[7..].contains(&true) && !lit(left)[..7].contains(&true));
            assert!(lit(right)[1..6].contains(&true) && !lit(right)[6..].contains(&true));
            let at = |a| lamps(&ask(a), Duration::ZERO);
            assert!(at(left).left && !at(left).right && at(right).right && !at(right).left);
            assert_ne!(beeps(&ask(left)), beeps(&ask(right)));
        }
    }

    #[test]
    fn a_buzzer_says_yes_no_and_again_differently_and_never_above_3_hz() {
        let mut verdicts = HashMap::new();
        for screen in signs() {
            let beeps = beeps(&screen);
            assert!(beeps.windows(2).all(|p| p[0] + p[1] >= 334), "{screen:?}");
            if screen.verdict.is_some() {
                unlike(&mut verdicts, beeps, &screen);
            }
        }
    }

    #[test]
    fn what_is_drawn_next_is_the_next_thing_that_differs() {
        for screen in signs() {
            for ms in (0..6000).step_by(50) {
                let at = Duration::from_millis(ms);
                let (now, later) = (lamps(&screen, at), next(at, |t| lamps(&screen, t)));
                let wait = match later {
                    Redraw::After(wait) => wait,
                    _ => Duration::from_secs(20),
                };
                let steps = u64::try_from(wait.as_millis()).expect("small") / 50;
                let before = (0..steps).all(|i| lamps(&screen, at + Duration::from_millis(i * 50)) == now);
                assert!(before, "{screen:?} at {ms}: changes before {wait:?}");
                assert!(later == Redraw::Never || lamps(&screen, at + wait) != now, "{screen:?} at {ms}");
            }
        }
    }

    #[test]
    fn a_handshake_is_the_same_light_from_every_led() {
        let light = Screen { phase: Phase::Light, light: Some([255, 128, 0]), ..Screen::IDLE };
        assert_eq!(ring(&light, Duration::from_secs(1), 8), vec![[255, 55, 0]; 8]);
        assert_eq!([0, 1, 10, 188, 255].map(linear), [0, 0, 1, 128, 255]);
    }

    #[test]
    fn a_colour_is_sent_green_first_with_three_bits_for_one() {
        let bytes = ws2812(&[[0x00, 0xff, 0x01]]);
        assert_eq!(bytes.len(), 209);
        assert!(bytes[..100].iter().chain(&bytes[109..]).all(|b| *b == 0));
        assert_eq!(bytes[100..103], [0b1101_1011, 0b0110_1101, 0b1011_0110], "green, all ones");
        assert_eq!(bytes[103..106], [0b1001_0010, 0b0100_1001, 0b0010_0100], "red, all zeros");
        assert_eq!(bytes[106..109], [0b1001_0010, 0b0100_1001, 0b0010_0110], "blue, one");
        // A latch is 280 µs and more.
        assert!(100 * 8 * 1_000_000 / u64::from(WS2812_SPI_HZ) > 300);
    }
}
