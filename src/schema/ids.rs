//! Names that people, devices and visits carry.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A person's key in the store and in records: 1 to 64 letters, digits, spaces or `_ - . '`, no leading
/// dot or dash. It is never used to build a topic, a path or a query.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct PersonId(String);

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a valid {kind}: {rule}")]
pub struct BadName {
    /// What was offered.
    pub name: String,
    /// What it should have named.
    pub kind: &'static str,
    /// The rule it broke.
    pub rule: &'static str,
}

impl PersonId {
    /// Checks the rule in the type's description.
    ///
    /// # Errors
    /// [`BadName`] with the rule.
    pub fn new(name: &str) -> Result<Self, BadName> {
        let name = name.trim();
        let ok = (1..=64).contains(&name.chars().count())
            && !name.starts_with(['.', '-'])
            && name.chars().all(|c| c.is_alphanumeric() || " _-.'".contains(c));
        if ok {
            Ok(PersonId(name.to_owned()))
        } else {
            Err(BadName {
                name: name.chars().filter(|c| !c.is_control()).take(80).collect(),
                kind: "person",
                rule: "1 to 64 letters, digits, spaces or _ - . ', not starting with a dot or a dash",
            })
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PersonId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PersonId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        PersonId::new(&String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

/// A terminal's stable name, `^[a-z0-9_-]{1,32}$`, never `site`: the middle of every topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct DeviceId(String);

impl DeviceId {
    /// Checks the rule in the type's description.
    ///
    /// # Errors
    /// [`BadName`] with the rule.
    pub fn new(name: &str) -> Result<Self, BadName> {
        let ok = (1..=32).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
            && name != "site";
        if ok {
            Ok(DeviceId(name.to_owned()))
        } else {
            Err(BadName {
                name: name.chars().filter(|c| !c.is_control()).take(80).collect(),
                kind: "device",
                rule: "1 to 32 of a-z 0-9 _ -, and not `site`",
            })
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One visit's number: unique within a boot, drawn by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VisitId(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_hurt_are_refused() {
        for bad in ["", " ", "-x", ".x", "a/b", "a\nb", "a+b", "a#b", &"x".repeat(65), "a\0b", "a\"b"] {
            assert!(PersonId::new(bad).is_err(), "{bad:?}");
        }
        for good in ["p01", "Joseph_Biden", "Jürgen O'Neil", "陳 小明"] {
            assert_eq!(PersonId::new(good).map(|p| p.to_string()), Ok(good.to_owned()));
        }
    }

    #[test]
    fn a_device_is_one_topic_level() {
        for bad in ["", "site", "Front", "a/b", "a+", "#", &"x".repeat(33)] {
            assert!(DeviceId::new(bad).is_err(), "{bad:?}");
        }
        assert!(DeviceId::new("front-door_2").is_ok());
    }
}
