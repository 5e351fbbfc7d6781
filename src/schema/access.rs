//! What the topics `event/access` and `last_access` say about a record: Home Assistant's shape of an event.

use super::event::{Event, Reason};
use super::ids::PersonId;
use super::record::Record;
use serde::Serialize;
use uuid::Uuid;

/// The closed list that discovery announces as `event_types`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessKind {
    Granted,
    Denied,
    /// An attack presentation, or pictures that no camera took.
    Spoof,
    /// The window of a challenge was over.
    Timeout,
    /// Somebody left by the button.
    Rex,
    RemoteUnlock,
    ForcedOpen,
    HeldOpen,
}

/// One thing that happened at a door. `person_id` is null when nobody was recognised, `decision_ms` when nothing was
/// decided (a door that is forced).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AccessEvent {
    pub event_type: AccessKind,
    pub person_id: Option<PersonId>,
    /// Only where the owner allows names (`mqtt.names`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person_name: Option<String>,
    pub door: String,
    /// The record's `time`, not the time of sending.
    pub at: String,
    pub id: Uuid,
    pub seq: u64,
    pub decision_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// The command whose acceptance opens the door from afar.
const UNLOCK: &str = "unlock";

impl AccessEvent {
    /// What `record` means for a door; `None` for records that are not about access.
    #[must_use]
    pub fn of(record: &Record, names: bool) -> Option<AccessEvent> {
        let (event_type, person, door, decision_ms, reason) = match &record.event {
            Event::AccessGranted { person, door, decision_ms, .. } => {
                (AccessKind::Granted, Some(person), Some(door), Some(*decision_ms), None)
            }
            Event::AccessDenied { reason, person, door, decision_ms, .. } => {
                (refusal(*reason), person.as_ref(), Some(door), Some(*decision_ms), Some(*reason))
            }
            Event::DoorForced {} => (AccessKind::ForcedOpen, None, None, None, None),
            Event::DoorHeld { warning: false, .. } => (AccessKind::HeldOpen, None, None, None, None),
            Event::DoorExitRequested {} => (AccessKind::Rex, None, None, None, None),
            Event::CommandAccepted { command, .. } if command == UNLOCK => {
                (AccessKind::RemoteUnlock, None, None, None, None)
            }
            _ => return None,
        };
        Some(AccessEvent {
            event_type,
            person_name: person.filter(|_| names).map(|p| p.as_str().to_owned()),
            person_id: person.cloned(),
            door: door.unwrap_or(&record.device).clone(),
            at: record.time.clone(),
            id: record.id,
            seq: record.seq,
            decision_ms,
            reason,
        })
    }

    /// Whether this becomes `last_access`: decisions do. Others carry no `decision_ms`, which the sensor made from
    /// that topic would show as a broken number.
    #[must_use]
    pub const fn is_decision(&self) -> bool {
        self.decision_ms.is_some()
    }

    /// The text that is published.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("an access event holds nothing that JSON cannot say")
    }
}

const fn refusal(reason: Reason) -> AccessKind {
    match reason {
        Reason::Spoof | Reason::Injection => AccessKind::Spoof,
        Reason::ChallengeTimeout => AccessKind::Timeout,
        _ => AccessKind::Denied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::WallTime;
    use crate::schema::event::OpenedBy;
    use crate::schema::ids::{DeviceId, VisitId};
    use crate::schema::record::{Draft, GENESIS};

    fn record(event: Event) -> Record {
        Draft {
            device: DeviceId::new("front").expect("valid"),
            boot: Uuid::from_u128(1),
            id: Uuid::from_u128(2),
            wall: WallTime { unix_ms: 1_795_243_200_123, synced: true },
            uptime_ms: 123,
            event,
        }
        .seal(42, GENESIS.into())
    }

    fn granted() -> Event {
        let person = PersonId::new("p-17").expect("valid");
        Event::AccessGranted { visit: VisitId(7), person, door: "side".into(), decision_ms: 412, passive_pad: true }
    }

    fn denied(reason: Reason) -> Event {
        Event::AccessDenied {
            visit: VisitId(7),
            reason,
            door: "side".into(),
            person: None,
            rule: None,
            decision_ms: 412,
        }
    }

    /// One door for the texts: what follows `event_type`, up to the fields that are the same in all of them.
    fn check(event: Event, names: bool, head: &str, tail: &str) {
        let text = AccessEvent::of(&record(event), names).expect("about access").text();
        let same = r#""at":"2026-11-21T06:40:00.123Z","id":"00000000-0000-0000-0000-000000000002","seq":42,"#;
        assert_eq!(text, format!("{head}{same}{tail}"));
    }

    #[test]
    fn a_grant_keeps_its_wire_form() {
        check(
            granted(),
            false,
            r#"{"event_type":"granted","person_id":"p-17","door":"side","#,
            r#""decision_ms":412}"#,
        );
    }

    #[test]
    fn a_name_leaves_only_where_the_owner_allows_it() {
        check(
            granted(),
            true,
            r#"{"event_type":"granted","person_id":"p-17","person_name":"p-17","door":"side","#,
            r#""decision_ms":412}"#,
        );
    }

    #[test]
    fn refusals_are_told_apart_by_their_reason() {
        for (reason, kind, word) in [
            (Reason::NoMatch, "denied", "no_match"),
            (Reason::Spoof, "spoof", "spoof"),
            (Reason::Injection, "spoof", "injection"),
            (Reason::ChallengeTimeout, "timeout", "challenge_timeout"),
            (Reason::ChallengeFailed, "denied", "challenge_failed"),
        ] {
            check(
                denied(reason),
                true,
                &format!(r#"{{"event_type":"{kind}","person_id":null,"door":"side","#),
                &format!(r#""decision_ms":412,"reason":"{word}"}}"#),
            );
        }
    }

    #[test]
    fn what_happens_to_the_door_itself_has_no_person_and_no_decision() {
        let unlock = Event::CommandAccepted { id: "1".into(), command: "unlock".into(), via: "mqtt".into() };
        for (event, kind) in [
            (Event::DoorForced {}, "forced_open"),
            (Event::DoorHeld { open_ms: 30_000, warning: false }, "held_open"),
            (Event::DoorExitRequested {}, "rex"),
            (unlock, "remote_unlock"),
        ] {
            let access = AccessEvent::of(&record(event.clone()), false).expect("about access");
            assert!(!access.is_decision(), "{kind}");
            check(
                event,
                false,
                &format!(r#"{{"event_type":"{kind}","person_id":null,"door":"front","#),
                r#""decision_ms":null}"#,
            );
        }
    }

    #[test]
    fn other_records_are_no_access() {
        let other = Event::CommandAccepted { id: "1".into(), command: "identify".into(), via: "mqtt".into() };
        let opened = Event::DoorOpened { by: OpenedBy::Grant, visit: None };
        let warning = Event::DoorHeld { open_ms: 20_000, warning: true };
        for event in [opened, warning, Event::SystemReady {}, other] {
            assert_eq!(AccessEvent::of(&record(event), true), None);
        }
    }
}
