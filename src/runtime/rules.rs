//! The rules at work: the book, what is known of people, and what the door remembers. Carries between the store and the
//! rules; what is allowed is decided in `domain::access`.

use crate::adapters::store::pin::{self, Typed};
use crate::adapters::store::{DoorMemory, EncryptedPeople, StoreError};
use crate::base::time::{Clock, Tick, WallTime};
use crate::config::Config;
use crate::domain::access::{
    Attributes, Case, ClockWatch, Companion, Evidence, Lockouts, OfficeHours, Pairs, Pause, Presence, Refusal,
    RuleBook, Trust,
};
use crate::domain::screen::{Advice, Phase, Screen};
use crate::domain::visit::Decision;
use crate::ports::{PeopleStore, PortError};
use crate::schema::event::{Event, Reason, Verdict};
use crate::schema::ids::{PersonId, VisitId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use zeroize::Zeroizing;

/// Orders are looked for this often.
const LOOK: Duration = Duration::from_millis(500);
/// The latest time that was believed is kept this often: a card of flash lives long on six writes an hour.
const KEEP_TIME: Duration = Duration::from_secs(600);

/// Names in the door's memory.
const LOCKOUT: &str = "lockout";
const PRESENCE: &str = "presence";
const HIGH_WATER: &str = "clock";

/// The latest time that is known to have come: the clock's, or the one that was believed before a restart. Setting the
/// clock back brings nobody back whose time was over.
///
/// # Errors
/// The door's memory cannot be read.
pub fn latest_ms(state: &Path, clock: &dyn Clock) -> Result<i64, PortError> {
    let believed = DoorMemory::open(state)?.get(HIGH_WATER)?;
    // As in `Rules::open`.
    let believed = believed.map_or(0, |t| t.parse().unwrap_or(i64::MAX));
    Ok(clock.wall().unix_ms.max(believed))
}

/// What an administrator orders; [`Order::text`] is what lies in the store until it is carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nobody passes.
    Lockdown,
    /// It is over.
    EndLockdown,
    /// The door's lockout is over.
    Door,
    /// A person's lockout is over, and the person counts as having left.
    Person(PersonId),
    /// What the clock says now is right.
    Clock,
}

impl Order {
    /// A line for the store.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Order::Lockdown => "lockdown".into(),
            Order::EndLockdown => "end lockdown".into(),
            Order::Door => "door".into(),
            Order::Person(p) => format!("person\t{p}"),
            Order::Clock => "clock".into(),
        }
    }

    fn parse(text: &str) -> Option<Order> {
        Some(match text {
            "lockdown" => Order::Lockdown,
            "end lockdown" => Order::EndLockdown,
            "door" => Order::Door,
            "clock" => Order::Clock,
            _ => Order::Person(PersonId::new(text.strip_prefix("person\t")?).ok()?),
        })
    }
}

/// What was shown beside the face.
#[derive(Clone, PartialEq, Eq)]
pub enum Shown {
    Pin(Zeroizing<String>),
    Card(Zeroizing<String>),
}

/// Neither stands in a log.
impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Shown::Pin(_) => "Pin",
            Shown::Card(_) => "Card",
        })
    }
}

/// A second factor so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Factors {
    pub pin: bool,
    pub card: bool,
    /// The PIN was that of somebody who is forced to open.
    pub duress: bool,
}

/// What the rules say to a visit that ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    Allowed,
    Refused(Refusal),
    /// A second factor is waited for, so long.
    Factor(Duration),
    /// Somebody else is waited for; the visit's own end is told later.
    Second,
}

/// The rules in force, for who shows them.
#[derive(Clone, Debug)]
pub struct InForce {
    pub book: Arc<RuleBook>,
    /// Whether the clock may be believed.
    pub sound: bool,
}

/// Where the controller's thread leaves them.
pub type RulesBoard = Arc<Mutex<InForce>>;

/// A rules file that was read anew.
#[derive(Clone, Debug)]
pub struct FreshRules {
    pub book: Arc<RuleBook>,
    /// Of the file's text, in hex.
    pub sha256: String,
}

/// Where it lies until the controller takes it.
pub type FileSlot = Arc<Mutex<Option<FreshRules>>>;

