//! The packs' real files on the real ONNX Runtime: they load, answer as they must, and anything else is refused.
//!
//! Needs `make models` (models/cache with the files of both packs and libonnxruntime.so).

#[path = "support/onnx.rs"]
mod onnx;

use cardea::adapters::infer::manifest::Pack;
use cardea::adapters::infer::ort::{ALL_ROLES, FileState, OrtEngine, Settings, hex, verify};
use cardea::config::sections::{Precision, Provider};
use cardea::ports::{Infer, NetId};
use cardea::vision::family::{Features, Role};
use ndarray::Array4;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

fn models() -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let runtime = dir.join("cache/libonnxruntime.so");
    assert!(runtime.exists(), "{} is missing: run `make models`", runtime.display());
    dir
}

fn settings<'a>(cache: &'a Path, runtime: &'a Path) -> Settings<'a> {
    let (precision, provider) = (Precision::Fp32, Provider::Cpu);
    Settings { cache, precision, provider, runtime: Some(runtime), threads: 1, roles: ALL_ROLES }
}

/// A pack with a copy of its fp32 files, to be tampered with.
struct Copy {
    pack: Pack,
    dir: tempfile::TempDir,
    runtime: PathBuf,
}

impl Copy {
    fn of(name: &str) -> Copy {
        let models = models();
        let pack = Pack::read(&models.join("packs"), name).unwrap();
        let dir = tempfile::tempdir().unwrap();
        for m in &pack.models {
            let file = &m.file_for(Precision::Fp32).unwrap().file;
            std::fs::copy(models.join("cache").join(file), dir.path().join(file))
                .unwrap_or_else(|e| panic!("{file}: {e}: run `make models`"));
        }
        Copy { pack, dir, runtime: models.join("cache/libonnxruntime.so") }
    }

    fn load(&self) -> Result<OrtEngine, String> {
        OrtEngine::load(&self.pack, &settings(self.dir.path(), &self.runtime)).map_err(|e| e.to_string())
    }

    fn index(&self, name: &str) -> usize {
        self.pack.models.iter().position(|m| m.net.name == name).unwrap()
    }

    /// Puts other bytes in a network's place and their digest into the manifest, as somebody with write access to both
    /// would do.
    fn swap(&mut self, name: &str, bytes: &[u8]) {
        let index = self.index(name);
        for file in &mut self.pack.models[index].files {
            std::fs::write(self.dir.path().join(&file.file), bytes).unwrap();
            file.sha256 = hex(&Sha256::digest(bytes));
            file.bytes = bytes.len() as u64;
        }
    }

    fn state(&self, name: &str) -> FileState {
        let model = &self.pack.models[self.index(name)];
        let file = model.file_for(Precision::Fp32).unwrap();
        match verify(model, file, &settings(self.dir.path(), &self.runtime)).unwrap() {
            Ok(()) => FileState::Ok,
            Err(bad) => bad.state,
        }
    }
}

#[test]
fn both_packs_load_and_give_their_known_answers() {
    for (name, networks) in [("standard", 6), ("registry", 4)] {
        let engine = Copy::of(name).load().unwrap();
        assert_eq!(engine.loaded().len(), networks, "{name}");
        assert!(engine.loaded().iter().all(|l| l.sha256.len() == 64));
    }
}

#[test]
fn a_provider_that_cannot_be_had_is_an_error_and_never_a_run_on_the_cpu() {
    for provider in [Provider::Xnnpack, Provider::Cuda, Provider::Tensorrt] {
        let copy = Copy::of("registry");
        let set = Settings { provider, ..settings(copy.dir.path(), &copy.runtime) };
        let e = OrtEngine::load(&copy.pack, &set).err().unwrap().to_string();
        // Left out of this build, or not in the library of this test, which has the CPU only.
        assert!(e.contains(&format!("models.provider = {:?}", provider.name())), "{e}");
        let model = &copy.pack.models[0];
        assert!(verify(model, &model.files[0], &set).is_err(), "it says nothing about the file");
    }
}

#[test]
fn every_precision_of_every_network_gives_its_known_answer() {
    let models = models();
    let (cache, runtime) = (models.join("cache"), models.join("cache/libonnxruntime.so"));
    for name in ["standard", "registry"] {
        let pack = Pack::read(&models.join("packs"), name).unwrap();
        for model in &pack.models {
            for file in &model.files {
                let found = verify(model, file, &settings(&cache, &runtime)).unwrap();
                assert!(found.is_ok(), "{}", found.unwrap_err().error);
            }
        }
    }
}

