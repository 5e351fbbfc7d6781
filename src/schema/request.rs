//! A command's payload, taken apart: `{"id","at","expires",…,"hmac"}`. `id` is 1 to 64 of letters, digits and `_ - . :`,
//! the times are RFC 3339 or whole milliseconds since 1970, further fields belong to the command. [`signed_text`] is what
//! `hmac` (HMAC-SHA256, 64 hex digits) is made of.

use super::command::{Command, CommandName, MAX_GROUPS, MAX_REPLAY};
use super::ids::PersonId;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor};
use sha2::Sha256;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// First line of the text that is signed; another form of that text would have another one.
pub const SIGNED_AS: &str = "cardea-command-1";

/// A field of a command: JSON's texts, whole numbers and truth values. Nothing nested, no fractions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    Text(String),
    Whole(i64),
    Flag(bool),
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Field::Text(t) => f.write_str(t),
            Field::Whole(n) => write!(f, "{n}"),
            Field::Flag(b) => write!(f, "{b}"),
        }
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: de::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct One;
        impl Visitor<'_> for One {
            type Value = Field;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a whole number or a truth value")
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Field, E> {
                // A line end would let one field look like two in the text that is signed.
                if v.chars().any(char::is_control) {
                    return Err(E::custom("control characters"));
                }
                Ok(Field::Text(v.to_owned()))
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Field, E> {
                Ok(Field::Whole(v))
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Field, E> {
                i64::try_from(v).map(Field::Whole).map_err(|_| E::custom("the number is too great"))
            }
            fn visit_bool<E: de::Error>(self, v: bool) -> Result<Field, E> {
                Ok(Field::Flag(v))
            }
        }
        d.deserialize_any(One)
    }
}

/// The fields of an object; one that comes twice is a fault, as readers disagree on which counts.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fields(BTreeMap<String, Field>);

/// More fields than any command has.
const MAX_FIELDS: usize = 16;

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: de::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Fields;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, Field>()? {
                    let plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
                    if !plain || fields.len() == MAX_FIELDS || fields.insert(key, value).is_some() {
                        return Err(de::Error::custom("a field that is no field, or comes twice, or is one too many"));
                    }
                }
                Ok(Fields(fields))
            }
        }
        d.deserialize_map(All)
    }
}

/// A payload, taken apart and not yet judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub id: String,
    pub command: Command,
    /// `at` in milliseconds since 1970.
    pub at_ms: Option<i64>,
    /// `expires` in milliseconds since 1970.
    pub expires_ms: Option<i64>,
    pub hmac: Option<[u8; 32]>,
    /// What the signature is made of, for the device that is asked.
    pub signed: String,
}

impl Request {
    /// Takes the payload of `cmd/<name>` apart.
    ///
    /// # Errors
    /// The id as far as it could be read, else an empty text: the payload is not what [`Request`] describes, or fields
    /// are missing, too many or of another kind.
    pub fn parse(device: &str, name: CommandName, payload: &[u8]) -> Result<Request, String> {
        let Fields(mut fields) = serde_json::from_slice(payload).map_err(|_| String::new())?;
        let id = match fields.remove("id") {
            Some(Field::Text(id)) if is_id(&id) => id,
            _ => return Err(String::new()),
        };
        Request::of_fields(device, name, &id, fields).ok_or(id)
    }

    fn of_fields(device: &str, name: CommandName, id: &str, mut fields: BTreeMap<String, Field>) -> Option<Request> {
        let hmac = match fields.remove("hmac") {
            None => None,
            Some(Field::Text(hex)) => Some(from_hex(&hex)?),
            Some(_) => return None,
        };
        let times = [fields.remove("at"), fields.remove("expires")];
        let [at_ms, expires_ms] = match &times {
            [None, None] => [None, None],
            [Some(at), Some(expires)] => [Some(time_ms(at)?), Some(time_ms(expires)?)],
            _ => return None,
        };
        if name.changes() && at_ms.is_none() {
            return None;
        }
        let word = |t: &Option<Field>| t.as_ref().map(Field::to_string).unwrap_or_default();
        let signed = signed_text(device, name, id, &word(&times[0]), &word(&times[1]), &fields);
        let command = arguments(name, &mut fields).filter(|_| fields.is_empty())?;
        Some(Request { id: id.to_owned(), command, at_ms, expires_ms, hmac, signed })
    }

    /// Whether the signature was made with `key`. Takes the same time whether or not it was.
    #[must_use]
    pub fn is_signed_with(&self, key: &[u8]) -> bool {
        self.hmac.is_some_and(|given| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length fits");
            mac.update(self.signed.as_bytes());
            mac.verify_slice(&given).is_ok()
        })
    }
}

