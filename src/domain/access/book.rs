//! The site's rules as data.

use super::calendar::{Holidays, Minute, Schedule, Zone};
use super::person::Attributes;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The group in which everybody is who is enrolled.
pub const EVERYONE: &str = "everyone";
/// The door that stands for all doors.
pub const EVERY_DOOR: &str = "*";

/// When a grant holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// At all times: needs no clock.
    Always,
    /// While the schedule of that name is open.
    Schedule(String),
}

/// These groups may pass these doors then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub groups: BTreeSet<String>,
    pub doors: BTreeSet<String>,
    pub when: When,
}

impl Grant {
    /// Whether it speaks of that door.
    #[must_use]
    pub fn opens(&self, door: &str) -> bool {
        self.doors.contains(EVERY_DOOR) || self.doors.contains(door)
    }
}

/// What must be shown beside the face. Several demands add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    pub pin: bool,
    pub card: bool,
    /// One of the two.
    pub either: bool,
}

impl Demand {
    /// `pin`, `card`, `pin_or_card`, `pin_and_card`.
    #[must_use]
    pub fn named(name: &str) -> Option<Demand> {
        let none = Demand::default();
        Some(match name {
            "pin" => Demand { pin: true, ..none },
            "card" => Demand { card: true, ..none },
            "pin_or_card" => Demand { either: true, ..none },
            "pin_and_card" => Demand { pin: true, card: true, ..none },
            _ => return None,
        })
    }

    /// The names that [`Demand::named`] knows.
    pub const NAMES: [&str; 4] = ["pin", "card", "pin_or_card", "pin_and_card"];

    /// Both demands.
    #[must_use]
    pub const fn and(self, other: Demand) -> Demand {
        Demand { pin: self.pin || other.pin, card: self.card || other.card, either: self.either || other.either }
    }

    /// Whether a PIN and a card, shown or not, are enough.
    #[must_use]
    pub const fn met(self, pin: bool, card: bool) -> bool {
        (!self.pin || pin) && (!self.card || card) && (!self.either || pin || card)
    }
}

/// What holds for everybody in a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupBook {
    pub second_factor: Demand,
    /// Somebody else out of this group must come within the window.
    pub two_person: Option<String>,
}

/// Nobody enters twice without having left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AntiPassback {
    /// At this time of the day everybody counts as having left.
    pub reset: Minute,
    /// An entry is forgotten after so long, if that comes first.
    pub after: Option<Duration>,
}

/// The lock stays released while a schedule is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldOpen {
    pub schedule: String,
    /// Only after somebody was let in on that day.
    pub first_person: bool,
}

/// What holds at a door for everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DoorBook {
    pub second_factor: Demand,
    pub two_person: Option<String>,
    pub anti_passback: Option<AntiPassback>,
    pub hold_open: Option<HoldOpen>,
}

/// Everything.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleBook {
    pub zone: Zone,
    pub holidays: Holidays,
    pub schedules: BTreeMap<String, Schedule>,
    pub groups: BTreeMap<String, GroupBook>,
    pub doors: BTreeMap<String, DoorBook>,
    pub grants: Vec<Grant>,
    /// Within this time of each other two people come together.
    pub pair_window: Duration,
    /// So long is waited for a second factor.
    pub factor_window: Duration,
}

impl RuleBook {
    /// Everybody who is enrolled may pass every door at all times: what holds without a file.
    #[must_use]
    pub fn open() -> Self {
        let all = |name: &str| BTreeSet::from([name.to_owned()]);
        let grants = vec![Grant { groups: all(EVERYONE), doors: all(EVERY_DOOR), when: When::Always }];
        RuleBook { grants, ..RuleBook::shut() }
    }

    /// Nobody may pass.
    #[must_use]
    pub fn shut() -> Self {
        RuleBook {
            zone: Zone::utc(),
            holidays: Holidays::default(),
            schedules: BTreeMap::new(),
            groups: BTreeMap::new(),
            doors: BTreeMap::new(),
            grants: Vec::new(),
            pair_window: Duration::from_secs(30),
            factor_window: Duration::from_secs(15),
        }
    }

    /// The rules of a person's groups, that of everybody among them.
    pub(super) fn groups_of<'a>(&'a self, who: &'a Attributes) -> impl Iterator<Item = &'a GroupBook> {
        let named = who.groups.iter().map(String::as_str).filter(|g| *g != EVERYONE);
        named.chain([EVERYONE]).filter_map(|g| self.groups.get(g))
    }

    /// What must be shown beside the face.
    #[must_use]
    pub fn demand(&self, who: &Attributes, door: &str) -> Demand {
        let door = self.doors.get(door).map(|d| d.second_factor).unwrap_or_default();
        self.groups_of(who).fold(door, |all, g| all.and(g.second_factor))
    }

    /// The groups out of each of which somebody else must come, for a person at a door.
    #[must_use]
    pub fn partners<'a>(&'a self, who: &'a Attributes, door: &str) -> BTreeSet<&'a str> {
        let door = self.doors.get(door).and_then(|d| d.two_person.as_deref());
        self.groups_of(who).filter_map(|g| g.two_person.as_deref()).chain(door).collect()
    }

    /// Whether a schedule is open at a time that may be believed; one that does not exist never is.
    #[must_use]
    pub fn is_open(&self, schedule: &str, now: super::Now) -> bool {
        let local = now.is_sound().then(|| self.zone.local(now.unix_ms)).flatten();
        let schedule = self.schedules.get(schedule);
        schedule.zip(local).is_some_and(|(s, l)| s.opening(l, &self.holidays).is_some())
    }
}
