//! Whose time is over: not compared with anybody from then on, and recorded once.

use super::recorder::Recorder;
use super::rules::latest_ms;
use crate::adapters::store::{DoorMemory, EncryptedPeople};
use crate::base::time::Clock;
use crate::ports::{Person, PortError};
use crate::schema::event::Event;
use crate::schema::record::rfc3339;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name in the door's memory under which those stand whose end was recorded.
const TOLD: &str = "expired";

/// Looks after ends.
pub struct Expiry {
    state: PathBuf,
    memory: DoorMemory,
    clock: Arc<dyn Clock>,
    recorder: Recorder,
    /// Names, and the end that was recorded of them: somebody enrolled again has another.
    told: BTreeSet<String>,
    next_ms: Option<i64>,
}

impl Expiry {
    /// Of a state directory.
    ///
    /// # Errors
    /// The door's memory cannot be read.
    pub fn open(state: &Path, clock: Arc<dyn Clock>, recorder: Recorder) -> Result<Self, PortError> {
        let memory = DoorMemory::open(state)?;
        let told = memory.get(TOLD)?.unwrap_or_default().lines().map(str::to_owned).collect();
        Ok(Expiry { state: state.to_owned(), memory, clock, recorder, told, next_ms: None })
    }

    /// Whether somebody's time is over since the last [`Expiry::current`].
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.next_ms.is_some_and(|end| self.clock.wall().unix_ms >= end)
    }

    /// Everybody who may be compared now, with templates of one network.
    ///
    /// # Errors
    /// People or memory cannot be read.
    pub fn current(&mut self, store: &mut EncryptedPeople, model: &str) -> Result<Vec<Person>, PortError> {
        let now_ms = latest_ms(&self.state, &*self.clock)?;
        let current = store.current(model, now_ms)?;
        self.next_ms = current.next_ms;
        let mut over = BTreeSet::new();
        for (person, end) in current.expired {
            let line = format!("{end} {person}");
            if !self.told.contains(&line) {
                self.recorder.record(Event::PersonExpired { person, expired: rfc3339(end) });
            }
            over.insert(line);
        }
        if over != self.told {
            let text = over.iter().map(|l| format!("{l}\n")).collect::<String>();
            self.memory.put(TOLD, &text)?;
            self.told = over;
        }
        Ok(current.people)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::store::SqliteJournal;
    use crate::base::time::ManualClock;
    use crate::domain::access::Attributes;
    use crate::domain::gallery::Template;
    use crate::ports::Journal;
    use crate::runtime::recorder::{Listeners, Stamp};
    use crate::schema::ids::{DeviceId, PersonId};
    use std::time::Duration;

    const START: i64 = 1_795_243_200_000;

    #[test]
    fn an_end_takes_effect_while_the_door_runs_is_recorded_once_and_survives_a_clock_that_is_set_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut store = EncryptedPeople::open(dir.path()).expect("opens");
        let ada = PersonId::new("ada").expect("valid");
        let template = Template { model: "m".into(), embedding: vec![0.5; 4].into() };
        let person = Person { id: ada.clone(), templates: vec![template], enrolled_unix_ms: 0 };
        store.add_all(&[person], false).expect("writes");
        let end = Attributes { expires_ms: Some(START + 1000), ..Attributes::default() };
        store.set_attributes(&ada, &end).expect("writes");
        let start = |unix_ms: i64| {
            let clock = Arc::new(ManualClock::new(unix_ms));
            let journal = SqliteJournal::open(dir.path()).expect("opens");
            let device = DeviceId::new("front").expect("valid");
            let stamp = Stamp { device, boot: uuid::Uuid::from_u128(1), started: clock.now() };
            let (recorder, _thread) =
                Recorder::start(Box::new(journal), clock.clone(), stamp, Listeners::default()).expect("a thread");
            (Expiry::open(dir.path(), clock.clone(), recorder.clone()).expect("opens"), clock, recorder)
        };
        let (mut expiry, clock, recorder) = start(START);
        assert_eq!(expiry.current(&mut store, "m").expect("reads").len(), 1);
        assert!(!expiry.is_due());
        clock.advance(Duration::from_secs(1));
        assert!(expiry.is_due());
        for _ in 0..2 {
            assert!(expiry.current(&mut store, "m").expect("reads").is_empty());
        }
        assert!(!expiry.is_due());
        // What was believed before the restart still holds for a clock that stands at another time.
        DoorMemory::open(dir.path()).expect("opens").put("clock", &(START + 5000).to_string()).expect("writes");
        recorder.flush();
        let (mut again, _clock, after) = start(START - 86_400_000);
        assert!(again.current(&mut store, "m").expect("reads").is_empty());
        after.flush();
        let mut journal = SqliteJournal::open_reader(dir.path()).expect("opens");
        let texts: Vec<String> = journal.after(0, 99).expect("reads").into_iter().map(|s| s.text).collect();
        assert_eq!(texts.len(), 1, "{texts:?}");
        assert!(texts[0].contains(r#""type":"person.expired","person":"ada""#), "{}", texts[0]);
    }
}
