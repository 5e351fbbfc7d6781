//! The manifest of a pack, `models/packs/<name>.toml`: which networks there are, which files hold them, what they must
//! answer, and which thresholds were measured with them.
//!
//! A manifest decides who gets in, so nothing in it is guessed: an unknown key, a path in a file name, a digest that is
//! none or a threshold out of its range refuses the whole pack.

use crate::config::sections::Precision;
use crate::ports::{NetId, PortError, Recovery};
use crate::vision::family::{Family, Features, InputSpec, NetSpec, Role};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;

/// Biggest manifest that is read, in bytes.
const MAX_MANIFEST: u64 = 1 << 20;
/// Biggest model file that a manifest may name, in bytes.
pub const MAX_MODEL: u64 = 256 << 20;
/// Longest features that a PAD network may name.
const MAX_FEATURES: usize = 4096;
/// A known answer that tolerates more than this would pass a different network.
const MAX_TOLERANCE: f64 = 0.05;

/// A pack that may be relied on.
#[derive(Clone, Debug, PartialEq)]
pub struct Pack {
    pub name: String,
    pub version: String,
    /// Whether the pack has networks against presentation attacks; without them active liveness is mandatory.
    pub passive_pad: bool,
    pub about: String,
    /// In the manifest's order; `models[i].net.id == NetId(i)`.
    pub models: Vec<Model>,
    /// Files that others are made from.
    pub sources: Vec<Source>,
    /// Empty in a pack whose thresholds have not been measured: it can be listed and verified, not used.
    pub recognition: Vec<Recognition>,
    pub pad: Vec<PadThreshold>,
}

/// One network with the files that hold it.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub net: NetSpec,
    pub files: Vec<ModelFile>,
    /// What `models.precision = "auto"` takes on x86-64, as measured: the faster file that loses no error rate.
    pub auto: FilePrecision,
}

/// The arithmetic inside a file; its inputs and outputs are floats always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FilePrecision {
    Fp32,
    Int8,
}

impl FilePrecision {
    /// The word in manifests and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            FilePrecision::Fp32 => "fp32",
            FilePrecision::Int8 => "int8",
        }
    }
}

/// One file of one network.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    pub precision: FilePrecision,
    /// Plain name under the cache directory.
    pub file: String,
    /// SHA-256 in lower-case hex of what is loaded.
    pub sha256: String,
    pub bytes: u64,
    pub licence: String,
    /// Where it comes from, for people.
    pub source: String,
    /// Where it can be downloaded as it is.
    pub url: Option<String>,
    /// What it is made from, where it cannot.
    pub made_from: Option<MadeFrom>,
    pub known_answer: KnownAnswer,
}

/// How a file is made: `recipe` of `models/build`, from one other file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MadeFrom {
    pub file: String,
    pub sha256: String,
    pub recipe: String,
    pub version: u32,
}

/// What a network answers to the fixed input of [`super::known::input`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownAnswer {
    /// Values may differ by this much times the greatest of the listed (at least 1), the length by this part of itself.
    pub tolerance: f64,
    pub output: Vec<KnownOutput>,
}

/// One output of a known answer. A manifest may leave out outputs that are nearly zero on the fixed input.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownOutput {
    pub name: String,
    /// The first values, at most eight.
    pub first8: Vec<f64>,
    /// Length of the whole output as one vector.
    pub l2: f64,
}

/// A file that others are made from.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    pub file: String,
    pub sha256: String,
    #[serde(alias = "made_from")]
    pub from: SourceFrom,
    pub licence: String,
    /// Path inside of the package or repository.
    pub path: Option<String>,
}

/// Where a source comes from.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum SourceFrom {
    /// `package==version` or `owner/repository@commit`.
    Package(String),
    Made(MadeFrom),
}

/// How two embeddings are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Similarity is the cosine.
    Cosine,
    /// Similarity is `1 - distance`.
    Euclidean,
}

/// Measured thresholds of the embedding network.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recognition {
    pub precision: FilePrecision,
    pub metric: Metric,
    /// Templates per person with which the curve was measured.
    pub templates: u32,
    /// (FMR, similarity): the rate falls and the similarity rises from point to point.
    pub curve: Vec<(f64, f64)>,
    pub impostor_pairs: u64,
    /// What it was measured on.
    pub data: String,
    /// Similarity that frames of one visit must have to one another.
    pub continuity: f64,
}

