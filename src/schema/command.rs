//! What may be asked of a terminal from afar, what it answers, and what it must not forget of it. How a payload is read
//! and signed is in [`super::request`].

use super::ids::PersonId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Longest payload of a command, in bytes.
pub const MAX_PAYLOAD: usize = 4 * 1024;
/// Most groups that `enroll` puts somebody into.
pub const MAX_GROUPS: usize = 16;
/// Most records that one `replay` sends.
pub const MAX_REPLAY: u32 = 100_000;

/// The commands, by their topic's last level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommandName {
    /// Releases the lock for one pulse.
    Unlock,
    /// Ends a `hold` and a pulse.
    Lock,
    /// Keeps the lock released until a time.
    Hold,
    /// Lets nobody in until `release`, over restarts too.
    Lockdown,
    /// Ends a `lockdown`.
    Release,
    /// Adds a person who stands before the door's camera.
    Enroll,
    /// Removes a person.
    Remove,
    /// States, health and discovery anew.
    Sync,
    /// A picture of now.
    Snapshot,
    /// An answer, nothing else.
    Ping,
    /// Records after a number, once more.
    Replay,
}

impl CommandName {
    /// All of them.
    pub const ALL: [CommandName; 11] = [
        CommandName::Unlock,
        CommandName::Lock,
        CommandName::Hold,
        CommandName::Lockdown,
        CommandName::Release,
        CommandName::Enroll,
        CommandName::Remove,
        CommandName::Sync,
        CommandName::Snapshot,
        CommandName::Ping,
        CommandName::Replay,
    ];

    /// The word in topics, records and answers.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            CommandName::Unlock => "unlock",
            CommandName::Lock => "lock",
            CommandName::Hold => "hold",
            CommandName::Lockdown => "lockdown",
            CommandName::Release => "release",
            CommandName::Enroll => "enroll",
            CommandName::Remove => "remove",
            CommandName::Sync => "sync",
            CommandName::Snapshot => "snapshot",
            CommandName::Ping => "ping",
            CommandName::Replay => "replay",
        }
    }

    /// The command of that word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<CommandName> {
        CommandName::ALL.into_iter().find(|c| c.word() == word)
    }

    /// Opens the door, or lets more people through it: such a command is never taken without a signature.
    #[must_use]
    pub const fn opens(self) -> bool {
        matches!(self, CommandName::Unlock | CommandName::Hold | CommandName::Release | CommandName::Enroll)
    }

    /// Is never taken without a signature: what opens, and what shows who is at the door.
    #[must_use]
    pub const fn is_signed(self) -> bool {
        self.opens() || matches!(self, CommandName::Snapshot)
    }

    /// Changes something, or lets a picture out: such a command needs `at` and `expires`, and works once.
    #[must_use]
    pub const fn changes(self) -> bool {
        self.is_signed() || matches!(self, CommandName::Lock | CommandName::Lockdown | CommandName::Remove)
    }
}

/// A command with what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Unlock,
    Lock,
    /// Until a time in milliseconds since 1970.
    Hold {
        until_ms: i64,
    },
    Lockdown,
    Release,
    /// Somebody new. The groups are all that the rules will know of the person, beside the moment from which the person
    /// may not pass any more, in milliseconds since 1970.
    Enroll {
        person: PersonId,
        groups: BTreeSet<String>,
        valid_to_ms: Option<i64>,
    },
    Remove {
        person: PersonId,
    },
    Sync,
    Snapshot,
    Ping,
    /// Records with numbers above `after`, at most `limit`.
    Replay {
        after: u64,
        limit: u32,
    },
}

