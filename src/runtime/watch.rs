//! The inference thread: takes the newest frame, makes an observation of it, hands it to the controller.

use crate::base::precedence::Precedence;
use crate::base::slot::LatestSlot;
use crate::base::stop::{Heartbeat, Stop};
use crate::base::time::{Clock, Tick};
use crate::domain::observation::{Observation, ReliefAsk, Wants};
use crate::ports::{Infer, InputNews};
use crate::vision::frame::Frame;
use crate::vision::motion::Motion;
use crate::vision::pipeline::{Pipeline, VisionError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

/// What the thread tells.
#[derive(Debug)]
pub enum Watched {
    Seen(Box<Observation>),
    /// The networks failed: nothing can be decided any more.
    Broken(String),
    /// No further frame will come.
    Ended,
    /// From the door's inputs, not from the watch.
    Door(InputNews),
    /// They cannot be read.
    DoorLost(String),
    /// A PIN was typed or a card shown.
    Shown(super::rules::Shown),
    /// A visit of a web session, where `web.opens_door` lets it ask.
    Web(Box<crate::domain::visit::Decision>),
    /// A command lies in its own queue; only there to wake the controller.
    Command,
}

/// What the visit wants of the next frame, shared without a lock.
#[derive(Debug, Default)]
pub struct SharedWants(AtomicU8);

impl SharedWants {
    const EYES: u8 = 1;
    const PAD: u8 = 2;
    const EMBEDDING: u8 = 4;
    const AWAKE: u8 = 8;
    const RELIEF_READY: u8 = 16;
    const RELIEF_FOLLOW: u8 = 32;
    const TONGUE: u8 = 64;
    const LIGHT: u8 = 128;

    /// `awake`: somebody is there, so every frame counts.
    pub fn set(&self, wants: Wants, awake: bool) {
        let bit = |on, b| if on { b } else { 0 };
        let bits = bit(wants.eyes, Self::EYES)
            | bit(wants.tongue, Self::TONGUE)
            | bit(wants.pad, Self::PAD)
            | bit(wants.embedding, Self::EMBEDDING)
            | bit(wants.relief == ReliefAsk::Ready, Self::RELIEF_READY)
            | bit(wants.relief == ReliefAsk::Follow, Self::RELIEF_FOLLOW)
            | bit(wants.light, Self::LIGHT)
            | bit(awake, Self::AWAKE);
        self.0.store(bits, Ordering::Relaxed);
    }

    /// What was set last.
    #[must_use]
    pub fn get(&self) -> (Wants, bool) {
        let bits = self.0.load(Ordering::Relaxed);
        let on = |b| bits & b != 0;
        let relief = match (on(Self::RELIEF_FOLLOW), on(Self::RELIEF_READY)) {
            (true, _) => ReliefAsk::Follow,
            (false, true) => ReliefAsk::Ready,
            (false, false) => ReliefAsk::No,
        };
        let wants = Wants {
            eyes: on(Self::EYES),
            tongue: on(Self::TONGUE),
            pad: on(Self::PAD),
            embedding: on(Self::EMBEDDING),
            relief,
            light: on(Self::LIGHT),
        };
        (wants, on(Self::AWAKE))
    }
}

/// After the last face every frame is still looked at for so long.
const LINGER: Duration = Duration::from_secs(2);

/// Everything that the thread needs.
pub struct Watch<I> {
    pub pipeline: Pipeline<I>,
    pub slot: Arc<LatestSlot<Frame>>,
    pub wants: Arc<SharedWants>,
    pub out: SyncSender<Watched>,
    pub clock: Arc<dyn Clock>,
    pub beat: Heartbeat,
    pub stop: Stop,
    /// Web sessions make way for each frame.
    pub precedence: Arc<Precedence>,
    /// For the network that is to come next.
    pub film: Option<super::relearn::Film>,
    /// For a picture that is asked for.
    pub shutter: super::snapshot::Shutter,
    /// For who may see what the door sees.
    pub tap: Option<super::web::Tap>,
}

impl<I: Infer> Watch<I> {
    /// The thread's life.
    pub fn run(mut self) {
        let mut motion = Motion::default();
        let mut last_face: Option<Tick> = None;
        while !self.stop.requested() {
            self.beat.beat(self.clock.now());
            let Some(frame) = self.slot.take(Duration::from_millis(200)) else {
                if self.slot.is_closed() {
                    let _gone = self.out.send(Watched::Ended);
                    return;
                }
                continue;
            };
            let turn = self.precedence.first();
            self.shutter.expose(&frame);
            if let Some(tap) = &mut self.tap {
                tap.show(&frame);
            }
            let (wants, awake) = self.wants.get();
            let lingering = last_face.is_some_and(|l| frame.captured.since(l) < LINGER);
            let moved = motion.worth_looking(&frame);
            if !awake && !lingering && !moved {
                continue;
            }
            if let Some(film) = self.film.as_ref().filter(|_| wants.embedding) {
                film.keep(&frame);
            }
            let told = match self.pipeline.observe(&frame, wants) {
                Ok(o) => {
                    if o.face.is_some() {
                        last_face = Some(o.captured);
                    }
                    Watched::Seen(Box::new(o))
                }
                Err(VisionError::Decode(e)) => {
                    tracing::debug!(frame = frame.seq, error = %e, "frame skipped");
                    continue;
                }
                Err(e) => Watched::Broken(e.to_string()),
            };
            drop(turn);
            let broken = matches!(told, Watched::Broken(_));
            if self.out.send(told).is_err() || broken {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wants_come_back_as_they_were_set() {
        let shared = SharedWants::default();
        assert_eq!(shared.get(), (Wants::default(), false));
        for bits in 0..192_u8 {
            let relief = [ReliefAsk::No, ReliefAsk::Ready, ReliefAsk::Follow][usize::from(bits / 16 % 3)];
            let (eyes, pad, embedding, tongue) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0, bits / 48 % 2 == 1);
            let wants = Wants { eyes, tongue, pad, embedding, relief, light: bits >= 96 };
            shared.set(wants, bits & 8 != 0);
            assert_eq!(shared.get(), (wants, bits & 8 != 0));
        }
    }
}
