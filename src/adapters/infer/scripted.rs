//! Networks that say what a script tells them to, so that the whole product runs without ONNX Runtime and without a face.
//!
//! The script speaks of boxes, poses and people; this adapter writes the tensors that the real decoders read back. What it
//! cannot know it takes from the contract: the landmark crop shows the face in its middle, level, two thirds as high as
//! the crop; the eye on the left of the image is asked for before the one on the right.

use super::manifest::{FilePrecision, Metric, Model, Pack, PadThreshold, Recognition};
use super::ort::Loaded;
use crate::ports::{Infer, NetId, PortError, Recovery};
use crate::vision::family::{Family, NetSpec, Role};
use ndarray::{ArrayD, ArrayView4};
use serde::Deserialize;
use std::path::Path;

const MAX_SCRIPT: u64 = 16 << 20;
const MESH_POINTS: usize = 468;
const MESH_SIDE: f32 = 192.0;
const CONTOUR_POINTS: usize = 71;
const EMBEDDING: usize = 256;
/// The pack that is the same but for its embedding network, whose vectors have nothing to do with the other's.
const NEXT: &str = "scripted_next";

/// What is in front of the camera, frame by frame.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Width and height of the pictures, in which boxes are given.
    pub picture: [f32; 2],
    /// A frame that no row covers shows nobody; of several rows the last counts.
    pub rows: Vec<Row>,
}

/// A stretch of frames that look alike.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// First and last frame number, both included.
    pub frames: [u64; 2],
    pub face: Option<Face>,
    /// Box of a second face.
    pub second: Option<[f32; 4]>,
}

/// A face as it is to be seen. Angles in degrees, with the signs of [`crate::domain::observation::Pose`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Face {
    /// Left, top, width, height in picture pixels.
    #[serde(rename = "box")]
    pub rect: [f32; 4],
    #[serde(default)]
    pub yaw: f32,
    #[serde(default)]
    pub pitch: f32,
    /// Followed when the face is detected anew, not while its landmarks are tracked.
    #[serde(default)]
    pub roll: f32,
    /// Eye on the left and on the right of the image.
    #[serde(default = "open")]
    pub openness: [f32; 2],
    /// Gap of the inner lips in outer-eye distances of the frontal face.
    #[serde(default)]
    pub mouth: f32,
    /// Probability of being alive that every PAD network gives, above 0 and below 1.
    #[serde(default = "alive")]
    pub live: f32,
    /// The same number is the same person.
    pub person: u64,
}

fn open() -> [f32; 2] {
    [0.3; 2]
}

fn alive() -> f32 {
    0.99
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// The file cannot be read, or a row is wrong; both are named.
    pub fn read(path: &Path) -> Result<Script, PortError> {
        let fail = |cause: String| {
            let what = format!("read the script {}", path.display());
            PortError::new(what, cause, "docs/architecture.md, *Scripts*, shows the form", Recovery::Fatal)
        };
        let size = std::fs::metadata(path).map_err(|e| fail(e.to_string()))?.len();
        if size > MAX_SCRIPT {
            return Err(fail(format!("{size} bytes are too many")));
        }
        Script::parse(&std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?).map_err(fail)
    }

    /// Reads a script's text.
    ///
    /// # Errors
    /// The first row that is wrong, by number.
    pub fn parse(text: &str) -> Result<Script, String> {
        let script: Script = serde_json::from_str(text).map_err(|e| e.to_string())?;
        if !script.picture.iter().all(|v| (16.0..=16384.0).contains(v)) {
            return Err("picture: wants a width and a height within 16..=16384".into());
        }
        for (i, row) in script.rows.iter().enumerate() {
            row.check().map_err(|e| format!("rows[{i}]: {e}"))?;
        }
        Ok(script)
    }
}

