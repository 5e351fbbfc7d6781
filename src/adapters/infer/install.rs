//! Fills the cache with a pack's files, each from the first source that answers: a directory, a URL, or the build tool.
//!
//! A file appears under its own name only whole, with the manifest's digest, and on the disk. What a download has got so
//! far waits as `<file>.part` for the next attempt.

use super::manifest::{MAX_MODEL, ModelFile, Pack, SourceFrom};
use super::ort::{hex, read_checked};
use crate::ports::{PortError, Recovery};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How deep directories are searched.
const MAX_DEPTH: usize = 6;
/// Attempts at one download; a cut connection goes on where it was.
const ATTEMPTS: u32 = 4;

/// Where files go and where they may come from.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    pub pack: &'a Pack,
    pub cache: &'a Path,
    /// Directories searched by digest, for finished files and for what they are made from.
    pub from: &'a [PathBuf],
    /// `models/build/build.py`; `None` where it is not installed.
    pub build: Option<&'a Path>,
    /// Pause before the second attempt at a download; it doubles.
    pub pause: Duration,
}

/// How a file came to be in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    Already,
    Copied(PathBuf),
    Downloaded(String),
    Built,
}

/// What became of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    pub file: String,
    /// The error tells every source that was tried.
    pub how: Result<How, String>,
}

/// Tells how far a file is: name, bytes so far, bytes in all.
pub type Progress<'a> = dyn FnMut(&str, u64, u64) + 'a;

/// Installs every file of the pack; one that fails does not stop the others.
///
/// # Errors
/// The cache cannot be made or locked, or a directory to search cannot be read.
pub fn install(plan: &Plan<'_>, progress: &mut Progress<'_>) -> Result<Vec<Installed>, PortError> {
    let failed =
        |what: String, e: &dyn ToString, hint: &str| PortError::new(what, e.to_string(), hint, Recovery::Fatal);
    let cache = plan.cache.display();
    std::fs::create_dir_all(plan.cache)
        .map_err(|e| failed(format!("make {cache}"), &e, "set models.cache to a directory that can be written"))?;
    let _lock = lock(plan.cache)
        .map_err(|e| failed(format!("lock {cache}"), &e, "wait for the other `cardea models install` to end"))?;
    let mut index: Option<HashMap<String, PathBuf>> = None;
    let mut done = Vec::new();
    for file in plan.pack.models.iter().flat_map(|m| &m.files) {
        let how = if read_checked(file, plan.cache).is_ok() {
            Ok(How::Already)
        } else {
            if index.is_none() {
                let found = by_digest(plan.from);
                index = Some(found.map_err(|(path, e)| {
                    failed(format!("search {}", path.display()), &e, "give --from a directory that can be read")
                })?);
            }
            install_one(plan, file, index.as_ref().expect("made above"), progress)
        };
        done.push(Installed { file: file.file.clone(), how });
    }
    Ok(done)
}

fn install_one(
    plan: &Plan<'_>,
    file: &ModelFile,
    index: &HashMap<String, PathBuf>,
    progress: &mut Progress<'_>,
) -> Result<How, String> {
    let mut tried = Vec::new();
    if let Some(path) = index.get(&file.sha256) {
        match copy(path, file, plan.cache, progress) {
            Ok(()) => return Ok(How::Copied(path.clone())),
            Err(e) => tried.push(format!("copying {}: {e}", path.display())),
        }
    }
    let source_at_hand = ancestors(plan.pack, file).iter().any(|digest| index.contains_key(digest));
    if source_at_hand {
        match build(plan, file) {
            Ok(()) => return Ok(How::Built),
            Err(e) => tried.push(e),
        }
    }
    if let Some(url) = &file.url {
        match download(url, file, plan, progress) {
            Ok(()) => return Ok(How::Downloaded(url.clone())),
            Err(e) => tried.push(format!("{url}: {e}")),
        }
    }
    if !source_at_hand {
        match build(plan, file) {
            Ok(()) => return Ok(How::Built),
            Err(e) => tried.push(e),
        }
    }
    Err(tried.join("; "))
}

