//! `[web.compat]`: listeners that speak as the five systems did whose clients may be pointed at Cardea unchanged.
//!
//! Each has a port of its own, since their addresses and events collide. All are off unless the owner turns them on.

use super::check::Checker;
use super::fault::{Fault, Origin, Origins};
use super::raw::Raw;
use crate::schema::event::Action;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;

/// A system whose clients are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seed {
    /// Verification against an uploaded face, Socket.IO.
    S0,
    /// Face and spoof detection, plain WebSocket.
    S1,
    /// Liveness by steps, REST.
    S2,
    /// Liveness by steps, Socket.IO.
    S2ws,
    /// Liveness by steps, JSON over fetch.
    S3,
    /// Login by form and face.
    S4,
}

impl Seed {
    /// Every one, in the order of the file.
    pub const ALL: [Seed; 6] = [Seed::S0, Seed::S1, Seed::S2, Seed::S2ws, Seed::S3, Seed::S4];

    /// Name of its section under `[web.compat]`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Seed::S0 => "s0",
            Seed::S1 => "s1",
            Seed::S2 => "s2",
            Seed::S2ws => "s2ws",
            Seed::S3 => "s3",
            Seed::S4 => "s4",
        }
    }

    /// A key of its section, dotted.
    #[must_use]
    pub fn key(self, key: &str) -> String {
        format!("web.compat.{}.{key}", self.name())
    }
}

/// What all sections have.
struct Common<'a> {
    enabled: bool,
    listen: &'a str,
    tls: bool,
    cors: &'a [String],
    port_env: Option<&'a str>,
}

trait Section {
    fn common(&self) -> Common<'_>;
    fn listen(&mut self) -> &mut String;
}

