//! MQTT topics, built in one place from a checked device name and nothing else.

use super::ids::DeviceId;

/// Topics of one device below a base (`cardea` by default).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    root: String,
}

impl Topics {
    /// `base` has been checked by the configuration: no wildcards, no leading slash.
    #[must_use]
    pub fn new(base: &str, device: &DeviceId) -> Self {
        Topics { root: format!("{base}/{device}") }
    }

    /// The topic `leaf`, for example `event/access`.
    #[must_use]
    pub fn leaf(&self, leaf: &str) -> String {
        format!("{}/{leaf}", self.root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_below_the_device() {
        let topics = Topics::new("cardea", &DeviceId::new("front").expect("valid"));
        assert_eq!(topics.leaf("event/access"), "cardea/front/event/access");
    }
}
