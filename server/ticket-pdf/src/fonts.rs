//! The fonts inside the binary, and which of them has a letter. They are read when they are first
//! needed and stay; what a document uses of them is kept elsewhere (`typeset.rs`).

use harfrust::{Font, GlyphId};
use icu_properties::{CodePointSetData, props};
use std::sync::LazyLock;

/// A font, and what the arrangement of lines needs to know of it. Lengths are thousandths of a size.
pub(crate) struct Face {
    /// Its name in a PDF.
    pub name: &'static str,
    /// The file.
    pub data: &'static [u8],
    /// The same, read.
    pub font: Font,
    /// How far it reaches above the base of a line.
    pub ascent: f32,
    /// How far it reaches below, as a positive number.
    pub descent: f32,
    /// How strokes are thickened for a bold style, which most of the fonts lack.
    pub can_be_bold: bool,
    /// A glyph without shape and width.
    pub blank: Option<u16>,
    /// Glyphs are PostScript outlines (CFF) rather than TrueType ones.
    pub is_cff: bool,
}

impl Face {
    /// In thousandths of the size.
    pub(crate) fn advance(&self, glyph: u16) -> f32 {
        let metrics = self.font.glyph_metrics();
        self.scaled(metrics.h_advance(GlyphId::new(u32::from(glyph))))
    }

    /// From the font's units to thousandths of the size.
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

/// What text is set in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// For reading.
    Regular,
    /// For what is to be found quickly.
    Strong,
    /// For titles, as the website has them.
    Display,
}

/// A place in `FACES`.
pub(crate) type FaceId = usize;

/// The font of letters that no font has: it shows a box for them.
const FALLBACK: FaceId = 0;
const STRONG: FaceId = 1;
const DISPLAY: FaceId = 2;
const EMOJI: FaceId = 3;
/// The first of those that are tried in order.
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
        // Han characters are no higher than others, but their fonts leave much room around them.
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

/// A font. None: there is no such font, or it cannot be read, which a test rules out.
pub(crate) fn face(id: FaceId) -> Option<&'static Face> {
    FACES.get(id)?.as_ref()
}

/// How many fonts there are.
pub(crate) const fn count() -> usize {
    FILES.len()
}

/// Whether a letter has no shape of its own, so that no font needs to have it: joiners, selectors of
/// variants, marks of direction.
pub(crate) fn is_ignorable(letter: char) -> bool {
    CodePointSetData::new::<props::DefaultIgnorableCodePoint>().contains(letter)
}

/// The font for a cluster of letters that one sees as one. `before` is that of the cluster before it,
/// which spaces and marks stay in.
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
    fn every_font_can_be_read() {
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
    fn a_sign_is_set_as_its_selector_says() {
        assert_eq!(face_for(Style::Regular, "☎\u{fe0f}", None), EMOJI);
        assert_eq!(face_for(Style::Regular, "🎻", None), EMOJI);
        assert_ne!(face_for(Style::Regular, "2", None), EMOJI);
        assert_ne!(face_for(Style::Regular, "★", None), EMOJI);
    }

    #[test]
    fn what_no_font_has_is_a_box() {
        assert_eq!(face_for(Style::Regular, "𒀀", None), FALLBACK);
        assert_eq!(face_for(Style::Strong, "𒀀", None), FALLBACK);
        assert!(!face(FALLBACK).unwrap().has('𒀀'));
    }
}
