//! Which actions are asked, in which order and when, drawn from a seed that the shell gives.
//!
//! * *deck*: the actions that may be drawn. Only those with security value belong in a door's deck.
//! * *onset*: how long after the gate before it a prompt appears.
//! * *window*: how long an action may take from its prompt.

use crate::base::time::Tick;
use crate::schema::event::Action;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::time::Duration;

/// When a prompt appears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onset {
    /// So long after the gate before it.
    After(Duration),
    /// At this point of a recording's clock; at once when that is past.
    At(Tick),
    /// With the gate before it, whatever the head does then: the client shows the next step by itself.
    AtOnce,
}

/// One action asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub action: Action,
    /// How often, for `blink:N`.
    pub times: u8,
    pub onset: Onset,
    pub window: Duration,
}

/// The whole challenge; empty means none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan(pub Vec<Step>);

/// What is drawn from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deck {
    pub actions: Vec<Action>,
    /// Steps of a challenge.
    pub count: usize,
    pub onset_min: Duration,
    pub onset_max: Duration,
    pub window: Duration,
    /// A blink is asked for up to so often; how often is drawn.
    pub blinks: u8,
    /// Kinds of step in their order, one action of each being drawn, as blink, then a turn, then the mouth; `actions` holds
    /// them all and `count` is their number. Empty: any of `actions`, `count` of them.
    pub shape: Vec<Vec<Action>>,
}

/// Frames a second below which a blink is too short to be asked for.
pub const BLINK_FPS: f32 = 15.0;

impl Deck {
    /// The deck for somebody who cannot do these; a centre that nothing leads to goes with them.
    #[must_use]
    pub fn without(&self, cannot: &[Action]) -> Deck {
        let mut actions = self.actions.clone();
        actions.retain(|a| !cannot.contains(a));
        if !actions.iter().any(|a| leads_to_centre(*a)) {
            actions.retain(|a| *a != Action::Centre);
        }
        let mut shape = self.shape.clone();
        shape.iter_mut().for_each(|step| step.retain(|a| !cannot.contains(a)));
        shape.retain(|step| !step.is_empty());
        Deck { actions, shape, ..self.clone() }
    }

    /// Every order that a shape permits where no blink is left out; one without a shape has none.
    #[must_use]
    pub fn orders(shape: &[Vec<Action>]) -> Vec<Vec<Action>> {
        if shape.is_empty() {
            return Vec::new();
        }
        let mut all: Vec<Vec<Action>> = vec![Vec::new()];
        for step in shape {
            let longer = |o: &Vec<Action>| step.iter().map(|a| [o.as_slice(), &[*a]].concat()).collect::<Vec<_>>();
            all = all.iter().flat_map(longer).collect();
        }
        all.retain(|o| permitted(o) && (1..o.len()).all(|i| !o[..i].contains(&o[i])));
        all
    }

    /// Draws `count` different actions in a random order, each with a random onset and a window of 80 to 100 % of the
    /// longest. `centre` comes only right after a turn or a nod. Without `fps` for it, `blink` is left out. When too few
    /// actions are left the challenge is as long as they allow, never empty unless the deck is.
    #[must_use]
    pub fn draw(&self, seed: [u8; 32], fps: f32) -> Plan {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let can = |a: &Action| *a != Action::Blink || fps >= BLINK_FPS;
        let order = if self.shape.is_empty() { self.any(&mut rng, can) } else { self.shaped(&mut rng, can) };
        let step = |action| {
            let most = if action == Action::Blink { usize::from(self.blinks.max(1)) } else { 1 };
            let times = u8::try_from(1 + below(&mut rng, most)).unwrap_or(1);
            let onset = Onset::After(between(&mut rng, self.onset_min, self.onset_max));
            let window = between(&mut rng, self.window.mul_f32(0.8), self.window) + self.longer(times);
            Step { action, times, onset, window }
        };
        Plan(order.into_iter().map(step).collect())
    }

    /// `count` of the deck in any permitted order.
    fn any(&self, rng: &mut ChaCha20Rng, can: impl Fn(&Action) -> bool) -> Vec<Action> {
        let deck: Vec<Action> = self.actions.iter().copied().filter(can).collect();
        let mut count = self.count.min(deck.len());
        loop {
            // Rejection keeps every permitted order equally likely.
            let drawn = (0..256).map(|_| shuffled(rng, &deck, count)).find(|o| permitted(o));
            match drawn {
                Some(order) => return order,
                None if count > 0 => count -= 1,
                None => return Vec::new(),
            }
        }
    }

