//! Every arrow of the drawing and every reason, each with the events it leaves.

use super::*;

const MATCHED: Do = Hold(800, ADA);

/// A door that asks for one action.
fn one(action: Action) -> Policy {
    asking(&[(action, 1)])
}

#[test]
fn a_known_live_person_who_does_what_is_asked_is_granted() {
    check(door(), &[Answer(ADA, PROMPTLY)], "started, asked turn_left, asked nod, granted ada");
}

#[test]
fn every_action_can_be_asked_and_done() {
    use Action::{Blink, Centre, MouthOpen, Nod, Smile, TurnLeft, TurnRight};
    for action in [Blink, MouthOpen, Nod, Smile, TurnLeft, TurnRight] {
        check(one(action), &[Answer(ADA, PROMPTLY)], &format!("started, asked {}, granted ada", action.name()));
    }
    for first in [TurnLeft, TurnRight, Nod] {
        let expected = format!("started, asked {}, asked centre, granted ada", first.name());
        check(asking(&[(first, 1), (Centre, 1)]), &[Answer(ADA, PROMPTLY)], &expected);
    }
}

#[test]
fn two_blinks_are_two() {
    let twice = asking(&[(Action::Blink, 2)]);
    check(twice.clone(), &[Answer(ADA, PROMPTLY)], "started, asked blink, granted ada");
    let shut = Look { open: 0.05, ..ADA };
    let script = [Hold(1_500, ADA), Hold(130, shut), Hold(6_000, ADA)];
    check(twice, &script, "started, asked blink, denied challenge_timeout");
}

#[test]
fn verify_looks_only_for_the_one_that_was_named() {
    let verify = |who| {
        with(door(), |p| {
            p.goal = Goal::Verify;
            p.gallery = Arc::new(gallery().only(&id(who)));
        })
    };
    check(verify("ada"), &[Answer(ADA, PROMPTLY)], "started, asked turn_left, asked nod, granted ada");
    for (wanted, there) in [("ada", EVE), ("eve", ADA), ("nobody", ADA), ("ada", BOB)] {
        check(verify(wanted), &[Answer(there, PROMPTLY)], "started, asked turn_left, asked nod, denied no_match");
    }
    // As near to two people as to each: no doubt when only one is asked for.
    let twin = Look { who: "twin", ..ADA };
    check(verify("ada"), &[Answer(twin, PROMPTLY)], "started, asked turn_left, asked nod, granted ada");
}

#[test]
fn liveness_names_nobody() {
    let live = || with(door(), |p| p.goal = Goal::Liveness);
    check(live(), &[Answer(ADA, PROMPTLY)], "started, asked turn_left, asked nod, granted");
    check(live(), &[Answer(BOB, PROMPTLY)], "started, asked turn_left, asked nod, granted");
    let sim = play(live(), &[MATCHED, Hold(800, RIGHT)]);
    assert_eq!(sim.visit.decision().map(|d| (d.reason, d.person.clone())), Some((Some(Reason::ChallengeFailed), None)));
}

#[test]
fn liveness_without_a_challenge_rests_on_pad() {
    let live = || policy(Goal::Liveness, ChallengeSource::None);
    check(live(), &[MATCHED], "started, granted");
    check(live(), &[Hold(800, Look { pad: 0.4, ..ADA })], "started, denied spoof");
    check(with(live(), |p| p.pad = Vec::new()), &[MATCHED], "started, denied spoof");
}

#[test]
fn an_unknown_person_and_one_between_two_are_refused_at_the_end() {
    check(door(), &[Answer(BOB, PROMPTLY)], "started, asked turn_left, asked nod, denied no_match");
    let twin = Look { who: "twin", ..ADA };
    check(door(), &[Answer(twin, PROMPTLY)], "started, asked turn_left, asked nod, denied ambiguous_match");
}

