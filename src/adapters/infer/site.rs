//! What a site has measured and trained for its own door: thresholds by `pad calibrate`, a head by `pad train`. Both lie
//! in the state directory, both can only refuse more than the pack does, and both name by digest the files that they
//! were made with: with other files they are left out, and that is said.

use super::manifest::{FilePrecision, Pack};
use super::ort::hex;
use crate::config::sections::Precision;
use crate::ports::{PortError, Recovery};
use crate::vision::family::Role;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Both files are some kilobytes.
const MAX_BYTES: u64 = 1 << 20;
/// Above this no live face passes.
pub const HIGHEST: f64 = 0.99;

/// Directory of both files in a state directory.
#[must_use]
pub fn dir(state: &Path) -> PathBuf {
    state.join("pad")
}

/// File of the thresholds.
#[must_use]
pub fn calibration_path(state: &Path) -> PathBuf {
    dir(state).join("calibration.toml")
}

/// File of the head.
#[must_use]
pub fn head_path(state: &Path) -> PathBuf {
    dir(state).join("head.json")
}

/// `calibration.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    pub schema: u32,
    pub pack: String,
    /// RFC 3339.
    pub made: String,
    pub network: Vec<Calibrated>,
}

/// Thresholds of one network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibrated {
    pub name: String,
    pub precision: FilePrecision,
    /// Digest of the network's file that gave the scores.
    pub sha256: String,
    pub threshold: f64,
    pub floor: f64,
    /// Captures that they were set with.
    pub live: u64,
    pub attacks: u64,
}

/// `head.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadFile {
    pub schema: u32,
    pub pack: String,
    /// RFC 3339.
    pub made: String,
    /// The networks whose features it reads, in that order.
    pub backbone: Vec<Backbone>,
    /// Little-endian f32 in hex, so that every bit survives: weights, then the bias.
    pub parameters: String,
    pub threshold: f64,
    pub floor: f64,
    /// Of everything above; see [`HeadFile::digest`].
    pub sha256: String,
}

/// One network under a head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backbone {
    pub name: String,
    /// Digest of the network's file.
    pub sha256: String,
    /// Tensor and length of the features.
    pub features: String,
    pub len: usize,
}

impl HeadFile {
    /// A whole file from its parts, with its digest.
    #[must_use]
    pub fn new(pack: &Pack, precision: Precision, made: String, weights: &[f32], bias: f32, threshold: f64) -> Self {
        let parameters: Vec<u8> = weights.iter().chain([&bias]).flat_map(|v| v.to_le_bytes()).collect();
        let mut file = HeadFile {
            schema: 1,
            pack: pack.name.clone(),
            made,
            backbone: backbone(pack, precision),
            parameters: hex(&parameters),
            threshold,
            // A floor needs many live frames to be set, more than training data have left over.
            floor: 0.0,
            sha256: String::new(),
        };
        file.sha256 = file.digest();
        file
    }

    /// SHA-256 over every other field: finds damage and edits by hand; it is no signature.
    #[must_use]
    pub fn digest(&self) -> String {
        let backbone: Vec<String> =
            self.backbone.iter().map(|b| format!("{} {} {} {}", b.name, b.sha256, b.features, b.len)).collect();
        let text = format!(
            "{}\n{}\n{}\n{}\n{}\n{}\n{}\n",
            self.schema,
            self.pack,
            self.made,
            backbone.join("\n"),
            self.parameters,
            self.threshold,
            self.floor
        );
        hex(&Sha256::digest(text.as_bytes()))
    }

    /// Weights and bias; `None` where they are not as many as the backbone has features, and one.
    fn weights(&self) -> Option<(Vec<f32>, f32)> {
        let numbers = self.parameters.as_bytes().chunks(8).map(|c| {
            let text = std::str::from_utf8(c).ok().filter(|t| t.len() == 8)?;
            u32::from_str_radix(text, 16).ok().map(|n| f32::from_bits(n.swap_bytes()))
        });
        let mut all: Vec<f32> = numbers.collect::<Option<_>>()?;
        let bias = all.pop()?;
        let wanted: usize = self.backbone.iter().map(|b| b.len).sum();
        (all.len() == wanted && all.iter().chain([&bias]).all(|v| v.is_finite())).then_some((all, bias))
    }
}

