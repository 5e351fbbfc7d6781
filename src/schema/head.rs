//! A signed head: which record was the last at some moment, by the word of the terminal that wrote it. One line of JSON
//! beside the journal, beside an export and on `log/head`.

use serde::{Deserialize, Serialize};

/// Number and hash of a record, with the device's Ed25519 signature over [`SignedHead::signed_text`]. The hash chains
/// all records before it, so this one signature stands for the whole journal up to there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedHead {
    pub v: u8,
    pub seq: u64,
    /// SHA-256 of the record's text in hex; the next record's `prev` carries it.
    pub hash: String,
    /// The public key in hex, 32 bytes. Whoever checks compares it with the one that was written down before.
    pub key: String,
    /// 64 bytes in hex.
    pub sig: String,
}

impl SignedHead {
    /// The very bytes that are signed. The first line keeps a head from being taken for a receipt.
    #[must_use]
    pub fn signed_text(seq: u64, hash: &str) -> String {
        format!("cardea journal head\n{seq}\n{hash}\n")
    }

    /// The line that is written.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("a head holds nothing that JSON cannot say")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_keeps_its_wire_form_and_what_is_signed() {
        let head = SignedHead { v: 1, seq: 42, hash: "ab".into(), key: "cd".into(), sig: "ef".into() };
        let text = r#"{"v":1,"seq":42,"hash":"ab","key":"cd","sig":"ef"}"#;
        assert_eq!(head.text(), text);
        assert_eq!(serde_json::from_str::<SignedHead>(text).expect("reads back"), head);
        assert_eq!(SignedHead::signed_text(42, "ab"), "cardea journal head\n42\nab\n");
    }
}
