//! The replica: books of all signers as far as they are here, what is being fetched, and the own book where there is one.

use super::crypto::{self, Keys};
use super::outbox::{Book as OwnBook, Outbox};
use crate::base::time::Tick;
use crate::domain::directory::{
    Base, Claim, Here, Item, Judgement, Parsed, Pull, Refusal, Refusals, State, Winner, build, items, judge, leaf_of,
    outranks, winners,
};
use crate::ports::{PortError, Recovery, Shelf, SiteOut};
use crate::schema::directory::{
    Content, Digest, Entry, Head, MESSAGE_BYTES, Node, REVOKED_AT_ONCE, Revocation, Revoked, Signer, SiteTopic,
    SiteTopics, Stamp, WANT_AT_ONCE, Want,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// So long after a connection the broker has shown what it has of the own book.
const SETTLE: Duration = Duration::from_secs(3);
/// Heads and revocations are asked for again this often and up to half as much later: what a broker has dropped.
const AUDIT: Duration = Duration::from_secs(45);
/// The same blob is not published again sooner.
const ANSWER_AGAIN: Duration = Duration::from_secs(30);
/// Answers that wait at most.
const ANSWERS: usize = 256;
/// Heads that are known to be missing are asked for first after this, then twice as late each time, up to ten minutes.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);
/// Blobs that are written together.
const BATCH: usize = 64;

/// Who this terminal is in its site.
#[derive(Clone, Debug)]
pub struct Settings {
    pub base: String,
    pub site: String,
    /// This terminal's own name: spreads what all terminals do over time.
    pub device: String,
    /// Whom it trusts, with a label for records.
    pub signers: BTreeMap<Signer, String>,
}

/// Something that this signer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Present(Zeroizing<Vec<u8>>),
    Revoked,
}

/// What the replica has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// [`Replica::winners`] is another than before.
    Changed,
    /// These are revoked, whatever else is going on; `by` is a signer's label.
    Revoked { people: Vec<String>, by: String },
    /// A message was refused; with a count it stands for so many.
    Refused { what: String, cause: Refusal, count: Option<u64> },
    /// The own book has a new version.
    Signed { version: u64, people: u64, revoked: u64 },
    /// The shelf failed.
    Fault(String),
}

/// How one signer's book stands here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    pub signer: Signer,
    pub label: String,
    /// Version that is whole here; `None`: none yet.
    pub version: Option<u64>,
    /// Newest version that was heard of.
    pub newest: Option<u64>,
    pub entries: u64,
    /// Blobs that are known to be missing.
    pub missing: usize,
    /// It is this terminal.
    pub own: bool,
}

struct Book {
    head: Head,
    nodes: BTreeMap<Digest, Arc<Parsed>>,
    items: BTreeMap<String, Item>,
}

struct Pulling {
    head: Head,
    pull: Pull,
}

struct Behind {
    version: u64,
    since: Tick,
    attempt: u8,
}

#[derive(Serialize, Deserialize, Default)]
struct Pending {
    unsent: BTreeSet<Digest>,
    garbage: BTreeSet<Digest>,
    head: bool,
    #[serde(default)]
    revocations: Vec<String>,
}

/// See the module.
pub struct Replica {
    settings: Settings,
    trusted: BTreeSet<Signer>,
    me: Option<Signer>,
    shared: Shared,
    books: BTreeMap<Signer, Book>,
    newest: BTreeMap<Signer, (u64, Digest)>,
    pulls: BTreeMap<Signer, Pulling>,
    behind: BTreeMap<Signer, Behind>,
    revoked: BTreeMap<Signer, BTreeMap<String, u64>>,
    newest_revoked: BTreeMap<Signer, (u64, Digest)>,
    winners: BTreeMap<String, Winner>,
    arrived: Vec<(Digest, Vec<u8>)>,
    answered: BTreeMap<Digest, Tick>,
    outbox: Outbox,
    refusals: Refusals,
    news: Vec<News>,
    connected: Option<Tick>,
    own_known: bool,
    /// Since when the own head's topic holds something else.
    soiled: Option<Tick>,
    audit: Tick,
}

/// What building, opening and sending share.
struct Shared {
    keys: Keys,
    topics: SiteTopics,
    shelf: Box<dyn Shelf>,
}

impl Shared {
    fn open(&self, signer: &Signer, sealed: &[u8]) -> Option<Node> {
        Node::parse(&self.keys.open("blob", signer, sealed)?)
    }
}

