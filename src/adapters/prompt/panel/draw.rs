//! A [`Screen`] as a picture, on anything that `embedded-graphics` can draw on.
//!
//! * *side*: what goes to the person's left stands at the display's left edge and points there, as in a mirror; the same
//!   on the right. The camera's own mirroring plays no part: the panel faces the person.
//! * *icon*: a shape of its own for each action and verdict. Colours only repeat what shape and text say, so that a
//!   display of one colour, and a person who sees none, miss nothing.
//! * *foot*: a dot for each step (full: done, ringed: now) and a bar that shrinks while time runs.
//!
//! Nothing blinks. The bar only shrinks, and texts that find no room together take turns of [`PAGE`].

use super::font::{self, Breaks, Font, Script};
use crate::adapters::prompt::texts::{self, Side};
use crate::config::LANGUAGES;
use crate::domain::screen::{Phase, Screen};
use crate::schema::event::{Action, Verdict};
use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{AngleUnit, Point, Size};
use embedded_graphics::pixelcolor::{BinaryColor, PixelColor, Rgb565, Rgb888, RgbColor};
use embedded_graphics::primitives::{Arc, Circle, PrimitiveStyle, Rectangle, StyledDrawable};
use std::time::Duration;

/// How long one of several texts stands that do not fit together.
pub const PAGE: Duration = Duration::from_millis(1500);

/// What a colour means. On a display of one colour all but the ground are one.
pub trait Ink: PixelColor {
    const GROUND: Self;
    const TEXT: Self;
    const ASK: Self;
    const GOOD: Self;
    const BAD: Self;
    const FAINT: Self;

    /// This colour on the ground, `level` thirds of it.
    #[must_use]
    fn thirds(self, level: u8) -> Self;

    /// Red, green and blue.
    fn rgb(self) -> [u8; 3];

    /// The colour of a light handshake, on a display that has colours.
    fn light(rgb: [u8; 3]) -> Option<Self>;
}

impl Ink for BinaryColor {
    const GROUND: Self = BinaryColor::Off;
    const TEXT: Self = BinaryColor::On;
    const ASK: Self = BinaryColor::On;
    const GOOD: Self = BinaryColor::On;
    const BAD: Self = BinaryColor::On;
    const FAINT: Self = BinaryColor::On;

    fn thirds(self, level: u8) -> Self {
        if level >= 2 { self } else { BinaryColor::Off }
    }

    fn rgb(self) -> [u8; 3] {
        if self.is_on() { [235, 245, 255] } else { [0, 0, 0] }
    }

    fn light(_: [u8; 3]) -> Option<Self> {
        None
    }
}

/// A colour display's ground is black: what is dark does not shine into the camera's picture.
macro_rules! rgb_ink {
    ($color:ty, $widen:expr, $narrow:expr) => {
        impl Ink for $color {
            const GROUND: Self = <$color>::new(0, 0, 0);
            const TEXT: Self = $narrow([255, 255, 255]);
            const ASK: Self = $narrow([255, 204, 64]);
            const GOOD: Self = $narrow([72, 216, 120]);
            const BAD: Self = $narrow([255, 96, 88]);
            const FAINT: Self = $narrow([112, 124, 140]);

            fn thirds(self, level: u8) -> Self {
                let part = |v: u8| u8::try_from(u16::from(v) * u16::from(level.min(3)) / 3).unwrap_or(v);
                <$color>::new(part(self.r()), part(self.g()), part(self.b()))
            }

            fn rgb(self) -> [u8; 3] {
                $widen(self)
            }

            fn light(rgb: [u8; 3]) -> Option<Self> {
                Some($narrow(rgb))
            }
        }
    };
}

const fn narrow_565(c: [u8; 3]) -> Rgb565 {
    Rgb565::new(c[0] >> 3, c[1] >> 2, c[2] >> 3)
}

const fn narrow_888(c: [u8; 3]) -> Rgb888 {
    Rgb888::new(c[0], c[1], c[2])
}

rgb_ink!(Rgb565, |c: Rgb565| [c.r() << 3 | c.r() >> 2, c.g() << 2 | c.g() >> 4, c.b() << 3 | c.b() >> 2], narrow_565);
rgb_ink!(Rgb888, |c: Rgb888| [c.r(), c.g(), c.b()], narrow_888);

