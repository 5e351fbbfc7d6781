//! Sealing a blob: XChaCha20-Poly1305 under a 32-byte key, a random nonce in front, bound to its place by the
//! associated data.

use super::{StoreError, Trouble};
use chacha20poly1305::aead::{Aead, AeadInOut, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use std::path::Path;
use zeroize::Zeroizing;

/// A secret key; wiped when dropped.
pub(super) type Key = Zeroizing<[u8; 32]>;

const NONCE: usize = 24;

/// Associated data of several parts; each with its length, so that no two lists read the same.
pub(super) fn bound(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().flat_map(|p| (p.len() as u64).to_le_bytes().into_iter().chain(p.iter().copied())).collect()
}

/// Bytes from the kernel's generator; `path` only names what they were for.
pub(super) fn random<const N: usize>(path: &Path) -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(e) => {
            Err(StoreError::new(Trouble::Io, path, "read the kernel's random numbers for", e, "check /dev/urandom"))
        }
    }
}

/// A fresh key.
pub(super) fn new_key(path: &Path) -> Result<Key, StoreError> {
    random(path).map(Zeroizing::new)
}

/// Nonce, ciphertext and tag.
pub(super) fn seal(key: &Key, bound_to: &[u8], plain: &[u8], path: &Path) -> Result<Vec<u8>, StoreError> {
    let nonce: [u8; NONCE] = random(path)?;
    let sealed = XChaCha20Poly1305::new((&**key).into())
        .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: bound_to })
        .map_err(|e| StoreError::new(Trouble::Io, path, "encrypt for", e, "this is too big to be a template"))?;
    Ok([nonce.as_slice(), &sealed].concat())
}

/// What was sealed; `None` when key, place or any bit is another.
pub(super) fn unseal(key: &Key, bound_to: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE>()?;
    let mut plain = Zeroizing::new(rest.to_vec());
    XChaCha20Poly1305::new((&**key).into())
        .decrypt_in_place(&XNonce::from(*nonce), bound_to, &mut *plain)
        .ok()
        .map(|()| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> Key {
        Zeroizing::new([n; 32])
    }

    #[test]
    fn a_blob_opens_only_with_its_key_in_its_place_and_whole() {
        let here = bound(&[b"ada", b"m1"]);
        let mut sealed = seal(&key(1), &here, b"secret", Path::new("x")).expect("seals");
        assert_eq!(unseal(&key(1), &here, &sealed).expect("opens").as_slice(), b"secret");
        assert!(unseal(&key(2), &here, &sealed).is_none(), "another key");
        assert!(unseal(&key(1), &bound(&[b"eve", b"m1"]), &sealed).is_none(), "another place");
        for i in 0..sealed.len() {
            sealed[i] ^= 1;
            assert!(unseal(&key(1), &here, &sealed).is_none(), "bit flipped in byte {i}");
            sealed[i] ^= 1;
        }
        for n in 0..sealed.len() {
            assert!(unseal(&key(1), &here, &sealed[..n]).is_none(), "cut to {n} bytes");
        }
    }

    #[test]
    fn places_that_run_together_are_told_apart() {
        assert_ne!(bound(&[b"ab", b"c"]), bound(&[b"a", b"bc"]));
    }
}
