//! Traits in our own words between what decides and what touches the world. Foreign types stay inside the adapters.

use crate::base::time::Tick;
use crate::domain::command::Offer;
use crate::domain::door::Sensor;
use crate::domain::gallery::Template;
use crate::domain::panel::card::CardBits;
use crate::domain::panel::courier::LineState;
use crate::domain::screen::Screen;
use crate::schema::command::{Answer, Command, Via};
use crate::schema::directory::Digest;
use crate::schema::event::EdgeCause;
use crate::schema::head::SignedHead;
use crate::schema::ids::{PersonId, VisitId};
use crate::schema::record::{Draft, Record};
use crate::vision::frame::Frame;
use ndarray::{ArrayD, ArrayView4};
use std::time::Duration;

/// What the supervisor does about a failure; it acts on this, not on the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Close and open again after a pause.
    Reopen,
    /// Go on without this part and say so.
    Degrade,
    /// Nothing can be done without a person.
    Fatal,
}

/// A port failed: what was tried, why it failed, what to do.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {cause}; {hint}")]
pub struct PortError {
    /// The operation and its object: "dequeue a frame from /dev/video0".
    pub what: String,
    pub cause: String,
    /// What the reader can do about it.
    pub hint: String,
    pub recovery: Recovery,
}

impl PortError {
    /// A failure with everything that its reader needs.
    pub fn new(what: impl Into<String>, cause: impl ToString, hint: impl Into<String>, recovery: Recovery) -> Self {
        PortError { what: what.into(), cause: cause.to_string(), hint: hint.into(), recovery }
    }
}

/// What a frame source has to say.
#[derive(Debug)]
pub enum NextFrame {
    Frame(Frame),
    /// A frame came but could not be used (torn, wrong size); it is counted and skipped.
    Torn(String),
    /// Nothing came within the timeout.
    Stalled,
    /// The recording is over; a camera never says this.
    End,
}

/// Where frames come from.
pub trait FrameSource: Send {
    /// Waits at most `timeout` for the next frame.
    ///
    /// # Errors
    /// The source is gone; the caller closes it and opens a new one.
    fn next(&mut self, timeout: Duration) -> Result<NextFrame, PortError>;

    /// A stable name for people and for pinning: path, driver, model, serial.
    fn identity(&self) -> String;
}

/// A network of the loaded pack, by its place in the pack's manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetId(pub usize);

/// Runs networks. Knows tensors, not faces.
pub trait Infer: Send {
    /// Runs one network on one NCHW tensor of the manifest's shape; outputs come in the manifest's order.
    ///
    /// # Errors
    /// The runtime refused, or an output is missing.
    fn run(&mut self, net: NetId, input: ArrayView4<'_, f32>) -> Result<Vec<ArrayD<f32>>, PortError>;

    /// A new frame begins; only scripts care.
    fn frame(&mut self, _seq: u64) {}
}

/// The lock's relay line. A second `set` with the same value is harmless.
pub trait Relay: Send {
    /// Returns once the line has changed; does not tell whether the bolt moved. Returns the line's own time stamp.
    ///
    /// # Errors
    /// The line could not be written or does not read back what was written.
    fn set(&mut self, energised: bool, cause: EdgeCause) -> Result<Tick, PortError>;

    /// The level that the line really has.
    ///
    /// # Errors
    /// The line cannot be read.
    fn energised(&mut self) -> Result<bool, PortError>;
}

/// One change of the line, as the guard tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Rises by one for each edge of one guard process.
    pub number: u64,
    pub at: Tick,
    pub energised: bool,
    pub cause: EdgeCause,
    pub visit: Option<VisitId>,
}

/// Why the guard did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenRefusal {
    /// The line is active already: no second pulse, no extension.
    Coalesced,
    /// Too soon after the last pulse, or too many in a minute.
    Rate,
    /// The line failed; it stays refused until the guard is started again.
    Fault,
    /// The nonce is unknown, used or too old.
    Nonce,
    /// No guard answers.
    Unavailable,
}

/// The daemon's end of the guard.
pub trait DoorGuard: Send {
    /// Arms, gets the nonce and opens. Returns within 500 ms.
    ///
    /// # Errors
    /// [`OpenRefusal`]; none of them leaves the line active beyond the pulse that was running.
    fn open(&mut self, visit: VisitId, hold: Duration) -> Result<(), OpenRefusal>;

    /// The door is open: a pulse that is running may end.
    ///
    /// # Errors
    /// The guard is gone; it has then ended the pulse already.
    fn door_opened(&mut self) -> Result<(), PortError>;

    /// Unlocks for one lease of two seconds, to be renewed. Returns within 500 ms.
    ///
    /// # Errors
    /// [`OpenRefusal`].
    fn hold_open(&mut self) -> Result<(), OpenRefusal>;

    /// One lease more; does nothing to a line that is not held open.
    ///
    /// # Errors
    /// The guard is gone.
    fn renew(&mut self) -> Result<(), PortError>;

    /// Tells the guard that the controller's loop turned.
    ///
    /// # Errors
    /// The guard is gone.
    fn heartbeat(&mut self) -> Result<(), PortError>;