impl Row {
    fn check(&self) -> Result<(), String> {
        if self.frames[0] > self.frames[1] {
            return Err("frames: the first is after the last".into());
        }
        let boxes = self.face.iter().map(|f| f.rect).chain(self.second);
        for b in boxes {
            if !b.iter().all(|v| v.is_finite()) || b[2] < 1.0 || b[3] < 1.0 {
                return Err(format!("box {b:?}: wants a width and a height of a pixel or more"));
            }
        }
        let Some(f) = &self.face else { return Ok(()) };
        if ![f.yaw, f.pitch, f.roll].iter().all(|a| a.abs() <= 80.0) {
            return Err("an angle is not within -80..=80".into());
        }
        if !f.openness.iter().all(|o| (0.0..=1.0).contains(o)) || !(0.0..=1.0).contains(&f.mouth) {
            return Err("openness and mouth must be within 0..=1".into());
        }
        if f.live <= 0.0 || f.live >= 1.0 || f.live.is_nan() {
            return Err("live must be above 0 and below 1".into());
        }
        Ok(())
    }
}

/// [`Infer`] out of a [`Script`].
pub struct ScriptedEngine {
    script: Script,
    nets: Vec<NetSpec>,
    /// Makes another network's vectors of the same people.
    salt: u64,
    frame: u64,
    /// Eyes asked for in this frame.
    eyes: usize,
}

impl ScriptedEngine {
    /// Plays a script on the networks of [`pack`], or of any pack with the same families.
    #[must_use]
    pub fn new(script: Script, pack: &Pack) -> Self {
        let salt = if pack.name == NEXT { 0x5eed } else { 0 };
        ScriptedEngine { script, nets: pack.nets(), salt, frame: 0, eyes: 0 }
    }

    fn row(&self) -> Option<&Row> {
        self.script.rows.iter().rfind(|r| (r.frames[0]..=r.frames[1]).contains(&self.frame))
    }
}

impl Infer for ScriptedEngine {
    fn run(&mut self, net: NetId, _input: ArrayView4<'_, f32>) -> Result<Vec<ArrayD<f32>>, PortError> {
        let fail = |cause: String| {
            PortError::new(format!("play network {}", net.0), cause, "use the scripted pack", Recovery::Fatal)
        };
        let spec = self.nets.get(net.0).cloned().ok_or_else(|| fail("it is not in the pack".into()))?;
        let side = spec.input.side();
        let mut outputs: Vec<ArrayD<f32>> =
            spec.family.outputs(side).into_iter().map(|(_, shape)| ArrayD::zeros(shape)).collect();
        let face = self.row().and_then(|r| r.face.clone());
        match spec.family {
            Family::Yunet => {
                let scale = side as f32 / self.script.picture[0].max(self.script.picture[1]);
                let second = self.row().and_then(|r| r.second).map(|rect| (rect, Pose::default()));
                let first = face.iter().map(|f| (f.rect, Pose::of(f)));
                for (rect, pose) in first.chain(second) {
                    put_yunet(&mut outputs, side, scale, rect, pose);
                }
            }
            Family::Facemesh => {
                outputs[1].fill(if face.is_some() { 10.0 } else { -10.0 });
                if let Some(f) = face {
                    let points = mesh(Pose::of(&f));
                    for (out, v) in outputs[0].iter_mut().zip(points.iter().flatten()) {
                        *out = *v;
                    }
                }
            }
            Family::EyeContour => {
                let openness = face.map_or(0.0, |f| f.openness[self.eyes % 2]);
                self.eyes += 1;
                put_contour(&mut outputs[0], openness);
            }
            Family::Reid128 => {
                let values = face.map_or_else(|| vec![0.0; EMBEDDING], |f| embedding(f.person ^ self.salt));
                outputs[0] = ArrayD::from_shape_vec(vec![1, EMBEDDING], values).expect("a vector of that length");
            }
            // softmax of [0, a, 0] is e^a / (e^a + 2); without a face as dead as can be.
            Family::Minifasnet80 => outputs[0][[0, 1]] = face.map_or(-20.0, |f| (2.0 * f.live / (1.0 - f.live)).ln()),
            other => return Err(fail(format!("there is no script for {}", other.name()))),
        }
        Ok(outputs)
    }

    fn frame(&mut self, seq: u64) {
        self.frame = seq;
        self.eyes = 0;
    }
}

