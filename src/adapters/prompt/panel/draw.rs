//! A [`Screen`] as a picture, on anything that `embedded-graphics` can draw on.
//!
//! * *side*: what goes to the person's left stands at the display's left edge and points there, as in a mirror; the same
//!   on the right. The camera's own mirroring plays no part: the panel faces the person.
//! * *icon*: a shape of its own for each action and verdict. Colours only repeat what shape and text say, so that a
//!   display of one colour, and a person who sees none, miss nothing.
//! * *foot*: a dot for each step (full: done, ringed: now) and a bar that shrinks while time runs.
//!
//! Nothing blinks. The bar only shrinks, and texts that find no room together take turns of [`PAGE`].

mod icon;
mod ink;
mod layout;
mod pen;

pub use ink::Ink;

use super::font::Script;
use crate::adapters::prompt::texts;
use crate::config::LANGUAGES;
use crate::domain::screen::Screen;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{Point, Size};
use embedded_graphics::primitives::{Circle, PrimitiveStyle, Rectangle, StyledDrawable};
use icon::icon;
use layout::{page, parts};
use std::time::Duration;

/// How long one of several texts stands that do not fit together.
pub const PAGE: Duration = Duration::from_millis(1500);

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

/// Whether every text of a screen stands within a display of that size, all at once.
#[cfg(test)]
pub fn fits(screen: &Screen, column: usize, size: Size) -> bool {
    let side = screen.verdict.is_none().then_some(screen.action).flatten().and_then(texts::side);
    let body = Size::new(size.width, size.height - (size.height / 14).max(9));
    layout::arrange(&parts(screen, column), body, side, Script::of(LANGUAGES[column])).is_some()
}

#[cfg(test)]
mod tests;
