//! `enroll`, `verify`, `identify` and `people import` with the real networks on real pictures, as a user calls them.
//!
//! Needs `make models` and the folder with the evaluation data.

mod support;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn data() -> PathBuf {
    support::shared().join("data")
}

fn portrait(name: &str) -> String {
    data().join("faces").join(name).display().to_string()
}

fn bad(name: &str) -> String {
    data().join("bad").join(name).display().to_string()
}

/// Runs the program with `--json`; exit code, the object on standard output, standard error.
fn cardea(state: &Path, args: &[&str]) -> (i32, Value, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_cardea"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(args)
        .arg("--json")
        .arg("--state")
        .arg(state)
        .output()
        .expect("the program starts");
    let text = String::from_utf8(out.stdout).expect("text");
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    let value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{args:?}: {e}: {text:?} {errors}"));
    (out.status.code().expect("no signal ended it"), value, errors)
}

/// A state directory with three people of one picture each.
fn three() -> tempfile::TempDir {
    let state = tempfile::tempdir().expect("a directory");
    for (name, file) in
        [("obama", "public_domain/obama.jpg"), ("biden", "public_domain/biden.jpg"), ("p01", "selfies/p01.jpg")]
    {
        let (code, answer, errors) = cardea(state.path(), &["enroll", name, "--image", &portrait(file)]);
        assert_eq!((code, &answer["templates"]), (0, &1.into()), "{name}: {answer} {errors}");
    }
    state
}

/// Small copies of the portrait: one face, narrower than the 80 pixels that a door asks for.
const SMALL: [&str; 2] = ["rgb16.png", "rgba.png"];

fn people(state: &Path) -> usize {
    cardea(state, &["people", "list"]).1["people"].as_array().expect("a list").len()
}

#[test]
fn every_file_of_the_corpus_ends_as_expected_and_only_whole_portraits_of_an_enrolled_person_are_recognised() {
    let state = three();
    let table = std::fs::read_to_string(data().join("bad/expected.csv")).expect("the table");
    let mut seen = 0;
    for line in table.lines().skip(1) {
        let mut cells = line.split(',');
        let (name, expected) = (cells.next().expect("a name"), cells.next_back().expect("an expectation"));
        let (code, answer, errors) = cardea(state.path(), &["identify", &bad(name)]);
        let reason = answer["reason"].as_str().unwrap_or_default();
        let decided = code == 0;
        assert!(code == 0 || code == 2, "{name}: {code} {answer} {errors}");
        assert_eq!(answer["match"].as_bool(), Some(decided), "{name}");
        if decided {
            // Whatever else a file shows: it may only ever open as the person in it.
            assert!(expected.starts_with("one_face"), "{name} is {expected} but matched {answer}");
            assert_eq!(answer["person"], "obama", "{name}");
        }
        let quality = ["too_small", "blurred", "dark", "bright", "off_pose"].contains(&reason);
        // A picture that cannot be decoded has a sentence for its reason.
        let undecodable = reason.contains(' ');
        let as_expected = match expected {
            "reject_decode" | "reject_without_big_allocation" | "reject_decode_or_no_accept" => undecodable,
            "no_face" => reason == "no_face",
            "one_face" if SMALL.contains(&name) => reason == "too_small",
            "one_face" => decided,
            "one_face_or_reject_size" | "one_face_or_reject_format" => decided || undecodable || reason == "too_small",
            "one_face_or_reject_decode" => decided || undecodable,
            "one_face_or_reject_quality" => decided || quality,
            "multi_face" => reason == "several_faces",
            "reject_quality_or_no_match" => quality,
            "no_face_or_reject_size" => reason == "no_face" || reason == "too_small",
            "reject_pose" => reason == "off_pose",
            "no_crash" => true,
            other => panic!("{name}: nobody knows what {other} means"),
        };
        assert!(as_expected, "{name}: expected {expected}, got {code} {answer}");
        seen += 1;
    }
    assert_eq!(seen, 50);
}

#[test]
fn portraits_that_are_too_small_by_default_are_recognised_where_small_faces_are_allowed() {
    let state = three();
    for name in SMALL {
        assert_eq!(cardea(state.path(), &["identify", &bad(name)]).1["reason"], "too_small", "{name}");
        let set = ["--set", "recognition.min_face_px=40", "identify", &bad(name)];
        let (code, answer, _) = cardea(state.path(), &set);
        assert_eq!((code, &answer["person"]), (0, &"obama".into()), "{name}: {answer}");
    }
}

