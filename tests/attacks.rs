//! Photographs of enrolled people, moved about before the door by computer: sixty of the sequences that `make attacks`
//! plays by the thousand. None opens the door, and none that is flat has the relief of a head.
//!
//! Needs `make models` and the folder with the evaluation data.

mod support;

use serde_json::Value;
use std::process::Command;

const SEQUENCES: u64 = 60;

fn attacks(seed: u64) -> Value {
    let faces = support::shared().join("data/faces");
    let out = Command::new(env!("CARGO_BIN_EXE_cardea"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["eval", "attacks", "--json", "--people", "12", "--seed", &seed.to_string()])
        .args(["--sequences", &SEQUENCES.to_string()])
        .arg("--stills")
        .arg(faces.join("labels.csv"))
        .arg("--root")
        .arg(&faces)
        .output()
        .expect("the program starts");
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).expect("JSON")
}

#[test]
fn no_moved_photograph_opens_the_door_and_no_flat_one_has_a_relief() {
    let report = attacks(7);
    let total = &report["total"];
    let passes = |of: &Value, gate: &str| of["gates"][gate]["passes"].as_u64().expect(gate);
    assert_eq!(total["n"], SEQUENCES);
    // Sequences without a face would show nothing.
    assert!(passes(total, "faces") >= SEQUENCES * 9 / 10, "{total}");
    // Nor would those that PAD refuses anyway: it takes some for live.
    assert!(passes(total, "pad") > 0, "{total}");
    assert_eq!(total["passes"], 0, "{total}");
    assert_eq!(passes(total, "challenge"), 0, "{total}");
    let flat = &report["families"]["flat"];
    assert!(flat["n"].as_u64().is_some_and(|n| n >= 20), "{flat}");
    for gate in ["relief", "turn_with_relief", "turn_visit"] {
        assert_eq!(passes(flat, gate), 0, "{gate}: {flat}");
    }
    assert!(total["hi95"].as_f64().is_some_and(|hi| (0.04..0.06).contains(&hi)), "{total}");
}
