//! Sets text for paper in Inter, of which a file carries only the letters that it uses. The fonts
//! have Latin, Greek and Cyrillic letters (`server/fonts`); others become a box.

use pdf_writer::{
    Content, Finish, Name, Pdf, Rect, Ref, Str,
    types::{CidFontType, FontFlags, SystemInfo, UnicodeCmap},
};
use std::collections::BTreeMap;
use subsetter::GlyphRemapper;
use ttf_parser::{Face, FaceParsingError, GlyphId};

const REGULAR: &[u8] = include_bytes!("../../fonts/Inter-Regular.ttf");
const STRONG: &[u8] = include_bytes!("../../fonts/Inter-SemiBold.ttf");
const IDENTITY: SystemInfo = SystemInfo {
    registry: Str(b"Adobe"),
    ordering: Str(b"Identity"),
    supplement: 0,
};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// For reading.
    Regular,
    /// For titles.
    Strong,
}

impl Weight {
    /// As a page calls it.
    pub fn name(self) -> Name<'static> {
        match self {
            Self::Regular => Name(b"R"),
            Self::Strong => Name(b"S"),
        }
    }

    fn data(self) -> &'static [u8] {
        match self {
            Self::Regular => REGULAR,
            Self::Strong => STRONG,
        }
    }

    /// A subset's name begins with six capitals of its own.
    fn base_font(self) -> Name<'static> {
        match self {
            Self::Regular => Name(b"STGDRA+Inter-Regular"),
            Self::Strong => Name(b"STGDRB+Inter-SemiBold"),
        }
    }
}

/// A font and the letters of it that are used.
struct Font {
    face: Face<'static>,
    used: GlyphRemapper,
    letters: BTreeMap<u16, char>,
}

impl Font {
    fn new(weight: Weight) -> Result<Self, FaceParsingError> {
        Ok(Self {
            face: Face::parse(weight.data(), 0)?,
            used: GlyphRemapper::new(),
            letters: BTreeMap::new(),
        })
    }

    fn glyph(&self, letter: char) -> GlyphId {
        self.face.glyph_index(letter).unwrap_or_default()
    }

    /// In thousandths of the size.
    fn advance(&self, glyph: GlyphId) -> f32 {
        let advance = self.face.glyph_hor_advance(glyph).unwrap_or_default();
        self.scaled(f32::from(advance))
    }

    fn scaled(&self, units: f32) -> f32 {
        units * 1000.0 / f32::from(self.face.units_per_em())
    }

    fn width(&self, text: &str, size: f32) -> f32 {
        let letters = text.chars().map(|letter| self.advance(self.glyph(letter)));
        letters.sum::<f32>() * size / 1000.0
    }
}

/// Both fonts.
pub struct Typesetter {
    regular: Font,
    strong: Font,
}

impl Typesetter {
    /// With nothing set yet. Errors: a font that is carried cannot be read.
    pub fn new() -> Result<Self, FaceParsingError> {
        Ok(Self {
            regular: Font::new(Weight::Regular)?,
            strong: Font::new(Weight::Strong)?,
        })
    }

    fn font(&mut self, weight: Weight) -> &mut Font {
        match weight {
            Weight::Regular => &mut self.regular,
            Weight::Strong => &mut self.strong,
        }
    }

    /// `text` in lines of at most `width`. A word that is longer is broken where it must be.
    pub fn lines(&mut self, weight: Weight, size: f32, text: &str, width: f32) -> Vec<String> {
        let font = self.font(weight);
        let (mut lines, mut line) = (Vec::new(), String::new());
        for word in text.split_whitespace() {
            let longer = if line.is_empty() {
                word.to_owned()
            } else {
                format!("{line} {word}")
            };
            if font.width(&longer, size) <= width {
                line = longer;
                continue;
            }
            if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            for letter in word.chars() {
                line.push(letter);
                if font.width(&line, size) > width {
                    line.pop();
                    lines.push(std::mem::take(&mut line));
                    line.push(letter);
                }
            }
        }
        if !line.is_empty() {
            lines.push(line);
        }
        lines
    }

