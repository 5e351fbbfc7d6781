//! `cardea demo --window`: the kiosk page in a window of the desktop, beside a terminal of web sessions alone. The picture
//! is that of the browser's camera; there is no door, no broker and nothing that outlives the window.

use super::{WorkDir, broker, tempdir};
use crate::base::stop::{Knock, Stop};
use crate::cli::run::on_signals;
use crate::cli::{Code, Exit, Failure, Globals, Outcome, load_config};
use crate::ports::PortError;
use crate::runtime::daemon::{self, Options};
use crate::runtime::logging;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Browsers that open a page as a window without bars, and end with it.
const BROWSERS: [&str; 6] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge", "brave-browser"];

/// Until the window is closed, or the end is asked for.
pub fn run(globals: &Globals) -> Outcome {
    let display = ["WAYLAND_DISPLAY", "DISPLAY"].iter().any(|v| std::env::var_os(v).is_some_and(|d| !d.is_empty()));
    if !display {
        let hint = "start it in a desktop session; without one use `cardea demo --headless`, or open /kiosk of a running \
                    terminal (web.enabled = true) in a browser of another machine";
        return Err(Failure::new(Code::Unavailable, "--window", "there is no display", hint));
    }
    let work = tempdir()?;
    let outcome = serve(globals, &work);
    work.close();
    outcome
}

fn serve(globals: &Globals, work: &WorkDir) -> Outcome {
    let at = SocketAddr::from(([127, 0, 0, 1], broker::free_port()?));
    let mut g = globals.clone();
    g.state = Some(work.path().join("state"));
    g.set.extend(
        [
            "camera.kind=\"none\"",
            "door.relay.kind=\"sim\"",
            "prompt.kind=\"none\"",
            "mqtt.enabled=false",
            "web.enabled=true",
            "web.self_service=true",
            // Loopback is what a browser gives its camera to without a certificate.
            "web.tls=false",
        ]
        .map(str::to_owned),
    );
    g.set.push(format!("web.listen=\"{at}\""));
    let config = load_config(&g)?;
    logging::start(&config.log().level);
    let stop = Stop::default();
    let reload = Knock::default();
    on_signals(&stop, &reload)?;
    std::thread::scope(|scope| {
        let terminal =
            scope.spawn(|| daemon::run(&config, &stop, Options { lines: globals.json, reload, ..Options::default() }));
        let outcome = show(at, work.path(), &stop, || terminal.is_finished());
        stop.request();
        let ended: Result<(), PortError> = terminal.join().unwrap_or(Ok(()));
        ended.map_err(Failure::unavailable)?;
        outcome
    })
}

/// Opens the window when the page is there, and waits for its end.
fn show(at: SocketAddr, work: &Path, stop: &Stop, over: impl Fn() -> bool) -> Outcome {
    while TcpStream::connect(at).is_err() {
        if stop.wait(Duration::from_millis(50)) || over() {
            return Ok(Exit::Done);
        }
    }
    let page = format!("http://{at}/kiosk");
    eprintln!("demo: {page}; nobody is enrolled yet: enrol yourself at http://{at}/ with the set-up code above");
    let mut window = open(&page, work);
    if window.is_none() {
        let known = BROWSERS.join(", ");
        eprintln!("demo: no browser for a window ({known}): open the page yourself; Ctrl-C ends the demo");
        let _by_hand = Command::new("xdg-open").arg(&page).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    }
    while !stop.wait(Duration::from_millis(100)) && !over() {
        if window.as_mut().is_some_and(|w| !matches!(w.try_wait(), Ok(None))) {
            break;
        }
    }
    if let Some(mut window) = window {
        // Both fail only when it was closed already.
        let _ended = window.kill();
        let _reaped = window.wait();
    }
    Ok(Exit::Done)
}

/// The page in the first browser that starts, with a profile that goes with the demo: a browser that runs already would
/// take the page over and end at once.
fn open(page: &str, work: &Path) -> Option<Child> {
    let profile = format!("--user-data-dir={}", work.join("profile").display());
    BROWSERS.iter().find_map(|browser| {
        Command::new(browser)
            .args([&format!("--app={page}"), &profile, "--no-first-run", "--no-default-browser-check"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()
    })
}