/// Digests of everything that a file is made from, through every step.
fn ancestors(pack: &Pack, file: &ModelFile) -> Vec<String> {
    let mut found: Vec<String> = file.made_from.iter().map(|m| m.sha256.clone()).collect();
    let mut next = 0;
    while let Some(digest) = found.get(next).cloned() {
        for s in pack.sources.iter().filter(|s| s.sha256 == digest) {
            if let SourceFrom::Made(m) = &s.from
                && !found.contains(&m.sha256)
            {
                found.push(m.sha256.clone());
            }
        }
        next += 1;
    }
    found
}

/// Every file of the directories by its digest; files too big to be a model are left out.
fn by_digest(dirs: &[PathBuf]) -> Result<HashMap<String, PathBuf>, (PathBuf, io::Error)> {
    let mut found = HashMap::new();
    let mut open: Vec<(PathBuf, usize)> = dirs.iter().map(|d| (d.clone(), 0)).collect();
    while let Some((dir, depth)) = open.pop() {
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if depth == 0 => return Err((dir, e)),
            // Somebody else's directory inside of the one that was given.
            Err(_) => continue,
        };
        for entry in entries.flatten() {
            let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
            if kind.is_dir() && depth < MAX_DEPTH {
                open.push((path, depth + 1));
            } else if !kind.is_dir()
                && std::fs::metadata(&path).is_ok_and(|m| m.is_file() && m.len() <= MAX_MODEL)
                && let Ok(digest) = File::open(&path).and_then(digest_of)
            {
                found.entry(digest).or_insert(path);
            }
        }
    }
    Ok(found)
}

fn digest_of(mut from: impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(hex(&hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

fn copy(from: &Path, file: &ModelFile, cache: &Path, progress: &mut Progress<'_>) -> Result<(), String> {
    let part = cache.join(format!("{}.copy", file.file));
    let copied = (|| {
        let mut target = File::create(&part)?;
        let mut source = File::open(from)?.take(file.bytes + 1);
        io::copy(&mut source, &mut target)?;
        progress(&file.file, file.bytes, file.bytes);
        Ok::<_, io::Error>(())
    })();
    let finished = copied.map_err(|e| e.to_string()).and_then(|()| finish(&part, file, cache));
    if finished.is_err() {
        let _may_be_gone = std::fs::remove_file(&part);
    }
    finished
}

/// Holds a complete file to its digest, brings it to the disk and gives it its name.
fn finish(part: &Path, file: &ModelFile, cache: &Path) -> Result<(), String> {
    let told = |e: io::Error| e.to_string();
    let open = File::open(part).map_err(told)?;
    let digest = digest_of(&open).map_err(told)?;
    if digest != file.sha256 {
        return Err(format!("wrong digest: sha256 {digest} instead of {}; nothing was kept", file.sha256));
    }
    open.sync_all().map_err(told)?;
    std::fs::rename(part, cache.join(&file.file)).map_err(told)?;
    File::open(cache).and_then(|d| d.sync_all()).map_err(told)
}

fn build(plan: &Plan<'_>, file: &ModelFile) -> Result<(), String> {
    let tool =
        plan.build.ok_or("building it: models/build/build.py is not here; give --from a directory that has it")?;
    let mut command = Command::new("python3");
    command.arg(tool).arg("file").arg(&file.file).arg("--out").arg(plan.cache);
    for dir in plan.from {
        command.arg("--from").arg(dir);
    }
    run(command, "building it")?;
    read_checked(file, plan.cache)
        .map(|_| ())
        .map_err(|bad| format!("building it gave another file: {}", bad.error.cause))
}

/// Fetches the pinned ONNX Runtime into the cache with the build tool.
///
/// # Errors
/// The tool is not here, or failed; its last line is told.
pub fn install_runtime(build: Option<&Path>, cache: &Path) -> Result<(), String> {
    let tool = build.ok_or("models/build/build.py is not here; set models.runtime to libonnxruntime.so")?;
    let mut command = Command::new("python3");
    command.arg(tool).arg("runtime").arg("--out").arg(cache);
    run(command, "fetching ONNX Runtime")
}

fn run(mut command: Command, what: &str) -> Result<(), String> {
    let out = command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{what}: python3: {e}; install the packages python3 and python3-venv"))?;
    if out.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&out.stderr);
    Err(format!("{what}: {} ({})", text.trim().lines().next_back().unwrap_or("no message"), out.status))
}

/// Whether another attempt can help.
enum Fault {
    Passing(String),
    Lasting(String),
}

fn download(url: &str, file: &ModelFile, plan: &Plan<'_>, progress: &mut Progress<'_>) -> Result<(), String> {
    let part = plan.cache.join(format!("{}.part", file.file));
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(15)))
        .timeout_recv_response(Some(Duration::from_secs(30)))
        .timeout_per_read(Some(Duration::from_secs(30)))
        .build()
        .new_agent();
    let mut pause = plan.pause;
    let mut last = String::new();
    for attempt in 1..=ATTEMPTS {
        let resumed = std::fs::metadata(&part).is_ok_and(|m| m.len() > 0);
        let fetched = fetch(&agent, url, &part, file, progress);
        match fetched {
            Ok(()) => match finish(&part, file, plan.cache) {
                Ok(()) => return Ok(()),
                Err(e) => {
                    let _may_be_gone = std::fs::remove_file(&part);
                    // What an older attempt left may have been the fault: once more, from the beginning.
                    if !resumed {
                        return Err(e);
                    }
                    last = e;
                }
            },
            Err(Fault::Lasting(e)) => {
                let _may_be_gone = std::fs::remove_file(&part);
                return Err(e);
            }
            Err(Fault::Passing(e)) => {
                last = e;
                if attempt < ATTEMPTS {
                    std::thread::sleep(pause);
                    pause *= 2;
                }
            }
        }
    }
    Err(format!("{last} (after {ATTEMPTS} attempts)"))
}

