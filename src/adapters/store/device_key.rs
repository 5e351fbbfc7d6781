//! The device key: signs the journal's heads and the receipts of removals (Ed25519).
//!
//! 32 bytes in `$CREDENTIALS_DIRECTORY/device.key` of systemd if there is one, else in `device.key` of the state
//! directory (0600). It is never in a database: whoever can write the journal's file alone can sign nothing.

use super::key::read_secret;
use super::seal::{self, Key};
use super::{StoreError, Trouble, files};
use crate::schema::head::SignedHead;
use crate::schema::record::hex;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use std::fmt;
use std::path::{Path, PathBuf};

const FILE: &str = "device.key";
/// What stands before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A device's public key: everybody may have it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.hex())
    }
}

impl PublicKey {
    /// From 64 hexadecimal digits or from PEM, as `cardea events key` prints them.
    #[must_use]
    pub fn parse(text: &str) -> Option<PublicKey> {
        let text = text.trim();
        let bytes = match text.strip_prefix("-----BEGIN PUBLIC KEY-----") {
            Some(rest) => {
                let body: String = rest.split("-----END").next()?.split_whitespace().collect();
                STANDARD.decode(body).ok()?.strip_prefix(&SPKI)?.to_vec()
            }
            None => super::export::unhex(text)?.to_vec(),
        };
        Some(PublicKey(bytes.try_into().ok()?))
    }

    /// 64 lower-case digits.
    #[must_use]
    pub fn hex(&self) -> String {
        hex(&self.0)
    }

    /// As other programs read it, for example `openssl pkeyutl -verify -rawin`.
    #[must_use]
    pub fn pem(&self) -> String {
        let body = STANDARD.encode([&SPKI[..], &self.0].concat());
        format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
    }

    /// Whether `sig` (hex) is this key's signature of `text`.
    #[must_use]
    pub fn verifies(&self, text: &str, sig: &str) -> bool {
        super::export::unhex(sig)
            .is_some_and(|sig| UnparsedPublicKey::new(&ED25519, &self.0).verify(text.as_bytes(), &sig).is_ok())
    }

    /// What is wrong with a head, were it this key's.
    ///
    /// # Errors
    /// The sentence for people.
    pub fn check(&self, head: &SignedHead) -> Result<(), String> {
        if head.key != self.hex() {
            return Err(format!("the head of record {} is signed by another key ({})", head.seq, head.key));
        }
        if !self.verifies(&SignedHead::signed_text(head.seq, &head.hash), &head.sig) {
            return Err(format!("the signature of the head is not right: record {} is not vouched for", head.seq));
        }
        Ok(())
    }
}

/// The device's own key.
pub struct DeviceKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKey({})", self.public.hex())
    }
}

impl DeviceKey {
    /// The key that is there.
    ///
    /// # Errors
    /// [`Trouble::Missing`] without one; [`Trouble::Permission`] when others can read it.
    pub fn existing(dir: &Path) -> Result<DeviceKey, StoreError> {
        let (path, credential) = place(dir);
        let seed = read_secret(&path, credential, "the key that signs the journal")?;
        DeviceKey::of(&seed, &path)
    }

    /// The key that is there, or a fresh one. The caller holds the journal's write lock, so that no two are made.
    pub(super) fn or_make(dir: &Path) -> Result<DeviceKey, StoreError> {
        match DeviceKey::existing(dir) {
            Err(e) if e.trouble == Trouble::Missing => {
                let path = dir.join(FILE);
                let seed = seal::new_key(&path)?;
                let key = DeviceKey::of(&seed, &path)?;
                // Whole or not at all: a half-written key would stop every later start.
                files::replace(&path, seed.as_slice())?;
                Ok(key)
            }
            other => other,
        }
    }

    fn of(seed: &Key, path: &Path) -> Result<DeviceKey, StoreError> {
        let bad = |e| StoreError::new(Trouble::Data, path, "use", e, "put the right key back");
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).map_err(bad)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| {
            StoreError::new(Trouble::Data, path, "use", "the public key has an odd length", "report this")
        })?;
        Ok(DeviceKey { pair, public: PublicKey(public) })
    }

    /// What others check signatures with.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// The signature of a text, in hex.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        hex(self.pair.sign(text.as_bytes()).as_ref())
    }
}

/// Where the key lies, and whether systemd handed it over.
fn place(dir: &Path) -> (PathBuf, bool) {
    let credential = std::env::var_os("CREDENTIALS_DIRECTORY").map(|d| Path::new(&d).join(FILE));
    match credential.filter(|c| c.exists()) {
        Some(file) => (file, true),
        None => (dir.join(FILE), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_is_private_and_its_public_half_comes_back_from_both_spellings() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(DeviceKey::existing(dir.path()).expect_err("none yet").trouble, Trouble::Missing);
        std::fs::write(dir.path().join("device.key.part"), "torn").expect("writes");
        let key = DeviceKey::or_make(dir.path()).expect("makes");
        let again = DeviceKey::or_make(dir.path()).expect("reads");
        assert_eq!(key.public(), again.public());
        let path = dir.path().join(FILE);
        assert_eq!(path.metadata().expect("is there").permissions().mode() & 0o7777, 0o600);
        assert!(!dir.path().join("device.key.part").exists());
        for text in [key.public().hex(), key.public().pem()] {
            assert_eq!(PublicKey::parse(&text), Some(key.public()), "{text}");
        }
        for bad in ["", "ab", &"g".repeat(64), "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"] {
            assert_eq!(PublicKey::parse(bad), None, "{bad}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("sets");
        let e = DeviceKey::existing(dir.path()).expect_err("others can read it");
        assert!(e.trouble == Trouble::Permission && e.to_string().contains("chmod 600"), "{e}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("sets");
        std::fs::write(&path, [7; 31]).expect("writes");
        assert_eq!(DeviceKey::or_make(dir.path()).expect_err("short").trouble, Trouble::Data);
    }

    #[test]
    fn the_signature_is_that_of_rfc_8032() {
        // Test vector 1 of section 7.1: the empty message.
        let seed = super::super::export::unhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let seed: Key = zeroize::Zeroizing::new(seed.expect("hex").as_slice().try_into().expect("32 bytes"));
        let key = DeviceKey::of(&seed, Path::new("x")).expect("a key");
        assert_eq!(key.public().hex(), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        let sig = key.sign("");
        assert_eq!(
            sig,
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        );
        assert!(key.public().verifies("", &sig) && !key.public().verifies("x", &sig));
        for odd in ["", "e5", &sig[..126], &format!("{sig}00")] {
            assert!(!key.public().verifies("", odd), "{odd}");
        }
    }
}
