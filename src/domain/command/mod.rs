//! The gatekeeper of commands from afar: what may be asked, by whom, how often, and never twice. Every check only
//! refuses; what passes all of them is carried out by the controller.
//!
//! The order: retained, unknown, too large, malformed, disabled, signature, times, used before, locked down, rate. A
//! sender who is refused for the rate may send the same command again; any other that passed never works again, also
//! not after a restart or a clock that was set back, since what was used is part of [`Memory`].

use crate::base::time::{Tick, WallTime};
use crate::schema::command::{Command, CommandError, CommandName, MAX_PAYLOAD, Memory, Via};
use crate::schema::request::{Request, lock_set};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Longest time between `at` and `expires`, and longest expiry of a message on `lock/set`.
pub const LIFE: Duration = Duration::from_secs(10);
/// A sender's clock may be ahead of the terminal's by so much.
pub const SKEW: Duration = Duration::from_secs(2);
/// Longest `hold`.
pub const LONGEST_HOLD: Duration = Duration::from_secs(12 * 3600);
/// Used ids of commands that change nothing, and correlation data; these are not kept over restarts.
const RECENT: usize = 64;
/// A command may come so often at once, then once in [`REFILL`].
const BURST: u32 = 10;
const SNAPSHOT_BURST: u32 = 3;
const REFILL: Duration = Duration::from_secs(6);
/// Refusals that get a record and an answer each; then one in [`REFUSAL_REFILL`], and the rest is counted.
const REFUSAL_BURST: u32 = 20;
const REFUSAL_REFILL: Duration = Duration::from_secs(10);
/// Refusals without a record of their own are summed up in one this often.
const SUM_UP: Duration = Duration::from_secs(60);

/// What the owner allows.
#[derive(Clone, Debug, Default)]
pub struct GateRules {
    /// Part of what is signed.
    pub device: String,
    /// `mqtt.commands`.
    pub enabled: BTreeSet<CommandName>,
    /// The key that commands over MQTT must be signed with; without one nothing that opens is accepted.
    pub key: Option<Vec<u8>>,
    /// `mqtt.remote_unlock = "home_assistant"`.
    pub home_assistant: bool,
    /// `insecure.trust_clock`: a clock that nobody disciplines counts as right.
    pub trust_clock: bool,
}

/// A message as it came, on `cmd/<name>` or on `lock/set`.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// [`Via::Mqtt`] or [`Via::HomeAssistant`].
    pub via: Via,
    /// The topic's last level.
    pub name: &'a str,
    pub payload: &'a [u8],
    /// The broker had kept it.
    pub retained: bool,
    /// The message's own expiry.
    pub expiry: Option<Duration>,
    pub correlation: Option<&'a [u8]>,
}

/// A command that passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    pub id: String,
    pub via: Via,
    pub command: Command,
}

/// A command that did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub id: String,
    pub via: Via,
    /// The command's word, or what was asked for, cut down to harmless characters.
    pub name: String,
    pub error: CommandError,
}

/// A bucket of tokens.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: u32,
    most: u32,
    refill: Duration,
    since: Tick,
}

impl Bucket {
    const fn new(most: u32, refill: Duration) -> Self {
        Bucket { left: most, most, refill, since: Tick::ZERO }
    }

    fn take(&mut self, now: Tick) -> bool {
        let fresh = now.since(self.since).as_nanos() / self.refill.as_nanos().max(1);
        if fresh >= u128::from(self.most - self.left) {
            (self.left, self.since) = (self.most, now);
        } else if let Ok(n) = u32::try_from(fresh) {
            self.left += n;
            self.since = self.since + self.refill * n;
        }
        let some = self.left > 0;
        self.left -= u32::from(some);
        some
    }
}

/// How many came, by what became of them; since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub accepted: BTreeMap<CommandName, u64>,
    pub refused: BTreeMap<CommandError, u64>,
}

/// Judges each command.
#[derive(Clone, Debug)]
pub struct Gate {
    rules: GateRules,
    memory: Memory,
    recent: VecDeque<String>,
    rates: BTreeMap<CommandName, Bucket>,
    refusals: Bucket,
    /// Refusals without a record, and the last one's error.
    unsaid: Option<(u64, CommandError)>,
    summed_up: Tick,
    counts: Counts,
}

