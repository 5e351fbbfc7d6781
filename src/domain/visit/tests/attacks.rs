//! Attacks, each stopped by its own gate: with that gate alone taken out it gets through or a stage further, and with
//! any other taken out it does not.

use super::*;

/// What is tried, the gate that stops it, what then comes out and what without that gate.
struct Attack {
    gate: Gate,
    script: Vec<Do>,
    refused: &'static str,
    without: &'static str,
}

const BLURRED: Look = Look { quality: Quality::Blurred, ..ADA };
const PASSED: &str = "started, asked turn_left, asked nod, granted ada";

fn answer(react: React) -> Vec<Do> {
    vec![Answer(ADA, react)]
}

fn attacks() -> Vec<Attack> {
    vec![
        // Ada is matched, Eve acts, Ada is there again.
        Attack {
            gate: Gate::Continuity,
            script: answer(React { during: Some(EVE), rematch: Some(ADA), ..PROMPTLY }),
            refused: "started, asked turn_left, denied face_changed",
            without: PASSED,
        },
        // A live face at first, a picture from the first prompt on.
        Attack {
            gate: Gate::Pad,
            script: answer(React { during: Some(Look { pad: 0.2, ..ADA }), ..PROMPTLY }),
            refused: "started, asked turn_left, asked nod, denied spoof",
            without: PASSED,
        },
        // A glimpse below the floor among many live frames, as long as it takes to be looked at.
        Attack {
            gate: Gate::Pad,
            script: vec![Hold(600, ADA), Hold(165, Look { pad: 0.0, ..ADA }), Answer(ADA, PROMPTLY)],
            refused: "started, asked turn_left, asked nod, denied spoof",
            without: PASSED,
        },
        // A bent photograph that reaches the angle of a turn.
        Attack {
            gate: Gate::Relief,
            script: answer(React { during: Some(Look { solid: Some(0.0), ..ADA }), ..PROMPTLY }),
            refused: "started, asked turn_left, denied spoof",
            without: PASSED,
        },
        // One whose relief points the other way: no plane, so it accuses nobody, and no turn either.
        Attack {
            gate: Gate::Relief,
            script: answer(React { during: Some(Look { solid: Some(-1.0), ..ADA }), ..PROMPTLY }),
            refused: "started, asked turn_left, asked turn_left, denied challenge_timeout",
            without: PASSED,
        },
        // A face that cannot be followed while it turns is asked once more.
        Attack {
            gate: Gate::Relief,
            script: answer(React { during: Some(Look { solid: None, ..ADA }), ..PROMPTLY }),
            refused: "started, asked turn_left, asked turn_left, denied challenge_timeout",
            without: PASSED,
        },
        // A recording of another visit with its light is shown.
        Attack {
            gate: Gate::Light,
            script: vec![Answer(Look { glow: Glow::Recorded(0.08), ..ADA }, PROMPTLY)],
            refused: "started, asked turn_left, asked nod, denied spoof",
            without: PASSED,
        },
        // The action comes before anybody could have read its prompt.
        Attack {
            gate: Gate::Timing,
            script: answer(React { after: 50, ..PROMPTLY }),
            refused: "started, asked turn_left, denied challenge_failed",
            without: PASSED,
        },
        // A turn that nobody asked for, as a replayed recording shows.
        Attack {
            gate: Gate::Timing,
            script: vec![Hold(900, ADA), Hold(200, RIGHT), Answer(ADA, PROMPTLY)],
            refused: "started, denied challenge_failed",
            without: PASSED,
        },
        // Somebody else is there during the actions.
        Attack {
            gate: Gate::OneFace,
            script: answer(React { during: Some(Look { second: 0.9, ..ADA }), ..PROMPTLY }),
            refused: "started, asked turn_left, try_again several_faces",
            without: PASSED,
        },
        // Another enrolled person steps in after the last action.
        Attack {
            gate: Gate::Rematch,
            script: answer(React { rematch: Some(EVE), ..PROMPTLY }),
            refused: "started, asked turn_left, asked nod, denied challenge_mismatch",
            without: PASSED,
        },
        // Frames that came before, byte for byte.
        Attack {
            gate: Gate::Source,
            script: answer(React { frozen: true, ..PROMPTLY }),
            refused: "started, asked turn_left, denied injection",
            without: PASSED,
        },
        // The action comes when its window is over.
        Attack {
            gate: Gate::Challenge,
            script: answer(React { after: 2_700, ..PROMPTLY }),
            refused: "started, asked turn_left, denied challenge_timeout",
            without: PASSED,
        },
        // From the first prompt on frames are held back.
        Attack {
            gate: Gate::Fresh,
            script: answer(React { lag: 700, ..PROMPTLY }),
            refused: "started, asked turn_left, try_again degraded",
            without: PASSED,
        },
        // The picture never becomes good enough to compare, until the re-match.
        Attack {
            gate: Gate::Quality,
            script: vec![Answer(BLURRED, React { rematch: Some(ADA), ..PROMPTLY })],
            refused: "started, try_again poor_quality",
            without: PASSED,
        },
        // Somebody passes by.
        Attack {
            gate: Gate::Intent,
            script: vec![Hold(130, ADA), Hold(3_000, NOBODY)],
            refused: "",
            without: "started, try_again no_face",
        },
    ]
}

