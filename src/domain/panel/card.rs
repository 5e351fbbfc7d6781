//! A card number as the bits that go over a panel's line.
//!
//! The formats are the published ones of the HID family, which panels have built in: H10301 (26 bits), H10306 (34),
//! H10302 (37 without a facility code) and H10304 (37 with one). Each begins with an even parity bit over the first half
//! of the data and ends with an odd one over the second; in the 37-bit formats the halves share the middle bit.

/// How a number is written into bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardFormat {
    /// 8 bits of facility, 16 of number.
    Bits26,
    /// 16 bits of facility, 16 of number.
    Bits34,
    /// 35 bits of number.
    Bits37,
    /// 16 bits of facility, 19 of number.
    Bits37Facility,
    /// The number is in hex and goes out as it is, four bits a digit, without parities: 1 to 16 digits.
    Raw,
}

/// Why a text is no number of this format. It never holds the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardFault {
    NotDecimal,
    NotHex,
    /// Over the greatest one.
    Facility(u64),
    /// Over the greatest one.
    Number(u64),
    NoFacility,
}

impl std::fmt::Display for CardFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CardFault::NotDecimal => f.write_str("it is not NUMBER or FACILITY:NUMBER in decimal digits"),
            CardFault::NotHex => f.write_str("it is not 1 to 16 hex digits"),
            CardFault::Facility(most) => write!(f, "its facility is over {most}"),
            CardFault::Number(most) => write!(f, "its number is over {most}"),
            CardFault::NoFacility => f.write_str("this format has no facility"),
        }
    }
}

/// Up to 64 bits, the first one first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CardBits {
    value: u64,
    len: u8,
}

/// The number does not stand in a log.
impl std::fmt::Debug for CardBits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CardBits({} bits)", self.len)
    }
}

impl CardBits {
    /// How many there are; 1 to 64.
    #[must_use]
    pub fn count(self) -> usize {
        usize::from(self.len)
    }

    /// Each of them, in the order of sending.
    pub fn iter(self) -> impl Iterator<Item = bool> {
        (0..self.len).rev().map(move |i| self.value >> i & 1 == 1)
    }

    /// As whole bytes: the first bit is the highest of the first byte, and zeros fill the last.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        let left = self.value << (64 - u32::from(self.len));
        left.to_be_bytes()[..self.count().div_ceil(8)].to_vec()
    }
}

impl CardFormat {
    /// Bits of facility and number; `None` where digits go out as they are.
    const fn widths(self) -> Option<(u32, u32)> {
        match self {
            CardFormat::Bits26 => Some((8, 16)),
            CardFormat::Bits34 => Some((16, 16)),
            CardFormat::Bits37 => Some((0, 35)),
            CardFormat::Bits37Facility => Some((16, 19)),
            CardFormat::Raw => None,
        }
    }

    /// The greatest facility; 0 where there is none.
    #[must_use]
    pub const fn most_facility(self) -> u64 {
        match self.widths() {
            Some((facility, _)) => (1 << facility) - 1,
            None => 0,
        }
    }

    /// The bits of a number as it stands with a person: `NUMBER`, which gets the facility `facility` where the format has
    /// one, `FACILITY:NUMBER`, or hex digits for [`CardFormat::Raw`].
    ///
    /// # Errors
    /// The text is no number of this format.
    pub fn encode(self, text: &str, facility: u64) -> Result<CardBits, CardFault> {
        let Some((facility_bits, number_bits)) = self.widths() else { return raw(text) };
        let (facility, number) = match text.split_once(':') {
            Some(_) if facility_bits == 0 => return Err(CardFault::NoFacility),
            Some((facility, number)) => (decimal(facility)?, decimal(number)?),
            None => (if facility_bits == 0 { 0 } else { facility }, decimal(text)?),
        };
        if facility > self.most_facility() {
            return Err(CardFault::Facility(self.most_facility()));
        }
        let most = (1 << number_bits) - 1;
        if number > most {
            return Err(CardFault::Number(most));
        }
        let data = facility << number_bits | number;
        let width = facility_bits + number_bits;
        // With an odd number of data bits the middle one counts in both halves.
        let half = width.div_ceil(2);
        let first = data >> (width - half);
        let second = data & ((1 << half) - 1);
        let even = u64::from(first.count_ones() % 2);
        let odd = u64::from(1 - second.count_ones() % 2);
        let len = u8::try_from(width + 2).unwrap_or(64);
        Ok(CardBits { value: even << (width + 1) | data << 1 | odd, len })
    }
}

fn decimal(text: &str) -> Result<u64, CardFault> {
    let digits = (1..=18).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(CardFault::NotDecimal)
}