/// Everything that the rules rest on.
pub struct Rules {
    board: RulesBoard,
    book: Arc<RuleBook>,
    door: String,
    /// There is a keypad or a card reader.
    factors: bool,
    clock: ClockWatch,
    trust: Trust,
    lockouts: Lockouts,
    presence: Presence,
    pairs: Pairs,
    hours: OfficeHours,
    lockdown: bool,
    /// A lockdown, or its end, that an administrator has ordered.
    ordered: Option<bool>,
    people: EncryptedPeople,
    attributes: BTreeMap<PersonId, Attributes>,
    /// What is known of people may be out of date.
    stale: bool,
    memory: DoorMemory,
    /// Everybody who is here, once that has changed since the start.
    known: Option<BTreeSet<PersonId>>,
    /// Rules of the site come here, where they are to hold.
    site: Option<super::site::RulesSlot>,
    /// The site's rules hold: the file's do not.
    of_site: bool,
    /// The file that was read anew comes here.
    file: FileSlot,
    /// Other rules hold since the controller asked last.
    changed: bool,
    looked: Option<Tick>,
    kept: Option<Tick>,
}

impl Rules {
    /// Takes up what the door remembers.
    ///
    /// # Errors
    /// People or memory cannot be opened or read.
    pub fn open(config: &Config, state: &Path, clock: &dyn Clock) -> Result<Rules, PortError> {
        let memory = DoorMemory::open(state)?;
        let mut people = EncryptedPeople::open(state)?;
        let attributes = people.attributes()?;
        let (now, c) = (clock.now(), config.rules());
        let lockouts = match memory.get(LOCKOUT)? {
            Some(text) => Lockouts::from_text(c.lockout_failures, c.lockout, &text, now),
            None => Lockouts::new(c.lockout_failures, c.lockout, now),
        };
        let presence = match memory.get(PRESENCE)? {
            None => Presence::default(),
            Some(text) => Presence::from_text(&text).unwrap_or_else(|| {
                tracing::error!("who has entered cannot be read; everybody counts as having left");
                Presence::default()
            }),
        };
        // A time that cannot be read is one that nobody can show to have passed.
        let high_water = memory.get(HIGH_WATER)?.map_or(0, |t| t.parse().unwrap_or(i64::MAX));
        Ok(Rules {
            board: Arc::new(Mutex::new(InForce { book: c.book.clone(), sound: false })),
            book: c.book.clone(),
            door: config.device().name.to_string(),
            factors: false,
            clock: ClockWatch::new(config.insecure().unsynced_clock, high_water),
            trust: Trust::Sound,
            lockouts,
            presence,
            pairs: Pairs::default(),
            hours: OfficeHours::default(),
            lockdown: false,
            ordered: None,
            people,
            attributes,
            stale: false,
            memory,
            known: None,
            site: None,
            of_site: false,
            file: FileSlot::default(),
            changed: false,
            looked: None,
            kept: None,
        })
    }

    /// The site's rules take the place of the file's as soon as there are some; without a file nobody passes until then.
    #[must_use]
    pub fn of_site(mut self, slot: Option<super::site::RulesSlot>) -> Self {
        if slot.is_some() && *self.book == RuleBook::open() {
            self.book = Arc::new(RuleBook::shut());
        }
        self.site = slot;
        let _at_the_start = self.take_rules();
        self.changed = false;
        self.publish();
        self
    }

    /// Where the rules in force can be seen from other threads.
    #[must_use]
    pub fn board(&self) -> RulesBoard {
        self.board.clone()
    }

    /// Tells the board what holds now.
    fn publish(&self) {
        let mut shown = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        shown.sound = self.trust == Trust::Sound && self.looked.is_some();
        if !Arc::ptr_eq(&shown.book, &self.book) {
            shown.book = self.book.clone();
        }
    }

    /// A file that is read anew while the door runs comes this way.
    #[must_use]
    pub fn of_file(mut self, slot: FileSlot) -> Self {
        self.file = slot;
        self
    }