/// Measured threshold of one PAD network.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PadThreshold {
    /// Name of the model.
    pub network: String,
    pub precision: FilePrecision,
    /// The median over a visit must reach this.
    pub threshold: f64,
    /// No single frame may be below this.
    pub floor: f64,
    pub data: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPack {
    schema: u32,
    name: String,
    version: String,
    passive_pad: bool,
    about: String,
    model: Vec<RawModel>,
    #[serde(default)]
    source: Vec<Source>,
    #[serde(default)]
    recognition: Vec<Recognition>,
    #[serde(default)]
    pad: Vec<PadThreshold>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawModel {
    role: Role,
    name: String,
    family: Family,
    input: InputSpec,
    outputs: Vec<String>,
    crop_scale: Option<f32>,
    #[serde(default = "fp32")]
    auto: FilePrecision,
    features: Option<Features>,
    file: Vec<ModelFile>,
}

fn fp32() -> FilePrecision {
    FilePrecision::Fp32
}

impl Pack {
    /// Reads `<packs>/<name>.toml`.
    ///
    /// # Errors
    /// A name that is no plain name, a file that cannot be read, and every fault of [`Pack::parse`]; the file is named.
    pub fn read(packs: &Path, name: &str) -> Result<Pack, PortError> {
        let fatal = |what: String, cause: String, hint: &str| PortError::new(what, cause, hint, Recovery::Fatal);
        if !is_pack_name(name) {
            let what = format!("read the pack {name:?}");
            return Err(fatal(what, "a pack's name has only a-z, 0-9, _ and -".into(), "mend models.pack"));
        }
        let path = packs.join(format!("{name}.toml"));
        let what = format!("read {}", path.display());
        let found = "see models.packs and models.pack in the configuration";
        let size = std::fs::metadata(&path).map_err(|e| fatal(what.clone(), e.to_string(), found))?.len();
        if size > MAX_MANIFEST {
            return Err(fatal(what, format!("{size} bytes are too many for a manifest"), found));
        }
        let text = std::fs::read_to_string(&path).map_err(|e| fatal(what.clone(), e.to_string(), found))?;
        let pack = Pack::parse(&text).map_err(|e| fatal(what.clone(), e, "put the manifest of the release back"))?;
        if pack.name != name {
            return Err(fatal(what, format!("it calls itself {}", pack.name), "name the file as the pack"));
        }
        Ok(pack)
    }

    /// Reads a manifest's text.
    ///
    /// # Errors
    /// The first thing that is wrong, with the entry's name or the line.
    pub fn parse(text: &str) -> Result<Pack, String> {
        let raw: RawPack = toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())?;
        let fault = |cond: bool, what: String| if cond { Err(what) } else { Ok(()) };
        fault(raw.schema != 1, format!("schema {} is not known here, only 1", raw.schema))?;
        fault(!is_pack_name(&raw.name), format!("name {:?} may have only a-z, 0-9, _ and -", raw.name))?;
        let mut models = Vec::new();
        for (index, m) in raw.model.into_iter().enumerate() {
            let name = m.name.clone();
            models.push(check_model(index, m).map_err(|e| format!("model {name:?}: {e}"))?);
        }
        check_roles(&models, raw.passive_pad)?;
        for s in &raw.source {
            check_digest(&s.sha256).and(check_file_name(&s.file)).map_err(|e| format!("source {:?}: {e}", s.file))?;
        }
        for r in &raw.recognition {
            check_recognition(r).map_err(|e| format!("recognition for {}: {e}", r.precision.name()))?;
        }
        for p in &raw.pad {
            let known = models.iter().any(|m| m.net.role == Role::Pad && m.net.name == p.network);
            fault(!known, format!("pad: {:?} is no PAD network of this pack", p.network))?;
            let sound = (0.0..=1.0).contains(&p.threshold) && (0.0..=1.0).contains(&p.floor) && p.floor <= p.threshold;
            fault(!sound, format!("pad {:?}: 0 <= floor <= threshold <= 1 does not hold", p.network))?;
        }
        Ok(Pack {
            name: raw.name,
            version: raw.version,
            passive_pad: raw.passive_pad,
            about: raw.about,
            models,
            sources: raw.source,
            recognition: raw.recognition,
            pad: raw.pad,
        })
    }

    /// What the pipeline needs to know of the networks, in the manifest's order.
    #[must_use]
    pub fn nets(&self) -> Vec<NetSpec> {
        self.models.iter().map(|m| m.net.clone()).collect()
    }

    /// Thresholds for an embedding file of this precision, compared with this many templates per person; the entry with
    /// the most templates that do not exceed `templates`. `None` where nothing was measured.
    #[must_use]
    pub fn recognition_for(&self, precision: FilePrecision, templates: u32) -> Option<&Recognition> {
        self.recognition
            .iter()
            .filter(|r| r.precision == precision && r.templates <= templates)
            .max_by_key(|r| r.templates)
    }

    /// The threshold of one PAD network in one precision. `None` where nothing was measured.
    #[must_use]
    pub fn pad_for(&self, network: &str, precision: FilePrecision) -> Option<&PadThreshold> {
        self.pad.iter().find(|p| p.network == network && p.precision == precision)
    }
}

