//! Between the directory and this terminal's own people: three versions of everybody (as last agreed on, here, there), and
//! what follows from them.

use super::{State, Winner};
use crate::schema::directory::{Digest, RULES, Stamp};
use std::collections::{BTreeMap, BTreeSet};

/// What this terminal and the directory last agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    pub stamp: Stamp,
    /// `None`: revoked.
    pub digest: Option<Digest>,
}

/// What is to be done about one person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The directory's version is to be stored here.
    Put,
    /// The person is to go from here.
    Remove,
    /// This signer's people changed: the version here goes into its book.
    Enrol,
    /// Somebody was removed here, where removals are signed.
    Revoke,
    /// Both say the same: note it.
    Agree,
}

/// The steps, by person.
pub type Plan = BTreeMap<String, Step>;

/// Compares everybody. `base` is empty after either side was lost or put back from a copy: then the directory is right
/// about everybody whom it knows, and nobody counts as removed here.
///
/// * Unchanged here: the directory's version comes in, and who is revoked or no longer in it goes.
/// * Changed here at a signer, while the directory still says what was agreed on: the change is signed.
/// * Changed here at a terminal that does not sign: the directory's version comes back; who was removed here stays
///   away until the directory says something new; who was only ever enrolled here stays.
/// * Changed on both sides: the directory is right.
#[must_use]
pub fn reconcile(
    winners: &BTreeMap<String, Winner>,
    local: &BTreeMap<String, Digest>,
    base: &dyn Fn(&str) -> Option<Base>,
    signs: bool,
) -> Plan {
    let names: BTreeSet<&String> = winners.keys().chain(local.keys()).filter(|k| *k != RULES).collect();
    let steps = names.into_iter().filter_map(|name| {
        let step = step(winners.get(name), local.get(name).copied(), base(name), signs)?;
        Some((name.clone(), step))
    });
    steps.collect()
}

fn step(there: Option<&Winner>, here: Option<Digest>, base: Option<Base>, signs: bool) -> Option<Step> {
    let agreed = base.and_then(|b| b.digest);
    let Some(there) = there else {
        return match (here, base) {
            // It was the directory's, and is not in it any more.
            (Some(_), Some(_)) => Some(Step::Remove),
            (Some(_), None) => signs.then_some(Step::Enrol),
            (None, _) => None,
        };
    };
    let moved = base.is_none_or(|b| b.stamp != there.item.stamp);
    match there.item.state {
        State::Present(digest) => match here {
            Some(h) if h == digest => moved.then_some(Step::Agree),
            _ if moved => Some(Step::Put),
            None if agreed.is_some() => signs.then_some(Step::Revoke),
            None => Some(Step::Put),
            Some(_) if signs => Some(Step::Enrol),
            Some(_) => Some(Step::Put),
        },
        State::Revoked => match here {
            Some(_) if moved || !signs => Some(Step::Remove),
            Some(_) => Some(Step::Enrol),
            None => moved.then_some(Step::Agree),
        },
    }
}
