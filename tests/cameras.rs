//! Cameras and clips with the real programs behind them.

mod support;

use cardea::adapters::camera::command::CommandCamera;
use cardea::adapters::camera::file::{ClipOptions, ClipReader, FileCamera};
use cardea::adapters::camera::{self, v4l2};
use cardea::adapters::system::SystemClock;
use cardea::base::time::{Clock, Tick};
use cardea::config::sections::{Camera, CameraKind};
use cardea::ports::{FrameSource, NextFrame, PortError, Recovery};
use cardea::vision::decode::{Limits, decode, decode_file};
use cardea::vision::frame::{Frame, Picture, PixelFormat, Rotation};
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

fn clip(name: &str) -> PathBuf {
    support::shared().join("data/video").join(name)
}

fn frames(path: &Path) -> Vec<Frame> {
    let mut reader = ClipReader::open(path, ClipOptions::default()).expect("opens");
    let mut out = Vec::new();
    loop {
        match reader.read().expect("reads") {
            NextFrame::Frame(f) => out.push(f),
            NextFrame::End => return out,
            other => panic!("{other:?} after {} frames", out.len()),
        }
    }
}

fn difference(a: &Picture, b: &Picture) -> f64 {
    assert_eq!((a.width, a.height), (b.width, b.height));
    a.rgb.iter().zip(&b.rgb).map(|(x, y)| f64::from(x.abs_diff(*y))).sum::<f64>() / a.rgb.len() as f64
}

/// Processes whose command line holds `mark`.
fn running(mark: &str) -> Vec<i32> {
    let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
    all.flatten()
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| *pid != std::process::id() as i32)
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|c| String::from_utf8_lossy(&c).contains(mark))
        })
        .collect()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Reads until `wanted` gives something.
fn until<T>(source: &mut dyn FrameSource, mut wanted: impl FnMut(Result<NextFrame, PortError>) -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        let asked = Instant::now();
        let next = source.next(Duration::from_millis(200));
        assert!(asked.elapsed() < Duration::from_secs(20), "one read took {:?}", asked.elapsed());
        if let Some(found) = wanted(next) {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "it did not come");
    }
}

fn frame(next: Result<NextFrame, PortError>) -> Option<Frame> {
    match next.expect("reads") {
        NextFrame::Frame(f) => Some(f),
        NextFrame::Stalled => None,
        other => panic!("{other:?}"),
    }
}

fn command(words: &[&str]) -> CommandCamera {
    let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
    CommandCamera::open(&words, Rotation::None, Arc::new(SystemClock), 1).expect("starts")
}

#[test]
fn clips_of_every_container_come_upright_complete_and_with_their_own_times() {
    if !support::has("ffmpeg", "ffmpeg", "clips of every container") {
        return;
    }
    // Frames and rate as the data's own table has them; the phone clips are stored lying on their side.
    for (name, size, count, fps) in [
        ("live_turn_p01.mov", (360, 480), 261, 25.01),
        ("live_turn_p03.mp4", (480, 640), 283, 29.64),
        ("live_far_p11_no.mkv", (640, 480), 66, 30.0),
        ("live_headpose_p12.gif", (480, 270), 23, 12.08),
    ] {
        let got = frames(&clip(name));
        assert_eq!(got.len(), count, "{name}");
        assert!(got.iter().all(|f| (f.width, f.height) == size), "{name}");
        assert!(got.iter().enumerate().all(|(n, f)| f.seq == n as u64), "{name}");
        assert!(got.windows(2).all(|w| w[0].captured < w[1].captured), "{name}");
        assert_eq!(got[0].captured, Tick::ZERO, "{name}");
        let seconds = got[count - 1].captured.as_nanos() as f64 / 1e9;
        let rate = (count - 1) as f64 / seconds;
        assert!((rate / fps - 1.0).abs() < 0.02, "{name}: {rate:.2} fps instead of {fps}");
    }
}

