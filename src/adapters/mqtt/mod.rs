//! MQTT v5 to the building: retained states, live access events, and the journal's records at least once.
//!
//! Nothing of it can delay a decision: senders put small values into an [`Outbox`] and never wait. What must not be
//! lost is in the journal already; this room only moves a cursor over it, on the PubAck of that very record.
//!
//! Each connection is a new client with nothing left over from the one before. A client that reconnects by itself
//! drops what was in flight when the broker has no session for it (measured with rumqttc 0.25: 20 to 30 of 400
//! messages lost without an error), and would deliver a live event minutes late. Here the journal is the only memory.
//! Commands are subscribed to at quality 0 with a clean start: what was sent while the terminal was away never comes.

mod backoff;
mod forget;
mod inward;
mod options;
mod outbox;
mod pump;
mod session;
mod site;
mod window;

pub use forget::forget;
pub use options::command_key;
pub use outbox::{Outbox, Status};
pub use pump::CursorMoves;
pub use site::SiteClient;

use crate::config::sections::Mqtt;
use crate::config::sections::RemoteUnlock;
use crate::ports::{CommandDesk, Journal, PortError};
use crate::schema::discovery::{self, Terminal};
use crate::schema::ids::DeviceId;
use crate::schema::topics::Topics;
use backoff::Backoff;
use inward::{Arrivals, Inward, Wanted};
use outbox::Inbox;
use pump::LogPump;
use rumqttc::MqttOptions;
use session::{Ended, Parts, Session};
use std::sync::Arc;
use tokio::sync::watch;

/// Opens a reader of the journal of its own; called again after a failure.
pub type OpenJournal = Box<dyn FnMut() -> Result<Box<dyn Journal>, PortError> + Send>;

/// How the client is to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// Not yet.
    #[default]
    Running,
    /// Hands out what is left, says `offline`, disconnects. Takes at most five seconds.
    Goodbye,
    /// Breaks the connection without a word, so that the broker publishes the last will.
    Abandon,
}

/// One terminal's client; [`Client::run`] is its whole life.
pub struct Client {
    options: MqttOptions,
    topics: Topics,
    inbox: Inbox,
    pump: LogPump,
    inward: Inward,
    arrivals: Arrivals,
    /// Topic and payload of the discovery, where it is wanted.
    announcement: Option<(String, String)>,
    prefix: Option<String>,
}

impl Client {
    /// Reads passwords and certificates; connects to nothing yet.
    ///
    /// # Errors
    /// A file cannot be read, is readable by everybody, or holds no certificate or key.
    pub fn new(
        mqtt: &Mqtt,
        device: &DeviceId,
        journal: OpenJournal,
        moves: CursorMoves,
    ) -> Result<(Client, Outbox), PortError> {
        let topics = Topics::new(&mqtt.base, device);
        let options = options::options(mqtt, &topics)?;
        let (outbox, inbox) = outbox::channel(mqtt.names);
        let pump = LogPump::new(journal, moves, inbox.counters.clone());
        let wanted = Wanted {
            commands: !mqtt.commands.is_empty(),
            lock_set: mqtt.remote_unlock == RemoteUnlock::HomeAssistant,
            discovery: mqtt.discovery,
            base: mqtt.base.clone(),
            prefix: mqtt.discovery_prefix.clone(),
        };
        let (inward, arrivals) = Inward::new(&topics, wanted);
        let prefix = mqtt.discovery.then(|| mqtt.discovery_prefix.clone());
        Ok((Client { options, topics, inbox, pump, inward, arrivals, announcement: None, prefix }, outbox))
    }

    /// Commands are subscribed to, and handed to this desk; without one nothing is listened to.
    #[must_use]
    pub fn with_commands(mut self, desk: Arc<dyn CommandDesk>) -> Client {
        self.inward.ask(desk);
        self
    }

    /// Home Assistant is told of the terminal, unless `mqtt.discovery` is off.
    #[must_use]
    pub fn announced_as(mut self, terminal: &Terminal) -> Client {
        self.announcement = self.prefix.as_ref().map(|p| discovery::device(p, &self.topics, terminal));
        self
    }

    /// Connects, and connects again after every loss, until `ending` says otherwise.
    pub async fn run(mut self, mut ending: watch::Receiver<Ending>) {
        let mut pause = Backoff::default();
        loop {
            let parts = Parts {
                topics: &self.topics,
                inward: &self.inward,
                announcement: self.announcement.as_ref(),
                inbox: &mut self.inbox,
                arrivals: &mut self.arrivals,
                pump: &mut self.pump,
            };
            let ended = Session::run(&self.options, parts, &mut ending).await;
            self.inbox.counters.disconnected();
            self.pump.connection_lost();
            let (why, delivered) = match ended {
                Ended::Stopped => return,
                Ended::Lost { why, delivered } => (why, delivered),
            };
            // A broker that takes the connection and then nothing else does not count as back.
            if delivered {
                pause.reset();
            }
            let wait = pause.next(backoff::random_byte());
            tracing::warn!(error = %why, retry_in = ?wait, "no MQTT broker; records wait in the journal");
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                end = asked_to_end(&mut ending) => match end {
                    Ending::Running => {}
                    Ending::Goodbye | Ending::Abandon => return,
                },
            }
        }
    }
}

/// Waits until an end is asked for. Whoever could ask having gone is an abrupt end too.
async fn asked_to_end(ending: &mut watch::Receiver<Ending>) -> Ending {
    ending.wait_for(|e| *e != Ending::Running).await.map_or(Ending::Abandon, |e| *e)
}
