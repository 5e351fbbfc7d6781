//! `cardea enroll`: pictures, clips or the camera in, templates out. `people import --dataset` takes the same way.

use super::state::{self, Log, io, print};
use super::still::Refusal;
use super::{Code, Exit, Failure, Globals, Outcome, clip};
use crate::adapters::camera;
use crate::adapters::system::SystemClock;
use crate::base::time::Clock;
use crate::config::Config;
use crate::domain::guide::{Advice, Guide};
use crate::domain::observation::{Embedding, Observation, Pose, Quality, Wants};
use crate::ports::{NextFrame, PeopleStore, Person};
use crate::runtime::engine::Engine;
use crate::runtime::enrolment::{Refused, SECOND_FACE, Taken};
use crate::schema::event::Event;
use crate::schema::ids::PersonId;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

#[derive(clap::Args, Debug)]
#[command(group = clap::ArgGroup::new("source").required(true).args(["image", "camera"]))]
pub struct Args {
    /// 1 to 64 letters, digits, spaces or _ - . '
    name: String,
    /// Pictures, or clips, of which the first two seconds count; repeatable.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    image: Vec<PathBuf>,
    /// Takes up to five pictures from the configured camera, and says which way to look.
    #[arg(long)]
    camera: bool,
    #[command(flatten)]
    choice: Choice,
}

/// What is done when not everything is as it should be.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(super) struct Choice {
    /// Stores the good pictures although others were refused.
    #[arg(long)]
    pub partial: bool,
    /// Stores somebody who looks like a person that is enrolled under another name.
    #[arg(long)]
    pub allow_duplicate: bool,
}

/// Then it is given up: five poses that do not come, and some time for light and distance.
const CAMERA_LIMIT: Duration = Duration::from_secs(45);

pub fn run(globals: &Globals, args: Args) -> Outcome {
    let id = PersonId::new(&args.name).map_err(|e| Failure::new(Code::Usage, e.name, e.rule, "choose another name"))?;
    let (config, mut engine) = super::eval::open(globals, None, None)?;
    let mut taken = Taken::default();
    if args.camera {
        from_camera(&mut taken, &config, &mut engine)?;
    } else {
        for file in &args.image {
            take(&mut taken, &mut engine, file)?;
        }
    }
    let known = super::enrolled_people(&config.store().dir, engine.embedding_digest())?;
    let (own, others): (Vec<Person>, Vec<Person>) = known.into_iter().partition(|p| p.id == id);
    if !args.choice.allow_duplicate {
        taken.refuse_duplicates(&engine, &config, &others).map_err(Failure::unavailable)?;
    }
    taken.refuse_strangers(&engine, &own).map_err(Failure::unavailable)?;
    let person = taken.person(&engine, &id, args.choice.partial, SystemClock.wall().unix_ms);
    let templates = person.as_ref().map_or(0, |p| p.templates.len());
    let mut recorded = None;
    if let Some(person) = &person {
        // First, so that a journal that cannot be written stops the enrolment.
        let mut log = Log::open(globals)?;
        state::people(globals)?.add(&id, &person.templates, person.enrolled_unix_ms).map_err(io)?;
        recorded = Some(record(&mut log, person)?);
    }
    let text = if globals.json {
        let answer = json!({
            "person": id, "templates": templates, "accepted": taken.names(), "refused": refusals(&taken), "seq": recorded,
        });
        format!("{answer}\n")
    } else {
        let end = match recorded {
            Some(seq) => format!("{id} enrolled with {templates} templates; record {seq}\n"),
            None if taken.accepted.is_empty() => format!("{id} was not enrolled\n"),
            None => format!("{id} was not enrolled; --partial stores the good pictures\n"),
        };
        lines(&taken) + &end
    };
    print(&text)?;
    Ok(if !taken.is_refused() { Exit::Done } else { Exit::NoDecision })
}

/// Writes that somebody was enrolled; returns the record's number.
pub(super) fn record(log: &mut Log, person: &Person) -> Result<u64, Failure> {
    let templates = u32::try_from(person.templates.len()).unwrap_or(u32::MAX);
    let id = &person.id;
    log.append(Event::PersonEnrolled { person: id.clone(), templates })
        .map(|r| r.seq)
        .map_err(|e| Failure { what: format!("{id} was enrolled, but that could not be recorded: {}", e.what), ..e })
}

