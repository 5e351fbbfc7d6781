//! One attempt by one person in front of a camera, from presence to verdict.
//!
//! ```text
//! WAITING --big face for 0.5 s--> ASSESS --quality, PAD, identity known or not--> BETWEEN --neutral, onset--> ASKED
//!    ^                              |  ^                                            |  ^                        |
//!    +------ face gone ------------+  +--- face changed before the first prompt ----+  +---- action in time ---+
//!                                                                                                              |
//!                                                       DONE <--same person again-- REMATCH <--last action----+
//! ```
//!
//! Before REMATCH a door may have a light handshake: see `light`.
//! Every state can end in DONE with a refusal. Unknown people get the same challenge with the same timing as known
//! ones; their refusal comes at the end. Times are those of capture; `now` tells whether a frame is too old and from when a
//! prompt could be seen.

mod advice;
mod evidence;
mod gates;
mod light;
mod policy;
#[cfg(test)]
mod tests;

pub use advice::against;
pub use light::LightAsk;
pub use policy::{ChallengeSource, Gate, Policy};

use crate::base::time::Tick;
use crate::domain::challenge::{Onset, Plan, Step};
use crate::domain::fusion;
use crate::domain::gallery::Identity;
use crate::domain::gesture::Seen;
use crate::domain::liveness::{PadPhase, PadVerdict};
use crate::domain::observation::{Embedding, FaceSeen, Observation, Pose, Quality, ReliefAsk, Wants};
use crate::domain::relief::TurnProof;
use crate::domain::screen::{Advice, Phase, Screen};
use crate::schema::event::{Action, Event, Goal, Reason, Verdict};
use crate::schema::ids::{PersonId, VisitId};
use evidence::{Done, Evidence, Stream};
use gates::STRANGE;
use std::sync::Arc;
use std::time::Duration;

/// A second face of at least this part of the first one's size means two people.
pub const SECOND_FACE: f32 = 0.6;
/// Two people for so long end a challenge; shorter is a false detection.
const SEVERAL: Duration = Duration::from_millis(200);
/// Without a face for so long before the challenge, the person has gone.
const GONE: Duration = Duration::from_millis(1000);
/// Beside the actions, PAD and embedding run at their own rate.
const PAD_EVERY: Duration = Duration::from_millis(150);
const EMBEDDING_EVERY: Duration = Duration::from_millis(180);
/// An embedding is compared with the beginning only from heads turned less than this, in degrees: beyond, a person is
/// not like oneself any more (measured: similarity falls below 0.5 at extreme pitch).
const CONTINUITY_YAW: f32 = 25.0;
const CONTINUITY_PITCH: f32 = 12.0;
/// A median of PAD this far above its threshold is beyond doubt.
const STEP_UP_MARGIN: f32 = 0.2;
/// Frames a second below which points on a turning head are lost between two frames: 4 of 10 labelled turns could be
/// followed at 5, 7 at 10, all at 30.
const RELIEF_FPS: f32 = 8.0;
/// Without PAD and identity there must still be a face to hold on to.
const LEAST_EMBEDDINGS: usize = 3;

/// What the visit is told.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    Seen(&'a Observation),
    /// `next_deadline` is due, or nothing came for a while.
    Time,
    /// The daemon stops, or somebody walked up to stop it.
    Stop,
    /// The terminal may not decide now: locked out, no guard, no journal. Ends a running visit with that reason.
    Refuse(Reason),
    /// The source was opened again, or is another one.
    CameraChanged,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    Show(Screen),
    Record(Event),
    Decided(Decision),
}

/// How a visit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub visit: VisitId,
    pub goal: Goal,
    pub verdict: Verdict,
    pub reason: Option<Reason>,
    /// Who it was, as far as known; with a refusal only for the journal.
    pub person: Option<PersonId>,
    pub began: Tick,
    pub at: Tick,
    /// Capture time of the newest frame that the verdict rests on.
    pub newest: Tick,
}

/// Whether a gate is open, undecided or shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateState {
    Pass,
    Wait,
    Fail,
}

