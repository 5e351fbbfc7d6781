//! MQTT topics, built in one place from a checked device name and nothing else.

use super::ids::DeviceId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// `online` or `offline`, retained; the broker itself says `offline` when the terminal vanishes.
pub const AVAILABILITY: &str = "availability";
/// [`LockState`], retained.
pub const LOCK_STATE: &str = "lock/state";
/// `OPEN` or `CLOSED` by the contact, retained; only of a door that has one.
pub const DOOR_STATE: &str = "door/state";
/// `ON` while the housing is open, else `OFF`; retained, only of a terminal with a tamper switch.
pub const TAMPER_STATE: &str = "tamper/state";
/// [`super::health::Health`], retained.
pub const HEALTH: &str = "health";
/// The last decision as [`super::access::AccessEvent`], retained.
pub const LAST_ACCESS: &str = "last_access";
/// [`super::access::AccessEvent`] as it happens, never retained: a retained one would fire automations late.
pub const EVENT_ACCESS: &str = "event/access";
/// Every record's text, at least once.
pub const LOG: &str = "log";
/// [`LogHead`], retained.
pub const LOG_HEAD: &str = "log/head";
/// Records once more, as the command `replay` asks for them.
pub const LOG_REPLAY: &str = "log/replay";
/// `ON` while the health is not `ok`, else `OFF`; retained, for gateways that read no JSON.
pub const PROBLEM_STATE: &str = "problem/state";
/// A JPEG, as the command `snapshot` asks for it; never retained.
pub const SNAPSHOT: &str = "snapshot/jpeg";
/// In: what Home Assistant's lock and button send.
pub const LOCK_SET: &str = "lock/set";
/// In: commands by their names.
pub const COMMANDS: &str = "cmd/+";
/// [`super::command::Answer`] to each command.
pub const COMMAND_RESULT: &str = "cmd/result";
/// All that are retained.
pub const RETAINED: [&str; 8] =
    [AVAILABILITY, LOCK_STATE, DOOR_STATE, TAMPER_STATE, PROBLEM_STATE, HEALTH, LAST_ACCESS, LOG_HEAD];

/// What `lock/state` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum LockState {
    /// The line is inactive.
    Locked,
    /// The line is active.
    Unlocked,
    /// The line does not follow, or nobody answers for it.
    Jammed,
}

impl LockState {
    /// The payload, which is a bare word and not JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            LockState::Locked => "LOCKED",
            LockState::Unlocked => "UNLOCKED",
            LockState::Jammed => "JAMMED",
        }
    }
}

/// The newest record: whoever keeps it can tell later that the end of the journal was cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHead {
    pub seq: u64,
    /// Hash of that record's text, as the next record's `prev` will carry it.
    pub hash: String,
    /// The start of the daemon that wrote it.
    pub boot: Uuid,
    /// The device's public key and its signature, as in [`super::head::SignedHead`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sig: Option<String>,
}

/// Topics of one device below a base (`cardea` by default).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    root: String,
}

impl Topics {
    /// `base` has been checked by the configuration: no wildcards, no leading slash.
    #[must_use]
    pub fn new(base: &str, device: &DeviceId) -> Self {
        Topics { root: format!("{base}/{device}") }
    }

    /// The topic `leaf`, for example `event/access`.
    #[must_use]
    pub fn leaf(&self, leaf: &str) -> String {
        format!("{}/{leaf}", self.root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_below_the_device() {
        let topics = Topics::new("cardea", &DeviceId::new("front").expect("valid"));
        assert_eq!(topics.leaf(EVENT_ACCESS), "cardea/front/event/access");
    }

    #[test]
    fn what_is_retained_keeps_its_text() {
        for state in [LockState::Locked, LockState::Unlocked, LockState::Jammed] {
            assert_eq!(serde_json::to_string(&state).expect("serialises"), format!("\"{}\"", state.word()));
        }
        let head = LogHead { seq: 42, hash: "ab".into(), boot: Uuid::from_u128(1), key: None, sig: None };
        let text = r#"{"seq":42,"hash":"ab","boot":"00000000-0000-0000-0000-000000000001"}"#;
        assert_eq!(serde_json::to_string(&head).expect("serialises"), text);
    }
}