impl Replica {
    /// Takes up what lies on the shelf.
    ///
    /// # Errors
    /// The shelf cannot be read, or belongs to another site; the own key is not among the trusted ones.
    pub fn open(settings: Settings, keys: Keys, mut shelf: Box<dyn Shelf>) -> Result<Replica, PortError> {
        let fatal = |what: &str, cause: String, hint: &str| PortError::new(what, cause, hint, Recovery::Fatal);
        match shelf.texts("site")?.into_iter().find(|(n, _)| n == "site") {
            None => shelf.put(&[], &[("site", Some(&settings.site))])?,
            Some((_, of)) if of == settings.site => {}
            Some((_, of)) => {
                let hint = "move site.db away, or put site.name back";
                return Err(fatal("open site.db", format!("it belongs to the site {of}"), hint));
            }
        }
        let trusted: BTreeSet<Signer> = settings.signers.keys().copied().collect();
        let me = keys.signer();
        if let Some(me) = me.filter(|me| !trusted.contains(me)) {
            let hint = format!("add \"{}:{me}\" to site.signers, here and at every terminal", settings.device);
            return Err(fatal("site.signer_key_file", "this key is not among site.signers".into(), &hint));
        }
        let topics = SiteTopics::new(&settings.base, &settings.site);
        let mut replica = Replica {
            settings,
            trusted,
            me,
            shared: Shared { keys, topics, shelf },
            books: BTreeMap::new(),
            newest: BTreeMap::new(),
            pulls: BTreeMap::new(),
            behind: BTreeMap::new(),
            revoked: BTreeMap::new(),
            newest_revoked: BTreeMap::new(),
            winners: BTreeMap::new(),
            arrived: Vec::new(),
            answered: BTreeMap::new(),
            outbox: Outbox::default(),
            refusals: Refusals::default(),
            news: Vec::new(),
            connected: None,
            own_known: false,
            soiled: None,
            audit: Tick::ZERO,
        };
        replica.load()?;
        Ok(replica)
    }

    fn load(&mut self) -> Result<(), PortError> {
        for signer in self.trusted.clone() {
            for name in [format!("head/{signer}"), format!("newest/{signer}")] {
                let text = self.shared.shelf.texts(&name)?.pop().map(|(_, t)| t);
                let head = text.and_then(|t| serde_json::from_str::<Head>(&t).ok());
                let Some(head) = head.filter(|h| crypto::signed(&signer, &h.signed_text(), &h.sig)) else { continue };
                self.newest.insert(signer, (head.version, head.root));
                self.begin(head);
            }
            for (_, text) in self.shared.shelf.texts(&format!("revoked/{signer}/"))? {
                if let Ok(r) = serde_json::from_str::<Revocation>(&text) {
                    self.take_revocation(&r);
                }
            }
        }
        if let Some((_, text)) = self.shared.shelf.texts("outbox")?.pop()
            && let Ok(pending) = serde_json::from_str::<Pending>(&text)
        {
            (self.outbox.unsent, self.outbox.garbage) = (pending.unsent, pending.garbage);
            self.outbox.head_due = pending.head;
            for text in pending.revocations {
                self.urgent(text);
            }
        }
        self.settle();
        self.news.clear();
        Ok(())
    }

    /// What is known of every key of the directory.
    #[must_use]
    pub fn winners(&self) -> &BTreeMap<String, Winner> {
        &self.winners
    }

    /// What a winner says; `None` of somebody revoked, and of what cannot be read any more.
    pub fn content(&mut self, key: &str, winner: &Winner) -> Option<Zeroizing<Vec<u8>>> {
        let State::Present(want) = winner.item.state else { return None };
        let book = self.books.get(&winner.book)?;
        let leaf = leaf_of(key, &book.head.root, &book.nodes)?;
        let sealed = self.shared.shelf.blob(&leaf).ok()??;
        let Node::Leaf(entries) = self.shared.open(&winner.book, &sealed)? else { return None };
        entries.into_iter().find(|e| e.key == key).and_then(|e| match e.content {
            Content::Present(bytes) if Digest::of(&bytes) == want => Some(bytes),
            Content::Present(_) | Content::Revoked => None,
        })
    }

    /// The label of a signer.
    #[must_use]
    pub fn label(&self, signer: &Signer) -> String {
        self.settings.signers.get(signer).cloned().unwrap_or_else(|| signer.to_string())
    }

    /// Whether this terminal signs.
    #[must_use]
    pub fn signs(&self) -> bool {
        self.me.is_some()
    }

    /// Whether [`Replica::publish`] would take something: what the site has of the own book is known.
    #[must_use]
    pub fn may_publish(&self) -> bool {
        self.me.is_some_and(|me| !self.pulls.contains_key(&me) && (self.own_known || self.books.contains_key(&me)))
    }

    /// How the books stand.
    #[must_use]
    pub fn standings(&self) -> Vec<Standing> {
        let one = |(signer, label): (&Signer, &String)| Standing {
            signer: *signer,
            label: label.clone(),
            version: self.books.get(signer).map(|b| b.head.version),
            newest: self.newest.get(signer).map(|(v, _)| *v),
            entries: self.books.get(signer).map_or(0, |b| b.items.len() as u64),
            missing: self.pulls.get(signer).map_or(0, |p| p.pull.missing()),
            own: self.me == Some(*signer),
        };
        self.settings.signers.iter().map(one).collect()
    }

