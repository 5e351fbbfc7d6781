//! What is known of people beside their faces, sealed under each person's own key: it goes when the person is removed.

use super::key::Master;
use super::people::{EncryptedPeople, current, tampered, unwrap, writing};
use super::seal::{self, bound};
use super::{StoreError, Trouble};
use crate::domain::access::{Attributes, PinVerifier};
use crate::ports::{PeopleStore, Person, PortError};
use crate::schema::ids::PersonId;
use crate::schema::record::hex;
use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use zeroize::Zeroizing;

/// As it is written, in the store and in an export.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    groups: BTreeSet<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    valid_from_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    valid_to_ms: Option<i64>,
    /// Salt, tag and tag under duress in hex.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pin: Option<Zeroizing<String>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    card: Option<Zeroizing<String>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    consent_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    expires_ms: Option<i64>,
}

impl Kept {
    pub(super) fn of(a: &Attributes) -> Kept {
        let pin = |p: &PinVerifier| Zeroizing::new(hex(&[&p.salt[..], &p.tag, &p.duress].concat()));
        Kept {
            groups: a.groups.clone(),
            valid_from_ms: a.valid_from_ms,
            valid_to_ms: a.valid_to_ms,
            pin: a.pin.as_ref().map(pin),
            card: a.card.clone().map(Zeroizing::new),
            consent_ms: a.consent_ms,
            expires_ms: a.expires_ms,
        }
    }

    /// `None` when it was not written by this program.
    pub(super) fn attributes(&self) -> Option<Attributes> {
        let pin = match &self.pin {
            None => None,
            Some(text) => {
                let bytes = super::export::unhex(text)?;
                let (salt, rest) = bytes.split_first_chunk::<16>()?;
                let (tag, duress) = rest.split_first_chunk::<32>()?;
                Some(PinVerifier { salt: *salt, tag: *tag, duress: duress.try_into().ok()? })
            }
        };
        Some(Attributes {
            groups: self.groups.clone(),
            valid_from_ms: self.valid_from_ms,
            valid_to_ms: self.valid_to_ms,
            pin,
            card: self.card.as_ref().map(|c| c.to_string()),
            consent_ms: self.consent_ms,
            expires_ms: self.expires_ms,
        })
    }
}

/// Who may be compared with a face now.
#[derive(Debug)]
pub struct Current {
    pub people: Vec<Person>,
    /// Those whose time is over, and when it was.
    pub expired: BTreeMap<PersonId, i64>,
    /// When the next one's is.
    pub next_ms: Option<i64>,
}

impl EncryptedPeople {
    /// Everybody with templates of one network whose time is not over at `now_ms`.
    ///
    /// # Errors
    /// A record cannot be opened; names the person.
    pub fn current(&mut self, model: &str, now_ms: i64) -> Result<Current, PortError> {
        let mut people = self.load(model)?;
        let ends: BTreeMap<PersonId, i64> =
            self.attributes()?.into_iter().filter_map(|(id, a)| Some((id, a.expires_ms?))).collect();
        people.retain(|p| ends.get(&p.id).is_none_or(|end| now_ms < *end));
        let next_ms = ends.values().filter(|end| now_ms < **end).min().copied();
        let expired = ends.into_iter().filter(|(_, end)| now_ms >= *end).collect();
        Ok(Current { people, expired, next_ms })
    }

