//! What holds whatever arrives in whatever order.

use super::pull::WINDOW;
use super::*;
use crate::base::time::Tick;
use crate::schema::directory::{Content, Entry, Node};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use zeroize::Zeroizing;

type Blobs = BTreeMap<Digest, Node>;

/// Builds a tree whose blobs are known by the digest of their plain bytes.
fn tree(entries: Vec<Entry>) -> (Digest, Blobs) {
    let mut blobs = Blobs::new();
    let root = build::<()>(entries, &mut |node| {
        let digest = Digest::of(&node.bytes());
        blobs.insert(digest, node);
        Ok(digest)
    });
    (root.expect("cannot fail"), blobs)
}

fn entry(key: &str, counter: u64, bytes: usize) -> Entry {
    let stamp = Stamp { counter, signer: Signer([1; 32]) };
    Entry { key: key.into(), stamp, content: Content::Present(Zeroizing::new(vec![7; bytes])) }
}

fn people(n: usize) -> Vec<Entry> {
    (0..n).map(|i| entry(&format!("person-{i:05}"), 1, 1400)).collect()
}

fn item(counter: u64, signer: u8, present: Option<u8>) -> Item {
    let state = present.map_or(State::Revoked, |d| State::Present(Digest([d; 32])));
    Item { stamp: Stamp { counter, signer: Signer([signer; 32]) }, state }
}

#[test]
fn later_counts_then_a_revocation_then_the_greater_signer() {
    let order = [item(1, 9, Some(9)), item(2, 1, Some(9)), item(2, 2, Some(1)), item(2, 1, None), item(3, 1, Some(1))];
    for (i, low) in order.iter().enumerate() {
        for high in &order[i + 1..] {
            assert!(outranks(high, low) && !outranks(low, high), "{high:?} over {low:?}");
        }
        assert!(!outranks(low, low));
    }
}

#[test]
fn a_thousand_people_lie_in_many_small_leaves_and_one_more_moves_one_path() {
    let (root, blobs) = tree(people(1000));
    let sizes: Vec<usize> = blobs.values().map(|n| n.bytes().len()).collect();
    assert!(sizes.iter().all(|s| *s <= crate::schema::directory::LEAF_BYTES + 1), "{:?}", sizes.iter().max());
    let mut more = people(1000);
    more.push(entry("somebody-new", 2, 1400));
    let (other, after) = tree(more);
    assert_ne!(root, other);
    let new: usize = after.iter().filter(|(d, _)| !blobs.contains_key(*d)).map(|(_, n)| n.bytes().len()).sum();
    assert!(new < 40 << 10, "{new} bytes moved for one person");
    assert_eq!(tree(people(1000)).0, root, "the same people make the same tree");
}

#[test]
fn a_tree_that_lies_about_its_keys_is_no_book() {
    let (root, blobs) = tree(people(100));
    let mut nodes: BTreeMap<Digest, Arc<Parsed>> = blobs.iter().map(|(d, n)| (*d, Arc::new(Parsed::of(n)))).collect();
    assert_eq!(items(&root, &nodes).expect("whole").len(), 100);
    let leaf = leaf_of("person-00007", &root, &nodes).expect("it is there");
    let elsewhere = nodes.iter().find(|(d, p)| **d != leaf && matches!(&***p, Parsed::Leaf(_)));
    let other = *elsewhere.expect("several leaves").0;
    let swapped = nodes[&leaf].clone();
    nodes.insert(other, swapped);
    assert_eq!(items(&root, &nodes), None, "a leaf in another's place");
    nodes.remove(&leaf);
    assert_eq!(items(&root, &nodes), None, "a leaf is missing");
}

fn base(counter: u64, signer: u8, digest: Option<u8>) -> Base {
    Base { stamp: Stamp { counter, signer: Signer([signer; 32]) }, digest: digest.map(|d| Digest([d; 32])) }
}

