//! Clips: a directory of JPEGs, an MJPEG file, or any video through ffmpeg. Read as fast as possible by [`ClipReader`]
//! on the clip's own clock (`replay`, `eval`), or paced like a camera by [`FileCamera`] (`run`, demo).

use super::ffmpeg::Ffmpeg;
use super::mjpeg::{Piece, Splitter};
use crate::base::time::{Clock, Tick};
use crate::ports::{FrameSource, NextFrame, PortError, Recovery};
use crate::vision::frame::{Frame, PixelFormat, Rotation};
use std::cmp::Ordering;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How a clip is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipOptions {
    /// Frames a second of clips that carry no times: directories and MJPEG files.
    pub fps: u32,
    /// How the frames must be turned beyond what the container says.
    pub rotation: Rotation,
    /// Tick of the first frame.
    pub origin: Tick,
    pub epoch: u32,
}

impl Default for ClipOptions {
    fn default() -> Self {
        ClipOptions { fps: 30, rotation: Rotation::None, origin: Tick::ZERO, epoch: 0 }
    }
}

/// Reads a clip from its first to its last frame; frame numbers are places in decode order, from 0.
#[derive(Debug)]
pub struct ClipReader {
    path: PathBuf,
    options: ClipOptions,
    source: Source,
    /// Number of the next frame where the source does not tell.
    number: u64,
}

#[derive(Debug)]
enum Source {
    Directory(std::vec::IntoIter<PathBuf>),
    Mjpeg { file: File, splitter: Splitter, ended: bool },
    Ffmpeg(Box<Ffmpeg>),
}

fn unreadable(path: &Path, cause: impl ToString) -> PortError {
    PortError::new(
        format!("read the clip {}", path.display()),
        cause,
        "name a directory of JPEGs, an MJPEG file or a video",
        Recovery::Fatal,
    )
}

impl ClipReader {
    /// Opens `path`, whose kind its content shows.
    ///
    /// # Errors
    /// It is not there, holds no picture, or needs ffmpeg, which is missing.
    pub fn open(path: &Path, options: ClipOptions) -> Result<Self, PortError> {
        let source = if path.is_dir() {
            Source::Directory(pictures(path)?.into_iter())
        } else {
            let mut file = File::open(path).map_err(|e| unreadable(path, e))?;
            let mut head = Vec::new();
            file.by_ref().take(2).read_to_end(&mut head).map_err(|e| unreadable(path, e))?;
            let named =
                path.extension().is_some_and(|e| e.eq_ignore_ascii_case("mjpeg") || e.eq_ignore_ascii_case("mjpg"));
            if named || head == [0xFF, 0xD8] {
                let mut splitter = Splitter::default();
                splitter.push(&head);
                Source::Mjpeg { file, splitter, ended: false }
            } else {
                Source::Ffmpeg(Box::new(Ffmpeg::open("ffmpeg", path)?))
            }
        };
        Ok(ClipReader { path: path.to_owned(), options, source, number: 0 })
    }

    /// The next frame, the reason why one is unusable, or the end.
    ///
    /// # Errors
    /// The clip cannot be read on.
    pub fn read(&mut self) -> Result<NextFrame, PortError> {
        match &mut self.source {
            Source::Directory(files) => {
                let Some(file) = files.next() else { return Ok(NextFrame::End) };
                let data = std::fs::read(&file).map_err(|e| unreadable(&file, e))?;
                Ok(NextFrame::Frame(self.jpeg(data)))
            }
            Source::Mjpeg { file, splitter, ended } => loop {
                match splitter.take().map_err(|e| unreadable(&self.path, e))? {
                    Some(Piece::Picture(data)) => return Ok(NextFrame::Frame(self.jpeg(data))),
                    Some(Piece::Torn(why)) => return Ok(NextFrame::Torn(why)),
                    None => {}
                }
                if *ended {
                    return Ok(NextFrame::End);
                }
                let mut chunk = [0; 65536];
                match file.read(&mut chunk).map_err(|e| unreadable(&self.path, e))? {
                    0 if splitter.unfinished() => {
                        *ended = true;
                        *splitter = Splitter::default();
                        return Ok(NextFrame::Torn("the file ends inside of a picture".into()));
                    }
                    0 if self.number == 0 => return Err(unreadable(&self.path, "there is no JPEG picture in it")),
                    0 => *ended = true,
                    n => splitter.push(&chunk[..n]),
                }
            },
            Source::Ffmpeg(ffmpeg) => {
                let Some(raw) = ffmpeg.read()? else { return Ok(NextFrame::End) };
                let since = raw.time.unwrap_or_else(|| self.regular(raw.number));
                Ok(NextFrame::Frame(Frame {
                    seq: raw.number,
                    captured: self.options.origin + since,
                    epoch: self.options.epoch,
                    format: PixelFormat::Rgb,
                    width: raw.width,
                    height: raw.height,
                    rotation: self.options.rotation,
                    data: raw.rgb,
                }))
            }
        }
    }

