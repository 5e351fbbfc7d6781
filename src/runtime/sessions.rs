//! The worker behind web sessions: one thread with networks of its own that takes pictures out of the hub, runs a visit
//! for each session, and looks at uploaded pictures in between.
//!
//! It is not the door's watch thread and shares nothing with it but the processors, where it makes way for each
//! frame of the door ([`Precedence`]) and has a lower priority. What it
//! knows of a session is in one entry of a map, which goes when the hub says that the session ended.

mod live;
mod manner;
mod words;

use super::engine::{Engine, Judge};
use super::enrolment::{self, Taken};
use super::recorder::Recorder;
use super::watch::Watched;
use crate::adapters::store::EncryptedPeople;
use crate::adapters::system::random;
use crate::adapters::web::hub::{Ask, EnrolAsk, EnrolDone, Hub, Outcome, RefusedPicture, Work};
use crate::base::precedence::Precedence;
use crate::base::time::{Clock, Tick};
use crate::config::Config;
use crate::domain::gallery::Gallery;
use crate::domain::screen::Phase;
use crate::domain::visit::{Decision, Effect, Input, Policy};
use crate::ports::{PeopleStore, Person, PortError, Recovery};
use crate::schema::event::{Event, Goal, Verdict};
use crate::schema::ids::{PersonId, VisitId};
use crate::schema::record::hex;
use crate::vision::frame::Frame;
use crate::vision::pipeline::VisionError;
use live::Live;
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

/// Visits of web sessions count from here, those of the door from 1: both stand in one journal.
const FIRST_VISIT: u64 = 1 << 32;
/// Deadlines of visits are looked at this often while no picture comes.
const TURN: Duration = Duration::from_millis(100);
/// The people are looked for anew this often at most.
const RENEW: Duration = Duration::from_secs(1);
/// Steps of niceness below the door's threads.
const NICE: i32 = 10;
/// Stands for the uploaded face in a gallery of one; never leaves this file.
const TARGET: &str = "target";

/// Takes the lower priority, for this thread and those that it starts.
pub fn step_back() {
    if let Err(e) = rustix::process::nice(NICE) {
        tracing::warn!(error = %e, "web sessions run at the door's priority");
    }
}

/// Everything that the worker needs.
pub struct Worker {
    pub config: Config,
    pub engine: Engine,
    pub hub: Arc<Hub>,
    pub recorder: Recorder,
    pub clock: Arc<dyn Clock>,
    pub state: PathBuf,
    /// The door comes first.
    pub precedence: Arc<Precedence>,
    /// To the door's controller, where sessions may ask it.
    pub door: Option<SyncSender<Watched>>,
}

/// Who is enrolled, as of the last look.
struct Known {
    store: EncryptedPeople,
    gallery: Arc<Gallery>,
    templates: u32,
    cannot: Arc<BTreeMap<PersonId, Vec<crate::schema::event::Action>>>,
    looked: Tick,
    /// When somebody's time is over next.
    expires_ms: Option<i64>,
}

impl Worker {
    /// The thread's life.
    ///
    /// # Errors
    /// The people cannot be opened, or the networks failed.
    pub fn run(mut self) -> Result<(), PortError> {
        let mut known = self.people()?;
        let mut all: HashMap<String, Live> = HashMap::new();
        let mut visits = FIRST_VISIT;
        loop {
            match self.hub.next(TURN) {
                Work::Closed => return Ok(()),
                Work::Nothing => {}
                Work::Ended(id) => drop(all.remove(&id)),
                Work::Target { id, picture, reply } => {
                    let taken = self.target(&picture);
                    if let Ok(Ok(gallery)) = &taken
                        && self.hub.status(&id).is_some()
                    {
                        all.entry(id).or_default().target = Some(gallery.clone());
                    }
                    let _gone = reply.send(taken.map(|t| t.map(|_| ())));
                }
                Work::Enrol(ask, reply) => {
                    let _gone = reply.send(self.enrol(&mut known, ask));
                }
                Work::Frame { id, ask, frame, reply } => {
                    // It may have ended while its picture was handed over.
                    if self.hub.status(&id).is_some_and(|s| s.outcome.is_none()) {
                        let mut live = all.remove(&id).unwrap_or_default();
                        if live.needs_visit() {
                            visits += 1;
                            let held = ask.manner.target_of.as_ref().and_then(|h| all.get(h)?.target.clone());
                            let target = live.target.clone().or(held);
                            let policy = self.policy(&mut known, &ask, target)?;
                            self.recorder.record(Event::SessionStarted {
                                visit: VisitId(visits),
                                goal: ask.goal,
                                by: ask.by.clone(),
                            });
                            live.begin(&ask, policy, VisitId(visits), random()?);
                            live.at_door = self.door.is_some() && manner::may_open(&self.config, &ask);
                        }
                        self.look(&id, &mut live, &frame)?;
                        self.hub.tell_look(&id, &live.look);
                        if let Some(reply) = reply {
                            let _gone = reply.send(live.look.clone());
                        }
                        all.insert(id, live);
                    }
                }
            }
            let now = self.clock.now();
            for (id, live) in &mut all {
                if let Some(v) = live.visit.as_mut().filter(|v| v.next_deadline().is_some_and(|d| now >= d)) {
                    let effects = v.handle(now, Input::Time);
                    self.carry_out(id, live, effects);
                    self.hub.tell_look(id, &live.look);
                }
            }
            let targets = all.values().filter(|l| l.target.is_some()).count();
            self.hub.held(all.values().filter(|l| l.visit.is_some()).count(), targets);
        }
    }

