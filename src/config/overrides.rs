//! What the console may change: a file of the daemon's own in the state directory, over the files of the owner and under
//! the environment. Only keys that cannot weaken the door are taken from it, whoever wrote it.

use super::load::{Inputs, load_over, merge_over, read};
use super::{Config, Entry, Fault, Faults, Merged, Origin, entries, keys};
use std::io;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Name of the file in the state directory.
pub const SETTINGS_FILE: &str = "settings.toml";

/// Everything that the console may change. Nothing of what decides about a person, of what drives the relay, of paths and
/// programs, of secrets, or of who may reach the terminal and open its door.
const EDITABLE: [&str; 21] = [
    "camera.exposure_us",
    "camera.fps",
    "camera.gain",
    "camera.height",
    "camera.power_line_hz",
    "camera.width",
    "log.level",
    "models.threads",
    "mqtt.discovery",
    "mqtt.keep_alive_s",
    "prompt.drm.rotate",
    "prompt.language",
    "prompt.panel.rotate",
    "prompt.ring.clockwise",
    "prompt.ring.leds",
    "prompt.ring.top",
    "web.max_sessions",
    "web.session_fps",
    "web.session_ttl_s",
    "web.sessions_per_minute",
    "web.upload_mb",
];

/// Whether the console may change a key.
#[must_use]
pub fn is_editable(key: &str) -> bool {
    EDITABLE.contains(&key)
}

/// The text of the file: the one that lies there, or another one that is being tried.
pub(super) enum Text<'a> {
    OfFile,
    Tried(&'a str),
}

impl Text<'_> {
    /// `None` where there is no file, or none that this user may look for: whoever may not enter the state directory does
    /// not run the daemon.
    pub(super) fn read(&self, path: &Path) -> io::Result<Option<String>> {
        if let Text::Tried(text) = self {
            return Ok(Some((*text).to_owned()));
        }
        match std::fs::symlink_metadata(path) {
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => Ok(None),
            Err(e) => Err(e),
            Ok(_) => read(path).map(Some),
        }
    }
}

/// What a change of settings comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The file that makes it so.
    pub path: PathBuf,
    /// Its whole text.
    pub text: String,
    /// Key, value in force before, value after, as TOML writes them; only keys that change.
    pub rows: Vec<(String, String, String)>,
}

