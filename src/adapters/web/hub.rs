//! Sessions: people with a camera of their own. The server puts their pictures in, one worker takes them out.
//!
//! * *session*: one visit of one web client; its number is 128 random bits and the only key to it.
//! * *newest wins*: a session has room for one picture; one that comes before the last was looked at replaces it.
//! * *turn*: sessions with a picture wait in a line, each once, so that a fast client takes nothing from a slow one.
//!
//! What a session leaves behind after its end is a verdict until its time is over: picture, target and templates go at
//! once, and the worker is told to forget its part.

use super::look::{Look, LookReply, Manner};
use super::token::Signer;
use crate::base::time::{Clock, Tick};
use crate::ports::PortError;
use crate::schema::event::{Action, Goal, Reason, Verdict};
use crate::schema::ids::PersonId;
use crate::vision::frame::{Frame, PixelFormat, Rotation, jpeg};
use serde::Serialize;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use utoipa::ToSchema;

/// Longest side of a session's picture, in pixels: what a browser sends is 640.
pub const MAX_SIDE: u32 = 1920;
/// Greatest picture of a session, in bytes.
pub const MAX_FRAME: usize = 1 << 20;
/// Messages that may wait for a client that does not read; progress is dropped first.
const OUTGOING: usize = 32;
/// Uploads that may wait for the worker.
const JOBS: usize = 8;
/// A picture has its answer by then, or the worker is busier than it may be.
const PATIENCE: Duration = Duration::from_secs(20);
/// Sessions with a verdict that are remembered, for each that may run.
const FINISHED: usize = 4;

/// What the visit is to find out.
#[derive(Clone, Debug)]
pub struct Ask {
    pub goal: Goal,
    /// With [`Goal::Verify`]: who it is said to be; `None` means an uploaded target.
    pub person: Option<PersonId>,
    /// Actions instead of the configured deck.
    pub challenge: Option<ChallengeAsk>,
    /// Who asked, as in records.
    pub by: String,
    pub manner: Manner,
}

/// Actions that the client's owner chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengeAsk {
    pub actions: Vec<(Action, u8)>,
    /// In this very order; else drawn from them.
    pub fixed: bool,
}

/// A picture that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RefusedPicture {
    pub file: String,
    /// A stable word, or what is wrong with the file.
    pub reason: String,
    pub hint: String,
    /// Whom it shows, where that is the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub person: Option<PersonId>,
    /// How many faces a target shows, where that is the reason.
    #[serde(skip)]
    pub faces: Option<u32>,
}

/// Pictures to enrol somebody from.
pub struct EnrolAsk {
    pub person: PersonId,
    /// Name and bytes.
    pub pictures: Vec<(String, Vec<u8>)>,
    /// Stores the good ones although others were refused.
    pub partial: bool,
    /// Stores somebody who looks like another person.
    pub allow_duplicate: bool,
    pub by: String,
}

/// What became of them.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EnrolDone {
    #[schema(value_type = String)]
    pub person: PersonId,
    /// Stored now; 0 when nothing was.
    pub templates: u32,
    pub accepted: Vec<String>,
    pub refused: Vec<RefusedPicture>,
    /// Number of the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
}

/// Answers of the worker.
pub type EnrolReply = oneshot::Sender<Result<EnrolDone, PortError>>;
pub type TargetReply = oneshot::Sender<Result<Result<(), RefusedPicture>, PortError>>;

/// What the worker is to do next.
pub enum Work {
    Frame {
        id: String,
        ask: Arc<Ask>,
        frame: Frame,
        reply: Option<LookReply>,
    },
    Target {
        id: String,
        picture: Vec<u8>,
        reply: TargetReply,
    },
    Enrol(EnrolAsk, EnrolReply),
    /// Forget everything of this session.
    Ended(String),
    Nothing,
    /// No further work will come.
    Closed,
}

/// What a client hears, as text.
#[derive(Clone, Debug)]
pub enum Out {
    Text(String),
    /// The last one.
    Last(String),
}

/// How a session ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub verdict: Verdict,
    pub reason: Option<Reason>,
    /// Only of a grant.
    pub person: Option<PersonId>,
    /// What the person can do better.
    pub advice: Option<&'static str>,
}

/// Where a session stands.
#[derive(Clone, Debug)]
pub struct Status {
    pub ask: Arc<Ask>,
    pub connected: bool,
    pub outcome: Option<Outcome>,
    pub expires: Tick,
    pub frames: Frames,
}

