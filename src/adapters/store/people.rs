//! The people: `people.db`. Names are in clear, since they are listed and logged anyway; templates never are. Each
//! person has a data key of their own, wrapped by the master key; removing a person destroys it, and replaces the
//! master key too where it is ours to replace, so that nothing that lingers on the medium opens again.
//!
//! Several processes may hold the store: a command may remove somebody while the daemon runs. [`EncryptedPeople::changed`]
//! tells the daemon to load again.

use super::key::{KeySource, Master};
use super::migrate::{self, Layout};
use super::seal::{self, Key, bound};
use super::{StoreError, Trouble, files};
use crate::domain::access::Attributes;
use crate::domain::gallery::Template;
use crate::ports::{PeopleStore, Person, PersonSummary, PortError};
use crate::schema::event::Action;
use crate::schema::ids::PersonId;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

pub(super) const LAYOUT: Layout = Layout {
    application_id: 0x4361_5065,
    version: 4,
    name: "people store",
    sql: "
    CREATE TABLE key (id INTEGER PRIMARY KEY CHECK (id = 0), fingerprint TEXT NOT NULL) STRICT;
    CREATE TABLE people (person TEXT PRIMARY KEY, wrapped BLOB NOT NULL, enrolled_unix_ms INTEGER NOT NULL) STRICT;
    CREATE TABLE templates (id INTEGER PRIMARY KEY, person TEXT NOT NULL REFERENCES people, model TEXT NOT NULL,
        sealed BLOB NOT NULL) STRICT;
    CREATE INDEX templates_of ON templates (person);
    CREATE TABLE cannot (person TEXT PRIMARY KEY REFERENCES people ON DELETE CASCADE, actions TEXT NOT NULL) STRICT;
    CREATE TABLE attributes (person TEXT PRIMARY KEY REFERENCES people ON DELETE CASCADE, sealed BLOB NOT NULL) STRICT;
    CREATE TABLE mark (id INTEGER PRIMARY KEY CHECK (id = 0), text TEXT NOT NULL) STRICT;
    ",
    steps: &[
        "
    CREATE TABLE cannot (person TEXT PRIMARY KEY REFERENCES people ON DELETE CASCADE, actions TEXT NOT NULL) STRICT;
    ",
        // The lockout is in the door's memory since.
        "
    DROP TABLE IF EXISTS lockout;
    CREATE TABLE attributes (person TEXT PRIMARY KEY REFERENCES people ON DELETE CASCADE, sealed BLOB NOT NULL) STRICT;
    ",
        // Where the people stand against the site's directory: tells a copy that was put back from the store itself.
        "
    CREATE TABLE mark (id INTEGER PRIMARY KEY CHECK (id = 0), text TEXT NOT NULL) STRICT;
    ",
    ],
};

/// What sealed bytes are bound to: another form of sealing, not of the tables around, would be another number.
const SEALING: i32 = 1;

const FILE: &str = "people.db";

/// Most numbers in an embedding; the networks of our packs have 128 to 512.
const MAX_NUMBERS: usize = 4096;

/// The people in `people.db`.
pub struct EncryptedPeople {
    pub(super) conn: Connection,
    pub(super) path: PathBuf,
    pub(super) source: KeySource,
    pub(super) master: Master,
    /// `PRAGMA data_version` when the people were last looked at.
    seen: i64,
}

/// What is left to say of somebody who was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removal {
    pub templates: u32,
    /// The master key was replaced; false when it is handed over from outside.
    pub key_replaced: bool,
    /// The bytes are gone from the files too; false while another process was reading, then it happens at the next
    /// opening.
    pub erased: bool,
}