/// Draws `screen` in the language of `column`, `elapsed` after it came; says how long the picture stays right.
///
/// # Errors
/// The target's own.
pub fn draw<D>(target: &mut D, screen: &Screen, column: usize, elapsed: Duration) -> Result<Redraw, D::Error>
where
    D: DrawTarget,
    D::Color: Ink,
{
    // The light of a handshake comes from the whole display. One without colours says what to do meanwhile.
    if let Some(light) = screen.light.and_then(D::Color::light) {
        target.clear(light)?;
        return Ok(Redraw::Never);
    }
    target.clear(D::Color::GROUND)?;
    let size = target.bounding_box().size;
    let column = column.min(LANGUAGES.len() - 1);
    let script = Script::of(LANGUAGES[column]);
    let has_foot = screen.verdict.is_none() && (screen.progress.1 > 0 || screen.window_ms > 0);
    let foot = if has_foot { (size.height / 14).max(9) } else { 0 };
    let side = screen.verdict.is_none().then_some(screen.action).flatten().and_then(texts::side);
    let parts = parts(screen, column);
    let body = Size::new(size.width, size.height - foot.min(size.height));
    let (page, pages) = page(&parts, body, side, script, elapsed);

    icon(target, screen, page.icon)?;
    for block in &page.blocks {
        block.draw(target, script)?;
    }
    if has_foot {
        let area = Rectangle::new(Point::new(0, body.height.cast_signed()), Size::new(size.width, foot));
        draw_foot(target, screen, area, elapsed)?;
    }
    let running = has_foot && screen.window_ms > 0 && elapsed < Duration::from_millis(screen.window_ms.into());
    Ok(if running {
        Redraw::Soon
    } else if pages > 1 {
        Redraw::NextPage
    } else {
        Redraw::Never
    })
}

/// When the same screen looks different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redraw {
    Never,
    /// In a tenth of a second: the bar shrinks.
    Soon,
    /// After [`PAGE`].
    NextPage,
    /// After exactly so long.
    After(Duration),
}

/// What a text is for, which is its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Head,
    Good,
    Bad,
    Help,
}

impl Role {
    fn ink<C: Ink>(self) -> C {
        match self {
            Role::Head => C::TEXT,
            Role::Good => C::GOOD,
            Role::Bad => C::BAD,
            Role::Help => C::ASK,
        }
    }
}

/// The texts of a screen, the most important first.
fn parts(screen: &Screen, column: usize) -> Vec<(Role, String)> {
    let mut parts = Vec::new();
    match (screen.verdict, screen.action) {
        (Some(v), _) => {
            let role = match v {
                Verdict::Granted => Role::Good,
                Verdict::Denied => Role::Bad,
                Verdict::TryAgain => Role::Head,
            };
            parts.push((role, texts::verdict(v)[column].to_owned()));
        }
        (None, Some(a)) => {
            parts.push((Role::Head, texts::action(a)[column].to_owned()));
            if screen.left > 1 {
                parts.push((Role::Help, texts::more_times(column, screen.left)));
            }
        }
        (None, None) => parts.push((Role::Head, texts::phase(screen.phase)[column].to_owned())),
    }
    parts.extend(screen.advice.map(|a| (Role::Help, texts::advice(a)[column].to_owned())));
    parts
}

/// Lines of one font in an area, centred.
#[derive(Clone, Debug)]
struct Block {
    font: Font,
    area: Rectangle,
    lines: Vec<(Role, String)>,
    /// More between one text and the next than between lines.
    gaps: i32,
}

impl Block {
    fn new(parts: &[(Role, String)], font: Font, area: Rectangle, script: Script, breaks: Breaks) -> Self {
        let width = area.size.width.cast_signed();
        let mut lines = Vec::new();
        for (role, text) in parts {
            lines.extend(font.wrap(script, text, width, breaks).into_iter().map(|l| (*role, l)));
        }
        let gaps = i32::try_from(parts.len().saturating_sub(1)).unwrap_or(0);
        Block { font, area, lines, gaps }
    }

    fn gap(&self) -> i32 {
        (self.font.line / 4).min(8)
    }

    fn height(&self) -> i32 {
        // The last line needs no room under it.
        let lines = i32::try_from(self.lines.len()).unwrap_or(i32::MAX);
        lines.saturating_mul(self.font.line) + self.gaps * self.gap()
    }

