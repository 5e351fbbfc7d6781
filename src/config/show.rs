//! The merged configuration as a list, and the example file.

use super::fault::Origin;
use super::keys::{Key, keys};
use super::load::Merged;
use super::raw::Raw;
use toml::{Table, Value};

/// One key with its value in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Dotted name.
    pub key: String,
    /// `None`: not set, and there is no fixed default.
    pub value: Option<Value>,
    /// Where the value came from.
    pub origin: Origin,
}

impl Entry {
    /// `door.relay` of `door.relay.kind`.
    #[must_use]
    pub fn section(&self) -> &str {
        self.key.rsplit_once('.').map_or("", |(section, _)| section)
    }

    /// `kind` of `door.relay.kind`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.key.rsplit_once('.').map_or(&self.key, |(_, name)| name)
    }
}

/// Every key of this version with its value, ordered by section.
#[must_use]
pub fn entries(merged: &Merged) -> Vec<Entry> {
    let table = Table::try_from(&merged.raw).expect("a table of plain values is TOML");
    let mut entries: Vec<Entry> = keys()
        .keys
        .keys()
        .map(|key| Entry {
            key: key.clone(),
            value: find(&table, key).cloned(),
            origin: merged.origins.get(key).cloned().unwrap_or(Origin::Default),
        })
        .collect();
    // A table's own keys stand before those of the tables inside it, else TOML would take them for the inner one's.
    entries.sort_by(|a, b| (a.section(), a.name()).cmp(&(b.section(), b.name())));
    entries
}

/// What may stand behind a key; `None` for one that does not exist.
#[must_use]
pub fn about(key: &str) -> Option<&'static Key> {
    keys().keys.get(key)
}

/// What a key means, in one sentence.
#[must_use]
pub fn description(key: &str) -> &'static str {
    keys().keys.get(key).map_or("", |k| &k.description)
}

fn find<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => table.get(key),
        Some((section, rest)) => find(table.get(section)?.as_table()?, rest),
    }
}

/// The text of `config/cardea.toml`: every key with its meaning, range and default, commented out.
#[must_use]
pub fn example() -> String {
    let defaults = Merged { raw: Raw::default(), origins: super::Origins::new(), faults: Vec::new() };
    let mut text = String::from(
        "# Configuration of cardea: every key, with its default. Copy to /etc/cardea/cardea.toml and change what you need.\n\
         # Later layers win: this file, cardea.d/*.toml beside it, settings.toml of the state directory (the console's), CARDEA__SECTION__KEY, a systemd credential cardea.toml, --set.\n\
         # `cardea config check` lists everything that is wrong; `cardea config show --origin` tells where a value came from.\n",
    );
    let mut section = String::new();
    for entry in entries(&defaults) {
        if entry.section() != section {
            section = entry.section().to_owned();
            text.push_str(&format!("\n[{section}]\n"));
        }
        let key = &keys().keys[&entry.key];
        let value = entry.value.as_ref().map(Value::to_string).or_else(|| key.example.clone()).unwrap_or_default();
        text.push_str(&format!("# {}{}\n#{} = {value}\n", key.description, range(key), entry.name()));
    }
    text
}

fn range(key: &Key) -> String {
    key.range.map(|(lo, hi)| format!(" {lo} to {hi}.")).unwrap_or_default()
}
