//! A display, ring, lamp or buzzer on a thread of its own: whatever it does, the controller never waits for it.
//!
//! `show` puts the screen into a slot in which the newest wins and returns. A display that fails is opened again after a
//! pause that doubles up to half a minute, and is then shown what is on at that time.

use super::lights::SLOWEST_HALF;
use super::panel::draw::{PAGE, Redraw};
use crate::base::slot::LatestSlot;
use crate::domain::screen::Screen;
use crate::ports::{PortError, Prompt, Recovery};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// First pause before a display is opened again.
const FIRST: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(30);
/// The last screen ("out of service") may take so long; then the process ends without it.
const FAREWELL: Duration = Duration::from_millis(500);
/// With nothing new to show, a display is written to this often, which finds out whether it is still there.
const STILL_THERE: Duration = Duration::from_secs(5);

/// Something that pictures go to.
pub trait Display {
    /// Shows `screen` as it looks `elapsed` after it came.
    ///
    /// # Errors
    /// The display is gone; it is opened again.
    fn show(&mut self, screen: &Screen, elapsed: Duration) -> Result<Redraw, PortError>;
}

/// Opens a display, as often as it is needed.
pub type OpenDisplay = Box<dyn FnMut() -> Result<Box<dyn Display>, PortError> + Send>;

/// The display's end that the controller holds.
#[derive(Debug)]
pub struct Threaded {
    slot: Arc<LatestSlot<(Screen, Instant)>>,
    last: Option<Screen>,
    ended: Receiver<()>,
}

impl Threaded {
    /// Starts the thread; the display is opened there. The log calls it `name`.
    ///
    /// # Errors
    /// The system has no thread.
    pub fn start(name: &'static str, open: OpenDisplay) -> Result<Self, PortError> {
        let slot = Arc::new(LatestSlot::default());
        let (end, ended) = sync_channel(1);
        let theirs = Arc::clone(&slot);
        let body = move || {
            run(name, open, &theirs, FIRST);
            let _nobody_waits = end.try_send(());
        };
        std::thread::Builder::new().name("prompt".into()).spawn(body).map_err(|e| {
            PortError::new("start the thread of the prompt", e, "set prompt.kind = \"none\"", Recovery::Degrade)
        })?;
        Ok(Threaded { slot, last: None, ended })
    }

    /// Tells the thread that nothing more comes, without waiting for it.
    pub fn close(&self) {
        self.slot.close();
    }
}

impl Prompt for Threaded {
    fn show(&mut self, screen: &Screen) -> Result<(), PortError> {
        if self.last.as_ref() != Some(screen) {
            self.last = Some(*screen);
            self.slot.put((*screen, Instant::now()));
        }
        Ok(())
    }
}

impl Drop for Threaded {
    fn drop(&mut self) {
        self.slot.close();
        // A driver that hangs in the kernel does not keep the process from ending.
        let _late = self.ended.recv_timeout(FAREWELL);
    }
}

/// The thread's life.
fn run(name: &str, mut open: OpenDisplay, slot: &LatestSlot<(Screen, Instant)>, first: Duration) {
    let mut current = (Screen::IDLE, Instant::now());
    let mut pause = first;
    loop {
        let opened = Instant::now();
        let failed = match open() {
            Ok(display) => match serve(display, slot, &mut current) {
                Ok(()) => return,
                Err(e) => e,
            },
            Err(e) => e,
        };
        // One that worked for a while begins with the shortest pause again.
        if opened.elapsed() > LONGEST {
            pause = first;
        }
        tracing::warn!(output = name, error = %failed, retry_in_ms = pause.as_millis(), "an output is gone; the door works on");
        let until = Instant::now() + pause;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|d| !d.is_zero()) {
            if slot.is_closed() {
                return;
            }
            current = slot.take(left).unwrap_or(current);
        }
        pause = (pause * 2).min(LONGEST);
    }
}

