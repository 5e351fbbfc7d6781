//! `cardea who-can DOOR AT`: who may pass a door at a moment, and what they must show for it.

use super::state::{self, io, print};
use super::{Code, Exit, Failure, Globals, Outcome};
use crate::domain::access::{Attributes, Case, Demand, EVERY_DOOR, Evidence, Now};
use crate::ports::PeopleStore;
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
    let named = book.doors.contains_key(&args.door) || args.door == config.device().name.as_str();
    if !named && !book.grants.iter().any(|g| g.doors.contains(EVERY_DOOR)) {
        let hint = format!("the rules know {}", book.doors.keys().cloned().collect::<Vec<_>>().join(", "));
        return Err(Failure::new(Code::Usage, args.door, "there is no such door", hint));
    }
    let (mut can, mut cannot, mut text) = (Vec::new(), Vec::new(), String::new());
    if let Some(mut store) = state::people_if_any(globals)? {
        let attributes = store.attributes()?;
        for p in store.list().map_err(io)? {
            let none = Attributes::default();
            let who = attributes.get(&p.person).unwrap_or(&none);
            let demand = book.demand(who, &args.door);
            let partners = book.partners(who, &args.door);
            // All that can be shown is shown: what is asked here is whether the person can pass at all.
            let others: Vec<Attributes> = partners
                .iter()
                .map(|g| Attributes { groups: [(*g).to_owned()].into(), ..Attributes::default() })
                .collect();
            let seen = Evidence { pin: who.pin.is_some(), card: who.card.is_some(), others, ..Evidence::default() };
            let case = Case { now: Now::sound(at), person: &p.person, attributes: who, door: &args.door, seen: &seen };
            match book.decide(&case) {
                Ok(()) => {
                    let needs = needs(demand, &partners.into_iter().collect::<Vec<_>>());
                    let with = if needs.is_empty() { String::new() } else { format!(" with {}", needs.join(", ")) };
                    text += &format!("{}{with}\n", p.person);
                    can.push(json!({"person": p.person, "needs": needs}));
                }
                Err(r) => cannot.push(json!({"person": p.person, "reason": r.reason, "rule": r.rule})),
            }
        }
    }
    if globals.json {
        let at = crate::schema::record::rfc3339(at);
        text = format!(
            "{}\n",
            json!({"door": args.door, "at": at, "zone": book.zone.name(), "people": can, "others": cannot})
        );
    } else if text.is_empty() {
        text = "nobody\n".into();
    }
    print(&text)?;
    Ok(Exit::Done)
}

fn needs(demand: Demand, partners: &[&str]) -> Vec<String> {
    let one = |is: bool, word: &str| is.then(|| word.to_owned());
    let factors = [
        one(demand.pin, "pin"),
        one(demand.card, "card"),
        one(demand.either && !demand.pin && !demand.card, "pin or card"),
    ];
    factors.into_iter().flatten().chain(partners.iter().map(|g| format!("somebody of {g}"))).collect()
}