/// The PAD networks of a pack that name features, in the manifest's order, with the files of a precision. A network
/// whose file does not exist in it is left out: loading the pack says so.
#[must_use]
pub fn backbone(pack: &Pack, precision: Precision) -> Vec<Backbone> {
    let nets = pack.models.iter().filter(|m| m.net.role == Role::Pad);
    nets.filter_map(|m| {
        let (features, file) = (m.net.features.as_ref()?, m.file_for(precision).ok()?);
        let (name, sha256) = (m.net.name.clone(), file.sha256.clone());
        Some(Backbone { name, sha256, features: features.name.clone(), len: features.len })
    })
    .collect()
}

/// What of both files counts with the pack and the precision in use.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Site {
    pub calibrated: Vec<Calibrated>,
    pub head: Option<SiteHead>,
    /// What was left out, and why.
    pub ignored: Vec<String>,
}

/// A head that fits the networks in use.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteHead {
    pub sha256: String,
    pub weights: Vec<f32>,
    pub bias: f32,
    pub threshold: f64,
    pub floor: f64,
}

impl Site {
    /// Reads what there is; a site that has neither file gets the empty value.
    ///
    /// # Errors
    /// A file that everybody may write, that is damaged, or that is looser than the pack: file and key are named. Such a
    /// file stops every command that would rely on it, since somebody meant it to count.
    pub fn read(state: &Path, pack: &Pack, precision: Precision) -> Result<Site, PortError> {
        let mut site = Site::default();
        let path = calibration_path(state);
        if let Some(text) = read(&path, CALIBRATE)? {
            let c: Calibration = toml::from_str(&text)
                .map_err(|e| fault(&path, e.to_string().trim_end().replace('\n', " "), CALIBRATE))?;
            site.take_calibration(&path, c, pack, precision)?;
        }
        let path = head_path(state);
        if let Some(text) = read(&path, TRAIN)? {
            let h: HeadFile = serde_json::from_str(&text).map_err(|e| fault(&path, e, TRAIN))?;
            site.take_head(&path, h, pack, precision)?;
        }
        Ok(site)
    }

    fn take_calibration(
        &mut self,
        path: &Path,
        c: Calibration,
        pack: &Pack,
        precision: Precision,
    ) -> Result<(), PortError> {
        let bad = |what: String| fault(path, what, CALIBRATE);
        if c.schema != 1 {
            return Err(bad(format!("schema = {} is not known here, only 1", c.schema)));
        }
        if c.pack != pack.name {
            self.ignore(path, &format!("it was made with the pack {}, not {}", c.pack, pack.name), CALIBRATE);
            return Ok(());
        }
        for n in c.network {
            let key = |k: &str| format!("{}.{k}", n.name);
            if self.calibrated.iter().any(|o| o.name == n.name) {
                return Err(bad(format!("{} stands in it twice", n.name)));
            }
            let model = pack.models.iter().find(|m| m.net.role == Role::Pad && m.net.name == n.name);
            let file = model.and_then(|m| m.file_for(precision).ok());
            // Only thresholds of the very file in use mean anything; those of another one are not even compared.
            let Some(file) = file.filter(|f| f.sha256 == n.sha256) else {
                self.ignore(path, &format!("{} is another file than the one it was made with", n.name), CALIBRATE);
                continue;
            };
            let Some(least) = pack.pad_for(&n.name, file.precision) else {
                return Err(bad(format!("{}: the pack has no threshold for it", n.name)));
            };
            for (k, value, least) in [("threshold", n.threshold, least.threshold), ("floor", n.floor, least.floor)] {
                // In this direction NaN is a fault.
                let tight = value >= least;
                if !tight {
                    let what = format!("{} = {value} is looser than the pack's {least}", key(k));
                    return Err(bad(what));
                }
            }
            if !(n.floor <= n.threshold && n.threshold <= HIGHEST.max(least.threshold)) {
                return Err(bad(format!("{}: floor <= threshold <= {HIGHEST} does not hold", n.name)));
            }
            self.calibrated.push(n);
        }
        Ok(())
    }