impl Gate {
    /// With what is known from before the restart.
    #[must_use]
    pub fn new(rules: GateRules, memory: Memory) -> Self {
        Gate {
            rules,
            memory,
            recent: VecDeque::new(),
            rates: BTreeMap::new(),
            refusals: Bucket::new(REFUSAL_BURST, REFUSAL_REFILL),
            unsaid: None,
            summed_up: Tick::ZERO,
            counts: Counts::default(),
        }
    }

    /// What must be kept over a restart, as of now.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Whether nobody is let in.
    #[must_use]
    pub fn lockdown(&self) -> bool {
        self.memory.lockdown
    }

    /// Begins or ends a lockdown.
    pub fn set_lockdown(&mut self, on: bool) {
        self.memory.lockdown = on;
    }

    /// How many came.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Judges a message from the broker.
    ///
    /// # Errors
    /// What the sender is told.
    pub fn judge(&mut self, now: Tick, wall: WallTime, offer: &Offer<'_>) -> Result<Passed, Refused> {
        let (id, judged) = match offer.via {
            Via::HomeAssistant => self.lock_set(now, offer),
            _ => self.cmd(now, wall, offer),
        };
        self.settle(id, offer.via, offer.name, judged)
    }

    /// Judges a command of somebody who has shown already that they may: only lockdown and rate count.
    ///
    /// # Errors
    /// What the sender is told.
    pub fn judge_trusted(
        &mut self,
        now: Tick,
        wall: WallTime,
        via: Via,
        id: &str,
        command: Command,
    ) -> Result<Passed, Refused> {
        let name = command.name();
        let fits = match &command {
            Command::Hold { until_ms } => hold_fits(*until_ms, wall),
            _ => true,
        };
        let judged = if fits { self.last_checks(now, command) } else { Err(CommandError::Malformed) };
        self.settle(id.to_owned(), via, name.word(), judged)
    }

    /// Whether this refusal gets a record and an answer of its own; otherwise it is counted for [`Gate::sum_up`].
    pub fn is_told(&mut self, now: Tick, error: CommandError) -> bool {
        let told = self.refusals.take(now);
        if !told {
            let before = self.unsaid.map_or(0, |(n, _)| n);
            self.unsaid = Some((before + 1, error));
        }
        told
    }

    /// Once a minute the number of refusals that got no record, and the error of the last one.
    pub fn sum_up(&mut self, now: Tick) -> Option<(u64, CommandError)> {
        if self.unsaid.is_none() || now.since(self.summed_up) < SUM_UP {
            return None;
        }
        self.summed_up = now;
        self.unsaid.take()
    }

    fn settle(
        &mut self,
        id: String,
        via: Via,
        name: &str,
        judged: Result<Command, CommandError>,
    ) -> Result<Passed, Refused> {
        match judged {
            Ok(command) => {
                *self.counts.accepted.entry(command.name()).or_default() += 1;
                Ok(Passed { id, via, command })
            }
            Err(error) => {
                *self.counts.refused.entry(error).or_default() += 1;
                let name = name.chars().filter(|c| c.is_ascii_lowercase() || *c == '_').take(32).collect();
                Err(Refused { id, via, name, error })
            }
        }
    }

    fn cmd(&mut self, now: Tick, wall: WallTime, offer: &Offer<'_>) -> (String, Result<Command, CommandError>) {
        let refused = |error| (String::new(), Err(error));
        if offer.retained {
            return refused(CommandError::Retained);
        }
        let Some(name) = CommandName::from_word(offer.name) else { return refused(CommandError::Unknown) };
        if offer.payload.len() > MAX_PAYLOAD {
            return refused(CommandError::TooLarge);
        }
        match Request::parse(&self.rules.device, name, offer.payload) {
            Err(id) => (id, Err(CommandError::Malformed)),
            Ok(request) => (request.id.clone(), self.request(now, wall, request)),
        }
    }

