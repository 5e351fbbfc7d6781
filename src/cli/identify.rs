//! `cardea identify`: who is in this picture or clip? `verify` shares everything but the gallery.

use super::state::print;
use super::still::Refusal;
use super::{Exit, Failure, Globals, Outcome, clip};
use crate::config::Config;
use crate::domain::gallery::{Gallery, Identity, MatchRule, Ranking};
use crate::domain::observation::Embedding;
use crate::runtime::engine::Engine;
use crate::schema::event::Goal;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(clap::Args, Debug)]
pub struct Args {
    /// A picture, or a clip, of which the first two seconds count.
    file: PathBuf,
    /// Adds scores and threshold to the answer. They help an attacker to come nearer: not for what others read.
    #[arg(long)]
    scores: bool,
}

pub fn run(globals: &Globals, args: Args) -> Outcome {
    let (config, mut engine) = super::eval::open(globals, None, None)?;
    let people = super::known_people(&config.store().dir, engine.embedding_digest())?;
    let (gallery, templates) = engine.gallery(&people);
    if gallery.is_empty() {
        eprintln!("note: nobody is enrolled; add a person with `cardea enroll NAME --image FILE`");
    }
    let question = Question { goal: Goal::Identify, gallery: &gallery, templates, scores: args.scores };
    question.ask(globals, &config, &mut engine, &args.file)
}

/// Against whom a file is held.
pub(super) struct Question<'a> {
    pub goal: Goal,
    pub gallery: &'a Gallery,
    /// Fewest templates of a person in it: thresholds are measured per number of templates.
    pub templates: u32,
    pub scores: bool,
}

impl Question<'_> {
    /// Looks at the file, prints the answer, and says by the exit code what it is.
    pub fn ask(&self, globals: &Globals, config: &Config, engine: &mut Engine, file: &Path) -> Outcome {
        let embeddings = match clip::embeddings_of(&mut engine.pipeline, file)? {
            Ok(found) => found,
            Err(refusal) => return undecided(globals, file, &refusal),
        };
        let tau =
            engine.threshold(config, self.goal, self.gallery.len(), self.templates).map_err(Failure::unavailable)?;
        let r = config.recognition();
        let rule = MatchRule { threshold: tau.value, margin: r.min_margin };
        let rankings: Vec<Ranking> = embeddings.iter().map(|e: &Embedding| self.gallery.search(e)).collect();
        let found = agreed(&rule, &rankings, r.agree);
        let (person, reason) = match &found {
            Identity::Known(id) => (Some(id), None),
            Identity::NoMatch => (None, Some("no_match")),
            Identity::Ambiguous => (None, Some("ambiguous_match")),
        };
        let mut answer = json!({"match": person.is_some(), "person": person, "reason": reason, "quality": "ok"});
        if self.scores {
            let each = rankings.iter().map(|r| {
                let best = r.best.as_ref();
                let near = best.map(|(id, _)| id);
                json!({"nearest": near, "score": best.map(|b| b.1.get()), "second": r.second.map(|s| s.get())})
            });
            answer["scores"] = each.collect::<Vec<Value>>().into();
            answer["threshold"] = json!(tau.value);
            answer["margin"] = json!(rule.margin);
        }
        let text = match (globals.json, person) {
            (true, _) => format!("{answer}\n"),
            (false, Some(id)) => format!("{id}\n{}", self.score_lines(&answer)),
            (false, None) => format!("no match ({})\n{}", reason.unwrap_or_default(), self.score_lines(&answer)),
        };
        print(&text)?;
        Ok(if person.is_some() { Exit::Done } else { Exit::Negative })
    }

    fn score_lines(&self, answer: &Value) -> String {
        if self.scores {
            format!("threshold {} scores {}\n", answer["threshold"], answer["scores"])
        } else {
            String::new()
        }
    }
}

/// One person for a file of several frames: as many frames as a visit wants, or all if there are fewer, must name the
/// person and none another one.
fn agreed(rule: &MatchRule, rankings: &[Ranking], agree: usize) -> Identity {
    let each: Vec<Identity> = rankings.iter().map(|r| rule.judge(r)).collect();
    let known = |i: &&Identity| matches!(i, Identity::Known(_));
    match each.iter().find(known) {
        Some(first) if each.iter().filter(known).any(|i| i != first) => Identity::Ambiguous,
        Some(first) if each.iter().filter(|i| *i == first).count() >= agree.min(each.len()) => first.clone(),
        Some(_) => Identity::NoMatch,
        None if each.contains(&Identity::Ambiguous) => Identity::Ambiguous,
        None => Identity::NoMatch,
    }
}

fn undecided(globals: &Globals, file: &Path, refusal: &Refusal) -> Outcome {
    let quality = match refusal {
        Refusal::Quality(q) => Some(q.name()),
        _ => None,
    };
    if globals.json {
        let answer = json!({
            "match": false, "person": null, "reason": refusal.reason(), "quality": quality, "hint": refusal.advice(),
        });
        print(&format!("{answer}\n"))?;
    } else {
        print(&format!("no decision: {}: {}; {}\n", file.display(), refusal.reason(), refusal.advice()))?;
    }
    Ok(Exit::NoDecision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::Similarity;
    use crate::schema::ids::PersonId;

    fn frame(name: &str, score: f32, second: f32) -> Ranking {
        let id = PersonId::new(name).expect("valid");
        Ranking { best: Similarity::new(score).map(|s| (id, s)), second: Similarity::new(second) }
    }

    #[test]
    fn frames_of_a_clip_must_agree_on_one_person() {
        let rule = MatchRule { threshold: 0.5, margin: 0.1 };
        let (ada, eve) = (frame("ada", 0.8, 0.2), frame("eve", 0.8, 0.2));
        let (nobody, between) = (frame("ada", 0.4, 0.2), frame("ada", 0.8, 0.75));
        let known = Identity::Known(PersonId::new("ada").expect("valid"));
        let ask = |frames: &[&Ranking]| agreed(&rule, &frames.iter().map(|f| (*f).clone()).collect::<Vec<_>>(), 3);
        assert_eq!(ask(&[&ada]), known);
        assert_eq!(ask(&[&ada, &nobody]), Identity::NoMatch);
        assert_eq!(ask(&[&ada, &nobody, &ada, &ada, &between]), known);
        assert_eq!(ask(&[&ada, &ada, &ada, &ada, &eve]), Identity::Ambiguous);
        assert_eq!(ask(&[&between, &nobody]), Identity::Ambiguous);
        assert_eq!(ask(&[]), Identity::NoMatch);
    }
}