#[test]
fn an_unknown_person_is_shown_the_same_at_the_same_times() {
    let before_the_verdict = |look, react| {
        let sim = play(door(), &[Answer(look, react)]);
        let ends = |e: &Effect| matches!(e, Effect::Record(Event::VisitEnded { .. }));
        let n = sim.log.iter().position(|(_, e)| ends(e)).expect("a verdict");
        (sim.log[..n].to_vec(), sim.log[n].0)
    };
    for react in [PROMPTLY, React { after: 900, ..PROMPTLY }, React { after: 4_000, ..PROMPTLY }] {
        let known = before_the_verdict(ADA, react);
        assert!(known.0.len() >= 4, "{known:?}");
        assert_eq!(known, before_the_verdict(BOB, react));
        assert_eq!(known, before_the_verdict(Look { who: "twin", ..ADA }, react));
        assert_eq!(known, before_the_verdict(Look { pad: 0.4, ..ADA }, react));
    }
}

#[test]
fn a_verdict_screen_does_not_tell_why() {
    let last = |look, react| {
        let sim = play(door(), &[Answer(look, react)]);
        let screen = sim.log.iter().rev().find_map(|(_, e)| if let Effect::Show(s) = e { Some(*s) } else { None });
        (screen.expect("a screen"), sim.text())
    };
    let denied = Screen { phase: Phase::Done, verdict: Some(Verdict::Denied), ..Screen::IDLE };
    for (look, react) in [
        (BOB, PROMPTLY),
        (Look { pad: 0.4, ..ADA }, PROMPTLY),
        (Look { who: "twin", ..ADA }, PROMPTLY),
        (ADA, React { rematch: Some(EVE), ..PROMPTLY }),
        (ADA, React { instead: Some(Action::MouthOpen), ..PROMPTLY }),
        (ADA, React { frozen: true, ..PROMPTLY }),
        (ADA, React { during: Some(EVE), ..PROMPTLY }),
    ] {
        let (screen, text) = last(look, react);
        assert_eq!(screen, denied, "{text}");
    }
    assert_eq!(last(ADA, PROMPTLY).0, Screen { verdict: Some(Verdict::Granted), ..denied });
}

#[test]
fn each_pad_network_and_each_floor_refuses() {
    let spoof = "started, asked turn_left, asked nod, denied spoof";
    check(door(), &[Answer(Look { pad: 0.5, ..ADA }, PROMPTLY)], spoof);
    check(door(), &[Answer(Look { pad: 0.51, ..ADA }, PROMPTLY)], "started, asked turn_left, asked nod, granted ada");
    let strict = with(door(), |p| p.pad = vec![RULE, PadRule { threshold: 0.97, floor: 0.0 }]);
    check(strict, &[Answer(ADA, PROMPTLY)], spoof);
    let floor = with(door(), |p| p.pad = vec![RULE, PadRule { threshold: 0.5, floor: 0.96 }]);
    check(floor, &[Answer(ADA, PROMPTLY)], spoof);
}

#[test]
fn without_a_pad_network_the_challenge_speaks_for_life() {
    let absent = |challenge| with(policy(Goal::Identify, challenge), |p| p.pad = Vec::new());
    check(absent(ChallengeSource::None), &[MATCHED], "started, denied spoof");
    check(absent(asks(&[(Action::Nod, 1)])), &[Answer(ADA, PROMPTLY)], "started, asked nod, granted ada");
}

#[test]
fn another_action_than_asked_fails() {
    use Action::{MouthOpen, Nod, TurnLeft, TurnRight};
    for instead in [TurnRight, Nod, MouthOpen] {
        let wrong = React { instead: Some(instead), ..PROMPTLY };
        check(one(TurnLeft), &[Answer(ADA, wrong)], "started, asked turn_left, denied challenge_failed");
    }
}

