//! Two parties on the same processors: what the first does is urgent, what the second does can wait.
//!
//! * *turn*: what the first does in one go. It begins at once and waits for nothing: this side has no lock.
//! * *piece*: what the second does between two points at which it can stop. One is under way at a time; while the first
//!   has a turn none begins. So a turn shares the processors with one piece at most, the one that had begun before it.
//! * *overtaking*: a second that has waited [`PATIENCE`] begins a piece beside the first; else a first without pauses would
//!   starve it. Each is counted.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// So long the second waits for a gap between turns of the first; a visit at a door has one after each frame.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Who stands where. Shared by one thread of each side.
#[derive(Debug)]
pub struct Precedence {
    patience: Duration,
    born: Instant,
    /// Turns under way.
    busy: AtomicUsize,
    /// Whether a piece is.
    running: AtomicBool,
    /// Since when a turn and a piece run together, in microseconds since `born`, plus one; 0: they do not.
    beside: AtomicU64,
    /// The second's thread, to be woken.
    waiting: OnceLock<Thread>,
    turns: AtomicU64,
    turns_beside: AtomicU64,
    beside_us: AtomicU64,
    pieces: AtomicU64,
    yielded: AtomicU64,
    yielded_us: AtomicU64,
    overtook: AtomicU64,
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Turns of the first.
    pub turns: u64,
    /// Those that began while a piece was under way.
    pub turns_beside: u64,
    /// For how long both were, from the turn's begin to the end of whichever ended first.
    pub beside: Duration,
    pub pieces: u64,
    /// Pieces that waited for the first, and how long.
    pub yielded: u64,
    pub yielded_for: Duration,
    /// Pieces that were begun while the first had a turn.
    pub overtook: u64,
}

impl Default for Precedence {
    fn default() -> Self {
        Self::with_patience(PATIENCE)
    }
}

impl Precedence {
    fn with_patience(patience: Duration) -> Self {
        Precedence {
            patience,
            born: Instant::now(),
            busy: AtomicUsize::new(0),
            running: AtomicBool::new(false),
            beside: AtomicU64::new(0),
            waiting: OnceLock::new(),
            turns: AtomicU64::new(0),
            turns_beside: AtomicU64::new(0),
            beside_us: AtomicU64::new(0),
            pieces: AtomicU64::new(0),
            yielded: AtomicU64::new(0),
            yielded_us: AtomicU64::new(0),
            overtook: AtomicU64::new(0),
        }
    }

    /// The first begins a turn, which lasts as long as the value.
    pub fn first(&self) -> Turn<'_> {
        self.busy.fetch_add(1, SeqCst);
        self.turns.fetch_add(1, SeqCst);
        if self.running.load(SeqCst) {
            self.turns_beside.fetch_add(1, SeqCst);
            self.beside.store(self.now_us() + 1, SeqCst);
        }
        Turn(self)
    }

    /// The second begins a piece when the first has no turn; it lasts until [`Precedence::pause`] or the end of the value.
    pub fn second(&self) -> Piece<'_> {
        self.begin();
        Piece(self)
    }

    /// A point at which the second can stop: the piece that was under way has ended, and if there was one, the next has
    /// begun on return.
    pub fn pause(&self) {
        let held = self.running.load(SeqCst);
        self.end();
        self.begin();
        if !held {
            self.end();
        }
    }

    /// The counters.
    #[must_use]
    pub fn seen(&self) -> Seen {
        let of = |n: &AtomicU64| n.load(SeqCst);
        Seen {
            turns: of(&self.turns),
            turns_beside: of(&self.turns_beside),
            beside: Duration::from_micros(of(&self.beside_us)),
            pieces: of(&self.pieces),
            yielded: of(&self.yielded),
            yielded_for: Duration::from_micros(of(&self.yielded_us)),
            overtook: of(&self.overtook),
        }
    }

    fn begin(&self) {
        let began = Instant::now();
        let mut waited = false;
        self.waiting.get_or_init(std::thread::current);
        loop {
            // First said, then looked: of two that begin at once at least one sees the other.
            self.running.store(true, SeqCst);
            if self.busy.load(SeqCst) == 0 {
                break;
            }
            let Some(left) = self.patience.checked_sub(began.elapsed()).filter(|l| !l.is_zero()) else {
                self.overtook.fetch_add(1, SeqCst);
                break;
            };
            self.end();
            waited = true;
            // A turn that ended since then has left its mark, and this returns at once.
            std::thread::park_timeout(left);
        }
        self.pieces.fetch_add(1, SeqCst);
        if waited {
            self.yielded.fetch_add(1, SeqCst);
            self.yielded_us.fetch_add(micros(began.elapsed()), SeqCst);
        }
    }

    fn end(&self) {
        self.running.store(false, SeqCst);
        self.settle();
    }

    /// Turn and piece are no longer beside each other.
    fn settle(&self) {
        let since = self.beside.swap(0, SeqCst);
        if since > 0 {
            self.beside_us.fetch_add(self.now_us().saturating_sub(since - 1), SeqCst);
        }
    }

    fn now_us(&self) -> u64 {
        micros(self.born.elapsed())
    }
}

