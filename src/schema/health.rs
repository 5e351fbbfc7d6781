//! What the retained topic `health` and `/healthz` are made of.

use serde::{Deserialize, Serialize};

/// The sum of all problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    Ok,
    /// Doors are decided, but something is missing.
    Degraded,
    /// No door is decided.
    Fault,
}

/// A neighbour that can be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    Connected,
    Lost,
    /// Not configured.
    Off,
}

/// Whether pictures come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CameraHealth {
    /// Frames per second over the last seconds.
    pub fps: f32,
    /// Age of the newest frame; null when there never was one.
    pub age_ms: Option<u64>,
}

/// The terminal's own judgement of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    pub status: HealthStatus,
    /// One sentence each, for people.
    pub problems: Vec<String>,
    pub camera: CameraHealth,
    pub guard: Link,
    pub broker: Link,
    pub disk_free_mb: u64,
    pub model_pack: String,
    /// False with a pack that has no PAD network.
    pub passive_pad: bool,
    /// Of the newest record.
    pub seq: u64,
    /// Nobody is let in until the command `release`; left out while that is not so.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub lockdown: bool,
}

impl Health {
    /// At most so many problems leave the process; a part that fails in a loop must not make the payload grow.
    pub const MAX_PROBLEMS: usize = 16;
    /// Characters of one problem.
    pub const MAX_PROBLEM_CHARS: usize = 200;

    /// The text that is published: JSON of bounded size.
    #[must_use]
    pub fn text(&self) -> String {
        let mut bounded = self.clone();
        bounded.problems.truncate(Self::MAX_PROBLEMS);
        for problem in &mut bounded.problems {
            if let Some((end, _)) = problem.char_indices().nth(Self::MAX_PROBLEM_CHARS) {
                problem.truncate(end);
            }
        }
        serde_json::to_string(&bounded).expect("health holds nothing that JSON cannot say")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(problems: Vec<String>) -> Health {
        Health {
            status: HealthStatus::Degraded,
            problems,
            camera: CameraHealth { fps: 14.5, age_ms: Some(31) },
            guard: Link::Connected,
            broker: Link::Lost,
            disk_free_mb: 1200,
            model_pack: "standard".into(),
            passive_pad: true,
            seq: 42,
            lockdown: false,
        }
    }

    #[test]
    fn health_keeps_its_wire_form() {
        assert_eq!(
            health(vec!["the broker is lost".into()]).text(),
            concat!(
                r#"{"status":"degraded","problems":["the broker is lost"],"camera":{"fps":14.5,"age_ms":31},"#,
                r#""guard":"connected","broker":"lost","disk_free_mb":1200,"model_pack":"standard","passive_pad":true,"seq":42}"#
            )
        );
    }

    #[test]
    fn a_part_that_complains_for_ever_does_not_make_the_payload_grow() {
        let text = health(vec!["é".repeat(100_000); 1000]).text();
        assert!(text.len() < 8 * 1024, "{}", text.len());
        assert_eq!(serde_json::from_str::<Health>(&text).expect("reads back").problems.len(), Health::MAX_PROBLEMS);
    }

    #[test]
    fn a_frame_rate_that_is_no_number_is_still_json() {
        let mut sick = health(vec![]);
        sick.camera.fps = f32::NAN;
        assert!(sick.text().contains(r#""fps":null"#));
    }
}
