//! Every screen there is as a picture, for tests, for documents and for whoever wants to see them before buying a panel.

use super::canvas::Canvas;
use super::draw::{Ink, Redraw, draw};
use crate::config::LANGUAGES;
use crate::config::sections::PanelSize;
use crate::domain::screen::{Advice, Phase, Screen, Setup, Short};
use crate::ports::{PortError, Recovery};
use crate::schema::event::{Action, Verdict};
use embedded_graphics::geometry::Size;
use embedded_graphics::pixelcolor::{BinaryColor, Rgb888};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{Rgb, RgbImage};
use std::time::Duration;

/// All sizes.
pub const SIZES: [PanelSize; 4] = [PanelSize::S128x64, PanelSize::S240x240, PanelSize::S320x240, PanelSize::S800x480];

/// All kinds of advice.
const ADVICE: [(Advice, &str); 8] = [
    (Advice::ComeCloser, "come_closer"),
    (Advice::HoldStill, "hold_still"),
    (Advice::MoreLight, "more_light"),
    (Advice::LessLight, "less_light"),
    (Advice::FaceTheCamera, "face_the_camera"),
    (Advice::OneAtATime, "one_at_a_time"),
    (Advice::Later, "later"),
    (Advice::OtherWay, "other_way"),
];

/// Writes a picture as a PNG file, as small as may be.
///
/// # Errors
/// The file cannot be written.
pub fn write(picture: &RgbImage, path: &std::path::Path) -> Result<(), PortError> {
    let failed = |e: &dyn std::fmt::Display| {
        let what = format!("write {}", path.display());
        PortError::new(what, e, "check that its directory exists and may be written to", Recovery::Degrade)
    };
    let file = std::fs::File::create(path).map_err(|e| failed(&e))?;
    let encoder = PngEncoder::new_with_quality(std::io::BufWriter::new(file), CompressionType::Best, FilterType::Up);
    picture.write_with_encoder(encoder).map_err(|e| failed(&e))
}

/// Pixels of a size.
#[must_use]
pub fn pixels(size: PanelSize) -> Size {
    let (width, height) = size.pixels();
    Size::new(width, height)
}

/// The picture of a screen, as a display of that size shows it `elapsed` after it came, and when it changes.
#[must_use]
pub fn picture(screen: &Screen, column: usize, size: PanelSize, elapsed: Duration) -> (RgbImage, Redraw) {
    match size {
        PanelSize::S128x64 => drawn::<BinaryColor>(screen, column, size, elapsed),
        PanelSize::S240x240 | PanelSize::S320x240 | PanelSize::S800x480 => {
            drawn::<Rgb888>(screen, column, size, elapsed)
        }
    }
}

fn drawn<C: Ink>(screen: &Screen, column: usize, size: PanelSize, elapsed: Duration) -> (RgbImage, Redraw) {
    let mut canvas = Canvas::<C>::new(pixels(size));
    let Ok(redraw) = draw(&mut canvas, screen, column, elapsed);
    (canvas.picture(), redraw)
}

/// Every action, every phase and every verdict, with and without every advice, each with a name of its own.
#[must_use]
pub fn screens() -> Vec<(String, Screen)> {
    let mut all = Vec::new();
    let phases = [
        (Phase::Idle, "idle"),
        (Phase::Looking, "looking"),
        (Phase::Challenge, "wait"),
        (Phase::Light, "light"),
        (Phase::Unavailable, "unavailable"),
        (Phase::Done, "done"),
    ];
    for (phase, name) in phases {
        let progress = if phase == Phase::Challenge { (1, 3) } else { (0, 0) };
        let light = (phase == Phase::Light).then_some([255, 128, 255]);
        all.push((name.to_owned(), Screen { phase, progress, light, ..Screen::IDLE }));
    }
    for (i, action) in Action::ALL.into_iter().enumerate() {
        let done = u8::try_from(i % 3).unwrap_or(0);
        let progress = (done, 3);
        let asked = Screen {
            phase: Phase::Challenge,
            action: Some(action),
            progress,
            left: 1,
            window_ms: 2500,
            ..Screen::IDLE
        };
        all.push((action.name().to_owned(), asked));
    }
    let blink = Screen {
        phase: Phase::Challenge,
        action: Some(Action::Blink),
        progress: (0, 3),
        left: 2,
        window_ms: 2500,
        ..Screen::IDLE
    };
    all.push(("blink_twice".to_owned(), blink));
    let verdicts = [(Verdict::Granted, "granted"), (Verdict::Denied, "denied"), (Verdict::TryAgain, "try_again")];
    for (verdict, name) in verdicts {
        all.push((name.to_owned(), Screen { phase: Phase::Done, verdict: Some(verdict), ..Screen::IDLE }));
    }
    for (name, screen) in all.clone() {
        for (advice, what) in ADVICE {
            all.push((format!("{name}-{what}"), Screen { advice: Some(advice), ..screen }));
        }
    }
    all
}

