//! `cardea who-can DOOR AT`: who may pass a door at a moment, and what they must show for it.

use super::state::{self, io, print};
use super::{Code, Exit, Failure, Globals, Outcome};
use crate::domain::access::Attributes;
use crate::ports::PeopleStore;
use crate::runtime::who_can::{self, Answer};
use serde_json::json;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// A door of the rules: the device.name of its terminal.
    door: String,
    /// RFC 3339, or a reading of the clock on the wall there: 2026-11-23T08:30.
    at: String,
}

pub fn run(globals: &Globals, args: Args) -> Outcome {
    let config = super::load_config(globals)?;
    let book = &config.rules().book;
    let at = super::rules::moment("AT", &args.at, book)?;
    if !who_can::knows(book, &args.door, config.device().name.as_str()) {
        let hint = format!("the rules know {}", book.doors.keys().cloned().collect::<Vec<_>>().join(", "));
        return Err(Failure::new(Code::Usage, args.door, "there is no such door", hint));
    }
    let mut answer = Answer::default();
    if let Some(mut store) = state::people_if_any(globals)? {
        let (none, attributes) = (Attributes::default(), store.attributes()?);
        let people = store.list().map_err(io)?;
        let all = people.iter().map(|p| (&p.person, attributes.get(&p.person).unwrap_or(&none)));
        answer = who_can::ask(book, &args.door, at, all);
    }
    let mut text = String::new();
    if globals.json {
        let can: Vec<_> = answer.can.iter().map(|(p, needs)| json!({"person": p, "needs": needs})).collect();
        let cannot = answer.cannot.iter().map(|(p, reason, rule)| json!({"person": p, "reason": reason, "rule": rule}));
        let at = crate::schema::record::rfc3339(at);
        text = format!(
            "{}\n",
            json!({"door": args.door, "at": at, "zone": book.zone.name(), "people": can, "others": cannot.collect::<Vec<_>>()})
        );
    } else if answer.can.is_empty() {
        text = "nobody\n".into();
    }
    for (person, needs) in answer.can.iter().filter(|_| !globals.json) {
        let with = if needs.is_empty() { String::new() } else { format!(" with {}", needs.join(", ")) };
        text += &format!("{person}{with}\n");
    }
    print(&text)?;
    Ok(Exit::Done)
}
