//! Stands in for `osdp/` in a build without it.

use crate::base::time::Clock;
use crate::config::sections::OsdpConfig;
use crate::ports::{PanelLine, PortError, Recovery};
use std::sync::Arc;

/// Whether this build can be a reader of an OSDP panel.
pub const BUILT_IN: bool = false;

/// Says what is missing.
///
/// # Errors
/// Always.
pub fn open(config: &OsdpConfig, _clock: Arc<dyn Clock>) -> Result<Box<dyn PanelLine>, PortError> {
    Err(PortError::new(
        format!("open the panel's line {}", config.device.display()),
        "this build has no OSDP",
        "build with --features osdp, or set osdp.enabled = false",
        Recovery::Fatal,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::ManualClock;

    #[test]
    fn a_build_without_it_says_which_feature_is_missing() {
        let config = OsdpConfig { device: "/dev/x".into(), baud: 9600, address: 0, key_file: None };
        let clock = Arc::new(ManualClock::new(0));
        let e = open(&config, clock).err().expect("refused").to_string();
        assert!(e.contains("--features osdp") && e.contains("/dev/x"), "{e}");
    }
}