    /// One action of each step of the shape. For a step of which this camera shows nothing, and where `count` asks for
    /// more steps, other actions of the shape come at the end.
    fn shaped(&self, rng: &mut ChaCha20Rng, can: impl Fn(&Action) -> bool) -> Vec<Action> {
        let mut steps = self.shape.clone();
        steps.iter_mut().for_each(|s| s.retain(&can));
        steps.retain(|s| !s.is_empty());
        let orders = Deck::orders(&steps);
        if orders.is_empty() {
            // What is left leads to no centre.
            return self.any(rng, can);
        }
        let mut order = orders[below(rng, orders.len())].clone();
        let rest: Vec<Action> = self.actions.iter().copied().filter(|a| can(a) && !order.contains(a)).collect();
        for more in shuffled(rng, &rest, rest.len()) {
            order.push(more);
            if order.len() > self.count || !permitted(&order) {
                order.pop();
            }
        }
        order
    }

    /// Each further repetition gets its own share of time.
    fn longer(&self, times: u8) -> Duration {
        self.window.mul_f32(0.5) * u32::from(times.saturating_sub(1))
    }

    /// Onsets and windows for a fixed order, from the seed.
    #[must_use]
    pub fn time(&self, seed: [u8; 32], order: &[(Action, u8)], onsets: &[Duration]) -> Plan {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let mut step = |i: usize, (action, times): (Action, u8)| {
            let drawn = between(&mut rng, self.onset_min, self.onset_max);
            let onset = Onset::After(onsets.get(i).copied().unwrap_or(drawn));
            Step { action, times: times.max(1), onset, window: self.window + self.longer(times) }
        };
        Plan(order.iter().enumerate().map(|(i, a)| step(i, *a)).collect())
    }
}

/// Held until the centre is asked for.
fn leads_to_centre(action: Action) -> bool {
    matches!(action, Action::TurnLeft | Action::TurnRight | Action::Nod)
}

/// `centre` needs something to come back from.
fn permitted(order: &[Action]) -> bool {
    order
        .iter()
        .enumerate()
        .all(|(i, a)| *a != Action::Centre || i.checked_sub(1).is_some_and(|j| leads_to_centre(order[j])))
}

/// The first `count` of a Fisher-Yates shuffle.
fn shuffled(rng: &mut ChaCha20Rng, deck: &[Action], count: usize) -> Vec<Action> {
    let mut pool = deck.to_vec();
    for i in 0..count {
        let j = i + below(rng, pool.len() - i);
        pool.swap(i, j);
    }
    pool.truncate(count);
    pool
}

/// A number below `n`, each equally likely.
fn below(rng: &mut ChaCha20Rng, n: usize) -> usize {
    let n = u64::try_from(n.max(1)).unwrap_or(1);
    let fair = u64::MAX - u64::MAX % n;
    loop {
        let x = rng.next_u64();
        if x < fair {
            return usize::try_from(x % n).unwrap_or(0);
        }
    }
}

