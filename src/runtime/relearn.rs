//! Learning the next embedding network while the present one decides (`models.next`). Templates of two networks are never
//! compared with one another: the door stays with the present network and its own thresholds, and whoever passes it well
//! gets templates of the next one, made from the very frames by which the present one knew them.
//!
//! ```text
//!   watch --frames that are matched--> film
//!   controller --grant: person, numbers of frames that matched well--> this thread: next network, checks, store, record
//! ```
//!
//! Whoever is wrongly let in once would be known for good, so a grant alone is not enough: see [`Lessons::take`].

use super::engine::{Engine, Judge};
use super::enrolment::Taken;
use super::recorder::Recorder;
use crate::adapters::store::EncryptedPeople;
use crate::config::Config;
use crate::domain::observation::{Embedding, FaceSeen, Observation, Quality, Wants};
use crate::domain::visit::Policy;
use crate::ports::{PeopleStore, PortError, Recovery};
use crate::schema::event::Event;
use crate::schema::ids::{PersonId, VisitId};
use crate::vision::decode::{Limits, decode};
use crate::vision::frame::Frame;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Frames that are remembered: those of one visit by which somebody was matched.
const FRAMES: usize = 12;
/// So many of one visit must match well and show one person to the next network too.
pub const LEAST: usize = 3;
/// Templates that one visit gives.
const MOST: usize = 5;
/// The present network's rate of false matches is held to this part of what a grant needs.
const STRICTER: f64 = 10.0;
/// Steps of niceness below the door's threads.
const NICE: i32 = 10;
/// Grants that wait; more are left out, the next one teaches as well.
const QUEUE: usize = 2;

/// The newest frames that were wanted for matching.
#[derive(Clone, Debug, Default)]
pub struct Film(Arc<Mutex<VecDeque<Frame>>>);

impl Film {
    /// Keeps a frame; never waits.
    pub fn keep(&self, frame: &Frame) {
        // Whoever holds it takes a visit's frames this very moment: this one belongs to the next.
        let Ok(mut frames) = self.0.try_lock() else { return };
        if frames.len() == FRAMES {
            frames.pop_front();
        }
        frames.push_back(frame.clone());
    }

    /// Takes those of these openings and numbers out, and forgets the rest.
    fn take(&self, wanted: &[(u32, u64)]) -> Vec<Frame> {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        all.into_iter().filter(|f| wanted.contains(&(f.epoch, f.seq))).collect()
    }
}

/// Whom to learn, from what.
struct Lesson {
    visit: VisitId,
    person: PersonId,
    frames: Vec<Frame>,
}

/// Frames of a visit by which the present network knew somebody well.
pub type WellMatched = Vec<(u32, u64, PersonId)>;

/// The controller's end.
pub struct Lessons {
    film: Film,
    out: SyncSender<Lesson>,
    judge: Judge,
    target_fpir: f64,
}

impl Lessons {
    /// Notes a frame of a running visit whose one face the present network matches at a tenth of the rate of false matches
    /// that a grant needs.
    pub fn note(&self, policy: &Policy, o: &Observation, noted: &mut WellMatched) {
        let Some(face) = o.face.as_ref().filter(|f| is_good(o, f)) else { return };
        let (Some(embedding), Some(tau)) = (&face.embedding, self.strict(policy)) else { return };
        if let Some((id, s)) = policy.gallery.search(embedding).best
            && s.get() >= tau
            && noted.len() < 8 * FRAMES
        {
            noted.push((o.epoch, o.frame, id));
        }
    }

    /// After a grant without duress in a pack with passive PAD: hands over what was noted of this person. Anybody else
    /// among the frames spoils them all.
    pub fn take(&self, visit: VisitId, person: &PersonId, noted: &[(u32, u64, PersonId)]) {
        let wanted: Vec<(u32, u64)> = noted.iter().map(|(epoch, seq, _)| (*epoch, *seq)).collect();
        let frames = self.film.take(&wanted);
        if noted.iter().any(|(_, _, id)| id != person) || frames.len() < LEAST {
            return;
        }
        let _the_next_visit_teaches_as_well = self.out.try_send(Lesson { visit, person: person.clone(), frames });
    }

    fn strict(&self, policy: &Policy) -> Option<f32> {
        let (curve, _) = self.judge.curve(1).ok()?;
        let n = policy.gallery.len();
        let more =
            curve.for_gallery(self.target_fpir / STRICTER, n).value - curve.for_gallery(self.target_fpir, n).value;
        Some(policy.matching.threshold + more.max(0.0))
    }
}

/// The thread's end.
pub struct Learner {
    engine: Engine,
    config: Config,
    state: PathBuf,
    recorder: Recorder,
    lessons: Receiver<Lesson>,
}