    /// Attributes of everybody of whom something was said.
    ///
    /// # Errors
    /// A record cannot be opened; names the person.
    pub fn attributes(&mut self) -> Result<BTreeMap<PersonId, Attributes>, StoreError> {
        let path = &self.path;
        let sql = |e: rusqlite::Error| StoreError::sql(path, "read", &e);
        let tx = Transaction::new_unchecked(&self.conn, TransactionBehavior::Deferred).map_err(sql)?;
        let master = current(&tx, path, &self.source, &mut self.master)?;
        let mut rows = tx
            .prepare_cached(
                "SELECT p.person, p.wrapped, a.sealed FROM people p JOIN attributes a ON a.person = p.person",
            )
            .map_err(sql)?;
        let rows = rows
            .query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, Vec<u8>>(1)?, r.get::<_, Vec<u8>>(2)?)))
            .map_err(sql)?;
        let mut all = BTreeMap::new();
        for row in rows {
            let (name, wrapped, sealed) = row.map_err(sql)?;
            let bad = |cause: &str| tampered(path, &name, cause);
            let key = unwrap(master, path, &name, &wrapped)?;
            let plain = seal::unseal(&key, &place(&name), &sealed).ok_or_else(|| bad("the attributes do not open"))?;
            let kept: Kept = serde_json::from_slice(&plain).map_err(|_| bad("the attributes cannot be read"))?;
            let attributes = kept.attributes().ok_or_else(|| bad("the attributes cannot be read"))?;
            all.insert(PersonId::new(&name).map_err(|e| bad(&e.to_string()))?, attributes);
        }
        Ok(all)
    }

    /// Replaces what is known of a person; false when there is no such person.
    ///
    /// # Errors
    /// Nothing was written.
    pub fn set_attributes(&mut self, id: &PersonId, attributes: &Attributes) -> Result<bool, StoreError> {
        {
            let (tx, master) = writing(&self.conn, &self.path, &self.source, &mut self.master)?;
            if !write(&tx, &self.path, master, id, attributes)? {
                return Ok(false);
            }
            tx.commit().map_err(|e| StoreError::sql(&self.path, "write to", &e))?;
        }
        // What stood there before leaves the file too.
        self.erase();
        Ok(true)
    }
}

/// Within a transaction that writes; false when there is no such person.
pub(super) fn write(
    tx: &Transaction<'_>,
    path: &Path,
    master: &Master,
    id: &PersonId,
    attributes: &Attributes,
) -> Result<bool, StoreError> {
    let name = id.as_str();
    let sql = |e: rusqlite::Error| StoreError::sql(path, "write to", &e);
    let wrapped: Option<Vec<u8>> =
        tx.query_row("SELECT wrapped FROM people WHERE person = ?1", [name], |r| r.get(0)).optional().map_err(sql)?;
    let Some(wrapped) = wrapped else { return Ok(false) };
    let key = unwrap(master, path, name, &wrapped)?;
    let plain = Zeroizing::new(serde_json::to_vec(&Kept::of(attributes)).map_err(|e| {
        StoreError::new(Trouble::Data, path, "write to", e, "report this: attributes always fit into JSON")
    })?);
    let sealed = seal::seal(&key, &place(name), &plain, path)?;
    tx.execute("INSERT OR REPLACE INTO attributes VALUES (?1, ?2)", params![name, sealed]).map_err(sql)?;
    Ok(true)
}

/// What sealed attributes are bound to.
fn place(name: &str) -> Vec<u8> {
    bound(&[b"attributes", name.as_bytes()])
}

