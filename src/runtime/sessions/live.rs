//! One session's part in the worker: its visit, what the pipeline remembers of it, and what its newest picture said.

use crate::adapters::web::hub::Ask;
use crate::adapters::web::look::{self, Again, Look};
use crate::base::time::Tick;
use crate::domain::gallery::Gallery;
use crate::domain::liveness::{PadRule, PadVerdict};
use crate::domain::observation::{FaceSeen, Observation, Pose, Wants};
use crate::domain::screen::{Phase, Screen};
use crate::domain::visit::{Effect, Input, Policy, Visit};
use crate::schema::event::Verdict;
use crate::schema::ids::VisitId;
use crate::vision::frame::{Frame, jpeg};
use crate::vision::pipeline::Memory;
use std::sync::Arc;

#[derive(Default)]
pub(super) struct Live {
    pub visit: Option<Visit>,
    pub memory: Memory,
    pub target: Option<Gallery>,
    pub look: Look,
    /// The door hears how its visit ends.
    pub at_door: bool,
    rules: Vec<PadRule>,
    again: Again,
    mirrored: bool,
    /// The face that a standing grant is about.
    granted: Option<u32>,
    track: Option<u32>,
}

impl Live {
    /// Whether the next picture begins a visit: there is none, or it ended and is to be followed by another.
    pub fn needs_visit(&self) -> bool {
        match &self.visit {
            None => true,
            Some(v) => v.decision().is_some_and(|d| self.goes_on(d.verdict)) && self.granted.is_none(),
        }
    }

    /// Whether a visit that ended so leaves its session going.
    pub fn goes_on(&self, verdict: Verdict) -> bool {
        match self.again {
            Again::Never => false,
            Again::Undecided => verdict == Verdict::TryAgain,
            Again::Always => true,
        }
    }

    pub fn begin(&mut self, ask: &Ask, policy: Policy, id: VisitId, seed: [u8; 32]) {
        (self.again, self.mirrored) = (ask.manner.again, ask.manner.mirrored);
        self.rules.clone_from(&policy.pad);
        self.visit = Some(Visit::new(Arc::new(policy), id, seed));
        self.granted = None;
        let old = std::mem::take(&mut self.look);
        self.look = Look {
            frames: old.frames,
            visit: old.visit + 1,
            before: old.outcome.or(old.before),
            live: old.live,
            ..Look::default()
        };
    }

    /// What the next picture is asked.
    pub fn wants(&self, at: Tick) -> Wants {
        match &self.visit {
            Some(_) if self.granted.is_some() => Wants { pad: true, ..Wants::default() },
            // A client that is told of every picture is told at once.
            Some(v) if self.again == Again::Always => Wants { pad: true, ..v.wants(at) },
            Some(v) => v.wants(at),
            None => Wants::default(),
        }
    }

    /// Takes what the pipeline saw; the visit's effects are to be carried out.
    pub fn see(&mut self, now: Tick, o: &Observation, frame: &Frame) -> Vec<Effect> {
        let look = &mut self.look;
        look.frames += 1;
        look.broken = false;
        look.faces = o.faces;
        look.size = jpeg::head(&frame.data).map_or((0, 0), |h| (h.width, h.height));
        look.rect = o.face.as_ref().map(|f| [f.rect.x, f.rect.y, f.rect.w, f.rect.h]);
        look.stepped = false;
        let track = o.face.as_ref().map(|f| f.track);
        if track != self.track {
            look.live = None;
        }
        self.track = track;
        let effects = match &mut self.visit {
            // The face that was granted has gone, or is another one: whoever is there now begins anew.
            Some(_) if self.granted.is_some() => {
                if self.granted != track {
                    self.visit = None;
                    self.look.outcome = None;
                }
                Vec::new()
            }
            Some(visit) => visit.handle(now, Input::Seen(o)),
            None => Vec::new(),
        };
        if let Some(face) = &o.face {
            self.judge(face);
        }
        if self.again == Again::Always
            && self.visit.as_ref().and_then(Visit::decision).is_some_and(|d| d.verdict == Verdict::Granted)
        {
            self.granted = track;
        }
        effects
    }

    /// What PAD says of the newest face that it looked at.
    fn judge(&mut self, face: &FaceSeen) {
        if let Some(visit) = &self.visit {
            let pose = visit.pose();
            let yaw = if self.mirrored { -pose.yaw } else { pose.yaw };
            self.look.pose = Pose { yaw, ..pose };
        }
        if self.rules.is_empty() || face.pad.len() != self.rules.len() {
            return;
        }
        let over = self.rules.iter().zip(&face.pad).all(|(rule, p)| p.get() > rule.threshold);
        let spoof = self.visit.as_ref().is_some_and(|v| v.pad() == PadVerdict::Spoof);
        let value = face.pad.iter().map(|p| p.get()).fold(1.0, f32::min);
        self.look.live = Some(look::Live { value, real: over && !spoof });
    }

    /// Notes what the client is to show.
    pub fn show(&mut self, s: &Screen) {
        let look = &mut self.look;
        let before = look.steps;
        (look.phase, look.advice) = (Some(s.phase), s.advice);
        (look.action, look.left, look.window_ms) = (s.action, s.left, s.window_ms);
        if s.phase == Phase::Challenge {
            look.steps = s.progress;
        }
        look.stepped |= look.steps.0 > before.0;
    }
}
