//! People in a file to carry to another terminal: encrypted under a passphrase (Argon2id, XChaCha20-Poly1305).
//!
//! `CARDEA-PEOPLE-1\n`, Argon2's memory (KiB), passes and lanes as little-endian u32, 16 bytes of salt, then nonce,
//! ciphertext and tag; everything before the nonce is associated data. The content is JSON.

use super::attributes::Kept;
use super::people::{EncryptedPeople, numbers};
use super::seal::{self, Key};
use super::{StoreError, Trouble, files};
use crate::domain::access::Attributes;
use crate::domain::gallery::Template;
use crate::ports::{PeopleStore, Person};
use crate::schema::ids::PersonId;
use crate::schema::record::hex;
use argon2::{Algorithm, Argon2, Params, Version};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use zeroize::Zeroizing;

const MAGIC: &[u8] = b"CARDEA-PEOPLE-1\n";
const SALT: usize = 16;
const HEADER: usize = MAGIC.len() + 12 + SALT;

/// 64 MiB, 3 passes, 1 lane: the second choice of RFC 9106, with one lane since the work is not spread over threads.
const COST: [u32; 3] = [64 << 10, 3, 1];
/// A file may not ask for more: 256 MiB, 10 passes, 4 lanes.
const MAX_COST: [u32; 3] = [256 << 10, 10, 4];
/// Some 100,000 people with 3 templates of 512 numbers.
const MAX_FILE: u64 = 1 << 30;
/// Shortest passphrase in bytes: the file can be attacked at leisure.
const MIN_PASSPHRASE: usize = 12;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    v: u8,
    people: Vec<OnePerson>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OnePerson {
    person: PersonId,
    enrolled_unix_ms: i64,
    templates: Vec<OneTemplate>,
    /// Groups, validity, PIN and card; not in older files.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    attributes: Option<Kept>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OneTemplate {
    model: String,
    /// Little-endian f32 in hex, so that every bit survives.
    embedding: Zeroizing<String>,
}

impl EncryptedPeople {
    /// Writes everybody to a new file, mode 0600; returns how many.
    ///
    /// # Errors
    /// The file exists, the passphrase is too short, or a record does not open; nothing is left behind.
    pub fn export(&mut self, file: &Path, passphrase: &[u8]) -> Result<usize, StoreError> {
        let people = self.load_all()?;
        let attributes = self.attributes()?;
        let people_with = people.iter().map(|p| pack(p, attributes.get(&p.id)));
        let content = Content { v: 1, people: people_with.collect() };
        let plain = Zeroizing::new(serde_json::to_vec(&content).map_err(|e| {
            StoreError::new(Trouble::Io, file, "write", e, "report this: names and numbers always fit into JSON")
        })?);
        let salt: [u8; SALT] = seal::random(file)?;
        let mut out = MAGIC.to_vec();
        COST.iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
        out.extend_from_slice(&salt);
        let sealed = seal::seal(&derive(file, passphrase, &salt, COST)?, &out, &plain, file)?;
        out.extend_from_slice(&sealed);
        write_new(file, &out)?;
        Ok(people.len())
    }

    /// Adds everybody from such a file, all or nothing; returns who came with how many templates. Somebody who is here
    /// already is refused, or replaced with `replace`.
    ///
    /// # Errors
    /// Wrong passphrase, damaged file, or a name that is taken; nothing was written.
    pub fn import(&mut self, file: &Path, passphrase: &[u8], replace: bool) -> Result<Vec<Person>, StoreError> {
        let (people, attributes) = read(file, passphrase)?;
        if !replace {
            let here = self.list().map_err(|port| StoreError { trouble: Trouble::Io, path: file.to_owned(), port })?;
            let taken: Vec<&str> = people
                .iter()
                .filter(|p| here.iter().any(|h| h.person == p.id))
                .map(|p| p.id.as_str())
                .take(10)
                .collect();
            if !taken.is_empty() {
                let cause = format!("already enrolled: {}", taken.join(", "));
                let hint = "remove them first, or add --replace";
                return Err(StoreError::new(Trouble::Data, file, "import", cause, hint));
            }
        }
        self.add_all_with(&people, &attributes, replace)?;
        Ok(people)
    }
}

fn pack(person: &Person, attributes: Option<&Attributes>) -> OnePerson {
    let text = |t: &Template| {
        let plain: Zeroizing<Vec<u8>> = Zeroizing::new(t.embedding.iter().flat_map(|x| x.to_le_bytes()).collect());
        OneTemplate { model: t.model.clone(), embedding: Zeroizing::new(hex(&plain)) }
    };
    OnePerson {
        person: person.id.clone(),
        enrolled_unix_ms: person.enrolled_unix_ms,
        templates: person.templates.iter().map(text).collect(),
        attributes: attributes.map(Kept::of),
    }
}