    fn jpeg(&mut self, data: Vec<u8>) -> Frame {
        let seq = self.number;
        self.number += 1;
        Frame {
            seq,
            captured: self.options.origin + self.regular(seq),
            epoch: self.options.epoch,
            format: PixelFormat::Jpeg,
            width: 0,
            height: 0,
            rotation: self.options.rotation,
            data,
        }
    }

    /// Time of frame `n` at the configured rate.
    fn regular(&self, n: u64) -> Duration {
        Duration::from_nanos(n.saturating_mul(1_000_000_000) / u64::from(self.options.fps.max(1)))
    }
}

impl FrameSource for ClipReader {
    /// Never waits for a clock, so `timeout` is not looked at.
    fn next(&mut self, _timeout: Duration) -> Result<NextFrame, PortError> {
        self.read()
    }

    fn identity(&self) -> String {
        format!("file {}", self.path.display())
    }
}

/// The JPEG files of a directory in the order that a person would count them.
fn pictures(dir: &Path) -> Result<Vec<PathBuf>, PortError> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|e| unreadable(dir, e))? {
        let path = entry.map_err(|e| unreadable(dir, e))?.path();
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("jpg") || e.eq_ignore_ascii_case("jpeg")) {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(unreadable(dir, "there is no .jpg or .jpeg file in it"));
    }
    files.sort_by(|a, b| natural(&a.to_string_lossy(), &b.to_string_lossy()));
    Ok(files)
}

/// Compares texts so that `frame_9` comes before `frame_10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while let (Some(&x), Some(&y)) = (a.first(), b.first()) {
        let ordering = if x.is_ascii_digit() && y.is_ascii_digit() {
            let (m, n) = (number(&mut a), number(&mut b));
            m.len().cmp(&n.len()).then_with(|| m.cmp(n))
        } else {
            (a, b) = (&a[1..], &b[1..]);
            x.cmp(&y)
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
    a.len().cmp(&b.len())
}

/// Takes the digits that `text` begins with, without leading zeros.
fn number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text.iter().position(|c| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    let zeros = digits.iter().position(|&c| c != b'0').unwrap_or(digits.len());
    &digits[zeros..]
}

/// A clip that plays like a camera: a frame comes when its time has come, stamped with that time.
pub struct FileCamera {
    clock: Arc<dyn Clock>,
    reader: ClipReader,
    looped: bool,
    /// When the clip's time was zero; set by the first frame, since ffmpeg takes a while to start.
    began: Option<Tick>,
    /// A frame whose time has not come yet.
    waiting: Option<Frame>,
}

impl FileCamera {
    /// Opens `path`. At the end of a `looped` clip it is opened again with the next epoch, as if the camera had been
    /// plugged in anew: nothing that was seen before the cut may count after it.
    ///
    /// # Errors
    /// As [`ClipReader::open`].
    pub fn open(path: &Path, options: ClipOptions, looped: bool, clock: Arc<dyn Clock>) -> Result<Self, PortError> {
        let options = ClipOptions { origin: Tick::ZERO, ..options };
        Ok(FileCamera { clock, reader: ClipReader::open(path, options)?, looped, began: None, waiting: None })
    }

    fn fetch(&mut self) -> Result<Option<NextFrame>, PortError> {
        match self.reader.read()? {
            NextFrame::Frame(frame) => {
                self.waiting = Some(frame);
                Ok(None)
            }
            NextFrame::End if self.looped => {
                let options = self.reader.options;
                let options = ClipOptions { epoch: options.epoch.wrapping_add(1), ..options };
                self.reader = ClipReader::open(&self.reader.path, options)?;
                self.began = None;
                Ok(None)
            }
            other => Ok(Some(other)),
        }
    }
}

