//! Logs: to journald with fields under systemd, else to standard error. Standard output belongs to JSON.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Where logs went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    Journald,
    Stderr,
    /// Somebody in this process had set logging up already.
    AlreadySet,
}

/// Sets logging up once. `level` is one of error, warn, info, debug, trace.
pub fn start(level: &str) -> Sink {
    let filter = EnvFilter::try_new(format!("{level},ort=warn,rustls=warn")).unwrap_or_else(|_| EnvFilter::new("info"));
    // JOURNAL_STREAM is set by systemd for processes whose output goes to the journal.
    let journal = std::env::var_os("JOURNAL_STREAM").and_then(|_| journald());
    let registry = tracing_subscriber::registry().with(filter);
    let (set, sink) = match journal {
        Some(layer) => (registry.with(layer).try_init(), Sink::Journald),
        None => {
            let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
            (registry.with(layer).try_init(), Sink::Stderr)
        }
    };
    if set.is_ok() { sink } else { Sink::AlreadySet }
}

/// Fields become `CARDEA_*` in the journal; `None` where no journald listens.
pub fn journald() -> Option<tracing_journald::Layer> {
    let layer = tracing_journald::layer().ok()?;
    Some(layer.with_field_prefix(Some("CARDEA".into())).with_syslog_identifier("cardea".into()))
}
