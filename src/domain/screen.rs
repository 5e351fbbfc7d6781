//! The screen model: what a display, LEDs or a console show, independent of any of them.

use crate::schema::event::{Action, Verdict};

/// Where the visit stands, as the person sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nobody is there.
    Idle,
    /// Somebody is being looked at.
    Looking,
    /// An action is asked for.
    Challenge,
    /// Colours are shown: look at the display and hold still.
    Light,
    /// Decided.
    Done,
    /// The terminal cannot decide now.
    Unavailable,
}

impl Phase {
    /// The word for clients and scripts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Phase::Idle => "idle",
            Phase::Looking => "looking",
            Phase::Challenge => "challenge",
            Phase::Light => "light",
            Phase::Done => "done",
            Phase::Unavailable => "unavailable",
        }
    }
}

/// Advice that helps the person; never a score, never a name of somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    ComeCloser,
    HoldStill,
    MoreLight,
    LessLight,
    FaceTheCamera,
    OneAtATime,
    Later,
    /// Nothing that can be asked is possible for this person: a card, a PIN, an attendant.
    OtherWay,
}

impl Advice {
    /// The word for clients and scripts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Advice::ComeCloser => "come_closer",
            Advice::HoldStill => "hold_still",
            Advice::MoreLight => "more_light",
            Advice::LessLight => "less_light",
            Advice::FaceTheCamera => "face_the_camera",
            Advice::OneAtATime => "one_at_a_time",
            Advice::Later => "later",
            Advice::OtherWay => "other_way",
        }
    }
}

/// A short text of characters that every display has: printable ASCII, at most 64.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Short {
    len: u8,
    bytes: [u8; 64],
}

impl Short {
    /// `None` for a text that is longer, or has other characters.
    #[must_use]
    pub fn new(text: &str) -> Option<Short> {
        let mut bytes = [0; 64];
        let plain = text.bytes().all(|b| (0x20..0x7f).contains(&b));
        bytes.get_mut(..text.len()).filter(|_| plain)?.copy_from_slice(text.as_bytes());
        Some(Short { len: u8::try_from(text.len()).ok()?, bytes })
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        self.bytes.get(..usize::from(self.len)).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default()
    }
}

/// What somebody needs to make the first administrator: shown while there is none and nobody stands in front.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// Good for one account, once.
    pub code: Short,
    /// Of the console, as a browser takes it.
    pub address: Short,
    /// First bytes of the certificate's SHA-256 fingerprint, as browsers show it; empty without TLS.
    pub fingerprint: Short,
}

/// The code stands on the display, and in no log.
impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Setup({})", self.address.as_str())
    }
}

/// One screen. Equal screens need not be drawn twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    pub phase: Phase,
    pub action: Option<Action>,
    /// Steps done and steps in all; `(0, 0)` outside of a challenge.
    pub progress: (u8, u8),
    /// How often the action is still to be done; 0 without one.
    pub left: u8,
    /// Milliseconds for the action from the moment of this screen, for a countdown; 0 without one.
    pub window_ms: u16,
    pub verdict: Option<Verdict>,
    pub advice: Option<Advice>,
    /// The whole display in this colour, sRGB, during a light handshake; nothing else is drawn.
    pub light: Option<[u8; 3]>,
    /// With [`Phase::Idle`]: how to set the terminal up.
    pub setup: Option<Setup>,
}

impl Screen {
    /// Nobody there.
    pub const IDLE: Screen = Screen {
        phase: Phase::Idle,
        action: None,
        progress: (0, 0),
        left: 0,
        window_ms: 0,
        verdict: None,
        advice: None,
        light: None,
        setup: None,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_is_plain_and_fits_and_the_code_stands_in_no_log() {
        assert_eq!(Short::new("AB-12").expect("plain").as_str(), "AB-12");
        assert_eq!(Short::new(&"x".repeat(64)).map(|s| s.as_str().len()), Some(64));
        assert!(Short::new(&"x".repeat(65)).is_none() && Short::new("é").is_none() && Short::new("a\n").is_none());
        let short = |t| Short::new(t).expect("plain");
        let setup = Setup { code: short("SECR-ETCO-DEXX"), address: short("https://a:1"), fingerprint: short("") };
        let screen = Screen { setup: Some(setup), ..Screen::IDLE };
        assert!(!format!("{screen:?}").contains("SECR"));
    }
}
