//! The packets between daemon and guard: fixed layout, little endian, one per `SOCK_SEQPACKET` message.
//!
//! Every packet starts with `b"CG"`, the version and its kind; a packet of another length than its kind has is
//! malformed, and whoever receives one closes the connection. Nothing here allocates, since the guard reads packets
//! while the door is open.

use crate::base::time::Tick;
use crate::ports::{Edge, OpenRefusal};
use crate::schema::event::EdgeCause;
use crate::schema::ids::VisitId;

/// Raised with every change that an older peer would misread.
pub const VERSION: u8 = 1;
/// No packet is longer; a longer one is malformed.
pub const MAX: usize = 40;

/// From the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Arm,
    Open {
        nonce: [u8; 16],
        visit: VisitId,
        hold_ms: u32,
    },
    Heartbeat,
    /// The door sensor says open: the pulse may end.
    DoorOpen,
    /// Unlocked for one lease.
    HoldOpen {
        nonce: [u8; 16],
    },
    /// One lease more from now; of a line that is not held open, nothing.
    Renew,
}

/// From the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// First packet of a connection. `boot` is drawn anew by each guard process: edge numbers count within it.
    Hello {
        boot: [u8; 16],
    },
    /// First and last packet for a daemon that is not the only one.
    Busy,
    Armed {
        nonce: [u8; 16],
    },
    Opened,
    Refused(OpenRefusal),
    Edge(Edge),
}

/// A packet as it goes over the socket.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    bytes: [u8; MAX],
    len: usize,
}

impl Packet {
    fn new(kind: u8) -> Self {
        let mut p = Packet { bytes: [0; MAX], len: 0 };
        p.put(b"CG");
        p.put(&[VERSION, kind]);
        p
    }

    fn put(&mut self, part: &[u8]) {
        self.bytes[self.len..self.len + part.len()].copy_from_slice(part);
        self.len += part.len();
    }

    /// What is sent.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Takes a packet apart; every getter fails at the end instead of panicking.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    /// The kind, if magic and version fit.
    fn begin(bytes: &'a [u8]) -> Option<(u8, Self)> {
        let mut r = Reader(bytes);
        let [c, g, version, kind] = r.take()?;
        ([c, g] == *b"CG" && version == VERSION).then_some((kind, r))
    }

    fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

const ARM: u8 = 1;
const OPEN: u8 = 2;
const HEARTBEAT: u8 = 3;
const DOOR_OPEN: u8 = 4;
const HOLD_OPEN: u8 = 5;
const RENEW: u8 = 6;
const HELLO: u8 = 0x81;
const BUSY: u8 = 0x82;
const ARMED: u8 = 0x83;
const OPENED: u8 = 0x84;
const REFUSED: u8 = 0x85;
const EDGE: u8 = 0x86;

impl Request {
    /// The packet.
    #[must_use]
    pub fn encode(self) -> Packet {
        match self {
            Request::Arm => Packet::new(ARM),
            Request::Heartbeat => Packet::new(HEARTBEAT),
            Request::DoorOpen => Packet::new(DOOR_OPEN),
            Request::Renew => Packet::new(RENEW),
            Request::HoldOpen { nonce } => {
                let mut p = Packet::new(HOLD_OPEN);
                p.put(&nonce);
                p
            }
            Request::Open { nonce, visit, hold_ms } => {
                let mut p = Packet::new(OPEN);
                p.put(&nonce);
                p.put(&visit.0.to_le_bytes());
                p.put(&hold_ms.to_le_bytes());
                p
            }
        }
    }

    /// `None` for anything malformed.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Request> {
        let (kind, mut r) = Reader::begin(bytes)?;
        let request = match kind {
            ARM => Request::Arm,
            HEARTBEAT => Request::Heartbeat,
            DOOR_OPEN => Request::DoorOpen,
            RENEW => Request::Renew,
            HOLD_OPEN => Request::HoldOpen { nonce: r.take()? },
            OPEN => Request::Open {
                nonce: r.take()?,
                visit: VisitId(u64::from_le_bytes(r.take()?)),
                hold_ms: u32::from_le_bytes(r.take()?),
            },
            _ => return None,
        };
        r.end(request)
    }
}

const REFUSALS: [OpenRefusal; 5] =
    [OpenRefusal::Coalesced, OpenRefusal::Rate, OpenRefusal::Fault, OpenRefusal::Nonce, OpenRefusal::Unavailable];

/// The causes; a place in this list is the number on the wire, so it only grows at its end.
const CAUSES: [EdgeCause; 10] = [
    EdgeCause::Start,
    EdgeCause::Grant,
    EdgeCause::Deadline,
    EdgeCause::Eof,
    EdgeCause::Heartbeat,
    EdgeCause::Term,
    EdgeCause::Lock,
    EdgeCause::DoorOpen,
    EdgeCause::Fault,
    EdgeCause::HoldOpen,
];

/// The cause of that word in an edges file.
#[must_use]
pub fn cause_named(name: &str) -> Option<EdgeCause> {
    CAUSES.into_iter().find(|c| c.name() == name)
}

