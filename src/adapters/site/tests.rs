//! Replicas at a broker that forgets, loses and repeats.

use super::*;
use crate::base::time::Tick;
use crate::domain::directory::{Refusal, State};
use crate::ports::{Shelf, SiteOut};
use crate::schema::directory::{Head, Signer, SiteTopic, SiteTopics};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use zeroize::Zeroizing;

fn secret(n: u8) -> SiteKey {
    Zeroizing::new([n; 32])
}

fn public(n: u8) -> Signer {
    public_of(&secret(n)).expect("a key")
}

const SIGNERS: [u8; 3] = [1, 2, 3];

fn settings(device: &str) -> Settings {
    let signers = SIGNERS.iter().map(|n| (public(*n), format!("s{n}"))).collect();
    Settings { base: "cardea".into(), site: "works".into(), device: device.into(), signers }
}

fn replica_on(device: &str, signer: Option<u8>, shelf: MemoryShelf) -> Replica {
    let keys = Keys::new("works", &secret(9), signer.map(secret).as_ref()).expect("keys");
    Replica::open(settings(device), keys, Box::new(shelf)).expect("opens")
}

fn replica(device: &str, signer: Option<u8>) -> Replica {
    replica_on(device, signer, MemoryShelf::default())
}

/// A broker with retained messages: `lose` says of each delivery whether it is lost.
struct Broker<'a> {
    retained: BTreeMap<String, Vec<u8>>,
    subscribed: Vec<BTreeSet<String>>,
    now: Tick,
    lose: Box<dyn FnMut() -> bool + 'a>,
    /// Which replicas have a connection.
    up: Vec<bool>,
}

fn fits(filter: &str, topic: &str) -> bool {
    filter == topic
        || filter.strip_suffix('+').is_some_and(|f| topic.strip_prefix(f).is_some_and(|rest| !rest.contains('/')))
}

impl<'a> Broker<'a> {
    fn new(n: usize, lose: impl FnMut() -> bool + 'a) -> Self {
        let subscribed = vec![BTreeSet::new(); n];
        Broker { retained: BTreeMap::new(), subscribed, now: Tick::ZERO, lose: Box::new(lose), up: vec![false; n] }
    }

    fn connect(&mut self, at: usize, all: &mut [Replica]) {
        self.up[at] = true;
        self.subscribed[at].clear();
        all[at].connected(self.now);
    }

    fn disconnect(&mut self, at: usize, all: &mut [Replica]) {
        self.up[at] = false;
        all[at].lost();
    }

    fn deliver(&mut self, topic: &str, payload: &[u8], all: &mut [Replica]) {
        for (i, replica) in all.iter_mut().enumerate() {
            if self.up[i] && self.subscribed[i].iter().any(|f| fits(f, topic)) && !(self.lose)() {
                replica.message(self.now, topic, payload);
            }
        }
    }

    fn act(&mut self, at: usize, out: SiteOut, all: &mut [Replica]) {
        match out {
            SiteOut::Subscribe { filters, .. } => {
                for filter in filters {
                    let found: Vec<_> = self
                        .retained
                        .iter()
                        .filter(|(t, _)| fits(&filter, t))
                        .map(|(t, p)| (t.clone(), p.clone()))
                        .collect();
                    self.subscribed[at].insert(filter);
                    for (topic, payload) in found {
                        if !(self.lose)() {
                            all[at].message(self.now, &topic, &payload);
                        }
                    }
                }
            }
            SiteOut::Unsubscribe(filters) => self.subscribed[at].retain(|f| !filters.contains(f)),
            SiteOut::Publish { topic, payload, retained, tag } => {
                if retained && payload.is_empty() {
                    self.retained.remove(&topic);
                } else if retained {
                    self.retained.insert(topic.clone(), payload.clone());
                }
                self.deliver(&topic, &payload, all);
                all[at].confirmed(tag);
            }
        }
    }