#[test]
fn an_action_that_nobody_asked_for_fails() {
    let failed = "started, denied challenge_failed";
    for look in [LEFT, RIGHT, Look { pitch: 20.0, ..ADA }, Look { pitch: -25.0, ..ADA }, Look { gap: 0.3, ..ADA }] {
        let late =
            ChallengeSource::Fixed { deck: deck(&[], 0), order: vec![(Action::Blink, 1)], onsets: vec![ms(2_000)] };
        check(with(door(), |p| p.challenge = late), &[Hold(1_600, ADA), Hold(700, look)], failed);
    }
    // After the first step, while the second is awaited.
    let script = [Hold(1_500, ADA), Hold(300, LEFT), Hold(100, ADA), Hold(300, RIGHT)];
    check(door(), &script, "started, asked turn_left, denied challenge_failed");
    // What was asked may show once more.
    let script = [Hold(1_500, ADA), Hold(200, LEFT), Hold(70, ADA), Hold(200, LEFT), Answer(ADA, PROMPTLY)];
    check(door(), &script, "started, asked turn_left, asked nod, granted ada");
}

#[test]
fn blink_smile_and_centre_happen_unasked() {
    let passed = "started, asked turn_left, asked nod, granted ada";
    let shut = Look { open: 0.05, ..ADA };
    let smile = Look { smile: true, ..ADA };
    check(door(), &[MATCHED, Hold(130, shut), Hold(66, ADA), Hold(300, smile), Answer(ADA, PROMPTLY)], passed);
    let smiling = React { instead: Some(Action::Smile), ..PROMPTLY };
    check(door(), &[Answer(ADA, smiling)], "started, asked turn_left, denied challenge_timeout");
    // Back at the centre after a turn, before the nod is asked.
    check(door(), &[Hold(1_500, ADA), Hold(300, LEFT), Hold(400, ADA), Answer(ADA, PROMPTLY)], passed);
}

#[test]
fn centre_counts_only_for_who_stayed_until_it_was_asked() {
    let turn_and_back = || asking(&[(Action::TurnLeft, 1), (Action::Centre, 1)]);
    let script = [Hold(1_500, ADA), Hold(300, LEFT), Hold(6_000, ADA)];
    check(turn_and_back(), &script, "started, asked turn_left, asked centre, denied challenge_timeout");
    let script = [Hold(1_500, ADA), Hold(1_400, LEFT), Hold(1_000, ADA)];
    check(turn_and_back(), &script, "started, asked turn_left, asked centre, granted ada");
}

#[test]
fn a_reaction_is_too_early_just_below_and_in_time_just_above_its_limit() {
    let at = |after| [Every(10), Answer(ADA, React { after, ..PROMPTLY })];
    check(one(Action::TurnLeft), &at(140), "started, asked turn_left, denied challenge_failed");
    check(one(Action::TurnLeft), &at(150), "started, asked turn_left, granted ada");
    check(one(Action::TurnLeft), &at(2_380), "started, asked turn_left, granted ada");
    check(one(Action::TurnLeft), &at(2_420), "started, asked turn_left, denied challenge_timeout");
}

#[test]
fn the_whole_challenge_has_a_limit() {
    use Action::{Blink, MouthOpen, Nod, TurnLeft, TurnRight};
    let long = || asking(&[(TurnLeft, 1), (Nod, 1), (Blink, 1), (TurnRight, 1), (MouthOpen, 1)]);
    let slow = React { after: 2_200, ..PROMPTLY };
    let sim = play(long(), &[Answer(ADA, slow)]);
    assert!(sim.text().ends_with("denied challenge_timeout"), "{}", sim.text());
    let end = sim.visit.decision().expect("a verdict").at;
    let assessed = sim.visit.challenge_began.expect("a challenge");
    assert!(end.since(assessed) <= ms(12_000) + ms(33), "it took {:?}", end.since(assessed));
    check(
        long(),
        &[Answer(ADA, PROMPTLY)],
        "started, asked turn_left, asked nod, asked blink, asked turn_right, asked mouth_open, granted ada",
    );
    // Also while an action is awaited whose own window would last longer.
    let short = with(door(), |p| p.challenge_limit = ms(4_000));
    check(short, &[Answer(ADA, slow)], "started, asked turn_left, asked nod, denied challenge_timeout");
    check(door(), &[Answer(ADA, slow)], "started, asked turn_left, asked nod, granted ada");
    // Who never comes to rest is never asked.
    let restless = Look { yaw: 13.0, ..ADA };
    check(door(), &[MATCHED, Hold(13_000, restless)], "started, denied challenge_timeout");
}