    fn people(&self) -> Result<Known, PortError> {
        let mut store = EncryptedPeople::open(&self.state)?;
        let now_ms = super::rules::latest_ms(&self.state, &*self.clock)?;
        let current = store.current(self.engine.embedding_digest(), now_ms)?;
        let (gallery, templates) = self.engine.gallery(&current.people);
        let cannot = Arc::new(store.cannot()?);
        let (looked, expires_ms) = (self.clock.now(), current.next_ms);
        Ok(Known { store, gallery: Arc::new(gallery), templates, cannot, looked, expires_ms })
    }

    /// Who is enrolled now; those before stay when that cannot be read.
    fn renew(&self, known: &mut Known) {
        let now = self.clock.now();
        if now.since(known.looked) < RENEW {
            return;
        }
        known.looked = now;
        let over = known.expires_ms.is_some_and(|end| self.clock.wall().unix_ms >= end);
        let fresh = match known.store.changed() {
            Ok(false) if !over => return,
            Ok(false) => self.people(),
            Ok(true) => self.people(),
            Err(e) => Err(e),
        };
        match fresh {
            Ok(fresh) => *known = fresh,
            Err(e) => tracing::error!(error = %e, "people could not be loaded again; the ones before stay"),
        }
    }

    /// What a visit of this session is judged by.
    fn policy(&self, known: &mut Known, ask: &Ask, target: Option<Gallery>) -> Result<Policy, PortError> {
        self.renew(known);
        let (gallery, templates) = match (ask.goal, &ask.person, target) {
            (Goal::Identify, ..) => (known.gallery.clone(), known.templates),
            // Somebody who is not enrolled is refused like anybody who does not match: at the end.
            (Goal::Verify, Some(person), _) => (Arc::new(known.gallery.only(person)), known.templates),
            (Goal::Verify, None, Some(target)) => (Arc::new(target), 1),
            (Goal::Verify, None, None) | (Goal::Liveness, ..) => (Arc::new(self.engine.gallery(&[]).0), 1),
        };
        let challenge = manner::challenge(&self.config, ask);
        let mut policy = self.engine.policy(&self.config, ask.goal, gallery, templates, challenge)?;
        if ask.person.is_some() || ask.goal == Goal::Identify {
            policy.cannot = known.cannot.clone();
        }
        manner::adapt(&mut policy, &ask.manner);
        Ok(policy)
    }

    /// One picture of one session.
    fn look(&mut self, id: &str, live: &mut Live, frame: &Frame) -> Result<(), PortError> {
        let wants = live.wants(frame.captured);
        self.engine.pipeline.swap(&mut live.memory);
        // Decoding and each network stop for the door.
        let piece = self.precedence.second();
        let seen = self.engine.pipeline.observe(frame, wants);
        drop(piece);
        self.engine.pipeline.swap(&mut live.memory);
        let observation = match seen {
            Ok(o) => o,
            Err(VisionError::Decode(e)) => {
                tracing::debug!(error = %e, "a picture of a session could not be decoded");
                live.look.broken = true;
                self.hub.tell(
                    id,
                    json!({"type": "error", "code": "picture", "detail": "it cannot be decoded"}).to_string(),
                );
                return Ok(());
            }
            Err(VisionError::Infer(e)) => return Err(e),
            Err(e) => {
                return Err(PortError::new("look at a session", e, "run `cardea models verify`", Recovery::Fatal));
            }
        };
        let effects = live.see(self.clock.now(), &observation, frame);
        let decided = effects.iter().any(|e| matches!(e, Effect::Decided(_)));
        if !decided {
            // Where the face is, as parts of the picture, so that a page can draw it; nothing about whose it is.
            let face = observation.face.as_ref().filter(|_| frame.width == 0).map(|f| f.rect);
            let rect = face.map(|r| [r.x, r.y, r.w, r.h].map(f32::round));
            self.hub.tell(
                id,
                json!({"type": "progress", "frames": live.look.frames, "faces": observation.faces, "box": rect})
                    .to_string(),
            );
        }
        self.carry_out(id, live, effects);
        Ok(())
    }