impl EncryptedPeople {
    /// Opens the store of a state directory; directory (0700), file and key (0600) are made if absent.
    ///
    /// # Errors
    /// A key that others can read ([`Trouble::Permission`]); a foreign or newer file, a missing or different key
    /// ([`Trouble::Data`]).
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(dir, KeySource::of_state(dir))
    }

    /// [`Self::open`] with a key from elsewhere.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(dir: &Path, source: KeySource) -> Result<Self, StoreError> {
        files::private_dir(dir)?;
        let path = dir.join(FILE);
        let mut conn = migrate::open(&path, &LAYOUT)?;
        let sql = |e: rusqlite::Error| StoreError::sql(&path, "open", &e);
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
        let master = match fingerprint(&tx).map_err(sql)? {
            Some(id) => source.find(&id)?,
            None => {
                let master = source.for_new_store()?;
                tx.execute("INSERT INTO key VALUES (0, ?1)", [&master.id]).map_err(sql)?;
                master
            }
        };
        tx.commit().map_err(sql)?;
        let mut people = EncryptedPeople { conn, path, source, master, seen: 0 };
        // A process that was killed, or that could not, may have left removed bytes in the WAL.
        people.erase();
        people.seen = people.data_version()?;
        Ok(people)
    }

    /// Whether a store is there at all.
    #[must_use]
    pub fn exists(dir: &Path) -> bool {
        dir.join(FILE).exists()
    }

    /// Whether another process has changed the store since the last call, or since it was opened.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn changed(&mut self) -> Result<bool, PortError> {
        let now = self.data_version()?;
        Ok(std::mem::replace(&mut self.seen, now) != now)
    }

    /// [`PeopleStore::remove`] with a receipt; `None` when there is no such person.
    ///
    /// # Errors
    /// Nothing was removed.
    pub fn remove_person(&mut self, id: &PersonId) -> Result<Option<Removal>, StoreError> {
        self.remove_people(std::slice::from_ref(id))
    }

    /// Removes several people at once, with one new master key for all; `None` when none of them is here.
    ///
    /// # Errors
    /// Nothing was removed.
    pub fn remove_people(&mut self, ids: &[PersonId]) -> Result<Option<Removal>, StoreError> {
        let (tx, master) = writing(&self.conn, &self.path, &self.source, &mut self.master)?;
        let sql = |e: rusqlite::Error| StoreError::sql(&self.path, "remove a person from", &e);
        let (mut templates, mut people) = (0, 0);
        for id in ids {
            templates += tx.execute("DELETE FROM templates WHERE person = ?1", [id.as_str()]).map_err(sql)?;
            people += tx.execute("DELETE FROM people WHERE person = ?1", [id.as_str()]).map_err(sql)?;
        }
        if people == 0 {
            return Ok(None);
        }
        let fresh = if self.source.rotates() { Some(rewrap(&tx, &self.path, &self.source, master)?) } else { None };
        tx.commit().map_err(sql)?;
        let key_replaced = fresh.is_some();
        if let Some(fresh) = fresh {
            if let Err(e) = self.source.promote(&fresh) {
                tracing::warn!(error = %e, "the new key lies beside the old one; the next opening puts it in place");
            }
            self.master = fresh;
        }
        let erased = self.erase();
        Ok(Some(Removal { templates: u32::try_from(templates).unwrap_or(u32::MAX), key_replaced, erased }))
    }

    /// Everybody with the templates of all networks.
    ///
    /// # Errors
    /// As [`PeopleStore::load`].
    pub fn load_all(&mut self) -> Result<Vec<Person>, StoreError> {
        self.load_where(None)
    }

    /// Adds several people at once, all or nothing. With `replace`, what a person had before is removed first.
    ///
    /// # Errors
    /// Nothing was written.
    pub fn add_all(&mut self, people: &[Person], replace: bool) -> Result<(), StoreError> {
        self.add_all_with(people, &BTreeMap::new(), replace)
    }

    /// [`EncryptedPeople::add_all`] with what is known of people beside their faces: of these, and of others who are here.
    ///
    /// # Errors
    /// Nothing was written.
    pub fn add_all_with(
        &mut self,
        people: &[Person],
        attributes: &BTreeMap<PersonId, Attributes>,
        replace: bool,
    ) -> Result<(), StoreError> {
        {
            let (tx, master) = writing(&self.conn, &self.path, &self.source, &mut self.master)?;
            let sql = |e: rusqlite::Error| StoreError::sql(&self.path, "add a person to", &e);
            for person in people {
                if replace {
                    tx.execute("DELETE FROM templates WHERE person = ?1", [person.id.as_str()]).map_err(sql)?;
                    tx.execute("DELETE FROM people WHERE person = ?1", [person.id.as_str()]).map_err(sql)?;
                }
                insert(&tx, &self.path, master, person)?;
            }
            for (id, attributes) in attributes {
                if !super::attributes::write(&tx, &self.path, master, id, attributes)? {
                    let hint = "enrol the person first";
                    let what = format!("write what is known of `{id}` to");
                    return Err(StoreError::new(Trouble::Data, &self.path, &what, "nobody has that name", hint));
                }
            }
            tx.commit().map_err(sql)?;
        }
        if replace || !attributes.is_empty() {
            self.erase();
        }
        Ok(())
    }

    /// Adds templates to somebody who is here; false when nobody of that name is any more, then nothing was written.
    ///
    /// # Errors
    /// Nothing was written.
    pub fn add_to(&mut self, id: &PersonId, templates: &[Template]) -> Result<bool, StoreError> {
        let (tx, master) = writing(&self.conn, &self.path, &self.source, &mut self.master)?;
        let sql = |e: rusqlite::Error| StoreError::sql(&self.path, "add templates to", &e);
        let since: Option<i64> = tx
            .query_row("SELECT enrolled_unix_ms FROM people WHERE person = ?1", [id.as_str()], |r| r.get(0))
            .optional()
            .map_err(sql)?;
        let Some(enrolled_unix_ms) = since else { return Ok(false) };
        let person = Person { id: id.clone(), templates: templates.to_vec(), enrolled_unix_ms };
        insert(&tx, &self.path, master, &person)?;
        tx.commit().map_err(sql)?;
        Ok(true)
    }

    /// What people cannot do, of those for whom something was said.
    ///
    /// # Errors
    /// The file cannot be read, or names an action that this version does not know.
    pub fn cannot(&mut self) -> Result<BTreeMap<PersonId, Vec<Action>>, StoreError> {
        let sql = |e: rusqlite::Error| StoreError::sql(&self.path, "read", &e);
        let mut rows = self.conn.prepare_cached("SELECT person, actions FROM cannot").map_err(sql)?;
        let rows = rows.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?))).map_err(sql)?;
        rows.map(|row| {
            let (name, text) = row.map_err(sql)?;
            let actions: Option<Vec<Action>> = text.split(',').map(Action::from_name).collect();
            match (PersonId::new(&name), actions) {
                (Ok(id), Some(actions)) => Ok((id, actions)),
                _ => Err(tampered(&self.path, &name, "what the person cannot do is not readable")),
            }
        })
        .collect()
    }

    /// Notes what a person cannot do, in place of what was noted before; false when there is no such person.
    ///
    /// # Errors
    /// Nothing was written.
    pub fn set_cannot(&mut self, id: &PersonId, actions: &[Action]) -> Result<bool, StoreError> {
        let sql = |e: rusqlite::Error| StoreError::sql(&self.path, "write to", &e);
        let tx = Transaction::new_unchecked(&self.conn, TransactionBehavior::Immediate).map_err(sql)?;
        let known: Option<i64> = tx
            .query_row("SELECT 1 FROM people WHERE person = ?1", [id.as_str()], |r| r.get(0))
            .optional()
            .map_err(sql)?;
        if known.is_none() {
            return Ok(false);
        }
        tx.execute("DELETE FROM cannot WHERE person = ?1", [id.as_str()]).map_err(sql)?;
        if !actions.is_empty() {
            let words: Vec<&str> = actions.iter().map(|a| a.name()).collect();
            tx.execute("INSERT INTO cannot VALUES (?1, ?2)", params![id.as_str(), words.join(",")]).map_err(sql)?;
        }
        tx.commit().map_err(sql)?;
        Ok(true)
    }

    fn data_version(&self) -> Result<i64, StoreError> {
        self.conn
            .pragma_query_value(None, "data_version", |r| r.get(0))
            .map_err(|e| StoreError::sql(&self.path, "read", &e))
    }

    /// Moves the WAL into the file and empties it: `secure_delete` has overwritten the rows in the file, the WAL still
    /// holds what they were (measured: 8 copies without this).
    pub(super) fn erase(&mut self) -> bool {
        let busy = self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| r.get::<_, i64>(0));
        match busy {
            Ok(0) => true,
            Ok(_) => {
                tracing::warn!(path = %self.path.display(), "another process reads the file; it is cleaned at the next opening");
                false
            }
            Err(e) => {
                tracing::warn!(path = %self.path.display(), error = %e, "the file could not be cleaned");
                false
            }
        }
    }

    fn load_where(&mut self, model: Option<&str>) -> Result<Vec<Person>, StoreError> {
        let path = &self.path;
        let sql = |e: rusqlite::Error| StoreError::sql(path, "read", &e);
        let tx = Transaction::new_unchecked(&self.conn, TransactionBehavior::Deferred).map_err(sql)?;
        let master = current(&tx, path, &self.source, &mut self.master)?;
        let mut people =
            tx.prepare_cached("SELECT person, wrapped, enrolled_unix_ms FROM people ORDER BY person").map_err(sql)?;
        let mut templates = tx
            .prepare_cached(
                "SELECT model, sealed FROM templates WHERE person = ?1 AND (?2 IS NULL OR model = ?2) ORDER BY id",
            )
            .map_err(sql)?;
        let mut rows = people.query([]).map_err(sql)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(sql)? {
            let name: String = row.get(0).map_err(sql)?;
            let id = PersonId::new(&name).map_err(|e| tampered(path, &name, &e.to_string()))?;
            let key = unwrap(master, path, &name, row.get_ref(1).and_then(|v| Ok(v.as_blob()?)).map_err(sql)?)?;
            let mut person = Person { id, templates: Vec::new(), enrolled_unix_ms: row.get(2).map_err(sql)? };
            let mut rows = templates.query(params![name, model]).map_err(sql)?;
            while let Some(row) = rows.next().map_err(sql)? {
                let model: String = row.get(0).map_err(sql)?;
                let sealed = row.get_ref(1).and_then(|v| Ok(v.as_blob()?)).map_err(sql)?;
                let plain = seal::unseal(&key, &place(&name, &model), sealed)
                    .ok_or_else(|| tampered(path, &name, "a template does not open in its place"))?;
                let embedding = numbers(&plain).ok_or_else(|| tampered(path, &name, "a template is no embedding"))?;
                person.templates.push(Template { model, embedding });
            }
            all.push(person);
        }
        Ok(all)
    }
}

