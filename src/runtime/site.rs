//! This door in its site: carries between the replica of the directory and the people and rules that are in force here.
//! What follows from what is decided in `domain::directory`.

use super::recorder::Recorder;
use crate::adapters::site::{Change, KeyFiles, Keys, News, ReadOnly, Replica, Settings};
use crate::adapters::store::{EncryptedPeople, SiteFile, StoreError, is_person};
use crate::adapters::system::random;
use crate::base::time::Tick;
use crate::config::{Config, parse_rules};
use crate::domain::access::RuleBook;
use crate::domain::directory::{Base, Item, Plan, State, Step, Winner, reconcile};
use crate::ports::{PortError, Shelf, SiteDesk, SiteOut};
use crate::schema::directory::{Digest, ENTRY_BYTES, RULES};
use crate::schema::event::Event;
use crate::schema::ids::PersonId;
use crate::schema::record::hex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use zeroize::Zeroizing;

/// People and orders are looked at this often.
const LOOK: Duration = Duration::from_millis(250);
/// Enrolments within this time go into one version; revocations never wait.
const GATHER: Duration = Duration::from_secs(2);
/// People that are stored in one go: between two goes messages are looked at, revocations among them.
const BATCH: usize = 64;

/// Rules of the site that the door takes over at its next look.
pub type RulesSlot = Arc<Mutex<Option<Arc<RuleBook>>>>;

/// What an administrator orders at a terminal that signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SiteOrder {
    /// Somebody goes from all doors, enrolled here or not.
    Revoke(PersonId),
    /// The rules of the site are this file.
    Rules(String),
}

impl SiteOrder {
    /// A text for the store.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            SiteOrder::Revoke(person) => format!("revoke\t{person}"),
            SiteOrder::Rules(text) => format!("rules\t{text}"),
        }
    }

    fn parse(text: &str) -> Option<SiteOrder> {
        match text.split_once('\t')? {
            ("revoke", name) => PersonId::new(name).ok().map(SiteOrder::Revoke),
            ("rules", text) => Some(SiteOrder::Rules(text.to_owned())),
            _ => None,
        }
    }
}

/// For commands: leaves an order for the daemon.
///
/// # Errors
/// It cannot be left.
pub fn leave_order(state: &Path, order: &SiteOrder) -> Result<(), StoreError> {
    SiteFile::open(state)?.order(&order.text())
}

/// For commands: the replica of a state directory to look at, while a daemon may be writing; `None` when the configuration
/// names no site.
///
/// # Errors
/// A key or the file cannot be used.
pub fn look(config: &Config, state: &Path) -> Result<Option<Replica>, PortError> {
    replica(config, || Ok(Box::new(ReadOnly(Box::new(SiteFile::open(state)?)))))
}

fn replica(
    config: &Config,
    shelf: impl FnOnce() -> Result<Box<dyn Shelf>, PortError>,
) -> Result<Option<Replica>, PortError> {
    let Some(site) = config.site() else { return Ok(None) };
    let files = KeyFiles::find(site.key_file.as_deref(), site.signer_key_file.as_deref());
    let (key, signer) = files.read()?;
    let settings = Settings {
        base: config.mqtt().base.clone(),
        site: site.name.clone(),
        device: config.device().name.to_string(),
        signers: site.signers.clone(),
    };
    let keys = Keys::new(&site.name, &key, signer.as_ref())?;
    Replica::open(settings, keys, shelf()?).map(Some)
}

/// One door's part in the site.
pub struct SiteDoor {
    replica: Replica,
    orders: SiteFile,
    people: EncryptedPeople,
    recorder: Recorder,
    /// Digests of everybody here.
    local: BTreeMap<String, Digest>,
    agreed: BTreeMap<String, Base>,
    rules: Option<RulesSlot>,
    rules_seen: Option<Digest>,
    /// Directory or people have changed since they were compared.
    stale: bool,
    /// The directory's versions that are still to be stored.
    puts: Vec<String>,
    updated: (u64, u64),
    looked: Option<Tick>,
    signed: Option<Tick>,
    fault: Option<String>,
}

