//! Writes lines of glyphs to a PDF, and embeds the used glyphs of each font with their text, so that readers
//! can search and copy it. Does not shape text.
//!
//! A character code represents one glyph and one text. Where that is not enough (several glyphs for one letter
//! or the reverse), the text is written as `ActualText`.

use crate::{
    fonts::{self, Face, FaceId},
    lines::{Cluster, Line, Run},
};
use miniz_oxide::deflate::compress_to_vec_zlib;
use pdf_writer::{
    Chunk, Content, Filter, Finish, Name, Pdf, Rect, Ref, Str, TextStr,
    types::{CidFontType, FontFlags, SystemInfo, TextRenderingMode, UnicodeCmap},
};
use std::collections::{BTreeMap, HashMap};
use subsetter::GlyphRemapper;

const IDENTITY: SystemInfo = SystemInfo {
    registry: Str(b"Adobe"),
    ordering: Str(b"Identity"),
    supplement: 0,
};
/// The stroke width of synthetic bold, in parts of the font size.
const BOLD: f32 = 0.03;
/// A compromise between size and speed.
const LEVEL: u8 = 6;

/// Compresses a stream, for the filter `/FlateDecode`.
pub(crate) fn compress(data: &[u8]) -> Vec<u8> {
    compress_to_vec_zlib(data, LEVEL)
}

/// A font could not be subset.
#[derive(Debug, thiserror::Error)]
#[error("font {font} was not embedded")]
pub struct EmbedError {
    font: &'static str,
    source: subsetter::Error,
}

/// The used glyphs of a font.
#[derive(Default)]
struct UsedGlyphs {
    glyphs: GlyphRemapper,
    /// Glyph and text of each code, for TrueType fonts. Glyphs are numbered as in the subset.
    codes: Vec<(u16, String)>,
    known: HashMap<(u16, String), u16>,
    /// The text of each glyph, for CFF fonts, whose codes are glyphs.
    texts: BTreeMap<u16, String>,
}

impl UsedGlyphs {
    /// The code of a glyph for `text`, and whether the code maps to exactly that text.
    fn code(&mut self, face: &Face, glyph: u16, text: &str) -> (u16, bool) {
        let glyph = self.glyphs.remap(glyph);
        if face.is_cff {
            let known = self.texts.entry(glyph).or_insert_with(|| text.to_owned());
            return (glyph, known == text);
        }
        let entry = (glyph, text.to_owned());
        if let Some(code) = self.known.get(&entry) {
            return (*code, true);
        }
        // Code 0 is reserved for missing glyphs.
        let Ok(code) = u16::try_from(self.codes.len() + 1) else {
            return (0, false);
        };
        self.codes.push(entry.clone());
        self.known.insert(entry, code);
        (code, true)
    }
}

/// The fonts of a document and their used glyphs.
pub(crate) struct Typesetter {
    used: Vec<UsedGlyphs>,
}

impl Typesetter {
    pub(crate) fn new() -> Self {
        Self {
            used: std::iter::repeat_with(UsedGlyphs::default)
                .take(fonts::count())
                .collect(),
        }
    }

    /// Draws a line whose baseline begins at `at`, in the current colour.
    pub(crate) fn show(&mut self, content: &mut Content, line: &Line, at: (f32, f32)) {
        let (mut x, y) = at;
        for run in &line.runs {
            if let (Some(face), Some(used)) = (fonts::face(run.face), self.used.get_mut(run.face)) {
                x += show_run(content, face, used, run, (x, y));
            }
        }
    }

    /// Embeds the used fonts. Returns their names for the pages' resources. Errors: a font cannot be subset.
    pub(crate) fn embed(
        &self,
        pdf: &mut Pdf,
        id: &mut impl FnMut() -> Ref,
    ) -> Result<Vec<(String, Ref)>, EmbedError> {
        let mut named = Vec::new();
        for (number, used) in self.used.iter().enumerate() {
            if used.codes.is_empty() && used.texts.is_empty() {
                continue;
            }
            let Some(face) = fonts::face(number) else {
                continue;
            };
            let font = id();
            embed(pdf, face, used, font, id).map_err(|source| EmbedError {
                font: face.name,
                source,
            })?;
            named.push((resource_name(number), font));
        }
        Ok(named)
    }
}