    /// What happened since the last call.
    pub fn news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// What this terminal and the directory last agreed on, by alias; see [`Replica::alias`].
    ///
    /// # Errors
    /// The shelf cannot be read.
    pub fn agreed(&mut self) -> Result<BTreeMap<String, Base>, PortError> {
        let texts = self.shared.shelf.texts("agreed/")?;
        let read = |text: &str| {
            let mut words = text.split(' ');
            let counter = words.next()?.parse().ok()?;
            let signer = Signer::parse(words.next()?)?;
            let digest = words.next()?;
            Some(Base { stamp: Stamp { counter, signer }, digest: Digest::parse(digest) })
        };
        Ok(texts.iter().filter_map(|(n, t)| Some((n.strip_prefix("agreed/")?.to_owned(), read(t)?))).collect())
    }

    /// Notes what was agreed on (`None`: nothing any more), and any further text; durable on return.
    ///
    /// # Errors
    /// Nothing was noted.
    pub fn agree(&mut self, people: &[(&str, Option<Base>)], more: &[(&str, Option<&str>)]) -> Result<(), PortError> {
        let texts: Vec<(String, Option<String>)> = people
            .iter()
            .map(|(person, base)| {
                let digest = |b: &Base| b.digest.map_or_else(|| "-".to_owned(), |d| d.to_string());
                let text = base.map(|b| format!("{} {} {}", b.stamp.counter, b.stamp.signer, digest(&b)));
                (format!("agreed/{}", self.alias(person)), text)
            })
            .collect();
        let mut all: Vec<(&str, Option<&str>)> = texts.iter().map(|(n, t)| (n.as_str(), t.as_deref())).collect();
        all.extend_from_slice(more);
        self.shared.shelf.put(&[], &all)
    }

    /// The name under which a person is noted: a keyed hash, so that a file tells no name of somebody who is gone.
    #[must_use]
    pub fn alias(&self, person: &str) -> String {
        self.shared.keys.alias(person)
    }