/// What stands on the contact sheet: each text once.
fn shown() -> Vec<Screen> {
    let advised = [
        "looking-come_closer",
        "looking-hold_still",
        "looking-more_light",
        "looking-less_light",
        "looking-face_the_camera",
        "looking-one_at_a_time",
        "unavailable-later",
        "try_again-other_way",
    ];
    let wanted = |name: &str| !name.contains('-') || advised.contains(&name);
    let all = screens().into_iter().filter(|(name, _)| wanted(name)).map(|(_, screen)| screen);
    all.chain([set_up("ABCD-EFGH-JKLM")]).collect()
}

/// The screen of a terminal without administrator, with an example's address.
fn set_up(code: &str) -> Screen {
    let short = |text| Short::new(text);
    let (address, fingerprint) = (short("https://192.0.2.17:8443"), short("3F:A0:51:7C:D2:08:9B:E4"));
    let setup = short(code).zip(address).zip(fingerprint);
    let setup = setup.map(|((code, address), fingerprint)| Setup { code, address, fingerprint });
    Screen { setup, ..Screen::IDLE }
}

/// A row for each screen, a column for each language; time is as far as the bar can show it.
#[must_use]
pub fn sheet(size: PanelSize) -> RgbImage {
    const GAP: u32 = 6;
    let (width, height) = size.pixels();
    let rows = shown();
    let across = u32::try_from(LANGUAGES.len()).unwrap_or(1);
    let down = u32::try_from(rows.len()).unwrap_or(1);
    let size_of = |n: u32, one: u32| n * (one + GAP) + GAP;
    let mut sheet = RgbImage::from_pixel(size_of(across, width), size_of(down, height), Rgb([72, 76, 84]));
    for (row, screen) in (0u32..).zip(&rows) {
        for (column, _) in (0u32..).zip(LANGUAGES) {
            let (one, _) = picture(screen, column as usize, size, Duration::from_millis(800));
            let (x, y) = (GAP + column * (width + GAP), GAP + row * (height + GAP));
            image::imageops::replace(&mut sheet, &one, x.into(), y.into());
        }
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// The picture went through a PNG file and came back the same.
    fn survives(picture: &RgbImage) -> bool {
        let mut file = Vec::new();
        let encoder = PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Up);
        picture.write_with_encoder(encoder).expect("memory does not fail");
        image::load_from_memory(&file).expect("a PNG file").into_rgb8() == *picture
    }

    #[test]
    fn a_terminal_without_administrator_shows_its_code_on_every_display_in_every_language() {
        for size in SIZES {
            let mut seen = HashSet::new();
            for (column, language) in LANGUAGES.iter().enumerate() {
                // Small displays show one text after another.
                let pages: Vec<_> = (0..3_u32)
                    .map(|i| {
                        picture(
                            &set_up("ABCD-EFGH-JKLM"),
                            column,
                            size,
                            Duration::from_millis(1500) * i + Duration::from_millis(1),
                        )
                    })
                    .collect();
                let whole = pages[0].1 == Redraw::Never;
                let differ: HashSet<_> = pages.iter().map(|(p, _)| p.as_raw().clone()).collect();
                assert!(whole || differ.len() == 3, "{language} {size:?}: each text has its turn");
                let (other, _) = picture(&set_up("ABCD-EFGH-JKLN"), column, size, Duration::ZERO);
                assert_ne!(pages[0].0, other, "{language} {size:?}: one letter of the code is seen");
                assert!(seen.insert(other.into_raw()), "{language} {size:?} is another's");
            }
        }
    }

    #[test]
    fn every_screen_is_a_picture_in_every_size_and_says_something_else_in_every_language() {
        // Each advice once: with all others it is only arranged, which a test of `draw` does for all of them.
        let once = |name: &str| !name.contains('-') || name.starts_with("looking-");
        let screens: Vec<_> = screens().into_iter().filter(|(name, _)| once(name)).collect();
        let of = |size: PanelSize| {
            for (name, screen) in &screens {
                let mut seen = HashSet::new();
                for (column, language) in LANGUAGES.iter().enumerate() {
                    let (picture, _) = picture(screen, column, size, Duration::ZERO);
                    assert_eq!(picture.dimensions(), size.pixels());
                    assert!(survives(&picture), "{language} {name} {size:?}");
                    let colours: HashSet<_> = picture.pixels().map(|p| p.0).collect();
                    match screen.light {
                        // A display of many colours is a lamp, whatever the language.
                        Some(light) if size != PanelSize::S128x64 => assert_eq!(colours, HashSet::from([light])),
                        _ => {
                            assert!(colours.len() > 1, "{language} {name} {size:?}");
                            assert!(seen.insert(picture.into_raw()), "{language} {name} {size:?} is another's");
                        }
                    }
                }
            }
        };
        std::thread::scope(|threads| {
            for size in SIZES {
                let of = &of;
                threads.spawn(move || of(size));
            }
        });
    }
}
