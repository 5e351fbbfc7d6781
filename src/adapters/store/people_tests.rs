use super::*;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

const M1: &str = "aa11";
const M2: &str = "bb22";

fn id(name: &str) -> PersonId {
    PersonId::new(name).expect("valid")
}

/// An embedding that no other call makes: its bytes can be searched for.
fn template(model: &str, seed: u32, len: usize) -> Template {
    let mut x = seed.wrapping_mul(0x9E37_79B9) | 1;
    let embedding = (0..len)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            f32::from_bits(x & 0x3FFF_FFFF | 0x2000_0000)
        })
        .collect();
    Template { model: model.to_owned(), embedding }
}

fn people() -> (TempDir, EncryptedPeople) {
    let dir = TempDir::new().expect("a directory");
    let mut p = EncryptedPeople::open(dir.path()).expect("opens");
    p.add(&id("ada"), &[template(M1, 1, 256), template(M1, 2, 256)], 10).expect("adds");
    p.add(&id("eve"), &[template(M1, 3, 256)], 20).expect("adds");
    (dir, p)
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("sets");
}

/// How many places in all files of the directory hold one of the needles, which are equally long.
fn copies<N: AsRef<[u8]>>(dir: &Path, needles: &[N]) -> usize {
    let len = needles[0].as_ref().len();
    let wanted: std::collections::HashSet<&[u8]> = needles.iter().map(AsRef::as_ref).collect();
    assert!(wanted.iter().all(|n| n.len() == len), "needles of one length");
    std::fs::read_dir(dir)
        .expect("lists")
        .map(|f| std::fs::read(f.expect("lists").path()).expect("reads"))
        .map(|bytes| bytes.windows(len).filter(|w| wanted.contains(w)).count())
        .sum()
}

fn sealed(p: &EncryptedPeople, name: &str) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for sql in ["SELECT sealed FROM templates WHERE person = ?1", "SELECT wrapped FROM people WHERE person = ?1"] {
        let mut s = p.conn.prepare(sql).expect("prepares");
        all.extend(s.query_map([name], |r| r.get(0)).expect("reads").map(|b| b.expect("reads")));
    }
    all
}

#[test]
fn people_come_back_bit_for_bit_with_the_templates_of_one_network() {
    let (dir, mut p) = people();
    p.add(&id("ada"), &[template(M2, 4, 128)], 99).expect("adds");
    drop(p);
    let mut p = EncryptedPeople::open(dir.path()).expect("opens again");
    let ada =
        Person { id: id("ada"), templates: vec![template(M1, 1, 256), template(M1, 2, 256)], enrolled_unix_ms: 10 };
    let eve = Person { id: id("eve"), templates: vec![template(M1, 3, 256)], enrolled_unix_ms: 20 };
    assert_eq!(p.load(M1).expect("loads"), [ada.clone(), eve]);
    let other = p.load(M2).expect("loads");
    assert_eq!(other[0].templates, [template(M2, 4, 128)]);
    assert_eq!(other[1].templates, []);
    assert_eq!(
        p.list().expect("lists")[0],
        PersonSummary { person: id("ada"), templates: 3, models: vec![M1.into(), M2.into()], enrolled_unix_ms: 10 }
    );
}

#[test]
fn what_is_no_embedding_is_refused_and_nothing_of_the_person_stays() {
    let (_dir, mut p) = people();
    let bad = |x: Vec<f32>| Template { model: M1.into(), embedding: x.into() };
    for template_2 in [bad(vec![]), bad(vec![f32::NAN]), bad(vec![f32::INFINITY; 4]), bad(vec![0.0; 4097])] {
        let e = p.add(&id("bob"), &[template(M1, 9, 4), template_2], 1).expect_err("is refused");
        assert!(e.to_string().contains("bob"), "{e}");
    }
    assert!(p.add(&id("bob"), &[], 1).is_err());
    assert_eq!(p.list().expect("lists").len(), 2);
}

#[test]
fn only_the_owner_can_read_the_files() {
    let (dir, _p) = people();
    for file in ["people.db", "people.db-wal", "people.db-shm", "people.key"] {
        let mode = dir.path().join(file).metadata().expect("is there").permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{file}");
    }
}

#[test]
fn a_key_that_others_can_read_is_refused_with_the_command_that_helps() {
    let (dir, p) = people();
    drop(p);
    let key = dir.path().join("people.key");
    for loose in [0o644, 0o640, 0o604, 0o660] {
        mode(&key, loose);
        let e = EncryptedPeople::open(dir.path()).err().expect("is refused");
        assert_eq!(e.trouble, Trouble::Permission, "{loose:o}");
        assert!(e.to_string().contains(&format!("chmod 600 {}", key.display())), "{e}");
    }
    mode(&key, 0o400);
    assert!(EncryptedPeople::open(dir.path()).is_ok());
}

