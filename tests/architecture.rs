//! The picture of `docs/architecture.md` as a table, held against every file of `src/`.
//!
//! Only what ships is looked at: comments, texts and `#[cfg(test)]` code are cut out first.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Which room may use which. A room that names a module inside another, like `vision::frame`, is a room of its own.
const ALLOWED: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("schema", &["base"]),
    ("domain", &["base", "schema"]),
    ("vision::frame", &["base"]),
    ("ports", &["base", "schema", "domain", "vision::frame"]),
    ("config", &["base", "schema", "domain", "ports", "vision::frame"]),
    // What a network is, in plain words: the manifest fills it, the pipeline reads it.
    ("vision::family", &["base", "ports"]),
    ("vision", &["base", "schema", "domain", "ports", "config", "vision::frame", "vision::family"]),
    // Lines by their names: relay, inputs and lamps look for them alike.
    ("adapters::gpio", &["base", "ports"]),
    ("adapters", &["base", "schema", "domain", "ports", "config", "vision::frame", "vision::family", "adapters::gpio"]),
    ("runtime", &["base", "schema", "domain", "ports", "config", "vision", "adapters"]),
    ("guard", &["base", "schema", "ports", "adapters::relay", "adapters::system"]),
    ("cli", &["base", "schema", "domain", "ports", "config", "vision", "adapters", "runtime", "guard"]),
];

/// What the domain must not touch: I/O, clocks, threads, randomness (a `HashMap` iterates in a random order). An `Arc`
/// is a value like any other.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::io",
    "std::os",
    "std::thread",
    "std::process",
    "std::env",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::sync::Condvar",
    "std::sync::Barrier",
    "std::sync::Once",
    "std::sync::OnceLock",
    "std::sync::LazyLock",
    "std::sync::mpsc",
    "std::sync::atomic",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::collections::HashMap",
    "std::collections::HashSet",
    "std::hash::RandomState",
    // The calendar's own ways to the machine's clock and zone database.
    "jiff::Zoned::now",
    "jiff::Timestamp::now",
    "jiff::tz::db",
    "jiff::tz::TimeZoneDatabase",
];

/// Crates that the domain may use: the generator runs on a seed that the shell hands in, and of the calendar it uses
/// arithmetic on values; zones come as values too.
const DOMAIN_CRATES: &[&str] = &["rand_chacha", "jiff"];

/// Hardware, network and database crates, and the rooms that may name them.
const OUTER_CRATES: &[(&str, &[&str])] = &[
    ("v4l", &["adapters"]),
    ("rppal", &["adapters"]),
    ("gpiocdev", &["adapters", "adapters::gpio"]),
    ("drm", &["adapters"]),
    ("embedded_graphics", &["adapters"]),
    ("embedded_hal", &["adapters"]),
    ("linux_embedded_hal", &["adapters"]),
    ("mipidsi", &["adapters"]),
    ("libosdp", &["adapters"]),
    ("evdev", &["adapters"]),
    ("ort", &["adapters"]),
    ("tract_onnx", &["adapters"]),
    ("rusqlite", &["adapters"]),
    ("rumqttc", &["adapters"]),
    ("ureq", &["adapters"]),
    ("chacha20poly1305", &["adapters"]),
    ("ring", &["adapters"]),
    ("linfa", &["adapters"]),
    ("linfa_ftrl", &["adapters"]),
    ("tokio", &["adapters", "runtime"]),
    ("axum", &["adapters"]),
    ("hyper", &["adapters"]),
    ("tokio_rustls", &["adapters"]),
    ("tokio_tungstenite", &["adapters"]),
    ("socketioxide", &["adapters"]),
    ("rcgen", &["adapters"]),
    ("utoipa", &["adapters"]),
];

/// One file, as the rules see it.
struct Source {
    /// `["vision", "frame"]` for `src/vision/frame.rs`; `["vision"]` for `src/vision/mod.rs`.
    module: Vec<String>,
    /// Without comments, texts and tests.
    code: String,
    /// Every path named, `crate` and `super` resolved against the module and written as `crate::…`.
    paths: BTreeSet<String>,
}

