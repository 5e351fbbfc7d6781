//! Key events to rows: what the US layout makes of digits and of the letters A to F, which is all that PINs and card
//! numbers consist of. Pure: the time of each event comes with it.

use super::super::LONGEST;
use std::time::Duration;
use zeroize::Zeroizing;

/// Whoever pauses for so long has gone: what was typed does not become the beginning of somebody else's row.
const PAUSE: Duration = Duration::from_secs(10);

// Codes of linux/input-event-codes.h.
const ESC: u16 = 1;
const BACKSPACE: u16 = 14;
const ENTER: u16 = 28;
const KEYPAD_ENTER: u16 = 96;
const SHIFTS: [u16; 2] = [42, 54];
/// Caps lock, num lock, control, alt and meta type nothing.
const SILENT: [u16; 8] = [58, 69, 29, 97, 56, 100, 125, 126];
/// 1 to 9 and 0 above the letters are 2 to 11.
const FIRST_DIGIT: u16 = 2;
const DIGITS: &[u8; 10] = b"1234567890";
/// Those of the keypad.
const KEYPAD: [(u16, u8); 10] = [
    (82, b'0'),
    (79, b'1'),
    (80, b'2'),
    (81, b'3'),
    (75, b'4'),
    (76, b'5'),
    (77, b'6'),
    (71, b'7'),
    (72, b'8'),
    (73, b'9'),
];
const LETTERS: [(u16, u8); 6] = [(30, b'a'), (48, b'b'), (46, b'c'), (32, b'd'), (18, b'e'), (33, b'f')];

/// What a key does.
enum Key {
    Types(u8),
    Ends,
    Clears,
    Shift,
    Nothing,
    /// It types something that stands in no PIN and no card number.
    Spoils,
}

fn meaning(code: u16, shift: bool) -> Key {
    let digit = code.checked_sub(FIRST_DIGIT).and_then(|i| DIGITS.get(usize::from(i)));
    let of = |table: &[(u16, u8)]| table.iter().find(|(c, _)| *c == code).map(|(_, b)| *b);
    match code {
        ENTER | KEYPAD_ENTER => Key::Ends,
        ESC | BACKSPACE => Key::Clears,
        _ if SHIFTS.contains(&code) => Key::Shift,
        _ if SILENT.contains(&code) => Key::Nothing,
        _ => match (digit, of(&KEYPAD), of(&LETTERS)) {
            // Signs stand above the digits.
            (Some(_), ..) if shift => Key::Spoils,
            (Some(d), ..) => Key::Types(*d),
            (_, Some(d), _) => Key::Types(d),
            (.., Some(l)) => Key::Types(if shift { l.to_ascii_uppercase() } else { l }),
            _ => Key::Spoils,
        },
    }
}

/// What was typed since the last row.
pub struct Typist {
    row: Zeroizing<Vec<u8>>,
    /// Something in it makes it no row, to its end.
    spoilt: bool,
    /// Shift keys that are down.
    shifts: [bool; 2],
    last: Duration,
}

impl Default for Typist {
    fn default() -> Self {
        Typist { row: empty(), spoilt: false, shifts: [false; 2], last: Duration::ZERO }
    }
}

/// With all the room that it will need: a row that grows leaves copies behind.
fn empty() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(LONGEST))
}

impl Typist {
    /// A key went down (1) or up (0), or repeats (2), at a time of one clock; returns the row that it ends.
    pub fn key(&mut self, at: Duration, code: u16, value: i32) -> Option<Zeroizing<String>> {
        if let Some(i) = SHIFTS.iter().position(|s| *s == code) {
            self.shifts[i] = value != 0;
            return None;
        }
        // A key that is held down is one key.
        if value != 1 {
            return None;
        }
        // A clock that was set back is a pause too.
        if at.checked_sub(self.last).is_none_or(|since| since > PAUSE) {
            self.clear();
        }
        self.last = at;
        match meaning(code, self.shifts.contains(&true)) {
            Key::Types(byte) if self.row.len() < LONGEST => self.row.push(byte),
            Key::Types(_) | Key::Spoils => self.spoilt = true,
            Key::Clears => self.clear(),
            Key::Ends => return self.end(),
            Key::Shift | Key::Nothing => {}
        }
        None
    }

    /// Events were lost: what stands there is no row, and nobody knows which keys are down.
    pub fn lost_some(&mut self) {
        self.spoilt = true;
        self.shifts = [false; 2];
    }

    fn clear(&mut self) {
        (self.row, self.spoilt) = (empty(), false);
    }