impl FrameSource for FileCamera {
    fn next(&mut self, timeout: Duration) -> Result<NextFrame, PortError> {
        let deadline = self.clock.now() + timeout;
        while self.waiting.is_none() {
            if let Some(other) = self.fetch()? {
                return Ok(other);
            }
        }
        let Some(mut frame) = self.waiting.take() else { return Ok(NextFrame::Stalled) };
        let now = self.clock.now();
        let since = frame.captured.since(Tick::ZERO);
        let began = *self.began.get_or_insert(now - since);
        let mut due = began + since;
        if now.since(due) > Duration::from_millis(100) {
            // The reader was held up. A camera would have taken this picture now, not then.
            self.began = Some(now - since);
            due = now;
        }
        if due > now {
            let until = due.min(deadline);
            std::thread::sleep(until.since(now));
            if self.clock.now() < due {
                self.waiting = Some(frame);
                return Ok(NextFrame::Stalled);
            }
        }
        frame.captured = due;
        Ok(NextFrame::Frame(frame))
    }

    fn identity(&self) -> String {
        self.reader.identity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::ManualClock;

    #[test]
    fn files_are_sorted_as_a_person_would_count() {
        let mut names = ["f10.jpg", "f9.jpg", "f009b.jpg", "f1.jpg", "e2.jpg", "f.jpg"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["e2.jpg", "f.jpg", "f1.jpg", "f9.jpg", "f009b.jpg", "f10.jpg"]);
    }

    fn directory(frames: u8) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        for n in 0..frames {
            std::fs::write(dir.path().join(format!("frame_{n}.jpg")), [n]).expect("writes");
        }
        dir
    }

    #[test]
    fn a_directory_gives_its_frames_in_order_at_the_configured_rate() {
        let dir = directory(12);
        std::fs::write(dir.path().join("notes.txt"), "no frame").expect("writes");
        let options = ClipOptions { fps: 25, origin: Tick::from_millis(1000), epoch: 7, rotation: Rotation::Cw90 };
        let mut clip = ClipReader::open(dir.path(), options).expect("opens");
        for n in 0..12u8 {
            let Ok(NextFrame::Frame(f)) = clip.read() else { panic!("frame {n}") };
            assert_eq!((f.seq, f.captured.as_millis(), f.epoch), (u64::from(n), 1000 + 40 * u64::from(n), 7));
            assert_eq!((f.data, f.rotation), (vec![n], Rotation::Cw90));
        }
        assert!(matches!(clip.read(), Ok(NextFrame::End)));
    }

    #[test]
    fn a_file_camera_gives_each_frame_when_its_time_has_come_and_loops_into_a_new_epoch() {
        let dir = directory(2);
        let clock = Arc::new(ManualClock::new(0));
        clock.advance(Duration::from_secs(5));
        let options = ClipOptions { fps: 10, epoch: 3, ..ClipOptions::default() };
        let mut camera = FileCamera::open(dir.path(), options, true, clock.clone()).expect("opens");
        let mut next = || camera.next(Duration::ZERO).expect("reads");
        let Ok(first) = is_frame(next()) else { panic!("the first frame comes at once") };
        assert_eq!((first.seq, first.captured, first.epoch), (0, Tick::from_millis(5000), 3));
        assert!(matches!(next(), NextFrame::Stalled));
        clock.advance(Duration::from_millis(99));
        assert!(matches!(next(), NextFrame::Stalled));
        clock.advance(Duration::from_millis(1));
        let second = is_frame(next()).expect("its time has come");
        assert_eq!((second.seq, second.captured), (1, Tick::from_millis(5100)));
        let again = is_frame(next()).expect("a clip that begins anew");
        assert_eq!((again.seq, again.epoch), (0, 4));
    }

    #[test]
    fn a_frame_is_never_stamped_with_a_time_long_before_it_was_handed_out() {
        let dir = directory(3);
        let clock = Arc::new(ManualClock::new(0));
        let options = ClipOptions { fps: 10, ..ClipOptions::default() };
        let mut camera = FileCamera::open(dir.path(), options, false, clock.clone()).expect("opens");
        is_frame(camera.next(Duration::ZERO).expect("reads")).expect("the first");
        clock.advance(Duration::from_secs(9));
        let late = is_frame(camera.next(Duration::ZERO).expect("reads")).expect("the second");
        assert_eq!(late.captured, Tick::from_millis(9000));
        assert!(matches!(camera.next(Duration::ZERO), Ok(NextFrame::Stalled)), "the third comes 100 ms after it");
    }

    fn is_frame(next: NextFrame) -> Result<Frame, NextFrame> {
        match next {
            NextFrame::Frame(f) => Ok(f),
            other => Err(other),
        }
    }

    #[test]
    fn a_directory_without_pictures_and_a_missing_file_are_named() {
        let dir = directory(0);
        for path in [dir.path().to_owned(), dir.path().join("gone.mp4")] {
            let e = ClipReader::open(&path, ClipOptions::default()).expect_err("nothing to read");
            assert!(e.to_string().contains(&path.display().to_string()), "{e}");
        }
    }
}