#[cfg(test)]
impl EncryptedPeople {
    /// For tests of whoever reads them: nobody's attributes open any more.
    pub(crate) fn tamper_with_attributes(&self) {
        self.conn.execute("UPDATE attributes SET sealed = x'00'", []).expect("tampers");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::gallery::Template;

    fn person(name: &str) -> Person {
        let template = Template { model: "ab".repeat(32), embedding: vec![0.5_f32; 4].into() };
        Person { id: PersonId::new(name).expect("valid"), templates: vec![template], enrolled_unix_ms: 7 }
    }

    fn some() -> Attributes {
        Attributes {
            groups: BTreeSet::from(["cleaners-of-the-night".to_owned()]),
            valid_from_ms: Some(5),
            valid_to_ms: Some(-3),
            pin: Some(crate::adapters::store::pin::verifier("4711", [9; 16]).expect("a PIN")),
            card: Some("0012345678901".into()),
            consent_ms: Some(1),
            expires_ms: Some(50),
        }
    }

    #[test]
    fn attributes_are_told_back_never_lie_in_clear_and_go_with_the_person() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut store = EncryptedPeople::open(dir.path()).expect("opens");
        let mut other = EncryptedPeople::open(dir.path()).expect("a second process");
        let (ada, bob) = (person("ada"), person("bob"));
        assert!(!store.set_attributes(&ada.id, &some()).expect("reads"), "nobody of that name");
        store.add_all(&[ada.clone(), bob.clone()], false).expect("writes");
        assert!(other.changed().expect("reads"));
        assert!(store.set_attributes(&ada.id, &some()).expect("writes"));
        assert!(other.changed().expect("reads"), "the daemon sees it without a restart");
        // Another person's removal replaces the master key, not the attributes.
        store.remove_person(&bob.id).expect("removes");
        assert_eq!(other.attributes().expect("reads"), BTreeMap::from([(ada.id.clone(), some())]));
        for file in ["people.db", "people.db-wal"] {
            let bytes = std::fs::read(dir.path().join(file)).unwrap_or_default();
            for marker in ["cleaners", "0012345678901", "4711"] {
                let found = bytes.windows(marker.len()).any(|w| w == marker.as_bytes());
                assert!(!found, "{marker} stands in {file}");
            }
        }
        store.remove(&ada.id).expect("removes");
        assert!(store.attributes().expect("reads").is_empty());
        store.add_all(&[ada], false).expect("writes");
        assert!(store.attributes().expect("reads").is_empty(), "somebody new of that name begins without");
    }

    #[test]
    fn whose_time_is_over_is_not_compared_and_the_next_end_is_told() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut store = EncryptedPeople::open(dir.path()).expect("opens");
        store.add_all(&["ada", "bob", "eve"].map(person), false).expect("writes");
        for (name, end) in [("ada", 50), ("bob", 60)] {
            let a = Attributes { expires_ms: Some(end), ..Attributes::default() };
            store.set_attributes(&person(name).id, &a).expect("writes");
        }
        let model = "ab".repeat(32);
        for (now, here, gone, next) in
            [(49, &["ada", "bob", "eve"][..], 0, Some(50)), (50, &["bob", "eve"], 1, Some(60)), (60, &["eve"], 2, None)]
        {
            let c = store.current(&model, now).expect("reads");
            assert_eq!(c.people.iter().map(|p| p.id.as_str()).collect::<Vec<_>>(), here, "at {now}");
            assert_eq!((c.expired.len(), c.next_ms), (gone, next), "at {now}");
        }
        assert_eq!(store.load(&model).expect("reads").len(), 3, "they are still there, for whoever removes them");
    }

    #[test]
    fn attributes_of_one_person_do_not_open_as_those_of_another() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut store = EncryptedPeople::open(dir.path()).expect("opens");
        let (ada, bob) = (person("ada"), person("bob"));
        store.add_all(&[ada.clone(), bob], false).expect("writes");
        store.set_attributes(&ada.id, &some()).expect("writes");
        store.conn.execute("UPDATE attributes SET person = 'bob'", []).expect("tampers");
        let e = store.attributes().expect_err("tampered with").to_string();
        assert!(e.contains("bob"), "{e}");
    }

    #[test]
    fn an_export_carries_them_and_an_older_one_without_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut store = EncryptedPeople::open(&dir.path().join("a")).expect("opens");
        store.add_all(&[person("ada"), person("bob")], false).expect("writes");
        store.set_attributes(&person("ada").id, &some()).expect("writes");
        let file = dir.path().join("people.export");
        store.export(&file, b"a long passphrase").expect("writes");
        let mut there = EncryptedPeople::open(&dir.path().join("b")).expect("opens");
        there.import(&file, b"a long passphrase", false).expect("reads");
        assert_eq!(there.attributes().expect("reads"), BTreeMap::from([(person("ada").id, some())]));
    }
}
