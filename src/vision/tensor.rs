//! Input tensors: a region of a picture as NCHW floats, into buffers that live from frame to frame.

use super::align::{Affine, Point};
use super::family::{InputSpec, Order};
use super::frame::Picture;
use super::warp::{Border, warp_row};
use fast_image_resize as fir;
use ndarray::{Array4, ArrayView4};

/// Where a whole picture lies in a detector's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Letterbox {
    /// Input pixels per picture pixel, on each axis (they differ by rounding only).
    pub scale: [f32; 2],
    /// Input position of the picture's upper left corner.
    pub offset: [f32; 2],
    /// Side of the input.
    pub side: usize,
}

impl Letterbox {
    /// From a position in the input to a position in the picture.
    #[must_use]
    pub fn to_picture(&self, p: Point) -> Point {
        [(p[0] - self.offset[0]) / self.scale[0], (p[1] - self.offset[1]) / self.scale[1]]
    }

    /// From lengths in the input to lengths in the picture.
    #[must_use]
    pub fn lengths(&self, wh: [f32; 2]) -> [f32; 2] {
        [wh[0] / self.scale[0], wh[1] / self.scale[1]]
    }
}

/// Where [`NetInput::letterbox`] puts a picture that does not fill the square.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    TopLeft,
    Centre,
}

/// The input of one network, reused for every frame.
pub struct NetInput {
    order: Order,
    lut: [f32; 256],
    side: usize,
    tensor: Array4<f32>,
    bytes: Vec<u8>,
    resizer: fir::Resizer,
}

impl NetInput {
    /// Buffers for one network.
    #[must_use]
    pub fn new(spec: &InputSpec) -> Self {
        let side = spec.side();
        NetInput {
            order: spec.order,
            lut: std::array::from_fn(|v| spec.lo + (spec.hi - spec.lo) * v as f32 / 255.0),
            side,
            tensor: Array4::zeros((1, 3, side, side)),
            bytes: Vec::new(),
            resizer: fir::Resizer::new(),
        }
    }

    /// The tensor as it was written last.
    #[must_use]
    pub fn view(&self) -> ArrayView4<'_, f32> {
        self.tensor.view()
    }

    /// Writes the crop that `m` describes.
    pub fn warp(&mut self, picture: &Picture, m: &Affine, border: Border) -> ArrayView4<'_, f32> {
        self.bytes.resize(self.side * 3, 0);
        for y in 0..self.side {
            warp_row(picture, m, y, border, &mut self.bytes);
            put_row(&mut self.tensor, &self.lut, self.order, self.side, 0, y, &self.bytes);
        }
        self.tensor.view()
    }

    /// Writes the whole picture, scaled to fit and padded with black. `None` for an empty or malformed picture.
    ///
    /// Shrinking averages over areas, as the detectors expect (`INTER_AREA`). A box filter is exactly that for whole
    /// ratios, which cameras' sizes give (640 -> 320, 1280 -> 320, 1920 -> 320); between whole ratios a box would repeat
    /// and drop pixels, so there a triangle of the ratio's width is used.
    pub fn letterbox(&mut self, picture: &Picture, place: Place) -> Option<Letterbox> {
        let side = self.side as u32;
        let (w, h) = (picture.width, picture.height);
        let k = f64::from(side) / f64::from(w.max(h).max(1));
        let fit = |len: u32| ((f64::from(len) * k).round() as u32).clamp(1, side);
        let (nw, nh) = (fit(w), fit(h));
        let source = fir::images::ImageRef::new(w, h, &picture.rgb, fir::PixelType::U8x3).ok()?;
        if w == 0 || h == 0 {
            return None;
        }
        let bytes = (nw * nh * 3) as usize;
        self.bytes.resize(bytes, 0);
        if (nw, nh) == (w, h) {
            self.bytes.copy_from_slice(&picture.rgb[..bytes]);
        } else {
            let whole = w % nw == 0 && h % nh == 0;
            let filter = if whole { fir::FilterType::Box } else { fir::FilterType::Bilinear };
            let mut target = fir::images::Image::from_slice_u8(nw, nh, &mut self.bytes, fir::PixelType::U8x3).ok()?;
            let options = fir::ResizeOptions::new().resize_alg(fir::ResizeAlg::Convolution(filter));
            self.resizer.resize(&source, &mut target, &options).ok()?;
        }
        let offset = |n: u32| if place == Place::Centre { (side - n) / 2 } else { 0 };
        let (dx, dy) = (offset(nw), offset(nh));
        if (nw, nh) != (side, side) {
            self.tensor.fill(self.lut[0]);
        }
        for (y, row) in self.bytes.chunks_exact(nw as usize * 3).enumerate() {
            put_row(&mut self.tensor, &self.lut, self.order, self.side, dx as usize, y + dy as usize, row);
        }
        Some(Letterbox {
            scale: [nw as f32 / w as f32, nh as f32 / h as f32],
            offset: [dx as f32, dy as f32],
            side: self.side,
        })
    }
}

