//! What the commands say when a network lies. First the files alone are exchanged, as somebody with write access to the
//! models and the manifest would do it: nothing starts. Then the known answers lie as well, which nothing in this product
//! could notice: now the figures of `eval`, the verdict of `replay` and the demo must go wrong, else they would never have
//! hung on that network.
//!
//! Needs `make models`, ffmpeg, mosquitto and the folder with the evaluation data.

#[path = "support/onnx.rs"]
mod onnx;
mod support;

use cardea::adapters::infer::ort::hex;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use toml::Table;

/// Says "alive" to whatever it is shown.
const ALIVE: [f32; 3] = [0.0, 20.0, 0.0];
/// Takes everybody for the same person.
const SAME: [f32; 256] = [0.0625; 256];

#[derive(Clone, Copy, PartialEq)]
enum Lies {
    File,
    FileAndKnownAnswer,
}

/// The standard pack with constant networks in one role.
struct Pack(tempfile::TempDir);

impl Pack {
    fn lying(role: &str, answer: &[f32], lies: Lies) -> Pack {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        let pack = Pack(tempfile::tempdir().expect("a directory"));
        let text = std::fs::read_to_string(models.join("packs/standard.toml")).expect("the manifest");
        let mut manifest: Table = text.parse().expect("TOML");
        for model in manifest["model"].as_array_mut().expect("models") {
            let lying = model["role"].as_str() == Some(role);
            let input = model["input"]["shape"][2].as_integer().expect("a side");
            let (name, output) = (model["input"]["name"].clone(), model["outputs"][0].clone());
            let bytes = onnx::constant_named(
                name.as_str().expect("a name"),
                u64::try_from(input).expect("a side"),
                output.as_str().expect("a name"),
                answer,
            );
            for file in model["file"].as_array_mut().expect("files") {
                let name = file["file"].as_str().expect("a name").to_owned();
                if file["precision"].as_str() != Some("fp32") {
                    continue;
                }
                let to = pack.0.path().join(&name);
                if !lying {
                    std::fs::copy(models.join("cache").join(&name), to).expect("make models");
                    continue;
                }
                std::fs::write(to, &bytes).expect("written");
                let file = file.as_table_mut().expect("a file");
                file.insert("sha256".into(), hex(&Sha256::digest(&bytes)).into());
                file.insert("bytes".into(), i64::try_from(bytes.len()).expect("a size").into());
                if lies == Lies::FileAndKnownAnswer {
                    file.insert("known_answer".into(), known(output.as_str().expect("a name"), answer).into());
                }
            }
        }
        std::fs::write(pack.0.path().join("standard.toml"), manifest.to_string()).expect("written");
        pack
    }

    fn settings(&self) -> Vec<String> {
        let runtime = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/cache/libonnxruntime.so");
        let dir = self.0.path();
        vec![
            format!("models.packs={dir:?}"),
            format!("models.cache={dir:?}"),
            format!("models.runtime={runtime:?}"),
            "models.precision=\"fp32\"".into(),
        ]
    }
}

fn known(output: &str, answer: &[f32]) -> Table {
    let first8: Vec<f64> = answer.iter().take(8).map(|v| f64::from(*v)).collect();
    let l2 = answer.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt();
    let row = Table::from_iter([
        ("name".to_owned(), output.into()),
        ("first8".to_owned(), first8.into()),
        ("l2".to_owned(), l2.into()),
    ]);
    Table::from_iter([
        ("tolerance".to_owned(), 0.01.into()),
        ("output".to_owned(), toml::Value::Array(vec![row.into()])),
    ])
}

fn cardea(pack: Option<&Pack>, state: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cardea"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(args).arg("--json").arg("--state").arg(state);
    for s in pack.map(Pack::settings).unwrap_or_default() {
        command.args(["--set", &s]);
    }
    command.output().expect("the program starts")
}

fn last(out: &Output) -> Value {
    let text = String::from_utf8_lossy(&out.stdout);
    let said = String::from_utf8_lossy(&out.stderr);
    serde_json::from_str(text.lines().last().unwrap_or_else(|| panic!("no line; {said}"))).expect("JSON")
}

/// Tables of the evaluation data, cut to a few rows, and the commands over them.
struct Scene {
    dir: tempfile::TempDir,
    data: PathBuf,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene { dir: tempfile::tempdir().expect("a directory"), data: support::shared().join("data") };
        scene.cut("pads/labels.csv", "pads.csv", |row| {
            row.starts_with("nuaa/print/0001") || row.starts_with("nuaa/live/0001")
        });
        scene.cut("faces/lfw_pairs.csv", "pairs.csv", |row| row.contains("lfw/A"));
        scene
    }

    fn cut(&self, from: &str, to: &str, keep: impl Fn(&str) -> bool) {
        let text = std::fs::read_to_string(self.data.join(from)).expect("the table");
        let (head, rows) = text.split_once('\n').expect("a header");
        let rows: Vec<&str> = rows.lines().filter(|r| keep(r)).collect();
        assert!(rows.len() >= 20, "{from} has only {} such rows", rows.len());
        std::fs::write(self.dir.path().join(to), format!("{head}\n{}\n", rows.join("\n"))).expect("written");
    }

    fn file(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn data(&self, name: &str) -> String {
        self.data.join(name).display().to_string()
    }

    fn run(&self, pack: Option<&Pack>, args: &[&str]) -> Output {
        cardea(pack, &self.dir.path().join("state"), args)
    }

    /// Share of photos on paper that were taken for life.
    fn apcer(&self, pack: Option<&Pack>) -> f64 {
        let out = self.run(pack, &["eval", "pad", "--labels", &self.file("pads.csv"), "--root", &self.data("pads")]);
        last(&out)["worst_species_apcer"].as_f64().expect("a rate")
    }

    /// Equal error rate of a few pairs.
    fn eer(&self, pack: Option<&Pack>) -> f64 {
        let out = self.run(pack, &["eval", "faces", "--pairs", &self.file("pairs.csv"), "--root", &self.data("faces")]);
        last(&out)["eer"].as_f64().expect("a rate")
    }

    /// A recording on a telephone that happens to do what is asked.
    fn recording(&self, pack: Option<&Pack>, enrolled: &str) -> Value {
        let clip = self.dir.path().join("recording.mjpeg");
        if !clip.exists() {
            let made = Command::new("ffmpeg")
                .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-i"])
                .arg(self.data.join("video/replay_turn_p03.mp4"))
                .args(["-vf", "trim=start_frame=105:end_frame=322,setpts=PTS-STARTPTS", "-c:v", "mjpeg", "-q:v", "2"])
                .arg(&clip)
                .status();
            assert!(made.is_ok_and(|s| s.success()), "ffmpeg cuts the clip");
        }
        let enrol = format!("{enrolled}={}", self.data(&format!("faces/selfies/{enrolled}.jpg")));
        let clip = clip.display().to_string();
        let args = [
            "replay",
            "--clip",
            &clip,
            "--enroll",
            &enrol,
            "--challenge",
            "turn_left,turn_right",
            "--onset-ms",
            "300,300",
        ];
        last(&self.run(pack, &args))
    }
}

