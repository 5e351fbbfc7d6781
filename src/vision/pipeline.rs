//! From a frame to an observation: detect or follow, landmarks, pose, then what the visit wants beside.
//!
//! Knows networks by family and tensors, nothing of runtimes, visits or doors. Detection runs on a new track, whenever
//! PAD or the embedding is wanted (both need the detector's own box and points), and every 200 ms; between that the
//! mesh follows itself.

use super::copies::Copies;
use super::decode::{DecodeError, Limits, decode};
use super::detection::Detection;
use super::embedding::AlignBy;
use super::facemesh::{Mesh, Roi};
use super::family::{BadOutput, Family, NetSpec, Role, flat};
use super::frame::{Frame, Picture};
use super::relief::{Follower, Sample};
use super::tensor::{NetInput, Place};
use super::warp::Border;
use super::{blazeface, embedding, eyes, facemesh, mouth, pad, pose, quality, skin, yunet};
use crate::base::time::Tick;
use crate::domain::observation::{Embedding, FaceSeen, Observation, Pose, Quality, Rect, ReliefAsk, Signals, Wants};
use crate::domain::visit::SECOND_FACE;
use crate::ports::{Infer, PortError};
use std::time::Duration;

/// A frame could not be made into an observation.
#[derive(Debug, thiserror::Error)]
pub enum VisionError {
    /// The frame itself is broken: it is counted and skipped.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The runtime failed: no further frame will fare better.
    #[error(transparent)]
    Infer(#[from] PortError),
    /// A network gave what its contract does not allow.
    #[error(transparent)]
    Output(#[from] BadOutput),
    /// The pack lacks what a visit needs.
    #[error("the model pack has no {0} network; choose another pack or run `cardea models install`")]
    NoNetwork(&'static str),
}

/// Detection runs at least this often, so that a second face is seen soon.
const DETECT_EVERY: Duration = Duration::from_millis(200);
/// Without a detection for so long a mesh that goes on by itself is not believed.
const UNCONFIRMED: Duration = Duration::from_millis(1000);
/// A mesh below this probability shows no face.
const MESH_FACE: f32 = 0.5;
/// The same face overlaps by at least this from frame to frame.
const SAME_FACE: f32 = 0.3;
/// Degrees from frontal up to which PAD and matching use a frame. Cameras hang above or below eye level, so pitch has
/// more room: neutral faces of the clips read down to -13 degrees.
const FRONTAL_YAW: f32 = 15.0;
const FRONTAL_PITCH: f32 = 20.0;

struct Net {
    spec: NetSpec,
    input: NetInput,
}

/// Which face of a still picture is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The biggest one: who stands in front of a terminal.
    Biggest,
    /// The one nearest to the middle among those at least 0.4 of the biggest: whom a press photograph shows.
    Central,
}

struct Track {
    id: u32,
    mesh: Option<Mesh>,
    rect: Rect,
    /// From the mesh's bounding box to the detector's box.
    mesh_box: Option<Rect>,
    detected: Tick,
    faces: u32,
    second: f32,
}

/// What a pipeline remembers of one camera; the default is a camera that was never seen.
#[derive(Default)]
pub struct Memory {
    track: Option<Track>,
    tracks: u32,
    epoch: u32,
    copies: Copies,
    follower: Follower,
}

/// Follows one camera. Not shared between threads; buffers are reused.
pub struct Pipeline<I> {
    infer: I,
    detect: Net,
    landmarks: Net,
    eyes: Option<Net>,
    embed: Net,
    pad: Vec<Net>,
    rules: quality::Rules,
    limits: Limits,
    subject: Subject,
    track: Option<Track>,
    tracks: u32,
    epoch: u32,
    copies: Copies,
    follower: Follower,
    sample: Option<Sample>,
    scratch: Vec<u8>,
    head: Option<pad::Head>,
    features: Vec<f32>,
}

/// Where in the picture a face is, and what was computed of it.
struct Looked {
    rect: Rect,
    mesh: Option<Mesh>,
    points: Option<Detection>,
    pose: Pose,
    signals: Option<Signals>,
}

impl<I: Infer> Pipeline<I> {
    /// A pipeline over the networks of a pack.
    ///
    /// # Errors
    /// [`VisionError::NoNetwork`] when detection, landmarks or embedding are missing.
    pub fn new(infer: I, specs: &[NetSpec], rules: quality::Rules) -> Result<Self, VisionError> {
        let of = |role: Role| -> Vec<Net> {
            specs
                .iter()
                .filter(|s| s.role == role)
                .map(|s| Net { spec: s.clone(), input: NetInput::new(&s.input) })
                .collect()
        };
        let one = |role: Role| of(role).into_iter().next().ok_or(VisionError::NoNetwork(role.name()));
        Ok(Pipeline {
            detect: one(Role::Detect)?,
            landmarks: one(Role::Landmarks)?,
            eyes: of(Role::Eyes).into_iter().next(),
            embed: one(Role::Embed)?,
            pad: of(Role::Pad),
            infer,
            rules,
            limits: Limits::default(),
            subject: Subject::Biggest,
            track: None,
            tracks: 0,
            epoch: 0,
            copies: Copies::default(),
            follower: Follower::default(),
            sample: None,
            scratch: Vec::new(),
            head: None,
            features: Vec::new(),
        })
    }

    /// The same pipeline for still pictures of which the middle face is meant.
    #[must_use]
    pub fn with_subject(mut self, subject: Subject) -> Self {
        self.subject = subject;
        self
    }

    /// The same pipeline with a head over the features of its PAD networks, which must be exposed: one more score, behind
    /// those of the networks, and so one more veto.
    #[must_use]
    pub fn with_head(mut self, head: pad::Head) -> Self {
        self.head = Some(head);
        self
    }

    /// Names of the PAD networks and of the head, in the order of the scores.
    #[must_use]
    pub fn pad_names(&self) -> Vec<String> {
        let head = self.head.as_ref().map(|_| pad::HEAD.to_owned());
        self.pad.iter().map(|n| n.spec.name.clone()).chain(head).collect()
    }

    /// Features of the PAD networks on the last frame, one behind the other; empty where PAD did not run or they are not
    /// exposed.
    #[must_use]
    pub fn features(&self) -> &[f32] {
        &self.features
    }

    /// Forgets the track, as after another picture.
    pub fn reset(&mut self) {
        self.track = None;
        self.follower.clear();
        self.copies.clear();
    }

    /// Exchanges what is remembered, so that one set of networks follows several cameras in turn.
    pub fn swap(&mut self, memory: &mut Memory) {
        use std::mem::swap;
        swap(&mut self.track, &mut memory.track);
        swap(&mut self.tracks, &mut memory.tracks);
        swap(&mut self.epoch, &mut memory.epoch);
        swap(&mut self.copies, &mut memory.copies);
        swap(&mut self.follower, &mut memory.follower);
        self.sample = None;
    }

    /// What the newest frame gave a [`Follower`], when its relief was asked about. `eval` looks at a clip once and lets
    /// each visit follow it from its own prompt on.
    pub fn take_sample(&mut self) -> Option<Sample> {
        self.sample.take()
    }

    /// Decodes and looks.
    ///
    /// # Errors
    /// See [`VisionError`]; a frame that cannot be decoded leaves the track as it was.
    pub fn observe(&mut self, frame: &Frame, wants: Wants) -> Result<Observation, VisionError> {
        let picture = decode(frame, &self.limits)?;
        self.look(&picture, frame.seq, frame.captured, frame.epoch, wants)
    }

    /// Looks at a decoded picture.
    ///
    /// # Errors
    /// See [`VisionError`].
    pub fn look(
        &mut self,
        picture: &Picture,
        seq: u64,
        captured: Tick,
        epoch: u32,
        wants: Wants,
    ) -> Result<Observation, VisionError> {
        if epoch != self.epoch {
            self.track = None;
            self.follower.clear();
            self.copies.clear();
            self.epoch = epoch;
        }
        self.infer.frame(seq);
        let tracks = self.tracks;
        self.features.clear();
        let looked = self.find(picture, captured, wants)?;
        if self.tracks != tracks {
            self.follower.clear();
        }
        let sample = match (&looked, wants.relief) {
            (_, ReliefAsk::No) | (None, _) => None,
            (Some(l), _) => l.mesh.as_ref().and_then(|m| Sample::of(picture, m)),
        };
        let relief = self.follower.see(captured, wants.relief, sample.as_ref());
        self.sample = sample;
        let unchanged = self.copies.see(picture, looked.as_ref().map(|l| l.rect));
        let (faces, second) = self.track.as_ref().map_or((0, 0.0), |t| (t.faces, t.second));
        let face = match looked {
            Some(l) => {
                let several = faces > 1 && second >= SECOND_FACE;
                Some(FaceSeen { relief, ..self.describe(picture, l, several, wants)? })
            }
            None => None,
        };
        Ok(Observation { frame: seq, captured, epoch, digest: picture.digest(), unchanged, faces, second, face })
    }

    /// Detects or follows; the track is up to date afterwards.
    fn find(&mut self, picture: &Picture, at: Tick, wants: Wants) -> Result<Option<Looked>, VisionError> {
        let stale = self.track.as_ref().is_none_or(|t| t.mesh.is_none() || at.since(t.detected) >= DETECT_EVERY);
        let detect = stale || wants.pad || wants.embedding;
        let found = if detect { Some(self.detect(picture)?) } else { None };
        let chosen = found.as_ref().and_then(|f| choose(f, self.subject, picture));
        let before = self.track.take();
        let mut follow = before.as_ref().and_then(|t| t.mesh.as_ref()).map(Roi::of_mesh);
        let same = match (&chosen, &before) {
            (Some(d), Some(t)) => d.rect.iou(&t.rect) >= SAME_FACE,
            (None, Some(t)) => found.is_none() || at.since(t.detected) < UNCONFIRMED,
            (_, None) => false,
        };
        if !same {
            follow = None;
        }
        let mesh = self.mesh(picture, follow, chosen.as_ref())?;
        if mesh.is_none() && chosen.is_none() {
            // Lost: the id is given up, so that whoever comes next is somebody new, but a short gap keeps it.
            self.track = before.filter(|t| at.since(t.detected) < UNCONFIRMED).map(|t| Track {
                mesh: None,
                faces: 0,
                second: 0.0,
                ..t
            });
            return Ok(None);
        }
        let mesh_box = mesh.as_ref().map(bounds);
        let rect = match (&chosen, &before, mesh_box) {
            (Some(d), ..) => d.rect,
            (None, Some(t), Some(now)) => moved(t.rect, t.mesh_box, now),
            (None, Some(t), None) => t.rect,
            (None, None, _) => return Ok(None),
        };
        let id = match &before {
            Some(t) if same && (chosen.is_some() || rect.iou(&t.rect) >= SAME_FACE) => t.id,
            _ => {
                self.tracks += 1;
                self.tracks
            }
        };
        let (faces, second) = match (&found, &before) {
            (Some(f), _) if chosen.is_some() => (u32::try_from(f.len()).unwrap_or(u32::MAX), second_face(f)),
            (Some(_), _) => (1, 0.0),
            (None, Some(t)) => (t.faces, t.second),
            (None, None) => (1, 0.0),
        };
        let detected = if chosen.is_some() { at } else { before.as_ref().map_or(at, |t| t.detected) };
        let posed = mesh.as_ref().and_then(|m| pose::pose(m).map(|(p, turn)| (p, pose::signals(m, &turn))));
        let (head, signals) = match (posed, &chosen) {
            (Some((p, s)), _) => (p, Some(s)),
            (None, Some(d)) => {
                let yaw = pose::five_point_yaw(d.points.eyes(), d.points.nose());
                (Pose { yaw, pitch: 0.0, roll: d.points.tilt().to_degrees() }, None)
            }
            (None, None) => (Pose::default(), None),
        };
        self.track = Some(Track { id, mesh: mesh.clone(), rect, mesh_box, detected, faces, second });
        Ok(Some(Looked { rect, mesh, points: chosen, pose: head, signals }))
    }

    /// Landmarks from the frame before, or from the detection when those lost the face.
    fn mesh(
        &mut self,
        picture: &Picture,
        follow: Option<Roi>,
        chosen: Option<&Detection>,
    ) -> Result<Option<Mesh>, VisionError> {
        for roi in [follow, chosen.map(Roi::of_detection)].into_iter().flatten() {
            let Some(m) = roi.affine() else { continue };
            let input = self.landmarks.input.warp(picture, &m, Border::Zero);
            let outputs = self.infer.run(self.landmarks.spec.id, input)?;
            let mesh = facemesh::decode(&outputs, roi)?;
            if mesh.probability >= MESH_FACE {
                return Ok(Some(mesh));
            }
        }
        Ok(None)
    }

    fn detect(&mut self, picture: &Picture) -> Result<Vec<Detection>, VisionError> {
        let blaze = self.detect.spec.family == Family::Blazeface;
        let place = if blaze { Place::Centre } else { Place::TopLeft };
        let Some(letterbox) = self.detect.input.letterbox(picture, place) else { return Ok(Vec::new()) };
        let outputs = self.infer.run(self.detect.spec.id, self.detect.input.view())?;
        Ok(if blaze {
            blazeface::decode(&outputs, &letterbox, blazeface::THRESHOLD)?
        } else {
            yunet::decode(&outputs, &letterbox, yunet::THRESHOLD)?
        })
    }

    fn describe(
        &mut self,
        picture: &Picture,
        looked: Looked,
        several: bool,
        wants: Wants,
    ) -> Result<FaceSeen, VisionError> {
        let light = quality::light(picture, looked.rect, &mut self.scratch);
        let quality = self.rules.judge(looked.rect, &looked.pose, light, several);
        let frontal = looked.pose.yaw.abs() <= FRONTAL_YAW && looked.pose.pitch.abs() <= FRONTAL_PITCH;
        let mut signals = looked.signals;
        if let (true, Some(s), Some(mesh)) = (wants.eyes, &mut signals, &looked.mesh) {
            s.openness = self.openness(picture, mesh)?;
        }
        if let (true, Some(s), Some(mesh)) = (wants.tongue, &mut signals, &looked.mesh) {
            s.tongue = mouth::fill(picture, mesh);
        }
        let mut scores = Vec::new();
        if wants.pad && quality == Quality::Ok && frontal && looked.points.is_some() {
            for net in &mut self.pad {
                let Some(input) = pad::write(&net.spec, picture, looked.rect, &mut net.input) else { continue };
                let outputs = self.infer.run(net.spec.id, input)?;
                scores.push(pad::decode(net.spec.family, &outputs)?);
                if let Some((at, len)) = net.spec.exposed() {
                    self.features.extend_from_slice(flat(net.spec.family, &outputs, at, len)?);
                }
            }
            // A head without its features gives no score, and a frame that lacks a score is no evidence of life.
            scores.extend(self.head.as_ref().and_then(|h| h.score(&self.features)));
        }
        // Whether a poor picture may be compared is the caller's question: `eval` compares all of them.
        let vector = if wants.embedding { self.embedding(picture, &looked)? } else { None };
        Ok(FaceSeen {
            track: self.track.as_ref().map_or(0, |t| t.id),
            rect: looked.rect,
            quality,
            frontal,
            pose: looked.pose,
            signals,
            pad: scores,
            embedding: vector,
            relief: None,
            skin: looked.mesh.as_ref().filter(|_| wants.light && frontal).and_then(|m| skin::light(picture, m)),
        })
    }

    fn openness(&mut self, picture: &Picture, mesh: &Mesh) -> Result<Option<[f32; 2]>, VisionError> {
        let Some(net) = &mut self.eyes else { return Ok(None) };
        let mut both = [0.0; 2];
        for (i, eye) in [eyes::Eye::Left, eyes::Eye::Right].into_iter().enumerate() {
            let Some(m) = eyes::affine(mesh, eye) else { return Ok(None) };
            let input = net.input.warp(picture, &m, Border::Zero);
            both[i] = eyes::openness(&self.infer.run(net.spec.id, input)?)?;
        }
        Ok(Some(both))
    }

    fn embedding(&mut self, picture: &Picture, looked: &Looked) -> Result<Option<Embedding>, VisionError> {
        let family = self.embed.spec.family;
        // Each network is aligned by the points that its thresholds were measured with.
        let by = match (&looked.mesh, &looked.points) {
            (Some(mesh), _) if family == Family::Dlib150 => AlignBy::Mesh(mesh),
            (_, Some(d)) => AlignBy::Detection(&d.points),
            (Some(mesh), None) => AlignBy::Mesh(mesh),
            (None, None) => return Ok(None),
        };
        let Some(m) = embedding::affine(family, by) else { return Ok(None) };
        let input = self.embed.input.warp(picture, &m, Border::Zero);
        let outputs = self.infer.run(self.embed.spec.id, input)?;
        Ok(Some(embedding::decode(family, &outputs)?))
    }
}

/// The subject among the faces found.
fn choose(found: &[Detection], subject: Subject, picture: &Picture) -> Option<Detection> {
    let biggest = found.iter().copied().max_by(|a, b| (a.rect.w * a.rect.h).total_cmp(&(b.rect.w * b.rect.h)))?;
    if subject == Subject::Biggest {
        return Some(biggest);
    }
    let middle = [picture.width as f32 / 2.0, picture.height as f32 / 2.0];
    let apart = |d: &Detection| {
        let r = d.rect;
        (r.x + r.w / 2.0 - middle[0]).hypot(r.y + r.h / 2.0 - middle[1])
    };
    found
        .iter()
        .copied()
        .filter(|d| d.rect.w >= 0.4 * biggest.rect.w)
        .min_by(|a, b| apart(a).total_cmp(&apart(b)))
        .or(Some(biggest))
}

/// Side of the second biggest face over that of the biggest.
fn second_face(found: &[Detection]) -> f32 {
    let mut sides: Vec<f32> = found.iter().map(|d| (d.rect.w * d.rect.h).max(0.0).sqrt()).collect();
    sides.sort_by(f32::total_cmp);
    match sides.as_slice() {
        [.., second, first] if *first > 0.0 => second / first,
        _ => 0.0,
    }
}

/// Bounding box of the points.
fn bounds(mesh: &Mesh) -> Rect {
    let roi = Roi::of_mesh(mesh);
    let (mut lo, mut hi) = ([f32::INFINITY; 2], [f32::NEG_INFINITY; 2]);
    for p in mesh.points.iter() {
        lo = [lo[0].min(p[0]), lo[1].min(p[1])];
        hi = [hi[0].max(p[0]), hi[1].max(p[1])];
    }
    if lo[0] <= hi[0] && lo[1] <= hi[1] {
        Rect { x: lo[0], y: lo[1], w: hi[0] - lo[0], h: hi[1] - lo[1] }
    } else {
        Rect { x: roi.centre[0], y: roi.centre[1], w: 0.0, h: 0.0 }
    }
}

/// The detector's box carried along with the mesh's.
fn moved(rect: Rect, before: Option<Rect>, now: Rect) -> Rect {
    let Some(b) = before.filter(|b| b.w > 1.0 && b.h > 1.0) else { return now };
    let scale = ((now.w * now.h) / (b.w * b.h)).sqrt();
    let centre = |r: Rect| [r.x + r.w / 2.0, r.y + r.h / 2.0];
    let (from, to, own) = (centre(b), centre(now), centre(rect));
    let (w, h) = (rect.w * scale, rect.h * scale);
    let at = [to[0] + (own[0] - from[0]) * scale, to[1] + (own[1] - from[1]) * scale];
    Rect { x: at[0] - w / 2.0, y: at[1] - h / 2.0, w, h }
}
