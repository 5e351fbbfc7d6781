//! Somebody is removed: what is left of them in the files and on the raw file system.
//!
//! With root and loop devices the stores live on a real ext4 image, whose every byte is looked at after it was unmounted:
//! a journalling file system keeps copies that no file shows. Elsewhere the bytes of all files are looked at.

use cardea::adapters::store::{DeviceKey, EncryptedPeople, PublicKey, SqliteJournal, receipt};
use cardea::base::time::WallTime;
use cardea::domain::access::Attributes;
use cardea::domain::gallery::Template;
use cardea::ports::{Journal, Person};
use cardea::schema::event::Event;
use cardea::schema::ids::{DeviceId, PersonId};
use cardea::schema::receipt::Receipt;
use cardea::schema::record::Draft;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::path::{Path, PathBuf};
use std::process::Command;
use uuid::Uuid;

const MODEL: &str = "abababababababababababababababababababababababababababababababab";

/// Where the stores live: a directory, or a mounted image of its own.
struct Place {
    base: tempfile::TempDir,
    mounted: bool,
}

impl Place {
    fn new() -> Place {
        let base = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(base.path().join("m")).expect("makes");
        let image = base.path().join("image");
        std::fs::File::create(&image).expect("makes").set_len(96 << 20).expect("sets");
        let tell = |program: &str, args: &[&str]| {
            Command::new(program).args(args).output().is_ok_and(|out| out.status.success())
        };
        let (i, m) = (image.display().to_string(), base.path().join("m").display().to_string());
        let mounted = rustix::process::geteuid().is_root()
            && tell("mke2fs", &["-q", "-F", "-t", "ext4", &i])
            && tell("mount", &["-o", "loop", &i, &m]);
        Place { base, mounted }
    }

    fn state(&self) -> PathBuf {
        self.base.path().join("m/state")
    }

    /// The raw image after it was unmounted, or nothing.
    fn raw(mut self) -> Option<Vec<u8>> {
        if !std::mem::take(&mut self.mounted) {
            return None;
        }
        let out = Command::new("umount").arg(self.base.path().join("m")).output().expect("umount runs");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        Some(std::fs::read(self.base.path().join("image")).expect("reads"))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.mounted {
            let _either_way = Command::new("umount").arg(self.base.path().join("m")).status();
        }
    }
}

fn count(hay: &[u8], needle: &[u8]) -> usize {
    assert!(needle.len() >= 8, "too short to be found for certain");
    let first = needle[0];
    let mut found = 0;
    let mut at = 0;
    while let Some(i) = hay[at..].iter().position(|b| *b == first) {
        at += i;
        found += usize::from(hay[at..].starts_with(needle));
        at += 1;
    }
    found
}

/// How often it stands in the files below a directory.
fn in_files(dir: &Path, needle: &[u8]) -> usize {
    std::fs::read_dir(dir)
        .expect("lists")
        .map(|entry| entry.expect("lists").path())
        .map(
            |path| {
                if path.is_dir() {
                    in_files(&path, needle)
                } else {
                    count(&std::fs::read(path).expect("reads"), needle)
                }
            },
        )
        .sum()
}

fn embedding(rng: &mut ChaCha20Rng) -> Vec<f32> {
    (0..256).map(|_| rng.next_u32() as f32 / 4_294_967_296.0 - 0.5).collect()
}

fn bytes(embedding: &[f32]) -> Vec<u8> {
    embedding.iter().flat_map(|x| x.to_le_bytes()).collect()
}

