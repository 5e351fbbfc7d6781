//! Head pose and signals from the 468 points of a mesh.
//!
//! * *rigid points*: brow bone, nose bridge, cheek bones, temples and eye corners, which expressions hardly move.
//! * *head axes*: the points turned back to a frontal face, so that a turned head does not look like an open mouth.

use super::facemesh::{Mesh, index};
use crate::domain::observation::{Pose, Signals};
use nalgebra::{Matrix3, Vector3};

/// Rigid points of a mean face with their positions: x to the right of the image, y down, z away from the camera, in
/// outer-eye distances about the middle of the eyes. Made by Procrustes averaging of 341 near-frontal meshes and made
/// symmetric; it is a geometry and nobody's face.
const RIGID: [(usize, [f64; 3]); 43] = [
    (127, [-0.7862, 0.1439, 0.4335]),
    (356, [0.7862, 0.1439, 0.4335]),
    (234, [-0.7850, 0.1626, 0.4375]),
    (454, [0.7850, 0.1626, 0.4375]),
    (162, [-0.7559, -0.0998, 0.3495]),
    (389, [0.7559, -0.0998, 0.3495]),
    (21, [-0.7164, -0.2402, 0.2366]),
    (251, [0.7164, -0.2402, 0.2366]),
    (70, [-0.6360, -0.1791, 0.0388]),
    (300, [0.6360, -0.1791, 0.0388]),
    (63, [-0.5642, -0.2536, -0.0458]),
    (293, [0.5642, -0.2536, -0.0458]),
    (105, [-0.4433, -0.2708, -0.1342]),
    (334, [0.4433, -0.2708, -0.1342]),
    (66, [-0.3100, -0.2850, -0.1927]),
    (296, [0.3100, -0.2850, -0.1927]),
    (107, [-0.1563, -0.2708, -0.2263]),
    (336, [0.1563, -0.2708, -0.2263]),
    (50, [-0.5426, 0.3288, -0.0850]),
    (280, [0.5426, 0.3288, -0.0850]),
    (205, [-0.4494, 0.4208, -0.1456]),
    (425, [0.4494, 0.4208, -0.1456]),
    (117, [-0.5331, 0.1276, -0.0188]),
    (346, [0.5331, 0.1276, -0.0188]),
    (123, [-0.6963, 0.3251, 0.0979]),
    (352, [0.6963, 0.3251, 0.0979]),
    (116, [-0.6848, 0.1015, 0.1226]),
    (345, [0.6848, 0.1015, 0.1226]),
    (109, [-0.2118, -0.6394, -0.1129]),
    (338, [0.2118, -0.6394, -0.1129]),
    (33, [-0.5000, 0.0000, 0.0000]),
    (263, [0.5000, 0.0000, 0.0000]),
    (133, [-0.2188, -0.0004, -0.0604]),
    (362, [0.2188, -0.0004, -0.0604]),
    (9, [0.0000, -0.2591, -0.2346]),
    (8, [0.0000, -0.1623, -0.2290]),
    (168, [0.0000, -0.0868, -0.2288]),
    (6, [0.0000, -0.0094, -0.2826]),
    (197, [0.0000, 0.0648, -0.3424]),
    (195, [0.0000, 0.1436, -0.3921]),
    (5, [0.0000, 0.2128, -0.4663]),
    (10, [0.0000, -0.6477, -0.1306]),
    (151, [0.0000, -0.4636, -0.1855]),
];

/// Pose by orthogonal Procrustes (Kabsch) of the rigid points against the mean face. `None` when the points lie on a
/// line or are not finite.
#[must_use]
pub fn pose(mesh: &Mesh) -> Option<(Pose, Matrix3<f64>)> {
    let n = RIGID.len() as f64;
    let at = |i: usize| Vector3::from(mesh.points[i].map(f64::from));
    let centre = RIGID.iter().map(|(i, _)| at(*i)).sum::<Vector3<f64>>() / n;
    let mean = RIGID.iter().map(|(_, p)| Vector3::from(*p)).sum::<Vector3<f64>>() / n;
    let covariance =
        RIGID.iter().map(|(i, p)| (at(*i) - centre) * (Vector3::from(*p) - mean).transpose()).sum::<Matrix3<f64>>();
    if !covariance.iter().all(|v| v.is_finite()) {
        return None;
    }
    let svd = covariance.svd(true, true);
    let (u, v_t) = (svd.u?, svd.v_t?);
    let handed = (u * v_t).determinant().signum();
    let turn = u * Matrix3::from_diagonal(&Vector3::new(1.0, 1.0, handed)) * v_t;
    let nose = turn * Vector3::new(0.0, 0.0, -1.0);
    let side = turn * Vector3::new(1.0, 0.0, 0.0);
    let degrees = |r: f64| r.to_degrees() as f32;
    let pose = Pose {
        yaw: degrees(nose.x.atan2(-nose.z)),
        pitch: degrees((-nose.y).clamp(-1.0, 1.0).asin()),
        roll: degrees(side.y.atan2(side.x)),
    };
    [pose.yaw, pose.pitch, pose.roll].iter().all(|v| v.is_finite()).then_some((pose, turn))
}