    /// Edges that have not been handed over yet, oldest first. Never waits.
    fn edges(&mut self) -> Vec<Edge>;
}

/// What came from the door's inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputNews {
    /// A level as it is, for each sensor first of all and after a loss.
    Level { sensor: Sensor, active: bool },
    /// A change, debounced, with the kernel's time stamp.
    Changed { sensor: Sensor, active: bool, at: Tick },
}

/// Contact, exit button, tamper and key switch.
pub trait DoorInputs: Send {
    /// The next news; `None` when the time is over.
    ///
    /// # Errors
    /// The inputs are gone; the caller opens them anew.
    fn next(&mut self, timeout: Duration) -> Result<Option<InputNews>, PortError>;
}

/// A keypad or card reader.
pub trait Reader: Send {
    /// The next row of characters that was typed and ended; `None` when the time is over.
    ///
    /// # Errors
    /// The reader is gone; the caller opens it anew.
    fn next(&mut self, timeout: Duration) -> Result<Option<zeroize::Zeroizing<String>>, PortError>;
}

/// The line to an access panel.
pub trait PanelLine: Send {
    /// Carries on for at most `timeout` and returns what the line says of itself. To be called at least every 50 ms.
    ///
    /// # Errors
    /// The line is gone; the caller opens it anew.
    fn turn(&mut self, timeout: Duration) -> Result<LineState, PortError>;

    /// Puts a card on the line, in the place of one that has not gone out yet; it goes when the panel next asks.
    ///
    /// # Errors
    /// Nothing will go out; the caller opens the line anew.
    fn send(&mut self, card: CardBits) -> Result<(), PortError>;

    /// A card that has not gone out by now never does.
    fn forget(&mut self);
}

/// What the person in front sees or hears.
pub trait Prompt: Send {
    /// Shows a screen; a panel that fails never stops the door.
    ///
    /// # Errors
    /// The output is gone; the caller logs and goes on.
    fn show(&mut self, screen: &Screen) -> Result<(), PortError>;
}

/// Told what became of a command; `enroll` tells twice. It is called on whichever thread knows first, and must not wait.
pub type Reply = Box<dyn FnMut(Answer) + Send>;

/// Where commands from afar are handed in. Returns at once; the answer comes by the [`Reply`], within about two seconds,
/// or never when refusals come by the hundred.
pub trait CommandDesk: Send + Sync {
    /// A message from the broker, judged with all of the gatekeeper's checks.
    fn offer(&self, offer: &Offer<'_>, reply: Reply);

    /// A command of somebody who has shown already that they may give it (signed in at the console, with the right for
    /// it): only lockdown and rate are checked. `id` names it in its records and answer.
    fn order(&self, via: Via, id: &str, command: Command, reply: Reply);
}

/// What commands must not forget over a restart; one small text.
pub trait CommandStore: Send {
    /// The text; `None` when nothing was ever kept.
    ///
    /// # Errors
    /// It is there and cannot be read.
    fn load(&mut self) -> Result<Option<String>, PortError>;

    /// Replaces it; durable on return.
    ///
    /// # Errors
    /// The one before is still there.
    fn save(&mut self, text: &str) -> Result<(), PortError>;
}

/// A record as it stands in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub seq: u64,
    pub text: String,
}

/// What checking the chain found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainReport {
    pub records: u64,
    pub first_bad_seq: Option<u64>,
    pub cause: Option<String>,
}

/// The oldest records, as far as they are more than are to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogGap {
    pub first: u64,
    pub last: u64,
    /// Of the last one.
    pub hash: String,
}

/// The append-only log. What `append` returned is on the disk.
pub trait Journal: Send {
    /// Seals and commits one record; returns after the fsync.
    ///
    /// # Errors
    /// Nothing was written.
    fn append(&mut self, draft: &Draft) -> Result<Record, PortError>;

    /// The same with several records, which share one commit: all of them are on the disk on return, or none.
    ///
    /// # Errors
    /// None was written.
    fn append_all(&mut self, drafts: &[Draft]) -> Result<Vec<Record>, PortError>;

    /// Whether the disk was so full that the space held back was given up, or could never be held back: time for
    /// `alarm.disk`. It becomes false by itself once there is room again.
    fn starved(&mut self) -> bool {
        false
    }

    /// What should go so that `keep` records stay; `None` while there are not many more.
    ///
    /// # Errors
    /// The file cannot be read.
    fn surplus(&mut self, _keep: u64) -> Result<Option<LogGap>, PortError> {
        Ok(None)
    }

    /// Lets records go and writes the record of that, `system.log_gap`, in one commit.
    ///
    /// # Errors
    /// Nothing went.
    fn prune(&mut self, gap: &Draft) -> Result<Record, PortError> {
        self.append(gap)
    }

    /// The head with the device's signature; `None` in an empty journal.
    ///
    /// # Errors
    /// The file cannot be read.
    fn signed_head(&mut self) -> Result<Option<SignedHead>, PortError> {
        Ok(None)
    }

