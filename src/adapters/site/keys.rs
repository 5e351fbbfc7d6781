//! Keys of a site as files or systemd credentials: 64 hex digits each, readable by the daemon's user alone.
//!
//! * `site.key`: shared by all terminals of the site; what opens the sealed blobs.
//! * `site-signer.key`: of one terminal that may sign; never leaves it.

use crate::ports::{PortError, Recovery};
use crate::schema::directory::{Digest, Signer};
use crate::schema::record::hex;
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A secret of 32 bytes.
pub type SiteKey = Zeroizing<[u8; 32]>;

/// Where the keys lie.
#[derive(Clone, Debug, Default)]
pub struct KeyFiles {
    pub site: Option<PathBuf>,
    /// `None`: this terminal does not sign.
    pub signer: Option<PathBuf>,
}

impl KeyFiles {
    /// The configured files, or the credentials `site.key` and `site-signer.key` that systemd handed over.
    #[must_use]
    pub fn find(site: Option<&Path>, signer: Option<&Path>) -> KeyFiles {
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        let credential = |name: &str| credentials.as_ref().map(|d| d.join(name)).filter(|p| p.exists());
        KeyFiles {
            site: site.map(Path::to_owned).or_else(|| credential("site.key")),
            signer: signer.map(Path::to_owned).or_else(|| credential("site-signer.key")),
        }
    }

    /// Reads both.
    ///
    /// # Errors
    /// No site key is named; a file cannot be read, can be read by others, or is not 64 hex digits.
    pub fn read(&self) -> Result<(SiteKey, Option<SiteKey>), PortError> {
        let Some(site) = &self.site else {
            let hint = "cardea site keygen makes one; carry the same to every terminal of the site";
            return Err(PortError::new("site.key_file", "no key of the site is named", hint, Recovery::Fatal));
        };
        let signer = self.signer.as_deref().map(|p| read("site.signer_key_file", p)).transpose()?;
        Ok((read("site.key_file", site)?, signer))
    }
}

/// The public key of a signer's secret one.
///
/// # Errors
/// The bytes are no ed25519 seed.
pub fn public_of(secret: &SiteKey) -> Result<Signer, PortError> {
    pair(secret).map(|p| public(&p))
}

pub(super) fn pair(secret: &SiteKey) -> Result<Ed25519KeyPair, PortError> {
    Ed25519KeyPair::from_seed_unchecked(secret.as_slice()).map_err(|e| {
        PortError::new("site.signer_key_file", e, "make another with cardea site keygen --signer", Recovery::Fatal)
    })
}

pub(super) fn public(pair: &Ed25519KeyPair) -> Signer {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(&pair.public_key().as_ref()[..32]);
    Signer(bytes)
}

/// A new key in a file that must not exist yet, mode 0600.
///
/// # Errors
/// The file exists or cannot be written.
pub fn generate(path: &Path) -> Result<SiteKey, PortError> {
    let failed = |e: std::io::Error| {
        let what = format!("write {}", path.display());
        PortError::new(what, e, "choose a name that does not exist yet, in a directory of yours", Recovery::Fatal)
    };
    let mut key = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *key)
        .map_err(|e| PortError::new("make a key", e, "check the kernel's random numbers", Recovery::Fatal))?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let text = Zeroizing::new(format!("{}\n", hex(&*key)));
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    Ok(key)
}

fn read(setting: &str, path: &Path) -> Result<SiteKey, PortError> {
    let what = || format!("{setting}: use {}", path.display());
    let failed = |e: std::io::Error| PortError::new(what(), e, "check the path and who may read it", Recovery::Fatal);
    let file = std::fs::File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode();
    if mode & 0o007 != 0 {
        let cause = format!("its mode {:04o} lets everybody in", mode & 0o7777);
        return Err(PortError::new(what(), cause, format!("chmod 600 {}", path.display()), Recovery::Fatal));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(1024).read_to_string(&mut text).map_err(failed)?;
    // The parser of digests reads 64 hex digits; what it returns is wiped with the key.
    Digest::parse(text.trim_end()).map(|d| Zeroizing::new(d.0)).ok_or_else(|| {
        PortError::new(what(), "not 64 lower-case hex digits", "make one with cardea site keygen", Recovery::Fatal)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_read_back_and_refused_when_others_can_read_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("site.key");
        let made = generate(&path).expect("writes");
        assert!(generate(&path).is_err(), "never over another");
        let files = KeyFiles { site: Some(path.clone()), signer: Some(path.clone()) };
        let (site, signer) = files.read().expect("reads");
        assert_eq!((*site, *signer.expect("a signer")), (*made, *made));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("sets");
        let e = files.read().expect_err("open to all").to_string();
        assert!(e.contains("chmod 600") && !e.contains(&hex(&*made)), "{e}");
        std::fs::write(&path, "abc").expect("writes");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("sets");
        assert!(files.read().expect_err("short").to_string().contains("64 lower-case hex digits"));
        assert!(KeyFiles::default().read().expect_err("none").to_string().contains("site.key_file"));
    }
}
