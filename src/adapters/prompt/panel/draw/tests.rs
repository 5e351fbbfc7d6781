use super::layout::{Role, arrange};
use super::*;
use crate::adapters::prompt::panel::canvas::Canvas;
use crate::adapters::prompt::panel::sheet;
use crate::domain::screen::Phase;
use crate::schema::event::Action;
use embedded_graphics::pixelcolor::{BinaryColor, Rgb565, Rgb888};
use std::collections::HashMap;

const NOW: Duration = Duration::ZERO;

fn shown<C: Ink>(size: Size, screen: &Screen, column: usize, elapsed: Duration) -> Canvas<C> {
    let mut canvas = Canvas::new(size);
    draw(&mut canvas, screen, column, elapsed).expect("memory does not fail");
    canvas
}

fn asking(action: Action) -> Screen {
    Screen { phase: Phase::Challenge, action: Some(action), progress: (1, 3), window_ms: 2500, ..Screen::IDLE }
}

/// Pixels lit in the left and in the right third.
fn thirds<C: Ink>(canvas: &Canvas<C>, size: Size) -> (usize, usize) {
    let lit = |from: u32, to: u32| {
        let row =
            |y: u32| canvas.rows(y..y + 1)[from as usize..to as usize].iter().filter(|c| **c != C::GROUND).count();
        (0..size.height * 8 / 10).map(row).sum()
    };
    (lit(0, size.width / 3), lit(size.width - size.width / 3, size.width))
}

#[test]
fn every_text_of_every_screen_stands_within_its_place_in_every_language_and_size() {
    let mut in_turns = 0;
    for size in sheet::SIZES {
        for (column, language) in LANGUAGES.iter().enumerate() {
            let script = Script::of(language);
            for (name, screen) in sheet::screens() {
                let size = sheet::pixels(size);
                let foot =
                    if screen.verdict.is_none() && screen.progress.1 > 0 { (size.height / 14).max(9) } else { 0 };
                let body = Size::new(size.width, size.height - foot);
                let side = screen.verdict.is_none().then_some(screen.action).flatten().and_then(texts::side);
                let parts = parts(&screen, column);
                if let Some(page) = arrange(&parts, body, side, script) {
                    for block in &page.blocks {
                        let apart = block.area.intersection(&page.icon).is_zero_sized();
                        assert!(apart, "{language} {name} {size}: the text lies on the icon");
                    }
                    continue;
                }
                in_turns += 1;
                assert!(parts.len() > 1, "{language} {name} {size}: there is no room for {parts:?}");
                for part in &parts {
                    let alone = arrange(std::slice::from_ref(part), body, side, script);
                    assert!(alone.is_some(), "{language} {name} {size}: there is no room for {part:?}");
                }
            }
        }
    }
    // Only where a small display is asked for an action and gives advice about it.
    eprintln!("{in_turns} screens show their texts in turns");
}

#[test]
fn a_turn_points_to_the_side_that_the_person_turns_to() {
    for size in sheet::SIZES.map(sheet::pixels) {
        for (column, language) in LANGUAGES.iter().enumerate() {
            for (to_left, to_right) in [(Action::TurnLeft, Action::TurnRight), (Action::WinkLeft, Action::WinkRight)] {
                let left: Canvas<Rgb888> = shown(size, &asking(to_left), column, NOW);
                let right: Canvas<Rgb888> = shown(size, &asking(to_right), column, NOW);
                let ask = |canvas: &Canvas<Rgb888>, x: std::ops::Range<u32>| {
                    let body = 0..size.height * 8 / 10;
                    body.map(|y| canvas.rows(y..y + 1)[x.start as usize..x.end as usize].to_vec())
                        .map(|row| row.iter().filter(|c| **c == Rgb888::ASK).count())
                        .sum::<usize>()
                };
                let half = size.width / 2;
                for (canvas, near, far) in [(&left, 0..half, half..size.width), (&right, half..size.width, 0..half)] {
                    assert!(ask(canvas, near) > 9 * ask(canvas, far), "{size} {language}");
                }
            }
        }
        // The arrow's head is at the edge: the column nearest to the edge that is lit is lit in one place, the middle.
        let left: Canvas<BinaryColor> = shown(size, &asking(Action::TurnLeft), 0, NOW);
        let lit = |x: u32| (0..size.height * 8 / 10).filter(|y| left.rows(*y..*y + 1)[x as usize].is_on()).count();
        let first = (0..size.width).find(|x| lit(*x) > 0).expect("an arrow");
        assert!(lit(first) <= 3 && lit(first + size.height / 12) > lit(first), "{size}: {}", lit(first));
        let (l, r) = thirds(&left, size);
        assert!(l > 0 && r > 0);
    }
}

#[test]
fn no_two_screens_look_alike_without_colour_or_words() {
    for size in sheet::SIZES.map(sheet::pixels) {
        let mut seen: HashMap<Vec<BinaryColor>, String> = HashMap::new();
        for (name, screen) in sheet::screens().into_iter().filter(|(n, _)| !n.contains('-') && n != "blink_twice") {
            let mut canvas: Canvas<BinaryColor> = Canvas::new(size);
            let square = Rectangle::new(Point::zero(), Size::new_equal(size.height * 7 / 10));
            icon(&mut canvas, &screen, square).expect("memory does not fail");
            assert!(canvas.pixels().iter().any(|c| c.is_on()), "{name}");
            if let Some(other) = seen.insert(canvas.pixels().to_vec(), name.clone()) {
                panic!("{name} and {other} have one icon");
            }
        }
    }
}

#[test]
fn the_bar_only_shrinks_and_says_when_to_draw_again() {
    let size = Size::new(320, 240);
    let screen = asking(Action::Nod);
    let mut canvas: Canvas<Rgb565> = Canvas::new(size);
    let mut widths = Vec::new();
    for ms in (0..=3000).step_by(100) {
        let redraw = draw(&mut canvas, &screen, 0, Duration::from_millis(ms)).expect("memory does not fail");
        assert_eq!(redraw, if ms < 2500 { Redraw::Soon } else { Redraw::Never });
        let foot = canvas.rows(size.height - 9..size.height - 8);
        widths.push(foot.iter().filter(|c| **c == Rgb565::ASK).count());
    }
    assert!(widths.windows(2).all(|w| w[1] <= w[0]) && widths[0] > 200, "{widths:?}");
    assert_eq!(draw(&mut canvas, &Screen::IDLE, 0, NOW), Ok(Redraw::Never));
}

#[test]
fn texts_in_turns_change_slower_than_anything_that_flashes() {
    assert!(PAGE >= Duration::from_millis(1000));
    let parts = vec![(Role::Head, "wide ".repeat(12)), (Role::Help, "long ".repeat(12))];
    let body = Size::new(128, 55);
    let lines = |ms| page(&parts, body, None, Script::Any, Duration::from_millis(ms)).0.blocks[0].lines[0].0;
    assert_eq!([0, 1499, 1500, 2999, 3000].map(lines), [Role::Head, Role::Head, Role::Help, Role::Help, Role::Head]);
}

#[test]
fn a_display_of_any_size_is_drawn_on() {
    for (width, height) in [(0, 0), (1, 1), (3, 200), (200, 3), (64, 32), (480, 800), (1280, 720)] {
        for (_, screen) in sheet::screens().into_iter().step_by(7) {
            let _canvas: Canvas<Rgb565> = shown(Size::new(width, height), &screen, 5, NOW);
        }
    }
}