impl GateState {
    /// The word in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            GateState::Pass => "pass",
            GateState::Wait => "wait",
            GateState::Fail => "fail",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum State {
    /// Nobody, or not long enough.
    Waiting {
        since: Option<Tick>,
    },
    /// Looking: quality, PAD, identity.
    Assess {
        until: Tick,
    },
    /// The gate before step `step` is open since `gate`; its prompt waits for the onset and a neutral face.
    Between {
        step: usize,
        gate: Tick,
    },
    /// The prompt of `step` is shown; `left` repetitions are missing.
    Asked {
        step: usize,
        prompted: Tick,
        until: Tick,
        left: u8,
    },
    /// All actions are done: the display shows a code.
    Light,
    /// All actions are done: the same person, and alive in enough frames?
    Rematch {
        until: Tick,
    },
    Done(Decision),
}

/// The state machine of one visit.
#[derive(Debug)]
pub struct Visit {
    policy: Arc<Policy>,
    id: VisitId,
    seed: [u8; 32],
    state: State,
    stream: Stream,
    evidence: Evidence,
    began: Option<Tick>,
    identity: Option<Identity>,
    plan: Plan,
    challenge_began: Option<Tick>,
    /// Whether turns must show their relief: decided once, when the challenge is drawn.
    relief_asked: bool,
    done: Done,
    light: Option<light::Handshake>,
    screen: Screen,
}

impl Visit {
    /// A visit that waits for somebody. `seed` is fresh from the kernel's generator; nothing else is random.
    #[must_use]
    pub fn new(policy: Arc<Policy>, id: VisitId, seed: [u8; 32]) -> Self {
        Visit {
            evidence: Evidence::new(&policy),
            policy,
            id,
            seed,
            state: State::Waiting { since: None },
            stream: Stream::default(),
            began: None,
            identity: None,
            plan: Plan::default(),
            challenge_began: None,
            relief_asked: true,
            done: Done::default(),
            light: None,
            screen: Screen::IDLE,
        }
    }

    /// The verdict, once there is one.
    #[must_use]
    pub fn decision(&self) -> Option<&Decision> {
        match &self.state {
            State::Done(d) => Some(d),
            _ => None,
        }
    }

    /// Pose of the newest frame against the face at rest.
    #[must_use]
    pub fn pose(&self) -> Pose {
        self.evidence.gestures.relative()
    }

    /// What PAD says of everything seen so far.
    #[must_use]
    pub fn pad(&self) -> PadVerdict {
        self.evidence.pad.verdict()
    }

    /// Whether somebody is being looked at.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !matches!(self.state, State::Waiting { .. } | State::Done(_))
    }

    /// What the next frame, captured at `at`, should be asked beyond faces and pose.
    #[must_use]
    pub fn wants(&self, at: Tick) -> Wants {
        let due = |last: Option<Tick>, every| last.is_none_or(|l| at.since(l) >= every);
        let e = &self.evidence;
        match &self.state {
            State::Waiting { .. } | State::Done(_) => Wants::default(),
            // Somebody may begin to turn as soon as the first prompt is there: the reference is from before.
            State::Assess { .. } => {
                let eyes = self.may_ask(needs_eyes);
                Wants { eyes, pad: true, embedding: true, relief: ReliefAsk::Ready, ..Wants::default() }
            }
            State::Between { step, .. } | State::Asked { step, .. } => Wants {
                eyes: self.plan.0.get(*step).is_some_and(|s| needs_eyes(s.action)),
                tongue: self.plan.0.get(*step).is_some_and(|s| s.action == Action::Tongue),
                pad: due(e.last_pad, PAD_EVERY),
                embedding: due(e.last_embedding, EMBEDDING_EVERY),
                relief: match (&self.state, self.plan.0.get(*step).and_then(|s| self.side(s.action))) {
                    (_, None) => ReliefAsk::No,
                    _ if !self.relief_asked => ReliefAsk::No,
                    (State::Asked { .. }, Some(_)) => ReliefAsk::Follow,
                    _ => ReliefAsk::Ready,
                },
                light: false,
            },
            State::Light => {
                Wants { light: true, embedding: due(e.last_embedding, EMBEDDING_EVERY), ..Wants::default() }
            }
            State::Rematch { .. } => {
                let pad = !self.pad_seen() || due(e.last_pad, PAD_EVERY);
                Wants { pad, embedding: true, ..Wants::default() }
            }
        }
    }

    /// Towards which edge of the image an action turns the head: 1 for the right one, -1 for the left one, `None` for
    /// what is no turn.
    fn side(&self, action: Action) -> Option<f32> {
        let mirror = if self.policy.mirrored { -1.0 } else { 1.0 };
        match action {
            Action::TurnLeft => Some(mirror),
            Action::TurnRight => Some(-mirror),
            _ => None,
        }
    }

    /// Whether an action of that kind can come to be asked for.
    fn may_ask(&self, of_kind: impl Fn(Action) -> bool) -> bool {
        match &self.policy.challenge {
            ChallengeSource::Draw(d) | ChallengeSource::StepUp(d) => d.actions.iter().any(|a| of_kind(*a)),
            ChallengeSource::Fixed { order, .. } => order.iter().any(|(a, _)| of_kind(*a)),
            ChallengeSource::Planned(p) => p.0.iter().any(|s| of_kind(s.action)),
            ChallengeSource::None => false,
        }
    }

