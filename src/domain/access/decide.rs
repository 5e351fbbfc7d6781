//! The table of rules. Each may refuse; none lets anybody in, so that the order only chooses which reason is told.

use super::book::{RuleBook, When};
use super::clock::Now;
use super::person::Attributes;
use crate::schema::event::Reason;
use crate::schema::ids::PersonId;

/// What is known beside the person, at the moment of the decision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// The door is in lockdown.
    pub lockdown: bool,
    /// Too many failures in this person's name.
    pub locked_out: bool,
    /// When the person last entered here, if that was not forgotten: milliseconds since 1970.
    pub entered_ms: Option<i64>,
    /// The person's PIN was typed.
    pub pin: bool,
    /// The person's card was shown.
    pub card: bool,
    /// Others who have passed all rules but this one within the window.
    pub others: Vec<Attributes>,
}

/// One person at one door.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    pub now: Now,
    pub person: &'a PersonId,
    pub attributes: &'a Attributes,
    pub door: &'a str,
    pub seen: &'a Evidence,
}

/// A rule refused; what it says is for the journal and the administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    /// Which rule, in words.
    pub rule: String,
}

type Rule = fn(&RuleBook, &Case<'_>) -> Option<String>;

/// The rules in their order. `docs/rules.md` shows the same table.
const TABLE: [(Reason, Rule); 7] = [
    (Reason::Lockdown, lockdown),
    (Reason::LockedOut, locked_out),
    (Reason::Expired, validity),
    (Reason::OutsideSchedule, granted),
    (Reason::AntiPassback, passback),
    (Reason::SecondFactor, factor),
    (Reason::TwoPerson, pair),
];

impl RuleBook {
    /// Whether this person may pass now.
    ///
    /// # Errors
    /// [`Refusal`] of the first rule of the table that objects.
    pub fn decide(&self, case: &Case<'_>) -> Result<(), Refusal> {
        for (reason, rule) in TABLE {
            if let Some(rule) = rule(self, case) {
                return Err(Refusal { reason, rule });
            }
        }
        Ok(())
    }
}

fn lockdown(_: &RuleBook, case: &Case<'_>) -> Option<String> {
    case.seen.lockdown.then(|| "the door is in lockdown".into())
}

fn locked_out(_: &RuleBook, case: &Case<'_>) -> Option<String> {
    case.seen.locked_out.then(|| "too many failures in this person's name".into())
}

/// A clock that may not be believed could revive what has run out.
fn validity(_: &RuleBook, case: &Case<'_>) -> Option<String> {
    let (from, to) = (case.attributes.valid_from_ms, case.attributes.valid_to_ms);
    if from.is_none() && to.is_none() {
        return None;
    }
    if !case.now.is_sound() {
        return Some(format!("the person's time is limited, and {}", case.now.trust.words()));
    }
    let at = case.now.unix_ms;
    if from.is_some_and(|f| at < f) {
        Some("the person's time has not begun".into())
    } else {
        to.is_some_and(|t| at >= t).then(|| "the person's time is over".into())
    }
}

fn granted(book: &RuleBook, case: &Case<'_>) -> Option<String> {
    let mut closed = Vec::new();
    for grant in &book.grants {
        if !grant.opens(case.door) || !grant.groups.iter().any(|g| case.attributes.is_in(g)) {
            continue;
        }
        match &grant.when {
            When::Always => return None,
            When::Schedule(name) if book.is_open(name, case.now) => return None,
            When::Schedule(name) => closed.push(name.as_str()),
        }
    }
    Some(if closed.is_empty() {
        format!("no grant names a group of this person and the door {}", case.door)
    } else if case.now.is_sound() {
        let zone = &book.zone;
        let local = zone.local(case.now.unix_ms).map(|l| l.strftime("%a %Y-%m-%d %H:%M").to_string());
        format!("{} closed at {} {}", closed.join(", "), local.unwrap_or_default(), zone.name())
    } else {
        format!("{} closed, since {}", closed.join(", "), case.now.trust.words())
    })
}

fn passback(book: &RuleBook, case: &Case<'_>) -> Option<String> {
    let rule = book.doors.get(case.door)?.anti_passback?;
    let entered = case.seen.entered_ms?;
    rule.holds(&book.zone, entered, case.now).then(|| "the person has entered and not left".into())
}

fn factor(book: &RuleBook, case: &Case<'_>) -> Option<String> {
    let demand = book.demand(case.attributes, case.door);
    if demand.met(case.seen.pin, case.seen.card) {
        return None;
    }
    let possible = demand.met(case.attributes.pin.is_some(), case.attributes.card.is_some());
    Some(
        if possible { "a second factor is needed" } else { "a second factor is needed that this person does not have" }
            .into(),
    )
}

fn pair(book: &RuleBook, case: &Case<'_>) -> Option<String> {
    let missing = |group: &&str| !case.seen.others.iter().any(|o| o.is_in(group));
    let groups: Vec<&str> = book.partners(case.attributes, case.door).into_iter().filter(missing).collect();
    (!groups.is_empty()).then(|| format!("somebody else of {} has to come as well", groups.join(" and of ")))
}
