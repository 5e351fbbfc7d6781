//! Who comes and goes by commands from afar: the store behind them, what it is compared by, and what is recorded.

use super::engine::Judge;
use super::enrolment::Taken;
use super::recorder::Recorder;
use crate::adapters::store::{EncryptedPeople, receipt};
use crate::config::Config;
use crate::domain::access::{Attributes, EVERYONE, RuleBook};
use crate::domain::observation::Embedding;
use crate::ports::{PeopleStore, Person, PortError};
use crate::schema::command::Enrolled;
use crate::schema::event::Event;
use crate::schema::ids::PersonId;
use crate::schema::record::rfc3339;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The people's store with what an enrolment and a removal need beside it.
pub struct Registrar {
    state: PathBuf,
    people: EncryptedPeople,
    judge: Judge,
    config: Config,
}

impl Registrar {
    /// Of a state directory.
    ///
    /// # Errors
    /// The people cannot be opened.
    pub fn open(state: &Path, judge: Judge, config: &Config) -> Result<Self, PortError> {
        Ok(Registrar { state: state.to_owned(), people: EncryptedPeople::open(state)?, judge, config: config.clone() })
    }

    /// Whether somebody of that name is enrolled.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn knows(&mut self, id: &PersonId) -> Result<bool, PortError> {
        Ok(self.people.list()?.iter().any(|p| p.person == *id))
    }

    /// Stores somebody new whom `pictures`, one after the other, show; returns the record's number.
    ///
    /// # Errors
    /// Why not; then nothing was stored.
    pub fn enrol(
        &mut self,
        recorder: &Recorder,
        id: &PersonId,
        pictures: Vec<Embedding>,
        attributes: &Attributes,
        now_ms: i64,
    ) -> Result<u64, Enrolled> {
        let failed = |e: PortError| {
            tracing::error!(error = %e, "an enrolment from afar could not be carried out");
            Enrolled::Failed
        };
        if self.knows(id).map_err(failed)? {
            return Err(Enrolled::NameTaken);
        }
        if !self.one_person(&pictures).map_err(failed)? {
            return Err(Enrolled::NotOnePerson);
        }
        let others = self.people.load(self.judge.embedding_digest()).map_err(failed)?;
        let mut taken = Taken::default();
        for (n, picture) in pictures.into_iter().enumerate() {
            taken.accepted.push((format!("camera:{n}"), vec![picture]));
        }
        taken.refuse_duplicates(&self.judge, &self.config, &others).map_err(failed)?;
        let Some(person) = taken.person(&self.judge, id, false, now_ms) else { return Err(Enrolled::Duplicate) };
        // First, so that a journal that cannot be written stops the enrolment.
        let templates = u32::try_from(person.templates.len()).unwrap_or(u32::MAX);
        let record = recorder.commit(Event::PersonEnrolled { person: id.clone(), templates }).map_err(failed)?;
        self.store(person, attributes).map_err(failed)?;
        if *attributes != Attributes::default() {
            recorder.record(known_of(id, attributes));
        }
        Ok(record.seq)
    }

    fn store(&mut self, person: Person, attributes: &Attributes) -> Result<(), PortError> {
        let mut known = BTreeMap::new();
        if *attributes != Attributes::default() {
            known.insert(person.id.clone(), attributes.clone());
        }
        Ok(self.people.add_all_with(&[person], &known, false)?)
    }

    /// Whether every picture looks like the first: two people who take turns would each look like themselves.
    fn one_person(&self, pictures: &[Embedding]) -> Result<bool, PortError> {
        let (tau, metric) = (self.judge.together()?, self.judge.metric());
        let Some(first) = pictures.first() else { return Ok(false) };
        Ok(pictures.iter().all(|p| metric.similarity(first, p).is_some_and(|s| s.get() >= tau)))
    }

    /// Removes somebody at once and for good; returns the name of the signed receipt, where there is one. `None` when
    /// nobody has that name.
    ///
    /// # Errors
    /// Nothing was removed, or that could not be recorded.
    pub fn remove(&mut self, recorder: &Recorder, id: &PersonId) -> Result<Option<Option<String>>, PortError> {
        let Some(removal) = self.people.remove_person(id)? else { return Ok(None) };
        let record = recorder.commit(Event::PersonRemoved { person: id.clone() })?;
        match receipt::issue(&self.state, id, &removal, &record) {
            Ok((_, path)) => Ok(Some(path.file_name().map(|n| n.to_string_lossy().into_owned()))),
            Err(e) => {
                tracing::error!(error = %e, seq = record.seq, "a person was removed, but there is no receipt of it");
                Ok(Some(None))
            }
        }
    }
}

/// Whether somebody may be put into all of these groups: what the rules do not know gives no rights, and hides a mistake.
#[must_use]
pub fn are_groups(book: &RuleBook, groups: &BTreeSet<String>) -> bool {
    groups.iter().all(|g| g != EVERYONE && (book.groups.contains_key(g) || book.groups.is_empty()))
}

/// What is known of a person beside the face, for the journal: of PIN and card only whether there is one.
#[must_use]
pub fn known_of(id: &PersonId, a: &Attributes) -> Event {
    Event::PersonRules {
        person: id.clone(),
        groups: a.groups.iter().cloned().collect(),
        valid_from: a.valid_from_ms.map(rfc3339),
        valid_to: a.valid_to_ms.map(rfc3339),
        pin: a.pin.is_some(),
        card: a.card.is_some(),
        consent: a.consent_ms.map(rfc3339),
        expires: a.expires_ms.map(rfc3339),
    }
}
