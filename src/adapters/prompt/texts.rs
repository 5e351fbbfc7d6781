//! What a person reads, in every language that there is. A new language is a new column; the compiler and the tests
//! below find what is missing. Never a score, a name or a reason that would help an attacker.

use crate::config::LANGUAGES;
use crate::domain::screen::{Advice, Phase, Screen, Setup};
use crate::schema::event::{Action, Verdict};

/// One text in each of [`LANGUAGES`], in their order.
pub type Row = [&'static str; LANGUAGES.len()];

/// The column of `language`.
#[must_use]
pub fn column(language: &str) -> Option<usize> {
    LANGUAGES.iter().position(|l| *l == language)
}

/// The screen as one line; empty when there is nothing to say.
#[must_use]
pub fn line(screen: &Screen, column: usize) -> String {
    let mut parts = Vec::new();
    if let Some(setup) = &screen.setup {
        return set_up(setup, column).join(" - ");
    }
    match (screen.verdict, screen.action) {
        (Some(v), _) => parts.push(verdict(v)[column].to_owned()),
        (None, Some(a)) => {
            let (done, of) = screen.progress;
            let step = if of > 0 { format!("[{}/{of}] ", done.saturating_add(1).min(of)) } else { String::new() };
            parts.push(format!("{step}{}", with_arrow(a, column)));
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

/// What stands before the code that makes the first administrator.
pub const SETUP_CODE: Row =
    ["Set-up code", "Einrichtungscode", "Código de instalación", "Code d’installation", "设置代码", "設定コード"];

/// Code, address and fingerprint, as far as there are any.
#[must_use]
pub fn set_up(setup: &Setup, column: usize) -> Vec<String> {
    let mut all = vec![format!("{} {}", SETUP_CODE[column], setup.code.as_str()), setup.address.as_str().to_owned()];
    if !setup.fingerprint.as_str().is_empty() {
        all.push(format!("SHA-256 {}", setup.fingerprint.as_str()));
    }
    all
}

/// How often something is still to be done.
#[must_use]
pub fn more_times(column: usize, left: u8) -> String {
    let row: Row = ["{} more times", "noch {} Mal", "{} veces más", "encore {} fois", "还有{}次", "あと{}回"];
    row[column].replace("{}", &left.to_string())
}

/// What is said while nothing is asked and nothing is decided.
#[must_use]
pub const fn phase(p: Phase) -> Row {
    match p {
        Phase::Idle => ["Ready", "Bereit", "Listo", "Prêt", "就绪", "準備完了"],
        Phase::Looking => [
            "Look at the camera",
            "Bitte in die Kamera sehen",
            "Mire a la cámara",
            "Regardez la caméra",
            "请看摄像头",
            "カメラを見てください",
        ],
        Phase::Challenge => [
            "Wait for the next step",
            "Auf den nächsten Schritt warten",
            "Espere el siguiente paso",
            "Attendez la prochaine étape",
            "请等待下一步",
            "次の指示をお待ちください",
        ],
        Phase::Light => [
            "Look at the display and hold still",
            "Auf den Bildschirm sehen und still halten",
            "Mire la pantalla y no se mueva",
            "Regardez l’écran sans bouger",
            "请看屏幕，保持不动",
            "画面を見て、動かないでください",
        ],
        Phase::Done => ["Done", "Fertig", "Terminado", "Terminé", "完成", "終了しました"],
        Phase::Unavailable => [
            "Out of service",
            "Außer Betrieb",
            "Fuera de servicio",
            "Hors service",
            "暂停使用",
            "ただいま使用できません",
        ],
    }
}

/// How it ended.
#[must_use]
pub const fn verdict(v: Verdict) -> Row {
    match v {
        // "Adelante" and "Bienvenue", not "Bienvenido": nobody's sex is guessed.
        Verdict::Granted => ["Welcome", "Willkommen", "Adelante", "Bienvenue", "欢迎", "どうぞお入りください"],
        Verdict::Denied => {
            ["No entry", "Kein Zutritt", "Acceso denegado", "Accès refusé", "禁止通行", "入室できません"]
        }
        Verdict::TryAgain => [
            "Please try again",
            "Bitte noch einmal versuchen",
            "Inténtelo de nuevo",
            "Veuillez réessayer",
            "请重试",
            "もう一度お試しください",
        ],
    }
}

/// What is to be done, without the arrow: [`line()`] writes one, a panel draws one. Left and right are the person's own.
#[must_use]
pub const fn action(a: Action) -> Row {
    match a {
        Action::Blink => [
            "Blink with both eyes",
            "Mit beiden Augen blinzeln",
            "Parpadee con ambos ojos",
            "Clignez des deux yeux",
            "请眨双眼",
            "両目でまばたきしてください",
        ],
        Action::TurnLeft => [
            "Turn your head to the LEFT",
            "Kopf nach LINKS drehen",
            "Gire la cabeza a la IZQUIERDA",
            "Tournez la tête à GAUCHE",
            "请向左转头",
            "顔を左に向けてください",
        ],
        Action::TurnRight => [
            "Turn your head to the RIGHT",
            "Kopf nach RECHTS drehen",
            "Gire la cabeza a la DERECHA",
            "Tournez la tête à DROITE",
            "请向右转头",
            "顔を右に向けてください",
        ],
        Action::Centre => [
            "Look straight ahead",
            "Geradeaus sehen",
            "Mire al frente",
            "Regardez droit devant",
            "请正视前方",
            "正面を向いてください",
        ],
        Action::Smile => ["Smile", "Lächeln", "Sonría", "Souriez", "请微笑", "にっこり笑ってください"],
        Action::MouthOpen => [
            "Open your mouth wide",
            "Mund weit öffnen",
            "Abra bien la boca",
            "Ouvrez grand la bouche",
            "请张大嘴",
            "口を大きく開けてください",
        ],
        Action::BrowRaise => [
            "Raise your eyebrows",
            "Augenbrauen heben",
            "Levante las cejas",
            "Levez les sourcils",
            "请扬起眉毛",
            "眉を上げてください",
        ],
        Action::WinkLeft => [
            "Close your LEFT eye",
            "LINKES Auge schließen",
            "Cierre el ojo IZQUIERDO",
            "Fermez l’œil GAUCHE",
            "请闭上左眼",
            "左目を閉じてください",
        ],
        Action::WinkRight => [
            "Close your RIGHT eye",
            "RECHTES Auge schließen",
            "Cierre el ojo DERECHO",
            "Fermez l’œil DROIT",
            "请闭上右眼",
            "右目を閉じてください",
        ],
        Action::Tongue => [
            "Show your tongue",
            "Zunge zeigen",
            "Saque la lengua",
            "Tirez la langue",
            "请伸出舌头",
            "舌を出してください",
        ],
        Action::Nod => [
            "Nod once",
            "Einmal nicken",
            "Asienta una vez con la cabeza",
            "Hochez la tête une fois",
            "请点一下头",
            "一度うなずいてください",
        ],
    }
}

/// What would help.
#[must_use]
pub const fn advice(a: Advice) -> Row {
    match a {
        Advice::ComeCloser => {
            ["Come closer", "Näher kommen", "Acérquese", "Approchez-vous", "请靠近一些", "もう少し近づいてください"]
        }
        Advice::HoldStill => {
            ["Hold still", "Still halten", "No se mueva", "Ne bougez pas", "请保持不动", "動かないでください"]
        }
        Advice::MoreLight => [
            "It is too dark here",
            "Hier ist es zu dunkel",
            "Hay poca luz",
            "Il fait trop sombre",
            "光线太暗",
            "暗すぎます",
        ],
        Advice::LessLight => [
            "There is too much light",
            "Hier ist es zu hell",
            "Hay demasiada luz",
            "Il y a trop de lumière",
            "光线太强",
            "明るすぎます",
        ],
        Advice::FaceTheCamera => [
            "Face the camera",
            "Gesicht zur Kamera drehen",
            "Póngase de cara a la cámara",
            "Mettez-vous face à la caméra",
            "请正对摄像头",
            "カメラに顔を向けてください",
        ],
        Advice::OneAtATime => [
            "One person at a time",
            "Bitte einzeln",
            "Una sola persona a la vez",
            "Une personne à la fois",
            "请一次一人",
            "お一人ずつお願いします",
        ],
        Advice::Later => [
            "Try again later",
            "Später noch einmal versuchen",
            "Inténtelo más tarde",
            "Réessayez plus tard",
            "请稍后再试",
            "しばらくしてからお試しください",
        ],
        Advice::OtherWay => [
            "Please use your card or ring",
            "Bitte Karte benutzen oder klingeln",
            "Use su tarjeta o llame al timbre",
            "Utilisez votre badge ou sonnez",
            "请刷卡或按门铃",
            "カードを使うか、呼び鈴を押してください",
        ],
    }
}

/// Everything that may be said in the language of `column`.
#[must_use]
pub fn every(column: usize) -> Vec<String> {
    use Advice::{ComeCloser, FaceTheCamera, HoldStill, Later, LessLight, MoreLight, OneAtATime, OtherWay};
    use Phase::{Challenge, Done, Idle, Light, Looking, Unavailable};
    let phases = [Idle, Looking, Challenge, Light, Done, Unavailable].map(phase);
    let verdicts = [Verdict::Granted, Verdict::Denied, Verdict::TryAgain].map(verdict);
    let advices = [ComeCloser, HoldStill, MoreLight, LessLight, FaceTheCamera, OneAtATime, Later, OtherWay].map(advice);
    let rows = phases.into_iter().chain(verdicts).chain(Action::ALL.map(action)).chain(advices).chain([SETUP_CODE]);
    rows.map(|r| r[column].to_owned()).chain((0..=9).map(|n| more_times(column, n))).collect()
}

/// The side that an action goes to, as the person sees it; an arrow points there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
}

/// Facing the display, the person's left is the display's left edge, as in a mirror.
#[must_use]
pub const fn side(a: Action) -> Option<Side> {
    match a {
        Action::TurnLeft | Action::WinkLeft => Some(Side::Left),
        Action::TurnRight | Action::WinkRight => Some(Side::Right),
        Action::Blink
        | Action::Centre
        | Action::Smile
        | Action::MouthOpen
        | Action::BrowRaise
        | Action::Tongue
        | Action::Nod => None,
    }
}

/// The action with an arrow on the side that it goes to.
fn with_arrow(a: Action, column: usize) -> String {
    let text = action(a)[column];
    match side(a) {
        Some(Side::Left) => format!("<-- {text}"),
        Some(Side::Right) => format!("{text} -->"),
        None => text.to_owned(),
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
            .chain([SETUP_CODE])
            .collect();
        for (column, language) in LANGUAGES.iter().enumerate() {
            let mut seen = std::collections::HashSet::new();
            for row in &rows {
                assert!(!row[column].trim().is_empty(), "{language} lacks {row:?}");
                assert!(seen.insert(row[column]), "{language} says {:?} twice", row[column]);
            }
        }
        for row in &rows {
            let different: std::collections::HashSet<&str> = row.iter().copied().collect();
            assert_eq!(different.len(), LANGUAGES.len(), "not translated: {row:?}");
        }
    }

    #[test]
    fn left_and_right_point_where_they_say_in_every_language() {
        let words = [("LEFT", "RIGHT"), ("LINK", "RECHT"), ("IZQUIERD", "DERECH"), ("GAUCHE", "DROIT"), ("左", "右")];
        for (column, language) in LANGUAGES.iter().enumerate() {
            let (left_word, right_word) = words[column.min(4)];
            for (left, right) in [(Action::TurnLeft, Action::TurnRight), (Action::WinkLeft, Action::WinkRight)] {
                let (l, r) = (with_arrow(left, column), with_arrow(right, column));
                assert!(l.starts_with("<-- ") && !l.contains("-->") && r.ends_with(" -->") && !r.contains("<--"));
                assert!(l.contains(left_word) && !l.contains(right_word), "{language}: {l}");
                assert!(r.contains(right_word) && !r.contains(left_word), "{language}: {r}");
            }
        }
        assert!(ACTIONS.iter().filter(|a| side(**a).is_some()).count() == 4);
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
