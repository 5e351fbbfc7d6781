//! V4L2 cameras through mapped buffers.
//!
//! * *fresh again*: after a timeout the library has all buffers queued, and its `next` would queue one of them a second
//!   time. So the first frame after a stall is taken out and dropped, and the next one is handed out.

use super::nodes;
use crate::base::time::{Clock, Tick};
use crate::config::sections::Camera;
use crate::ports::{FrameSource, NextFrame, PortError, Recovery};
use crate::vision::frame::jpeg::{Extent, extent};
use crate::vision::frame::{Frame, PixelFormat, Rotation};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use v4l::buffer::{Flags, Metadata, Type};
use v4l::capability::Flags as Caps;
use v4l::io::mmap::Stream;
use v4l::io::traits::CaptureStream;
use v4l::video::Capture;
use v4l::video::capture::Parameters;
use v4l::{Device, Format, FourCC};

/// Whether this build can open V4L2 cameras.
pub const BUILT_IN: bool = true;

const BUFFERS: u32 = 4;
/// `ENODEV`: the device was unplugged.
const ENODEV: i32 = 19;

/// An open, streaming camera.
pub struct V4l2Camera {
    /// Dropped before the device: it maps the device's memory.
    stream: Stream<'static>,
    _device: Device,
    clock: Arc<dyn Clock>,
    node: PathBuf,
    identity: String,
    layout: Layout,
    rotation: Rotation,
    epoch: u32,
    /// The last call timed out; see *fresh again*.
    starved: bool,
    counter: Counter,
}

/// How the driver lays a frame out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    format: PixelFormat,
    width: u32,
    height: u32,
    /// Bytes from one row to the next; the driver may pad rows.
    stride: u32,
}

/// Opens `camera.device`, chooses a format and starts streaming with the first read.
///
/// # Errors
/// The device is missing, busy, no capture device or has no usable format; the hint lists the cameras that are there.
pub fn open(camera: &Camera, clock: Arc<dyn Clock>, epoch: u32) -> Result<Box<dyn FrameSource>, PortError> {
    let given = Path::new(&camera.device);
    let fail = |cause: String, hint: Option<&str>| {
        let hint = hint.map_or_else(|| nodes::candidates(Path::new("/")), str::to_owned);
        PortError::new(format!("open the camera {}", camera.device), cause, hint, Recovery::Reopen)
    };
    let node = given.canonicalize().map_err(|e| fail(e.to_string(), None))?;
    let device = Device::with_path(&node).map_err(|e| match e.raw_os_error() {
        Some(13) => fail(e.to_string(), Some("put the user of the daemon into the group `video`")),
        Some(16) => fail(e.to_string(), Some("another program uses it; `fuser -v` on the device names it")),
        _ => fail(e.to_string(), None),
    })?;
    let caps = device.query_caps().map_err(|e| fail(format!("it is no V4L2 device: {e}"), None))?;
    if !caps.capabilities.contains(Caps::VIDEO_CAPTURE | Caps::STREAMING) {
        return Err(fail(format!("`{}` ({}) does not capture video", caps.card, caps.driver), None));
    }
    let offered: Vec<[u8; 4]> =
        device.enum_formats().map_err(|e| fail(e.to_string(), None))?.iter().map(|f| f.fourcc.repr).collect();
    let (wanted, code) = choose(&offered, camera.format).map_err(|e| fail(e, Some("set camera.format to auto")))?;
    let asked = Format::new(camera.width, camera.height, FourCC::new(&code));
    let got = device.set_format(&asked).map_err(|e| {
        fail(format!("it refuses {}x{}: {e}", camera.width, camera.height), Some("another program may be using it"))
    })?;
    if got.fourcc.repr != code {
        return Err(fail(format!("it gives {} instead of {}", got.fourcc, asked.fourcc), Some("set camera.format")));
    }
    if (got.width, got.height) != (camera.width, camera.height) {
        tracing::warn!(asked = ?(camera.width, camera.height), got = ?(got.width, got.height), "the camera has another size");
    }
    // Many drivers have one rate only and refuse; the frames come all the same.
    if let Err(e) = device.set_params(&Parameters::with_fps(camera.fps)) {
        tracing::info!(fps = camera.fps, error = %e, "the camera keeps its own frame rate");
    }
    let mut stream = Stream::with_buffers(&device, Type::VideoCapture, BUFFERS)
        .map_err(|e| fail(format!("it gives no buffers: {e}"), Some("another program may be using it")))?;
    stream.set_timeout(camera.timeout);
    Ok(Box::new(V4l2Camera {
        stream,
        _device: device,
        clock,
        identity: format!("v4l2 {} {} {} {}", camera.device, caps.driver, caps.card, caps.bus),
        node,
        layout: Layout { format: wanted, width: got.width, height: got.height, stride: got.stride },
        rotation: camera.rotate,
        epoch,
        starved: false,
        counter: Counter::default(),
    }))
}