impl PeopleStore for EncryptedPeople {
    fn load(&mut self, model: &str) -> Result<Vec<Person>, PortError> {
        Ok(self.load_where(Some(model))?)
    }

    fn list(&mut self) -> Result<Vec<PersonSummary>, PortError> {
        let read = || -> rusqlite::Result<Vec<(String, i64, Option<String>)>> {
            self.conn
                .prepare_cached(
                    "SELECT p.person, p.enrolled_unix_ms, t.model FROM people p
                     LEFT JOIN templates t ON t.person = p.person ORDER BY p.person, t.id",
                )?
                .query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?
                .collect()
        };
        let rows = read().map_err(|e| StoreError::sql(&self.path, "read", &e))?;
        let mut all = Vec::new();
        for person in rows.chunk_by(|a, b| a.0 == b.0) {
            let (name, enrolled_unix_ms, _) = &person[0];
            let models: BTreeSet<&String> = person.iter().filter_map(|row| row.2.as_ref()).collect();
            all.push(PersonSummary {
                person: PersonId::new(name).map_err(|e| tampered(&self.path, name, &e.to_string()))?,
                templates: u32::try_from(person.iter().filter(|row| row.2.is_some()).count()).unwrap_or(u32::MAX),
                models: models.into_iter().cloned().collect(),
                enrolled_unix_ms: *enrolled_unix_ms,
            });
        }
        Ok(all)
    }

