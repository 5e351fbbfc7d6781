//! Visits played from scripts: what somebody shows the camera, second by second, and what came of it as one line.
//!
//! * *look*: what a frame shows.
//! * *answer*: somebody who reads the prompts and does what they ask.

mod arms;
mod attacks;
mod frames;
mod handshake;
mod plausible;
mod properties;
mod step_up;
mod stepwise;

use super::*;
use crate::base::units::LiveScore;
use crate::domain::challenge::Deck;
use crate::domain::gallery::{Gallery, MatchRule, Metric};
use crate::domain::light::code::{Code, SYMBOLS, Shown};
use crate::domain::liveness::PadRule;
use crate::domain::observation::{Embedding, Pose, Rect, Relief, Signals};
use std::collections::BTreeMap;

const RULE: PadRule = PadRule { threshold: 0.5, floor: 0.01 };

/// What one frame shows.
#[derive(Clone, Copy, Debug)]
struct Look {
    there: bool,
    /// `ada` and `eve` are enrolled, `bob` is not, `twin` is as near to one as to the other.
    who: &'static str,
    track: u32,
    yaw: f32,
    pitch: f32,
    /// Eye openness; at rest 0.3.
    open: f32,
    /// Lip gap; at rest 0.
    gap: f32,
    smile: bool,
    pad: f32,
    quality: Quality,
    /// Size of a second face against this one.
    second: f32,
    width: f32,
    /// Relief of a turned head: 1 of a head, 0 of a photograph; `None` when it cannot be followed.
    solid: Option<f32>,
    /// How the skin follows the display.
    glow: Glow,
}

/// How skin follows the light of the display.
#[derive(Clone, Copy, Debug)]
enum Glow {
    /// By this step of light.
    By(f32),
    /// By this step, but as it was lit in another visit.
    Recorded(f32),
    /// It is not to be seen.
    Hidden,
}

const ADA: Look = Look {
    there: true,
    who: "ada",
    track: 1,
    yaw: 0.0,
    pitch: -5.0,
    open: 0.3,
    gap: 0.0,
    smile: false,
    pad: 0.95,
    quality: Quality::Ok,
    second: 0.0,
    width: 200.0,
    solid: Some(1.0),
    glow: Glow::By(0.08),
};
const EVE: Look = Look { who: "eve", ..ADA };
const BOB: Look = Look { who: "bob", ..ADA };
const NOBODY: Look = Look { there: false, ..ADA };
const LEFT: Look = Look { yaw: 35.0, ..ADA };
const RIGHT: Look = Look { yaw: -35.0, ..ADA };

/// How somebody answers prompts.
#[derive(Clone, Copy, Debug)]
struct React {
    /// Milliseconds from the prompt to the onset of the action.
    after: u64,
    /// What is done, whatever was asked.
    instead: Option<Action>,
    /// Who or what is there from the first prompt to the last action, if not the one who began.
    during: Option<Look>,
    /// Who or what is there at the re-match.
    rematch: Option<Look>,
    /// From the first prompt on every frame has the same digest.
    frozen: bool,
    /// From the first prompt on frames are so old when they are looked at.
    lag: u64,
}

const PROMPTLY: React = React { after: 400, instead: None, during: None, rematch: None, frozen: false, lag: 0 };

/// One line of a script.
#[derive(Clone, Copy, Debug)]
enum Do {
    /// Shows this for so many milliseconds.
    Hold(u64, Look),
    /// Answers prompts until there is a verdict, at most 40 s.
    Answer(Look, React),
    /// No frame for so long.
    Pause(u64),
    /// A frame every so many milliseconds from here on; 33 at first.
    Every(u64),
    /// Age of frames when they are looked at from here on.
    Lag(u64),
    Frozen(bool),
    /// From here on the face is, or is not, pixel for pixel that of the frame before.
    Copied(bool),
    /// The number of the next frame is so many lower.
    Back(u64),
    /// The source is opened again; its frames count from one.
    Reopen,
    Time,
    Stop,
    Camera,
}
use Do::{Answer, Back, Camera, Copied, Every, Frozen, Hold, Lag, Pause, Reopen, Stop, Time};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn id(name: &str) -> PersonId {
    PersonId::new(name).expect("a valid name")
}

