//! ST7789 and ILI9341: colour panels on SPI, through `mipidsi`.

use super::canvas::Canvas;
use crate::config::sections::{PanelModel, PanelSize};
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{Point, Size};
use embedded_graphics::pixelcolor::Rgb565;
use embedded_graphics::primitives::Rectangle;
use embedded_hal::delay::DelayNs;
use embedded_hal::digital::OutputPin;
use embedded_hal::spi::SpiDevice;
use mipidsi::interface::{Interface, InterfaceKind, SpiError};
use mipidsi::models::{ILI9341Rgb565, ST7789};
use mipidsi::options::{ColorInversion, ColorOrder, Orientation, Rotation};
use mipidsi::{Builder, Display, NoResetPin};
use std::fmt::Debug;

/// Bytes a transfer: what the kernel's spidev takes at once unless it is told otherwise.
const BUFFER: usize = 4096;

/// Bus and pin DC (low for a command). `mipidsi` has one like it that borrows its buffer, which a panel that is opened
/// again and again cannot give it.
#[derive(Debug)]
pub struct Wire<S, D> {
    spi: S,
    dc: D,
    buffer: Vec<u8>,
}

impl<S: SpiDevice, D: OutputPin> Wire<S, D> {
    fn flush(&mut self) -> Result<(), SpiError<S::Error, D::Error>> {
        let sent = self.spi.write(&self.buffer).map_err(SpiError::Spi);
        self.buffer.clear();
        sent
    }
}

impl<S: SpiDevice, D: OutputPin> Interface for Wire<S, D> {
    type Word = u8;
    type Error = SpiError<S::Error, D::Error>;

    const KIND: InterfaceKind = InterfaceKind::Serial4Line;

    fn send_command(&mut self, command: u8, args: &[u8]) -> Result<(), Self::Error> {
        self.dc.set_low().map_err(SpiError::Dc)?;
        self.spi.write(&[command]).map_err(SpiError::Spi)?;
        self.dc.set_high().map_err(SpiError::Dc)?;
        if args.is_empty() { Ok(()) } else { self.spi.write(args).map_err(SpiError::Spi) }
    }

    fn send_pixels<const N: usize>(&mut self, pixels: impl IntoIterator<Item = [u8; N]>) -> Result<(), Self::Error> {
        for pixel in pixels {
            if self.buffer.len() + N > BUFFER {
                self.flush()?;
            }
            self.buffer.extend_from_slice(&pixel);
        }
        if self.buffer.is_empty() { Ok(()) } else { self.flush() }
    }

    fn send_repeated_pixel<const N: usize>(&mut self, pixel: [u8; N], count: u32) -> Result<(), Self::Error> {
        self.send_pixels((0..count).map(|_| pixel))
    }
}

/// Either model, which are types of their own.
enum Chip<S: SpiDevice, D: OutputPin> {
    St7789(Display<Wire<S, D>, ST7789, NoResetPin>),
    Ili9341(Display<Wire<S, D>, ILI9341Rgb565, NoResetPin>),
}

/// One panel.
pub struct Tft<S: SpiDevice, D: OutputPin> {
    chip: Chip<S, D>,
    shown: Option<Canvas<Rgb565>>,
}

impl<S: SpiDevice, D: OutputPin> Tft<S, D> {
    /// Sets the panel up. Its memory holds noise until the first picture.
    ///
    /// # Errors
    /// The bus's own, or a size that the panel does not have.
    pub fn new(
        spi: S,
        dc: D,
        model: PanelModel,
        size: PanelSize,
        rotate: u32,
        delay: &mut impl DelayNs,
    ) -> Result<Self, String> {
        let wire = Wire { spi, dc, buffer: Vec::with_capacity(BUFFER) };
        // Their memory stands upright: 240 wide and 320 high. One that is wider than high hangs turned.
        let (width, height, base) = match size {
            PanelSize::S240x240 => (240, 240, Rotation::Deg0),
            PanelSize::S320x240 => (240, 320, Rotation::Deg90),
            PanelSize::S128x64 | PanelSize::S800x480 => return Err("there is no such panel on SPI".into()),
        };
        // The picture turns against the panel.
        let turned = match rotate {
            90 => Rotation::Deg270,
            180 => Rotation::Deg180,
            270 => Rotation::Deg90,
            _ => Rotation::Deg0,
        };
        let orientation = Orientation::new().rotate(base).rotate(turned);
        let told = |e: &dyn Debug| format!("{e:?}");
        let chip = match model {
            PanelModel::Ili9341 => Chip::Ili9341(
                Builder::new(ILI9341Rgb565, wire)
                    .display_size(width, height)
                    .orientation(orientation)
                    .color_order(ColorOrder::Bgr)
                    .init(delay)
                    .map_err(|e| told(&e))?,
            ),
            _ => Chip::St7789(
                Builder::new(ST7789, wire)
                    .display_size(width, height)
                    .orientation(orientation)
                    // All that are sold are IPS panels, whose colours are the other way round.
                    .invert_colors(ColorInversion::Inverted)
                    .init(delay)
                    .map_err(|e| told(&e))?,
            ),
        };
        Ok(Tft { chip, shown: None })
    }