    /// Rules that came meanwhile take the place of those before, in one piece; whoever waits by the old ones is refused.
    fn take_rules(&mut self) -> Vec<Event> {
        let mut out = Vec::new();
        let fresh = self.site.as_ref().and_then(|s| s.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(book) = fresh {
            self.of_site = true;
            out.extend(self.replace(book));
        }
        let fresh = self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        match fresh {
            Some(_) if self.of_site => {
                let what = "the rules file is right, and the site's rules hold in its place".to_owned();
                out.push(Event::AlarmRules { what });
            }
            Some(FreshRules { book, sha256 }) => {
                out.push(Event::SystemRules { sha256 });
                out.extend(self.replace(book));
            }
            None => {}
        }
        out
    }

    fn replace(&mut self, book: Arc<RuleBook>) -> Vec<Event> {
        self.book = book;
        self.changed = true;
        // What somebody's grant has opened for the day is to be opened by a grant of these rules.
        self.hours.forget();
        let waiting = self.pairs.clear();
        waiting.into_iter().map(|w| self.alone(w, Reason::Stopped, "the rules were changed meanwhile")).collect()
    }

    /// Whether other rules hold since this was asked last.
    pub fn changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Whether somebody may be put into all of these groups.
    #[must_use]
    pub fn are_groups(&self, groups: &BTreeSet<String>) -> bool {
        super::registrar::are_groups(&self.book, groups)
    }

    /// There is something to show a second factor to.
    #[must_use]
    pub fn with_factors(mut self, there: bool) -> Self {
        self.factors = there;
        self
    }

    /// Time passes: orders are carried out, waiting ends. What is returned is to be recorded.
    pub fn tick(&mut self, now: Tick, wall: WallTime) -> Vec<Event> {
        let mut out = Vec::new();
        for late in self.pairs.expired(now) {
            out.push(self.alone(late, Reason::TwoPerson, "nobody else came within the window"));
        }
        if self.looked.is_some_and(|l| now.since(l) < LOOK) {
            return out;
        }
        self.looked = Some(now);
        out.extend(self.take_rules());
        let before = self.trust;
        let at = self.clock.look(now, wall);
        self.trust = at.trust;
        self.publish();
        if let (Trust::Jumped(jump_ms), false) = (at.trust, matches!(before, Trust::Jumped(_))) {
            out.push(Event::AlarmClock { jump_ms });
        }
        if at.is_sound() && self.kept.is_none_or(|k| now.since(k) >= KEEP_TIME) {
            self.kept = Some(now);
            self.keep(HIGH_WATER, &self.clock.high_water().to_string());
        }
        match self.memory.orders() {
            Ok(orders) => {
                for (id, text) in orders {
                    match Order::parse(&text) {
                        Some(order) => self.obey(now, wall, &order),
                        None => tracing::error!(order = text, "an order that this version does not know is left out"),
                    }
                    if let Err(e) = self.memory.done(id) {
                        tracing::error!(error = %e, "an order could not be struck out");
                    }
                }
            }
            Err(e) => tracing::error!(error = %e, "orders could not be read"),
        }
        out
    }

    /// Carries out what an administrator orders.
    fn obey(&mut self, now: Tick, wall: WallTime, order: &Order) {
        match order {
            Order::Lockdown | Order::EndLockdown => self.ordered = Some(*order == Order::Lockdown),
            Order::Door => {
                self.lockouts.release(None);
                self.keep(LOCKOUT, &self.lockouts.to_text(now));
            }
            Order::Person(person) => {
                self.lockouts.release(Some(person));
                self.keep(LOCKOUT, &self.lockouts.to_text(now));
                if self.presence.release(person) {
                    self.keep(PRESENCE, &self.presence.to_text());
                }
            }
            Order::Clock => {
                self.clock.accept(now, wall);
                self.keep(HIGH_WATER, &self.clock.high_water().to_string());
            }
        }
    }

    /// A lockdown that was ordered, or its end; told once.
    pub fn ordered_lockdown(&mut self) -> Option<bool> {
        self.ordered.take()
    }

    /// The door is shut for everybody, or no longer; whoever waits is refused.
    pub fn set_lockdown(&mut self, active: bool) -> Vec<Event> {
        if self.lockdown == active {
            return Vec::new();
        }
        self.lockdown = active;
        let mut out = Vec::new();
        if active {
            self.hours.forget();
            for waiting in self.pairs.clear() {
                out.push(self.alone(waiting, Reason::Lockdown, "the door is in lockdown"));
            }
        }
        out
    }

    /// Whether the door must not decide now.
    #[must_use]
    pub fn locked_out(&self, now: Tick) -> bool {
        self.lockouts.door(now)
    }

    /// When [`Rules::tick`] is due for somebody who waits.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        self.pairs.next_deadline()
    }

    /// Whether the rules ask for an unlocked door now.
    pub fn wants_open(&mut self, now: Tick, wall: WallTime) -> bool {
        let at = self.clock.look(now, wall);
        !self.lockdown && self.hours.wants_open(&self.book, &self.door, at)
    }