/// What it is, directory, here, agreed on, step at a signer, step elsewhere.
type Row = (&'static str, Option<Item>, Option<u8>, Option<Base>, Option<Step>, Option<Step>);

/// One person: directory, here, agreed, and what follows at a signer and at one who follows.
#[test]
fn each_way_in_which_directory_and_people_can_differ_has_its_step() {
    use Step::{Agree, Enrol, Put, Remove, Revoke};
    let present = |counter| Some(item(counter, 1, Some(5)));
    let revoked = |counter| Some(item(counter, 1, None));
    let rows: [Row; 17] = [
        ("new in the directory", present(1), None, None, Some(Put), Some(Put)),
        ("known alike", present(1), Some(5), Some(base(1, 1, Some(5))), None, None),
        ("alike, not noted", present(1), Some(5), None, Some(Agree), Some(Agree)),
        ("newer in the directory", present(2), Some(4), Some(base(1, 1, Some(4))), Some(Put), Some(Put)),
        ("changed here", present(1), Some(6), Some(base(1, 1, Some(5))), Some(Enrol), Some(Put)),
        ("changed on both sides", present(2), Some(6), Some(base(1, 1, Some(4))), Some(Put), Some(Put)),
        ("removed here", present(1), None, Some(base(1, 1, Some(5))), Some(Revoke), None),
        ("removed here, renewed there", present(2), None, Some(base(1, 1, Some(4))), Some(Put), Some(Put)),
        ("enrolled here under a name of the site", present(1), Some(6), None, Some(Put), Some(Put)),
        ("revoked", revoked(2), Some(5), Some(base(1, 1, Some(5))), Some(Remove), Some(Remove)),
        ("revoked, changed here", revoked(2), Some(6), Some(base(1, 1, Some(5))), Some(Remove), Some(Remove)),
        ("revoked, gone already", revoked(2), None, Some(base(1, 1, Some(5))), Some(Agree), Some(Agree)),
        ("revoked and noted", revoked(2), None, Some(base(2, 1, None)), None, None),
        ("enrolled again after it", revoked(2), Some(6), Some(base(2, 1, None)), Some(Enrol), Some(Remove)),
        ("a copy put back after a revocation", revoked(2), Some(6), None, Some(Remove), Some(Remove)),
        ("only here", None, Some(6), None, Some(Enrol), None),
        ("no longer in the directory", None, Some(5), Some(base(1, 1, Some(5))), Some(Remove), Some(Remove)),
    ];
    for (what, there, here, base, signer, follower) in rows {
        let book = Signer([1; 32]);
        let there = there.map(|item| ("ada".to_owned(), Winner { item, book })).into_iter().collect();
        let here: BTreeMap<_, _> = here.map(|d| ("ada".to_owned(), Digest([d; 32]))).into_iter().collect();
        for (signs, want) in [(true, signer), (false, follower)] {
            let plan = reconcile(&there, &here, &|_| base, signs);
            assert_eq!(plan.get("ada").copied(), want, "{what}, signs: {signs}");
        }
    }
}

#[test]
fn the_rules_are_nobody() {
    let there = BTreeMap::from([(RULES_KEY.to_owned(), Winner { item: item(1, 1, Some(1)), book: Signer([1; 32]) })]);
    assert!(reconcile(&there, &BTreeMap::new(), &|_| None, true).is_empty());
}

const RULES_KEY: &str = crate::schema::directory::RULES;

fn any_item() -> impl Strategy<Value = Item> {
    (0_u64..4, 0_u8..3, prop::option::of(0_u8..3)).prop_map(|(c, s, d)| item(c, s, d))
}

fn any_books() -> impl Strategy<Value = Vec<(u8, BTreeMap<String, Item>)>> {
    let book = prop::collection::btree_map("[a-d]", any_item(), 0..5);
    prop::collection::vec((0_u8..6, book), 0..6)
}

proptest! {
    /// Books in any order, some twice: the same people count.
    #[test]
    fn winners_do_not_depend_on_the_order_of_books(books in any_books(), turn in any::<prop::sample::Index>()) {
        let all = |books: &[(u8, BTreeMap<String, Item>)]| {
            winners(books.iter().map(|(s, b)| (Signer([*s; 32]), b)), [])
        };
        let mut turned = books.clone();
        if !turned.is_empty() {
            let at = turn.index(turned.len());
            turned.rotate_left(at);
            turned.push(turned[0].clone());
        }
        prop_assert_eq!(all(&books), all(&turned));
        turned.reverse();
        prop_assert_eq!(all(&books), all(&turned));
    }

    /// A book is fetched whole although blobs are lost and come late and out of order, a few at a time.
    #[test]
    fn a_book_is_whole_in_the_end_whatever_is_lost(
        n in 1_usize..300,
        have in any::<u8>(),
        fates in prop::collection::vec(0_u8..10, 1..500),
    ) {
        let (root, blobs) = tree(people(n));
        let parsed = |d: &Digest| blobs.get(d).map(|n| Arc::new(Parsed::of(n)));
        // Some lie here already, as after an interrupted fetch.
        let mut shelf = |d: &Digest| (d.0[0] < have).then(|| parsed(d)).flatten();
        let mut pull = Pull::begin(root, &mut shelf);
        let (mut now, mut late, mut fates) = (Tick::ZERO, Vec::new(), fates.into_iter().cycle());
        let (mut rounds, mut lost) = (0, 0);
        while pull.complete().is_none() {
            rounds += 1;
            prop_assert!(rounds < 20_000, "never whole");
            for ask in pull.asks(now) {
                lost += 1;
                match fates.next().expect("endless") {
                    // At most two in a row, so that what is repeated comes at last.
                    0..=2 if lost % 3 != 0 => {}
                    3..=4 => late.push(ask.blob),
                    _ => drop(pull.arrived(ask.blob, &parsed(&ask.blob).expect("exists"), &mut shelf)),
                }
                prop_assert!(pull.flying().len() <= WINDOW);
            }
            if fates.next() == Some(9) {
                pull.restart();
            }
            if let Some(blob) = late.pop() {
                pull.arrived(blob, &parsed(&blob).expect("exists"), &mut shelf);
            }
            now = pull.next_deadline().map_or(now, |t| t.max(now));
        }
        let nodes = pull.complete().expect("whole");
        let names: BTreeSet<String> = items(&root, nodes).expect("sound").into_keys().collect();
        prop_assert_eq!(names, people(n).into_iter().map(|e| e.key).collect::<BTreeSet<_>>());
        prop_assert_eq!(nodes.len(), blobs.len());
    }
}
