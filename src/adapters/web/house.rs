//! What the web server needs of the rest of the terminal, in one trait; the runtime carries it out.

use super::shown::{Evaluation, NetworkTimes, RulesShown, WhoCan};
use crate::ports::{PersonSummary, PortError, Stored};
use crate::schema::event::Event;
use crate::schema::health::Health;
use crate::schema::ids::PersonId;
use serde::Serialize;
use utoipa::ToSchema;

/// One network in use.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ModelRow {
    pub role: String,
    pub name: String,
    pub file: String,
    pub sha256: String,
    pub precision: String,
    pub licence: String,
}

/// One key of the configuration in force.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SettingRow {
    pub key: String,
    /// As TOML writes it.
    pub value: String,
    /// File and line, variable, argument, or `built-in default`; of `next` where there is one.
    pub origin: String,
    pub description: String,
    /// Whether it may be changed from here.
    pub editable: bool,
    /// `integer`, `number`, `boolean`, `string` or `array`.
    pub kind: String,
    /// All values, where they can be listed.
    pub choices: Vec<String>,
    /// Least and greatest value of a number; else empty.
    pub range: Vec<f64>,
    /// What comes with the next start, where that is something else.
    pub next: Option<String>,
    /// It comes from the console's own file.
    pub own: bool,
}

/// One key whose new value cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct WrongField {
    /// Empty where it is not about one key.
    pub key: String,
    pub what: String,
}

/// Why settings were not changed.
#[derive(Debug)]
pub enum NotSet {
    /// All that is wrong.
    Wrong(Vec<WrongField>),
    /// It could not be recorded or written.
    Failed(PortError),
}

/// What became of the door's frames since the start, and how web sessions made way for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct DoorCounts {
    /// Frames of the door's camera.
    pub frames_total: u64,
    /// Delivered broken.
    pub frames_torn_total: u64,
    /// Replaced by a newer one before the door had time for them.
    pub frames_replaced_total: u64,
    /// Taken up by the door.
    pub frames_taken_total: u64,
    /// Of these, taken up while a piece of a web picture was under way: decoding, or one network's run.
    pub frames_beside_web_total: u64,
    /// How long frames and pieces were under way together.
    pub beside_web_seconds_total: f64,
    /// Pieces of web pictures that were begun although the door had a frame.
    pub frames_overtaken_total: u64,
    pub web_pieces_total: u64,
    /// Pieces that waited for the door, and how long.
    pub web_pieces_yielded_total: u64,
    pub web_yielded_seconds_total: f64,
}

/// One line of the log.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LogLine {
    pub time: String,
    pub level: String,
    pub text: String,
}

/// Why the door was not opened by hand.
#[derive(Clone, Debug)]
pub struct NotOpened {
    /// A stable word: `lockdown`, `rate`, `unavailable`.
    pub code: &'static str,
    pub detail: String,
}

/// The terminal around the web server. Every call may block; none panics.
pub trait House: Send + Sync {
    /// Everybody's name and number of templates.
    ///
    /// # Errors
    /// The store cannot be read.
    fn people(&self) -> Result<Vec<PersonSummary>, PortError>;

    /// Removes somebody with all templates and records it; false when there is no such person.
    ///
    /// # Errors
    /// Nothing was removed.
    fn remove(&self, id: &PersonId) -> Result<bool, PortError>;

    /// Up to `limit` records after `seq`, oldest first.
    ///
    /// # Errors
    /// The journal cannot be read.
    fn events(&self, after: u64, limit: usize) -> Result<Vec<Stored>, PortError>;

    /// Sequence number of the newest record; 0 without any.
    fn newest(&self) -> u64;

    /// The terminal's judgement of itself.
    fn health(&self) -> Health;

    /// Writes a record; it is on the disk on return.
    ///
    /// # Errors
    /// It is not.
    fn commit(&self, event: Event) -> Result<u64, PortError>;

    /// What became of the door's frames.
    fn door(&self) -> DoorCounts;

    /// Prometheus text.
    fn metrics(&self) -> String;

    fn models(&self) -> Vec<ModelRow>;

    /// Kept results of `cardea eval`.
    fn evaluations(&self) -> Vec<Evaluation>;

    /// How long the door's networks take.
    fn network_times(&self) -> Vec<NetworkTimes>;

    /// Degrees Celsius, where the machine tells.
    fn processor_celsius(&self) -> Option<f32>;

    /// The rules in force.
    ///
    /// # Errors
    /// What is known of people cannot be read.
    fn rules(&self) -> Result<RulesShown, PortError>;

    /// Who may pass a door at a moment, by the rules in force; `Err` inside says what was asked for wrongly.
    ///
    /// # Errors
    /// What is known of people cannot be read.
    fn who_can(&self, door: &str, at: &str) -> Result<Result<WhoCan, String>, PortError>;

    /// The configuration in force, without what is secret.
    fn settings(&self) -> Vec<SettingRow>;

    /// Changes settings for the next start, each on record with who, old and new; `None` takes a key out of the console's
    /// file. Returns the keys whose values changed.
    ///
    /// # Errors
    /// Nothing was changed.
    fn change_settings(&self, by: &str, changes: &[(String, Option<toml::Value>)]) -> Result<Vec<String>, NotSet>;

    /// The newest lines of the log, oldest first.
    fn logs(&self) -> Vec<LogLine>;

    /// Opens the door once; `id` stands in its record, whose number is returned.
    ///
    /// # Errors
    /// Why it stays shut.
    fn unlock(&self, id: &str) -> Result<u64, NotOpened>;
}
