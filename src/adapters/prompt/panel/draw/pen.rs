//! Strokes and shapes in a square, as icons are made of.

use super::ink::Ink;
use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{AngleUnit, Point};
use embedded_graphics::primitives::{Arc, Circle, PrimitiveStyle, Rectangle, StyledDrawable};

/// A pen in a square whose sides are 100 long.
pub(super) struct Pen<'a, D: DrawTarget> {
    pub(super) target: &'a mut D,
    pub(super) corner: Point,
    pub(super) side: i32,
    pub(super) ink: D::Color,
}

impl<D> Pen<'_, D>
where
    D: DrawTarget,
    D::Color: Ink,
{
    fn at(&self, x: i32, y: i32) -> Point {
        self.corner + Point::new(x * self.side / 100, y * self.side / 100)
    }

    fn len(&self, part: i32) -> u32 {
        (part * self.side / 100).max(1).unsigned_abs()
    }

    fn stroke(&self) -> PrimitiveStyle<D::Color> {
        PrimitiveStyle::with_stroke(self.ink, self.len(6).max(2))
    }

    fn filled(&self) -> PrimitiveStyle<D::Color> {
        PrimitiveStyle::with_fill(self.ink)
    }

    /// Points joined, with round corners.
    pub(super) fn path(&mut self, points: &[(i32, i32)], thick: i32) -> Result<(), D::Error> {
        let thick = self.len(thick).max(2);
        let points: Vec<Point> = points.iter().map(|p| self.at(p.0, p.1)).collect();
        let ink = self.ink;
        for pair in points.windows(2) {
            self.target.draw_iter(capsule(pair[0], pair[1], thick).map(|p| Pixel(p, ink)))?;
        }
        Ok(())
    }

    pub(super) fn ring(&mut self, x: i32, y: i32, across: i32) -> Result<(), D::Error> {
        let style = self.stroke();
        Circle::with_center(self.at(x, y), self.len(across)).draw_styled(&style, self.target)
    }

    pub(super) fn dot(&mut self, x: i32, y: i32, across: i32) -> Result<(), D::Error> {
        let across = self.len(across).max(2);
        Circle::with_center(self.at(x, y), across).draw_styled(&self.filled(), self.target)
    }

    pub(super) fn triangle(&mut self, a: (i32, i32), b: (i32, i32), c: (i32, i32)) -> Result<(), D::Error> {
        let corners = [a, b, c].map(|p| self.at(p.0, p.1));
        let ink = self.ink;
        self.target.draw_iter(triangle(corners).map(|p| Pixel(p, ink)))
    }

    pub(super) fn block(&mut self, x: i32, y: i32, w: i32, h: i32) -> Result<(), D::Error> {
        let area = Rectangle::with_corners(self.at(x, y), self.at(x + w, y + h));
        self.target.fill_solid(&area, self.ink)
    }

    /// Degrees count clockwise from the right.
    pub(super) fn arc(&mut self, x: i32, y: i32, across: i32, from: f32, sweep: f32) -> Result<(), D::Error> {
        let style = self.stroke();
        let arc = Arc::with_center(self.at(x, y), self.len(across), from.deg(), sweep.deg());
        arc.draw_styled(&style, self.target)
    }
}

/// Every point of a triangle. (Lines and triangles of `embedded-graphics` count in 32 bits, which overflow on a display of
/// 800 pixels; its lines have square ends besides.)
fn triangle(corners: [Point; 3]) -> impl Iterator<Item = Point> {
    let [a, b, c] = corners;
    let rows = a.y.min(b.y).min(c.y)..=a.y.max(b.y).max(c.y);
    let columns = a.x.min(b.x).min(c.x)..=a.x.max(b.x).max(c.x);
    let side = |from: Point, to: Point, p: Point| {
        let wide = |v: i32| i64::from(v);
        wide(to.x - from.x) * wide(p.y - from.y) - wide(to.y - from.y) * wide(p.x - from.x)
    };
    let inside = move |p: &Point| {
        let sides = [side(a, b, *p), side(b, c, *p), side(c, a, *p)];
        sides.iter().all(|s| *s >= 0) || sides.iter().all(|s| *s <= 0)
    };
    rows.flat_map(move |y| columns.clone().map(move |x| Point::new(x, y))).filter(inside)
}

/// Every point within half of `thick` of the line from `a` to `b`.
fn capsule(a: Point, b: Point, thick: u32) -> impl Iterator<Item = Point> {
    let reach = thick.div_ceil(2).cast_signed();
    let (rows, columns) = (a.y.min(b.y) - reach..=a.y.max(b.y) + reach, a.x.min(b.x) - reach..=a.x.max(b.x) + reach);
    let near = move |p: Point| {
        let wide = |v: i32| i64::from(v);
        let (dx, dy) = (wide(b.x - a.x), wide(b.y - a.y));
        let (px, py) = (wide(p.x - a.x), wide(p.y - a.y));
        let square = dx * dx + dy * dy;
        let along = (px * dx + py * dy).clamp(0, square);
        // Both sides of distance <= thick / 2, times the length of the line.
        let (ex, ey) = (px * square - along * dx, py * square - along * dy);
        let limit = i128::from(square) * i128::from(thick);
        let far = i128::from(ex) * i128::from(ex) + i128::from(ey) * i128::from(ey);
        if square == 0 { (px * px + py * py) * 4 <= wide(reach) * wide(reach) * 4 } else { far * 4 <= limit * limit }
    };
    rows.flat_map(move |y| columns.clone().map(move |x| Point::new(x, y))).filter(move |p| near(*p))
}