    /// Keeps the newest head beside the journal, and returns it when it is news.
    ///
    /// # Errors
    /// The one before is still there.
    fn keep_head(&mut self) -> Result<Option<SignedHead>, PortError> {
        Ok(None)
    }

    /// Up to `limit` records after `seq`, in order.
    ///
    /// # Errors
    /// The file cannot be read.
    fn after(&mut self, seq: u64, limit: usize) -> Result<Vec<Stored>, PortError>;

    /// The newest sequence number and its hash; `None` in an empty journal.
    ///
    /// # Errors
    /// The file cannot be read.
    fn head(&mut self) -> Result<Option<(u64, String)>, PortError>;

    /// Checks every hash and number.
    ///
    /// # Errors
    /// The file cannot be read.
    fn verify(&mut self) -> Result<ChainReport, PortError>;

    /// How far `consumer` (for example `mqtt`) has got; 0 at first.
    ///
    /// # Errors
    /// The file cannot be read.
    fn cursor(&mut self, consumer: &str) -> Result<u64, PortError>;

    /// Moves the cursor; it never moves back.
    ///
    /// # Errors
    /// Nothing was written.
    fn set_cursor(&mut self, consumer: &str, seq: u64) -> Result<(), PortError>;
}

/// A person with all templates of one embedding network.
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    pub id: PersonId,
    pub templates: Vec<Template>,
    pub enrolled_unix_ms: i64,
}

/// The people, encrypted at rest.
pub trait PeopleStore: Send {
    /// Everybody. Templates of other networks than `model` (a digest in hex) are left out.
    ///
    /// # Errors
    /// A record cannot be opened: wrong key, or tampered with; names the person.
    fn load(&mut self, model: &str) -> Result<Vec<Person>, PortError>;

    /// Names, numbers of templates and model digests, without opening a template.
    ///
    /// # Errors
    /// The file cannot be read.
    fn list(&mut self) -> Result<Vec<PersonSummary>, PortError>;

    /// Adds templates to a person, who is made if absent; all or nothing.
    ///
    /// # Errors
    /// Nothing was written.
    fn add(&mut self, id: &PersonId, templates: &[Template], unix_ms: i64) -> Result<(), PortError>;

    /// Removes a person and all templates; false when there was none.
    ///
    /// # Errors
    /// Nothing was removed.
    fn remove(&mut self, id: &PersonId) -> Result<bool, PortError>;
}

/// One line of `people list`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PersonSummary {
    pub person: PersonId,
    pub templates: u32,
    pub models: Vec<String>,
    pub enrolled_unix_ms: i64,
}

/// Where a terminal keeps what it has of its site's directory: sealed blobs by their digests, and small texts by name.
pub trait Shelf: Send {
    /// A blob as it was put.
    ///
    /// # Errors
    /// The file cannot be read.
    fn blob(&mut self, digest: &Digest) -> Result<Option<Vec<u8>>, PortError>;

    /// Puts blobs and texts (`None` takes a text away), all or nothing; durable on return.
    ///
    /// # Errors
    /// Nothing was written.
    fn put(&mut self, blobs: &[(Digest, Vec<u8>)], texts: &[(&str, Option<&str>)]) -> Result<(), PortError>;

    /// Takes away every blob that is not among `keep`.
    ///
    /// # Errors
    /// Nothing was taken away.
    fn keep_only(&mut self, keep: &std::collections::BTreeSet<Digest>) -> Result<(), PortError>;

    /// Texts whose names begin so, by name.
    ///
    /// # Errors
    /// The file cannot be read.
    fn texts(&mut self, prefix: &str) -> Result<Vec<(String, String)>, PortError>;
}

/// What a site's directory wants of the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SiteOut {
    /// At once with whatever is retained there; quality 1 for standing filters, 0 for single blobs.
    Subscribe {
        filters: Vec<String>,
        confirmed: bool,
    },
    Unsubscribe(Vec<String>),
    /// At quality 1; [`SiteDesk::confirmed`] is called with the tag.
    Publish {
        topic: String,
        payload: Vec<u8>,
        retained: bool,
        tag: u64,
    },
}

/// A terminal's part in its site's directory, as the client at the broker sees it. Never waits for the network.
pub trait SiteDesk: Send {
    /// A new connection stands: nothing is subscribed, nothing is on its way.
    fn connected(&mut self, now: Tick);

    /// It is gone.
    fn lost(&mut self);

    /// A message came.
    fn message(&mut self, now: Tick, topic: &str, payload: &[u8]);

    /// The broker has confirmed what was published under this tag.
    fn confirmed(&mut self, now: Tick, tag: u64);

    /// Work that is due, also without a connection; returns when to be called again at the latest.
    fn tick(&mut self, now: Tick) -> Tick;

    /// The next thing to send; asked for as long as the client has room.
    fn next(&mut self, now: Tick) -> Option<SiteOut>;
}

impl<T: Infer + ?Sized> Infer for Box<T> {
    fn run(&mut self, net: NetId, input: ArrayView4<'_, f32>) -> Result<Vec<ArrayD<f32>>, PortError> {
        (**self).run(net, input)
    }
    fn frame(&mut self, seq: u64) {
        (**self).frame(seq);
    }
}
