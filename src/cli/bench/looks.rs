//! Whole decisions and challenge frames, taken apart by what they are made of.

use super::measure::{Cost, Figure, Meter, Spread, Stopwatch};
use crate::adapters::infer::known;
use crate::base::time::Tick;
use crate::cli::Failure;
use crate::cli::still::vision_failure;
use crate::domain::gallery::{Gallery, MatchRule};
use crate::domain::observation::{Embedding, ReliefAsk, Wants};
use crate::ports::{Infer, NetId};
use crate::vision::decode::{Limits, decode};
use crate::vision::family::{NetSpec, Role};
use crate::vision::frame::Frame;
use crate::vision::motion::Motion;
use crate::vision::pipeline::{Pipeline, VisionError};
use ndarray::Array4;
use std::hint::black_box;
use std::time::Duration;

/// Between two frames of a camera.
const FRAME: Duration = Duration::from_millis(33);
/// Frames in front of an empty room: half a minute.
const IDLE_FRAMES: u32 = 900;
/// What a visit asks of a frame on which it may decide.
pub(super) const DECIDE: Wants =
    Wants { eyes: false, tongue: false, pad: true, embedding: true, relief: ReliefAsk::No, light: false };
/// What it asks of a frame while it waits for a turn, a nod, a mouth or a smile.
pub(super) const TURN: Wants =
    Wants { eyes: false, tongue: false, pad: false, embedding: false, relief: ReliefAsk::No, light: false };
/// The same for a blink or a wink.
pub(super) const BLINK: Wants =
    Wants { eyes: true, tongue: false, pad: false, embedding: false, relief: ReliefAsk::No, light: false };

/// One frame, decoded, looked at and, where that was asked for, matched.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    pub total: Cost,
    pub decode: Cost,
    pub search: Cost,
    nets: Vec<(NetId, Cost)>,
}

impl Run {
    /// What the networks themselves took.
    pub fn networks(&self) -> Cost {
        self.nets.iter().map(|(_, cost)| *cost).sum()
    }

    /// Crops, tensors, decoding of outputs, pose, light, digest: all that is neither picture, network nor search.
    pub fn rest(&self) -> Cost {
        let n = self.networks();
        Cost {
            cpu: self.total.cpu - self.decode.cpu - self.search.cpu - n.cpu,
            wall: self.total.wall - self.decode.wall - self.search.wall - n.wall,
        }
    }
}

/// Against whom faces are compared.
pub(super) struct Crowd {
    pub gallery: Gallery,
    pub rule: MatchRule,
    /// Compared when there is no face that could be.
    pub stranger: Embedding,
}

/// The pipeline with its clock.
pub(super) struct Looks<'a> {
    pub pipeline: &'a mut Pipeline<Box<dyn Infer>>,
    pub meter: Meter,
    pub watch: Stopwatch,
    /// With the input of each network's known answer, for when no frame holds a face.
    nets: Vec<(NetSpec, Array4<f32>)>,
    at: Tick,
    seq: u64,
}

impl<'a> Looks<'a> {
    pub fn new(
        pipeline: &'a mut Pipeline<Box<dyn Infer>>,
        meter: Meter,
        watch: Stopwatch,
        specs: Vec<NetSpec>,
    ) -> Self {
        let nets = specs.into_iter().map(|s| (known::input(&s.input), s)).map(|(x, s)| (s, x)).collect();
        Looks { pipeline, meter, watch, nets, at: Tick::ZERO, seq: 0 }
    }

    /// Whether everything that a decision needs can be computed of a frame.
    ///
    /// # Errors
    /// The networks fail.
    pub fn decides(&mut self, frame: &Frame) -> Result<bool, Failure> {
        self.pipeline.reset();
        let pads = self.pipeline.pad_names().len();
        let seen = match self.pipeline.observe(frame, DECIDE) {
            Err(VisionError::Decode(_)) => return Ok(false),
            other => other.map_err(vision_failure)?,
        };
        Ok(seen.face.is_some_and(|f| f.embedding.is_some() && f.pad.len() == pads && f.signals.is_some()))
    }

    /// `runs` measured looks spread over the frames, each frame as a camera would show it for a while. Without a face
    /// the networks run on the input of their known answers instead of on crops.
    ///
    /// # Errors
    /// The networks fail.
    pub fn measure(
        &mut self,
        frames: &[Frame],
        face: bool,
        wants: Wants,
        crowd: Option<&Crowd>,
        runs: usize,
    ) -> Result<Vec<Run>, Failure> {
        let mut all = Vec::with_capacity(runs);
        for frame in frames {
            let mut frame = frame.clone();
            self.pipeline.reset();
            // The first look finds the face, the others follow it.
            for turn in 0..=runs.div_ceil(frames.len().max(1)) {
                self.at = self.at + FRAME;
                self.seq += 1;
                (frame.seq, frame.captured) = (self.seq, self.at);
                let run = if face { self.face(&frame, wants, crowd)? } else { self.nobody(&frame, wants, crowd)? };
                if turn > 0 {
                    all.push(run);
                }
            }
        }
        Ok(all)
    }

    /// One look of a camera that goes on.
    ///
    /// # Errors
    /// The networks fail.
    pub fn once(&mut self, frame: &Frame, face: bool, wants: Wants, crowd: Option<&Crowd>) -> Result<Run, Failure> {
        self.at = self.at + FRAME;
        self.seq += 1;
        let frame = Frame { seq: self.seq, captured: self.at, ..frame.clone() };
        if face { self.face(&frame, wants, crowd) } else { self.nobody(&frame, wants, crowd) }
    }

