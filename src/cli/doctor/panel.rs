//! The line to an access panel, from outside: the daemon may have it open.

use super::Check;
use crate::adapters::panel::{key, osdp};
use crate::config::Config;
use crate::config::sections::{OsdpConfig, PanelLineConfig};
use rustix::fs::{Access, FileType, access, stat};

const ID: &str = "panel";

/// The line can be used. Whether a panel asks is in the daemon's health, and in `alarm.panel`.
pub(super) fn line(config: &Config) -> Check {
    match config.access_panel().as_ref().map(|p| &p.line) {
        None => Check::skip(ID, "no access panel is configured"),
        Some(PanelLineConfig::Osdp(osdp)) => judge(osdp, osdp::BUILT_IN),
        Some(PanelLineConfig::Wiegand(_)) => {
            let what = "Wiegand is experimental: card numbers go out in clear, and nobody answers";
            Check::warn(ID, what, "use OSDP where the panel has it")
        }
    }
}

fn judge(osdp: &OsdpConfig, built_in: bool) -> Check {
    let device = osdp.device.display();
    if !built_in {
        return Check::fail(ID, "this build has no OSDP", "build with --features osdp, or set osdp.enabled = false");
    }
    if let Err(e) = key::find(osdp.key_file.as_deref()) {
        return Check::fail(ID, format!("{}: {}", e.what, e.cause), e.hint);
    }
    match stat(&osdp.device).map(|s| FileType::from_raw_mode(s.st_mode)) {
        Err(e) => Check::fail(ID, format!("{device}: {e}"), "plug the RS-485 adapter in, or set osdp.device"),
        Ok(kind) if kind != FileType::CharacterDevice => {
            Check::fail(ID, format!("{device} is no serial line"), "set osdp.device to the RS-485 adapter")
        }
        Ok(_) if access(&osdp.device, Access::READ_OK | Access::WRITE_OK).is_err() => {
            Check::fail(ID, format!("{device} may not be used"), "let the daemon's user be in the group dialout")
        }
        Ok(_) => Check::ok(ID, format!("{device}, {} bits a second, address {}", osdp.baud, osdp.address)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn a_missing_feature_key_or_line_is_a_fault_that_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        std::fs::write(&key, "00112233445566778899aabbccddeeff").unwrap();
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let good = OsdpConfig { device: "/dev/null".into(), baud: 9600, address: 3, key_file: Some(key.clone()) };
        assert_eq!(judge(&good, true).status, Status::Ok);
        for (osdp, built_in, words) in [
            (good.clone(), false, "build with --features osdp"),
            (OsdpConfig { key_file: Some(dir.path().join("none")), ..good.clone() }, true, "check the path"),
            (OsdpConfig { device: dir.path().join("none"), ..good.clone() }, true, "plug the RS-485 adapter in"),
            (OsdpConfig { device: key, ..good.clone() }, true, "set osdp.device"),
        ] {
            let check = judge(&osdp, built_in);
            assert_eq!(check.status, Status::Fail);
            assert!(check.fix.as_ref().is_some_and(|f| f.contains(words)), "{check:?}");
        }
    }
}
