//! Opens the configured panel on the buses of this machine.

use super::canvas::Canvas;
use super::draw::{Redraw, draw};
use super::oled::{self, Oled};
use super::ring::{self, Ring};
use super::sheet::pixels;
use super::tft::Tft;
use crate::adapters::prompt::lights::WS2812_SPI_HZ;
use crate::adapters::prompt::lines::{Level, Pin};
use crate::adapters::prompt::texts;
use crate::adapters::prompt::threaded::Display;
use crate::config::sections::{ActiveLevel, GpioLine, PanelModel, PromptConfig, RingConfig};
use crate::domain::screen::Screen;
use crate::ports::{PortError, Recovery};
use embedded_hal::digital::{ErrorType, OutputPin};
use embedded_hal::i2c::I2c;
use embedded_hal::spi::SpiDevice;
use linux_embedded_hal::spidev::{SpiModeFlags, SpidevOptions};
use linux_embedded_hal::{Delay, I2cdev, SpidevDevice};
use std::time::Duration;

/// Whether this build can open panels.
///
/// # Errors
/// Never: it can.
pub fn built_in(_: &PromptConfig) -> Result<(), PortError> {
    Ok(())
}

/// Opens the panel.
///
/// # Errors
/// The bus or a line is not there, is in use, or the panel does not answer.
pub fn open(config: &PromptConfig) -> Result<Box<dyn Display>, PortError> {
    let panel = &config.panel;
    let column = texts::column(&config.language).unwrap_or(0);
    let bus = panel.bus.display().to_string();
    let failed = |e: &dyn std::fmt::Display| failed(&bus, e);
    let chip = match panel.model {
        PanelModel::Ssd1306 => oled::Chip::Ssd1306,
        PanelModel::Sh1106 => oled::Chip::Sh1106,
        PanelModel::St7789 | PanelModel::Ili9341 => {
            let spi = spi(&panel.bus, panel.speed_hz).map_err(|e| failed(&e))?;
            let dc = panel.dc.as_ref().ok_or_else(|| failed(&"prompt.panel.dc is not set"))?;
            let dc = Pin::take(dc, ActiveLevel::High, true)?;
            let reset = panel.reset.as_ref().map(reset).transpose()?;
            let tft = Tft::new(spi, dc, panel.model, config.size, panel.rotate, &mut Delay).map_err(|e| failed(&e))?;
            return Ok(Box::new(Colour { tft, column, config: config.clone(), _reset: reset }));
        }
    };
    let wires = I2cdev::new(&panel.bus).map_err(|e| failed(&e))?;
    let oled = Oled::new(wires, panel.address, chip, panel.rotate == 180).map_err(|e| failed(&e))?;
    Ok(Box::new(Mono { oled, column, bus }))
}

/// Whether this build can drive a ring.
///
/// # Errors
/// Never: it can.
pub fn ring_built_in(_: &RingConfig) -> Result<(), PortError> {
    Ok(())
}

/// Opens the ring.
///
/// # Errors
/// The bus is not there. Whether a ring hangs on it cannot be known: it never answers.
pub fn open_ring(config: &RingConfig) -> Result<Box<dyn Display>, PortError> {
    let spi = spi(&config.bus, WS2812_SPI_HZ).map_err(|e| ring::failed(config, &e))?;
    Ok(Box::new(Ring::new(spi, config.clone())))
}

fn spi(bus: &std::path::Path, hz: u32) -> Result<SpidevDevice, String> {
    let mut spi = SpidevDevice::open(bus).map_err(|e| e.to_string())?;
    let options = SpidevOptions::new().bits_per_word(8).max_speed_hz(hz).mode(SpiModeFlags::SPI_MODE_0).build();
    spi.0.configure(&options).map_err(|e| e.to_string())?;
    Ok(spi)
}

/// Resets a panel by its pin RST, which must stay owned: a line that is let go may fall, and hold the panel in reset.
fn reset(line: &GpioLine) -> Result<Pin, PortError> {
    let pulse = |e: String| failed(&line.to_string(), &e);
    let mut pin = Pin::take(line, ActiveLevel::High, true)?;
    pin.set(false).map_err(pulse)?;
    std::thread::sleep(Duration::from_millis(10));
    pin.set(true).map_err(pulse)?;
    std::thread::sleep(Duration::from_millis(120));
    Ok(pin)
}

fn failed(bus: &str, e: &dyn std::fmt::Display) -> PortError {
    PortError::new(
        format!("use the panel on {bus}"),
        e,
        "check its wires, prompt.panel, and that this user may open the bus (groups i2c, spi, gpio)",
        Recovery::Reopen,
    )
}

/// A panel of one colour.
struct Mono<I> {
    oled: Oled<I>,
    column: usize,
    bus: String,
}

impl<I: I2c> Display for Mono<I>
where
    I::Error: std::fmt::Debug,
{
    fn show(&mut self, screen: &Screen, elapsed: Duration) -> Result<Redraw, PortError> {
        let mut canvas = Canvas::new(oled::SIZE);
        let Ok(redraw) = draw(&mut canvas, screen, self.column, elapsed);
        self.oled.show(&canvas).map_err(|e| failed(&self.bus, &format!("{e:?}")))?;
        Ok(redraw)
    }
}

/// A panel of many.
struct Colour<S: SpiDevice, D: OutputPin> {
    tft: Tft<S, D>,
    column: usize,
    config: PromptConfig,
    _reset: Option<Pin>,
}

impl<S: SpiDevice, D: OutputPin> Display for Colour<S, D> {
    fn show(&mut self, screen: &Screen, elapsed: Duration) -> Result<Redraw, PortError> {
        let size = pixels(self.config.size);
        let mut canvas = Canvas::new(size);
        let Ok(redraw) = draw(&mut canvas, screen, self.column, elapsed);
        let bus = self.config.panel.bus.display().to_string();
        self.tft.show(&canvas, size).map_err(|e| failed(&bus, &e))?;
        Ok(redraw)
    }
}

impl ErrorType for Pin {
    type Error = embedded_hal::digital::ErrorKind;
}

impl OutputPin for Pin {
    fn set_low(&mut self) -> Result<(), Self::Error> {
        self.set(false).map_err(|_| embedded_hal::digital::ErrorKind::Other)
    }

    fn set_high(&mut self) -> Result<(), Self::Error> {
        self.set(true).map_err(|_| embedded_hal::digital::ErrorKind::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::sections::PanelConfig;

    const STATE: &str = "/nonexistent";

    #[test]
    fn a_panel_that_is_not_there_is_an_error_that_says_what_to_check() {
        for (model, bus) in [(PanelModel::Ssd1306, "/dev/no-i2c"), (PanelModel::Ili9341, "/dev/no-spi")] {
            let dc = GpioLine::parse("no-chip:1");
            let panel =
                PanelConfig { model, bus: bus.into(), dc, ..Config::defaults(STATE.as_ref()).prompt().panel.clone() };
            let config = PromptConfig { panel, ..Config::defaults(STATE.as_ref()).prompt().clone() };
            let e = open(&config).err().expect("absent");
            assert!(e.to_string().contains(bus) && e.recovery == Recovery::Reopen, "{e}");
        }
    }

    #[test]
    fn a_ring_without_a_bus_is_an_error_that_says_what_to_check() {
        let config = RingConfig { bus: "/dev/no-spi".into(), leds: 12, top: 0, clockwise: true };
        let e = open_ring(&config).err().expect("absent");
        assert!(e.to_string().contains("the ring on /dev/no-spi") && e.to_string().contains("prompt.ring"), "{e}");
    }
}