/// The text that is signed: lines, joined by `\n`, without one at the end. `cardea-command-1`, the device, the command,
/// `id`, `at` and `expires` as they stand in the payload (empty where left out), then each further field but `hmac` as
/// `name=value`, in the order of their names.
#[must_use]
pub fn signed_text(
    device: &str,
    name: CommandName,
    id: &str,
    at: &str,
    expires: &str,
    more: &BTreeMap<String, Field>,
) -> String {
    let mut text = [SIGNED_AS, device, name.word(), id, at, expires].join("\n");
    for (key, value) in more {
        text.push_str(&format!("\n{key}={value}"));
    }
    text
}

/// HMAC-SHA256 of `text` in hex.
#[must_use]
pub fn sign(key: &[u8], text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length fits");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect()
}

/// Whether it can be the id of a command.
#[must_use]
pub fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:".contains(&b))
}

fn arguments(name: CommandName, fields: &mut BTreeMap<String, Field>) -> Option<Command> {
    let person = |fields: &mut BTreeMap<String, Field>| match fields.remove("person")? {
        Field::Text(name) => PersonId::new(&name).ok(),
        _ => None,
    };
    Some(match name {
        CommandName::Unlock => Command::Unlock,
        CommandName::Lock => Command::Lock,
        CommandName::Hold => Command::Hold { until_ms: time_ms(&fields.remove("until")?)? },
        CommandName::Lockdown => Command::Lockdown,
        CommandName::Release => Command::Release,
        CommandName::Enroll => {
            let person = person(fields)?;
            let groups = match fields.remove("groups") {
                None => BTreeSet::new(),
                Some(Field::Text(names)) => groups(&names)?,
                Some(_) => return None,
            };
            let valid_to_ms = match fields.remove("valid_to") {
                None => None,
                Some(time) => Some(time_ms(&time)?),
            };
            Command::Enroll { person, groups, valid_to_ms }
        }
        CommandName::Remove => Command::Remove { person: person(fields)? },
        CommandName::Sync => Command::Sync,
        CommandName::Snapshot => Command::Snapshot,
        CommandName::Ping => Command::Ping,
        CommandName::Replay => {
            let Field::Whole(seq) = fields.remove("seq")? else { return None };
            let limit = match fields.remove("limit") {
                None => MAX_REPLAY,
                Some(Field::Whole(n)) => u32::try_from(n).ok().filter(|n| (1..=MAX_REPLAY).contains(n))?,
                Some(_) => return None,
            };
            Command::Replay { after: u64::try_from(seq).ok()?, limit }
        }
    })
}

/// Names with one space between; each as a group of the rules may be called.
fn groups(names: &str) -> Option<BTreeSet<String>> {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    let is_name = |n: &str| (1..=32).contains(&n.len()) && n.bytes().all(letter);
    let all: Vec<&str> = names.split(' ').collect();
    let set: BTreeSet<String> = all.iter().filter(|n| is_name(n)).map(|n| (*n).to_owned()).collect();
    // A name that comes twice, or an empty one, is a fault of the sender's.
    (set.len() == all.len() && set.len() <= MAX_GROUPS).then_some(set)
}

/// RFC 3339, or milliseconds since 1970.
fn time_ms(field: &Field) -> Option<i64> {
    match field {
        Field::Text(t) if t.len() <= 40 => t.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond),
        Field::Whole(ms) => (*ms >= 0).then_some(*ms),
        _ => None,
    }
}

