//! What is wrong with a configuration, and where each value came from.

use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Where a value came from. Later variants override earlier ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// A configuration file, among them a systemd credential.
    File { path: PathBuf, line: usize },
    /// An environment variable, by its name.
    Env(String),
    /// `--set`.
    Set,
    /// `--state`.
    State,
}

impl Origin {
    /// The file, variable or option; what a fault calls `file`.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Origin::Default => "built-in default".into(),
            Origin::File { path, .. } => path.display().to_string(),
            Origin::Env(name) => name.clone(),
            Origin::Set => "--set".into(),
            Origin::State => "--state".into(),
        }
    }

    /// The line in a file.
    #[must_use]
    pub const fn line(&self) -> Option<usize> {
        match self {
            Origin::File { line, .. } => Some(*line),
            _ => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place())?;
        self.line().map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

/// Origin of each key that is not a default, by its dotted name.
pub type Origins = BTreeMap<String, Origin>;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// A path, the name of an environment variable, `--set`, `--state`, or `built-in default`.
    pub file: String,
    /// Line in that file, from 1.
    pub line: Option<usize>,
    /// Dotted name, empty where a whole file is meant.
    pub key: String,
    /// What is wrong and what would be right.
    pub what: String,
    /// The valid key or value that is spelt most alike.
    pub nearest: Option<String>,
}

impl Fault {
    /// A fault at `key`, which came from `origin`.
    #[must_use]
    pub fn at(origin: &Origin, key: impl Into<String>, what: impl Into<String>) -> Self {
        Fault { file: origin.place(), line: origin.line(), key: key.into(), what: what.into(), nearest: None }
    }

    /// `file:line: key`, as far as each is known.
    #[must_use]
    pub fn place(&self) -> String {
        let line = self.line.map(|l| format!(":{l}")).unwrap_or_default();
        let key = if self.key.is_empty() { String::new() } else { format!(": {}", self.key) };
        format!("{}{line}{key}", self.file)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place(), self.what)?;
        self.nearest.as_ref().map_or(Ok(()), |n| write!(f, "; did you mean `{n}`?"))
    }
}

/// Everything that is wrong; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// `None` when nothing is wrong.
    #[must_use]
    pub fn new(faults: Vec<Fault>) -> Option<Self> {
        (!faults.is_empty()).then_some(Faults(faults))
    }

    /// The first one, in the order of the sources.
    #[must_use]
    pub fn first(&self) -> &Fault {
        self.0.first().expect("`new` refuses an empty list")
    }

    /// How many there are besides the first.
    #[must_use]
    pub fn more(&self) -> usize {
        self.0.len() - 1
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Faults {
    /// One line a fault.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.iter().map(Fault::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Faults {}

/// The candidate that is spelt most like `word`, unless even that one is far away.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let allowed = 1 + word.chars().count() / 3;
    candidates
        .into_iter()
        .map(|c| (distance(word, c), c))
        .filter(|(d, _)| *d <= allowed)
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c.to_owned())
}

/// Edits (insert, remove, replace) that turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (a, b, edits) in
            [("", "", 0), ("", "abc", 3), ("hold_ms", "hold_ms", 0), ("hold_m", "hold_ms", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a, b), edits, "{a} {b}");
            assert_eq!(distance(b, a), edits, "{b} {a}");
        }
    }

    #[test]
    fn only_a_near_word_is_offered() {
        let keys = ["hold_ms", "guard", "guard_socket"];
        assert_eq!(nearest("hold", keys).as_deref(), None);
        assert_eq!(nearest("hold_m", keys).as_deref(), Some("hold_ms"));
        assert_eq!(nearest("gaurd", keys).as_deref(), Some("guard"));
        assert_eq!(nearest("zzzzzzzz", keys), None);
    }
}
