use super::*;
use crate::base::time::WallTime;
use crate::schema::event::Event;
use crate::schema::ids::DeviceId;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;
use uuid::Uuid;

fn draft(n: u128) -> Draft {
    Draft {
        device: DeviceId::new("front").expect("valid"),
        boot: Uuid::from_u128(1),
        id: Uuid::from_u128(n),
        wall: WallTime { unix_ms: 1_795_243_200_123, synced: true },
        uptime_ms: 5,
        event: Event::AlarmDisk { what: format!("record {n}") },
    }
}

fn journal(records: u128) -> (TempDir, SqliteJournal) {
    let dir = TempDir::new().expect("a directory");
    let mut j = SqliteJournal::open(dir.path()).expect("opens");
    for n in 1..=records {
        j.append(&draft(n)).expect("appends");
    }
    (dir, j)
}

fn mode(path: &Path) -> u32 {
    path.metadata().expect("is there").permissions().mode() & 0o7777
}

/// As somebody would who has the file and SQLite, but not us.
fn attack(j: &SqliteJournal, sql: &str) {
    j.conn
        .execute_batch(
            "DROP TRIGGER IF EXISTS records_stay; DROP TRIGGER IF EXISTS records_last;
             DROP TRIGGER IF EXISTS records_follow; DROP TRIGGER IF EXISTS head_follows; DROP TRIGGER IF EXISTS head_lasts;
             DROP TRIGGER IF EXISTS gap_grows; DROP TRIGGER IF EXISTS gap_lasts;",
        )
        .and_then(|()| j.conn.execute_batch(sql))
        .expect("the file itself does not resist");
}

