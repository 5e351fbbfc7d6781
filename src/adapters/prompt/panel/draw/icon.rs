//! A shape of its own for each action, verdict and phase, which says without words what the text says.

use super::ink::Ink;
use super::pen::Pen;
use crate::adapters::prompt::texts::Side;
use crate::domain::screen::{Phase, Screen};
use crate::schema::event::{Action, Verdict};
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::primitives::Rectangle;

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
pub(super) fn icon<D>(target: &mut D, screen: &Screen, area: Rectangle) -> Result<(), D::Error>
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
