//! Ways to show a screen.

pub mod console;
pub mod sim;
pub mod texts;

use crate::config::sections::{PromptConfig, PromptKind};
use crate::domain::screen::Screen;
use crate::ports::{PortError, Prompt, Recovery};

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
/// `sim` without a path, or with one that cannot be written.
pub fn open(config: &PromptConfig) -> Result<Box<dyn Prompt>, PortError> {
    match config.kind {
        PromptKind::None => Ok(Box::new(NoPrompt)),
        PromptKind::Console => Ok(Box::new(console::ConsolePrompt::new(&config.language))),
        PromptKind::Sim => {
            let path = config.path.as_deref().ok_or_else(|| {
                PortError::new(
                    "open the prompt",
                    "prompt.path is not set",
                    "set prompt.path to a file",
                    Recovery::Fatal,
                )
            })?;
            Ok(Box::new(sim::SimPrompt::open(path)?))
        }
    }
}
