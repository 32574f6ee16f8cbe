//! The embedded fonts, and the choice of a font for each character. Fonts are parsed on first use and kept.
//! Does not track which glyphs a document uses (`typeset.rs`).

use harfrust::{Font, GlyphId};
use icu_properties::{CodePointSetData, props};
use std::sync::LazyLock;

/// A font and its metrics for line layout. Lengths are thousandths of the font size.
pub(crate) struct Face {
    /// The name in a PDF.
    pub name: &'static str,
    pub data: &'static [u8],
    pub font: Font,
    /// Above the baseline.
    pub ascent: f32,
    /// Below the baseline, as a positive number.
    pub descent: f32,
    /// Whether synthetic bold is used for bold styles.
    pub can_be_bold: bool,
    /// A glyph without shape and width, if the font has one.
    pub blank: Option<u16>,
    /// Whether the outlines are CFF rather than TrueType.
    pub is_cff: bool,
}

impl Face {
    /// A glyph's advance in thousandths of the font size.
    pub(crate) fn advance(&self, glyph: u16) -> f32 {
        let metrics = self.font.glyph_metrics();
        self.scaled(metrics.h_advance(GlyphId::new(u32::from(glyph))))
    }

    /// Converts font units to thousandths of the font size.
    pub(crate) fn scaled(&self, units: f32) -> f32 {
        units * 1000.0 / f32::from(self.font.units_per_em())
    }

    fn has(&self, letter: char) -> bool {
        self.font.charmap().map_unicode(letter).is_some()
    }

    fn has_all(&self, cluster: &str) -> bool {
        cluster.chars().all(|c| is_ignorable(c) || self.has(c))
    }
}

/// The style of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// For running text.
    Regular,
    /// For emphasis.
    Strong,
    /// For titles, as on the website.
    Display,
}

/// An index in `FACES`.
pub(crate) type FaceId = usize;

/// The font for characters that no font has; it shows a box.
const FALLBACK: FaceId = 0;
const STRONG: FaceId = 1;
const DISPLAY: FaceId = 2;
const EMOJI: FaceId = 3;
/// The first of the fonts that are tried in order.
const OTHERS: FaceId = 4;

macro_rules! font {
    ($name:literal, $end:literal) => {
        (
            $name,
            include_bytes!(concat!("../fonts/", $name, $end)).as_slice(),
        )
    };
}

const FILES: &[(&str, &[u8])] = &[
    font!("Inter-Regular", ".ttf"),
    font!("Inter-SemiBold", ".ttf"),
    font!("Gelasio-Bold", ".ttf"),
    font!("NotoEmoji-Regular", ".ttf"),
    font!("NotoSansCJK-Regular", ".otf"),
    font!("NotoSansArabic-Regular", ".ttf"),
    font!("NotoSansHebrew-Regular", ".ttf"),
    font!("NotoSansThai-Regular", ".ttf"),
    font!("NotoSansDevanagari-Regular", ".ttf"),
    font!("NotoSansArmenian-Regular", ".ttf"),
    font!("NotoSansBengali-Regular", ".ttf"),
    font!("NotoSansEthiopic-Regular", ".ttf"),
    font!("NotoSansGeorgian-Regular", ".ttf"),
    font!("NotoSansGujarati-Regular", ".ttf"),
    font!("NotoSansGurmukhi-Regular", ".ttf"),
    font!("NotoSansKannada-Regular", ".ttf"),
    font!("NotoSansKhmer-Regular", ".ttf"),
    font!("NotoSansLao-Regular", ".ttf"),
    font!("NotoSansMalayalam-Regular", ".ttf"),
    font!("NotoSansMyanmar-Regular", ".ttf"),
    font!("NotoSansSinhala-Regular", ".ttf"),
    font!("NotoSansTamil-Regular", ".ttf"),
    font!("NotoSansTelugu-Regular", ".ttf"),
];

static FACES: LazyLock<Vec<Option<Face>>> = LazyLock::new(|| {
    let read = |(id, (name, data)): (FaceId, &(&'static str, &'static [u8]))| {
        let font = Font::new(*data, 0)?;
        let scaled = font.metrics().scaled_f32(1000.0);
        let line = scaled.h_line()?;
        let is_cff = data.starts_with(b"OTTO");
        // Fonts of Han characters have large line gaps; the characters are no taller than others.
        let (highest, lowest) = if is_cff {
            (960.0, 240.0)
        } else {
            (f32::MAX, f32::MAX)
        };
        Some(Face {
            name,
            data,
            ascent: line.ascender.min(highest),
            descent: (-line.descender).min(lowest),
            can_be_bold: id >= OTHERS,
            blank: blank(&font),
            is_cff,
            font,
        })
    };
    FILES.iter().enumerate().map(read).collect()
});

fn blank(font: &Font) -> Option<u16> {
    const JOINERS: [char; 2] = ['\u{200d}', '\u{200c}'];
    let glyphs = JOINERS
        .iter()
        .filter_map(|joiner| font.charmap().map_unicode(*joiner));
    let metrics = font.glyph_metrics();
    let mut blanks = glyphs.filter(|glyph| metrics.h_advance(*glyph) == 0.0);
    u16::try_from(blanks.next()?.to_u32()).ok()
}