    fn take_head(&mut self, path: &Path, h: HeadFile, pack: &Pack, precision: Precision) -> Result<(), PortError> {
        let bad = |what: &str| fault(path, what, TRAIN);
        if h.schema != 1 {
            return Err(bad("its schema is not known here"));
        }
        if h.digest() != h.sha256 {
            return Err(bad("wrong digest: it was damaged or edited"));
        }
        let sound = 0.0 <= h.floor && h.floor <= h.threshold && h.threshold <= HIGHEST;
        let weights = h.weights().filter(|_| sound);
        let Some((weights, bias)) = weights else {
            return Err(bad("its parameters or its threshold are no numbers that a head may have"));
        };
        if h.pack != pack.name || h.backbone != backbone(pack, precision) {
            self.ignore(path, "the networks are other files than those it was trained on", TRAIN);
            return Ok(());
        }
        let (sha256, threshold, floor) = (h.sha256, h.threshold, h.floor);
        self.head = Some(SiteHead { sha256, weights, bias, threshold, floor });
        Ok(())
    }

    fn ignore(&mut self, path: &Path, why: &str, hint: &str) {
        self.ignored
            .push(format!("{}: {why}, so it is ignored and the pack's own values count; {hint}", path.display()));
    }
}

const CALIBRATE: &str = "run `cardea pad calibrate --write` again, or remove it";
const TRAIN: &str = "run `cardea pad train --install` again, or remove it";

fn fault(path: &Path, cause: impl ToString, hint: &str) -> PortError {
    PortError::new(path.display().to_string(), cause, hint, Recovery::Fatal)
}

