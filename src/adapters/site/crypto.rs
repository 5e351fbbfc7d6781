//! Sealing and signing for one site.
//!
//! XChaCha20-Poly1305 under a key derived from the site's key and its name. The nonce is a keyed hash of place and content
//! (a synthetic one), so that the same node always seals to the same bytes: a book that did not change does not move, and
//! whoever rebuilds it finds the digests that are known already. All it tells a stranger is that two blobs are equal.

use super::keys::{self, SiteKey};
use crate::ports::PortError;
use crate::schema::directory::{Digest, Signer};
use crate::schema::record::hex;
use chacha20poly1305::aead::{Aead, AeadInOut, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use sha2::Sha256;
use zeroize::Zeroizing;

const NONCE: usize = 24;

/// The keys of a site, and of a signer where this terminal is one.
pub struct Keys {
    seal: SiteKey,
    nonce: SiteKey,
    name: SiteKey,
    pair: Option<Ed25519KeyPair>,
}

impl Keys {
    /// Derives the keys of the site of that name.
    ///
    /// # Errors
    /// The signer's key is none.
    pub fn new(site: &str, key: &SiteKey, signer: Option<&SiteKey>) -> Result<Keys, PortError> {
        let derive =
            |what: &str| Zeroizing::new(mac(key.as_slice(), &[b"cardea-site-1", what.as_bytes(), site.as_bytes()]));
        let pair = signer.map(keys::pair).transpose()?;
        Ok(Keys { seal: derive("seal"), nonce: derive("nonce"), name: derive("name"), pair })
    }

    /// The public key, where this terminal signs.
    #[must_use]
    pub fn signer(&self) -> Option<Signer> {
        self.pair.as_ref().map(keys::public)
    }

    /// The signature of a text in hex; empty where this terminal does not sign.
    pub(super) fn sign(&self, text: &str) -> String {
        self.pair.as_ref().map(|p| hex(p.sign(text.as_bytes()).as_ref())).unwrap_or_default()
    }

    /// A name of a person for files, which tells nobody without the key who it is.
    pub(super) fn alias(&self, person: &str) -> String {
        hex(&mac(self.name.as_slice(), &[person.as_bytes()])[..16])
    }

    /// Seals for a place: what it is and in whose book.
    pub(super) fn seal(&self, what: &str, signer: &Signer, plain: &[u8]) -> Option<Vec<u8>> {
        let place = place(what, signer);
        let tag = mac(self.nonce.as_slice(), &[&place, plain]);
        let nonce: [u8; NONCE] = *tag.first_chunk()?;
        let sealed = XChaCha20Poly1305::new((&*self.seal).into())
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: &place })
            .ok()?;
        Some([nonce.as_slice(), &sealed].concat())
    }

    /// What was sealed; `None` when key, place or any bit is another.
    pub(super) fn open(&self, what: &str, signer: &Signer, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE>()?;
        let mut plain = Zeroizing::new(rest.to_vec());
        XChaCha20Poly1305::new((&*self.seal).into())
            .decrypt_in_place(&XNonce::from(*nonce), &place(what, signer), &mut *plain)
            .ok()
            .map(|()| plain)
    }
}

/// Whether `sig` (hex) is the signer's signature of the text.
pub(super) fn signed(signer: &Signer, text: &str, sig: &str) -> bool {
    let (pairs, rest) = sig.as_bytes().as_chunks::<64>();
    let ([high, low], []) = (pairs, rest) else { return false };
    let half = |h: &[u8; 64]| std::str::from_utf8(h).ok().and_then(Digest::parse);
    let (Some(high), Some(low)) = (half(high), half(low)) else { return false };
    let sig = [high.0, low.0].concat();
    UnparsedPublicKey::new(&ED25519, &signer.0).verify(text.as_bytes(), &sig).is_ok()
}

fn place(what: &str, signer: &Signer) -> Vec<u8> {
    [b"cardea-site-1\0", what.as_bytes(), b"\0", &signer.0].concat()
}

/// HMAC-SHA256 over parts, each with its length, so that no two lists read the same.
fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(key) else { return [0; 32] };
    for part in parts {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(site: &str, key: u8, signer: u8) -> Keys {
        Keys::new(site, &Zeroizing::new([key; 32]), Some(&Zeroizing::new([signer; 32]))).expect("keys")
    }

    #[test]
    fn a_blob_opens_only_with_its_key_for_its_site_in_its_book_and_whole() {
        let (ours, book) = (keys("works", 1, 1), Signer([5; 32]));
        let mut sealed = ours.seal("blob", &book, b"secret").expect("seals");
        assert_eq!(ours.seal("blob", &book, b"secret"), Some(sealed.clone()), "the same bytes again");
        assert_eq!(&ours.open("blob", &book, &sealed).expect("opens")[..], b"secret");
        assert!(ours.open("revoked", &book, &sealed).is_none(), "another kind");
        assert!(ours.open("blob", &Signer([6; 32]), &sealed).is_none(), "another book");
        assert!(keys("works", 2, 1).open("blob", &book, &sealed).is_none(), "another key");
        assert!(keys("other", 1, 1).open("blob", &book, &sealed).is_none(), "another site");
        for i in 0..sealed.len() {
            sealed[i] ^= 1;
            assert!(ours.open("blob", &book, &sealed).is_none(), "bit flipped in byte {i}");
            sealed[i] ^= 1;
        }
    }

    #[test]
    fn a_signature_is_of_one_text_by_one_signer() {
        let (ours, other) = (keys("works", 1, 1), keys("works", 1, 2));
        let (me, them) = (ours.signer().expect("signs"), other.signer().expect("signs"));
        let sig = ours.sign("text");
        assert!(signed(&me, "text", &sig));
        assert!(
            !signed(&me, "texts", &sig) && !signed(&them, "text", &sig) && !signed(&me, "text", &other.sign("text"))
        );
        for bad in ["", "00", &"0".repeat(128), &sig.to_uppercase(), &format!("{sig}00")] {
            assert!(!signed(&me, "text", bad), "{bad}");
        }
    }
}
