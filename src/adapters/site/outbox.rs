//! What waits to be sent, in the order of urgency: revocations, what is asked of the broker, answers to other terminals, the
//! blobs of an own book, and its head once the broker has confirmed them all.

use crate::ports::SiteOut;
use crate::schema::directory::Digest;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What was sent and is not confirmed.
#[derive(Debug)]
enum Sent {
    Urgent(String, Vec<u8>),
    Blob(Digest),
    Head,
    Garbage(Digest),
    Answer,
}

/// The queues of one terminal.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub urgent: VecDeque<(String, Vec<u8>)>,
    pub requests: VecDeque<(String, Vec<u8>)>,
    pub answers: VecDeque<(String, Vec<u8>)>,
    /// Standing filters that are to be subscribed to (again).
    pub standing: Vec<String>,
    pub subscribe: Vec<String>,
    pub unsubscribe: Vec<String>,
    /// Own blobs that the broker has not confirmed.
    pub unsent: BTreeSet<Digest>,
    pub head_due: bool,
    /// Own blobs that no book names any more; taken from the broker once the new head stands there.
    pub garbage: BTreeSet<Digest>,
    flying: BTreeMap<u64, Sent>,
    tag: u64,
}

/// What the replica has to look up for [`Outbox::next`].
pub(super) trait Book {
    fn blob(&mut self, digest: &Digest) -> Option<(String, Vec<u8>)>;
    fn head(&mut self) -> Option<(String, Vec<u8>)>;
    fn topic(&self, digest: &Digest) -> String;
    /// Whether the own book may go out: what the broker has of it is known.
    fn may_go(&self) -> bool;
}

impl Outbox {
    /// The connection is gone with everything that was on its way.
    pub(super) fn lost(&mut self) {
        for sent in std::mem::take(&mut self.flying).into_values().rev() {
            match sent {
                Sent::Urgent(topic, payload) => self.urgent.push_front((topic, payload)),
                Sent::Blob(digest) => drop(self.unsent.insert(digest)),
                Sent::Head => self.head_due = true,
                Sent::Garbage(digest) => drop(self.garbage.insert(digest)),
                Sent::Answer => {}
            }
        }
        self.requests.clear();
        self.answers.clear();
        self.subscribe.clear();
        self.unsubscribe.clear();
        self.standing.clear();
    }

    /// Returns whether everything of the own book is at the broker now and was not before.
    pub(super) fn confirmed(&mut self, tag: u64) -> bool {
        matches!(self.flying.remove(&tag), Some(Sent::Head | Sent::Garbage(_))) && self.settled()
    }

    /// Nothing of the own book waits.
    pub(super) fn settled(&self) -> bool {
        self.unsent.is_empty() && !self.head_due && self.garbage.is_empty() && self.flying.is_empty()
    }

    /// The next thing to send.
    pub(super) fn next(&mut self, book: &mut dyn Book) -> Option<SiteOut> {
        if let Some((topic, payload)) = self.urgent.pop_front() {
            let sent = Sent::Urgent(topic.clone(), payload.clone());
            return Some(self.publish(topic, payload, true, sent));
        }
        if !self.standing.is_empty() {
            let filters = std::mem::take(&mut self.standing);
            return Some(SiteOut::Subscribe { filters, confirmed: true });
        }
        if !self.unsubscribe.is_empty() {
            return Some(SiteOut::Unsubscribe(std::mem::take(&mut self.unsubscribe)));
        }
        if !self.subscribe.is_empty() {
            let filters = std::mem::take(&mut self.subscribe);
            return Some(SiteOut::Subscribe { filters, confirmed: false });
        }
        if let Some((topic, payload)) = self.requests.pop_front() {
            return Some(self.publish(topic, payload, false, Sent::Answer));
        }
        if let Some((topic, payload)) = self.answers.pop_front() {
            return Some(self.publish(topic, payload, true, Sent::Answer));
        }
        if !book.may_go() {
            return None;
        }
        while let Some(digest) = self.unsent.pop_first() {
            if let Some((topic, payload)) = book.blob(&digest) {
                return Some(self.publish(topic, payload, true, Sent::Blob(digest)));
            }
        }
        // The head stands behind everything that it names.
        if self.head_due {
            if self.flying.values().any(|s| matches!(s, Sent::Blob(_))) {
                return None;
            }
            self.head_due = false;
            let (topic, payload) = book.head()?;
            return Some(self.publish(topic, payload, true, Sent::Head));
        }
        if self.flying.values().any(|s| matches!(s, Sent::Blob(_) | Sent::Head)) {
            return None;
        }
        let digest = self.garbage.pop_first()?;
        Some(self.publish(book.topic(&digest), Vec::new(), true, Sent::Garbage(digest)))
    }

    fn publish(&mut self, topic: String, payload: Vec<u8>, retained: bool, sent: Sent) -> SiteOut {
        self.tag += 1;
        self.flying.insert(self.tag, sent);
        SiteOut::Publish { topic, payload, retained, tag: self.tag }
    }
}
