//! `cardea guard`: owns the relay line. A daemon that starts its own guard gives it line and socket as arguments; started
//! by hand or by systemd (`cardea guard`, `cardea guard --lock`), it takes them from the configuration.

use super::{Code, Exit, Failure, Globals, Outcome};
use crate::adapters::relay::line::{LineSpec, Taken};
use crate::adapters::system::{Notifier, SystemClock, random, watchdog_beat};
use crate::guard::serve::{Life, Notice, Parts, adopt, listen_at, serve};
use crate::ports::{PortError, Recovery};
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// Puts the line inactive and ends. A sim line is written beside a running guard; a gpiocdev line has one owner only,
    /// and while a guard lives this says so and ends with 69.
    #[arg(long)]
    lock: bool,
    /// A line instead of the configured one: a sim line's file, whose changes go to PATH.edges.
    #[arg(long, value_name = "PATH")]
    line: Option<OsString>,
    /// Where to listen for the daemon instead of the configured socket; a socket from systemd goes before both.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Ends when its daemon is gone and the line is inactive.
    #[arg(long, hide = true)]
    spawned: bool,
}

pub fn run(globals: &Globals, args: Args) -> Outcome {
    // The hook of `main` logs first; a full pipe behind the log would then hold the line active.
    std::panic::set_hook(Box::new(|_info| std::process::abort()));
    let (line, socket) = line_and_socket(globals, &args)?;
    if args.lock {
        line.lock(Box::new(SystemClock)).map_err(|e| unavailable("door.relay", &e))?;
        return Ok(Exit::Done);
    }
    // Signals first: one that comes a moment later must find the line's owner listening.
    let signals = signals().map_err(|e| Failure::new(Code::Internal, "guard", e, "check the limit of open files"))?;
    let Taken { mut relay, started } = line.take(Box::new(SystemClock)).map_err(|e| unavailable("door.relay", &e))?;
    let listener = listener(socket)?;
    let life = if args.spawned { Life::WithDaemon } else { Life::Service };
    let manager = Notifier::from_env();
    let notify = |notice| match (&manager, notice) {
        (None, _) => {}
        (Some(manager), Notice::Ready) => manager.ready(),
        (Some(manager), Notice::Alive) => manager.alive(),
    };
    let parts = Parts {
        line: &mut *relay,
        started,
        listener,
        signals,
        clock: &SystemClock,
        random: random::<16>,
        life,
        notify: &notify,
        beat: watchdog_beat(),
    };
    serve(parts).map_err(|e| unavailable("guard", &e))?;
    Ok(Exit::Done)
}

/// From the arguments; the configuration is only read for what they leave out, so that its faults cannot keep a daemon's
/// own guard from starting.
fn line_and_socket(globals: &Globals, args: &Args) -> Result<(LineSpec, Option<PathBuf>), Failure> {
    let named = args.line.as_deref().map(|arg| {
        let malformed = || {
            let hint = "give the file of a sim line, or leave it to the configuration";
            Failure::new(Code::Usage, "--line", format!("{arg:?} is no line"), hint)
        };
        LineSpec::from_arg(arg).ok_or_else(malformed)
    });
    let named = named.transpose()?;
    if let (Some(line), true) = (&named, args.lock || args.spawned || args.socket.is_some()) {
        return Ok((line.clone(), args.socket.clone()));
    }
    let config = super::load_config(globals)?;
    let state = &config.store().dir;
    let door = config.door();
    let line = named.unwrap_or_else(|| LineSpec::of(&door.relay, state));
    Ok((line, args.socket.clone().or_else(|| door.guard_socket.clone())))
}

fn signals() -> std::io::Result<OwnedFd> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let (ours, handlers) = UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        signal_hook::low_level::pipe::register(signal, handlers.try_clone()?)?;
    }
    Ok(ours.into())
}

/// A socket from systemd wins over a path: its file's owner and mode were set by the unit.
fn listener(path: Option<PathBuf>) -> Result<OwnedFd, Failure> {
    let given = sd_listen_fds::get()
        .map_err(|e| Failure::new(Code::Usage, "LISTEN_FDS", e, "let systemd set it, or unset it"))?;
    if let Some((_name, fd)) = given.into_iter().next() {
        return adopt(fd.into_std()).map_err(|e| unavailable("LISTEN_FDS", &e));
    }
    let path = path.ok_or_else(|| {
        Failure::new(
            Code::Usage,
            "--socket",
            "the guard was given no socket",
            "give --socket PATH, or start it by systemd",
        )
    })?;
    listen_at(&path).map_err(|e| unavailable("door.guard_socket", &e))
}

fn unavailable(subject: &str, e: &PortError) -> Failure {
    let code = if e.recovery == Recovery::Fatal { Code::Unavailable } else { Code::Io };
    Failure::new(code, subject, format!("{}: {}", e.what, e.cause), e.hint.clone())
}
