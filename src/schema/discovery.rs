//! What Home Assistant is told of a terminal: one retained message for the whole device.
//!
//! Its rules are strict in odd places (read in Home Assistant 2026.11 and tried with it): an unknown key beside `dev`, `o`
//! and `cmps` makes it refuse the device, one inside a component is dropped without a word, and a `unique_id` that changes
//! leaves a dead entity behind. So these texts change only with a test against its own schemas.

use super::ids::DeviceId;
use super::topics::{self, Topics};
use serde_json::{Value, json};

/// What differs from terminal to terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terminal {
    /// `device.name`: part of every `unique_id`, so it must stay.
    pub device: String,
    /// Release of the program.
    pub version: String,
    /// The board, for example `Raspberry Pi 5 Model B Rev 1.0`.
    pub board: Option<String>,
    /// Serial number of the board.
    pub serial: Option<String>,
    /// A door contact is wired.
    pub contact: bool,
    /// A tamper switch is wired.
    pub tamper: bool,
    /// `lock/set` is listened to.
    pub unlock: bool,
    /// Pictures are published.
    pub picture: bool,
}

/// Where and what to publish, retained. The topic's last level but one is `cardea_<device>`.
#[must_use]
pub fn device(prefix: &str, topics: &Topics, terminal: &Terminal) -> (String, String) {
    let id = format!("cardea_{}", terminal.device);
    let topic = |leaf| topics.leaf(leaf);
    let unique = |part: &str| format!("{id}_{part}");
    let mut about = json!({
        "ids": [id.clone()], "name": title(&terminal.device), "mf": "Cardea", "mdl": "Face terminal",
        "sw": terminal.version,
    });
    for (key, value) in [("hw", &terminal.board), ("sn", &terminal.serial)] {
        if let Some(value) = value {
            about[key] = json!(value);
        }
    }
    let mut parts = json!({
        "problem": {
            "p": "binary_sensor", "unique_id": unique("problem"), "name": "Problem", "device_class": "problem",
            "entity_category": "diagnostic", "state_topic": topic(topics::HEALTH),
            "value_template": "{{ 'OFF' if value_json.status == 'ok' else 'ON' }}",
            "json_attributes_topic": topic(topics::HEALTH),
        },
        "access": {
            "p": "event", "unique_id": unique("access"), "name": "Access", "state_topic": topic(topics::EVENT_ACCESS),
            "event_types": ["granted", "denied", "spoof", "timeout", "rex", "remote_unlock", "forced_open", "held_open"],
            "icon": "mdi:face-recognition",
        },
        "last_person": {
            "p": "sensor", "unique_id": unique("last_person"), "name": "Last person", "icon": "mdi:account-check",
            "state_topic": topic(topics::LAST_ACCESS),
            "value_template": "{{ value_json.person_name | default('unknown', true) }}",
            "json_attributes_topic": topic(topics::LAST_ACCESS),
        },
        "latency": {
            "p": "sensor", "unique_id": unique("latency"), "name": "Decision time", "entity_category": "diagnostic",
            "device_class": "duration", "unit_of_measurement": "ms", "state_class": "measurement",
            "suggested_display_precision": 0, "state_topic": topic(topics::LAST_ACCESS),
            "value_template": "{{ value_json.decision_ms }}",
        },
        "lock": {
            "p": "lock", "unique_id": unique("lock"), "name": null, "state_topic": topic(topics::LOCK_STATE),
            // Without remote unlock nobody listens there: the lock shows its state, and what is sent is lost.
            "command_topic": topic(topics::LOCK_SET),
            "command_template": r#"{"action":"{{ value }}"{% if code %},"code":"{{ code }}"{% endif %}}"#,
            "payload_lock": "LOCK", "payload_unlock": "UNLOCK", "payload_open": "OPEN",
            "state_locked": "LOCKED", "state_unlocked": "UNLOCKED", "state_unlocking": "UNLOCKING",
            "state_locking": "LOCKING", "state_jammed": "JAMMED",
            "optimistic": false, "retain": false, "message_expiry_interval": 5,
        },
    });
    let mut add = |name: &str, on: bool, part: Value| {
        if on {
            parts[name] = part;
        }
    };
    add(
        "door",
        terminal.contact,
        json!({
            "p": "binary_sensor", "unique_id": unique("door"), "name": "Door", "device_class": "door",
            "state_topic": topic(topics::DOOR_STATE), "payload_on": "OPEN", "payload_off": "CLOSED",
        }),
    );
    add(
        "tamper",
        terminal.tamper,
        json!({
            "p": "binary_sensor", "unique_id": unique("tamper"), "name": "Tamper", "device_class": "tamper",
            "state_topic": topic(topics::TAMPER_STATE), "payload_on": "ON", "payload_off": "OFF",
        }),
    );
    add(
        "open_once",
        terminal.unlock,
        json!({
            "p": "button", "unique_id": unique("open_once"), "name": "Open once",
            "command_topic": topic(topics::LOCK_SET), "payload_press": r#"{"action":"OPEN"}"#,
            "message_expiry_interval": 5,
        }),
    );
    add(
        "snapshot",
        terminal.picture,
        json!({
            "p": "image", "unique_id": unique("snapshot"), "name": "Last snapshot",
            "image_topic": topic(topics::SNAPSHOT), "content_type": "image/jpeg", "enabled_by_default": false,
        }),
    );
    let payload = json!({
        "dev": about,
        "o": {"name": "cardea", "sw": terminal.version},
        "avty": [{"t": topic(topics::AVAILABILITY)}],
        "qos": 1,
        "cmps": parts,
    });
    (config_topic(prefix, &terminal.device), payload.to_string())
}

