//! Fetching a book: a few blobs at a time, each asked for by name, and asked for again when it does not come.
//!
//! A broker holds each blob as a retained message of its own topic and sends it to whoever subscribes to that topic. So a
//! terminal decides itself how much is on its way, and no queue at the broker can run over: with all blobs under one
//! subscription mosquitto's default delivered 1,020 of 5,000 and said nothing (measured).

use super::tree::{DEPTH, Parsed};
use crate::base::time::Tick;
use crate::schema::directory::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Blobs on their way at most. Typically 30 KiB, at worst 128: a second on a link of one megabit.
pub const WINDOW: usize = 8;
/// A blob that has not come by then is asked for again.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// What to do about a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    pub blob: Digest,
    /// 1 at first: subscribe. From 2 on also ask signer and terminals to publish it again.
    pub attempt: u8,
}

/// One book being fetched.
#[derive(Clone, Debug)]
pub struct Pull {
    root: Digest,
    /// Not asked for yet, the next one last, each with its depth.
    wanted: Vec<(Digest, usize)>,
    flying: BTreeMap<Digest, Flight>,
    /// Everything of this book that is here.
    nodes: BTreeMap<Digest, Arc<Parsed>>,
    /// Deeper than a tree may be: never complete.
    broken: bool,
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    depth: usize,
    attempt: u8,
    since: Tick,
}

impl Flight {
    /// Longer with each attempt, up to half a minute.
    fn patience(&self) -> Duration {
        PATIENCE * u32::from(self.attempt.min(15))
    }
}

impl Pull {
    /// Begins at a root. `have` hands out what lies here already, from an older book or an interrupted fetch.
    pub fn begin(root: Digest, have: &mut dyn FnMut(&Digest) -> Option<Arc<Parsed>>) -> Pull {
        let mut pull =
            Pull { root, wanted: Vec::new(), flying: BTreeMap::new(), nodes: BTreeMap::new(), broken: false };
        pull.want(root, 0, have);
        pull
    }

    fn want(&mut self, blob: Digest, depth: usize, have: &mut dyn FnMut(&Digest) -> Option<Arc<Parsed>>) {
        if depth > DEPTH {
            self.broken = true;
            return;
        }
        if self.nodes.contains_key(&blob) || self.flying.contains_key(&blob) {
            return;
        }
        match have(&blob) {
            Some(node) => self.take(blob, depth, node, have),
            None if self.wanted.iter().any(|(d, _)| *d == blob) => {}
            None => self.wanted.push((blob, depth)),
        }
    }

    fn take(
        &mut self,
        blob: Digest,
        depth: usize,
        node: Arc<Parsed>,
        have: &mut dyn FnMut(&Digest) -> Option<Arc<Parsed>>,
    ) {
        self.nodes.insert(blob, node.clone());
        if let Parsed::Index(children) = &*node {
            for child in children.values().rev() {
                self.want(*child, depth + 1, have);
            }
        }
    }

    /// A blob came; false when it was not asked for.
    pub fn arrived(
        &mut self,
        blob: Digest,
        node: &Arc<Parsed>,
        have: &mut dyn FnMut(&Digest) -> Option<Arc<Parsed>>,
    ) -> bool {
        let Some(flight) = self.flying.remove(&blob) else { return false };
        self.take(blob, flight.depth, node.clone(), have);
        true
    }

    /// Whether this blob is on its way.
    #[must_use]
    pub fn awaits(&self, blob: &Digest) -> bool {
        self.flying.contains_key(blob)
    }

    /// What is to be asked for now. Depth first, so that little more than one path waits in memory.
    pub fn asks(&mut self, now: Tick) -> Vec<Ask> {
        let mut out = Vec::new();
        for (blob, flight) in &mut self.flying {
            if now.since(flight.since) >= flight.patience() {
                flight.attempt = flight.attempt.saturating_add(1);
                flight.since = now;
                out.push(Ask { blob: *blob, attempt: flight.attempt });
            }
        }
        while self.flying.len() < WINDOW {
            let Some((blob, depth)) = self.wanted.pop() else { break };
            self.flying.insert(blob, Flight { depth, attempt: 1, since: now });
            out.push(Ask { blob, attempt: 1 });
        }
        out
    }

    /// When [`Pull::asks`] has something to say without anything having arrived.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        self.flying.values().map(|f| f.since + f.patience()).min()
    }

    /// The connection is new: everything is asked for from the beginning.
    pub fn restart(&mut self) {
        for (blob, flight) in std::mem::take(&mut self.flying) {
            self.wanted.push((blob, flight.depth));
        }
    }

    /// What is on its way.
    #[must_use]
    pub fn flying(&self) -> BTreeSet<Digest> {
        self.flying.keys().copied().collect()
    }

    /// Blobs that are known to be missing.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.wanted.len() + self.flying.len()
    }

    /// The whole book, once nothing is missing.
    #[must_use]
    pub fn complete(&self) -> Option<&BTreeMap<Digest, Arc<Parsed>>> {
        (self.missing() == 0 && !self.broken).then_some(&self.nodes)
    }

    /// The root that is fetched.
    #[must_use]
    pub fn root(&self) -> Digest {
        self.root
    }
}
