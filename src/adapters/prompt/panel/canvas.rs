//! A picture in memory that can be drawn on: what goes to a panel, and what becomes a PNG.

use super::draw::Ink;
use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::primitives::Rectangle;
use std::convert::Infallible;
use std::ops::Range;

/// Rows of pixels, the topmost first.
#[derive(Clone, Debug, PartialEq)]
pub struct Canvas<C> {
    size: Size,
    pixels: Vec<C>,
}

impl<C: Ink> Canvas<C> {
    /// A blank one.
    #[must_use]
    pub fn new(size: Size) -> Self {
        Canvas { size, pixels: vec![C::GROUND; size.width as usize * size.height as usize] }
    }

    /// All pixels, row by row.
    #[must_use]
    pub fn pixels(&self) -> &[C] {
        &self.pixels
    }

    /// The pixels of some rows.
    #[must_use]
    pub fn rows(&self, rows: Range<u32>) -> &[C] {
        let width = self.size.width as usize;
        self.pixels.get(rows.start as usize * width..rows.end as usize * width).unwrap_or(&[])
    }

    /// The rows from the first to the last that differs from `other`; all when their sizes do.
    #[must_use]
    pub fn changed(&self, other: &Canvas<C>) -> Option<Range<u32>> {
        if self.size != other.size {
            return Some(0..self.size.height);
        }
        let mut differing = (0..self.size.height).filter(|y| self.rows(*y..y + 1) != other.rows(*y..y + 1));
        let first = differing.next()?;
        Some(first..differing.next_back().unwrap_or(first) + 1)
    }

    /// As red, green and blue.
    #[must_use]
    pub fn picture(&self) -> image::RgbImage {
        image::RgbImage::from_fn(self.size.width, self.size.height, |x, y| {
            let at = (y * self.size.width + x) as usize;
            image::Rgb(self.pixels.get(at).copied().unwrap_or(C::GROUND).rgb())
        })
    }
}

impl<C: Ink> OriginDimensions for Canvas<C> {
    fn size(&self) -> Size {
        self.size
    }
}

impl<C: Ink> DrawTarget for Canvas<C> {
    type Color = C;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<C>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(Point { x, y }, color) in pixels {
            let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { continue };
            if x < self.size.width
                && y < self.size.height
                && let Some(pixel) = self.pixels.get_mut((y * self.size.width + x) as usize)
            {
                *pixel = color;
            }
        }
        Ok(())
    }

    fn fill_solid(&mut self, area: &Rectangle, color: C) -> Result<(), Infallible> {
        let area = area.intersection(&Rectangle::new(Point::zero(), self.size));
        let left = area.top_left.x.unsigned_abs();
        let top = area.top_left.y.unsigned_abs();
        for y in top..top + area.size.height {
            let from = (y * self.size.width + left) as usize;
            if let Some(row) = self.pixels.get_mut(from..from + area.size.width as usize) {
                row.fill(color);
            }
        }
        Ok(())
    }
}
