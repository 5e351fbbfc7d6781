//! One connection, from CONNECT to its loss or to a goodbye.

use super::inward::{Arrivals, Inward, Outgoing};
use super::options::{OFFLINE, ONLINE};
use super::outbox::{Inbox, Replay};
use super::pump::{LogPump, WINDOW};
use super::{Ending, asked_to_end, backoff};
use crate::ports::Stored;
use crate::schema::topics::{self, Topics};
use rumqttc::{
    AsyncClient, ConnAck, ConnectionError, Event, Incoming, MqttOptions, PublishNoticeError, PublishOptions,
    PublishProperties, QoS, SubscribeReasonCode,
};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

/// Live events in flight at most.
const LIVE_WINDOW: usize = 20;
/// Records of a replay in flight at most.
const REPLAY_WINDOW: usize = 20;
/// Answers in flight at most, each on one or two topics.
const ANSWER_WINDOW: usize = 16;
/// Room for everything that may be under way at once: all windows, the states, availability, subscriptions.
const REQUESTS: usize = 160;
/// All terminals of a house see Home Assistant come at the same moment: each waits up to so long before it speaks.
const BIRTH: Duration = Duration::from_secs(5);
/// A goodbye hands out what is left for so long, then waits as long for its own confirmation.
const GOODBYE: Duration = Duration::from_secs(2);
/// Bytes of a PUBLISH beside topic and payload, generously.
const OVERHEAD: usize = 64;

/// How a connection ended.
pub(super) enum Ended {
    /// It was asked for.
    Stopped,
    Lost {
        why: String,
        /// Whether the broker confirmed anything.
        delivered: bool,
    },
}

/// Whose PubAck came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Online,
    Offline,
    State(usize),
    Live,
    Log(u64),
    Replay,
    Answer,
    Picture,
}

/// A retained topic: what was sent last, and whether that is still on its way. While it is, newer texts only replace
/// one another, so a slow broker costs intermediate states and never memory.
#[derive(Debug)]
struct Slot {
    topic: String,
    sent: Option<String>,
    flying: bool,
}

const DISCOVERY: usize = 0;
const LOCK: usize = 1;
const DOOR: usize = 2;
const TAMPER: usize = 3;
const HEALTH: usize = 4;
const PROBLEM: usize = 5;
const LAST_ACCESS: usize = 6;
const HEAD: usize = 7;

/// What outlives a connection.
pub(super) struct Parts<'a> {
    pub(super) topics: &'a Topics,
    pub(super) inward: &'a Inward,
    /// Topic and payload of the discovery.
    pub(super) announcement: Option<&'a (String, String)>,
    pub(super) inbox: &'a mut Inbox,
    pub(super) arrivals: &'a mut Arrivals,
    pub(super) pump: &'a mut LogPump,
}

pub(super) struct Session<'a> {
    client: AsyncClient,
    topics: &'a Topics,
    announcement: Option<&'a (String, String)>,
    inbox: &'a mut Inbox,
    arrivals: &'a mut Arrivals,
    pump: &'a mut LogPump,
    slots: [Slot; 8],
    /// The replay that is running, and what was read ahead for it.
    replay: Option<Replay>,
    replay_ahead: VecDeque<Stored>,
    replay_in_flight: usize,
    answers_in_flight: usize,
    /// Home Assistant came: everything is said anew then.
    birth: Option<Instant>,
    /// [`States::round`](super::outbox::States) of what was published.
    round: u64,
    /// `log/head` was read when the newest record was this one.
    head_of: Option<u64>,
    head: Option<String>,
    acks: JoinSet<(Sent, Result<(), PublishNoticeError>)>,
    live_in_flight: usize,
    /// The longest packet that the broker takes.
    max_packet: usize,
    last_progress: Instant,
    delivered: bool,
    /// The broker has confirmed the goodbye.
    parted: bool,
    /// The client took no more; the next connection begins behind the cursor.
    refused_by_client: Option<String>,
}

