//! Films for the fake camera of a browser, and the Python that drives it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One film out of `args`, as Chromium plays it.
pub fn ffmpeg(args: &[&str], out: &Path) {
    let status = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y"])
        .args(args)
        .args(["-r", "30", "-c:v", "mjpeg", "-q:v", "3"])
        .arg(out)
        .status();
    assert!(status.expect("ffmpeg starts").success());
}

/// He looks ahead for seven seconds, turns his head to his left, looks ahead, turns to his right and looks ahead again:
/// parts of one clip, some of them also backwards, so that there is time to be asked.
pub fn performance(video: &Path, out: &Path) {
    let mut parts = Vec::new();
    let mut add = |from: u32, to: u32, back: bool| {
        let n = parts.len();
        let turn = if back { ",reverse" } else { "" };
        parts.push(format!("[0:v]trim=start_frame={from}:end_frame={to},setpts=PTS-STARTPTS{turn}[p{n}]"));
    };
    for _ in 0..2 {
        add(0, 50, false);
        add(0, 50, true);
    }
    add(0, 124, false);
    add(100, 124, true);
    add(100, 199, false);
    for _ in 0..3 {
        add(170, 199, true);
        add(170, 199, false);
    }
    let all: String = (0..parts.len()).map(|n| format!("[p{n}]")).collect();
    // A sensor's noise: no picture that comes twice is the same, else the visit rightly takes it for an injection.
    let filter = format!("{};{all}concat=n={}:v=1,noise=alls=4:allf=t[out]", parts.join(";"), parts.len());
    ffmpeg(&["-i", &video.display().to_string(), "-filter_complex", &filter, "-map", "[out]"], out);
}

/// The Python with playwright.
pub fn python() -> PathBuf {
    let python = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/browser/venv/bin/python");
    assert!(python.is_file(), "{} is missing; run: make browser-tools", python.display());
    python
}

/// A hand that holds a photo trembles.
pub fn photo(print: &Path, out: &Path) {
    let trembles =
        "crop=w=iw*0.94:h=ih*0.94:x='iw*0.03+iw*0.02*sin(t*2.1)':y='ih*0.03+ih*0.02*sin(t*1.3)',noise=alls=4:allf=t";
    ffmpeg(&["-loop", "1", "-framerate", "30", "-t", "20", "-i", &print.display().to_string(), "-vf", trembles], out);
}
