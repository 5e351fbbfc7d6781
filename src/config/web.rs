//! `[web]` in both forms: as it is typed and as it was checked, with the rules between its keys.

use super::check::Checker;
use super::compat::{self, CompatConfig, RawCompat};
use super::raw::Raw;
use super::sections::{ChallengeMode, Config};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawWeb {
    /// Whether the console, the API and web sessions are served at all.
    pub enabled: bool,
    /// Address and port; 127.0.0.1:8443 serves this machine alone.
    pub listen: String,
    /// HTTPS. Plain HTTP is for a reverse proxy on this machine: only with a loopback address in `listen`.
    pub tls: bool,
    /// Own certificate chain, PEM, together with `key_file`; a new file is taken within a minute. Unset: self-signed, in the state directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/etc/cardea/web-cert.pem")]
    pub cert_file: Option<PathBuf>,
    /// Key of `cert_file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/etc/cardea/web-key.pem")]
    pub key_file: Option<PathBuf>,
    /// Names and addresses beside the machine's own that stand in the self-signed certificate.
    pub names: Vec<String>,
    /// Anybody who reaches the address may verify themselves with a camera of their own. Off: only who has logged in or brings a token.
    pub self_service: bool,
    /// An operator may open the door from the console and the API.
    pub remote_unlock: bool,
    /// A web session that identifies somebody, with the whole configured challenge, opens the door if all rules agree. Whoever opens from afar sees nobody at the door, and their camera is not yours.
    pub opens_door: bool,
    /// Whoever has logged in sees what the door's camera sees.
    pub live_picture: bool,
    /// Sessions at a time.
    #[schemars(range(min = 1, max = 1000))]
    pub max_sessions: u32,
    /// Seconds after which a session ends, whatever it does.
    #[schemars(range(min = 10, max = 3600))]
    pub session_ttl_s: u64,
    /// Sessions a minute that one address may begin.
    #[schemars(range(min = 1, max = 6000))]
    pub sessions_per_minute: u32,
    /// Frames a second of one session that are looked at; more are dropped.
    #[schemars(range(min = 2, max = 30))]
    pub session_fps: u32,
    /// Seconds for which a verification token can be redeemed, once.
    #[schemars(range(min = 5, max = 3600))]
    pub token_ttl_s: u64,
    /// Hours after which a login ends; without use it ends after a twelfth of that.
    #[schemars(range(min = 1, max = 168))]
    pub login_hours: u64,
    /// Greatest upload of pictures, in megabytes.
    #[schemars(range(min = 1, max = 64))]
    pub upload_mb: u64,
    /// Listeners for clients of other systems.
    pub compat: RawCompat,
}

impl Default for RawWeb {
    fn default() -> Self {
        RawWeb {
            enabled: false,
            listen: "0.0.0.0:8443".into(),
            tls: true,
            cert_file: None,
            key_file: None,
            names: Vec::new(),
            self_service: false,
            remote_unlock: false,
            opens_door: false,
            live_picture: false,
            max_sessions: 100,
            session_ttl_s: 120,
            sessions_per_minute: 30,
            session_fps: 10,
            token_ttl_s: 60,
            login_hours: 12,
            upload_mb: 16,
            compat: RawCompat::default(),
        }
    }
}

/// Section `[web]`, checked.
#[derive(Clone, Debug)]
pub struct WebConfig {
    /// `web.enabled`, default false.
    pub enabled: bool,
    /// `web.listen`, default `0.0.0.0:8443`.
    pub listen: SocketAddr,
    /// `web.tls`, default true; false only on loopback.
    pub tls: bool,
    /// `web.cert_file` and `web.key_file`; `None` is self-signed.
    pub own: Option<(PathBuf, PathBuf)>,
    /// `web.names`.
    pub names: Vec<String>,
    /// `web.self_service`, default false.
    pub self_service: bool,
    /// `web.remote_unlock`, default false.
    pub remote_unlock: bool,
    /// `web.opens_door`, default false; only with `challenge.mode = "always"`.
    pub opens_door: bool,
    /// `web.live_picture`, default false.
    pub live_picture: bool,
    /// `web.max_sessions`, default 100.
    pub max_sessions: usize,
    /// `web.session_ttl_s`, default 120.
    pub session_ttl: Duration,
    /// `web.sessions_per_minute`, default 30.
    pub sessions_per_minute: u32,
    /// `web.session_fps`, default 10.
    pub session_fps: u32,
    /// `web.token_ttl_s`, default 60.
    pub token_ttl: Duration,
    /// `web.login_hours`, default 12.
    pub login: Duration,
    /// `web.upload_mb` in bytes.
    pub upload_bytes: usize,
    /// `[web.compat]`.
    pub compat: CompatConfig,
}

pub(super) fn check(c: &mut Checker<'_>, raw: &Raw) {
    let web = &raw.web;
    match web.listen.parse::<SocketAddr>() {
        Err(_) => {
            c.fault("web.listen", format!("`{}` is not an address and a port, as in 0.0.0.0:8443", web.listen));
        }
        Ok(a) if !web.tls && !a.ip().is_loopback() => {
            let what = "plain HTTP is only for this machine: turn web.tls on, or listen on 127.0.0.1 behind a proxy";
            c.fault_between("web.tls", "web.listen", what);
        }
        Ok(_) => {}
    }
    if web.cert_file.is_some() != web.key_file.is_some() {
        c.fault_between("web.cert_file", "web.key_file", "certificate and key come together: set both or neither");
    }
    if web.opens_door && raw.challenge.mode != ChallengeMode::Always {
        c.fault_between(
            "web.opens_door",
            "challenge.mode",
            "a door that opens from afar needs challenge.mode = \"always\"",
        );
    }
    compat::check(c, raw);
    for name in &web.names {
        if !is_host(name) {
            c.fault("web.names", format!("`{name}` is neither the name of a host nor an address"));
        }
    }
}

/// What is allowed and should be known all the same: key, what it means, what to do.
#[must_use]
pub fn warnings(config: &Config) -> Vec<(&'static str, String, &'static str)> {
    let web = config.web();
    let mut all = Vec::new();
    if web.enabled && web.opens_door {
        let who = if web.self_service { "anybody who reaches the address" } else { "whoever has logged in" };
        let what = format!("web sessions open the door: {who} may try, with a camera that is not yours");
        all.push((
            "web.opens_door",
            what,
            "set it to false unless that is what you want; a virtual camera is seen by nobody",
        ));
    }
    all
}

/// Whether a certificate may name this.
fn is_host(name: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    name.parse::<IpAddr>().is_ok() || name.len() <= 253 && name.split('.').all(label)
}

pub(super) fn build(raw: &RawWeb) -> WebConfig {
    WebConfig {
        enabled: raw.enabled,
        listen: raw.listen.parse().unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8443))),
        tls: raw.tls,
        own: raw.cert_file.clone().zip(raw.key_file.clone()),
        names: raw.names.clone(),
        self_service: raw.self_service,
        remote_unlock: raw.remote_unlock,
        opens_door: raw.opens_door,
        live_picture: raw.live_picture,
        max_sessions: raw.max_sessions as usize,
        session_ttl: Duration::from_secs(raw.session_ttl_s),
        sessions_per_minute: raw.sessions_per_minute,
        session_fps: raw.session_fps,
        token_ttl: Duration::from_secs(raw.token_ttl_s),
        login: Duration::from_secs(raw.login_hours * 3600),
        upload_bytes: usize::try_from(raw.upload_mb << 20).unwrap_or(16 << 20),
        compat: compat::build(&raw.compat),
    }
}
