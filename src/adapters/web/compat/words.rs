//! Actions and advice in the words that the old clients show.

/// What to do. `left` is how often it is still to be done.
pub(super) fn instruction(action: &str, left: u64) -> String {
    match action {
        "blink" if left == 1 => "Blink 1 more time".into(),
        "blink" => format!("Blink {left} more times"),
        "turn_left" => "Turn your head LEFT".into(),
        "turn_right" => "Turn your head RIGHT".into(),
        "centre" => "Look straight at the camera".into(),
        "smile" => "Please smile".into(),
        "mouth_open" => "Please open your mouth".into(),
        "nod" => "Please nod".into(),
        "brow_raise" => "Please raise your eyebrows".into(),
        "wink_left" => "Please wink with your LEFT eye".into(),
        "wink_right" => "Please wink with your RIGHT eye".into(),
        "tongue" => "Please show your tongue".into(),
        other => other.to_owned(),
    }
}

/// Name of an action among the challenges.
pub(super) fn challenge(action: &str) -> String {
    match action {
        "turn_left" => "LEFT".into(),
        "turn_right" => "RIGHT".into(),
        "centre" => "CENTER".into(),
        other => other.to_uppercase(),
    }
}

/// What would help before anything is asked for.
pub(super) fn advice(advice: Option<&str>) -> &'static str {
    match advice {
        Some("come_closer") => "Move closer to the camera.",
        Some("hold_still") => "Hold still.",
        Some("more_light") => "More light is needed.",
        Some("less_light") => "There is too much light.",
        Some("one_at_a_time") => "Keep one face in frame.",
        _ => "Please center your face within the circle.",
    }
}
