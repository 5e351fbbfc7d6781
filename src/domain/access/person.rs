//! What is known of a person beside the face.

use std::collections::BTreeSet;
use std::fmt;

/// Enough to check a PIN, and no PIN. How the tags are made is the store's affair.
#[derive(Clone, PartialEq, Eq)]
pub struct PinVerifier {
    pub salt: [u8; 16],
    /// Of the PIN.
    pub tag: [u8; 32],
    /// Of the PIN whose last digit is one more (nine becomes nought): it opens and calls for help.
    pub duress: [u8; 32],
}

/// It never stands in a log.
impl fmt::Debug for PinVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PinVerifier")
    }
}

/// All of it; the default is what holds for somebody of whom nothing was said.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Names of groups. Everybody is in [`EVERYONE`](super::EVERYONE) too.
    pub groups: BTreeSet<String>,
    /// First moment at which the person may pass, in milliseconds since 1970.
    pub valid_from_ms: Option<i64>,
    /// The moment from which the person may not pass any more.
    pub valid_to_ms: Option<i64>,
    pub pin: Option<PinVerifier>,
    /// The card's number as the reader types it.
    pub card: Option<String>,
    /// When the person agreed to be enrolled.
    pub consent_ms: Option<i64>,
    /// The moment from which the templates are not compared with anybody any more, whatever the rules say.
    pub expires_ms: Option<i64>,
}

impl Attributes {
    /// Whether the person is in a group.
    #[must_use]
    pub fn is_in(&self, group: &str) -> bool {
        group == super::EVERYONE || self.groups.contains(group)
    }
}

/// Neither PIN nor card stands in a log.
impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attributes")
            .field("groups", &self.groups)
            .field("valid_from_ms", &self.valid_from_ms)
            .field("valid_to_ms", &self.valid_to_ms)
            .field("pin", &self.pin.is_some())
            .field("card", &self.card.is_some())
            .field("consent_ms", &self.consent_ms)
            .field("expires_ms", &self.expires_ms)
            .finish()
    }
}
