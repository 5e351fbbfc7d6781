//! Whatever arrives in whatever order, the line is active only for a fresh grant, never for longer than its limits, and
//! never without a daemon that lives.
//!
//! The judge below knows the rules, not the machine: it keeps its own account of nonces, signs of life and pulses.

use super::machine::{Input, LEASE, Reply};
use super::machine_tests::{Health, Rig, ms};
use crate::base::time::Tick;
use crate::ports::OpenRefusal;
use crate::schema::ids::VisitId;
use proptest::prelude::*;
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
enum Step {
    Arm,
    /// With the nonce that was given out so many arms ago.
    Open {
        age: usize,
        hold: u64,
    },
    Forged,
    HoldOpen {
        age: usize,
    },
    Renew,
    Heartbeat,
    DoorOpen,
    Eof,
    Term,
    Pass(u64),
    Alive(u64),
    /// The process gets no processor for so long: deadlines are met late, after what queued up.
    Starved(u64),
    Line(Health),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Arm),
        6 => (prop_oneof![8 => Just(0usize), 1 => 1usize..4], prop_oneof![4 => 0u64..3_000, 1 => 0u64..100_000])
            .prop_map(|(age, hold)| Step::Open { age, hold }),
        1 => Just(Step::Forged),
        2 => prop_oneof![8 => Just(0usize), 1 => 1usize..4].prop_map(|age| Step::HoldOpen { age }),
        3 => Just(Step::Renew),
        3 => Just(Step::Heartbeat),
        1 => Just(Step::DoorOpen),
        1 => Just(Step::Eof),
        1 => Just(Step::Term),
        4 => (0u64..1_200).prop_map(Step::Pass),
        2 => (0u64..12_000).prop_map(Step::Alive),
        1 => (0u64..3_000).prop_map(Step::Starved),
    ]
}

fn step_on_a_bad_line() -> impl Strategy<Value = Step> {
    let health = prop_oneof![2 => Just(Health::Good), 1 => Just(Health::Stuck), 1 => Just(Health::Unreadable)];
    prop_oneof![9 => step(), 1 => health.prop_map(Step::Line)]
}

#[derive(Clone, Copy)]
struct Issued {
    nonce: u8,
    at: Tick,
    presented: bool,
}

struct Judge {
    rig: Rig,
    issued: Vec<Issued>,
    next: u8,
    alive: Tick,
    grants: Vec<Tick>,
    /// When the pulse that runs may have begun, and how long it was asked to last.
    pulse: Option<(Tick, Duration)>,
    /// That pulse is a lease, which a renewal begins anew.
    lease: bool,
    ended: Option<Tick>,
    faulted: bool,
}