#[test]
fn nothing_of_a_person_who_was_removed_can_be_read_in_the_files_or_on_the_raw_file_system() {
    let place = Place::new();
    if !place.mounted {
        println!("left out: the raw image of a removal (needs root and loop devices); the files are looked at");
    }
    let state = place.state();
    let mut rng = ChaCha20Rng::seed_from_u64(25);
    let name = PersonId::new("Zebediah Quux-Nobody").expect("valid");
    let mut journal = SqliteJournal::open(&state).expect("opens");
    let mut people = EncryptedPeople::open(&state).expect("opens");
    let mut everybody = Vec::new();
    for n in 0..60 {
        let id = if n == 33 { name.clone() } else { PersonId::new(&format!("person {n}")).expect("valid") };
        let templates =
            (0..3).map(|_| Template { model: MODEL.into(), embedding: embedding(&mut rng).into() }).collect();
        everybody.push(Person { id, templates, enrolled_unix_ms: 7 });
    }
    people.add_all(&everybody, false).expect("adds");
    // A second enrolment, so that rows have moved, and a card.
    let more = Template { model: MODEL.into(), embedding: embedding(&mut rng).into() };
    people
        .add_all(&[Person { id: name.clone(), templates: vec![more.clone()], enrolled_unix_ms: 8 }], false)
        .expect("adds");
    let card = Attributes { card: Some("0099887766554433".into()), ..Attributes::default() };
    people.set_attributes(&name, &card).expect("writes");
    let mut plain: Vec<Vec<u8>> =
        everybody[33].templates.iter().map(|t| bytes(&t.embedding)[40..72].to_vec()).collect();
    plain.push(bytes(&more.embedding)[40..72].to_vec());
    plain.push(b"0099887766554433".to_vec());
    let old_key = std::fs::read(state.join("people.key")).expect("reads");
    let sealed: Vec<Vec<u8>> = {
        let db = rusqlite::Connection::open(state.join("people.db")).expect("opens");
        let sql =
            "SELECT sealed FROM templates WHERE person = ?1 UNION ALL SELECT wrapped FROM people WHERE person = ?1
                   UNION ALL SELECT sealed FROM attributes WHERE person = ?1";
        let mut rows = db.prepare(sql).expect("prepares");
        let rows = rows.query_map([name.as_str()], |r| r.get::<_, Vec<u8>>(0)).expect("reads");
        rows.map(|b| b.expect("reads")).collect()
    };
    assert_eq!(sealed.len(), 6, "four templates, a key, a card");
    assert!(sealed.iter().all(|s| in_files(&state, &s[24..48]) > 0), "the search finds what is there");
    assert!(in_files(&state, name.as_str().as_bytes()) > 0 && in_files(&state, &old_key) == 1);

    let removal = people.remove_person(&name).expect("removes").expect("was there");
    assert!(removal.erased && removal.key_replaced && removal.templates == 4);
    let draft = Draft {
        device: DeviceId::new("front").expect("valid"),
        boot: Uuid::from_u128(1),
        id: Uuid::from_u128(2),
        wall: WallTime { unix_ms: 1_795_243_200_123, synced: true },
        uptime_ms: 1,
        // What the journal says of a removal names the person, until the ring lets it go: left out here, to look for the name.
        event: Event::PersonRemoved { person: PersonId::new("somebody").expect("valid") },
    };
    let record = journal.append(&draft).expect("appends");
    let (receipt, file) = receipt::issue(&state, &name, &removal, &record).expect("signs");

    for part in &plain {
        assert_eq!(in_files(&state, part), 0, "a template or a card in a file");
    }
    for blob in &sealed {
        assert_eq!(
            blob.chunks_exact(24).map(|part| in_files(&state, part)).sum::<usize>(),
            0,
            "sealed bytes in a file"
        );
    }
    assert_eq!(in_files(&state, name.as_str().as_bytes()), 0, "the name in a file");
    assert_eq!(in_files(&state, &old_key), 0, "the old key in a file");

    // The receipt holds for whoever has the public key, and names nobody.
    let key = PublicKey::parse(&DeviceKey::existing(&state).expect("a key").public().pem()).expect("a key");
    let kept: Receipt = serde_json::from_str(&std::fs::read_to_string(&file).expect("reads")).expect("a receipt");
    assert_eq!(kept, receipt);
    assert_eq!(receipt::check(&kept, &key, Some(&name)), Ok(()));
    let other = PersonId::new("person 1").expect("valid");
    assert!(receipt::check(&kept, &key, Some(&other)).is_err());
    for changed in [
        Receipt { templates: 3, ..kept.clone() },
        Receipt { at: "2020-01-01T00:00:00.000Z".into(), ..kept.clone() },
        Receipt { seq: 9, ..kept.clone() },
        Receipt { sig: String::new(), ..kept.clone() },
    ] {
        assert!(receipt::check(&changed, &key, None).is_err(), "{changed:?}");
    }

    assert_eq!(people.load_all().expect("the others still open").len(), 59);
    let new_key = std::fs::read(state.join("people.key")).expect("reads");
    assert_ne!(new_key, old_key);
    drop((people, journal));
    let Some(raw) = place.raw() else { return };
    for part in &plain {
        assert_eq!(count(&raw, part), 0, "a template or a card in clear on the raw image");
    }
    assert_eq!(count(&raw, &old_key), 0, "the key that could open what lingers is on the raw image");
    assert!(count(&raw, &new_key) > 0, "the search finds what is there");
    let lingering: usize = sealed.iter().map(|s| count(&raw, &s[24..48])).sum();
    println!("{lingering} sealed remains on the raw image, which no key opens any more");
}