fn embedding(who: &str) -> Embedding {
    let e: [f32; 4] = match who {
        "ada" => [1.0, 0.0, 0.0, 0.0],
        "eve" => [0.0, 1.0, 0.0, 0.0],
        "twin" => [0.7, 0.7, 0.0, 0.0],
        _ => [0.0, 0.0, 1.0, 0.0],
    };
    e.into()
}

fn gallery() -> Gallery {
    let people: BTreeMap<_, _> = ["ada", "eve"].map(|n| (id(n), vec![embedding(n)])).into();
    Gallery::new(Metric::Cosine, 4, &people).0
}

fn deck(actions: &[Action], count: usize) -> Deck {
    Deck {
        actions: actions.to_vec(),
        count,
        onset_min: ms(400),
        onset_max: ms(1500),
        window: ms(2500),
        blinks: 1,
        shape: Vec::new(),
    }
}

/// Prompts in this order, each 600 ms after the gate before it.
fn asks(order: &[(Action, u8)]) -> ChallengeSource {
    ChallengeSource::Fixed { deck: deck(&[], 0), order: order.to_vec(), onsets: vec![ms(600); order.len()] }
}

/// The same policy with a part of it changed.
fn with(mut policy: Policy, change: impl FnOnce(&mut Policy)) -> Policy {
    change(&mut policy);
    policy
}

fn policy(goal: Goal, challenge: ChallengeSource) -> Policy {
    let rule = MatchRule { threshold: 0.5, margin: 0.1 };
    with(Policy::new(goal, Arc::new(gallery()), rule, challenge), |p| p.pad = vec![RULE; 2])
}

/// A door that asks for a turn to the left, then for a nod.
fn door() -> Policy {
    policy(Goal::Identify, asks(&[(Action::TurnLeft, 1), (Action::Nod, 1)]))
}

fn asking(order: &[(Action, u8)]) -> Policy {
    with(door(), |p| p.challenge = asks(order))
}

/// The prompt that the person sees, since when, and how the head was held at that time.
#[derive(Clone, Copy, Debug)]
struct Prompt {
    action: Action,
    times: u8,
    at: u64,
    held: (f32, f32),
    /// `centre` comes next: the head stays where it is until that is asked.
    stay: bool,
}

/// A visit, its camera and the person in front.
struct Sim {
    visit: Visit,
    policy: Arc<Policy>,
    /// Capture time of the next frame, in milliseconds.
    t: u64,
    every: u64,
    lag: u64,
    /// Frames carry stamps so far in the future.
    ahead: u64,
    frozen: bool,
    copied: bool,
    /// Colours of the display, each with the time of it, in milliseconds.
    lit: Vec<(u64, [u8; 3])>,
    epoch: u32,
    frame: u64,
    prompt: Option<Prompt>,
    pose: (f32, f32),
    /// Frames as they were looked at, with the time of that.
    fed: Vec<(Tick, Observation)>,
    log: Vec<(Tick, Effect)>,
    /// Inputs given so far.
    steps: u64,
}

impl Sim {
    fn new(policy: Policy, seed: [u8; 32]) -> Self {
        let policy = Arc::new(policy);
        Sim {
            visit: Visit::new(policy.clone(), VisitId(7), seed),
            policy,
            t: 1_000,
            every: 33,
            lag: 0,
            ahead: 0,
            frozen: false,
            copied: false,
            lit: Vec::new(),
            epoch: 1,
            frame: 0,
            prompt: None,
            pose: (0.0, 0.0),
            fed: Vec::new(),
            log: Vec::new(),
            steps: 0,
        }
    }

    fn now(&self) -> Tick {
        Tick::from_millis(self.t + self.lag)
    }

