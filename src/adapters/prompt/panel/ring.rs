//! A ring of WS2812 on the data line of an SPI bus.

use super::draw::Redraw;
use crate::adapters::prompt::lights;
use crate::adapters::prompt::threaded::Display;
use crate::config::sections::RingConfig;
use crate::domain::screen::Screen;
use crate::ports::{PortError, Recovery};
use embedded_hal::spi::SpiDevice;
use std::time::Duration;

/// One ring.
#[derive(Debug)]
pub struct Ring<S> {
    spi: S,
    config: RingConfig,
}

impl<S: SpiDevice> Ring<S> {
    /// On a bus that runs at [`lights::WS2812_SPI_HZ`].
    pub const fn new(spi: S, config: RingConfig) -> Self {
        Ring { spi, config }
    }
}

impl<S: SpiDevice> Display for Ring<S>
where
    S::Error: std::fmt::Debug,
{
    fn show(&mut self, screen: &Screen, elapsed: Duration) -> Result<Redraw, PortError> {
        let RingConfig { leds, top, clockwise, .. } = self.config;
        let clock = lights::ring(screen, elapsed, leds);
        // The same again is sent too: a ring that lost its power for a moment is dark.
        let bytes = lights::ws2812(&lights::wired(&clock, top, clockwise));
        self.spi.write(&bytes).map_err(|e| failed(&self.config, &format!("{e:?}")))?;
        Ok(lights::next(elapsed, |at| lights::ring(screen, at, leds)))
    }
}

/// A failure of the ring's bus.
pub fn failed(config: &RingConfig, e: &dyn std::fmt::Display) -> PortError {
    PortError::new(
        format!("use the ring on {}", config.bus.display()),
        e,
        "check prompt.ring, and that this user may open the bus (group spi)",
        Recovery::Reopen,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::screen::Phase;
    use crate::schema::event::Action;
    use embedded_hal::spi::{ErrorKind, ErrorType, Operation};
    use embedded_hal_mock::eh1::spi::{Mock, Transaction};

    fn config(top: u16, clockwise: bool) -> RingConfig {
        RingConfig { bus: "/dev/spidev1.0".into(), leds: 12, top, clockwise }
    }

    fn sent(bytes: Vec<u8>) -> Vec<Transaction<u8>> {
        vec![Transaction::transaction_start(), Transaction::write_vec(bytes), Transaction::transaction_end()]
    }

    /// What twelve LEDs are sent, the lit ones in one colour.
    fn chain(lit: &[usize], colour: [u8; 3]) -> Vec<u8> {
        lights::ws2812(&std::array::from_fn::<_, 12, _>(|i| if lit.contains(&i) { colour } else { [0; 3] }))
    }

    const LEFT: Screen =
        Screen { phase: Phase::Challenge, action: Some(Action::TurnLeft), window_ms: 2500, ..Screen::IDLE };

    #[test]
    fn the_left_half_lights_up_whichever_way_the_ring_is_wired() {
        let ask = [128, 88, 0];
        // Seven to eleven o'clock; with its first LED at six o'clock; counted the other way round from twelve.
        for (top, clockwise, lit) in
            [(0, true, [7, 8, 9, 10, 11]), (6, true, [1, 2, 3, 4, 5]), (0, false, [1, 2, 3, 4, 5])]
        {
            let mut bus = Mock::new(&sent(chain(&lit, ask)));
            let mut ring = Ring::new(bus.clone(), config(top, clockwise));
            assert_eq!(ring.show(&LEFT, Duration::ZERO).expect("shown"), Redraw::Never);
            bus.done();
        }
    }

    #[test]
    fn a_nod_moves_from_the_top_to_the_bottom_and_a_handshake_fills_the_ring() {
        let nod = Screen { action: Some(Action::Nod), ..LEFT };
        let light = Screen { phase: Phase::Light, light: Some([255, 128, 255]), ..Screen::IDLE };
        let all: Vec<usize> = (0..12).collect();
        let mut expected = sent(chain(&[11, 0, 1], [128, 88, 0]));
        expected.extend(sent(chain(&[5, 6, 7], [128, 88, 0])));
        // sRGB 128 is a little over a fifth of the light.
        expected.extend(sent(chain(&all, [255, 55, 255])));
        let mut bus = Mock::new(&expected);
        let mut ring = Ring::new(bus.clone(), config(0, true));
        let next = ring.show(&nod, Duration::from_millis(100)).expect("shown");
        assert_eq!(next, Redraw::After(Duration::from_millis(300)));
        ring.show(&nod, Duration::from_millis(400)).expect("shown");
        ring.show(&light, Duration::ZERO).expect("shown");
        bus.done();
    }

    #[test]
    fn a_bus_that_fails_names_the_ring() {
        struct Gone;
        impl ErrorType for Gone {
            type Error = ErrorKind;
        }
        impl SpiDevice for Gone {
            fn transaction(&mut self, _: &mut [Operation<'_, u8>]) -> Result<(), ErrorKind> {
                Err(ErrorKind::Other)
            }
        }
        let e = Ring::new(Gone, config(0, true)).show(&LEFT, Duration::ZERO).expect_err("unplugged");
        assert!(e.to_string().contains("the ring on /dev/spidev1.0") && e.recovery == Recovery::Reopen, "{e}");
    }
}