    /// Whether all of it stands within the area, no word broken.
    fn fits(&self, parts: &[(Role, String)], script: Script, breaks: Breaks) -> bool {
        let width = self.area.size.width.cast_signed();
        self.height() <= self.area.size.height.cast_signed()
            && self.lines.iter().all(|(_, l)| self.font.width(script, l) <= width)
            && parts.iter().all(|(_, text)| self.font.breaks_well(script, text, width, breaks))
    }

    fn draw<D>(&self, target: &mut D, script: Script) -> Result<(), D::Error>
    where
        D: DrawTarget,
        D::Color: Ink,
    {
        let spare = self.area.size.height.cast_signed() - self.height();
        let mut y = self.area.top_left.y + spare.max(0) / 2;
        let mut before = self.lines.first().map(|(role, _)| *role);
        for (role, line) in &self.lines {
            if before != Some(*role) {
                y += self.gap();
                before = Some(*role);
            }
            let free = self.area.size.width.cast_signed() - self.font.width(script, line);
            let mut x = self.area.top_left.x + free.max(0) / 2;
            let ink: D::Color = role.ink();
            for glyph in line.chars().filter_map(|c| self.font.glyph(script, c)) {
                let corner = Point::new(x + glyph.left, y + self.font.ascent - glyph.top);
                let pixels =
                    glyph.pixels().map(|(px, py, level)| Pixel(corner + Point::new(px, py), ink.thirds(level)));
                target.draw_iter(pixels)?;
                x += glyph.advance;
            }
            y += self.font.line;
        }
        Ok(())
    }
}

/// Where everything of a screen stands.
#[derive(Clone, Debug)]
struct Page {
    icon: Rectangle,
    blocks: Vec<Block>,
}

/// The page to show now, and how many there are: all texts at once if they fit somehow, else one after another.
fn page(parts: &[(Role, String)], body: Size, side: Option<Side>, script: Script, elapsed: Duration) -> (Page, usize) {
    if let Some(page) = arrange(parts, body, side, script) {
        return (page, 1);
    }
    let turn = elapsed.as_millis() / PAGE.as_millis();
    let now = usize::try_from(turn % parts.len().max(1) as u128).unwrap_or(0);
    let part = parts.get(now..=now).unwrap_or(parts);
    let page = arrange(part, body, side, script).unwrap_or_else(|| {
        let place = &places(body, side)[0];
        Page { icon: place.0, blocks: vec![Block::new(part, smallest(body), place.1, script, Breaks::Anywhere)] }
    });
    (page, parts.len())
}

/// The fonts of a size of display, the best first.
fn fonts(body: Size) -> Vec<Font> {
    let wanted: &[u32] = match body.width.min(body.height) {
        0..100 => &[14, 12],
        100..400 => &[24, 18],
        _ => &[40, 24],
    };
    wanted.iter().filter_map(|px| font::of(*px)).collect()
}

fn smallest(body: Size) -> Font {
    fonts(body).pop().or_else(|| font::all().pop()).expect("fonts.bin holds fonts; a test reads it")
}

/// The first arrangement in which all of `parts` fit: no word broken, then the greatest font, then the greatest icon.
fn arrange(parts: &[(Role, String)], body: Size, side: Option<Side>, script: Script) -> Option<Page> {
    let broken: &[Breaks] =
        if script == Script::Japanese { &[Breaks::Words, Breaks::Anywhere] } else { &[Breaks::Words] };
    broken.iter().find_map(|breaks| arrange_with(parts, body, side, script, *breaks))
}

fn arrange_with(
    parts: &[(Role, String)],
    body: Size,
    side: Option<Side>,
    script: Script,
    breaks: Breaks,
) -> Option<Page> {
    for font in fonts(body) {
        for (icon, beside, under) in places(body, side) {
            let (head, rest) = parts.split_at(parts.len().min(1));
            let blocks: Vec<(&[_], Rectangle)> = match under {
                None => vec![(parts, beside)],
                Some(_) if rest.is_empty() => continue,
                Some(under) => vec![(head, beside), (rest, under)],
            };
            let made: Vec<Block> = blocks.iter().map(|(p, area)| Block::new(p, font, *area, script, breaks)).collect();
            if made.iter().zip(&blocks).all(|(block, (p, _))| block.fits(p, script, breaks)) {
                return Some(Page { icon, blocks: made });
            }
        }
    }
    None
}