    /// When [`Input::Time`] is due, if ever.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        match &self.state {
            State::Waiting { .. } | State::Done(_) => None,
            State::Assess { until } | State::Asked { until, .. } | State::Rematch { until } => Some(*until),
            State::Between { .. } => self.challenge_began.map(|b| b + self.policy.challenge_limit),
            State::Light => self.light.as_ref().and_then(light::Handshake::deadline),
        }
    }

    /// Takes one input at `now`; effects are to be carried out in order. Ticks must not go backwards.
    #[must_use]
    pub fn handle(&mut self, now: Tick, input: Input<'_>) -> Vec<Effect> {
        let mut out = Vec::new();
        if self.decision().is_some() {
            return out;
        }
        match input {
            Input::Seen(o) => self.seen(now, o, &mut out),
            Input::Time => self.time(now, &mut out),
            Input::Stop => self.end_if_running(now, Reason::Stopped, &mut out),
            Input::Refuse(reason) => self.end_if_running(now, reason, &mut out),
            Input::CameraChanged => self.end_if_running(now, Reason::CameraChanged, &mut out),
        }
        out
    }

    fn end_if_running(&mut self, now: Tick, reason: Reason, out: &mut Vec<Effect>) {
        if self.is_running() {
            self.refuse(now, reason, out);
        } else {
            self.state = State::Waiting { since: None };
        }
    }

    fn seen(&mut self, now: Tick, o: &Observation, out: &mut Vec<Effect>) {
        let policy = self.policy.clone();
        // A stamp from the future is of another clock: nobody knows how old such a frame is.
        let off = now.since(o.captured).max(o.captured.since(now));
        if policy.holds(Gate::Fresh) && off > policy.max_age {
            self.stream.stale += 1;
            return self.time(now, out);
        }
        if self.stream.epoch.is_some_and(|e| e != o.epoch) {
            let was_running = self.is_running();
            self.stream = Stream::default();
            self.end_if_running(now, Reason::CameraChanged, out);
            if was_running {
                return;
            }
        }
        self.stream.epoch = Some(o.epoch);
        let before = self.stream.newest;
        if !self.stream.admit(o) {
            if self.is_running() && policy.holds(Gate::Source) && self.injected().is_some() {
                self.refuse(now, Reason::Injection, out);
            }
            return;
        }
        if let (State::Waiting { since }, Some(before)) = (&mut self.state, before)
            && o.captured.since(before) > GONE
        {
            // Two frames with nothing between them do not show that somebody stayed.
            *since = None;
        }
        if self.is_running() && policy.holds(Gate::Source) && self.injected().is_some() {
            return self.refuse(now, Reason::Injection, out);
        }
        self.time(now, out);
        if self.decision().is_some() {
            return;
        }
        let second = o.second >= SECOND_FACE || o.second.is_nan();
        let several = o.faces > 1 && second && policy.holds(Gate::OneFace);
        match (&o.face, several) {
            (Some(face), false) => {
                self.evidence.several_since = None;
                self.face(now, o, face, out);
            }
            (Some(face), true) => self.several(now, o, face, out),
            (None, _) => {
                if let State::Waiting { since } = &mut self.state {
                    *since = None;
                    self.show(Screen::IDLE, out);
                }
            }
        }
    }

    /// More than one person: nothing is decided on such a frame.
    fn several(&mut self, now: Tick, o: &Observation, face: &FaceSeen, out: &mut Vec<Effect>) {
        let since = *self.evidence.several_since.get_or_insert(o.captured);
        match &mut self.state {
            State::Waiting { since } => {
                *since = None;
                if face.rect.w >= self.policy.min_face_px {
                    self.show(Screen { phase: Phase::Looking, advice: Some(Advice::OneAtATime), ..Screen::IDLE }, out);
                }
            }
            State::Assess { .. } => {
                // Those who stay are not gone; the limit of the state ends it.
                self.evidence.last_face = Some(o.captured);
                self.evidence.trouble = Some(Quality::Several);
                self.show(Screen { phase: Phase::Looking, advice: Some(Advice::OneAtATime), ..Screen::IDLE }, out);
            }
            _ => {
                if o.captured.since(since) >= SEVERAL {
                    self.refuse(now, Reason::SeveralFaces, out);
                }
            }
        }
    }

    /// One face, on a fresh frame.
    fn face(&mut self, now: Tick, o: &Observation, face: &FaceSeen, out: &mut Vec<Effect>) {
        let at = o.captured;
        if let State::Waiting { since } = &mut self.state {
            if face.rect.w < self.policy.min_face_px || face.rect.w.is_nan() {
                *since = None;
                return;
            }
            let began = *since.get_or_insert(at);
            if self.policy.holds(Gate::Intent) && at.since(began) < self.policy.intent {
                return;
            }
            self.began = Some(began);
            // What repeated itself before anybody was there, as black frames do at night, accuses nobody.
            self.stream.forgive();
            self.state = State::Assess { until: at + self.policy.assess_limit };
            out.push(Effect::Record(Event::VisitStarted { visit: self.id, goal: self.policy.goal }));
            self.show(Screen { phase: Phase::Looking, ..Screen::IDLE }, out);
        }
        if self.changed(at, face) {
            if self.prompted() {
                return self.refuse(now, Reason::FaceChanged, out);
            }
            // Nothing was asked yet, so nothing was claimed: whoever is there now begins anew.
            let until = match self.state {
                State::Assess { until } => until,
                // People who take turns do not hold the door for ever.
                _ => (at + self.policy.assess_limit)
                    .min(self.began.unwrap_or(at) + self.policy.intent + self.policy.assess_limit * 2),
            };
            self.evidence = Evidence::new(&self.policy);
            self.identity = None;
            self.state = State::Assess { until };
        }
        self.evidence.track = Some(face.track);
        self.evidence.last_face = Some(at);
        let actions = self.evidence.gestures.see(at, face);
        match self.state.clone() {
            State::Assess { .. } => self.assess(now, at, face, out),
            State::Between { step, gate } => self.between(now, at, step, gate, face, &actions, out),
            State::Asked { .. } => self.asked(now, at, face, &actions, out),
            State::Light => self.lighted(now, at, face, &actions, out),
            State::Rematch { .. } => self.rematch(now, at, face, &actions, out),
            State::Waiting { .. } | State::Done(_) => {}
        }
    }

    /// Another track than before, or the same after too long a gap.
    fn changed(&self, at: Tick, face: &FaceSeen) -> bool {
        let e = &self.evidence;
        // Whoever brings a slow camera to a visit that opens no door may miss a frame or two: two and a half periods.
        let period = 1.0 / self.stream.fps().clamp(1.0, 60.0);
        let own = Duration::from_secs_f32((2.5 * period).min(1.3));
        let door = self.policy.goal == Goal::Identify;
        let gap = if door { self.policy.max_gap } else { self.policy.max_gap.max(own) };
        self.policy.holds(Gate::Continuity)
            && (e.track.is_some_and(|t| t != face.track) || e.last_face.is_some_and(|l| at.since(l) > gap))
    }

    /// Whether a prompt has been shown: from then on a change of the face is a refusal.
    fn prompted(&self) -> bool {
        match self.state {
            State::Between { step, .. } => step > 0 || self.evidence.asked_again.is_some(),
            State::Asked { .. } | State::Light | State::Rematch { .. } => true,
            _ => false,
        }
    }

    fn assess(&mut self, now: Tick, at: Tick, face: &FaceSeen, out: &mut Vec<Effect>) {
        let ok = (face.quality == Quality::Ok && face.frontal) || !self.policy.holds(Gate::Quality);
        if !ok {
            let trouble = if face.quality == Quality::Ok { Quality::OffPose } else { face.quality };
            self.evidence.trouble = Some(trouble);
            return self.show(Screen { phase: Phase::Looking, advice: advice::against(trouble), ..Screen::IDLE }, out);
        }
        self.evidence.trouble = None;
        self.show(Screen { phase: Phase::Looking, ..Screen::IDLE }, out);
        self.evidence.take_pad(PadPhase::Before, at, face);
        if let Some(embedding) = &face.embedding {
            self.evidence.votes.push(self.judge(embedding));
            self.evidence.embeddings.push(embedding.clone());
            self.evidence.last_embedding = Some(at);
        }
        let needed = if self.policy.goal == Goal::Liveness { LEAST_EMBEDDINGS } else { self.policy.agree_of };
        let pad_ready = self.policy.pad.is_empty() || self.evidence.pad.frames() >= self.policy.pad_frames;
        if self.evidence.embeddings.len() < needed || !pad_ready {
            return;
        }
        let fps = self.stream.fps();
        if self.policy.holds(Gate::Fresh) && self.policy.goal == Goal::Identify && fps < self.policy.min_fps {
            return self.refuse(now, Reason::Degraded, out);
        }
        self.identity = Some(self.agreed());
        self.evidence.mean = self.claimed();
        self.relief_asked = fps >= RELIEF_FPS;
        self.plan = self.draw(fps);
        self.challenge_began = Some(at);
        if self.plan.0.is_empty() && self.must_ask() {
            // Nothing of the deck can be asked of this person, or at this rate: neither may take the challenge away.
            let reason = if self.cannot().is_empty() { Reason::Degraded } else { Reason::SecondFactor };
            return self.refuse(now, reason, out);
        }
        if self.plan.0.is_empty() {
            return self.acted(now, at, out);
        }
        self.state = State::Between { step: 0, gate: at };
        self.ask_at_once(now, at, 0, out);
    }

    /// Whether this visit cannot end well without a challenge.
    fn must_ask(&self) -> bool {
        match &self.policy.challenge {
            ChallengeSource::Draw(_) => true,
            ChallengeSource::StepUp(_) => !self.beyond_doubt(),
            ChallengeSource::Fixed { .. } | ChallengeSource::Planned(_) | ChallengeSource::None => false,
        }
    }

    /// Whether nothing seen so far is near a limit; only then does `step_up` ask for nothing.
    fn beyond_doubt(&self) -> bool {
        let known = matches!(self.identity, Some(Identity::Known(_))) || self.policy.goal == Goal::Liveness;
        let unanimous = self.evidence.votes.windows(2).all(|w| w[0] == w[1]);
        known && unanimous && self.evidence.pad.is_clear(STEP_UP_MARGIN)
    }

    /// What the person who was named cannot do; nothing for anybody unknown.
    fn cannot(&self) -> &[Action] {
        match &self.identity {
            Some(Identity::Known(id)) => self.policy.cannot.get(id).map_or(&[], Vec::as_slice),
            _ => &[],
        }
    }

    fn draw(&self, fps: f32) -> Plan {
        match &self.policy.challenge {
            ChallengeSource::StepUp(_) if self.beyond_doubt() => Plan::default(),
            ChallengeSource::Draw(deck) | ChallengeSource::StepUp(deck) => {
                let mut deck = deck.without(self.cannot());
                // Where the relief has nothing to say, another action steps in.
                deck.count += usize::from(!self.relief_asked);
                deck.draw(self.seed, fps)
            }
            ChallengeSource::Fixed { deck, order, onsets } => deck.time(self.seed, order, onsets),
            ChallengeSource::Planned(plan) => plan.clone(),
            ChallengeSource::None => Plan::default(),
        }
    }

    fn judge(&self, embedding: &[f32]) -> Identity {
        self.policy.matching.judge(&self.policy.gallery.search(embedding))
    }

    /// The id that enough of the newest frames agree on.
    fn agreed(&self) -> Identity {
        let recent = &self.evidence.votes[self.evidence.votes.len().saturating_sub(self.policy.agree_of)..];
        let count = |who: &Identity| recent.iter().filter(|v| *v == who).count();
        match recent.iter().max_by_key(|v| (count(v), matches!(v, Identity::Known(_)))) {
            Some(Identity::Known(id)) if count(&Identity::Known(id.clone())) >= self.policy.agree => {
                Identity::Known(id.clone())
            }
            Some(Identity::Ambiguous) => Identity::Ambiguous,
            _ => Identity::NoMatch,
        }
    }

    /// The face that continuity compares with: of a known person only the frames that name that person, lest somebody
    /// else who slipped into the agreement be taken for the same.
    fn claimed(&self) -> Option<Embedding> {
        let e = &self.evidence;
        let known = self.identity.as_ref().filter(|i| matches!(i, Identity::Known(_)));
        let of = e.embeddings.iter().zip(&e.votes).filter(|(_, vote)| known.is_none_or(|k| k == *vote));
        let faces: Vec<Embedding> = of.map(|(embedding, _)| embedding.clone()).collect();
        self.policy.gallery.metric().mean(&faces)
    }

    /// PAD and continuity go on beside the actions; true when that ended the visit.
    fn watch(&mut self, now: Tick, at: Tick, face: &FaceSeen, out: &mut Vec<Effect>) -> bool {
        let wanted = self.wants(at);
        let phase = if self.prompted() { PadPhase::During } else { PadPhase::Before };
        self.evidence.take_pad(phase, at, face);
        // A turned head gives neither PAD nor embedding; asking again on its very next frame would only cost time.
        if wanted.pad {
            self.evidence.last_pad = Some(at);
        }
        if wanted.embedding {
            self.evidence.last_embedding = Some(at);
        }
        let Some(embedding) = &face.embedding else { return false };
        let pose = self.evidence.gestures.relative();
        let sound = matches!(face.quality, Quality::Ok | Quality::OffPose);
        let comparable = sound && pose.yaw.abs() < CONTINUITY_YAW && pose.pitch.abs() < CONTINUITY_PITCH;
        let same = self
            .evidence
            .mean
            .as_ref()
            .and_then(|mean| self.policy.gallery.metric().similarity(mean, embedding))
            .is_some_and(|s| s.get() >= self.policy.continuity);
        if !comparable {
            return false;
        }
        self.evidence.strange = if same { 0 } else { self.evidence.strange + 1 };
        if self.evidence.strange >= STRANGE && self.policy.holds(Gate::Continuity) {
            self.refuse(now, Reason::FaceChanged, out);
            return true;
        }
        false
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one state and of one frame")]
    fn between(
        &mut self,
        now: Tick,
        at: Tick,
        index: usize,
        gate: Tick,
        face: &FaceSeen,
        actions: &[Seen],
        out: &mut Vec<Effect>,
    ) {
        if self.watch(now, at, face, out) {
            return;
        }
        let Some(step) = self.plan.0.get(index).copied() else { return self.finish(now, out) };
        // What was asked last may show again until the face is back at rest; anything else was not asked for.
        let before = index.checked_sub(1).and_then(|i| self.plan.0.get(i)).map(|s| s.action);
        let again = self.evidence.asked_again.filter(|i| *i == index).map(|_| step.action);
        let known = |action| before == Some(action) || again == Some(action);
        if actions.iter().any(|s| is_deliberate(s.action) && !known(s.action)) && self.strict() {
            return self.refuse(now, Reason::ChallengeFailed, out);
        }
        let due = match step.onset {
            Onset::After(d) => gate + d,
            Onset::At(t) => t,
            Onset::AtOnce => gate,
        };
        // A planned prompt comes when it was planned: the recording does not wait for it.
        let planned = matches!(step.onset, Onset::At(_));
        let ready = planned || step.action == Action::Centre || self.evidence.gestures.is_neutral();
        if at < due || !ready {
            return;
        }
        self.ask(now, at, index, step, out);
    }

    /// Whether a wrong or early action is the end.
    fn strict(&self) -> bool {
        self.policy.holds(Gate::Timing) && !self.policy.forgiving
    }

    /// The gate before step `index` has just opened: its prompt goes out with it where that is so planned.
    fn ask_at_once(&mut self, now: Tick, at: Tick, index: usize, out: &mut Vec<Effect>) {
        if let Some(step) = self.plan.0.get(index).copied().filter(|s| s.onset == Onset::AtOnce) {
            self.ask(now, at, index, step, out);
        }
    }

    /// Shows the prompt of step `index`.
    fn ask(&mut self, now: Tick, at: Tick, index: usize, step: Step, out: &mut Vec<Effect>) {
        let total = u8::try_from(self.plan.0.len()).unwrap_or(u8::MAX);
        let number = u8::try_from(index + 1).unwrap_or(u8::MAX);
        // The prompt can be seen from now on, not since the frame was captured that let it out.
        let prompted = now.max(at);
        let limit = self.challenge_began.unwrap_or(at) + self.policy.challenge_limit;
        let until = (prompted + step.window).min(limit);
        self.evidence.turn = TurnProof::default();
        self.evidence.turned = false;
        self.state = State::Asked { step: index, prompted, until, left: step.times };
        out.push(Effect::Record(Event::VisitPrompted { visit: self.id, action: step.action, step: number, of: total }));
        self.show(
            Screen { left: step.times, window_ms: millis(until.since(prompted)), ..asking(step.action, index, total) },
            out,
        );
    }

    fn asked(&mut self, now: Tick, at: Tick, face: &FaceSeen, actions: &[Seen], out: &mut Vec<Effect>) {
        if self.watch(now, at, face, out) {
            return;
        }
        let State::Asked { step: asked, .. } = self.state else { return };
        let step = self.plan.0.get(asked).copied();
        let side = step.and_then(|s| self.side(s.action));
        let side = side.filter(|_| self.policy.holds(Gate::Relief) && self.relief_asked);
        if let Some(side) = side {
            self.evidence.turn.take(&self.policy.relief, side, self.stream.fps(), face.relief.as_ref());
        }
        for seen in actions {
            let State::Asked { step: index, prompted, until, left } = self.state.clone() else { return };
            let Some(step) = self.plan.0.get(index).copied() else { return };
            let early = seen.onset < prompted + self.policy.reaction_min && self.policy.holds(Gate::Timing);
            if seen.action != step.action || early {
                if is_deliberate(seen.action) && self.strict() {
                    return self.refuse(now, Reason::ChallengeFailed, out);
                }
                continue;
            }
            if side.is_some() {
                // The angle alone proves nothing; the relief may follow some frames later.
                self.evidence.turned = true;
            } else if left > 1 {
                self.state = State::Asked { step: index, prompted, until, left: left - 1 };
                let total = u8::try_from(self.plan.0.len()).unwrap_or(u8::MAX);
                let window_ms = millis(until.since(now));
                self.show(Screen { left: left - 1, window_ms, ..asking(step.action, index, total) }, out);
            } else {
                self.passed(now, at, index, &step, out);
            }
        }
        let State::Asked { step: index, .. } = self.state else { return };
        if let (Some(step), true, true, true) = (step, index == asked, self.evidence.turned, self.evidence.turn.shown())
        {
            return self.passed(now, at, asked, &step, out);
        }
        // Who may try again needs not wait for the end of the window: the head is back and its turn showed nothing.
        let back = actions.iter().any(|s| s.action == Action::Centre);
        if self.policy.forgiving && side.is_some() && self.evidence.turned && back {
            self.missed(now, asked, out);
        }
    }

    /// The window of step `index` is over and the action was not accepted.
    fn missed(&mut self, now: Tick, index: usize, out: &mut Vec<Effect>) {
        if self.evidence.turned && self.evidence.turn.flat() {
            self.evidence.plane = true;
            return self.refuse(now, Reason::Spoof, out);
        }
        // Turned, but the face was lost on the way: that is asked once more, and accuses nobody.
        if !self.evidence.turned || (self.evidence.asked_again.is_some() && !self.policy.forgiving) {
            return self.refuse(now, Reason::ChallengeTimeout, out);
        }
        self.evidence.asked_again = Some(index);
        let total = u8::try_from(self.plan.0.len()).unwrap_or(u8::MAX);
        let done = u8::try_from(index).unwrap_or(u8::MAX);
        self.show(Screen { phase: Phase::Challenge, progress: (done, total), ..Screen::IDLE }, out);
        self.state = State::Between { step: index, gate: now };
    }

    /// Step `index` was done in time.
    fn passed(&mut self, now: Tick, at: Tick, index: usize, step: &Step, out: &mut Vec<Effect>) {
        let next = index + 1;
        self.done.steps += 1;
        self.done.turns += usize::from(self.side(step.action).is_some());
        let total = u8::try_from(self.plan.0.len()).unwrap_or(u8::MAX);
        let done = u8::try_from(next).unwrap_or(u8::MAX);
        self.show(Screen { phase: Phase::Challenge, progress: (done, total), ..Screen::IDLE }, out);
        if next < self.plan.0.len() {
            self.state = State::Between { step: next, gate: at };
            self.ask_at_once(now, at, next, out);
        } else {
            self.acted(now, at, out);
        }
    }

    /// Whether it is asked once more who it is.
    fn rematches(&self) -> bool {
        self.policy.goal != Goal::Liveness && self.policy.holds(Gate::Rematch)
    }

    /// Whether PAD has looked at enough frames since the first prompt for a verdict of their own: fewer would let the
    /// live frames of the beginning carry a picture shown afterwards.
    fn pad_seen(&self) -> bool {
        self.policy.pad.is_empty()
            || !self.policy.holds(Gate::Pad)
            || self.evidence.pad_during >= self.policy.pad_frames
    }

    /// Waits for a frontal frame and asks once more who it is, at the full threshold; also waits for PAD.
    fn rematch(&mut self, now: Tick, at: Tick, face: &FaceSeen, actions: &[Seen], out: &mut Vec<Effect>) {
        if self.watch(now, at, face, out) {
            return;
        }
        if self.unasked(actions) {
            return self.refuse(now, Reason::ChallengeFailed, out);
        }
        let fit = face.quality == Quality::Ok && face.frontal;
        let seen = self.pad_seen();
        if !self.rematches() {
            if seen {
                self.finish(now, out);
            }
            return;
        }
        let (Some(embedding), true) = (&face.embedding, fit) else { return };
        match (self.judge(embedding), &self.identity) {
            (Identity::Known(a), Some(Identity::Known(b))) if a == *b && !seen => {}
            (Identity::Known(a), Some(Identity::Known(b))) if a == *b => {
                self.done.rematched = true;
                self.finish(now, out);
            }
            (Identity::Known(_), Some(Identity::Known(_))) => self.refuse(now, Reason::ChallengeMismatch, out),
            // Somebody unknown stays unknown, whatever this frame says; a known one may need a better frame.
            (_, Some(Identity::Known(_))) => {}
            _ if !seen => {}
            _ => self.finish(now, out),
        }
    }

    /// Nothing more is waited for: what each gate has to say is put together.
    fn finish(&mut self, now: Tick, out: &mut Vec<Effect>) {
        match fusion::judge(|gate| self.shown(gate, now)) {
            Ok(()) => {
                let person = match &self.identity {
                    Some(Identity::Known(id)) if self.policy.goal != Goal::Liveness => Some(id.clone()),
                    _ => None,
                };
                self.decide(now, Verdict::Granted, None, person, out);
            }
            Err(reason) => self.refuse(now, reason, out),
        }
    }

    fn refuse(&mut self, now: Tick, reason: Reason, out: &mut Vec<Effect>) {
        // What PAD has seen outweighs how the challenge ended: a photo that does not turn its head is an attack, not
        // somebody who was slow, and the administrator and the lockout are to know it.
        let challenged =
            matches!(reason, Reason::ChallengeFailed | Reason::ChallengeTimeout | Reason::ChallengeMismatch);
        let spoof = self.policy.holds(Gate::Pad) && self.evidence.pad.verdict() == PadVerdict::Spoof;
        let reason = if challenged && spoof { Reason::Spoof } else { reason };
        let person = match &self.identity {
            Some(Identity::Known(id)) if self.policy.goal != Goal::Liveness => Some(id.clone()),
            _ => None,
        };
        self.decide(now, reason.verdict(), Some(reason), person, out);
    }

    fn decide(
        &mut self,
        now: Tick,
        verdict: Verdict,
        reason: Option<Reason>,
        person: Option<PersonId>,
        out: &mut Vec<Effect>,
    ) {
        let began = self.began.unwrap_or(now);
        let newest = self.stream.newest.unwrap_or(began);
        let decision = Decision {
            visit: self.id,
            goal: self.policy.goal,
            verdict,
            reason,
            person: person.clone(),
            began,
            at: now,
            newest,
        };
        out.push(Effect::Record(Event::VisitEnded {
            visit: self.id,
            goal: self.policy.goal,
            verdict,
            reason,
            person,
            cause: reason.filter(|r| *r == Reason::Injection).and_then(|_| self.injected()),
            gates: reason.map(|r| self.open_gates(r, now)).unwrap_or_default(),
            duration_ms: u64::try_from(now.since(began).as_millis()).unwrap_or(u64::MAX),
        }));
        self.show(
            Screen {
                phase: Phase::Done,
                verdict: Some(verdict),
                advice: reason.and_then(|r| advice::with(r, self.evidence.trouble)),
                ..Screen::IDLE
            },
            out,
        );
        out.push(Effect::Decided(decision.clone()));
        self.state = State::Done(decision);
    }

    /// Deadlines, and the person who has gone.
    fn time(&mut self, now: Tick, out: &mut Vec<Effect>) {
        let dead_camera = self.policy.holds(Gate::Fresh)
            && self.stream.newest.is_some_and(|n| now.since(n) > self.policy.max_age + GONE);
        match self.state.clone() {
            State::Waiting { .. } if dead_camera => self.state = State::Waiting { since: None },
            State::Waiting { .. } | State::Done(_) => {}
            _ if dead_camera => self.refuse(now, Reason::Degraded, out),
            State::Assess { until } => {
                let gone = self.evidence.last_face.is_some_and(|l| now.since(l) > GONE + self.policy.max_age);
                if gone {
                    self.refuse(now, Reason::NoFace, out);
                } else if now >= until {
                    let reason = match self.evidence.trouble {
                        Some(Quality::Several) => Reason::SeveralFaces,
                        Some(_) => Reason::PoorQuality,
                        None => Reason::Degraded,
                    };
                    self.refuse(now, reason, out);
                }
            }
            State::Between { .. } => {
                if self.next_deadline().is_some_and(|d| now >= d) && self.policy.holds(Gate::Challenge) {
                    self.refuse(now, Reason::ChallengeTimeout, out);
                }
            }
            State::Asked { until, step, .. } => {
                if now >= until && self.policy.holds(Gate::Challenge) {
                    self.missed(now, step, out);
                }
            }
            State::Light => self.light_due(now, out),
            State::Rematch { until } => {
                if now >= until {
                    let seen = self.pad_seen();
                    self.refuse(now, if seen { Reason::ChallengeMismatch } else { Reason::PoorQuality }, out);
                }
            }
        }
    }

    fn show(&mut self, screen: Screen, out: &mut Vec<Effect>) {
        if screen != self.screen {
            self.screen = screen;
            out.push(Effect::Show(screen));
        }
    }
}

/// Nobody does these by accident; blink, smile and centre happen unasked and are ignored.
const fn is_deliberate(action: Action) -> bool {
    matches!(action, Action::TurnLeft | Action::TurnRight | Action::Nod | Action::MouthOpen)
}

/// The screen that asks for step `index` of `total`.
fn asking(action: Action, index: usize, total: u8) -> Screen {
    let done = u8::try_from(index).unwrap_or(u8::MAX);
    Screen { phase: Phase::Challenge, action: Some(action), progress: (done, total), ..Screen::IDLE }
}

fn millis(d: Duration) -> u16 {
    u16::try_from(d.as_millis()).unwrap_or(u16::MAX)
}

/// Seen by the contour of the eyes.
const fn needs_eyes(action: Action) -> bool {
    matches!(action, Action::Blink | Action::WinkLeft | Action::WinkRight)
}
