use super::*;
use crate::base::time::WallTime;
use crate::schema::event::Event;
use crate::schema::ids::DeviceId;
use crate::schema::record::{Draft, chain_hash};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
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

/// A real journal of so many records, its lines, its head and the key.
fn exported(records: u128) -> (Vec<String>, SignedHead, PublicKey) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut journal = SqliteJournal::open(dir.path()).expect("opens");
    for n in 1..=records {
        journal.append(&draft(n)).expect("appends");
    }
    let lines = journal.after(0, usize::MAX >> 1).expect("reads").into_iter().map(|s| s.text).collect();
    let head = journal.signed_head().expect("reads").expect("signed");
    (lines, head, DeviceKey::existing(dir.path()).expect("a key").public())
}

fn found(lines: &[u8], head: &SignedHead, key: &PublicKey) -> Option<Broken> {
    walk(lines, head, key).expect("bytes in memory can be read").1
}

fn joined(lines: &[String]) -> Vec<u8> {
    lines.iter().flat_map(|l| l.bytes().chain(*b"\n")).collect()
}

#[test]
fn ten_thousand_mutations_of_an_export_are_all_found() {
    let (lines, head, key) = exported(60);
    let whole = joined(&lines);
    assert_eq!(found(&whole, &head, &key), None);
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    let mut kinds = [0_u32; 8];
    for n in 0..10_000 {
        let mut pick = |below: usize| rng.next_u64() as usize % below;
        let mut bytes = whole.clone();
        let mut new = lines.clone();
        let (a, b, kind) = (pick(lines.len()), pick(lines.len()), pick(8));
        kinds[kind] += 1;
        match kind {
            0 => bytes[pick(whole.len())] ^= 1 << pick(8),
            1 => {
                bytes.truncate(pick(whole.len()));
            }
            2 => {
                new.remove(a);
                bytes = joined(&new);
            }
            3 => {
                new.truncate(a);
                bytes = joined(&new);
            }
            4 => {
                new.insert(a, lines[b].clone());
                bytes = joined(&new);
            }
            5 if a != b => {
                new.swap(a, b);
                bytes = joined(&new);
            }
            // Everything from a record on is written anew, in good order, and the head's hash with it.
            6 | 5 => {
                let mut prev = if a == 0 { crate::schema::record::GENESIS.into() } else { chain_hash(&lines[a - 1]) };
                for (i, line) in new.iter_mut().enumerate().skip(a) {
                    let record = Draft { uptime_ms: 6, ..draft(i as u128 + 1) }.seal(i as u64 + 1, prev);
                    *line = record.text();
                    prev = chain_hash(line);
                }
                let forged = SignedHead { hash: prev, ..head.clone() };
                assert!(found(&joined(&new), &forged, &key).is_some(), "mutation {n}: a forged head");
                bytes = joined(&new);
            }
            // The end is cut off, and the head says what is there now.
            _ => {
                new.truncate(a.max(1));
                let last = chain_hash(&new[new.len() - 1]);
                let forged = SignedHead { seq: new.len() as u64, hash: last, ..head.clone() };
                assert!(found(&joined(&new), &forged, &key).is_some() || new.len() == lines.len());
                bytes = joined(&new);
                if new.len() == lines.len() {
                    continue;
                }
            }
        }
        assert!(bytes != whole, "mutation {n} of kind {kind} changed nothing");
        assert!(found(&bytes, &head, &key).is_some(), "mutation {n} of kind {kind} went unnoticed");
    }
    assert!(kinds.iter().all(|k| *k > 1000), "{kinds:?}");
}

#[test]
fn a_head_of_another_key_or_with_another_signature_is_refused() {
    let (lines, head, key) = exported(3);
    let (_, _, other) = exported(1);
    let bytes = joined(&lines);
    let cause = |head: &SignedHead, key: &PublicKey| found(&bytes, head, key).expect("refused").1;
    assert!(cause(&head, &other).contains("another key"));
    let own = SignedHead { key: other.hex(), ..head.clone() };
    assert!(cause(&own, &other).contains("signature"), "another's key beside our signature");
    let cut = SignedHead { sig: String::new(), ..head.clone() };
    assert!(cause(&cut, &key).contains("signature"));
    assert!(found(b"", &head, &key).is_some() && found(b"{}\n", &head, &key).is_some());
}

#[test]
fn what_is_printed_is_checked_on_the_way() {
    let (lines, head, key) = exported(9);
    let page = |from: usize| -> Vec<Stored> {
        let all = lines.iter().enumerate().map(|(i, l)| Stored { seq: i as u64 + 1, text: l.clone() });
        all.skip(from).collect()
    };
    let broken = |page: &[Stored]| {
        let mut seen = Seen::default();
        seen.take(page, Some(&head), &Ok(key));
        seen.broken
    };
    assert_eq!(broken(&page(4)), None);
    let mut changed = page(4);
    changed[2].text = changed[2].text.replace("record", "recorD");
    assert_eq!(broken(&changed).map(|b| b.0), Some(8), "seen at the link of the next one");
    let mut last = page(4);
    last[4].text = last[4].text.replace("record", "recorD");
    assert_eq!(broken(&last).map(|b| b.0), Some(9), "seen by the head");
    let mut seen = Seen::default();
    seen.take(&page(4), Some(&head), &Ok(key));
    seen.whole(Some(&head), &Ok(key));
    assert!(seen.is_broken(), "an export begins where the journal does");
}