/// A duration within the two, in milliseconds.
fn between(rng: &mut ChaCha20Rng, lo: Duration, hi: Duration) -> Duration {
    let span = usize::try_from(hi.saturating_sub(lo).as_millis()).unwrap_or(0);
    lo + Duration::from_millis(u64::try_from(below(rng, span + 1)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn deck(actions: &[Action]) -> Deck {
        let ms = Duration::from_millis;
        Deck {
            actions: actions.to_vec(),
            count: 3,
            onset_min: ms(400),
            onset_max: ms(1500),
            window: ms(2500),
            blinks: 1,
            shape: Vec::new(),
        }
    }

    const DOOR: [Action; 6] =
        [Action::TurnLeft, Action::TurnRight, Action::Centre, Action::Nod, Action::MouthOpen, Action::Blink];

    fn seed(n: u32) -> [u8; 32] {
        let mut s = [0; 32];
        s[..4].copy_from_slice(&n.to_le_bytes());
        s
    }

    #[test]
    fn every_permitted_order_comes_and_no_other() {
        let d = deck(&DOOR);
        let mut counts = BTreeMap::new();
        for n in 0..20_000 {
            let plan = d.draw(seed(n), 30.0);
            let names: Vec<&str> = plan.0.iter().map(|s| s.action.name()).collect();
            assert_eq!(names.len(), 3);
            *counts.entry(names).or_insert(0_u32) += 1;
        }
        // 60 orders of three without centre, 24 with it right after a turn or a nod.
        assert_eq!(counts.len(), 84);
        let rarest = counts.values().min().copied().unwrap_or(0);
        assert!(rarest > 150, "an order came only {rarest} times of about 238");
        assert!(!counts.keys().any(|o| o[0] == "centre"));
    }

    #[test]
    fn onsets_and_windows_stay_inside() {
        let d = deck(&DOOR);
        for n in 0..500 {
            for s in d.draw(seed(n), 30.0).0 {
                let Onset::After(after) = s.onset else { panic!("a drawn prompt follows a gate") };
                assert!((d.onset_min..=d.onset_max).contains(&after), "{after:?}");
                assert!(s.window <= d.window && s.window >= d.window.mul_f32(0.79), "{:?}", s.window);
            }
        }
    }

    #[test]
    fn below_fifteen_frames_a_second_there_are_forty_two_orders() {
        let orders: std::collections::BTreeSet<Vec<&str>> =
            (0..5_000).map(|n| deck(&DOOR).draw(seed(n), 10.0).0.iter().map(|s| s.action.name()).collect()).collect();
        assert_eq!(orders.len(), 42, "a recording of one order passes at most once in 40 tries");
    }

    #[test]
    fn what_somebody_cannot_do_is_not_asked_and_a_centre_without_a_turn_neither() {
        let d = deck(&DOOR).without(&[Action::TurnLeft, Action::TurnRight, Action::Nod]);
        assert_eq!(d.actions, [Action::MouthOpen, Action::Blink]);
        assert_eq!(d.draw(seed(1), 30.0).0.len(), 2);
        assert!(deck(&DOOR).without(&DOOR).draw(seed(1), 30.0).0.is_empty());
    }

    #[test]
    fn several_blinks_are_drawn_up_to_their_number() {
        let many = Deck { blinks: 3, ..deck(&[Action::Blink, Action::Nod, Action::MouthOpen]) };
        let times: std::collections::BTreeSet<u8> = (0..200)
            .flat_map(|n| many.draw(seed(n), 30.0).0)
            .filter(|s| s.action == Action::Blink)
            .map(|s| s.times)
            .collect();
        assert_eq!(times.into_iter().collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn slow_cameras_are_not_asked_to_blink() {
        assert!((0..500).all(|n| deck(&DOOR).draw(seed(n), 10.0).0.iter().all(|s| s.action != Action::Blink)));
    }

    #[test]
    fn a_shape_gives_one_action_of_each_step_in_its_order() {
        use Action::{Blink, MouthOpen, Nod, Smile, TurnLeft, TurnRight};
        let shape = vec![vec![Blink], vec![TurnLeft, TurnRight, Nod], vec![Smile, MouthOpen]];
        let d = Deck { shape: shape.clone(), count: 3, actions: shape.concat(), ..deck(&DOOR) };
        let drawn = |d: &Deck, fps| {
            let orders = (0..2_000).map(|n| d.draw(seed(n), fps).0.iter().map(|s| s.action).collect::<Vec<_>>());
            orders.fold(Vec::new(), |mut all, o| {
                if !all.contains(&o) {
                    all.push(o);
                }
                all
            })
        };
        let all = drawn(&d, 30.0);
        assert_eq!(all.len(), 6, "{all:?}");
        assert!(all.iter().all(|o| o.len() == 3 && o.iter().zip(&shape).all(|(a, step)| step.contains(a))), "{all:?}");
        assert_eq!(Deck::orders(&shape).len(), 6);
        let slow = drawn(&d, 10.0);
        assert!(slow.iter().all(|o| o.len() == 3 && !o.contains(&Blink)), "another action for the blink: {slow:?}");
        assert!(drawn(&Deck { count: 4, ..d.clone() }, 30.0).iter().all(|o| o.len() == 4 && o[0] == Blink));
        let cannot = d.without(&[TurnLeft, TurnRight, Nod]);
        assert!(drawn(&cannot, 30.0).iter().all(|o| o.len() == 3 && o[0] == Blink));
        let nothing = d.without(&[Blink, TurnLeft, TurnRight, Nod, Smile, MouthOpen]);
        assert_eq!(drawn(&nothing, 30.0), [Vec::<Action>::new()]);
    }

    #[test]
    fn a_deck_that_permits_less_gives_less() {
        assert_eq!(deck(&[Action::Centre]).draw(seed(1), 30.0), Plan(Vec::new()));
        assert_eq!(deck(&[Action::Nod, Action::Centre]).draw(seed(1), 30.0).0.len(), 2);
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        assert_eq!(deck(&DOOR).draw(seed(9), 30.0), deck(&DOOR).draw(seed(9), 30.0));
        assert_ne!(deck(&DOOR).draw(seed(9), 30.0), deck(&DOOR).draw(seed(10), 30.0));
    }

    #[test]
    fn a_given_onset_replaces_the_drawn_one() {
        let plan = deck(&DOOR).time(seed(1), &[(Action::Blink, 2), (Action::Nod, 1)], &[Duration::from_millis(7)]);
        assert_eq!(plan.0[0].onset, Onset::After(Duration::from_millis(7)));
        assert_eq!(plan.0[0].times, 2);
        assert!(plan.0[0].window > plan.0[1].window);
    }
}