/// The text of a file that only its owner and its group may write; `None` where there is none.
fn read(path: &Path, hint: &str) -> Result<Option<String>, PortError> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(e) => {
            return Err(fault(path, e, "run it as the owner of the state directory, or name another with --state"));
        }
    };
    let meta = file.metadata().map_err(|e| fault(path, e, hint))?;
    if meta.mode() & 0o002 != 0 {
        return Err(fault(path, "everybody may write to it", "run chmod o-w on it"));
    }
    let mut text = String::new();
    let n = file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|e| fault(path, e, hint))?;
    if n as u64 > MAX_BYTES {
        return Err(fault(path, "it is over 1 MiB", hint));
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::sample;
    use super::*;

    fn pack() -> Pack {
        let text = sample().replace("crop_scale = 2.7", "crop_scale = 2.7\nfeatures = { name = \"linear\", len = 2 }");
        Pack::parse(&text).expect("a pack")
    }

    fn calibration(threshold: f64, floor: f64) -> Calibration {
        let sha256 = pack().models[4].files[0].sha256.clone();
        let precision = FilePrecision::Fp32;
        let network =
            vec![Calibrated { name: "v2".into(), precision, sha256, threshold, floor, live: 30, attacks: 40 }];
        Calibration { schema: 1, pack: "sample".into(), made: "now".into(), network }
    }

    fn head() -> HeadFile {
        HeadFile::new(&pack(), Precision::Fp32, "now".into(), &[0.1, -2.5e-7], 3.0, 0.4)
    }

    fn site(c: Option<&Calibration>, h: Option<&HeadFile>) -> Result<Site, PortError> {
        let state = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir(state.path())).expect("makes");
        if let Some(c) = c {
            std::fs::write(calibration_path(state.path()), toml::to_string(c).expect("TOML")).expect("writes");
        }
        if let Some(h) = h {
            std::fs::write(head_path(state.path()), serde_json::to_string(h).expect("JSON")).expect("writes");
        }
        Site::read(state.path(), &pack(), Precision::Fp32)
    }

    #[test]
    fn without_files_the_pack_counts_alone() {
        assert_eq!(site(None, None).expect("nothing to read"), Site::default());
    }

    #[test]
    fn tighter_values_and_a_head_are_taken_bit_by_bit() {
        let s = site(Some(&calibration(0.6, 0.02)), Some(&head())).expect("both good");
        assert_eq!((s.calibrated[0].threshold, s.calibrated[0].floor), (0.6, 0.02));
        let h = s.head.expect("a head");
        assert_eq!((h.weights, h.bias, h.threshold), (vec![0.1, -2.5e-7], 3.0, 0.4));
        assert!(s.ignored.is_empty());
        assert!(site(Some(&calibration(0.5, 0.01)), None).is_ok(), "equal is not looser");
    }

    #[test]
    fn a_looser_value_is_a_fault_that_names_file_and_key() {
        for (threshold, floor, says) in [
            (0.49, 0.01, "v2.threshold = 0.49 is looser than the pack's 0.5"),
            (0.6, 0.009, "v2.floor = 0.009 is looser"),
            (f64::NAN, 0.01, "v2.threshold"),
            (0.6, f64::NAN, "v2.floor"),
            (0.995, 0.01, "does not hold"),
            (0.6, 0.7, "does not hold"),
        ] {
            let e = site(Some(&calibration(threshold, floor)), None).expect_err(says).to_string();
            assert!(e.contains("calibration.toml") && e.contains(says), "{e}");
        }
        let mut twice = calibration(0.6, 0.01);
        twice.network.push(twice.network[0].clone());
        assert!(site(Some(&twice), None).expect_err("twice").to_string().contains("twice"));
    }

    #[test]
    fn values_for_other_files_are_left_out_and_that_is_said() {
        let mut c = calibration(0.2, 0.0);
        c.network[0].sha256 = "0".repeat(64);
        let mut h = head();
        h.backbone[0].sha256 = "0".repeat(64);
        h.sha256 = h.digest();
        let s = site(Some(&c), Some(&h)).expect("left out");
        assert!(s.calibrated.is_empty() && s.head.is_none());
        assert!(s.ignored.len() == 2 && s.ignored[0].contains("v2 is another file"), "{:?}", s.ignored);
        c.pack = "other".into();
        assert!(site(Some(&c), None).expect("left out").ignored[0].contains("the pack other"));
    }

    #[test]
    fn a_head_that_was_damaged_or_edited_is_a_fault() {
        let edits: [fn(&mut HeadFile); 5] = [
            |h| h.threshold = 0.1,
            |h| h.parameters.replace_range(0..1, "f"),
            |h| h.backbone[0].len = 3,
            |h| h.made = "then".into(),
            |h| h.schema = 2,
        ];
        for edit in edits {
            let mut h = head();
            edit(&mut h);
            assert!(site(None, Some(&h)).is_err(), "{h:?}");
        }
        // With a right digest it still must be a head.
        let bad: [fn(&mut HeadFile); 4] = [
            |h| h.threshold = 1.5,
            |h| h.floor = 0.5,
            |h| h.parameters.truncate(16),
            |h| h.parameters = format!("{}{}", "0000c07f", &h.parameters[8..]),
        ];
        for edit in bad {
            let mut h = head();
            edit(&mut h);
            h.sha256 = h.digest();
            assert!(site(None, Some(&h)).is_err(), "{h:?}");
        }
    }

    #[test]
    fn a_file_that_everybody_may_write_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let state = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir(state.path())).expect("makes");
        let path = calibration_path(state.path());
        std::fs::write(&path, toml::to_string(&calibration(0.6, 0.02)).expect("TOML")).expect("writes");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).expect("opens");
        let e = Site::read(state.path(), &pack(), Precision::Fp32).expect_err("refused").to_string();
        assert!(e.contains("everybody may write"), "{e}");
    }
}