#[test]
fn another_key_a_short_one_and_none_are_refused_and_the_people_survive() {
    let (dir, p) = people();
    drop(p);
    let key = dir.path().join("people.key");
    let right = std::fs::read(&key).expect("reads");
    for wrong in [Some(vec![7; 32]), Some(vec![7; 31]), Some(vec![]), None] {
        match &wrong {
            Some(bytes) => std::fs::write(&key, bytes).expect("writes"),
            None => std::fs::remove_file(&key).expect("removes"),
        }
        let e = EncryptedPeople::open(dir.path()).err().expect("is refused");
        assert_eq!(e.trouble, Trouble::Data, "{e}");
        assert!(wrong.is_some() || !key.exists(), "no new key is made for old people");
    }
    std::fs::write(&key, right).expect("writes");
    mode(&key, 0o600);
    assert_eq!(EncryptedPeople::open(dir.path()).expect("opens").load(M1).expect("loads").len(), 2);
}

#[test]
fn a_credential_serves_as_the_key_and_is_never_replaced() {
    let dir = TempDir::new().expect("a directory");
    let credential = dir.path().join("credential");
    std::fs::write(&credential, [9; 32]).expect("writes");
    mode(&credential, 0o440);
    let state = dir.path().join("state");
    let open = || EncryptedPeople::open_with(&state, KeySource::credential(&state, credential.clone()));
    let mut p = open().expect("opens");
    p.add(&id("ada"), &[template(M1, 1, 8)], 1).expect("adds");
    let gone = p.remove_person(&id("ada")).expect("removes").expect("was there");
    assert!(!gone.key_replaced);
    assert_eq!(std::fs::read(&credential).expect("reads"), [9; 32]);
    assert!(!state.join("people.key").exists());
    drop(p);
    mode(&credential, 0o444);
    assert_eq!(open().err().expect("is refused").trouble, Trouble::Permission);
}

#[test]
fn a_template_under_another_name_network_or_key_is_an_error_that_names_the_person() {
    for (sql, named) in [
        // Eve's template under Ada, and the other way round.
        ("UPDATE templates SET person = 'ada' WHERE person = 'eve'", "ada"),
        (
            "UPDATE templates SET sealed = (SELECT sealed FROM templates WHERE person = 'ada') WHERE person = 'eve'",
            "eve",
        ),
        // With her key beside it: the row of a person as a whole.
        (
            "UPDATE people SET wrapped = (SELECT wrapped FROM people WHERE person = 'ada') WHERE person = 'eve';
             UPDATE templates SET sealed = (SELECT sealed FROM templates WHERE person = 'ada') WHERE person = 'eve'",
            "eve",
        ),
        ("PRAGMA foreign_keys = OFF; UPDATE people SET person = 'mallory' WHERE person = 'eve'", "mallory"),
        ("UPDATE templates SET model = 'aa11' WHERE model = 'bb22'", "ada"),
        ("UPDATE templates SET sealed = zeroblob(1064) WHERE person = 'eve'", "eve"),
        ("UPDATE people SET wrapped = x'00' WHERE person = 'eve'", "eve"),
    ] {
        let (_dir, mut p) = people();
        p.add(&id("ada"), &[template(M2, 5, 256)], 1).expect("adds");
        p.conn.execute_batch(sql).expect("the file itself does not resist");
        let e = p.load(M1).expect_err(sql);
        assert!(e.to_string().contains(&format!("`{named}`")), "{sql}: {e}");
    }
}

#[test]
fn every_flipped_bit_of_a_sealed_row_is_found() {
    let (_dir, mut p) = people();
    for (table, column) in [("templates", "sealed"), ("people", "wrapped")] {
        let select = format!("SELECT {column} FROM {table} WHERE person = 'eve'");
        let update = format!("UPDATE {table} SET {column} = ?1 WHERE person = 'eve'");
        let right: Vec<u8> = p.conn.query_row(&select, [], |r| r.get(0)).expect("reads");
        for at in (0..right.len()).step_by(7) {
            let mut wrong = right.clone();
            wrong[at] ^= 1 << (at % 8);
            p.conn.execute(&update, [&wrong]).expect("writes");
            let e = p.load(M1).expect_err("is found");
            assert!(e.to_string().contains("`eve`"), "{e}");
        }
        p.conn.execute(&update, [&right]).expect("writes");
    }
    assert_eq!(p.load(M1).expect("loads").len(), 2);
}

