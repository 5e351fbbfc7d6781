//! Networks on ONNX Runtime.
//!
//! A file is read once; those bytes are hashed, and those bytes are loaded, so nothing can be swapped in between. Data
//! outside of the file is refused before ONNX Runtime sees it. Then every network must give its known answer.

use super::known;
use super::manifest::{FilePrecision, Model, ModelFile, Pack};
use super::provider::{self, TraceDir};
use crate::config::sections::{Precision, Provider};
use crate::ports::{Infer, NetId, PortError, Recovery};
use crate::vision::family::{NetSpec, Role};
use ndarray::{ArrayD, ArrayView4};
use ort::environment::Environment;
use ort::ep::ExecutionProviderDispatch;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// What a file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    Ok,
    Missing,
    WrongDigest,
    FailedKnownAnswer,
}

impl FileState {
    /// The word in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            FileState::Ok => "ok",
            FileState::Missing => "missing",
            FileState::WrongDigest => "wrong_digest",
            FileState::FailedKnownAnswer => "failed_known_answer",
        }
    }
}

/// A file that cannot be used, and why.
#[derive(Debug)]
pub struct BadFile {
    pub state: FileState,
    pub error: PortError,
}

/// How to load a pack.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    /// Directory of the model files.
    pub cache: &'a Path,
    pub precision: Precision,
    /// What computes them; one that does not is an error.
    pub provider: Provider,
    /// Path of `libonnxruntime.so`; `None` looks into the cache, then into the system's library directories.
    pub runtime: Option<&'a Path>,
    /// Threads per network.
    pub threads: usize,
    /// Networks of other roles are left out; running one is an error.
    pub roles: &'a [Role],
}

/// Every role, for [`Settings::roles`].
pub const ALL_ROLES: &[Role] = &[Role::Detect, Role::Landmarks, Role::Eyes, Role::Embed, Role::Pad];

/// A network that is loaded, as records and `models list` tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    pub net: NetId,
    pub role: Role,
    pub name: String,
    pub file: String,
    pub sha256: String,
    pub precision: FilePrecision,
}

/// The loaded networks of one pack.
pub struct OrtEngine {
    nets: Vec<Option<Net>>,
    loaded: Vec<Loaded>,
}

struct Net {
    spec: NetSpec,
    session: Session,
}

impl OrtEngine {
    /// Loads the networks and lets each give its known answer.
    ///
    /// # Errors
    /// No usable ONNX Runtime, a file that is missing, has another digest, reaches outside of itself or answers otherwise
    /// than it must. The file is named. There is no way to load a file without these checks.
    pub fn load(pack: &Pack, settings: &Settings<'_>) -> Result<OrtEngine, PortError> {
        let runtime = Runtime::of(settings)?;
        let mut engine = OrtEngine { nets: Vec::new(), loaded: Vec::new() };
        for model in &pack.models {
            if !settings.roles.contains(&model.net.role) {
                engine.nets.push(None);
                continue;
            }
            let file = model.file_for(settings.precision)?;
            let net = open(&runtime, model, file, settings).map_err(Refused::error)?;
            tracing::info!(
                pack = pack.name,
                network = model.net.name,
                file = file.file,
                precision = file.precision.name(),
                provider = settings.provider.name(),
                "network loaded, known answer right"
            );
            engine.nets.push(Some(net));
            engine.loaded.push(Loaded {
                net: model.net.id,
                role: model.net.role,
                name: model.net.name.clone(),
                file: file.file.clone(),
                sha256: file.sha256.clone(),
                precision: file.precision,
            });
        }
        Ok(engine)
    }

    /// What is loaded, in the manifest's order.
    #[must_use]
    pub fn loaded(&self) -> &[Loaded] {
        &self.loaded
    }
}

impl Infer for OrtEngine {
    fn run(&mut self, net: NetId, input: ArrayView4<'_, f32>) -> Result<Vec<ArrayD<f32>>, PortError> {
        let found = self.nets.get_mut(net.0).and_then(Option::as_mut);
        let net = found.ok_or_else(|| {
            let cause = "it is not among the loaded networks";
            PortError::new(format!("run network {}", net.0), cause, "load its role", Recovery::Fatal)
        })?;
        net.run(input)
    }
}