    /// Sets one line, its base beginning at `at`.
    pub fn show(
        &mut self,
        content: &mut Content,
        weight: Weight,
        size: f32,
        line: &str,
        at: (f32, f32),
    ) {
        let font = self.font(weight);
        let mut glyphs = Vec::with_capacity(line.len() * 2);
        for letter in line.chars() {
            let glyph = font.used.remap(font.glyph(letter).0);
            font.letters.entry(glyph).or_insert(letter);
            glyphs.extend(glyph.to_be_bytes());
        }
        content
            .begin_text()
            .set_font(weight.name(), size)
            .next_line(at.0, at.1)
            .show(Str(&glyphs))
            .end_text();
    }

    /// Writes what has been used of a font into the file. Errors: it cannot be cut.
    pub fn embed(
        &mut self,
        pdf: &mut Pdf,
        weight: Weight,
        font_id: Ref,
        id: &mut impl FnMut() -> Ref,
    ) -> Result<(), subsetter::Error> {
        let font = self.font(weight);
        let data = subsetter::subset(weight.data(), 0, &font.used)?;
        let (cid, descriptor, file, cmap) = (id(), id(), id(), id());
        let name = weight.base_font();
        pdf.type0_font(font_id)
            .base_font(name)
            .encoding_predefined(Name(b"Identity-H"))
            .descendant_font(cid)
            .to_unicode(cmap);
        let mut cid_font = pdf.cid_font(cid);
        cid_font
            .subtype(CidFontType::Type2)
            .base_font(name)
            .system_info(IDENTITY)
            .font_descriptor(descriptor)
            .cid_to_gid_map_predefined(Name(b"Identity"));
        let advances = font.used.remapped_gids();
        let advances = advances.map(|glyph| font.advance(GlyphId(glyph)));
        cid_font.widths().consecutive(0, advances);
        cid_font.finish();
        let face = &font.face;
        let bounds = face.global_bounding_box();
        let scaled = |units: i16| font.scaled(f32::from(units));
        pdf.font_descriptor(descriptor)
            .name(name)
            .flags(FontFlags::NON_SYMBOLIC)
            .bbox(Rect::new(
                scaled(bounds.x_min),
                scaled(bounds.y_min),
                scaled(bounds.x_max),
                scaled(bounds.y_max),
            ))
            .italic_angle(0.0)
            .ascent(scaled(face.ascender()))
            .descent(scaled(face.descender()))
            .cap_height(scaled(face.capital_height().unwrap_or(face.ascender())))
            .stem_v(80.0)
            .font_file2(file);
        pdf.stream(file, &data);
        let mut unicode = UnicodeCmap::new(Name(b"Letters"), IDENTITY);
        for (glyph, letter) in &font.letters {
            unicode.pair(*glyph, *letter);
        }
        pdf.cmap(cmap, &unicode.finish());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_no_wider_than_they_may_be() {
        let mut type_ = Typesetter::new().unwrap();
        let long = format!("one two {} three", "Ж".repeat(80));
        let lines = type_.lines(Weight::Strong, 20.0, &long, 200.0);
        assert!(lines.len() > 3);
        for line in &lines {
            assert!(type_.strong.width(line, 20.0) <= 200.0, "{line}");
        }
        assert_eq!(lines.concat().matches('Ж').count(), 80);
    }

    #[test]
    fn the_fonts_have_the_letters_of_europe() {
        let type_ = Typesetter::new().unwrap();
        for letter in "AzÀÿőŁșẞẽΩάᾠЖжїҐђ–—’“”…€£₺₽₴•−".chars()
        {
            for font in [&type_.regular, &type_.strong] {
                assert!(font.face.glyph_index(letter).is_some(), "{letter}");
            }
        }
    }
}