#[test]
fn no_template_is_ever_in_a_file_and_a_removed_one_leaves_no_trace() {
    let dir = TempDir::new().expect("a directory");
    let mut p = EncryptedPeople::open(dir.path()).expect("opens");
    let mut plain = Vec::new();
    // Enough people, in several sizes and over two rounds, that pages split, merge and overflow.
    for round in 0..2u32 {
        for n in 0..120u32 {
            let t = template(M1, round * 1000 + n, if n % 3 == 0 { 512 } else { 128 });
            plain.push(t.embedding[..6].iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
            p.add(&id(&format!("p{n}")), &[t], 1).expect("adds");
        }
    }
    assert_eq!(copies(dir.path(), &plain), 0, "a template in clear");
    for n in [77, 3, 0, 119, 50, 51, 52, 53] {
        let name = format!("p{n}");
        let gone = sealed(&p, &name);
        assert_eq!(gone.len(), 3);
        // Any stretch of a blob, not only its beginning: an overflow page holds the rest.
        let parts: Vec<&[u8]> = gone.iter().flat_map(|blob| blob.chunks_exact(24)).collect();
        assert!(copies(dir.path(), &parts) > parts.len() / 2, "the search finds what is there");
        let old_key = std::fs::read(dir.path().join("people.key")).expect("reads");
        let receipt = p.remove_person(&id(&name)).expect("removes").expect("was there");
        assert_eq!(receipt, Removal { templates: 2, key_replaced: true, erased: true });
        assert_eq!(copies(dir.path(), &parts), 0, "{name}: sealed bytes in a file");
        assert_eq!(copies(dir.path(), &[old_key]), 0, "the old key in a file");
    }
    assert_eq!(p.load(M1).expect("the others still open").len(), 112);
    assert!(p.remove_person(&id("p77")).expect("answers").is_none());
}

#[test]
fn a_row_that_survives_on_the_medium_does_not_open_after_the_removal() {
    let (dir, mut p) = people();
    let wrapped: Vec<u8> =
        p.conn.query_row("SELECT wrapped FROM people WHERE person = 'eve'", [], |r| r.get(0)).expect("reads");
    assert!(unwrap(&p.master, &p.path, "eve", &wrapped).is_ok());
    assert!(p.remove(&id("eve")).expect("removes"));
    assert!(unwrap(&p.master, &p.path, "eve", &wrapped).is_err());
    drop(p);
    let p = EncryptedPeople::open(dir.path()).expect("opens");
    assert!(unwrap(&p.master, &p.path, "eve", &wrapped).is_err());
}

#[test]
fn a_crash_at_any_point_of_the_keys_replacement_loses_nobody() {
    // Killed before the database committed: the new key lies about, the old one is in force.
    let (dir, p) = people();
    let stray = p.source.stage().expect("stages");
    drop(p);
    let mut p = EncryptedPeople::open(dir.path()).expect("opens");
    assert_eq!(p.load(M1).expect("loads").len(), 2);
    assert!(p.remove(&id("eve")).expect("removes"));
    assert!(!dir.path().join(format!("people.key.{}", stray.id)).exists(), "the stray key is swept away");

    // Killed after the commit, before the new key took its place.
    let key = dir.path().join("people.key");
    let old = std::fs::read(&key).expect("reads");
    p.add(&id("bob"), &[template(M1, 8, 16)], 1).expect("adds");
    assert!(p.remove(&id("bob")).expect("removes"));
    let id = p.master.id.clone();
    drop(p);
    std::fs::rename(&key, dir.path().join(format!("people.key.{id}"))).expect("renames");
    std::fs::write(&key, old).expect("writes");
    mode(&key, 0o600);
    assert_eq!(EncryptedPeople::open(dir.path()).expect("opens").load(M1).expect("loads").len(), 1);
    assert_eq!(
        std::fs::read_dir(dir.path())
            .expect("lists")
            .filter(|f| { f.as_ref().expect("lists").file_name().to_string_lossy().starts_with("people.key") })
            .count(),
        1
    );
}

#[test]
fn a_daemon_notices_what_a_command_does_beside_it_and_follows_the_key() {
    let (dir, mut daemon) = people();
    assert!(!daemon.changed().expect("says"), "its own writing is no news");
    let mut command = EncryptedPeople::open(dir.path()).expect("opens beside it");
    assert!(command.remove(&id("eve")).expect("removes"));
    assert!(daemon.changed().expect("says"));
    assert!(!daemon.changed().expect("says"), "told once");
    assert_eq!(daemon.load(M1).expect("loads under the new key").len(), 1);
    daemon.add(&id("bob"), &[template(M1, 8, 16)], 1).expect("adds under the new key");
    assert_eq!(command.load(M1).expect("loads").len(), 2);
}

#[test]
fn an_export_carries_everybody_to_another_terminal() {
    let (dir, mut p) = people();
    let file = dir.path().join("out");
    assert_eq!(p.export(&file, b"correct horse battery").expect("exports"), 2);
    assert_eq!(file.metadata().expect("is there").permissions().mode() & 0o7777, 0o600);
    for t in [template(M1, 1, 256), template(M1, 3, 256)] {
        let bytes: Vec<u8> = t.embedding[..6].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(copies(dir.path(), &[bytes]), 0);
    }
    let other = TempDir::new().expect("a directory");
    let mut q = EncryptedPeople::open(other.path()).expect("opens");
    assert_eq!(q.import(&file, b"correct horse battery", false).expect("imports").len(), 2);
    assert_eq!(q.load_all().expect("loads"), p.load_all().expect("loads"));
    assert!(p.export(&file, b"correct horse battery").is_err(), "no file is overwritten");
}

#[test]
fn an_import_is_all_or_nothing() {
    let (dir, mut p) = people();
    let file = dir.path().join("out");
    p.export(&file, b"correct horse battery").expect("exports");
    let other = TempDir::new().expect("a directory");
    let mut q = EncryptedPeople::open(other.path()).expect("opens");
    q.add(&id("eve"), &[template(M2, 50, 8)], 5).expect("adds");
    let before = q.load_all().expect("loads");
    let mut refused = |file: &Path, pass: &[u8], what: &str| {
        let e = q.import(file, pass, false).expect_err(what);
        assert_eq!(e.trouble, Trouble::Data, "{what}: {e}");
        assert_eq!(q.load_all().expect("loads"), before, "{what}");
        e.to_string()
    };
    assert!(refused(&file, b"correct horse battery", "a taken name").contains("eve"));
    refused(&file, b"correct horse batterx", "another passphrase");
    refused(&file, b"short", "a short passphrase");
    let whole = std::fs::read(&file).expect("reads");
    let broken = dir.path().join("broken");
    // Magic, costs, salt, nonce, content, tag.
    for at in [0, 16, 20, 24, 30, 50, 100, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&broken, bytes).expect("writes");
        refused(&broken, b"correct horse battery", &format!("byte {at}"));
    }
    for len in [0, 15, 43, 44, 60, whole.len() - 1] {
        std::fs::write(&broken, &whole[..len]).expect("writes");
        refused(&broken, b"correct horse battery", &format!("cut to {len}"));
    }
    assert_eq!(q.import(&file, b"correct horse battery", true).expect("replaces").len(), 2);
    assert_eq!(q.load_all().expect("loads"), p.load_all().expect("loads"));
}

