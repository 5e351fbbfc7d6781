//! The controller's hands at the door: carries out what the door's state machine says, and holds the door open by leases
//! while the key switch asks for it.

use crate::adapters::mqtt::Outbox;
use crate::base::time::Tick;
use crate::config::sections::TamperAction;
use crate::domain::door::{Door, DoorEffect, DoorInput, Sensor};
use crate::ports::{DoorGuard, Edge, InputNews, OpenRefusal};
use crate::schema::event::{EdgeCause, Event, Reason};
use crate::schema::ids::VisitId;
use std::time::Duration;

/// A lease lasts two seconds; it is renewed twice as often.
const RENEW: Duration = Duration::from_secs(1);
/// Pulses for the exit button belong to no visit; visits count from 1.
pub const NO_VISIT: VisitId = VisitId(0);

/// What the doorway may touch.
pub struct Hands<'a> {
    pub guard: &'a mut dyn DoorGuard,
    pub record: &'a dyn Fn(Event),
    pub outbox: Option<&'a Outbox>,
    /// `door.hold_ms`.
    pub hold: Duration,
}

/// The door's state and the lease.
pub struct Doorway {
    door: Door,
    tamper: TamperAction,
    /// A lease is held.
    leased: bool,
    /// When to ask for it or renew it.
    next_lease: Option<Tick>,
    /// A command asks for an unlocked door until then.
    held_until: Option<Tick>,
    /// The rules ask for an unlocked door: office hours.
    office: bool,
    /// A command locked the door within office hours: they are over until the next ones.
    office_over: bool,
    /// Nobody is let in until it is taken back.
    lockdown: bool,
    /// Why the guard would not hold the door open: told once.
    refused: Option<OpenRefusal>,
}

impl Doorway {
    /// Nothing is known of the door yet.
    #[must_use]
    pub fn new(door: Door, tamper: TamperAction) -> Self {
        Doorway {
            door,
            tamper,
            leased: false,
            next_lease: None,
            held_until: None,
            office: false,
            office_over: false,
            lockdown: false,
            refused: None,
        }
    }

    /// Why nobody may be let in.
    #[must_use]
    pub fn closed_for(&self) -> Option<Reason> {
        if self.lockdown || (self.door.tampered() && self.tamper == TamperAction::Lockdown) {
            Some(Reason::Lockdown)
        } else if self.door.lost() {
            Some(Reason::Degraded)
        } else {
            None
        }
    }

