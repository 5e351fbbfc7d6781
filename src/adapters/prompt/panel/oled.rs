//! SSD1306 and SH1106: 128x64 dots on I2C. They are one driver: both understand page addressing, and differ in the charge
//! pump's command and in the two columns that an SH1106 has to the left of the first one seen. (Commands are those of the
//! datasheets: Solomon Systech SSD1306 rev 1.1, Sino Wealth SH1106 v2.3.)

use super::canvas::Canvas;
use embedded_graphics::geometry::Size;
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_hal::i2c::I2c;

/// Columns and rows.
pub const SIZE: Size = Size::new(128, 64);
/// Rows of a page: a byte is so many dots of a column, the topmost in the lowest bit.
const PAGE_ROWS: u32 = 8;
/// What follows are commands.
const COMMANDS: u8 = 0x00;
/// What follows are dots.
const DOTS: u8 = 0x40;

/// Which controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chip {
    Ssd1306,
    Sh1106,
}

/// One panel.
#[derive(Debug)]
pub struct Oled<I> {
    bus: I,
    address: u8,
    chip: Chip,
    shown: Option<Canvas<BinaryColor>>,
}

impl<I: I2c> Oled<I> {
    /// Sets the panel up, blank; `flipped` when it hangs upside down.
    ///
    /// # Errors
    /// The bus's own.
    pub fn new(bus: I, address: u8, chip: Chip, flipped: bool) -> Result<Self, I::Error> {
        let mut oled = Oled { bus, address, chip, shown: None };
        // Off; clock; 64 rows; no offset; first row 0.
        oled.commands(&[0xae, 0xd5, 0x80, 0xa8, 0x3f, 0xd3, 0x00, 0x40])?;
        match chip {
            // Charge pump on; page addressing.
            Chip::Ssd1306 => oled.commands(&[0x8d, 0x14, 0x20, 0x02])?,
            Chip::Sh1106 => oled.commands(&[0xad, 0x8b])?,
        }
        oled.commands(if flipped { &[0xa0, 0xc0] } else { &[0xa1, 0xc8] })?;
        // Rows wired alternately; contrast; pre-charge; deselect level; dots from memory; not inverted.
        oled.commands(&[0xda, 0x12, 0x81, 0xcf, 0xd9, 0xf1, 0xdb, 0x40, 0xa4, 0xa6])?;
        // Its memory holds noise after power came: blank it before it is switched on.
        oled.show(&Canvas::new(SIZE))?;
        oled.commands(&[0xaf])?;
        Ok(oled)
    }

    /// Sends the pages that differ from what is shown. With none, a command that changes nothing: the caller learns
    /// whether the panel still answers.
    ///
    /// # Errors
    /// The bus's own; the next picture is then sent whole.
    pub fn show(&mut self, canvas: &Canvas<BinaryColor>) -> Result<(), I::Error> {
        let before = self.shown.take();
        let mut sent = false;
        for page in 0..SIZE.height / PAGE_ROWS {
            let rows = page * PAGE_ROWS..(page + 1) * PAGE_ROWS;
            if before.as_ref().is_some_and(|b| b.rows(rows.clone()) == canvas.rows(rows.clone())) {
                continue;
            }
            let column = match self.chip {
                Chip::Ssd1306 => 0,
                Chip::Sh1106 => 2,
            };
            self.commands(&[0xb0 | u8::try_from(page).unwrap_or(0), column, 0x10])?;
            let mut data = vec![DOTS];
            data.extend(dots(canvas.rows(rows)));
            self.bus.write(self.address, &data)?;
            sent = true;
        }
        if !sent {
            self.commands(&[0xe3])?;
        }
        self.shown = Some(canvas.clone());
        Ok(())
    }

    fn commands(&mut self, commands: &[u8]) -> Result<(), I::Error> {
        let mut data = vec![COMMANDS];
        data.extend_from_slice(commands);
        self.bus.write(self.address, &data)
    }
}

/// The bytes of a page.
fn dots(rows: &[BinaryColor]) -> impl Iterator<Item = u8> {
    let width = SIZE.width as usize;
    (0..width).map(move |x| {
        let column = rows.iter().skip(x).step_by(width);
        column.enumerate().fold(0, |byte, (y, dot)| byte | u8::from(dot.is_on()) << y)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded_graphics::Pixel;
    use embedded_graphics::draw_target::DrawTarget;
    use embedded_graphics::geometry::Point;
    use embedded_hal::i2c::ErrorKind;
    use embedded_hal_mock::eh1::i2c::{Mock, Transaction};

    const AT: u8 = 0x3c;

    fn write(bytes: &[u8]) -> Transaction {
        Transaction::write(AT, bytes.to_vec())
    }

    fn page(number: u8, column: u8, dots: &[(usize, u8)]) -> [Transaction; 2] {
        let mut data = vec![0; 129];
        data[0] = 0x40;
        for (x, byte) in dots {
            data[1 + x] = *byte;
        }
        [write(&[0, 0xb0 | number, column, 0x10]), write(&data)]
    }

    /// What a panel that is set up must have heard.
    fn setup(chip: Chip) -> Vec<Transaction> {
        let (pump, column): (&[u8], u8) = match chip {
            Chip::Ssd1306 => (&[0, 0x8d, 0x14, 0x20, 0x02], 0),
            Chip::Sh1106 => (&[0, 0xad, 0x8b], 2),
        };
        let mut all = vec![
            write(&[0, 0xae, 0xd5, 0x80, 0xa8, 0x3f, 0xd3, 0x00, 0x40]),
            write(pump),
            write(&[0, 0xa1, 0xc8]),
            write(&[0, 0xda, 0x12, 0x81, 0xcf, 0xd9, 0xf1, 0xdb, 0x40, 0xa4, 0xa6]),
        ];
        all.extend((0..8).flat_map(|p| page(p, column, &[])));
        all.push(write(&[0, 0xaf]));
        all
    }

    #[test]
    fn both_chips_are_set_up_blank_and_sent_only_what_changed() {
        for (chip, column) in [(Chip::Ssd1306, 0), (Chip::Sh1106, 2)] {
            let mut all = setup(chip);
            // Row 9 of column 0 and row 15 of column 127 are both in page 1.
            all.extend(page(1, column, &[(0, 0b10), (127, 0b1000_0000)]));
            all.push(write(&[0, 0xe3]));
            let mut bus = Mock::new(&all);
            let mut oled = Oled::new(bus.clone(), AT, chip, false).expect("set up");
            let mut canvas = Canvas::new(SIZE);
            let on = [(0, 9), (127, 15)].map(|(x, y)| Pixel(Point::new(x, y), BinaryColor::On));
            canvas.draw_iter(on).expect("memory does not fail");
            oled.show(&canvas).expect("shown");
            oled.show(&canvas).expect("nothing to send, but asked");
            bus.done();
        }
    }

    #[test]
    fn after_an_error_everything_is_sent_again() {
        let mut all = setup(Chip::Ssd1306);
        all.push(write(&[0, 0xe3]).with_error(ErrorKind::Other));
        all.extend((0..8).flat_map(|p| page(p, 0, &[])));
        let mut bus = Mock::new(&all);
        let mut oled = Oled::new(bus.clone(), AT, Chip::Ssd1306, false).expect("set up");
        oled.show(&Canvas::new(SIZE)).expect_err("unplugged");
        oled.show(&Canvas::new(SIZE)).expect("back");
        bus.done();
    }
}
