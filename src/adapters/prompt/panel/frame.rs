//! A picture on a display of any size: a monitor's pixels are many and small, so they are drawn as blocks of a few, and
//! the picture is turned as the display hangs. What is below that is [`Board`].

use super::canvas::Canvas;
use super::draw::{Ink, Redraw, draw};
use crate::adapters::prompt::threaded::Display;
use crate::domain::screen::Screen;
use crate::ports::{PortError, Recovery};
use embedded_graphics::geometry::Size;
use embedded_graphics::pixelcolor::Rgb888;
use std::time::Duration;

/// Bytes of a pixel: blue, green, red, and one that nobody reads (XRGB8888).
pub const PIXEL: usize = 4;
/// The shorter side of a picture has at least so many pixels, where the display has them.
const SHORT: u32 = 480;

/// How a picture lies on a display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Pixels of the display, as it is built.
    width: u32,
    height: u32,
    /// Clockwise degrees by which it hangs turned.
    rotate: u32,
    /// Pixels of the picture, upright.
    pub picture: Size,
    /// Each pixel of the picture is a block of so many by so many.
    pub scale: u32,
    /// What is left over, half on each side.
    left: u32,
    top: u32,
}

impl Layout {
    /// For a display of `width` by `height` that hangs turned by `rotate`.
    #[must_use]
    pub fn new(width: u32, height: u32, rotate: u32) -> Layout {
        let (across, down) = if rotate % 180 == 90 { (height, width) } else { (width, height) };
        let scale = (across.min(down) / SHORT).max(1);
        let picture = Size::new(across / scale, down / scale);
        let (left, top) = ((across % scale) / 2, (down % scale) / 2);
        Layout { width, height, rotate, picture, scale, left, top }
    }

    /// Writes the picture into a display's memory of rows of `pitch` bytes.
    pub fn put(&self, canvas: &Canvas<Rgb888>, memory: &mut [u8], pitch: usize) {
        let blank = Rgb888::GROUND;
        for (y, row) in (0..self.height).zip(memory.chunks_mut(pitch.max(1))) {
            for (x, pixel) in (0..self.width).zip(row.chunks_exact_mut(PIXEL)) {
                let (across, down) = self.upright(x, y);
                let at = |v: u32, edge: u32| v.checked_sub(edge).map(|v| v / self.scale);
                let ink = at(across, self.left).zip(at(down, self.top)).and_then(|(px, py)| {
                    (px < self.picture.width).then(|| canvas.rows(py..py + 1).get(px as usize).copied()).flatten()
                });
                let [red, green, blue] = ink.unwrap_or(blank).rgb();
                pixel.copy_from_slice(&[blue, green, red, 0]);
            }
        }
    }

    /// Where a pixel of the display is, as the person sees it.
    const fn upright(&self, x: u32, y: u32) -> (u32, u32) {
        match self.rotate {
            90 => (self.height - 1 - y, x),
            180 => (self.width - 1 - x, self.height - 1 - y),
            270 => (y, self.width - 1 - x),
            _ => (x, y),
        }
    }
}

/// A display's memory, and whether the display is still there.
pub trait Board {
    /// Whether everything is as it was when it was opened.
    ///
    /// # Errors
    /// What has changed: the display was unplugged, is another one, or shows another program.
    fn check(&mut self) -> Result<(), String>;

    /// Lets `fill` write the memory, whose rows have so many bytes, and shows it.
    ///
    /// # Errors
    /// The kernel's own words.
    fn write(&mut self, fill: &mut dyn FnMut(&mut [u8], usize)) -> Result<(), String>;

    /// What it is called.
    fn name(&self) -> String;
}

/// A display with memory.
#[derive(Debug)]
pub struct Framed<B> {
    board: B,
    layout: Layout,
    column: usize,
    shown: Option<Canvas<Rgb888>>,
}

impl<B: Board> Framed<B> {
    /// Shows screens in the language of `column`.
    pub const fn new(board: B, layout: Layout, column: usize) -> Self {
        Framed { board, layout, column, shown: None }
    }
}

impl<B: Board> Display for Framed<B> {
    fn show(&mut self, screen: &Screen, elapsed: Duration) -> Result<Redraw, PortError> {
        self.board.check().map_err(|e| failed(&self.board.name(), &e))?;
        let mut canvas = Canvas::new(self.layout.picture);
        let Ok(redraw) = draw(&mut canvas, screen, self.column, elapsed);
        if self.shown.as_ref() != Some(&canvas) {
            let layout = self.layout;
            let mut fill = |memory: &mut [u8], pitch: usize| layout.put(&canvas, memory, pitch);
            self.board.write(&mut fill).map_err(|e| failed(&self.board.name(), &e))?;
            self.shown = Some(canvas);
        }
        Ok(redraw)
    }
}

