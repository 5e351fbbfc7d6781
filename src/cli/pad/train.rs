//! `cardea pad train`: a head on the frozen networks, learnt from live captures and attacks of this site.

use super::calibrate::share;
use super::split::{Item, Part, split};
use super::{Captures, decided, lines, missing, place, refuse, rows};
use crate::adapters::infer::site::{self, HIGHEST, HeadFile, dir, head_path};
use crate::adapters::learn::{Example, Learnt, Plan, logistic};
use crate::adapters::system::SystemClock;
use crate::base::time::Clock;
use crate::base::units::LiveScore;
use crate::cli::eval::presentations::{Group, LIVE, Look, Presentation, Taken, groups, look_at};
use crate::cli::eval::stats::Rate;
use crate::cli::private::{self, Existing};
use crate::cli::state::print;
use crate::cli::{Code, Exit, Failure, Globals, Outcome, load_config};
use crate::domain::gesture::median;
use crate::domain::liveness::PadRule;
use crate::runtime::engine::{Engine, UseSite};
use crate::schema::record::rfc3339;
use crate::vision::pad::Head;
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    captures: Captures,
    /// Times that every training frame is seen.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    epochs: u32,
    /// Frames between two steps.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch_size: u32,
    /// Share of the captures that chooses epoch and threshold.
    #[arg(long, default_value_t = 0.2, value_parser = part)]
    validation: f64,
    /// Share of the captures that is held back to judge the result.
    #[arg(long, default_value_t = 0.1, value_parser = part)]
    test: f64,
    /// Of the division and of the order of the frames.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Share of the live captures of the validation part that the threshold may refuse.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    live_loss: f64,
    /// Installs the head in the state directory if it beats the rule in use on the part that was held back.
    #[arg(long)]
    install: bool,
}

/// Fewest captures of each class in each part. With 10 held back and no error the true rate may still be 31 %.
const LEAST: [(&str, usize); 3] = [("training", 20), ("validation", 10), ("held-back", 10)];
/// Frames of one clip at most, spread over it: its frames are too alike to count as so many.
const FROM_CLIP: usize = 20;

/// A share that leaves something for the other parts.
fn part(text: &str) -> Result<f64, String> {
    let n: f64 = text.parse().map_err(|_| "is no number".to_owned())?;
    if (0.05..=0.45).contains(&n) { Ok(n) } else { Err("is not within 0.05 to 0.45".into()) }
}

pub(super) fn run(globals: &Globals, args: &Args) -> Outcome {
    let config = load_config(globals)?;
    super::check_site(&config)?;
    let mut engine = Engine::open_for(&config, UseSite::WithFeatures).map_err(Failure::unavailable)?;
    engine.site().ignored.iter().for_each(|why| eprintln!("error: {why}"));
    let backbone = site::backbone(engine.pack(), config.models().precision);
    if backbone.is_empty() {
        let what = "none of its networks names features to train on";
        return Err(Failure::new(
            Code::Unavailable,
            format!("pack {}", engine.pack().name),
            what,
            "choose another models.pack",
        ));
    }
    let (root, labelled) = args.captures.read()?;
    let mut all = look_at(&mut engine, &root, labelled)?;
    all.retain(Presentation::is_judged);
    let items: Vec<Item> = all.iter().map(|p| Item { group: &p.group, live: p.is_live() }).collect();
    let parts = split(&items, [args.validation, args.test], args.seed);
    let divided = Divided::new(&all, &parts);
    let short = divided.missing();
    if !short.is_empty() {
        return refuse(globals, "pad train", &short);
    }

    let plan = Plan { epochs: args.epochs as usize, batch: args.batch_size as usize, seed: args.seed };
    let learnt = logistic(&divided.examples(Part::Train), &divided.examples(Part::Validation), plan)
        .map_err(Failure::unavailable)?;
    let head = Head::new(learnt.weights.clone(), learnt.bias)
        .ok_or_else(|| Failure::new(Code::Internal, "pad train", "a weight is no number", "give other captures"))?;
    let threshold = divided.threshold(&head, args.live_loss);

    let current = engine.pad_rules(0.0).map_err(Failure::unavailable)?;
    let networks = current.len() - usize::from(engine.site().head.is_some());
    let candidate = Candidate { head: &head, threshold, networks, rules: &current };
    let verdict = Verdict::new(divided.of(Part::Test), &current, &candidate);
    let installed = args.install && verdict.beats;
    let precision = config.models().precision;
    let made = rfc3339(SystemClock.wall().unix_ms);
    let file = HeadFile::new(engine.pack(), precision, made, &learnt.weights, learnt.bias, threshold);
    let path = head_path(&config.store().dir);
    if installed {
        let text = serde_json::to_vec_pretty(&file)
            .map_err(|e| Failure::new(Code::Internal, "head.json", e, "please report this"))?;
        private::dir(&dir(&config.store().dir))?;
        private::write(&path, &text, Existing::Replace)?;
    }

    let report = Report { args, divided: &divided, learnt: &learnt, file: &file, verdict: &verdict };
    if globals.json {
        let installed = installed.then_some(&path);
        let mut answer = report.json();
        answer["installed"] = json!(installed);
        print(&format!("{answer}\n"))?;
    } else {
        let end = match (installed, verdict.beats, args.install) {
            (true, ..) => format!("installed as {}\n", path.display()),
            (_, true, _) => "it beats the rule in use; --install installs it\n".into(),
            (_, false, true) => "it does not beat the rule in use: nothing was installed\n".into(),
            (_, false, false) => "it does not beat the rule in use\n".into(),
        };
        print(&(report.text() + &end))?;
    }
    Ok(if args.install && !verdict.beats { Exit::Negative } else { Exit::Done })
}

