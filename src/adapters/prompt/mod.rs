//! Ways to show a screen.

pub mod console;
pub mod lights;
pub mod lines;
pub mod panel;
pub mod sim;
pub mod texts;
pub mod threaded;

use crate::config::sections::{PromptConfig, PromptKind};
use crate::domain::screen::Screen;
use crate::ports::{PortError, Prompt, Recovery};
use panel::png::PngDisplay;
use threaded::{Display, Threaded};

/// Shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPrompt;

impl Prompt for NoPrompt {
    fn show(&mut self, _screen: &Screen) -> Result<(), PortError> {
        Ok(())
    }
}

/// Several outputs at once. One that fails keeps none of the others from the screen.
struct Several {
    main: Box<dyn Prompt>,
    beside: Vec<Threaded>,
}

impl Prompt for Several {
    fn show(&mut self, screen: &Screen) -> Result<(), PortError> {
        let main = self.main.show(screen);
        let beside = self.beside.iter_mut().map(|output| output.show(screen));
        beside.fold(main, Result::and)
    }
}

impl Drop for Several {
    /// All are told before any is waited for.
    fn drop(&mut self) {
        self.beside.iter().for_each(Threaded::close);
    }
}

/// The configured prompt: a display, and with it ring, lamps and buzzer.
///
/// # Errors
/// `sim` without a path, or with one that cannot be written; an output that this build does not have. One that is not
/// plugged in is no error: it may come later.
pub fn open(config: &PromptConfig) -> Result<Box<dyn Prompt>, PortError> {
    let main = display(config)?;
    let mut beside = Vec::new();
    if let Some(ring) = config.ring.clone() {
        panel::device::ring_built_in(&ring)?;
        beside.push(Threaded::start("ring", Box::new(move || panel::device::open_ring(&ring)))?);
    }
    if let Some(lamps) = config.lamps.clone() {
        let open = move || Ok(Box::new(lines::lamps(&lamps)?) as Box<dyn Display>);
        beside.push(Threaded::start("lamps", Box::new(open))?);
    }
    if let Some(buzzer) = config.buzzer.clone() {
        let open = move || Ok(Box::new(lines::buzzer(&buzzer)?) as Box<dyn Display>);
        beside.push(Threaded::start("buzzer", Box::new(open))?);
    }
    Ok(if beside.is_empty() { main } else { Box::new(Several { main, beside }) })
}

fn display(config: &PromptConfig) -> Result<Box<dyn Prompt>, PortError> {
    let path = || {
        let missing =
            || PortError::new("open the prompt", "prompt.path is not set", "set prompt.path", Recovery::Fatal);
        config.path.as_deref().ok_or_else(missing)
    };
    let column = texts::column(&config.language).unwrap_or(0);
    match config.kind {
        PromptKind::None => Ok(Box::new(NoPrompt)),
        PromptKind::Console => Ok(Box::new(console::ConsolePrompt::new(&config.language))),
        PromptKind::Sim => Ok(Box::new(sim::SimPrompt::open(path()?)?)),
        PromptKind::Png => {
            let (dir, size) = (path()?.to_owned(), config.size);
            let open = move || Ok(Box::new(PngDisplay::open(&dir, column, size)?) as Box<dyn Display>);
            Ok(Box::new(Threaded::start("png", Box::new(open))?))
        }
        PromptKind::Panel => {
            panel::device::built_in(config)?;
            let config = config.clone();
            Ok(Box::new(Threaded::start("panel", Box::new(move || panel::device::open(&config)))?))
        }
        PromptKind::Drm => {
            panel::drm::built_in(config)?;
            let config = config.clone();
            Ok(Box::new(Threaded::start("display", Box::new(move || panel::drm::open(&config)))?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::sections::{ActiveLevel, BuzzerConfig, GpioLine, LampsConfig};
    use crate::domain::screen::Phase;
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    /// Notes what it is shown; fails always.
    struct Broken(Arc<Mutex<Vec<Phase>>>);

    impl Prompt for Broken {
        fn show(&mut self, screen: &Screen) -> Result<(), PortError> {
            self.0.lock().expect("nobody panicked").push(screen.phase);
            Err(PortError::new("show", "broken", "mend it", Recovery::Degrade))
        }
    }

    struct Noting(Arc<Mutex<Vec<Phase>>>);

    impl Display for Noting {
        fn show(&mut self, screen: &Screen, _: Duration) -> Result<panel::draw::Redraw, PortError> {
            self.0.lock().expect("nobody panicked").push(screen.phase);
            Ok(panel::draw::Redraw::Never)
        }
    }

    #[test]
    fn an_output_that_fails_keeps_no_other_from_the_screen() {
        let (first, second) = (Arc::<Mutex<Vec<Phase>>>::default(), Arc::<Mutex<Vec<Phase>>>::default());
        let theirs = second.clone();
        let noting =
            Threaded::start("noting", Box::new(move || Ok(Box::new(Noting(theirs.clone()))))).expect("a thread");
        let absent = || Err(PortError::new("open", "absent", "plug it in", Recovery::Reopen));
        let absent = Threaded::start("absent", Box::new(absent)).expect("a thread");
        let mut prompt = Several { main: Box::new(Broken(first.clone())), beside: vec![absent, noting] };
        prompt.show(&Screen { phase: Phase::Unavailable, ..Screen::IDLE }).expect_err("the first one's error is told");
        let began = Instant::now();
        drop(prompt);
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        assert_eq!(*first.lock().expect("nobody panicked"), [Phase::Unavailable]);
        assert_eq!(second.lock().expect("nobody panicked").last(), Some(&Phase::Unavailable));
    }

    #[test]
    fn outputs_that_are_not_there_keep_no_door_from_starting() {
        let line = |name: &str| GpioLine::parse(name).expect("a line");
        let lamps = LampsConfig { lines: [Some(line("no-such-line")), None, None, None], active: ActiveLevel::High };
        let buzzer = BuzzerConfig { line: line("no-such-chip:4"), active: ActiveLevel::Low };
        let config = PromptConfig {
            kind: PromptKind::None,
            lamps: Some(lamps),
            buzzer: Some(buzzer),
            ..Config::defaults("/nonexistent".as_ref()).prompt().clone()
        };
        let mut prompt = open(&config).expect("it starts");
        prompt.show(&Screen { phase: Phase::Looking, ..Screen::IDLE }).expect("the door works on");
    }

    #[test]
    fn a_build_without_a_part_says_so_at_the_start() {
        let defaults = Config::defaults("/nonexistent".as_ref()).prompt().clone();
        for (kind, built, feature) in
            [(PromptKind::Panel, cfg!(feature = "panel"), "panel"), (PromptKind::Drm, cfg!(feature = "drm"), "drm")]
        {
            match open(&PromptConfig { kind, ..defaults.clone() }) {
                Ok(_) => assert!(built, "{feature}"),
                Err(e) => assert!(!built && e.to_string().contains(&format!("--features {feature}")), "{e}"),
            }
        }
    }
}
