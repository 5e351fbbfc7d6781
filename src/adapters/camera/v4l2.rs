//! V4L2 cameras through mapped buffers.
//!
//! * *fresh again*: after a timeout the library has all buffers queued, and its `next` would queue one of them a second
//!   time. So the first frame after a stall is taken out and dropped, and the next one is handed out.
//! * *left over*: the first frame of a stream is dropped. v4l2loopback hands out the last one that was written, however
//!   long ago, and many USB cameras begin with half a picture.
//! * *stamps*: the driver's, if it is of the monotonic clock and not in the future. Otherwise (v4l2loopback gives none,
//!   vivid stamps the end of a frame before it comes) the last moment at which the driver had no frame: a call that had
//!   to wait shows that. So a frame may look older than it is, never younger.
//! * *panics of the library*: every panic ends the daemon, so what `v4l` panics on is not called. `query_caps` wants names
//!   in UTF-8, but the kernel cuts them after 31 bytes, within a character if need be: names come from sysfs
//!   ([`nodes`]). Dropping a stream panics when the driver refuses to stop: see [`V4l2Camera`]'s `drop`. What is left are
//!   drivers that break the API itself, as with a colour space that no kernel knows.

use super::{ControlInfo, FormatInfo, SizeInfo, controls, nodes};
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
use v4l::frameinterval::FrameIntervalEnum;
use v4l::framesize::FrameSizeEnum;
use v4l::io::mmap::Stream;
use v4l::io::traits::{CaptureStream, Stream as _};
use v4l::video::Capture;
use v4l::video::capture::Parameters;
use v4l::{Device, Format, FourCC, Fraction};

/// Whether this build can open V4L2 cameras.
pub const BUILT_IN: bool = true;

const BUFFERS: u32 = 4;
/// `ENODEV`: the device was unplugged.
const ENODEV: i32 = 19;
/// A call that took so long has waited for its frame.
const WAITED: Duration = Duration::from_millis(3);
/// Pause after a driver that announces a frame and has none.
const RETRY: Duration = Duration::from_millis(10);

/// An open, streaming camera.
pub struct V4l2Camera {
    /// Empty only while it is dropped.
    stream: Option<Stream<'static>>,
    clock: Arc<dyn Clock>,
    node: PathBuf,
    identity: String,
    layout: Layout,
    rotation: Rotation,
    epoch: u32,
    /// The last call timed out; see *fresh again*.
    starved: bool,
    /// A frame has come since the stream began; see *left over*.
    begun: bool,
    /// When the driver was last seen without a frame; see *stamps*.
    empty_at: Tick,
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
    let info = nodes::find(Path::new("/"), &node).ok_or_else(|| fail("it is no V4L2 device".into(), None))?;
    if info.virtual_device && !camera.virtual_allowed {
        let cause = format!("{} has no hardware behind it: a program can show it any film", info.identity());
        return Err(fail(cause, Some("choose another camera.device, or for tests set insecure.virtual_camera = true")));
    }
    let device = Device::with_path(&node).map_err(|e| match e.raw_os_error() {
        Some(13) => fail(e.to_string(), Some("put the user of the daemon into the group `video`")),
        Some(16) => fail(e.to_string(), Some("another program uses it; `fuser -v` on the device names it")),
        _ => fail(e.to_string(), None),
    })?;
    let offered = device.enum_formats().map_err(|e| fail(e.to_string(), None))?;
    let offered: Vec<[u8; 4]> = offered.iter().map(|f| f.fourcc.repr).collect();
    if offered.is_empty() {
        // A node for metadata or output, or a loopback that nobody feeds.
        return Err(fail(format!("`{}` captures no video, or not now", info.name), None));
    }
    let in_time = |code: &[u8; 4]| keeps_up(&sizes(&device, FourCC::new(code)), camera);
    let (wanted, code) =
        choose(&offered, camera.format, in_time).map_err(|e| fail(e, Some("set camera.format to auto")))?;
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
    controls::set(&device, &camera.controls)
        .map_err(|e| fail(e, Some("`cardea doctor camera` shows what it has; remove the key to leave it alone")))?;
    let mut stream = Stream::with_buffers(&device, Type::VideoCapture, BUFFERS)
        .map_err(|e| fail(format!("it gives no buffers: {e}"), Some("another program may be using it")))?;
    stream.set_timeout(camera.timeout);
    let empty_at = clock.now();
    Ok(Box::new(V4l2Camera {
        stream: Some(stream),
        clock,
        identity: info.identity(),
        node,
        layout: Layout { format: wanted, width: got.width, height: got.height, stride: got.stride },
        rotation: camera.rotate,
        epoch,
        starved: false,
        begun: false,
        empty_at,
        counter: Counter::default(),
    }))
}