#[test]
fn what_somebody_cannot_do_is_kept_and_goes_with_the_person() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = EncryptedPeople::open(dir.path()).expect("opens");
    let ada = PersonId::new("ada").expect("a name");
    assert!(!store.set_cannot(&ada, &[Action::Nod]).expect("says"), "nobody of that name");
    store.add(&ada, &[template("m", 1, 8)], 0).expect("adds");
    assert!(store.set_cannot(&ada, &[Action::TurnLeft, Action::Blink]).expect("writes"));
    let noted = store.cannot().expect("reads");
    assert_eq!(noted.get(&ada), Some(&vec![Action::TurnLeft, Action::Blink]));
    store.remove(&ada).expect("removes");
    assert!(store.cannot().expect("reads").is_empty());
}

#[test]
fn a_store_of_the_first_layout_is_taken_along_with_its_people() {
    let dir = tempfile::tempdir().expect("a directory");
    let ada = PersonId::new("ada").expect("a name");
    {
        let mut store = EncryptedPeople::open(dir.path()).expect("opens");
        store.add(&ada, &[template("m", 1, 8)], 0).expect("adds");
        let first = "DROP TABLE cannot; DROP TABLE attributes; DROP TABLE mark; CREATE TABLE lockout (text TEXT) STRICT; PRAGMA user_version = 1;";
        store.conn.execute_batch(first).expect("as it was");
    }
    let mut store = EncryptedPeople::open(dir.path()).expect("opens an older one");
    assert_eq!(store.load("m").expect("reads").len(), 1);
    assert!(store.set_cannot(&ada, &[Action::Nod]).expect("writes"));
}
