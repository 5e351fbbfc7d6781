//! A person as bytes that another terminal stores: templates, attributes, what cannot be asked of them. The same person makes
//! the same bytes, so that two stores can be compared by digests.

use super::attributes::Kept;
use super::people::{EncryptedPeople, numbers};
use super::{StoreError, Trouble};
use crate::domain::gallery::Template;
use crate::ports::Person;
use crate::schema::event::Action;
use crate::schema::ids::PersonId;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rusqlite::OptionalExtension;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Templates of one person at most.
const MAX_TEMPLATES: usize = 100;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Carried {
    v: u8,
    enrolled_unix_ms: i64,
    /// Network, then little-endian f32 in base64.
    templates: Vec<(String, Zeroizing<String>)>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    attributes: Option<Kept>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    cannot: Vec<Action>,
}

/// Somebody with the bytes that say everything of them.
pub type Carry = (PersonId, Zeroizing<Vec<u8>>);

impl EncryptedPeople {
    /// Everybody.
    ///
    /// # Errors
    /// A record cannot be opened.
    pub fn carried(&mut self) -> Result<Vec<Carry>, StoreError> {
        let (people, mut attributes) = (self.load_all()?, self.attributes()?);
        let mut cannot = self.cannot()?;
        let one = |p: Person| {
            let text = |t: &Template| {
                let plain: Zeroizing<Vec<u8>> =
                    Zeroizing::new(t.embedding.iter().flat_map(|x| x.to_le_bytes()).collect());
                (t.model.clone(), Zeroizing::new(BASE64_STANDARD.encode(&*plain)))
            };
            let carried = Carried {
                v: 1,
                enrolled_unix_ms: p.enrolled_unix_ms,
                templates: p.templates.iter().map(text).collect(),
                attributes: attributes.remove(&p.id).as_ref().map(Kept::of),
                cannot: cannot.remove(&p.id).unwrap_or_default(),
            };
            let bytes = Zeroizing::new(serde_json::to_vec(&carried).unwrap_or_default());
            (p.id, bytes)
        };
        Ok(people.into_iter().map(one).collect())
    }

    /// Stores people as they were carried, each in place of what was here, all or nothing; with the mark, if there is one.
    ///
    /// # Errors
    /// Bytes that are no person's, or nothing could be written.
    pub fn take_carried(&mut self, people: &[Carry], mark: Option<&str>) -> Result<(), StoreError> {
        let mut all = Vec::new();
        let (mut attributes, mut cannot) = (BTreeMap::new(), Vec::new());
        for (id, bytes) in people {
            let person = parse(bytes).ok_or_else(|| {
                let what = format!("take `{id}` from the site into");
                let hint = "enrol the person again where the entry was signed";
                StoreError::new(Trouble::Data, &self.path, &what, "this is no person of this version", hint)
            })?;
            let (templates, enrolled_unix_ms, known, limits) = person;
            all.push(Person { id: id.clone(), templates, enrolled_unix_ms });
            if let Some(known) = known {
                attributes.insert(id.clone(), known);
            }
            if !limits.is_empty() {
                cannot.push((id.clone(), limits));
            }
        }
        self.add_all_with(&all, &attributes, true)?;
        for (id, limits) in cannot {
            self.set_cannot(&id, &limits)?;
        }
        mark.map_or(Ok(()), |m| self.set_mark(m))
    }

    /// What was marked last; see [`EncryptedPeople::set_mark`].
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn mark(&self) -> Result<Option<String>, StoreError> {
        let mark = self.conn.query_row("SELECT text FROM mark", [], |r| r.get(0)).optional();
        mark.map_err(|e| StoreError::sql(&self.path, "read", &e))
    }

    /// Marks the store as one that agrees with the site: a copy that is put back carries an older mark.
    ///
    /// # Errors
    /// Nothing was written.
    pub fn set_mark(&self, mark: &str) -> Result<(), StoreError> {
        match self.conn.execute("INSERT OR REPLACE INTO mark VALUES (0, ?1)", [mark]) {
            Ok(_) => Ok(()),
            Err(e) => Err(StoreError::sql(&self.path, "write to", &e)),
        }
    }
}

type Read = (Vec<Template>, i64, Option<crate::domain::access::Attributes>, Vec<Action>);

/// Whether these bytes are a person that this version can store.
#[must_use]
pub fn is_person(bytes: &[u8]) -> bool {
    parse(bytes).is_some()
}

fn parse(bytes: &[u8]) -> Option<Read> {
    let c: Carried = serde_json::from_slice(bytes).ok()?;
    if c.v != 1 || !(1..=MAX_TEMPLATES).contains(&c.templates.len()) {
        return None;
    }
    let templates = c.templates.into_iter().map(|(model, text)| {
        let plain = Zeroizing::new(BASE64_STANDARD.decode(&*text).ok()?);
        Some(Template { model, embedding: numbers(&plain)? })
    });
    let attributes = match &c.attributes {
        None => None,
        Some(kept) => Some(kept.attributes()?),
    };
    Some((templates.collect::<Option<_>>()?, c.enrolled_unix_ms, attributes, c.cannot))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::access::Attributes;
    use std::collections::BTreeSet;

    #[test]
    fn who_is_carried_to_another_store_is_the_same_there_to_the_last_bit() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut here = EncryptedPeople::open(&dir.path().join("a")).expect("opens");
        let template = |v: f32| Template { model: "ab".repeat(32), embedding: vec![v, -0.0, 1e-30].into() };
        let id = |n: &str| PersonId::new(n).expect("valid");
        let ada = Person { id: id("ada"), templates: vec![template(0.1), template(0.2)], enrolled_unix_ms: 7 };
        let bob = Person { id: id("bob"), templates: vec![template(0.3)], enrolled_unix_ms: 8 };
        here.add_all(&[ada, bob], false).expect("writes");
        let some = Attributes {
            groups: BTreeSet::from(["staff".to_owned()]),
            valid_to_ms: Some(5),
            pin: Some(crate::adapters::store::pin::verifier("4711", [9; 16]).expect("a PIN")),
            card: Some("12".into()),
            ..Attributes::default()
        };
        here.set_attributes(&id("ada"), &some).expect("writes");
        here.set_cannot(&id("bob"), &[Action::Blink]).expect("writes");
        let carried = here.carried().expect("reads");
        let mut there = EncryptedPeople::open(&dir.path().join("b")).expect("opens");
        there.take_carried(&carried, Some("m1")).expect("writes");
        there.take_carried(&carried, Some("m2")).expect("a second time changes nothing");
        assert_eq!(there.carried().expect("reads"), carried);
        assert_eq!(there.mark().expect("reads").as_deref(), Some("m2"));
        assert_eq!(here.mark().expect("reads"), None);
    }

    #[test]
    fn bytes_that_are_no_person_change_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut store = EncryptedPeople::open(dir.path()).expect("opens");
        for bad in [
            "",
            "{}",
            r#"{"v":2,"enrolled_unix_ms":1,"templates":[["m","AAAAAA=="]]}"#,
            r#"{"v":1,"enrolled_unix_ms":1,"templates":[]}"#,
            r#"{"v":1,"enrolled_unix_ms":1,"templates":[["m","AAA="]]}"#,
        ] {
            let carry = (PersonId::new("ada").expect("valid"), Zeroizing::new(bad.as_bytes().to_vec()));
            assert!(!is_person(&carry.1) && store.take_carried(&[carry], Some("m")).is_err(), "{bad}");
        }
        assert!(store.carried().expect("reads").is_empty() && store.mark().expect("reads").is_none());
    }
}
