//! What pages about the terminal itself are made of: measured error rates, times of networks, the rules in force.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A kept result of `cardea eval`. Of a file that cannot be read only `name` and `problem` are there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Evaluation {
    /// Of the file, without its ending.
    pub name: String,
    /// When it was measured.
    pub at: Option<String>,
    pub pack: Option<String>,
    pub precision: Option<String>,
    /// What is wrong with the file.
    pub problem: Option<String>,
    pub faces: Option<FaceRates>,
    pub gallery: Option<GalleryRates>,
    pub pad: Option<PadRates>,
}

/// Comparisons one by one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FaceRates {
    /// Comparisons of the same person.
    pub genuine: u64,
    /// Comparisons of two people.
    pub impostor: u64,
    /// Rate at which both errors are equally frequent.
    pub eer: Option<f64>,
    /// By the rate of false matches, `1e-4`.
    #[schema(value_type = Object)]
    pub fnmr_at_fmr: std::collections::BTreeMap<String, Option<AtRate>>,
    /// The threshold rises.
    #[serde(default)]
    pub det: Vec<DetPoint>,
    #[serde(default)]
    pub histogram: Option<Histogram>,
}

/// The rate of false non-matches at one rate of false matches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AtRate {
    pub fnmr: f64,
    /// Two-sided 95 % interval.
    pub lo: f64,
    pub hi: f64,
    pub threshold: f64,
    /// False with too few comparisons to show so small a rate.
    pub shown: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DetPoint {
    pub threshold: f64,
    /// False matches, 0 to 1.
    pub fmr: f64,
    /// False non-matches, 0 to 1.
    pub fnmr: f64,
}

/// Counts in classes of the same width.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Histogram {
    pub from: f64,
    pub to: f64,
    pub genuine: Vec<u64>,
    pub impostor: Vec<u64>,
}

/// Who is missed and who is let in, by the rule of the door.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GalleryRates {
    pub enrolled: u64,
    pub genuine_tries: u64,
    pub strangers: u64,
    pub strangers_accepted: u64,
    pub wrong_person: u64,
    pub fpir: f64,
    /// Upper end of the 95 % interval.
    pub fpir_hi: f64,
    pub fnir: f64,
    pub fnir_hi: f64,
    pub threshold: f64,
}

/// Attacks taken for live, live ones taken for attacks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PadRates {
    pub passive_pad: bool,
    pub groups: Vec<PadGroup>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PadGroup {
    pub source: String,
    /// `live`, or the kind of attack.
    pub species: String,
    /// `still` or `clip`.
    pub kind: String,
    pub n: u64,
    pub errors: u64,
    pub rate: f64,
    /// Two-sided 95 % interval.
    pub lo: f64,
    pub hi: f64,
}

/// How long one network took at the door.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct NetworkTimes {
    pub role: String,
    pub name: String,
    /// Runs that the figures are made of.
    pub runs: u64,
    /// Over the last five minutes, in milliseconds; null without a run.
    pub p50_ms: Option<f32>,
    pub p95_ms: Option<f32>,
    /// The same in steps of `step_s`, oldest first; the last one is not over yet.
    pub step_s: u32,
    pub p50: Vec<Option<f32>>,
    pub p95: Vec<Option<f32>>,
}

/// The rules in force, and of people only how many have what.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RulesShown {
    /// Of this terminal.
    pub door: String,
    /// IANA name.
    pub zone: String,
    /// `12-25`, `2026-04-03` or `2026-12-24/2027-01-01`.
    pub holidays: Vec<String>,
    pub schedules: Vec<ScheduleShown>,
    pub groups: Vec<GroupShown>,
    pub doors: Vec<DoorShown>,
    pub grants: Vec<GrantShown>,
    /// Within so many seconds two people come together.
    pub pair_window_s: u64,
    /// So long is waited for a second factor.
    pub factor_window_s: u64,
    pub people: u64,
    pub with_pin: u64,
    pub with_card: u64,
    /// Whether there is a PIN that opens and calls for help: everybody with a PIN has one.
    pub duress: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ScheduleShown {
    pub name: String,
    /// Monday first; `08:00-18:00`.
    pub days: Vec<Vec<String>>,
    /// `closed`, `as_usual` or `spans`.
    pub holiday: String,
    pub holiday_spans: Vec<String>,
    /// Whether it is open now; null while the clock may not be believed.
    pub open: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct GroupShown {
    pub name: String,
    /// `pin`, `card`, `pin or card`.
    pub second_factor: Vec<String>,
    /// Somebody else out of this group must come.
    pub two_person: Option<String>,
    pub people: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DoorShown {
    pub name: String,
    pub second_factor: Vec<String>,
    pub two_person: Option<String>,
    /// Nobody enters twice without having left; the time of the day at which that is forgotten, as `04:00`.
    pub anti_passback: Option<String>,
    /// The schedule during which the lock stays released.
    pub hold_open: Option<String>,
    /// Only after somebody was let in on that day.
    pub first_person: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct GrantShown {
    pub groups: Vec<String>,
    /// `*` is every door.
    pub doors: Vec<String>,
    /// A schedule, or `always`.
    pub when: String,
}

/// Who may pass a door at a moment.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct WhoCan {
    pub door: String,
    pub at: String,
    pub zone: String,
    pub people: Vec<MayPass>,
    pub others: Vec<MayNotPass>,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct MayPass {
    pub person: String,
    /// What must be shown or who must come beside the face.
    pub needs: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct MayNotPass {
    pub person: String,
    pub reason: String,
    /// Which rule, in words.
    pub rule: String,
}