#[test]
fn all_eight_exif_orientations_show_the_same_person_with_the_same_score() {
    let state = three();
    let scores: Vec<f64> = (1..=8)
        .map(|i| {
            let (code, answer, _) = cardea(state.path(), &["identify", &bad(&format!("exif_{i}.jpg")), "--scores"]);
            assert_eq!((code, &answer["person"]), (0, &"obama".into()), "{i}: {answer}");
            answer["scores"][0]["score"].as_f64().expect("a score")
        })
        .collect();
    assert!(scores.iter().all(|s| (s - scores[0]).abs() < 0.02), "{scores:?}");
}

#[test]
fn another_picture_of_a_person_is_verified_and_another_person_is_not() {
    let state = three();
    let other = portrait("public_domain/obama2.jpg");
    let (code, answer, _) = cardea(state.path(), &["verify", "obama", &other]);
    assert_eq!((code, &answer["match"], &answer["person"]), (0, &true.into(), &"obama".into()), "{answer}");
    assert!(answer.get("scores").is_none() && answer.get("threshold").is_none(), "scores are for those who ask");
    let (code, answer, _) = cardea(state.path(), &["verify", "obama", &portrait("public_domain/biden.jpg")]);
    assert_eq!((code, &answer["match"], &answer["reason"]), (1, &false.into(), &"no_match".into()), "{answer}");
    assert_eq!(answer["person"], Value::Null);
    let (code, answer, _) = cardea(state.path(), &["identify", &portrait("selfies/p04.jpg")]);
    assert_eq!((code, &answer["reason"]), (1, &"no_match".into()), "a stranger: {answer}");
    let (code, answer, _) = cardea(state.path(), &["verify", "nobody", &other]);
    assert_eq!((code, &answer["error"]["code"]), (65, &65.into()), "{answer}");
    let (code, answer, _) = cardea(state.path(), &["identify", &portrait("no_such.jpg")]);
    assert_eq!((code, &answer["error"]["code"]), (65, &65.into()), "{answer}");
}

#[test]
fn a_clip_is_as_good_as_a_picture() {
    if !support::has("ffmpeg", "ffmpeg", "a_clip_is_as_good_as_a_picture") {
        return;
    }
    let state = three();
    let clip = |p: &str| data().join("video").join(p).display().to_string();
    let (code, answer, _) = cardea(state.path(), &["identify", &clip("live_turn_p01.mov")]);
    assert_eq!((code, &answer["person"]), (0, &"p01".into()), "{answer}");
    let (code, answer, _) = cardea(state.path(), &["identify", &clip("live_turn_p02.mov")]);
    assert_eq!((code, &answer["reason"]), (1, &"no_match".into()), "{answer}");
}

#[test]
fn one_poor_picture_stores_nothing_unless_the_rest_is_asked_for() {
    let state = tempfile::tempdir().expect("a directory");
    let good = portrait("public_domain/obama.jpg");
    for (file, reason) in [("blurred.jpg", "blurred"), ("dark.jpg", "dark"), ("two_people.jpg", "several_faces")] {
        let (code, answer, _) = cardea(state.path(), &["enroll", "obama", "--image", &good, &bad(file)]);
        assert_eq!((code, &answer["templates"]), (2, &0.into()), "{file}: {answer}");
        assert_eq!(answer["refused"][0]["reason"], reason, "{file}");
        assert_eq!(answer["refused"][0]["file"], bad(file).as_str());
        assert_eq!(people(state.path()), 0, "{file}");
    }
    assert!(!state.path().join("journal.db").exists(), "nothing happened, so nothing was recorded");
    let poor = bad("dark.jpg");
    let (code, answer, _) = cardea(state.path(), &["enroll", "obama", "--image", &good, &poor, "--partial"]);
    assert_eq!((code, &answer["templates"]), (2, &1.into()), "{answer}");
    assert_eq!(answer["accepted"], serde_json::json!([good]));
    assert_eq!(people(state.path()), 1);
    let (_, answer, _) = cardea(state.path(), &["enroll", "biden", "--image", &poor, "--partial"]);
    assert_eq!(answer["templates"], 0, "of nothing good nothing is stored");
    assert_eq!(people(state.path()), 1);
}