impl Model {
    /// The file that serves a configured precision; `auto` is fp32 on x86-64 and int8 on Arm, until boards were measured,
    /// and the other one where a network exists in one precision only.
    ///
    /// # Errors
    /// The precision that was asked for by name does not exist.
    pub fn file_for(&self, precision: Precision) -> Result<&ModelFile, PortError> {
        let of = |p: FilePrecision| self.files.iter().find(|f| f.precision == p);
        let arm = cfg!(any(target_arch = "aarch64", target_arch = "arm"));
        let found = match precision {
            Precision::Fp32 => of(FilePrecision::Fp32),
            Precision::Int8 => of(FilePrecision::Int8),
            Precision::Auto if arm => of(FilePrecision::Int8).or_else(|| self.files.first()),
            Precision::Auto => of(self.auto).or_else(|| self.files.first()),
        };
        found.ok_or_else(|| {
            let what = format!("choose a file of {}", self.net.name);
            let cause = format!("the pack has none for models.precision {precision:?}");
            PortError::new(what, cause, "set models.precision to auto", Recovery::Fatal)
        })
    }
}

/// Whether a pack may be called so.
fn is_pack_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

fn check_file_name(name: &str) -> Result<(), String> {
    let plain = (1..=128).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if plain { Ok(()) } else { Err(format!("{name:?} is no plain file name")) }
}

fn check_digest(hex: &str) -> Result<(), String> {
    let sound = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if sound { Ok(()) } else { Err(format!("sha256 {hex:?} is not 64 lower-case hex digits")) }
}

fn check_model(index: usize, m: RawModel) -> Result<Model, String> {
    let fault = |cond: bool, what: String| if cond { Err(what) } else { Ok(()) };
    fault(m.family.role() != m.role, format!("family {} cannot fill role {}", m.family.name(), m.role.name()))?;
    let side = m.input.shape[3];
    let sized = m.input.shape == [1, 3, side, side] && (32..=1024).contains(&side) && side.is_multiple_of(2);
    let fits = m.family.side().map_or(side.is_multiple_of(32), |s| s == side);
    fault(!sized || !fits, format!("input shape {:?} does not fit family {}", m.input.shape, m.family.name()))?;
    let range = m.input.lo.is_finite() && m.input.hi.is_finite() && m.input.lo < m.input.hi;
    fault(!range, format!("input range {}..{} is empty", m.input.lo, m.input.hi))?;
    let wanted: Vec<String> = m.family.outputs(side).into_iter().map(|(n, _)| n).collect();
    fault(m.outputs != wanted, format!("outputs must be {wanted:?} in this order"))?;
    let scaled = m.crop_scale.is_some_and(|s| (1.0..=8.0).contains(&s));
    let wants_scale = m.family == Family::Minifasnet80;
    fault(wants_scale && !scaled, "crop_scale within 1.0..=8.0 is missing".into())?;
    fault(!wants_scale && m.crop_scale.is_some(), "crop_scale belongs to pad-minifasnet80 only".into())?;
    if let Some(f) = &m.features {
        fault(m.role != Role::Pad, "features belong to role pad only".into())?;
        let plain = !f.name.is_empty() && !wanted.contains(&f.name) && (1..=MAX_FEATURES).contains(&f.len);
        fault(!plain, format!("features want the name of an inner tensor and a len within 1..={MAX_FEATURES}"))?;
    }
    fault(m.file.is_empty(), "has no file".into())?;
    let precisions: BTreeSet<_> = m.file.iter().map(|f| f.precision).collect();
    fault(precisions.len() != m.file.len(), "two files of one precision".into())?;
    fault(!precisions.contains(&m.auto), format!("auto = {:?} names a precision without a file", m.auto.name()))?;
    for f in &m.file {
        check_file(f, &wanted).map_err(|e| format!("file {:?}: {e}", f.file))?;
    }
    let net = NetSpec {
        id: NetId(index),
        role: m.role,
        name: m.name,
        family: m.family,
        input: m.input,
        outputs: m.outputs,
        crop_scale: m.crop_scale,
        features: m.features,
    };
    Ok(Model { net, files: m.file, auto: m.auto })
}

