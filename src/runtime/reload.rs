//! The rules file, read anew while the door runs. A file with a fault changes nothing: what held before still does, the
//! journal says so, and the log names every fault as `cardea rules check` does.

use super::recorder::Recorder;
use super::rules::{FileSlot, FreshRules};
use crate::config::Config;
use crate::config::reread_rules;
use crate::schema::event::Event;
use std::sync::{Arc, PoisonError};

/// Most of a fault's text that stands in a record.
const LONGEST: usize = 300;

/// Reads it when it is asked to; the controller takes what was read between two looks.
pub struct RulesFile {
    config: Config,
    slot: FileSlot,
    recorder: Recorder,
}

impl RulesFile {
    /// The file that the configuration names.
    #[must_use]
    pub fn new(config: &Config, recorder: Recorder) -> Self {
        RulesFile { config: config.clone(), slot: FileSlot::default(), recorder }
    }

    /// Where what was read lies.
    #[must_use]
    pub fn slot(&self) -> FileSlot {
        self.slot.clone()
    }

    /// Reads and checks the whole file. Everything else in the configuration needs a restart.
    pub fn read_anew(&self) {
        let Some(path) = &self.config.rules().file else {
            tracing::warn!("asked to read the rules anew, but there is no rules.file; restart for anything else");
            return;
        };
        match reread_rules(&self.config, path) {
            Ok((book, sha256)) => {
                tracing::info!(file = %path.display(), sha256, "the rules were read anew");
                let fresh = FreshRules { book: Arc::new(book), sha256 };
                *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(fresh);
            }
            Err(faults) => {
                let told = faults.to_string();
                tracing::error!("the rules file is not taken, those before hold:\n{told}");
                let first = told.lines().next().unwrap_or_default();
                let what = format!("not taken, those before hold: {}", first.chars().take(LONGEST).collect::<String>());
                self.recorder.record(Event::AlarmRules { what });
            }
        }
    }
}
