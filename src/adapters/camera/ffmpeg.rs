//! A clip in any container that ffmpeg reads, as exact RGB frames with the container's own time stamps.
//!
//! One ffmpeg process decodes, turns (the rotation flag of phone clips) and writes raw pixels; its `showinfo` filter
//! writes number, time and size of each frame to standard error, in the same order. Nothing is dropped or doubled.

use crate::ports::{PortError, Recovery};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Largest frame that is read: 4096x4096 in RGB.
const MAX_FRAME: u64 = 4096 * 4096 * 3;

/// One decoded frame.
#[derive(Debug)]
pub struct RawFrame {
    /// Place in the clip, from 0.
    pub number: u64,
    /// Time since the clip's first frame; `None` when the container gives none.
    pub time: Option<Duration>,
    pub width: u32,
    pub height: u32,
    pub rgb: Vec<u8>,
}

/// A running ffmpeg. Killed and waited for on drop.
#[derive(Debug)]
pub struct Ffmpeg {
    path: PathBuf,
    child: Child,
    pixels: ChildStdout,
    lines: Receiver<Line>,
    /// Reads standard error, so that ffmpeg never waits for us there; gives back the last lines that were no frames.
    reader: Option<JoinHandle<VecDeque<String>>>,
    first_ns: Option<u128>,
    time_base: (u128, u128),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    TimeBase(u128, u128),
    Frame { number: u64, pts: Option<u128>, width: u32, height: u32 },
}

impl Ffmpeg {
    /// Starts `program` (normally `ffmpeg`) on `path`.
    ///
    /// # Errors
    /// The program cannot be started; a bad clip shows at the first frame.
    pub fn open(program: &str, path: &Path) -> Result<Self, PortError> {
        let mut input = std::ffi::OsString::from("file:");
        input.push(path);
        let mut child = Command::new(program)
            .args(["-hide_banner", "-nostdin", "-nostats", "-loglevel", "info"])
            // A playlist in a clip's clothes must not reach other files' protocols or the network.
            .args(["-protocol_whitelist", "file", "-i"])
            .arg(input)
            .args(["-map", "0:v:0", "-vf", "format=rgb24,showinfo=checksum=0", "-fps_mode", "passthrough"])
            .args(["-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| {
                PortError::new(
                    format!("start {program} for {}", path.display()),
                    e,
                    "clips other than JPEG directories and MJPEG files need ffmpeg 5.1 or newer: `apt install ffmpeg`",
                    Recovery::Fatal,
                )
            })?;
        let pixels = child.stdout.take().expect("standard output was asked for as a pipe");
        let stderr = child.stderr.take().expect("standard error was asked for as a pipe");
        // Small, but larger than what ffmpeg has decoded and not written yet.
        let (send, lines) = sync_channel(256);
        let reader = std::thread::spawn(move || {
            let mut last = VecDeque::new();
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                match parse(&line) {
                    Some(parsed) => {
                        // The receiver is gone when the clip is dropped; reading goes on to the end all the same.
                        let _ = send.send(parsed);
                    }
                    None if line.starts_with("[Parsed_showinfo") || line.trim().is_empty() => {}
                    None => {
                        if last.len() == 4 {
                            last.pop_front();
                        }
                        last.push_back(line);
                    }
                }
            }
            last
        });
        Ok(Ffmpeg {
            path: path.to_owned(),
            child,
            pixels,
            lines,
            reader: Some(reader),
            first_ns: None,
            time_base: (0, 1),
        })
    }

    /// The next frame; `None` after the last one. Waits for ffmpeg.
    ///
    /// # Errors
    /// ffmpeg ended with an error, or a frame is cut or too big.
    pub fn read(&mut self) -> Result<Option<RawFrame>, PortError> {
        let (number, pts, width, height) = loop {
            match self.lines.recv() {
                Ok(Line::TimeBase(n, d)) => self.time_base = (n, d),
                Ok(Line::Frame { number, pts, width, height }) => break (number, pts, width, height),
                Err(_) => return self.ended(),
            }
        };
        let bytes = u64::from(width) * u64::from(height) * 3;
        if bytes == 0 || bytes > MAX_FRAME {
            return Err(self.error(format!("its frames have {width}x{height} pixels"), "scale the clip down"));
        }
        let mut rgb = vec![0; bytes as usize];
        if let Err(e) = self.pixels.read_exact(&mut rgb) {
            self.ended()?;
            return Err(self.error(format!("frame {number} is cut: {e}"), "check the clip with ffprobe"));
        }
        let ns = pts.map(|p| p * self.time_base.0 * 1_000_000_000 / self.time_base.1.max(1));
        let first = *self.first_ns.get_or_insert(ns.unwrap_or(0));
        let time = ns.map(|ns| Duration::from_nanos(u64::try_from(ns.saturating_sub(first)).unwrap_or(u64::MAX)));
        Ok(Some(RawFrame { number, time, width, height, rgb }))
    }

    /// ffmpeg closed its output: whether that was the end or a failure.
    fn ended(&mut self) -> Result<Option<RawFrame>, PortError> {
        let last = self.reader.take().and_then(|r| r.join().ok()).unwrap_or_default();
        match self.child.wait() {
            Ok(status) if status.success() && self.first_ns.is_some() => Ok(None),
            Ok(status) => {
                let why = last.back().cloned().unwrap_or_else(|| "it says nothing".into());
                Err(self.error(format!("ffmpeg ended with {status}: {why}"), "check the clip with ffprobe"))
            }
            Err(e) => Err(self.error(e.to_string(), "try again")),
        }
    }

    fn error(&self, cause: String, hint: &str) -> PortError {
        PortError::new(format!("decode {} with ffmpeg", self.path.display()), cause, hint, Recovery::Fatal)
    }
}