    /// When [`Doorway::tick`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        let lease = self.next_lease.filter(|_| self.wants_lease());
        self.door.next_deadline().into_iter().chain(lease).chain(self.held_until).min()
    }

    /// From now on nobody is let in, or as before. Leases end with the next [`Doorway::tick`]; the exit button still opens.
    pub fn set_lockdown(&mut self, on: bool) {
        self.lockdown = on;
    }

    /// The lock was released by a command.
    pub fn commanded(&mut self, now: Tick, hands: &mut Hands<'_>) {
        self.step(now, DoorInput::Commanded, hands);
    }

    /// A command keeps the door unlocked until a time, or no longer. The guard ends the last lease within two seconds.
    pub fn hold(&mut self, now: Tick, until: Option<Tick>, hands: &mut Hands<'_>) {
        self.held_until = until;
        self.next_lease = None;
        self.asked_open(now, hands);
    }

    /// A command locks the door: no hold, and no office hours until the next ones. The key switch stays as it is turned.
    pub fn lock(&mut self, now: Tick, hands: &mut Hands<'_>) {
        self.office_over = self.office;
        self.hold(now, None, hands);
    }

    fn asked_open(&mut self, now: Tick, hands: &mut Hands<'_>) {
        let active = self.held_until.is_some() || (self.office && !self.office_over);
        self.step(now, DoorInput::HoldOpen { active }, hands);
    }

    /// News of an input.
    pub fn news(&mut self, now: Tick, news: &InputNews, hands: &mut Hands<'_>) {
        let input = match *news {
            InputNews::Level { sensor, active } => {
                if self.door.lost() {
                    (hands.record)(Event::SystemInputs { what: "they can be read again".into() });
                }
                DoorInput::Initial { sensor, active }
            }
            InputNews::Changed { sensor, active, .. } => DoorInput::Changed { sensor, active },
        };
        if let InputNews::Changed { sensor: Sensor::HoldOpen, .. } = news {
            self.next_lease = None;
        }
        self.step(now, input, hands);
    }

    /// The inputs cannot be read.
    pub fn lost(&mut self, now: Tick, what: String, hands: &mut Hands<'_>) {
        if !self.door.lost() {
            (hands.record)(Event::AlarmInputs { what });
        }
        self.step(now, DoorInput::Lost, hands);
    }

    /// The lock was released for a visit.
    pub fn granted(&mut self, now: Tick, visit: VisitId, hands: &mut Hands<'_>) {
        self.step(now, DoorInput::Granted { visit }, hands);
    }

    /// Time passes.
    pub fn tick(&mut self, now: Tick, hands: &mut Hands<'_>) {
        if self.door.next_deadline().is_some_and(|d| now >= d) {
            self.step(now, DoorInput::Time, hands);
        }
        if self.held_until.is_some_and(|until| now >= until) {
            self.hold(now, None, hands);
        }
        if !self.wants_lease() {
            if self.leased && self.closed_for().is_some() {
                // Not even for the rest of the lease.
                if let Err(e) = hands.guard.door_opened() {
                    tracing::warn!(error = %e, "the guard did not hear that the door is to be locked");
                }
            }
            // Nobody renews: the guard locks by itself.
            (self.leased, self.next_lease, self.refused) = (false, None, None);
        } else if self.next_lease.is_none_or(|t| now >= t) {
            self.next_lease = Some(now + RENEW);
            self.lease(hands);
        }
    }

    /// What the rules say at this moment of office hours.
    pub fn office_hours(&mut self, now: Tick, open: bool, hands: &mut Hands<'_>) {
        if self.office == open {
            return;
        }
        self.office = open;
        self.office_over = false;
        self.next_lease = None;
        self.asked_open(now, hands);
    }

    /// An edge of the line: a lease that ended must be asked for anew.
    pub fn edge(&mut self, edge: &Edge) {
        if !edge.energised {
            self.leased = false;
        } else if edge.cause == EdgeCause::HoldOpen {
            self.refused = None;
        }
    }

    fn wants_lease(&self) -> bool {
        self.door.wants_hold_open() && self.closed_for().is_none()
    }

    fn lease(&mut self, hands: &mut Hands<'_>) {
        if self.leased {
            self.leased = hands.guard.renew().is_ok();
            return;
        }
        match hands.guard.hold_open() {
            Ok(()) => self.leased = true,
            // A pulse that is running ends first.
            Err(OpenRefusal::Coalesced | OpenRefusal::Rate) => {}
            Err(why) => {
                if self.refused.replace(why) != Some(why) {
                    let what = format!("the door is to stay unlocked, but the guard does not open: {why:?}");
                    (hands.record)(Event::AlarmRelay { what });
                }
            }
        }
    }

    fn step(&mut self, now: Tick, input: DoorInput, hands: &mut Hands<'_>) {
        for effect in self.door.handle(now, input) {
            match effect {
                DoorEffect::Record(event) => (hands.record)(event),
                DoorEffect::Relock => {
                    if let Err(e) = hands.guard.door_opened() {
                        tracing::warn!(error = %e, "the guard did not hear that the door is open");
                    }
                }
                DoorEffect::Release => match hands.guard.open(NO_VISIT, hands.hold) {
                    Ok(()) | Err(OpenRefusal::Coalesced) => {}
                    Err(why) => {
                        let what = format!("the exit button was pressed, but the guard did not open: {why:?}");
                        (hands.record)(Event::AlarmRelay { what });
                    }
                },
                DoorEffect::Open(open) => {
                    if let Some(outbox) = hands.outbox {
                        outbox.door_open(open);
                    }
                }
                DoorEffect::Tamper(active) => {
                    if let Some(outbox) = hands.outbox {
                        outbox.tamper(active);
                    }
                }
                DoorEffect::Remind(open) => tracing::info!(open, "the door has been open for long"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::door::DoorRules;
    use crate::ports::{PortError, Recovery};
    use std::cell::RefCell;

    /// Says what it was asked for, and refuses when told to.
    #[derive(Default)]
    struct Guard {
        asked: Vec<&'static str>,
        refuse: Option<OpenRefusal>,
    }

    impl DoorGuard for Guard {
        fn open(&mut self, visit: VisitId, _: Duration) -> Result<(), OpenRefusal> {
            assert_eq!(visit, NO_VISIT);
            self.asked.push("open");
            self.refuse.map_or(Ok(()), Err)
        }
        fn door_opened(&mut self) -> Result<(), PortError> {
            self.asked.push("door_opened");
            Ok(())
        }
        fn hold_open(&mut self) -> Result<(), OpenRefusal> {
            self.asked.push("hold_open");
            self.refuse.map_or(Ok(()), Err)
        }
        fn renew(&mut self) -> Result<(), PortError> {
            self.asked.push("renew");
            match self.refuse {
                None => Ok(()),
                Some(why) => Err(PortError::new("renew", format!("{why:?}"), "-", Recovery::Reopen)),
            }
        }
        fn heartbeat(&mut self) -> Result<(), PortError> {
            Ok(())
        }
        fn edges(&mut self) -> Vec<Edge> {
            Vec::new()
        }
    }

    struct Rig {
        doorway: Doorway,
        guard: Guard,
        records: RefCell<Vec<Event>>,
    }

    impl Rig {
        fn new(tamper: TamperAction) -> Rig {
            let s = Duration::from_secs;
            let rules =
                DoorRules { contact: true, entry: s(5), warning: s(20), held: s(30), relock: true, exit_opens: true };
            Rig {
                doorway: Doorway::new(Door::new(rules), tamper),
                guard: Guard::default(),
                records: RefCell::default(),
            }
        }

        fn with(&mut self, what: impl FnOnce(&mut Doorway, &mut Hands<'_>)) {
            let records = &self.records;
            let record = |e| records.borrow_mut().push(e);
            let hold = Duration::from_secs(3);
            what(&mut self.doorway, &mut Hands { guard: &mut self.guard, record: &record, outbox: None, hold });
        }

        fn changed(&mut self, ms: u64, sensor: Sensor, active: bool) {
            let at = Tick::from_millis(ms);
            self.with(|d, h| d.news(at, &InputNews::Changed { sensor, active, at }, h));
        }

        fn tick(&mut self, ms: u64) {
            self.with(|d, h| d.tick(Tick::from_millis(ms), h));
        }
    }

    #[test]
    fn a_turned_key_is_a_lease_renewed_each_second_until_it_is_turned_back() {
        let mut rig = Rig::new(TamperAction::Lockdown);
        rig.changed(0, Sensor::HoldOpen, true);
        for ms in [0, 500, 1000, 1500, 2000] {
            rig.tick(ms);
        }
        assert_eq!(rig.guard.asked, ["hold_open", "renew", "renew"]);
        rig.changed(2100, Sensor::HoldOpen, false);
        for ms in [2100, 3000, 4000] {
            rig.tick(ms);
        }
        assert_eq!(rig.guard.asked.len(), 3, "nobody renews any more");
        assert_eq!(rig.doorway.next_deadline(), None);
    }

    #[test]
    fn a_lease_that_ended_is_asked_for_anew_and_a_refusal_told_once() {
        let mut rig = Rig::new(TamperAction::Lockdown);
        rig.changed(0, Sensor::HoldOpen, true);
        rig.tick(0);
        let at = Tick::from_millis(500);
        rig.doorway.edge(&Edge { number: 2, at, energised: false, cause: EdgeCause::Eof, visit: None });
        rig.guard.refuse = Some(OpenRefusal::Unavailable);
        for ms in [1000, 2000, 3000] {
            rig.tick(ms);
        }
        assert_eq!(rig.guard.asked, ["hold_open"; 4]);
        let alarms = rig.records.borrow().iter().filter(|e| matches!(e, Event::AlarmRelay { .. })).count();
        assert_eq!(alarms, 1);
    }

    #[test]
    fn an_open_housing_closes_the_door_and_ends_the_lease() {
        let mut rig = Rig::new(TamperAction::Lockdown);
        rig.changed(0, Sensor::HoldOpen, true);
        rig.tick(0);
        rig.changed(100, Sensor::Tamper, true);
        rig.tick(1000);
        assert_eq!(rig.guard.asked, ["hold_open", "door_opened"], "the lease ends at once");
        assert_eq!(rig.doorway.closed_for(), Some(Reason::Lockdown));
        let mut lax = Rig::new(TamperAction::Alarm);
        lax.changed(0, Sensor::Tamper, true);
        assert_eq!(lax.doorway.closed_for(), None);
        assert_eq!(*lax.records.borrow(), [Event::AlarmTamper { active: true }]);
    }

    #[test]
    fn a_command_holds_the_door_until_its_time_and_a_lockdown_ends_that_at_once() {
        let mut rig = Rig::new(TamperAction::Lockdown);
        rig.with(|d, h| d.hold(Tick::ZERO, Some(Tick::from_millis(2_500)), h));
        for ms in [0, 1_000, 2_000] {
            rig.tick(ms);
        }
        assert_eq!(rig.doorway.next_deadline(), Some(Tick::from_millis(2_500)));
        for ms in [2_500, 3_000, 4_000] {
            rig.tick(ms);
        }
        assert_eq!(rig.guard.asked, ["hold_open", "renew", "renew"]);
        let held = |active| Event::DoorHoldOpen { active };
        assert_eq!(*rig.records.borrow(), [held(true), held(false)]);
        rig.with(|d, h| d.hold(Tick::from_millis(5_000), Some(Tick::from_millis(99_000)), h));
        rig.doorway.set_lockdown(true);
        rig.tick(6_000);
        assert_eq!(rig.guard.asked.len(), 3, "no lease in a lockdown");
        assert_eq!(rig.doorway.closed_for(), Some(Reason::Lockdown));
        rig.doorway.set_lockdown(false);
        assert_eq!(rig.doorway.closed_for(), None);
    }

    #[test]
    fn a_door_that_a_command_opened_is_not_forced() {
        let mut rig = Rig::new(TamperAction::Lockdown);
        rig.with(|d, h| d.commanded(Tick::ZERO, h));
        rig.changed(900, Sensor::Contact, true);
        assert_eq!(
            *rig.records.borrow(),
            [Event::DoorOpened { by: crate::schema::event::OpenedBy::Command, visit: None }]
        );
    }

    #[test]
    fn a_door_that_is_locked_by_a_command_in_office_hours_stays_so_until_the_next_ones() {
        let mut rig = Rig::new(TamperAction::Lockdown);
        let office = |rig: &mut Rig, ms, open| rig.with(|d, h| d.office_hours(Tick::from_millis(ms), open, h));
        office(&mut rig, 0, true);
        rig.tick(0);
        assert_eq!(rig.guard.asked, ["hold_open"]);
        rig.with(|d, h| d.lock(Tick::from_millis(500), h));
        for ms in [500, 1500, 5000] {
            office(&mut rig, ms, true);
            rig.tick(ms);
        }
        assert_eq!(rig.guard.asked, ["hold_open"], "nobody renews");
        office(&mut rig, 6000, false);
        office(&mut rig, 7000, true);
        rig.tick(7000);
        assert_eq!(rig.guard.asked, ["hold_open", "hold_open"], "the next ones are kept");
        // A hold is a command too, and newer.
        rig.with(|d, h| d.lock(Tick::from_millis(7500), h));
        rig.with(|d, h| d.hold(Tick::from_millis(8000), Some(Tick::from_millis(9000)), h));
        rig.doorway.edge(&Edge {
            number: 4,
            at: Tick::from_millis(7500),
            energised: false,
            cause: EdgeCause::DoorOpen,
            visit: None,
        });
        rig.tick(8000);
        assert_eq!(rig.guard.asked.last(), Some(&"hold_open"));
        assert_eq!(rig.guard.asked.len(), 3);
        rig.tick(9000);
        rig.tick(10_000);
        assert_eq!(rig.guard.asked.len(), 3, "the hold is over, and so are the office hours");
    }

    #[test]
    fn office_hours_are_a_lease_too_and_a_lockdown_ends_it_at_once() {
        let mut rig = Rig::new(TamperAction::Lockdown);
        let office = |rig: &mut Rig, ms, open| rig.with(|d, h| d.office_hours(Tick::from_millis(ms), open, h));
        office(&mut rig, 0, true);
        rig.tick(0);
        rig.tick(1000);
        assert_eq!(rig.guard.asked, ["hold_open", "renew"]);
        // A command that holds the door and ends leaves the hours as they are.
        rig.with(|d, h| d.hold(Tick::from_millis(1100), Some(Tick::from_millis(1200)), h));
        rig.tick(1300);
        assert_eq!(rig.guard.asked.last(), Some(&"renew"));
        rig.doorway.set_lockdown(true);
        rig.tick(1400);
        assert_eq!(rig.guard.asked.last(), Some(&"door_opened"));
        let asked = rig.guard.asked.len();
        rig.tick(3000);
        office(&mut rig, 3000, false);
        rig.doorway.set_lockdown(false);
        rig.tick(4000);
        assert_eq!(rig.guard.asked.len(), asked, "the hours are over");
        assert_eq!(
            *rig.records.borrow(),
            [Event::DoorHoldOpen { active: true }, Event::DoorHoldOpen { active: false }]
        );
    }

    #[test]
    fn lost_inputs_close_the_door_and_are_told_once() {
        let mut rig = Rig::new(TamperAction::Lockdown);
        for ms in [0, 1000] {
            rig.with(|d, h| d.lost(Tick::from_millis(ms), "the chip is gone".into(), h));
        }
        assert_eq!(rig.doorway.closed_for(), Some(Reason::Degraded));
        let at = Tick::from_millis(2000);
        rig.with(|d, h| d.news(at, &InputNews::Level { sensor: Sensor::Contact, active: false }, h));
        assert_eq!(rig.doorway.closed_for(), None);
        let what = |w: &str| w.to_owned();
        assert_eq!(
            *rig.records.borrow(),
            [
                Event::AlarmInputs { what: what("the chip is gone") },
                Event::SystemInputs { what: what("they can be read again") }
            ]
        );
    }

    #[test]
    fn an_opened_door_ends_the_pulse_and_the_exit_button_begins_one() {
        let mut rig = Rig::new(TamperAction::Lockdown);
        rig.changed(0, Sensor::Exit, true);
        rig.changed(500, Sensor::Contact, true);
        assert_eq!(rig.guard.asked, ["open", "door_opened"]);
    }
}
