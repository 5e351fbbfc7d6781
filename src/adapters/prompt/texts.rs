//! What a person reads, in every language that there is. A new language is a new column; the compiler and the tests
//! below find what is missing. Never a score, a name or a reason that would help an attacker.

use crate::config::LANGUAGES;
use crate::domain::screen::{Advice, Phase, Screen};
use crate::schema::event::{Action, Verdict};

/// One text in each of [`LANGUAGES`], in their order.
type Row = [&'static str; LANGUAGES.len()];

/// The column of `language`.
#[must_use]
pub fn column(language: &str) -> Option<usize> {
    LANGUAGES.iter().position(|l| *l == language)
}

/// The screen as one line; empty when there is nothing to say.
#[must_use]
pub fn line(screen: &Screen, column: usize) -> String {
    let mut parts = Vec::new();
    match (screen.verdict, screen.action) {
        (Some(v), _) => parts.push(verdict(v)[column].to_owned()),
        (None, Some(a)) => {
            let (done, of) = screen.progress;
            let step = if of > 0 { format!("[{}/{of}] ", done.saturating_add(1).min(of)) } else { String::new() };
            parts.push(format!("{step}{}", action(a)[column]));
            if screen.left > 1 {
                parts.push(more_times(column, screen.left));
            }
        }
        (None, None) => parts.push(phase(screen.phase)[column].to_owned()),
    }
    parts.extend(screen.advice.map(|a| advice(a)[column].to_owned()));
    parts.retain(|p| !p.is_empty());
    parts.join(" - ")
}

/// How often something is still to be done.
fn more_times(column: usize, left: u8) -> String {
    let row: Row = ["{} more times", "noch {} Mal"];
    row[column].replace("{}", &left.to_string())
}

const fn phase(p: Phase) -> Row {
    match p {
        Phase::Idle => ["Ready", "Bereit"],
        Phase::Looking => ["Look at the camera", "Bitte in die Kamera sehen"],
        Phase::Challenge => ["Wait for the next step", "Auf den nächsten Schritt warten"],
        Phase::Light => ["Look at the display and hold still", "Auf den Bildschirm sehen und still halten"],
        Phase::Done => ["Done", "Fertig"],
        Phase::Unavailable => ["Out of service", "Außer Betrieb"],
    }
}

const fn verdict(v: Verdict) -> Row {
    match v {
        Verdict::Granted => ["Welcome", "Willkommen"],
        Verdict::Denied => ["No entry", "Kein Zutritt"],
        Verdict::TryAgain => ["Please try again", "Bitte noch einmal versuchen"],
    }
}

const fn action(a: Action) -> Row {
    match a {
        Action::Blink => ["Blink with both eyes", "Mit beiden Augen blinzeln"],
        Action::TurnLeft => ["<-- Turn your head to the LEFT", "<-- Kopf nach LINKS drehen"],
        Action::TurnRight => ["Turn your head to the RIGHT -->", "Kopf nach RECHTS drehen -->"],
        Action::Centre => ["Look straight ahead", "Geradeaus sehen"],
        Action::Smile => ["Smile", "Lächeln"],
        Action::MouthOpen => ["Open your mouth wide", "Mund weit öffnen"],
        Action::BrowRaise => ["Raise your eyebrows", "Augenbrauen heben"],
        Action::WinkLeft => ["<-- Close your LEFT eye", "<-- LINKES Auge schließen"],
        Action::WinkRight => ["Close your RIGHT eye -->", "RECHTES Auge schließen -->"],
        Action::Tongue => ["Show your tongue", "Zunge zeigen"],
        Action::Nod => ["Nod once", "Einmal nicken"],
    }
}

const fn advice(a: Advice) -> Row {
    match a {
        Advice::ComeCloser => ["Come closer", "Näher kommen"],
        Advice::HoldStill => ["Hold still", "Still halten"],
        Advice::MoreLight => ["It is too dark here", "Hier ist es zu dunkel"],
        Advice::LessLight => ["There is too much light", "Hier ist es zu hell"],
        Advice::FaceTheCamera => ["Face the camera", "Gesicht zur Kamera drehen"],
        Advice::OneAtATime => ["One person at a time", "Bitte einzeln"],
        Advice::Later => ["Try again later", "Später noch einmal versuchen"],
        Advice::OtherWay => ["Please use your card or ring", "Bitte Karte benutzen oder klingeln"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIONS: [Action; 11] = [
        Action::Blink,
        Action::TurnLeft,
        Action::TurnRight,
        Action::Centre,
        Action::Smile,
        Action::MouthOpen,
        Action::BrowRaise,
        Action::WinkLeft,
        Action::WinkRight,
        Action::Tongue,
        Action::Nod,
    ];
    const PHASES: [Phase; 6] =
        [Phase::Idle, Phase::Looking, Phase::Challenge, Phase::Light, Phase::Done, Phase::Unavailable];
    const VERDICTS: [Verdict; 3] = [Verdict::Granted, Verdict::Denied, Verdict::TryAgain];
    const ADVICE: [Advice; 8] = [
        Advice::ComeCloser,
        Advice::HoldStill,
        Advice::MoreLight,
        Advice::LessLight,
        Advice::FaceTheCamera,
        Advice::OneAtATime,
        Advice::Later,
        Advice::OtherWay,
    ];

    #[test]
    fn every_language_has_every_text_and_no_two_texts_are_alike() {
        let rows: Vec<Row> = PHASES
            .map(phase)
            .into_iter()
            .chain(VERDICTS.map(verdict))
            .chain(ACTIONS.map(action))
            .chain(ADVICE.map(advice))
            .collect();
        for (column, language) in LANGUAGES.iter().enumerate() {
            let mut seen = std::collections::HashSet::new();
            for row in &rows {
                assert!(!row[column].trim().is_empty(), "{language} lacks {row:?}");
                assert!(seen.insert(row[column]), "{language} says {:?} twice", row[column]);
            }
        }
        for row in &rows {
            assert_ne!(row[0], row[1], "not translated");
        }
    }

    #[test]
    fn left_and_right_point_where_they_say_in_every_language() {
        for column in 0..LANGUAGES.len() {
            for (left, right) in [(Action::TurnLeft, Action::TurnRight), (Action::WinkLeft, Action::WinkRight)] {
                assert!(action(left)[column].starts_with("<-- ") && action(right)[column].ends_with(" -->"));
            }
        }
    }

    #[test]
    fn a_line_holds_step_and_advice_but_never_both_verdict_and_action() {
        let asking = Screen {
            phase: Phase::Challenge,
            action: Some(Action::Nod),
            progress: (1, 3),
            verdict: None,
            advice: Some(Advice::HoldStill),
            ..Screen::IDLE
        };
        assert_eq!(line(&asking, 0), "[2/3] Nod once - Hold still");
        let blinks = Screen { action: Some(Action::Blink), left: 2, advice: None, ..asking };
        assert_eq!(line(&blinks, 0), "[2/3] Blink with both eyes - 2 more times");
        let over = Screen { verdict: Some(Verdict::Denied), advice: None, ..asking };
        assert_eq!(line(&over, 0), "No entry");
        assert_eq!(line(&Screen::IDLE, 1), "Bereit");
    }
}
