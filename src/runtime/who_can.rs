//! Who may pass a door at a moment, and what they must show for it: for the command `who-can` and for the console.

use crate::domain::access::{Attributes, Case, Demand, EVERY_DOOR, Evidence, Now, RuleBook};
use crate::schema::event::Reason;
use crate::schema::ids::PersonId;

/// The answer, each in the order of the people given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// With what must be shown, or who must come, beside the face.
    pub can: Vec<(PersonId, Vec<String>)>,
    /// With the first rule that objects.
    pub cannot: Vec<(PersonId, Reason, String)>,
}

/// Whether the rules know a door; `own` is that of this terminal.
#[must_use]
pub fn knows(book: &RuleBook, door: &str, own: &str) -> bool {
    book.doors.contains_key(door) || door == own || book.grants.iter().any(|g| g.doors.contains(EVERY_DOOR))
}

/// A moment: RFC 3339, or a reading of a clock on the wall of the rules' zone.
#[must_use]
pub fn moment(text: &str, book: &RuleBook) -> Option<i64> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(at.as_millisecond());
    }
    text.parse::<jiff::civil::DateTime>().ok().and_then(|local| book.zone.instant(local))
}

/// Asks the rules for each of them. All that can be shown counts as shown: what is asked here is whether the person can
/// pass at all.
#[must_use]
pub fn ask<'a>(
    book: &RuleBook,
    door: &str,
    unix_ms: i64,
    people: impl IntoIterator<Item = (&'a PersonId, &'a Attributes)>,
) -> Answer {
    let mut answer = Answer::default();
    for (person, who) in people {
        let partners = book.partners(who, door);
        let others: Vec<Attributes> =
            partners.iter().map(|g| Attributes { groups: [(*g).to_owned()].into(), ..Attributes::default() }).collect();
        let seen = Evidence { pin: who.pin.is_some(), card: who.card.is_some(), others, ..Evidence::default() };
        let case = Case { now: Now::sound(unix_ms), person, attributes: who, door, seen: &seen };
        match book.decide(&case) {
            Ok(()) => {
                let company = partners.into_iter().map(|g| format!("somebody of {g}"));
                let needs = factors(book.demand(who, door)).into_iter().chain(company).collect();
                answer.can.push((person.clone(), needs));
            }
            Err(r) => answer.cannot.push((person.clone(), r.reason, r.rule)),
        }
    }
    answer
}

/// `pin`, `card`, `pin or card`, as far as they are demanded.
#[must_use]
pub fn factors(demand: Demand) -> Vec<String> {
    let one = |is: bool, word: &str| is.then(|| word.to_owned());
    let all = [
        one(demand.pin, "pin"),
        one(demand.card, "card"),
        one(demand.either && !demand.pin && !demand.card, "pin or card"),
    ];
    all.into_iter().flatten().collect()
}