/// The captures in their parts.
struct Divided<'a> {
    all: &'a [Presentation],
    parts: &'a [Part],
}

impl<'a> Divided<'a> {
    fn new(all: &'a [Presentation], parts: &'a [Part]) -> Self {
        Divided { all, parts }
    }

    fn of(&self, part: Part) -> Vec<&'a Presentation> {
        self.all.iter().zip(self.parts).filter(|(_, p)| **p == part).map(|(p, _)| p).collect()
    }

    fn counts(&self, part: Part) -> (usize, usize) {
        let of = self.of(part);
        let live = of.iter().filter(|p| p.is_live()).count();
        (live, of.len() - live)
    }

    /// What there is too little of, in whole or in a part.
    fn missing(&self) -> Vec<String> {
        let (live, attacks) = decided(self.all);
        let whole: usize = LEAST.iter().map(|(_, n)| n).sum();
        let mut short = missing(&[("live captures", live, whole), ("attacks", attacks, whole)]);
        if short.is_empty() {
            for (part, (name, least)) in [Part::Train, Part::Validation, Part::Test].into_iter().zip(LEAST) {
                let (live, attacks) = self.counts(part);
                let (l, a) = (format!("{name} live captures"), format!("{name} attacks"));
                short.extend(missing(&[(&l, live, least), (&a, attacks, least)]));
            }
        }
        short
    }

    fn examples(&self, part: Part) -> Vec<Example> {
        let some = |p: &'a Presentation| {
            let step = p.frames.len().div_ceil(FROM_CLIP).max(1);
            let frames = p.frames.iter().step_by(step).filter(|f| !f.features.is_empty());
            frames.map(|f| Example { features: f.features.clone(), live: p.is_live() })
        };
        self.of(part).into_iter().flat_map(some).collect()
    }

    /// By the medians of the validation part.
    fn threshold(&self, head: &Head, loss: f64) -> f64 {
        let score = |p: &Presentation| {
            let scores: Vec<f32> =
                p.frames.iter().filter_map(|f| head.score(&f.features)).map(LiveScore::get).collect();
            median(&scores).map(f64::from)
        };
        let of = |live: bool| -> Vec<f64> {
            self.of(Part::Validation).into_iter().filter(|p| p.is_live() == live).filter_map(score).collect()
        };
        place::threshold(&of(true), &of(false), 0.0, HIGHEST, loss)
    }

    /// Whether every capture says what it belongs to.
    fn is_grouped(&self) -> bool {
        self.all.iter().all(|p| !p.group.is_empty())
    }

    fn groups(&self, part: Part) -> BTreeSet<&'a str> {
        self.of(part).into_iter().map(|p| p.group.as_str()).filter(|g| !g.is_empty()).collect()
    }

    fn species(&self, part: Part) -> BTreeSet<&'a str> {
        self.of(part).into_iter().map(|p| p.species.as_str()).filter(|s| *s != LIVE).collect()
    }
}

