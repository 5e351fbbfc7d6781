//! What comes from the broker: commands, and Home Assistant's word that it is there.
//!
//! Each message is handed to the [`CommandDesk`] as soon as it is read, which takes microseconds and never waits. Only
//! answers are queued, and of those the gatekeeper allows few.

use crate::domain::command::Offer;
use crate::ports::CommandDesk;
use crate::schema::command::{Answer, Via};
use crate::schema::discovery::birth_topic;
use crate::schema::topics::{self, Topics};
use rumqttc::{Publish, QoS, RetainForwardRule, SubscribeFilter};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// Answers that wait for the connection.
const ANSWERS: usize = 32;
/// Longest response topic and correlation data that an answer repeats.
const MAX_ECHO: usize = 256;

/// An answer on its way out.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) answer: Answer,
    /// Where the sender wants it, beside `cmd/result`.
    pub(super) respond_to: Option<(String, Option<Vec<u8>>)>,
}

/// What is subscribed to, and who is asked.
pub(super) struct Inward {
    desk: Option<Arc<dyn CommandDesk>>,
    commands: String,
    lock_set: Option<String>,
    birth: Option<String>,
    /// Own topics: an answer is never sent there, whatever the sender asks for.
    base: String,
    prefix: String,
    answers: mpsc::Sender<Outgoing>,
    births: mpsc::Sender<()>,
    pub(super) received: AtomicU64,
    pub(super) answers_dropped: Arc<AtomicU64>,
}

/// The session's end.
#[derive(Debug)]
pub(super) struct Arrivals {
    pub(super) answers: mpsc::Receiver<Outgoing>,
    pub(super) births: mpsc::Receiver<()>,
}

/// What of it is wanted.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) commands: bool,
    pub(super) lock_set: bool,
    pub(super) discovery: bool,
    pub(super) base: String,
    pub(super) prefix: String,
}

impl Inward {
    pub(super) fn new(topics: &Topics, wanted: Wanted) -> (Inward, Arrivals) {
        let (answers_tx, answers) = mpsc::channel(ANSWERS);
        let (births_tx, births) = mpsc::channel(1);
        let inward = Inward {
            desk: None,
            commands: if wanted.commands { topics.leaf(topics::COMMANDS) } else { String::new() },
            lock_set: wanted.lock_set.then(|| topics.leaf(topics::LOCK_SET)),
            birth: wanted.discovery.then(|| birth_topic(&wanted.prefix)),
            base: format!("{}/", wanted.base),
            prefix: format!("{}/", wanted.prefix),
            answers: answers_tx,
            births: births_tx,
            received: AtomicU64::new(0),
            answers_dropped: Arc::default(),
        };
        (inward, Arrivals { answers, births })
    }

    pub(super) fn ask(&mut self, desk: Arc<dyn CommandDesk>) {
        self.desk = Some(desk);
    }

    /// Quality 0, so that nothing is kept for a terminal that is away; nothing retained is sent; and the retain flag of
    /// what is sent meanwhile is seen, so that it can be refused.
    pub(super) fn filters(&self) -> Vec<SubscribeFilter> {
        let commands = self.desk.is_some();
        let topics = [
            Some(&self.commands).filter(|t| commands && !t.is_empty()),
            self.lock_set.as_ref().filter(|_| commands),
            self.birth.as_ref(),
        ];
        topics
            .into_iter()
            .flatten()
            .map(|topic| SubscribeFilter {
                nolocal: true,
                preserve_retain: true,
                retain_forward_rule: RetainForwardRule::Never,
                ..SubscribeFilter::new(topic.clone(), QoS::AtMostOnce)
            })
            .collect()
    }

    /// Takes one message; never waits.
    pub(super) fn message(&self, message: &Publish) {
        let Ok(topic) = std::str::from_utf8(&message.topic) else { return };
        if self.birth.as_deref() == Some(topic) {
            if &message.payload[..] == b"online" {
                let _one_is_enough = self.births.try_send(());
            }
            return;
        }
        let Some(desk) = &self.desk else { return };
        let (via, name) = if self.lock_set.as_deref() == Some(topic) {
            (Via::HomeAssistant, "set")
        } else if let Some(name) =
            topic.strip_prefix(self.commands.trim_end_matches('+')).filter(|_| !self.commands.is_empty())
        {
            // Somebody else's word about a result is no command.
            if name == "result" {
                return;
            }
            (Via::Mqtt, name)
        } else {
            return;
        };
        self.received.fetch_add(1, Ordering::Relaxed);
        let properties = message.properties.as_ref();
        let correlation = properties.and_then(|p| p.correlation_data.as_ref()).map(|c| &c[..]);
        let offer = Offer {
            via,
            name,
            payload: &message.payload,
            retained: message.retain,
            expiry: properties.and_then(|p| p.message_expiry_interval).map(|s| Duration::from_secs(u64::from(s))),
            correlation,
        };
        let respond_to = properties
            .and_then(|p| p.response_topic.clone())
            .filter(|t| self.may_answer_on(t))
            .map(|t| (t, correlation.filter(|c| c.len() <= MAX_ECHO).map(<[u8]>::to_vec)));
        let (answers, dropped) = (self.answers.clone(), self.answers_dropped.clone());
        desk.offer(
            &offer,
            Box::new(move |answer| {
                if answers.try_send(Outgoing { answer, respond_to: respond_to.clone() }).is_err() {
                    dropped.fetch_add(1, Ordering::Relaxed);
                }
            }),
        );
    }

