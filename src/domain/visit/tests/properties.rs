//! Whatever arrives in whatever order: at most one verdict, none without its grounds, no panic, no standstill.

use super::*;
use crate::domain::fusion::Evidence as Shown;
use crate::domain::gesture::median;
use proptest::prelude::*;

/// What must hold of every visit that was ever played, checked from the frames and the effects alone.
#[track_caller]
pub(super) fn audit(sim: &Sim) {
    let decided: Vec<usize> = positions(&sim.log, |e| matches!(e, Effect::Decided(_)));
    assert!(decided.len() <= 1, "several verdicts: {}", sim.text());
    let Some(at) = decided.first() else { return };
    assert_eq!(*at + 1, sim.log.len(), "something after the verdict: {}", sim.text());
    let Effect::Decided(d) = &sim.log[*at].1 else { return };
    assert_eq!(d.verdict == Verdict::Granted, d.reason.is_none());
    assert_eq!(d.verdict, d.reason.map_or(Verdict::Granted, Reason::verdict));
    let ended = positions(&sim.log, |e| matches!(e, Effect::Record(Event::VisitEnded { .. })));
    assert_eq!(ended.len(), 1);
    if d.verdict == Verdict::Granted && Gate::ALL.iter().all(|g| sim.policy.holds(*g)) {
        grounds(sim, d);
    }
}

fn positions(log: &[(Tick, Effect)], of: impl Fn(&Effect) -> bool) -> Vec<usize> {
    (0..log.len()).filter(|i| of(&log[*i].1)).collect()
}

/// A grant rests on all of this.
#[track_caller]
fn grounds(sim: &Sim, d: &Decision) {
    assert!(d.at.since(d.newest) <= sim.policy.max_age, "granted on a frame {:?} old", d.at.since(d.newest));
    let last = sim.fed.last().map(|(_, o)| o).expect("a grant needs frames");
    assert_eq!(last.captured, d.newest);
    let track = last.face.as_ref().map(|f| f.track);
    // Frames of the visit that a verdict may rest on.
    let fit: Vec<(&Observation, &FaceSeen)> = sim
        .fed
        .iter()
        .filter(|(now, o)| o.captured >= d.began && now.since(o.captured) <= sim.policy.max_age)
        .filter_map(|(_, o)| o.face.as_ref().map(|f| (o, f)))
        .filter(|(_, f)| Some(f.track) == track && f.frontal && f.quality == Quality::Ok)
        .collect();
    for (i, rule) in sim.policy.pad.iter().enumerate() {
        let scores: Vec<f32> = fit.iter().filter_map(|(_, f)| f.pad.get(i)).map(|s| s.get()).collect();
        assert!(scores.len() >= sim.policy.pad_frames, "granted on {} PAD frames", scores.len());
        assert!(median(&scores).is_some_and(|m| m > rule.threshold), "granted with PAD scores {scores:?}");
    }
    if d.goal != Goal::Liveness {
        let known = Identity::Known(d.person.clone().expect("a grant names the person"));
        let named = fit.iter().filter_map(|(_, f)| f.embedding.as_ref()).filter(|e| sim.visit.judge(e) == known);
        assert!(named.count() >= sim.policy.agree);
    }
    if d.goal == Goal::Identify {
        assert!(sim.visit.stream.fps() >= sim.policy.min_fps, "granted at {} fps", sim.visit.stream.fps());
    }
    for gate in Gate::ALL {
        let shown = sim.visit.shown(gate, d.at);
        let grounds = matches!(shown, Shown::Pass | Shown::NotAsked);
        assert!(grounds, "granted though {} says {shown:?}", gate.name());
    }
    steps(sim);
    if sim.policy.light == LightAsk::Require {
        assert!(!sim.lit.is_empty(), "granted without the light that is required");
    }
    let fast = sim.lit.windows(2).any(|w| w[1].0 - w[0].0 < 333);
    assert!(!fast, "colours change faster than three times a second: {:?}", sim.lit);
}