/// The format to ask for: the configured one, else the first of MJPG, YUYV, NV12, GREY that is offered. MJPG first,
/// since USB 2 carries 640x480 at 30 fps in YUYV but not 1280x720.
fn choose(offered: &[[u8; 4]], configured: Option<PixelFormat>) -> Result<(PixelFormat, [u8; 4]), String> {
    const KNOWN: [(PixelFormat, [u8; 4]); 5] = [
        (PixelFormat::Jpeg, *b"MJPG"),
        (PixelFormat::Jpeg, *b"JPEG"),
        (PixelFormat::Yuyv, *b"YUYV"),
        (PixelFormat::Nv12, *b"NV12"),
        (PixelFormat::Grey, *b"GREY"),
    ];
    KNOWN
        .into_iter()
        .find(|(format, code)| configured.is_none_or(|c| c == *format) && offered.contains(code))
        .ok_or_else(|| {
            let names: Vec<_> = offered.iter().map(|c| String::from_utf8_lossy(c).into_owned()).collect();
            let wish = configured.map_or("a format that can be read".into(), |f| format!("{f:?}"));
            format!("it does not offer {wish}, only {}", names.join(", "))
        })
}

/// One copy of the buffer, without row padding. Reading an uncached buffer more than once costs over half a core of a
/// Raspberry Pi 4.
fn take(buffer: &[u8], used: u32, layout: Layout) -> Result<Vec<u8>, String> {
    let used = if used == 0 { buffer.len() } else { used as usize };
    let data =
        buffer.get(..used).ok_or_else(|| format!("the driver says {used} bytes in a buffer of {}", buffer.len()))?;
    let (w, h) = (layout.width as usize, layout.height as usize);
    let (row, rows) = match layout.format {
        PixelFormat::Jpeg => {
            let mut data = data.to_vec();
            return match extent(&data) {
                Extent::Whole(n) => {
                    data.truncate(n);
                    Ok(data)
                }
                Extent::More => Err(format!("a JPEG of {used} bytes without an end")),
                Extent::Broken(why) => Err(why.into()),
            };
        }
        PixelFormat::Yuyv => (w * 2, h),
        PixelFormat::Nv12 => (w, h + h / 2),
        PixelFormat::Grey => (w, h),
        PixelFormat::Rgb => (w * 3, h),
    };
    let stride = (layout.stride as usize).max(row);
    // The last row may come without its padding.
    if row == 0 || rows == 0 || data.len() < stride * (rows - 1) + row {
        return Err(format!("{used} bytes are too few for {w}x{h}"));
    }
    if stride == row {
        return Ok(data[..row * rows].to_vec());
    }
    let mut out = Vec::with_capacity(row * rows);
    for line in data.chunks(stride).take(rows) {
        out.extend_from_slice(&line[..row]);
    }
    Ok(out)
}

/// Turns the driver's 32-bit number, which wraps after years and stands still in some drivers, into one that rises.
#[derive(Clone, Copy, Debug, Default)]
struct Counter(Option<u64>);

impl Counter {
    fn number(&mut self, sequence: u32) -> u64 {
        let number = match self.0 {
            None => u64::from(sequence),
            Some(last) => {
                let step = sequence.wrapping_sub(last as u32);
                // No step, or one backwards (a driver that began anew), counts as one.
                last + if step == 0 || step > u32::MAX / 2 { 1 } else { u64::from(step) }
            }
        };
        self.0 = Some(number);
        number
    }
}

/// When the frame was taken: the driver's stamp if it is of the monotonic clock and neither in the future nor older
/// than the stream can be; otherwise now, less nothing, since no better is known.
fn captured(meta: &Metadata, now: Tick) -> Tick {
    let monotonic = meta.flags.bits() & Flags::TIMESTAMP_MASK.bits() == Flags::TIMESTAMP_MONOTONIC.bits();
    let (Ok(sec), Ok(usec)) = (u64::try_from(meta.timestamp.sec), u64::try_from(meta.timestamp.usec)) else {
        return now;
    };
    let stamp = Tick::from_nanos(sec.saturating_mul(1_000_000_000).saturating_add(usec.saturating_mul(1000)));
    if monotonic && stamp <= now && stamp > Tick::ZERO { stamp } else { now }
}

impl V4l2Camera {
    fn failed(&self, e: &io::Error) -> PortError {
        let hint = match e.raw_os_error() {
            Some(ENODEV) => "the camera was unplugged; plug it in again".to_owned(),
            _ => nodes::candidates(Path::new("/")),
        };
        PortError::new(format!("dequeue a frame from {}", self.node.display()), e, hint, Recovery::Reopen)
    }

    /// `None`: nothing came in time.
    fn waited<T>(&mut self, result: io::Result<T>) -> Result<Option<T>, PortError> {
        match result {
            Ok(v) => {
                self.starved = false;
                Ok(Some(v))
            }
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::TimedOut | io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) =>
            {
                self.starved = true;
                Ok(None)
            }
            Err(e) => Err(self.failed(&e)),
        }
    }
}

