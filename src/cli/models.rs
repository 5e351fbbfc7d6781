//! `cardea models`: lists, verifies and installs the files of a pack.

use super::{Code, Exit, Failure, Globals, Outcome, load_config};
use crate::adapters::infer::install::{How, Plan, install, install_runtime};
use crate::adapters::infer::manifest::{Model, ModelFile, Pack};
use crate::adapters::infer::ort::{ALL_ROLES, FileState, Settings, read_checked, runtime_at_hand, verify};
use crate::config::sections::Models;
use crate::ports::PortError;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::time::Duration;

#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// Every file of the pack and whether it is here with the right digest.
    List(Chosen),
    /// The same, and whether each network gives its known answer on this machine.
    Verify(Chosen),
    /// Fetches, copies or builds what is missing.
    Install {
        #[command(flatten)]
        chosen: Chosen,
        /// Directory searched for the files, or for what they are made from, by digest; repeatable. CARDEA_MODELS_FROM
        /// names more, separated by colons.
        #[arg(long, value_name = "DIR")]
        from: Vec<PathBuf>,
    },
}

#[derive(clap::Args, Debug)]
struct Chosen {
    /// Pack instead of models.pack.
    #[arg(long, value_name = "NAME")]
    pack: Option<String>,
}

/// One line of the answer.
#[derive(serde::Serialize)]
struct Row<'a> {
    pack: &'a str,
    role: &'static str,
    file: &'a str,
    family: &'static str,
    sha256: &'a str,
    precision: &'static str,
    state: &'static str,
    licence: &'a str,
    /// What is wrong, or where an installed file came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

pub fn run(globals: &Globals, args: Args) -> Outcome {
    let config = load_config(globals)?;
    let models = config.models();
    let chosen = match &args.what {
        What::List(c) | What::Verify(c) | What::Install { chosen: c, .. } => c,
    };
    let name = chosen.pack.as_deref().unwrap_or(&models.pack);
    let pack = Pack::read(&models.packs, name).map_err(|e| failure(Code::Config, &e))?;
    match args.what {
        What::List(_) => list(globals, models, &pack),
        What::Verify(_) => verify_all(globals, models, &pack),
        What::Install { from, .. } => install_all(globals, models, &pack, from),
    }
}

fn failure(code: Code, e: &PortError) -> Failure {
    Failure::new(code, &e.what, &e.cause, &e.hint)
}

fn files(pack: &Pack) -> impl Iterator<Item = (&Model, &ModelFile)> {
    pack.models.iter().flat_map(|m| m.files.iter().map(move |f| (m, f)))
}

fn settings(models: &Models) -> Settings<'_> {
    Settings {
        cache: &models.cache,
        precision: models.precision,
        provider: models.provider,
        runtime: models.runtime.as_deref(),
        threads: models.threads,
        roles: ALL_ROLES,
    }
}

fn row<'a>(pack: &'a Pack, model: &Model, file: &'a ModelFile, state: FileState, detail: Option<String>) -> Row<'a> {
    Row {
        pack: &pack.name,
        role: model.net.role.name(),
        file: &file.file,
        family: model.net.family.name(),
        sha256: &file.sha256,
        precision: file.precision.name(),
        state: state.name(),
        licence: &file.licence,
        detail,
    }
}

fn list(globals: &Globals, models: &Models, pack: &Pack) -> Outcome {
    let rows: Vec<Row> = files(pack)
        .map(|(model, file)| match read_checked(file, &models.cache) {
            Ok(_) => row(pack, model, file, FileState::Ok, None),
            Err(bad) => row(pack, model, file, bad.state, Some(bad.error.cause)),
        })
        .collect();
    print(globals, pack, &rows);
    Ok(Exit::Done)
}

fn verify_all(globals: &Globals, models: &Models, pack: &Pack) -> Outcome {
    let mut rows = Vec::new();
    for (model, file) in files(pack) {
        let found = verify(model, file, &settings(models)).map_err(|e| failure(Code::Unavailable, &e))?;
        rows.push(match found {
            Ok(()) => row(pack, model, file, FileState::Ok, None),
            Err(bad) => row(pack, model, file, bad.state, Some(bad.error.cause)),
        });
    }
    print(globals, pack, &rows);
    let sound = rows.iter().all(|r| r.state == FileState::Ok.name());
    Ok(if sound { Exit::Done } else { Exit::Negative })
}

fn install_all(globals: &Globals, models: &Models, pack: &Pack, mut from: Vec<PathBuf>) -> Outcome {
    if let Some(more) = std::env::var_os("CARDEA_MODELS_FROM") {
        from.extend(std::env::split_paths(&more).filter(|p| !p.as_os_str().is_empty()));
    }
    // Beside models/packs lies models/build.
    let build = models.packs.parent().map(|p| p.join("build/build.py")).filter(|p| p.is_file());
    let bar = ProgressBar::new(0);
    let style = "{msg:32} {bar:30} {bytes:>10}/{total_bytes:10}";
    bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    let plan = Plan { pack, cache: &models.cache, from: &from, build: build.as_deref(), pause: Duration::from_secs(1) };
    let done = install(&plan, &mut |file, have, all| {
        if bar.message() != file {
            bar.set_message(file.to_owned());
        }
        bar.set_length(all);
        bar.set_position(have);
    })
    .map_err(|e| failure(Code::Io, &e))?;
    bar.finish_and_clear();
    let mut missing = None;
    let mut rows = Vec::new();
    for ((model, file), installed) in files(pack).zip(done) {
        rows.push(match installed.how {
            Ok(how) => row(pack, model, file, FileState::Ok, Some(told(how))),
            Err(e) => {
                missing.get_or_insert_with(|| {
                    Failure::new(Code::Unavailable, &file.file, &e, "mend that and run it again")
                });
                row(pack, model, file, FileState::Missing, Some(e))
            }
        });
    }
    print(globals, pack, &rows);
    if !runtime_at_hand(models.runtime.as_deref(), &models.cache) {
        install_runtime(build.as_deref(), &models.cache).map_err(|e| {
            Failure::new(Code::Unavailable, "libonnxruntime.so", e, "set models.runtime or run `make models`")
        })?;
    }
    missing.map_or(Ok(Exit::Done), Err)
}

fn told(how: How) -> String {
    match how {
        How::Already => "was here".into(),
        How::Copied(from) => format!("copied from {}", from.display()),
        How::Downloaded(url) => format!("downloaded from {url}"),
        How::Built => "built".into(),
    }
}

fn print(globals: &Globals, pack: &Pack, rows: &[Row<'_>]) {
    if globals.json {
        for r in rows {
            println!("{}", serde_json::json!(r));
        }
        return;
    }
    println!("{} {}: {}", pack.name, pack.version, pack.about);
    println!("{:10} {:36} {:9} {:20} {:11} detail", "role", "file", "precision", "state", "licence");
    for r in rows {
        let detail = r.detail.as_deref().unwrap_or_default();
        println!("{:10} {:36} {:9} {:20} {:11} {detail}", r.role, r.file, r.precision, r.state, r.licence);
    }
}