/// Every step was prompted, in order, and between two prompts there was time to react.
#[track_caller]
fn steps(sim: &Sim) {
    let asked: Vec<(Tick, Action)> = sim
        .log
        .iter()
        .filter_map(|(t, e)| match e {
            Effect::Record(Event::VisitPrompted { action, .. }) => Some((*t, *action)),
            _ => None,
        })
        .collect();
    let planned: Vec<Action> = sim.visit.plan.0.iter().map(|s| s.action).collect();
    // One step of a visit may be asked twice in a row, when its turn could not be judged.
    let mut once: Vec<Action> = asked.iter().map(|(_, a)| *a).collect();
    once.dedup();
    assert_eq!(once, planned);
    assert!(asked.len() <= planned.len() + 1, "asked {} times", asked.len());
    let end = sim.log.last().map(|(t, _)| *t).unwrap_or_default();
    let gates: Vec<Tick> = asked.iter().map(|(t, _)| *t).chain([end]).collect();
    for pair in gates.windows(2) {
        assert!(
            pair[1].since(pair[0]) >= sim.policy.reaction_min,
            "done {:?} after the prompt",
            pair[1].since(pair[0])
        );
    }
}

/// A number that a broken network or driver might hand over.
fn number() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => -60.0_f32..60.0,
        2 => 0.0_f32..1.5,
        1 => prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY), Just(f32::MAX), Just(0.0)],
    ]
}

#[derive(Clone, Debug)]
enum Chaos {
    Frame {
        dt: u64,
        age: u64,
        epoch: bool,
        twice: bool,
        back: bool,
        faces: u32,
        second: f32,
        face: Option<FaceSeen>,
    },
    /// Somebody answers the prompts for a while.
    Person {
        for_ms: u64,
        after: u64,
    },
    Time(u64),
    Stop,
    Camera,
}

fn signals() -> impl Strategy<Value = Option<Signals>> {
    proptest::option::of((proptest::array::uniform8(number()), any::<bool>()).prop_map(|(n, eyes)| Signals {
        openness: eyes.then_some([n[0], n[1]]),
        mouth_gap: n[2],
        mouth_width: n[3],
        corner_lift: n[4],
        brow: n[5],
        tongue: None,
        bridge: [n[6], n[7]],
        eye_px: n[0],
    }))
}

fn face() -> impl Strategy<Value = FaceSeen> {
    let quality = prop_oneof![4 => Just(Quality::Ok), 1 => Just(Quality::Dark), 1 => Just(Quality::Several)];
    let scores = proptest::collection::vec((0.0_f32..=1.0).prop_map(|p| LiveScore::new(p).expect("within 0..1")), 0..4);
    let vector = prop_oneof![
        3 => prop_oneof![Just("ada"), Just("eve"), Just("bob"), Just("twin")].prop_map(embedding),
        1 => proptest::collection::vec(number(), 0..6).prop_map(Embedding::from),
    ];
    let shape = (proptest::array::uniform4(number()), proptest::array::uniform3(number()));
    (1_u32..3, shape, quality, any::<bool>(), signals(), scores, proptest::option::of(vector)).prop_map(
        |(track, (r, p), quality, frontal, signals, pad, embedding)| FaceSeen {
            track,
            rect: Rect { x: r[0], y: r[1], w: r[2] * 10.0, h: r[3] * 10.0 },
            quality,
            frontal,
            pose: Pose { yaw: p[0], pitch: p[1], roll: p[2] },
            signals,
            pad,
            embedding,
            relief: None,
            skin: None,
        },
    )
}

fn chaos() -> impl Strategy<Value = Chaos> {
    let rare = |p| proptest::bool::weighted(p);
    let frame =
        (0_u64..300, 0_u64..700, rare(0.01), rare(0.05), rare(0.05), 0_u32..3, number(), proptest::option::of(face()))
            .prop_map(|(dt, age, epoch, twice, back, faces, second, face)| Chaos::Frame {
                dt,
                age,
                epoch,
                twice,
                back,
                faces,
                second,
                face,
            });
    prop_oneof![
        10 => frame,
        8 => (100_u64..3_000, 100_u64..1_200).prop_map(|(for_ms, after)| Chaos::Person { for_ms, after }),
        2 => (0_u64..4_000).prop_map(Chaos::Time),
        1 => prop_oneof![Just(Chaos::Stop), Just(Chaos::Camera)],
    ]
}

