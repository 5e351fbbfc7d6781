//! Plain LEDs and a buzzer on lines of the kernel's GPIO character device.

use super::lights::{self, Sign};
use super::panel::draw::Redraw;
use super::threaded::Display;
use crate::config::sections::{ActiveLevel, BuzzerConfig, GpioLine, LampsConfig};
use crate::domain::screen::Screen;
use crate::ports::{PortError, Recovery};
use gpiocdev::line::Value;
use gpiocdev::{Chip, Request};
use std::path::PathBuf;
use std::time::Duration;

/// What the lines' owner is called in the kernel's list of lines.
const CONSUMER: &str = "cardea-prompt";
const HINT: &str = "check its key, that this user may open the chip (group gpio), and that nothing else uses the line \
                    (gpioinfo)";

/// An output line. `active` is its meaning, not its level.
pub trait Level: Send {
    /// Drives the line.
    ///
    /// # Errors
    /// The kernel's own words.
    fn set(&mut self, active: bool) -> Result<(), String>;
}

/// A line that is owned.
#[derive(Debug)]
pub struct Pin(Request);

impl Pin {
    /// Takes the line; it begins with `value`.
    ///
    /// # Errors
    /// There is no such line, more than one, or it has another owner.
    pub fn take(line: &GpioLine, active: ActiveLevel, value: bool) -> Result<Pin, PortError> {
        let failed = |cause: String| PortError::new(format!("take the line {line}"), cause, HINT, Recovery::Reopen);
        let (chip, offset) = only(line, &chips().map_err(failed)?).map_err(failed)?;
        let mut builder = Request::builder();
        let value = if value { Value::Active } else { Value::Inactive };
        builder.on_chip(&chip).with_consumer(CONSUMER).with_line(offset).as_output(value);
        if active == ActiveLevel::Low {
            builder.as_active_low();
        }
        builder.request().map(Pin).map_err(|e| failed(e.to_string()))
    }
}

impl Level for Pin {
    fn set(&mut self, active: bool) -> Result<(), String> {
        let value = if active { Value::Active } else { Value::Inactive };
        self.0.set_lone_value(value).map(|_| ()).map_err(|e| e.to_string())
    }
}

/// A chip and the names of its lines.
#[derive(Clone, Debug)]
struct Lines {
    path: PathBuf,
    label: String,
    names: Vec<String>,
}

/// Every chip that can be opened; where none can, why.
fn chips() -> Result<Vec<Lines>, String> {
    let paths = gpiocdev::chip::chips().map_err(|e| format!("/dev: {e}"))?;
    let mut refused = Vec::new();
    let mut chips = Vec::new();
    for path in paths {
        let opened = Chip::from_path(&path).and_then(|chip| {
            let label = chip.info()?.label;
            let names = chip.line_info_iter()?.map(|l| l.map(|l| l.name)).collect::<Result<_, _>>()?;
            Ok(Lines { path: path.clone(), label, names })
        });
        match opened {
            Ok(lines) => chips.push(lines),
            Err(e) => refused.push(format!("{}: {e}", path.display())),
        }
    }
    match (chips.is_empty(), refused.is_empty()) {
        (true, true) => Err("this machine has no GPIO chip".into()),
        (true, false) => Err(refused.join(", ")),
        _ => Ok(chips),
    }
}

/// The one line that is meant, or why there is not one.
fn only(line: &GpioLine, chips: &[Lines]) -> Result<(PathBuf, u32), String> {
    let mut found: Vec<(&Lines, u32)> = Vec::new();
    for chip in chips {
        match line {
            GpioLine::Named(name) => {
                let hits = (0u32..).zip(&chip.names).filter(|(_, n)| *n == name);
                found.extend(hits.map(|(offset, _)| (chip, offset)));
            }
            GpioLine::At { chip: label, offset } => {
                let has = chip.label == *label && (*offset as usize) < chip.names.len();
                found.extend(has.then_some((chip, *offset)));
            }
        }
    }
    match found[..] {
        [(chip, offset)] => Ok((chip.path.clone(), offset)),
        [] => {
            let labels: Vec<String> = chips.iter().map(|c| format!("{} ({} lines)", c.label, c.names.len())).collect();
            Err(format!("no chip has it; chips here: {}", labels.join(", ")))
        }
        _ => {
            let labels: Vec<&str> = found.iter().map(|(chip, _)| chip.label.as_str()).collect();
            Err(format!("several chips have it: {}; write label:offset", labels.join(", ")))
        }
    }
}

/// Takes the lines of the lamps, dark.
///
/// # Errors
/// One of them cannot be had.
pub fn lamps(config: &LampsConfig) -> Result<Lamps<Pin>, PortError> {
    let mut pins = [None, None, None, None];
    for (pin, line) in pins.iter_mut().zip(&config.lines) {
        *pin = line.as_ref().map(|line| Pin::take(line, config.active, false)).transpose()?;
    }
    Ok(Lamps(pins))
}