    /// What the rules say to a visit that ended well, with the factors so far.
    pub fn judge(&mut self, now: Tick, wall: WallTime, d: &Decision, factors: Factors) -> Ruling {
        let Some(person) = &d.person else {
            return refused(Reason::NoMatch, "nobody was named");
        };
        if let Err(e) = self.reload() {
            // What is known may be out of date: somebody may just have been shut out.
            tracing::error!(error = %e, "people could not be read: nobody passes");
            return refused(Reason::Degraded, "what is known of people cannot be read");
        }
        let at = self.clock.look(now, wall);
        let none = Attributes::default();
        let attributes = self.attributes.get(person).unwrap_or(&none);
        let seen = self.evidence(now, person, factors, self.pairs.others(now, person));
        let case = Case { now: at, person, attributes, door: &self.door, seen: &seen };
        let Err(refusal) = self.book.decide(&case) else {
            // Removed, here or at the site, since the visit began.
            let gone = self.known.as_ref().is_some_and(|known| !known.contains(person));
            return if gone { refused(Reason::Stopped, "the person was removed meanwhile") } else { Ruling::Allowed };
        };
        match refusal.reason {
            Reason::SecondFactor if self.factors && self.has_factors(attributes) => {
                Ruling::Factor(self.book.factor_window)
            }
            Reason::TwoPerson => {
                let needs: Vec<&str> = self.book.partners(attributes, &self.door).into_iter().collect();
                let decision_ms = u64::try_from(d.at.since(d.began).as_millis()).unwrap_or(u64::MAX);
                let who = (d.visit, person, decision_ms);
                if self.pairs.wait(now, self.book.pair_window, who, attributes, &needs) {
                    Ruling::Second
                } else {
                    Ruling::Refused(Refusal { rule: "this person waits for somebody else already".into(), ..refusal })
                }
            }
            _ => Ruling::Refused(refusal),
        }
    }

    /// What the rules weigh, with the factors and the company of this visit.
    fn evidence(&self, now: Tick, person: &PersonId, factors: Factors, others: Vec<Attributes>) -> Evidence {
        Evidence {
            lockdown: self.lockdown,
            locked_out: self.lockouts.person(now, person),
            entered_ms: self.presence.entered(person),
            pin: factors.pin,
            card: factors.card,
            others,
        }
    }

    /// What the rules say to a visit of a web session. Nothing is shown to the door's keypad by somebody who is elsewhere, and
    /// nobody who is elsewhere comes along or is come along with: where PIN, card or company is asked for, it is refused.
    ///
    /// # Errors
    /// [`Refusal`] of the first rule that objects.
    pub fn judge_afar(&mut self, now: Tick, wall: WallTime, d: &Decision) -> Result<(), Refusal> {
        let refuse = |reason, rule: &str| Err(Refusal { reason, rule: rule.into() });
        let Some(person) = &d.person else { return refuse(Reason::NoMatch, "nobody was named") };
        if let Err(e) = self.reload() {
            tracing::error!(error = %e, "people could not be read: nobody passes");
            return refuse(Reason::Degraded, "what is known of people cannot be read");
        }
        let at = self.clock.look(now, wall);
        let none = Attributes::default();
        let attributes = self.attributes.get(person).unwrap_or(&none);
        let seen = self.evidence(now, person, Factors::default(), Vec::new());
        self.book.decide(&Case { now: at, person, attributes, door: &self.door, seen: &seen })?;
        match &self.known {
            Some(known) if !known.contains(person) => refuse(Reason::Stopped, "the person was removed meanwhile"),
            _ => Ok(()),
        }
    }

    /// Somebody was let in from afar: an entry as soon as the door opens, but no begin of office hours, and nobody who waits
    /// at the door goes along.
    pub fn granted_afar(&mut self, visit: VisitId, person: &PersonId) {
        if self.passback() {
            self.presence.granted(visit, person);
        }
    }

    fn has_factors(&self, who: &Attributes) -> bool {
        self.book.demand(who, &self.door).met(who.pin.is_some(), who.card.is_some())
    }

