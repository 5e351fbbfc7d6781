//! What can happen, each variant with its pinned text. The envelope is [`super::record::Record`].

use super::ids::{PersonId, VisitId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a visit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// 1:N against the gallery; the only goal that opens a door.
    Identify,
    /// 1:1 against a named person or an uploaded target.
    Verify,
    /// Alive or not, whoever it is.
    Liveness,
}

/// What the person in front is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The goal was reached.
    Granted,
    /// Refused, and charged to the lockout.
    Denied,
    /// No decision was possible; never charged.
    TryAgain,
}

/// Why a visit did not end in `granted`. For the journal and the administrator, never for the person at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    NoMatch,
    AmbiguousMatch,
    Spoof,
    Injection,
    /// A wrong action, or one that came before its prompt could be seen.
    ChallengeFailed,
    /// The window of an action was over.
    ChallengeTimeout,
    /// The match after the last action names another person.
    ChallengeMismatch,
    /// The track or the face changed during the visit.
    FaceChanged,
    OutsideSchedule,
    Expired,
    AntiPassback,
    LockedOut,
    SecondFactor,
    TwoPerson,
    Lockdown,
    RelayFault,
    RelayRate,
    JournalFailed,
    /// The access panel that opens this door could not be told, or the person has no number that it knows.
    Panel,
    // From here on `try_again`.
    PoorQuality,
    SeveralFaces,
    /// Frames too old or too rare to decide on.
    Degraded,
    NoFace,
    Stopped,
    CameraChanged,
}

impl Reason {
    /// What the person in front is told for this reason.
    #[must_use]
    pub const fn verdict(self) -> Verdict {
        match self {
            Reason::PoorQuality
            | Reason::SeveralFaces
            | Reason::Degraded
            | Reason::NoFace
            | Reason::Stopped
            | Reason::CameraChanged => Verdict::TryAgain,
            _ => Verdict::Denied,
        }
    }
}

/// What made frames implausible, beside [`Reason::Injection`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Whole pictures came twice.
    DuplicateFrames,
    /// Numbers or times of capture went backwards.
    FrameOrder,
    /// More frames a second than a camera delivers.
    FrameRate,
    /// A face without a sensor's noise: pixel for pixel that of the frame before.
    FrozenFace,
}

/// A thing that a person can be asked to do. Left and right are the person's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Blink,
    TurnLeft,
    TurnRight,
    Centre,
    Smile,
    MouthOpen,
    BrowRaise,
    WinkLeft,
    WinkRight,
    Tongue,
    Nod,
}

impl Action {
    /// The name used on the command line, in JSON and in configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Action::Blink => "blink",
            Action::TurnLeft => "turn_left",
            Action::TurnRight => "turn_right",
            Action::Centre => "centre",
            Action::Smile => "smile",
            Action::MouthOpen => "mouth_open",
            Action::BrowRaise => "brow_raise",
            Action::WinkLeft => "wink_left",
            Action::WinkRight => "wink_right",
            Action::Tongue => "tongue",
            Action::Nod => "nod",
        }
    }

    /// All of them, in the order of the contract.
    pub const ALL: [Action; 11] = [
        Action::Blink,
        Action::TurnLeft,
        Action::TurnRight,
        Action::Centre,
        Action::Smile,
        Action::MouthOpen,
        Action::BrowRaise,
        Action::WinkLeft,
        Action::WinkRight,
        Action::Tongue,
        Action::Nod,
    ];

    /// Built as well as the networks allow, never measured on labelled clips, of no known value against a photo.
    #[must_use]
    pub const fn is_experimental(self) -> bool {
        matches!(self, Action::BrowRaise | Action::WinkLeft | Action::WinkRight | Action::Tongue)
    }

    /// `turn_left`, or `blink:2` for twice; only a blink is asked for more than once, at most nine times.
    #[must_use]
    pub fn with_times(word: &str) -> Option<(Action, u8)> {
        let (name, times) = word.split_once(':').unwrap_or((word, "1"));
        let action = Action::from_name(name.trim())?;
        let times: u8 = times.trim().parse().ok().filter(|n| (1..=9).contains(n))?;
        (times == 1 || action == Action::Blink).then_some((action, times))
    }

    /// The action of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Action> {
        Action::ALL.into_iter().find(|a| a.name() == name)
    }
}

