//! The receipt of a removal: what was destroyed, when, and which record says so, signed by the device. It names nobody:
//! who holds the name can show by the salted hash that it is theirs.

use super::record::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    pub v: u8,
    /// `person.removed`.
    pub what: String,
    pub device: String,
    /// 16 bytes in hex, drawn for this receipt.
    pub salt: String,
    /// SHA-256 over salt and name, in hex.
    pub person_sha256: String,
    pub templates: u32,
    /// The key that sealed templates and attributes was destroyed, and the master key that could open what lingers of it
    /// was replaced; false where the master key is handed over from outside and stays.
    pub master_key_replaced: bool,
    /// The sealed bytes are gone from the files too; false while another process was reading: then at the next opening.
    pub erased: bool,
    /// RFC 3339.
    pub at: String,
    /// The record `person.removed` and the hash of its text.
    pub seq: u64,
    pub record: String,
    /// The device's public key.
    pub key: String,
    /// Ed25519 over [`Receipt::signed_text`]; empty before it is signed.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub sig: String,
}

impl Receipt {
    /// What `person_sha256` holds for a name.
    #[must_use]
    pub fn hash_of(salt: &str, name: &str) -> String {
        hex(&Sha256::new().chain_update(salt.as_bytes()).chain_update(b"\n").chain_update(name.as_bytes()).finalize())
    }

    /// The very bytes that are signed: a line that says what it is, then the receipt without its signature.
    #[must_use]
    pub fn signed_text(&self) -> String {
        let bare = Receipt { sig: String::new(), ..self.clone() };
        format!("cardea removal receipt\n{}\n", bare.text())
    }

    /// The line that is written.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("a receipt holds nothing that JSON cannot say")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_keeps_its_wire_form_and_what_is_signed() {
        let receipt = Receipt {
            v: 1,
            what: "person.removed".into(),
            device: "front".into(),
            salt: "00".into(),
            person_sha256: Receipt::hash_of("00", "ada"),
            templates: 2,
            master_key_replaced: true,
            erased: true,
            at: "2026-11-21T06:40:00.123Z".into(),
            seq: 42,
            record: "ab".into(),
            key: "cd".into(),
            sig: "ef".into(),
        };
        // printf '00\nada' | sha256sum
        let bare = concat!(
            r#"{"v":1,"what":"person.removed","device":"front","salt":"00","#,
            r#""person_sha256":"48624884e77921c56c34316a637c6f4cafe27824d038a4d5c37b1c149da31d4e","#,
            r#""templates":2,"master_key_replaced":true,"erased":true,"at":"2026-11-21T06:40:00.123Z","seq":42,"#,
            r#""record":"ab","key":"cd""#
        );
        assert_eq!(receipt.text(), format!(r#"{bare},"sig":"ef"}}"#));
        assert_eq!(receipt.signed_text(), format!("cardea removal receipt\n{bare}}}\n"));
        assert_eq!(serde_json::from_str::<Receipt>(&receipt.text()).expect("reads back"), receipt);
    }
}
