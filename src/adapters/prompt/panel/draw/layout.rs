//! Where icon and texts of a screen stand: all texts at once if they fit somehow, else one after another.

use super::PAGE;
use super::ink::Ink;
use crate::adapters::prompt::panel::font::{self, Breaks, Font, Script};
use crate::adapters::prompt::texts::{self, Side};
use crate::domain::screen::Screen;
use crate::schema::event::Verdict;
use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{Point, Size};
use embedded_graphics::primitives::Rectangle;
use std::time::Duration;

/// What a text is for, which is its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
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
pub(super) fn parts(screen: &Screen, column: usize) -> Vec<(Role, String)> {
    let mut parts = Vec::new();
    if let Some(setup) = &screen.setup {
        let roles = [Role::Head].into_iter().chain(std::iter::repeat(Role::Help));
        return roles.zip(texts::set_up(setup, column)).collect();
    }
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
pub(super) struct Block {
    font: Font,
    pub(super) area: Rectangle,
    pub(super) lines: Vec<(Role, String)>,
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

    pub(super) fn draw<D>(&self, target: &mut D, script: Script) -> Result<(), D::Error>
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
pub(super) struct Page {
    pub(super) icon: Rectangle,
    pub(super) blocks: Vec<Block>,
}

/// The page to show now, and how many there are: all texts at once if they fit somehow, else one after another.
pub(super) fn page(
    parts: &[(Role, String)],
    body: Size,
    side: Option<Side>,
    script: Script,
    elapsed: Duration,
) -> (Page, usize) {
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
pub(super) fn arrange(parts: &[(Role, String)], body: Size, side: Option<Side>, script: Script) -> Option<Page> {
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
