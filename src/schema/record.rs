//! The envelope of an event: the same text in the journal, over MQTT, on WebSockets and on standard output.

use super::event::Event;
use super::ids::DeviceId;
use crate::base::time::WallTime;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// One line of the journal. `prev` is the SHA-256 of the text of the record before it (64 zeros for the first), so a
/// change, a removal or a swap anywhere breaks the chain after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub v: u8,
    pub device: String,
    /// Drawn at every start of the daemon.
    pub boot: Uuid,
    /// Rises by one, over restarts too.
    pub seq: u64,
    /// Version 7: sorts by time.
    pub id: Uuid,
    /// RFC 3339, UTC, milliseconds.
    pub time: String,
    pub clock_synced: bool,
    pub uptime_ms: u64,
    #[serde(flatten)]
    pub event: Event,
    pub prev: String,
}

/// `prev` of the first record.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Everything of a record that the journal does not add itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    pub device: DeviceId,
    pub boot: Uuid,
    pub id: Uuid,
    pub wall: WallTime,
    pub uptime_ms: u64,
    pub event: Event,
}

impl Draft {
    /// The record with its place in the chain.
    #[must_use]
    pub fn seal(&self, seq: u64, prev: String) -> Record {
        Record {
            v: 1,
            device: self.device.as_str().to_owned(),
            boot: self.boot,
            seq,
            id: self.id,
            time: rfc3339(self.wall.unix_ms),
            clock_synced: self.wall.synced,
            uptime_ms: self.uptime_ms,
            event: self.event.clone(),
            prev,
        }
    }
}

impl Record {
    /// The text that is written, published and hashed.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("a record holds nothing that JSON cannot say")
    }
}

/// Hash of a record's text, as the next record's `prev` carries it.
#[must_use]
pub fn chain_hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut s, b| {
        let _infallible = write!(s, "{b:02x}");
        s
    })
}

