//! Reads along on the line: when the panel last asked us, and what became of a card.
//!
//! A packet is `53 address length length control [security block] code … check`. The control byte holds a number of two
//! bits. It rises from command to command (0 only begins anew), and an answer repeats it: a panel that has our answer
//! goes on with the next number, one that has not asks again with the same.

use crate::base::time::Tick;
use std::time::Duration;

const START: u8 = 0x53;
const MARK: u8 = 0xff;
/// Of the address: the packet is an answer.
const ANSWER: u8 = 0x80;
/// Of the control byte.
const NUMBER: u8 = 0x03;
const CRC: u8 = 0x04;
const SECURED: u8 = 0x08;
/// The answer that holds a card's bits.
const RAW: u8 = 0x50;
/// Security block of an answer whose data is encrypted.
const SCS_18: u8 = 0x18;
/// Header and check.
const SHORTEST: usize = 7;
const LONGEST: usize = 1440;
/// A command is sent in one go. What came so long before belongs to no command that comes now.
const GAP: Duration = Duration::from_millis(100);

/// What was seen on the line.
pub struct Tap {
    address: u8,
    /// What may become a packet.
    incoming: Vec<u8>,
    last: Tick,
    heard: Option<Tick>,
    /// A card may leave.
    open: bool,
    /// The number of the answer by which it left.
    left: Option<u8>,
    taken: u64,
}

impl Tap {
    /// Nothing was heard yet; no card may leave.
    pub fn new(address: u8) -> Tap {
        Tap { address, incoming: Vec::new(), last: Tick::ZERO, heard: None, open: false, left: None, taken: 0 }
    }

    /// When the panel last asked us something.
    pub fn heard(&self) -> Option<Tick> {
        self.heard
    }

    /// Cards after which the panel went on.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// One card may go out now, until the panel has taken it.
    pub fn let_one_card_leave(&mut self) {
        (self.open, self.left) = (true, None);
    }

    /// None may any more, and one that has left counts for nothing.
    pub fn let_no_card_leave(&mut self) {
        (self.open, self.left) = (false, None);
    }

    /// Bytes came in.
    pub fn incoming(&mut self, now: Tick, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if now.since(self.last) > GAP {
            self.incoming.clear();
        }
        self.last = now;
        self.incoming.extend_from_slice(bytes);
        loop {
            let start = self.incoming.iter().position(|b| *b == START).unwrap_or(self.incoming.len());
            self.incoming.drain(..start);
            let [_, address, low, high, control, ..] = self.incoming[..] else { return };
            let len = usize::from(u16::from_le_bytes([low, high]));
            if !(SHORTEST..=LONGEST).contains(&len) {
                self.incoming.drain(..1);
                continue;
            }
            let Some(packet) = self.incoming.get(..len) else { return };
            if !whole(packet, control) {
                // Not a packet's start after all.
                self.incoming.drain(..1);
                continue;
            }
            self.incoming.drain(..len);
            if address == self.address {
                self.asked(now, control & NUMBER);
            }
        }
    }

    fn asked(&mut self, now: Tick, number: u8) {
        self.heard = Some(now);
        let Some(left) = self.left.filter(|left| *left != number) else { return };
        // 0 begins the conversation anew: whether the panel has the answer nobody knows, so it counts as not.
        if number != 0 || left == 0 {
            self.taken += 1;
        }
        (self.open, self.left) = (false, None);
    }

    /// Whether this packet of ours may go out: a card's only encrypted, when one was to be sent, and once.
    pub fn may_leave(&mut self, packet: &[u8]) -> Result<(), &'static str> {
        let packet = packet.strip_prefix(&[MARK]).unwrap_or(packet);
        let [START, address, _, _, control, ref rest @ ..] = *packet else { return Ok(()) };
        if address != self.address | ANSWER {
            return Ok(());
        }
        let (block, code) = match rest {
            [len, kind, ..] if control & SECURED != 0 => (Some(*kind), rest.get(usize::from(*len))),
            _ => (None, rest.first()),
        };
        if code != Some(&RAW) {
            return Ok(());
        }
        let number = control & NUMBER;
        if block != Some(SCS_18) {
            Err("a card would have left in clear")
        } else if !self.open || self.left.is_some_and(|left| left != number) {
            Err("a card would have left that nobody was to have")
        } else {
            self.left = Some(number);
            Ok(())
        }
    }
}

/// Whether the check at the end is that of the rest.
fn whole(packet: &[u8], control: u8) -> bool {
    if control & CRC == 0 {
        return packet.iter().fold(0_u8, |sum, b| sum.wrapping_add(*b)) == 0;
    }
    let Some((body, check)) = packet.split_last_chunk::<2>() else { return false };
    crc(body) == u16::from_le_bytes(*check)
}

