//! `cardea people set`: what the rules know of a person beside the face.

use super::state::{self, Log, print};
use super::{Code, Exit, Failure, Globals, Outcome};
use crate::adapters::store::pin;
use crate::adapters::system::random;
use crate::config::{Config, is_name};
use crate::domain::access::{Attributes, EVERYONE, RuleBook};
use crate::runtime::registrar::known_of;
use crate::schema::ids::PersonId;
use crate::schema::record::rfc3339;
use serde_json::json;
use std::io::BufRead;
use zeroize::Zeroizing;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    pub name: String,
    /// A group of the rules; repeatable. What is given takes the place of all groups before.
    #[arg(long, value_name = "GROUP")]
    group: Vec<String>,
    /// In no group but `everyone`.
    #[arg(long, conflicts_with = "group")]
    no_group: bool,
    /// From this day or moment on, or `none`.
    #[arg(long, value_name = "WHEN")]
    valid_from: Option<String>,
    /// To the end of this day, or to this moment, or `none`.
    #[arg(long, value_name = "WHEN")]
    valid_to: Option<String>,
    /// The day on which the person agreed to be enrolled, or `none`.
    #[arg(long, value_name = "WHEN")]
    consent: Option<String>,
    /// To the end of this day, or to this moment, the face is compared at all, or `none`.
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// Reads a PIN of 4 to 12 digits from standard input: its first line.
    #[arg(long, conflicts_with = "no_pin")]
    pin: bool,
    /// Takes the PIN away.
    #[arg(long)]
    no_pin: bool,
    /// The card's number as its reader types it, or `none`.
    #[arg(long, value_name = "NUMBER")]
    card: Option<String>,
}

pub(super) fn run(globals: &Globals, id: &PersonId, args: &Args) -> Outcome {
    let config = super::load_config(globals)?;
    let missing = || Failure::new(Code::Usage, id.as_str(), "is not enrolled", "see `cardea people list`");
    let mut store = state::people_if_any(globals)?.ok_or_else(missing)?;
    let mut all = store.attributes()?;
    let before = all.remove(id).unwrap_or_default();
    let after = changed(&config, before.clone(), args)?;
    if let Some(card) = &after.card
        && let Some((other, _)) = all.iter().find(|(_, a)| a.card.as_ref() == Some(card))
    {
        return Err(Failure::new(Code::Usage, "--card", format!("it is {other}'s already"), "give another number"));
    }
    let nothing = !args.no_group && !args.pin && !args.no_pin && args.group.is_empty();
    let dates = [&args.valid_from, &args.valid_to, &args.consent, &args.expires];
    if nothing && dates.iter().all(|d| d.is_none()) && args.card.is_none() {
        use crate::ports::PeopleStore;
        if !store.list().map_err(state::io)?.iter().any(|p| p.person == *id) {
            return Err(missing());
        }
    } else {
        // First, so that a journal that cannot be written stops the change.
        let mut log = Log::open(globals)?;
        if !store.set_attributes(id, &after)? {
            return Err(missing());
        }
        log.append(known_of(id, &after))?;
    }
    print(&told(globals, id, &after)).map(|_| Exit::Done)
}

fn changed(config: &Config, mut a: Attributes, args: &Args) -> Result<Attributes, Failure> {
    let book = &config.rules().book;
    if args.no_group || !args.group.is_empty() {
        a.groups.clear();
    }
    for group in &args.group {
        check_group(book, group)?;
        a.groups.insert(group.clone());
    }
    let limit = |key: &str, text: &Option<String>, end: bool, before: Option<i64>| match text.as_deref() {
        None => Ok(before),
        Some("none") => Ok(None),
        Some(text) => super::rules::simulate::limit(key, text, book, end).map(Some),
    };
    a.valid_from_ms = limit("--valid-from", &args.valid_from, false, a.valid_from_ms)?;
    a.valid_to_ms = limit("--valid-to", &args.valid_to, true, a.valid_to_ms)?;
    if let (Some(from), Some(to)) = (a.valid_from_ms, a.valid_to_ms)
        && from >= to
    {
        return Err(Failure::new(Code::Usage, "--valid-to", "it lies before --valid-from", "give a later day"));
    }
    a.consent_ms = limit("--consent", &args.consent, false, a.consent_ms)?;
    a.expires_ms = limit("--expires", &args.expires, true, a.expires_ms)?;
    if args.no_pin {
        a.pin = None;
    }
    if args.pin {
        let typed = first_line()?;
        let salt = random().map_err(state::io)?;
        let verifier = pin::verifier(&typed, salt);
        a.pin = Some(verifier.map_err(|e| Failure::new(Code::Usage, "standard input", e.cause, e.hint))?);
    }
    match args.card.as_deref().map(str::trim) {
        None => {}
        Some("none") => a.card = None,
        Some(number) => a.card = Some(check_card(number)?),
    }
    Ok(a)
}

/// Refuses what nobody can be put into.
pub(super) fn check_group(book: &RuleBook, group: &str) -> Result<(), Failure> {
    let known = book.groups.contains_key(group) || book.groups.is_empty();
    if is_name(group) && known && group != EVERYONE {
        return Ok(());
    }
    let names: Vec<&str> = book.groups.keys().map(String::as_str).collect();
    let hint = if names.is_empty() {
        "a name has 1 to 32 of a-z 0-9 _ -".into()
    } else {
        format!("the rules know {}", names.join(", "))
    };
    Err(Failure::new(Code::Usage, "--group", format!("`{group}` is no group to be put into"), hint))
}

/// A card's number as its reader types it.
pub(super) fn check_card(number: &str) -> Result<String, Failure> {
    if (1..=64).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(number.to_owned());
    }
    let hint = "give 1 to 64 letters and digits, as the reader types them";
    Err(Failure::new(Code::Usage, "--card", "it is no number of a card", hint))
}

fn first_line() -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(String::new());
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|e| Failure::new(Code::BadInput, "standard input", e, "type the PIN and the enter key"))?;
    let end = line.trim_end_matches(['\n', '\r']).len();
    line.truncate(end);
    Ok(line)
}

/// Neither PIN nor card is ever printed.
fn told(globals: &Globals, id: &PersonId, a: &Attributes) -> String {
    let (from, to) = (a.valid_from_ms.map(rfc3339), a.valid_to_ms.map(rfc3339));
    let (consent, expires) = (a.consent_ms.map(rfc3339), a.expires_ms.map(rfc3339));
    if globals.json {
        let value = json!({"person": id, "groups": a.groups, "valid_from": from, "valid_to": to, "pin": a.pin.is_some(), "card": a.card.is_some(), "consent": consent, "expires": expires});
        return format!("{value}\n");
    }
    let groups: Vec<&str> = a.groups.iter().map(String::as_str).chain([EVERYONE]).collect();
    let has = |is: bool, what: &str| if is { format!("; has a {what}") } else { String::new() };
    format!(
        "{id} is in {}; from {} to {}{}{}{}{}\n",
        groups.join(", "),
        from.as_deref().unwrap_or("the beginning"),
        to.as_deref().unwrap_or("the end"),
        has(a.pin.is_some(), "PIN"),
        has(a.card.is_some(), "card"),
        consent.map(|c| format!("; agreed {c}")).unwrap_or_default(),
        expires.map(|e| format!("; compared until {e}")).unwrap_or_default()
    )
}