/// Signals in head axes; `turn` is the rotation that [`pose`] found. Eyes are filled in by their own network.
#[must_use]
pub fn signals(mesh: &Mesh, turn: &Matrix3<f64>) -> Signals {
    let back = turn.transpose();
    let head = |i: usize| back * Vector3::from(mesh.points[i].map(f64::from));
    let (eye_l, eye_r) = (head(index::LEFT_EYE_OUTER), head(index::RIGHT_EYE_OUTER));
    let unit = (eye_r - eye_l).norm().max(1e-6);
    let (up, low) = (head(index::LIP_UPPER), head(index::LIP_LOWER));
    let (left, right) = (head(index::MOUTH_LEFT), head(index::MOUTH_RIGHT));
    let brows = (head(105) + head(334)) / 2.0;
    let rel = |v: f64| (v / unit) as f32;
    Signals {
        openness: None,
        tongue: None,
        mouth_gap: rel(low.y - up.y),
        mouth_width: rel((right - left).norm()),
        corner_lift: rel((up.y + low.y) / 2.0 - (left.y + right.y) / 2.0),
        brow: rel((eye_l.y + eye_r.y) / 2.0 - brows.y),
        bridge: mesh.xy(168),
        eye_px: unit as f32,
    }
}

/// Yaw from five detector points when there is no mesh: an offset of the nose by 0.22 eye distances is about 20 degrees.
#[must_use]
pub fn five_point_yaw(eyes: [[f32; 2]; 2], nose: [f32; 2]) -> f32 {
    let [l, r] = eyes;
    let (dx, dy) = (r[0] - l[0], r[1] - l[1]);
    let length = dx.hypot(dy).max(1.0);
    let middle = [(l[0] + r[0]) / 2.0, (l[1] + r[1]) / 2.0];
    let along = ((nose[0] - middle[0]) * dx + (nose[1] - middle[1]) * dy) / (length * length);
    (along / 0.22 * 20.0).clamp(-90.0, 90.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::facemesh::{POINTS, Roi};
    use nalgebra::Rotation3;

    /// The mean face turned, scaled to 100 px and moved into a picture.
    fn turned(yaw: f64, pitch: f64, roll: f64) -> Mesh {
        // Yaw about the vertical axis moves the nose to the right, pitch moves it up, roll turns clockwise.
        let r = Rotation3::from_axis_angle(&Vector3::z_axis(), roll.to_radians())
            * Rotation3::from_axis_angle(&Vector3::y_axis(), -yaw.to_radians())
            * Rotation3::from_axis_angle(&Vector3::x_axis(), -pitch.to_radians());
        let mut points = Box::new([[0.0_f32; 3]; POINTS]);
        for (i, p) in RIGID {
            let q = r * Vector3::from(p) * 100.0 + Vector3::new(320.0, 240.0, 0.0);
            points[i] = [q.x as f32, q.y as f32, q.z as f32];
        }
        Mesh { points, probability: 1.0, roi: Roi { centre: [320.0, 240.0], side: 300.0, angle: 0.0 } }
    }

    #[test]
    fn a_turned_mean_face_tells_its_angles() {
        for (yaw, pitch, roll) in
            [(0.0, 0.0, 0.0), (35.0, 0.0, 0.0), (-50.0, 0.0, 0.0), (0.0, 30.0, 0.0), (0.0, -25.0, 0.0)]
        {
            let (p, _) = pose(&turned(yaw, pitch, roll)).expect("a face");
            let near = |a: f32, b: f64| (f64::from(a) - b).abs() < 0.5;
            assert!(near(p.yaw, yaw) && near(p.pitch, pitch) && near(p.roll, roll), "{p:?} for {yaw} {pitch} {roll}");
        }
        let (p, _) = pose(&turned(0.0, 0.0, 20.0)).expect("a face");
        assert!((p.roll - 20.0).abs() < 0.5, "{p:?}");
    }

    #[test]
    fn signals_do_not_change_with_the_pose() {
        let of = |m: &Mesh| pose(m).map(|(_, r)| signals(m, &r).brow).expect("a face");
        assert!((of(&turned(0.0, 0.0, 0.0)) - of(&turned(40.0, 0.0, 10.0))).abs() < 0.01);
    }

    #[test]
    fn points_that_are_no_face_have_no_pose() {
        let mut m = turned(0.0, 0.0, 0.0);
        m.points[33] = [f32::NAN; 3];
        assert!(pose(&m).is_none());
    }

    #[test]
    fn the_nose_tells_the_side_without_a_mesh() {
        let eyes = [[100.0, 100.0], [200.0, 100.0]];
        assert!((five_point_yaw(eyes, [172.0, 150.0]) - 20.0).abs() < 0.1);
        assert!(five_point_yaw(eyes, [120.0, 150.0]) < -20.0);
    }
}