impl SiteDoor {
    /// Takes up what lies in the state directory; `None` when the configuration names no site.
    ///
    /// # Errors
    /// As [`look`]; or the people cannot be read.
    pub fn open(
        config: &Config,
        state: &Path,
        recorder: Recorder,
        rules: Option<RulesSlot>,
    ) -> Result<Option<SiteDoor>, PortError> {
        let shelf = || Ok(Box::new(SiteFile::open(state)?) as Box<dyn Shelf>);
        let Some(mut replica) = replica(config, shelf)? else { return Ok(None) };
        let people = EncryptedPeople::open(state)?;
        // Another mark, or none: one of the two files was put back from a copy, or is new. Then nothing was agreed on.
        let mark = replica.text("mark")?;
        let agreed = if mark.is_some() && people.mark()? == mark { replica.agreed()? } else { BTreeMap::new() };
        let mut door = SiteDoor {
            replica,
            orders: SiteFile::open(state)?,
            people,
            recorder,
            local: BTreeMap::new(),
            agreed,
            rules,
            rules_seen: None,
            stale: true,
            puts: Vec::new(),
            updated: (0, 0),
            looked: None,
            signed: None,
            fault: None,
        };
        door.reload()?;
        door.follow_rules();
        Ok(Some(door))
    }

    fn reload(&mut self) -> Result<(), PortError> {
        let all = self.people.carried()?;
        self.local = all.iter().map(|(id, bytes)| (id.as_str().to_owned(), Digest::of(bytes))).collect();
        self.stale = true;
        Ok(())
    }

    /// One look at everything that may have changed; messages are looked at between two calls.
    fn step(&mut self, now: Tick) -> Result<(), PortError> {
        self.tell();
        if self.looked.is_none_or(|l| now.since(l) >= LOOK) {
            self.looked = Some(now);
            if self.people.changed()? {
                self.reload()?;
            }
            self.obey()?;
        }
        if self.stale {
            self.compare(now)?;
        }
        if !self.puts.is_empty() {
            self.put()?;
        }
        Ok(())
    }

    /// What the replica has to say.
    fn tell(&mut self) {
        for news in self.replica.news() {
            match news {
                News::Changed => {
                    self.stale = true;
                    self.follow_rules();
                }
                News::Revoked { people, by } => {
                    if let Err(e) = self.revoke(&people, &by) {
                        self.broken(&e);
                    }
                }
                News::Refused { what, cause, count } => {
                    self.recorder.record(Event::AlarmSite { what, cause: cause.word().into(), count });
                }
                News::Signed { version, people, revoked } => {
                    self.recorder.record(Event::SiteSigned { version, people, revoked });
                }
                News::Fault(what) => self.told(what),
            }
        }
    }

    /// Told once, and again when it is another or was mended meanwhile.
    fn broken(&mut self, e: &PortError) {
        tracing::error!(error = %e, "the door cannot follow its site");
        self.told(e.to_string());
    }

    fn told(&mut self, what: String) {
        if self.fault.as_ref() != Some(&what) {
            self.fault = Some(what.clone());
            self.recorder.record(Event::AlarmSite { what, cause: "fault".into(), count: None });
        }
    }

    /// Removes people at once, whatever else waits.
    fn revoke(&mut self, people: &[String], by: &str) -> Result<(), PortError> {
        let here: Vec<PersonId> =
            people.iter().filter(|p| self.local.contains_key(*p)).filter_map(|p| PersonId::new(p).ok()).collect();
        self.puts.retain(|p| !people.contains(p));
        if !here.is_empty() {
            self.people.remove_people(&here)?;
        }
        for id in here {
            self.local.remove(id.as_str());
            self.recorder.record(Event::PersonRevoked { person: id, by: by.to_owned() });
        }
        let bases: Vec<(String, Option<Base>)> = people.iter().map(|p| (p.clone(), self.base_of(p))).collect();
        self.agree(&bases)
    }

    fn base_of(&self, person: &str) -> Option<Base> {
        self.replica.winners().get(person).map(|w| {
            let digest = match w.item.state {
                State::Present(d) => Some(d),
                State::Revoked => None,
            };
            Base { stamp: w.item.stamp, digest }
        })
    }

    /// Notes what both sides say now, under a fresh mark in both files.
    fn agree(&mut self, bases: &[(String, Option<Base>)]) -> Result<(), PortError> {
        let mark = hex(&random::<16>()?);
        self.people.set_mark(&mark)?;
        self.agree_as(bases, &mark)
    }

