//! `cardea people`: lists, shows, removes, imports and exports people. Templates and scores are never printed.

use super::enroll::{self, Choice};
use super::state::{self, Log, io, print};
use super::{Code, Exit, Failure, Globals, Outcome};
use crate::adapters::store::receipt;
use crate::adapters::system::SystemClock;
use crate::base::time::Clock;
use crate::ports::{PeopleStore, Person, PersonSummary};
use crate::runtime::enrolment::Taken;
use crate::schema::event::{Action, Event};
use crate::schema::ids::PersonId;
use crate::schema::record::rfc3339;
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Everybody, with numbers of templates.
    List,
    /// One person.
    Show { name: String },
    /// Removes a person with all templates, destroys their key, and prints a signed receipt.
    Remove { name: String },
    /// Receipts of removals.
    #[command(subcommand)]
    Receipt(super::people_receipt::Command),
    /// Notes what a person cannot do and is not asked for; prints it without `--cannot`.
    Limits {
        name: String,
        /// Actions, as `turn_left,turn_right,blink`; `none` takes the note back.
        #[arg(long, value_name = "A,B")]
        cannot: Option<String>,
    },
    /// What the rules know of a person: groups, validity, PIN and card; prints it without an option.
    Set(super::people_set::Args),
    /// Writes everybody to a new file, encrypted under a passphrase.
    Export {
        file: PathBuf,
        /// File whose first line is the passphrase, at least 12 bytes.
        #[arg(long, value_name = "FILE")]
        passphrase_file: PathBuf,
    },
    /// Adds people from an export, from a folder of pictures per person, or from a table.
    Import(ImportArgs),
    /// Stores labelled pictures from the camera, for `eval pad`, `pad calibrate` and `pad train`.
    Collect(super::collect::Args),
}

#[derive(clap::Args, Debug)]
struct ImportArgs {
    /// A file that `people export` wrote.
    #[arg(required_unless_present_any = ["dataset", "csv"], requires = "passphrase_file", conflicts_with_all = ["dataset", "csv"])]
    file: Option<PathBuf>,
    /// File whose first line is the export's passphrase.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// A table with the columns person, picture, groups, valid_from, valid_to, card, consent, expires.
    #[arg(long, value_name = "FILE", conflicts_with = "dataset")]
    csv: Option<PathBuf>,
    /// Replaces people of the same name instead of refusing the import.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    folder: FolderArgs,
}

