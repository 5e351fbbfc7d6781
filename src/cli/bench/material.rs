//! What is measured on: frames, and galleries of people who do not exist.

use crate::adapters::camera::file::{ClipOptions, ClipReader};
use crate::base::time::Tick;
use crate::cli::{Code, Failure, clip::clip_failure};
use crate::domain::observation::Embedding;
use crate::ports::NextFrame;
use crate::schema::ids::PersonId;
use crate::vision::decode::{Limits, decode};
use crate::vision::frame::{Frame, Picture, PixelFormat, Rotation};
use image::codecs::jpeg::JpegEncoder;
use std::path::Path;

/// What cameras of terminals deliver, and the size that all figures are for.
const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;
/// Frames that are kept of a clip at most, spread over it.
const KEEP: usize = 16;
/// Frames of a clip that are read at most.
const READ: usize = 600;
/// A webcam's usual quality.
const QUALITY: u8 = 85;

/// 640x480 JPEG frames, numbered and stamped as they would come from a camera.
pub(super) fn frames(dir: Option<&Path>) -> Result<Vec<Frame>, Failure> {
    let Some(dir) = dir else { return Ok(vec![jpeg_frame(&synthetic(7))?]) };
    let mut reader = ClipReader::open(dir, ClipOptions::default()).map_err(clip_failure)?;
    // Thinned while it is read: a long clip in memory would be the peak that is measured.
    let (mut frames, mut step) = (Vec::new(), 1);
    for number in 0..READ {
        match reader.read().map_err(clip_failure)? {
            NextFrame::Frame(frame) if number % step == 0 => {
                let Ok(picture) = decode(&frame, &Limits::default()) else { continue };
                frames.push(fit(&frame, &picture)?);
            }
            NextFrame::End => break,
            NextFrame::Frame(_) | NextFrame::Torn(_) | NextFrame::Stalled => {}
        }
        if frames.len() > KEEP {
            frames = frames.into_iter().step_by(2).collect();
            step *= 2;
        }
    }
    if frames.is_empty() {
        let what = "no frame in it can be decoded";
        return Err(Failure::new(Code::BadInput, dir.display().to_string(), what, "give a directory of JPEG pictures"));
    }
    Ok(frames)
}

/// A camera's own JPEG of the right size stays as it is; anything else is scaled to fit and encoded.
fn fit(frame: &Frame, picture: &Picture) -> Result<Frame, Failure> {
    let upright = frame.rotation == Rotation::None;
    if frame.format == PixelFormat::Jpeg && upright && (picture.width, picture.height) == (WIDTH, HEIGHT) {
        return Ok(Frame { epoch: 0, ..frame.clone() });
    }
    jpeg_frame(&boxed(picture))
}

/// The whole picture in the middle of a black one of 640x480.
fn boxed(picture: &Picture) -> Picture {
    let scale = (f64::from(WIDTH) / f64::from(picture.width)).min(f64::from(HEIGHT) / f64::from(picture.height));
    let side = |len: u32, most: u32| ((f64::from(len) * scale).round() as u32).clamp(1, most);
    let small = picture.resized(side(picture.width, WIDTH), side(picture.height, HEIGHT));
    let (left, top) = ((WIDTH - small.width) / 2, (HEIGHT - small.height) / 2);
    let mut rgb = vec![0; (WIDTH * HEIGHT * 3) as usize];
    for (y, row) in small.rgb.chunks_exact(small.width as usize * 3).enumerate() {
        let at = ((y as u32 + top) * WIDTH + left) as usize * 3;
        rgb[at..at + row.len()].copy_from_slice(row);
    }
    Picture { width: WIDTH, height: HEIGHT, rgb }
}

