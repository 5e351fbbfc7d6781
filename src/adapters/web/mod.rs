//! The web server: TLS, accounts, the API v1, sessions of people with a camera of their own, and the console.
//!
//! It runs on a thread and a runtime of its own, so that nothing of it delays MQTT, let alone the door. What it needs of
//! the terminal is the trait [`house::House`]; pictures go through the [`hub::Hub`] to a worker that is not part of it.

pub mod accounts;
mod api;
mod assets;
mod auth;
mod compat;
pub mod house;
pub mod hub;
mod linger;
pub mod look;
mod problem;
pub mod server;
pub mod shown;
pub mod tls;
pub mod token;

use crate::config::sections::WebConfig;
use crate::domain::screen::{Setup, Short};
use crate::ports::{PortError, Recovery};
use crate::schema::record::hex;
use accounts::Accounts;
use auth::{Limiter, Logins, Rate};
use house::House;
use hub::Hub;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use tls::{Place, Tls};
use tokio::sync::{Semaphore, broadcast, watch};
use zeroize::Zeroizing;

/// Records that a slow console may lag behind before it must read them anew.
pub const FEED: usize = 256;

/// Steps of niceness below the door's threads; those that hash passwords and read the journal have it too.
const NICE: i32 = 5;

/// Told what a display shows while there is no administrator, and `None` once there is one.
pub type TellSetup = Box<dyn Fn(Option<Setup>) + Send + Sync>;

/// Fresh random bytes of the kernel.
pub type Random = fn() -> Result<[u8; 32], PortError>;

/// Everything that handlers share.
pub struct App {
    config: WebConfig,
    device: String,
    /// The state directory.
    state: PathBuf,
    house: Arc<dyn House>,
    hub: Arc<Hub>,
    accounts: Mutex<Accounts>,
    logins: Logins,
    limiter: Limiter,
    session_rate: Rate,
    /// argon2 holds 19 MiB: one at a time.
    hashing: Semaphore,
    /// The code that makes the first administrator, while there is none.
    setup: Mutex<Option<Zeroizing<String>>>,
    setup_file: PathBuf,
    tell_setup: TellSetup,
    feed: broadcast::Sender<Arc<str>>,
    live: Option<watch::Receiver<Arc<Vec<u8>>>>,
    random: Random,
    stop: watch::Receiver<bool>,
}

impl App {
    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().expect("accounts mutex: no holder panics")
    }
}

/// What the server is made of.
pub struct Parts {
    pub config: WebConfig,
    pub device: String,
    pub state: PathBuf,
    pub house: Arc<dyn House>,
    pub hub: Arc<Hub>,
    /// Texts of records as they are committed.
    pub feed: broadcast::Sender<Arc<str>>,
    /// JPEG pictures of the door's camera, where the owner allows it.
    pub live: Option<watch::Receiver<Arc<Vec<u8>>>>,
    pub random: Random,
    pub tell_setup: TellSetup,
}

/// The running server.
pub struct Server {
    stop: watch::Sender<bool>,
    thread: Option<std::thread::JoinHandle<()>>,
    pub address: SocketAddr,
}