/// One section: what all listeners have, then what only this one has.
macro_rules! section {
    ($name:ident, $listen:literal, $tls:literal, $cors:expr, {
        $($(#[doc = $doc:literal])+ $(#[schemars($($schema:tt)+)])? $key:ident: $ty:ty = $default:expr,)*
    }) => {
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            /// Whether this listener runs; it also needs `web.enabled`. Whoever reaches it may begin sessions.
            pub enabled: bool,
            /// Address and port.
            pub listen: String,
            /// HTTPS with the console's certificate. Plain HTTP off loopback needs `insecure.compat_plain_http`.
            pub tls: bool,
            /// Pages of which origins may call it, as `https://app.example.org`; `*` is any.
            pub cors_origins: Vec<String>,
            /// Name of an environment variable whose number, where it is set, replaces the port of `listen`.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schemars(example = &"PORT")]
            pub port_env: Option<String>,
            $($(#[doc = $doc])+ $(#[schemars($($schema)+)])? pub $key: $ty,)*
        }

        impl Section for $name {
            fn common(&self) -> Common<'_> {
                Common {
                    enabled: self.enabled,
                    listen: &self.listen,
                    tls: self.tls,
                    cors: &self.cors_origins,
                    port_env: self.port_env.as_deref(),
                }
            }
            fn listen(&mut self) -> &mut String {
                &mut self.listen
            }
        }

        impl Default for $name {
            fn default() -> Self {
                let cors: &[&str] = $cors;
                $name {
                    enabled: false,
                    listen: $listen.into(),
                    tls: $tls,
                    cors_origins: cors.iter().map(|o| (*o).to_owned()).collect(),
                    port_env: None,
                    $($key: $default,)*
                }
            }
        }
    };
}

const ANY: &[&str] = &["*"];

section!(RawS0, "127.0.0.1:5000", false, ANY, {});
section!(RawS1, "127.0.0.1:8000", false, ANY, {
    /// Sessions ask for a blink and a turn of the head; `POST /toggle-active-check` changes it for later sessions.
    active_check: bool = true,
});
section!(RawS2, "127.0.0.1:5002", false, ANY, {
    /// Always these actions in this order, as `["blink:2", "turn_left", "smile"]`. Empty: blinks, a turn and a movement of the face are drawn for each session.
    sequence: Vec<String> = Vec::new(),
    /// Minutes after which a session expires.
    #[schemars(range(min = 1, max = 60))]
    session_minutes: u64 = 10,
    /// Days for which the picture of a verified person stays in `verified_images` of the state directory; 0 stores none.
    #[schemars(range(min = 0, max = 365))]
    store_pictures_days: u64 = 0,
});
section!(RawS2ws, "127.0.0.1:5001", false, ANY, {
    /// Always these actions in this order, as `["turn_left", "blink:2"]`. Empty: a turn to each side and blinks, in a drawn order.
    sequence: Vec<String> = Vec::new(),
    /// How often a drawn blink is asked for.
    #[schemars(range(min = 1, max = 9))]
    blinks: u32 = 2,
});
section!(RawS3, "127.0.0.1:5555", true, ANY, {
    /// Its pages send mirror images; left and right are the person's either way.
    mirrored: bool = false,
});
section!(RawS4, "127.0.0.1:5003", false, &[], {});

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawCompat {
    /// For clients of a Flask-SocketIO server that compares a face with an uploaded picture.
    pub s0: RawS0,
    /// For clients of a FastAPI server that judges frames over a WebSocket.
    pub s1: RawS1,
    /// For clients of a REST server that asks for steps.
    pub s2: RawS2,
    /// For clients of the same over Socket.IO.
    pub s2ws: RawS2ws,
    /// For pages that send frames as JSON and say themselves which step is next.
    pub s3: RawS3,
    /// Login by name, password and face.
    pub s4: RawS4,
}

impl RawCompat {
    fn section(&self, seed: Seed) -> Common<'_> {
        match seed {
            Seed::S0 => self.s0.common(),
            Seed::S1 => self.s1.common(),
            Seed::S2 => self.s2.common(),
            Seed::S2ws => self.s2ws.common(),
            Seed::S3 => self.s3.common(),
            Seed::S4 => self.s4.common(),
        }
    }

    fn listen(&mut self, seed: Seed) -> &mut String {
        match seed {
            Seed::S0 => self.s0.listen(),
            Seed::S1 => self.s1.listen(),
            Seed::S2 => self.s2.listen(),
            Seed::S2ws => self.s2ws.listen(),
            Seed::S3 => self.s3.listen(),
            Seed::S4 => self.s4.listen(),
        }
    }
}

/// Replaces ports by the numbers of the variables that `port_env` names; one that is not set leaves its port.
pub(super) fn ports(raw: &mut RawCompat, env: &[(String, String)], origins: &mut Origins, faults: &mut Vec<Fault>) {
    for seed in Seed::ALL {
        let Some(name) = raw.section(seed).port_env.map(str::to_owned) else { continue };
        let Some((_, text)) = env.iter().find(|(n, _)| *n == name) else { continue };
        let key = seed.key("listen");
        let origin = Origin::Env(name);
        match (text.trim().parse::<u16>(), raw.section(seed).listen.parse::<SocketAddr>()) {
            (Ok(port), Ok(mut listen)) if port > 0 => {
                listen.set_port(port);
                *raw.listen(seed) = listen.to_string();
                origins.insert(key, origin);
            }
            // An address that is none is a fault of its own.
            (Ok(1..), Err(_)) => {}
            _ => faults.push(Fault::at(&origin, key, format!("`{text:.20}` is not a port from 1 to 65535"))),
        }
    }
}

/// A listener that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub seed: Seed,
    /// `listen`, with the port of `port_env` where that is set.
    pub listen: SocketAddr,
    /// `tls`.
    pub tls: bool,
    /// `cors_origins`.
    pub cors: Cors,
}

/// Pages of which origins may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cors {
    Any,
    /// As browsers write them in `Origin`; empty is none.
    Of(Vec<String>),
}

impl Cors {
    /// Whether a page of this origin may call.
    #[must_use]
    pub fn allows(&self, origin: &str) -> bool {
        match self {
            Cors::Any => true,
            Cors::Of(all) => all.iter().any(|o| o.eq_ignore_ascii_case(origin)),
        }
    }
}

/// Section `[web.compat]`, checked.
#[derive(Clone, Debug)]
pub struct CompatConfig {
    /// Those with `enabled`, in the order of [`Seed::ALL`].
    pub listeners: Vec<Listener>,
    /// `web.compat.s1.active_check`, default true.
    pub s1_active_check: bool,
    /// `web.compat.s2.sequence` with the number of times; empty draws.
    pub s2_sequence: Vec<(Action, u8)>,
    /// `web.compat.s2.session_minutes`, default 10.
    pub s2_session: Duration,
    /// `web.compat.s2.store_pictures_days`, default 0: none is stored.
    pub s2_store: Option<Duration>,
    /// `web.compat.s2ws.sequence` with the number of times; empty draws.
    pub s2ws_sequence: Vec<(Action, u8)>,
    /// `web.compat.s2ws.blinks`, default 2.
    pub s2ws_blinks: u8,
    /// `web.compat.s3.mirrored`, default false.
    pub s3_mirrored: bool,
}