/// Both ends and the film between, where the configuration names a next pack.
///
/// # Errors
/// The next pack cannot be loaded, or has the present embedding network.
pub fn open(
    config: &Config,
    judge: &Judge,
    state: &Path,
    recorder: &Recorder,
) -> Result<Option<(Lessons, Film, Learner)>, PortError> {
    let Some(next) = config.with_next_pack() else { return Ok(None) };
    let engine = Engine::open(&next)?;
    if engine.embedding_digest() == judge.embedding_digest() {
        let what = format!("learn the network of {}", next.models().pack);
        let hint = "take models.next out: there is nothing to learn";
        return Err(PortError::new(what, "it is the one that decides already", hint, Recovery::Fatal));
    }
    let (out, lessons) = sync_channel(QUEUE);
    let film = Film::default();
    let ours = Lessons { film: film.clone(), out, judge: judge.clone(), target_fpir: config.recognition().target_fpir };
    let learner = Learner { engine, config: next, state: state.to_owned(), recorder: recorder.clone(), lessons };
    Ok(Some((ours, film, learner)))
}

impl Learner {
    /// The thread's life: until the controller's end is gone.
    pub fn run(mut self) {
        if let Err(e) = rustix::process::nice(NICE) {
            tracing::debug!(error = %e, "learning runs at the door's priority");
        }
        while let Ok(lesson) = self.lessons.recv() {
            match self.learn(&lesson) {
                Ok(None) => {}
                Ok(Some(why)) => tracing::info!(person = %lesson.person, visit = lesson.visit.0, why, "not learnt"),
                Err(e) => {
                    tracing::warn!(person = %lesson.person, error = %e, "the next network could not learn somebody")
                }
            }
        }
    }

    /// Stores templates of the next network; else why not.
    fn learn(&mut self, lesson: &Lesson) -> Result<Option<&'static str>, PortError> {
        let digest = self.engine.embedding_digest().to_owned();
        let mut store = EncryptedPeople::open(&self.state)?;
        let known = store.load(&digest)?;
        let (own, others): (Vec<_>, Vec<_>) = known.into_iter().partition(|p| p.id == lesson.person);
        match own.first() {
            None => return Ok(Some("nobody has that name any more")),
            Some(person) if !person.templates.is_empty() => return Ok(Some("learnt already")),
            Some(_) => {}
        }
        let mut seen: Vec<Embedding> = Vec::new();
        for frame in &lesson.frames {
            seen.extend(self.look(frame)?);
        }
        seen.truncate(MOST);
        let (tau, metric) = (self.engine.together()?, self.engine.metric());
        let alike = seen.iter().all(|e| metric.similarity(&seen[0], e).is_some_and(|s| s.get() >= tau));
        if seen.len() < LEAST || !alike {
            return Ok(Some("the next network does not see one person in enough frames"));
        }
        let mut taken = Taken::default();
        for (n, e) in seen.into_iter().enumerate() {
            taken.accepted.push((format!("frame:{n}"), vec![e]));
        }
        taken.refuse_duplicates(&self.engine, &self.config, &others)?;
        if taken.is_refused() {
            return Ok(Some("to the next network this is somebody else who has been learnt"));
        }
        let templates: Vec<_> =
            taken.accepted.into_iter().flat_map(|(_, e)| e).map(|e| self.engine.template(e)).collect();
        let count = u32::try_from(templates.len()).unwrap_or(u32::MAX);
        let (person, visit) = (lesson.person.clone(), lesson.visit);
        // First, so that a journal that cannot be written stops it.
        self.recorder.commit(Event::PersonRelearned { person, visit, templates: count, model: digest })?;
        let there = store.add_to(&lesson.person, &templates)?;
        Ok((!there).then_some("the person was removed meanwhile"))
    }

    fn look(&mut self, frame: &Frame) -> Result<Option<Embedding>, PortError> {
        let broken = |e: String| PortError::new("look at a frame again", e, "see the log", Recovery::Degrade);
        let Ok(picture) = decode(frame, &Limits::default()) else { return Ok(None) };
        self.engine.pipeline.reset();
        let wants = Wants { embedding: true, ..Wants::default() };
        let o = self.engine.pipeline.look(&picture, frame.seq, frame.captured, frame.epoch, wants);
        let o = o.map_err(|e| broken(e.to_string()))?;
        Ok(o.face.as_ref().filter(|f| is_good(&o, f)).and_then(|f| f.embedding.clone()))
    }
}

/// One face alone, from the front, in a picture that is good.
fn is_good(o: &Observation, face: &FaceSeen) -> bool {
    o.faces == 1 && face.quality == Quality::Ok && face.frontal
}
