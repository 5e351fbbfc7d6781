//! The door behind the lock: what contact, exit button, tamper switch and key switch say, and what follows.
//!
//! * *entry*: a time in which an opening of the door is put down to a grant or to the exit button. It begins with either
//!   and ends with the first opening, so that one grant explains one opening.
//! * *forced*: an opening that nothing explains.
//! * *held*: a door that stays open longer than it should; a warning comes first.
//! * *hold-open*: a key switch keeps the lock released. Nothing is forced or held meanwhile.
//!
//! Without a contact there is nothing to be told of the door, and a grant has no outcome.

use crate::base::time::Tick;
use crate::schema::event::{Event, OpenedBy};
use crate::schema::ids::VisitId;
use std::time::Duration;

/// Something wired to the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sensor {
    /// Active while the door is open.
    Contact,
    /// Active while the exit button is pressed.
    Exit,
    /// Active while the housing is open.
    Tamper,
    /// Active while the key switch asks for a door that stays unlocked.
    HoldOpen,
}

impl Sensor {
    /// All of them.
    pub const ALL: [Sensor; 4] = [Sensor::Contact, Sensor::Exit, Sensor::Tamper, Sensor::HoldOpen];

    /// As the configuration names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Sensor::Contact => "contact",
            Sensor::Exit => "exit",
            Sensor::Tamper => "tamper",
            Sensor::HoldOpen => "hold_open",
        }
    }

    /// The configuration's key of its line.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Sensor::Contact => "door.inputs.contact",
            Sensor::Exit => "door.inputs.exit",
            Sensor::Tamper => "door.inputs.tamper",
            Sensor::HoldOpen => "door.inputs.hold_open",
        }
    }
}

/// How long things may take at this door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoorRules {
    /// There is a contact.
    pub contact: bool,
    /// How long an entry lasts, from the grant.
    pub entry: Duration,
    /// Open for so long: a warning.
    pub warning: Duration,
    /// Open for so long: held.
    pub held: Duration,
    /// The lock is thrown as soon as the door is open.
    pub relock: bool,
    /// The exit button opens the lock.
    pub exit_opens: bool,
}

/// What the door is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoorInput {
    /// The level of a sensor when it is first read, at the start or after it was lost.
    Initial { sensor: Sensor, active: bool },
    /// A level changed.
    Changed { sensor: Sensor, active: bool },
    /// The lock was released for a visit.
    Granted { visit: VisitId },
    /// The lock was released by a command from afar.
    Commanded,
    /// Something else than the key switch, a command for example, wants the door to stay unlocked, or no longer.
    HoldOpen { active: bool },
    /// The sensors cannot be read any more.
    Lost,
    /// `next_deadline` may have come.
    Time,
}

/// What the caller must do, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum DoorEffect {
    Record(Event),
    /// End the pulse: the door is open.
    Relock,
    /// Release the lock for the exit button.
    Release,
    /// The contact's level; `true` is open.
    Open(bool),
    /// The tamper switch's level.
    Tamper(bool),
    /// Somebody should close the door (`true`), or did.
    Remind(bool),
}

/// What an opening may be put down to.
#[derive(Clone, Copy, Debug)]
struct Entry {
    by: OpenedBy,
    visit: Option<VisitId>,
    until: Tick,
}

/// One door.
#[derive(Clone, Debug)]
pub struct Door {
    rules: DoorRules,
    open_since: Option<Tick>,
    grant: Option<Entry>,
    exit: Option<Entry>,
    tamper: bool,
    /// The key switch asks for an unlocked door.
    hold_open: bool,
    /// Something else does.
    held_open: bool,
    /// Warning and alarm of this opening that were given.
    warned: bool,
    alarmed: bool,
    lost: bool,
}

impl Door {
    /// A door of which nothing is known yet.
    #[must_use]
    pub fn new(rules: DoorRules) -> Self {
        Door {
            rules,
            open_since: None,
            grant: None,
            exit: None,
            tamper: false,
            hold_open: false,
            held_open: false,
            warned: false,
            alarmed: false,
            lost: false,
        }
    }

    /// Whether the housing is open.
    #[must_use]
    pub fn tampered(&self) -> bool {
        self.tamper
    }

