//! From a text to lines of glyphs: which way it runs (UAX 9), where it may be broken (UAX 14), which
//! font has its letters, and which glyphs those make together.
//!
//! No line is wider than it may be: a word that is, is broken between two letters.

use crate::fonts::{Face, FaceId, Style, face, face_for};
use harfrust::{Buffer, ClusterLevel, Direction, Language, ShapeOptions, ShaperFont, shape};
use icu_segmenter::{GraphemeClusterSegmenter, LineSegmenter, options::LineBreakOptions};
use std::ops::Range;
use unicode_bidi::{BidiInfo, Level, ParagraphInfo};

/// What stands for the rest of a text that is cut.
const ELLIPSIS: &str = "…";

/// How many letters of a text are looked at: far more than fit on a ticket.
const LONGEST: usize = 250;

/// How a text is set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting<'a> {
    /// In which fonts.
    pub style: Style,
    /// How large.
    pub size: f32,
    /// How wide a line may be.
    pub width: f32,
    /// How many lines there may be; what is more is cut.
    pub lines: usize,
    /// The language of Han characters, whose shapes differ.
    pub language: Option<&'a str>,
}

/// A text in lines.
#[derive(Debug, Default)]
pub(crate) struct Paragraph {
    /// From above.
    pub lines: Vec<Line>,
    /// It runs from right to left.
    pub rtl: bool,
    /// Not all of it is there.
    pub is_cut: bool,
}

/// A line.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// From left to right, each in one font.
    pub runs: Vec<Run>,
    /// How wide it is.
    pub width: f32,
    /// How far it reaches above its base.
    pub ascent: f32,
    /// How far it reaches below.
    pub descent: f32,
}

/// Glyphs of one font, from left to right.
#[derive(Debug)]
pub(crate) struct Run {
    /// Which font.
    pub face: FaceId,
    /// The letters have to be made bold.
    pub bold: bool,
    /// How large they are.
    pub size: f32,
    /// Glyphs by what they stand for.
    pub clusters: Vec<Cluster>,
}

/// Glyphs that stand for some letters together.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// The letters, in the order of reading.
    pub text: String,
    /// Their glyphs, from left to right.
    pub glyphs: Vec<Glyph>,
}

/// A glyph. Lengths are thousandths of the size.
#[derive(Debug)]
pub(crate) struct Glyph {
    /// Which one of the font.
    pub id: u16,
    /// From its place to that of the next.
    pub advance: f32,
    /// From its place to where it is drawn.
    pub offset: (f32, f32),
}

/// The lines of `text`. Whatever separates words or lines in it is one space.
pub(crate) fn paragraph(text: &str, setting: &Setting) -> Paragraph {
    let text = one_line(text);
    let mut kept: Vec<Range<usize>> = clusters(&text);
    let mut paragraph = if kept.len() > LONGEST {
        kept.truncate(LONGEST);
        cut(&text, &kept, setting)
    } else {
        whole(&text, setting)
    };
    while paragraph.lines.len() > setting.lines.max(1) && !kept.is_empty() {
        // As many as should fit, and one less at the least.
        let fitting = kept.len() * setting.lines.max(1) / paragraph.lines.len();
        kept.truncate(fitting.min(kept.len() - 1));
        paragraph = cut(&text, &kept, setting);
    }
    paragraph
}

/// The lines of those clusters of a text that are kept.
fn cut(text: &str, kept: &[Range<usize>], setting: &Setting) -> Paragraph {
    let end = kept.last().map_or(0, |cluster| cluster.end);
    let shorter = format!("{}{ELLIPSIS}", text[..end].trim_end());
    Paragraph {
        is_cut: true,
        ..whole(&shorter, setting)
    }
}

fn one_line(text: &str) -> String {
    let spaced: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    // A space that does not break holds words together, so it stays.
    let breaks = |c: char| c.is_whitespace() && !matches!(c, '\u{a0}' | '\u{202f}');
    let words: Vec<&str> = spaced
        .split(breaks)
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ")
}

fn whole(text: &str, setting: &Setting) -> Paragraph {
    let bidi = BidiInfo::new(text, None);
    let Some(para) = bidi.paragraphs.first() else {
        return Paragraph::default();
    };
    let typed = Typed {
        text,
        setting,
        faces: faces(text, setting.style),
        bidi: &bidi,
        para,
    };
    Paragraph {
        lines: typed
            .break_up()
            .into_iter()
            .map(|range| typed.line(range))
            .collect(),
        rtl: para.level.is_rtl(),
        is_cut: false,
    }
}

/// The letters as one sees them: a base and its marks, or a family of emoji, are one.
pub(crate) fn clusters(text: &str) -> Vec<Range<usize>> {
    let ends: Vec<usize> = GraphemeClusterSegmenter::new().segment_str(text).collect();
    ends.windows(2)
        .filter_map(|pair| Some(*pair.first()?..*pair.last()?))
        .collect()
}

/// Every cluster and its font.
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

/// A text, and what is known of all of it.
struct Typed<'a> {
    text: &'a str,
    setting: &'a Setting<'a>,
    faces: Vec<(Range<usize>, FaceId)>,
    bidi: &'a BidiInfo<'a>,
    para: &'a ParagraphInfo,
}

