//! Validates user text that others see: titles, venues, names, sections, seats. One rule for all of them: the
//! text has a visible character, and no invisible one that hides or reorders the text around it.
//!
//! Does not trim, count or case-fold; callers do.

use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{
        BidiControl, DefaultIgnorableCodePoint, Emoji, EmojiModifier, ExtendedPictographic,
        GeneralCategory, GeneralCategoryGroup, Script, UnifiedIdeograph,
    },
};

const JOINER: char = '\u{200d}';
const NON_JOINER: char = '\u{200c}';
/// Invisible, though its category is Symbol.
const BLANK_BRAILLE: char = '\u{2800}';
/// Begins the flags of England, Scotland and Wales, followed by tag characters.
const BLACK_FLAG: char = '\u{1f3f4}';

/// Scripts in which a joiner or non-joiner changes the shape or meaning of a word.
const JOINING_SCRIPTS: [Script; 26] = [
    Script::Adlam,
    Script::Arabic,
    Script::Balinese,
    Script::Bengali,
    Script::Devanagari,
    Script::Gujarati,
    Script::Gurmukhi,
    Script::HanifiRohingya,
    Script::Javanese,
    Script::Kannada,
    Script::Khmer,
    Script::Lao,
    Script::Malayalam,
    Script::Mandaic,
    Script::Mongolian,
    Script::Myanmar,
    Script::Nko,
    Script::Oriya,
    Script::PhagsPa,
    Script::Sinhala,
    Script::Syriac,
    Script::Tamil,
    Script::Telugu,
    Script::Thai,
    Script::Tibetan,
    Script::Tifinagh,
];

/// Returns what is wrong with a line of text, as a sentence for the user. An empty line is accepted.
pub(crate) fn line_error(line: &str) -> Option<&'static str> {
    let mut before = Preceding::default();
    let mut following = line.chars().peekable();
    while let Some(c) = following.next() {
        let category = CodePointMapData::<GeneralCategory>::new().get(c);
        if c.is_control()
            || matches!(
                category,
                GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator
            )
        {
            return Some("Use letters, digits and signs on one line.");
        }
        if !is_visible(c) && !before.allows(c, following.peek().copied()) {
            return Some("This has hidden characters in it. Type it anew, without them.");
        }
        before.add(c);
    }
    (!line.is_empty() && !line.chars().any(is_visible_alone))
        .then_some("This shows nothing. Use letters, digits or signs.")
}

/// Returns what is wrong with text on several lines. Invisible characters are accepted, such as those that
/// allow a line break in a word, except those that reverse text.
pub(crate) fn lines_error(text: &str) -> Option<&'static str> {
    let reverses = |c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if text.chars().any(reverses) {
        return Some("This has hidden characters in it that reverse text. Remove them.");
    }
    text.chars()
        .any(|c| c.is_control() && c != '\n' && c != '\t')
        .then_some("Use letters, digits and signs.")
}

/// Whether a character has a glyph or is a space.
fn is_visible(c: char) -> bool {
    // Arabic number and verse signs have the category Format, but are visible.
    if matches!(
        c,
        '\u{600}'..='\u{605}' | '\u{6dd}' | '\u{890}' | '\u{891}' | '\u{8e2}'
    ) {
        return true;
    }
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    !CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
        && !CodePointSetData::new::<BidiControl>().contains(c)
        && category != GeneralCategory::Format
}

/// Whether a character is visible without others.
fn is_visible_alone(c: char) -> bool {
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    let visible = GeneralCategoryGroup::Letter
        .union(GeneralCategoryGroup::Number)
        .union(GeneralCategoryGroup::Punctuation)
        .union(GeneralCategoryGroup::Symbol);
    is_visible(c) && c != BLANK_BRAILLE && visible.contains(category)
}

/// The characters before the current one.
#[derive(Default)]
struct Preceding {
    last: Option<char>,
    /// The last one that is not a variation selector or emoji modifier.
    base: Option<char>,
}

impl Preceding {
    fn add(&mut self, c: char) {
        let is_modifier = matches!(c, '\u{fe00}'..='\u{fe0f}')
            || CodePointSetData::new::<EmojiModifier>().contains(c);
        if !is_modifier {
            self.base = Some(c);
        }
        self.last = Some(c);
    }

