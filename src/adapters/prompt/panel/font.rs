//! The glyphs of `fonts.bin`, which `scripts/fonts.py` makes and describes; their licence is `FONT-LICENSE.txt`.
//!
//! Bitmaps of our own because of what the texts need at once: French œ, Chinese and Japanese forms of one code point,
//! a free licence, and 250 kB instead of the megabytes of a whole font.

/// The file, part of the program.
static FILE: &[u8] = include_bytes!("fonts.bin");
/// Bytes of a glyph in its table.
const ENTRY: usize = 13;
/// Bytes of a size before its table.
const HEAD: usize = 10;

/// Which forms a character has that Chinese and Japanese write differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    Any,
    Chinese,
    Japanese,
}

impl Script {
    /// The script of a language at the door.
    #[must_use]
    pub fn of(language: &str) -> Self {
        match language {
            "zh" => Script::Chinese,
            "ja" => Script::Japanese,
            _ => Script::Any,
        }
    }

    const fn code(self) -> u32 {
        match self {
            Script::Any => 0,
            Script::Chinese => 1,
            Script::Japanese => 2,
        }
    }
}

/// Where a line of Japanese may end; other languages know one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaks {
    /// Between words, which reads better.
    Words,
    /// Between characters, which needs less room.
    Anywhere,
}

/// One size.
#[derive(Clone, Copy, Debug)]
pub struct Font {
    /// Height of a Chinese character in pixels.
    pub px: u32,
    /// Bits a pixel: 1 or 2.
    bits: u32,
    /// From the top of a line to its baseline.
    pub ascent: i32,
    /// From one line to the next.
    pub line: i32,
    table: &'static [u8],
    bitmaps: &'static [u8],
}

/// One character of one size.
#[derive(Clone, Copy, Debug)]
pub struct Glyph {
    /// To the next character.
    pub advance: i32,
    /// From the pen to the left edge of the bitmap.
    pub left: i32,
    /// From the baseline up to the top edge of the bitmap.
    pub top: i32,
    pub width: u32,
    pub height: u32,
    bits: u32,
    bitmap: &'static [u8],
}

/// Every size, the smallest first.
#[must_use]
pub fn all() -> Vec<Font> {
    parse(FILE)
}

/// The size of `px` pixels.
#[must_use]
pub fn of(px: u32) -> Option<Font> {
    all().into_iter().find(|f| f.px == px)
}

/// What can be read of `file`, which is empty when it is none.
fn parse(file: &'static [u8]) -> Vec<Font> {
    let mut fonts = Vec::new();
    let Some((count, mut rest)) = file.strip_prefix(b"CFNT1").and_then(<[u8]>::split_first) else { return fonts };
    for _ in 0..*count {
        let Some((head, body)) = rest.split_at_checked(HEAD) else { break };
        let glyphs = usize::from(u16::from_le_bytes([head[4], head[5]]));
        let bytes = u32::from_le_bytes([head[6], head[7], head[8], head[9]]) as usize;
        let Some((table, body)) = body.split_at_checked(glyphs * ENTRY) else { break };
        let Some((bitmaps, body)) = body.split_at_checked(bytes) else { break };
        fonts.push(Font {
            px: head[0].into(),
            bits: head[1].into(),
            ascent: head[2].into(),
            line: head[3].into(),
            table,
            bitmaps,
        });
        rest = body;
    }
    fonts
}

impl Font {
    /// The glyph of `c`, in the forms of `script` where there are such.
    #[must_use]
    pub fn glyph(&self, script: Script, c: char) -> Option<Glyph> {
        self.find(script.code() << 24 | u32::from(c)).or_else(|| self.find(u32::from(c)))
    }

