//! Who may refuse a visit, who must agree, and what missing evidence means: one table, no formula.
//!
//! Every gate has a veto and no gate outvotes another: evidence is never added up, so a perfect match cannot buy off a
//! doubtful face. `docs/liveness.md` shows this table; a test holds the two together.

use super::visit::Gate;
use crate::schema::event::{Reason, Verdict};

/// What a gate can say at the end of a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// It was shown.
    Pass,
    /// Shown to be otherwise, and why.
    Fail(Reason),
    /// It was asked and nothing was seen that would answer.
    Missing,
    /// This visit does not ask: its goal has no identity, its pack no PAD network, its challenge no turn.
    NotAsked,
}

/// What it means that a gate has nothing to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The visit is denied for that reason.
    Deny(Reason),
    /// No decision for that reason; not charged.
    TryAgain(Reason),
}

/// What a gate that is not asked needs in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// It must be asked always.
    Never,
    /// Nothing.
    Nothing,
    /// Another gate steps in and must have passed.
    StepUp(Gate),
}

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub gate: Gate,
    pub missing: Missing,
    pub instead: Instead,
}

const fn row(gate: Gate, missing: Missing, instead: Instead) -> Row {
    Row { gate, missing, instead }
}

/// The table, in the order of the decisions: the first gate that objects names the reason.
pub const TABLE: [Row; Gate::ALL.len()] = [
    row(Gate::Intent, Missing::TryAgain(Reason::NoFace), Instead::Never),
    row(Gate::Fresh, Missing::TryAgain(Reason::Degraded), Instead::Never),
    row(Gate::Source, Missing::TryAgain(Reason::Degraded), Instead::Never),
    row(Gate::OneFace, Missing::TryAgain(Reason::SeveralFaces), Instead::Never),
    row(Gate::Quality, Missing::TryAgain(Reason::PoorQuality), Instead::Never),
    // A pack without PAD networks, or a recording replayed without a challenge: one of the two must speak for life.
    row(Gate::Pad, Missing::TryAgain(Reason::PoorQuality), Instead::StepUp(Gate::Challenge)),
    row(Gate::Match, Missing::Deny(Reason::NoMatch), Instead::Nothing),
    row(Gate::Challenge, Missing::Deny(Reason::ChallengeTimeout), Instead::StepUp(Gate::Pad)),
    row(Gate::Relief, Missing::Deny(Reason::ChallengeTimeout), Instead::Nothing),
    // A display that this room outshines, or a face that was not seen well enough: no attack, and no grant where the
    // light is required.
    row(Gate::Light, Missing::TryAgain(Reason::PoorQuality), Instead::Nothing),
    row(Gate::Timing, Missing::Deny(Reason::ChallengeFailed), Instead::Nothing),
    row(Gate::Continuity, Missing::Deny(Reason::FaceChanged), Instead::Never),
    row(Gate::Rematch, Missing::Deny(Reason::ChallengeMismatch), Instead::Nothing),
];

/// Whether a visit with that evidence is granted.
///
/// # Errors
/// The reason of the first gate, in the order of the table, that objects; an objection that is charged goes before one
/// that is not, so that an attack cannot hide behind a poor camera. A gate that was not
/// asked and has nobody to stand in for it counts as missing; nobody to speak for life is a spoof.
pub fn judge(evidence: impl Fn(Gate) -> Evidence) -> Result<(), Reason> {
    let objections: Vec<Reason> = TABLE.iter().filter_map(|row| objection(row, &evidence)).collect();
    let charged = objections.iter().find(|r| r.verdict() == Verdict::Denied);
    match charged.or(objections.first()) {
        Some(reason) => Err(*reason),
        None => Ok(()),
    }
}