fn jpeg_frame(picture: &Picture) -> Result<Frame, Failure> {
    let mut data = Vec::new();
    JpegEncoder::new_with_quality(&mut data, QUALITY)
        .encode(&picture.rgb, picture.width, picture.height, image::ExtendedColorType::Rgb8)
        .map_err(|e| Failure::new(Code::Internal, "bench", format!("encode a JPEG: {e}"), "please report this"))?;
    Ok(Frame {
        seq: 0,
        captured: Tick::ZERO,
        epoch: 0,
        format: PixelFormat::Jpeg,
        width: 0,
        height: 0,
        rotation: Rotation::None,
        data,
    })
}

/// The same room with nobody in it, with another noise of the sensor in each frame.
pub(super) fn empty_room() -> Result<Vec<Frame>, Failure> {
    (7..15).map(|seed| jpeg_frame(&synthetic(seed))).collect()
}

/// Slopes with a texture, about as hard to encode as a room; nobody is in it.
fn synthetic(seed: u64) -> Picture {
    let mut noise = Noise(seed);
    let pixel = |i: u32| {
        let (x, y) = (i % WIDTH, i / WIDTH);
        let grain = (noise.next() >> 60) as u32;
        [x * 160 / WIDTH + 40, y * 160 / HEIGHT + 40, (x + y) * 120 / (WIDTH + HEIGHT) + 60].map(|v| (v + grain) as u8)
    };
    Picture { width: WIDTH, height: HEIGHT, rgb: (0..WIDTH * HEIGHT).flat_map(pixel).collect() }
}

/// `n` people with one unit vector of `dim` numbers each, the same at every call.
pub(super) fn crowd(n: usize, dim: usize) -> impl Iterator<Item = (PersonId, Embedding)> {
    let mut noise = Noise(1);
    (0..n).map(move |i| {
        let id = PersonId::new(&format!("p{i:06}")).expect("a letter and digits are a name");
        (id, unit(&mut noise, dim))
    })
}

/// One more face, known to nobody.
pub(super) fn probe(dim: usize) -> Embedding {
    unit(&mut Noise(2), dim)
}

fn unit(noise: &mut Noise, dim: usize) -> Embedding {
    let raw: Vec<f32> = (0..dim).map(|_| (noise.next() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect();
    let length = raw.iter().map(|v| v * v).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    raw.iter().map(|v| v / length).collect()
}

/// SplitMix64: a few lines that give the same numbers everywhere.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_the_same_every_time_and_nobody_is_like_another() {
        let one: Vec<_> = crowd(50, 256).collect();
        assert_eq!(one, crowd(50, 256).collect::<Vec<_>>());
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
        assert!((dot(&one[3].1, &one[3].1) - 1.0).abs() < 1e-4);
        assert!(dot(&one[3].1, &one[4].1).abs() < 0.4);
        assert!(dot(&one[0].1, &probe(256)).abs() < 0.4);
    }

    #[test]
    fn without_a_directory_there_is_one_picture_of_640_by_480() {
        let all = frames(None).unwrap();
        let picture = decode(&all[0], &Limits::default()).unwrap();
        assert_eq!((all.len(), picture.width, picture.height), (1, 640, 480));
    }

    #[test]
    fn other_sizes_are_boxed_without_being_stretched() {
        let white = Picture { width: 100, height: 200, rgb: vec![255; 100 * 200 * 3] };
        let p = boxed(&white);
        let at = |x: usize, y: usize| p.rgb[(y * 640 + x) * 3];
        assert_eq!((p.width, p.height, p.rgb.len()), (640, 480, 640 * 480 * 3));
        assert_eq!((at(320, 0), at(320, 479), at(201, 240), at(438, 240)), (255, 255, 255, 255));
        assert_eq!((at(198, 240), at(441, 240)), (0, 0));
    }

    #[test]
    fn a_directory_without_pictures_is_bad_input_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let e = frames(Some(dir.path())).unwrap_err();
        assert_eq!(e.code, Code::BadInput);
        assert!(e.to_string().contains(&dir.path().display().to_string()), "{e}");
    }
}
