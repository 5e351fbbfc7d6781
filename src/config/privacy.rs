//! `[privacy]` in both forms: as it is typed and as it was checked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawPrivacy {
    /// Whether the command `snapshot` may be in `mqtt.commands`: pictures of whoever is at the door leave the terminal over MQTT.
    pub snapshots: bool,
}

/// Section `[privacy]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Privacy {
    /// `privacy.snapshots`, default false.
    pub snapshots: bool,
}

pub(super) fn build(raw: &RawPrivacy) -> Privacy {
    Privacy { snapshots: raw.snapshots }
}
