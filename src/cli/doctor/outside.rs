//! What lies outside of the disk: camera, broker, programs, time.

use super::Check;
use crate::adapters::camera;
use crate::adapters::system::SystemClock;
use crate::base::time::Clock;
use crate::config::sections::{Camera, CameraKind, Mqtt};
use crate::ports::NextFrame;
use std::ffi::OsString;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// A camera, or a broker, that says nothing for so long is not there.
const PATIENCE: Duration = Duration::from_secs(2);

/// Opens, and delivers a frame within two seconds.
pub(super) fn camera(camera: &Camera) -> Check {
    const ID: &str = "camera";
    if camera.kind == CameraKind::None {
        return Check::skip(ID, "camera.kind is none: web sessions alone");
    }
    let began = Instant::now();
    let mut source = match camera::open(camera, Arc::new(SystemClock), 0) {
        Ok(source) => source,
        Err(e) => {
            let what = format!("{}: {}", e.what, e.cause);
            return Check::fail(ID, what, with_busy(&e.cause, e.hint));
        }
    };
    let name = source.identity();
    let mut torn = 0_u32;
    while let Some(left) = PATIENCE.checked_sub(began.elapsed()) {
        match source.next(left.min(camera.timeout)) {
            Ok(NextFrame::Frame(_)) => {
                let what = format!("{name}: first frame after {} ms", began.elapsed().as_millis());
                return if camera::is_virtual(camera) {
                    let fix = "for a door set camera.kind = \"v4l2\" and camera.device to a real camera";
                    Check::warn(ID, format!("{what}; no real camera"), fix)
                } else {
                    Check::ok(ID, what)
                };
            }
            Ok(NextFrame::Torn(_)) => torn += 1,
            Ok(NextFrame::Stalled) => {}
            Ok(NextFrame::End) => break,
            Err(e) => return Check::fail(ID, format!("{}: {}", e.what, e.cause), with_busy(&e.cause, e.hint)),
        }
    }
    let what = format!("{name}: no whole frame within 2 s ({torn} torn)");
    let fix = match camera.kind {
        CameraKind::V4l2 => "check cable and power, try another camera.format or a smaller camera.width and height",
        CameraKind::File | CameraKind::Sim => "check camera.path",
        CameraKind::None => "set camera.kind",
        CameraKind::Command => "run camera.command by hand: it must write MJPEG to its standard output",
    };
    Check::fail(ID, what, fix)
}

/// A camera belongs to one process at a time; most often that is the daemon.
fn with_busy(cause: &str, hint: String) -> String {
    if cause.to_lowercase().contains("busy") {
        format!("another program holds it: while the daemon runs that is the daemon; else {hint}")
    } else {
        hint
    }
}

/// Something accepts connections where the broker should be.
pub(super) fn mqtt(mqtt: &Mqtt) -> Check {
    if !mqtt.enabled {
        return Check::skip("mqtt", "mqtt.enabled is false");
    }
    reachable(&mqtt.host, mqtt.port, PATIENCE)
}

fn reachable(host: &str, port: u16, within: Duration) -> Check {
    const ID: &str = "mqtt";
    let (answer, asked) = mpsc::channel();
    let place = format!("{host}:{port}");
    let target = (host.to_owned(), port);
    // Looking a name up has no time limit of its own, so it happens on a thread that may be left behind.
    std::thread::spawn(move || {
        let tried = target.to_socket_addrs().and_then(|addresses| {
            let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
            for address in addresses {
                match TcpStream::connect_timeout(&address, within) {
                    Ok(_) => return Ok(()),
                    Err(e) => last = e,
                }
            }
            Err(last)
        });
        let _nobody_waits_any_more = answer.send(tried);
    });
    let cause = match asked.recv_timeout(within) {
        Ok(Ok(())) => return Check::ok(ID, format!("{place} accepts connections")),
        Ok(Err(e)) => e.to_string(),
        Err(_) => format!("no answer within {} s", within.as_secs_f32()),
    };
    let fix = "start the broker, check mqtt.host and mqtt.port and the firewall; the door works without it";
    Check::fail(ID, format!("connect to {place}: {cause}"), fix)
}

/// The program that opens clips other than JPEG directories and MJPEG files.
pub(super) fn ffmpeg(paths: Option<OsString>) -> Check {
    const ID: &str = "ffmpeg";
    let found = std::env::split_paths(&paths.unwrap_or_default())
        .map(|dir| dir.join("ffmpeg"))
        .find(|file| file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0));
    match found {
        Some(path) => Check::ok(ID, path.display().to_string()),
        None => {
            let what = "not found: clips other than JPEG directories and MJPEG files cannot be read; doors need none";
            Check::warn(ID, what, "apt install ffmpeg")
        }
    }
}

/// Whether records carry a time that can be trusted.
pub(super) fn clock() -> Check {
    judge_clock(SystemClock.wall().synced)
}

fn judge_clock(synced: bool) -> Check {
    if synced {
        Check::ok("clock", "synchronised")
    } else {
        let what = "not synchronised: records say clock_synced = false";
        Check::warn("clock", what, "timedatectl set-ntp true, and check that a time server can be reached")
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_broker_that_accepts_is_told_from_one_that_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(reachable("127.0.0.1", port, PATIENCE).status, Status::Ok);
        drop(listener);
        let check = reachable("127.0.0.1", port, PATIENCE);
        assert_eq!(check.status, Status::Fail);
        assert!(check.what.contains(&port.to_string()) && check.fix.unwrap().contains("mqtt.host"));
    }

    #[test]
    fn ffmpeg_counts_only_when_it_can_be_run() {
        let dir = tempfile::tempdir().unwrap();
        let paths = || Some(dir.path().as_os_str().to_owned());
        assert_eq!(ffmpeg(None).status, Status::Warn);
        let file = dir.path().join("ffmpeg");
        std::fs::write(&file, "").unwrap();
        assert_eq!(ffmpeg(paths()).status, Status::Warn);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(ffmpeg(paths()).status, Status::Ok);
    }

    #[test]
    fn a_busy_camera_points_to_the_daemon_and_a_drifting_clock_to_its_server() {
        assert!(with_busy("Device or resource busy (os error 16)", "x".into()).contains("the daemon"));
        assert_eq!(with_busy("No such file", "x".into()), "x");
        assert_eq!(judge_clock(true).status, Status::Ok);
        assert!(judge_clock(false).fix.unwrap().contains("timedatectl"));
    }
}
