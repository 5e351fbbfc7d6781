//! `people collect`, `pad calibrate` and `pad train` as a user calls them: real networks, real pictures, and attacks that
//! are made from them here.
//!
//! Needs `make models` and the folder with the evaluation data.

mod support;

use serde_json::Value;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

fn data() -> PathBuf {
    support::shared().join("data")
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

/// Runs the program with `--json`; exit code, the object on standard output, standard error.
fn cardea(state: &Path, args: &[&str]) -> (i32, Value, String) {
    let (code, out, errors) = raw(state, args);
    let value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{args:?}: {e}: {out:?} {errors}"));
    (code, value, errors)
}

fn raw(state: &Path, args: &[&str]) -> (i32, String, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_cardea"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(args)
        .arg("--json")
        .arg("--state")
        .arg(state)
        .output()
        .expect("the program starts");
    let text = |b: Vec<u8>| String::from_utf8_lossy(&b).into_owned();
    (out.status.code().expect("no signal ended it"), text(out.stdout), text(out.stderr))
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap_or_else(|e| panic!("{}: {e}", path.display())).permissions().mode() & 0o777
}

/// Of each person and label the first `each` lines of the labelled captures whose person is among `people`.
fn some(people: &[&str], each: usize) -> Vec<[String; 3]> {
    let text = std::fs::read_to_string(data().join("pads/labels.csv")).expect("the labels");
    let mut found: Vec<[String; 3]> = Vec::new();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let row = [0, 1, 2].map(|i| cells[i].to_owned());
        let like = found.iter().filter(|r| r[1..] == row[1..]).count();
        if people.contains(&cells[2]) && like < each {
            found.push(row);
        }
    }
    found
}

/// A label file of them in a directory of its own.
fn labels(rows: &[[String; 3]]) -> (TempDir, String) {
    let dir = directory();
    let mut text = String::from("file,label,person\n");
    rows.iter().for_each(|r| writeln!(text, "{}", r.join(",")).expect("a text"));
    let path = dir.path().join("labels.csv");
    std::fs::write(&path, text).expect("writes");
    (dir, path.display().to_string())
}

fn errors_of(answer: &Value, species: &str) -> u64 {
    let groups = answer.as_array().unwrap_or_else(|| panic!("groups: {answer}"));
    groups.iter().filter(|g| g["species"] == species).map(|g| g["errors"].as_u64().expect("a count")).sum()
}

const NUAA: [&str; 4] = ["nuaa0001", "nuaa0003", "nuaa0005", "nuaa0007"];

