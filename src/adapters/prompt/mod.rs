//! Ways to show a screen.

pub mod console;
pub mod lights;
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

/// The configured prompt.
///
/// # Errors
/// `sim` without a path, or with one that cannot be written; `panel` in a build without panels. A panel that is not there
/// is none: it may come later.
pub fn open(config: &PromptConfig) -> Result<Box<dyn Prompt>, PortError> {
    let path = || {
        let missing =
            || PortError::new("open the prompt", "prompt.path is not set", "set prompt.path", Recovery::Fatal);
        config.path.as_deref().ok_or_else(missing)
    };
    match config.kind {
        PromptKind::None => Ok(Box::new(NoPrompt)),
        PromptKind::Console => Ok(Box::new(console::ConsolePrompt::new(&config.language))),
        PromptKind::Sim => Ok(Box::new(sim::SimPrompt::open(path()?)?)),
        PromptKind::Png => {
            let (dir, size) = (path()?.to_owned(), config.size);
            let column = texts::column(&config.language).unwrap_or(0);
            let open = move || Ok(Box::new(PngDisplay::open(&dir, column, size)?) as Box<dyn Display>);
            Ok(Box::new(Threaded::start(Box::new(open))?))
        }
        PromptKind::Panel => {
            panel::device::built_in(config)?;
            let config = config.clone();
            Ok(Box::new(Threaded::start(Box::new(move || panel::device::open(&config)))?))
        }
    }
}