#[test]
fn frame_36_of_a_turned_clip_is_the_picture_that_was_cut_out_of_it() {
    if !support::has("ffmpeg", "ffmpeg", "frame 36 of a turned clip") {
        return;
    }
    let still = std::fs::read(support::shared().join("data/bad/profile_p02_f036.jpg")).expect("reads");
    let still = decode_file(&still, &Limits::default()).expect("decodes");
    let all = frames(&clip("live_turn_p02.mov"));
    let distance = |n: usize| {
        let p = decode(&all[n], &Limits::default()).expect("decodes");
        difference(&p.resized(still.width, still.height), &still)
    };
    let same = distance(36);
    assert!(same < 3.0 && distance(35) > same && distance(37) > same, "{same} {} {}", distance(35), distance(37));
}

#[test]
fn an_mjpeg_file_gives_every_frame_and_tells_when_its_last_one_is_cut() {
    if !support::has("ffmpeg", "ffmpeg", "an MJPEG file") {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("clip.mjpeg");
    let made = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-i"])
        .arg(clip("live_far_p11_no.mkv"))
        .args(["-c:v", "mjpeg", "-q:v", "3", "-fps_mode", "passthrough", "-f", "mjpeg"])
        .arg(&path)
        .status()
        .expect("ffmpeg runs");
    assert!(made.success());
    let got = frames(&path);
    assert_eq!(got.len(), 66);
    assert_eq!(got[30].captured, Tick::from_millis(1000));
    for f in &got {
        let p = decode(f, &Limits::default()).expect("decodes");
        assert_eq!((f.format, p.width, p.height), (PixelFormat::Jpeg, 640, 480));
    }
    let bytes = std::fs::read(&path).expect("reads");
    std::fs::write(&path, &bytes[..bytes.len() - 10]).expect("writes");
    let mut reader = ClipReader::open(&path, ClipOptions::default()).expect("opens");
    for n in 0..65 {
        assert!(matches!(reader.read(), Ok(NextFrame::Frame(_))), "frame {n}");
    }
    assert!(matches!(reader.read(), Ok(NextFrame::Torn(_))));
    assert!(matches!(reader.read(), Ok(NextFrame::End)));
}

#[test]
fn a_file_that_is_no_clip_says_why_and_a_cut_clip_does_not_hang() {
    if !support::has("ffmpeg", "ffmpeg", "a file that is no clip") {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("-i http:clip.mp4");
    std::fs::write(&path, "this is no film").expect("writes");
    let e = ClipReader::open(&path, ClipOptions::default()).expect("starts").read().expect_err("no clip");
    assert!(e.to_string().contains("clip.mp4") && e.to_string().contains("Invalid data"), "{e}");
    let bytes = std::fs::read(clip("live_far_p11_no.mkv")).expect("reads");
    std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("writes");
    let mut reader = ClipReader::open(&path, ClipOptions::default()).expect("starts");
    let mut count = 0;
    while let Ok(NextFrame::Frame(_)) = reader.read() {
        count += 1;
    }
    assert!((1..66).contains(&count), "{count} frames");
}

#[test]
fn dropping_a_clip_ends_its_ffmpeg_and_leaves_no_zombie() {
    if !support::has("ffmpeg", "ffmpeg", "dropping a clip") {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("dropped.mp4");
    std::os::unix::fs::symlink(clip("live_expr_p06.mp4"), &path).expect("links");
    let mark = path.display().to_string();
    let mut reader = ClipReader::open(&path, ClipOptions::default()).expect("opens");
    assert!(matches!(reader.read(), Ok(NextFrame::Frame(_))));
    let pids = running(&mark);
    assert_eq!(pids.len(), 1);
    drop(reader);
    assert!(!Path::new(&format!("/proc/{}", pids[0])).exists(), "it is there, running or as a zombie");
}

#[test]
fn a_clip_plays_as_a_camera_at_its_own_speed_on_the_machines_clock() {
    if !support::has("ffmpeg", "ffmpeg", "a clip as a camera") {
        return;
    }
    let mut camera = FileCamera::open(
        &clip("live_headpose_p12.gif"),
        ClipOptions { epoch: 5, ..ClipOptions::default() },
        true,
        Arc::new(SystemClock),
    )
    .expect("opens");
    let mut last: Option<Frame> = None;
    for _ in 0..30 {
        let f = until(&mut camera, frame);
        let now = SystemClock.now();
        assert!(f.captured <= now, "from the future");
        if let Some(before) = last {
            assert!(f.captured > before.captured);
            assert!(f.seq > before.seq || f.epoch > before.epoch);
        }
        last = Some(f);
    }
    // 23 frames, then again from the first.
    assert_eq!(last.map(|f| (f.seq, f.epoch)), Some((6, 6)));
}

#[test]
fn a_program_that_writes_mjpeg_is_a_camera_until_it_is_stopped_and_goes_on_when_it_does() {
    if !support::has("ffmpeg", "ffmpeg", "a program that writes MJPEG") {
        return;
    }
    let mark = format!("size=322x240:rate=30:duration={}", 100_000 + std::process::id());
    let source = format!("testsrc={mark}");
    let words = [
        "ffmpeg",
        "-loglevel",
        "error",
        "-nostdin",
        "-re",
        "-f",
        "lavfi",
        "-i",
        &source,
        "-f",
        "mjpeg",
        "-q:v",
        "5",
        "-",
    ];
    let mut camera = command(&words);
    let mut last: Option<Frame> = None;
    for _ in 0..10 {
        let f = until(&mut camera, frame);
        let p = decode(&f, &Limits::default()).expect("decodes");
        assert_eq!((p.width, p.height), (322, 240));
        assert!(f.captured <= SystemClock.now());
        if let Some(before) = last {
            assert!(f.seq == before.seq + 1 && f.captured >= before.captured);
        }
        last = Some(f);
    }
    let pids = running(&mark);
    assert_eq!(pids.len(), 1);
    let pid = Pid::from_raw(pids[0]).expect("a process");
    kill_process(pid, Signal::STOP).expect("stops");
    until(&mut camera, |next| matches!(next, Ok(NextFrame::Stalled)).then_some(()));
    kill_process(pid, Signal::CONT).expect("goes on");
    until(&mut camera, frame);
    drop(camera);
    assert!(!Path::new(&format!("/proc/{}", pids[0])).exists(), "it is there, running or as a zombie");
}

#[test]
fn a_program_that_dies_is_told_with_its_status_and_its_last_words() {
    let mut camera = command(&["sh", "-c", "echo the lens cap is on >&2; exit 3"]);
    let e = until(&mut camera, Result::err);
    assert_eq!(e.recovery, Recovery::Reopen);
    let text = e.to_string();
    assert!(text.contains("exit status: 3") && text.contains("the lens cap is on"), "{text}");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let words = ["cardea-no-such-program".to_owned()];
    let e = CommandCamera::open(&words, Rotation::None, Arc::new(SystemClock), 1).err().expect("is not there");
    assert!(e.to_string().contains("cardea-no-such-program"), "{e}");
    assert!(CommandCamera::open(&[], Rotation::None, Arc::new(SystemClock), 1).is_err());
}

#[test]
fn a_silent_program_is_a_stall_and_dropping_it_ends_its_children_too() {
    let mark = format!("98765.{}", std::process::id());
    let script = format!("sleep {mark} & wait");
    let mut camera = command(&["sh", "-c", &script]);
    until(&mut camera, |next| matches!(next, Ok(NextFrame::Stalled)).then_some(()));
    wait_until("the child's start", || running(&mark).len() == 2);
    drop(camera);
    // The shell is gone at once; its orphan is reaped by somebody else.
    wait_until("the child's end", || running(&mark).is_empty());
}

#[test]
fn a_program_that_writes_no_pictures_ends_in_an_error_instead_of_a_wait() {
    let mut camera = command(&["yes", "no picture"]);
    let e = until(&mut camera, Result::err);
    assert!(e.to_string().contains("without the start of a JPEG picture"), "{e}");
}

#[test]
fn a_picture_that_never_ends_is_an_error() {
    let mut camera = command(&["sh", "-c", r"printf '\377\330\377\332\000\002'; exec yes"]);
    let e = until(&mut camera, Result::err);
    assert!(e.to_string().contains("did not end within"), "{e}");
}

#[test]
fn a_picture_that_lay_in_the_pipe_is_not_stamped_as_if_it_were_fresh() {
    let dir = tempfile::tempdir().expect("a directory");
    let written = dir.path().join("written");
    let picture = support::shared().join("data/bad/black.jpg");
    let script = format!("cat '{}'; touch '{}'; sleep 1000", picture.display(), written.display());
    let mut camera = command(&["sh", "-c", &script]);
    let opened = SystemClock.now();
    wait_until("the writing", || written.exists());
    let later = SystemClock.now();
    assert!(later > opened);
    let f = until(&mut camera, frame);
    assert!(f.captured <= opened, "stamped {:?} after the opening", f.captured.since(opened));
}

fn v4l2_camera(device: &str) -> Camera {
    Camera {
        kind: CameraKind::V4l2,
        device: device.to_owned(),
        path: PathBuf::new(),
        command: Vec::new(),
        format: None,
        width: 640,
        height: 480,
        fps: 30,
        rotate: Rotation::None,
        mirrored: false,
        timeout: Duration::from_millis(500),
        looped: true,
        faults: Vec::new(),
        controls: cardea::config::sections::CameraControls::default(),
        virtual_allowed: false,
    }
}

#[test]
fn a_device_that_is_missing_or_no_camera_is_named_with_what_to_do() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let file = file.path().display().to_string();
    for device in ["/dev/video97", "/dev/v4l/by-id/usb-gone", "/dev/null", &file] {
        let config = v4l2_camera(device);
        assert!(camera::is_virtual(&config), "{device} is not known to be hardware");
        let e = camera::open(&config, Arc::new(SystemClock), 1).err().expect("no camera");
        let text = e.to_string();
        assert!(text.contains(device), "{text}");
        if v4l2::BUILT_IN {
            assert!(text.contains("camera.device") || text.contains("camera.kind"), "{text}");
            assert_eq!(e.recovery, Recovery::Reopen);
        } else {
            assert!(text.contains("--features v4l2"), "{text}");
            assert_eq!(e.recovery, Recovery::Fatal);
        }
    }
}

#[test]
fn every_kind_of_camera_opens_from_its_configuration_and_a_wrong_fault_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::copy(support::shared().join("data/bad/black.jpg"), dir.path().join("1.jpg")).expect("copies");
    let file =
        Camera { kind: CameraKind::File, path: dir.path().to_owned(), rotate: Rotation::Cw90, ..v4l2_camera("") };
    let picture = dir.path().join("1.jpg").display().to_string();
    let program = Camera { kind: CameraKind::Command, command: vec!["cat".into(), picture], ..file.clone() };
    let sim = Camera { kind: CameraKind::Sim, faults: vec!["garble@0".into()], ..file.clone() };
    for (config, decodes) in [(&file, true), (&program, true), (&sim, false)] {
        assert!(camera::is_virtual(config));
        let mut source = camera::open(config, Arc::new(SystemClock), 9).expect("opens");
        let f = until(source.as_mut(), frame);
        assert_eq!((f.epoch, f.rotation), (9, Rotation::Cw90));
        let p = decode(&f, &Limits::default());
        assert_eq!(p.is_ok(), decodes, "{}", source.identity());
        assert!(p.is_err() || p.is_ok_and(|p| (p.width, p.height) == (480, 640)));
    }
    let wrong = Camera { faults: vec!["melt@0".into()], ..sim };
    let e = camera::open(&wrong, Arc::new(SystemClock), 9).err().expect("no such fault");
    assert!(e.to_string().contains("melt@0"), "{e}");
}