    fn carry_out(&self, id: &str, live: &mut Live, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                // What the verdict is comes as the result.
                Effect::Show(screen) if screen.phase == Phase::Done => {}
                Effect::Show(screen) => {
                    live.show(&screen);
                    self.hub.tell(id, words::prompt(&screen));
                }
                // One record at the beginning and one at the end: a hundred sessions must not keep the door's own waiting.
                Effect::Record(event @ Event::VisitEnded { .. }) => self.recorder.record(event),
                Effect::Record(_) => {}
                Effect::Decided(d) => self.decided(id, live, d),
            }
        }
    }

    fn decided(&self, id: &str, live: &mut Live, d: Decision) {
        if let Some(door) = self.door.as_ref().filter(|_| live.at_door)
            && let Err(e) = door.try_send(Watched::Web(Box::new(d.clone())))
        {
            tracing::error!(error = %e, visit = d.visit.0, "the door is busy: a session's verdict did not reach it");
        }
        let granted = d.verdict == Verdict::Granted;
        let person = d.person.filter(|p| granted && p.as_str() != TARGET);
        let advice = words::advice_for(d.verdict, d.reason);
        let outcome = Outcome { verdict: d.verdict, reason: d.reason, person, advice };
        live.look.outcome = Some(outcome.clone());
        if live.goes_on(d.verdict) {
            return self.hub.count(d.verdict);
        }
        let jti = match random::<16>() {
            Ok(bytes) => hex(&bytes),
            Err(e) => {
                tracing::error!(error = %e, "a session is ended without its verdict");
                self.hub.end(id);
                return;
            }
        };
        live.look.token = self.hub.finish(id, outcome, jti, self.clock.wall().unix_ms / 1000);
    }

    /// A gallery of the one face in a picture.
    fn target(&mut self, picture: &[u8]) -> Result<Result<Gallery, RefusedPicture>, PortError> {
        let piece = self.precedence.second();
        let found = enrolment::embedding(&mut self.engine, picture).map_err(vision)?;
        drop(piece);
        Ok(match found {
            Ok(found) => {
                let id = PersonId::new(TARGET).map_err(|e| fatal("name the target", &e))?;
                let templates = found.into_iter().map(|e| self.engine.template(e)).collect();
                Ok(self.engine.gallery(&[Person { id, templates, enrolled_unix_ms: 0 }]).0)
            }
            Err(why) => Err(RefusedPicture {
                file: TARGET.into(),
                reason: why.reason(),
                hint: why.advice().into(),
                person: None,
                faces: why.faces(),
            }),
        })
    }

    /// The same way as `cardea enroll`.
    fn enrol(&mut self, known: &mut Known, ask: EnrolAsk) -> Result<EnrolDone, PortError> {
        let mut taken = Taken::default();
        for (name, bytes) in &ask.pictures {
            let piece = self.precedence.second();
            let found = enrolment::embedding(&mut self.engine, bytes).map_err(vision)?;
            drop(piece);
            taken.take(name.clone(), found);
        }
        let all = known.store.load(self.engine.embedding_digest())?;
        let (own, others): (Vec<Person>, Vec<Person>) = all.into_iter().partition(|p| p.id == ask.person);
        if !ask.allow_duplicate {
            taken.refuse_duplicates(&self.engine, &self.config, &others)?;
        }
        taken.refuse_strangers(&self.engine, &own)?;
        let person = taken.person(&self.engine, &ask.person, ask.partial, self.clock.wall().unix_ms);
        let templates = person.as_ref().map_or(0, |p| u32::try_from(p.templates.len()).unwrap_or(u32::MAX));
        let mut seq = None;
        if let Some(person) = &person {
            let action =
                Event::SystemAdmin { by: ask.by, action: "person.enrol".into(), object: ask.person.to_string() };
            self.recorder.commit(action)?;
            known.store.add(&ask.person, &person.templates, person.enrolled_unix_ms)?;
            // Our own writing does not count as a change; the next session is to know.
            *known = self.people()?;
            seq = Some(self.recorder.commit(Event::PersonEnrolled { person: ask.person.clone(), templates })?.seq);
        }
        let accepted = taken.names().into_iter().map(str::to_owned).collect();
        let refused = taken.refused.into_iter().map(|r| RefusedPicture {
            file: r.file,
            reason: r.reason,
            hint: r.advice.into(),
            person: r.person,
            faces: None,
        });
        Ok(EnrolDone { person: ask.person, templates, accepted, refused: refused.collect(), seq })
    }
}

fn vision(e: VisionError) -> PortError {
    match e {
        VisionError::Infer(e) => e,
        other => fatal("look at a picture", &other),
    }
}

fn fatal(what: &str, cause: &dyn std::fmt::Display) -> PortError {
    PortError::new(what, cause.to_string(), "run `cardea models verify`", Recovery::Fatal)
}

/// The networks of an engine, for the console.
#[must_use]
pub fn models(judge: &Judge) -> Vec<crate::adapters::web::house::ModelRow> {
    let row = |l: &crate::adapters::infer::ort::Loaded| {
        let files = judge.pack().models.iter().filter(|m| m.net.name == l.name).flat_map(|m| &m.files);
        let made = files.into_iter().find(|f| f.sha256 == l.sha256);
        crate::adapters::web::house::ModelRow {
            role: l.role.name().to_owned(),
            name: l.name.clone(),
            file: l.file.clone(),
            sha256: l.sha256.clone(),
            precision: l.precision.name().to_owned(),
            licence: made.map(|m| m.licence.clone()).unwrap_or_default(),
        }
    };
    judge.loaded().iter().map(row).collect()
}