    /// Sends the rows from the first to the last that changed.
    ///
    /// # Errors
    /// The bus's own; the next picture is then sent whole.
    pub fn show(&mut self, canvas: &Canvas<Rgb565>, size: Size) -> Result<(), String> {
        let before = self.shown.take();
        let rows = before.as_ref().map_or(Some(0..size.height), |b| canvas.changed(b));
        if let Some(rows) = rows {
            let top = Point::new(0, rows.start.cast_signed());
            let area = Rectangle::new(top, Size::new(size.width, rows.end - rows.start));
            let colours = canvas.rows(rows).iter().copied();
            match &mut self.chip {
                Chip::St7789(d) => d.fill_contiguous(&area, colours),
                Chip::Ili9341(d) => d.fill_contiguous(&area, colours),
            }
            .map_err(|e| format!("{e:?}"))?;
        }
        self.shown = Some(canvas.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::prompt::panel::draw::{Ink, Redraw, draw};
    use crate::domain::screen::{Phase, Screen};
    use embedded_graphics::Pixel;
    use embedded_hal::spi::{ErrorKind, ErrorType, Operation};
    use std::cell::RefCell;
    use std::convert::Infallible;
    use std::rc::Rc;
    use std::time::Duration;

    /// What went over the wires: the state of DC, and bytes.
    #[derive(Clone, Debug, PartialEq)]
    enum Heard {
        Command(u8),
        Data(Vec<u8>),
    }

    /// Bus and pin in one, so that their order is recorded too.
    #[derive(Clone, Default)]
    struct Recorder {
        heard: Rc<RefCell<Vec<Heard>>>,
        data: Rc<RefCell<bool>>,
        unplugged: Rc<RefCell<bool>>,
    }

    impl ErrorType for Recorder {
        type Error = ErrorKind;
    }

    impl SpiDevice for Recorder {
        fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), ErrorKind> {
            for operation in operations {
                let Operation::Write(bytes) = operation else { panic!("panels are only written to") };
                if *self.unplugged.borrow() {
                    return Err(ErrorKind::Other);
                }
                assert!(bytes.len() <= BUFFER, "{}", bytes.len());
                self.heard.borrow_mut().push(match *self.data.borrow() {
                    true => Heard::Data(bytes.to_vec()),
                    false => Heard::Command(bytes[0]),
                });
            }
            Ok(())
        }
    }

    impl embedded_hal::digital::ErrorType for Recorder {
        type Error = Infallible;
    }

    impl OutputPin for Recorder {
        fn set_low(&mut self) -> Result<(), Infallible> {
            *self.data.borrow_mut() = false;
            Ok(())
        }
        fn set_high(&mut self) -> Result<(), Infallible> {
            *self.data.borrow_mut() = true;
            Ok(())
        }
    }

    struct NoDelay;

    impl DelayNs for NoDelay {
        fn delay_ns(&mut self, _: u32) {}
    }

    fn panel(model: PanelModel, size: PanelSize) -> (Tft<Recorder, Recorder>, Recorder, Size) {
        turned(model, size, 0)
    }

    fn turned(model: PanelModel, size: PanelSize, rotate: u32) -> (Tft<Recorder, Recorder>, Recorder, Size) {
        let wires = Recorder::default();
        let tft = Tft::new(wires.clone(), wires.clone(), model, size, rotate, &mut NoDelay).expect("set up");
        (tft, wires, Size::new(size.pixels().0, size.pixels().1))
    }

    fn take(wires: &Recorder) -> Vec<Heard> {
        std::mem::take(&mut *wires.heard.borrow_mut())
    }

    /// Commands with their arguments; pixels joined.
    fn messages(heard: &[Heard]) -> Vec<(u8, Vec<u8>)> {
        let mut all: Vec<(u8, Vec<u8>)> = Vec::new();
        for h in heard {
            match (h, all.last_mut()) {
                (Heard::Command(c), _) => all.push((*c, Vec::new())),
                (Heard::Data(d), Some(last)) => last.1.extend(d),
                (Heard::Data(_), None) => panic!("data before a command"),
            }
        }
        all
    }

    #[test]
    fn each_model_is_reset_woken_and_switched_on() {
        for (model, size, madctl, invert) in [
            (PanelModel::St7789, PanelSize::S240x240, 0x00, 0x21),
            (PanelModel::St7789, PanelSize::S320x240, 0x60, 0x21),
            (PanelModel::Ili9341, PanelSize::S320x240, 0x68, 0x20),
        ] {
            let (_tft, wires, _) = panel(model, size);
            let all = messages(&take(&wires));
            let commands: Vec<u8> = all.iter().map(|m| m.0).collect();
            assert_eq!(commands.first(), Some(&0x01), "software reset: {commands:02x?}");
            assert_eq!(commands.last(), Some(&0x29), "display on: {commands:02x?}");
            assert!(commands.contains(&0x11) && commands.contains(&invert), "{commands:02x?}");
            let argument = |c: u8| all.iter().find(|m| m.0 == c).map(|m| m.1.clone());
            assert_eq!(argument(0x36), Some(vec![madctl]), "{model:?} {size:?}");
            assert_eq!(argument(0x3a), Some(vec![0x55]), "16 bits a pixel");
        }
    }

    #[test]
    fn a_panel_that_hangs_turned_is_written_the_other_way_round() {
        // The memory has 320 rows, of which a square panel shows the first 240. MV (0x20) swaps rows and columns, MY (0x80)
        // counts rows from the end, MX (0x40) columns. Turned clockwise, the panel's lower left corner is the person's upper
        // left, and its rows from below are the person's columns.
        for (rotate, madctl, columns, rows) in [
            (0, 0x00, [0, 0, 0, 239], [0, 0, 0, 239]),
            (90, 0xa0, [0, 80, 1, 63], [0, 0, 0, 239]),
            (180, 0xc0, [0, 0, 0, 239], [0, 80, 1, 63]),
            (270, 0x60, [0, 0, 0, 239], [0, 0, 0, 239]),
        ] {
            let (mut tft, wires, size) = turned(PanelModel::St7789, PanelSize::S240x240, rotate);
            tft.show(&Canvas::new(size), size).expect("shown");
            let all = messages(&take(&wires));
            let last = |c: u8| all.iter().rfind(|m| m.0 == c).map(|m| m.1.clone()).expect("it was sent");
            assert_eq!(last(0x36), [madctl], "{rotate}");
            assert_eq!((last(0x2a), last(0x2b)), (columns.to_vec(), rows.to_vec()), "{rotate}");
        }
    }

    #[test]
    fn a_handshake_fills_a_colour_panel() {
        let (mut tft, wires, size) = panel(PanelModel::St7789, PanelSize::S240x240);
        take(&wires);
        let light = Screen { phase: Phase::Light, light: Some([255, 128, 255]), ..Screen::IDLE };
        let mut canvas = Canvas::new(size);
        let redraw = draw(&mut canvas, &light, 0, Duration::ZERO);
        assert_eq!(redraw, Ok(Redraw::Never));
        tft.show(&canvas, size).expect("shown");
        let pixels = messages(&take(&wires)).pop().expect("a picture").1;
        assert!(pixels.len() == 240 * 240 * 2 && pixels.chunks(2).all(|p| p == [0xfc, 0x1f]), "{:x?}", &pixels[..2]);
    }

    #[test]
    fn only_the_rows_that_changed_are_sent() {
        let (mut tft, wires, size) = panel(PanelModel::St7789, PanelSize::S320x240);
        take(&wires);
        let mut canvas = Canvas::new(size);
        tft.show(&canvas, size).expect("shown");
        let all = messages(&take(&wires));
        let pixels = &all.iter().find(|m| m.0 == 0x2c).expect("a picture").1;
        assert_eq!(pixels.len(), 320 * 240 * 2);
        canvas.draw_iter([Pixel(Point::new(5, 7), Rgb565::TEXT)]).expect("memory does not fail");
        tft.show(&canvas, size).expect("shown");
        let all = messages(&take(&wires));
        let row = [(0x2a, vec![0, 0, 1, 63]), (0x2b, vec![0, 7, 0, 7])];
        assert_eq!(all[..2], row, "the whole of row 7");
        assert_eq!(all[2].1.len(), 640);
        assert_eq!(all[2].1[8..14], [0, 0, 0xff, 0xff, 0, 0]);
        tft.show(&canvas, size).expect("nothing to do");
        assert_eq!(take(&wires), []);
    }

    #[test]
    fn after_an_error_everything_is_sent_again() {
        let (mut tft, wires, size) = panel(PanelModel::Ili9341, PanelSize::S320x240);
        let canvas = Canvas::new(size);
        *wires.unplugged.borrow_mut() = true;
        tft.show(&canvas, size).expect_err("unplugged");
        *wires.unplugged.borrow_mut() = false;
        take(&wires);
        tft.show(&canvas, size).expect("back");
        assert_eq!(messages(&take(&wires)).last().expect("a picture").1.len(), 320 * 240 * 2);
    }
}
