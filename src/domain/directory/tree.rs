//! A book as a tree: keys are spread by their SHA-256, so one person more changes one leaf and the few nodes above it.

use super::{Item, State};
use crate::schema::directory::{Content, Digest, Entry, LEAF_BYTES, Node};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Deepest node: 16 to the power of eight leaves are more than there are people.
pub const DEPTH: usize = 8;

/// What a terminal keeps in memory of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    Index(BTreeMap<u8, Digest>),
    Leaf(Vec<(String, Item)>),
}

impl Parsed {
    /// Of a node what is kept.
    #[must_use]
    pub fn of(node: &Node) -> Parsed {
        match node {
            Node::Index(children) => Parsed::Index(children.clone()),
            Node::Leaf(entries) => {
                let item = |e: &Entry| {
                    let state = match &e.content {
                        Content::Revoked => State::Revoked,
                        Content::Present(bytes) => State::Present(Digest::of(bytes)),
                    };
                    (e.key.clone(), Item { stamp: e.stamp, state })
                };
                Parsed::Leaf(entries.iter().map(item).collect())
            }
        }
    }
}

/// Builds the tree of some entries, leaves first; `seal` takes each node and returns the digest that it is known by. The
/// same entries make the same nodes.
pub fn build<E>(entries: Vec<Entry>, seal: &mut dyn FnMut(Node) -> Result<Digest, E>) -> Result<Digest, E> {
    let mut hashed: Vec<(Digest, Entry)> = entries.into_iter().map(|e| (Digest::of(e.key.as_bytes()), e)).collect();
    hashed.sort_by(|a, b| a.1.key.cmp(&b.1.key));
    node(hashed, 0, seal)
}

fn node<E>(
    entries: Vec<(Digest, Entry)>,
    depth: usize,
    seal: &mut dyn FnMut(Node) -> Result<Digest, E>,
) -> Result<Digest, E> {
    let bytes: usize = entries.iter().map(|(_, e)| e.size()).sum();
    if bytes <= LEAF_BYTES || entries.len() < 2 || depth == DEPTH {
        return seal(Node::Leaf(entries.into_iter().map(|(_, e)| e).collect()));
    }
    let mut split: BTreeMap<u8, Vec<(Digest, Entry)>> = BTreeMap::new();
    for (hash, entry) in entries {
        let slot = u8::try_from(hash.nibble(depth)).unwrap_or(0);
        split.entry(slot).or_default().push((hash, entry));
    }
    let mut children = BTreeMap::new();
    for (slot, entries) in split {
        children.insert(slot, node(entries, depth + 1, seal)?);
    }
    seal(Node::Index(children))
}

/// All items under a root; `None` when a node is missing, deeper than a tree may be, or holds a key that does not belong
/// there. A key in two places is one that does not belong.
#[must_use]
pub fn items(root: &Digest, nodes: &BTreeMap<Digest, Arc<Parsed>>) -> Option<BTreeMap<String, Item>> {
    let mut all = BTreeMap::new();
    let mut path = Vec::new();
    collect(root, nodes, &mut path, &mut all).then_some(all)
}

fn collect(
    at: &Digest,
    nodes: &BTreeMap<Digest, Arc<Parsed>>,
    path: &mut Vec<usize>,
    all: &mut BTreeMap<String, Item>,
) -> bool {
    if path.len() > DEPTH {
        return false;
    }
    match nodes.get(at).map(|p| &**p) {
        None => false,
        Some(Parsed::Index(children)) => children.iter().all(|(slot, child)| {
            path.push(usize::from(*slot));
            let whole = collect(child, nodes, path, all);
            path.pop();
            whole
        }),
        Some(Parsed::Leaf(items)) => items.iter().all(|(key, item)| {
            let hash = Digest::of(key.as_bytes());
            let belongs = path.iter().enumerate().all(|(depth, slot)| hash.nibble(depth) == *slot);
            belongs && all.insert(key.clone(), *item).is_none()
        }),
    }
}

/// The leaf in which a key stands.
#[must_use]
pub fn leaf_of(key: &str, root: &Digest, nodes: &BTreeMap<Digest, Arc<Parsed>>) -> Option<Digest> {
    let hash = Digest::of(key.as_bytes());
    let mut at = *root;
    for depth in 0..=DEPTH {
        match nodes.get(&at).map(|p| &**p)? {
            Parsed::Leaf(_) => return Some(at),
            Parsed::Index(children) => at = *children.get(&u8::try_from(hash.nibble(depth)).ok()?)?,
        }
    }
    None
}
