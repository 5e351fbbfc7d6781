//! PINs: kept as Argon2id tags under the person's key, never as digits.
//!
//! One computation answers both questions, whether it is the PIN and whether it is the PIN plus one, so that who is forced to
//! open takes as long as who is not.

use crate::domain::access::PinVerifier;
use crate::ports::{PortError, Recovery};
use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

/// 19 MiB and two passes, the least that OWASP recommends: it runs on the terminal, between a key and the door.
const COST: (u32, u32) = (19 << 10, 2);
/// Digits of a PIN.
pub const DIGITS: std::ops::RangeInclusive<usize> = 4..=12;

/// What was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed {
    Right,
    /// The PIN whose last digit is one more.
    Duress,
    Wrong,
}

/// A verifier of a new PIN.
///
/// # Errors
/// It is no PIN of 4 to 12 digits.
pub fn verifier(pin: &str, salt: [u8; 16]) -> Result<PinVerifier, PortError> {
    let bad = |cause: &str| PortError::new("take the PIN", cause, "give 4 to 12 digits", Recovery::Fatal);
    if !DIGITS.contains(&pin.len()) || !pin.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad("it is no row of 4 to 12 digits"));
    }
    Ok(PinVerifier { salt, tag: *tag(pin, &salt)?, duress: *tag(&under_duress(pin), &salt)? })
}

/// Whether it is that PIN.
///
/// # Errors
/// There is no memory for the computation.
pub fn check(of: &PinVerifier, typed: &str) -> Result<Typed, PortError> {
    let tag = tag(typed, &of.salt)?;
    let (right, duress) = (same(&tag[..], &of.tag), same(&tag[..], &of.duress));
    Ok(match (right, duress) {
        (true, _) => Typed::Right,
        (false, true) => Typed::Duress,
        (false, false) => Typed::Wrong,
    })
}

/// The last digit plus one; nine becomes nought.
fn under_duress(pin: &str) -> Zeroizing<String> {
    let mut digits = Zeroizing::new(pin.to_owned());
    if let Some(last) = digits.pop().and_then(|c| c.to_digit(10)) {
        digits.push(char::from_digit((last + 1) % 10, 10).unwrap_or('0'));
    }
    digits
}

fn tag(pin: &str, salt: &[u8; 16]) -> Result<Zeroizing<[u8; 32]>, PortError> {
    let mut tag = Zeroizing::new([0; 32]);
    Params::new(COST.0, COST.1, 1, Some(32))
        .and_then(|p| {
            Argon2::new(Algorithm::Argon2id, Version::V0x13, p).hash_password_into(pin.as_bytes(), salt, &mut *tag)
        })
        .map_err(|e| PortError::new("compute with a PIN", e, "free some memory", Recovery::Degrade))?;
    Ok(tag)
}

/// Looks at every byte, whatever the first ones say.
#[must_use]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    let differ = a.iter().zip(b).fold(0_u8, |d, (x, y)| d | (x ^ y));
    a.len() == b.len() && std::hint::black_box(differ) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_its_duress_and_everything_else_are_told_apart() {
        let v = verifier("1239", [7; 16]).expect("a PIN");
        for (typed, is) in [
            ("1239", Typed::Right),
            ("1230", Typed::Duress),
            ("1238", Typed::Wrong),
            ("123", Typed::Wrong),
            ("", Typed::Wrong),
            ("12391", Typed::Wrong),
        ] {
            assert_eq!(check(&v, typed).expect("computes"), is, "{typed}");
        }
        assert!(!format!("{v:?}").contains("12"), "it stands in no log");
    }

    #[test]
    fn what_is_no_pin_is_refused() {
        for bad in ["", "123", "1234567890123", "12a4", "1234 ", "１２３４"] {
            assert!(verifier(bad, [0; 16]).is_err(), "{bad}");
        }
    }
}