fn check_file(f: &ModelFile, outputs: &[String]) -> Result<(), String> {
    check_file_name(&f.file)?;
    check_digest(&f.sha256)?;
    if f.bytes == 0 || f.bytes > MAX_MODEL {
        return Err(format!("bytes = {} is not within 1..={MAX_MODEL}", f.bytes));
    }
    if let Some(url) = f.url.as_ref().filter(|u| !u.starts_with("https://") && !u.starts_with("http://")) {
        return Err(format!("url {url:?} is neither https nor http"));
    }
    if let Some(from) = &f.made_from {
        check_file_name(&from.file)?;
        check_digest(&from.sha256)?;
    }
    let k = &f.known_answer;
    if !(k.tolerance > 0.0 && k.tolerance <= MAX_TOLERANCE) {
        return Err(format!("known_answer.tolerance = {} is not within 0..={MAX_TOLERANCE}", k.tolerance));
    }
    if k.output.is_empty() {
        return Err("known_answer names no output".into());
    }
    for o in &k.output {
        if !outputs.contains(&o.name) {
            return Err(format!("known_answer: {:?} is no output", o.name));
        }
        let sound = (1..=8).contains(&o.first8.len()) && o.first8.iter().all(|v| v.is_finite()) && o.l2 > 0.0;
        if !sound || !o.l2.is_finite() {
            return Err(format!("known_answer of {:?}: wants 1 to 8 finite values and a length above zero", o.name));
        }
    }
    Ok(())
}

fn check_roles(models: &[Model], passive_pad: bool) -> Result<(), String> {
    let count = |role: Role| models.iter().filter(|m| m.net.role == role).count();
    for role in [Role::Detect, Role::Landmarks, Role::Eyes, Role::Embed] {
        if count(role) != 1 {
            return Err(format!("role {} must be filled once, not {} times", role.name(), count(role)));
        }
    }
    if passive_pad != (count(Role::Pad) > 0) {
        return Err(format!("passive_pad = {passive_pad} with {} networks of role pad", count(Role::Pad)));
    }
    let mut names = BTreeSet::new();
    let mut files = BTreeSet::new();
    for m in models {
        if !names.insert(&m.net.name) {
            return Err(format!("two models are called {:?}", m.net.name));
        }
        for f in &m.files {
            if !files.insert(&f.file) {
                return Err(format!("two entries name the file {:?}", f.file));
            }
        }
    }
    Ok(())
}