fn index_of<T: PartialEq>(list: &[T], wanted: &T) -> u8 {
    list.iter().position(|x| x == wanted).and_then(|i| u8::try_from(i).ok()).unwrap_or(u8::MAX)
}

impl Answer {
    /// The packet.
    #[must_use]
    pub fn encode(self) -> Packet {
        match self {
            Answer::Busy => Packet::new(BUSY),
            Answer::Opened => Packet::new(OPENED),
            Answer::Hello { boot } => {
                let mut p = Packet::new(HELLO);
                p.put(&boot);
                p
            }
            Answer::Armed { nonce } => {
                let mut p = Packet::new(ARMED);
                p.put(&nonce);
                p
            }
            Answer::Refused(why) => {
                let mut p = Packet::new(REFUSED);
                p.put(&[index_of(&REFUSALS, &why)]);
                p
            }
            Answer::Edge(e) => {
                let mut p = Packet::new(EDGE);
                p.put(&e.number.to_le_bytes());
                p.put(&e.at.as_nanos().to_le_bytes());
                p.put(&[u8::from(e.energised), index_of(&CAUSES, &e.cause), u8::from(e.visit.is_some())]);
                p.put(&e.visit.map_or(0, |v| v.0).to_le_bytes());
                p
            }
        }
    }

    /// `None` for anything malformed.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Answer> {
        let (kind, mut r) = Reader::begin(bytes)?;
        let answer = match kind {
            BUSY => Answer::Busy,
            OPENED => Answer::Opened,
            HELLO => Answer::Hello { boot: r.take()? },
            ARMED => Answer::Armed { nonce: r.take()? },
            REFUSED => {
                let [why] = r.take()?;
                Answer::Refused(*REFUSALS.get(usize::from(why))?)
            }
            EDGE => {
                let number = u64::from_le_bytes(r.take()?);
                let at = Tick::from_nanos(u64::from_le_bytes(r.take()?));
                let [level, cause, has_visit] = r.take()?;
                let visit = VisitId(u64::from_le_bytes(r.take()?));
                if level > 1 || has_visit > 1 {
                    return None;
                }
                Answer::Edge(Edge {
                    number,
                    at,
                    energised: level == 1,
                    cause: *CAUSES.get(usize::from(cause))?,
                    visit: (has_visit == 1).then_some(visit),
                })
            }
            _ => return None,
        };
        r.end(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests() -> Vec<Request> {
        let open = Request::Open { nonce: [7; 16], visit: VisitId(u64::MAX), hold_ms: 3_000 };
        vec![Request::Arm, open, Request::Heartbeat, Request::DoorOpen]
    }

    fn answers() -> Vec<Answer> {
        let mut all =
            vec![Answer::Hello { boot: [3; 16] }, Answer::Busy, Answer::Armed { nonce: [9; 16] }, Answer::Opened];
        all.extend(REFUSALS.map(Answer::Refused));
        all.extend(CAUSES.map(|cause| {
            let visit = (cause != EdgeCause::Start).then_some(VisitId(5));
            Answer::Edge(Edge {
                number: 1,
                at: Tick::from_nanos(77),
                energised: cause == EdgeCause::Grant,
                cause,
                visit,
            })
        }));
        all
    }

    #[test]
    fn every_packet_survives_the_wire() {
        for r in requests() {
            assert_eq!(Request::decode(r.encode().bytes()), Some(r));
        }
        for a in answers() {
            assert_eq!(Answer::decode(a.encode().bytes()), Some(a));
        }
    }

    #[test]
    fn a_packet_of_another_length_or_version_is_malformed() {
        for r in requests() {
            let good = r.encode();
            let mut longer = good.bytes().to_vec();
            longer.push(0);
            assert_eq!(Request::decode(&longer), None, "{r:?}");
            assert_eq!(Request::decode(&good.bytes()[..good.bytes().len() - 1]), None, "{r:?}");
            let mut newer = good.bytes().to_vec();
            newer[2] = VERSION + 1;
            assert_eq!(Request::decode(&newer), None, "{r:?}");
        }
        assert_eq!(Request::decode(&[]), None);
    }

    #[test]
    fn an_open_keeps_its_layout() {
        let open = Request::Open { nonce: [0xAA; 16], visit: VisitId(0x0102), hold_ms: 3_000 };
        let mut expected = b"CG\x01\x02".to_vec();
        expected.extend([0xAA; 16]);
        expected.extend([2, 1, 0, 0, 0, 0, 0, 0, 0xB8, 0x0B, 0, 0]);
        assert_eq!(open.encode().bytes(), expected);
    }

    mod properties {
        use super::*;
        use proptest::prelude::*;

        proptest! {
            #[test]
            fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), kind in any::<u8>()) {
                let _whatever = (Request::decode(&bytes), Answer::decode(&bytes));
                let mut headed = vec![b'C', b'G', VERSION, kind];
                headed.extend(&bytes);
                if let Some(r) = Request::decode(&headed) {
                    let again = r.encode();
                    prop_assert_eq!(again.bytes(), &headed[..]);
                }
                if let Some(a) = Answer::decode(&headed) {
                    prop_assert_eq!(Answer::decode(a.encode().bytes()), Some(a));
                }
            }
        }
    }
}