impl<'a> Session<'a> {
    /// Connects once and stays until the connection breaks or an end is asked for.
    pub(super) async fn run(options: &MqttOptions, parts: Parts<'a>, ending: &mut watch::Receiver<Ending>) -> Ended {
        let (client, mut eventloop) = match AsyncClient::builder(options.clone()).capacity(REQUESTS).try_build() {
            Ok(pair) => pair,
            Err(e) => return Ended::Lost { why: e.to_string(), delivered: false },
        };
        let Parts { topics, inward, announcement, inbox, arrivals, pump } = parts;
        let (connack_tx, connack) = oneshot::channel::<ConnAck>();
        let (heard_tx, heard) = oneshot::channel::<()>();
        // The event loop is polled inside of one future that lives as long as the connection: dropping a poll half
        // way could tear a packet apart.
        let network = async move {
            let mut connack_tx = Some(connack_tx);
            let mut heard_tx = Some(heard_tx);
            loop {
                match eventloop.poll().await {
                    Ok(Event::Incoming(Incoming::ConnAck(ack))) => {
                        if let Some(tx) = connack_tx.take() {
                            let _gone_with_the_session = tx.send(ack);
                        }
                    }
                    Ok(Event::Incoming(Incoming::Publish(message))) => inward.message(&message),
                    Ok(Event::Incoming(Incoming::SubAck(ack))) => {
                        if ack.return_codes.iter().any(|c| !matches!(c, SubscribeReasonCode::Success(_))) {
                            tracing::warn!(codes = ?ack.return_codes, "the broker refuses a subscription; check its access list");
                        }
                        if let Some(tx) = heard_tx.take() {
                            let _gone_with_the_session = tx.send(());
                        }
                    }
                    Ok(_) => {}
                    Err(e) => return e,
                }
            }
        };
        tokio::pin!(network);
        let connack = tokio::select! {
            biased;
            _ = asked_to_end(ending) => return Ended::Stopped,
            e = &mut network => return Ended::Lost { why: e.to_string(), delivered: false },
            Ok(ack) = connack => ack,
        };
        let max_packet = connack.properties.and_then(|p| p.max_packet_size).unwrap_or(u32::MAX);
        let slot = |leaf| Slot { topic: topics.leaf(leaf), sent: None, flying: false };
        let announced = announcement.map(|(topic, _)| topic.clone()).unwrap_or_default();
        let mut session = Session {
            client,
            topics,
            announcement,
            inbox,
            arrivals,
            pump,
            replay: None,
            replay_ahead: VecDeque::new(),
            replay_in_flight: 0,
            answers_in_flight: 0,
            birth: None,
            slots: [
                Slot { topic: announced, sent: None, flying: false },
                slot(topics::LOCK_STATE),
                slot(topics::DOOR_STATE),
                slot(topics::TAMPER_STATE),
                slot(topics::HEALTH),
                slot(topics::PROBLEM_STATE),
                slot(topics::LAST_ACCESS),
                slot(topics::LOG_HEAD),
            ],
            round: 0,
            head_of: None,
            head: None,
            acks: JoinSet::new(),
            live_in_flight: 0,
            max_packet: usize::try_from(max_packet).unwrap_or(usize::MAX),
            last_progress: Instant::now(),
            delivered: false,
            parted: false,
            refused_by_client: None,
        };
        session.inbox.drop_stale();
        // Asked for over a connection that is gone: whoever asked begins again.
        while session.inbox.replays.try_recv().is_ok() {}
        while session.inbox.pictures.try_recv().is_ok() {}
        let asked = session.subscribe(inward);
        session.publish_states();
        // The broker works packets off in order, so `online` stands behind all states. It also means that commands are
        // heard: whoever sends one upon it would lose it if the subscription came after.
        if !asked {
            session.online();
        }
        session.serve(network, asked.then_some(heard), options.keep_alive(), ending).await
    }