impl Source {
    fn new(file: &str, text: &str) -> Self {
        let mut module: Vec<String> = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if module.last().is_some_and(|m| m == "mod") {
            module.pop();
        }
        let code = without_tests(&without_texts(text));
        let paths = paths(&code).into_iter().map(|p| absolute(&p, &module)).collect();
        Source { module, code, paths }
    }

    /// The most exact room that holds this module.
    fn room(&self) -> &'static str {
        let name = self.module.join("::");
        let rooms = ALLOWED.iter().map(|(room, _)| *room).filter(|room| within(&name, room));
        rooms.max_by_key(|room| room.len()).unwrap_or("")
    }
}

/// `path` is `room` or something inside it.
fn within(path: &str, room: &str) -> bool {
    path.strip_prefix(room).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Everything that a file does against the rules, as sentences.
fn violations(file: &str, text: &str, crates: &BTreeSet<String>) -> Vec<String> {
    let source = Source::new(file, text);
    let room = source.room();
    let mut found = Vec::new();
    if room.is_empty() {
        found.push(format!("{file} is in no room of the table"));
    }
    let allowed = ALLOWED.iter().find(|(name, _)| *name == room).map_or(&[][..], |(_, allowed)| allowed);
    for path in &source.paths {
        if let Some(target) = path.strip_prefix("crate::") {
            let own = match (room, source.module.get(1)) {
                // Adapters do not know each other: the camera's may use the camera's only.
                ("adapters", Some(adapter)) => within(target, &format!("adapters::{adapter}")),
                _ => within(target, room),
            };
            if !own && !allowed.iter().any(|room| within(target, room)) {
                found.push(format!("{file}: `{room}` must not use `{target}`"));
            }
        }
        let first = path.split("::").next().unwrap_or_default();
        for (name, rooms) in OUTER_CRATES {
            if first == *name && !rooms.contains(&room) {
                found.push(format!("{file}: only {rooms:?} may use the crate {name}"));
            }
        }
        if room == "domain" {
            // `use std::time` opens the way to `time::Instant` just as well.
            if IMPURE.iter().any(|bad| within(path, bad) || within(bad, path)) {
                found.push(format!("{file}: the domain must not use `{path}`"));
            }
            if crates.contains(first) && !DOMAIN_CRATES.contains(&first) {
                found.push(format!("{file}: the domain must not use the crate {first}"));
            }
        }
    }
    if room == "domain" {
        for name in ["print!", "println!", "eprint!", "eprintln!", "dbg!"] {
            if source.code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '!')).any(|word| word == name) {
                found.push(format!("{file}: the domain must not print with {name}"));
            }
        }
    }
    found
}