#[test]
fn outputs_come_in_the_order_of_the_manifest_and_a_wrong_input_is_an_error() {
    let mut engine = Copy::of("standard").load().unwrap();
    let outputs = engine.run(NetId(0), Array4::zeros((1, 3, 320, 320)).view()).unwrap();
    let widths: Vec<usize> = outputs.iter().map(|o| o.shape()[2]).collect();
    assert_eq!(widths, [1, 1, 1, 1, 1, 1, 4, 4, 4, 10, 10, 10]);
    assert_eq!(outputs[7].shape(), [1, 400, 4]);
    let e = engine.run(NetId(0), Array4::zeros((1, 3, 160, 160)).view()).unwrap_err().to_string();
    assert!(e.contains("[1, 3, 320, 320]"), "{e}");
    assert!(engine.run(NetId(99), Array4::zeros((1, 3, 320, 320)).view()).is_err());
}

#[test]
fn a_role_that_was_not_asked_for_is_not_loaded() {
    let copy = Copy::of("registry");
    std::fs::remove_file(copy.dir.path().join("dlib_resnet_v1_150.onnx")).unwrap();
    let roles = [Role::Detect, Role::Landmarks];
    let set = Settings { roles: &roles, ..settings(copy.dir.path(), &copy.runtime) };
    let mut engine = OrtEngine::load(&copy.pack, &set).unwrap();
    assert_eq!(engine.loaded().len(), 2);
    assert!(engine.run(NetId(3), Array4::zeros((1, 3, 150, 150)).view()).is_err());
}

#[test]
fn features_are_one_more_output_of_the_very_same_file_and_change_nothing_else() {
    for precision in [Precision::Fp32, Precision::Int8] {
        let models = models();
        let (cache, runtime) = (models.join("cache"), models.join("cache/libonnxruntime.so"));
        let set = Settings { precision, ..settings(&cache, &runtime) };
        let mut pack = Pack::read(&models.join("packs"), "standard").unwrap();
        let input = Array4::from_shape_fn((1, 3, 80, 80), |(_, c, y, x)| ((c * 31 + y * 7 + x * 3) % 256) as f32);
        let pad: Vec<NetId> = pack.models.iter().filter(|m| m.net.role == Role::Pad).map(|m| m.net.id).collect();
        let mut plain = OrtEngine::load(&pack, &set).unwrap();
        let before: Vec<_> = pad.iter().map(|id| plain.run(*id, input.view()).unwrap()).collect();
        pack.models.iter_mut().for_each(|m| m.net.expose_features());
        let mut engine = OrtEngine::load(&pack, &set).unwrap();
        for (id, before) in pad.iter().zip(before) {
            let after = engine.run(*id, input.view()).unwrap();
            assert_eq!((before.len(), after.len()), (1, 2), "{precision:?}");
            assert_eq!(after[1].shape(), [1, 128]);
            assert!(after[1].iter().any(|v| *v != after[1][[0, 0]]), "the features do not vary");
            let off = before[0].iter().zip(&after[0]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off < 1e-4, "{precision:?}: the logits differ by {off}");
        }
    }
}

#[test]
fn features_that_the_graph_does_not_have_or_of_another_length_are_refused() {
    for (name, len) in [("no_such_tensor", 128), ("linear", 64), ("flatten", 128)] {
        let mut copy = Copy::of("standard");
        let index = copy.index("minifasnet_v2");
        let net = &mut copy.pack.models[index].net;
        net.features = Some(Features { name: name.into(), len });
        net.expose_features();
        let e = copy.load().err().unwrap_or_else(|| panic!("{name} of {len} was taken"));
        assert!(e.contains("minifasnet_v2"), "{e}");
    }
}

#[test]
fn one_flipped_bit_anywhere_in_any_file_is_refused() {
    let copy = Copy::of("standard");
    for (i, model) in copy.pack.models.iter().enumerate() {
        let file = &model.files[0];
        let path = copy.dir.path().join(&file.file);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.len() * (i + 1) / 7;
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(copy.state(&model.net.name), FileState::WrongDigest, "{}", file.file);
        let e = copy.load().err().unwrap();
        assert!(e.contains(&file.file) && e.contains("wrong digest"), "{e}");
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
    }
    assert!(copy.load().is_ok(), "put back, the files are good");
}

#[test]
fn a_missing_file_is_named_with_the_command_that_helps() {
    let copy = Copy::of("registry");
    std::fs::remove_file(copy.dir.path().join("blazeface_short_128.onnx")).unwrap();
    assert_eq!(copy.state("blazeface"), FileState::Missing);
    let e = copy.load().err().unwrap();
    assert!(e.contains("blazeface_short_128.onnx") && e.contains("cardea models install"), "{e}");
}

