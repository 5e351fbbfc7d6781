//! The journal in a directory of its own: a test commits to it, and whoever reads it opens a handle of its own, as in
//! the daemon.

use cardea::adapters::mqtt::OpenJournal;
use cardea::adapters::store::SqliteJournal;
use cardea::base::time::WallTime;
use cardea::ports::{Journal, PortError};
use cardea::schema::event::Event;
use cardea::schema::ids::DeviceId;
use cardea::schema::record::{Draft, Record};
use std::sync::{Mutex, MutexGuard};
use tempfile::TempDir;
use uuid::Uuid;

/// The writer's end.
pub struct DiskJournal {
    writer: Mutex<SqliteJournal>,
    dir: TempDir,
}

impl DiskJournal {
    /// Empty.
    pub fn new() -> DiskJournal {
        let dir = tempfile::tempdir().expect("a directory");
        let writer = SqliteJournal::open(dir.path()).expect("a new journal opens");
        DiskJournal { writer: Mutex::new(writer), dir }
    }

    /// For the client: a reader at each call.
    pub fn opener(&self) -> OpenJournal {
        let dir = self.dir.path().to_owned();
        Box::new(move || {
            let reader = SqliteJournal::open_reader(&dir).map_err(PortError::from)?;
            Ok(Box::new(reader) as Box<dyn Journal>)
        })
    }

    /// Commits `event` as the next record.
    pub fn commit(&self, event: Event) -> Record {
        self.commit_all([event]).remove(0)
    }

    /// Commits all of them, sixty-four at a time, as the recorder does with what lies in its queue.
    pub fn commit_all(&self, events: impl IntoIterator<Item = Event>) -> Vec<Record> {
        let draft = |event| Draft {
            device: DeviceId::new("front").expect("valid"),
            boot: Uuid::from_u128(7),
            id: Uuid::now_v7(),
            wall: WallTime { unix_ms: 1_795_243_200_000, synced: true },
            uptime_ms: 1,
            event,
        };
        let drafts: Vec<Draft> = events.into_iter().map(draft).collect();
        let mut writer = self.writer();
        drafts.chunks(64).flat_map(|group| writer.append_all(group).expect("commits")).collect()
    }

    /// How far the client has got, as a restart would find it.
    pub fn position(&self) -> u64 {
        self.writer().cursor("mqtt").expect("reads")
    }

    /// Number and hash of the newest record.
    pub fn head(&self) -> (u64, String) {
        self.writer().head().expect("reads").expect("is not empty")
    }

    /// All texts, oldest first.
    pub fn texts(&self) -> Vec<String> {
        self.writer().after(0, usize::MAX >> 1).expect("reads").into_iter().map(|stored| stored.text).collect()
    }

    fn writer(&self) -> MutexGuard<'_, SqliteJournal> {
        self.writer.lock().expect("not poisoned")
    }
}