    /// A further text on the shelf.
    ///
    /// # Errors
    /// The shelf cannot be read.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, PortError> {
        Ok(self.shared.shelf.texts(name)?.into_iter().find(|(n, _)| n == name).map(|(_, t)| t))
    }

    /// Signs changes into the own book; false when that cannot be done yet, and nothing was changed then.
    ///
    /// # Errors
    /// The shelf failed; nothing was changed.
    pub fn publish(&mut self, changes: BTreeMap<String, Change>) -> Result<bool, PortError> {
        let Some(me) = self.me.filter(|_| self.may_publish()) else { return Ok(false) };
        let heard = self.newest.values().chain(self.newest_revoked.values()).map(|(v, _)| *v).max().unwrap_or(0);
        let first = heard.max(self.winners.values().map(|w| w.item.stamp.counter).max().unwrap_or(0)) + 1;
        let mut entries = self.own_entries(me)?;
        let (mut version, mut gone) = (first, Vec::new());
        for (key, change) in changes {
            let (counter, content) = match change {
                Change::Present(bytes) => (first, Content::Present(bytes)),
                Change::Revoked => {
                    version = first + (gone.len() / REVOKED_AT_ONCE) as u64;
                    gone.push(Revoked { person: key.clone(), counter: version });
                    (version, Content::Revoked)
                }
            };
            entries.insert(key.clone(), Entry { key, stamp: Stamp { counter, signer: me }, content });
        }
        // Whom others have revoked does not come back when they are no longer trusted one day.
        for (key, entry) in &mut entries {
            if entry.content != Content::Revoked
                && let Some(w) = self.winners.get(key)
                && w.item.state == State::Revoked
                && w.item.stamp.counter >= entry.stamp.counter
            {
                (entry.stamp, entry.content) = (w.item.stamp, Content::Revoked);
            }
        }
        let people = entries.values().filter(|e| e.content != Content::Revoked).count() as u64;
        let (mut blobs, mut nodes) = (Vec::new(), BTreeMap::new());
        let count = entries.len() as u64;
        let (old, keys) = (self.books.get(&me), &self.shared.keys);
        let root = build::<PortError>(entries.into_values().collect(), &mut |node| {
            let sealed = keys.seal("blob", &me, &node.bytes()).ok_or_else(|| {
                PortError::new("seal a part of the directory", "too long", "report this", Recovery::Degrade)
            })?;
            let digest = Digest::of(&sealed);
            nodes.insert(digest, Arc::new(Parsed::of(&node)));
            if old.is_none_or(|b| !b.nodes.contains_key(&digest)) {
                blobs.push((digest, sealed));
            }
            Ok(digest)
        })?;
        let seen = self.newest.iter().filter(|(s, _)| **s != me).map(|(s, (v, _))| (*s, *v)).collect();
        let site = self.settings.site.clone();
        let mut head = Head { v: 1, site, signer: me, version, count, root, seen, sig: String::new() };
        head.sig = self.shared.keys.sign(&head.signed_text());
        let revocations = gone.chunks(REVOKED_AT_ONCE).map(|people| self.revocation(me, people));
        let revocations: Vec<String> = revocations.collect::<Option<_>>().unwrap_or_default();

        let mut outbox = Pending {
            unsent: self.outbox.unsent.clone(),
            garbage: self.outbox.garbage.clone(),
            head: true,
            revocations: revocations.clone(),
        };
        outbox.unsent.extend(blobs.iter().map(|(d, _)| *d));
        outbox.garbage.extend(old.iter().flat_map(|b| b.nodes.keys()).filter(|d| !nodes.contains_key(*d)));
        outbox.garbage.retain(|d| !nodes.contains_key(d));
        outbox.unsent.retain(|d| nodes.contains_key(d));
        let (text, pending) = (json(&head), json(&outbox));
        let name = format!("head/{me}");
        let newest = format!("newest/{me}");
        let texts = [(name.as_str(), Some(text.as_str())), (&newest, Some(&text)), ("outbox", Some(&pending))];
        self.shared.shelf.put(&blobs, &texts)?;
        (self.outbox.unsent, self.outbox.garbage) = (outbox.unsent, outbox.garbage);
        self.outbox.head_due = true;
        for text in revocations {
            self.urgent(text);
        }
        self.newest.insert(me, (version, root));
        let items = items(&root, &nodes).unwrap_or_default();
        self.books.insert(me, Book { head, nodes, items });
        self.news.push(News::Signed { version, people, revoked: gone.len() as u64 });
        self.tidy();
        self.settle();
        Ok(true)
    }

    fn revocation(&self, me: Signer, people: &[Revoked]) -> Option<String> {
        let version = people.iter().map(|p| p.counter).max()?;
        let sealed = self.shared.keys.seal("revoked", &me, json(&people).as_bytes())?;
        let (site, sealed) = (self.settings.site.clone(), BASE64_STANDARD.encode(sealed));
        let mut r = Revocation { v: 1, site, signer: me, version, sealed, sig: String::new() };
        r.sig = self.shared.keys.sign(&r.signed_text());
        Some(json(&r))
    }

    fn urgent(&mut self, text: String) {
        if let Some(me) = self.me {
            self.outbox.urgent.push_back((self.shared.topics.of(SiteTopic::Revoked(me)), text.into_bytes()));
        }
    }

    fn own_entries(&mut self, me: Signer) -> Result<BTreeMap<String, Entry>, PortError> {
        let mut all = BTreeMap::new();
        let Some(book) = self.books.get(&me) else { return Ok(all) };
        let lost = || {
            let hint = "move site.db away; the book comes back from the broker or another terminal";
            PortError::new("read the own book", "a part of it is gone", hint, Recovery::Degrade)
        };
        for (digest, node) in &book.nodes {
            if matches!(&**node, Parsed::Leaf(_)) {
                let sealed = self.shared.shelf.blob(digest)?.ok_or_else(lost)?;
                let Some(Node::Leaf(entries)) = self.shared.open(&me, &sealed) else { return Err(lost()) };
                all.extend(entries.into_iter().map(|e| (e.key.clone(), e)));
            }
        }
        Ok(all)
    }

    /// A connection stands.
    pub fn connected(&mut self, now: Tick) {
        self.lost();
        self.connected = Some(now);
        self.own_known = false;
        self.subscribe_standing(now);
        let any = self.shared.topics.of(SiteTopic::Request(None));
        self.outbox.standing.push(any);
        if let Some(me) = self.me {
            self.outbox.standing.push(self.shared.topics.of(SiteTopic::Request(Some(me))));
        }
        for signer in &self.trusted {
            if !self.newest.contains_key(signer) && self.me != Some(*signer) {
                self.behind.entry(*signer).or_insert(Behind { version: 0, since: now, attempt: 0 });
            }
        }
    }

    fn subscribe_standing(&mut self, now: Tick) {
        self.outbox.standing.extend(self.shared.topics.standing());
        let salt = Digest::of(self.settings.device.as_bytes()).0[0];
        self.audit = now + AUDIT + AUDIT / 2 * u32::from(salt) / 255;
    }

    /// It is gone.
    pub fn lost(&mut self) {
        self.connected = None;
        self.outbox.lost();
        self.pulls.values_mut().for_each(|p| p.pull.restart());
    }

    /// The broker has confirmed a publication.
    pub fn confirmed(&mut self, tag: u64) {
        if self.outbox.confirmed(tag)
            && let Err(e) = self.shared.shelf.put(&[], &[("outbox", None)])
        {
            self.fault(&e);
        }
    }

    /// Work that is due; returns when to be called again at the latest.
    pub fn tick(&mut self, now: Tick) -> Tick {
        for (cause, count) in self.refusals.due(now) {
            self.news.push(News::Refused { what: "messages".into(), cause, count: Some(count) });
        }
        if !self.arrived.is_empty() {
            self.store();
        }
        let Some(since) = self.connected else { return now + Duration::from_secs(1) };
        if !self.own_known && now.since(since) >= SETTLE {
            self.own_known = true;
            self.show_own();
        }
        // Once a second at most, whatever somebody else writes there.
        if self.soiled.is_some_and(|s| now.since(s) >= Duration::from_secs(1)) {
            self.soiled = None;
            self.show_own();
        }
        if now >= self.audit {
            self.subscribe_standing(now);
        }
        self.answered.retain(|_, at| now.since(*at) < ANSWER_AGAIN);
        self.ask_heads(now);
        let mut next = (now + Duration::from_secs(1)).min(self.audit);
        for signer in self.pulls.keys().copied().collect::<Vec<_>>() {
            self.ask(now, signer);
            next = self.pulls.get(&signer).and_then(|p| p.pull.next_deadline()).map_or(next, |t| t.min(next));
        }
        next
    }

    /// The own head stands at the broker again, whatever the broker has forgotten.
    fn show_own(&mut self) {
        if let Some(me) = self.me
            && let Some(book) = self.books.get(&me)
            && self.newest.get(&me).is_some_and(|(v, _)| *v == book.head.version)
        {
            self.outbox.head_due = true;
        }
    }

    fn ask_heads(&mut self, now: Tick) {
        let mut wants = Vec::new();
        let newest = &self.newest;
        self.behind.retain(|signer, b| newest.get(signer).is_none_or(|(v, _)| *v < b.version));
        for (signer, b) in &mut self.behind {
            let patience = HEAD_PATIENCE * 2_u32.saturating_pow(u32::from(b.attempt.min(7)));
            if now.since(b.since) >= patience.min(Duration::from_secs(600)) {
                b.attempt = b.attempt.saturating_add(1);
                b.since = now;
                wants.push((*signer, b.attempt));
            }
        }
        for (signer, attempt) in wants {
            self.subscribe_standing(now);
            self.request(signer, &Want { v: 1, attempt, heads: vec![signer], blobs: Vec::new() });
        }
    }

    /// Asks the signer, and from the second time on everybody.
    fn request(&mut self, signer: Signer, want: &Want) {
        let text = json(want);
        let topics = &self.shared.topics;
        self.outbox.requests.push_back((topics.of(SiteTopic::Request(Some(signer))), text.clone().into_bytes()));
        if want.attempt > 2 {
            self.outbox.requests.push_back((topics.of(SiteTopic::Request(None)), text.into_bytes()));
        }
    }

    fn ask(&mut self, now: Tick, signer: Signer) {
        if self.connected.is_none() {
            return;
        }
        let Some(pulling) = self.pulls.get_mut(&signer) else { return };
        let mut again: BTreeMap<u8, Vec<Digest>> = BTreeMap::new();
        for ask in pulling.pull.asks(now) {
            self.outbox.subscribe.push(self.shared.topics.of(SiteTopic::Blob(ask.blob)));
            if ask.attempt > 1 {
                again.entry(ask.attempt).or_default().push(ask.blob);
            }
        }
        for (attempt, blobs) in again {
            self.request(signer, &Want { v: 1, attempt, blobs, heads: Vec::new() });
        }
    }

    /// A message came.
    pub fn message(&mut self, now: Tick, topic: &str, payload: &[u8]) {
        let Some(what) = self.shared.topics.parse(topic) else {
            return self.refuse(now, "a topic of the directory", Refusal::Malformed);
        };
        // An emptied topic: somebody tidies up.
        if payload.is_empty() {
            return;
        }
        if payload.len() > MESSAGE_BYTES {
            return self.refuse(now, name(what), Refusal::TooLarge);
        }
        match what {
            SiteTopic::Head(signer) => self.head(now, signer, payload),
            SiteTopic::Revoked(signer) => self.revocation_came(now, signer, payload),
            SiteTopic::Blob(digest) => self.blob(now, digest, payload),
            SiteTopic::Request(to) => self.requested(now, to, payload),
        }
    }

    fn refuse(&mut self, now: Tick, what: &str, cause: Refusal) {
        tracing::warn!(what, cause = cause.word(), "a message of the site's directory is refused");
        if self.refusals.note(now, cause) {
            self.news.push(News::Refused { what: what.to_owned(), cause, count: None });
        }
    }

    fn head(&mut self, now: Tick, topic: Signer, payload: &[u8]) {
        let Ok(head) = serde_json::from_slice::<Head>(payload) else {
            return self.refuse(now, "head", Refusal::Malformed);
        };
        let signer = head.signer;
        let claim = Claim { site: &head.site, signer, topic, version: head.version, content: head.root };
        let newest = self.newest.get(&signer).copied();
        let here = Here { site: &self.settings.site, trusted: &self.trusted, newest };
        let verdict = judge(&claim, &here, || head.v == 1 && crypto::signed(&signer, &head.signed_text(), &head.sig));
        let own = self.me == Some(signer);
        match verdict {
            Judgement::Known => {
                self.own_known |= own;
            }
            // The broker has an older one of ours: it is told the newest.
            Judgement::Refuse(Refusal::RolledBack) if own => {
                self.own_known = true;
                self.soiled.get_or_insert(now);
            }
            Judgement::Refuse(cause) => {
                if self.me == Some(topic) {
                    self.soiled.get_or_insert(now);
                }
                self.refuse(now, "head", cause);
            }
            Judgement::Accept => {
                let name = format!("newest/{signer}");
                if let Err(e) = self.shared.shelf.put(&[], &[(&name, Some(&json(&head)))]) {
                    return self.fault(&e);
                }
                self.newest.insert(signer, (head.version, head.root));
                for (of, version) in &head.seen {
                    let known = self.newest.get(of).map_or(0, |(v, _)| *v);
                    if self.trusted.contains(of) && *version > known {
                        let b = self.behind.entry(*of).or_insert(Behind { version: 0, since: now, attempt: 0 });
                        b.version = b.version.max(*version);
                    }
                }
                self.begin(head);
                self.whole(now, signer);
                self.ask(now, signer);
            }
        }
    }

    /// Begins to fetch a book; what lies here is taken up.
    fn begin(&mut self, head: Head) {
        let signer = head.signer;
        if let Some(before) = self.pulls.remove(&signer) {
            let topics = before.pull.flying().into_iter().map(|d| self.shared.topics.of(SiteTopic::Blob(d)));
            self.outbox.unsubscribe.extend(topics);
        }
        self.store();
        let (book, shared) = (self.books.get(&signer), &mut self.shared);
        let pull = Pull::begin(head.root, &mut |d| have(book, shared, &signer, d));
        self.pulls.insert(signer, Pulling { head, pull });
        self.whole(Tick::ZERO, signer);
    }

    fn blob(&mut self, now: Tick, digest: Digest, payload: &[u8]) {
        let Some(signer) = self.pulls.iter().find(|(_, p)| p.pull.awaits(&digest)).map(|(s, _)| *s) else { return };
        if Digest::of(payload) != digest {
            return self.refuse(now, "blob", Refusal::Forged);
        }
        let Some(node) = self.shared.open(&signer, payload) else {
            return self.refuse(now, "blob", Refusal::Unreadable);
        };
        self.arrived.push((digest, payload.to_vec()));
        self.outbox.unsubscribe.push(self.shared.topics.of(SiteTopic::Blob(digest)));
        let node = Arc::new(Parsed::of(&node));
        let (book, shared) = (self.books.get(&signer), &mut self.shared);
        if let Some(p) = self.pulls.get_mut(&signer) {
            p.pull.arrived(digest, &node, &mut |d| have(book, shared, &signer, d));
        }
        if self.arrived.len() >= BATCH {
            self.store();
        }
        self.whole(now, signer);
        self.ask(now, signer);
    }

    /// Writes what has arrived; a crash before costs fetching it again.
    fn store(&mut self) {
        let arrived = std::mem::take(&mut self.arrived);
        if !arrived.is_empty()
            && let Err(e) = self.shared.shelf.put(&arrived, &[])
        {
            self.fault(&e);
        }
    }

    /// Takes a book over once nothing of it is missing.
    fn whole(&mut self, now: Tick, signer: Signer) {
        let Some(nodes) = self.pulls.get(&signer).and_then(|p| p.pull.complete()) else { return };
        let Some(items) = self.pulls.get(&signer).and_then(|p| items(&p.pull.root(), nodes)) else {
            self.pulls.remove(&signer);
            return self.refuse(now, "book", Refusal::Malformed);
        };
        let nodes = nodes.clone();
        let Some(Pulling { head, .. }) = self.pulls.remove(&signer) else { return };
        let sound = items.len() as u64 == head.count
            && items.values().all(|i| i.stamp.counter <= head.version || i.stamp.signer != signer)
            && items.values().all(|i| i.state == State::Revoked || i.stamp.signer == signer);
        if !sound {
            return self.refuse(now, "book", Refusal::Malformed);
        }
        self.store();
        if let Err(e) = self.shared.shelf.put(&[], &[(&format!("head/{signer}"), Some(&json(&head)))]) {
            return self.fault(&e);
        }
        if self.me == Some(signer) {
            self.own_known = true;
        }
        self.books.insert(signer, Book { head, nodes, items });
        self.forget_covered(signer);
        self.tidy();
        self.settle();
    }

    /// Revocations that the book holds by now need not be kept.
    fn forget_covered(&mut self, signer: Signer) {
        let Some(version) = self.books.get(&signer).map(|b| b.head.version) else { return };
        if let Some(people) = self.revoked.get_mut(&signer) {
            people.retain(|_, counter| *counter > version);
        }
        let prefix = format!("revoked/{signer}/");
        let Ok(texts) = self.shared.shelf.texts(&prefix) else { return };
        // The newest stays: an older one must be known as such after a restart.
        let newest = texts.iter().map(|(n, _)| n.clone()).max();
        let old = texts.iter().filter(|(n, _)| {
            let of = n.strip_prefix(&prefix).and_then(|v| v.parse::<u64>().ok());
            of.is_some_and(|v| v <= version) && Some(n) != newest.as_ref()
        });
        let old: Vec<(&str, Option<&str>)> = old.map(|(n, _)| (n.as_str(), None)).collect();
        if let Err(e) = self.shared.shelf.put(&[], &old) {
            self.fault(&e);
        }
    }

    /// Takes blobs off the shelf that no book and no fetch needs.
    fn tidy(&mut self) {
        if !self.pulls.is_empty() {
            return;
        }
        let mut keep: BTreeSet<Digest> = self.books.values().flat_map(|b| b.nodes.keys().copied()).collect();
        keep.extend(&self.outbox.unsent);
        if let Err(e) = self.shared.shelf.keep_only(&keep) {
            self.fault(&e);
        }
    }

    /// Works out who counts, and tells when that is new.
    fn settle(&mut self) {
        let books = self.books.iter().map(|(s, b)| (*s, &b.items));
        let all = winners(books, self.revoked.iter().map(|(s, r)| (*s, r)));
        if all != self.winners {
            self.winners = all;
            self.news.push(News::Changed);
        }
    }

    /// The same for one revocation, without looking at anybody else; true when the person was not revoked before.
    fn settle_revoked(&mut self, book: Signer, person: &str) -> bool {
        let Some(counter) = self.revoked.get(&book).and_then(|r| r.get(person)).copied() else { return false };
        let item = Item { stamp: Stamp { counter, signer: book }, state: State::Revoked };
        let before = self.winners.get(person).copied();
        if before.is_none_or(|b| outranks(&item, &b.item)) {
            self.winners.insert(person.to_owned(), Winner { item, book });
        }
        let is = |w: Option<&Winner>| w.is_some_and(|w| w.item.state == State::Revoked);
        is(self.winners.get(person)) && !is(before.as_ref())
    }

    fn revocation_came(&mut self, now: Tick, topic: Signer, payload: &[u8]) {
        let Ok(r) = serde_json::from_slice::<Revocation>(payload) else {
            return self.refuse(now, "revocation", Refusal::Malformed);
        };
        let newest = self.newest_revoked.get(&r.signer).copied();
        let content = Digest::of(r.sealed.as_bytes());
        let claim = Claim { site: &r.site, signer: r.signer, topic, version: r.version, content };
        let here = Here { site: &self.settings.site, trusted: &self.trusted, newest };
        let signed = || r.v == 1 && crypto::signed(&r.signer, &r.signed_text(), &r.sig);
        match judge(&claim, &here, signed) {
            Judgement::Known => {}
            Judgement::Refuse(Refusal::RolledBack) if self.me == Some(r.signer) => {}
            Judgement::Refuse(cause) => self.refuse(now, "revocation", cause),
            Judgement::Accept => {
                let Some(people) = self.take_revocation(&r) else {
                    return self.refuse(now, "revocation", Refusal::Unreadable);
                };
                let name = format!("revoked/{}/{:020}", r.signer, r.version);
                if let Err(e) = self.shared.shelf.put(&[], &[(&name, Some(&json(&r)))]) {
                    self.fault(&e);
                }
                let people: Vec<String> = people.into_iter().filter(|p| self.settle_revoked(r.signer, p)).collect();
                if !people.is_empty() {
                    self.news.push(News::Changed);
                    let by = self.label(&r.signer);
                    self.news.push(News::Revoked { people, by });
                }
            }
        }
    }

    fn take_revocation(&mut self, r: &Revocation) -> Option<Vec<String>> {
        let sealed = BASE64_STANDARD.decode(&r.sealed).ok()?;
        let plain = self.shared.keys.open("revoked", &r.signer, &sealed)?;
        let people: Vec<Revoked> = serde_json::from_slice(&plain).ok()?;
        let content = Digest::of(r.sealed.as_bytes());
        self.newest_revoked.insert(r.signer, (r.version, content));
        let known = self.revoked.entry(r.signer).or_default();
        for p in people.iter().filter(|p| p.counter <= r.version) {
            let counter = known.entry(p.person.clone()).or_insert(0);
            *counter = (*counter).max(p.counter);
        }
        Some(people.into_iter().map(|p| p.person).collect())
    }

    fn requested(&mut self, now: Tick, to: Option<Signer>, payload: &[u8]) {
        let want = serde_json::from_slice::<Want>(payload).ok();
        let fits = |w: &Want| w.v == 1 && w.blobs.len() <= WANT_AT_ONCE && w.heads.len() <= WANT_AT_ONCE;
        let Some(want) = want.filter(fits) else { return self.refuse(now, "request", Refusal::Malformed) };
        let mine = to.is_some() && to == self.me;
        for digest in want.blobs {
            if self.outbox.answers.len() < ANSWERS
                && (mine || self.chosen(&digest, want.attempt))
                && !self.answered.contains_key(&digest)
                && let Ok(Some(bytes)) = self.shared.shelf.blob(&digest)
            {
                self.answered.insert(digest, now);
                self.outbox.answers.push_back((self.shared.topics.of(SiteTopic::Blob(digest)), bytes));
            }
        }
        for signer in want.heads {
            let once = Digest::of(&signer.0);
            if (self.me == Some(signer) || (to.is_none() && self.chosen(&once, want.attempt)))
                && !self.answered.contains_key(&once)
                && let Some(book) = self.books.get(&signer)
            {
                self.answered.insert(once, now);
                let text = json(&book.head).into_bytes();
                self.outbox.answers.push_back((self.shared.topics.of(SiteTopic::Head(signer)), text));
            }
        }
    }

    /// Whether this terminal answers a request to everybody: one of 64 the third time, of 16, of 4, then all that have it.
    fn chosen(&self, digest: &Digest, attempt: u8) -> bool {
        let mut text = self.settings.device.clone().into_bytes();
        text.extend_from_slice(&digest.0);
        let draw = Digest::of(&text).0[0] & 63;
        match attempt {
            0..=2 => false,
            3 => draw == 0,
            4 => draw < 4,
            5 => draw < 16,
            _ => true,
        }
    }

    fn fault(&mut self, e: &PortError) {
        tracing::error!(error = %e, "the site's directory cannot be kept");
        self.news.push(News::Fault(e.to_string()));
    }

    /// The next thing to send.
    pub fn next_out(&mut self) -> Option<SiteOut> {
        self.connected?;
        let mut own = Own {
            me: self.me,
            may_go: self.own_known && self.me.is_some_and(|me| !self.pulls.contains_key(&me)),
            head: self.me.and_then(|me| self.books.get(&me)).map(|b| &b.head),
            shared: &mut self.shared,
        };
        self.outbox.next(&mut own)
    }
}

