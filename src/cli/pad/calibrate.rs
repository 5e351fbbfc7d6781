//! `cardea pad calibrate`: thresholds of the pack's networks from live captures and attacks of this site.

use super::place::{self, FLOOR_FRAMES};
use super::{Captures, decided, lines, missing, refuse, rows};
use crate::adapters::infer::manifest::PadThreshold;
use crate::adapters::infer::ort::Loaded;
use crate::adapters::infer::site::{Calibrated, Calibration, HIGHEST, calibration_path, dir};
use crate::adapters::system::SystemClock;
use crate::base::time::Clock;
use crate::cli::eval::presentations::{Group, Presentation, groups, look_at};
use crate::cli::private::{self, Existing};
use crate::cli::state::print;
use crate::cli::{Code, Exit, Failure, Globals, Outcome, load_config};
use crate::domain::gesture::median;
use crate::domain::liveness::PadRule;
use crate::runtime::engine::{Engine, UseSite};
use crate::schema::record::rfc3339;
use crate::vision::family::Role;
use serde_json::json;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    captures: Captures,
    /// Share of the live captures that may be refused in addition for the sake of the attacks.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    live_loss: f64,
    /// Stores the thresholds in the state directory, where run, replay and eval take them.
    #[arg(long)]
    write: bool,
}

/// Fewest live captures, and fewest attacks, that thresholds are set with.
const LEAST: usize = 20;

/// A share from 0 to 0.2.
pub(super) fn share(text: &str) -> Result<f64, String> {
    let n: f64 = text.parse().map_err(|_| "is no number".to_owned())?;
    if (0.0..=0.2).contains(&n) { Ok(n) } else { Err("is not within 0 to 0.2".into()) }
}

pub(super) fn run(globals: &Globals, args: &Args) -> Outcome {
    let config = load_config(globals)?;
    // Measured against the pack itself: what was calibrated before neither counts nor matters.
    let mut engine = Engine::open_for(&config, UseSite::No).map_err(Failure::unavailable)?;
    let networks = networks(&engine)?;
    let (root, labelled) = args.captures.read()?;
    let all = look_at(&mut engine, &root, labelled)?;
    let (live, attacks) = decided(&all);
    let missing = missing(&[("live captures", live, LEAST), ("attacks", attacks, LEAST)]);
    if !missing.is_empty() {
        return refuse(globals, "pad calibrate", &missing);
    }
    let counts = (live as u64, attacks as u64);
    let network: Vec<Calibrated> = networks
        .iter()
        .enumerate()
        .map(|(i, (loaded, pack))| propose(&all, i, loaded, pack, args.live_loss, counts))
        .collect();
    let before: Vec<PadRule> = engine.pad_rules(0.0).map_err(Failure::unavailable)?;
    #[expect(clippy::cast_possible_truncation, reason = "thresholds have few digits")]
    let after: Vec<PadRule> =
        network.iter().map(|n| PadRule { threshold: n.threshold as f32, floor: n.floor as f32 }).collect();
    let (before, after) = (groups(&all, |p| p.taken_by(&before)), groups(&all, |p| p.taken_by(&after)));

    let calibration =
        Calibration { schema: 1, pack: engine.pack().name.clone(), made: rfc3339(SystemClock.wall().unix_ms), network };
    let state = &config.store().dir;
    if args.write {
        let text = toml::to_string(&calibration)
            .map_err(|e| Failure::new(Code::Internal, "calibration.toml", e, "please report this"))?;
        let text = format!("# Written by `cardea pad calibrate`. Values below the pack's are refused.\n{text}");
        private::dir(&dir(state))?;
        private::write(&calibration_path(state), text.as_bytes(), Existing::Replace)?;
    }
    let written = args.write.then(|| calibration_path(state));
    let text = if globals.json {
        let networks: Vec<_> = calibration
            .network
            .iter()
            .zip(&networks)
            .map(|(n, (_, pack))| {
                json!({"network": n.name, "sha256": n.sha256, "precision": n.precision,
                       "pack": {"threshold": pack.threshold, "floor": pack.floor},
                       "threshold": n.threshold, "floor": n.floor})
            })
            .collect();
        let answer = json!({
            "done": true, "live": live, "attacks": attacks, "networks": networks, "before": rows(&before),
            "after": rows(&after), "worst_species_apcer": {"before": Group::worst(&before).map(|w| w.0),
            "after": Group::worst(&after).map(|w| w.0)}, "measured_on": "the captures that the thresholds were set with",
            "live_frames_for_a_floor": FLOOR_FRAMES, "written": written,
        });
        format!("{answer}\n")
    } else {
        let mut text = format!("{live} live captures and {attacks} attacks can be judged\n");
        for (n, (_, pack)) in calibration.network.iter().zip(&networks) {
            text += &format!(
                "{:<18} threshold {} -> {}, floor {} -> {}\n",
                n.name, pack.threshold, n.threshold, pack.floor, n.floor
            );
        }
        text += &format!(
            "with the pack's values:\n{}with the proposed ones, on the captures they were set with:\n{}",
            lines(&before),
            lines(&after)
        );
        text + &match &written {
            Some(path) => format!("written to {}\n", path.display()),
            None => "nothing was written; --write stores them\n".into(),
        }
    };
    print(&text)?;
    Ok(Exit::Done)
}

/// The PAD networks in use, in the order of the scores, with what the pack says of each.
fn networks(engine: &Engine) -> Result<Vec<(Loaded, PadThreshold)>, Failure> {
    let of = |l: &Loaded| engine.pack().pad_for(&l.name, l.precision).map(|t| (l.clone(), t.clone()));
    let found: Vec<_> = engine.loaded().iter().filter(|l| l.role == Role::Pad).filter_map(of).collect();
    if found.is_empty() {
        let what = "it has no network against attacks with thresholds";
        return Err(Failure::new(
            Code::Unavailable,
            format!("pack {}", engine.pack().name),
            what,
            "choose another models.pack",
        ));
    }
    Ok(found)
}

/// Values of network `i`: of each capture the median counts, as at the door, for the floor each frame.
fn propose(
    all: &[Presentation],
    i: usize,
    loaded: &Loaded,
    pack: &PadThreshold,
    loss: f64,
    (live, attacks): (u64, u64),
) -> Calibrated {
    let scores =
        |p: &Presentation| -> Vec<f32> { p.frames.iter().filter_map(|f| f.scores.get(i)).map(|s| s.get()).collect() };
    let medians = |of_live: bool| -> Vec<f64> {
        let some = all.iter().filter(|p| p.is_live() == of_live && p.is_judged());
        some.filter_map(|p| median(&scores(p))).map(f64::from).collect()
    };
    let threshold = place::threshold(&medians(true), &medians(false), pack.threshold, HIGHEST, loss);
    let frames: Vec<f64> = all.iter().filter(|p| p.is_live()).flat_map(scores).map(f64::from).collect();
    let floor = place::floor(&frames, pack.floor, threshold);
    let (name, precision, sha256) = (loaded.name.clone(), loaded.precision, loaded.sha256.clone());
    Calibrated { name, precision, sha256, threshold, floor, live, attacks }
}
