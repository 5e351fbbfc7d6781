//! What colours mean, on displays of one colour and of many.

use embedded_graphics::pixelcolor::{BinaryColor, PixelColor, Rgb565, Rgb888, RgbColor};

/// What a colour means. On a display of one colour all but the ground are one.
pub trait Ink: PixelColor {
    const GROUND: Self;
    const TEXT: Self;
    const ASK: Self;
    const GOOD: Self;
    const BAD: Self;
    const FAINT: Self;

    /// This colour on the ground, `level` thirds of it.
    #[must_use]
    fn thirds(self, level: u8) -> Self;

    /// Red, green and blue.
    fn rgb(self) -> [u8; 3];

    /// The colour of a light handshake, on a display that has colours.
    fn light(rgb: [u8; 3]) -> Option<Self>;
}

impl Ink for BinaryColor {
    const GROUND: Self = BinaryColor::Off;
    const TEXT: Self = BinaryColor::On;
    const ASK: Self = BinaryColor::On;
    const GOOD: Self = BinaryColor::On;
    const BAD: Self = BinaryColor::On;
    const FAINT: Self = BinaryColor::On;

    fn thirds(self, level: u8) -> Self {
        if level >= 2 { self } else { BinaryColor::Off }
    }

    fn rgb(self) -> [u8; 3] {
        if self.is_on() { [235, 245, 255] } else { [0, 0, 0] }
    }

    fn light(_: [u8; 3]) -> Option<Self> {
        None
    }
}

/// A colour display's ground is black: what is dark does not shine into the camera's picture.
macro_rules! rgb_ink {
    ($color:ty, $widen:expr, $narrow:expr) => {
        impl Ink for $color {
            const GROUND: Self = <$color>::new(0, 0, 0);
            const TEXT: Self = $narrow([255, 255, 255]);
            const ASK: Self = $narrow([255, 204, 64]);
            const GOOD: Self = $narrow([72, 216, 120]);
            const BAD: Self = $narrow([255, 96, 88]);
            const FAINT: Self = $narrow([112, 124, 140]);

            fn thirds(self, level: u8) -> Self {
                let part = |v: u8| u8::try_from(u16::from(v) * u16::from(level.min(3)) / 3).unwrap_or(v);
                <$color>::new(part(self.r()), part(self.g()), part(self.b()))
            }

            fn rgb(self) -> [u8; 3] {
                $widen(self)
            }

            fn light(rgb: [u8; 3]) -> Option<Self> {
                Some($narrow(rgb))
            }
        }
    };
}

const fn narrow_565(c: [u8; 3]) -> Rgb565 {
    Rgb565::new(c[0] >> 3, c[1] >> 2, c[2] >> 3)
}

const fn narrow_888(c: [u8; 3]) -> Rgb888 {
    Rgb888::new(c[0], c[1], c[2])
}

rgb_ink!(Rgb565, |c: Rgb565| [c.r() << 3 | c.r() >> 2, c.g() << 2 | c.g() >> 4, c.b() << 3 | c.b() >> 2], narrow_565);
rgb_ink!(Rgb888, |c: Rgb888| [c.r(), c.g(), c.b()], narrow_888);