impl CompatConfig {
    /// The listener of a seed, if it runs.
    #[must_use]
    pub fn listener(&self, seed: Seed) -> Option<&Listener> {
        self.listeners.iter().find(|l| l.seed == seed)
    }
}

pub(super) fn check(c: &mut Checker<'_>, raw: &Raw) {
    let mut taken: Vec<(SocketAddr, String)> = Vec::new();
    if let (true, Ok(console)) = (raw.web.enabled, raw.web.listen.parse()) {
        taken.push((console, "web.listen".into()));
    }
    for seed in Seed::ALL {
        let s = raw.web.compat.section(seed);
        let key = seed.key("listen");
        let address = s.listen.parse::<SocketAddr>();
        match address {
            Err(_) => c.fault(&key, format!("`{}` is not an address and a port, as in 127.0.0.1:5000", s.listen)),
            Ok(a) if s.enabled && !s.tls && !a.ip().is_loopback() && !raw.insecure.compat_plain_http => {
                let what = "plain HTTP is only for this machine: turn its tls on, listen on 127.0.0.1 behind a proxy, \
                            or set insecure.compat_plain_http = true";
                c.fault_between(&key, &seed.key("tls"), what);
            }
            Ok(_) => {}
        }
        if s.enabled && !raw.web.enabled {
            c.fault_between(&seed.key("enabled"), "web.enabled", "needs web.enabled = true: sessions are part of it");
        }
        for origin in s.cors.iter().filter(|o| *o != "*" && !is_origin(o)) {
            c.fault(&seed.key("cors_origins"), format!("`{origin}` is no origin, as in https://app.example.org"));
        }
        if let (true, Ok(a)) = (s.enabled, address) {
            if let Some((_, other)) = taken.iter().find(|(t, _)| *t == a && a.port() != 0) {
                c.fault(&key, format!("{other} has {a} already"));
            }
            taken.push((a, key));
        }
    }
    let (s2, s2ws) = (&raw.web.compat.s2.sequence, &raw.web.compat.s2ws.sequence);
    for (key, sequence) in [("web.compat.s2.sequence", s2), ("web.compat.s2ws.sequence", s2ws)] {
        for word in sequence.iter().filter(|w| Action::with_times(w).is_none()) {
            c.fault(key, format!("`{word}` is no action; as in turn_left or blink:2"));
        }
        if sequence.len() > 12 {
            c.fault(key, "has more than 12 actions");
        }
    }
}

/// Scheme, host and perhaps a port, without a path, as browsers write it.
fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|host| !host.is_empty() && host.chars().all(|ch| ch.is_ascii_graphic() && !"/?#@*".contains(ch)))
}

pub(super) fn build(raw: &RawCompat) -> CompatConfig {
    let listener = |seed: Seed| {
        let s = raw.section(seed);
        let any = s.cors.iter().any(|o| o == "*");
        s.enabled.then(|| Listener {
            seed,
            listen: s.listen.parse().unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0))),
            tls: s.tls,
            cors: if any { Cors::Any } else { Cors::Of(s.cors.to_vec()) },
        })
    };
    CompatConfig {
        listeners: Seed::ALL.into_iter().filter_map(listener).collect(),
        s1_active_check: raw.s1.active_check,
        s2_sequence: raw.s2.sequence.iter().filter_map(|w| Action::with_times(w)).collect(),
        s2_session: Duration::from_secs(raw.s2.session_minutes * 60),
        s2_store: Some(Duration::from_hours(raw.s2.store_pictures_days * 24)).filter(|d| !d.is_zero()),
        s2ws_sequence: raw.s2ws.sequence.iter().filter_map(|w| Action::with_times(w)).collect(),
        s2ws_blinks: u8::try_from(raw.s2ws.blinks).unwrap_or(2),
        s3_mirrored: raw.s3.mirrored,
    }
}