    async fn serve(
        &mut self,
        mut network: std::pin::Pin<&mut impl Future<Output = ConnectionError>>,
        mut heard: Option<oneshot::Receiver<()>>,
        keep_alive: Duration,
        ending: &mut watch::Receiver<Ending>,
    ) -> Ended {
        let patience = keep_alive * 3;
        // `Some` once a goodbye began: until then the journal may still be handed out.
        let mut closing: Option<Instant> = None;
        loop {
            let now = Instant::now();
            self.hand_out(now);
            if let Some(why) = self.refused_by_client.take() {
                return Ended::Lost { why, delivered: self.delivered };
            }
            if closing.is_some_and(|until| now >= until || self.pump.idle(self.inbox.states.borrow().newest)) {
                return self.goodbye(network).await;
            }
            // A broker that answers pings but confirms nothing would hold the window for ever.
            let silent = (!self.acks.is_empty()).then(|| self.last_progress + patience);
            if silent.is_some_and(|t| now >= t) {
                let why = format!("nothing was confirmed for {} s", patience.as_secs());
                return Ended::Lost { why, delivered: self.delivered };
            }
            let wake = [silent, self.pump.next_deadline(), closing, self.birth].into_iter().flatten().min();
            let wake = wake.unwrap_or(now + patience);
            tokio::select! {
                e = &mut network => return Ended::Lost { why: e.to_string(), delivered: self.delivered },
                Some(()) = confirmed(&mut heard), if heard.is_some() => {
                    heard = None;
                    self.online();
                }
                end = asked_to_end(ending), if closing.is_none() => match end {
                    Ending::Goodbye => closing = Some(now + GOODBYE),
                    Ending::Running | Ending::Abandon => return Ended::Stopped,
                },
                Some(done) = self.acks.join_next() => self.settle(done, Instant::now()),
                Ok(()) = self.inbox.states.changed() => {}
                Some(text) = self.inbox.live.recv(), if self.live_in_flight < LIVE_WINDOW => self.publish_live(text),
                Some(out) = self.arrivals.answers.recv(), if self.answers_in_flight < ANSWER_WINDOW => self.answer(out),
                Some(()) = self.arrivals.births.recv(), if self.birth.is_none() => {
                    self.birth = Some(Instant::now() + BIRTH * u32::from(backoff::random_byte()) / 255);
                }
                Some(jpeg) = self.inbox.pictures.recv() => self.picture(jpeg),
                Some(replay) = self.inbox.replays.recv(), if self.replay.is_none() => self.replay = Some(replay),
                () = tokio::time::sleep_until(wake.into()) => {}
            }
        }
    }

    /// Everything that may go now: states first, then what happens at the door, then the journal.
    fn hand_out(&mut self, now: Instant) {
        self.pump.tick(now);
        if self.birth.is_some_and(|t| now >= t) {
            self.birth = None;
            self.say_anew();
        }
        self.publish_states();
        while self.live_in_flight < LIVE_WINDOW {
            let Ok(text) = self.inbox.live.try_recv() else { break };
            self.publish_live(text);
        }
        let newest = self.inbox.states.borrow().newest;
        for _ in 0..WINDOW {
            let Some(record) = self.pump.next(newest, now) else { break };
            if !self.fits(&self.topics.leaf(topics::LOG), &record.text) {
                self.pump.refused(record.seq, "it is longer than the broker's packets may be", now);
                break;
            }
            self.pump.handed(record.seq, now);
            self.publish(topics::LOG, record.text, false, Sent::Log(record.seq));
        }
        self.replay(now);
    }

