//! Lays out text as lines of glyphs: direction (UAX 9), line breaks (UAX 14), fonts and shaping. Does not draw.
//!
//! No line exceeds the width: a longer word is broken between two characters.

use crate::fonts::{Face, FaceId, Style, face, face_for};
use harfrust::{Buffer, ClusterLevel, Direction, Language, ShapeOptions, ShaperFont, shape};
use icu_segmenter::{GraphemeClusterSegmenter, LineSegmenter, options::LineBreakOptions};
use std::ops::Range;
use unicode_bidi::{BidiInfo, Level, ParagraphInfo};

/// Marks a truncated text.
const ELLIPSIS: &str = "…";

/// The most grapheme clusters of a text that are laid out: far more than fit on a ticket.
const CLUSTERS_MAX: usize = 250;

/// The layout settings of a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting<'a> {
    pub style: Style,
    /// The font size.
    pub size: f32,
    /// The maximum width of a line.
    pub width: f32,
    /// The maximum number of lines; the rest is truncated.
    pub lines: usize,
    /// The language of Han characters, which decides on their shapes.
    pub language: Option<&'a str>,
}

/// A text laid out in lines.
#[derive(Debug, Default)]
pub(crate) struct Paragraph {
    pub lines: Vec<Line>,
    /// Whether the text is right-to-left.
    pub rtl: bool,
    /// Whether the text is truncated.
    pub is_cut: bool,
}

/// A line of a paragraph.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// From left to right.
    pub runs: Vec<Run>,
    pub width: f32,
    /// Above the baseline.
    pub ascent: f32,
    /// Below the baseline, as a positive number.
    pub descent: f32,
}

/// Glyphs of one font, from left to right.
#[derive(Debug)]
pub(crate) struct Run {
    pub face: FaceId,
    /// Whether to draw synthetic bold.
    pub bold: bool,
    /// The font size.
    pub size: f32,
    pub clusters: Vec<Cluster>,
}

/// Glyphs that together represent some characters.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// The characters in logical order.
    pub text: String,
    /// From left to right.
    pub glyphs: Vec<Glyph>,
}

/// A positioned glyph. Lengths are thousandths of the font size.
#[derive(Debug)]
pub(crate) struct Glyph {
    pub id: u16,
    /// The distance to the next glyph's origin.
    pub advance: f32,
    /// From its origin to where it is drawn.
    pub offset: (f32, f32),
}

/// Lays out `text`. White space and line breaks in it become single spaces.
pub(crate) fn lay_out(text: &str, setting: &Setting) -> Paragraph {
    let text = one_line(text);
    let mut kept: Vec<Range<usize>> = clusters(&text);
    let mut paragraph = if kept.len() > CLUSTERS_MAX {
        kept.truncate(CLUSTERS_MAX);
        lay_out_start(&text, &kept, setting)
    } else {
        lay_out_all(&text, setting)
    };
    while paragraph.lines.len() > setting.lines.max(1) && !kept.is_empty() {
        // An estimate of what fits, but at least one cluster less.
        let fitting = kept.len() * setting.lines.max(1) / paragraph.lines.len();
        kept.truncate(fitting.min(kept.len() - 1));
        paragraph = lay_out_start(&text, &kept, setting);
    }
    paragraph
}

/// Lays out the kept clusters of a text and an ellipsis.
fn lay_out_start(text: &str, kept: &[Range<usize>], setting: &Setting) -> Paragraph {
    let end = kept.last().map_or(0, |cluster| cluster.end);
    let shorter = format!("{}{ELLIPSIS}", text[..end].trim_end());
    Paragraph {
        is_cut: true,
        ..lay_out_all(&shorter, setting)
    }
}

fn one_line(text: &str) -> String {
    let spaced: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    // A no-break space keeps words together, so it stays.
    let breaks = |c: char| c.is_whitespace() && !matches!(c, '\u{a0}' | '\u{202f}');
    let words: Vec<&str> = spaced
        .split(breaks)
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ")
}

fn lay_out_all(text: &str, setting: &Setting) -> Paragraph {
    let bidi = BidiInfo::new(text, None);
    let Some(para) = bidi.paragraphs.first() else {
        return Paragraph::default();
    };
    let analysed = AnalysedText {
        text,
        setting,
        faces: faces(text, setting.style),
        bidi: &bidi,
        para,
    };
    Paragraph {
        lines: analysed
            .break_lines()
            .into_iter()
            .map(|range| analysed.line(range))
            .collect(),
        rtl: para.level.is_rtl(),
        is_cut: false,
    }
}