/// Bad quality also keeps PAD from its frames, so that attack is played against a pack without a PAD network; light is
/// no gate unless it is asked for.
fn policy_for(gate: Gate) -> Policy {
    match gate {
        Gate::Quality => with(door(), |p| p.pad = Vec::new()),
        Gate::Light => with(door(), |p| p.light = LightAsk::Try),
        _ => door(),
    }
}

#[test]
fn each_attack_is_refused_for_its_own_reason() {
    for a in attacks() {
        check(policy_for(a.gate), &a.script, a.refused);
    }
}

#[test]
fn each_attack_goes_further_without_its_gate() {
    for a in attacks() {
        check(policy_for(a.gate).without(a.gate), &a.script, a.without);
    }
}

#[test]
fn no_attack_is_granted_without_any_gate_but_its_own() {
    for a in attacks() {
        for other in Gate::ALL.into_iter().filter(|g| *g != a.gate) {
            let sim = play(policy_for(a.gate).without(other), &a.script);
            assert!(!sim.granted(), "against {:?}, without {other:?}: {}", a.gate, sim.text());
        }
    }
}

#[test]
fn an_unknown_person_is_refused_whichever_gate_is_out() {
    for gate in Gate::ALL {
        let sim = play(door().without(gate), &[Answer(BOB, PROMPTLY)]);
        assert!(sim.text().ends_with("denied no_match"), "without {gate:?}: {}", sim.text());
    }
}

#[test]
fn who_slips_in_while_the_other_is_matched_does_not_act_for_her() {
    // Three frames of five name Ada; the other two must not make Eve a face that continuity knows.
    let script =
        [Hold(660, ADA), Hold(66, EVE), Answer(EVE, React { during: Some(EVE), rematch: Some(ADA), ..PROMPTLY })];
    check(door(), &script, "started, denied face_changed");
}

#[test]
fn few_frames_after_the_prompt_do_not_hide_a_picture() {
    // One quick action leaves fewer frames than PAD needs; those of the beginning must not speak for the picture.
    let picture = Look { pad: 0.4, ..ADA };
    let one = |goal| with(asking(&[(Action::TurnLeft, 1)]), |p| p.goal = goal);
    let script = |look| {
        let quick = React { after: 200, during: Some(look), rematch: Some(look), ..PROMPTLY };
        [Every(190), Answer(ADA, quick)]
    };
    for goal in [Goal::Identify, Goal::Verify, Goal::Liveness] {
        check(one(goal), &script(picture), "started, asked turn_left, denied spoof");
        let granted = if goal == Goal::Liveness { "granted" } else { "granted ada" };
        check(one(goal), &script(ADA), &format!("started, asked turn_left, {granted}"));
    }
    let dark = React { rematch: Some(Look { quality: Quality::Dark, ..ADA }), ..PROMPTLY };
    check(one(Goal::Liveness), &[Every(190), Answer(ADA, dark)], "started, asked turn_left, try_again poor_quality");
}

#[test]
fn an_action_begun_while_the_prompt_was_on_its_way_fails() {
    // The frame that let the prompt out was 400 ms old: who turns 200 ms after its capture cannot have seen the prompt.
    let mut sim = Sim::new(door(), [3; 32]);
    sim.act(&Lag(400));
    while sim.prompt.is_none() {
        sim.look(&ADA);
    }
    sim.act(&Hold(200, ADA));
    sim.act(&Hold(500, LEFT));
    assert_eq!(sim.text(), "started, asked turn_left, denied challenge_failed");
}

#[test]
fn frames_from_the_future_are_not_fresh() {
    let mut sim = Sim::new(door(), [3; 32]);
    sim.ahead = 30_000;
    sim.act(&Hold(5_000, ADA));
    assert_eq!(sim.text(), "");
    sim.ahead = 0;
    sim.act(&Answer(ADA, PROMPTLY));
    assert_eq!(sim.text(), PASSED, "stamps that were wrong once must not shut out the right ones");
}

#[test]
fn a_slow_camera_does_not_take_the_challenge_away() {
    // Blinks cannot be asked for at ten frames a second, and nothing else may be: then nothing can be decided.
    let only_blinks = with(door(), |p| p.challenge = ChallengeSource::Draw(deck(&[Action::Blink], 1)));
    check(only_blinks.clone(), &[Every(100), Answer(ADA, PROMPTLY)], "started, try_again degraded");
    check(only_blinks, &[Answer(ADA, PROMPTLY)], "started, asked blink, granted ada");
}

#[test]
fn a_camera_that_slows_down_after_the_match_does_not_identify() {
    let turns = asking(&[(Action::TurnLeft, 1), (Action::TurnRight, 1)]);
    let slowly = Answer(ADA, React { after: 1_700, ..PROMPTLY });
    let asked = "started, asked turn_left, asked turn_right";
    check(turns.clone(), &[Every(190), Hold(1_500, ADA), Every(290), slowly], &format!("{asked}, try_again degraded"));
    check(turns, &[Every(190), Hold(1_500, ADA), slowly], &format!("{asked}, granted ada"));
}

#[test]
fn a_size_that_is_no_number_is_not_small_and_not_big_enough() {
    check(door(), &[Hold(3_000, Look { second: f32::NAN, ..ADA })], "");
    check(door(), &[Hold(3_000, Look { width: f32::NAN, ..ADA })], "");
    let during = Some(Look { second: f32::NAN, ..ADA });
    check(door(), &[Answer(ADA, React { during, ..PROMPTLY })], "started, asked turn_left, try_again several_faces");
}
