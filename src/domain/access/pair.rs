//! Two people: who has shown everything and waits for somebody else.

use super::person::Attributes;
use crate::base::time::Tick;
use crate::schema::ids::{PersonId, VisitId};
use std::time::Duration;

/// Somebody who waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Companion {
    pub visit: VisitId,
    pub person: PersonId,
    pub attributes: Attributes,
    /// Groups out of each of which somebody else must come.
    pub needs: Vec<String>,
    /// From the first frame to the end of the visit, for the record.
    pub decision_ms: u64,
    until: Tick,
}

/// Those who wait at a door; few, since each waits for half a minute at most.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pairs(Vec<Companion>);

impl Pairs {
    /// Somebody waits from now; false when that person waits already, whose time does not begin anew.
    #[must_use]
    pub fn wait(
        &mut self,
        now: Tick,
        window: Duration,
        (visit, person, decision_ms): (VisitId, &PersonId, u64),
        attributes: &Attributes,
        needs: &[&str],
    ) -> bool {
        if self.0.iter().any(|c| c.person == *person) {
            return false;
        }
        let needs = needs.iter().map(|n| (*n).to_owned()).collect();
        let (person, attributes) = (person.clone(), attributes.clone());
        self.0.push(Companion { visit, person, attributes, needs, decision_ms, until: now + window });
        true
    }

    /// Those who wait at this moment, other than `person`.
    #[must_use]
    pub fn others(&self, now: Tick, person: &PersonId) -> Vec<Attributes> {
        self.0.iter().filter(|c| now < c.until && c.person != *person).map(|c| c.attributes.clone()).collect()
    }

    /// `person` was let in: those who waited for somebody of that kind go along, and so does the person's own waiting.
    #[must_use]
    pub fn granted(&mut self, now: Tick, person: &PersonId, attributes: &Attributes) -> Vec<Companion> {
        self.0.retain(|c| c.person != *person);
        let goes = |c: &Companion| now < c.until && c.needs.iter().all(|g| attributes.is_in(g));
        let (gone, stay) = std::mem::take(&mut self.0).into_iter().partition(goes);
        self.0 = stay;
        gone
    }

    /// Those whose time is over.
    #[must_use]
    pub fn expired(&mut self, now: Tick) -> Vec<Companion> {
        let (over, stay) = std::mem::take(&mut self.0).into_iter().partition(|c| now >= c.until);
        self.0 = stay;
        over
    }

    /// Nobody waits any more: a lockdown began.
    #[must_use]
    pub fn clear(&mut self) -> Vec<Companion> {
        std::mem::take(&mut self.0)
    }

    /// When the first one's time is over.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        self.0.iter().map(|c| c.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::access::EVERYONE;

    fn who(name: &str, groups: &[&str]) -> (PersonId, Attributes) {
        let groups = groups.iter().map(|g| (*g).to_owned()).collect();
        (PersonId::new(name).expect("valid"), Attributes { groups, ..Attributes::default() })
    }

    const WINDOW: Duration = Duration::from_secs(30);

    #[test]
    fn a_person_is_not_their_own_second_and_the_window_does_not_begin_anew() {
        let (ada, attributes) = who("ada", &[]);
        let mut p = Pairs::default();
        assert!(p.wait(Tick::ZERO, WINDOW, (VisitId(1), &ada, 4), &attributes, &[EVERYONE]));
        assert!(!p.wait(Tick::from_millis(20_000), WINDOW, (VisitId(2), &ada, 4), &attributes, &[EVERYONE]));
        assert!(p.others(Tick::from_millis(20_000), &ada).is_empty());
        let (bob, _) = who("bob", &[]);
        assert_eq!(p.others(Tick::from_millis(29_999), &bob).len(), 1);
        assert!(p.others(Tick::from_millis(30_000), &bob).is_empty());
        assert_eq!(p.next_deadline(), Some(Tick::from_millis(30_000)));
        let over: Vec<VisitId> = p.expired(Tick::from_millis(30_000)).iter().map(|c| c.visit).collect();
        assert_eq!(over, [VisitId(1)]);
    }

    #[test]
    fn who_waits_for_a_manager_does_not_go_with_somebody_else() {
        let (ada, a) = who("ada", &["staff"]);
        let mut p = Pairs::default();
        assert!(p.wait(Tick::ZERO, WINDOW, (VisitId(1), &ada, 4), &a, &["managers"]));
        let (bob, b) = who("bob", &["staff"]);
        assert!(p.granted(Tick::from_millis(5), &bob, &b).is_empty());
        let (eve, e) = who("eve", &["managers"]);
        assert_eq!(p.granted(Tick::from_millis(6), &eve, &e).len(), 1);
        assert_eq!(p.next_deadline(), None);
    }
}
