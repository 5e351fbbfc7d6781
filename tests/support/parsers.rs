//! What reads bytes that somebody else wrote, by name: for the seeded run of `tests/hostile.rs` and for `fuzz/`.
//!
//! A parser says whether the bytes were what it reads; more than that it must not do.

use cardea::adapters::infer::manifest::Pack;
use cardea::adapters::relay::wire;
use cardea::adapters::store::is_person;
use cardea::cli::is_people_table;
use cardea::config::parse_rules;
use cardea::schema::command::{CommandName, Memory};
use cardea::schema::directory::{Head, Node, Revocation, SiteTopics, Want};
use cardea::schema::ids::{DeviceId, PersonId};
use cardea::schema::record::Record;
use cardea::schema::request::{Request, lock_set};
use cardea::vision::decode::{Limits, decode_file};
use cardea::vision::frame::jpeg;
use std::path::Path;

/// One of them.
pub struct Parser {
    pub name: &'static str,
    pub reads: fn(&[u8]) -> bool,
    /// Good ones, from which bent ones are made.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

fn texts(all: &[&str]) -> Vec<Vec<u8>> {
    all.iter().map(|t| t.as_bytes().to_vec()).collect()
}

fn file(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_default()
}

fn commands() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"id":"a1","at":1795243200000,"expires":1795243205000,"hmac":"00"}"#,
        r#"{"id":"a1","at":"2026-11-21T06:40:00Z","expires":"2026-11-21T06:40:05Z"}"#,
        r#"{"id":"a1","seq":18446744073709551615,"limit":1000}"#,
        r#"{"action":"UNLOCK"}"#,
    ])
}

fn messages() -> Vec<Vec<u8>> {
    let (a, b) = ("ab".repeat(32), "01".repeat(32));
    let head = format!(
        r#"{{"v":1,"site":"works","signer":"{a}","version":9,"count":2,"root":"{b}","seen":{{"{b}":4}},"sig":"00"}}"#
    );
    let revocation = format!(r#"{{"v":1,"site":"works","signer":"{a}","version":9,"sealed":"AAAA","sig":"00"}}"#);
    let want = format!(r#"{{"v":1,"attempt":2,"blobs":["{b}"],"heads":["{a}"]}}"#);
    let person = r#"{"v":1,"enrolled_unix_ms":1,"templates":[["m","AACAPwAAgD8="]],"attributes":{"groups":["staff"]},"cannot":["blink"]}"#;
    texts(&[&head, &revocation, &want, person, &format!("cardea/site/works/directory/blob/{b}")])
}

fn nodes() -> Vec<Vec<u8>> {
    let mut leaf = vec![2, 3, 0];
    leaf.extend_from_slice(b"ada");
    leaf.extend_from_slice(&[7; 40]);
    leaf.extend_from_slice(&[1, 2, 0, 0, 0, b'{', b'}']);
    let mut index = vec![1];
    (0..4).for_each(|slot| {
        index.push(slot);
        index.extend_from_slice(&[slot; 32]);
    });
    vec![leaf, index]
}

fn packets() -> Vec<Vec<u8>> {
    let requests = [wire::Request::Heartbeat, wire::Request::Arm];
    requests.into_iter().map(|r| r.encode().bytes().to_vec()).chain([vec![0; 32], vec![1; 16]]).collect()
}

fn pictures() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for format in [image::ImageFormat::Jpeg, image::ImageFormat::Png, image::ImageFormat::Bmp, image::ImageFormat::Gif]
    {
        let picture = image::RgbImage::from_fn(24, 16, |x, y| image::Rgb([x as u8 * 9, y as u8 * 9, 90]));
        let mut bytes = std::io::Cursor::new(Vec::new());
        if picture.write_to(&mut bytes, format).is_ok() {
            all.push(bytes.into_inner());
        }
    }
    all
}

/// All of them.
pub const PARSERS: &[Parser] = &[
    Parser {
        name: "commands",
        reads: |b| {
            let any = CommandName::ALL.into_iter().any(|name| Request::parse("front", name, b).is_ok());
            any | lock_set(b).is_some() | Memory::from_text(&String::from_utf8_lossy(b)).is_ok()
        },
        seeds: commands,
    },
    Parser {
        name: "rules",
        reads: |b| std::str::from_utf8(b).is_ok_and(|t| parse_rules(Path::new("rules"), t).is_ok()),
        seeds: || {
            vec![
                file("config/rules.example.toml"),
                texts(&["[[grants]]\ngroups = [\"everyone\"]\ndoors = [\"*\"]\nschedule = \"always\"\n"]).remove(0),
            ]
        },
    },
    Parser {
        name: "guard",
        reads: |b| wire::Request::decode(b).is_some() | wire::Answer::decode(b).is_some(),
        seeds: packets,
    },
    Parser {
        name: "manifest",
        reads: |b| std::str::from_utf8(b).is_ok_and(|t| Pack::parse(t).is_ok()),
        seeds: || vec![file("models/packs/registry.toml"), file("models/packs/standard.toml")],
    },
    Parser {
        name: "frames",
        reads: |b| {
            let limits = Limits { max_side: 256, max_pixels: 1 << 16, max_bytes: 1 << 22 };
            let _extent = (jpeg::extent(b), jpeg::head(b).is_ok());
            decode_file(b, &limits).is_ok()
        },
        seeds: pictures,
    },
    Parser {
        name: "directory",
        reads: |b| {
            let topics = SiteTopics::new("cardea", "works");
            serde_json::from_slice::<Head>(b).is_ok_and(|h| !h.signed_text().is_empty())
                | serde_json::from_slice::<Revocation>(b).is_ok()
                | serde_json::from_slice::<Want>(b).is_ok()
                | is_person(b)
                | std::str::from_utf8(b).is_ok_and(|t| topics.parse(t).is_some())
        },
        seeds: messages,
    },
    Parser {
        name: "nodes",
        // Whatever is read has one form in bytes.
        reads: |b| {
            Node::parse(b).is_some_and(|n| {
                assert_eq!(n.bytes()[..], *b);
                true
            })
        },
        seeds: nodes,
    },
    Parser {
        name: "tables",
        reads: is_people_table,
        seeds: || {
            texts(&[
                "person,groups,valid_from,valid_to,card,consent,expires\nada,staff night,,2026-12-31,17,2026-11-01,\nbob,,,,,,\n",
                "\u{feff}card,person\n\"1,7\",\"Jürgen O'Neil\"\n\"1,7\",\"Jürgen O'Neil\"\n",
            ])
        },
    },
    Parser {
        name: "names",
        reads: |b| {
            let text = String::from_utf8_lossy(b);
            PersonId::new(&text).is_ok() | DeviceId::new(&text).is_ok() | serde_json::from_str::<Record>(&text).is_ok()
        },
        seeds: || texts(&["Jürgen O'Neil", "front-door_2", "陳 小明"]),
    },
];

/// The one of that name.
#[allow(dead_code, reason = "the seeded run takes all")]
pub fn of(name: &str) -> &'static Parser {
    PARSERS.iter().find(|p| p.name == name).unwrap_or(&PARSERS[0])
}
