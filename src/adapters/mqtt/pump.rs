//! The topic `log`: every record of the journal, in order, at least once.

use super::OpenJournal;
use super::outbox::Counters;
use super::window::Window;
use crate::ports::{Journal, PortError, Stored};
use crate::schema::topics::LogHead;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Records in flight at most; mosquitto's own default for what it takes before it confirms.
pub(super) const WINDOW: usize = 20;
/// Records read ahead in one go, so that a backlog does not cost a query for each record.
const READ_AHEAD: usize = 64;
/// The cursor's name in the journal.
const CONSUMER: &str = "mqtt";
/// The cursor is written this long after a confirmation, or after [`WINDOW`] of them: a visit's own records come
/// within this time, and the disk belongs to them. What was not written yet is sent twice after a crash.
const SAVE_AFTER: Duration = Duration::from_millis(500);
/// Pause after the journal could not be read.
const JOURNAL_PAUSE: Duration = Duration::from_secs(1);
/// Pause after the broker refused a record (no permission, quota, too large): somebody has to act first.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);

/// When a record counts as delivered: on the PubAck of that very record.
#[derive(Clone, Copy, Debug, Default)]
pub struct CursorMoves {
    on_publish: bool,
}

impl CursorMoves {
    /// The control of the broker test, which must see this lose records: the cursor moves when the client has taken
    /// the record. No configuration leads here.
    #[doc(hidden)]
    #[must_use]
    pub const fn on_publish_and_lose_records() -> Self {
        CursorMoves { on_publish: true }
    }
}

/// Reads the journal, and knows how far the broker has confirmed it.
pub(super) struct LogPump {
    open: OpenJournal,
    moves: CursorMoves,
    counters: Arc<Counters>,
    journal: Option<Box<dyn Journal>>,
    /// `None` until the cursor was read for the first time.
    window: Option<Window>,
    /// Read and not yet handed out.
    ahead: VecDeque<Stored>,
    /// The newest record that the journal has shown; there may be more when this is behind `newest` of the recorder.
    read_to_end: Option<u64>,
    saved: u64,
    unsaved_since: Option<Instant>,
    hold_until: Option<Instant>,
}

impl LogPump {
    pub(super) fn new(open: OpenJournal, moves: CursorMoves, counters: Arc<Counters>) -> Self {
        LogPump {
            open,
            moves,
            counters,
            journal: None,
            window: None,
            ahead: VecDeque::new(),
            read_to_end: None,
            saved: 0,
            unsaved_since: None,
            hold_until: None,
        }
    }

    /// The next record to publish; `None` when the window is full, the journal is at its end, or it makes a pause.
    /// `newest` is the newest record that the recorder has told of.
    pub(super) fn next(&mut self, newest: u64, now: Instant) -> Option<Stored> {
        if !self.ready(now) || !self.window.as_ref()?.has_room() {
            return None;
        }
        if self.ahead.is_empty() && self.read_to_end.is_none_or(|end| newest > end) {
            let sent = self.window.as_ref()?.sent();
            let read = self.journal.as_mut()?.after(sent, READ_AHEAD);
            let records = self.settle(read, now)?;
            // Fewer than asked for are all that there are, also when the recorder's number is greater: then it told
            // of a record that this reader cannot see yet, and the next wake-up looks again.
            self.read_to_end = (records.len() < READ_AHEAD).then(|| records.last().map_or(sent, |r| r.seq).max(newest));
            self.ahead = records.into();
        }
        self.ahead.pop_front()
    }

    /// Records above `after` whatever the cursor says, for a replay; `None` when the journal cannot be read now.
    pub(super) fn read(&mut self, after: u64, limit: usize, now: Instant) -> Option<Vec<Stored>> {
        if !self.ready(now) {
            return None;
        }
        let read = self.journal.as_mut()?.after(after, limit.min(READ_AHEAD));
        self.settle(read, now)
    }

    /// The client has taken the record `seq`.
    pub(super) fn handed(&mut self, seq: u64, now: Instant) {
        if let Some(window) = &mut self.window {
            window.handed(seq);
        }
        self.moved(now);
    }

