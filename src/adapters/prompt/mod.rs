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
            Err(PortError::new("open the prompt", "drm is not there yet", "set prompt.kind", Recovery::Fatal))
        }
    }
}
