//! Visits with a light handshake: what each of the modes makes of skin that follows, does not, or cannot be seen to.

use super::*;

const ASKED: &str = "started, asked turn_left, asked nod";

fn glowing(glow: Glow) -> [Do; 1] {
    [Answer(Look { glow, ..ADA }, PROMPTLY)]
}

fn lit(ask: LightAsk) -> Policy {
    with(door(), |p| p.light = ask)
}

/// How many handshakes were shown.
fn shows(sim: &Sim) -> usize {
    sim.lit.iter().filter(|(_, colour)| *colour == [128; 3]).count().min(sim.lit.len().div_ceil(SYMBOLS + 2))
}

fn last_screen(sim: &Sim) -> Screen {
    let last = sim.log.iter().rev().find_map(|(_, e)| if let Effect::Show(s) = e { Some(*s) } else { None });
    last.expect("a verdict is shown")
}

#[test]
fn without_a_light_nothing_is_shown_and_nothing_asked_of_the_frames() {
    let sim = play(door(), &glowing(Glow::Hidden));
    assert_eq!((sim.text(), sim.lit.len()), (format!("{ASKED}, granted ada"), 0));
    assert!(sim.fed.iter().filter_map(|(_, o)| o.face.as_ref()).all(|f| f.skin.is_none()));
}

#[test]
fn skin_that_follows_is_granted_after_one_handshake_whatever_the_rate() {
    for ask in [LightAsk::Try, LightAsk::Require] {
        for every in [33, 66, 90] {
            let sim = play(lit(ask), &[Every(every), Answer(ADA, PROMPTLY)]);
            assert_eq!((sim.text(), shows(&sim)), (format!("{ASKED}, granted ada"), 1), "{ask:?} every {every} ms");
            assert_eq!(sim.lit.len(), SYMBOLS + 2);
        }
    }
}

#[test]
fn a_display_that_the_room_outshines_says_nothing_unless_it_must() {
    let sim = play(lit(LightAsk::Try), &glowing(Glow::By(0.01)));
    assert_eq!(sim.text(), format!("{ASKED}, granted ada"));
    assert!(sim.lit.len() <= 4, "the code is broken off: {:?}", sim.lit);
    let sim = play(lit(LightAsk::Require), &glowing(Glow::By(0.01)));
    // A single probe errs too often: it is looked for three times before anybody is sent away.
    assert_eq!(sim.text(), format!("{ASKED}, try_again poor_quality"));
    assert!(sim.lit.iter().filter(|(_, colour)| *colour == [255; 3]).count() >= 3, "three probes: {:?}", sim.lit);
    assert_eq!(last_screen(&sim).advice, Some(Advice::LessLight));
}

#[test]
fn skin_that_cannot_be_seen_says_nothing_unless_it_must() {
    check(lit(LightAsk::Try), &glowing(Glow::Hidden), &format!("{ASKED}, granted ada"));
    let sim = play(lit(LightAsk::Require), &glowing(Glow::Hidden));
    assert_eq!((sim.text(), shows(&sim)), (format!("{ASKED}, try_again poor_quality"), 3));
    check(lit(LightAsk::Require), &[Every(180), Answer(ADA, PROMPTLY)], &format!("{ASKED}, try_again poor_quality"));
}

#[test]
fn a_clear_no_is_a_veto_after_three_tries_in_both_modes() {
    for ask in [LightAsk::Try, LightAsk::Require] {
        let sim = play(lit(ask), &glowing(Glow::Recorded(0.08)));
        assert_eq!((sim.text(), shows(&sim)), (format!("{ASKED}, denied spoof"), 3), "{ask:?}");
        let state = |gate| sim.visit.gates().into_iter().find(|(g, _)| *g == gate).map(|(_, s)| s);
        assert_eq!(state(Gate::Light), Some(GateState::Fail));
        assert_ne!(state(Gate::Pad), Some(GateState::Fail), "PAD is not what found it");
        let codes: std::collections::BTreeSet<_> =
            sim.lit.chunks(SYMBOLS + 2).map(|c| c.iter().map(|(_, colour)| *colour).collect::<Vec<_>>()).collect();
        assert_eq!(codes.len(), 3, "every handshake has its own code");
    }
}

#[test]
fn a_no_of_a_weak_light_is_no_veto_and_no_grant_where_it_is_required() {
    check(lit(LightAsk::Try), &glowing(Glow::Recorded(0.04)), &format!("{ASKED}, granted ada"));
    let weak = glowing(Glow::Recorded(0.04));
    check(lit(LightAsk::Require), &weak, &format!("{ASKED}, try_again poor_quality"));
}

#[test]
fn an_unknown_person_is_refused_for_that_wherever_the_light_stands() {
    for glow in [Glow::By(0.08), Glow::By(0.0)] {
        for ask in [LightAsk::Try, LightAsk::Require] {
            check(lit(ask), &[Answer(Look { glow, ..BOB }, PROMPTLY)], &format!("{ASKED}, denied no_match"));
        }
    }
}

#[test]
fn the_light_is_shown_where_no_action_is_asked_for() {
    let alone = with(lit(LightAsk::Require), |p| p.challenge = ChallengeSource::None);
    check(alone.clone(), &[Answer(ADA, PROMPTLY)], "started, granted ada");
    check(alone, &glowing(Glow::By(0.0)), "started, try_again poor_quality");
}

#[test]
fn whoever_changes_goes_or_moves_during_the_light_is_refused() {
    let mut ends = Vec::new();
    for then in [EVE, NOBODY, RIGHT, Look { second: 0.9, ..ADA }] {
        let mut sim = Sim::new(lit(LightAsk::Try), [3; 32]);
        while sim.lit.len() < 4 {
            let look = sim.acted(&ADA, &PROMPTLY);
            sim.look(&look);
        }
        sim.act(&Hold(12_000, then));
        assert!(!sim.granted());
        ends.push(sim.text().rsplit(", ").next().map(str::to_owned).unwrap_or_default());
    }
    assert_eq!(
        ends,
        ["denied face_changed", "denied challenge_mismatch", "denied challenge_failed", "try_again several_faces"]
    );
}

#[test]
fn a_recording_that_fades_after_a_clear_no_is_refused_all_the_same() {
    let mut sim = Sim::new(lit(LightAsk::Try), [3; 32]);
    let recorded = Look { glow: Glow::Recorded(0.08), ..ADA };
    while sim.lit.len() < SYMBOLS + 4 {
        let look = sim.acted(&recorded, &PROMPTLY);
        sim.look(&look);
    }
    sim.act(&Hold(20_000, Look { glow: Glow::By(0.0), ..ADA }));
    assert_eq!(sim.text(), format!("{ASKED}, denied spoof"));
}