#[test]
fn the_chain_of_two_records_is_pinned() {
    let (_dir, mut j) = journal(2);
    let stored = j.after(0, 10).expect("reads");
    assert_eq!(
        stored[0].text,
        concat!(
            r#"{"v":1,"device":"front","boot":"00000000-0000-0000-0000-000000000001","seq":1,"#,
            r#""id":"00000000-0000-0000-0000-000000000001","time":"2026-11-21T06:40:00.123Z","clock_synced":true,"#,
            r#""uptime_ms":5,"type":"alarm.disk","what":"record 1","#,
            r#""prev":"0000000000000000000000000000000000000000000000000000000000000000"}"#
        )
    );
    // From sha256sum, not from us.
    let first = "4559047182e8398eadc5d1e73c8b6aa72d68d1e31102f7bf6705039c308ef60e";
    assert!(stored[1].text.ends_with(&format!(r#""prev":"{first}"}}"#)), "{}", stored[1].text);
    assert_eq!(j.head().expect("reads"), Some((2, chain_hash(&stored[1].text))));
    assert_eq!(j.verify().expect("checks"), ChainReport { records: 2, first_bad_seq: None, cause: None });
}

#[test]
fn what_append_returns_is_what_is_stored() {
    let (_dir, mut j) = journal(3);
    let record = j.append(&draft(9)).expect("appends");
    assert_eq!(record.seq, 4);
    assert_eq!(j.after(3, 1).expect("reads"), [Stored { seq: 4, text: record.text() }]);
}

#[test]
fn records_come_in_order_and_no_more_than_asked_for() {
    let (_dir, mut j) = journal(5);
    let seqs = |v: Vec<Stored>| v.into_iter().map(|s| s.seq).collect::<Vec<_>>();
    assert_eq!(seqs(j.after(1, 3).expect("reads")), [2, 3, 4]);
    assert_eq!(seqs(j.after(5, 3).expect("reads")), [0; 0]);
    assert_eq!(seqs(j.after(u64::MAX, usize::MAX).expect("reads")), [0; 0]);
}

#[test]
fn the_numbers_go_on_over_restarts_and_between_writers() {
    let (dir, mut a) = journal(2);
    let mut b = SqliteJournal::open(dir.path()).expect("opens beside the first");
    for n in 0..4 {
        let j = if n % 2 == 0 { &mut b } else { &mut a };
        assert_eq!(j.append(&draft(100 + n)).expect("appends").seq, 3 + u64::try_from(n).expect("small"));
    }
    drop((a, b));
    let mut c = SqliteJournal::open(dir.path()).expect("opens again");
    assert_eq!(c.append(&draft(7)).expect("appends").seq, 7);
    assert_eq!(c.verify().expect("checks").first_bad_seq, None);
}

#[test]
fn every_commit_waits_for_the_disk() {
    let (dir, j) = journal(1);
    for j in [&j, &SqliteJournal::open_reader(dir.path()).expect("opens")] {
        let get =
            |name| j.conn.pragma_query_value(None, name, |r| r.get::<_, rusqlite::types::Value>(0)).expect("says");
        assert_eq!(get("journal_mode"), "wal".to_owned().into());
        assert_eq!(get("synchronous"), 2.into(), "FULL; NORMAL loses acknowledged records in a power cut");
    }
}

#[test]
fn only_the_owner_can_read_it() {
    let dir = TempDir::new().expect("a directory");
    let state = dir.path().join("state");
    let j = SqliteJournal::open(&state).expect("opens");
    assert_eq!(mode(&state), 0o700);
    let mut j = j;
    j.append(&draft(1)).expect("appends");
    j.keep_head().expect("keeps").expect("is news");
    for file in ["journal.db", "journal.db-wal", "journal.db-shm", "journal.reserve", "journal.head", "device.key"] {
        assert_eq!(mode(&state.join(file)), 0o600, "{file}");
    }
    drop(j);
    std::fs::set_permissions(state.join(FILE), std::fs::Permissions::from_mode(0o644)).expect("sets");
    let _j = SqliteJournal::open(&state).expect("opens");
    assert_eq!(mode(&state.join(FILE)), 0o600, "a mode that was loosened is tightened");
}

#[test]
fn the_file_refuses_to_change_or_forget_a_record() {
    let (_dir, mut j) = journal(3);
    for sql in [
        "UPDATE records SET text = 'x' WHERE seq = 2",
        "DELETE FROM records WHERE seq = 3",
        "DELETE FROM records",
        "INSERT INTO records VALUES (9, 'x', 'x')",
        "INSERT OR REPLACE INTO records VALUES (2, 'x', 'x')",
        "UPDATE head SET seq = 1",
        "DELETE FROM head",
        "INSERT OR REPLACE INTO records VALUES (3, 'x', 'x')",
        "UPDATE head SET hash = 'x'",
        "UPDATE head SET seq = 9",
        "UPDATE gap SET upto = -1",
        "DELETE FROM gap",
    ] {
        assert!(j.conn.execute_batch(sql).is_err(), "{sql}");
    }
    assert_eq!(j.verify().expect("checks"), ChainReport { records: 3, first_bad_seq: None, cause: None });
}

#[test]
fn a_cursor_never_moves_back() {
    let (dir, mut j) = journal(9);
    let mut pump = SqliteJournal::open_reader(dir.path()).expect("opens");
    assert_eq!(pump.cursor("mqtt").expect("reads"), 0);
    for (set, then) in [(5, 5), (3, 5), (8, 8), (0, 8)] {
        pump.set_cursor("mqtt", set).expect("moves");
        assert_eq!(j.cursor("mqtt").expect("reads"), then);
    }
    assert_eq!(j.cursor("other").expect("reads"), 0);
    assert!(j.conn.execute_batch("UPDATE cursors SET seq = 1").is_err());
}

#[test]
fn a_reader_cannot_append_and_sees_what_is_appended() {
    let (dir, mut j) = journal(1);
    let mut reader = SqliteJournal::open_reader(dir.path()).expect("opens");
    assert!(reader.append(&draft(5)).is_err());
    j.append(&draft(6)).expect("appends");
    assert_eq!(reader.head().expect("reads").map(|h| h.0), Some(2));
}

#[test]
fn a_missing_a_foreign_and_a_newer_file_are_told_apart_and_left_alone() {
    let dir = TempDir::new().expect("a directory");
    let open = |what: &str| {
        let before = std::fs::read(dir.path().join(FILE)).ok();
        let errors = [SqliteJournal::open_reader(dir.path()).map(drop), SqliteJournal::open(dir.path()).map(drop)];
        assert_eq!(std::fs::read(dir.path().join(FILE)).ok(), before, "{what}");
        errors.map(|e| e.expect_err(what))
    };
    let missing = SqliteJournal::open_reader(dir.path()).expect_err("missing");
    assert_eq!(missing.trouble, Trouble::Missing);

    std::fs::write(dir.path().join(FILE), b"no database at all, but long enough to be looked at".repeat(50))
        .expect("writes");
    assert!(open("foreign bytes").iter().all(|e| e.trouble == Trouble::Data));

    std::fs::remove_file(dir.path().join(FILE)).expect("removes");
    let foreign = Connection::open(dir.path().join(FILE)).expect("opens");
    foreign.execute_batch("CREATE TABLE t (x)").expect("fills");
    assert!(open("foreign database").iter().all(|e| e.trouble == Trouble::Data));
    drop(foreign);

    std::fs::remove_file(dir.path().join(FILE)).expect("removes");
    let j = SqliteJournal::open(dir.path()).expect("opens");
    j.conn.pragma_update(None, "user_version", 3).expect("sets");
    drop(j);
    for e in open("newer") {
        assert_eq!(e.trouble, Trouble::Data);
        assert!(e.to_string().contains("newer cardea"), "{e}");
    }
}

#[test]
fn nothing_is_chained_to_a_tail_in_doubt() {
    for sql in [
        "DELETE FROM records WHERE seq = 3",
        "UPDATE records SET text = replace(text, 'record', 'recorD') WHERE seq = 3",
        "UPDATE head SET seq = 2",
        "UPDATE head SET hash = 'x'",
    ] {
        let (dir, mut j) = journal(3);
        attack(&j, sql);
        let e = j.append(&draft(4)).expect_err(sql);
        assert!(e.to_string().contains("events verify"), "{e}");
        drop(j);
        assert_eq!(SqliteJournal::open(dir.path()).expect_err(sql).trouble, Trouble::Data);
        let mut reader = SqliteJournal::open_reader(dir.path()).expect("a damaged journal opens for checking");
        assert!(reader.verify().expect("checks").first_bad_seq.is_some(), "{sql}");
    }
}

#[test]
fn an_end_cut_off_with_a_head_that_was_once_right_is_found_by_a_head_from_elsewhere() {
    let (dir, mut j) = journal(4);
    let once = j.signed_head().expect("reads").expect("signed");
    j.append(&draft(5)).expect("appends");
    let (seq, hash) = j.head().expect("reads").expect("has one");
    assert_eq!(j.verify_head(seq, &hash).expect("checks").first_bad_seq, None);
    assert_eq!(j.verify_head(4, &once.hash).expect("checks").first_bad_seq, None, "an older head serves as well");
    let back = format!("UPDATE head SET seq = 4, hash = '{}', sig = '{}'", once.hash, once.sig);
    attack(&j, &format!("DELETE FROM records WHERE seq = 5; {back}"));
    assert_eq!(j.verify().expect("checks").first_bad_seq, None, "in order by itself, and signed");
    assert_eq!(j.verify_head(seq, &hash).expect("checks").first_bad_seq, Some(5), "cut");
    j.append(&draft(99)).expect("appends");
    assert_eq!(j.verify_head(seq, &hash).expect("checks").first_bad_seq, Some(5), "written anew");
    // The head beside the journal is such a head, as long as nobody puts it back too.
    let (dir2, mut j) = journal(5);
    j.keep_head().expect("keeps").expect("is news");
    drop((dir, j));
    let j = SqliteJournal::open(dir2.path()).expect("opens");
    let cut =
        "DELETE FROM records WHERE seq = 5; UPDATE head SET seq = 4, hash = (SELECT hash FROM records WHERE seq = 4)";
    attack(
        &j,
        &format!(
            "{cut}, sig = '{}'",
            j.key.as_ref().expect("a writer").sign(&{
                let hash: String =
                    j.conn.query_row("SELECT hash FROM records WHERE seq = 4", [], |r| r.get(0)).expect("reads");
                SignedHead::signed_text(4, &hash)
            })
        ),
    );
    let mut reader = SqliteJournal::open_reader(dir2.path()).expect("opens");
    let report = reader.verify().expect("checks");
    assert_eq!(report.first_bad_seq, Some(5), "{report:?}");
    assert!(report.cause.expect("a cause").contains("journal.head"));
    std::mem::forget(j);
    let e = SqliteJournal::open(dir2.path()).expect_err("a journal that lost its end is not continued");
    assert!(e.to_string().contains("journal.head"), "{e}");
}

#[test]
fn whoever_has_the_file_and_no_key_gets_nothing_signed() {
    let forge = |seq: i64, prev: &str| {
        let record = draft(77).seal(seq.unsigned_abs(), prev.to_owned());
        (chain_hash(&record.text()), record.text())
    };
    let (dir, mut j) = journal(3);
    let prev: String = j.conn.query_row("SELECT hash FROM records WHERE seq = 2", [], |r| r.get(0)).expect("reads");
    let (hash, text) = forge(3, &prev);
    attack(&j, "");
    j.conn.execute("UPDATE records SET text = ?1, hash = ?2 WHERE seq = 3", [&text, &hash]).expect("forges");
    j.conn.execute("UPDATE head SET hash = ?1", [&hash]).expect("forges");
    let report = j.verify().expect("checks");
    assert!(report.first_bad_seq == Some(3) && report.cause.expect("a cause").contains("signature"));
    let e = j.append(&draft(4)).expect_err("it would sign what it did not write");
    assert!(e.to_string().contains("events verify"), "{e}");
    drop(j);
    assert_eq!(SqliteJournal::open(dir.path()).expect_err("refused").trouble, Trouble::Data);
    // Taking the signature away altogether does not make it a journal of a version that did not sign.
    let reader = SqliteJournal::open_reader(dir.path()).expect("opens");
    reader.conn.execute("UPDATE head SET key = '', sig = ''", []).expect("forges");
    let e = SqliteJournal::open(dir.path()).expect_err("refused");
    assert!(e.to_string().contains("not signed"), "{e}");
}

#[test]
fn another_device_key_and_none_are_refused_and_a_reader_says_why_it_cannot_check() {
    let (dir, j) = journal(3);
    drop(j);
    let file = dir.path().join("device.key");
    let right = std::fs::read(&file).expect("reads");
    std::fs::write(&file, [9; 32]).expect("writes");
    let e = SqliteJournal::open(dir.path()).expect_err("another key");
    assert!(e.trouble == Trouble::Data && e.to_string().contains("another key"), "{e}");
    std::fs::remove_file(&file).expect("removes");
    let e = SqliteJournal::open(dir.path()).expect_err("no key");
    assert!(e.trouble == Trouble::Data && e.to_string().contains("put device.key back"), "{e}");
    assert!(!file.exists(), "no new key is made for old records");
    let mut reader = SqliteJournal::open_reader(dir.path()).expect("opens");
    let report = reader.verify().expect("checks");
    assert!(report.first_bad_seq == Some(3) && report.cause.expect("a cause").contains("--key"));
    std::fs::write(&file, right).expect("writes");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("sets");
    reader.trust(DeviceKey::existing(dir.path()).expect("a key").public());
    assert_eq!(reader.verify().expect("checks").first_bad_seq, None);
    SqliteJournal::open(dir.path()).expect("goes on");
}

#[test]
fn a_journal_without_signatures_is_taken_along_once() {
    let (dir, j) = journal(3);
    let texts = |dir: &Path| SqliteJournal::open_reader(dir).expect("opens").after(0, 99).expect("reads");
    let before = texts(dir.path());
    attack(&j, "ALTER TABLE head DROP COLUMN key; ALTER TABLE head DROP COLUMN sig; DROP TABLE gap; PRAGMA user_version = 1;
        CREATE TRIGGER head_follows BEFORE UPDATE ON head WHEN NEW.seq <> OLD.seq + 1 BEGIN SELECT RAISE(ABORT, 'x'); END;
        CREATE TRIGGER records_last BEFORE DELETE ON records BEGIN SELECT RAISE(ABORT, 'x'); END;");
    std::mem::forget(j);
    for file in ["device.key", "journal.head"] {
        let _may_be_absent = std::fs::remove_file(dir.path().join(file));
    }
    let mut j = SqliteJournal::open(dir.path()).expect("opens an older one");
    assert_eq!(j.append(&draft(4)).expect("goes on").seq, 4);
    assert_eq!(j.verify().expect("checks"), ChainReport { records: 4, first_bad_seq: None, cause: None });
    assert_eq!(texts(dir.path())[..3], before);
}

#[test]
fn records_that_share_a_commit_are_chained_like_others_and_one_signature_stands_for_them() {
    let (_dir, mut j) = journal(1);
    let drafts: Vec<Draft> = (2..=9).map(draft).collect();
    let records = j.append_all(&drafts).expect("appends");
    assert_eq!(records.iter().map(|r| r.seq).collect::<Vec<_>>(), (2..=9).collect::<Vec<_>>());
    let stored: Vec<String> = j.after(1, 99).expect("reads").into_iter().map(|s| s.text).collect();
    assert_eq!(stored, records.iter().map(Record::text).collect::<Vec<_>>());
    assert_eq!(j.append_all(&[]).expect("nothing"), []);
    assert_eq!(j.verify().expect("checks"), ChainReport { records: 9, first_bad_seq: None, cause: None });
    assert_eq!(j.signed_head().expect("reads").expect("signed").seq, 9);
}

fn gap_draft(gap: &LogGap, n: u128) -> Draft {
    Draft { event: Event::SystemLogGap { first: gap.first, last: gap.last, hash: gap.hash.clone() }, ..draft(n) }
}

#[test]
fn the_ring_lets_the_oldest_go_and_the_chain_goes_on_over_the_gap() {
    let (dir, mut j) = journal(0);
    let write = |j: &mut SqliteJournal, from: u128, n: u128| {
        let drafts: Vec<Draft> = (from..from + n).map(draft).collect();
        j.append_all(&drafts).expect("appends");
    };
    write(&mut j, 1, 2099);
    let third = chain_hash(&j.after(2, 1).expect("reads")[0].text);
    assert_eq!(j.surplus(1100).expect("reads"), None, "not many more than are to be kept");
    write(&mut j, 2100, 1);
    let gap = j.surplus(1100).expect("reads").expect("a thousand too many");
    assert_eq!((gap.first, gap.last), (1, 1000));
    let wrong = LogGap { last: 999, ..gap.clone() };
    assert!(j.prune(&gap_draft(&wrong, 1)).is_err(), "not the hash of that record");
    assert!(j.prune(&draft(1)).is_err(), "no record of a gap");
    assert_eq!(j.after(0, 1).expect("reads")[0].seq, 1, "nothing went");
    assert_eq!(j.prune(&gap_draft(&gap, 1)).expect("lets go").seq, 2101);
    assert!(j.prune(&gap_draft(&gap, 2)).is_err(), "they are gone already");
    assert_eq!(j.after(0, 1).expect("reads")[0].seq, 1001);
    let whole = ChainReport { records: 1101, first_bad_seq: None, cause: None };
    assert_eq!(j.verify().expect("checks"), whole);
    assert_eq!(j.verify_head(3, &third).expect("checks"), whole, "let go since: nothing is left to compare");
    drop(j);
    let mut j = SqliteJournal::open(dir.path()).expect("opens again");
    assert_eq!(j.verify().expect("checks"), whole);
    // Somebody else lets more go, or says that less went.
    attack(&j, "");
    let text = |seq: i64| -> (String, String) {
        let sql = "SELECT text, hash FROM records WHERE seq = ?1";
        j.conn.query_row(sql, [seq], |r| Ok((r.get(0)?, r.get(1)?))).expect("reads")
    };
    let of = text(1500).1;
    let mut j = j;
    for sql in [
        "DELETE FROM records WHERE seq <= 1500".to_owned(),
        format!("DELETE FROM records WHERE seq <= 1500; UPDATE gap SET upto = 1500, hash = '{of}'"),
        "DELETE FROM records WHERE seq = 2101".to_owned(),
        "UPDATE gap SET upto = 999".to_owned(),
        "UPDATE gap SET hash = 'x'".to_owned(),
        "DELETE FROM gap".to_owned(),
    ] {
        j.conn.execute_batch(&format!("BEGIN; {sql}")).expect("the file itself does not resist");
        assert!(j.verify().expect("checks").first_bad_seq.is_some(), "{sql}");
        j.conn.execute_batch("ROLLBACK").expect("heals");
    }
    assert_eq!(j.verify().expect("checks"), whole);
}

#[test]
fn a_byte_changed_anywhere_in_the_file_is_found_or_changes_no_record() {
    let (dir, mut j) = journal(40);
    let right = (j.after(0, 99).expect("reads"), j.head().expect("reads"));
    drop(j);
    let whole = std::fs::read(dir.path().join(FILE)).expect("reads");
    let there = TempDir::new().expect("a directory");
    for file in ["device.key", "journal.head"] {
        std::fs::copy(dir.path().join(file), there.path().join(file)).expect("copies");
    }
    let mut rng = <rand_chacha::ChaCha20Rng as rand_chacha::rand_core::SeedableRng>::seed_from_u64(3);
    let mut found = 0;
    for _ in 0..2_000 {
        let mut bytes = whole.clone();
        let at = usize::try_from(rand_chacha::rand_core::Rng::next_u64(&mut rng)).expect("64 bits") % bytes.len();
        bytes[at] ^= 1 << (rand_chacha::rand_core::Rng::next_u32(&mut rng) % 8);
        for left in ["journal.db-wal", "journal.db-shm"] {
            let _may_be_absent = std::fs::remove_file(there.path().join(left));
        }
        std::fs::write(there.path().join(FILE), bytes).expect("writes");
        let Ok(mut reader) = SqliteJournal::open_reader(there.path()) else {
            found += 1;
            continue;
        };
        match reader.verify() {
            Ok(report) if report.first_bad_seq.is_none() => {
                let same = (reader.after(0, 99).expect("reads"), reader.head().expect("reads")) == right;
                assert!(same, "byte {at} changed a record, and nothing was found");
            }
            _ => found += 1,
        }
    }
    assert!(found > 500, "only {found} of 2,000 were found: most of the file is records");
}

#[test]
fn a_full_disk_costs_the_reserve_first_then_refuses_and_never_damages() {
    let (dir, mut j) = journal(20);
    let reserve = dir.path().join("journal.reserve");
    assert_eq!(reserve.metadata().expect("is held").len(), reserve::BYTES);
    let pages: i64 = j.conn.pragma_query_value(None, "page_count", |r| r.get(0)).expect("says");
    let limit = |j: &SqliteJournal, n: i64| {
        j.conn.pragma_update_and_check(None, "max_page_count", n, |r| r.get::<_, i64>(0)).expect("sets");
    };
    limit(&j, pages);
    let mut n = 20;
    let refused = loop {
        match j.append(&draft(n + 1)) {
            Ok(_) => n += 1,
            Err(e) => break e,
        }
        assert!(n < 1000, "the limit is never reached");
    };
    assert_eq!(refused.recovery, crate::ports::Recovery::Degrade);
    assert!(refused.to_string().contains("free space"), "{refused}");
    assert!(!reserve.exists(), "the space was given up");
    assert!(j.reserve.as_ref().is_some_and(|r| !r.held()));
    let mut reader = SqliteJournal::open_reader(dir.path()).expect("opens");
    assert_eq!(
        u128::from(reader.verify().expect("checks").records),
        n,
        "every acknowledged record is there, and no other"
    );

    limit(&j, pages + 100);
    assert_eq!(u128::from(j.append(&draft(n + 1)).expect("goes on by itself").seq), n + 1);
    assert!(reserve.exists() && !j.starved(), "the space is held back again");
    assert_eq!(reader.verify().expect("checks").first_bad_seq, None);
}

#[test]
fn the_reserve_holds_ten_thousand_records() {
    let (dir, mut j) = journal(1);
    j.conn.pragma_update(None, "synchronous", "off").expect("space is measured here, not durability");
    let used = || -> u64 {
        ["journal.db", "journal.db-wal"].iter().map(|f| dir.path().join(f).metadata().map_or(0, |m| m.len())).sum()
    };
    let before = used();
    for n in 2..=10_001 {
        j.append(&Draft { event: Event::AlarmCamera { what: "x".repeat(100) }, ..draft(n) }).expect("appends");
    }
    let grown = used() - before;
    assert!(grown < reserve::BYTES, "10,000 records of the longer kind took {grown} bytes");
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    const RECORDS: i64 = 24;

    #[derive(Clone, Debug)]
    enum Damage {
        /// One byte of a text becomes another.
        Byte {
            seq: i64,
            at: prop::sample::Index,
            xor: u8,
        },
        /// The same, with the row's own hash made right again.
        ByteAndHash {
            seq: i64,
            at: prop::sample::Index,
        },
        Hash {
            seq: i64,
            at: prop::sample::Index,
        },
        Remove {
            seq: i64,
        },
        /// A record is taken out and those after it close the gap.
        CloseGap {
            seq: i64,
        },
        CutTail {
            from: i64,
        },
        CutFront {
            upto: i64,
        },
        Swap {
            a: i64,
            b: i64,
        },
        Add {
            seq: i64,
            like: i64,
        },
        Head {
            seq: i64,
        },
        HeadHash {
            at: prop::sample::Index,
        },
        NoHead,
        /// Everything from a record on is written anew in good order, with the head; only the key is missing.
        Rechain {
            from: i64,
        },
        /// The end is cut off, and the head names what is the last one then.
        CutWithHead {
            from: i64,
        },
        Signature {
            at: prop::sample::Index,
        },
    }

    impl Damage {
        fn strategy() -> impl Strategy<Value = Damage> {
            let seq = || 1..=RECORDS;
            let at = any::<prop::sample::Index>;
            prop_oneof![
                4 => (seq(), at(), 1..=255u8).prop_map(|(seq, at, xor)| Damage::Byte { seq, at, xor }),
                2 => (seq(), at()).prop_map(|(seq, at)| Damage::ByteAndHash { seq, at }),
                1 => (seq(), at()).prop_map(|(seq, at)| Damage::Hash { seq, at }),
                2 => seq().prop_map(|seq| Damage::Remove { seq }),
                2 => seq().prop_map(|seq| Damage::CloseGap { seq }),
                1 => seq().prop_map(|from| Damage::CutTail { from }),
                1 => seq().prop_map(|upto| Damage::CutFront { upto }),
                2 => (seq(), seq()).prop_filter("two", |(a, b)| a != b).prop_map(|(a, b)| Damage::Swap { a, b }),
                1 => (prop_oneof![-3..=0i64, RECORDS + 1..RECORDS + 4], seq()).prop_map(|(seq, like)| Damage::Add { seq, like }),
                1 => (0..RECORDS + 4).prop_filter("moved", |s| *s != RECORDS).prop_map(|seq| Damage::Head { seq }),
                1 => at().prop_map(|at| Damage::HeadHash { at }),
                1 => Just(Damage::NoHead),
                2 => seq().prop_map(|from| Damage::Rechain { from }),
                2 => (2..=RECORDS).prop_map(|from| Damage::CutWithHead { from }),
                1 => at().prop_map(|at| Damage::Signature { at }),
            ]
        }

        /// Does it, and returns the record that must be named.
        fn inflict(&self, c: &Connection) -> i64 {
            let run = |sql: &str, p: &[&dyn rusqlite::ToSql]| {
                let n = c.execute(sql, p).expect("the damage is done");
                assert!(n > 0, "nothing was damaged");
            };
            let text = |seq: i64| -> Vec<u8> {
                c.query_row("SELECT CAST(text AS BLOB) FROM records WHERE seq = ?1", [seq], |r| r.get(0))
                    .expect("is there")
            };
            match self {
                Damage::Byte { seq, at, xor } => {
                    let mut t = text(*seq);
                    let at = at.index(t.len());
                    t[at] ^= xor;
                    run("UPDATE records SET text = CAST(?2 AS TEXT) WHERE seq = ?1", &[seq, &t]);
                    *seq
                }
                Damage::ByteAndHash { seq, at } => {
                    let mut t = text(*seq);
                    let at = at.index(t.len());
                    t[at] = if t[at] == b'1' { b'2' } else { b'1' };
                    let hash = crate::schema::record::hex(&<sha2::Sha256 as sha2::Digest>::digest(&t));
                    run("UPDATE records SET text = CAST(?2 AS TEXT), hash = ?3 WHERE seq = ?1", &[seq, &t, &hash]);
                    // Nothing in the record itself need be wrong then: the next one, or the head, gives it away.
                    -*seq
                }
                Damage::Hash { seq, at } => {
                    let i = i64::try_from(at.index(64)).expect("small") + 1;
                    run(
                        "UPDATE records SET hash = substr(hash, 1, ?2 - 1) || 'x' || substr(hash, ?2 + 1) WHERE seq = ?1",
                        &[seq, &i],
                    );
                    *seq
                }
                Damage::Remove { seq } => {
                    run("DELETE FROM records WHERE seq = ?1", &[seq]);
                    *seq
                }
                Damage::CloseGap { seq } => {
                    run("DELETE FROM records WHERE seq = ?1", &[seq]);
                    for n in *seq + 1..=RECORDS {
                        run("UPDATE records SET seq = ?1 - 1 WHERE seq = ?1", &[&n]);
                    }
                    *seq
                }
                Damage::CutTail { from } => {
                    run("DELETE FROM records WHERE seq >= ?1", &[from]);
                    *from
                }
                Damage::CutFront { upto } => {
                    run("DELETE FROM records WHERE seq <= ?1", &[upto]);
                    1
                }
                Damage::Swap { a, b } => {
                    run("UPDATE records SET seq = 1000 WHERE seq = ?1", &[a]);
                    run("UPDATE records SET seq = ?1 WHERE seq = ?2", &[a, b]);
                    run("UPDATE records SET seq = ?1 WHERE seq = 1000", &[b]);
                    *a.min(b)
                }
                Damage::Add { seq, like } => {
                    run("INSERT INTO records SELECT ?1, text, hash FROM records WHERE seq = ?2", &[seq, like]);
                    if *seq < 1 { 1 } else { RECORDS + 1 }
                }
                Damage::Head { seq } => {
                    run("UPDATE head SET seq = ?1", &[seq]);
                    (*seq + 1).min(RECORDS + 1)
                }
                Damage::HeadHash { at } => {
                    let i = i64::try_from(at.index(64)).expect("small") + 1;
                    run("UPDATE head SET hash = substr(hash, 1, ?1 - 1) || 'x' || substr(hash, ?1 + 1)", &[&i]);
                    RECORDS
                }
                Damage::NoHead => {
                    run("DELETE FROM head", &[]);
                    RECORDS + 1
                }
                Damage::Rechain { from } => {
                    let mut prev: String = match from {
                        1 => GENESIS.into(),
                        n => c
                            .query_row("SELECT hash FROM records WHERE seq = ?1", [n - 1], |r| r.get(0))
                            .expect("reads"),
                    };
                    for seq in *from..=RECORDS {
                        let record = Draft { uptime_ms: 6, ..draft(1) }.seal(seq.unsigned_abs(), prev);
                        let text = record.text();
                        prev = chain_hash(&text);
                        run("UPDATE records SET text = ?2, hash = ?3 WHERE seq = ?1", &[&seq, &text, &prev]);
                    }
                    run("UPDATE head SET hash = ?1", &[&prev]);
                    RECORDS
                }
                Damage::CutWithHead { from } => {
                    run("DELETE FROM records WHERE seq >= ?1", &[from]);
                    run("UPDATE head SET seq = ?1, hash = (SELECT hash FROM records WHERE seq = ?1)", &[&(from - 1)]);
                    from - 1
                }
                Damage::Signature { at } => {
                    let i = i64::try_from(at.index(128)).expect("small") + 1;
                    run("UPDATE head SET sig = substr(sig, 1, ?1 - 1) || 'x' || substr(sig, ?1 + 1)", &[&i]);
                    RECORDS
                }
            }
        }
    }

    #[test]
    fn every_damage_to_the_rows_is_found_and_placed() {
        let (_dir, j) = journal(u128::try_from(RECORDS).expect("positive"));
        attack(&j, "");
        let j = std::cell::RefCell::new(j);
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
            cases: 10_000,
            failure_persistence: None,
            ..ProptestConfig::default()
        });
        runner
            .run(&Damage::strategy(), |damage| {
                let mut j = j.borrow_mut();
                j.conn.execute_batch("BEGIN").expect("begins");
                let bad = damage.inflict(&j.conn);
                let report = j.verify().expect("checks");
                j.conn.execute_batch("ROLLBACK").expect("heals");
                let found = report.first_bad_seq.map(wide);
                if bad < 0 {
                    prop_assert!(found == Some(-bad) || found == Some(1 - bad), "{report:?}");
                } else {
                    prop_assert_eq!(found, Some(bad), "{:?}", report);
                }
                prop_assert!(report.cause.is_some());
                Ok(())
            })
            .expect("no damage goes unnoticed");
        assert_eq!(j.borrow_mut().verify().expect("checks").first_bad_seq, None, "the damage was undone each time");
    }
}