/// What became of one session's pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Frames {
    /// All that came and were pictures.
    pub received: u64,
    /// Replaced by newer ones before they were looked at.
    pub replaced: u64,
    /// More than `web.session_fps` allows.
    pub too_many: u64,
}

/// Why the hub did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such session, or its time is over.
    Unknown,
    /// As many as may be.
    Full,
    /// It has a connection, or a verdict, already.
    Taken,
    /// Too many uploads wait.
    Busy,
    /// Not a JPEG picture of at most [`MAX_SIDE`] pixels and [`MAX_FRAME`] bytes.
    BadPicture,
}

struct Entry {
    ask: Arc<Ask>,
    expires: Tick,
    frame: Option<Frame>,
    /// Who waits for what `frame` says.
    reply: Option<LookReply>,
    look: Look,
    queued: bool,
    out: Option<mpsc::Sender<Out>>,
    connected: bool,
    outcome: Option<Outcome>,
    frames: Frames,
    seq: u64,
    last: Option<Tick>,
}

/// Numbers for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Counts {
    /// Sessions without a verdict.
    pub sessions: u64,
    pub connected: u64,
    /// Pictures that wait now.
    pub frames_waiting: u64,
    /// Visits and targets that the worker holds now.
    pub visits_held: u64,
    pub targets_held: u64,
    pub sessions_total: u64,
    pub sessions_refused_total: u64,
    pub frames_total: u64,
    /// Replaced by newer ones before they were looked at.
    pub frames_replaced_total: u64,
    /// More than `web.session_fps` allows.
    pub frames_too_many_total: u64,
    pub frames_refused_total: u64,
    /// Came after the end of their session and were not looked at.
    pub frames_late_total: u64,
    pub granted_total: u64,
    pub denied_total: u64,
    pub try_again_total: u64,
}

impl Counts {
    fn verdicts(&mut self, verdict: Verdict) -> &mut u64 {
        match verdict {
            Verdict::Granted => &mut self.granted_total,
            Verdict::Denied => &mut self.denied_total,
            Verdict::TryAgain => &mut self.try_again_total,
        }
    }
}

#[derive(Default)]
struct Inner {
    sessions: HashMap<String, Entry>,
    line: VecDeque<String>,
    jobs: VecDeque<Work>,
    ended: VecDeque<String>,
    counts: Counts,
    jobs_first: bool,
    closed: bool,
}

/// Limits of a hub.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub sessions: usize,
    pub ttl: Duration,
    pub fps: u32,
}

/// All sessions of one terminal.
pub struct Hub {
    inner: Mutex<Inner>,
    bell: Condvar,
    limits: Limits,
    clock: Arc<dyn Clock>,
    signer: Signer,
}

impl Hub {
    #[must_use]
    pub fn new(limits: Limits, clock: Arc<dyn Clock>, signer: Signer) -> Self {
        Hub { inner: Mutex::default(), bell: Condvar::new(), limits, clock, signer }
    }

    #[must_use]
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Begins a session under a fresh random `id`; returns how long it lasts.
    ///
    /// # Errors
    /// [`Refusal::Full`].
    pub fn open(&self, id: String, ask: Ask) -> Result<Duration, Refusal> {
        let now = self.clock.now();
        let mut g = self.lock();
        self.expire(&mut g, now);
        if g.running() >= self.limits.sessions {
            g.counts.sessions_refused_total += 1;
            return Err(Refusal::Full);
        }
        if g.sessions.len() >= self.limits.sessions * (1 + FINISHED) {
            let done = g.sessions.iter().filter(|(_, e)| e.outcome.is_some());
            if let Some(oldest) = done.min_by_key(|(_, e)| e.expires).map(|(id, _)| id.clone()) {
                g.sessions.remove(&oldest);
            }
        }
        let ttl = ask.manner.ttl.unwrap_or(self.limits.ttl);
        let entry = Entry {
            ask: Arc::new(ask),
            expires: now + ttl,
            frame: None,
            reply: None,
            look: Look::default(),
            queued: false,
            out: None,
            connected: false,
            outcome: None,
            frames: Frames::default(),
            seq: 0,
            last: None,
        };
        g.sessions.insert(id, entry);
        g.counts.sessions_total += 1;
        Ok(ttl)
    }

