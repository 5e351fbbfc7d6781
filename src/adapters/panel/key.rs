//! The key of OSDP's secure channel (SCBK) as a file or systemd credential: 32 hex digits, not readable by everybody.
//!
//! There is no default key, and SCBK-D, which the standard publishes for first installations, is refused: with it
//! everybody who has read the standard is this reader.

use crate::ports::{PortError, Recovery};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// 16 bytes.
pub type Scbk = Zeroizing<[u8; 16]>;

/// The default key that the standard publishes: 30 to 3F.
const SCBK_D: [u8; 16] = *b"0123456789:;<=>?";
/// More than a key with its line end.
const LONGEST: u64 = 1024;

/// The configured file, or the credential `osdp.key` that systemd handed over.
///
/// # Errors
/// There is neither; or it cannot be read, can be read by everybody, or is no key.
pub fn find(file: Option<&Path>) -> Result<Scbk, PortError> {
    let credential = || {
        let path = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?).join("osdp.key");
        path.exists().then_some(path)
    };
    match file.map(Path::to_owned).or_else(credential) {
        Some(path) => read(&path),
        None => Err(failed(
            None,
            "no key of the secure channel is named, and there is no default",
            "openssl rand -hex 16 makes one; give the panel the same",
        )),
    }
}

fn read(path: &Path) -> Result<Scbk, PortError> {
    let bad = |cause: &dyn std::fmt::Display| failed(Some(path), cause, "check the path and who may read it");
    let file = File::open(path).map_err(|e| bad(&e))?;
    let mode = file.metadata().map_err(|e| bad(&e))?.permissions().mode();
    if mode & 0o007 != 0 {
        let cause = format!("its mode {:03o} lets everybody in", mode & 0o777);
        return Err(failed(Some(path), cause, &format!("chmod 600 {}", path.display())));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(LONGEST).read_to_string(&mut text).map_err(|e| bad(&e))?;
    parse(text.trim_end_matches(['\n', '\r']))
        .map_err(|cause| failed(Some(path), cause, "openssl rand -hex 16 makes one; give the panel the same"))
}

fn parse(text: &str) -> Result<Scbk, &'static str> {
    let mut key = Zeroizing::new([0; 16]);
    if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err("it does not hold 32 hex digits");
    }
    for (byte, digits) in key.iter_mut().zip(text.as_bytes().as_chunks::<2>().0) {
        let digit = |d: u8| char::from(d).to_digit(16).and_then(|d| u8::try_from(d).ok()).unwrap_or(0);
        *byte = digit(digits[0]) << 4 | digit(digits[1]);
    }
    if *key == SCBK_D {
        return Err("it is SCBK-D, the default key that everybody knows");
    }
    if key.iter().all(|b| *b == key[0]) {
        return Err("all its bytes are the same");
    }
    Ok(key)
}

fn failed(path: Option<&Path>, cause: impl ToString, hint: &str) -> PortError {
    let what = path.map_or("osdp.key_file".to_owned(), |p| format!("osdp.key_file {}", p.display()));
    PortError::new(what, cause, hint, Recovery::Fatal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_default_key_and_what_is_no_key_are_refused_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let told = |name: &str, text: &str, mode: u32| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            find(Some(&path)).map_err(|e| e.to_string())
        };
        let good = "000102030405060708090a0b0c0d0e0F";
        let key = told("good", &format!("{good}\n"), 0o640).unwrap();
        assert_eq!(key.to_vec(), (0..16).collect::<Vec<u8>>());
        for (name, text, mode, words) in [
            ("open", good, 0o604, "chmod 600"),
            ("default", "303132333435363738393A3B3C3D3E3F", 0o600, "SCBK-D"),
            ("same", "abababababababababababababababab", 0o600, "all its bytes are the same"),
            ("short", "00010203", 0o600, "32 hex digits"),
            ("words", "keykeykeykeykeykeykeykeykeykeyke", 0o600, "32 hex digits"),
            ("empty", "", 0o600, "32 hex digits"),
        ] {
            let e = told(name, text, mode).expect_err(name);
            assert!(e.contains(words) && e.contains("osdp.key_file") && e.contains(name), "{e}");
            assert!(text.is_empty() || !e.contains(text), "{e}");
        }
        let e = find(Some(&dir.path().join("none"))).expect_err("missing").to_string();
        assert!(e.contains("none"), "{e}");
        let e = find(None).expect_err("no key").to_string();
        assert!(e.contains("there is no default"), "{e}");
    }
}
