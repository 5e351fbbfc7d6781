//! Is anything moving in front of the camera? Asked of every frame while nobody is there, so it must cost nearly nothing.
//!
//! A compressed frame tells by its length: the same scene compresses to the same size within the noise, somebody who
//! steps in changes it. Raw frames are sampled on a coarse grid of luma. A frame that is passed over costs no decoding;
//! every two seconds one is looked at whatever it seems.

use super::frame::{Frame, PixelFormat};
use crate::base::time::Tick;
use std::time::Duration;

/// Looked at least this often.
const EVERY: Duration = Duration::from_secs(2);
/// Relative change of a JPEG's length that means motion. A static scene at constant quality varies by about 0.3 %.
const LENGTH_CHANGE: f32 = 0.015;
/// Mean change of the sampled luma that means motion, in grey levels.
const LUMA_CHANGE: f32 = 2.5;
/// Samples on each axis.
const GRID: usize = 40;

/// Remembers what the empty scene looks like.
#[derive(Debug, Default)]
pub struct Motion {
    length: Option<f32>,
    grid: Vec<u8>,
    looked: Option<Tick>,
}

impl Motion {
    /// Whether the frame should be looked at.
    pub fn worth_looking(&mut self, frame: &Frame) -> bool {
        let moved = match frame.format {
            PixelFormat::Jpeg => self.length_changed(frame.data.len()),
            PixelFormat::Rgb => self.grid_changed(frame, 3),
            PixelFormat::Yuyv => self.grid_changed(frame, 2),
            PixelFormat::Grey | PixelFormat::Nv12 => self.grid_changed(frame, 1),
        };
        let due = self.looked.is_none_or(|l| frame.captured.since(l) >= EVERY);
        if moved || due {
            self.looked = Some(frame.captured);
        }
        moved || due
    }

    fn length_changed(&mut self, bytes: usize) -> bool {
        let now = bytes as f32;
        let Some(usual) = self.length else {
            self.length = Some(now);
            return true;
        };
        // The memory follows slowly, so that light that changes over minutes is no motion.
        self.length = Some(usual * 0.9 + now * 0.1);
        (now - usual).abs() > usual * LENGTH_CHANGE
    }

    fn grid_changed(&mut self, frame: &Frame, stride: usize) -> bool {
        let (w, h) = (frame.width as usize, frame.height as usize);
        if w == 0 || h == 0 || frame.data.len() < w * h * stride {
            return true;
        }
        // Green stands for luma in RGB; YUYV, NV12 and GREY have luma first.
        let offset = usize::from(stride == 3);
        let samples: Vec<u8> = (0..GRID * GRID)
            .map(|i| {
                let (x, y) = ((i % GRID) * w / GRID, (i / GRID) * h / GRID);
                frame.data[(y * w + x) * stride + offset]
            })
            .collect();
        let before = std::mem::replace(&mut self.grid, samples);
        if before.len() != self.grid.len() {
            return true;
        }
        let change: u32 = before.iter().zip(&self.grid).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        change as f32 / self.grid.len() as f32 > LUMA_CHANGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::frame::Rotation;

    fn frame(ms: u64, format: PixelFormat, data: Vec<u8>) -> Frame {
        let captured = Tick::from_millis(ms);
        Frame { seq: ms, captured, epoch: 0, format, width: 80, height: 60, rotation: Rotation::None, data }
    }

    #[test]
    fn a_still_scene_is_looked_at_every_two_seconds_only() {
        let mut m = Motion::default();
        let looked: Vec<u64> = (0..100)
            .map(|i| i * 66)
            .filter(|ms| m.worth_looking(&frame(*ms, PixelFormat::Jpeg, vec![0; 30_000 + (*ms as usize % 40)])))
            .collect();
        assert!(looked.len() <= 5, "{looked:?}");
    }

    #[test]
    fn somebody_who_steps_in_is_seen_at_once() {
        let mut m = Motion::default();
        for ms in [0, 66, 132] {
            m.worth_looking(&frame(ms, PixelFormat::Jpeg, vec![0; 30_000]));
        }
        assert!(m.worth_looking(&frame(198, PixelFormat::Jpeg, vec![0; 31_000])));
        let mut m = Motion::default();
        m.worth_looking(&frame(0, PixelFormat::Grey, vec![100; 4800]));
        assert!(!m.worth_looking(&frame(66, PixelFormat::Grey, vec![101; 4800])));
        let mut data = vec![100; 4800];
        data[..1000].fill(200);
        assert!(m.worth_looking(&frame(132, PixelFormat::Grey, data)));
    }

    #[test]
    fn a_frame_too_short_for_its_size_is_for_the_decoder_to_refuse() {
        assert!(Motion::default().worth_looking(&frame(0, PixelFormat::Yuyv, vec![0; 5])));
    }
}