    fn end(&mut self) -> Option<Zeroizing<String>> {
        let row = std::mem::replace(&mut self.row, empty());
        let spoilt = std::mem::take(&mut self.spoilt);
        (!spoilt && !row.is_empty()).then(|| Zeroizing::new(String::from_utf8_lossy(&row).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIFT: u16 = 42;

    /// Presses and releases each, a tenth of a second apart; returns the rows.
    fn typed(typist: &mut Typist, from_ms: u64, codes: &[u16]) -> Vec<String> {
        let mut rows = Vec::new();
        for (i, code) in codes.iter().enumerate() {
            let at = Duration::from_millis(from_ms + 100 * i as u64);
            for value in [1, 0] {
                rows.extend(typist.key(at, *code, value).map(|r| r.to_string()));
            }
        }
        rows
    }

    fn rows(codes: &[u16]) -> Vec<String> {
        typed(&mut Typist::default(), 1000, codes)
    }

    #[test]
    fn digits_of_both_places_and_letters_to_f_are_typed_and_either_enter_ends_a_row() {
        assert_eq!(rows(&[2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ENTER]), ["1234567890"]);
        assert_eq!(rows(&[79, 80, 81, 75, 76, 77, 71, 72, 73, 82, KEYPAD_ENTER]), ["1234567890"]);
        assert_eq!(rows(&[30, 48, 46, 32, 18, 33, ENTER]), ["abcdef"]);
        assert_eq!(rows(&[2, ENTER, 3, KEYPAD_ENTER, ENTER, 4]), ["1", "2"], "an empty row is none");
    }

    #[test]
    fn shift_makes_letters_great_and_signs_of_digits() {
        let mut typist = Typist::default();
        let at = Duration::from_secs(1);
        let mut key = |code, value| typist.key(at, code, value).map(|r| r.to_string());
        for shift in SHIFTS {
            assert_eq!(key(shift, 1), None);
            assert_eq!((key(30, 1), key(30, 0), key(shift, 0)), (None, None, None));
        }
        assert_eq!(key(48, 1), None);
        assert_eq!(key(ENTER, 1).as_deref(), Some("AAb"));
        // Both down, one up: still down.
        for (code, value) in [(42, 1), (54, 1), (42, 0), (46, 1), (54, 0), (46, 1)] {
            assert_eq!(key(code, value), None);
        }
        assert_eq!(key(ENTER, 1).as_deref(), Some("Cc"));
        // An exclamation mark.
        for (code, value) in [(SHIFT, 1), (2, 1), (SHIFT, 0), (3, 1), (ENTER, 1)] {
            assert_eq!(key(code, value), None);
        }
        // On the keypad shift changes nothing that counts.
        for (code, value) in [(SHIFT, 1), (79, 1), (SHIFT, 0)] {
            assert_eq!(key(code, value), None);
        }
        assert_eq!(key(ENTER, 1).as_deref(), Some("1"));
    }

    #[test]
    fn backspace_and_escape_clear_everything_also_what_was_spoilt() {
        for clears in [ESC, BACKSPACE] {
            assert_eq!(rows(&[2, 3, clears, 4, ENTER]), ["3"]);
            assert_eq!(rows(&[57, clears, 4, ENTER]), ["3"]);
            assert_eq!(rows(&[2, clears, ENTER]), Vec::<String>::new());
        }
    }

    #[test]
    fn a_row_with_anything_else_in_it_is_none_and_the_next_one_is() {
        // Space, G, minus, an arrow, a function key, a media key, and codes that nobody knows.
        for other in [57, 34, 12, 103, 59, 164, 0, 0x2ff, u16::MAX] {
            assert_eq!(rows(&[2, other, 3, ENTER, 4, ENTER]), ["3"], "{other}");
        }
        for silent in SILENT {
            assert_eq!(rows(&[2, silent, 3, ENTER]), ["12"], "{silent}");
        }
    }

    #[test]
    fn a_row_that_is_too_long_is_none() {
        let long = |n: usize| [vec![2; n], vec![ENTER, 3, ENTER]].concat();
        // A tenth of a second each: no pause is among them.
        assert_eq!(rows(&long(LONGEST)), ["1".repeat(LONGEST), "2".into()]);
        assert_eq!(rows(&long(LONGEST + 1)), ["2"]);
        assert_eq!(rows(&long(10 * LONGEST)), ["2"]);
    }

    #[test]
    fn a_key_that_is_held_down_types_once() {
        let mut typist = Typist::default();
        let at = Duration::from_secs(1);
        for (code, value) in [(2, 1), (2, 2), (2, 2), (2, 0), (ENTER, 2), (ENTER, 0), (3, -1)] {
            assert_eq!(typist.key(at, code, value), None);
        }
        assert_eq!(typist.key(at, ENTER, 1).unwrap().as_str(), "1");
    }

    #[test]
    fn lost_events_spoil_the_row_and_let_shift_go() {
        let mut typist = Typist::default();
        assert_eq!(typed(&mut typist, 1000, &[2]), Vec::<String>::new());
        typist.key(Duration::from_secs(2), SHIFT, 1);
        typist.lost_some();
        assert_eq!(typed(&mut typist, 3000, &[3, ENTER, 4, 30, ENTER]), ["3a"]);
    }

    #[test]
    fn what_somebody_left_behind_is_not_the_beginning_of_the_next_row() {
        for (then, want) in [(11_000, "12"), (11_001, "2"), (900, "2")] {
            let mut typist = Typist::default();
            typed(&mut typist, 1000, &[2]);
            assert_eq!(typed(&mut typist, then, &[3, ENTER]), [want], "{then}");
        }
        // The same after something that spoilt it.
        let mut typist = Typist::default();
        typed(&mut typist, 1000, &[57]);
        assert_eq!(typed(&mut typist, 20_000, &[3, ENTER]), ["2"]);
    }
}