/// Shows what comes until the slot is closed or the display fails.
fn serve(
    mut display: Box<dyn Display>,
    slot: &LatestSlot<(Screen, Instant)>,
    current: &mut (Screen, Instant),
) -> Result<(), PortError> {
    let mut fresh = true;
    let mut drawn = Instant::now();
    loop {
        // A bar that shrinks by a little is no flash, and does not keep the next screen waiting.
        if std::mem::take(&mut fresh) {
            drawn = Instant::now();
        }
        let redraw = display.show(&current.0, current.1.elapsed())?;
        let wait = match redraw {
            Redraw::Never => STILL_THERE,
            Redraw::Soon => Duration::from_millis(100),
            Redraw::NextPage => PAGE / 4,
            Redraw::After(wait) => wait.min(STILL_THERE),
        };
        if let Some(next) = slot.take(wait) {
            // Screens that come thick and fast must not flash either; the newest is shown in the end.
            std::thread::sleep(SLOWEST_HALF.saturating_sub(drawn.elapsed()));
            *current = slot.take(Duration::ZERO).unwrap_or(next);
            fresh = true;
        } else if slot.is_closed() {
            return Ok(());
        } else {
            fresh = matches!(redraw, Redraw::NextPage | Redraw::After(_));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::screen::Phase;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    type Seen = Arc<Mutex<Vec<(Phase, Instant)>>>;

    struct Fake {
        seen: Seen,
        /// Fails after so many screens.
        lives: usize,
    }

    impl Display for Fake {
        fn show(&mut self, screen: &Screen, _: Duration) -> Result<Redraw, PortError> {
            if self.lives == 0 {
                return Err(PortError::new("write to the fake", "unplugged", "plug it in", Recovery::Reopen));
            }
            self.lives -= 1;
            self.seen.lock().expect("no holder panics").push((screen.phase, Instant::now()));
            Ok(Redraw::Never)
        }
    }

    fn screen(phase: Phase) -> Screen {
        Screen { phase, ..Screen::IDLE }
    }

    #[test]
    fn a_display_that_hangs_never_keeps_the_controller() {
        struct Hangs;
        impl Display for Hangs {
            fn show(&mut self, _: &Screen, _: Duration) -> Result<Redraw, PortError> {
                loop {
                    std::thread::sleep(Duration::from_secs(60));
                }
            }
        }
        let mut prompt = Threaded::start("fake", Box::new(|| Ok(Box::new(Hangs)))).expect("a thread");
        let began = Instant::now();
        for i in 0..10_000 {
            let phase = if i % 2 == 0 { Phase::Looking } else { Phase::Idle };
            prompt.show(&screen(phase)).expect("returns");
        }
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        drop(prompt);
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }

    #[test]
    fn an_unplugged_display_is_opened_again_and_shown_the_newest_screen() {
        let seen = Seen::default();
        let opened = Arc::new(AtomicUsize::new(0));
        let slot = Arc::new(LatestSlot::default());
        let open: OpenDisplay = Box::new({
            let (seen, opened) = (seen.clone(), opened.clone());
            move || match opened.fetch_add(1, Ordering::SeqCst) {
                0 => Err(PortError::new("open the fake", "absent", "plug it in", Recovery::Reopen)),
                1 => Ok(Box::new(Fake { seen: seen.clone(), lives: 1 })),
                _ => Ok(Box::new(Fake { seen: seen.clone(), lives: usize::MAX })),
            }
        });
        let thread = std::thread::spawn({
            let slot = slot.clone();
            move || run("fake", open, &slot, Duration::from_millis(20))
        });
        let wait_for = |n: usize| {
            let began = Instant::now();
            while seen.lock().expect("no holder panics").len() < n {
                assert!(began.elapsed() < Duration::from_secs(20), "{seen:?}");
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        wait_for(1);
        // The display dies of the next one, and while it is gone a newer one comes.
        slot.put((screen(Phase::Looking), Instant::now()));
        wait_for(2);
        slot.put((screen(Phase::Unavailable), Instant::now()));
        slot.close();
        thread.join().expect("ends");
        let phases: Vec<Phase> = seen.lock().expect("no holder panics").iter().map(|s| s.0).collect();
        assert_eq!((phases[0], phases[1]), (Phase::Idle, Phase::Looking));
        assert_eq!(phases.last(), Some(&Phase::Unavailable), "the last screen is shown before the end");
        assert_eq!(opened.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn screens_that_come_thick_and_fast_do_not_flash() {
        let seen = Seen::default();
        let theirs = seen.clone();
        let open: OpenDisplay = Box::new(move || Ok(Box::new(Fake { seen: theirs.clone(), lives: usize::MAX })));
        let mut prompt = Threaded::start("fake", open).expect("a thread");
        for i in 0..60 {
            prompt.show(&screen(if i % 2 == 0 { Phase::Looking } else { Phase::Idle })).expect("returns");
            std::thread::sleep(Duration::from_millis(15));
        }
        prompt.show(&screen(Phase::Done)).expect("returns");
        drop(prompt);
        let seen = seen.lock().expect("no holder panics");
        let apart = seen.windows(2).map(|p| p[1].1.duration_since(p[0].1));
        assert!(apart.min().expect("several") >= SLOWEST_HALF - Duration::from_millis(1));
        assert_eq!(seen.last().expect("one").0, Phase::Done);
    }
}