/// Icon, text beside it (or under it, on a display that is as high as wide), and for the last a second text under both.
fn places(body: Size, side: Option<Side>) -> Vec<(Rectangle, Rectangle, Option<Rectangle>)> {
    let (w, h) = (body.width.cast_signed(), body.height.cast_signed());
    let margin = (w.min(h) / 32).max(1);
    let rect = |x: i32, y: i32, w: i32, h: i32| {
        Rectangle::new(Point::new(x, y), Size::new(w.max(0).unsigned_abs(), h.max(0).unsigned_abs()))
    };
    let mut places = Vec::new();
    if w * 4 < h * 5 {
        for percent in [52, 36] {
            let icon = (h * percent / 100).min(w) - 2 * margin;
            let x = match side {
                Some(Side::Left) => margin,
                Some(Side::Right) => w - margin - icon,
                None => (w - icon) / 2,
            };
            let top = icon + 2 * margin;
            places.push((rect(x, margin, icon, icon), rect(margin, top, w - 2 * margin, h - top), None));
        }
        return places;
    }
    let beside = |icon: i32, top: i32, high: i32| {
        let wide = w - icon - 4 * margin;
        match side {
            Some(Side::Right) => (rect(w - icon - margin, top, icon, icon), rect(margin, 0, wide, high)),
            _ => (rect(margin, top, icon, icon), rect(icon + 3 * margin, 0, wide, high)),
        }
    };
    for percent in [38, 30, 24] {
        let icon = (w * percent / 100).min(h - 2 * margin);
        let (icon, text) = beside(icon, (h - icon) / 2, h);
        places.push((icon, text, None));
    }
    let icon = h * 36 / 100;
    let (icon, text) = beside(icon, (h / 2 - icon) / 2, h / 2);
    places.push((icon, text, Some(rect(margin, h / 2, w - 2 * margin, h - h / 2))));
    places
}

/// Dots and bar.
fn draw_foot<D>(target: &mut D, screen: &Screen, area: Rectangle, elapsed: Duration) -> Result<(), D::Error>
where
    D: DrawTarget,
    D::Color: Ink,
{
    let high = area.size.height;
    let dot = (high * 7 / 10).max(5) | 1;
    let step = (dot + (dot / 2).max(2)).cast_signed();
    let y = area.top_left.y + (high.cast_signed() - dot.cast_signed()) / 2;
    let mut x = area.top_left.x + (high / 4).max(1).cast_signed();
    let (done, of) = screen.progress;
    let thick = (dot / 7).max(1);
    for i in 0..of {
        let ring = Circle::new(Point::new(x, y), dot);
        if i < done {
            ring.draw_styled(&PrimitiveStyle::with_fill(D::Color::TEXT), target)?;
        } else if i == done {
            ring.draw_styled(&PrimitiveStyle::with_stroke(D::Color::ASK, thick), target)?;
            let core = (dot / 3) | 1;
            Circle::with_center(ring.center(), core).draw_styled(&PrimitiveStyle::with_fill(D::Color::ASK), target)?;
        } else {
            ring.draw_styled(&PrimitiveStyle::with_stroke(D::Color::FAINT, thick), target)?;
        }
        x += step;
    }
    if screen.window_ms == 0 {
        return Ok(());
    }
    x += (high / 4).max(2).cast_signed();
    let end = area.top_left.x + area.size.width.cast_signed() - (high / 4).max(1).cast_signed();
    let whole = (end - x).max(0).unsigned_abs();
    let window = Duration::from_millis(screen.window_ms.into());
    let left = window.saturating_sub(elapsed).as_millis();
    let full = u32::try_from(u128::from(whole) * left / window.as_millis().max(1)).unwrap_or(whole);
    let thin = (high / 8).max(1);
    let bar = (high * 4 / 10).max(3);
    let middle = area.top_left.y + high.cast_signed() / 2;
    let row = |height: u32, width: u32| {
        Rectangle::new(Point::new(x, middle - (height / 2).cast_signed()), Size::new(width, height))
    };
    target.fill_solid(&row(thin, whole), D::Color::FAINT)?;
    target.fill_solid(&row(bar, full), D::Color::ASK)
}