fn check_recognition(r: &Recognition) -> Result<(), String> {
    let rates = r.curve.iter().all(|(fmr, s)| *fmr > 0.0 && *fmr < 1.0 && s.is_finite());
    if r.curve.len() < 2 || !rates {
        return Err("curve wants two points or more of (FMR within 0..1, similarity)".into());
    }
    if r.curve.windows(2).any(|w| w[1].0 >= w[0].0 || w[1].1 <= w[0].1) {
        return Err("curve: the FMR must fall and the similarity rise from point to point".into());
    }
    let within = |s: f64| (-1.0..=1.0).contains(&s);
    if !r.curve.iter().all(|(_, s)| within(*s)) || !within(r.continuity) {
        return Err("a similarity is not within -1..=1".into());
    }
    if !(1..=16).contains(&r.templates) || r.impostor_pairs == 0 {
        return Err("templates must be 1..=16 and impostor_pairs above 0".into());
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A complete manifest; the digests are those of nothing.
    pub(crate) fn sample() -> String {
        let nets = [
            ("detect", "blaze", "blazeface", 128, "rgb", r#"["regressors", "classificators"]"#, "regressors"),
            ("landmarks", "mesh", "facemesh", 192, "rgb", r#"["landmarks", "face_logit"]"#, "face_logit"),
            ("eyes", "eye", "eye-contour", 64, "rgb", r#"["eye_contour", "iris"]"#, "iris"),
            ("embed", "reid", "embedding-reid128", 128, "bgr", r#"["embedding"]"#, "embedding"),
            ("pad", "v2", "pad-minifasnet80", 80, "bgr", r#"["logits"]"#, "logits"),
        ];
        let mut text = String::from(
            "schema = 1\nname = \"sample\"\nversion = \"1\"\npassive_pad = true\nabout = \"For tests.\"\n",
        );
        for (i, (role, name, family, side, order, outputs, known)) in nets.into_iter().enumerate() {
            let scale = if role == "pad" { "crop_scale = 2.7\n" } else { "" };
            let digest = format!("{i:064x}");
            text += &format!(
                "[[model]]\nrole = \"{role}\"\nname = \"{name}\"\nfamily = \"{family}\"\n\
                 input = {{ name = \"input\", shape = [1, 3, {side}, {side}], order = \"{order}\", lo = 0.0, hi = 1.0 }}\n\
                 outputs = {outputs}\n{scale}[[model.file]]\nprecision = \"fp32\"\nfile = \"{name}.onnx\"\n\
                 sha256 = \"{digest}\"\nbytes = 10\nlicence = \"MIT\"\nsource = \"nowhere\"\n\
                 [model.file.known_answer]\ntolerance = 0.01\n[[model.file.known_answer.output]]\nname = \"{known}\"\n\
                 first8 = [1.0, 2]\nl2 = 3.5\n"
            );
        }
        text += "[[recognition]]\nprecision = \"fp32\"\nmetric = \"cosine\"\ntemplates = 1\n\
                 curve = [[1e-2, 0.36], [1e-3, 0.46]]\nimpostor_pairs = 1000\ndata = \"none\"\ncontinuity = 0.3\n\
                 [[pad]]\nnetwork = \"v2\"\nprecision = \"fp32\"\nthreshold = 0.5\nfloor = 0.01\ndata = \"none\"\n";
        text
    }

    #[test]
    fn a_whole_manifest_is_read_into_networks_in_order() {
        let pack = Pack::parse(&sample()).unwrap();
        assert_eq!(pack.models.len(), 5);
        assert_eq!(pack.models[4].net.id, NetId(4));
        assert_eq!(pack.nets()[3].family, Family::Reid128);
        assert_eq!(pack.models[4].net.crop_scale, Some(2.7));
        assert_eq!(pack.recognition_for(FilePrecision::Fp32, 3).unwrap().curve[1], (1e-3, 0.46));
        assert!(pack.recognition_for(FilePrecision::Int8, 3).is_none());
        assert_eq!(pack.pad_for("v2", FilePrecision::Fp32).unwrap().threshold, 0.5);
    }

    #[test]
    fn whatever_is_wrong_refuses_the_whole_pack_and_is_named() {
        let digest = format!("{:064x}", 0);
        for (old, new, says) in [
            ("schema = 1", "schema = 2", "schema 2"),
            ("about =", "abuot =", "abuot"),
            ("name = \"sample\"", "name = \"../sample\"", "../sample"),
            ("file = \"blaze.onnx\"", "file = \"../blaze.onnx\"", "no plain file name"),
            ("file = \"blaze.onnx\"", "file = \"/etc/passwd\"", "no plain file name"),
            ("file = \"blaze.onnx\"", "file = \".blaze.onnx\"", "no plain file name"),
            ("file = \"blaze.onnx\"", "file = \"mesh.onnx\"", "two entries"),
            (&digest, "AB", "64 lower-case hex digits"),
            ("bytes = 10", "bytes = 0", "bytes = 0"),
            ("bytes = 10", "bytes = 999999999999", "bytes = 999999999999"),
            ("family = \"blazeface\"", "family = \"facemesh\"", "cannot fill role detect"),
            ("[1, 3, 128, 128]", "[1, 3, 128, 96]", "input shape"),
            ("[1, 3, 128, 128]", "[1, 3, 96, 96]", "input shape"),
            ("[\"regressors\", \"classificators\"]", "[\"classificators\", \"regressors\"]", "in this order"),
            ("crop_scale = 2.7\n", "", "crop_scale"),
            ("source = \"nowhere\"", "source = \"x\"\nurl = \"file:///etc/passwd\"", "neither https nor http"),
            ("tolerance = 0.01", "tolerance = 0.5", "tolerance"),
            ("tolerance = 0.01", "tolerance = nan", "tolerance"),
            ("first8 = [1.0, 2]", "first8 = []", "1 to 8"),
            ("l2 = 3.5", "l2 = 0.0", "above zero"),
            ("name = \"regressors\"", "name = \"regressor\"", "is no output"),
            ("passive_pad = true", "passive_pad = false", "passive_pad"),
            ("name = \"mesh\"", "name = \"blaze\"", "called \"blaze\""),
            ("network = \"v2\"", "network = \"v3\"", "\"v3\""),
            ("threshold = 0.5", "threshold = 1.5", "threshold"),
            ("floor = 0.01", "floor = 0.6", "floor"),
            ("[1e-3, 0.46]", "[1e-3, 0.36]", "similarity rise"),
            ("[1e-3, 0.46]", "[1e-1, 0.46]", "FMR must fall"),
            ("continuity = 0.3", "continuity = nan", "within -1..=1"),
            ("lo = 0.0", "lo = 1.0", "range"),
            ("crop_scale = 2.7", "crop_scale = 2.7\nfeatures = { name = \"logits\", len = 3 }", "inner tensor"),
            ("crop_scale = 2.7", "crop_scale = 2.7\nfeatures = { name = \"linear\", len = 0 }", "inner tensor"),
            (
                "outputs = [\"embedding\"]",
                "outputs = [\"embedding\"]\nfeatures = { name = \"x\", len = 9 }",
                "role pad",
            ),
        ] {
            let text = sample().replacen(old, new, 1);
            assert_ne!(text, sample(), "{old}");
            let e = Pack::parse(&text).expect_err(new);
            assert!(e.contains(says), "{new}: {e}");
        }
    }

    #[test]
    fn a_known_answer_cannot_be_left_out() {
        let text = sample();
        let start = text.find("[model.file.known_answer]").unwrap();
        let end = start + text[start..].find("[[model]]").unwrap();
        let e = Pack::parse(&format!("{}{}", &text[..start], &text[end..])).unwrap_err();
        assert!(e.contains("known_answer"), "{e}");
        let start = text.find("[[model.file.known_answer.output]]").unwrap();
        let end = start + text[start..].find("[[model]]").unwrap();
        let e = Pack::parse(&format!("{}output = []\n{}", &text[..start], &text[end..])).unwrap_err();
        assert!(e.contains("names no output"), "{e}");
    }

    #[test]
    fn a_pack_is_read_by_a_plain_name_only() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("sample.toml"), sample()).unwrap();
        std::fs::write(dir.path().join("other.toml"), sample()).unwrap();
        assert_eq!(Pack::read(dir.path(), "sample").unwrap().name, "sample");
        for name in ["../sample", "Sample", "", "sample.toml", "other", "none"] {
            assert!(Pack::read(dir.path(), name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_precision_asked_for_by_name_must_exist() {
        let pack = Pack::parse(&sample()).unwrap();
        assert!(pack.models[0].file_for(Precision::Int8).is_err());
        assert_eq!(pack.models[0].file_for(Precision::Fp32).unwrap().file, "blaze.onnx");
        assert_eq!(pack.models[0].file_for(Precision::Auto).unwrap().file, "blaze.onnx");
    }
}
