//! A visit of a web session at the door, where `web.opens_door` lets it ask: the rules, the record and the relay of a
//! visit in front of the camera, without the door's display, keypad and company.

use super::{Controller, Turn, millis};
use crate::base::time::Tick;
use crate::domain::access::Refusal;
use crate::domain::visit::Decision;
use crate::schema::event::{Event, Goal, Reason, Verdict};
use std::time::Duration;

/// A grant that waited longer between the session and the controller opens nothing.
const FRESH: Duration = Duration::from_secs(2);

impl Controller {
    /// Failures are charged to the door's lockout like those in front of it; a grant asks the rules and opens.
    pub(super) fn visit_from_afar(&mut self, turn: &mut Turn, d: &Decision) {
        let now = self.clock.now();
        if d.verdict != Verdict::Granted {
            return self.charge(now, d.verdict, d.reason, d.person.as_ref());
        }
        self.recorder.record(Event::SessionDoor { visit: d.visit, source: "web".into() });
        let (mut reason, mut rule) = (None, None);
        match self.ruling_afar(now, d) {
            Err(refusal) => (reason, rule) = (Some(refusal.reason), Some(refusal.rule)),
            Ok(()) => match self.grant(d) {
                Ok(()) => turn.awaiting = Some(now),
                Err(Some(why)) => reason = Some(why),
                // Within another pulse: neither a denial nor a second one.
                Err(None) => {}
            },
        }
        let Some(reason) = reason else {
            if let Some(person) = &d.person {
                self.rules.granted_afar(d.visit, person);
            }
            return self.charge(now, Verdict::Granted, None, d.person.as_ref());
        };
        let (visit, door, person) = (d.visit, self.door.clone(), d.person.clone());
        let decision_ms = millis(d.at.since(d.began));
        self.recorder.record(Event::AccessDenied { visit, reason, door, person, rule, decision_ms });
        self.charge(now, reason.verdict(), Some(reason), d.person.as_ref());
    }

    fn ruling_afar(&mut self, now: Tick, d: &Decision) -> Result<(), Refusal> {
        let refuse = |reason, rule: &str| Err(Refusal { reason, rule: rule.into() });
        if d.goal != Goal::Identify {
            return refuse(Reason::NoMatch, "only a session that identifies somebody opens the door");
        }
        if now.since(d.at) > FRESH {
            return refuse(Reason::Degraded, "the session's verdict came too late");
        }
        if let Some(reason) = self.not_ready(now) {
            return refuse(reason, "the door decides nothing now");
        }
        self.rules.judge_afar(now, self.clock.wall(), d)
    }
}