/// CRC-16 of the standard: polynomial 1021, begun with 1D0F.
fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0x1d0f_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
            let carry = crc & 0x8000 != 0;
            crc << 1 ^ if carry { 0x1021 } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Tick {
        Tick::from_millis(ms)
    }

    /// A packet with its check.
    fn packet(address: u8, control: u8, rest: &[u8]) -> Vec<u8> {
        let check = if control & CRC == 0 { 1 } else { 2 };
        let len = u16::try_from(5 + rest.len() + check).unwrap().to_le_bytes();
        let mut out = [&[START, address, len[0], len[1], control], rest].concat();
        if control & CRC == 0 {
            let sum = out.iter().fold(0_u8, |s, b| s.wrapping_add(*b));
            out.push(sum.wrapping_neg());
        } else {
            out.extend_from_slice(&crc(&out).to_le_bytes());
        }
        out
    }

    /// A question for cards in the secure channel.
    fn poll(address: u8, number: u8) -> Vec<u8> {
        packet(address, CRC | SECURED | number, &[2, 0x15, 0x60, 1, 2, 3, 4])
    }

    fn card(number: u8) -> Vec<u8> {
        packet(5 | ANSWER, CRC | SECURED | number, &[2, SCS_18, RAW, 9, 9, 9, 9, 1, 2, 3, 4])
    }

    #[test]
    fn the_check_is_that_of_the_standard() {
        assert_eq!(crc(b"123456789"), 0xe5cc);
    }

    #[test]
    fn only_whole_questions_to_us_count_as_heard() {
        let mut tap = Tap::new(5);
        tap.incoming(ms(10), &poll(6, 1));
        tap.incoming(ms(20), &packet(5 | ANSWER, CRC | 1, &[0x40]));
        let mut broken = poll(5, 1);
        broken[7] ^= 1;
        tap.incoming(ms(30), &broken);
        assert_eq!(tap.heard(), None);
        tap.incoming(ms(40), &packet(5, 1, &[0x60]));
        assert_eq!(tap.heard(), Some(ms(40)), "a checksum is a check too");
        // In pieces, behind rubbish that begins like a packet.
        let all = [&[MARK, START, 5, 9, 0][..], &poll(5, 2), &poll(5, 3)].concat();
        for (i, piece) in all.chunks(3).enumerate() {
            tap.incoming(ms(50 + i as u64), piece);
        }
        assert_eq!(tap.heard(), Some(ms(50 + all.chunks(3).count() as u64 - 1)));
        // A piece of a packet that never went on holds nobody up.
        tap.incoming(ms(200), &[START, 5, 0xa0, 5, CRC]);
        tap.incoming(ms(400), &poll(5, 1));
        assert_eq!(tap.heard(), Some(ms(400)));
    }

    #[test]
    fn rubbish_for_ever_takes_no_memory() {
        let mut tap = Tap::new(5);
        for i in 0..20_000_u64 {
            tap.incoming(ms(i), &[START, 5, 0x9f, 5, (i % 251) as u8]);
            assert!(tap.incoming.len() <= LONGEST + 64);
        }
        assert_eq!(tap.heard(), None);
    }

    #[test]
    fn a_card_is_taken_when_the_panel_goes_on_and_not_when_it_asks_again_or_anew() {
        for (next, taken) in [(2, 1), (1, 0), (0, 0)] {
            let mut tap = Tap::new(5);
            tap.let_one_card_leave();
            tap.incoming(ms(10), &poll(5, 1));
            assert_eq!(tap.may_leave(&[&[MARK][..], &card(1)].concat()), Ok(()));
            assert_eq!(tap.taken(), 0);
            tap.incoming(ms(20), &poll(6, 2));
            assert_eq!(tap.taken(), 0, "another reader's question is none");
            tap.incoming(ms(30), &poll(5, next));
            assert_eq!(tap.taken(), taken, "after 1 came {next}");
        }
    }

    #[test]
    fn no_card_leaves_in_clear_unasked_or_twice() {
        let mut tap = Tap::new(5);
        let unasked = Err("a card would have left that nobody was to have");
        assert_eq!(tap.may_leave(&card(1)), unasked);
        tap.let_one_card_leave();
        for (control, rest) in [(CRC | 1, &[RAW, 9, 9][..]), (CRC | SECURED | 1, &[2, 0x16, RAW, 9, 9])] {
            let clear = tap.may_leave(&packet(5 | ANSWER, control, rest));
            assert_eq!(clear, Err("a card would have left in clear"));
        }
        assert_eq!(tap.may_leave(&card(1)), Ok(()));
        assert_eq!(tap.may_leave(&card(1)), Ok(()), "asked again with the same number: the same answer");
        assert_eq!(tap.may_leave(&card(2)), unasked);
        tap.incoming(ms(30), &poll(5, 2));
        assert_eq!(tap.may_leave(&card(2)), unasked, "it was taken");
        assert_eq!(tap.may_leave(&packet(5 | ANSWER, CRC | 1, &[0x40])), Ok(()));
        // Forgotten, before and after it has left once.
        for left in [false, true] {
            tap.let_one_card_leave();
            if left {
                assert_eq!(tap.may_leave(&card(1)), Ok(()));
            }
            tap.let_no_card_leave();
            assert_eq!(tap.may_leave(&card(1)), unasked);
            tap.incoming(ms(40), &poll(5, 2));
            assert_eq!(tap.taken(), 1);
        }
    }
}
