//! `cardea verify`: is this picture or clip that person?

use super::identify::Question;
use super::{Code, Failure, Globals, Outcome};
use crate::schema::event::Goal;
use crate::schema::ids::PersonId;
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// Who it should be.
    name: String,
    /// A picture, or a clip, of which the first two seconds count.
    file: PathBuf,
    /// Adds scores and threshold to the answer. They help an attacker to come nearer: not for what others read.
    #[arg(long)]
    scores: bool,
}

pub fn run(globals: &Globals, args: Args) -> Outcome {
    let id =
        PersonId::new(&args.name).map_err(|e| Failure::new(Code::Usage, e.name, e.rule, "see `cardea people list`"))?;
    let (config, mut engine) = super::eval::open(globals, None, None)?;
    let mut people = super::known_people(&config.store().dir, engine.embedding_digest())?;
    people.retain(|p| p.id == id);
    let (gallery, templates) = engine.gallery(&people);
    if gallery.is_empty() {
        let what = if people.is_empty() { "is not enrolled" } else { "has no template of the network in use" };
        let hint = "see `cardea people list`, or enrol with `cardea enroll NAME --image FILE`";
        return Err(Failure::new(Code::BadInput, id.as_str(), what, hint));
    }
    Question { goal: Goal::Verify, gallery: &gallery, templates, scores: args.scores }.ask(
        globals,
        &config,
        &mut engine,
        &args.file,
    )
}