#[test]
fn another_person_at_the_rematch_is_a_mismatch() {
    let then = |look| [Answer(ADA, React { rematch: Some(look), ..PROMPTLY })];
    let mismatch = "started, asked turn_left, asked nod, denied challenge_mismatch";
    check(door(), &then(EVE), mismatch);
    check(door(), &then(Look { quality: Quality::Blurred, ..ADA }), mismatch);
    check(door(), &then(Look { yaw: 18.0, ..ADA }), mismatch);
    // Nobody known is a change of the face, seen by two embeddings.
    check(door(), &then(BOB), "started, asked turn_left, asked nod, denied face_changed");
    check(door(), &then(Look { gap: 0.3, ..ADA }), "started, asked turn_left, asked nod, granted ada");
}

#[test]
fn a_turn_that_nobody_asked_for_at_the_rematch_fails() {
    let turned = Look { yaw: -35.0, quality: Quality::Blurred, ..ADA };
    let script = [Answer(ADA, React { rematch: Some(turned), ..PROMPTLY })];
    check(door(), &script, "started, asked turn_left, asked nod, denied challenge_failed");
}

#[test]
fn a_face_that_changes_after_a_prompt_is_refused() {
    let changed = "started, asked turn_left, denied face_changed";
    let during = |look| [Answer(ADA, React { during: Some(look), ..PROMPTLY })];
    check(door(), &during(Look { track: 2, ..ADA }), changed);
    check(door(), &during(Look { track: 2, ..EVE }), changed);
    check(door(), &during(EVE), changed);
    check(door(), &[Hold(1_500, ADA), Pause(400), Hold(33, ADA)], changed);
    check(door(), &[Hold(1_500, ADA), Hold(330, NOBODY), Hold(33, ADA)], changed);
    check(
        door(),
        &[Hold(1_500, ADA), Hold(231, NOBODY), Answer(ADA, PROMPTLY)],
        "started, asked turn_left, asked nod, granted ada",
    );
    let rematch = [Answer(ADA, React { rematch: Some(Look { track: 2, ..ADA }), ..PROMPTLY })];
    check(door(), &rematch, "started, asked turn_left, asked nod, denied face_changed");
}

#[test]
fn one_strange_embedding_is_a_blurred_frame() {
    let sim = play(door(), &[Every(180), Hold(1_620, ADA), Hold(180, BOB), Answer(ADA, PROMPTLY)]);
    assert!(sim.granted(), "{}", sim.text());
}

#[test]
fn before_the_first_prompt_a_changed_face_begins_anew() {
    let eve = Look { track: 2, ..EVE };
    for until in [600, 660, 900] {
        let passed = |who: &str| format!("started, asked turn_left, asked nod, granted {who}");
        check(door(), &[Hold(until, ADA), Answer(eve, PROMPTLY)], &passed("eve"));
        check(door(), &[Hold(until, eve), Hold(33, ADA), Answer(ADA, PROMPTLY)], &passed("ada"));
        let stranger = [Hold(until, ADA), Answer(Look { track: 2, ..BOB }, PROMPTLY)];
        check(door(), &stranger, "started, asked turn_left, asked nod, denied no_match");
        // The same person after a gap is seen from the beginning too.
        check(door(), &[Hold(until, ADA), Pause(450), Answer(ADA, PROMPTLY)], &passed("ada"));
    }
    // Nor is a refusal of the next charged to the one before.
    let sim = play(door(), &[Hold(900, ADA), Hold(9_000, Look { track: 2, quality: Quality::Dark, ..BOB })]);
    assert_eq!(sim.text(), "started, try_again poor_quality");
    assert_eq!(sim.visit.decision().and_then(|d| d.person.clone()), None);
    // PAD scores of the one before do not count for the next.
    let photo = [Hold(900, ADA), Answer(Look { track: 2, pad: 0.3, ..EVE }, PROMPTLY)];
    check(door(), &photo, "started, asked turn_left, asked nod, denied spoof");
}