/// The grapheme clusters of a text.
pub(crate) fn clusters(text: &str) -> Vec<Range<usize>> {
    let ends: Vec<usize> = GraphemeClusterSegmenter::new().segment_str(text).collect();
    ends.windows(2)
        .filter_map(|pair| Some(*pair.first()?..*pair.last()?))
        .collect()
}

/// The clusters of a text with their fonts.
fn faces(text: &str, style: Style) -> Vec<(Range<usize>, FaceId)> {
    let mut before = None;
    clusters(text)
        .into_iter()
        .map(|cluster| {
            let face = face_for(style, &text[cluster.clone()], before);
            before = Some(face);
            (cluster, face)
        })
        .collect()
}

/// A text with its fonts and directions.
struct AnalysedText<'a> {
    text: &'a str,
    setting: &'a Setting<'a>,
    faces: Vec<(Range<usize>, FaceId)>,
    bidi: &'a BidiInfo<'a>,
    para: &'a ParagraphInfo,
}

impl AnalysedText<'_> {
    /// Breaks the text into lines. Returns their ranges without surrounding spaces.
    fn break_lines(&self) -> Vec<Range<usize>> {
        let ends: Vec<usize> = LineSegmenter::new_lstm(LineBreakOptions::default())
            .segment_str(self.text)
            .skip(1)
            .collect();
        let (mut lines, mut start, mut fits) = (Vec::new(), 0, 0);
        for end in ends {
            while self.width(start..end) > self.setting.width {
                if fits <= start {
                    fits = self.last_that_fits(start..end);
                }
                lines.push(self.trimmed(start..fits));
                start = fits;
            }
            fits = end;
        }
        if start < self.text.len() {
            lines.push(self.trimmed(start..self.text.len()));
        }
        lines.retain(|line| !line.is_empty());
        lines
    }

    /// Returns the end of the part of a word that fits on a line: at least one cluster.
    fn last_that_fits(&self, word: Range<usize>) -> usize {
        let ends: Vec<usize> = self
            .faces
            .iter()
            .map(|(cluster, _)| cluster.end)
            .filter(|end| (word.start + 1..=word.end).contains(end))
            .collect();
        let fits = |end: &usize| self.width(word.start..*end) <= self.setting.width;
        // Few clusters fit on a line, so that measuring a whole long word is unnecessary.
        let mut tried = 16;
        while ends.get(tried).is_some_and(fits) {
            tried *= 2;
        }
        let near = ends.get(..tried).unwrap_or(&ends);
        let fitting = near.partition_point(fits);
        let last = ends.get(fitting.saturating_sub(1));
        last.copied().unwrap_or(word.end)
    }

    fn trimmed(&self, range: Range<usize>) -> Range<usize> {
        let part = &self.text[range.clone()];
        let start = range.end - part.trim_start().len();
        start..(range.start + part.trim_end().len()).max(start)
    }

    fn width(&self, range: Range<usize>) -> f32 {
        self.line(self.trimmed(range)).width
    }

    /// Shapes a part of the text as one line.
    fn line(&self, range: Range<usize>) -> Line {
        let (levels, parts) = self.bidi.visual_runs(self.para, range.clone());
        let mut line = Line::default();
        for part in parts {
            let level = levels.get(part.start).copied().unwrap_or(Level::ltr());
            let mut runs = self.split_by_font(part);
            if level.is_rtl() {
                runs.reverse();
            }
            for (piece, id) in runs {
                self.add(&mut line, piece, id, level, &range);
            }
        }
        line
    }

    fn split_by_font(&self, part: Range<usize>) -> Vec<(Range<usize>, FaceId)> {
        let mut runs: Vec<(Range<usize>, FaceId)> = Vec::new();
        let first = self
            .faces
            .partition_point(|(cluster, _)| cluster.end <= part.start);
        for (cluster, id) in self.faces.iter().skip(first) {
            if cluster.start >= part.end {
                break;
            }
            let cluster = cluster.start.max(part.start)..cluster.end.min(part.end);
            match runs.last_mut() {
                Some((run, face)) if face == id => run.end = cluster.end,
                _ => runs.push((cluster, *id)),
            }
        }
        runs
    }

    fn add(
        &self,
        line: &mut Line,
        piece: Range<usize>,
        id: FaceId,
        level: Level,
        of: &Range<usize>,
    ) {
        let Some(face) = face(id) else { return };
        let size = self.setting.size;
        let text = &self.text[piece.clone()];
        let mut buffer = Buffer::new();
        buffer.set_cluster_level(ClusterLevel::MonotoneCharacters);
        buffer.push_str(text);
        buffer.set_pre_context(&self.text[of.start..piece.start]);
        buffer.set_post_context(&self.text[piece.end..of.end]);
        buffer.set_direction(if level.is_rtl() {
            Direction::RightToLeft
        } else {
            Direction::LeftToRight
        });
        buffer.guess_segment_properties();
        buffer.set_language(self.setting.language.and_then(Language::new));
        let options = ShapeOptions::new();
        // Fails only for a buffer without direction.
        if shape(&ShaperFont::new(&face.font), &mut buffer, options).is_err() {
            return;
        }
        let mut glyphs: Vec<(usize, Glyph)> = Vec::with_capacity(buffer.len());
        for (info, at) in buffer.glyph_infos().iter().zip(buffer.glyph_positions()) {
            let advance = face.scaled(units(at.x_advance));
            line.width += advance * size / 1000.0;
            let glyph = Glyph {
                id: u16::try_from(info.glyph_id).unwrap_or_default(),
                advance,
                offset: (
                    face.scaled(units(at.x_offset)),
                    face.scaled(units(at.y_offset)),
                ),
            };
            glyphs.push((usize::try_from(info.cluster).unwrap_or_default(), glyph));
        }
        line.ascent = line.ascent.max(face.ascent * size / 1000.0);
        line.descent = line.descent.max(face.descent * size / 1000.0);
        line.runs.push(Run {
            face: id,
            bold: face.can_be_bold && self.setting.style != Style::Regular,
            size,
            clusters: group_by_text(text, glyphs, face, level.is_rtl()),
        });
    }
}

