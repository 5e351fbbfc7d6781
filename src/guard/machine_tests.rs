//! One test per arm of the drawing in `machine`. [`Rig`] is the shell in small: it carries effects out on a line that
//! can break, and lets time pass from deadline to deadline.

use super::machine::{Effects, Input, Machine, Nonce, Reply};
use crate::base::time::Tick;
use crate::ports::{Edge, OpenRefusal};
use crate::schema::event::EdgeCause;
use crate::schema::ids::VisitId;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::time::Duration;

/// How the line takes a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Good,
    /// Nothing moves, and the write says so.
    Stuck,
    /// The level moves, but reading it back fails.
    Unreadable,
}

pub struct Rig {
    pub machine: Machine,
    pub now: Tick,
    pub level: bool,
    pub health: Health,
    pub replies: Vec<Reply>,
    pub writes: u32,
    /// Levels that were really taken, with their times.
    pub trace: Vec<(Tick, bool)>,
}

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

impl Rig {
    pub fn new() -> Self {
        let now = Tick::from_millis(1_000);
        let machine = Machine::new(now);
        Rig { machine, now, level: false, health: Health::Good, replies: Vec::new(), writes: 0, trace: Vec::new() }
    }

    pub fn give(&mut self, input: Input) {
        let mut effects = self.machine.handle(self.now, input);
        loop {
            let Effects { line, reply } = effects;
            self.replies.extend(reply);
            let Some(line) = line else { return };
            self.writes += 1;
            if self.health != Health::Stuck && self.level != line.energised {
                self.level = line.energised;
                self.trace.push((self.now, self.level));
            }
            let at = (self.health == Health::Good).then_some(self.now);
            effects = self.machine.handle(self.now, Input::Written(at));
        }
    }

    /// Lets `d` pass; every deadline within is met when it is due.
    pub fn pass(&mut self, d: Duration) {
        let until = self.now + d;
        while let Some(due) = self.machine.next_deadline().filter(|due| *due <= until) {
            self.now = due.max(self.now);
            self.give(Input::Deadline);
        }
        self.now = until;
    }

    /// Lets `d` pass with a daemon that lives.
    pub fn pass_alive(&mut self, d: Duration) {
        let until = self.now + d;
        while self.now < until {
            self.give(Input::Heartbeat);
            self.pass(ms(250).min(until.since(self.now)));
        }
    }

    pub fn arm(&mut self, nonce: u8) {
        self.give(Input::Arm { nonce: [nonce; 16] });
    }

    pub fn open(&mut self, nonce: u8, hold: Duration) -> Reply {
        let nonce: Nonce = [nonce; 16];
        self.give(Input::Open { nonce, visit: VisitId(u64::from(nonce[0])), hold });
        self.last()
    }

    pub fn last(&self) -> Reply {
        *self.replies.last().expect("there was an answer")
    }

    /// A pulse of that length begins.
    pub fn opened(hold: Duration) -> Rig {
        let mut rig = Rig::new();
        rig.arm(1);
        assert_eq!(rig.open(1, hold), Reply::Opened);
        rig
    }

    pub fn edges(&self) -> Vec<Edge> {
        let mut after = 0;
        std::iter::from_fn(|| {
            let edge = self.machine.edge_after(after)?;
            after = edge.number;
            Some(edge)
        })
        .collect()
    }

    fn causes(&self) -> Vec<(bool, EdgeCause)> {
        self.edges().iter().map(|e| (e.energised, e.cause)).collect()
    }
}

const REFUSED_NONCE: Reply = Reply::Refused(OpenRefusal::Nonce);