struct Own<'a> {
    me: Option<Signer>,
    may_go: bool,
    head: Option<&'a Head>,
    shared: &'a mut Shared,
}

impl OwnBook for Own<'_> {
    fn blob(&mut self, digest: &Digest) -> Option<(String, Vec<u8>)> {
        let bytes = self.shared.shelf.blob(digest).ok()??;
        Some((self.topic(digest), bytes))
    }
    fn head(&mut self) -> Option<(String, Vec<u8>)> {
        Some((self.shared.topics.of(SiteTopic::Head(self.me?)), json(self.head?).into_bytes()))
    }
    fn topic(&self, digest: &Digest) -> String {
        self.shared.topics.of(SiteTopic::Blob(*digest))
    }
    fn may_go(&self) -> bool {
        self.may_go
    }
}

/// A blob that is here: in the book before, or on the shelf from an interrupted fetch.
fn have(book: Option<&Book>, shared: &mut Shared, signer: &Signer, digest: &Digest) -> Option<Arc<Parsed>> {
    if let Some(node) = book.and_then(|b| b.nodes.get(digest)) {
        return Some(node.clone());
    }
    let sealed = shared.shelf.blob(digest).ok()??;
    shared.open(signer, &sealed).map(|n| Arc::new(Parsed::of(&n)))
}

fn name(what: SiteTopic) -> &'static str {
    match what {
        SiteTopic::Head(_) => "head",
        SiteTopic::Revoked(_) => "revocation",
        SiteTopic::Blob(_) => "blob",
        SiteTopic::Request(_) => "request",
    }
}

/// Texts of our own types, none of which can fail to be JSON.
fn json(of: &impl Serialize) -> String {
    serde_json::to_string(of).unwrap_or_default()
}
