//! Passwords that attackers try first. Owns the list of them, which is part of the binary: there are no
//! network requests. The minimum length is in `rules.rs`. Pure.
//!
//! A password is compared as a whole and without trailing digits and symbols, which attackers add too. No
//! kinds of characters are required.

use std::{collections::HashSet, sync::LazyLock};
use unicode_normalization::UnicodeNormalization;

/// One per line, in lower case; lines that begin with # name the sources.
const LIST: &str = include_str!("guessable.txt");
const SITE: &str = "stagedoor";
/// Shorter words of the account are ignored: they occur in too many good passwords.
const OWN_WORDS_MIN: usize = 4;
/// A password that repeats at most this many characters is a row.
const REPEATED_MAX: usize = 4;

static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let lines = LIST.lines().filter(|line| !line.starts_with('#'));
    lines.collect()
});

/// Why attackers would try this password first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guessable {
    /// Many people use it, or it is a row of characters.
    Common,
    /// It is the account's address or name, or the shop's name.
    Own,
}

/// Whether attackers would try this password first; `own` is the account's address and name.
pub(crate) fn guessable(password: &str, own: &[&str]) -> Option<Guessable> {
    let password = folded(password);
    let bare = stem(&password);
    if own_words(own).any(|word| word == password || word == bare) {
        return Some(Guessable::Own);
    }
    let common = COMMON.contains(password.as_str())
        || COMMON.contains(bare)
        || COMMON.contains(without_substitutions(&password).as_str())
        || is_row(&password);
    common.then_some(Guessable::Common)
}

/// In lower case and Unicode normal form.
fn folded(text: &str) -> String {
    text.trim().nfkc().flat_map(char::to_lowercase).collect()
}

/// Without trailing digits and symbols.
fn stem(password: &str) -> &str {
    password.trim_end_matches(|c: char| !c.is_alphabetic())
}

/// With letters in place of the symbols and digits that stand for them: `p@ssw0rd`.
fn without_substitutions(password: &str) -> String {
    let stem = password.trim_end_matches(|c: char| !c.is_alphanumeric());
    let letter = |c| match c {
        '@' | '4' => 'a',
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '$' | '5' => 's',
        '7' => 't',
        other => other,
    };
    stem.chars().map(letter).collect()
}

fn own_words(own: &[&str]) -> impl Iterator<Item = String> {
    let words = own.iter().flat_map(|word| {
        let before_at = word.split('@').next().unwrap_or_default();
        let joined: String = word.split_whitespace().collect();
        [folded(word), folded(before_at), folded(&joined)]
    });
    words
        .chain([SITE.to_owned()])
        .filter(|word| word.chars().count() >= OWN_WORDS_MIN)
}

/// Whether it is repeated, ascending or descending: `aaaaaaaa`, `12341234`, `23456789`, `hgfedcba`.
fn is_row(password: &str) -> bool {
    let characters: Vec<u32> = password.chars().map(u32::from).collect();
    let repeats = |length: usize| {
        let pairs = characters.iter().zip(characters.iter().skip(length));
        characters.len() > length && pairs.into_iter().all(|(one, other)| one == other)
    };
    let pairs = || characters.iter().zip(characters.iter().skip(1));
    let up = pairs().all(|(one, next)| *next == one.wrapping_add(1));
    let down = pairs().all(|(one, next)| one == &next.wrapping_add(1));
    (1..=REPEATED_MAX).any(repeats) || up || down
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [&str; 2] = ["ann.archer@example.com", "Ann Archer"];

    #[test]
    fn common_passwords_are_guessable() {
        for password in [
            "password",
            "Password1",
            "PASSWORD123!",
            "P@ssw0rd",
            "12345678",
            "qwertyuiop",
            "iloveyou",
            "letmein1",
            "Summer2024!",
            "michelle",
            "admin123",
            "aaaaaaaa",
            "12341234",
            "abcdefgh",
            "87654321",
            "abcabcabc",
            "ｐａｓｓｗｏｒｄ",
            "trustno1",
            "baseball!",
        ] {
            assert_eq!(
                guessable(password, &OWN),
                Some(Guessable::Common),
                "{password}"
            );
        }
    }

    #[test]
    fn what_is_known_of_an_account_is_guessed_first() {
        for password in [
            "ann.archer@example.com",
            "Ann.Archer",
            "ann archer",
            "AnnArcher1",
            "Stagedoor",
            "stagedoor2026",
        ] {
            assert_eq!(
                guessable(password, &OWN),
                Some(Guessable::Own),
                "{password}"
            );
        }
    }

    #[test]
    fn other_passwords_are_their_owners_business() {
        for password in [
            "correct horse battery staple",
            "stagedoor-demo",
            "a rather better one",
            "пароль77",
            "wrong wrong wrong",
            "kq7-tumble",
            "zwei Esel im Regen",
        ] {
            assert_eq!(guessable(password, &OWN), None, "{password}");
        }
    }
}
