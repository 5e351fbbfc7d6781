//! Who may pass which door when, as a pure function of data that is handed in.
//!
//! * *attributes*: what is known of a person beside the face: groups, validity, whether there is a PIN or a card.
//! * *book*: the site's rules: groups, doors, schedules, holidays, grants. A grant says who may pass at all; every
//!   other rule only takes away.
//! * *case*: one person at one door at one moment with what was shown; [`RuleBook::decide`] answers it.
//! * *trust*: whether the calendar may be believed. One that may not closes every schedule.
//!
//! What must be remembered between visits is here too, each in a small machine of its own: failures ([`Lockout`]), entries
//! ([`Presence`]), who waits for a second person ([`Pairs`]), whether the office hours have begun ([`OfficeHours`]).

mod book;
mod calendar;
mod clock;
mod decide;
mod hours;
mod lockout;
mod pair;
mod person;
mod presence;
#[cfg(test)]
mod tests;

pub use book::{AntiPassback, Demand, DoorBook, EVERY_DOOR, EVERYONE, Grant, GroupBook, HoldOpen, RuleBook, When};
pub use calendar::{Holidays, Minute, OnHoliday, Schedule, Span, Zone};
pub use clock::{ClockWatch, Now, Trust};
pub use decide::{Case, Evidence, Refusal};
pub use hours::OfficeHours;
pub use lockout::{Lockout, Lockouts, Pause};
pub use pair::{Companion, Pairs};
pub use person::{Attributes, PinVerifier};
pub use presence::Presence;
