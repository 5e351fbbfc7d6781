//! A clip that plays like a camera and misbehaves on request, at times counted from its opening.
//!
//! * `stall@2000`: from 2 s on no frame comes; `stall@2000+500`: for half a second.
//! * `garble@2000+500`: frames are cut in half, as a torn buffer would be.
//! * `unplug@3000`: from 3 s on every read fails, until the camera is opened again.
//! * `freeze@1000`: the last picture comes again and again with new numbers and stamps.

use super::file::FileCamera;
use crate::base::time::{Clock, Tick};
use crate::ports::{FrameSource, NextFrame, PortError, Recovery};
use std::sync::Arc;
use std::time::Duration;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    Stall,
    Garble,
    Unplug,
    Freeze,
}

/// One entry of `camera.faults`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    /// Time since opening.
    pub from: Duration,
    /// `None`: for good.
    pub lasts: Option<Duration>,
}

impl Fault {
    /// Reads `kind@ms` or `kind@ms+ms`.
    ///
    /// # Errors
    /// The text, and how it should look.
    pub fn parse(text: &str) -> Result<Fault, String> {
        let fault = || {
            let (kind, time) = text.split_once('@')?;
            let kind = match kind {
                "stall" => FaultKind::Stall,
                "garble" => FaultKind::Garble,
                "unplug" => FaultKind::Unplug,
                "freeze" => FaultKind::Freeze,
                _ => return None,
            };
            let (from, lasts) = time.split_once('+').map_or((time, None), |(from, lasts)| (from, Some(lasts)));
            let ms = |t: &str| t.parse().ok().map(Duration::from_millis);
            let lasts = match lasts {
                None => None,
                Some(t) => Some(ms(t)?),
            };
            Some(Fault { kind, from: ms(from)?, lasts })
        };
        fault().ok_or_else(|| {
            format!(
                "`{text}` is no camera fault; write stall, garble, unplug or freeze, then @ms or @ms+ms: stall@2000+500"
            )
        })
    }

    fn holds(&self, since_opening: Duration) -> bool {
        since_opening >= self.from && self.lasts.is_none_or(|l| since_opening < self.from.saturating_add(l))
    }
}

/// A [`FileCamera`] with faults.
pub struct SimCamera {
    inner: FileCamera,
    clock: Arc<dyn Clock>,
    opened: Tick,
    faults: Vec<Fault>,
    frozen: Option<Vec<u8>>,
}

impl SimCamera {
    /// Wraps `inner`; the faults' times begin now.
    #[must_use]
    pub fn new(inner: FileCamera, faults: Vec<Fault>, clock: Arc<dyn Clock>) -> Self {
        SimCamera { inner, opened: clock.now(), clock, faults, frozen: None }
    }

    fn holds(&self, kind: FaultKind) -> bool {
        let since = self.clock.now().since(self.opened);
        self.faults.iter().any(|f| f.kind == kind && f.holds(since))
    }
}

impl FrameSource for SimCamera {
    fn next(&mut self, timeout: Duration) -> Result<NextFrame, PortError> {
        if self.holds(FaultKind::Unplug) {
            let what = format!("read a frame from {}", self.identity());
            return Err(PortError::new(what, "simulated: the camera was unplugged", "plug it in", Recovery::Reopen));
        }
        if self.holds(FaultKind::Stall) {
            std::thread::sleep(timeout);
            return Ok(NextFrame::Stalled);
        }
        let mut next = self.inner.next(timeout)?;
        if let NextFrame::Frame(frame) = &mut next {
            if self.holds(FaultKind::Freeze) {
                let frozen = self.frozen.get_or_insert_with(|| frame.data.clone());
                frame.data.clone_from(frozen);
            } else {
                self.frozen = None;
            }
            if self.holds(FaultKind::Garble) {
                frame.data.truncate(frame.data.len() / 2);
            }
        }
        Ok(next)
    }

    fn identity(&self) -> String {
        format!("sim {}", self.inner.identity())
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::ClipOptions;
    use super::*;
    use crate::base::time::ManualClock;

    #[test]
    fn faults_are_read_strictly() {
        let garble =
            Fault { kind: FaultKind::Garble, from: Duration::from_secs(2), lasts: Some(Duration::from_millis(500)) };
        assert_eq!(Fault::parse("garble@2000+500"), Ok(garble));
        assert_eq!(Fault::parse("stall@0").map(|f| f.lasts), Ok(None));
        for wrong in ["", "stall", "stall@", "stall@-1", "stall@1+", "burn@1", "stall@1+2+3", "Stall@1"] {
            assert!(Fault::parse(wrong).expect_err(wrong).contains("is no camera fault"));
        }
    }

    /// Plays ten numbered frames at 10 fps and writes what came in every tenth of a second.
    fn played(faults: &[&str]) -> Vec<String> {
        let dir = tempfile::tempdir().expect("a directory");
        for n in 0..10u8 {
            std::fs::write(dir.path().join(format!("{n}.jpg")), [n; 8]).expect("writes");
        }
        let clock = Arc::new(ManualClock::new(0));
        let options = ClipOptions { fps: 10, ..ClipOptions::default() };
        let inner = FileCamera::open(dir.path(), options, false, clock.clone()).expect("opens");
        let faults = faults.iter().map(|f| Fault::parse(f).expect("a fault")).collect();
        let mut camera = SimCamera::new(inner, faults, clock.clone());
        let mut out = Vec::new();
        for _ in 0..7 {
            out.push(match camera.next(Duration::ZERO) {
                Ok(NextFrame::Frame(f)) => {
                    format!("{}:{}x{}", f.seq, f.data.first().copied().unwrap_or(99), f.data.len())
                }
                Ok(other) => format!("{other:?}"),
                Err(e) => format!("{:?}", e.recovery),
            });
            clock.advance(Duration::from_millis(100));
        }
        out
    }

    #[test]
    fn without_faults_every_frame_comes() {
        assert_eq!(played(&[]), ["0:0x8", "1:1x8", "2:2x8", "3:3x8", "4:4x8", "5:5x8", "6:6x8"]);
    }

    #[test]
    fn each_fault_begins_and_ends_when_it_was_asked_to() {
        assert_eq!(played(&["stall@200+200"]), ["0:0x8", "1:1x8", "Stalled", "Stalled", "2:2x8", "3:3x8", "4:4x8"]);
        assert_eq!(played(&["garble@200+200"]), ["0:0x8", "1:1x8", "2:2x4", "3:3x4", "4:4x8", "5:5x8", "6:6x8"]);
        assert_eq!(played(&["freeze@200+200"]), ["0:0x8", "1:1x8", "2:2x8", "3:2x8", "4:4x8", "5:5x8", "6:6x8"]);
        assert_eq!(played(&["unplug@500"]), ["0:0x8", "1:1x8", "2:2x8", "3:3x8", "4:4x8", "Reopen", "Reopen"]);
    }
}
