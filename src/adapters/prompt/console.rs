//! The prompt as lines of text, one for each screen that differs from the one before.

use super::texts;
use crate::domain::screen::Screen;
use crate::ports::{PortError, Prompt, Recovery};
use std::io::Write;

/// Writes to standard error (records go to standard output), or to whatever `W` is.
#[derive(Debug)]
pub struct ConsolePrompt<W> {
    out: W,
    column: usize,
    last: Option<String>,
}

impl ConsolePrompt<std::io::Stderr> {
    /// Speaks `language`, and English when that is not known.
    #[must_use]
    pub fn new(language: &str) -> Self {
        ConsolePrompt::to(std::io::stderr(), language)
    }
}

impl<W: Write> ConsolePrompt<W> {
    /// Writes to `out`.
    pub fn to(out: W, language: &str) -> Self {
        ConsolePrompt { out, column: texts::column(language).unwrap_or(0), last: None }
    }
}

impl<W: Write + Send> Prompt for ConsolePrompt<W> {
    fn show(&mut self, screen: &Screen) -> Result<(), PortError> {
        let line = texts::line(screen, self.column);
        if self.last.as_ref() == Some(&line) {
            return Ok(());
        }
        writeln!(self.out, "{line}").and_then(|()| self.out.flush()).map_err(|e| {
            PortError::new("write the prompt to the console", e, "set prompt.kind = \"none\"", Recovery::Degrade)
        })?;
        self.last = Some(line);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::screen::Phase;
    use crate::schema::event::Action;

    #[test]
    fn a_screen_is_written_once_in_the_configured_language() {
        let mut out = Vec::new();
        let mut prompt = ConsolePrompt::to(&mut out, "de");
        let asking = Screen { phase: Phase::Challenge, action: Some(Action::TurnLeft), ..Screen::IDLE };
        for screen in [Screen::IDLE, Screen::IDLE, asking, asking, Screen::IDLE] {
            prompt.show(&screen).expect("writes");
        }
        assert_eq!(String::from_utf8(out).expect("text"), "Bereit\n<-- Kopf nach LINKS drehen\nBereit\n");
    }

    #[test]
    fn an_output_that_is_gone_is_an_error_that_leaves_the_door_alone() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let e = ConsolePrompt::to(Gone, "en").show(&Screen::IDLE).expect_err("gone");
        assert_eq!(e.recovery, Recovery::Degrade);
    }
}