/// Returns a font; `None` for an invalid id or an unreadable file (a test rules out the latter).
pub(crate) fn face(id: FaceId) -> Option<&'static Face> {
    FACES.get(id)?.as_ref()
}

pub(crate) const fn count() -> usize {
    FILES.len()
}

/// Whether a character needs no glyph: joiners, variation selectors, directional marks.
pub(crate) fn is_ignorable(letter: char) -> bool {
    CodePointSetData::new::<props::DefaultIgnorableCodePoint>().contains(letter)
}

/// Chooses the font of a grapheme cluster. `before` is the font of the preceding cluster, which punctuation
/// and spaces keep.
pub(crate) fn face_for(style: Style, cluster: &str, before: Option<FaceId>) -> FaceId {
    let has = |id: FaceId| face(id).is_some_and(|face| face.has_all(cluster));
    if shows_as_emoji(cluster) && has(EMOJI) {
        return EMOJI;
    }
    let own = match style {
        Style::Regular => [FALLBACK, FALLBACK],
        Style::Strong => [STRONG, FALLBACK],
        Style::Display => [DISPLAY, STRONG],
    };
    let neutral = cluster.chars().all(|c| !c.is_alphanumeric());
    if let Some(before) = before.filter(|id| neutral && *id != EMOJI && has(*id)) {
        return before;
    }
    let mut tried = own.into_iter().chain(OTHERS..count()).chain([EMOJI]);
    tried.find(|id| has(*id)).unwrap_or(own[1])
}

fn shows_as_emoji(cluster: &str) -> bool {
    const AS_EMOJI: char = '\u{fe0f}';
    const AS_TEXT: char = '\u{fe0e}';
    let Some(first) = cluster.chars().next() else {
        return false;
    };
    !cluster.contains(AS_TEXT)
        && (cluster.contains(AS_EMOJI)
            || CodePointSetData::new::<props::EmojiPresentation>().contains(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_font_can_be_parsed() {
        for id in 0..count() {
            let face = face(id).unwrap();
            assert!(face.ascent > 500.0 && face.descent > 50.0, "{}", face.name);
        }
    }

    #[test]
    fn the_fonts_have_the_letters_of_europe() {
        let letters = "AzÀÿőŁșẞẽΩάᾠЖжїҐђ–—’“”…€£₺₽₴•−";
        for letter in letters.chars() {
            let cluster = letter.to_string();
            assert_eq!(face_for(Style::Regular, &cluster, None), FALLBACK);
            assert_eq!(face_for(Style::Strong, &cluster, None), STRONG);
            assert!(face_for(Style::Display, &cluster, None) <= DISPLAY);
        }
    }

    #[test]
    fn the_fonts_have_letters_of_most_of_the_world() {
        let scripts = [
            (
                "CJK",
                "日本語の舞台 髙島屋 ｶﾀｶﾅ 东方红剧院 臺灣戲劇 香港 한국어 뮤지컬 뷁 ★♪①",
            ),
            ("Arabic", "مسرح پچگ"),
            ("Hebrew", "תיאטרון שָׁלוֹם"),
            ("Thai", "โรงละครแห่งชาติ"),
            ("Devanagari", "राष्ट्रीय नाट्य विद्यालय"),
            ("Armenian", "Թատրոն"),
            ("Bengali", "নাট্যশালা"),
            ("Ethiopic", "ቲያትር"),
            ("Georgian", "თეატრი"),
            ("Gujarati", "નાટ્યગૃહ"),
            ("Gurmukhi", "ਨਾਟਕ"),
            ("Kannada", "ರಂಗಭೂಮಿ"),
            ("Khmer", "ល្ខោន"),
            ("Lao", "ໂຮງລະຄອນ"),
            ("Malayalam", "നാടകം"),
            ("Myanmar", "ပြဇာတ်ရုံ"),
            ("Sinhala", "රංග ශාලාව"),
            ("Tamil", "நாடகம்"),
            ("Telugu", "నాటకం"),
            ("Emoji", "🎻🎭🏳️‍🌈👩🏽‍🎤🇯🇵☎️"),
        ];
        for (script, text) in scripts {
            let clusters = crate::lines::clusters(text);
            for cluster in clusters.iter().map(|range| &text[range.clone()]) {
                if cluster != " " {
                    let face = face(face_for(Style::Display, cluster, None)).unwrap();
                    assert!(face.has_all(cluster), "{script}: {cluster}");
                    assert!(face.name.contains(script), "{cluster}: {}", face.name);
                }
            }
        }
    }

    #[test]
    fn a_variation_selector_decides_on_emoji_or_text() {
        assert_eq!(face_for(Style::Regular, "☎\u{fe0f}", None), EMOJI);
        assert_eq!(face_for(Style::Regular, "🎻", None), EMOJI);
        assert_ne!(face_for(Style::Regular, "2", None), EMOJI);
        assert_ne!(face_for(Style::Regular, "★", None), EMOJI);
    }

    #[test]
    fn a_character_that_no_font_has_is_a_box() {
        assert_eq!(face_for(Style::Regular, "𒀀", None), FALLBACK);
        assert_eq!(face_for(Style::Strong, "𒀀", None), FALLBACK);
        assert!(!face(FALLBACK).unwrap().has('𒀀'));
    }
}