/// One picture or clip.
///
/// # Errors
/// A file that is not there, or a fault of the networks.
pub(super) fn take(taken: &mut Taken, engine: &mut Engine, path: &Path) -> Result<(), Failure> {
    taken.take(path.display().to_string(), clip::embeddings_of(&mut engine.pipeline, path)?);
    Ok(())
}

/// Takes pictures from the configured camera while it tells the person how to stand, and what helps.
fn from_camera(taken: &mut Taken, config: &Config, engine: &mut Engine) -> Result<(), Failure> {
    let clock = Arc::new(SystemClock);
    let mut source = camera::open(config.camera(), clock.clone(), 0).map_err(Failure::unavailable)?;
    engine.pipeline.reset();
    let began = clock.now();
    let mut guide = Guide::new(began);
    let (mut newest, mut said) = (None::<u64>, "");
    let mut say = |text: &'static str| {
        if said != text {
            eprintln!("{text}");
            said = text;
        }
    };
    let mut trouble = Refusal::NoFace;
    while let Some(view) = guide.wants()
        && clock.now().since(began) < CAMERA_LIMIT
    {
        let frame = match source.next(config.camera().timeout).map_err(Failure::unavailable)? {
            NextFrame::Frame(frame) => frame,
            NextFrame::Torn(_) => continue,
            NextFrame::Stalled => {
                say("the camera gives no picture");
                continue;
            }
            NextFrame::End => break,
        };
        let wants = Wants { embedding: true, ..Wants::default() };
        let Some(o) = clip::observe(&mut engine.pipeline, &frame, wants)? else { continue };
        // A frozen camera shows the same picture again: that adds nothing.
        if newest.replace(o.digest) == Some(o.digest) {
            continue;
        }
        let (embedding, mut pose) = match good(&o) {
            Ok(found) => found,
            Err(why) => {
                say(why.advice());
                trouble = why;
                continue;
            }
        };
        if config.camera().mirrored {
            pose.yaw = -pose.yaw;
        }
        match guide.look(clock.now(), pose) {
            Some(Advice::Take) => {
                taken.accepted.push((format!("camera:{}", o.frame), vec![embedding]));
                say("thank you");
                eprintln!("picture {} of {}", taken.accepted.len(), Guide::MOST);
            }
            Some(Advice::Wait(_)) => say(view.words()),
            None => break,
        }
    }
    if taken.accepted.is_empty() {
        taken.refuse("camera".into(), &trouble);
    }
    Ok(())
}

/// The refused ones, as JSON.
pub(super) fn refusals(taken: &Taken) -> Vec<Value> {
    let one = |r: &Refused| {
        let mut v = json!({"file": r.file, "reason": r.reason, "hint": r.advice});
        if let Some(person) = &r.person {
            v["person"] = json!(person);
        }
        v
    };
    taken.refused.iter().map(one).collect()
}

/// The refused ones, a line each.
pub(super) fn lines(taken: &Taken) -> String {
    taken.refused.iter().map(line).collect()
}

/// One of them.
pub(super) fn line(r: &Refused) -> String {
    let whom = r.person.as_ref().map(|p| format!(" {p}")).unwrap_or_default();
    format!("refused {}: {}{whom}; {}\n", r.file, r.reason, r.advice)
}

/// The embedding of a frame that one person may be enrolled from, and how the head stands in it.
fn good(o: &Observation) -> Result<(Embedding, Pose), Refusal> {
    let face = o.face.as_ref().ok_or(Refusal::NoFace)?;
    if o.faces > 1 && o.second >= SECOND_FACE {
        return Err(Refusal::Several(o.faces));
    }
    match (face.quality, &face.embedding) {
        (Quality::Ok, Some(e)) => Ok((e.clone(), face.pose)),
        (Quality::Ok, None) => Err(Refusal::Quality(Quality::OffPose)),
        (poor, _) => Err(Refusal::Quality(poor)),
    }
}
