//! The prompt as a file with one JSON line a screen, for tests and for displays that are driven by another program.

use crate::domain::screen::{Advice, Screen};
use crate::ports::{PortError, Prompt, Recovery};
use crate::schema::event::{Action, Verdict};
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Serialize)]
struct Line {
    phase: &'static str,
    action: Option<Action>,
    step: u8,
    of: u8,
    left: u8,
    window_ms: u16,
    verdict: Option<Verdict>,
    advice: Option<&'static str>,
    /// Left out but for a handshake, so that other lines stay as they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    light: Option<[u8; 3]>,
    /// Only while the terminal has no administrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    setup: Option<SetupLine>,
}

#[derive(Serialize)]
struct SetupLine {
    code: String,
    address: String,
    fingerprint: String,
}

/// Appends to a file.
#[derive(Debug)]
pub struct SimPrompt {
    path: PathBuf,
    file: File,
    last: Option<Screen>,
}

impl SimPrompt {
    /// Opens `path` for appending, making it if absent.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path) -> Result<Self, PortError> {
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(|e| failed(path, &e))?;
        Ok(SimPrompt { path: path.to_owned(), file, last: None })
    }
}

fn failed(path: &Path, e: &std::io::Error) -> PortError {
    PortError::new(format!("write screens to {}", path.display()), e, "check prompt.path", Recovery::Degrade)
}

impl Prompt for SimPrompt {
    fn show(&mut self, screen: &Screen) -> Result<(), PortError> {
        if self.last.as_ref() == Some(screen) {
            return Ok(());
        }
        let line = Line {
            phase: screen.phase.name(),
            action: screen.action,
            step: screen.progress.0,
            of: screen.progress.1,
            left: screen.left,
            window_ms: screen.window_ms,
            verdict: screen.verdict,
            advice: screen.advice.map(Advice::name),
            light: screen.light,
            setup: screen.setup.as_ref().map(|s| SetupLine {
                code: s.code.as_str().to_owned(),
                address: s.address.as_str().to_owned(),
                fingerprint: s.fingerprint.as_str().to_owned(),
            }),
        };
        let mut text = serde_json::to_string(&line).expect("a screen holds nothing that JSON cannot say");
        text.push('\n');
        // One write a line, so that a reader never sees half of one.
        self.file.write_all(text.as_bytes()).map_err(|e| failed(&self.path, &e))?;
        self.last = Some(*screen);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::screen::Phase;

    #[test]
    fn each_new_screen_is_one_pinned_line() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("screens");
        let mut prompt = SimPrompt::open(&path).expect("opens");
        let asking = Screen { phase: Phase::Challenge, action: Some(Action::Nod), progress: (0, 3), ..Screen::IDLE };
        let over = Screen {
            phase: Phase::Done,
            verdict: Some(Verdict::TryAgain),
            advice: Some(Advice::OneAtATime),
            ..Screen::IDLE
        };
        let lit = Screen { phase: Phase::Light, light: Some([255, 128, 255]), ..Screen::IDLE };
        for screen in [asking, asking, lit, over] {
            prompt.show(&screen).expect("writes");
        }
        let want = concat!(
            r#"{"phase":"challenge","action":"nod","step":0,"of":3,"left":0,"window_ms":0,"verdict":null,"advice":null}"#,
            "\n",
            r#"{"phase":"light","action":null,"step":0,"of":0,"left":0,"window_ms":0,"verdict":null,"advice":null,"light":[255,128,255]}"#,
            "\n",
            r#"{"phase":"done","action":null,"step":0,"of":0,"left":0,"window_ms":0,"verdict":"try_again","advice":"one_at_a_time"}"#,
            "\n",
        );
        assert_eq!(std::fs::read_to_string(path).expect("reads"), want);
    }

    #[test]
    fn a_path_that_cannot_be_written_is_named() {
        let e = SimPrompt::open(Path::new("/proc/no/screens")).expect_err("cannot");
        assert!(e.to_string().contains("/proc/no/screens"), "{e}");
    }
}