/// Replaces comments and the inside of texts by spaces.
fn without_texts(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    let starts = |i: usize, s: &str| s.chars().enumerate().all(|(k, c)| chars.get(i + k) == Some(&c));
    while i < chars.len() {
        let end = if starts(i, "//") {
            (i..chars.len()).find(|k| chars[*k] == '\n').unwrap_or(chars.len())
        } else if starts(i, "/*") {
            let mut depth = 0;
            let mut k = i;
            loop {
                if starts(k, "/*") {
                    depth += 1;
                    k += 2;
                } else if starts(k, "*/") {
                    depth -= 1;
                    k += 2;
                } else {
                    k += 1;
                }
                if depth == 0 || k >= chars.len() {
                    break k.min(chars.len());
                }
            }
        } else if let Some(hashes) = raw_text(&chars, i) {
            let close = format!("\"{}", "#".repeat(hashes));
            let from = i + 2 + hashes;
            (from..chars.len()).find(|k| starts(*k, &close)).map_or(chars.len(), |k| k + close.len())
        } else if chars[i] == '"' {
            let mut k = i + 1;
            while k < chars.len() && chars[k] != '"' {
                k += if chars[k] == '\\' { 2 } else { 1 };
            }
            (k + 1).min(chars.len())
        } else if chars[i] == '\'' && (chars.get(i + 1) == Some(&'\\') || chars.get(i + 2) == Some(&'\'')) {
            // A character; a lifetime has no closing quote.
            let from = i + if chars[i + 1] == '\\' { 3 } else { 2 };
            (from..chars.len()).find(|k| chars[*k] == '\'').map_or(chars.len(), |k| k + 1)
        } else {
            out.push(chars[i]);
            i += 1;
            continue;
        };
        out.extend(chars[i..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        i = end;
    }
    out
}

/// Number of hashes of a raw text that begins at `i`.
fn raw_text(chars: &[char], i: usize) -> Option<usize> {
    let before = i.checked_sub(1).map(|k| chars[k]);
    if chars[i] != 'r' || before.is_some_and(|c| c.is_alphanumeric() || c == '_') && before != Some('b') {
        return None;
    }
    let hashes = chars[i + 1..].iter().take_while(|c| **c == '#').count();
    (chars.get(i + 1 + hashes) == Some(&'"')).then_some(hashes)
}

/// Cuts out the item behind each `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..at]);
        let item = &rest[at..];
        let body = item.find(['{', ';']).unwrap_or(item.len() - 1);
        let end = if item[body..].starts_with('{') { body + braces(&item[body..]) } else { body + 1 };
        rest = &item[end..];
    }
    out + rest
}

/// Length of the block that `code` begins with.
fn braces(code: &str) -> usize {
    let mut depth = 0;
    for (i, c) in code.char_indices() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if depth == 0 {
            return i + 1;
        }
    }
    code.len()
}

/// Every path of two or more names, and those of `use`, groups written out.
fn paths(code: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find(|c: char| c.is_alphabetic() || c == '_') {
        let word_end = |s: &str| s.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(s.len());
        let word = &rest[at..at + word_end(&rest[at..])];
        if word == "use" {
            let tail = &rest[at + 3..];
            let end = tail.find(';').unwrap_or(tail.len());
            tree("", &tail[..end], &mut out);
            rest = &tail[end..];
        } else if word == "extern" && rest[at..].starts_with("extern crate ") {
            let name = rest[at + 13..].trim_start();
            out.push(name[..word_end(name)].to_owned());
            rest = name;
        } else {
            let path = &rest[at..];
            let len = path.find(|c: char| !(c.is_alphanumeric() || "_:".contains(c))).unwrap_or(path.len());
            if path[..len].contains("::") {
                out.push(path[..len].trim_end_matches(':').to_owned());
            }
            rest = &path[len.max(1)..];
        }
    }
    out
}

/// Writes out `a::{b, c::{d, e as f}, *, self}`.
fn tree(prefix: &str, text: &str, out: &mut Vec<String>) {
    let text = text.trim().trim_start_matches("::");
    let join = |name: &str| if prefix.is_empty() { name.to_owned() } else { format!("{prefix}::{name}") };
    if let Some(open) = text.find('{') {
        let head = text[..open].trim().trim_end_matches("::");
        let prefix = if head.is_empty() { prefix.to_owned() } else { join(head) };
        let inner = &text[open + 1..text.rfind('}').unwrap_or(text.len())];
        let mut depth = 0;
        let parts = inner.split(|c: char| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        });
        parts.filter(|p| !p.trim().is_empty()).for_each(|part| tree(&prefix, part, out));
    } else {
        let name = text.split_whitespace().next().unwrap_or_default();
        out.push(match name {
            "self" | "*" => prefix.to_owned(),
            name => join(name.trim_end_matches("::*")),
        });
    }
}