#[test]
fn people_who_take_turns_do_not_hold_a_visit_for_ever() {
    let eve = Look { track: 2, ..EVE };
    let script: Vec<Do> = (0..30).flat_map(|_| [Hold(700, ADA), Hold(700, eve)]).collect();
    let sim = play(door(), &script);
    assert_eq!(sim.text(), "started, try_again degraded");
    let d = sim.visit.decision().expect("a verdict");
    assert!(d.at.since(d.began) <= ms(16_500) + ms(733), "it took {:?}", d.at.since(d.began));
}

#[test]
fn a_picture_that_stays_poor_is_told_and_tried_again() {
    let poor = "started, try_again poor_quality";
    for (quality, advice) in [
        (Quality::TooSmall, Advice::ComeCloser),
        (Quality::Blurred, Advice::HoldStill),
        (Quality::Dark, Advice::MoreLight),
        (Quality::Bright, Advice::LessLight),
        (Quality::OffPose, Advice::FaceTheCamera),
    ] {
        let sim = play(door(), &[Hold(9_000, Look { quality, ..ADA })]);
        assert_eq!(sim.text(), poor);
        let advised = |phase| {
            sim.log.iter().any(|(_, e)| matches!(e, Effect::Show(s) if s.phase == phase && s.advice == Some(advice)))
        };
        assert!(advised(Phase::Looking) && advised(Phase::Done), "{quality:?}");
    }
    check(door(), &[Hold(9_000, LEFT)], poor);
    let better = [Hold(4_000, Look { quality: Quality::Dark, ..ADA }), Answer(ADA, PROMPTLY)];
    check(door(), &better, "started, asked turn_left, asked nod, granted ada");
}

#[test]
fn two_people_are_asked_to_come_one_at_a_time() {
    let two = Look { second: 0.6, ..ADA };
    let beside = Look { second: 0.59, ..ADA };
    let passed = "started, asked turn_left, asked nod, granted ada";
    let several = "started, try_again several_faces";
    check(door(), &[Hold(3_000, two)], "");
    check(door(), &[Hold(3_000, two), Answer(ADA, PROMPTLY)], passed);
    check(door(), &[Hold(600, ADA), Hold(9_000, two)], several);
    check(door(), &[Hold(600, ADA), Hold(3_000, two), Answer(ADA, PROMPTLY)], passed);
    check(door(), &[MATCHED, Hold(264, two)], several);
    check(door(), &[MATCHED, Hold(165, two), Answer(ADA, PROMPTLY)], passed);
    check(door(), &[Answer(ADA, React { during: Some(beside), ..PROMPTLY })], passed);
    let late = React { rematch: Some(two), ..PROMPTLY };
    check(door(), &[Answer(ADA, late)], "started, asked turn_left, asked nod, try_again several_faces");
}

#[test]
fn the_screen_is_idle_again_when_two_have_gone() {
    let sim = play(door(), &[Hold(300, Look { second: 0.9, ..ADA }), Hold(300, NOBODY)]);
    let screens: Vec<_> = sim.log.iter().map(|(_, e)| e.clone()).collect();
    let advice = Screen { phase: Phase::Looking, advice: Some(Advice::OneAtATime), ..Screen::IDLE };
    assert_eq!(screens, [Effect::Show(advice), Effect::Show(Screen::IDLE)]);
}