    fn find(&self, key: u32) -> Option<Glyph> {
        let entry = |i: usize| &self.table[i * ENTRY..(i + 1) * ENTRY];
        let key_of = |e: &[u8]| u32::from_le_bytes([e[0], e[1], e[2], e[3]]);
        let (mut low, mut high) = (0, self.table.len() / ENTRY);
        while low < high {
            let mid = low.midpoint(high);
            if key_of(entry(mid)) < key {
                low = mid + 1;
            } else {
                high = mid;
            }
        }
        if low == self.table.len() / ENTRY || key_of(entry(low)) != key {
            return None;
        }
        let e = entry(low);
        let at = u32::from_le_bytes([e[9], e[10], e[11], e[12]]) as usize;
        Some(Glyph {
            advance: e[4].into(),
            left: e[5].cast_signed().into(),
            top: e[6].cast_signed().into(),
            width: e[7].into(),
            height: e[8].into(),
            bits: self.bits,
            bitmap: self.bitmaps.get(at..)?,
        })
    }

    /// Width of `text` in pixels.
    #[must_use]
    pub fn width(&self, script: Script, text: &str) -> i32 {
        text.chars().filter_map(|c| self.glyph(script, c)).map(|g| g.advance).sum()
    }

    /// Whether `text` can stand in lines of `width` without a word being broken.
    #[must_use]
    pub fn breaks_well(&self, script: Script, text: &str, width: i32, breaks: Breaks) -> bool {
        atoms(script, text, breaks).iter().all(|atom| self.width(script, atom.trim_end()) <= width)
    }

    /// `text` in as few lines as `width` allows, about equally long; a word that is too long is broken anywhere.
    #[must_use]
    pub fn wrap(&self, script: Script, text: &str, width: i32, breaks: Breaks) -> Vec<String> {
        let lines = self.greedy(script, text, width, breaks);
        // The narrowest width that needs no more lines: "Kopf nach / LINKS drehen", not "Kopf nach LINKS / drehen".
        // No narrower than a word, though: that would break it.
        let words = atoms(script, text, breaks);
        let word = words.iter().map(|a| self.width(script, a.trim_end())).max().unwrap_or(0);
        let (mut low, mut high) = (word.min(width).max(1), width.max(1));
        while low < high {
            let mid = low.midpoint(high);
            let narrow = self.greedy(script, text, mid, breaks);
            if narrow.len() <= lines.len() && narrow.iter().all(|l| self.width(script, l) <= mid) {
                high = mid;
            } else {
                low = mid + 1;
            }
        }
        self.greedy(script, text, high, breaks)
    }

    fn greedy(&self, script: Script, text: &str, width: i32, breaks: Breaks) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        let mut line = String::new();
        for atom in atoms(script, text, breaks) {
            let longer = format!("{line}{atom}");
            if self.width(script, longer.trim_end()) <= width || line.is_empty() {
                line = longer;
            } else {
                lines.push(std::mem::replace(&mut line, atom));
            }
            // A word alone that is still too long.
            while self.width(script, line.trim_end()) > width && line.chars().count() > 1 {
                let mut cut = line.char_indices().map(|(i, _)| i).skip(1).collect::<Vec<_>>();
                cut.retain(|i| self.width(script, &line[..*i]) <= width);
                let at = cut.last().copied().unwrap_or_else(|| line.chars().next().map_or(1, char::len_utf8));
                let rest = line.split_off(at);
                lines.push(std::mem::replace(&mut line, rest));
            }
        }
        lines.push(line);
        lines.iter().map(|l| l.trim_end().to_owned()).filter(|l| !l.is_empty()).collect()
    }
}

/// Parts between which a line may end: words with their space; of Chinese, characters; of Japanese, a word with what is
/// written in hiragana behind it, and the polite ending by itself.
fn atoms(script: Script, text: &str, breaks: Breaks) -> Vec<String> {
    let mut atoms: Vec<String> = Vec::new();
    let mut open = false;
    if script == Script::Japanese && breaks == Breaks::Words {
        let hiragana = |c: char| ('\u{3041}'..='\u{309f}').contains(&c);
        let mut before = ' ';
        for (at, c) in text.char_indices() {
            let begins = text[at..].starts_with("ください");
            // The polite お belongs to the word that it stands before.
            let word = !hiragana(c) && c != '、' && ((hiragana(before) && before != 'お') || before == '、');
            let polite = c == 'お' && !atoms.is_empty();
            match atoms.last_mut() {
                Some(last) if !begins && !word && !polite => last.push(c),
                _ => atoms.push(c.to_string()),
            }
            before = c;
        }
        return atoms;
    }
    for c in text.chars() {
        let ideograph = u32::from(c) >= 0x2e80;
        // No line begins with these.
        let clings = "、。，！？）」ーっゃゅょッャュョ".contains(c);
        match atoms.last_mut() {
            Some(last) if clings || (open && !ideograph) => last.push(c),
            _ => atoms.push(c.to_string()),
        }
        open = !ideograph && c != ' ' && c != '-';
    }
    atoms
}