impl Command {
    /// Which one.
    #[must_use]
    pub const fn name(&self) -> CommandName {
        match self {
            Command::Unlock => CommandName::Unlock,
            Command::Lock => CommandName::Lock,
            Command::Hold { .. } => CommandName::Hold,
            Command::Lockdown => CommandName::Lockdown,
            Command::Release => CommandName::Release,
            Command::Enroll { .. } => CommandName::Enroll,
            Command::Remove { .. } => CommandName::Remove,
            Command::Sync => CommandName::Sync,
            Command::Snapshot => CommandName::Snapshot,
            Command::Ping => CommandName::Ping,
            Command::Replay { .. } => CommandName::Replay,
        }
    }
}

/// Which way a command came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// `cmd/<name>`.
    Mqtt,
    /// `lock/set`, as Home Assistant's lock and button send it.
    HomeAssistant,
    /// The console or the REST interface, from somebody who is signed in.
    Web,
    /// A command line on the terminal itself.
    Cli,
}

impl Via {
    /// The word in records.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Via::Mqtt => "mqtt",
            Via::HomeAssistant => "home_assistant",
            Via::Web => "web",
            Via::Cli => "cli",
        }
    }
}

/// Why a command was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandError {
    /// The configuration does not allow it.
    Disabled,
    /// It lay retained at the broker: nobody knows since when.
    Retained,
    /// Its id was used before.
    Duplicate,
    /// It is too old, made for too long, or the terminal's clock cannot tell.
    Expired,
    TooLarge,
    /// There is no such command.
    Unknown,
    Malformed,
    /// The signature is wrong, or missing where one is needed.
    BadMac,
    /// Too many, too fast.
    Rate,
    /// The door is locked down, or its housing is open.
    Lockdown,
    /// Somebody is being looked at, or enrolled.
    Busy,
    /// It was accepted, and could not be carried out; the journal says why.
    Failed,
}

impl CommandError {
    /// All of them.
    pub const ALL: [CommandError; 12] = [
        CommandError::Disabled,
        CommandError::Retained,
        CommandError::Duplicate,
        CommandError::Expired,
        CommandError::TooLarge,
        CommandError::Unknown,
        CommandError::Malformed,
        CommandError::BadMac,
        CommandError::Rate,
        CommandError::Lockdown,
        CommandError::Busy,
        CommandError::Failed,
    ];

    /// The word in answers and records.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            CommandError::Disabled => "disabled",
            CommandError::Retained => "retained",
            CommandError::Duplicate => "duplicate",
            CommandError::Expired => "expired",
            CommandError::TooLarge => "too_large",
            CommandError::Unknown => "unknown",
            CommandError::Malformed => "malformed",
            CommandError::BadMac => "bad_mac",
            CommandError::Rate => "rate",
            CommandError::Lockdown => "lockdown",
            CommandError::Busy => "busy",
            CommandError::Failed => "failed",
        }
    }
}

/// How an enrolment stands, or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enrolled {
    /// Whoever comes to the camera now is guided through the poses; another answer follows.
    Accepted,
    /// The person may be recognised from now on.
    Stored,
    /// Somebody of that name is enrolled already.
    NameTaken,
    /// The face is that of somebody who is enrolled under another name.
    Duplicate,
    /// The pictures do not show one person, or the face changed.
    NotOnePerson,
    /// A network for passive PAD did not take the face for a live one.
    NotLive,
    /// Somebody came, and not all poses in the time.
    TooFewPoses,
    /// Nobody came in the time.
    Timeout,
    /// A lockdown, an opened housing or the terminal's own end came between.
    Stopped,
    /// It could not be written.
    Failed,
}

impl Enrolled {
    /// All of them.
    pub const ALL: [Enrolled; 10] = [
        Enrolled::Accepted,
        Enrolled::Stored,
        Enrolled::NameTaken,
        Enrolled::Duplicate,
        Enrolled::NotOnePerson,
        Enrolled::NotLive,
        Enrolled::TooFewPoses,
        Enrolled::Timeout,
        Enrolled::Stopped,
        Enrolled::Failed,
    ];

