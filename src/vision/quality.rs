//! Can this face be decided on? Each refusal says what to do; thresholds are fixed, so that nobody tunes them per person.

use super::warp::Border;
use super::{align::Affine, frame::Picture, warp::warp_affine};
use crate::domain::observation::{Pose, Quality, Rect};

/// What counts as good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Least width of the face box in pixels.
    pub min_face_px: f32,
    /// Least sharpness, see [`Light::sharpness`].
    pub min_sharpness: f32,
    /// Mean luma of the face.
    pub min_luma: f32,
    pub max_luma: f32,
    /// Degrees beyond which identity is not looked at.
    pub max_yaw: f32,
    pub max_pitch: f32,
}

impl Default for Rules {
    /// Measured on the labelled faces (`docs/specification.md`, *Quality*): all sharp pictures pass, the blurred and the
    /// dark samples do not.
    fn default() -> Self {
        Rules {
            min_face_px: 80.0,
            min_sharpness: 0.012,
            min_luma: 30.0,
            max_luma: 235.0,
            max_yaw: 35.0,
            max_pitch: 32.0,
        }
    }
}

/// Light and sharpness of the inner face.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Light {
    /// Mean luma, 0..=255.
    pub luma: f32,
    /// Mean square of the Laplacian over the variance of the luma, in a 64-pixel crop: independent of contrast and of
    /// the size of the face, near zero when only a blur is left.
    pub sharpness: f32,
}

/// Side of the crop that light is measured in.
const SIDE: usize = 64;

/// Measures the middle of the face box.
#[must_use]
pub fn light(picture: &Picture, face: Rect, scratch: &mut Vec<u8>) -> Option<Light> {
    let side = face.w.min(face.h) * 0.7;
    let m = Affine::square([face.x + face.w / 2.0, face.y + face.h / 2.0], side, 0.0, SIDE)?;
    warp_affine(picture, &m, SIDE, SIDE, Border::Replicate, scratch);
    let luma: Vec<f32> = scratch
        .chunks_exact(3)
        .map(|p| 0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2]))
        .collect();
    if luma.len() != SIDE * SIDE {
        return None;
    }
    let n = luma.len() as f32;
    let mean = luma.iter().sum::<f32>() / n;
    let variance = luma.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / n;
    let mut edges = 0.0;
    for y in 1..SIDE - 1 {
        for x in 1..SIDE - 1 {
            let at = |dx: usize, dy: usize| luma[(y + dy - 1) * SIDE + x + dx - 1];
            let l = at(0, 1) + at(2, 1) + at(1, 0) + at(1, 2) - 4.0 * at(1, 1);
            edges += l * l;
        }
    }
    let inner = ((SIDE - 2) * (SIDE - 2)) as f32;
    Some(Light { luma: mean, sharpness: edges / inner / variance.max(1.0) })
}

impl Rules {
    /// The first thing that is wrong.
    #[must_use]
    pub fn judge(&self, face: Rect, pose: &Pose, light: Option<Light>, several: bool) -> Quality {
        let Some(light) = light else { return Quality::TooSmall };
        if several {
            Quality::Several
        } else if face.w < self.min_face_px {
            Quality::TooSmall
        } else if light.luma < self.min_luma {
            Quality::Dark
        } else if light.luma > self.max_luma {
            Quality::Bright
        } else if pose.yaw.abs() > self.max_yaw || pose.pitch.abs() > self.max_pitch {
            Quality::OffPose
        } else if light.sharpness < self.min_sharpness {
            Quality::Blurred
        } else {
            Quality::Ok
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACE: Rect = Rect { x: 20.0, y: 20.0, w: 100.0, h: 100.0 };
    const FRONT: Pose = Pose { yaw: 0.0, pitch: 0.0, roll: 0.0 };

    /// Stripes of a period: short ones are sharp.
    fn stripes(period: u32, dark: u8, light: u8) -> Picture {
        let rgb = (0..200_u32 * 200)
            .flat_map(|i| {
                let phase = f64::from(i % 200) / f64::from(period) * std::f64::consts::TAU;
                let v = f64::from(dark) + (f64::from(light) - f64::from(dark)) * (0.5 + 0.5 * phase.sin());
                [v as u8; 3]
            })
            .collect();
        Picture { width: 200, height: 200, rgb }
    }

    fn judge(p: &Picture, face: Rect, pose: Pose, several: bool) -> Quality {
        Rules::default().judge(face, &pose, light(p, face, &mut Vec::new()), several)
    }

    #[test]
    fn each_fault_is_named() {
        let good = stripes(6, 60, 200);
        assert_eq!(judge(&good, FACE, FRONT, false), Quality::Ok);
        assert_eq!(judge(&good, FACE, FRONT, true), Quality::Several);
        assert_eq!(judge(&good, Rect { w: 40.0, ..FACE }, FRONT, false), Quality::TooSmall);
        assert_eq!(judge(&stripes(6, 0, 20), FACE, FRONT, false), Quality::Dark);
        assert_eq!(judge(&stripes(6, 235, 255), FACE, FRONT, false), Quality::Bright);
        assert_eq!(judge(&stripes(120, 60, 200), FACE, FRONT, false), Quality::Blurred);
        assert_eq!(judge(&good, FACE, Pose { yaw: 50.0, ..FRONT }, false), Quality::OffPose);
        assert_eq!(judge(&good, FACE, Pose { pitch: -40.0, ..FRONT }, false), Quality::OffPose);
    }

    #[test]
    fn a_face_without_area_is_too_small() {
        assert_eq!(judge(&stripes(6, 60, 200), Rect { w: 0.0, ..FACE }, FRONT, false), Quality::TooSmall);
    }
}