/// A display cannot be shown on.
pub fn failed(what: &str, e: &dyn std::fmt::Display) -> PortError {
    PortError::new(
        format!("show screens on {what}"),
        e,
        "check its plug, prompt.drm, that this user may open it (group video) and that no desktop runs there",
        Recovery::Reopen,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::prompt::panel::draw::fits;
    use crate::adapters::prompt::panel::sheet;
    use crate::config::LANGUAGES;
    use crate::domain::screen::Phase;
    use crate::schema::event::Action;
    use embedded_graphics::Pixel;
    use embedded_graphics::draw_target::DrawTarget;
    use embedded_graphics::geometry::Point;
    use std::cell::RefCell;
    use std::rc::Rc;

    /// What is sold as HDMI and DSI displays, and a television.
    const MODES: [(u32, u32); 9] = [
        (640, 480),
        (800, 480),
        (1024, 600),
        (1280, 720),
        (1280, 800),
        (1366, 768),
        (1920, 1080),
        (2560, 1440),
        (3840, 2160),
    ];

    #[test]
    fn a_picture_fills_the_display_and_its_texts_fit_in_every_language() {
        for (width, height) in MODES {
            for rotate in [0, 90] {
                let layout = Layout::new(width, height, rotate);
                let Size { width: across, height: down } = layout.picture;
                assert!((480..960).contains(&across.min(down)), "{layout:?}");
                let whole = if rotate == 0 { (width, height) } else { (height, width) };
                assert!(whole.0 - across * layout.scale < layout.scale && whole.1 - down * layout.scale < layout.scale);
                for (column, language) in LANGUAGES.iter().enumerate() {
                    for (name, screen) in sheet::screens() {
                        assert!(fits(&screen, column, layout.picture), "{layout:?} {name} {language}");
                    }
                }
            }
        }
    }

    /// A display whose one lit dot of the picture is at (1, 0): where it is in the display's own memory.
    fn lit(width: u32, height: u32, rotate: u32, pitch: usize) -> Vec<(usize, usize)> {
        let layout = Layout::new(width, height, rotate);
        let mut canvas = Canvas::new(layout.picture);
        canvas.draw_iter([Pixel(Point::new(1, 0), Rgb888::new(1, 2, 3))]).expect("memory does not fail");
        let mut memory = vec![9; pitch * height as usize];
        layout.put(&canvas, &mut memory, pitch);
        let mut found = Vec::new();
        for (y, row) in memory.chunks(pitch).enumerate() {
            for (x, pixel) in row[..width as usize * PIXEL].chunks(PIXEL).enumerate() {
                if pixel == [3, 2, 1, 0] {
                    found.push((x, y));
                } else {
                    assert_eq!(pixel, [0; 4]);
                }
            }
            assert!(row[width as usize * PIXEL..].iter().all(|b| *b == 9), "what is behind a row is not ours");
        }
        found
    }

    #[test]
    fn a_display_that_hangs_turned_has_its_top_where_the_person_sees_it() {
        assert_eq!(lit(6, 4, 0, 24), [(1, 0)]);
        assert_eq!(lit(6, 4, 0, 40), [(1, 0)], "rows longer than the picture");
        // Turned clockwise, its left edge is on top and its lower left corner is the person's upper left.
        assert_eq!(lit(6, 4, 90, 24), [(0, 2)]);
        assert_eq!(lit(6, 4, 180, 24), [(4, 3)]);
        assert_eq!(lit(6, 4, 270, 24), [(5, 1)]);
    }

    #[test]
    fn a_big_display_has_blocks_and_an_even_edge() {
        let layout = Layout::new(1923, 1082, 0);
        assert_eq!((layout.scale, layout.picture, layout.left, layout.top), (2, Size::new(961, 541), 0, 0));
        let dots = lit(2883, 1441, 0, 2883 * PIXEL);
        assert_eq!(dots, [(3, 0), (4, 0), (5, 0), (3, 1), (4, 1), (5, 1), (3, 2), (4, 2), (5, 2)]);
        assert_eq!(Layout::new(1925, 1445, 0).left, 1, "two of 1925 are left over at three a block");
    }

    #[derive(Clone, Default)]
    struct Fake {
        unplugged: Rc<RefCell<bool>>,
        written: Rc<RefCell<Vec<Vec<u8>>>>,
    }

    impl Board for Fake {
        fn check(&mut self) -> Result<(), String> {
            if *self.unplugged.borrow() { Err("the display was unplugged".into()) } else { Ok(()) }
        }
        fn write(&mut self, fill: &mut dyn FnMut(&mut [u8], usize)) -> Result<(), String> {
            let mut memory = vec![0; 800 * 480 * PIXEL];
            fill(&mut memory, 800 * PIXEL);
            self.written.borrow_mut().push(memory);
            Ok(())
        }
        fn name(&self) -> String {
            "HDMI-A-1 of /dev/dri/card1".into()
        }
    }

    #[test]
    fn a_new_picture_is_written_once_and_a_pulled_plug_is_an_error() {
        let board = Fake::default();
        let mut display = Framed::new(board.clone(), Layout::new(800, 480, 0), 1);
        let ask = Screen { phase: Phase::Challenge, action: Some(Action::Nod), ..Screen::IDLE };
        for screen in [Screen::IDLE, Screen::IDLE, ask] {
            display.show(&screen, Duration::ZERO).expect("shown");
        }
        let written = board.written.borrow().clone();
        assert_eq!(written.len(), 2);
        let size = crate::config::sections::PanelSize::S800x480;
        let drawn = sheet::picture(&ask, 1, size, Duration::ZERO).0;
        let same = written[1].chunks(PIXEL).zip(drawn.pixels()).all(|(m, p)| [m[2], m[1], m[0]] == p.0);
        assert!(same, "the memory holds what a picture of this size shows");
        *board.unplugged.borrow_mut() = true;
        let e = display.show(&ask, Duration::ZERO).expect_err("unplugged");
        assert!(e.to_string().contains("HDMI-A-1 of /dev/dri/card1") && e.recovery == Recovery::Reopen, "{e}");
    }

    #[test]
    fn a_handshake_lights_the_whole_display() {
        let board = Fake::default();
        let mut display = Framed::new(board.clone(), Layout::new(800, 480, 0), 0);
        let light = Screen { phase: Phase::Light, light: Some([255, 128, 0]), ..Screen::IDLE };
        display.show(&light, Duration::ZERO).expect("shown");
        assert!(board.written.borrow()[0].chunks(PIXEL).all(|p| p == [0, 128, 255, 0]));
    }
}