/// The name of a font in a page's resources.
fn resource_name(face: FaceId) -> String {
    format!("F{face}")
}

/// Draws a run. Returns its width.
fn show_run(
    content: &mut Content,
    face: &Face,
    used: &mut UsedGlyphs,
    run: &Run,
    (x, y): (f32, f32),
) -> f32 {
    content
        .begin_text()
        .set_font(Name(resource_name(run.face).as_bytes()), run.size);
    if run.bold {
        content
            .set_text_rendering_mode(TextRenderingMode::FillStroke)
            .set_line_width(run.size * BOLD);
    }
    content.next_line(x, y);
    let mut pen = Pen::default();
    for cluster in &run.clusters {
        show_cluster(content, face, used, run, cluster, &mut pen);
    }
    pen.flush(content);
    if pen.rise != 0.0 {
        content.set_rise(0.0);
    }
    if run.bold {
        content.set_text_rendering_mode(TextRenderingMode::Fill);
    }
    content.end_text();
    pen.wanted * run.size / 1000.0
}

/// Positions within a run: where the next glyph belongs, and where its predecessors' widths put it. In
/// thousandths of the font size.
#[derive(Default)]
struct Pen {
    wanted: f32,
    drawn: f32,
    rise: f32,
    /// Codes to be written, each with the move to the left before it.
    waiting: Vec<(f32, u16)>,
}

impl Pen {
    fn flush(&mut self, content: &mut Content) {
        if self.waiting.is_empty() {
            return;
        }
        let mut shown = content.show_positioned();
        let mut items = shown.items();
        let mut codes: Vec<u8> = Vec::new();
        for (left, code) in self.waiting.drain(..) {
            if left.abs() >= 0.5 {
                if !codes.is_empty() {
                    items.show(Str(&codes));
                    codes.clear();
                }
                items.adjust(left.round());
            }
            codes.extend(code.to_be_bytes());
        }
        items.show(Str(&codes));
    }
}

fn show_cluster(
    content: &mut Content,
    face: &Face,
    used: &mut UsedGlyphs,
    run: &Run,
    cluster: &Cluster,
    pen: &mut Pen,
) {
    let mut has_text = cluster.glyphs.len() == 1;
    let mut coded = Vec::with_capacity(cluster.glyphs.len());
    for glyph in &cluster.glyphs {
        let (code, maps_to_text) = used.code(face, glyph.id, &cluster.text);
        has_text &= maps_to_text;
        coded.push((code, glyph));
    }
    if !has_text {
        pen.flush(content);
        content
            .begin_marked_content_with_properties(Name(b"Span"))
            .properties()
            .actual_text(TextStr(&cluster.text));
    }
    for (code, glyph) in coded {
        let rise = (glyph.offset.1 * run.size / 10.0).round() / 100.0;
        if (rise - pen.rise).abs() > f32::EPSILON {
            pen.flush(content);
            content.set_rise(rise);
            pen.rise = rise;
        }
        let left = (pen.drawn - pen.wanted - glyph.offset.0).round();
        pen.waiting.push((left, code));
        pen.drawn += face.advance(glyph.id).round() - left;
        pen.wanted += glyph.advance;
    }
    if !has_text {
        pen.flush(content);
        content.end_marked_content();
    }
}