#[test]
fn captures_are_stored_privately_with_labels_that_eval_reads_and_numbering_goes_on() {
    if !support::has("ffmpeg", "ffmpeg", "captures_are_stored_privately") {
        return;
    }
    let (state, base) = (directory(), directory());
    let out = base.path().join("captures");
    let dir = out.display().to_string();
    let camera = |clip: &str| format!("camera.path={:?}", data().join("video").join(clip).display().to_string());
    let collect = |clip: &str, more: &[&str]| {
        let path = camera(clip);
        let head = ["people", "collect", "--out", &dir, "--every-ms", "100"];
        let set = ["--set", "camera.kind=\"file\"", "--set", "camera.looped=false", "--set", &path];
        cardea(state.path(), &[&head[..], more, &set].concat())
    };
    let (code, answer, errors) = collect("live_turn_p01.mov", &["--label", "live", "--person", "p01", "--count", "3"]);
    assert_eq!((code, &answer["stored"]), (0, &3.into()), "{answer} {errors}");
    assert!(errors.contains("only of people who agreed"), "{errors}");
    let spoof = ["--label", "spoof", "--species", "replay", "--person", "p03", "--source", "hall", "--count", "2"];
    let (code, answer, errors) = collect("replay_turn_p03.mp4", &spoof);
    assert_eq!((code, &answer["files"]), (0, &serde_json::json!(["spoof/000004.jpg", "spoof/000005.jpg"])), "{errors}");
    for path in [&out, &out.join("live"), &out.join("spoof")] {
        assert_eq!(mode(path), 0o700, "{}", path.display());
    }
    for file in ["labels.csv", "live/000001.jpg", "spoof/000005.jpg"] {
        assert_eq!(mode(&out.join(file)), 0o600, "{file}");
    }
    // The clip carries a turn by 90 degrees, which a still has to show upright.
    let labels = out.join("labels.csv").display().to_string();
    let (code, answer, _) = cardea(state.path(), &["eval", "pad", "--labels", &labels, "--root", &dir]);
    let told: Vec<_> =
        answer["groups"].as_array().expect("groups").iter().map(|g| (&g["source"], &g["species"], &g["n"])).collect();
    let (front, hall, live, replay) = ("front".into(), "hall".into(), "live".into(), "replay".into());
    assert_eq!((code, told), (0, vec![(&front, &live, &3.into()), (&hall, &replay, &2.into())]), "{answer}");
    // Of the faceless clip nothing is stored, and the directory of somebody else is not touched.
    let (code, answer, _) = collect("synthetic_photo_still.mp4", &["--label", "live", "--species", "x"]);
    assert_eq!(code, 64, "{answer}");
    std::fs::set_permissions(&out, std::fs::Permissions::from_mode(0o755)).expect("opens");
    let (code, answer, _) = collect("live_turn_p01.mov", &["--label", "live"]);
    assert_eq!(code, 77, "{answer}");
    assert!(!state.path().join("journal.db").exists(), "nothing of this belongs to the journal");
}

#[test]
fn a_calibration_only_tightens_counts_at_the_door_and_is_ignored_with_another_network() {
    let (state, rows) = (directory(), some(&NUAA, 6));
    let (_few_dir, few) = labels(&rows[..10]);
    let (_dir, table) = labels(&rows);
    let root = data().join("pads").display().to_string();
    let calibrate = |table: &str, more: &[&str]| {
        raw(state.path(), &[&["pad", "calibrate", "--labels", table, "--root", &root][..], more].concat())
    };
    let (code, out, errors) = calibrate(&few, &["--write"]);
    assert_eq!(code, 2, "{out} {errors}");
    assert!(out.contains("live captures of at least 20") && out.contains("0 attacks of at least 20"), "{out}");
    assert!(!state.path().join("pad").exists());

    let propose = |more: &[&str]| -> Value {
        let (code, out, errors) = calibrate(&table, more);
        assert_eq!(code, 0, "{out} {errors}");
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out} {errors}"))
    };
    let answer = propose(&[]);
    assert_eq!(errors_of(&answer["before"], "live"), errors_of(&answer["after"], "live"), "no live capture is lost");
    assert!(!state.path().join("pad").exists(), "only --write writes");
    let answer = propose(&["--live-loss", "0.2", "--write"]);
    assert!(errors_of(&answer["before"], "print") >= errors_of(&answer["after"], "print"));
    let file = state.path().join("pad/calibration.toml");
    assert_eq!((mode(&file), mode(&state.path().join("pad"))), (0o600, 0o700));
    let mut tightened = 0;
    for n in answer["networks"].as_array().expect("networks") {
        for key in ["threshold", "floor"] {
            let (own, pack) = (n[key].as_f64().expect("a number"), n["pack"][key].as_f64().expect("a number"));
            assert!(own >= pack, "{key} in {n}");
            tightened += usize::from(own > pack);
        }
    }
    assert!(tightened > 0, "{answer}");

    // What a tighter value does: everybody is refused, by eval as at the door.
    let eval = |state: &Path| cardea(state, &["eval", "pad", "--labels", &table, "--root", &root]);
    let (_, with, _) = eval(state.path());
    assert_eq!(with["site"]["calibrated"].as_array().expect("names").len(), 2, "{with}");
    let text = std::fs::read_to_string(&file).expect("the calibration");
    let edit = |from: &str, to: &str| {
        let lines = text.lines().map(|l| if l.starts_with(from) { to } else { l });
        std::fs::write(&file, lines.collect::<Vec<_>>().join("\n")).expect("writes");
    };
    edit("threshold", "threshold = 0.99");
    let (_, strict, _) = eval(state.path());
    assert!(errors_of(&strict["groups"], "live") > errors_of(&with["groups"], "live"), "{strict}");

    // A looser one is a fault of the configuration, wherever it would count.
    edit("threshold", "threshold = 0.2");
    for args in [&["eval", "pad", "--labels", &table, "--root", &root][..], &["run"], &["replay", "--clip", "x.mp4"]] {
        let (code, _, errors) = raw(state.path(), args);
        assert_eq!(code, 78, "{args:?}: {errors}");
        assert!(errors.contains("calibration.toml: minifasnet_v2.threshold = 0.2 is looser"), "{errors}");
    }
    // Values of another network file say nothing: the pack's count, and that is said.
    edit("sha256", &format!("sha256 = \"{}\"", "0".repeat(64)));
    let (code, other, errors) = eval(state.path());
    assert_eq!((code, other["site"]["ignored"].as_array().map(Vec::len)), (0, Some(2)), "{other}");
    assert!(errors.contains("error: ") && errors.contains("is another file than the one it was made with"), "{errors}");
    assert_eq!(other["groups"], eval(directory().path()).1["groups"], "the pack's own values count");
}