/// The pack of the networks that a script plays, with thresholds that fit it: one person's vectors are alike to 1, two
/// people's to about 0.
#[must_use]
pub fn pack(name: &str) -> Pack {
    const TEXT: &str = include_str!("scripted.toml");
    let mut pack = Pack::parse(TEXT).expect("the built-in manifest is read by a test");
    if name == NEXT {
        pack.name = NEXT.to_owned();
        let embed = pack.models.iter_mut().filter(|m| m.net.role == Role::Embed);
        embed.flat_map(|m| &mut m.files).for_each(|f| f.sha256 = "f".repeat(64));
    }
    let data = "a script".to_owned();
    pack.recognition = vec![Recognition {
        precision: FilePrecision::Fp32,
        metric: Metric::Cosine,
        templates: 1,
        curve: vec![(1e-2, 0.4), (1e-4, 0.5), (1e-6, 0.6)],
        impostor_pairs: 1,
        data: data.clone(),
        continuity: 0.5,
    }];
    let pads = pack.models.iter().filter(|m| m.net.role == Role::Pad);
    pack.pad = pads
        .map(|m| PadThreshold {
            network: m.net.name.clone(),
            precision: FilePrecision::Fp32,
            threshold: 0.5,
            floor: 0.01,
            data: data.clone(),
        })
        .collect();
    pack
}

/// The networks of [`pack`] as they are told in records: files that do not exist.
#[must_use]
pub fn loaded(pack: &Pack) -> Vec<Loaded> {
    let row = |m: &Model| {
        let file = m.files.first()?;
        Some(Loaded {
            net: m.net.id,
            role: m.net.role,
            name: m.net.name.clone(),
            file: file.file.clone(),
            sha256: file.sha256.clone(),
            precision: file.precision,
        })
    };
    pack.models.iter().filter_map(row).collect()
}

/// What moves the points of the model, angles in radians.
#[derive(Clone, Copy, Default)]
struct Pose {
    yaw: f32,
    pitch: f32,
    roll: f32,
    mouth: f32,
}

impl Pose {
    fn of(f: &Face) -> Pose {
        Pose { yaw: f.yaw.to_radians(), pitch: f.pitch.to_radians(), roll: f.roll.to_radians(), mouth: f.mouth }
    }
}

/// Distance of the outer eye corners in the model.
const EYES: f32 = 90.0;

/// Points of the model that have a meaning: right, down, away from the camera. Index, and its twin on the other side.
const MODEL: &[(usize, Option<usize>, [f32; 3])] = &[
    (33, Some(263), [-45.0, 0.0, 10.0]),
    (133, Some(362), [-16.0, 0.0, 4.0]),
    (160, Some(387), [-36.0, -4.0, 5.0]),
    (158, Some(385), [-24.0, -4.0, 3.0]),
    (153, Some(380), [-24.0, 4.0, 3.0]),
    (144, Some(373), [-36.0, 4.0, 5.0]),
    (159, Some(386), [-30.0, -5.0, 4.0]),
    (145, Some(374), [-30.0, 5.0, 4.0]),
    (1, None, [0.0, 38.0, -35.0]),
    (4, None, [0.0, 32.0, -34.0]),
    (5, None, [0.0, 24.0, -28.0]),
    (2, None, [0.0, 46.0, -22.0]),
    (45, Some(275), [-7.0, 34.0, -28.0]),
    (44, Some(274), [-9.0, 38.0, -24.0]),
    (168, None, [0.0, 0.0, -10.0]),
    (6, None, [0.0, 6.0, -14.0]),
    (8, None, [0.0, -8.0, -12.0]),
    (9, None, [0.0, -20.0, -14.0]),
    (151, None, [0.0, -40.0, -14.0]),
    (10, None, [0.0, -75.0, 0.0]),
    (152, None, [0.0, 105.0, 0.0]),
    (61, Some(291), [-24.0, 66.0, -6.0]),
    (78, Some(308), [-20.0, 66.0, -8.0]),
    (0, None, [0.0, 58.0, -18.0]),
    (37, Some(267), [-6.0, 58.0, -17.0]),
    (17, None, [0.0, 76.0, -16.0]),
    (84, Some(314), [-6.0, 76.0, -15.0]),
    (13, None, [0.0, 66.0, -16.0]),
    (14, None, [0.0, 66.0, -16.0]),
    (234, Some(454), [-66.0, 10.0, 60.0]),
    (70, Some(300), [-50.0, -18.0, 12.0]),
    (63, Some(293), [-42.0, -24.0, 6.0]),
    (105, Some(334), [-32.0, -26.0, 2.0]),
    (66, Some(296), [-22.0, -24.0, 0.0]),
    (107, Some(336), [-12.0, -20.0, -4.0]),
    (50, Some(280), [-42.0, 36.0, 4.0]),
    (205, Some(425), [-36.0, 44.0, 2.0]),
];

