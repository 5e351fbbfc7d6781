//! The list of keys: names, types and ranges, read from the JSON schema of [`Raw`].

use super::raw::Raw;
use schemars::generate::SchemaSettings;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// What may stand behind one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// The comment of the example file.
    pub description: String,
    /// Name of a JSON type: `integer`, `number`, `boolean`, `string`, `array`.
    pub kind: String,
    /// Inclusive bounds of a number.
    pub range: Option<(f64, f64)>,
    /// All values, where they can be listed; those of the elements for an array.
    pub values: Vec<String>,
    /// For a key without a default.
    pub example: Option<String>,
}

impl Key {
    /// What is expected, to stand behind "is not".
    #[must_use]
    pub fn expected(&self) -> String {
        let range = self.range.map(|(lo, hi)| format!(" from {lo} to {hi}")).unwrap_or_default();
        let values = self.values.join(", ");
        match (self.kind.as_str(), self.values.is_empty()) {
            ("integer", _) => format!("a whole number{range}"),
            ("number", _) => format!("a number{range}"),
            ("boolean", _) => "true or false".into(),
            ("array", true) => "a list of texts".into(),
            ("array", false) => format!("a list of some of: {values}"),
            (_, true) => "a text".into(),
            (_, false) => format!("one of: {values}"),
        }
    }
}

/// All keys and sections of this version.
#[derive(Debug)]
pub struct Keys {
    /// By dotted name.
    pub keys: BTreeMap<String, Key>,
    /// Dotted names, `door` and `door.relay`.
    pub sections: BTreeSet<String>,
}

/// The list; made once.
#[must_use]
pub fn keys() -> &'static Keys {
    static KEYS: LazyLock<Keys> = LazyLock::new(|| {
        let mut out = Keys { keys: BTreeMap::new(), sections: BTreeSet::new() };
        collect(&schema(), "", &mut out);
        out
    });
    &KEYS
}

/// JSON schema of the configuration file.
#[must_use]
pub fn schema() -> Json {
    let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<Raw>().to_value()
}

fn collect(schema: &Json, prefix: &str, out: &mut Keys) {
    for (name, part) in schema["properties"].as_object().into_iter().flatten() {
        let dotted = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        if part.get("properties").is_some() {
            collect(part, &dotted, out);
            out.sections.insert(dotted);
        } else {
            out.keys.insert(dotted, key(part));
        }
    }
}

fn key(part: &Json) -> Key {
    // An optional key has the type ["string", "null"]; TOML has no null, so the first name is the one.
    let kind = part["type"].as_str().or_else(|| part["type"][0].as_str()).unwrap_or("string");
    let range = part["minimum"].as_f64().zip(part["maximum"].as_f64());
    let values = if kind == "array" { &part["items"]["enum"] } else { &part["enum"] };
    Key {
        description: part["description"].as_str().unwrap_or_default().to_owned(),
        kind: kind.to_owned(),
        range,
        values: values.as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect(),
        // Texts and whole numbers are written the same in JSON and in TOML.
        example: part["examples"].get(0).map(Json::to_string),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_range_and_every_key_a_description() {
        for (name, key) in &keys().keys {
            assert!(!key.description.is_empty(), "{name} has no description");
            if ["integer", "number"].contains(&key.kind.as_str()) {
                assert!(key.range.is_some(), "{name} has no range");
            }
        }
    }

    #[test]
    fn the_sections_of_the_contract_are_all_known() {
        let contract = "device camera models recognition liveness challenge door prompt rules mqtt web store privacy site osdp log insecure";
        for name in contract.split(' ') {
            assert!(keys().sections.contains(name), "{name}");
        }
        assert_eq!(keys().sections.iter().filter(|s| !s.contains('.')).count(), contract.split(' ').count());
    }

    #[test]
    fn a_key_says_what_it_expects() {
        let expected = |name: &str| keys().keys[name].expected();
        assert_eq!(expected("door.hold_ms"), "a whole number from 200 to 10000");
        assert_eq!(expected("door.guard"), "one of: spawn, socket");
        assert_eq!(expected("mqtt.port"), "a whole number from 1 to 65535");
        assert_eq!(expected("mqtt.names"), "true or false");
        assert_eq!(expected("models.runtime"), "a text");
        assert_eq!(expected("camera.command"), "a list of texts");
        assert!(expected("challenge.actions").contains("brow_raise"));
    }
}