fn source() -> impl Strategy<Value = ChallengeSource> {
    use Action::{Blink, Centre, MouthOpen, Nod, TurnLeft, TurnRight};
    prop_oneof![
        4 => Just(ChallengeSource::Draw(deck(&[TurnLeft, TurnRight, Centre, Nod, MouthOpen, Blink], 3))),
        1 => Just(ChallengeSource::None),
        2 => Just(asks(&[(Nod, 1)])),
    ]
}

fn light() -> impl Strategy<Value = LightAsk> {
    prop_oneof![2 => Just(LightAsk::No), 1 => Just(LightAsk::Try), 1 => Just(LightAsk::Require)]
}

fn goal() -> impl Strategy<Value = Goal> {
    prop_oneof![Just(Goal::Identify), Just(Goal::Verify), Just(Goal::Liveness)]
}

fn disturb(sim: &mut Sim, c: &Chaos) {
    match c {
        Chaos::Frame { dt, age, epoch, twice, back, faces, second, face } => {
            sim.t += dt;
            sim.lag = sim.lag.max(*age);
            sim.epoch += u32::from(*epoch);
            sim.frame += u64::from(!*back);
            let o = Observation {
                frame: sim.frame,
                captured: Tick::from_millis(sim.t + sim.lag - age),
                epoch: sim.epoch,
                unchanged: None,
                digest: if *twice { 5 } else { 10 + sim.t },
                faces: *faces,
                second: *second,
                face: face.clone(),
            };
            sim.show(&o);
        }
        Chaos::Person { for_ms, after } => {
            let end = sim.t + for_ms;
            sim.t += sim.lag;
            sim.lag = 0;
            while sim.t < end {
                let look = sim.acted(&ADA, &React { after: *after, ..PROMPTLY });
                sim.look(&look);
            }
        }
        Chaos::Time(dt) => {
            sim.t += dt;
            sim.tell(sim.now(), Input::Time);
        }
        Chaos::Stop => sim.tell(sim.now(), Input::Stop),
        Chaos::Camera => sim.tell(sim.now(), Input::CameraChanged),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_arrives_there_is_at_most_one_verdict_and_no_grant_without_grounds(
        goal in goal(),
        source in source(),
        light in light(),
        seed in any::<[u8; 32]>(),
        script in proptest::collection::vec(chaos(), 1..60),
    ) {
        let mut sim = Sim::new(with(policy(goal, source), |p| p.light = light), seed);
        for c in &script {
            disturb(&mut sim, c);
        }
        audit(&sim);
    }

    #[test]
    fn a_timer_that_is_obeyed_always_moves_the_visit_on(
        source in source(),
        light in light(),
        seed in any::<[u8; 32]>(),
        script in proptest::collection::vec(chaos(), 1..30),
    ) {
        let mut sim = Sim::new(with(policy(Goal::Identify, source), |p| p.light = light), seed);
        for c in &script {
            disturb(&mut sim, c);
            // A shell would have woken at every deadline that has passed.
            sim.tell(sim.now(), Input::Time);
            let next = sim.visit.next_deadline();
            prop_assert!(next.is_none_or(|d| d > sim.now()), "{next:?} is due still at {:?}", sim.now());
        }
        // Nothing comes any more: the timers alone end what has begun.
        for _ in 0..8 {
            let Some(d) = sim.visit.next_deadline() else { break };
            let now = d.max(sim.now());
            sim.t = now.as_millis() + 1;
            sim.lag = 0;
            sim.tell(now, Input::Time);
        }
        prop_assert!(!sim.visit.is_running(), "still running: {}", sim.text());
        audit(&sim);
    }
}

/// A million inputs, with people among them who do what they are asked, so that there are grants to look at.
#[test]
fn a_million_steps_of_anything_give_no_grant_without_every_gate() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let what = (goal(), source(), any::<[u8; 32]>(), proptest::collection::vec(chaos(), 1..60));
    let (mut steps, mut granted) = (0_u64, 0_u64);
    while steps < 1_000_000 {
        let (goal, source, seed, script) = what.new_tree(&mut runner).expect("no filter in it").current();
        let mut sim = Sim::new(policy(goal, source), seed);
        for c in &script {
            disturb(&mut sim, c);
        }
        audit(&sim);
        steps += sim.steps;
        granted += u64::from(sim.granted());
    }
    assert!(granted >= 100, "only {granted} grants were looked at");
}

