//! Frames that no camera delivers so: each is told apart in the record, and each is refused only by its own gate.

use super::*;
use crate::schema::event::Cause;

/// Reason and cause that are recorded of a visit that these frames disturb after the match.
fn ended(script: &[Do]) -> (Option<Reason>, Option<Cause>) {
    let sim = play(door(), script);
    let ended = |e: &Effect| match e {
        Effect::Record(Event::VisitEnded { reason, cause, .. }) => Some((*reason, *cause)),
        _ => None,
    };
    sim.log.iter().find_map(|(_, e)| ended(e)).unwrap_or((None, None))
}

const BEGUN: Do = Hold(900, ADA);

#[test]
fn a_face_without_noise_is_an_injection() {
    let injected = (Some(Reason::Injection), Some(Cause::FrozenFace));
    assert_eq!(ended(&[BEGUN, Copied(true), Hold(120, ADA), Copied(false), Answer(ADA, PROMPTLY)]), injected);
    let two = [BEGUN, Copied(true), Hold(60, ADA), Copied(false), Answer(ADA, PROMPTLY)];
    assert_eq!(ended(&two), (None, None), "two frames in a row happen when a driver repeats one");
    let before = [Copied(true), Hold(300, ADA), Copied(false), Answer(ADA, PROMPTLY)];
    assert_eq!(ended(&before), (None, None), "what was before the visit accuses nobody");
}

#[test]
fn frames_that_go_backwards_are_an_injection() {
    let order = (Some(Reason::Injection), Some(Cause::FrameOrder));
    assert_eq!(ended(&[BEGUN, Back(9), Hold(300, ADA), Answer(ADA, PROMPTLY)]), order);
    assert_eq!(ended(&[BEGUN, Back(2), Answer(ADA, PROMPTLY)]), (None, None), "two late frames happen");
}

#[test]
fn more_frames_than_a_camera_delivers_are_an_injection() {
    let rate = (Some(Reason::Injection), Some(Cause::FrameRate));
    assert_eq!(ended(&[BEGUN, Every(4), Hold(1_000, ADA)]), rate);
    assert_eq!(ended(&[BEGUN, Every(9), Answer(ADA, PROMPTLY)]), (None, None), "111 a second is a fast camera");
}

#[test]
fn equal_pictures_are_told_from_the_rest() {
    let twice = (Some(Reason::Injection), Some(Cause::DuplicateFrames));
    assert_eq!(ended(&[BEGUN, Frozen(true), Hold(200, ADA)]), twice);
}

#[test]
fn without_the_gate_of_the_source_none_of_them_is_refused() {
    for script in [
        [BEGUN, Copied(true), Answer(ADA, PROMPTLY)],
        [BEGUN, Back(9), Answer(ADA, PROMPTLY)],
        [BEGUN, Every(5), Answer(ADA, PROMPTLY)],
    ] {
        let mut sim = Sim::new(door().without(Gate::Source), [3; 32]);
        script.iter().for_each(|line| sim.act(line));
        assert!(sim.granted(), "{script:?}: {}", sim.text());
    }
}

#[test]
fn a_refusal_names_the_gates_that_did_not_pass() {
    let sim = play(door(), &[Answer(Look { pad: 0.4, ..BOB }, PROMPTLY)]);
    let gates = sim.log.iter().find_map(|(_, e)| match e {
        Effect::Record(Event::VisitEnded { gates, .. }) => Some(gates.clone()),
        _ => None,
    });
    let expected = [("match", "fail"), ("pad", "fail"), ("rematch", "wait")];
    assert_eq!(gates, Some(expected.map(|(g, s)| (g.to_owned(), s.to_owned())).into()));
    let granted = play(door(), &[Answer(ADA, PROMPTLY)]);
    let none = |e: &Effect| matches!(e, Effect::Record(Event::VisitEnded { gates, .. }) if gates.is_empty());
    assert!(granted.log.iter().any(|(_, e)| none(e)), "{}", granted.text());
}