    fn add(&mut self, id: &PersonId, templates: &[Template], unix_ms: i64) -> Result<(), PortError> {
        let person = Person { id: id.clone(), templates: templates.to_vec(), enrolled_unix_ms: unix_ms };
        Ok(self.add_all(&[person], false)?)
    }

    fn remove(&mut self, id: &PersonId) -> Result<bool, PortError> {
        Ok(self.remove_person(id)?.is_some())
    }
}

/// A transaction that writes, and the key that is valid in it.
pub(super) fn writing<'a>(
    conn: &'a Connection,
    path: &Path,
    source: &KeySource,
    master: &'a mut Master,
) -> Result<(Transaction<'a>, &'a Master), StoreError> {
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)
        .map_err(|e| StoreError::sql(path, "write to", &e))?;
    let master = current(&tx, path, source, master)?;
    Ok((tx, master))
}

/// The master key that the database is under; another process may have replaced it.
pub(super) fn current<'a>(
    conn: &Connection,
    path: &Path,
    source: &KeySource,
    master: &'a mut Master,
) -> Result<&'a Master, StoreError> {
    let id = fingerprint(conn).map_err(|e| StoreError::sql(path, "read", &e))?;
    let id = id.ok_or_else(|| {
        let hint = "restore the file from a backup";
        StoreError::new(Trouble::Data, path, "read", "the fingerprint of the key is gone", hint)
    })?;
    if master.id != id {
        *master = source.find(&id)?;
    }
    Ok(master)
}

fn fingerprint(conn: &Connection) -> rusqlite::Result<Option<String>> {
    conn.query_row("SELECT fingerprint FROM key", [], |r| r.get(0)).optional()
}