    /// The PubAck of the record `seq` came.
    pub(super) fn confirmed(&mut self, seq: u64, now: Instant) {
        self.counters.confirmed.fetch_add(1, Ordering::Relaxed);
        if let Some(window) = &mut self.window {
            let _whether_it_moved = window.confirmed(seq);
        }
        self.moved(now);
    }

    /// The broker will not take a record: everything unconfirmed is sent again after a pause, as leaving it out
    /// would lose it.
    pub(super) fn refused(&mut self, seq: u64, why: &str, now: Instant) {
        if self.hold_until.is_some_and(|t| now < t) {
            return; // The rest of the same window.
        }
        tracing::error!(
            seq, why, retry_in = ?REFUSED_PAUSE,
            "the broker refuses a record, and those after it wait; check its access list and its size limits"
        );
        self.rewind();
        self.hold_until = Some(now + REFUSED_PAUSE);
    }

    /// Forgets what was in flight: the next connection goes on behind the last confirmation.
    pub(super) fn connection_lost(&mut self) {
        self.rewind();
        self.save(Instant::now());
    }

    /// Whether everything that the journal has is confirmed, as far as is known.
    pub(super) fn idle(&self, newest: u64) -> bool {
        self.ahead.is_empty()
            && self.read_to_end.is_some_and(|end| newest <= end)
            && self.window.as_ref().is_some_and(|w| w.in_flight() == 0)
    }