    /// Where a session stands.
    pub fn status(&self, id: &str) -> Option<Status> {
        let now = self.clock.now();
        let mut g = self.lock();
        self.expire(&mut g, now);
        let e = g.sessions.get(id)?;
        let (ask, outcome) = (e.ask.clone(), e.outcome.clone());
        Some(Status { ask, connected: e.connected, outcome, expires: e.expires, frames: e.frames })
    }

    /// Milliseconds that a session has left.
    #[must_use]
    pub fn left(&self, status: &Status) -> Duration {
        status.expires.since(self.clock.now())
    }

    /// A client connects; what it is told comes out of the receiver. Once a session.
    ///
    /// # Errors
    /// [`Refusal::Unknown`], [`Refusal::Taken`].
    pub fn connect(&self, id: &str) -> Result<(mpsc::Receiver<Out>, Duration), Refusal> {
        let now = self.clock.now();
        let mut g = self.lock();
        self.expire(&mut g, now);
        let e = g.sessions.get_mut(id).ok_or(Refusal::Unknown)?;
        if e.connected || e.outcome.is_some() {
            return Err(Refusal::Taken);
        }
        let (out, inbox) = mpsc::channel(OUTGOING);
        (e.connected, e.out) = (true, Some(out));
        Ok((inbox, e.expires.since(now)))
    }

    /// The client is gone: without a verdict the session is over.
    pub fn disconnected(&self, id: &str) {
        let mut g = self.lock();
        if let Some(e) = g.sessions.get_mut(id) {
            (e.connected, e.out, e.frame) = (false, None, None);
            if e.outcome.is_none() {
                g.forget(id);
            }
        }
        self.bell.notify_all();
    }

    /// Ends a session and forgets it; false when there was none.
    pub fn end(&self, id: &str) -> bool {
        let there = self.lock().forget(id);
        self.bell.notify_all();
        there
    }

    /// A picture of a session's camera.
    ///
    /// # Errors
    /// [`Refusal::Unknown`] and [`Refusal::Taken`] after the end; [`Refusal::BadPicture`].
    pub fn frame(&self, id: &str, data: Vec<u8>) -> Result<(), Refusal> {
        self.put(id, data, None)
    }