    /// Records that were asked for, a window at a time, behind those that nobody has seen yet.
    fn replay(&mut self, now: Instant) {
        while let Some(mut replay) = self.replay.filter(|_| self.replay_in_flight < REPLAY_WINDOW) {
            if self.replay_ahead.is_empty() {
                let limit = usize::try_from(replay.left).unwrap_or(usize::MAX);
                let Some(records) = self.pump.read(replay.after, limit, now) else { return };
                self.replay_ahead = records.into();
            }
            let Some(record) = self.replay_ahead.pop_front() else {
                self.replay = None;
                return;
            };
            (replay.after, replay.left) = (record.seq, replay.left - 1);
            self.replay = (replay.left > 0).then_some(replay);
            if self.replay.is_none() {
                self.replay_ahead.clear();
            }
            if self.fits(&self.topics.leaf(topics::LOG_REPLAY), &record.text) {
                self.replay_in_flight += 1;
                self.publish(topics::LOG_REPLAY, record.text, false, Sent::Replay);
            }
        }
    }

    /// Whether the broker was asked for anything, and will confirm that.
    fn subscribe(&mut self, inward: &Inward) -> bool {
        let filters = inward.filters();
        let asked = !filters.is_empty();
        if asked && let Err(e) = self.client.try_subscribe_many(filters) {
            self.refused_by_client = Some(format!("the MQTT client did not take the subscriptions: {e}"));
        }
        asked
    }

    fn online(&mut self) {
        self.publish(topics::AVAILABILITY, ONLINE.to_owned(), true, Sent::Online);
    }

    /// On the response topic where there is one, and on `cmd/result`.
    fn answer(&mut self, out: Outgoing) {
        let text = out.answer.text();
        let options = PublishOptions::new(QoS::AtLeastOnce);
        if let Some((topic, correlation)) = out.respond_to {
            let properties =
                PublishProperties { correlation_data: correlation.map(Into::into), ..PublishProperties::default() };
            self.answers_in_flight += 1;
            self.publish_to(topic, text.clone(), options.clone().properties(properties), Sent::Answer);
        }
        self.answers_in_flight += 1;
        self.publish_to(self.topics.leaf(topics::COMMAND_RESULT), text, options, Sent::Answer);
    }

    /// At quality 1 and not retained: a picture of somebody does not lie at the broker.
    fn picture(&mut self, jpeg: Vec<u8>) {
        let topic = self.topics.leaf(topics::SNAPSHOT);
        if topic.len() + jpeg.len() + OVERHEAD <= self.max_packet {
            self.publish_to(topic, jpeg, PublishOptions::new(QoS::AtLeastOnce), Sent::Picture);
        } else {
            tracing::warn!(topic, bytes = jpeg.len(), "longer than the broker's packets may be; left out");
        }
    }