    /// Whether the sensors cannot be read.
    #[must_use]
    pub fn lost(&self) -> bool {
        self.lost
    }

    /// Whether key switch or command ask for an unlocked door; never while the sensors are lost or the housing is open.
    #[must_use]
    pub fn wants_hold_open(&self) -> bool {
        (self.hold_open || self.held_open) && !self.lost && !self.tamper
    }

    /// When [`DoorInput::Time`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        let since = self.open_since.filter(|_| !self.wants_hold_open());
        let warning = since.filter(|_| !self.warned).map(|t| t + self.rules.warning);
        let held = since.filter(|_| !self.alarmed).map(|t| t + self.rules.held);
        let entries = [self.grant, self.exit].into_iter().flatten().map(|e| e.until);
        entries.chain(warning).chain(held).min()
    }

    /// Takes one input. Ticks must not go backwards.
    #[must_use]
    pub fn handle(&mut self, now: Tick, input: DoorInput) -> Vec<DoorEffect> {
        let mut out = Vec::new();
        // What ran out before this came ran out first.
        self.due(now, &mut out);
        match input {
            DoorInput::Time => {}
            DoorInput::Granted { visit } => {
                if self.rules.contact && !self.lost {
                    self.unused(&mut out);
                    self.grant = Some(Entry { by: OpenedBy::Grant, visit: Some(visit), until: now + self.rules.entry });
                }
            }
            DoorInput::Commanded => {
                if self.rules.contact && !self.lost {
                    self.exit = Some(Entry { by: OpenedBy::Command, visit: None, until: now + self.rules.entry });
                }
            }
            DoorInput::HoldOpen { active } => self.hold(now, self.hold_open, active, &mut out),
            DoorInput::Lost => {
                if !self.lost {
                    self.forget();
                    self.lost = true;
                }
            }
            DoorInput::Initial { sensor, active } => {
                self.lost = false;
                match sensor {
                    Sensor::Contact => {
                        out.push(DoorEffect::Open(active));
                        self.forget_opening();
                        if active {
                            self.open_since = Some(now);
                            out.push(DoorEffect::Record(Event::DoorOpened { by: OpenedBy::Start, visit: None }));
                        }
                    }
                    Sensor::Tamper => self.tamper(active, false, &mut out),
                    Sensor::HoldOpen => self.hold_open = active,
                    Sensor::Exit => {}
                }
            }
            DoorInput::Changed { sensor, active } => match sensor {
                Sensor::Contact if active => self.opened(now, &mut out),
                Sensor::Contact => self.closed(now, &mut out),
                Sensor::Exit => {
                    if active {
                        self.exit_pressed(now, &mut out);
                    }
                }
                Sensor::Tamper => self.tamper(active, true, &mut out),
                Sensor::HoldOpen => self.hold(now, active, self.held_open, &mut out),
            },
        }
        // What excused an open door may just have ended.
        self.due(now, &mut out);
        out
    }

    fn opened(&mut self, now: Tick, out: &mut Vec<DoorEffect>) {
        if self.open_since.is_some() {
            return;
        }
        self.open_since = Some(now);
        out.push(DoorEffect::Open(true));
        if self.wants_hold_open() {
            out.push(DoorEffect::Record(Event::DoorOpened { by: OpenedBy::HoldOpen, visit: None }));
            return;
        }
        let entry = self.grant.take().or_else(|| self.exit.take());
        if self.rules.relock {
            // Before the records: the bolt has a tenth of a second.
            out.push(DoorEffect::Relock);
        }
        let (by, visit) = entry.map_or((OpenedBy::Unknown, None), |e| (e.by, e.visit));
        out.push(DoorEffect::Record(Event::DoorOpened { by, visit }));
        if entry.is_none() {
            out.push(DoorEffect::Record(Event::DoorForced {}));
        }
    }

    fn closed(&mut self, now: Tick, out: &mut Vec<DoorEffect>) {
        let Some(since) = self.open_since else { return };
        out.push(DoorEffect::Open(false));
        if self.warned {
            out.push(DoorEffect::Remind(false));
        }
        self.forget_opening();
        out.push(DoorEffect::Record(Event::DoorClosed { open_ms: millis(now.since(since)) }));
    }

    fn exit_pressed(&mut self, now: Tick, out: &mut Vec<DoorEffect>) {
        self.exit =
            self.rules.contact.then_some(Entry { by: OpenedBy::Exit, visit: None, until: now + self.rules.entry });
        out.push(DoorEffect::Record(Event::DoorExitRequested {}));
        if self.rules.exit_opens {
            out.push(DoorEffect::Release);
        }
    }

    fn tamper(&mut self, active: bool, changed: bool, out: &mut Vec<DoorEffect>) {
        out.push(DoorEffect::Tamper(active));
        if active || (changed && self.tamper) {
            out.push(DoorEffect::Record(Event::AlarmTamper { active }));
        }
        self.tamper = active;
    }

    /// When nothing holds the door open any more, the time in which it may stand open begins anew.
    fn hold(&mut self, now: Tick, key: bool, other: bool, out: &mut Vec<DoorEffect>) {
        let (before, after) = (self.hold_open || self.held_open, key || other);
        (self.hold_open, self.held_open) = (key, other);
        if before == after {
            return;
        }
        out.push(DoorEffect::Record(Event::DoorHoldOpen { active: after }));
        if self.open_since.is_some() {
            if self.warned {
                out.push(DoorEffect::Remind(false));
            }
            self.forget_opening();
            self.open_since = Some(now);
        }
    }

    fn due(&mut self, now: Tick, out: &mut Vec<DoorEffect>) {
        if self.grant.is_some_and(|e| now >= e.until) {
            self.unused(out);
        }
        if self.exit.is_some_and(|e| now >= e.until) {
            self.exit = None;
        }
        let Some(since) = self.open_since.filter(|_| !self.wants_hold_open()) else { return };
        let open_ms = millis(now.since(since));
        if !self.warned && now >= since + self.rules.warning {
            self.warned = true;
            out.push(DoorEffect::Remind(true));
            out.push(DoorEffect::Record(Event::DoorHeld { open_ms, warning: true }));
        }
        if !self.alarmed && now >= since + self.rules.held {
            self.alarmed = true;
            out.push(DoorEffect::Record(Event::DoorHeld { open_ms, warning: false }));
        }
    }

    /// Somebody was let in and did not come.
    fn unused(&mut self, out: &mut Vec<DoorEffect>) {
        if let Some(Entry { visit: Some(visit), .. }) = self.grant.take() {
            out.push(DoorEffect::Record(Event::DoorUnused { visit }));
        }
    }

    fn forget_opening(&mut self) {
        (self.open_since, self.warned, self.alarmed) = (None, false, false);
    }

    fn forget(&mut self) {
        self.forget_opening();
        (self.grant, self.exit) = (None, None);
    }
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rules() -> DoorRules {
        let s = Duration::from_secs;
        DoorRules { contact: true, entry: s(5), warning: s(20), held: s(30), relock: true, exit_opens: false }
    }

    fn at(ms: u64) -> Tick {
        Tick::from_millis(ms)
    }

    fn changed(sensor: Sensor, active: bool) -> DoorInput {
        DoorInput::Changed { sensor, active }
    }

    /// Plays inputs at milliseconds and gives the records, with the time of each.
    fn records(door: &mut Door, inputs: &[(u64, DoorInput)]) -> Vec<(u64, Event)> {
        let mut all = Vec::new();
        for (ms, input) in inputs {
            for effect in door.handle(at(*ms), *input) {
                if let DoorEffect::Record(e) = effect {
                    all.push((*ms, e));
                }
            }
        }
        all
    }

    #[test]
    fn an_opening_after_a_grant_is_the_visitors_and_the_next_one_is_forced() {
        let mut door = Door::new(rules());
        let seen = records(
            &mut door,
            &[
                (0, DoorInput::Granted { visit: VisitId(7) }),
                (1500, changed(Sensor::Contact, true)),
                (4000, changed(Sensor::Contact, false)),
                (4500, changed(Sensor::Contact, true)),
            ],
        );
        let by = OpenedBy::Grant;
        assert_eq!(
            seen,
            [
                (1500, Event::DoorOpened { by, visit: Some(VisitId(7)) }),
                (4000, Event::DoorClosed { open_ms: 2500 }),
                (4500, Event::DoorOpened { by: OpenedBy::Unknown, visit: None }),
                (4500, Event::DoorForced {}),
            ]
        );
    }

    #[test]
    fn a_grant_that_nobody_used_is_told_once() {
        let mut door = Door::new(rules());
        let granted = DoorInput::Granted { visit: VisitId(7) };
        let seen = records(&mut door, &[(0, granted), (4999, DoorInput::Time), (5000, DoorInput::Time)]);
        assert_eq!(seen, [(5000, Event::DoorUnused { visit: VisitId(7) })]);
        assert_eq!(door.next_deadline(), None);
        let late = records(&mut door, &[(5100, changed(Sensor::Contact, true))]);
        assert_eq!(late.last(), Some(&(5100, Event::DoorForced {})), "an entry that is over explains nothing");
        let mut blind = Door::new(DoorRules { contact: false, ..rules() });
        assert_eq!(records(&mut blind, &[(0, granted), (9000, DoorInput::Time)]), [], "nobody saw the door");
    }

    #[test]
    fn the_bolt_is_thrown_before_anything_is_written() {
        let mut door = Door::new(rules());
        let _granted = door.handle(at(0), DoorInput::Granted { visit: VisitId(7) });
        let effects = door.handle(at(900), changed(Sensor::Contact, true));
        assert_eq!(effects[..2], [DoorEffect::Open(true), DoorEffect::Relock]);
        let mut lax = Door::new(DoorRules { relock: false, ..rules() });
        assert!(!lax.handle(at(900), changed(Sensor::Contact, true)).contains(&DoorEffect::Relock));
    }

    #[test]
    fn the_exit_button_explains_an_opening_and_opens_only_where_it_should() {
        let mut door = Door::new(rules());
        let pressed = door.handle(at(0), changed(Sensor::Exit, true));
        assert_eq!(pressed, [DoorEffect::Record(Event::DoorExitRequested {})]);
        assert_eq!(door.handle(at(100), changed(Sensor::Exit, false)), []);
        let seen = records(&mut door, &[(2000, changed(Sensor::Contact, true))]);
        assert_eq!(seen, [(2000, Event::DoorOpened { by: OpenedBy::Exit, visit: None })]);
        let mut opener = Door::new(DoorRules { exit_opens: true, ..rules() });
        assert_eq!(opener.handle(at(0), changed(Sensor::Exit, true)).last(), Some(&DoorEffect::Release));
    }

    #[test]
    fn a_door_that_stays_open_is_a_warning_then_an_alarm_each_once() {
        let mut door = Door::new(rules());
        let _exit = door.handle(at(0), changed(Sensor::Exit, true));
        let _open = door.handle(at(1000), changed(Sensor::Contact, true));
        assert_eq!(door.next_deadline(), Some(at(21_000)));
        let warning = door.handle(at(21_000), DoorInput::Time);
        let held = |open_ms, warning| DoorEffect::Record(Event::DoorHeld { open_ms, warning });
        assert_eq!(warning, [DoorEffect::Remind(true), held(20_000, true)]);
        assert_eq!(door.handle(at(31_000), DoorInput::Time), [held(30_000, false)]);
        assert_eq!((door.handle(at(90_000), DoorInput::Time), door.next_deadline()), (vec![], None));
        let closed = door.handle(at(95_000), changed(Sensor::Contact, false));
        assert_eq!(closed[1], DoorEffect::Remind(false));
        assert_eq!(closed[2], DoorEffect::Record(Event::DoorClosed { open_ms: 94_000 }));
    }

    #[test]
    fn a_key_switch_excuses_openings_until_it_is_turned_back() {
        let mut door = Door::new(rules());
        let seen = records(
            &mut door,
            &[
                (0, changed(Sensor::HoldOpen, true)),
                (1000, changed(Sensor::Contact, true)),
                (60_000, DoorInput::Time),
                (60_000, changed(Sensor::HoldOpen, false)),
                (79_999, DoorInput::Time),
                (80_000, DoorInput::Time),
            ],
        );
        assert_eq!(seen[1], (1000, Event::DoorOpened { by: OpenedBy::HoldOpen, visit: None }));
        assert_eq!(seen[2], (60_000, Event::DoorHoldOpen { active: false }));
        assert_eq!(seen[3], (80_000, Event::DoorHeld { open_ms: 20_000, warning: true }), "{seen:?}");
        assert_eq!(seen.len(), 4);
    }

    #[test]
    fn a_housing_that_is_open_ends_the_hold_and_is_told() {
        let mut door = Door::new(rules());
        let _key = door.handle(at(0), changed(Sensor::HoldOpen, true));
        assert!(door.wants_hold_open());
        let opened = door.handle(at(10), changed(Sensor::Tamper, true));
        assert_eq!(opened, [DoorEffect::Tamper(true), DoorEffect::Record(Event::AlarmTamper { active: true })]);
        assert!(door.tampered() && !door.wants_hold_open());
        let shut = door.handle(at(20), changed(Sensor::Tamper, false));
        assert_eq!(shut[1], DoorEffect::Record(Event::AlarmTamper { active: false }));
        assert!(!door.tampered() && door.wants_hold_open());
    }

    #[test]
    fn what_is_open_at_the_start_is_told_and_not_forced() {
        let mut door = Door::new(rules());
        let first = |sensor, active| DoorInput::Initial { sensor, active };
        let seen = records(&mut door, &[(0, first(Sensor::Contact, true)), (0, first(Sensor::Tamper, false))]);
        assert_eq!(seen, [(0, Event::DoorOpened { by: OpenedBy::Start, visit: None })]);
        let mut door = Door::new(rules());
        assert_eq!(records(&mut door, &[(0, first(Sensor::Contact, false)), (0, first(Sensor::Exit, true))]), []);
    }

    #[test]
    fn lost_sensors_forget_what_was_and_hold_nothing_open() {
        let mut door = Door::new(rules());
        let _key = door.handle(at(0), changed(Sensor::HoldOpen, true));
        let _granted = door.handle(at(0), DoorInput::Granted { visit: VisitId(7) });
        assert_eq!(door.handle(at(10), DoorInput::Lost), []);
        assert!(door.lost() && !door.wants_hold_open());
        assert_eq!(door.next_deadline(), None);
        let _level = door.handle(at(20), DoorInput::Initial { sensor: Sensor::Contact, active: false });
        assert!(!door.lost());
    }

    fn input() -> impl Strategy<Value = DoorInput> {
        let sensor = || proptest::sample::select(Sensor::ALL.to_vec());
        prop_oneof![
            6 => (sensor(), any::<bool>()).prop_map(|(sensor, active)| DoorInput::Changed { sensor, active }),
            1 => (sensor(), any::<bool>()).prop_map(|(sensor, active)| DoorInput::Initial { sensor, active }),
            2 => (1_u64..9).prop_map(|v| DoorInput::Granted { visit: VisitId(v) }),
            1 => Just(DoorInput::Lost),
            3 => Just(DoorInput::Time),
        ]
    }

    proptest! {
        /// One grant explains one opening, deadlines that are obeyed pass, and every grant ends in an opening or unused.
        #[test]
        fn grants_and_openings_are_paired(steps in proptest::collection::vec((0_u64..4000, input()), 1..200)) {
            let mut door = Door::new(rules());
            let mut now = 0;
            let (mut granted, mut answered) = (0, 0);
            for (wait, input) in steps {
                now += wait;
                granted += i32::from(matches!(input, DoorInput::Granted { .. }) && !door.lost());
                let lost = matches!(input, DoorInput::Lost);
                for e in door.handle(at(now), input) {
                    let told = matches!(e, DoorEffect::Record(Event::DoorUnused { .. } | Event::DoorOpened { by: OpenedBy::Grant, .. }));
                    answered += i32::from(told);
                }
                if lost {
                    (granted, answered) = (0, 0);
                }
                prop_assert!(answered <= granted, "{answered} of {granted}");
                prop_assert!(granted - answered <= 1, "{answered} of {granted}");
                prop_assert!(door.next_deadline().is_none_or(|d| d > at(now)));
            }
        }
    }
}
