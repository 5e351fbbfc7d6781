//! A program that writes MJPEG to its standard output: `rpicam-vid`, `gst-launch-1.0`, `ffmpeg`.
//!
//! Frames carry no time of their own, and a pipe hides for how long its bytes have lain there. So a frame is stamped
//! with the last moment at which the pipe was seen empty before the frame's first byte came: it may look older than it
//! is, never younger than the pipe can have made it.

use super::mjpeg::{Piece, Splitter};
use crate::base::time::{Clock, Tick};
use crate::ports::{FrameSource, NextFrame, PortError, Recovery};
use crate::vision::frame::{Frame, PixelFormat, Rotation};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A running camera program; it and everything that it started is killed on drop.
pub struct CommandCamera {
    clock: Arc<dyn Clock>,
    name: String,
    child: Child,
    group: Option<Pid>,
    output: ChildStdout,
    said: Arc<Mutex<VecDeque<String>>>,
    splitter: Splitter,
    rotation: Rotation,
    epoch: u32,
    number: u64,
    /// When the pipe was last seen empty.
    empty_at: Tick,
    /// Stamp of the picture whose bytes are coming in.
    stamp: Option<Tick>,
}

impl CommandCamera {
    /// Starts `command`, a program and its arguments; no shell ever sees them.
    ///
    /// # Errors
    /// The list is empty, or the program cannot be started.
    pub fn open(command: &[String], rotation: Rotation, clock: Arc<dyn Clock>, epoch: u32) -> Result<Self, PortError> {
        let Some((program, arguments)) = command.split_first() else {
            let hint = "set camera.command = [\"program\", \"argument\", …]";
            return Err(PortError::new("start the camera program", "camera.command is empty", hint, Recovery::Fatal));
        };
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|e| {
                let hint = "check camera.command; it is a list of program and arguments, not a shell line";
                PortError::new(format!("start the camera program {program}"), e, hint, Recovery::Reopen)
            })?;
        let output = child.stdout.take().expect("standard output was asked for as a pipe");
        let stderr = child.stderr.take().expect("standard error was asked for as a pipe");
        let said = Arc::new(Mutex::new(VecDeque::new()));
        // Ends with the pipe's last writer, whom the drop below kills.
        std::thread::spawn({
            let said = Arc::clone(&said);
            move || keep_last_lines(stderr, &said)
        });
        Ok(CommandCamera {
            group: i32::try_from(child.id()).ok().and_then(Pid::from_raw),
            name: command.join(" "),
            empty_at: clock.now(),
            clock,
            child,
            output,
            said,
            splitter: Splitter::default(),
            rotation,
            epoch,
            number: 0,
            stamp: None,
        })
    }

    /// Waits until bytes are there; false when `deadline` came first.
    fn readable(&mut self, deadline: Tick) -> Result<bool, PortError> {
        loop {
            let now = self.clock.now();
            let mut fds = [PollFd::new(&self.output, PollFlags::IN)];
            let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
            match poll(&mut fds, Some(&at_once)) {
                Ok(0) => self.empty_at = now,
                Ok(_) => return Ok(true),
                Err(rustix::io::Errno::INTR) => continue,
                Err(e) => return Err(self.gone(e.to_string())),
            }
            let left = deadline.since(now);
            if left.is_zero() {
                return Ok(false);
            }
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            match poll(&mut fds, Some(&left)) {
                Ok(0) => return Ok(false),
                Ok(_) => {
                    // It was empty until now.
                    self.empty_at = self.clock.now();
                    return Ok(true);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(self.gone(e.to_string())),
            }
        }
    }

    fn gone(&mut self, cause: String) -> PortError {
        let said = self.said.lock().expect("lines mutex: no holder panics").back().cloned();
        let cause = said.map_or(cause.clone(), |line| format!("{cause}; it said: {line}"));
        let hint = "run it by hand and see whether it writes MJPEG to its standard output";
        PortError::new(format!("read frames from `{}`", self.name), cause, hint, Recovery::Reopen)
    }

    /// The program closed its output.
    fn ended(&mut self) -> PortError {
        // It may close its output before it ends; it is not waited for longer than this.
        for _ in 0..20 {
            match self.child.try_wait() {
                Ok(Some(status)) => return self.gone(format!("it ended with {status}")),
                Ok(None) => std::thread::sleep(Duration::from_millis(5)),
                Err(e) => return self.gone(e.to_string()),
            }
        }
        self.gone("it closed its output".into())
    }
}

impl FrameSource for CommandCamera {
    fn next(&mut self, timeout: Duration) -> Result<NextFrame, PortError> {
        let deadline = self.clock.now() + timeout;
        loop {
            match self.splitter.take() {
                Ok(Some(Piece::Picture(data))) => {
                    let seq = self.number;
                    self.number += 1;
                    let captured = self.stamp.take().unwrap_or(self.empty_at);
                    // What is left in the buffer came with this picture's last bytes or before them.
                    self.stamp = (self.splitter.held() > 0).then_some(self.empty_at);
                    return Ok(NextFrame::Frame(Frame {
                        seq,
                        captured,
                        epoch: self.epoch,
                        format: PixelFormat::Jpeg,
                        width: 0,
                        height: 0,
                        rotation: self.rotation,
                        data,
                    }));
                }
                Ok(Some(Piece::Torn(why))) => {
                    self.number += 1;
                    return Ok(NextFrame::Torn(why));
                }
                Ok(None) => {}
                Err(why) => return Err(self.gone(why)),
            }
            if !self.splitter.unfinished() && self.splitter.held() == 0 {
                self.stamp = None;
            }
            if !self.readable(deadline)? {
                return Ok(NextFrame::Stalled);
            }
            let mut chunk = [0; 65536];
            match self.output.read(&mut chunk) {
                Ok(0) => return Err(self.ended()),
                Ok(n) => {
                    self.stamp.get_or_insert(self.empty_at);
                    self.splitter.push(&chunk[..n]);
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.gone(e.to_string())),
            }
            if self.clock.now() > deadline && !self.splitter.unfinished() {
                // Bytes come, but no pictures: the caller must not wait for ever.
                return Ok(NextFrame::Stalled);
            }
        }
    }

    fn identity(&self) -> String {
        format!("command {}", self.name)
    }
}

impl Drop for CommandCamera {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // Fails only when nobody of the group is left.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn keep_last_lines(stderr: impl Read, said: &Mutex<VecDeque<String>>) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        // A program that never ends its line must not fill the memory.
        match reader.by_ref().take(4096).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text: String = String::from_utf8_lossy(&line).chars().filter(|c| !c.is_control()).take(200).collect();
        if !text.trim().is_empty() {
            let mut said = said.lock().expect("lines mutex: no holder panics");
            if said.len() == 4 {
                said.pop_front();
            }
            said.push_back(text);
        }
    }
}
