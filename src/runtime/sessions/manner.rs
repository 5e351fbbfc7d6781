//! What a visit of a session is asked and given time for.

use crate::adapters::web::hub::Ask;
use crate::adapters::web::look::Manner;
use crate::config::Config;
use crate::config::sections::ChallengeMode;
use crate::domain::visit::{ChallengeSource, Policy};
use crate::runtime::engine;
use crate::schema::event::Goal;
use std::time::Duration;

/// Browsers send two to ten pictures a second, and there is a network in between.
const MAX_AGE: Duration = Duration::from_millis(1500);
/// Somebody at home reads the prompt on a page: an action may take this long.
const WINDOW: Duration = Duration::from_secs(5);
const CHALLENGE_LIMIT: Duration = Duration::from_secs(30);
/// What is different for somebody at the other end of a network. Thresholds are not.
pub(super) fn adapt(policy: &mut Policy, manner: &Manner) {
    policy.allow_slow_frames();
    policy.max_age = policy.max_age.max(MAX_AGE);
    policy.challenge_limit = policy.challenge_limit.max(CHALLENGE_LIMIT);
    policy.mirrored = manner.mirrored;
    policy.forgiving = manner.forgiving;
    if let Some(plan) = &manner.plan {
        let windows: Duration = plan.0.iter().map(|s| s.window).sum();
        policy.challenge_limit = policy.challenge_limit.max(windows + CHALLENGE_LIMIT);
    }
}

/// Whether a session is of the kind that `web.opens_door` is about: who is it, with the challenge of the door as it is
/// configured, judged as everybody is. Whoever chooses the actions, the order or another manner opens nothing.
pub(super) fn may_open(config: &Config, ask: &Ask) -> bool {
    config.web().opens_door
        && config.challenge().mode == ChallengeMode::Always
        && ask.goal == Goal::Identify
        && ask.person.is_none()
        && ask.challenge.is_none()
        && ask.manner.is_plain()
}

/// What a session asks for.
pub(super) fn challenge(config: &Config, ask: &Ask) -> ChallengeSource {
    match &ask.manner.plan {
        Some(plan) if plan.0.is_empty() => return ChallengeSource::None,
        Some(plan) => return ChallengeSource::Planned(plan.clone()),
        None => {}
    }
    let wide = |mut deck: crate::domain::challenge::Deck| {
        deck.window = deck.window.max(WINDOW);
        deck
    };
    match ask.challenge.as_ref() {
        None => match engine::challenge(config) {
            ChallengeSource::Draw(d) => ChallengeSource::Draw(wide(d)),
            ChallengeSource::StepUp(d) => ChallengeSource::StepUp(wide(d)),
            ChallengeSource::Fixed { deck, order, onsets } => {
                ChallengeSource::Fixed { deck: wide(deck), order, onsets }
            }
            other => other,
        },
        Some(c) => {
            let mut deck = wide(engine::deck(config));
            if c.fixed {
                return ChallengeSource::Fixed { deck, order: c.actions.clone(), onsets: Vec::new() };
            }
            deck.actions.clear();
            deck.shape.clear();
            for (action, _) in &c.actions {
                if !deck.actions.contains(action) {
                    deck.actions.push(*action);
                }
            }
            deck.blinks = c.actions.iter().map(|(_, n)| *n).max().unwrap_or(1);
            deck.count = deck.count.min(deck.actions.len());
            ChallengeSource::Draw(deck)
        }
    }
}