/// The model's points in the landmark crop: turned, put upright, and brought to two thirds of the crop about its middle,
/// so that a crop made from them is the same crop again.
fn mesh(pose: Pose) -> Vec<[f32; 3]> {
    // Points without a meaning lie on an oval behind the face's middle.
    let mut points: Vec<[f32; 3]> = (0..MESH_POINTS)
        .map(|i| {
            let angle = i as f32 * 2.399_963;
            let reach = ((i % 97) as f32 / 97.0).sqrt();
            [angle.cos() * 60.0 * reach, 15.0 + angle.sin() * 85.0 * reach, 20.0]
        })
        .collect();
    for (index, twin, [x, y, z]) in MODEL {
        points[*index] = [*x, *y, *z];
        if let Some(twin) = twin {
            points[*twin] = [-x, *y, *z];
        }
    }
    let gap = pose.mouth * EYES;
    points[13][1] -= gap / 2.0;
    points[14][1] += gap / 2.0;
    let ((sy, cy), (sp, cp)) = (pose.yaw.sin_cos(), pose.pitch.sin_cos());
    for p in &mut points {
        let [x, y, z] = *p;
        let (x, z) = (x * cy - z * sy, x * sy + z * cy);
        *p = [x, y * cp + z * sp, z * cp - y * sp];
    }
    let tilt = (points[263][1] - points[33][1]).atan2(points[263][0] - points[33][0]);
    let (s, c) = (-tilt).sin_cos();
    for p in &mut points {
        *p = [p[0] * c - p[1] * s, p[0] * s + p[1] * c, p[2]];
    }
    let (mut lo, mut hi) = ([f32::INFINITY; 2], [f32::NEG_INFINITY; 2]);
    for p in &points {
        for axis in 0..2 {
            lo[axis] = lo[axis].min(p[axis]);
            hi[axis] = hi[axis].max(p[axis]);
        }
    }
    let k = MESH_SIDE / 1.5 / (hi[0] - lo[0]).max(hi[1] - lo[1]);
    for p in &mut points {
        for axis in 0..2 {
            p[axis] = MESH_SIDE / 2.0 + (p[axis] - (lo[axis] + hi[axis]) / 2.0) * k;
        }
        p[2] *= k;
    }
    points
}

/// One face into the finest grid whose numbers stay small.
fn put_yunet(outputs: &mut [ArrayD<f32>], side: usize, scale: f32, rect: [f32; 4], pose: Pose) {
    let [x, y, w, h] = rect.map(|v| v * scale);
    let (cx, cy) = (x + w / 2.0, y + h / 2.0);
    let stride = 8.0;
    let columns = side / 8;
    let cell = |v: f32| ((v / stride) as usize).min(columns - 1);
    let (column, row) = (cell(cx), cell(cy));
    let at = row * columns + column;
    let points = mesh(pose);
    let centre = |a: usize, b: usize| [(points[a][0] + points[b][0]) / 2.0, (points[a][1] + points[b][1]) / 2.0];
    let five = [centre(33, 133), centre(362, 263), centre(1, 1), centre(61, 61), centre(291, 291)];
    // From the crop to the detector's input: the crop is half as wide again as the box, and turned.
    let k = w.max(h) * 1.5 / MESH_SIDE;
    let (s, c) = pose.roll.sin_cos();
    let mut kps = [0.0; 10];
    for (out, p) in kps.chunks_exact_mut(2).zip(five) {
        let (dx, dy) = ((p[0] - MESH_SIDE / 2.0) * k, (p[1] - MESH_SIDE / 2.0) * k);
        out[0] = (cx + dx * c - dy * s) / stride - column as f32;
        out[1] = (cy + dx * s + dy * c) / stride - row as f32;
    }
    let bbox = [cx / stride - column as f32, cy / stride - row as f32, (w / stride).ln(), (h / stride).ln()];
    // Outputs stand kind by kind, three grids each, the finest first.
    for (kind, values) in [&[0.9][..], &[0.9], &bbox, &kps].into_iter().enumerate() {
        for (i, v) in values.iter().enumerate() {
            outputs[kind * 3][[0, at, i]] = *v;
        }
    }
}