/// `2026-11-21T06:40:00.123Z`; times that a calendar cannot show become its ends.
#[must_use]
pub fn rfc3339(unix_ms: i64) -> String {
    let ts = jiff::Timestamp::from_millisecond(unix_ms).unwrap_or(if unix_ms < 0 {
        jiff::Timestamp::MIN
    } else {
        jiff::Timestamp::MAX
    });
    format!("{ts:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::event::OpenedBy;
    use crate::schema::event::{Action, EdgeCause, Goal, Reason, Verdict};
    use crate::schema::ids::{PersonId, VisitId};
    use std::collections::BTreeMap;

    fn draft(event: Event) -> Draft {
        Draft {
            device: DeviceId::new("front").expect("valid"),
            boot: Uuid::from_u128(1),
            id: Uuid::from_u128(2),
            wall: WallTime { unix_ms: 1_795_243_200_123, synced: true },
            uptime_ms: 123,
            event,
        }
    }

    #[test]
    fn a_record_keeps_its_wire_form() {
        let record = draft(Event::AccessDenied {
            visit: VisitId(7),
            reason: Reason::Spoof,
            door: "front".into(),
            person: None,
            rule: None,
            decision_ms: 412,
        })
        .seal(42, GENESIS.into());
        assert_eq!(
            record.text(),
            concat!(
                r#"{"v":1,"device":"front","boot":"00000000-0000-0000-0000-000000000001","seq":42,"#,
                r#""id":"00000000-0000-0000-0000-000000000002","time":"2026-11-21T06:40:00.123Z","clock_synced":true,"#,
                r#""uptime_ms":123,"type":"access.denied","visit":7,"reason":"spoof","door":"front","decision_ms":412,"#,
                r#""prev":"0000000000000000000000000000000000000000000000000000000000000000"}"#
            )
        );
        assert_eq!(serde_json::from_str::<Record>(&record.text()).expect("reads back"), record);
    }

    /// One door for the texts of all variants: a new variant belongs here.
    #[test]
    fn every_event_keeps_its_text() {
        let p = || PersonId::new("ada").expect("valid");
        let v = VisitId(7);
        for (event, text) in [
            (
                Event::VisitStarted { visit: v, goal: Goal::Identify },
                r#"{"type":"visit.started","visit":7,"goal":"identify"}"#,
            ),
            (
                Event::VisitPrompted { visit: v, action: Action::TurnLeft, step: 1, of: 3 },
                r#"{"type":"visit.prompted","visit":7,"action":"turn_left","step":1,"of":3}"#,
            ),
            (
                Event::VisitEnded {
                    visit: v,
                    goal: Goal::Verify,
                    verdict: Verdict::TryAgain,
                    reason: Some(Reason::SeveralFaces),
                    person: None,
                    cause: None,
                    gates: BTreeMap::new(),
                    duration_ms: 900,
                },
                r#"{"type":"visit.ended","visit":7,"goal":"verify","verdict":"try_again","reason":"several_faces","duration_ms":900}"#,
            ),
            (
                Event::AccessGranted { visit: v, person: p(), door: "front".into(), decision_ms: 4, passive_pad: true },
                r#"{"type":"access.granted","visit":7,"person":"ada","door":"front","decision_ms":4,"passive_pad":true}"#,
            ),
            (
                Event::RelayEnergised { visit: Some(v), at_ns: 5, cause: EdgeCause::Grant },
                r#"{"type":"relay.energised","visit":7,"at_ns":5,"cause":"grant"}"#,
            ),
            (
                Event::RelayReleased { visit: None, at_ns: 5, cause: EdgeCause::DoorOpen },
                r#"{"type":"relay.released","at_ns":5,"cause":"door_open"}"#,
            ),
            (Event::RelayCoalesced { visit: v }, r#"{"type":"relay.coalesced","visit":7}"#),
            (
                Event::DoorOpened { by: OpenedBy::Grant, visit: Some(v) },
                r#"{"type":"door.opened","by":"grant","visit":7}"#,
            ),
            (Event::DoorHeld { open_ms: 9, warning: true }, r#"{"type":"door.held","open_ms":9,"warning":true}"#),
            (
                Event::AccessDenied {
                    visit: v,
                    reason: Reason::OutsideSchedule,
                    door: "front".into(),
                    person: Some(p()),
                    rule: Some("office closed".into()),
                    decision_ms: 4,
                },
                r#"{"type":"access.denied","visit":7,"reason":"outside_schedule","door":"front","person":"ada","rule":"office closed","decision_ms":4}"#,
            ),
            (
                Event::SessionDoor { visit: v, source: "web".into() },
                r#"{"type":"session.door","visit":7,"source":"web"}"#,
            ),
            (
                Event::AccessPaired { visit: v, person: p(), with: VisitId(8) },
                r#"{"type":"access.paired","visit":7,"person":"ada","with":8}"#,
            ),
            (
                Event::PersonRules {
                    person: p(),
                    groups: vec!["staff".into()],
                    valid_from: None,
                    valid_to: Some("2026-12-31T23:00:00.000Z".into()),
                    pin: true,
                    card: false,
                    consent: None,
                    expires: None,
                },
                r#"{"type":"person.rules","person":"ada","groups":["staff"],"valid_to":"2026-12-31T23:00:00.000Z","pin":true,"card":false}"#,
            ),
            (
                Event::PersonRevoked { person: p(), by: "office".into() },
                r#"{"type":"person.revoked","person":"ada","by":"office"}"#,
            ),
            (Event::SiteUpdated { changed: 2, removed: 1 }, r#"{"type":"site.updated","changed":2,"removed":1}"#),
            (
                Event::SiteSigned { version: 9, people: 2, revoked: 1 },
                r#"{"type":"site.signed","version":9,"people":2,"revoked":1}"#,
            ),
            (
                Event::SiteRules { sha256: "ab".into(), by: "office".into() },
                r#"{"type":"site.rules","sha256":"ab","by":"office"}"#,
            ),
            (
                Event::AlarmSite { what: "head".into(), cause: "forged".into(), count: None },
                r#"{"type":"alarm.site","what":"head","cause":"forged"}"#,
            ),
            (Event::AlarmDuress { visit: v, person: p() }, r#"{"type":"alarm.duress","visit":7,"person":"ada"}"#),
            (Event::AlarmTamper { active: true }, r#"{"type":"alarm.tamper","active":true}"#),
            (
                Event::PersonEnrolled { person: p(), templates: 3 },
                r#"{"type":"person.enrolled","person":"ada","templates":3}"#,
            ),
            (
                Event::PersonExpired { person: p(), expired: "2026-12-31T23:00:00.000Z".into() },
                r#"{"type":"person.expired","person":"ada","expired":"2026-12-31T23:00:00.000Z"}"#,
            ),
            (
                Event::PersonNotEnrolled { person: p(), reason: "timeout".into(), poses: 0 },
                r#"{"type":"person.not_enrolled","person":"ada","reason":"timeout","poses":0}"#,
            ),
            (
                Event::PersonRelearned { person: p(), visit: v, templates: 3, model: "ab".into() },
                r#"{"type":"person.relearned","person":"ada","visit":7,"templates":3,"model":"ab"}"#,
            ),
            (Event::SystemRules { sha256: "ab".into() }, r#"{"type":"system.rules","sha256":"ab"}"#),
            (Event::AlarmRules { what: "x".into() }, r#"{"type":"alarm.rules","what":"x"}"#),
            (
                Event::AccessReported {
                    visit: v,
                    person: p(),
                    door: "front".into(),
                    via: "osdp".into(),
                    decision_ms: 4,
                    passive_pad: true,
                },
                r#"{"type":"access.reported","visit":7,"person":"ada","door":"front","via":"osdp","decision_ms":4,"passive_pad":true}"#,
            ),
            (
                Event::PanelSent { visit: v, via: "osdp".into(), confirmed: true },
                r#"{"type":"panel.sent","visit":7,"via":"osdp","confirmed":true}"#,
            ),
            (
                Event::PanelDropped { visit: v, via: "osdp".into(), what: "x".into() },
                r#"{"type":"panel.dropped","visit":7,"via":"osdp","what":"x"}"#,
            ),
            (Event::AlarmPanel { what: "x".into() }, r#"{"type":"alarm.panel","what":"x"}"#),
            (Event::SystemPanel { what: "x".into() }, r#"{"type":"system.panel","what":"x"}"#),
            (Event::AlarmRelay { what: "x".into() }, r#"{"type":"alarm.relay","what":"x"}"#),
            (
                Event::AlarmLockout { failures: 5, seconds: 30, person: None },
                r#"{"type":"alarm.lockout","failures":5,"seconds":30}"#,
            ),
            (
                Event::AlarmLockout { failures: 5, seconds: 30, person: Some(p()) },
                r#"{"type":"alarm.lockout","failures":5,"seconds":30,"person":"ada"}"#,
            ),
            (Event::SystemStopped {}, r#"{"type":"system.stopped"}"#),
            (Event::SystemDisk { what: "x".into() }, r#"{"type":"system.disk","what":"x"}"#),
            (
                Event::SystemLogGap { first: 1, last: 9, hash: "ab".into() },
                r#"{"type":"system.log_gap","first":1,"last":9,"hash":"ab"}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&event).expect("serialises"), text);
            assert!(text.contains(&event.kind()));
        }
    }

    #[test]
    fn times_out_of_range_do_not_panic() {
        assert!(rfc3339(i64::MAX).starts_with("9999-"));
        assert!(!rfc3339(i64::MIN).is_empty());
    }
}
