//! Logs: to journald with fields under systemd, else to standard error. Standard output belongs to JSON.

use crate::schema::record::rfc3339;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Mutex;
use tracing::field::{Field, Visit};
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
    let registry = tracing_subscriber::registry().with(filter).with(Ring);
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

/// Lines that the console can show.
const KEPT: usize = 400;
/// Characters of one of them.
const LONGEST: usize = 500;

/// Logging is one for the process, and so are its newest lines.
static RECENT: Mutex<VecDeque<(String, String, String)>> = Mutex::new(VecDeque::new());

/// Time, level and text of the newest lines, oldest first.
#[must_use]
pub fn recent() -> Vec<(String, String, String)> {
    RECENT.lock().expect("log mutex: no holder panics").iter().cloned().collect()
}

/// Keeps the newest lines for the console.
struct Ring;

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Ring {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let text: String = format!("{}{}", line.message, line.fields).chars().take(LONGEST).collect();
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let time = rfc3339(i64::try_from(unix.as_millis()).unwrap_or(0));
        let mut recent = RECENT.lock().expect("log mutex: no holder panics");
        if recent.len() == KEPT {
            recent.pop_front();
        }
        recent.push_back((time, event.metadata().level().to_string().to_lowercase(), text));
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _never = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}