    /// Everybody does what is due, for so long.
    fn run(&mut self, time: Duration, all: &mut [Replica]) {
        let end = self.now + time;
        while self.now < end {
            for i in 0..all.len() {
                all[i].tick(self.now);
                while self.up[i]
                    && let Some(out) = all[i].next_out()
                {
                    self.act(i, out, all);
                }
            }
            self.now = self.now + Duration::from_millis(500);
        }
    }
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn present(n: u8, bytes: usize) -> Change {
    Change::Present(Zeroizing::new(vec![n; bytes]))
}

fn enrol(r: &mut Replica, name: &str, n: u8) {
    let taken = r.publish(BTreeMap::from([(name.to_owned(), present(n, 1400))])).expect("writes");
    assert!(taken, "it may sign");
}

fn known(r: &mut Replica) -> BTreeMap<String, Option<Vec<u8>>> {
    let winners = r.winners().clone();
    winners.iter().map(|(k, w)| (k.clone(), r.content(k, w).map(|b| b.to_vec()))).collect()
}

fn refused(r: &mut Replica) -> Vec<Refusal> {
    let cause = |n: News| match n {
        News::Refused { cause, .. } => Some(cause),
        _ => None,
    };
    r.news().into_iter().filter_map(cause).collect()
}

#[test]
fn who_is_enrolled_at_one_door_is_known_at_all_and_a_revocation_comes_before_the_book() {
    let mut all = [replica("a", Some(1)), replica("b", None), replica("c", None)];
    let mut broker = Broker::new(3, || false);
    broker.connect(0, &mut all);
    broker.connect(1, &mut all);
    broker.run(seconds(4), &mut all);
    let many = (0..300).map(|i| (format!("p{i:03}"), present(i as u8, 1400))).collect();
    assert!(all[0].publish(many).expect("writes"));
    broker.run(seconds(60), &mut all);
    assert_eq!(known(&mut all[1]), known(&mut all[0]));
    // A door that was away catches up.
    broker.connect(2, &mut all);
    broker.run(seconds(60), &mut all);
    assert_eq!(known(&mut all[2]).len(), 300);

    all[1].news();
    let blobs =
        |b: &Broker<'_>| -> BTreeSet<String> { b.retained.keys().filter(|t| t.contains("/blob/")).cloned().collect() };
    let before = blobs(&broker);
    assert!(all[0].publish(BTreeMap::from([("p007".to_owned(), Change::Revoked)])).expect("writes"));
    // The very first thing that leaves the signer is the revocation.
    let out = all[0].next_out().expect("something to send");
    let topics = SiteTopics::new("cardea", "works");
    match &out {
        SiteOut::Publish { topic, .. } => assert_eq!(topics.parse(topic), Some(SiteTopic::Revoked(public(1)))),
        other => panic!("{other:?}"),
    }
    broker.act(0, out, &mut all);
    let news = all[1].news();
    let told = News::Revoked { people: vec!["p007".into()], by: "s1".into() };
    assert!(news.contains(&told), "{news:?}");
    assert_eq!(all[1].winners()["p007"].item.state, State::Revoked, "although the book has not come");
    broker.run(seconds(60), &mut all);
    assert_eq!(known(&mut all[2])["p007"], None);
    let after = blobs(&broker);
    assert_eq!(after.len(), before.len(), "old parts are taken from the broker");
    assert!((1..8).contains(&after.difference(&before).count()), "one path has moved");
}

#[test]
fn forged_rolled_back_foreign_and_unknown_messages_change_nothing_and_are_told() {
    let mut all = [replica("a", Some(1)), replica("b", None)];
    let mut broker = Broker::new(2, || false);
    broker.connect(0, &mut all);
    broker.connect(1, &mut all);
    broker.run(seconds(4), &mut all);
    let topics = SiteTopics::new("cardea", "works");
    let head_topic = topics.of(SiteTopic::Head(public(1)));
    enrol(&mut all[0], "ada", 1);
    broker.run(seconds(5), &mut all);
    let old = broker.retained[&head_topic].clone();
    enrol(&mut all[0], "bob", 2);
    broker.run(seconds(5), &mut all);
    let (new, before) = (broker.retained[&head_topic].clone(), known(&mut all[1]));
    all[1].news();
    let mut edited: Head = serde_json::from_slice(&new).expect("a head");
    edited.version += 1;
    let forged = serde_json::to_vec(&edited).expect("text");
    let elsewhere = Keys::new("other", &secret(9), Some(&secret(1))).expect("keys");
    edited.site = "other".into();
    edited.sig = elsewhere.sign(&edited.signed_text());
    let foreign = serde_json::to_vec(&edited).expect("text");
    let stranger = Keys::new("works", &secret(9), Some(&secret(7))).expect("keys");
    edited.site = "works".into();
    edited.signer = public(7);
    edited.sig = stranger.sign(&edited.signed_text());
    let unknown = serde_json::to_vec(&edited).expect("text");
    let revoked = topics.of(SiteTopic::Revoked(public(1)));
    let blob = topics.of(SiteTopic::Blob(crate::schema::directory::Digest([0; 32])));
    let now = broker.now;
    for (topic, payload, want) in [
        (&head_topic, &forged, Some(Refusal::Forged)),
        (&head_topic, &old, Some(Refusal::RolledBack)),
        (&head_topic, &foreign, Some(Refusal::Foreign)),
        (&head_topic, &unknown, Some(Refusal::UnknownSigner)),
        (&topics.of(SiteTopic::Head(public(2))), &new, Some(Refusal::Forged)),
        (&head_topic, &b"{}".to_vec(), Some(Refusal::Malformed)),
        (&revoked, &b"[]".to_vec(), Some(Refusal::Malformed)),
        (&head_topic, &vec![b'x'; 1 << 20], Some(Refusal::TooLarge)),
        (&head_topic, &new, None),
        (&head_topic, &vec![], None),
        (&blob, &b"unasked".to_vec(), None),
    ] {
        all[1].message(now, topic, payload);
        assert_eq!(refused(&mut all[1]), want.into_iter().collect::<Vec<_>>(), "{topic}");
        assert_eq!(known(&mut all[1]), before);
    }
}

#[test]
fn two_who_sign_with_one_key_are_told_and_a_blob_that_is_not_its_digest_is_refused() {
    let mut all = [replica("a", Some(1)), replica("b", None), replica("twin", Some(1))];
    let mut broker = Broker::new(3, || false);
    broker.connect(0, &mut all);
    broker.connect(1, &mut all);
    broker.run(seconds(4), &mut all);
    enrol(&mut all[0], "ada", 1);
    broker.run(seconds(5), &mut all);
    // The twin starts from nothing at another broker and signs the same version.
    let mut other = Broker::new(3, || false);
    other.connect(2, &mut all);
    other.run(seconds(4), &mut all);
    enrol(&mut all[2], "eve", 1);
    other.run(seconds(4), &mut all);
    let topic = SiteTopics::new("cardea", "works").of(SiteTopic::Head(public(1)));
    all[1].news();
    all[1].message(broker.now, &topic, &other.retained[&topic]);
    assert_eq!(refused(&mut all[1]), [Refusal::Forked]);
    assert!(!all[1].winners().contains_key("eve"));

    enrol(&mut all[0], "bob", 2);
    let mut broken = Broker::new(2, || false);
    broken.retained = broker.retained.clone();
    let mut fresh = [all.into_iter().next().expect("the first"), replica("fresh", None)];
    broken.connect(0, &mut fresh);
    broken.run(seconds(10), &mut fresh);
    for (t, p) in &mut broken.retained {
        if t.contains("/blob/") {
            p[30] ^= 1;
        }
    }
    broken.disconnect(0, &mut fresh);
    broken.connect(1, &mut fresh);
    broken.run(seconds(10), &mut fresh);
    assert!(refused(&mut fresh[1]).contains(&Refusal::Forged));
    assert!(fresh[1].winners().is_empty());
}

#[test]
fn what_a_broker_has_forgotten_is_put_back_by_the_signer_or_by_another_door() {
    for signer_is_there in [true, false] {
        let mut all = [replica("a", Some(1)), replica("b", None), replica("c", None)];
        let mut broker = Broker::new(3, || false);
        broker.connect(0, &mut all);
        broker.connect(1, &mut all);
        broker.run(seconds(4), &mut all);
        enrol(&mut all[0], "ada", 1);
        broker.run(seconds(10), &mut all);
        assert_eq!(all[1].winners().len(), 1);
        if !signer_is_there {
            broker.disconnect(0, &mut all);
        }
        // All blobs are gone; the head is still there.
        broker.retained.retain(|t, _| !t.contains("/blob/"));
        broker.connect(2, &mut all);
        broker.run(seconds(90), &mut all);
        assert_eq!(known(&mut all[2]), known(&mut all[1]), "signer there: {signer_is_there}");
        assert_eq!(all[2].winners().len(), 1);
    }
}

#[test]
fn a_signer_that_was_put_back_from_a_copy_takes_its_own_book_from_the_broker_before_it_signs() {
    let mut all = [replica("a", Some(1)), replica("b", None), replica("a", Some(1))];
    let mut broker = Broker::new(3, || false);
    broker.connect(0, &mut all);
    broker.connect(1, &mut all);
    broker.run(seconds(4), &mut all);
    enrol(&mut all[0], "ada", 1);
    broker.run(seconds(10), &mut all);
    broker.disconnect(0, &mut all);
    // The same key on an empty shelf.
    assert!(!all[2].may_publish());
    broker.connect(2, &mut all);
    broker.run(seconds(10), &mut all);
    enrol(&mut all[2], "bob", 2);
    broker.run(seconds(10), &mut all);
    assert_eq!(known(&mut all[1]).keys().collect::<Vec<_>>(), ["ada", "bob"]);
    assert_eq!(refused(&mut all[1]), []);
}

#[test]
fn a_revocation_outlives_the_trust_in_who_said_it_and_a_restart() {
    let mut all = [replica("a", Some(1)), replica("b", Some(2))];
    let mut broker = Broker::new(2, || false);
    broker.connect(0, &mut all);
    broker.connect(1, &mut all);
    broker.run(seconds(4), &mut all);
    enrol(&mut all[1], "ada", 1);
    broker.run(seconds(5), &mut all);
    assert!(all[0].publish(BTreeMap::from([("ada".to_owned(), Change::Revoked)])).expect("writes"));
    broker.run(seconds(5), &mut all);
    assert_eq!(all[1].winners()["ada"].item.state, State::Revoked);
    // With its next version the other signer takes it over.
    enrol(&mut all[1], "bob", 1);
    broker.run(seconds(5), &mut all);
    let mut alone = settings("c");
    alone.signers.remove(&public(1));
    let keys = Keys::new("works", &secret(9), None).expect("keys");
    let mut all = [Replica::open(alone, keys, Box::new(MemoryShelf::default())).expect("opens")];
    let mut later = Broker::new(1, || false);
    later.retained = broker.retained.clone();
    later.connect(0, &mut all);
    later.run(seconds(10), &mut all);
    assert_eq!(all[0].winners()["ada"].item.state, State::Revoked);
    assert!(matches!(all[0].winners()["bob"].item.state, State::Present(_)));
}

#[test]
fn a_shelf_of_another_site_and_a_key_that_is_not_trusted_do_not_open() {
    let mut shelf = MemoryShelf::default();
    shelf.put(&[], &[("site", Some("other"))]).expect("writes");
    let keys = Keys::new("works", &secret(9), None).expect("keys");
    let e = Replica::open(settings("a"), keys, Box::new(shelf)).err().expect("refused").to_string();
    assert!(e.contains("other"), "{e}");
    let keys = Keys::new("works", &secret(9), Some(&secret(8))).expect("keys");
    let e = Replica::open(settings("a"), keys, Box::new(MemoryShelf::default())).err().expect("refused").to_string();
    assert!(e.contains("site.signers") && e.contains(&public(8).to_string()), "{e}");
}

#[derive(Clone, Debug)]
enum Act {
    Enrol(usize, u8, u8),
    Revoke(usize, u8),
    Down(usize),
    Up(usize),
    /// The broker forgets everything that is retained.
    Forget,
    Wait(u8),
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0_usize..3, 0_u8..6, any::<u8>()).prop_map(|(s, p, v)| Act::Enrol(s, p, v)),
        2 => (0_usize..3, 0_u8..6).prop_map(|(s, p)| Act::Revoke(s, p)),
        1 => (0_usize..5).prop_map(Act::Down),
        2 => (0_usize..5).prop_map(Act::Up),
        1 => Just(Act::Forget),
        3 => (1_u8..20).prop_map(Act::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    /// Three signers and two doors, deliveries lost at random, doors away, a broker that forgets: once all are there and
    /// time has passed they know the same people, and whoever was revoked last is gone everywhere.
    #[test]
    fn all_doors_agree_in_the_end(
        acts in prop::collection::vec(any_act(), 1..25),
        losses in prop::collection::vec(0_u8..10, 1..200),
    ) {
        let mut all: Vec<Replica> = vec![
            replica("a", Some(1)), replica("b", Some(2)), replica("c", Some(3)), replica("d", None), replica("e", None),
        ];
        let mut fates = losses.into_iter().cycle();
        let mut n = 0;
        // At most two in a row, so that what is repeated comes at last.
        let mut broker = Broker::new(5, move || {
            n += 1;
            fates.next() < Some(2) && n % 3 != 0
        });
        (0..5).for_each(|i| broker.connect(i, &mut all));
        broker.run(seconds(4), &mut all);
        for act in acts {
            match act {
                Act::Enrol(s, p, v) => {
                    all[s].publish(BTreeMap::from([(format!("p{p}"), present(v, 9000))])).expect("writes");
                }
                Act::Revoke(s, p) => {
                    all[s].publish(BTreeMap::from([(format!("p{p}"), Change::Revoked)])).expect("writes");
                }
                Act::Down(i) => broker.disconnect(i, &mut all),
                Act::Up(i) => broker.connect(i, &mut all),
                Act::Forget => broker.retained.clear(),
                Act::Wait(n) => broker.run(seconds(u64::from(n)), &mut all),
            }
        }
        (0..5).for_each(|i| broker.connect(i, &mut all));
        // Not a time that is waited for: how long it may take until everybody has asked again for what was lost.
        for _ in 0..40 {
            broker.run(seconds(60), &mut all);
            let first = known(&mut all[0]);
            if (1..5).all(|i| known(&mut all[i]) == first) {
                break;
            }
        }
        let first = known(&mut all[0]);
        for (i, door) in all.iter_mut().enumerate().skip(1) {
            prop_assert_eq!(&known(door), &first, "door {}", i);
            for cause in refused(door) {
                prop_assert_eq!(cause, Refusal::RolledBack, "only a broker's old word is refused");
            }
        }
    }
}