/// Pictures in a folder per person; the folder's name is the person's.
#[derive(clap::Args, Debug)]
pub(super) struct FolderArgs {
    /// Directory with one folder of pictures per person.
    #[arg(long, short = 'i', value_name = "DIR")]
    pub dataset: Option<PathBuf>,
    /// State directory of older scripts' encodings file; people go to the store of --state in any case.
    #[arg(long, short = 'e', value_name = "FILE")]
    pub encoding: Option<PathBuf>,
    /// How faces are found; `hog` is `fast`, `cnn` is `accurate`.
    #[arg(long, short = 'd', value_enum, default_value_t = Detection::Accurate)]
    pub detection_method: Detection,
    #[command(flatten)]
    pub choice: Choice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Detection {
    #[value(alias = "hog")]
    Fast,
    #[value(alias = "cnn")]
    Accurate,
}

pub fn run(globals: &Globals, args: Args) -> Outcome {
    match args.command {
        Command::List => list(globals),
        Command::Show { name } => show(globals, &person(&name)?),
        Command::Remove { name } => remove(globals, &person(&name)?),
        Command::Receipt(command) => super::people_receipt::run(globals, command),
        Command::Limits { name, cannot } => limits(globals, &person(&name)?, cannot.as_deref()),
        Command::Set(args) => super::people_set::run(globals, &person(&args.name)?, &args),
        Command::Export { file, passphrase_file } => export(globals, &file, &passphrase_file),
        Command::Import(ImportArgs { file: Some(file), passphrase_file: Some(pass), replace, .. }) => {
            import(globals, &file, &pass, replace)
        }
        Command::Import(ImportArgs { csv: Some(csv), folder, replace, .. }) => {
            super::people_csv::run(globals, &csv, folder.choice, replace)
        }
        Command::Import(args) => import_folder(globals, &args.folder, args.replace),
        Command::Collect(args) => super::collect::run(globals, &args),
    }
}

fn person(name: &str) -> Result<PersonId, Failure> {
    PersonId::new(name).map_err(|e| Failure::new(Code::Usage, e.name, e.rule, "see `cardea people list`"))
}

/// What `list` and `show` tell of a person.
struct Row {
    summary: PersonSummary,
    consent_ms: Option<i64>,
    expires_ms: Option<i64>,
    expired: bool,
    /// No template is of the network in use: the person is not recognised. `None` when that network is not known.
    waiting: Option<bool>,
}

fn rows(globals: &Globals) -> Result<Vec<Row>, Failure> {
    let Some(mut store) = state::people_if_any(globals)? else { return Ok(Vec::new()) };
    let mut attributes = store.attributes()?;
    let digest = super::load_config(globals).ok().and_then(|c| crate::runtime::engine::embedding_digest(&c).ok());
    let now_ms = SystemClock.wall().unix_ms;
    let row = |summary: PersonSummary| {
        let a = attributes.remove(&summary.person).unwrap_or_default();
        Row {
            consent_ms: a.consent_ms,
            expires_ms: a.expires_ms,
            expired: a.expires_ms.is_some_and(|end| now_ms >= end),
            waiting: digest.as_ref().map(|d| !summary.models.contains(d)),
            summary,
        }
    };
    Ok(store.list().map_err(io)?.into_iter().map(row).collect())
}

fn list(globals: &Globals) -> Outcome {
    let people = rows(globals)?;
    let text = if globals.json {
        format!("{}\n", json!({"people": people.iter().map(object).collect::<Vec<_>>()}))
    } else if people.is_empty() {
        "nobody is enrolled; add a person with `cardea enroll NAME --image FILE`\n".to_owned()
    } else {
        people.iter().map(line).collect()
    };
    print(&text).map(|_| Exit::Done)
}

fn show(globals: &Globals, id: &PersonId) -> Outcome {
    match rows(globals)?.into_iter().find(|p| p.summary.person == *id) {
        Some(p) => {
            print(&if globals.json { format!("{}\n", object(&p)) } else { line(&p) })?;
            Ok(Exit::Done)
        }
        None => unknown(globals, &json!({"person": id, "found": false}), id),
    }
}

fn remove(globals: &Globals, id: &PersonId) -> Outcome {
    let nobody = || unknown(globals, &json!({"person": id, "removed": false}), id);
    let Some(mut store) = state::people_if_any(globals)? else { return nobody() };
    // First, so that a journal that cannot be written stops the removal.
    let mut log = Log::open(globals)?;
    let Some(removal) = store.remove_person(id)? else { return nobody() };
    let record = log
        .append(Event::PersonRemoved { person: id.clone() })
        .map_err(|e| Failure { what: format!("{id} was removed, but that could not be recorded: {}", e.what), ..e })?;
    let issued = receipt::issue(&state::dir(globals)?, id, &removal, &record);
    let (receipt, file) = issued.map_err(|e| Failure {
        what: format!("{id} was removed, but there is no receipt: {}", e.port.cause),
        ..e.into()
    })?;
    let text = if globals.json {
        let answer = json!({
            "person": id, "removed": true, "templates": removal.templates, "key_replaced": removal.key_replaced,
            "erased": removal.erased, "at": record.time, "seq": record.seq, "receipt": receipt, "receipt_file": file,
        });
        format!("{answer}\n")
    } else {
        let mut text = format!("{id} removed with {} templates; record {}\n", removal.templates, record.seq);
        if !removal.key_replaced {
            text += "the master key is handed over from outside and was kept: replace it to make remains on the medium unreadable\n";
        }
        if !removal.erased {
            text += "another process was reading: the encrypted remains leave the file at the next opening\n";
        }
        text + &format!("receipt, also in {}:\n{}\n", file.display(), receipt.text())
    };
    print(&text).map(|_| Exit::Done)
}

/// What somebody cannot do is told to the visit, which asks for other things; it opens nothing by itself.
fn limits(globals: &Globals, id: &PersonId, cannot: Option<&str>) -> Outcome {
    let missing = || Failure::new(Code::Usage, id.as_str(), "is not enrolled", "see `cardea people list`");
    let mut store = state::people_if_any(globals)?.ok_or_else(missing)?;
    if let Some(text) = cannot {
        let action = |word: &str| {
            let named = Action::from_name(word).filter(|a| *a != Action::Centre);
            let hint = "use some of blink turn_left turn_right nod mouth_open smile, or none";
            named.ok_or_else(|| Failure::new(Code::Usage, "--cannot", format!("`{word}` is no such action"), hint))
        };
        let words = text.split(',').map(str::trim).filter(|w| *w != "none");
        let actions: Vec<Action> = words.map(action).collect::<Result<_, _>>()?;
        let mut log = Log::open(globals)?;
        if !store.set_cannot(id, &actions)? {
            return Err(missing());
        }
        log.append(Event::PersonLimits { person: id.clone(), cannot: actions })?;
    } else if !store.list().map_err(io)?.iter().any(|p| p.person == *id) {
        return Err(missing());
    }
    let actions = store.cannot()?.remove(id).unwrap_or_default();
    let words: Vec<&str> = actions.iter().map(|a| a.name()).collect();
    let text = if globals.json {
        format!("{}\n", json!({"person": id, "cannot": words}))
    } else if words.is_empty() {
        format!("{id} is asked for everything\n")
    } else {
        format!("{id} is never asked for {}\n", words.join(", "))
    };
    print(&text).map(|_| Exit::Done)
}

fn export(globals: &Globals, file: &Path, passphrase_file: &Path) -> Outcome {
    let passphrase = passphrase(passphrase_file)?;
    let Some(mut store) = state::people_if_any(globals)? else {
        let path = state::dir(globals)?.join("people.db").display().to_string();
        return Err(Failure::new(Code::Io, path, "there are no people", "check --state, or enrol somebody first"));
    };
    let people = store.export(file, &passphrase)?;
    let text = if globals.json {
        format!("{}\n", json!({"file": file, "people": people}))
    } else {
        format!("{people} people written to {}\n", file.display())
    };
    print(&text).map(|_| Exit::Done)
}

fn import(globals: &Globals, file: &Path, passphrase_file: &Path, replace: bool) -> Outcome {
    let passphrase = passphrase(passphrase_file)?;
    let mut log = Log::open(globals)?;
    let people = state::people(globals)?.import(file, &passphrase, replace)?;
    for p in &people {
        let templates = u32::try_from(p.templates.len()).unwrap_or(u32::MAX);
        log.append(Event::PersonEnrolled { person: p.id.clone(), templates })?;
    }
    let templates: usize = people.iter().map(|p| p.templates.len()).sum();
    let text = if globals.json {
        format!("{}\n", json!({"file": file, "people": people.len(), "templates": templates}))
    } else {
        format!("{} people with {templates} templates imported\n", people.len())
    };
    print(&text).map(|_| Exit::Done)
}

/// Enrols a folder of pictures per person: everybody or, when a picture is refused and `--partial` is not given, nobody.
fn import_folder(globals: &Globals, args: &FolderArgs, replace: bool) -> Outcome {
    let root = args.dataset.as_deref().unwrap_or(Path::new("."));
    if args.encoding.is_some() {
        eprintln!("note: --encoding is not written; people go to the encrypted store of the state directory");
    }
    let folders = folders(root)?;
    let (config, mut engine) = super::eval::open(globals, None, None)?;
    let mut known = super::enrolled_people(&config.store().dir, engine.embedding_digest())?;
    let (mut people, mut accepted, mut refused, mut lines) = (Vec::new(), Vec::new(), Vec::new(), String::new());
    let mut spoilt = false;
    for (id, files) in folders {
        let mut taken = Taken::default();
        for file in &files {
            enroll::take(&mut taken, &mut engine, file)?;
        }
        if !args.choice.allow_duplicate {
            let others: Vec<Person> = known.iter().filter(|p| p.id != id).cloned().collect();
            taken.refuse_duplicates(&engine, &config, &others).map_err(Failure::unavailable)?;
        }
        let own: Vec<Person> = known.iter().filter(|p| p.id == id && !replace).cloned().collect();
        taken.refuse_strangers(&engine, &own).map_err(Failure::unavailable)?;
        spoilt |= taken.is_refused();
        accepted.extend(taken.names().into_iter().map(str::to_owned));
        refused.extend(enroll::refusals(&taken));
        lines += &enroll::lines(&taken);
        if let Some(person) = taken.person(&engine, &id, args.choice.partial, SystemClock.wall().unix_ms) {
            known.push(person.clone());
            people.push(person);
        }
    }
    if spoilt && !args.choice.partial {
        people.clear();
    }
    if !people.is_empty() {
        let mut log = Log::open(globals)?;
        state::people(globals)?.add_all(&people, replace)?;
        for person in &people {
            super::enroll::record(&mut log, person)?;
        }
    }
    let templates: usize = people.iter().map(|p| p.templates.len()).sum();
    let text = if globals.json {
        let answer = json!({
            "dataset": root, "people": people.len(), "templates": templates, "accepted": accepted, "refused": refused,
        });
        format!("{answer}\n")
    } else {
        let hint = if spoilt && people.is_empty() { "; --partial stores the good pictures" } else { "" };
        format!("{lines}{} people with {templates} templates imported{hint}\n", people.len())
    };
    print(&text)?;
    Ok(if spoilt { Exit::NoDecision } else { Exit::Done })
}

/// The people of a data set with their pictures, in the order of their names. Hidden files are left out.
fn folders(root: &Path) -> Result<Vec<(PersonId, Vec<PathBuf>)>, Failure> {
    let list = |dir: &Path| -> Result<Vec<PathBuf>, Failure> {
        let bad =
            |e| Failure::new(Code::BadInput, dir.display().to_string(), e, "give one folder of pictures per person");
        let mut all = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(bad)? {
            let entry = entry.map_err(bad)?;
            if !entry.file_name().as_encoded_bytes().starts_with(b".") {
                all.push(entry.path());
            }
        }
        all.sort();
        Ok(all)
    };
    let mut people = Vec::new();
    for dir in list(root)?.into_iter().filter(|p| p.is_dir()) {
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let id = PersonId::new(&name)
            .map_err(|e| Failure::new(Code::BadInput, dir.display().to_string(), e.rule, "rename the folder"))?;
        let files: Vec<PathBuf> = list(&dir)?.into_iter().filter(|p| p.is_file()).collect();
        if files.is_empty() {
            let hint = "put pictures into it, or remove it";
            return Err(Failure::new(Code::BadInput, dir.display().to_string(), "the folder holds no file", hint));
        }
        people.push((id, files));
    }
    if people.is_empty() {
        let hint = "give one folder of pictures per person";
        return Err(Failure::new(Code::BadInput, root.display().to_string(), "there is no folder in it", hint));
    }
    Ok(people)
}

/// The first line of the file.
fn passphrase(file: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut bytes = Zeroizing::new(std::fs::read(file).map_err(|e| {
        let code = if e.kind() == std::io::ErrorKind::PermissionDenied { Code::Permission } else { Code::Io };
        Failure::new(code, file.display().to_string(), e, "give a file whose first line is the passphrase")
    })?);
    let end = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
    bytes.truncate(end);
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    Ok(bytes)
}

fn unknown(globals: &Globals, answer: &Value, id: &PersonId) -> Outcome {
    if globals.json {
        print(&format!("{answer}\n"))?;
    } else {
        eprintln!("nobody is called `{id}`; see `cardea people list`");
    }
    Ok(Exit::Negative)
}

fn object(p: &Row) -> Value {
    let s = &p.summary;
    json!({
        "person": s.person, "templates": s.templates, "models": s.models, "enrolled": rfc3339(s.enrolled_unix_ms),
        "consent": p.consent_ms.map(rfc3339), "expires": p.expires_ms.map(rfc3339), "expired": p.expired,
        "waiting": p.waiting,
    })
}

fn line(p: &Row) -> String {
    let s = &p.summary;
    let models: Vec<&str> = s.models.iter().map(|m| m.get(..12).unwrap_or(m)).collect();
    let name = s.person.as_str();
    let mut more = String::new();
    match p.expires_ms {
        Some(end) if p.expired => more += &format!("; expired {}", rfc3339(end)),
        Some(end) => more += &format!("; until {}", rfc3339(end)),
        None => {}
    }
    if p.waiting == Some(true) {
        more += "; waiting for pictures: the network in use is another";
    }
    format!("{name:<24} {:>3} templates  {}  {}{more}\n", s.templates, rfc3339(s.enrolled_unix_ms), models.join(" "))
}