/// A pen in a square whose sides are 100 long.
struct Pen<'a, D: DrawTarget> {
    target: &'a mut D,
    corner: Point,
    side: i32,
    ink: D::Color,
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
    fn path(&mut self, points: &[(i32, i32)], thick: i32) -> Result<(), D::Error> {
        let thick = self.len(thick).max(2);
        let points: Vec<Point> = points.iter().map(|p| self.at(p.0, p.1)).collect();
        let ink = self.ink;
        for pair in points.windows(2) {
            self.target.draw_iter(capsule(pair[0], pair[1], thick).map(|p| Pixel(p, ink)))?;
        }
        Ok(())
    }

    fn ring(&mut self, x: i32, y: i32, across: i32) -> Result<(), D::Error> {
        let style = self.stroke();
        Circle::with_center(self.at(x, y), self.len(across)).draw_styled(&style, self.target)
    }

    fn dot(&mut self, x: i32, y: i32, across: i32) -> Result<(), D::Error> {
        let across = self.len(across).max(2);
        Circle::with_center(self.at(x, y), across).draw_styled(&self.filled(), self.target)
    }

    fn triangle(&mut self, a: (i32, i32), b: (i32, i32), c: (i32, i32)) -> Result<(), D::Error> {
        let corners = [a, b, c].map(|p| self.at(p.0, p.1));
        let ink = self.ink;
        self.target.draw_iter(triangle(corners).map(|p| Pixel(p, ink)))
    }

    fn block(&mut self, x: i32, y: i32, w: i32, h: i32) -> Result<(), D::Error> {
        let area = Rectangle::with_corners(self.at(x, y), self.at(x + w, y + h));
        self.target.fill_solid(&area, self.ink)
    }

    /// Degrees count clockwise from the right.
    fn arc(&mut self, x: i32, y: i32, across: i32, from: f32, sweep: f32) -> Result<(), D::Error> {
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

/// How an eye is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Eye {
    Open,
    Shut,
}

/// How a mouth is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mouth {
    Plain,
    Smile,
    Open,
    Tongue,
}

/// A face around (`x`, `y`), `across` wide. `left` is the eye at the display's left.
fn face<D>(
    pen: &mut Pen<'_, D>,
    (x, y, across): (i32, i32, i32),
    left: Eye,
    right: Eye,
    mouth: Mouth,
) -> Result<(), D::Error>
where
    D: DrawTarget,
    D::Color: Ink,
{
    let part = |p: i32| across * p / 100;
    pen.ring(x, y, across)?;
    for (eye, sign) in [(left, -1), (right, 1)] {
        let at = x + sign * part(20);
        match eye {
            Eye::Open => pen.dot(at, y - part(12), part(14))?,
            Eye::Shut => pen.path(&[(at - part(10), y - part(12)), (at + part(10), y - part(12))], 5)?,
        }
    }
    match mouth {
        Mouth::Plain => pen.path(&[(x - part(16), y + part(22)), (x + part(16), y + part(22))], 5),
        Mouth::Smile => pen.arc(x, y + part(4), part(52), 20.0, 140.0),
        Mouth::Open => pen.dot(x, y + part(20), part(34)),
        Mouth::Tongue => {
            pen.path(&[(x - part(20), y + part(16)), (x + part(20), y + part(16))], 5)?;
            pen.block(x - part(9), y + part(16), part(18), part(14))?;
            pen.dot(x, y + part(30), part(19))
        }
    }
}