fn embed(
    pdf: &mut Pdf,
    face: &Face,
    used: &UsedGlyphs,
    font: Ref,
    id: &mut impl FnMut() -> Ref,
) -> Result<(), subsetter::Error> {
    let subset = subsetter::subset(face.data, 0, &used.glyphs)?;
    let (cid, descriptor, file, cmap) = (id(), id(), id(), id());
    // The name of a subset begins with a tag of six capitals.
    let name = format!("STGDRN+{}", face.name);
    let name = Name(name.as_bytes());
    pdf.type0_font(font)
        .base_font(name)
        .encoding_predefined(Name(b"Identity-H"))
        .descendant_font(cid)
        .to_unicode(cmap);
    // The glyphs in the order of their codes.
    let originals: Vec<u16> = used.glyphs.remapped_gids().collect();
    let codes: Vec<u16> = if face.is_cff {
        (0..).zip(&originals).map(|(code, _)| code).collect()
    } else {
        [0].into_iter()
            .chain(used.codes.iter().map(|(glyph, _)| *glyph))
            .collect()
    };
    let original = |glyph: &u16| originals.get(usize::from(*glyph)).copied();
    let map = (!face.is_cff).then(&mut *id);
    let mut cid_font = pdf.cid_font(cid);
    cid_font
        .subtype(if face.is_cff {
            CidFontType::Type0
        } else {
            CidFontType::Type2
        })
        .base_font(name)
        .system_info(IDENTITY)
        .font_descriptor(descriptor);
    if let Some(map) = map {
        cid_font.cid_to_gid_map_stream(map);
    }
    let advances = codes.iter().map(original);
    let advances = advances.map(|glyph| face.advance(glyph.unwrap_or_default()).round());
    cid_font.widths().consecutive(0, advances);
    cid_font.finish();
    write_descriptor(pdf, face, name, descriptor, file);
    let program = font_program(&subset, face.is_cff);
    let packed = compress(program);
    let mut stream = pdf.stream(file, &packed);
    stream.filter(Filter::FlateDecode);
    if face.is_cff {
        stream.pair(Name(b"Subtype"), Name(b"CIDFontType0C"));
    }
    stream.finish();
    if let Some(map) = map {
        let bytes: Vec<u8> = codes.iter().flat_map(|glyph| glyph.to_be_bytes()).collect();
        write_stream(pdf, map, &bytes);
    }
    write_stream(pdf, cmap, &unicode_map(used, face));
    Ok(())
}

fn write_stream(chunk: &mut Chunk, id: Ref, data: &[u8]) {
    chunk
        .stream(id, &compress(data))
        .filter(Filter::FlateDecode);
}

/// The `ToUnicode` map.
fn unicode_map(used: &UsedGlyphs, face: &Face) -> Vec<u8> {
    let mut unicode = UnicodeCmap::new(Name(b"Letters"), IDENTITY);
    if face.is_cff {
        for (code, text) in &used.texts {
            unicode.pair_with_multiple(*code, text.chars());
        }
    } else {
        for (code, (_, text)) in (1..).zip(&used.codes) {
            unicode.pair_with_multiple(code, text.chars());
        }
    }
    unicode.finish().to_vec()
}

fn write_descriptor(pdf: &mut Pdf, face: &Face, name: Name, descriptor: Ref, file: Ref) {
    let metrics = face.font.metrics().scaled_f32(1000.0);
    let bounds = metrics.bounds();
    let mut written = pdf.font_descriptor(descriptor);
    written
        .name(name)
        .flags(FontFlags::SYMBOLIC)
        .bbox(Rect::new(
            bounds.x_min,
            bounds.y_min,
            bounds.x_max,
            bounds.y_max,
        ))
        .italic_angle(0.0)
        .ascent(face.ascent)
        .descent(-face.descent)
        .cap_height(metrics.cap_height().unwrap_or(face.ascent))
        .stem_v(80.0);
    if face.is_cff {
        written.font_file3(file);
    } else {
        written.font_file2(file);
    }
}

/// The part of a font's file that a PDF embeds: the CFF table, or the whole TrueType file.
fn font_program(file: &[u8], is_cff: bool) -> &[u8] {
    let at = |from: usize, length: usize| {
        let bytes = file.get(from..from + length)?;
        Some(
            bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
        )
    };
    let table = || {
        (0..at(4, 2)?)
            .map(|number| 12 + 16 * number)
            .find_map(|record| {
                let start = at(record + 8, 4)?;
                let is_it = file.get(record..record + 4)? == b"CFF ";
                is_it.then(|| file.get(start..start + at(record + 12, 4)?))?
            })
    };
    if is_cff {
        table().unwrap_or(file)
    } else {
        file
    }
}
