//! Layers: built-in defaults < file < `cardea.d/*.toml` < the console's `settings.toml` < environment < systemd credential < `--set`.
//!
//! Each key of each layer is tried on its own, so that one fault does not hide the next. A value that is at fault is left
//! out of the merge, so that it does not raise a second fault against its neighbours.

use super::check::check;
use super::compat;
use super::fault::{Fault, Faults, Origin, Origins, nearest};
use super::keys::{Key, keys};
use super::overrides::{SETTINGS_FILE, Text, is_editable};
use super::raw::Raw;
use super::sections::Config;
use serde::Deserialize;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue, ValueDeserializer};
use toml::{Spanned, Table, Value};

/// Read when no file is named; the only one that may be absent.
pub const DEFAULT_FILE: &str = "/etc/cardea/cardea.toml";
/// Drop-in directory beside the file, read in the order of names.
pub const DROP_INS: &str = "cardea.d";
/// Begin of the environment variables, as in `CARDEA__DOOR__HOLD_MS`.
pub const ENV_PREFIX: &str = "CARDEA__";
/// Name of the file among the systemd credentials.
pub const CREDENTIAL: &str = "cardea.toml";
/// A configuration is some kilobytes; a megabyte is a mistake (a disk image, `/dev/zero`).
const MAX_BYTES: u64 = 1 << 20;

/// Where to look. The caller hands in the environment and the arguments; nothing is read from the process itself.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// `--config`; must exist. `None` is `DEFAULT_FILE`.
    pub file: Option<PathBuf>,
    /// `--set section.key=value`, in order.
    pub set: Vec<String>,
    /// `--state`, over `store.dir` of every layer.
    pub state: Option<PathBuf>,
    /// The environment; names without `ENV_PREFIX` are ignored.
    pub env: Vec<(String, String)>,
    /// `$CREDENTIALS_DIRECTORY`.
    pub credentials: Option<PathBuf>,
}

/// All layers merged, with what was wrong in them.
#[derive(Clone, Debug)]
pub struct Merged {
    /// Defaults and every value without fault.
    pub raw: Raw,
    /// Of every key that some layer set.
    pub origins: Origins,
    /// In the order of the layers, then those between keys.
    pub faults: Vec<Fault>,
}

/// The configuration, or everything that is wrong with it.
///
/// # Errors
/// [`Faults`]; then nothing of the configuration may be used.
pub fn load(inputs: &Inputs) -> Result<Config, Faults> {
    load_over(inputs, &Text::OfFile)
}

/// [`load`] with another text of the console's file.
pub(super) fn load_over(inputs: &Inputs, settings: &Text<'_>) -> Result<Config, Faults> {
    let merged = merge_over(inputs, settings);
    let mut faults = merged.faults;
    match check(&merged.raw, &merged.origins) {
        Ok(config) if faults.is_empty() => return Ok(config),
        Ok(_) => {}
        Err(more) => faults.extend(more),
    }
    Err(Faults::new(faults).expect("a configuration without faults was returned above"))
}

/// Reads and merges all layers; faults between keys are not looked for yet.
#[must_use]
pub fn merge(inputs: &Inputs) -> Merged {
    merge_over(inputs, &Text::OfFile)
}

/// [`merge`] with another text of the console's file, which lies where the other layers say.
pub(super) fn merge_over(inputs: &Inputs, settings: &Text<'_>) -> Merged {
    let dir = match layers(inputs, None).table.get("store").and_then(|s| s.get("dir")).and_then(Value::as_str) {
        Some(dir) => PathBuf::from(dir),
        None => Raw::default().store.dir,
    };
    let mut reader = layers(inputs, Some((&dir.join(SETTINGS_FILE), settings)));
    match Raw::deserialize(reader.table) {
        Ok(mut raw) => {
            compat::ports(&mut raw.web.compat, &inputs.env, &mut reader.origins, &mut reader.faults);
            Merged { raw, origins: reader.origins, faults: reader.faults }
        }
        Err(e) => {
            // Every value was accepted on its own, so this is a fault of this file rather than of the user's.
            reader.faults.push(Fault::at(&Origin::Default, "", format!("merging failed: {e}; please report this")));
            Merged { raw: Raw::default(), origins: reader.origins, faults: reader.faults }
        }
    }
}