/// A big arrow to one side, within the pen's square.
fn big_arrow<D>(pen: &mut Pen<'_, D>, side: Side) -> Result<(), D::Error>
where
    D: DrawTarget,
    D::Color: Ink,
{
    match side {
        Side::Left => {
            pen.triangle((0, 50), (50, 6), (50, 94))?;
            pen.block(48, 33, 50, 34)
        }
        Side::Right => {
            pen.triangle((100, 50), (50, 6), (50, 94))?;
            pen.block(2, 33, 50, 34)
        }
    }
}

/// The shape that says without words what the text says.
fn icon<D>(target: &mut D, screen: &Screen, area: Rectangle) -> Result<(), D::Error>
where
    D: DrawTarget,
    D::Color: Ink,
{
    use Eye::{Open, Shut};
    let ink = match (screen.verdict, screen.action) {
        (Some(Verdict::Granted), _) => D::Color::GOOD,
        (Some(Verdict::Denied), _) => D::Color::BAD,
        (Some(Verdict::TryAgain), _) | (None, Some(_)) => D::Color::ASK,
        (None, None) => D::Color::TEXT,
    };
    let square = area.size.width.min(area.size.height).cast_signed();
    let pen = &mut Pen { target, corner: area.top_left, side: square, ink };
    match (screen.verdict, screen.action) {
        (Some(Verdict::Granted), _) => {
            pen.ring(50, 50, 92)?;
            pen.path(&[(28, 52), (44, 68), (73, 34)], 11)
        }
        (Some(Verdict::Denied), _) => {
            pen.path(&[(14, 14), (86, 86)], 14)?;
            pen.path(&[(86, 14), (14, 86)], 14)
        }
        (Some(Verdict::TryAgain), _) => {
            pen.arc(50, 52, 74, 0.0, 285.0)?;
            pen.triangle((50, 2), (50, 30), (72, 16))
        }
        (None, Some(action)) => match action {
            Action::TurnLeft => big_arrow(pen, Side::Left),
            Action::TurnRight => big_arrow(pen, Side::Right),
            Action::WinkLeft => {
                face(pen, (61, 50, 74), Shut, Open, Mouth::Plain)?;
                pen.triangle((0, 50), (16, 34), (16, 66))
            }
            Action::WinkRight => {
                face(pen, (39, 50, 74), Open, Shut, Mouth::Plain)?;
                pen.triangle((100, 50), (84, 34), (84, 66))
            }
            Action::Centre => {
                face(pen, (50, 50, 50), Open, Open, Mouth::Plain)?;
                pen.triangle((19, 50), (2, 36), (2, 64))?;
                pen.triangle((81, 50), (98, 36), (98, 64))
            }
            Action::Smile => face(pen, (50, 50, 90), Open, Open, Mouth::Smile),
            Action::MouthOpen => face(pen, (50, 50, 90), Open, Open, Mouth::Open),
            Action::Tongue => face(pen, (50, 50, 90), Open, Open, Mouth::Tongue),
            Action::Blink => face(pen, (50, 50, 90), Shut, Shut, Mouth::Plain),
            Action::BrowRaise => {
                face(pen, (36, 50, 68), Open, Open, Mouth::Plain)?;
                pen.path(&[(16, 32), (29, 32)], 5)?;
                pen.path(&[(43, 32), (56, 32)], 5)?;
                pen.triangle((87, 16), (75, 38), (99, 38))?;
                pen.path(&[(87, 36), (87, 72)], 7)
            }
            Action::Nod => {
                face(pen, (36, 50, 68), Open, Open, Mouth::Plain)?;
                pen.triangle((87, 12), (75, 32), (99, 32))?;
                pen.triangle((87, 88), (75, 68), (99, 68))?;
                pen.path(&[(87, 30), (87, 70)], 7)
            }
        },
        (None, None) => match screen.phase {
            // Somebody, not a face: nothing is looked for yet.
            Phase::Idle => {
                pen.ring(50, 30, 42)?;
                pen.arc(50, 96, 80, 180.0, 180.0)?;
                pen.path(&[(10, 96), (90, 96)], 6)
            }
            Phase::Looking => {
                face(pen, (50, 50, 66), Open, Open, Mouth::Plain)?;
                for (x, y) in [(4, 4), (96, 4), (4, 96), (96, 96)] {
                    let (dx, dy) = (if x < 50 { 20 } else { -20 }, if y < 50 { 20 } else { -20 });
                    pen.path(&[(x + dx, y), (x, y), (x, y + dy)], 6)?;
                }
                Ok(())
            }
            Phase::Challenge => [18, 50, 82].into_iter().try_for_each(|x| pen.dot(x, 50, 18)),
            // Something that shines.
            Phase::Light => {
                pen.dot(50, 50, 36)?;
                let rays = [(50, 0, 50, 18), (85, 15, 73, 27), (100, 50, 82, 50), (85, 85, 73, 73)];
                for (x, y, to_x, to_y) in rays {
                    pen.path(&[(x, y), (to_x, to_y)], 7)?;
                    pen.path(&[(100 - x, 100 - y), (100 - to_x, 100 - to_y)], 7)?;
                }
                Ok(())
            }
            Phase::Done => {
                pen.ring(50, 50, 88)?;
                pen.dot(50, 50, 30)
            }
            Phase::Unavailable => {
                pen.ring(50, 50, 92)?;
                pen.block(24, 42, 52, 16)
            }
        },
    }
}

/// Whether every text of a screen stands within a display of that size, all at once.
#[cfg(test)]
pub fn fits(screen: &Screen, column: usize, size: Size) -> bool {
    let side = screen.verdict.is_none().then_some(screen.action).flatten().and_then(texts::side);
    let body = Size::new(size.width, size.height - (size.height / 14).max(9));
    arrange(&parts(screen, column), body, side, Script::of(LANGUAGES[column])).is_some()
}

#[cfg(test)]
mod tests;