/// Takes the line of the buzzer, silent.
///
/// # Errors
/// It cannot be had.
pub fn buzzer(config: &BuzzerConfig) -> Result<Buzzer<Pin>, PortError> {
    Ok(Buzzer::new(Pin::take(&config.line, config.active, false)?))
}

fn failed(what: &str, cause: String) -> PortError {
    PortError::new(format!("set {what}"), cause, HINT, Recovery::Reopen)
}

/// Up to four lamps: left, right, yes, no.
#[derive(Debug)]
pub struct Lamps<L: Level>([Option<L>; 4]);

impl<L: Level> Lamps<L> {
    /// Every lamp is tried, even when one before it failed.
    fn light(&mut self, on: [bool; 4]) -> Result<(), String> {
        let set = self.0.iter_mut().zip(on).filter_map(|(line, on)| line.as_mut().map(|line| line.set(on)));
        set.fold(Ok(()), Result::and)
    }
}

impl<L: Level> Display for Lamps<L> {
    fn show(&mut self, screen: &Screen, elapsed: Duration) -> Result<Redraw, PortError> {
        let now = lights::lamps(screen, elapsed);
        self.light([now.left, now.right, now.yes, now.no]).map_err(|e| failed("the lamps", e))?;
        Ok(lights::next(elapsed, |at| lights::lamps(screen, at)))
    }
}

impl<L: Level> Drop for Lamps<L> {
    /// A line that is let go keeps its level on some boards.
    fn drop(&mut self) {
        let _gone = self.light([false; 4]);
    }
}

/// A buzzer, which speaks once for each thing that is asked or told.
#[derive(Debug)]
pub struct Buzzer<L: Level> {
    line: L,
    /// What it last spoke about, and how far into it.
    last: Option<(Sign, u8, u8, Duration)>,
    said: bool,
}

impl<L: Level> Buzzer<L> {
    const fn new(line: L) -> Self {
        Buzzer { line, last: None, said: false }
    }
}

impl<L: Level> Display for Buzzer<L> {
    fn show(&mut self, screen: &Screen, elapsed: Duration) -> Result<Redraw, PortError> {
        let (sign, step, left) = (Sign::of(screen), screen.progress.0, screen.left);
        match self.last {
            // The same again with another advice: it was said already.
            Some((s, p, l, at)) if (s, p, l) == (sign, step, left) => self.said |= elapsed < at,
            _ => self.said = false,
        }
        self.last = Some((sign, step, left, elapsed));
        let (on, next) = if self.said { (false, None) } else { lights::sound(lights::beeps(screen), elapsed) };
        self.line.set(on).map_err(|e| failed("the buzzer", e))?;
        Ok(next.map_or(Redraw::Never, Redraw::After))
    }
}