/// How a person and a camera differ from the ordinary, without being wrong.
#[derive(Clone, Debug)]
struct Manner {
    seed: [u8; 32],
    every: u64,
    lag: u64,
    after: u64,
    pitch: f32,
    before: u64,
    goal: Goal,
    /// Frames without a face, as a detector misses some: before which frame of the visit.
    missed: Vec<u64>,
}

fn manner() -> impl Strategy<Value = Manner> {
    (
        any::<[u8; 32]>(),
        prop_oneof![Just(33_u64), Just(40), Just(66), Just(100), Just(180)],
        0_u64..450,
        200_u64..1_000,
        -8.0_f32..6.0,
        0_u64..2_000,
        goal(),
        proptest::collection::vec(0_u64..200, 0..4),
    )
        .prop_map(|(seed, every, lag, after, pitch, before, goal, missed)| Manner {
            seed,
            every,
            lag,
            after,
            pitch,
            before,
            goal,
            missed,
        })
}

/// What is wrong all along.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// Frames are older than the limit whenever they are looked at.
    Stale(u64),
    /// Another person from the first prompt on, for the actions and the re-match or for the actions alone.
    Swapped(bool),
    /// No PAD score above the threshold.
    Spoofed(f32),
    /// A picture from the first prompt on.
    SpoofedLater(f32),
}

fn live_through(m: &Manner, fault: Fault) -> Sim {
    use Action::{Centre, MouthOpen, Nod, TurnLeft, TurnRight};
    let draw = ChallengeSource::Draw(deck(&[TurnLeft, TurnRight, Centre, Nod, MouthOpen], 3));
    let mut sim = Sim::new(policy(m.goal, draw), m.seed);
    let mut base = Look { pitch: m.pitch, ..ADA };
    let mut react = React { after: m.after, ..PROMPTLY };
    sim.every = m.every;
    sim.lag = m.lag;
    match fault {
        Fault::None => {}
        Fault::Stale(more) => sim.lag = 501 + more,
        Fault::Swapped(stays) => {
            react.during = Some(Look { who: "eve", ..base });
            react.rematch = stays.then_some(Look { who: "eve", ..base });
        }
        Fault::Spoofed(p) => base.pad = p,
        Fault::SpoofedLater(p) => react.during = Some(Look { pad: p, ..base }),
    }
    sim.act(&Hold(m.before, NOBODY));
    let end = sim.t + 40_000;
    let mut frame = 0;
    while sim.t < end && sim.visit.decision().is_none() {
        frame += 1;
        let mut look = sim.acted(&base, &react);
        look.there = !m.missed.contains(&frame);
        sim.look(&look);
    }
    audit(&sim);
    sim
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_stale_swapped_or_spoofed_face_is_never_granted(
        m in manner(),
        older in 0_u64..3_000,
        p in 0.0_f32..=0.5,
        stays in any::<bool>(),
    ) {
        for fault in [Fault::Stale(older), Fault::Swapped(stays), Fault::Spoofed(p), Fault::SpoofedLater(p.min(0.4))] {
            let sim = live_through(&m, fault);
            prop_assert!(!sim.granted(), "{fault:?}: {}", sim.text());
        }
    }
}

#[test]
fn without_a_fault_most_of_those_visits_are_granted() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut refused = Vec::new();
    for _ in 0..200 {
        let m = manner().new_tree(&mut runner).expect("no filter in it").current();
        let sim = live_through(&m, Fault::None);
        if !sim.granted() {
            refused.push((sim.text(), m));
        }
    }
    assert!(refused.len() <= 20, "{} of 200 were refused: {:#?}", refused.len(), &refused[..3]);
}