/// What one gate has against the visit.
fn objection(row: &Row, evidence: &impl Fn(Gate) -> Evidence) -> Option<Reason> {
    match (evidence(row.gate), row.instead) {
        (Evidence::Pass, _) | (Evidence::NotAsked, Instead::Nothing) => None,
        (Evidence::Fail(reason), _) => Some(reason),
        (Evidence::NotAsked, Instead::StepUp(other)) => match evidence(other) {
            // One that has nothing to say objects for itself.
            Evidence::Pass | Evidence::Missing => None,
            Evidence::Fail(reason) => Some(reason),
            Evidence::NotAsked => Some(Reason::Spoof),
        },
        (Evidence::Missing, _) | (Evidence::NotAsked, Instead::Never) => Some(match row.missing {
            Missing::Deny(reason) | Missing::TryAgain(reason) => reason,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything passed, but for those.
    fn with(but: &[(Gate, Evidence)]) -> Result<(), Reason> {
        judge(|gate| but.iter().find(|(g, _)| *g == gate).map_or(Evidence::Pass, |(_, e)| *e))
    }

    #[test]
    fn the_table_names_every_gate_once_in_the_order_of_the_decisions() {
        assert_eq!(TABLE.map(|r| r.gate), Gate::ALL);
        for row in TABLE {
            let (reason, verdict) = match row.missing {
                Missing::Deny(r) => (r, Verdict::Denied),
                Missing::TryAgain(r) => (r, Verdict::TryAgain),
            };
            assert_eq!(reason.verdict(), verdict, "{:?}", row.gate);
        }
    }

    #[test]
    fn the_documentation_shows_this_table() {
        let text = include_str!("../../docs/liveness.md");
        let word =
            |r: Reason| serde_json::to_value(r).ok().and_then(|v| v.as_str().map(str::to_owned)).expect("a word");
        let shown: Vec<Vec<&str>> = text
            .lines()
            .skip_while(|l| !l.starts_with("| gate |"))
            .skip(2)
            .take_while(|l| l.starts_with('|'))
            .map(|l| l.trim_matches('|').split('|').map(str::trim).collect())
            .collect();
        assert_eq!(shown.len(), TABLE.len());
        for (row, cells) in TABLE.iter().zip(shown) {
            let missing = match row.missing {
                Missing::Deny(r) => format!("denied {}", word(r)),
                Missing::TryAgain(r) => format!("try_again {}", word(r)),
            };
            let instead = match row.instead {
                Instead::Never => "never".to_owned(),
                Instead::Nothing => "nothing".to_owned(),
                Instead::StepUp(g) => format!("`{}`", g.name()),
            };
            let [gate, _wants, m, i] = cells[..] else { panic!("four cells, not {cells:?}") };
            assert_eq!((gate, m, i), (&*format!("`{}`", row.gate.name()), &*missing, &*instead));
        }
    }

    #[test]
    fn every_gate_alone_can_refuse_whatever_the_others_say() {
        assert_eq!(with(&[]), Ok(()));
        for gate in Gate::ALL {
            assert_eq!(with(&[(gate, Evidence::Fail(Reason::Spoof))]), Err(Reason::Spoof), "{gate:?} fails");
            assert!(with(&[(gate, Evidence::Missing)]).is_err(), "{gate:?} is missing");
        }
    }

    #[test]
    fn pad_and_challenge_stand_in_for_each_other_and_never_both_for_nobody() {
        use Evidence::{Missing, NotAsked};
        assert_eq!(with(&[(Gate::Pad, NotAsked)]), Ok(()));
        assert_eq!(with(&[(Gate::Challenge, NotAsked)]), Ok(()));
        assert_eq!(with(&[(Gate::Pad, NotAsked), (Gate::Challenge, NotAsked)]), Err(Reason::Spoof));
        let undone = [(Gate::Pad, NotAsked), (Gate::Challenge, Missing)];
        assert_eq!(with(&undone), Err(Reason::ChallengeTimeout));
        assert_eq!(with(&[(Gate::Pad, Missing), (Gate::Challenge, NotAsked)]), Err(Reason::PoorQuality));
    }

    #[test]
    fn what_must_always_be_asked_cannot_be_left_out() {
        for gate in [Gate::Intent, Gate::Fresh, Gate::Source, Gate::OneFace, Gate::Quality, Gate::Continuity] {
            assert!(with(&[(gate, Evidence::NotAsked)]).is_err(), "{gate:?}");
        }
        for gate in [Gate::Match, Gate::Relief, Gate::Light, Gate::Rematch, Gate::Timing] {
            assert_eq!(with(&[(gate, Evidence::NotAsked)]), Ok(()), "{gate:?}");
        }
    }

    #[test]
    fn the_first_gate_that_objects_names_the_reason() {
        let both = [(Gate::Match, Evidence::Fail(Reason::NoMatch)), (Gate::Pad, Evidence::Fail(Reason::Spoof))];
        assert_eq!(with(&both), Err(Reason::Spoof));
        let poor = [(Gate::Fresh, Evidence::Fail(Reason::Degraded)), (Gate::Pad, Evidence::Fail(Reason::Spoof))];
        assert_eq!(with(&poor), Err(Reason::Spoof), "a slow camera does not hide an attack");
    }
}