#[test]
fn nobody_is_enrolled_twice_under_two_names_by_accident() {
    let state = three();
    let second = portrait("public_domain/obama2.jpg");
    let stranger = portrait("selfies/p04.jpg");
    for extra in [&[][..], &["--partial"]] {
        let args = [&["enroll", "barack", "--image", &second, &stranger][..], extra].concat();
        let (code, answer, _) = cardea(state.path(), &args);
        assert_eq!((code, &answer["templates"]), (2, &0.into()), "{answer}");
        let refused = &answer["refused"][0];
        assert_eq!((&refused["reason"], &refused["person"]), (&"already_enrolled_as".into(), &"obama".into()));
        assert_eq!(people(state.path()), 3);
    }
    let (code, answer, _) = cardea(state.path(), &["enroll", "obama", "--image", &second]);
    assert_eq!((code, &answer["templates"]), (0, &1.into()), "the same name takes more pictures: {answer}");
    let (code, _, _) = cardea(state.path(), &["enroll", "barack", "--image", &second, "--allow-duplicate"]);
    assert_eq!((code, people(state.path())), (0, 4));
}

#[test]
fn a_camera_enrols_whom_it_sees_and_a_missing_one_is_an_error_that_names_what_to_do() {
    if !support::has("ffmpeg", "ffmpeg", "a_camera_enrols_whom_it_sees") {
        return;
    }
    let state = tempfile::tempdir().expect("a directory");
    let path = format!("camera.path={:?}", data().join("video/live_turn_p01.mov"));
    let set = ["--set", "camera.kind=\"file\"", "--set", &path, "enroll", "p01", "--camera"];
    let (code, answer, errors) = cardea(state.path(), &set);
    assert_eq!((code, &answer["templates"]), (0, &5.into()), "{answer} {errors}");
    let (code, answer, _) = cardea(state.path(), &["verify", "p01", &portrait("selfies/p01.jpg")]);
    assert_eq!(code, 0, "{answer}");
    let gone = ["--set", "camera.device=\"/dev/no-such-camera\"", "enroll", "p02", "--camera"];
    let (code, answer, _) = cardea(state.path(), &gone);
    assert_eq!(code, 69, "{answer}");
    assert!(answer["error"]["hint"].as_str().is_some_and(|h| h.contains("camera.")), "{answer}");
    assert_eq!(people(state.path()), 1);
}

#[test]
fn a_folder_of_pictures_per_person_is_imported_whole_or_not_at_all() {
    let state = tempfile::tempdir().expect("a directory");
    let set = tempfile::tempdir().expect("a directory");
    let put = |from: String, person: &str, name: &str| {
        let dir = set.path().join(person);
        std::fs::create_dir_all(&dir).expect("a folder");
        std::fs::copy(&from, dir.join(name)).unwrap_or_else(|e| panic!("{from}: {e}"));
    };
    put(portrait("public_domain/obama.jpg"), "obama", "1.jpg");
    put(portrait("public_domain/obama2.jpg"), "obama", "2.jpg");
    put(portrait("selfies/p01.jpg"), "p01", "1.jpg");
    put(bad("dark.jpg"), "p01", "2.jpg");
    let dataset = set.path().display().to_string();
    let (code, answer, _) = cardea(state.path(), &["people", "import", "-i", &dataset, "-d", "hog"]);
    assert_eq!((code, &answer["people"], people(state.path())), (2, &0.into(), 0), "{answer}");
    assert!(answer["refused"][0]["file"].as_str().is_some_and(|f| f.ends_with("p01/2.jpg")), "{answer}");
    std::fs::remove_file(set.path().join("p01/2.jpg")).expect("removed");
    let (code, answer, _) = cardea(state.path(), &["people", "import", "--dataset", &dataset]);
    assert_eq!((code, &answer["people"], &answer["templates"]), (0, &2.into(), &3.into()), "{answer}");
    let (_, answer, _) = cardea(state.path(), &["verify", "obama", &portrait("public_domain/obama3.jpg")]);
    assert_eq!(answer["match"], true, "{answer}");
    put(portrait("public_domain/obama3.jpg"), "somebody", "1.jpg");
    let (code, answer, _) = cardea(state.path(), &["people", "import", "--dataset", &dataset]);
    assert_eq!((code, &answer["refused"][0]["person"]), (2, &"obama".into()), "{answer}");
    assert_eq!(people(state.path()), 2);
}
