//! A journal in memory that outlives whoever reads it, as one on a disk does.

use cardea::base::time::WallTime;
use cardea::ports::{ChainReport, Journal, PortError, Stored};
use cardea::schema::event::Event;
use cardea::schema::ids::DeviceId;
use cardea::schema::record::{Draft, GENESIS, Record, chain_hash};
use std::sync::{Arc, Mutex};
use uuid::Uuid;

/// Clones share the same records and cursors.
#[derive(Clone, Default)]
pub struct MemoryJournal(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    records: Vec<String>,
    cursor: u64,
}

impl MemoryJournal {
    /// Commits `event` as the next record.
    pub fn commit(&self, event: Event) -> Record {
        let mut random = [0; 10];
        getrandom::fill(&mut random).expect("the kernel has random numbers");
        let draft = Draft {
            device: DeviceId::new("front").expect("valid"),
            boot: Uuid::from_u128(7),
            id: cardea::adapters::system::uuid_v7(1_795_243_200_000, random),
            wall: WallTime { unix_ms: 1_795_243_200_000, synced: true },
            uptime_ms: 1,
            event,
        };
        self.clone().append(&draft).expect("memory does not fail")
    }

    /// How far the consumer has got.
    pub fn position(&self) -> u64 {
        self.inner().cursor
    }

    /// The texts, oldest first.
    pub fn texts(&self) -> Vec<String> {
        self.inner().records.clone()
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().expect("not poisoned")
    }
}

impl Journal for MemoryJournal {
    fn append(&mut self, draft: &Draft) -> Result<Record, PortError> {
        let mut inner = self.inner();
        let prev = inner.records.last().map_or_else(|| GENESIS.to_owned(), |text| chain_hash(text));
        let record = draft.seal(inner.records.len() as u64 + 1, prev);
        inner.records.push(record.text());
        Ok(record)
    }

    fn after(&mut self, seq: u64, limit: usize) -> Result<Vec<Stored>, PortError> {
        let inner = self.inner();
        let stored = (1..).zip(&inner.records).map(|(seq, text)| Stored { seq, text: text.clone() });
        Ok(stored.skip(usize::try_from(seq).expect("small")).take(limit).collect())
    }

    fn head(&mut self) -> Result<Option<(u64, String)>, PortError> {
        let inner = self.inner();
        Ok(inner.records.last().map(|text| (inner.records.len() as u64, chain_hash(text))))
    }

    fn verify(&mut self) -> Result<ChainReport, PortError> {
        unreachable!("nobody asks here")
    }

    fn cursor(&mut self, consumer: &str) -> Result<u64, PortError> {
        assert_eq!(consumer, "mqtt");
        Ok(self.inner().cursor)
    }

    fn set_cursor(&mut self, consumer: &str, seq: u64) -> Result<(), PortError> {
        assert_eq!(consumer, "mqtt");
        let mut inner = self.inner();
        assert!(seq >= inner.cursor, "the cursor never moves back");
        inner.cursor = seq;
        Ok(())
    }
}