/// One request that completes the part, from its end on where the server allows.
fn fetch(
    agent: &ureq::Agent,
    url: &str,
    part: &Path,
    file: &ModelFile,
    progress: &mut Progress<'_>,
) -> Result<(), Fault> {
    let disk = |e: io::Error| Fault::Lasting(format!("writing {}: {e}", part.display()));
    let mut target = OpenOptions::new().create(true).append(true).read(true).open(part).map_err(disk)?;
    let mut have = target.seek(SeekFrom::End(0)).map_err(disk)?;
    if have > file.bytes {
        target.set_len(0).map_err(disk)?;
        have = 0;
    }
    if have == file.bytes {
        return Ok(());
    }
    let mut request = agent.get(url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let mut response = request.call().map_err(|e| Fault::Passing(format!("no answer: {e}")))?;
    let range = response.headers().get("content-range").and_then(|v| v.to_str().ok()).unwrap_or_default();
    match response.status().as_u16() {
        206 if have > 0 && range.starts_with(&format!("bytes {have}-")) => {}
        // The server sends everything again, or something else than was asked for: begin anew.
        200 | 206 if have == 0 || response.status() == 200 => {
            target.set_len(0).map_err(disk)?;
            have = 0;
        }
        206 | 416 => {
            target.set_len(0).map_err(disk)?;
            return Err(Fault::Passing("the server's ranges do not fit what is here".into()));
        }
        gone @ (404 | 410) => return Err(Fault::Lasting(format!("{gone} not found: the file is no longer there"))),
        s if s == 408 || s == 429 || s >= 500 => return Err(Fault::Passing(format!("the server answered {s}"))),
        s => return Err(Fault::Lasting(format!("the server answered {s}"))),
    }
    let mut body = response.body_mut().with_config().limit(file.bytes + 1).reader();
    let mut buffer = vec![0; 1 << 16];
    loop {
        progress(&file.file, have, file.bytes);
        let n = match body.read(&mut buffer) {
            Ok(0) if have < file.bytes => {
                return Err(Fault::Passing(format!("the connection was cut after {have} of {} bytes", file.bytes)));
            }
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(e) => {
                let what = format!("the connection was cut after {have} of {} bytes: {e}", file.bytes);
                return Err(Fault::Passing(what));
            }
        };
        have += n as u64;
        if have > file.bytes {
            return Err(Fault::Lasting(format!("it is bigger than the {} bytes of the manifest", file.bytes)));
        }
        target.write_all(&buffer[..n]).map_err(disk)?;
    }
}

/// Two installations at once would write the same parts.
fn lock(cache: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(cache.join(".install.lock"))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::sample;
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::sync::{Arc, Mutex};

    /// What the server does with one connection.
    #[derive(Clone, Copy)]
    enum Act {
        /// Everything that is asked for.
        Serve,
        /// Headers for everything, then this many bytes, then the end of the connection.
        CutAfter(usize),
        /// Everything, whatever range was asked for.
        IgnoreRange,
        /// Another start than was asked for.
        WrongRange,
        Status(&'static str),
        /// Closes at once.
        Slam,
    }

    struct Server {
        url: String,
        /// The Range header of each request, empty without one.
        asked: Arc<Mutex<Vec<String>>>,
    }

    /// A real HTTP server on the loopback; connection i is treated as `acts[i]`, later ones as the last.
    fn server(body: Vec<u8>, acts: Vec<Act>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/model.onnx", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        std::thread::spawn(move || {
            for (i, stream) in listener.incoming().enumerate() {
                let act = acts[i.min(acts.len() - 1)];
                answer(stream.unwrap(), &body, act, &log);
            }
        });
        Server { url, asked }
    }

    fn answer(mut stream: TcpStream, body: &[u8], act: Act, log: &Mutex<Vec<String>>) {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        let range = head.lines().find_map(|l| l.strip_prefix("range: ")).unwrap_or_default().to_owned();
        log.lock().unwrap().push(range.clone());
        let from: usize = range.strip_prefix("bytes=").map_or(0, |r| r.trim_end_matches('-').parse().unwrap());
        let from = if matches!(act, Act::IgnoreRange) { 0 } else { from };
        let told = if matches!(act, Act::WrongRange) { from + 1 } else { from };
        let rest = &body[told.min(body.len())..];
        let status = match act {
            Act::Slam => return,
            Act::Status(s) => s,
            _ if from > 0 => "206 Partial Content",
            _ => "200 OK",
        };
        let content = if matches!(act, Act::Status(_)) { &b"sorry"[..] } else { rest };
        let mut text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n", content.len());
        if from > 0 {
            text += &format!("Content-Range: bytes {told}-{}/{}\r\n", body.len() - 1, body.len());
        }
        let send = if let Act::CutAfter(n) = act { &content[..n.min(content.len())] } else { content };
        let _client_may_hang_up = stream.write_all(&[text.as_bytes(), b"\r\n", send].concat());
    }

    fn body() -> Vec<u8> {
        (0..200_000_u32).flat_map(|i| i.to_le_bytes()).collect()
    }

    /// A pack of one file that is to be `wanted`.
    fn pack(wanted: &[u8], url: Option<&str>) -> Pack {
        let mut pack = Pack::parse(&sample()).unwrap();
        pack.models.truncate(1);
        let file = &mut pack.models[0].files[0];
        file.sha256 = hex(&Sha256::digest(wanted));
        file.bytes = wanted.len() as u64;
        file.url = url.map(str::to_owned);
        pack
    }

    fn go(pack: &Pack, cache: &Path, from: &[PathBuf]) -> Result<How, String> {
        let plan = Plan { pack, cache, from, build: None, pause: Duration::ZERO };
        install(&plan, &mut |_, _, _| {}).unwrap().remove(0).how
    }

    fn left(cache: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(cache).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names.retain(|n| n != ".install.lock");
        names
    }

    #[test]
    fn a_file_comes_over_http_and_is_not_fetched_again() {
        let (dir, s) = (tempfile::tempdir().unwrap(), server(body(), vec![Act::Serve]));
        let pack = pack(&body(), Some(&s.url));
        assert_eq!(go(&pack, dir.path(), &[]), Ok(How::Downloaded(s.url.clone())));
        assert_eq!(std::fs::read(dir.path().join("blaze.onnx")).unwrap(), body());
        assert_eq!(left(dir.path()), ["blaze.onnx"]);
        assert_eq!(go(&pack, dir.path(), &[]), Ok(How::Already));
        assert_eq!(s.asked.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_connection_cut_in_the_middle_goes_on_where_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let s = server(body(), vec![Act::CutAfter(300_000), Act::Slam, Act::CutAfter(100_000), Act::Serve]);
        assert!(go(&pack(&body(), Some(&s.url)), dir.path(), &[]).is_ok());
        assert_eq!(std::fs::read(dir.path().join("blaze.onnx")).unwrap(), body());
        assert_eq!(*s.asked.lock().unwrap(), ["", "bytes=300000-", "bytes=300000-", "bytes=400000-"]);
        assert_eq!(left(dir.path()), ["blaze.onnx"]);
    }

    #[test]
    fn an_installation_that_failed_leaves_only_a_part_and_the_next_one_takes_it_up() {
        let dir = tempfile::tempdir().unwrap();
        let s = server(body(), vec![Act::CutAfter(1000), Act::Slam, Act::Slam, Act::Slam, Act::Serve]);
        let pack = pack(&body(), Some(&s.url));
        let e = go(&pack, dir.path(), &[]).unwrap_err();
        assert!(e.contains(&s.url) && e.contains("after 4 attempts"), "{e}");
        assert_eq!(left(dir.path()), ["blaze.onnx.part"]);
        assert!(go(&pack, dir.path(), &[]).is_ok());
        assert_eq!(s.asked.lock().unwrap().last().unwrap(), "bytes=1000-");
        assert_eq!(left(dir.path()), ["blaze.onnx"]);
    }

    #[test]
    fn a_server_that_ignores_the_range_is_read_from_the_beginning() {
        for (odd, requests) in
            [(Act::IgnoreRange, &["", "bytes=5000-"][..]), (Act::WrongRange, &["", "bytes=5000-", ""])]
        {
            let dir = tempfile::tempdir().unwrap();
            let s = server(body(), vec![Act::CutAfter(5000), odd, Act::Serve]);
            assert!(go(&pack(&body(), Some(&s.url)), dir.path(), &[]).is_ok());
            assert_eq!(std::fs::read(dir.path().join("blaze.onnx")).unwrap(), body());
            assert_eq!(*s.asked.lock().unwrap(), requests);
        }
    }

    #[test]
    fn a_wrong_digest_is_refused_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut evil = body();
        evil[7] ^= 1;
        let s = server(evil, vec![Act::Serve]);
        let e = go(&pack(&body(), Some(&s.url)), dir.path(), &[]).unwrap_err();
        assert!(e.contains("wrong digest"), "{e}");
        assert_eq!(left(dir.path()), Vec::<String>::new());
    }

    #[test]
    fn a_part_that_is_not_of_this_file_is_thrown_away_and_the_file_fetched_whole() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("blaze.onnx.part"), vec![0xff; 5000]).unwrap();
        let s = server(body(), vec![Act::Serve]);
        assert!(go(&pack(&body(), Some(&s.url)), dir.path(), &[]).is_ok());
        assert_eq!(*s.asked.lock().unwrap(), ["bytes=5000-", ""]);
    }

    #[test]
    fn a_file_that_is_gone_or_too_big_is_not_asked_for_again() {
        for (act, served, says) in [
            (Act::Status("404 Not Found"), body(), "404 not found"),
            (Act::Status("403 Forbidden"), body(), "answered 403"),
            (Act::Serve, [body(), vec![1; 100_000]].concat(), "bigger than the 800000 bytes"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let s = server(served, vec![act]);
            let e = go(&pack(&body(), Some(&s.url)), dir.path(), &[]).unwrap_err();
            assert!(e.contains(says), "{e}");
            assert_eq!(s.asked.lock().unwrap().len(), 1);
            assert_eq!(left(dir.path()), Vec::<String>::new());
        }
    }

    #[test]
    fn a_server_in_trouble_is_asked_again() {
        let dir = tempfile::tempdir().unwrap();
        let s = server(body(), vec![Act::Status("503 Busy"), Act::Serve]);
        assert!(go(&pack(&body(), Some(&s.url)), dir.path(), &[]).is_ok());
    }

    #[test]
    fn a_directory_is_searched_by_digest_whatever_the_file_is_called() {
        let (dir, from) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir(from.path().join("deep")).unwrap();
        std::fs::write(from.path().join("blaze.onnx"), "not this one").unwrap();
        let path = from.path().join("deep/renamed");
        std::fs::write(&path, body()).unwrap();
        let how = go(&pack(&body(), None), dir.path(), &[from.path().to_owned()]);
        assert_eq!(how, Ok(How::Copied(path)));
        assert_eq!(left(dir.path()), ["blaze.onnx"]);
    }

    #[test]
    fn a_spoilt_file_in_the_cache_is_replaced() {
        let (dir, from) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(dir.path().join("blaze.onnx"), vec![0; body().len()]).unwrap();
        std::fs::write(from.path().join("x"), body()).unwrap();
        assert!(go(&pack(&body(), None), dir.path(), &[from.path().to_owned()]).is_ok());
        assert_eq!(std::fs::read(dir.path().join("blaze.onnx")).unwrap(), body());
    }

    #[test]
    fn without_any_source_the_error_says_what_was_tried() {
        let dir = tempfile::tempdir().unwrap();
        let e = go(&pack(&body(), None), dir.path(), &[]).unwrap_err();
        assert!(e.contains("build.py"), "{e}");
        let plan = Plan {
            pack: &pack(&body(), None),
            cache: dir.path(),
            from: &[PathBuf::from("/nonexistent")],
            build: None,
            pause: Duration::ZERO,
        };
        let e = install(&plan, &mut |_, _, _| {}).unwrap_err().to_string();
        assert!(e.contains("/nonexistent") && e.contains("--from"), "{e}");
    }

    #[test]
    fn a_source_at_hand_is_given_to_the_build_tool_and_what_it_makes_is_held_to_the_digest() {
        let (dir, from) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(from.path().join("source"), "source").unwrap();
        let mut pack = pack(b"made", None);
        let sha256 = hex(&Sha256::digest(b"source"));
        pack.models[0].files[0].made_from =
            Some(super::super::manifest::MadeFrom { file: "source".into(), sha256, recipe: "r".into(), version: 1 });
        let tool = from.path().join("build.py");
        let plan = |build| Plan { pack: &pack, cache: dir.path(), from: &[], build, pause: Duration::ZERO };
        for (writes, good) in [("wrong", false), ("made", true)] {
            // Arguments: file NAME --out CACHE --from DIR.
            let script = format!(
                "import sys\nassert sys.argv[1] == 'file'\nopen(sys.argv[4] + '/' + sys.argv[2], 'w').write('{writes}')\n"
            );
            std::fs::write(&tool, script).unwrap();
            let dirs = [from.path().to_owned()];
            let plan = Plan { from: &dirs, ..plan(Some(&tool)) };
            let how = install(&plan, &mut |_, _, _| {}).unwrap().remove(0).how;
            assert_eq!(how == Ok(How::Built), good, "{how:?}");
        }
    }

    #[test]
    fn two_installations_at_once_are_one_too_many() {
        let dir = tempfile::tempdir().unwrap();
        let _held = lock(dir.path()).unwrap();
        let pack = pack(&body(), None);
        let plan = Plan { pack: &pack, cache: dir.path(), from: &[], build: None, pause: Duration::ZERO };
        assert!(install(&plan, &mut |_, _, _| {}).unwrap_err().to_string().contains("other `cardea models install`"));
    }
}