    fn tell(&mut self, now: Tick, input: Input<'_>) {
        self.steps += 1;
        for effect in self.visit.handle(now, input) {
            if let Effect::Record(Event::VisitPrompted { action, step, .. }) = &effect {
                let plan = &self.visit.plan.0;
                let stay = plan.get(usize::from(*step)).is_some_and(|s| s.action == Action::Centre);
                let times = plan[usize::from(*step) - 1].times;
                self.prompt = Some(Prompt { action: *action, times, at: now.as_millis(), held: self.pose, stay });
            }
            if let Effect::Show(Screen { light: Some(colour), .. }) = effect {
                self.lit.push((now.as_millis(), colour));
            }
            self.log.push((now, effect));
        }
    }

    /// The shell's timer.
    fn due(&mut self) {
        let now = self.now();
        if self.visit.next_deadline().is_some_and(|d| d <= now) {
            self.tell(now, Input::Time);
        }
    }

    /// The light of the skin, 100 ms after that of the display, with a little of its own.
    fn skin(&self, look: &Look) -> Option<[f32; 3]> {
        let (step, symbols) = match look.glow {
            Glow::Hidden => return None,
            Glow::By(step) => (step, None),
            Glow::Recorded(step) => (step, Some(Code::draw([99; 32], 0, SYMBOLS))),
        };
        let late = |s: &&Shown| s.at + ms(100) <= Tick::from_millis(self.t);
        let shown = self.visit.light.as_ref().map_or(&[][..], |l| l.show.shown());
        let number = shown.iter().filter(late).count();
        let bright = match (number.checked_sub(1).map(|n| (n, shown[n].symbol)), symbols) {
            (None, _) => [false; 3],
            (Some((_, symbol)), None) => symbol,
            // Quiet and probe are the same in every handshake.
            (Some((n, symbol)), Some(code)) => {
                n.checked_sub(2).and_then(|i| code.symbols().get(i)).map_or(symbol, |s| *s)
            }
        };
        let grain = |c: u64| ((self.frame * 3 + c).wrapping_mul(2_654_435_761) >> 20 & 255) as f32 / 255.0 - 0.5;
        let of = |c: usize| 0.3 * (1.0 + if bright[c] { step } else { 0.0 }) * (1.0 + 0.002 * grain(c as u64));
        Some([of(0), of(1), of(2)])
    }

    fn look(&mut self, look: &Look) {
        self.due();
        self.frame += 1;
        let frontal = look.yaw.abs() < 15.0 && look.pitch.abs() < 15.0;
        let face = FaceSeen {
            track: look.track,
            rect: Rect { x: 10.0, y: 10.0, w: look.width, h: look.width },
            quality: look.quality,
            frontal,
            pose: Pose { yaw: look.yaw, pitch: look.pitch, roll: 0.0 },
            signals: Some(Signals {
                openness: Some([look.open; 2]),
                mouth_gap: look.gap,
                mouth_width: if look.smile { 1.2 } else { 1.0 },
                corner_lift: if look.smile { 0.05 } else { 0.0 },
                brow: 0.3,
                tongue: None,
                bridge: [50.0, 50.0],
                eye_px: 60.0,
            }),
            pad: vec![LiveScore::new(look.pad).expect("a probability"); self.policy.pad.len()],
            embedding: Some(embedding(look.who)),
            relief: look.solid.map(|s| {
                let depth = look.yaw.to_radians().sin() * s;
                Relief { yaw_deg: look.yaw, parallax: 0.4 * depth, bow: 0.4 * depth, points: 55 }
            }),
            skin: self.skin(look),
        };
        let o = Observation {
            frame: self.frame,
            captured: Tick::from_millis(self.t + self.ahead),
            epoch: self.epoch,
            unchanged: Some(if self.copied { 1.0 } else { 0.2 }),
            digest: if self.frozen { 1 } else { 1_000_000 * u64::from(self.epoch) + self.frame },
            faces: u32::from(look.there) + u32::from(look.second != 0.0),
            second: look.second,
            face: look.there.then_some(face),
        };
        self.pose = (look.yaw, look.pitch);
        self.show(&o);
        self.t += self.every;
    }

    /// A frame as it is, but for what the visit did not ask for.
    fn show(&mut self, o: &Observation) {
        let o = o.masked(self.visit.wants(o.captured));
        let now = self.now();
        let open = self.visit.decision().is_none();
        self.tell(now, Input::Seen(&o));
        if open {
            self.fed.push((now, o));
        }
    }