    /// The word in answers and records.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Enrolled::Accepted => "accepted",
            Enrolled::Stored => "stored",
            Enrolled::NameTaken => "name_taken",
            Enrolled::Duplicate => "duplicate",
            Enrolled::NotOnePerson => "not_one_person",
            Enrolled::NotLive => "not_live",
            Enrolled::TooFewPoses => "too_few_poses",
            Enrolled::Timeout => "timeout",
            Enrolled::Stopped => "stopped",
            Enrolled::Failed => "failed",
        }
    }
}

/// What the sender is told. `seq` is the number of the record about it; null when nothing could be written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub id: String,
    pub command: String,
    pub ok: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<CommandError>,
    pub seq: Option<u64>,
    /// Of `enroll`, which is answered twice.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub result: Option<Enrolled>,
    /// Of `remove`: name of the signed receipt, in `receipts/` of the state directory.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub receipt: Option<String>,
}

impl Answer {
    /// The text that is published.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("an answer holds nothing that JSON cannot say")
    }
}

/// What outlives a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Nobody is let in until `release`.
    pub lockdown: bool,
    /// Used ids with their `at`, in the order of their times.
    pub used: Vec<(i64, String)>,
    /// Commands with an `at` up to here are refused: whether they were used is not known any more.
    pub floor: i64,
}

impl Memory {
    /// Used ids that are remembered; what is older than all of them is refused by its time.
    pub const IDS: usize = 256;

    /// Whether `id` was used.
    #[must_use]
    pub fn knows(&self, id: &str) -> bool {
        self.used.iter().any(|(_, used)| used == id)
    }

    /// `id`, made at `at`, is used up.
    pub fn remember(&mut self, at: i64, id: String) {
        let place = self.used.partition_point(|(t, _)| *t <= at);
        self.used.insert(place, (at, id));
        if self.used.len() > Self::IDS {
            let (oldest, _) = self.used.remove(0);
            self.floor = self.floor.max(oldest);
        }
    }

    /// The text that is kept.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("ids and numbers are JSON")
    }

    /// Reads [`Memory::text`] back.
    ///
    /// # Errors
    /// It is something else.
    pub fn from_text(text: &str) -> Result<Memory, String> {
        serde_json::from_str(text).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_serialised_form_and_lead_back() {
        for name in CommandName::ALL {
            assert_eq!(serde_json::to_string(&name).expect("serialises"), format!("\"{}\"", name.word()));
            assert_eq!(CommandName::from_word(name.word()), Some(name));
        }
        for error in CommandError::ALL {
            assert_eq!(serde_json::to_string(&error).expect("serialises"), format!("\"{}\"", error.word()));
        }
        for result in Enrolled::ALL {
            assert_eq!(serde_json::to_string(&result).expect("serialises"), format!("\"{}\"", result.word()));
        }
        for via in [Via::Mqtt, Via::HomeAssistant, Via::Web, Via::Cli] {
            assert_eq!(serde_json::to_string(&via).expect("serialises"), format!("\"{}\"", via.word()));
        }
        assert_eq!(CommandName::from_word("result"), None);
    }

    #[test]
    fn answers_keep_their_wire_form() {
        let mut answer = Answer {
            id: "a1".into(),
            command: "unlock".into(),
            ok: false,
            error: Some(CommandError::BadMac),
            ..Answer::default()
        };
        assert_eq!(answer.text(), r#"{"id":"a1","command":"unlock","ok":false,"error":"bad_mac","seq":null}"#);
        (answer.ok, answer.error, answer.seq) = (true, None, Some(42));
        assert_eq!(answer.text(), r#"{"id":"a1","command":"unlock","ok":true,"seq":42}"#);
        answer.result = Some(Enrolled::Stored);
        assert_eq!(answer.text(), r#"{"id":"a1","command":"unlock","ok":true,"seq":42,"result":"stored"}"#);
        (answer.result, answer.receipt) = (None, Some("removal-42.json".into()));
        assert!(answer.text().ends_with(r#""seq":42,"receipt":"removal-42.json"}"#));
    }
}