    /// When [`LogPump::tick`] and [`LogPump::next`] are to be called again if nothing else happens.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let save = self.unsaved_since.map(|t| t + SAVE_AFTER);
        [save, self.hold_until].into_iter().flatten().min()
    }

    /// Writes the cursor when it is due.
    pub(super) fn tick(&mut self, now: Instant) {
        let due = self.unsaved_since.is_some_and(|t| now >= t + SAVE_AFTER);
        if due || self.reached().saturating_sub(self.saved) >= WINDOW as u64 {
            self.save(now);
        }
    }

    /// The text of `log/head`; `None` for an empty journal.
    pub(super) fn head(&mut self, now: Instant) -> Option<String> {
        if !self.ready(now) {
            return None;
        }
        let signed = self.journal.as_mut()?.signed_head();
        let signed = self.settle(signed, now)?;
        let (seq, hash, key, sig) = match signed {
            Some(h) => (h.seq, h.hash, Some(h.key), Some(h.sig)),
            None => {
                let head = self.journal.as_mut()?.head();
                let (seq, hash) = self.settle(head, now)??;
                (seq, hash, None, None)
            }
        };
        let record = self.journal.as_mut()?.after(seq.saturating_sub(1), 1);
        let record = self.settle(record, now)?.into_iter().next()?;
        // Only the start that wrote it can be named here, so it is read from the record itself.
        #[derive(serde::Deserialize)]
        struct Boot {
            boot: uuid::Uuid,
        }
        let boot = serde_json::from_str::<Boot>(&record.text).ok()?.boot;
        serde_json::to_string(&LogHead { seq, hash, boot, key, sig }).ok()
    }

    /// Opens the journal and reads the cursor where that has not happened yet.
    fn ready(&mut self, now: Instant) -> bool {
        if self.hold_until.is_some_and(|t| now < t) {
            return false;
        }
        self.hold_until = None;
        if self.journal.is_none() {
            let opened = (self.open)();
            let Some(journal) = self.settle(opened, now) else { return false };
            self.journal = Some(journal);
        }
        if self.window.is_none() {
            let Some(cursor) = self.journal.as_mut().map(|j| j.cursor(CONSUMER)) else { return false };
            let Some(cursor) = self.settle(cursor, now) else { return false };
            self.saved = cursor;
            self.counters.cursor.store(cursor, Ordering::Relaxed);
            self.window = Some(Window::new(cursor, WINDOW));
        }
        true
    }

    /// How far the cursor may be.
    fn reached(&self) -> u64 {
        self.window.as_ref().map_or(self.saved, |w| if self.moves.on_publish { w.sent() } else { w.cursor() })
    }

    fn moved(&mut self, now: Instant) {
        let reached = self.reached();
        if reached > self.saved && self.unsaved_since.is_none() {
            self.unsaved_since = Some(now);
        }
        self.counters.cursor.store(reached, Ordering::Relaxed);
        let in_flight = self.window.as_ref().map_or(0, Window::in_flight);
        self.counters.in_flight.store(in_flight as u64, Ordering::Relaxed);
    }

    fn save(&mut self, now: Instant) {
        self.unsaved_since = None;
        let reached = self.reached();
        if reached <= self.saved {
            return;
        }
        let Some(journal) = &mut self.journal else {
            self.unsaved_since = Some(now);
            return;
        };
        let written = journal.set_cursor(CONSUMER, reached);
        if self.settle(written, now).is_some() {
            self.saved = reached;
        } else {
            self.unsaved_since = Some(now + JOURNAL_PAUSE);
        }
    }

    fn rewind(&mut self) {
        if self.window.is_some() {
            self.window = Some(Window::new(self.reached(), WINDOW));
        }
        self.ahead.clear();
        self.read_to_end = None;
    }

    /// A journal that failed is closed, and opened again after a pause; what is in flight stays so.
    fn settle<T>(&mut self, result: Result<T, PortError>, now: Instant) -> Option<T> {
        result
            .inspect_err(|e| {
                tracing::error!(error = %e, retry_in = ?JOURNAL_PAUSE, "the MQTT log cannot use the journal");
                self.journal = None;
                self.hold_until = Some(now + JOURNAL_PAUSE);
            })
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::{ChainReport, Recovery};
    use crate::schema::record::{Draft, Record};
    use std::sync::Mutex;

    /// What a journal on a disk would remember.
    #[derive(Debug, Default)]
    struct Disk {
        newest: u64,
        cursor: u64,
        writes: u64,
        broken: bool,
    }

    struct Fake(Arc<Mutex<Disk>>);

    impl Fake {
        fn disk(&self) -> Result<std::sync::MutexGuard<'_, Disk>, PortError> {
            let disk = self.0.lock().expect("not poisoned");
            if disk.broken {
                Err(PortError::new("read", "torn", "replace the disk", Recovery::Reopen))
            } else {
                Ok(disk)
            }
        }
    }

    impl Journal for Fake {
        fn append(&mut self, _: &Draft) -> Result<Record, PortError> {
            unreachable!("the pump only reads")
        }
        fn append_all(&mut self, _: &[Draft]) -> Result<Vec<Record>, PortError> {
            unreachable!("the pump only reads")
        }
        fn after(&mut self, seq: u64, limit: usize) -> Result<Vec<Stored>, PortError> {
            let newest = self.disk()?.newest;
            Ok((seq + 1..=newest).take(limit).map(|seq| Stored { seq, text: format!("{{\"seq\":{seq}}}") }).collect())
        }
        fn head(&mut self) -> Result<Option<(u64, String)>, PortError> {
            Ok(Some((self.disk()?.newest, "ab".into())))
        }
        fn verify(&mut self) -> Result<ChainReport, PortError> {
            unreachable!("the pump only reads")
        }
        fn cursor(&mut self, consumer: &str) -> Result<u64, PortError> {
            assert_eq!(consumer, CONSUMER);
            Ok(self.disk()?.cursor)
        }
        fn set_cursor(&mut self, _: &str, seq: u64) -> Result<(), PortError> {
            let mut disk = self.disk()?;
            disk.cursor = seq;
            disk.writes += 1;
            Ok(())
        }
    }

    fn pump(newest: u64, moves: CursorMoves) -> (LogPump, Arc<Mutex<Disk>>) {
        let disk = Arc::new(Mutex::new(Disk { newest, ..Disk::default() }));
        let shared = disk.clone();
        let open: OpenJournal = Box::new(move || Ok(Box::new(Fake(shared.clone())) as Box<dyn Journal>));
        (LogPump::new(open, moves, Arc::new(Counters::default())), disk)
    }

    /// Hands out all that the window takes.
    fn fill(pump: &mut LogPump, newest: u64, now: Instant) -> Vec<u64> {
        let mut seqs = vec![];
        while let Some(record) = pump.next(newest, now) {
            pump.handed(record.seq, now);
            seqs.push(record.seq);
        }
        seqs
    }

    #[test]
    fn only_confirmations_move_the_cursor() {
        let (mut pump, disk) = pump(100, CursorMoves::default());
        let now = Instant::now();
        assert_eq!(fill(&mut pump, 100, now), (1..=20).collect::<Vec<_>>());
        pump.tick(now + SAVE_AFTER);
        pump.connection_lost();
        assert_eq!(disk.lock().expect("not poisoned").cursor, 0, "twenty handed out and none confirmed");
        assert_eq!(fill(&mut pump, 100, now), (1..=20).collect::<Vec<_>>(), "all of them go again");
        for seq in [1, 2, 3, 5] {
            pump.confirmed(seq, now);
        }
        pump.connection_lost();
        assert_eq!(disk.lock().expect("not poisoned").cursor, 3);
        assert_eq!(fill(&mut pump, 100, now)[..2], [4, 5]);
    }

    #[test]
    fn the_control_of_the_broker_test_forgets_what_was_in_flight() {
        let (mut pump, disk) = pump(100, CursorMoves::on_publish_and_lose_records());
        let now = Instant::now();
        assert_eq!(fill(&mut pump, 100, now).len(), 20);
        pump.connection_lost();
        assert_eq!(disk.lock().expect("not poisoned").cursor, 20);
        assert_eq!(fill(&mut pump, 100, now)[0], 21);
    }

    #[test]
    fn a_refused_record_is_not_left_out() {
        let (mut pump, _disk) = pump(30, CursorMoves::default());
        let now = Instant::now();
        fill(&mut pump, 30, now);
        pump.confirmed(1, now);
        pump.refused(2, "NotAuthorized", now);
        assert_eq!(fill(&mut pump, 30, now), [0; 0], "a pause");
        assert!(pump.next_deadline().is_some_and(|t| t <= now + REFUSED_PAUSE));
        assert_eq!(fill(&mut pump, 30, now + REFUSED_PAUSE)[0], 2);
    }

    #[test]
    fn confirmations_share_a_write_of_the_cursor() {
        let (mut pump, disk) = pump(15, CursorMoves::default());
        let now = Instant::now();
        fill(&mut pump, 15, now);
        for seq in 1..=15 {
            pump.confirmed(seq, now);
            pump.tick(now);
        }
        assert_eq!(disk.lock().expect("not poisoned").writes, 0, "the disk belongs to the visit");
        assert_eq!(pump.next_deadline(), Some(now + SAVE_AFTER));
        pump.tick(now + SAVE_AFTER);
        let written = disk.lock().expect("not poisoned");
        assert_eq!((written.cursor, written.writes), (15, 1));
        assert!(pump.idle(15) && !pump.idle(16));
    }

    #[test]
    fn a_journal_that_fails_is_opened_again_and_nothing_is_skipped() {
        let (mut pump, disk) = pump(10, CursorMoves::default());
        let now = Instant::now();
        disk.lock().expect("not poisoned").broken = true;
        assert_eq!(fill(&mut pump, 10, now), [0; 0]);
        assert_eq!(pump.head(now + JOURNAL_PAUSE), None);
        disk.lock().expect("not poisoned").broken = false;
        assert_eq!(fill(&mut pump, 10, now + 2 * JOURNAL_PAUSE), (1..=10).collect::<Vec<_>>());
        disk.lock().expect("not poisoned").broken = true;
        for seq in 1..=10 {
            pump.confirmed(seq, now);
        }
        pump.connection_lost();
        disk.lock().expect("not poisoned").broken = false;
        assert_eq!(fill(&mut pump, 11, now + 4 * JOURNAL_PAUSE), [0; 0], "confirmed is confirmed, written or not");
    }

    #[test]
    fn a_record_that_comes_later_is_seen_at_the_next_call() {
        let (mut pump, disk) = pump(2, CursorMoves::default());
        let now = Instant::now();
        assert_eq!(fill(&mut pump, 2, now), [1, 2]);
        disk.lock().expect("not poisoned").newest = 3;
        assert_eq!(fill(&mut pump, 2, now), [0; 0], "without being told there is no query");
        assert_eq!(fill(&mut pump, 3, now), [3]);
    }
}
