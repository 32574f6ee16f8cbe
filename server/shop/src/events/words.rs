//! The words that events are found by: what is indexed and what is sought go through the same
//! hands. Pure.
//!
//! A word is a run of letters and digits, in small letters and without accents. Scripts that put
//! no spaces between words are taken sign by sign.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// Words of a search that count, and how long it may be.
const SOUGHT_WORDS_MAX: usize = 16;
const SOUGHT_CHARS_MAX: usize = 100;

/// The words of a text, one space between them.
pub(crate) fn fold(text: &str) -> String {
    let mut words = String::with_capacity(text.len());
    let mut apart = false;
    let signs = text
        .nfkd()
        .flat_map(char::to_lowercase)
        .filter(|sign| !is_combining_mark(*sign) && !is_apostrophe(*sign));
    for sign in signs {
        let alone = stands_alone(sign);
        if !sign.is_alphanumeric() {
            apart = true;
            continue;
        }
        if (apart || alone) && !words.is_empty() {
            words.push(' ');
        }
        push_plain(&mut words, sign);
        apart = alone;
    }
    words
}

/// The words of a text by which it is found: those of [`fold`], and behind them how else the same words
/// are typed: `zuerich` for Zürich, `kobenhavn` and `koebenhavn` for København, `zurich` for Zuerich.
pub(crate) fn index(text: &str) -> String {
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

/// Letters that people without them on their keyboard type as two.
fn spell_out(sign: char) -> std::borrow::Cow<'static, str> {
    match sign {
        'ä' | 'Ä' => "ae".into(),
        'ö' | 'Ö' | 'ø' | 'Ø' => "oe".into(),
        'ü' | 'Ü' => "ue".into(),
        'å' | 'Å' => "aa".into(),
        other => other.to_string().into(),
    }
}

/// The word as it is found by whoever types the letter for which it has two.
fn contract(word: &str) -> String {
    word.replace("ae", "a")
        .replace("oe", "o")
        .replace("ue", "u")
        .replace("aa", "a")
}

/// The words of a search, each to be found as the beginning of a word. None of them where nothing
/// but signs was typed.
pub(crate) fn sought(q: &str) -> Vec<String> {
    let q: String = q.chars().take(SOUGHT_CHARS_MAX).collect();
    let mut words: Vec<String> = Vec::new();
    for word in fold(&q).split_whitespace().take(SOUGHT_WORDS_MAX) {
        if !words.iter().any(|known| known == word) {
            words.push(word.to_owned());
        }
    }
    words
}

/// `It's` is one word, and the same as `its`.
fn is_apostrophe(sign: char) -> bool {
    matches!(sign, '\'' | '\u{2018}' | '\u{2019}' | '\u{02bc}' | '`')
}

/// Han and kana.
fn stands_alone(sign: char) -> bool {
    matches!(u32::from(sign),
        0x3040..=0x30ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x2_0000..=0x3_ffff)
}

/// Letters that no rule of Unicode takes apart, as people type them who do not have them.
fn push_plain(words: &mut String, sign: char) {
    match sign {
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
    fn capitals_accents_and_signs_do_not_matter() {
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
            assert_eq!(index(text), words);
        }
    }

    #[test]
    fn a_search_has_so_many_words_each_once() {
        assert_eq!(sought(" Han  ARENA han "), ["han", "arena"]);
        assert!(sought("🎭 NEAR(").iter().eq(["near"]));
        assert!(sought("% _ \u{0}").is_empty());
        let many: String = ('a'..='z').flat_map(|letter| [letter, ' ']).collect();
        assert_eq!(sought(&many).len(), SOUGHT_WORDS_MAX);
    }

    proptest! {
        #[test]
        fn words_are_letters_and_digits_and_stay_as_they_are(text in any::<String>()) {
            let folded = fold(&text);
            prop_assert!(folded.split(' ').all(|word| word.chars().all(char::is_alphanumeric)));
            prop_assert!(folded.is_empty() || folded.split(' ').all(|word| !word.is_empty()));
            prop_assert_eq!(fold(&folded), folded);
        }
    }
}