    /// Whoever may send a command must not make this terminal speak where only terminals and Home Assistant may.
    fn may_answer_on(&self, topic: &str) -> bool {
        (1..=MAX_ECHO).contains(&topic.len())
            && !topic.contains(['+', '#', '\0'])
            && !topic.starts_with('$')
            && !topic.starts_with(&self.base)
            && !topic.starts_with(&self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Reply;
    use crate::schema::command::{Command, CommandError};
    use crate::schema::ids::DeviceId;
    use rumqttc::PublishProperties;
    use std::sync::Mutex;

    /// Keeps what it was offered as a line, and answers at once.
    #[derive(Default)]
    struct Desk(Mutex<Vec<String>>);

    impl CommandDesk for Desk {
        fn offer(&self, o: &Offer<'_>, mut reply: Reply) {
            let line = format!("{} {} {} {:?}", o.via.word(), o.name, o.retained, o.expiry.map(|e| e.as_secs()));
            self.0.lock().expect("not poisoned").push(line);
            let error = Some(CommandError::Disabled);
            reply(Answer { id: "a1".into(), command: o.name.into(), error, ..Answer::default() });
        }
        fn order(&self, _: Via, _: &str, _: Command, _: Reply) {
            unreachable!("the broker's messages are offered")
        }
    }

    fn inward(desk: Arc<Desk>) -> (Inward, Arrivals) {
        let topics = Topics::new("cardea", &DeviceId::new("front").expect("valid"));
        let wanted = Wanted {
            commands: true,
            lock_set: true,
            discovery: true,
            base: "cardea".into(),
            prefix: "homeassistant".into(),
        };
        let (mut inward, arrivals) = Inward::new(&topics, wanted);
        inward.ask(desk);
        (inward, arrivals)
    }

    fn message(topic: &str, retain: bool, properties: PublishProperties) -> Publish {
        let mut publish = Publish::new(topic, QoS::AtMostOnce, "x", Some(properties));
        publish.retain = retain;
        publish
    }

    #[test]
    fn subscriptions_keep_nothing_and_see_what_is_retained() {
        let (inward, _arrivals) = inward(Arc::default());
        let filters = inward.filters();
        let topics: Vec<&str> = filters.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(topics, ["cardea/front/cmd/+", "cardea/front/lock/set", "homeassistant/status"]);
        for f in filters {
            assert_eq!((f.qos, f.nolocal, f.preserve_retain), (QoS::AtMostOnce, true, true));
            assert!(matches!(f.retain_forward_rule, RetainForwardRule::Never));
        }
    }

    #[test]
    fn a_message_is_offered_as_it_came_and_results_of_others_are_none() {
        let desk = Arc::new(Desk::default());
        let (inward, mut arrivals) = inward(desk.clone());
        let plain = PublishProperties::default;
        inward.message(&message("cardea/front/cmd/unlock", true, plain()));
        inward.message(&message("cardea/front/cmd/result", false, plain()));
        inward.message(&message("cardea/back/cmd/unlock", false, plain()));
        let expiring = PublishProperties { message_expiry_interval: Some(5), ..plain() };
        inward.message(&message("cardea/front/lock/set", false, expiring));
        let seen = desk.0.lock().expect("not poisoned").clone();
        assert_eq!(seen, ["mqtt unlock true None", "home_assistant set false Some(5)"]);
        assert!(arrivals.answers.try_recv().is_ok() && arrivals.births.try_recv().is_err());
        let mut birth = message("homeassistant/status", false, plain());
        birth.payload = "online".into();
        inward.message(&birth);
        assert!(arrivals.births.try_recv().is_ok());
    }

    #[test]
    fn an_answer_goes_where_the_sender_may_have_it_only() {
        let (inward, mut arrivals) = inward(Arc::default());
        for (topic, allowed) in [
            ("panel/7/answers", true),
            ("cardea/back/lock/set", false),
            ("homeassistant/status", false),
            ("$SYS/x", false),
            ("a/#", false),
            ("", false),
        ] {
            let properties = PublishProperties {
                response_topic: Some(topic.into()),
                correlation_data: Some(vec![7].into()),
                ..PublishProperties::default()
            };
            inward.message(&message("cardea/front/cmd/ping", false, properties));
            let out = arrivals.answers.try_recv().expect("an answer");
            assert_eq!(out.respond_to, allowed.then(|| (topic.to_owned(), Some(vec![7]))), "{topic}");
        }
    }

    #[test]
    fn answers_that_nobody_fetches_are_bounded_and_counted() {
        let (inward, _arrivals) = inward(Arc::default());
        for _ in 0..100 {
            inward.message(&message("cardea/front/cmd/ping", false, PublishProperties::default()));
        }
        assert_eq!(inward.answers_dropped.load(Ordering::Relaxed), 100 - ANSWERS as u64);
        assert_eq!(inward.received.load(Ordering::Relaxed), 100);
    }
}