    fn request(&mut self, now: Tick, wall: WallTime, request: Request) -> Result<Command, CommandError> {
        let name = request.command.name();
        if !self.rules.enabled.contains(&name) {
            return Err(CommandError::Disabled);
        }
        match &self.rules.key {
            Some(key) if !request.is_signed_with(key) => return Err(CommandError::BadMac),
            None if name.is_signed() => return Err(CommandError::BadMac),
            _ => {}
        }
        if let Some((at, expires)) = request.at_ms.zip(request.expires_ms) {
            self.in_time(wall, at, expires)?;
            if at <= self.memory.floor {
                return Err(CommandError::Expired);
            }
        }
        if let Command::Hold { until_ms } = request.command
            && !hold_fits(until_ms, wall)
        {
            return Err(CommandError::Malformed);
        }
        if self.memory.knows(&request.id) || self.recent.contains(&request.id) {
            return Err(CommandError::Duplicate);
        }
        let command = self.last_checks(now, request.command)?;
        match request.at_ms {
            Some(at) => self.memory.remember(at, request.id),
            None => self.remember_for_now(request.id),
        }
        Ok(command)
    }

    fn in_time(&self, wall: WallTime, at: i64, expires: i64) -> Result<(), CommandError> {
        let clock = wall.synced || self.rules.trust_clock;
        let life = expires.checked_sub(at).is_some_and(|ms| (1..=millis(LIFE)).contains(&ms));
        let ahead = at.saturating_sub(wall.unix_ms) > millis(SKEW);
        if clock && life && !ahead && wall.unix_ms < expires { Ok(()) } else { Err(CommandError::Expired) }
    }

    /// Home Assistant's lock and button know no ids, times or signatures: the message's own expiry, a broker that lets
    /// only the controller write there, and the owner's word for it take their place.
    fn lock_set(&mut self, now: Tick, offer: &Offer<'_>) -> (String, Result<Command, CommandError>) {
        let id = offer.correlation.map(correlation_id).unwrap_or_default();
        let judged = self.lock_set_of(now, offer, &id);
        (id, judged)
    }

    fn lock_set_of(&mut self, now: Tick, offer: &Offer<'_>, id: &str) -> Result<Command, CommandError> {
        if offer.retained {
            return Err(CommandError::Retained);
        }
        if offer.payload.len() > MAX_PAYLOAD {
            return Err(CommandError::TooLarge);
        }
        let command = lock_set(offer.payload).ok_or(CommandError::Malformed)?;
        if !self.rules.home_assistant {
            return Err(CommandError::Disabled);
        }
        if offer.expiry.is_none_or(|e| e > LIFE) {
            return Err(CommandError::Expired);
        }
        if !id.is_empty() && self.recent.iter().any(|used| used == id) {
            return Err(CommandError::Duplicate);
        }
        let command = self.last_checks(now, command)?;
        if !id.is_empty() {
            self.remember_for_now(id.to_owned());
        }
        Ok(command)
    }

    fn last_checks(&mut self, now: Tick, command: Command) -> Result<Command, CommandError> {
        let name = command.name();
        if self.memory.lockdown && matches!(name, CommandName::Unlock | CommandName::Hold | CommandName::Enroll) {
            return Err(CommandError::Lockdown);
        }
        // A door's camera is no camera of surveillance: fewer pictures than commands.
        let burst = if name == CommandName::Snapshot { SNAPSHOT_BURST } else { BURST };
        let bucket = self.rates.entry(name).or_insert_with(|| Bucket::new(burst, REFILL));
        if bucket.take(now) { Ok(command) } else { Err(CommandError::Rate) }
    }

    fn remember_for_now(&mut self, id: String) {
        self.recent.push_back(id);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }
}

/// An id made of correlation data, which may be any bytes.
fn correlation_id(bytes: &[u8]) -> String {
    bytes.iter().take(32).map(|b| format!("{b:02x}")).collect()
}

fn hold_fits(until_ms: i64, wall: WallTime) -> bool {
    let long = until_ms.saturating_sub(wall.unix_ms);
    (1..=millis(LONGEST_HOLD)).contains(&long)
}

fn millis(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