    fn agree_as(&mut self, bases: &[(String, Option<Base>)], mark: &str) -> Result<(), PortError> {
        let people: Vec<(&str, Option<Base>)> = bases.iter().map(|(p, b)| (p.as_str(), *b)).collect();
        self.replica.agree(&people, &[("mark", Some(mark))])?;
        for (person, base) in bases {
            let alias = self.replica.alias(person);
            match base {
                Some(base) => drop(self.agreed.insert(alias, *base)),
                None => drop(self.agreed.remove(&alias)),
            }
        }
        Ok(())
    }

    /// Compares directory and people, and does what follows; what is to be stored is left in `puts`.
    fn compare(&mut self, now: Tick) -> Result<(), PortError> {
        let (agreed, replica) = (&self.agreed, &self.replica);
        let base = |name: &str| agreed.get(&replica.alias(name)).copied();
        let plan = reconcile(replica.winners(), &self.local, &base, replica.signs());
        let all = |plan: &Plan, step: Step| -> Vec<String> {
            plan.iter().filter(|(_, s)| **s == step).map(|(n, _)| n.clone()).collect()
        };
        let (enrol, revoke) = (all(&plan, Step::Enrol), all(&plan, Step::Revoke));
        self.stale = false;
        let gathering = revoke.is_empty() && self.signed.is_some_and(|s| now.since(s) < GATHER);
        if !enrol.is_empty() || !revoke.is_empty() {
            // Seen again at the next look: after the gathering, or as what both agree on.
            self.stale = true;
            if !gathering && self.sign(&enrol, &revoke)? {
                self.signed = Some(now);
            }
        }
        self.remove(&all(&plan, Step::Remove))?;
        let agree = all(&plan, Step::Agree);
        if !agree.is_empty() {
            let bases: Vec<_> = agree.into_iter().map(|p| (p.clone(), self.base_of(&p))).collect();
            self.agree(&bases)?;
        }
        self.puts = all(&plan, Step::Put);
        self.puts.reverse();
        Ok(())
    }

    fn sign(&mut self, enrol: &[String], revoke: &[String]) -> Result<bool, PortError> {
        if !self.replica.may_publish() {
            return Ok(false);
        }
        let wanted: BTreeSet<&str> = enrol.iter().map(String::as_str).collect();
        let mut changes: BTreeMap<String, Change> = BTreeMap::new();
        for (id, bytes) in self.people.carried()? {
            if wanted.contains(id.as_str()) {
                if bytes.len() > ENTRY_BYTES {
                    self.told(format!("{id} has too many templates for the site; enrol with fewer pictures"));
                    continue;
                }
                changes.insert(id.as_str().to_owned(), Change::Present(bytes));
            }
        }
        changes.extend(revoke.iter().map(|name| (name.clone(), Change::Revoked)));
        if changes.is_empty() {
            return Ok(true);
        }
        self.replica.publish(changes)
    }

    /// People whom the directory has revoked, or does not name any more.
    fn remove(&mut self, people: &[String]) -> Result<(), PortError> {
        if people.is_empty() {
            return Ok(());
        }
        let mut by: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut gone = Vec::new();
        for person in people {
            match self.replica.winners().get(person) {
                Some(w) => by.entry(self.replica.label(&w.item.stamp.signer)).or_default().push(person.clone()),
                None => gone.push(person.clone()),
            }
        }
        for (label, people) in by {
            self.revoke(&people, &label)?;
        }
        let ids: Vec<PersonId> = gone.iter().filter_map(|p| PersonId::new(p).ok()).collect();
        if !ids.is_empty() {
            self.people.remove_people(&ids)?;
            self.local.retain(|p, _| !gone.contains(p));
            let bases: Vec<_> = gone.into_iter().map(|p| (p, None)).collect();
            self.agree(&bases)?;
            self.recorder.record(Event::SiteUpdated { changed: 0, removed: ids.len() as u64 });
        }
        Ok(())
    }