#[test]
fn a_pulse_lasts_as_long_as_was_asked() {
    let mut rig = Rig::opened(ms(3_000));
    rig.pass_alive(ms(2_999));
    assert!(rig.level);
    rig.pass(ms(1));
    assert!(!rig.level);
    let expected = [(false, EdgeCause::Start), (true, EdgeCause::Grant), (false, EdgeCause::Deadline)];
    assert_eq!(rig.causes(), expected);
    assert_eq!(rig.edges().iter().map(|e| e.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(rig.edges()[2].visit, Some(VisitId(1)));
}

#[test]
fn a_hold_is_clamped_to_its_limits() {
    for (asked, lasts) in [(0, 200), (199, 200), (10_000, 9_950), (60_000, 9_950), (u64::MAX / 2_000_000, 9_950)] {
        let mut rig = Rig::opened(ms(asked));
        rig.pass_alive(ms(20_000));
        let (up, down) = (rig.trace[0].0, rig.trace[1].0);
        assert_eq!(down.since(up), ms(lasts), "asked for {asked} ms");
    }
}

#[test]
fn a_nonce_opens_once() {
    let mut rig = Rig::opened(ms(200));
    rig.pass(ms(2_000));
    assert_eq!(rig.open(1, ms(200)), REFUSED_NONCE);
    assert!(!rig.level);
}

#[test]
fn a_wrong_nonce_uses_up_the_right_one() {
    let mut rig = Rig::new();
    rig.arm(1);
    assert_eq!(rig.open(2, ms(200)), REFUSED_NONCE);
    assert_eq!(rig.open(1, ms(200)), REFUSED_NONCE);
    assert_eq!(rig.writes, 0);
}

#[test]
fn a_nonce_is_good_for_half_a_second() {
    for (after, answer) in [(499, Reply::Opened), (500, REFUSED_NONCE)] {
        let mut rig = Rig::new();
        rig.arm(1);
        rig.pass(ms(after));
        assert_eq!(rig.open(1, ms(200)), answer, "after {after} ms");
    }
}

#[test]
fn the_end_of_a_connection_takes_its_nonce_along() {
    let mut rig = Rig::new();
    rig.arm(1);
    rig.give(Input::Eof);
    assert_eq!(rig.open(1, ms(200)), REFUSED_NONCE);
}

#[test]
fn a_second_grant_in_a_pulse_extends_nothing() {
    let mut rig = Rig::opened(ms(1_000));
    rig.pass(ms(600));
    rig.arm(2);
    assert_eq!(rig.open(2, ms(10_000)), Reply::Refused(OpenRefusal::Coalesced));
    rig.pass_alive(ms(399));
    assert!(rig.level);
    rig.pass(ms(1));
    assert!(!rig.level);
}

#[test]
fn a_grant_too_soon_after_a_pulse_is_refused() {
    for (gap, answer) in [(499, Reply::Refused(OpenRefusal::Rate)), (500, Reply::Opened)] {
        let mut rig = Rig::opened(ms(200));
        rig.pass(ms(200 + gap));
        rig.arm(2);
        assert_eq!(rig.open(2, ms(200)), answer, "{gap} ms after the pulse");
    }
}

#[test]
fn the_twenty_first_grant_of_a_minute_is_refused() {
    let mut rig = Rig::new();
    for n in 0..20 {
        rig.arm(n);
        assert_eq!(rig.open(n, ms(200)), Reply::Opened);
        rig.pass(ms(1_000));
    }
    rig.arm(20);
    assert_eq!(rig.open(20, ms(200)), Reply::Refused(OpenRefusal::Rate));
    rig.pass(ms(40_000));
    rig.arm(21);
    assert_eq!(rig.open(21, ms(200)), Reply::Opened, "the first of them is a minute old");
}

#[test]
fn whatever_ends_a_pulse_ends_it_at_once_and_says_why() {
    for (input, cause) in
        [(Input::Eof, EdgeCause::Eof), (Input::Term, EdgeCause::Term), (Input::DoorOpen, EdgeCause::DoorOpen)]
    {
        let mut rig = Rig::opened(ms(3_000));
        rig.pass(ms(100));
        rig.give(input);
        assert!(!rig.level, "{input:?}");
        assert_eq!(rig.causes()[2..], [(false, cause)]);
        assert!(rig.machine.settled() && rig.machine.inactive());
    }
}

#[test]
fn a_silent_daemon_loses_its_pulse_within_a_second() {
    let mut rig = Rig::opened(ms(5_000));
    rig.pass_alive(ms(1_000));
    assert!(rig.level);
    let last_sign = rig.now - ms(250);
    rig.pass(ms(1_000));
    assert_eq!(rig.trace[1], (last_sign + ms(950), false));
    assert_eq!(rig.causes()[2..], [(false, EdgeCause::Heartbeat)]);
}

#[test]
fn a_heartbeat_that_was_queued_does_not_revive_a_pulse_that_is_over() {
    let mut rig = Rig::opened(ms(3_000));
    rig.now = rig.now + ms(951);
    rig.give(Input::Heartbeat);
    assert!(!rig.level);
    assert_eq!(rig.causes()[2..], [(false, EdgeCause::Heartbeat)]);
}

#[test]
fn a_request_that_comes_with_an_overdue_deadline_finds_the_line_released() {
    let mut rig = Rig::opened(ms(300));
    rig.now = rig.now + ms(400);
    rig.arm(2);
    assert!(!rig.level);
    assert_eq!(rig.open(2, ms(300)), Reply::Refused(OpenRefusal::Rate));
}

#[test]
fn a_line_that_does_not_open_is_tried_three_times_and_then_asked_to_lock() {
    let mut rig = Rig::new();
    rig.health = Health::Unreadable;
    rig.arm(1);
    rig.give(Input::Open { nonce: [1; 16], visit: VisitId(1), hold: ms(3_000) });
    assert!(rig.level && rig.replies.len() == 1, "one try is under way");
    rig.pass(ms(20));
    assert!(!rig.level);
    assert_eq!((rig.writes, rig.last()), (4, Reply::Refused(OpenRefusal::Fault)));
    assert_eq!(rig.trace[1].0.since(rig.trace[0].0), ms(20));
}

#[test]
fn a_line_that_follows_at_the_second_try_opens() {
    let mut rig = Rig::new();
    rig.health = Health::Stuck;
    rig.arm(1);
    rig.give(Input::Open { nonce: [1; 16], visit: VisitId(1), hold: ms(300) });
    rig.health = Health::Good;
    rig.pass(ms(10));
    assert!(rig.level);
    assert_eq!(rig.last(), Reply::Opened);
    rig.pass(ms(290));
    assert!(!rig.level, "the hold counts from the first try");
}

#[test]
fn a_line_that_does_not_lock_is_asked_for_ever_and_nothing_opens_any_more() {
    let mut rig = Rig::opened(ms(300));
    rig.health = Health::Stuck;
    rig.pass(ms(400));
    assert!(rig.level);
    assert!(rig.machine.settled() && !rig.machine.inactive());
    let stuck = rig.edges()[2];
    assert_eq!((stuck.energised, stuck.cause), (true, EdgeCause::Fault), "the daemon hears of it");
    let before = rig.writes;
    rig.pass(ms(1_000));
    assert_eq!(rig.writes - before, 10);
    rig.health = Health::Good;
    rig.pass(ms(100));
    assert!(!rig.level && rig.machine.inactive());
    assert_eq!(rig.causes()[3..], [(false, EdgeCause::Fault)]);
    assert_eq!(rig.machine.next_deadline(), None);
    rig.pass(ms(60_000));
    rig.arm(2);
    assert_eq!(rig.open(2, ms(300)), Reply::Refused(OpenRefusal::Fault));
}

#[test]
fn the_last_sixty_four_edges_are_kept() {
    let mut rig = Rig::new();
    for n in 0..40u8 {
        rig.pass(ms(4_000));
        rig.arm(n);
        assert_eq!(rig.open(n, ms(200)), Reply::Opened);
    }
    rig.pass(ms(1_000));
    let numbers: Vec<u64> = rig.edges().iter().map(|e| e.number).collect();
    assert_eq!(numbers, (18..=81).collect::<Vec<_>>());
    assert_eq!(rig.machine.edge_after(80).map(|e| e.number), Some(81));
    assert_eq!(rig.machine.edge_after(81), None);
}

/// A rig whose door is held open since now.
fn held_open() -> Rig {
    let mut rig = Rig::new();
    rig.arm(1);
    rig.give(Input::HoldOpen { nonce: [1; 16] });
    assert_eq!((rig.last(), rig.level), (Reply::Opened, true));
    rig
}

#[test]
fn a_lease_that_nobody_renews_ends_by_itself() {
    let mut rig = held_open();
    rig.pass_alive(ms(1_999));
    assert!(rig.level);
    rig.pass(ms(1));
    assert!(!rig.level);
    assert_eq!(rig.causes()[1..], [(true, EdgeCause::HoldOpen), (false, EdgeCause::Deadline)]);
    rig.give(Input::Renew);
    assert!(!rig.level, "a lease that is over is not renewed");
}

#[test]
fn a_lease_that_is_renewed_lasts_beyond_every_pulse_and_the_open_door() {
    let mut rig = held_open();
    for _ in 0..60 {
        rig.pass_alive(ms(1_000));
        rig.give(Input::Renew);
        rig.give(Input::DoorOpen);
        assert!(rig.level);
    }
    rig.arm(2);
    assert_eq!(rig.open(2, ms(300)), Reply::Refused(OpenRefusal::Coalesced));
    rig.give(Input::Eof);
    assert!(!rig.level, "a daemon that is gone holds nothing open");
}

#[test]
fn a_grant_is_never_renewed_and_a_hold_needs_a_fresh_nonce() {
    let mut rig = Rig::opened(ms(1_000));
    rig.pass_alive(ms(900));
    rig.give(Input::Renew);
    rig.pass(ms(100));
    assert!(!rig.level);
    rig.pass_alive(ms(1_000));
    rig.give(Input::HoldOpen { nonce: [1; 16] });
    assert_eq!((rig.last(), rig.level), (REFUSED_NONCE, false));
    let mut silent = held_open();
    silent.pass(ms(1_000));
    assert!(!silent.level, "without a sign of life a lease is no better than a pulse");
}

/// A hundred thousand pulses on a clock that stands still between deadlines; none is over what was asked, or over 10 s.
#[test]
fn a_hundred_thousand_pulses_never_outlast_their_limit() {
    let mut rig = Rig::new();
    let mut rng = ChaCha20Rng::seed_from_u64(17);
    let mut pulses = 0_u32;
    while pulses < 100_000 {
        let nonce = (pulses % 251) as u8;
        let hold = ms(u64::from(rng.next_u32() % 20_000));
        rig.arm(nonce);
        if rig.open(nonce, hold) != Reply::Opened {
            rig.pass(ms(1_000));
            continue;
        }
        pulses += 1;
        let since = rig.now;
        let limit = hold.clamp(ms(200), ms(10_000));
        let mut grants = 0;
        while rig.level {
            // The daemon lives, and asks again and again.
            rig.give(Input::Heartbeat);
            rig.arm(nonce);
            if grants < 3 && rig.open(nonce, ms(10_000)) != Reply::Refused(OpenRefusal::Coalesced) {
                panic!("a second grant in pulse {pulses}");
            }
            grants += 1;
            rig.pass(ms(250));
            assert!(!rig.level || rig.now.since(since) < limit, "pulse {pulses} of {hold:?} lasts");
        }
        let ended = rig.trace.last().map_or(rig.now, |(at, _)| *at);
        assert!(ended.since(since) <= limit, "pulse {pulses} of {hold:?} lasted {:?}", ended.since(since));
        rig.trace.clear();
        rig.replies.clear();
        rig.pass(ms(3_000));
    }
}
