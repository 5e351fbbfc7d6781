//! `door.guard = "spawn"`: the guard as a child of the daemon, started again when it dies.
//!
//! The child has its own process group, so that Ctrl-C in the daemon's terminal does not reach it; it ends by itself
//! when the daemon is gone and the line is inactive. All that it needs to know stands in its arguments.

use super::line::LineSpec;
use crate::base::stop::Stop;
use crate::ports::{PortError, Recovery};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How soon the death of the guard is noticed. With the start of a process (a few ms) it stays far below the promised
/// 200 ms.
const LOOK: Duration = Duration::from_millis(20);
/// Between two starts of a guard that dies at once, for example because its line still has another owner.
const PAUSE: Duration = Duration::from_millis(100);
/// A guard that was told to end has this long to put the line inactive; it needs 50 ms.
const END_MAX: Duration = Duration::from_secs(2);

/// How to start the guard.
#[derive(Clone, Debug)]
pub struct GuardCommand {
    /// The `cardea` binary.
    pub program: PathBuf,
    /// The line that it owns.
    pub line: LineSpec,
    /// Where it listens.
    pub socket: PathBuf,
}

impl GuardCommand {
    /// The guard of this very program.
    ///
    /// # Errors
    /// The kernel does not say which program this is.
    pub fn of_this_program(line: LineSpec, socket: &Path) -> Result<Self, PortError> {
        let program = std::env::current_exe()
            .map_err(|e| PortError::new("find this program's file", e, "mount /proc", Recovery::Fatal))?;
        Ok(GuardCommand { program, line, socket: socket.to_owned() })
    }

    fn spawn(&self) -> Result<Child, PortError> {
        let mut command = Command::new(&self.program);
        command.arg("guard").arg("--line").arg(self.line.to_arg()).arg("--socket").arg(&self.socket).arg("--spawned");
        // A guard must not take over a socket that systemd meant for the daemon.
        command.env_remove("LISTEN_FDS").env_remove("LISTEN_PID").env_remove("LISTEN_FDNAMES");
        // Nor may it speak to systemd in the daemon's name, or beat for a daemon that hangs.
        command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID");
        command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0).spawn().map_err(|e| {
            let what = format!("start {} guard", self.program.display());
            PortError::new(what, e, "check that the file is there and can be run", Recovery::Degrade)
        })
    }
}

/// Keeps one guard alive. Dropping it ends the guard, which puts the line inactive first.
#[derive(Debug)]
pub struct Spawner {
    stop: Stop,
    pid: Arc<AtomicU32>,
    starts: Arc<AtomicU32>,
    thread: Option<JoinHandle<()>>,
}

impl Spawner {
    /// Starts the guard and the thread that starts it again.
    ///
    /// # Errors
    /// The first start failed.
    pub fn start(command: GuardCommand) -> Result<Self, PortError> {
        let stop = Stop::default();
        let first = command.spawn()?;
        let (pid, starts) = (Arc::new(AtomicU32::new(first.id())), Arc::new(AtomicU32::new(1)));
        let keeper = Keeper { command, stop: stop.clone(), pid: pid.clone(), starts: starts.clone() };
        let thread =
            std::thread::Builder::new().name("guard-keeper".to_owned()).spawn(move || keeper.keep(first)).map_err(
                |e| PortError::new("start the guard's keeper", e, "check the limit of threads", Recovery::Fatal),
            )?;
        Ok(Spawner { stop, pid, starts, thread: Some(thread) })
    }

    /// The process id of the guard that runs now; 0 while none does.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.load(Ordering::Relaxed)
    }

    /// How often a guard was started; more than 1 says that one died.
    #[must_use]
    pub fn starts(&self) -> u32 {
        self.starts.load(Ordering::Relaxed)
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        self.stop.request();
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

struct Keeper {
    command: GuardCommand,
    stop: Stop,
    pid: Arc<AtomicU32>,
    starts: Arc<AtomicU32>,
}

impl Keeper {
    fn keep(&self, first: Child) {
        let mut guard = Some((first, Instant::now()));
        while !self.stop.wait(LOOK) {
            if let Some((child, since)) = &mut guard {
                match child.try_wait() {
                    Ok(None) => continue,
                    Ok(Some(status)) => tracing::error!(%status, "the guard died; it is started again"),
                    Err(e) => tracing::error!(error = %e, "the guard cannot be watched; another one is started"),
                }
                self.pid.store(0, Ordering::Relaxed);
                let pause = PAUSE.saturating_sub(since.elapsed());
                guard = None;
                if self.stop.wait(pause) {
                    return;
                }
            }
            match self.command.spawn() {
                Ok(child) => {
                    self.pid.store(child.id(), Ordering::Relaxed);
                    self.starts.fetch_add(1, Ordering::Relaxed);
                    guard = Some((child, Instant::now()));
                }
                Err(e) => {
                    tracing::error!(error = %e, "no guard");
                    if self.stop.wait(PAUSE) {
                        return;
                    }
                }
            }
        }
        if let Some((child, _since)) = guard {
            end(child);
        }
    }
}

/// Asks the guard to end and waits for it. It is never killed: while it lives it may still release the line.
fn end(mut child: Child) {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _sent = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    let until = Instant::now() + END_MAX;
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(2));
    }
}