impl Judge {
    fn new() -> Self {
        let rig = Rig::new();
        let alive = rig.now;
        Judge {
            rig,
            issued: vec![],
            next: 0,
            alive,
            grants: vec![],
            pulse: None,
            lease: false,
            ended: None,
            faulted: false,
        }
    }

    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        let before = self.rig.trace.len();
        match step {
            Step::Arm => {
                self.next = self.next.wrapping_add(1);
                for old in &mut self.issued {
                    old.presented = true; // A new nonce replaces the one that was out.
                }
                self.issued.push(Issued { nonce: self.next, at: self.rig.now, presented: false });
                self.rig.arm(self.next);
            }
            Step::Open { age, hold } => self.open(age, Some(hold))?,
            Step::HoldOpen { age } => self.open(age, None)?,
            Step::Renew => {
                self.rig.give(Input::Renew);
                if self.lease && self.rig.level {
                    self.pulse = Some((self.rig.now, LEASE));
                }
            }
            Step::Forged => {
                let answer = self.rig.open(0xFF, ms(1_000));
                prop_assert!(matches!(answer, Reply::Refused(OpenRefusal::Nonce | OpenRefusal::Fault)), "{answer:?}");
                self.spoil();
            }
            Step::Heartbeat => {
                self.rig.give(Input::Heartbeat);
                self.alive = self.rig.now;
            }
            Step::DoorOpen if self.lease => self.rig.give(Input::DoorOpen),
            Step::DoorOpen => self.ends_now(Input::DoorOpen)?,
            Step::Eof => {
                self.spoil();
                self.ends_now(Input::Eof)?;
            }
            Step::Term => {
                self.spoil();
                self.ends_now(Input::Term)?;
            }
            Step::Pass(d) => self.rig.pass(ms(d)),
            Step::Alive(d) => {
                let until = self.rig.now + ms(d);
                while self.rig.now < until {
                    self.rig.give(Input::Heartbeat);
                    self.alive = self.rig.now;
                    self.rig.pass(ms(250).min(until.since(self.rig.now)));
                    self.limits()?;
                }
            }
            Step::Starved(d) => {
                self.rig.now = self.rig.now + ms(d);
                self.rig.give(Input::Heartbeat);
                // What was due meanwhile comes first; only then the heartbeat counts.
                self.limits()?;
                self.alive = self.rig.now;
            }
            Step::Line(health) => {
                self.rig.health = health;
                self.faulted = true;
            }
        }
        if !matches!(step, Step::Open { .. } | Step::HoldOpen { .. }) {
            let rose = self.rig.trace[before..].iter().any(|(_, level)| *level);
            prop_assert!(!rose || self.faulted, "the line rose without an open");
        }
        self.limits()
    }

    /// A pulse of `hold` milliseconds, or a lease.
    fn open(&mut self, age: usize, hold: Option<u64>) -> Result<(), TestCaseError> {
        let Some(i) = self.issued.len().checked_sub(age + 1) else { return Ok(()) };
        let it = self.issued[i];
        let fresh = !it.presented && self.rig.now.since(it.at) < ms(500);
        let was_active = self.rig.level;
        let now = self.rig.now;
        self.spoil();
        let nonce = [it.nonce; 16];
        self.rig.give(match hold {
            Some(hold) => Input::Open { nonce, visit: VisitId(1), hold: ms(hold) },
            None => Input::HoldOpen { nonce },
        });
        if self.rig.level && !was_active {
            prop_assert!(fresh, "a nonce that was used or too old opened");
            if let Some(ended) = self.ended {
                prop_assert!(now.since(ended) >= ms(500), "the gap was {:?}", now.since(ended));
            }
            let in_a_minute = self.grants.iter().filter(|g| now.since(**g) < ms(60_000)).count();
            prop_assert!(in_a_minute < 20, "{in_a_minute} grants in a minute");
            self.grants.push(now);
            self.pulse = Some((now, hold.map_or(LEASE, |h| ms(h.max(200)))));
            self.lease = hold.is_none();
            self.alive = now;
        } else if !self.faulted && !fresh {
            prop_assert_eq!(self.rig.last(), Reply::Refused(OpenRefusal::Nonce));
        }
        Ok(())
    }

    fn spoil(&mut self) {
        for i in &mut self.issued {
            i.presented = true;
        }
    }

    fn ends_now(&mut self, input: Input) -> Result<(), TestCaseError> {
        self.rig.give(input);
        prop_assert!(!self.rig.level || self.faulted, "active after {input:?}");
        Ok(())
    }

    /// What must hold of the line after each step.
    fn limits(&mut self) -> Result<(), TestCaseError> {
        if !self.rig.level {
            self.lease = false;
            if self.pulse.take().is_some() {
                self.ended = self.rig.trace.last().map(|(at, _)| *at);
            }
            return Ok(());
        }
        if self.faulted {
            return Ok(());
        }
        let (since, hold) = self.pulse.ok_or_else(|| TestCaseError::fail("active without a grant"))?;
        prop_assert!(self.rig.now.since(since) < hold.min(ms(10_000)), "active for too long");
        prop_assert!(self.rig.now.since(self.alive) < ms(1_000), "active without a sign of life");
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn a_good_line_is_active_only_for_a_fresh_grant_and_never_too_long(steps in prop::collection::vec(step(), 0..120)) {
        let mut judge = Judge::new();
        for s in steps {
            judge.take(s)?;
        }
    }

    /// Random steps seldom reach twenty grants in a minute; a crowd at the door does.
    #[test]
    fn a_crowd_gets_no_more_than_twenty_pulses_a_minute(gaps in prop::collection::vec(0u64..1_500, 0..80)) {
        let mut judge = Judge::new();
        for gap in gaps {
            judge.take(Step::Arm)?;
            judge.take(Step::Open { age: 0, hold: 200 })?;
            judge.take(Step::Pass(gap))?;
        }
    }

    #[test]
    fn a_bad_line_never_rises_again_after_its_fault_and_falls_once_it_can(
        steps in prop::collection::vec(step_on_a_bad_line(), 0..120),
    ) {
        let mut judge = Judge::new();
        for s in steps {
            let refused = matches!(judge.rig.replies.last(), Some(Reply::Refused(OpenRefusal::Fault)));
            let rises = judge.rig.trace.iter().filter(|(_, level)| *level).count();
            judge.take(s)?;
            let rises_now = judge.rig.trace.iter().filter(|(_, level)| *level).count();
            prop_assert!(!(refused && judge.rig.machine.settled()) || rises_now == rises, "rose after a fault");
        }
        judge.rig.health = Health::Good;
        judge.rig.pass(ms(10_000));
        prop_assert!(!judge.rig.level, "a line that follows again is released");
    }

    #[test]
    fn whenever_the_line_may_be_active_there_is_a_deadline(steps in prop::collection::vec(step_on_a_bad_line(), 0..80)) {
        let mut judge = Judge::new();
        for s in steps {
            judge.take(s)?;
            prop_assert!(!judge.rig.level || judge.rig.machine.next_deadline().is_some());
        }
    }
}