    fn face(&mut self, frame: &Frame, wants: Wants, crowd: Option<&Crowd>) -> Result<Run, Failure> {
        let watch = self.watch;
        self.meter.take();
        let (made, total) = watch.time(|| -> Result<(Cost, Cost), VisionError> {
            let (picture, decoding) = watch.time(|| decode(frame, &Limits::default()));
            let seen = self.pipeline.look(&picture?, frame.seq, frame.captured, frame.epoch, wants)?;
            let probe = seen.face.and_then(|f| f.embedding);
            let ((), search) = watch.time(|| {
                if let Some(c) = crowd {
                    black_box(c.rule.judge(&c.gallery.search(probe.as_ref().unwrap_or(&c.stranger))));
                }
            });
            Ok((decoding, search))
        });
        let (decode, search) = made.map_err(vision_failure)?;
        Ok(Run { total, decode, search, nets: self.meter.take() })
    }

    fn nobody(&mut self, frame: &Frame, wants: Wants, crowd: Option<&Crowd>) -> Result<Run, Failure> {
        let watch = self.watch;
        self.meter.take();
        let mut meter = self.meter.clone();
        let (made, total) = watch.time(|| -> Result<(Cost, Cost), VisionError> {
            let (picture, decoding) = watch.time(|| decode(frame, &Limits::default()));
            let picture = picture?;
            if wants.pad {
                self.pipeline.look(&picture, frame.seq, frame.captured, frame.epoch, TURN)?;
            }
            for (spec, input) in &self.nets {
                let times = match spec.role {
                    Role::Detect => 0,
                    Role::Landmarks => 1,
                    Role::Eyes => 2 * usize::from(wants.eyes),
                    Role::Pad => usize::from(wants.pad),
                    Role::Embed => usize::from(wants.embedding),
                };
                for _ in 0..times {
                    meter.run(spec.id, input.view())?;
                }
            }
            let ((), search) = watch.time(|| {
                if let Some(c) = crowd {
                    black_box(c.rule.judge(&c.gallery.search(&c.stranger)));
                }
            });
            Ok((decoding, search))
        });
        let (decode, search) = made.map_err(vision_failure)?;
        Ok(Run { total, decode, search, nets: self.meter.take() })
    }

    /// CPU time of half a minute in front of an empty room with the daemon's motion gate, over that of looking at every
    /// frame. The frames that the gate lets through are really looked at.
    ///
    /// # Errors
    /// The networks fail.
    pub fn idle_share(&mut self, room: &[Frame]) -> Result<f64, Failure> {
        let watch = self.watch;
        self.pipeline.reset();
        let mut motion = Motion::default();
        let (mut gated, mut looked, mut looks) = (0.0, 0.0, 0_u32);
        for n in 0..IDLE_FRAMES {
            let mut frame = room[n as usize % room.len()].clone();
            self.at = self.at + FRAME;
            self.seq += 1;
            (frame.seq, frame.captured) = (self.seq, self.at);
            let (worth, gate) = watch.time(|| motion.worth_looking(&frame));
            gated += gate.cpu;
            // Every thirtieth is looked at for the price of a look, whatever the gate says.
            if worth || n % 30 == 0 {
                let (seen, cost) = watch.time(|| self.pipeline.observe(&frame, TURN));
                seen.map_err(vision_failure)?;
                (looked, looks) = (looked + cost.cpu, looks + 1);
                if worth {
                    gated += cost.cpu;
                }
            }
        }
        let always = looked / f64::from(looks.max(1)) * f64::from(IDLE_FRAMES);
        Ok(if always > 0.0 { gated / always } else { 0.0 })
    }

    /// What the networks of one role took of each run in which they ran; both eyes and all PAD networks count as one.
    pub fn of_role(&self, runs: &[Run], role: Role) -> Figure {
        let mine = |id: &NetId| self.nets.iter().any(|(s, _)| s.id == *id && s.role == role);
        let each = runs.iter().filter_map(|r| {
            let costs: Vec<Cost> = r.nets.iter().filter(|(id, _)| mine(id)).map(|(_, c)| *c).collect();
            (!costs.is_empty()).then(|| costs.into_iter().sum())
        });
        Figure::of(&each.collect::<Vec<Cost>>())
    }
}

/// Totals of runs.
pub(super) fn totals(runs: &[Run]) -> Figure {
    Figure::of(&runs.iter().map(|r| r.total).collect::<Vec<_>>())
}

/// CPU time of a whole decision over that of its networks, by their medians; 0 when nothing ran.
pub(super) fn ratio(decision: &Spread, networks: &Spread) -> f64 {
    if networks.median > 0.0 { decision.median / networks.median } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(cpu: f64) -> Cost {
        Cost { cpu, wall: 2.0 * cpu }
    }

    #[test]
    fn what_is_left_of_a_run_is_neither_decoding_nor_networks_nor_search() {
        let nets = vec![(NetId(0), cost(2.0)), (NetId(3), cost(4.0))];
        let run = Run { total: cost(10.0), decode: cost(1.0), search: cost(0.5), nets };
        assert_eq!(run.networks(), cost(6.0));
        assert_eq!(run.rest(), cost(2.5));
    }

    #[test]
    fn the_ratio_is_the_price_of_everything_around_the_networks() {
        let spread = |median| Spread { median, p95: 0.0, mean: 0.0 };
        assert_eq!(ratio(&spread(12.5), &spread(10.0)), 1.25);
        assert_eq!(ratio(&spread(12.5), &spread(0.0)), 0.0);
    }
}