/// Puts everybody's data key under a fresh master key, which is durable beside the old one on return.
fn rewrap(tx: &Transaction<'_>, path: &Path, source: &KeySource, old: &Master) -> Result<Master, StoreError> {
    let sql = |e: rusqlite::Error| StoreError::sql(path, "replace the key of", &e);
    let fresh = source.stage()?;
    let mut people = tx.prepare("SELECT person, wrapped FROM people").map_err(sql)?;
    let rows: Vec<(String, Vec<u8>)> =
        people.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).and_then(Iterator::collect).map_err(sql)?;
    for (name, wrapped) in rows {
        let key = unwrap(old, path, &name, &wrapped)?;
        let wrapped = seal::seal(&fresh.key, &owner(&name), key.as_slice(), path)?;
        tx.prepare_cached("UPDATE people SET wrapped = ?2 WHERE person = ?1")
            .and_then(|mut s| s.execute(params![name, wrapped]))
            .map_err(sql)?;
    }
    tx.execute("UPDATE key SET fingerprint = ?1", [&fresh.id]).map_err(sql)?;
    Ok(fresh)
}

fn insert(tx: &Transaction<'_>, path: &Path, master: &Master, person: &Person) -> Result<(), StoreError> {
    let sql = |e: rusqlite::Error| StoreError::sql(path, "add a person to", &e);
    let name = person.id.as_str();
    let refuse = |cause: &str| {
        let what = format!("add `{name}` to");
        StoreError::new(Trouble::Data, path, &what, cause, "enrol the person again")
    };
    if person.templates.is_empty() {
        return Err(refuse("there is no template"));
    }
    let wrapped: Option<Vec<u8>> =
        tx.query_row("SELECT wrapped FROM people WHERE person = ?1", [name], |r| r.get(0)).optional().map_err(sql)?;
    let key = match wrapped {
        Some(wrapped) => unwrap(master, path, name, &wrapped)?,
        None => {
            let key = seal::new_key(path)?;
            let wrapped = seal::seal(&master.key, &owner(name), key.as_slice(), path)?;
            tx.execute("INSERT INTO people VALUES (?1, ?2, ?3)", params![name, wrapped, person.enrolled_unix_ms])
                .map_err(sql)?;
            key
        }
    };
    for template in &person.templates {
        let plain = bytes(&template.embedding).ok_or_else(|| refuse("a template is no embedding of finite numbers"))?;
        let sealed = seal::seal(&key, &place(name, &template.model), &plain, path)?;
        tx.prepare_cached("INSERT INTO templates (person, model, sealed) VALUES (?1, ?2, ?3)")
            .and_then(|mut s| s.execute(params![name, template.model, sealed]))
            .map_err(sql)?;
    }
    Ok(())
}

pub(super) fn unwrap(master: &Master, path: &Path, name: &str, wrapped: &[u8]) -> Result<Key, StoreError> {
    seal::unseal(&master.key, &owner(name), wrapped)
        .and_then(|plain| Some(Zeroizing::new(<[u8; 32]>::try_from(plain.as_slice()).ok()?)))
        .ok_or_else(|| tampered(path, name, "the key does not open"))
}

/// What a data key is bound to.
fn owner(name: &str) -> Vec<u8> {
    bound(&[b"key", name.as_bytes(), &SEALING.to_le_bytes()])
}

/// What a template is bound to: person, network, layout.
fn place(name: &str, model: &str) -> Vec<u8> {
    bound(&[b"template", name.as_bytes(), model.as_bytes(), &SEALING.to_le_bytes()])
}

pub(super) fn tampered(path: &Path, name: &str, cause: &str) -> StoreError {
    let name: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
    let what = format!("open the record of `{name}` in");
    let cause = format!("{cause}: it was changed or comes from elsewhere");
    StoreError::new(
        Trouble::Data,
        path,
        &what,
        cause,
        format!("restore the file from a backup, or remove and enrol `{name}` again"),
    )
}

/// Little-endian numbers; `None` unless there are 1 to 4096 of them, all finite.
fn bytes(embedding: &[f32]) -> Option<Zeroizing<Vec<u8>>> {
    let fits = (1..=MAX_NUMBERS).contains(&embedding.len()) && embedding.iter().all(|x| x.is_finite());
    fits.then(|| {
        let mut plain = Zeroizing::new(Vec::with_capacity(embedding.len() * 4));
        embedding.iter().for_each(|x| plain.extend_from_slice(&x.to_le_bytes()));
        plain
    })
}

/// The way back.
pub(super) fn numbers(plain: &[u8]) -> Option<Arc<[f32]>> {
    let (words, rest) = plain.as_chunks::<4>();
    let embedding: Arc<[f32]> = words.iter().map(|w| f32::from_le_bytes(*w)).collect();
    let fits = rest.is_empty() && (1..=MAX_NUMBERS).contains(&embedding.len());
    (fits && embedding.iter().all(|x| x.is_finite())).then_some(embedding)
}

#[cfg(test)]
#[path = "people_tests.rs"]
mod tests;