/// Lids as arcs over corners 40 pixels apart, as far from one another as the openness says.
fn put_contour(out: &mut ArrayD<f32>, openness: f32) {
    const WIDTH: f32 = 40.0;
    let mut points = [[32.0, 32.0]; CONTOUR_POINTS];
    let x = |step: usize| 12.0 + WIDTH * step as f32 / 8.0;
    // The three pairs that are measured have this mean height at openness 1.
    let lift = |step: usize| openness * WIDTH / 2.0 * if step == 4 { 1.2 } else { 0.9 };
    points[0] = [x(0), 32.0];
    points[8] = [x(8), 32.0];
    for step in 1..8 {
        points[step] = [x(step), 32.0 + lift(step)];
        points[8 + step] = [x(step), 32.0 - lift(step)];
    }
    for (i, p) in points.iter().enumerate() {
        out[[0, i * 3]] = p[0];
        out[[0, i * 3 + 1]] = p[1];
    }
}

/// A direction of its own for each number: SplitMix64, spread evenly over -1..1.
fn embedding(person: u64) -> Vec<f32> {
    let mut state = person.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xda94_2042_e4dd_58b5;
    (0..EMBEDDING)
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::tensor::Letterbox;
    use crate::vision::{embedding as embed, eyes, facemesh, pad, yunet};
    use ndarray::Array4;

    const TEXT: &str = r#"{"picture": [640, 480], "rows": [
        {"frames": [0, 9], "face": {"box": [200, 100, 120, 160], "yaw": 25, "openness": [0.1, 0.3], "mouth": 0.2,
          "live": 0.8, "person": 7}, "second": [480, 60, 60, 60]},
        {"frames": [10, 19], "face": {"box": [220, 120, 100, 120], "roll": 15, "person": 8, "live": 0.02}},
        {"frames": [15, 15]}]}"#;

    fn engine() -> ScriptedEngine {
        ScriptedEngine::new(Script::parse(TEXT).unwrap(), &pack("scripted"))
    }

    fn play(engine: &mut ScriptedEngine, frame: u64, role: Role) -> Vec<ArrayD<f32>> {
        engine.frame(frame);
        again(engine, role)
    }

    fn again(engine: &mut ScriptedEngine, role: Role) -> Vec<ArrayD<f32>> {
        let id = engine.nets.iter().find(|n| n.role == role).unwrap().id;
        engine.run(id, Array4::zeros((1, 3, 1, 1)).view()).unwrap()
    }

    const HALF: Letterbox = Letterbox { scale: [0.5, 0.5], offset: [0.0, 0.0], side: 320 };

    fn near(a: f32, b: f32, tolerance: f32) {
        assert!((a - b).abs() <= tolerance, "{a} instead of {b}");
    }

    #[test]
    fn the_detector_finds_the_boxes_of_the_script() {
        let mut e = engine();
        let found = yunet::decode(&play(&mut e, 3, Role::Detect), &HALF, yunet::THRESHOLD).unwrap();
        assert_eq!(found.len(), 2);
        let r = found.iter().find(|d| d.rect.w > 100.0).unwrap().rect;
        for (got, want) in [r.x, r.y, r.w, r.h].into_iter().zip([200.0, 100.0, 120.0, 160.0]) {
            near(got, want, 0.1);
        }
        let found = yunet::decode(&play(&mut e, 12, Role::Detect), &HALF, yunet::THRESHOLD).unwrap();
        assert_eq!(found.len(), 1);
        near(found[0].points.tilt().to_degrees(), 15.0, 0.5);
        assert!(yunet::decode(&play(&mut e, 15, Role::Detect), &HALF, 0.6).unwrap().is_empty(), "the last row counts");
        assert!(yunet::decode(&play(&mut e, 20, Role::Detect), &HALF, 0.6).unwrap().is_empty());
    }

    #[test]
    fn the_mesh_shows_the_pose_and_the_mouth_and_its_own_crop_is_the_same_again() {
        let mut e = engine();
        let roi = facemesh::Roi { centre: [260.0, 180.0], side: 240.0, angle: 0.0 };
        let mesh = facemesh::decode(&play(&mut e, 3, Role::Landmarks), roi).unwrap();
        assert!(mesh.probability > 0.99);
        let (l, r) = (mesh.points[234], mesh.points[454]);
        near((r[2] - l[2]).atan2(r[0] - l[0]).to_degrees(), 25.0, 0.1);
        assert!(mesh.xy(1)[0] > (l[0] + r[0]) / 2.0, "the nose is on the right for a positive yaw");
        // The eye distance shrinks with the cosine of the yaw, the gap does not.
        let gap = (mesh.xy(14)[1] - mesh.xy(13)[1]) / mesh.eye_distance() * 25f32.to_radians().cos();
        near(gap, 0.2, 0.005);
        let next = facemesh::Roi::of_mesh(&mesh);
        near(next.centre[0], 260.0, 0.01);
        near(next.centre[1], 180.0, 0.01);
        near(next.side, 240.0, 0.01);
        near(next.angle, 0.0, 1e-4);
        assert!(facemesh::decode(&play(&mut e, 30, Role::Landmarks), roi).unwrap().probability < 0.01);
    }

    #[test]
    fn eyes_open_as_the_script_says_the_left_one_first() {
        let mut e = engine();
        near(eyes::openness(&play(&mut e, 3, Role::Eyes)).unwrap(), 0.1, 1e-5);
        near(eyes::openness(&again(&mut e, Role::Eyes)).unwrap(), 0.3, 1e-5);
        near(eyes::openness(&play(&mut e, 4, Role::Eyes)).unwrap(), 0.1, 1e-5);
    }

    #[test]
    fn a_person_is_always_alike_to_himself_and_unlike_others() {
        let mut e = engine();
        let vector =
            |e: &mut ScriptedEngine, frame| embed::decode(Family::Reid128, &play(e, frame, Role::Embed)).unwrap();
        let (a, b, c) = (vector(&mut e, 1), vector(&mut e, 8), vector(&mut e, 11));
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
        near(dot(&a, &b), 1.0, 1e-5);
        assert!(dot(&a, &c).abs() < 0.3);
        for (p, q) in (0..40).flat_map(|p| (0..p).map(move |q| (p, q))) {
            let unit =
                |p| embed::decode(Family::Reid128, &[ArrayD::from_shape_vec(vec![1, 256], embedding(p)).unwrap()]);
            assert!(dot(&unit(p).unwrap(), &unit(q).unwrap()) < 0.35, "{p} {q}");
        }
        assert!(embed::decode(Family::Reid128, &play(&mut e, 30, Role::Embed)).is_err(), "nobody has no vector");
    }

    #[test]
    fn the_live_score_is_that_of_the_script() {
        let mut e = engine();
        for (frame, want) in [(3, 0.8), (12, 0.02), (30, 0.0)] {
            near(pad::decode(Family::Minifasnet80, &play(&mut e, frame, Role::Pad)).unwrap().get(), want, 1e-5);
        }
    }

    #[test]
    fn a_script_that_makes_no_sense_is_refused_by_row() {
        for (old, new, says) in [
            ("[0, 9]", "[9, 0]", "rows[0]: frames"),
            ("120, 160]", "0, 160]", "rows[0]: box"),
            ("\"yaw\": 25", "\"yaw\": 95", "rows[0]: an angle"),
            ("\"live\": 0.02", "\"live\": 0", "rows[1]: live"),
            ("[0.1, 0.3]", "[0.1, 3]", "rows[0]: openness"),
            ("\"mouth\"", "\"mouht\"", "mouht"),
            ("[640, 480]", "[640, 0]", "picture"),
        ] {
            let e = Script::parse(&TEXT.replace(old, new)).unwrap_err();
            assert!(e.contains(says), "{new}: {e}");
        }
    }
}
