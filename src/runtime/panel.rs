//! The panel's thread: carries cards from the controller to the access panel's line, and opens the line anew. Whether and
//! until when a card may go out is decided in `domain::panel`.

use crate::adapters::panel;
use crate::base::stop::Stop;
use crate::base::time::{Clock, Tick};
use crate::config::sections::{AccessPanel, PanelLineConfig};
use crate::domain::panel::card::{CardBits, CardFault};
use crate::domain::panel::courier::{Courier, CourierEffect, LineState, Parcel};
use crate::ports::{PanelLine, PortError};
use crate::schema::event::Event;
use crate::schema::ids::VisitId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

const TURN: Duration = Duration::from_millis(10);
const PAUSE: Duration = Duration::from_secs(1);

/// Where the controller hands cards in. Never waits.
#[derive(Clone)]
pub struct PanelDesk {
    config: AccessPanel,
    via: &'static str,
    out: SyncSender<Parcel>,
    ready: Arc<AtomicBool>,
}

impl PanelDesk {
    /// The panel alone opens the door.
    #[must_use]
    pub fn alone(&self) -> bool {
        self.config.alone
    }

    /// Whether the panel is there and would be told.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// The line's name in records.
    #[must_use]
    pub fn via(&self) -> &'static str {
        self.via
    }

    /// A person's card number as the panel's bits.
    ///
    /// # Errors
    /// It is none of the configured format.
    pub fn encode(&self, number: &str) -> Result<CardBits, CardFault> {
        self.config.format.encode(number, self.config.facility)
    }

    /// Hands a card in; false when one waits already. What becomes of it is a record of the thread's.
    pub fn send(&self, visit: VisitId, card: CardBits, at: Tick) -> bool {
        self.out.try_send(Parcel { visit, card, at }).is_ok()
    }
}

/// Everything that the thread needs.
pub struct Panel {
    line: PanelLineConfig,
    clock: Arc<dyn Clock>,
    first: Box<dyn PanelLine>,
    inbox: Receiver<Parcel>,
    ready: Arc<AtomicBool>,
    tell: Box<dyn Fn(Event) + Send>,
    stop: Stop,
}

impl Panel {
    /// Opens the line for the first time, where a fault is the administrator's to see.
    ///
    /// # Errors
    /// The line cannot be opened, or this build has none of its kind.
    pub fn open(
        config: &AccessPanel,
        clock: Arc<dyn Clock>,
        tell: Box<dyn Fn(Event) + Send>,
        stop: Stop,
    ) -> Result<(PanelDesk, Panel), PortError> {
        let first = panel::open(&config.line, clock.clone())?;
        let (out, inbox) = sync_channel(1);
        let ready = Arc::new(AtomicBool::new(false));
        let (via, _) = panel::manner(&config.line);
        let desk = PanelDesk { config: config.clone(), via, out, ready: ready.clone() };
        Ok((desk, Panel { line: config.line.clone(), clock, first, inbox, ready, tell, stop }))
    }

    /// The thread's life.
    pub fn run(self) {
        let Panel { line: config, clock, first, inbox, ready, tell, stop } = self;
        let (via, confirms) = panel::manner(&config);
        let mut courier = Courier::new(via, confirms, clock.now());
        let mut line = Ok(first);
        while !stop.requested() {
            let (state, mut effects) = match &mut line {
                Ok(open) => match open.turn(TURN) {
                    Ok(state) => (state, courier.look(clock.now(), &state)),
                    Err(e) => {
                        line = Err(e);
                        continue;
                    }
                },
                Err(e) => (LineState::default(), courier.lost(clock.now(), &e.to_string())),
            };
            if let Ok(parcel) = inbox.try_recv() {
                effects.extend(courier.send(clock.now(), &state, &parcel));
            }
            for effect in effects {
                match (effect, &mut line) {
                    (CourierEffect::Record(event), _) => tell(event),
                    (CourierEffect::Send(card), Ok(open)) => {
                        if let Err(e) = open.send(card) {
                            line = Err(e);
                        }
                    }
                    (CourierEffect::Forget, Ok(open)) => open.forget(),
                    // Closed: nothing is left of it.
                    (CourierEffect::Send(_) | CourierEffect::Forget, Err(_)) => {}
                }
            }
            ready.store(courier.is_ready(), Ordering::Relaxed);
            if line.is_err() {
                stop.wait(PAUSE);
                line = panel::open(&config, clock.clone());
            }
        }
        ready.store(false, Ordering::Relaxed);
    }
}