impl Server {
    /// Opens the accounts and the certificate, binds the port and starts the thread.
    ///
    /// # Errors
    /// What cannot be opened, or a port that somebody else has.
    pub fn start(parts: Parts) -> Result<Server, PortError> {
        let Parts { config, device, state, house, hub, feed, live, random, tell_setup } = parts;
        let accounts = Accounts::open(&state)?;
        let secured = config.tls || config.compat.listeners.iter().any(|l| l.tls);
        let tls = if secured { Some(Tls::open(Place::of(&config, &state), &config.names)?) } else { None };
        let listener = server::bind(config.listen, "web.listen")?;
        let more = compat::bind(&config.compat)?;
        let address = listener.local_addr().map_err(|e| failed("listen", &e))?;
        let setup_file = state.join("setup-code");
        let setup = if accounts.is_empty()? { Some(setup_code(&setup_file, random)?) } else { None };
        announce(&config, address, tls.as_ref(), setup.as_ref());
        compat::announce(&more);
        tell_setup(setup.as_ref().and_then(|code| shown_setup(&config, address, tls.as_ref(), code)));
        let (stop, asked) = watch::channel(false);
        // A terminal has few sessions and a console or two; each may have a connection for its WebSocket and one beside.
        let most = config.max_sessions * 2 + 128;
        let app = Arc::new(App {
            logins: Logins::new(config.login),
            limiter: Limiter::default(),
            session_rate: Rate::per_minute(config.sessions_per_minute),
            hashing: Semaphore::new(1),
            accounts: Mutex::new(accounts),
            setup: Mutex::new(setup),
            setup_file,
            tell_setup,
            device,
            state,
            house,
            hub,
            feed,
            live,
            random,
            stop: asked.clone(),
            config,
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(8).build();
        let runtime = runtime.map_err(|e| failed("start the web server", &e))?;
        let life = move || {
            if let Err(e) = rustix::process::nice(NICE) {
                tracing::warn!(error = %e, "the web server runs at the door's priority");
            }
            runtime.block_on(async move {
                let secret = tls.as_ref().map(|t| t.config.clone());
                if let Some(tls) = tls {
                    tokio::spawn(server::follow(tls, asked.clone()));
                }
                let more: Vec<_> = more
                    .into_iter()
                    .map(|b| tokio::spawn(compat::serve(b, secret.clone(), app.clone(), most, asked.clone())))
                    .collect();
                let console = secret.filter(|_| app.config.tls);
                server::serve(listener, console, api::router(app), most, asked).await;
                for listener in more {
                    let _ended = listener.await;
                }
            });
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("web".into()).spawn(life);
        let thread = thread.map_err(|e| failed("start the web server", &e))?;
        Ok(Server { stop, thread: Some(thread), address })
    }
}

impl Drop for Server {
    /// Asks for the end and waits for it: at most about two seconds.
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if self.thread.take().is_some_and(|t| t.join().is_err()) {
            tracing::error!("the web thread had panicked");
        }
    }
}

fn failed(what: &str, e: &std::io::Error) -> PortError {
    PortError::new(what, e, "free some memory and file descriptors", Recovery::Fatal)
}

/// Letters that are not taken for each other when they are read from a display or a log.
const LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// A fresh code of 60 bits, also in a file that only the daemon's user can read. It never becomes a record: records leave
/// the machine.
fn setup_code(file: &Path, random: Random) -> Result<Zeroizing<String>, PortError> {
    let bytes = random()?;
    let letter = |b: &u8| char::from(LETTERS[usize::from(b % 32)]);
    let groups: Vec<String> = bytes[..12].chunks(4).map(|c| c.iter().map(letter).collect()).collect();
    let code = Zeroizing::new(groups.join("-"));
    let write = || -> std::io::Result<()> {
        match std::fs::remove_file(file) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut f = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
        writeln!(f, "{}", code.as_str())
    };
    write().map_err(|e| {
        PortError::new(
            format!("write {}", file.display()),
            e,
            "check the state directory and its owner",
            Recovery::Fatal,
        )
    })?;
    Ok(code)
}

/// Tells the log where the console is, how to know its certificate, and how to get in the first time.
fn announce(config: &WebConfig, address: SocketAddr, tls: Option<&Tls>, setup: Option<&Zeroizing<String>>) {
    let scheme = if config.tls { "https" } else { "http" };
    tracing::info!("the console is at {scheme}://{address}/");
    if let Some(tls) = tls {
        tracing::info!(
            not_after = tls.info.not_after,
            "SHA-256 fingerprint of its certificate: {}",
            tls.info.fingerprint
        );
    }
    if let Some(code) = setup {
        tracing::warn!("nobody can log in yet; the set-up code for the first administrator is {}", code.as_str());
    }
}

/// Bytes of the fingerprint on a display: enough to tell one certificate from another by eye.
const FINGERPRINT_SHOWN: usize = 8;

/// What stands on the display: code, address and the begin of the fingerprint. `None` when only this machine is served:
/// nobody in front of it could use them.
fn shown_setup(config: &WebConfig, address: SocketAddr, tls: Option<&Tls>, code: &str) -> Option<Setup> {
    let host = tls::reached_at(address.ip())?;
    let scheme = if config.tls { "https" } else { "http" };
    let fingerprint = tls.filter(|_| config.tls).map_or("", |t| t.info.fingerprint.as_str());
    let fingerprint = fingerprint.get(..FINGERPRINT_SHOWN * 3 - 1).unwrap_or(fingerprint);
    let address = format!("{scheme}://{host}:{}", address.port());
    Some(Setup { code: Short::new(code)?, address: Short::new(&address)?, fingerprint: Short::new(fingerprint)? })
}

/// A random number as text, for ids that are secrets.
fn secret_id(random: Random) -> Result<String, PortError> {
    Ok(hex(&random()?[..16]))
}