/// Groups glyphs by the characters that they represent; each glyph comes with the start of those in `text`.
/// Marks with an offset stay with their base.
fn group_by_text(
    text: &str,
    mut glyphs: Vec<(usize, Glyph)>,
    face: &Face,
    rtl: bool,
) -> Vec<Cluster> {
    if !rtl {
        for grapheme in clusters(text) {
            let moved = |(start, glyph): &(usize, Glyph)| {
                grapheme.contains(start) && glyph.offset.0.abs().max(glyph.offset.1.abs()) >= 1.0
            };
            if glyphs.iter().any(moved) {
                let of_it = glyphs
                    .iter_mut()
                    .filter(|(start, _)| grapheme.contains(start));
                of_it.for_each(|(start, _)| *start = grapheme.start);
            }
        }
    }
    let mut starts: Vec<usize> = glyphs.iter().map(|(start, _)| *start).collect();
    starts.push(text.len());
    starts.sort_unstable();
    starts.dedup();
    let mut set: Vec<Cluster> = Vec::new();
    let mut last = None;
    for (start, glyph) in glyphs {
        if last == Some(start)
            && let Some(cluster) = set.last_mut()
        {
            cluster.glyphs.push(glyph);
            continue;
        }
        last = Some(start);
        let next = starts.partition_point(|other| *other <= start);
        let end = starts.get(next).copied().unwrap_or(text.len());
        set.push(Cluster {
            text: text.get(start..end).unwrap_or_default().to_owned(),
            glyphs: vec![glyph],
        });
    }
    if rtl {
        set.into_iter()
            .flat_map(|cluster| split_ligature(cluster, face))
            .collect()
    } else {
        set
    }
}

/// PDF readers reverse right-to-left text glyph by glyph, and some also reverse the letters of one glyph.
/// So each letter of a ligature gets its own code: the last letter gets the glyph, the others an
/// invisible one.
fn split_ligature(cluster: Cluster, face: &Face) -> Vec<Cluster> {
    let (Some(blank), 1) = (face.blank, cluster.glyphs.len()) else {
        return vec![cluster];
    };
    let mut letters = cluster.text.chars().rev().map(String::from);
    let mut split = vec![Cluster {
        text: letters.next().unwrap_or_default(),
        glyphs: cluster.glyphs,
    }];
    split.extend(letters.map(|text| Cluster {
        text,
        glyphs: vec![Glyph {
            id: blank,
            advance: 0.0,
            offset: (0.0, 0.0),
        }],
    }));
    split
}