/// Live pictures of some people, and the same with the colours turned over: attacks that the networks know nothing of.
fn tinted(people: &[&str], each: usize) -> TempDir {
    let dir = directory();
    for [file, label, person] in some(people, each) {
        if label != "live" {
            continue;
        }
        let picture = image::open(data().join("pads").join(&file)).unwrap_or_else(|e| panic!("{file}: {e}")).to_rgb8();
        let mut turned = picture.clone();
        turned.pixels_mut().for_each(|p| p.0 = [p.0[2], p.0[1], p.0[0]]);
        let name = file.rsplit('/').next().expect("a name");
        for (kind, picture) in [("real", picture), ("spoof", turned)] {
            let to = dir.path().join(kind).join(&person);
            std::fs::create_dir_all(&to).expect("makes");
            picture.save(to.join(name)).expect("writes");
        }
    }
    dir
}

#[test]
fn a_head_is_installed_only_when_it_beats_the_rule_in_use_and_then_it_is_one_more_veto() {
    let state = directory();
    let people = [&NUAA[..], &["nuaa0009", "nuaa0011"]].concat();
    let set = tinted(&people, 14);
    let dir = set.path().display().to_string();
    let train_with = |test: &str, more: &[&str]| {
        let args = ["pad", "train", "--data", &dir, "--validation", "0.2", "--seed", "1", "--test", test];
        cardea(state.path(), &[&args[..], more].concat())
    };
    let train = |more: &[&str]| train_with("0.2", more);
    let head = state.path().join("pad/head.json");
    let (code, answer, errors) = train_with("0.05", &[]);
    assert_eq!(code, 2, "{answer} {errors}");
    assert!(answer["missing"][0].as_str().is_some_and(|m| m.contains("of at least 10")), "{answer}");
    let (code, first, errors) = train(&[]);
    assert_eq!((code, &first["beats"], &first["installed"]), (0, &true.into(), &Value::Null), "{first} {errors}");
    assert!(!head.exists(), "only --install installs");
    let (code, answer, errors) = train(&["--install"]);
    assert_eq!((code, &answer["beats"]), (0, &true.into()), "{answer} {errors}");
    assert_eq!(answer["held_back"], first["held_back"], "the same seed gives the same head");
    assert_eq!(mode(&head), 0o600);
    // Nobody of the part that was held back was learnt from.
    let groups = |p: &str| answer["parts"][p]["groups"].as_array().expect("groups").clone();
    assert!(groups("test").iter().all(|g| !groups("train").contains(g) && !groups("validation").contains(g)));

    let clip = set.path().join("spoof/nuaa0001").display().to_string();
    let seen = |state: &Path| {
        let (code, out, errors) =
            raw(state, &["replay", "--clip", &clip, "--fps", "8", "--goal", "liveness", "--challenge", "none"]);
        assert_eq!(code, 0, "{errors}");
        let rows: Vec<Value> = out.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
        let scores = rows.iter().filter_map(|r| r["pad"].as_object()).find(|p| !p.is_empty()).expect("scores").clone();
        (scores.keys().cloned().collect::<Vec<_>>(), rows.last().expect("a summary")["reason"].clone())
    };
    assert_eq!(
        seen(state.path()),
        (["minifasnet_v1se", "minifasnet_v2", "site_head"].map(String::from).to_vec(), "spoof".into())
    );
    assert_eq!(seen(directory().path()).0, ["minifasnet_v1se", "minifasnet_v2"]);

    // Now this head is the rule in use, and nothing is left to beat.
    let before = std::fs::read(&head).expect("the head");
    let (code, answer, errors) = train(&["--install"]);
    assert_eq!((code, &answer["beats"], &answer["installed"]), (1, &false.into(), &Value::Null), "{answer} {errors}");
    assert_eq!(std::fs::read(&head).expect("the head"), before);
    // A damaged head stops whoever would rely on it.
    let text = String::from_utf8(before).expect("text").replacen("\"threshold\": 0.", "\"threshold\": 0.0", 1);
    std::fs::write(&head, text).expect("writes");
    let (code, _, errors) = raw(state.path(), &["replay", "--clip", &clip]);
    assert!(code == 78 && errors.contains("head.json: wrong digest"), "{code} {errors}");
}