#[test]
fn the_gates_tell_how_far_a_visit_has_come() {
    let state = |script: &[Do], gate: Gate| {
        let sim = play(door(), script);
        sim.visit.gates().into_iter().find(|(g, _)| *g == gate).map(|(_, s)| s.name()).expect("all gates are told")
    };
    assert_eq!(state(&[], Gate::Intent), "wait");
    assert_eq!(state(&[MATCHED], Gate::Intent), "pass");
    assert_eq!(state(&[MATCHED], Gate::Match), "pass");
    assert_eq!(state(&[Hold(900, BOB)], Gate::Match), "fail");
    assert_eq!(state(&[Hold(900, Look { pad: 0.3, ..ADA })], Gate::Pad), "fail");
    assert_eq!(state(&[Hold(600, Look { quality: Quality::Dark, ..ADA })], Gate::Quality), "fail");
    assert_eq!(state(&[MATCHED, Hold(33, Look { second: 0.9, ..ADA })], Gate::OneFace), "fail");
    for gate in Gate::ALL {
        assert_eq!(state(&[Answer(ADA, PROMPTLY)], gate), "pass", "{}", gate.name());
    }
    assert_eq!(state(&[Answer(ADA, React { rematch: Some(EVE), ..PROMPTLY })], Gate::Rematch), "fail");
}

#[test]
fn who_was_lost_while_turning_turns_again_and_is_granted() {
    let lost = Look { solid: None, ..ADA };
    let mut sim = Sim::new(door(), [3; 32]);
    let left = React { during: Some(lost), ..PROMPTLY };
    // Until the prompt comes a second time the face cannot be followed.
    while sim.text().matches("asked turn_left").count() < 2 {
        let look = sim.acted(&ADA, &left);
        sim.look(&look);
    }
    sim.act(&Answer(ADA, PROMPTLY));
    properties::audit(&sim);
    assert_eq!(sim.text(), "started, asked turn_left, asked turn_left, asked nod, granted ada");
}

#[test]
fn the_face_of_a_step_that_is_asked_again_must_stay_the_same() {
    let lost = React { during: Some(Look { solid: None, ..ADA }), ..PROMPTLY };
    let mut sim = Sim::new(door(), [3; 32]);
    while !matches!(sim.visit.state, State::Between { step: 0, .. }) || sim.prompt.is_none() {
        let look = sim.acted(&ADA, &lost);
        sim.look(&look);
    }
    sim.act(&Hold(200, Look { track: 2, ..ADA }));
    assert_eq!(sim.text(), "started, asked turn_left, denied face_changed");
}

#[test]
fn a_plane_fails_at_its_own_gate() {
    let photo = React { during: Some(Look { solid: Some(0.0), ..ADA }), ..PROMPTLY };
    let sim = play(door(), &[Answer(ADA, photo)]);
    let failed: Vec<Gate> =
        sim.visit.gates().into_iter().filter(|(_, s)| *s == GateState::Fail).map(|(g, _)| g).collect();
    assert_eq!(failed, [Gate::Relief]);
}

#[test]
fn the_relief_is_wanted_before_and_while_a_turn_is_asked_and_not_else() {
    let mut sim = Sim::new(door(), [3; 32]);
    let mut wanted = Vec::new();
    while sim.visit.decision().is_none() {
        let now = (sim.visit.wants(Tick::from_millis(sim.t)).relief, matches!(sim.visit.state, State::Asked { .. }));
        if wanted.last() != Some(&now) {
            wanted.push(now);
        }
        let look = sim.acted(&ADA, &PROMPTLY);
        sim.look(&look);
    }
    use ReliefAsk::{Follow, No, Ready};
    assert_eq!(wanted, [(No, false), (Ready, false), (Follow, true), (No, false), (No, true), (No, false)]);
}