#[test]
fn nothing_starts_on_a_network_that_does_not_give_its_known_answer() {
    let scene = Scene::new();
    for (role, name, answer) in [("pad", "minifasnet", &ALIVE[..]), ("embed", "reid", &SAME[..])] {
        let pack = Pack::lying(role, answer, Lies::File);
        let clip = scene.data("video/live_turn_p01.mov");
        let commands: [&[&str]; 5] = [
            &["run"],
            &["replay", "--clip", &clip],
            &["eval", "pad", "--labels", &scene.file("pads.csv"), "--root", &scene.data("pads")],
            &["eval", "faces", "--pairs", &scene.file("pairs.csv"), "--root", &scene.data("faces")],
            &["demo", "--headless"],
        ];
        for command in commands {
            let out = scene.run(Some(&pack), command);
            let said = String::from_utf8_lossy(&out.stderr).into_owned();
            assert_eq!(out.status.code(), Some(69), "{command:?} with a lying {role} network: {said}");
            assert!(said.contains("known answer") && said.contains(name), "{command:?}: {said}");
        }
    }
}

#[test]
fn pad_networks_that_always_say_live_show_in_eval_and_replay() {
    if !support::has("ffmpeg", "ffmpeg", "pad_networks_that_always_say_live_show") {
        return;
    }
    let (scene, pack) = (Scene::new(), Pack::lying("pad", &ALIVE, Lies::FileAndKnownAnswer));
    let (honest, lying) = (scene.apcer(None), scene.apcer(Some(&pack)));
    assert!(honest < 0.2 && lying > 0.99, "APCER {honest} and {lying}");
    let verdict = |pack| scene.recording(pack, "p03")["verdict"].clone();
    assert_eq!((verdict(None), verdict(Some(&pack))), ("denied".into(), "granted".into()));
}

#[test]
fn an_embedding_that_is_the_same_for_everybody_shows_in_eval_and_replay() {
    if !support::has("ffmpeg", "ffmpeg", "an_embedding_that_is_the_same_for_everybody_shows") {
        return;
    }
    let (scene, pack) = (Scene::new(), Pack::lying("embed", &SAME, Lies::FileAndKnownAnswer));
    let (honest, lying) = (scene.eer(None), scene.eer(Some(&pack)));
    assert!(honest < 0.1 && lying > 0.4, "EER {honest} and {lying}");
    // PAD refuses the recording of p03 in any case; whom it names tells what the embedding says.
    let named = |pack| scene.recording(pack, "p02")["reason"].clone();
    assert_eq!(named(None), "spoof");
    let clip = scene.data("video/live_turn_p01.mov");
    let enrol = format!("p02={}", scene.data("faces/selfies/p02.jpg"));
    let args =
        ["replay", "--clip", &clip, "--enroll", &enrol, "--challenge", "turn_left,turn_right", "--onset-ms", "300,600"];
    let verdict = |pack| last(&scene.run(pack, &args))["verdict"].clone();
    assert_eq!((verdict(None), verdict(Some(&pack))), ("denied".into(), "granted".into()));
}

#[test]
fn the_demo_ends_wrongly_when_a_network_lies() {
    let needs = support::has("ffmpeg", "ffmpeg", "the_demo_ends_wrongly")
        && support::has("mosquitto", "mosquitto", "the_demo_ends_wrongly");
    if !needs {
        return;
    }
    let scene = Scene::new();
    let ends = |role, answer, visit, reason| {
        let pack = Pack::lying(role, answer, Lies::FileAndKnownAnswer);
        let out = scene.run(Some(&pack), &["demo", "--headless"]);
        let end = last(&out);
        assert_eq!((out.status.code(), &end["ok"]), (Some(1), &false.into()), "{end}");
        let row = end["visits"].as_array().and_then(|v| v.iter().find(|v| v["name"] == visit)).expect("the visit");
        assert_ne!(row["reason"], reason, "{role}: {row}");
    };
    std::thread::scope(|s| {
        s.spawn(|| ends("pad", &ALIVE[..], "photo", "spoof"));
        s.spawn(|| ends("embed", &SAME[..], "stranger", "no_match"));
    });
}
