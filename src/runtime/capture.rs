//! The capture thread: opens the camera, puts every frame into the slot, and opens it again when it broke.

use crate::adapters::camera;
use crate::base::slot::LatestSlot;
use crate::base::stop::{Heartbeat, Stop};
use crate::base::time::Clock;
use crate::config::sections::{Camera, CameraKind};
use crate::ports::{FrameSource, NextFrame, PortError, Recovery};
use crate::schema::event::Event;
use crate::vision::frame::Frame;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Without a frame for so long the camera counts as lost.
const LOST: Duration = Duration::from_millis(1500);
/// Pauses between attempts to open it.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// How the refusal of another camera begins.
const SWAPPED: &str = "it is another camera than at the start";

/// What others may know of the camera.
#[derive(Debug, Default)]
pub struct CameraState {
    /// Turned at every frame.
    pub beat: Heartbeat,
    pub frames: AtomicU64,
    pub torn: AtomicU64,
    /// False while there is no camera, or none that delivers.
    pub delivering: AtomicBool,
    /// There is none by configuration, and none is missed.
    pub none: AtomicBool,
    /// The recording is over and nothing follows.
    pub ended: AtomicBool,
}

/// Everything that the thread needs.
pub struct Capture {
    pub config: Camera,
    pub clock: Arc<dyn Clock>,
    pub slot: Arc<LatestSlot<Frame>>,
    pub state: Arc<CameraState>,
    pub stop: Stop,
    /// Tells what must be recorded, and once an opening that a visit may not survive.
    pub tell: Box<dyn Fn(Event) + Send>,
}

impl Capture {
    /// The thread's life.
    pub fn run(self) {
        if self.config.kind == CameraKind::None {
            self.state.none.store(true, Ordering::Relaxed);
            while !self.stop.wait(Duration::from_secs(1)) {}
            return self.slot.close();
        }
        let mut pause = FIRST_PAUSE;
        let mut epoch = 0;
        let mut lost = false;
        let mut identity: Option<String> = None;
        let mut told_swapped = false;
        while !self.stop.requested() {
            epoch += 1;
            let ended = camera::open(&self.config, self.clock.clone(), epoch).and_then(|mut source| {
                let now = source.identity();
                let pinned = identity.get_or_insert_with(|| now.clone());
                if *pinned != now {
                    // Whoever can swap the camera must not choose what the door sees.
                    let what = format!("{SWAPPED}: {now} instead of {pinned}");
                    let hint = "put the first one back, or start cardea again if the change is meant";
                    return Err(PortError::new("open the camera again", what, hint, Recovery::Reopen));
                }
                self.pump(&mut *source, &mut lost, &mut pause, &now)
            });
            self.state.delivering.store(false, Ordering::Relaxed);
            let why = match ended {
                Ok(End::Over) => {
                    self.state.ended.store(true, Ordering::Relaxed);
                    self.slot.close();
                    return;
                }
                Ok(End::Stopped) => break,
                Ok(End::Stalled) => format!("no frame for {} ms", LOST.as_millis()),
                Err(e) => e.to_string(),
            };
            tracing::warn!(error = %why, retry_in = ?pause, "camera failed");
            // A camera that was swapped is a second fact beside one that was lost.
            let swapped = why.contains(SWAPPED);
            if !lost || swapped && !told_swapped {
                (self.tell)(Event::AlarmCamera { what: why });
            }
            told_swapped |= swapped;
            lost = true;
            self.stop.wait(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.slot.close();
    }

    fn pump(
        &self,
        source: &mut dyn FrameSource,
        lost: &mut bool,
        pause: &mut Duration,
        identity: &str,
    ) -> Result<End, PortError> {
        let mut last = self.clock.now();
        while !self.stop.requested() {
            match source.next(self.config.timeout)? {
                NextFrame::Frame(frame) => {
                    last = self.clock.now();
                    self.state.beat.beat(last);
                    self.state.frames.fetch_add(1, Ordering::Relaxed);
                    self.state.delivering.store(true, Ordering::Relaxed);
                    if *lost {
                        (self.tell)(Event::SystemCamera { what: format!("{identity} delivers again") });
                    }
                    *lost = false;
                    *pause = FIRST_PAUSE;
                    self.slot.put(frame);
                }
                NextFrame::Torn(why) => {
                    self.state.torn.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(why, "frame skipped");
                }
                NextFrame::Stalled => {
                    self.state.delivering.store(false, Ordering::Relaxed);
                    if self.clock.now().since(last) >= LOST {
                        return Ok(End::Stalled);
                    }
                }
                NextFrame::End => return Ok(End::Over),
            }
        }
        Ok(End::Stopped)
    }
}

enum End {
    Over,
    Stalled,
    Stopped,
}