    /// Whether an invisible character is legitimate at this position.
    fn allows(&self, c: char, next: Option<char>) -> bool {
        let (Some(last), Some(base)) = (self.last, self.base) else {
            return false;
        };
        match c {
            JOINER | NON_JOINER => {
                let next = next.filter(|next| is_visible(*next) && !next.is_whitespace());
                let pictographs = CodePointSetData::new::<ExtendedPictographic>();
                let in_emoji = pictographs.contains(base)
                    && next.is_some_and(|next| pictographs.contains(next));
                // Some words of Malayalam, and abbreviations in Arabic, end with a joiner.
                let in_word = is_visible(last) && joins(last) && (c == JOINER || next.is_some());
                in_word || (c == JOINER && in_emoji)
            }
            '\u{fe0e}' | '\u{fe0f}' => CodePointSetData::new::<Emoji>().contains(last),
            '\u{fe00}'..='\u{fe0d}' | '\u{e0100}'..='\u{e01ef}' => {
                CodePointSetData::new::<UnifiedIdeograph>().contains(last)
            }
            '\u{180b}'..='\u{180d}' | '\u{180f}' => script_of(last) == Script::Mongolian,
            '\u{e0020}'..='\u{e007f}' => {
                last == BLACK_FLAG || matches!(last, '\u{e0020}'..='\u{e007e}')
            }
            _ => false,
        }
    }
}

fn script_of(c: char) -> Script {
    CodePointMapData::<Script>::new().get(c)
}

fn joins(c: char) -> bool {
    JOINING_SCRIPTS.contains(&script_of(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_every_script_are_accepted() {
        for line in [
            "Late Show",
            "L'Île-d'Yeu — 7½ € & more",
            "Жар-птица",
            "東京の夜 ♫",
            "葛\u{e0100}城",
            "서울 2031",
            "مساء الموسيقى",
            "می\u{200c}خواهم",
            "ক্\u{200d}ষ",
            "ශ්\u{200d}රී ලංකා",
            "ക്\u{200d}",
            "עֶרֶב",
            "กรุงเทพ",
            "Family 👨\u{200d}👩\u{200d}👧\u{200d}👦 day",
            "Pride 🏳\u{fe0f}\u{200d}🌈",
            "👩🏽\u{200d}🎤 live",
            "❤\u{fe0f}\u{200d}🔥",
            "1\u{fe0f}\u{20e3}st night",
            "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f} Ceilidh",
            "e\u{301}te\u{301}",
            "!",
            "12",
            "",
        ] {
            assert_eq!(line_error(line), None, "{line}");
        }
    }

    #[test]
    fn invisible_characters_alone_are_refused() {
        for c in [
            '\u{200b}',
            '\u{2060}',
            '\u{ad}',
            '\u{3164}',
            '\u{2800}',
            '\u{115f}',
            '\u{1160}',
            '\u{ffa0}',
            '\u{feff}',
            '\u{180e}',
            '\u{34f}',
            '\u{200c}',
            '\u{200d}',
            '\u{61c}',
            '\u{17b4}',
            '\u{fe0f}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{2061}',
            '\u{fff9}',
            '\u{301}',
            '\u{a0}',
            '\u{3000}',
            '\u{e000}',
            '\u{378}',
            '\u{1d173}',
        ] {
            let alone = c.to_string();
            assert!(line_error(&alone).is_some(), "{:x}", u32::from(c));
            assert!(line_error(&alone.repeat(3)).is_some(), "{:x}", u32::from(c));
        }
    }

    #[test]
    fn what_hides_in_or_turns_around_other_text_is_refused() {
        for c in [
            '\u{200b}',
            '\u{200c}',
            '\u{200d}',
            '\u{200e}',
            '\u{200f}',
            '\u{202a}',
            '\u{202b}',
            '\u{202c}',
            '\u{202d}',
            '\u{202e}',
            '\u{2066}',
            '\u{2067}',
            '\u{2068}',
            '\u{2069}',
            '\u{61c}',
            '\u{ad}',
            '\u{2060}',
            '\u{2063}',
            '\u{206a}',
            '\u{feff}',
            '\u{3164}',
            '\u{115f}',
            '\u{34f}',
            '\u{fe0f}',
            '\u{e0061}',
            '\u{2028}',
            '\u{2029}',
            '\u{85}',
            '\0',
            '\u{7f}',
            '\n',
            '\t',
            '\u{fffb}',
            '\u{1bca0}',
        ] {
            for line in [
                format!("Late{c} Show"),
                format!("La{c}te"),
                format!("{c}Late"),
                format!("Late{c}"),
            ] {
                assert!(line_error(&line).is_some(), "{line:?}");
            }
        }
        for line in [
            "می\u{200c}\u{200c}خ",
            "می\u{200c} خ",
            "👨\u{200d}",
            "👨\u{200d}a",
        ] {
            assert!(line_error(line).is_some(), "{line:?}");
        }
    }

    #[test]
    fn several_lines_may_have_break_hints_but_not_reverse_text() {
        assert_eq!(
            lines_error("Doors at 7\n\tSo\u{ad}fa\u{200b}bed, \u{200f}עֶרֶב"),
            None
        );
        for text in [
            "a\u{202e}b",
            "a\u{2067}b",
            "a\u{2069}",
            "a\0",
            "a\u{1b}[1m",
            "a\rb",
        ] {
            assert!(lines_error(text).is_some(), "{text:?}");
        }
    }
}