/// Why the relay line changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EdgeCause {
    Start,
    Grant,
    Deadline,
    Eof,
    Heartbeat,
    Term,
    Lock,
    DoorOpen,
    Fault,
    /// The key switch holds the door unlocked, by leases.
    HoldOpen,
}

impl EdgeCause {
    /// The word in the edges file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            EdgeCause::Start => "start",
            EdgeCause::Grant => "grant",
            EdgeCause::Deadline => "deadline",
            EdgeCause::Eof => "eof",
            EdgeCause::Heartbeat => "heartbeat",
            EdgeCause::Term => "term",
            EdgeCause::Lock => "lock",
            EdgeCause::DoorOpen => "door_open",
            EdgeCause::Fault => "fault",
            EdgeCause::HoldOpen => "hold_open",
        }
    }
}

/// What an opening of the door is put down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpenedBy {
    /// Somebody who was let in.
    Grant,
    /// The exit button.
    Exit,
    /// The key switch that holds the door unlocked.
    HoldOpen,
    /// A command from afar that released the lock.
    Command,
    /// It was open when the contact was first read.
    Start,
    /// Nothing: the opening is also `door.forced`.
    Unknown,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Event {
    #[serde(rename = "visit.started")]
    VisitStarted { visit: VisitId, goal: Goal },
    /// An action was asked for; `step` counts from 1.
    #[serde(rename = "visit.prompted")]
    VisitPrompted { visit: VisitId, action: Action, step: u8, of: u8 },
    #[serde(rename = "visit.ended")]
    VisitEnded {
        visit: VisitId,
        goal: Goal,
        verdict: Verdict,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        reason: Option<Reason>,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        person: Option<PersonId>,
        /// What made an `injection` one.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        cause: Option<Cause>,
        /// Of a refusal the gates that did not pass: `fail`, or `wait` when nothing was seen that would answer.
        #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
        gates: BTreeMap<String, String>,
        /// From the first frame of the visit to the verdict.
        duration_ms: u64,
    },
    #[serde(rename = "access.granted")]
    AccessGranted {
        visit: VisitId,
        person: PersonId,
        door: String,
        decision_ms: u64,
        /// False with a pack that has no PAD network: then only the challenge spoke for life.
        passive_pad: bool,
    },
    #[serde(rename = "access.denied")]
    AccessDenied {
        visit: VisitId,
        reason: Reason,
        door: String,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        person: Option<PersonId>,
        /// Which rule objected, in an administrator's words.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        rule: Option<String>,
        decision_ms: u64,
    },
    /// Somebody who waited for a second person goes along with the visit `with`.
    #[serde(rename = "access.paired")]
    AccessPaired { visit: VisitId, person: PersonId, with: VisitId },
    /// A visit ended well at a door that an access panel opens: the panel is told, and decides.
    #[serde(rename = "access.reported")]
    AccessReported { visit: VisitId, person: PersonId, door: String, via: String, decision_ms: u64, passive_pad: bool },
    /// The person's card number went to the panel; `confirmed` where the panel says that it has taken it.
    #[serde(rename = "panel.sent")]
    PanelSent { visit: VisitId, via: String, confirmed: bool },
    /// It did not, and will not.
    #[serde(rename = "panel.dropped")]
    PanelDropped { visit: VisitId, via: String, what: String },
    /// `at_ns` is CLOCK_MONOTONIC on the guard's side.
    #[serde(rename = "relay.energised")]
    RelayEnergised {
        #[serde(skip_serializing_if = "Option::is_none", default)]
        visit: Option<VisitId>,
        at_ns: u64,
        cause: EdgeCause,
    },
    #[serde(rename = "relay.released")]
    RelayReleased {
        #[serde(skip_serializing_if = "Option::is_none", default)]
        visit: Option<VisitId>,
        at_ns: u64,
        cause: EdgeCause,
    },
    /// A second grant came while the line was active: no second pulse, no extension.
    #[serde(rename = "relay.coalesced")]
    RelayCoalesced { visit: VisitId },
    /// `visit` is that of the grant which this opening is the outcome of.
    #[serde(rename = "door.opened")]
    DoorOpened {
        by: OpenedBy,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        visit: Option<VisitId>,
    },
    #[serde(rename = "door.closed")]
    DoorClosed { open_ms: u64 },
    #[serde(rename = "door.forced")]
    DoorForced {},
    /// Open for longer than it should be; first as a warning.
    #[serde(rename = "door.held")]
    DoorHeld { open_ms: u64, warning: bool },
    /// Nobody came through after this grant.
    #[serde(rename = "door.unused")]
    DoorUnused { visit: VisitId },
    /// The key switch that holds the door unlocked was turned, or a command or the office hours
    /// asked for it or ended.
    #[serde(rename = "door.hold_open")]
    DoorHoldOpen { active: bool },
    #[serde(rename = "door.exit_requested")]
    DoorExitRequested {},
    #[serde(rename = "command.accepted")]
    CommandAccepted { id: String, command: String, via: String },
    #[serde(rename = "command.rejected")]
    CommandRejected {
        id: String,
        command: String,
        via: String,
        error: String,
        /// In a flood: so many were refused that got no record of their own; `error` is the last one's.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        count: Option<u64>,
    },
    #[serde(rename = "person.enrolled")]
    PersonEnrolled { person: PersonId, templates: u32 },
    /// Somebody who was let in by this visit got templates of the network that is to come next; `model` is its digest.
    #[serde(rename = "person.relearned")]
    PersonRelearned { person: PersonId, visit: VisitId, templates: u32, model: String },
    /// An enrolment that was asked for from afar ended without one; `reason` is a word of the answer's `result`.
    #[serde(rename = "person.not_enrolled")]
    PersonNotEnrolled { person: PersonId, reason: String, poses: u32 },
    /// What a person cannot do and is not asked for.
    #[serde(rename = "person.limits")]
    PersonLimits { person: PersonId, cannot: Vec<Action> },
    /// What is known of a person beside the face was changed. Neither PIN nor card stands here.
    #[serde(rename = "person.rules")]
    PersonRules {
        person: PersonId,
        groups: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        valid_from: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        valid_to: Option<String>,
        pin: bool,
        card: bool,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        consent: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        expires: Option<String>,
    },
    /// A person's time is over: the templates are compared with nobody any more.
    #[serde(rename = "person.expired")]
    PersonExpired { person: PersonId, expired: String },
    #[serde(rename = "person.removed")]
    PersonRemoved { person: PersonId },
    /// Somebody was removed here because a signer of the site has revoked them; `by` is its label.
    #[serde(rename = "person.revoked")]
    PersonRevoked { person: PersonId, by: String },
    /// The people here follow the site's directory: so many came or changed, so many went.
    #[serde(rename = "site.updated")]
    SiteUpdated { changed: u64, removed: u64 },
    /// What changed here was signed for the site, as this version of this terminal's book.
    #[serde(rename = "site.signed")]
    SiteSigned { version: u64, people: u64, revoked: u64 },
    /// The rules of the site hold here; `sha256` is that of the file.
    #[serde(rename = "site.rules")]
    SiteRules { sha256: String, by: String },
    /// The rules file was read anew and holds from now on; `sha256` is that of its text.
    #[serde(rename = "system.rules")]
    SystemRules { sha256: String },
    /// The rules file was to be read anew, and what held before still does.
    #[serde(rename = "alarm.rules")]
    AlarmRules { what: String },
    /// A grant without an edge, or a line that does not follow.
    #[serde(rename = "alarm.relay")]
    AlarmRelay { what: String },
    /// The guard is gone, or cannot be reached.
    #[serde(rename = "alarm.guard")]
    AlarmGuard { what: String },
    /// The camera is lost, frozen, or another one than before.
    #[serde(rename = "alarm.camera")]
    AlarmCamera { what: String },
    /// Too many failures: the door does not decide until the time is over.
    #[serde(rename = "alarm.lockout")]
    AlarmLockout {
        failures: u32,
        seconds: u64,
        /// In whose name the failures were; without it the whole door does not decide.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        person: Option<PersonId>,
    },
    /// Somebody was forced to open: silent, nothing at the door tells.
    #[serde(rename = "alarm.duress")]
    AlarmDuress { visit: VisitId, person: PersonId },
    /// Attack presentation seen.
    #[serde(rename = "alarm.spoof")]
    AlarmSpoof { visit: VisitId },
    /// The housing was opened (`active`) or closed.
    #[serde(rename = "alarm.tamper")]
    AlarmTamper { active: bool },
    /// Contact, exit button, tamper or key switch cannot be read.
    #[serde(rename = "alarm.inputs")]
    AlarmInputs { what: String },
    /// The access panel is gone, or there is no secure channel to it: nothing is sent.
    #[serde(rename = "alarm.panel")]
    AlarmPanel { what: String },
    #[serde(rename = "alarm.clock")]
    AlarmClock { jump_ms: i64 },
    #[serde(rename = "alarm.disk")]
    AlarmDisk { what: String },
    #[serde(rename = "alarm.models")]
    AlarmModels { what: String },
    /// A message of the site's directory was refused: `cause` is forged, rolled_back, foreign, forked, unknown_signer,
    /// unreadable, malformed or too_large; or the directory cannot be followed (`fault`).
    #[serde(rename = "alarm.site")]
    AlarmSite {
        what: String,
        cause: String,
        /// In a flood: so many more were refused without a record of their own.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        count: Option<u64>,
    },
    #[serde(rename = "system.started")]
    SystemStarted {
        version: String,
        pack: String,
        precision: String,
        passive_pad: bool,
        /// Settings under `[insecure]` that are in force.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        insecure: Vec<String>,
    },
    #[serde(rename = "system.stopped")]
    SystemStopped {},
    #[serde(rename = "system.ready")]
    SystemReady {},
    /// The camera delivers again.
    #[serde(rename = "system.camera")]
    SystemCamera { what: String },
    /// The guard is there again.
    #[serde(rename = "system.guard")]
    SystemGuard { what: String },
    /// The door's inputs can be read again.
    #[serde(rename = "system.inputs")]
    SystemInputs { what: String },
    /// The access panel is there, or there again.
    #[serde(rename = "system.panel")]
    SystemPanel { what: String },
    /// A setting under `[insecure]` is in force; repeated at every start.
    #[serde(rename = "system.insecure")]
    SystemInsecure { setting: String },
    #[serde(rename = "system.broker")]
    SystemBroker { connected: bool },
    /// The disk has room again after `alarm.disk`.
    #[serde(rename = "system.disk")]
    SystemDisk { what: String },
    /// The oldest records were let go: there were more than `store.keep_records`. `hash` is that of the last of them, so
    /// that the chain goes on over the gap.
    #[serde(rename = "system.log_gap")]
    SystemLogGap { first: u64, last: u64, hash: String },
    /// Somebody used the console or the API for more than looking: who, what, on what (empty without an object).
    #[serde(rename = "system.admin")]
    SystemAdmin {
        by: String,
        action: String,
        #[serde(skip_serializing_if = "String::is_empty", default)]
        object: String,
    },
    /// A web client began a visit; its end is `visit.ended` of the same number.
    #[serde(rename = "session.started")]
    SessionStarted { visit: VisitId, goal: Goal, by: String },
    /// The visit of a web session was granted and is put to the door's rules, because `web.opens_door` is on; what they say
    /// is `access.granted` or `access.denied` of the same number. `source` is `web`.
    #[serde(rename = "session.door")]
    SessionDoor { visit: VisitId, source: String },
}

impl Event {
    /// The `type` of the record.
    #[must_use]
    pub fn kind(&self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(o)) => o.get("type").and_then(|t| t.as_str()).unwrap_or_default().to_owned(),
            _ => String::new(),
        }
    }
}
