//! Captures divided into parts for learning, choosing and judging. What belongs together stays together: a network that
//! has seen a person learns the person, and figures on the same person then promise too much.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// What a capture is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Train = 0,
    /// Chooses the epoch and the threshold.
    Validation = 1,
    /// Held back: nothing was chosen by it.
    Test = 2,
}

const PARTS: [Part; 3] = [Part::Train, Part::Validation, Part::Test];

/// One capture, as far as it matters here.
#[derive(Clone, Debug)]
pub(super) struct Item<'a> {
    /// Empty: belongs to nothing.
    pub group: &'a str,
    pub live: bool,
}

/// The part of each item; `shares` are those of validation and test. Groups are taken in an order that the seed gives,
/// those with both live captures and attacks first, and each goes where it brings both counts nearest to the shares.
pub(super) fn split(items: &[Item<'_>], shares: [f64; 2], seed: u64) -> Vec<Part> {
    let mut groups = BTreeMap::<String, Vec<usize>>::new();
    for (i, item) in items.iter().enumerate() {
        // A capture of nobody known is a group of its own.
        let key = if item.group.is_empty() { format!("#{i}") } else { format!("={}", item.group) };
        groups.entry(key).or_default().push(i);
    }
    let both = |members: &[usize]| members.iter().any(|i| items[*i].live) && members.iter().any(|i| !items[*i].live);
    let mut order: Vec<_> = groups.iter().collect();
    order.sort_by_key(|(key, members)| (!both(members), Sha256::digest(format!("{seed} {key}").as_bytes())));
    let count = |members: &[usize]| members.iter().fold([0.0; 2], |c, i| add(c, one(items[*i].live)));
    let total = count(&(0..items.len()).collect::<Vec<_>>());
    let wanted = [1.0 - shares[0] - shares[1], shares[0], shares[1]];
    let mut have = [[0.0; 2]; 3];
    let mut parts = vec![Part::Train; items.len()];
    for (_, members) in order {
        let group = count(members);
        // How far from its share a part is, in shares of each class, squared.
        let off = |p: Part, have: [f64; 2]| -> f64 {
            (0..2).filter(|c| total[*c] > 0.0).map(|c| (have[c] / total[c] - wanted[p as usize]).powi(2)).sum()
        };
        let gain = |p: Part| off(p, have[p as usize]) - off(p, add(have[p as usize], group));
        let best = PARTS.into_iter().max_by(|a, b| gain(*a).total_cmp(&gain(*b))).unwrap_or(Part::Train);
        have[best as usize] = add(have[best as usize], group);
        members.iter().for_each(|i| parts[*i] = best);
    }
    parts
}

fn one(live: bool) -> [f64; 2] {
    if live { [1.0, 0.0] } else { [0.0, 1.0] }
}

fn add(a: [f64; 2], b: [f64; 2]) -> [f64; 2] {
    [a[0] + b[0], a[1] + b[1]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn people(n: usize, each: usize) -> Vec<Item<'static>> {
        const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
        let of = |p: usize| (0..each).map(move |i| Item { group: NAMES[p % 12], live: i % 2 == 0 });
        (0..n).flat_map(of).collect()
    }

    #[test]
    fn ten_people_are_divided_seven_two_one() {
        let items = people(10, 8);
        let parts = split(&items, [0.2, 0.1], 1);
        let count = |p: Part| parts.iter().filter(|q| **q == p).count();
        assert_eq!(PARTS.map(count), [56, 16, 8]);
        assert_eq!(parts, split(&items, [0.2, 0.1], 1), "the same seed, the same parts");
        assert!((2..9).any(|seed| split(&items, [0.2, 0.1], seed) != parts), "the seed is not used");
    }

    #[test]
    fn captures_of_nobody_known_are_divided_one_by_one() {
        let items: Vec<Item> = (0..100).map(|i| Item { group: "", live: i < 50 }).collect();
        let parts = split(&items, [0.2, 0.1], 3);
        let live = |p: Part| parts.iter().zip(&items).filter(|(q, i)| **q == p && i.live).count();
        assert_eq!(PARTS.map(live), [35, 10, 5]);
    }

    proptest! {
        #[test]
        fn property_nobody_is_in_two_parts(n in 1usize..12, each in 1usize..9, seed in 0u64..99) {
            let items = people(n, each);
            let parts = split(&items, [0.2, 0.1], seed);
            for name in items.iter().map(|i| i.group) {
                let of: BTreeSet<_> = items.iter().zip(&parts).filter(|(i, _)| i.group == name).map(|(_, p)| *p as u8).collect();
                prop_assert_eq!(of.len(), 1, "{}", name);
            }
        }
    }
}