    /// A picture, and what it said. Pictures over the limit of frames, and those that a newer one replaced, are answered
    /// with what the one before said.
    ///
    /// # Errors
    /// As [`Hub::frame`]; [`Refusal::Busy`] when the worker has no answer in time.
    pub async fn look(&self, id: &str, data: Vec<u8>) -> Result<Look, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.put(id, data, Some(reply))?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(look)) => Ok(look),
            Ok(Err(_)) => self.seen(id).ok_or(Refusal::Unknown),
            Err(_) => Err(Refusal::Busy),
        }
    }

    /// What the newest picture of a session said that was looked at.
    pub fn seen(&self, id: &str) -> Option<Look> {
        self.lock().sessions.get(id).map(|e| e.look.clone())
    }

    fn put(&self, id: &str, data: Vec<u8>, reply: Option<LookReply>) -> Result<(), Refusal> {
        let fits = data.len() <= MAX_FRAME
            && jpeg::head(&data).is_ok_and(|h| (1..=MAX_SIDE).contains(&h.width) && (1..=MAX_SIDE).contains(&h.height));
        let now = self.clock.now();
        let least = Duration::from_secs_f64(0.8 / f64::from(self.limits.fps.max(1)));
        let mut guard = self.lock();
        let g = &mut *guard;
        g.counts.frames_total += 1;
        if !fits {
            g.counts.frames_refused_total += 1;
            return Err(Refusal::BadPicture);
        }
        let Some(e) = g.sessions.get_mut(id).filter(|e| e.expires > now) else {
            g.counts.frames_late_total += 1;
            return Err(Refusal::Unknown);
        };
        if e.outcome.is_some() {
            g.counts.frames_late_total += 1;
            return Err(Refusal::Taken);
        }
        e.frames.received += 1;
        if e.last.is_some_and(|l| now.since(l) < least) {
            g.counts.frames_too_many_total += 1;
            e.frames.too_many += 1;
            if let Some(reply) = reply {
                let _gone = reply.send(e.look.clone());
            }
            return Ok(());
        }
        e.last = Some(now);
        e.seq += 1;
        let frame = Frame {
            seq: e.seq,
            captured: now,
            epoch: 1,
            format: PixelFormat::Jpeg,
            width: 0,
            height: 0,
            rotation: Rotation::None,
            data,
        };
        e.reply = reply;
        if e.frame.replace(frame).is_some() {
            g.counts.frames_replaced_total += 1;
            e.frames.replaced += 1;
        }
        if !std::mem::replace(&mut e.queued, true) {
            g.line.push_back(id.to_owned());
        }
        drop(guard);
        self.bell.notify_all();
        Ok(())
    }

    /// Gives the worker something to do beside the sessions.
    ///
    /// # Errors
    /// [`Refusal::Busy`].
    pub fn job(&self, work: Work) -> Result<(), Refusal> {
        let mut g = self.lock();
        if g.jobs.len() >= JOBS || g.closed {
            return Err(Refusal::Busy);
        }
        g.jobs.push_back(work);
        drop(g);
        self.bell.notify_all();
        Ok(())
    }

    /// For the worker: waits at most `timeout` for something to do.
    pub fn next(&self, timeout: Duration) -> Work {
        let now = self.clock.now();
        let mut g = self.lock();
        self.expire(&mut g, now);
        if let Some(work) = g.take() {
            return work;
        }
        let (mut g, _) = self.bell.wait_timeout(g, timeout).expect("hub mutex: no holder panics");
        let now = self.clock.now();
        self.expire(&mut g, now);
        g.take().unwrap_or(Work::Nothing)
    }

    /// For the worker: tells the client something, if it listens. Progress may be lost, a prompt waits its turn.
    pub fn tell(&self, id: &str, text: String) {
        if let Some(out) = self.lock().sessions.get(id).and_then(|e| e.out.as_ref()) {
            let _slow_reader = out.try_send(Out::Text(text));
        }
    }

    /// For the worker: what a picture said.
    pub fn tell_look(&self, id: &str, look: &Look) {
        if let Some(e) = self.lock().sessions.get_mut(id) {
            e.look = look.clone();
        }
    }

    /// For the worker: a visit ended and its session goes on.
    pub fn count(&self, verdict: Verdict) {
        *self.lock().counts.verdicts(verdict) += 1;
    }

    /// For the worker: the session has its verdict. Returns the token of a grant. `jti` is fresh and random, `now_s` is calendar time.
    pub fn finish(&self, id: &str, outcome: Outcome, jti: String, now_s: i64) -> Option<String> {
        let mut guard = self.lock();
        let g = &mut *guard;
        let e = g.sessions.get_mut(id).filter(|e| e.outcome.is_none())?;
        *g.counts.verdicts(outcome.verdict) += 1;
        let token = (outcome.verdict == Verdict::Granted)
            .then(|| self.signer.sign(jti, e.ask.goal, outcome.person.clone(), now_s));
        let mut text = serde_json::json!({"type": "result", "verdict": outcome.verdict});
        if let Some(token) = &token {
            text["token"] = token.as_str().into();
        }
        if let Some(advice) = outcome.advice {
            text["advice"] = advice.into();
        }
        if let Some(out) = e.out.take() {
            let _gone = out.try_send(Out::Last(text.to_string()));
        }
        (e.outcome, e.frame) = (Some(outcome), None);
        g.ended.push_back(id.to_owned());
        token
    }

    /// For the worker: what it holds at the moment.
    pub fn held(&self, visits: usize, targets: usize) {
        let mut g = self.lock();
        g.counts.visits_held = visits as u64;
        g.counts.targets_held = targets as u64;
    }

    /// Numbers for the metrics.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let g = self.lock();
        Counts {
            sessions: g.running() as u64,
            connected: g.sessions.values().filter(|e| e.connected).count() as u64,
            frames_waiting: g.sessions.values().filter(|e| e.frame.is_some()).count() as u64,
            ..g.counts
        }
    }

    /// Nothing more is taken, and the worker ends.
    pub fn close(&self) {
        let mut g = self.lock();
        g.closed = true;
        g.sessions.clear();
        g.jobs.clear();
        drop(g);
        self.bell.notify_all();
    }

    fn expire(&self, g: &mut Inner, now: Tick) {
        let over: Vec<String> = g.sessions.iter().filter(|(_, e)| e.expires <= now).map(|(id, _)| id.clone()).collect();
        for id in over {
            if let Some(out) = g.sessions.get_mut(&id).and_then(|e| e.out.take()) {
                let text = serde_json::json!({"type": "result", "verdict": Verdict::TryAgain, "advice": "expired"});
                let _gone = out.try_send(Out::Last(text.to_string()));
            }
            g.forget(&id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("hub mutex: no holder panics")
    }
}

impl Inner {
    fn running(&self) -> usize {
        self.sessions.values().filter(|e| e.outcome.is_none()).count()
    }

    fn forget(&mut self, id: &str) -> bool {
        let there = self.sessions.remove(id).is_some();
        if there {
            self.ended.push_back(id.to_owned());
        }
        there
    }

    /// Ends before anything else; then uploads and pictures in turn.
    fn take(&mut self) -> Option<Work> {
        if let Some(id) = self.ended.pop_front() {
            return Some(Work::Ended(id));
        }
        if self.closed {
            return Some(Work::Closed);
        }
        self.jobs_first = !self.jobs_first;
        if self.jobs_first
            && let Some(job) = self.jobs.pop_front()
        {
            return Some(job);
        }
        while let Some(id) = self.line.pop_front() {
            let Some(e) = self.sessions.get_mut(&id) else { continue };
            e.queued = false;
            if let Some(frame) = e.frame.take() {
                let (ask, reply) = (e.ask.clone(), e.reply.take());
                return Some(Work::Frame { id, ask, frame, reply });
            }
        }
        self.jobs.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::ManualClock;

    struct Rig {
        hub: Hub,
        clock: Arc<ManualClock>,
    }

    fn rig(sessions: usize) -> Rig {
        let clock = Arc::new(ManualClock::new(0));
        let limits = Limits { sessions, ttl: Duration::from_secs(60), fps: 10 };
        let signer = Signer::new([1; 32], Duration::from_secs(60));
        Rig { hub: Hub::new(limits, clock.clone(), signer), clock }
    }

    fn ask() -> Ask {
        Ask { goal: Goal::Liveness, person: None, challenge: None, by: "test".into(), manner: Manner::default() }
    }

    /// A grey picture of `side` pixels whose bytes differ by `mark`.
    fn picture(side: u16, mark: u8) -> Vec<u8> {
        let [hi, lo] = side.to_be_bytes();
        let mut b = vec![0xFF, 0xD8, 0xFF, 0xC0, 0, 11, 8, hi, lo, hi, lo, 1, 1, 0x11, 0];
        b.extend([0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0, mark, 0xFF, 0xD9]);
        b
    }

    fn frame_of(work: Work) -> (String, u64, Vec<u8>) {
        match work {
            Work::Frame { id, frame, .. } => (id, frame.seq, frame.data),
            _ => panic!("no frame"),
        }
    }

    impl Rig {
        fn open(&self, id: &str) {
            self.hub.open(id.into(), ask()).expect("opened");
        }

        fn next(&self) -> Work {
            self.hub.next(Duration::ZERO)
        }

        fn later(&self, ms: u64) {
            self.clock.advance(Duration::from_millis(ms));
        }
    }

    #[test]
    fn the_newest_picture_wins_and_sessions_take_turns() {
        let r = rig(10);
        r.open("a");
        r.open("b");
        for mark in 0..5 {
            r.hub.frame("a", picture(64, mark)).expect("taken");
            r.later(100);
        }
        r.hub.frame("b", picture(64, 9)).expect("taken");
        assert_eq!(frame_of(r.next()), ("a".into(), 5, picture(64, 4)));
        r.hub.frame("a", picture(64, 7)).expect("taken");
        assert_eq!(frame_of(r.next()).0, "b", "a has had its turn");
        assert_eq!(frame_of(r.next()).0, "a");
        assert!(matches!(r.next(), Work::Nothing));
        assert_eq!(r.hub.counts().frames_replaced_total, 4);
        let of = |id: &str| r.hub.status(id).expect("a session").frames;
        assert_eq!(of("a"), Frames { received: 6, replaced: 4, too_many: 0 });
        assert_eq!(of("b"), Frames { received: 1, replaced: 0, too_many: 0 });
    }

    #[test]
    fn more_pictures_than_allowed_are_dropped_before_they_wait() {
        let r = rig(10);
        r.open("a");
        r.hub.frame("a", picture(64, 1)).expect("taken");
        r.later(20);
        r.hub.frame("a", picture(64, 2)).expect("dropped without a word");
        assert_eq!(frame_of(r.next()).2, picture(64, 1));
        assert_eq!(r.hub.counts().frames_too_many_total, 1);
    }

    #[test]
    fn what_is_no_small_jpeg_is_refused() {
        let r = rig(10);
        r.open("a");
        for bad in [Vec::new(), b"GIF89a".to_vec(), picture(1921, 0), picture(0, 0), vec![0xFF, 0xD8, 0xFF]] {
            assert_eq!(r.hub.frame("a", bad), Err(Refusal::BadPicture));
        }
        let mut big = picture(64, 0);
        big.resize(MAX_FRAME + 1, 0);
        assert_eq!(r.hub.frame("a", big), Err(Refusal::BadPicture));
        assert!(matches!(r.next(), Work::Nothing));
        assert_eq!(r.hub.counts().frames_refused_total, 6);
    }

    #[test]
    fn the_ceiling_holds_and_an_end_makes_room() {
        let r = rig(2);
        r.open("a");
        r.open("b");
        assert_eq!(r.hub.open("c".into(), ask()), Err(Refusal::Full));
        assert!(r.hub.end("a"));
        assert!(!r.hub.end("a"));
        r.open("c");
        assert!(matches!(r.next(), Work::Ended(id) if id == "a"));
    }

    #[test]
    fn a_client_that_goes_takes_everything_with_it() {
        let r = rig(2);
        r.open("a");
        let _inbox = r.hub.connect("a").expect("connects");
        assert_eq!(r.hub.connect("a").err(), Some(Refusal::Taken), "once");
        r.hub.frame("a", picture(64, 1)).expect("taken");
        assert_eq!(r.hub.counts().frames_waiting, 1);
        r.hub.disconnected("a");
        assert_eq!((r.hub.counts().frames_waiting, r.hub.counts().sessions), (0, 0));
        assert!(matches!(r.next(), Work::Ended(id) if id == "a"));
        assert!(matches!(r.next(), Work::Nothing));
        assert_eq!(r.hub.frame("a", picture(64, 2)), Err(Refusal::Unknown));
        assert!(r.hub.status("a").is_none());
    }

    #[test]
    fn a_verdict_is_told_once_with_a_token_and_no_later_picture_is_looked_at() {
        let r = rig(2);
        r.open("a");
        let (mut inbox, _) = r.hub.connect("a").expect("connects");
        r.hub.frame("a", picture(64, 1)).expect("taken");
        let outcome = |verdict| Outcome { verdict, reason: None, person: None, advice: None };
        r.hub.finish("a", outcome(Verdict::Granted), "x".into(), 0);
        r.hub.finish("a", outcome(Verdict::Denied), "y".into(), 0);
        let Ok(Out::Last(text)) = inbox.try_recv() else { panic!("no result") };
        let text: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&text["type"], &text["verdict"]), (&"result".into(), &"granted".into()));
        assert!(r.hub.signer().redeem(text["token"].as_str().expect("a token"), 1).is_some());
        assert!(matches!(r.next(), Work::Ended(_)));
        assert!(matches!(r.next(), Work::Nothing), "the picture that waited is gone");
        r.later(200);
        assert_eq!(r.hub.frame("a", picture(64, 2)), Err(Refusal::Taken));
        assert_eq!(r.hub.counts().frames_late_total, 1);
        r.hub.disconnected("a");
        assert!(r.hub.status("a").is_some_and(|s| s.outcome.is_some()), "the verdict can still be asked for");
    }

    #[test]
    fn time_ends_a_session() {
        let r = rig(2);
        r.open("a");
        let (mut inbox, left) = r.hub.connect("a").expect("connects");
        assert_eq!(left, Duration::from_secs(60));
        r.later(60_000);
        assert!(r.hub.status("a").is_none());
        assert!(matches!(inbox.try_recv(), Ok(Out::Last(t)) if t.contains("try_again")));
        assert!(matches!(r.next(), Work::Ended(_)));
    }

    #[test]
    fn uploads_wait_in_a_short_line() {
        let r = rig(2);
        let job = || {
            Work::Enrol(
                EnrolAsk {
                    person: PersonId::new("ada").expect("valid"),
                    pictures: Vec::new(),
                    partial: false,
                    allow_duplicate: false,
                    by: "test".into(),
                },
                oneshot::channel().0,
            )
        };
        for _ in 0..JOBS {
            r.hub.job(job()).expect("taken");
        }
        assert_eq!(r.hub.job(job()), Err(Refusal::Busy));
        r.hub.close();
        assert!(matches!(r.next(), Work::Closed));
    }
}