/// Converts a length in font units, which has 16 bits.
fn units(length: i32) -> f32 {
    f32::from(i16::try_from(length).unwrap_or(i16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTING: Setting = Setting {
        style: Style::Strong,
        size: 20.0,
        width: 200.0,
        lines: usize::MAX,
        language: None,
    };

    /// The characters of each line, in visual order.
    fn seen(paragraph: &Paragraph) -> Vec<String> {
        let of = |line: &Line| {
            let clusters = line.runs.iter().flat_map(|run| &run.clusters);
            clusters.map(|cluster| cluster.text.as_str()).collect()
        };
        paragraph.lines.iter().map(of).collect()
    }

    #[test]
    fn no_line_is_too_wide_and_no_letter_is_lost() {
        for text in [
            format!("one two {} three", "Ж".repeat(80)),
            "W".repeat(120),
            "日本の劇場".repeat(20),
            "โรงละครแห่งชาติ".repeat(10),
            "राष्ट्रीयनाट्यविद्यालय".repeat(6),
            "𒀀".repeat(60),
            "👩🏽‍🎤".repeat(40),
        ] {
            let set = lay_out(&text, &SETTING);
            assert!(set.lines.len() > 2, "{text}");
            for line in &set.lines {
                assert!(line.width <= 200.0, "{text}: {}", line.width);
            }
            let mut letters: Vec<char> = seen(&set).concat().chars().collect();
            let mut typed: Vec<char> = text.chars().collect();
            letters.retain(|c| *c != ' ');
            typed.retain(|c| *c != ' ');
            letters.sort_unstable();
            typed.sort_unstable();
            assert_eq!(letters, typed, "{text}");
        }
    }

    #[test]
    fn thai_is_broken_between_words_although_it_has_no_spaces() {
        let text = "ดนตรีโรงละครแห่งชาติ";
        let setting = Setting {
            width: lay_out(text, &SETTING).lines[0].width - 1.0,
            ..SETTING
        };
        assert_eq!(seen(&lay_out(text, &setting)), ["ดนตรีโรงละครแห่ง", "ชาติ"]);
    }

    #[test]
    fn text_runs_as_its_letters_do() {
        let hebrew = lay_out("אבג דהו", &SETTING);
        assert!(hebrew.rtl);
        assert_eq!(seen(&hebrew), ["והד גבא"]);
        let mixed = lay_out("Hall אבג 12", &SETTING);
        assert!(!mixed.rtl);
        assert_eq!(seen(&mixed), ["Hall 12 גבא"]);
        // The direction of one text does not affect the next.
        assert!(!lay_out("Seat 12", &SETTING).rtl);
    }

    #[test]
    fn arabic_letters_join() {
        let glyphs = |text| {
            let set = lay_out(text, &SETTING);
            let clusters = set.lines.into_iter().flat_map(|line| line.runs);
            let clusters = clusters.flat_map(|run| run.clusters);
            clusters
                .flat_map(|cluster| cluster.glyphs)
                .map(|glyph| glyph.id)
                .collect::<Vec<u16>>()
        };
        let apart: Vec<u16> = ["ب", "ي", "ت"]
            .iter()
            .rev()
            .flat_map(|c| glyphs(c))
            .collect();
        assert_ne!(glyphs("بيت"), apart);
        assert!(!glyphs("بيت").contains(&0));
    }

    #[test]
    fn han_characters_have_the_shapes_of_their_country() {
        let glyph = |language| {
            let setting = Setting {
                language: Some(language),
                ..SETTING
            };
            let set = lay_out("骨", &setting);
            set.lines[0].runs[0].clusters[0].glyphs[0].id
        };
        assert_ne!(glyph("ja"), glyph("zh-hans"));
        assert_ne!(glyph("ja"), glyph("zh-hant-tw"));
        assert_ne!(glyph("zh-hans"), glyph("zh-hant-tw"));
    }

    #[test]
    fn a_text_that_is_too_long_is_truncated() {
        let setting = Setting {
            lines: 2,
            ..SETTING
        };
        let set = lay_out(&"one two three ".repeat(20), &setting);
        assert_eq!(set.lines.len(), 2);
        assert!(set.is_cut && seen(&set).concat().ends_with('…'));
        let set = lay_out(&"W".repeat(100_000), &SETTING);
        assert!(set.is_cut && seen(&set).concat().matches('W').count() == CLUSTERS_MAX);
        let set = lay_out("one two", &setting);
        assert!(!set.is_cut);
        assert_eq!(seen(&set), ["one two"]);
    }

    #[test]
    fn an_empty_text_has_no_lines() {
        for text in ["", "  ", "\n\u{2028}\t"] {
            assert!(lay_out(text, &SETTING).lines.is_empty());
        }
    }
}
