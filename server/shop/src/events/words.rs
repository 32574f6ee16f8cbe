//! Splits text into normalized words, alike for the search index and for search queries. Pure.
//!
//! A word is a run of letters and digits, in lower case and without accents. In Han and kana, which have
//! no spaces between words, each character is a word.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// The rest of a longer search is ignored.
const SEARCH_WORDS_MAX: usize = 16;
const SEARCH_CHARS_MAX: usize = 100;

/// The words of a text, separated by single spaces.
pub(crate) fn fold(text: &str) -> String {
    let mut words = String::with_capacity(text.len());
    let mut starts_word = false;
    let chars = text
        .nfkd()
        .flat_map(char::to_lowercase)
        .filter(|c| !is_combining_mark(*c) && !is_apostrophe(*c));
    for c in chars {
        let is_word = is_word_by_itself(c);
        if !c.is_alphanumeric() {
            starts_word = true;
            continue;
        }
        if (starts_word || is_word) && !words.is_empty() {
            words.push(' ');
        }
        push_plain(&mut words, c);
        starts_word = is_word;
    }
    words
}

/// The words by which a text is found: those of [`fold`], followed by alternative spellings: `zuerich` for
/// Zürich, `kobenhavn` and `koebenhavn` for København, `zurich` for Zuerich.
pub(crate) fn index_words(text: &str) -> String {
    let mut words = fold(text);
    let plain = words.clone();
    let spelt_out = fold(&text.nfc().map(spell_out).collect::<String>());
    for (word, other) in plain.split(' ').zip(spelt_out.split(' ')) {
        let contracted = contract(word);
        for variant in [other, contracted.as_str()] {
            if variant != word && !words.split(' ').any(|known| known == variant) {
                words.push(' ');
                words.push_str(variant);
            }
        }
    }
    words
}

/// Replaces letters that are typed as two on keyboards without them.
fn spell_out(c: char) -> std::borrow::Cow<'static, str> {
    match c {
        'ä' | 'Ä' => "ae".into(),
        'ö' | 'Ö' | 'ø' | 'Ø' => "oe".into(),
        'ü' | 'Ü' => "ue".into(),
        'å' | 'Å' => "aa".into(),
        other => other.to_string().into(),
    }
}

/// The inverse of [`spell_out`], with plain letters.
fn contract(word: &str) -> String {
    word.replace("ae", "a")
        .replace("oe", "o")
        .replace("ue", "u")
        .replace("aa", "a")
}

/// The distinct words of a search query; none if it has no letters or digits.
pub(crate) fn search_words(q: &str) -> Vec<String> {
    let q: String = q.chars().take(SEARCH_CHARS_MAX).collect();
    let mut words: Vec<String> = Vec::new();
    for word in fold(&q).split_whitespace().take(SEARCH_WORDS_MAX) {
        if !words.iter().any(|known| known == word) {
            words.push(word.to_owned());
        }
    }
    words
}

/// `It's` is one word, and the same as `its`.
fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '\u{2018}' | '\u{2019}' | '\u{02bc}' | '`')
}

/// Han and kana.
fn is_word_by_itself(c: char) -> bool {
    matches!(u32::from(c),
        0x3040..=0x30ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x2_0000..=0x3_ffff)
}

/// Replaces letters that Unicode normalization does not decompose.
fn push_plain(words: &mut String, c: char) {
    match c {
        'ß' => words.push_str("ss"),
        'æ' => words.push_str("ae"),
        'œ' => words.push_str("oe"),
        'þ' => words.push_str("th"),
        'ø' => words.push('o'),
        'ł' => words.push('l'),
        'đ' | 'ð' => words.push('d'),
        'ı' => words.push('i'),
        'ς' => words.push('σ'),
        other => words.push(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn case_accents_and_punctuation_do_not_matter() {
        for (text, words) in [
            ("Béla  Bartók: Kékszakállú", "bela bartok kekszakallu"),
            ("VALPARAÍSO", "valparaiso"),
            (
                "İstanbul Straße Łódź Århus Œuvre",
                "istanbul strasse lodz arhus oeuvre",
            ),
            ("It's AC/DC, 50% off!", "its ac dc 50 off"),
            ("Ｆｕｌｌ ﬁn", "full fin"),
            ("東京タワー 2", "東 京 タ ワ ー 2"),
            ("🎭 \u{0} -- * \"", ""),
        ] {
            assert_eq!(fold(text), words);
        }
    }

    #[test]
    fn a_text_is_found_by_other_spellings_of_its_words() {
        for (text, words) in [
            ("Zürich", "zurich zuerich"),
            ("Zu\u{308}rich", "zurich zuerich"),
            ("Zuerich", "zuerich zurich"),
            ("København Århus", "kobenhavn arhus koebenhavn aarhus"),
            ("Straße", "strasse"),
            ("Late Show", "late show"),
            ("東京 Öl", "東 京 ol oel"),
            ("", ""),
        ] {
            assert_eq!(index_words(text), words);
        }
    }

    #[test]
    fn a_search_has_a_limited_number_of_distinct_words() {
        assert_eq!(search_words(" Han  ARENA han "), ["han", "arena"]);
        assert!(search_words("🎭 NEAR(").iter().eq(["near"]));
        assert!(search_words("% _ \u{0}").is_empty());
        let many: String = ('a'..='z').flat_map(|letter| [letter, ' ']).collect();
        assert_eq!(search_words(&many).len(), SEARCH_WORDS_MAX);
    }

    proptest! {
        #[test]
        fn words_are_alphanumeric_and_folding_is_idempotent(text in any::<String>()) {
            let folded = fold(&text);
            prop_assert!(folded.split(' ').all(|word| word.chars().all(char::is_alphanumeric)));
            prop_assert!(folded.is_empty() || folded.split(' ').all(|word| !word.is_empty()));
            prop_assert_eq!(fold(&folded), folded);
        }
    }
}
