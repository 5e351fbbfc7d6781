//! Opens the configured panel on the buses of this machine.

use super::canvas::Canvas;
use super::draw::{Redraw, draw};
use super::oled::{self, Oled};
use super::sheet::pixels;
use super::tft::Tft;
use crate::adapters::prompt::texts;
use crate::adapters::prompt::threaded::Display;
use crate::config::sections::{GpioLine, PanelModel, PromptConfig};
use crate::domain::screen::Screen;
use crate::ports::{PortError, Recovery};
use embedded_hal::digital::{ErrorType, OutputPin};
use embedded_hal::i2c::I2c;
use embedded_hal::spi::SpiDevice;
use gpiocdev::Request;
use gpiocdev::line::Value;
use linux_embedded_hal::spidev::{SpiModeFlags, SpidevOptions};
use linux_embedded_hal::{Delay, I2cdev, SpidevDevice};
use std::path::Path;
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
            let mut spi = SpidevDevice::open(&panel.bus).map_err(|e| failed(&e))?;
            let options = SpidevOptions::new()
                .bits_per_word(8)
                .max_speed_hz(panel.speed_hz)
                .mode(SpiModeFlags::SPI_MODE_0)
                .build();
            spi.0.configure(&options).map_err(|e| failed(&e))?;
            let dc = panel.dc.as_ref().ok_or_else(|| failed(&"prompt.panel.dc is not set"))?;
            let dc = Pin::open(dc)?;
            if let Some(reset) = &panel.reset {
                let pulse = |_| failed(&"the line of its pin RST cannot be set");
                let mut reset = Pin::open(reset)?;
                reset.set_low().map_err(pulse)?;
                std::thread::sleep(Duration::from_millis(10));
                reset.set_high().map_err(pulse)?;
                std::thread::sleep(Duration::from_millis(120));
                let tft = Tft::new(spi, dc, panel.model, config.size, panel.rotate, &mut Delay);
                let tft = tft.map_err(|e| failed(&e))?;
                // A line that is let go may fall, and hold the panel in reset.
                return Ok(Box::new(Colour { tft, column, config: config.clone(), _reset: Some(reset) }));
            }
            let tft = Tft::new(spi, dc, panel.model, config.size, panel.rotate, &mut Delay).map_err(|e| failed(&e))?;
            return Ok(Box::new(Colour { tft, column, config: config.clone(), _reset: None }));
        }
    };
    let wires = I2cdev::new(&panel.bus).map_err(|e| failed(&e))?;
    let oled = Oled::new(wires, panel.address, chip, panel.rotate == 180).map_err(|e| failed(&e))?;
    Ok(Box::new(Mono { oled, column, bus }))
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

/// An output line of a GPIO chip.
struct Pin(Request);

impl Pin {
    fn open(line: &GpioLine) -> Result<Self, PortError> {
        let request = Request::builder()
            .on_chip::<&Path>(&line.chip)
            .with_consumer("cardea panel")
            .with_line(line.offset)
            .as_output(Value::Active)
            .request();
        request.map(Pin).map_err(|e| {
            PortError::new(
                format!("take line {} of {}", line.offset, line.chip.display()),
                e,
                "check prompt.panel.dc and reset, and that nothing else uses the line (gpioinfo)",
                Recovery::Reopen,
            )
        })
    }
}

impl ErrorType for Pin {
    type Error = embedded_hal::digital::ErrorKind;
}

impl OutputPin for Pin {
    fn set_low(&mut self) -> Result<(), Self::Error> {
        self.0.set_lone_value(Value::Inactive).map_err(|_| embedded_hal::digital::ErrorKind::Other)
    }

    fn set_high(&mut self) -> Result<(), Self::Error> {
        self.0.set_lone_value(Value::Active).map_err(|_| embedded_hal::digital::ErrorKind::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sections::{PanelConfig, PanelSize, PromptKind};

    #[test]
    fn a_panel_that_is_not_there_is_an_error_that_says_what_to_check() {
        for (model, bus) in [(PanelModel::Ssd1306, "/dev/no-i2c"), (PanelModel::Ili9341, "/dev/no-spi")] {
            let panel = PanelConfig {
                model,
                bus: bus.into(),
                address: 0x3c,
                dc: GpioLine::parse("no-chip:1"),
                reset: None,
                rotate: 0,
                speed_hz: 1_000_000,
            };
            let (kind, size) = (PromptKind::Panel, PanelSize::S128x64);
            let config = PromptConfig { kind, language: "en".into(), path: None, size, panel };
            let e = open(&config).err().expect("absent");
            assert!(e.to_string().contains(bus) && e.recovery == Recovery::Reopen, "{e}");
        }
    }
}