/// Where the device is announced; an empty retained message there takes it away again.
#[must_use]
pub fn config_topic(prefix: &str, device: &str) -> String {
    format!("{prefix}/device/cardea_{device}/config")
}

/// Where Home Assistant says `online` when it comes, so that it is told anew.
#[must_use]
pub fn birth_topic(prefix: &str) -> String {
    format!("{prefix}/status")
}

/// All topics that are retained, for who wants them gone; the announcement is the first.
#[must_use]
pub fn retained(prefix: &str, base: &str, device: &DeviceId) -> Vec<String> {
    let topics = Topics::new(base, device);
    let leaves = topics::RETAINED.iter().map(|leaf| topics.leaf(leaf));
    std::iter::once(config_topic(prefix, device.as_str())).chain(leaves).collect()
}

/// `front_door` as people write it: `Front door`.
fn title(device: &str) -> String {
    let plain = device.replace(['_', '-'], " ");
    let mut letters = plain.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(terminal: &Terminal) -> Value {
        let topics = Topics::new("cardea", &DeviceId::new(&terminal.device).expect("valid"));
        let (topic, text) = device("homeassistant", &topics, terminal);
        assert_eq!(topic, format!("homeassistant/device/cardea_{}/config", terminal.device));
        serde_json::from_str(&text).expect("JSON")
    }

    fn full() -> Terminal {
        Terminal {
            device: "front_door".into(),
            version: "0.1.0".into(),
            board: Some("Raspberry Pi 5 Model B Rev 1.0".into()),
            serial: Some("d83addaabbcc".into()),
            contact: true,
            tamper: true,
            unlock: true,
            picture: true,
        }
    }

    #[test]
    fn the_root_has_no_key_that_home_assistant_does_not_know() {
        let all = payload(&full());
        let keys: Vec<_> = all.as_object().expect("an object").keys().cloned().collect();
        assert_eq!(keys, ["avty", "cmps", "dev", "o", "qos"]);
        assert_eq!(all["dev"]["name"], "Front door");
        assert_eq!(all["dev"]["ids"][0], "cardea_front_door");
        for (name, part) in all["cmps"].as_object().expect("an object") {
            assert_eq!(part["unique_id"], format!("cardea_front_door_{name}"));
        }
    }

    #[test]
    fn a_terminal_announces_what_it_has() {
        let bare = payload(&Terminal { device: "x".into(), ..Terminal::default() });
        let keys: Vec<_> = bare["cmps"].as_object().expect("an object").keys().cloned().collect();
        assert_eq!(keys, ["access", "last_person", "latency", "lock", "problem"]);
        assert_eq!(payload(&full())["cmps"].as_object().expect("an object").len(), 9);
    }

    #[test]
    fn commands_expire_and_are_never_retained_and_the_event_has_no_state() {
        let all = payload(&full());
        for name in ["lock", "open_once"] {
            assert_eq!(all["cmps"][name]["message_expiry_interval"], 5);
        }
        assert_eq!(all["cmps"]["lock"]["retain"], false);
        assert_eq!(all["cmps"]["lock"]["optimistic"], false);
    }

    #[test]
    fn event_types_are_those_that_are_sent() {
        use crate::schema::access::AccessKind as K;
        let sent = [K::Granted, K::Denied, K::Spoof, K::Timeout, K::Rex, K::RemoteUnlock, K::ForcedOpen, K::HeldOpen];
        assert_eq!(payload(&full())["cmps"]["access"]["event_types"], serde_json::to_value(sent).expect("words"));
    }

    #[test]
    fn what_is_to_be_forgotten_begins_with_the_announcement() {
        let all = retained("homeassistant", "cardea", &DeviceId::new("front").expect("valid"));
        assert_eq!(all[0], "homeassistant/device/cardea_front/config");
        assert!(all.contains(&"cardea/front/availability".to_owned()));
    }
}