#[test]
fn a_third_network_in_the_manifest_is_a_third_veto() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let (packs, cache, state) = (directory(), directory(), directory());
    let text = std::fs::read_to_string(models.join("packs/standard.toml")).expect("the manifest");
    // The first PAD network once more under other names, with a threshold that not everybody reaches.
    let begin = text.find("[[model]]\nrole = \"pad\"").expect("a PAD network");
    let end = begin + 9 + text[begin + 9..].find("[[model]]").expect("another one");
    let third = text[begin..end].replace("minifasnet_v2", "third");
    let at = text.find("[[pad]]").expect("thresholds");
    let pad = "[[pad]]\nnetwork = \"third\"\nprecision = \"fp32\"\nthreshold = 0.99\nfloor = 0.0\ndata = \"none\"\n\n";
    let mut made = format!("{}{third}{}", &text[..end], &text[end..at]);
    made += &format!("{pad}{}", &text[at..]);
    std::fs::write(packs.path().join("standard.toml"), made).expect("writes");
    for entry in std::fs::read_dir(models.join("cache")).expect("make models") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if path.is_file() {
            std::os::unix::fs::symlink(&path, cache.path().join(&name)).expect("links");
            if name.starts_with("minifasnet_v2") {
                std::os::unix::fs::symlink(&path, cache.path().join(name.replace("minifasnet_v2", "third")))
                    .expect("links");
            }
        }
    }
    let set = [
        format!("models.packs={:?}", packs.path().display().to_string()),
        format!("models.cache={:?}", cache.path().display().to_string()),
        "models.precision=\"fp32\"".into(),
    ];
    let set: Vec<&str> = set.iter().flat_map(|s| ["--set", s.as_str()]).collect();
    let live: Vec<[String; 3]> = some(&NUAA, 4).into_iter().filter(|r| r[1] == "live").collect();
    let (_dir, table) = labels(&live);
    let root = data().join("pads").display().to_string();
    let eval = ["eval", "pad", "--labels", &table, "--root", &root];
    let (_, two, _) = cardea(state.path(), &eval);
    let (code, three, errors) = cardea(state.path(), &[&eval[..], &set].concat());
    assert_eq!(code, 0, "{three} {errors}");
    let (two, three) = (errors_of(&two["groups"], "live"), errors_of(&three["groups"], "live"));
    let n = live.len() as u64;
    // Were its score missing, all would be refused.
    assert!(two < three && three < n, "of {n} live pictures two networks refuse {two}, three {three}");
}
