//! Clients that others wrote, as they are installed by `scripts/setup.sh clients`, and clips as their cameras.

use std::path::{Path, PathBuf};
use std::process::Command;

fn tools() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients");
    assert!(tools.join("done").is_file(), "{} is missing; run: scripts/setup.sh clients", tools.display());
    tools
}

/// The Python with the packages of `tests/clients/requirements.txt`.
#[allow(dead_code)]
pub fn python() -> PathBuf {
    tools().join("venv/bin/python")
}

/// A program of that environment.
#[allow(dead_code)]
pub fn installed(program: &str) -> PathBuf {
    tools().join("venv/bin").join(program)
}

/// A directory in which Node finds these scripts, byte by byte, and the packages of `tests/clients/npm.txt`.
#[allow(dead_code)]
pub fn scripts(files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    std::os::unix::fs::symlink(tools().join("node_modules"), dir.path().join("node_modules")).expect("a link");
    for file in files {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let name = from.file_name().expect("a name");
        std::fs::copy(&from, dir.path().join(name)).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
    }
    dir
}

/// Runs ffmpeg over `input` into JPEG pictures of a fresh directory below `dir`.
#[allow(dead_code)]
pub fn pictures(dir: &Path, name: &str, input: &[&str], fps: u32) -> PathBuf {
    let out = dir.join(name);
    std::fs::create_dir_all(&out).expect("a directory");
    let status = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y"])
        .args(input)
        .args(["-r", &fps.to_string(), "-c:v", "mjpeg", "-q:v", "3", "-f", "image2"])
        .arg(out.join("frame_%05d.jpg"))
        .status();
    assert!(status.expect("ffmpeg starts").success(), "{input:?}");
    out
}

/// `socket.io-client` as a page loads it.
#[allow(dead_code)]
pub fn bundle() -> PathBuf {
    tools().join("node_modules/socket.io-client/dist/socket.io.min.js")
}
