//! When a challenge is asked at all, and what of somebody who cannot do it.

use super::*;

/// A door that asks for something only in doubt.
fn careful() -> Policy {
    with(door(), |p| p.challenge = ChallengeSource::StepUp(deck(&[Action::Nod], 1)))
}

#[test]
fn whoever_is_beyond_doubt_is_asked_for_nothing() {
    check(careful(), &[Hold(1_000, ADA)], "started, granted ada");
}

#[test]
fn whatever_is_near_a_limit_steps_up_to_the_challenge() {
    let asked = "started, asked nod, granted ada";
    check(careful(), &[Answer(Look { pad: 0.69, ..ADA }, PROMPTLY)], asked);
    check(careful(), &[Answer(Look { pad: 0.71, ..ADA }, PROMPTLY)], "started, granted ada");
    let wavering = [Hold(560, ADA), Hold(40, BOB), Answer(ADA, PROMPTLY)];
    check(careful(), &wavering, asked);
    check(careful(), &[Answer(BOB, PROMPTLY)], "started, asked nod, denied no_match");
    let no_network = with(careful(), |p| p.pad = Vec::new());
    check(no_network, &[Answer(ADA, PROMPTLY)], asked);
}

/// A door that draws from two actions, and a person who cannot do some.
fn with_limits(cannot: &[Action]) -> Policy {
    with(door(), |p| {
        p.challenge = ChallengeSource::Draw(deck(&[Action::Nod, Action::TurnLeft], 2));
        p.cannot = Arc::new([(id("ada"), cannot.to_vec())].into());
    })
}

#[test]
fn what_a_person_cannot_do_is_not_asked_of_her() {
    check(with_limits(&[Action::TurnLeft]), &[Answer(ADA, PROMPTLY)], "started, asked nod, granted ada");
    let eve = play(with_limits(&[Action::TurnLeft]), &[Answer(EVE, PROMPTLY)]);
    assert!(eve.text().contains("asked turn_left") && eve.text().ends_with("granted eve"), "{}", eve.text());
}

#[test]
fn whoever_can_do_nothing_of_it_is_sent_another_way_and_never_let_in_without() {
    let both = [Action::TurnLeft, Action::Nod];
    check(with_limits(&both), &[Answer(ADA, PROMPTLY)], "started, denied second_factor");
    let sim = play(with_limits(&both), &[Answer(ADA, PROMPTLY)]);
    let last = sim.log.iter().rev().find_map(|(_, e)| if let Effect::Show(s) = e { s.advice } else { None });
    assert_eq!(last, Some(Advice::OtherWay));
}

#[test]
fn a_countdown_and_what_is_left_are_on_the_screen() {
    let sim = play(asking(&[(Action::Blink, 2)]), &[Answer(ADA, PROMPTLY)]);
    let asked: Vec<(u8, u16)> = sim
        .log
        .iter()
        .filter_map(|(_, e)| match e {
            Effect::Show(s) if s.action == Some(Action::Blink) => Some((s.left, s.window_ms)),
            _ => None,
        })
        .collect();
    let [first, second] = asked[..] else { panic!("two screens, not {asked:?}") };
    assert_eq!((first.0, second.0), (2, 1));
    assert!(first.1 > second.1 && second.1 > 0, "the time runs: {asked:?}");
}

#[test]
fn a_camera_too_slow_for_the_relief_asks_for_one_action_more() {
    use Action::{MouthOpen, Nod, TurnLeft, TurnRight};
    let door = |every| {
        let draw = ChallengeSource::Draw(deck(&[TurnLeft, TurnRight, Nod, MouthOpen], 3));
        let unseen = Look { solid: None, ..ADA };
        play(with(super::door(), |p| p.challenge = draw), &[Every(every), Answer(unseen, PROMPTLY)])
    };
    let (slow, fast) = (door(180), door(66));
    let asked = |sim: &Sim| sim.text().matches("asked").count();
    assert!(slow.granted() && asked(&slow) == 4, "{}", slow.text());
    assert!(!fast.granted(), "a turn whose relief nobody saw: {}", fast.text());
}