#[test]
fn a_pad_network_that_always_says_live_is_refused_though_its_digest_is_in_the_manifest() {
    let mut copy = Copy::of("standard");
    copy.swap("minifasnet_v2", &onnx::constant(80, "logits", &[0.0, 20.0, 0.0], None));
    let e = copy.load().err().unwrap();
    assert!(e.contains("minifasnet_v2") && e.contains("known answer"), "{e}");
    assert_eq!(copy.state("minifasnet_v2"), FileState::FailedKnownAnswer);
}

#[test]
fn an_embedding_that_is_the_same_for_everybody_is_refused_though_its_digest_is_in_the_manifest() {
    let mut copy = Copy::of("standard");
    copy.swap("reid0095", &onnx::constant(128, "embedding", &[0.45; 256], None));
    let e = copy.load().err().unwrap();
    assert!(e.contains("reid0095") && e.contains("known answer"), "{e}");
}

#[test]
fn a_network_in_the_place_of_its_sister_is_refused_by_its_known_answer() {
    let mut copy = Copy::of("standard");
    let sister = copy.pack.models[copy.index("minifasnet_v1se")].files[0].file.clone();
    let bytes = std::fs::read(copy.dir.path().join(sister)).unwrap();
    copy.swap("minifasnet_v2", &bytes);
    assert_eq!(copy.state("minifasnet_v2"), FileState::FailedKnownAnswer);
}

#[test]
fn a_constant_network_does_run_so_that_only_the_known_answer_refuses_it() {
    let mut copy = Copy::of("standard");
    copy.swap("minifasnet_v2", &onnx::constant(80, "logits", &[0.0, 20.0, 0.0], None));
    let index = copy.index("minifasnet_v2");
    let known = &mut copy.pack.models[index].files[0].known_answer;
    known.output[0].first8 = vec![0.0, 20.0, 0.0];
    known.output[0].l2 = 20.0;
    assert!(copy.load().is_ok());
}

#[test]
fn a_network_that_keeps_weights_in_another_file_is_refused() {
    let mut copy = Copy::of("standard");
    copy.swap("minifasnet_v2", &onnx::constant(80, "logits", &[0.0, 20.0, 0.0], Some("weights.bin")));
    std::fs::write(copy.dir.path().join("weights.bin"), [0; 12]).unwrap();
    let e = copy.load().err().unwrap();
    assert!(e.contains("outside of itself"), "{e}");
}

#[test]
fn a_network_with_other_outputs_is_refused() {
    let mut copy = Copy::of("standard");
    copy.swap("minifasnet_v2", &onnx::constant(80, "other", &[0.0, 20.0, 0.0], None));
    assert!(copy.load().err().unwrap().contains("minifasnet_v2"));
    copy.swap("minifasnet_v2", b"not a network");
    assert!(copy.load().err().unwrap().contains("minifasnet_v2"));
}

/// Of armv7 boards, where there is no ONNX Runtime; here both are, and can be held against each other.
#[cfg(feature = "tract")]
#[test]
fn tract_gives_what_onnx_runtime_gives_and_reads_no_file_that_lacks_an_output() {
    let copy = Copy::of("registry");
    let on_tract = Settings { provider: Provider::Tract, ..settings(copy.dir.path(), Path::new("/nowhere")) };
    let mut tract = OrtEngine::load(&copy.pack, &on_tract).unwrap();
    let mut runtime = copy.load().unwrap();
    assert_eq!(tract.loaded().len(), copy.pack.models.len());
    for model in &copy.pack.models {
        let shape = model.net.input.shape;
        let input = Array4::from_shape_fn(shape, |(_, c, y, x)| ((c * 31 + y * 7 + x * 3) % 256) as f32 / 255.0);
        let (a, b) = (tract.run(model.net.id, input.view()).unwrap(), runtime.run(model.net.id, input.view()).unwrap());
        assert_eq!(a.len(), model.net.outputs.len());
        for (a, b) in a.iter().zip(&b) {
            assert_eq!(a.shape(), b.shape(), "{}", model.net.name);
            let largest = b.iter().fold(1.0_f32, |m, v| m.max(v.abs()));
            let off = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off < 1e-3 * largest, "{}: {off} of {largest}", model.net.name);
        }
    }
    let mut lacking = Copy::of("registry");
    lacking.pack.models[0].net.outputs[0] = "no_such_output".into();
    let e = OrtEngine::load(&lacking.pack, &on_tract).err().unwrap().to_string();
    assert!(e.contains("no_such_output"), "{e}");
}