impl Glyph {
    /// Every pixel that is not blank: column, row, and 1 to 3 for how dark it is.
    pub fn pixels(self) -> impl Iterator<Item = (i32, i32, u8)> {
        let top = (1u16 << self.bits) - 1;
        (0..self.width * self.height).filter_map(move |i| {
            let bit = i * self.bits;
            let byte = u16::from(*self.bitmap.get((bit / 8) as usize)?);
            let value = byte >> (8 - self.bits - bit % 8) & top;
            let level = u8::try_from(value * 3 / top).unwrap_or(3);
            let at = (i % self.width, i / self.width);
            (level > 0).then_some((at.0.cast_signed(), at.1.cast_signed(), level))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::prompt::texts;
    use crate::config::LANGUAGES;

    #[test]
    fn every_character_of_every_text_has_a_glyph_in_every_size() {
        let fonts = all();
        assert_eq!(fonts.iter().map(|f| f.px).collect::<Vec<_>>(), [12, 14, 18, 24, 40]);
        for (column, language) in LANGUAGES.iter().enumerate() {
            for text in texts::every(column) {
                for c in text.chars() {
                    for font in &fonts {
                        let glyph = font.glyph(Script::of(language), c);
                        let drawn = glyph.is_some_and(|g| c == ' ' || g.pixels().count() > 0);
                        assert!(drawn, "{language}: no `{c}` of {} px; run scripts/fonts.py", font.px);
                    }
                }
            }
        }
    }

    #[test]
    fn chinese_and_japanese_have_their_own_forms() {
        let font = of(40).expect("a size");
        let form = |script| font.glyph(script, '次').map(|g| g.pixels().collect::<Vec<_>>());
        assert!(form(Script::Chinese).is_some() && form(Script::Chinese) != form(Script::Japanese));
        assert!(font.glyph(Script::Japanese, 'A').is_some() && font.glyph(Script::Any, '\u{1f600}').is_none());
    }

    #[test]
    fn lines_break_at_words_and_are_about_equally_long() {
        let font = of(14).expect("a size");
        assert_eq!(font.wrap(Script::Any, "Kopf nach LINKS drehen", 150, Breaks::Words), ["Kopf nach", "LINKS drehen"]);
        assert_eq!(font.wrap(Script::Any, "Nod", 150, Breaks::Words), ["Nod"]);
        assert_eq!(font.wrap(Script::Any, "Approchez-vous", 80, Breaks::Words), ["Approchez-", "vous"]);
        let broken = font.wrap(Script::Japanese, "もう一度お試しください", 110, Breaks::Words);
        assert_eq!(broken, ["もう一度お試し", "ください"]);
        assert_eq!(font.wrap(Script::Chinese, "请正对摄像头", 50, Breaks::Words), ["请正对", "摄像头"]);
        assert_eq!(font.wrap(Script::Any, "", 80, Breaks::Words), Vec::<String>::new());
        assert_eq!(font.wrap(Script::Any, "Wwww", 0, Breaks::Words).concat(), "Wwww");
    }

    #[test]
    fn a_broken_file_has_no_fonts() {
        assert!(parse(b"").is_empty() && parse(b"CFNT1").is_empty() && parse(b"CFNT1\x01\x0c\x01").is_empty());
        assert!(parse(b"CFNT1\x01\x0c\x01\x0a\x0e\xff\xff\xff\xff\xff\xff").is_empty());
    }
}
