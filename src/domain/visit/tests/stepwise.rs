//! Visits of clients that show the next step by themselves, and that go on after a wrong one.

use super::*;

/// Left, then right, each asked for with the gate before it.
fn stepwise(forgiving: bool) -> Policy {
    let step = |action| Step { action, times: 1, onset: Onset::AtOnce, window: ms(4000) };
    let plan = Plan(vec![step(Action::TurnLeft), step(Action::TurnRight)]);
    with(policy(Goal::Liveness, ChallengeSource::Planned(plan)), |p| {
        p.forgiving = forgiving;
        p.challenge_limit = ms(20_000);
    })
}

#[test]
fn a_prompt_goes_out_with_the_gate_before_it_though_the_head_is_still_turned() {
    let sim = play(stepwise(true), &[Hold(1_500, ADA), Hold(800, LEFT), Hold(800, RIGHT), Hold(1_500, ADA)]);
    assert_eq!(sim.text(), "started, asked turn_left, asked turn_right, granted");
    let asked: Vec<Tick> = sim
        .log
        .iter()
        .filter_map(|(at, e)| matches!(e, Effect::Record(Event::VisitPrompted { .. })).then_some(*at))
        .collect();
    let passed = sim.log.iter().find_map(|(at, e)| match e {
        Effect::Show(s) if s.progress == (1, 2) => Some(*at),
        _ => None,
    });
    assert_eq!(Some(asked[1]), passed, "with the very frame that did the step before");
}

#[test]
fn a_wrong_action_ends_a_strict_visit_and_only_does_not_count_in_a_forgiving_one() {
    let wrong =
        [Hold(1_500, ADA), Hold(800, RIGHT), Hold(800, ADA), Hold(800, LEFT), Hold(800, RIGHT), Hold(1_500, ADA)];
    check(stepwise(false), &wrong, "started, asked turn_left, denied challenge_failed");
    check(stepwise(true), &wrong, "started, asked turn_left, asked turn_right, granted");
    let never = [Hold(1_500, ADA), Hold(800, RIGHT), Hold(5_000, ADA)];
    check(stepwise(true), &never, "started, asked turn_left, denied challenge_timeout");
}

#[test]
fn a_photo_that_turns_is_no_head_however_often_it_may_try() {
    let flat = |look: Look| Look { solid: Some(0.0), ..look };
    let tries = [Hold(1_500, ADA), Hold(800, flat(LEFT)), Hold(800, ADA), Hold(800, flat(LEFT)), Hold(800, ADA)];
    check(stepwise(true), &tries, "started, asked turn_left, denied spoof");
    let lost = |look: Look| Look { solid: None, ..look };
    let again = [
        Hold(1_500, ADA),
        Hold(800, lost(LEFT)),
        Hold(1_000, ADA),
        Hold(800, LEFT),
        Hold(800, RIGHT),
        Hold(1_500, ADA),
    ];
    check(stepwise(true), &again, "started, asked turn_left, asked turn_left, asked turn_right, granted");
}