fn micros(d: Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX)
}

/// A turn of the first.
#[derive(Debug)]
pub struct Turn<'a>(&'a Precedence);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.settle();
        if self.0.busy.fetch_sub(1, SeqCst) == 1
            && let Some(second) = self.0.waiting.get()
        {
            second.unpark();
        }
    }
}

/// A piece of the second, or several one after the other.
#[derive(Debug)]
pub struct Piece<'a>(&'a Precedence);

impl Drop for Piece<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_turn_waits_for_nothing_and_counts_the_piece_beside_it() {
        let p = Precedence::default();
        drop(p.first());
        assert_eq!((p.seen().turns, p.seen().turns_beside), (1, 0));
        let piece = p.second();
        let turn = p.first();
        std::thread::sleep(Duration::from_millis(5));
        drop(piece);
        let beside = p.seen().beside;
        assert!(beside >= Duration::from_millis(5), "{beside:?}");
        std::thread::sleep(Duration::from_millis(5));
        drop(turn);
        assert_eq!((p.seen().turns_beside, p.seen().beside), (1, beside), "the piece was over");
    }

    #[test]
    fn no_piece_begins_during_a_turn_and_the_end_of_the_turn_begins_it() {
        let p = Arc::new(Precedence::with_patience(LONG));
        let turn = p.first();
        let (told, begun) = channel();
        let second = std::thread::spawn({
            let p = p.clone();
            move || {
                let _piece = p.second();
                told.send(()).expect("somebody waits");
            }
        });
        assert!(begun.recv_timeout(Duration::from_millis(100)).is_err(), "it began beside the turn");
        drop(turn);
        begun.recv_timeout(LONG).expect("it begins after the turn");
        second.join().expect("it ends");
        let seen = p.seen();
        assert_eq!((seen.pieces, seen.yielded, seen.overtook, seen.turns_beside), (1, 1, 0, 0));
        assert!(seen.yielded_for > Duration::ZERO, "{seen:?}");
    }

    #[test]
    fn between_two_networks_a_piece_makes_way() {
        let p = Arc::new(Precedence::with_patience(LONG));
        let ((told, begun), (go, asked)) = (channel(), channel());
        let second = std::thread::spawn({
            let p = p.clone();
            move || {
                let _piece = p.second();
                told.send(()).expect("somebody waits");
                asked.recv().expect("a word");
                p.pause();
            }
        });
        begun.recv().expect("a piece");
        let turn = p.first();
        go.send(()).expect("it listens");
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(p.seen().pieces, 1, "the next one waits");
        drop(turn);
        second.join().expect("it goes on");
        assert_eq!((p.seen().pieces, p.seen().turns_beside), (2, 1));
        p.pause();
        drop(p.first());
        assert_eq!(p.seen().turns_beside, 1, "a pause outside of a piece leaves none under way");
    }

    #[test]
    fn a_first_without_pauses_does_not_starve_the_second_but_that_is_counted() {
        let p = Precedence::with_patience(Duration::from_millis(20));
        let _turn = p.first();
        drop(p.second());
        assert_eq!((p.seen().overtook, p.seen().yielded), (1, 1));
    }

    #[test]
    fn with_turns_and_pieces_at_random_nothing_is_lost() {
        let p = Arc::new(Precedence::with_patience(LONG));
        let second = std::thread::spawn({
            let p = p.clone();
            move || (0..20_000).for_each(|_| drop(p.second()))
        });
        while !second.is_finished() {
            drop(p.first());
        }
        second.join().expect("it ends");
        let seen = p.seen();
        assert_eq!((seen.pieces, seen.overtook), (20_000, 0), "{seen:?}");
    }
}
