//! `cardea run --dev`: the daemon for who works on it or on a client of it. Nothing of this is for a door, so it needs
//! `insecure.dev`, serves this machine alone and drives no real relay.

use super::{Code, Exit, Failure, Globals, Outcome};
use crate::base::stop::Stop;
use crate::config::Config;
use crate::config::sections::RelayKind;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// The loosest value of each key that makes a visit hard, a small picture and a talkative log. Over the files, below
/// `--set`.
const EASY: &[&str] = &[
    "recognition.min_face_px=40",
    "recognition.target_fpir=0.01",
    "challenge.count=1",
    "challenge.window_ms=10000",
    "challenge.total_ms=30000",
    "challenge.mouth_hold_ms=200",
    "rules.lockout_failures=10",
    "insecure.max_frame_age_ms=2000",
    "camera.width=320",
    "camera.height=240",
    "web.listen=\"127.0.0.1:8443\"",
    "log.level=\"debug\"",
];

/// Files are looked at this often; a change counts when it has rested for one look.
const LOOK: Duration = Duration::from_millis(300);

/// The arguments of a start for development.
pub fn globals(given: &Globals) -> Globals {
    let set = EASY.iter().map(|s| (*s).to_owned()).chain(given.set.iter().cloned()).collect();
    Globals { set, ..given.clone() }
}

/// Refuses what is not for development, says what this is, and begins to watch.
///
/// # Errors
/// What is missing or too much, by its key.
pub fn begin(globals: &Globals, config: &Config, stop: &Stop) -> Result<Again, Failure> {
    let refuse = |key: &str, what: &str, hint: &str| Err(Failure::new(Code::Config, key, what, hint));
    if !config.insecure().dev {
        let hint = "set insecure.dev = true on a machine that guards nothing, or leave --dev out";
        return refuse("insecure.dev", "--dev makes the thresholds easy, and this is not allowed here", hint);
    }
    if config.door().relay.kind != RelayKind::Sim {
        let hint = "set door.relay.kind = \"sim\", or leave --dev out";
        return refuse("door.relay.kind", "--dev drives no real relay", hint);
    }
    let compat = config.web().compat.listeners.iter().map(|l| (l.seed.key("listen"), l.listen));
    let mut all = std::iter::once(("web.listen".to_owned(), config.web().listen)).chain(compat);
    if let Some((key, _)) = all.find(|(_, at)| !at.ip().is_loopback()) {
        return refuse(&key, "--dev serves this machine alone", "listen on 127.0.0.1, or leave --dev out");
    }
    eprintln!(
        "==== DEVELOPMENT ====================================================\n\
         Easy thresholds, this machine only, simulated relay. Never at a door.\n\
         Starts again when its configuration or its program changes.\n\
         ====================================================================="
    );
    let program = std::env::current_exe()
        .map_err(|e| Failure::new(Code::Internal, "/proc/self/exe", e, "start again without --dev"))?;
    let changed = Arc::new(AtomicBool::new(false));
    let watch =
        Watch { globals: globals.clone(), program: program.clone(), changed: changed.clone(), stop: stop.clone() };
    std::thread::Builder::new()
        .name("dev".into())
        .spawn(move || watch.run())
        .map_err(|e| Failure::new(Code::Internal, "threads", e, "free some memory"))?;
    Ok(Again { program, changed })
}

/// Starts the program again after its end, where that is why it ended.
pub struct Again {
    program: PathBuf,
    changed: Arc<AtomicBool>,
}

impl Again {
    /// Takes the place of this process, with the same arguments.
    pub fn if_something_changed(self) -> Outcome {
        if !self.changed.load(Ordering::SeqCst) {
            return Ok(Exit::Done);
        }
        let error = std::process::Command::new(&self.program).args(std::env::args_os().skip(1)).exec();
        Err(Failure::new(Code::Internal, self.program.display().to_string(), error, "start it by hand"))
    }
}

struct Watch {
    globals: Globals,
    program: PathBuf,
    changed: Arc<AtomicBool>,
    stop: Stop,
}

/// What tells one state of a file from another.
type Mark = Option<(SystemTime, u64)>;

fn mark(file: &Path) -> Mark {
    let meta = std::fs::metadata(file).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}

impl Watch {
    fn run(self) {
        let files = self.files();
        let look = || files.iter().map(|f| mark(f)).collect::<Vec<_>>();
        let (first, mut before) = (look(), look());
        while !self.stop.wait(LOOK) {
            let now = look();
            // A program that is being built is away for a moment.
            let rests = now == before && now.iter().zip(&first).all(|(n, f)| n.is_some() || f.is_none());
            if now != before
                && now != first
                && let Err(e) = super::load_config(&self.globals)
            {
                tracing::warn!("the changed configuration is not taken: {e}");
            }
            if rests && now != first && super::load_config(&self.globals).is_ok() {
                tracing::warn!("something changed: starting again");
                self.changed.store(true, Ordering::SeqCst);
                self.stop.request();
            }
            before = now;
        }
    }

    /// The program, the configuration's file with its drop-ins, and the script that stands for networks.
    fn files(&self) -> Vec<PathBuf> {
        let main = self.globals.config.clone().unwrap_or_else(|| crate::config::DEFAULT_FILE.into());
        let drop_ins = main.parent().unwrap_or(Path::new("")).join(crate::config::DROP_INS);
        let mut all = vec![self.program.clone(), main];
        all.extend(std::fs::read_dir(drop_ins).into_iter().flatten().flatten().map(|f| f.path()));
        if let Ok(config) = super::load_config(&self.globals) {
            all.extend(config.models().script.clone());
        }
        all
    }
}