/// Resolves `super` and `self` against `module`.
fn absolute(path: &str, module: &[String]) -> String {
    let mut here = module.to_vec();
    let mut names: Vec<&str> = path.split("::").collect();
    if !["super", "self"].contains(&names[0]) {
        return path.to_owned();
    }
    while let Some(first) = names.first() {
        match *first {
            "super" => drop(here.pop()),
            "self" => {}
            _ => break,
        }
        names.remove(0);
    }
    let names = here.iter().map(String::as_str).chain(names);
    std::iter::once("crate").chain(names).collect::<Vec<_>>().join("::")
}

/// Every Rust file of `src/` but the two roots, as (path inside `src/`, text).
fn sources() -> Vec<(String, String)> {
    fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                out.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files.sort();
    let inside = |p: &Path| p.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
    let tests_only = |name: &str| name.ends_with("/tests.rs") || name.contains("/tests/");
    files
        .iter()
        .map(|p| (inside(p), fs::read_to_string(p).unwrap()))
        .filter(|(name, _)| name != "lib.rs" && name != "main.rs" && !tests_only(name))
        .collect()
}

fn manifest() -> toml::Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    fs::read_to_string(path).unwrap().parse().unwrap()
}

/// Names of the dependencies as they are written in code.
fn crates() -> BTreeSet<String> {
    manifest()["dependencies"].as_table().unwrap().keys().map(|name| name.replace('-', "_")).collect()
}

#[test]
fn every_room_uses_only_the_rooms_above_it() {
    let crates = crates();
    let sources = sources();
    assert!(sources.len() > 30, "only {} files were found", sources.len());
    let found: Vec<String> = sources.iter().flat_map(|(name, text)| violations(name, text, &crates)).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn every_room_of_the_table_exists_and_uses_no_room_below_itself() {
    let names: Vec<&str> = ALLOWED.iter().map(|(name, _)| *name).collect();
    for (at, (room, allowed)) in ALLOWED.iter().enumerate() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room.replace("::", "/"));
        assert!(path.is_dir() || path.with_extension("rs").is_file(), "there is no {}", path.display());
        for used in *allowed {
            assert!(names[..at].iter().any(|above| within(used, above)), "{room} uses {used}, which stands below it");
        }
    }
}

#[test]
fn no_code_of_ours_is_unsafe_and_every_profile_aborts() {
    for root in ["lib.rs", "main.rs"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(root)).unwrap();
        let code = without_texts(&text);
        assert!(code.lines().any(|line| line.trim() == "#![forbid(unsafe_code)]"), "src/{root}");
    }
    let manifest = manifest();
    let profiles = manifest["profile"].as_table().unwrap();
    for name in ["dev", "release"] {
        assert!(profiles.contains_key(name), "[profile.{name}] would unwind by default");
    }
    for (name, profile) in profiles {
        assert_eq!(profile.get("panic").and_then(toml::Value::as_str), Some("abort"), "[profile.{name}]");
    }
}

