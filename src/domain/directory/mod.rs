//! The directory of a site: what several signers say of people and rules, put together the same way at every door.
//!
//! * *book*: everything that one signer says. Nobody else writes it, so two doors that enrol at once never collide.
//! * *item*: one line of a book: a stamp, and the digest of what is said or that somebody is revoked.
//! * *winner*: of all items of a key the one that counts. [`outranks`] is a total order, so the order in which books arrive
//!   makes no difference.
//!
//! Pure: knows neither keys, sealing, broker nor files.

mod judge;
mod pull;
mod reconcile;
mod refusals;
mod tree;

#[cfg(test)]
mod tests;

pub use judge::{Claim, Here, Judgement, Refusal, judge};
pub use pull::{Ask, Pull};
pub use reconcile::{Base, Plan, Step, reconcile};
pub use refusals::Refusals;
pub use tree::{Parsed, build, items, leaf_of};

use crate::schema::directory::{Digest, Signer, Stamp};
use std::collections::BTreeMap;

/// What an item says of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Revoked,
    /// With the digest of what is said.
    Present(Digest),
}

/// One line of a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    pub stamp: Stamp,
    pub state: State,
}

/// The item that counts, and whose book it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Winner {
    pub item: Item,
    pub book: Signer,
}

/// Whether `a` counts before `b`: the later counter, then a revocation before an enrolment, then the greater signer. Two
/// items with one stamp and different contents cannot come from an honest signer; the greater digest counts then.
#[must_use]
pub fn outranks(a: &Item, b: &Item) -> bool {
    let rank = |i: &Item| match i.state {
        State::Revoked => (i.stamp.counter, 1, i.stamp.signer, Digest([0; 32])),
        State::Present(digest) => (i.stamp.counter, 0, i.stamp.signer, digest),
    };
    rank(a) > rank(b)
}

/// All winners of some books, and of revocations that came before the books that hold them.
pub fn winners<'a>(
    books: impl IntoIterator<Item = (Signer, &'a BTreeMap<String, Item>)>,
    revoked: impl IntoIterator<Item = (Signer, &'a BTreeMap<String, u64>)>,
) -> BTreeMap<String, Winner> {
    let mut all: BTreeMap<String, Winner> = BTreeMap::new();
    let mut offer = |key: &str, w: Winner| match all.get_mut(key) {
        Some(best) if outranks(&w.item, &best.item) => *best = w,
        // One revocation in two books: which book is named must not depend on the order.
        Some(best) if w.item == best.item && w.book > best.book => *best = w,
        Some(_) => {}
        None => {
            all.insert(key.to_owned(), w);
        }
    };
    for (book, items) in books {
        items.iter().for_each(|(key, item)| offer(key, Winner { item: *item, book }));
    }
    for (book, people) in revoked {
        for (key, counter) in people {
            let stamp = Stamp { counter: *counter, signer: book };
            offer(key, Winner { item: Item { stamp, state: State::Revoked }, book });
        }
    }
    all
}