fn from_hex(hex: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

/// The payload of `lock/set`: `{"action":"UNLOCK"}`, as discovery tells Home Assistant to send it, or the bare word, as
/// simple gateways do. A code is not looked at: who may open from there is Home Assistant's to decide.
#[must_use]
pub fn lock_set(payload: &[u8]) -> Option<Command> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Set<'a> {
        action: &'a str,
        #[serde(default, rename = "code")]
        _code: Option<de::IgnoredAny>,
    }
    let text = std::str::from_utf8(payload).ok()?;
    let word = if text.starts_with('{') { serde_json::from_str::<Set<'_>>(text).ok()?.action } else { text };
    match word {
        "UNLOCK" | "OPEN" => Some(Command::Unlock),
        "LOCK" => Some(Command::Lock),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: CommandName, text: &str) -> Result<Request, String> {
        Request::parse("front", name, text.as_bytes())
    }

    const TIMES: &str = r#""id":"a1","at":"2026-11-21T06:40:00Z","expires":"2026-11-21T06:40:05.5Z""#;

    #[test]
    fn the_signed_text_and_its_signature_are_fixed() {
        let payload = format!(r#"{{{TIMES},"until":"2026-11-21T08:00:00Z","hmac":"{}"}}"#, "0".repeat(64));
        let mut request = parse(CommandName::Hold, &payload).expect("parses");
        let text = "cardea-command-1\nfront\nhold\na1\n2026-11-21T06:40:00Z\n2026-11-21T06:40:05.5Z\n\
                    until=2026-11-21T08:00:00Z";
        assert_eq!(request.signed, text);
        // By `openssl dgst -sha256 -hmac secret` over that text.
        let hex = sign(b"secret", text);
        assert_eq!(hex, SIGNATURE);
        assert!(!request.is_signed_with(b"secret"));
        request.hmac = from_hex(&hex);
        assert!(request.is_signed_with(b"secret") && !request.is_signed_with(b"Secret"));
        request.hmac = None;
        assert!(!request.is_signed_with(b"secret"));
    }

    const SIGNATURE: &str = "9740f5b044014852346090e90d21aa4ba5ab927f1d8436059b7e94e17c5e39be";

    #[test]
    fn times_are_texts_or_milliseconds() {
        let r =
            parse(CommandName::Unlock, r#"{"id":"a1","at":1795243200000,"expires":1795243205000}"#).expect("parses");
        assert_eq!((r.at_ms, r.expires_ms), (Some(1_795_243_200_000), Some(1_795_243_205_000)));
        assert!(r.signed.ends_with("\n1795243200000\n1795243205000"));
        let r = parse(CommandName::Unlock, &format!("{{{TIMES}}}")).expect("parses");
        assert_eq!((r.at_ms, r.expires_ms), (Some(1_795_243_200_000), Some(1_795_243_205_500)));
    }

    #[test]
    fn what_is_not_a_command_is_refused_with_its_id_where_it_has_one() {
        for text in ["", "{", "[]", "null", "1", "{}", r#"{"id":7}"#, r#"{"id":""}"#, r#"{"id":"a b"}"#, "\u{feff}{}"] {
            assert_eq!(parse(CommandName::Ping, text), Err(String::new()), "{text}");
        }
        let long = format!(r#"{{"id":"{}"}}"#, "a".repeat(65));
        assert_eq!(parse(CommandName::Ping, &long), Err(String::new()));
        for (name, text) in [
            (CommandName::Unlock, r#"{"id":"a1"}"#),
            (CommandName::Unlock, r#"{"id":"a1","at":"2026-11-21T06:40:00Z"}"#),
            (CommandName::Unlock, r#"{"id":"a1","at":"yesterday","expires":"tomorrow"}"#),
            (CommandName::Ping, r#"{"id":"a1","hmac":"00"}"#),
            (CommandName::Ping, r#"{"id":"a1","hmac":5}"#),
            (CommandName::Ping, r#"{"id":"a1","more":5}"#),
            (CommandName::Replay, r#"{"id":"a1"}"#),
            (CommandName::Replay, r#"{"id":"a1","seq":-1}"#),
            (CommandName::Replay, r#"{"id":"a1","seq":1,"limit":0}"#),
            (CommandName::Replay, r#"{"id":"a1","seq":1,"limit":100001}"#),
        ] {
            assert_eq!(parse(name, text), Err("a1".to_owned()), "{text}");
        }
        let person = |p: &str| format!(r#"{{{TIMES},"person":{p}}}"#);
        assert!(parse(CommandName::Remove, &person("\"p-17\"")).is_ok());
        for bad in ["\"../x\"", "\"\"", "5", "null"] {
            assert!(parse(CommandName::Remove, &person(bad)).is_err(), "{bad}");
        }
        let enrol = |more: &str| parse(CommandName::Enroll, &format!(r#"{{{TIMES},"person":"ada"{more}}}"#));
        let command = enrol(r#","groups":"staff night","valid_to":1795243200000"#).expect("parses").command;
        let groups = ["staff".to_owned(), "night".to_owned()].into();
        let person = PersonId::new("ada").expect("valid");
        assert_eq!(command, Command::Enroll { person, groups, valid_to_ms: Some(1_795_243_200_000) });
        for bad in [
            r#","groups":"#.to_owned() + "\"\"",
            r#","groups":"staff staff""#.into(),
            r#","groups":"staff  night""#.into(),
            r#","groups":["staff"]"#.into(),
            r#","valid_to":"tomorrow""#.into(),
            r#","photo":"AAAA""#.into(),
            format!(r#","groups":"{}""#, (0..17).map(|n| format!("g{n}")).collect::<Vec<_>>().join(" ")),
        ] {
            assert!(enrol(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_field_that_two_readers_could_read_differently_is_refused() {
        for text in [
            r#"{"id":"a1","id":"a2"}"#,
            r#"{"id":"a1","x":1,"x":2}"#,
            r#"{"id":"a1","x":{"y":1}}"#,
            r#"{"id":"a1","x":1.5}"#,
            r#"{"id":"a1","X":1}"#,
            r#"{"id":"a1","x=y":1}"#,
            "{\"id\":\"a1\",\"x\":\"1\\ny=2\"}",
            r#"{"id":"a1"} {"id":"a2"}"#,
        ] {
            assert!(parse(CommandName::Ping, text).is_err(), "{text}");
        }
    }
}