fn unpack(one: OnePerson) -> Option<(Person, Option<Attributes>)> {
    let templates = one
        .templates
        .into_iter()
        .map(|t| Some(Template { model: t.model, embedding: numbers(&unhex(&t.embedding)?)? }))
        .collect::<Option<_>>()?;
    let attributes = match &one.attributes {
        None => None,
        Some(kept) => Some(kept.attributes()?),
    };
    Some((Person { id: one.person, templates, enrolled_unix_ms: one.enrolled_unix_ms }, attributes))
}

pub(super) fn unhex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let mut out = Zeroizing::new(Vec::with_capacity(pairs.len()));
    for [high, low] in pairs {
        out.push(digit(*high)? << 4 | digit(*low)?);
    }
    Some(out)
}

/// People, and attributes of those who have some.
type Read = (Vec<Person>, BTreeMap<PersonId, Attributes>);

fn read(file: &Path, passphrase: &[u8]) -> Result<Read, StoreError> {
    let bad = |cause: &str, hint: &str| StoreError::new(Trouble::Data, file, "import", cause, hint);
    let io = |e: std::io::Error| StoreError::io(file, "read", &e);
    if file.metadata().map_err(io)?.len() > MAX_FILE {
        return Err(bad("bigger than 1 GiB", "give a file that `cardea people export` wrote"));
    }
    let all = std::fs::read(file).map_err(io)?;
    let foreign = || bad("not an export of people", "give a file that `cardea people export` wrote");
    if !all.starts_with(MAGIC) || all.len() < HEADER {
        return Err(foreign());
    }
    let (header, sealed) = all.split_at(HEADER);
    let (numbers, salt) = header[MAGIC.len()..].split_at(12);
    let mut cost = [0; 3];
    for (n, word) in cost.iter_mut().zip(numbers.as_chunks::<4>().0) {
        *n = u32::from_le_bytes(*word);
    }
    if cost.iter().zip(MAX_COST).any(|(n, max)| *n > max) {
        return Err(foreign());
    }
    let plain = seal::unseal(&derive(file, passphrase, salt, cost)?, header, sealed)
        .ok_or_else(|| bad("wrong passphrase, or the file is damaged", "check both; nothing was imported"))?;
    let content: Content = serde_json::from_slice(&plain).map_err(|e| bad(&e.to_string(), "export again"))?;
    if content.v != 1 {
        return Err(bad("written by a newer cardea", "import it with that version"));
    }
    let people: Option<Vec<_>> = content.people.into_iter().map(unpack).collect();
    let people = people.ok_or_else(|| bad("a template is no embedding, or an attribute none", "export again"))?;
    let attributes = people.iter().filter_map(|(p, a)| Some((p.id.clone(), a.clone()?))).collect();
    Ok((people.into_iter().map(|(p, _)| p).collect(), attributes))
}

fn derive(file: &Path, passphrase: &[u8], salt: &[u8], cost: [u32; 3]) -> Result<Key, StoreError> {
    if passphrase.len() < MIN_PASSPHRASE {
        let cause = format!("the passphrase has {} bytes", passphrase.len());
        let hint = format!("take one of at least {MIN_PASSPHRASE}");
        return Err(StoreError::new(Trouble::Data, file, "protect", cause, hint));
    }
    let mut key = Zeroizing::new([0; 32]);
    Params::new(cost[0], cost[1], cost[2], Some(32))
        .and_then(|p| {
            Argon2::new(Algorithm::Argon2id, Version::V0x13, p).hash_password_into(passphrase, salt, &mut *key)
        })
        .map_err(|e| {
            StoreError::new(
                Trouble::Data,
                file,
                "derive the key of",
                e,
                "give a file that `cardea people export` wrote",
            )
        })?;
    Ok(key)
}

/// Whole or not at all, and never over something else.
fn write_new(file: &Path, content: &[u8]) -> Result<(), StoreError> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = file.with_file_name(name);
    let done = || -> Result<(), StoreError> {
        let mut out = files::create_new(&part).map_err(|e| StoreError::io(&part, "create", &e))?;
        out.write_all(content).map_err(|e| StoreError::io(&part, "write", &e))?;
        out.sync_all().map_err(|e| StoreError::io(&part, "write", &e))?;
        renameat_with(CWD, &part, CWD, file, RenameFlags::NOREPLACE)
            .map_err(|e| StoreError::new(Trouble::Io, file, "create", e, "choose a name that does not exist yet"))?;
        files::sync_new(file, &out)
    };
    let result = done();
    if result.is_err() {
        let _gone = std::fs::remove_file(&part);
    }
    result
}
