//! The prompt as one file, `screen.png`, for a browser, a picture viewer or a display that another program drives.

use super::draw::Redraw;
use super::sheet;
use crate::adapters::prompt::threaded::Display;
use crate::config::sections::PanelSize;
use crate::domain::screen::Screen;
use crate::ports::{PortError, Recovery};
use image::RgbImage;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Writes into a directory.
#[derive(Debug)]
pub struct PngDisplay {
    dir: PathBuf,
    column: usize,
    size: PanelSize,
    last: Option<RgbImage>,
}

impl PngDisplay {
    /// Writes into `dir`, making it if absent.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(dir: &Path, column: usize, size: PanelSize) -> Result<Self, PortError> {
        std::fs::create_dir_all(dir).map_err(|e| failed(dir, &e))?;
        Ok(PngDisplay { dir: dir.to_owned(), column, size, last: None })
    }
}

fn failed(dir: &Path, e: &std::io::Error) -> PortError {
    PortError::new(format!("write screens to {}", dir.display()), e, "check prompt.path", Recovery::Reopen)
}

impl Display for PngDisplay {
    fn show(&mut self, screen: &Screen, elapsed: Duration) -> Result<Redraw, PortError> {
        let (picture, redraw) = sheet::picture(screen, self.column, self.size, elapsed);
        if self.last.as_ref() != Some(&picture) {
            // Whoever looks at the file never sees half of one.
            let whole = self.dir.join("screen.png");
            let part = self.dir.join(".screen.png");
            sheet::write(&picture, &part)?;
            std::fs::rename(&part, &whole).map_err(|e| failed(&self.dir, &e))?;
            self.last = Some(picture);
        }
        // Ten files a second for the bar would wear out an SD card.
        Ok(if redraw == Redraw::Soon { Redraw::Never } else { redraw })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_screen_lies_in_the_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let inside = dir.path().join("screens");
        let mut display = PngDisplay::open(&inside, 5, PanelSize::S240x240).expect("opens");
        for (_, screen) in sheet::screens().into_iter().take(3) {
            display.show(&screen, Duration::ZERO).expect("writes");
            let read = image::open(inside.join("screen.png")).expect("a PNG file").into_rgb8();
            assert_eq!(read, sheet::picture(&screen, 5, PanelSize::S240x240, Duration::ZERO).0);
        }
        assert!(!inside.join(".screen.png").exists());
        let e = PngDisplay::open(Path::new("/proc/no"), 0, PanelSize::S128x64).expect_err("cannot");
        assert!(e.to_string().contains("/proc/no"), "{e}");
    }
}