impl FrameSource for V4l2Camera {
    fn next(&mut self, timeout: Duration) -> Result<NextFrame, PortError> {
        self.stream.set_timeout(timeout);
        if self.starved {
            let dropped = self.stream.dequeue();
            if self.waited(dropped)?.is_none() {
                return Ok(NextFrame::Stalled);
            }
        }
        let result = match self.stream.next() {
            Ok((buffer, meta)) => Ok((take(buffer, meta.bytesused, self.layout), *meta)),
            Err(e) => Err(e),
        };
        let Some((data, meta)) = self.waited(result)? else { return Ok(NextFrame::Stalled) };
        let seq = self.counter.number(meta.sequence);
        if meta.flags.contains(Flags::ERROR) {
            return Ok(NextFrame::Torn(format!("the driver marks frame {seq} as damaged")));
        }
        let data = match data {
            Ok(data) => data,
            Err(why) => return Ok(NextFrame::Torn(why)),
        };
        Ok(NextFrame::Frame(Frame {
            seq,
            captured: captured(&meta, self.clock.now()),
            epoch: self.epoch,
            format: self.layout.format,
            width: self.layout.width,
            height: self.layout.height,
            rotation: self.rotation,
            data,
        }))
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use v4l::timestamp::Timestamp;

    #[test]
    fn the_first_known_format_is_taken_unless_one_is_configured() {
        let all = [*b"H264", *b"GREY", *b"NV12", *b"YUYV", *b"MJPG"];
        assert_eq!(choose(&all, None), Ok((PixelFormat::Jpeg, *b"MJPG")));
        assert_eq!(choose(&all[..4], None), Ok((PixelFormat::Yuyv, *b"YUYV")));
        assert_eq!(choose(&all[..3], None), Ok((PixelFormat::Nv12, *b"NV12")));
        assert_eq!(choose(&all[..2], None), Ok((PixelFormat::Grey, *b"GREY")));
        assert_eq!(choose(&[*b"JPEG"], None), Ok((PixelFormat::Jpeg, *b"JPEG")));
        assert_eq!(choose(&all, Some(PixelFormat::Grey)), Ok((PixelFormat::Grey, *b"GREY")));
        let e = choose(&all[..1], Some(PixelFormat::Yuyv)).expect_err("not offered");
        assert!(e.contains("Yuyv") && e.contains("H264"), "{e}");
    }

    fn meta(flags: Flags, sec: i64, usec: i64) -> Metadata {
        Metadata { flags, timestamp: Timestamp::new(sec, usec), ..Metadata::default() }
    }

    #[test]
    fn only_a_monotonic_stamp_that_is_not_in_the_future_is_believed() {
        let now = Tick::from_millis(20_000);
        let at = |m: Metadata| captured(&m, now).as_nanos();
        assert_eq!(at(meta(Flags::TIMESTAMP_MONOTONIC, 19, 500_001)), 19_500_001_000);
        for wrong in [
            meta(Flags::TIMESTAMP_MONOTONIC, 21, 0),
            meta(Flags::TIMESTAMP_MONOTONIC, -1, 0),
            meta(Flags::TIMESTAMP_MONOTONIC, 0, 0),
            meta(Flags::TIMESTAMP_COPY, 19, 0),
            meta(Flags::from(0), 19, 0),
        ] {
            assert_eq!(at(wrong), now.as_nanos());
        }
    }

    #[test]
    fn numbers_rise_over_a_wrap_a_gap_and_a_driver_that_stands_still() {
        let mut c = Counter::default();
        let got: Vec<u64> = [u32::MAX - 1, u32::MAX, 0, 3, 3, 0].map(|s| c.number(s)).into();
        let base = u64::from(u32::MAX);
        assert_eq!(got, [base - 1, base, base + 1, base + 4, base + 5, base + 6]);
    }

    #[test]
    fn row_padding_is_left_out_and_short_buffers_are_torn() {
        let grey = Layout { format: PixelFormat::Grey, width: 2, height: 2, stride: 4 };
        assert_eq!(take(&[1, 2, 0, 0, 3, 4, 0, 0, 9, 9], 8, grey), Ok(vec![1, 2, 3, 4]));
        assert_eq!(take(&[1, 2, 0, 0, 3, 4], 6, grey), Ok(vec![1, 2, 3, 4]));
        assert!(take(&[1, 2, 0, 0, 3], 5, grey).is_err());
        assert!(take(&[1, 2, 0, 0, 3, 4], 7, grey).is_err(), "more than the buffer holds");
        let nv12 = Layout { format: PixelFormat::Nv12, width: 2, height: 2, stride: 2 };
        assert_eq!(take(&[1, 2, 3, 4, 5, 6, 7], 7, nv12), Ok(vec![1, 2, 3, 4, 5, 6]));
    }

    #[test]
    fn a_jpeg_buffer_is_cut_at_its_end_and_torn_without_one() {
        let jpeg = Layout { format: PixelFormat::Jpeg, width: 2, height: 2, stride: 0 };
        let whole = [0xFF, 0xD8, 0xFF, 0xDA, 0, 2, 1, 0xFF, 0xD9];
        assert_eq!(take(&[&whole[..], &[0; 9]].concat(), 18, jpeg), Ok(whole.to_vec()));
        assert!(take(&whole[..7], 7, jpeg).is_err());
        assert!(take(&[0; 64], 64, jpeg).is_err());
    }
}