    /// What the person shows now that follows the prompts.
    fn acted(&self, base: &Look, r: &React) -> Look {
        let Some(p) = self.prompt else { return *base };
        let matching = matches!(self.visit.state, State::Rematch { .. });
        let mut look = if matching { r.rematch } else { r.during }.unwrap_or(*base);
        let Some(since) = self.t.checked_sub(p.at + r.after) else {
            (look.yaw, look.pitch) = p.held;
            return look;
        };
        match r.instead.unwrap_or(p.action) {
            Action::TurnLeft if since < 500 || p.stay => look.yaw = 35.0,
            Action::TurnRight if since < 500 || p.stay => look.yaw = -35.0,
            Action::Nod if since < 450 || p.stay => look.pitch = 20.0,
            Action::MouthOpen if since < 900 => look.gap = 0.3,
            Action::Smile if since < 600 => look.smile = true,
            Action::Blink if since % 450 < 160 && since / 450 < u64::from(p.times) => look.open = 0.05,
            _ => {}
        }
        look
    }

    fn act(&mut self, line: &Do) {
        match line {
            Hold(for_ms, look) => {
                let end = self.t + for_ms;
                while self.t < end {
                    self.look(look);
                }
            }
            Answer(base, react) => {
                let end = self.t + 40_000;
                while self.t < end && self.visit.decision().is_none() {
                    if self.prompt.is_some() {
                        self.lag = self.lag.max(react.lag);
                        self.frozen |= react.frozen;
                    }
                    let look = self.acted(base, react);
                    self.look(&look);
                }
            }
            Pause(for_ms) => {
                self.t += for_ms;
                self.due();
            }
            Every(period) => self.every = *period,
            Lag(age) => {
                // The wall does not go back when frames become younger.
                self.t += self.lag.saturating_sub(*age);
                self.lag = *age;
            }
            Frozen(on) => self.frozen = *on,
            Copied(on) => self.copied = *on,
            Back(by) => self.frame = self.frame.saturating_sub(*by),
            Reopen => {
                self.epoch += 1;
                self.frame = 0;
            }
            Time => self.tell(self.now(), Input::Time),
            Stop => self.tell(self.now(), Input::Stop),
            Camera => self.tell(self.now(), Input::CameraChanged),
        }
    }

    /// What was recorded and decided, as one line.
    fn text(&self) -> String {
        let words: Vec<String> = self.log.iter().filter_map(|(_, e)| said(e)).collect();
        words.join(", ")
    }

    fn granted(&self) -> bool {
        self.visit.decision().is_some_and(|d| d.verdict == Verdict::Granted)
    }
}

fn word(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn said(effect: &Effect) -> Option<String> {
    match effect {
        Effect::Show(_) | Effect::Record(Event::VisitEnded { .. }) => None,
        Effect::Record(Event::VisitStarted { .. }) => Some("started".to_owned()),
        Effect::Record(Event::VisitPrompted { action, .. }) => Some(format!("asked {}", action.name())),
        Effect::Record(e) => Some(format!("unexpected {}", e.kind())),
        Effect::Decided(d) => Some(match (d.verdict, d.reason, &d.person) {
            (Verdict::Granted, None, Some(p)) => format!("granted {p}"),
            (Verdict::Granted, None, None) => "granted".to_owned(),
            (v, Some(r), _) => format!("{} {}", word(v), word(r)),
            (v, None, _) => format!("{} without a reason", word(v)),
        }),
    }
}

/// Plays a script and looks over what came of it.
fn play(policy: Policy, script: &[Do]) -> Sim {
    let mut sim = Sim::new(policy, [3; 32]);
    script.iter().for_each(|line| sim.act(line));
    properties::audit(&sim);
    sim
}

/// The one door of these tests: the script gives exactly these events.
#[track_caller]
fn check(policy: Policy, script: &[Do], expected: &str) {
    assert_eq!(play(policy, script).text(), expected, "of {script:?}");
}
