//! The configuration as the console shows and changes it. What is changed counts from the next start.

use crate::adapters::web::house::{NotSet, SettingRow, WrongField};
use crate::config::{self, Entry, Inputs};
use crate::ports::{PortError, Recovery};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Layers of this start, and the values that came of them.
pub struct Settings {
    inputs: Inputs,
    running: Vec<Entry>,
    /// One change at a time.
    changing: Mutex<()>,
}

fn said(entry: &Entry) -> String {
    entry.value.as_ref().map(ToString::to_string).unwrap_or_default()
}

impl Settings {
    /// What is in force from now on.
    #[must_use]
    pub fn new(inputs: Inputs) -> Settings {
        let running = config::entries(&config::merge(&inputs));
        Settings { inputs, running, changing: Mutex::new(()) }
    }

    /// Every key: as it runs, where that came from, and what comes with the next start where that differs. A path to a
    /// secret is shown, no secret stands in it.
    #[must_use]
    pub fn rows(&self) -> Vec<SettingRow> {
        let next = config::entries(&config::merge(&self.inputs));
        let row = |(now, next): (&Entry, &Entry)| {
            let about = config::about(&now.key);
            let editable = config::is_editable(&now.key);
            SettingRow {
                key: now.key.clone(),
                value: said(now),
                origin: next.origin.to_string(),
                description: config::description(&now.key).to_owned(),
                editable,
                kind: about.map(|k| k.kind.clone()).unwrap_or_default(),
                choices: about.map(|k| k.values.clone()).unwrap_or_default(),
                range: about.and_then(|k| k.range).map(|(lo, hi)| vec![lo, hi]).unwrap_or_default(),
                next: (now.value != next.value).then(|| said(next)),
                own: editable && next.origin.place().ends_with(config::SETTINGS_FILE),
            }
        };
        self.running.iter().zip(&next).map(row).collect()
    }

    /// Checks the whole configuration with the changes, has each recorded, and only then writes the file. Returns the keys
    /// that changed.
    ///
    /// # Errors
    /// Nothing was written.
    pub fn change(
        &self,
        changes: &[(String, Option<toml::Value>)],
        mut record: impl FnMut(String) -> Result<(), PortError>,
    ) -> Result<Vec<String>, NotSet> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let wrong = |f: config::Fault| WrongField { key: f.key, what: f.what };
        let change = config::change(&self.inputs, changes)
            .map_err(|faults| NotSet::Wrong(faults.into_iter().map(wrong).collect()))?;
        for (key, old, new) in &change.rows {
            record(format!("{key}: {old} -> {new}")).map_err(NotSet::Failed)?;
        }
        if !change.rows.is_empty() {
            write(&change.path, change.text.as_bytes()).map_err(|e| {
                let hint = "check the state directory, its owner and the space left";
                NotSet::Failed(PortError::new(format!("write {}", change.path.display()), e, hint, Recovery::Degrade))
            })?;
        }
        Ok(change.rows.into_iter().map(|(key, ..)| key).collect())
    }
}

/// Whole or not at all, and only for the daemon's user.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let made = path.with_extension("toml.new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&made)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&made, path)?;
    std::fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_record_nothing_is_changed_and_what_is_changed_waits_for_a_start() {
        let dir = tempfile::tempdir().expect("a directory");
        let inputs =
            Inputs { file: Some("config/cardea.toml".into()), state: Some(dir.path().to_owned()), ..Inputs::default() };
        let settings = Settings::new(inputs);
        let wanted = [("prompt.language".to_owned(), Some(toml::Value::String("de".into())))];
        let failed = settings.change(&wanted, |_| Err(PortError::new("write", "full", "", Recovery::Degrade)));
        assert!(matches!(failed, Err(NotSet::Failed(_))) && !dir.path().join(config::SETTINGS_FILE).exists());
        let mut told = Vec::new();
        let done = settings.change(&wanted, |what| {
            told.push(what);
            Ok(())
        });
        assert_eq!(done.ok(), Some(vec!["prompt.language".to_owned()]));
        assert_eq!(told, ["prompt.language: \"en\" -> \"de\""]);
        let row = settings.rows().into_iter().find(|r| r.key == "prompt.language").expect("the key");
        assert_eq!((row.value.as_str(), row.next.as_deref(), row.own), ("\"en\"", Some("\"de\""), true));
        assert!(settings.change(&wanted, |_| panic!("nothing changes")).is_ok_and(|k| k.is_empty()));
    }
}