fn raw(text: &str) -> Result<CardBits, CardFault> {
    let digits = (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    let value = u64::from_str_radix(text, 16).ok().filter(|_| digits).ok_or(CardFault::NotHex)?;
    Ok(CardBits { value, len: u8::try_from(text.len() * 4).unwrap_or(64) })
}

#[cfg(test)]
mod tests {
    use super::CardFormat::{Bits26, Bits34, Bits37, Bits37Facility, Raw};
    use super::*;

    fn bits(format: CardFormat, text: &str, facility: u64) -> String {
        let bits = format.encode(text, facility).expect("a number of the format");
        assert_eq!(bits.iter().count(), bits.count());
        bits.iter().map(|b| if b { '1' } else { '0' }).collect()
    }

    #[test]
    fn a_number_of_26_bits_is_that_of_a_card_which_is_documented_with_its_bits() {
        // Facility 118, number 1603: the H10301 card whose bits, 2ec0c86 in hex, tools for such cards document.
        let known = format!("{:026b}", 0x2ec_0c86);
        assert_eq!(bits(Bits26, "118:1603", 0), known);
        assert_eq!(bits(Bits26, "1603", 118), known, "the door's facility stands for one that is not said");
        assert_eq!(bits(Bits26, "17:4242", 118), "1_00010001_0001000010010010_0".replace('_', ""));
        assert_eq!(bits(Bits26, "0:0", 0), format!("0{}1", "0".repeat(24)));
        assert_eq!(bits(Bits26, "255:65535", 0), format!("0{}1", "1".repeat(24)));
    }

    #[test]
    fn the_longer_formats_have_parities_over_halves_that_share_the_middle_of_35_bits() {
        assert_eq!(bits(Bits34, "1:1", 0), "1_0000000000000001_0000000000000001_0".replace('_', ""));
        assert_eq!(bits(Bits34, "65535:65535", 0), format!("0{}1", "1".repeat(32)));
        // By hand: one bit, at the first, the middle and the last place of the 35.
        let one = |at: u32| bits(Bits37, &(1_u64 << (34 - at)).to_string(), 9);
        let place = |at: usize| format!("{}1{}", "0".repeat(at), "0".repeat(34 - at));
        assert_eq!(one(0), format!("1{}1", place(0)));
        assert_eq!(one(17), format!("1{}0", place(17)), "it counts in both halves");
        assert_eq!(one(34), format!("0{}0", place(34)));
        assert_eq!(bits(Bits37Facility, "1:1", 0), "1_0000000000000001_0000000000000000001_0".replace('_', ""));
        // The middle bit is the second one of the number.
        assert_eq!(bits(Bits37Facility, "0:131072", 0), "1_0000000000000000_0100000000000000000_0".replace('_', ""));
    }

    #[test]
    fn every_number_has_an_even_first_and_an_odd_second_half() {
        for format in [Bits26, Bits34, Bits37, Bits37Facility] {
            for number in 0..2000_u64 {
                let all: Vec<bool> =
                    format.encode(&(number * 31 % 65_536).to_string(), number % 256).unwrap().iter().collect();
                let half = all.len().div_ceil(2);
                let ones = |part: &[bool]| part.iter().filter(|b| **b).count();
                assert_eq!(ones(&all[..half]) % 2, 0, "{format:?} {number}");
                assert_eq!(ones(&all[all.len() - half..]) % 2, 1, "{format:?} {number}");
            }
        }
    }

    #[test]
    fn raw_digits_go_out_as_they_are_and_bytes_are_filled_at_the_end() {
        assert_eq!(bits(Raw, "0F5", 3), "000011110101");
        let bytes = |format: CardFormat, text: &str| format.encode(text, 0).unwrap().bytes();
        assert_eq!(bytes(Raw, "0f5"), [0x0f, 0x50]);
        assert_eq!(bytes(Raw, "0123456789abcdef"), 0x0123_4567_89ab_cdef_u64.to_be_bytes());
        assert_eq!(bytes(Bits26, "118:1603"), (0x2ec_0c86_u32 << 6).to_be_bytes());
        assert_eq!(bytes(Bits37, "1").len(), 5);
    }

    #[test]
    fn what_is_no_number_of_the_format_is_refused_and_never_shown() {
        for (format, text, fault) in [
            (Bits26, "", CardFault::NotDecimal),
            (Bits26, "12a", CardFault::NotDecimal),
            (Bits26, "+12", CardFault::NotDecimal),
            (Bits26, "1:2:3", CardFault::NotDecimal),
            (Bits26, "1:", CardFault::NotDecimal),
            (Bits26, "9999999999999999999999", CardFault::NotDecimal),
            (Bits26, "256:1", CardFault::Facility(255)),
            (Bits26, "65536", CardFault::Number(65_535)),
            (Bits34, "65536:1", CardFault::Facility(65_535)),
            (Bits37, "1:1", CardFault::NoFacility),
            (Bits37, "34359738368", CardFault::Number(34_359_738_367)),
            (Bits37Facility, "524288", CardFault::Number(524_287)),
            (Raw, "xyz", CardFault::NotHex),
            (Raw, "", CardFault::NotHex),
            (Raw, "+f", CardFault::NotHex),
            (Raw, "00112233445566778", CardFault::NotHex),
        ] {
            assert_eq!(format.encode(text, 0).expect_err(text), fault, "{format:?} {text}");
        }
        assert_eq!(Bits26.encode("1", 256).expect_err("the door's facility"), CardFault::Facility(255));
        let shown = format!("{:?}", Bits26.encode("118:1603", 0).unwrap());
        assert_eq!(shown, "CardBits(26 bits)");
    }
}