/// The new head in the place of the one in use, if any.
struct Candidate<'a> {
    head: &'a Head,
    threshold: f64,
    /// Scores of networks; what follows in a frame is the head in use.
    networks: usize,
    rules: &'a [PadRule],
}

impl Candidate<'_> {
    fn taken(&self, p: &Presentation) -> Taken {
        #[expect(clippy::cast_possible_truncation, reason = "a threshold has few digits")]
        let own = PadRule { threshold: self.threshold as f32, floor: 0.0 };
        let rules: Vec<PadRule> = self.rules[..self.networks].iter().copied().chain([own]).collect();
        p.taken(&rules, |look: &Look| {
            let networks = look.scores.iter().take(self.networks).copied();
            networks.chain(self.head.score(&look.features)).collect()
        })
    }
}

/// The rule in use and the candidate, on the part that was held back.
struct Verdict {
    current: Vec<Group>,
    candidate: Vec<Group>,
    balanced: [f64; 2],
    beats: bool,
}

impl Verdict {
    fn new(test: Vec<&Presentation>, current: &[PadRule], candidate: &Candidate<'_>) -> Verdict {
        let before = groups(test.iter().copied(), |p| p.taken_by(current));
        let after = groups(test.iter().copied(), |p| candidate.taken(p));
        let balanced = [balanced(&before), balanced(&after)];
        Verdict { beats: beats(&before, &after), current: before, candidate: after, balanced }
    }
}

/// Live ones refused, over all sources.
fn bpcer(groups: &[Group]) -> f64 {
    let of = groups.iter().filter(|g| g.species == LIVE);
    let (errors, n) = of.fold((0, 0), |(e, n), g| (e + g.rate.errors, n + g.rate.n));
    Rate::new(errors, n).rate
}

/// Half of the worst attack's rate and half of that of the live ones.
fn balanced(groups: &[Group]) -> f64 {
    f64::midpoint(Group::worst(groups).map_or(0.0, |w| w.0), bpcer(groups))
}

/// Better against attacks, against none of them worse, and not paid for by more than it is worth in live ones refused.
fn beats(current: &[Group], candidate: &[Group]) -> bool {
    let attacks =
        |groups: &[Group]| -> Vec<u64> { groups.iter().filter(|g| g.species != LIVE).map(|g| g.rate.errors).collect() };
    let (before, after) = (attacks(current), attacks(candidate));
    let none_worse = before.iter().zip(&after).all(|(b, a)| a <= b);
    let fewer = after.iter().sum::<u64>() < before.iter().sum::<u64>();
    none_worse && fewer && balanced(candidate) < balanced(current)
}

/// What is printed.
struct Report<'a> {
    args: &'a Args,
    divided: &'a Divided<'a>,
    learnt: &'a Learnt,
    file: &'a HeadFile,
    verdict: &'a Verdict,
}