/// What can be read, the cheapest first: CPU time to a picture of 640x480, measured on x86-64 in a release build: MJPG
/// 0.56 ms, YUYV 0.78, NV12 0.80. On Arm it was not measured. Grey is last whatever it costs: the liveness networks
/// were measured in colour.
const KNOWN: [(PixelFormat, [u8; 4]); 5] = [
    (PixelFormat::Jpeg, *b"MJPG"),
    (PixelFormat::Jpeg, *b"JPEG"),
    (PixelFormat::Yuyv, *b"YUYV"),
    (PixelFormat::Nv12, *b"NV12"),
    (PixelFormat::Grey, *b"GREY"),
];

/// What the camera at `node` offers to capture.
///
/// # Errors
/// It cannot be opened, or captures nothing.
pub fn formats(node: &Path) -> Result<Vec<FormatInfo>, PortError> {
    let fail = |e: io::Error| {
        let what = format!("ask {} for its formats", node.display());
        PortError::new(what, e, nodes::candidates(Path::new("/")), Recovery::Reopen)
    };
    let device = Device::with_path(node).map_err(fail)?;
    let offered = device.enum_formats().map_err(fail)?;
    Ok(offered
        .iter()
        .map(|format| FormatInfo {
            name: String::from_utf8_lossy(&format.fourcc.repr).trim_end().to_owned(),
            usable: KNOWN.iter().any(|(_, code)| *code == format.fourcc.repr),
            sizes: sizes(&device, format.fourcc),
        })
        .collect())
}

/// The controls of the camera at `node` as they stand.
///
/// # Errors
/// It cannot be opened.
pub fn controls_of(node: &Path) -> Result<ControlInfo, PortError> {
    let device = Device::with_path(node).map_err(|e| {
        let what = format!("ask {} for its controls", node.display());
        PortError::new(what, e, nodes::candidates(Path::new("/")), Recovery::Reopen)
    })?;
    Ok(controls::read(&device))
}

/// Sizes and rates of a format; of a range of sizes its ends. Drivers that tell none have none here.
fn sizes(device: &Device, code: FourCC) -> Vec<SizeInfo> {
    let offered = device.enum_framesizes(code).unwrap_or_default();
    let both: Vec<(u32, u32)> = offered
        .into_iter()
        .flat_map(|s| match s.size {
            FrameSizeEnum::Discrete(d) => vec![(d.width, d.height)],
            FrameSizeEnum::Stepwise(s) => vec![(s.min_width, s.min_height), (s.max_width, s.max_height)],
        })
        .collect();
    both.into_iter()
        .map(|(width, height)| {
            let intervals = device.enum_frameintervals(code, width, height).unwrap_or_default();
            let fps = intervals
                .iter()
                .flat_map(|i| match &i.interval {
                    FrameIntervalEnum::Discrete(every) => vec![rate(*every)],
                    FrameIntervalEnum::Stepwise(s) => vec![rate(s.min), rate(s.max)],
                })
                .collect();
            SizeInfo { width, height, fps }
        })
        .collect()
}

/// Frames a second of an interval in seconds.
fn rate(every: Fraction) -> f64 {
    f64::from(every.denominator) / f64::from(every.numerator.max(1))
}

/// The format to ask for: the configured one, else the cheapest that `keeps_up`, else MJPG, which a bus carries when it
/// carries nothing else at that size; grey only where there is nothing in colour.
fn choose(
    offered: &[[u8; 4]],
    configured: Option<PixelFormat>,
    keeps_up: impl Fn(&[u8; 4]) -> bool,
) -> Result<(PixelFormat, [u8; 4]), String> {
    let can: Vec<_> = KNOWN
        .into_iter()
        .filter(|(format, code)| configured.is_none_or(|c| c == *format) && offered.contains(code))
        .collect();
    let colour = || can.iter().filter(|(format, _)| *format != PixelFormat::Grey);
    let fast = colour().find(|(_, code)| keeps_up(code));
    let packed = || colour().find(|(format, _)| *format == PixelFormat::Jpeg);
    fast.or_else(packed).or_else(|| can.first()).copied().ok_or_else(|| {
        let names: Vec<_> = offered.iter().map(|c| String::from_utf8_lossy(c).into_owned()).collect();
        let wish = configured.map_or("a format that can be read".into(), |f| format!("{f:?}"));
        format!("it does not offer {wish}, only {}", names.join(", "))
    })
}