/// Spreads one row of RGB bytes over the three planes.
fn put_row(tensor: &mut Array4<f32>, lut: &[f32; 256], order: Order, side: usize, x: usize, y: usize, rgb: &[u8]) {
    let planes = tensor.as_slice_mut().expect("an owned array in standard layout is one slice");
    let len = rgb.len() / 3;
    for (plane, values) in planes.chunks_exact_mut(side * side).enumerate() {
        let channel = if order == Order::Rgb { plane } else { 2 - plane };
        let out = &mut values[y * side + x..][..len];
        for (o, pixel) in out.iter_mut().zip(rgb.chunks_exact(3)) {
            *o = lut[usize::from(pixel[channel])];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(side: usize, order: Order, lo: f32, hi: f32) -> InputSpec {
        InputSpec { name: "input".into(), shape: [1, 3, side, side], order, lo, hi }
    }

    fn flat(width: u32, height: u32, rgb: [u8; 3]) -> Picture {
        Picture { width, height, rgb: rgb.repeat((width * height) as usize) }
    }

    #[test]
    fn planes_come_in_the_order_and_range_of_the_contract() {
        let p = flat(4, 4, [0, 51, 255]);
        let m = Affine::new([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]).unwrap();
        let mut bgr = NetInput::new(&spec(4, Order::Bgr, 0.0, 255.0));
        let t = bgr.warp(&p, &m, Border::Zero);
        assert_eq!([t[[0, 0, 1, 1]], t[[0, 1, 1, 1]], t[[0, 2, 1, 1]]], [255.0, 51.0, 0.0]);
        let mut rgb = NetInput::new(&spec(4, Order::Rgb, -1.0, 1.0));
        let t = rgb.warp(&p, &m, Border::Zero);
        assert_eq!([t[[0, 0, 1, 1]], t[[0, 1, 1, 1]], t[[0, 2, 1, 1]]], [-1.0, -0.6, 1.0]);
    }

    #[test]
    fn a_wide_picture_lies_at_the_top_left_and_the_rest_is_black() {
        let mut input = NetInput::new(&spec(32, Order::Rgb, 0.0, 255.0));
        // A first picture that fills everything, to see that nothing of it stays.
        input.letterbox(&flat(64, 64, [9, 9, 9]), Place::TopLeft).unwrap();
        let l = input.letterbox(&flat(64, 48, [200, 100, 50]), Place::TopLeft).unwrap();
        assert_eq!(l, Letterbox { scale: [0.5, 0.5], offset: [0.0, 0.0], side: 32 });
        let t = input.view();
        assert_eq!(t[[0, 0, 23, 31]], 200.0);
        assert_eq!(t[[0, 0, 24, 0]], 0.0);
        assert_eq!(l.to_picture([16.0, 12.0]), [32.0, 24.0]);
    }

    #[test]
    fn a_centred_picture_has_black_above_and_below() {
        let mut input = NetInput::new(&spec(128, Order::Rgb, -1.0, 1.0));
        let l = input.letterbox(&flat(640, 480, [255, 255, 255]), Place::Centre).unwrap();
        assert_eq!((l.offset, l.scale), ([0.0, 16.0], [0.2, 0.2]));
        let t = input.view();
        assert_eq!([t[[0, 0, 15, 5]], t[[0, 0, 16, 5]], t[[0, 0, 111, 5]], t[[0, 0, 112, 5]]], [-1.0, 1.0, 1.0, -1.0]);
        assert_eq!(l.to_picture([64.0, 64.0]), [320.0, 240.0]);
    }

    #[test]
    fn halving_averages_four_pixels() {
        let mut p = flat(64, 64, [0, 0, 0]);
        for (i, v) in [(0, 10), (1, 20), (64, 30), (65, 40)] {
            p.rgb[i * 3] = v;
        }
        let mut input = NetInput::new(&spec(32, Order::Rgb, 0.0, 255.0));
        input.letterbox(&p, Place::TopLeft).unwrap();
        assert_eq!(input.view()[[0, 0, 0, 0]], 25.0);
        assert_eq!(input.view()[[0, 0, 0, 1]], 0.0);
    }

    #[test]
    fn a_picture_whose_bytes_do_not_match_its_size_is_refused() {
        let mut input = NetInput::new(&spec(32, Order::Rgb, 0.0, 255.0));
        assert!(input.letterbox(&Picture { width: 64, height: 64, rgb: vec![0; 7] }, Place::TopLeft).is_none());
        assert!(input.letterbox(&Picture { width: 0, height: 0, rgb: vec![] }, Place::TopLeft).is_none());
    }
}