impl Typed<'_> {
    /// The lines, as parts of the text, without the spaces between them.
    fn break_up(&self) -> Vec<Range<usize>> {
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

    /// Up to which letter a word fits that is longer than a line: one letter at least.
    fn last_that_fits(&self, word: Range<usize>) -> usize {
        let ends: Vec<usize> = self
            .faces
            .iter()
            .map(|(cluster, _)| cluster.end)
            .filter(|end| (word.start + 1..=word.end).contains(end))
            .collect();
        let fits = |end: &usize| self.width(word.start..*end) <= self.setting.width;
        // Few letters fit on a line, so that not all of a long word is looked at.
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

    /// The glyphs of a part of the text that stands on one line.
    fn line(&self, range: Range<usize>) -> Line {
        let (levels, parts) = self.bidi.visual_runs(self.para, range.clone());
        let mut line = Line::default();
        for part in parts {
            let level = levels.get(part.start).copied().unwrap_or(Level::ltr());
            let mut runs = self.in_one_font(part);
            if level.is_rtl() {
                runs.reverse();
            }
            for (piece, id) in runs {
                self.add(&mut line, piece, id, level, &range);
            }
        }
        line
    }

    fn in_one_font(&self, part: Range<usize>) -> Vec<(Range<usize>, FaceId)> {
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
        // It fails for a buffer without direction, and this one has one.
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
            clusters: by_text(text, glyphs, face, level.is_rtl()),
        });
    }
}

/// Glyphs with the letters that they stand for, of which each knows where in `text` they begin. Marks
/// that are moved stay with their letter.
fn by_text(text: &str, mut glyphs: Vec<(usize, Glyph)>, face: &Face, rtl: bool) -> Vec<Cluster> {
    if !rtl {
        for seen in clusters(text) {
            let moved = |(start, glyph): &(usize, Glyph)| {
                seen.contains(start) && glyph.offset.0.abs().max(glyph.offset.1.abs()) >= 1.0
            };
            if glyphs.iter().any(moved) {
                let of_it = glyphs.iter_mut().filter(|(start, _)| seen.contains(start));
                of_it.for_each(|(start, _)| *start = seen.start);
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
            .flat_map(|cluster| one_by_one(cluster, face))
            .collect()
    } else {
        set
    }
}

/// PDF readers reverse right-to-left text glyph by glyph, and some also reverse the letters of one glyph.
/// So each letter of a ligature gets its own code: the last letter gets the glyph, the others an
/// invisible one.
fn one_by_one(cluster: Cluster, face: &Face) -> Vec<Cluster> {
    let (Some(blank), 1) = (face.blank, cluster.glyphs.len()) else {
        return vec![cluster];
    };
    let mut letters = cluster.text.chars().rev().map(String::from);
    let mut apart = vec![Cluster {
        text: letters.next().unwrap_or_default(),
        glyphs: cluster.glyphs,
    }];
    apart.extend(letters.map(|text| Cluster {
        text,
        glyphs: vec![Glyph {
            id: blank,
            advance: 0.0,
            offset: (0.0, 0.0),
        }],
    }));
    apart
}

/// A length in a font's units, of which there are 16 bits.
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

    /// The letters of each line, in the order in which its glyphs stand.
    fn seen(paragraph: &Paragraph) -> Vec<String> {
        let of = |line: &Line| {
            let clusters = line.runs.iter().flat_map(|run| &run.clusters);
            clusters.map(|cluster| cluster.text.as_str()).collect()
        };
        paragraph.lines.iter().map(of).collect()
    }

    #[test]
    fn lines_are_no_wider_than_they_may_be_and_no_letter_is_lost() {
        for text in [
            format!("one two {} three", "Ж".repeat(80)),
            "W".repeat(120),
            "日本の劇場".repeat(20),
            "โรงละครแห่งชาติ".repeat(10),
            "राष्ट्रीयनाट्यविद्यालय".repeat(6),
            "𒀀".repeat(60),
            "👩🏽‍🎤".repeat(40),
        ] {
            let set = paragraph(&text, &SETTING);
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
            width: paragraph(text, &SETTING).lines[0].width - 1.0,
            ..SETTING
        };
        assert_eq!(seen(&paragraph(text, &setting)), ["ดนตรีโรงละครแห่ง", "ชาติ"]);
    }

    #[test]
    fn text_runs_as_its_letters_do() {
        let hebrew = paragraph("אבג דהו", &SETTING);
        assert!(hebrew.rtl);
        assert_eq!(seen(&hebrew), ["והד גבא"]);
        let mixed = paragraph("Hall אבג 12", &SETTING);
        assert!(!mixed.rtl);
        assert_eq!(seen(&mixed), ["Hall 12 גבא"]);
        // Nothing that is typed turns the text after it.
        assert!(!paragraph("Seat 12", &SETTING).rtl);
    }

    #[test]
    fn arabic_letters_join() {
        let glyphs = |text| {
            let set = paragraph(text, &SETTING);
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
            let set = paragraph("骨", &setting);
            set.lines[0].runs[0].clusters[0].glyphs[0].id
        };
        assert_ne!(glyph("ja"), glyph("zh-hans"));
        assert_ne!(glyph("ja"), glyph("zh-hant-tw"));
        assert_ne!(glyph("zh-hans"), glyph("zh-hant-tw"));
    }

    #[test]
    fn what_is_too_long_is_cut_and_says_so() {
        let setting = Setting {
            lines: 2,
            ..SETTING
        };
        let set = paragraph(&"one two three ".repeat(20), &setting);
        assert_eq!(set.lines.len(), 2);
        assert!(set.is_cut && seen(&set).concat().ends_with('…'));
        let set = paragraph(&"W".repeat(100_000), &SETTING);
        assert!(set.is_cut && seen(&set).concat().matches('W').count() == LONGEST);
        let set = paragraph("one two", &setting);
        assert!(!set.is_cut);
        assert_eq!(seen(&set), ["one two"]);
    }

    #[test]
    fn an_empty_text_has_no_lines() {
        for text in ["", "  ", "\n\u{2028}\t"] {
            assert!(paragraph(text, &SETTING).lines.is_empty());
        }
    }
}