/// Whether a format comes at the asked size and rate. A driver that tells no sizes is believed to; USB 2 cameras tell
/// the rates that the bus leaves them, 640x480 in YUYV at 30 but 1280x720 at 10.
fn keeps_up(sizes: &[SizeInfo], camera: &Camera) -> bool {
    let of_size: Vec<&SizeInfo> =
        sizes.iter().filter(|s| (s.width, s.height) == (camera.width, camera.height)).collect();
    if of_size.is_empty() {
        // A range of sizes names its ends only.
        let within = |w: u32, h: u32| w >= camera.width && h >= camera.height;
        return sizes.is_empty() || sizes.iter().any(|s| within(s.width, s.height));
    }
    // Rates such as 29.97 count as 30.
    of_size.iter().any(|s| s.fps.is_empty() || s.fps.iter().any(|f| *f >= f64::from(camera.fps) * 0.98))
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

/// When the frame was taken, by the driver's stamp; `empty_at` where that cannot be believed. See *stamps*.
fn captured(meta: &Metadata, empty_at: Tick, now: Tick) -> Tick {
    let monotonic = meta.flags.bits() & Flags::TIMESTAMP_MASK.bits() == Flags::TIMESTAMP_MONOTONIC.bits();
    let (Ok(sec), Ok(usec)) = (u64::try_from(meta.timestamp.sec), u64::try_from(meta.timestamp.usec)) else {
        return empty_at;
    };
    let stamp = Tick::from_nanos(sec.saturating_mul(1_000_000_000).saturating_add(usec.saturating_mul(1000)));
    if monotonic && stamp <= now && stamp > Tick::ZERO { stamp } else { empty_at }
}

impl V4l2Camera {
    fn failed(&self, e: &io::Error) -> PortError {
        let hint = match e.raw_os_error() {
            Some(ENODEV) => "the camera was unplugged; plug it in again".to_owned(),
            _ => nodes::candidates(Path::new("/")),
        };
        PortError::new(format!("dequeue a frame from {}", self.node.display()), e, hint, Recovery::Reopen)
    }

    /// One call into the stream; `None`: nothing came in time.
    fn ask<T>(&mut self, call: impl FnOnce(&mut Stream<'static>) -> io::Result<T>) -> Result<Option<T>, PortError> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        match call(stream) {
            Ok(v) => {
                self.starved = false;
                Ok(Some(v))
            }
            Err(e) => {
                self.starved = true;
                match e.kind() {
                    io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => Ok(None),
                    io::ErrorKind::WouldBlock => {
                        // The driver said that a frame is there, and then had none: it would say so at once again.
                        std::thread::sleep(RETRY);
                        Ok(None)
                    }
                    _ => Err(self.failed(&e)),
                }
            }
        }
    }
}

impl Drop for V4l2Camera {
    /// Dropping a stream stops it and panics when the driver refuses for any other reason than that the device is gone.
    /// A panic ends the daemon, and a camera is no reason for that. So the stream is stopped here first: if that works, it
    /// works a second time. If not, the stream is left behind with its memory and its file descriptor. The driver may
    /// call the camera busy from then on; that is an alarm, a shut door, and an error that says what to do.
    fn drop(&mut self) {
        let Some(mut stream) = self.stream.take() else { return };
        match stream.stop() {
            Err(e) if e.raw_os_error() != Some(ENODEV) => {
                tracing::error!(camera = %self.node.display(), error = %e, "the camera does not stop; if it stays busy, start cardea again");
                std::mem::forget(stream);
            }
            _ => drop(stream),
        }
    }
}

impl FrameSource for V4l2Camera {
    fn next(&mut self, timeout: Duration) -> Result<NextFrame, PortError> {
        let layout = self.layout;
        if self.starved {
            let dropped = self.ask(|stream| {
                stream.set_timeout(timeout);
                stream.dequeue()
            })?;
            if dropped.is_none() {
                return Ok(NextFrame::Stalled);
            }
        }
        let clock = Arc::clone(&self.clock);
        let asked = clock.now();
        let taken = self.ask(|stream| {
            stream.set_timeout(timeout);
            stream.next().map(|(buffer, meta)| {
                let now = clock.now();
                (now, take(buffer, meta.bytesused, layout), *meta)
            })
        })?;
        let Some((now, data, meta)) = taken else { return Ok(NextFrame::Stalled) };
        if now.since(asked) >= WAITED {
            self.empty_at = asked;
        }
        if !std::mem::replace(&mut self.begun, true) {
            return self.next(timeout);
        }
        let seq = self.counter.number(meta.sequence);
        if meta.flags.contains(Flags::ERROR) {
            return Ok(NextFrame::Torn(format!("the driver marks frame {seq} as damaged")));
        }
        let data = match data {
            Ok(data) => data,
            Err(why) => return Ok(NextFrame::Torn(why)),
        };
        let captured = captured(&meta, self.empty_at, now);
        if captured == self.empty_at {
            // Several frames may have lain there since; their stamps must rise all the same.
            self.empty_at = captured + Duration::from_nanos(1);
        }
        Ok(NextFrame::Frame(Frame {
            seq,
            captured,
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
    fn the_cheapest_format_that_keeps_up_is_taken_unless_one_is_configured() {
        let all = [*b"H264", *b"GREY", *b"NV12", *b"YUYV", *b"MJPG"];
        let any = |_: &[u8; 4]| true;
        assert_eq!(choose(&all, None, any), Ok((PixelFormat::Jpeg, *b"MJPG")));
        let raw = |code: &[u8; 4]| *code != *b"MJPG";
        assert_eq!(choose(&all, None, raw), Ok((PixelFormat::Yuyv, *b"YUYV")), "the packed one is too slow");
        let none = |_: &[u8; 4]| false;
        assert_eq!(choose(&all, None, none), Ok((PixelFormat::Jpeg, *b"MJPG")), "nothing keeps up");
        assert_eq!(choose(&all[..2], None, any), Ok((PixelFormat::Grey, *b"GREY")), "grey when there is no colour");
        assert_eq!(choose(&[*b"JPEG"], None, any), Ok((PixelFormat::Jpeg, *b"JPEG")));
        assert_eq!(choose(&all, Some(PixelFormat::Grey), any), Ok((PixelFormat::Grey, *b"GREY")));
        let e = choose(&all[..1], Some(PixelFormat::Yuyv), any).expect_err("not offered");
        assert!(e.contains("Yuyv") && e.contains("H264"), "{e}");
    }

    #[test]
    fn a_format_keeps_up_at_its_own_size_and_rate_only() {
        let mut camera = crate::config::Config::defaults(Path::new("/nowhere")).camera().clone();
        (camera.width, camera.height, camera.fps) = (640, 480, 30);
        let size = |width, height, fps: &[f64]| SizeInfo { width, height, fps: fps.to_vec() };
        assert!(keeps_up(&[], &camera), "a driver that tells nothing is believed");
        assert!(keeps_up(&[size(640, 480, &[29.97, 15.0])], &camera));
        assert!(!keeps_up(&[size(640, 480, &[15.0])], &camera), "too slow");
        assert!(!keeps_up(&[size(640, 480, &[10.0]), size(320, 240, &[30.0])], &camera), "fast at another size");
        assert!(!keeps_up(&[size(320, 240, &[30.0])], &camera), "too small");
    }

    fn meta(flags: Flags, sec: i64, usec: i64) -> Metadata {
        Metadata { flags, timestamp: Timestamp::new(sec, usec), ..Metadata::default() }
    }

    #[test]
    fn only_a_monotonic_stamp_that_is_not_in_the_future_is_believed() {
        let (empty, now) = (Tick::from_millis(19_900), Tick::from_millis(20_000));
        let at = |m: Metadata| captured(&m, empty, now).as_nanos();
        assert_eq!(at(meta(Flags::TIMESTAMP_MONOTONIC, 19, 500_001)), 19_500_001_000);
        for wrong in [
            meta(Flags::TIMESTAMP_MONOTONIC, 21, 0),
            meta(Flags::TIMESTAMP_MONOTONIC, -1, 0),
            meta(Flags::TIMESTAMP_MONOTONIC, 0, 0),
            meta(Flags::TIMESTAMP_COPY, 19, 0),
            meta(Flags::from(0), 19, 0),
        ] {
            assert_eq!(at(wrong), empty.as_nanos());
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