#[test]
fn the_checker_finds_every_way_around_the_table() {
    let crates = crates();
    for (file, text, part) in [
        ("base/x.rs", "use crate::cli::Globals;", "`base` must not use `cli::Globals`"),
        ("base/x.rs", "fn f() { crate::runtime::go(); }", "must not use `runtime::go`"),
        ("base/x.rs", "use super::super::runtime::Thing;", "must not use `runtime::Thing`"),
        ("base/mod.rs", "pub use super::ports;", "must not use `ports`"),
        ("ports.rs", "use super::config::Config;", "must not use `config::Config`"),
        ("schema/x.rs", "use crate::{base::time::Tick, domain::{self, visit}};", "must not use `domain`"),
        ("vision/x.rs", "use crate::adapters::infer::Ort as Net;", "must not use `adapters::infer::Ort`"),
        ("vision/frame.rs", "use crate::vision::pipeline::P;", "`vision::frame` must not use `vision::pipeline::P`"),
        ("adapters/mqtt.rs", "use crate::vision::pipeline::P;", "must not use `vision::pipeline::P`"),
        ("adapters/mqtt.rs", "use crate::vision;", "must not use `vision`"),
        ("adapters/camera/x.rs", "use crate::adapters::system::Real;", "must not use `adapters::system::Real`"),
        ("adapters/camera/x.rs", "use super::super::relay::Sim;", "must not use `adapters::relay::Sim`"),
        ("guard/mod.rs", "use crate::config::Config;", "`guard` must not use `config::Config`"),
        ("guard/mod.rs", "use crate::adapters::mqtt::Client;", "must not use `adapters::mqtt::Client`"),
        ("runtime/x.rs", "use crate::cli::load_config;", "must not use `cli::load_config`"),
        ("cellar/x.rs", "", "is in no room"),
        ("domain/x.rs", "use std::time::Instant;", "the domain must not use `std::time::Instant`"),
        ("domain/x.rs", "use std::{fmt, time};", "the domain must not use `std::time`"),
        ("domain/x.rs", "use std::*;", "the domain must not use `std`"),
        ("domain/x.rs", "fn f() { std::thread::yield_now(); }", "must not use `std::thread::yield_now`"),
        ("domain/x.rs", "use std::{collections::{BTreeMap, HashMap}};", "must not use `std::collections::HashMap`"),
        ("domain/x.rs", "use tracing::info;", "the domain must not use the crate tracing"),
        ("domain/x.rs", "fn f() { getrandom::fill(&mut [0]); }", "the domain must not use the crate getrandom"),
        ("domain/x.rs", "fn f() { eprintln!(\"x\"); }", "must not print with eprintln!"),
        ("vision/x.rs", "use ort::session::Session;", "may use the crate ort"),
        ("cli/x.rs", "fn f() { rusqlite::Connection::open(p); }", "may use the crate rusqlite"),
        ("cli/x.rs", "extern crate rumqttc;", "may use the crate rumqttc"),
        ("vision/x.rs", "use tokio;", "may use the crate tokio"),
        ("base/x.rs", "#[cfg(test)]\nmod tests { fn f() { } }\nuse crate::cli::G;", "must not use `cli::G`"),
        ("base/x.rs", "const A: &str = \"// \\\" \"; use crate::cli::G;", "must not use `cli::G`"),
        ("base/x.rs", "const C: char = '\"'; use crate::cli::G; const D: char = '\"';", "must not use `cli::G`"),
    ] {
        let found = violations(file, text, &crates);
        assert!(found.iter().any(|f| f.contains(part)), "{file}: {text}: {found:?}");
    }
}

#[test]
fn the_checker_passes_what_is_allowed() {
    let crates = crates();
    for (file, text) in [
        ("base/x.rs", "// use crate::cli::G;\n/* crate::cli /* nested */ */ const A: &str = \"crate::cli::G\";"),
        ("base/x.rs", "const A: &str = r#\"\" crate::cli::G \"#; fn f<'a>(x: &'a str) -> &'a str { x }"),
        ("base/x.rs", "#[cfg(test)]\nmod tests { use crate::cli::G; fn f() { if true { } } }"),
        ("base/x.rs", "use super::time::Tick; use self::inner::A; use std::sync::Mutex;"),
        ("domain/x.rs", "use std::time::Duration; use std::collections::BTreeMap; use rand_chacha::ChaCha20Rng;"),
        (
            "adapters/relay/sim.rs",
            "use crate::adapters::relay::Level; use super::Client; use crate::vision::frame::Frame;",
        ),
        ("adapters/mqtt.rs", "use rumqttc::v5::Client; use tokio::net::TcpStream;"),
        ("guard/mod.rs", "use crate::adapters::relay::Sim; use crate::adapters::system::RealClock;"),
        ("runtime/x.rs", "use tokio::runtime::Builder;"),
        ("cli/x.rs", "use super::{Code, Failure}; use crate::guard::run;"),
    ] {
        assert_eq!(violations(file, text, &crates), Vec::<String>::new(), "{file}: {text}");
    }
}
