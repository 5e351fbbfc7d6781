//! The site's directory at the broker: a connection of its own, so that neither the journal nor a flood of commands stands
//! before a revocation, and a revocation never stands behind them.

use super::backoff::{self, Backoff};
use super::{Ending, asked_to_end, options};
use crate::base::time::Clock;
use crate::config::sections::Mqtt;
use crate::ports::{PortError, SiteDesk, SiteOut};
use crate::schema::directory::MESSAGE_BYTES;
use rumqttc::{
    AsyncClient, ConnectionError, Event, Incoming, MqttOptions, PublishOptions, QoS, RetainForwardRule, SubscribeFilter,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Publications in flight at most: a revocation stands behind no more than these.
const FLYING: usize = 16;
/// Requests that the client takes before it has written any.
const REQUESTS: usize = 128;
/// Messages that wait to be looked at; beyond that the connection is not read.
const INBOX: usize = 64;
/// Topic and properties beside the greatest payload.
const OVERHEAD: u32 = 4096;
/// Without a connection the desk is called this often.
const IDLE: Duration = Duration::from_millis(250);

/// The client of one terminal's directory.
pub struct SiteClient {
    options: MqttOptions,
    clock: Arc<dyn Clock>,
}

/// What ended a connection.
enum Over {
    Stopped,
    Lost(String),
}

impl SiteClient {
    /// Reads passwords and certificates; connects to nothing yet. Its client id is the terminal's with `-site`.
    ///
    /// # Errors
    /// As [`super::Client::new`].
    pub fn new(mqtt: &Mqtt, clock: Arc<dyn Clock>) -> Result<SiteClient, PortError> {
        let mut options = options::connection(mqtt)?;
        options.set_client_id(format!("{}-site", mqtt.client_id));
        let most = u32::try_from(MESSAGE_BYTES).unwrap_or(u32::MAX).saturating_add(OVERHEAD);
        options.set_max_packet_size(Some(most));
        Ok(SiteClient { options, clock })
    }

    /// Connects, and connects again after every loss, until `ending` says otherwise. The desk is called all the time.
    pub async fn run(self, desk: &mut dyn SiteDesk, mut ending: watch::Receiver<Ending>) {
        let mut pause = Backoff::default();
        loop {
            let mut stood = false;
            let over = self.connection(desk, &mut ending, &mut stood).await;
            desk.lost();
            let why = match over {
                Over::Stopped => return,
                Over::Lost(why) => why,
            };
            if stood {
                pause.reset();
            }
            let wait = pause.next(backoff::random_byte());
            tracing::warn!(error = %why, retry_in = ?wait, "the site's directory has no broker; what is here counts");
            let until = tokio::time::Instant::now() + wait;
            while tokio::time::Instant::now() < until {
                let now = self.clock.now();
                let due = desk.tick(now).since(now).min(IDLE);
                tokio::select! {
                    () = tokio::time::sleep(due.min(until.duration_since(tokio::time::Instant::now()))) => {}
                    end = asked_to_end(&mut ending) => match end {
                        Ending::Running => {}
                        Ending::Goodbye | Ending::Abandon => return,
                    },
                }
            }
        }
    }

    async fn connection(
        &self,
        desk: &mut dyn SiteDesk,
        ending: &mut watch::Receiver<Ending>,
        stood: &mut bool,
    ) -> Over {
        let (client, mut eventloop) = match AsyncClient::builder(self.options.clone()).capacity(REQUESTS).try_build() {
            Ok(pair) => pair,
            Err(e) => return Over::Lost(e.to_string()),
        };
        let (inbox_tx, mut inbox) = mpsc::channel(INBOX);
        // Polled inside of one future, as in `session`: a poll that is dropped half way could tear a packet apart.
        let network = async move {
            loop {
                match eventloop.poll().await {
                    Ok(Event::Incoming(Incoming::ConnAck(_))) => drop(inbox_tx.send(None).await),
                    Ok(Event::Incoming(Incoming::Publish(message))) => drop(inbox_tx.send(Some(message)).await),
                    Ok(_) => {}
                    Err(e) => return e,
                }
            }
        };
        tokio::pin!(network);
        let mut flying: JoinSet<(u64, bool)> = JoinSet::new();
        loop {
            let now = self.clock.now();
            let due = desk.tick(now).since(now);
            if *stood && let Err(why) = hand_out(desk, &client, &mut flying, now) {
                return Over::Lost(why);
            }
            tokio::select! {
                end = asked_to_end(ending) => match end {
                    Ending::Running => {}
                    Ending::Goodbye => return goodbye(&client, network).await,
                    Ending::Abandon => return Over::Stopped,
                },
                e = &mut network => return Over::Lost(e.to_string()),
                Some(message) = inbox.recv() => match message {
                    None => {
                        *stood = true;
                        desk.connected(self.clock.now());
                    }
                    Some(m) => {
                        if let Ok(topic) = std::str::from_utf8(&m.topic) {
                            desk.message(self.clock.now(), topic, &m.payload);
                        }
                    }
                },
                Some(Ok((tag, good))) = flying.join_next() => {
                    if !good {
                        tracing::warn!("the broker refuses a part of the site's directory; check its access list");
                    }
                    desk.confirmed(self.clock.now(), tag);
                }
                () = tokio::time::sleep(due) => {}
            }
        }
    }
}

fn hand_out(
    desk: &mut dyn SiteDesk,
    client: &AsyncClient,
    flying: &mut JoinSet<(u64, bool)>,
    now: crate::base::time::Tick,
) -> Result<(), String> {
    while flying.len() < FLYING {
        let Some(out) = desk.next(now) else { break };
        let taken = match out {
            SiteOut::Subscribe { filters, confirmed } => {
                let qos = if confirmed { QoS::AtLeastOnce } else { QoS::AtMostOnce };
                let filters: Vec<SubscribeFilter> = filters.into_iter().map(|topic| filter(topic, qos)).collect();
                client.try_subscribe_many(filters).map_err(|e| e.to_string())
            }
            SiteOut::Unsubscribe(filters) => {
                filters.into_iter().try_for_each(|f| client.try_unsubscribe(f).map_err(|e| e.to_string()))
            }
            SiteOut::Publish { topic, payload, retained, tag } => {
                let options = PublishOptions::new(QoS::AtLeastOnce).retain(retained);
                client.try_publish_tracked(topic, payload, options).map_err(|e| e.to_string()).map(|notice| {
                    flying.spawn(async move { (tag, notice.wait_completion_async().await.is_ok()) });
                })
            }
        };
        taken.map_err(|e| format!("the MQTT client did not take a request: {e}"))?;
    }
    Ok(())
}

/// What is retained is sent at each subscription: that is how a blob is fetched.
fn filter(topic: String, qos: QoS) -> SubscribeFilter {
    SubscribeFilter {
        preserve_retain: true,
        retain_forward_rule: RetainForwardRule::OnEverySubscribe,
        ..SubscribeFilter::new(topic, qos)
    }
}

async fn goodbye(client: &AsyncClient, network: std::pin::Pin<&mut impl Future<Output = ConnectionError>>) -> Over {
    if client.try_disconnect_with_timeout(Duration::from_millis(500)).is_ok() {
        let _either_way = tokio::time::timeout(Duration::from_secs(1), network).await;
    }
    Over::Stopped
}