impl Drop for Ffmpeg {
    fn drop(&mut self) {
        // Both fail only when it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // The reader sees the end of standard error; its queue must not hold it up.
        while self.lines.recv_timeout(Duration::from_secs(1)).is_ok() {}
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// Reads a line of `showinfo`: its time base, or a frame.
fn parse(line: &str) -> Option<Line> {
    let rest = line.strip_prefix("[Parsed_showinfo")?.split_once("] ")?.1;
    if let Some(config) = rest.strip_prefix("config in time_base: ") {
        let (n, d) = config.split(',').next()?.split_once('/')?;
        return Some(Line::TimeBase(n.trim().parse().ok()?, d.trim().parse().ok()?));
    }
    let field = |name: &str| {
        let at = rest.find(&format!(" {name}:")).map(|at| at + name.len() + 2)?;
        rest[at..].split_whitespace().next()
    };
    let number = rest.strip_prefix("n:")?.split_whitespace().next()?.parse().ok()?;
    let (width, height) = field("s")?.split_once('x')?;
    Some(Line::Frame {
        number,
        pts: field("pts").and_then(|p| p.parse().ok()),
        width: width.parse().ok()?,
        height: height.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_lines_are_read_as_ffmpeg_writes_them() {
        let frame = "[Parsed_showinfo_1 @ 0x55ed8c6f9a80] n: 260 pts:   6238 pts_time:10.3967 pos:  1084340 fmt:rgb24 sar:0/1 s:360x480 i:P iskey:0 type:P ";
        assert_eq!(parse(frame), Some(Line::Frame { number: 260, pts: Some(6238), width: 360, height: 480 }));
        let none = "[Parsed_showinfo_1 @ 0x1] n:   0 pts: NOPTS pts_time:NOPTS   fmt:rgb24 sar:1/1 s:48x27 i:P";
        assert_eq!(parse(none), Some(Line::Frame { number: 0, pts: None, width: 48, height: 27 }));
        let base = "[Parsed_showinfo_1 @ 0x1] config in time_base: 1/600, frame_rate: 25/1";
        assert_eq!(parse(base), Some(Line::TimeBase(1, 600)));
        for other in
            ["[Parsed_showinfo_1 @ 0x1]   side data - x", "Stream #0:0: Video: h264, 480x360", "", "[Parsed_showinfo"]
        {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_missing_ffmpeg_names_the_command_that_installs_it() {
        let e = Ffmpeg::open("ffmpeg-that-is-not-there", Path::new("clip.mp4")).expect_err("is not there");
        assert!(e.to_string().contains("apt install ffmpeg"), "{e}");
    }
}
