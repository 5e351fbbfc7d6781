//! `cardea doctor`: one line per thing that can be wrong, with what to do about it.
//!
//! It changes nothing: stores are opened only where they exist, and the guard's socket is looked up, not called, since a
//! guard that hangs up on its only client puts the line inactive.

mod camera;
mod checks;
mod door;
mod outside;
mod panel;

use super::{Exit, Globals, Outcome, config_failure, config_inputs, state};
use crate::config::{Config, load};
use serde::Serialize;

#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    part: Option<Part>,
}

/// One part, looked at more closely.
#[derive(clap::Subcommand, Debug)]
enum Part {
    /// Lists the cameras with their formats, and measures frames of the configured one.
    Camera(camera::Args),
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    /// Works, but somebody should know.
    Warn,
    /// A visit, or a command, will fail.
    Fail,
    /// Does not apply, or could not be looked at.
    Skip,
}

/// One line of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Check {
    id: &'static str,
    status: Status,
    /// What was found.
    what: String,
    /// What to do; `null` when there is nothing to do.
    fix: Option<String>,
}

impl Check {
    fn ok(id: &'static str, what: impl Into<String>) -> Self {
        Check { id, status: Status::Ok, what: what.into(), fix: None }
    }

    fn skip(id: &'static str, what: impl Into<String>) -> Self {
        Check { id, status: Status::Skip, what: what.into(), fix: None }
    }

    fn warn(id: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Check { id, status: Status::Warn, what: what.into(), fix: Some(fix.into()) }
    }

    fn fail(id: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Check { id, status: Status::Fail, what: what.into(), fix: Some(fix.into()) }
    }
}

/// The ids after `config`, in the order of the answer.
const IDS: [&str; 13] = [
    "state_dir",
    "journal",
    "people",
    "models",
    "runtime",
    "camera",
    "relay",
    "panel",
    "mqtt",
    "ffmpeg",
    "clock",
    "pack",
    "insecure",
];

pub fn run(globals: &Globals, args: Args) -> Outcome {
    if let Some(Part::Camera(args)) = args.part {
        return camera::run(globals, &args);
    }
    let checks = match load(&config_inputs(globals)) {
        Ok(config) => look(&config),
        Err(faults) => {
            let failure = config_failure(&faults);
            without_config(format!("{}: {}", failure.subject, failure.what), failure.hint)
        }
    };
    let ok = sound(&checks);
    let text = if globals.json {
        format!("{}\n", serde_json::json!({ "ok": ok, "checks": checks }))
    } else {
        checks.iter().map(line).collect()
    };
    let _reader_gone = state::print(&text)?;
    Ok(if ok { Exit::Done } else { Exit::Negative })
}

fn look(config: &Config) -> Vec<Check> {
    let mut all = vec![Check::ok("config", "read, without faults")];
    let dir = &config.store().dir;
    all.push(checks::state_dir(dir));
    all.push(checks::journal(dir));
    all.push(checks::people(dir, crate::runtime::engine::embedding_digest(config).ok().as_deref()));
    all.extend(checks::networks(config.models()));
    all.push(outside::camera(config.camera()));
    all.push(door::relay(config));
    all.push(panel::line(config));
    all.push(outside::mqtt(config.mqtt()));
    all.push(outside::ffmpeg(std::env::var_os("PATH")));
    all.push(outside::clock());
    all.push(checks::pack(config.models()));
    all.extend(checks::insecure(&config.insecure().in_force()));
    let allowed = crate::config::warnings(config).into_iter();
    all.extend(allowed.map(|(_, what, fix)| Check::warn("web", what, fix)));
    all
}

/// A faulty configuration says nothing about where to look for the rest.
fn without_config(what: String, fix: String) -> Vec<Check> {
    let mut all = vec![Check::fail("config", what, fix)];
    all.extend(IDS.map(|id| Check::skip(id, "not looked at: the configuration is at fault")));
    all
}

fn sound(checks: &[Check]) -> bool {
    checks.iter().all(|c| c.status != Status::Fail)
}

/// The line for people.
fn line(check: &Check) -> String {
    let status = match check.status {
        Status::Ok => "ok",
        Status::Warn => "warn",
        Status::Fail => "FAIL",
        Status::Skip => "skip",
    };
    let fix = check.fix.as_ref().map(|fix| format!("; {fix}")).unwrap_or_default();
    // Causes from libraries may hold line ends.
    let text = format!("{}{fix}", check.what).split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{status:4} {:9} {text}\n", check.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failed_check_makes_the_machine_unsound() {
        let mut all = vec![Check::ok("config", "a"), Check::warn("clock", "b", "c"), Check::skip("mqtt", "d")];
        assert!(sound(&all));
        all.push(Check::fail("camera", "e", "f"));
        assert!(!sound(&all));
    }

    #[test]
    fn a_check_is_one_line_with_its_fix_whatever_its_cause_holds() {
        let text = line(&Check::fail("runtime", "no library:\n  tried a", "run `make models`"));
        assert_eq!(text, "FAIL runtime   no library: tried a; run `make models`\n");
        assert_eq!(line(&Check::ok("clock", "synchronised")), "ok   clock     synchronised\n");
    }

    #[test]
    fn a_faulty_configuration_fails_once_and_skips_everything_else() {
        let all = without_config("--set: door.hold: unknown key".into(), "mend it".into());
        assert_eq!(all[0].status, Status::Fail);
        assert_eq!(all.len(), 1 + IDS.len());
        assert!(all[1..].iter().all(|c| c.status == Status::Skip));
    }

    #[test]
    fn a_machine_with_nothing_on_it_gets_every_check_a_fix_for_each_fault_and_no_panic() {
        let dir = tempfile::tempdir().unwrap();
        let set = |text: &str| text.replace("DIR", &dir.path().display().to_string());
        let inputs = crate::config::Inputs {
            file: Some("config/cardea.toml".into()),
            set: [
                "models.cache=DIR/none",
                "models.packs=DIR/none",
                "camera.device=DIR/none",
                "models.runtime=DIR/none",
            ]
            .map(set)
            .to_vec(),
            state: Some(dir.path().join("state")),
            ..Default::default()
        };
        let all = look(&load(&inputs).unwrap());
        let ids: Vec<_> = all.iter().map(|c| c.id).collect();
        assert_eq!(ids[0], "config");
        assert_eq!(ids[1..], IDS);
        for check in &all {
            let wrong = matches!(check.status, Status::Fail | Status::Warn);
            assert_eq!(wrong, check.fix.as_ref().is_some_and(|f| !f.is_empty()), "{check:?}");
        }
        for id in ["models", "camera", "pack"] {
            assert_eq!(all.iter().find(|c| c.id == id).unwrap().status, Status::Fail, "{id}");
        }
        assert!(!dir.path().join("state").exists(), "doctor made a state directory");
    }
}