impl<L: Level> Drop for Buzzer<L> {
    /// A buzzer that sounds for ever is worse than one that is silent.
    fn drop(&mut self) {
        let _gone = self.line.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::screen::{Advice, Phase};
    use crate::schema::event::{Action, Verdict};
    use std::sync::{Arc, Mutex};

    /// Writes down every level that it was given; fails while `dead`.
    #[derive(Clone, Default)]
    struct Recorder {
        levels: Arc<Mutex<Vec<bool>>>,
        dead: Arc<Mutex<bool>>,
    }

    impl Recorder {
        fn take(&self) -> Vec<bool> {
            std::mem::take(&mut *self.levels.lock().expect("nobody panicked"))
        }
    }

    impl Level for Recorder {
        fn set(&mut self, active: bool) -> Result<(), String> {
            if *self.dead.lock().expect("nobody panicked") {
                return Err("No such device".into());
            }
            self.levels.lock().expect("nobody panicked").push(active);
            Ok(())
        }
    }

    fn ask(action: Action) -> Screen {
        Screen { phase: Phase::Challenge, action: Some(action), progress: (0, 3), left: 1, ..Screen::IDLE }
    }

    /// Shows a screen as its thread would, for `length`: every level with the milliseconds at which it was set.
    fn play<D: Display>(display: &mut D, wire: &Recorder, screen: &Screen, length: u64) -> Vec<(u64, bool)> {
        let mut out = Vec::new();
        let mut at = 0;
        while at < length {
            let redraw = display.show(screen, Duration::from_millis(at)).expect("it is there");
            out.extend(wire.take().into_iter().map(|level| (at, level)));
            match redraw {
                Redraw::After(wait) => at += u64::try_from(wait.as_millis()).expect("small"),
                _ => break,
            }
        }
        out
    }

    fn buzz() -> (Buzzer<Recorder>, Recorder) {
        let wire = Recorder::default();
        (Buzzer::new(wire.clone()), wire)
    }

    #[test]
    fn a_buzzer_sounds_in_the_rhythm_of_what_is_told_and_then_is_silent() {
        let (mut buzzer, wire) = buzz();
        let right = play(&mut buzzer, &wire, &ask(Action::TurnRight), 5000);
        assert_eq!(right, [(0, true), (200, false), (400, true), (600, false)]);
        let granted = Screen { phase: Phase::Done, verdict: Some(Verdict::Granted), ..Screen::IDLE };
        assert_eq!(play(&mut buzzer, &wire, &granted, 5000), [(0, true), (600, false)]);
        assert_eq!(play(&mut buzzer, &wire, &Screen::IDLE, 5000), [(0, false)]);
    }

    #[test]
    fn advice_that_comes_and_goes_does_not_beep_again_but_the_next_step_does() {
        let (mut buzzer, wire) = buzz();
        let nod = ask(Action::Nod);
        assert_eq!(play(&mut buzzer, &wire, &nod, 5000), [(0, true), (350, false)]);
        let advised = Screen { advice: Some(Advice::HoldStill), ..nod };
        assert_eq!(play(&mut buzzer, &wire, &advised, 5000), [(0, false)]);
        assert_eq!(play(&mut buzzer, &wire, &nod, 5000), [(0, false)]);
        let again = Screen { progress: (2, 3), ..nod };
        assert_eq!(play(&mut buzzer, &wire, &again, 5000), [(0, true), (350, false)]);
    }

    fn four() -> (Lamps<Recorder>, [Recorder; 4]) {
        let wires: [Recorder; 4] = std::array::from_fn(|_| Recorder::default());
        (Lamps(wires.clone().map(Some)), wires)
    }

    #[test]
    fn each_lamp_follows_its_rhythm_and_only_the_wired_ones_are_driven() {
        let (mut lamps, [left, right, yes, no]) = four();
        assert_eq!(play(&mut lamps, &left, &ask(Action::TurnLeft), 3000), [(0, true)]);
        assert_eq!([right.take(), yes.take(), no.take()], [[false], [false], [false]]);
        let course = play(&mut lamps, &right, &ask(Action::WinkRight), 1600);
        assert_eq!(course, [(0, true), (400, false), (800, true), (1200, false)]);
        let denied = Screen { phase: Phase::Done, verdict: Some(Verdict::Denied), ..Screen::IDLE };
        let mut two = Lamps([None, None, Some(yes.clone()), Some(no.clone())]);
        for wire in [&yes, &no] {
            wire.take();
        }
        two.show(&denied, Duration::ZERO).expect("they are there");
        assert_eq!((yes.take(), no.take()), (vec![false], vec![true]));
    }

    #[test]
    fn a_lamp_that_fails_is_an_error_and_the_others_are_still_set() {
        let (mut lamps, wires) = four();
        *wires[0].dead.lock().expect("nobody panicked") = true;
        let granted = Screen { phase: Phase::Done, verdict: Some(Verdict::Granted), ..Screen::IDLE };
        let e = lamps.show(&granted, Duration::ZERO).expect_err("one is dead");
        assert!(e.to_string().contains("set the lamps: No such device") && e.recovery == Recovery::Reopen, "{e}");
        assert_eq!(wires[2].take(), [true]);
    }

    #[test]
    fn whatever_ends_leaves_its_lines_inactive() {
        let (lamps, wires) = four();
        drop(lamps);
        assert!(wires.iter().all(|w| w.take() == [false]));
        let (mut buzzer, wire) = buzz();
        buzzer.show(&ask(Action::Nod), Duration::ZERO).expect("it is there");
        drop(buzzer);
        assert_eq!(wire.take(), [true, false]);
    }

    #[test]
    fn a_line_is_found_by_its_name_or_by_its_chip_and_never_guessed() {
        let chip = |path: &str, label: &str, names: &[&str]| Lines {
            path: path.into(),
            label: label.into(),
            names: names.iter().map(|n| (*n).to_owned()).collect(),
        };
        let chips = [chip("/dev/a", "rp1", &["x", "GPIO5", "twin"]), chip("/dev/b", "exp", &["twin", ""])];
        let find = |text: &str| only(&GpioLine::parse(text).expect("a line"), &chips);
        assert_eq!(find("GPIO5"), Ok(("/dev/a".into(), 1)));
        assert_eq!(find("exp:1"), Ok(("/dev/b".into(), 1)));
        for (text, told) in [
            ("twin", "several chips have it: rp1, exp; write label:offset"),
            ("GPIO6", "no chip has it; chips here: rp1 (3 lines), exp (2 lines)"),
            ("exp:2", "no chip has it"),
            ("rp:1", "no chip has it"),
        ] {
            let e = find(text).expect_err("none");
            assert!(e.contains(told), "{text}: {e}");
        }
    }
}