impl Net {
    fn run(&mut self, input: ArrayView4<'_, f32>) -> Result<Vec<ArrayD<f32>>, PortError> {
        let Net { spec, session } = self;
        let failed = |cause: String| {
            let hint = "run `cardea models verify`";
            PortError::new(format!("run the network {}", spec.name), cause, hint, Recovery::Fatal)
        };
        if input.shape() != spec.input.shape {
            return Err(failed(format!("its input is {:?}, not {:?}", spec.input.shape, input.shape())));
        }
        let tensor = TensorRef::from_array_view(input).map_err(|e| failed(e.to_string()))?;
        let outputs =
            session.run(ort::inputs![spec.input.name.as_str() => tensor]).map_err(|e| failed(e.to_string()))?;
        let mut arrays = Vec::with_capacity(spec.outputs.len());
        for name in &spec.outputs {
            let value = outputs.get(name).ok_or_else(|| failed(format!("output {name} is missing")))?;
            let array = value.try_extract_array::<f32>().map_err(|e| failed(format!("output {name}: {e}")))?;
            arrays.push(array.to_owned());
        }
        Ok(arrays)
    }
}

/// Checks one file as [`OrtEngine::load`] does, and lets go of it again.
///
/// # Errors
/// See [`BadFile`]. A runtime that cannot be loaded is an error of the outer kind: it says nothing about the file.
pub fn verify(model: &Model, file: &ModelFile, settings: &Settings<'_>) -> Result<Result<(), BadFile>, PortError> {
    if let Err(bad) = read_checked(file, settings.cache) {
        return Ok(Err(bad));
    }
    let runtime = Runtime::of(settings)?;
    match open(&runtime, model, file, settings) {
        Ok(_) => Ok(Ok(())),
        Err(Refused::File(bad)) => Ok(Err(bad)),
        Err(Refused::Provider(e)) => Err(e),
    }
}

/// Reads a file and holds its bytes to the manifest's digest.
///
/// # Errors
/// The file is missing or has other bytes.
pub fn read_checked(file: &ModelFile, cache: &Path) -> Result<Vec<u8>, BadFile> {
    let path = cache.join(&file.file);
    let bad = |state, cause: String| {
        let hint = "run `cardea models install` or `make models`";
        BadFile { state, error: PortError::new(format!("load {}", path.display()), cause, hint, Recovery::Fatal) }
    };
    let open = std::fs::File::open(&path).map_err(|e| bad(FileState::Missing, e.to_string()))?;
    let mut bytes = Vec::with_capacity(file.bytes as usize + 1);
    // One byte more than it may have tells a longer file without reading all of it.
    open.take(file.bytes + 1).read_to_end(&mut bytes).map_err(|e| bad(FileState::Missing, e.to_string()))?;
    if bytes.len() as u64 != file.bytes {
        let more = if bytes.len() as u64 > file.bytes { "more than " } else { "" };
        let have = bytes.len().min(file.bytes as usize);
        let cause = format!("wrong digest: it has {more}{have} bytes, the manifest says {}", file.bytes);
        return Err(bad(FileState::WrongDigest, cause));
    }
    let digest = hex(&Sha256::digest(&bytes));
    if digest != file.sha256 {
        let cause = format!("wrong digest: sha256 {digest}, the manifest says {}", file.sha256);
        return Err(bad(FileState::WrongDigest, cause));
    }
    Ok(bytes)
}

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// What networks are opened with.
struct Runtime {
    environment: Environment,
    providers: Vec<ExecutionProviderDispatch>,
}

impl Runtime {
    fn of(settings: &Settings<'_>) -> Result<Self, PortError> {
        // Before any library is looked for: this is told from the build alone.
        let providers = provider::dispatches(settings.provider)?;
        Ok(Runtime { environment: environment(settings.runtime, settings.cache)?, providers })
    }