    fn say_anew(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.sent = None);
    }

    fn publish_live(&mut self, text: String) {
        if self.fits(&self.topics.leaf(topics::EVENT_ACCESS), &text) {
            self.live_in_flight += 1;
            self.publish(topics::EVENT_ACCESS, text, false, Sent::Live);
        }
    }

    fn publish_states(&mut self) {
        let states = self.inbox.states.borrow_and_update().clone();
        if std::mem::replace(&mut self.round, states.round) != states.round {
            self.say_anew();
        }
        if self.head_of.is_none_or(|seq| seq < states.newest) && !self.slots[HEAD].flying {
            self.head = self.pump.head(Instant::now());
            self.head_of = self.head.is_some().then_some(states.newest);
        }
        let head = self.head.clone();
        let word = |on: &str, off: &str, state: Option<bool>| state.map(|s| if s { on } else { off }.to_owned());
        let texts = [
            (DISCOVERY, self.announcement.map(|(_, payload)| payload.clone())),
            (LOCK, states.lock.map(|l| l.word().to_owned())),
            (DOOR, word("OPEN", "CLOSED", states.door_open)),
            (TAMPER, word("ON", "OFF", states.tamper)),
            (HEALTH, states.health),
            (PROBLEM, word("ON", "OFF", states.problem)),
            (LAST_ACCESS, states.last_access),
            (HEAD, head),
        ];
        for (at, text) in texts {
            let slot = &mut self.slots[at];
            let Some(text) = text.filter(|t| !slot.flying && slot.sent.as_ref() != Some(t)) else { continue };
            slot.sent = Some(text.clone());
            let topic = slot.topic.clone();
            if self.fits(&topic, &text) {
                self.slots[at].flying = true;
                self.publish_to(topic, text, PublishOptions::new(QoS::AtLeastOnce).retained(), Sent::State(at));
            } else {
                tracing::warn!(topic, bytes = text.len(), "longer than the broker's packets may be; left out");
            }
        }
    }

    fn fits(&self, topic: &str, text: &str) -> bool {
        topic.len() + text.len() + OVERHEAD <= self.max_packet
    }

    fn publish(&mut self, leaf: &str, text: String, retained: bool, sent: Sent) {
        let options = PublishOptions::new(QoS::AtLeastOnce).retain(retained);
        self.publish_to(self.topics.leaf(leaf), text, options, sent);
    }

    /// Hands a packet to the client, whose queue has room for all windows and all states at once.
    fn publish_to(&mut self, topic: String, text: impl Into<Vec<u8>>, options: PublishOptions, sent: Sent) {
        if self.acks.is_empty() {
            self.last_progress = Instant::now();
        }
        match self.client.try_publish_tracked(topic, text.into(), options) {
            Ok(notice) => {
                self.acks.spawn(async move { (sent, notice.wait_completion_async().await) });
            }
            Err(e) => self.refused_by_client = Some(format!("the MQTT client did not take a message: {e}")),
        }
    }

    fn settle(&mut self, done: Result<(Sent, Result<(), PublishNoticeError>), tokio::task::JoinError>, now: Instant) {
        let Ok((sent, outcome)) = done else { return };
        match sent {
            Sent::State(at) => self.slots[at].flying = false,
            Sent::Live => self.live_in_flight -= 1,
            Sent::Replay => self.replay_in_flight -= 1,
            Sent::Answer => self.answers_in_flight -= 1,
            Sent::Online | Sent::Offline | Sent::Log(_) | Sent::Picture => {}
        }
        match outcome {
            Ok(()) => {
                self.last_progress = now;
                self.delivered = true;
                match sent {
                    Sent::Log(seq) => self.pump.confirmed(seq, now),
                    Sent::Online => self.inbox.counters.connected(),
                    Sent::Offline => self.parted = true,
                    Sent::State(_) | Sent::Live | Sent::Replay | Sent::Answer | Sent::Picture => {}
                }
            }
            Err(PublishNoticeError::V5PubAck(reason)) => {
                self.last_progress = now;
                match sent {
                    Sent::Log(seq) => self.pump.refused(seq, &format!("{reason:?}"), now),
                    _ => {
                        tracing::warn!(?sent, ?reason, "the broker refuses a message; check its access list");
                    }
                }
            }
            // The connection is breaking; its own error says why.
            Err(_) => {}
        }
    }

    /// Says `offline` by itself, since a broker forgets the will of a client that disconnects properly.
    async fn goodbye(&mut self, mut network: std::pin::Pin<&mut impl Future<Output = ConnectionError>>) -> Ended {
        self.publish(topics::AVAILABILITY, OFFLINE.to_owned(), true, Sent::Offline);
        let until = tokio::time::Instant::now() + GOODBYE;
        while !self.parted {
            tokio::select! {
                _ = &mut network => return Ended::Stopped,
                Some(done) = self.acks.join_next() => self.settle(done, Instant::now()),
                // Without a DISCONNECT the broker still publishes the will.
                () = tokio::time::sleep_until(until) => return Ended::Stopped,
            }
        }
        if self.client.try_disconnect_with_timeout(Duration::from_millis(500)).is_ok() {
            let _either_way = tokio::time::timeout(Duration::from_secs(1), network).await;
        }
        Ended::Stopped
    }
}

/// Waits for the broker's answer to the subscriptions.
async fn confirmed(heard: &mut Option<oneshot::Receiver<()>>) -> Option<()> {
    heard.as_mut()?.await.ok()
}