    /// Stores a few of the directory's people; the record comes with the last.
    fn put(&mut self) -> Result<(), PortError> {
        // Somebody else may have enrolled meanwhile: then everything is compared anew.
        if self.people.changed()? {
            self.puts.clear();
            return self.reload();
        }
        let at = self.puts.len().saturating_sub(BATCH);
        let mut carried = Vec::new();
        for name in self.puts.split_off(at) {
            let Some(winner) = self.replica.winners().get(&name).copied() else { continue };
            let bytes = self.replica.content(&name, &winner);
            match (PersonId::new(&name), bytes) {
                (Ok(id), Some(bytes)) if is_person(&bytes) => carried.push((id, bytes)),
                _ => self.told(format!("`{name}` in the site's directory cannot be stored by this version")),
            }
        }
        if !carried.is_empty() {
            let mark = hex(&random::<16>()?);
            self.people.take_carried(&carried, Some(&mark))?;
            let mut bases = Vec::new();
            for (id, bytes) in &carried {
                self.local.insert(id.as_str().to_owned(), Digest::of(bytes));
                bases.push((id.as_str().to_owned(), self.base_of(id.as_str())));
            }
            self.agree_as(&bases, &mark)?;
            self.updated.0 += carried.len() as u64;
        }
        if self.puts.is_empty() && self.updated.0 > 0 {
            let (changed, removed) = std::mem::take(&mut self.updated);
            self.fault = None;
            self.recorder.record(Event::SiteUpdated { changed, removed });
        }
        Ok(())
    }

    /// What an administrator ordered at this terminal.
    fn obey(&mut self) -> Result<(), PortError> {
        for (id, text) in self.orders.orders()? {
            let changes = match SiteOrder::parse(&text) {
                None => {
                    tracing::error!("an order that this version does not know is left out");
                    BTreeMap::new()
                }
                Some(SiteOrder::Revoke(person)) => BTreeMap::from([(person.as_str().to_owned(), Change::Revoked)]),
                Some(SiteOrder::Rules(text)) => {
                    let bytes = Zeroizing::new(text.into_bytes());
                    BTreeMap::from([(RULES.to_owned(), Change::Present(bytes))])
                }
            };
            // An order that cannot be signed yet waits.
            if changes.is_empty() || self.replica.publish(changes)? {
                self.orders.done(id)?;
            }
        }
        Ok(())
    }

    /// The rules of the site are handed to the door, if they are rules.
    fn follow_rules(&mut self) {
        let Some(slot) = self.rules.clone() else { return };
        let Some(winner) = self.replica.winners().get(RULES).copied() else { return };
        let Winner { item: Item { state: State::Present(digest), .. }, .. } = winner else { return };
        if self.rules_seen == Some(digest) {
            return;
        }
        let text = self.replica.content(RULES, &winner).and_then(|b| String::from_utf8(b.to_vec()).ok());
        let Some(text) = text else { return };
        self.rules_seen = Some(digest);
        match parse_rules(Path::new("rules of the site"), &text) {
            Ok(book) => {
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(book));
                let by = self.replica.label(&winner.item.stamp.signer);
                self.recorder.record(Event::SiteRules { sha256: digest.to_string(), by });
            }
            Err(faults) => {
                let what = format!("the rules of the site are faulty, those before stay: {}", faults.first());
                self.told(what);
            }
        }
    }
}

impl SiteDesk for SiteDoor {
    fn connected(&mut self, now: Tick) {
        self.replica.connected(now);
    }

    fn lost(&mut self) {
        self.replica.lost();
    }

    fn message(&mut self, now: Tick, topic: &str, payload: &[u8]) {
        self.replica.message(now, topic, payload);
        // A revocation is carried out before the next message is looked at.
        self.tell();
    }

    fn confirmed(&mut self, _: Tick, tag: u64) {
        self.replica.confirmed(tag);
    }

    fn tick(&mut self, now: Tick) -> Tick {
        let next = self.replica.tick(now);
        if let Err(e) = self.step(now) {
            // Tried again at the next look: what could not be stored was not agreed on either.
            self.stale = true;
            self.broken(&e);
            return now + Duration::from_secs(1);
        }
        if self.puts.is_empty() { next.min(now + LOOK) } else { now }
    }

    fn next(&mut self, _: Tick) -> Option<SiteOut> {
        self.replica.next_out()
    }
}
