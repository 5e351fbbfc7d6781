//! `cardea doctor camera`: what cameras there are, what each offers, and how the configured one delivers.

use crate::adapters::camera::{self, CameraInfo, ControlInfo, FormatInfo};
use crate::adapters::system::SystemClock;
use crate::base::time::{Clock, Tick};
use crate::cli::{Exit, Globals, Outcome, load_config, state};
use crate::config::sections::Camera;
use crate::ports::{NextFrame, PortError};
use crate::vision::decode::{Limits, decode};
use crate::vision::frame::Frame;
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A camera that delivers none of the frames for so long is measured no further.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Frames to read of the configured camera; 0 only lists.
    #[arg(long, default_value_t = 60, value_name = "N")]
    frames: u32,
}

/// A camera and what it offers.
#[derive(Debug, Serialize)]
struct Listed {
    #[serde(flatten)]
    info: CameraInfo,
    formats: Vec<FormatInfo>,
    controls: ControlInfo,
    /// Why the formats could not be asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What the frames were like.
#[derive(Debug, Default, Serialize)]
struct Measured {
    identity: String,
    /// Pixel format and size of the last frame.
    format: String,
    width: u32,
    height: u32,
    frames: u32,
    /// Damaged in the driver or on the way, and skipped.
    torn: u32,
    /// Whole by their markers, but not decodable; counted in `frames` too.
    undecodable: u32,
    /// Numbers that the driver left out.
    lost: u64,
    /// Waits that ended without a frame.
    stalled: u32,
    fps: f64,
    /// From the driver's stamp to now, over all frames.
    age_ms: Spread,
    decode_ms: Spread,
    /// Stamps and numbers rose from each frame to the next.
    rising: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
struct Spread {
    median: f64,
    max: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Spread {
        values.sort_by(f64::total_cmp);
        let max = values.last().copied().unwrap_or_default();
        Spread { median: values.get(values.len() / 2).copied().unwrap_or_default(), max }
    }
}

pub(super) fn run(globals: &Globals, args: &Args) -> Outcome {
    let config = load_config(globals)?;
    let cameras: Vec<Listed> = camera::list().into_iter().map(listed).collect();
    let measured = (args.frames > 0).then(|| measure(config.camera(), args.frames));
    let ok = measured.as_ref().is_none_or(|m| m.error.is_none() && m.frames == args.frames);
    let text = if globals.json {
        format!("{}\n", serde_json::json!({ "ok": ok, "cameras": cameras, "configured": measured }))
    } else {
        cameras.iter().map(lines).chain(measured.as_ref().map(summary)).collect()
    };
    let _reader_gone = state::print(&text)?;
    Ok(if ok { Exit::Done } else { Exit::Negative })
}

fn listed(info: CameraInfo) -> Listed {
    let controls = camera::controls_of(&info.node).unwrap_or_default();
    match camera::formats(&info.node) {
        Ok(formats) => Listed { info, formats, controls, error: None },
        Err(e) => Listed { info, formats: Vec::new(), controls, error: Some(e.cause) },
    }
}

fn measure(camera: &Camera, wanted: u32) -> Measured {
    let fault = |e: PortError, mut m: Measured| {
        m.error = Some(format!("{}: {}", e.what, e.cause));
        m.hint = Some(e.hint);
        m
    };
    let mut m = Measured { rising: true, ..Measured::default() };
    let mut source = match camera::open(camera, Arc::new(SystemClock), 0) {
        Ok(source) => source,
        Err(e) => return fault(e, m),
    };
    m.identity = source.identity();
    let (mut ages, mut decodes) = (Vec::new(), Vec::new());
    let mut first: Option<Tick> = None;
    let mut before: Option<Frame> = None;
    let mut heard = Instant::now();
    while m.frames < wanted && heard.elapsed() < PATIENCE {
        let frame = match source.next(camera.timeout) {
            Ok(NextFrame::Frame(frame)) => frame,
            Ok(NextFrame::Torn(_)) => {
                m.torn += 1;
                continue;
            }
            Ok(NextFrame::Stalled) => {
                m.stalled += 1;
                continue;
            }
            Ok(NextFrame::End) => break,
            Err(e) => return fault(e, m),
        };
        heard = Instant::now();
        m.frames += 1;
        ages.push(SystemClock.now().since(frame.captured).as_secs_f64() * 1e3);
        let begun = Instant::now();
        match decode(&frame, &Limits::default()) {
            Ok(picture) => (m.width, m.height) = (picture.width, picture.height),
            Err(_) => m.undecodable += 1,
        }
        decodes.push(begun.elapsed().as_secs_f64() * 1e3);
        if let Some(before) = &before {
            m.rising &= frame.seq > before.seq && frame.captured > before.captured;
            m.lost += (frame.seq - before.seq.min(frame.seq)).saturating_sub(1);
        }
        let first = *first.get_or_insert(frame.captured);
        let span = frame.captured.since(first).as_secs_f64();
        m.fps = if span > 0.0 { f64::from(m.frames - 1) / span } else { 0.0 };
        m.format = format!("{:?}", frame.format).to_lowercase();
        before = Some(frame);
    }
    (m.age_ms, m.decode_ms) = (Spread::of(ages), Spread::of(decodes));
    if m.frames < wanted {
        m.error = Some(format!("{} of {wanted} frames came", m.frames));
        m.hint = Some("check cable and power, try another camera.format or a smaller camera.width and height".into());
    }
    m
}

/// For people: one line a camera, one a format.
fn lines(listed: &Listed) -> String {
    let info = &listed.info;
    let kind = if info.virtual_device { ", no hardware" } else { "" };
    let mut text = format!("{}  {}{kind}\n", info.node.display(), info.identity());
    for name in &info.stable {
        text += &format!("  also {}\n", name.display());
    }
    for format in &listed.formats {
        let sizes = format.sizes.iter().map(|s| {
            let fps = s.fps.iter().map(|f| format!("{f:.0}")).collect::<Vec<_>>().join("/");
            format!("{}x{}{}", s.width, s.height, if fps.is_empty() { fps } else { format!("@{fps}") })
        });
        let used = if format.usable { "" } else { "  (not read)" };
        text += &format!("  {} {}{used}\n", format.name, sizes.collect::<Vec<_>>().join(" "));
    }
    let c = &listed.controls;
    let controls = [("exposure_us", c.exposure_us), ("gain", c.gain), ("power_line_hz", c.power_line_hz)].into_iter();
    let controls: Vec<String> = controls.filter_map(|(name, v)| Some(format!("{name} = {}", v?))).collect();
    if !controls.is_empty() {
        text += &format!("  {}\n", controls.join(", "));
    }
    if let Some(error) = &listed.error {
        text += &format!("  {error}\n");
    }
    text
}

fn summary(m: &Measured) -> String {
    if let Some(error) = &m.error {
        return format!("FAIL {error}; {}\n", m.hint.as_deref().unwrap_or("see `cardea doctor`"));
    }
    format!(
        "ok   {}: {} frames of {} {}x{} at {:.1} fps, {} torn, {} undecodable, {} left out; age {:.0} ms (at most {:.0}), \
         decoding {:.1} ms (at most {:.1})\n",
        m.identity,
        m.frames,
        m.format,
        m.width,
        m.height,
        m.fps,
        m.torn,
        m.undecodable,
        m.lost,
        m.age_ms.median,
        m.age_ms.max,
        m.decode_ms.median,
        m.decode_ms.max,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::camera::SizeInfo;

    #[test]
    fn a_spread_is_the_middle_and_the_worst() {
        assert_eq!(Spread::of(vec![9.0, 1.0, 2.0]), Spread { median: 2.0, max: 9.0 });
        assert_eq!(Spread::of(Vec::new()), Spread::default());
    }

    #[test]
    fn a_camera_is_listed_with_what_it_is_known_by_and_what_it_offers() {
        let info = CameraInfo {
            node: "/dev/video0".into(),
            name: "HD Webcam".into(),
            stable: vec!["/dev/v4l/by-id/usb-ACME".into()],
            driver: "uvcvideo".into(),
            usb: Some("046d:0825".into()),
            place: "pci/1-1".into(),
            virtual_device: false,
        };
        let size = |fps| SizeInfo { width: 640, height: 480, fps };
        let format = |name: &str, usable, sizes| FormatInfo { name: name.into(), usable, sizes };
        let formats =
            vec![format("MJPG", true, vec![size(vec![30.0, 15.0])]), format("H264", false, vec![size(Vec::new())])];
        let controls = ControlInfo { gain: Some(32), power_line_hz: Some(50), ..ControlInfo::default() };
        let text = lines(&Listed { info, formats, controls, error: None });
        assert_eq!(
            text,
            "/dev/video0  v4l2 uvcvideo 046d:0825 `HD Webcam` at pci/1-1\n  also /dev/v4l/by-id/usb-ACME\n  \
             MJPG 640x480@30/15\n  H264 640x480  (not read)\n  gain = 32, power_line_hz = 50\n"
        );
    }
}