impl Report<'_> {
    fn json(&self) -> Value {
        let d = self.divided;
        let part = |p: Part| {
            let (live, attacks) = d.counts(p);
            json!({"live": live, "attacks": attacks, "groups": d.groups(p)})
        };
        let v = self.verdict;
        json!({
            "done": true, "seed": self.args.seed, "split_by": if d.is_grouped() { "person" } else { "capture" },
            "parts": {"train": part(Part::Train), "validation": part(Part::Validation), "test": part(Part::Test)},
            "species_not_held_back": self.unseen(),
            "epochs": self.args.epochs, "batch_size": self.args.batch_size, "epoch": self.learnt.epoch,
            "validation_loss": self.learnt.validation_loss.get(self.learnt.epoch - 1),
            "head": {"sha256": self.file.sha256, "backbone": self.file.backbone, "threshold": self.file.threshold},
            "held_back": {"current": {"groups": rows(&v.current), "balanced_error": v.balanced[0],
                          "worst_species_apcer": Group::worst(&v.current).map(|w| w.0), "bpcer": bpcer(&v.current)},
                          "candidate": {"groups": rows(&v.candidate), "balanced_error": v.balanced[1],
                          "worst_species_apcer": Group::worst(&v.candidate).map(|w| w.0), "bpcer": bpcer(&v.candidate)}},
            "beats": v.beats,
        })
    }

    /// Kinds of attack that the figures say nothing about.
    fn unseen(&self) -> Vec<&str> {
        let all: BTreeSet<&str> =
            [Part::Train, Part::Validation].into_iter().flat_map(|p| self.divided.species(p)).collect();
        all.difference(&self.divided.species(Part::Test)).copied().collect()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (part, name) in [(Part::Train, "training"), (Part::Validation, "validation"), (Part::Test, "held back")] {
            let (live, attacks) = self.divided.counts(part);
            let groups = self.divided.groups(part).len();
            text += &format!("{name:<11} {live} live captures, {attacks} attacks, {groups} people or sessions\n");
        }
        if !self.divided.is_grouped() {
            text += "note: not every capture names a person or session: the same person may be in several parts, so the figures are too good\n";
        }
        for s in self.unseen() {
            text += &format!("note: no capture of `{s}` was held back: nothing is shown for it\n");
        }
        let (epoch, t) = (self.learnt.epoch, self.file.threshold);
        text += &format!("best epoch {epoch} of {}, threshold {t}\n", self.args.epochs);
        text += &format!("held back, rule in use:\n{}", lines(&self.verdict.current));
        text + &format!("held back, with the new head:\n{}", lines(&self.verdict.candidate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::eval::presentations::tests::stills;

    fn judged(live: &[f32], prints: &[f32], replays: &[f32], threshold: f32) -> Vec<Group> {
        let mut all = stills(LIVE, "a", live);
        all.extend(stills("print", "b", prints));
        all.extend(stills("replay", "c", replays));
        groups(&all, |p| p.taken_by(&[PadRule { threshold, floor: 0.0 }]))
    }

    #[test]
    fn a_head_beats_only_with_fewer_attacks_none_of_them_worse_and_not_too_many_live_ones_lost() {
        let live = [0.9, 0.8, 0.7, 0.6];
        let now = judged(&live, &[0.1, 0.65], &[0.2, 0.3], 0.5);
        assert!(beats(&now, &judged(&live, &[0.1, 0.2], &[0.2, 0.3], 0.5)), "one attack less");
        assert!(!beats(&now, &now), "the same is not better");
        assert!(
            beats(&now, &judged(&[0.9, 0.8, 0.7, 0.4], &[0.1, 0.2], &[0.2, 0.3], 0.5)),
            "half of the attacks for a quarter"
        );
        assert!(!beats(&now, &judged(&[0.9, 0.8, 0.4, 0.4], &[0.1, 0.2], &[0.2, 0.3], 0.5)), "half for half");
        assert!(!beats(&now, &judged(&live, &[0.1, 0.2], &[0.2, 0.6], 0.5)), "another attack instead");
        let two = judged(&live, &[0.6, 0.65], &[0.2, 0.3], 0.5);
        let traded = judged(&live, &[0.1, 0.2], &[0.2, 0.6], 0.5);
        assert!(!beats(&two, &traded), "two prints less do not pay for a replay more");
        let none = judged(&live, &[0.1, 0.2], &[0.2, 0.3], 0.5);
        assert!(!beats(&none, &none), "where no attack passes there is nothing to beat");
    }

    #[test]
    fn the_new_head_takes_the_place_of_the_old_one_and_adds_a_veto() {
        let head = Head::new(vec![1.0], 0.0).expect("a head");
        let score = |p: f32| LiveScore::new(p).expect("a probability");
        let rules = [PadRule { threshold: 0.5, floor: 0.0 }, PadRule { threshold: 0.9, floor: 0.0 }];
        let with = |network: f32, feature: f32| Presentation {
            frames: vec![Look { scores: vec![score(network), score(0.1)], features: vec![feature] }],
            ..stills(LIVE, "a", &[0.5]).remove(0)
        };
        let candidate = Candidate { head: &head, threshold: 0.6, networks: 1, rules: &rules };
        assert_eq!(with(0.8, 3.0).taken_by(&rules), Taken::Attack, "the old head refuses");
        assert_eq!(candidate.taken(&with(0.8, 3.0)), Taken::Live, "the new one does not");
        assert_eq!(candidate.taken(&with(0.8, -3.0)), Taken::Attack, "its veto counts");
        assert_eq!(candidate.taken(&with(0.4, 3.0)), Taken::Attack, "and so does the network's");
        let mut blind = with(0.8, 3.0);
        blind.frames[0].features.clear();
        assert_eq!(candidate.taken(&blind), Taken::Attack, "without features there is no evidence of life");
    }
}