/// Lays changes over the file that is there, and checks the whole configuration that comes of it. `None` takes a key out
/// of the file.
///
/// # Errors
/// Everything that is wrong, by key; then the file stays as it is.
pub fn change(inputs: &Inputs, changes: &[(String, Option<Value>)]) -> Result<Change, Vec<Fault>> {
    let before = super::merge(inputs);
    let path = settings_path(inputs);
    let origin = Origin::File { path: path.clone(), line: 0 };
    let fault = |key: &str, what: String| Fault { line: None, ..Fault::at(&origin, key, what) };
    let mut faults = Vec::new();
    let text =
        Text::OfFile.read(&path).map_err(|e| vec![fault("", format!("cannot be read: {e}"))])?.unwrap_or_default();
    let mut table: Table = toml::from_str(&text).map_err(|e| vec![fault("", format!("not TOML: {}", e.message()))])?;
    for (key, value) in changes {
        if !keys::keys().keys.contains_key(key) {
            faults.push(fault(key, "there is no key of this name".into()));
        } else if !is_editable(key) {
            faults.push(fault(key, "is not changed from afar: change it in the configuration file".into()));
        } else {
            match value {
                Some(v) => super::load::nest(&mut table, key, v.clone()),
                None => remove(&mut table, key),
            }
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let body = toml::to_string(&table).map_err(|e| vec![fault("", format!("cannot be written: {e}"))])?;
    let text = format!("# Written by the console; `cardea config show --origin` tells what is in force.\n{body}");
    let after = merge_over(inputs, &Text::Tried(&text));
    let checked: Result<Config, Faults> = load_over(inputs, &Text::Tried(&text));
    if let Err(all) = checked {
        return Err(all.iter().cloned().collect());
    }
    for (key, value) in changes {
        let wins = after.origins.get(key).filter(|o| **o != origin && o.place() != origin.place());
        if let (Some(_), Some(wins)) = (value, wins) {
            faults.push(fault(key, format!("{wins} wins over what is set here: change it there")));
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let rows = differences(&before, &after).into_iter().filter(|(k, ..)| changes.iter().any(|(c, _)| c == k)).collect();
    Ok(Change { path, text, rows })
}

/// Where the file lies, by all the other layers.
fn settings_path(inputs: &Inputs) -> PathBuf {
    merge_over(inputs, &Text::Tried("")).raw.store.dir.join(SETTINGS_FILE)
}

/// Keys whose values differ.
fn differences(before: &Merged, after: &Merged) -> Vec<(String, String, String)> {
    let said = |e: &Entry| e.value.as_ref().map(Value::to_string).unwrap_or_default();
    let rows = entries(before).into_iter().zip(entries(after));
    rows.filter(|(b, a)| b.value != a.value).map(|(b, a)| (b.key.clone(), said(&b), said(&a))).collect()
}

/// Takes a dotted key out, and what is empty then.
fn remove(table: &mut Table, key: &str) {
    match key.split_once('.') {
        None => drop(table.remove(key)),
        Some((section, rest)) => {
            if let Some(Value::Table(inner)) = table.get_mut(section) {
                remove(inner, rest);
                if inner.is_empty() {
                    table.remove(section);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{load, merge};

    struct House {
        dir: tempfile::TempDir,
        inputs: Inputs,
    }

    fn house(file: &str, settings: Option<&str>) -> House {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("cardea.toml"), file).expect("written");
        if let Some(text) = settings {
            std::fs::write(dir.path().join(SETTINGS_FILE), text).expect("written");
        }
        let inputs = Inputs {
            file: Some(dir.path().join("cardea.toml")),
            state: Some(dir.path().to_owned()),
            ..Inputs::default()
        };
        House { dir, inputs }
    }

    fn refused(h: &House, key: &str, value: Value) -> String {
        let faults = change(&h.inputs, &[(key.into(), Some(value))]).expect_err("it must not pass");
        assert_eq!(faults[0].key, key, "{faults:?}");
        faults[0].what.clone()
    }

    #[test]
    fn the_consoles_file_lies_over_the_owners_and_under_the_environment() {
        let mut h = house("[prompt]\nlanguage = 'fr'\n[camera]\nfps = 20\n", Some("[prompt]\nlanguage = 'de'\n"));
        let merged = merge(&h.inputs);
        assert_eq!((merged.raw.prompt.language.as_str(), merged.raw.camera.fps), ("de", 20));
        assert!(merged.origins["prompt.language"].place().ends_with(SETTINGS_FILE));
        h.inputs.env = vec![("CARDEA__PROMPT__LANGUAGE".into(), "ja".into())];
        assert_eq!(merge(&h.inputs).raw.prompt.language, "ja");
    }

    #[test]
    fn what_could_weaken_the_door_is_refused_even_in_the_file_itself() {
        for line in [
            "insecure.challenge_off = true",
            "web.remote_unlock = true",
            "door.relay.active = 'low'",
            "web.listen = '0.0.0.0:1'",
        ] {
            let h = house("", Some(line));
            let faults = load(&h.inputs).expect_err("it must not pass");
            assert!(faults.first().what.contains("console"), "{line}: {faults}");
        }
        assert!(load(&house("", Some("prompt.language = 'xx'")).inputs).is_err(), "checked like any other file");
        for key in EDITABLE {
            assert!(keys::keys().keys.contains_key(key), "{key}");
            let kept = [
                "insecure.",
                "door.",
                "liveness.",
                "challenge.",
                "recognition.",
                "rules.",
                "store.",
                "site.",
                "device.",
            ];
            assert!(!kept.iter().any(|s| key.starts_with(s)) && !key.ends_with("command"), "{key}");
        }
    }

    #[test]
    fn a_change_keeps_the_rest_and_tells_old_and_new() {
        let h = house("[camera]\nfps = 20\n", Some("[prompt]\nlanguage = 'de'\n"));
        let set = change(&h.inputs, &[("camera.fps".into(), Some(Value::Integer(25)))]).expect("it passes");
        assert_eq!(set.rows, [("camera.fps".into(), "20".into(), "25".into())]);
        assert!(set.text.contains("language = \"de\"") && set.text.contains("fps = 25"), "{}", set.text);
        assert_eq!(set.path, h.dir.path().join(SETTINGS_FILE));
        let gone = change(&h.inputs, &[("prompt.language".into(), None)]).expect("it passes");
        assert_eq!(gone.rows, [("prompt.language".into(), "\"de\"".into(), "\"en\"".into())]);
        assert!(!gone.text.contains("prompt"), "{}", gone.text);
    }

    #[test]
    fn a_wrong_value_a_kept_key_and_a_layer_above_are_told_by_key() {
        let mut h = house("", None);
        assert!(refused(&h, "camera.fps", Value::Integer(0)).contains("from 1 to 120"));
        assert!(refused(&h, "prompt.language", Value::String("xx".into())).contains("is not"));
        assert!(refused(&h, "web.remote_unlock", Value::Boolean(true)).contains("configuration file"));
        assert!(refused(&h, "camera.speed", Value::Integer(1)).contains("no key"));
        h.inputs.set = vec!["camera.fps=10".into()];
        assert!(refused(&h, "camera.fps", Value::Integer(20)).contains("--set wins"));
        assert!(!h.dir.path().join(SETTINGS_FILE).exists(), "nothing is written by asking");
    }
}