    fn session(&self, bytes: &[u8], threads: usize, trace: Option<&TraceDir>) -> ort::Result<Session> {
        let mut builder = Session::builder(&self.environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(threads.max(1))?
            .with_inter_threads(1)?
            // Threads that spin between frames cost a whole core and save microseconds.
            .with_intra_op_spinning(false)?;
        if !self.providers.is_empty() {
            builder = builder.with_execution_providers(&self.providers)?;
        }
        if let Some(trace) = trace {
            builder = builder.with_profiling(trace.prefix())?;
        }
        builder.commit_from_memory(bytes)
    }
}

/// Why a network was not opened.
enum Refused {
    File(BadFile),
    /// It says nothing about the file.
    Provider(PortError),
}

impl Refused {
    fn error(self) -> PortError {
        match self {
            Refused::File(bad) => bad.error,
            Refused::Provider(e) => e,
        }
    }
}

fn open(runtime: &Runtime, model: &Model, file: &ModelFile, settings: &Settings<'_>) -> Result<Net, Refused> {
    let (cache, provider) = (settings.cache, settings.provider);
    let bytes = read_checked(file, cache).map_err(Refused::File)?;
    let spec = &model.net;
    let bad = |cause: String| {
        let what = format!("load the network {} from {}", spec.name, cache.join(&file.file).display());
        let hint = "run `cardea models verify`; put back the release's pack and run `cardea models install`";
        let error = PortError::new(what, cause, hint, Recovery::Fatal);
        Refused::File(BadFile { state: FileState::FailedKnownAnswer, error })
    };
    if names_external_data(&bytes) {
        return Err(bad("it refers to data outside of itself".into()));
    }
    let bytes = match (spec.exposed(), &spec.features) {
        (Some(_), Some(f)) => with_output(bytes, &f.name, f.len),
        _ => bytes,
    };
    let unused =
        |cause: String| Refused::Provider(provider::unused(provider, format!("the network {}: {cause}", spec.name)));
    let trace = match provider {
        Provider::Cpu => None,
        _ => Some(TraceDir::new().map_err(|e| unused(format!("no room for a trace: {e}")))?),
    };
    let session = runtime.session(&bytes, settings.threads, trace.as_ref()).map_err(|e| match provider {
        Provider::Cpu => bad(e.to_string()),
        _ => unused(e.to_string()),
    })?;
    let mut net = Net { spec: spec.clone(), session };
    let outputs = net.run(known::input(&spec.input).view()).map_err(|e| bad(e.cause))?;
    if trace.is_some() {
        really_used(&mut net, provider).map_err(unused)?;
    }
    for ((name, shape), array) in spec.family.outputs(spec.input.side()).iter().zip(&outputs) {
        let fits = shape.len() == array.ndim()
            && shape.iter().zip(array.shape()).all(|(want, got)| want == got || (*want == 0 && *got > 0));
        if !fits {
            return Err(bad(format!("output {name} has the shape {:?} instead of {shape:?}", array.shape())));
        }
    }
    if let Some((at, len)) = spec.exposed() {
        let sound = outputs.get(at).is_some_and(|a| a.shape() == [1, len] && a.iter().all(|v| v.is_finite()));
        if !sound {
            return Err(bad(format!("{} is not a tensor of [1, {len}] finite values", spec.outputs[at])));
        }
    }
    known::check(&file.known_answer, &spec.outputs, &outputs)
        .map_err(|difference| bad(format!("failed its known answer: {difference}")))?;
    Ok(net)
}

/// The same graph with one more of its tensors, of shape `[1, len]`, as an output. ONNX is protobuf, which merges a
/// message that comes twice: a second `graph` that holds nothing but an output adds it. So the bytes that were hashed
/// stay as they are, and no second file has to be made, pinned and loaded.
fn with_output(mut onnx: Vec<u8>, name: &str, len: usize) -> Vec<u8> {
    let number = |mut n: u64| {
        let mut out = Vec::new();
        while n >= 0x80 {
            out.push(n as u8 | 0x80);
            n >>= 7;
        }
        out.push(n as u8);
        out
    };
    // A field that has a length: strings and messages.
    let field = |id: u8, body: &[u8]| [&[id << 3 | 2][..], &number(body.len() as u64), body].concat();
    let value = |id: u8, n: u64| [&[id << 3][..], &number(n)].concat();
    let dims: Vec<u8> = [1, len as u64].iter().flat_map(|d| field(1, &value(1, *d))).collect();
    const FLOAT: u64 = 1;
    let tensor = [value(1, FLOAT), field(2, &dims)].concat();
    let output = [field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat();
    onnx.extend(field(7, &field(12, &output)));
    onnx
}

/// Reads the trace of the run before and holds the provider to it; ends the tracing.
fn really_used(net: &mut Net, provider: Provider) -> Result<(), String> {
    let path = net.session.end_profiling().map_err(|e| e.to_string())?;
    let trace = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    let share = provider::share(&trace, provider)?;
    provider::judge(share, provider)?;
    if share.heavy_left > 0 {
        let (network, provider) = (&net.spec.name, provider.name());
        tracing::warn!(network, provider, left = share.heavy_left, "some heavy operators run on the CPU all the same");
    }
    Ok(())
}

/// Whether a graph keeps tensors in other files: each such tensor carries an entry with the key `location`. The test is
/// for the word anywhere, which no network of the packs contains otherwise; a false alarm is an error, a miss would let
/// unhashed bytes in.
fn names_external_data(bytes: &[u8]) -> bool {
    const KEY: &[u8] = b"location";
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|b| *b == KEY[0]) {
        if rest[at..].starts_with(KEY) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// One for the whole process, as ONNX Runtime wants it.
static ENVIRONMENT: Mutex<Option<(Environment, PathBuf)>> = Mutex::new(None);

fn environment(runtime: Option<&Path>, cache: &Path) -> Result<Environment, PortError> {
    let mut held = ENVIRONMENT.lock().expect("environment mutex: no holder panics");
    if let Some((e, _)) = &*held {
        return Ok(e.clone());
    }
    let mut tried = Vec::new();
    for path in candidates(runtime, cache) {
        // `ort` would resolve a relative path beside the executable first.
        let Ok(path) = path.canonicalize() else {
            tried.push(format!("{} (no such file)", path.display()));
            continue;
        };
        let made = ort::init_from(&path)
            .map_err(|e| e.to_string())
            .and_then(|b| b.with_name("cardea").with_telemetry(false).build().map_err(|e| e.to_string()));
        match made {
            Ok(e) => {
                e.set_log_level(ort::logging::LogLevel::Error);
                tracing::info!(path = %path.display(), "ONNX Runtime loaded");
                *held = Some((e.clone(), path));
                return Ok(e);
            }
            Err(e) => tried.push(format!("{} ({e})", path.display())),
        }
    }
    let hint =
        "run `make models` or `cardea models install`, or set models.runtime to libonnxruntime.so (1.17 or newer)";
    let cause = format!("tried {}", tried.join(", "));
    Err(PortError::new("load ONNX Runtime", cause, hint, Recovery::Fatal))
}

/// Loads ONNX Runtime as [`OrtEngine::load`] does and says which file it is and its version, as far as that tells it.
///
/// # Errors
/// No usable library; every path that was tried is named.
pub fn runtime_in_use(runtime: Option<&Path>, cache: &Path) -> Result<(PathBuf, Option<String>), PortError> {
    environment(runtime, cache)?;
    let held = ENVIRONMENT.lock().expect("environment mutex: no holder panics");
    let path = held.as_ref().map(|(_, path)| path.clone()).unwrap_or_default();
    let version = std::fs::read(&path).ok().and_then(|bytes| version_of(&bytes));
    Ok((path, version))
}

/// The version under which the library exports its symbols: the one place where it stands in every build. The text of
/// the build names a branch, which is `HEAD` in the published ones.
fn version_of(library: &[u8]) -> Option<String> {
    const MARK: &[u8] = b"VERS_";
    let at = library.windows(MARK.len() + 1).position(|w| w.starts_with(MARK) && w[MARK.len()].is_ascii_digit())?;
    let digits = library[at + MARK.len()..].iter().take_while(|b| b.is_ascii_digit() || **b == b'.');
    Some(digits.map(|b| char::from(*b)).collect())
}

/// Whether a library lies where [`OrtEngine::load`] looks; it need not be a good one.
#[must_use]
pub fn runtime_at_hand(runtime: Option<&Path>, cache: &Path) -> bool {
    candidates(runtime, cache).iter().any(|p| p.exists())
}

/// Where ONNX Runtime may be, in the order of trying. A path from the configuration is the only one then.
fn candidates(runtime: Option<&Path>, cache: &Path) -> Vec<PathBuf> {
    if let Some(path) = runtime {
        return vec![path.to_owned()];
    }
    let mut found = vec![cache.join("libonnxruntime.so")];
    let triple = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    // The first is the package's own.
    for dir in ["/usr/lib/cardea", "/usr/local/lib", "/usr/lib", "/usr/lib64", &triple] {
        let Ok(entries) = std::fs::read_dir(dir) else { continue };
        let mut here: Vec<PathBuf> = entries
            .filter_map(|e| e.ok().map(|e| e.path()))
            .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("libonnxruntime.so")))
            .collect();
        here.sort();
        found.extend(here);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::sample;
    use super::*;

    fn settings(cache: &Path) -> Settings<'_> {
        let (precision, provider) = (Precision::Fp32, Provider::Cpu);
        Settings { cache, precision, provider, runtime: None, threads: 1, roles: ALL_ROLES }
    }

    #[test]
    fn a_missing_runtime_is_one_error_that_names_every_path_and_the_command() {
        let dir = tempfile::tempdir().unwrap();
        let pack = Pack::parse(&sample()).unwrap();
        let path = dir.path().join("libnone.so");
        let set = Settings { runtime: Some(&path), ..settings(dir.path()) };
        let e = OrtEngine::load(&pack, &set).err().unwrap().to_string();
        assert!(e.contains("libnone.so") && e.contains("make models") && e.contains("cardea models install"), "{e}");
        std::fs::write(&path, "not a library").unwrap();
        let e = OrtEngine::load(&pack, &set).err().unwrap().to_string();
        assert!(e.contains("libnone.so (failed to load"), "{e}");
    }

    #[test]
    fn without_a_configured_path_the_cache_comes_first_and_with_one_nothing_else_is_tried() {
        let cache = Path::new("/nonexistent/cache");
        assert_eq!(candidates(None, cache)[0], cache.join("libonnxruntime.so"));
        assert_eq!(candidates(Some(Path::new("/a.so")), cache), vec![PathBuf::from("/a.so")]);
    }

    #[test]
    fn a_file_is_missing_or_has_the_wrong_digest_before_anything_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = Pack::parse(&sample()).unwrap().models[0].files[0].clone();
        assert_eq!(read_checked(&file, dir.path()).unwrap_err().state, FileState::Missing);
        std::fs::write(dir.path().join(&file.file), b"0123456789").unwrap();
        let bad = read_checked(&file, dir.path()).unwrap_err();
        assert_eq!(bad.state, FileState::WrongDigest);
        assert!(bad.error.to_string().contains("blaze.onnx") && bad.error.to_string().contains("wrong digest"));
        file.sha256 = hex(&Sha256::digest(b"0123456789"));
        assert_eq!(read_checked(&file, dir.path()).unwrap(), b"0123456789");
        std::fs::write(dir.path().join(&file.file), b"0123456789+").unwrap();
        assert_eq!(read_checked(&file, dir.path()).unwrap_err().state, FileState::WrongDigest);
    }

    #[test]
    fn the_version_is_read_from_the_names_of_the_symbols() {
        assert_eq!(version_of(b"xVERS_VERS_1.23.4\0.VERS_9").as_deref(), Some("1.23.4"));
        assert_eq!(version_of(b"VERS_x VERS"), None);
    }

    #[test]
    fn a_graph_with_data_in_other_files_is_recognised() {
        assert!(names_external_data(b"\x0a\x08location\x12\x04evil"));
        assert!(names_external_data(b"lolocation"));
        assert!(!names_external_data(b"locatio"));
    }
}