    /// Takes in what was shown for a person; false when it is not that person's.
    pub fn show(&self, person: &PersonId, shown: &Shown, factors: &mut Factors) -> bool {
        let Some(attributes) = self.attributes.get(person) else { return false };
        match (shown, &attributes.pin, &attributes.card) {
            (Shown::Card(number), _, Some(card)) if pin::same(number.as_bytes(), card.as_bytes()) => {
                factors.card = true;
                true
            }
            (Shown::Pin(typed), Some(of), _) => match pin::check(of, typed) {
                Ok(Typed::Wrong) => false,
                Ok(right) => {
                    factors.pin = true;
                    factors.duress |= right == Typed::Duress;
                    true
                }
                Err(e) => {
                    tracing::error!(error = %e, "a PIN could not be checked");
                    false
                }
            },
            _ => false,
        }
    }

    /// A person's card number, as far as there is one.
    #[must_use]
    pub fn card(&self, person: &PersonId) -> Option<&str> {
        self.attributes.get(person)?.card.as_deref()
    }

    /// Somebody was let in; returns who goes along, for the record.
    pub fn granted(&mut self, now: Tick, wall: WallTime, visit: VisitId, person: &PersonId) -> Vec<Event> {
        let at = self.clock.look(now, wall);
        self.hours.granted(&self.book, &self.door, at);
        if self.passback() {
            self.presence.granted(visit, person);
        }
        let attributes = self.attributes.get(person).cloned().unwrap_or_default();
        let along = self.pairs.granted(now, person, &attributes);
        along.into_iter().map(|c| Event::AccessPaired { visit: c.visit, person: c.person, with: visit }).collect()
    }

    /// The door was opened after a grant.
    pub fn opened(&mut self, now: Tick, wall: WallTime, visit: VisitId) {
        if !self.presence.opened(visit, wall.unix_ms) {
            return;
        }
        let at = self.clock.look(now, wall);
        if let Some(rule) = self.book.doors.get(&self.door).and_then(|d| d.anti_passback) {
            self.presence.prune(|entered| rule.holds(&self.book.zone, entered, at));
        }
        self.keep(PRESENCE, &self.presence.to_text());
    }

    /// Charges how a visit ended; returns the pauses that begin.
    pub fn charge(
        &mut self,
        now: Tick,
        verdict: Verdict,
        reason: Option<Reason>,
        person: Option<&PersonId>,
    ) -> Vec<Pause> {
        let before = self.lockouts.clone();
        let pauses = self.lockouts.charge(now, verdict, reason, person);
        if self.lockouts != before {
            self.keep(LOCKOUT, &self.lockouts.to_text(now));
        }
        pauses
    }

    fn passback(&self) -> bool {
        self.book.doors.get(&self.door).is_some_and(|d| d.anti_passback.is_some())
    }

    /// Who waited for somebody and now does not.
    fn alone(&self, c: Companion, reason: Reason, rule: &str) -> Event {
        let (door, rule) = (self.door.clone(), Some(rule.to_owned()));
        Event::AccessDenied { visit: c.visit, reason, door, person: Some(c.person), rule, decision_ms: c.decision_ms }
    }

    fn reload(&mut self) -> Result<(), PortError> {
        self.stale |= self.people.changed()?;
        if self.stale {
            self.attributes = self.people.attributes()?;
            self.known = Some(self.people.list()?.into_iter().map(|p| p.person).collect());
            self.stale = false;
        }
        Ok(())
    }

    fn keep(&self, name: &str, text: &str) {
        if let Err(e) = self.memory.put(name, text) {
            tracing::error!(error = %e, name, "the door could not note something; a restart will not know it");
        }
    }
}

fn refused(reason: Reason, rule: &str) -> Ruling {
    Ruling::Refused(Refusal { reason, rule: rule.into() })
}

/// The screen of a visit that ended well, as the rules have it.
#[must_use]
pub fn shown(screen: Screen, ruling: Option<&Ruling>) -> Screen {
    let granted = screen.phase == Phase::Done && screen.verdict == Some(Verdict::Granted);
    match ruling {
        Some(Ruling::Refused(r)) if granted => Screen { verdict: Some(r.reason.verdict()), ..screen },
        Some(Ruling::Factor(_)) if granted => {
            Screen { phase: Phase::Looking, advice: Some(Advice::OtherWay), ..Screen::IDLE }
        }
        Some(Ruling::Second) if granted => {
            Screen { verdict: Some(Verdict::TryAgain), advice: Some(Advice::OneAtATime), ..screen }
        }
        _ => screen,
    }
}

/// For commands: the memory of a state directory.
///
/// # Errors
/// It cannot be opened, or the order cannot be left.
pub fn leave_order(state: &Path, order: &Order) -> Result<(), StoreError> {
    DoorMemory::open(state)?.order(&order.text())
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
