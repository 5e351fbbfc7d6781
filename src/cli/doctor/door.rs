//! The relay line and its guard, from outside.

use super::Check;
use crate::adapters::relay;
use crate::adapters::relay::line::{GpioSpec, LineSpec};
use crate::adapters::relay::sim::read_line;
use crate::config::Config;
use crate::config::sections::{Bias, GuardKind};
use crate::ports::PortError;
use rustix::fs::{Access, access};
use std::path::Path;

const ID: &str = "relay";

/// The line can be used, and the guard listens where it must.
pub(super) fn relay(config: &Config) -> Check {
    let door = config.door();
    let state = &config.store().dir;
    let socket = door.guard_socket.clone().unwrap_or_else(|| state.join("guard.sock"));
    let found = match LineSpec::of(&door.relay, state) {
        LineSpec::Sim(path) => match usable(&path, state, door.relay.persist) {
            Ok(level) => format!("sim line {}: {level}", path.display()),
            Err(check) => return *check,
        },
        LineSpec::Gpiocdev(gpio) => match against_pull(&gpio, relay::gpiocdev::describe(&gpio)) {
            Ok(found) => found,
            Err(check) => return *check,
        },
        LineSpec::Rppal(gpio) => match against_pull(&gpio, relay::rppal::describe(&gpio)) {
            Ok(found) => found,
            Err(check) => return *check,
        },
    };
    let listening = std::fs::read_to_string("/proc/net/unix").is_ok_and(|table| listens(&table, &socket));
    judge(&door.guard, listening, &socket, &found)
}

/// A pull towards the active level opens the door whenever nobody drives the line.
fn against_pull(gpio: &GpioSpec, found: Result<String, PortError>) -> Result<String, Box<Check>> {
    match found {
        Err(e) => Err(Box::new(Check::fail(ID, format!("{}: {}", e.what, e.cause), e.hint))),
        Ok(_) if matches!((gpio.active_low, gpio.bias), (false, Bias::PullUp) | (true, Bias::PullDown)) => {
            let what = format!("the pull of {} energises the relay whenever nobody drives the line", gpio.name);
            Err(Box::new(Check::warn(ID, what, "let door.relay.bias pull away from door.relay.active")))
        }
        Ok(found) => Ok(found),
    }
}

/// What the line says, or why it cannot be used.
fn usable(line: &Path, state: &Path, persist: bool) -> Result<&'static str, Box<Check>> {
    let fail = |what: String, fix: &str| Err(Box::new(Check::fail(ID, what, fix)));
    if line.exists() {
        if access(line, Access::WRITE_OK).is_err() {
            return fail(format!("{} cannot be written", line.display()), "run as the guard's user, or mend its mode");
        }
        return match read_line(line, persist) {
            Ok(true) => Ok("active"),
            Ok(false) => Ok("inactive"),
            Err(e) => fail(format!("{}: {e}", line.display()), "let door.relay.line name a file of its own"),
        };
    }
    let dir = line.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The state directory is made at the first start; whether it can be is its own check.
    if dir == state && !dir.exists() || access(dir, Access::WRITE_OK | Access::EXEC_OK).is_ok() {
        return Ok("not made yet");
    }
    fail(
        format!("{} cannot be made in {}", line.display(), dir.display()),
        "make that directory, or set door.relay.line",
    )
}

fn judge(kind: &GuardKind, listening: bool, socket: &Path, line: &str) -> Check {
    let shown = socket.display();
    match (kind, listening) {
        (_, true) => Check::ok(ID, format!("{line}; a guard listens at {shown}")),
        (GuardKind::Spawn, false) => Check::ok(ID, format!("{line}; `cardea run` starts the guard")),
        (GuardKind::Socket, false) => Check::fail(
            ID,
            format!("{line}; no guard listens at {shown}"),
            "systemctl start cardea-guard.socket, or set door.guard = \"spawn\"",
        ),
    }
}

/// Whether the kernel's table has a listener at `socket`. Flag 0x10000 marks a listener.
fn listens(table: &str, socket: &Path) -> bool {
    let Some(socket) = socket.to_str() else { return false };
    table.lines().skip(1).any(|row| {
        let mut fields = row.split_whitespace();
        let flags = fields.nth(3).and_then(|f| u32::from_str_radix(f, 16).ok()).unwrap_or(0);
        flags & 0x1_0000 != 0 && row.ends_with(socket) && row[..row.len() - socket.len()].ends_with(' ')
    })
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_listening_socket_is_told_from_a_file_that_a_dead_guard_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("guard.sock");
        let table = || std::fs::read_to_string("/proc/net/unix").unwrap();
        let listener = UnixListener::bind(&path).unwrap();
        assert!(listens(&table(), &path));
        assert!(!listens(&table(), Path::new("sock")));
        drop(listener);
        assert!(path.exists() && !listens(&table(), &path));
    }

    #[test]
    fn a_guard_that_systemd_must_start_is_missed_and_a_spawned_one_is_not() {
        let at = Path::new("/run/g");
        assert_eq!(judge(&GuardKind::Socket, false, at, "l").status, Status::Fail);
        assert_eq!(judge(&GuardKind::Socket, true, at, "l").status, Status::Ok);
        assert_eq!(judge(&GuardKind::Spawn, false, at, "l").status, Status::Ok);
    }

    #[test]
    fn a_pull_towards_the_active_level_is_warned_of() {
        let gpio = |active_low, bias| GpioSpec { name: "GPIO17".into(), chip: None, active_low, bias };
        let judged = |active_low, bias| against_pull(&gpio(active_low, bias), Ok("found".into()));
        for (active_low, bias) in [(false, Bias::PullUp), (true, Bias::PullDown)] {
            assert_eq!(judged(active_low, bias).unwrap_err().status, Status::Warn);
        }
        for (active_low, bias) in [(false, Bias::PullDown), (true, Bias::PullUp), (true, Bias::AsIs)] {
            assert_eq!(judged(active_low, bias).unwrap(), "found");
        }
    }

    #[test]
    fn a_line_must_hold_a_level_and_lie_where_it_can_be_made() {
        let dir = tempfile::tempdir().unwrap();
        let line = dir.path().join("relay");
        assert_eq!(usable(&line, dir.path(), true).unwrap(), "not made yet");
        std::fs::write(&line, "1").unwrap();
        assert_eq!(usable(&line, dir.path(), true).unwrap(), "active");
        std::fs::write(&line, "x").unwrap();
        assert!(usable(&line, dir.path(), true).is_err());
        let nowhere = usable(&dir.path().join("none/relay"), dir.path(), true).unwrap_err();
        assert!(nowhere.fix.unwrap().contains("door.relay.line"));
        let state = dir.path().join("state");
        assert!(usable(&state.join("relay"), &state, true).is_ok());
    }
}