/// All layers in their order.
fn layers(inputs: &Inputs, settings: Option<(&Path, &Text<'_>)>) -> Reader {
    let mut reader = Reader::default();
    let file = inputs.file.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    reader.file(&file, inputs.file.is_none());
    reader.drop_ins(&file.parent().unwrap_or(Path::new("")).join(DROP_INS));
    if let Some((path, text)) = settings {
        reader.settings(path, text);
    }
    let mut env: Vec<_> = inputs.env.iter().collect();
    env.sort(); // So that faults have an order.
    for (name, value) in env {
        if let Some(key) = name.strip_prefix(ENV_PREFIX) {
            reader.text(Origin::Env(name.clone()), &key.to_lowercase().replace("__", "."), value);
        }
    }
    if let Some(dir) = &inputs.credentials {
        reader.file(&dir.join(CREDENTIAL), true);
    }
    for pair in &inputs.set {
        match pair.split_once('=') {
            Some((key, value)) => reader.text(Origin::Set, key.trim(), value.trim()),
            None => {
                let what = format!("`{pair}` has no `=`; write section.key=value");
                reader.faults.push(Fault::at(&Origin::Set, "", what));
            }
        }
    }
    if let Some(dir) = &inputs.state {
        reader.insert("store.dir", Value::String(dir.to_string_lossy().into_owned()), Origin::State);
    }
    reader
}

#[derive(Default)]
struct Reader {
    table: Table,
    origins: Origins,
    faults: Vec<Fault>,
    /// Keys that only the owner sets are refused.
    only_editable: bool,
}

impl Reader {
    fn file(&mut self, path: &Path, may_be_absent: bool) {
        match read(path) {
            Ok(text) => self.document(path, &text),
            Err(e) if may_be_absent && e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => self.file_fault(path, format!("cannot be read: {e}")),
        }
    }

    fn settings(&mut self, path: &Path, text: &Text<'_>) {
        self.only_editable = true;
        match text.read(path) {
            Ok(Some(text)) => self.document(path, &text),
            Ok(None) => {}
            Err(e) => self.file_fault(path, format!("cannot be read: {e}")),
        }
        self.only_editable = false;
    }

    fn file_fault(&mut self, path: &Path, what: String) {
        let (file, key) = (path.display().to_string(), String::new());
        self.faults.push(Fault { file, line: None, key, what, nearest: None });
    }

    fn drop_ins(&mut self, dir: &Path) {
        let files = match std::fs::read_dir(dir) {
            Ok(entries) => entries.map(|e| e.map(|e| e.path())).collect::<Result<Vec<_>, _>>(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return,
            Err(e) => Err(e),
        };
        match files.and_then(|files| trusted(&std::fs::metadata(dir)?).map(|()| files)) {
            Ok(mut files) => {
                files.retain(|f| f.extension().is_some_and(|e| e == "toml"));
                files.sort();
                files.iter().for_each(|f| self.file(f, false));
            }
            Err(e) => self.file_fault(dir, format!("cannot be read: {e}")),
        }
    }

    fn document(&mut self, path: &Path, text: &str) {
        let line = |at: usize| text.as_bytes()[..at.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1;
        let origin = |at: usize| Origin::File { path: path.to_owned(), line: line(at) };
        let (table, errors) = DeTable::parse_recoverable(text);
        for e in errors {
            let at = e.span().map_or(0, |s| s.start);
            self.faults.push(Fault::at(&origin(at), "", format!("not TOML: {}", e.message())));
        }
        self.table(table.into_inner(), "", &origin);
    }

    fn table(&mut self, table: DeTable<'_>, prefix: &str, origin: &dyn Fn(usize) -> Origin) {
        // By position, so that faults come in the order of the file.
        let mut entries: Vec<_> = table.into_iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let key =
                if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
            let at = origin(name.span().start);
            match value.into_inner() {
                DeValue::Table(inner) if keys().sections.contains(&key) => {
                    self.table(inner, &key, origin);
                }
                other => match Value::deserialize(ValueDeserializer::from(Spanned::new(0..0, other))) {
                    Ok(value) => self.value(at, &key, value, None),
                    Err(e) => self.faults.push(Fault::at(&at, key, format!("cannot be read: {}", e.message()))),
                },
            }
        }
    }

    /// A value from an argument or a variable: TOML where it is TOML, else the text itself.
    fn text(&mut self, origin: Origin, key: &str, text: &str) {
        let quoted = || Value::String(text.to_owned());
        let parsed = toml::from_str::<Table>(&format!("value = {text}")).ok().filter(|t| t.len() == 1);
        let value = parsed.and_then(|mut t| t.remove("value")).unwrap_or_else(quoted);
        self.value(origin, key, value, Some(quoted()));
    }

    /// Takes a value, or the `otherwise` (a device may be called 12), or tells why not.
    fn value(&mut self, origin: Origin, key: &str, value: Value, otherwise: Option<Value>) {
        let Some(spec) = keys().keys.get(key) else {
            self.faults.push(unknown(&origin, key));
            return;
        };
        if self.only_editable && !is_editable(key) {
            let what = "is not one of the keys that the console's file may set; move it to the configuration file";
            self.faults.push(Fault::at(&origin, key, what));
            return;
        }
        if fits(key, spec, &value) {
            self.insert(key, value, origin);
        } else if let Some(text) = otherwise.filter(|t| fits(key, spec, t)) {
            self.insert(key, text, origin);
        } else {
            let mut fault = Fault::at(&origin, key, format!("{} is not {}", shown(&value), spec.expected()));
            let words = std::slice::from_ref(&value).iter().chain(value.as_array().into_iter().flatten());
            let wrong = words.filter_map(Value::as_str).find(|w| !spec.values.iter().any(|v| v == w));
            fault.nearest = wrong.and_then(|w| nearest(w, spec.values.iter().map(String::as_str)));
            self.faults.push(fault);
        }
    }

    fn insert(&mut self, key: &str, value: Value, origin: Origin) {
        nest(&mut self.table, key, value);
        self.origins.insert(key.to_owned(), origin);
    }
}

/// The whole text of a file that only its owner and its group may write.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let file = std::fs::File::open(path)?;
    trusted(&file.metadata()?)?;
    let mut text = String::new();
    if file.take(MAX_BYTES + 1).read_to_string(&mut text)? as u64 > MAX_BYTES {
        return Err(io::Error::other("it is over 1 MiB; a configuration is some kilobytes"));
    }
    Ok(text)
}

/// Whoever may write the configuration may open the door.
fn trusted(meta: &std::fs::Metadata) -> io::Result<()> {
    if meta.mode() & 0o002 != 0 {
        return Err(io::Error::other("everybody may write to it; run chmod o-w on it"));
    }
    Ok(())
}

/// Tries one value on its own.
fn fits(key: &str, spec: &Key, value: &Value) -> bool {
    let number = value.as_float().or_else(|| value.as_integer().map(|i| i as f64));
    // The bounds exclude NaN as well.
    let in_range = spec.range.zip(number).is_none_or(|((lo, hi), n)| (lo..=hi).contains(&n));
    let mut probe = Table::new();
    nest(&mut probe, key, value.clone());
    in_range && Raw::deserialize(probe).is_ok()
}

/// Puts `value` at the dotted `key`.
pub(super) fn nest(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                nest(inner, rest, value);
            }
        }
    }
}

fn unknown(origin: &Origin, key: &str) -> Fault {
    let known = keys();
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let (what, nearest) = if known.sections.contains(key) {
        (format!("is a section; write [{key}] and its keys below"), None)
    } else if known.sections.contains(section) {
        let inside = known.keys.keys().filter_map(|k| k.strip_prefix(section)?.strip_prefix('.'));
        let here = nearest(name, inside).map(|n| format!("{section}.{n}"));
        let elsewhere = || known.keys.keys().find(|k| k.rsplit('.').next() == Some(name)).cloned();
        (format!("[{section}] has no key of this name"), here.or_else(elsewhere))
    } else {
        let named = known.keys.keys().find(|k| section.is_empty() && k.rsplit('.').next() == Some(name)).cloned();
        let sections = known.sections.iter().map(String::as_str);
        let what = format!("there is no section [{}]", if section.is_empty() { name } else { section });
        (what, named.or_else(|| nearest(if section.is_empty() { name } else { section }, sections)))
    };
    Fault { nearest, ..Fault::at(origin, key, what) }
}

/// A value as typed, cut where it is long.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
